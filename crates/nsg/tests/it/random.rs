//! Random policies and packets: the kernel must agree with [`evaluate`] on every packet, rule by rule.
//!
//! Packets are raw, with any source and destination: they are routed through the filtered host, which counts, judges
//! and then loses them, so that no answer and no connection tracking entry makes one packet change the fate of the next.
//! The rules' counters say which rules matched, an observer behind the filter says how many packets passed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, sendto, socket,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use sekisho_lab::Host;
use sekisho_nsg::agent::{enforce, hits, load as nft_load};
use sekisho_nsg::compile::Form;
use sekisho_nsg::evaluate::{Packet, evaluate};
use sekisho_nsg::platform::PlatformService;
use sekisho_nsg::policy::{
    Addresses, Association, Direction, InterfaceName, NicPolicy, NsgPart, PortRange, Ports, Protocol, Rule,
    RuleAction, Stage,
};

use crate::support::{compile_as, lab, load, run, sh};

/// Marks our packets for the observer: no other packet has this TTL.
const TTL: u8 = 77;
const PORTS: [u16; 16] = [1, 21, 22, 23, 53, 67, 68, 80, 81, 443, 546, 547, 1024, 1688, 65534, 65535];
const NETS: [&str; 16] = [
    "10.77.0.0/24",
    "10.77.0.0/25",
    "10.77.0.128/25",
    "10.77.1.0/24",
    "10.0.0.0/8",
    "192.0.2.0/24",
    "192.0.2.1/32",
    "0.0.0.0/0",
    "128.0.0.0/1",
    "168.63.129.16/32",
    "fd77::/64",
    "fd77::/48",
    "2001:db8::/32",
    "2001:db8::1/128",
    "::/0",
    "8000::/1",
];
const ADDRESSES4: [&str; 12] = [
    "10.77.0.1",
    "10.77.0.127",
    "10.77.0.128",
    "10.77.1.0",
    "10.78.0.1",
    "192.0.2.1",
    "192.0.2.2",
    "8.8.8.8",
    "200.1.1.1",
    "168.63.129.16",
    "169.254.169.254",
    "20.118.99.224",
];
const ADDRESSES6: [&str; 6] =
    ["fd77::1", "fd77:0:0:1::1", "fd78::1", "2001:db8::1", "2001:db8::2", "2600::1"];

fn addresses() -> impl Strategy<Value = Addresses> {
    prop_oneof![
        2 => Just(Addresses::Any),
        5 => prop::collection::vec(prop::sample::select(NETS.as_slice()), 0..5)
            .prop_map(|nets| Addresses::Only(nets.iter().map(|n| n.parse().unwrap()).collect())),
    ]
}

fn ports() -> impl Strategy<Value = Ports> {
    let port = || prop::sample::select(PORTS.as_slice());
    let range = (port(), port()).prop_map(|(a, b)| PortRange::new(a.min(b), a.max(b)).unwrap());
    let single = port().prop_map(|p| PortRange::new(p, p).unwrap());
    prop_oneof![
        4 => Just(Ports::Any),
        3 => prop::collection::vec(prop_oneof![range, single], 0..5).prop_map(Ports::Only),
    ]
}

pub(crate) fn stage() -> impl Strategy<Value = Stage> {
    let access = prop_oneof![
        3 => Just(RuleAction::Allow), 1 => Just(RuleAction::AlwaysAllow), 1 => Just(RuleAction::Deny)
    ];
    let protocol = prop_oneof![
        3 => Just(Protocol::Any), 2 => Just(Protocol::Tcp), 2 => Just(Protocol::Udp), 1 => Just(Protocol::Icmp),
        1 => Just(Protocol::Esp), 1 => Just(Protocol::Ah),
    ];
    let rule = (access, protocol, addresses(), addresses(), ports(), ports());
    let kind = prop_oneof![5 => Just((false, false)), 2 => Just((true, false)), 3 => Just((false, true))];
    (prop::collection::vec(rule, 0..10), kind).prop_map(|(rules, (audit, is_manager))| Stage {
        audit,
        nsg: "nsg".to_owned(),
        association: match is_manager {
            true => Association::Manager("net".to_owned()),
            false => Association::Nic("nic".to_owned()),
        },
        rules: (100..)
            .zip(rules)
            .map(|(priority, (access, protocol, source, destination, source_ports, destination_ports))| {
                Rule {
                    name: format!("r{priority}"),
                    priority,
                    // Only network managers have the third.
                    access: if is_manager { access } else { access.access().into() },
                    protocol,
                    source,
                    destination,
                    source_ports,
                    destination_ports,
                }
            })
            .collect(),
    })
}

