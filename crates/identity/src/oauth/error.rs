//! Errors of the token endpoint in Entra's form: an OAuth code for programs, an `AADSTS` number and sentence for
//! people. `az` prints `error_description` and nothing else.

use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

/// A refusal of the token endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("AADSTS{number}: {text}")]
pub struct OAuthError {
    /// The HTTP status.
    pub status: u16,
    /// The OAuth 2.0 error code (RFC 6749 §5.2, RFC 8628 §3.5).
    pub error: &'static str,
    /// Entra's number.
    pub number: u32,
    /// The sentence for people.
    pub text: String,
    /// A claims challenge to answer with a new sign-in.
    pub claims: Option<String>,
}

impl OAuthError {
    fn new(status: u16, error: &'static str, number: u32, text: impl Into<String>) -> OAuthError {
        OAuthError { status, error, number, text: text.into(), claims: None }
    }

    /// The path names a tenant that is not ours.
    pub fn tenant_not_found(segment: &str) -> OAuthError {
        let shown: String = segment.chars().take(80).collect();
        let text = format!("Tenant '{shown}' not found. Check to make sure you have the correct tenant ID.");
        OAuthError::new(400, "invalid_tenant", 90002, text)
    }

    /// A required parameter is missing.
    pub fn missing(parameter: &str) -> OAuthError {
        let text = format!("The request body must contain the following parameter: '{parameter}'.");
        OAuthError::new(400, "invalid_request", 900_144, text)
    }

    /// A parameter is there twice, or too long.
    pub fn malformed(parameter: &str) -> OAuthError {
        let shown: String = parameter.chars().take(80).collect();
        OAuthError::new(400, "invalid_request", 90100, format!("'{shown}' parameter is empty or not valid."))
    }

    /// The grant type is not one we serve.
    pub fn unsupported_grant(grant: &str) -> OAuthError {
        let shown: String = grant.chars().take(80).collect();
        let text = format!("The app requested an unsupported grant type '{shown}'.");
        OAuthError::new(400, "unsupported_grant_type", 70003, text)
    }

    /// The scope is not one resource of ours with `/.default`.
    pub fn invalid_scope(scope: &str) -> OAuthError {
        let shown: String = scope.chars().take(200).collect();
        let text = format!(
            "The provided value for scope {shown} is not valid. Client credential flows must have a scope value with \
             /.default suffixed to the resource identifier (application ID URI)."
        );
        OAuthError::new(400, "invalid_scope", 1_002_012, text)
    }

    /// There is no such application.
    pub fn unknown_client(client: &str, tenant: &str) -> OAuthError {
        let shown: String = client.chars().take(80).collect();
        let text = format!(
            "Application with identifier '{shown}' was not found in the directory '{tenant}'. This can happen if the \
             application has not been installed by the administrator of the tenant."
        );
        OAuthError::new(400, "unauthorized_client", 700_016, text)
    }

    /// The application may not sign in.
    pub fn disabled_client(client: &str) -> OAuthError {
        OAuthError::new(400, "unauthorized_client", 7_000_112, format!("Application '{client}' is disabled."))
    }

