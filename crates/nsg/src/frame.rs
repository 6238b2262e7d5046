//! The chains around the stages: where packets enter, what passes whatever the rules say, and what no rule is asked about.

use std::collections::{BTreeMap, BTreeSet};

use crate::compile::{Compiled, CompiledDirection};
use crate::diagram::{Family, Field, Interval, IntervalSet};
use crate::evaluate::ALIVE_ICMPV6;
use crate::existing::CUT;
use crate::guard::{self, Guard};
use crate::platform::PlatformService;
use crate::policy::{Direction, PORT_PROTOCOLS};
use crate::ruleset::{
    Chain, ESTABLISHED, Hook, INVALID, Key, Name, RELATED, Rule, Verdict, When, network_protocol,
};

/// After connection tracking (-200), before destination NAT (-100).
const INBOUND_PRIORITY: i64 = -150;
/// TCP's number.
const TCP: u128 = 6;
/// After source NAT (100).
const OUTBOUND_PRIORITY: i64 = 150;

impl Compiled {
    /// The chains around the stages; the two hooks come last.
    pub(crate) fn frame(&self, prefix: &str) -> Vec<Chain> {
        let filters = |d: &CompiledDirection| !d.stages.is_empty();
        let alike: BTreeMap<String, &CompiledDirection> =
            self.directions.iter().filter(|d| filters(d)).map(|d| (d.alive_name(), d)).collect();
        let mut chains: Vec<Chain> = alike.values().map(|direction| direction.alive(prefix)).collect();
        if self.directions.iter().any(filters) {
            chains.push(ports(prefix));
        }
        let guards = self.directions.iter().flat_map(|d| d.guards.iter().map(|g| (g, d.direction)));
        let guards: BTreeSet<(&Guard, Direction)> = guards.collect();
        chains.extend(guards.into_iter().map(|(guard, direction)| guard::chain(prefix, guard, direction)));
        let mut hooks = [Direction::Inbound, Direction::Outbound].map(hook_chain);
        for direction in &self.directions {
            let chain = direction.chain(prefix);
            let jump = When {
                interface: Some((direction.direction, direction.interface.clone())),
                ..When::always(Verdict::Jump(chain.name.clone()))
            };
            hooks[usize::from(direction.direction == Direction::Outbound)].rules.push(Rule::When(jump));
            chains.push(chain);
        }
        chains.extend(hooks);
        chains
    }
}

pub(crate) fn word(direction: Direction) -> &'static str {
    if direction == Direction::Inbound { "in" } else { "out" }
}

fn hook_chain(direction: Direction) -> Chain {
    let (name, hook, priority) = match direction {
        Direction::Inbound => ("inbound", "prerouting", INBOUND_PRIORITY),
        Direction::Outbound => ("outbound", "postrouting", OUTBOUND_PRIORITY),
    };
    let hook = Hook { kind: "filter".into(), hook: hook.into(), priority, policy: "accept".into() };
    Chain { hook: Some(hook), ..Chain::new(Name::made(&format_args!("{name}")), Vec::new()) }
}

/// Drops packets whose ports cannot be read; see [`crate::evaluate::evaluate`]. Nearly all have one that is not zero. Both
/// are asked for: nft leaves out a condition that always holds.
fn ports(prefix: &str) -> Chain {
    let greatest = Field::DestinationPort.max(Family::V4);
    let has = |first, last| {
        When::always(Verdict::Return).and(Key::DestinationPort, IntervalSet::new([Interval { first, last }]))
    };
    let rest = When::always(Verdict::Drop).counted(Name::made(&format_args!("unreadable")));
    let rules = [has(1, greatest), has(0, 0), rest];
    Chain::new(Name::made(&format_args!("{prefix}ports")), rules.map(Rule::When).into())
}

/// What carries the mark of a flow that must end is lost; whoever sends TCP is told, and the telling itself passes.
fn ended(direction: Direction) -> Vec<When> {
    let marked = |verdict| When::always(verdict).and(Key::ConnectionMark, IntervalSet::of([CUT.into()]));
    let told = match direction {
        Direction::Inbound => marked(Verdict::Reset).and(Key::Protocol, IntervalSet::of([6])),
        Direction::Outbound => marked(Verdict::Accept).and(Key::ConnectionState, IntervalSet::of([RELATED])),
    };
    vec![told, marked(Verdict::Drop)]
}

impl CompiledDirection {
    /// What no rule is asked about; NICs that reach the same of the platform share it.
    fn alive_name(&self) -> String {
        let reached = |service: &PlatformService| match service {
            PlatformService::Dns => 'd',
            PlatformService::Metadata => 'm',
            PlatformService::Licensing => 'l',
            PlatformService::Host => 'h',
        };
        let letters: String = self.platform.iter().map(reached).collect();
        let mark = if letters.is_empty() { "" } else { "_" };
        format!("alive_{}{mark}{letters}", word(self.direction))
    }

