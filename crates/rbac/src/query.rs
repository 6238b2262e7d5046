//! Questions about many things at once: lists, "who can", "what can they", and "what would this change".

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use sekisho_arm::Scope;
use serde::Serialize;

use crate::scopes::{Tree, is_management_group};
use crate::snapshot::{Identity, Snapshot, Who};
use crate::universe::Bits;
use crate::{Attributes, Decision, PrincipalId, RoleId};

/// Where a caller may do one thing: everything under some scopes, minus everything under some others.
///
/// Made once per list request; [`Reach::contains`] then costs a few hash look-ups per row and needs no snapshot. To let
/// the database do the first cut, select rows whose key is, or begins with one of [`Reach::prefixes`] and `/`; then
/// still ask `contains`, which knows the holes.
#[derive(Debug, Clone)]
pub struct Reach {
    roots: HashSet<String>,
    /// Denied scopes; true: only the scope itself.
    holes: HashMap<String, bool>,
    tree: Arc<Tree>,
}

impl Reach {
    /// Whether the operation is allowed at a scope.
    pub fn contains(&self, scope: &Scope) -> bool {
        self.contains_key(&scope.key())
    }

    /// [`Reach::contains`] for a scope's lower-case key.
    pub fn contains_key(&self, key: &str) -> bool {
        let mut inside = false;
        for at in self.tree.upward(key) {
            if self.holes.get(at).is_some_and(|only_here| !only_here || at == key) {
                return false;
            }
            inside |= self.roots.contains(at);
        }
        inside
    }

    /// Whether it is allowed nowhere.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// Whether a scope should be shown on the way to something allowed: it is allowed there, above, or below. A
    /// subscription is listed for a person who may read one machine in it.
    pub fn touches(&self, scope: &Scope) -> bool {
        let key = scope.key();
        // A denial of one scope alone does not hide what is below it.
        let open = |at: &str| self.tree.upward(at).all(|up| self.holes.get(up) != Some(&false));
        let above = self.tree.upward(&key).any(|up| self.roots.contains(up)) && open(&key);
        above || self.roots.iter().any(|r| self.tree.upward(r).any(|up| up == key) && open(r))
    }

    /// The lower-case keys of subtrees that hold every allowed scope; `""` alone means everything. Management groups
    /// are replaced by the subscriptions in them, because a resource's key does not name them.
    pub fn prefixes(&self) -> Vec<String> {
        if self.roots.contains("/") {
            return vec![String::new()];
        }
        let mut all: BTreeSet<String> = self.roots.iter().cloned().collect();
        for (child, above) in self.tree.containers() {
            if above.iter().any(|group| self.roots.contains(group)) {
                all.insert(child.clone());
            }
        }
        let inside: Vec<String> = all
            .iter()
            .filter(|key| {
                let mut cut = key.as_str();
                while let Some((head, _)) = cut.rsplit_once('/') {
                    if all.contains(head) {
                        return true;
                    }
                    cut = head;
                }
                false
            })
            .cloned()
            .collect();
        inside.iter().for_each(|key| {
            all.remove(key);
        });
        all.into_iter().collect()
    }
}

/// One line of an answer to "who can do this here".
#[derive(Debug, Clone, PartialEq)]
pub struct Grantee {
    /// The person, group or service.
    pub principal: PrincipalId,
    /// Why they can; always [`Decision::Allowed`].
    pub decision: Decision,
}

/// One difference between two states of the facts: a principal gains or loses an operation at a scope and below.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// Who.
    pub principal: PrincipalId,
    /// Where; not repeated for scopes below at which the same changes.
    pub scope: String,
    /// What.
    pub operation: String,
    /// Gained, or lost.
    pub gained: bool,
    /// How far down it goes.
    pub reach: ChangeReach,
}

/// Whether a change holds at its scope, below it, or both. The two differ where a deny assignment stays at its scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ChangeReach {
    /// At the scope and everything below.
    HereAndBelow,
    /// At the scope itself only.
    Here,
    /// Below the scope, but not at it.
    Below,
}

/// What makes a role privileged.
const PRIVILEGED: [&str; 4] = [
    "Microsoft.Authorization/roleAssignments/write",
    "Microsoft.Authorization/roleDefinitions/write",
    "Microsoft.Compute/virtualMachines/login/action",
    "Microsoft.Compute/virtualMachines/loginAsAdmin/action",
];

