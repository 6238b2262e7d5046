//! Connection tracking as netlink tells of it: `nfgenmsg` and attributes of `linux/netfilter/nfnetlink_conntrack.h`.
//!
//! Written by hand on this crate's own helpers: `netlink-packet-netfilter` 0.4 makes a tree of vectors of every message,
//! and there are tens of thousands a second. Pure; what is read may be anything.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::wire::{self, Answer, after_netfilter, number};
use crate::watch::attribute;

/// `NFNL_SUBSYS_CTNETLINK`.
const SUBSYSTEM: u8 = 1;
const CT_NEW: u8 = 0;
const CT_GET: u16 = ((SUBSYSTEM as u16) << 8) | 1;
const CT_DELETE: u8 = 2;

/// The groups of new and of ended connections (`NFNLGRP_CONNTRACK_NEW` 1, `NFNLGRP_CONNTRACK_DESTROY` 3) as bits.
///
/// Not that of updates: there are five for each TCP connection, without counters. That a connection is closed is seen by
/// the next look at the table.
pub const GROUPS: u32 = 1 | (1 << 2);

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_PROTOINFO: u16 = 4;
const CTA_COUNTERS_ORIG: u16 = 9;
const CTA_COUNTERS_REPLY: u16 = 10;
const CTA_ID: u16 = 12;

/// States of TCP in which a connection is over: `TIME_WAIT`, `CLOSE`.
const OVER: [u8; 2] = [7, 8];

/// Addresses and ports of packets of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// Where they come from.
    pub source: IpAddr,
    /// Where they go.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// 0 for protocols without ports.
    pub source_port: u16,
    /// 0 for protocols without ports.
    pub destination_port: u16,
    /// The type of ICMP and ICMPv6.
    pub icmp_type: Option<u8>,
}

/// Packets and bytes of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes, with the headers of IP.
    pub bytes: u64,
}

/// A connection as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Its number; another connection may get it when this one is gone.
    pub id: u32,
    /// Packets of who began it, before the machine translates addresses.
    pub original: Tuple,
    /// Packets that answer, before the machine translates addresses back.
    pub reply: Tuple,
    /// Of who began it.
    pub sent: Count,
    /// Of who answers.
    pub received: Count,
    /// Whether it is over and only remembered.
    pub over: bool,
}

/// What a message tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// There is this connection: it is new, or was asked for.
    Is(Connection),
    /// It is gone.
    Gone(Connection),
}

/// Asks for all connections of a family (`AF_INET`, `AF_INET6`, or 0 for both).
pub fn ask_all() -> Vec<u8> {
    wire::message(CT_GET, wire::NLM_F_DUMP, |b| wire::netfilter(b, 0, 0))
}

/// Reads a datagram. Messages that make no sense are passed over.
pub fn read(datagram: &[u8], mut each: impl FnMut(Told)) -> Answer {
    wire::answers(datagram, |kind, payload| {
        let [kind, subsystem] = kind.to_le_bytes();
        if subsystem != SUBSYSTEM {
            return;
        }
        let connection = || connection(after_netfilter(payload));
        match kind {
            CT_NEW => connection().map(Told::Is).into_iter().for_each(&mut each),
            CT_DELETE => connection().map(Told::Gone).into_iter().for_each(&mut each),
            _ => {}
        }
    })
}

fn connection(attributes: &[u8]) -> Option<Connection> {
    let state = attribute(attributes, CTA_PROTOINFO)
        .and_then(|info| attribute(info, 1))
        .and_then(|tcp| attribute(tcp, 1)?.first().copied());
    Some(Connection {
        id: number(attributes, CTA_ID).map_or(0, u32::from_be_bytes),
        original: tuple(attribute(attributes, CTA_TUPLE_ORIG)?)?,
        reply: tuple(attribute(attributes, CTA_TUPLE_REPLY)?)?,
        sent: count(attribute(attributes, CTA_COUNTERS_ORIG)),
        received: count(attribute(attributes, CTA_COUNTERS_REPLY)),
        over: state.is_some_and(|s| OVER.contains(&s)),
    })
}

fn count(counters: Option<&[u8]>) -> Count {
    let of = |kind| counters.and_then(|c| number(c, kind)).map_or(0, u64::from_be_bytes);
    Count { packets: of(1), bytes: of(2) }
}

