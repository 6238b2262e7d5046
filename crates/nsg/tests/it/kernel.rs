//! Real connections between real network stacks.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use sekisho_lab::{Host, ProbeError};
use sekisho_nsg::existing::{ExistingFlows, settle};
use sekisho_nsg::policy::{NicPolicy, NsgPart};
use sekisho_nsg::resolve::NicInput;
use serde_json::json;

use crate::support::{id, lab, load, nic, nic_with, nsg, policy, rule, run, sh};

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(3);

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Whether a TCP connection comes about; a port that nobody listens at is an error of the test.
fn connects(from: &Host, to: &str) -> bool {
    match from.connect_tcp(at(to), SHORT) {
        Ok(_) => true,
        Err(ProbeError::Silent) => false,
        Err(other) => panic!("{} to {to}: {other}", from.name()),
    }
}

fn ping_pong(client: &mut TcpStream, server: &mut TcpStream) {
    let mut byte = [0];
    for stream in [&*client, &*server] {
        stream.set_read_timeout(Some(LONG)).unwrap();
    }
    client.write_all(b"?").unwrap();
    server.read_exact(&mut byte).unwrap();
    server.write_all(b"!").unwrap();
    client.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"!");
}

fn pair(listener: &TcpListener, client: &Host) -> (TcpStream, TcpStream) {
    let client = client.connect_tcp(listener.local_addr().unwrap(), LONG).unwrap();
    (client, listener.accept().unwrap().0)
}

#[test]
fn the_defaults_let_the_network_in_and_keep_the_internet_out_over_both_families() {
    let Some(lab) = lab("the_defaults_let_the_network_in_and_keep_the_internet_out_over_both_families", "df")
    else {
        return;
    };
    let web = lab.host("web", "10.77.0.4/24 fd77::4/64 192.0.2.4/24 2001:db8::4/64").unwrap();
    let db = lab.host("db", "10.77.0.5/24 fd77::5/64").unwrap();
    let internet = lab.host("internet", "192.0.2.9/24 2001:db8::9/64").unwrap();
    let _ports: Vec<TcpListener> = [
        (&web, "0.0.0.0:80"),
        (&internet, "0.0.0.0:80"),
        (&db, "0.0.0.0:80"),
        (&web, "[::]:81"),
        (&internet, "[::]:81"),
        (&db, "[::]:81"),
    ]
    .map(|(host, address)| host.listen_tcp(at(address)).unwrap())
    .into();
    assert!(connects(&internet, "192.0.2.4:80"), "unfiltered, everybody gets in");
    load(&web, &[policy(nic_with(json!([])))]);
    for (from, to, expected) in [
        (&db, "10.77.0.4:80", true),
        (&db, "[fd77::4]:81", true),
        (&internet, "192.0.2.4:80", false),
        (&internet, "[2001:db8::4]:81", false),
        (&web, "192.0.2.9:80", true),
        (&web, "[2001:db8::9]:81", true),
        (&web, "10.77.0.5:80", true),
        (&web, "127.0.0.1:80", true),
        (&web, "192.0.2.4:80", true),
    ] {
        assert_eq!(connects(from, to), expected, "{} to {to}", from.name());
    }
}

#[test]
fn a_flow_once_allowed_lives_on_when_the_rules_change_and_a_new_one_does_not_begin() {
    let Some(lab) =
        lab("a_flow_once_allowed_lives_on_when_the_rules_change_and_a_new_one_does_not_begin", "st")
    else {
        return;
    };
    let web = lab.host("web", "192.0.2.4/24").unwrap();
    let other = lab.host("other", "192.0.2.9/24").unwrap();
    // Nothing may come in by itself; what web asks for comes back.
    load(&web, &[policy(nic_with(json!([])))]);
    let listener = other.listen_tcp(at("192.0.2.9:80")).unwrap();
    let (mut client, mut server) = pair(&listener, &web);
    ping_pong(&mut client, &mut server);
    ping_pong(&mut server, &mut client);
    let deny = json!([rule("Inbound", 100, "Deny", json!({})), rule("Outbound", 100, "Deny", json!({}))]);
    load(&web, &[policy(nic_with(deny))]);
    ping_pong(&mut client, &mut server);
    assert!(!connects(&web, "192.0.2.9:80"));
    // The other side's refusal to a datagram that was allowed is part of its flow.
    load(&web, &[policy(nic_with(json!([])))]);
    assert!(matches!(web.probe_udp(at("192.0.2.9:9"), b"x", LONG), Err(ProbeError::Refused)));
}

