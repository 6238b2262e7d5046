//! From an ordered list of rules to a diagram: the first rule that matches is the terminal.
//!
//! The list is split by the values of one field after the other. What is left of it for an interval is a shorter list,
//! and equal lists become equal diagrams, so that they are built once. A list is brought into a simple form first:
//! rules that an earlier one makes unreachable on the fields that are left are dropped, what comes after a rule for
//! everything is cut off, and so are rules at the end that decide as that one does.

use std::collections::HashMap;

use super::field::{Family, Field, Interval, IntervalSet};
use super::manager::{Edge, Manager, NodeId, Order, Terminal};
use super::product::Product;

/// Orders that are worth trying. None is best: which is small depends on the policy, up to a factor of nine
/// (`acl2` of ClassBench: 230,025 edges by the first, 28,299 by the fourth).
pub const ORDERS: [Order; 6] = {
    use Field::{Destination as D, DestinationPort as Y, Protocol as P, Source as S, SourcePort as X};
    [[P, Y, D, S, X], [P, D, Y, S, X], [P, S, D, Y, X], [D, S, P, Y, X], [S, D, P, Y, X], [P, Y, S, D, X]]
};

/// How large a diagram may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Edges of all nodes together.
    pub edges: usize,
    /// Rules looked at in all lists together: what bounds the time, at about 20 ns each.
    pub work: usize,
}

/// The diagram is larger than its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the diagram has more than {} edges or takes more than {} steps", .0.edges, .0.work)]
pub struct TooLarge(pub Budget);

/// Builds the diagram of both families in the order of a manager: `rules` gives each family's products with their
/// terminals, first match first, and `default` is the terminal of what none matches.
///
/// # Errors
/// [`TooLarge`].
pub fn build(
    manager: &mut Manager,
    rules: impl Fn(Family) -> Vec<(Terminal, Product)>,
    default: Terminal,
    budget: Budget,
) -> Result<NodeId, TooLarge> {
    let before = manager.edges();
    let mut work = budget.work;
    let mut roots = [NodeId::from(default); 2];
    for (root, family) in roots.iter_mut().zip(Family::ALL) {
        let mut list = rules(family);
        list.push((default, Product::everything(family)));
        let mut builder = Builder::new(manager, family, &list, budget, before, work);
        *root = builder.run()?;
        work = builder.work;
    }
    Ok(manager.by_family(roots[0], roots[1]))
}

/// Builds in all [`ORDERS`] and keeps the smallest.
///
/// # Errors
/// [`TooLarge`] when none fits into the budget.
pub fn smallest(
    rules: impl Fn(Family) -> Vec<(Terminal, Product)>,
    default: Terminal,
    budget: Budget,
) -> Result<(Manager, NodeId), TooLarge> {
    let mut best: Option<(Manager, NodeId)> = None;
    for order in ORDERS {
        let edges = best.as_ref().map_or(budget.edges, |(m, _)| m.edges().saturating_sub(1));
        let mut manager = Manager::new(order);
        if let Ok(root) = build(&mut manager, &rules, default, Budget { edges, ..budget }) {
            best = Some((manager, root));
        }
    }
    best.ok_or(TooLarge(budget))
}

struct Builder<'a> {
    manager: &'a mut Manager,
    family: Family,
    rules: &'a [(Terminal, Product)],
    /// For each level and rule, the first rule that is the same on the fields from there on.
    same: Vec<Vec<u32>>,
    /// For each field of the order and rule, whether the rule takes every value.
    full: Vec<Vec<bool>>,
    known: HashMap<(usize, Box<[u32]>), NodeId>,
    budget: Budget,
    before: usize,
    work: usize,
}

impl<'a> Builder<'a> {
    fn new(
        manager: &'a mut Manager,
        family: Family,
        rules: &'a [(Terminal, Product)],
        budget: Budget,
        before: usize,
        work: usize,
    ) -> Self {
        let order = *manager.order();
        let full = order.map(|f| rules.iter().map(|(_, p)| p.values(f).is_up_to(f.max(family))).collect());
        let mut same = vec![Vec::new(); order.len() + 1];
        for (level, list) in same.iter_mut().enumerate() {
            let mut first: HashMap<(Terminal, Vec<&IntervalSet>), u32> = HashMap::new();
            for (at, (terminal, product)) in (0..).zip(rules) {
                let rest = order[level..].iter().map(|f| product.values(*f)).collect();
                list.push(*first.entry((*terminal, rest)).or_insert(at));
            }
        }
        let known = HashMap::new();
        Self { manager, family, rules, same, full: full.into(), known, budget, before, work }
    }

