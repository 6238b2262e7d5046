//! Who is asking: a bearer token, or the portal's session cookie. Anything else is nobody.
//!
//! Cookies travel by themselves, so a request that changes something and comes with one must prove that our own page
//! sent it: the browser says so in `Sec-Fetch-Site` or `Origin`, which scripts of other sites cannot set.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, Method, header};
use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{ArmError, CallerRef, PrincipalKind, Read, StoreError};
use sekisho_identity::conditional_access::{ClientApp, Flow, RiskLevel, application};
use sekisho_identity::grant::Grant;
use sekisho_identity::session::{self, Proof, Session};
use sekisho_identity::token::{Claims, TokenKind};
use sekisho_identity::{Person, Secret, service_principal::ServicePrincipal};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::app::App;
use crate::conditional_access::{self, Ask};
use crate::http::{self as web, Peer};
use crate::signin::kind;

/// The session cookie.
pub const COOKIE: &str = "__Host-sekisho";

/// Whoever asks, proved.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The object id.
    pub principal: Uuid,
    /// Person or program.
    pub kind: PrincipalKind,
    /// The name people know it by.
    pub name: String,
    /// The client's address.
    pub address: IpAddr,
    /// The session, for people in the portal.
    pub session: Option<Box<Session>>,
    /// What they have proved.
    pub proofs: Vec<Proof>,
    /// With what they ask.
    pub through: Through,
    /// Time since the session's last request.
    pub idle_for: Duration,
    /// What a person let the client in with, for people with an access token.
    pub grant: Option<Box<Grant>>,
    /// When this ends by itself: the token expires, or the session is over or idle for too long.
    pub expires: OffsetDateTime,
    /// The generation of the principal when this was decided.
    generation: u64,
}

/// With what somebody asks, as conditional access sees it.
#[derive(Debug, Clone)]
pub struct Through {
    /// What kind of client.
    pub client: ClientApp,
    /// The applications that its requests are for.
    pub applications: Vec<Uuid>,
    /// How the sign-in behind it was made.
    pub flow: Flow,
    /// How strange that looked.
    pub risk: RiskLevel,
    /// How likely it is that somebody else has the account.
    pub user_risk: RiskLevel,
}

impl Through {
    fn portal() -> Through {
        Through {
            client: ClientApp::Browser,
            applications: vec![application::PORTAL, application::API],
            flow: Flow::Direct,
            risk: RiskLevel::None,
            user_risk: RiskLevel::None,
        }
    }

    fn program() -> Through {
        Through {
            client: ClientApp::MobileAppsAndDesktopClients,
            applications: vec![application::API],
            ..Through::portal()
        }
    }

    /// A client that a person let in.
    pub(crate) fn client(client: Uuid, flow: Flow, risk: RiskLevel, user_risk: RiskLevel) -> Through {
        let applications = vec![application::API, client];
        Through { applications, flow, risk, user_risk, ..Through::program() }
    }
}

impl Caller {
    /// Somebody who has just proved something and has no session yet.
    pub(crate) fn signing_in(
        person: &Person,
        methods: &[session::Method],
        address: IpAddr,
        risk: RiskLevel,
    ) -> Caller {
        let now = OffsetDateTime::now_utc();
        Caller {
            principal: person.id,
            kind: PrincipalKind::User,
            name: person.user_principal_name.clone(),
            address,
            session: None,
            grant: None,
            proofs: methods.iter().map(|m| Proof { method: *m, at: now }).collect(),
            through: Through { risk, user_risk: person.risk_level(), ..Through::portal() },
            idle_for: Duration::ZERO,
            expires: now,
            generation: person.generation,
        }
    }

    fn program(principal: &ServicePrincipal, peer: Peer, expires: OffsetDateTime) -> Caller {
        Caller {
            principal: principal.id,
            kind: PrincipalKind::ServicePrincipal,
            name: principal.app_id.to_string(),
            address: peer.0.ip(),
            session: None,
            proofs: Vec::new(),
            through: Through::program(),
            idle_for: Duration::ZERO,
            grant: None,
            expires,
            generation: principal.generation,
        }
    }

    fn of_grant(person: Person, grant: Grant, peer: Peer, expires: OffsetDateTime) -> Caller {
        Caller {
            principal: person.id,
            kind: PrincipalKind::User,
            address: peer.0.ip(),
            session: None,
            proofs: grant.proofs.clone(),
            through: Through::client(grant.client, grant.flow, grant.risk, person.risk_level()),
            name: person.user_principal_name,
            idle_for: Duration::ZERO,
            expires: expires.min(grant.lapses()),
            grant: Some(Box::new(grant)),
            generation: person.generation,
        }
    }

