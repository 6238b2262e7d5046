//! What a NIC lets through in one direction, as one set of packets: those that every stage allows, and those that keep
//! the NIC alive. Neighbour discovery, which passes whatever the rules say, is left out: it is known by the type of an
//! ICMPv6 message, which is no field of a diagram.

use crate::diagram::{
    ALLOW, Budget, DENY, Family, Manager, NodeId, ORDERS, Product, Terminal, TooLarge, build, products,
    unasked,
};
use crate::policy::{Direction, NicPolicy, RuleAction, Stage};

/// A budget for questions that a person waits for: a second or two.
pub const BUDGET: Budget = Budget { edges: 1_000_000, work: 200_000_000 };

/// The packets that a NIC lets through, in the order of fields of a manager.
///
/// # Errors
/// [`TooLarge`].
pub fn allowed(
    manager: &mut Manager,
    policy: &NicPolicy,
    direction: Direction,
    budget: Budget,
) -> Result<NodeId, TooLarge> {
    let mut all = NodeId::from(ALLOW);
    // From the last: what a stage lets go on is what those behind it let through.
    for stage in policy.stages(direction).iter().rev() {
        if !stage.audit {
            let goes_on = matched(manager, stage, &|action| action != RuleAction::Deny, budget)?;
            all = manager.and(goes_on, all);
        }
        if stage.rules.iter().any(|rule| rule.access == RuleAction::AlwaysAllow) {
            let always = matched(manager, stage, &|action| action == RuleAction::AlwaysAllow, budget)?;
            all = manager.or(all, always);
        }
    }
    for family in Family::ALL {
        for product in unasked(&policy.platform, direction, family) {
            let alive = manager.set(family, &product);
            all = manager.or(all, alive);
        }
    }
    Ok(all)
}

/// The packets with which a stage does one of some things.
pub(crate) fn matched(
    manager: &mut Manager,
    stage: &Stage,
    wanted: &dyn Fn(RuleAction) -> bool,
    budget: Budget,
) -> Result<NodeId, TooLarge> {
    let is = |action| if wanted(action) { ALLOW } else { DENY };
    let of = |family| -> Vec<(Terminal, Product)> {
        let products = products(&stage.rules, family);
        products.into_iter().map(|(at, product)| (is(stage.rules[at].access), product)).collect()
    };
    build(manager, of, is(stage.otherwise()), budget)
}

/// Does work in the order of fields in which it takes the fewest edges.
///
/// # Errors
/// [`TooLarge`] when no order fits.
pub(crate) fn in_best_order<T>(
    budget: Budget,
    mut work: impl FnMut(&mut Manager, Budget) -> Result<T, TooLarge>,
) -> Result<(Manager, T), TooLarge> {
    let mut best: Option<(Manager, T)> = None;
    for order in ORDERS {
        let edges = best.as_ref().map_or(budget.edges, |(m, _)| m.edges().saturating_sub(1));
        let mut manager = Manager::new(order);
        if let Ok(done) = work(&mut manager, Budget { edges, ..budget })
            && manager.edges() <= edges
        {
            best = Some((manager, done));
        }
    }
    best.ok_or(TooLarge(budget))
}

/// Does work in the first order of fields in which it fits: quicker than the best one, for what is not shown.
///
/// # Errors
/// [`TooLarge`] when no order fits.
pub(crate) fn in_first_order<T>(
    budget: Budget,
    work: impl Fn(&mut Manager, Budget) -> Result<T, TooLarge>,
) -> Result<(Manager, T), TooLarge> {
    for order in ORDERS {
        let mut manager = Manager::new(order);
        if let Ok(done) = work(&mut manager, budget)
            && manager.edges() <= budget.edges
        {
            return Ok((manager, done));
        }
    }
    Err(TooLarge(budget))
}
