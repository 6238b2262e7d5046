//! What a list of rules says about itself: rules that never decide, rules that could be left out, rules that lose packets
//! to earlier ones, and rules that contradict each other. Decided about all packets, not sampled, and each statement
//! comes with a packet for which [`crate::evaluate`] says the same.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::compile::action;
use crate::diagram::{
    Budget, DENY, Family, Manager, NO_RULE, NodeId, Product, Terminal, TooLarge, build, products, smallest,
};
use crate::policy::{Rule, RuleAction};
use crate::shown::{ShownBox, ShownPacket};

/// How much of everything is found.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Boxes of lost packets for each rule.
    pub boxes: usize,
    /// Other rules named for each rule.
    pub rules: usize,
    /// The size of the diagram.
    pub budget: Budget,
}

impl Default for Limits {
    fn default() -> Self {
        Self { boxes: 16, rules: 16, budget: Budget { edges: 1_000_000, work: 200_000_000 } }
    }
}

/// What is said of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleFinding {
    /// The rule's name.
    pub rule: String,
    /// Its priority.
    pub priority: u16,
    /// What it does.
    pub access: RuleAction,
    /// What became of it.
    pub state: RuleState,
    /// Rules that decide about packets of this one, in the order of the list. When the rule is redundant: rules that
    /// would decide alike without it.
    pub by: Vec<String>,
    /// A packet that this rule matches: one that it does not decide about where there is such a packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<ShownPacket>,
    /// Packets that it matches and others decide about; nothing when it decides about none.
    pub lost: Vec<ShownBox>,
    /// Whether that is all of them.
    pub lost_is_all: bool,
    /// Earlier rules that do the opposite with packets that this rule matches, too.
    pub conflicts: Vec<Conflict>,
}

/// What became of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RuleState {
    /// It decides about every packet that it matches, and nothing else would decide alike.
    Effective,
    /// Earlier rules decide about some of its packets.
    PartlyShadowed,
    /// Without it, every packet would be treated as it is. Taking several such rules out at once may change something.
    Redundant,
    /// Earlier rules decide about all of its packets.
    Shadowed,
    /// There is no packet that it matches.
    Empty,
}

/// Two rules that do the opposite with the same packets. The first in the list wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Conflict {
    /// The earlier rule.
    pub with: String,
    /// A packet that both match.
    pub witness: ShownPacket,
}

/// Analyses the rules of a stage, first match first.
///
/// # Errors
/// [`TooLarge`] when the rules do not fit into the limits' budget.
pub fn analyse(rules: &[Rule], limits: &Limits) -> Result<Vec<RuleFinding>, TooLarge> {
    analyse_below(&[], rules, limits)
}

/// The same of rules that stand below those of network managers: what these deny or always allow never comes to the rules.
///
/// # Errors
/// As [`analyse`].
pub fn analyse_below(above: &[Rule], rules: &[Rule], limits: &Limits) -> Result<Vec<RuleFinding>, TooLarge> {
    let of = |family| -> Vec<(Terminal, Product)> {
        products(rules, family).into_iter().map(|(at, product)| (Terminal::of(at), product)).collect()
    };
    let (mut manager, mut root) = smallest(of, NO_RULE, limits.budget)?;
    if !above.is_empty() {
        // What goes on to the rules, and after it the rules that let nothing go on.
        let goes_on = Terminal::of(rules.len());
        let terminal = |at: usize| match above[at].access {
            RuleAction::Allow => goes_on,
            RuleAction::AlwaysAllow | RuleAction::Deny => Terminal::of(rules.len() + 1 + at),
        };
        let of = |family| -> Vec<(Terminal, Product)> {
            products(above, family).into_iter().map(|(at, product)| (terminal(at), product)).collect()
        };
        let first = build(&mut manager, of, goes_on, limits.budget)?;
        root = manager.combine(first, root, &|first, then| match first.terminal() {
            Some(terminal) if terminal == goes_on => Some(then),
            Some(_) => Some(first),
            None => None,
        });
    }
    let mut own: Vec<Vec<(Family, Product)>> = vec![Vec::new(); rules.len()];
    for family in Family::ALL {
        for (at, product) in products(rules, family) {
            own[at].push((family, product));
        }
    }
    let mut analyser = Analyser { above, rules, own, manager, root, limits };
    (0..rules.len()).map(|at| analyser.rule(at)).collect()
}

struct Analyser<'a> {
    above: &'a [Rule],
    rules: &'a [Rule],
    /// What each rule matches.
    own: Vec<Vec<(Family, Product)>>,
    manager: Manager,
    /// The diagram whose terminals are indexes of rules, and behind them of those above.
    root: NodeId,
    limits: &'a Limits,
}

