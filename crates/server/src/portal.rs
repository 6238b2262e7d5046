//! Serving the portal: hashed assets for ever, documents by ETag, unknown pages as `index.html`, and the policy that
//! keeps anything else from running.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri, header};
use sekisho_portal::{File, find};

use crate::signin;

/// The content security policy of the portal (research 10 E6).
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; font-src 'self'; \
connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
require-trusted-types-for 'script'; trusted-types 'none'";

/// The policy of a session on a machine: the portal's, without any form, since the document has none that a browser sends.
/// The terminal's styles are constructed sheets (`portal/src/session/adopt.ts`), so that nothing inline is needed.
const SESSION_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
require-trusted-types-for 'script'; trusted-types 'none'";

/// The document of sessions on machines, under each address that it has.
const SESSION: &str = "session.html";
const SESSION_PATHS: [&str; 4] = ["session/ssh", "session/desktop", "session/replay", "session/link"];

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        "json" | "webmanifest" => "application/json; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// The policy of a document. The page that lets a client in may also post to where the client waits.
fn policy(name: &str, uri: &Uri) -> String {
    if name == SESSION {
        return SESSION_POLICY.to_owned();
    }
    match signin::form_policy(uri) {
        Some(origin) => POLICY.replace("form-action 'self'", &format!("form-action 'self' {origin}")),
        None => POLICY.to_owned(),
    }
}

/// Answers a GET. A missing asset is 404, never the start page: a stale tab must notice.
pub fn serve(uri: &Uri, headers: &HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    let name = if SESSION_PATHS.contains(&path) { SESSION } else { path };
    let asset = name.starts_with("assets/");
    let file = match find(name) {
        Some(file) => file,
        None if asset || name.contains("..") => return plain(StatusCode::NOT_FOUND),
        None => match find("index.html") {
            Some(index) => index,
            None => return plain(StatusCode::NOT_FOUND),
        },
    };
    let cache = if asset { "public, max-age=31536000, immutable" } else { "no-cache" };
    let matches = headers.get(header::IF_NONE_MATCH).is_some_and(|v| v.as_bytes() == file.etag.as_bytes());
    let takes_brotli = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.split(',').any(|e| e.trim().split(';').next() == Some("br")));
    let (bytes, encoding) = body(file, takes_brotli);
    let mut builder = Response::builder()
        .status(if matches { StatusCode::NOT_MODIFIED } else { StatusCode::OK })
        .header(header::CONTENT_TYPE, content_type(file.path))
        .header(header::CACHE_CONTROL, cache)
        .header(header::ETAG, file.etag)
        .header(header::VARY, "accept-encoding")
        .header(header::CONTENT_SECURITY_POLICY, policy(name, uri))
        .header("cross-origin-opener-policy", "same-origin")
        .header("permissions-policy", "camera=(), microphone=(), geolocation=(), publickey-credentials-get=(self), publickey-credentials-create=(self)");
    if let Some(encoding) = encoding {
        builder = builder.header(header::CONTENT_ENCODING, encoding);
    }
    let content = if matches { Body::empty() } else { Body::from(bytes) };
    builder.body(content).unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR))
}

fn body(file: &'static File, takes_brotli: bool) -> (&'static [u8], Option<&'static str>) {
    match file.brotli {
        Some(small) if takes_brotli => (small, Some("br")),
        _ => (file.raw, None),
    }
}

fn plain(status: StatusCode) -> Response {
    let mut response = Response::new(Body::from(status.canonical_reason().unwrap_or_default()));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy_at(path: &'static str) -> String {
        let answer = serve(&Uri::from_static(path), &HeaderMap::new());
        answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned()
    }

    #[test]
    fn sessions_on_machines_are_a_document_with_a_policy_of_its_own_and_nothing_inline_in_any() {
        for path in [
            "/session/ssh?machine=x",
            "/session/desktop",
            "/session/replay",
            "/session/link",
            "/session.html",
        ] {
            assert_eq!(policy_at(path), SESSION_POLICY);
        }
        for path in ["/", "/machines", "/session", "/session/other", "/sessions"] {
            assert_eq!(policy_at(path), POLICY);
        }
        for policy in [POLICY, SESSION_POLICY] {
            assert!(!policy.contains("unsafe") && policy.contains("trusted-types 'none'"));
        }
    }
}
