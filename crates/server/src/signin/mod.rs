//! Signing in, as a person in the portal or as a program that asks for a token, and the directory of both.
//!
//! `identity` decides; the code here keeps its values as documents, runs ceremonies, sets cookies and writes the audit
//! log. A ceremony's state is deleted in the transaction that reads it.

mod access_pass;
pub(crate) mod authenticators;
mod ceremony;
mod change_password;
mod directory;
mod enrol;
pub(crate) mod graph;
mod issuers;
mod notices;
mod oauth;
pub(crate) mod people;
mod prove;
mod sessions;
mod sign_ins;
pub(crate) mod step_up;
pub(crate) mod sweep;
pub(crate) mod throttle;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use sekisho_arm::{ArmError, AuditEntry, CallerRef, Outcome, PrincipalKind, Scope};
use sekisho_identity::oauth::{Authority, Layout, Metadata};
use sekisho_identity::passkey::{PasskeyError, Passkeys};
use sekisho_identity::token::{SigningKey, TokenError, Tokens};
use sekisho_link::Current;
use serde::Serialize;
use serde_json::json;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::app::App;
use crate::authn;
use crate::config::Config;
use crate::http as web;
use crate::routes::{Operation, Routes};
use issuers::Issuers;

pub use directory::{create_service_principal, setup_link};
pub(crate) use directory::{is_first_run, local_root, recovery_link};
pub(crate) use oauth::form_policy;
pub(crate) use oauth::visit;

/// The rights over people, groups and service principals.
pub fn directory_rights() -> [&'static str; 3] {
    [graph::READ, graph::WRITE, graph::DELETE]
}

/// Document kinds.
pub mod kind {
    /// People by object id.
    pub const PERSON: &str = "person";
    /// Object ids by the key of the sign-in name.
    pub const PERSON_NAME: &str = "personName";
    /// Passkeys by credential id.
    pub const PASSKEY: &str = "credential";
    /// Password hashes by person.
    pub const PASSWORD: &str = "password";
    /// Authenticators by person.
    pub const TOTP: &str = "totp";
    /// Recovery codes by person.
    pub const RECOVERY: &str = "recovery";
    /// Sessions by the digest of their token.
    pub const SESSION: &str = "session";
    /// What people's command lines and programs hold, by id.
    pub const GRANT: &str = "grant";
    /// Authorization codes by their digest.
    pub const AUTHORIZATION_CODE: &str = "authorizationCode";
    /// Device codes by their digest.
    pub const DEVICE_CODE: &str = "deviceCode";
    /// Keys by which SSH clients are known, by fingerprint.
    pub const SSH_KEY: &str = "sshKey";
    /// Browsers in which somebody has signed in.
    pub const DEVICE: &str = "device";
    /// One-time links by the digest of their token.
    pub const LINK: &str = "link";
    /// Ceremonies by id.
    pub const CEREMONY: &str = "ceremony";
    /// Confirmations of one operation, by the digest of their token.
    pub const APPROVAL: &str = "approval";
    /// Temporary access passes by person.
    pub const ACCESS_PASS: &str = "accessPass";
    /// Notices by id.
    pub const NOTICE: &str = "notice";
    /// Counters of failed sign-ins.
    pub const THROTTLE: &str = "throttle";
    /// Applications by object id.
    pub const APPLICATION: &str = "application";
    /// Sign-ins by instant and id.
    pub const SIGN_IN: &str = "signIn";
    /// What is remembered of sign-ins, by person.
    pub const SIGN_IN_HISTORY: &str = "signInHistory";
    /// Service principals by object id.
    pub const SERVICE_PRINCIPAL: &str = "servicePrincipal";
    /// Client assertions that were taken, by a digest of their ids.
    pub const ASSERTION: &str = "assertion";
}

/// Argon2 hashes computed at once: each takes 19 MiB and 25 ms of a core.
const HASHES: usize = 4;

/// The shared parts of signing in.
pub struct Identity {
    tokens: Current<Tokens>,
    /// The passkey ceremonies, or why there can be none.
    pub passkeys: Result<Passkeys, PasskeyError>,
    /// Providers that applications trust.
    issuers: Issuers,
    /// Bounds concurrent hashing.
    pub hashing: Semaphore,
    tenant: Uuid,
    domain: String,
    cloud: String,
}

impl Identity {
    /// Puts the parts together.
    ///
    /// # Errors
    /// When the signing keys cannot be used.
    pub fn new(config: &Config, tenant: Uuid, keys: Vec<SigningKey>) -> Result<Identity, TokenError> {
        let base = public_base(config);
        let authority = Authority::new(&base, tenant, &config.host, &config.cloud_name);
        Ok(Identity {
            tokens: Current::new(Tokens::new(keys, &authority.issuer(), tenant)?),
            passkeys: Passkeys::new(&config.host, &base, &config.organization),
            issuers: Issuers::new(config),
            hashing: Semaphore::new(HASHES),
            tenant,
            domain: config.host.clone(),
            cloud: config.cloud_name.clone(),
        })
    }

    /// Issues and verifies tokens, with the keys that are trusted at this moment.
    pub fn tokens(&self) -> Arc<Tokens> {
        self.tokens.get()
    }

