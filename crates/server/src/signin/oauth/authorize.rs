//! The authorization endpoint, where `az login` sends a browser, and the person's answer in the portal.
//!
//! The endpoint itself only checks the request and shows the portal's page; it changes nothing and needs no session. The
//! page sends the request again, with the person's yes or no, and is told where to go with the answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Extension, Path, RawQuery, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method as Verb, StatusCode, Uri, header};
use schemars::JsonSchema;
use sekisho_arm::ArmError;
use sekisho_arm::traits::write_document;
use sekisho_identity::conditional_access::Flow;
use sekisho_identity::grant::Approval;
use sekisho_identity::oauth::authorize::{AuthorizationCode, AuthorizationRequest, ResponseMode};
use sekisho_identity::oauth::{Loopback, OAuthError};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{approve, client_name, form};
use crate::app::App;
use crate::http::{self as web, Peer};
use crate::routes::{Operation, Routes, Text};
use crate::signin::{answer, body, kind, sessions};

/// Longest query taken, in bytes.
const MAX_QUERY: usize = 8 << 10;
/// The portal's page.
const PAGE: &str = "/authorize";

/// The routes.
pub(super) fn routes() -> Routes {
    let authorize_at = |path| {
        Operation::get(path, "Shows the page on which a person lets a client act as them")
            .anybody()
            .query("client_id")
            .query("redirect_uri")
            .query("response_type")
            .query("response_mode")
            .query("scope")
            .query("state")
            .query("nonce")
            .query("code_challenge")
            .query("code_challenge_method")
            .query("claims")
            .ends(303)
            .refuses::<Text>()
    };
    Routes::default()
        .on(authorize_at("/{tenant}/oauth2/v2.0/authorize"), authorize)
        .on(authorize_at("/{tenant}/oauth2/authorize"), authorize)
        .on(
            Operation::post("/auth/authorize/inspect", "What a client asks a person for")
                .session()
                .takes::<Inspected>()
                .answers::<Asked>(200),
            inspect,
        )
        .on(
            Operation::post("/auth/authorize", "Lets a client act as oneself, or does not")
                .session()
                .takes::<Decided>()
                .answers::<Sent>(200),
            decide,
        )
}

/// `GET /{tenant}/oauth2/v2.0/authorize`.
async fn authorize(
    State(app): State<Arc<App>>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    match read(&app, &headers, &tenant, &query) {
        Ok(_) => (StatusCode::SEE_OTHER, [(header::LOCATION, format!("{PAGE}?{query}"))]).into_response(),
        Err(error) => refusal_page(&error),
    }
}

fn read(
    app: &App,
    headers: &HeaderMap,
    tenant: &str,
    query: &str,
) -> Result<AuthorizationRequest, OAuthError> {
    if query.len() > MAX_QUERY {
        return Err(OAuthError::malformed("query"));
    }
    let authority = app.identity.authority(&web::base_url(headers, &app.config));
    AuthorizationRequest::read(&authority, tenant, &form(query.as_bytes())?)
}

/// Where the portal's page may post the answer to a client: the one address that the page's own address names.
pub(crate) fn form_policy(uri: &Uri) -> Option<String> {
    let query = uri.query().filter(|q| uri.path() == PAGE && q.len() <= MAX_QUERY)?;
    let fields = form(query.as_bytes()).ok()?;
    let (_, redirect) = fields.iter().find(|(name, _)| name == "redirect_uri")?;
    Some(Loopback::parse(redirect)?.origin()?.to_owned())
}

/// The page for a request that goes nowhere.
fn refusal_page(error: &OAuthError) -> Response {
    let escape = |text: &str| {
        text.chars().fold(String::new(), |mut out, c| {
            match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                other => out.push(other),
            }
            out
        })
    };
    let text = escape(&error.to_string());
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Sekisho</title>\
         <h1>This sign-in cannot go on</h1><p lang=\"ja\">このサインインは続行できません。</p><p>{text}</p>"
    );
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

