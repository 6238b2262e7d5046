//! Sessions and credentials of the person who is signed in.

use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method as Verb, StatusCode, header};
use schemars::JsonSchema;
use sekisho_arm::resource::instant;
use sekisho_arm::traits::read_document;
use sekisho_arm::{ArmError, Listing, Outcome, Read, Scope, StoreError, TypeName};
use sekisho_identity::Person;
use sekisho_identity::person::CredentialKind;
use sekisho_identity::recovery::RecoveryCodes;
use sekisho_identity::session::{Method, Proof, Session};
use serde::Serialize;
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use super::notices::{self, What};
use super::{answer, entry, kind, people, person_ref};
use crate::app::App;
use crate::authn::{self, COOKIE};
use crate::conditional_access::{self, Ask, Missing};
use crate::http::{self as web, Peer};
use crate::routes::{List, Operation, Routes};

/// How fresh a sign-in must be for changing credentials.
const FRESH: Duration = Duration::minutes(10);

/// The routes.
pub(super) fn routes() -> Routes {
    let (get, post, delete) = (Operation::get, Operation::post, Operation::delete);
    Routes::default()
        .on(get("/auth/session", "Who is signed in").session().answers::<Shown>(200), current)
        .on(post("/auth/signout", "Ends the session, if there is one").anybody().ends(204), sign_out)
        .on(get("/auth/sessions", "One's own sessions").session().answers::<List<Row>>(200), list)
        .on(
            post("/auth/sessions/revokeOthers", "Ends all of one's other sessions")
                .session()
                .answers::<Ended>(200),
            revoke_others,
        )
        .on(delete("/auth/sessions/{id}", "Ends one of one's sessions").session().ends(204), revoke)
        .on(
            get("/auth/credentials", "What one signs in with").session().answers::<List<Credential>>(200),
            credentials,
        )
        .on(
            delete("/auth/credentials/{id}", "Removes one of one's credentials").session().ends(204),
            remove_credential,
        )
}

/// What somebody proved themselves with.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum AuthMethod {
    Password,
    Totp,
    Recovery,
    Passkey,
    Link,
}

impl From<Method> for AuthMethod {
    fn from(method: Method) -> Self {
        match method {
            Method::Password => Self::Password,
            Method::Totp => Self::Totp,
            Method::RecoveryCode => Self::Recovery,
            Method::Passkey => Self::Passkey,
            Method::Link => Self::Link,
        }
    }
}

pub(super) fn methods(proofs: &[Proof]) -> Vec<AuthMethod> {
    proofs.iter().map(|p| p.method.into()).collect()
}

