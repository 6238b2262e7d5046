//! How long recordings are kept: until somebody deletes one, or their time is up, and never while one is held.
//!
//! What is removed is the document, in a transaction with the entry that says which session it was of; then the file goes,
//! wherever it is. A file that no document names is set aside a day later, and not removed: a server may have died in
//! between, or the database is one from before the recording, which is then evidence.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sekisho_arm::traits::{read_document, read_documents, write_document};
use sekisho_arm::{ArmError, AuditEntry, CallerRef, Outcome, Read, StoreError, Write};
use sekisho_store::News;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::archive::ArchiveError;
use super::recorder::{KIND, Kept, State};
use crate::app::App;
use crate::keys::itself;

/// How often it is looked for what has been kept long enough.
const EVERY: Duration = Duration::from_secs(3600);
/// A file without a document is set aside when it is this old: one that is begun has its document within moments.
const ORPHAN: Duration = Duration::from_secs(24 * 3600);
const DELETED: &str = "Sekisho.Bastion/recordings/delete";
const HELD: &str = "Sekisho.Bastion/recordings/hold";
const RELEASED: &str = "Sekisho.Bastion/recordings/release";

/// Why nobody may remove a recording, and who says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Hold {
    pub(crate) by: CallerRef,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) since: OffsetDateTime,
    pub(crate) reason: String,
}

/// Who does something to a recording, in which request, and why.
pub(crate) struct Order {
    pub(crate) by: CallerRef,
    pub(crate) correlation_id: String,
    pub(crate) reason: String,
}

impl Order {
    fn entry(&self, operation: &str, kept: &Kept) -> AuditEntry {
        let session = &kept.session;
        AuditEntry {
            operation: operation.to_owned(),
            resource_id: kept.resource_id(),
            caller: self.by.clone(),
            outcome: Outcome::Succeeded,
            detail: String::new(),
            correlation_id: self.correlation_id.clone(),
            authorization: None,
            http: None,
            phase: None,
            properties: Some(json!({
                "reason": self.reason,
                "recording": {
                    "session": session.id,
                    "machine": session.machine,
                    "account": session.account,
                    "person": session.caller.name,
                    "since": sekisho_arm::resource::instant(session.since),
                    "recordingKey": kept.key,
                    "head": kept.head,
                },
            })),
        }
    }
}

