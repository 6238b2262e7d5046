//! The store through its public surface: on a temporary SQLite file, or on a PostgreSQL server of the test's own where
//! `SEKISHO_TEST_DATABASE=postgres` says so.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod events;
mod log;

use futures_util::future::join_all;
use futures_util::{FutureExt as _, TryStreamExt as _};
use sekisho_arm::{
    AuditEntry, CallerRef, Listing, Outcome, PrincipalKind, Read, Resource, Scope, StoreError, TypeName,
};
use sekisho_audit::Hash;
use sekisho_lab::postgres::{self, Postgres};
use sekisho_store::{News, Store, Verb};
use serde_json::{Map, json};
use tempfile::TempDir;
use time::OffsetDateTime;

const SUB: &str = "/subscriptions/33333333-3333-3333-3333-333333333333";

fn scope(text: &str) -> Scope {
    Scope::parse(&format!("{SUB}{text}")).unwrap()
}

fn resource(id: &str) -> Resource {
    let id = scope(id);
    Resource {
        type_name: id.type_name(),
        id,
        location: Some("home".into()),
        tags: Some(Map::from_iter([("a".to_owned(), json!("b"))])),
        etag: String::new(),
        sequence: 0,
        created_at: OffsetDateTime::UNIX_EPOCH,
        changed_at: OffsetDateTime::UNIX_EPOCH,
        rest: Map::from_iter([("properties".to_owned(), json!({"unknown": {"kept": [1, 2]}}))]),
    }
}

fn entry(operation: &str) -> AuditEntry {
    AuditEntry {
        operation: operation.into(),
        resource_id: SUB.into(),
        caller: CallerRef { object_id: "1".into(), kind: PrincipalKind::User, name: "tanaka".into() },
        outcome: Outcome::Succeeded,
        detail: "Created".into(),
        correlation_id: "c".into(),
        authorization: None,
        http: None,
        phase: None,
        properties: None,
    }
}

/// Where a test's database is.
struct Place {
    url: String,
    _dir: TempDir,
    postgres: Option<Postgres>,
}

impl Place {
    fn new() -> Place {
        Place::on(postgres::of_this_run().unwrap())
    }

    fn on(postgres: Option<Postgres>) -> Place {
        let dir = TempDir::new().unwrap();
        let sqlite = format!("sqlite://{}/db", dir.path().display());
        Place { url: postgres.as_ref().map_or(sqlite, Postgres::url), _dir: dir, postgres }
    }

    /// A PostgreSQL of the test's own whatever the run is for, or why there is none.
    fn postgres() -> Option<Place> {
        if let Err(why) = postgres::programs() {
            skipped(&why);
            return None;
        }
        Some(Place::on(Some(Postgres::start().unwrap())))
    }

    async fn open(&self) -> Store {
        Store::open(&self.url).await.unwrap()
    }

    /// Writes what the first version of the schema was, with a little in it.
    async fn fill_with_schema_1(&self) {
        // Opening only installs the drivers and makes SQLite's file.
        let _ = sekisho_store::versions(&self.url).await.unwrap();
        let mut direct = self.direct().await;
        let key = if self.postgres.is_some() { "TEXT COLLATE \"C\"" } else { "TEXT" };
        let statements = include_str!("../schema-1.sql").replace("{key}", key);
        for statement in statements.split(';').filter(|s| !s.trim().is_empty()) {
            sqlx::query(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut direct).await.unwrap();
        }
    }

    async fn direct(&self) -> sqlx::AnyConnection {
        <sqlx::AnyConnection as sqlx::Connection>::connect(&self.url).await.unwrap()
    }
}

/// How many entries the log has, and its root, when all of it holds together.
async fn verified(store: &Store) -> Result<(u64, Hash), StoreError> {
    store.read().await?.log_verify().await
}

async fn put(store: &Store, id: &str) -> Result<Resource, StoreError> {
    let id = id.to_owned();
    store.write::<_, StoreError, _>(move |tx| Box::pin(async move { tx.put(resource(&id)).await })).await
}

#[tokio::test]
async fn a_resource_reads_back_as_it_was_kept_whatever_the_case_of_the_id() {
    let place = Place::new();
    let store = place.open().await;
    let id = "/resourceGroups/Rg/providers/Microsoft.Test/things/One";
    let kept = store
        .write::<_, StoreError, _>(move |tx| Box::pin(async move { tx.put(resource(id)).await }))
        .await
        .unwrap();
    assert!(!kept.etag.is_empty());
    let read = store.read().await.unwrap().get(&scope(&id.to_lowercase())).await.unwrap().unwrap();
    assert_eq!(read, kept);
    assert_eq!(read.id.name(), "One");
}

