//! What the analyser, the difference and the invariants say is true: of each witness by linear evaluation, and of whole
//! lists by another algorithm that shares no code with diagrams: boxes, subtracted from each other.

use sekisho_nsg::allowed::BUDGET;
use sekisho_nsg::analyse::{Limits, RuleFinding, RuleState, analyse};
use sekisho_nsg::difference::{Changed, difference};
use sekisho_nsg::evaluate::{Packet, evaluate, is_unreadable, keeps_alive, matches};
use sekisho_nsg::invariant::{Alike, Statement, Traffic, newly_broken};
use sekisho_nsg::policy::{
    Access, Addresses, Direction, InterfaceName, NicPolicy, PORT_PROTOCOLS, PortRange, Ports, Protocol, Rule,
};
use sekisho_nsg::shown::{ShownBox, ShownPacket};

use crate::classbench::{Kind, Random, corner, rules, stage};

/// From what is shown back to a packet.
fn packet(shown: &ShownPacket) -> Packet {
    let source: std::net::IpAddr = shown.source_address.parse().unwrap();
    let protocol = match shown.protocol.as_str() {
        "Tcp" => 6,
        "Udp" => 17,
        "Icmp" if source.is_ipv4() => 1,
        "Icmp" => 58,
        "Esp" => 50,
        "Ah" => 51,
        number => number.parse().unwrap(),
    };
    let icmp_type = match protocol {
        1 => Some(8),
        58 => Some(128),
        _ => None,
    };
    let destination = shown.destination_address.parse().unwrap();
    Packet { source, destination, protocol, ports: shown.source_port.zip(shown.destination_port), icmp_type }
}

fn first_match(rules: &[Rule], packet: &Packet) -> Option<usize> {
    rules.iter().position(|rule| matches(rule, packet))
}

/// Ranges of family, protocol, source, destination, source port and destination port.
type Cube = [(u128, u128); 6];

/// What a rule matches, one cube for each combination of its lists.
fn cubes(rule: &Rule) -> Vec<Cube> {
    let any_port = rule.source_ports == Ports::Any && rule.destination_ports == Ports::Any;
    let protocols: Vec<(u128, u128)> = match rule.protocol {
        Protocol::Any if any_port => vec![(0, 255)],
        Protocol::Any => PORT_PROTOCOLS.iter().map(|p| (u128::from(*p), u128::from(*p))).collect(),
        named => named.numbers().unwrap().iter().map(|p| (u128::from(*p), u128::from(*p))).collect(),
    };
    let ports = |ports: &Ports| -> Vec<(u128, u128)> {
        match ports {
            Ports::Any => vec![(0, 65535)],
            Ports::Only(ranges) => ranges.iter().map(|r| (r.first().into(), r.last().into())).collect(),
        }
    };
    let (mut from, mut to) = (ports(&rule.source_ports), ports(&rule.destination_ports));
    if matches!(rule.protocol, Protocol::Icmp | Protocol::Esp | Protocol::Ah) {
        from.iter_mut().chain(&mut to).for_each(|range| *range = (0, 65535));
    }
    let mut found = Vec::new();
    for v6 in [false, true] {
        let max = if v6 { u128::MAX } else { u32::MAX.into() };
        let addresses = |addresses: &Addresses| -> Vec<(u128, u128)> {
            let Addresses::Only(nets) = addresses else { return vec![(0, max)] };
            let ends = |net: &ipnet::IpNet| match net {
                ipnet::IpNet::V4(net) if !v6 => {
                    Some((net.network().to_bits().into(), net.broadcast().to_bits().into()))
                }
                ipnet::IpNet::V6(net) if v6 => Some((net.network().to_bits(), net.broadcast().to_bits())),
                _ => None,
            };
            nets.iter().filter_map(ends).collect()
        };
        for protocol in &protocols {
            for source in addresses(&rule.source) {
                for destination in addresses(&rule.destination) {
                    for from in &from {
                        for to in &to {
                            let family = (u128::from(v6), u128::from(v6));
                            found.push([family, *protocol, source, destination, *from, *to]);
                        }
                    }
                }
            }
        }
    }
    found
}

