//! The table of flows: whatever an event brought comes back as it was, from wherever it lies, and little else is read.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use object_store::{ObjectStoreExt as _, PutPayload};
use parquet::arrow::ArrowWriter;
use sekisho_arm::Event;
use sekisho_lake::{FlowQuery, FlowRow, Lake, Machines, Query, Retention};
use sekisho_nsg::flow::filter::Filter;
use sekisho_nsg::flow::record::{
    Batch, DecidingRule, Delta, Flow, Gap, GapReason, KIND, Nic, Process, State,
};
use sekisho_nsg::policy::{Access, Direction, InterfaceName, MacAddress};
use sekisho_store::{Segment, Swap, from_ms};
use serde_json::{Value, json};

use crate::storage::Storage;
use crate::{DAY, FIRST, World, all, noon};

/// A record; what is not said is made of `n`.
pub(crate) fn flow(at: i64, n: u32) -> Flow {
    let denied = n.is_multiple_of(3);
    Flow {
        at,
        nic: u16::from(n.is_multiple_of(2)),
        direction: if n.is_multiple_of(2) { Direction::Outbound } else { Direction::Inbound },
        source: if n.is_multiple_of(5) {
            std::net::IpAddr::V6(u128::from(n).into())
        } else {
            std::net::IpAddr::V4((0x0a00_0000 + n).into())
        },
        destination: if n.is_multiple_of(5) { "::1".parse().unwrap() } else { "10.0.0.6".parse().unwrap() },
        source_port: u16::try_from(n % 65536).unwrap(),
        destination_port: u16::try_from(n % 1000).unwrap(),
        protocol: 6,
        state: if denied { State::Denied } else { State::End },
        rule: n.is_multiple_of(7).then_some(0).or(denied.then_some(1)),
        process: n.is_multiple_of(2).then_some(u16::from(n.is_multiple_of(4))),
        delta: Delta { packets_sent: u64::MAX, bytes_sent: n.into(), packets_received: 0, bytes_received: 1 },
        count: 1 + u64::from(n % 4),
    }
}

/// A batch of these, with two interfaces, rules and processes.
pub(crate) fn batch(flows: Vec<Flow>) -> Batch {
    let nic = |name: &str, mac: Option<&str>| Nic {
        interface: InterfaceName::new(name).unwrap(),
        mac: mac.map(|m| MacAddress::parse(m).unwrap()),
    };
    let rule = |name: &str, is_default, access| DecidingRule {
        nsg: "/subscriptions/s/nsg".to_owned(),
        name: name.to_owned(),
        is_default,
        access,
    };
    let process =
        Process { pid: 7, name: "curl".to_owned(), exe: "/usr/bin/curl".to_owned(), ..Process::default() };
    let known = Process {
        uid: 33,
        user: Some("www-data".to_owned()),
        unit: Some("nginx.service".to_owned()),
        package: Some("nginx".to_owned()),
        ..process.clone()
    };
    Batch {
        generation: u64::MAX,
        nics: vec![nic("eth0", None), nic("eth1", Some("52:54:00:00:00:01"))],
        rules: vec![rule("Web\u{0}\u{1F980}", false, Access::Allow), rule("DenyAll", true, Access::Deny)],
        processes: vec![process, known],
        flows,
        gaps: Vec::new(),
    }
}

pub(crate) fn gap(at: i64) -> Gap {
    Gap { at, reason: GapReason::Denied, lost: Some(3), rule: None }
}

/// The event that carries a batch.
pub(crate) fn event(machine: &str, sequence: i64, at_ms: i64, batch: &Batch) -> Event {
    Event { kind: KIND.to_owned(), ..crate::event(machine, sequence, at_ms, batch.data().into()) }
}

/// What an event brings, as the table must have it.
pub(crate) fn rows(event: &Event, batch: &Batch) -> Vec<(String, i64, usize, String)> {
    let row = |(place, record)| (event.machine.clone(), event.sequence, place, format!("{record:?}"));
    batch.records().into_iter().enumerate().map(row).collect()
}

/// What the lake has, in one order.
pub(crate) async fn told(lake: &Lake, query: &FlowQuery) -> Vec<(String, i64, usize, String)> {
    let take = |all: &mut Vec<FlowRow>, row| {
        all.push(row);
        ControlFlow::Continue(())
    };
    let found = lake.flows(query, Vec::new, take).await.unwrap();
    let row = |r: FlowRow| {
        (r.machine.to_string(), r.origin.sequence, usize::from(r.origin.place), format!("{:?}", r.record))
    };
    let mut found: Vec<_> = found.into_iter().map(row).collect();
    found.sort();
    found
}

