//! What lists show of a machine's facts. Facts are tens of kilobytes and an outline is a few hundred bytes, so that a
//! list of thousands reads no facts.

use serde::{Deserialize, Serialize};

use crate::facts::{Facts, Os};

/// The facts of a machine in short.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Outline {
    /// `os-release`.
    pub os: Os,
    /// `uname -r`.
    pub kernel: String,
    /// The host name.
    pub hostname: String,
    /// How many processors are online.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// The names of the block devices.
    pub disks: Vec<String>,
    /// The addresses of all interfaces, without prefix lengths and without link-local ones.
    pub addresses: Vec<String>,
}

impl From<&Facts> for Outline {
    fn from(facts: &Facts) -> Self {
        let addresses = facts.nics.iter().flat_map(|n| &n.addresses).filter_map(|a| a.split('/').next());
        Outline {
            os: facts.os.clone(),
            kernel: facts.kernel.release.clone(),
            hostname: facts.hostname.clone(),
            cpus: facts.cpu.count,
            memory_bytes: facts.memory.total_bytes,
            disks: facts.disks.iter().map(|d| d.name.clone()).collect(),
            addresses: addresses.filter(|a| !a.starts_with("fe80:")).map(str::to_owned).collect(),
        }
    }
}