fn subtract(from: Vec<Cube>, what: &Cube) -> Vec<Cube> {
    let mut rest = Vec::new();
    for mut cube in from {
        if cube.iter().zip(what).any(|(a, b)| a.1 < b.0 || b.1 < a.0) {
            rest.push(cube);
            continue;
        }
        for at in 0..6 {
            if cube[at].0 < what[at].0 {
                let mut below = cube;
                below[at].1 = what[at].0 - 1;
                rest.push(below);
                cube[at].0 = what[at].0;
            }
            if what[at].1 < cube[at].1 {
                let mut above = cube;
                above[at].0 = what[at].1 + 1;
                rest.push(above);
                cube[at].1 = what[at].1;
            }
        }
    }
    rest
}

fn without(from: Vec<Cube>, rule: &Rule) -> Vec<Cube> {
    cubes(rule).iter().fold(from, subtract)
}

fn overlaps(a: &[Cube], b: &[Cube]) -> bool {
    a.iter().any(|a| b.iter().any(|b| a.iter().zip(b).all(|(a, b)| a.0 <= b.1 && b.0 <= a.1)))
}

/// The state of a rule by subtraction.
fn state(rules: &[Rule], at: usize) -> RuleState {
    let own = cubes(&rules[at]);
    if own.is_empty() {
        return RuleState::Empty;
    }
    let effective = rules[..at].iter().fold(own.clone(), without);
    if effective.is_empty() {
        return RuleState::Shadowed;
    }
    let mut left = effective;
    let mut redundant = true;
    for later in &rules[at + 1..] {
        redundant &= later.access == rules[at].access || !overlaps(&left, &cubes(later));
        left = without(left, later);
    }
    if redundant && left.is_empty() {
        RuleState::Redundant
    } else if rules[..at].iter().any(|earlier| overlaps(&own, &cubes(earlier))) {
        RuleState::PartlyShadowed
    } else {
        RuleState::Effective
    }
}

/// A list in which rules meet: few networks and ports, and a rule for everything at the end of some.
fn crowded(kind: Kind, count: usize, seed: u64) -> Vec<Rule> {
    let mut random = Random::new(seed);
    let mut list = rules(kind, count, seed);
    for at in 0..list.len() {
        if random.percent(60) {
            let from = random.below(list.len());
            list[at].destination = list[from].destination.clone();
            list[at].source = if random.percent(50) { Addresses::Any } else { list[from].source.clone() };
        }
        if random.percent(30) {
            list[at].protocol = Protocol::Any;
        }
        if random.percent(30) {
            (list[at].source_ports, list[at].destination_ports) = (Ports::Any, Ports::Any);
        }
        if random.percent(5) {
            list[at].source = Addresses::none();
        }
    }
    if !seed.is_multiple_of(3) {
        let last = list.last_mut().unwrap();
        (last.protocol, last.source, last.destination) = (Protocol::Any, Addresses::Any, Addresses::Any);
        (last.source_ports, last.destination_ports) = (Ports::Any, Ports::Any);
    }
    list
}

#[test]
fn the_state_of_every_rule_is_what_subtraction_of_boxes_says() {
    let mut seen = std::collections::HashMap::new();
    for seed in 0..150 {
        let kind = [Kind::Acl, Kind::Fw, Kind::Ipc][seed as usize % 3];
        let list = crowded(kind, 4 + seed as usize % 9, seed);
        let findings = analyse(&list, &Limits::default()).unwrap();
        for (at, finding) in findings.iter().enumerate() {
            assert_eq!(finding.state, state(&list, at), "seed {seed} rule {at} {list:#?}");
            *seen.entry(finding.state as u8).or_insert(0) += 1;
        }
    }
    assert_eq!(seen.len(), 5, "every state was met: {seen:?}");
}

