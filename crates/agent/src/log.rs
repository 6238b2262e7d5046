//! The log as this machine has seen it, kept on disk before anything is said of it. A log that was rewritten is noted
//! with its evidence, and from then on nothing is obeyed until a person with root here trusts it again.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sekisho_agent::enrol::Identity;
use sekisho_agent::witness::Witness;
use sekisho_audit::Succession;
use sekisho_audit::note::{Signer, Verifier};
use sekisho_audit::witness::{Advance, Memory, WitnessError};
use sekisho_link::message::{Remembered, ToServer};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::state::State;

/// What is kept of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// What it was.
    pub(crate) memory: Memory,
    /// Why it is not believed any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) distrust: Option<Distrust>,
}

/// A log that was rewritten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Distrust {
    /// In words.
    pub(crate) reason: String,
    /// When it was seen.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) at: OffsetDateTime,
    /// The checkpoint that shows it, signed by the log's key.
    pub(crate) evidence: String,
}

/// Why a checkpoint is not followed.
pub(crate) enum Refused {
    /// It shows that history was rewritten; this is the first that is seen of it.
    Rewritten(String),
    /// That was seen before.
    Distrusted,
    /// It is worth nothing.
    Worthless(WitnessError),
}

/// The log as this machine has seen it.
pub(crate) struct Log {
    state: State,
    witness: Witness,
    distrust: Option<Distrust>,
}

impl Log {
    /// What was kept. A machine that joined another installation begins anew; the same log may have another key by now.
    pub(crate) fn open(state: &State, identity: &Identity) -> anyhow::Result<Log> {
        let pinned = identity.log_key.as_deref().map(str::parse::<Verifier>).transpose();
        let pinned = pinned.context("the log's key in the identity")?;
        let same = |seen: &Seen| pinned.as_ref().is_none_or(|key| key.name() == seen.memory.key.name());
        let mut seen = state.seen()?.filter(same);
        if let (Some(seen), Some(key)) = (&mut seen, &pinned) {
            seen.memory.key = key.clone();
        }
        let distrust = seen.as_ref().and_then(|seen| seen.distrust.clone());
        let memory = seen.map(|seen| seen.memory).or_else(|| pinned.map(Memory::of));
        let witness = Witness::new(&identity.agent_id, &own_key(state)?, memory)?;
        Ok(Log { state: state.clone(), witness, distrust })
    }

    /// What the server is told of it.
    pub(crate) fn remembered(&self) -> Remembered {
        Remembered {
            size: self.witness.memory().map_or(0, |memory| memory.size),
            distrusts: self.distrust.as_ref().map(|distrust| distrust.reason.clone()),
        }
    }

    /// What was seen of it, unless it is not believed.
    pub(crate) fn memory(&self) -> Option<&Memory> {
        self.witness.memory().filter(|_| self.distrust.is_none())
    }

    /// The server says what the log's key is.
    pub(crate) fn told(&mut self, key: Option<Verifier>) {
        let Some(key) = key else { return };
        let name = key.to_string();
        if self.witness.told(key) {
            tracing::warn!(
                key = name,
                "this machine joined before the log had a key; this one is believed from now on"
            );
        }
    }

    /// The log's key was replaced: where that leads from the one that is known, if anywhere.
    pub(crate) fn succeeded(&self, all: &[Succession<Verifier>]) -> Option<Memory> {
        self.witness.succeeded(all)
    }

    /// Knows the log by the key of this memory from now on, and keeps that.
    pub(crate) fn succeed(&mut self, memory: Memory) -> anyhow::Result<()> {
        self.state.keep_seen(&Seen { memory: memory.clone(), distrust: self.distrust.clone() })?;
        self.witness.succeed(memory);
        Ok(())
    }

