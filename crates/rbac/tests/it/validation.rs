//! Azure's rules for custom roles.

use sekisho_rbac::validate::custom_role;
use sekisho_rbac::{Permission, RoleDefinition, builtin};

use crate::{SUB, block, role, universe};

fn code(role: &RoleDefinition) -> Result<Vec<String>, (String, Option<String>)> {
    custom_role(role, builtin::roles(), &universe()).map_err(|e| (e.code, e.target))
}

#[test]
fn a_role_copied_out_of_azure_is_taken_with_actions_nobody_knows_here() {
    let r = role(100, vec![block(&["Microsoft.Sql/servers/read", "Microsoft.Compute/*/read", "*"], &[])]);
    assert_eq!(code(&r), Ok(vec!["Microsoft.Sql/servers/read".to_owned()]));
}

#[test]
fn an_action_string_has_at_most_one_star_and_stands_on_its_own_plane() {
    let list = [
        ("Microsoft.Compute/*/extensions/*", false),
        ("", false),
        ("two words/read", false),
        ("Microsoft.Compute", false),
        ("Microsoft.Compute/virtualMachines/login/action", false),
        ("Microsoft.Compute/virtualMachines/read", true),
    ];
    for (text, data) in list {
        let mut p = Permission::default();
        if data {
            p.data_actions.push(text.to_owned())
        } else {
            p.actions.push(text.to_owned())
        }
        let (code, target) = code(&role(100, vec![p])).unwrap_err();
        assert_eq!(code, "InvalidActionOrNotAction", "{text}");
        assert!(target.unwrap().starts_with("properties.permissions[0]."), "{text}");
    }
}

#[test]
fn names_are_unique_without_case_and_not_too_long() {
    let mut r = role(100, vec![block(&["*"], &[])]);
    r.properties.role_name = "owner ".to_owned();
    assert_eq!(code(&r).unwrap_err().0, "RoleDefinitionWithSameNameExists");
    for name in [String::new(), " ".to_owned(), "x".repeat(513)] {
        r.properties.role_name = name;
        assert_eq!(code(&r).unwrap_err().1.as_deref(), Some("properties.roleName"));
    }
    r.properties.role_name = "é".repeat(512);
    assert!(code(&r).is_ok());
    let twin = r.clone();
    assert!(custom_role(&r, [&twin], &universe()).is_ok(), "a role may keep its own name");
}

#[test]
fn assignable_scopes_are_real_scopes_below_the_root_with_one_management_group() {
    let group = |n: &str| format!("/providers/Microsoft.Management/managementGroups/{n}");
    let cases = [
        (vec![], false),
        (vec!["/".to_owned()], false),
        (vec!["/subscriptions/*".to_owned()], false),
        (vec!["subscriptions/x".to_owned()], false),
        (vec![group("a"), group("b")], false),
        (vec![group("a"), SUB.to_owned(), format!("{SUB}/resourceGroups/x")], true),
    ];
    for (scopes, fine) in cases {
        let mut r = role(100, vec![block(&["*"], &[])]);
        r.properties.assignable_scopes.clone_from(&scopes);
        assert_eq!(code(&r).is_ok(), fine, "{scopes:?}");
    }
}

#[test]
fn built_in_roles_and_conditions_in_roles_are_not_for_people() {
    let mut r = role(100, vec![block(&["*"], &[])]);
    r.properties.permissions[0].condition = Some("ActionMatches{'*'}".to_owned());
    assert!(code(&r).is_err());
    let mut fake = role(100, vec![block(&["*"], &[])]);
    fake.name = builtin::READER;
    assert!(code(&fake).is_err());
    assert!(code(builtin::role(builtin::READER).unwrap()).is_err());
    assert!(code(&role(100, vec![])).is_err());
}
