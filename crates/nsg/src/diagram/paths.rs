//! From a diagram back to packets: what it says of one, a witness, and all of them as boxes.

use std::collections::{BTreeSet, HashSet};

use super::field::{Family, Field, Interval, IntervalSet, number};
use super::manager::{Manager, NodeId, Terminal};
use super::product::Product;
use crate::evaluate::Packet;
use crate::policy::PORT_PROTOCOLS;

/// One value for each field: a packet as diagrams see it. The ports are there for every protocol, and mean nothing for
/// those without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Point {
    family: Family,
    protocol: u8,
    source: u128,
    destination: u128,
    source_port: u16,
    destination_port: u16,
}

impl Point {
    /// Where a packet is. A packet of a protocol with ports that has none is nowhere, because no rule is asked about it.
    pub fn of(packet: &Packet) -> Option<Self> {
        let (source_port, destination_port) = match packet.ports {
            None if PORT_PROTOCOLS.contains(&packet.protocol) => return None,
            ports => ports.unwrap_or_default(),
        };
        Some(Self {
            family: Family::of(packet.source),
            protocol: packet.protocol,
            source: number(packet.source),
            destination: number(packet.destination),
            source_port,
            destination_port,
        })
    }

    /// A packet at this point: an echo request where it is ICMP, which keeps no NIC alive.
    pub fn packet(&self) -> Packet {
        let ports = PORT_PROTOCOLS.contains(&self.protocol);
        Packet {
            source: self.family.address(self.source),
            destination: self.family.address(self.destination),
            protocol: self.protocol,
            ports: ports.then_some((self.source_port, self.destination_port)),
            icmp_type: match self.protocol {
                1 => Some(8),
                58 => Some(128),
                _ => None,
            },
        }
    }

    pub(crate) fn value(&self, field: Field) -> u128 {
        match field {
            Field::Family => self.family.value(),
            Field::Protocol => self.protocol.into(),
            Field::Source => self.source,
            Field::Destination => self.destination,
            Field::SourcePort => self.source_port.into(),
            Field::DestinationPort => self.destination_port.into(),
        }
    }

    fn set(&mut self, field: Field, value: u128) {
        let port = || u16::try_from(value).unwrap_or(u16::MAX);
        match field {
            Field::Family => *self = Self::plain(if value == 0 { Family::V4 } else { Family::V6 }),
            Field::Protocol => self.protocol = u8::try_from(value).unwrap_or(u8::MAX),
            Field::Source => self.source = value,
            Field::Destination => self.destination = value,
            Field::SourcePort => self.source_port = port(),
            Field::DestinationPort => self.destination_port = port(),
        }
    }

    /// The packet that people expect where a field does not matter: HTTPS between addresses that are for documentation.
    fn plain(family: Family) -> Self {
        let documentation: u128 = match family {
            Family::V4 => 0xc000_0200,
            Family::V6 => 0x2001_0db8 << 96,
        };
        Self {
            family,
            protocol: 6,
            source: documentation + 1,
            destination: documentation + 2,
            source_port: 50_000,
            destination_port: 443,
        }
    }
}

/// Packets of one family: every combination of values of these sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketBox {
    /// The family.
    pub family: Family,
    /// The values of the other fields.
    pub product: Product,
    /// What the diagram says of them.
    pub terminal: Terminal,
}

impl PacketBox {
    /// Whether a packet is in it.
    pub fn contains(&self, point: &Point) -> bool {
        point.family == self.family && self.product.contains(|field| point.value(field))
    }

    /// How many pairs of addresses there are, as a logarithm of base 2.
    pub fn size(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "only compared")]
        let bits = |field| (self.product.values(field).count() as f64).log2();
        bits(Field::Source) + bits(Field::Destination)
    }
}

impl Product {
    /// One of the packets, the plainest there is.
    pub fn some(&self, family: Family) -> Point {
        let mut point = Point::plain(family);
        for field in
            [Field::Protocol, Field::Source, Field::Destination, Field::SourcePort, Field::DestinationPort]
        {
            let values = self.values(field);
            if let Some(first) = values.intervals().first()
                && !values.contains(point.value(field))
            {
                point.set(field, first.first);
            }
        }
        point
    }
}

