//! `networkWatchers`: questions about what is in force, answered from the same policy that the machine enforces. Whoever asks
//! must be allowed to read the machine that is asked about, wherever the watcher is.

use std::net::IpAddr;

use async_trait::async_trait;
use ipnet::IpNet;
use schemars::SchemaGenerator;
use sekisho_arm::registry::{Action, ActionStyle};
use sekisho_arm::resource::{instant, shown, typed};
use sekisho_arm::traits::read_document;
use sekisho_arm::{ArmError, Call, Listing, Read, Resource, ResourceType, Scope, Storage, TypeSpec, Write};
use sekisho_link::facts::{Facts, Route};
use sekisho_link::machine;
use serde_json::Value;
use uuid::Uuid;

use super::{compiler, lookup, spec, type_name};
use crate::diagnose::{Matched, Traffic, diagnose};
use crate::evaluate::{Packet, evaluate};
use crate::policy::{
    Access, Addresses, Association, Direction, NicPolicy, PortRange, Ports, Protocol, Rule, RuleAction, Stage,
};
use crate::resources::network_watcher::*;
use crate::resources::{default_rules, validate_name};

pub(super) struct NetworkWatchers;

const MACHINE_READ: &str = "Microsoft.Compute/virtualMachines/read";
const NIC_READ: &str = "Microsoft.Network/networkInterfaces/read";
const GROUP_READ: &str = "Microsoft.Resources/subscriptions/resourceGroups/read";
/// The first priority of the rules that every group has.
const DEFAULTS: u16 = 65_000;
/// Most profiles of a question.
const MOST: usize = 100;

macro_rules! question {
    ($verb:literal, $style:ident, $title:literal, $takes:ty, $answers:ty) => {
        Action {
            verb: $verb,
            style: ActionStyle::$style,
            reads: true,
            title: $title,
            takes: |g: &mut SchemaGenerator| g.subschema_for::<$takes>(),
            answers: |g: &mut SchemaGenerator| g.subschema_for::<$answers>(),
        }
    };
}

static SPEC: TypeSpec = TypeSpec {
    actions: &[
        question!(
            "ipFlowVerify",
            LongRunning,
            "Says whether a packet passes, and which rule decides",
            VerificationIPFlowParameters,
            VerificationIPFlowResult
        ),
        question!("nextHop", LongRunning, "Says where a packet goes", NextHopParameters, NextHopResult),
        question!(
            "securityGroupView",
            LongRunning,
            "Shows every rule of a machine",
            SecurityGroupViewParameters,
            SecurityGroupViewResult
        ),
        question!(
            "networkConfigurationDiagnostic",
            LongRunning,
            "Says which rule decides some traffic, and why not another",
            NetworkConfigurationDiagnosticParameters,
            NetworkConfigurationDiagnosticResponse
        ),
        question!("topology", Sync, "Shows what is connected to what", TopologyParameters, Topology),
    ],
    ..spec("networkWatchers", Storage::Row)
};

#[async_trait]
impl ResourceType for NetworkWatchers {
    fn spec(&self) -> &TypeSpec {
        &SPEC
    }

    async fn prepare(
        &self,
        _: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        _: Option<&Resource>,
    ) -> Result<(), ArmError> {
        validate_name(draft.id.name())
    }

    fn links(&self, body: &Value) -> Vec<(Scope, &'static str)> {
        let id = |value: &Value| Scope::parse(value.as_str()?).ok();
        let mut out = Vec::new();
        for named in [&body["targetResourceId"], &body["targetNicResourceId"]] {
            out.extend(id(named).map(|id| {
                let nic = id.type_name().is("Microsoft.Network/networkInterfaces");
                (id, if nic { NIC_READ } else { MACHINE_READ })
            }));
        }
        out
    }

    fn links_within(&self, id: &Scope, body: &Value) -> Vec<(Scope, &'static str)> {
        around(id, body).ok().flatten().map(|group| (group, GROUP_READ)).into_iter().collect()
    }

