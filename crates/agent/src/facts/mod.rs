//! Collecting facts: small readers of `/proc`, `/sys` and `/etc`, each a parser over text with a thin file access
//! around it. What cannot be read is left empty, never guessed.

mod capability;
mod network;
mod packages;
pub(crate) mod program;
mod rpm;
mod sockets;
mod system;

use sekisho_link::facts::{Agent, Clock, Facts, Ssh};
use sekisho_link::reach::Reach;
use serde_json::Value;

pub(crate) use system::{boot_id, hostname};

use crate::limits;

/// Most entries of a list.
const MANY: usize = 2000;
/// Most packages.
const MANY_PACKAGES: usize = 20_000;

/// Collects everything, as the JSON that is sent. `clock` is the machine's clock beside the server's, `ssh` what is known
/// of its SSH server, `reach` the hosts near it to which it leads.
pub(crate) async fn collect(clock: Option<Clock>, ssh: Option<Ssh>, reach: Vec<Reach>) -> Value {
    let mut facts = Facts {
        os: system::os(),
        kernel: system::kernel(),
        cpu: system::cpu(),
        memory: system::memory(),
        hostname: hostname(),
        platform: system::platform().to_owned(),
        boot_id: boot_id(),
        booted_at: system::booted_at(),
        disks: system::disks(),
        mounts: system::mounts(),
        nics: network::nics(),
        routes: network::routes(),
        sockets: sockets::listening(),
        users: system::users(),
        services: system::services(),
        packages: packages::installed().await,
        capabilities: capability::probe().await,
        agent: Agent {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            limits: limits::in_force(std::process::id()),
        },
        clock,
        ssh,
        reach,
    };
    bound(&mut facts);
    serde_json::to_value(facts).unwrap_or_default()
}

/// Cuts what a machine could have without bound, far above what any has, so that facts always fit into a message.
fn bound(facts: &mut Facts) {
    facts.disks.truncate(MANY);
    facts.mounts.truncate(MANY);
    facts.nics.truncate(MANY);
    facts.routes.truncate(MANY);
    facts.sockets.truncate(MANY);
    facts.users.truncate(MANY);
    facts.services.truncate(MANY);
    for nic in &mut facts.nics {
        nic.addresses.truncate(64);
    }
    for mount in &mut facts.mounts {
        for text in [&mut mount.source, &mut mount.target, &mut mount.options] {
            *text = text.chars().take(512).collect();
        }
    }
    if facts.packages.installed.len() > MANY_PACKAGES {
        let first = std::mem::take(&mut facts.packages.installed).into_iter().take(MANY_PACKAGES);
        facts.packages.installed = first.collect();
        facts.packages.error = Some(format!("only the first {MANY_PACKAGES} packages are told"));
    }
}

/// The interfaces' names and hardware addresses.
pub(crate) fn interfaces() -> Vec<(String, String)> {
    network::nics().into_iter().map(|n| (n.name, n.mac)).collect()
}

/// A file as text; empty when it cannot be read.
fn read(path: &str) -> String {
    std::fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
}
