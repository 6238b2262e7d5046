//! The store through its public surface, on temporary SQLite files.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use futures_util::future::join_all;
use sekisho_arm::{
    AuditEntry, CallerRef, Listing, Outcome, PrincipalKind, Read, Resource, Scope, StoreError, TypeName,
};
use sekisho_store::{Store, Verb};
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
    }
}

async fn open(dir: &TempDir) -> Store {
    Store::open(&format!("sqlite://{}/db", dir.path().display())).await.unwrap()
}

#[tokio::test]
async fn a_resource_reads_back_as_it_was_kept_whatever_the_case_of_the_id() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
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
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
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
    assert!(
        read.list(&Listing { scope: Scope::Tenant, type_name: None, after: None, limit: 9 })
            .await
            .unwrap()
            .is_empty()
    );
    assert!(read.documents("session").await.unwrap().is_empty());
    assert_eq!(store.audit_verify().await.unwrap().0, 0);
    assert!(feed.try_recv().is_err());
}

#[tokio::test]
async fn a_write_that_panics_is_undone_and_the_next_one_works() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
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
async fn a_thousand_concurrent_writes_make_one_gapless_chain_that_a_restart_continues() {
    let dir = TempDir::new().unwrap();
    {
        let store = open(&dir).await;
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
        assert_eq!(store.audit_verify().await.unwrap().0, 1000);
    }
    let store = open(&dir).await;
    store
        .write::<_, StoreError, _>(|tx| Box::pin(async move { tx.audit(entry("last")).await }))
        .await
        .unwrap();
    assert_eq!(store.audit_verify().await.unwrap().0, 1001);
    let all = store.changes_after(0, 5000).await.unwrap().unwrap();
    assert!(all.windows(2).all(|w| w[1].sequence == w[0].sequence + 1));
    assert_eq!(all.iter().filter(|c| c.kind == "microsoft.test/things").count(), 1000);
}

#[tokio::test]
async fn an_audit_entry_changed_in_the_file_is_found() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    for i in 0..3 {
        store
            .write::<_, StoreError, _>(move |tx| {
                Box::pin(async move { tx.audit(entry(&format!("op{i}"))).await })
            })
            .await
            .unwrap();
    }
    let mut direct =
        <sqlx::AnyConnection as sqlx::Connection>::connect(&format!("sqlite://{}/db", dir.path().display()))
            .await
            .unwrap();
    sqlx::query("UPDATE audit SET leaf = replace(leaf, 'tanaka', 'suzuki') WHERE sequence = 2")
        .execute(&mut direct)
        .await
        .unwrap();
    let error = store.audit_verify().await.unwrap_err();
    assert!(error.to_string().contains("entry 2 was changed"), "{error}");
}

#[tokio::test]
async fn removing_a_scope_removes_what_is_inside_it_and_not_its_namesakes() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
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
    let left = store
        .read()
        .await
        .unwrap()
        .list(&Listing { scope: scope(""), type_name: None, after: None, limit: 99 })
        .await
        .unwrap();
    assert_eq!(left.len(), 2);
}

#[tokio::test]
async fn lists_are_ordered_limited_and_continue_after_a_key() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
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
async fn the_feed_tells_only_what_is_durable() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    let mut feed = store.changes();
    store
        .write::<_, StoreError, _>(|tx| {
            Box::pin(async move { tx.put(resource("/resourceGroups/r")).await.map(|_| ()) })
        })
        .await
        .unwrap();
    let told = feed.recv().await.unwrap();
    assert_eq!(told[0].verb, Verb::Put);
    assert_eq!(told[0].kind, "microsoft.resources/resourcegroups");
    assert!(store.read().await.unwrap().get(&scope("/resourcegroups/r")).await.unwrap().is_some());
}
