//! Signing in, by passkey or by password with code.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{ArmError, Outcome, Read, Write};
use sekisho_identity::conditional_access::Risk;
use sekisho_identity::passkey::{Answer, Authentication, PasskeyError, Prompt, Purpose, StoredPasskey};
use sekisho_identity::password::PasswordHash;
use sekisho_identity::person::Suspicion;
use sekisho_identity::recovery::RecoveryCodes;
use sekisho_identity::seal::SealingKeys;
use sekisho_identity::session::{Method, Session};
use sekisho_identity::throttle::KnownDevice;
use sekisho_identity::{Person, Secret, password};
use serde::Deserialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::ceremony::{
    DEVICE_COOKIE, Finish, PasskeyCeremony, keep, passkey_error, signed_in, take, too_many,
};
use super::notices::{self, What};
use super::sign_ins::{self, Signing};
use super::{answer, authenticators, body, entry, kind, nobody, people, person_ref, sessions, throttle};
use crate::app::App;
use crate::authn::{self, COOKIE, Caller};
use crate::conditional_access::{self, Judged};
use crate::http::{self as web, Peer};
use crate::routes::{Operation, Routes};

/// The routes.
pub(super) fn routes() -> Routes {
    Routes::default()
        .on(
            Operation::post("/auth/passkey/begin", "Begins to sign in with a passkey")
                .anybody()
                .answers::<PasskeyCeremony>(200),
            passkey_begin,
        )
        .on(
            Operation::post("/auth/passkey/finish", "Signs in with a passkey")
                .anybody()
                .takes::<Finish>()
                .answers::<sessions::Shown>(200),
            passkey_finish,
        )
        .on(
            Operation::post("/auth/password", "Signs in with password and code or recovery code")
                .anybody()
                .takes::<PasswordSignIn>()
                .answers::<sessions::Shown>(200),
            password,
        )
}

/// `POST /auth/passkey/begin`.
pub(super) async fn passkey_begin(State(app): State<Arc<App>>) -> Response {
    let run = async {
        let passkeys = app.identity.passkeys()?;
        let (options, state) =
            passkeys.start_sign_in(Prompt::Dialog, OffsetDateTime::now_utc()).map_err(passkey_error)?;
        let id = keep(&app, state).await?;
        Ok(web::json(
            StatusCode::OK,
            &PasskeyCeremony { ceremony: id, public_key: options["publicKey"].clone() },
        ))
    };
    answer(run.await)
}

/// `POST /auth/passkey/finish`.
pub(super) async fn passkey_finish(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let run = async {
        let finish: Finish = body(request).await?;
        let owner = app.clone();
        let address = peer.0.ip().to_string();
        // Whatever the answer is, the ceremony is spent and the passkey's state is kept: so the refusal is a value.
        let outcome: Result<Person, ArmError> = app
            .store
            .write::<_, ArmError, _>(move |tx| {
                Box::pin(async move {
                    let state: Authentication = take(tx, &finish.ceremony).await?;
                    let now = tx.now();
                    let refused = async |tx: &mut dyn Write, who, error: PasskeyError| {
                        tx.audit(entry(
                            "people/signIn/action",
                            who,
                            Outcome::Denied,
                            &error.to_string(),
                            &address,
                        ))
                        .await?;
                        Ok(Err(passkey_error(error)))
                    };
                    let read = match Answer::read(finish.credential) {
                        Ok(read) => read,
                        Err(error) => return refused(tx, nobody("passkey"), error).await,
                    };
                    let stored: Option<StoredPasskey> =
                        read_document(tx.as_read(), kind::PASSKEY, &read.credential).await?;
                    let Some(mut stored) = stored else {
                        return refused(tx, nobody("passkey"), PasskeyError::Unknown).await;
                    };
                    let passkeys = owner.identity.passkeys()?;
                    let known_copy = stored.suspended;
                    let proved = passkeys.finish(state, &read, &Purpose::SignIn, &mut stored, now);
                    write_document(tx, kind::PASSKEY, &stored.id, &stored).await?;
                    let mut person = people::by_id(tx.as_read(), stored.person).await?;
                    let who = person.as_ref().map_or_else(|| nobody("passkey"), person_ref);
                    if let (Err(PasskeyError::Suspended), Some(person), false) =
                        (&proved, &mut person, known_copy)
                    {
                        person.suspect(Suspicion::PasskeyCopied, now);
                        people::keep(tx, person).await?;
                        notices::tell(tx, What::PasskeySuspended, person, &peer.0.ip().to_string()).await?;
                    }
                    match (proved, person.filter(|p| p.enabled)) {
                        (Ok(()), Some(person)) => Ok(Ok(person)),
                        (Ok(()), None) => refused(tx, who, PasskeyError::Unknown).await,
                        (Err(error), _) => refused(tx, who, error).await,
                    }
                })
            })
            .await?;
        begin_session(&app, peer, &headers, outcome?, vec![Method::Passkey]).await
    };
    answer(run.await)
}

