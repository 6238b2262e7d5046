//! The machine side: what is loaded, what to do about it, and doing it.
//!
//! [`observe`] → [`plan`] → [`apply`], or all three as [`enforce`]. The agent calls this when a new part arrives, when
//! [`Watcher`] reports a change, and now and then. Journal, confirmation and the dead man's switch are the agent's; for
//! the last there are [`save`] and [`restore`]. What is restored is compiled again, and not a listing played back: time
//! that has passed in the kernel's sets would begin anew.
//!
//! All work is done by the `nft` program in the network namespace of the calling thread: one process for each
//! transaction, about 10 ms.

use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::compile::{Compiled, counter_name};
use crate::listing::{Listing, ListingError};
use crate::policy::{Direction, NsgPart};
use crate::readback::{Difference, verify};
use crate::ruleset::TABLE;
use crate::swap::{removal, transactions};

pub use crate::compile::compile;
pub use crate::watch::{Change, Watcher};

/// The longest time that one run of `nft` may take. Loading 1,000 rules takes well under a second.
pub const NFT_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of nft's own words an error carries, in bytes.
const MAX_MESSAGE: usize = 2048;

/// Why `nft` did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The program is not installed.
    #[error("the program nft is not installed")]
    Missing,
    /// The program could not be run.
    #[error("running nft failed: {0}")]
    Io(#[from] std::io::Error),
    /// The kernel or nft refused; the table is as it was before.
    #[error("nft refused: {0}")]
    Refused(String),
    /// No answer within [`NFT_TIMEOUT`]. Whether the transaction took place is unknown: observe again.
    #[error("nft did not finish within {} s", NFT_TIMEOUT.as_secs())]
    Timeout,
    /// The answer could not be read.
    #[error("nft answered something unexpected: {0}")]
    Answer(String),
    /// The listing could not be read.
    #[error(transparent)]
    Listing(#[from] ListingError),
    /// The rules were loaded, and the kernel holds something else.
    #[error("what the kernel holds is not what was loaded; {0}")]
    Differs(Difference),
}

/// One step towards what is desired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Change over to the policy.
    Load {
        /// The transactions to load, one after the other.
        transactions: Vec<String>,
        /// Why.
        reason: Reason,
    },
    /// Remove the table.
    Remove,
}

/// Why the policy must be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// There is no table: first start, or somebody flushed the rule set.
    Missing,
    /// It is of another generation.
    Generation,
    /// It says it is of the desired generation but holds something else: somebody changed it.
    Drift(Difference),
}

/// What must be done so that the table holds what is desired; `None` when it does. `desired: None` is a machine without
/// any policy.
pub fn plan(desired: Option<&mut Compiled>, observed: Option<&Listing>) -> Option<Action> {
    let Some(desired) = desired else { return observed.map(|_| Action::Remove) };
    let reason = match observed {
        None => Reason::Missing,
        // Also when the table says it is of an older generation: one that changed nothing is not loaded again.
        Some(listing) => match verify(desired, listing) {
            Ok(()) => return None,
            Err(_) if listing.generation() != Some(desired.generation) => Reason::Generation,
            Err(difference) => Reason::Drift(difference),
        },
    };
    Some(Action::Load { transactions: transactions(desired, observed), reason })
}

/// Does an action, and reads back that the table then holds what is desired.
///
/// # Errors
/// [`NftError`]; after [`NftError::Timeout`] and [`NftError::Differs`] the table is not as it was before.
pub async fn apply(action: &Action, desired: Option<&mut Compiled>) -> Result<(), NftError> {
    match action {
        Action::Load { transactions, .. } => {
            for transaction in transactions {
                load(transaction).await?;
            }
        }
        Action::Remove => load(&removal()).await?,
    }
    let observed = observe().await?;
    match (desired, observed) {
        (Some(desired), Some(listing)) => verify(desired, &listing).map_err(NftError::Differs),
        (None, None) => Ok(()),
        (desired, _) => {
            let what = if desired.is_some() { "it is missing" } else { "it is still there" };
            let place = "the table".to_owned();
            Err(NftError::Differs(Difference { place, what: what.to_owned(), witness: None }))
        }
    }
}

/// Makes the table hold what is desired, and tells what was done; `None` when that was nothing.
///
/// # Errors
/// As [`apply`].
pub async fn enforce(mut desired: Option<&mut Compiled>) -> Result<Option<Action>, NftError> {
    let observed = observe().await?;
    let action = plan(desired.as_deref_mut(), observed.as_ref());
    if let Some(action) = &action {
        apply(action, desired).await?;
    }
    Ok(action)
}

/// Loads a script in one transaction: all of it or nothing.
///
/// # Errors
/// [`NftError`]; except after [`NftError::Timeout`] nothing has changed.
pub async fn load(script: &str) -> Result<(), NftError> {
    nft(&["-f", "-"], script).await.map(drop)
}