    fn of_session(person: Person, session: Session, peer: Peer, now: OffsetDateTime) -> Caller {
        Caller {
            principal: person.id,
            kind: PrincipalKind::User,
            address: peer.0.ip(),
            generation: person.generation,
            expires: session.lapses(),
            proofs: session.proofs.clone(),
            through: Through { risk: session.risk, user_risk: person.risk_level(), ..Through::portal() },
            name: person.user_principal_name,
            idle_for: now - session.seen,
            session: Some(Box::new(session)),
            grant: None,
        }
    }

    /// What lets them in again, and until when at most, as far as that is known now.
    pub(crate) fn standing(&self) -> (Standing, Option<OffsetDateTime>) {
        match (&self.session, &self.grant) {
            (Some(session), _) => (Standing::Session(session.key()), None),
            (None, Some(grant)) => (Standing::Grant(grant.id), None),
            (None, None) => (Standing::Program(self.generation), Some(self.expires)),
        }
    }

    /// Whether this is still what is known of a person: policies look at how suspicious an account is, too.
    fn is_still(&self, person: &Person) -> bool {
        person.enabled
            && person.generation == self.generation
            && person.risk_level() == self.through.user_risk
    }

    /// The caller as the audit log names it.
    pub fn reference(&self) -> CallerRef {
        CallerRef { object_id: self.principal.to_string(), kind: self.kind, name: self.name.clone() }
    }
}

fn unauthenticated(code: &str, message: &str) -> ArmError {
    ArmError::new(401, code, message)
}

/// Finds out who asks, and lets them in.
///
/// # Errors
/// As [`identified`]; what conditional access says of the request.
pub async fn caller(app: &App, method: &Method, headers: &HeaderMap, peer: Peer) -> Result<Caller, ArmError> {
    let mut caller = identified(app, method, headers, peer).await?;
    conditional_access::admit(app, &caller, headers, Ask::Anything)?;
    touch(app, &mut caller).await?;
    Ok(caller)
}

/// Finds out who asks, and no more: for what people do to be let in.
///
/// # Errors
/// 401 in Azure's words; 403 `CrossSiteRequest` for a cookie that another site's page brought along.
pub async fn identified(
    app: &App,
    method: &Method,
    headers: &HeaderMap,
    peer: Peer,
) -> Result<Caller, ArmError> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().unwrap_or_default();
        let token =
            text.strip_prefix("Bearer ").or_else(|| text.strip_prefix("bearer ")).map(str::trim).ok_or_else(
                || {
                    unauthenticated(
                        "AuthenticationFailed",
                        "Authentication failed. The 'Authorization' header is provided in an invalid format.",
                    )
                },
            )?;
        return bearer(app, headers, token, peer).await;
    }
    let Some(cookie) = cookie(headers, COOKIE) else {
        return Err(unauthenticated(
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing.",
        ));
    };
    same_origin(method, headers, &web::base_url(headers, &app.config))?;
    session(app, &cookie, peer).await
}

/// A cookie's value.
pub fn cookie(headers: &HeaderMap, name: &str) -> Option<Secret> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(n, _)| *n == name)
        .map(|(_, v)| Secret::new(v))
}

/// Who sent a request, as far as the browser says: `Sec-Fetch-Site`, or `Origin` of browsers without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The portal's own page.
    Portal,
    /// A page of another site.
    Elsewhere,
    /// No page: the address bar, or a program.
    NoPage,
}

/// Reads who sent a request.
pub fn sender(headers: &HeaderMap, base: &str) -> Sender {
    match (web::header(headers, "sec-fetch-site").as_deref(), web::header(headers, "origin")) {
        (Some("same-origin"), _) => Sender::Portal,
        (Some("none"), _) | (None, None) => Sender::NoPage,
        (None, Some(origin)) if origin == base => Sender::Portal,
        _ => Sender::Elsewhere,
    }
}

/// The refusal of a request that did not come from the portal's own page.
pub fn cross_site() -> ArmError {
    ArmError::new(403, "CrossSiteRequest", "This request did not come from the portal's own page.")
}

/// Refuses a changing request that another site's page may have caused.
///
/// # Errors
/// 403 `CrossSiteRequest`.
pub fn same_origin(method: &Method, headers: &HeaderMap, base: &str) -> Result<(), ArmError> {
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if reads || sender(headers, base) == Sender::Portal { Ok(()) } else { Err(cross_site()) }
}

