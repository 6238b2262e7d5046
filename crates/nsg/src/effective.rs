//! Azure's "effective security rules": what is really enforced at a NIC, in the JSON of
//! `networkInterfaces/{name}/effectiveNetworkSecurityGroups`.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Serialize;

use crate::policy::{Access, Addresses, Association, Direction, PortRange, Ports, Protocol};
use crate::resolve::{Inputs, NicInput, NicResolver, ResolveError, listed};
use crate::resources::{AddressSpec, Side};

/// One NSG in force at a NIC.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveGroup {
    /// The NSG.
    pub network_security_group: Ref,
    /// What it is attached to.
    pub association: EffectiveAssociation,
    /// Its rules, lowest priority number first in each direction.
    pub effective_security_rules: Vec<EffectiveRule>,
}

/// A reference by id.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Ref {
    /// The id.
    pub id: String,
}

/// What an NSG is attached to: one of the two.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveAssociation {
    /// A subnet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet: Option<Ref>,
    /// A NIC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface: Option<Ref>,
}

/// A rule with its names resolved.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveRule {
    /// `securityRules/{name}` or `defaultSecurityRules/{name}`.
    pub name: String,
    /// `All` for every protocol, else as in the rule.
    pub protocol: &'static str,
    /// The only range of source ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_port_range: Option<String>,
    /// The ranges of source ports.
    pub source_port_ranges: Vec<String>,
    /// The only prefix or the tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_address_prefix: Option<String>,
    /// The prefixes or the tag.
    pub source_address_prefixes: Vec<String>,
    /// The application security groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_application_security_groups: Option<Vec<Ref>>,
    /// What a tag or the groups stand for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expanded_source_address_prefix: Option<Vec<String>>,
    /// As of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_port_range: Option<String>,
    /// As of the source.
    pub destination_port_ranges: Vec<String>,
    /// As of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_address_prefix: Option<String>,
    /// As of the source.
    pub destination_address_prefixes: Vec<String>,
    /// As of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_application_security_groups: Option<Vec<Ref>>,
    /// As of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expanded_destination_address_prefix: Option<Vec<String>>,
    /// What happens to a flow that matches.
    pub access: Access,
    /// 100 to 4096, or 65000 and above for the defaults.
    pub priority: u16,
    /// The direction of the flow's first packet.
    pub direction: Direction,
}

/// The groups in force at one of the machine's NICs, subnet first, as inbound traffic meets them.
///
/// # Errors
/// As [`crate::resolve::resolve`].
pub fn effective(inputs: &Inputs, nic: &NicInput) -> Result<Vec<EffectiveGroup>, ResolveError> {
    let resolver = NicResolver { inputs, nic };
    let mut value = Vec::new();
    for (association, nsg) in resolver.attached() {
        let mut rules = Vec::new();
        for rule in listed(nsg)? {
            let spec = &rule.spec;
            let (source, destination) = resolver.sides(nsg, spec)?;
            let (source, destination) =
                (ShownSide::of(&spec.source, &source), ShownSide::of(&spec.destination, &destination));
            let kind = if rule.default { "defaultSecurityRules" } else { "securityRules" };
            rules.push(EffectiveRule {
                name: format!("{kind}/{}", spec.name),
                protocol: if spec.protocol == Protocol::Any { "All" } else { spec.protocol.as_str() },
                source_port_range: source.port_range,
                source_port_ranges: source.port_ranges,
                source_address_prefix: source.prefix,
                source_address_prefixes: source.prefixes,
                source_application_security_groups: source.groups,
                expanded_source_address_prefix: source.expanded,
                destination_port_range: destination.port_range,
                destination_port_ranges: destination.port_ranges,
                destination_address_prefix: destination.prefix,
                destination_address_prefixes: destination.prefixes,
                destination_application_security_groups: destination.groups,
                expanded_destination_address_prefix: destination.expanded,
                access: spec.access,
                priority: spec.priority,
                direction: spec.direction,
            });
        }
        let (subnet, nic) = match association {
            Association::Subnet(id) => (Some(Ref { id }), None),
            Association::Nic(id) => (None, Some(Ref { id })),
        };
        value.push(EffectiveGroup {
            network_security_group: Ref { id: nsg.id.to_string() },
            association: EffectiveAssociation { subnet, network_interface: nic },
            effective_security_rules: rules,
        });
    }
    Ok(value)
}

/// One side of a rule as it is shown.
struct ShownSide {
    port_range: Option<String>,
    port_ranges: Vec<String>,
    prefix: Option<String>,
    prefixes: Vec<String>,
    groups: Option<Vec<Ref>>,
    expanded: Option<Vec<String>>,
}

impl ShownSide {
    fn of(spec: &Side, addresses: &Addresses) -> ShownSide {
        let port_ranges: Vec<String> = match &spec.ports {
            Ports::Any => vec!["0-65535".to_owned()],
            Ports::Only(ranges) => {
                ranges.iter().map(|r: &PortRange| format!("{}-{}", r.first(), r.last())).collect()
            }
        };
        let nets = match addresses {
            Addresses::Any => vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()],
            Addresses::Only(nets) => nets.iter().map(IpNet::to_string).collect(),
        };
        let only = |list: &[String]| match list {
            [only] => Some(only.clone()),
            _ => None,
        };
        let (prefix, prefixes, groups, expanded) = match &spec.addresses {
            AddressSpec::Any => (Some("0.0.0.0/0".to_owned()), nets, None, None),
            AddressSpec::Tag(tag) => (Some(tag.clone()), vec![tag.clone()], None, Some(nets)),
            AddressSpec::Prefixes(_) => (only(&nets), nets, None, None),
            AddressSpec::Groups(groups) => {
                let groups = groups.iter().map(|id| Ref { id: id.to_string() }).collect();
                (None, nets.clone(), Some(groups), Some(nets))
            }
        };
        ShownSide { port_range: only(&port_ranges), port_ranges, prefix, prefixes, groups, expanded }
    }
}