    async fn act(
        &self,
        tx: &mut dyn Write,
        _: &Call,
        target: &Resource,
        verb: &str,
        body: Value,
    ) -> Result<Value, ArmError> {
        let read = tx.as_read();
        match verb {
            "ipFlowVerify" => verify(read, typed(&body, "")?).await,
            "nextHop" => next_hop(read, typed(&body, "")?).await,
            "securityGroupView" => view(read, typed(&body, "")?).await,
            "networkConfigurationDiagnostic" => diagnosed(read, typed(&body, "")?).await,
            _ => topology(read, &target.id, &body).await,
        }
    }
}

pub(super) fn invalid(field: &str, text: &str, what: &str) -> ArmError {
    let shown: String = text.chars().take(80).collect();
    ArmError::bad("InvalidParameter", format!("'{shown}' at '{field}' is not {what}."))
        .target(field.to_owned())
}

fn scope(field: &str, text: &str) -> Result<Scope, ArmError> {
    Scope::parse(text).map_err(|_| invalid(field, text, "a resource id"))
}

pub(super) fn address(field: &str, text: &str) -> Result<IpAddr, ArmError> {
    text.trim().parse().map_err(|_| invalid(field, text, "an IP address"))
}

pub(super) fn direction(text: &str) -> Result<Direction, ArmError> {
    Direction::parse(text).ok_or_else(|| invalid("direction", text, "Inbound or Outbound"))
}

fn port(field: &str, text: Option<&str>) -> Result<u16, ArmError> {
    let text = text.unwrap_or_default();
    text.trim().parse().map_err(|_| invalid(field, text, "a port from 0 to 65535"))
}

/// The interfaces that a machine has, or the one that is named.
async fn interfaces(read: &mut dyn Read, target: &str) -> Result<Vec<Resource>, ArmError> {
    let id = scope("targetResourceId", target)?;
    let kept = read.get(&id).await?.ok_or_else(|| ArmError::not_found(&id))?;
    if kept.type_name.is("Microsoft.Network/networkInterfaces") {
        return Ok(vec![kept]);
    }
    if !kept.type_name.is("Microsoft.Compute/virtualMachines") {
        return Err(invalid("targetResourceId", target, "the id of a virtual machine or network interface"));
    }
    Ok(machine::interfaces(read, &id).await?)
}

/// The interface that is meant: the one that is named, the one that has the address, or the only one.
async fn interface(
    read: &mut dyn Read,
    target: &str,
    named: Option<&str>,
    own: IpAddr,
) -> Result<Resource, ArmError> {
    let mut all = interfaces(read, target).await?;
    if let Some(named) = named {
        let id = scope("targetNicResourceId", named)?;
        let found = all.into_iter().find(|nic| nic.id == id);
        return found.ok_or_else(|| invalid("targetNicResourceId", named, "an interface of this machine"));
    }
    let mut with_address = None;
    for (index, nic) in all.iter().enumerate() {
        if lookup::addresses_of(&lookup::nic(nic)?).contains(&own) {
            with_address = Some(index);
            break;
        }
    }
    match (with_address, all.len()) {
        (Some(index), _) => Ok(all.swap_remove(index)),
        (None, 1) => Ok(all.swap_remove(0)),
        (None, _) => {
            let text = format!(
                "No interface of this machine has the address {own}: name it in targetNicResourceId."
            );
            Err(ArmError::bad("InvalidParameter", text).target("localIPAddress"))
        }
    }
}

/// `UserRule_` or `DefaultRule_` and the name, as Network Watcher says; of a network manager `SecurityAdminRule_`.
fn rule_name(stage: &Stage, rule: &Rule) -> String {
    let kind = match stage.association {
        Association::Manager(_) => "SecurityAdminRule",
        _ if rule.priority >= DEFAULTS => "DefaultRule",
        _ => "UserRule",
    };
    format!("{kind}_{}", rule.name)
}

/// The number of a protocol that has one.
pub(super) fn number(text: &str) -> Result<u8, ArmError> {
    let named = Protocol::parse(text).and_then(Protocol::numbers).and_then(|n| n.first().copied());
    named
        .or_else(|| text.trim().parse().ok())
        .ok_or_else(|| invalid("protocol", text, "TCP, UDP, ICMP, ESP, AH or a protocol number"))
}

