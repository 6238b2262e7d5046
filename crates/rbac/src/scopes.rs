//! The tree of scopes as keys (lower-case ids): who is above whom.
//!
//! Most parents are written in the path, and are found by cutting it. Management groups are not: which one a
//! subscription or another group is in comes as data, and prefix matching would be wrong there.

use std::collections::{HashMap, HashSet};

use sekisho_arm::Scope;

const GROUPS: &str = "/providers/microsoft.management/managementgroups/";

/// Who is above whom, management groups included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// For a subscription or management group: the management groups above it, nearest first, without the root.
    groups: HashMap<String, Vec<String>>,
}

impl Tree {
    /// `parents` are (child, management group) pairs. A cycle ends where it would repeat, so that everything in it is
    /// above everything else in it: a deny assignment anywhere in the cycle still holds.
    pub fn new(parents: &[(Scope, Scope)]) -> Tree {
        let direct: HashMap<String, String> =
            parents.iter().map(|(c, p)| (c.key(), p.key())).filter(|(_, p)| p != "/").collect();
        let chain = |start: &String| {
            let mut seen = HashSet::from([start.clone()]);
            let mut up = Vec::new();
            let mut at = start;
            while let Some(next) = direct.get(at) {
                if !seen.insert(next.clone()) {
                    break;
                }
                up.push(next.clone());
                at = next;
            }
            up
        };
        Tree { groups: direct.keys().map(|k| (k.clone(), chain(k))).collect() }
    }

    /// Whether `inner` is `outer` or anywhere inside it.
    pub fn contains(&self, outer: &Scope, inner: &Scope) -> bool {
        let outer = outer.key();
        self.upward(&inner.key()).any(|at| at == outer)
    }

    /// The keys of a scope and of everything above it, nearest first, the root last.
    pub fn path(&self, scope: &Scope) -> Vec<String> {
        self.upward(&scope.key()).map(str::to_owned).collect()
    }

    /// The scope itself and everything above it, nearest first, the root last.
    pub(crate) fn upward<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.walk(key, parent_key)
    }

    /// [`Tree::upward`] for who has the scope, of which `key` is the key, and need not take the key apart.
    pub(crate) fn above<'a>(&'a self, scope: &'a Scope, key: &'a str) -> impl Iterator<Item = &'a str> {
        let mut above = scope.keys_above(key);
        self.walk(key, move |_| above.next())
    }

    fn walk<'a>(
        &'a self,
        key: &'a str,
        mut parent: impl FnMut(&'a str) -> Option<&'a str>,
    ) -> impl Iterator<Item = &'a str> {
        let mut at = Some(key);
        let mut groups: std::slice::Iter<'a, String> = [].iter();
        let mut done = false;
        std::iter::from_fn(move || {
            if done {
                return None;
            }
            if let Some(group) = groups.next() {
                return Some(group.as_str());
            }
            let Some(here) = at else {
                done = true;
                return Some("/");
            };
            at = parent(here).filter(|p| *p != "/");
            if here == "/" {
                done = true;
            } else if at.is_none() {
                groups = self.groups.get(here).map_or([].iter(), |g| g.iter());
            }
            Some(here)
        })
    }

    /// The subscriptions and management groups that have a parent, with the groups above them.
    pub(crate) fn containers(&self) -> impl Iterator<Item = (&String, &Vec<String>)> {
        self.groups.iter()
    }
}

/// Whether the key is a management group.
pub(crate) fn is_management_group(key: &str) -> bool {
    key.strip_prefix(GROUPS).is_some_and(|name| !name.contains('/'))
}

/// The parent by path. Every id is pairs of segments, with `providers/{namespace}` before each chain of types.
fn parent_key(key: &str) -> Option<&str> {
    if key == "/" {
        return None;
    }
    let cut = without_last_pair(key)?;
    let parent = match cut.rsplit_once('/') {
        Some((head, _namespace)) => head.strip_suffix("/providers").unwrap_or(cut),
        None => cut,
    };
    Some(if parent.is_empty() { "/" } else { parent })
}

fn without_last_pair(key: &str) -> Option<&str> {
    let (head, _name) = key.rsplit_once('/')?;
    head.rsplit_once('/').map(|(head, _type)| head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SUB: &str = "/subscriptions/33333333-3333-3333-3333-333333333333";

    fn group(name: &str) -> Scope {
        Scope::ManagementGroup(name.to_owned())
    }

    #[test]
    fn the_walk_passes_management_groups_between_subscription_and_root() {
        let sub = Scope::parse(SUB).unwrap();
        let tree = Tree::new(&[(sub, group("b")), (group("b"), group("a"))]);
        let walk: Vec<&str> = tree.upward("/subscriptions/33333333-3333-3333-3333-333333333333").collect();
        assert_eq!(walk, [SUB, &group("b").key(), &group("a").key(), "/"]);
        assert_eq!(tree.upward("/").collect::<Vec<_>>(), ["/"]);
    }

    #[test]
    fn a_cycle_of_management_groups_ends_and_misses_none() {
        let tree = Tree::new(&[(group("a"), group("b")), (group("b"), group("a"))]);
        let (a, b) = (group("a").key(), group("b").key());
        assert_eq!(tree.upward(&a).collect::<Vec<_>>(), [a.as_str(), b.as_str(), "/"]);
        assert_eq!(tree.upward(&b).collect::<Vec<_>>(), [b.as_str(), a.as_str(), "/"]);
    }

    proptest! {
        #[test]
        fn cutting_the_key_is_taking_the_parent(
            base in prop::sample::select(vec!["", SUB, "SUB/resourceGroups/rg", "SUB/resourceGroups/providers",
                "/providers/Microsoft.Management/managementGroups/m"]),
            chains in prop::collection::vec(prop::collection::vec(("[a-z]{1,4}", "[a-zA-Z0-9]{1,4}"), 1..4), 0..3),
        ) {
            let mut text = base.replace("SUB", SUB);
            for chain in &chains {
                text.push_str("/providers/Microsoft.Test");
                for (t, n) in chain { text.push_str(&format!("/{t}/{n}")); }
            }
            if text.is_empty() { text.push('/'); }
            let scope = Scope::parse(&text).unwrap();
            let key = scope.key();
            prop_assert_eq!(parent_key(&key).map(str::to_owned), scope.parent().map(|p| p.key()));
            let tree = Tree::default();
            prop_assert!(tree.above(&scope, &key).eq(tree.upward(&key)));
        }
    }
}
