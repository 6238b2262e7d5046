//! Azure's rules for custom roles (azure-docs, custom-roles and role-definitions).

use sekisho_arm::{ArmError, Scope};

use crate::universe::MAX_PATTERN_BYTES;
use crate::{Plane, RoleDefinition, RoleType, Universe};

/// Longest role name, in characters.
pub const MAX_NAME: usize = 512;
/// Longest description, in characters.
pub const MAX_DESCRIPTION: usize = 2048;
/// Most assignable scopes of one role.
pub const MAX_ASSIGNABLE_SCOPES: usize = 2000;

/// Checks a custom role before it is stored. `others` are all other role definitions, built-in ones included.
///
/// Returns the action strings that pick no operation of this server. They are kept, because a role copied out of Azure
/// must work unchanged; the caller may show them.
///
/// # Errors
/// - 409 `RoleDefinitionWithSameNameExists`
/// - 400 `InvalidActionOrNotAction` for a malformed string, a second `*`, or an operation listed on the wrong plane
/// - 400 `RoleDefinitionAssignableScopesInvalid` for a scope that cannot be one
/// - 400 `InvalidRequestContent` for everything else
pub fn custom_role<'a>(
    role: &RoleDefinition,
    others: impl IntoIterator<Item = &'a RoleDefinition>,
    universe: &Universe,
) -> Result<Vec<String>, ArmError> {
    let p = &role.properties;
    let bad = |target: &str, text: String| Err(ArmError::invalid_content(text).target(target));
    if p.role_type != RoleType::CustomRole || crate::builtin::role(role.name).is_some() {
        return bad("properties.type", "Built-in roles cannot be created or changed.".to_owned());
    }
    let length = p.role_name.chars().count();
    if p.role_name.trim().is_empty() || length > MAX_NAME {
        return bad(
            "properties.roleName",
            format!("A role name has 1 to {MAX_NAME} characters, not {length}."),
        );
    }
    if p.description.chars().count() > MAX_DESCRIPTION {
        let text = format!("A role description has at most {MAX_DESCRIPTION} characters.");
        return bad("properties.description", text);
    }
    let lower = p.role_name.trim().to_lowercase();
    let twin =
        |o: &&RoleDefinition| o.name != role.name && o.properties.role_name.trim().to_lowercase() == lower;
    if others.into_iter().any(|o| twin(&o)) {
        return Err(ArmError::new(
            409,
            "RoleDefinitionWithSameNameExists",
            "A role definition cannot be updated with a name that already exists.",
        )
        .target("properties.roleName"));
    }
    assignable_scopes(&p.assignable_scopes)?;

    if p.permissions.is_empty() {
        return bad("properties.permissions", "A role has at least one permission block.".to_owned());
    }
    let mut unknown = Vec::new();
    for (i, block) in p.permissions.iter().enumerate() {
        // Kept without effect it would grant more than its author meant, so it is refused.
        if block.condition.is_some() {
            let target = format!("properties.permissions[{i}].condition");
            return bad(&target, "Custom roles cannot have conditions; put it on the assignment.".to_owned());
        }
        let lists = [
            ("actions", &block.actions, Plane::Control),
            ("notActions", &block.not_actions, Plane::Control),
            ("dataActions", &block.data_actions, Plane::Data),
            ("notDataActions", &block.not_data_actions, Plane::Data),
        ];
        for (field, list, plane) in lists {
            for (j, text) in list.iter().enumerate() {
                let under = |e: ArmError| e.target(format!("properties.permissions[{i}].{field}[{j}]"));
                if !action(text, plane, universe).map_err(under)? {
                    unknown.push(text.clone());
                }
            }
        }
    }
    Ok(unknown)
}

/// Whether the string picks any operation here.
fn action(text: &str, plane: Plane, universe: &Universe) -> Result<bool, ArmError> {
    let bad = |why: &str| Err(ArmError::bad("InvalidActionOrNotAction", format!("'{text}' {why}.")));
    let trimmed = text.trim();
    let odd =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '\\' | '#' | '%' | '\'' | '"');
    if trimmed.is_empty() || trimmed.len() > MAX_PATTERN_BYTES || trimmed.chars().any(odd) {
        return bad("is not an action string");
    }
    if trimmed.matches('*').count() > 1 {
        return bad("has more than one wildcard; an action string may have one");
    }
    if !trimmed.contains('*') && !trimmed.contains('/') {
        return bad("does not match any of the actions supported by the providers");
    }
    if !universe.matching(trimmed, plane).is_empty() {
        return Ok(true);
    }
    match universe.find(trimmed) {
        Some(_) if plane == Plane::Control => bad("is a data action and belongs in dataActions"),
        Some(_) => bad("is a control plane action and belongs in actions"),
        None => Ok(false),
    }
}

fn assignable_scopes(scopes: &[String]) -> Result<(), ArmError> {
    let bad = |i: Option<usize>, text: String| {
        let target = match i {
            Some(i) => format!("properties.assignableScopes[{i}]"),
            None => "properties.assignableScopes".to_owned(),
        };
        Err(ArmError::bad("RoleDefinitionAssignableScopesInvalid", text).target(target))
    };
    if scopes.is_empty() || scopes.len() > MAX_ASSIGNABLE_SCOPES {
        let text =
            format!("A role has 1 to {MAX_ASSIGNABLE_SCOPES} assignable scopes, not {}.", scopes.len());
        return bad(None, text);
    }
    let mut management_groups = 0;
    for (i, text) in scopes.iter().enumerate() {
        match Scope::parse(text) {
            Ok(Scope::Tenant) => {
                return bad(Some(i), "The root scope is for built-in roles only.".to_owned());
            }
            Ok(Scope::ManagementGroup(_)) => management_groups += 1,
            Ok(_) => {}
            Err(e) => return bad(Some(i), format!("'{text}' is not a scope: {e}.")),
        }
    }
    if management_groups > 1 {
        let text = "A custom role can have only one management group in its assignable scopes.";
        return bad(None, text.to_owned());
    }
    Ok(())
}
