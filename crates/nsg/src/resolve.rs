//! From names to addresses: what an NSG says becomes what one machine enforces.
//!
//! Pure: everything that must be looked up comes in as [`Inputs`]. An unknown tag or group is an error and never an
//! empty or a full set, because a `Deny Storage` that silently matches nothing, or an `Allow` that matches everything,
//! is worse than keeping yesterday's policy.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sekisho_arm::{ArmError, Scope};

use crate::existing::ExistingFlows;
use crate::platform::{PlatformExceptions, PlatformService};
use crate::policy::{
    Addresses, Association, Direction, InterfaceName, MacAddress, NicPolicy, NsgPart, Rule, Stage,
};
use crate::resources::{AddressSpec, AdminAddress, AdminRuleSpec, RuleSpec, SecurityRule, default_rules};

/// The address that health probes and the platform's services come from.
const LOAD_BALANCER: Ipv4Addr = crate::platform::HOST;

/// Everything that decides what one machine enforces.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// The machine's NICs.
    pub nics: Vec<NicInput>,
    /// Of every application security group that exists, the addresses of its member NICs (on all machines).
    pub groups: HashMap<Scope, Vec<IpAddr>>,
    /// The tags that rules name, but those with a meaning of their own.
    pub tags: Tags,
}

/// One NIC and what is attached to it.
#[derive(Debug, Clone)]
pub struct NicInput {
    /// The id of the network interface resource.
    pub id: Scope,
    /// The hardware address, if known.
    pub mac: Option<MacAddress>,
    /// The interface on the machine.
    pub interface: InterfaceName,
    /// The NIC's addresses with the length of their on-link prefix.
    pub addresses: Vec<IpNet>,
    /// The address space of the NIC's virtual network and of networks joined to it; `None` in no network.
    pub network: Option<Vec<IpNet>>,
    /// The NSG attached to the NIC.
    pub nic_nsg: Option<AttachedNsg>,
    /// The NIC's subnet and the NSG attached to it.
    pub subnet_nsg: Option<(Scope, AttachedNsg)>,
    /// The application security groups that the NIC is a member of.
    pub groups: HashSet<Scope>,
    /// Whether the machine runs in Azure.
    pub in_azure: bool,
    /// What stands above its groups.
    pub admin: Option<AdminRules>,
}

impl NicInput {
    /// Whether a group is attached to it or to its subnet.
    pub fn is_behind(&self, group: &Scope) -> bool {
        let own = |nsg: &AttachedNsg| nsg.id == *group;
        self.nic_nsg.as_ref().is_some_and(own) || self.subnet_nsg.as_ref().is_some_and(|(_, g)| own(g))
    }
}

/// An NSG as it is stored: the user's rules only.
#[derive(Debug, Clone)]
pub struct AttachedNsg {
    /// The id of the NSG.
    pub id: Scope,
    /// The user's rules in any order.
    pub rules: Vec<SecurityRule>,
    /// Whether its denials are only counted.
    pub audit: bool,
    /// What becomes of flows that exist when they change; of several groups at a NIC the strictest counts.
    pub existing_flows: ExistingFlows,
    /// What it says of the platform's services; of several groups at a NIC the strictest counts.
    pub platform: PlatformExceptions,
}

/// Rules of network managers that stand above the groups of a NIC, in the order in which they are asked.
#[derive(Debug, Clone)]
pub struct AdminRules {
    /// The first of the managers.
    pub manager: Scope,
    /// The network or the subnet by which the NIC is concerned.
    pub network: Scope,
    /// The rules.
    pub rules: Vec<AdminRuleSpec>,
}

/// Tags that stand for lists of prefixes, Azure's and users'; names compare without case. Lists may be long, and a clone
/// shares them.
#[derive(Debug, Clone, Default)]
pub struct Tags(BTreeMap<String, Arc<[IpNet]>>);

impl Tags {
    /// Defines a tag. An empty list is a tag that matches nothing.
    pub fn insert(&mut self, name: &str, prefixes: Vec<IpNet>) {
        self.0.insert(name.to_ascii_lowercase(), prefixes.into());
    }

