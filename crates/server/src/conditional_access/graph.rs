//! Policies at Microsoft Graph's paths: `identity/conditionalAccess/policies`.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::{StatusCode, Uri};
use sekisho_arm::traits::{read_document, read_documents, write_document};
use sekisho_arm::{ArmError, Read};
use sekisho_identity::conditional_access::Policy;
use sekisho_identity::conditional_access::body::PolicyBody;
use sekisho_identity::session::Session;
use serde_json::Value;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::change::{Subject, change, require};
use super::records::{MAX_CONFIRM_MINUTES, MAX_POLICIES, Pending, PolicyRecord, kind};
use super::{places, try_out};
use crate::app::App;
use crate::authn::Caller;
use crate::desired::WhatIf;
use crate::http as web;
use crate::routes::{List, Operation, Routes};

/// The right to read policies, and what was seen of sign-ins.
pub(super) const READ: &str = "Microsoft.Authorization/conditionalAccessPolicies/read";
/// The right to change them.
pub(super) const WRITE: &str = "Microsoft.Authorization/conditionalAccessPolicies/write";
/// The right to remove them.
pub(super) const DELETE: &str = "Microsoft.Authorization/conditionalAccessPolicies/delete";

/// The rights over policies.
pub(crate) fn rights() -> [&'static str; 3] {
    [READ, WRITE, DELETE]
}

const ALL: &str = "/v1.0/identity/conditionalAccess/policies";
const ONE: &str = "/v1.0/identity/conditionalAccess/policies/{id}";
const CONFIRM: &str = "/v1.0/identity/conditionalAccess/policies/{id}/sekisho.confirm";

/// All routes.
pub(crate) fn routes() -> Routes {
    Routes::default()
        .on(Operation::get(ALL, "All policies of conditional access").answers::<List<PolicyBody>>(200), list)
        .on(
            previewed(Operation::post(ALL, "Adds a policy").takes::<PolicyBody>().answers::<PolicyBody>(201)),
            add,
        )
        .on(Operation::get(ONE, "A policy").answers::<PolicyBody>(200), one)
        .on(previewed(Operation::patch(ONE, "Changes a policy").takes::<PolicyBody>().ends(204)), edit)
        .on(previewed(Operation::delete(ONE, "Removes a policy").ends(204)), remove)
        .on(
            previewed(
                Operation::post(
                    CONFIRM,
                    "Keeps a change that would undo itself; by somebody who has signed in since",
                )
                .ends(204),
            ),
            confirm,
        )
        .merge(places::routes())
        .merge(try_out::routes())
}

/// A write that can be tried.
pub(super) fn previewed(operation: Operation) -> Operation {
    operation.query("whatIf").answers::<WhatIf>(200)
}

pub(super) fn answer(result: Result<Response, ArmError>) -> Response {
    result.unwrap_or_else(|error| web::arm_error(&error))
}

pub(super) fn bad(message: impl Into<String>) -> ArmError {
    ArmError::bad("Request_BadRequest", message)
}

pub(super) fn not_found(what: &str, id: &str) -> ArmError {
    let shown: String = id.chars().take(120).collect();
    ArmError::new(404, "Request_ResourceNotFound", format!("There is no {what} '{shown}'."))
}

pub(super) async fn json_of(request: Request) -> Result<Value, ArmError> {
    web::parse_json(&web::read_body(request.into_body(), 256 << 10).await?)
}