/// Services of the platform that are reached.
pub(crate) fn platform() -> impl Strategy<Value = BTreeSet<PlatformService>> {
    prop::sample::subsequence(PlatformService::ALL.to_vec(), 0..=4).prop_map(|s| s.into_iter().collect())
}

pub(crate) fn packets() -> impl Strategy<Value = Vec<Packet>> {
    let port = || prop::sample::select(PORTS.as_slice());
    let pair = |list: &'static [&'static str]| {
        (prop::sample::select(list), prop::sample::select(list)).prop_filter("two hosts", |(a, b)| a != b)
    };
    let addresses = prop_oneof![2 => pair(&ADDRESSES4), 1 => pair(&ADDRESSES6)];
    let protocol = prop_oneof![
        4 => Just(6u8), 4 => Just(17u8), 1 => Just(132u8), 1 => Just(1u8), 1 => Just(50u8), 1 => Just(51u8),
        1 => Just(47u8),
    ];
    let packet = (addresses, protocol, port(), port(), any::<bool>()).prop_map(
        |((from, to), protocol, sport, dport, alive)| {
            let (source, destination): (IpAddr, IpAddr) = (from.parse().unwrap(), to.parse().unwrap());
            let protocol = match protocol {
                1 if source.is_ipv6() => 58,
                // In IPv6 Linux looks behind the AH header; see `Protocol::Ah`.
                51 if source.is_ipv6() => 50,
                other => other,
            };
            let icmp_type = match protocol {
                1 => Some(8),
                58 if alive => Some(135),
                58 => Some(128),
                _ => None,
            };
            let ports = matches!(protocol, 6 | 17 | 132).then_some((sport, dport));
            Packet { source, destination, protocol, ports, icmp_type }
        },
    );
    prop::collection::vec(packet, 40)
}

#[test]
fn the_kernel_agrees_with_linear_evaluation_on_what_comes_in() {
    let name = "the_kernel_agrees_with_linear_evaluation_on_what_comes_in";
    let Some(lab) = lab(name, "ri") else { return };
    let sender = lab.host("sender", "172.31.255.1/30 fdff::1/126").unwrap();
    let filtered = lab.host("filtered", "172.31.255.2/30 fdff::2/126").unwrap();
    sh(&sender, "ip route add default via 172.31.255.2; ip -6 route add default via fdff::2");
    agree(Direction::Inbound, &filtered, &sender, "prerouting", -140);
}

#[test]
fn the_kernel_agrees_with_linear_evaluation_on_what_goes_out() {
    let name = "the_kernel_agrees_with_linear_evaluation_on_what_goes_out";
    let Some(lab) = lab(name, "ro") else { return };
    let _sink = lab.host("sink", "172.31.255.1/30 fdff::1/126").unwrap();
    let filtered = lab.host("filtered", "172.31.255.2/30 fdff::2/126").unwrap();
    sh(&filtered, "ip route add default via 172.31.255.1; ip -6 route add default via fdff::1");
    agree(Direction::Outbound, &filtered, &filtered, "postrouting", 160);
}