    /// The prefixes of a tag.
    pub fn get(&self, name: &str) -> Option<&[IpNet]> {
        self.0.get(&name.to_ascii_lowercase()).map(AsRef::as_ref)
    }
}

/// Why a machine's policy cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ResolveError {
    /// A rule names a tag that does not exist.
    #[error("the rule '{rule}' of {nsg} names the unknown service tag '{tag}'")]
    UnknownTag {
        /// The NSG's id.
        nsg: String,
        /// The rule's name.
        rule: String,
        /// The tag as written.
        tag: String,
    },
    /// A rule names an application security group that does not exist.
    #[error("the rule '{rule}' of {nsg} names the unknown application security group {group}")]
    UnknownGroup {
        /// The NSG's id.
        nsg: String,
        /// The rule's name.
        rule: String,
        /// The group's id.
        group: String,
    },
    /// A stored rule does not parse; validation was bypassed or has become stricter.
    #[error("the rule '{rule}' of {nsg} is not valid: {error}")]
    InvalidRule {
        /// The NSG's id.
        nsg: String,
        /// The rule's name.
        rule: String,
        /// What is wrong with it.
        error: Box<ArmError>,
    },
}

/// Makes the policy of a machine.
///
/// # Errors
/// [`ResolveError`] when a rule names something unknown. There is no partial result.
pub fn resolve(inputs: &Inputs) -> Result<NsgPart, ResolveError> {
    Ok(NsgPart { nics: policies(inputs).collect::<Result<_, _>>()? })
}

/// The policy of each NIC.
pub(crate) fn policies(inputs: &Inputs) -> impl Iterator<Item = Result<NicPolicy, ResolveError>> {
    inputs.nics.iter().map(move |nic| NicResolver { inputs, nic }.policy())
}

/// An NSG's rule of one direction, and whether it is one of the defaults.
pub(crate) struct Listed {
    pub(crate) spec: RuleSpec,
    pub(crate) default: bool,
}

/// User rules and defaults of an NSG in the order they are asked, inbound first.
pub(crate) fn listed(nsg: &AttachedNsg) -> Result<Vec<Listed>, ResolveError> {
    let id = nsg.id.to_string();
    let parse = |(rule, default): (&SecurityRule, bool)| {
        let name = rule.name.as_deref().unwrap_or_default();
        rule.properties.parse(name).map(|spec| Listed { spec, default }).map_err(|error| {
            ResolveError::InvalidRule { nsg: id.clone(), rule: name.to_owned(), error: Box::new(error) }
        })
    };
    let defaults = default_rules(&id);
    let user = nsg.rules.iter().map(|r| (r, false));
    let mut rules: Vec<Listed> =
        user.chain(defaults.iter().map(|r| (r, true))).map(parse).collect::<Result<_, _>>()?;
    rules.sort_by_key(|r| (r.spec.direction, r.spec.priority));
    Ok(rules)
}

/// Resolves the names of one NIC's rules.
pub(crate) struct NicResolver<'a> {
    pub(crate) inputs: &'a Inputs,
    pub(crate) nic: &'a NicInput,
}

