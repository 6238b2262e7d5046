//! What the kernel holds, proved to be what was meant.
//!
//! [`verify`] walks from the two chains that packets enter, compares the chains around the stages rule by rule, and
//! decodes the chains of a stage into the diagram manager that compiled it: there, equal diagrams are the same node. When
//! they are not, there is a packet that is treated otherwise than it should be, and it is named.
//!
//! A chain that leads back to itself is no endless way: a diagram tests each field once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::compile::{Compiled, CompiledStage, Decision, End, Ends, Fate};
use crate::diagram::{ALLOW, DENY, Family, Field, Interval, Manager, NO_RULE, NodeId, Terminal};
use crate::evaluate::Packet;
use crate::listing::Listing;
use crate::node;
use crate::ruleset::{Chain, DENIED, Hook, Key, Name, Rule, Verdict, When, denied};
use crate::swap::generation_of;

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
    if hooks(&expected) != hooks(listing.chains()) {
        return Err(differs("the table", "the chains that packets enter are not where they should be"));
    }
    for (name, chain) in expected.iter().filter(|(_, chain)| chain.hook.is_some()) {
        walk.compare(chain, name, &expected, &mut stages)?;
    }
    if compiled.logs() {
        let expected = denied();
        match listing.chains().get(&expected.name) {
            Some(chain) if chain.rules == expected.rules => drop(walk.seen.insert(expected.name)),
            Some(_) => return Err(differs(expected.name, "what is denied is told of in another way")),
            None => return Err(differs(expected.name, "the chain is missing")),
        }
    }
    for (name, chain) in listing.chains() {
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
        let Some(chain) = self.listing.chains().get(actual) else {
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
                let chain = self.listing.chains().get(entry);
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

const PASS: End = End { counter: None, fate: Fate::Pass };
const TOLD: End = End { counter: None, fate: Fate::Told };

/// Whether a fate is one of some.
type Is = fn(Fate) -> bool;
/// What a packet does and should do: of those that do too much, and of those that do too little.
type Words = [(&'static str, &'static str); 2];

/// Names a packet that two diagrams treat differently.
fn unlike(manager: &mut Manager, want: NodeId, have: NodeId, ends: &Ends) -> Difference {
    let passes = |fate| matches!(fate, Fate::Next | Fate::Pass);
    let fates: [(Is, Words); 2] = [
        (passes, [("passes", "dropped"), ("is dropped", "let through")]),
        (|fate| fate == Fate::Pass, [("passes", "judged further"), ("is judged further", "let through")]),
    ];
    for (is_meant, words) in fates {
        let is = |terminal| if is_meant(ends.get(terminal).fate) { ALLOW } else { DENY };
        let (want, have) = (manager.map(want, &is), manager.map(have, &is));
        let sets = [manager.without(have, want), manager.without(want, have)];
        for (set, (is, should)) in sets.into_iter().zip(words) {
            if let Some(point) = manager.witness(set, &|t| t == ALLOW) {
                let packet = point.packet();
                let what = format!("a packet {is} that should be {should}: {packet}");
                return Difference { place: String::new(), what, witness: Some(packet) };
            }
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
        terminals.entry(End::DROP).or_insert(NO_RULE);
        Self { listing, manager, known: HashMap::new(), ends, terminals, seen }
    }

    /// The diagram of a chain that tests only fields from a level on.
    fn chain(&mut self, name: &Name, level: usize, family: Option<Family>) -> Result<NodeId, String> {
        let listing = self.listing;
        let chain = listing.chains().get(name).ok_or_else(|| format!("the chain {name} is missing"))?;
        self.seen.insert(name.clone());
        let strange = || format!("the chain {name} holds other rules");
        match chain.rules.as_slice() {
            [Rule::When(end)] => {
                let met = match &end.verdict {
                    Verdict::Return => End::RETURN,
                    Verdict::Accept => PASS,
                    Verdict::Drop => End::DROP,
                    Verdict::Goto(to) if to.as_str() == DENIED => TOLD,
                    _ => return Err(strange()),
                };
                if end.interface.is_some() || !end.matches.is_empty() {
                    return Err(strange());
                }
                Ok(self.end(End { counter: end.counter.clone(), ..met }))
            }
            rules => {
                let (key, branches) = node::branches(rules).ok_or_else(strange)?;
                let field = field(key, family).ok_or_else(strange)?;
                let at = self.manager.level(field);
                if at < level {
                    return Err(strange());
                }
                if let Some(known) = self.known.get(&(name.clone(), family)) {
                    return Ok(*known);
                }
                let made = self.node(field, at, &branches, family)?;
                self.known.insert((name.clone(), family), made);
                Ok(made)
            }
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
            let mut roots = [self.end(End::DROP); 2];
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
        let gap = self.end(End::DROP);
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
            Verdict::Goto(to) if to.as_str() == DENIED => Ok(self.end(TOLD)),
            Verdict::Goto(chain) => self.chain(chain, level, family),
            Verdict::Return => Ok(self.end(End::RETURN)),
            Verdict::Accept => Ok(self.end(PASS)),
            Verdict::Drop => Ok(self.end(End::DROP)),
            Verdict::Jump(_) | Verdict::Reset => Err(format!("a branch leads to {verdict}")),
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
