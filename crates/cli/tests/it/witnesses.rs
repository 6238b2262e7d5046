//! Machines as witnesses: whoever has the database and every key of the server can rewrite the log and sign it again, and
//! still commands nobody.

use std::path::Path;
use std::time::Instant;

use futures_util::TryStreamExt as _;
use sekisho_audit::tree::leaf_hash;
use sekisho_lab::SiteError;
use sekisho_store::Record;
use serde_json::{Value, json};

use super::{SOON, World, programs, unable};

impl World {
    /// What the agent of a machine says of itself.
    fn status(&self, name: &str) -> String {
        let output = self.agent(name, "status");
        String::from_utf8(output.stdout).unwrap()
    }

    fn agent(&self, name: &str, command: &str) -> std::process::Output {
        let machine = self.site.machine(name).unwrap();
        let program = programs().join("sekisho-agent").display().to_string();
        let state = machine.state.display().to_string();
        machine.host.command(&program).args(["--state-dir", &state, command]).output().unwrap()
    }

    fn status_says(&self, name: &str, wanted: &str) {
        let began = Instant::now();
        loop {
            let status = self.status(name);
            if status.contains(wanted) {
                return;
            }
            assert!(began.elapsed() < SOON, "'{wanted}' did not come: {status}");
            std::thread::sleep(std::time::Duration::from_millis(30));
        }
    }

    /// What the server says of its log.
    pub(super) fn log(&self) -> Value {
        let path = format!(
            "/subscriptions/{}/providers/Sekisho.Audit/logs/activity?api-version=2026-11-01",
            self.site.subscription
        );
        self.api.get(&path).unwrap()["properties"].clone()
    }

    pub(super) fn log_becomes(&self, what: &str, good: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let log = self.log();
            if good(&log) {
                return log;
            }
            assert!(began.elapsed() < SOON, "{what} did not come: {log}");
            std::thread::sleep(std::time::Duration::from_millis(30));
        }
    }

    fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("server")
    }
}

fn copy(from: &Path, to: &Path) {
    let done = std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(done.success());
}

/// Rewrites an entry of the log in a database, with everything that hangs on it. The keys beside it sign it again.
fn rewrite(data: &Path, number: usize) {
    let url = |name: &str| format!("sqlite://{}", data.join(name).display());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let all: Vec<Record> = sekisho_store::records(&url("sekisho.db")).try_collect().await.unwrap();
        let mut audit = 0;
        let forged = all.into_iter().map(|record| {
            let mut record = serde_json::to_value(record).unwrap();
            if record["table"] == "audit" {
                audit += 1;
                if audit == number {
                    let leaf = record["row"][2].as_str().unwrap().replace("Succeeded", "Denied");
                    assert_ne!(record["row"][2], leaf.as_str());
                    record["row"][1] = leaf_hash(leaf.as_bytes()).to_string().into();
                    record["row"][2] = leaf.into();
                }
            }
            Ok::<Record, sekisho_arm::StoreError>(serde_json::from_value(record).unwrap())
        });
        let forged: Vec<_> = forged.collect();
        assert!(audit >= number);
        sekisho_store::load(&url("forged.db"), futures_util::stream::iter(forged), None).await.unwrap();
    });
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(data.join(format!("sekisho.db{ending}")));
    }
    for ending in ["", "-wal", "-shm"] {
        let from = data.join(format!("forged.db{ending}"));
        if from.exists() {
            std::fs::rename(from, data.join(format!("sekisho.db{ending}"))).unwrap();
        }
    }
}

