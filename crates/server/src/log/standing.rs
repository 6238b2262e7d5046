//! How far the log is witnessed, and whether it still is what was signed.

use std::collections::BTreeMap;

use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{StoreError, Write};
use sekisho_audit::note::{self, NoteError, Signer, Verifier};
use sekisho_audit::{Checkpoint, Hash};
use sekisho_link::machine::kind;
use sekisho_link::witnesses::{self, Witness, quorum};
use sekisho_store::ReadTransaction;
use serde::{Deserialize, Serialize};

use super::Signed;

const CHECKPOINT: &str = "checkpoint";
const NEWEST: &str = "newest";

/// The newest checkpoint as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) size: u64,
    pub(crate) note: String,
}

/// The newest checkpoint that is kept.
///
/// # Errors
/// Those of the database.
pub(crate) async fn kept(read: &mut ReadTransaction) -> Result<Option<Kept>, StoreError> {
    read_document(read, CHECKPOINT, NEWEST).await
}

impl Kept {
    /// Keeps a checkpoint, unless a larger one is kept.
    pub(super) async fn keep(tx: &mut (dyn Write + '_), signed: Signed) -> Result<(), StoreError> {
        let before: Option<Kept> = read_document(tx.as_read(), CHECKPOINT, NEWEST).await?;
        if before.is_some_and(|before| before.size >= signed.size) {
            return Ok(());
        }
        let Signed { size, note } = signed;
        write_document(tx, CHECKPOINT, NEWEST, &Kept { size, note }).await
    }

    /// Has another key of the log sign what is kept, too.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn sign_along(tx: &mut (dyn Write + '_), key: &Signer) -> Result<(), StoreError> {
        let kept: Option<Kept> = read_document(tx.as_read(), CHECKPOINT, NEWEST).await?;
        let Some(Kept { size, note }) = kept else { return Ok(()) };
        let note =
            note::sign_along(&note, key).map_err(|e| StoreError::Corrupt(format!("the checkpoint: {e}")))?;
        write_document(tx, CHECKPOINT, NEWEST, &Kept { size, note }).await
    }

    /// Whether the log still begins with what was signed by one of its keys; says why not.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn still_holds(
        &self,
        read: &mut ReadTransaction,
        keys: &[Verifier],
    ) -> Result<Result<(), String>, StoreError> {
        let mut opened = Err(NoteError::NotSigned);
        for key in keys {
            opened = opened.or_else(|_| Checkpoint::open(&self.note, key));
        }
        let signed = match opened {
            Ok(signed) => signed,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let size = read.log_size().await?;
        if size < signed.size {
            return Ok(Err(format!("{} entries were signed, and there are {size}", signed.size)));
        }
        let holds = read.log_at(signed.size).await?.root() == signed.root;
        Ok(if holds {
            Ok(())
        } else {
            Err(format!("the first {} entries are not those that were signed", signed.size))
        })
    }
}

/// How far the log is witnessed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Standing {
    /// How many entries there are.
    pub(crate) size: u64,
    /// How many machines could be witnesses.
    pub(crate) machines: usize,
    /// Up to where enough of them have seen it.
    pub(crate) witnessed: u64,
    /// How many have seen it up to there.
    pub(crate) by: usize,
    /// What is kept of them.
    pub(crate) witnesses: Vec<Witness>,
}

/// Looks how far the log is witnessed. A cosignature of something else than what the log is now counts for nothing.
///
/// # Errors
/// Those of the database.
pub(crate) async fn standing(read: &mut ReadTransaction) -> Result<Standing, StoreError> {
    let size = read.log_size().await?;
    let machines = read.count_documents(kind::MACHINE).await?;
    let witnesses = witnesses::all(read).await?;
    let mut seen: BTreeMap<u64, Vec<Hash>> = BTreeMap::new();
    for seen_by in witnesses.iter().filter_map(|w| w.seen.as_ref()) {
        seen.entry(seen_by.size).or_default().push(seen_by.root);
    }
    let (mut witnessed, mut by) = (0, 0);
    for (at, roots) in seen.range(..=size).rev() {
        let root = read.log_at(*at).await?.root();
        by += roots.iter().filter(|seen| **seen == root).count();
        if by >= quorum(machines) && by > 0 {
            witnessed = *at;
            break;
        }
    }
    if witnessed == 0 {
        by = 0;
    }
    Ok(Standing { size, machines, witnessed, by, witnesses })
}
