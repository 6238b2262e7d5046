//! From a policy to one nftables script. Pure, and the only place that writes nftables syntax.
//!
//! The script replaces the whole table `inet sekisho` in one transaction (`add`, `delete`, define), so that every
//! packet is judged either by the old policy or by the new one. What goes into it is numbers, addresses and
//! [`InterfaceName`](crate::policy::InterfaceName)s; names of rules appear only where they are harmless.
//!
//! # Where packets are judged
//! Azure filters at the NIC, before and after anything the machine itself does. So inbound traffic is judged in
//! `prerouting` before destination NAT, and outbound traffic in `postrouting` after source NAT. In `input` and
//! `output`, where host firewalls usually sit, a container port that Docker publishes would pass unseen: Docker
//! rewrites the destination first and the packet is then forwarded, never input.
//!
//! # Shape
//! ```text
//! inbound (prerouting, -150)   iifname "eth0" jump n0_in
//! n0_in                        established -> accept; jump alive_in; invalid -> drop; jump n0_in_s0; jump n0_in_s1
//! n0_in_s0                     one or two rules for each security rule: allow = return to n0_in, deny = drop; last: drop
//! ```
//! Reaching the end of `n0_in` is to be allowed by every stage. A security rule about addresses of both families becomes
//! a rule for each; one that matches nothing becomes no rule at all. Lists are merged here into disjoint intervals,
//! because nftables refuses overlapping ones (or, with `auto-merge`, merges them differently from version to version).
//! Lists that several rules share are one set.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::evaluate::{ALIVE_ICMPV6, PLATFORM};
use crate::guard;
use crate::policy::{
    Access, Addresses, Direction, NsgPart, PORT_PROTOCOLS, PortRange, Ports, Protocol, Rule, Stage,
};

/// The table that belongs to this crate, of family `inet`.
pub const TABLE: &str = "sekisho";

/// The name of the empty chain that tells which generation is loaded. A chain, because every version of nft lists
/// chains, and not every one lists a table's comment.
const GENERATION: &str = "generation_";

/// After connection tracking (-200), before destination NAT (-100).
const INBOUND_PRIORITY: i32 = -150;
/// After source NAT (100).
const OUTBOUND_PRIORITY: i32 = 150;

/// The script that replaces whatever the table holds by the policy.
pub fn script(part: &NsgPart, generation: u64) -> String {
    let mut sets = Sets::default();
    let mut counters = BTreeSet::new();
    let mut chains = String::new();
    let mut dispatch = [(Direction::Inbound, String::new()), (Direction::Outbound, String::new())];
    for (n, nic) in part.nics.iter().enumerate() {
        for (direction, jumps) in &mut dispatch {
            let stages = nic.stages(*direction);
            let guards = guard::jumps(nic, *direction);
            if stages.is_empty() && guards.is_empty() {
                continue;
            }
            let key = if *direction == Direction::Inbound { "iifname" } else { "oifname" };
            let chain = chain_name(n, *direction);
            line(jumps, &format!("{key} \"{}\" jump {chain}", nic.interface));
            nic_chain(&mut chains, &mut counters, &chain, *direction, &guards, stages.len());
            for (s, stage) in stages.iter().enumerate() {
                stage_chain(&mut chains, &mut sets, &mut counters, n, *direction, s, stage);
            }
        }
    }
    let [(_, inbound), (_, outbound)] = dispatch;
    let mut out = removal();
    let _ = writeln!(out, "table inet {TABLE} {{");
    for counter in counters {
        let _ = writeln!(out, "\tcounter {counter} {{ }}");
    }
    out.push_str(&sets.text);
    out.push_str(&guard::maps(part));
    let _ = writeln!(out, "\tchain {GENERATION}{generation} {{ }}");
    out.push_str(&alive_chains());
    out.push_str(&guard::chains(part));
    out.push_str(&chains);
    for (name, hook, priority, rules) in [
        ("inbound", "prerouting", INBOUND_PRIORITY, inbound),
        ("outbound", "postrouting", OUTBOUND_PRIORITY, outbound),
    ] {
        let _ = writeln!(out, "\tchain {name} {{");
        line(&mut out, &format!("type filter hook {hook} priority {priority}; policy accept;"));
        let _ = writeln!(out, "{rules}\t}}");
    }
    out.push_str("}\n");
    out
}

