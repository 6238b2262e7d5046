//! `expandedProperties`: what people call the scope, the role and the principal of a row, so that clients need not ask.

use sekisho_arm::{ArmError, Read, Scope};
use sekisho_rbac::{RoleId, RoleType, Snapshot};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::resources::authorization::{self, Known, KnownPrincipal, Names};

/// The names of everybody.
pub(super) struct Words(Names);

impl Words {
    pub(super) async fn read(read: &mut dyn Read) -> Result<Words, ArmError> {
        Ok(Words(authorization::names(read).await?))
    }

    fn of(&self, principal: &str) -> Option<&Known> {
        self.0.get(&Uuid::try_parse(principal).ok()?)
    }

    /// What the directory knows a principal as.
    pub(super) fn kind_of(&self, principal: &str) -> Option<KnownPrincipal> {
        self.of(principal).map(|known| known.kind)
    }

    /// Adds the names to the properties of a row, and shows its role from where it is.
    pub(super) async fn expand(
        &self,
        read: &mut dyn Read,
        all: &Snapshot,
        properties: &mut Value,
    ) -> Result<(), ArmError> {
        let at = properties["scope"].as_str().and_then(|s| Scope::parse(s).ok()).unwrap_or(Scope::Tenant);
        if let Some(id) = properties["roleDefinitionId"].as_str().and_then(RoleId::parse) {
            let seen = authorization::role_seen_from(&at, &id.to_string()).to_string();
            properties["expandedProperties"]["roleDefinition"] = role(all, id, &seen);
            properties["roleDefinitionId"] = seen.into();
        }
        properties["expandedProperties"]["scope"] = scope(read, &at).await?;
        let principal = properties["principalId"].as_str().unwrap_or_default().to_owned();
        let known = self.of(&principal);
        let mut shown = json!({
            "id": principal,
            "displayName": known.map(|k| k.name.as_str()),
            "type": properties["principalType"],
        });
        if let Some(email) = known.and_then(|k| k.email.as_deref()) {
            shown["email"] = email.into();
        }
        properties["expandedProperties"]["principal"] = shown;
        Ok(())
    }
}

/// A role definition in words.
pub(super) fn role(all: &Snapshot, role: RoleId, id: &str) -> Value {
    let definition = all.role(role);
    let kind = match definition.map(|d| d.properties.role_type) {
        Some(RoleType::BuiltInRole) => "BuiltInRole",
        _ => "CustomRole",
    };
    let name = definition.map(|d| d.properties.role_name.as_str());
    json!({"id": id, "displayName": name, "type": kind})
}

/// A scope in words.
pub(super) async fn scope(read: &mut dyn Read, scope: &Scope) -> Result<Value, ArmError> {
    let name = name_of(read, scope).await?;
    Ok(json!({"id": scope.to_string(), "displayName": name, "type": word(scope)}))
}

async fn name_of(read: &mut dyn Read, scope: &Scope) -> Result<String, ArmError> {
    Ok(match scope {
        Scope::Tenant => "/".to_owned(),
        Scope::Subscription(_) | Scope::ManagementGroup(_) => {
            let kept = read.get(scope).await?.map(|r| r.to_json()).unwrap_or_default();
            let found = kept["displayName"].as_str().or(kept["properties"]["displayName"].as_str());
            found.unwrap_or_else(|| scope.name()).to_owned()
        }
        _ => scope.name().to_owned(),
    })
}

/// Azure's word for a kind of scope.
pub(super) fn word(scope: &Scope) -> String {
    match scope {
        Scope::Tenant => "tenant".to_owned(),
        Scope::ManagementGroup(_) => "managementgroup".to_owned(),
        Scope::Subscription(_) => "subscription".to_owned(),
        Scope::ResourceGroup { .. } => "resourcegroup".to_owned(),
        Scope::Resource(_) => scope.type_name().to_string(),
    }
}