#[test]
fn deny_before_allow_and_both_stages_hold_on_the_wire() {
    let Some(lab) = lab("deny_before_allow_and_both_stages_hold_on_the_wire", "bs") else { return };
    let web = lab.host("web", "192.0.2.4/24").unwrap();
    let other = lab.host("other", "192.0.2.9/24 192.0.2.10/24").unwrap();
    let ports: Vec<TcpListener> =
        (80..86).map(|p| web.listen_tcp(SocketAddr::new("0.0.0.0".parse().unwrap(), p)).unwrap()).collect();
    let tcp = |direction, priority, access, ports: &str| {
        rule(direction, priority, access, json!({"protocol": "Tcp", "destinationPortRange": ports}))
    };
    let outer = json!([tcp("Inbound", 100, "Deny", "83"), tcp("Inbound", 200, "Allow", "81-85")]);
    let own = json!([tcp("Inbound", 100, "Allow", "80-84"), tcp("Outbound", 100, "Deny", "80")]);
    let both = NicInput {
        subnet_nsg: Some((id("virtualNetworks/v/subnets/s"), nsg("outer", outer))),
        ..nic_with(own)
    };
    load(&web, &[policy(both)]);
    let open = [80, 81, 82, 83, 84, 85].map(|p| connects(&other, &format!("192.0.2.4:{p}")));
    assert_eq!(open, [false, true, true, false, true, false]);
    let _listener = other.listen_tcp(at("192.0.2.9:80")).unwrap();
    assert!(!connects(&web, "192.0.2.9:80"));
    drop(ports);
}

#[test]
fn a_group_rule_reaches_members_by_their_addresses() {
    let Some(lab) = lab("a_group_rule_reaches_members_by_their_addresses", "ag") else { return };
    use std::collections::{HashMap, HashSet};

    use crate::support::asg;
    let web = lab.host("web", "192.0.2.4/24").unwrap();
    let member = lab.host("member", "192.0.2.5/24").unwrap();
    let stranger = lab.host("stranger", "192.0.2.6/24").unwrap();
    let _port = web.listen_tcp(at("192.0.2.4:80")).unwrap();
    let from = json!({"sourceAddressPrefix": null, "sourceApplicationSecurityGroups": [{"id": asg("app")}],
        "destinationAddressPrefix": null, "destinationApplicationSecurityGroups": [{"id": asg("web")}]});
    let rules = json!([rule("Inbound", 100, "Allow", from)]);
    let groups = HashMap::from([
        (asg("app"), vec!["192.0.2.5".parse().unwrap()]),
        (asg("web"), vec!["192.0.2.4".parse().unwrap()]),
    ]);
    let nic = NicInput { groups: HashSet::from([asg("web")]), ..nic_with(rules) };
    let inputs = sekisho_nsg::resolve::Inputs { nics: vec![nic], groups, ..Default::default() };
    load(&web, &sekisho_nsg::resolve::resolve(&inputs).unwrap().nics);
    assert!(connects(&member, "192.0.2.4:80"));
    assert!(!connects(&stranger, "192.0.2.4:80"));
}

/// The hole that host firewalls have beside Docker.
#[test]
fn a_port_that_the_machine_rewrites_is_judged_as_it_was_on_the_wire() {
    let Some(lab) = lab("a_port_that_the_machine_rewrites_is_judged_as_it_was_on_the_wire", "nt") else {
        return;
    };
    let web = lab.host("web", "192.0.2.4/24").unwrap();
    let other = lab.host("other", "192.0.2.9/24").unwrap();
    let _port = web.listen_tcp(at("0.0.0.0:80")).unwrap();
    sh(
        &web,
        "nft 'add table ip nat; add chain ip nat pre { type nat hook prerouting priority -100; };
            add rule ip nat pre tcp dport 8080 redirect to :80'",
    );
    let allow = |port: &str| {
        policy(nic_with(json!([rule("Inbound", 100, "Allow", json!({"destinationPortRange": port}))])))
    };
    load(&web, &[allow("80")]);
    assert!(connects(&other, "192.0.2.4:80"));
    assert!(!connects(&other, "192.0.2.4:8080"));
    load(&web, &[allow("8080")]);
    assert!(connects(&other, "192.0.2.4:8080"));
    assert!(!connects(&other, "192.0.2.4:80"));
}

