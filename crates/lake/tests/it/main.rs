//! The lake through its public surface, on a real database and a real directory: on a temporary SQLite file, or on a
//! PostgreSQL server of the test's own where `SEKISHO_TEST_DATABASE=postgres` says so.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod cloud;
mod damage;
mod flows;
mod model;
mod storage;

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::ObjectStore;
use sekisho_arm::{Event, StoreError};
use sekisho_lab::postgres::{self, Postgres};
use sekisho_lake::{Lake, LakeError, Order, Page, Place, Query, Retention, Row};
use sekisho_store::{Store, from_ms};
use serde_json::{Value, json};
use sqlx::Connection as _;
use tempfile::TempDir;
use time::OffsetDateTime;
use uuid::Uuid;

const DAY: i64 = 86_400_000;
/// A day long ago, so that nothing depends on today.
const FIRST: i64 = 20_000;

/// Noon of a day, counted from 1970.
fn noon(day: i64) -> OffsetDateTime {
    from_ms(day * DAY + DAY / 2)
}

/// A database and a directory of a test's own.
struct World {
    url: String,
    store: Store,
    objects: Arc<dyn ObjectStore>,
    lake: Lake,
    dir: TempDir,
    _postgres: Option<Postgres>,
}

impl World {
    async fn new() -> World {
        let (dir, postgres) = (TempDir::new().unwrap(), postgres::of_this_run().unwrap());
        let sqlite = format!("sqlite://{}/db", dir.path().display());
        let url = postgres.as_ref().map_or(sqlite, Postgres::url);
        let store = Store::open(&url).await.unwrap();
        let place = Place::parse(&dir.path().join("lake").display().to_string()).unwrap();
        let objects = place.open(Uuid::nil(), &BTreeMap::new()).unwrap();
        let lake = Lake::on(store.clone(), objects.clone());
        World { url, store, objects, lake, dir, _postgres: postgres }
    }

    /// Appends events as if they had been received on a day.
    async fn receive(&self, day: i64, events: Vec<Event>) {
        let appended = self
            .store
            .write::<_, StoreError, _>(move |tx| Box::pin(async move { tx.append_events(events).await }));
        appended.await.unwrap();
        let mut direct = sqlx::AnyConnection::connect(&self.url).await.unwrap();
        sqlx::query("UPDATE event SET received_ms = $1 WHERE received_ms > $2")
            .bind(day * DAY + 5)
            .bind(noon(FIRST + 400).unix_timestamp() * 1000)
            .execute(&mut direct)
            .await
            .unwrap();
    }

    fn files(&self) -> Vec<std::path::PathBuf> {
        fn walk(dir: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() { walk(&path, found) } else { found.push(path) }
            }
        }
        let mut found = Vec::new();
        walk(&self.dir.path().join("lake"), &mut found);
        found.sort();
        found
    }
}

fn event(machine: &str, sequence: i64, at_ms: i64, data: Value) -> Event {
    Event {
        machine: machine.into(),
        stream: "server".into(),
        epoch: "0".into(),
        sequence,
        at: from_ms(at_ms),
        kind: "test.happened".into(),
        data,
    }
}

async fn all(lake: &Lake) -> Vec<Row> {
    lake.query(&Query { limit: usize::MAX, order: Order::OldestFirst, ..Query::default() })
        .await
        .unwrap()
        .rows
}

#[tokio::test]
async fn a_day_is_compacted_once_it_is_over_and_dropped_when_its_retention_ends() {
    let world = World::new().await;
    for n in 1..=3 {
        world.receive(FIRST, vec![event("/a", n, n, json!({})), event("/b", n, n, json!({}))]).await;
        assert_eq!(world.lake.flush().await.unwrap(), 2);
    }
    world.receive(FIRST + 1, vec![event("/a", 4, 0, json!({}))]).await;
    assert_eq!(world.lake.flush().await.unwrap(), 1);
    assert_eq!(world.lake.flush().await.unwrap(), 0);
    assert_eq!(world.files().len(), 4);
    let before = all(&world.lake).await;
    assert_eq!(before.len(), 7);
    assert_eq!(world.lake.compact(noon(FIRST)).await.unwrap(), 0, "the day is not over");
    assert_eq!(world.lake.compact(noon(FIRST + 1)).await.unwrap(), 3);
    assert_eq!(world.lake.compact(noon(FIRST + 1)).await.unwrap(), 0);
    assert_eq!(world.files().len(), 2);
    assert_eq!(all(&world.lake).await, before);

    let keep = |days, stream| Retention { days, streams: [("server".to_owned(), stream)].into() };
    assert_eq!(world.lake.retain(noon(FIRST + 3), &keep(1, 3)).await.unwrap(), 0);
    assert_eq!(world.lake.retain(noon(FIRST + 3), &keep(9, 2)).await.unwrap(), 1);
    assert_eq!(world.files().len(), 1);
    // The machine's clock said 1970: what counts is when the server heard of it.
    assert_eq!(all(&world.lake).await, [before[0].clone()]);
}

