//! Guarded ports: closed to everybody but those for whom something is open right now.
//!
//! For each guarded protocol and port, and each family, the table has a map of sources ([`Opening`]s) whose elements the
//! kernel removes by itself when their time is over. **Every** packet to a guarded port must find its element, so that
//! the end of an element is the end of its connections, with nobody's help. The chains are asked before `ct state
//! established accept`, and before the security groups: what is open is open, as Azure's just-in-time rules stand above
//! the group's own.
//!
//! - [`text`]: the chains and maps. Pure.
//! - [`pieces`]: openings that overlap become disjoint pieces, since a map of intervals takes nothing else. Pure.
//! - [`plan`]: what must be changed so that the maps hold what they should. Pure.
//! - [`flows`]: which connections there are of an opening. Pure.
//! - [`keeper`]: what the maps hold, remembered.
//! - [`elements`] and [`wire`]: the maps' elements over netlink. One transaction for any number of changes; no process is started.

mod elements;
mod flows;
mod keeper;
mod pieces;
mod plan;
mod text;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::netlink::NetlinkError;
use crate::policy::NsgPart;

pub use keeper::Keeper;
pub(crate) use text::{chain, jump};

/// A protocol that has ports to guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// What happens to connections for which nothing is open any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Existing {
    /// They are cut: TCP with a reset, everything else silently.
    Cut,
    /// They go on.
    Drain,
}

/// A guarded port of a NIC.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Guard {
    /// The protocol.
    pub protocol: Transport,
    /// The port.
    pub port: u16,
    /// What happens to connections for which nothing is open any more.
    pub existing: Existing,
}

/// Something that is open: a source that may reach a guarded port for some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The protocol.
    pub protocol: Transport,
    /// The port.
    pub port: u16,
    /// From where.
    pub source: IpNet,
    /// The mark that its connections carry, never 0.
    pub mark: u32,
    /// How long from now. What has nothing left is not open.
    pub left: Duration,
}

/// One map of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Map {
    protocol: Transport,
    port: u16,
    v4: bool,
}

impl fmt::Display for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "open_{}_{}_{}", self.protocol, self.port, if self.v4 { 4 } else { 6 })
    }
}

/// The maps of guards.
pub(crate) fn maps_of(guards: &[Guard]) -> impl Iterator<Item = Map> {
    guards.iter().flat_map(|g| [true, false].map(|v4| Map { protocol: g.protocol, port: g.port, v4 }))
}

/// The maps of a part, each once.
fn all_maps(part: &NsgPart) -> BTreeSet<Map> {
    part.nics.iter().flat_map(|nic| maps_of(&nic.guarded)).collect()
}

/// Closes every guarded port of a loaded part.
///
/// # Errors
/// [`NetlinkError`].
pub fn close(part: &NsgPart) -> Result<(), NetlinkError> {
    elements::Socket::open()?.flush(&all_maps(part).into_iter().collect::<Vec<_>>())
}

/// The lines that open what is open in the transaction that makes a table that is gone, so that no connection falls into
/// the gap. In a table that is there the maps have what is open.
pub fn reopening(part: &NsgPart, openings: &[Opening]) -> String {
    let lines = all_maps(part).into_iter().map(|map| text::elements(map, &pieces::of(openings, map)));
    lines.collect()
}

/// How many packets and bytes the connections of each opening have carried, in both directions, since its time was last
/// set; by mark.
///
/// # Errors
/// [`NetlinkError`].
pub fn usage(part: &NsgPart) -> Result<BTreeMap<u32, (u64, u64)>, NetlinkError> {
    let mut socket = elements::Socket::open()?;
    let mut all: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for map in all_maps(part) {
        for present in socket.list(map)? {
            let (packets, bytes) = all.entry(present.mark).or_default();
            *packets += present.carried.0;
            *bytes += present.carried.1;
        }
    }
    Ok(all)
}

/// The connections to guarded ports that the kernel tracks for an opening, by the names that it gives them. One that has
/// ended is there for some time still: ten seconds at least when it was TCP.
///
/// # Errors
/// [`NetlinkError`].
pub fn flows(part: &NsgPart, mark: u32) -> Result<Vec<u32>, NetlinkError> {
    let all = elements::Socket::open()?.flows(mark)?;
    // Others may use marks, too.
    let ports: BTreeSet<(Transport, u16)> =
        part.nics.iter().flat_map(|nic| &nic.guarded).map(|g| (g.protocol, g.port)).collect();
    Ok(all.into_iter().filter(|f| ports.contains(&(f.protocol, f.port))).map(|f| f.id).collect())
}
