//! The ARM types of network security in Azure's JSON shape (source: the network specification, api-version 2024-01-01),
//! with the checks that Azure makes.
//!
//! The structs are lenient where Azure's clients are: every field is optional and what is not known here is kept in
//! `other`, so that a body survives a round trip and each form (singular or plural) comes back as it was sent. The
//! `validate` functions are strict, name the field in `target`, and use Azure's codes and words where they are known.
//! They see one body only: whether a named tag, group or subnet exists is for the caller to look up.

mod admin_rule;
pub mod flow_log;
mod invariant;
mod network_interface;
mod network_manager;
pub mod network_watcher;
mod security_group;
mod security_rule;
mod service_tag;
mod service_tag_file;
mod virtual_network;

use ipnet::IpNet;
use schemars::JsonSchema;
use sekisho_arm::{ArmError, Scope};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use admin_rule::{
    ADMIN_PRIORITIES, AddressPrefixItem, AdminAddress, AdminRule, AdminRuleCollection, AdminRuleProperties,
    AdminRuleSpec,
};
pub use invariant::{
    Enforcement, Invariant, InvariantProperties, InvariantSpec, MAX_MACHINE_TAGS, Peer, Selection,
};
pub use network_interface::{
    MAX_ASGS_PER_IP_CONFIGURATION, NetworkInterface, NetworkInterfaceIpConfiguration,
    NetworkInterfaceIpConfigurationProperties, NetworkInterfaceProperties, NicSekisho,
};
pub use network_manager::{NetworkGroup, NetworkManager, StaticMember};
pub use security_group::{
    ApplicationSecurityGroup, ApplicationSecurityGroupProperties, GroupSekisho, MAX_RULES,
    NetworkSecurityGroup, NetworkSecurityGroupProperties, default_rules,
};
pub use security_rule::{
    AddressSpec, MAX_ASGS_PER_SIDE, MAX_DESCRIPTION_CHARS, MAX_PREFIXES, PRIORITIES, RuleSpec, SecurityRule,
    SecurityRulePropertiesFormat, Side, is_tag_name,
};
pub use service_tag::{RESERVED_TAGS, ServiceTag, ServiceTagProperties, validate_tag_name};
pub use service_tag_file::{
    ChangeNumber, FileTag, FileTagProperties, MAX_FILE_PREFIXES, MAX_FILE_TAGS, ServiceTagChange,
    ServiceTagFile, TagChange, tag_changes,
};
pub use virtual_network::{
    AddressSpace, Subnet, SubnetProperties, VirtualNetwork, VirtualNetworkProperties, parse_cidr,
};

/// The longest name of a resource of this provider, in bytes (all names are ASCII).
pub const MAX_NAME: usize = 80;

/// A reference to another resource.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SubResource {
    /// The id of the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Fields of the resource that clients send along; kept, never read.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl SubResource {
    /// A reference by id.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), other: Map::new() }
    }

    /// The id, if it is one and names a resource of the type (`Namespace/path`).
    ///
    /// # Errors
    /// `InvalidRequestFormat` or `LinkedInvalidPropertyId` with `target` `{field}.id`.
    pub fn scope(&self, kind: &str, field: &str) -> Result<Scope, ArmError> {
        let target = format!("{field}.id");
        let Some(id) = &self.id else {
            return Err(ArmError::bad("InvalidRequestFormat", format!("Property '{target}' is required."))
                .target(target));
        };
        Scope::parse(id).ok().filter(|scope| scope.type_name().is(kind)).ok_or_else(|| {
            ArmError::bad(
                "LinkedInvalidPropertyId",
                format!(
                    "Property id '{id}' at path '{target}' is invalid. Expect fully qualified resource Id of type \
                     '{kind}' that starts with '/subscriptions/{{subscriptionId}}'."
                ),
            )
            .target(target)
        })
    }
}

/// Reads a request body into its type.
///
/// # Errors
/// 400 `InvalidRequestFormat` (this provider's code for a body that its type does not take).
pub fn from_body<T: DeserializeOwned>(body: &Value) -> Result<T, ArmError> {
    T::deserialize(body)
        .map_err(|e| ArmError::bad("InvalidRequestFormat", format!("Cannot parse the request. {e}.")))
}

/// Checks the name of any resource of this provider: 1 to 80 of `A-Z a-z 0-9 _ . -`, beginning with a word character
/// and ending with one.
///
/// # Errors
/// 400 `InvalidResourceName` in Azure's words.
pub fn validate_name(name: &str) -> Result<(), ArmError> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = name.as_bytes();
    let good = bytes.len() <= MAX_NAME
        && bytes.first().is_some_and(|b| word(*b))
        && bytes.last().is_some_and(|b| word(*b))
        && bytes.iter().all(|b| word(*b) || matches!(b, b'.' | b'-'));
    if good {
        return Ok(());
    }
    let shown: String = name.chars().take(MAX_NAME).collect();
    Err(ArmError::bad(
        "InvalidResourceName",
        format!(
            "Resource name {shown} is invalid. The name can be up to {MAX_NAME} characters long. It must begin with \
             a word character, and it must end with a word character or with '_'. The name may contain word \
             characters or '.', '-', '_'."
        ),
    )
    .target("name"))
}

/// Refuses a second child of one name in one parent; names compare without case.
fn refuse_duplicates<'a>(
    names: impl Iterator<Item = &'a str>,
    parent: &str,
    field: &str,
) -> Result<(), ArmError> {
    let mut seen = std::collections::BTreeSet::new();
    for (i, name) in names.enumerate() {
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(ArmError::bad(
                "DuplicateResourceName",
                format!("Resource {parent} has two child resources with the same name ({name})."),
            )
            .target(format!("{field}[{i}].name")));
        }
    }
    Ok(())
}

/// An address or a prefix without host bits. `None` for everything else, prefixes with host bits included: Azure
/// refuses those, because what the author meant by `10.0.0.5/24` is unknowable.
fn parse_prefix(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return Some(IpNet::from(address));
    }
    text.parse::<IpNet>().ok().filter(|net| net.addr() == net.network())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_azures_grammar() {
        for good in ["a", "allow-ssh", "A_b.c-d_", "9lives", "_x", &"a".repeat(80)] {
            assert!(validate_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "a-", "a.", "a b", "é", "a/b", "a\"b", &"a".repeat(81)] {
            assert_eq!(validate_name(bad).unwrap_err().code, "InvalidResourceName", "{bad}");
        }
    }

    #[test]
    fn a_reference_to_the_wrong_type_is_refused() {
        let kind = "Microsoft.Network/networkSecurityGroups";
        let base = "/subscriptions/33333333-3333-3333-3333-333333333333/resourceGroups/rg/providers/Microsoft.Network";
        let good = SubResource::new(format!("{base}/networksecuritygroups/n"));
        assert!(good.scope(kind, "properties.networkSecurityGroup").is_ok());
        let bad = SubResource::new(format!("{base}/routeTables/n"));
        let error = bad.scope(kind, "properties.networkSecurityGroup").unwrap_err();
        assert_eq!(error.target.as_deref(), Some("properties.networkSecurityGroup.id"));
        assert!(SubResource::default().scope(kind, "x").is_err());
    }
}
