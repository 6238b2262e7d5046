//! Random facts, every question answered the same by the crate and by the oracle.

use proptest::prelude::*;
use sekisho_arm::Scope;
use sekisho_rbac::{
    ChangeReach, DenyAssignment, Facts, Group, Permission, PrincipalId, Snapshot, builtin, preview,
};
use uuid::Uuid;

use crate::oracle::{self, Answer};
use crate::{assign, block, role, scope, universe, who};

/// People 1–4, groups 11–14.
const PEOPLE: [u128; 4] = [1, 2, 3, 4];
const GROUPS: [u128; 4] = [11, 12, 13, 14];

const SCOPES: [&str; 13] = [
    "/",
    "/providers/Microsoft.Management/managementGroups/Corp",
    "/providers/Microsoft.Management/managementGroups/corp2",
    "SUB",
    "/subscriptions/44444444-4444-4444-4444-444444444444",
    "SUB/resourceGroups/prod",
    "SUB/resourceGroups/Prod2",
    "SUB/resourceGroups/prod/providers/Microsoft.Compute/virtualMachines/a",
    "SUB/resourceGroups/PROD/providers/microsoft.compute/virtualmachines/a/extensions/x",
    "SUB/resourceGroups/prod/providers/Microsoft.Compute/virtualMachines/ab",
    "SUB/resourceGroups/prod/providers/Microsoft.Compute/virtualMachines/a/providers/Microsoft.Authorization/locks/l",
    "SUB/resourceGroups/prod2/providers/Microsoft.Network/networkSecurityGroups/n",
    "/subscriptions/44444444-4444-4444-4444-444444444444/resourceGroups/prod",
];

const PATTERNS: [&str; 14] = [
    "*",
    "*/read",
    "*/action",
    "Microsoft.Compute/*",
    "MICROSOFT.COMPUTE/virtualmachines/*",
    "Microsoft.Compute/virtualMachines/read ",
    "Microsoft.Compute/virtualMachines/*/read",
    "Microsoft.Authorization/*/write",
    "Microsoft.Network/networkSecurityGroups/write",
    "Microsoft.Network/*/securityRules/read",
    "Microsoft.Compute/virtualMachines/login*/action",
    "Microsoft.Compute/virtualMachines/start",
    "Sekisho.*/read",
    "Nobody.Knows/this/read",
];

fn patterns() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(prop::sample::select(PATTERNS.to_vec()).prop_map(str::to_owned), 0..4)
}

fn a_condition() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        6 => Just(None),
        2 => prop::sample::select(oracle::CONDITIONS.to_vec()).prop_map(|(t, _)| Some(t.to_owned())),
    ]
}

fn permission() -> impl Strategy<Value = Permission> {
    (patterns(), patterns(), patterns(), patterns(), a_condition()).prop_map(|(a, b, c, d, condition)| {
        Permission {
            actions: a,
            not_actions: b,
            data_actions: c,
            not_data_actions: d,
            condition,
            condition_version: None,
        }
    })
}

fn principal() -> impl Strategy<Value = PrincipalId> {
    prop::sample::select([PEOPLE, GROUPS].concat()).prop_map(who)
}

fn a_scope() -> impl Strategy<Value = Scope> {
    prop::sample::select(SCOPES.to_vec()).prop_map(scope)
}

fn deny() -> impl Strategy<Value = DenyAssignment> {
    let principals = || prop::collection::vec(principal(), 0..3);
    (
        any::<u128>(),
        a_scope(),
        permission(),
        principals(),
        any::<bool>(),
        principals(),
        any::<bool>(),
        a_condition(),
    )
        .prop_map(|(n, scope, mut p, principals, everyone, excluded, only_here, condition)| {
            p.condition = None;
            DenyAssignment {
                name: Uuid::from_u128(n),
                display_name: "deny".to_owned(),
                scope,
                permissions: vec![p],
                principals,
                everyone,
                excluded,
                only_here,
                condition,
            }
        })
}

