//! Azure's "effective security rules": what is really enforced at a NIC, in the JSON of
//! `networkInterfaces/{name}/effectiveNetworkSecurityGroups`.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Serialize;

use crate::policy::{Addresses, Association, Direction, PortRange, Ports, Protocol, RuleAction};
use crate::resolve::{AdminRules, Inputs, NicInput, NicResolver, ResolveError, listed};
use crate::resources::{AddressSpec, AdminAddress, AdminRuleSpec, Side};

/// One NSG in force at a NIC.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveGroup {
    /// The NSG; nothing for the rules of network managers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_security_group: Option<Ref>,
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

/// What an NSG is attached to, or the network manager whose rules stand above: one of the three.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveAssociation {
    /// A subnet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet: Option<Ref>,
    /// A NIC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface: Option<Ref>,
    /// A network manager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_manager: Option<Ref>,
}

/// A rule with its names resolved.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveRule {
    /// `securityRules/{name}`, `defaultSecurityRules/{name}` or `securityAdminRules/{name}`.
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
    pub access: RuleAction,
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
    let mut value: Vec<EffectiveGroup> = Vec::new();
    if let Some(admin) = &nic.admin {
        value.push(admin_rules(&resolver, admin)?);
    }
    for (association, nsg) in resolver.attached() {
        let mut rules = Vec::new();
        for rule in listed(nsg)? {
            let spec = &rule.spec;
            let (source, destination) = resolver.sides(nsg, spec)?;
            let (source, destination) =
                (ShownSide::of(&spec.source, &source), ShownSide::of(&spec.destination, &destination));
            let kind = if rule.default { "defaultSecurityRules" } else { "securityRules" };
            let name = format!("{kind}/{}", spec.name);
            let head = (name, spec.protocol, spec.access.into(), spec.priority, spec.direction);
            rules.push(EffectiveRule::of(head, source, destination));
        }
        let (subnet, nic) = match association {
            Association::Subnet(id) => (Some(Ref { id }), None),
            Association::Nic(id) | Association::Manager(id) => (None, Some(Ref { id })),
        };
        value.push(EffectiveGroup {
            network_security_group: Some(Ref { id: nsg.id.to_string() }),
            association: EffectiveAssociation { subnet, network_interface: nic, network_manager: None },
            effective_security_rules: rules,
        });
    }
    Ok(value)
}

/// The rules of network managers, in the same words.
fn admin_rules(resolver: &NicResolver<'_>, admin: &AdminRules) -> Result<EffectiveGroup, ResolveError> {
    let manager = admin.manager.to_string();
    let rule = |spec: &AdminRuleSpec| {
        let side = |addresses: &[AdminAddress], ports: &Ports| {
            let resolved = resolver.admin_addresses(&manager, spec, addresses)?;
            let addresses = match addresses {
                [AdminAddress::Tag(tag)] => AddressSpec::Tag(tag.clone()),
                [AdminAddress::Any] => AddressSpec::Any,
                _ => AddressSpec::Prefixes(Vec::new()),
            };
            Ok(ShownSide::of(&Side { addresses, ports: ports.clone() }, &resolved))
        };
        let source = side(&spec.sources, &spec.source_ports)?;
        let destination = side(&spec.destinations, &spec.destination_ports)?;
        let name = format!("securityAdminRules/{}", spec.name);
        let head = (name, spec.protocol, spec.access, spec.priority, spec.direction);
        Ok(EffectiveRule::of(head, source, destination))
    };
    Ok(EffectiveGroup {
        network_security_group: None,
        association: EffectiveAssociation {
            subnet: None,
            network_interface: None,
            network_manager: Some(Ref { id: manager.clone() }),
        },
        effective_security_rules: admin.rules.iter().map(rule).collect::<Result<_, ResolveError>>()?,
    })
}

impl EffectiveRule {
    fn of(
        (name, protocol, access, priority, direction): (String, Protocol, RuleAction, u16, Direction),
        source: ShownSide,
        destination: ShownSide,
    ) -> EffectiveRule {
        EffectiveRule {
            name,
            protocol: if protocol == Protocol::Any { "All" } else { protocol.as_str() },
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
            access,
            priority,
            direction,
        }
    }
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