async fn bearer(app: &App, headers: &HeaderMap, token: &str, peer: Peer) -> Result<Caller, ArmError> {
    let authority = app.identity.authority(&web::base_url(headers, &app.config));
    let claims = app.identity.tokens().verify(token, &authority.audiences(), OffsetDateTime::now_utc())?;
    let expires = OffsetDateTime::from_unix_timestamp(claims.exp).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let mut read = app.store.read().await?;
    let gone = || {
        unauthenticated(
            "InvalidAuthenticationToken",
            "The access token is of a principal that does not exist or is disabled.",
        )
    };
    match claims.idtyp {
        TokenKind::App => {
            let principal: ServicePrincipal =
                read_document(&mut read, kind::SERVICE_PRINCIPAL, &claims.oid.to_string())
                    .await?
                    .filter(|p: &ServicePrincipal| p.enabled)
                    .ok_or_else(gone)?;
            claims.check_generation(principal.generation)?;
            Ok(Caller::program(&principal, peer, expires))
        }
        TokenKind::User => {
            let person: Person = read_document(&mut read, kind::PERSON, &claims.oid.to_string())
                .await?
                .filter(|p: &Person| p.enabled)
                .ok_or_else(gone)?;
            claims.check_generation(person.generation)?;
            let grant = grant(&mut read, &claims).await?;
            Ok(Caller::of_grant(person, grant, peer, expires))
        }
    }
}

/// The grant that a person's token is of. Without it the token is worth nothing.
async fn grant(read: &mut (dyn Read + '_), claims: &Claims) -> Result<Grant, ArmError> {
    let ended = || {
        let text = "The access token has been revoked: what was given to this client has ended. Sign in again; for az \
                    run 'az login'.";
        unauthenticated("InvalidAuthenticationToken", text)
    };
    let id = claims.sid.ok_or_else(ended)?.to_string();
    let found: Option<Grant> = read_document(read, kind::GRANT, &id).await?;
    let fits =
        |g: &Grant| g.person == claims.oid && g.generation == claims.sgen && g.alive(read.now()).is_ok();
    found.filter(fits).ok_or_else(ended)
}

async fn session(app: &App, token: &Secret, peer: Peer) -> Result<Caller, ArmError> {
    let now = OffsetDateTime::now_utc();
    let ended = |why: &str| unauthenticated("SessionEnded", &format!("Sign in again: {why}."));
    let mut read = app.store.read().await?;
    let session: Session = read_document(&mut read, kind::SESSION, &Session::key_of(token))
        .await?
        .ok_or_else(|| ended("there is no such session"))?;
    session.check(token, now).map_err(|e| ended(&e.to_string()))?;
    let person: Person = read_document(&mut read, kind::PERSON, &session.person.to_string())
        .await?
        .filter(|p: &Person| p.enabled && p.generation == session.generation)
        .ok_or_else(|| ended("this account's sessions were ended"))?;
    Ok(Caller::of_session(person, session, peer, now))
}

/// What lets a caller in again with something else than what they came with then, such as an SSH key that they said is
/// theirs: it is good for as long as the sign-in in which they said so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Standing {
    /// A session in the portal, by the key it is kept under.
    Session(String),
    /// What a person gave a client.
    Grant(Uuid),
    /// A program's generation.
    Program(u64),
}

/// Finds out who it is that comes back, and lets them in. `None` when they may not, for whatever reason.
///
/// # Errors
/// Those of the database.
pub(crate) async fn again(
    app: &App,
    (principal, standing): (Uuid, &Standing),
    until: OffsetDateTime,
    peer: Peer,
) -> Result<Option<Caller>, StoreError> {
    let mut read = app.store.read().await?;
    let now = read.now();
    if until <= now {
        return Ok(None);
    }
    if let Standing::Program(generation) = standing {
        let kept = read_document(&mut read, kind::SERVICE_PRINCIPAL, &principal.to_string()).await?;
        let kept = kept.filter(|p: &ServicePrincipal| p.enabled && p.generation == *generation);
        return Ok(kept.map(|kept| Caller::program(&kept, peer, until)));
    }
    let person: Option<Person> = read_document(&mut read, kind::PERSON, &principal.to_string()).await?;
    let Some(person) = person.filter(|person| person.enabled) else { return Ok(None) };
    let found = match standing {
        Standing::Session(key) => {
            let kept: Option<Session> = read_document(&mut read, kind::SESSION, key).await?;
            let kept = kept.filter(|s| s.person == person.id && s.generation == person.generation);
            let kept = kept.filter(|s| s.alive(now).is_ok());
            kept.map(|kept| Caller::of_session(person, kept, peer, now))
        }
        Standing::Grant(id) => {
            let kept: Option<Grant> = read_document(&mut read, kind::GRANT, &id.to_string()).await?;
            let kept = kept.filter(|g| g.person == person.id && g.generation == person.generation);
            let kept = kept.filter(|g| g.alive(now).is_ok());
            kept.map(|kept| Caller::of_grant(person, kept, peer, until))
        }
        Standing::Program(_) => None,
    };
    drop(read);
    let Some(mut caller) = found else { return Ok(None) };
    caller.through.client = ClientApp::MobileAppsAndDesktopClients;
    if let Err(error) = touch(app, &mut caller).await {
        tracing::warn!(code = error.code, "a sign-in's use could not be noted");
    }
    Ok(Some(caller))
}

