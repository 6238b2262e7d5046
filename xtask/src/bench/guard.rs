//! Just-in-time access in the kernel.

use std::process::Command;

use anyhow::Context as _;

use super::figure::{Figure, Target};
use super::tools::json_of;
use super::{Bench, Note as _, Results, Sizes};

const UPDATE: &str = "one element of what is open changed";
const ADD: &str = "one more grant beside 10,000, p99";
const LATE: &str = "closed too late: 200 grants, nobody running, p99";
const PEER: &str = "an nft process";

pub(crate) fn figures(_: &Sizes) -> Vec<Figure> {
    vec![
        Figure::new(UPDATE, "µs", Target::at_most(50.0)).against(PEER),
        Figure::new(ADD, "ms", Target::at_most(5.0)).against(PEER),
        Figure::new(LATE, "ms", Target::at_most(50.0)),
    ]
}

pub(crate) fn measure(bench: &Bench, results: &mut Results) -> anyhow::Result<()> {
    let (changes, _) = bench.sizes.filter;
    let mut command = Command::new(bench.programs.join("sekisho-bench"));
    let took = json_of(command.args(["guard", "--changes", &changes.to_string()]))?;
    eprintln!("{took}");
    let number = |value: &serde_json::Value| value.as_f64().with_context(|| took.to_string());
    let (alone, among) = (&took["alone"], &took["among"]);
    results.note(UPDATE, number(&alone["ours"]["p50S"])? * 1e6, Some(number(&alone["nft"]["p50S"])? * 1e6));
    results.note(ADD, number(&among["ours"]["p99S"])? * 1e3, Some(number(&among["nft"]["p99S"])? * 1e3));
    results.note(LATE, number(&took["lateP99S"])? * 1e3, None);
    Ok(())
}
