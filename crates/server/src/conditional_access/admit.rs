//! What every request passes before anything else is asked: who is identified is not yet let in.

use std::sync::Arc;

use http::HeaderMap;
use sekisho_arm::{ArmError, PrincipalKind};
use sekisho_identity::conditional_access::{
    Demand, Evaluation, Limits, Platform, PolicyResult, Signals, Subject, Verdict,
};
use sekisho_rbac::{PrincipalId, Snapshot, Who};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Rulebook;
use crate::app::App;
use crate::authn::Caller;
use crate::http as web;

/// What a request is for, where its address does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Anything that is served.
    Anything,
    /// To change what one signs in with: an action of its own, or else nobody could register what a policy asks for.
    SecurityInfo,
}

/// Whoever asks, as policies see them.
pub(super) fn subject(kind: PrincipalKind, id: Uuid, rights: &Snapshot, book: &Rulebook) -> Subject {
    acting_subject(kind, id, (&[PrincipalId(id)]).into(), rights, book)
}

/// Whoever asks, with what they have activated in this sign-in.
fn acting_subject(
    kind: PrincipalKind,
    id: Uuid,
    acting: Who<'_>,
    rights: &Snapshot,
    book: &Rulebook,
) -> Subject {
    if kind != PrincipalKind::User {
        return Subject::Program { id };
    }
    Subject::Person {
        id,
        groups: rights.groups_of(PrincipalId(id)).into_iter().map(|g| g.0).collect(),
        possible_groups: rights.uncertain_groups().map(|g| g.0).collect(),
        roles: rights.roles_of(acting).into_iter().map(|r| r.0).collect(),
        privileged: rights.is_privileged(acting),
        break_glass: book.emergency.contains(&id),
    }
}

/// What is known of a request.
fn signals(app: &App, caller: &Caller, headers: &HeaderMap, ask: Ask, book: &Rulebook) -> Signals {
    let agent = web::header(headers, "user-agent").unwrap_or_default();
    Signals {
        subject: acting_subject(
            caller.kind,
            caller.principal,
            (&app.access.acting(caller)).into(),
            &app.access.snapshot(),
            book,
        ),
        applications: caller.through.applications.clone(),
        registers_security_info: ask == Ask::SecurityInfo,
        context: None,
        client: caller.through.client,
        platform: Platform::of_agent(&agent),
        address: caller.address,
        country: app.countries.of(caller.address),
        flow: caller.through.flow,
        sign_in_risk: caller.through.risk,
        user_risk: caller.through.user_risk,
    }
}

fn judged(app: &App, caller: &Caller, headers: &HeaderMap, ask: Ask) -> (Evaluation, Signals, Arc<Rulebook>) {
    let now = OffsetDateTime::now_utc();
    let book = app.conditional_access.rulebook(now);
    let signals = signals(app, caller, headers, ask, &book);
    (book.evaluate(&signals, &caller.proofs, now), signals, book)
}

/// Judges a request; what was asked is noted for trying policies on the past.
fn evaluated(app: &App, caller: &Caller, headers: &HeaderMap, ask: Ask) -> (Verdict, Arc<Rulebook>) {
    let (evaluation, signals, book) = judged(app, caller, headers, ask);
    if ask == Ask::Anything {
        app.seen.note(caller, signals, OffsetDateTime::now_utc());
    }
    (evaluation.verdict, book)
}

/// Whether a stream of somebody who was let in may go on.
pub(crate) fn still_admitted(app: &App, caller: &Caller, headers: &HeaderMap) -> bool {
    matches!(judged(app, caller, headers, Ask::Anything).0.verdict, Verdict::Granted(_))
}

/// What the policies say of a sign-in.
pub(crate) struct Judged {
    evaluation: Evaluation,
    book: Arc<Rulebook>,
}

impl Judged {
    /// Judges a sign-in.
    pub(crate) fn of(app: &App, caller: &Caller, headers: &HeaderMap) -> Judged {
        let (evaluation, _, book) = judged(app, caller, headers, Ask::Anything);
        Judged { evaluation, book }
    }

    /// What is missing; it may still be proved and is no reason to refuse the sign-in.
    ///
    /// # Errors
    /// 403 `ConditionalAccessBlocked`.
    pub(crate) fn missing(&self) -> Result<Option<Missing>, ArmError> {
        match &self.evaluation.verdict {
            Verdict::Granted(_) => Ok(None),
            Verdict::Demanded(demand) => Ok(Some(Missing::of(&self.book, demand))),
            Verdict::Blocked(by) => Err(blocked(&self.book, by)),
        }
    }