#[test]
fn a_container_behind_the_machine_is_protected_by_the_machines_nic() {
    let Some(lab) = lab("a_container_behind_the_machine_is_protected_by_the_machines_nic", "fw") else {
        return;
    };
    let web = lab.host("web", "192.0.2.4/24").unwrap();
    let other = lab.host("other", "192.0.2.9/24").unwrap();
    sh(
        &web,
        "echo 1 >/proc/sys/net/ipv4/ip_forward
         nft 'add table ip nat; add chain ip nat pre { type nat hook prerouting priority -100; };
            add rule ip nat pre tcp dport 8080 dnat to 192.0.2.20:80;
            add chain ip nat post { type nat hook postrouting priority 100; };
            add rule ip nat post ip daddr 192.0.2.20 masquerade'",
    );
    let container = lab.host("container", "192.0.2.20/24").unwrap();
    let _port = container.listen_tcp(at("192.0.2.20:80")).unwrap();
    let rules = |port: &str| {
        json!([rule("Inbound", 100, "Allow", json!({"protocol": "Tcp", "destinationPortRange": port}))])
    };
    load(&web, &[policy(nic_with(rules("8080")))]);
    assert!(connects(&other, "192.0.2.4:8080"), "the published port is reachable when a rule says so");
    load(&web, &[policy(nic_with(rules("80")))]);
    assert!(!connects(&other, "192.0.2.4:8080"));
}

/// A rule about ports cannot say anything of such a packet, and what cannot be judged does not pass.
#[test]
fn a_packet_whose_ports_cannot_be_read_is_dropped_even_where_everything_is_allowed() {
    let name = "a_packet_whose_ports_cannot_be_read_is_dropped_even_where_everything_is_allowed";
    let Some(lab) = lab(name, "up") else { return };
    let web = lab.host("web", "192.0.2.4/24").unwrap();
    let other = lab.host("other", "192.0.2.9/24").unwrap();
    // Connection tracking would call it invalid: nothing is tracked here, and an observer counts behind the filter.
    sh(
        &web,
        "nft 'add table inet observer; add chain inet observer raw { type filter hook prerouting priority -300; };
            add rule inet observer raw notrack;
            add chain inet observer behind { type filter hook prerouting priority -140; };
            add counter inet observer passed;
            add rule inet observer behind ip ttl 77 counter name passed'",
    );
    let passed = || {
        let counter = sh(&web, "nft list counter inet observer passed");
        counter.split("packets ").nth(1).unwrap().split(' ').next().unwrap().parse::<u32>().unwrap()
    };
    let send = |protocol: u8, content: &[u8]| {
        other
            .inside(|| {
                use nix::sys::socket::{
                    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
                };
                use std::os::fd::AsRawFd as _;
                let header =
                    [0x45, 0, 0, 0, 0, 0, 0, 0, 77, protocol, 0, 0, 192, 0, 2, 9, 192, 0, 2, 4].to_vec();
                let raw =
                    socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw)
                        .unwrap();
                let to = SockaddrIn::new(192, 0, 2, 4, 0);
                sendto(raw.as_raw_fd(), &[&header, content].concat(), &to, MsgFlags::empty()).unwrap();
            })
            .unwrap();
        std::thread::sleep(Duration::from_millis(20));
    };
    let short = || {
        for protocol in [6, 17, 132] {
            send(protocol, &[0]);
            send(protocol, &[0, 80, 0]);
        }
        passed()
    };
    assert_eq!(short(), 6, "unfiltered, they pass");
    load(&web, &[policy(nic_with(json!([rule("Inbound", 100, "Allow", json!({}))])))]);
    assert_eq!(short(), 6);
    send(17, &[0, 80, 0, 80, 0, 8, 0, 0]);
    send(50, &[0]);
    assert_eq!(passed(), 8, "whole ones pass, and those of protocols without ports");
    assert!(sh(&web, "nft list counter inet sekisho unreadable").contains("packets 6 "));
}

