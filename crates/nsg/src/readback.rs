//! What the kernel holds, read back and proved to be what was meant.
//!
//! [`Listing`] is nft's JSON as the types of [`crate::ruleset`]; what they cannot say stays as [`Rule::Foreign`], which
//! equals nothing. [`verify`] walks from the two chains that packets enter, compares the chains around the stages rule
//! by rule, and decodes the chains of a stage into the diagram manager that compiled it: there, equal diagrams are the
//! same node. When they are not, there is a packet that is treated otherwise than it should be, and it is named.
//!
//! The listing is text from another program. Whatever it says, reading it does not panic, and a chain that leads back to
//! itself is no endless way: a diagram tests each field once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::compile::{Compiled, CompiledStage, Decision, End, Ends};
use crate::diagram::{ALLOW, DENY, Family, Field, Interval, IntervalSet, Manager, NO_RULE, NodeId, Terminal};
use crate::evaluate::Packet;
use crate::policy::{Direction, InterfaceName};
use crate::ruleset::{
    Chain, ESTABLISHED, Hook, INVALID, Key, Name, ORIGINAL, RELATED, REPLY, Rule, TABLE, Verdict, When,
};
use crate::swap::generation_of;

/// The listing cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the listing of the table cannot be read: {0}")]
pub struct ReadbackError(#[from] serde_json::Error);

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
    pub fn parse(json: &str) -> Result<Self, ReadbackError> {
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
        let name = object["name"].as_str().and_then(Name::new);
        match (kind, name) {
            ("metainfo", _) => {}
            ("table", Some(name)) => {
                if name.as_str() != TABLE || object.get("flags").is_some() {
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
            ("rule", _) => match object["chain"].as_str().and_then(Name::new) {
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
        let (key, implied) = key(&map["key"])?;
        // A map that is asked about some packets only is not one of ours.
        if implied.is_some_and(|of| key.implies() != Some(of)) {
            return None;
        }
        let mut branches = Vec::new();
        for branch in map["data"]["set"].as_array()? {
            let [value, to] = branch.as_array()?.as_slice() else { return None };
            branches.push((interval(key, value)?, verdict(to)?));
        }
        branches.sort_unstable();
        return Some(Rule::Map(key, branches));
    }
    if let [mark, accept] = statements.as_slice()
        && let Some((key, map)) = open(mark)
    {
        return (verdict(accept)? == Verdict::Accept).then_some(Rule::Open(key, map));
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
            (Family::of(address) == family).then(|| crate::diagram::number(address))
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
            (crate::diagram::number(net.network()), crate::diagram::number(net.broadcast()))
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

/// How the kernel's rules differ from what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Difference {
    /// Where: a chain, or a stage with its NSG.
    pub place: String,
    /// What is wrong there.
    pub what: String,
    /// A packet that is treated otherwise than it should be, where one stage alone tells.
    pub witness: Option<Packet>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

fn differs(place: impl ToString, what: impl ToString) -> Difference {
    Difference { place: place.to_string(), what: what.to_string(), witness: None }
}

/// Whether the table holds the policy and nothing else, whichever generation it says it is of.
///
/// # Errors
/// The first difference.
pub fn verify(compiled: &mut Compiled, listing: &Listing) -> Result<(), Difference> {
    if let Some(why) = listing.irregular() {
        return Err(differs("the table", why));
    }
    let expected: BTreeMap<Name, Chain> =
        compiled.frame("").into_iter().map(|chain| (chain.name.clone(), chain)).collect();
    let mut stages: BTreeMap<Name, &mut CompiledStage> = BTreeMap::new();
    for direction in &mut compiled.directions {
        let names: Vec<String> = (0..direction.stages.len()).map(|at| direction.stage_name("", at)).collect();
        for (name, stage) in names.iter().zip(&mut direction.stages) {
            stages.insert(stage.root(name), stage);
        }
    }
    let mut walk = Walk { listing, seen: BTreeSet::new(), compared: BTreeSet::new() };
    let hooks = |chains: &BTreeMap<Name, Chain>| -> Vec<(Name, Option<Hook>)> {
        chains.values().filter(|c| c.hook.is_some()).map(|c| (c.name.clone(), c.hook.clone())).collect()
    };
    if hooks(&expected) != hooks(&listing.chains) {
        return Err(differs("the table", "the chains that packets enter are not where they should be"));
    }
    for (name, chain) in expected.iter().filter(|(_, chain)| chain.hook.is_some()) {
        walk.compare(chain, name, &expected, &mut stages)?;
    }
    for (name, chain) in &listing.chains {
        let marker = generation_of(name).is_some() && chain.rules.is_empty();
        if !walk.seen.contains(name) && !marker {
            return Err(differs(name, "nothing should be here"));
        }
    }
    Ok(())
}

struct Walk<'a> {
    listing: &'a Listing,
    /// Chains that packets can reach.
    seen: BTreeSet<Name>,
    /// Which chain was compared with which: the same chain may be wrong in one place and right in another.
    compared: BTreeSet<(Name, Name)>,
}

impl Walk<'_> {
    /// Compares a chain around the stages, and everything it leads to.
    fn compare(
        &mut self,
        expected: &Chain,
        actual: &Name,
        frame: &BTreeMap<Name, Chain>,
        stages: &mut BTreeMap<Name, &mut CompiledStage>,
    ) -> Result<(), Difference> {
        let Some(chain) = self.listing.chains.get(actual) else {
            return Err(differs(actual, "the chain is missing"));
        };
        self.seen.insert(actual.clone());
        if !self.compared.insert((expected.name.clone(), actual.clone())) {
            return Ok(());
        }
        if expected.rules.len() != chain.rules.len() {
            return Err(differs(
                actual,
                format!("there are {} rules instead of {}", chain.rules.len(), expected.rules.len()),
            ));
        }
        for (want, have) in expected.rules.iter().zip(&chain.rules) {
            let (Rule::When(want), Rule::When(have)) = (want, have) else {
                if matches!(want, Rule::Open(..)) && want == have {
                    continue;
                }
                return Err(differs(actual, "a rule is another one"));
            };
            match (&want.verdict, &have.verdict) {
                (Verdict::Jump(want), Verdict::Jump(have)) => {
                    if let Some(stage) = stages.get_mut(want) {
                        self.compare_stage(stage, have)?;
                    } else if let Some(next) = frame.get(want) {
                        self.compare(next, have, frame, stages)?;
                    }
                }
                (want, have) if want != have => return Err(differs(actual, "a rule has another verdict")),
                _ => {}
            }
            if *want != (When { verdict: want.verdict.clone(), ..have.clone() }) {
                return Err(differs(actual, "a rule is another one"));
            }
        }
        Ok(())
    }

    fn compare_stage(&mut self, stage: &mut CompiledStage, entry: &Name) -> Result<(), Difference> {
        let place =
            format!("{} of {} {}", stage.shown.nsg, stage.shown.interface, stage.shown.direction.as_str());
        match &mut stage.decision {
            Decision::Linear(rules) => {
                let chain = self.listing.chains.get(entry);
                self.seen.insert(entry.clone());
                let Some(chain) = chain else { return Err(differs(place, "the chain is missing")) };
                let other = rules.iter().zip(&chain.rules).position(|(want, have)| want != have);
                match other {
                    Some(at) => Err(differs(place, format!("line {} is another one", at + 1))),
                    None if rules.len() != chain.rules.len() => {
                        Err(differs(place, "there are more or fewer lines"))
                    }
                    None => Ok(()),
                }
            }
            Decision::Diagram { manager, root, ends } => {
                let mut decoder = Decoder::new(self.listing, manager, ends, &mut self.seen);
                let decoded = decoder.chain(entry, 0, None);
                let ends = decoder.ends;
                match decoded {
                    Ok(found) if found == *root => Ok(()),
                    Ok(found) => Err(Difference { place, ..unlike(manager, *root, found, &ends) }),
                    Err(what) => Err(differs(place, what)),
                }
            }
        }
    }
}

/// Names a packet that two diagrams treat differently.
fn unlike(manager: &mut Manager, want: NodeId, have: NodeId, ends: &Ends) -> Difference {
    let allows = |terminal| if ends.get(terminal).allow { ALLOW } else { DENY };
    let (want, have) = (manager.map(want, &allows), manager.map(have, &allows));
    let (more, less) = (manager.without(have, want), manager.without(want, have));
    for (set, is, should) in [(more, "passes", "dropped"), (less, "is dropped", "let through")] {
        if let Some(point) = manager.witness(set, &|t| t == ALLOW) {
            let packet = point.packet();
            let what = format!("a packet {is} that should be {should}: {packet}");
            return Difference { place: String::new(), what, witness: Some(packet) };
        }
    }
    differs("", "rules are counted wrongly")
}

/// From chains to a diagram.
struct Decoder<'a> {
    listing: &'a Listing,
    manager: &'a mut Manager,
    known: HashMap<(Name, Option<Family>), NodeId>,
    /// The stage's ends, and those that were met and are not the stage's.
    ends: Ends,
    terminals: BTreeMap<End, Terminal>,
    seen: &'a mut BTreeSet<Name>,
}

impl<'a> Decoder<'a> {
    fn new(
        listing: &'a Listing,
        manager: &'a mut Manager,
        ends: &Ends,
        seen: &'a mut BTreeSet<Name>,
    ) -> Self {
        let ends = Ends(ends.0.clone());
        let mut terminals: BTreeMap<End, Terminal> = BTreeMap::new();
        for (terminal, end) in &ends.0 {
            terminals.entry(end.clone()).or_insert(*terminal);
        }
        terminals.entry(End { counter: None, allow: false }).or_insert(NO_RULE);
        Self { listing, manager, known: HashMap::new(), ends, terminals, seen }
    }

    /// The diagram of a chain that tests only fields from a level on.
    fn chain(&mut self, name: &Name, level: usize, family: Option<Family>) -> Result<NodeId, String> {
        let listing = self.listing;
        let chain = listing.chains.get(name).ok_or_else(|| format!("the chain {name} is missing"))?;
        self.seen.insert(name.clone());
        let strange = || format!("the chain {name} holds other rules");
        match chain.rules.as_slice() {
            [Rule::When(end)] => {
                let allow = match end.verdict {
                    Verdict::Return => true,
                    Verdict::Drop => false,
                    _ => return Err(strange()),
                };
                if end.interface.is_some() || !end.matches.is_empty() {
                    return Err(strange());
                }
                Ok(self.end(End { counter: end.counter.clone(), allow }))
            }
            [Rule::Map(key, branches), Rule::When(rest)] if *rest == When::always(Verdict::Drop) => {
                let field = field(*key, family).ok_or_else(strange)?;
                let at = self.manager.level(field);
                if at < level {
                    return Err(strange());
                }
                if let Some(known) = self.known.get(&(name.clone(), family)) {
                    return Ok(*known);
                }
                let made = self.node(field, at, branches, family)?;
                self.known.insert((name.clone(), family), made);
                Ok(made)
            }
            _ => Err(strange()),
        }
    }

    fn node(
        &mut self,
        field: Field,
        level: usize,
        branches: &[(Interval, Verdict)],
        family: Option<Family>,
    ) -> Result<NodeId, String> {
        if field == Field::Family {
            let mut roots = [self.end(End { counter: None, allow: false }); 2];
            for (root, family) in roots.iter_mut().zip(Family::ALL) {
                let at = crate::ruleset::network_protocol(family);
                let to = branches.iter().find(|(i, _)| i.first <= at && at <= i.last);
                if let Some((_, to)) = to {
                    *root = self.verdict(to, level + 1, Some(family))?;
                }
            }
            return Ok(self.manager.by_family(roots[0], roots[1]));
        }
        let max = field.max(family.unwrap_or(Family::V4));
        let mut edges = Vec::with_capacity(branches.len());
        let mut next = Some(0);
        // What no interval holds is dropped by the rule that follows.
        let gap = self.end(End { counter: None, allow: false });
        for (interval, to) in branches {
            match next {
                Some(next) if next <= interval.first && interval.last <= max => {
                    if next < interval.first {
                        edges.push((interval.first - 1, gap));
                    }
                }
                _ => return Err("intervals overlap".to_owned()),
            }
            edges.push((interval.last, self.verdict(to, level + 1, family)?));
            next = interval.last.checked_add(1);
        }
        if next.is_some_and(|next| next <= max) {
            edges.push((max, gap));
        }
        Ok(self.manager.make_from(field, edges))
    }

    fn verdict(&mut self, verdict: &Verdict, level: usize, family: Option<Family>) -> Result<NodeId, String> {
        match verdict {
            Verdict::Goto(chain) => self.chain(chain, level, family),
            Verdict::Return => Ok(self.end(End { counter: None, allow: true })),
            Verdict::Drop => Ok(self.end(End { counter: None, allow: false })),
            Verdict::Accept | Verdict::Jump(_) | Verdict::Reset => {
                Err(format!("a branch leads to {verdict}"))
            }
        }
    }

    /// The terminal of an end; a new one of an end that the stage does not have.
    fn end(&mut self, end: End) -> NodeId {
        if let Some(known) = self.terminals.get(&end) {
            return (*known).into();
        }
        let fresh = Terminal::of(self.ends.0.last_key_value().map_or(0, |(t, _)| t.index() + 1));
        self.ends.0.insert(fresh, end.clone());
        self.terminals.insert(end, fresh);
        fresh.into()
    }
}

fn field(key: Key, family: Option<Family>) -> Option<Field> {
    Some(match key {
        Key::NetworkProtocol if family.is_none() => Field::Family,
        Key::Protocol => Field::Protocol,
        Key::Source(of) if family == Some(of) => Field::Source,
        Key::Destination(of) if family == Some(of) => Field::Destination,
        Key::SourcePort => Field::SourcePort,
        Key::DestinationPort => Field::DestinationPort,
        _ => return None,
    })
}
