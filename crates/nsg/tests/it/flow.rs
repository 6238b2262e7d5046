//! The collector against a real kernel: connections and denied packets, floods with exact counts, and that the proof of
//! what the kernel holds covers what it tells of.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use sekisho_lab::Host;
use sekisho_nsg::agent::{Action, Reason, observe, plan};
use sekisho_nsg::compile::Form;
use sekisho_nsg::flow::collector::Collector;
use sekisho_nsg::flow::part::{FlowPart, LoggedNic, with_logs};
use sekisho_nsg::flow::record::{Batch, Flow, GapReason, State};
use sekisho_nsg::policy::{InterfaceName, NsgPart};
use serde_json::json;

use crate::support::{compile_as, lab, load, nic_with, policy, rule, run, sh};

const LONG: Duration = Duration::from_secs(3);

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn logs() -> FlowPart {
    let nic = LoggedNic { interface: InterfaceName::new("eth0").unwrap(), mac: None };
    FlowPart { nics: vec![nic], continue_seconds: 1 }
}

/// Denies port 23 and allows everything else.
fn part() -> NsgPart {
    let telnet = rule("Inbound", 100, "Deny", json!({"protocol": "*", "destinationPortRange": "23"}));
    let rules = json!([telnet, rule("Inbound", 200, "Allow", json!({}))]);
    with_logs(NsgPart { nics: vec![policy(nic_with(rules))] }, &logs())
}

fn collect(host: &Host, part: &NsgPart) -> Collector {
    let mut collector = Collector::default();
    host.inside(|| collector.set(7, part, &logs())).unwrap().unwrap();
    collector
}

