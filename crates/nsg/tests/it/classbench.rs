//! Lists of rules like those of ClassBench, the benchmark of packet classifiers: `acl` as of access lists (exact
//! destinations, ports of services), `fw` as of firewalls (wildcards, ranges, source ports), `ipc` as of `ipchains`
//! (pairs of networks). Seeded, so that a list can be made again. And packets at the corners of such rules, where
//! mistakes are.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sekisho_nsg::evaluate::Packet;
use sekisho_nsg::policy::{Access, Addresses, Association, PortRange, Ports, Protocol, Rule, Stage};

/// Which kind of list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Acl,
    Fw,
    Ipc,
}

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    pub(crate) fn percent(&mut self, n: usize) -> bool {
        self.below(100) < n
    }

    fn port(&mut self) -> u16 {
        u16::try_from(self.next() & 0xffff).unwrap()
    }
}

const SERVICES: [u16; 16] = [20, 21, 22, 25, 53, 80, 110, 123, 143, 161, 389, 443, 1433, 1521, 3306, 3389];

/// A list of rules; a third of them denies.
pub(crate) fn rules(kind: Kind, count: usize, seed: u64) -> Vec<Rule> {
    let mut random = Random::new(seed);
    // Networks under networks, as an organisation has them.
    let roots: Vec<u32> = (0..24).map(|_| u32::try_from(random.next() & 0xffff_0000).unwrap()).collect();
    (0..count).map(|at| rule(kind, at, &roots, &mut random)).collect()
}

/// The list as a stage of its own.
pub(crate) fn stage(rules: Vec<Rule>) -> Stage {
    Stage {
        nsg: "/nsg/generated".into(),
        association: Association::Nic("/nic/generated".into()),
        audit: false,
        rules,
    }
}

fn rule(kind: Kind, at: usize, roots: &[u32], random: &mut Random) -> Rule {
    let v6 = random.percent(20);
    // Wildcards of source and destination, shares of prefixes of 32, 24 and 16 bits, source ports, ranges; in percent.
    let (any_source, any_destination, lengths, source_ports, ranges) = match kind {
        Kind::Acl => (35, 2, [60, 30, 10], 1, 20),
        Kind::Fw => (50, 30, [50, 30, 20], 20, 35),
        Kind::Ipc => (15, 15, [45, 40, 15], 8, 15),
    };
    let side = |any: usize, random: &mut Random| {
        if random.percent(any) {
            return Addresses::Any;
        }
        let several = if random.percent(8) { 1 + random.below(4) } else { 1 };
        Addresses::Only((0..several).map(|_| net(v6, lengths, roots, random)).collect())
    };
    let (source, destination) = (side(any_source, random), side(any_destination, random));
    let protocol = match random.below(100) {
        0..60 => Protocol::Tcp,
        60..80 => Protocol::Udp,
        80..94 => Protocol::Any,
        94..98 => Protocol::Icmp,
        98 => Protocol::Esp,
        _ => Protocol::Ah,
    };
    let source_ports = if random.percent(source_ports) { ports(ranges, random) } else { Ports::Any };
    // A rule for everything would make all that follow it void.
    let everywhere = source == Addresses::Any && destination == Addresses::Any;
    let destination_ports = if everywhere || random.percent(85) { ports(ranges, random) } else { Ports::Any };
    let access = if random.percent(33) { Access::Deny } else { Access::Allow };
    let priority = u16::try_from(100 + at).unwrap();
    Rule {
        name: format!("r{at}"),
        priority,
        access: access.into(),
        protocol,
        source,
        destination,
        source_ports,
        destination_ports,
    }
}

fn net(v6: bool, lengths: [usize; 3], roots: &[u32], random: &mut Random) -> IpNet {
    let root = roots[random.below(roots.len())];
    // Few subnets and hosts under each network, so that prefixes meet.
    let host = u32::try_from(random.below(8) << 8 | random.below(40)).unwrap();
    let share = random.below(100);
    let length =
        [32, 24, 16][usize::from(share >= lengths[0]) + usize::from(share >= lengths[0] + lengths[1])];
    let address = root | host;
    if v6 {
        let address = (0x2001_0db8_u128 << 96) | (u128::from(address) << 64) | u128::from(host);
        let length = if length == 32 { 128 } else { length + 32 };
        IpNet::V6(Ipv6Net::new(address.into(), length).unwrap().trunc())
    } else {
        IpNet::V4(Ipv4Net::new(address.into(), length).unwrap().trunc())
    }
}

