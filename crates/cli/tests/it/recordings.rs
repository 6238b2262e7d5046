//! Recordings, checked by somebody who has nothing of the installation but the program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sekisho_arm::{AuditEntry, CallerRef, Outcome, Phase, PrincipalKind};
use sekisho_audit::note::{Signer, Use};
use sekisho_audit::tree::leaf_hash;
use sekisho_audit::{Checkpoint, Frontier, Leaf, export};
use sekisho_bastion_recording::container::{Header, Key, Lane, Line, Shows, Writer};
use serde_json::json;
use tempfile::TempDir;
use time::OffsetDateTime;

use super::programs;

const MACHINE: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/db";
const LOG: &str = "sekisho/test";

/// A recording of three seconds, its key, and where its chunks and its last seal begin.
struct Made {
    bytes: Vec<u8>,
    key: String,
    starts: Vec<usize>,
}

fn recording(person: &str) -> Made {
    let key = Key::generate().unwrap();
    let public = key.public();
    let header = Header {
        session: "0b6a2f0e-1111-4222-8333-444444444444".to_owned(),
        machine: MACHINE.to_owned(),
        account: "root".to_owned(),
        person: person.to_owned(),
        since: "2026-11-27T00:00:00Z".to_owned(),
        shows: Shows::Terminal,
        columns: 80,
        rows: 24,
        key: public.clone(),
    };
    let (mut writer, mut bytes) = Writer::begin(key, &header).unwrap();
    let mut starts = Vec::new();
    for second in 1..=3 {
        starts.push(bytes.len());
        let said = format!("second {second} 関所\r\n");
        bytes.extend(writer.chunk(&[Line(second * 1000, Lane::Output, said)]).unwrap());
    }
    starts.push(bytes.len());
    bytes.extend(writer.end().unwrap());
    Made { bytes, key: public, starts }
}

/// An export of a log that tells of one session with this key.
fn log(key: &str, person: &str) -> String {
    let signer = Signer::new(LOG, Use::Note, &Signer::generate().unwrap()).unwrap();
    let entry = AuditEntry {
        operation: "Sekisho.Bastion/sessions/write".to_owned(),
        resource_id: MACHINE.to_owned(),
        caller: CallerRef { object_id: "o".to_owned(), kind: PrincipalKind::User, name: person.to_owned() },
        outcome: Outcome::Succeeded,
        detail: "Opened".to_owned(),
        correlation_id: "0b6a2f0e-1111-4222-8333-444444444444".to_owned(),
        authorization: None,
        http: None,
        phase: Some(Phase::Intent),
        properties: Some(json!({ "session": { "account": "root", "recordingKey": key } })),
    };
    let ended = AuditEntry {
        phase: Some(Phase::Result),
        detail: "Closed".to_owned(),
        properties: None,
        ..entry.clone()
    };
    let mut tree = Frontier::default();
    let mut lines = vec![export::Line::Log { key: signer.verifier(), after: 0, frontier: Vec::new() }];
    for (sequence, entry) in (1..).zip([entry, ended]) {
        let leaf = Leaf { sequence, at: OffsetDateTime::UNIX_EPOCH, entry }.bytes().unwrap();
        let hash = leaf_hash(&leaf);
        tree.append(hash);
        lines.push(export::Line::Entry { sequence, hash, leaf: Some(String::from_utf8(leaf).unwrap()) });
    }
    let signed = Checkpoint { origin: LOG.to_owned(), size: tree.size(), root: tree.root() }.sign(&signer);
    lines.push(export::Line::Checkpoint { note: signed, consistency: Vec::new() });
    lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect()
}

/// Files, and the program that checks them.
struct Desk(TempDir);

impl Desk {
    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn verify(&self, bytes: &[u8], arguments: &[&str]) -> Output {
        self.verify_file(&self.put("a.skr", bytes), arguments)
    }

