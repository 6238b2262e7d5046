//! How much there is, and how the writer does: what an operator watches.

use std::time::Duration;

use sekisho_arm::StoreError;
use sqlx::{AnyPool, Row as _};
use time::OffsetDateTime;

use crate::engine::Database;
use crate::rows::{failed, from_ms};
use crate::schema::{self, Versions};

/// What the writer has done since the start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Writes whose group was committed.
    pub kept: u64,
    /// Writes whose group could not be begun or committed.
    pub lost: u64,
    /// Committed groups.
    pub commits: u64,
    /// Time spent on groups.
    pub spent: Duration,
}

impl Tally {
    pub(crate) fn add(&mut self, writes: usize, kept: bool, spent: Duration) {
        let writes = writes as u64;
        if kept {
            self.kept += writes;
            self.commits += 1;
        } else {
            self.lost += writes;
        }
        self.spent += spent;
    }
}

/// How much there is of everything.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// Documents of the kind that was asked for.
    pub documents: i64,
    /// The sequence number of the last change.
    pub changes: i64,
    /// Entries of the audit log.
    pub audit: i64,
    /// Size of the database, bytes.
    pub bytes: i64,
    /// Events that are in no segment yet.
    pub waiting: i64,
    /// Segments of events.
    pub segments: i64,
    /// Their size, bytes.
    pub segment_bytes: i64,
    /// How many days they are of; `None` when there are none.
    pub segment_days: Option<i64>,
}

/// A database as it is found, whether or not it can be used.
#[derive(Debug, Clone, Copy)]
pub struct Examined {
    /// Its schema's version and this program's.
    pub versions: Versions,
    /// What is in it, when the schema is this program's.
    pub standing: Option<Standing>,
    /// The time by its own clock.
    pub now: OffsetDateTime,
}

/// Looks at a database without changing or making anything.
///
/// # Errors
/// When it cannot be opened, or is newer than this program.
pub async fn examine(url: &str, kind: &str) -> Result<Examined, StoreError> {
    let database = Database::parse(url)?;
    let readers = database.readers()?;
    let versions = schema::versions(&mut *readers.acquire().await.map_err(failed)?).await?;
    let standing = match versions.found == versions.known {
        true => Some(read(&database, &readers, kind).await?),
        false => None,
    };
    let now = sqlx::query(database.clock_query()).fetch_one(&readers).await.map_err(failed)?;
    let now = from_ms(now.try_get("now_ms").map_err(failed)?);
    readers.close().await;
    Ok(Examined { versions, standing, now })
}

pub(crate) async fn read(database: &Database, readers: &AnyPool, kind: &str) -> Result<Standing, StoreError> {
    let row = sqlx::query(
        "SELECT (SELECT COUNT(*) FROM document WHERE kind = $1) AS documents,
            (SELECT COALESCE(MAX(sequence), 0) FROM change) AS changes,
            (SELECT COALESCE(MAX(sequence), 0) FROM audit) AS audit,
            (SELECT COUNT(*) FROM event) AS waiting,
            (SELECT COUNT(*) FROM segment) AS segments,
            (SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM segment) AS segment_bytes,
            (SELECT MAX(day) - MIN(day) + 1 FROM segment) AS segment_days",
    )
    .bind(kind.to_owned())
    .fetch_one(readers)
    .await
    .map_err(failed)?;
    let size = sqlx::query(database.size_query()).fetch_one(readers).await.map_err(failed)?;
    let number = |name: &str| row.try_get::<i64, _>(name).map_err(failed);
    Ok(Standing {
        documents: number("documents")?,
        changes: number("changes")?,
        audit: number("audit")?,
        bytes: size.try_get("bytes").map_err(failed)?,
        waiting: number("waiting")?,
        segments: number("segments")?,
        segment_bytes: number("segment_bytes")?,
        segment_days: row.try_get("segment_days").map_err(failed)?,
    })
}