/// The script that removes the table, present or not.
pub fn removal() -> String {
    // `destroy` would be one line, but nft 1.0.6 lacks it.
    format!("add table inet {TABLE}\ndelete table inet {TABLE}\n")
}

/// The generation that a listing of the table tells of.
pub fn generation(listing: &str) -> Option<u64> {
    listing
        .lines()
        .filter_map(|l| {
            l.trim().strip_prefix("chain ")?.strip_prefix(GENERATION)?.split(' ').next()?.parse().ok()
        })
        .next()
}

/// The name of the counter of one rule: indexes of NIC and stage, and the rule's priority, which is unique in its
/// direction of its NSG.
pub fn counter_name(nic: usize, direction: Direction, stage: usize, priority: u16) -> String {
    format!("{}_s{stage}_p{priority}", chain_name(nic, direction))
}

fn chain_name(nic: usize, direction: Direction) -> String {
    format!("n{nic}_{}", if direction == Direction::Inbound { "in" } else { "out" })
}

fn line(out: &mut String, rule: &str) {
    let _ = writeln!(out, "\t\t{rule}");
}

/// See [`crate::evaluate::keeps_alive`], which says the same.
fn alive_chains() -> String {
    let icmpv6 = join(ALIVE_ICMPV6.iter());
    let mut out = String::from("\tchain alive_in {\n");
    line(&mut out, &format!("icmpv6 type {{ {icmpv6} }} accept"));
    line(&mut out, "meta nfproto ipv4 udp sport 67 udp dport 68 accept");
    line(&mut out, "ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept");
    out.push_str("\t}\n\tchain alive_out {\n");
    line(&mut out, &format!("icmpv6 type {{ {icmpv6} }} accept"));
    line(&mut out, "meta nfproto ipv4 udp sport 68 udp dport 67 accept");
    line(&mut out, "meta nfproto ipv6 udp sport 546 udp dport 547 accept");
    line(&mut out, &format!("ip daddr {{ {} }} accept", join(PLATFORM.iter())));
    out.push_str("\t}\n");
    out
}

fn nic_chain(
    out: &mut String,
    counters: &mut BTreeSet<String>,
    chain: &str,
    direction: Direction,
    guards: &[String],
    stages: usize,
) {
    let alive = if direction == Direction::Inbound { "alive_in" } else { "alive_out" };
    let _ = writeln!(out, "\tchain {chain} {{");
    guards.iter().for_each(|rule| line(out, rule));
    // Where no group filters, the rest goes on unjudged.
    if stages == 0 {
        out.push_str("\t}\n");
        return;
    }
    line(out, "ct state established,related accept");
    line(out, &format!("jump {alive}"));
    counters.insert(format!("{chain}_invalid"));
    line(out, &format!("ct state invalid counter name \"{chain}_invalid\" drop"));
    for stage in 0..stages {
        line(out, &format!("jump {chain}_s{stage}"));
    }
    out.push_str("\t}\n");
}

fn stage_chain(
    out: &mut String,
    sets: &mut Sets,
    counters: &mut BTreeSet<String>,
    nic: usize,
    direction: Direction,
    index: usize,
    stage: &Stage,
) {
    let chain = format!("{}_s{index}", chain_name(nic, direction));
    let _ = writeln!(out, "\tchain {chain} {{");
    for rule in &stage.rules {
        let counter = counter_name(nic, direction, index, rule.priority);
        let verdict = if rule.access == Access::Allow { "return" } else { "drop" };
        for condition in conditions(rule, sets) {
            line(out, &format!("{condition}counter name \"{counter}\" {verdict}{}", comment(&rule.name)));
        }
        counters.insert(counter);
    }
    // A stage holds the deny-all defaults, so this is reached only if somebody left them out.
    line(out, "drop");
    out.push_str("\t}\n");
}

/// The rule's name for people who read the table, if nothing in it could end the string.
fn comment(name: &str) -> String {
    let harmless = !name.is_empty()
        && name.len() <= 80
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if harmless { format!(" comment \"{name}\"") } else { String::new() }
}

