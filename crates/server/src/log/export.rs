//! Writes the log, or a part of it, as lines that anybody can check offline.

use std::io::Write;

use sekisho_audit::export::Line;
use sekisho_audit::tree::Plan;
use sekisho_link::witnesses;
use sekisho_store::{ReadTransaction, Store};
use serde_json::Value;

use super::{Kept, Signed, kept};
use crate::config::Config;
use crate::keys::{self, KeptLog};
use crate::{ServerError, admin, database};

/// Entries read at once.
const PAGE: i64 = 1000;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// Entries.
    pub entries: u64,
    /// Cosignatures.
    pub cosignatures: u64,
}

/// Writes the entries from one number to another, or to the last one, with the newest checkpoint and what witnesses have
/// cosigned. The server may be running; when the root key is its credential, only the server can sign, and what it has
/// signed last is written where it is not running.
///
/// # Errors
/// When the database or the log's key cannot be read, there are no such entries, or `out` cannot be written.
pub async fn export(
    config: &Config,
    from: u64,
    to: Option<u64>,
    out: &mut impl Write,
) -> Result<Exported, ServerError> {
    let store = Store::open(&database::url(config)?).await?;
    let mut read = store.read().await?;
    let KeptLog { verifier, log, successions } = keys::kept_log(config, &mut read).await?;
    let signed = match &log {
        Some(log) => log.checkpoint(&mut read, 0).await?,
        None => {
            drop(read);
            let asked = admin::ask(&config.data_dir, admin::SIGN_LOG, Value::Null).await;
            if let Err(error) = asked {
                tracing::warn!(%error, "the log is written as it was signed last");
            }
            read = store.read().await?;
            newest(&mut read).await?
        }
    };
    let size = signed.size;
    let to = to.unwrap_or(size);
    if from < 1 || to < from || to > size {
        return Err(ServerError::Export(size));
    }
    let mut line = |line: &Line| -> Result<(), ServerError> {
        serde_json::to_writer(&mut *out, line).map_err(std::io::Error::from)?;
        Ok(out.write_all(b"\n")?)
    };
    let before = read.log_at(from - 1).await?;
    line(&Line::Log { key: verifier, after: from - 1, frontier: before.hashes().to_vec() })?;
    if !successions.is_empty() {
        line(&Line::Successions { of: successions })?;
    }
    let mut last = from - 1;
    while last < to {
        let after = i64::try_from(last).unwrap_or(i64::MAX);
        for entry in read.log_entries(after, PAGE).await? {
            last += 1;
            if last <= to {
                let sekisho_store::Entry { sequence, hash, leaf } = entry;
                line(&Line::Entry { sequence, hash, leaf })?;
            }
        }
    }
    let Signed { note, .. } = signed;
    let consistency = match Plan::consistency(to, size) {
        Some(plan) => read.log_proof(&plan).await?,
        None => Vec::new(),
    };
    line(&Line::Checkpoint { note, consistency })?;
    let mut cosignatures = 0;
    for witness in witnesses::all(&mut read).await? {
        let Some(seen) = witness.seen else { continue };
        let machine = witness.machine.to_string();
        line(&Line::Cosignature { key: seen.key, machine, size: seen.size, line: seen.line })?;
        cosignatures += 1;
    }
    out.flush()?;
    Ok(Exported { entries: to + 1 - from, cosignatures })
}

/// The newest checkpoint that the server has kept.
async fn newest(read: &mut ReadTransaction) -> Result<Signed, ServerError> {
    let Some(Kept { size, note }) = kept(read).await? else { return Err(ServerError::Export(0)) };
    Ok(Signed { size, note })
}
