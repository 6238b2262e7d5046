//! The agent's program from outside: what it refuses, and what it is made of.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod simulation;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn agent(dir: &TempDir, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sekisho-agent"))
        .arg("--state-dir")
        .arg(dir.path().join("state"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses before it reads closes its end early.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_machine_that_has_not_joined_is_told_to_join() {
    let dir = TempDir::new().unwrap();
    for command in ["run", "status", "leave"] {
        let output = agent(&dir, &[command], "");
        assert!(!output.status.success());
        assert!(words(&output).contains("has not joined"), "{}", words(&output));
    }
}

#[test]
fn nonsense_instead_of_a_join_string_is_refused_without_being_repeated() {
    let dir = TempDir::new().unwrap();
    let output = agent(&dir, &["join"], "skj1.my-secret-text\n");
    assert!(!output.status.success());
    let said = words(&output);
    assert!(said.contains("not a join string") && !said.contains("my-secret-text"), "{said}");
    assert!(!dir.path().join("state").exists(), "nothing is made before the server has let the machine in");
}

#[test]
fn a_join_file_that_others_can_read_is_refused() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("join");
    std::fs::write(&file, "skj1.x").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let output = agent(&dir, &["join", "--file", file.to_str().unwrap()], "");
    assert!(!output.status.success());
    assert!(words(&output).contains("chmod 600"), "{}", words(&output));
}

#[test]
fn a_join_string_is_taken_from_no_argument() {
    let dir = TempDir::new().unwrap();
    let output = agent(&dir, &["join", "skj1.x"], "");
    assert_eq!(output.status.code(), Some(2), "{}", words(&output));
}

#[test]
fn a_server_that_does_not_answer_is_named() {
    let dir = TempDir::new().unwrap();
    let pin = "A".repeat(43);
    let output = agent(&dir, &["join"], &format!("skj1.127.0.0.1:1.{pin}.{pin}"));
    assert!(!output.status.success());
    assert!(words(&output).contains("connecting to 127.0.0.1:1"), "{}", words(&output));
}

#[test]
fn the_agent_is_made_of_no_database_web_server_or_passkey_library() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--offline", "--locked", "-p", "sekisho-agent", "-e", "normal", "--prefix", "none"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", words(&output));
    let tree = String::from_utf8(output.stdout).unwrap();
    for heavy in ["sqlx", "axum", "webauthn", "openssl", "aws-lc", "reqwest"] {
        assert!(!tree.lines().any(|l| l.starts_with(heavy)), "the agent must not contain {heavy}");
    }
}