/// The conditions under which a rule matches, each ending in a blank; none when it matches nothing.
fn conditions(rule: &Rule, sets: &mut Sets) -> Vec<String> {
    let Some(transport) = transport(rule, sets) else { return Vec::new() };
    if rule.source == Addresses::Any && rule.destination == Addresses::Any {
        return vec![transport];
    }
    let mut conditions = Vec::new();
    for family in [Family::V4, Family::V6] {
        let source = address_match(&rule.source, "saddr", family, sets);
        let destination = address_match(&rule.destination, "daddr", family, sets);
        if let (Some(source), Some(destination)) = (source, destination) {
            conditions.push(format!("{source}{destination}{transport}"));
        }
    }
    conditions
}

/// `None` when no address of the family matches. [`Addresses::Any`] is no condition, and is only asked about here
/// when the other side names addresses, which bind the family.
fn address_match(addresses: &Addresses, field: &str, family: Family, sets: &mut Sets) -> Option<String> {
    let Addresses::Only(nets) = addresses else { return Some(String::new()) };
    let nets: Vec<IpNet> =
        nets.iter().filter(|net| net.addr().is_ipv4() == (family == Family::V4)).copied().collect();
    let nets = IpNet::aggregate(&nets);
    let (protocol, key) = match family {
        Family::V4 => ("ip", "ipv4_addr"),
        Family::V6 => ("ip6", "ipv6_addr"),
    };
    match nets.as_slice() {
        [] => None,
        [all] if all.prefix_len() == 0 => Some(format!("meta nfproto {key} ").replace("_addr", "")),
        [one] => Some(format!("{protocol} {field} {} ", address_text(one))),
        several => {
            let set = sets.name(key, join(several.iter().map(address_text)));
            Some(format!("{protocol} {field} @{set} "))
        }
    }
}

/// A single address without its length, as nft lists it.
fn address_text(net: &IpNet) -> String {
    let host: IpAddr = net.addr();
    if net.prefix_len() == net.max_prefix_len() { host.to_string() } else { net.to_string() }
}

/// Protocol and ports; `None` when nothing matches. See [`Ports`] for what ports mean for each protocol.
fn transport(rule: &Rule, sets: &mut Sets) -> Option<String> {
    let source = port_match(&rule.source_ports, "sport", sets)?;
    let destination = port_match(&rule.destination_ports, "dport", sets)?;
    let ports = format!("{source}{destination}");
    Some(match rule.protocol {
        Protocol::Any if ports.is_empty() => String::new(),
        Protocol::Any => format!("meta l4proto {{ {} }} {ports}", join(PORT_PROTOCOLS.iter())),
        Protocol::Tcp => format!("meta l4proto 6 {ports}"),
        Protocol::Udp => format!("meta l4proto 17 {ports}"),
        Protocol::Icmp => "meta l4proto { 1, 58 } ".to_owned(),
        Protocol::Esp => "meta l4proto 50 ".to_owned(),
        Protocol::Ah => "meta l4proto 51 ".to_owned(),
    })
}

fn port_match(ports: &Ports, field: &str, sets: &mut Sets) -> Option<String> {
    let Ports::Only(ranges) = ports else { return Some(String::new()) };
    match PortRange::merge(ranges).as_slice() {
        [] => None,
        [one] => Some(format!("th {field} {one} ")),
        several => {
            let set = sets.name("inet_service", join(several.iter()));
            Some(format!("th {field} @{set} "))
        }
    }
}

fn join<T: ToString>(items: impl Iterator<Item = T>) -> String {
    items.map(|i| i.to_string()).collect::<Vec<_>>().join(", ")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

/// The table's sets by their content, so that equal lists are one set.
#[derive(Default)]
struct Sets {
    names: BTreeMap<(&'static str, String), String>,
    text: String,
}

impl Sets {
    fn name(&mut self, key: &'static str, elements: String) -> String {
        let next = format!("set{}", self.names.len());
        let text = &mut self.text;
        self.names
            .entry((key, elements))
            .or_insert_with_key(|(key, elements)| {
                let _ = writeln!(
                    text,
                    "\tset {next} {{ type {key}; flags interval; elements = {{ {elements} }}; }}"
                );
                next
            })
            .clone()
    }
}
