//! The security-admin rules of network managers and their collections: rules that stand above the security groups of every
//! network that a manager governs. Source: the network specification, api-version 2024-05-01.

use std::ops::RangeInclusive;

use ipnet::IpNet;
use schemars::JsonSchema;
use sekisho_arm::{ArmError, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{MAX_PREFIXES, SubResource, is_tag_name, parse_prefix};
use crate::policy::{Direction, PortRange, Ports, Protocol, RuleAction};

/// Priorities of admin rules; lower is asked first.
pub const ADMIN_PRIORITIES: RangeInclusive<i64> = 1..=4096;

/// Rules that hold for some network groups.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AdminRuleCollection {
    /// Where its rules hold.
    pub properties: AdminRuleCollectionProperties,
    /// Envelope fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The properties of a collection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "AdminRuleCollectionPropertiesFormat")]
pub struct AdminRuleCollectionProperties {
    /// The network groups.
    pub applies_to_groups: Vec<AppliesToGroup>,
    /// Fields not named here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A network group that rules hold for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "NetworkManagerSecurityGroupItem")]
pub struct AppliesToGroup {
    /// Its id.
    pub network_group_id: String,
}

impl AdminRuleCollection {
    /// The ids of the network groups.
    ///
    /// # Errors
    /// As [`SubResource::scope`], and when there is none.
    pub fn groups(&self) -> Result<Vec<Scope>, ArmError> {
        let all = &self.properties.applies_to_groups;
        if all.is_empty() {
            return Err(ArmError::bad(
                "InvalidRequestFormat",
                "A rule collection applies to network groups.",
            )
            .target("properties.appliesToGroups"));
        }
        let group = |(at, group): (usize, &AppliesToGroup)| {
            SubResource::new(group.network_group_id.clone()).scope(
                "Microsoft.Network/networkManagers/networkGroups",
                &format!("properties.appliesToGroups[{at}].networkGroupId"),
            )
        };
        all.iter().enumerate().map(group).collect()
    }
}

/// A security-admin rule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AdminRule {
    /// Its name in its collection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `Custom`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What it says.
    pub properties: AdminRuleProperties,
    /// Envelope fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The properties of an admin rule. What is left out is anything, as in Azure.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "AdminPropertiesFormat")]
pub struct AdminRuleProperties {
    /// `Tcp`, `Udp`, `Icmp`, `Esp`, `Ah` or `Any`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Where packets come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<AddressPrefixItem>>,
    /// Where they go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destinations: Option<Vec<AddressPrefixItem>>,
    /// Ports and ranges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_port_ranges: Option<Vec<String>>,
    /// Ports and ranges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_port_ranges: Option<Vec<String>>,
    /// `Allow`, `AlwaysAllow` or `Deny`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
    /// 1 to 4096.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// `Inbound` or `Outbound`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// Fields not named here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Addresses of an admin rule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AddressPrefixItem {
    /// An address, a prefix, `*`, or a tag.
    pub address_prefix: String,
    /// `IPPrefix` or `ServiceTag`.
    pub address_prefix_type: String,
}

/// An admin rule in which every field has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminRuleSpec {
    /// Its name.
    pub name: String,
    /// Lower is asked first.
    pub priority: u16,
    /// The direction of the flow's first packet.
    pub direction: Direction,
    /// What it does.
    pub access: RuleAction,
    /// The protocol.
    pub protocol: Protocol,
    /// Where packets come from: any of these.
    pub sources: Vec<AdminAddress>,
    /// Where they go: any of these.
    pub destinations: Vec<AdminAddress>,
    /// From which ports.
    pub source_ports: Ports,
    /// To which ports.
    pub destination_ports: Ports,
}

/// Addresses as an admin rule names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAddress {
    /// `*`.
    Any,
    /// An address or a prefix.
    Prefix(IpNet),
    /// A service tag.
    Tag(String),
}

fn invalid(rule: &str, field: &str, value: &str) -> ArmError {
    let value: String = value.chars().take(80).collect();
    ArmError::bad(
        "SecurityAdminRuleInvalid",
        format!("The security admin rule {rule} has an invalid {field}. Value provided: '{value}'."),
    )
    .target(format!("properties.{field}"))
}