    /// Goes on to what was offered, and keeps that; returns what is to be said to the server.
    pub(crate) fn advance(&mut self, offered: &Advance) -> anyhow::Result<Result<Option<ToServer>, Refused>> {
        if self.distrust.is_some() {
            return Ok(Err(Refused::Distrusted));
        }
        let now = OffsetDateTime::now_utc();
        match self.witness.consider(offered) {
            Ok(memory) => {
                if self.witness.memory() != Some(&memory) {
                    self.state.keep_seen(&Seen { memory: memory.clone(), distrust: None })?;
                }
                let at = u64::try_from(now.unix_timestamp()).unwrap_or(0);
                Ok(Ok(self.witness.follow(memory, at)))
            }
            Err(error) if error.is_rewrite() => {
                let reason = format!("{error}");
                let distrust = Distrust { reason: reason.clone(), at: now, evidence: offered.note.clone() };
                if let Some(memory) = self.witness.memory().cloned() {
                    self.state.keep_seen(&Seen { memory, distrust: Some(distrust.clone()) })?;
                }
                self.distrust = Some(distrust);
                Ok(Err(Refused::Rewritten(reason)))
            }
            Err(error) => Ok(Err(Refused::Worthless(error))),
        }
    }

    /// Whether a person has said since the last time that the log is to be trusted; then what was seen is forgotten, and
    /// only its key is not.
    pub(crate) fn is_trusted_again(&mut self, identity: &Identity) -> anyhow::Result<bool> {
        if !self.state.is_trust_asked() {
            return Ok(false);
        }
        if let Some(memory) = self.witness.memory() {
            let memory = Memory::of(memory.key.clone());
            self.state.keep_seen(&Seen { memory, distrust: None })?;
        }
        self.state.forget_trust()?;
        *self = Log::open(&self.state, identity)?;
        Ok(true)
    }
}

