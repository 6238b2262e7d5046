//! The authorization code flow for public clients (RFC 6749 §4.1 with PKCE, RFC 7636): the request that a browser
//! brings, and the code that the person's yes gives.
//!
//! A request is believed only as a whole: whatever is wrong with it is told on our own page, and nothing is sent to an
//! address that was not checked.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::request::{Fields, Wish};
use super::{Authority, Loopback, OAuthError};
use crate::grant::Approval;
use crate::{Digest, NoEntropy, Secret};

/// How long a code is good for.
pub const CODE_LIFETIME: Duration = Duration::seconds(60);
/// Longest `state` and `nonce` taken, in bytes.
const MAX_TEXT: usize = 2048;

/// How the answer gets back to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseMode {
    /// In the address.
    Query,
    /// As a form that the browser posts.
    FormPost,
}

/// A well-formed request for a code.
#[derive(Debug, Clone)]
pub struct AuthorizationRequest {
    /// The client id.
    pub client: Uuid,
    /// Where the answer goes.
    pub redirect: Loopback,
    /// And how.
    pub mode: ResponseMode,
    /// What the client wants back unchanged.
    pub state: Option<String>,
    /// What it asks for.
    pub wish: Wish,
    challenge: Digest,
    nonce: Option<String>,
}

impl AuthorizationRequest {
    /// Reads the query of `GET /{segment}/oauth2/v2.0/authorize`.
    ///
    /// # Errors
    /// [`OAuthError`], to be shown on our own page.
    pub fn read(
        authority: &Authority,
        segment: &str,
        query: &[(String, String)],
    ) -> Result<AuthorizationRequest, OAuthError> {
        if !authority.is_tenant(segment) {
            return Err(OAuthError::tenant_not_found(segment));
        }
        let fields = Fields::read(query)?;
        let client = fields.client()?;
        let given = fields.must("redirect_uri")?;
        let redirect = Loopback::parse(given).ok_or_else(|| OAuthError::foreign_redirect(given))?;
        if fields.must("response_type")? != "code" {
            return Err(OAuthError::malformed("response_type"));
        }
        let mode = match fields.get("response_mode") {
            None | Some("query") => ResponseMode::Query,
            Some("form_post") if redirect.origin().is_some() => ResponseMode::FormPost,
            Some(_) => return Err(OAuthError::malformed("response_mode")),
        };
        // A person is always asked, so nothing can be done without showing a page.
        if fields.get("prompt") == Some("none") {
            return Err(OAuthError::malformed("prompt"));
        }
        let challenge = fields.get("code_challenge").ok_or_else(OAuthError::pkce_missing)?;
        if fields.get("code_challenge_method") != Some("S256") {
            return Err(OAuthError::malformed("code_challenge_method"));
        }
        let challenge = URL_SAFE_NO_PAD.decode(challenge).ok().filter(|bytes| bytes.len() == 32);
        let challenge = challenge.ok_or_else(|| OAuthError::malformed("code_challenge"))?;
        let text = |name| match fields.get(name) {
            Some(value) if value.len() > MAX_TEXT => Err(OAuthError::malformed(name)),
            value => Ok(value.map(str::to_owned)),
        };
        Ok(AuthorizationRequest {
            client,
            redirect,
            mode,
            state: text("state")?,
            wish: fields.wish(authority)?,
            challenge: Digest::copy(&challenge),
            nonce: text("nonce")?,
        })
    }
}

/// Why a code is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Its minute is over.
    #[error("the authorization code has expired")]
    Expired,
    /// Another client, or the one with another address, was given it.
    #[error("the authorization code was issued to another client or for another redirect URI")]
    Foreign,
    /// The client does not know what it made the challenge from.
    #[error("the code verifier does not match")]
    Verifier,
    /// It was taken already, and gave this grant, which ends now (RFC 6749 §4.1.2).
    #[error("the authorization code was redeemed already")]
    Spent(Uuid),
}

