//! What may be granted, defined and removed.

use sekisho_rbac::condition::Source;
use sekisho_rbac::guard::{
    ASSIGNMENT_DELETE, ASSIGNMENT_WRITE, check_assignment, check_role_removal, keeps_an_owner, may_define,
};
use sekisho_rbac::{
    Assignment, Attributes, Decision, Facts, Group, Permission, PrincipalId, PrincipalType, RoleId, Snapshot,
    builtin,
};
use uuid::uuid;

use crate::{assign, block, facts, role, scope, who};

/// Virtual Machine Data Access Administrator (preview): may grant the two login roles and nothing else.
const VM_DATA_ACCESS_ADMINISTRATOR: RoleId = RoleId(uuid!("66f75aeb-eabe-4b70-9f1e-c350c4c9ad04"));

fn may_assign(s: &Snapshot, who: &[PrincipalId], wanted: &Assignment) -> Decision {
    s.decide_with(who, ASSIGNMENT_WRITE, &wanted.scope, &seen(Source::Request, wanted))
}

fn may_unassign(s: &Snapshot, who: &[PrincipalId], kept: &Assignment) -> Decision {
    s.decide_with(who, ASSIGNMENT_DELETE, &kept.scope, &seen(Source::Resource, kept))
}

fn seen(source: Source, a: &Assignment) -> Attributes {
    let principal = a.principal.to_string();
    Attributes::none().of_assignment(source, Some(a.role), Some(&principal), Some(a.principal_type.as_str()))
}

#[test]
fn what_a_request_leaves_out_meets_no_condition_not_even_a_negative_one() {
    for kind in ["StringNotEqualsIgnoreCase 'User'", "StringEqualsIgnoreCase 'User'"] {
        let mut f = facts();
        let mut a = assign(1, 1, builtin::USER_ACCESS_ADMINISTRATOR, "SUB");
        let field = "@Request[Microsoft.Authorization/roleAssignments:PrincipalType]";
        a.condition = Some(format!("({field} {kind})"));
        f.assignments = vec![a];
        let s = Snapshot::compile(f);
        let unsaid =
            Attributes::none().of_assignment(Source::Request, Some(builtin::READER), Some("p"), None);
        assert!(!s.decide_with(&[who(1)], ASSIGNMENT_WRITE, &scope("SUB"), &unsaid).is_allowed(), "{kind}");
    }
}

#[test]
fn a_delegate_grants_the_listed_roles_only_and_may_lack_them_herself() {
    let mut f = facts();
    f.assignments = vec![assign(1, 1, VM_DATA_ACCESS_ADMINISTRATOR, "SUB")];
    let s = Snapshot::compile(f);
    assert!(may_assign(&s, &[who(1)], &assign(2, 9, builtin::VM_USER_LOGIN, "SUB")).is_allowed());
    assert!(may_unassign(&s, &[who(1)], &assign(2, 9, builtin::VM_USER_LOGIN, "SUB")).is_allowed());
    assert!(!may_assign(&s, &[who(1)], &assign(2, 9, builtin::OWNER, "SUB")).is_allowed());
    assert!(!may_unassign(&s, &[who(1)], &assign(2, 9, builtin::OWNER, "SUB")).is_allowed());
    assert!(!may_assign(&s, &[who(1)], &assign(2, 9, builtin::VM_USER_LOGIN, "/")).is_allowed());
}

#[test]
fn a_condition_on_the_assignment_narrows_what_an_access_administrator_grants() {
    let mut f = facts();
    let mut a = assign(1, 1, builtin::USER_ACCESS_ADMINISTRATOR, "SUB");
    a.condition = Some(
        "((!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'})) OR \
         (@Request[Microsoft.Authorization/roleAssignments:PrincipalType] StringEqualsIgnoreCase 'Group'))"
            .to_owned(),
    );
    f.assignments = vec![a];
    let s = Snapshot::compile(f);
    let mut wanted = assign(2, 9, builtin::OWNER, "SUB");
    assert!(!may_assign(&s, &[who(1)], &wanted).is_allowed());
    wanted.principal_type = PrincipalType::Group;
    assert!(may_assign(&s, &[who(1)], &wanted).is_allowed());
    assert!(may_unassign(&s, &[who(1)], &wanted).is_allowed(), "the condition is about writing only");
    assert!(!s.may_list(&[who(1)], ASSIGNMENT_WRITE).contains(&scope("SUB")));
}

#[test]
fn without_the_action_nobody_grants_even_what_they_have() {
    let mut f = facts();
    f.assignments = vec![assign(1, 1, builtin::CONTRIBUTOR, "SUB")];
    let s = Snapshot::compile(f);
    assert!(!may_assign(&s, &[who(1)], &assign(2, 9, builtin::READER, "SUB")).is_allowed());
}

