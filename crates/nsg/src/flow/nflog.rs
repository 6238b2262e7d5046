//! What the packet filter tells of denied packets: `NFLOG` over netlink (`linux/netfilter/nfnetlink_log.h`), and the
//! headers of the packets themselves. Pure; what is read may be anything.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::evaluate::Packet;
use crate::netlink::message::{self, Answer, after_netfilter, attribute, number, put};
use crate::policy::Direction;
use crate::ruleset::{LOG_BYTES, LOG_GROUP};

/// `NFNL_SUBSYS_ULOG`.
const SUBSYSTEM: u8 = 4;
const PACKET: u8 = 0;
const CONFIG: u16 = ((SUBSYSTEM as u16) << 8) | 1;

const CFG_CMD: u16 = 1;
const CFG_MODE: u16 = 2;
const CFG_NLBUFSIZ: u16 = 3;
const CFG_TIMEOUT: u16 = 4;
const CFG_QTHRESH: u16 = 5;
const CFG_FLAGS: u16 = 6;
const BIND: u8 = 1;
const COPY_PACKET: u8 = 2;
/// Every packet has a number, so that it is known how many were lost.
const FLAG_SEQUENCE: u16 = 1;
/// Bytes that the kernel collects before it sends them: below the size of a page there is no reason to.
const KERNEL_BUFFER: u32 = 64 << 10;
/// Packets it collects, and for how long at most, in hundredths of a second.
const COLLECT: u32 = 64;
const COLLECT_FOR: u32 = 20;

const PACKET_HEADER: u16 = 1;
const INTERFACE_IN: u16 = 4;
const INTERFACE_OUT: u16 = 5;
const PAYLOAD: u16 = 9;
const SEQUENCE: u16 = 12;

/// `NF_INET_PRE_ROUTING` and `NF_INET_POST_ROUTING`.
const PRE_ROUTING: u8 = 0;
const POST_ROUTING: u8 = 4;

/// Asks for the packets of [`LOG_GROUP`].
pub fn bind() -> Vec<u8> {
    message::message(CONFIG, message::NLM_F_ACK, |b| {
        message::netfilter(b, 0, LOG_GROUP);
        put(b, CFG_CMD, &[BIND]);
        let mut mode = u32::try_from(LOG_BYTES).unwrap_or(u32::MAX).to_be_bytes().to_vec();
        mode.extend([COPY_PACKET, 0]);
        put(b, CFG_MODE, &mode);
        put(b, CFG_NLBUFSIZ, &KERNEL_BUFFER.to_be_bytes());
        put(b, CFG_TIMEOUT, &COLLECT_FOR.to_be_bytes());
        put(b, CFG_QTHRESH, &COLLECT.to_be_bytes());
        put(b, CFG_FLAGS, &FLAG_SEQUENCE.to_be_bytes());
    })
}

/// A packet that was denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Its number among those that the kernel tells of.
    pub sequence: Option<u32>,
    /// Which way it went.
    pub direction: Direction,
    /// The index of the interface.
    pub interface: u32,
    /// What rules see of it.
    pub packet: Packet,
    /// Its length by its own header.
    pub length: u64,
}

/// Reads a datagram. What makes no sense is passed over, and what is not IP.
pub fn read(datagram: &[u8], mut each: impl FnMut(Denied)) -> Answer {
    message::answers(datagram, |kind, payload| {
        if kind.to_le_bytes() == [PACKET, SUBSYSTEM] {
            denied(after_netfilter(payload)).into_iter().for_each(&mut each);
        }
    })
}

fn denied(attributes: &[u8]) -> Option<Denied> {
    let direction = match *attribute(attributes, PACKET_HEADER)?.get(2)? {
        PRE_ROUTING => Direction::Inbound,
        POST_ROUTING => Direction::Outbound,
        _ => return None,
    };
    let interface = if direction == Direction::Inbound { INTERFACE_IN } else { INTERFACE_OUT };
    let (packet, length) = headers(attribute(attributes, PAYLOAD)?)?;
    Some(Denied {
        sequence: number(attributes, SEQUENCE).map(u32::from_be_bytes),
        direction,
        interface: u32::from_be_bytes(number(attributes, interface)?),
        packet,
        length,
    })
}

