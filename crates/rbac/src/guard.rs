//! What may be written: the checks that stand between a request and the facts.
//!
//! Azure's rule for delegation is kept: whoever may write role assignments at a scope may grant any role there, also
//! rights they lack themselves, unless a condition on their own role narrows it. Nothing else lets anybody grant.

use sekisho_arm::{ArmError, Scope};

use crate::condition::Condition;
use crate::scopes::is_management_group;
use crate::{Assignment, Decision, RoleDefinition, RoleId, RoleType, Snapshot, Who, builtin};

/// The operation that creates role assignments.
pub const ASSIGNMENT_WRITE: &str = "Microsoft.Authorization/roleAssignments/write";
/// The operation that removes role assignments.
pub const ASSIGNMENT_DELETE: &str = "Microsoft.Authorization/roleAssignments/delete";
/// The operation that creates and changes custom roles.
pub const ROLE_WRITE: &str = "Microsoft.Authorization/roleDefinitions/write";

/// Whether a caller may write a custom role: they need it at every assignable scope. The first refusal is returned.
pub fn may_define<'w>(snapshot: &Snapshot, who: impl Into<Who<'w>>, role: &RoleDefinition) -> Decision {
    let who = who.into();
    let mut last = Decision::Missing { action: ROLE_WRITE.to_owned(), condition_unmet: None };
    for scope in &role.properties.assignable_scopes {
        let Ok(scope) = Scope::parse(scope) else {
            return Decision::Missing { action: ROLE_WRITE.to_owned(), condition_unmet: None };
        };
        last = snapshot.decide(who, ROLE_WRITE, &scope);
        if !last.is_allowed() {
            break;
        }
    }
    last
}

/// Checks a new assignment against the facts.
///
/// # Errors
/// - 400 `RoleDefinitionDoesNotExist`, `RoleAssignmentScopeNotAssignableToRoleDefinition`
/// - 400 `InvalidRoleAssignment` for a custom role with data actions at a management group
/// - 400 `InvalidRequestContent` for a condition that cannot be read
/// - 409 `RoleAssignmentExists` when the principal has the role at that scope under another name
/// - 400 `RoleAssignmentUpdateNotPermitted` when the name exists with another principal, role or scope
pub fn check_assignment(snapshot: &Snapshot, assignment: &Assignment) -> Result<(), ArmError> {
    check_role(snapshot, assignment.role, &assignment.scope, assignment.condition.as_deref())?;
    for other in &snapshot.grants {
        let same = (snapshot.holder(other), other.role) == (assignment.principal, assignment.role)
            && *other.at == assignment.scope;
        if other.name == assignment.name && !same {
            return Err(ArmError::bad(
                "RoleAssignmentUpdateNotPermitted",
                "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
            ));
        }
        if other.name != assignment.name && same {
            return Err(ArmError::new(409, "RoleAssignmentExists", "The role assignment already exists."));
        }
    }
    Ok(())
}

/// Checks that a role may be had at a scope, under a condition if there is one.
///
/// # Errors
/// The first four of [`check_assignment`].
pub fn check_role(
    snapshot: &Snapshot,
    role: RoleId,
    scope: &Scope,
    condition: Option<&str>,
) -> Result<(), ArmError> {
    let Some(role) = snapshot.role(role) else {
        let text = format!("The specified role definition with ID '{role}' does not exist.");
        return Err(ArmError::bad("RoleDefinitionDoesNotExist", text).target("properties.roleDefinitionId"));
    };
    let key = scope.key();
    if !role.assignable_at(snapshot.tree.upward(&key)) {
        let text = format!(
            "The scope '{scope}' is not at or below an assignable scope of the role '{}'.",
            role.properties.role_name
        );
        return Err(ArmError::bad("RoleAssignmentScopeNotAssignableToRoleDefinition", text));
    }
    let custom = role.properties.role_type == RoleType::CustomRole;
    if custom && role.has_data_actions() && (is_management_group(&key) || key == "/") {
        return Err(ArmError::bad(
            "InvalidRoleAssignment",
            "Custom roles with DataActions cannot be assigned at the management group scope.",
        ));
    }
    if let Some(condition) = condition.filter(|c| !c.trim().is_empty()) {
        Condition::parse(condition)
            .map_err(|e| ArmError::invalid_content(format!("{e}.")).target("properties.condition"))?;
    }
    Ok(())
}

/// Checks that a role definition may go.
///
/// # Errors
/// 400 `RoleDefinitionHasAssignments`, or 400 `BuiltInRoleCannotBeDeleted`.
pub fn check_role_removal(snapshot: &Snapshot, role: &RoleDefinition) -> Result<(), ArmError> {
    if builtin::role(role.name).is_some() {
        return Err(ArmError::bad(
            "BuiltInRoleCannotBeDeleted",
            "Built-in roles cannot be changed or deleted.",
        ));
    }
    if snapshot.grants.iter().any(|g| g.role == role.name) {
        return Err(ArmError::bad(
            "RoleDefinitionHasAssignments",
            "There are existing role assignments referencing role. Remove them first.",
        ));
    }
    Ok(())
}

/// Refuses a change that takes the last Owner of everything away. An Owner counts when the assignment is at the root,
/// without condition, and of a principal who exists: a person or service (leave removed and disabled ones out of the
/// facts' groups and assignments), or a group with somebody in it. Where nobody is Owner before, nothing is refused.
///
/// # Errors
/// 409 with Azure's text "Cannot delete the last RBAC admin assignment".
pub fn keeps_an_owner(before: &Snapshot, after: &Snapshot) -> Result<(), ArmError> {
    if has_an_owner(after) || !has_an_owner(before) {
        return Ok(());
    }
    Err(ArmError::new(
        409,
        "LastOwnerCannotBeRemoved",
        "Cannot delete the last RBAC admin assignment: somebody must stay Owner of the root scope without condition.",
    ))
}

fn has_an_owner(all: &Snapshot) -> bool {
    all.grants.iter().any(|g| {
        g.role == builtin::OWNER
            && *g.key == *"/"
            && g.is_unconditional()
            && all.reaches_somebody(all.holder(g))
    })
}
