//! The kernel's side of the maps: a netlink socket, one transaction for any number of changes. The socket is of the
//! network namespace of the calling thread; a call takes well under a millisecond, so that it does not wait elsewhere.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
    socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::Map;
use super::flows::{self, Flow};
use super::plan::{Change, Present};
use super::wire::{self, Messages, sequence};
use crate::watch::next_message;

/// The longest that the kernel may take, in seconds.
const TIMEOUT: i64 = 5;
/// Larger than any datagram that the kernel answers with.
const BUFFER: usize = 256 * 1024;
/// Most bytes that are sent at once.
const SEND_BUFFER: usize = 4 * 1024 * 1024;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// Why the maps are not as they should be.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The socket fails.
    #[error("the kernel's packet filter cannot be asked: {0}")]
    Io(#[from] io::Error),
    /// The kernel refuses; nothing has changed.
    #[error("the kernel refused: {0}")]
    Refused(Errno),
}

impl From<Errno> for GuardError {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

/// A socket to the packet filter.
pub(super) struct Socket {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Socket {
    pub(super) fn open() -> Result<Socket, GuardError> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkNetFilter,
        )?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(TIMEOUT, 0))?;
        // A transaction is one datagram. Without the right to exceed the system's limit it may be smaller.
        if setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER).is_err() {
            let _ = setsockopt(&socket, sockopt::SndBuf, &SEND_BUFFER);
        }
        Ok(Socket { socket, buffer: vec![0; BUFFER] })
    }

    /// What a map holds, in order.
    pub(super) fn list(&mut self, map: Map) -> Result<Vec<Present>, GuardError> {
        let mut all = Vec::new();
        self.dump(&Messages::list(map), |kind, payload| all.extend(wire::elements(kind, payload)))?;
        Ok(wire::ranges(map, all))
    }

    /// The generation of the ruleset: every change of it by anybody begins another one.
    pub(super) fn generation(&mut self) -> Result<u32, GuardError> {
        let mut found = None;
        self.dump(&Messages::generation(), |kind, payload| {
            found = found.or_else(|| wire::generation(kind, payload));
        })?;
        found.ok_or_else(|| Errno::EBADMSG.into())
    }

    /// The connections with a mark.
    pub(super) fn flows(&mut self, mark: u32) -> Result<Vec<Flow>, GuardError> {
        let mut all = Vec::new();
        self.dump(&flows::ask(mark), |kind, payload| all.extend(flows::flow(kind, payload)))?;
        all.retain(|f| f.mark == mark);
        Ok(all)
    }

    /// Gives each message of a listing to `take`.
    fn dump(&mut self, asked: &Messages, mut take: impl FnMut(u16, &[u8])) -> Result<(), GuardError> {
        self.send(asked)?;
        loop {
            let length = self.receive()?;
            let mut rest = &self.buffer[..length];
            while let Some((kind, payload, after)) = next_message(rest) {
                rest = after;
                match kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return refused(payload),
                    kind => take(kind, payload),
                }
            }
        }
    }

    /// Makes changes, all or none.
    pub(super) fn change(&mut self, changes: &[Change]) -> Result<(), GuardError> {
        if changes.is_empty() { Ok(()) } else { self.transact(&Messages::change(changes)) }
    }

    /// Empties maps, all or none.
    pub(super) fn flush(&mut self, maps: &[Map]) -> Result<(), GuardError> {
        if maps.is_empty() { Ok(()) } else { self.transact(&Messages::flush(maps)) }
    }

    fn transact(&mut self, messages: &Messages) -> Result<(), GuardError> {
        self.send(messages)?;
        let mut answers = 0;
        while answers < messages.answered {
            let length = self.receive()?;
            let mut rest = &self.buffer[..length];
            while let Some((kind, payload, after)) = next_message(rest) {
                if kind == NLMSG_ERROR && sequence(rest).is_some_and(|s| s <= messages.last) {
                    // The first refusal undoes the transaction, whatever was said of the others.
                    refused(payload)?;
                    answers += 1;
                }
                rest = after;
            }
        }
        Ok(())
    }

    fn send(&self, messages: &Messages) -> Result<(), GuardError> {
        let sent = send(self.socket.as_raw_fd(), &messages.bytes, MsgFlags::empty())?;
        if sent == messages.bytes.len() { Ok(()) } else { Err(Errno::EMSGSIZE.into()) }
    }

    fn receive(&mut self) -> Result<usize, GuardError> {
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
fn refused(payload: &[u8]) -> Result<(), GuardError> {
    let code = payload.get(..4).and_then(|b| Some(i32::from_ne_bytes(b.try_into().ok()?)));
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(GuardError::Refused(Errno::from_raw(code.saturating_neg()))),
        None => Err(Errno::EBADMSG.into()),
    }
}
