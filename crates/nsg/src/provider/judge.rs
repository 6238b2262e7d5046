//! A write held against the state before it, in its transaction: whether it breaks an invariant, and which packets pass
//! after it that did not.
//!
//! What machines report of themselves does not pass here: it is not refused, and shows as broken invariants.

use std::collections::HashMap;
use std::fmt;

use schemars::JsonSchema;
use sekisho_arm::{ArmError, Listing, Read, Scope, TypeName};
use serde::Serialize;

use super::invariants;
use super::standing::{Interface, Kept, Standing, invariants_of, same_rules};
use crate::diagram::Budget;
use crate::difference::{PolicyDifference, difference};
use crate::invariant::{CounterExample, Statement, newly_broken};
use crate::policy::{Access, Direction, NicPolicy};
use crate::resources::Enforcement;

/// Boxes of packets that break an invariant.
const EXAMPLES: usize = 6;
/// For one invariant: about a second. Everybody who writes waits for it.
pub(super) const INVARIANT_BUDGET: Budget = Budget { edges: 300_000, work: 80_000_000 };
/// For one difference: everybody who writes waits for it, and only the log is poorer without.
const DIFFERENCE_BUDGET: Budget = Budget { edges: 30_000, work: 1_500_000 };
/// Different differences that the log keeps of a write.
const DIFFERENCES: usize = 4;
/// What the log keeps of a write, in bytes of JSON.
const MOST: usize = 8 << 10;

/// The type of groups, which say nothing of machines that they are not attached to.
const GROUPS: &str = "microsoft.network/networksecuritygroups";
/// The types, with their children, that decide what machines let through. An application security group is none: who its
/// members are stands in their interfaces, and it cannot go while it is named.
const FILTER: [&str; 7] = [
    GROUPS,
    "microsoft.network/networkinterfaces",
    "microsoft.network/virtualnetworks",
    "sekisho.network/servicetags",
    "sekisho.network/invariants",
    EVERYWHERE[0],
    EVERYWHERE[1],
];

/// What decides what machines of more than its own subscription let through.
const EVERYWHERE: [&str; 2] = ["sekisho.network/servicetagsets", "microsoft.network/networkmanagers"];

/// The state before a write.
pub struct Judge {
    target: Scope,
    subscriptions: Vec<Judged>,
}

/// The same in one subscription.
struct Judged {
    around: Scope,
    /// The group that alone can change anything.
    behind: Option<Scope>,
    before: Standing,
}

/// Why a write is not made.
#[derive(Debug)]
pub enum Refused {
    /// It breaks invariants.
    Broken(Vec<Violation>),
    /// The database or a stored resource.
    Error(ArmError),
}

impl From<ArmError> for Refused {
    fn from(error: ArmError) -> Self {
        Self::Error(error)
    }
}

/// An invariant that is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "InvariantViolation")]
pub struct Violation {
    /// The invariant's id.
    pub invariant: String,
    /// The interfaces of the packet of the example.
    pub interfaces: Vec<String>,
    /// What breaks it; nothing when the rules are too many to say, which is no yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counter_example: Option<CounterExample>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let invariant = &self.invariant;
        let Some(CounterExample { packet, decided_by, .. }) = &self.counter_example else {
            return write!(f, "It is not known that the invariant {invariant} would still hold.");
        };
        write!(f, "The invariant {invariant} would not hold: {packet}")?;
        for decider in decided_by {
            let deed = if decider.access == Access::Allow { "let through" } else { "kept" };
            let way = if decider.direction == Direction::Inbound { "in" } else { "out" };
            match (&decider.rule, &decider.network_security_group) {
                (Some(rule), Some(group)) => {
                    let group = group.rsplit('/').next().unwrap_or_default();
                    write!(f, ", {deed} on the way {way} by the rule {rule} of {group}")?;
                }
                (_, Some(group)) => write!(f, ", {deed} on the way {way}, where no rule of {group} matches")?,
                (_, None) => write!(f, ", {deed} on the way {way}, where no group filters")?,
            }
        }
        f.write_str(".")
    }
}

/// What the log keeps of a write.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyChange {
    /// What becomes of packets.
    pub traffic: Vec<TrafficChange>,
    /// Whether these are all.
    pub is_all: bool,
    /// Invariants that are only reported and that the write breaks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub broken_invariants: Vec<String>,
}