    fn run(&mut self) -> Result<NodeId, TooLarge> {
        let all: Vec<u32> = (0..).take(self.rules.len()).collect();
        self.split(0, &all)
    }

    fn terminal(&self, rule: u32) -> Terminal {
        self.rules[rule as usize].0
    }

    fn is_full(&self, level: usize, rule: u32) -> bool {
        self.full[level..].iter().all(|field| field[rule as usize])
    }

    /// Whether a packet of `b` is one of `a`, as far as the fields from a level on go.
    fn covers(&self, level: usize, a: u32, b: u32) -> bool {
        let (left, right) = (&self.rules[a as usize].1, &self.rules[b as usize].1);
        let order = self.manager.order();
        (level..order.len()).all(|at| {
            self.full[at][a as usize]
                || (!self.full[at][b as usize] && left.values(order[at]).is_superset(right.values(order[at])))
        })
    }

    /// The list in its simple form. It ends in a rule for everything.
    fn simplify(&self, level: usize, list: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let mut kept: Vec<u32> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for rule in list {
            let rule = self.same[level][rule as usize];
            if !seen.insert(rule) {
                continue;
            }
            if self.is_full(level, rule) {
                kept.push(rule);
                break;
            }
            if !kept.iter().any(|earlier| self.covers(level, *earlier, rule)) {
                kept.push(rule);
            }
        }
        if let Some(last) = kept.pop() {
            while kept.last().is_some_and(|before| self.terminal(*before) == self.terminal(last)) {
                kept.pop();
            }
            // Whichever rule for everything it is: lists that end in the same terminal are the same list.
            kept.push(last);
        }
        kept
    }

    fn split(&mut self, level: usize, list: &[u32]) -> Result<NodeId, TooLarge> {
        let spent = self
            .work
            .checked_sub(list.len())
            .filter(|_| self.manager.edges() - self.before <= self.budget.edges);
        self.work = spent.ok_or(TooLarge(self.budget))?;
        let list = self.simplify(level, list.iter().copied());
        if let [only] = list.as_slice() {
            return Ok(self.terminal(*only).into());
        }
        let key = (level, list.into_boxed_slice());
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let node = self.sweep(level, &key.1)?;
        self.known.insert(key, node);
        Ok(node)
    }

    /// Goes through the values of a field from one end of an interval to the next.
    fn sweep(&mut self, level: usize, list: &[u32]) -> Result<NodeId, TooLarge> {
        let field = self.manager.order()[level];
        let max = field.max(self.family);
        // The value at which a rule of the list begins or ceases to match.
        let mut events: Vec<(u128, usize)> = Vec::new();
        let mut active = vec![0u64; list.len().div_ceil(64)];
        for (at, rule) in list.iter().enumerate() {
            if self.full[level][*rule as usize] {
                active[at / 64] |= 1 << (at % 64);
                continue;
            }
            for Interval { first, last } in self.rules[*rule as usize].1.values(field).intervals() {
                events.push((*first, at));
                events.extend(last.checked_add(1).filter(|end| *end <= max).map(|end| (end, at)));
            }
        }
        if events.is_empty() {
            return self.split(level + 1, list);
        }
        events.sort_unstable();
        let mut known: HashMap<Box<[u64]>, NodeId> = HashMap::new();
        let mut edges: Vec<Edge> = Vec::new();
        let mut next = events.iter().copied().peekable();
        let mut start = 0;
        loop {
            while let Some((_, at)) = next.next_if(|(value, _)| *value == start) {
                active[at / 64] ^= 1 << (at % 64);
            }
            let end = next.peek().map(|(value, _)| *value);
            let to = match known.get(active.as_slice()) {
                Some(to) => *to,
                None => {
                    let rest: Vec<u32> = list
                        .iter()
                        .enumerate()
                        .filter(|(at, _)| active[at / 64] >> (at % 64) & 1 == 1)
                        .map(|(_, rule)| *rule)
                        .collect();
                    let to = self.split(level + 1, &rest)?;
                    known.insert(active.clone().into_boxed_slice(), to);
                    to
                }
            };
            edges.push(Edge { last: end.map_or(max, |e| e - 1), to });
            match end {
                Some(end) => start = end,
                None => break,
            }
        }
        Ok(self.manager.make(field, edges))
    }
}
