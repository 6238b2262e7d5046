//! Flow logs in storage accounts: the same bytes wherever they lie, and none lost while a place does not answer.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use object_store::ObjectStoreExt as _;
use sekisho_arm::traits::read_documents;
use sekisho_lab::objects::{Kind, Objects};
use sekisho_lake::Place;
use sekisho_nsg::flow::record::State;
use sekisho_nsg::policy::MacAddress;
use sekisho_store::{Store, to_ms};
use serde_json::json;
use tempfile::TempDir;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::flows::{Teller, batch, flow};
use crate::kit::{Http, NETWORK, at, until};
use crate::seed::World;

const HOUR: i64 = 3_600_000;
const CONTAINERS: [&str; 2] =
    ["insights-logs-networksecuritygroupflowevent", "insights-logs-flowlogflowevent"];
/// What programs of others read; here it is wrong, and must count for nothing.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("AWS_ACCESS_KEY_ID", "AKIAWRONG"),
    ("AWS_SECRET_ACCESS_KEY", "wrong"),
    ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
    ("AZURE_STORAGE_ACCOUNT_NAME", "wrong"),
    ("AZURE_STORAGE_ACCOUNT_KEY", "d3Jvbmc="),
];

/// Where the storage account `flows` is.
struct Account {
    place: String,
    options: BTreeMap<String, String>,
}

impl Account {
    fn is_azure(&self) -> bool {
        self.place == "az://"
    }

    /// Says so in the server's file.
    fn put_down(&self, world: &World) {
        let options: String =
            self.options.iter().map(|(name, value)| format!("{name} = {value:?}\n")).collect();
        let text = format!("[flows]\nplace = {:?}\n[flows.options]\n{options}", self.place);
        let file = world.server.data.storage_accounts();
        // The server reads it whenever it likes.
        let new = file.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, file).unwrap();
    }

    /// All blobs, by container and path.
    async fn blobs(&self) -> BTreeMap<String, String> {
        let places: Vec<(String, String)> = if self.is_azure() {
            CONTAINERS.map(|c| (format!("az://{c}"), format!("{c}/"))).to_vec()
        } else {
            vec![(self.place.clone(), String::new())]
        };
        let mut all = BTreeMap::new();
        for (place, folder) in places {
            let objects = Place::parse(&place).unwrap().open_whole(&self.options).unwrap();
            let found: Vec<_> = objects.list(None).try_collect().await.unwrap();
            for object in found {
                let bytes = objects.get(&object.location).await.unwrap().bytes().await.unwrap();
                all.insert(format!("{folder}{}", object.location), String::from_utf8(bytes.into()).unwrap());
            }
        }
        all
    }

    /// Waits until every blob, as many as there are logs, has a text in it.
    async fn hold(&self, text: &str, logs: usize) -> BTreeMap<String, String> {
        until(text, async || {
            let blobs = self.blobs().await;
            (blobs.len() == logs && blobs.values().all(|b| b.contains(text))).then_some(blobs)
        })
        .await
    }
}

/// Has the flows of an interface logged, in a virtual network's format, and the flows that its security group decides in
/// the group's where that is wanted.
async fn log(world: &World, root: &Http, nic: &str, group: bool) {
    let watcher = world.network("networkWatchers/x1");
    let storage = world.rg1("/providers/Microsoft.Storage/storageAccounts/flows");
    let group = group.then(|| ("group", world.network("networkSecurityGroups/nsg1")));
    for (name, target) in group.into_iter().chain([("nic", nic.to_owned())]) {
        let body = json!({"location": "home", "properties": {
            "targetResourceId": target, "storageId": storage, "enabled": true,
            "format": {"type": "JSON", "version": 2},
        }});
        root.put(&at(format!("{watcher}/flowLogs/{name}"), NETWORK), body).await.expect(201);
    }
}

