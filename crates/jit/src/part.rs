//! The part `jit` of a machine's desired document: which ports are guarded on which interface, what is open for whom
//! until when, and who may be whom by `sudo`, or has an account. Names are resolved: the agent needs nothing but this, and the time.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::elevation::Elevation;
use crate::settings::Existing;

/// The part's name.
pub const PART: &str = "jit";

/// What a machine guards, and what is open on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JitPart {
    /// The interfaces with guarded ports.
    pub nics: Vec<GuardedNic>,
    /// What is open, on all of them.
    pub grants: Vec<OpenGrant>,
    /// What accounts are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elevations: Vec<Elevation>,
}

/// An interface with guarded ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardedNic {
    /// The hardware address, by which an agent finds it when its name has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// The name of the interface.
    pub interface: String,
    /// The ports, in order, each protocol and number once.
    pub ports: Vec<GuardedPort>,
}

/// A protocol that has ports to guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A guarded port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardedPort {
    /// The protocol.
    pub protocol: Transport,
    /// The port.
    pub port: u16,
    /// What happens to connections for which nothing is open any more.
    pub existing: Existing,
}

/// Something that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenGrant {
    /// The number of the grant, never 0.
    pub mark: u32,
    /// The protocol.
    pub protocol: Transport,
    /// The port.
    pub port: u16,
    /// From where.
    pub sources: Vec<IpNet>,
    /// When it ends by the server's clock, in milliseconds since 1970.
    pub end: i64,
    /// The longest that it may be open from when the machine first hears of it, in seconds: whatever the clocks say.
    pub longest: i64,
    /// After how many seconds without a packet the machine closes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<i64>,
}
