//! What Azure's documentation warns of, one test each.

use sekisho_rbac::{Decision, DenyAssignment, Facts, Group, Permission, PrincipalType, Snapshot, builtin};
use uuid::Uuid;

use crate::{SUB, assign, block, facts, role, scope, who};

const VM: &str = "SUB/resourceGroups/prod/providers/Microsoft.Compute/virtualMachines/vm1";
const READ: &str = "Microsoft.Compute/virtualMachines/read";
const WRITE: &str = "Microsoft.Compute/virtualMachines/write";

fn deny(at: &str, actions: &[&str]) -> DenyAssignment {
    DenyAssignment {
        name: Uuid::from_u128(900),
        display_name: "freeze".to_owned(),
        scope: scope(at),
        permissions: vec![block(actions, &[])],
        principals: vec![],
        everyone: true,
        excluded: vec![],
        only_here: false,
        condition: None,
    }
}

fn owner() -> Facts {
    Facts { assignments: vec![assign(1, 1, builtin::OWNER, "SUB")], ..facts() }
}

fn can(facts: &Facts, op: &str, at: &str) -> bool {
    Snapshot::compile(facts.clone()).decide(&[who(1)], op, &scope(at)).is_allowed()
}

#[test]
fn owner_opens_no_shell() {
    assert!(can(&owner(), WRITE, VM));
    assert!(!can(&owner(), "Microsoft.Compute/virtualMachines/login/action", VM));
    let mut f = owner();
    f.assignments.push(assign(2, 1, builtin::VM_USER_LOGIN, "SUB"));
    assert!(can(&f, "Microsoft.Compute/virtualMachines/login/action", VM));
    assert!(!can(&f, "Microsoft.Compute/virtualMachines/loginAsAdmin/action", VM));
}

#[test]
fn not_actions_are_a_subtraction_and_not_a_denial() {
    let mut f = facts();
    f.assignments = vec![assign(1, 1, builtin::CONTRIBUTOR, "SUB")];
    let grant = "Microsoft.Authorization/roleAssignments/write";
    assert!(!can(&f, grant, VM));
    f.assignments.push(assign(2, 1, builtin::USER_ACCESS_ADMINISTRATOR, "SUB"));
    assert!(can(&f, grant, VM), "the second role grants what the first one subtracts");
}

#[test]
fn a_subtraction_stays_in_its_own_block() {
    let mut f = facts();
    f.custom_roles = vec![role(100, vec![block(&["Microsoft.Compute/*"], &[WRITE]), block(&[WRITE], &[])])];
    f.assignments = vec![assign(1, 1, f.custom_roles[0].name, "SUB")];
    assert!(can(&f, WRITE, VM));
}

#[test]
fn a_longer_name_is_not_inside_a_shorter_one() {
    let mut f = facts();
    f.assignments = vec![assign(1, 1, builtin::READER, "SUB/resourceGroups/prod")];
    assert!(can(&f, READ, VM));
    assert!(!can(&f, READ, "SUB/resourceGroups/prod2"));
    assert!(!can(&f, READ, "SUB"));
}

#[test]
fn management_groups_inherit_by_parent_and_not_by_path() {
    let group = |n: &str| scope(&format!("/providers/Microsoft.Management/managementGroups/{n}"));
    let mut f = facts();
    f.assignments =
        vec![assign(1, 1, builtin::READER, "/providers/Microsoft.Management/managementGroups/top")];
    assert!(!can(&f, READ, VM));
    f.parents = vec![(scope("SUB"), group("team")), (group("team"), group("TOP"))];
    assert!(can(&f, READ, VM));
    let snapshot = Snapshot::compile(f);
    let prefixes = snapshot.may_list(&[who(1)], READ).prefixes();
    assert!(prefixes.contains(&SUB.to_owned()), "{prefixes:?}");
}