async fn verify(read: &mut dyn Read, asked: VerificationIPFlowParameters) -> Result<Value, ArmError> {
    let direction = direction(&asked.direction)?;
    let local = address("localIPAddress", &asked.local_ip_address)?;
    let remote = address("remoteIPAddress", &asked.remote_ip_address)?;
    if local.is_ipv4() != remote.is_ipv4() {
        return Err(invalid(
            "remoteIPAddress",
            &asked.remote_ip_address,
            "of the same family as the local one",
        ));
    }
    let protocol = match number(&asked.protocol)? {
        1 if !local.is_ipv4() => 58,
        other => other,
    };
    let ports = if matches!(protocol, 6 | 17 | 132) {
        let local = port("localPort", asked.local_port.as_deref())?;
        Some((local, port("remotePort", asked.remote_port.as_deref())?))
    } else {
        None
    };
    let turned = direction == Direction::Inbound;
    let packet = Packet {
        source: if turned { remote } else { local },
        destination: if turned { local } else { remote },
        protocol,
        ports: ports.map(|(local, remote)| if turned { (remote, local) } else { (local, remote) }),
        icmp_type: None,
    };
    let nic =
        interface(read, &asked.target_resource_id, asked.target_nic_resource_id.as_deref(), local).await?;
    let policy = compiler::policy_at(read, &nic).await?;
    let verdict = evaluate(&policy, direction, &packet);
    let stage = verdict.stage.and_then(|at| policy.stages(direction).get(at));
    shown(&VerificationIPFlowResult {
        access: if verdict.allow { Access::Allow } else { Access::Deny },
        rule_name: stage.zip(verdict.rule).map(|(s, r)| rule_name(s, r)).unwrap_or_default(),
    })
}

/// What kind of hop a machine's own route leads to.
pub(super) fn hop_type(route: &Route) -> &'static str {
    match route.gateway.as_str() {
        "" => "VnetLocal",
        _ if route.destination.ends_with("/0") => "Internet",
        _ => "VirtualAppliance",
    }
}

/// The route of the longest prefix, and of those the one of the lowest metric.
fn route_to(routes: &[Route], destination: IpAddr) -> Option<&Route> {
    let fitting = routes.iter().filter_map(|r| Some((r.destination.parse::<IpNet>().ok()?, r)));
    let fitting = fitting.filter(|(net, _)| net.contains(&destination));
    let best = fitting.min_by_key(|(net, r)| (std::cmp::Reverse(net.prefix_len()), r.metric));
    best.map(|(_, route)| route)
}

async fn next_hop(read: &mut dyn Read, asked: NextHopParameters) -> Result<Value, ArmError> {
    let source = address("sourceIPAddress", &asked.source_ip_address)?;
    let destination = address("destinationIPAddress", &asked.destination_ip_address)?;
    let nic =
        interface(read, &asked.target_resource_id, asked.target_nic_resource_id.as_deref(), source).await?;
    let owner = lookup::reference(&nic, "virtualMachine").ok_or_else(|| ArmError::not_found(&nic.id))?;
    let facts: Option<Facts> = read_document(read, machine::kind::FACTS, &owner.key()).await?;
    let routes = facts.unwrap_or_default().routes;
    let route = route_to(&routes, destination);
    shown(&NextHopResult {
        next_hop_type: route.map_or("None", hop_type),
        next_hop_ip_address: route.map(|r| r.gateway.clone()).filter(|g| !g.is_empty()),
        route_table_id: "System Route",
    })
}

async fn view(read: &mut dyn Read, asked: SecurityGroupViewParameters) -> Result<Value, ArmError> {
    let mut out = Vec::new();
    for nic in interfaces(read, &asked.target_resource_id).await? {
        let mut rules = SecurityRuleAssociations::default();
        for group in compiler::effective_at(read, &nic).await?.0 {
            let Some(own) = &group.network_security_group else {
                rules.effective_security_rules.extend(group.effective_security_rules);
                continue;
            };
            let id = scope("networkSecurityGroup", &own.id)?;
            let kept = read.get(&id).await?.ok_or_else(|| ArmError::not_found(&id))?;
            let security_rules = lookup::rules(&kept)?;
            rules.default_security_rules = default_rules(&id.to_string());
            rules.effective_security_rules.extend(group.effective_security_rules);
            let (subnet, own) = (group.association.subnet, group.association.network_interface);
            let association = |at: crate::effective::Ref| RuleAssociation {
                id: at.id,
                security_rules: security_rules.clone(),
            };
            match (subnet, own) {
                (Some(subnet), _) => rules.subnet_association = Some(association(subnet)),
                (None, Some(own)) => rules.network_interface_association = Some(association(own)),
                (None, None) => {}
            }
        }
        out.push(SecurityGroupNetworkInterface { id: nic.id.to_string(), security_rule_associations: rules });
    }
    shown(&SecurityGroupViewResult { network_interfaces: out })
}

