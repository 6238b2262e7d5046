//! HTTP: the one router, what every answer carries, and the small conversions between HTTP and ARM.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Extension, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{RequestExt as _, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use sekisho_arm::engine::Answer;
use sekisho_arm::{ArmError, Call};
use sekisho_link::message::{JoinAnswer, JoinRequest};
use serde::Serialize;
use serde_json::Value;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate as _, SizeAbove};
use uuid::Uuid;

use crate::app::App;
use crate::authn::Caller;
use crate::config::Config;
use crate::drain::Drained;
use crate::routes::{Anything, Operation, Routes, Text};
use crate::{arm, bastion, conditional_access, events, installer, link, metrics, portal, signin};

/// The id of a request: the correlation id of everything it causes.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// The address of the client.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Everything that is served but the portal's files.
pub fn routes() -> Routes {
    signin::routes()
        .merge(conditional_access::routes())
        .merge(bastion::routes())
        .on(
            Operation::get("/api/events", "Names what changes, as server-sent events")
                .answers_as::<events::Event>(200, "text/event-stream"),
            events::stream,
        )
        .on(
            Operation::get("/metrics", "How the server is, as OpenMetrics text")
                .answers_as::<Text>(200, "application/openmetrics-text"),
            metrics::scrape,
        )
        .on(
            Operation::get("/openapi.json", "This document").anybody().answers::<Anything>(200),
            crate::openapi::document,
        )
        .on(
            Operation::post("/link/join", "Lets a machine in by the secret of an enrolment token")
                .anybody()
                .takes::<JoinRequest>()
                .answers::<JoinAnswer>(201),
            link::join,
        )
        .on(
            Operation::get("/link/install", "The script that installs the agent and joins")
                .anybody()
                .answers_as::<Text>(200, "text/x-shellscript"),
            installer::install,
        )
        .on(
            Operation::get("/link/agent/{file}", "A package of the agent, as the script names it")
                .anybody()
                .answers_as::<Text>(200, "application/octet-stream"),
            installer::agent,
        )
        .family(
            &["/subscriptions", "/subscriptions/{*rest}", "/providers", "/providers/{*rest}", "/tenants"],
            arm_route,
            arm::operations(),
        )
}

/// From how many bytes an answer is compressed, for who takes that. Lists say the same words again and again: that of
/// 5,000 machines is a tenth. Sessions are no use to other sites, so that nobody can make one answer tell of another.
const COMPRESSED_BYTES: u16 = 8 << 10;
/// What is a file. It is given as it is, so that its length is known and its end can be asked for alone.
pub(crate) const OCTETS: &str = "application/octet-stream";

/// The router for browsers, `az` and SDKs.
pub fn router(app: Arc<App>) -> Router {
    routes()
        .router
        .fallback(portal_or_arm)
        .layer(middleware::from_fn_with_state(app.clone(), signin::step_up::guard))
        .layer(middleware::from_fn_with_state(app.clone(), signin::not_from_elsewhere))
        .layer(middleware::from_fn_with_state(app.clone(), every_request))
        .layer(
            CompressionLayer::new().compress_when(
                SizeAbove::new(COMPRESSED_BYTES)
                    .and(NotForContentType::SSE)
                    .and(NotForContentType::const_new(OCTETS)),
            ),
        )
        .with_state(app)
}

/// A path as it may be told: stock clients of a bastion put a secret into it.
fn without_secret(path: &str) -> String {
    let told =
        ["/webtunnelv2/", "/api/tokens/"].iter().find_map(|mark| path.find(mark).map(|at| at + mark.len()));
    told.filter(|_| path.starts_with("/bastions/"))
        .map_or(path.to_owned(), |end| format!("{}…", &path[..end]))
}