impl AdminRule {
    /// Checks the rule.
    ///
    /// # Errors
    /// 400 `SecurityAdminRuleInvalid` with the field in `target`.
    pub fn parse(&self, name: &str) -> Result<AdminRuleSpec, ArmError> {
        let p = &self.properties;
        if !self.kind.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("Custom")) {
            let text =
                format!("The security admin rule {name} is of no kind that is taken: only 'Custom' is.");
            return Err(ArmError::bad("SecurityAdminRuleInvalid", text).target("kind"));
        }
        let word =
            |field: &str, value: &Option<String>| value.clone().ok_or_else(|| invalid(name, field, ""));
        let protocol = word("protocol", &p.protocol)?;
        let protocol = if protocol.eq_ignore_ascii_case("Any") {
            Protocol::Any
        } else {
            let known = Protocol::parse(&protocol).filter(|known| *known != Protocol::Any);
            known.ok_or_else(|| invalid(name, "protocol", &protocol))?
        };
        let access = word("access", &p.access)?;
        let direction = word("direction", &p.direction)?;
        let priority = p.priority.filter(|priority| ADMIN_PRIORITIES.contains(priority));
        let priority = priority.and_then(|priority| u16::try_from(priority).ok());
        let given = p.priority.map(|priority| priority.to_string()).unwrap_or_default();
        Ok(AdminRuleSpec {
            name: name.to_owned(),
            priority: priority.ok_or_else(|| invalid(name, "priority", &given))?,
            direction: Direction::parse(&direction).ok_or_else(|| invalid(name, "direction", &direction))?,
            access: RuleAction::parse(&access).ok_or_else(|| invalid(name, "access", &access))?,
            protocol,
            sources: addresses(name, "sources", p.sources.as_deref().unwrap_or_default())?,
            destinations: addresses(name, "destinations", p.destinations.as_deref().unwrap_or_default())?,
            source_ports: ports(
                name,
                "sourcePortRanges",
                p.source_port_ranges.as_deref().unwrap_or_default(),
            )?,
            destination_ports: ports(
                name,
                "destinationPortRanges",
                p.destination_port_ranges.as_deref().unwrap_or_default(),
            )?,
        })
    }

    /// The service tags that it names, also when the rest of it cannot be read.
    pub fn named_tags(&self) -> impl Iterator<Item = &str> {
        let sides = [&self.properties.sources, &self.properties.destinations];
        let items = sides.into_iter().flatten().flatten();
        items
            .map(|item| item.address_prefix.as_str())
            .filter(|text| is_tag_name(text) && parse_prefix(text).is_none())
    }
}

fn addresses(rule: &str, field: &str, items: &[AddressPrefixItem]) -> Result<Vec<AdminAddress>, ArmError> {
    if items.len() > MAX_PREFIXES {
        return Err(invalid(rule, field, &format!("{} values", items.len())));
    }
    if items.is_empty() {
        return Ok(vec![AdminAddress::Any]);
    }
    let address = |item: &AddressPrefixItem| {
        let text = item.address_prefix.as_str();
        let found = match item.address_prefix_type.to_ascii_lowercase().as_str() {
            "ipprefix" if text == "*" => Some(AdminAddress::Any),
            "ipprefix" => parse_prefix(text).map(AdminAddress::Prefix),
            "servicetag" if is_tag_name(text) => Some(AdminAddress::Tag(text.to_owned())),
            _ => None,
        };
        found.ok_or_else(|| invalid(rule, field, text))
    };
    items.iter().map(address).collect()
}

fn ports(rule: &str, field: &str, texts: &[String]) -> Result<Ports, ArmError> {
    if texts.len() > MAX_PREFIXES {
        return Err(invalid(rule, field, &format!("{} values", texts.len())));
    }
    if texts.is_empty() {
        return Ok(Ports::Any);
    }
    let range = |text: &String| PortRange::parse_any(text).ok_or_else(|| invalid(rule, field, text));
    let ranges: Vec<PortRange> = texts.iter().map(range).collect::<Result<_, _>>()?;
    Ok(Ports::of(&ranges))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(changes: Value) -> AdminRule {
        let mut properties = json!({"protocol": "Tcp", "access": "AlwaysAllow", "direction": "Inbound",
            "priority": 1, "sources": [{"addressPrefix": "Internet", "addressPrefixType": "ServiceTag"}],
            "destinationPortRanges": ["22", "80-90"]});
        for (key, value) in changes.as_object().unwrap() {
            properties[key] = value.clone();
        }
        serde_json::from_value(json!({"kind": "Custom", "properties": properties})).unwrap()
    }

    #[test]
    fn a_rule_is_parsed_and_what_is_left_out_is_anything() {
        let spec = rule(json!({"protocol": "any", "sources": []})).parse("r").unwrap();
        assert_eq!((spec.protocol, spec.access, spec.priority), (Protocol::Any, RuleAction::AlwaysAllow, 1));
        assert_eq!((spec.sources, spec.source_ports), (vec![AdminAddress::Any], Ports::Any));
        assert_eq!(rule(json!({})).named_tags().collect::<Vec<_>>(), ["Internet"]);
    }

    #[test]
    fn what_azure_would_refuse_is_refused_with_the_field() {
        for (changes, field) in [
            (json!({"priority": 0}), "priority"),
            (json!({"priority": 4097}), "priority"),
            (json!({"access": "Maybe"}), "access"),
            (json!({"protocol": "*"}), "protocol"),
            (json!({"direction": null}), "direction"),
            (json!({"destinationPortRanges": ["90-80"]}), "destinationPortRanges"),
            (
                json!({"sources": [{"addressPrefix": "10.0.0.1/8", "addressPrefixType": "IPPrefix"}]}),
                "sources",
            ),
            (json!({"sources": [{"addressPrefix": "x", "addressPrefixType": "NetworkGroup"}]}), "sources"),
        ] {
            let error = rule(changes).parse("r").unwrap_err();
            assert_eq!(error.target.unwrap(), format!("properties.{field}"));
        }
    }
}