fn prefixes(field: &str, text: &str) -> Result<Addresses, ArmError> {
    if text.trim() == "*" {
        return Ok(Addresses::Any);
    }
    let net =
        text.trim().parse::<IpNet>().ok().or_else(|| text.trim().parse::<IpAddr>().ok().map(IpNet::from));
    net.map(|net| Addresses::Only(vec![net.trunc()]))
        .ok_or_else(|| invalid(field, text, "an IP address, a prefix or *"))
}

fn traffic(profile: &NetworkConfigurationDiagnosticProfile) -> Result<Traffic, ArmError> {
    let protocol = Protocol::parse(&profile.protocol)
        .ok_or_else(|| invalid("protocol", &profile.protocol, "TCP, UDP, ICMP, ESP, AH or *"))?;
    let ports = match profile.destination_port.trim() {
        "" | "*" => Ports::Any,
        text => match PortRange::parse(text) {
            Some(range) => Ports::Only(vec![range]),
            None => return Err(invalid("destinationPort", text, "a port, a range or *")),
        },
    };
    Ok(Traffic {
        protocol,
        source: prefixes("source", &profile.source)?,
        source_ports: Ports::Any,
        destination: prefixes("destination", &profile.destination)?,
        destination_ports: ports,
    })
}

fn result(
    policy: &NicPolicy,
    profile: NetworkConfigurationDiagnosticProfile,
) -> Result<NetworkConfigurationDiagnosticResult, ArmError> {
    let asked = diagnose(policy, direction(&profile.direction)?, &traffic(&profile)?)
        .map_err(|e| ArmError::bad("TrafficNotUniform", format!("{e}.")))?;
    let stops = asked.last().is_some_and(|a| a.stage.action(a.decides) == RuleAction::Deny);
    let access = if stops { Access::Deny } else { Access::Allow };
    let row = |stage, m: &Matched<'_>| NetworkSecurityRulesEvaluationResult {
        name: rule_name(stage, m.rule),
        protocol_matched: m.protocol,
        source_matched: m.source,
        source_port_matched: m.source_port,
        destination_matched: m.destination,
        destination_port_matched: m.destination_port,
    };
    let groups = asked.iter().map(|asked| EvaluatedNetworkSecurityGroup {
        network_security_group_id: asked.stage.nsg.clone(),
        applied_to: asked.stage.association.id().to_owned(),
        matched_rule: asked
            .decides
            .map(|rule| MatchedRule { rule_name: rule_name(asked.stage, rule), action: rule.access }),
        rules_evaluation_result: asked.rules.iter().map(|m| row(asked.stage, m)).collect(),
    });
    Ok(NetworkConfigurationDiagnosticResult {
        network_security_group_result: NetworkSecurityGroupResult {
            security_rule_access_result: access,
            evaluated_network_security_groups: groups.collect(),
        },
        profile,
    })
}

async fn diagnosed(
    read: &mut dyn Read,
    asked: NetworkConfigurationDiagnosticParameters,
) -> Result<Value, ArmError> {
    if asked.profiles.is_empty() || asked.profiles.len() > MOST {
        let text = format!("1 to {MOST} profiles are expected.");
        return Err(ArmError::bad("InvalidParameter", text).target("profiles"));
    }
    let nics = interfaces(read, &asked.target_resource_id).await?;
    let mut policies = Vec::new();
    for nic in &nics {
        let own = lookup::addresses_of(&lookup::nic(nic)?);
        policies.push((own, compiler::policy_at(read, nic).await?));
    }
    let mut results = Vec::new();
    for profile in asked.profiles {
        let local = if direction(&profile.direction)? == Direction::Inbound {
            &profile.destination
        } else {
            &profile.source
        };
        let has = |own: &Vec<IpAddr>| local.parse().is_ok_and(|a: IpAddr| own.contains(&a));
        let meant = policies.iter().find(|(own, _)| has(own)).or(policies.first());
        let (_, policy) = meant.ok_or_else(|| {
            invalid("targetResourceId", &asked.target_resource_id, "a machine with a network interface")
        })?;
        results.push(result(policy, profile)?);
    }
    shown(&NetworkConfigurationDiagnosticResponse { results })
}