/// Notes a request that was let in: of a session or of a grant, at most once a minute.
async fn touch(app: &App, caller: &mut Caller) -> Result<(), ArmError> {
    let (address, now) = (caller.address, OffsetDateTime::now_utc());
    if let Some(session) = &mut caller.session
        && session.touch(address, now)
    {
        caller.expires = session.lapses();
        let kept = session.clone();
        app.store
            .write::<_, StoreError, _>(move |tx| {
                Box::pin(async move {
                    // A session that was revoked meanwhile must not come back.
                    if tx.document(kind::SESSION, &kept.key()).await?.is_some() {
                        write_document(tx, kind::SESSION, &kept.key(), &kept).await?;
                    }
                    Ok(())
                })
            })
            .await?;
    }
    if let Some(grant) = &mut caller.grant
        && grant.touch(address, now)
    {
        let key = grant.id.to_string();
        app.store
            .write::<_, StoreError, _>(move |tx| {
                Box::pin(async move {
                    // What was refreshed or revoked meanwhile must not come back as it was.
                    let kept: Option<Grant> = read_document(tx.as_read(), kind::GRANT, &key).await?;
                    if let Some(mut kept) = kept {
                        kept.touch(address, now);
                        write_document(tx, kind::GRANT, &key, &kept).await?;
                    }
                    Ok(())
                })
            })
            .await?;
    }
    Ok(())
}

/// Until when a caller who was admitted before would be admitted again; `None` when no longer.
pub async fn valid_until(app: &App, caller: &Caller) -> Option<OffsetDateTime> {
    let check = async {
        let now = OffsetDateTime::now_utc();
        let mut read = app.store.read().await?;
        if let Some(session) = &caller.session {
            let kept: Option<Session> = read_document(&mut read, kind::SESSION, &session.key()).await?;
            let person: Option<Person> =
                read_document(&mut read, kind::PERSON, &caller.principal.to_string()).await?;
            let same = person.is_some_and(|p| caller.is_still(&p));
            return Ok(kept.filter(|s| same && s.alive(now).is_ok()).map(|s| s.lapses()));
        }
        if let Some(grant) = &caller.grant {
            let kept: Option<Grant> = read_document(&mut read, kind::GRANT, &grant.id.to_string()).await?;
            let person: Option<Person> =
                read_document(&mut read, kind::PERSON, &caller.principal.to_string()).await?;
            let same = person.is_some_and(|p| caller.is_still(&p));
            let lives = same && kept.is_some_and(|g| g.alive(now).is_ok()) && now < caller.expires;
            return Ok(lives.then_some(caller.expires));
        }
        let principal: Option<ServicePrincipal> =
            read_document(&mut read, kind::SERVICE_PRINCIPAL, &caller.principal.to_string()).await?;
        let same = principal.is_some_and(|p| p.enabled && p.generation == caller.generation);
        Ok::<_, StoreError>((same && now < caller.expires).then_some(caller.expires))
    };
    check.await.unwrap_or_default()
}

/// A handler that takes a caller answers nobody else.
impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Caller, Response> {
        // Whoever had to confirm the request was let in for that already.
        if let Some(caller) = parts.extensions.remove::<Caller>() {
            return Ok(caller);
        }
        let Some(peer) = parts.extensions.get::<Peer>().copied() else {
            return Err(web::arm_error(&ArmError::internal()));
        };
        let found = caller(app, &parts.method, &parts.headers, peer).await;
        found.map_err(|error| challenge(app, &parts.headers, &error))
    }
}

/// The 401 with the header that tells clients where to get a token.
fn challenge(app: &App, headers: &HeaderMap, error: &ArmError) -> Response {
    let mut response = web::arm_error(error);
    if error.status == 401 {
        let authority = app.identity.authority(&web::base_url(headers, &app.config));
        if let Ok(value) = authority.challenge(&error.message).parse() {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
    }
    response
}