fn ports(ranges: usize, random: &mut Random) -> Ports {
    let service = |random: &mut Random| SERVICES[random.below(SERVICES.len())];
    let one = |random: &mut Random| {
        let (first, last) = if random.percent(ranges) {
            match random.below(4) {
                0 => (1024, 65535),
                1 => (0, 1023),
                2 => (random.port(), random.port()),
                _ => (service(random), service(random)),
            }
        } else {
            let port = service(random);
            (port, port)
        };
        PortRange::new(first.min(last), first.max(last)).unwrap()
    };
    let several = if random.percent(10) { 1 + random.below(4) } else { 1 };
    Ports::Only((0..several).map(|_| one(random)).collect())
}

/// A packet whose fields are ends of the fields of rules, or right beside them.
pub(crate) fn corner(rules: &[Rule], random: &mut Random) -> Packet {
    let any = |random: &mut Random| &rules[random.below(rules.len())];
    let first = any(random);
    // Mostly one rule, sometimes fields of several.
    let other = |random: &mut Random| if random.percent(70) { first } else { any(random) };
    let v6 = match (&first.source, &first.destination) {
        (Addresses::Only(nets), _) | (_, Addresses::Only(nets)) if !nets.is_empty() => {
            nets[0].addr().is_ipv6()
        }
        _ => random.percent(30),
    };
    let source = address(&other(random).source, v6, random);
    let destination = address(&other(random).destination, v6, random);
    let protocol = match other(random).protocol {
        Protocol::Any => [6, 17, 132, 1, 58, 47, 50, 0, 255][random.below(9)],
        named => *named.numbers().unwrap().last().unwrap(),
    };
    let from = port(&other(random).source_ports, random);
    let to = port(&other(random).destination_ports, random);
    Packet {
        source,
        destination,
        protocol,
        ports: matches!(protocol, 6 | 17 | 132).then_some((from, to)),
        icmp_type: match protocol {
            1 => Some(8),
            58 => Some(128),
            _ => None,
        },
    }
}

fn address(addresses: &Addresses, v6: bool, random: &mut Random) -> IpAddr {
    let around = |first: u128, last: u128, max: u128, random: &mut Random| {
        let choices = [
            first,
            last,
            first.saturating_sub(1),
            last.saturating_add(1).min(max),
            first + (last - first) / 2,
        ];
        choices[random.below(5)]
    };
    let of_family = |net: &&IpNet| net.addr().is_ipv6() == v6;
    let nets: Vec<&IpNet> = match addresses {
        Addresses::Any => vec![],
        Addresses::Only(nets) => nets.iter().filter(of_family).collect(),
    };
    match nets.get(random.below(nets.len().max(1))) {
        Some(IpNet::V4(net)) => {
            let (first, last) = (net.network().to_bits().into(), net.broadcast().to_bits().into());
            let value = around(first, last, u32::MAX.into(), random);
            std::net::Ipv4Addr::from_bits(u32::try_from(value).unwrap()).into()
        }
        Some(IpNet::V6(net)) => {
            let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
            std::net::Ipv6Addr::from_bits(around(first, last, u128::MAX, random)).into()
        }
        None if v6 => std::net::Ipv6Addr::from_bits(u128::from(random.next()) << 64 | 1).into(),
        None => std::net::Ipv4Addr::from_bits(u32::try_from(random.next() >> 32).unwrap()).into(),
    }
}

fn port(ports: &Ports, random: &mut Random) -> u16 {
    match ports {
        Ports::Only(ranges) if !ranges.is_empty() => {
            let range = ranges[random.below(ranges.len())];
            let (first, last) = (range.first(), range.last());
            [first, last, first.saturating_sub(1), last.saturating_add(1)][random.below(4)]
        }
        _ => random.port(),
    }
}
