//! The kernel's side: all flows are listed, and those that are not as they should be are marked. The socket is of the
//! network namespace of the calling thread. A hundred thousand flows take about a tenth of a second.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
    socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::wire::{CT_NEW, Listed, change, list, listed};
use super::{At, Fate, is_wanted, plan};
use crate::policy::NsgPart;
use crate::watch::next_message;

/// The longest that the kernel may take for one answer, in seconds.
const TIMEOUT: i64 = 5;
/// Larger than any datagram that the kernel answers with.
const BUFFER: usize = 256 * 1024;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// Why existing flows were not all judged.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The socket fails.
    #[error("connection tracking cannot be asked: {0}")]
    Io(#[from] io::Error),
    /// The kernel refuses.
    #[error("connection tracking refused: {0}")]
    Refused(Errno),
}

impl From<Errno> for SettleError {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

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
/// [`SettleError`]; flows that were not reached yet go on.
pub fn settle(before: Option<&NsgPart>, part: &NsgPart) -> Result<Settled, SettleError> {
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
    let todo: Vec<(Listed, Fate)> = socket
        .list()?
        .into_iter()
        .filter_map(|found| plan(&at, &found.flow).map(|fate| (found, fate)))
        .collect();
    for (found, fate) in &todo {
        if socket.change(found, *fate)? {
            *(if *fate == Fate::Restore { &mut settled.restored } else { &mut settled.ended }) += 1;
        }
    }
    Ok(settled)
}

/// The addresses of each interface.
fn addresses() -> Result<HashMap<String, Vec<IpAddr>>, SettleError> {
    let mut all: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for found in getifaddrs()? {
        let Some(storage) = found.address else { continue };
        let v4 = storage.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
        let v6 = storage.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip()));
        all.entry(found.interface_name).or_default().extend(v4.or(v6));
    }
    Ok(all)
}

struct Socket {
    socket: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Socket {
    fn open() -> Result<Socket, SettleError> {
        let kind = (AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC);
        let socket = socket(kind.0, kind.1, kind.2, SockProtocol::NetlinkNetFilter)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(TIMEOUT, 0))?;
        Ok(Socket { socket, buffer: vec![0; BUFFER], sequence: 1 })
    }

    fn list(&mut self) -> Result<Vec<Listed>, SettleError> {
        self.send(&list())?;
        let mut all = Vec::new();
        loop {
            let length = self.receive()?;
            let mut rest = &self.buffer[..length];
            while let Some((kind, payload, after)) = next_message(rest) {
                rest = after;
                match kind {
                    NLMSG_DONE => return Ok(all),
                    NLMSG_ERROR => refused(payload)?,
                    CT_NEW => all.extend(listed(payload)),
                    _ => {}
                }
            }
        }
    }

    /// False when the flow has ended meanwhile.
    fn change(&mut self, found: &Listed, fate: Fate) -> Result<bool, SettleError> {
        self.sequence += 1;
        self.send(&change(found, fate, self.sequence))?;
        loop {
            let length = self.receive()?;
            let mut rest = &self.buffer[..length];
            while let Some((kind, payload, after)) = next_message(rest) {
                if kind == NLMSG_ERROR {
                    return match refused(payload) {
                        Err(SettleError::Refused(Errno::ENOENT)) => Ok(false),
                        other => other.map(|()| true),
                    };
                }
                rest = after;
            }
        }
    }

    fn send(&self, message: &[u8]) -> Result<(), SettleError> {
        let sent = send(self.socket.as_raw_fd(), message, MsgFlags::empty())?;
        if sent == message.len() { Ok(()) } else { Err(Errno::EMSGSIZE.into()) }
    }

    fn receive(&mut self) -> Result<usize, SettleError> {
        loop {
            match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_TRUNC) {
                Ok(length) if length <= self.buffer.len() => return Ok(length),
                Ok(_) => return Err(Errno::EMSGSIZE.into()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// The error in an answer; 0 is none.
fn refused(payload: &[u8]) -> Result<(), SettleError> {
    let code = payload.get(..4).and_then(|b| Some(i32::from_ne_bytes(b.try_into().ok()?)));
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(SettleError::Refused(Errno::from_raw(code.saturating_neg()))),
        None => Err(Errno::EBADMSG.into()),
    }
}
