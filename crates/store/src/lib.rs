//! The database behind the [`Read`](sekisho_arm::Read) and [`Write`](sekisho_arm::Write) traits: SQLite in WAL mode,
//! one writer task with group commit, any number of readers.
//!
//! A write is a closure sent to the writer. It runs inside a savepoint of the transaction that all waiting writes
//! share; resources, documents, change-feed rows and audit entries become durable with one `COMMIT`, and only then is
//! the caller answered and the feed told. A closure that fails leaves nothing behind and does not disturb its
//! neighbours.
//!
//! This crate must never know a resource type, answer a write before it is durable, or hand out a connection.

mod rows;
mod schema;
mod transaction;
mod writer;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sekisho_arm::{StoreError, Write};
use sekisho_audit::{Hash, Leaf};
use sqlx::AnyPool;
use sqlx::any::AnyPoolOptions;
use tokio::sync::{broadcast, mpsc};

pub use transaction::ReadTransaction;
pub use writer::{Change, Verb};

/// Read connections.
const READERS: u32 = 4;
/// Writes that may wait; beyond that callers wait for a place, which is the back-pressure.
const QUEUE: usize = 1024;

/// A handle to the database; clones share it.
#[derive(Clone)]
pub struct Store {
    readers: AnyPool,
    writer: mpsc::Sender<writer::Job>,
    changes: broadcast::Sender<Arc<Vec<Change>>>,
}

/// One recorded entry of the audit log.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The entry.
    pub leaf: Leaf,
    /// The exact bytes that were hashed.
    pub bytes: Vec<u8>,
    /// Its hash.
    pub hash: Hash,
}

impl Store {
    /// Opens the database at `url` (`sqlite:///path`), making it and bringing its schema up to date.
    ///
    /// # Errors
    /// When it cannot be opened or holds something newer than this version.
    pub async fn open(url: &str) -> Result<Store, StoreError> {
        sqlx::any::install_default_drivers();
        let separator = if url.contains('?') { '&' } else { '?' };
        let write_url = format!("{url}{separator}mode=rwc");
        let connection = schema::open_writer(&write_url).await?;
        let readers = AnyPoolOptions::new()
            .max_connections(READERS)
            .after_connect(|connection, _| Box::pin(async move { schema::tune(connection).await }))
            .connect(url)
            .await
            .map_err(rows::failed)?;
        let (changes, _) = broadcast::channel(1024);
        let (writer, jobs) = mpsc::channel(QUEUE);
        writer::spawn(connection, jobs, changes.clone()).await?;
        Ok(Store { readers, writer, changes })
    }

    /// Begins reading one consistent state.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn read(&self) -> Result<ReadTransaction, StoreError> {
        ReadTransaction::begin(&self.readers).await
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
        let (job, answer) = writer::Job::new(work);
        let gone = || StoreError::Unavailable("the writer has stopped".to_owned());
        self.writer.send(job).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Follows committed changes. A receiver that lags is told so and must read everything again.
    pub fn changes(&self) -> broadcast::Receiver<Arc<Vec<Change>>> {
        self.changes.subscribe()
    }

    /// The changes after `sequence`, oldest first, at most `limit`; `None` when they are no longer all kept.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn changes_after(&self, sequence: i64, limit: i64) -> Result<Option<Vec<Change>>, StoreError> {
        rows::changes_after(&self.readers, sequence, limit).await
    }

    /// Audit entries from `from` downward (newest first), at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer or an entry cannot be read.
    pub async fn audit_page(&self, from: i64, limit: i64) -> Result<Vec<Recorded>, StoreError> {
        rows::audit_page(&self.readers, from, limit).await
    }

    /// Checks the whole audit chain; returns the number of entries and the head.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] naming the first entry that does not fit.
    pub async fn audit_verify(&self) -> Result<(i64, Hash), StoreError> {
        let (mut at, mut hash) = (0, Hash::GENESIS);
        loop {
            let mut page = rows::audit_after(&self.readers, at, 1000).await?;
            if page.is_empty() {
                return Ok((at, hash));
            }
            let entries = page.iter_mut().map(|(s, b, h)| (*s, b.as_slice(), *h));
            (at, hash) =
                sekisho_audit::verify((at, hash), entries).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        }
    }
}