#[test]
fn every_witness_is_confirmed_by_linear_evaluation() {
    for (kind, count, seed) in
        [(Kind::Acl, 300, 1), (Kind::Fw, 200, 2), (Kind::Ipc, 300, 3), (Kind::Fw, 12, 4)]
    {
        let list = crowded(kind, count, seed);
        let start = std::time::Instant::now();
        let findings = analyse(&list, &Limits::default()).unwrap();
        println!("{kind:?} {count}: analysed in {:?}", start.elapsed());
        assert_eq!(findings.len(), count);
        findings.iter().enumerate().for_each(|(at, finding)| confirm(&list, at, finding));
    }
}

fn confirm(list: &[Rule], at: usize, finding: &RuleFinding) {
    let index = |name: &String| list.iter().position(|rule| rule.name == *name).unwrap();
    let Some(shown) = &finding.witness else {
        assert_eq!(finding.state, RuleState::Empty, "{finding:?}");
        return;
    };
    let witness = packet(shown);
    assert!(matches(&list[at], &witness), "{finding:?}");
    let decides = first_match(list, &witness).unwrap();
    match finding.state {
        RuleState::Empty => panic!("{finding:?}"),
        RuleState::Effective => assert_eq!(decides, at),
        RuleState::Shadowed | RuleState::PartlyShadowed => assert!(decides < at, "{finding:?}"),
        RuleState::Redundant => {
            assert_eq!(decides, at);
            let others: Vec<Rule> = list.iter().filter(|r| r.name != finding.rule).cloned().collect();
            let heir = first_match(&others, &witness).unwrap();
            assert_eq!(others[heir].access, list[at].access);
        }
    }
    if matches!(finding.state, RuleState::Shadowed | RuleState::PartlyShadowed) {
        assert!(!finding.by.is_empty() && finding.by.iter().all(|name| index(name) < at), "{finding:?}");
    }
    assert_eq!(finding.lost.is_empty(), finding.state != RuleState::PartlyShadowed);
    for conflict in &finding.conflicts {
        let with = index(&conflict.with);
        let witness = packet(&conflict.witness);
        assert!(with < at && list[with].access != list[at].access);
        assert!(matches(&list[with], &witness) && matches(&list[at], &witness), "{conflict:?}");
    }
}

fn nic(inbound: Vec<Vec<Rule>>) -> NicPolicy {
    NicPolicy {
        guarded: Vec::new(),
        platform: Default::default(),
        existing_flows: Default::default(),
        logged: false,
        mac: None,
        interface: InterfaceName::new("eth0").unwrap(),
        inbound: inbound.into_iter().map(stage).collect(),
        outbound: vec![],
    }
}

fn one(protocol: Protocol, source: &str, port: &str, access: Access) -> Rule {
    let source = if source == "*" { Addresses::Any } else { Addresses::Only(vec![source.parse().unwrap()]) };
    let ports = PortRange::parse(port).map_or(Ports::Any, |range| Ports::Only(vec![range]));
    Rule {
        name: format!("{access:?}-{port}"),
        priority: 100,
        access: access.into(),
        protocol,
        source,
        destination: Addresses::Any,
        source_ports: Ports::Any,
        destination_ports: ports,
    }
}