/// A code as stored under its digest. It stays until it expires, so that its second use is noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationCode {
    code: Digest,
    /// The client it was given to.
    pub client: Uuid,
    redirect: String,
    challenge: Digest,
    /// What the id token repeats.
    pub nonce: Option<String>,
    /// What was asked for.
    pub wish: Wish,
    /// The person's yes.
    pub approval: Approval,
    #[serde(with = "time::serde::rfc3339")]
    issued: OffsetDateTime,
    spent: Option<Uuid>,
}

impl AuthorizationCode {
    /// Gives a code: what to store, and the code.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn issue(
        request: AuthorizationRequest,
        approval: Approval,
        now: OffsetDateTime,
    ) -> Result<(AuthorizationCode, Secret), NoEntropy> {
        let code = Secret::random("")?;
        let stored = AuthorizationCode {
            code: code.digest(),
            client: request.client,
            redirect: request.redirect.uri().to_owned(),
            challenge: request.challenge,
            nonce: request.nonce,
            wish: request.wish,
            approval,
            issued: now,
            spent: None,
        };
        Ok((stored, code))
    }

    /// The database key.
    pub fn key(&self) -> String {
        self.code.key()
    }

    /// Whether nothing is left to notice.
    pub fn stale(&self, now: OffsetDateTime) -> bool {
        now >= self.issued + CODE_LIFETIME
    }

    /// Checks what the client shows. Whatever the answer is, the caller marks the code as spent or removes it.
    ///
    /// # Errors
    /// [`CodeError`].
    pub fn check(
        &self,
        client: Uuid,
        redirect: &str,
        verifier: &Secret,
        now: OffsetDateTime,
    ) -> Result<(), CodeError> {
        if let Some(grant) = self.spent {
            return Err(CodeError::Spent(grant));
        }
        if self.stale(now) {
            return Err(CodeError::Expired);
        }
        if self.client != client || self.redirect != redirect {
            return Err(CodeError::Foreign);
        }
        // RFC 7636 §4.1: 43 to 128 characters.
        let long_enough = (43..=128).contains(&verifier.expose().len());
        if !long_enough || verifier.digest() != self.challenge {
            return Err(CodeError::Verifier);
        }
        Ok(())
    }

    /// Notes the grant that it gave.
    pub fn spend(&mut self, grant: Uuid) {
        self.spent = Some(grant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::client::AZURE_CLI;
    use crate::session::{Method, Session};
    use proptest::prelude::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);
    const BACK: &str = "http://localhost:41521";

    fn authority() -> Authority {
        Authority::new("https://localhost:8443", Uuid::from_u128(7), "contoso.test", "Sekisho")
    }

    fn verifier() -> Secret {
        Secret::new("v".repeat(43))
    }

    /// What `az login` brings (az 2.91), with one parameter replaced or left out.
    fn az(name: &str, value: Option<&str>) -> Vec<(String, String)> {
        let challenge = verifier().digest().key();
        let usual = [
            ("client_id", "04b07795-8ddb-461a-bbee-02f9e1bf7b46"),
            ("response_type", "code"),
            ("redirect_uri", BACK),
            ("scope", "https://localhost:8443//.default offline_access openid profile"),
            ("state", "x&y"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("nonce", "5f0c"),
            ("client_info", "1"),
            ("claims", r#"{"access_token": {"xms_cc": {"values": ["CP1"]}}}"#),
            ("prompt", "select_account"),
            ("response_mode", "form_post"),
        ];
        let kept = usual.into_iter().filter(|(n, _)| *n != name);
        kept.chain(value.map(|v| (name, v))).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
    }

    fn read(name: &str, value: Option<&str>) -> Result<AuthorizationRequest, OAuthError> {
        AuthorizationRequest::read(&authority(), "organizations", &az(name, value))
    }

    fn code() -> (AuthorizationCode, Secret) {
        let person = crate::Person::new("jo@contoso.test", "Jo", NOW).unwrap();
        let ip = "192.0.2.1".parse().unwrap();
        let (session, _) = Session::new(&person, &[Method::Passkey], ip, "", NOW).unwrap();
        let approval = Approval::by(&session, &[], NOW).unwrap();
        AuthorizationCode::issue(read("x", None).unwrap(), approval, NOW).unwrap()
    }

    #[test]
    fn what_az_brings_is_read() {
        let request = read("x", None).unwrap();
        assert_eq!((request.client, request.redirect.uri()), (AZURE_CLI, BACK));
        assert_eq!((request.mode, request.state.as_deref()), (ResponseMode::FormPost, Some("x&y")));
        assert_eq!(request.wish.audience, "https://localhost:8443/");
        assert!(request.wish.offline);
        assert_eq!(request.wish.capabilities, ["CP1"]);
    }

    #[test]
    fn whatever_is_wrong_is_refused_before_anything_is_sent_anywhere() {
        for (name, value) in [
            ("redirect_uri", Some("https://evil.test/")),
            ("redirect_uri", Some("http://localhost.evil.test/")),
            ("redirect_uri", None),
            ("response_type", Some("token")),
            ("response_type", Some("code id_token")),
            ("response_mode", Some("fragment")),
            ("code_challenge", None),
            ("code_challenge", Some("short")),
            ("code_challenge_method", None),
            ("code_challenge_method", Some("plain")),
            ("client_id", Some("not-a-guid")),
            ("client_id", None),
            ("scope", Some("https://vault.azure.net/.default")),
            ("scope", None),
            ("prompt", Some("none")),
        ] {
            assert!(read(name, value).is_err(), "{name}={value:?}");
        }
        let mut twice = az("x", None);
        twice.push(("redirect_uri".to_owned(), "https://evil.test/".to_owned()));
        assert!(AuthorizationRequest::read(&authority(), "organizations", &twice).is_err());
        assert!(AuthorizationRequest::read(&authority(), "other.test", &az("x", None)).is_err());
        let six = az("redirect_uri", Some("http://[::1]:1/"));
        assert!(
            AuthorizationRequest::read(&authority(), "organizations", &six).is_err(),
            "no policy can name it"
        );
    }

    #[test]
    fn a_code_is_for_its_client_address_and_verifier_and_for_a_minute() {
        let (stored, secret) = code();
        let check =
            |client, back, verifier: &str, now| stored.check(client, back, &Secret::new(verifier), now);
        let right = "v".repeat(43);
        assert_eq!(stored.key(), secret.digest().key());
        assert_eq!(check(AZURE_CLI, BACK, &right, NOW), Ok(()));
        assert_eq!(check(Uuid::nil(), BACK, &right, NOW), Err(CodeError::Foreign));
        assert_eq!(check(AZURE_CLI, "http://localhost:41522", &right, NOW), Err(CodeError::Foreign));
        assert_eq!(check(AZURE_CLI, BACK, &"w".repeat(43), NOW), Err(CodeError::Verifier));
        assert_eq!(check(AZURE_CLI, BACK, "", NOW), Err(CodeError::Verifier));
        assert_eq!(check(AZURE_CLI, BACK, &right, NOW + CODE_LIFETIME), Err(CodeError::Expired));
    }

    #[test]
    fn a_code_that_was_used_names_what_it_gave() {
        let (mut stored, _) = code();
        let grant = Uuid::from_u128(9);
        stored.spend(grant);
        let stored: AuthorizationCode =
            serde_json::from_value(serde_json::to_value(&stored).unwrap()).unwrap();
        assert_eq!(stored.check(AZURE_CLI, BACK, &verifier(), NOW), Err(CodeError::Spent(grant)));
    }

    proptest! {
        #[test]
        fn reading_a_request_never_panics(query in prop::collection::vec(("[a-z_]{0,20}", "\\PC{0,60}"), 0..12)) {
            let _ = AuthorizationRequest::read(&authority(), "common", &query);
        }
    }
}