    /// The secret is wrong.
    pub fn invalid_secret(client: &str) -> OAuthError {
        let text = format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, \
             not the client secret ID, for a secret added to app '{client}'."
        );
        OAuthError::new(401, "invalid_client", 7_000_215, text)
    }

    /// The secret was right once.
    pub fn expired_secret(client: &str) -> OAuthError {
        let text =
            format!("The provided client secret keys for app '{client}' are expired. Create new keys.");
        OAuthError::new(401, "invalid_client", 7_000_222, text)
    }

    /// Neither a secret nor an assertion came with the request.
    pub fn missing_secret() -> OAuthError {
        let text =
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
        OAuthError::new(401, "invalid_client", 7_000_218, text)
    }

    /// A stronger or fresher sign-in is needed; `claims` goes back into the next request.
    pub fn interaction_required(text: &str, claims: String) -> OAuthError {
        let mut error = OAuthError::new(400, "interaction_required", 50076, text);
        error.claims = Some(claims);
        error
    }

    /// The redirect URI is not one of the person's own machine.
    pub fn foreign_redirect(uri: &str) -> OAuthError {
        let shown: String = uri.chars().take(200).collect();
        let text = format!(
            "The redirect URI '{shown}' specified in the request is not a loopback address, such as \
             http://localhost:8400. Public clients are sent back to no other."
        );
        OAuthError::new(400, "invalid_request", 50011, text)
    }

    /// A public client did not use PKCE.
    pub fn pkce_missing() -> OAuthError {
        let text = "Proof Key for Code Exchange (code_challenge with S256, code_verifier) is required for public clients.";
        OAuthError::new(400, "invalid_request", 9_002_325, text)
    }

    /// A code or refresh token is not, or no longer, good. `number` tells why.
    pub fn invalid_grant(number: u32, text: &str) -> OAuthError {
        OAuthError::new(400, "invalid_grant", number, text)
    }

    /// The person has not answered yet (RFC 8628 §3.5).
    pub fn authorization_pending() -> OAuthError {
        let text = "OAuth 2.0 device flow error. Authorization is pending. Continue polling.";
        OAuthError::new(400, "authorization_pending", 70016, text)
    }

    /// The client asks too often (RFC 8628 §3.5).
    pub fn slow_down() -> OAuthError {
        OAuthError::new(
            400,
            "slow_down",
            70016,
            "Too many requests. Poll five seconds less often from now on.",
        )
    }

    /// The person's time is over (RFC 8628 §3.5).
    pub fn expired_token() -> OAuthError {
        OAuthError::new(400, "expired_token", 70020, "The code has expired. Start the sign-in again.")
    }

    /// The person said no.
    pub fn authorization_declined() -> OAuthError {
        OAuthError::new(400, "authorization_declined", 65004, "The sign-in was declined in the portal.")
    }

    /// Too many sign-ins wait for their persons.
    pub fn too_many_waiting() -> OAuthError {
        let text = "Too many sign-ins wait for an answer. Try again in a few minutes.";
        OAuthError::new(429, "temporarily_unavailable", 90055, text)
    }

    /// A client assertion or federated token is not taken. `number` tells why.
    pub fn invalid_assertion(number: u32, text: impl Into<String>) -> OAuthError {
        OAuthError::new(401, "invalid_client", number, text)
    }

    /// Too many failed sign-ins from there or for that name.
    pub fn locked() -> OAuthError {
        let text = "The account is locked because of too many failed sign-ins. Try again later.";
        OAuthError::new(400, "invalid_grant", 50053, text)
    }

    /// The server's fault; its log has the cause.
    pub fn server_error() -> OAuthError {
        OAuthError::new(500, "server_error", 90033, "A transient error has occurred. Please try again.")
    }

    /// The body. `trace` is our request id, `correlation` the client's `client-request-id`.
    pub fn body(&self, trace: Uuid, correlation: Uuid, now: OffsetDateTime) -> OAuthRefusal {
        let stamp = super::timestamp(now).replace('T', " ");
        let description =
            format!("{self} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}");
        OAuthRefusal {
            error: self.error,
            error_description: description,
            error_codes: [self.number],
            timestamp: stamp,
            trace_id: trace.to_string(),
            correlation_id: correlation.to_string(),
            suberror: self.claims.as_ref().map(|_| "basic_action"),
            claims: self.claims.clone(),
        }
    }
}

/// An error of the token endpoint on the wire.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OAuthRefusal {
    error: &'static str,
    error_description: String,
    error_codes: [u32; 1],
    timestamp: String,
    trace_id: String,
    correlation_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    suberror: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claims: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_wrong_secret_reads_as_az_users_know_it() {
        let error = OAuthError::invalid_secret("a1");
        let body = error.body(Uuid::nil(), Uuid::nil(), datetime!(2026-11-24 12:00:01.5 UTC));
        assert_eq!((error.status, body.error), (401, "invalid_client"));
        let text = body.error_description.as_str();
        assert!(text.starts_with("AADSTS7000215: Invalid client secret provided. "), "{text}");
        assert!(text.ends_with("Timestamp: 2026-11-24 12:00:01Z"), "{text}");
        assert_eq!(body.error_codes[0], 7_000_215);
        assert!(body.claims.is_none());
    }

    #[test]
    fn a_step_up_carries_the_claims_to_send_back() {
        let body = OAuthError::interaction_required("Confirm.", "{}".to_owned());
        let body = body.body(Uuid::nil(), Uuid::nil(), OffsetDateTime::UNIX_EPOCH);
        assert_eq!(body.claims.as_deref(), Some("{}"));
        assert!(OAuthError::tenant_not_found(&"x".repeat(500)).text.len() < 200);
    }
}
