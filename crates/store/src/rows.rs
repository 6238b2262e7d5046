//! Rows to values and back: the only place that knows column names.

use std::sync::LazyLock;

use sekisho_arm::{Document, Listing, Resource, Scope, StoreError, TypeName};
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

/// The columns of a resource.
const RESOURCE: [&str; 10] = [
    "key",
    "id",
    "type_name",
    "coalesce('=' || location, '')",
    "coalesce(tags, '')",
    "etag",
    "sequence",
    "created_ms",
    "changed_ms",
    "body",
];
/// The columns of a document.
const DOCUMENT: [&str; 3] = ["key", "body", "changed_ms"];
/// What sqlx calls it.
const POSTGRESQL: &str = "PostgreSQL";
/// Most rows that are read together.
const TOGETHER: usize = 1000;

/// One resource, and one document, as every request asks for them.
static ONE_RESOURCE: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {} AS gathered FROM resource WHERE key = $1", gathered(&RESOURCE)));
static ONE_DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    format!("SELECT {} AS gathered FROM document WHERE kind = $1 AND key = $2", gathered(&DOCUMENT))
});

/// What gathers the columns of a row into one text: each field after its length in bytes and a colon. sqlx describes every
/// column of every row anew, which takes longer than reading it.
fn gathered(columns: &[&str]) -> String {
    let field = |column: &&str| {
        let text = format!("CAST({column} AS TEXT)");
        format!("octet_length({text}), ':', {text}")
    };
    let fields: Vec<String> = columns.iter().map(field).collect();
    format!("concat({})", fields.join(", "))
}

/// What selects many rows so. sqlx hands every row of SQLite's from one thread to another, so there they become one;
/// PostgreSQL takes longer to make one of them.
fn gathering(connection: &AnyConnection, columns: &[&str]) -> String {
    let row = gathered(columns);
    if connection.backend_name() == POSTGRESQL {
        format!("SELECT {row} AS gathered")
    } else {
        format!("SELECT coalesce(string_agg({row}, ''), '') AS gathered")
    }
}

/// The rows of [`gathered`] texts, in the order of their keys, which are their first fields.
fn rows_of<const N: usize>(texts: &[String]) -> Result<Vec<[&str; N]>, StoreError> {
    let broken = || StoreError::Corrupt("what rows were gathered into is no rows".to_owned());
    let mut rows = Vec::new();
    for text in texts {
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let mut row = [""; N];
            for field in &mut row {
                let (length, tail) = rest.split_once(':').ok_or_else(broken)?;
                let length: usize = length.parse().map_err(|_| broken())?;
                (*field, rest) = tail.split_at_checked(length).ok_or_else(broken)?;
            }
            rows.push(row);
        }
    }
    rows.sort_unstable_by_key(|row| row[0]);
    Ok(rows)
}

async fn gather(
    connection: &mut AnyConnection,
    query: Query<'_, Any, <Any as Database>::Arguments>,
) -> Result<Vec<String>, StoreError> {
    let rows = query.fetch_all(connection).await.map_err(failed)?;
    rows.iter().map(|row| row.try_get("gathered").map_err(failed)).collect()
}

fn resource(
    [_, id, type_name, location, tags, etag, sequence, created, changed, body]: [&str; 10],
) -> Result<Resource, StoreError> {
    let corrupt = |why: &str| StoreError::Corrupt(format!("resource {id}: {why}"));
    let number = |text: &str| text.parse::<i64>().map_err(|_| corrupt("a number"));
    let (namespace, path) = type_name.split_once('/').ok_or_else(|| corrupt("type"))?;
    let tags = (!tags.is_empty()).then(|| serde_json::from_str(tags)).transpose();
    Ok(Resource {
        type_name: TypeName::new(namespace, path),
        location: location.strip_prefix('=').map(str::to_owned),
        tags: tags.map_err(|_| corrupt("tags"))?,
        etag: etag.to_owned(),
        sequence: number(sequence)?,
        created_at: from_ms(number(created)?),
        changed_at: from_ms(number(changed)?),
        rest: serde_json::from_str(body).map_err(|_| corrupt("body"))?,
        id: Scope::parse(id).map_err(|e| corrupt(&e.to_string()))?,
    })
}

pub(crate) async fn get(connection: &mut AnyConnection, id: &Scope) -> Result<Option<Resource>, StoreError> {
    let query = sqlx::query(AssertSqlSafe(ONE_RESOURCE.as_str())).bind(id.key());
    let texts = gather(connection, query).await?;
    rows_of(&texts)?.into_iter().next().map(resource).transpose()
}

/// The open interval of keys inside a scope: `/` is followed by `0` in ASCII.
pub(crate) fn interval(scope: &Scope) -> (String, String) {
    match scope {
        Scope::Tenant => ("/".to_owned(), "0".to_owned()),
        other => (format!("{}/", other.key()), format!("{}0", other.key())),
    }
}

