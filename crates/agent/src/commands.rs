//! The commands a person runs: join, status, leave.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use sekisho_agent::enrol::{enrol, read_private};
use sekisho_link::{JoinString, pki};
use sekisho_nsg::agent::{digest, restore};
use zeroize::Zeroizing;

use crate::facts;
use crate::state::State;

/// Longest join string read.
const MAX_JOIN_BYTES: u64 = 4096;

/// Reads a join string and joins.
#[expect(clippy::print_stdout, reason = "the command line talks to a person")]
pub(crate) async fn join(state: &State, file: Option<&Path>) -> anyhow::Result<()> {
    if let Some(known) = state.identity()? {
        bail!(
            "this machine has joined already as {}; run 'sekisho-agent leave' before joining again",
            known.machine
        );
    }
    let text = read_join_string(file)?;
    let join = JoinString::parse(&text)?;
    let identity = enrol(&join, facts::hostname()).await?;
    state.create()?;
    state.keep_identity(&identity)?;
    println!("Joined as {}.\nStart the agent: sekisho-agent run", identity.machine);
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
    let loaded = digest().await?;
    let force = match (&confirmed, &loaded) {
        (Some(c), _) if c.digest == loaded => "as confirmed",
        (None, None) => "none",
        _ => "not as confirmed; the running agent repairs them",
    };
    println!("network rules {force}");
    if let Some(report) = state.report()? {
        println!("last report   generation {} {:?} {}", report.generation, report.outcome, report.message);
    }
    Ok(())
}

/// Removes the rules and forgets the server.
#[expect(clippy::print_stdout, reason = "the command line talks to a person")]
pub(crate) async fn leave(state: &State) -> anyhow::Result<()> {
    let Some(identity) = state.identity()? else { bail!("this machine has not joined") };
    if state.confirmed()?.is_some_and(|c| c.digest.is_some()) {
        restore(None).await?;
    }
    state.clear()?;
    println!("Left. Retire the machine in the portal too: {}", identity.machine);
    Ok(())
}
