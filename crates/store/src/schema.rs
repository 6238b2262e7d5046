//! The tables, and bringing an older database up to date. Migrations are plain SQL, forward only.

use sekisho_arm::StoreError;
use sqlx::{AnyConnection, Connection, Row};

use crate::rows::failed;

/// Each step brings the schema from its index to the next version.
const MIGRATIONS: &[&[&str]] = &[&[
    "CREATE TABLE resource (
        key TEXT PRIMARY KEY, id TEXT NOT NULL, type_key TEXT NOT NULL, type_name TEXT NOT NULL,
        location TEXT, tags TEXT, etag TEXT NOT NULL, sequence BIGINT NOT NULL,
        created_ms BIGINT NOT NULL, changed_ms BIGINT NOT NULL, body TEXT NOT NULL)",
    "CREATE INDEX resource_by_type ON resource (type_key, key)",
    "CREATE TABLE document (
        kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, changed_ms BIGINT NOT NULL,
        PRIMARY KEY (kind, key))",
    "CREATE TABLE change (
        sequence BIGINT PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, verb TEXT NOT NULL,
        etag TEXT NOT NULL, at_ms BIGINT NOT NULL)",
    "CREATE TABLE audit (sequence BIGINT PRIMARY KEY, hash TEXT NOT NULL, leaf TEXT NOT NULL)",
]];

/// Settings of every connection: readers never wait for the writer in WAL mode, and `FULL` makes an answered write
/// survive a power cut.
pub(crate) async fn tune(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    for pragma in ["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA busy_timeout = 5000"] {
        sqlx::query(pragma).fetch_optional(&mut *connection).await?;
    }
    Ok(())
}

/// Opens the writer's connection and migrates.
pub(crate) async fn open_writer(url: &str) -> Result<AnyConnection, StoreError> {
    let mut connection = AnyConnection::connect(url).await.map_err(failed)?;
    tune(&mut connection).await.map_err(failed)?;
    sqlx::query("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")
        .execute(&mut connection)
        .await
        .map_err(failed)?;
    let row = sqlx::query("SELECT MAX(version) AS version FROM schema_version")
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    let version: Option<i64> = row.try_get("version").map_err(failed)?;
    let version = usize::try_from(version.unwrap_or(0)).unwrap_or(usize::MAX);
    if version > MIGRATIONS.len() {
        return Err(StoreError::Corrupt(format!(
            "it was written by a newer version (schema {version}, this program knows {})",
            MIGRATIONS.len()
        )));
    }
    for (index, statements) in MIGRATIONS.iter().enumerate().skip(version) {
        let mut tx = connection.begin().await.map_err(failed)?;
        for statement in *statements {
            sqlx::query(*statement).execute(&mut *tx).await.map_err(failed)?;
        }
        sqlx::query("INSERT INTO schema_version (version) VALUES ($1)")
            .bind(i64::try_from(index + 1).unwrap_or(i64::MAX))
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
    }
    Ok(connection)
}
