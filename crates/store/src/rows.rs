//! Rows to values and back: the only place that knows column names.

use sekisho_arm::{Document, Listing, Resource, Scope, StoreError, TypeName};
use serde_json::{Map, Value};
use sqlx::any::AnyRow;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, Database, Row};
use time::OffsetDateTime;

use crate::feed::{Change, Verb};

pub(crate) fn failed(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
            StoreError::Corrupt(error.to_string())
        }
        sqlx::Error::Database(said) => of_code(said.code().as_deref().unwrap_or_default())
            .unwrap_or_else(|| StoreError::Unavailable(error.to_string())),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// What a database's own code says: PostgreSQL's are five characters (its manual, appendix A), SQLite's are numbers
/// whose lowest byte is the primary result code (sqlite.org/rescode.html).
fn of_code(code: &str) -> Option<StoreError> {
    const SQLITE_READONLY: u32 = 8;
    const SQLITE_CANTOPEN: u32 = 14;
    const SQLITE_FULL: u32 = 13;
    match code {
        "53100" => Some(StoreError::Full),
        "25006" => Some(StoreError::ReadOnly),
        number if number.len() < 5 => match number.parse::<u32>().ok()? & 0xff {
            SQLITE_FULL => Some(StoreError::Full),
            SQLITE_READONLY => Some(StoreError::ReadOnly),
            SQLITE_CANTOPEN => {
                Some(StoreError::Unavailable("its file, or one beside it, cannot be opened".to_owned()))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Most rows of one [`insertion`]: far below both databases' limit of parameters, and enough that more gain nothing.
pub(crate) const INSERTED: usize = 200;

/// A statement that inserts so many rows; their values are to be bound, row by row.
pub(crate) fn insertion(
    table: &str,
    columns: &[&str],
    rows: usize,
) -> Query<'static, Any, <Any as Database>::Arguments> {
    let width = columns.len();
    let row = |r: usize| {
        let places: Vec<String> = (1..=width).map(|c| format!("${}", r * width + c)).collect();
        format!("({})", places.join(", "))
    };
    let values: Vec<String> = (0..rows).map(row).collect();
    let statement = format!("INSERT INTO {table} ({}) VALUES {}", columns.join(", "), values.join(", "));
    // Few rows and full statements come often enough to be kept prepared.
    sqlx::query(AssertSqlSafe(statement)).persistent(rows < 8 || rows == INSERTED)
}

/// Milliseconds since 1970 in UTC.
pub fn to_ms(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// The instant `ms` milliseconds after 1970 in UTC, or 1970 when there is no such instant.
pub fn from_ms(ms: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

const RESOURCE: &str = "SELECT id, type_name, location, tags, etag, sequence, created_ms, changed_ms, body FROM resource WHERE key = $1";
const BY_TYPE: &str = "SELECT id, type_name, location, tags, etag, sequence, created_ms, changed_ms, body FROM resource \
     WHERE type_key = $1 AND key > $2 AND key < $3 ORDER BY key LIMIT $4";
const BY_SCOPE: &str = "SELECT id, type_name, location, tags, etag, sequence, created_ms, changed_ms, body FROM resource \
     WHERE key > $1 AND key < $2 ORDER BY key LIMIT $3";

fn resource(row: &AnyRow) -> Result<Resource, StoreError> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(failed);
    let number = |column: &str| row.try_get::<i64, _>(column).map_err(failed);
    let id = text("id")?;
    let corrupt = |why: &str| StoreError::Corrupt(format!("resource {id}: {why}"));
    let type_name = text("type_name")?;
    let (namespace, path) = type_name.split_once('/').ok_or_else(|| corrupt("type"))?;
    let tags: Option<String> = row.try_get("tags").map_err(failed)?;
    Ok(Resource {
        type_name: TypeName::new(namespace, path),
        location: row.try_get("location").map_err(failed)?,
        tags: tags
            .map(|t| serde_json::from_str::<Map<String, Value>>(&t))
            .transpose()
            .map_err(|_| corrupt("tags"))?,
        etag: text("etag")?,
        sequence: number("sequence")?,
        created_at: from_ms(number("created_ms")?),
        changed_at: from_ms(number("changed_ms")?),
        rest: serde_json::from_str(&text("body")?).map_err(|_| corrupt("body"))?,
        id: Scope::parse(&id).map_err(|e| corrupt(&e.to_string()))?,
    })
}

pub(crate) async fn get(connection: &mut AnyConnection, id: &Scope) -> Result<Option<Resource>, StoreError> {
    let row = sqlx::query(RESOURCE).bind(id.key()).fetch_optional(connection).await.map_err(failed)?;
    row.as_ref().map(resource).transpose()
}

/// The open interval of keys inside a scope: `/` is followed by `0` in ASCII.
pub(crate) fn interval(scope: &Scope) -> (String, String) {
    match scope {
        Scope::Tenant => ("/".to_owned(), "0".to_owned()),
        other => (format!("{}/", other.key()), format!("{}0", other.key())),
    }
}

pub(crate) async fn list(
    connection: &mut AnyConnection,
    listing: &Listing,
) -> Result<Vec<Resource>, StoreError> {
    let (low, high) = interval(&listing.scope);
    let low = listing.after.clone().filter(|a| *a > low).unwrap_or(low);
    let limit = i64::try_from(listing.limit).unwrap_or(i64::MAX);
    let rows = match &listing.type_name {
        Some(type_name) => {
            sqlx::query(BY_TYPE)
                .bind(type_name.key())
                .bind(low)
                .bind(high)
                .bind(limit)
                .fetch_all(connection)
                .await
        }
        None => sqlx::query(BY_SCOPE).bind(low).bind(high).bind(limit).fetch_all(connection).await,
    };
    rows.map_err(failed)?.iter().map(resource).collect()
}

fn document_of(kind: &str, row: &AnyRow) -> Result<Document, StoreError> {
    let key: String = row.try_get("key").map_err(failed)?;
    let body: String = row.try_get("body").map_err(failed)?;
    let body = serde_json::from_str(&body).map_err(|e| StoreError::Corrupt(format!("{kind}/{key}: {e}")))?;
    Ok(Document { key, body, changed_at: from_ms(row.try_get("changed_ms").map_err(failed)?) })
}

/// Whether nothing can be kept under a key. Keys come from requests too, and PostgreSQL answers with an error where it is
/// asked for a text that it cannot hold.
pub(crate) fn cannot_be_kept(key: &str) -> bool {
    key.contains('\0')
}

pub(crate) async fn document(
    connection: &mut AnyConnection,
    kind: &str,
    key: &str,
) -> Result<Option<Document>, StoreError> {
    if cannot_be_kept(key) {
        return Ok(None);
    }
    let row = sqlx::query("SELECT key, body, changed_ms FROM document WHERE kind = $1 AND key = $2")
        .bind(kind)
        .bind(key)
        .fetch_optional(connection)
        .await
        .map_err(failed)?;
    row.as_ref().map(|r| document_of(kind, r)).transpose()
}

pub(crate) async fn documents(
    connection: &mut AnyConnection,
    kind: &str,
) -> Result<Vec<Document>, StoreError> {
    let rows = sqlx::query("SELECT key, body, changed_ms FROM document WHERE kind = $1 ORDER BY key")
        .bind(kind)
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    rows.iter().map(|r| document_of(kind, r)).collect()
}

pub(crate) async fn count_documents(connection: &mut AnyConnection, kind: &str) -> Result<usize, StoreError> {
    let row = sqlx::query("SELECT COUNT(*) AS documents FROM document WHERE kind = $1")
        .bind(kind)
        .fetch_one(connection)
        .await
        .map_err(failed)?;
    let count: i64 = row.try_get("documents").map_err(failed)?;
    Ok(usize::try_from(count).unwrap_or(0))
}

pub(crate) async fn documents_between(
    connection: &mut AnyConnection,
    kind: &str,
    first: &str,
    last: &str,
) -> Result<Vec<Document>, StoreError> {
    let rows = sqlx::query(
        "SELECT key, body, changed_ms FROM document WHERE kind = $1 AND key >= $2 AND key <= $3 ORDER BY key",
    )
    .bind(kind)
    .bind(first)
    .bind(last)
    .fetch_all(connection)
    .await
    .map_err(failed)?;
    rows.iter().map(|r| document_of(kind, r)).collect()
}

pub(crate) async fn changes_after(
    pool: &AnyPool,
    sequence: i64,
    limit: i64,
) -> Result<Option<Vec<Change>>, StoreError> {
    let oldest = sqlx::query("SELECT MIN(sequence) AS oldest, MAX(sequence) AS newest FROM change")
        .fetch_one(pool)
        .await
        .map_err(failed)?;
    let newest: Option<i64> = oldest.try_get("newest").map_err(failed)?;
    let oldest: Option<i64> = oldest.try_get("oldest").map_err(failed)?;
    let (Some(oldest), Some(newest)) = (oldest, newest) else { return Ok(Some(Vec::new())) };
    if sequence + 1 < oldest || sequence > newest {
        return Ok(None);
    }
    let rows = sqlx::query(
        "SELECT sequence, kind, key, verb, etag FROM change WHERE sequence > $1 ORDER BY sequence LIMIT $2",
    )
    .bind(sequence)
    .bind(limit)
    .fetch_all(pool)
    .await
    .map_err(failed)?;
    let change = |row: &AnyRow| {
        let verb: String = row.try_get("verb").map_err(failed)?;
        Ok(Change {
            sequence: row.try_get("sequence").map_err(failed)?,
            kind: row.try_get("kind").map_err(failed)?,
            key: row.try_get("key").map_err(failed)?,
            verb: if verb == "delete" { Verb::Delete } else { Verb::Put },
            etag: row.try_get("etag").map_err(failed)?,
        })
    };
    rows.iter().map(change).collect::<Result<Vec<_>, StoreError>>().map(Some)
}

/// The number of the newest change; 0 when there is none.
pub(crate) async fn newest_change(pool: &AnyPool) -> Result<i64, StoreError> {
    let row =
        sqlx::query("SELECT MAX(sequence) AS newest FROM change").fetch_one(pool).await.map_err(failed)?;
    Ok(row.try_get::<Option<i64>, _>("newest").map_err(failed)?.unwrap_or(0))
}
