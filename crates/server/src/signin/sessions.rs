//! Sessions and credentials of the person who is signed in.

use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method as Verb, StatusCode, header};
use sekisho_arm::resource::instant;
use sekisho_arm::traits::read_document;
use sekisho_arm::{ArmError, Listing, Outcome, Read, Scope, StoreError, TypeName};
use sekisho_identity::Person;
use sekisho_identity::recovery::RecoveryCodes;
use sekisho_identity::session::{Method, Session};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::{answer, entry, kind, people, person_ref};
use crate::app::App;
use crate::authn::{self, COOKIE};
use crate::http::{self as web, Peer};

/// How fresh a sign-in must be for changing credentials.
const FRESH: Duration = Duration::minutes(10);

fn word(method: Method) -> &'static str {
    match method {
        Method::Password => "password",
        Method::Totp => "totp",
        Method::RecoveryCode => "recovery",
        Method::Passkey => "passkey",
        Method::Link => "link",
    }
}

/// The signed-in person with their session.
async fn own(app: &App, verb: &Verb, headers: &HeaderMap, peer: Peer) -> Result<(Person, Session), ArmError> {
    let caller = authn::caller(app, verb, headers, peer).await?;
    let session = caller
        .session
        .ok_or_else(|| ArmError::new(403, "SessionRequired", "This is only for people in the portal."))?;
    let person = people::by_id(&mut app.store.read().await?, caller.principal).await?;
    Ok((person.ok_or_else(ArmError::internal)?, *session))
}

/// The same, for somebody who has proved themselves within ten minutes.
pub(super) async fn fresh(
    app: &App,
    verb: &Verb,
    headers: &HeaderMap,
    peer: Peer,
) -> Result<(Person, Session), ArmError> {
    let (person, session) = own(app, verb, headers, peer).await?;
    let now = OffsetDateTime::now_utc();
    if session.proofs.iter().any(|p| now - p.at <= FRESH) {
        return Ok((person, session));
    }
    let text = "For this, sign in again: your sign-in is older than ten minutes.";
    Err(ArmError::new(403, "FreshSignInRequired", text))
}

/// A session as the portal reads it.
pub(super) async fn describe(app: &App, session: &Session) -> Result<Value, ArmError> {
    let mut read = app.store.read().await?;
    let person = people::by_id(&mut read, session.person).await?.ok_or_else(ArmError::internal)?;
    let listing = Listing::of(&Scope::Tenant, &TypeName::new("Microsoft.Resources", "subscriptions"));
    let who = [sekisho_rbac::PrincipalId(person.id)];
    let seen = app.access.snapshot().readable_scopes(&who);
    let subscriptions: Vec<Value> = read
        .list(&listing)
        .await?
        .iter()
        .filter(|s| seen.iter().any(|at| at.contains(&s.id) || s.id.contains(at)))
        .map(|s| json!({"id": s.id.to_string(), "subscriptionId": s.id.name(), "displayName": s.rest.get("displayName")}))
        .collect();
    let last = session.proofs.iter().map(|p| p.at).max().unwrap_or(session.created);
    Ok(json!({
        "person": {"id": person.id, "userPrincipalName": person.user_principal_name, "displayName": person.display_name},
        "sessionId": session.id,
        "tenantId": app.tenant,
        "subscriptions": subscriptions,
        "auth": {"methods": session.proofs.iter().map(|p| word(p.method)).collect::<Vec<_>>(), "at": instant(last)},
        "idleExpiresAt": instant(session.seen + Duration::seconds(session.idle)),
        "absoluteExpiresAt": instant(session.ends()),
    }))
}

/// `GET /auth/session`.
pub(super) async fn current(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    let run = async {
        let (_, session) = own(&app, &Verb::GET, &headers, peer).await?;
        Ok(web::json(StatusCode::OK, &describe(&app, &session).await?))
    };
    answer(run.await)
}

/// `POST /auth/signout`.
pub(super) async fn sign_out(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    let run = async {
        // Also without a session: the answer takes the cookie away.
        authn::same_origin(&Verb::POST, &headers, &web::base_url(&headers, &app.config))?;
        if let Ok((person, session)) = own(&app, &Verb::POST, &headers, peer).await {
            let address = peer.0.ip().to_string();
            app.store
                .write::<_, StoreError, _>(move |tx| {
                    Box::pin(async move {
                        tx.remove_document(kind::SESSION, &session.key()).await?;
                        tx.audit(entry(
                            "people/signOut/action",
                            person_ref(&person),
                            Outcome::Succeeded,
                            "OK",
                            &address,
                        ))
                        .await
                    })
                })
                .await?;
        }
        let mut response = StatusCode::NO_CONTENT.into_response();
        let gone = format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
        if let Ok(value) = HeaderValue::from_str(&gone) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
        Ok(response)
    };
    answer(run.await)
}

