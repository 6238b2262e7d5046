//! Events as they are appended, and a database from before there were any.

use sekisho_arm::{Event, Read as _, StoreError};
use sekisho_store::{News, Store, Verb};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{Place, records};

pub(crate) fn event(machine: &str, stream: &str, sequence: i64) -> Event {
    Event {
        machine: machine.into(),
        stream: stream.into(),
        epoch: "e".into(),
        sequence,
        at: OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(sequence),
        kind: "test.happened".into(),
        data: json!({"n": sequence, "nul": "\u{0}"}),
    }
}

async fn append(store: &Store, events: Vec<Event>) -> Result<(), StoreError> {
    store.write(move |tx| Box::pin(async move { tx.append_events(events).await })).await
}

async fn rows(url: &str, table: &str) -> Vec<Value> {
    records(url).await.into_iter().filter(|r| r["table"] == table).map(|mut r| r["row"].take()).collect()
}

#[tokio::test]
async fn a_batch_of_events_is_one_change_for_each_machine_whatever_its_size() {
    let place = Place::new();
    let store = place.open().await;
    let mut feed = store.changes();
    let mut events: Vec<_> = (1..=500).map(|n| event("/b", "flows", n)).collect();
    events.extend((1..=3).map(|n| event("/a", "flows", n)));
    append(&store, events).await.unwrap();
    let Some(News::Changes(told)) = feed.next().await else { panic!("nothing was told") };
    let told: Vec<_> = told.iter().map(|c| (c.kind.as_str(), c.key.as_str(), c.verb)).collect();
    assert_eq!(told, [("event", "/a", Verb::Put), ("event", "/b", Verb::Put)]);
    let mut kept = rows(&place.url, "event").await;
    kept.sort_by_key(|row| row[0].as_i64());
    assert_eq!(kept.len(), 503);
    let numbers: Vec<_> =
        kept.iter().map(|row| (row[1].as_str().unwrap(), row[4].as_i64().unwrap())).collect();
    let expected: Vec<_> = (1..=3).map(|n| ("/a", n)).chain((1..=500).map(|n| ("/b", n))).collect();
    assert_eq!(numbers, expected, "in the order of their arrival");
    let data: Value = serde_json::from_str(kept[2][8].as_str().unwrap()).unwrap();
    assert_eq!(data, event("/a", "flows", 3).data);
}

#[tokio::test]
async fn an_event_that_was_appended_before_is_refused_with_its_whole_batch_even_after_a_restart() {
    let place = Place::new();
    let store = place.open().await;
    append(&store, vec![event("/a", "flows", 1), event("/a", "flows", 4)]).await.unwrap();
    for bad in [
        vec![event("/a", "flows", 5), event("/a", "flows", 4)],
        vec![event("/a", "flows", 5), event("/a", "flows", 5)],
        vec![event("/a", "exec", 1), event("/a", "flows", 3)],
        vec![event("/a", "exec", 0)],
    ] {
        let error = append(&store, bad).await.unwrap_err();
        assert!(matches!(error, StoreError::Exists(_)), "{error}");
    }
    assert_eq!(rows(&place.url, "event").await.len(), 2);
    drop(store);
    let store = place.open().await;
    let mut read = store.read().await.unwrap();
    assert_eq!(read.last_event("/a", "flows", "e").await.unwrap(), 4);
    assert_eq!(read.last_event("/a", "exec", "e").await.unwrap(), 0);
    drop(read);
    append(&store, vec![event("/a", "flows", 4)]).await.unwrap_err();
    append(&store, vec![event("/a", "flows", 5)]).await.unwrap();
}

#[tokio::test]
async fn a_database_of_the_first_schema_is_refused_until_it_is_migrated_and_keeps_what_it_had() {
    let place = Place::new();
    place.fill_with_schema_1().await;
    let error = Store::open(&place.url).await.err().unwrap();
    assert!(error.to_string().contains("sekisho db migrate"), "{error}");
    let before = records(&place.url).await;
    let versions = sekisho_store::migrate(&place.url).await.unwrap();
    assert_eq!(versions.found, 1);
    assert_eq!(sekisho_store::versions(&place.url).await.unwrap().found, versions.known);
    assert_eq!(records(&place.url).await, before);
    let store = place.open().await;
    append(&store, vec![event("/a", "flows", 1)]).await.unwrap();
    assert_eq!(
        store.read().await.unwrap().document("old", "one").await.unwrap().unwrap().body().unwrap(),
        json!({"kept": true})
    );
    assert_eq!(store.changes_after(41, 10).await.unwrap().unwrap()[0].sequence, 42);
}
