//! Flows that began before the rules changed. Azure lets them go on; a group may say otherwise, and then connection tracking
//! is walked when a generation has been confirmed, and every flow is judged as if it began now.
//!
//! A flow that must end is not removed from connection tracking: the next packet of either side would begin it anew, and
//! what the machine itself sends would be judged by the rules for the other direction and let through. It is marked
//! instead ([`CUT`]), and the frame drops whatever carries the mark, in both directions; TCP is told by a reset. The mark
//! is taken off when a later generation allows the flow.
//!
//! Connection tracking does not know interfaces. A flow is inbound at the interface whose address it was sent to before
//! any translation, and outbound at the one whose address it left with after it, as the rules see it. What is only
//! forwarded, and neither to nor from an address of the machine, is not judged.
//!
//! - [`plan`]: what becomes of each flow. Pure.
//! - [`wire`]: flows as netlink messages. Pure; what is read may be anything.
//! - [`kernel`]: what there is, and what is done about it.

mod kernel;
mod wire;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::evaluate::{Packet, evaluate};
use crate::guard::Transport;
use crate::netlink::conntrack::Tuple;
use crate::policy::{Direction, NicPolicy, NsgPart};

pub use kernel::{Settled, settle};
pub use wire::flow_of;

/// The mark of a flow that must end, in the bits of [`CUT_MASK`]. The other bits are left as they are.
pub const CUT: u32 = 0x5e00_0000;
/// The bits that the mark is in.
pub const CUT_MASK: u32 = 0xff00_0000;

/// What becomes of flows that exist when the rules change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExistingFlows {
    /// They go on: Azure's default.
    #[default]
    Keep,
    /// Those that the new rules deny end: Azure's `flushConnection`.
    Reevaluate,
    /// All of them end, whether they may begin anew or not.
    Drop,
}

impl ExistingFlows {
    /// Whether nothing is done.
    pub fn is_keep(&self) -> bool {
        *self == Self::Keep
    }

    /// Reads the value in any case.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [("keep", Self::Keep), ("reevaluate", Self::Reevaluate), ("drop", Self::Drop)];
        all.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, value)| value)
    }
}

/// A flow as connection tracking knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// As its first packet came.
    pub original: Tuple,
    /// As answers come, after any translation.
    pub reply: Tuple,
    /// Its mark.
    pub mark: u32,
}

impl Flow {
    /// Whether it was told to end.
    pub fn is_cut(&self) -> bool {
        self.mark & CUT_MASK == CUT
    }
}

/// An interface with its rules, its addresses, and whether its rules are others than before.
#[derive(Debug, Clone)]
pub struct At<'a> {
    /// The rules.
    pub policy: &'a NicPolicy,
    /// The addresses that it has.
    pub addresses: Vec<IpAddr>,
    /// Whether its rules have changed.
    pub is_changed: bool,
}

/// What is to be done about a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is marked, and ends.
    Cut,
    /// The mark is taken off.
    Restore,
    /// Connection tracking forgets it, and its next packet begins it anew. Not for TCP, which would just go on.
    Forget,
}

/// What is to be done about a flow; `None` when it is as it should be.
pub fn plan(interfaces: &[At<'_>], flow: &Flow) -> Option<Fate> {
    let (mut is_judged, mut is_denied, mut is_dropped) = (false, false, false);
    for (at, direction, packet) in sides(interfaces, flow) {
        // What is open for a time is for the guards, which every packet meets.
        if at.policy.existing_flows.is_keep() || is_guarded(at.policy, direction, &packet) {
            continue;
        }
        is_judged = true;
        is_denied |= !evaluate(at.policy, direction, &packet).allow;
        // One that was dropped stays so.
        is_dropped |= at.policy.existing_flows == ExistingFlows::Drop && (at.is_changed || flow.is_cut());
    }
    match (is_judged, is_denied, is_dropped, flow.is_cut()) {
        (false, ..) | (_, true, _, true) | (_, false, false, false) => None,
        (_, true, _, false) => Some(Fate::Cut),
        (_, false, false, true) => Some(Fate::Restore),
        (_, false, true, _) if flow.original.protocol != TCP => Some(Fate::Forget),
        (_, false, true, true) => None,
        (_, false, true, false) => Some(Fate::Cut),
    }
}

/// The number of TCP.
const TCP: u8 = 6;

/// Where a flow meets rules, as its first packet met them.
fn sides<'a>(
    interfaces: &'a [At<'a>],
    flow: &'a Flow,
) -> impl Iterator<Item = (&'a At<'a>, Direction, Packet)> {
    let has = |at: &&At<'_>, address: IpAddr| at.addresses.contains(&address);
    let is_own = |address| interfaces.iter().any(|at| at.addresses.contains(&address));
    let (inbound, outbound) = (flow.original.packet(), flow.original.translated(&flow.reply).packet());
    let is_for_us = is_own(inbound.destination);
    // What a machine sends to itself passes no interface with rules.
    let to_itself = is_own(inbound.source) && is_for_us;
    let arrives = interfaces.iter().filter(move |at| !to_itself && has(at, inbound.destination));
    let leaves = interfaces.iter().filter(move |at| !is_for_us && has(at, outbound.source));
    arrives
        .map(move |at| (at, Direction::Inbound, inbound))
        .chain(leaves.map(move |at| (at, Direction::Outbound, outbound)))
}

fn is_guarded(policy: &NicPolicy, direction: Direction, packet: &Packet) -> bool {
    let protocol = match packet.protocol {
        6 => Transport::Tcp,
        17 => Transport::Udp,
        _ => return false,
    };
    let port = packet.ports.map(|(_, to)| to);
    direction == Direction::Inbound
        && policy.guarded.iter().any(|g| g.protocol == protocol && Some(g.port) == port)
}

/// Whether any interface of a part wants flows to be looked at.
pub fn is_wanted(part: &NsgPart) -> bool {
    part.nics.iter().any(|nic| !nic.existing_flows.is_keep())
}
