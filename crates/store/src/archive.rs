//! The whole database as records and back: for backups, and for moving from SQLite to PostgreSQL.
//!
//! Records are the same whichever engine they come from. They are read in one snapshot and written in one transaction
//! into a database that must be empty, so that a copy is whole or is not there. The nodes of the audit log's tree are no
//! records: they are made anew from its entries.

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use sekisho_arm::{AuditEntry, StoreError, Write as _};
use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};
use tokio::sync::mpsc;

use crate::engine::Database;
use crate::log::{self, Hashed};
use crate::rows::failed;
use crate::schema::{self, TREE_SINCE};
use crate::transaction::WriteTransaction;
use crate::writer;

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
}
use Kind::{Number, Text};

struct Table {
    name: &'static str,
    /// The schema version that brought it.
    since: i64,
    columns: &'static [(&'static str, Kind)],
    /// Columns that a later version brought, and which one.
    later: &'static [(i64, &'static str, Kind)],
}

/// Every table, in the order in which it is read and written; the first columns are its key.
const TABLES: &[Table] = &[
    Table {
        name: "resource",
        since: 1,
        columns: &[
            ("key", Text),
            ("id", Text),
            ("type_key", Text),
            ("type_name", Text),
            ("location", Text),
            ("tags", Text),
            ("etag", Text),
            ("sequence", Number),
            ("created_ms", Number),
            ("changed_ms", Number),
            ("body", Text),
        ],
        later: &[],
    },
    Table {
        name: "document",
        since: 1,
        columns: &[("kind", Text), ("key", Text), ("body", Text), ("changed_ms", Number)],
        later: &[],
    },
    Table {
        name: "change",
        since: 1,
        columns: &[
            ("sequence", Number),
            ("kind", Text),
            ("key", Text),
            ("verb", Text),
            ("etag", Text),
            ("at_ms", Number),
        ],
        later: &[],
    },
    Table {
        name: "audit",
        since: 1,
        columns: &[("sequence", Number), ("hash", Text), ("leaf", Text)],
        later: &[(TREE_SINCE, "at_ms", Number)],
    },
    Table {
        name: "event",
        since: 2,
        columns: &[
            ("arrival", Number),
            ("machine", Text),
            ("stream", Text),
            ("epoch", Text),
            ("sequence", Number),
            ("at_ms", Number),
            ("received_ms", Number),
            ("kind", Text),
            ("data", Text),
        ],
        later: &[],
    },
    Table {
        name: "event_head",
        since: 2,
        columns: &[("machine", Text), ("stream", Text), ("epoch", Text), ("sequence", Number)],
        later: &[],
    },
    Table {
        name: "segment",
        since: 2,
        columns: &[
            ("id", Text),
            ("stream", Text),
            ("day", Number),
            ("level", Number),
            ("machine_low", Text),
            ("machine_high", Text),
            ("at_low_ms", Number),
            ("at_high_ms", Number),
            ("rows", Number),
            ("bytes", Number),
            ("path", Text),
            ("digest", Text),
            ("made_ms", Number),
        ],
        later: &[(4, "tail", Number)],
    },
];

impl Table {
    fn named(name: &str) -> Result<&'static Table, StoreError> {
        let found = TABLES.iter().find(|t| t.name == name);
        found.ok_or_else(|| StoreError::Corrupt(format!("there is no table '{}'", name.escape_debug())))
    }

    /// Its columns in this version of the schema.
    fn columns(&self, version: i64) -> Vec<(&'static str, Kind)> {
        let later = self.later.iter().filter(|(since, ..)| *since <= version);
        self.columns.iter().copied().chain(later.map(|(_, name, kind)| (*name, *kind))).collect()
    }

    fn select(&self, columns: &[(&str, Kind)]) -> String {
        format!("SELECT {} FROM {}", names(columns), self.name)
    }

    fn insert(&self, columns: &[(&str, Kind)]) -> String {
        let places: Vec<String> = (1..=columns.len()).map(|n| format!("${n}")).collect();
        format!("INSERT INTO {} ({}) VALUES ({})", self.name, names(columns), places.join(", "))
    }
}

fn names(columns: &[(&str, Kind)]) -> String {
    columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// One row: the table's name and its columns as text, numbers and nulls.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Record {
    table: String,
    row: Vec<Value>,
}

impl Record {
    fn read(table: &Table, columns: &[(&str, Kind)], row: &AnyRow) -> Result<Record, StoreError> {
        let cell = |(name, kind): &(&str, Kind)| {
            Ok(match kind {
                Text => {
                    row.try_get::<Option<String>, _>(*name).map_err(failed)?.map_or(Value::Null, Value::from)
                }
                Number => {
                    row.try_get::<Option<i64>, _>(*name).map_err(failed)?.map_or(Value::Null, Value::from)
                }
            })
        };
        let row = columns.iter().map(cell).collect::<Result<_, StoreError>>()?;
        Ok(Record { table: table.name.to_owned(), row })
    }

