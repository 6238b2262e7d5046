//! The server's end of the log: it signs checkpoints, proves to agents that the log has only grown and what stands in it,
//! and knows how far it is witnessed.
//!
//! A checkpoint is made of what is committed, so that no crash takes back what was signed.

mod export;
mod keep;
mod standing;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sekisho_arm::StoreError;
use sekisho_audit::note::{Signer, Verifier};
use sekisho_audit::tree::Plan;
use sekisho_audit::witness::{Advance, Included};
use sekisho_audit::{Checkpoint, Leaf};
use sekisho_link::command::Proof;
use sekisho_store::ReadTransaction;
use uuid::Uuid;

pub use export::{Exported, export};
pub(crate) use keep::{keep, sign};
pub(crate) use standing::{Kept, Standing, kept, standing};

/// A checkpoint as it was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// How many entries it is of.
    pub size: u64,
    /// The signed note.
    pub note: String,
}

/// What a log is called: for ever, whatever its keys.
pub fn name(tenant: Uuid) -> String {
    format!("sekisho/{tenant}")
}

/// The log's keys that live. Each signs every checkpoint, so that it does not matter which one somebody knows.
pub struct LogKeys {
    active: Signer,
    others: Vec<Signer>,
}

impl LogKeys {
    /// The one that new agents are given, and the others.
    pub fn new(active: Signer, others: Vec<Signer>) -> LogKeys {
        LogKeys { active, others }
    }

    fn all(&self) -> impl Iterator<Item = &Signer> {
        [&self.active].into_iter().chain(&self.others)
    }
}

/// The log's keys, and what was signed with them last.
pub struct Log {
    name: String,
    signed: Mutex<(Arc<LogKeys>, Option<Signed>)>,
}

impl Log {
    /// The log of an installation.
    pub fn new(tenant: Uuid, keys: LogKeys) -> Log {
        Log { name: name(tenant), signed: Mutex::new((Arc::new(keys), None)) }
    }

    /// Signs with these from now on.
    pub(crate) fn sign_with(&self, keys: LogKeys) {
        *self.lock() = (Arc::new(keys), None);
    }

    /// The key by which checkpoints are known to whoever learns of it now.
    pub fn key(&self) -> Verifier {
        self.lock().0.active.verifier()
    }

    /// All keys that sign.
    pub(crate) fn keys(&self) -> Vec<Verifier> {
        self.lock().0.all().map(Signer::verifier).collect()
    }

    /// The size that was signed last; 0 before the first.
    pub fn signed(&self) -> u64 {
        self.lock().1.as_ref().map_or(0, |signed| signed.size)
    }

    fn lock(&self) -> MutexGuard<'_, (Arc<LogKeys>, Option<Signed>)> {
        self.signed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the log was at a size.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn checkpoint_at(
        &self,
        read: &mut ReadTransaction,
        size: u64,
    ) -> Result<Checkpoint, StoreError> {
        let root = read.log_at(size).await?.root();
        Ok(Checkpoint { origin: self.name.clone(), size, root })
    }

    /// A checkpoint of at least so many entries, or of all that `read` sees.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn checkpoint(&self, read: &mut ReadTransaction, least: u64) -> Result<Signed, StoreError> {
        let size = read.log_size().await?;
        let (keys, newest) = self.lock().clone();
        if let Some(signed) = newest.filter(|signed| (least..=size).contains(&signed.size)) {
            return Ok(signed);
        }
        let note = self.checkpoint_at(read, size).await?.sign_together(keys.all());
        let signed = Signed { size, note };
        let mut kept = self.lock();
        if Arc::ptr_eq(&kept.0, &keys) && kept.1.as_ref().is_none_or(|newest| newest.size < size) {
            kept.1 = Some(signed.clone());
        }
        Ok(signed)
    }

    /// What is shown to whoever has seen `from` entries: a checkpoint of at least `least`. To one who has seen more than
    /// there is, nothing can be proved.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn advance(
        &self,
        read: &mut ReadTransaction,
        from: u64,
        least: u64,
    ) -> Result<(u64, Advance), StoreError> {
        let Signed { size, note } = self.checkpoint(read, from.max(least)).await?;
        let consistency = match Plan::consistency(from, size) {
            Some(plan) => read.log_proof(&plan).await?,
            None => Vec::new(),
        };
        Ok((size, Advance { note, from, consistency }))
    }

    /// The proof that an entry stands in the log, for whoever has seen `from` entries; and the size it is of.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn prove(
        &self,
        read: &mut ReadTransaction,
        leaf: String,
        from: u64,
    ) -> Result<(u64, Proof), StoreError> {
        let Leaf { sequence, .. } =
            serde_json::from_str(&leaf).map_err(|e| StoreError::Corrupt(format!("an entry: {e}")))?;
        let sequence = u64::try_from(sequence).unwrap_or(0);
        let (size, advance) = self.advance(read, from, sequence).await?;
        let inclusion = match Plan::inclusion(sequence.saturating_sub(1), size) {
            Some(plan) => read.log_proof(&plan).await?,
            None => Vec::new(),
        };
        Ok((size, Proof { entry: Included { leaf, inclusion }, advance }))
    }
}
