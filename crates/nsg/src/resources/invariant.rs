//! `Sekisho.Network/invariants`: what must always be so about the machines of a scope, whatever the rules of its security
//! groups are. Packets are described as a security rule describes them; at least one side is machines.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use sekisho_arm::{ArmError, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{AddressSpec, RuleSpec, SecurityRulePropertiesFormat, SubResource, validate_name};
use crate::policy::{Access, Ports, Protocol};

/// Tags that a machine must have, on one side (Azure's limit of tags on a resource).
pub const MAX_MACHINE_TAGS: usize = 50;

/// A statement that must stay true.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "NetworkInvariant")]
pub struct Invariant {
    /// What it says.
    pub properties: InvariantProperties,
    /// Envelope fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What an invariant says: all packets that are described must be allowed, or must be denied.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "NetworkInvariantProperties")]
pub struct InvariantProperties {
    /// Free text, at most 140 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `Deny`: none of the packets may pass. `Allow`: all of them must.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub must: Option<String>,
    /// What happens to a write that would break it.
    pub enforcement: Enforcement,
    /// `Tcp`, `Udp`, `Icmp`, `Esp`, `Ah` or `*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// An address, a prefix, `*` or a service tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_address_prefix: Option<String>,
    /// Several addresses and prefixes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_address_prefixes: Option<Vec<String>>,
    /// The members of application security groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_application_security_groups: Option<Vec<SubResource>>,
    /// The machines that have all of these tags; `{}` is all machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_machine_tags: Option<BTreeMap<String, String>>,
    /// A port, a range `a-b` or `*`. Every port when neither this nor the plural is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_port_range: Option<String>,
    /// Several ports and ranges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_port_ranges: Option<Vec<String>>,
    /// As of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_address_prefix: Option<String>,
    /// As of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_address_prefixes: Option<Vec<String>>,
    /// As of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_application_security_groups: Option<Vec<SubResource>>,
    /// As of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_machine_tags: Option<BTreeMap<String, String>>,
    /// As of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_port_range: Option<String>,
    /// As of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_port_ranges: Option<Vec<String>>,
    /// Fields not named here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What happens to a write that would break an invariant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "InvariantEnforcement")]
pub enum Enforcement {
    /// It is refused.
    #[default]
    Enforce,
    /// It is made, and what breaks the invariant is shown.
    Report,
}

/// An invariant in which every field has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvariantSpec {
    /// What must become of the packets.
    pub must: Access,
    /// Their protocol.
    pub protocol: Protocol,
    /// Where they come from.
    pub source: Peer,
    /// Where they go.
    pub destination: Peer,
    /// Their source ports.
    pub source_ports: Ports,
    /// Their destination ports.
    pub destination_ports: Ports,
}

/// One side of an invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// Machines of the invariant's scope, whose own rules decide.
    Machines(Selection),
    /// Addresses that no rules of ours stand before: never groups.
    Elsewhere(AddressSpec),
}

/// Which machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Those with all of these tags; names compare without case, as everywhere in Azure.
    Tags(BTreeMap<String, String>),
    /// The interfaces that are members of one of these application security groups.
    Members(Vec<Scope>),
}

impl Invariant {
    /// Checks the name and every field.
    ///
    /// # Errors
    /// 400 with the field in `target`; a side is checked as that of a security rule is.
    pub fn validate(&self, name: &str) -> Result<InvariantSpec, ArmError> {
        validate_name(name)?;
        let p = &self.properties;
        let must = p.must.as_deref().and_then(Access::parse).ok_or_else(|| {
            ArmError::bad(
                "InvariantInvalidMust",
                format!("Invariant {name} must be either 'Allow' or 'Deny'."),
            )
            .target("properties.must")
        })?;
        let any = || Some("*".to_owned());
        let side = |tags: &Option<BTreeMap<String, String>>, single: &Option<String>| {
            if tags.is_some() && single.is_none() { any() } else { single.clone() }
        };
        let port = |single: &Option<String>, several: &Option<Vec<String>>| {
            if single.is_none() && several.is_none() { any() } else { single.clone() }
        };
        // The sides of a rule are read by what reads rules.
        let rule = SecurityRulePropertiesFormat {
            description: p.description.clone(),
            protocol: p.protocol.clone(),
            source_port_range: port(&p.source_port_range, &p.source_port_ranges),
            source_port_ranges: p.source_port_ranges.clone(),
            destination_port_range: port(&p.destination_port_range, &p.destination_port_ranges),
            destination_port_ranges: p.destination_port_ranges.clone(),
            source_address_prefix: side(&p.source_machine_tags, &p.source_address_prefix),
            source_address_prefixes: p.source_address_prefixes.clone(),
            source_application_security_groups: p.source_application_security_groups.clone(),
            destination_address_prefix: side(&p.destination_machine_tags, &p.destination_address_prefix),
            destination_address_prefixes: p.destination_address_prefixes.clone(),
            destination_application_security_groups: p.destination_application_security_groups.clone(),
            access: Some(must.as_str().to_owned()),
            priority: Some(1),
            direction: Some("Inbound".to_owned()),
            other: Map::new(),
        };
        let RuleSpec { protocol, source, destination, .. } = rule.parse(name)?;
        let spec = InvariantSpec {
            must,
            protocol,
            source: peer(name, "source", &p.source_machine_tags, source.addresses)?,
            destination: peer(name, "destination", &p.destination_machine_tags, destination.addresses)?,
            source_ports: source.ports,
            destination_ports: destination.ports,
        };
        if let (Peer::Elsewhere(_), Peer::Elsewhere(_)) = (&spec.source, &spec.destination) {
            let text = format!(
                "Invariant {name} is about no machine: name machines by their tags or application security groups as \
                 its source or its destination."
            );
            return Err(
                ArmError::bad("InvariantWithoutMachines", text).target("properties.destinationMachineTags")
            );
        }
        Ok(spec)
    }
}

