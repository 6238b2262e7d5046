//! From the database to each machine's part: gathers what [`resolve`](crate::resolve) asks for, once for all machines.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use async_trait::async_trait;
use ipnet::IpNet;
use schemars::JsonSchema;
use sekisho_arm::traits::read_document;
use sekisho_arm::{ArmError, Listing, Read, Resource, Scope};
use sekisho_link::machine::{Desired, PartCompiler, kind};
use serde::Serialize;
use serde_json::Value;

use super::managers::Governed;
use super::{lookup, tag_sets, tags, traffic, type_name};
use crate::effective::{EffectiveGroup, effective};
use crate::platform::PlatformService;
use crate::policy::{
    Addresses, Association, Direction, InterfaceName, MacAddress, NicPolicy, NsgPart, Ports, Protocol, Rule,
    RuleAction, Stage,
};
use crate::resolve::{AttachedNsg, Inputs, NicInput, NicResolver, Tags, resolve};
use crate::resources::VirtualNetwork;

/// Makes the `nsg` part of desired documents.
pub struct Compiler;

/// What an interface's machine runs in.
const AZURE: &str = "Azure";
/// The part's name.
const PART: &str = "nsg";

#[async_trait]
impl PartCompiler for Compiler {
    fn part(&self) -> &'static str {
        PART
    }

    fn watches(&self, kind: &str) -> bool {
        kind == tags::type_name().key()
            || kind == tag_sets::type_name().key()
            || super::managers::watches(kind)
            || matches!(
                kind,
                "microsoft.network/networksecuritygroups"
                    | "microsoft.network/applicationsecuritygroups"
                    | "microsoft.network/networkinterfaces"
                    | "microsoft.network/virtualnetworks"
            )
    }

    async fn compile(&self, read: &mut dyn Read) -> Result<BTreeMap<String, Value>, ArmError> {
        let world = World::load(read, &Scope::Tenant, Whose::Everybodys).await?;
        let mut by_machine: BTreeMap<String, Vec<&Resource>> = BTreeMap::new();
        for nic in &world.nics {
            if let Some(machine) = lookup::reference(nic, "virtualMachine") {
                by_machine.entry(machine.key()).or_default().push(nic);
            }
        }
        let mut out = BTreeMap::new();
        for (machine, nics) in by_machine {
            let made = nics.iter().map(|n| world.input(n)).collect::<Result<Vec<_>, _>>();
            let resolved = made.and_then(|nics| {
                let subscription = nics.first().and_then(|n| n.id.subscription_scope());
                resolve(&world.inputs(nics, subscription.as_ref()))
                    .map_err(|e| ArmError::bad("Unresolvable", e.to_string()))
            });
            match resolved {
                Ok(part) => {
                    let part = NsgPart {
                        nics: part
                            .nics
                            .into_iter()
                            .filter(|n| !n.inbound.is_empty() || !n.outbound.is_empty())
                            .collect(),
                    };
                    out.insert(machine, serde_json::to_value(part).map_err(|_| ArmError::internal())?);
                }
                // What cannot be resolved must not loosen what is in force: the machine keeps the part it has.
                Err(_) => {
                    if let Some(kept) = kept_part(read, &machine).await? {
                        out.insert(machine, kept);
                    }
                }
            }
        }
        Ok(out)
    }

    fn changes(&self, before: Option<&Value>, after: Option<&Value>) -> Vec<Value> {
        let all = changes(&part_of(before), &part_of(after));
        all.iter().filter_map(|effect| serde_json::to_value(effect).ok()).collect()
    }

    fn effects(&self, pairs: &[(Option<&Value>, Option<&Value>)]) -> Vec<Vec<Value>> {
        let pairs: Vec<_> = pairs.iter().map(|(a, b)| (part_of(*a), part_of(*b))).collect();
        traffic::effects(&pairs)
    }
}

fn part_of(value: Option<&Value>) -> NsgPart {
    value.and_then(|v| serde_json::from_value(v.clone()).ok()).unwrap_or_default()
}

