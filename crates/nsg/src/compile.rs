//! From a policy to chains of nftables. Pure.
//!
//! # Where packets are judged
//! Azure filters at the NIC, before and after anything the machine itself does. So inbound traffic is judged in
//! `prerouting` before destination NAT, and outbound traffic in `postrouting` after source NAT. In `input` and
//! `output`, where host firewalls usually sit, a container port that Docker publishes would pass unseen: Docker
//! rewrites the destination first and the packet is then forwarded, never input.
//!
//! # Shape
//! ```text
//! inbound (prerouting, -150)  iifname "eth0" jump g7_n0_in
//! g7_n0_in                    established -> accept; jump g7_alive_in; invalid -> drop; unreadable ports -> drop;
//!                             jump g7_n0_in_s0_12; jump g7_n0_in_s1_3
//! g7_n0_in_s0_12              one node of the stage's diagram: th dport vmap { 0-21 : goto ..., 22 : goto ... }; drop
//! g7_n0_in_s0_13              one with few values: ip saddr 192.0.2.7 goto ...; goto ... (see `node`)
//! g7_n0_in_s0_r3              the third rule has decided: counter; allow = return to g7_n0_in, deny = drop,
//!                             always allow = accept
//! ```
//! Every chain but the two that packets enter carries a prefix, so that two generations exist side by side while one
//! transaction changes over ([`crate::swap`]). Reaching the end of `g7_n0_in` is to be allowed by every stage. A
//! packet meets at most one node for each header field, whatever the number of rules, and a node that cannot read its
//! field drops.
//!
//! # How large a stage may be
//! A stage whose diagram is small has the rules themselves at its ends, each with its counter. One that is too large
//! for that has only allow and deny at its ends, which takes fewer nodes, and its rules are not counted. One that is
//! too large even so is asked rule by rule, counted, at a cost that grows with the number of rules. [`StageForm`] tells
//! which it is.

use std::collections::{BTreeMap, BTreeSet};

use ring::digest::{Context, SHA256};
use serde::Serialize;

use crate::diagram::{
    self, ALLOW, ALWAYS, Budget, DENY, Family, Field, Interval, IntervalSet, Manager, NO_RULE, NodeId,
    Product, Terminal,
};
use crate::frame::word;
use crate::guard::{self, Guard};
use crate::node;
use crate::platform::PlatformService;
use crate::policy::{Association, Direction, NicPolicy, NsgPart, Rule as SecurityRule, RuleAction, Stage};
use crate::ruleset::{Chain, Key, Name, Rule, Verdict, When, denied, network_protocol};

/// A diagram whose ends are rules goes into the kernel up to this size. A group of Azure's greatest size, 1,000 rules,
/// stays below in most cases; 60,000 edges load in about two seconds.
const RULE_BUDGET: Budget = Budget { edges: 60_000, work: 30_000_000 };
/// A diagram whose ends are allow and deny goes into the kernel up to this size.
const ACTION_BUDGET: Budget = Budget { edges: 200_000, work: 60_000_000 };

/// How a stage is held by the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Form {
    /// A decision diagram that ends in rules: constant cost for each packet, every rule counted.
    Rules,
    /// A decision diagram that ends in allow and deny: constant cost for each packet, rules are not counted.
    Actions,
    /// Rule by rule: the cost for each packet grows with the number of rules.
    Linear,
}

/// How one stage was compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StageForm {
    /// The interface.
    pub interface: String,
    /// The direction.
    pub direction: Direction,
    /// The id of the NSG.
    pub nsg: String,
    /// How the kernel holds it.
    pub form: Form,
    /// Rules of the stage.
    pub rules: usize,
    /// Edges of the diagram; 0 when there is none.
    pub edges: usize,
}

/// The decision of one stage.
#[derive(Debug)]
pub(crate) struct CompiledStage {
    pub(crate) shown: StageForm,
    pub(crate) decision: Decision,
}

#[derive(Debug)]
pub(crate) enum Decision {
    /// A diagram, its root, and what its terminals are.
    Diagram { manager: Manager, root: NodeId, ends: Ends },
    /// The rules of the stage's only chain.
    Linear(Vec<Rule>),
}

/// How a stage ends for a packet, counted or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct End {
    pub(crate) counter: Option<Name>,
    pub(crate) fate: Fate,
}

/// What becomes of a packet at the end of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Fate {
    /// The next stage is asked.
    Next,
    /// It passes.
    Pass,
    /// It is lost.
    Lost,
    /// It is lost, and told of.
    Told,
}

impl Fate {
    fn of(action: RuleAction, logged: bool) -> Fate {
        match action {
            RuleAction::Allow => Fate::Next,
            RuleAction::AlwaysAllow => Fate::Pass,
            RuleAction::Deny if logged => Fate::Told,
            RuleAction::Deny => Fate::Lost,
        }
    }
}

