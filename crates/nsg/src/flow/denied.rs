//! Denied packets, counted: a few from one place are told one by one, a flood as one record with an exact count. Pure;
//! bounded by the number of records of a window.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::record::{DecidingRule, Delta, Flow, Nic, Record, State};
use crate::evaluate::Packet;
use crate::policy::Direction;

/// Different connections from one prefix to one port that are told one by one.
const EACH: usize = 4;
/// Records of one window; what exceeds them is told by rule.
const LIMIT: usize = 2048;

/// What makes one flood.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    generation: u64,
    nic: Arc<Nic>,
    rule: Option<Arc<DecidingRule>>,
    direction: Direction,
    /// Protocol, prefix of the source, port of the destination; `None` when there are too many.
    fine: Option<(u8, IpAddr, u16)>,
}

#[derive(Debug, Clone)]
struct Counted {
    first: Packet,
    at: i64,
    packets: u64,
    bytes: u64,
    /// The different connections, up to one more than are told one by one.
    each: Vec<(Packet, i64, u64, u64)>,
}

/// The denied packets of a window of time.
#[derive(Debug, Default)]
pub struct Denials(HashMap<Key, Counted>);

/// A /24 or /64.
fn prefix(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & !0xff).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
    }
}

impl Denials {
    /// A packet of so many bytes was denied, at a time in milliseconds.
    pub fn add(
        &mut self,
        generation: u64,
        nic: &Arc<Nic>,
        rule: Option<&Arc<DecidingRule>>,
        direction: Direction,
        (packet, bytes, at): (&Packet, u64, i64),
    ) {
        let port = packet.ports.map_or(0, |(_, destination)| destination);
        let fine = Some((packet.protocol, prefix(packet.source), port));
        let mut key = Key { generation, nic: nic.clone(), rule: rule.cloned(), direction, fine };
        if self.0.len() >= LIMIT && !self.0.contains_key(&key) {
            key.fine = None;
        }
        let counted = self.0.entry(key).or_insert_with(|| Counted {
            first: *packet,
            at,
            packets: 0,
            bytes: 0,
            each: Vec::new(),
        });
        counted.packets += 1;
        counted.bytes += bytes;
        if let Some((_, _, packets, sum)) = counted.each.iter_mut().find(|(known, ..)| known == packet) {
            (*packets, *sum) = (*packets + 1, *sum + bytes);
        } else if counted.each.len() <= EACH {
            counted.each.push((*packet, at, 1, bytes));
        }
    }

    /// Ends the window.
    pub fn take(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        for (key, counted) in std::mem::take(&mut self.0) {
            if counted.each.len() <= EACH && key.fine.is_some() {
                let one = |(p, at, packets, bytes): &(Packet, i64, u64, u64)| {
                    record(&key, p, *at, (*packets, *bytes), 1)
                };
                records.extend(counted.each.iter().map(one));
            } else {
                let sum = (counted.packets, counted.bytes);
                records.push(record(&key, &counted.first, counted.at, sum, counted.packets.max(2)));
            }
        }
        records.sort_by_key(|r| r.flow.at);
        records
    }
}

fn record(key: &Key, packet: &Packet, at: i64, (packets, bytes): (u64, u64), count: u64) -> Record {
    let (source_port, destination_port) = packet.ports.unwrap_or_default();
    let flow = Flow {
        at,
        nic: 0,
        direction: key.direction,
        source: packet.source,
        destination: packet.destination,
        source_port,
        destination_port,
        protocol: packet.protocol,
        state: State::Denied,
        rule: None,
        process: None,
        delta: Delta { packets_sent: packets, bytes_sent: bytes, ..Delta::default() },
        count,
    };
    Record { generation: key.generation, nic: key.nic.clone(), rule: key.rule.clone(), process: None, flow }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::InterfaceName;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counts_are_exact_however_they_are_told(
            packets in prop::collection::vec((0_u32..2000, 0_u16..5, 0_u16..700, 40_u64..100), 0..6000),
        ) {
            let nic = Arc::new(Nic { interface: InterfaceName::new("eth0").unwrap(), mac: None });
            let mut denials = Denials::default();
            let mut expected = HashMap::<u16, (u64, u64)>::new();
            for (at, (source, from, port, bytes)) in (0..).zip(&packets) {
                let rule = Arc::new(DecidingRule {
                    nsg: "/n".to_owned(),
                    name: (port % 3).to_string(),
                    is_default: false,
                    access: crate::policy::Access::Deny,
                });
                let packet = Packet {
                    source: Ipv4Addr::from_bits(source * 77).into(),
                    destination: Ipv4Addr::LOCALHOST.into(),
                    protocol: 6,
                    ports: Some((*from, *port)),
                    icmp_type: None,
                };
                denials.add(1, &nic, Some(&rule), Direction::Inbound, (&packet, *bytes, at));
                let sum = expected.entry(port % 3).or_default();
                *sum = (sum.0 + 1, sum.1 + bytes);
            }
            let records = denials.take();
            prop_assert!(records.len() <= (LIMIT + 6) * EACH);
            let mut told = HashMap::<u16, (u64, u64)>::new();
            for record in &records {
                let sum = told.entry(record.rule.as_ref().unwrap().name.parse().unwrap()).or_default();
                *sum = (sum.0 + record.flow.delta.packets_sent, sum.1 + record.flow.delta.bytes_sent);
            }
            prop_assert_eq!(told, expected);
            prop_assert!(denials.take().is_empty());
        }
    }

    #[test]
    fn a_flood_is_one_record_and_a_few_are_told_one_by_one() {
        let nic = Arc::new(Nic { interface: InterfaceName::new("eth0").unwrap(), mac: None });
        let mut denials = Denials::default();
        let packet = |source: &str, from| Packet {
            source: source.parse().unwrap(),
            destination: "10.0.0.4".parse().unwrap(),
            protocol: 6,
            ports: Some((from, 22)),
            icmp_type: None,
        };
        for from in 0..100 {
            denials.add(1, &nic, None, Direction::Inbound, (&packet("192.0.2.9", from), 60, 5));
        }
        for _ in 0..3 {
            denials.add(1, &nic, None, Direction::Inbound, (&packet("198.51.100.7", 1), 60, 6));
        }
        let told: Vec<_> = denials
            .take()
            .iter()
            .map(|r| (r.flow.source.to_string(), r.flow.count, r.flow.delta.packets_sent))
            .collect();
        assert_eq!(told, [("192.0.2.9".to_owned(), 100, 100), ("198.51.100.7".to_owned(), 1, 3)]);
    }
}
