//! The whole database as records and back: for backups, and for moving from SQLite to PostgreSQL.
//!
//! Records are the same whichever engine they come from. They are read in one snapshot and written in one transaction
//! into a database that must be empty, so that a copy is whole or is not there.

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use sekisho_arm::StoreError;
use sekisho_audit::Hash;
use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};
use tokio::sync::mpsc;

use crate::engine::Database;
use crate::rows::failed;
use crate::schema;

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
    },
    Table {
        name: "document",
        since: 1,
        columns: &[("kind", Text), ("key", Text), ("body", Text), ("changed_ms", Number)],
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
    },
    Table { name: "audit", since: 1, columns: &[("sequence", Number), ("hash", Text), ("leaf", Text)] },
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
    },
    Table {
        name: "event_head",
        since: 2,
        columns: &[("machine", Text), ("stream", Text), ("epoch", Text), ("sequence", Number)],
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
    },
];

impl Table {
    fn named(name: &str) -> Result<&'static Table, StoreError> {
        let found = TABLES.iter().find(|t| t.name == name);
        found.ok_or_else(|| StoreError::Corrupt(format!("there is no table '{}'", name.escape_debug())))
    }

    fn columns(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    fn select(&self) -> String {
        format!("SELECT {} FROM {}", self.columns(), self.name)
    }

    fn insert(&self) -> String {
        let places: Vec<String> = (1..=self.columns.len()).map(|n| format!("${n}")).collect();
        format!("INSERT INTO {} ({}) VALUES ({})", self.name, self.columns(), places.join(", "))
    }
}

/// One row: the table's name and its columns as text, numbers and nulls.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Record {
    table: String,
    row: Vec<Value>,
}

impl Record {
    fn read(table: &Table, row: &AnyRow) -> Result<Record, StoreError> {
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
        let row = table.columns.iter().map(cell).collect::<Result<_, StoreError>>()?;
        Ok(Record { table: table.name.to_owned(), row })
    }

    async fn write(&self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        let table = Table::named(&self.table)?;
        let misfit = || StoreError::Corrupt(format!("a row does not fit the table '{}'", table.name));
        if self.row.len() != table.columns.len() {
            return Err(misfit());
        }
        let mut query = sqlx::query(AssertSqlSafe(table.insert()));
        for (value, (_, kind)) in self.row.iter().zip(table.columns) {
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
        let mut rows = sqlx::query(AssertSqlSafe(table.select())).fetch(&mut *read);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            if sender.send(Ok(Record::read(table, &row)?)).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Writes records into the empty database at `url`, in one transaction that is committed when the stream has ended
/// without an error and the audit chain in it is whole. Returns their number.
///
/// # Errors
/// Those of the stream; when the database is not empty, a record does not fit, or the chain is broken. Nothing is kept
/// then.
pub async fn load<E: From<StoreError>>(
    url: &str,
    records: impl Stream<Item = Result<Record, E>>,
) -> Result<u64, E> {
    let database = Database::parse(url)?;
    let mut connection = database.connect().await?;
    schema::migrate(&database, &mut connection).await?;
    database.begin_write(&mut connection).await?;
    let loaded = fill(&mut connection, records).await;
    let end = if loaded.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = sqlx::query(end).execute(&mut connection).await.map_err(failed);
    let count = loaded?;
    ended?;
    Ok(count)
}

async fn fill<E: From<StoreError>>(
    connection: &mut AnyConnection,
    records: impl Stream<Item = Result<Record, E>>,
) -> Result<u64, E> {
    for table in TABLES {
        let some = sqlx::query(AssertSqlSafe(format!("{} LIMIT 1", table.select())));
        if some.fetch_optional(&mut *connection).await.map_err(failed)?.is_some() {
            let why = "the database to write into is not empty; nothing was changed";
            return Err(StoreError::Corrupt(why.to_owned()).into());
        }
    }
    let mut records = std::pin::pin!(records);
    let mut count = 0;
    while let Some(record) = records.next().await {
        record?.write(connection).await?;
        count += 1;
    }
    let mut head = (0, Hash::GENESIS);
    loop {
        let page = crate::rows::audit_after(&mut *connection, head.0, 1000).await?;
        if page.is_empty() {
            return Ok(count);
        }
        head = crate::verified(head, page)?;
    }
}

/// Copies the database at `from` into the empty one at `to`; returns the number of rows.
///
/// # Errors
/// Those of both databases; nothing is kept in `to` then.
pub async fn copy(from: &str, to: &str) -> Result<u64, StoreError> {
    load(to, records(from)).await
}