impl Snapshot {
    /// Where a caller may do one thing. Conditions are judged without attributes: what needs them is left out.
    pub fn may_list<'w>(&self, who: impl Into<Who<'w>>, op: &str) -> Reach {
        let mut reach = Reach { roots: HashSet::new(), holes: HashMap::new(), tree: Arc::clone(&self.tree) };
        let Some(op) = self.universe.find(op) else { return reach };
        let (me, none) = (self.identity(who), Attributes::none());
        let known = me.known(&none);
        let granting = self.grants_to(&me).filter(|g| self.grant_allows(g, op, known));
        reach.roots = granting.map(|g| g.key.to_string()).collect();
        for deny in self.denies_to(&me).filter(|d| self.deny_forbids(d, op, known)) {
            let only_here = reach.holes.entry(deny.key.clone()).or_insert(true);
            *only_here &= deny.assignment.only_here;
        }
        reach
    }

    /// Every scope at which a caller has a role that grants anything: what to show of the tree. Deny assignments are
    /// not looked at, because they forbid operations, not sight of the path.
    pub fn readable_scopes<'w>(&self, who: impl Into<Who<'w>>) -> Vec<Scope> {
        let me = self.identity(who);
        let mut seen = HashSet::new();
        self.grants_to(&me)
            .filter(|g| self.grants_anything(g) && seen.insert(g.key.as_ref()))
            .map(|g| Scope::clone(&g.at))
            .collect()
    }

    /// The roles that somebody holds anywhere, through groups too; each once.
    pub fn roles_of<'w>(&self, who: impl Into<Who<'w>>) -> Vec<RoleId> {
        let me = self.identity(who);
        let mut roles: Vec<RoleId> = self.grants_to(&me).map(|g| g.role).collect();
        roles.sort_unstable();
        roles.dedup();
        roles
    }

    /// Whether somebody holds a role that grants roles or opens a shell on a machine, anywhere and under whatever
    /// condition: whoever has their account has more than one machine.
    pub fn is_privileged<'w>(&self, who: impl Into<Who<'w>>) -> bool {
        let me = self.identity(who);
        let ops: Vec<_> = PRIVILEGED.iter().filter_map(|op| self.universe.find(op)).collect();
        self.grants_to(&me).any(|g| ops.iter().any(|op| g.could_grant(*op)))
    }

    /// Every principal that may do one thing at a scope, groups included, with the reason.
    pub fn who_can(&self, op: &str, scope: &Scope) -> Vec<Grantee> {
        let Some(op) = self.universe.find(op) else { return Vec::new() };
        let (key, none) = (scope.key(), Attributes::none());
        let mut found: Vec<Grantee> = self
            .principals()
            .iter()
            .map(|p| Grantee {
                principal: *p,
                decision: self.decide_op(&self.identity(&[*p]), op, (scope, &key), &none),
            })
            .filter(|g| g.decision.is_allowed())
            .collect();
        found.sort_by_key(|g| g.principal);
        found
    }

    /// Every operation a caller may do at a scope, in the order of the universe. Conditions are judged without attributes.
    pub fn effective<'w>(&self, who: impl Into<Who<'w>>, scope: &Scope) -> Vec<&str> {
        let bits = self.rights(&self.identity(who), &scope.key(), &Attributes::none());
        bits.iter().map(|op| self.universe.name(op)).collect()
    }

    /// What grants or denies something to a caller, as comparable facts.
    fn marks<'a>(&'a self, me: &Identity<'_>) -> HashSet<Mark<'a>> {
        let grants =
            self.grants_to(me).map(|g| (g.key.as_ref(), Rule::Grant(g.role, g.condition.as_deref())));
        let denies = self.denies_to(me).map(|d| {
            let text = (&d.assignment.permissions, d.assignment.only_here, &d.assignment.condition);
            (d.key.as_str(), Rule::Deny(format!("{text:?}")))
        });
        grants.chain(denies).map(|(key, rule)| Mark { key, rule }).collect()
    }
}

#[derive(PartialEq, Eq, Hash)]
struct Mark<'a> {
    key: &'a str,
    rule: Rule<'a>,
}

#[derive(PartialEq, Eq, Hash)]
enum Rule<'a> {
    Grant(RoleId, Option<&'a str>),
    Deny(String),
}