#[test]
fn a_deny_assignment_beats_owner_and_can_spare_and_stay_here() {
    let mut f = owner();
    f.deny_assignments = vec![deny("SUB/resourceGroups/prod", &["*/write"])];
    let got = Snapshot::compile(f.clone()).decide(&[who(1)], WRITE, &scope(VM));
    assert!(matches!(got, Decision::Denied { ref display_name, .. } if display_name == "freeze"), "{got:?}");
    assert!(can(&f, READ, VM));

    f.deny_assignments[0].only_here = true;
    assert!(can(&f, WRITE, VM));
    assert!(!can(&f, WRITE, "SUB/resourceGroups/prod"));

    f.deny_assignments[0].only_here = false;
    f.groups = vec![Group { id: who(50), members: vec![who(1)] }];
    f.deny_assignments[0].excluded = vec![who(50)];
    assert!(can(&f, WRITE, VM), "spared through a group");
}

#[test]
fn a_denial_whose_condition_cannot_be_read_holds() {
    let mut f = owner();
    f.deny_assignments = vec![deny("SUB", &["*"])];
    f.deny_assignments[0].condition = Some("nonsense".to_owned());
    assert!(!can(&f, READ, VM));
    f.deny_assignments[0].condition = Some("@Environment[x] StringEquals 'y'".to_owned());
    assert!(!can(&f, READ, VM));
    f.deny_assignments[0].condition = Some(format!("!(ActionMatches{{'{READ}'}})"));
    assert!(can(&f, READ, VM));
}

#[test]
fn a_group_that_cannot_be_read_gives_nothing_spares_nobody_and_denies_everybody() {
    let mut f = owner();
    f.assignments.push(assign(9, 50, builtin::READER, "/"));
    f.groups = vec![Group { id: who(51), members: vec![who(50)] }];
    f.unreadable_groups = vec![who(50)];
    assert!(can(&f, WRITE, VM));
    assert!(!Snapshot::compile(f.clone()).decide(&[who(2)], READ, &scope(VM)).is_allowed());

    f.deny_assignments = vec![deny("SUB", &["*/write"])];
    for group in [50, 51] {
        (f.deny_assignments[0].everyone, f.deny_assignments[0].principals) = (false, vec![who(group)]);
        assert!(!can(&f, WRITE, VM) && can(&f, READ, VM), "{group}");
    }
    f.deny_assignments[0].everyone = true;
    f.deny_assignments[0].excluded = vec![who(50)];
    assert!(!can(&f, WRITE, VM));
}

#[test]
fn a_grant_whose_condition_cannot_be_read_grants_nothing_and_is_reported() {
    let mut f = owner();
    f.assignments[0].condition = Some("@Request[x] IpMatch '10.0.0.0/33'".to_owned());
    assert!(!can(&f, READ, VM));
    let snapshot = Snapshot::compile(f);
    assert_eq!(snapshot.problems().len(), 1);
    let got = snapshot.decide(&[who(1)], READ, &scope(VM));
    assert!(matches!(got, Decision::Missing { condition_unmet: Some(_), .. }));
}

#[test]
fn groups_nest_and_may_contain_each_other() {
    let mut f = facts();
    f.groups = vec![
        Group { id: who(50), members: vec![who(51)] },
        Group { id: who(51), members: vec![who(52), who(50)] },
        Group { id: who(52), members: vec![who(1), who(52)] },
    ];
    f.assignments = vec![assign(1, 50, builtin::READER, "/")];
    f.assignments[0].principal_type = PrincipalType::Group;
    let snapshot = Snapshot::compile(f);
    let got = snapshot.decide(&[who(1)], READ, &scope(VM));
    assert!(matches!(got, Decision::Allowed { via_group: Some(g), .. } if g == who(50)), "{got:?}");
    assert_eq!(snapshot.groups_of(who(1)).len(), 3);
    assert!(!snapshot.decide(&[who(2)], READ, &scope(VM)).is_allowed());
}