/// Adds ids and security headers to every answer.
async fn every_request(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let id = Uuid::new_v4().to_string();
    let client_id = request
        .headers()
        .get("x-ms-return-client-request-id")
        .is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"true"))
        .then(|| request.headers().get("x-ms-client-request-id").cloned())
        .flatten();
    let started = std::time::Instant::now();
    let (method, path) = (request.method().clone(), without_secret(request.uri().path()));
    let mut request = request.map(|body| Body::new(Drained::new(body)));
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = survived(&id, next.run(request)).await;
    let (status, took) = (response.status().as_u16(), started.elapsed());
    app.metrics.answered(&method, &path, status, took);
    tracing::info!(%method, path, status, ms = took.as_millis(), request = id, "request");
    let headers = response.headers_mut();
    for name in ["x-ms-request-id", "x-ms-correlation-request-id"] {
        set(headers, name, &id);
    }
    let now = time::OffsetDateTime::now_utc();
    let stamp = format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        now.year(),
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute(),
        now.second()
    );
    set(headers, "x-ms-routing-request-id", &format!("SEKISHO:{stamp}:{id}"));
    if let Some(client_id) = client_id {
        headers.insert("x-ms-client-request-id", client_id);
    }
    set(headers, "strict-transport-security", "max-age=31536000");
    set(headers, "x-content-type-options", "nosniff");
    set(headers, "referrer-policy", "no-referrer");
    if !headers.contains_key(header::CACHE_CONTROL) {
        set(headers, "cache-control", "no-store");
    }
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        set(headers, "content-security-policy", "default-src 'none'; frame-ancestors 'none'");
    }
    response
}

/// The answer, or that there is none because of a mistake of ours: it ends this request and no other. Where it happened is a
/// line of the log already.
pub(crate) async fn survived(id: &str, work: impl Future<Output = Response>) -> Response {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(request = id, "a request was given up");
        arm_error(&ArmError::internal())
    })
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// Doubled slashes (`//metadata/endpoints`, `//subscriptions/..`) are collapsed before routing is tried again.
async fn portal_or_arm(state: State<Arc<App>>, id: Extension<RequestId>, mut request: Request) -> Response {
    if let Some(inner) = without_second_base(request.uri()) {
        *request.uri_mut() = inner;
    }
    let path = request.uri().path();
    let first = path.split('/').find(|s| !s.is_empty()).unwrap_or_default().to_ascii_lowercase();
    if matches!(first.as_str(), "subscriptions" | "providers" | "tenants") {
        return match request.extract_parts_with_state(&state.0).await {
            Ok(caller) => arm_route(state, id, caller, request).await,
            Err(refusal) => refusal,
        };
    }
    if path.starts_with("//") && first == "metadata" {
        return signin::metadata(
            state,
            request.headers().clone(),
            axum::extract::RawQuery(request.uri().query().map(str::to_owned)),
        )
        .await;
    }
    if matches!(first.as_str(), "api" | "auth" | "v1.0" | "link" | "metadata") {
        return arm_error(&ArmError::new(404, "NotFound", "Nothing is served at this path."));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return arm_error(&ArmError::method_not_allowed(request.method().as_str(), "this path"));
    }
    portal::serve(request.uri(), request.headers())
}

/// The URI without the second base, under which `az` that was registered there sends its ARM requests too.
fn without_second_base(uri: &http::Uri) -> Option<http::Uri> {
    let inner = uri.path_and_query()?.as_str().strip_prefix("/adfsm/")?;
    format!("/{inner}").parse().ok()
}

async fn arm_route(
    State(app): State<Arc<App>>,
    Extension(id): Extension<RequestId>,
    caller: Caller,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = match read_body(body, arm::max_body(parts.uri.path())).await {
        Ok(body) => body,
        Err(error) => return arm_error(&error),
    };
    let request = arm::Request { method: parts.method, uri: parts.uri, headers: parts.headers, body };
    arm::dispatch(&app, &caller, &id.0, request).await
}

/// Reads a whole body.
///
/// # Errors
/// 413 `RequestContentTooLarge` past the limit; 408 when it does not arrive within 30 seconds.
pub async fn read_body(body: Body, limit: usize) -> Result<Bytes, ArmError> {
    match tokio::time::timeout(std::time::Duration::from_secs(30), to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(ArmError::new(
            413,
            "RequestContentTooLarge",
            format!("The request content is larger than {limit} bytes or broke off."),
        )),
        Err(_) => Err(ArmError::new(408, "RequestTimeout", "The request content did not arrive in time.")),
    }
}

