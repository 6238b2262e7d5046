//! The lake in object storage: Azurite, Microsoft's emulator of Azure's, on loopback. Without it (`azurite-blob`, in
//! the path or named by `SEKISHO_AZURITE`) the test says that it was skipped.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use sekisho_lake::{Lake, Place};
use serde_json::json;
use tempfile::TempDir;
use time::OffsetDateTime;
use time::macros::format_description;
use uuid::Uuid;

use crate::{FIRST, World, all, event, noon};

/// The emulator's account and key are the same everywhere; Microsoft documents them.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

struct Azurite {
    process: Child,
    port: u16,
    _dir: TempDir,
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Azurite {
    fn start() -> Option<Azurite> {
        let program = std::env::var("SEKISHO_AZURITE").unwrap_or_else(|_| "azurite-blob".to_owned());
        let dir = TempDir::new().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let process = Command::new(program)
            .args(["--silent", "--disableTelemetry", "--skipApiVersionCheck", "--blobHost", "127.0.0.1"])
            .args(["--blobPort", &port.to_string(), "--location"])
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let azurite = Azurite { process, port, _dir: dir };
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "Azurite did not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(azurite)
    }

    /// Makes a container. (Shared key: learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key)
    fn make(&self, container: &str) {
        let form = format_description!(
            "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
        );
        let date = OffsetDateTime::now_utc().format(form).unwrap();
        let text = format!(
            "PUT{}x-ms-date:{date}\nx-ms-version:2021-08-06\n/{ACCOUNT}/{ACCOUNT}/{container}\nrestype:container",
            "\n".repeat(12)
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(KEY).unwrap());
        let signature = STANDARD.encode(hmac::sign(&key, text.as_bytes()));
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        write!(
            stream,
            "PUT /{ACCOUNT}/{container}?restype=container HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nx-ms-date: {date}\r\n\
             x-ms-version: 2021-08-06\r\nauthorization: SharedKey {ACCOUNT}:{signature}\r\ncontent-length: 0\r\n\
             connection: close\r\n\r\n",
            self.port
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }
}

#[tokio::test]
async fn a_lake_in_azures_object_storage_is_the_same_lake() {
    let Some(azurite) = Azurite::start() else {
        return skipped("azurite-blob is not installed (npm's package azurite)");
    };
    azurite.make("events");
    let options = BTreeMap::from([
        ("azure_storage_account_name".to_owned(), ACCOUNT.to_owned()),
        ("azure_storage_account_key".to_owned(), KEY.to_owned()),
        ("azure_storage_endpoint".to_owned(), format!("http://127.0.0.1:{}/{ACCOUNT}", azurite.port)),
        ("azure_allow_http".to_owned(), "true".to_owned()),
    ]);
    let world = World::new().await;
    let place = Place::parse("az://events/of/machines").unwrap();
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

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}
