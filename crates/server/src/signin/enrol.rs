//! Enrolling: the first person and invited ones by a one-time link, and further passkeys of those who are signed in.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use fast_qr::convert::svg::SvgBuilder;
use fast_qr::qr::QRBuilder;
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use sekisho_arm::resource::instant;
use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{ArmError, Outcome, Scope, StoreError};
use sekisho_identity::conditional_access::{Risk, RiskLevel};
use sekisho_identity::link::{Link, LinkError, LinkKind};
use sekisho_identity::passkey::{PasskeyError, Registration, StoredPasskey};
use sekisho_identity::password::PasswordHash;
use sekisho_identity::recovery::RecoveryCodes;
use sekisho_identity::secret::Exposed;
use sekisho_identity::session::Method;
use sekisho_identity::totp::{Authenticator, SealedAuthenticator};
use sekisho_identity::{Digest, Person, Secret, password};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::ceremony::{
    Finish, PasskeyCeremony, device_label, keep, passkey_error, sentence, signed_in, take,
};
use super::notices::{self, What};
use super::sign_ins::{self, Signing};
use super::{answer, authenticators, body, entry, kind, people, person_ref, sessions};
use crate::app::App;
use crate::authn::Caller;
use crate::conditional_access::Judged;
use crate::http::{self as web, Peer};
use crate::resources::authorization::assignment;
use crate::routes::{Operation, Routes};

/// The routes.
pub(super) fn routes() -> Routes {
    Routes::default()
        .on(
            Operation::get("/auth/state", "What the sign-in page needs to know")
                .anybody()
                .answers::<AuthState>(200),
            state,
        )
        .on(
            Operation::post("/auth/setup/inspect", "Says what a one-time link is for")
                .anybody()
                .takes::<Token>()
                .answers::<SetupLink>(200),
            inspect,
        )
        .on(
            Operation::post("/auth/setup/passkey/begin", "Begins to enrol with a passkey")
                .anybody()
                .takes::<SetupBegin>()
                .answers::<PasskeyCeremony>(200),
            setup_passkey_begin,
        )
        .on(
            Operation::post("/auth/setup/passkey/finish", "Enrols with a passkey and signs in")
                .anybody()
                .takes::<Finish>()
                .answers::<SetupDone>(200),
            setup_passkey_finish,
        )
        .on(
            Operation::post(
                "/auth/setup/password/begin",
                "Begins to enrol with password and authenticator app",
            )
            .anybody()
            .takes::<SetupBegin>()
            .answers::<PasswordSetup>(200),
            setup_password_begin,
        )
        .on(
            Operation::post("/auth/setup/password/finish", "Enrols with password and code and signs in")
                .anybody()
                .takes::<Finish>()
                .answers::<SetupDone>(200),
            setup_password_finish,
        )
        .on(
            Operation::post("/auth/credentials/passkey/begin", "Begins to add a passkey to oneself")
                .session()
                .takes::<NewPasskey>()
                .answers::<PasskeyCeremony>(200),
            add_passkey_begin,
        )
        .on(
            Operation::post("/auth/credentials/passkey/finish", "Adds a passkey to oneself")
                .session()
                .takes::<Finish>()
                .ends(204),
            add_passkey_finish,
        )
}

/// What the sign-in page needs to know.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AuthState {
    /// Whether nobody exists yet.
    first_run: bool,
    version: &'static str,
    product: &'static str,
    organization: String,
    /// Whether passkeys can be used at this address.
    passkeys: bool,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "LinkToken")]
struct Token {
    #[schemars(with = "String")]
    token: Secret,
}

/// What a one-time link is for.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SetupLink {
    kind: SetupKind,
    expires_at: String,
    /// Whom it is for, unless it is for the first person.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_principal_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum SetupKind {
    FirstRun,
    Invite,
    Reset,
}

/// A password that waits for the first code of its authenticator app. The secret is shown here and never again.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PasswordSetup {
    ceremony: String,
    secret: Exposed,
    otpauth_url: Exposed,
    /// The address as a QR code.
    qr_svg: String,
}

/// The end of an enrolment. The codes are shown here and never again.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SetupDone {
    recovery_codes: Vec<Exposed>,
    session: sessions::Shown,
}

