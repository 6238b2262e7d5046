//! Files that are not what was written: a clear error that names the segment, or the right answer where what was changed is
//! not looked at; never a shorter answer.

use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytes::Bytes;
use parquet::file::metadata::ParquetMetaDataReader;
use proptest::prelude::*;
use sekisho_lake::{FlowQuery, FlowRow, LakeError, Machines, Order, Query, Row};
use sekisho_nsg::flow::filter::Filter;
use sekisho_store::from_ms;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::{FIRST, World, all, event, flows, noon};

/// A world with one segment of events and one of flows, the file of the first as it was written, what it holds, and the same of
/// the second.
struct Intact {
    runtime: Runtime,
    world: World,
    file: PathBuf,
    bytes: Vec<u8>,
    rows: Vec<Row>,
    flows: (PathBuf, Vec<u8>),
}

fn intact() -> &'static Intact {
    static INTACT: OnceLock<Intact> = OnceLock::new();
    INTACT.get_or_init(|| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (world, rows) = runtime.block_on(async {
            let world = World::new().await;
            let events =
                (1..=300).map(|n| event(["/a", "/b"][n as usize % 2], n, n, json!({"n": n}))).collect();
            world.receive(FIRST, events).await;
            let told = flows::batch((0..300).map(|n| flows::flow(n.into(), n)).collect());
            world.receive(FIRST, vec![flows::event("/c", 1, 500, &told)]).await;
            world.lake.flush().await.unwrap();
            let rows = all(&world.lake).await;
            (world, rows)
        });
        let [file, flows] = world.files().try_into().unwrap();
        let bytes = std::fs::read(&file).unwrap();
        let flows = (flows.clone(), std::fs::read(flows).unwrap());
        Intact { runtime, world, file, bytes, rows, flows }
    })
}

/// Puts other content in place of the segment and asks; the error, or the rows.
fn ask(content: &[u8]) -> Result<Vec<Row>, LakeError> {
    let intact = intact();
    std::fs::write(&intact.file, content).unwrap();
    let query = Query { limit: usize::MAX, order: Order::OldestFirst, ..Query::default() };
    let answer = intact.runtime.block_on(intact.world.lake.query(&query));
    answer.map(|page| page.rows)
}

/// The same of flows; how many there are.
fn ask_flows(content: &[u8]) -> Result<usize, LakeError> {
    let intact = intact();
    std::fs::write(&intact.flows.0, content).unwrap();
    let query = flows::everything();
    let count = |sum: &mut usize, _| {
        *sum += 1;
        ControlFlow::Continue(())
    };
    intact.runtime.block_on(intact.world.lake.flows(&query, || 0, count))
}

fn named(error: &LakeError) -> bool {
    names(error, &intact().file)
}

fn names(error: &LakeError, file: &Path) -> bool {
    matches!(error, LakeError::Unreadable { segment, .. }
        if file.ends_with(segment) && error.to_string().contains(segment))
}

/// Each machine's share of a segment of many blocks, and more pages than one.
const SHARE: u32 = 1_200;
/// Flows of one event.
const TOLD: u32 = 400;

/// A world with one segment of many machines' flows, its file, and what it holds.
fn large() -> &'static (Runtime, World, PathBuf, Vec<u8>) {
    static LARGE: OnceLock<(Runtime, World, PathBuf, Vec<u8>)> = OnceLock::new();
    LARGE.get_or_init(|| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (world, file) = runtime.block_on(async {
            let world = World::new().await;
            for machine in 0..20_u32 {
                let mixed = |n: u32| (machine * SHARE + n).wrapping_mul(0x9E37_79B1) & 0xffff;
                let events = (0..SHARE / TOLD).map(|part| {
                    let told = (part * TOLD..(part + 1) * TOLD).map(|n| flows::flow(n.into(), mixed(n)));
                    let told = flows::batch(told.collect());
                    flows::event(&format!("/{machine:02}"), i64::from(part) + 1, 5_000, &told)
                });
                world.receive(FIRST, events.collect()).await;
            }
            world.lake.flush().await.unwrap();
            let [file] = world.files().try_into().unwrap();
            (world, file)
        });
        let bytes = std::fs::read(&file).unwrap();
        assert!(file.display().to_string().contains("/flows/"), "{}", file.display());
        (runtime, world, file, bytes)
    })
}

