//! The packet filter in the kernel: what rules cost a packet, what a change of policy lets slip, how long it takes.
//!
//! Whole frames go over a wire from one namespace into another and are lost behind its filter. A veth delivers in the sender's own time
//! slice, so that the shortest of many short rounds is what a packet costs. Nothing is tracked, so that every packet
//! meets the rules. Lists are those of the tests: like ClassBench's, a third of the rules denies.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sekisho_lab::{Host, Lab};
use sekisho_nsg::agent::{compile, enforce, load, plan};
use sekisho_nsg::analyse::{Limits, analyse};
use sekisho_nsg::compile::{Compiled, Form, compile_within};
use sekisho_nsg::diagram::Budget;
use sekisho_nsg::evaluate::Packet;
use sekisho_nsg::policy::{InterfaceName, NicPolicy, NsgPart, Rule};
use sekisho_nsg::swap::{removal, transactions};
use serde_json::{Value, json};

use crate::wire::{CARD, Wire};
use crate::{firewalld, flows};
use classbench::{Kind, Random, corner, rules, stage};

#[path = "../../nsg/tests/it/classbench.rs"]
#[expect(clippy::unwrap_used, dead_code, reason = "made for tests: what cannot happen panics")]
mod classbench;

/// Marks our packets for the observer.
const TTL: u8 = 77;
/// Packets of one round.
const ROUND: usize = 500;

/// What is measured.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds of packets for each list.
    #[arg(long, default_value_t = 400)]
    rounds: usize,
    /// Sizes of the lists.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000, 5000])]
    rules: Vec<usize>,
    /// Changes of policy under load.
    #[arg(long, default_value_t = 100)]
    swaps: usize,
    /// Where firewalld's packages are unpacked; without, it is not measured.
    #[arg(long)]
    firewalld: Option<PathBuf>,
    /// Seconds of 20,000 new connections each.
    #[arg(long, default_value_t = 5)]
    flow_seconds: u64,
}

/// Measures everything.
pub(crate) fn run(options: &Options) -> anyhow::Result<Value> {
    let lab = Lab::new(&format!("nb{}", std::process::id()))?;
    let sender = lab.host("sender", "172.31.255.1/30")?;
    let filtered = lab.host("filtered", "172.31.255.2/30")?;
    shell(
        &filtered,
        &format!(
            "nft 'add table inet observer; add chain inet observer raw {{ type filter hook prerouting priority -300; }};
                add rule inet observer raw notrack;
                add chain inet observer behind {{ type filter hook prerouting priority -140; }};
                add counter inet observer passed;
                add rule inet observer behind ip ttl {TTL} counter name passed drop'"
        ),
    )?;
    let wire = Wire::between(&sender, &filtered)?;
    let bare = cost(&wire, &packets(&rules(Kind::Acl, 100, 1)), options.rounds)?;
    let mut costs = Vec::new();
    for count in &options.rules {
        let list = rules(Kind::Acl, *count, 1);
        let packets = packets(&list);
        let part = part(list);
        let mut measured = json!({"rules": count});
        for (name, mut compiled) in [("ours", compile(&part, 1)), ("linear", as_lines(&part, 1))] {
            inside(&filtered, || async { enforce(Some(&mut compiled)).await })?;
            let held: Vec<Form> = compiled.forms().iter().map(|f| f.form).collect();
            measured[name] = json!(cost(&wire, &packets, options.rounds)?);
            measured[format!("{name}Form")] = json!(held);
        }
        costs.push(measured);
    }
    let beside_firewalld =
        options.firewalld.as_deref().map(|files| forwarded(&lab, files, options)).transpose()?;
    let list = rules(Kind::Acl, 1000, 2);
    inside(&filtered, || async { load(&removal()).await })?;
    let began = Instant::now();
    let mut compiled = compile(&part(list.clone()), 2);
    let compiling = began.elapsed().as_secs_f64();
    inside(&filtered, || async { enforce(Some(&mut compiled)).await })?;
    let applied = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let findings = analyse(&list, &Limits::default())?;
    ensure!(findings.len() == list.len(), "rules are missing");
    Ok(json!({
        "bareNs": bare, "costs": costs, "compileS": compiling, "applyS": applied,
        "analyseS": began.elapsed().as_secs_f64(), "leaked": leaks(&wire, &filtered, options.swaps)?,
        "flows": flows::run(options.flow_seconds)?, "firewalld": beside_firewalld,
    }))
}

