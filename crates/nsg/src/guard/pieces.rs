//! Overlapping openings as disjoint pieces: where several are open, the one that ends last counts.

use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;

use super::{Map, Opening};

/// A range of addresses of one family, as numbers, both ends part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) first: u128,
    pub(super) last: u128,
    pub(super) mark: u32,
    pub(super) left: Duration,
}

impl Piece {
    /// What is left, as the kernel takes it. Never 0, which would be for ever.
    pub(super) fn milliseconds(&self) -> u64 {
        u64::try_from(self.left.as_millis()).unwrap_or(u64::MAX).max(1)
    }
}

impl Map {
    /// The highest address of the family.
    pub(super) fn highest(self) -> u128 {
        if self.v4 { u128::from(u32::MAX) } else { u128::MAX }
    }

    /// A number as an address of the family.
    pub(super) fn address(self, number: u128) -> IpAddr {
        match self.v4 {
            true => IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX))),
            false => IpAddr::V6(Ipv6Addr::from(number)),
        }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// What the map must hold for these openings, in order.
pub(super) fn of(openings: &[Opening], map: Map) -> Vec<Piece> {
    let ours = openings.iter().filter(|o| {
        (o.protocol, o.port) == (map.protocol, map.port)
            && o.source.addr().is_ipv4() == map.v4
            && o.left >= Duration::from_millis(1)
            && o.mark != 0
    });
    let ranges: Vec<Piece> = ours
        .map(|o| {
            let (first, last) = ends(&o.source);
            Piece { first, last, mark: o.mark, left: o.left }
        })
        .collect();
    cut(&ranges)
}

fn ends(net: &IpNet) -> (u128, u128) {
    (number(net.network()), number(net.broadcast()))
}

/// Cuts at every end of every range, and takes for each part the range that ends last in time.
fn cut(ranges: &[Piece]) -> Vec<Piece> {
    let mut starts: Vec<u128> = ranges.iter().map(|r| r.first).collect();
    // Where one ends, another may begin that it covered; after the highest address nothing does.
    starts.extend(ranges.iter().filter_map(|r| r.last.checked_add(1)));
    starts.sort_unstable();
    starts.dedup();
    let mut beginning: Vec<&Piece> = ranges.iter().collect();
    beginning.sort_unstable_by_key(|r| r.first);
    let mut beginning = beginning.into_iter().peekable();
    // Those that have begun, the one that ends last in time on top. One that is over is removed once it is there.
    let mut begun: BinaryHeap<(Duration, u32, u128)> = BinaryHeap::new();
    let mut out: Vec<Piece> = Vec::new();
    for (index, first) in starts.iter().copied().enumerate() {
        while let Some(range) = beginning.next_if(|r| r.first <= first) {
            begun.push((range.left, range.mark, range.last));
        }
        while begun.peek().is_some_and(|(_, _, last)| *last < first) {
            begun.pop();
        }
        let Some((left, mark, end)) = begun.peek().copied() else { continue };
        // The last part goes as far as what covers it.
        let last = starts.get(index + 1).map_or(end, |next| end.min(next - 1));
        match out.last_mut() {
            Some(before)
                if (before.mark, before.left) == (mark, left)
                    && before.last.checked_add(1) == Some(first) =>
            {
                before.last = last;
            }
            _ => out.push(Piece { first, last, mark, left }),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Transport;
    use proptest::prelude::*;

    const MAP: Map = Map { protocol: Transport::Tcp, port: 22, v4: true };

    fn opening(source: &str, mark: u32, seconds: u64) -> Opening {
        let source = source.parse().unwrap();
        Opening { protocol: Transport::Tcp, port: 22, source, mark, left: Duration::from_secs(seconds) }
    }

    fn shown(openings: &[Opening], map: Map) -> Vec<String> {
        let piece = |p: &Piece| {
            let (first, last) = (map.address(p.first), map.address(p.last));
            format!("{first}-{last} {} {}", p.mark, p.left.as_secs())
        };
        of(openings, map).iter().map(piece).collect()
    }

    #[test]
    fn a_smaller_opening_inside_a_larger_one_cuts_it_only_when_it_lasts_longer() {
        let (large, small) = (opening("192.0.2.0/24", 1, 60), opening("192.0.2.7/32", 2, 120));
        let expected =
            ["192.0.2.0-192.0.2.6 1 60", "192.0.2.7-192.0.2.7 2 120", "192.0.2.8-192.0.2.255 1 60"];
        assert_eq!(shown(&[large.clone(), small], MAP), expected);
        let short = opening("192.0.2.7/32", 2, 30);
        assert_eq!(shown(&[large, short], MAP), ["192.0.2.0-192.0.2.255 1 60"]);
    }

    #[test]
    fn everything_and_the_last_address_have_an_end_and_what_has_no_time_left_is_nothing() {
        assert_eq!(shown(&[opening("0.0.0.0/0", 1, 9)], MAP), ["0.0.0.0-255.255.255.255 1 9"]);
        let last = [opening("255.255.255.255/32", 1, 9), opening("0.0.0.0/0", 2, 5)];
        assert_eq!(shown(&last, MAP), ["0.0.0.0-255.255.255.254 2 5", "255.255.255.255-255.255.255.255 1 9"]);
        let six = Map { v4: false, ..MAP };
        let highest = [opening("::/0", 1, 9), opening("ffff::/16", 3, 10)];
        assert_eq!(
            shown(&highest, six),
            [
                "::-fffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff 1 9",
                "ffff::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 3 10"
            ]
        );
        assert_eq!(shown(&[opening("192.0.2.1/32", 1, 0)], MAP), [""; 0]);
        assert_eq!(shown(&[opening("192.0.2.1/32", 0, 9)], MAP), [""; 0]);
    }

    fn some_ranges() -> impl Strategy<Value = Vec<Piece>> {
        let range = (0_u128..40, 0_u128..12, 1_u32..5, 1_u64..5, prop::bool::ANY).prop_map(
            |(first, length, mark, left, high)| {
                // At both ends of the numbers.
                let shift = if high { u128::MAX - 60 } else { 0 };
                let first = first + shift;
                Piece { first, last: first.saturating_add(length), mark, left: Duration::from_secs(left) }
            },
        );
        prop::collection::vec(range, 0..8)
    }

    proptest! {
        /// The oracle asks every address.
        #[test]
        fn each_address_has_the_opening_that_ends_last_and_pieces_are_in_order_and_apart(ranges in some_ranges()) {
            let pieces = cut(&ranges);
            for address in (0_u128..60).chain(u128::MAX - 60..=u128::MAX) {
                let holds = |r: &&Piece| r.first <= address && address <= r.last;
                let expected = ranges.iter().filter(holds).map(|r| (r.left, r.mark)).max();
                let found: Vec<_> = pieces.iter().filter(holds).map(|r| (r.left, r.mark)).collect();
                prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
            }
            prop_assert!(pieces.windows(2).all(|w| w[0].last < w[1].first));
            prop_assert!(pieces.iter().all(|p| p.first <= p.last));
            prop_assert!(pieces.len() <= (2 * ranges.len()).max(1));
        }
    }
}
