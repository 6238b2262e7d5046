//! One server: how soon it answers, and what it needs with its machines.

use std::process::Command;

use anyhow::Context as _;

use super::figure::{Figure, Target};
use super::process::resident;
use super::tools::{Database, Fleet, Installation, json_of, size};
use super::{Bench, Note as _, Results, Sizes};

const PROGRAM: &str = "server, program";

fn start(sizes: &Sizes) -> String {
    format!("server, start to first answer, {} machines", sizes.resident)
}
fn memory(sizes: &Sizes) -> String {
    format!("server, resident, {} machines connected", sizes.resident)
}

pub(crate) fn figures(sizes: &Sizes) -> Vec<Figure> {
    vec![
        Figure::new(start(sizes), "s", Target::at_most(0.5)),
        Figure::new(memory(sizes), "MB", Target::NONE),
        Figure::new(PROGRAM, "MB", Target::NONE),
    ]
}

pub(crate) fn measure(bench: &Bench, results: &mut Results) -> anyhow::Result<()> {
    let sizes = &bench.sizes;
    results.note(PROGRAM, size(&bench.programs.join("sekisho"))? / 1e6, None);
    let mut installation = Installation::start(bench, Database::Sqlite)?;
    let fleet = Fleet::start(bench, &mut installation, sizes.resident, sizes.resident)?;
    std::thread::sleep(sizes.idle);
    results.note(memory(sizes), resident(installation.server_pid()?)? / 1e6, None);
    drop(fleet);
    installation.site.kill_server();
    let took = json_of(
        Command::new(bench.programs.join("sekisho-bench"))
            .envs(installation.site.environment())
            .args(["start", "--times", &sizes.starts.to_string(), "--ca"])
            .arg(installation.key("ca.pem"))
            .args(["--url", &format!("{}/metadata/endpoints?api-version=2022-09-01", installation.site.url)])
            .arg(bench.programs.join("sekisho"))
            .arg("server"),
    )?;
    eprintln!("{took}");
    results.note(start(sizes), took["p50Seconds"].as_f64().context("no p50")?, None);
    Ok(())
}
