//! Connection tracking as netlink tells of it: `nfgenmsg` and attributes of `linux/netfilter/nfnetlink_conntrack.h`.
//!
//! Pure; what is read may be anything.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::message::{self, Answer, after_netfilter, attribute, number};
use crate::evaluate::Packet;
use crate::policy::PORT_PROTOCOLS;

/// `NFNL_SUBSYS_CTNETLINK`.
const SUBSYSTEM: u16 = 1 << 8;
pub(crate) const CT_NEW: u16 = SUBSYSTEM;
pub(crate) const CT_GET: u16 = SUBSYSTEM | 1;
pub(crate) const CT_DELETE: u16 = SUBSYSTEM | 2;

/// The groups of new and of ended connections (`NFNLGRP_CONNTRACK_NEW` 1, `NFNLGRP_CONNTRACK_DESTROY` 3) as bits.
///
/// Not that of updates: there are five for each TCP connection, without counters. That a connection is closed is seen by
/// the next look at the table.
pub const GROUPS: u32 = 1 | (1 << 2);

pub(crate) const CTA_TUPLE_ORIG: u16 = 1;
pub(crate) const CTA_TUPLE_REPLY: u16 = 2;
const CTA_PROTOINFO: u16 = 4;
const CTA_COUNTERS_ORIG: u16 = 9;
const CTA_COUNTERS_REPLY: u16 = 10;
pub(crate) const CTA_MARK: u16 = 8;
pub(crate) const CTA_ID: u16 = 12;
pub(crate) const CTA_ZONE: u16 = 18;
pub(crate) const CTA_MARK_MASK: u16 = 21;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;
const CTA_PROTO_ICMP_TYPE: u16 = 5;
const CTA_PROTO_ICMPV6_TYPE: u16 = 8;

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

impl Tuple {
    /// The packet that rules judge.
    pub fn packet(&self) -> Packet {
        let ports = (self.source_port, self.destination_port);
        Packet {
            source: self.source,
            destination: self.destination,
            protocol: self.protocol,
            ports: PORT_PROTOCOLS.contains(&self.protocol).then_some(ports),
            icmp_type: self.icmp_type,
        }
    }

    /// As the packets of who began it leave the machine, after any translation of addresses; `reply` is how they are
    /// answered.
    pub fn translated(&self, reply: &Tuple) -> Tuple {
        Tuple {
            source: reply.destination,
            destination: reply.source,
            source_port: reply.destination_port,
            destination_port: reply.source_port,
            ..*self
        }
    }
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
    message::message(CT_GET, message::NLM_F_DUMP, |b| message::netfilter(b, 0, 0))
}

/// Reads a datagram. Messages that make no sense are passed over.
pub fn read(datagram: &[u8], mut each: impl FnMut(Told)) -> Answer {
    message::answers(datagram, |kind, payload| {
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

/// The addresses and ports of a direction; `None` for what cannot be read.
pub(crate) fn tuple(attributes: &[u8]) -> Option<Tuple> {
    let (ip, of) = (attribute(attributes, CTA_TUPLE_IP)?, attribute(attributes, CTA_TUPLE_PROTO)?);
    let v4 = |kind| number::<4>(ip, kind).map(|b| IpAddr::from(Ipv4Addr::from(b)));
    let v6 = |kind| number::<16>(ip, kind).map(|b| IpAddr::from(Ipv6Addr::from(b)));
    let (source, destination) = match (v4(CTA_IP_V4_SRC), v4(CTA_IP_V4_DST)) {
        (Some(source), Some(destination)) => (source, destination),
        _ => (v6(CTA_IP_V6_SRC)?, v6(CTA_IP_V6_DST)?),
    };
    let byte = |kind| attribute(of, kind).and_then(|v| v.first().copied());
    let port = |kind| number(of, kind).map_or(0, u16::from_be_bytes);
    Some(Tuple {
        source,
        destination,
        protocol: byte(CTA_PROTO_NUM)?,
        source_port: port(CTA_PROTO_SRC_PORT),
        destination_port: port(CTA_PROTO_DST_PORT),
        icmp_type: byte(CTA_PROTO_ICMP_TYPE).or(byte(CTA_PROTO_ICMPV6_TYPE)),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::netlink::message::{nest, put};
    use proptest::prelude::*;

    /// A direction as the kernel would tell of it.
    pub(crate) fn write_tuple(out: &mut Vec<u8>, kind: u16, of: &Tuple) {
        nest(out, kind, |out| {
            nest(out, CTA_TUPLE_IP, |ip| match (of.source, of.destination) {
                (IpAddr::V4(s), IpAddr::V4(d)) => {
                    put(ip, CTA_IP_V4_SRC, &s.octets());
                    put(ip, CTA_IP_V4_DST, &d.octets());
                }
                (s, d) => {
                    let octets = |a: IpAddr| match a {
                        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                        IpAddr::V6(v6) => v6.octets(),
                    };
                    put(ip, CTA_IP_V6_SRC, &octets(s));
                    put(ip, CTA_IP_V6_DST, &octets(d));
                }
            });
            nest(out, CTA_TUPLE_PROTO, |proto| {
                put(proto, CTA_PROTO_NUM, &[of.protocol]);
                match of.icmp_type {
                    Some(icmp) if of.source.is_ipv4() => put(proto, CTA_PROTO_ICMP_TYPE, &[icmp]),
                    Some(icmp) => put(proto, CTA_PROTO_ICMPV6_TYPE, &[icmp]),
                    None => {
                        put(proto, CTA_PROTO_SRC_PORT, &of.source_port.to_be_bytes());
                        put(proto, CTA_PROTO_DST_PORT, &of.destination_port.to_be_bytes());
                    }
                }
            });
        });
    }

    /// A connection as the kernel would tell of it.
    fn written(kind: u16, of: &Connection) -> Vec<u8> {
        let count = |out: &mut Vec<u8>, kind, c: Count| {
            nest(out, kind, |out| {
                put(out, 1, &c.packets.to_be_bytes());
                put(out, 2, &c.bytes.to_be_bytes());
            });
        };
        message::message(kind, 0, |b| {
            message::netfilter(b, 2, 0);
            write_tuple(b, CTA_TUPLE_ORIG, &of.original);
            write_tuple(b, CTA_TUPLE_REPLY, &of.reply);
            if of.over {
                nest(b, CTA_PROTOINFO, |info| nest(info, 1, |tcp| put(tcp, 1, &[7])));
            }
            count(b, CTA_COUNTERS_ORIG, of.sent);
            count(b, CTA_COUNTERS_REPLY, of.received);
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

    pub(crate) fn tuples(v6: bool) -> impl Strategy<Value = Tuple> {
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
