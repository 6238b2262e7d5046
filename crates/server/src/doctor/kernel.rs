//! What the kernel allows the server: descriptors and the queue of connections that wait.

use nix::sys::resource::{Resource, getrlimit};

use super::Finding;

const AREA: &str = "kernel";
/// Descriptors beside those of the machines' connections.
const OWN: u64 = 512;
/// The queue of connections that wait when all machines come back at once.
const QUEUE: u64 = 1024;

/// `allowed` are the descriptors of the running server; without one, those that this program may have stand for them.
pub(super) fn look(allowed: Option<u64>, machines: i64) -> Vec<Finding> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let queue =
        std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok().and_then(|t| t.trim().parse().ok());
    let mut all = vec![Finding::fine(AREA, format!("Linux {}", release.trim()))];
    let own = || getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(_, most)| most);
    if let Some(most) = allowed.or_else(own) {
        all.push(descriptors(most, u64::try_from(machines).unwrap_or_default()));
    }
    all.extend(queue.and_then(waiting));
    all
}

fn descriptors(most: u64, machines: u64) -> Finding {
    let needed = machines + machines / 4 + OWN;
    if most >= needed {
        Finding::fine(AREA, format!("{most} open files are allowed, {needed} needed"))
    } else {
        let seen = format!("{most} open files are allowed, {needed} needed for {machines} machines");
        Finding::bad(AREA, seen, "Raise LimitNOFILE of sekisho.service")
    }
}

fn waiting(queue: u64) -> Option<Finding> {
    (queue < QUEUE).then(|| {
        let seen = format!("only {queue} connections may wait (net.core.somaxconn)");
        Finding::warning(AREA, seen, format!("sysctl -w net.core.somaxconn={QUEUE}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn every_machine_needs_a_descriptor_and_some_more_come_and_go() {
        assert_eq!(descriptors(1024, 400).state, State::Fine);
        assert_eq!(descriptors(1024, 500).state, State::Bad);
    }
}