/// Packets on their way through a machine that forwards them, as firewalld filters them: ours and firewalld's rules, which
/// must let the same packets through.
fn forwarded(lab: &Lab, files: &Path, options: &Options) -> anyhow::Result<Value> {
    let sender = lab.host("source", "172.31.254.1/30")?;
    let router = lab.host("router", "172.31.254.2/30")?;
    let wire = Wire::between(&sender, &router)?;
    shell(
        &router,
        &format!(
            "ip link add beyond type bridge; ip address add 172.31.253.1/30 dev beyond; ip link set beyond up
             ip neighbour add 172.31.253.2 lladdr 02:00:00:00:00:02 dev beyond nud permanent
             ip route add default via 172.31.253.2
             cd /proc/sys/net/ipv4; for of in all default {CARD}; do echo 0 >conf/$of/rp_filter; done; echo 1 >ip_forward
             nft 'add table inet observer; add chain inet observer raw {{ type filter hook prerouting priority -300; }};
                add rule inet observer raw notrack;
                add chain inet observer behind {{ type filter hook postrouting priority 300; }};
                add counter inet observer passed;
                add rule inet observer behind ip ttl {} counter name passed'",
            TTL - 1
        ),
    )?;
    let bare = cost(&wire, &packets(&rules(Kind::Acl, 100, 1)), options.rounds)?;
    let mut costs = Vec::new();
    for count in &options.rules {
        let list: Vec<Rule> = rules(Kind::Acl, *count, 1).into_iter().map(firewalld::expressible).collect();
        let packets = packets(&list);
        let through = || -> anyhow::Result<u64> {
            let before = passed(&router)?;
            cost(&wire, &packets, 1)?;
            Ok(passed(&router)? - before)
        };
        inside(&router, || async { enforce(Some(&mut compile(&part(list.clone()), 1))).await })?;
        let (ours, pass) = (cost(&wire, &packets, options.rounds)?, through()?);
        inside(&router, || async { load(&removal()).await })?;
        firewalld::load(&router, files, &list)?;
        let (theirs, pass_there) = (cost(&wire, &packets, options.rounds)?, through()?);
        shell(&router, "nft delete table inet firewalld")?;
        ensure!(pass == pass_there, "of {ROUND} packets {pass} pass ours and {pass_there} firewalld's");
        costs.push(json!({"rules": count, "ours": ours, "firewalld": theirs, "pass": pass}));
    }
    Ok(json!({"bareNs": bare, "costs": costs}))
}

fn part(list: Vec<Rule>) -> NsgPart {
    #[expect(clippy::unwrap_used, reason = "it is a name")]
    let interface = InterfaceName::new(CARD).unwrap();
    NsgPart {
        nics: vec![NicPolicy {
            mac: None,
            interface,
            inbound: vec![stage(list)],
            outbound: vec![],
            guarded: vec![],
            platform: Default::default(),
            existing_flows: Default::default(),
            logged: false,
        }],
    }
}

/// The same policy rule by rule.
fn as_lines(part: &NsgPart, generation: u64) -> Compiled {
    let nothing = Budget { edges: 0, work: 0 };
    compile_within(part, generation, nothing, nothing)
}

/// IPv4 packets at the corners of rules, as they are on the wire.
fn packets(list: &[Rule]) -> Vec<Vec<u8>> {
    let mut random = Random::new(5);
    std::iter::repeat_with(|| corner(list, &mut random)).filter_map(|p| on_the_wire(&p)).take(ROUND).collect()
}

fn on_the_wire(packet: &Packet) -> Option<Vec<u8>> {
    let (std::net::IpAddr::V4(from), std::net::IpAddr::V4(to)) = (packet.source, packet.destination) else {
        return None;
    };
    // A machine that forwards must take it for one to be sent on.
    let usable = |a: std::net::Ipv4Addr| {
        !(a.is_multicast()
            || a.is_loopback()
            || a.is_broadcast()
            || a.is_unspecified()
            || a.octets()[0] >= 240)
    };
    if !usable(from) || !usable(to) || to.octets()[0] == 0 || from.octets()[0] == 0 {
        return None;
    }
    let mut bytes = vec![0x45, 0, 0, 0, 0, 0, 0, 0, TTL, packet.protocol, 0, 0];
    bytes.extend(from.octets());
    bytes.extend(to.octets());
    let (sport, dport) = packet.ports.unwrap_or_default();
    bytes.extend(sport.to_be_bytes());
    bytes.extend(dport.to_be_bytes());
    bytes.extend([0; 24]);
    let length = u16::try_from(bytes.len()).ok()?;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    let checksum = header_checksum(&bytes[..20]);
    bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
    Some(bytes)
}