impl End {
    /// Dropped, not counted and not told of.
    pub(crate) const DROP: End = End { counter: None, fate: Fate::Lost };
    /// Allowed and not counted.
    pub(crate) const RETURN: End = End { counter: None, fate: Fate::Next };

    pub(crate) fn verdict(&self) -> Verdict {
        match self.fate {
            Fate::Next => Verdict::Return,
            Fate::Pass => Verdict::Accept,
            Fate::Told => Verdict::Goto(denied().name),
            Fate::Lost => Verdict::Drop,
        }
    }
}

/// What the terminals of a stage's diagram are. A terminal that is not listed drops.
#[derive(Debug, Default)]
pub(crate) struct Ends(pub(crate) BTreeMap<Terminal, End>);

impl Ends {
    pub(crate) fn get(&self, terminal: Terminal) -> End {
        self.0.get(&terminal).cloned().unwrap_or(End::DROP)
    }
}

#[derive(Debug)]
pub(crate) struct CompiledDirection {
    pub(crate) interface: crate::policy::InterfaceName,
    pub(crate) nic: usize,
    pub(crate) direction: Direction,
    pub(crate) guards: Vec<Guard>,
    /// Whether flows may have been told to end.
    pub(crate) ends_flows: bool,
    pub(crate) logged: bool,
    /// What of the platform is reached.
    pub(crate) platform: BTreeSet<PlatformService>,
    pub(crate) stages: Vec<CompiledStage>,
}

/// A policy as the kernel shall hold it.
#[derive(Debug)]
pub struct Compiled {
    /// The generation that the table will say it is of.
    pub generation: u64,
    pub(crate) directions: Vec<CompiledDirection>,
}

/// Compiles a policy.
pub fn compile(part: &NsgPart, generation: u64) -> Compiled {
    compile_within(part, generation, RULE_BUDGET, ACTION_BUDGET)
}

/// The same with other limits of size.
pub fn compile_within(part: &NsgPart, generation: u64, rules: Budget, actions: Budget) -> Compiled {
    let mut directions = Vec::new();
    for direction in [Direction::Inbound, Direction::Outbound] {
        for (nic, policy) in part.nics.iter().enumerate() {
            let stages: Vec<CompiledStage> = policy
                .stages(direction)
                .iter()
                .map(|stage| compile_stage(policy, direction, stage, rules, actions))
                .collect();
            if !stages.is_empty() || !policy.guarded.is_empty() {
                directions.push(CompiledDirection {
                    interface: policy.interface.clone(),
                    nic,
                    direction,
                    guards: policy.guarded.clone(),
                    ends_flows: !policy.existing_flows.is_keep(),
                    logged: policy.logged,
                    platform: match direction {
                        Direction::Inbound => BTreeSet::new(),
                        Direction::Outbound => policy.platform.clone(),
                    },
                    stages,
                });
            }
        }
    }
    Compiled { generation, directions }
}

impl Compiled {
    /// How each stage is held, and how large it is.
    pub fn forms(&self) -> Vec<StageForm> {
        self.directions.iter().flat_map(|d| &d.stages).map(|s| s.shown.clone()).collect()
    }

    /// The named counters.
    pub(crate) fn counters(&self) -> BTreeSet<Name> {
        let mut counters: BTreeSet<Name> =
            self.frame("").iter().flat_map(|c| &c.rules).filter_map(counter).collect();
        for stage in self.directions.iter().flat_map(|d| &d.stages) {
            match &stage.decision {
                Decision::Diagram { ends, .. } => {
                    counters.extend(ends.0.values().filter_map(|e| e.counter.clone()))
                }
                Decision::Linear(rules) => counters.extend(rules.iter().filter_map(counter)),
            }
        }
        counters
    }

    /// The maps of what is open, which last longer than a generation.
    pub(crate) fn maps(&self) -> BTreeSet<guard::Map> {
        self.directions.iter().flat_map(|d| guard::maps_of(&d.guards)).collect()
    }

    /// Whether anything that is denied is told of.
    pub(crate) fn logs(&self) -> bool {
        self.directions.iter().any(|d| d.logged && !d.stages.is_empty())
    }

    /// The chains of all stages, each after those it leads to.
    pub(crate) fn stage_chains(&self, prefix: &str) -> Vec<Chain> {
        let mut chains = Vec::new();
        for direction in &self.directions {
            for (at, stage) in direction.stages.iter().enumerate() {
                stage.chains(&direction.stage_name(prefix, at), &mut chains);
            }
        }
        chains
    }
}

fn counter(rule: &Rule) -> Option<Name> {
    match rule {
        Rule::When(when) => when.counter.clone(),
        _ => None,
    }
}

