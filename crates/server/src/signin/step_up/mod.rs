//! Confirming what is dangerous: [`guard`] stops such a request of a person, the person proves that it is theirs, and
//! the request comes again with a single-use approval.
//!
//! In the portal every such request is asked for, whatever was proved before: a session may be stolen, or the page left
//! open. The 401 carries a challenge for exactly this method, path and body, in additional information called `StepUp`;
//! `POST /auth/stepup` takes the passkey's answer (or password and code of who has no passkey) and gives the approval,
//! which goes along in [`HEADER`]. Clients that a person let in cannot run a ceremony for each request; they are sent to
//! sign in anew when their proof is older than the setting `client_step_up_minutes` (research 09 §1.6). Programs that
//! act for themselves have nobody to ask.

mod dangerous;

use std::sync::Arc;

use axum::RequestExt as _;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, Method as Verb, StatusCode, header};
use schemars::JsonSchema;
use sekisho_arm::resource::instant;
use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{ArmError, Outcome};
use sekisho_identity::passkey::{Answer, Authentication, CEREMONY, PasskeyError, Purpose, StoredPasskey};
use sekisho_identity::secret::Exposed;
use sekisho_identity::session::{Method, Proof, Session};
use sekisho_identity::step_up::{Approval, Operation};
use sekisho_identity::{Person, Secret};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::ceremony::{keep, passkey_error, take};
use super::{answer, body, entry, kind, people, person_ref, prove, sessions};
use crate::app::App;
use crate::arm;
use crate::authn::{self, Caller};
use crate::conditional_access::Judged;
use crate::http::{self as web, Peer};
use crate::routes::{self, Routes};
use dangerous::{Reason, is_preview, needs_step_up};

/// The header in which an approval goes along.
const HEADER: &str = "sekisho-approval";
/// The authentication context that clients are asked for.
const CONTEXT: &str = "c1";
/// What is asked for and given, in the log.
const AUDITED: &str = "people/stepUp/action";

/// The routes.
pub(super) fn routes() -> Routes {
    Routes::default().on(
        routes::Operation::post("/auth/stepup", "Confirms one operation of the person who is signed in")
            .session()
            .takes::<Proved>()
            .answers::<Approved>(200),
        finish,
    )
}

/// Stops dangerous requests that are not confirmed.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let asked = needs_step_up(request.method(), request.uri().path()).filter(|_| !is_preview(request.uri()));
    let Some(reason) = asked else { return next.run(request).await };
    match confirmed(&app, reason, request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => refusal,
    }
}

/// The request with the caller it was confirmed by, so that nobody is identified twice.
async fn confirmed(app: &Arc<App>, reason: Reason, mut request: Request) -> Result<Request, Response> {
    let mut caller: Caller = request.extract_parts_with_state(app).await?;
    let refused = |error: ArmError| web::arm_error(&error);
    if let Some(session) = caller.session.clone() {
        let (parts, body) = request.into_parts();
        let bytes = web::read_body(body, arm::MAX_BODY_BYTES).await.map_err(refused)?;
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let operation = Operation::of(parts.method.as_str(), target, &bytes);
        match web::header(&parts.headers, HEADER).map(Secret::new) {
            Some(token) => {
                let spent = spend(app, &caller, &session, &token, operation).await.map_err(refused)?;
                let Some(proofs) = spent else {
                    return Err(refused(challenge(app, &caller, &session, operation, reason).await));
                };
                caller.proofs.extend(proofs);
            }
            None => return Err(refused(challenge(app, &caller, &session, operation, reason).await)),
        }
        request = Request::from_parts(parts, Body::from(bytes));
    } else if caller.grant.is_some() {
        fresh_enough(app, &caller, request.headers())?;
    }
    request.extensions_mut().insert(caller);
    Ok(request)
}

