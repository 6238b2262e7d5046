//! `Sekisho.Network/serviceTags`: a name for a list of prefixes that the user keeps, usable wherever Azure takes a
//! service tag.

use ipnet::IpNet;
use schemars::JsonSchema;
use sekisho_arm::ArmError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{MAX_PREFIXES, is_tag_name, parse_prefix};

/// Names that Azure gives a meaning that does not depend on a list, so that no user tag can take them.
pub const RESERVED_TAGS: [&str; 6] = [
    "VirtualNetwork",
    "Internet",
    "AzureLoadBalancer",
    "AzurePlatformDNS",
    "AzurePlatformIMDS",
    "AzurePlatformLKM",
];

/// A user-defined service tag.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceTag {
    /// What the tag stands for.
    pub properties: ServiceTagProperties,
    /// Envelope fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The properties of a user-defined service tag.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceTagProperties {
    /// Addresses and prefixes of both families. An empty list is allowed and matches nothing.
    pub address_prefixes: Vec<String>,
    /// Fields not named here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl ServiceTag {
    /// Checks the name and the prefixes, and returns the prefixes.
    ///
    /// # Errors
    /// `InvalidResourceName`, `ServiceTagReserved`, `InvalidAddressPrefix` or `ServiceTagTooLarge`.
    pub fn validate(&self, name: &str) -> Result<Vec<IpNet>, ArmError> {
        validate_tag_name(name)?;
        let texts = &self.properties.address_prefixes;
        if texts.len() > MAX_PREFIXES {
            return Err(ArmError::bad(
                "ServiceTagTooLarge",
                format!("Service tag {name} has {} prefixes. The limit is {MAX_PREFIXES}.", texts.len()),
            )
            .target("properties.addressPrefixes"));
        }
        texts
            .iter()
            .enumerate()
            .map(|(i, text)| {
                parse_prefix(text).ok_or_else(|| {
                    ArmError::bad(
                        "InvalidAddressPrefix",
                        format!("Service tag {name} has invalid Address prefix. Value provided: {text}"),
                    )
                    .target(format!("properties.addressPrefixes[{i}]"))
                })
            })
            .collect()
    }
}

/// Checks the name of a user tag: the form of a tag, and none of [`RESERVED_TAGS`].
///
/// # Errors
/// `InvalidResourceName` or `ServiceTagReserved`.
pub fn validate_tag_name(name: &str) -> Result<(), ArmError> {
    if !is_tag_name(name) {
        return Err(ArmError::bad(
            "InvalidResourceName",
            format!("Service tag name {name} is invalid. It begins with a letter and holds letters, digits, '.', '_' and '-'."),
        )
        .target("name"));
    }
    if RESERVED_TAGS.iter().any(|r| r.eq_ignore_ascii_case(name)) {
        return Err(ArmError::bad(
            "ServiceTagReserved",
            format!("The service tag name {name} is reserved by Azure."),
        )
        .target("name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_user_tag_cannot_take_a_reserved_name_or_a_bad_prefix() {
        let tag = |prefixes: Value| -> ServiceTag {
            serde_json::from_value(json!({"properties": {"addressPrefixes": prefixes}})).unwrap()
        };
        assert_eq!(tag(json!(["10.0.0.0/8", "fd00::1"])).validate("Office").unwrap().len(), 2);
        assert!(tag(json!([])).validate("Empty").unwrap().is_empty());
        assert_eq!(tag(json!([])).validate("internet").unwrap_err().code, "ServiceTagReserved");
        assert_eq!(tag(json!([])).validate("10.0.0.0").unwrap_err().code, "InvalidResourceName");
        let error = tag(json!(["10.0.0.0/8", "Internet"])).validate("Office").unwrap_err();
        assert_eq!(error.target.as_deref(), Some("properties.addressPrefixes[1]"));
    }
}