pub(crate) fn everything() -> FlowQuery {
    FlowQuery {
        machines: Machines::All,
        from: from_ms(0),
        to: from_ms(1_000 * DAY),
        filter: Filter::default(),
    }
}

#[tokio::test]
async fn flows_come_back_as_they_were_from_events_segments_and_compacted_ones_and_events_keep_the_rest() {
    let world = World::new().await;
    let mut expected = Vec::new();
    for n in 0..3_u32 {
        let mut told = batch((0..400).map(|i| flow(i64::from(n * 1000 + i), n * 400 + i)).collect());
        if n == 1 {
            told.gaps = vec![gap(5)];
        }
        let event = event(["/a", "/b"][n as usize % 2], i64::from(n) + 1, 500_000, &told);
        expected.extend(rows(&event, &told));
        world.receive(FIRST, vec![event]).await;
    }
    // What makes no sense stays what it is.
    let nonsense = Event { kind: KIND.to_owned(), ..crate::event("/a", 9, 500_001, json!({"flows": 1})) };
    world.receive(FIRST, vec![nonsense, crate::event("/a", 10, 500_002, json!({"other": true}))]).await;
    expected.sort();
    let rest = Batch { generation: u64::MAX, gaps: vec![gap(5)], ..Batch::default() };
    let events = [Value::from(rest.data()), json!({"flows": 1}), json!({"other": true})];
    let is_right = async || {
        assert!(told(&world.lake, &everything()).await == expected);
        let data: Vec<Value> = all(&world.lake).await.into_iter().map(|r| r.event.data).collect();
        assert_eq!(data, events);
    };
    is_right().await;
    assert_eq!(world.lake.flush().await.unwrap(), 5);
    let names = || world.files().iter().map(|f| f.display().to_string()).collect::<Vec<_>>();
    assert_eq!(names().iter().filter(|f| f.contains("/flows/")).count(), 1);
    is_right().await;
    let more = batch(vec![flow(7, 7)]);
    let late = event("/c", 1, 8, &more);
    expected_with(&mut expected, &late, &more);
    world.receive(FIRST, vec![late]).await;
    assert_eq!(world.lake.flush().await.unwrap(), 1);
    let is_all = async || told(&world.lake, &everything()).await == expected;
    assert!(is_all().await);
    assert_eq!(world.lake.compact(noon(FIRST + 1)).await.unwrap(), 2);
    assert!(is_all().await);
    assert_eq!(names().len(), 2);
    assert!(world.lake.check().await.unwrap().is_empty());
    // They are kept for a time of their own.
    let keep = Retention { days: 9, streams: BTreeMap::from([(KIND.to_owned(), 1)]) };
    assert_eq!(world.lake.retain(noon(FIRST + 3), &keep).await.unwrap(), 1);
    assert!(told(&world.lake, &everything()).await.is_empty());
    assert_eq!(all(&world.lake).await.len(), 3);
    let later = time::OffsetDateTime::now_utc() + time::Duration::hours(2);
    std::fs::write(
        world.dir.path().join("lake").join(uuid::Uuid::nil().to_string()).join("flows/orphan"),
        b"x",
    )
    .unwrap();
    assert_eq!(world.lake.sweep(later).await.unwrap(), 1);
}

fn expected_with(expected: &mut Vec<(String, i64, usize, String)>, event: &Event, batch: &Batch) {
    expected.extend(rows(event, batch));
    expected.sort();
}

