//! The tables, and bringing an older database up to date. Migrations are plain SQL, forward only; one also makes the
//! log's chain a tree.

use sekisho_arm::StoreError;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use crate::engine::{Database, Engine};
use crate::log::{self, Hashed};
use crate::rows::failed;

/// Each step brings the schema from its index to the next version. `{key}` stands for the engine's type of a key.
const MIGRATIONS: &[&[&str]] = &[RESOURCES, EVENTS, TREE, TAILS];
/// The version from which on the log is a tree.
pub(crate) const TREE_SINCE: i64 = 3;

const RESOURCES: &[&str] = &[
    "CREATE TABLE resource (
        key {key} PRIMARY KEY, id TEXT NOT NULL, type_key {key} NOT NULL, type_name TEXT NOT NULL,
        location TEXT, tags TEXT, etag TEXT NOT NULL, sequence BIGINT NOT NULL,
        created_ms BIGINT NOT NULL, changed_ms BIGINT NOT NULL, body TEXT NOT NULL)",
    "CREATE INDEX resource_by_type ON resource (type_key, key)",
    "CREATE TABLE document (
        kind {key} NOT NULL, key {key} NOT NULL, body TEXT NOT NULL, changed_ms BIGINT NOT NULL,
        PRIMARY KEY (kind, key))",
    "CREATE TABLE change (
        sequence BIGINT PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, verb TEXT NOT NULL,
        etag TEXT NOT NULL, at_ms BIGINT NOT NULL)",
    "CREATE TABLE audit (sequence BIGINT PRIMARY KEY, hash TEXT NOT NULL, leaf TEXT NOT NULL)",
];

/// Events that wait for a segment, the last number of each stream, and the manifest of the lake's segments. A segment
/// holds one stream's events of one day: of the UTC day of their receipt, counted from 1970, so that a machine whose
/// clock is wrong decides nothing about how long they are kept.
const EVENTS: &[&str] = &[
    "CREATE TABLE event (
        arrival BIGINT PRIMARY KEY, machine {key} NOT NULL, stream {key} NOT NULL, epoch {key} NOT NULL,
        sequence BIGINT NOT NULL, at_ms BIGINT NOT NULL, received_ms BIGINT NOT NULL, kind {key} NOT NULL,
        data TEXT NOT NULL)",
    "CREATE UNIQUE INDEX event_by_number ON event (machine, stream, epoch, sequence)",
    "CREATE INDEX event_by_time ON event (machine, at_ms)",
    "CREATE TABLE event_head (
        machine {key} NOT NULL, stream {key} NOT NULL, epoch {key} NOT NULL, sequence BIGINT NOT NULL,
        PRIMARY KEY (machine, stream, epoch))",
    "CREATE TABLE segment (
        id {key} PRIMARY KEY, stream {key} NOT NULL, day BIGINT NOT NULL, level BIGINT NOT NULL,
        machine_low {key} NOT NULL, machine_high {key} NOT NULL, at_low_ms BIGINT NOT NULL,
        at_high_ms BIGINT NOT NULL, rows BIGINT NOT NULL, bytes BIGINT NOT NULL, path TEXT NOT NULL,
        digest TEXT NOT NULL, made_ms BIGINT NOT NULL)",
    "CREATE INDEX segment_by_day ON segment (stream, day)",
];

/// The complete subtrees of the audit log's tree above its leaves, and when each entry happened.
const TREE: &[&str] = &[
    "ALTER TABLE audit ADD COLUMN at_ms BIGINT NOT NULL DEFAULT 0",
    "CREATE TABLE audit_node (
        level BIGINT NOT NULL, idx BIGINT NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (level, idx))",
];

/// PostgreSQL's own way to make large values small takes longer to undo than all else in a list. Where it knows no other (before
/// version 14, or built without), this changes nothing; nor does it with what is stored already.
const LZ4: &str = "DO $$ BEGIN
        EXECUTE 'ALTER TABLE resource ALTER COLUMN body SET COMPRESSION lz4';
        EXECUTE 'ALTER TABLE document ALTER COLUMN body SET COMPRESSION lz4';
    EXCEPTION WHEN OTHERS THEN NULL; END $$";
/// The version that brings it, to PostgreSQL alone.
const LZ4_SINCE: i64 = 4;

/// The part of a segment's file that its digest is of; 0 where it is of all of it.
const TAILS: &[&str] = &["ALTER TABLE segment ADD COLUMN tail BIGINT NOT NULL DEFAULT 0"];

/// The versions of a database's schema and of this program's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The database's; 0 when it is empty.
    pub found: i64,
    /// This program's.
    pub known: i64,
}

impl Versions {
    /// Whether the database holds something and is older than this program.
    pub fn outdated(self) -> bool {
        self.found > 0 && self.found < self.known
    }
}

/// Reads the schema's version.
pub(crate) async fn versions(connection: &mut AnyConnection) -> Result<Versions, StoreError> {
    sqlx::query("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    let row = sqlx::query("SELECT MAX(version) AS version FROM schema_version")
        .fetch_one(connection)
        .await
        .map_err(failed)?;
    let found: Option<i64> = row.try_get("version").map_err(failed)?;
    let versions =
        Versions { found: found.unwrap_or(0), known: i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX) };
    if versions.found > versions.known {
        return Err(StoreError::Corrupt(format!(
            "it was written by a newer version (schema {}, this program knows {})",
            versions.found, versions.known
        )));
    }
    Ok(versions)
}

/// Brings the schema up to date in one transaction; returns the versions before.
pub(crate) async fn migrate(
    database: &Database,
    connection: &mut AnyConnection,
) -> Result<Versions, StoreError> {
    database.begin_write(connection).await?;
    let before = step(database, connection).await;
    let end = if before.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = sqlx::query(end).execute(connection).await.map_err(failed);
    before.and_then(|versions| ended.map(|_| versions))
}

async fn step(database: &Database, connection: &mut AnyConnection) -> Result<Versions, StoreError> {
    let before = versions(connection).await?;
    let done = usize::try_from(before.found).unwrap_or(0);
    for (version, statements) in (1..).zip(MIGRATIONS).skip(done) {
        for statement in *statements {
            let statement = statement.replace("{key}", database.key_type());
            sqlx::query(AssertSqlSafe(statement)).execute(&mut *connection).await.map_err(failed)?;
        }
        if version == TREE_SINCE {
            log::grow(connection, Hashed::Chain).await?;
        }
        if version == LZ4_SINCE && matches!(database.engine, Engine::Postgres) {
            sqlx::query(LZ4).execute(&mut *connection).await.map_err(failed)?;
        }
        sqlx::query("INSERT INTO schema_version (version) VALUES ($1)")
            .bind(version)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
    }
    Ok(before)
}
