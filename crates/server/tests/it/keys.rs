//! The key ring: what is kept where, what earlier versions kept, and keys that take the place of others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use futures_util::TryStreamExt as _;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use sekisho_arm::StoreError;
use sekisho_audit::export;
use sekisho_identity::ring::{Key, Purpose, RootKey};
use sekisho_server::{ServerError, admin, log};
use sekisho_store::Store;
use serde_json::{Value, json};

use crate::kit::{Data, GROUPS, Http, Server, at};
use crate::seed::{self, World};

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

/// What stands in the directory of keys of every installation.
fn usual() -> BTreeSet<String> {
    ["ca.pem", "root.key", "server.pem"].map(str::to_owned).into()
}

/// All secrets, by purpose and id.
async fn secrets(data: &Data) -> BTreeMap<(Purpose, String), Vec<u8>> {
    let (ring, root) = (data.ring().await, [data.root()]);
    let living = ring.iter().filter(|key| key.lives());
    living.map(|key| ((key.purpose, key.id.clone()), key.open(&root).unwrap().to_vec())).collect()
}

/// The forms in which a secret could stand somewhere.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = secret.iter().map(|b| format!("{b:02x}")).collect();
    let mut all = vec![
        secret.to_vec(),
        STANDARD.encode(secret).into_bytes(),
        URL_SAFE_NO_PAD.encode(secret).into_bytes(),
        hex.into_bytes(),
    ];
    if let Ok(text) = std::str::from_utf8(secret) {
        // A line of a PEM, and the private part of a key that is JSON.
        all.extend(
            text.lines().filter(|l| l.len() > 40 && !l.starts_with('{')).map(|l| l.as_bytes().to_vec()),
        );
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        all.extend(value["pkcs8"].as_str().map(|t| t.as_bytes().to_vec()));
    }
    all
}

fn files(dir: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.is_file() {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}

#[tokio::test]
async fn only_the_root_key_is_in_the_clear_and_only_in_its_file() {
    let data = World::new().await.server.stop().await;
    assert_eq!(names(&data.path().join("keys")), usual());
    let kept = secrets(&data).await;
    let purposes: BTreeSet<Purpose> = kept.keys().map(|(purpose, _)| *purpose).collect();
    assert_eq!(purposes, Purpose::ALL.into(), "every key is in the ring");
    let mut places = Vec::new();
    files(data.path(), &mut places);
    let records: Vec<_> = sekisho_store::records(&data.url()).try_collect().await.unwrap();
    assert!(records.len() > 100);
    places.push(("the database".to_owned(), serde_json::to_vec(&records).unwrap()));
    let root = std::fs::read(data.path().join("keys/root.key")).unwrap();
    places.retain(|(place, _)| !place.ends_with("keys/root.key"));
    for secret in kept.values().chain([&root]) {
        for form in forms(secret) {
            for (place, bytes) in &places {
                assert!(!bytes.windows(form.len()).any(|w| w == form), "a key stands in {place}");
            }
        }
    }
}

/// Seals as versions before the key ring did.
fn sealed_before(key: &[u8], name: &str, secret: &[u8]) -> String {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).unwrap());
    let (nonce, mut bytes) = ([7; 12], secret.to_vec());
    let place = Aad::from(name.as_bytes());
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), place, &mut bytes).unwrap();
    URL_SAFE_NO_PAD.encode([nonce.as_slice(), &bytes].concat())
}