/// What a change of the facts gives and takes, before it is made: (principal, scope, operation) triples, each reported
/// at the outermost scope at which it happens. Both snapshots must have the same universe. Conditions are judged without
/// attributes, as in [`Snapshot::effective`]: a right that depends on one is on neither side.
///
/// Only principals whose own grants or denials differ are looked at, and for them only scopes at which something
/// differs or is masked, so the cost follows the change and not the installation.
pub fn preview(before: &Snapshot, after: &Snapshot) -> Vec<Change> {
    let moved = before.tree != after.tree;
    let roles: HashSet<RoleId> = before
        .roles()
        .chain(after.roles())
        .map(|r| r.name)
        .filter(|id| {
            let blocks = |s: &Snapshot| s.role(*id).map(|r| r.properties.permissions.clone());
            blocks(before) != blocks(after)
        })
        .collect();
    let people: BTreeSet<PrincipalId> =
        before.principals().iter().chain(after.principals()).copied().collect();
    let mut changes = Vec::new();
    for who in people {
        let (old, new) = (before.identity(&[who]), after.identity(&[who]));
        let (old_marks, new_marks) = (before.marks(&old), after.marks(&new));
        let redefined = old_marks
            .iter()
            .chain(&new_marks)
            .filter(|m| matches!(&m.rule, Rule::Grant(role, _) if roles.contains(role)));
        let differing: HashSet<&str> =
            old_marks.symmetric_difference(&new_marks).chain(redefined).map(|m| m.key).collect();
        if differing.is_empty() && !moved {
            continue;
        }
        let below = |key: &str| {
            after.tree.upward(key).chain(before.tree.upward(key)).any(|at| differing.contains(at))
        };
        let mut scopes: BTreeSet<&str> =
            old_marks.iter().chain(&new_marks).map(|m| m.key).filter(|k| moved || below(k)).collect();
        if moved {
            let containers = before.tree.containers().chain(after.tree.containers());
            scopes.extend(containers.map(|(child, _)| child.as_str()));
        }
        let none = Attributes::none();
        let flips = |key: &str| {
            let (had, has) = (before.rights(&old, key, &none), after.rights(&new, key, &none));
            [minus(&has, &had), minus(&had, &has)]
        };
        let known: HashMap<&str, Flips> = scopes
            .iter()
            .map(|key| (*key, Flips { here: flips(key), below: flips(&probe_below(key)) }))
            .collect();
        for (key, at) in &known {
            // In a cycle of management groups each is above the other; there neither speaks for the other.
            let cyclic = |up: &str| after.tree.upward(up).any(|at| at == *key);
            let above = after.tree.upward(key).skip(1).filter(|up| !cyclic(up)).find_map(|up| known.get(up));
            for (i, gained) in [(0, true), (1, false)] {
                let (mut here, mut below) = (at.here[i].clone(), at.below[i].clone());
                if let Some(above) = above {
                    here.subtract(&above.below[i]);
                    below.subtract(&above.below[i]);
                }
                let mut told = here.clone();
                told.union(&below);
                if told.is_empty() {
                    continue;
                }
                let scope = shown(key, before, after);
                changes.extend(told.iter().map(|op| Change {
                    principal: who,
                    scope: scope.clone(),
                    operation: after.universe.name(op).to_owned(),
                    gained,
                    reach: match (here.has(op), below.has(op)) {
                        (true, true) => ChangeReach::HereAndBelow,
                        (true, false) => ChangeReach::Here,
                        (false, _) => ChangeReach::Below,
                    },
                }));
            }
        }
    }
    changes.sort();
    changes
}

/// What is gained and lost at one scope, and at something inside it that no fact mentions.
struct Flips {
    here: [Bits; 2],
    below: [Bits; 2],
}

/// The key of a made-up resource in a scope.
fn probe_below(key: &str) -> String {
    format!("{}/providers/sekisho.preview/probes/probe", key.trim_end_matches('/'))
}

fn minus(a: &Bits, b: &Bits) -> Bits {
    let mut bits = a.clone();
    bits.subtract(b);
    bits
}

/// A scope in its creator's spelling, where a fact has it.
fn shown(key: &str, before: &Snapshot, after: &Snapshot) -> String {
    let grants = after.grants.iter().chain(&before.grants).map(|g| (g.key.as_ref(), g.at.as_ref()));
    let denies = after.denies.iter().chain(&before.denies).map(|d| (d.key.as_str(), &d.assignment.scope));
    match grants.chain(denies).find(|(at, _)| *at == key) {
        Some((_, scope)) => scope.to_string(),
        None if is_management_group(key) => Scope::parse(key).map_or(key.to_owned(), |s| s.to_string()),
        None => key.to_owned(),
    }
}
