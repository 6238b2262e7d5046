//! Flows as messages of `ctnetlink` (`linux/netfilter/nfnetlink_conntrack.h`): listed, and marked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{CUT, CUT_MASK, Fate, Flow, Tuple};
use crate::watch::attribute;

/// `NFNL_SUBSYS_CTNETLINK`.
const SUBSYSTEM: u16 = 1 << 8;
pub(super) const CT_NEW: u16 = SUBSYSTEM;
const CT_GET: u16 = SUBSYSTEM | 1;
const CT_DELETE: u16 = SUBSYSTEM | 2;

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP: u16 = 0x300;
const NLA_F_NESTED: u16 = 0x8000;

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_MARK: u16 = 8;
const CTA_ZONE: u16 = 18;
const CTA_MARK_MASK: u16 = 21;
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

/// A flow, with what the kernel wants to hear to find it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) flow: Flow,
    family: u8,
    tuple: Vec<u8>,
    zone: Option<Vec<u8>>,
}

/// Asks for every flow.
pub(super) fn list() -> Vec<u8> {
    message(CT_GET, NLM_F_DUMP, 1, 0, |_| {})
}

/// Does to a flow what is to be done; the kernel answers.
pub(super) fn change(of: &Listed, fate: Fate, sequence: u32) -> Vec<u8> {
    let kind = if fate == Fate::Forget { CT_DELETE } else { CT_NEW };
    message(kind, NLM_F_ACK, sequence, of.family, |out| {
        put(out, CTA_TUPLE_ORIG | NLA_F_NESTED, &of.tuple);
        if let Some(zone) = &of.zone {
            put(out, CTA_ZONE, zone);
        }
        let mark = match fate {
            Fate::Cut => CUT,
            Fate::Restore => 0,
            Fate::Forget => return,
        };
        put(out, CTA_MARK, &mark.to_be_bytes());
        put(out, CTA_MARK_MASK, &CUT_MASK.to_be_bytes());
    })
}

fn message(kind: u16, flags: u16, sequence: u32, family: u8, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.extend(kind.to_ne_bytes());
    out.extend((flags | NLM_F_REQUEST).to_ne_bytes());
    out.extend(sequence.to_ne_bytes());
    out.extend([0; 4]);
    out.extend([family, 0, 0, 0]);
    body(&mut out);
    let length = u32::try_from(out.len()).unwrap_or(u32::MAX);
    out[..4].copy_from_slice(&length.to_ne_bytes());
    out
}

