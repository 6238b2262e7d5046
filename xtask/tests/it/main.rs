//! The bench still measures everything, with tiny sizes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What needs a peer or `az`, which no test fetches.
const WITHOUT_PEERS: [&str; 8] = [
    "RBAC decision, p50",
    "agent, resident, beside node_exporter",
    "agent, idle CPU, beside node_exporter",
    "agent, program, beside node_exporter",
    "agent, resident, beside zabbix-agent2",
    "agent, idle CPU, beside zabbix-agent2",
    "agent, program, beside zabbix-agent2",
    "az network nsg rule create, p50",
];

/// Whether this machine cannot run it, said by name.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn unable() -> bool {
    let postgres = sekisho_lab::postgres::programs().map(|_| ());
    match sekisho_lab::requirements().and(postgres) {
        Ok(()) => false,
        Err(why) => {
            eprintln!("skipped: {why}");
            true
        }
    }
}

/// The programs are other packages': a run of the whole workspace builds them too and says so.
fn programs(xtask: &Path) {
    if std::env::var_os("SEKISHO_WHOLE_WORKSPACE").is_some() {
        return;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--locked", "--target-dir"]);
    build.arg(xtask.parent().unwrap().parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
    for package in ["sekisho", "sekisho-agent", "sekisho-fleet", "sekisho-bench"] {
        build.args(["-p", package]);
    }
    assert!(build.status().unwrap().success(), "the programs do not build");
}

/// Every figure of an area, each measured with tiny sizes.
fn measured(area: &str, figures: usize) {
    if unable() {
        return;
    }
    let xtask = Path::new(env!("CARGO_BIN_EXE_xtask"));
    programs(xtask);
    let output = Command::new(xtask).args(["bench", area, "--smoke"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), figures, "{lines:#?}");
    for line in &lines {
        let figure = line["figure"].as_str().unwrap();
        assert_eq!(line.get("error").is_some(), WITHOUT_PEERS.contains(&figure), "{line}\n{said}");
        assert!(line["ours"].is_number() || figure.starts_with("az "), "{line}");
        assert!(
            line["peer"].is_number() || line["peer_name"].is_null() || line.get("error").is_some(),
            "{line}"
        );
    }
}

#[test]
fn every_figure_of_the_foundation_can_be_measured() {
    measured("foundation", 25);
}

#[test]
fn every_figure_of_the_bastion_can_be_measured() {
    measured("bastion", 11);
}

#[test]
fn every_figure_of_identity_can_be_measured() {
    measured("identity", 12);
}
