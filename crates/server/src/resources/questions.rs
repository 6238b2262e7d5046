//! `explain`, `whoCan` and `effective`: the questions that people ask about rights.

use std::collections::HashMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use sekisho_arm::registry::{Action, ActionStyle, ScopeAction};
use sekisho_arm::resource::{shown, typed};
use sekisho_arm::{ArmError, Call, CallerRef, Read, Scope};
use sekisho_rbac::{Decision, PrincipalId, RoleId, Snapshot};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::authorization::{KnownPrincipal, LateUniverse, asker, names, snapshot};
use crate::access;
use crate::arm::{Explanation, explain};
use crate::routes::{List, SchemaOf};

/// Adds them.
pub(super) fn register(registry: &mut sekisho_arm::Registry, universe: &LateUniverse) {
    for kind in [Asked::Explain, Asked::WhoCan, Asked::Effective] {
        registry.add_scope_action(Question { kind, universe: universe.clone() });
    }
}

#[derive(Clone, Copy)]
enum Asked {
    Explain,
    WhoCan,
    Effective,
}

/// `explain`, `whoCan` and `effective`: the questions of the access pages.
struct Question {
    kind: Asked,
    universe: LateUniverse,
}

/// What is asked.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AccessQuestion")]
struct Asking {
    /// About whom; the caller when absent.
    #[schemars(with = "Option<String>")]
    principal_id: Option<Uuid>,
    /// About which operation; `effective` asks about all.
    action: Option<String>,
}

/// What somebody may do at a scope.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EffectiveActions {
    principal_id: String,
    actions: Vec<String>,
}

/// Somebody who may do what was asked.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "WhoCan")]
struct Grantee {
    principal_id: String,
    principal_type: KnownPrincipal,
    display_name: String,
    assignment_id: String,
    role_name: String,
    scope: String,
    /// The group through which the assignment holds.
    via: Option<String>,
    /// Whether it holds only in the sign-in in which it was activated.
    in_one_sign_in: bool,
}

#[async_trait]
impl ScopeAction for Question {
    fn namespace(&self) -> &'static str {
        "Sekisho.Authorization"
    }

    fn action(&self) -> Action {
        let (verb, title, answers): (_, _, SchemaOf) = match self.kind {
            Asked::Explain => ("explain", "Explains whether somebody may do something and why", |g| {
                g.subschema_for::<Explanation>()
            }),
            Asked::WhoCan => ("whoCan", "Lists who may do something", |g| g.subschema_for::<List<Grantee>>()),
            Asked::Effective => {
                ("effective", "Lists what somebody may do", |g| g.subschema_for::<EffectiveActions>())
            }
        };
        let takes: SchemaOf = |g| g.subschema_for::<Asking>();
        Action { verb, style: ActionStyle::Sync, reads: true, title, takes, answers }
    }

    fn is_about(&self, caller: &CallerRef, body: &Value) -> bool {
        let who = &body["principalId"];
        let own = who.is_null() || who.as_str().is_some_and(|w| w.eq_ignore_ascii_case(&caller.object_id));
        own && !matches!(self.kind, Asked::WhoCan)
    }

    async fn act(
        &self,
        read: &mut dyn Read,
        call: &Call,
        scope: &Scope,
        body: Value,
    ) -> Result<Value, ArmError> {
        let asking: Asking = typed(&body, "")?;
        let all = snapshot(read, &self.universe).await?;
        let who = asking.principal_id.map_or_else(|| asker(call), PrincipalId);
        let active = access::schedules(read, access::ASSIGNMENTS).await?;
        let bound: HashMap<PrincipalId, PrincipalId> =
            active.iter().filter_map(|s| Some((PrincipalId(s.sign_in?), s.principal))).collect();
        // What somebody may do in any of their sign-ins.
        let sign_ins = bound.iter().filter(|(_, person)| **person == who).map(|(sign_in, _)| *sign_in);
        let acting: Vec<PrincipalId> = std::iter::once(who).chain(sign_ins).collect();
        let action = || {
            let name = asking.action.clone().unwrap_or_default();
            match all.universe().find(&name) {
                Some(_) => Ok(name),
                None => Err(ArmError::bad(
                    "InvalidAction",
                    format!("The action '{name}' is not known to this server."),
                )
                .target("action")),
            }
        };
        match self.kind {
            Asked::Explain => {
                let action = action()?;
                let decision = all.decide(&acting, &action, scope);
                let mut out = explain(&decision, &action, scope);
                if let (Decision::Allowed { role, .. }, Some(grant)) = (&decision, &mut out.assignment) {
                    grant.role_name = Some(role_name(&all, *role));
                    grant.principal_id = Some(who.to_string());
                }
                out.message = Some(match decision.into_result(&who.to_string(), who, &action, scope) {
                    Ok(()) => "Allowed.".to_owned(),
                    Err(error) => error.message,
                });
                shown(&out)
            }
            Asked::WhoCan => {
                let action = action()?;
                let names = names(read).await?;
                let value: Vec<Grantee> = all
                    .who_can(&action, scope)
                    .into_iter()
                    .filter_map(|grantee| {
                        let Decision::Allowed { assignment, at, role, via_group } = grantee.decision else {
                            return None;
                        };
                        let person = bound.get(&grantee.principal);
                        let principal = *person.unwrap_or(&grantee.principal);
                        let known = names.get(&principal.0);
                        Some(Grantee {
                            principal_id: principal.to_string(),
                            in_one_sign_in: person.is_some(),
                            principal_type: known.map_or(KnownPrincipal::Unknown, |k| k.kind),
                            display_name: known.map_or_else(|| principal.to_string(), |k| k.name.clone()),
                            assignment_id: assignment.to_string(),
                            role_name: role_name(&all, role),
                            scope: at.to_string(),
                            via: via_group.map(|g| g.to_string()),
                        })
                    })
                    .collect();
                shown(&List::of(value))
            }
            Asked::Effective => shown(&EffectiveActions {
                principal_id: who.to_string(),
                actions: all.effective(&acting, scope).into_iter().map(str::to_owned).collect(),
            }),
        }
    }
}

fn role_name(all: &Snapshot, role: RoleId) -> String {
    all.role(role).map(|r| r.properties.role_name.clone()).unwrap_or_default()
}
