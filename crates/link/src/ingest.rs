//! Keeps what a machine's streams tell: events and how far each stream has got, in one transaction.

use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{Event, Read, Scope, StoreError, Write};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::stream::{Batch, BatchError, Cursors, Entry, Epoch, Numbered, Stream, Verdict, judge};

/// The document kind of cursors, by `{machine}/{stream}`.
pub const CURSOR: &str = "stream-cursor";

/// What the agent is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// Everything of the epoch up to this number is kept.
    Kept(Epoch, u64),
    /// What follows this number is missing.
    Missing(Epoch, u64),
}

/// A batch cannot be kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IngestError {
    /// It is no batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The database does not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn key(machine: &Scope, stream: Stream) -> String {
    format!("{}/{}", machine.key(), stream.word())
}

/// How far a stream of a machine has got.
///
/// # Errors
/// Those of the database.
pub async fn cursors(
    read: &mut (dyn Read + '_),
    machine: &Scope,
    stream: Stream,
) -> Result<Cursors, StoreError> {
    Ok(read_document(read, CURSOR, &key(machine, stream)).await?.unwrap_or_default())
}

/// Keeps of a batch what is new.
///
/// # Errors
/// [`IngestError`]; nothing is kept then.
pub async fn ingest(
    tx: &mut (dyn Write + '_),
    machine: &Scope,
    batch: Batch,
) -> Result<Receipt, IngestError> {
    let (stream, epoch) = (batch.stream, batch.epoch);
    let known = cursors(tx.as_read(), machine, stream).await?;
    let (fresh, next) = match judge(&known, batch)? {
        Verdict::Known(last) => return Ok(Receipt::Kept(epoch, last)),
        Verdict::Missing(last) => return Ok(Receipt::Missing(epoch, last)),
        Verdict::Keep(fresh, next) => (fresh, next),
    };
    let (upto, now) = (next.last(epoch), tx.now());
    let events = fresh.into_iter().map(|numbered| event(machine, stream, epoch, numbered, now));
    tx.append_events(events.collect()).await?;
    write_document(tx, CURSOR, &key(machine, stream), &next).await?;
    Ok(Receipt::Kept(epoch, upto))
}

fn event(machine: &Scope, stream: Stream, epoch: Epoch, numbered: Numbered, now: OffsetDateTime) -> Event {
    let (at, kind, data) = match numbered.entry {
        Entry::Event { at, kind, data } => {
            let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at) * 1_000_000);
            (at.unwrap_or(now), kind, Value::Object(data))
        }
        Entry::Gap { reason, .. } => {
            let lost = numbered.to - numbered.from + 1;
            let data = json!({"from": numbered.from, "to": numbered.to, "lost": lost, "reason": reason});
            (now, "gap".to_owned(), data)
        }
    };
    Event {
        machine: machine.key(),
        stream: stream.word().to_owned(),
        epoch: epoch.to_string(),
        // A gap has the number of its last: the numbers of what follows rise above it.
        sequence: i64::try_from(numbered.to).unwrap_or(i64::MAX),
        at,
        kind,
        data,
    }
}
