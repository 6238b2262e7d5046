//! The table as nft lists it, read into the types of [`crate::ruleset`]. What they cannot say stays as [`Rule::Foreign`],
//! which equals nothing.
//!
//! The listing is text from another program. Whatever it says, reading it does not panic, and no name of it that could be
//! more than a name gets any further.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

use crate::diagram::{Family, Interval, IntervalSet, number};
use crate::existing::CUT_MASK;
use crate::policy::{Direction, InterfaceName};
use crate::ruleset::{
    Chain, ESTABLISHED, Hook, INVALID, Key, LOG_BURST, LOG_BYTES, LOG_GROUP, LOG_RATE, Name, ORIGINAL,
    RELATED, REPLY, Rule, TABLE, Verdict, When, block, mask,
};
use crate::swap::generation_of;

/// The listing cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the listing of the table cannot be read: {0}")]
pub struct ListingError(#[from] serde_json::Error);

/// The table as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    irregular: Option<String>,
    chains: BTreeMap<Name, Chain>,
    counters: BTreeSet<Name>,
    sets: Vec<(&'static str, Name)>,
}

impl Listing {
    /// Reads the output of `nft -j -s -n --terse list table inet sekisho`.
    ///
    /// # Errors
    /// When it is not what nft writes.
    pub fn parse(json: &str) -> Result<Self, ListingError> {
        let Root { nftables: Objects(listing) } = serde_json::from_str(json)?;
        Ok(listing)
    }

    /// Why the table cannot be changed piece by piece, if so: it holds something whose name or kind this crate never
    /// makes.
    pub fn irregular(&self) -> Option<&str> {
        self.irregular.as_deref()
    }

    /// The chains by name.
    pub fn chains(&self) -> &BTreeMap<Name, Chain> {
        &self.chains
    }

    /// The named counters.
    pub fn counters(&self) -> &BTreeSet<Name> {
        &self.counters
    }

    /// The named sets and maps, with the word that nft has for each.
    pub fn sets(&self) -> &[(&'static str, Name)] {
        &self.sets
    }

    /// The generation that the table says it is.
    pub fn generation(&self) -> Option<u64> {
        self.chains.keys().find_map(generation_of)
    }

    fn take(&mut self, kind: &str, object: &Value) {
        let name = object["name"].as_str().and_then(own_name);
        match (kind, name) {
            ("metainfo", _) => {}
            ("table", _) => {
                if object["name"] != TABLE || object.get("flags").is_some() {
                    self.refuse("the table has flags");
                }
            }
            ("counter", Some(name)) => drop(self.counters.insert(name)),
            ("set", Some(name)) => self.sets.push(("set", name)),
            ("map", Some(name)) => self.sets.push(("map", name)),
            ("chain", Some(name)) => {
                let hook = hook(object);
                match hook {
                    Ok(hook) => self.chain(name).hook = hook,
                    Err(()) => self.refuse("a chain's hook cannot be read"),
                }
            }
            ("rule", _) => match object["chain"].as_str().and_then(own_name) {
                Some(name) => {
                    let rule = rule(object).unwrap_or_else(|| Rule::Foreign(object["expr"].to_string()));
                    self.chain(name).rules.push(rule);
                }
                None => self.refuse("a chain has a strange name"),
            },
            (_, Some(_)) => self.refuse(&format!("there is a {kind}")),
            (_, None) => self.refuse(&format!("a {kind} has a strange name")),
        }
    }

    fn chain(&mut self, name: Name) -> &mut Chain {
        self.chains.entry(name.clone()).or_insert_with(|| Chain::new(name, Vec::new()))
    }

    fn refuse(&mut self, why: &str) {
        self.irregular.get_or_insert_with(|| why.to_owned());
    }
}

/// A name that is no word of nftables: names of this crate have a `_`, but for these, and words have none.
fn own_name(name: &str) -> Option<Name> {
    let known = ["inbound", "outbound", "unreadable"].contains(&name) || name.contains('_');
    Name::new(name).filter(|_| known)
}

#[derive(Deserialize)]
struct Root {
    nftables: Objects,
}

/// Read object by object, because thousands of chains as JSON values take tens of megabytes.
struct Objects(Listing);

impl<'de> Deserialize<'de> for Objects {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Objects;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of objects")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut objects: A) -> Result<Objects, A::Error> {
                let mut listing = Listing::default();
                while let Some(Object(of)) = objects.next_element()? {
                    match of {
                        Some((kind, object)) => listing.take(&kind, &object),
                        None => listing.refuse("an object has no kind"),
                    }
                }
                Ok(Objects(listing))
            }
        }
        deserializer.deserialize_seq(Each)
    }
}