#[test]
fn the_persons_own_and_nearest_assignment_is_the_reason_given() {
    let mut f = facts();
    f.groups = vec![Group { id: who(50), members: vec![who(1)] }];
    f.assignments = vec![
        assign(1, 50, builtin::READER, "SUB"),
        assign(2, 1, builtin::READER, "SUB"),
        assign(3, 1, builtin::READER, "/"),
    ];
    let got = Snapshot::compile(f).decide(&[who(1)], READ, &scope(VM));
    assert!(
        matches!(got, Decision::Allowed { assignment, via_group: None, .. } if assignment == Uuid::from_u128(2))
    );
}

#[test]
fn an_operation_nobody_registered_is_nobodys() {
    let got = Snapshot::compile(owner()).decide(&[who(1)], "Microsoft.Unknown/things/read", &scope(VM));
    assert_eq!(
        got,
        Decision::Missing { action: "Microsoft.Unknown/things/read".to_owned(), condition_unmet: None }
    );
}

#[test]
fn an_assignment_of_a_deleted_role_grants_nothing_and_is_reported() {
    let mut f = facts();
    f.assignments = vec![assign(1, 1, role(100, vec![]).name, "/")];
    let snapshot = Snapshot::compile(f);
    assert_eq!(snapshot.problems().len(), 1);
    assert!(snapshot.effective(&[who(1)], &scope("/")).is_empty());
}

#[test]
fn a_custom_role_cannot_take_the_place_of_a_built_in_one() {
    let mut f = facts();
    let mut fake = role(100, vec![block(&["*"], &[])]);
    fake.name = builtin::READER;
    f.custom_roles = vec![fake];
    f.assignments = vec![assign(1, 1, builtin::READER, "/")];
    assert!(!can(&f, WRITE, VM));
}

#[test]
fn a_second_star_that_got_past_validation_does_not_widen_a_role() {
    let mut f = facts();
    f.custom_roles = vec![role(100, vec![block(&["*"], &["Microsoft.Compute/*/extensions/*"])])];
    f.assignments = vec![assign(1, 1, f.custom_roles[0].name, "SUB")];
    assert!(!can(&f, "Microsoft.Compute/virtualMachines/extensions/write", VM));
}

#[test]
fn data_patterns_never_reach_control_operations() {
    let mut f = facts();
    let p = Permission { data_actions: vec!["*".to_owned()], ..Permission::default() };
    f.custom_roles = vec![role(100, vec![p])];
    f.assignments = vec![assign(1, 1, f.custom_roles[0].name, "SUB")];
    assert!(can(&f, "Microsoft.Compute/virtualMachines/loginAsAdmin/action", VM));
    assert!(!can(&f, READ, VM));
}

#[test]
fn refusals_use_azures_words() {
    let s = Snapshot::compile(owner());
    let at = scope(VM);
    let error = s.decide(&[who(2)], WRITE, &at).into_result("app", who(2), WRITE, &at).unwrap_err();
    assert_eq!((error.status, error.code.as_str()), (403, "AuthorizationFailed"));
    assert_eq!(
        error.message,
        format!(
            "The client 'app' with object id '00000000-0000-0000-0000-000000000002' does not have authorization to \
             perform action '{WRITE}' over scope '{at}' or the scope is invalid. If access was recently granted, \
             please refresh your credentials."
        )
    );
    assert!(s.decide(&[who(1)], WRITE, &at).into_result("app", who(1), WRITE, &at).is_ok());
}

#[test]
fn the_path_to_something_readable_is_visible() {
    let mut f = facts();
    f.assignments = vec![assign(1, 1, builtin::READER, VM)];
    let snapshot = Snapshot::compile(f);
    let reach = snapshot.may_list(&[who(1)], READ);
    assert!(reach.touches(&scope("SUB")));
    assert!(!reach.contains(&scope("SUB")));
    assert!(!reach.touches(&scope("/subscriptions/44444444-4444-4444-4444-444444444444")));
    assert_eq!(snapshot.readable_scopes(&[who(1)]), [scope(VM)]);
}
