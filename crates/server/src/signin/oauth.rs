//! The OAuth 2.0 endpoints of the tenant, in Entra ID's dialect: discovery, tokens for programs and for people's clients,
//! and what a person answers in the portal when a client asks to act as them.

mod authorize;
mod device;
mod grants;
mod person;
mod program;
pub(crate) mod visit;

pub(crate) use authorize::form_policy;
pub(super) use program::Used;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Extension, Path, Request, State};
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode};
use sekisho_arm::traits::read_documents;
use sekisho_arm::{ArmError, Read, StoreError};
use sekisho_identity::conditional_access::Flow;
use sekisho_identity::grant::Approval;
use sekisho_identity::oauth::{
    OAuthError, OAuthRefusal, OpenIdConfiguration, TokenAnswer, TokenForm, TokenRequest, client,
};
use sekisho_identity::service_principal::Application;
use sekisho_identity::token::KeySet;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{kind, sessions};
use crate::app::App;
use crate::authn::{self, Through};
use crate::conditional_access::{self, Ask};
use crate::http::{self as web, Peer};
use crate::routes::{Operation, Routes};

/// Largest form read, in bytes.
const MAX_FORM: usize = 64 << 10;

/// The routes.
pub(super) fn routes() -> Routes {
    let configuration_at = |path| {
        Operation::get(path, "Where and how to ask for tokens")
            .anybody()
            .answers::<OpenIdConfiguration>(200)
            .refuses::<OAuthRefusal>()
    };
    let token_at = |path| {
        Operation::post(path, "Gives a token for a credential, a code or a refresh token")
            .anybody()
            .takes_as::<TokenForm>("application/x-www-form-urlencoded")
            .answers::<TokenAnswer>(200)
            .refuses::<OAuthRefusal>()
    };
    Routes::default()
        .on(configuration_at("/{tenant}/v2.0/.well-known/openid-configuration"), configuration)
        .on(configuration_at("/{tenant}/.well-known/openid-configuration"), configuration)
        .on(
            Operation::get("/{tenant}/discovery/v2.0/keys", "What tokens are verified with")
                .anybody()
                .answers::<KeySet>(200),
            keys,
        )
        .on(token_at("/{tenant}/oauth2/v2.0/token"), token)
        .on(token_at("/{tenant}/oauth2/token"), token)
        .merge(authorize::routes())
        .merge(device::routes())
        .merge(grants::routes())
}

/// Whoever sends a request that names nobody yet.
struct Asker {
    address: IpAddr,
    user_agent: String,
}

impl Asker {
    fn of(peer: Peer, headers: &HeaderMap) -> Asker {
        Asker { address: peer.0.ip(), user_agent: web::header(headers, "user-agent").unwrap_or_default() }
    }
}

/// `GET /{tenant}/v2.0/.well-known/openid-configuration`.
async fn configuration(
    State(app): State<Arc<App>>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
) -> Response {
    let authority = app.identity.authority(&web::base_url(&headers, &app.config));
    if !authority.is_tenant(&tenant) {
        return refuse(&OAuthError::tenant_not_found(&tenant), &headers);
    }
    web::json(StatusCode::OK, &authority.openid_configuration(&tenant))
}

/// `GET /{tenant}/discovery/v2.0/keys`.
async fn keys(State(app): State<Arc<App>>) -> Response {
    web::json(StatusCode::OK, &app.identity.tokens().jwks())
}

/// `POST /{tenant}/oauth2/v2.0/token`.
async fn token(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path(tenant): Path<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let result = async {
        let bytes = web::read_body(body, MAX_FORM).await.map_err(|_| OAuthError::malformed("body"))?;
        let form = form(&bytes)?;
        let authority = app.identity.authority(&web::base_url(&parts.headers, &app.config));
        let asker = Asker::of(peer, &parts.headers);
        match TokenRequest::read(&authority, &tenant, &form)? {
            TokenRequest::Program { client_id, proof, audience, capabilities } => {
                let asked = program::Asked { client_id, proof, audience, capabilities };
                program::token(&app, (&authority, &tenant), asker.address, asked).await
            }
            TokenRequest::Code { client, code, redirect, verifier } => {
                person::by_code(&app, asker, client, code, redirect, verifier).await
            }
            TokenRequest::Refresh { client, token, wish } => {
                person::by_refresh_token(&app, asker, client, token, wish).await
            }
            TokenRequest::Device { client, code } => person::by_device_code(&app, asker, client, code).await,
        }
    };
    match result.await {
        Ok(body) => web::json(StatusCode::OK, &body),
        Err(error) => refuse(&error, &parts.headers),
    }
}

fn refuse(error: &OAuthError, headers: &HeaderMap) -> Response {
    let correlation = web::header(headers, "client-request-id")
        .and_then(|v| Uuid::try_parse(&v).ok())
        .unwrap_or_else(Uuid::new_v4);
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
    web::json(status, &error.body(Uuid::new_v4(), correlation, OffsetDateTime::now_utc()))
}

/// What a client is told when the database fails; the log has the cause.
fn failed(error: StoreError) -> OAuthError {
    tracing::error!(%error, "a token could not be issued");
    OAuthError::server_error()
}

/// `application/x-www-form-urlencoded` pairs.
fn form(bytes: &[u8]) -> Result<Vec<(String, String)>, OAuthError> {
    let text = std::str::from_utf8(bytes).map_err(|_| OAuthError::malformed("body"))?;
    let decode = |part: &str| {
        let spaced = part.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| OAuthError::malformed("body"))
    };
    text.split('&')
        .filter(|p| !p.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| Ok((decode(name)?, decode(value)?)))
        .collect()
}

/// The yes of whoever is signed in, to a client. Conditional access is asked about the person in the portal, and about
/// the client that they let in: what would be refused to it afterwards is not given.
async fn approve(
    app: &App,
    headers: &HeaderMap,
    peer: Peer,
    contexts: &[String],
    (client, flow): (Uuid, Flow),
) -> Result<Approval, ArmError> {
    let mut caller = authn::caller(app, &Method::POST, headers, peer).await?;
    let session = caller.session.take().ok_or_else(sessions::only_people)?;
    caller.through = Through::client(client, flow, session.risk, caller.through.user_risk);
    conditional_access::admit(app, &caller, headers, Ask::Anything)?;
    Approval::by(&session, contexts, OffsetDateTime::now_utc()).ok_or_else(sessions::too_old)
}

/// What a public client is called: by Microsoft, or in this directory. `None` is one that nobody knows.
pub(super) async fn client_name(read: &mut (dyn Read + '_), id: Uuid) -> Result<Option<String>, StoreError> {
    if let Some(name) = client::known(id) {
        return Ok(Some(name.to_owned()));
    }
    let all: Vec<(String, Application)> = read_documents(read, kind::APPLICATION).await?;
    Ok(all.into_iter().find(|(_, a)| a.app_id == id).map(|(_, a)| a.display_name))
}