    /// Puts other signing keys in place.
    ///
    /// # Errors
    /// When they cannot be used; those before stay then.
    pub(crate) fn trust(&self, keys: Vec<SigningKey>) -> Result<(), TokenError> {
        self.tokens.put(self.tokens().with_keys(keys)?);
        Ok(())
    }

    /// The passkey ceremonies.
    ///
    /// # Errors
    /// Why there can be none.
    pub(crate) fn passkeys(&self) -> Result<&Passkeys, ArmError> {
        self.passkeys.as_ref().map_err(|e| ceremony::passkey_error(e.clone()))
    }

    /// The authority as seen at `base`.
    pub fn authority(&self, base: &str) -> Authority {
        Authority::new(base, self.tenant, &self.domain, &self.cloud)
    }
}

/// The address people are told.
pub fn public_base(config: &Config) -> String {
    match config.listen.port() {
        443 => format!("https://{}", config.host),
        port => format!("https://{}:{port}", config.host),
    }
}

/// All routes of this module.
pub fn routes() -> Routes {
    let metadata_of = |path| {
        Operation::get(path, "Where the services of this cloud are")
            .anybody()
            .query("api-version")
            .answers::<Metadata>(200)
    };
    Routes::default()
        .on(metadata_of("/metadata/endpoints"), metadata)
        .on(metadata_of("/adfsm/metadata/endpoints"), metadata_adfs)
        .on(
            Operation::get("/aliases.json", "Names of machine images: there are none")
                .anybody()
                .answers::<Aliases>(200),
            aliases,
        )
        .merge(oauth::routes())
        .merge(enrol::routes())
        .merge(prove::routes())
        .merge(sessions::routes())
        .merge(step_up::routes())
        .merge(access_pass::routes())
        .merge(change_password::routes())
        .merge(notices::routes())
        .merge(sign_ins::routes())
        .family(&["/v1.0/{*rest}"], graph::dispatch, graph::operations())
}

/// Refuses what another site's page sends, also where no session is needed: otherwise it could sign a visitor in as
/// somebody else, or out. Programs that are no browsers send neither header and have no cookies to misuse.
pub(crate) async fn not_from_elsewhere(
    State(app): State<Arc<App>>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    let sender = authn::sender(request.headers(), &web::base_url(request.headers(), &app.config));
    if sender == authn::Sender::Elsewhere && request.uri().path().starts_with("/auth/") {
        return web::arm_error(&authn::cross_site());
    }
    next.run(request).await
}

/// `GET /metadata/endpoints`.
pub async fn metadata(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    endpoints(&app, &headers, query.as_deref(), Layout::Entra)
}

/// The same with the authority layout that needs no client setting.
pub async fn metadata_adfs(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    endpoints(&app, &headers, query.as_deref(), Layout::Adfs)
}

fn endpoints(app: &App, headers: &HeaderMap, query: Option<&str>, layout: Layout) -> Response {
    let version = query
        .unwrap_or_default()
        .split('&')
        .filter_map(|p| p.split_once('='))
        .find(|(n, _)| n.eq_ignore_ascii_case("api-version"))
        .map_or("2022-09-01", |(_, v)| v);
    let authority = app.identity.authority(&web::base_url(headers, &app.config));
    web::json(StatusCode::OK, &authority.metadata(layout, version))
}

/// The document `az vm image` asks for.
#[derive(Default, Serialize, JsonSchema)]
struct Aliases {
    outputs: AliasOutputs,
}

#[derive(Default, Serialize, JsonSchema)]
struct AliasOutputs {
    aliases: AliasValue,
}

#[derive(Default, Serialize, JsonSchema)]
struct AliasValue {
    value: BTreeMap<String, String>,
}

async fn aliases() -> Response {
    web::json(StatusCode::OK, &Aliases::default())
}

/// An audit entry about signing in and credentials, which happen outside of every subscription.
pub(crate) fn entry(
    operation: &str,
    who: CallerRef,
    outcome: Outcome,
    detail: &str,
    address: &str,
) -> AuditEntry {
    AuditEntry {
        operation: format!("Sekisho.Identity/{operation}"),
        resource_id: Scope::Tenant.to_string(),
        caller: who,
        outcome,
        detail: detail.to_owned(),
        correlation_id: Uuid::new_v4().to_string(),
        authorization: None,
        http: Some(json!({ "clientIpAddress": address })),
        phase: None,
        properties: None,
    }
}

pub(crate) fn person_ref(person: &sekisho_identity::Person) -> CallerRef {
    CallerRef {
        object_id: person.id.to_string(),
        kind: PrincipalKind::User,
        name: person.user_principal_name.clone(),
    }
}

pub(crate) fn nobody(name: &str) -> CallerRef {
    let name = name.chars().filter(|c| !c.is_control()).take(120).collect();
    CallerRef { object_id: Uuid::nil().to_string(), kind: PrincipalKind::Anonymous, name }
}

/// Reads a JSON body into a typed struct.
pub(crate) async fn body<T: serde::de::DeserializeOwned>(
    request: axum::extract::Request,
) -> Result<T, ArmError> {
    let bytes = web::read_body(request.into_body(), 64 << 10).await?;
    sekisho_arm::resource::typed(&web::parse_json(&bytes)?, "")
}

/// The answer of a handler, whichever way it ended.
fn answer(result: Result<Response, ArmError>) -> Response {
    result.unwrap_or_else(|error| web::arm_error(&error))
}
