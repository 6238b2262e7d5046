//! The one writer: it gathers waiting writes into a group, runs each in a savepoint, commits once, then answers.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sekisho_arm::{StoreError, Write};
use sekisho_audit::Hash;
use sqlx::{AnyConnection, Row};
use time::OffsetDateTime;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::rows::failed;
use crate::transaction::WriteTransaction;

/// Most writes that share one commit.
const GROUP: usize = 256;
/// Change-feed rows kept; older ones are dropped, and a follower that far behind reads everything again.
const FEED: i64 = 100_000;

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// It was made or changed.
    Put,
    /// It was removed.
    Delete,
}

impl Verb {
    /// `put` or `delete`.
    pub fn word(self) -> &'static str {
        match self {
            Verb::Put => "put",
            Verb::Delete => "delete",
        }
    }
}

/// One committed change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its place in the feed.
    pub sequence: i64,
    /// The lower-case resource type, or the document kind.
    pub kind: String,
    /// The lower-case id, or the document's key.
    pub key: String,
    /// What happened.
    pub verb: Verb,
    /// The new etag of a resource.
    pub etag: String,
}

/// Where the change feed and the audit chain stand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    pub(crate) sequence: i64,
    pub(crate) audit_sequence: i64,
    pub(crate) audit_hash: Hash,
}

/// Called with the fate of the commit; hands the answer to the caller.
type Settle = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// Runs with a transaction, or with the reason why there is none.
type Work =
    Box<dyn for<'t> FnOnce(Result<&'t mut dyn Write, StoreError>) -> BoxFuture<'t, (bool, Settle)> + Send>;

/// A write that waits for its turn.
pub(crate) struct Job(Work);

impl Job {
    pub(crate) fn new<T, E, F>(work: F) -> (Job, oneshot::Receiver<Result<T, E>>)
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> FnOnce(&'t mut dyn Write) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    {
        let (answer, receiver) = oneshot::channel();
        let work: Work = Box::new(move |tx| {
            async move {
                let result = match tx {
                    Err(error) => Err(error.into()),
                    Ok(tx) => AssertUnwindSafe(work(tx)).catch_unwind().await.unwrap_or_else(|_| {
                        tracing::error!("a write panicked and was undone");
                        Err(StoreError::Corrupt("a write panicked".to_owned()).into())
                    }),
                };
                let keep = result.is_ok();
                let settle: Settle = Box::new(move |commit| {
                    // A caller that went away does not need the answer.
                    let _ = answer.send(match commit {
                        Err(error) if keep => Err(error.into()),
                        _ => result,
                    });
                });
                (keep, settle)
            }
            .boxed()
        });
        (Job(work), receiver)
    }
}

pub(crate) async fn spawn(
    mut connection: AnyConnection,
    mut jobs: mpsc::Receiver<Job>,
    changes: broadcast::Sender<Arc<Vec<Change>>>,
) -> Result<(), StoreError> {
    let mut position = position(&mut connection).await?;
    tokio::spawn(async move {
        while let Some(first) = jobs.recv().await {
            let (settled, made) = group(&mut connection, &mut position, first, &mut jobs).await;
            if !made.is_empty() {
                // Nobody following is not an error.
                let _ = changes.send(Arc::new(made));
            }
            for settle in settled {
                settle();
            }
        }
    });
    Ok(())
}

async fn position(connection: &mut AnyConnection) -> Result<Position, StoreError> {
    let row = sqlx::query("SELECT MAX(sequence) AS sequence FROM change")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    let sequence: Option<i64> = row.try_get("sequence").map_err(failed)?;
    let last = sqlx::query("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1")
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed)?;
    let (audit_sequence, audit_hash) = match last {
        None => (0, Hash::GENESIS),
        Some(row) => {
            let hash: String = row.try_get("hash").map_err(failed)?;
            let hash = Hash::parse(&hash).ok_or_else(|| StoreError::Corrupt("audit head".to_owned()))?;
            (row.try_get("sequence").map_err(failed)?, hash)
        }
    };
    Ok(Position { sequence: sequence.unwrap_or(0), audit_sequence, audit_hash })
}

/// Runs one group; returns how to answer its members and the changes that were committed.
async fn group(
    connection: &mut AnyConnection,
    position: &mut Position,
    first: Job,
    jobs: &mut mpsc::Receiver<Job>,
) -> (Vec<Box<dyn FnOnce() + Send>>, Vec<Change>) {
    let before = *position;
    let mut settles: Vec<Settle> = Vec::new();
    let mut made = Vec::new();
    let mut begun = execute(connection, "BEGIN IMMEDIATE").await;
    let mut next = Some(first);
    while let Some(Job(work)) = next {
        match &begun {
            Ok(()) => match run(connection, *position, work).await {
                Ok((after, mut changes, settle)) => {
                    *position = after;
                    made.append(&mut changes);
                    settles.push(settle);
                }
                Err((error, settle)) => {
                    // The transaction itself is in doubt: nothing of this group may be kept.
                    begun = Err(error);
                    settles.push(settle);
                }
            },
            Err(error) => settles.push(work(Err(error.clone())).await.1),
        }
        next = if settles.len() < GROUP && begun.is_ok() { jobs.try_recv().ok() } else { None };
    }
    let fate = match begun {
        Ok(()) => execute(connection, "COMMIT").await,
        Err(error) => Err(error),
    };
    if let Err(error) = &fate {
        tracing::error!(%error, "a group of writes was not committed");
        let _ = execute(connection, "ROLLBACK").await;
        *position = before;
        made.clear();
    }
    if before.sequence / 1000 != position.sequence / 1000 {
        let _ = sqlx::query("DELETE FROM change WHERE sequence <= $1")
            .bind(position.sequence - FEED)
            .execute(&mut *connection)
            .await;
    }
    let settled = settles.into_iter().map(|settle| {
        let fate = fate.clone();
        Box::new(move || settle(fate)) as Box<dyn FnOnce() + Send>
    });
    (settled.collect(), made)
}

type Ran = Result<(Position, Vec<Change>, Settle), (StoreError, Settle)>;

async fn run(connection: &mut AnyConnection, position: Position, work: Work) -> Ran {
    if let Err(error) = execute(connection, "SAVEPOINT one").await {
        let settle = work(Err(error.clone())).await.1;
        return Err((error, settle));
    }
    let mut tx = WriteTransaction { connection, position, changes: Vec::new(), now: now() };
    let (keep, settle) = work(Ok(&mut tx)).await;
    let (after, changes) = (tx.position, std::mem::take(&mut tx.changes));
    let statements: &[&'static str] =
        if keep { &["RELEASE one"] } else { &["ROLLBACK TO one", "RELEASE one"] };
    for statement in statements {
        if let Err(error) = execute(connection, statement).await {
            return Err((error, settle));
        }
    }
    Ok(if keep { (after, changes, settle) } else { (position, Vec::new(), settle) })
}

/// Milliseconds are what the database keeps; finer instants would not read back equal.
fn now() -> OffsetDateTime {
    crate::rows::from_ms(crate::rows::to_ms(OffsetDateTime::now_utc()))
}

async fn execute(connection: &mut AnyConnection, statement: &'static str) -> Result<(), StoreError> {
    sqlx::query(statement).execute(connection).await.map(|_| ()).map_err(failed)
}
