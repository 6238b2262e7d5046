//! What a policy means, in code that is obviously right and slow: rules are tried one by one. The compiler is tested
//! against this, and "IP flow verify" answers with it.
//!
//! Only the first packet of a flow is judged; what follows, in both directions, belongs to the flow.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::platform::PlatformService;
use crate::policy::{Direction, NicPolicy, PORT_PROTOCOLS, Ports, Protocol, Rule, RuleAction};

/// ICMPv6 types without which an IPv6 interface is dead, allowed both ways: multicast listener query, report, done
/// (130 to 132) and report v2 (143), router solicitation and advertisement, neighbour solicitation and advertisement
/// (133 to 136). Their IPv4 counterpart, ARP, never passes a table of this family.
pub const ALIVE_ICMPV6: [u8; 8] = [130, 131, 132, 133, 134, 135, 136, 143];

/// The first packet of a flow, as it is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Packet {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Source and destination port; `None` for protocols without ports.
    pub ports: Option<(u16, u16)>,
    /// The type field of ICMP and ICMPv6.
    pub icmp_type: Option<u8>,
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.protocol {
            1 | 58 => "ICMP".to_owned(),
            6 => "TCP".to_owned(),
            17 => "UDP".to_owned(),
            50 => "ESP".to_owned(),
            51 => "AH".to_owned(),
            132 => "SCTP".to_owned(),
            other => format!("protocol {other}"),
        };
        match self.ports {
            Some((from, to)) => {
                let (from, to) = (SocketAddr::new(self.source, from), SocketAddr::new(self.destination, to));
                write!(f, "{name} {from} to {to}")
            }
            None => write!(f, "{name} {} to {}", self.source, self.destination),
        }
    }
}

/// The answer of a policy, and who gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// Whether the flow may begin.
    pub allow: bool,
    /// Index of the stage that decided: the one that denied or always allows, or the last. `None` when no rule was asked, because the
    /// direction is not filtered, the packet keeps the NIC alive, or its ports cannot be read.
    pub stage: Option<usize>,
    /// The rule that decided there; `None` also when no rule of the stage matched.
    pub rule: Option<&'a Rule>,
    /// Of every stage that was asked, the rule that matched: (stage, rule) indexes. A rule that denies and is not the
    /// last is of a stage whose denials are only counted.
    pub trail: Vec<(usize, usize)>,
}

/// Judges the first packet of a flow.
pub fn evaluate<'a>(policy: &'a NicPolicy, direction: Direction, packet: &Packet) -> Verdict<'a> {
    let stages = policy.stages(direction);
    let mut verdict = Verdict { allow: true, stage: None, rule: None, trail: Vec::new() };
    if stages.is_empty() || passes_unasked(policy, direction, packet) {
        return verdict;
    }
    if is_unreadable(packet) {
        verdict.allow = false;
        return verdict;
    }
    for (s, stage) in stages.iter().enumerate() {
        let matched = stage.rules.iter().position(|rule| matches(rule, packet));
        verdict.stage = Some(s);
        verdict.rule = matched.map(|r| &stage.rules[r]);
        verdict.trail.extend(matched.map(|r| (s, r)));
        match stage.action(verdict.rule) {
            RuleAction::Allow => {}
            RuleAction::AlwaysAllow => return verdict,
            RuleAction::Deny => {
                verdict.allow = false;
                return verdict;
            }
        }
    }
    verdict
}

/// Whether a packet should have ports and has none that can be read: all but the first fragment of a datagram, and what
/// is too short for its header. Rules about ports say nothing of it, and to go on to the next rule would let it through
/// below `Deny Tcp 22`, so that no rule is asked and it is denied. Connection tracking puts fragments together before
/// they come this far; what is left is untracked or forged.
pub fn is_unreadable(packet: &Packet) -> bool {
    packet.ports.is_none() && PORT_PROTOCOLS.contains(&packet.protocol)
}

/// Whether a rule matches a packet, field by field.
pub fn matches(rule: &Rule, packet: &Packet) -> bool {
    rule.protocol.numbers().is_none_or(|numbers| numbers.contains(&packet.protocol))
        && rule.source.contains(packet.source)
        && rule.destination.contains(packet.destination)
        && ports_match(rule, packet)
}

fn ports_match(rule: &Rule, packet: &Packet) -> bool {
    if is_empty(&rule.source_ports) || is_empty(&rule.destination_ports) {
        return false;
    }
    match rule.protocol {
        Protocol::Icmp | Protocol::Esp | Protocol::Ah => true,
        Protocol::Any if rule.source_ports == Ports::Any && rule.destination_ports == Ports::Any => true,
        Protocol::Any if !PORT_PROTOCOLS.contains(&packet.protocol) => false,
        Protocol::Any | Protocol::Tcp | Protocol::Udp => packet.ports.is_some_and(|(source, destination)| {
            rule.source_ports.contains(source) && rule.destination_ports.contains(destination)
        }),
    }
}

fn is_empty(ports: &Ports) -> bool {
    matches!(ports, Ports::Only(ranges) if ranges.is_empty())
}

/// Whether no rule is asked about a packet at a NIC: without it the NIC is dead, or it goes to a service of the platform.
pub fn passes_unasked(policy: &NicPolicy, direction: Direction, packet: &Packet) -> bool {
    keeps_alive(direction, packet) || reaches_platform(policy, direction, packet).is_some()
}

/// The service of the platform that a packet goes to and is let through to whatever the rules say.
pub fn reaches_platform(
    policy: &NicPolicy,
    direction: Direction,
    packet: &Packet,
) -> Option<PlatformService> {
    let reached =
        |service: &&PlatformService| direction == Direction::Outbound && service.is_reached_by(packet);
    policy.platform.iter().find(reached).copied()
}

/// Traffic that no NSG can deny, because a NIC without it is dead: neighbour discovery and the DHCP client's side.
pub fn keeps_alive(direction: Direction, packet: &Packet) -> bool {
    let v4 = packet.source.is_ipv4();
    let udp = |source, destination| packet.protocol == 17 && packet.ports == Some((source, destination));
    let icmpv6 = !v4 && packet.protocol == 58 && packet.icmp_type.is_some_and(|t| ALIVE_ICMPV6.contains(&t));
    icmpv6
        || match direction {
            Direction::Inbound => (v4 && udp(67, 68)) || (is_link_local(packet.source) && udp(547, 546)),
            Direction::Outbound => (v4 && udp(68, 67)) || (!v4 && udp(546, 547)),
        }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if Ipv6Addr::is_unicast_link_local(&v6))
}
