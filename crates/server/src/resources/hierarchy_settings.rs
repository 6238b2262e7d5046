//! `managementGroups/settings/default`: what holds for the whole hierarchy, kept at the root group. Where a subscription
//! goes that is in no group, and whether a right is needed to make a group.

use async_trait::async_trait;
use schemars::JsonSchema;
use sekisho_arm::registry::properties_schema;
use sekisho_arm::resource::shown;
use sekisho_arm::{ArmError, Call, Read, Resource, ResourceType, Scope, StoreError, TypeSpec, Write};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::management::{root, spec};

/// The settings.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "HierarchySettings")]
pub(super) struct Settings {
    /// The id of the group into which subscriptions come that are in none; the root group when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) default_management_group: Option<String>,
    /// Whether making a group needs the right to change the group it comes into, as it does when this is absent.
    /// Otherwise everybody who is signed in may make groups in the root group, and owns those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) require_authorization_for_group_creation: Option<bool>,
}

impl Settings {
    /// The settings in force.
    pub(super) async fn read(read: &mut (dyn Read + '_), tenant: Uuid) -> Result<Settings, StoreError> {
        let Ok(id) = Scope::parse(&format!("{}/settings/default", root(tenant))) else {
            return Ok(Settings::default());
        };
        let kept = read.get(&id).await?.map(|r| Value::Object(r.properties()));
        let settings =
            kept.map(|p| serde_json::from_value(p).map_err(|e| StoreError::Corrupt(e.to_string())));
        Ok(settings.transpose()?.unwrap_or_default())
    }
}

static SPEC: TypeSpec =
    TypeSpec { schema: properties_schema::<Settings>, ..spec("managementGroups/settings") };

/// The type.
pub(super) struct HierarchySettings {
    pub(super) tenant: Uuid,
}

#[async_trait]
impl ResourceType for HierarchySettings {
    fn spec(&self) -> &TypeSpec {
        &SPEC
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        _: Option<&Resource>,
    ) -> Result<(), ArmError> {
        if !draft.id.name().eq_ignore_ascii_case("default") || draft.id.parent() != Some(root(self.tenant)) {
            let text = format!("The settings of the hierarchy are '{}/settings/default'.", root(self.tenant));
            return Err(ArmError::bad("InvalidHierarchySettings", text));
        }
        let mut wanted: Settings = draft.typed()?;
        if let Some(text) = wanted.default_management_group.take().filter(|t| !t.is_empty()) {
            let group = match Scope::parse(&text) {
                Ok(group @ Scope::ManagementGroup(_)) => tx.get(&group).await?,
                _ => None,
            };
            let Some(group) = group else {
                let text = format!("'{text}' is not the id of a management group.");
                let target = "properties.defaultManagementGroup";
                return Err(ArmError::bad("InvalidDefaultManagementGroup", text).target(target));
            };
            wanted.default_management_group = Some(group.id.to_string());
        }
        draft.rest.clear();
        draft.rest.insert("properties".to_owned(), shown(&wanted)?);
        Ok(())
    }

    async fn present(&self, _: &mut dyn Read, _: &Call, resource: &Resource) -> Result<Value, ArmError> {
        let mut body = self.render(resource);
        body["properties"]["tenantId"] = self.tenant.to_string().into();
        Ok(body)
    }
}