/// A map of one entry: what it is, and the rest.
struct Object(Option<(String, Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = Object;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let first = map.next_entry()?;
                let mut more = false;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    more = true;
                }
                Ok(Object(first.filter(|_| !more)))
            }
        }
        deserializer.deserialize_map(One)
    }
}

fn hook(chain: &Value) -> Result<Option<Hook>, ()> {
    let text = |key: &str| chain[key].as_str().map(str::to_owned);
    match (text("type"), text("hook"), chain["prio"].as_i64(), text("policy")) {
        (None, None, None, None) if chain.get("dev").is_none() => Ok(None),
        (Some(kind), Some(hook), Some(priority), Some(policy)) if chain.get("dev").is_none() => {
            Ok(Some(Hook { kind, hook, priority, policy }))
        }
        _ => Err(()),
    }
}

/// The only entry of a JSON object.
fn entry(value: &Value) -> Option<(&str, &Value)> {
    let map: &Map<String, Value> = value.as_object()?;
    let mut entries = map.iter();
    let (key, value) = entries.next()?;
    entries.next().is_none().then_some((key.as_str(), value))
}

/// A rule, if it is one that this crate could make.
fn rule(object: &Value) -> Option<Rule> {
    let statements = object["expr"].as_array()?;
    if let [only] = statements.as_slice()
        && let Some(("vmap", map)) = entry(only)
    {
        if let Some((key, length)) = blocks(&map["key"]) {
            let (Key::Source(family) | Key::Destination(family)) = key else { return None };
            // What has more bits is met by no packet.
            let block = |value: &Value| block(family, length, scalar(key, value)?);
            return branches(&map["data"]["set"], block).map(|of| Rule::Blocks(key, length, of));
        }
        let (key, implied) = key(&map["key"])?;
        // A map that is asked about some packets only is not one of ours.
        if implied.is_some_and(|of| key.implies() != Some(of)) {
            return None;
        }
        return branches(&map["data"]["set"], |value| interval(key, value)).map(|of| Rule::Map(key, of));
    }
    if let [mark, accept] = statements.as_slice()
        && let Some((key, map)) = open(mark)
    {
        return (verdict(accept)? == Verdict::Accept).then_some(Rule::Open(key, map));
    }
    if let [limit, log] = statements.as_slice()
        && let (Some(("limit", limit)), Some(("log", log))) = (entry(limit), entry(log))
    {
        return (*limit == json!({"rate": LOG_RATE, "burst": LOG_BURST, "per": "second"})
            && *log == json!({"group": LOG_GROUP, "snaplen": LOG_BYTES}))
        .then_some(Rule::Log);
    }
    let (last, before) = statements.split_last()?;
    let mut when = When::always(verdict(last)?);
    for statement in before {
        // What stands behind a counter is not what it counts.
        if when.counter.is_some() {
            return None;
        }
        match entry(statement)? {
            ("counter", Value::String(name)) => when.counter = Some(Name::new(name.as_str())?),
            ("match", test) => add_match(&mut when, test)?,
            _ => return None,
        }
    }
    Some(Rule::When(when))
}

/// A key of addresses without their last bits, and how many bits are left.
fn blocks(value: &Value) -> Option<(Key, u8)> {
    let ("&", of) = entry(value)? else { return None };
    let [address, bits] = of.as_array()?.as_slice() else { return None };
    let (key, _) = key(address)?;
    let (Key::Source(family) | Key::Destination(family)) = key else { return None };
    let bits = scalar(key, bits)?;
    let length = u8::try_from(bits.count_ones()).ok()?;
    (mask(family, length).map(number) == Some(bits)).then_some((key, length))
}