/// What the table holds now; `None` when there is no table.
///
/// # Errors
/// [`NftError`].
pub async fn observe() -> Result<Option<Listing>, NftError> {
    // -s leaves out counter values and remaining times, -n names that depend on files of the machine, --terse elements
    // of named sets.
    match list(&["-j", "-s", "-n", "--terse"]).await? {
        Some(json) => Ok(Some(Listing::parse(&json)?)),
        None => Ok(None),
    }
}

/// What to put back when a change must be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Saved {
    /// This policy.
    Policy {
        /// Its generation.
        generation: u64,
        /// The policy.
        part: NsgPart,
    },
    /// A table that no policy is known for, as nft lists it: left by an agent that has lost its state.
    Listing(String),
    /// No table.
    Nothing,
}

/// Saves a table that no policy is known for. Elements of named sets are left out: what is open for a time does not
/// come back.
///
/// # Errors
/// [`NftError`].
pub async fn save() -> Result<Saved, NftError> {
    Ok(list(&["-s", "-n", "--terse"]).await?.map_or(Saved::Nothing, Saved::Listing))
}

/// Puts back what was saved.
///
/// # Errors
/// As [`apply`].
pub async fn restore(saved: &Saved) -> Result<(), NftError> {
    match saved {
        Saved::Policy { generation, part } => enforce(Some(&mut compile(part, *generation))).await.map(drop),
        Saved::Listing(text) => load(&(removal() + text)).await,
        Saved::Nothing => enforce(None).await.map(drop),
    }
}

async fn list(options: &[&str]) -> Result<Option<String>, NftError> {
    match nft(&[options, &["list", "table", "inet", TABLE]].concat(), "").await {
        Ok(listing) => Ok(Some(listing)),
        Err(NftError::Refused(message)) if message.contains("No such file or directory") => Ok(None),
        Err(error) => Err(error),
    }
}

/// How often one rule has matched since it was first loaded under its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hits {
    /// Index of the NIC in the part.
    pub nic: usize,
    /// The direction.
    pub direction: Direction,
    /// Index of the stage.
    pub stage: usize,
    /// The rule's name.
    pub rule: String,
    /// First packets of flows that the rule decided.
    pub packets: u64,
    /// The bytes of these packets.
    pub bytes: u64,
}

/// Reads the counters of the rules of the part that is loaded; rules that are not counted are left out (see
/// [`crate::compile::Form::Actions`]).
///
/// # Errors
/// [`NftError`]; also when there is no table.
pub async fn hits(part: &NsgPart) -> Result<Vec<Hits>, NftError> {
    let listing = nft(&["-j", "list", "counters", "table", "inet", TABLE], "").await?;
    let json: Value = serde_json::from_str(&listing).map_err(|e| NftError::Answer(e.to_string()))?;
    let counters: std::collections::HashMap<&str, (u64, u64)> = json["nftables"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|o| o.get("counter"))
        .filter_map(|c| Some((c["name"].as_str()?, (c["packets"].as_u64()?, c["bytes"].as_u64()?))))
        .collect();
    let mut hits = Vec::new();
    for (nic, policy) in part.nics.iter().enumerate() {
        for direction in [Direction::Inbound, Direction::Outbound] {
            for (stage, rules) in policy.stages(direction).iter().enumerate() {
                for rule in &rules.rules {
                    let name = counter_name(policy, direction, rules, rule);
                    if let Some((packets, bytes)) = counters.get(name.as_str()).copied() {
                        hits.push(Hits { nic, direction, stage, rule: rule.name.clone(), packets, bytes });
                    }
                }
            }
        }
    }
    Ok(hits)
}

async fn nft(arguments: &[&str], input: &str) -> Result<String, NftError> {
    let run = async {
        let mut child = Command::new(program())
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(
                |e| if e.kind() == std::io::ErrorKind::NotFound { NftError::Missing } else { e.into() },
            )?;
        // nft reads all of its input before it writes, so there is no deadlock. If it dies early, its status says more
        // than the broken pipe.
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = child.wait_with_output().await?;
        if output.status.success() {
            return String::from_utf8(output.stdout).map_err(|e| NftError::Answer(e.to_string()));
        }
        let message: String =
            String::from_utf8_lossy(&output.stderr[..output.stderr.len().min(MAX_MESSAGE)]).trim().to_owned();
        Err(NftError::Refused(if message.is_empty() { output.status.to_string() } else { message }))
    };
    tokio::time::timeout(NFT_TIMEOUT, run).await.unwrap_or(Err(NftError::Timeout))
}

/// The agent may run with a `PATH` that lacks the directories of system programs.
fn program() -> &'static str {
    ["/usr/sbin/nft", "/sbin/nft"].into_iter().find(|p| std::path::Path::new(p).exists()).unwrap_or("nft")
}