/// Refuses a person's client whose proof is too old, in the words and the header that clients of Azure know.
fn fresh_enough(app: &App, caller: &Caller, headers: &HeaderMap) -> Result<(), Response> {
    let Some(limit) = app.config.client_step_up else { return Ok(()) };
    let now = OffsetDateTime::now_utc();
    if caller.proofs.iter().any(|p| now - p.at <= limit) {
        return Ok(());
    }
    let authority = app.identity.authority(&web::base_url(headers, &app.config));
    let text = format!(
        "This operation asks for a sign-in within the last {} minutes. Run: az logout; az login --claims-challenge \"{}\"",
        limit.whole_minutes(),
        authority.step_up_claims(CONTEXT)
    );
    let mut response = web::arm_error(&ArmError::new(401, "StepUpRequired", text));
    if let Ok(value) = authority.step_up_challenge(CONTEXT).parse() {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    Err(response)
}

/// Takes an approval; whatever it was for, it is gone then. `None` when it is not for this.
async fn spend(
    app: &App,
    caller: &Caller,
    session: &Session,
    token: &Secret,
    operation: Operation,
) -> Result<Option<Vec<Proof>>, ArmError> {
    let (key, id) = (Approval::key_of(token), session.id);
    let refused =
        entry(AUDITED, caller.reference(), Outcome::Denied, "NotApproved", &caller.address.to_string());
    app.store
        .write::<_, ArmError, _>(move |tx| {
            Box::pin(async move {
                let now = tx.now();
                let found: Option<Approval> = read_document(tx.as_read(), kind::APPROVAL, &key).await?;
                tx.remove_document(kind::APPROVAL, &key).await?;
                let fits = found.filter(|a| a.check(id, operation, now).is_ok());
                if fits.is_none() {
                    tx.audit(refused).await?;
                }
                Ok(fits.map(|a| a.proofs))
            })
        })
        .await
}

/// A confirmation that was asked for: the server's half.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    session: Uuid,
    operation: Operation,
    reason: Reason,
    #[serde(with = "time::serde::rfc3339")]
    expires: OffsetDateTime,
    /// Absent for people without a passkey, who prove themselves by password and code.
    passkey: Option<Authentication>,
}

/// The refusal that says how to confirm, or why it cannot be said.
async fn challenge(
    app: &App,
    caller: &Caller,
    session: &Session,
    operation: Operation,
    reason: Reason,
) -> ArmError {
    match ask(app, caller, session, operation, reason).await {
        Ok(asked) => {
            let text = "Confirm this operation: it must be proved anew for exactly this request.";
            let mut error = ArmError::new(401, "StepUpRequired", text);
            error.additional_info.push(("StepUp".to_owned(), asked));
            error
        }
        Err(error) => error,
    }
}

async fn ask(
    app: &App,
    caller: &Caller,
    session: &Session,
    operation: Operation,
    reason: Reason,
) -> Result<Value, ArmError> {
    let now = OffsetDateTime::now_utc();
    let own = people::passkeys(&mut app.store.read().await?, caller.principal).await?;
    let purpose = Purpose::StepUp { operation: operation.key() };
    let (options, passkey) =
        match app.identity.passkeys().map(|p| p.start_for(caller.principal, &own, purpose, now)) {
            Ok(Ok((options, state))) => (Some(options["publicKey"].clone()), Some(state)),
            // No passkey, or none at this address.
            Ok(Err(PasskeyError::Unknown)) | Err(_) => (None, None),
            Ok(Err(error)) => return Err(passkey_error(error)),
        };
    let asked = Asked { session: session.id, operation, reason, expires: now + CEREMONY, passkey };
    let ceremony = keep(app, asked).await?;
    let mut shown = json!({"reason": reason, "ceremony": ceremony, "method": if options.is_some() { "passkey" } else { "password" }});
    if let Some(options) = options {
        shown["publicKey"] = options;
    }
    Ok(shown)
}

/// A proof for one operation: a passkey's answer, or password and code.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "StepUpProof")]
struct Proved {
    /// From the refusal.
    ceremony: String,
    #[serde(default)]
    credential: Value,
    #[serde(default)]
    code: String,
    #[schemars(with = "Option<String>")]
    password: Option<Secret>,
}

/// What opens the operation once, in the header `Sekisho-Approval`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StepUpApproval")]
struct Approved {
    approval: Exposed,
    expires_at: String,
}

fn expired() -> ArmError {
    passkey_error(PasskeyError::Expired)
}

