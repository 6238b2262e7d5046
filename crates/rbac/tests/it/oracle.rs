//! What Azure's documentation says, written as plainly as possible and sharing no code with the crate: strings are
//! matched character by character, scopes are climbed one parent at a time, groups are expanded until nothing changes.

use std::collections::{BTreeSet, HashMap};

use sekisho_arm::Scope;
use sekisho_rbac::{Facts, Permission, PrincipalId, RoleDefinition, builtin};

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Allowed,
    Denied,
    Missing,
}

/// Conditions the tests use, with what they come to when no attribute is known. `None`: cannot be told.
pub(crate) const CONDITIONS: [(&str, Option<bool>); 5] = [
    ("ActionMatches{'*'}", Some(true)),
    ("!(ActionMatches{'*'})", Some(false)),
    ("this is not a condition", None),
    ("!(@Request[Microsoft.X:y] StringEquals 'z')", None),
    ("@Request[Microsoft.X:y] StringEquals 'z' OR ActionMatches{'*'}", Some(true)),
];

fn condition(text: Option<&String>) -> Option<bool> {
    let Some(text) = text else { return Some(true) };
    CONDITIONS.iter().find(|(t, _)| t == text).expect("a condition of the table").1
}

/// "Wildcards (*) match anything in their place", `/` included; case does not matter.
pub(crate) fn matches(pattern: &str, op: &str) -> bool {
    fn go(p: &[u8], o: &[u8]) -> bool {
        match p.split_first() {
            None => o.is_empty(),
            Some((b'*', rest)) => (0..=o.len()).any(|i| go(rest, &o[i..])),
            Some((c, rest)) => o.split_first().is_some_and(|(d, o)| c.eq_ignore_ascii_case(d) && go(rest, o)),
        }
    }
    go(pattern.trim().as_bytes(), op.as_bytes())
}

/// Actions − NotActions, or DataActions − NotDataActions.
pub(crate) fn in_block(block: &Permission, op: &str, is_data: bool) -> bool {
    let (add, sub) = if is_data {
        (&block.data_actions, &block.not_data_actions)
    } else {
        (&block.actions, &block.not_actions)
    };
    add.iter().any(|p| matches(p, op)) && !sub.iter().any(|p| matches(p, op))
}

fn ancestors(facts: &Facts, scope: &Scope) -> Vec<Scope> {
    let parents: HashMap<String, &Scope> = facts.parents.iter().map(|(c, p)| (c.key(), p)).collect();
    let mut up = vec![scope.clone()];
    loop {
        let last = up.last().unwrap();
        let next = match parents.get(&last.key()) {
            Some(group) if !up.contains(group) => Some((*group).clone()),
            Some(_) => Some(Scope::Tenant),
            None => last.parent(),
        };
        match next {
            Some(next) => up.push(next),
            None => return up,
        }
    }
}

pub(crate) fn all_groups(facts: &Facts, who: PrincipalId) -> BTreeSet<PrincipalId> {
    let mut me = BTreeSet::from([who]);
    loop {
        let before = me.len();
        for group in &facts.groups {
            if group.members.iter().any(|m| me.contains(m)) {
                me.insert(group.id);
            }
        }
        if me.len() == before {
            return me;
        }
    }
}

pub(crate) fn decide(facts: &Facts, who: PrincipalId, op: &str, is_data: bool, scope: &Scope) -> Answer {
    let me = all_groups(facts, who);
    let up = ancestors(facts, scope);
    for deny in &facts.deny_assignments {
        let applies = if deny.only_here { deny.scope == *scope } else { up.contains(&deny.scope) };
        let named = deny.everyone || deny.principals.iter().any(|p| me.contains(p));
        let spared =
            deny.excluded.iter().any(|p| me.contains(p)) || condition(deny.condition.as_ref()) == Some(false);
        if applies && named && !spared && deny.permissions.iter().any(|b| in_block(b, op, is_data)) {
            return Answer::Denied;
        }
    }
    let roles: Vec<&RoleDefinition> = builtin::roles().iter().chain(&facts.custom_roles).collect();
    for a in facts.assignments.iter().filter(|a| me.contains(&a.principal) && up.contains(&a.scope)) {
        if condition(a.condition.as_ref()) != Some(true) {
            continue;
        }
        let Some(role) = roles.iter().find(|r| r.name == a.role) else { continue };
        let granting =
            |b: &&Permission| in_block(b, op, is_data) && condition(b.condition.as_ref()) == Some(true);
        if role.properties.permissions.iter().any(|b| granting(&b)) {
            return Answer::Allowed;
        }
    }
    Answer::Missing
}
