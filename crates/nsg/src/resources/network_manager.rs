//! Network managers, the groups of networks that they govern, and the members of those (`Microsoft.Network/networkManagers`).
//! Source: the network specification, api-version 2024-05-01.

use schemars::JsonSchema;
use sekisho_arm::{ArmError, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A network manager.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkManager {
    /// What it governs.
    pub properties: NetworkManagerProperties,
    /// Envelope fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The properties of a network manager.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkManagerProperties {
    /// The subscriptions and management groups whose networks it governs.
    pub network_manager_scopes: NetworkManagerScopes,
    /// What it may do there: `SecurityAdmin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_manager_scope_accesses: Option<Vec<String>>,
    /// Fields not named here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What a manager governs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "NetworkManagerPropertiesNetworkManagerScopes")]
pub struct NetworkManagerScopes {
    /// Ids of subscriptions.
    pub subscriptions: Vec<String>,
    /// Ids of management groups: all subscriptions in them, however deep.
    pub management_groups: Vec<String>,
    /// Fields not named here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl NetworkManager {
    /// The subscriptions and management groups that it governs.
    ///
    /// # Errors
    /// `InvalidNetworkManagerScope`.
    pub fn scopes(&self) -> Result<Vec<Scope>, ArmError> {
        let scopes = &self.properties.network_manager_scopes;
        let read = |id: &String, fits: fn(&Scope) -> bool, what: &str| {
            Scope::parse(id).ok().filter(fits).ok_or_else(|| {
                ArmError::bad("InvalidNetworkManagerScope", format!("'{id}' is not the id of a {what}."))
                    .target("properties.networkManagerScopes")
            })
        };
        let is_subscription: fn(&Scope) -> bool = |scope| matches!(scope, Scope::Subscription(_));
        let is_group: fn(&Scope) -> bool = |scope| matches!(scope, Scope::ManagementGroup(_));
        let subscriptions = scopes.subscriptions.iter().map(|id| read(id, is_subscription, "subscription"));
        let groups = scopes.management_groups.iter().map(|id| read(id, is_group, "management group"));
        subscriptions.chain(groups).collect()
    }
}

/// Networks or subnets that are governed alike.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkGroup {
    /// What its members are.
    pub properties: NetworkGroupProperties,
    /// Envelope fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The properties of a network group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkGroupProperties {
    /// `VirtualNetwork` or `Subnet`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_type: Option<String>,
    /// Fields not named here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl NetworkGroup {
    /// The type of its members.
    ///
    /// # Errors
    /// For another word than the two.
    pub fn member_type(&self) -> Result<&'static str, ArmError> {
        match self.properties.member_type.as_deref() {
            None => Ok("Microsoft.Network/virtualNetworks"),
            Some(word) if word.eq_ignore_ascii_case("VirtualNetwork") => {
                Ok("Microsoft.Network/virtualNetworks")
            }
            Some(word) if word.eq_ignore_ascii_case("Subnet") => {
                Ok("Microsoft.Network/virtualNetworks/subnets")
            }
            Some(word) => Err(ArmError::bad(
                "InvalidMemberType",
                format!("'{word}' is not 'VirtualNetwork' or 'Subnet'."),
            )
            .target("properties.memberType")),
        }
    }
}

/// A member of a network group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StaticMember {
    /// What it is.
    pub properties: StaticMemberProperties,
    /// Envelope fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The properties of a member.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StaticMemberProperties {
    /// The id of the network or the subnet.
    pub resource_id: String,
    /// Fields not named here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}
