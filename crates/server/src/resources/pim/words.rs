//! `expandedProperties`: what people call the scope, the role and the principal of a row, so that clients need not ask.

use std::collections::HashMap;

use sekisho_arm::{ArmError, Read, Scope};
use sekisho_rbac::{RoleId, RoleType, Snapshot, builtin};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::resources::authorization::{self, KnownPrincipal};

/// The names of everybody.
pub(super) struct Words {
    people: HashMap<Uuid, (KnownPrincipal, String)>,
}

impl Words {
    pub(super) async fn read(read: &mut dyn Read) -> Result<Words, ArmError> {
        Ok(Words { people: authorization::names(read).await? })
    }

    /// What the directory knows a principal as.
    pub(super) fn kind_of(&self, principal: &str) -> Option<KnownPrincipal> {
        self.people.get(&Uuid::try_parse(principal).ok()?).map(|(kind, _)| *kind)
    }

    /// Adds the names to the properties of a row.
    pub(super) async fn expand(
        &self,
        read: &mut dyn Read,
        all: Option<&Snapshot>,
        properties: &mut Value,
    ) -> Result<(), ArmError> {
        let scope = properties["scope"].as_str().and_then(|s| Scope::parse(s).ok()).unwrap_or(Scope::Tenant);
        let role = properties["roleDefinitionId"].as_str().and_then(RoleId::parse);
        let definition = role.and_then(|r| all.and_then(|a| a.role(r)).or_else(|| builtin::role(r)));
        let principal = properties["principalId"].as_str().unwrap_or_default();
        let person = Uuid::try_parse(principal).ok().and_then(|id| self.people.get(&id));
        let kind = match definition.map(|d| d.properties.role_type) {
            Some(RoleType::BuiltInRole) => "BuiltInRole",
            _ => "CustomRole",
        };
        properties["expandedProperties"] = json!({
            "scope": {"id": scope.to_string(), "displayName": name_of(read, &scope).await?, "type": word(&scope)},
            "roleDefinition": {
                "id": properties["roleDefinitionId"],
                "displayName": definition.map(|d| d.properties.role_name.as_str()),
                "type": kind,
            },
            "principal": {
                "id": principal,
                "displayName": person.map(|(_, name)| name.as_str()),
                "type": properties["principalType"],
            },
        });
        Ok(())
    }
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