/// What becomes of packets at interfaces where the same changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficChange {
    /// How many interfaces.
    pub interfaces: usize,
    /// The direction of the flows.
    pub direction: Direction,
    /// What passes and did not, and the other way round; nothing when the rules are too many to say.
    pub difference: Option<PolicyDifference>,
}

/// Whether a write of something can change what machines let through, or which machines an invariant is about.
fn concerns(target: &Scope) -> bool {
    let own = matches!(target, Scope::ResourceGroup { .. });
    own || is_of_the_filter(target)
        || matches!(
            target.type_name().key().as_str(),
            "microsoft.compute/virtualmachines" | "sekisho.fleet/machines"
        )
}

fn is_of_the_filter(target: &Scope) -> bool {
    FILTER.iter().any(|known| is_in(target, known))
}

/// Whether something is of a type or of one of its children.
fn is_in(target: &Scope, known: &str) -> bool {
    let name = target.type_name().key();
    name.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The group that a write is about.
fn group_of(target: &Scope) -> Option<Scope> {
    if !is_in(target, GROUPS) {
        return None;
    }
    if target.type_name().key() == GROUPS { Some(target.clone()) } else { target.parent() }
}

impl Judge {
    /// Looks at the state before a write; `None` when the write cannot matter.
    ///
    /// # Errors
    /// Those of the database; an invariant that does not parse.
    pub async fn enter(read: &mut dyn Read, target: &Scope) -> Result<Option<Judge>, ArmError> {
        let mut subscriptions = Vec::new();
        for around in concerned(read, target).await? {
            subscriptions.extend(Judged::enter(read, target, around).await?);
        }
        let judge = Judge { target: target.clone(), subscriptions };
        Ok((!judge.subscriptions.is_empty()).then_some(judge))
    }

    /// Looks at the state after it, and says what the log keeps; `None` when nothing changed for any packet.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn leave(self, read: &mut dyn Read) -> Result<Option<PolicyChange>, Refused> {
        let (mut broken, mut reported, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
        let mut states = Vec::new();
        for judged in self.subscriptions {
            let known = known(read, &self.target, &judged.around).await?;
            let after = Standing::of(read, &judged.around, known, judged.behind.as_ref()).await?;
            for kept in &after.invariants {
                if let Some(violation) = judged.newly_broken(kept, &after) {
                    match kept.enforcement {
                        Enforcement::Enforce => broken.push(violation),
                        Enforcement::Report => reported.push(kept.id.to_string()),
                    }
                }
            }
            states.push((judged.before, after));
        }
        if !broken.is_empty() {
            return Err(Refused::Broken(broken));
        }
        for (before, after) in &states {
            changed(before.interfaces(), after.interfaces(), &mut pairs);
        }
        let mut change = traffic(pairs);
        reported.truncate(DIFFERENCES);
        change.broken_invariants = reported;
        let nothing = change.traffic.is_empty() && change.broken_invariants.is_empty();
        Ok((!nothing).then(|| bounded(change)))
    }
}

/// The subscriptions whose machines a write can matter to.
async fn concerned(read: &mut dyn Read, target: &Scope) -> Result<Vec<Scope>, ArmError> {
    if !EVERYWHERE.iter().any(|known| is_in(target, known)) {
        return Ok(target.subscription_scope().filter(|_| concerns(target)).into_iter().collect());
    }
    let all = TypeName::new("Microsoft.Resources", "subscriptions");
    Ok(read.list(&Listing::of(&Scope::Tenant, &all)).await?.into_iter().map(|s| s.id).collect())
}

/// The invariants of a subscription. One that does not parse holds up everything but its own repair.
async fn known(read: &mut dyn Read, target: &Scope, around: &Scope) -> Result<Vec<Kept>, ArmError> {
    match invariants_of(read, around).await {
        Err(_) if target.type_name() == invariants::type_name() => Ok(Vec::new()),
        known => known,
    }
}

impl Judged {
    async fn enter(read: &mut dyn Read, target: &Scope, around: Scope) -> Result<Option<Judged>, ArmError> {
        let known = known(read, target, &around).await?;
        if known.is_empty() && !is_of_the_filter(target) {
            return Ok(None);
        }
        // An invariant can be about anything; without one only what changes is looked at.
        let behind = group_of(target).filter(|_| known.is_empty());
        let before = Standing::of(read, &around, known, behind.as_ref()).await?;
        Ok(Some(Judged { around, behind, before }))
    }

    /// What a write makes of an invariant. It is to blame for the packets that it breaks, and for no others; all are of
    /// one that is new or says something new.
    fn newly_broken(&self, kept: &Kept, after: &Standing) -> Option<Violation> {
        let before = self
            .before
            .invariants
            .iter()
            .find(|b| b.id == kept.id && b.spec == kept.spec && b.enforcement == kept.enforcement);
        let old = before.map(|before| self.before.statements(before));
        let new = after.statements(kept);
        if old.as_ref() == Some(&new) {
            return None;
        }
        let interfaces = Vec::new();
        let unknown = Violation { invariant: kept.id.to_string(), interfaces, counter_example: None };
        let Some(new) = new else { return Some(unknown) };
        violation(kept, after, &old.flatten().unwrap_or_default(), &new)
    }
}

/// What breaks an invariant and did not before.
pub(super) fn violation(
    kept: &Kept,
    standing: &Standing,
    before: &[Statement],
    after: &[Statement],
) -> Option<Violation> {
    let found = newly_broken(before, after, EXAMPLES, INVARIANT_BUDGET);
    let invariant = kept.id.to_string();
    match found {
        Ok(None) => None,
        Err(_) => Some(Violation { invariant, interfaces: Vec::new(), counter_example: None }),
        Ok(Some(example)) => {
            let ends = [
                (Direction::Outbound, &example.packet.source_address),
                (Direction::Inbound, &example.packet.destination_address),
            ];
            let on_the_way = |direction| example.decided_by.iter().any(|d| d.direction == direction);
            let ends = ends.into_iter().filter(|(direction, _)| on_the_way(*direction));
            let ends = ends.filter_map(|(_, address)| address.parse().ok());
            let interfaces = ends.flat_map(|a| standing.with_address(a)).map(|i| i.id.to_string()).collect();
            Some(Violation { invariant, interfaces, counter_example: Some(example) })
        }
    }
}

/// Interfaces at which the same changes: how many, and the rules of one of them before and after.
type Pair<'a> = (usize, Direction, &'a NicPolicy, &'a NicPolicy);

/// Adds the interfaces that are there before and after, and have other rules after.
fn changed<'a>(before: &'a [Interface], after: &'a [Interface], pairs: &mut Vec<Pair<'a>>) {
    let known: HashMap<&Scope, &NicPolicy> =
        before.iter().filter_map(|old| Some((&old.id, old.policy.as_ref()?))).collect();
    for new in after {
        let (Some(old), Some(new)) = (known.get(&new.id).copied(), new.policy.as_ref()) else { continue };
        for direction in [Direction::Inbound, Direction::Outbound] {
            if same_rules(old, new, direction) {
                continue;
            }
            let same = |(_, d, a, b): &&mut Pair<'_>| {
                *d == direction && same_rules(a, old, direction) && same_rules(b, new, direction)
            };
            match pairs.iter_mut().find(same) {
                Some((count, ..)) => *count += 1,
                None => pairs.push((1, direction, old, new)),
            }
        }
    }
}

