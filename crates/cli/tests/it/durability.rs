//! Nothing that was acknowledged is lost, whatever dies, fills up or lies about the time; and what an operator does to
//! the installation as a whole keeps all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sekisho_lab::postgres::{self, Postgres};
use serde_json::Value;

use crate::installation::Installation;
use crate::{skipped, unable};

/// How often the server is killed.
const ROUNDS: u32 = 200;

/// A number below `end`; the seed is in the failure's output through the round.
fn random(state: &mut u64, end: u64) -> u64 {
    // xorshift64*, enough to spread moments.
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d) % end
}

#[test]
fn two_hundred_kills_at_random_moments_under_load_lose_nothing_on_this_database() {
    let mut here = Installation::new();
    here.start();
    let owner = here.owner();
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
    let mut state = seed;
    let acknowledged = Mutex::new(BTreeSet::new());
    for round in 0..ROUNDS {
        let wait = Duration::from_millis(5 + random(&mut state, 120));
        let stop = AtomicBool::new(false);
        std::thread::scope(|threads| {
            for worker in 0..3 {
                let (owner, stop, acknowledged) = (&owner, &stop, &acknowledged);
                threads.spawn(move || {
                    for n in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let name = format!("r{round}-w{worker}-{n}");
                        if owner.write(&name).is_ok() {
                            acknowledged.lock().unwrap().insert(name);
                        }
                    }
                });
            }
            std::thread::sleep(wait);
            // On PostgreSQL the database dies too, every third time; alone, or the moment before the server.
            if let Some(postgres) = here.postgres.as_mut().filter(|_| round % 3 == 0) {
                postgres.kill().unwrap();
            }
            here.kill();
            stop.store(true, Ordering::Relaxed);
        });
        if let Some(postgres) = here.postgres.as_mut().filter(|_| round % 3 == 0) {
            postgres.restart().unwrap();
        }
        whole(&here.rows(), &acknowledged.lock().unwrap(), &format!("round {round} of seed {seed}"));
        here.start();
    }
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() > ROUNDS as usize, "{} writes are no load", acknowledged.len());
    let verified: Value = serde_json::from_str(&here.sekisho(&["audit", "verify"])).unwrap();
    assert!(verified["entries"].as_u64().unwrap() >= acknowledged.len() as u64);
    owner.read(acknowledged.last().unwrap()).unwrap();
}

/// Every acknowledged write is there, with its entry in the log; no resource lacks its entry and no entry its resource;
/// neither the log nor the feed has a gap.
fn whole(rows: &[Value], acknowledged: &BTreeSet<String>, when: &str) {
    const KIND: &str = "microsoft.network/applicationsecuritygroups";
    let mut kept = BTreeSet::new();
    let mut logged = BTreeSet::new();
    let mut told = BTreeSet::new();
    let mut sequences: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for record in rows {
        let row = record["row"].as_array().unwrap();
        match record["table"].as_str().unwrap() {
            "resource" if row[2] == KIND => drop(kept.insert(last(&row[0]))),
            "change" => {
                sequences.entry("change").or_default().push(row[0].as_i64().unwrap());
                if row[1] == KIND {
                    told.insert(last(&row[2]));
                }
            }
            "audit" => {
                sequences.entry("audit").or_default().push(row[0].as_i64().unwrap());
                let leaf: Value = serde_json::from_str(row[2].as_str().unwrap()).unwrap();
                let id = leaf["resourceId"].as_str().unwrap().to_lowercase();
                if id.contains(KIND) {
                    logged.insert(last(&Value::from(id)));
                }
            }
            _ => {}
        }
    }
    let lost: Vec<_> = acknowledged.difference(&kept).collect();
    assert!(lost.is_empty(), "{when}: acknowledged and lost: {lost:?}");
    assert_eq!(kept, logged, "{when}: resources and their entries");
    assert_eq!(kept, told, "{when}: resources and their changes");
    for (table, mut sequence) in sequences {
        sequence.sort_unstable();
        assert!(sequence.windows(2).all(|w| w[1] == w[0] + 1), "{when}: a gap in {table}");
    }
}

fn last(id: &Value) -> String {
    id.as_str().unwrap().rsplit('/').next().unwrap().to_owned()
}

