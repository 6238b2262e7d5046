//! What must always be so, whatever the rules are: "the internet never reaches 3389 of these machines". Decided about all
//! packets; what breaks it is named.
//!
//! Packets that no rule is asked about ([`crate::evaluate::passes_unasked`]) are no part of any statement: no rule could
//! make it true of them.

use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Serialize;

use crate::allowed::{allowed, in_first_order};
use crate::diagram::{
    ALLOW, Budget, DENY, Family, Field, IntervalSet, Manager, NodeId, Product, TooLarge, product, unasked,
};
use crate::evaluate::{Packet, evaluate};
use crate::policy::{Access, Addresses, Direction, NicPolicy, Ports, Protocol, Rule, RuleAction};
use crate::shown::{ShownBox, ShownPacket};

/// A statement about packets from, to, or between machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What must become of all the packets.
    pub must: Access,
    /// The packets, as far as the machines' own addresses do not say.
    pub packets: Traffic,
    /// The machines that they come from: a packet comes from an address of one of them and must pass its rules.
    /// `None`: from elsewhere, where no rules are known.
    pub sources: Option<Vec<Alike>>,
    /// As of the sources.
    pub destinations: Option<Vec<Alike>>,
}

/// Interfaces that filter alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alike {
    /// How they filter.
    pub policy: NicPolicy,
    /// Their own addresses.
    pub own: Vec<IpAddr>,
}

/// Packets, described as a rule describes them.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// What breaks a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CounterExample {
    /// A packet that is treated as it must not be.
    pub packet: ShownPacket,
    /// What decides about it on its way, the sending machine first.
    pub decided_by: Vec<Decider>,
    /// All such packets.
    pub packets: Vec<ShownBox>,
    /// Whether these are all.
    pub is_all: bool,
}

/// What decides about a packet at one interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decider {
    /// The direction, seen from the machine.
    pub direction: Direction,
    /// What becomes of the packet.
    pub access: Access,
    /// The id of the group; nothing where no group filters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_security_group: Option<String>,
    /// The rule; nothing where no rule matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// Whether statements hold: `None`, or what breaks them and did not break those from before, with at most `limit` boxes.
///
/// # Errors
/// [`TooLarge`]: it is not known, which is not to be taken for yes.
pub fn newly_broken(
    before: &[Statement],
    after: &[Statement],
    limit: usize,
    budget: Budget,
) -> Result<Option<CounterExample>, TooLarge> {
    let (mut manager, (old, new)) = in_first_order(budget, |manager, budget| {
        Ok((broken(manager, before, budget)?, broken(manager, after, budget)?))
    })?;
    let fresh = manager.without(new, old);
    let Some(point) = manager.witness(fresh, &|t| t == ALLOW) else { return Ok(None) };
    let packet = point.packet();
    let (boxes, is_all) = manager.boxes(fresh, &|t| t == ALLOW, limit);
    Ok(Some(CounterExample {
        packet: (&packet).into(),
        decided_by: after.iter().find_map(|s| s.deciders(&packet)).unwrap_or_default(),
        packets: boxes.iter().map(ShownBox::from).collect(),
        is_all,
    }))
}

/// The packets that are treated as they must not be.
fn broken(manager: &mut Manager, statements: &[Statement], budget: Budget) -> Result<NodeId, TooLarge> {
    let mut all = NodeId::from(DENY);
    for statement in statements {
        let mut about = described(manager, &statement.packets);
        let mut passes = NodeId::from(ALLOW);
        for (direction, machines) in statement.sides() {
            let through = through(manager, machines, direction, budget)?;
            passes = manager.and(passes, through);
            let own = asked(manager, machines, direction);
            about = manager.and(about, own);
        }
        let broken = match statement.must {
            Access::Deny => manager.and(about, passes),
            Access::Allow => manager.without(about, passes),
        };
        all = manager.or(all, broken);
    }
    Ok(all)
}

/// The packets of machines that rules are asked about.
fn asked(manager: &mut Manager, machines: &[Alike], direction: Direction) -> NodeId {
    let mut all = NodeId::from(DENY);
    for alike in machines {
        let own: Vec<IpNet> = alike.own.iter().map(|a| IpNet::from(*a)).collect();
        let mut own = at(manager, direction, &own);
        for family in Family::ALL {
            for product in unasked(&alike.policy.platform, direction, family) {
                let passes = manager.set(family, &product);
                own = manager.without(own, passes);
            }
        }
        all = manager.or(all, own);
    }
    all
}

/// What machines let through of packets that are their own.
fn through(
    manager: &mut Manager,
    machines: &[Alike],
    direction: Direction,
    budget: Budget,
) -> Result<NodeId, TooLarge> {
    let mut all = NodeId::from(DENY);
    for alike in machines {
        let passes = allowed(manager, &alike.policy, direction, budget)?;
        let own: Vec<IpNet> = alike.own.iter().map(|a| IpNet::from(*a)).collect();
        let own = at(manager, direction, &own);
        let passes = manager.and(passes, own);
        all = manager.or(all, passes);
    }
    Ok(all)
}

/// The packets to some addresses when inbound, from them when outbound.
fn at(manager: &mut Manager, direction: Direction, nets: &[IpNet]) -> NodeId {
    let field = if direction == Direction::Inbound { Field::Destination } else { Field::Source };
    let mut all = NodeId::from(DENY);
    for family in Family::ALL {
        let values = IntervalSet::of_networks(nets, family);
        if !values.is_empty() {
            let of_family = manager.set(family, &Product::everything(family).with(field, values));
            all = manager.or(all, of_family);
        }
    }
    all
}

fn described(manager: &mut Manager, packets: &Traffic) -> NodeId {
    let Traffic { protocol, source, destination, source_ports, destination_ports } = packets.clone();
    let (name, priority, access) = (String::new(), 0, RuleAction::Allow);
    let rule =
        Rule { name, priority, access, protocol, source, destination, source_ports, destination_ports };
    let mut all = NodeId::from(DENY);
    for family in Family::ALL {
        if let Some(product) = product(&rule, family) {
            let of_family = manager.set(family, &product);
            all = manager.or(all, of_family);
        }
    }
    all
}

impl Statement {
    /// Its machines, in the order in which a packet meets them.
    fn sides(&self) -> impl Iterator<Item = (Direction, &[Alike])> {
        let sides = [(Direction::Outbound, &self.sources), (Direction::Inbound, &self.destinations)];
        sides.into_iter().filter_map(|(direction, side)| Some((direction, side.as_deref()?)))
    }

    /// What decides about a packet; `None` when it is of other machines.
    fn deciders(&self, packet: &Packet) -> Option<Vec<Decider>> {
        let decider = |(direction, machines): (Direction, &[Alike])| {
            let own = if direction == Direction::Inbound { packet.destination } else { packet.source };
            let policy = &machines.iter().find(|m| m.own.contains(&own))?.policy;
            let verdict = evaluate(policy, direction, packet);
            let stage = verdict.stage.and_then(|s| policy.stages(direction).get(s));
            Some(Decider {
                direction,
                access: if verdict.allow { Access::Allow } else { Access::Deny },
                network_security_group: stage.map(|s| s.nsg.clone()),
                rule: verdict.rule.map(|rule| rule.name.clone()),
            })
        };
        self.sides().map(decider).collect()
    }
}