/// What becomes of packets at them.
fn traffic(mut pairs: Vec<Pair<'_>>) -> PolicyChange {
    let is_all = pairs.len() <= DIFFERENCES;
    // Those of the most interfaces say the most.
    pairs.sort_by_key(|(count, ..)| std::cmp::Reverse(*count));
    let changes =
        pairs.into_iter().take(DIFFERENCES).map(|(interfaces, direction, old, new)| TrafficChange {
            interfaces,
            direction,
            difference: difference(old, new, direction, EXAMPLES, DIFFERENCE_BUDGET).ok(),
        });
    let nothing = |change: &TrafficChange| {
        change.difference.as_ref().is_some_and(|d| d.newly_allowed.is_none() && d.newly_denied.is_none())
    };
    let traffic = changes.filter(|change| !nothing(change)).collect();
    PolicyChange { traffic, is_all, broken_invariants: Vec::new() }
}

/// The same in at most [`MOST`] bytes: boxes are left out as a whole, and said to be.
fn bounded(mut change: PolicyChange) -> PolicyChange {
    for limit in (0..EXAMPLES).rev() {
        if serde_json::to_vec(&change).is_ok_and(|json| json.len() <= MOST) {
            break;
        }
        for difference in change.traffic.iter_mut().filter_map(|c| c.difference.as_mut()) {
            difference.newly_allowed.keep(limit);
            difference.newly_denied.keep(limit);
        }
    }
    change
}