/// Makes an installation what an earlier version would have left: a file for each key, and the keys that sign tokens in
/// a ring of their own.
async fn as_before(data: &Data) -> Vec<(String, Vec<u8>)> {
    let keys = data.path().join("keys");
    let of = async |purpose| data.key(purpose).await;
    let store = Store::open(&data.url()).await.unwrap();
    let ids = sekisho_arm::Read::document(&mut store.read().await.unwrap(), "installation", "ids").await;
    let ids = ids.unwrap().unwrap().body().unwrap();
    let text = |id: &str| ids[id].as_str().unwrap().as_bytes().to_vec();
    let sealing = of(Purpose::Sealing).await.1;
    let files = vec![
        ("ca.key".to_owned(), of(Purpose::AgentCa).await.1),
        ("server.key".to_owned(), of(Purpose::ServerTls).await.1),
        ("server.names".to_owned(), b"localhost".to_vec()),
        ("command.key".to_owned(), of(Purpose::CommandSigning).await.1),
        ("log.key".to_owned(), of(Purpose::LogSigning).await.1),
        ("sealing.key".to_owned(), sealing.clone()),
        ("throttle.key".to_owned(), of(Purpose::Throttle).await.1),
        ("tenant".to_owned(), text("tenant")),
        ("subscription".to_owned(), text("subscription")),
    ];
    for (name, bytes) in &files {
        std::fs::write(keys.join(name), bytes).unwrap();
    }
    let (ring, root) = (data.ring().await, [data.root()]);
    let tokens = ring.iter().filter(|key| key.purpose == Purpose::TokenSigning).map(|key| {
        let place = format!("token-signing/{}", key.id);
        let sealed = sealed_before(&sealing, &place, &key.open(&root).unwrap());
        let active = sekisho_arm::resource::instant(key.active);
        json!({"id": key.id, "active": active, "sealed": sealed})
    });
    let old = json!({"keys": tokens.collect::<Vec<_>>()});
    store
        .write::<_, StoreError, _>(move |tx| {
            Box::pin(async move {
                for key in &ring {
                    tx.remove_document("keyring", &key.id).await?;
                }
                tx.remove_document("installation", "ids").await?;
                tx.put_document("keyRing", "token-signing", old).await
            })
        })
        .await
        .unwrap();
    std::fs::remove_file(keys.join("root.key")).unwrap();
    files
}

/// The keys that there were in files, without their ids, which an import gives anew.
async fn bare(data: &Data) -> BTreeSet<(Purpose, Vec<u8>)> {
    let later = [Purpose::SshUserCa, Purpose::SshHostCa];
    let all = secrets(data).await.into_iter().map(|((purpose, _), secret)| (purpose, secret));
    all.filter(|(purpose, _)| !later.contains(purpose)).collect()
}

async fn works(client: &Http) -> u16 {
    client.get(&at("/subscriptions", GROUPS)).await.status
}

#[tokio::test]
async fn what_earlier_versions_kept_in_files_is_taken_over_and_the_files_go_only_after_that() {
    let world = World::new().await;
    let program = world.program("root");
    let (tenant, sub, ca) = (world.server.tenant.clone(), world.server.sub.clone(), world.server.ca());
    let data = world.server.stop().await;
    let before = bare(&data).await;
    let files = as_before(&data).await;
    let keys = data.path().join("keys");

    // With a key of another authority nothing is taken over, and nothing is lost.
    std::fs::write(keys.join("sealing.key"), [9; 32]).unwrap();
    assert!(matches!(data.refusal().await, ServerError::Keys(_)));
    let there = names(&keys);
    assert!(files.iter().all(|(name, _)| there.contains(name)) && data.ring().await.is_empty());
    std::fs::write(keys.join("sealing.key"), &files[5].1).unwrap();

    let server = Server::on(data).await;
    assert_eq!((&server.tenant, &server.sub, server.ca()), (&tenant, &sub, ca));
    seed::token(&server, program).await.expect(200);
    let mut data = server.stop().await;
    assert_eq!(bare(&data).await, before);
    assert_eq!(names(&keys), usual());
    let rows = data.ring().await;

    // Whoever stops the server after the commit leaves the files, or some of them.
    for left in 1..=files.len() {
        for (name, bytes) in &files[..left] {
            std::fs::write(keys.join(name), bytes).unwrap();
        }
        data = Server::on(data).await.stop().await;
        assert_eq!((names(&keys), data.ring().await), (usual(), rows.clone()), "{left} files");
    }
    // A file that is not the key of this database is nobody's to throw away.
    std::fs::write(keys.join("throttle.key"), [9; 32]).unwrap();
    let refused = data.refusal().await.to_string();
    assert!(refused.contains("throttle.key") && keys.join("throttle.key").exists(), "{refused}");
}