/// This machine's own key, made when it is first needed.
fn own_key(state: &State) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    if let Some(text) = state.witness_key()?.map(Zeroizing::new) {
        return STANDARD.decode(&*text).map(Zeroizing::new).context("this machine's witness key");
    }
    let key = Zeroizing::new(Signer::generate()?);
    state.keep_witness_key(&Zeroizing::new(STANDARD.encode(&*key)))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use sekisho_audit::note::Use;
    use sekisho_audit::{Checkpoint, Frontier, tree};

    use super::*;

    const NAME: &str = "sekisho/t";

    fn identity(log_key: Option<String>) -> Identity {
        let text = String::new;
        Identity {
            agent_id: "a".to_owned(),
            machine: "/m".to_owned(),
            address: text(),
            ca: text(),
            certificate: text(),
            key: text(),
            command_key: text(),
            log_key,
        }
    }

    /// A checkpoint of the entries `of`, with a proof from nothing.
    fn checkpoint(key: &Signer, of: &[&str], from: u64) -> Advance {
        let mut tree = Frontier::default();
        of.iter().for_each(|leaf| drop(tree.append(tree::leaf_hash(leaf.as_bytes()))));
        let note = Checkpoint { origin: NAME.to_owned(), size: tree.size(), root: tree.root() }.sign(key);
        Advance { note, from, consistency: Vec::new() }
    }

    fn log_key() -> Signer {
        Signer::new(NAME, Use::Note, &Signer::generate().unwrap()).unwrap()
    }

    #[test]
    fn a_rewritten_log_is_remembered_over_restarts_until_a_person_trusts_it_again() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(dir.path());
        let key = log_key();
        let identity = identity(Some(key.verifier().to_string()));
        let mut log = Log::open(&state, &identity).unwrap();
        let said = log.advance(&checkpoint(&key, &["a", "b"], 0)).unwrap().ok().flatten();
        assert!(matches!(said, Some(ToServer::Witnessed { size: 2, .. })), "{said:?}");
        // A crash now forgets nothing of it: it was kept before it was said.
        let mut log = Log::open(&state, &identity).unwrap();
        assert_eq!(log.remembered(), Remembered { size: 2, distrusts: None });
        assert!(matches!(log.advance(&checkpoint(&key, &["a", "b"], 2)).unwrap(), Ok(None)), "no news");
        assert!(matches!(
            log.advance(&checkpoint(&log_key(), &["a"], 2)).unwrap(),
            Err(Refused::Worthless(_))
        ));
        assert_eq!(log.remembered().distrusts, None, "somebody else's word is no evidence");

        let Err(Refused::Rewritten(reason)) = log.advance(&checkpoint(&key, &["a"], 2)).unwrap() else {
            panic!("a shorter log is believed");
        };
        assert_eq!(reason, "the log had 2 entries and has 1");
        for mut log in [log, Log::open(&state, &identity).unwrap()] {
            assert_eq!(log.remembered().distrusts.as_deref(), Some(reason.as_str()));
            assert_eq!(log.memory(), None);
            // Not even the log as it was is obeyed now.
            let before = checkpoint(&key, &["a", "b"], 2);
            assert!(matches!(log.advance(&before).unwrap(), Err(Refused::Distrusted)));
        }
        let kept = state.seen().unwrap().unwrap();
        assert!(kept.distrust.unwrap().evidence.starts_with("sekisho/t\n1\n"));

        let mut log = Log::open(&state, &identity).unwrap();
        assert!(!log.is_trusted_again(&identity).unwrap());
        state.ask_trust().unwrap();
        assert!(log.is_trusted_again(&identity).unwrap());
        assert!(!log.is_trusted_again(&identity).unwrap(), "once");
        assert_eq!(log.remembered(), Remembered::default());
        assert!(log.advance(&checkpoint(&log_key(), &["a"], 0)).unwrap().is_err(), "the key stays");
        assert!(log.advance(&checkpoint(&key, &["a"], 0)).unwrap().is_ok());
    }

    #[test]
    fn a_machine_that_joined_before_there_was_a_log_key_believes_the_first_it_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(dir.path());
        let (key, other) = (log_key(), log_key());
        let mut log = Log::open(&state, &identity(None)).unwrap();
        assert!(log.advance(&checkpoint(&key, &["a"], 0)).unwrap().is_err(), "nobody knows whose that is");
        log.told(Some(key.verifier()));
        log.told(Some(other.verifier()));
        assert!(log.advance(&checkpoint(&key, &["a"], 0)).unwrap().is_ok());
        let mut again = Log::open(&state, &identity(None)).unwrap();
        again.told(Some(other.verifier()));
        assert!(again.advance(&checkpoint(&other, &["a"], 1)).unwrap().is_err());
        // Joining another installation begins anew.
        let elsewhere = Signer::new("sekisho/other", Use::Note, &Signer::generate().unwrap()).unwrap();
        let elsewhere = Log::open(&state, &identity(Some(elsewhere.verifier().to_string()))).unwrap();
        assert_eq!(elsewhere.remembered().size, 0);
    }

    #[test]
    fn what_was_seen_is_kept_when_the_log_has_another_key_and_a_forged_one_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(dir.path());
        let (old, new, thief) = (log_key(), log_key(), log_key());
        let identity = identity(Some(old.verifier().to_string()));
        let mut log = Log::open(&state, &identity).unwrap();
        assert!(log.advance(&checkpoint(&old, &["a", "b"], 0)).unwrap().is_ok());
        let named = |by: &Signer, next: &Signer| {
            Succession::new(old.verifier(), next.verifier(), 0, |text| by.line(text, 0))
        };
        assert_eq!(log.succeeded(&[named(&thief, &thief)]), None);
        let next = log.succeeded(&[named(&thief, &thief), named(&old, &new)]).unwrap();
        log.succeed(next).unwrap();
        assert!(log.advance(&checkpoint(&old, &["a", "b", "c"], 2)).unwrap().is_err(), "it is known no more");
        // A crash before the identity was kept, and a start of a machine that joined again, lose nothing.
        let joined = super::tests::identity(Some(new.verifier().to_string()));
        for mut log in [Log::open(&state, &identity).unwrap(), log, Log::open(&state, &joined).unwrap()] {
            assert_eq!(log.remembered().size, 2);
            let _ = log.succeeded(&[named(&old, &new)]).map(|next| log.succeed(next).unwrap());
            let Err(Refused::Rewritten(_)) = log.advance(&checkpoint(&new, &["a"], 2)).unwrap() else {
                panic!("a shorter log is believed");
            };
            state.keep_seen(&Seen { distrust: None, ..state.seen().unwrap().unwrap() }).unwrap();
        }
    }
}
