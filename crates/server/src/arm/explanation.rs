//! Why a request is allowed or refused, as facts: for the portal, for `explain`, and inside of every refusal.

use schemars::JsonSchema;
use sekisho_arm::Scope;
use sekisho_rbac::Decision;
use serde::Serialize;

/// A decision as facts for the portal: what would have to change for it to be yes.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    action: String,
    scope: String,
    allowed: bool,
    reason: Reason,
    /// What grants it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignment: Option<ExplainedGrant>,
    /// What forbids it.
    #[serde(skip_serializing_if = "Option::is_none")]
    deny: Option<ExplainedDenial>,
    /// The role assignment that would grant it, if its condition held.
    #[serde(skip_serializing_if = "Option::is_none")]
    condition_unmet: Option<String>,
    /// The role that the caller could activate for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activatable: Option<Activatable>,
    /// The same as a sentence; only in answers to `explain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Reason {
    Assignment,
    Deny,
    None,
}

/// A role that somebody is eligible for.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Activatable {
    /// The eligibility.
    pub(super) role_eligibility_schedule_id: String,
    pub(super) role_id: String,
    pub(super) role_name: String,
    /// Where they are eligible.
    pub(super) scope: String,
}

impl Activatable {
    pub(super) fn advice(&self) -> String {
        format!(
            " You are eligible for the role '{}' at '{}', which allows it: activate it in the portal under My roles, \
             or with a roleAssignmentScheduleRequests of the requestType SelfActivate.",
            self.role_name, self.scope
        )
    }
}

/// The role assignment that grants something.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedGrant {
    id: String,
    scope: String,
    role_id: String,
    /// The group through which it holds.
    via: Option<String>,
    /// What people call the role; only in answers to `explain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_name: Option<String>,
    /// Whom it is about; only in answers to `explain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
}

/// The deny assignment that forbids something.
#[derive(Debug, Serialize, JsonSchema)]
struct ExplainedDenial {
    id: String,
    name: String,
    scope: String,
}

/// Says why a decision is as it is.
pub fn explain(decision: &Decision, action: &str, scope: &Scope) -> Explanation {
    let mut out = Explanation {
        action: action.to_owned(),
        scope: scope.to_string(),
        allowed: decision.is_allowed(),
        reason: Reason::None,
        assignment: None,
        deny: None,
        condition_unmet: None,
        activatable: None,
        message: None,
    };
    match decision {
        Decision::Allowed { assignment, at, role, via_group } => {
            out.reason = Reason::Assignment;
            out.assignment = Some(ExplainedGrant {
                id: assignment.to_string(),
                scope: at.to_string(),
                role_id: role.to_string(),
                via: via_group.map(|g| g.to_string()),
                role_name: None,
                principal_id: None,
            });
        }
        Decision::Denied { deny_assignment, display_name, at } => {
            out.reason = Reason::Deny;
            out.deny = Some(ExplainedDenial {
                id: deny_assignment.to_string(),
                name: display_name.clone(),
                scope: at.to_string(),
            });
        }
        Decision::Missing { condition_unmet, .. } => {
            out.condition_unmet = condition_unmet.map(|assignment| assignment.to_string());
        }
    }
    out
}
