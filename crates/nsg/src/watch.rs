//! Tells when somebody changes our nftables table: a subscription to the kernel's own notifications, so that a foreign
//! `nft flush ruleset` is noticed in milliseconds and repaired at once.
//!
//! Changes by the agent itself are reported too: the kernel cannot know who is foreign. The agent answers a report by
//! reading the rules back, and after its own change finds nothing to do.
//!
//! The bytes come from the kernel, yet the parser takes anything: what it does not understand it counts as a change.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket,
    sockopt,
};
use tokio::io::unix::AsyncFd;

use crate::netlink::message::{attribute, next_message};
use crate::ruleset::TABLE;

/// `NFNLGRP_NFTABLES` (7) as a bit of the group mask (`linux/netfilter/nfnetlink.h`).
const GROUP_NFTABLES: u32 = 1 << (7 - 1);
/// `NFNL_SUBSYS_NFTABLES`: the high byte of a message's type.
const SUBSYSTEM: u8 = 10;
/// `NFT_MSG_NEWGEN`: ends the messages of a transaction, and names who made it.
const NEWGEN: u8 = 15;
/// `NFPROTO_INET`.
const INET: u8 = 1;
/// The first attribute of every message about an object of a table is the table's name (`NFTA_*_TABLE`).
const ATTRIBUTE_TABLE: u16 = 1;
/// `NFTA_GEN_PROC_PID` and `NFTA_GEN_PROC_NAME`.
const ATTRIBUTE_PID: u16 = 2;
const ATTRIBUTE_NAME: u16 = 3;
/// Larger than any datagram of notifications that the kernel builds.
const BUFFER: usize = 256 * 1024;
/// Notifications that may wait while the agent is busy, in bytes.
const RECEIVE_BUFFER: usize = 1024 * 1024;

/// A transaction that touched the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// The process that made it, as the kernel tells: (id, name of at most 15 bytes). For the audit trail only; the
    /// process has most likely ended. `None` when the kernel dropped messages because too many waited.
    pub process: Option<(u32, String)>,
}

/// A subscription to changes of the table in the network namespace of the thread that made it.
#[derive(Debug)]
pub struct Watcher {
    socket: AsyncFd<OwnedFd>,
    buffer: Vec<u8>,
    touched: bool,
}

impl Watcher {
    /// Subscribes. Changes from now on are reported.
    ///
    /// # Errors
    /// When the kernel has no nftables or the caller may not listen.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O.
    pub fn new() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkNetFilter,
        )?;
        // Without the right to exceed the system's limit the kernel grants less, and says so by ENOBUFS later.
        let _ = setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER);
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUP_NFTABLES))?;
        #[expect(
            deprecated,
            reason = "its hazard is a type whose descriptor changes; its successor is unsafe"
        )]
        let socket = AsyncFd::new(socket)?;
        Ok(Self { socket, buffer: vec![0; BUFFER], touched: false })
    }

    /// Waits until the table has been touched, and takes all such news that are waiting into one report. Dropping the
    /// future loses nothing.
    ///
    /// # Errors
    /// When the socket fails; make a new watcher then, and observe.
    pub async fn changed(&mut self) -> io::Result<Change> {
        let mut change = None;
        loop {
            let received = {
                let Self { socket, buffer, .. } = self;
                let mut receive = |fd: &OwnedFd| recv(fd.as_raw_fd(), buffer, MsgFlags::MSG_TRUNC);
                if change.is_some() {
                    match receive(socket.get_ref()) {
                        Err(Errno::EAGAIN) => break,
                        other => other,
                    }
                } else {
                    let mut ready = socket.readable().await?;
                    match receive(ready.get_inner()) {
                        Err(Errno::EAGAIN) => {
                            ready.clear_ready();
                            continue;
                        }
                        other => other,
                    }
                }
            };
            match received {
                Ok(length) if length <= self.buffer.len() => {
                    change = digest_messages(&self.buffer[..length], &mut self.touched).or(change);
                }
                Ok(_) | Err(Errno::ENOBUFS) => change = Some(Change::default()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(change.unwrap_or_default())
    }
}

/// Reads the messages of one datagram. `touched` remembers, across datagrams, that the transaction under way touched
/// the table; the change is returned at the transaction's end.
fn digest_messages(mut datagram: &[u8], touched: &mut bool) -> Option<Change> {
    let mut change = None;
    while let Some((kind, payload, rest)) = next_message(datagram) {
        datagram = rest;
        let [kind, subsystem] = kind.to_le_bytes();
        if subsystem != SUBSYSTEM {
            continue;
        }
        // nfgenmsg: family, version, resource id.
        let Some((family, attributes)) = payload.split_first().and_then(|(f, r)| Some((*f, r.get(3..)?)))
        else {
            *touched = true;
            continue;
        };
        if kind == NEWGEN {
            if std::mem::take(touched) {
                let pid = attribute(attributes, ATTRIBUTE_PID)
                    .and_then(|v| Some(u32::from_be_bytes(v.try_into().ok()?)));
                let name = attribute(attributes, ATTRIBUTE_NAME).map(text).unwrap_or_default();
                change = Some(Change { process: pid.map(|pid| (pid, name)) });
            }
        } else if family == INET {
            *touched |= attribute(attributes, ATTRIBUTE_TABLE).map(text).is_none_or(|name| name == TABLE);
        }
    }
    change
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.split(|b| *b == 0).next().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u8, family: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![family, 0, 0, 0];
        for (kind, value) in attributes {
            body.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut out = u32::try_from(16 + body.len()).unwrap().to_ne_bytes().to_vec();
        out.extend(u16::from_le_bytes([kind, SUBSYSTEM]).to_ne_bytes());
        out.extend([0; 10]);
        out.extend(body);
        out
    }

    #[test]
    fn a_transaction_counts_when_it_touches_our_table_and_not_a_namesake_of_another_family() {
        let end = message(NEWGEN, 0, &[(1, &[0; 4]), (2, &77_u32.to_be_bytes()), (3, b"nft\0")]);
        let run = |name: &[u8], family: u8| {
            let mut touched = false;
            assert_eq!(digest_messages(&message(2, family, &[(1, name)]), &mut touched), None);
            digest_messages(&end, &mut touched)
        };
        assert_eq!(run(b"sekisho\0", INET), Some(Change { process: Some((77, "nft".into())) }));
        assert_eq!(run(b"sekisho\0", 2), None);
        assert_eq!(run(b"sekisho2\0", INET), None);
        assert_eq!(run(b"filter\0", INET), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut touched = false;
            digest_messages(&data, &mut touched);
            let mut framed = message(NEWGEN, INET, &[(1, &data)]);
            framed.extend(&data);
            digest_messages(&framed, &mut touched);
        }
    }
}