#[tokio::test]
async fn a_write_that_fails_leaves_neither_resource_nor_audit_nor_change() {
    let place = Place::new();
    let store = place.open().await;
    let mut feed = store.changes();
    let failed: Result<(), StoreError> = store
        .write(|tx| {
            Box::pin(async move {
                tx.put(resource("/resourceGroups/r/providers/Microsoft.Test/things/x")).await?;
                tx.put_document("session", "k", json!(1)).await?;
                tx.audit(entry("a")).await?;
                Err(StoreError::Unavailable("on purpose".into()))
            })
        })
        .await;
    assert!(failed.is_err());
    let mut read = store.read().await.unwrap();
    assert!(read.list(&Listing { limit: 9, ..Listing::all(&Scope::Tenant) }).await.unwrap().is_empty());
    assert!(read.documents("session").await.unwrap().is_empty());
    assert_eq!(verified(&store).await.unwrap().0, 0);
    assert!(feed.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_write_that_panics_is_undone_and_the_next_one_works() {
    let place = Place::new();
    let store = place.open().await;
    let failed: Result<(), StoreError> = store
        .write(|tx| {
            Box::pin(async move {
                tx.put_document("k", "1", json!(1)).await?;
                panic!("on purpose")
            })
        })
        .await;
    assert!(failed.is_err());
    store
        .write::<_, StoreError, _>(|tx| Box::pin(async move { tx.put_document("k", "2", json!(2)).await }))
        .await
        .unwrap();
    let keys: Vec<_> =
        store.read().await.unwrap().documents("k").await.unwrap().into_iter().map(|d| d.key).collect();
    assert_eq!(keys, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_concurrent_writes_make_one_gapless_log_that_a_restart_continues() {
    let place = Place::new();
    {
        let store = place.open().await;
        let writes = (0..1000).map(|i| {
            let store = store.clone();
            async move {
                store
                    .write::<_, StoreError, _>(move |tx| {
                        Box::pin(async move {
                            let id = format!("/resourceGroups/r/providers/Microsoft.Test/things/t{i}");
                            tx.put(resource(&id)).await?;
                            tx.audit(entry(&format!("op{i}"))).await
                        })
                    })
                    .await
                    .unwrap();
            }
        });
        join_all(writes).await;
        assert_eq!(verified(&store).await.unwrap().0, 1000);
    }
    let store = place.open().await;
    store
        .write::<_, StoreError, _>(|tx| Box::pin(async move { tx.audit(entry("last")).await }))
        .await
        .unwrap();
    assert_eq!(verified(&store).await.unwrap().0, 1001);
    let all = store.changes_after(0, 5000).await.unwrap().unwrap();
    assert!(all.windows(2).all(|w| w[1].sequence == w[0].sequence + 1));
    assert_eq!(all.iter().filter(|c| c.kind == "microsoft.test/things").count(), 1000);
}

#[tokio::test]
async fn an_audit_entry_changed_in_the_file_is_found() {
    let place = Place::new();
    let store = place.open().await;
    for i in 0..3 {
        store
            .write::<_, StoreError, _>(move |tx| {
                Box::pin(async move { tx.audit(entry(&format!("op{i}"))).await })
            })
            .await
            .unwrap();
    }
    let mut direct = place.direct().await;
    sqlx::query("UPDATE audit SET leaf = replace(leaf, 'tanaka', 'suzuki') WHERE sequence = 2")
        .execute(&mut direct)
        .await
        .unwrap();
    let error = verified(&store).await.unwrap_err();
    assert!(error.to_string().contains("entry 2 was changed"), "{error}");
}

#[tokio::test]
async fn removing_a_scope_removes_what_is_inside_it_and_not_its_namesakes() {
    let place = Place::new();
    let store = place.open().await;
    let ids = [
        "/resourceGroups/prod",
        "/resourceGroups/prod/providers/Microsoft.Test/things/a",
        "/resourceGroups/prod/providers/Microsoft.Test/things/a/providers/Microsoft.Authorization/locks/l",
        "/resourceGroups/prod2",
        "/resourceGroups/prod-3/providers/Microsoft.Test/things/a",
    ];
    let removed = store
        .write::<_, StoreError, _>(move |tx| {
            Box::pin(async move {
                for id in ids {
                    tx.put(resource(id)).await?;
                }
                tx.remove(&scope("/resourceGroups/PROD")).await
            })
        })
        .await
        .unwrap();
    assert_eq!(removed.len(), 3);
    assert!(removed[0].to_string().ends_with("locks/l"), "innermost first");
    let left =
        store.read().await.unwrap().list(&Listing { limit: 99, ..Listing::all(&scope("")) }).await.unwrap();
    assert_eq!(left.len(), 2);
}

#[tokio::test]
async fn lists_are_ordered_limited_and_continue_after_a_key() {
    let place = Place::new();
    let store = place.open().await;
    store
        .write::<_, StoreError, _>(|tx| {
            Box::pin(async move {
                for i in [3, 1, 2] {
                    tx.put(resource(&format!("/resourceGroups/r/providers/Microsoft.Test/things/t{i}")))
                        .await?;
                }
                tx.put(resource("/resourceGroups/r/providers/Microsoft.Test/others/t0")).await.map(|_| ())
            })
        })
        .await
        .unwrap();
    let mut read = store.read().await.unwrap();
    let type_name = TypeName::new("microsoft.test", "THINGS");
    let mut listing = Listing { limit: 2, ..Listing::of(&scope(""), &type_name) };
    let first = read.list(&listing).await.unwrap();
    assert_eq!(first.iter().map(|r| r.id.name()).collect::<Vec<_>>(), ["t1", "t2"]);
    listing.after = Some(first[1].id.key());
    assert_eq!(read.list(&listing).await.unwrap()[0].id.name(), "t3");
}

#[tokio::test]
async fn a_list_of_more_than_is_read_at_once_is_whole_and_every_row_is_as_it_was_written() {
    const COUNT: usize = 2_345;
    let place = Place::new();
    let store = place.open().await;
    let made = |i: usize| {
        let mut one = resource(&format!("/resourceGroups/r/providers/Microsoft.Test/things/t{i:04}"));
        // What could be taken for the length of something, or for its end.
        one.rest =
            [("text".to_owned(), json!(format!("12:{}関所\n", "x".repeat(i % 7))))].into_iter().collect();
        one.location = (i % 3).checked_sub(1).map(|n| "東".repeat(n));
        one.tags = i.is_multiple_of(2).then(|| [("k:1".to_owned(), json!("v"))].into_iter().collect());
        one
    };
    let work = store.write::<_, StoreError, _>(move |tx| {
        Box::pin(async move {
            for i in 0..COUNT {
                tx.put(made(i)).await?;
                tx.put_document("odd", &format!("3:k{i:04}"), json!({"n": i, "text": "関:5:"})).await?;
            }
            Ok(())
        })
    });
    work.await.unwrap();
    let mut read = store.read().await.unwrap();
    let listing = Listing::of(&scope(""), &TypeName::new("Microsoft.Test", "things"));
    let all = read.list(&listing).await.unwrap();
    assert_eq!(all.len(), COUNT);
    for (i, found) in all.iter().enumerate() {
        let wanted = made(i);
        assert_eq!((&found.id, &found.rest), (&wanted.id, &wanted.rest));
        assert_eq!((&found.location, &found.tags), (&wanted.location, &wanted.tags));
    }
    let some = read.list(&Listing { limit: 1_500, ..listing }).await.unwrap();
    assert_eq!(some.len(), 1_500);
    let documents = read.documents("odd").await.unwrap();
    assert_eq!(documents.len(), COUNT);
    for (i, document) in documents.iter().enumerate() {
        let wanted = (format!("3:k{i:04}"), json!({"n": i, "text": "関:5:"}));
        assert_eq!((&document.key, document.body().unwrap()), (&wanted.0, wanted.1));
    }
    assert_eq!(read.documents_between("odd", "3:k0001", "3:k2001").await.unwrap().len(), 2_001);
}

#[tokio::test]
async fn a_list_of_what_mentions_a_word_leaves_out_what_does_not() {
    let place = Place::new();
    let store = place.open().await;
    let work = store.write::<_, StoreError, _>(|tx| {
        Box::pin(async move {
            for (name, text) in [("a", "of/Web_1/x"), ("b", "of/webX1"), ("c", "100%"), ("d", "関所 db!")] {
                let mut one = resource(&format!("/resourceGroups/r/providers/Microsoft.Test/things/{name}"));
                one.rest = [("text".to_owned(), json!(text))].into_iter().collect();
                tx.put(one).await?;
            }
            Ok(())
        })
    });
    work.await.unwrap();
    let mut read = store.read().await.unwrap();
    let all = Listing::of(&scope(""), &TypeName::new("Microsoft.Test", "things"));
    for (words, wanted) in [
        (vec!["WEB_1"], "a"),
        (vec!["web"], "ab"),
        (vec!["0%"], "c"),
        (vec!["!", "_"], "ad"),
        (vec!["elsewhere"], ""),
        (vec![], ""),
    ] {
        let words = words.into_iter().map(str::to_owned).collect();
        let found = read.list(&all.clone().mentioning(words)).await.unwrap();
        assert_eq!(found.iter().map(|r| r.id.name()).collect::<String>(), wanted);
    }
}

#[tokio::test]
async fn the_feed_tells_only_what_is_durable() {
    let place = Place::new();
    let store = place.open().await;
    let mut feed = store.changes();
    store
        .write::<_, StoreError, _>(|tx| {
            Box::pin(async move { tx.put(resource("/resourceGroups/r")).await.map(|_| ()) })
        })
        .await
        .unwrap();
    let Some(News::Changes(told)) = feed.next().await else { panic!("nothing was told") };
    assert_eq!(told[0].verb, Verb::Put);
    assert_eq!(told[0].kind, "microsoft.resources/resourcegroups");
    assert!(store.read().await.unwrap().get(&scope("/resourcegroups/r")).await.unwrap().is_some());
}

#[tokio::test]
async fn keys_are_ordered_by_their_bytes_whatever_the_language_of_the_database() {
    let place = Place::new();
    let store = place.open().await;
    for name in ["b-1", "a_1", "A1", "b1", "a-1"] {
        put(&store, &format!("/resourceGroups/r/providers/Microsoft.Test/things/{name}")).await.unwrap();
    }
    let listing = Listing::of(&scope(""), &TypeName::new("Microsoft.Test", "things"));
    let all = store.read().await.unwrap().list(&listing).await.unwrap();
    let names: Vec<&str> = all.iter().map(|r| r.id.name()).collect();
    assert_eq!(names, ["a-1", "A1", "a_1", "b-1", "b1"]);
}

#[tokio::test]
async fn nothing_is_found_under_a_key_that_no_database_could_hold() {
    let place = Place::new();
    let store = place.open().await;
    let key = "a\0b";
    assert_eq!(store.read().await.unwrap().document("kind", key).await.unwrap(), None);
    let removed: Result<bool, StoreError> =
        store.write(move |tx| Box::pin(async move { tx.remove_document("kind", key).await })).await;
    assert!(!removed.unwrap());
}

#[tokio::test]
async fn a_reader_sees_one_state_while_others_write() {
    let place = Place::new();
    let store = place.open().await;
    put(&store, "/resourceGroups/a").await.unwrap();
    let mut read = store.read().await.unwrap();
    assert!(read.get(&scope("/resourceGroups/a")).await.unwrap().is_some());
    put(&store, "/resourceGroups/b").await.unwrap();
    assert!(read.get(&scope("/resourceGroups/b")).await.unwrap().is_none());
    assert!(store.read().await.unwrap().get(&scope("/resourceGroups/b")).await.unwrap().is_some());
}

#[tokio::test]
async fn servers_that_share_a_database_grow_one_log_and_hear_of_each_others_changes_in_order() {
    let place = Place::new();
    if place.postgres.is_none() {
        return skipped("SQLite belongs to one server");
    }
    let (one, two) = (place.open().await, place.open().await);
    let mut feeds = [one.changes(), two.changes()];
    let writes = (0..200).map(|i| {
        let store = if i % 2 == 0 { one.clone() } else { two.clone() };
        async move {
            store
                .write::<_, StoreError, _>(move |tx| {
                    Box::pin(async move {
                        tx.put(resource(&format!("/resourceGroups/g{i}"))).await?;
                        tx.audit(entry(&format!("op{i}"))).await
                    })
                })
                .await
                .unwrap();
        }
    });
    join_all(writes).await;
    assert_eq!(verified(&one).await.unwrap().0, 200);
    for feed in &mut feeds {
        let mut heard = Vec::new();
        while heard.len() < 400 {
            let next = tokio::time::timeout(std::time::Duration::from_secs(4), feed.next()).await;
            let Some(News::Changes(more)) = next.expect("sooner than the poll") else { panic!("missed") };
            heard.extend(more.iter().map(|c| c.sequence));
        }
        assert_eq!(heard, (1..=400).collect::<Vec<i64>>());
    }
}

#[tokio::test]
async fn writes_go_on_after_the_database_was_killed_and_started_again() {
    let mut place = Place::new();
    if place.postgres.is_none() {
        return skipped("SQLite has no server of its own");
    }
    let store = place.open().await;
    let mut feed = store.changes();
    put(&store, "/resourceGroups/before").await.unwrap();
    place.postgres.as_mut().unwrap().kill().unwrap();
    let error = put(&store, "/resourceGroups/meanwhile").await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    place.postgres.as_mut().unwrap().restart().unwrap();
    put(&store, "/resourceGroups/after").await.unwrap();
    let mut read = store.read().await.unwrap();
    assert!(read.get(&scope("/resourceGroups/before")).await.unwrap().is_some());
    assert!(read.get(&scope("/resourceGroups/after")).await.unwrap().is_some());
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let Some(News::Changes(more)) = feed.next().await else { panic!("missed") };
        heard.extend(more.iter().map(|c| c.sequence));
    }
    assert_eq!(heard, [1, 2]);
}

#[tokio::test]
async fn a_database_copied_from_sqlite_to_postgresql_and_back_is_the_same() {
    let Some(there) = Place::postgres() else { return };
    let (here, again) = (Place::on(None), Place::on(None));
    let store = here.open().await;
    store
        .write::<_, StoreError, _>(|tx| {
            Box::pin(async move {
                tx.put(resource("/resourceGroups/r")).await?;
                tx.put(Resource { tags: None, location: None, ..resource("/resourceGroups/s") }).await?;
                tx.put_document("kind", "日本", json!({"nul": "\u{0}", "text": "\u{1F980}"})).await?;
                tx.audit(entry("one")).await?;
                tx.audit(entry("two")).await?;
                tx.append_events(vec![events::event("/a", "flows", 1), events::event("/a", "flows", 2)]).await
            })
        })
        .await
        .unwrap();
    let rows = sekisho_store::copy(&here.url, &there.url).await.unwrap();
    assert_eq!(rows, 2 + 1 + 6 + 2 + 2 + 1);
    assert_eq!(sekisho_store::copy(&there.url, &again.url).await.unwrap(), rows);
    assert_eq!(records(&here.url).await, records(&there.url).await);
    assert_eq!(records(&here.url).await, records(&again.url).await);
    let moved = there.open().await;
    assert_eq!(verified(&moved).await.unwrap(), verified(&store).await.unwrap());
    put(&moved, "/resourceGroups/later").await.unwrap();

    let error = sekisho_store::copy(&here.url, &there.url).await.unwrap_err();
    assert!(error.to_string().contains("not empty"), "{error}");
}

#[tokio::test]
async fn records_with_a_broken_log_or_a_foreign_shape_are_not_loaded_at_all() {
    let here = Place::new();
    let store = here.open().await;
    for i in 0..3 {
        store
            .write::<_, StoreError, _>(move |tx| {
                Box::pin(async move { tx.audit(entry(&format!("op{i}"))).await })
            })
            .await
            .unwrap();
    }
    let whole = records(&here.url).await;
    let gap: Vec<_> = whole.iter().filter(|r| !r.to_string().contains("op1")).cloned().collect();
    let foreign = [whole.clone(), vec![json!({"table": "resource", "row": [1, 2]})]].concat();
    let unknown = [whole.clone(), vec![json!({"table": "sqlite_master", "row": []})]].concat();
    for bad in [gap, foreign, unknown] {
        let to = Place::new();
        let stream = futures_util::stream::iter(
            bad.into_iter().map(|r| Ok::<_, StoreError>(serde_json::from_value(r).unwrap())),
        );
        sekisho_store::load(&to.url, stream, None).await.unwrap_err();
        assert!(records(&to.url).await.is_empty());
    }
}

async fn records(url: &str) -> Vec<serde_json::Value> {
    let all: Vec<_> = sekisho_store::records(url).try_collect().await.unwrap();
    all.iter().map(|r| serde_json::to_value(r).unwrap()).collect()
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}