/// What rules see of a packet, and its length.
fn headers(bytes: &[u8]) -> Option<(Packet, u64)> {
    let short = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let (source, destination, protocol, rest, length) = match bytes.first()? >> 4 {
        4 => {
            let address = |at: usize| {
                Some(IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?)))
            };
            let header = usize::from(bytes.first()? & 0xf) * 4;
            (address(12)?, address(16)?, *bytes.get(9)?, header, u64::from(short(2)?))
        }
        6 => {
            let address = |at: usize| {
                Some(IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?)))
            };
            let (protocol, rest) = past_extensions(bytes)?;
            (address(8)?, address(24)?, protocol, rest, u64::from(short(4)?) + 40)
        }
        _ => return None,
    };
    let ports = match protocol {
        6 | 17 | 132 => short(rest).zip(short(rest + 2)),
        _ => None,
    };
    let icmp_type = if matches!(protocol, 1 | 58) { bytes.get(rest).copied() } else { None };
    Some((Packet { source, destination, protocol, ports, icmp_type }, length))
}

/// The protocol behind the extension headers of IPv6 (hop-by-hop, routing, destination options), and where it begins.
fn past_extensions(bytes: &[u8]) -> Option<(u8, usize)> {
    let (mut kind, mut at) = (*bytes.get(6)?, 40);
    while matches!(kind, 0 | 43 | 60) {
        let length = usize::from(*bytes.get(at + 1)?);
        kind = *bytes.get(at)?;
        at += (length + 1) * 8;
    }
    Some((kind, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(payload: &[u8], hook: u8) -> Vec<u8> {
        message::message(u16::from(SUBSYSTEM) << 8, 0, |b| {
            message::netfilter(b, 2, LOG_GROUP);
            put(b, PACKET_HEADER, &[8, 0, hook, 0]);
            put(b, INTERFACE_IN, &7_u32.to_be_bytes());
            put(b, INTERFACE_OUT, &9_u32.to_be_bytes());
            put(b, PAYLOAD, payload);
            put(b, SEQUENCE, &41_u32.to_be_bytes());
        })
    }

    fn ask(bytes: &[u8]) -> Vec<Denied> {
        let mut out = Vec::new();
        read(bytes, |d| out.push(d));
        out
    }

    #[test]
    fn a_denied_packet_is_read_with_its_headers_of_both_families() {
        let mut v4 = vec![0x45, 0, 0, 60, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 9, 10, 0, 0, 4];
        v4.extend([0x9c, 0x40, 0, 22]);
        let [denied] = &ask(&told(&v4, PRE_ROUTING))[..] else { panic!() };
        assert_eq!(denied.packet.to_string(), "TCP 192.0.2.9:40000 to 10.0.0.4:22");
        assert_eq!((denied.direction, denied.interface, denied.length), (Direction::Inbound, 7, 60));
        assert_eq!(denied.sequence, Some(41));
        // A hop-by-hop header stands before UDP.
        let mut v6 = vec![0x60, 0, 0, 0, 0, 16, 0, 64];
        v6.extend([0xfd; 32]);
        v6.extend([17, 0, 0, 0, 0, 0, 0, 0, 0, 53, 0, 54]);
        let [denied] = &ask(&told(&v6, POST_ROUTING))[..] else { panic!() };
        assert_eq!((denied.packet.protocol, denied.packet.ports), (17, Some((53, 54))));
        assert_eq!((denied.direction, denied.interface, denied.length), (Direction::Outbound, 9, 56));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            ask(&bytes);
            ask(&told(&bytes, PRE_ROUTING));
        }
    }
}
