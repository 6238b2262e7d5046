//! The change feed: what was committed, by this server or by another one on the same database, told in order to
//! everybody who follows.
//!
//! The writer hands over what it has just committed. Where the numbers show that another server committed in between,
//! and when PostgreSQL says so, what is missing is read from the database: a follower sees every change once, in the
//! order of the feed, or is told that it missed some.

use std::sync::Arc;
use std::time::Duration;

use sekisho_arm::StoreError;
use sqlx::AnyPool;
use sqlx::postgres::PgListener;
use tokio::sync::{Mutex, broadcast};

use crate::engine::{CHANNEL, Database, Engine};
use crate::rows;

/// Batches that a slow follower may lag behind before it is told that it missed some.
const BEHIND: usize = 1024;
/// Changes read at once when catching up.
const PAGE: i64 = 1000;
/// The database is asked at least this often, should a notification have been lost.
const POLL: Duration = Duration::from_secs(5);

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

/// What a follower is told.
#[derive(Debug, Clone)]
pub enum News {
    /// These were committed.
    Changes(Arc<Vec<Change>>),
    /// More was committed than was kept for this follower: it must read everything again.
    Missed,
}

/// One follower of the feed.
#[derive(Debug)]
pub struct Feed(broadcast::Receiver<News>);

impl Feed {
    /// Waits for what comes next; `None` when the store is gone.
    pub async fn next(&mut self) -> Option<News> {
        match self.0.recv().await {
            Ok(news) => Some(news),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(News::Missed),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// What has come already; `None` when there is nothing.
    pub fn ready(&mut self) -> Option<News> {
        match self.0.try_recv() {
            Ok(news) => Some(news),
            Err(broadcast::error::TryRecvError::Lagged(_)) => Some(News::Missed),
            Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => None,
        }
    }
}

/// The side of the feed that tells.
pub(crate) struct Publisher {
    sender: broadcast::Sender<News>,
    readers: AnyPool,
    /// The last change that was told.
    told: Mutex<i64>,
}

impl Publisher {
    pub(crate) fn new(readers: AnyPool, told: i64) -> Publisher {
        Publisher { sender: broadcast::channel(BEHIND).0, readers, told: Mutex::new(told) }
    }

    pub(crate) fn follow(&self) -> Feed {
        Feed(self.sender.subscribe())
    }

    /// Tells what this server has just committed; `made` is not empty and without gaps.
    pub(crate) async fn committed(&self, made: Vec<Change>) {
        let (Some(first), Some(last)) = (made.first().map(|c| c.sequence), made.last().map(|c| c.sequence))
        else {
            return;
        };
        let mut told = self.told.lock().await;
        if first == *told + 1 {
            *told = last;
            // Nobody following is not an error.
            let _ = self.sender.send(News::Changes(Arc::new(made)));
        } else if last > *told {
            self.catch_up(&mut told).await;
        }
    }

    async fn catch_up(&self, told: &mut i64) {
        loop {
            match rows::changes_after(&self.readers, *told, PAGE).await {
                Ok(Some(page)) => {
                    let Some(last) = page.last().map(|c| c.sequence) else { return };
                    *told = last;
                    let _ = self.sender.send(News::Changes(Arc::new(page)));
                }
                Ok(None) => {
                    let _ = self.sender.send(News::Missed);
                    match rows::newest_change(&self.readers).await {
                        Ok(newest) => *told = newest,
                        Err(error) => return tracing::warn!(%error, "the change feed could not be read"),
                    }
                }
                Err(error) => return tracing::warn!(%error, "the change feed could not be read"),
            }
        }
    }
}

/// Follows what other servers commit, for as long as the store is open. SQLite belongs to one server and has none.
pub(crate) fn follow_others(database: &Database, publisher: &Arc<Publisher>) {
    if database.engine == Engine::Sqlite {
        return;
    }
    let (url, publisher) = (database.url.clone(), Arc::downgrade(publisher));
    tokio::spawn(async move {
        let mut listener = None;
        while let Some(publisher) = publisher.upgrade() {
            publisher.catch_up(&mut *publisher.told.lock().await).await;
            drop(publisher);
            if listener.is_none() {
                listener = listen(&url)
                    .await
                    .inspect_err(|error| tracing::warn!(%error, "other servers cannot be heard; polling"))
                    .ok();
            }
            let heard = async {
                match &mut listener {
                    Some(listener) => listener.try_recv().await.is_ok_and(|n| n.is_some()),
                    None => std::future::pending().await,
                }
            };
            if let Ok(false) = tokio::time::timeout(POLL, heard).await {
                // What was said while it was not listening is caught up with at once.
                listener = None;
            }
        }
    });
}

async fn listen(url: &str) -> Result<PgListener, StoreError> {
    let mut listener = PgListener::connect(url).await.map_err(rows::failed)?;
    listener.listen(CHANNEL).await.map_err(rows::failed)?;
    Ok(listener)
}