#[test]
fn another_interface_is_not_filtered() {
    let Some(lab) = lab("another_interface_is_not_filtered", "oi") else { return };
    let web = lab.host("web", "192.0.2.4/24").unwrap();
    let other = lab.host("other", "192.0.2.9/24").unwrap();
    let _port = web.listen_tcp(at("192.0.2.4:80")).unwrap();
    let mut elsewhere = policy(nic_with(json!([])));
    elsewhere.interface = sekisho_nsg::policy::InterfaceName::new("eth1").unwrap();
    load(&web, &[elsewhere.clone()]);
    assert!(connects(&other, "192.0.2.4:80"));
    load(&web, &[elsewhere, policy(nic_with(json!([])))]);
    assert!(!connects(&other, "192.0.2.4:80"));
    load(&web, &[policy(nic())]);
    assert!(connects(&other, "192.0.2.4:80"));
}

/// Loads a policy in a host and judges its flows, as the agent does.
fn change(host: &Host, before: Option<&NsgPart>, policy: NicPolicy) -> NsgPart {
    load(host, std::slice::from_ref(&policy));
    let part = NsgPart { nics: vec![policy] };
    run(host, || async { settle(before, &part) }).unwrap();
    part
}

fn with_flows(existing: ExistingFlows, rules: serde_json::Value) -> NicPolicy {
    NicPolicy { existing_flows: existing, ..policy(nic_with(rules)) }
}

/// Whether bytes still pass both ways; false when the connection is cut or nothing comes.
fn lives(client: &mut TcpStream, server: &mut TcpStream) -> bool {
    let mut byte = [0];
    for stream in [&*client, &*server] {
        stream.set_read_timeout(Some(SHORT)).unwrap();
    }
    let mut pass = |from: &mut TcpStream, to: &mut TcpStream| {
        from.write_all(b"?").is_ok() && to.read_exact(&mut byte).is_ok()
    };
    pass(client, server) && pass(server, client)
}

#[test]
fn a_flow_that_the_new_rules_deny_ends_and_what_they_allow_goes_on() {
    let Some(lab) = lab("a_flow_that_the_new_rules_deny_ends_and_what_they_allow_goes_on", "rf") else {
        return;
    };
    let web = lab.host("web", "192.0.2.4/24 2001:db8::4/64").unwrap();
    let other = lab.host("other", "192.0.2.9/24 2001:db8::9/64").unwrap();
    let allow =
        |port: &str| rule("Inbound", 100, "Allow", json!({"protocol": "Tcp", "destinationPortRange": port}));
    let open = || with_flows(ExistingFlows::Reevaluate, json!([allow("80-81")]));
    let before = change(&web, None, open());
    let [first, second, third] = ["192.0.2.4:80", "192.0.2.4:81", "[2001:db8::4]:80"];
    let [first, second, third] = [first, second, third].map(|a| web.listen_tcp(at(a)).unwrap());
    let (mut a, mut a_at) = pair(&first, &other);
    let (mut b, mut b_at) = pair(&second, &other);
    let (mut c, mut c_at) = pair(&third, &other);
    // And one that the machine began itself, which outbound rules are about.
    let listener = other.listen_tcp(at("192.0.2.9:80")).unwrap();
    let (mut out, mut out_at) = pair(&listener, &web);
    for (x, y) in [(&mut a, &mut a_at), (&mut b, &mut b_at), (&mut c, &mut c_at), (&mut out, &mut out_at)] {
        ping_pong(x, y);
    }
    let narrow = || with_flows(ExistingFlows::Reevaluate, json!([allow("81")]));
    let part = change(&web, Some(&before), narrow());
    assert!(!lives(&mut a, &mut a_at) && !lives(&mut c, &mut c_at), "denied now, over both families");
    assert!(lives(&mut b, &mut b_at) && lives(&mut out, &mut out_at), "allowed as before");
    // The client was told by a reset.
    let told = a.read(&mut [0]).map_err(|e| e.kind());
    assert!(matches!(told, Err(std::io::ErrorKind::ConnectionReset)), "{told:?}");
    // Nothing of the machine's own comes through in the other direction either.
    let _ = a_at.write_all(b"secret");
    assert!(!lives(&mut a_at, &mut a));
    // A flow goes on again when it is allowed again: what is cut is marked, not forgotten.
    let (mut b, mut b_at) = (b, b_at);
    let deny_all =
        || with_flows(ExistingFlows::Reevaluate, json!([rule("Outbound", 100, "Deny", json!({}))]));
    let shut = change(&web, Some(&part), deny_all());
    assert!(!lives(&mut out, &mut out_at), "what the machine began is judged by outbound rules");
    change(&web, Some(&shut), narrow());
    assert!(connects(&other, "192.0.2.4:81"));
    let _ = lives(&mut b, &mut b_at);
}