impl Manager {
    /// The terminals that a diagram has for some packet.
    pub fn terminals(&self, id: NodeId) -> BTreeSet<Terminal> {
        let mut found = BTreeSet::new();
        let mut seen = HashSet::new();
        let mut waiting = vec![id];
        while let Some(id) = waiting.pop() {
            if let Some(terminal) = id.terminal() {
                found.insert(terminal);
            } else if seen.insert(id) {
                waiting.extend(self.children(id));
            }
        }
        found
    }

    /// What a diagram says of a packet.
    pub fn lookup(&self, mut id: NodeId, point: &Point) -> Terminal {
        while let Some((field, edges)) = self.node(id) {
            let value = point.value(field);
            let at = edges.partition_point(|e| e.last < value).min(edges.len() - 1);
            id = edges[at].to;
        }
        id.terminal().unwrap_or(super::NO_RULE)
    }

    /// Some packet of which a diagram says something that is wanted; `None` when there is none.
    pub fn witness(&self, id: NodeId, wanted: &impl Fn(Terminal) -> bool) -> Option<Point> {
        let mut point = Point::plain(Family::V4);
        let mut barren = HashSet::new();
        self.seek(id, wanted, &mut point, &mut barren).then_some(point)
    }

    fn seek(
        &self,
        id: NodeId,
        wanted: &impl Fn(Terminal) -> bool,
        point: &mut Point,
        barren: &mut HashSet<NodeId>,
    ) -> bool {
        let Some((field, edges)) = self.node(id) else { return id.terminal().is_some_and(wanted) };
        if barren.contains(&id) {
            return false;
        }
        // What is plain first, then from the least value on.
        let plain = point.value(field);
        let mut first = 0;
        let mut choices = Vec::with_capacity(edges.len());
        for edge in edges {
            if (first..=edge.last).contains(&plain) {
                choices.insert(0, (plain, edge.to));
            } else {
                choices.push((first, edge.to));
            }
            first = edge.last.saturating_add(1);
        }
        let before = *point;
        for (value, to) in choices {
            point.set(field, value);
            if self.seek(to, wanted, point, barren) {
                return true;
            }
            *point = before;
        }
        barren.insert(id);
        false
    }

    /// The packets of which a diagram says something that is wanted, as disjoint boxes; at most `limit`, and whether
    /// these are all.
    pub fn boxes(
        &self,
        id: NodeId,
        wanted: &impl Fn(Terminal) -> bool,
        limit: usize,
    ) -> (Vec<PacketBox>, bool) {
        let mut found = Vec::new();
        let mut path = Vec::new();
        let complete = self.walk(id, wanted, limit, &mut path, &mut found, &mut HashSet::new());
        (found, complete)
    }

    /// False when there are more than the limit.
    fn walk(
        &self,
        id: NodeId,
        wanted: &impl Fn(Terminal) -> bool,
        limit: usize,
        path: &mut Vec<(Field, IntervalSet)>,
        found: &mut Vec<PacketBox>,
        barren: &mut HashSet<NodeId>,
    ) -> bool {
        let Some((field, edges)) = self.node(id) else {
            let Some(terminal) = id.terminal().filter(|t| wanted(*t)) else { return true };
            for family in Family::ALL {
                let of_family = path.iter().find(|(f, _)| *f == Field::Family);
                if of_family.is_some_and(|(_, values)| !values.contains(family.value())) {
                    continue;
                }
                if found.len() >= limit {
                    return false;
                }
                let rest = path.iter().filter(|(f, _)| *f != Field::Family);
                let product = rest
                    .fold(Product::everything(family), |p, (field, values)| p.with(*field, values.clone()));
                found.push(PacketBox { family, product, terminal });
            }
            return true;
        };
        if barren.contains(&id) {
            return true;
        }
        // All intervals with one child are one set.
        let mut children: Vec<(NodeId, Vec<Interval>)> = Vec::new();
        let mut index = std::collections::HashMap::new();
        let mut first = 0;
        for edge in edges {
            let at = *index.entry(edge.to).or_insert_with(|| {
                children.push((edge.to, Vec::new()));
                children.len() - 1
            });
            children[at].1.push(Interval { first, last: edge.last });
            first = edge.last.saturating_add(1);
        }
        let before = found.len();
        for (to, intervals) in children {
            path.push((field, IntervalSet::new(intervals)));
            let complete = self.walk(to, wanted, limit, path, found, barren);
            path.pop();
            if !complete {
                return false;
            }
        }
        if found.len() == before {
            barren.insert(id);
        }
        true
    }
}
