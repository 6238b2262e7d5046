//! Changing what holds: with its right, its proof that somebody still gets in, and its entry in the log, in one
//! transaction; in force when it is answered.

use std::net::IpAddr;

use futures_util::future::BoxFuture;
use sekisho_arm::{ArmError, AuditEntry, Outcome, Scope, StoreError, Write};
use sekisho_rbac::PrincipalId;
use serde_json::json;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Rulebook, administrators};
use crate::app::App;
use crate::authn::Caller;

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
    }
}

/// Refuses unless the caller has a right at the root; the refusal is in the log.
///
/// # Errors
/// 403 `Authorization_RequestDenied`.
pub(super) async fn require(app: &App, caller: &Caller, action: &str) -> Result<(), ArmError> {
    let who = PrincipalId(caller.principal);
    let decision = app.access.snapshot().decide(&[who], action, &Scope::Tenant);
    let Err(error) = decision.into_result(&caller.name, who, action, &Scope::Tenant) else { return Ok(()) };
    let entry = entry(caller, action, "/", Outcome::Denied, "AuthorizationFailed");
    app.store.write::<_, StoreError, _>(move |tx| Box::pin(async move { tx.audit(entry).await })).await?;
    Err(ArmError::new(403, "Authorization_RequestDenied", error.message))
}

/// Runs a change of what policies stand on. `what` names it in the log.
///
/// # Errors
/// Those of the right and of `work`; 403 `FreshSignInRequired`; 409 `PolicyLocksEveryoneOut`.
pub(super) async fn change<T, F>(
    app: &std::sync::Arc<App>,
    caller: &Caller,
    action: &'static str,
    what: &str,
    work: F,
) -> Result<T, ArmError>
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
    let (owner, entry) = (app.clone(), entry(caller, action, what, Outcome::Succeeded, "OK"));
    let out = app
        .store
        .write::<T, ArmError, _>(move |tx| {
            Box::pin(async move {
                let out = work(tx).await?;
                let book = Rulebook::read(tx.as_read()).await?;
                administrators::still_get_in(&owner, tx.as_read(), &book).await?;
                tx.audit(entry).await?;
                Ok(out)
            })
        })
        .await?;
    app.conditional_access.refresh(&app.store).await?;
    Ok(out)
}
