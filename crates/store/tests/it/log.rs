//! The audit log: its tree, what became of the chain that it was, and what is forgotten of it.

use sekisho_arm::{Outcome, StoreError};
use sekisho_audit::tree::{Plan, leaf_hash, proves_consistency, proves_inclusion};
use sekisho_audit::{Frontier, Hash, Leaf, legacy};
use sekisho_store::Store;
use time::{Duration, OffsetDateTime};

use super::{Place, entry, records, verified};

async fn write(store: &Store, count: usize) {
    for n in 0..count {
        store
            .write::<_, StoreError, _>(move |tx| {
                Box::pin(async move {
                    tx.audit(entry(&format!("op{n}"))).await?;
                    tx.audit(entry(&format!("op{n}b"))).await
                })
            })
            .await
            .unwrap();
    }
}

/// The hashes of all entries, as they are stored.
async fn hashes(store: &Store) -> Vec<Hash> {
    let all = store.read().await.unwrap().log_entries(0, 10_000).await.unwrap();
    all.into_iter().map(|entry| entry.hash).collect()
}

fn root(hashes: &[Hash]) -> Hash {
    let mut tree = Frontier::default();
    hashes.iter().for_each(|hash| drop(tree.append(*hash)));
    tree.root()
}

#[tokio::test]
async fn every_past_root_and_every_proof_comes_out_of_what_is_stored() {
    let place = Place::new();
    write(&place.open().await, 9).await;
    // Another process goes on with it.
    let store = place.open().await;
    write(&store, 12).await;
    let hashes = hashes(&store).await;
    let mut read = store.read().await.unwrap();
    let size = read.log_size().await.unwrap();
    assert_eq!(size, 42);
    let whole = root(&hashes);
    for old in 0..=size {
        let past = read.log_at(old).await.unwrap().root();
        assert_eq!(past, root(&hashes[..old as usize]), "{old}");
        if old > 0 {
            let proof = read.log_proof(&Plan::consistency(old, size).unwrap()).await.unwrap();
            assert!(proves_consistency((old, &past), (size, &whole), &proof), "{old}");
            let proof = read.log_proof(&Plan::inclusion(old - 1, size).unwrap()).await.unwrap();
            assert!(proves_inclusion(&hashes[old as usize - 1], old - 1, (size, &whole), &proof), "{old}");
        }
    }
    assert!(read.log_at(size + 1).await.is_err(), "there are not so many");
    assert_eq!(read.log_verify().await.unwrap(), (size, whole));
}

#[tokio::test]
async fn an_entry_is_told_as_it_is_kept() {
    let place = Place::new();
    let store = place.open().await;
    write(&store, 1).await;
    let logged = store
        .write::<_, StoreError, _>(|tx| Box::pin(async move { tx.audit(entry("told")).await }))
        .await
        .unwrap();
    let kept = store.read().await.unwrap().log_entries(2, 9).await.unwrap();
    assert_eq!(
        (kept.len(), kept[0].sequence, &kept[0].leaf),
        (1, logged.sequence, &Some(logged.leaf.clone()))
    );
    assert_eq!(kept[0].hash, leaf_hash(logged.leaf.as_bytes()));
}

#[tokio::test]
async fn a_node_of_the_tree_that_was_changed_in_the_file_is_found() {
    let place = Place::new();
    let store = place.open().await;
    write(&store, 3).await;
    let sql = "UPDATE audit_node SET hash = (SELECT hash FROM audit WHERE sequence = 1) WHERE level = 1 AND idx = 1";
    sqlx::query(sql).execute(&mut place.direct().await).await.unwrap();
    let error = verified(&store).await.unwrap_err();
    assert!(error.to_string().contains("the tree over entry 4 was changed"), "{error}");
}

