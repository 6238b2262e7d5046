//! The part of nftables that this crate uses, as types: chains, rules, verdicts, and their text. What is compiled and
//! what is read back are both of these types, so that they can be compared. The only place that writes nftables syntax.
//!
//! Everything that becomes text is a number, an address, an [`InterfaceName`] or a [`Name`], none of which can hold
//! nftables syntax.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::diagram::{Family, Field, Interval, IntervalSet, number};
use crate::policy::{Direction, InterfaceName};

/// The table that belongs to this crate, of family `inet`.
pub const TABLE: &str = "sekisho";

/// The name of a chain, counter, set or map: a letter, then letters, digits and `_ . -`, at most 200.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Checks a name; `None` when nftables syntax could hide in it.
    pub fn new(name: impl Into<String>) -> Option<Self> {
        let name = name.into();
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        let good = name.len() <= 200
            && name.bytes().all(plain)
            && name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
        good.then_some(Self(name))
    }

    /// The name of parts that are known to be good: whatever is not becomes `_`.
    pub(crate) fn made(text: &fmt::Arguments<'_>) -> Self {
        let mut name = text.to_string();
        name.retain(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
        name.truncate(200);
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            name.insert(0, 'x');
        }
        Self(name)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// `meta nfproto`: 2 for IPv4, 10 for IPv6.
    NetworkProtocol,
    /// `meta l4proto`.
    Protocol,
    /// `ct state`: [`INVALID`], [`ESTABLISHED`], [`RELATED`].
    ConnectionState,
    /// `ct direction`: [`ORIGINAL`], [`REPLY`].
    ConnectionDirection,
    /// `ct mark` in the bits of [`CUT_MASK`](crate::existing::CUT_MASK).
    ConnectionMark,
    /// `icmpv6 type`, which is about ICMPv6 only.
    Icmpv6Type,
    /// `ip saddr`, `ip6 saddr`, which is about packets of the family only.
    Source(Family),
    /// As the source.
    Destination(Family),
    /// `th sport`.
    SourcePort,
    /// `th dport`.
    DestinationPort,
}

/// Bits of [`Key::ConnectionState`].
pub const INVALID: u128 = 1;
/// See [`INVALID`].
pub const ESTABLISHED: u128 = 2;
/// See [`INVALID`].
pub const RELATED: u128 = 4;

/// A packet of whoever began the connection: a value of [`Key::ConnectionDirection`].
pub const ORIGINAL: u128 = 0;
/// A packet that answers.
pub const REPLY: u128 = 1;

/// The value of [`Key::NetworkProtocol`].
pub(crate) fn network_protocol(family: Family) -> u128 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

impl Key {
    /// What is true of every packet that has this key at all: nft tests it beforehand and does not list it.
    pub(crate) fn implies(self) -> Option<(Key, IntervalSet)> {
        match self {
            Key::Source(family) | Key::Destination(family) => {
                Some((Key::NetworkProtocol, IntervalSet::of([network_protocol(family)])))
            }
            Key::Icmpv6Type => Some((Key::Protocol, IntervalSet::of([58]))),
            _ => None,
        }
    }

    /// The greatest value of a number in a header.
    pub(crate) fn greatest(self) -> Option<u128> {
        Some(match self {
            Key::Protocol => Field::Protocol.max(Family::V4),
            Key::Source(family) | Key::Destination(family) => Field::Source.max(family),
            Key::SourcePort | Key::DestinationPort => Field::SourcePort.max(Family::V4),
            _ => return None,
        })
    }

    /// The only value of a protocol or port that is not in a set: the kernel compares with one value at less cost than with
    /// the ends of an interval.
    fn all_but(self, values: &IntervalSet) -> Option<u128> {
        let greatest = self.greatest().filter(|_| !matches!(self, Key::Source(_) | Key::Destination(_)))?;
        match values.gaps(Interval { first: 0, last: greatest }).as_slice() {
            [Interval { first, last }] if first == last => Some(*first),
            _ => None,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Key::NetworkProtocol => "meta nfproto",
            Key::Protocol => "meta l4proto",
            Key::ConnectionState => "ct state",
            Key::ConnectionDirection => "ct direction",
            Key::ConnectionMark => "ct mark & 0xff000000 ==",
            Key::Icmpv6Type => "icmpv6 type",
            Key::Source(Family::V4) => "ip saddr",
            Key::Source(Family::V6) => "ip6 saddr",
            Key::Destination(Family::V4) => "ip daddr",
            Key::Destination(Family::V6) => "ip6 daddr",
            Key::SourcePort => "th sport",
            Key::DestinationPort => "th dport",
        }
    }

    fn write_interval(self, out: &mut String, interval: Interval) {
        let mut value = |value: u128| match self {
            Key::Source(family) | Key::Destination(family) => {
                let _ = write!(out, "{}", family.address(value));
            }
            _ => {
                let _ = write!(out, "{value}");
            }
        };
        value(interval.first);
        if interval.first < interval.last {
            out.push('-');
            self.write_interval(out, Interval { first: interval.last, last: interval.last });
        }
    }
}

