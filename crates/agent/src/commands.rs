//! The commands a person runs: join, status, trust-log, leave.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use sekisho_agent::enrol::{enrol, read_private};
use sekisho_link::facts::Limits;
use sekisho_link::{JoinString, pki};
use sekisho_nsg::agent::{Saved, observe, plan, restore};
use zeroize::Zeroizing;

use crate::elevation;
use crate::facts;
use crate::limits;
use crate::log::{Distrust, Seen};
use crate::state::{Confirmed, State};

/// Longest join string read.
const MAX_JOIN_BYTES: u64 = 4096;

/// Reads a join string and joins; a machine that has joined already joins again with the string of its re-key, and keeps
/// its rules.
#[expect(clippy::print_stdout, reason = "the command line talks to a person")]
pub(crate) async fn join(state: &State, file: Option<&Path>) -> anyhow::Result<()> {
    let known = state.identity()?;
    let text = read_join_string(file)?;
    let join = JoinString::parse(&text)?;
    let identity = enrol(&join, facts::hostname(), known.as_ref().map(|k| k.machine.clone())).await?;
    state.create()?;
    state.renumber_events()?;
    state.keep_identity(&identity)?;
    let next = match state.running()? {
        Some(_) => "The running agent takes it up by itself.",
        None => "Start the agent: sekisho-agent run",
    };
    let how = if known.is_some() { "Joined again" } else { "Joined" };
    println!("{how} as {}.\n{next}", identity.machine);
    Ok(())
}

fn read_join_string(file: Option<&Path>) -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    match file {
        None => {
            std::io::stdin()
                .take(MAX_JOIN_BYTES)
                .read_to_string(&mut text)
                .context("reading standard input")?;
        }
        Some(path) => text = read_private(path, MAX_JOIN_BYTES)?,
    }
    Ok(text)
}

/// Shows what this machine is.
#[expect(clippy::print_stdout, reason = "the command line talks to a person")]
pub(crate) async fn status(state: &State) -> anyhow::Result<()> {
    let Some(identity) = state.identity()? else {
        bail!("this machine has not joined; run 'sekisho-agent join'");
    };
    println!("machine       {}", identity.machine);
    println!("server        {}", identity.address);
    println!("certificate   good until {}", pki::not_after(&identity.certificate)?);
    let confirmed = state.confirmed()?;
    println!(
        "generation    {}",
        confirmed.as_ref().map_or_else(|| "none yet".to_owned(), |c| c.generation.to_string())
    );
    let loaded = observe().await?;
    let mut desired = confirmed.as_ref().and_then(Confirmed::compile);
    let force = match plan(desired.as_mut(), loaded.as_ref()) {
        None if confirmed.is_some() => "as confirmed",
        None => "none",
        Some(_) => "not as confirmed; the running agent repairs them",
    };
    println!("network rules {force}");
    println!("log           {}", seen(state.seen()?));
    match state.running()? {
        None => println!("agent         does not run"),
        Some(pid) => println!("agent         runs as process {pid}, {}", limited(&limits::in_force(pid))),
    }
    if let Some(report) = state.report()? {
        println!("last report   generation {} {:?} {}", report.generation, report.outcome, report.message);
    }
    Ok(())
}

/// Has the agent trust the log again.
#[expect(clippy::print_stdout, reason = "the command line talks to a person")]
pub(crate) fn trust_log(state: &State) -> anyhow::Result<()> {
    if state.identity()?.is_none() {
        bail!("this machine has not joined; run 'sekisho-agent join'");
    }
    state.ask_trust()?;
    println!("This machine trusts the log that its server shows next.");
    Ok(())
}

/// What was seen of the log, in words.
fn seen(seen: Option<Seen>) -> String {
    match seen {
        None => "none seen yet".to_owned(),
        Some(Seen { distrust: Some(Distrust { reason, at, .. }), .. }) => format!(
            "NOT TRUSTED since {at}: {reason}. Nothing new is obeyed; when you know why, run 'sekisho-agent trust-log'"
        ),
        Some(Seen { memory, .. }) => format!("seen up to entry {}", memory.size),
    }
}

/// Limits in words.
fn limited(limits: &Limits) -> String {
    let words = [
        limits.memory_bytes.map(|bytes| format!("memory {} MiB", bytes >> 20)),
        limits.cpu_percent.map(|percent| format!("processor {percent} %")),
        limits.tasks.map(|tasks| format!("processes {tasks}")),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    if words.is_empty() { "without limits".to_owned() } else { format!("limited to {}", words.join(", ")) }
}

/// Removes the rules, ends what users were given, and forgets the server.
#[expect(clippy::print_stdout, reason = "the command line talks to a person")]
pub(crate) async fn leave(state: &State) -> anyhow::Result<()> {
    let Some(identity) = state.identity()? else { bail!("this machine has not joined") };
    if state.confirmed()?.is_some_and(|c| !c.part.nics.is_empty()) {
        restore(&Saved::Nothing).await?;
    }
    elevation::end_all(state).await?;
    state.clear()?;
    println!("Left. Retire the machine in the portal too: {}", identity.machine);
    Ok(())
}
