//! The two kinds of transactions: a reader's snapshot and one write inside the writer's group.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use async_trait::async_trait;
use sekisho_arm::{AuditEntry, Document, Event, Listing, Logged, Read, Resource, Scope, StoreError, Write};
use sekisho_audit::tree::{Node, leaf_hash};
use sekisho_audit::{Hash, Leaf};
use serde_json::Value;
use sqlx::{Any, AnyConnection, AnyPool, Row, Transaction};
use time::OffsetDateTime;

use crate::engine::Database;
use crate::events::{self, HotEvent};
use crate::feed::{Change, Verb};
use crate::log;
use crate::manifest::{self, Segment};
use crate::rows::{self, INSERTED, failed, insertion, interval, to_ms};
use crate::writer::Position;

/// One consistent state of the database, from the first read until it is dropped.
pub struct ReadTransaction {
    pub(crate) tx: Transaction<'static, Any>,
    now: OffsetDateTime,
}

impl ReadTransaction {
    pub(crate) async fn begin(database: &Database, pool: &AnyPool) -> Result<Self, StoreError> {
        Ok(Self { tx: database.begin_read(pool).await?, now: OffsetDateTime::now_utc() })
    }

    /// Shows `each` every hot event that happened within `at`, of one machine or of all, in no certain order.
    ///
    /// # Errors
    /// When the database does not answer or a row cannot be read.
    pub async fn each_hot_event(
        &mut self,
        machine: Option<&str>,
        at: RangeInclusive<OffsetDateTime>,
        each: impl FnMut(HotEvent) + Send,
    ) -> Result<(), StoreError> {
        events::each(&mut self.tx, machine, at, each).await
    }

    /// The hot events that arrived after the number `after`, in the order of their arrival, at most `limit`.
    ///
    /// # Errors
    /// As [`ReadTransaction::each_hot_event`].
    pub async fn hot_events(&mut self, after: i64, limit: i64) -> Result<Vec<HotEvent>, StoreError> {
        events::arrived(&mut self.tx, after, limit).await
    }

    /// How many hot events there are.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_hot_events(&mut self) -> Result<i64, StoreError> {
        events::count(&mut self.tx).await
    }

    /// How many documents of a kind there are.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_documents(&mut self, kind: &str) -> Result<usize, StoreError> {
        rows::count_documents(&mut self.tx, kind).await
    }

    /// All segments of the manifest by stream and day.
    ///
    /// # Errors
    /// As [`ReadTransaction::each_hot_event`].
    pub async fn segments(&mut self) -> Result<Vec<Segment>, StoreError> {
        manifest::segments(&mut self.tx).await
    }
}

#[async_trait]
impl Read for ReadTransaction {
    async fn get(&mut self, id: &Scope) -> Result<Option<Resource>, StoreError> {
        rows::get(&mut self.tx, id).await
    }
    async fn list(&mut self, listing: &Listing) -> Result<Vec<Resource>, StoreError> {
        rows::list(&mut self.tx, listing).await
    }
    async fn document(&mut self, kind: &str, key: &str) -> Result<Option<Document>, StoreError> {
        rows::document(&mut self.tx, kind, key).await
    }
    async fn documents(&mut self, kind: &str) -> Result<Vec<Document>, StoreError> {
        rows::documents(&mut self.tx, kind).await
    }
    async fn documents_between(
        &mut self,
        kind: &str,
        first: &str,
        last: &str,
    ) -> Result<Vec<Document>, StoreError> {
        rows::documents_between(&mut self.tx, kind, first, last).await
    }
    async fn last_event(&mut self, machine: &str, stream: &str, epoch: &str) -> Result<i64, StoreError> {
        events::head(&mut self.tx, (machine, stream, epoch)).await
    }
    fn now(&self) -> OffsetDateTime {
        self.now
    }
}

/// One write. `position` is where the feed and the audit log stand; the writer puts it back when the write fails.
pub(crate) struct WriteTransaction<'c> {
    pub(crate) connection: &'c mut AnyConnection,
    pub(crate) position: Position,
    pub(crate) made: Made,
    pub(crate) now: OffsetDateTime,
}

