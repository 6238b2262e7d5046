//! What a rule matches as a product of sets, one for each field.

use std::collections::BTreeSet;

use super::field::{Family, Field, IntervalSet};
use crate::platform::PlatformService;
use crate::policy::{Addresses, Direction, PORT_PROTOCOLS, Ports, Protocol, Rule};

/// The packets of one family whose every field lies in a set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Product([IntervalSet; 5]);

impl Product {
    /// Every packet of a family.
    pub fn everything(family: Family) -> Self {
        Self(FIELDS.map(|field| IntervalSet::up_to(field.max(family))))
    }

    /// The values of a field; of the family none, because the product is about one.
    pub fn values(&self, field: Field) -> &IntervalSet {
        &self.0[slot(field)]
    }

    /// The same packets, as far as one field lies in a set.
    #[must_use]
    pub fn with(mut self, field: Field, values: IntervalSet) -> Self {
        self.0[slot(field)] = values;
        self
    }

    /// Packets of both; `None` when there are none.
    pub fn and(&self, other: &Product) -> Option<Product> {
        let mut both = self.clone();
        for (at, set) in both.0.iter_mut().enumerate() {
            *set = set.and(&other.0[at]);
            if set.is_empty() {
                return None;
            }
        }
        Some(both)
    }

    /// Whether a packet of the product's family is in it.
    pub(crate) fn contains(&self, value: impl Fn(Field) -> u128) -> bool {
        FIELDS.iter().all(|field| self.values(*field).contains(value(*field)))
    }

    fn is_empty(&self) -> bool {
        self.0.iter().any(IntervalSet::is_empty)
    }
}

const FIELDS: [Field; 5] =
    [Field::Protocol, Field::Source, Field::Destination, Field::SourcePort, Field::DestinationPort];

fn slot(field: Field) -> usize {
    FIELDS.iter().position(|f| *f == field).unwrap_or(0)
}

/// What a rule matches in a family, exactly as [`crate::evaluate::matches`] says; `None` when that is nothing.
///
/// A condition on ports holds only for [`PORT_PROTOCOLS`], and is void for ICMP, ESP and AH. So whenever the set of
/// ports is not all, every protocol of the product has ports.
pub fn product(rule: &Rule, family: Family) -> Option<Product> {
    let addresses = |addresses: &Addresses| match addresses {
        Addresses::Any => IntervalSet::up_to(Field::Source.max(family)),
        Addresses::Only(nets) => IntervalSet::of_networks(nets, family),
    };
    let all = IntervalSet::up_to(u16::MAX.into());
    let ports = |ports: &Ports| match ports {
        Ports::Any => all.clone(),
        Ports::Only(ranges) => IntervalSet::new(
            ranges.iter().map(|r| super::Interval { first: r.first().into(), last: r.last().into() }),
        ),
    };
    let (mut from, mut to) = (ports(&rule.source_ports), ports(&rule.destination_ports));
    if from.is_empty() || to.is_empty() {
        return None;
    }
    let numbers = match rule.protocol {
        Protocol::Any if rule.source_ports == Ports::Any && rule.destination_ports == Ports::Any => None,
        Protocol::Any => Some(PORT_PROTOCOLS.as_slice()),
        other => other.numbers(),
    };
    if matches!(rule.protocol, Protocol::Icmp | Protocol::Esp | Protocol::Ah) {
        (from, to) = (all.clone(), all);
    }
    let protocols = match numbers {
        None => IntervalSet::up_to(Field::Protocol.max(family)),
        Some(numbers) => IntervalSet::of(numbers.iter().map(|n| u128::from(*n))),
    };
    let product = Product([protocols, addresses(&rule.source), addresses(&rule.destination), from, to]);
    (!product.is_empty()).then_some(product)
}

/// The products of a list of rules in a family, with each rule's index.
pub fn products(rules: &[Rule], family: Family) -> Vec<(usize, Product)> {
    rules.iter().enumerate().filter_map(|(i, rule)| Some((i, product(rule, family)?))).collect()
}

/// The packets of [`crate::evaluate::passes_unasked`] that fields can tell: all but neighbour discovery, which is known by
/// the type of an ICMPv6 message.
pub fn unasked(platform: &BTreeSet<PlatformService>, direction: Direction, family: Family) -> Vec<Product> {
    let udp = |source: u16, destination: u16| {
        Product::everything(family)
            .with(Field::Protocol, IntervalSet::of([17]))
            .with(Field::SourcePort, IntervalSet::of([source.into()]))
            .with(Field::DestinationPort, IntervalSet::of([destination.into()]))
    };
    match (direction, family) {
        (Direction::Inbound, Family::V4) => vec![udp(67, 68)],
        (Direction::Inbound, Family::V6) => {
            let link_local = super::Interval { first: 0xfe80 << 112, last: (0xfec0 << 112) - 1 };
            vec![udp(547, 546).with(Field::Source, IntervalSet::new([link_local]))]
        }
        (Direction::Outbound, Family::V4) => {
            let services = platform.iter().flat_map(|service| service.products());
            std::iter::once(udp(68, 67)).chain(services).collect()
        }
        (Direction::Outbound, Family::V6) => vec![udp(546, 547)],
    }
}
