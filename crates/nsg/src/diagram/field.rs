//! Header fields and sets of their values.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// The address family of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Family; 2] = [Family::V4, Family::V6];

    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// The value of [`Field::Family`].
    pub fn value(self) -> u128 {
        match self {
            Family::V4 => 0,
            Family::V6 => 1,
        }
    }

    /// The address with a number.
    pub fn address(self, value: u128) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::from_bits(u32::try_from(value).unwrap_or(u32::MAX)).into(),
            Family::V6 => Ipv6Addr::from_bits(value).into(),
        }
    }
}

/// The number of an address.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// What a node tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The address family; always first, because what an address can be depends on it.
    Family,
    /// The number of the IP protocol.
    Protocol,
    /// The source address as a number.
    Source,
    /// The destination address as a number.
    Destination,
    /// The source port, of protocols that have ports.
    SourcePort,
    /// The destination port, of protocols that have ports.
    DestinationPort,
}

impl Field {
    /// The largest value in a family.
    pub fn max(self, family: Family) -> u128 {
        match (self, family) {
            (Field::Family, _) => 1,
            (Field::Protocol, _) => u8::MAX.into(),
            (Field::SourcePort | Field::DestinationPort, _) => u16::MAX.into(),
            (Field::Source | Field::Destination, Family::V4) => u32::MAX.into(),
            (Field::Source | Field::Destination, Family::V6) => u128::MAX,
        }
    }
}

/// The values from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    /// The least value.
    pub first: u128,
    /// The greatest value, not less than the least.
    pub last: u128,
}

/// A set of values: intervals that are sorted, disjoint and not adjacent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct IntervalSet(Vec<Interval>);

impl IntervalSet {
    /// The union of intervals.
    pub fn new(intervals: impl IntoIterator<Item = Interval>) -> Self {
        let mut sorted: Vec<Interval> = intervals.into_iter().collect();
        sorted.sort_unstable();
        let mut merged: Vec<Interval> = Vec::with_capacity(sorted.len());
        for interval in sorted {
            match merged.last_mut() {
                Some(before) if before.last == u128::MAX || interval.first <= before.last + 1 => {
                    before.last = before.last.max(interval.last);
                }
                _ => merged.push(interval),
            }
        }
        Self(merged)
    }

    /// All values from 0 to `max`.
    pub fn up_to(max: u128) -> Self {
        Self(vec![Interval { first: 0, last: max }])
    }

    /// These values.
    pub fn of(values: impl IntoIterator<Item = u128>) -> Self {
        Self::new(values.into_iter().map(|v| Interval { first: v, last: v }))
    }

    /// The addresses of the networks that are of a family.
    pub fn of_networks<'a>(networks: impl IntoIterator<Item = &'a IpNet>, family: Family) -> Self {
        let of_family = networks.into_iter().filter(|net| Family::of(net.addr()) == family);
        Self::new(of_family.map(|n| Interval { first: number(n.network()), last: number(n.broadcast()) }))
    }

    /// The intervals in order.
    pub fn intervals(&self) -> &[Interval] {
        &self.0
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it holds every value from 0 to `max`.
    pub fn is_up_to(&self, max: u128) -> bool {
        matches!(self.0.as_slice(), [Interval { first: 0, last }] if *last >= max)
    }

    /// Whether it holds a value.
    pub fn contains(&self, value: u128) -> bool {
        let after = self.0.partition_point(|i| i.first <= value);
        after.checked_sub(1).is_some_and(|at| value <= self.0[at].last)
    }

    /// Whether it holds every value of the other set.
    pub fn is_superset(&self, other: &Self) -> bool {
        // The intervals of a set are maximal, so each of the other's lies in one of these.
        let mut own = self.0.iter();
        let mut at = own.next();
        other.0.iter().all(|o| {
            while at.is_some_and(|a| a.last < o.last) {
                at = own.next();
            }
            at.is_some_and(|a| a.first <= o.first)
        })
    }

    /// Values of both sets.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let (mut i, mut j) = (0, 0);
        let mut both = Vec::new();
        while let (Some(a), Some(b)) = (self.0.get(i), other.0.get(j)) {
            let (first, last) = (a.first.max(b.first), a.last.min(b.last));
            if first <= last {
                both.push(Interval { first, last });
            }
            if a.last < b.last {
                i += 1;
            } else {
                j += 1;
            }
        }
        Self(both)
    }

    /// The values of an interval that are not in the set.
    pub fn gaps(&self, within: Interval) -> Vec<Interval> {
        let mut gaps = Vec::new();
        let mut next = Some(within.first);
        for own in &self.0[self.0.partition_point(|own| own.last < within.first)..] {
            let Some(first) = next.filter(|first| *first <= within.last && own.first <= within.last) else {
                break;
            };
            if first < own.first {
                gaps.push(Interval { first, last: own.first - 1 });
            }
            next = own.last.checked_add(1);
        }
        let rest = next.filter(|first| *first <= within.last);
        gaps.extend(rest.map(|first| Interval { first, last: within.last }));
        gaps
    }

    /// How many values there are; the whole of IPv6 is one less than it is.
    pub fn count(&self) -> u128 {
        self.0.iter().fold(0, |n: u128, i| n.saturating_add((i.last - i.first).saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set() -> impl Strategy<Value = IntervalSet> {
        let interval = (0u128..40, 0u128..40)
            .prop_map(|(a, b)| Interval { first: a.min(b), last: a.max(b).min(a.min(b) + 5) });
        prop::collection::vec(interval, 0..6).prop_map(IntervalSet::new)
    }

    proptest! {
        #[test]
        fn sets_know_their_values_subsets_and_count(a in set(), b in set()) {
            let values = |s: &IntervalSet| (0..50).filter(|v| s.contains(*v)).collect::<Vec<u128>>();
            let (of_a, of_b) = (values(&a), values(&b));
            prop_assert_eq!(a.is_superset(&b), of_b.iter().all(|v| of_a.contains(v)));
            prop_assert_eq!(a.count(), of_a.len() as u128);
            let both = of_a.iter().copied().filter(|v| of_b.contains(v));
            prop_assert_eq!(a.and(&b), IntervalSet::of(both));
            for within in b.intervals() {
                let gaps = a.gaps(*within).into_iter().flat_map(|gap| gap.first..=gap.last);
                let outside = (within.first..=within.last).filter(|v| !of_a.contains(v));
                prop_assert_eq!(gaps.collect::<Vec<u128>>(), outside.collect::<Vec<u128>>());
            }
            prop_assert_eq!(IntervalSet::of(of_a), a.clone());
            prop_assert!(a.intervals().windows(2).all(|w| w[0].last + 1 < w[1].first));
        }
    }

    #[test]
    fn the_ends_of_ipv6_are_values_like_others() {
        let all = IntervalSet::up_to(u128::MAX);
        let last = IntervalSet::of([u128::MAX]);
        assert!(all.is_superset(&last) && !last.is_superset(&all) && last.contains(u128::MAX));
        assert_eq!(IntervalSet::new([all.intervals()[0], last.intervals()[0]]), all);
    }
}