/// What a write, or a group of them, adds to the feed and to the log. Nothing reads it before it is committed, so that
/// the writer inserts all of a group at once.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) changes: Vec<Change>,
    pub(crate) entries: Vec<log::Written>,
    /// Nodes of the log's tree that are completed.
    pub(crate) nodes: Vec<(Node, Hash)>,
}

impl Made {
    pub(crate) fn extend(&mut self, later: Made) {
        self.changes.extend(later.changes);
        self.entries.extend(later.entries);
        self.nodes.extend(later.nodes);
    }

    pub(crate) async fn insert(&self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        let now = to_ms(OffsetDateTime::now_utc());
        for chunk in self.changes.chunks(INSERTED) {
            let columns = ["sequence", "kind", "key", "verb", "etag", "at_ms"];
            let mut query = insertion("change", &columns, chunk.len());
            for change in chunk {
                query = query
                    .bind(change.sequence)
                    .bind(change.kind.clone())
                    .bind(change.key.clone())
                    .bind(change.verb.word())
                    .bind(change.etag.clone())
                    .bind(now);
            }
            query.execute(&mut *connection).await.map_err(failed)?;
        }
        log::insert(connection, &self.entries).await?;
        log::insert_nodes(connection, &self.nodes).await
    }
}

impl<'c> WriteTransaction<'c> {
    /// A write that begins now. Milliseconds are what the database keeps; finer instants would not read back equal.
    pub(crate) fn new(connection: &'c mut AnyConnection, position: Position) -> Self {
        let now = rows::from_ms(to_ms(OffsetDateTime::now_utc()));
        Self { connection, position, made: Made::default(), now }
    }

    fn changed(&mut self, kind: String, key: String, verb: Verb, etag: String) -> i64 {
        self.position.sequence += 1;
        self.made.changes.push(Change { sequence: self.position.sequence, kind, key, verb, etag });
        self.position.sequence
    }
}

#[async_trait]
impl Read for WriteTransaction<'_> {
    async fn get(&mut self, id: &Scope) -> Result<Option<Resource>, StoreError> {
        rows::get(self.connection, id).await
    }
    async fn list(&mut self, listing: &Listing) -> Result<Vec<Resource>, StoreError> {
        rows::list(self.connection, listing).await
    }
    async fn document(&mut self, kind: &str, key: &str) -> Result<Option<Document>, StoreError> {
        rows::document(self.connection, kind, key).await
    }
    async fn documents(&mut self, kind: &str) -> Result<Vec<Document>, StoreError> {
        rows::documents(self.connection, kind).await
    }
    async fn documents_between(
        &mut self,
        kind: &str,
        first: &str,
        last: &str,
    ) -> Result<Vec<Document>, StoreError> {
        rows::documents_between(self.connection, kind, first, last).await
    }
    async fn last_event(&mut self, machine: &str, stream: &str, epoch: &str) -> Result<i64, StoreError> {
        events::head(self.connection, (machine, stream, epoch)).await
    }
    fn now(&self) -> OffsetDateTime {
        self.now
    }
}