impl NicResolver<'_> {
    fn policy(&self) -> Result<NicPolicy, ResolveError> {
        let mut inbound = Vec::new();
        let mut outbound = Vec::new();
        if let Some(admin) = &self.nic.admin {
            inbound.extend(self.admin_stage(admin, Direction::Inbound)?);
            outbound.extend(self.admin_stage(admin, Direction::Outbound)?);
        }
        let above = outbound.len();
        for (association, nsg) in self.attached() {
            let rules = listed(nsg)?;
            inbound.push(self.stage(nsg, association.clone(), &rules, Direction::Inbound)?);
            outbound.push(self.stage(nsg, association, &rules, Direction::Outbound)?);
        }
        outbound[above..].reverse();
        Ok(NicPolicy {
            mac: self.nic.mac,
            interface: self.nic.interface.clone(),
            inbound,
            outbound,
            guarded: Vec::new(),
            platform: self.platform(),
            existing_flows: self.attached().map(|(_, nsg)| nsg.existing_flows).max().unwrap_or_default(),
            logged: false,
        })
    }

    /// The NSGs in the order inbound traffic meets them.
    pub(crate) fn attached(&self) -> impl Iterator<Item = (Association, &AttachedNsg)> {
        let subnet = self.nic.subnet_nsg.iter().map(|(id, nsg)| (Association::Subnet(id.to_string()), nsg));
        let own = self.nic.nic_nsg.iter().map(|nsg| (Association::Nic(self.nic.id.to_string()), nsg));
        subnet.chain(own)
    }

    /// The services of the platform that are reached whatever the rules say.
    pub(crate) fn platform(&self) -> BTreeSet<PlatformService> {
        let said = self.attached().map(|(_, nsg)| nsg.platform).max().unwrap_or_default();
        let rules = self.attached().flat_map(|(_, nsg)| &nsg.rules);
        let outbound = rules.filter(|rule| {
            rule.properties.direction.as_deref().and_then(Direction::parse) != Some(Direction::Inbound)
        });
        said.reached(self.nic.in_azure, outbound.flat_map(|rule| rule.properties.named_tags()))
    }

    /// The rules of network managers for a direction; `None` when there is none.
    fn admin_stage(&self, admin: &AdminRules, direction: Direction) -> Result<Option<Stage>, ResolveError> {
        let nsg = admin.manager.to_string();
        let mut rules = Vec::new();
        for spec in admin.rules.iter().filter(|rule| rule.direction == direction) {
            rules.push(Rule {
                name: spec.name.clone(),
                priority: spec.priority,
                access: spec.access,
                protocol: spec.protocol,
                source: self.admin_addresses(&nsg, spec, &spec.sources)?,
                destination: self.admin_addresses(&nsg, spec, &spec.destinations)?,
                source_ports: spec.source_ports.clone(),
                destination_ports: spec.destination_ports.clone(),
            });
        }
        let association = Association::Manager(admin.network.to_string());
        Ok((!rules.is_empty()).then_some(Stage { nsg, association, audit: false, rules }))
    }

    /// What the addresses of an admin rule mean at this NIC: all that its prefixes and tags hold together.
    pub(crate) fn admin_addresses(
        &self,
        nsg: &str,
        spec: &AdminRuleSpec,
        addresses: &[AdminAddress],
    ) -> Result<Addresses, ResolveError> {
        let mut nets = Vec::new();
        for address in addresses {
            match address {
                AdminAddress::Any => return Ok(Addresses::Any),
                AdminAddress::Prefix(net) => nets.push(*net),
                AdminAddress::Tag(tag) => {
                    nets.extend(self.tag(tag).ok_or_else(|| ResolveError::UnknownTag {
                        nsg: nsg.to_owned(),
                        rule: spec.name.clone(),
                        tag: tag.clone(),
                    })?)
                }
            }
        }
        Ok(Addresses::Only(nets))
    }

    fn stage(
        &self,
        nsg: &AttachedNsg,
        association: Association,
        rules: &[Listed],
        direction: Direction,
    ) -> Result<Stage, ResolveError> {
        let rule = |spec: &RuleSpec| {
            let (source, destination) = self.sides(nsg, spec)?;
            Ok(Rule {
                name: spec.name.clone(),
                priority: spec.priority,
                access: spec.access.into(),
                protocol: spec.protocol,
                source,
                destination,
                source_ports: spec.source.ports.clone(),
                destination_ports: spec.destination.ports.clone(),
            })
        };
        let of_direction = rules.iter().filter(|r| r.spec.direction == direction);
        Ok(Stage {
            nsg: nsg.id.to_string(),
            association,
            audit: nsg.audit,
            rules: of_direction.map(|r| rule(&r.spec)).collect::<Result<_, _>>()?,
        })
    }

    /// Source and destination of a rule as addresses.
    ///
    /// A rule that names groups on this NIC's own side (destination when inbound, source when outbound) is about their
    /// members; for any other NIC it matches nothing, even when somebody else's address is used.
    pub(crate) fn sides(
        &self,
        nsg: &AttachedNsg,
        spec: &RuleSpec,
    ) -> Result<(Addresses, Addresses), ResolveError> {
        let mut source = self.expand(nsg, spec, &spec.source.addresses)?;
        let mut destination = self.expand(nsg, spec, &spec.destination.addresses)?;
        let (own, addresses) = match spec.direction {
            Direction::Inbound => (&spec.destination.addresses, &mut destination),
            Direction::Outbound => (&spec.source.addresses, &mut source),
        };
        if let AddressSpec::Groups(groups) = own
            && !groups.iter().any(|g| self.nic.groups.contains(g))
        {
            *addresses = Addresses::none();
        }
        Ok((source, destination))
    }

    fn expand(
        &self,
        nsg: &AttachedNsg,
        spec: &RuleSpec,
        addresses: &AddressSpec,
    ) -> Result<Addresses, ResolveError> {
        match addresses {
            AddressSpec::Any => Ok(Addresses::Any),
            AddressSpec::Prefixes(nets) => Ok(Addresses::Only(nets.clone())),
            AddressSpec::Tag(tag) => {
                self.tag(tag).map(Addresses::Only).ok_or_else(|| ResolveError::UnknownTag {
                    nsg: nsg.id.to_string(),
                    rule: spec.name.clone(),
                    tag: tag.clone(),
                })
            }
            AddressSpec::Groups(groups) => {
                let mut nets = Vec::new();
                for group in groups {
                    let members =
                        self.inputs.groups.get(group).ok_or_else(|| ResolveError::UnknownGroup {
                            nsg: nsg.id.to_string(),
                            rule: spec.name.clone(),
                            group: group.to_string(),
                        })?;
                    nets.extend(members.iter().map(|a| IpNet::from(*a)));
                }
                Ok(Addresses::Only(nets))
            }
        }
    }

    /// The prefixes of a tag, seen from this NIC; `None` when there is no such tag.
    pub(crate) fn tag(&self, name: &str) -> Option<Vec<IpNet>> {
        let is = |tag: &str| name.eq_ignore_ascii_case(tag);
        if is("VirtualNetwork") {
            Some(self.virtual_network())
        } else if is("Internet") {
            Some(complement(&self.virtual_network()))
        } else if is("AzureLoadBalancer") {
            Some(vec![IpNet::from(IpAddr::V4(LOAD_BALANCER))])
        } else if let Some(service) = PlatformService::of_tag(name) {
            Some(service.addresses())
        } else {
            self.inputs.tags.get(name).map(<[IpNet]>::to_vec)
        }
    }

    /// Azure's `VirtualNetwork` holds the load balancer's address too (MicrosoftDocs/azure-docs#38326).
    fn virtual_network(&self) -> Vec<IpNet> {
        let mut nets: Vec<IpNet> = match &self.nic.network {
            Some(space) => space.clone(),
            None => self.nic.addresses.iter().map(IpNet::trunc).collect(),
        };
        nets.push(IpNet::from(IpAddr::V4(LOAD_BALANCER)));
        IpNet::aggregate(&nets)
    }
}

/// The prefixes of both families that cover exactly what `nets` does not.
pub fn complement(nets: &[IpNet]) -> Vec<IpNet> {
    let everything = [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
    let mut rest = Vec::new();
    for all in everything {
        subtract(all, nets, &mut rest);
    }
    rest
}

fn subtract(net: IpNet, holes: &[IpNet], rest: &mut Vec<IpNet>) {
    if holes.iter().any(|hole| hole.contains(&net)) {
        return;
    }
    let inside: Vec<IpNet> = holes.iter().copied().filter(|hole| net.contains(hole)).collect();
    let halves = (!inside.is_empty()).then(|| net.subnets(net.prefix_len() + 1).ok()).flatten();
    match halves {
        // A net that holds a smaller one can always be halved, so nothing is lost in the other arm.
        Some(halves) => halves.for_each(|half| subtract(half, &inside, rest)),
        None => rest.push(net),
    }
}
