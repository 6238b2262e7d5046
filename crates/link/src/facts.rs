//! What a machine says about itself. The shape is the portal's and the API's (`properties.sekisho.facts`); maps are
//! keyed by name wherever a list would make a merge patch resend everything.

use std::collections::BTreeMap;

use ring::digest::{SHA256, digest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::join::Hex;
use crate::reach::Reach;

/// Everything a machine reports.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Facts {
    /// `os-release`.
    pub os: Os,
    /// The running kernel.
    pub kernel: Kernel,
    /// The processors.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// The host name.
    pub hostname: String,
    /// The kernel's boot id.
    pub boot_id: String,
    /// When it booted, RFC 3339.
    pub booted_at: String,
    /// What it runs in, where its firmware says so: `Azure`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub platform: String,
    /// Block devices.
    pub disks: Vec<Disk>,
    /// Mounted file systems that hold data.
    pub mounts: Vec<Mount>,
    /// Network interfaces but loopback.
    pub nics: Vec<Nic>,
    /// Routes of the main table.
    pub routes: Vec<Route>,
    /// Listening sockets.
    pub sockets: Vec<Socket>,
    /// Accounts.
    pub users: Vec<User>,
    /// Running services.
    pub services: Vec<Service>,
    /// Installed packages.
    pub packages: Packages,
    /// What the kernel lets the agent do, found by trying.
    pub capabilities: BTreeMap<String, Capability>,
    /// The agent itself.
    pub agent: Agent,
    /// The machine's clock beside the server's; absent before the server has said what time it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    /// The SSH server; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh: Option<Ssh>,
    /// Hosts near it to which it leads, as its administrators say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reach: Vec<Reach>,
}

/// The SSH server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Ssh {
    /// Where it listens.
    pub port: u16,
    /// Its host keys, as OpenSSH writes them, without comment.
    pub host_keys: Vec<String>,
    /// Whether it lets in who comes through a bastion.
    pub trusts: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A machine's clock beside the server's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Clock {
    /// Seconds that it is ahead, negative when it is behind; rounded to 10 so that its jitter is not news.
    pub ahead_seconds: i64,
}

/// The operating system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Os {
    /// `ID`.
    pub id: String,
    /// `NAME`.
    pub name: String,
    /// `VERSION_ID`.
    pub version_id: String,
    /// `VERSION`.
    pub version: String,
    /// `PRETTY_NAME`.
    pub pretty_name: String,
}

/// The kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Kernel {
    /// `uname -r`.
    pub release: String,
    /// `uname -v`.
    pub version: String,
    /// `uname -m`.
    pub arch: String,
}

/// The processors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Cpu {
    /// The model's name.
    pub model: String,
    /// How many are online.
    pub count: u32,
}

/// Memory in bytes. What is free is rounded to 64 MiB, so that its jitter is not news.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// All of it.
    pub total_bytes: u64,
    /// What programs can still get.
    pub available_bytes: u64,
    /// Swap.
    pub swap_total_bytes: u64,
}

/// A block device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Disk {
    /// Its kernel name.
    pub name: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its model.
    pub model: String,
    /// Whether it spins.
    pub rotational: bool,
    /// Whether it refuses writes.
    pub read_only: bool,
}

/// A mounted file system. What is free is rounded to 64 MiB.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Mount {
    /// What is mounted.
    pub source: String,
    /// Where.
    pub target: String,
    /// The file system.
    pub fs_type: String,
    /// Its options.
    pub options: String,
    /// Its size.
    pub size_bytes: u64,
    /// What is free for users.
    pub available_bytes: u64,
}

/// A network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Nic {
    /// Its name.
    pub name: String,
    /// Its hardware address, lower case with colons.
    pub mac: String,
    /// Its MTU.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
    /// Its addresses with prefix lengths.
    pub addresses: Vec<String>,
}

/// A route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Route {
    /// The destination prefix.
    pub destination: String,
    /// The next hop; empty when on link.
    pub gateway: String,
    /// The interface.
    pub interface: String,
    /// The metric.
    pub metric: u32,
}

/// A listening socket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Socket {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The local address.
    pub address: String,
    /// The local port.
    pub port: u16,
    /// Who listens, when it could be told.
    pub process: Option<Process>,
}

/// A process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Process {
    /// Its pid.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// Its executable.
    pub exe: String,
    /// The user it runs as.
    pub uid: u32,
}

/// An account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: u32,
    /// Its primary gid.
    pub gid: u32,
    /// Its home.
    pub home: String,
    /// Its shell.
    pub shell: String,
}

/// A service of the init system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    /// Its unit name.
    pub name: String,
    /// Its state.
    pub state: String,
}

/// Installed packages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Packages {
    /// `dpkg`, `rpm` or `none`.
    pub manager: String,
    /// Name (with architecture where needed) to version.
    pub installed: BTreeMap<String, String>,
    /// Why the list is missing or not complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How well a kernel feature works here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Capability {
    /// `full`, `partial` or `none`.
    pub tier: String,
    /// What was tried and what came of it.
    pub detail: String,
}

/// The agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Agent {
    /// Its version.
    pub version: String,
    /// What it may use of the machine, as the kernel says.
    pub limits: Limits,
}

/// What the agent and all that it starts may use at most; absent where nothing limits it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Memory in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Percent of one processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<u32>,
    /// Processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u64>,
}

impl Limits {
    /// Whether there is any.
    pub fn any(&self) -> bool {
        self.memory_bytes.is_some() || self.cpu_percent.is_some() || self.tasks.is_some()
    }
}

/// The hash by which both sides know that they mean the same facts: SHA-256 over the JSON text with sorted keys.
pub fn facts_hash(facts: &Value) -> String {
    let mut text = String::new();
    canonical(facts, &mut text);
    Hex(digest(&SHA256, text.as_bytes()).as_ref()).to_string()
}

fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            out.push('{');
            for (i, (key, inner)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                canonical(inner, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, inner) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                canonical(inner, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_sides_hash_a_number_with_a_fraction_the_same() {
        let told: Value = serde_json::from_str(r#"{"n": -33333333333333333333333333333333}"#).unwrap();
        let heard: Value = serde_json::from_str(&told.to_string()).unwrap();
        assert_eq!((facts_hash(&heard), &heard), (facts_hash(&told), &told));
    }

    #[test]
    fn the_hash_does_not_depend_on_the_order_of_keys() {
        let a = json!({"a": 1, "b": {"c": [1, {"x": 1, "y": 2}], "d": null}});
        let b = json!({"b": {"d": null, "c": [1, {"y": 2, "x": 1}]}, "a": 1});
        assert_eq!(facts_hash(&a), facts_hash(&b));
        assert_ne!(facts_hash(&a), facts_hash(&json!({"a": 1})));
    }
}