/// What a new passkey is called.
#[derive(Deserialize, JsonSchema)]
struct NewPasskey {
    label: Option<String>,
}

fn link_error(error: LinkError) -> ArmError {
    ArmError::bad("InvalidLink", sentence(&error.to_string()))
}

async fn find_link(read: &mut (dyn sekisho_arm::Read + '_), token: &Secret) -> Result<Link, ArmError> {
    let link: Option<Link> = read_document(read, kind::LINK, &token.digest().key()).await?;
    let link = link.ok_or_else(|| link_error(LinkError::Unknown))?;
    link.check(token, link.kind, read.now()).map_err(link_error)?;
    Ok(link)
}

/// `GET /auth/state`.
pub(super) async fn state(State(app): State<Arc<App>>) -> Response {
    let first = async { Ok::<_, StoreError>(!people::anybody(&mut app.store.read().await?).await?) };
    match first.await {
        Ok(first_run) => {
            let state = AuthState {
                first_run,
                version: env!("CARGO_PKG_VERSION"),
                product: "Sekisho",
                organization: app.config.organization.clone(),
                passkeys: app.identity.passkeys.is_ok(),
            };
            web::json(StatusCode::OK, &state)
        }
        Err(error) => web::arm_error(&error.into()),
    }
}

/// `POST /auth/setup/inspect`.
pub(super) async fn inspect(State(app): State<Arc<App>>, request: Request) -> Response {
    let run = async {
        let Token { token } = body(request).await?;
        let mut read = app.store.read().await?;
        let link = find_link(&mut read, &token).await?;
        let person = match link.person {
            Some(id) => people::by_id(&mut read, id).await?,
            None => None,
        };
        let kind = match link.kind {
            LinkKind::Setup => SetupKind::FirstRun,
            LinkKind::Invite => SetupKind::Invite,
            LinkKind::Recovery => SetupKind::Reset,
        };
        let (user_principal_name, display_name) =
            person.map(|p| (p.user_principal_name, p.display_name)).unzip();
        let out = SetupLink { kind, expires_at: instant(link.expires), user_principal_name, display_name };
        Ok(web::json(StatusCode::OK, &out))
    };
    answer(run.await)
}

/// Who enrols. A link that names a person leaves the two names unread.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SetupBegin {
    #[schemars(with = "String")]
    token: Secret,
    user_principal_name: String,
    display_name: String,
    #[schemars(with = "Option<String>")]
    password: Option<Secret>,
}

/// A set-up that has begun: who it is for and by which link.
#[derive(Serialize, Deserialize)]
struct Setup {
    token: Digest,
    person: Person,
    new: bool,
    #[serde(with = "time::serde::rfc3339")]
    expires: OffsetDateTime,
    registration: Option<Registration>,
    password: Option<(PasswordHash, SealedAuthenticator)>,
}

