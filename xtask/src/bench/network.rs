//! The packet filter: diagrams in the kernel against the same rules one by one.

use std::process::Command;

use anyhow::Context as _;

use super::figure::{Figure, Target};
use super::tools::json_of;
use super::{Bench, Note as _, Results, Sizes};

const RULES: [usize; 3] = [100, 1_000, 5_000];
const LEAKED: &str = "packets that slip through while policies change under load";
const APPLY: &str = "1,000 rules compiled, loaded and read back";
const ANALYSE: &str = "1,000 rules analysed";

fn cost(rules: usize) -> String {
    format!("cost of a packet, added by {rules} rules")
}

pub(crate) fn figures(_: &Sizes) -> Vec<Figure> {
    let target =
        |rules| if rules > 100 { Target::at_most(1_000.0).ahead(5.0) } else { Target::at_most(1_000.0) };
    let costs = RULES.map(|rules| Figure::new(cost(rules), "ns", target(rules)).against("rule by rule"));
    let rest = [
        Figure::new(LEAKED, "", Target::at_most(0.0)).against("flush and load"),
        Figure::new(APPLY, "s", Target::at_most(2.0)),
        Figure::new(ANALYSE, "s", Target::at_most(5.0)),
    ];
    costs.into_iter().chain(rest).collect()
}

pub(crate) fn measure(bench: &Bench, results: &mut Results) -> anyhow::Result<()> {
    let (rounds, swaps) = bench.sizes.filter;
    let mut command = Command::new(bench.programs.join("sekisho-bench"));
    let took = json_of(command.args([
        "network",
        "--rounds",
        &rounds.to_string(),
        "--swaps",
        &swaps.to_string(),
        "--rules",
        &RULES.map(|n| n.to_string()).join(","),
    ]))?;
    eprintln!("{took}");
    let number = |value: &serde_json::Value| value.as_f64().with_context(|| took.to_string());
    for (at, rules) in RULES.into_iter().enumerate() {
        let of = &took["costs"][at];
        results.note(cost(rules), number(&of["ours"])?, Some(number(&of["linear"])?));
    }
    results.note(LEAKED, number(&took["leaked"]["ours"])?, Some(number(&took["leaked"]["flushed"])?));
    results.note(APPLY, number(&took["applyS"])?, None);
    results.note(ANALYSE, number(&took["analyseS"])?, None);
    Ok(())
}