/// What happens to a packet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It passes this table.
    Accept,
    /// It is lost.
    Drop,
    /// The rule after the last jump goes on.
    Return,
    /// Another chain judges it, and if it does not, the next rule.
    Jump(Name),
    /// Another chain judges it, and if it does not, the rule after the last jump.
    Goto(Name),
    /// It is lost, and whoever sent it is told by a TCP reset.
    Reset,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Accept => f.write_str("accept"),
            Verdict::Drop => f.write_str("drop"),
            Verdict::Return => f.write_str("return"),
            Verdict::Jump(chain) => write!(f, "jump {chain}"),
            Verdict::Goto(chain) => write!(f, "goto {chain}"),
            Verdict::Reset => f.write_str("reject with tcp reset"),
        }
    }
}

/// A rule of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Conditions that must all hold, a counter, and a verdict.
    When(When),
    /// A verdict for each interval of values. A packet without the key, or with a value that no interval holds, goes on
    /// to the next rule.
    Map(Key, Vec<(Interval, Verdict)>),
    /// A verdict for each of some blocks of addresses, all of this prefix length, each an interval: looked for at once, where
    /// intervals of a map are searched. A packet in no block goes on to the next rule.
    Blocks(Key, u8, Vec<(Interval, Verdict)>),
    /// A packet whose key is in a named map passes, and its connection takes the mark that the map has for it.
    Open(Key, Name),
    /// A packet is told of to whoever listens to [`LOG_GROUP`], up to a rate, and goes on to the next rule.
    Log,
    /// Something that is not of this crate, as nft lists it.
    Foreign(String),
}

/// The chain that what is denied goes to where that is logged. It lasts longer than a generation.
pub const DENIED: &str = "denied_log";
/// The group of `NFLOG` by which the kernel tells of denied packets.
pub const LOG_GROUP: u16 = 18_537;
/// Packets a second that the kernel tells of. What exceeds it is only counted, by the rules.
pub const LOG_RATE: u64 = 5_000;
/// Packets that it tells of at once.
pub const LOG_BURST: u64 = 5_000;
/// Bytes of a packet that are told: the headers that rules ask for.
pub const LOG_BYTES: u64 = 96;

/// The chain [`DENIED`].
pub(crate) fn denied() -> Chain {
    let name = Name::made(&format_args!("{DENIED}"));
    Chain::new(name, vec![Rule::Log, Rule::When(When::always(Verdict::Drop))])
}

/// See [`Rule::When`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    /// The interface through which the packet came or goes.
    pub interface: Option<(Direction, InterfaceName)>,
    /// Values that a key must have one of, with what a key implies.
    pub matches: BTreeMap<Key, IntervalSet>,
    /// The named counter.
    pub counter: Option<Name>,
    /// What happens then.
    pub verdict: Verdict,
}

impl When {
    /// A verdict for every packet.
    pub fn always(verdict: Verdict) -> Self {
        Self { interface: None, matches: BTreeMap::new(), counter: None, verdict }
    }

    /// Only when a key has one of these values.
    #[must_use]
    pub fn and(mut self, key: Key, values: IntervalSet) -> Self {
        if let Some((implied, of)) = key.implies() {
            self.matches.entry(implied).or_insert(of);
        }
        self.matches.insert(key, values);
        self
    }

    /// The only key that is asked for, and its values; `None` where that is not all that the rule does.
    pub(crate) fn only(&self) -> Option<(Key, &IntervalSet)> {
        let implied = |key: Key| self.matches.keys().any(|k| k.implies().is_some_and(|(i, _)| i == key));
        let mut keys = self.matches.iter().filter(|(key, _)| !implied(**key));
        let (key, values) = keys.next()?;
        let alone =
            When { verdict: self.verdict.clone(), ..When::always(Verdict::Drop).and(*key, values.clone()) };
        (keys.next().is_none() && *self == alone).then_some((*key, values))
    }

    /// Counted.
    #[must_use]
    pub fn counted(mut self, counter: Name) -> Self {
        self.counter = Some(counter);
        self
    }
}

/// Where a chain is entered by packets themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// `filter`.
    pub kind: String,
    /// `prerouting` or `postrouting`.
    pub hook: String,
    /// Among the chains of the hook; lower comes first.
    pub priority: i64,
    /// What happens at the end of the chain.
    pub policy: String,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: Name,
    /// Where it is entered; `None` when only other chains lead to it.
    pub hook: Option<Hook>,
    /// Its rules in order.
    pub rules: Vec<Rule>,
}

impl Chain {
    /// A chain that others lead to.
    pub fn new(name: Name, rules: Vec<Rule>) -> Self {
        Self { name, hook: None, rules }
    }