#[test]
fn a_widened_source_and_a_closed_port_are_told_as_such() {
    let allow = |source: &str, port: &str| one(Protocol::Tcp, source, port, Access::Allow);
    let before = nic(vec![vec![allow("10.0.0.0/8", "22"), allow("*", "80")]]);
    let after = nic(vec![vec![allow("*", "22")]]);
    let told = difference(&before, &after, Direction::Inbound, 10, BUDGET).unwrap();
    let v4 = |changed: &Changed| -> Vec<ShownBox> {
        changed.boxes.iter().map(|b| b.packets.clone()).filter(|b| b.family == "IPv4").collect()
    };
    let opened = v4(&told.newly_allowed);
    assert_eq!(opened.len(), 1, "{told:#?}");
    assert_eq!(opened[0].source_addresses, ["0.0.0.0-9.255.255.255", "11.0.0.0-255.255.255.255"]);
    assert_eq!(
        (&opened[0].protocols, &opened[0].destination_ports),
        (&vec!["Tcp".into()], &vec!["22".into()])
    );
    let closed = v4(&told.newly_denied);
    assert_eq!(closed[0].destination_ports, ["80"], "{told:#?}");
    let first = &told.newly_denied.boxes[0];
    assert_eq!((first.rule_before.as_deref(), &first.rule_after), (Some("Allow-80"), &None));
    let nothing = difference(&after, &after, Direction::Inbound, 10, BUDGET).unwrap();
    assert!(nothing.newly_allowed.boxes.is_empty() && nothing.newly_allowed.is_all, "{nothing:#?}");
}

#[test]
fn the_difference_of_two_policies_is_where_their_verdicts_differ() {
    for seed in 0..12 {
        let list = |n: u64| crowded([Kind::Acl, Kind::Fw, Kind::Ipc][seed as usize % 3], 15, 40 * seed + n);
        let (shared, first, second) = (list(0), list(1), list(2));
        let before = nic(vec![shared.clone(), first.clone()]);
        let mut changed = first.clone();
        changed[3] = second[5].clone();
        changed.remove(7);
        let after = nic(vec![shared.clone(), changed]);
        let told = difference(&before, &after, Direction::Inbound, 100_000, BUDGET).unwrap();
        assert!(told.newly_allowed.is_all && told.newly_denied.is_all);
        for (set, allowed_after) in [(&told.newly_allowed, true), (&told.newly_denied, false)] {
            for changed in &set.boxes {
                let witness = packet(&changed.witness);
                let (old, new) =
                    [&before, &after].map(|policy| evaluate(policy, Direction::Inbound, &witness)).into();
                assert_eq!((old.allow, new.allow), (!allowed_after, allowed_after), "{changed:?}");
                assert_eq!(old.rule.map(|r| &r.name), changed.rule_before.as_ref());
                assert_eq!(new.rule.map(|r| &r.name), changed.rule_after.as_ref());
            }
        }
        let mut random = Random::new(seed);
        let all = [shared, first, second].concat();
        for _ in 0..5_000 {
            let packet = corner(&all, &mut random);
            let [old, new] = [&before, &after].map(|p| evaluate(p, Direction::Inbound, &packet).allow);
            let told = [&told.newly_allowed, &told.newly_denied]
                .map(|set| set.boxes.iter().any(|b| holds(&b.packets, &packet)));
            assert_eq!(told, [new && !old, old && !new], "seed {seed} {packet}");
        }
    }
}

/// Whether a packet is in a box as it is shown.
fn holds(shown: &ShownBox, packet: &Packet) -> bool {
    let range = |text: &str| -> (u128, u128) {
        let number = |text: &str| match text.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(v4)) => v4.to_bits().into(),
            Ok(std::net::IpAddr::V6(v6)) => v6.to_bits(),
            Err(_) => text.parse::<u128>().unwrap_or_else(|_| match text {
                "Tcp" => 6,
                "Udp" => 17,
                "Icmp" if shown.family == "IPv4" => 1,
                "Icmp" => 58,
                "Esp" => 50,
                "Ah" => 51,
                other => panic!("{other}"),
            }),
        };
        if let Ok(net) = text.parse::<ipnet::IpNet>() {
            return (number(&net.network().to_string()), number(&net.broadcast().to_string()));
        }
        match text.split_once('-') {
            Some((first, last)) => (number(first), number(last)),
            None => (number(text), number(text)),
        }
    };
    let among = |texts: &[String], value: u128| {
        texts.iter().any(|text| text == "*" || (range(text).0..=range(text).1).contains(&value))
    };
    let bits = |address: std::net::IpAddr| match address {
        std::net::IpAddr::V4(v4) => v4.to_bits().into(),
        std::net::IpAddr::V6(v6) => v6.to_bits(),
    };
    let ports = packet.ports.unwrap_or_default();
    (shown.family == "IPv4") == packet.source.is_ipv4()
        && among(&shown.protocols, packet.protocol.into())
        && among(&shown.source_addresses, bits(packet.source))
        && among(&shown.destination_addresses, bits(packet.destination))
        && (packet.ports.is_none()
            || among(&shown.source_ports, ports.0.into()) && among(&shown.destination_ports, ports.1.into()))
}

