//! What must always be so, whatever the rules are: "the internet never reaches 3389". Decided about all packets; what
//! breaks it is named.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::allowed::{allowed, in_best_order};
use crate::diagram::{ALLOW, Budget, DENY, Family, NodeId, TooLarge, product};
use crate::evaluate::evaluate;
use crate::policy::{Access, Addresses, Direction, NicPolicy, Ports, Protocol, Rule};
use crate::shown::{ShownBox, ShownPacket};

/// A statement about packets at a NIC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invariant {
    /// Its name.
    pub name: String,
    /// The direction of the packets.
    pub direction: Direction,
    /// What must become of all of them.
    pub must: Access,
    /// The packets.
    pub packets: Traffic,
}

/// Packets, described as a rule describes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// Their protocol.
    pub protocol: Protocol,
    /// Where they come from.
    pub source: Addresses,
    /// Where they go.
    pub destination: Addresses,
    /// See [`Ports`] for protocols without ports.
    pub source_ports: Ports,
    /// See [`Ports`] for protocols without ports.
    pub destination_ports: Ports,
}

/// What breaks an invariant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CounterExample {
    /// The invariant.
    pub invariant: String,
    /// A packet that is treated as it must not be.
    pub packet: ShownPacket,
    /// The rule that decides about it; nothing where no rule does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// All such packets.
    pub packets: Vec<ShownBox>,
    /// Whether these are all.
    pub is_all: bool,
}

/// Whether a NIC's policy keeps an invariant: `None`, or what breaks it with at most `limit` boxes.
///
/// # Errors
/// [`TooLarge`]: it is not known, which is not to be taken for yes.
pub fn check(
    policy: &NicPolicy,
    invariant: &Invariant,
    limit: usize,
    budget: Budget,
) -> Result<Option<CounterExample>, TooLarge> {
    let Traffic { protocol, source, destination, source_ports, destination_ports } =
        invariant.packets.clone();
    let described = Rule {
        name: invariant.name.clone(),
        priority: 0,
        access: invariant.must,
        protocol,
        source,
        destination,
        source_ports,
        destination_ports,
    };
    let (mut manager, (passes, about)) = in_best_order(budget, |manager, budget| {
        let passes = allowed(manager, policy, invariant.direction, budget)?;
        let mut about = NodeId::from(DENY);
        for family in Family::ALL {
            if let Some(product) = product(&described, family) {
                let of_family = manager.set(family, &product);
                about = manager.or(about, of_family);
            }
        }
        Ok((passes, about))
    })?;
    let broken = match invariant.must {
        Access::Deny => manager.and(about, passes),
        Access::Allow => manager.without(about, passes),
    };
    let Some(point) = manager.witness(broken, &|t| t == ALLOW) else { return Ok(None) };
    let packet = point.packet();
    let (boxes, is_all) = manager.boxes(broken, &|t| t == ALLOW, limit);
    Ok(Some(CounterExample {
        invariant: invariant.name.clone(),
        packet: (&packet).into(),
        rule: evaluate(policy, invariant.direction, &packet).rule.map(|rule| rule.name.clone()),
        packets: boxes.iter().map(ShownBox::from).collect(),
        is_all,
    }))
}
