//! Packets and sets of packets as people and the API see them.

use std::fmt;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use schemars::JsonSchema;
use serde::Serialize;

use crate::diagram::{Family, Field, Interval, IntervalSet, PacketBox};
use crate::evaluate::Packet;
use crate::policy::PORT_PROTOCOLS;

/// The first packet of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShownPacket {
    /// `Tcp`, `Udp`, `Icmp` (of the packet's family), `Esp`, `Ah`, or the protocol's number.
    pub protocol: String,
    /// Its source address.
    pub source_address: String,
    /// Its source port, where the protocol has ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_port: Option<u16>,
    /// Its destination address.
    pub destination_address: String,
    /// Its destination port, where the protocol has ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<u16>,
}

impl From<&Packet> for ShownPacket {
    fn from(packet: &Packet) -> Self {
        Self {
            protocol: protocol(packet.protocol.into(), Family::of(packet.source)),
            source_address: packet.source.to_string(),
            source_port: packet.ports.map(|(from, _)| from),
            destination_address: packet.destination.to_string(),
            destination_port: packet.ports.map(|(_, to)| to),
        }
    }
}

impl fmt::Display for ShownPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |address: &str, port: Option<u16>| match port {
            Some(port) if address.contains(':') => format!("[{address}]:{port}"),
            Some(port) => format!("{address}:{port}"),
            None => address.to_owned(),
        };
        let from = end(&self.source_address, self.source_port);
        let to = end(&self.destination_address, self.destination_port);
        write!(f, "{} from {from} to {to}", self.protocol)
    }
}

/// Packets of one family: every combination of the values. `*` is every value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShownBox {
    /// `IPv4` or `IPv6`.
    pub family: &'static str,
    /// As in [`ShownPacket`], or ranges of numbers.
    pub protocols: Vec<String>,
    /// Prefixes and ranges `first-last`.
    pub source_addresses: Vec<String>,
    /// Ports and ranges; `*` where they have no meaning.
    pub source_ports: Vec<String>,
    /// As of the source.
    pub destination_addresses: Vec<String>,
    /// As of the source.
    pub destination_ports: Vec<String>,
}

impl From<&PacketBox> for ShownBox {
    fn from(of: &PacketBox) -> Self {
        let values = |field: Field| {
            let set = of.product.values(field);
            if set.is_up_to(field.max(of.family)) {
                return vec!["*".to_owned()];
            }
            match field {
                Field::Source | Field::Destination => addresses(set, of.family),
                Field::Protocol => texts(set, |number| protocol(number, of.family)),
                _ => texts(set, |port| port.to_string()),
            }
        };
        let has_ports = of.product.values(Field::Protocol).intervals().iter().any(|interval| {
            PORT_PROTOCOLS.iter().any(|p| (interval.first..=interval.last).contains(&u128::from(*p)))
        });
        let ports = |field| if has_ports { values(field) } else { vec!["*".to_owned()] };
        Self {
            family: if of.family == Family::V4 { "IPv4" } else { "IPv6" },
            protocols: values(Field::Protocol),
            source_addresses: values(Field::Source),
            source_ports: ports(Field::SourcePort),
            destination_addresses: values(Field::Destination),
            destination_ports: ports(Field::DestinationPort),
        }
    }
}

fn protocol(number: u128, family: Family) -> String {
    let name = match (number, family) {
        (1, Family::V4) | (58, Family::V6) => "Icmp",
        (6, _) => "Tcp",
        (17, _) => "Udp",
        (50, _) => "Esp",
        (51, _) => "Ah",
        (other, _) => return other.to_string(),
    };
    name.to_owned()
}

fn texts(set: &IntervalSet, text: impl Fn(u128) -> String) -> Vec<String> {
    let of = |i: &Interval| if i.first == i.last { text(i.first) } else { format!("{}-{}", i.first, i.last) };
    set.intervals().iter().map(of).collect()
}

/// A prefix where an interval is one, else the interval.
fn addresses(set: &IntervalSet, family: Family) -> Vec<String> {
    let shown = |interval: &Interval| {
        let (first, last) = (family.address(interval.first), family.address(interval.last));
        if first == last {
            return first.to_string();
        }
        let prefixes: Vec<IpNet> = match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                Ipv4Subnets::new(first, last, 0).take(2).map(IpNet::V4).collect()
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                Ipv6Subnets::new(first, last, 0).take(2).map(IpNet::V6).collect()
            }
            _ => Vec::new(),
        };
        match prefixes.as_slice() {
            [prefix] => prefix.to_string(),
            _ => format!("{first}-{last}"),
        }
    };
    set.intervals().iter().map(shown).collect()
}