fn own(addresses: &[&str]) -> Vec<std::net::IpAddr> {
    addresses.iter().map(|a| a.parse().unwrap()).collect()
}

fn alike(policy: &NicPolicy, addresses: &[&str]) -> Alike {
    Alike { policy: policy.clone(), own: own(addresses) }
}

/// What must become of TCP packets of a port that come to `destinations`.
fn statement(must: Access, source: &str, port: &str, destinations: Vec<Alike>) -> Statement {
    let Rule { protocol, source, destination, source_ports, destination_ports, .. } =
        one(Protocol::Tcp, source, port, must);
    let packets = Traffic { protocol, source, destination, source_ports, destination_ports };
    Statement { must, packets, sources: None, destinations: Some(destinations) }
}

#[test]
fn an_invariant_holds_or_a_packet_breaks_it() {
    let allow = |source: &str, port: &str| one(Protocol::Tcp, source, port, Access::Allow);
    let deny = |source: &str, port: &str| one(Protocol::Tcp, source, port, Access::Deny);
    let check = |statement: Statement| newly_broken(&[], &[statement], 5, BUDGET).unwrap();
    let never_rdp = |nic: &NicPolicy| statement(Access::Deny, "*", "3389", vec![alike(nic, &["10.0.0.4"])]);
    let closed = nic(vec![vec![deny("*", "3389"), allow("*", "*")]]);
    assert_eq!(check(never_rdp(&closed)), None);
    let leaky = nic(vec![vec![deny("10.0.0.0/8", "3389"), allow("*", "3000-4000")]]);
    let broken = check(never_rdp(&leaky)).unwrap();
    let witness = packet(&broken.packet);
    assert!(evaluate(&leaky, Direction::Inbound, &witness).allow && witness.ports.unwrap().1 == 3389);
    assert_eq!(broken.packet.destination_address, "10.0.0.4");
    assert_eq!(broken.decided_by[0].rule.as_deref(), Some("Allow-3000-4000"));
    let always =
        |nic: &NicPolicy| statement(Access::Allow, "192.0.2.0/24", "443", vec![alike(nic, &["10.0.0.4"])]);
    assert_eq!(check(always(&closed)), None);
    let broken = check(always(&leaky)).unwrap();
    assert_eq!((broken.packet.destination_port, &broken.decided_by[0].rule), (Some(443), &None));
    assert_eq!(broken.packets[0].source_addresses, ["192.0.2.0/24"]);
    // A direction that is not filtered lets everything through.
    let broken = check(never_rdp(&nic(vec![]))).unwrap();
    assert_eq!(broken.decided_by[0].network_security_group, None);
    // What no packet can break holds: no source, no address, and what no rule is asked about.
    let mut nobody = never_rdp(&leaky);
    nobody.packets.source = Addresses::none();
    assert_eq!(check(nobody), None);
    assert_eq!(check(statement(Access::Deny, "*", "3389", vec![alike(&leaky, &[])])), None);
    let mut all = never_rdp(&nic(vec![vec![]]));
    all.packets.protocol = Protocol::Any;
    all.packets.destination_ports = Ports::Any;
    assert_eq!(check(all), None, "a lease of DHCP comes through whatever the rules say");
    let small = sekisho_nsg::diagram::Budget { edges: 2, work: 2 };
    assert!(newly_broken(&[], &[never_rdp(&leaky)], 5, small).is_err(), "what is not known is no yes");
}

