//! What a write gives people and takes from them, before it is made: the rights in the answer of `?whatIf=true`.
//!
//! The facts are read before and after the write, inside the transaction that is undone, and the two are held against
//! each other twice: as they hold, and as if everybody had activated what they are eligible for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use schemars::JsonSchema;
use sekisho_arm::{ArmError, Read, Scope};
use sekisho_rbac::pim::Schedule;
use sekisho_rbac::{Change, ChangeReach, Facts, PrincipalId, Snapshot, Universe, preview};
use serde::Serialize;

use crate::access::{self, ASSIGNMENTS, ELIGIBILITIES};
use crate::desired::WhatIf;
use crate::resources::authorization::{KnownPrincipal, Names, names};

/// The right to know who has which.
pub(crate) const READ: &str = "Microsoft.Authorization/roleAssignments/read";
/// Most principals that are named in a row.
const NAMED: usize = 100;

/// The facts that rights follow from, at one moment.
pub(crate) struct State {
    held: Facts,
    eligible: Facts,
    /// Whose the sign-ins are to which something is bound.
    people: HashMap<PrincipalId, PrincipalId>,
    names: Names,
}

/// Some principals gain or lose some operations.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RightsChange {
    /// Gained, or lost.
    gained: bool,
    /// Only after they have activated a role that they are eligible for.
    if_activated: bool,
    /// Where; not repeated for scopes below at which the same changes.
    scope: String,
    /// Whether at the scope, below it, or both.
    reach: Reach,
    /// What, each by its full name.
    operations: Vec<String>,
    /// Who.
    principals: Vec<Holder>,
    /// How many more.
    other_principals: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RightsReach")]
enum Reach {
    HereAndBelow,
    Here,
    Below,
}

/// Somebody whose rights change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RightsHolder")]
struct Holder {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: KnownPrincipal,
}

/// Whether a write of something can change rights.
pub(crate) fn are_concerned(target: &Scope) -> bool {
    let namespace = target.type_name().namespace.to_ascii_lowercase();
    // A group takes the rights in it with it.
    matches!(target, Scope::ResourceGroup { .. } | Scope::ManagementGroup(_))
        || matches!(namespace.as_str(), "microsoft.authorization" | "microsoft.management")
}

/// Reads the facts.
///
/// # Errors
/// Those of the database.
pub(crate) async fn state(read: &mut (dyn Read + '_), universe: Arc<Universe>) -> Result<State, ArmError> {
    let now = read.now();
    let active = access::schedules(read, ASSIGNMENTS).await?;
    let people: HashMap<_, _> =
        active.iter().filter_map(|s| Some((PrincipalId(s.sign_in?), s.principal))).collect();
    let mut held = access::facts(read, universe).await?;
    access::only_living(read, &mut held, people.keys().copied()).await?;
    let could = access::schedules(read, ELIGIBILITIES).await?;
    let could = could.iter().filter(|s| s.window.holds(now)).map(Schedule::assignment).collect();
    let mut eligible = Facts { assignments: could, ..held.clone() };
    access::only_living(read, &mut eligible, []).await?;
    Ok(State { held, eligible, people, names: names(read).await? })
}

fn is_the_same(a: &Facts, b: &Facts) -> bool {
    a.assignments == b.assignments
        && a.deny_assignments == b.deny_assignments
        && a.groups == b.groups
        && a.unreadable_groups == b.unreadable_groups
        && a.custom_roles == b.custom_roles
        && a.parents == b.parents
}

/// What differs.
pub(crate) fn between(before: State, after: State) -> Vec<RightsChange> {
    let people: HashMap<_, _> = before.people.into_iter().chain(after.people).collect();
    let names: Names = before.names.into_iter().chain(after.names).collect();
    let mut out = Vec::new();
    for (if_activated, old, new) in
        [(false, before.held, after.held), (true, before.eligible, after.eligible)]
    {
        if !is_the_same(&old, &new) {
            let changes = preview(&Snapshot::compile(old), &Snapshot::compile(new));
            out.extend(rows(changes, if_activated, &people, &names));
        }
    }
    out
}

fn rows(
    changes: Vec<Change>,
    if_activated: bool,
    people: &HashMap<PrincipalId, PrincipalId>,
    names: &Names,
) -> Vec<RightsChange> {
    let mut each: BTreeMap<(bool, String, Reach, PrincipalId), BTreeSet<String>> = BTreeMap::new();
    for change in changes {
        let reach = match change.reach {
            ChangeReach::HereAndBelow => Reach::HereAndBelow,
            ChangeReach::Here => Reach::Here,
            ChangeReach::Below => Reach::Below,
        };
        let who = people.get(&change.principal).copied().unwrap_or(change.principal);
        let place = (change.gained, change.scope, reach, who);
        each.entry(place).or_default().insert(change.operation);
    }
    // Those who gain the same stand together.
    let mut same: BTreeMap<(bool, String, Reach, BTreeSet<String>), BTreeSet<Holder>> = BTreeMap::new();
    for ((gained, scope, reach, who), operations) in each {
        let known = names.get(&who.0);
        let holder = Holder {
            id: who.to_string(),
            name: known.map_or_else(|| who.to_string(), |k| k.name.clone()),
            kind: known.map_or(KnownPrincipal::Unknown, |k| k.kind),
        };
        same.entry((gained, scope, reach, operations)).or_default().insert(holder);
    }
    let row =
        |((gained, scope, reach, operations), holders): ((_, _, _, BTreeSet<String>), BTreeSet<Holder>)| {
            let other_principals = holders.len().saturating_sub(NAMED);
            RightsChange {
                gained,
                if_activated,
                scope,
                reach,
                operations: operations.into_iter().collect(),
                principals: holders.into_iter().take(NAMED).collect(),
                other_principals,
            }
        };
    same.into_iter().map(row).collect()
}

/// Leaves what may be seen, and counts the rest.
pub(crate) fn show(effect: &mut WhatIf, sees: impl Fn(&Scope) -> bool) {
    let all = effect.rights.len();
    effect.rights.retain(|row| Scope::parse(&row.scope).is_ok_and(|scope| sees(&scope)));
    effect.other_rights = all - effect.rights.len();
}