/// The person a link is for: the one it names, or a new one for the first run.
async fn subject(
    read: &mut (dyn sekisho_arm::Read + '_),
    link: &Link,
    wanted: &SetupBegin,
) -> Result<(Person, bool), ArmError> {
    if let Some(id) = link.person {
        let person = people::by_id(read, id).await?.filter(|p| p.enabled);
        return person.map(|p| (p, false)).ok_or_else(|| link_error(LinkError::Unknown));
    }
    let person = Person::new(&wanted.user_principal_name, &wanted.display_name, read.now())
        .map_err(|e| ArmError::bad("InvalidPerson", sentence(&e.to_string())))?;
    if people::by_name(read, &person.user_principal_name).await?.is_some() {
        return Err(ArmError::bad("InvalidPerson", "This sign-in name is taken.").target("userPrincipalName"));
    }
    Ok((person, true))
}

/// `POST /auth/setup/passkey/begin`.
pub(super) async fn setup_passkey_begin(State(app): State<Arc<App>>, request: Request) -> Response {
    let run = async {
        let wanted: SetupBegin = body(request).await?;
        let mut read = app.store.read().await?;
        let link = find_link(&mut read, &wanted.token).await?;
        let (person, new) = subject(&mut read, &link, &wanted).await?;
        let existing = people::passkeys(&mut read, person.id).await?;
        let now = OffsetDateTime::now_utc();
        let passkeys = app.identity.passkeys()?;
        let (options, registration) =
            passkeys.start_registration(&person, &existing, now).map_err(passkey_error)?;
        drop(read);
        let setup = Setup {
            token: wanted.token.digest(),
            person,
            new,
            expires: now + sekisho_identity::passkey::CEREMONY,
            registration: Some(registration),
            password: None,
        };
        let id = keep(&app, setup).await?;
        Ok(web::json(
            StatusCode::OK,
            &PasskeyCeremony { ceremony: id, public_key: options["publicKey"].clone() },
        ))
    };
    answer(run.await)
}

/// `POST /auth/setup/passkey/finish`.
pub(super) async fn setup_passkey_finish(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let run = async {
        let finish: Finish = body(request).await?;
        let id = finish.ceremony.clone();
        let setup: Setup =
            app.store.write::<_, ArmError, _>(move |tx| Box::pin(async move { take(tx, &id).await })).await?;
        let registration =
            setup.registration.as_ref().ok_or_else(|| passkey_error(PasskeyError::Malformed))?;
        let passkeys = app.identity.passkeys()?;
        let now = OffsetDateTime::now_utc();
        let label = device_label(&headers);
        let stored = passkeys
            .finish_registration(registration, finish.credential, &label, now)
            .map_err(passkey_error)?;
        enrol(&app, peer, &headers, setup, Enrolled::Passkey(Box::new(stored))).await
    };
    answer(run.await)
}

enum Enrolled {
    Passkey(Box<StoredPasskey>),
    Password(PasswordHash, Authenticator),
}

/// Ends a set-up in one transaction: link spent, person and credential kept, Owner at the root for the first one,
/// recovery codes made, session begun.
async fn enrol(
    app: &Arc<App>,
    peer: Peer,
    headers: &HeaderMap,
    setup: Setup,
    what: Enrolled,
) -> Result<Response, ArmError> {
    if OffsetDateTime::now_utc() >= setup.expires {
        return Err(passkey_error(PasskeyError::Expired));
    }
    let permit = app.identity.hashing.acquire().await.map_err(|_| ArmError::internal())?;
    let made =
        tokio::task::spawn_blocking(RecoveryCodes::generate).await.map_err(|_| ArmError::internal())?;
    drop(permit);
    let (codes, kept_codes) = made.map_err(|_| ArmError::internal())?;
    let methods: Vec<Method> = match what {
        Enrolled::Passkey(_) => vec![Method::Passkey],
        Enrolled::Password(..) => vec![Method::Password, Method::Totp],
    };
    let address = peer.0.ip();
    let agent = web::header(headers, "user-agent").unwrap_or_default();
    let country = app.countries.of(address);
    let signing_in = Caller::signing_in(&setup.person, &methods, address, RiskLevel::None);
    let keys = app.keys.get();
    let (session, token, device) = app
        .store
        .write::<_, ArmError, _>(move |tx| {
            Box::pin(async move {
                let now = tx.now();
                let link: Option<Link> = read_document(tx.as_read(), kind::LINK, &setup.token.key()).await?;
                let mut link = link.ok_or_else(|| link_error(LinkError::Unknown))?;
                if link.used.is_some() {
                    return Err(link_error(LinkError::Used));
                }
                if now >= link.expires {
                    return Err(link_error(LinkError::Expired));
                }
                link.used = Some(now);
                write_document(tx, kind::LINK, &setup.token.key(), &link).await?;
                let person = setup.person;
                // Whoever could sign in before did perhaps not ask for this.
                if people::can_sign_in(tx.as_read(), &person).await? {
                    notices::tell(tx, What::CredentialAdded, &person, &address.to_string()).await?;
                }
                if setup.new {
                    people::add(tx, &person).await?;
                    let owner =
                        assignment(sekisho_rbac::builtin::OWNER, &Scope::Tenant, person.id, "User", now)?;
                    tx.put(owner).await?;
                }
                match what {
                    Enrolled::Passkey(passkey) => {
                        if tx.document(kind::PASSKEY, &passkey.id).await?.is_some() {
                            return Err(passkey_error(PasskeyError::AlreadyRegistered));
                        }
                        write_document(tx, kind::PASSKEY, &passkey.id, &*passkey).await?;
                    }
                    Enrolled::Password(hash, authenticator) => {
                        write_document(tx, kind::PASSWORD, &person.id.to_string(), &hash).await?;
                        authenticators::keep(tx, person.id, &authenticator, &keys.sealing).await?;
                    }
                }
                write_document(tx, kind::RECOVERY, &person.id.to_string(), &kept_codes).await?;
                let begun =
                    people::begin_session(tx, &person, &methods, address, (&agent, RiskLevel::None)).await?;
                let signing = Signing {
                    person: &person,
                    methods: &methods,
                    address,
                    agent: &agent,
                    risk: Risk::default(),
                };
                sign_ins::note(tx, country, &signing, None, None).await?;
                let what = if setup.new { "people/firstRun/action" } else { "people/enrol/action" };
                tx.audit(entry(
                    what,
                    person_ref(&person),
                    Outcome::Succeeded,
                    "Created",
                    &address.to_string(),
                ))
                .await?;
                Ok(begun)
            })
        })
        .await?;
    app.access.refresh(&app.store).await?;
    // Whoever is blocked is told so by the next request; the recovery codes are theirs in any case.
    let missing = Judged::of(app, &signing_in, headers).missing().unwrap_or_default();
    let done = SetupDone {
        recovery_codes: codes.into_iter().map(Exposed).collect(),
        session: sessions::describe(app, &session, missing).await?,
    };
    Ok(signed_in(StatusCode::OK, &done, &token, Some(&device)))
}

/// `POST /auth/setup/password/begin`.
pub(super) async fn setup_password_begin(State(app): State<Arc<App>>, request: Request) -> Response {
    let run = async {
        let wanted: SetupBegin = body(request).await?;
        let secret = wanted
            .password
            .clone()
            .ok_or_else(|| ArmError::bad("WeakPassword", "A password is missing.").target("password"))?;
        let mut read = app.store.read().await?;
        let link = find_link(&mut read, &wanted.token).await?;
        let (person, new) = subject(&mut read, &link, &wanted).await?;
        drop(read);
        let hash = hash_new(&app, &person, secret).await.map_err(|e| e.target("password"))?;
        let authenticator = Authenticator::generate().map_err(|_| ArmError::internal())?;
        let (url, text) = authenticator.enrolment(&app.config.organization, &person.user_principal_name);
        let qr = QRBuilder::new(url.expose()).build().map_err(|_| ArmError::internal())?;
        let svg = SvgBuilder::default().to_str(&qr);
        let authenticator = authenticators::seal(&authenticator, person.id, &app.keys.get().sealing)?;
        let setup = Setup {
            token: wanted.token.digest(),
            person,
            new,
            expires: OffsetDateTime::now_utc() + sekisho_identity::passkey::CEREMONY,
            registration: None,
            password: Some((hash, authenticator)),
        };
        let id = keep(&app, setup).await?;
        let out =
            PasswordSetup { ceremony: id, secret: Exposed(text), otpauth_url: Exposed(url), qr_svg: svg };
        Ok(web::json(StatusCode::OK, &out))
    };
    answer(run.await)
}

/// The hash of a password that somebody wants to have from now on.
///
/// # Errors
/// 400 `WeakPassword`; 500 when it cannot be told whether it was breached.
pub(super) async fn hash_new(
    app: &Arc<App>,
    person: &Person,
    secret: Secret,
) -> Result<PasswordHash, ArmError> {
    let mut words = person.context_words();
    words.extend([app.config.host.as_str(), person.user_principal_name.as_str()]);
    password::check_new(&secret, &words)
        .map_err(|e| ArmError::bad("WeakPassword", sentence(&e.to_string())))?;
    let _permit = app.identity.hashing.acquire().await.map_err(|_| ArmError::internal())?;
    let owner = app.clone();
    let hashing = move || {
        let breached = owner.breached.contains(&secret).map_err(|error| {
            tracing::error!(%error, "no password can be chosen");
            ArmError::internal()
        })?;
        if breached {
            let text = "The password is in a list of passwords that were stolen elsewhere.";
            return Err(ArmError::bad("WeakPassword", text));
        }
        password::hash(&secret).map_err(|_| ArmError::internal())
    };
    tokio::task::spawn_blocking(hashing).await.map_err(|_| ArmError::internal())?
}

/// `POST /auth/setup/password/finish`. A wrong code does not spend the ceremony: typing is error-prone, and the code
/// itself allows three tries a step.
pub(super) async fn setup_password_finish(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let run = async {
        let finish: Finish = body(request).await?;
        let (id, code) = (finish.ceremony.clone(), finish.code.clone());
        let keys = app.keys.get();
        let ended: Result<(Setup, PasswordHash, Authenticator), ArmError> = app
            .store
            .write::<_, ArmError, _>(move |tx| {
                Box::pin(async move {
                    let mut setup: Setup = take(tx, &id).await?;
                    let (now, person) = (tx.now(), setup.person.id);
                    let Some((hash, sealed)) = setup.password.take() else {
                        return Err(passkey_error(PasskeyError::Malformed));
                    };
                    let mut authenticator = authenticators::open(sealed, person, &keys.sealing)?;
                    if authenticator.check(&code, now).is_err() {
                        let sealed = authenticators::seal(&authenticator, person, &keys.sealing)?;
                        setup.password = Some((hash, sealed));
                        write_document(tx, kind::CEREMONY, &id, &setup).await?;
                        return Ok(Err(ArmError::bad(
                            "InvalidCode",
                            "The code is not right. Check the clock of your device and try the next one.",
                        )
                        .target("code")));
                    }
                    Ok(Ok((setup, hash, authenticator)))
                })
            })
            .await?;
        let (setup, hash, authenticator) = ended?;
        enrol(&app, peer, &headers, setup, Enrolled::Password(hash, authenticator)).await
    };
    answer(run.await)
}

#[derive(Serialize, Deserialize)]
struct AddPasskey {
    person: Uuid,
    label: String,
    registration: Registration,
}

/// `POST /auth/credentials/passkey/begin`.
pub(super) async fn add_passkey_begin(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let run = async {
        let (person, _) = sessions::fresh(&app, request.method(), &headers, peer).await?;
        let given: NewPasskey = body(request).await?;
        let label = given.label.filter(|l| !l.trim().is_empty()).unwrap_or_else(|| device_label(&headers));
        let existing = people::passkeys(&mut app.store.read().await?, person.id).await?;
        let passkeys = app.identity.passkeys()?;
        let (options, registration) = passkeys
            .start_registration(&person, &existing, OffsetDateTime::now_utc())
            .map_err(passkey_error)?;
        let id = keep(&app, AddPasskey { person: person.id, label, registration }).await?;
        Ok(web::json(
            StatusCode::OK,
            &PasskeyCeremony { ceremony: id, public_key: options["publicKey"].clone() },
        ))
    };
    answer(run.await)
}

/// `POST /auth/credentials/passkey/finish`.
pub(super) async fn add_passkey_finish(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let run = async {
        let (person, _) = sessions::fresh(&app, request.method(), &headers, peer).await?;
        let finish: Finish = body(request).await?;
        let owner = app.clone();
        let address = peer.0.ip().to_string();
        app.store
            .write::<_, ArmError, _>(move |tx| {
                Box::pin(async move {
                    let begun: AddPasskey = take(tx, &finish.ceremony).await?;
                    if begun.person != person.id {
                        return Err(passkey_error(PasskeyError::Refused));
                    }
                    let passkeys = owner.identity.passkeys()?;
                    let stored = passkeys
                        .finish_registration(&begun.registration, finish.credential, &begun.label, tx.now())
                        .map_err(passkey_error)?;
                    if tx.document(kind::PASSKEY, &stored.id).await?.is_some() {
                        return Err(passkey_error(PasskeyError::AlreadyRegistered));
                    }
                    write_document(tx, kind::PASSKEY, &stored.id, &stored).await?;
                    notices::tell(tx, What::CredentialAdded, &person, &address).await?;
                    tx.audit(entry(
                        "people/credentials/write",
                        person_ref(&person),
                        Outcome::Succeeded,
                        "Created",
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