pub(super) fn no_content() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Understands a policy and finds what it refers to.
///
/// # Errors
/// 400 by the name of the field.
pub(super) async fn understood(
    read: &mut (dyn Read + '_),
    id: Uuid,
    body: &PolicyBody,
) -> Result<Policy, ArmError> {
    let policy = Policy::compile(id, body).map_err(|e| bad(e.to_string()).target(e.field))?;
    for location in policy.rules.locations() {
        if read.document(kind::LOCATION, &location.to_string()).await?.is_none() {
            return Err(bad(format!("There is no named location {location}.")).target("conditions.locations"));
        }
    }
    let known = sekisho_identity::conditional_access::Strengths::default();
    for strength in policy.rules.strengths() {
        let custom = read.document(kind::STRENGTH, &strength.to_string()).await?.is_some();
        if !custom && !known.contains(strength) {
            let target = "grantControls.authenticationStrength";
            return Err(bad(format!("There is no strength of authentication {strength}.")).target(target));
        }
    }
    Ok(policy)
}

async fn record(read: &mut (dyn Read + '_), id: &str) -> Result<PolicyRecord, ArmError> {
    let found: Option<PolicyRecord> = match Uuid::try_parse(id) {
        Ok(id) => read_document(read, kind::POLICY, &id.to_string()).await?,
        Err(_) => None,
    };
    let now = read.now();
    found.filter(|r| r.in_force(now).is_some()).ok_or_else(|| not_found("policy", id))
}

async fn list(State(app): State<Arc<App>>, caller: Caller) -> Response {
    let run = async {
        require(&app, &caller, READ).await?;
        let mut read = app.store.read().await?;
        let all: Vec<(String, PolicyRecord)> = read_documents(&mut read, kind::POLICY).await?;
        let now = read.now();
        let mut value: Vec<PolicyBody> = all.iter().filter_map(|(_, r)| r.shown(now)).collect();
        value.sort_by(|a, b| a.display_name.cmp(&b.display_name));
        Ok(web::json(StatusCode::OK, &List::of(value)))
    };
    answer(run.await)
}

async fn one(State(app): State<Arc<App>>, Path(id): Path<String>, caller: Caller) -> Response {
    let run = async {
        require(&app, &caller, READ).await?;
        let mut read = app.store.read().await?;
        let record = record(&mut read, &id).await?;
        Ok(web::json(StatusCode::OK, &record.shown(read.now())))
    };
    answer(run.await)
}

/// What a client sent, without what only the server says; and for how long the change waits for a confirmation.
fn wanted(value: Value) -> Result<(PolicyBody, Option<Duration>), ArmError> {
    let mut body = PolicyBody::read(value).map_err(bad)?;
    let minutes = body.sekisho.take().and_then(|own| own.confirm_within_minutes);
    if minutes.is_some_and(|m| !(1..=MAX_CONFIRM_MINUTES).contains(&m)) {
        let text = format!("A change waits 1 to {MAX_CONFIRM_MINUTES} minutes for its confirmation.");
        return Err(bad(text).target("sekisho.confirmWithinMinutes"));
    }
    (body.id, body.created_date_time, body.modified_date_time) = (None, None, None);
    Ok((body, minutes.map(|m| Duration::minutes(i64::from(m)))))
}

async fn add(State(app): State<Arc<App>>, caller: Caller, request: Request) -> Response {
    let run = async {
        let uri = request.uri().clone();
        let (body, wait) = wanted(json_of(request).await?)?;
        let id = Uuid::new_v4();
        let subject = Subject::of(kind::POLICY, &id.to_string());
        let made = change(&app, &caller, WRITE, (subject, &uri), move |tx| {
            Box::pin(async move {
                let now = tx.now();
                understood(tx.as_read(), id, &body).await?;
                if tx.as_read().documents(kind::POLICY).await?.len() >= MAX_POLICIES {
                    return Err(bad(format!("There are {MAX_POLICIES} policies already.")));
                }
                let pending = wait.map(|wait| Pending { since: now, by: now + wait, before: None });
                let record = PolicyRecord { id, body, created: now, modified: now, pending };
                write_document(tx, kind::POLICY, &id.to_string(), &record).await?;
                Ok(record.shown(now))
            })
        })
        .await?;
        Ok(made.answer(|shown| web::json(StatusCode::CREATED, &shown)))
    };
    answer(run.await)
}

/// A JSON merge patch (RFC 7396), except that lists of conditions are replaced as wholes, as Graph does.
fn merged(to: &mut Value, patch: Value) {
    match (to, patch) {
        (Value::Object(to), Value::Object(patch)) => {
            for (name, value) in patch {
                merged(to.entry(name).or_insert(Value::Null), value);
            }
        }
        (to, patch) => *to = patch,
    }
}

async fn edit(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    caller: Caller,
    request: Request,
) -> Response {
    let run = async {
        let uri = request.uri().clone();
        let patch = json_of(request).await?;
        let subject = Subject::of(kind::POLICY, &id);
        let done = change(&app, &caller, WRITE, (subject, &uri), move |tx| {
            Box::pin(async move {
                let now = tx.now();
                let mut kept = record(tx.as_read(), &id).await?;
                let before = kept.in_force(now).cloned();
                let mut whole = serde_json::to_value(&before).map_err(|_| ArmError::internal())?;
                merged(&mut whole, patch);
                let (body, wait) = wanted(whole)?;
                understood(tx.as_read(), kept.id, &body).await?;
                kept.pending = match (wait, kept.pending.take().filter(|p| now < p.by)) {
                    // What would be gone back to is what was last confirmed.
                    (Some(wait), Some(waiting)) => {
                        Some(Pending { since: now, by: now + wait, before: waiting.before })
                    }
                    (Some(wait), None) => Some(Pending { since: now, by: now + wait, before }),
                    (None, _) => None,
                };
                (kept.body, kept.modified) = (body, now);
                Ok(write_document(tx, kind::POLICY, &kept.id.to_string(), &kept).await?)
            })
        })
        .await?;
        Ok(done.answer(|()| no_content()))
    };
    answer(run.await)
}

async fn remove(State(app): State<Arc<App>>, Path(id): Path<String>, caller: Caller, uri: Uri) -> Response {
    let run = async {
        let subject = Subject::of(kind::POLICY, &id);
        let done = change(&app, &caller, DELETE, (subject, &uri), move |tx| {
            Box::pin(async move {
                let kept = record(tx.as_read(), &id).await?;
                tx.remove_document(kind::POLICY, &kept.id.to_string()).await?;
                Ok(())
            })
        })
        .await?;
        Ok(done.answer(|()| no_content()))
    };
    answer(run.await)
}

/// A change proves that it locks nobody out by somebody's signing in under it.
async fn confirm(State(app): State<Arc<App>>, Path(id): Path<String>, caller: Caller, uri: Uri) -> Response {
    let run = async {
        let subject = Subject::of(kind::POLICY, &id);
        let session: Option<Session> = caller.session.as_deref().cloned();
        let done = change(&app, &caller, WRITE, (subject, &uri), move |tx| {
            Box::pin(async move {
                let mut kept = record(tx.as_read(), &id).await?;
                let now: OffsetDateTime = tx.now();
                let Some(pending) = kept.pending.take().filter(|p| now < p.by) else {
                    let text = "This policy waits for no confirmation.";
                    return Err(ArmError::new(409, "NothingToConfirm", text));
                };
                // Signing in again makes a new session; an older one proves nothing about the change.
                if session.is_none_or(|s| s.created <= pending.since) {
                    let text = "Sign in again first: only who has signed in since the change can confirm it.";
                    return Err(ArmError::new(403, "NewSignInRequired", text));
                }
                Ok(write_document(tx, kind::POLICY, &kept.id.to_string(), &kept).await?)
            })
        })
        .await?;
        Ok(done.answer(|()| no_content()))
    };
    answer(run.await)
}
