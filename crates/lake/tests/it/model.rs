//! Whatever is done to the lake, in whatever order, and wherever it dies: it answers as a plain list of events would.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use sekisho_arm::Event;
use sekisho_lake::{Cursor, Lake, Order, Query, Retention, Row};
use sekisho_nsg::flow::record::Batch;
use sekisho_store::from_ms;
use serde_json::{Value, json};

use crate::flows::{self, told};
use crate::storage::{Stop, Storage};
use crate::{DAY, FIRST, World, noon};

const MACHINES: [&str; 4] = ["/a", "/a/1", "/b", "/日本"];
const STREAMS: [&str; 2] = ["flows", "server"];
const KINDS: [&str; 4] = ["agent.started", "facts.changed", "x", "network.flows"];
const KEPT: Retention = Retention { days: 2, streams: BTreeMap::new() };

#[derive(Debug, Clone, Copy)]
enum Work {
    Flush,
    Compact,
    Retain,
}

#[derive(Debug, Clone)]
enum Step {
    /// Events by machine, stream, instant, kind and a number; late ones are counted to the day before.
    Append {
        late: bool,
        events: Vec<(usize, usize, i64, usize, i64)>,
    },
    Do(Work),
    /// The lake dies at its n-th change of a file.
    Die(Work, i64, Stop),
    Sweep,
    NextDay,
}

fn work() -> impl Strategy<Value = Work> {
    prop_oneof![Just(Work::Flush), Just(Work::Compact), Just(Work::Retain)]
}

fn step() -> impl Strategy<Value = Step> {
    let event = (0..MACHINES.len(), 0..STREAMS.len(), 0_i64..12, 0..KINDS.len(), 0_i64..3);
    let append = (any::<bool>(), prop::collection::vec(event, 1..12))
        .prop_map(|(late, events)| Step::Append { late, events });
    let stop = prop_oneof![Just(Stop::Before), Just(Stop::After)];
    prop_oneof![
        4 => append,
        4 => work().prop_map(Step::Do),
        3 => (work(), 0_i64..4, stop).prop_map(|(work, n, stop)| Step::Die(work, n, stop)),
        1 => Just(Step::Sweep),
        2 => Just(Step::NextDay),
    ]
}

fn query() -> impl Strategy<Value = Query> {
    let maybe = |range: std::ops::Range<i64>| prop::option::of(range);
    let machine = prop::option::of(0..MACHINES.len() + 1);
    let streams = prop::sample::subsequence(STREAMS.to_vec(), 0..=1);
    let kinds = prop::sample::subsequence(KINDS.to_vec(), 0..=2);
    (machine, maybe(0..12), maybe(0..12), streams, kinds, maybe(0..3), any::<bool>(), 1_usize..7).prop_map(
        |(machine, from, to, streams, kinds, n, newest, limit)| Query {
            // As the case has it, one of the kinds is left out.
            without: if limit % 3 == 0 { vec![KINDS[0].to_owned()] } else { Vec::new() },
            machine: machine.map(|m| MACHINES.get(m).copied().unwrap_or("/nobody").to_owned()),
            from: from.map(from_ms),
            to: to.map(from_ms),
            streams: streams.into_iter().map(str::to_owned).collect(),
            kinds: kinds.into_iter().map(str::to_owned).collect(),
            field: n.map(|n| ("/deep/n".to_owned(), json!(n))),
            order: if newest { Order::NewestFirst } else { Order::OldestFirst },
            limit,
            after: None,
        },
    )
}

/// What an event says; one of flows brings as many as `n` says, and says where it has gaps what else it says.
fn data(kind: usize, at: i64, n: i64) -> Value {
    if KINDS[kind] != "network.flows" {
        return json!({"deep": {"n": n}, "text": "\u{0}\u{1F980}"});
    }
    let mut told =
        flows::batch((0..n).map(|i| flows::flow(at + i, u32::try_from(i + at).unwrap())).collect());
    told.gaps.extend((n == 1).then(|| flows::gap(at)));
    told.data().into()
}

/// What is left of an event beside flows.
fn rest(row: &Row) -> Option<Row> {
    let mut row = row.clone();
    if row.event.kind == "network.flows" {
        row.event.data.get("gaps")?;
        for table in ["nics", "rules", "processes", "flows"] {
            row.event.data[table] = json!([]);
        }
    }
    Some(row)
}

/// The flows of the list.
fn expected_flows(list: &[Row]) -> Vec<(String, i64, usize, String)> {
    let told = list.iter().filter_map(|row| Some((&row.event, Batch::read(&row.event.data).ok()?)));
    let mut rows: Vec<_> = told.flat_map(|(event, batch)| flows::rows(event, &batch)).collect();
    rows.sort();
    rows
}

/// What the list answers.
fn expected(list: &[Row], query: &Query) -> Vec<Row> {
    let mut rows: Vec<Row> = list
        .iter()
        .filter_map(rest)
        .filter(|row| {
            let e = &row.event;
            query.machine.as_ref().is_none_or(|m| *m == e.machine)
                && query.from.is_none_or(|from| e.at >= from)
                && query.to.is_none_or(|to| e.at <= to)
                && (query.streams.is_empty() || query.streams.contains(&e.stream))
                && (query.kinds.is_empty() || query.kinds.contains(&e.kind))
                && !query.without.contains(&e.kind)
                && query.field.as_ref().is_none_or(|(_, n)| e.data["deep"]["n"] == *n)
        })
        .collect();
    rows.sort_by_key(|r| (r.event.at, r.event.machine.clone(), r.event.stream.clone(), r.event.sequence));
    if query.order == Order::NewestFirst {
        rows.reverse();
    }
    rows
}

