//! What nftables can do here: `nft -c` has the kernel check a ruleset without keeping it.

use std::time::Duration;

use sekisho_link::facts::Capability;
use tokio::process::Command;

use super::super::program::{self, Limits};
use super::{full, none};

const LIMITS: Limits = Limits { time: Duration::from_secs(10), bytes: 64 << 10 };

/// A ruleset, and what it shows when it is accepted.
pub(super) struct Trial {
    rules: &'static str,
    shows: &'static str,
}

/// Every expression that the compiler of security groups emits.
pub(super) const RULES: Trial = Trial {
    rules: "\
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
",
    shows: "sets with intervals, connection tracking and counters were accepted",
};

/// Connections, with the marks by which flows are told apart.
pub(super) const CONNECTIONS: Trial = Trial {
    rules: "\
table inet sekisho_probe {
    chain c {
        type filter hook input priority 0; policy accept;
        ct state new ct mark set 1
    }
}
",
    shows: "rules over the state and the mark of connections were accepted",
};

/// Packets handed to a program.
pub(super) const LOG: Trial = Trial {
    rules: "\
table inet sekisho_probe {
    chain c {
        type filter hook input priority 0; policy accept;
        log group 1 snaplen 128
    }
}
",
    shows: "a rule that logs to a netlink group was accepted",
};

/// Whether the kernel accepts a ruleset.
pub(super) async fn accepts(trial: Trial) -> Capability {
    let mut command = Command::new("nft");
    command.args(["-c", "-f", "-"]);
    match program::output(command, trial.rules.as_bytes(), LIMITS).await {
        Ok(_) => full(trial.shows),
        Err(error) => none(format!("nft: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_ruleset_that_is_refused_is_a_capability_that_is_not_there() {
        let nonsense = Trial { rules: "table inet sekisho_probe { nonsense }\n", shows: "no" };
        let found = accepts(nonsense).await;
        assert_eq!(found.tier, "none");
        assert!(found.detail.starts_with("nft: "), "{}", found.detail);
    }
}