/// Parses a JSON body.
///
/// # Errors
/// 400 `InvalidRequestContent` saying where it stops being JSON, or that it is not an object.
pub fn parse_json(bytes: &[u8]) -> Result<Value, ArmError> {
    if bytes.is_empty() {
        return Err(ArmError::invalid_content("The request content is empty; a JSON object is expected."));
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|e| {
        ArmError::invalid_content(format!(
            "The request content was invalid and could not be deserialized: it is not valid JSON at line {} column {}.",
            e.line(),
            e.column()
        ))
    })?;
    // serde would read a list of the values as the struct.
    match value {
        Value::Object(_) => Ok(value),
        _ => Err(ArmError::invalid_content("The request content is not a JSON object.")),
    }
}

/// A header as text.
pub fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
}

/// `https://host:port` as the client reached us. A `Host` that is no name of ours is not repeated.
pub fn base_url(headers: &HeaderMap, config: &Config) -> String {
    let given = header(headers, "host").unwrap_or_default();
    let name = given.rsplit_once(':').map_or(given.as_str(), |(name, _)| name).trim_matches(['[', ']']);
    if config.certificate_names().iter().any(|n| n.eq_ignore_ascii_case(name)) {
        format!("https://{given}")
    } else {
        format!("https://{}:{}", config.host, config.listen.port())
    }
}

/// The link to the next page: the same query with a token.
pub fn next_link(call: &Call, path: String, after: &str) -> String {
    let encode = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let mut query: Vec<(String, String)> = call
        .query
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "$skiptoken" | "whatif"))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    query.sort();
    query.push(("$skiptoken".to_owned(), URL_SAFE_NO_PAD.encode(after)));
    let text: Vec<String> = query.iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
    let path: Vec<String> = path
        .split('/')
        .map(|s| encode(s).replace("%2D", "-").replace("%2E", ".").replace("%5F", "_"))
        .collect();
    format!("{}{}?{}", call.base_url, path.join("/"), text.join("&").replace("api%2Dversion", "api-version"))
}

/// Reads a page token.
///
/// # Errors
/// 400 `InvalidSkipToken`.
pub fn decode_token(token: &str) -> Result<String, ArmError> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| foreign_token())?;
    String::from_utf8(bytes).map_err(|_| foreign_token())
}

/// What is said of a page token that we did not give.
pub fn foreign_token() -> ArmError {
    ArmError::bad("InvalidSkipToken", "The $skipToken is not one of ours.").target("$skipToken")
}

/// An ARM answer as HTTP.
pub fn arm_answer(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match answer.body {
        Some(body) => json(status, &body),
        None => status.into_response(),
    };
    for (name, value) in answer.headers {
        set(response.headers_mut(), name, &value);
    }
    response
}

/// A JSON answer.
pub fn json<T: Serialize>(status: StatusCode, body: &T) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => {
            (status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "an answer is no JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// An ARM error as HTTP.
pub fn arm_error(error: &ArmError) -> Response {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(status, &error.body());
    set(response.headers_mut(), "x-ms-failure-cause", "service");
    if let Some(seconds) = error.retry_after {
        set(response.headers_mut(), "retry-after", &seconds.to_string());
    }
    response
}

#[cfg(test)]
mod last_resort {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_internal_error_of_that_request_and_the_next_is_answered() {
        let broken = survived("1", async { panic!("on purpose") }).await;
        assert_eq!(broken.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = read_body(broken.into_body(), 4096).await.unwrap();
        assert!(parse_json(&body).unwrap()["error"]["code"].is_string());
        let next = survived("2", async { StatusCode::NO_CONTENT.into_response() }).await;
        assert_eq!(next.status(), StatusCode::NO_CONTENT);
    }
}