/// Waits for what the collector tells, until it is enough.
fn until(
    collector: &Collector,
    what: &str,
    enough: impl Fn(&[(Flow, Option<String>)]) -> bool,
) -> (Vec<(Flow, Option<String>)>, Vec<Batch>) {
    let (began, mut told, mut batches) = (Instant::now(), Vec::new(), Vec::new());
    loop {
        for batch in collector.take() {
            assert!(batch.generation == 7 || batch.flows.is_empty());
            let name = |f: &Flow| f.rule.map(|r| batch.rules[usize::from(r)].name.clone());
            told.extend(batch.flows.iter().map(|f| (f.clone(), name(f))));
            batches.push(batch);
        }
        if enough(&told) {
            return (told, batches);
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{what} is not told: {told:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Counts, from now on, the packets to port 23 that reach the host: of those that are sent, a loaded machine's own queue
/// between two namespaces may lose some before any rule of ours sees them.
fn count_arrivals(host: &Host) {
    let table = "table ip arrivals {
        counter telnet { packets 0 bytes 0; }
        chain c { type filter hook prerouting priority -400; udp dport 23 counter name telnet; }
    }";
    sh(host, &format!("nft '{table}'"));
}

fn arrivals(host: &Host) -> u64 {
    let output =
        host.command("nft").args(["-j", "list", "counter", "ip", "arrivals", "telnet"]).output().unwrap();
    let listing: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    listing["nftables"].as_array().unwrap().iter().find_map(|o| o["counter"]["packets"].as_u64()).unwrap()
}

/// Waits until there is nothing more to tell of what was before: what there is comes once a second.
fn has_told_all(collector: &Collector) {
    let mut last = Instant::now();
    while last.elapsed() < Duration::from_secs(2) {
        if !collector.take().is_empty() {
            last = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_connection_is_told_from_its_beginning_to_its_end_with_its_counters_and_its_process() {
    let Some(lab) =
        lab("a_connection_is_told_from_its_beginning_to_its_end_with_its_counters_and_its_process", "fc")
    else {
        return;
    };
    let web = lab.host("web", "10.77.0.4/24 fd77::4/64").unwrap();
    let other = lab.host("other", "10.77.0.5/24 fd77::5/64").unwrap();
    load(&web, &part().nics);
    let collector = collect(&web, &part());
    let listeners: Vec<TcpListener> =
        ["10.77.0.4:80", "[fd77::4]:80"].map(|a| web.listen_tcp(at(a)).unwrap()).into();
    for listener in &listeners {
        let to = listener.local_addr().unwrap();
        // The thread needs a moment before it listens.
        let (flows, batches) = {
            let began = Instant::now();
            loop {
                let client = other.connect_tcp(to, LONG).unwrap();
                let _server = listener.accept().unwrap().0;
                let (from, told) = (client.local_addr().unwrap().port(), Instant::now());
                let mut seen = Vec::new();
                while told.elapsed() < Duration::from_secs(2) {
                    seen.extend(collector.take());
                    if seen.iter().any(|b| b.flows.iter().any(|f| f.source_port == from)) {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                let mut own: Vec<Flow> =
                    seen.iter().flat_map(|b| b.flows.clone()).filter(|f| f.source_port == from).collect();
                if !own.is_empty() {
                    drop(client);
                    drop(_server);
                    let (rest, _) = until(&collector, "the end", |all| {
                        all.iter().any(|(f, _)| f.source_port == from && f.state == State::End)
                    });
                    own.extend(rest.into_iter().map(|(f, _)| f).filter(|f| f.source_port == from));
                    break (own, seen);
                }
                assert!(began.elapsed() < Duration::from_secs(20), "nothing is told");
            }
        };
        assert_eq!((flows[0].state, flows[0].destination), (State::Begin, to.ip()));
        let batch = batches.iter().find(|b| !b.processes.is_empty()).unwrap();
        let process = &batch.processes[0];
        assert_eq!(process.exe, std::env::current_exe().unwrap().to_str().unwrap());
        assert_eq!((process.pid, process.user.as_deref()), (std::process::id(), Some("root")));
        let packets: u64 = flows.iter().map(|f| f.delta.packets_sent).sum();
        // SYN, ACK, FIN, and an ACK or two.
        assert!((3..=5).contains(&packets), "{flows:#?}");
    }
}

#[test]
fn a_flood_is_told_in_few_records_whose_sum_is_what_the_kernel_counted() {
    let Some(lab) = lab("a_flood_is_told_in_few_records_whose_sum_is_what_the_kernel_counted", "ff") else {
        return;
    };
    let web = lab.host("web", "10.77.0.4/24").unwrap();
    let other = lab.host("other", "10.77.0.5/24 10.77.0.6/24").unwrap();
    load(&web, &part().nics);
    let collector = collect(&web, &part());
    let probe = other.bind_udp(at("10.77.0.6:0")).unwrap();
    let began = Instant::now();
    // The thread needs a moment before it listens.
    let mut probes = 0;
    loop {
        probe.send_to(b"x", at("10.77.0.4:23")).unwrap();
        probes += 1;
        std::thread::sleep(Duration::from_millis(300));
        if collector.take().iter().any(|b| b.flows.iter().any(|f| f.state == State::Denied)) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "nothing is told after {probes}");
    }
    has_told_all(&collector);
    count_arrivals(&web);
    for _ in 0..300 {
        let socket = other.bind_udp(at("10.77.0.5:0")).unwrap();
        for _ in 0..10 {
            socket.send_to(b"x", at("10.77.0.4:23")).unwrap();
        }
    }
    let arrived = arrivals(&web);
    assert!(arrived > 2_900, "{arrived}");
    let sum = |all: &[(Flow, Option<String>)]| -> u64 { all.iter().map(|(f, _)| f.delta.packets_sent).sum() };
    let (told, batches) = until(&collector, "the flood", |all| sum(all) >= arrived);
    assert_eq!(sum(&told), arrived);
    assert!(told.len() < 40, "{}", told.len());
    assert!(
        told.iter().all(|(f, rule)| f.state == State::Denied && rule.as_deref() == Some("r100")),
        "{told:#?}"
    );
    let gaps: HashMap<GapReason, _> =
        batches.iter().flat_map(|b| b.gaps.clone()).map(|g| (g.reason, g.lost)).collect();
    assert!(gaps.is_empty(), "{gaps:?}");
}

#[test]
fn of_a_flood_beyond_the_kernels_rate_every_packet_is_told_of_or_counted_as_missing() {
    let Some(lab) =
        lab("of_a_flood_beyond_the_kernels_rate_every_packet_is_told_of_or_counted_as_missing", "fr")
    else {
        return;
    };
    let web = lab.host("web", "10.77.0.4/24").unwrap();
    let other = lab.host("other", "10.77.0.5/24").unwrap();
    load(&web, &part().nics);
    let collector = collect(&web, &part());
    let socket = other.bind_udp(at("10.77.0.5:0")).unwrap();
    // The thread has listened and looked at the counters once it tells of something.
    let began = Instant::now();
    let mut before = 0;
    while collector.take().iter().all(|b| b.flows.is_empty()) {
        socket.send_to(b"x", at("10.77.0.4:23")).unwrap();
        before += 1;
        std::thread::sleep(Duration::from_millis(300));
        assert!(began.elapsed() < Duration::from_secs(20), "nothing is told after {before}");
    }
    has_told_all(&collector);
    count_arrivals(&web);
    for _ in 0..60_000 {
        socket.send_to(b"x", at("10.77.0.4:23")).unwrap();
    }
    let arrived = arrivals(&web);
    assert!(arrived > 50_000, "{arrived}");
    let (mut told, mut lost, began) = (0, 0, Instant::now());
    while told + lost < arrived {
        for batch in collector.take() {
            told += batch.flows.iter().map(|f| f.delta.packets_sent).sum::<u64>();
            lost += batch
                .gaps
                .iter()
                .filter_map(|g| g.rule.as_ref().filter(|r| r.name == "r100").and(g.lost))
                .sum::<u64>();
        }
        assert!(
            began.elapsed() < Duration::from_secs(40),
            "{told} are told and {lost} are missing of {arrived}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("of {arrived} packets {told} were told of and {lost} counted");
    assert!(lost > 0 && told > 4_000, "{told} {lost}");
    // What was sent before the first look at the counters may be among them.
    assert!(told + lost <= arrived + before, "{told} and {lost}");
}

#[test]
fn a_collector_that_the_kernel_refuses_at_first_tells_as_soon_as_it_may() {
    let Some(lab) = lab("a_collector_that_the_kernel_refuses_at_first_tells_as_soon_as_it_may", "fw") else {
        return;
    };
    let web = lab.host("web", "10.77.0.4/24").unwrap();
    let other = lab.host("other", "10.77.0.5/24").unwrap();
    load(&web, &part().nics);
    let probe = other.bind_udp(at("10.77.0.5:0")).unwrap();
    let tells = |collector: &Collector, enough: &dyn Fn(&Batch) -> bool| {
        let began = Instant::now();
        while !collector.take().iter().any(enough) {
            probe.send_to(b"x", at("10.77.0.4:23")).unwrap();
            std::thread::sleep(Duration::from_millis(100));
            assert!(began.elapsed() < Duration::from_secs(30), "nothing is told");
        }
    };
    let denied = |b: &Batch| b.flows.iter().any(|f| f.state == State::Denied);
    let first = collect(&web, &part());
    tells(&first, &denied);
    // Of denied packets the kernel tells only one.
    let second = collect(&web, &part());
    tells(&second, &|b| b.gaps.iter().any(|g| g.reason == GapReason::Unavailable));
    drop(first);
    tells(&second, &denied);
}

#[test]
fn a_kernel_that_tells_of_less_than_it_should_is_found_out_in_every_form() {
    let Some(lab) = lab("a_kernel_that_tells_of_less_than_it_should_is_found_out_in_every_form", "fp") else {
        return;
    };
    let web = lab.host("web", "10.77.0.4/24").unwrap();
    let quiet = NsgPart {
        nics: part()
            .nics
            .into_iter()
            .map(|n| sekisho_nsg::policy::NicPolicy { logged: false, ..n })
            .collect(),
    };
    for (generation, form) in (1..).step_by(2).zip([Form::Rules, Form::Actions, Form::Linear]) {
        let enforce = |part: &NsgPart, generation| {
            let mut compiled = compile_as(part, generation, form);
            run(&web, || async { sekisho_nsg::agent::enforce(Some(&mut compiled)).await }).unwrap()
        };
        let reason = |part: &NsgPart, generation| {
            let mut compiled = compile_as(part, generation, form);
            let listing = run(&web, || async { observe().await }).unwrap();
            match plan(Some(&mut compiled), listing.as_ref()) {
                Some(Action::Load { reason, .. }) => Some(reason),
                _ => None,
            }
        };
        assert!(enforce(&part(), generation).is_some());
        assert_eq!(reason(&part(), generation), None, "{form:?}");
        for tamper in [
            "nft flush chain inet sekisho denied_log && nft add rule inet sekisho denied_log drop",
            "nft insert rule inet sekisho denied_log ip saddr 10.77.0.9 drop",
            "nft insert rule inet sekisho denied_log accept",
        ] {
            sh(&web, tamper);
            assert!(matches!(reason(&part(), generation), Some(Reason::Drift(_))), "{form:?} {tamper}");
            assert!(enforce(&part(), generation).is_some());
        }
        // Packets that are dropped untold are another policy than those that are told of, both ways.
        assert!(reason(&quiet, generation).is_some(), "{form:?}");
        assert!(enforce(&quiet, generation + 1).is_some());
        assert!(!sh(&web, "nft list table inet sekisho").contains("denied_log"));
        assert!(reason(&part(), generation + 1).is_some());
    }
}