    /// Whether it is not simply let through.
    pub(crate) fn is_refused(&self) -> bool {
        !matches!(self.evaluation.verdict, Verdict::Granted(_))
    }

    /// What each policy says.
    pub(crate) fn results(&self) -> impl Iterator<Item = &PolicyResult> {
        self.evaluation.results.iter()
    }

    /// What people call a policy.
    pub(crate) fn name(&self, policy: Uuid) -> &str {
        self.book.name(policy)
    }
}

/// Refuses whoever may not read policies, and what was seen of sign-ins.
///
/// # Errors
/// 403 `Authorization_RequestDenied`.
pub(crate) async fn may_read(app: &App, caller: &Caller) -> Result<(), ArmError> {
    super::change::require(app, caller, super::graph::READ).await
}

/// Lets a request through, or says what is missing.
///
/// # Errors
/// 403 `ConditionalAccessBlocked`; 401 `StepUpRequired`, `SessionEnded` or `SessionBoundToAddress`.
pub(crate) fn admit(app: &App, caller: &Caller, headers: &HeaderMap, ask: Ask) -> Result<(), ArmError> {
    let (verdict, book) = evaluated(app, caller, headers, ask);
    match verdict {
        Verdict::Granted(limits) => within(limits, caller),
        Verdict::Blocked(by) => Err(blocked(&book, &by)),
        Verdict::Demanded(demand) => Err(demanded(&book, &demand)),
    }
}

/// What a session would have to prove before it is let through; also that it is over or somewhere else.
///
/// # Errors
/// 401 `SessionEnded`, `SessionBoundToAddress`; 403 `ConditionalAccessBlocked`.
pub(crate) fn unmet(app: &App, caller: &Caller, headers: &HeaderMap) -> Result<Option<Missing>, ArmError> {
    let (verdict, book) = evaluated(app, caller, headers, Ask::Anything);
    match verdict {
        Verdict::Granted(limits) => within(limits, caller).map(|()| None),
        Verdict::Demanded(demand) => Ok(Some(Missing::of(&book, &demand))),
        Verdict::Blocked(by) => Err(blocked(&book, &by)),
    }
}

fn within(limits: Limits, caller: &Caller) -> Result<(), ArmError> {
    let Some(session) = &caller.session else { return Ok(()) };
    if limits.idle.is_some_and(|idle| caller.idle_for > idle) {
        let text = "Sign in again: the session ended because nothing happened for a while.";
        return Err(ArmError::new(401, "SessionEnded", text));
    }
    if limits.bound_to_address && session.origin.is_some_and(|origin| origin != caller.address) {
        let text = "Sign in again: this session holds from the address only that it began at.";
        return Err(ArmError::new(401, "SessionBoundToAddress", text));
    }
    Ok(())
}

fn names(book: &Rulebook, by: &[Uuid]) -> Vec<String> {
    by.iter().map(|id| book.name(*id).to_owned()).collect()
}

fn blocked(book: &Rulebook, by: &[Uuid]) -> ArmError {
    let text = format!("Access is blocked by conditional access: {}.", names(book, by).join(", "));
    ArmError::new(403, "ConditionalAccessBlocked", text)
}

/// What is missing, as the portal reads it.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "MissingProof")]
pub(crate) struct Missing {
    /// For each policy that is not satisfied, what would satisfy it: combinations such as `fido2`.
    needs: Vec<Vec<String>>,
    /// How old it may be, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_age_seconds: Option<i64>,
    /// The names of the policies that ask for it.
    policies: Vec<String>,
}

impl Missing {
    fn of(book: &Rulebook, demand: &Demand) -> Missing {
        Missing {
            needs: demand.needs.iter().map(|n| n.iter().map(ToString::to_string).collect()).collect(),
            max_age_seconds: demand.max_age.map(time::Duration::whole_seconds),
            policies: names(book, &demand.by),
        }
    }
}

fn demanded(book: &Rulebook, demand: &Demand) -> ArmError {
    let missing = Missing::of(book, demand);
    let text = format!(
        "Conditional access asks for another sign-in ({}). In the portal, sign in again; for az run 'az login'.",
        missing.policies.join(", ")
    );
    let mut error = ArmError::new(401, "StepUpRequired", text);
    error.additional_info.push(("ConditionalAccess".to_owned(), json!(missing)));
    error
}