prop_compose! {
    fn some_facts()(
        roles in prop::collection::vec(prop::collection::vec(permission(), 1..3), 1..4),
        grants in prop::collection::vec(
            (principal(), prop::sample::select((0..7usize).collect::<Vec<_>>()), a_scope(), a_condition()), 0..10),
        deny_assignments in prop::collection::vec(deny(), 0..3),
        members in prop::collection::vec((prop::sample::select(GROUPS.to_vec()), principal()), 0..10),
        parents in prop::collection::vec((1..5usize, 1..3usize), 0..4),
    ) -> Facts {
        let custom_roles: Vec<_> = (100u128..).zip(roles).map(|(n, blocks)| role(n, blocks)).collect();
        let ids: Vec<_> = custom_roles.iter().map(|r| r.name)
            .chain([builtin::OWNER, builtin::CONTRIBUTOR, builtin::READER, builtin::VM_USER_LOGIN]).collect();
        let assignments = (1000u128..).zip(grants).map(|(n, (p, r, at, condition))| {
            let mut a = assign(n, 0, ids[r % ids.len()], "/");
            (a.principal, a.scope, a.condition) = (p, at, condition);
            a
        }).collect();
        let mut groups: Vec<Group> = GROUPS.iter().map(|g| Group { id: who(*g), members: Vec::new() }).collect();
        for (g, m) in members {
            groups.iter_mut().find(|x| x.id == who(g)).unwrap().members.push(m);
        }
        // One parent per child, as in Azure; cycles of the two management groups may occur.
        let mut up: Vec<(Scope, Scope)> = Vec::new();
        for (c, p) in parents {
            let (c, p) = (scope(SCOPES[c]), scope(SCOPES[p]));
            if up.iter().all(|(seen, _)| *seen != c) && c != p { up.push((c, p)); }
        }
        Facts { universe: universe(), custom_roles, assignments, deny_assignments, groups, parents: up, ..Facts::default() }
    }
}

