//! The machine's sockets as netlink tells of them (`linux/inet_diag.h`): whose they are, without reading tables of text that
//! also hold every connection of the last minute. Pure; what is read may be anything.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::netlink::message::{self, Answer};

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `AF_INET` and `AF_INET6`.
pub const FAMILIES: [u8; 2] = [2, 10];
/// Every state but `TIME_WAIT` (6) and `NEW_SYN_RECV` (12): those sockets belong to nobody.
pub const OWNED: u32 = 0xfff & !(1 << 6) & !(1 << 12);
/// `LISTEN`.
pub const LISTENING: u32 = 1 << 10;
/// `CLOSE`: what the kernel calls a socket of UDP that is connected with nobody.
pub const UNCONNECTED: u32 = 1 << 7;

/// A socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// Its own address; unspecified when it has all of them.
    pub local: (IpAddr, u16),
    /// Whom it is connected with; unspecified when with nobody.
    pub remote: (IpAddr, u16),
    /// The user who made it.
    pub uid: u32,
    /// Its number, by which its processes are found.
    pub inode: u32,
}

/// Asks for all sockets of a family and protocol (6 or 17) in some states.
pub fn ask(family: u8, protocol: u8, states: u32) -> Vec<u8> {
    message::message(BY_FAMILY, message::NLM_F_DUMP, |b| {
        b.extend([family, protocol, 0, 0]);
        b.extend(states.to_ne_bytes());
        b.extend([0; 48]);
    })
}

/// Reads a datagram of the answer.
pub fn read(datagram: &[u8], mut each: impl FnMut(Socket)) -> Answer {
    message::answers(datagram, |kind, payload| {
        told(kind, payload).into_iter().for_each(&mut each);
    })
}

/// The socket that a message of the answer tells of.
pub fn told(kind: u16, payload: &[u8]) -> Option<Socket> {
    if kind == BY_FAMILY { socket(payload) } else { None }
}

fn socket(b: &[u8]) -> Option<Socket> {
    let family = *b.first()?;
    let port = |at: usize| Some(u16::from_be_bytes(b.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_ne_bytes(b.get(at..at + 4)?.try_into().ok()?));
    let address = |at: usize| -> Option<IpAddr> {
        if family == FAMILIES[0] {
            return Some(Ipv4Addr::from(<[u8; 4]>::try_from(b.get(at..at + 4)?).ok()?).into());
        }
        // A socket of IPv6 that talks IPv4.
        Some(Ipv6Addr::from(<[u8; 16]>::try_from(b.get(at..at + 16)?).ok()?).to_canonical())
    };
    Some(Socket {
        local: (address(8)?, port(4)?),
        remote: (address(24)?, port(6)?),
        uid: word(64)?,
        inode: word(68)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            read(&bytes, |_| {});
            read(&message::message(BY_FAMILY, 0, |b| b.extend(&bytes)), |_| {});
        }
    }
}
