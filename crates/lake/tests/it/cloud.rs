//! The lake in object storage, Azure's and S3's. Where the servers of [`sekisho_lab::objects`] are not installed the tests say
//! that they were skipped.

use std::collections::BTreeMap;

use sekisho_lab::objects::{Kind, Objects};
use sekisho_lake::{Lake, Place};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{FIRST, World, all, event, noon};

#[tokio::test]
async fn a_lake_in_azures_object_storage_is_the_same_lake() {
    is_the_same(Kind::Azure, "az://events/of/machines").await;
}

#[tokio::test]
async fn a_lake_in_s3_is_the_same_lake() {
    is_the_same(Kind::S3, "s3://events/of/machines").await;
}

async fn is_the_same(kind: Kind, place: &str) {
    let server = match Objects::start(kind) {
        Ok(server) => server,
        Err(why) => return skipped(&why.to_string()),
    };
    server.make("events").unwrap();
    let options = server.options();
    let world = World::new().await;
    let place = Place::parse(place).unwrap();
    let objects = place.open(Uuid::from_u128(1), &options).unwrap();
    let lake = Lake::on(world.store.clone(), objects);
    for n in 1..=3 {
        world.receive(FIRST, vec![event("/a", n, n, json!({"n": n})), event("/b", n, n, json!({}))]).await;
        assert_eq!(lake.flush().await.unwrap(), 2);
    }
    let told = all(&lake).await;
    assert_eq!(told.len(), 6);
    assert_eq!(lake.compact(noon(FIRST + 1)).await.unwrap(), 3);
    assert_eq!(all(&lake).await, told);
    assert!(lake.check().await.unwrap().is_empty());
    // Another installation in the same container neither sees nor sweeps these.
    let later = OffsetDateTime::now_utc() + time::Duration::hours(2);
    let other = World::new().await;
    let neighbour = Lake::on(other.store.clone(), place.open(Uuid::from_u128(2), &options).unwrap());
    assert_eq!(neighbour.sweep(later).await.unwrap(), 0);
    assert_eq!(lake.sweep(later).await.unwrap(), 0);
    assert_eq!(all(&lake).await, told);
    assert!(world.files().is_empty());
}

#[test]
fn a_place_is_a_directory_or_a_bucket_and_no_secret_is_repeated() {
    for good in ["/var/lib/lake", "s3://bucket/a/b", "az://container"] {
        assert_eq!(Place::parse(good).unwrap().to_string(), good);
    }
    for bad in ["lake", "http://x/", "s3://u:hunter2@b/", "az://c/?sig=hunter2", ""] {
        let error = Place::parse(bad).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn an_option_that_nobody_knows_is_an_error_that_names_it_and_no_value() {
    for place in ["s3://bucket", "az://container"] {
        let options = BTreeMap::from([("secret_acess_key".to_owned(), "hunter2".to_owned())]);
        let error = Place::parse(place).unwrap().open_whole(&options).unwrap_err().to_string();
        assert!(error.contains("'secret_acess_key'") && !error.contains("hunter2"), "{error}");
    }
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}