fn put(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    out.extend(length.to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// A flow of a listing; `None` for what cannot be read.
pub(super) fn listed(payload: &[u8]) -> Option<Listed> {
    let family = *payload.first()?;
    let body = payload.get(4..)?;
    let tuple = attribute(body, CTA_TUPLE_ORIG)?;
    Some(Listed {
        flow: flow_of(payload)?,
        family,
        tuple: tuple.to_vec(),
        zone: attribute(body, CTA_ZONE).map(<[u8]>::to_vec),
    })
}

/// The flow that the payload of a `ctnetlink` message describes; `None` for what cannot be read.
pub fn flow_of(payload: &[u8]) -> Option<Flow> {
    let body = payload.get(4..)?;
    let mark = attribute(body, CTA_MARK).and_then(|v| Some(u32::from_be_bytes(v.try_into().ok()?)));
    Some(Flow {
        original: tuple(attribute(body, CTA_TUPLE_ORIG)?)?,
        reply: tuple(attribute(body, CTA_TUPLE_REPLY)?)?,
        mark: mark.unwrap_or(0),
    })
}

fn tuple(body: &[u8]) -> Option<Tuple> {
    let (ip, proto) = (attribute(body, CTA_TUPLE_IP)?, attribute(body, CTA_TUPLE_PROTO)?);
    let v4 = |kind| Some(IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(attribute(ip, kind)?).ok()?)));
    let v6 = |kind| Some(IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(attribute(ip, kind)?).ok()?)));
    let port = |kind| Some(u16::from_be_bytes(attribute(proto, kind)?.try_into().ok()?));
    let byte = |kind| attribute(proto, kind).and_then(|v| v.first().copied());
    let (source, destination) = match (v4(CTA_IP_V4_SRC), v4(CTA_IP_V4_DST)) {
        (Some(source), Some(destination)) => (source, destination),
        _ => (v6(CTA_IP_V6_SRC)?, v6(CTA_IP_V6_DST)?),
    };
    Some(Tuple {
        source,
        destination,
        protocol: byte(CTA_PROTO_NUM)?,
        ports: port(CTA_PROTO_SRC_PORT).zip(port(CTA_PROTO_DST_PORT)),
        icmp_type: byte(CTA_PROTO_ICMP_TYPE).or_else(|| byte(CTA_PROTO_ICMPV6_TYPE)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(flow: &Flow) -> Vec<u8> {
        let side = |tuple: &Tuple| {
            let mut ip = Vec::new();
            match (tuple.source, tuple.destination) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    put(&mut ip, CTA_IP_V4_SRC, &from.octets());
                    put(&mut ip, CTA_IP_V4_DST, &to.octets());
                }
                (IpAddr::V6(from), IpAddr::V6(to)) => {
                    put(&mut ip, CTA_IP_V6_SRC, &from.octets());
                    put(&mut ip, CTA_IP_V6_DST, &to.octets());
                }
                _ => unreachable!(),
            }
            let mut proto = Vec::new();
            put(&mut proto, CTA_PROTO_NUM, &[tuple.protocol]);
            if let Some((from, to)) = tuple.ports {
                put(&mut proto, CTA_PROTO_SRC_PORT, &from.to_be_bytes());
                put(&mut proto, CTA_PROTO_DST_PORT, &to.to_be_bytes());
            }
            let mut out = Vec::new();
            put(&mut out, CTA_TUPLE_IP | NLA_F_NESTED, &ip);
            put(&mut out, CTA_TUPLE_PROTO | NLA_F_NESTED, &proto);
            out
        };
        message(CT_NEW, 0, 1, 2, |out| {
            put(out, CTA_TUPLE_ORIG | NLA_F_NESTED, &side(&flow.original));
            put(out, CTA_TUPLE_REPLY | NLA_F_NESTED, &side(&flow.reply));
            put(out, CTA_MARK, &flow.mark.to_be_bytes());
        })
    }

    proptest! {
        #[test]
        fn a_flow_reads_back_as_it_was_written(
            a in any::<[u8; 4]>(), b in any::<[u8; 16]>(), v6 in any::<bool>(), ports in any::<(u16, u16)>(),
            mark in any::<u32>(), protocol in any::<u8>(),
        ) {
            let (source, destination): (IpAddr, IpAddr) =
                if v6 { (b.into(), b.into()) } else { (a.into(), a.into()) };
            let original = Tuple { source, destination, protocol, ports: Some(ports), icmp_type: None };
            let flow = Flow { original, reply: Tuple { ports: None, ..original }, mark };
            let message = written(&flow);
            let found = listed(&message[16..]).unwrap();
            prop_assert_eq!(&found.flow, &flow);
            // What marks it names it as it was listed.
            let asked = mark_only(&mark_of(&found));
            prop_assert_eq!(asked, (found.tuple.clone(), CUT));
        }

        #[test]
        fn any_bytes_are_read_without_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = listed(&data);
        }
    }

    fn mark_of(found: &Listed) -> Vec<u8> {
        change(found, Fate::Cut, 7)
    }

    fn mark_only(message: &[u8]) -> (Vec<u8>, u32) {
        let body = &message[20..];
        let mark = attribute(body, CTA_MARK).unwrap();
        (attribute(body, CTA_TUPLE_ORIG).unwrap().to_vec(), u32::from_be_bytes(mark.try_into().unwrap()))
    }
}
