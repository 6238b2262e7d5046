//! The token endpoint and its discovery documents.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Extension, Path, Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use sekisho_arm::traits::read_documents;
use sekisho_arm::{CallerRef, Outcome, PrincipalKind, StoreError};
use sekisho_identity::oauth::{
    ClientProof, OAuthError, OAuthRefusal, OpenIdConfiguration, TokenAnswer, TokenForm, TokenRequest,
};
use sekisho_identity::service_principal::{Application, SecretError, ServicePrincipal};
use sekisho_identity::token::{Claims, KeySet, TokenKind};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{entry, kind, nobody, throttle};
use crate::app::App;
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
        Operation::post(path, "Gives a program a token for its secret")
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
}

/// `GET /{tenant}/v2.0/.well-known/openid-configuration`.
pub(super) async fn configuration(
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
pub(super) async fn keys(State(app): State<Arc<App>>) -> Response {
    web::json(StatusCode::OK, &app.identity.tokens.jwks())
}

/// `POST /{tenant}/oauth2/v2.0/token`.
pub(super) async fn token(
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
        let request = TokenRequest::read(&authority, &tenant, &form)?;
        grant(&app, peer.0.ip(), &tenant, request).await
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

async fn grant(
    app: &Arc<App>,
    address: IpAddr,
    tenant: &str,
    request: TokenRequest,
) -> Result<TokenAnswer, OAuthError> {
    let failed = |error: StoreError| {
        tracing::error!(%error, "a token could not be issued");
        OAuthError::server_error()
    };
    let mut read = app.store.read().await.map_err(failed)?;
    // Only where a guess comes from is counted, never the program it is aimed at: an application id is no secret, and
    // whoever knows one must not be able to lock its owner out.
    let places = app.identity.keyed.origins("token", address);
    let now = OffsetDateTime::now_utc();
    if throttle::check(&mut read, &places, now).await.map_err(failed)?.is_err() {
        return Err(OAuthError::locked());
    }
    let unknown = || OAuthError::unknown_client(&request.client_id, tenant);
    let app_id = Uuid::try_parse(&request.client_id).map_err(|_| unknown())?;
    let applications: Vec<(String, Application)> =
        read_documents(&mut read, kind::APPLICATION).await.map_err(failed)?;
    let principals: Vec<(String, ServicePrincipal)> =
        read_documents(&mut read, kind::SERVICE_PRINCIPAL).await.map_err(failed)?;
    drop(read);
    let application =
        applications.into_iter().map(|(_, a)| a).find(|a| a.app_id == app_id).ok_or_else(unknown)?;
    let principal =
        principals.into_iter().map(|(_, p)| p).find(|p| p.app_id == app_id).ok_or_else(unknown)?;
    let ClientProof::Secret(secret) = &request.proof else {
        return Err(OAuthError::unsupported_grant("client_assertion"));
    };
    let verdict = application.verify(secret, now);
    let who = CallerRef {
        object_id: principal.id.to_string(),
        kind: PrincipalKind::ServicePrincipal,
        name: principal.app_id.to_string(),
    };
    let error = match verdict {
        Ok(_) if principal.enabled => None,
        Ok(_) => Some(OAuthError::disabled_client(&request.client_id)),
        Err(SecretError::Expired { .. }) => Some(OAuthError::expired_secret(&request.client_id)),
        Err(_) => Some(OAuthError::invalid_secret(&request.client_id)),
    };
    let outcome = if error.is_none() { Outcome::Succeeded } else { Outcome::Denied };
    let detail = error.as_ref().map_or("OK", |e| e.error).to_owned();
    let name = if error.is_none() { who } else { nobody(&request.client_id) };
    let record = entry("servicePrincipals/signIn/action", name, outcome, &detail, &address.to_string());
    app.store
        .write::<_, StoreError, _>(move |tx| {
            Box::pin(async move {
                if outcome == Outcome::Denied {
                    throttle::failed(tx, &places, None, now).await?;
                }
                tx.audit(record).await?;
                Ok(())
            })
        })
        .await
        .map_err(failed)?;
    if let Some(error) = error {
        return Err(error);
    }
    let mut claims = Claims::new(
        TokenKind::App,
        principal.id,
        &principal.app_id.to_string(),
        &request.audience,
        principal.generation,
        now,
    );
    claims.xms_cc = request.capabilities;
    let token = app.identity.tokens.mint(claims).map_err(|_| OAuthError::server_error())?;
    Ok(TokenAnswer::new(token))
}
