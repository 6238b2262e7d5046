//! A socket to the kernel's netfilter, or to what tells of its sockets, of the network namespace of the thread that opens it.
//! Whoever asks waits, for a few seconds at most.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
    socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::message::{DONE, ERROR, next_message};

/// The longest that the kernel may take for one answer, in seconds.
const TIMEOUT: i64 = 5;
/// Larger than any datagram that the kernel answers with.
const BUFFER: usize = 256 * 1024;

/// Why the kernel did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The socket fails.
    #[error("the kernel cannot be asked: {0}")]
    Io(#[from] io::Error),
    /// The kernel refuses; nothing has changed.
    #[error("the kernel refused: {0}")]
    Refused(Errno),
}

impl From<Errno> for NetlinkError {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

/// A socket, with room for an answer.
pub(crate) struct Socket {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Socket {
    pub(crate) fn open() -> Result<Socket, NetlinkError> {
        Socket::to(SockProtocol::NetlinkNetFilter)
    }

    /// To the part of the kernel that tells of sockets.
    pub(crate) fn of_sockets() -> Result<Socket, NetlinkError> {
        Socket::to(SockProtocol::NetlinkSockDiag)
    }

    fn to(protocol: SockProtocol) -> Result<Socket, NetlinkError> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(TIMEOUT, 0))?;
        Ok(Socket { socket, buffer: vec![0; BUFFER] })
    }

    /// Lets so many bytes be sent at once. Without the right to exceed the system's limit it may be less.
    pub(crate) fn widen(&self, bytes: usize) {
        if setsockopt(&self.socket, sockopt::SndBufForce, &bytes).is_err() {
            let _ = setsockopt(&self.socket, sockopt::SndBuf, &bytes);
        }
    }

    /// Asks, and gives each message of the answer to `take`.
    pub(crate) fn dump(
        &mut self,
        asked: &[u8],
        mut take: impl FnMut(u16, &[u8]),
    ) -> Result<(), NetlinkError> {
        self.send(asked)?;
        loop {
            let mut rest = self.receive()?;
            while let Some((kind, payload, after)) = next_message(rest) {
                rest = after;
                match kind {
                    DONE => return Ok(()),
                    ERROR => return refused(payload),
                    kind => take(kind, payload),
                }
            }
        }
    }

    /// Has one thing done.
    pub(crate) fn change(&mut self, asked: &[u8]) -> Result<(), NetlinkError> {
        self.send(asked)?;
        loop {
            let mut rest = self.receive()?;
            while let Some((kind, payload, after)) = next_message(rest) {
                rest = after;
                if kind == ERROR {
                    return refused(payload);
                }
            }
        }
    }

    pub(crate) fn send(&self, messages: &[u8]) -> Result<(), NetlinkError> {
        let sent = send(self.socket.as_raw_fd(), messages, MsgFlags::empty())?;
        if sent == messages.len() { Ok(()) } else { Err(Errno::EMSGSIZE.into()) }
    }

    /// The next datagram.
    pub(crate) fn receive(&mut self) -> Result<&[u8], NetlinkError> {
        loop {
            match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_TRUNC) {
                Ok(length) if length <= self.buffer.len() => return Ok(&self.buffer[..length]),
                Ok(_) => return Err(Errno::EMSGSIZE.into()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// The error in an answer; 0 is none.
pub(crate) fn refused(payload: &[u8]) -> Result<(), NetlinkError> {
    let code = payload.get(..4).and_then(|b| Some(i32::from_ne_bytes(b.try_into().ok()?)));
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(NetlinkError::Refused(Errno::from_raw(code.saturating_neg()))),
        None => Err(Errno::EBADMSG.into()),
    }
}