/// The request as the browser brought it.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "AuthorizationQuery")]
struct Inspected {
    /// The query of the page's address, without its question mark.
    query: String,
}

/// What a client asks for.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AuthorizationRequest")]
struct Asked {
    client_id: String,
    /// What the client says it is; null for one that nobody knows.
    client_name: Option<String>,
    /// Where the answer goes: always the person's own machine.
    redirect: String,
    /// What it wants to reach.
    resources: Vec<String>,
    /// Whether it wants to go on without asking again.
    offline: bool,
    /// Whether the person must sign in again first.
    needs_fresh_sign_in: bool,
}

/// `POST /auth/authorize/inspect`.
async fn inspect(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let run = async {
        let (_, session) = sessions::own(&app, &Verb::POST, &headers, peer).await?;
        let asked = again(&app, &headers, &body::<Inspected>(request).await?.query)?;
        let now = OffsetDateTime::now_utc();
        let shown = Asked {
            client_id: asked.client.to_string(),
            client_name: client_name(&mut app.store.read().await?, asked.client).await?,
            redirect: asked.redirect.origin().unwrap_or(asked.redirect.uri()).to_owned(),
            resources: asked.wish.resources().into_iter().map(str::to_owned).collect(),
            offline: asked.wish.offline,
            needs_fresh_sign_in: Approval::by(&session, &asked.wish.contexts, now).is_none(),
        };
        Ok(web::json(StatusCode::OK, &shown))
    };
    answer(run.await)
}

/// The request once more. Its tenant was checked when it came.
fn again(app: &App, headers: &HeaderMap, query: &str) -> Result<AuthorizationRequest, ArmError> {
    read(app, headers, "common", query)
        .map_err(|e| ArmError::bad("InvalidAuthorizationRequest", format!("{e}")))
}

/// A person's answer.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "AuthorizationDecision")]
struct Decided {
    /// The query of the page's address, without its question mark.
    query: String,
    allow: bool,
}

/// Where the browser goes with the answer.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuthorizationAnswer")]
struct Sent {
    /// The address.
    redirect: String,
    /// What it posts there; when null, it just goes.
    fields: Option<BTreeMap<&'static str, String>>,
}

/// `POST /auth/authorize`.
async fn decide(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let run = async {
        sessions::own(&app, &Verb::POST, &headers, peer).await?;
        let decided: Decided = body(request).await?;
        let asked = again(&app, &headers, &decided.query)?;
        let (redirect, mode, state) = (asked.redirect.clone(), asked.mode, asked.state.clone());
        let mut fields = BTreeMap::new();
        if decided.allow {
            let client = (asked.client, Flow::Direct);
            let approval = approve(&app, &headers, peer, &asked.wish.contexts, client).await?;
            let code = app
                .store
                .write::<_, ArmError, _>(move |tx| {
                    Box::pin(async move {
                        let (kept, code) = AuthorizationCode::issue(asked, approval, tx.now())
                            .map_err(|_| ArmError::internal())?;
                        write_document(tx, kind::AUTHORIZATION_CODE, &kept.key(), &kept).await?;
                        Ok(code)
                    })
                })
                .await?;
            fields.insert("code", code.expose().to_owned());
        } else {
            fields.insert("error", "access_denied".to_owned());
            fields.insert("error_description", "AADSTS65004: The person declined in the portal.".to_owned());
        }
        if let Some(state) = state {
            fields.insert("state", state);
        }
        let sent = match mode {
            ResponseMode::FormPost => Sent { redirect: redirect.uri().to_owned(), fields: Some(fields) },
            ResponseMode::Query => {
                let pairs: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
                Sent { redirect: redirect.with(&pairs), fields: None }
            }
        };
        Ok(web::json(StatusCode::OK, &sent))
    };
    answer(run.await)
}
