//! The page on OWASP ASVS names every requirement of its chapters once, and tests that exist.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sekisho_identity::throttle::{Limit, Place};
use sekisho_link::pki::{self, Authority, Identity};
use sekisho_link::tls;
use time::OffsetDateTime;
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

use crate::kit::{Data, Server, dial, until};

/// How many requirements each chapter of version 5.0.0 has.
const CHAPTERS: [(&str, usize); 6] =
    [("V6", 47), ("V7", 19), ("V8", 13), ("V9", 7), ("V10", 36), ("V16", 17)];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// The text of every file in which tests are.
fn sources(dir: &Path, into: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["node_modules", "target", "dist"].contains(&name.as_str()) {
            sources(&path, into);
        } else if [".rs", ".py", ".e2e.ts"].iter().any(|end| name.ends_with(end)) {
            into.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_requirement_has_a_test_that_exists_or_a_reason() {
    let page = std::fs::read_to_string(root().join("docs/reference/asvs.md")).unwrap();
    let mut all = String::new();
    for dir in ["crates", "tests", "portal/e2e"] {
        sources(&root().join(dir), &mut all);
    }
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    let mut seen = Vec::new();
    for row in page.lines().filter(|line| line.starts_with("| V")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [id, _, by] = cells.as_slice() else { panic!("{row}") };
        assert!(!seen.contains(id), "{id} stands there twice");
        seen.push(id);
        *counted.entry(id.split('.').next().unwrap()).or_default() += 1;
        if let Some(reason) = by.strip_prefix("not applicable: ") {
            assert!(!reason.is_empty(), "{id} has no reason");
            continue;
        }
        for test in by.split(", ") {
            let name = test
                .strip_prefix('`')
                .and_then(|t| t.strip_suffix('`'))
                .unwrap_or_else(|| panic!("{id}: {test}"));
            let defined = [format!("fn {name}"), format!("def {name}("), format!("test(`{name}")];
            assert!(defined.iter().any(|d| all.contains(d)), "{id}: there is no test '{name}'");
        }
    }
    assert_eq!(counted, CHAPTERS.into_iter().collect());
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join("docs").join(name)).unwrap()
}

#[test]
fn the_page_names_every_limit() {
    let trust = page("explanation/trust.md");
    let span = |span: time::Duration| match span.whole_minutes() {
        1 => "1 minute".to_owned(),
        60 => "1 hour".to_owned(),
        minutes if minutes > 60 => format!("{} hours", minutes / 60),
        minutes => format!("{minutes} minutes"),
    };
    for (place, words) in [
        (Place::FamiliarDevice, "a name, from a browser that knows it"),
        (Place::StrangeDevice, "a name, from any other browser"),
        (Place::Address, "an address"),
        (Place::Network, "a network"),
    ] {
        let Limit { free, window, first, longest } = place.limit();
        let (window, first, longest) = (span(window), span(first), span(longest));
        let row =
            format!("| {words} | {free} | {window} | {first}, doubled by each further one | {longest} |");
        assert!(trust.contains(&row), "{row}");
    }
    assert_eq!(Place::ALL.len(), 4);
}

#[test]
fn every_log_is_in_the_inventory() {
    let inventory = page("how-to/log.md");
    let settings = page("reference/settings.md");
    for setting in ["audit_retention_days", "lake_retention_days", "log_json"] {
        assert!(settings.contains(setting) && inventory.contains(setting), "{setting}");
    }
    for place in [
        "the activity log",
        "sekisho audit export",
        "SEKISHO_LOG",
        "/metrics",
        "signIn",
        "journal of the machine",
    ] {
        assert!(inventory.to_lowercase().contains(&place.to_lowercase()), "{place}");
    }
}

#[tokio::test]
async fn a_failed_handshake_and_a_refused_agent_are_lines_of_the_log() {
    let data = Data::sqlite();
    let path = data.path().join("said");
    let (server, _) = Server::program(data, &path, &[]).await;
    let said = async |what: &str| {
        until(what, async || std::fs::read_to_string(&path).unwrap().contains(what).then_some(())).await;
    };
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    said("a TLS handshake failed").await;
    // An agent of another installation.
    let other = Authority::generate("Other CA", OffsetDateTime::now_utc()).unwrap();
    let (key, csr) = pki::request().unwrap();
    let signed =
        Authority::load(&other).unwrap().agent(&csr, Uuid::new_v4(), OffsetDateTime::now_utc()).unwrap();
    let tls = tls::agent(&server.ca(), &Identity { certificate: signed.certificate, key }).unwrap();
    // Lines come once a second; this one is awaited however it is refused.
    until("the line about the agent", async || {
        let stream = dial(server.port, Arc::new(tls.clone()), tls::link_name()).await;
        if let Ok(mut stream) = stream {
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 1]).await;
        }
        std::fs::read_to_string(&path).unwrap().contains("UnknownIssuer").then_some(())
    })
    .await;
    server.stop().await;
}