/// `GET /auth/sessions`.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    let run = async {
        let (person, current) = own(&app, &Verb::GET, &headers, peer).await?;
        let mut all = people::sessions(&mut app.store.read().await?, &person).await?;
        all.sort_by_key(|s| std::cmp::Reverse(s.seen));
        let value: Vec<Value> = all
            .iter()
            .map(|s| {
                json!({
                    "id": s.id, "current": s.id == current.id, "createdAt": instant(s.created), "lastSeenAt": instant(s.seen),
                    "ipAddress": s.ip, "userAgent": s.user_agent,
                    "methods": s.proofs.iter().map(|p| word(p.method)).collect::<Vec<_>>(),
                    "absoluteExpiresAt": instant(s.ends()),
                })
            })
            .collect();
        Ok(web::json(StatusCode::OK, &json!({ "value": value })))
    };
    answer(run.await)
}

async fn end(
    app: &App,
    person: Person,
    peer: Peer,
    which: impl Fn(&Session) -> bool + Send + Sync + 'static,
) -> Result<usize, ArmError> {
    let address = peer.0.ip().to_string();
    Ok(app
        .store
        .write::<_, StoreError, _>(move |tx| {
            Box::pin(async move {
                let mut ended = 0;
                for session in people::sessions(tx.as_read(), &person).await?.into_iter().filter(&which) {
                    tx.remove_document(kind::SESSION, &session.key()).await?;
                    ended += 1;
                }
                if ended > 0 {
                    tx.audit(entry(
                        "people/sessions/delete",
                        person_ref(&person),
                        Outcome::Succeeded,
                        "OK",
                        &address,
                    ))
                    .await?;
                }
                Ok(ended)
            })
        })
        .await?)
}

/// `DELETE /auth/sessions/{id}`.
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let run = async {
        let (person, _) = own(&app, &Verb::DELETE, &headers, peer).await?;
        let ended = end(&app, person, peer, move |s| s.id.to_string() == id).await?;
        if ended == 0 {
            return Err(ArmError::new(404, "SessionNotFound", "There is no such session of yours."));
        }
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    answer(run.await)
}

/// `POST /auth/sessions/revokeOthers`.
pub(super) async fn revoke_others(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    let run = async {
        let (person, current) = own(&app, &Verb::POST, &headers, peer).await?;
        let ended = end(&app, person, peer, move |s| s.id != current.id).await?;
        Ok(web::json(StatusCode::OK, &json!({ "ended": ended })))
    };
    answer(run.await)
}

/// `GET /auth/credentials`.
pub(super) async fn credentials(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    let run = async {
        let (person, _) = own(&app, &Verb::GET, &headers, peer).await?;
        let mut read = app.store.read().await?;
        let key = person.id.to_string();
        let mut value: Vec<Value> = people::passkeys(&mut read, person.id)
            .await?
            .iter()
            .map(|p| {
                json!({
                    "id": p.id, "kind": "passkey", "label": p.label, "createdAt": instant(p.created),
                    "lastUsedAt": p.last_used.map(instant), "syncable": p.backup_eligible, "suspended": p.suspended,
                })
            })
            .collect();
        for (what, label) in [(kind::PASSWORD, "password"), (kind::TOTP, "totp")] {
            if let Some(document) = read.document(what, &key).await? {
                value.push(json!({"id": label, "kind": label, "label": label, "createdAt": instant(document.changed_at), "lastUsedAt": null}));
            }
        }
        if let Some(document) = read.document(kind::RECOVERY, &key).await? {
            let codes: Option<RecoveryCodes> = read_document(&mut read, kind::RECOVERY, &key).await?;
            value.push(json!({
                "id": "recovery", "kind": "recovery", "label": "recovery", "createdAt": instant(document.changed_at),
                "lastUsedAt": null, "remaining": codes.map_or(0, |c| c.left()),
            }));
        }
        Ok(web::json(StatusCode::OK, &json!({ "value": value })))
    };
    answer(run.await)
}

/// `DELETE /auth/credentials/{id}`.
pub(super) async fn remove_credential(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let run = async {
        let (person, _) = fresh(&app, &Verb::DELETE, &headers, peer).await?;
        let address = peer.0.ip().to_string();
        app.store
            .write::<_, ArmError, _>(move |tx| {
                Box::pin(async move {
                    let key = person.id.to_string();
                    let passkeys = people::passkeys(tx.as_read(), person.id).await?;
                    let has_password = tx.document(kind::PASSWORD, &key).await?.is_some();
                    let (is_passkey, is_password) =
                        (passkeys.iter().any(|p| p.id == id), id == "password" || id == "totp");
                    let ways_left = passkeys.iter().filter(|p| p.id != id && !p.suspended).count()
                        + usize::from(has_password && !is_password);
                    let known = is_passkey || (is_password && has_password);
                    if !known {
                        return Err(ArmError::new(404, "CredentialNotFound", "You have no such credential."));
                    }
                    if ways_left == 0 {
                        let text = "This is your last way to sign in. Register another one first.";
                        return Err(ArmError::new(409, "LastCredential", text));
                    }
                    if is_passkey {
                        tx.remove_document(kind::PASSKEY, &id).await?;
                    } else {
                        // A password without its code, or the reverse, would be half a sign-in.
                        tx.remove_document(kind::PASSWORD, &key).await?;
                        tx.remove_document(kind::TOTP, &key).await?;
                    }
                    tx.audit(entry(
                        "people/credentials/delete",
                        person_ref(&person),
                        Outcome::Succeeded,
                        "OK",
                        &address,
                    ))
                    .await?;
                    Ok(())
                })
            })
            .await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    answer(run.await)
}
