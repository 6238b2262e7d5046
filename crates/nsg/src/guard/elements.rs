//! The kernel's side of the maps: a netlink socket, one transaction for any number of changes. The socket is of the
//! network namespace of the calling thread; a call takes well under a millisecond, so that it does not wait elsewhere.

use nix::errno::Errno;

use super::Map;
use super::flows::{self, Flow};
use super::plan::{Change, Present};
use super::wire::{self, Messages, sequence};
use crate::netlink::NetlinkError;
use crate::netlink::message::{ERROR, next_message};
use crate::netlink::socket::{self, refused};

/// Most bytes that are sent at once: a transaction is one datagram.
const SEND_BUFFER: usize = 4 * 1024 * 1024;

/// A socket to the packet filter.
pub(super) struct Socket(socket::Socket);

impl Socket {
    pub(super) fn open() -> Result<Socket, NetlinkError> {
        let socket = socket::Socket::open()?;
        socket.widen(SEND_BUFFER);
        Ok(Socket(socket))
    }

    /// What a map holds, in order.
    pub(super) fn list(&mut self, map: Map) -> Result<Vec<Present>, NetlinkError> {
        let mut all = Vec::new();
        self.0.dump(&Messages::list(map).bytes, |kind, payload| all.extend(wire::elements(kind, payload)))?;
        Ok(wire::ranges(map, all))
    }

    /// The generation of the ruleset: every change of it by anybody begins another one.
    pub(super) fn generation(&mut self) -> Result<u32, NetlinkError> {
        let mut found = None;
        self.0.dump(&Messages::generation().bytes, |kind, payload| {
            found = found.or_else(|| wire::generation(kind, payload));
        })?;
        found.ok_or_else(|| Errno::EBADMSG.into())
    }

    /// The connections with a mark.
    pub(super) fn flows(&mut self, mark: u32) -> Result<Vec<Flow>, NetlinkError> {
        let mut all = Vec::new();
        self.0.dump(&flows::ask(mark), |kind, payload| all.extend(flows::flow(kind, payload)))?;
        all.retain(|f| f.mark == mark);
        Ok(all)
    }

    /// Makes changes, all or none.
    pub(super) fn change(&mut self, changes: &[Change]) -> Result<(), NetlinkError> {
        if changes.is_empty() { Ok(()) } else { self.transact(&Messages::change(changes)) }
    }

    /// Empties maps, all or none.
    pub(super) fn flush(&mut self, maps: &[Map]) -> Result<(), NetlinkError> {
        if maps.is_empty() { Ok(()) } else { self.transact(&Messages::flush(maps)) }
    }

    fn transact(&mut self, messages: &Messages) -> Result<(), NetlinkError> {
        self.0.send(&messages.bytes)?;
        let mut answers = 0;
        while answers < messages.answered {
            let mut rest = self.0.receive()?;
            while let Some((kind, payload, after)) = next_message(rest) {
                if kind == ERROR && sequence(rest).is_some_and(|s| s <= messages.last) {
                    // The first refusal undoes the transaction, whatever was said of the others.
                    refused(payload)?;
                    answers += 1;
                }
                rest = after;
            }
        }
        Ok(())
    }
}
