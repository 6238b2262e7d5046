//! Hot events: the rows that wait in the database until the lake has written them into a segment.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use futures_util::TryStreamExt as _;
use sekisho_arm::{Event, StoreError};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};
use time::OffsetDateTime;

use crate::rows::{INSERTED, failed, from_ms, insertion, to_ms};

/// Bits of an arrival number that count within one batch; those above are the batch's place in the change feed, which
/// is never given out twice.
const BATCH_BITS: u32 = 20;
/// Most events of one machine under one change of the feed.
pub(crate) const BATCH: usize = 1 << BATCH_BITS;

const COLUMNS: [&str; 9] =
    ["arrival", "machine", "stream", "epoch", "sequence", "at_ms", "received_ms", "kind", "data"];

/// An event that is not in a segment yet.
#[derive(Debug, Clone, PartialEq)]
pub struct HotEvent {
    /// Its number in the order of arrival; never given out twice.
    pub arrival: i64,
    /// When the server received it, by the server's clock.
    pub received: OffsetDateTime,
    /// The event.
    pub event: Event,
}

impl HotEvent {
    fn read(row: &AnyRow) -> Result<HotEvent, StoreError> {
        let text = |column: &str| row.try_get::<String, _>(column).map_err(failed);
        let number = |column: &str| row.try_get::<i64, _>(column).map_err(failed);
        let arrival = number("arrival")?;
        let data = serde_json::from_str(&text("data")?)
            .map_err(|e| StoreError::Corrupt(format!("event {arrival}: {e}")))?;
        Ok(HotEvent {
            arrival,
            received: from_ms(number("received_ms")?),
            event: Event {
                machine: text("machine")?,
                stream: text("stream")?,
                epoch: text("epoch")?,
                sequence: number("sequence")?,
                at: from_ms(number("at_ms")?),
                kind: text("kind")?,
                data,
            },
        })
    }
}

pub(crate) async fn each(
    connection: &mut AnyConnection,
    machine: Option<&str>,
    at: RangeInclusive<OffsetDateTime>,
    mut each: impl FnMut(HotEvent),
) -> Result<(), StoreError> {
    let of_machine = if machine.is_some() { " AND machine = $3" } else { "" };
    let sql = format!("{} WHERE at_ms >= $1 AND at_ms <= $2{of_machine}", select());
    let mut query = sqlx::query(AssertSqlSafe(sql)).bind(to_ms(*at.start())).bind(to_ms(*at.end()));
    if let Some(machine) = machine {
        query = query.bind(machine.to_owned());
    }
    let mut rows = query.fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        each(HotEvent::read(&row)?);
    }
    Ok(())
}

pub(crate) async fn arrived(
    connection: &mut AnyConnection,
    after: i64,
    limit: i64,
) -> Result<Vec<HotEvent>, StoreError> {
    let sql = format!("{} WHERE arrival > $1 ORDER BY arrival LIMIT $2", select());
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(after).bind(limit).fetch_all(connection).await;
    rows.map_err(failed)?.iter().map(HotEvent::read).collect()
}

pub(crate) async fn count(connection: &mut AnyConnection) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT COUNT(*) AS rows FROM event").fetch_one(connection).await;
    row.map_err(failed)?.try_get("rows").map_err(failed)
}

fn select() -> String {
    format!("SELECT {} FROM event", COLUMNS.join(", "))
}

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
    for chunk in events.chunks(INSERTED) {
        let mut query = insertion("event", &COLUMNS, chunk.len());
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
