//! What the server keeps of its witnesses: the newest cosignature of every agent, and whether it still believes the log.

use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{Read, Scope, StoreError, Write};
use sekisho_audit::note::{Use, Verifier};
use sekisho_audit::{Checkpoint, Hash};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::events::bounded;

/// The document kind: witnesses by the lower-case id of their machine.
pub const KIND: &str = "witness";
/// How many cosignatures make an entry final, where there are so many machines.
pub const QUORUM: usize = 3;

/// A witness.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Witness {
    /// The machine.
    pub machine: Scope,
    /// What it has cosigned last, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,
    /// Why it does not believe the log any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distrusts: Option<String>,
}

/// A cosigned checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// The key that cosigned it.
    pub key: Verifier,
    /// The checkpoint's size.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// The line of the signature.
    pub line: String,
    /// When, by the witness's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// The name of an agent's key.
pub fn key_name(agent: &str) -> String {
    format!("sekisho-agent/{agent}")
}

/// Reads a cosignature of the agent; nothing when it is not of this checkpoint.
pub fn cosigned(agent: &str, key: Verifier, checkpoint: &Checkpoint, line: &str) -> Option<Seen> {
    if key.name() != key_name(agent) || key.signs() != Use::Cosignature {
        return None;
    }
    let at = key.open_line(&checkpoint.text(), line).ok().flatten()?;
    let at = i64::try_from(at).ok().and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok())?;
    Some(Seen { key, size: checkpoint.size, root: checkpoint.root, line: line.to_owned(), at })
}

/// A machine has cosigned; so it believes the log.
///
/// # Errors
/// Those of the database.
pub async fn believes(tx: &mut (dyn Write + '_), machine: &Scope, seen: Seen) -> Result<(), StoreError> {
    let witness = Witness { machine: machine.clone(), seen: Some(seen), distrusts: None };
    write_document(tx, KIND, &machine.key(), &witness).await
}

/// A machine says that it does not believe the log.
///
/// # Errors
/// Those of the database.
pub async fn distrusts(tx: &mut (dyn Write + '_), machine: &Scope, reason: &str) -> Result<(), StoreError> {
    let kept: Option<Witness> = read_document(tx.as_read(), KIND, &machine.key()).await?;
    let distrusts = Some(bounded(reason));
    if kept.as_ref().is_some_and(|kept| kept.distrusts == distrusts) {
        return Ok(());
    }
    let witness = Witness { machine: machine.clone(), seen: kept.and_then(|k| k.seen), distrusts };
    write_document(tx, KIND, &machine.key(), &witness).await
}

/// All witnesses.
///
/// # Errors
/// Those of the database.
pub async fn all(read: &mut (dyn Read + '_)) -> Result<Vec<Witness>, StoreError> {
    let all = sekisho_arm::traits::read_documents(read, KIND).await?;
    Ok(all.into_iter().map(|(_, witness)| witness).collect())
}

/// How many cosignatures make an entry final among so many machines.
pub fn quorum(machines: usize) -> usize {
    machines.min(QUORUM)
}

#[cfg(test)]
mod tests {
    use sekisho_audit::note::Signer;

    use super::*;

    #[test]
    fn a_cosignature_counts_only_under_the_agent_s_own_name_for_what_the_log_was() {
        let signer = |of| Signer::new(&key_name("a"), of, &Signer::generate().unwrap()).unwrap();
        let witness = signer(Use::Cosignature);
        let checkpoint = Checkpoint { origin: "o".to_owned(), size: 7, root: Hash([1; 32]) };
        let line = witness.line(&checkpoint.text(), 77);
        let seen = cosigned("a", witness.verifier(), &checkpoint, &line).unwrap();
        assert_eq!((seen.size, seen.at.unix_timestamp()), (7, 77));
        assert_eq!(cosigned("b", witness.verifier(), &checkpoint, &line), None);
        let other = Checkpoint { root: Hash([2; 32]), ..checkpoint.clone() };
        assert_eq!(cosigned("a", witness.verifier(), &other, &line), None);
        // A plain signature has no time and is no cosignature.
        let plain = signer(Use::Note);
        let line = plain.line(&checkpoint.text(), 0);
        assert_eq!(cosigned("a", plain.verifier(), &checkpoint, &line), None);
        assert_eq!([0, 1, 2, 3, 4, 5000].map(quorum), [0, 1, 2, 3, 3, 3]);
    }
}