fn compile_stage(
    nic: &NicPolicy,
    direction: Direction,
    stage: &Stage,
    rules: Budget,
    actions: Budget,
) -> CompiledStage {
    let mut ends: BTreeMap<Terminal, End> = (0..)
        .map(Terminal::new)
        .zip(&stage.rules)
        .map(|(terminal, rule)| {
            let counter = Some(counter_name(nic, direction, stage, rule));
            (terminal, End { counter, fate: Fate::of(stage.action(Some(rule)), nic.logged) })
        })
        .collect();
    // Rules that end alike are one end: a counter is read back by its name.
    let mut first: BTreeMap<&End, Terminal> = BTreeMap::new();
    let same: Vec<Terminal> = ends.iter().map(|(at, end)| *first.entry(end).or_insert(*at)).collect();
    let by_rule = |family| terminals(stage, family, |at| same[at]);
    let by_action = |family| terminals(stage, family, |at| action(stage.action(Some(&stage.rules[at]))));
    // What no rule matches is denied by a group that does not only count.
    let goes_on = stage.action(None) == RuleAction::Allow;
    let none = if goes_on { Terminal::of(stage.rules.len()) } else { NO_RULE };
    if goes_on {
        ends.insert(none, End::RETURN);
    }
    let (form, decision) = if let Ok((manager, root)) = diagram::smallest(by_rule, none, rules) {
        (Form::Rules, Decision::Diagram { manager, root, ends: Ends(ends) })
    } else if let Ok((manager, root)) = diagram::smallest(by_action, action(stage.action(None)), actions) {
        let end = |action| End { counter: None, fate: Fate::of(action, nic.logged) };
        let all = [RuleAction::Allow, RuleAction::AlwaysAllow, RuleAction::Deny];
        let ends = all.map(|each| (action(each), end(each)));
        (Form::Actions, Decision::Diagram { manager, root, ends: Ends(ends.into()) })
    } else {
        (Form::Linear, Decision::Linear(linear(&stage.rules, none, &Ends(ends))))
    };
    let edges = match &decision {
        Decision::Diagram { manager, .. } => manager.edges(),
        Decision::Linear(_) => 0,
    };
    let shown = StageForm {
        interface: nic.interface.to_string(),
        direction,
        nsg: stage.nsg.clone(),
        form,
        rules: stage.rules.len(),
        edges,
    };
    CompiledStage { shown, decision }
}

fn terminals(stage: &Stage, family: Family, of: impl Fn(usize) -> Terminal) -> Vec<(Terminal, Product)> {
    diagram::products(&stage.rules, family).into_iter().map(|(at, product)| (of(at), product)).collect()
}

/// The terminal of an action.
pub(crate) fn action(action: RuleAction) -> Terminal {
    match action {
        RuleAction::Allow => ALLOW,
        RuleAction::AlwaysAllow => ALWAYS,
        RuleAction::Deny => DENY,
    }
}

/// One rule for each security rule and family, or one for both where they are the same.
fn linear(rules: &[SecurityRule], none: Terminal, ends: &Ends) -> Vec<Rule> {
    let mut lines = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        let end = ends.get(Terminal::of(at));
        let mut made: Vec<When> = Vec::new();
        for family in Family::ALL {
            let Some(product) = diagram::product(rule, family) else { continue };
            let mut line = end_rule(&end);
            let of_family = |values: &IntervalSet| !values.is_up_to(Field::Source.max(family));
            let (source, destination) = (product.values(Field::Source), product.values(Field::Destination));
            if of_family(source) || of_family(destination) || !is_for_both(rule) {
                line = line.and(Key::NetworkProtocol, IntervalSet::of([network_protocol(family)]));
            }
            for (field, key) in [
                (Field::Protocol, Key::Protocol),
                (Field::Source, Key::Source(family)),
                (Field::Destination, Key::Destination(family)),
                (Field::SourcePort, Key::SourcePort),
                (Field::DestinationPort, Key::DestinationPort),
            ] {
                if !product.values(field).is_up_to(field.max(family)) {
                    line = line.and(key, product.values(field).clone());
                }
            }
            if !made.contains(&line) {
                made.push(line);
            }
        }
        lines.extend(made);
    }
    lines.push(end_rule(&ends.get(none)));
    lines.into_iter().map(Rule::When).collect()
}

/// Whether a rule says nothing about addresses.
fn is_for_both(rule: &SecurityRule) -> bool {
    use crate::policy::Addresses;
    rule.source == Addresses::Any && rule.destination == Addresses::Any
}

fn end_rule(end: &End) -> When {
    When { counter: end.counter.clone(), ..When::always(end.verdict()) }
}