    fn verify_file(&self, file: &Path, arguments: &[&str]) -> Output {
        let mut sekisho = Command::new(programs().join("sekisho"));
        sekisho.args(["recording", "verify"]).arg(file).args(arguments);
        sekisho.env("SEKISHO_DATA_DIR", "/nonexistent").output().unwrap()
    }
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_recording_is_checked_offline_and_what_is_wrong_is_named_with_the_moment_up_to_which_it_is_proved() {
    let desk = Desk(TempDir::new().unwrap());
    let Made { bytes, key, starts } = recording("jun@example.com");
    let key = ["--key", key.as_str()];
    let whole = desk.verify(&bytes, &key);
    assert!(whole.status.success(), "{whole:?}");
    assert!(words(&whole).contains("up to 0:00:03.000 after its beginning"), "{}", words(&whole));

    let found = |bytes: &[u8], wrong: &str, until: &str| {
        let said = desk.verify(bytes, &key);
        assert_eq!(said.status.code(), Some(1), "{said:?}");
        let words = words(&said);
        assert!(words.contains(wrong), "{wrong} is not in {words}");
        assert!(until.is_empty() != words.contains("after its beginning"), "{words}");
        assert!(words.contains(until), "{until} is not in {words}");
    };
    found(&bytes[..starts[3]], "the seal that closes it is missing", "up to 0:00:03.000");
    found(&bytes[..starts[2] + 3], "the seal that closes it is missing", "up to 0:00:02.000");
    let mut changed = bytes.clone();
    changed[starts[1] + 8] ^= 1;
    found(&changed, "is not what was recorded", "up to 0:00:01.000");
    found(&[&bytes[..starts[0]], &bytes[starts[1]..]].concat(), "its seal does not fit", "");
    found(&[bytes.as_slice(), b"more"].concat(), "was added", "up to 0:00:03.000");
    found(&recording("jun@example.com").bytes, "another key", "");
    // What stands before the first seal is not proved, whoever it names.
    found(&recording("eve").bytes[..starts[0]], "another key", "");
    found(&bytes[..starts[0]], "before its first seal", "");
    found(b"SKR1\n", "not a recording", "");
    // Without a key from elsewhere nothing would be proved.
    assert!(!desk.verify(&bytes, &[]).status.success());
}

#[test]
fn the_log_says_whose_a_recording_is_when_its_export_holds_and_names_the_same() {
    let desk = Desk(TempDir::new().unwrap());
    let Made { bytes, key, .. } = recording("jun@example.com");
    let told = log(&key, "jun@example.com");
    let log_of = |text: &str| desk.put("log.jsonl", text).display().to_string();
    let held = desk.verify(&bytes, &["--log", &log_of(&told)]);
    assert!(held.status.success(), "{held:?}");
    assert!(words(&held).contains("entry 1: jun@example.com at 1970-01-01T00:00:00"), "{}", words(&held));
    assert!(words(&held).contains("entry 2: over at"), "{}", words(&held));

    let refused = |log: &str, why: &str| {
        let said = desk.verify(&bytes, &["--log", &log_of(log)]);
        assert_eq!(said.status.code(), Some(1));
        let words = words(&said) + &String::from_utf8_lossy(&said.stderr);
        assert!(words.contains(why), "{why} is not in {words}");
    };
    refused(&log(&key, "eve@example.com"), "another person");
    refused(&log(&recording("jun@example.com").key, "jun@example.com"), "tells of no session");
    refused(&told.replacen("jun@", "eve@", 1), "was changed after it was written");
    let other = Signer::new(LOG, Use::Note, &Signer::generate().unwrap()).unwrap().verifier().to_string();
    let path = log_of(&told);
    assert!(!desk.verify(&bytes, &["--log", &path, "--log-key", &other]).status.success());
}

#[test]
fn what_is_proved_is_written_as_text_or_asciicast_and_nothing_of_it_moves_the_terminal() {
    let desk = Desk(TempDir::new().unwrap());
    let Made { bytes, key, starts } = recording("jun\x1b[2J");
    let text = desk.verify(&bytes[..starts[2]], &["--key", &key, "--text"]);
    assert_eq!((words(&text).as_str(), text.status.code()), ("second 1 関所\nsecond 2 関所\n", Some(1)));
    assert!(!text.stderr.contains(&0x1b), "{text:?}");
    let cast = desk.verify(&bytes, &["--key", &key, "--cast"]);
    assert!(cast.status.success() && words(&cast).starts_with("{\"version\":3"), "{cast:?}");
}
