//! The files of the lake.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use ring::digest::{SHA256, digest};
use sekisho_lake::{Lake, LakeError, Order, Place, Query, Row};
use sekisho_store::{Segment, Store, Swap, from_ms};
use tokio::runtime::Runtime;
use uuid::Uuid;

/// Rows of the segment, as the manifest has it; the seeds have as many.
const ROWS: i64 = 40;
const MACHINES: (&str, &str) = ("/a", "/b");

/// A lake with one segment, whose file is whatever came.
struct World {
    runtime: Runtime,
    store: Store,
    lake: Lake,
    file: PathBuf,
    _dir: tempfile::TempDir,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dir = crate::directory();
        let store = runtime.block_on(Store::open(&format!("sqlite://{}/db", dir.path().display()))).unwrap();
        let place = Place::parse(&dir.path().display().to_string()).unwrap();
        let lake = Lake::on(store.clone(), place.open(Uuid::nil(), &BTreeMap::new()).unwrap());
        let file = dir.path().join(Uuid::nil().to_string()).join("it");
        World { runtime, store, lake, file, _dir: dir }
    })
}

/// A file of a segment that was not written by this program, though the manifest vouches for it, is read or is an error that
/// names it; and what a narrower question finds in it, a wider one finds, too.
pub fn segment(data: &[u8]) {
    let World { runtime, store, lake, file, .. } = world();
    std::fs::write(file, data).unwrap();
    let entry = Segment {
        id: "it".to_owned(),
        stream: "server".to_owned(),
        day: 20_000,
        level: 0,
        machines: (MACHINES.0.to_owned(), MACHINES.1.to_owned()),
        at: (from_ms(0), from_ms(1_000_000)),
        rows: ROWS,
        bytes: i64::try_from(data.len()).unwrap(),
        path: "it".to_owned(),
        tail: None,
        digest: digest(&SHA256, data).as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
        made: from_ms(0),
    };
    let swap = |add, remove| {
        let done = runtime.block_on(store.swap(Swap { add, hot: None, remove }));
        assert!(done.expect("the manifest"));
    };
    swap(vec![entry], Vec::new());
    let ask = |query: Query| -> Result<Vec<Row>, LakeError> {
        let query = Query { limit: usize::MAX, order: Order::OldestFirst, ..query };
        runtime.block_on(lake.query(&query)).map(|page| page.rows)
    };
    let all = ask(Query::default());
    let some = ask(Query { machine: Some("/a".to_owned()), to: Some(from_ms(500_000)), ..Query::default() });
    swap(Vec::new(), vec!["it".to_owned()]);
    for result in [&all, &some] {
        if let Err(error) = result {
            assert!(matches!(error, LakeError::Unreadable { segment, .. } if segment == "it"), "{error}");
        }
    }
    let Ok(all) = all else { return };
    for row in some.into_iter().flatten() {
        assert!(all.contains(&row), "{row:?} is there only when asked for");
    }
}
