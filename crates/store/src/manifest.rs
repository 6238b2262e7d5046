//! The manifest: which segments the lake consists of. What it does not name is not part of the lake.

use std::ops::RangeInclusive;

use sekisho_arm::StoreError;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use time::OffsetDateTime;

use crate::rows::{failed, from_ms, to_ms};

/// Milliseconds of a day.
pub const DAY: i64 = 86_400_000;

/// What stands for the tail of a segment whose digest is of its whole file.
const WHOLE: i64 = 0;

/// One immutable file of the lake: some events of one stream that were received on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its id, also part of its path.
    pub id: String,
    /// The stream.
    pub stream: String,
    /// The UTC day on which its events were received, counted from 1970-01-01.
    pub day: i64,
    /// 0 as it was flushed, 1 compacted.
    pub level: i64,
    /// The first and the last machine in it.
    pub machines: (String, String),
    /// When its first and its last event happened, by the clocks of the machines.
    pub at: (OffsetDateTime, OffsetDateTime),
    /// Events in it.
    pub rows: i64,
    /// The size of its file.
    pub bytes: i64,
    /// The path of its file within the lake.
    pub path: String,
    /// How many bytes at the end of its file `digest` is of, and vouch for all before them; of the whole file in segments of
    /// older versions.
    pub tail: Option<i64>,
    /// SHA-256 in hex.
    pub digest: String,
    /// When it was written.
    pub made: OffsetDateTime,
}

/// The hot events of one stream and one day of receipt whose numbers of arrival lie in a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hot {
    /// The stream.
    pub stream: String,
    /// The UTC day of receipt, counted from 1970-01-01.
    pub day: i64,
    /// The first and the last number.
    pub arrivals: RangeInclusive<i64>,
    /// How many there are.
    pub rows: u64,
}

/// One change of the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swap {
    /// New segments.
    pub add: Vec<Segment>,
    /// The hot events that they hold.
    pub hot: Option<Hot>,
    /// The ids of segments that go.
    pub remove: Vec<String>,
}

/// Why a swap was undone.
pub(crate) enum Refused {
    /// What was to be replaced is not all there.
    Gone,
    Store(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Refused::Store(error)
    }
}

pub(crate) async fn swap(connection: &mut AnyConnection, swap: &Swap) -> Result<(), Refused> {
    if let Some(hot) = &swap.hot {
        let done = sqlx::query(
            "DELETE FROM event WHERE arrival >= $1 AND arrival <= $2 AND stream = $3
                AND received_ms >= $4 AND received_ms < $5",
        )
        .bind(*hot.arrivals.start())
        .bind(*hot.arrivals.end())
        .bind(hot.stream.clone())
        .bind(hot.day * DAY)
        .bind((hot.day + 1) * DAY)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
        if done.rows_affected() != hot.rows {
            return Err(Refused::Gone);
        }
    }
    for id in &swap.remove {
        let done = sqlx::query("DELETE FROM segment WHERE id = $1")
            .bind(id.clone())
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        if done.rows_affected() != 1 {
            return Err(Refused::Gone);
        }
    }
    for segment in &swap.add {
        insert(connection, segment).await?;
    }
    Ok(())
}

async fn insert(connection: &mut AnyConnection, segment: &Segment) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO segment (id, stream, day, level, machine_low, machine_high, at_low_ms, at_high_ms, rows, bytes,
            path, tail, digest, made_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(segment.id.clone())
    .bind(segment.stream.clone())
    .bind(segment.day)
    .bind(segment.level)
    .bind(segment.machines.0.clone())
    .bind(segment.machines.1.clone())
    .bind(to_ms(segment.at.0))
    .bind(to_ms(segment.at.1))
    .bind(segment.rows)
    .bind(segment.bytes)
    .bind(segment.path.clone())
    .bind(segment.tail.unwrap_or(WHOLE))
    .bind(segment.digest.clone())
    .bind(to_ms(segment.made))
    .execute(connection)
    .await
    .map(|_| ())
    .map_err(failed)
}

pub(crate) async fn segments(connection: &mut AnyConnection) -> Result<Vec<Segment>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, stream, day, level, machine_low, machine_high, at_low_ms, at_high_ms, rows, bytes, path, tail,
            digest, made_ms
         FROM segment ORDER BY stream, day, id",
    )
    .fetch_all(connection)
    .await
    .map_err(failed)?;
    rows.iter().map(segment).collect()
}

fn segment(row: &AnyRow) -> Result<Segment, StoreError> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(failed);
    let number = |column: &str| row.try_get::<i64, _>(column).map_err(failed);
    Ok(Segment {
        id: text("id")?,
        stream: text("stream")?,
        day: number("day")?,
        level: number("level")?,
        machines: (text("machine_low")?, text("machine_high")?),
        at: (from_ms(number("at_low_ms")?), from_ms(number("at_high_ms")?)),
        rows: number("rows")?,
        bytes: number("bytes")?,
        path: text("path")?,
        tail: Some(number("tail")?).filter(|tail| *tail != WHOLE),
        digest: text("digest")?,
        made: from_ms(number("made_ms")?),
    })
}
