//! The kernel's side: all flows are listed, and those that are not as they should be are marked. The socket is of the
//! network namespace of the calling thread. A hundred thousand flows take about a tenth of a second.

use std::collections::HashMap;
use std::net::IpAddr;

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;

use super::wire::{Listed, change, list, listed};
use super::{At, Fate, is_wanted, plan};
use crate::netlink::NetlinkError;
use crate::netlink::conntrack::CT_NEW;
use crate::netlink::socket::Socket;
use crate::policy::NsgPart;

/// What became of existing flows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settled {
    /// Told to end.
    pub ended: usize,
    /// Allowed again.
    pub restored: usize,
}

/// Judges every flow by a loaded part; `before` is the part that was in force until then, `None` when nothing is known of
/// it, so that nothing counts as changed.
///
/// # Errors
/// [`NetlinkError`]; flows that were not reached yet go on.
pub fn settle(before: Option<&NsgPart>, part: &NsgPart) -> Result<Settled, NetlinkError> {
    let mut settled = Settled::default();
    if !is_wanted(part) {
        return Ok(settled);
    }
    let addresses = addresses()?;
    let at: Vec<At<'_>> = part
        .nics
        .iter()
        .map(|policy| {
            let name = policy.interface.as_str();
            let old = before.map(|b| b.nics.iter().find(|n| n.interface == policy.interface));
            let same = |old: Option<&crate::policy::NicPolicy>| {
                old.is_some_and(|o| o.inbound == policy.inbound && o.outbound == policy.outbound)
            };
            let is_changed = old.is_some_and(|old| !same(old));
            At { policy, addresses: addresses.get(name).cloned().unwrap_or_default(), is_changed }
        })
        .collect();
    let mut socket = Socket::open()?;
    let mut todo: Vec<(Listed, Fate)> = Vec::new();
    socket.dump(&list(), |kind, payload| {
        let found = listed(payload).filter(|_| kind == CT_NEW);
        todo.extend(found.and_then(|found| plan(&at, &found.flow).map(|fate| (found, fate))));
    })?;
    for (found, fate) in &todo {
        match socket.change(&change(found, *fate)) {
            Ok(()) if *fate == Fate::Restore => settled.restored += 1,
            Ok(()) => settled.ended += 1,
            // It has ended meanwhile.
            Err(NetlinkError::Refused(Errno::ENOENT)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(settled)
}

/// The addresses of each interface.
fn addresses() -> Result<HashMap<String, Vec<IpAddr>>, NetlinkError> {
    let mut all: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for found in getifaddrs()? {
        let Some(storage) = found.address else { continue };
        let v4 = storage.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
        let v6 = storage.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip()));
        all.entry(found.interface_name).or_default().extend(v4.or(v6));
    }
    Ok(all)
}