#[tokio::test]
async fn every_filter_finds_what_holds_wherever_it_lies() {
    let world = World::new().await;
    let told_of = batch((0..400).map(|n| flow(i64::from(n) * 10, n)).collect());
    let events = ["/s/a", "/s/b", "/t/a"].map(|machine| event(machine, 1, 5_000, &told_of));
    let expected = |wanted: &FlowQuery| {
        let range =
            wanted.from.unix_timestamp_nanos() / 1_000_000..=wanted.to.unix_timestamp_nanos() / 1_000_000;
        let records: Vec<bool> = told_of
            .records()
            .iter()
            .map(|r| range.contains(&i128::from(r.flow.at)) && wanted.filter.holds(r))
            .collect();
        let mut all: Vec<_> = events
            .iter()
            .filter(|e| wanted.machines.contains(&e.machine))
            .flat_map(|e| rows(e, &told_of))
            .collect();
        all.retain(|(_, _, place, _)| records[*place]);
        all.sort();
        all
    };
    let filter = |filter: Filter| FlowQuery { filter, ..everything() };
    let none = Filter::default();
    let queries = [
        FlowQuery { from: from_ms(100), to: from_ms(200), ..everything() },
        FlowQuery { machines: Machines::One("/s/b".to_owned()), ..everything() },
        FlowQuery { machines: Machines::Below("/s/".to_owned()), ..everything() },
        filter(Filter { access: Some(Access::Deny), ..none.clone() }),
        filter(Filter { port: Some(77), ..none.clone() }),
        filter(Filter { address: Some("10.0.0.7".parse().unwrap()), ..none.clone() }),
        filter(Filter { address: Some("10.0.0.6".parse().unwrap()), ..none.clone() }),
        filter(Filter { rule: Some("denyall".to_owned()), ..none.clone() }),
        filter(Filter { process: Some("curl".to_owned()), access: Some(Access::Allow), ..none }),
    ];
    world.receive(FIRST, events.to_vec()).await;
    for flushed in [false, true] {
        if flushed {
            world.lake.flush().await.unwrap();
        }
        for query in &queries {
            let expected = expected(query);
            assert!(!expected.is_empty(), "{query:?}");
            assert!(told(&world.lake, query).await == expected, "{query:?}, flushed: {flushed}");
        }
    }
}

#[tokio::test]
async fn the_flows_of_one_machine_address_or_port_are_found_without_reading_those_of_the_others() {
    let world = World::new().await;
    let machine = |n: u32| format!("/subscriptions/s/resourcegroups/rg/machines/{n:04}");
    for part in 0..10_u32 {
        let events = (0..100).map(|m| {
            // Of many addresses and ports, in no order.
            let mixed = |i: u32| (m * 7919 + part * 104_729 + i).wrapping_mul(0x9E37_79B1) & 0x3fff;
            let flows = (0..400).map(|i| Flow { count: 1, ..flow((part * 400 + i).into(), mixed(i)) });
            event(&machine(m), i64::from(part) + 1, 5_000, &batch(flows.collect()))
        });
        world.receive(FIRST, events.collect()).await;
        world.lake.flush().await.unwrap();
    }
    world.lake.compact(noon(FIRST + 1)).await.unwrap();
    let size: u64 = world.files().iter().map(|f| f.metadata().unwrap().len()).sum();
    let counting = Arc::new(Storage::over(world.objects.clone()));
    let lake = Lake::on(world.store.clone(), counting.clone());
    let read = async |query: &FlowQuery| {
        let before = counting.bytes_read();
        let found = told(&lake, query).await.len();
        (found, size / (counting.bytes_read() - before).max(1))
    };
    let one = FlowQuery { machines: Machines::One(machine(50)), ..everything() };
    let (found, spared) = read(&one).await;
    assert_eq!(found, 4_000);
    assert!(spared >= 12, "a {spared}th is read");
    let (found, spared) = read(&FlowQuery { from: from_ms(100), to: from_ms(110), ..one.clone() }).await;
    assert_eq!(found, 11);
    assert!(spared >= 12, "a {spared}th is read");
    let absent = Filter { address: Some("203.0.113.9".parse().unwrap()), ..Filter::default() };
    let (found, spared) = read(&FlowQuery { filter: absent, ..everything() }).await;
    assert_eq!(found, 0);
    // What each group of rows knows of its addresses is larger than what it knows of ports.
    assert!(spared >= 12, "a {spared}th is read");
    let absent = Filter { port: Some(1_500), ..Filter::default() };
    let (found, spared) = read(&FlowQuery { filter: absent, ..everything() }).await;
    assert_eq!(found, 0);
    assert!(spared >= 30, "a {spared}th is read");
    let rare = Filter { rule: Some("nobody".to_owned()), ..Filter::default() };
    let (found, spared) = read(&FlowQuery { filter: rare, ..everything() }).await;
    assert_eq!(found, 0);
    assert!(spared >= 20, "a {spared}th is read");
}