/// The resource group that a topology is asked of.
fn around(watcher: &Scope, body: &Value) -> Result<Option<Scope>, ArmError> {
    let asked: TopologyParameters = typed(body, "")?;
    let target = asked.target_virtual_network.or(asked.target_subnet).and_then(|t| t.id);
    if let Some(id) = target {
        return Ok(scope("targetVirtualNetwork.id", &id)?.group_scope());
    }
    let Some(name) = asked.target_resource_group_name else { return Ok(None) };
    let subscription = watcher.subscription_scope().ok_or_else(ArmError::internal)?;
    Ok(Some(scope("targetResourceGroupName", &format!("{subscription}/resourceGroups/{name}"))?))
}

fn association(id: &Scope, association_type: &'static str) -> TopologyAssociation {
    TopologyAssociation { name: id.name().to_owned(), resource_id: id.to_string(), association_type }
}

async fn topology(read: &mut dyn Read, watcher: &Scope, body: &Value) -> Result<Value, ArmError> {
    let group = around(watcher, body)?.ok_or_else(|| {
        ArmError::bad("InvalidParameter", "A resource group, a virtual network or a subnet is expected.")
            .target("targetResourceGroupName")
    })?;
    let mut resources = Vec::new();
    let mut last_modified = None;
    let mut add = |kept: &Resource, id: &Scope, associations| {
        last_modified = last_modified.max(Some(kept.changed_at));
        resources.push(TopologyResource {
            name: id.name().to_owned(),
            id: id.to_string(),
            location: kept.location.clone().unwrap_or_default(),
            associations,
        });
    };
    for network in read.list(&Listing::of(&group, &type_name("virtualNetworks"))).await? {
        let own = network.id.resource().ok_or_else(ArmError::internal)?.clone();
        let mut contains = Vec::new();
        for subnet in lookup::network(&network)?.properties.subnets.iter().flatten() {
            let Ok(id) = own.child("subnets", subnet.name.as_deref().unwrap_or_default()).map(Scope::from)
            else {
                continue;
            };
            let nsg = subnet.properties.network_security_group.as_ref().and_then(|g| g.id.as_deref());
            let nsg = nsg.and_then(|id| Scope::parse(id).ok());
            add(&network, &id, nsg.iter().map(|g| association(g, "Associated")).collect());
            contains.push(association(&id, "Contains"));
        }
        add(&network, &network.id, contains);
    }
    for nic in read.list(&Listing::of(&group, &type_name("networkInterfaces"))).await? {
        let typed = lookup::nic(&nic)?;
        let mut all: Vec<Scope> = lookup::subnets_of(&typed);
        all.extend(lookup::reference(&nic, "networkSecurityGroup"));
        let mut groups: Vec<Scope> = lookup::groups_of(&typed).into_iter().collect();
        groups.sort_by_key(Scope::key);
        all.extend(groups);
        add(&nic, &nic.id, all.iter().map(|id| association(id, "Associated")).collect());
    }
    for path in ["networkSecurityGroups", "applicationSecurityGroups"] {
        for kept in read.list(&Listing::of(&group, &type_name(path))).await? {
            add(&kept, &kept.id, Vec::new());
        }
    }
    let machines = sekisho_arm::TypeName::new("Microsoft.Compute", "virtualMachines");
    for kept in read.list(&Listing::of(&group, &machines)).await? {
        let nics = machine::interfaces(read, &kept.id).await?;
        add(&kept, &kept.id, nics.iter().map(|nic| association(&nic.id, "Contains")).collect());
    }
    let now = read.now();
    shown(&Topology {
        id: Uuid::new_v4().to_string(),
        created_date_time: instant(now),
        last_modified: instant(last_modified.unwrap_or(now)),
        resources,
    })
}