#[test]
fn a_full_disk_is_a_clear_error_and_writes_go_on_when_there_is_room_again() {
    if unable().is_some() {
        return;
    }
    let here = Installation::on(None);
    std::fs::create_dir(here.own_data()).unwrap();
    let script = format!("mount -t tmpfs -o size=12m sekisho {} && exec \"$@\"", here.own_data().display());
    let mut here = here.through(&["unshare", "--mount", "sh", "-c", &script, "sh"]);
    here.start();
    let owner = here.owner();
    owner.write("before").unwrap();

    let ballast = here.data().join("ballast");
    fill(&ballast);
    let mut n = 0;
    let refused = loop {
        // What SQLite has allocated already still takes some.
        match owner.write(&format!("full-{n}")) {
            Ok(_) => n += 1,
            Err(error) => break error.to_string(),
        }
    };
    assert!(refused.contains("InsufficientStorage") && refused.contains("is full"), "{refused}");
    owner.read("before").expect("reading needs no room");

    std::fs::remove_file(ballast).unwrap();
    owner.write("after").unwrap();
    owner.read("after").unwrap();
    owner.read(&format!("full-{n}")).expect_err("what was refused is not there");
    here.sekisho(&["audit", "verify"]);
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

#[test]
fn a_server_on_a_read_only_disk_says_so_and_starts_when_it_can_be_written_again() {
    if unable().is_some() {
        return;
    }
    let mut here = Installation::on(None);
    here.start();
    let owner = here.owner();
    owner.write("kept").unwrap();
    here.kill();

    let data = here.own_data();
    let script = format!("mount --bind -o ro {0} {0} && exec \"$@\"", data.display());
    let mut here = here.through(&["unshare", "--mount", "sh", "-c", &script, "sh"]);
    here.launch();
    let words = here.ends();
    assert!(words.contains("Read-only file system") && words.contains("data_dir"), "{words}");

    let mut here = here.through(&[]);
    here.back();
    here.start();
    owner.read("kept").unwrap();
    owner.write("more").unwrap();
}

#[test]
fn a_clock_that_jumps_a_day_either_way_costs_no_write_and_no_entry_on_this_database() {
    let library = Path::new("/usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
    let library = library.join("faketime/libfaketimeMT.so.1");
    if !library.exists() {
        return skipped("libfaketime is not installed");
    }
    let here = Installation::new();
    let clock = here.dir.path().join("clock");
    let set = |offset: &str| std::fs::write(&clock, offset).unwrap();
    set("+0");
    let mut here = here
        .with("LD_PRELOAD", library.display().to_string())
        .with("FAKETIME_TIMESTAMP_FILE", clock.display().to_string())
        .with("FAKETIME_NO_CACHE", "1".to_owned())
        .with("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned());
    here.start();
    let mut owner = here.owner();
    owner.write("today").unwrap();

    set("+86400");
    let refused = owner.write("with-an-old-token").unwrap_err().to_string();
    assert!(refused.contains("ExpiredAuthenticationToken"), "{refused}");
    owner.sign_in().unwrap();
    owner.write("tomorrow").unwrap();

    set("-86400");
    owner.sign_in().unwrap();
    owner.write("yesterday").unwrap();

    set("+0");
    owner.sign_in().unwrap();
    owner.write("today-again").unwrap();
    for name in ["today", "tomorrow", "yesterday", "today-again"] {
        owner.read(name).unwrap();
    }
    here.sekisho(&["audit", "verify"]);
    here.kill();
    here.start();
    owner.write("after-a-restart").unwrap();
}

#[test]
fn a_backup_taken_under_load_restores_to_either_database_as_the_same_installation() {
    let mut here = Installation::new();
    here.start();
    let owner = here.owner();
    let file = here.dir.path().join("all.skb");
    let name = file.to_str().unwrap();
    owner.write("before").unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let load = threads.spawn(|| {
            (0..).take_while(|_| !stop.load(Ordering::Relaxed)).for_each(|n| {
                owner.write(&format!("load-{n}")).unwrap();
            });
        });
        let said = here.sekisho(&["backup", name]);
        assert!(said.contains("rows are in"), "{said}");
        stop.store(true, Ordering::Relaxed);
        load.join().unwrap();
    });
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&file).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    let again = here.run(&["backup", name]);
    assert!(!again.status.success(), "an older backup is not written over");
    here.kill();

    let mut places = vec![Installation::on(None)];
    match postgres::programs() {
        Ok(_) => places.push(Installation::on(Some(Postgres::start().unwrap()))),
        Err(why) => skipped(&why),
    }
    for mut there in places {
        there.port = here.port;
        let broken = there.dir.path().join("broken.skb");
        let mut bytes = std::fs::read(&file).unwrap();
        bytes.truncate(bytes.len() - 20);
        std::fs::write(&broken, bytes).unwrap();
        let refused = there.run(&["restore", broken.to_str().unwrap()]);
        assert!(!refused.status.success());
        assert!(there.rows().is_empty() && !there.data().join("keys").exists(), "half a backup is nothing");

        there.sekisho(&["restore", name]);
        let refused = there.run(&["restore", name]);
        assert!(!refused.status.success(), "what is there is not written over");
        there.start();
        // With the same secrets, trusted by the same certificate.
        let mut back = owner.clone();
        back.sign_in().unwrap();
        back.read("before").unwrap();
        back.write("after").unwrap();
        there.sekisho(&["audit", "verify"]);
    }
}

#[test]
fn an_installation_moves_from_sqlite_to_postgresql_by_one_command() {
    if let Err(why) = postgres::programs() {
        return skipped(&why);
    }
    let mut here = Installation::on(None);
    here.start();
    let owner = here.owner();
    owner.write("moved").unwrap();
    let postgres = Postgres::start().unwrap();
    let url = postgres.url();
    let copy = ["db", "copy", "--to", url.as_str()];
    let refused = here.run(&copy);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("in use"), "{words}");
    here.kill();
    here.sekisho(&copy);
    here.postgres = Some(postgres);
    here.start();
    owner.read("moved").unwrap();
    owner.write("more").unwrap();
    here.sekisho(&["audit", "verify"]);
    assert!(here.sekisho(&["db", "migrate", "--check"]).contains("schema"));
}

#[test]
fn a_second_server_on_the_same_data_directory_is_refused() {
    let mut here = Installation::on(None);
    here.start();
    let first = here.pid();
    let mut second = here.run(&["server"]);
    let words = String::from_utf8_lossy(&std::mem::take(&mut second.stderr)).into_owned();
    assert!(!second.status.success() && words.contains("in use by another"), "{words}");
    assert!(Command::new("kill").args(["-0", &first.to_string()]).status().unwrap().success());
}