async fn is_the_same_as_in_a_directory(kind: Kind) {
    let mut storage = match Objects::start(kind) {
        Ok(storage) => storage,
        Err(why) => return skipped(&why.to_string()),
    };
    let (elsewhere, logs) = match kind {
        Kind::Azure => {
            CONTAINERS.iter().for_each(|c| storage.make(c).unwrap());
            (Account { place: "az://".to_owned(), options: storage.options() }, 2)
        }
        Kind::S3 => {
            storage.make("log").unwrap();
            // The server names a file by a blob's whole path, for which that of a group's log is too long, and this just short
            // enough.
            (Account { place: "s3://log/x".to_owned(), options: storage.options() }, 1)
        }
    };
    let dir = TempDir::new().unwrap();
    let said = dir.path().join("said");
    let place = dir.path().join("blobs").display().to_string();
    let here = Account { place, options: BTreeMap::new() };
    std::fs::create_dir(&here.place).unwrap();

    let (world, pid) = World::new().await.in_a_process(&said, &ENVIRONMENT).await;
    here.put_down(&world);
    let root = world.client("root").await;
    let mut machine = Teller::join(&world, &root, ("web", "10.0.1.7/24"), None).await;
    log(&world, &root, &machine.nic, logs == 2).await;
    let nsg = world.network("networkSecurityGroups/nsg1");
    let hour = to_ms(OffsetDateTime::now_utc()) / HOUR * HOUR;
    let (from, to) = (|port| ("10.0.1.4", port), |port| ("10.0.1.7", port));
    let flows = vec![
        flow(hour + 1, State::Begin, from(40_000), to(22)),
        flow(hour + 61_000, State::End, from(40_000), to(22)),
        flow(hour + 62_000, State::Denied, from(40_001), to(23)),
    ];
    machine.tell(&batch(&nsg, flows)).await;
    let written = here.hold("40001,23,", logs).await;
    let nic = written.values().next().unwrap();
    if let Some(group) = written.values().nth(1) {
        assert!(group.contains(",10.0.1.4,10.0.1.7,40000,22,T,I,A,B,,,,"), "{group}");
        assert!(group.contains(",10.0.1.4,10.0.1.7,40000,22,T,I,A,E,3,767,2,1580"), "{group}");
    }
    assert!(nic.contains(",10.0.1.4,10.0.1.7,40001,23,6,I,D,NX,0,0,0,0"), "{nic}");

    // The account moves. Of a flow at no interface that is logged nothing is written, but the hour is written again.
    let mut nudge = batch(&nsg, vec![flow(hour + 2, State::Begin, from(1), to(1))]);
    nudge.nics[0].mac = Some(MacAddress::parse("52:54:00:00:00:99").unwrap());
    elsewhere.put_down(&world);
    machine.tell(&nudge).await;
    assert_eq!(elsewhere.hold("40001,23,", logs).await, written);
    let store = Store::open(&world.server.data.url()).await.unwrap();
    let marks = async || -> Vec<(String, Uuid)> {
        read_documents(&mut store.read().await.unwrap(), "flow-hour").await.unwrap()
    };
    until("that nothing is left to be written", async || marks().await.is_empty().then_some(())).await;

    let refused = "the storage account flows does not take a flow log";
    let lines = || std::fs::read_to_string(&said).unwrap();
    assert!(!lines().contains(refused), "{}", lines());

    // It does not answer for a while, which the server says once it has noticed.
    storage.stop().unwrap();
    machine.tell(&batch(&nsg, vec![flow(hour + 63_000, State::Denied, from(40_002), to(24))])).await;
    until("that the account does not answer", async || lines().contains(refused).then_some(())).await;
    assert_eq!(marks().await.len(), 1, "the hour is still to be written");
    storage.restart().unwrap();
    let late = elsewhere.hold("40002,24,", logs).await;
    here.put_down(&world);
    machine.tell(&nudge).await;
    assert_eq!(here.hold("40002,24,", logs).await, late);

    // The key is in the file alone.
    for place in [said.display().to_string(), format!("/proc/{pid}/cmdline"), format!("/proc/{pid}/environ")]
    {
        let bytes = std::fs::read(&place).unwrap();
        let secret = storage.secret().as_bytes();
        assert!(!bytes.windows(secret.len()).any(|part| part == secret), "{place}");
    }
}

#[tokio::test]
async fn a_flow_log_in_azures_storage_is_byte_for_byte_what_a_directory_gets_also_after_an_outage() {
    is_the_same_as_in_a_directory(Kind::Azure).await;
}

#[tokio::test]
async fn a_flow_log_in_s3_is_byte_for_byte_what_a_directory_gets_also_after_an_outage() {
    is_the_same_as_in_a_directory(Kind::S3).await;
}

#[tokio::test]
async fn an_account_that_does_not_answer_keeps_no_other_from_being_written() {
    let world = World::new().await;
    let root = world.client("root").await;
    let dir = TempDir::new().unwrap();
    let here = Account { place: dir.path().display().to_string(), options: BTreeMap::new() };
    here.put_down(&world);
    let file = world.server.data.storage_accounts();
    let nobody = "[nobody]\nplace = \"s3://log\"\n[nobody.options]\naws_endpoint = \"http://127.0.0.1:1\"\n\
        aws_allow_http = \"true\"\naws_region = \"x\"\naws_access_key_id = \"x\"\naws_secret_access_key = \"x\"\n";
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + nobody).unwrap();
    let mut machine = Teller::join(&world, &root, ("web", "10.0.1.7/24"), None).await;
    // It comes before the others.
    let body = json!({"location": "home", "properties": {
        "targetResourceId": machine.nic, "enabled": true,
        "storageId": world.rg1("/providers/Microsoft.Storage/storageAccounts/nobody"),
    }});
    let first = world.network("networkWatchers/x1/flowLogs/a-first");
    root.put(&at(first, NETWORK), body).await.expect(201);
    log(&world, &root, &machine.nic, true).await;
    let at = to_ms(OffsetDateTime::now_utc());
    let told = flow(at, State::Begin, ("10.0.1.4", 40_000), ("10.0.1.7", 22));
    machine.tell(&batch(&world.network("networkSecurityGroups/nsg1"), vec![told])).await;
    here.hold("40000,22,", 2).await;
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}