pub(crate) fn shown<'v>(keys: &'v Value, purpose: &str) -> Vec<(&'v str, &'v str)> {
    let own = keys.as_array().unwrap().iter().filter(|key| key["purpose"] == purpose);
    own.map(|key| (key["id"].as_str().unwrap(), key["state"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn the_root_key_is_replaced_and_a_stop_at_any_moment_loses_nothing() {
    let world = World::new().await;
    let (root, program) = (world.client("root").await, world.program("root"));
    let file = |name: &str| world.server.data.path().join("keys").join(name);
    let (first, waiting) = (std::fs::read(file("root.key")).unwrap(), [5; 32]);
    let before = secrets(&world.server.data).await;

    // Stopped before the commit: the next one is there, and is taken when somebody asks again.
    std::fs::write(file("root.next.key"), waiting).unwrap();
    let listed = world.server.admin("/keys", Value::Null).await;
    let states: Vec<_> = shown(&listed, "root").into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, ["pending", "active"]);
    let rotated = world.server.admin("/keys/rotate", json!({"purpose": "root"})).await;
    let next = RootKey::new(&waiting).unwrap();
    assert_eq!(shown(&rotated, "root"), [(next.id(), "active")]);
    assert_eq!(works(&root).await, 200);
    assert_eq!(names(&world.server.data.path().join("keys")), usual());
    assert_eq!(std::fs::read(file("root.key")).unwrap(), waiting);
    assert_eq!(secrets(&world.server.data).await, before, "the same keys, sealed anew");
    let old = RootKey::new(first.as_slice().try_into().unwrap()).unwrap();
    assert!(world.server.data.ring().await.iter().all(|key| key.open(std::slice::from_ref(&old)).is_err()));

    // Stopped after the commit and before the files were settled: the old one is in its place yet.
    let World { server, .. } = world;
    let data = server.stop().await;
    let keys = data.path().join("keys");
    std::fs::write(keys.join("root.next.key"), waiting).unwrap();
    std::fs::write(keys.join("root.key"), &first).unwrap();
    let server = Server::on(data).await;
    assert_eq!((std::fs::read(keys.join("root.key")).unwrap(), names(&keys)), (waiting.to_vec(), usual()));
    seed::token(&server, program).await.expect(200);
    // One that nobody has prepared is made.
    server.admin("/keys/rotate", json!({"purpose": "root"})).await;
    assert_ne!(std::fs::read(keys.join("root.key")).unwrap(), waiting);
    let server = Server::on(server.stop().await).await;
    seed::token(&server, program).await.expect(200);
}

#[tokio::test]
async fn what_is_no_purpose_is_refused_and_nothing_is_changed() {
    let server = Server::fresh().await;
    let before = server.data.ring().await;
    let asked = admin::ask(server.data.path(), "/keys/rotate", json!({"purpose": "front-door"})).await;
    assert!(asked.unwrap_err().to_string().contains("front-door"));
    assert_eq!(server.data.ring().await, before);
    let listed = server.admin("/keys", Value::Null).await;
    for purpose in Purpose::ALL {
        assert_eq!(shown(&listed, purpose.word()).len(), 1, "{purpose}");
    }
}

#[tokio::test]
async fn the_key_of_the_servers_certificate_is_replaced_and_its_names_stay() {
    let server = Server::fresh().await;
    let pem = server.data.path().join("keys/server.pem");
    let first = std::fs::read_to_string(&pem).unwrap();
    let body = json!({"purpose": "server-tls", "destroyOld": true});
    let rotated = server.admin("/keys/rotate", body).await;
    let states: Vec<_> = shown(&rotated, "server-tls").into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, ["destroyed", "active"]);
    let server = Server::on(server.stop().await).await;
    let second = std::fs::read_to_string(&pem).unwrap();
    assert!(second != first && server.http().get("/auth/state").await.status == 200);
    let data = Server::on(server.stop().await).await.stop().await;
    assert_eq!(std::fs::read_to_string(&pem).unwrap(), second, "it is not made anew at every start");
    assert_eq!(data.ring().await.iter().filter(|key| key.purpose == Purpose::ServerTls).count(), 2);
}

#[tokio::test]
async fn a_server_without_the_root_key_of_its_database_does_not_start_and_says_where_it_is() {
    let data = Server::fresh().await.stop().await;
    let (file, aside) = (data.path().join("keys/root.key"), data.path().join("aside"));
    std::fs::rename(&file, &aside).unwrap();
    let refused = data.refusal().await.to_string();
    assert!(
        refused.contains(RootKey::id(&root_of(&aside))) && refused.contains("keys/root.key"),
        "{refused}"
    );
    assert!(!file.exists(), "another one would only be in the way");
    std::fs::write(&file, "short").unwrap();
    let refused = data.refusal().await.to_string();
    assert!(refused.contains("32 random bytes"), "{refused}");
    std::fs::rename(&aside, &file).unwrap();
    // A row that was put in place of another does not open.
    let ring = data.ring().await;
    let of = |purpose| ring.iter().find(|key| key.purpose == purpose).unwrap().clone();
    let moved = Key { wrapped: of(Purpose::Throttle).wrapped, ..of(Purpose::Sealing) };
    let store = Store::open(&data.url()).await.unwrap();
    put_row(&store, moved).await;
    let refused = data.refusal().await.to_string();
    assert!(refused.contains("'sealing'") && refused.contains("put in place of another"), "{refused}");
    put_row(&store, of(Purpose::Sealing)).await;
    drop(store);
    Server::on(data).await;
}

fn root_of(path: &Path) -> RootKey {
    RootKey::new(std::fs::read(path).unwrap().as_slice().try_into().unwrap()).unwrap()
}

async fn put(store: &Store, kind: &'static str, key: &str, body: Value) {
    let key = key.to_owned();
    store
        .write::<_, StoreError, _>(move |tx| Box::pin(async move { tx.put_document(kind, &key, body).await }))
        .await
        .unwrap();
}

async fn put_row(store: &Store, key: Key) {
    put(store, "keyring", &key.id, serde_json::to_value(&key).unwrap()).await;
}

#[tokio::test]
async fn a_root_key_that_systemd_keeps_is_never_written_and_the_next_one_is_the_operators_to_give() {
    let server = Server::fresh().await;
    let (keys, credentials) = (server.data.path().join("keys"), server.data.path().join("credentials"));
    let rotate = async |server: &Server| {
        let body = json!({"purpose": "root"});
        admin::ask(server.data.path(), "/keys/rotate", body).await.map_err(|e| e.to_string())
    };
    // From the file to a credential.
    let data = server.stop().await;
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(credentials.join("sekisho-root"), [1; 32]).unwrap();
    let server = Server::on(data).await;
    let rotated = rotate(&server).await.unwrap();
    assert_eq!(shown(&rotated, "root"), [(RootKey::new(&[1; 32]).unwrap().id(), "active")]);
    assert!(!names(&keys).contains("root.key"), "{:?}", names(&keys));
    // To another one.
    let refused = rotate(&server).await.unwrap_err();
    assert!(refused.contains("sekisho-root-next"), "{refused}");
    let data = server.stop().await;
    std::fs::write(credentials.join("sekisho-root-next"), [2; 32]).unwrap();
    let server = Server::on(data).await;
    rotate(&server).await.unwrap();
    let data = Server::on(server.stop().await).await.stop().await;
    std::fs::rename(credentials.join("sekisho-root-next"), credentials.join("sekisho-root")).unwrap();
    let server = Server::on(data).await;
    let listed = server.admin("/keys", Value::Null).await;
    assert_eq!(shown(&listed, "root"), [(RootKey::new(&[2; 32]).unwrap().id(), "active")]);
    assert_eq!(names(&keys), ["ca.pem", "server.pem"].map(str::to_owned).into());
    // Whoever has no root key, as somebody at a shell, has the server sign what it exports, and without a server exports
    // what it signed last.
    std::fs::remove_dir_all(&credentials).unwrap();
    let config = server.data.config(443);
    let export = async || {
        let mut out = Vec::new();
        let exported = log::export(&config, 1, None, &mut out).await.unwrap();
        let report = export::verify(String::from_utf8(out).unwrap().lines(), None).unwrap();
        assert!(report.holds(), "{report}");
        exported.entries
    };
    let running = export().await;
    assert!(running > 0);
    let _data = server.stop().await;
    assert_eq!(export().await, running);
}