#[test]
fn a_role_is_defined_by_those_who_may_at_every_assignable_scope() {
    let mut f = facts();
    f.assignments = vec![assign(1, 1, builtin::OWNER, "SUB/resourceGroups/a")];
    let s = Snapshot::compile(f);
    let mut r = role(100, vec![block(&["*"], &[])]);
    r.properties.assignable_scopes = vec![scope("SUB/resourceGroups/a").to_string()];
    assert!(may_define(&s, &[who(1)], &r).is_allowed());
    r.properties.assignable_scopes.push(scope("SUB/resourceGroups/b").to_string());
    assert!(!may_define(&s, &[who(1)], &r).is_allowed());
    r.properties.assignable_scopes.clear();
    assert!(!may_define(&s, &[who(1)], &r).is_allowed());
}

#[test]
fn assignments_are_checked_as_azure_does() {
    let mut f = facts();
    let mut with_data =
        role(101, vec![Permission { data_actions: vec!["*".to_owned()], ..Default::default() }]);
    let group = "/providers/Microsoft.Management/managementGroups/g";
    with_data.properties.assignable_scopes = vec![group.to_owned()];
    f.custom_roles = vec![role(100, vec![block(&["*"], &[])]), with_data];
    f.assignments = vec![assign(1, 1, builtin::READER, "SUB")];
    f.parents = vec![(scope("SUB"), scope(group))];
    let (plain, data) = (f.custom_roles[0].name, f.custom_roles[1].name);
    let s = Snapshot::compile(f);
    let code = |a| check_assignment(&s, &a).err().map(|e| (e.status, e.code));
    let err = |status, code: &str| Some((status, code.to_owned()));

    assert_eq!(code(assign(2, 2, builtin::READER, "SUB")), None);
    assert_eq!(code(assign(2, 1, builtin::READER, "SUB")), err(409, "RoleAssignmentExists"));
    assert_eq!(code(assign(1, 1, builtin::READER, "SUB")), None, "the same once more is fine");
    assert_eq!(code(assign(1, 1, builtin::OWNER, "SUB")), err(400, "RoleAssignmentUpdateNotPermitted"));
    assert_eq!(code(assign(2, 1, role(999, vec![]).name, "SUB")), err(400, "RoleDefinitionDoesNotExist"));
    assert_eq!(code(assign(2, 1, plain, "SUB/resourceGroups/a")), None);
    assert_eq!(code(assign(2, 1, plain, "/")), err(400, "RoleAssignmentScopeNotAssignableToRoleDefinition"));
    assert_eq!(code(assign(2, 1, data, "SUB")), None, "inside the management group it is fine");
    assert_eq!(code(assign(2, 1, data, group)), err(400, "InvalidRoleAssignment"));
    let mut odd = assign(2, 2, builtin::READER, "SUB");
    odd.condition = Some("(".to_owned());
    assert_eq!(code(odd), err(400, "InvalidRequestContent"));
}

#[test]
fn a_role_in_use_or_built_in_cannot_go() {
    let mut f = facts();
    f.custom_roles = vec![role(100, vec![]), role(101, vec![])];
    f.assignments = vec![assign(1, 1, f.custom_roles[0].name, "SUB")];
    let s = Snapshot::compile(f);
    let code = |r: &sekisho_rbac::RoleDefinition| check_role_removal(&s, r).err().map(|e| e.code);
    assert_eq!(code(&role(100, vec![])).as_deref(), Some("RoleDefinitionHasAssignments"));
    assert_eq!(code(&role(101, vec![])), None);
    assert_eq!(code(builtin::role(builtin::OWNER).unwrap()).as_deref(), Some("BuiltInRoleCannotBeDeleted"));
}

#[test]
fn the_last_unconditional_owner_of_the_root_cannot_go() {
    let with = |a| Facts { assignments: vec![a], ..facts() };
    let before = Snapshot::compile(with(assign(1, 1, builtin::OWNER, "/")));
    let holds = |f: Facts| keeps_an_owner(&before, &Snapshot::compile(f)).is_ok();
    assert!(holds(with(assign(1, 1, builtin::OWNER, "/"))));
    assert!(!holds(facts()));
    assert!(!holds(with(assign(1, 1, builtin::OWNER, "SUB"))), "not the root");
    assert!(!holds(with(assign(1, 1, builtin::CONTRIBUTOR, "/"))), "not Owner");
    let mut conditional = assign(1, 1, builtin::OWNER, "/");
    conditional.condition = Some("ActionMatches{'*'}".to_owned());
    assert!(!holds(with(conditional)));

    let mut f = with(assign(1, 50, builtin::OWNER, "/"));
    f.groups = vec![Group { id: who(50), members: vec![who(51)] }, Group { id: who(51), members: vec![] }];
    assert!(!holds(f.clone()), "a group with nobody in it is nobody");
    f.groups[1].members.push(who(1));
    assert!(holds(f));

    let nobody = Snapshot::compile(facts());
    assert!(keeps_an_owner(&nobody, &nobody).is_ok(), "where nobody is Owner there is none to keep");
}