/// Whether the person has signed in with this browser before.
pub(super) async fn is_familiar(
    read: &mut (dyn Read + '_),
    headers: &HeaderMap,
    person: Uuid,
) -> Result<bool, ArmError> {
    let Some(cookie) = authn::cookie(headers, DEVICE_COOKIE) else { return Ok(false) };
    let device: Option<KnownDevice> = read_document(read, kind::DEVICE, &cookie.digest().key()).await?;
    Ok(device.is_some_and(|d| d.is_familiar(&cookie, person, read.now())))
}

async fn begin_session(
    app: &Arc<App>,
    peer: Peer,
    headers: &HeaderMap,
    person: Person,
    methods: Vec<Method>,
) -> Result<Response, ArmError> {
    let agent = web::header(headers, "user-agent").unwrap_or_default();
    let address = peer.0.ip();
    let familiar = is_familiar(&mut app.store.read().await?, headers, person.id).await?;
    let risk = sign_ins::risk(app, person.id, address, familiar).await?;
    let country = app.countries.of(address);
    let judged = Judged::of(app, &Caller::signing_in(&person, &methods, address, risk.level), headers);
    let missing = match judged.missing() {
        Ok(missing) => missing,
        Err(refusal) => {
            let denied = entry(
                "people/signIn/action",
                person_ref(&person),
                Outcome::Denied,
                &refusal.code,
                &address.to_string(),
            );
            app.store
                .write::<_, ArmError, _>(move |tx| {
                    Box::pin(async move {
                        let signing =
                            Signing { person: &person, methods: &methods, address, agent: &agent, risk };
                        let why = "Access has been blocked by Conditional Access policies.";
                        sign_ins::note(tx, country, &signing, Some((53003, why)), Some(&judged)).await?;
                        tx.audit(denied).await?;
                        Ok(())
                    })
                })
                .await?;
            return Err(refusal);
        }
    };
    // The cookie of an earlier session of this browser ends that session.
    let earlier = authn::cookie(headers, COOKIE).map(|t| Session::key_of(&t));
    let emergency = conditional_access::emergency::used(app, &person);
    let (session, token, device) = app
        .store
        .write::<_, ArmError, _>(move |tx| {
            Box::pin(async move {
                if let Some(earlier) = earlier {
                    tx.remove_document(kind::SESSION, &earlier).await?;
                }
                let begun =
                    people::begin_session(tx, &person, &methods, address, (&agent, risk.level)).await?;
                let signing = Signing { person: &person, methods: &methods, address, agent: &agent, risk };
                sign_ins::note(tx, country, &signing, None, Some(&judged)).await?;
                tx.audit(entry(
                    "people/signIn/action",
                    person_ref(&person),
                    Outcome::Succeeded,
                    "OK",
                    &address.to_string(),
                ))
                .await?;
                if let Some(alert) = emergency {
                    tx.audit(alert).await?;
                }
                Ok(begun)
            })
        })
        .await?;
    let shown = sessions::describe(app, &session, missing).await?;
    Ok(signed_in(StatusCode::OK, &shown, &token, Some(&device)))
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PasswordSignIn {
    user_principal_name: String,
    code: String,
    #[schemars(with = "String")]
    password: Secret,
}

fn invalid_credentials() -> ArmError {
    ArmError::new(401, "InvalidCredentials", "The name, the code or the password is not right.")
}

/// `POST /auth/password`: name, code (or a recovery code) and password at once; one answer for every mistake.
pub(super) async fn password(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let run = async {
        let given: PasswordSignIn = body(request).await?;
        let typed = (given.user_principal_name.as_str(), given.code.as_str(), &given.password);
        let (person, methods) = check_password(&app, &headers, peer, "people/signIn/action", typed).await?;
        begin_session(&app, peer, &headers, person, methods).await
    };
    answer(run.await)
}

/// Whose name, code and password these are. Guessing is slowed down, and every mistake is in the log as `operation`.
pub(super) async fn check_password(
    app: &Arc<App>,
    headers: &HeaderMap,
    peer: Peer,
    operation: &'static str,
    (name, code, typed): (&str, &str, &Secret),
) -> Result<(Person, Vec<Method>), ArmError> {
    let address = peer.0.ip();
    let mut read = app.store.read().await?;
    let person = people::by_name(&mut read, name).await?.filter(|p| p.enabled);
    let now = OffsetDateTime::now_utc();
    let familiar = match &person {
        Some(person) => is_familiar(&mut read, headers, person.id).await?,
        None => false,
    };
    let keys = app.keys.get();
    let places = keys.throttle.places(name, familiar, address);
    throttle::check(&mut read, &places, now).await?.map_err(|locked| too_many(locked, now))?;
    let hash: Option<PasswordHash> = match &person {
        Some(person) => read_document(&mut read, kind::PASSWORD, &person.id.to_string()).await?,
        None => None,
    };
    drop(read);
    // The password is checked in any case, so that time does not tell which part was wrong.
    let permit = app.identity.hashing.acquire().await.map_err(|_| ArmError::internal())?;
    let secret = typed.clone();
    let right = tokio::task::spawn_blocking(move || match hash {
        Some(hash) => password::verify(&hash, &secret),
        None => {
            password::verify_dummy(&secret);
            false
        }
    })
    .await
    .map_err(|_| ArmError::internal())?;
    drop(permit);
    let agent = web::header(headers, "user-agent").unwrap_or_default();
    let country = app.countries.of(address);
    let wrong = (!right).then(|| keys.throttle.password(name, typed));
    let code = Secret::new(code);
    app.store
        .write::<_, ArmError, _>(move |tx| {
            Box::pin(async move {
                let now = tx.now();
                let second = match &person {
                    Some(person) => second_factor(tx, person, code.expose(), &keys.sealing).await?,
                    None => None,
                };
                let ok = right && second.is_some();
                match ok {
                    true => throttle::succeeded(tx, &places).await?,
                    false => throttle::failed(tx, &places, wrong, now).await?,
                }
                match (person, second) {
                    (Some(person), Some(second)) if right => Ok(Ok((person, vec![Method::Password, second]))),
                    (person, _) => {
                        let who = person.as_ref().map_or_else(|| nobody("unknown name"), person_ref);
                        if let Some(person) = &person {
                            let methods = [Method::Password];
                            let risk = Risk::default();
                            let signing = Signing { person, methods: &methods, address, agent: &agent, risk };
                            let why = "Invalid username or password or code.";
                            sign_ins::note(tx, country, &signing, Some((50126, why)), None).await?;
                        }
                        let address = address.to_string();
                        tx.audit(entry(operation, who, Outcome::Denied, "InvalidCredentials", &address))
                            .await?;
                        Ok(Err(invalid_credentials()))
                    }
                }
            })
        })
        .await?
}

/// Checks a TOTP code or a recovery code and marks it used.
async fn second_factor(
    tx: &mut (dyn Write + '_),
    person: &Person,
    code: &str,
    sealing: &SealingKeys,
) -> Result<Option<Method>, ArmError> {
    let key = person.id.to_string();
    let now = tx.now();
    let digits = code.chars().filter(|c| !c.is_whitespace()).all(|c| c.is_ascii_digit());
    if digits {
        let Some(mut totp) = authenticators::of(tx.as_read(), person.id, sealing).await? else {
            return Ok(None);
        };
        let ok = totp.check(code, now).is_ok();
        authenticators::keep(tx, person.id, &totp, sealing).await?;
        return Ok(ok.then_some(Method::Totp));
    }
    let Some(mut codes) = read_document::<RecoveryCodes>(tx.as_read(), kind::RECOVERY, &key).await? else {
        return Ok(None);
    };
    let ok = codes.redeem(code, now);
    write_document(tx, kind::RECOVERY, &key, &codes).await?;
    Ok(ok.then_some(Method::RecoveryCode))
}