fn operations() -> Vec<(String, bool)> {
    let u = universe();
    let planes = [sekisho_rbac::Plane::Control, sekisho_rbac::Plane::Data];
    planes
        .iter()
        .flat_map(|p| {
            u.matching("*", *p)
                .into_iter()
                .map(|o| (u.name(o).to_owned(), *p != planes[0]))
                .collect::<Vec<_>>()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_decision_agrees_with_the_oracle(facts in some_facts()) {
        let snapshot = Snapshot::compile(facts.clone());
        for at in SCOPES {
            let at = scope(at);
            for p in [PEOPLE, GROUPS].concat() {
                let mut allowed = Vec::new();
                for (op, is_data) in operations() {
                    let wanted = oracle::decide(&facts, who(p), &op, is_data, &at);
                    let got = snapshot.decide(&[who(p)], &op, &at);
                    let got_kind = match got {
                        sekisho_rbac::Decision::Allowed { .. } => Answer::Allowed,
                        sekisho_rbac::Decision::Denied { .. } => Answer::Denied,
                        sekisho_rbac::Decision::Missing { .. } => Answer::Missing,
                    };
                    prop_assert_eq!(&got_kind, &wanted, "{} {} at {}: {:?}", p, op, at, got);
                    prop_assert_eq!(snapshot.may_list(&[who(p)], &op).contains(&at), wanted == Answer::Allowed);
                    if wanted == Answer::Allowed { allowed.push(op); }
                }
                allowed.sort_by_key(|o| o.to_ascii_lowercase());
                prop_assert_eq!(snapshot.effective(&[who(p)], &at), allowed);
            }
        }
    }

    #[test]
    fn the_reason_given_is_a_real_one(facts in some_facts()) {
        let snapshot = Snapshot::compile(facts.clone());
        for at in SCOPES {
            let at = scope(at);
            for (op, _) in operations() {
                let can = snapshot.who_can(&op, &at);
                for p in [PEOPLE, GROUPS].concat() {
                    let decision = snapshot.decide(&[who(p)], &op, &at);
                    prop_assert_eq!(can.iter().any(|g| g.principal == who(p)), decision.is_allowed());
                    if let sekisho_rbac::Decision::Allowed { assignment, role, via_group, .. } = decision {
                        let a = facts.assignments.iter().find(|a| a.name == assignment).unwrap();
                        prop_assert_eq!(a.role, role);
                        prop_assert_eq!(a.principal, via_group.unwrap_or(who(p)));
                        prop_assert!(oracle::all_groups(&facts, who(p)).contains(&a.principal));
                    }
                }
            }
        }
    }

    #[test]
    fn prefixes_hold_every_allowed_scope(facts in some_facts()) {
        let snapshot = Snapshot::compile(facts);
        for p in PEOPLE {
            for (op, _) in operations() {
                let reach = snapshot.may_list(&[who(p)], &op);
                let prefixes = reach.prefixes();
                for at in SCOPES.map(scope) {
                    let key = at.key();
                    let below = |prefix: &String| {
                        prefix.is_empty() || key == *prefix || key.strip_prefix(prefix.as_str()).is_some_and(|r| r.starts_with('/'))
                    };
                    if reach.contains(&at) {
                        prop_assert!(prefixes.iter().any(below), "{} not in {:?}", at, prefixes);
                        let mut up = Some(at.clone());
                        while let Some(s) = up { prop_assert!(reach.touches(&s)); up = s.parent(); }
                    }
                }
            }
        }
    }

    #[test]
    fn a_preview_names_exactly_what_decisions_will_change(before in some_facts(), after in some_facts()) {
        let (old, new) = (Snapshot::compile(before), Snapshot::compile(after));
        let changes = preview(&old, &new);
        for c in &changes {
            let mut at = Scope::parse(&c.scope).unwrap();
            if c.reach == ChangeReach::Below {
                at = at.resource_in("Microsoft.Some", "things", "thing").unwrap();
            }
            prop_assert_eq!(old.decide(&[c.principal], &c.operation, &at).is_allowed(), !c.gained, "{:?}", c);
            prop_assert_eq!(new.decide(&[c.principal], &c.operation, &at).is_allowed(), c.gained, "{:?}", c);
        }
        for at in SCOPES.map(scope) {
            for p in [PEOPLE, GROUPS].concat().into_iter().map(who) {
                for (op, _) in operations() {
                    let (had, has) = (old.decide(&[p], &op, &at).is_allowed(), new.decide(&[p], &op, &at).is_allowed());
                    if had != has {
                        let told = changes.iter().any(|c| {
                            let from = Scope::parse(&c.scope).unwrap();
                            let covers = matches!(from, Scope::ManagementGroup(_)) || match c.reach {
                                ChangeReach::HereAndBelow => from.contains(&at),
                                ChangeReach::Here => from == at,
                                ChangeReach::Below => from.contains(&at) && from != at,
                            };
                            c.principal == p && c.operation == op && c.gained == has && covers
                        });
                        prop_assert!(told, "{} {} at {} not in the preview", p, op, at);
                    }
                }
            }
        }
    }

    #[test]
    fn several_principals_act_as_one(facts in some_facts(), pair in (0..4usize, 0..4usize)) {
        prop_assume!(facts.deny_assignments.is_empty());
        let snapshot = Snapshot::compile(facts);
        let (a, b) = (who(PEOPLE[pair.0]), who(PEOPLE[pair.1]));
        for at in SCOPES.map(scope) {
            for (op, _) in operations() {
                let one = |p| snapshot.decide(&[p], &op, &at).is_allowed();
                prop_assert_eq!(snapshot.decide(&[a, b], &op, &at).is_allowed(), one(a) || one(b));
            }
        }
    }
}

#[test]
fn the_block_helper_is_what_it_says() {
    let b = block(&["*"], &["Microsoft.Compute/*"]);
    assert!(oracle::in_block(&b, "Microsoft.Network/networkSecurityGroups/read", false));
    assert!(!oracle::in_block(&b, "microsoft.compute/virtualMachines/read", false));
    assert!(!oracle::in_block(&b, "Microsoft.Network/networkSecurityGroups/read", true));
}
