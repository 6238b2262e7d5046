//! The packet filter: diagrams in the kernel against the same rules one by one.

use std::process::Command;

use anyhow::Context as _;

use super::figure::{Figure, Target};
use super::tools::json_of;
use super::{Bench, Note as _, Results, Sizes, peers};

const RULES: [usize; 3] = [100, 1_000, 5_000];
const ADDED: &str = "what 5,000 rules add to a packet";
const ADDED_FORWARD: &str = "what 5,000 rules add to a packet that is forwarded";
const LEAKED: &str = "packets that slip through while policies change under load";
const APPLY: &str = "1,000 rules compiled, loaded and read back";
const PIPELINE: &str = "processor time of a new connection in the flow log, on the machine";
const UNTOLD: &str = "of 20,000 new connections a second, those that are neither told of nor within a gap";
const ANALYSE: &str = "1,000 rules analysed";

/// The packages of firewalld, each with one of its files.
const FIREWALLD: [(&str, &str); 3] = [
    ("firewalld", "usr/lib/firewalld/zones/public.xml"),
    ("python3-firewall", "usr/lib/python3/dist-packages/firewall/core/fw.py"),
    ("python3-nftables", "usr/lib/python3/dist-packages/nftables/nftables.py"),
];

fn cost(rules: usize) -> String {
    format!("a packet through {rules} rules, in terms of one without rules")
}

fn forward(rules: usize) -> String {
    format!("a packet forwarded through {rules} rules, in terms of one without rules")
}

pub(crate) fn figures(_: &Sizes) -> Vec<Figure> {
    let target = |rules| {
        let flat = Target::at_most(1.6);
        if rules == 5_000 { flat.ahead(25.0) } else { flat }
    };
    let costs = RULES.map(|rules| Figure::new(cost(rules), "×", target(rules)).against("rule by rule"));
    let forwards =
        RULES.map(|rules| Figure::new(forward(rules), "×", Target::at_most(1.6)).against("firewalld"));
    let rest = [
        Figure::new(ADDED_FORWARD, "ns", Target::NONE.ahead(25.0)).against("firewalld"),
        Figure::new(ADDED, "ns", Target::NONE.ahead(25.0)).against("rule by rule"),
        Figure::new(LEAKED, "", Target::at_most(0.0)).against("flush and load"),
        Figure::new(APPLY, "s", Target::at_most(1.0)),
        Figure::new(ANALYSE, "s", Target::at_most(0.5)),
        Figure::new(PIPELINE, "µs", Target::at_most(50.0)),
        Figure::new(UNTOLD, "", Target::at_most(0.0)),
    ];
    costs.into_iter().chain(forwards).chain(rest).collect()
}

pub(crate) fn measure(bench: &Bench, results: &mut Results) -> anyhow::Result<()> {
    let (rounds, swaps) = bench.sizes.filter;
    let firewalld = match bench.smoke {
        true => Err(anyhow::anyhow!("a smoke test fetches no peers")),
        false => peers::unpacked("firewalld", &FIREWALLD),
    };
    let mut command = Command::new(bench.programs.join("sekisho-bench"));
    command.arg("network");
    if let Ok(files) = &firewalld {
        command.arg("--firewalld").arg(files);
    }
    let took = json_of(command.args([
        "--rounds",
        &rounds.to_string(),
        "--swaps",
        &swaps.to_string(),
        "--rules",
        &RULES.map(|n| n.to_string()).join(","),
    ]))?;
    eprintln!("{took}");
    let number = |value: &serde_json::Value| value.as_f64().with_context(|| took.to_string());
    let bare = number(&took["bareNs"])?;
    for (at, rules) in RULES.into_iter().enumerate() {
        let of = &took["costs"][at];
        let (ours, linear) = (number(&of["ours"])?, number(&of["linear"])?);
        results.note(cost(rules), ours / bare, Some(linear / bare));
        if rules == 5_000 {
            // So little of it that it drowns in the rest is no less than nothing.
            results.note(ADDED, (ours - bare).max(1.0), Some(linear - bare));
        }
    }
    results.note(LEAKED, number(&took["leaked"]["ours"])?, Some(number(&took["leaked"]["flushed"])?));
    results.note(APPLY, number(&took["applyS"])?, None);
    results.note(ANALYSE, number(&took["analyseS"])?, None);
    results.note(PIPELINE, 1e6 / number(&took["flows"]["perCpuSecond"])?, None);
    results.note(UNTOLD, number(&took["flows"]["untold"])?, None);
    firewalld?;
    let bare = number(&took["firewalld"]["bareNs"])?;
    for (at, rules) in RULES.into_iter().enumerate() {
        let of = &took["firewalld"]["costs"][at];
        let (ours, theirs) = (number(&of["ours"])?, number(&of["firewalld"])?);
        results.note(forward(rules), ours / bare, Some(theirs / bare));
        if rules == 5_000 {
            results.note(ADDED_FORWARD, (ours - bare).max(1.0), Some(theirs - bare));
        }
    }
    Ok(())
}