#[test]
fn flows_are_kept_unless_a_group_wants_otherwise_and_dropped_with_every_change_when_it_does() {
    let Some(lab) =
        lab("flows_are_kept_unless_a_group_wants_otherwise_and_dropped_with_every_change_when_it_does", "kd")
    else {
        return;
    };
    let web = lab.host("web", "192.0.2.4/24").unwrap();
    let other = lab.host("other", "192.0.2.9/24").unwrap();
    let allow = |ports: &str| {
        json!([rule("Inbound", 100, "Allow", json!({"protocol": "*", "destinationPortRange": ports}))])
    };
    let keep = change(&web, None, with_flows(ExistingFlows::Keep, allow("80")));
    let listener = web.listen_tcp(at("192.0.2.4:80")).unwrap();
    let (mut client, mut server) = pair(&listener, &other);
    ping_pong(&mut client, &mut server);
    let closed = change(&web, Some(&keep), with_flows(ExistingFlows::Keep, json!([])));
    ping_pong(&mut client, &mut server);
    // Dropped, although it would be allowed.
    let part = change(&web, Some(&closed), with_flows(ExistingFlows::Drop, allow("80")));
    assert!(!lives(&mut client, &mut server));
    let (mut client, mut server) = pair(&listener, &other);
    ping_pong(&mut client, &mut server);
    // Nothing changed, nothing is dropped.
    let part = change(&web, Some(&part), with_flows(ExistingFlows::Drop, allow("80")));
    ping_pong(&mut client, &mut server);
    change(&web, Some(&part), with_flows(ExistingFlows::Drop, allow("80-90")));
    assert!(!lives(&mut client, &mut server));
}

#[test]
fn a_flow_of_datagrams_that_is_denied_is_silent_in_both_directions_until_it_is_allowed_again() {
    let Some(lab) = lab(
        "a_flow_of_datagrams_that_is_denied_is_silent_in_both_directions_until_it_is_allowed_again",
        "ud",
    ) else {
        return;
    };
    let web = lab.host("web", "192.0.2.4/24").unwrap();
    let other = lab.host("other", "192.0.2.9/24").unwrap();
    let allow =
        || json!([rule("Inbound", 100, "Allow", json!({"protocol": "Udp", "destinationPortRange": "53"}))]);
    let bind =
        |host: &Host, address: &str| host.inside(|| std::net::UdpSocket::bind(address)).unwrap().unwrap();
    let open = change(&web, None, with_flows(ExistingFlows::Reevaluate, allow()));
    let (server, client) = (bind(&web, "192.0.2.4:53"), bind(&other, "192.0.2.9:5353"));
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(SHORT)).unwrap();
    }
    let arrives = |from: &std::net::UdpSocket, to: &std::net::UdpSocket| {
        // The kernel tells whoever sends that it may not.
        from.send_to(b"x", to.local_addr().unwrap()).is_ok() && to.recv(&mut [0; 8]).is_ok()
    };
    assert!(arrives(&client, &server) && arrives(&server, &client));
    let shut = change(&web, Some(&open), with_flows(ExistingFlows::Reevaluate, json!([])));
    // What the machine sends would be allowed as a flow of its own.
    assert!(!arrives(&client, &server) && !arrives(&server, &client));
    change(&web, Some(&shut), with_flows(ExistingFlows::Reevaluate, allow()));
    assert!(arrives(&client, &server) && arrives(&server, &client));
}
