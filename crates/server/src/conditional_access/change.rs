//! Changing what holds: with its right, its proof that somebody still gets in, and its entry in the log, in one
//! transaction; in force when it is answered.

use std::net::IpAddr;

use axum::response::Response;
use futures_util::future::BoxFuture;
use http::{StatusCode, Uri};
use sekisho_arm::traits::read_document;
use sekisho_arm::{ArmError, AuditEntry, Outcome, Read, Scope, StoreError, Write};
use sekisho_rbac::PrincipalId;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::records::{PolicyRecord, kind};
use super::{Rulebook, administrators};
use crate::app::App;
use crate::arm::Undone;
use crate::authn::Caller;
use crate::desired::{ResourceChange, WhatIf};
use crate::http as web;
use crate::signin::graph;

/// Within what time somebody must have proved themselves who changes policies.
const FRESH: Duration = Duration::minutes(10);

fn entry(caller: &Caller, action: &str, what: &str, outcome: Outcome, detail: &str) -> AuditEntry {
    let address: IpAddr = caller.address;
    AuditEntry {
        operation: action.to_owned(),
        resource_id: what.to_owned(),
        caller: caller.reference(),
        outcome,
        detail: detail.to_owned(),
        correlation_id: Uuid::new_v4().to_string(),
        authorization: None,
        http: Some(json!({ "clientIpAddress": address.to_string() })),
        phase: None,
        properties: None,
    }
}

/// Refuses unless the caller has a right at the root; the refusal is in the log.
///
/// # Errors
/// 403 `Authorization_RequestDenied`.
pub(super) async fn require(app: &App, caller: &Caller, action: &str) -> Result<(), ArmError> {
    let who = PrincipalId(caller.principal);
    let decision = app.access.snapshot().decide(&app.access.acting(caller), action, &Scope::Tenant);
    let Err(error) = decision.into_result(&caller.name, who, action, &Scope::Tenant) else { return Ok(()) };
    let entry = entry(caller, action, "/", Outcome::Denied, "AuthorizationFailed");
    app.store.write::<_, StoreError, _>(move |tx| Box::pin(async move { tx.audit(entry).await })).await?;
    Err(ArmError::new(403, "Authorization_RequestDenied", error.message))
}

/// What is changed: the document, and how it is called in the log.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    kind: &'static str,
    key: String,
}

impl Subject {
    /// The document of a kind by its id.
    pub(super) fn of(kind: &'static str, id: &str) -> Subject {
        Subject { kind, key: id.to_ascii_lowercase().chars().take(64).collect() }
    }

    fn path(&self) -> String {
        let word = match self.kind {
            kind::POLICY => "conditionalAccessPolicies",
            kind::LOCATION => "namedLocations",
            _ => "authenticationStrengthPolicies",
        };
        format!("/providers/Microsoft.Authorization/{word}/{}", self.key)
    }

    /// As people are shown it; null when it is not there.
    async fn shown(&self, read: &mut (dyn Read + '_)) -> Result<Value, StoreError> {
        let Some(document) = read.document(self.kind, &self.key).await? else { return Ok(Value::Null) };
        if self.kind != kind::POLICY {
            return document.body();
        }
        let record: Option<PolicyRecord> = read_document(read, self.kind, &self.key).await?;
        Ok(json!(record.and_then(|r| r.shown(read.now()))))
    }
}

/// How a change ended.
pub(super) enum Changed<T> {
    /// It is in force.
    Done(T),
    /// It was only to be measured.
    Preview(Box<WhatIf>),
}

impl<T> Changed<T> {
    /// The answer: of the change, or with what it would do.
    pub(super) fn answer(self, done: impl FnOnce(T) -> Response) -> Response {
        match self {
            Changed::Done(out) => done(out),
            Changed::Preview(effect) => web::json(StatusCode::OK, &effect),
        }
    }
}

/// Runs a change of what policies stand on; with `whatIf=true` in the query it is measured and undone.
///
/// # Errors
/// Those of the right and of `work`; 403 `FreshSignInRequired`; 409 `PolicyLocksEveryoneOut`.
pub(super) async fn change<T, F>(
    app: &std::sync::Arc<App>,
    caller: &Caller,
    action: &'static str,
    (subject, uri): (Subject, &Uri),
    work: F,
) -> Result<Changed<T>, ArmError>
where
    T: Send + 'static,
    F: for<'t> FnOnce(&'t mut dyn Write) -> BoxFuture<'t, Result<T, ArmError>> + Send + 'static,
{
    require(app, caller, action).await?;
    let now = OffsetDateTime::now_utc();
    // A session that was left open changes no policy.
    if caller.session.is_some() && !caller.proofs.iter().any(|p| now - p.at <= FRESH) {
        let text = "For this, sign in again: your sign-in is older than ten minutes.";
        return Err(ArmError::new(403, "FreshSignInRequired", text));
    }
    // The proof asks how administrators come: what was seen lately is part of that.
    super::seen::flush(app).await?;
    let (owner, entry) = (app.clone(), entry(caller, action, &subject.path(), Outcome::Succeeded, "OK"));
    let what_if = graph::asks_what_if(uri);
    let done = app
        .store
        .write::<T, Undone, _>(move |tx| {
            Box::pin(async move {
                let (before, old) = (subject.shown(tx.as_read()).await?, Rulebook::read(tx.as_read()).await?);
                let out = work(tx).await?;
                let new = Rulebook::read(tx.as_read()).await?;
                administrators::still_get_in(&owner, tx.as_read(), (&old, &new)).await?;
                if what_if {
                    let after = subject.shown(tx.as_read()).await?;
                    let changes = vec![ResourceChange::between(subject.path(), before, after)];
                    return Err(Undone::Preview(WhatIf::of(changes)));
                }
                tx.audit(entry).await?;
                Ok(out)
            })
        })
        .await;
    match done {
        Ok(out) => {
            app.conditional_access.refresh(&app.store).await?;
            Ok(Changed::Done(out))
        }
        Err(Undone::Preview(effect)) => Ok(Changed::Preview(Box::new(effect))),
        Err(Undone::Error(error)) => Err(error),
        // Policies of sign-ins concern no packets.
        Err(Undone::Broken(_)) => Err(ArmError::internal()),
    }
}