async fn kept_part(read: &mut dyn Read, machine: &str) -> Result<Option<Value>, ArmError> {
    let desired: Option<Desired> = read_document(read, kind::DESIRED, machine).await?;
    let document = desired.and_then(|d| serde_json::from_str::<Value>(&d.text.document).ok());
    Ok(document.and_then(|d| d["parts"].get(PART).cloned()))
}

/// `effectiveNetworkSecurityGroups` of one interface, and what passes whatever they say.
pub(super) async fn effective_at(
    read: &mut dyn Read,
    nic: &Resource,
) -> Result<(Vec<EffectiveGroup>, BTreeSet<PlatformService>), ArmError> {
    let around = nic.id.subscription_scope().unwrap_or(Scope::Tenant);
    let world = World::load(read, &around, Whose::Of(nic)).await?;
    let input = world.input(nic)?;
    let inputs = world.inputs(vec![input.clone()], Some(&around));
    let groups = effective(&inputs, &input)
        .map_err(|e| ArmError::new(409, "EffectiveRulesUnavailable", format!("{e}.")))?;
    Ok((groups, NicResolver { inputs: &inputs, nic: &input }.platform()))
}

/// The policy of one interface, as its machine is told.
pub(super) async fn policy_at(read: &mut dyn Read, nic: &Resource) -> Result<NicPolicy, ArmError> {
    let around = nic.id.subscription_scope().unwrap_or(Scope::Tenant);
    let world = World::load(read, &around, Whose::Of(nic)).await?;
    let inputs = world.inputs(vec![world.input(nic)?], Some(&around));
    let part =
        resolve(&inputs).map_err(|e| ArmError::new(409, "EffectiveRulesUnavailable", format!("{e}.")))?;
    part.nics.into_iter().next().ok_or_else(ArmError::internal)
}

/// A group's rules as its interfaces have them; those that mean the same at several are one.
pub(super) struct View {
    /// At how many.
    pub(super) interfaces: usize,
    pub(super) inbound: Stage,
    pub(super) outbound: Stage,
    /// What stands above it there, inbound and outbound.
    pub(super) above: (Vec<Rule>, Vec<Rule>),
}

/// What the rules of a group mean where it is attached; where it is attached nowhere, at an interface in no network.
pub(super) async fn views(read: &mut dyn Read, group: &Scope) -> Result<Vec<View>, ArmError> {
    let around = group.subscription_scope().unwrap_or(Scope::Tenant);
    let world = World::load(read, &around, Whose::Behind(group)).await?;
    let mut inputs: Vec<NicInput> = Vec::new();
    for nic in &world.nics {
        // An interface whose groups cannot be read says nothing of this one.
        let Ok(input) = world.input(nic) else { continue };
        if input.is_behind(group) {
            inputs.push(input);
        }
    }
    let attached = !inputs.is_empty();
    if !attached {
        inputs.push(NicInput {
            id: group.clone(),
            mac: None,
            interface: InterfaceName::new("eth0").map_err(|_| ArmError::internal())?,
            addresses: Vec::new(),
            network: None,
            nic_nsg: Some(world.attached(group)?),
            subnet_nsg: None,
            groups: HashSet::new(),
            in_azure: false,
            admin: None,
        });
    }
    let part = resolve(&world.inputs(inputs, Some(&around)))
        .map_err(|e| ArmError::new(409, "EffectiveRulesUnavailable", format!("{e}.")))?;
    let name = group.to_string();
    let mut views: Vec<View> = Vec::new();
    for nic in part.nics {
        let managers = |stages: &[Stage]| -> Vec<Rule> {
            let of = stages.iter().filter(|s| matches!(s.association, Association::Manager(_)));
            of.flat_map(|s| s.rules.clone()).collect()
        };
        let above = (managers(&nic.inbound), managers(&nic.outbound));
        let stage = |stages: Vec<Stage>| stages.into_iter().find(|s| s.nsg.eq_ignore_ascii_case(&name));
        let (Some(inbound), Some(outbound)) = (stage(nic.inbound), stage(nic.outbound)) else { continue };
        let same = |v: &&mut View| {
            v.inbound.rules == inbound.rules && v.outbound.rules == outbound.rules && v.above == above
        };
        match views.iter_mut().find(same) {
            Some(view) => view.interfaces += 1,
            None => views.push(View { interfaces: usize::from(attached), inbound, outbound, above }),
        }
    }
    Ok(views)
}