/// Where the values of a map lead, in order.
fn branches(set: &Value, interval: impl Fn(&Value) -> Option<Interval>) -> Option<Vec<(Interval, Verdict)>> {
    let branch = |branch: &Value| -> Option<(Interval, Verdict)> {
        let [value, to] = branch.as_array()?.as_slice() else { return None };
        Some((interval(value)?, verdict(to)?))
    };
    let mut branches: Vec<(Interval, Verdict)> = set.as_array()?.iter().map(branch).collect::<Option<_>>()?;
    branches.sort_unstable();
    Some(branches)
}

/// The key and the map by which a connection is marked.
fn open(statement: &Value) -> Option<(Key, Name)> {
    let ("mangle", of) = entry(statement)? else { return None };
    let (("ct", ct), ("map", map)) = (entry(&of["key"])?, entry(&of["value"])?) else { return None };
    if ct["key"].as_str() != Some("mark") || ct.get("dir").is_some() {
        return None;
    }
    let (key, _) = key(&map["key"])?;
    Some((key, Name::new(map["data"].as_str()?.strip_prefix('@')?)?))
}

fn add_match(when: &mut When, test: &Value) -> Option<()> {
    let (left, right) = (&test["left"], &test["right"]);
    let operator = test["op"].as_str()?;
    if let Some(("meta", meta)) = entry(left)
        && let Some(direction) = match meta["key"].as_str() {
            Some("iifname") => Some(Direction::Inbound),
            Some("oifname") => Some(Direction::Outbound),
            _ => None,
        }
    {
        let name = InterfaceName::new(right.as_str()?).ok()?;
        if operator != "==" || when.interface.is_some() || !when.matches.is_empty() {
            return None;
        }
        when.interface = Some((direction, name));
        return Some(());
    }
    // nft compares both ports at once and, where several protocols have them, does not tell them apart again.
    if let Some(("payload", raw)) = entry(left)
        && (raw["base"].as_str(), raw["offset"].as_u64(), raw["len"].as_u64())
            == (Some("th"), Some(0), Some(32))
    {
        let both = u32::try_from(right.as_u64().filter(|_| operator == "==")?).ok()?;
        for (key, port) in [(Key::SourcePort, both >> 16), (Key::DestinationPort, both & 0xffff)] {
            if when.matches.insert(key, IntervalSet::of([port.into()])).is_some() {
                return None;
            }
        }
        return Some(());
    }
    // The highest bits of a mark, which some versions of nft take for a prefix.
    if let (Some(("ct", ct)), Some(("prefix", prefix))) = (entry(left), entry(right)) {
        let is_mark = ct["key"].as_str() == Some("mark") && ct.get("dir").is_none() && operator == "==";
        let length = prefix["len"]
            .as_u64()
            .filter(|len| is_mark && u32::try_from(*len) == Ok(CUT_MASK.leading_ones()));
        let mark = length.and_then(|_| prefix["addr"].as_u64())?;
        return when
            .matches
            .insert(Key::ConnectionMark, IntervalSet::of([mark.into()]))
            .is_none()
            .then_some(());
    }
    let (key, implied) = key(left)?;
    let values = match (key, operator) {
        (Key::ConnectionState, "in" | "==") => state(right)?,
        (Key::ConnectionState, _) => return None,
        (_, "==") => match entry(right) {
            Some(("set", list)) => {
                let list: Option<Vec<Interval>> = list.as_array()?.iter().map(|v| interval(key, v)).collect();
                IntervalSet::new(list?)
            }
            _ => IntervalSet::new([interval(key, right)?]),
        },
        (Key::Protocol | Key::SourcePort | Key::DestinationPort, "!=") => {
            let but = IntervalSet::of([scalar(key, right)?]);
            IntervalSet::new(but.gaps(Interval { first: 0, last: key.greatest()? }))
        }
        _ => return None,
    };
    for (key, values) in implied.into_iter().chain(key.implies()) {
        if when.matches.get(&key).is_some_and(|known| *known != values) {
            return None;
        }
        when.matches.insert(key, values);
    }
    match when.matches.get(&key) {
        Some(known) if *known != values => None,
        _ => {
            when.matches.insert(key, values);
            Some(())
        }
    }
}

