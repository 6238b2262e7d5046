//! The chains and maps of guarded ports, as nftables text.
//!
//! ```text
//! n0_in            tcp dport vmap { 22 : jump guard_tcp_22_cut_in }; then as everywhere
//! guard_…_in       of a flow that the machine began -> return; source in the map -> mark, accept;
//!                  established -> reset (cut) or accept (drain); drop
//! guard_…_out      the same for what answers, by its destination: a client that ignores resets is told nothing more
//! ```
//! A packet that connection tracking does not know has no direction, so the first line lets it go on to the map.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::pieces::Piece;
use super::{Existing, Guard, Map, Transport, maps_of};
use crate::compile::TABLE;
use crate::policy::{Direction, NicPolicy, NsgPart};

fn chain(guard: &Guard, direction: Direction) -> String {
    let existing = if guard.existing == Existing::Cut { "cut" } else { "drain" };
    let side = if direction == Direction::Inbound { "in" } else { "out" };
    format!("guard_{}_{}_{existing}_{side}", guard.protocol, guard.port)
}

/// The maps of a part, empty.
pub(crate) fn maps(part: &NsgPart) -> String {
    let mut out = String::new();
    for map in maps_of(part) {
        let family = if map.v4 { "ipv4_addr" } else { "ipv6_addr" };
        let _ = writeln!(out, "\tmap {map} {{ type {family} : mark; flags interval, timeout; counter; }}");
    }
    out
}

/// The chains of a part's guards.
pub(crate) fn chains(part: &NsgPart) -> String {
    let guards: BTreeSet<&Guard> = part.nics.iter().flat_map(|nic| &nic.guarded).collect();
    let mut out = String::new();
    for guard in guards {
        for direction in [Direction::Inbound, Direction::Outbound] {
            let _ = writeln!(out, "\tchain {} {{", chain(guard, direction));
            for rule in rules(guard, direction) {
                let _ = writeln!(out, "\t\t{rule}");
            }
            out.push_str("\t}\n");
        }
    }
    out
}

fn rules(guard: &Guard, direction: Direction) -> Vec<String> {
    let inbound = direction == Direction::Inbound;
    // What the machine began from this port itself is nobody's access to it.
    let own = if inbound { "reply" } else { "original" };
    let side = if inbound { "saddr" } else { "daddr" };
    let mut rules = vec![format!("ct direction {own} return")];
    for v4 in [true, false] {
        let map = Map { protocol: guard.protocol, port: guard.port, v4 };
        let family = if v4 { "ip" } else { "ip6" };
        rules.push(format!("ct mark set {family} {side} map @{map} accept"));
    }
    match (guard.existing, guard.protocol, direction) {
        (Existing::Drain, ..) => rules.push("ct state established accept".to_owned()),
        (Existing::Cut, Transport::Tcp, Direction::Inbound) => {
            rules.push("ct state established counter reject with tcp reset".to_owned());
        }
        // The resets themselves: they are related to the connection that they end.
        (Existing::Cut, Transport::Tcp, Direction::Outbound) => {
            rules.push("ct state related tcp flags & rst == rst accept".to_owned());
        }
        (Existing::Cut, Transport::Udp, _) => {}
    }
    rules.push("counter drop".to_owned());
    rules
}

/// The rules with which the chain of a NIC begins.
pub(crate) fn jumps(nic: &NicPolicy, direction: Direction) -> Vec<String> {
    let side = if direction == Direction::Inbound { "dport" } else { "sport" };
    let mut rules = Vec::new();
    for protocol in [Transport::Tcp, Transport::Udp] {
        // Each port once: a map of verdicts takes no two answers. The first is the stricter one.
        let mut ports: Vec<&Guard> = nic.guarded.iter().filter(|g| g.protocol == protocol).collect();
        ports.sort();
        ports.dedup_by_key(|g| g.port);
        let ports: Vec<String> =
            ports.iter().map(|g| format!("{} : jump {}", g.port, chain(g, direction))).collect();
        if !ports.is_empty() {
            rules.push(format!("{protocol} {side} vmap {{ {} }}", ports.join(", ")));
        }
    }
    rules
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

/// A listing of the table without what is open: that comes and goes by itself, and is no part of the policy.
pub fn without_openings(listing: &str) -> String {
    let mut out = String::with_capacity(listing.len());
    let (mut in_map, mut in_elements) = (false, false);
    for line in listing.lines() {
        let text = line.trim();
        if in_elements {
            in_elements = !text.ends_with('}');
            continue;
        }
        if text.starts_with("map open_") {
            in_map = true;
        } else if text == "}" {
            in_map = false;
        } else if in_map && text.starts_with("elements = {") {
            in_elements = !text.ends_with('}');
            continue;
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_the_same_whatever_is_open() {
        let around = |elements: &str| {
            format!(
                "table inet sekisho {{\n\tset set0 {{\n\t\ttype ipv4_addr\n\t\telements = {{ 10.0.0.1 }}\n\t}}\n\n\
                 \tmap open_tcp_22_4 {{\n\t\ttype ipv4_addr : mark\n\t\tflags interval,timeout\n{elements}\t}}\n\n\
                 \tchain n0_in {{\n\t\telements = {{\n\t}}\n}}\n"
            )
        };
        let one = "\t\telements = { 192.0.2.1 timeout 1h : 0x00000001 }\n";
        let two = "\t\telements = { 192.0.2.1 timeout 1h : 0x00000001,\n\t\t\t     192.0.2.2 timeout 1h : 0x00000002 }\n";
        let none = without_openings(&around(""));
        assert_eq!(none, around(""));
        assert_eq!(without_openings(&around(one)), none);
        assert_eq!(without_openings(&around(two)), none);
    }
}
