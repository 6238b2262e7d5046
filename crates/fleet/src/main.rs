//! `sekisho-fleet`: brings a fleet up and keeps it until it is told to stop. SIGHUP has all machines connect again at
//! the same time. Measurements are printed as one line of JSON each.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sekisho_agent::enrol::read_private;
use sekisho_fleet::fleet::{Fleet, join};
use sekisho_fleet::machine::Machine;
use sekisho_link::JoinString;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

/// Descriptors beside the connections.
const SPARE: u64 = 256;
/// Longest file of join strings read.
const MAX_JOIN_BYTES: u64 = 64 << 10;

/// Simulates machines.
#[derive(Parser)]
#[command(name = "sekisho-fleet", version)]
struct Arguments {
    /// Where the server is reached from here, `https://host:port`, when not at the address in the join strings.
    #[arg(long)]
    server: Option<String>,
    /// A file with join strings, one a line, that only its owner can read; machines are spread over them evenly.
    #[arg(long)]
    join_file: PathBuf,
    /// How many machines.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Where the machines' keys are kept; a second run with the same directory connects the same machines.
    #[arg(long)]
    state: PathBuf,
    /// Written once all machines are up: the measurements, and what a list of the machines must show.
    #[arg(long)]
    ready_file: Option<PathBuf>,
    /// How many join or connect at the same time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("SEKISHO_LOG").unwrap_or_else(|_| "info".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::from(error)),
    };
    match runtime.block_on(run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    allow_descriptors(u64::from(arguments.count) + SPARE)?;
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        result = drive(arguments) => result,
        _ = term.recv() => Ok(()),
        _ = int.recv() => Ok(()),
    }
}

async fn drive(arguments: &Arguments) -> anyhow::Result<()> {
    let joins = read_joins(&arguments.join_file, arguments.server.as_deref())?;
    let concurrency = usize::from(arguments.concurrency);
    let mut again = signal(SignalKind::hangup())?;
    let (identities, joined) = join(&joins, arguments.count, concurrency, &arguments.state).await?;
    let (mut fleet, connected) = Fleet::start(identities, concurrency).await?;
    let measured = json!({ "joined": joined, "connected": connected });
    print(&measured);
    if let Some(path) = &arguments.ready_file {
        write_ready(path, measured, arguments.count, joins.len())?;
    }
    loop {
        tokio::select! {
            why = fleet.watch() => return Err(why.into()),
            _ = again.recv() => {}
        }
        print(&json!({ "reconnected": fleet.reconnect().await? }));
    }
}

/// Beside the real name and renamed, so that whoever waits for it never reads a half.
fn write_ready(path: &Path, mut ready: Value, count: u32, joins: usize) -> anyhow::Result<()> {
    let rows = (1..=count).map(|number| {
        let mut row = json!(Machine::new(number).row());
        row["join"] = json!((number as usize - 1) % joins);
        row
    });
    ready["machines"] = rows.collect();
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, ready.to_string())?;
    std::fs::rename(&fresh, path).context("writing the ready file")
}

fn read_joins(path: &Path, server: Option<&str>) -> anyhow::Result<Vec<JoinString>> {
    let text = read_private(path, MAX_JOIN_BYTES)?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let mut joins = lines.map(JoinString::parse).collect::<Result<Vec<_>, _>>()?;
    if joins.is_empty() {
        bail!("{} holds no join string", path.display());
    }
    if let Some(server) = server {
        let address = server.strip_prefix("https://").map(|s| s.trim_end_matches('/'));
        let address = address.filter(|a| a.contains(':')).context("--server is https://host:port")?;
        joins.iter_mut().for_each(|join| join.address = address.to_owned());
    }
    Ok(joins)
}

/// Raises the limit of open files of this process, as far as it may.
fn allow_descriptors(wanted: u64) -> anyhow::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= wanted {
        return Ok(());
    }
    if hard < wanted {
        bail!("{wanted} open files are needed and {hard} allowed; raise the hard limit (ulimit -Hn)");
    }
    Ok(setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?)
}

fn print(value: &Value) {
    // Whoever read it is gone; the fleet is not for them alone.
    let _ = writeln!(std::io::stdout(), "{value}");
}

#[expect(clippy::print_stderr, reason = "the command line talks to a person")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("sekisho-fleet: {error:#}");
    ExitCode::FAILURE
}
