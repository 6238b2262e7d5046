//! What the kernel lets the agent do, found by trying and not by asking for a version.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use sekisho_link::facts::Capability;

/// A ruleset that uses every expression the compiler emits; `-c` has the kernel check it without keeping it.
const TRIAL: &str = "\
table inet sekisho_probe {
    set p {
        type ipv4_addr
        flags interval
        auto-merge
        elements = { 10.0.0.0/8 }
    }
    chain c {
        type filter hook input priority 0; policy accept;
        ct state established accept
        ip saddr @p tcp dport 1-2 counter accept
    }
}
";

/// Probed once: a kernel does not change under a running agent.
pub(super) async fn probe() -> BTreeMap<String, Capability> {
    static FOUND: OnceLock<BTreeMap<String, Capability>> = OnceLock::new();
    FOUND.get_or_init(|| BTreeMap::from([("nftables".to_owned(), nftables())])).clone()
}

fn nftables() -> Capability {
    let none = |detail: String| Capability { tier: "none".to_owned(), detail };
    let spawned = Command::new("nft")
        .args(["-c", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return none(format!("the program nft cannot be run: {error}")),
    };
    if let Some(mut input) = child.stdin.take() {
        // nft that died early says why through its status.
        let _ = input.write_all(TRIAL.as_bytes());
    }
    match child.wait_with_output() {
        Ok(output) if output.status.success() => Capability {
            tier: "full".to_owned(),
            detail: "sets with intervals, connection tracking and counters were accepted".to_owned(),
        },
        Ok(output) => {
            none(String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned())
        }
        Err(error) => none(error.to_string()),
    }
}