/// A session as the portal reads it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Session")]
pub(super) struct Shown {
    person: ShownPerson,
    session_id: String,
    tenant_id: String,
    /// Those the person has any right in.
    subscriptions: Vec<ShownSubscription>,
    auth: ShownProof,
    /// What conditional access asks for before anything else is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<Missing>,
    idle_expires_at: String,
    absolute_expires_at: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SessionPerson")]
struct ShownPerson {
    id: String,
    user_principal_name: String,
    display_name: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SessionSubscription")]
struct ShownSubscription {
    id: String,
    subscription_id: String,
    display_name: String,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SessionProof")]
struct ShownProof {
    methods: Vec<AuthMethod>,
    /// When the last of them was proved.
    at: String,
}

/// One of one's sessions.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SessionRow")]
struct Row {
    id: String,
    current: bool,
    created_at: String,
    last_seen_at: String,
    ip_address: String,
    user_agent: String,
    methods: Vec<AuthMethod>,
    absolute_expires_at: String,
}

/// How many sessions were ended.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EndedSessions")]
struct Ended {
    ended: usize,
}

/// Something one signs in with.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Credential {
    id: String,
    kind: CredentialKind,
    label: String,
    created_at: String,
    last_used_at: Option<String>,
    /// Of a passkey: whether it may be copied to other devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    syncable: Option<bool>,
    /// Of a passkey: whether it is refused because a copy of it was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    suspended: Option<bool>,
    /// Of recovery codes: how many are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<usize>,
}

impl Credential {
    fn only(kind: CredentialKind, word: &str, since: OffsetDateTime) -> Credential {
        Credential {
            id: word.to_owned(),
            kind,
            label: word.to_owned(),
            created_at: instant(since),
            last_used_at: None,
            syncable: None,
            suspended: None,
            remaining: None,
        }
    }
}

/// The signed-in person with their session.
pub(super) async fn own(
    app: &App,
    verb: &Verb,
    headers: &HeaderMap,
    peer: Peer,
) -> Result<(Person, Session), ArmError> {
    let caller = authn::identified(app, verb, headers, peer).await?;
    let session = caller.session.ok_or_else(only_people)?;
    let person = people::by_id(&mut app.store.read().await?, caller.principal).await?;
    Ok((person.ok_or_else(ArmError::internal)?, *session))
}

pub(super) fn only_people() -> ArmError {
    ArmError::new(403, "SessionRequired", "This is only for people in the portal.")
}

/// The same, for somebody who has proved themselves within ten minutes.
pub(super) async fn fresh(
    app: &App,
    verb: &Verb,
    headers: &HeaderMap,
    peer: Peer,
) -> Result<(Person, Session), ArmError> {
    let caller = authn::identified(app, verb, headers, peer).await?;
    let passkeys = people::passkeys(&mut app.store.read().await?, caller.principal).await?;
    // Whoever has a passkey registers nothing with less, or else a stolen password and code would become one.
    let ask = if passkeys.iter().any(|p| !p.suspended) { Ask::Anything } else { Ask::SecurityInfo };
    conditional_access::admit(app, &caller, headers, ask)?;
    let (person, session) = own(app, verb, headers, peer).await?;
    let now = OffsetDateTime::now_utc();
    if session.proofs.iter().any(|p| now - p.at <= FRESH) {
        return Ok((person, session));
    }
    Err(too_old())
}

/// The refusal of a sign-in that is older than ten minutes.
pub(super) fn too_old() -> ArmError {
    let text = "For this, sign in again: your sign-in is older than ten minutes.";
    ArmError::new(403, "FreshSignInRequired", text)
}

/// Shows a session.
pub(super) async fn describe(
    app: &App,
    session: &Session,
    missing: Option<Missing>,
) -> Result<Shown, ArmError> {
    let mut read = app.store.read().await?;
    let person = people::by_id(&mut read, session.person).await?.ok_or_else(ArmError::internal)?;
    let listing = Listing::of(&Scope::Tenant, &TypeName::new("Microsoft.Resources", "subscriptions"));
    let who = [sekisho_rbac::PrincipalId(person.id)];
    let seen = app.access.snapshot().readable_scopes(&who);
    let subscriptions: Vec<ShownSubscription> = read
        .list(&listing)
        .await?
        .iter()
        .filter(|s| seen.iter().any(|at| at.contains(&s.id) || s.id.contains(at)))
        .map(|s| ShownSubscription {
            id: s.id.to_string(),
            subscription_id: s.id.name().to_owned(),
            display_name: s.rest.get("displayName").and_then(Value::as_str).unwrap_or(s.id.name()).to_owned(),
        })
        .collect();
    let last = session.proofs.iter().map(|p| p.at).max().unwrap_or(session.created);
    Ok(Shown {
        person: ShownPerson {
            id: person.id.to_string(),
            user_principal_name: person.user_principal_name,
            display_name: person.display_name,
        },
        session_id: session.id.to_string(),
        tenant_id: app.tenant.to_string(),
        subscriptions,
        auth: ShownProof { methods: methods(&session.proofs), at: instant(last) },
        missing,
        idle_expires_at: instant(session.seen + Duration::seconds(session.idle)),
        absolute_expires_at: instant(session.ends()),
    })
}

/// `GET /auth/session`.
pub(super) async fn current(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    let run = async {
        let caller = authn::identified(&app, &Verb::GET, &headers, peer).await?;
        let missing = conditional_access::unmet(&app, &caller, &headers)?;
        let session = caller.session.ok_or_else(only_people)?;
        Ok(web::json(StatusCode::OK, &describe(&app, &session, missing).await?))
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
        let value = all.iter().map(|s| Row {
            id: s.id.to_string(),
            current: s.id == current.id,
            created_at: instant(s.created),
            last_seen_at: instant(s.seen),
            ip_address: s.ip.to_string(),
            user_agent: s.user_agent.clone(),
            methods: methods(&s.proofs),
            absolute_expires_at: instant(s.ends()),
        });
        Ok(web::json(StatusCode::OK, &List::of(value.collect())))
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
                    // Whoever had the session may have let a program in with it.
                    people::end_grants(tx, |g| g.session == session.id).await?;
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
        Ok(web::json(StatusCode::OK, &Ended { ended }))
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
        let mut value: Vec<Credential> = people::passkeys(&mut read, person.id)
            .await?
            .into_iter()
            .map(|p| Credential {
                id: p.id,
                kind: CredentialKind::Passkey,
                label: p.label,
                created_at: instant(p.created),
                last_used_at: p.last_used.map(instant),
                syncable: Some(p.backup_eligible),
                suspended: Some(p.suspended),
                remaining: None,
            })
            .collect();
        for (what, kind, word) in [
            (kind::PASSWORD, CredentialKind::Password, "password"),
            (kind::TOTP, CredentialKind::Totp, "totp"),
        ] {
            if let Some(document) = read.document(what, &key).await? {
                value.push(Credential::only(kind, word, document.changed_at));
            }
        }
        if let Some(document) = read.document(kind::RECOVERY, &key).await? {
            let codes: Option<RecoveryCodes> = read_document(&mut read, kind::RECOVERY, &key).await?;
            value.push(Credential {
                remaining: Some(codes.map_or(0, |c| c.left())),
                ..Credential::only(CredentialKind::Recovery, "recovery", document.changed_at)
            });
        }
        Ok(web::json(StatusCode::OK, &List::of(value)))
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
                    notices::tell(tx, What::CredentialRemoved, &person, &address).await?;
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