/// A segment as it was written when flows were events there, too.
async fn older(world: &World, events: &[Event]) {
    let text = |of: fn(&Event) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(events.iter().map(of)))
    };
    let time = |of: fn(&Event) -> i64| -> ArrayRef {
        Arc::new(TimestampMillisecondArray::from_iter_values(events.iter().map(of)).with_timezone("UTC"))
    };
    let sequence: ArrayRef = Arc::new(Int64Array::from_iter_values(events.iter().map(|e| e.sequence)));
    let at = |e: &Event| e.at.unix_timestamp() * 1000 + i64::from(e.at.millisecond());
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("machine", text(|e| e.machine.clone()), false),
        ("at", time(at), false),
        ("stream", text(|e| e.stream.clone()), false),
        ("epoch", text(|e| e.epoch.clone()), false),
        ("sequence", sequence, false),
        ("received", time(|_| FIRST * DAY), false),
        ("kind", text(|e| e.kind.clone()), false),
        ("data", text(|e| e.data.to_string()), false),
    ])
    .unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let bytes = writer.into_inner().unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let segment = Segment {
        id: "older".to_owned(),
        stream: "server".to_owned(),
        day: FIRST,
        level: 0,
        machines: (events[0].machine.clone(), events.last().unwrap().machine.clone()),
        at: (events[0].at, events.last().unwrap().at),
        rows: i64::try_from(events.len()).unwrap(),
        bytes: i64::try_from(bytes.len()).unwrap(),
        path: "events/server/older.parquet".to_owned(),
        tail: None,
        digest: digest.as_ref().iter().map(|b| format!("{b:02x}")).collect(),
        made: from_ms(FIRST * DAY),
    };
    let path = object_store::path::Path::parse(&segment.path).unwrap();
    world.objects.put(&path, PutPayload::from(bytes)).await.unwrap();
    assert!(world.store.swap(Swap { add: vec![segment], ..Swap::default() }).await.unwrap());
}

#[tokio::test]
async fn flows_in_segments_of_older_versions_are_answered_as_before_also_when_these_are_compacted() {
    let world = World::new().await;
    let mut old = batch((0..50).map(|n| flow(i64::from(n), n)).collect());
    old.gaps = vec![gap(1)];
    let (first, other) = (event("/a", 1, 100, &old), crate::event("/b", 1, 200, json!({"n": 1})));
    older(&world, &[first.clone(), other]).await;
    let new = batch(vec![flow(60, 60)]);
    let second = event("/a", 2, 300, &new);
    world.receive(FIRST, vec![second.clone(), crate::event("/c", 1, 400, json!({}))]).await;
    world.lake.flush().await.unwrap();
    let mut expected = rows(&first, &old);
    expected_with(&mut expected, &second, &new);
    let denied = Filter { access: Some(Access::Deny), ..Filter::default() };
    let denied = FlowQuery { filter: denied, ..everything() };
    for compacted in [false, true] {
        if compacted {
            assert_eq!(world.lake.compact(noon(FIRST + 1)).await.unwrap(), 2);
        }
        assert!(told(&world.lake, &everything()).await == expected);
        assert_eq!(told(&world.lake, &denied).await.len(), 18);
        let kinds: Vec<String> = all(&world.lake).await.into_iter().map(|r| r.event.kind).collect();
        assert_eq!(kinds, [KIND, "test.happened", "test.happened"], "an event is left of what had gaps");
    }
    let of_kind = Query { kinds: vec![KIND.to_owned()], limit: 9, ..Query::default() };
    assert_eq!(world.lake.query(&of_kind).await.unwrap().rows[0].event.data["flows"], json!([]));
}

#[tokio::test]
async fn other_programs_read_the_table() {
    let Ok(python) = std::env::var("SEKISHO_DUCKDB") else {
        return skipped("SEKISHO_DUCKDB names no Python with duckdb");
    };
    let world = World::new().await;
    let told = batch((0..400).map(|n| flow(1_700_000_000_000 + i64::from(n), n)).collect());
    world.receive(FIRST, vec![event("/a", 1, 1_700_000_001_000, &told)]).await;
    world.lake.flush().await.unwrap();
    let file = world.files().into_iter().find(|f| f.display().to_string().contains("/flows/")).unwrap();
    let denied = told.flows.iter().filter(|f| f.state == State::Denied).count();
    let sum: u64 = told.flows.iter().map(|f| f.delta.bytes_sent).sum();
    let script = "import duckdb, sys; print(duckdb.sql(f\"\"\"select count(*) filter (decision = 'Deny'), \
        sum(bytes_sent), epoch_ms(min(\"at\")), max(packets_sent), count(distinct source_address), \
        max(unit) from '{sys.argv[1]}'\"\"\").fetchall()[0])";
    let output = Command::new(Path::new(&python)).args(["-c", script]).arg(file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        text.trim(),
        format!("({denied}, {sum}, 1700000000000, {}, 400, 'nginx.service')", u64::MAX),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}