/// A key, and what nft tells by the way it writes it.
fn key(value: &Value) -> Option<(Key, Option<(Key, IntervalSet)>)> {
    let (kind, of) = entry(value)?;
    if kind == "payload" {
        let protocol = |number: u128| Some((Key::Protocol, IntervalSet::of([number])));
        let (name, field) = (of["protocol"].as_str()?, of["field"].as_str()?);
        let implied = match name {
            "tcp" => protocol(6),
            "udp" => protocol(17),
            "sctp" => protocol(132),
            _ => None,
        };
        let key = match (name, field) {
            ("ip", "saddr") => Key::Source(Family::V4),
            ("ip6", "saddr") => Key::Source(Family::V6),
            ("ip", "daddr") => Key::Destination(Family::V4),
            ("ip6", "daddr") => Key::Destination(Family::V6),
            ("icmpv6", "type") => Key::Icmpv6Type,
            ("th" | "tcp" | "udp" | "sctp", "sport") => Key::SourcePort,
            ("th" | "tcp" | "udp" | "sctp", "dport") => Key::DestinationPort,
            _ => return None,
        };
        return Some((key, implied));
    }
    if kind == "&" {
        let [left, mask] = of.as_array()?.as_slice() else { return None };
        let ("ct", ct) = entry(left)? else { return None };
        let is_mark = ct["key"].as_str() == Some("mark") && ct.get("dir").is_none();
        let is_masked = mask.as_u64() == Some(CUT_MASK.into());
        return (is_mark && is_masked).then_some((Key::ConnectionMark, None));
    }
    let key = match (kind, of["key"].as_str()?) {
        ("meta", "nfproto") => Key::NetworkProtocol,
        ("meta", "l4proto") => Key::Protocol,
        ("ct", "state") if of.get("dir").is_none() => Key::ConnectionState,
        ("ct", "direction") if of.get("dir").is_none() => Key::ConnectionDirection,
        _ => return None,
    };
    Some((key, None))
}

/// The values of `ct state`: one, or a list, as numbers or words.
fn state(value: &Value) -> Option<IntervalSet> {
    let one = |value: &Value| match value {
        Value::Number(number) => number.as_u64().map(u128::from),
        Value::String(word) => match word.as_str() {
            "invalid" => Some(INVALID),
            "established" => Some(ESTABLISHED),
            "related" => Some(RELATED),
            _ => None,
        },
        _ => None,
    };
    let list = match entry(value) {
        Some(("|", list)) => list.as_array(),
        _ => value.as_array(),
    };
    let values: Option<Vec<u128>> = match list {
        Some(list) => list.iter().map(one).collect(),
        None => one(value).map(|v| vec![v]),
    };
    values.map(IntervalSet::of)
}

fn scalar(key: Key, value: &Value) -> Option<u128> {
    match key {
        Key::Source(family) | Key::Destination(family) => {
            let address: std::net::IpAddr = value.as_str()?.parse().ok()?;
            (Family::of(address) == family).then(|| number(address))
        }
        Key::ConnectionDirection => match value.as_str() {
            Some("original") => Some(ORIGINAL),
            Some("reply") => Some(REPLY),
            _ => value.as_u64().map(u128::from),
        },
        _ => value.as_u64().map(u128::from),
    }
}

fn interval(key: Key, value: &Value) -> Option<Interval> {
    let (first, last) = match entry(value) {
        None => (scalar(key, value)?, scalar(key, value)?),
        Some(("range", ends)) => {
            let [first, last] = ends.as_array()?.as_slice() else { return None };
            (scalar(key, first)?, scalar(key, last)?)
        }
        Some(("prefix", of)) => {
            let (Key::Source(family) | Key::Destination(family)) = key else { return None };
            let length = u8::try_from(of["len"].as_u64()?).ok()?;
            let net = ipnet::IpNet::new(family.address(scalar(key, &of["addr"])?), length).ok()?;
            (number(net.network()), number(net.broadcast()))
        }
        Some(_) => return None,
    };
    (first <= last).then_some(Interval { first, last })
}

fn verdict(value: &Value) -> Option<Verdict> {
    let target = |of: &Value| Name::new(of["target"].as_str()?);
    Some(match entry(value)? {
        ("accept", _) => Verdict::Accept,
        ("drop", _) => Verdict::Drop,
        ("return", _) => Verdict::Return,
        ("jump", of) => Verdict::Jump(target(of)?),
        ("goto", of) => Verdict::Goto(target(of)?),
        ("reject", of) if of["type"].as_str() == Some("tcp reset") => Verdict::Reset,
        _ => return None,
    })
}