#[async_trait]
impl Write for WriteTransaction<'_> {
    async fn put(&mut self, mut resource: Resource) -> Result<Resource, StoreError> {
        if resource.etag.is_empty() {
            resource.etag = format!("W/\"{}\"", uuid::Uuid::new_v4());
        }
        let (key, type_key) = (resource.id.key(), resource.type_name.key());
        let etag = resource.etag.clone();
        resource.sequence = self.changed(type_key.clone(), key.clone(), Verb::Put, etag);
        resource.changed_at = self.now;
        let json = |value: &serde_json::Map<String, Value>| Value::Object(value.clone()).to_string();
        sqlx::query(
            "INSERT INTO resource (key, id, type_key, type_name, location, tags, etag, sequence, created_ms, changed_ms, body)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT (key) DO UPDATE SET id = excluded.id, location = excluded.location, tags = excluded.tags,
                etag = excluded.etag, sequence = excluded.sequence, changed_ms = excluded.changed_ms, body = excluded.body",
        )
        .bind(key)
        .bind(resource.id.to_string())
        .bind(type_key)
        .bind(resource.type_name.to_string())
        .bind(resource.location.clone())
        .bind(resource.tags.as_ref().map(json))
        .bind(resource.etag.clone())
        .bind(resource.sequence)
        .bind(to_ms(resource.created_at))
        .bind(to_ms(resource.changed_at))
        .bind(json(&resource.rest))
        .execute(&mut *self.connection)
        .await
        .map_err(failed)?;
        Ok(resource)
    }

    async fn remove(&mut self, id: &Scope) -> Result<Vec<Scope>, StoreError> {
        let (low, high) = interval(id);
        let rows = sqlx::query("SELECT id, type_key, key FROM resource WHERE key = $1 OR (key > $2 AND key < $3) ORDER BY key DESC")
            .bind(id.key())
            .bind(low)
            .bind(high)
            .fetch_all(&mut *self.connection)
            .await
            .map_err(failed)?;
        let mut removed = Vec::with_capacity(rows.len());
        for row in rows {
            let text: String = row.try_get("id").map_err(failed)?;
            let key: String = row.try_get("key").map_err(failed)?;
            let kind: String = row.try_get("type_key").map_err(failed)?;
            sqlx::query("DELETE FROM resource WHERE key = $1")
                .bind(key.clone())
                .execute(&mut *self.connection)
                .await
                .map_err(failed)?;
            self.changed(kind, key, Verb::Delete, String::new());
            removed.push(Scope::parse(&text).map_err(|e| StoreError::Corrupt(format!("{text}: {e}")))?);
        }
        Ok(removed)
    }

    async fn put_document(&mut self, kind: &str, key: &str, body: Value) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO document (kind, key, body, changed_ms) VALUES ($1, $2, $3, $4)
             ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body, changed_ms = excluded.changed_ms",
        )
        .bind(kind.to_owned())
        .bind(key.to_owned())
        .bind(body.to_string())
        .bind(to_ms(self.now))
        .execute(&mut *self.connection)
        .await
        .map_err(failed)?;
        self.changed(kind.to_owned(), key.to_owned(), Verb::Put, String::new());
        Ok(())
    }

    async fn remove_document(&mut self, kind: &str, key: &str) -> Result<bool, StoreError> {
        if rows::cannot_be_kept(key) {
            return Ok(false);
        }
        let done = sqlx::query("DELETE FROM document WHERE kind = $1 AND key = $2")
            .bind(kind.to_owned())
            .bind(key.to_owned())
            .execute(&mut *self.connection)
            .await
            .map_err(failed)?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        self.changed(kind.to_owned(), key.to_owned(), Verb::Delete, String::new());
        Ok(true)
    }

    async fn append_events(&mut self, events: Vec<Event>) -> Result<(), StoreError> {
        events::raise_heads(self.connection, &events).await?;
        let mut machines = BTreeMap::<String, Vec<Event>>::new();
        for event in events {
            machines.entry(event.machine.clone()).or_default().push(event);
        }
        for (machine, events) in machines {
            for batch in events.chunks(events::BATCH) {
                let place = self.changed("event".to_owned(), machine.clone(), Verb::Put, String::new());
                events::insert(self.connection, place, self.now, batch).await?;
            }
        }
        Ok(())
    }

    async fn audit(&mut self, entry: AuditEntry) -> Result<Logged, StoreError> {
        let sequence = i64::try_from(self.position.log.size() + 1).unwrap_or(i64::MAX);
        let leaf = Leaf { sequence, at: self.now, entry };
        let bytes = leaf.bytes().map_err(|e| StoreError::Corrupt(e.to_string()))?;
        let hash = leaf_hash(&bytes);
        let text = String::from_utf8(bytes).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        let (at_ms, kept) = (to_ms(leaf.at), text.clone());
        self.made.entries.push(log::Written { sequence, hash, leaf: kept, at_ms });
        self.made.nodes.extend(self.position.log.append(hash));
        self.position.last = Some(hash);
        self.changed("audit".to_owned(), sequence.to_string(), Verb::Put, String::new());
        Ok(Logged { sequence, leaf: text })
    }

    fn as_read(&mut self) -> &mut dyn Read {
        self
    }
}