fn tuple(attributes: &[u8]) -> Option<Tuple> {
    let (ip, of) = (attribute(attributes, 1)?, attribute(attributes, 2)?);
    let v4 = |kind| number::<4>(ip, kind).map(|b| IpAddr::from(Ipv4Addr::from(b)));
    let v6 = |kind| number::<16>(ip, kind).map(|b| IpAddr::from(Ipv6Addr::from(b)));
    let (source, destination) = match (v4(1), v4(2)) {
        (Some(source), Some(destination)) => (source, destination),
        _ => (v6(3)?, v6(4)?),
    };
    let byte = |kind| attribute(of, kind).and_then(|v| v.first().copied());
    let port = |kind| number(of, kind).map_or(0, u16::from_be_bytes);
    Some(Tuple {
        source,
        destination,
        protocol: byte(1)?,
        source_port: port(2),
        destination_port: port(3),
        icmp_type: byte(5).or(byte(8)),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::flow::wire::put;
    use proptest::prelude::*;

    /// A connection as the kernel would tell of it.
    pub(crate) fn written(kind: u8, of: &Connection) -> Vec<u8> {
        let nest = |out: &mut Vec<u8>, kind: u16, inner: Vec<u8>| put(out, kind | 0x8000, &inner);
        let tuple = |t: &Tuple| {
            let (mut ip, mut proto, mut out) = (Vec::new(), Vec::new(), Vec::new());
            match (t.source, t.destination) {
                (IpAddr::V4(s), IpAddr::V4(d)) => {
                    put(&mut ip, 1, &s.octets());
                    put(&mut ip, 2, &d.octets());
                }
                (s, d) => {
                    let octets = |a: IpAddr| match a {
                        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                        IpAddr::V6(v6) => v6.octets(),
                    };
                    put(&mut ip, 3, &octets(s));
                    put(&mut ip, 4, &octets(d));
                }
            }
            put(&mut proto, 1, &[t.protocol]);
            match t.icmp_type {
                Some(icmp) => put(&mut proto, if t.source.is_ipv4() { 5 } else { 8 }, &[icmp]),
                None => {
                    put(&mut proto, 2, &t.source_port.to_be_bytes());
                    put(&mut proto, 3, &t.destination_port.to_be_bytes());
                }
            }
            nest(&mut out, 1, ip);
            nest(&mut out, 2, proto);
            out
        };
        let count = |c: Count| {
            let mut out = Vec::new();
            put(&mut out, 1, &c.packets.to_be_bytes());
            put(&mut out, 2, &c.bytes.to_be_bytes());
            out
        };
        wire::message((u16::from(SUBSYSTEM) << 8) | u16::from(kind), 0, |b| {
            wire::netfilter(b, 2, 0);
            nest(b, CTA_TUPLE_ORIG, tuple(&of.original));
            nest(b, CTA_TUPLE_REPLY, tuple(&of.reply));
            if of.over {
                let (mut tcp, mut info) = (Vec::new(), Vec::new());
                put(&mut tcp, 1, &[7]);
                nest(&mut info, 1, tcp);
                nest(b, CTA_PROTOINFO, info);
            }
            nest(b, CTA_COUNTERS_ORIG, count(of.sent));
            nest(b, CTA_COUNTERS_REPLY, count(of.received));
            put(b, CTA_ID, &of.id.to_be_bytes());
        })
    }

    fn address(v6: bool) -> BoxedStrategy<IpAddr> {
        if v6 {
            // Not one of those that stand for an address of the other family.
            any::<u128>().prop_map(|b| Ipv6Addr::from(b | 1 << 127).into()).boxed()
        } else {
            any::<u32>().prop_map(|b| Ipv4Addr::from(b).into()).boxed()
        }
    }

    fn tuples(v6: bool) -> impl Strategy<Value = Tuple> {
        let kinds = prop_oneof![
            (prop::sample::select(vec![6_u8, 17, 132]), any::<(u16, u16)>())
                .prop_map(|(p, (s, d))| (p, s, d, None)),
            any::<u8>().prop_map(move |icmp| (if v6 { 58 } else { 1 }, 0, 0, Some(icmp))),
        ];
        (address(v6), address(v6), kinds).prop_map(
            |(source, destination, (protocol, source_port, destination_port, icmp_type))| Tuple {
                source,
                destination,
                protocol,
                source_port,
                destination_port,
                icmp_type,
            },
        )
    }

    pub(crate) fn connections() -> impl Strategy<Value = Connection> {
        let counts = || any::<(u64, u64)>().prop_map(|(packets, bytes)| Count { packets, bytes });
        any::<bool>().prop_flat_map(move |v6| {
            (any::<u32>(), tuples(v6), tuples(v6), counts(), counts(), any::<bool>()).prop_map(
                |(id, original, reply, sent, received, over)| Connection {
                    id,
                    original,
                    reply,
                    sent,
                    received,
                    over,
                },
            )
        })
    }

    proptest! {
        #[test]
        fn what_the_kernel_writes_is_read_back_message_by_message(all in prop::collection::vec(connections(), 0..5)) {
            let mut datagram = Vec::new();
            let mut expected = Vec::new();
            for (at, connection) in all.into_iter().enumerate() {
                let gone = at % 2 == 1;
                datagram.extend(written(if gone { CT_DELETE } else { CT_NEW }, &connection));
                expected.push(if gone { Told::Gone(connection) } else { Told::Is(connection) });
            }
            let mut told = Vec::new();
            prop_assert_eq!(read(&datagram, |t| told.push(t)), Answer::More);
            prop_assert_eq!(told, expected);
        }

        #[test]
        fn any_bytes_are_read_without_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), of in connections(), at in any::<prop::sample::Index>(), value in any::<u8>()) {
            read(&bytes, |_| {});
            let mut damaged = written(CT_NEW, &of);
            let at = at.index(damaged.len());
            damaged[at] = value;
            damaged.append(&mut bytes);
            read(&damaged, |_| {});
        }
    }
}
