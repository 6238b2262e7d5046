//! Decisions of access, against Cedar's on the same world.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use super::figure::{Figure, Target};
use super::tools::json_of;
use super::{Bench, Note as _, Results, Sizes, peers};

const DECISION: &str = "RBAC decision, p50";

pub(crate) fn figures(_: &Sizes) -> Vec<Figure> {
    vec![Figure::new(DECISION, "µs", Target::at_most(0.5).ahead(30.0)).against("cedarpy")]
}

pub(crate) fn measure(bench: &Bench, results: &mut Results) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let world = dir.path().join("world.json");
    let [assignments, machines, decisions] = bench.sizes.access.map(|n| n.to_string());
    let mut decide = Command::new(bench.programs.join("sekisho-bench"));
    decide.args([
        "decide",
        "--assignments",
        &assignments,
        "--machines",
        &machines,
        "--decisions",
        &decisions,
    ]);
    let ours = json_of(decide.arg("--cedar").arg(&world))?;
    let ours = ours["p50Us"].as_f64().context("no p50")?;
    results.note(DECISION, ours, None);
    if bench.smoke {
        bail!("a smoke test fetches no peers");
    }
    let python = peers::python("cedar", Path::new("xtask/cedar-requirements.txt"))?;
    let script = crate::root().join("xtask/src/bench/cedar.py");
    let theirs = json_of(Command::new(python).arg(script).arg(&world))?;
    if theirs["different"] != 0 {
        bail!("Cedar decides otherwise: {theirs}");
    }
    results.note(DECISION, ours, theirs["p50Us"].as_f64());
    Ok(())
}
