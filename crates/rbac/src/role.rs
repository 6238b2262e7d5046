//! Role definitions in exactly Azure's JSON (`Microsoft.Authorization/roleDefinitions`, api-version 2022-04-01).

use std::fmt;

use schemars::JsonSchema;
use sekisho_arm::Scope;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// The GUID that names a role definition. It is the same in every tenant for built-in roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct RoleId(#[schemars(with = "String")] pub Uuid);

impl RoleId {
    /// Reads a GUID, or the GUID at the end of a role definition's id at any scope: `az` sends the one, templates
    /// the other.
    pub fn parse(text: &str) -> Option<RoleId> {
        let guid = text.rsplit('/').next().unwrap_or(text);
        Uuid::try_parse(guid).ok().map(RoleId)
    }

    /// The tenant-level id, the form in which Azure answers.
    pub fn resource_id(self) -> String {
        format!("/providers/Microsoft.Authorization/roleDefinitions/{self}")
    }
}

impl fmt::Display for RoleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a role came with the product or was written by the operator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RoleType {
    /// Azure's own, never changed or deleted.
    BuiltInRole,
    /// Written by people; what a body without `type` means.
    #[default]
    CustomRole,
}

/// One block of a role: what it grants is `actions − notActions` on the control plane and `dataActions −
/// notDataActions` on the data plane. Blocks add up; a subtraction never reaches into another block.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Permission {
    /// Patterns of control-plane operations.
    pub actions: Vec<String>,
    /// Patterns taken out of `actions`.
    pub not_actions: Vec<String>,
    /// Patterns of data-plane operations.
    pub data_actions: Vec<String>,
    /// Patterns taken out of `dataActions`.
    pub not_data_actions: Vec<String>,
    /// The block grants only while this holds. Only built-in roles have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Version of the condition's language, such as `2.0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition_version: Option<String>,
}

/// The `properties` of a role definition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RoleDefinitionProperties {
    /// What people call the role; unique in the tenant without case, at most 512 characters.
    pub role_name: String,
    /// Built-in or custom.
    #[serde(rename = "type")]
    pub role_type: RoleType,
    /// What it is for; at most 2,048 characters.
    pub description: String,
    /// Scopes at and below which the role may be assigned.
    pub assignable_scopes: Vec<String>,
    /// The blocks; they add up.
    pub permissions: Vec<Permission>,
    /// Fields Azure sends that mean nothing here (`createdOn` and the like), kept for the round trip.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A role definition with its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoleDefinition {
    /// The GUID.
    pub name: RoleId,
    /// The rest.
    pub properties: RoleDefinitionProperties,
}

impl RoleDefinition {
    /// Whether the role may be assigned at a scope: built-in roles anywhere, custom ones at or below one of their
    /// assignable scopes. `ancestors` are the scope itself and everything above it, management groups included.
    pub(crate) fn assignable_at<'a>(&self, mut ancestors: impl Iterator<Item = &'a str>) -> bool {
        let assignable: Vec<String> = self
            .properties
            .assignable_scopes
            .iter()
            .filter_map(|s| Scope::parse(s).ok())
            .map(|s| s.key())
            .collect();
        ancestors.any(|a| assignable.iter().any(|s| s == a))
    }

    /// Whether any block names data-plane operations.
    pub fn has_data_actions(&self) -> bool {
        self.properties.permissions.iter().any(|p| !p.data_actions.is_empty())
    }
}