/// At most so many resources of a listing, in the order of their keys.
async fn page(
    connection: &mut AnyConnection,
    listing: &Listing,
    (low, high): (&str, &str),
    limit: usize,
) -> Result<(Option<String>, Vec<Resource>), StoreError> {
    let mentions = listing.mentions.iter().flatten();
    let patterns: Vec<String> = mentions.map(|word| containing(&word.to_ascii_lowercase())).collect();
    let of_type = listing.type_name.as_ref().map_or("", |_| " AND type_key = $3");
    let first = if of_type.is_empty() { 3 } else { 4 };
    let alike = |at: usize| format!("lower(body) LIKE ${} ESCAPE '!'", first + at);
    let mentioned: Vec<String> = (0..patterns.len()).map(alike).collect();
    let mentioned = match (&listing.mentions, mentioned.is_empty()) {
        (None, _) => String::new(),
        (Some(_), true) => " AND FALSE".to_owned(),
        (Some(_), false) => format!(" AND ({})", mentioned.join(" OR ")),
    };
    let statement = format!(
        "{} FROM (SELECT * FROM resource WHERE key > $1 AND key < $2{of_type}{mentioned} ORDER BY key LIMIT {limit}) AS page",
        gathering(connection, &RESOURCE)
    );
    let is_usual = patterns.len() < 2;
    let mut query = sqlx::query(AssertSqlSafe(statement)).persistent(is_usual).bind(low).bind(high);
    if let Some(type_name) = &listing.type_name {
        query = query.bind(type_name.key());
    }
    for pattern in patterns {
        query = query.bind(pattern);
    }
    let texts = gather(connection, query).await?;
    let rows = rows_of(&texts)?;
    let last = rows.last().filter(|_| rows.len() == limit).map(|row| row[0].to_owned());
    Ok((last, rows.into_iter().map(resource).collect::<Result<_, _>>()?))
}

/// A pattern of LIKE for texts that contain another.
fn containing(word: &str) -> String {
    let mut pattern = String::from("%");
    for c in word.chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern + "%"
}

pub(crate) async fn list(
    connection: &mut AnyConnection,
    listing: &Listing,
) -> Result<Vec<Resource>, StoreError> {
    let (low, high) = interval(&listing.scope);
    let mut low = listing.after.clone().filter(|a| *a > low).unwrap_or(low);
    let mut all = Vec::new();
    while all.len() < listing.limit {
        let limit = TOGETHER.min(listing.limit - all.len());
        let (last, page) = page(connection, listing, (&low, &high), limit).await?;
        all.extend(page);
        match last {
            Some(last) => low = last,
            None => break,
        }
    }
    Ok(all)
}

fn document_of(kind: &str, [key, text, changed]: [&str; 3]) -> Result<Document, StoreError> {
    let changed = changed.parse().map_err(|e| StoreError::Corrupt(format!("{kind}/{key}: {e}")))?;
    Ok(Document { key: key.to_owned(), text: text.to_owned(), changed_at: from_ms(changed) })
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
    let query = sqlx::query(AssertSqlSafe(ONE_DOCUMENT.as_str())).bind(kind).bind(key);
    let texts = gather(connection, query).await?;
    rows_of(&texts)?.into_iter().next().map(|row| document_of(kind, row)).transpose()
}

pub(crate) async fn documents(
    connection: &mut AnyConnection,
    kind: &str,
) -> Result<Vec<Document>, StoreError> {
    documents_in(connection, kind, "", None).await
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
    documents_in(connection, kind, first, Some(last)).await
}

async fn documents_in(
    connection: &mut AnyConnection,
    kind: &str,
    first: &str,
    last: Option<&str>,
) -> Result<Vec<Document>, StoreError> {
    let (mut from, mut low) = (">=", first.to_owned());
    let up_to = last.map_or("", |_| " AND key <= $3");
    let mut all = Vec::new();
    loop {
        let statement = format!(
            "{} FROM (SELECT key, body, changed_ms FROM document \
             WHERE kind = $1 AND key {from} $2{up_to} ORDER BY key LIMIT {TOGETHER}) AS page",
            gathering(connection, &DOCUMENT)
        );
        let mut query = sqlx::query(AssertSqlSafe(statement)).bind(kind).bind(&low);
        if let Some(last) = last {
            query = query.bind(last);
        }
        let texts = gather(connection, query).await?;
        let rows = rows_of(&texts)?;
        let next = rows.last().filter(|_| rows.len() == TOGETHER).map(|row| row[0].to_owned());
        for row in rows {
            all.push(document_of(kind, row)?);
        }
        match next {
            Some(next) => (from, low) = (">", next),
            None => return Ok(all),
        }
    }
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
