//! How long recordings are kept: until somebody deletes one, or their time is up, and never while one is held.
//!
//! What is removed is the document, in a transaction with the entry that says which session it was of; then the file goes,
//! on whichever server's disk it is. A file that no document names is set aside a day later, and not removed: a server may
//! have died in between, or the database is one from before the recording, which is then evidence.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sekisho_arm::traits::{read_document, read_documents, write_document};
use sekisho_arm::{ArmError, AuditEntry, CallerRef, Outcome, StoreError, Write};
use sekisho_store::News;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::recorder::{KIND, Kept, State, directory, path};
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
    loop {
        let done = tokio::select! {
            news = feed.next() => match news {
                Some(News::Changes(changes)) => {
                    let ids = changes.iter().filter(|c| c.kind == KIND);
                    follow(&app, ids.filter_map(|c| Uuid::try_parse(&c.key).ok()).collect()).await
                }
                // What was missed is an orphan.
                Some(News::Missed) => Ok(()),
                None => return,
            },
            _ = look.tick() => sweep(&app).await,
        };
        if let Err(error) = done {
            tracing::warn!(%error, "recordings that are no more stay until the next round");
        }
    }
}

/// Why a round was not finished.
#[derive(Debug, thiserror::Error)]
enum Unfinished {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
}

/// Removes the files of recordings that were removed.
async fn follow(app: &App, changed: Vec<Uuid>) -> Result<(), Unfinished> {
    for session in changed {
        if !is_kept(app, session).await? {
            remove_file(&path(&app.config.data_dir, session)).await?;
        }
    }
    Ok(())
}

async fn is_kept(app: &App, session: Uuid) -> Result<bool, StoreError> {
    let mut read = app.store.read().await?;
    Ok(read_document::<Value>(&mut read, KIND, &session.to_string()).await?.is_some())
}

async fn sweep(app: &App) -> Result<(), Unfinished> {
    if let Some(days) = app.config.recording_retention_days {
        let count = app
            .store
            .write::<_, StoreError, _>(move |tx| Box::pin(async move { expire(tx, days).await }))
            .await?;
        if count > 0 {
            tracing::info!(count, days, "recordings were removed whose time was up");
        }
    }
    for session in old_files(&directory(&app.config.data_dir)).await? {
        if !is_kept(app, session).await? {
            tracing::warn!(%session, "the file of a recording that no document names was set aside");
            set_aside(&path(&app.config.data_dir, session)).await?;
        }
    }
    Ok(())
}

/// The sessions whose files are older than an orphan may be. Other files are not ours.
async fn old_files(directory: &Path) -> Result<Vec<Uuid>, Unfinished> {
    let failed = |error| Unfinished::File(directory.to_owned(), error);
    let mut entries = match tokio::fs::read_dir(directory).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let (now, mut old) = (SystemTime::now(), Vec::new());
    while let Some(entry) = entries.next_entry().await.map_err(failed)? {
        let file = PathBuf::from(entry.file_name());
        let is_ours = file.extension().is_some_and(|kind| kind == "skr");
        let session = file.file_stem().and_then(|stem| Uuid::try_parse(stem.to_str()?).ok());
        let written = entry.metadata().await.and_then(|meta| meta.modified()).map_err(failed)?;
        let is_old = now.duration_since(written).is_ok_and(|age| age > ORPHAN);
        old.extend(session.filter(|_| is_ours && is_old));
    }
    Ok(old)
}

/// Renames a file to what is taken for nobody's recording.
async fn set_aside(path: &Path) -> Result<(), Unfinished> {
    let aside = path.with_extension("skr.orphan");
    tokio::fs::rename(path, aside).await.map_err(|error| Unfinished::File(path.to_owned(), error))
}

async fn remove_file(path: &Path) -> Result<(), Unfinished> {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Unfinished::File(path.to_owned(), error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
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

    #[tokio::test]
    async fn only_files_of_recordings_that_are_a_day_old_are_taken_for_orphans() {
        let dir = tempfile::tempdir().unwrap();
        let ago = |hours: u64| SystemTime::now() - Duration::from_secs(hours * 3600);
        let put = |name: &str, hours: u64| {
            let file = std::fs::File::create(dir.path().join(name)).unwrap();
            file.set_modified(ago(hours)).unwrap();
        };
        let old = Uuid::new_v4();
        put(&format!("{old}.skr"), 25);
        put(&format!("{}.skr", Uuid::new_v4()), 23);
        put(&format!("{}.txt", Uuid::new_v4()), 25);
        put("notes.skr", 25);
        assert_eq!(old_files(dir.path()).await.unwrap(), [old]);
        assert!(old_files(&dir.path().join("nowhere")).await.unwrap().is_empty());
        // Set aside it is there, and nobody's.
        let file = dir.path().join(format!("{old}.skr"));
        set_aside(&file).await.unwrap();
        assert!(!file.exists() && dir.path().join(format!("{old}.skr.orphan")).exists());
        assert!(old_files(dir.path()).await.unwrap().is_empty());
    }
}