/// Whose policies are asked for.
#[derive(Clone, Copy)]
pub(super) enum Whose<'a> {
    Everybodys,
    /// Those of the interfaces behind a group, in its subscription.
    Behind(&'a Scope),
    /// That of one interface.
    Of(&'a Resource),
}

/// Interfaces that mention one of these words. A fleet has thousands, and all who write wait for whoever reads them.
async fn mentioning(
    read: &mut dyn Read,
    scope: &Scope,
    words: BTreeSet<String>,
) -> Result<Vec<Resource>, ArmError> {
    let all = Listing::of(scope, &type_name("networkInterfaces"));
    // Of other letters, databases have ideas of their own about which are the same.
    let all = if words.iter().all(|word| word.is_ascii()) {
        all.mentioning(words.into_iter().collect())
    } else {
        all
    };
    Ok(read.list(&all).await?)
}

/// What every interface behind a group mentions: the group, or a network with a subnet that does.
fn words_behind(group: &Scope, networks: &[Resource]) -> BTreeSet<String> {
    let own = group.name().to_ascii_lowercase();
    let mentions = |network: &&Resource| {
        let text = Value::Object(network.rest.clone()).to_string();
        text.to_ascii_lowercase().contains(&own)
    };
    let networks: Vec<_> = networks.iter().filter(mentions).map(|n| n.id.name().to_owned()).collect();
    networks.into_iter().chain([own]).collect()
}

/// The names of the application security groups that rules name.
fn named_groups(groups: &[Resource]) -> BTreeSet<String> {
    let rules = groups.iter().flat_map(|group| lookup::rules(group).unwrap_or_default());
    rules.flat_map(|rule| rule.properties.named_groups().collect::<Vec<_>>()).collect()
}

/// Everything in a scope that decides policies.
pub(super) struct World {
    /// The interfaces whose policies were asked for, and maybe others.
    pub(super) nics: Vec<Resource>,
    // Read once, not once for each NIC; what cannot be read fails only those who use it.
    groups: HashMap<Scope, Result<AttachedNsg, ArmError>>,
    networks: HashMap<Scope, Result<VirtualNetwork, ArmError>>,
    members: HashMap<Scope, Vec<IpAddr>>,
    tags: HashMap<Scope, Tags>,
    /// Those of Azure's list that are named.
    imported: Tags,
    admin: Governed,
}

impl World {
    pub(super) async fn load(
        read: &mut dyn Read,
        scope: &Scope,
        whose: Whose<'_>,
    ) -> Result<World, ArmError> {
        Self::load_with(read, scope, whose, BTreeSet::new()).await
    }

    /// The same, with the meaning of further tags, names in lower case.
    pub(super) async fn load_with(
        read: &mut dyn Read,
        scope: &Scope,
        whose: Whose<'_>,
        mut tags: BTreeSet<String>,
    ) -> Result<World, ArmError> {
        let list =
            async |read: &mut dyn Read, path: &str| read.list(&Listing::of(scope, &type_name(path))).await;
        let groups = list(read, "networkSecurityGroups").await?;
        let networks = list(read, "virtualNetworks").await?;
        let asgs = list(read, "applicationSecurityGroups").await?;
        let nics = match whose {
            Whose::Everybodys => list(read, "networkInterfaces").await?,
            Whose::Behind(group) => mentioning(read, scope, words_behind(group, &networks)).await?,
            Whose::Of(nic) => vec![nic.clone()],
        };
        let all_members;
        let members_in = match whose {
            Whose::Everybodys => &nics,
            _ => {
                all_members = mentioning(read, scope, named_groups(&groups)).await?;
                &all_members
            }
        };
        let mut members: HashMap<Scope, Vec<IpAddr>> = asgs.into_iter().map(|a| (a.id, Vec::new())).collect();
        let named = |group: &Resource| -> Vec<String> {
            let rules = lookup::rules(group).unwrap_or_default();
            rules.iter().flat_map(|r| r.properties.named_tags().map(str::to_ascii_lowercase)).collect()
        };
        tags.extend(groups.iter().flat_map(named));
        let admin = Governed::load(read).await?;
        tags.extend(admin.named_tags());
        let imported = tags::imported(read, &tags).await?;
        let mut tags_by_subscription = HashMap::new();
        for nic in members_in {
            let typed = lookup::nic(nic)?;
            let addresses = lookup::addresses_of(&typed);
            for group in lookup::groups_of(&typed) {
                if let Some(list) = members.get_mut(&group) {
                    list.extend(&addresses);
                }
            }
        }
        for nic in &nics {
            if let Some(subscription) = nic.id.subscription_scope()
                && !tags_by_subscription.contains_key(&subscription)
            {
                let mut known = imported.clone();
                tags::add_defined(read, &subscription, &mut known).await?;
                tags_by_subscription.insert(subscription, known);
            }
        }
        for list in members.values_mut() {
            list.sort();
            list.dedup();
        }
        let attached = |group: Resource| {
            let typed = lookup::group(&group);
            (
                group.id.clone(),
                typed.and_then(|typed| {
                    let (existing_flows, audit) = (typed.existing_flows()?, typed.is_audit()?);
                    let platform = typed.platform_exceptions()?;
                    Ok(AttachedNsg {
                        id: group.id,
                        rules: typed.properties.security_rules.unwrap_or_default(),
                        audit,
                        existing_flows,
                        platform,
                    })
                }),
            )
        };
        Ok(World {
            groups: groups.into_iter().map(attached).collect(),
            networks: networks.into_iter().map(|n| (n.id.clone(), lookup::network(&n))).collect(),
            nics,
            members,
            imported,
            admin,
            tags: tags_by_subscription,
        })
    }

    pub(super) fn inputs(&self, nics: Vec<NicInput>, subscription: Option<&Scope>) -> Inputs {
        let tags = subscription.and_then(|s| self.tags.get(s)).unwrap_or(&self.imported).clone();
        Inputs { nics, groups: self.members.clone(), tags }
    }

    fn attached(&self, group: &Scope) -> Result<AttachedNsg, ArmError> {
        self.groups.get(group).cloned().unwrap_or_else(|| Err(ArmError::not_found(group)))
    }

    pub(super) fn input(&self, nic: &Resource) -> Result<NicInput, ArmError> {
        let typed = lookup::nic(nic)?;
        let interface =
            typed.properties.sekisho.as_ref().and_then(|s| s.interface.clone()).unwrap_or_default();
        let interface =
            InterfaceName::new(interface).map_err(|e| ArmError::bad("InvalidInterface", e.to_string()))?;
        let mac = typed.properties.mac_address.as_deref().and_then(|m| MacAddress::parse(m).ok());
        let subnet = lookup::subnets_of(&typed).into_iter().next();
        let network_id = subnet.as_ref().and_then(Scope::parent);
        let network = network_id.as_ref().and_then(|id| self.networks.get(id));
        let network = network.map(|n| n.as_ref().map_err(Clone::clone)).transpose()?;
        let space: Option<Vec<IpNet>> = network.map(VirtualNetwork::prefixes).transpose()?;
        let subnet_nsg = match (&subnet, network) {
            (Some(id), Some(network)) => {
                let subnets = network.properties.subnets.iter().flatten();
                let own = subnets
                    .into_iter()
                    .find(|s| s.name.as_deref().is_some_and(|n| n.eq_ignore_ascii_case(id.name())));
                let group = own.and_then(|s| {
                    Scope::parse(s.properties.network_security_group.as_ref()?.id.as_deref()?).ok()
                });
                group.map(|g| self.attached(&g).map(|nsg| (id.clone(), nsg))).transpose()?
            }
            _ => None,
        };
        let nic_nsg =
            lookup::reference(nic, "networkSecurityGroup").map(|g| self.attached(&g)).transpose()?;
        let addresses = typed
            .properties
            .ip_configurations
            .iter()
            .flatten()
            .filter_map(|c| {
                let address: IpAddr = c.properties.private_ip_address.as_deref()?.parse().ok()?;
                let length = c
                    .properties
                    .other
                    .get("prefixLength")
                    .and_then(Value::as_u64)
                    .and_then(|l| u8::try_from(l).ok());
                IpNet::new(address, length.unwrap_or(if address.is_ipv4() { 32 } else { 128 })).ok()
            })
            .collect();
        Ok(NicInput {
            id: nic.id.clone(),
            mac,
            interface,
            addresses,
            network: space,
            nic_nsg,
            subnet_nsg,
            groups: lookup::groups_of(&typed),
            in_azure: typed.properties.sekisho.as_ref().is_some_and(|s| s.platform.as_deref() == Some(AZURE)),
            admin: self.admin.above(network_id.as_ref(), subnet.as_ref()),
        })
    }
}

/// A rule that a machine loses or gains.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RuleEffect {
    /// Which of the two.
    pub kind: EffectKind,
    /// The interface on the machine.
    pub interface: String,
    /// The direction of the flows.
    pub direction: Direction,
    /// Whose group the rule is in.
    pub stage: EffectStage,
    /// The rule.
    pub rule: EffectRule,
}