    /// How many sets without name its rules need.
    pub(crate) fn sets(&self) -> usize {
        let is_set = |(key, values): &(&Key, &IntervalSet)| {
            values.intervals().len() > 1 && key.all_but(values).is_none()
        };
        let several = |when: &When| when.matches.iter().filter(is_set).count();
        let of = |rule: &Rule| match rule {
            Rule::When(when) => several(when),
            Rule::Map(..) | Rule::Blocks(..) => 1,
            Rule::Open(..) | Rule::Log | Rule::Foreign(_) => 0,
        };
        self.rules.iter().map(of).sum()
    }

    /// Appends the chain, as a block inside of its table.
    pub(crate) fn write(&self, out: &mut String) {
        let _ = writeln!(out, "\tchain {} {{", self.name);
        if let Some(Hook { kind, hook, priority, policy }) = &self.hook {
            let _ = writeln!(out, "\t\ttype {kind} hook {hook} priority {priority}; policy {policy};");
        }
        for rule in &self.rules {
            out.push_str("\t\t");
            match rule {
                Rule::When(when) => write_when(out, when),
                Rule::Map(key, branches) => write_map(out, *key, branches),
                Rule::Blocks(key, length, branches) => write_blocks(out, *key, *length, branches),
                Rule::Open(key, map) => {
                    let _ = write!(out, "ct mark set {} map @{map} accept", key.text());
                }
                Rule::Log => {
                    let _ = write!(
                        out,
                        "limit rate {LOG_RATE}/second burst {LOG_BURST} packets log group {LOG_GROUP} snaplen {LOG_BYTES}"
                    );
                }
                // Nothing that this crate makes; a chain that holds it is never written.
                Rule::Foreign(_) => out.push_str("drop"),
            }
            out.push('\n');
        }
        out.push_str("\t}\n");
    }
}

fn write_map(out: &mut String, key: Key, branches: &[(Interval, Verdict)]) {
    let _ = write!(out, "{} vmap {{ ", key.text());
    for (at, (interval, verdict)) in branches.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        key.write_interval(out, *interval);
        let _ = write!(out, " : {verdict}");
    }
    out.push_str(" }");
}

/// The block of a prefix length that begins with an address; `None` where none can.
pub(crate) fn block(family: Family, length: u8, first: u128) -> Option<Interval> {
    let net = IpNet::new(family.address(first), length).ok()?;
    (number(net.network()) == first).then(|| Interval { first, last: number(net.broadcast()) })
}

/// The mask of a prefix length, as an address; `None` where addresses have fewer bits.
pub(crate) fn mask(family: Family, length: u8) -> Option<IpAddr> {
    IpNet::new(family.address(0), length).ok().map(|net| net.netmask())
}

fn write_blocks(out: &mut String, key: Key, length: u8, branches: &[(Interval, Verdict)]) {
    let (Key::Source(family) | Key::Destination(family)) = key else { return };
    let Some(mask) = mask(family, length) else { return };
    let _ = write!(out, "{} & {mask} vmap {{ ", key.text());
    for (at, (interval, verdict)) in branches.iter().enumerate() {
        let comma = if at > 0 { ", " } else { "" };
        let _ = write!(out, "{comma}{} : {verdict}", family.address(interval.first));
    }
    out.push_str(" }");
}

fn write_when(out: &mut String, when: &When) {
    if let Some((direction, interface)) = &when.interface {
        let key = if *direction == Direction::Inbound { "iifname" } else { "oifname" };
        let _ = write!(out, "{key} \"{interface}\" ");
    }
    let implied = |key: Key| when.matches.keys().any(|k| k.implies().is_some_and(|(i, _)| i == key));
    for (key, values) in when.matches.iter().filter(|(key, _)| !implied(**key)) {
        out.push_str(key.text());
        out.push(' ');
        match (key, key.all_but(values), values.intervals()) {
            // Bits of a mask, which nft writes with a comma.
            (Key::ConnectionState, _, _) => {
                let names: Vec<&str> =
                    [(ESTABLISHED, "established"), (RELATED, "related"), (INVALID, "invalid")]
                        .into_iter()
                        .filter(|(bit, _)| values.contains(*bit))
                        .map(|(_, name)| name)
                        .collect();
                out.push_str(&names.join(","));
            }
            (_, Some(but), _) => {
                let _ = write!(out, "!= {but}");
            }
            (_, None, [one]) => key.write_interval(out, *one),
            (_, None, several) => {
                out.push_str("{ ");
                for (at, interval) in several.iter().enumerate() {
                    if at > 0 {
                        out.push_str(", ");
                    }
                    key.write_interval(out, *interval);
                }
                out.push_str(" }");
            }
        }
        out.push(' ');
    }
    if let Some(counter) = &when.counter {
        let _ = write!(out, "counter name \"{counter}\" ");
    }
    let _ = write!(out, "{}", when.verdict);
}
