//! The one writer: it gathers waiting writes into a group, runs each in a savepoint, commits once, then answers.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sekisho_arm::StoreError;
use sekisho_audit::{Frontier, Hash};
use sqlx::{AnyConnection, Row};
use tokio::sync::{mpsc, oneshot};

use crate::engine::Database;
use crate::feed::Publisher;
use crate::log;
use crate::rows::failed;
use crate::standing::Tally;
use crate::transaction::{Made, WriteTransaction};

/// Most writes that share one commit.
const GROUP: usize = 256;
/// Change-feed rows kept; older ones are dropped, and a follower that far behind reads everything again.
const FEED: i64 = 100_000;

/// Where the change feed and the audit log stand.
#[derive(Debug, Clone)]
pub(crate) struct Position {
    pub(crate) sequence: i64,
    pub(crate) log: Frontier,
    /// The hash of the last entry, by which it is known whether somebody else has written.
    pub(crate) last: Option<Hash>,
}

/// Called with the fate of the commit; hands the answer to the caller.
type Settle = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// A transaction, or the reason why there is none.
type Begun<'t, 'c> = Result<&'t mut WriteTransaction<'c>, StoreError>;
type Work = Box<dyn for<'t, 'c> FnOnce(Begun<'t, 'c>) -> BoxFuture<'t, (bool, Settle)> + Send>;

/// A write that waits for its turn.
pub(crate) struct Job(Work);

impl Job {
    pub(crate) fn new<T, E, F>(work: F) -> (Job, oneshot::Receiver<Result<T, E>>)
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t, 'c> FnOnce(&'t mut WriteTransaction<'c>) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
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

/// The writer's own connection, opened again after every failure: what a failed transaction left behind, a full disk or
/// a database that restarted, ends with the connection.
struct Writer {
    database: Database,
    connection: Option<AnyConnection>,
    /// Where its last commit ended.
    position: Position,
    publisher: Arc<Publisher>,
    tally: Arc<Mutex<Tally>>,
}

/// Runs the writer until the last handle of the store is gone.
pub(crate) fn spawn(
    database: Database,
    (connection, position): (AnyConnection, Position),
    publisher: Arc<Publisher>,
    tally: Arc<Mutex<Tally>>,
    mut jobs: mpsc::Receiver<Job>,
) {
    let mut writer = Writer { database, connection: Some(connection), position, publisher, tally };
    tokio::spawn(async move {
        while let Some(first) = jobs.recv().await {
            writer.group(first, &mut jobs).await;
        }
    });
}

/// Reads where the feed and the log stand. `known` is where they stood once: what is still so needs no reading.
pub(crate) async fn position(
    connection: &mut AnyConnection,
    known: Option<&Position>,
) -> Result<Position, StoreError> {
    let row = sqlx::query("SELECT MAX(sequence) AS sequence FROM change")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    let sequence: Option<i64> = row.try_get("sequence").map_err(failed)?;
    let sequence = sequence.unwrap_or(0);
    let last = log::last(connection).await?;
    let size = last.and_then(|(sequence, _)| u64::try_from(sequence).ok()).unwrap_or(0);
    let last = last.map(|(_, hash)| hash);
    let log = match known {
        Some(known) if known.log.size() == size && known.last == last => known.log.clone(),
        _ => log::frontier(connection, size).await?,
    };
    Ok(Position { sequence, log, last })
}

impl Writer {
    /// Opens the connection if need be and begins; only now, with everybody else locked out, is the position certain.
    async fn begin(&mut self) -> Result<(AnyConnection, Position), StoreError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.database.connect().await?,
        };
        self.database.begin_write(&mut connection).await?;
        let position = position(&mut connection, Some(&self.position)).await?;
        Ok((connection, position))
    }

    fn count(&self, writes: usize, kept: bool, began: Instant) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.add(writes, kept, began.elapsed());
    }

    /// Runs one group, commits it, tells the feed and answers the callers.
    async fn group(&mut self, first: Job, jobs: &mut mpsc::Receiver<Job>) {
        let began = Instant::now();
        // A connection that the database closed while nobody wrote is found out here; a fresh one may do.
        let begun = match self.begin().await {
            Ok(begun) => Ok(begun),
            Err(_) => self.begin().await,
        };
        let (mut connection, before) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                tracing::error!(%error, "the database takes no writes");
                self.count(1, false, began);
                let Job(work) = first;
                work(Err(error.clone())).await.1(Err(error));
                return;
            }
        };
        let (mut position, mut settles, mut made) = (before.clone(), Vec::<Settle>::new(), Made::default());
        let mut fate = Ok(());
        let mut next = Some(first);
        while let Some(Job(work)) = next {
            match run(&mut connection, &position, work).await {
                Ok((kept, settle)) => {
                    if let Some((after, own)) = kept {
                        position = after;
                        made.extend(own);
                    }
                    settles.push(settle);
                }
                Err((error, settle)) => {
                    // The transaction itself is in doubt: nothing of this group may be kept.
                    fate = Err(error);
                    settles.push(settle);
                }
            }
            next = if settles.len() < GROUP && fate.is_ok() { jobs.try_recv().ok() } else { None };
        }
        if fate.is_ok() {
            fate = finish(&self.database, &mut connection, (before.sequence, position.sequence), &made).await;
        }
        match &fate {
            Ok(()) => {
                self.connection = Some(connection);
                self.position = position;
                self.publisher.committed(made.changes).await;
            }
            Err(error) => {
                tracing::error!(%error, "a group of writes was not committed");
                let _ = execute(&mut connection, "ROLLBACK").await;
            }
        }
        self.count(settles.len(), fate.is_ok(), began);
        for settle in settles {
            settle(fate.clone());
        }
    }
}

/// Ends a group: keeps what it adds to the feed and to the log, drops what the feed no longer keeps, wakes other servers, commits.
async fn finish(
    database: &Database,
    connection: &mut AnyConnection,
    (before, after): (i64, i64),
    made: &Made,
) -> Result<(), StoreError> {
    made.insert(connection).await?;
    if before / 1000 != after / 1000 {
        sqlx::query("DELETE FROM change WHERE sequence <= $1")
            .bind(after - FEED)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
    }
    if before != after {
        database.wake_others(connection).await?;
    }
    execute(connection, "COMMIT").await
}

/// A write that is kept, if it is, and its answer; or that the transaction itself is in doubt.
type Ran = Result<(Option<(Position, Made)>, Settle), (StoreError, Settle)>;

async fn run(connection: &mut AnyConnection, position: &Position, work: Work) -> Ran {
    if let Err(error) = execute(connection, "SAVEPOINT one").await {
        let settle = work(Err(error.clone())).await.1;
        return Err((error, settle));
    }
    let mut tx = WriteTransaction::new(connection, position.clone());
    let (keep, settle) = work(Ok(&mut tx)).await;
    let WriteTransaction { position, made, .. } = tx;
    let statements: &[&'static str] =
        if keep { &["RELEASE one"] } else { &["ROLLBACK TO one", "RELEASE one"] };
    for statement in statements {
        if let Err(error) = execute(connection, statement).await {
            return Err((error, settle));
        }
    }
    Ok((keep.then_some((position, made)), settle))
}

async fn execute(connection: &mut AnyConnection, statement: &'static str) -> Result<(), StoreError> {
    sqlx::query(statement).execute(connection).await.map(|_| ()).map_err(failed)
}
