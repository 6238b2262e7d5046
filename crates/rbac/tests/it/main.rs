//! The evaluator against an oracle written separately from Azure's text, against all of Azure's built-in roles, and
//! against the traps that Azure documents.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should panic")]

mod azure_roles;
mod guards;
mod oracle;
mod preview;
mod property;
mod traps;
mod validation;

use std::sync::Arc;

use sekisho_arm::Scope;
use sekisho_rbac::{Assignment, Facts, Permission, PrincipalId, PrincipalType, RoleId, Universe};
use uuid::Uuid;

pub(crate) const SUB: &str = "/subscriptions/33333333-3333-3333-3333-333333333333";

pub(crate) fn scope(text: &str) -> Scope {
    Scope::parse(&text.replace("SUB", SUB)).unwrap()
}

pub(crate) fn who(n: u128) -> PrincipalId {
    PrincipalId(Uuid::from_u128(n))
}

pub(crate) fn assign(n: u128, principal: u128, role: RoleId, at: &str) -> Assignment {
    Assignment {
        name: Uuid::from_u128(n),
        scope: scope(at),
        principal: who(principal),
        principal_type: PrincipalType::User,
        role,
        condition: None,
    }
}

pub(crate) fn block(actions: &[&str], not_actions: &[&str]) -> Permission {
    let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
    Permission { actions: own(actions), not_actions: own(not_actions), ..Permission::default() }
}

pub(crate) fn role(n: u128, permissions: Vec<Permission>) -> sekisho_rbac::RoleDefinition {
    sekisho_rbac::RoleDefinition {
        name: RoleId(Uuid::from_u128(n)),
        properties: sekisho_rbac::RoleDefinitionProperties {
            role_name: format!("Role {n}"),
            assignable_scopes: vec![SUB.to_owned()],
            permissions,
            ..Default::default()
        },
    }
}

/// A few operations of the real server, both planes.
pub(crate) fn universe() -> Arc<Universe> {
    let control = [
        "Microsoft.Authorization/roleAssignments/read",
        "Microsoft.Authorization/roleAssignments/write",
        "Microsoft.Authorization/roleAssignments/delete",
        "Microsoft.Authorization/roleDefinitions/write",
        "Microsoft.Authorization/locks/delete",
        "Microsoft.Compute/virtualMachines/read",
        "Microsoft.Compute/virtualMachines/write",
        "Microsoft.Compute/virtualMachines/start/action",
        "Microsoft.Compute/virtualMachines/extensions/read",
        "Microsoft.Compute/virtualMachines/extensions/write",
        "Microsoft.Network/networkSecurityGroups/read",
        "Microsoft.Network/networkSecurityGroups/write",
        "Microsoft.Network/networkSecurityGroups/securityRules/read",
        "Sekisho.Bastion/sessions/read",
    ];
    let data = [
        "Microsoft.Compute/virtualMachines/login/action",
        "Microsoft.Compute/virtualMachines/loginAsAdmin/action",
    ];
    let all = control.iter().map(|o| (*o, false)).chain(data.iter().map(|o| (*o, true)));
    Arc::new(Universe::new(all).unwrap())
}

pub(crate) fn facts() -> Facts {
    Facts { universe: universe(), ..Facts::default() }
}
