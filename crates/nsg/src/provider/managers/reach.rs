//! Which subscriptions a network manager governs: those that it names, and all that are in a management group that it names,
//! however deep. A subscription that moves is governed from then on by the managers of where it is.

use std::collections::{HashMap, HashSet};

use sekisho_arm::id::TypeName;
use sekisho_arm::{ArmError, Listing, Read, Resource, Scope};

use super::typed;
use crate::resources::NetworkManager;

/// The type of management groups, and of the places of subscriptions in them.
const GROUPS: &str = "managementGroups";
const PLACES: &str = "managementGroups/subscriptions";

/// What is in each management group: groups and subscriptions.
type Inside = HashMap<Scope, Vec<Scope>>;

/// The subscriptions that a manager governs.
///
/// # Errors
/// `InvalidNetworkManagerScope`; those of the database.
pub(super) async fn governed(read: &mut dyn Read, manager: &Resource) -> Result<HashSet<Scope>, ArmError> {
    let scopes = typed::<NetworkManager>(manager)?.scopes()?;
    let is_group = |scope: &Scope| matches!(scope, Scope::ManagementGroup(_));
    let inside = if scopes.iter().any(is_group) { inside(read).await? } else { Inside::new() };
    Ok(below(scopes, &inside))
}

async fn inside(read: &mut dyn Read) -> Result<Inside, ArmError> {
    let mut all = Inside::new();
    let kind = |path| Listing::of(&Scope::Tenant, &TypeName::new("Microsoft.Management", path));
    for group in read.list(&kind(GROUPS)).await? {
        let parent = group.rest.get("properties").map(|p| &p["details"]["parent"]["id"]);
        if let Some(Ok(parent)) = parent.and_then(|id| id.as_str()).map(Scope::parse) {
            all.entry(parent).or_default().push(group.id);
        }
    }
    for place in read.list(&kind(PLACES)).await? {
        if let Some(group) = place.id.parent() {
            all.entry(group).or_default().push(Scope::Subscription(place.id.name().to_owned()));
        }
    }
    Ok(all)
}

/// The subscriptions among these and in them. Each group is entered once, whatever its parents say.
fn below(scopes: Vec<Scope>, inside: &Inside) -> HashSet<Scope> {
    let (mut seen, mut left) = (HashSet::new(), scopes);
    while let Some(scope) = left.pop() {
        if seen.insert(scope.clone()) {
            left.extend(inside.get(&scope).into_iter().flatten().cloned());
        }
    }
    seen.retain(|scope| matches!(scope, Scope::Subscription(_)));
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str) -> Scope {
        Scope::ManagementGroup(name.to_owned())
    }

    fn subscription(last: u8) -> Scope {
        Scope::Subscription(format!("00000000-0000-0000-0000-0000000000{last:02}"))
    }

    #[test]
    fn a_group_brings_everything_in_it_however_deep_and_a_cycle_ends() {
        let inside = Inside::from([
            (group("top"), vec![group("middle"), subscription(1)]),
            (group("middle"), vec![group("TOP"), subscription(2)]),
            (group("other"), vec![subscription(3)]),
        ]);
        let all = |scopes: Vec<Scope>| below(scopes, &inside);
        assert_eq!(all(vec![group("top")]), HashSet::from([subscription(1), subscription(2)]));
        assert_eq!(all(vec![group("Middle"), subscription(4)]).len(), 3);
        assert_eq!(all(vec![group("nowhere")]), HashSet::new());
    }
}