/// What the lake answers, page by page; the place between two pages goes through its text.
async fn answered(lake: &Lake, query: &Query) -> Vec<Row> {
    let (mut rows, mut query) = (Vec::new(), query.clone());
    loop {
        let page = lake.query(&query).await.unwrap();
        assert!(page.rows.len() <= query.limit);
        rows.extend(page.rows);
        let Some(next) = page.next else { return rows };
        query.after = Some(next.to_string().parse::<Cursor>().unwrap());
    }
}

async fn run(lake: &Lake, work: Work, today: i64) {
    match work {
        Work::Flush => lake.flush().await.map(|_| ()),
        Work::Compact => lake.compact(noon(today)).await.map(|_| ()),
        Work::Retain => lake.retain(noon(today), &KEPT).await.map(|_| ()),
    }
    .unwrap();
}

async fn follow(steps: Vec<Step>, queries: Vec<Query>) {
    let world = World::new().await;
    let (mut list, mut today) = (Vec::<Row>::new(), FIRST);
    let mut numbers = BTreeMap::<(usize, usize), i64>::new();
    let everything = Query { limit: 5, ..Query::default() };
    for step in steps {
        match step {
            Step::Append { late, events } => {
                let day = if late { today - 1 } else { today };
                let events: Vec<Event> = events
                    .into_iter()
                    .map(|(machine, stream, at, kind, n)| {
                        let number = numbers.entry((machine, stream)).or_default();
                        *number += 1;
                        Event {
                            machine: MACHINES[machine].into(),
                            stream: STREAMS[stream].into(),
                            epoch: "e".into(),
                            sequence: *number,
                            at: from_ms(at),
                            kind: KINDS[kind].into(),
                            data: data(kind, at, n),
                        }
                    })
                    .collect();
                let received = from_ms(day * DAY + 5);
                list.extend(events.iter().cloned().map(|event| Row { event, received }));
                world.receive(day, events).await;
            }
            Step::Do(work) => {
                if matches!(work, Work::Retain) {
                    world.lake.flush().await.unwrap();
                    list.retain(|row| row.received >= from_ms((today - 2) * DAY));
                }
                run(&world.lake, work, today).await;
            }
            Step::Die(work, n, stop) => {
                if matches!(work, Work::Retain) {
                    // The manifest comes first: whatever becomes of the files, these events are gone.
                    world.lake.flush().await.unwrap();
                    list.retain(|row| row.received >= from_ms((today - 2) * DAY));
                }
                let storage = Arc::new(Storage::dying(world.objects.clone(), n, stop));
                let lake = Lake::on(world.store.clone(), storage.clone());
                storage.until_death(run(&lake, work, today)).await;
            }
            Step::Sweep => {
                let later = time::OffsetDateTime::now_utc() + time::Duration::hours(2);
                world.lake.sweep(later).await.unwrap();
                let segments = world.store.read().await.unwrap().segments().await.unwrap();
                assert_eq!(world.files().len(), segments.len(), "nothing else is left");
                assert!(world.lake.check().await.unwrap().is_empty());
            }
            Step::NextDay => today += 1,
        }
        assert_eq!(answered(&world.lake, &everything).await, expected(&list, &everything));
        assert_eq!(told(&world.lake, &flows::everything()).await, expected_flows(&list));
        let mut read = world.store.read().await.unwrap();
        let segments = read.segments().await.unwrap();
        let hot: Vec<Row> =
            read.hot_events(i64::MIN, 10_000).await.unwrap().into_iter().map(Row::from).collect();
        let rows = |flows: bool| -> i64 {
            segments.iter().filter(|s| (s.stream == "network.flows") == flows).map(|s| s.rows).sum()
        };
        let kept = usize::try_from(rows(false)).unwrap() + hot.iter().filter_map(rest).count();
        assert_eq!(kept, list.iter().filter_map(rest).count(), "each of them is kept once");
        let kept = usize::try_from(rows(true)).unwrap() + expected_flows(&hot).len();
        assert_eq!(kept, expected_flows(&list).len(), "each flow is kept once");
    }
    for query in &queries {
        assert_eq!(answered(&world.lake, query).await, expected(&list, query), "{query:?}");
    }
}

fn cases() -> u32 {
    if std::env::var("SEKISHO_TEST_DATABASE").is_ok_and(|d| d == "postgres") { 12 } else { 48 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_lake_answers_as_a_list_of_all_events_would_whatever_is_done_and_wherever_it_dies(
        steps in prop::collection::vec(step(), 1..24),
        queries in prop::collection::vec(query(), 12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(follow(steps, queries));
    }
}

#[tokio::test]
async fn a_query_whose_segments_are_compacted_under_it_answers_all_the_same() {
    let world = World::new().await;
    for n in 1..=3 {
        world.receive(FIRST, vec![crate::event("/a", n, n, json!({}))]).await;
        world.lake.flush().await.unwrap();
    }
    let (storage, has_come, go) = Storage::gated(world.objects.clone());
    let slow = Lake::on(world.store.clone(), Arc::new(storage));
    let reading = tokio::spawn(async move { crate::all(&slow).await });
    has_come.await.unwrap();
    assert_eq!(world.lake.compact(noon(FIRST + 1)).await.unwrap(), 3);
    go.send(()).unwrap();
    assert_eq!(reading.await.unwrap(), crate::all(&world.lake).await);
    assert_eq!(world.files().len(), 1);
}
