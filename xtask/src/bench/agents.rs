//! Many agents on one server: what each costs while nothing happens, how they come back, how fast they can tell.

use std::process::Command;

use anyhow::Context as _;

use super::figure::{Figure, Target};
use super::process::{cpu, resident};
use super::tools::{Database, Fleet, Installation, json_of};
use super::{Bench, Note as _, Results, Sizes};

const MEMORY: &str = "server memory of an idle agent";
const HANDSHAKE: &str = "server CPU of an agent's handshake";

fn reconnect(sizes: &Sizes) -> String {
    format!("{} agents reconnect", sizes.agents)
}
fn ingest(database: Database) -> String {
    format!("time of an event, durable, {}", database.name())
}

pub(crate) fn figures(sizes: &Sizes) -> Vec<Figure> {
    let mut all = vec![
        Figure::new(MEMORY, "kB", Target::at_most(20.0)),
        Figure::new(HANDSHAKE, "ms", Target::NONE),
        Figure::new(reconnect(sizes), "s", Target::at_most(10.0)),
    ];
    all.extend(Database::ALL.map(|database| Figure::new(ingest(database), "µs", Target::NONE)));
    all
}

pub(crate) fn measure(bench: &Bench, results: &mut Results) -> anyhow::Result<()> {
    let sizes = &bench.sizes;
    let mut installation = Installation::start(bench, Database::Sqlite)?;
    // Joining and the first facts are not what an idle agent costs.
    drop(Fleet::start(bench, &mut installation, sizes.agents, sizes.agents)?);
    installation.restart()?;
    std::thread::sleep(sizes.idle);
    let server = installation.server_pid()?;
    let before = resident(server)?;
    let mut fleet = Fleet::start(bench, &mut installation, sizes.agents, sizes.agents)?;
    std::thread::sleep(sizes.idle);
    results.note(MEMORY, (resident(server)? - before) / 1000.0 / sizes.agents as f64, None);

    let before = cpu(server)?;
    let again = fleet.reconnect()?;
    let each = (cpu(server)? - before) / sizes.agents as f64;
    eprintln!("{again}");
    results.note(HANDSHAKE, each * 1000.0, None);
    results.note(reconnect(sizes), again["seconds"].as_f64().context("no seconds")?, None);
    drop(fleet);
    events(bench, Database::Sqlite, &installation, results)?;
    drop(installation);

    let mut installation = Installation::start(bench, Database::Postgres)?;
    drop(Fleet::start(bench, &mut installation, sizes.streams.0, sizes.streams.0)?);
    events(bench, Database::Postgres, &installation, results)
}

fn events(
    bench: &Bench,
    database: Database,
    installation: &Installation,
    results: &mut Results,
) -> anyhow::Result<()> {
    let (machines, events) = bench.sizes.streams;
    let mut command = Command::new(bench.programs.join("sekisho-bench"));
    command.args(["events", "--machines", &machines.to_string(), "--events", &events.to_string(), "--state"]);
    let took = json_of(command.arg(installation.dir.path().join("machines")))?;
    eprintln!("{took}");
    let rate = took["perSecond"].as_f64().context("no rate")?;
    results.note(ingest(database), 1e6 / rate, None);
    Ok(())
}
