//! What the kernel lets the agent do, found by trying and not by asking for a version.
//!
//! Whatever a trial makes, it removes; no trial opens a device whose driver is not there yet, because that would load
//! it. (`nft` may load the modules of the expressions it checks, as it does for the rules themselves.) Trials run on
//! threads of their own: a device that hangs costs its trial and not the agent.

mod device;
mod kernel;
mod nft;
mod sys;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use sekisho_link::facts::Capability;
use tokio::sync::{OnceCell, oneshot};
use tokio::time::timeout;

/// How long one trial may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Probed once: a kernel does not change under a running agent.
pub(super) async fn probe() -> BTreeMap<String, Capability> {
    static FOUND: OnceCell<BTreeMap<String, Capability>> = OnceCell::const_new();
    FOUND.get_or_init(try_all).await.clone()
}

async fn try_all() -> BTreeMap<String, Capability> {
    let (rules, connections, log, rest) = tokio::join!(
        nft::accepts(nft::RULES),
        nft::accepts(nft::CONNECTIONS),
        nft::accepts(nft::LOG),
        futures_util::future::join_all([
            apart("bpf", kernel::bpf),
            apart("cgroup", kernel::cgroup),
            apart("dm-crypt", device::dm_crypt),
            apart("fanotify", kernel::fanotify),
            apart("landlock", kernel::landlock),
            apart("seccomp", kernel::seccomp),
            apart("tpm", device::tpm),
        ]),
    );
    let nft = [("nftables", rules), ("conntrack", connections), ("nflog", log)];
    nft.into_iter().chain(rest).map(|(name, found)| (name.to_owned(), found)).collect()
}

/// Tries on a thread that nobody waits for longer than the limit.
async fn apart(name: &'static str, trial: fn() -> Capability) -> (&'static str, Capability) {
    let (tell, told) = oneshot::channel();
    // The receiver is gone when it took too long; and a trial that panics drops its end.
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(move || drop(tell.send(trial())));
    let found = match spawned {
        Err(error) => none(format!("no thread to try it on: {error}")),
        Ok(_) => match timeout(LIMIT, told).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => none("the trial failed"),
            Err(_) => none(format!("no answer within {} s", LIMIT.as_secs())),
        },
    };
    (name, found)
}

fn full(detail: impl fmt::Display) -> Capability {
    Capability { tier: "full".to_owned(), detail: detail.to_string() }
}

fn partial(detail: impl fmt::Display) -> Capability {
    Capability { tier: "partial".to_owned(), detail: detail.to_string() }
}

fn none(detail: impl fmt::Display) -> Capability {
    Capability { tier: "none".to_owned(), detail: detail.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_capability_has_a_tier_and_says_in_one_line_what_came_of_trying() {
        let found = probe().await;
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        let expected = [
            "bpf",
            "cgroup",
            "conntrack",
            "dm-crypt",
            "fanotify",
            "landlock",
            "nflog",
            "nftables",
            "seccomp",
            "tpm",
        ];
        assert_eq!(names, expected);
        for (name, Capability { tier, detail }) in &found {
            println!("{name}: {tier}: {detail}");
            assert!(["full", "partial", "none"].contains(&tier.as_str()), "{name}: {tier}");
            assert!(!detail.is_empty() && !detail.contains('\n'), "{name}: {detail:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_hangs_or_panics_is_a_capability_that_is_not_there() {
        let hang = || -> Capability {
            loop {
                std::thread::park();
            }
        };
        assert_eq!(apart("hang", hang).await.1, none("no answer within 5 s"));
        assert_eq!(apart("panic", || panic!("on purpose")).await.1.tier, "none");
    }
}
