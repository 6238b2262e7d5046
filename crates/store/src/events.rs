//! Hot events: the rows that wait in the database until the lake has written them into a segment.

use std::collections::BTreeMap;

use sekisho_arm::{Event, StoreError};
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};
use time::OffsetDateTime;

use crate::rows::{failed, to_ms};

/// Rows of one `INSERT`: far below both databases' limit of parameters, and enough that more gain nothing.
const ROWS: usize = 200;
/// Bits of an arrival number that count within one batch; those above are the batch's place in the change feed, which
/// is never given out twice.
const BATCH_BITS: u32 = 20;
/// Most events of one machine under one change of the feed.
pub(crate) const BATCH: usize = 1 << BATCH_BITS;

const COLUMNS: [&str; 9] =
    ["arrival", "machine", "stream", "epoch", "sequence", "at_ms", "received_ms", "kind", "data"];

/// The number of the last event of a stream's epoch.
pub(crate) async fn head(
    connection: &mut AnyConnection,
    (machine, stream, epoch): (&str, &str, &str),
) -> Result<i64, StoreError> {
    let row =
        sqlx::query("SELECT sequence FROM event_head WHERE machine = $1 AND stream = $2 AND epoch = $3")
            .bind(machine)
            .bind(stream)
            .bind(epoch)
            .fetch_optional(connection)
            .await
            .map_err(failed)?;
    row.map_or(Ok(0), |row| row.try_get("sequence").map_err(failed))
}

/// Raises the heads of all streams in `events`, which must all continue from where these stand.
pub(crate) async fn raise_heads(connection: &mut AnyConnection, events: &[Event]) -> Result<(), StoreError> {
    let mut heads = BTreeMap::new();
    for event in events {
        let key = (event.machine.as_str(), event.stream.as_str(), event.epoch.as_str());
        let last = match heads.get(&key) {
            Some(last) => *last,
            None => head(connection, key).await?,
        };
        if event.sequence <= last {
            return Err(StoreError::Exists(format!(
                "the event {} of the stream '{}' of {}",
                event.sequence, event.stream, event.machine
            )));
        }
        heads.insert(key, event.sequence);
    }
    for ((machine, stream, epoch), sequence) in heads {
        sqlx::query(
            "INSERT INTO event_head (machine, stream, epoch, sequence) VALUES ($1, $2, $3, $4)
             ON CONFLICT (machine, stream, epoch) DO UPDATE SET sequence = excluded.sequence",
        )
        .bind(machine)
        .bind(stream)
        .bind(epoch)
        .bind(sequence)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    }
    Ok(())
}

/// Keeps one batch, at most [`BATCH`] events, that arrived under the feed's `place`.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    place: i64,
    received: OffsetDateTime,
    events: &[Event],
) -> Result<(), StoreError> {
    let mut arrival = place << BATCH_BITS;
    for chunk in events.chunks(ROWS) {
        // Only the statement of a full chunk is worth keeping prepared.
        let mut query = sqlx::query(AssertSqlSafe(statement(chunk.len()))).persistent(chunk.len() == ROWS);
        for event in chunk {
            query = query
                .bind(arrival)
                .bind(event.machine.clone())
                .bind(event.stream.clone())
                .bind(event.epoch.clone())
                .bind(event.sequence)
                .bind(to_ms(event.at))
                .bind(to_ms(received))
                .bind(event.kind.clone())
                .bind(event.data.to_string());
            arrival += 1;
        }
        query.execute(&mut *connection).await.map_err(failed)?;
    }
    Ok(())
}

fn statement(rows: usize) -> String {
    let width = COLUMNS.len();
    let row = |r: usize| {
        let places: Vec<String> = (1..=width).map(|c| format!("${}", r * width + c)).collect();
        format!("({})", places.join(", "))
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!("INSERT INTO event ({}) VALUES {}", COLUMNS.join(", "), rows.join(", "))
}
