//! Just-in-time access in the kernel: what a change of what is open takes, against a process of `nft` for each, and how
//! late the kernel closes what is over when nobody is there.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use sekisho_lab::{Host, Lab};
use sekisho_nsg::agent::{compile, enforce};
use sekisho_nsg::guard::{Existing, Guard, Keeper, Opening, Transport};
use sekisho_nsg::policy::{InterfaceName, NicPolicy, NsgPart};
use serde_json::{Value, json};

use crate::statistics::{percentile, sorted};

#[path = "../../nsg/tests/it/late.rs"]
#[expect(clippy::unwrap_used, reason = "made for tests: what cannot happen panics")]
mod late;

/// What is measured.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What is open beside what is changed.
    #[arg(long, default_value_t = 10_000)]
    present: u32,
    /// Changes.
    #[arg(long, default_value_t = 500)]
    changes: u32,
    /// Openings whose end is waited for, at most 250.
    #[arg(long, default_value_t = 200)]
    ends: u8,
}

/// Measures everything.
pub(crate) fn run(options: &Options) -> anyhow::Result<Value> {
    let lab = Lab::new(&format!("gb{}", std::process::id()))?;
    let web = lab.host("web", "192.0.2.4/24")?;
    let admin = lab.host("admin", "192.0.2.9/24")?;
    let part = part()?;
    web.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { anyhow::Ok(enforce(Some(&mut compile(&part, 1))).await?) })
    })??;
    let late = late::measure(&web, &admin, &part, options.ends);
    let late = sorted(late.iter().map(Duration::as_secs_f64).collect());
    let alone = changes(&web, &part, 0, options.changes)?;
    let among = changes(&web, &part, options.present, options.changes)?;
    Ok(json!({
        "lateP99S": percentile(&late, 0.99), "lateMaxS": percentile(&late, 1.0), "ends": late.len(),
        "alone": alone, "among": among,
    }))
}

fn part() -> anyhow::Result<NsgPart> {
    let guarded = [Transport::Tcp, Transport::Udp];
    let guarded = guarded.map(|protocol| Guard { protocol, port: 22, existing: Existing::Cut }).into();
    let interface = InterfaceName::new("eth0")?;
    let nic = NicPolicy {
        mac: None,
        interface,
        inbound: vec![],
        outbound: vec![],
        guarded,
        platform: Default::default(),
        existing_flows: Default::default(),
        logged: false,
    };
    Ok(NsgPart { nics: vec![nic] })
}

/// The source of an opening: no two are beside each other.
fn source(number: u32) -> String {
    let [_, high, middle, low] = (2 * number).to_be_bytes();
    format!("10.{high}.{middle}.{low}")
}

fn opening(number: u32) -> anyhow::Result<Opening> {
    let source = format!("{}/32", source(number)).parse()?;
    let left = Duration::from_secs(3600);
    Ok(Opening { protocol: Transport::Tcp, port: 22, source, mark: number + 1, left })
}

/// How long it takes to open one more and to close it again, beside `present` others.
fn changes(web: &Host, part: &NsgPart, present: u32, count: u32) -> anyhow::Result<Value> {
    let mut all: Vec<Opening> = (0..present).map(opening).collect::<Result<_, _>>()?;
    let ends = Instant::now() + Duration::from_secs(3600);
    // What is open goes on counting.
    let counted = |all: &mut [Opening]| {
        let left = ends.saturating_duration_since(Instant::now());
        all.iter_mut().for_each(|opening| opening.left = left);
    };
    let (ours, theirs) = web.inside(|| -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
        let mut keeper = Keeper::default();
        keeper.converge(part, &all)?;
        let mut ours = Vec::new();
        for number in present..present + count {
            all.push(opening(number)?);
            counted(&mut all);
            let began = Instant::now();
            let changed = keeper.converge(part, &all)?;
            ours.push(began.elapsed().as_secs_f64());
            ensure!(changed == 1, "{changed} elements were changed");
            all.pop();
            counted(&mut all);
            keeper.converge(part, &all)?;
        }
        let mut theirs = Vec::new();
        for number in present..present + count.min(100) {
            let element =
                |rest: &str| format!("element inet sekisho open_tcp_22_4 {{ {}{rest} }}", source(number));
            let began = Instant::now();
            nft(&format!("add {}", element(" timeout 1h : 0x7")))?;
            theirs.push(began.elapsed().as_secs_f64());
            nft(&format!("delete {}", element("")))?;
        }
        keeper.converge(part, &[])?;
        Ok((sorted(ours), sorted(theirs)))
    })??;
    let figures = |all: &[f64]| json!({"p50S": percentile(all, 0.5), "p99S": percentile(all, 0.99)});
    Ok(json!({"present": present, "ours": figures(&ours), "nft": figures(&theirs)}))
}

/// Runs `nft` in the network of this thread.
fn nft(command: &str) -> anyhow::Result<()> {
    let output = Command::new("nft").arg(command).output()?;
    ensure!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