fn agree(direction: Direction, filtered: &Host, sender: &Host, hook: &str, priority: i32) {
    sh(
        filtered,
        &format!(
            "nft 'add table inet observer; add chain inet observer c {{ type filter hook {hook} priority {priority}; }};
                add counter inet observer passed;
                add rule inet observer c ip ttl {TTL} counter name passed;
                add rule inet observer c ip6 hoplimit {TTL} counter name passed'"
        ),
    );
    // Of packets that went out the kernel remembers the flow: the same the other way round would belong to it.
    let seen = std::cell::RefCell::new(HashSet::new());
    let mut runner = TestRunner::new(Config {
        cases: 120,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    });
    let forms = prop::sample::select(vec![Form::Rules, Form::Rules, Form::Actions, Form::Linear]);
    let policies = (prop::collection::vec(stage(), 1..4), packets(), forms, platform());
    let result = runner.run(&policies, |(mut stages, packets, form, platform)| {
        // A NIC never has the same group twice in one place.
        stages.iter_mut().enumerate().for_each(|(at, stage)| stage.nsg = format!("nsg{at}"));
        let mut seen = seen.borrow_mut();
        let mut fresh = |p: &Packet| {
            let swapped = (p.destination, p.source, p.protocol, p.ports.map(|(a, b)| (b, a)));
            direction == Direction::Inbound || {
                let new = !seen.contains(&swapped);
                seen.insert((p.source, p.destination, p.protocol, p.ports));
                new
            }
        };
        let packets: Vec<Packet> = packets.into_iter().filter(|p| fresh(p)).collect();
        let nic = NicPolicy {
            guarded: Vec::new(),
            platform,
            existing_flows: Default::default(),
            logged: false,
            mac: None,
            interface: InterfaceName::new("eth0").unwrap(),
            inbound: if direction == Direction::Inbound { stages.clone() } else { vec![] },
            outbound: if direction == Direction::Outbound { stages } else { vec![] },
        };
        // The same rules for an interface that carries nothing: its counters must stay at zero.
        let idle = NicPolicy { interface: InterfaceName::new("eth9").unwrap(), ..nic.clone() };
        check(direction, &NsgPart { nics: vec![nic, idle] }, form, &packets, filtered, sender)
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

fn check(
    direction: Direction,
    part: &NsgPart,
    form: Form,
    packets: &[Packet],
    filtered: &Host,
    sender: &Host,
) -> Result<(), TestCaseError> {
    run(filtered, || async {
        enforce(Some(&mut compile_as(part, 1, form))).await?;
        // One at a time: nft 1.1.3 finds only one of two tables.
        nft_load("reset counters table inet observer\n").await?;
        nft_load("reset counters table inet sekisho\n").await
    })
    .map_err(|e| TestCaseError::fail(format!("{e}\n{part:#?}")))?;
    sender.inside(|| packets.iter().for_each(send)).unwrap();
    // A veth delivers in the sender's own time slice, except to a neighbour that must be looked up first.
    std::thread::sleep(Duration::from_millis(3));

    let mut expected: BTreeMap<(usize, String), u64> = BTreeMap::new();
    let mut passed = 0;
    for packet in packets {
        let verdict = evaluate(&part.nics[0], direction, packet);
        passed += u64::from(verdict.allow);
        for (stage, rule) in verdict.trail {
            let name = part.nics[0].stages(direction)[stage].rules[rule].name.clone();
            *expected.entry((stage, name)).or_default() += 1;
        }
    }
    let counted: BTreeMap<(usize, String), u64> = run(filtered, || async { hits(part).await })
        .unwrap()
        .into_iter()
        .filter(|h| h.packets > 0)
        .map(|h| ((h.stage + 1000 * h.nic, h.rule), h.packets))
        .collect();
    if form == Form::Actions {
        prop_assert_eq!(counted.len(), 0, "rules are not counted");
        expected.clear();
    }
    prop_assert_eq!(counted, expected, "{:#?}\n{:#?}", part, packets);
    let observed = sh(filtered, "nft list counter inet observer passed");
    prop_assert!(observed.contains(&format!("packets {passed} ")), "{passed} {observed}\n{part:#?}");
    Ok(())
}

/// Sends the packet as it is.
fn send(packet: &Packet) {
    let bytes = wire(packet);
    let raw = |family| socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw).unwrap();
    match packet.destination {
        IpAddr::V4(to) => {
            let to = SockaddrIn::from(SocketAddrV4::new(to, 0));
            sendto(raw(AddressFamily::Inet).as_raw_fd(), &bytes, &to, MsgFlags::empty())
        }
        IpAddr::V6(to) => {
            let to = SockaddrIn6::from(SocketAddrV6::new(to, 0, 0, 0));
            sendto(raw(AddressFamily::Inet6).as_raw_fd(), &bytes, &to, MsgFlags::empty())
        }
    }
    // A filter that drops what goes out says so to the sender.
    .map(drop)
    .or_else(|e| if e == nix::errno::Errno::EPERM { Ok(()) } else { Err(e) })
    .unwrap();
}

fn wire(packet: &Packet) -> Vec<u8> {
    let mut upper = match packet.protocol {
        6 => [vec![0; 12], vec![0x50, 2, 0xff, 0xff, 0, 0, 0, 0]].concat(),
        17 => vec![0, 0, 0, 0, 0, 8, 0, 0],
        1 | 58 if packet.icmp_type == Some(135) => [vec![135], vec![0; 23]].concat(),
        1 | 58 => vec![packet.icmp_type.unwrap(), 0, 0, 0, 0x12, 0x34, 0, 1],
        // INIT with tag 1, window, one stream each way.
        132 => [vec![0; 12], vec![1, 0, 0, 20, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]].concat(),
        47 => vec![0, 0, 8, 0],
        // AH: no next header, minimal length; ESP: index and sequence.
        51 => vec![59, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1],
        _ => vec![0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0],
    };
    if let Some((source, destination)) = packet.ports {
        upper[..2].copy_from_slice(&source.to_be_bytes());
        upper[2..4].copy_from_slice(&destination.to_be_bytes());
    }
    let length = u16::try_from(upper.len()).unwrap();
    let (from, to) = (octets(packet.source), octets(packet.destination));
    let mut pseudo = [from.clone(), to.clone(), vec![0, packet.protocol]].concat();
    pseudo.extend(length.to_be_bytes());
    match packet.protocol {
        6 => seal(&mut upper, 16, &pseudo),
        17 => seal(&mut upper, 6, &pseudo),
        58 => seal(&mut upper, 2, &pseudo),
        1 => seal(&mut upper, 2, &[]),
        132 => {
            let crc = crc32c(&upper);
            upper[8..12].copy_from_slice(&crc.to_le_bytes());
        }
        _ => {}
    }
    let header = if packet.source.is_ipv4() {
        // The kernel fills in total length, id and checksum.
        [vec![0x45, 0, 0, 0, 0, 0, 0, 0, TTL, packet.protocol, 0, 0], from, to].concat()
    } else {
        let [high, low] = length.to_be_bytes();
        [vec![0x60, 0, 0, 0, high, low, packet.protocol, TTL], from, to].concat()
    };
    [header, upper].concat()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

/// Puts the internet checksum of pseudo header and content at an offset.
fn seal(content: &mut [u8], offset: usize, pseudo: &[u8]) {
    let words =
        |bytes: &[u8]| -> u32 { bytes.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum() };
    let mut sum = words(pseudo) + words(content);
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    content[offset..offset + 2].copy_from_slice(&(!u16::try_from(sum).unwrap()).to_be_bytes());
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _: i32| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// The same with whole network stacks: what TCP connects and which datagrams arrive.
#[test]
fn tcp_and_udp_get_through_exactly_where_linear_evaluation_says() {
    let name = "tcp_and_udp_get_through_exactly_where_linear_evaluation_says";
    let Some(lab) = lab(name, "rs") else { return };
    let addresses = "10.77.0.1/16 10.77.0.128/16 10.77.1.1/16 fd77::1/48 fd77:0:0:1::1/48";
    let client = lab.host("client", addresses).unwrap();
    let server = lab.host("server", "10.77.0.4/16 10.77.0.129/16 fd77::4/48").unwrap();
    let wildcard = |port| SocketAddr::new("::".parse().unwrap(), port);
    let listeners: Vec<_> = PORTS.map(|p| server.listen_tcp(wildcard(p)).unwrap()).into();
    let receivers: Vec<_> = PORTS.map(|p| server.bind_udp(wildcard(p)).unwrap()).into();
    receivers.iter().for_each(|r| r.set_nonblocking(true).unwrap());
    listeners.iter().for_each(|l| l.set_nonblocking(true).unwrap());
    let mut runner = TestRunner::new(Config {
        cases: 16,
        max_shrink_iters: 20,
        failure_persistence: None,
        ..Config::default()
    });
    // Source ports are the kernel's choice here, so that no flow is ever repeated.
    let stages = prop::collection::vec(stage(), 1..3).prop_map(|mut stages| {
        stages.iter_mut().flat_map(|s| &mut s.rules).for_each(|r| r.source_ports = Ports::Any);
        stages
    });
    let endpoints = |host: &Host| host.addresses().iter().map(|a| a.addr()).collect::<Vec<_>>();
    let flow = (
        prop::sample::select(endpoints(&client)),
        prop::sample::select(endpoints(&server)),
        prop::sample::select(PORTS.as_slice()),
    )
        .prop_filter("one family", |(from, to, _)| from.is_ipv4() == to.is_ipv4());
    let result = runner.run(&(stages, prop::collection::vec(flow, 30)), |(stages, flows)| {
        let nic = NicPolicy {
            guarded: Vec::new(),
            platform: Default::default(),
            existing_flows: Default::default(),
            logged: false,
            mac: None,
            interface: InterfaceName::new("eth0").unwrap(),
            inbound: stages,
            outbound: vec![],
        };
        load(&server, std::slice::from_ref(&nic));
        let expected = |protocol| -> Vec<bool> {
            let allow = |&(source, destination, port): &(IpAddr, IpAddr, u16)| {
                let packet =
                    Packet { source, destination, protocol, ports: Some((40000, port)), icmp_type: None };
                evaluate(&nic, Direction::Inbound, &packet).allow
            };
            flows.iter().map(allow).collect()
        };
        let connected = run(&client, || connect_all(&flows));
        for listener in &listeners {
            while listener.accept().is_ok() {}
        }
        prop_assert_eq!(connected, expected(6), "TCP {:?} {:#?}", flows, nic);
        client
            .inside(|| {
                for (i, (from, to, port)) in flows.iter().enumerate() {
                    let socket = std::net::UdpSocket::bind(SocketAddr::new(*from, 0)).unwrap();
                    socket.send_to(&[u8::try_from(i).unwrap()], SocketAddr::new(*to, *port)).unwrap();
                }
            })
            .unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let mut arrived = vec![false; flows.len()];
        let mut byte = [0];
        for receiver in &receivers {
            while receiver.recv(&mut byte).is_ok() {
                arrived[usize::from(byte[0])] = true;
            }
        }
        prop_assert_eq!(arrived, expected(17), "UDP {:?} {:#?}", flows, nic);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

/// Which of these connections come about. All at once, because a denied one is known by its silence.
async fn connect_all(flows: &[(IpAddr, IpAddr, u16)]) -> Vec<bool> {
    let mut tasks = Vec::new();
    for (from, to, port) in flows.iter().copied() {
        tasks.push(tokio::spawn(async move {
            let socket = if from.is_ipv4() {
                tokio::net::TcpSocket::new_v4()
            } else {
                tokio::net::TcpSocket::new_v6()
            }
            .unwrap();
            socket.bind(SocketAddr::new(from, 0)).unwrap();
            let connect = socket.connect(SocketAddr::new(to, port));
            tokio::time::timeout(Duration::from_millis(400), connect).await.is_ok_and(|done| done.is_ok())
        }));
    }
    let mut connected = Vec::new();
    for task in tasks {
        connected.push(task.await.unwrap());
    }
    connected
}