    /// What it says of the audit log's hashes, when it is an entry.
    fn hashed(&self) -> Option<Hashed> {
        let table = TABLES.iter().find(|t| t.name == "audit" && t.name == self.table)?;
        Some(if self.row.len() > table.columns.len() { Hashed::Tree } else { Hashed::Chain })
    }

    async fn write(&self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        let table = Table::named(&self.table)?;
        let misfit = || StoreError::Corrupt(format!("a row does not fit the table '{}'", table.name));
        // One of an earlier version has fewer columns, and what it lacks has a default.
        let mut columns = table.columns(i64::MAX);
        if !(table.columns.len()..=columns.len()).contains(&self.row.len()) {
            return Err(misfit());
        }
        columns.truncate(self.row.len());
        let mut query = sqlx::query(AssertSqlSafe(table.insert(&columns)));
        for (value, (_, kind)) in self.row.iter().zip(&columns) {
            query = match (kind, value) {
                (Text, Value::String(text)) => query.bind(text.clone()),
                (Text, Value::Null) => query.bind(None::<String>),
                (Number, Value::Number(number)) => query.bind(number.as_i64().ok_or_else(misfit)?),
                _ => return Err(misfit()),
            };
        }
        query.execute(connection).await.map(|_| ()).map_err(failed)
    }
}

/// Every row of the database at `url`, as it was at one moment. The database may be in use, and may be older than this
/// program. The last item of a reading that fails is its error.
pub fn records(url: &str) -> impl Stream<Item = Result<Record, StoreError>> + Send + use<> {
    // The channel's size bounds what is held in memory.
    let (sender, mut receiver) = mpsc::channel(256);
    let url = url.to_owned();
    tokio::spawn(async move {
        if let Err(error) = send_all(&url, &sender).await {
            // A receiver that is gone needs no reason.
            let _ = sender.send(Err(error)).await;
        }
    });
    futures_util::stream::poll_fn(move |context| receiver.poll_recv(context))
}

async fn send_all(url: &str, sender: &mpsc::Sender<Result<Record, StoreError>>) -> Result<(), StoreError> {
    let versions = crate::versions(url).await?;
    let database = Database::parse(url)?;
    let mut read = database.begin_read(&database.readers()?).await?;
    for table in TABLES.iter().filter(|t| t.since <= versions.found) {
        let columns = table.columns(versions.found);
        let mut rows = sqlx::query(AssertSqlSafe(table.select(&columns))).fetch(&mut *read);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            if sender.send(Ok(Record::read(table, &columns, &row)?)).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Writes records into the empty database at `url`, in one transaction that is committed when the stream has ended
/// without an error and the audit log in it is whole; `entry` is the log's next one. Returns the number of records.
///
/// # Errors
/// Those of the stream; when the database is not empty, a record does not fit, or the log is broken. Nothing is kept
/// then.
pub async fn load<E: From<StoreError>>(
    url: &str,
    records: impl Stream<Item = Result<Record, E>>,
    entry: Option<AuditEntry>,
) -> Result<u64, E> {
    let database = Database::parse(url)?;
    let mut connection = database.connect().await?;
    schema::migrate(&database, &mut connection).await?;
    database.begin_write(&mut connection).await?;
    let loaded = match fill(&mut connection, records).await {
        Ok(count) => go_on(&mut connection, entry).await.map(|()| count).map_err(E::from),
        Err(error) => Err(error),
    };
    let end = if loaded.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = sqlx::query(end).execute(&mut connection).await.map_err(failed);
    let count = loaded?;
    ended?;
    Ok(count)
}

/// Writes the next entry of the log.
async fn go_on(connection: &mut AnyConnection, entry: Option<AuditEntry>) -> Result<(), StoreError> {
    let Some(entry) = entry else { return Ok(()) };
    let position = writer::position(connection, None).await?;
    let mut tx = WriteTransaction::new(connection, position);
    tx.audit(entry).await?;
    let made = std::mem::take(&mut tx.made);
    made.insert(connection).await
}

async fn fill<E: From<StoreError>>(
    connection: &mut AnyConnection,
    records: impl Stream<Item = Result<Record, E>>,
) -> Result<u64, E> {
    for table in TABLES {
        let some = sqlx::query(AssertSqlSafe(format!("SELECT 1 FROM {} LIMIT 1", table.name)));
        if some.fetch_optional(&mut *connection).await.map_err(failed)?.is_some() {
            let why = "the database to write into is not empty; nothing was changed";
            return Err(StoreError::Corrupt(why.to_owned()).into());
        }
    }
    let mut records = std::pin::pin!(records);
    let (mut count, mut hashed) = (0, None);
    while let Some(record) = records.next().await {
        let record = record?;
        hashed = hashed.or_else(|| record.hashed());
        record.write(connection).await?;
        count += 1;
    }
    // An entry of the other kind does not fit.
    log::grow(connection, hashed.unwrap_or(Hashed::Tree)).await?;
    Ok(count)
}

/// Copies the database at `from` into the empty one at `to`; returns the number of rows.
///
/// # Errors
/// Those of both databases; nothing is kept in `to` then.
pub async fn copy(from: &str, to: &str) -> Result<u64, StoreError> {
    load(to, records(from), None).await
}