/// RFC 1071, of a header whose checksum is zero.
fn header_checksum(header: &[u8]) -> u16 {
    let words = header.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    // Ten words carry once, and that may carry once more.
    let folded = |sum: u32| (sum & 0xffff) + (sum >> 16);
    !(folded(folded(words.sum())) as u16)
}

/// Nanoseconds for a packet, of the shortest round.
fn cost(wire: &Wire, packets: &[Vec<u8>], rounds: usize) -> anyhow::Result<f64> {
    let frames: Vec<Vec<u8>> = packets.iter().map(|packet| wire.frame(packet)).collect();
    let mut best = f64::MAX;
    for _ in 0..rounds {
        let began = Instant::now();
        wire.send(&frames)?;
        best = best.min(began.elapsed().as_secs_f64() * 1e9 / frames.len() as f64);
    }
    Ok(best)
}

/// Packets that pass while two policies, both of which deny them, take turns: ours, and as a script that removes the
/// rules and loads others.
fn leaks(wire: &Wire, filtered: &Host, swaps: usize) -> anyhow::Result<Value> {
    let policies: Vec<NsgPart> = (0..2).map(|seed| part(rules(Kind::Acl, 200, 90 + seed))).collect();
    // No rule is about this destination, and what no rule matches is denied.
    let packet = on_the_wire(&Packet {
        source: [203, 0, 113, 7].into(),
        destination: [198, 51, 100, 7].into(),
        protocol: 47,
        ports: None,
        icmp_type: None,
    })
    .context("a packet")?;
    let frames = [wire.frame(&packet)];
    let mut told = json!({});
    for name in ["ours", "flushed"] {
        inside(filtered, || async { enforce(Some(&mut compile(&policies[0], 10))).await })?;
        let before = passed(filtered)?;
        let over = AtomicBool::new(false);
        let sent = std::thread::scope(|scope| -> anyhow::Result<u64> {
            let load_thread = scope.spawn(|| {
                let mut sent = 0;
                while !over.load(Ordering::Relaxed) {
                    wire.send(&frames)?;
                    sent += frames.len() as u64;
                }
                anyhow::Ok(sent)
            });
            let changed = (0..swaps).try_for_each(|swap| -> anyhow::Result<()> {
                let mut next = compile(&policies[(swap + 1) % 2], 11 + swap as u64);
                inside(filtered, || async {
                    if name == "ours" {
                        return enforce(Some(&mut next)).await.map(drop);
                    }
                    load(&removal()).await?;
                    for transaction in transactions(&next, None) {
                        load(&transaction).await?;
                    }
                    Ok(())
                })
            });
            over.store(true, Ordering::Relaxed);
            changed?;
            load_thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        std::thread::sleep(Duration::from_millis(20));
        told[name] = json!(passed(filtered)? - before);
        told[format!("{name}Sent")] = json!(sent);
    }
    // Otherwise nothing was swapped.
    let observed = inside(filtered, || async { sekisho_nsg::agent::observe().await })?;
    ensure!(
        plan(Some(&mut compile(&policies[swaps % 2], 1)), observed.as_ref()).is_none(),
        "the last policy is not in force"
    );
    Ok(told)
}

fn passed(host: &Host) -> anyhow::Result<u64> {
    let counter = shell(host, "nft list counter inet observer passed")?;
    let packets = counter.split("packets ").nth(1).and_then(|rest| rest.split(' ').next());
    Ok(packets.context("no counter")?.parse()?)
}

fn inside<T: Send, E: Into<anyhow::Error> + Send, F: Future<Output = Result<T, E>>>(
    host: &Host,
    work: impl FnOnce() -> F + Send,
) -> anyhow::Result<T> {
    host.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(work()).map_err(Into::into)
    })?
}

/// What a script in a machine of the lab says.
pub(crate) fn shell(host: &Host, script: &str) -> anyhow::Result<String> {
    let output = host.command("sh").args(["-ec", script]).output()?;
    ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