/// Holds a recording.
///
/// # Errors
/// 409 `RecordingHeld` when somebody does already, and those of the database.
pub(crate) async fn hold(tx: &mut (dyn Write + '_), mut kept: Kept, order: &Order) -> Result<Kept, ArmError> {
    refuse_held(&kept)?;
    kept.hold = Some(Hold { by: order.by.clone(), since: tx.now(), reason: order.reason.clone() });
    write_document(tx, KIND, &kept.session.id.to_string(), &kept).await?;
    tx.audit(order.entry(HELD, &kept)).await?;
    Ok(kept)
}

/// Releases a recording that is held, whoever holds it.
///
/// # Errors
/// 409 `RecordingNotHeld`, and those of the database.
pub(crate) async fn release(
    tx: &mut (dyn Write + '_),
    mut kept: Kept,
    order: &Order,
) -> Result<Kept, ArmError> {
    if kept.hold.take().is_none() {
        return Err(ArmError::new(409, "RecordingNotHeld", "Nobody holds this recording."));
    }
    write_document(tx, KIND, &kept.session.id.to_string(), &kept).await?;
    tx.audit(order.entry(RELEASED, &kept)).await?;
    Ok(kept)
}

/// Removes a recording; its file goes when that is committed.
///
/// # Errors
/// 409 `RecordingOpen` and `RecordingHeld`, and those of the database.
pub(crate) async fn delete(tx: &mut (dyn Write + '_), kept: Kept, order: &Order) -> Result<Kept, ArmError> {
    refuse_held(&kept)?;
    if kept.state == State::Open {
        let text = "The session is still recorded. End it first.";
        return Err(ArmError::new(409, "RecordingOpen", text));
    }
    remove(tx, &kept, order).await?;
    Ok(kept)
}

async fn remove(tx: &mut (dyn Write + '_), kept: &Kept, order: &Order) -> Result<(), StoreError> {
    if tx.remove_document(KIND, &kept.session.id.to_string()).await? {
        tx.audit(order.entry(DELETED, kept)).await?;
    }
    Ok(())
}

fn refuse_held(kept: &Kept) -> Result<(), ArmError> {
    let Some(hold) = &kept.hold else { return Ok(()) };
    let text = format!("'{}' holds this recording: {}", hold.by.name, hold.reason);
    Err(ArmError::new(409, "RecordingHeld", text))
}

/// Whether a recording's time is up.
fn is_over(kept: &Kept, before: OffsetDateTime) -> bool {
    let ended = kept.until.unwrap_or(kept.session.since);
    kept.hold.is_none() && kept.state != State::Open && ended < before
}

/// Removes what ended more than `days` ago and nobody holds.
async fn expire(tx: &mut (dyn Write + '_), days: u32) -> Result<usize, StoreError> {
    let before = tx.now() - time::Duration::days(days.into());
    let order = Order {
        by: itself(),
        correlation_id: Uuid::new_v4().to_string(),
        reason: format!("kept for {days} days (recording_retention_days)"),
    };
    let all: Vec<(String, Kept)> = read_documents(tx.as_read(), KIND).await?;
    let mut count = 0;
    for (_, kept) in all.iter().filter(|(_, kept)| is_over(kept, before)) {
        remove(tx, kept, &order).await?;
        count += 1;
    }
    Ok(count)
}

/// Removes recordings and files for as long as the server runs.
pub(crate) async fn keep(app: Arc<App>) {
    let mut feed = app.store.changes();
    let mut look = interval(EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Those whose files may be left, as the place where they are did not answer.
    let mut changed = BTreeSet::new();
    loop {
        let done = tokio::select! {
            news = feed.next() => match news {
                Some(News::Changes(changes)) => {
                    let ids = changes.iter().filter(|c| c.kind == KIND);
                    changed.extend(ids.filter_map(|c| Uuid::try_parse(&c.key).ok()));
                    follow(&app, &mut changed).await
                }
                // What was missed is an orphan.
                Some(News::Missed) => Ok(()),
                None => return,
            },
            _ = look.tick() => {
                let followed = follow(&app, &mut changed).await;
                sweep(&app).await.and(followed)
            }
        };
        if let Err(error) = done {
            tracing::warn!(%error, "recordings that are no more stay until the next round");
        }
    }
}

/// Removes the files of recordings that were removed. Those with which that fails are left.
async fn follow(app: &App, changed: &mut BTreeSet<Uuid>) -> Result<(), ArchiveError> {
    let mut followed = Ok(());
    for session in std::mem::take(changed) {
        let gone = async {
            if is_kept(&mut app.store.read().await?, session).await? {
                return Ok(());
            }
            app.recordings.remove(session).await
        };
        if let Err(error) = gone.await {
            changed.insert(session);
            followed = Err(error);
        }
    }
    followed
}

async fn is_kept(read: &mut (dyn Read + '_), session: Uuid) -> Result<bool, StoreError> {
    Ok(read_document::<Value>(read, KIND, &session.to_string()).await?.is_some())
}

async fn sweep(app: &App) -> Result<(), ArchiveError> {
    if let Some(days) = app.config.recording_retention_days {
        let count = app
            .store
            .write::<_, StoreError, _>(move |tx| Box::pin(async move { expire(tx, days).await }))
            .await?;
        if count > 0 {
            tracing::info!(count, days, "recordings were removed whose time was up");
        }
    }
    let (old, mut orphans) = (app.recordings.older_than(ORPHAN).await?, Vec::new());
    let mut read = app.store.read().await?;
    for session in old {
        if !is_kept(&mut read, session).await? {
            orphans.push(session);
        }
    }
    drop(read);
    for session in orphans {
        tracing::warn!(%session, "the file of a recording that no document names is set aside");
        app.recordings.set_aside(session).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sekisho_store::Store;

    use super::super::recorder::tests::kept;
    use super::*;

    fn order() -> Order {
        Order { by: itself(), correlation_id: "c".to_owned(), reason: "a case".to_owned() }
    }

    async fn store(dir: &Path) -> Store {
        Store::open(&format!("sqlite://{}/db", dir.display())).await.unwrap()
    }

    async fn put(store: &Store, kept: Kept) {
        store
            .write::<_, StoreError, _>(move |tx| {
                Box::pin(async move { write_document(tx, KIND, &kept.session.id.to_string(), &kept).await })
            })
            .await
            .unwrap();
    }

    async fn left(store: &Store) -> Vec<Uuid> {
        let all: Vec<(String, Kept)> = read_documents(&mut store.read().await.unwrap(), KIND).await.unwrap();
        all.into_iter().map(|(_, kept)| kept.session.id).collect()
    }

    #[tokio::test]
    async fn what_was_kept_long_enough_goes_with_an_entry_that_names_its_session_and_what_is_held_or_open_stays()
     {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path()).await;
        let now = OffsetDateTime::now_utc();
        let days = |n| Some(now - time::Duration::days(n));
        let over = Kept { until: days(31), ..kept() };
        let young = Kept { until: days(29), ..kept() };
        let open = Kept { state: State::Open, until: None, ..kept() };
        let hold = Hold { by: itself(), since: now, reason: "a case".to_owned() };
        let held = Kept { until: days(400), hold: Some(hold), ..kept() };
        for kept in [&over, &young, &open, &held] {
            put(&store, (*kept).clone()).await;
        }
        let count = store
            .write::<_, StoreError, _>(|tx| Box::pin(async move { expire(tx, 30).await }))
            .await
            .unwrap();
        assert_eq!(count, 1);
        let mut expected = [young.session.id, open.session.id, held.session.id];
        expected.sort_by_key(ToString::to_string);
        assert_eq!(left(&store).await, expected);
        let entries = store.read().await.unwrap().log_entries(0, 10).await.unwrap();
        let entry: Value = serde_json::from_str(entries.last().unwrap().leaf.as_ref().unwrap()).unwrap();
        assert_eq!(entry["operation"], DELETED);
        assert_eq!(entry["caller"]["kind"], "System");
        assert_eq!(entry["properties"]["recording"]["session"], over.session.id.to_string());
    }

    #[tokio::test]
    async fn nobody_removes_what_is_held_or_open_until_it_is_released_or_over() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path()).await;
        let refused = store
            .write::<_, ArmError, _>(|tx| {
                Box::pin(async move {
                    let open = delete(tx, Kept { state: State::Open, ..kept() }, &order()).await.unwrap_err();
                    assert_eq!((open.status, open.code.as_str()), (409, "RecordingOpen"));
                    let held = hold(tx, kept(), &order()).await?;
                    let twice = hold(tx, held.clone(), &order()).await.unwrap_err();
                    assert_eq!((twice.status, twice.code.as_str()), (409, "RecordingHeld"));
                    let refused = delete(tx, held.clone(), &order()).await.unwrap_err();
                    assert!(refused.message.contains("a case"), "{}", refused.message);
                    let released = release(tx, held, &order()).await?;
                    let twice = release(tx, released.clone(), &order()).await.unwrap_err();
                    assert_eq!((twice.status, twice.code.as_str()), (409, "RecordingNotHeld"));
                    delete(tx, released, &order()).await?;
                    Ok(refused)
                })
            })
            .await
            .unwrap();
        assert_eq!((refused.status, refused.code.as_str()), (409, "RecordingHeld"));
        assert!(left(&store).await.is_empty());
    }
}
