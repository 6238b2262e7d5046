//! The chains and maps of guarded ports.
//!
//! ```text
//! n0_in            tcp dport 22 jump guard_tcp_22_cut_in; then as everywhere
//! guard_…_in       of a flow that the machine began -> return; source in the map -> mark, accept;
//!                  established -> reset (cut) or accept (drain); drop
//! guard_…_out      the same for what answers, by its destination: a client that ignores resets is told nothing more
//! ```
//! A packet that connection tracking does not know has no direction, so the first rule lets it go on to the map.

use std::fmt::Write as _;

use super::pieces::Piece;
use super::{Existing, Guard, Map, Transport};
use crate::diagram::{Family, IntervalSet};
use crate::frame::word;
use crate::policy::Direction;
use crate::ruleset::{Chain, ESTABLISHED, Key, Name, ORIGINAL, RELATED, REPLY, Rule, TABLE, Verdict, When};

fn name(prefix: &str, guard: &Guard, direction: Direction) -> Name {
    let existing = if guard.existing == Existing::Cut { "cut" } else { "drain" };
    let (protocol, port, side) = (guard.protocol, guard.port, word(direction));
    Name::made(&format_args!("{prefix}guard_{protocol}_{port}_{existing}_{side}"))
}

/// The chain of a guard.
pub(crate) fn chain(prefix: &str, guard: &Guard, direction: Direction) -> Chain {
    let inbound = direction == Direction::Inbound;
    let state = |verdict, state| When::always(verdict).and(Key::ConnectionState, IntervalSet::of([state]));
    // What the machine began from this port itself is nobody's access to it.
    let own = IntervalSet::of([if inbound { REPLY } else { ORIGINAL }]);
    let own = When::always(Verdict::Return).and(Key::ConnectionDirection, own);
    let mut rules = vec![Rule::When(own)];
    for family in Family::ALL {
        let map = Map { protocol: guard.protocol, port: guard.port, v4: family == Family::V4 };
        let key = if inbound { Key::Source(family) } else { Key::Destination(family) };
        rules.push(Rule::Open(key, Name::made(&format_args!("{map}"))));
    }
    let existing = match (guard.existing, guard.protocol, direction) {
        (Existing::Drain, ..) => Some(state(Verdict::Accept, ESTABLISHED)),
        (Existing::Cut, Transport::Tcp, Direction::Inbound) => {
            Some(state(Verdict::Reset, ESTABLISHED).and(Key::Protocol, IntervalSet::of([6])))
        }
        // The resets themselves: they are related to the connection that they end.
        (Existing::Cut, Transport::Tcp, Direction::Outbound) => Some(state(Verdict::Accept, RELATED)),
        (Existing::Cut, Transport::Udp, _) => None,
    };
    rules.extend(existing.map(Rule::When));
    rules.push(Rule::When(When::always(Verdict::Drop)));
    Chain::new(name(prefix, guard, direction), rules)
}

/// A rule with which the chain of a NIC begins.
pub(crate) fn jump(prefix: &str, guard: &Guard, direction: Direction) -> When {
    let protocol = match guard.protocol {
        Transport::Tcp => 6,
        Transport::Udp => 17,
    };
    let port = if direction == Direction::Inbound { Key::DestinationPort } else { Key::SourcePort };
    When::always(Verdict::Jump(name(prefix, guard, direction)))
        .and(Key::Protocol, IntervalSet::of([protocol]))
        .and(port, IntervalSet::of([guard.port.into()]))
}

impl Map {
    /// Appends the map, empty, as a block inside of its table. One that is there stays as it is.
    pub(crate) fn write(&self, out: &mut String) {
        let family = if self.v4 { "ipv4_addr" } else { "ipv6_addr" };
        let _ = writeln!(out, "\tmap {self} {{ type {family} : mark; flags interval, timeout; counter; }}");
    }
}

/// The line that puts pieces into a map; nothing when there are none.
pub(super) fn elements(map: Map, pieces: &[Piece]) -> String {
    let element = |piece: &Piece| {
        let (first, last) = (map.address(piece.first), map.address(piece.last));
        let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
        format!("{range} timeout {}ms : {:#010x}", piece.milliseconds(), piece.mark)
    };
    let elements: Vec<String> = pieces.iter().map(element).collect();
    if elements.is_empty() {
        return String::new();
    }
    format!("add element inet {TABLE} {map} {{ {} }}\n", elements.join(", "))
}