/// Whether a rule comes or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EffectKind {
    /// It comes.
    Added,
    /// It goes.
    Removed,
}

/// Whose group a rule is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EffectStage {
    /// The subnet's.
    Subnet,
    /// The NIC's.
    Nic,
    /// Of a network manager, above all groups.
    Manager,
}

/// A rule as a person reviews it; `*` is everything.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EffectRule {
    /// Its name in its group.
    pub name: String,
    /// Lower is asked first.
    pub priority: u16,
    /// What it does.
    pub access: RuleAction,
    /// The protocol.
    pub protocol: Protocol,
    /// Whether it denies nothing, because its group only counts what it would deny.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub audit_only: bool,
    /// Prefixes.
    pub source: Vec<String>,
    /// Prefixes.
    pub destination: Vec<String>,
    /// Ports and ranges.
    pub source_ports: Vec<String>,
    /// Ports and ranges.
    pub destination_ports: Vec<String>,
}

/// One rule at one place.
#[derive(PartialEq)]
struct Place<'a> {
    audit: bool,
    interface: &'a str,
    direction: Direction,
    stage: EffectStage,
    rule: &'a Rule,
}

fn places(part: &NsgPart) -> Vec<Place<'_>> {
    let mut out = Vec::new();
    for nic in &part.nics {
        for direction in [Direction::Inbound, Direction::Outbound] {
            for stage in nic.stages(direction) {
                let place = match stage.association {
                    Association::Subnet(_) => EffectStage::Subnet,
                    Association::Nic(_) => EffectStage::Nic,
                    Association::Manager(_) => EffectStage::Manager,
                };
                let interface = nic.interface.as_str();
                let audit = stage.audit;
                out.extend(stage.rules.iter().map(|rule| Place {
                    audit,
                    interface,
                    direction,
                    stage: place,
                    rule,
                }));
            }
        }
    }
    out
}

