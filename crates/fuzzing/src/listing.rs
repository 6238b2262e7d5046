//! The kernel's packet filter as nft lists it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sekisho_nsg::agent::{compile, plan};
use sekisho_nsg::compile::{Compiled, compile_within};
use sekisho_nsg::diagram::{Budget, Family};
use sekisho_nsg::evaluate::{Packet, evaluate};
use sekisho_nsg::listing::Listing;
use sekisho_nsg::policy::{Direction, NsgPart};
use sekisho_nsg::ruleset::{Chain, Key, Name, Rule, Verdict, When};
use sekisho_nsg::swap::transactions;

/// The policy whose listings are the seeds.
const PART: &str = include_str!("listing.json");

/// Chains that lead to each other longer than this lead nowhere.
const DEEP: usize = 32;

/// Whatever a listing says, what is read of it can be changed over to the policy by a script whose every line is one of
/// ours; and what passes as the policy treats packets as the policy does, followed chain by chain.
pub fn listing(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(listing) = Listing::parse(text) else { return };
    let part = policy();
    let mut forms = forms(&part);
    for line in transactions(&forms[0], Some(&listing)).concat().lines() {
        let plain = |c: char| c.is_ascii_alphanumeric() || " \t_.-:{},;\"/!=&".contains(c);
        assert!(line.chars().all(plain), "a line that is not ours: {line}");
    }
    if !passes(&mut forms, &listing) {
        return;
    }
    let hooks = listing.chains().values().filter(|chain| chain.hook.is_some()).count();
    assert_eq!(hooks, 2, "packets are judged in other places");
    for (direction, hook) in [(Direction::Inbound, "inbound"), (Direction::Outbound, "outbound")] {
        for packet in packets() {
            let passes = !matches!(enter(&listing, hook, direction, &packet), Some(Verdict::Drop));
            assert_eq!(passes, evaluate(&part.nics[0], direction, &packet).allow, "{hook} {packet}");
        }
    }
}

/// Whether a listing passes as the policy. A seed does; what has been made of other versions' scripts would show nothing.
pub fn listing_passes(data: &[u8]) -> bool {
    let listing = std::str::from_utf8(data).ok().and_then(|text| Listing::parse(text).ok());
    listing.is_some_and(|listing| passes(&mut forms(&policy()), &listing))
}

fn policy() -> NsgPart {
    serde_json::from_str(PART).expect("the policy")
}

/// The policy in each form: a seed is in one of them.
fn forms(part: &NsgPart) -> [Compiled; 3] {
    let (none, some) = (Budget { edges: 0, work: 0 }, Budget { edges: 1_000, work: 100_000 });
    [compile(part, 7), compile_within(part, 7, none, some), compile_within(part, 7, none, none)]
}

fn passes(forms: &mut [Compiled], listing: &Listing) -> bool {
    forms.iter_mut().any(|compiled| plan(Some(compiled), Some(listing)).is_none())
}

fn packets() -> Vec<Packet> {
    let mut packets = Vec::new();
    for (from, to) in [
        ("10.1.2.3", "10.77.0.4"),
        ("192.0.2.1", "10.77.0.4"),
        ("192.0.2.2", "192.0.2.9"),
        ("fd00::1", "fd77::4"),
        ("2001:db8::1", "2001:db8::2"),
    ] {
        let (source, destination): (IpAddr, IpAddr) = (from.parse().unwrap(), to.parse().unwrap());
        for (protocol, icmp_type) in [(6, None), (17, None), (1, Some(8)), (58, Some(128)), (50, None)] {
            for port in [21, 22, 23, 85, 443] {
                let ports = matches!(protocol, 6 | 17).then_some((50_000, port));
                packets.push(Packet { source, destination, protocol, ports, icmp_type });
            }
        }
    }
    packets
}

/// What becomes of a packet that enters a chain; `None` at its end.
fn enter(listing: &Listing, hook: &str, direction: Direction, packet: &Packet) -> Option<Verdict> {
    let name = Name::new(hook)?;
    follow(listing.chains(), &name, direction, packet, 0)
}

fn follow(
    chains: &BTreeMap<Name, Chain>,
    name: &Name,
    direction: Direction,
    packet: &Packet,
    depth: usize,
) -> Option<Verdict> {
    assert!(depth < DEEP, "chains lead in a circle");
    for rule in &chains[name].rules {
        let verdict = match rule {
            Rule::Foreign(text) => panic!("passed as ours: {text}"),
            Rule::Open(_, map) => panic!("no port is guarded here, and {map} is asked"),
            Rule::When(when) if holds(when, direction, packet) => Some(&when.verdict),
            Rule::When(_) | Rule::Log => None,
            Rule::Map(key, branches) | Rule::Blocks(key, _, branches) => {
                value(*key, packet).and_then(|value| {
                    let mut holding = branches.iter().filter(|(i, _)| (i.first..=i.last).contains(&value));
                    holding.next().map(|(_, verdict)| verdict)
                })
            }
        };
        match verdict {
            None => {}
            Some(Verdict::Return) => return None,
            Some(Verdict::Goto(to)) => return follow(chains, to, direction, packet, depth + 1),
            Some(Verdict::Jump(to)) => {
                if let Some(end) = follow(chains, to, direction, packet, depth + 1) {
                    return Some(end);
                }
            }
            Some(end) => return Some(end.clone()),
        }
    }
    None
}

fn holds(when: &When, direction: Direction, packet: &Packet) -> bool {
    let here = |(way, name): &(Direction, sekisho_nsg::policy::InterfaceName)| {
        *way == direction && name.as_str() == "eth0"
    };
    when.interface.as_ref().is_none_or(here)
        && when.matches.iter().all(|(key, values)| value(*key, packet).is_some_and(|v| values.contains(v)))
}

/// A packet's value; of a new connection nothing is known.
fn value(key: Key, packet: &Packet) -> Option<u128> {
    let family = Family::of(packet.source);
    let number = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    match key {
        Key::NetworkProtocol => Some(if family == Family::V4 { 2 } else { 10 }),
        Key::Protocol => Some(packet.protocol.into()),
        Key::ConnectionState => Some(8),
        Key::ConnectionDirection | Key::ConnectionMark => Some(0),
        Key::Icmpv6Type => packet.icmp_type.filter(|_| packet.protocol == 58).map(u128::from),
        Key::Source(of) => (of == family).then(|| number(packet.source)),
        Key::Destination(of) => (of == family).then(|| number(packet.destination)),
        Key::SourcePort => packet.ports.map(|(from, _)| from.into()),
        Key::DestinationPort => packet.ports.map(|(_, to)| to.into()),
    }
}