    fn alive(&self, prefix: &str) -> Chain {
        Chain::new(self.alive_chain(prefix), self.unasked().into_iter().map(Rule::When).collect())
    }

    fn alive_chain(&self, prefix: &str) -> Name {
        Name::made(&format_args!("{prefix}{}", self.alive_name()))
    }

    /// The way there, which TCP, of which most packets are, is spared where none of it passes unasked.
    fn alive_jump(&self, prefix: &str) -> When {
        let jump = When::always(Verdict::Jump(self.alive_chain(prefix)));
        let may_be_tcp =
            |rule: &When| rule.matches.get(&Key::Protocol).is_none_or(|protocols| protocols.contains(TCP));
        if self.unasked().iter().any(may_be_tcp) {
            return jump;
        }
        let all = Interval { first: 0, last: Field::Protocol.max(Family::V4) };
        jump.and(Key::Protocol, IntervalSet::new(IntervalSet::of([TCP]).gaps(all)))
    }

    /// See [`crate::evaluate::passes_unasked`], which says the same.
    fn unasked(&self) -> Vec<When> {
        let accept = || When::always(Verdict::Accept);
        let udp = |source: u16, destination: u16| {
            accept()
                .and(Key::Protocol, IntervalSet::of([17]))
                .and(Key::SourcePort, IntervalSet::of([source.into()]))
                .and(Key::DestinationPort, IntervalSet::of([destination.into()]))
        };
        let of =
            |family, rule: When| rule.and(Key::NetworkProtocol, IntervalSet::of([network_protocol(family)]));
        let icmpv6 =
            accept().and(Key::Icmpv6Type, IntervalSet::of(ALIVE_ICMPV6.iter().map(|t| u128::from(*t))));
        match self.direction {
            Direction::Inbound => {
                let link_local = Interval { first: 0xfe80 << 112, last: (0xfec0 << 112) - 1 };
                vec![
                    icmpv6,
                    of(Family::V4, udp(67, 68)),
                    udp(547, 546).and(Key::Source(Family::V6), IntervalSet::new([link_local])),
                ]
            }
            Direction::Outbound => {
                let mut rules = vec![icmpv6, of(Family::V4, udp(68, 67)), of(Family::V6, udp(546, 547))];
                let key = |field| match field {
                    Field::Protocol => Key::Protocol,
                    Field::Source => Key::Source(Family::V4),
                    Field::Destination => Key::Destination(Family::V4),
                    Field::SourcePort => Key::SourcePort,
                    Field::DestinationPort => Key::DestinationPort,
                    Field::Family => Key::NetworkProtocol,
                };
                let services = self.platform.iter().flat_map(|service| service.packets());
                rules.extend(services.map(|fields| {
                    fields.into_iter().fold(accept(), |rule, (field, values)| rule.and(key(field), values))
                }));
                rules
            }
        }
    }

    fn chain(&self, prefix: &str) -> Chain {
        let own = |name: &str| Name::made(&format_args!("{prefix}{name}"));
        let jump = |name| When::always(Verdict::Jump(name));
        let invalid = Name::made(&format_args!("invalid_{}_{}", self.interface, word(self.direction)));
        let name = Name::made(&format_args!("{prefix}n{}_{}", self.nic, word(self.direction)));
        let guards = self.guards.iter().map(|guard| guard::jump(prefix, guard, self.direction));
        let guards: Vec<Rule> = guards.map(Rule::When).collect();
        // Where no group filters, the rest goes on unjudged.
        if self.stages.is_empty() {
            return Chain::new(name, guards);
        }
        let mut rules = if self.ends_flows { ended(self.direction) } else { Vec::new() };
        rules.extend([
            When::always(Verdict::Accept).and(Key::ConnectionState, IntervalSet::of([ESTABLISHED, RELATED])),
            self.alive_jump(prefix),
            When::always(Verdict::Drop)
                .and(Key::ConnectionState, IntervalSet::of([INVALID]))
                .counted(invalid),
        ]);
        // One after the other: a set is looked through no faster.
        rules.extend(
            PORT_PROTOCOLS.map(|p| jump(own("ports")).and(Key::Protocol, IntervalSet::of([p.into()]))),
        );
        for (at, stage) in self.stages.iter().enumerate() {
            rules.push(jump(stage.root(&self.stage_name(prefix, at))));
        }
        Chain::new(name, guards.into_iter().chain(rules.into_iter().map(Rule::When)).collect())
    }

    pub(crate) fn stage_name(&self, prefix: &str, at: usize) -> String {
        format!("{prefix}n{}_{}_s{at}", self.nic, word(self.direction))
    }
}
