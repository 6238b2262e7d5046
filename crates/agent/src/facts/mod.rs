//! Collecting facts: small readers of `/proc`, `/sys` and `/etc`, each a parser over text with a thin file access
//! around it. What cannot be read is left empty, never guessed.

mod capability;
mod network;
mod packages;
mod program;
mod rpm;
mod sockets;
mod system;

use sekisho_link::facts::{Agent, Facts};
use serde_json::Value;

pub(crate) use system::{boot_id, hostname};

/// Collects everything, as the JSON that is sent.
pub(crate) async fn collect() -> Value {
    let facts = Facts {
        os: system::os(),
        kernel: system::kernel(),
        cpu: system::cpu(),
        memory: system::memory(),
        hostname: hostname(),
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
        agent: Agent { version: env!("CARGO_PKG_VERSION").to_owned() },
    };
    serde_json::to_value(facts).unwrap_or_default()
}

/// The interfaces' names and hardware addresses.
pub(crate) fn interfaces() -> Vec<(String, String)> {
    network::nics().into_iter().map(|n| (n.name, n.mac)).collect()
}

/// A file as text; empty when it cannot be read.
fn read(path: &str) -> String {
    std::fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
}