impl Analyser<'_> {
    fn name(&self, terminal: Terminal) -> String {
        let at = terminal.index();
        let found = self.rules.get(at).or_else(|| self.above.get(at.checked_sub(self.rules.len() + 1)?));
        found.map(|rule| rule.name.clone()).unwrap_or_default()
    }

    fn rule(&mut self, at: usize) -> Result<RuleFinding, TooLarge> {
        let rule = &self.rules[at];
        let mut finding = RuleFinding {
            rule: rule.name.clone(),
            priority: rule.priority,
            access: rule.access,
            state: RuleState::Empty,
            by: Vec::new(),
            witness: None,
            lost: Vec::new(),
            lost_is_all: true,
            conflicts: self.conflicts(at),
        };
        let mut matched = NodeId::from(DENY);
        for (family, product) in &self.own[at] {
            let set = self.manager.set(*family, product);
            matched = self.manager.or(matched, set);
        }
        if matched == NodeId::from(DENY) {
            return Ok(finding);
        }
        let own = Terminal::of(at);
        let decided = self.manager.restrict(self.root, matched);
        let terminals = self.manager.terminals(decided);
        let others = terminals.iter().filter(|t| **t != own && **t != NO_RULE);
        finding.by = others.take(self.limits.rules).map(|t| self.name(*t)).collect();
        let is_lost = |terminal: Terminal| terminal != own && terminal != NO_RULE;
        finding.state = if !terminals.contains(&own) {
            RuleState::Shadowed
        } else if let Some(alike) = self.is_redundant(at, decided)? {
            finding.by = alike;
            RuleState::Redundant
        } else if terminals.iter().any(|t| is_lost(*t)) {
            RuleState::PartlyShadowed
        } else {
            RuleState::Effective
        };
        let seen = match finding.state {
            RuleState::Redundant | RuleState::Effective => self.manager.witness(decided, &|t| t == own),
            _ => self.manager.witness(decided, &is_lost),
        };
        finding.witness = seen.map(|point| (&point.packet()).into());
        if finding.state == RuleState::PartlyShadowed {
            let (boxes, all) = self.manager.boxes(decided, &is_lost, self.limits.boxes);
            finding.lost = boxes.iter().map(ShownBox::from).collect();
            finding.lost_is_all = all;
        }
        Ok(finding)
    }

    /// The rules that would decide about this one's packets if it were not there, if all of them decide alike.
    fn is_redundant(&mut self, at: usize, decided: NodeId) -> Result<Option<Vec<String>>, TooLarge> {
        let own = Terminal::of(at);
        let later: BTreeMap<Family, Vec<(Terminal, Product)>> = self.own[at]
            .iter()
            .map(|(family, product)| {
                let after =
                    (at + 1..self.rules.len()).flat_map(|k| self.own[k].iter().map(move |own| (k, own)));
                let common = after.filter(|(_, (other, _))| other == family);
                let common =
                    common.filter_map(|(k, (_, other))| Some((Terminal::of(k), product.and(other)?)));
                (*family, common.collect())
            })
            .collect();
        let of = |family| later.get(&family).cloned().unwrap_or_default();
        let next = build(&mut self.manager, of, NO_RULE, self.limits.budget)?;
        // Where this rule decides: who would be next.
        let next = self.manager.combine(decided, next, &|a, b| match a.terminal() {
            Some(terminal) if terminal == own => Some(b),
            // Not asked about; the rule's own number stands for that.
            Some(_) => Some(own.into()),
            None => None,
        });
        let heirs = self.manager.terminals(next);
        let heirs: Vec<Terminal> = heirs.into_iter().filter(|t| *t != own).collect();
        let alike = |t: &Terminal| {
            *t != NO_RULE && action(self.rules[t.index()].access) == action(self.rules[at].access)
        };
        Ok(heirs.iter().all(alike).then(|| {
            heirs.iter().take(self.limits.rules).map(|t| self.rules[t.index()].name.clone()).collect()
        }))
    }

    fn conflicts(&self, at: usize) -> Vec<Conflict> {
        let rule = &self.rules[at];
        let opposite = (0..at).filter(|k| self.rules[*k].access.access() != rule.access.access());
        let common = opposite.filter_map(|k| {
            let pairs = self.own[at].iter().flat_map(|own| self.own[k].iter().map(move |other| (own, other)));
            let mut both = pairs
                .filter(|((family, _), (other, _))| family == other)
                .filter_map(|((family, own), (_, other))| Some((*family, own.and(other)?)));
            let (family, product) = both.next()?;
            Some(Conflict {
                with: self.rules[k].name.clone(),
                witness: (&product.some(family).packet()).into(),
            })
        });
        common.take(self.limits.rules).collect()
    }
}
