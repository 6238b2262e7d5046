//! `networkInterfaces/{name}/sekisho.simulate`: whether one packet would pass an interface, and what each group on its way
//! says. The same policy and the same judge as `ipFlowVerify`, without a network watcher.

use schemars::JsonSchema;
use sekisho_arm::resource::{shown, typed};
use sekisho_arm::{ArmError, Read, Resource};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::compiler;
use super::watchers::{address, direction, invalid, number};
use crate::evaluate::{Packet, evaluate, is_unreadable, keeps_alive, reaches_platform};
use crate::policy::{Access, PORT_PROTOCOLS, RuleAction};

/// The first packet of a flow.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SimulatedPacket")]
pub(super) struct Asked {
    /// `Inbound` or `Outbound`, seen from the machine.
    direction: String,
    /// `Tcp`, `Udp`, `Icmp`, `Esp`, `Ah`, or a protocol number.
    protocol: String,
    /// Where it comes from.
    source_address: String,
    /// Where it goes.
    destination_address: String,
    /// Needed for TCP, UDP and SCTP.
    source_port: Option<u16>,
    /// Needed for TCP, UDP and SCTP.
    destination_port: Option<u16>,
    /// The type of an ICMP message: neighbour discovery passes whatever the rules say.
    icmp_type: Option<u8>,
}

/// What becomes of it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Simulation")]
pub(super) struct Simulation {
    access: Access,
    reason: Reason,
    /// Every group that is asked, in order, the network managers' rules first; what denies or always allows is the last.
    groups: Vec<AskedGroup>,
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SimulationReason")]
enum Reason {
    /// Rules decide.
    Rules,
    /// No group filters this direction.
    NotFiltered,
    /// An interface without such packets is dead: no rule is asked.
    KeepsAlive,
    /// It goes to a service of Azure's platform: no rule is asked.
    Platform,
}

/// What one group says.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SimulatedGroup")]
struct AskedGroup {
    network_security_group: String,
    /// The subnet or interface that it is attached to, or the network whose manager it is.
    applied_to: String,
    access: RuleAction,
    /// Whether it only counts what it would deny.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    audit_only: bool,
    /// The rule that matches; nothing when none does, which denies, but in the rules of network managers.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u16>,
}

/// Answers.
///
/// # Errors
/// 400 for a packet that cannot be; those of the database.
pub(super) async fn simulate(read: &mut dyn Read, nic: &Resource, body: &Value) -> Result<Value, ArmError> {
    let asked: Asked = typed(body, "")?;
    let direction = direction(&asked.direction)?;
    let source = address("sourceAddress", &asked.source_address)?;
    let destination = address("destinationAddress", &asked.destination_address)?;
    if source.is_ipv4() != destination.is_ipv4() {
        let text = &asked.destination_address;
        return Err(invalid("destinationAddress", text, "of the same family as the source"));
    }
    let protocol = match number(&asked.protocol)? {
        1 if source.is_ipv6() => 58,
        other => other,
    };
    let has_ports = PORT_PROTOCOLS.contains(&protocol);
    let ports = asked.source_port.zip(asked.destination_port).filter(|_| has_ports);
    let icmp_type = asked.icmp_type.filter(|_| matches!(protocol, 1 | 58));
    let packet = Packet { source, destination, protocol, ports, icmp_type };
    if is_unreadable(&packet) {
        return Err(invalid("destinationPort", "", "a port, and this protocol needs both"));
    }
    let policy = compiler::policy_at(read, nic).await?;
    let verdict = evaluate(&policy, direction, &packet);
    let stages = policy.stages(direction);
    let reason = match stages {
        [] => Reason::NotFiltered,
        _ if keeps_alive(direction, &packet) => Reason::KeepsAlive,
        _ if reaches_platform(&policy, direction, &packet).is_some() => Reason::Platform,
        _ => Reason::Rules,
    };
    let reached = verdict.stage.map_or(0, |last| last + 1);
    let group = |(at, stage): (usize, &crate::policy::Stage)| {
        let rule = verdict.trail.iter().find(|(s, _)| *s == at).and_then(|(_, r)| stage.rules.get(*r));
        AskedGroup {
            network_security_group: stage.nsg.clone(),
            applied_to: stage.association.id().to_owned(),
            access: rule.map_or(stage.otherwise(), |r| r.access),
            audit_only: stage.audit,
            rule: rule.map(|r| r.name.clone()),
            priority: rule.map(|r| r.priority),
        }
    };
    shown(&Simulation {
        access: if verdict.allow { Access::Allow } else { Access::Deny },
        reason,
        groups: stages.iter().enumerate().take(reached).map(group).collect(),
    })
}