/// Puts a chain of entries, as the first schema had it, into a database of that.
async fn chain(place: &Place, count: i64) {
    let mut direct = place.direct().await;
    let mut hash = legacy::FIRST;
    for sequence in 1..=count {
        let at = OffsetDateTime::UNIX_EPOCH + Duration::days(sequence);
        let bytes = Leaf { sequence, at, entry: entry(&format!("op{sequence}")) }.bytes().unwrap();
        hash = legacy::link(&hash, &bytes);
        sqlx::query("INSERT INTO audit (sequence, hash, leaf) VALUES ($1, $2, $3)")
            .bind(sequence)
            .bind(hash.to_string())
            .bind(String::from_utf8(bytes).unwrap())
            .execute(&mut direct)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn the_chain_of_an_older_database_becomes_the_tree_over_the_same_entries() {
    let place = Place::new();
    place.fill_with_schema_1().await;
    // More than are read at once.
    chain(&place, 1003).await;
    let backup = records(&place.url).await;
    sekisho_store::migrate(&place.url).await.unwrap();
    let store = place.open().await;
    let page = store.audit_page(i64::MAX, 2000).await.unwrap();
    assert_eq!((page.len(), page[0].leaf.entry.operation.as_str()), (1003, "op1003"));
    assert_eq!(page[0].leaf.entry.outcome, Outcome::Succeeded);
    let before = verified(&store).await.unwrap();
    assert_eq!(before, (1003, root(&hashes(&store).await)));
    write(&store, 1).await;
    assert_eq!(verified(&store).await.unwrap().0, 1005);

    // A backup of before holds the same, and its log goes on with an entry that says so.
    let again = Place::new();
    let stream = futures_util::stream::iter(
        backup.into_iter().map(|r| Ok::<_, StoreError>(serde_json::from_value(r).unwrap())),
    );
    sekisho_store::load(&again.url, stream, Some(entry("restored"))).await.unwrap();
    let restored = again.open().await;
    let mut read = restored.read().await.unwrap();
    assert_eq!(read.log_at(1003).await.unwrap().root(), before.1);
    assert_eq!(read.log_verify().await.unwrap().0, 1004);
    drop(read);
    write(&restored, 1).await;
    assert_eq!(verified(&restored).await.unwrap().0, 1006);
    // When each of them happened is known, too.
    let old = OffsetDateTime::UNIX_EPOCH + Duration::days(501);
    assert_eq!(restored.log_prune(old).await.unwrap(), 500);
}

#[tokio::test]
async fn a_chain_that_was_touched_does_not_become_a_tree() {
    let place = Place::new();
    place.fill_with_schema_1().await;
    chain(&place, 5).await;
    let touch = "UPDATE audit SET leaf = replace(leaf, 'tanaka', 'suzuki') WHERE sequence = 3";
    sqlx::query(touch).execute(&mut place.direct().await).await.unwrap();
    let before = records(&place.url).await;
    let error = sekisho_store::migrate(&place.url).await.unwrap_err();
    assert!(error.to_string().contains("entry 3 was changed"), "{error}");
    assert_eq!(sekisho_store::versions(&place.url).await.unwrap().found, 1);
    assert_eq!(records(&place.url).await, before);
}

#[tokio::test]
async fn entries_whose_time_is_up_keep_their_hash_and_prove_as_before() {
    let place = Place::new();
    let store = place.open().await;
    write(&store, 10).await;
    let sql = "UPDATE audit SET at_ms = sequence WHERE sequence <> 12";
    sqlx::query(sql).execute(&mut place.direct().await).await.unwrap();
    let before = verified(&store).await.unwrap();
    let at = |ms| OffsetDateTime::UNIX_EPOCH + Duration::milliseconds(ms);
    let begins = async || store.read().await.unwrap().log_begins().await.unwrap();
    assert_eq!((begins().await, store.log_prune(at(1)).await.unwrap()), (1, 0));
    assert_eq!((store.log_prune(at(8)).await.unwrap(), begins().await), (7, 8));
    // The twelfth is younger: what comes after it stays, so that there are no holes.
    assert_eq!((store.log_prune(at(99)).await.unwrap(), begins().await), (4, 12));
    assert_eq!(verified(&store).await.unwrap(), before);
    let page: Vec<i64> =
        store.audit_page(i64::MAX, 50).await.unwrap().iter().map(|r| r.leaf.sequence).collect();
    assert_eq!(page, (12..=20).rev().collect::<Vec<_>>());
    assert!(store.audit_page(11, 50).await.unwrap().is_empty());
    write(&store, 1).await;
    // A copy has what is left.
    let copy = Place::new();
    sekisho_store::copy(&place.url, &copy.url).await.unwrap();
    assert_eq!(verified(&copy.open().await).await.unwrap(), verified(&store).await.unwrap());
}