impl CompiledStage {
    /// The chain that packets enter.
    pub(crate) fn root(&self, stage: &str) -> Name {
        match &self.decision {
            Decision::Diagram { root, .. } => chain_name(stage, *root),
            Decision::Linear(_) => Name::made(&format_args!("{stage}")),
        }
    }

    fn chains(&self, stage: &str, chains: &mut Vec<Chain>) {
        let (manager, root, ends) = match &self.decision {
            Decision::Linear(rules) => {
                return chains.push(Chain::new(Name::made(&format_args!("{stage}")), rules.clone()));
            }
            Decision::Diagram { manager, root, ends } => (manager, *root, ends),
        };
        let mut seen = BTreeSet::new();
        let mut waiting = vec![root];
        while let Some(id) = waiting.pop() {
            if seen.insert(id) {
                waiting.extend(manager.children(id));
            }
        }
        // Terminals have the greatest ids, and a node's children are older than it.
        let (nodes, terminals): (Vec<NodeId>, Vec<NodeId>) =
            seen.into_iter().partition(|id| id.terminal().is_none());
        for id in terminals {
            let Some(terminal) = id.terminal() else { continue };
            let end = ends.get(terminal);
            if end.counter.is_some() || id == root {
                chains.push(Chain::new(chain_name(stage, id), vec![Rule::When(end_rule(&end))]));
            }
        }
        for id in nodes {
            let to = |id: NodeId| match id.terminal().map(|t| ends.get(t)) {
                Some(end) if end.counter.is_none() => end.verdict(),
                _ => Verdict::Goto(chain_name(stage, id)),
            };
            chains.extend(node_chains(manager, id, chain_name(stage, id), &to));
        }
    }
}

/// The chain of one node. Every value has a branch; what cannot be read has none, and is dropped.
fn node_chains(manager: &Manager, id: NodeId, name: Name, to: &impl Fn(NodeId) -> Verdict) -> Option<Chain> {
    let (field, edges) = manager.branches(id)?;
    let verdicts = |branches: Vec<(Interval, NodeId)>| -> Vec<(Interval, Verdict)> {
        branches.into_iter().map(|(i, id)| (i, to(id))).collect()
    };
    let node = |key, branches| node::rules(key, verdicts(branches));
    // An address tells its family by its greatest value, because a node has a branch for every value.
    let family = match edges.last() {
        Some((Interval { last: u128::MAX, .. }, _)) => Family::V6,
        _ => Family::V4,
    };
    let rules = match field {
        Field::Family => {
            let of = |family: Family| {
                let at = network_protocol(family);
                let found = edges.iter().find(|(i, _)| (i.first..=i.last).contains(&family.value()));
                found.map(|(_, to)| (Interval { first: at, last: at }, *to))
            };
            node::each(Key::NetworkProtocol, verdicts(Family::ALL.into_iter().filter_map(of).collect()))
        }
        Field::Protocol => node(Key::Protocol, edges),
        Field::Source => node(Key::Source(family), edges),
        Field::Destination => node(Key::Destination(family), edges),
        Field::SourcePort => node(Key::SourcePort, edges),
        Field::DestinationPort => node(Key::DestinationPort, edges),
    };
    Some(Chain::new(name, rules))
}

fn chain_name(stage: &str, id: NodeId) -> Name {
    match id.terminal() {
        None => Name::made(&format_args!("{stage}_{}", id.index())),
        Some(NO_RULE) => Name::made(&format_args!("{stage}_none")),
        Some(terminal) => Name::made(&format_args!("{stage}_r{}", terminal.number())),
    }
}

/// The name of the counter of one rule. It says what the rule is and nothing of where it stands, so that its count goes
/// on when another generation is loaded.
pub fn counter_name(nic: &NicPolicy, direction: Direction, stage: &Stage, rule: &SecurityRule) -> Name {
    let (kind, place) = match &stage.association {
        Association::Subnet(id) => ("subnet", id),
        Association::Nic(id) => ("nic", id),
        Association::Manager(id) => ("manager", id),
    };
    let mut context = Context::new(&SHA256);
    // Names in ARM differ by more than their case.
    // What would have been denied is not what was.
    let mode = if stage.audit { "audit" } else { "" };
    for part in [nic.interface.as_str(), word(direction), kind, place, &stage.nsg, &rule.name, mode] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.to_ascii_lowercase().as_bytes());
    }
    let digest: String = context.finish().as_ref()[..16].iter().map(|b| format!("{b:02x}")).collect();
    let harmless = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    // For people who read the table; what could be confused with syntax is left out.
    let shown =
        if rule.name.len() <= 80 && rule.name.bytes().all(harmless) { rule.name.as_str() } else { "" };
    Name::made(&format_args!("hits_{}_{}_{digest}_{shown}", nic.interface, word(direction)))
}
