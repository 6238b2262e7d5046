//! The flow log's part on a machine: 20,000 new connections a second from another namespace, judged by 200 rules, through
//! the kernel's connection tracking and the collector to the records that an agent would note.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sekisho_lab::Lab;
use sekisho_nsg::agent::{compile, enforce};
use sekisho_nsg::flow::collector::Collector;
use sekisho_nsg::flow::part::{FlowPart, LoggedNic, with_logs};
use sekisho_nsg::flow::record::State;
use sekisho_nsg::policy::{
    Addresses, Association, InterfaceName, NicPolicy, NsgPart, PortRange, Ports, Protocol, Rule, RuleAction,
    Stage,
};
use serde_json::{Value, json};

/// New connections a second.
const RATE: u64 = 20_000;
/// Rules of which the last lets everything in.
const RULES: u16 = 200;
/// How long the collector may take for what is left.
const REST: Duration = Duration::from_secs(10);
/// `sysconf(_SC_CLK_TCK)` of every Linux that there is.
const TICKS: f64 = 100.0;

fn rule(priority: u16) -> Rule {
    let last = priority + 1 == 100 + RULES;
    let only = |port| PortRange::new(port, port).map_or(Ports::Any, |range| Ports::Only(vec![range]));
    Rule {
        name: format!("r{priority}"),
        priority,
        access: if last { RuleAction::Allow } else { RuleAction::Deny },
        protocol: if last { Protocol::Any } else { Protocol::Tcp },
        source: Addresses::Any,
        destination: Addresses::Any,
        source_ports: Ports::Any,
        destination_ports: if last { Ports::Any } else { only(priority) },
    }
}

/// Processor time of the collector's thread, in seconds.
fn cpu() -> anyhow::Result<f64> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let stat = std::fs::read_to_string(task?.path().join("stat"))?;
        let Some((head, rest)) = stat.rsplit_once(") ") else { continue };
        if head.ends_with("(flows") {
            let fields: Vec<f64> = rest.split(' ').skip(11).take(2).filter_map(|f| f.parse().ok()).collect();
            return Ok(fields.iter().sum::<f64>() / TICKS);
        }
    }
    anyhow::bail!("the collector has no thread")
}

/// Measures it for so many seconds.
pub(crate) fn run(seconds: u64) -> anyhow::Result<Value> {
    let lab = Lab::new(&format!("nf{}", std::process::id()))?;
    let sender = lab.host("sender", "10.77.0.5/24")?;
    let machine = lab.host("machine", "10.77.0.4/24")?;
    let interface = InterfaceName::new("eth0").context("a name")?;
    let stage = Stage {
        audit: false,
        nsg: "/nsg".to_owned(),
        association: Association::Nic("/nic".to_owned()),
        rules: (100..100 + RULES).map(rule).collect(),
    };
    let nic = NicPolicy {
        platform: Default::default(),
        existing_flows: Default::default(),
        mac: None,
        interface: interface.clone(),
        inbound: vec![stage],
        outbound: vec![],
        guarded: vec![],
        logged: false,
    };
    let logs = FlowPart { nics: vec![LoggedNic { interface, mac: None }], continue_seconds: 300 };
    let part = with_logs(NsgPart { nics: vec![nic] }, &logs);
    let mut collector = Collector::default();
    machine.inside(|| -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(enforce(Some(&mut compile(&part, 1))))?;
        Ok(collector.set(1, &part, &logs)?)
    })??;
    let socket = sender.bind_udp(SocketAddr::from(([10, 77, 0, 5], 0)))?;
    // Each port of the machine is another connection.
    let mut ports = 1_u16..;
    let mut connect = || -> anyhow::Result<()> {
        let port = ports.next().context("there are no more ports")?;
        Ok(socket.send_to(b"x", SocketAddr::from(([10, 77, 0, 4], port))).map(drop)?)
    };
    let (mut told, mut gaps) = (0_u64, Vec::new());
    let mut take = |gaps: &mut Vec<Value>| {
        for batch in collector.take() {
            told += batch.flows.iter().filter(|f| f.state == State::Begin).count() as u64;
            gaps.extend(batch.gaps.iter().map(|g| json!(g)));
        }
        told
    };
    let began = Instant::now();
    while take(&mut gaps) == 0 {
        connect()?;
        ensure!(began.elapsed() < REST, "the collector tells of nothing");
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_secs(2));
    let (before, used) = (take(&mut gaps), cpu()?);
    let (began, mut sent) = (Instant::now(), 0_u64);
    // A port is used once; that is what ends it.
    let all = (RATE * seconds).min(60_000);
    while sent < all {
        let due = (began.elapsed().as_secs_f64() * RATE as f64) as u64;
        while sent < due.min(all) {
            connect()?;
            sent += 1;
        }
        take(&mut gaps);
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = began.elapsed().as_secs_f64();
    let ended = Instant::now();
    while take(&mut gaps) - before < sent && ended.elapsed() < REST {
        std::thread::sleep(Duration::from_millis(50));
    }
    let (seen, used) = (take(&mut gaps) - before, cpu()? - used);
    // A gap that says how many accounts for so many, and one that does not for any number.
    let within: Option<u64> = gaps.iter().map(|gap| gap["lost"].as_u64()).sum();
    let untold = within.map_or(0, |within| sent.saturating_sub(seen + within));
    Ok(json!({
        "rate": sent as f64 / took, "sent": sent, "told": seen, "untold": untold, "gaps": gaps,
        "cpuS": used, "perCpuSecond": seen as f64 / used.max(1.0 / TICKS),
    }))
}