fn peer(
    name: &str,
    side: &str,
    tags: &Option<BTreeMap<String, String>>,
    addresses: AddressSpec,
) -> Result<Peer, ArmError> {
    let target = format!("properties.{side}MachineTags");
    match (tags, addresses) {
        (Some(tags), AddressSpec::Any) if tags.len() <= MAX_MACHINE_TAGS => {
            Ok(Peer::Machines(Selection::Tags(tags.clone())))
        }
        (Some(tags), AddressSpec::Any) => {
            let text =
                format!("Invariant {name} names {} tags. The limit is {MAX_MACHINE_TAGS}.", tags.len());
            Err(ArmError::bad("InvariantTooManyTags", text).target(target))
        }
        (Some(_), _) => {
            let text =
                format!("Invariant {name} names both machines by their tags and addresses as its {side}.");
            Err(ArmError::bad("InvariantConflictingSides", text).target(target))
        }
        (None, AddressSpec::Groups(groups)) => Ok(Peer::Machines(Selection::Members(groups))),
        (None, other) => Ok(Peer::Elsewhere(other)),
    }
}

impl InvariantSpec {
    /// The service tags that it names, for the caller to look up, with the field each is in.
    pub fn tags(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.peers().filter_map(|(field, peer)| match peer {
            Peer::Elsewhere(AddressSpec::Tag(tag)) => Some((field, tag.as_str())),
            _ => None,
        })
    }

    /// The application security groups that it names, for the caller to look up.
    pub fn groups(&self) -> impl Iterator<Item = &Scope> {
        self.peers().flat_map(|(_, peer)| match peer {
            Peer::Machines(Selection::Members(groups)) => groups.as_slice(),
            _ => &[],
        })
    }

    fn peers(&self) -> impl Iterator<Item = (&'static str, &Peer)> {
        [
            ("properties.sourceAddressPrefix", &self.source),
            ("properties.destinationAddressPrefix", &self.destination),
        ]
        .into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(properties: Value) -> Result<InvariantSpec, ArmError> {
        let invariant: Invariant = serde_json::from_value(json!({ "properties": properties })).unwrap();
        invariant.validate("i")
    }

    #[test]
    fn a_side_is_machines_or_addresses_and_one_of_them_is_machines() {
        let spec = read(json!({"must": "deny", "protocol": "tcp", "sourceAddressPrefix": "Internet",
            "destinationMachineTags": {"env": "prod"}, "destinationPortRange": "3389"}))
        .unwrap();
        assert_eq!((spec.must, spec.source_ports), (Access::Deny, Ports::Any));
        assert_eq!(spec.source, Peer::Elsewhere(AddressSpec::Tag("Internet".into())));
        assert!(matches!(spec.destination, Peer::Machines(Selection::Tags(tags)) if tags["env"] == "prod"));
        let code = |properties: Value| read(properties).unwrap_err().code;
        let both = json!({"must": "Deny", "protocol": "*", "sourceAddressPrefix": "*",
            "destinationAddressPrefix": "10.0.0.4", "destinationMachineTags": {}});
        assert_eq!(code(both), "InvariantConflictingSides");
        let none = json!({"must": "Deny", "protocol": "*", "sourceAddressPrefix": "*",
            "destinationAddressPrefix": "*"});
        assert_eq!(code(none), "InvariantWithoutMachines");
        assert_eq!(code(json!({"protocol": "*"})), "InvariantInvalidMust");
        assert_eq!(
            code(json!({"must": "Deny", "protocol": "*", "destinationMachineTags": {}})),
            "SecurityRuleParametersMissing"
        );
        let many: BTreeMap<String, &str> = (0..51).map(|i| (format!("t{i}"), "")).collect();
        let many = json!({"must": "Deny", "protocol": "*", "sourceAddressPrefix": "*", "destinationMachineTags": many});
        assert_eq!(code(many), "InvariantTooManyTags");
    }
}