#[test]
fn between_machines_a_packet_must_pass_the_rules_of_both() {
    let rule = |access, port: &str| one(Protocol::Tcp, "*", port, access);
    let both = |outbound: Vec<Rule>, inbound: Vec<Rule>, must| {
        let filters = |inbound: Vec<Rule>| nic(vec![inbound]);
        let mut sender = filters(Vec::new());
        sender.outbound = filters(outbound).inbound;
        let mut statement = statement(must, "*", "5432", vec![alike(&filters(inbound), &["10.0.0.5"])]);
        statement.sources = Some(vec![alike(&sender, &["10.0.0.4"])]);
        newly_broken(&[], &[statement], 5, BUDGET).unwrap()
    };
    let (open, shut) = (|| vec![rule(Access::Allow, "*")], Vec::new);
    assert_eq!(both(open(), shut(), Access::Deny), None);
    assert_eq!(both(shut(), open(), Access::Deny), None);
    let broken = both(open(), open(), Access::Deny).unwrap();
    let directions: Vec<Direction> = broken.decided_by.iter().map(|d| d.direction).collect();
    assert_eq!(directions, [Direction::Outbound, Direction::Inbound]);
    assert_eq!((broken.packet.source_address.as_str(), broken.is_all), ("10.0.0.4", true));
    assert_eq!(both(open(), open(), Access::Allow), None);
    let broken = both(open(), shut(), Access::Allow).unwrap();
    assert_eq!(broken.decided_by[0].access, Access::Allow);
    assert_eq!(broken.decided_by[1].access, Access::Deny);
}

#[test]
fn a_change_is_to_blame_for_the_packets_that_it_breaks_and_for_no_others() {
    let open = |port: &str| nic(vec![vec![one(Protocol::Tcp, "*", port, Access::Allow)]]);
    let never =
        |nic: &NicPolicy| vec![statement(Access::Deny, "*", "20-30", vec![alike(nic, &["10.0.0.4"])])];
    let change = |before: &str, after: &str| {
        newly_broken(&never(&open(before)), &never(&open(after)), 5, BUDGET).unwrap()
    };
    assert_eq!(change("22", "22"), None);
    assert_eq!(change("22-23", "23"), None, "it breaks less");
    assert_eq!(change("22", "22-23").unwrap().packet.destination_port, Some(23));
}

#[test]
fn what_breaks_an_invariant_is_exactly_what_the_rules_one_by_one_say() {
    let own_address = "10.0.0.4";
    for seed in 0..6 {
        let [inner, outer, before] = [0, 1, 2].map(|n| rules(Kind::Acl, 30, seed * 3 + n));
        let (after, before) = (nic(vec![inner.clone(), outer.clone()]), nic(vec![before]));
        for must in [Access::Deny, Access::Allow] {
            let of = |nic: &NicPolicy| {
                let mut all = statement(must, "*", "*", vec![alike(nic, &[own_address])]);
                all.packets.protocol = Protocol::Any;
                vec![all]
            };
            let told = newly_broken(&of(&before), &of(&after), usize::MAX, BUDGET).unwrap();
            let mut random = Random::new(seed);
            for _ in 0..3_000 {
                let mut packet = corner(&[inner.clone(), outer.clone()].concat(), &mut random);
                packet.destination = own_address.parse().unwrap();
                if packet.source.is_ipv6()
                    || keeps_alive(Direction::Inbound, &packet)
                    || is_unreadable(&packet)
                {
                    continue;
                }
                let broken = |nic: &NicPolicy| {
                    evaluate(nic, Direction::Inbound, &packet).allow == (must == Access::Deny)
                };
                let found = told.iter().flat_map(|t| &t.packets).any(|b| holds(b, &packet));
                assert_eq!(found, broken(&after) && !broken(&before), "seed {seed} {must:?} {packet}");
            }
        }
    }
}
