//! Flow logs as Azure writes them: for each hour and interface one blob, in the storage account that the flow log names.
//!
//! Whoever keeps a machine's flows marks their hours in the same transaction ([`mark`]). [`keep`] writes the blobs of marked
//! hours from the lake, whole, and takes a mark away only if it is still the one it saw. A blob is a function of what the
//! lake holds, so that it does not matter how often it is written, or by which server, and nothing is in it twice.

mod blobs;
pub(crate) mod storage;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use sekisho_arm::traits::{read_document, read_documents, write_document};
use sekisho_arm::{ArmError, Scope, StoreError, Write};
use sekisho_link::stream::{Batch, Entry};
use sekisho_nsg::flow::record::{self, KIND};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::time::{Instant, MissedTickBehavior, interval};
use uuid::Uuid;

use crate::app::App;

/// The document kind of marks, by `{hour}|{machine}`; hours are counted since 1970.
const MARK: &str = "flow-hour";
/// Milliseconds of an hour.
pub(crate) const HOUR: i64 = 3_600_000;
/// How old a flow may be when it is told of, in hours: longer than a spool lasts. Older ones are in the lake only.
const OLDEST: i64 = 8 * 24;
/// How often it is looked for marks.
const LOOK: Duration = Duration::from_secs(2);
/// A blob is written again after this pause at least, and after so many times as long as it took.
const PAUSE: Duration = Duration::from_secs(2);
const RARELY: u32 = 10;
/// One that could not be written is tried again after this pause.
const AGAIN: Duration = Duration::from_secs(5);
/// How often it is looked for blobs that were kept long enough.
const TIDY: Duration = Duration::from_secs(3600);

/// The hours of the flows of a batch. Read before the transaction: nobody who writes is to wait for it.
pub(crate) fn hours(batch: &Batch) -> BTreeSet<i64> {
    let mut hours = BTreeSet::new();
    for entry in &batch.entries {
        let Entry::Event { kind, data, .. } = entry else { continue };
        if kind == KIND
            && let Ok(batch) = record::Batch::read(&Value::Object(data.clone()))
        {
            hours.extend(batch.flows.iter().map(|f| f.at.div_euclid(HOUR)));
        }
    }
    hours
}

/// Marks the hours of flows that are about to be kept.
///
/// # Errors
/// Those of the database.
pub(crate) async fn mark(
    tx: &mut (dyn Write + '_),
    machine: &Scope,
    hours: BTreeSet<i64>,
) -> Result<(), StoreError> {
    let now = tx.now().unix_timestamp() * 1000 / HOUR;
    for hour in hours.into_iter().filter(|hour| (now - OLDEST..=now + 1).contains(hour)) {
        write_document(tx, MARK, &format!("{hour:08}|{}", machine.key()), &Uuid::new_v4()).await?;
    }
    Ok(())
}

/// Writes blobs for as long as the server runs.
pub(crate) async fn keep(app: Arc<App>) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next = HashMap::<String, Instant>::new();
    let mut tidied = None::<Instant>;
    loop {
        looks.tick().await;
        next.retain(|_, at| *at > Instant::now());
        if let Err(error) = look(&app, &mut next).await {
            tracing::error!(%error, "flow logs could not be written; it is tried again");
        }
        if tidied.is_none_or(|at| at.elapsed() >= TIDY) {
            tidied = Some(Instant::now());
            if let Err(error) = blobs::retain(&app, OffsetDateTime::now_utc()).await {
                tracing::error!(%error, "old flow logs could not be removed");
            }
        }
    }
}

async fn look(app: &App, next: &mut HashMap<String, Instant>) -> Result<(), FlowLogError> {
    let mut read = app.store.read().await?;
    let mut marks: Vec<(String, Uuid)> = read_documents(&mut read, MARK).await?;
    marks.retain(|(key, _)| !next.contains_key(key));
    if marks.is_empty() {
        return Ok(());
    }
    let logged = blobs::by_machine(&mut read).await?;
    drop(read);
    let (mut failed, mut down) = (None, BTreeSet::new());
    for (key, mark) in marks {
        let Some((hour, machine)) =
            key.split_once('|').and_then(|(h, m)| Some((h.parse().ok()?, Scope::parse(m).ok()?)))
        else {
            continue;
        };
        let began = Instant::now();
        let own = logged.get(&machine).map_or(&[][..], Vec::as_slice);
        let written = blobs::write(app, &machine, own, hour, &mut down).await;
        let pause = if written.is_ok() { PAUSE.max(began.elapsed() * RARELY) } else { AGAIN };
        next.insert(key.clone(), Instant::now() + pause);
        match written {
            Ok(()) => unmark(app, key, mark).await?,
            // One place that does not answer does not keep the others from being written.
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Takes a mark away, unless another one has been made since.
async fn unmark(app: &App, key: String, seen: Uuid) -> Result<(), StoreError> {
    app.store
        .write::<_, StoreError, _>(move |tx| {
            Box::pin(async move {
                let now: Option<Uuid> = read_document(tx.as_read(), MARK, &key).await?;
                if now == Some(seen) {
                    tx.remove_document(MARK, &key).await?;
                }
                Ok(())
            })
        })
        .await
}

/// A blob could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FlowLogError {
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The resources cannot be read.
    #[error("{0}")]
    Arm(#[from] ArmError),
    /// The lake does not answer.
    #[error(transparent)]
    Lake(#[from] sekisho_lake::LakeError),
    /// The storage account cannot be used.
    #[error(transparent)]
    Storage(#[from] storage::StorageError),
    /// The storage does not answer.
    #[error("the storage account {0} does not take a flow log: {1}")]
    Objects(String, object_store::Error),
    /// It has not answered a moment ago.
    #[error("the storage account {0} does not take a flow log: it has just refused another")]
    Down(String),
    /// A record has no JSON form.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}
