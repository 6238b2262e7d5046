//! The database behind the [`Read`](sekisho_arm::Read) and [`Write`](sekisho_arm::Write) traits: SQLite in WAL mode or
//! PostgreSQL, one writer task with group commit, any number of readers.
//!
//! A write is a closure sent to the writer. It runs inside a savepoint of the transaction that all waiting writes
//! share; resources, documents, change-feed rows and audit entries become durable with one `COMMIT`, and only then is
//! the caller answered and the feed told. A closure that fails leaves nothing behind and does not disturb its
//! neighbours. On PostgreSQL several servers may share a database: their writers take turns, and each hears in its feed
//! what the others committed.
//!
//! This crate must never know a resource type, answer a write before it is durable, or hand out a connection.

mod archive;
mod engine;
mod events;
mod feed;
mod log;
mod manifest;
mod rows;
mod schema;
mod standing;
mod transaction;
mod writer;

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use sekisho_arm::{StoreError, Write};
use sekisho_audit::{Hash, Leaf};
use sqlx::AnyPool;
use tokio::sync::mpsc;

pub use archive::{Record, copy, load, records};
use engine::Database;
pub use events::HotEvent;
pub use feed::{Change, Feed, News, Verb};
pub use log::Entry;
pub use manifest::{DAY, Hot, Segment, Swap};
pub use rows::{from_ms, to_ms};
pub use schema::Versions;
pub use standing::{Examined, Standing, Tally, examine};
pub use transaction::ReadTransaction;
use transaction::WriteTransaction;

/// Writes that may wait; beyond that callers wait for a place, which is the back-pressure.
const QUEUE: usize = 1024;

/// A handle to the database; clones share it.
#[derive(Clone)]
pub struct Store {
    database: Database,
    readers: AnyPool,
    writer: mpsc::Sender<writer::Job>,
    publisher: Arc<feed::Publisher>,
    tally: Arc<Mutex<Tally>>,
}

/// One whole entry of the audit log.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The entry.
    pub leaf: Leaf,
    /// Its hash.
    pub hash: Hash,
}

impl Store {
    /// Opens the database at `url` (`sqlite:///path` or `postgres://user@host/database`), making its tables when it is
    /// empty.
    ///
    /// # Errors
    /// When it cannot be opened, or holds something older ([`migrate`] first) or newer than this version.
    pub async fn open(url: &str) -> Result<Store, StoreError> {
        let database = Database::parse(url)?;
        let mut connection = database.connect().await?;
        let versions = schema::versions(&mut connection).await?;
        if versions.outdated() {
            return Err(StoreError::Corrupt(format!(
                "it was written by an older version (schema {}, this program knows {}); 'sekisho db migrate' brings \
                 it up to date",
                versions.found, versions.known
            )));
        }
        if versions.found == 0 {
            schema::migrate(&database, &mut connection).await?;
        }
        let readers = database.readers()?;
        let position = writer::position(&mut connection, None).await?;
        let publisher = Arc::new(feed::Publisher::new(readers.clone(), position.sequence));
        let (writer, jobs) = mpsc::channel(QUEUE);
        let tally = Arc::<Mutex<Tally>>::default();
        writer::spawn(database.clone(), (connection, position), publisher.clone(), tally.clone(), jobs);
        feed::follow_others(&database, &publisher);
        Ok(Store { database, readers, writer, publisher, tally })
    }

    /// The same store with connections for reading of its own: for whoever reads while somebody who waits for it has a
    /// read transaction open. Out of one pool, enough of them would wait for each other.
    ///
    /// # Errors
    /// When the database's URL cannot be read.
    pub fn with_own_readers(&self) -> Result<Store, StoreError> {
        Ok(Store { readers: self.database.readers()?, ..self.clone() })
    }

    /// Begins reading one consistent state.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn read(&self) -> Result<ReadTransaction, StoreError> {
        ReadTransaction::begin(&self.database, &self.readers).await
    }

    /// Runs `work` as one transaction and answers when it is durable. An `Err` of `work` undoes all it did.
    ///
    /// # Errors
    /// The error of `work`, or a [`StoreError`] when the commit failed.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> FnOnce(&'t mut dyn Write) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    {
        self.run(move |tx| work(tx)).await
    }

    async fn run<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t, 'c> FnOnce(&'t mut WriteTransaction<'c>) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    {
        let (job, answer) = writer::Job::new(work);
        let gone = || StoreError::Unavailable("the writer has stopped".to_owned());
        self.writer.send(job).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// How full the queue of writes is, from 0 to 1.
    pub fn pressure(&self) -> f64 {
        1.0 - self.writer.capacity() as f64 / QUEUE as f64
    }

    /// What the writer has done since the start.
    pub fn tally(&self) -> Tally {
        *self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much there is of everything; of documents, those of one kind.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn standing(&self, kind: &str) -> Result<Standing, StoreError> {
        standing::read(&self.database, &self.readers, kind).await
    }

    /// Puts segments into the manifest in place of hot events or of other segments, in one transaction. False, and
    /// nothing has changed, when not exactly what was to be replaced is there any more: somebody else was faster.
    ///
    /// # Errors
    /// When the commit failed.
    pub async fn swap(&self, swap: Swap) -> Result<bool, StoreError> {
        let done =
            self.run(move |tx| Box::pin(async move { manifest::swap(tx.connection, &swap).await })).await;
        match done {
            Ok(()) => Ok(true),
            Err(manifest::Refused::Gone) => Ok(false),
            Err(manifest::Refused::Store(error)) => Err(error),
        }
    }

    /// Follows committed changes from here on.
    pub fn changes(&self) -> Feed {
        self.publisher.follow()
    }

    /// The changes after `sequence`, oldest first, at most `limit`; `None` when they are no longer all kept.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn changes_after(&self, sequence: i64, limit: i64) -> Result<Option<Vec<Change>>, StoreError> {
        rows::changes_after(&self.readers, sequence, limit).await
    }

    /// Audit entries from `from` downward (newest first), at most `limit`, as far as they are kept whole.
    ///
    /// # Errors
    /// When the database does not answer or an entry cannot be read.
    pub async fn audit_page(&self, from: i64, limit: i64) -> Result<Vec<Recorded>, StoreError> {
        log::page(&self.readers, from, limit).await
    }
}

/// The schema versions of the database at `url` and of this program.
///
/// # Errors
/// When it cannot be opened or is newer than this program.
pub async fn versions(url: &str) -> Result<Versions, StoreError> {
    schema::versions(&mut Database::parse(url)?.connect().await?).await
}

/// Brings the schema of the database at `url` up to date, in one transaction; returns the versions before.
///
/// # Errors
/// When it cannot be opened, is newer than this program or a step failed; nothing has changed then.
pub async fn migrate(url: &str) -> Result<Versions, StoreError> {
    let database = Database::parse(url)?;
    schema::migrate(&database, &mut database.connect().await?).await
}