/// The rules that a machine loses and gains.
fn changes(before: &NsgPart, after: &NsgPart) -> Vec<RuleEffect> {
    let (old, new) = (places(before), places(after));
    let gone = old.iter().filter(|p| !new.contains(p)).map(|p| (EffectKind::Removed, p));
    let fresh = new.iter().filter(|p| !old.contains(p)).map(|p| (EffectKind::Added, p));
    gone.chain(fresh)
        .map(|(kind, p)| RuleEffect {
            kind,
            interface: p.interface.to_owned(),
            direction: p.direction,
            stage: p.stage,
            rule: EffectRule {
                name: p.rule.name.clone(),
                priority: p.rule.priority,
                access: p.rule.access,
                audit_only: p.audit,
                protocol: p.rule.protocol,
                source: addresses(&p.rule.source),
                destination: addresses(&p.rule.destination),
                source_ports: ports(&p.rule.source_ports),
                destination_ports: ports(&p.rule.destination_ports),
            },
        })
        .collect()
}

fn addresses(set: &Addresses) -> Vec<String> {
    match set {
        Addresses::Any => vec!["*".to_owned()],
        Addresses::Only(nets) => nets.iter().map(ToString::to_string).collect(),
    }
}

fn ports(set: &Ports) -> Vec<String> {
    match set {
        Ports::Any => vec!["*".to_owned()],
        Ports::Only(ranges) => ranges.iter().map(ToString::to_string).collect(),
    }
}