#[test]
fn a_stolen_database_with_a_re_signed_log_cannot_command_an_agent_which_says_so_until_it_is_trusted_again() {
    if unable().is_some() {
        return;
    }
    let mut world = World::new("fdw");
    world.deny_db();
    world.becomes("before", false, SOON);
    world.state_becomes("db", "applied");
    let log = world.log_becomes("both machines witness it", |l| l["witnessedBy"] == 2);
    assert_eq!((&log["machines"], &log["quorum"], &log["distrustedBy"]), (&json!(2), &json!(2), &json!(0)));
    world.status_says("db", "seen up to entry");

    // Everything is stolen, keys and all, one entry is made another, and the thief's server takes the place of ours.
    world.site.kill_server();
    let (own, kept) = (world.data(), world.dir.path().join("kept"));
    copy(&own, &kept);
    rewrite(&own, 2);
    world.site.start_server().unwrap();
    world.api = world.site.api().unwrap();
    world.site.admin(&["audit", "verify"]).expect("the forged log holds together");
    for name in ["db", "web"] {
        world.status_says(name, "NOT TRUSTED");
    }
    world.remove("deny-db");
    world.state_becomes("db", "pending");
    world.log_becomes("both say so", |l| l["distrustedBy"] == 2);
    world.history_has("db", &["agent.started", "audit.inconsistent"]);
    assert!(!world.passes("web", "db", 5432), "closed stays closed");
    // Not even after the agent was started again.
    world.site.kill_agent("db").unwrap();
    world.site.start_agent("db", super::AGENT, &[]).unwrap();
    world.history_has("db", &["agent.started", "agent.started", "audit.inconsistent"]);
    world.state_becomes("db", "pending");
    assert!(!world.passes("web", "db", 5432), "closed stays closed over a restart");

    // Our own server is back. What the machine has seen it forgets only when a person on it says so.
    world.site.kill_server();
    std::fs::rename(&own, world.dir.path().join("thief")).unwrap();
    std::fs::rename(&kept, &own).unwrap();
    world.site.start_server().unwrap();
    world.api = world.site.api().unwrap();
    world.remove("deny-db");
    world.state_becomes("db", "pending");
    world.status_says("db", "NOT TRUSTED");
    assert!(!world.passes("web", "db", 5432));
    assert!(world.agent("db", "trust-log").status.success());
    world.becomes("after it is trusted again", true, SOON);
    world.state_becomes("db", "applied");
    world.status_says("db", "seen up to entry");
    world.log_becomes("only the other one does not believe it", |l| l["distrustedBy"] == 1);
}

#[test]
fn machines_that_have_seen_more_than_a_restored_backup_holds_obey_again_once_a_person_on_them_says_so() {
    if unable().is_some() {
        return;
    }
    let mut world = World::new("fdv");
    let backup = world.dir.path().join("all.skb").display().to_string();
    world.log_becomes("both machines witness it", |l| l["witnessedBy"] == 2);
    world.site.sekisho(&["backup", &backup]).unwrap();
    world.deny_db();
    world.becomes("after the backup", false, SOON);
    world.state_becomes("db", "applied");

    world.site.kill_server();
    std::fs::rename(world.data(), world.dir.path().join("before")).unwrap();
    let said = world.site.sekisho(&["restore", &backup]).unwrap();
    assert!(said.contains("sekisho-agent trust-log"), "{said}");
    world.site.start_server().unwrap();
    world.api = world.site.api().unwrap();
    world.status_says("db", "NOT TRUSTED");
    assert!(!world.passes("web", "db", 5432), "what was in force stays in force");
    let refused = world.site.sekisho(&["doctor"]).unwrap_err();
    assert!(matches!(refused, SiteError::Program(..)), "{refused}");
    // The restored server knows nothing of the rule; of its own generations it is behind the machine's.
    for name in ["db", "web"] {
        assert!(world.agent(name, "trust-log").status.success());
    }
    world.becomes("after the log is trusted", true, SOON);
    world.state_becomes("db", "applied");
    world.deny_db();
    world.becomes("after a later rule", false, SOON);
    world.log_becomes("both witness it again", |l| l["witnessedBy"] == 2 && l["distrustedBy"] == 0);
    let logged = world.site.sekisho(&["audit", "export"]).unwrap();
    assert!(logged.contains("Sekisho.Audit/logs/restore/action"));
}

#[test]
fn an_export_of_the_log_is_checked_offline_with_the_cosignatures_of_machines() {
    if unable().is_some() {
        return;
    }
    let world = World::new("fdx");
    world.log_becomes("both machines witness it", |l| l["witnessedBy"] == 2);
    let file = world.dir.path().join("log.jsonl");
    std::fs::write(&file, world.site.sekisho(&["audit", "export"]).unwrap()).unwrap();
    let name = file.to_str().unwrap();
    let verify = |name: &str| {
        // Offline: of the installation, only the program is there.
        let mut sekisho = std::process::Command::new(programs().join("sekisho"));
        sekisho.args(["audit", "verify", name]).env("SEKISHO_DATA_DIR", "/nonexistent").output().unwrap()
    };
    let held = verify(name);
    let words = String::from_utf8(held.stdout).unwrap();
    assert!(held.status.success(), "{words}{}", String::from_utf8_lossy(&held.stderr));
    assert!(words.contains("signed by the log") && words.matches("cosignature ").count() == 2, "{words}");
    assert_eq!(words.matches("virtualMachines/").count(), 2, "{words}");

    let part = world.site.sekisho(&["audit", "export", "--from", "3", "--to", "5"]).unwrap();
    std::fs::write(&file, &part).unwrap();
    assert!(verify(name).status.success(), "{part}");
    std::fs::write(&file, part.replacen("Succeeded", "Denied", 1)).unwrap();
    let found = verify(name);
    assert!(!found.status.success());
    assert!(String::from_utf8_lossy(&found.stderr).contains("was changed after it was written"), "{found:?}");
}
