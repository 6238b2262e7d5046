//! The machine side: what is loaded, what to do about it, and doing it.
//!
//! `observe` → [`plan`] → [`apply`]. The agent calls this when a new part arrives, when [`Watcher`] reports a change,
//! and now and then. Journal, confirmation and the dead man's switch are the agent's; for the last there are [`observe`]
//! and [`restore`], which put back exactly what was loaded before.
//!
//! All work is done by the `nft` program in the network namespace of the calling thread: one process for each
//! transaction, about 10 ms.

use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::compile::{TABLE, counter_name, generation, removal};
use crate::guard::without_openings;
use crate::policy::{Direction, NsgPart};

pub use crate::compile::script;
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
}

/// What the table holds, as nft lists it: without handles, counter values and time. Equal digests are equal policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// The generation that the table says it is.
    pub fn generation(&self) -> Option<u64> {
        generation(&self.0)
    }

    /// The listing, which is also a script that loads the same.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// What the agent wants to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The policy.
    pub part: NsgPart,
    /// Its generation.
    pub generation: u64,
    /// What the table held when this generation came into force; `None` when nobody has seen it.
    pub digest: Option<Digest>,
}

/// One step towards what is desired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Replace the table.
    Load {
        /// The script to load.
        script: String,
        /// Why.
        reason: Reason,
    },
    /// Remove the table.
    Remove,
}

/// Why the table must be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There is none: first start, or somebody flushed the rule set.
    Missing,
    /// It is of another generation.
    Generation,
    /// It says it is of the desired generation but holds something else: somebody changed it.
    Drift,
    /// It says it is of the desired generation, and nothing is there to compare it with.
    Unverified,
}

/// What must be done so that the table holds what is desired; empty when it does. `desired: None` is a machine without
/// any policy.
pub fn plan(desired: Option<&Desired>, observed: Option<&Digest>) -> Vec<Action> {
    let reason = match (desired, observed) {
        (None, None) => return Vec::new(),
        (None, Some(_)) => return vec![Action::Remove],
        (Some(_), None) => Reason::Missing,
        // Also when the table says it is of an older generation: one that changed nothing was not loaded again.
        (Some(Desired { digest: Some(expected), .. }), Some(digest)) if expected == digest => {
            return Vec::new();
        }
        (Some(desired), Some(digest)) if digest.generation() != Some(desired.generation) => {
            Reason::Generation
        }
        (Some(Desired { digest: None, .. }), Some(_)) => Reason::Unverified,
        (Some(_), Some(_)) => Reason::Drift,
    };
    desired.map(|d| Action::Load { script: script(&d.part, d.generation), reason }).into_iter().collect()
}

/// Does one action, and returns what the table then holds.
///
/// # Errors
/// [`NftError`]; except after [`NftError::Timeout`] the table is as it was before.
pub async fn apply(action: &Action) -> Result<Option<Digest>, NftError> {
    match action {
        Action::Load { script, .. } => load(script).await?,
        Action::Remove => load(&removal()).await?,
    }
    digest().await
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
pub async fn digest() -> Result<Option<Digest>, NftError> {
    // -s leaves out counter values and remaining times, -n names that depend on files of the machine.
    match nft(&["-s", "-n", "list", "table", "inet", TABLE], "").await {
        Ok(listing) => Ok(Some(Digest(without_openings(&listing)))),
        Err(NftError::Refused(message)) if message.contains("No such file or directory") => Ok(None),
        Err(error) => Err(error),
    }
}

/// The same as [`digest`], by the name that every system crate's machine side has.
///
/// # Errors
/// [`NftError`].
pub async fn observe() -> Result<Option<Digest>, NftError> {
    digest().await
}

/// Puts back what [`observe`] saw, `None` being no table. One transaction.
///
/// # Errors
/// [`NftError`]; except after [`NftError::Timeout`] nothing has changed.
pub async fn restore(saved: Option<&Digest>) -> Result<(), NftError> {
    load(&restore_script(saved)).await
}

/// The script that [`restore`] loads, for a dead man's switch that runs in a process of its own (`nft -f FILE`).
pub fn restore_script(saved: Option<&Digest>) -> String {
    removal() + saved.map_or("", |digest| digest.text())
}

/// How often one rule has matched since its generation was loaded.
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

/// Reads the counters of every rule of the part that is loaded.
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
                    let name = counter_name(nic, direction, stage, rule.priority);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(generation: u64, rest: &str) -> Digest {
        Digest(format!("table inet sekisho {{\n\tchain generation_{generation} {{\n\t}}\n{rest}}}\n"))
    }

    fn reasons(desired: Option<&Desired>, observed: Option<&Digest>) -> Vec<Option<Reason>> {
        plan(desired, observed)
            .iter()
            .map(|a| match a {
                Action::Load { reason, .. } => Some(*reason),
                Action::Remove => None,
            })
            .collect()
    }

    #[test]
    fn nothing_is_done_only_when_the_table_is_exactly_what_was_loaded() {
        let loaded = listing(7, "");
        let desired = |digest: Option<Digest>| Desired { part: NsgPart::default(), generation: 7, digest };
        let unchanged = desired(Some(listing(6, "")));
        assert_eq!(reasons(Some(&unchanged), Some(&listing(6, ""))), []);
        let known = desired(Some(loaded.clone()));
        assert_eq!(reasons(Some(&known), Some(&loaded)), []);
        assert_eq!(reasons(Some(&known), None), [Some(Reason::Missing)]);
        assert_eq!(reasons(Some(&known), Some(&listing(6, ""))), [Some(Reason::Generation)]);
        assert_eq!(reasons(Some(&known), Some(&listing(7, "\tchain x {\n\t}\n"))), [Some(Reason::Drift)]);
        assert_eq!(reasons(Some(&desired(None)), Some(&loaded)), [Some(Reason::Unverified)]);
        assert_eq!(reasons(None, Some(&loaded)), [None]);
        assert_eq!(reasons(None, None), []);
    }

    #[test]
    fn a_table_without_a_marker_has_no_generation() {
        assert_eq!(listing(42, "").generation(), Some(42));
        assert_eq!(Digest("table inet sekisho {\n}\n".to_owned()).generation(), None);
        assert_eq!(Digest("\tchain generation_x {\n".to_owned()).generation(), None);
    }
}