/// The bytes of a segment's file that nobody looks at who asks for all of it: its first word, which nothing follows from, and what
/// its columns know of their values.
fn unread(bytes: &[u8]) -> Vec<Range<usize>> {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&Bytes::copy_from_slice(bytes)).unwrap();
    let columns = metadata.row_groups().iter().flat_map(|group| group.columns());
    let known = columns.filter_map(|c| {
        let from = usize::try_from(c.bloom_filter_offset()?).unwrap();
        Some(from..from + usize::try_from(c.bloom_filter_length()?).unwrap())
    });
    known.chain(std::iter::once(0..4)).collect()
}

/// The bytes in which a segment's file has the bounds of its pages, of machine and time.
fn bounds(bytes: &[u8]) -> Vec<usize> {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&Bytes::copy_from_slice(bytes)).unwrap();
    let columns = metadata.row_groups().iter().flat_map(|group| &group.columns()[..2]);
    let places = columns.flat_map(|c| {
        let from = usize::try_from(c.column_index_offset().unwrap()).unwrap();
        from..from + usize::try_from(c.column_index_length().unwrap()).unwrap()
    });
    places.collect()
}

/// The file with one byte changed, and whether that is one that is looked at.
fn changed(bytes: &[u8], at: prop::sample::Index, value: u8) -> (Vec<u8>, bool) {
    let mut changed = bytes.to_vec();
    let at = at.index(changed.len());
    changed[at] ^= value;
    (changed, !unread(bytes).iter().any(|range| range.contains(&at)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_no_segment_or_only_a_part_of_one_is_an_error_that_names_it(
        noise in prop::collection::vec(any::<u8>(), 0..2000),
        cut in any::<prop::sample::Index>(),
        magic in any::<bool>(),
    ) {
        let bytes = &intact().bytes;
        let error = ask(&bytes[..cut.index(bytes.len())]).unwrap_err();
        prop_assert!(named(&error), "{error}");
        let error = ask(&noise).unwrap_err();
        prop_assert!(named(&error), "{error}");
        // Of the right size, and perhaps with the right ends.
        let mut same: Vec<u8> = noise.iter().copied().cycle().take(bytes.len()).collect();
        same.resize(bytes.len(), 7);
        if magic {
            let end = same.len();
            same[..4].copy_from_slice(b"PAR1");
            same[end - 8..].copy_from_slice(&bytes[end - 8..]);
        }
        let error = ask(&same).unwrap_err();
        prop_assert!(named(&error), "{error}");
    }

    #[test]
    fn a_segment_with_a_changed_byte_is_an_error_that_names_it_if_the_byte_is_looked_at(
        at in any::<prop::sample::Index>(),
        value in 1_u8..,
    ) {
        let intact = intact();
        let (bytes, is_read) = changed(&intact.bytes, at, value);
        match ask(&bytes) {
            Err(error) => prop_assert!(named(&error), "{error}"),
            Ok(rows) => prop_assert!(!is_read && rows == intact.rows),
        }
        prop_assert!(ask(&intact.bytes).unwrap() == intact.rows);
    }

    #[test]
    fn a_segment_of_flows_that_was_changed_or_cut_is_an_error_that_names_it(
        at in any::<prop::sample::Index>(),
        value in 1_u8..,
        cut in any::<prop::sample::Index>(),
    ) {
        let (file, bytes) = &intact().flows;
        // The segment of events is asked, too, for flows of older versions.
        std::fs::write(&intact().file, &intact().bytes).unwrap();
        let error = ask_flows(&bytes[..cut.index(bytes.len())]).unwrap_err();
        prop_assert!(names(&error, file), "{error}");
        let (content, is_read) = changed(bytes, at, value);
        match ask_flows(&content) {
            Err(error) => prop_assert!(names(&error, file), "{error}"),
            Ok(count) => prop_assert_eq!((count, is_read), (300, false)),
        }
        prop_assert_eq!(ask_flows(bytes).unwrap(), 300);
    }

    #[test]
    fn whatever_is_asked_of_a_segment_with_a_changed_byte_the_answer_is_right_or_an_error_that_names_it(
        at in any::<prop::sample::Index>(),
        value in 1_u8..,
        machine in prop::option::of(0..20_u32),
        from in 0..i64::from(SHARE),
        length in 0..100_i64,
        port in prop::option::of(0..1_000_u16),
    ) {
        let (runtime, world, file, bytes) = large();
        let query = FlowQuery {
            machines: machine.map_or(Machines::All, |n| Machines::One(format!("/{n:02}"))),
            from: from_ms(from),
            to: from_ms(from + length),
            filter: Filter { port, ..Filter::default() },
        };
        let ask = |content: &[u8]| {
            std::fs::write(file, content).unwrap();
            let take = |rows: &mut Vec<FlowRow>, row| {
                rows.push(row);
                ControlFlow::Continue(())
            };
            runtime.block_on(world.lake.flows(&query, Vec::new, take))
        };
        let right = ask(bytes).unwrap();
        let mut other = bytes.clone();
        let bounds = bounds(bytes);
        other[bounds[at.index(bounds.len())]] ^= value;
        for content in [changed(bytes, at, value).0, other] {
            match ask(&content) {
                Err(error) => prop_assert!(names(&error, file), "{error}"),
                Ok(rows) => prop_assert!(rows == right),
            }
        }
    }
}

#[tokio::test]
async fn a_missing_segment_is_an_error_that_names_it_unless_the_answer_does_not_need_it() {
    let world = World::new().await;
    world.receive(FIRST, vec![event("/a", 1, 1000, json!({}))]).await;
    world.lake.flush().await.unwrap();
    world.receive(FIRST, vec![event("/b", 1, 2000, json!({}))]).await;
    let file = world.files().pop().unwrap();
    std::fs::remove_file(&file).unwrap();
    let query = Query { limit: 9, ..Query::default() };
    let error = world.lake.query(&query).await.unwrap_err();
    assert!(matches!(&error, LakeError::Missing(segment) if file.ends_with(segment)), "{error}");
    let problems = world.lake.check().await.unwrap();
    assert!(matches!(&problems[..], [LakeError::Missing(segment)] if file.ends_with(segment)));
    let other = Query { machine: Some("/b".into()), ..query };
    assert_eq!(world.lake.query(&other).await.unwrap().rows.len(), 1);
}

#[tokio::test]
async fn a_damaged_segment_is_not_compacted_and_does_not_keep_other_days_from_it() {
    let world = World::new().await;
    for (day, n) in [(FIRST, 1), (FIRST, 2), (FIRST + 1, 3), (FIRST + 1, 4)] {
        world.receive(day, vec![event("/a", n, n, json!({"text": "as it was"}))]).await;
        world.lake.flush().await.unwrap();
    }
    let file = world.files().into_iter().next().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let query = Query { limit: 9, ..Query::default() };
    let error = world.lake.query(&query).await.unwrap_err();
    assert!(matches!(&error, LakeError::Unreadable { segment, .. } if file.ends_with(segment)), "{error}");
    let error = world.lake.compact(noon(FIRST + 2)).await.unwrap_err();
    assert!(matches!(&error, LakeError::Unreadable { segment, .. } if file.ends_with(segment)), "{error}");
    assert_eq!(world.files().len(), 3);
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
    bytes[at] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    assert_eq!(all(&world.lake).await.len(), 4);
}
