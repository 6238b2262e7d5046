//! Previews as people read them.

use sekisho_rbac::{Snapshot, builtin, preview};

use crate::{SUB, assign, facts, scope, who};

#[test]
fn a_grant_is_told_once_at_the_scope_where_it_is_made() {
    let mut f = facts();
    f.assignments = vec![assign(1, 1, builtin::VM_USER_LOGIN, "SUB/resourceGroups/a")];
    let before = Snapshot::compile(f.clone());
    f.assignments.push(assign(2, 1, builtin::READER, "SUB"));
    let changes = preview(&before, &Snapshot::compile(f));
    assert!(!changes.is_empty());
    assert!(
        changes.iter().all(|c| c.gained && c.scope == SUB && c.operation.ends_with("/read")),
        "{changes:?}"
    );
    assert!(changes.iter().all(|c| c.principal == who(1)));
}

#[test]
fn leaving_a_group_loses_what_only_the_group_gave() {
    let mut f = facts();
    f.groups = vec![sekisho_rbac::Group { id: who(50), members: vec![who(1), who(2)] }];
    f.assignments = vec![assign(1, 50, builtin::CONTRIBUTOR, "SUB"), assign(2, 1, builtin::READER, "SUB")];
    let before = Snapshot::compile(f.clone());
    f.groups[0].members.remove(0);
    let changes = preview(&before, &Snapshot::compile(f));
    assert!(changes.iter().all(|c| !c.gained && c.principal == who(1)));
    assert!(!changes.iter().any(|c| c.operation.ends_with("/read")), "the person may still read");
    assert!(changes.iter().any(|c| c.operation == "Microsoft.Compute/virtualMachines/write"));
}

#[test]
fn moving_a_subscription_tells_what_its_people_lose() {
    let group = |n: &str| scope(&format!("/providers/Microsoft.Management/managementGroups/{n}"));
    let mut f = facts();
    f.assignments = vec![assign(1, 1, builtin::READER, "/providers/Microsoft.Management/managementGroups/a")];
    f.parents = vec![(scope("SUB"), group("a"))];
    let before = Snapshot::compile(f.clone());
    f.parents = vec![(scope("SUB"), group("b"))];
    let changes = preview(&before, &Snapshot::compile(f));
    assert!(!changes.is_empty() && changes.iter().all(|c| !c.gained && c.scope == SUB), "{changes:?}");
}

#[test]
fn changing_what_a_role_grants_is_told_for_everyone_who_has_it() {
    let mut f = facts();
    f.custom_roles = vec![crate::role(100, vec![crate::block(&["*/read"], &[])])];
    f.assignments =
        vec![assign(1, 1, f.custom_roles[0].name, "SUB"), assign(2, 2, f.custom_roles[0].name, "SUB")];
    let before = Snapshot::compile(f.clone());
    f.custom_roles[0].properties.permissions[0].actions.push("Sekisho.Bastion/sessions/write".to_owned());
    assert_eq!(preview(&before, &Snapshot::compile(f.clone())), [], "no such operation, no change");
    f.custom_roles[0].properties.permissions[0]
        .actions
        .push("Microsoft.Compute/virtualMachines/start/action".to_owned());
    assert_eq!(preview(&before, &Snapshot::compile(f)).len(), 2);
}