#[tokio::test]
async fn events_are_flushed_when_they_are_old_or_many() {
    let world = World::new().await;
    let at = |minutes| from_ms(FIRST * DAY + 5) + time::Duration::minutes(minutes);
    assert!(!world.lake.due(at(0)).await.unwrap());
    world.receive(FIRST, vec![event("/a", 1, 1, json!({}))]).await;
    assert!(!world.lake.due(at(59)).await.unwrap());
    assert!(world.lake.due(at(60)).await.unwrap());
    world.lake.flush().await.unwrap();
    assert!(!world.lake.due(at(999)).await.unwrap());
    world.receive(FIRST, (2..50_001).map(|n| event("/a", n, n, json!({}))).collect()).await;
    assert!(!world.lake.due(at(0)).await.unwrap());
    world.receive(FIRST, vec![event("/a", 50_001, 1, json!({}))]).await;
    assert!(world.lake.due(at(0)).await.unwrap());
    assert_eq!(world.lake.flush().await.unwrap(), 50_000);
    assert_eq!(all(&world.lake).await.len(), 50_001);
}

#[tokio::test]
async fn only_files_that_have_been_no_part_of_the_lake_for_an_hour_are_swept() {
    let world = World::new().await;
    world.receive(FIRST, vec![event("/a", 1, 1, json!({}))]).await;
    world.lake.flush().await.unwrap();
    let segment = world.files().pop().unwrap();
    let orphan = segment.with_file_name("orphan.parquet");
    std::fs::write(&orphan, b"half").unwrap();
    let now = OffsetDateTime::now_utc();
    assert_eq!(world.lake.sweep(now).await.unwrap(), 0);
    assert_eq!(world.lake.sweep(now + time::Duration::minutes(61)).await.unwrap(), 1);
    assert_eq!(world.files(), [segment]);
}

#[tokio::test]
async fn servers_that_flush_and_compact_the_same_lake_at_once_keep_every_event_once() {
    let world = World::new().await;
    for round in 0..5 {
        let events = (1..=200).map(|n| event("/a", round * 200 + n, n, json!({ "round": round }))).collect();
        world.receive(FIRST, events).await;
        let other = Lake::on(world.store.clone(), world.objects.clone());
        let (a, b, seen) = tokio::join!(world.lake.flush(), other.flush(), all(&world.lake));
        assert_eq!(a.unwrap() + b.unwrap(), 200);
        assert_eq!(i64::try_from(seen.len()).unwrap(), (round + 1) * 200);
    }
    let other = Lake::on(world.store.clone(), world.objects.clone());
    let now = noon(FIRST + 1);
    let (a, b) = tokio::join!(world.lake.compact(now), other.compact(now));
    // Who was slower may find a file gone, but never makes a second copy of anything.
    let done: Vec<u64> = [a, b].into_iter().filter_map(Result::ok).filter(|n| *n > 0).collect();
    assert_eq!(done, [5]);
    assert_eq!(all(&world.lake).await.len(), 1000);
    assert_eq!(world.files().len(), 1);
}

#[tokio::test]
async fn the_events_of_one_machine_are_found_without_reading_those_of_the_others() {
    let world = World::new().await;
    let machine =
        |n: i64| format!("/subscriptions/33333333-3333-3333-3333-333333333333/resourcegroups/rg/{n:04}");
    for batch in 0..10 {
        let events = (0..1000).flat_map(|n| {
            (1..=4).map(move |s| {
                // Times and texts that compress badly, so that reading all of them would show.
                let noise = |i: i64| {
                    (n * 7919 + s * 104_729 + batch * 31 + i)
                        .wrapping_mul(0x1E37_79B9_7F4A_7C15)
                        .unsigned_abs()
                };
                let text: String = (0..8).map(|i| format!("{:016x}", noise(i))).collect();
                event(&machine(n), batch * 4 + s, (noise(9) >> 24).cast_signed(), json!({ "text": text }))
            })
        });
        world.receive(FIRST, events.collect()).await;
        world.lake.flush().await.unwrap();
    }
    world.lake.compact(noon(FIRST + 1)).await.unwrap();
    let size: u64 = world.files().iter().map(|f| f.metadata().unwrap().len()).sum();
    let counting = Arc::new(storage::Storage::over(world.objects.clone()));
    let lake = Lake::on(world.store.clone(), counting.clone());
    let query = Query { machine: Some(machine(500)), limit: 100, ..Query::default() };
    let Page { rows, next } = lake.query(&query).await.unwrap();
    assert_eq!((rows.len(), next), (40, None));
    assert!(rows.iter().all(|r| r.event.machine == machine(500)));
    let read = counting.bytes_read();
    assert!(read * 14 < size, "{read} of {size} bytes were read");
    let absent = Query { machine: Some(machine(500) + "x"), limit: 100, ..Query::default() };
    let before = counting.bytes_read();
    assert_eq!(lake.query(&absent).await.unwrap(), Page::default());
    assert!((counting.bytes_read() - before) * 40 < size, "the filter spares the reading");
}

#[tokio::test]
async fn a_cursor_that_nobody_gave_is_refused() {
    for text in ["", "x", "W10", "IA", "\u{1F980}"] {
        assert!(matches!(text.parse::<sekisho_lake::Cursor>(), Err(LakeError::Cursor)), "{text}");
    }
}