/// `POST /auth/stepup`.
async fn finish(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let run = async {
        let caller = authn::caller(&app, &Verb::POST, &headers, peer).await?;
        let session = caller.session.clone().ok_or_else(sessions::only_people)?;
        let person = people::by_id(&mut app.store.read().await?, caller.principal).await?;
        let person = person.ok_or_else(ArmError::internal)?;
        let given: Proved = body(request).await?;
        let by_password = match given.password.clone() {
            Some(password) => {
                Some(with_password(&app, &caller, &headers, peer, &person, &password, &given.code).await?)
            }
            None => None,
        };
        let owner = app.clone();
        let address = caller.address.to_string();
        // Whatever the answer is, the challenge is spent and the passkey's state is kept: so the refusal is a value.
        let outcome: Result<(Secret, OffsetDateTime), ArmError> = app
            .store
            .write::<_, ArmError, _>(move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    let asked: Asked = take(tx, &given.ceremony).await?;
                    let proved = match (asked.passkey, by_password) {
                        _ if asked.session != session.id || now >= asked.expires => Err(expired()),
                        (None, Some(methods)) => Ok(methods),
                        // Whoever has a passkey confirms with it: a stolen password and code must not do.
                        (_, Some(_)) | (None, None) => Err(passkey_error(PasskeyError::Refused)),
                        (Some(state), None) => {
                            let purpose = Purpose::StepUp { operation: asked.operation.key() };
                            with_passkey(&owner, tx, state, given.credential, &purpose).await?
                        }
                    };
                    let methods = match proved {
                        Ok(methods) => methods,
                        Err(error) => {
                            let refused =
                                entry(AUDITED, person_ref(&person), Outcome::Denied, &error.code, &address);
                            tx.audit(refused).await?;
                            return Ok(Err(error));
                        }
                    };
                    let proofs = methods.iter().map(|m| Proof { method: *m, at: now }).collect();
                    let (approval, token) = Approval::issue(session.id, asked.operation, proofs, now)
                        .map_err(|_| ArmError::internal())?;
                    write_document(tx, kind::APPROVAL, &approval.key(), &approval).await?;
                    let mut given = entry(AUDITED, person_ref(&person), Outcome::Succeeded, "OK", &address);
                    given.properties = Some(json!({"reason": asked.reason}));
                    tx.audit(given).await?;
                    Ok(Ok((token, approval.expires)))
                })
            })
            .await?;
        let (token, expires) = outcome?;
        let approved = Approved { approval: Exposed(token), expires_at: instant(expires) };
        Ok(web::json(StatusCode::OK, &approved))
    };
    answer(run.await)
}

/// Checks a passkey's answer. The refusal is a value, because the passkey's state is kept in any case.
async fn with_passkey(
    app: &App,
    tx: &mut (dyn sekisho_arm::Write + '_),
    state: Authentication,
    credential: Value,
    purpose: &Purpose,
) -> Result<Result<Vec<Method>, ArmError>, ArmError> {
    let read = match Answer::read(credential) {
        Ok(read) => read,
        Err(error) => return Ok(Err(passkey_error(error))),
    };
    let stored: Option<StoredPasskey> = read_document(tx.as_read(), kind::PASSKEY, &read.credential).await?;
    let Some(mut stored) = stored else { return Ok(Err(passkey_error(PasskeyError::Unknown))) };
    let proved = app.identity.passkeys()?.finish(state, &read, purpose, &mut stored, tx.now());
    write_document(tx, kind::PASSKEY, &stored.id, &stored).await?;
    Ok(proved.map(|()| vec![Method::Passkey]).map_err(passkey_error))
}

/// Checks password and code of somebody without a passkey, and that policies are satisfied with that alone.
async fn with_password(
    app: &Arc<App>,
    caller: &Caller,
    headers: &HeaderMap,
    peer: Peer,
    person: &Person,
    password: &Secret,
    code: &str,
) -> Result<Vec<Method>, ArmError> {
    let name = &person.user_principal_name;
    let (_, methods) = prove::check_password(app, headers, peer, AUDITED, (name, code, password)).await?;
    let now = OffsetDateTime::now_utc();
    let proofs: Vec<Proof> = methods.iter().map(|m| Proof { method: *m, at: now }).collect();
    let mut alone = caller.clone();
    alone.proofs = proofs;
    if Judged::of(app, &alone, headers).missing()?.is_some() {
        let text = "Conditional access asks for more than a password and a code. Register a passkey first.";
        return Err(ArmError::new(403, "StrongerProofRequired", text));
    }
    Ok(methods)
}
