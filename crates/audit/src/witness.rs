//! A witness: it remembers the largest tree it has seen of a log and goes on only to trees that begin with that one.
//!
//! Whoever has the log's key can sign any history; nobody can prove that another history begins with the one that was
//! seen. A witness that is shown something else knows that history was rewritten, and has it in writing.

use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::note::{NoteError, Verifier};
use crate::tree::{leaf_hash, proves_consistency, proves_inclusion};
use crate::{Hash, Leaf};

/// A checkpoint with the proof that the log has only grown since a size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advance {
    /// The checkpoint, signed by the log.
    pub note: String,
    /// The size from which the proof goes.
    pub from: u64,
    /// The proof.
    pub consistency: Vec<Hash>,
}

/// An entry with the proof that it is in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Included {
    /// The entry's exact bytes.
    pub leaf: String,
    /// The proof, for the checkpoint that it comes with.
    pub inclusion: Vec<Hash>,
}

/// Why a witness does not follow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// The checkpoint is not the log's.
    #[error("the checkpoint is not accepted: {0}")]
    Note(#[from] NoteError),
    /// The proof goes from somewhere else than where this witness is.
    #[error("the proof goes from entry {from}, and {known} entries are known here")]
    Elsewhere {
        /// Where it goes from.
        from: u64,
        /// What is known here.
        known: u64,
    },
    /// Entries that were seen are not there any more.
    #[error("the log had {known} entries and has {offered}")]
    Cut {
        /// What was seen.
        known: u64,
        /// What is there now.
        offered: u64,
    },
    /// What was seen is not what is there now.
    #[error("the log of {offered} entries does not begin with the {known} entries that were seen")]
    Rewritten {
        /// What was seen.
        known: u64,
        /// What is there now.
        offered: u64,
    },
    /// The entry is not in the log.
    #[error("the entry is not in the log")]
    NotIncluded,
}

impl WitnessError {
    /// Whether it shows that history was rewritten, and not only that something was refused.
    pub fn is_rewrite(&self) -> bool {
        matches!(self, WitnessError::Cut { .. } | WitnessError::Rewritten { .. })
    }
}

/// What a witness remembers of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The log's key.
    pub key: Verifier,
    /// The largest tree that was seen; 0 when none was.
    pub size: u64,
    /// Its root; nothing at size 0.
    pub root: Option<Hash>,
}

impl Memory {
    /// Knows a log by its key only.
    pub fn of(key: Verifier) -> Memory {
        Memory { key, size: 0, root: None }
    }

    /// What is to be remembered instead, when the log has only grown.
    ///
    /// # Errors
    /// [`WitnessError`].
    pub fn advance(&self, offered: &Advance) -> Result<Memory, WitnessError> {
        let Checkpoint { size, root, .. } = Checkpoint::open(&offered.note, &self.key)?;
        let next = Memory { size, root: Some(root), ..self.clone() };
        let Some(known) = self.root.filter(|_| self.size > 0) else { return Ok(next) };
        if size < self.size {
            return Err(WitnessError::Cut { known: self.size, offered: size });
        }
        if offered.from != self.size {
            return Err(WitnessError::Elsewhere { from: offered.from, known: self.size });
        }
        match proves_consistency((self.size, &known), (size, &root), &offered.consistency) {
            true => Ok(next),
            false => Err(WitnessError::Rewritten { known: self.size, offered: size }),
        }
    }

    /// The entry, when it is in the tree that is remembered.
    ///
    /// # Errors
    /// [`WitnessError::NotIncluded`].
    pub fn read(&self, entry: &Included) -> Result<Leaf, WitnessError> {
        let leaf: Leaf = serde_json::from_str(&entry.leaf).map_err(|_| WitnessError::NotIncluded)?;
        let index = u64::try_from(leaf.sequence).ok().and_then(|n| n.checked_sub(1));
        let (Some(index), Some(root)) = (index, self.root) else { return Err(WitnessError::NotIncluded) };
        let hash = leaf_hash(entry.leaf.as_bytes());
        match proves_inclusion(&hash, index, (self.size, &root), &entry.inclusion) {
            true => Ok(leaf),
            false => Err(WitnessError::NotIncluded),
        }
    }

    /// The text of the checkpoint that is remembered, which a witness cosigns.
    pub fn text(&self) -> Option<String> {
        let root = self.root?;
        Some(Checkpoint { origin: self.key.name().to_owned(), size: self.size, root }.text())
    }
}
