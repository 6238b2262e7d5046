//! The token request of a program (RFC 6749 §4.4, client credentials), checked.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{Authority, OAuthError};
use crate::Secret;
use crate::secret::Exposed;
use crate::token::LIFETIME;

/// Longest parameter taken, in bytes. A client assertion with a certificate chain is the longest that is sent.
const MAX_VALUE: usize = 16 * 1024;

/// How a program proves itself.
#[derive(Debug, Clone)]
pub enum ClientProof {
    /// `client_secret`.
    Secret(Secret),
    /// `client_assertion`: a JWT that the caller verifies (a certificate, or a token of a federated issuer).
    Assertion(Secret),
}

/// A well-formed request for a token.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    /// The application's client id.
    pub client_id: String,
    /// Its proof.
    pub proof: ClientProof,
    /// The audience the token is to have.
    pub audience: String,
    /// What the client says it can do (`CP1`), from the `claims` parameter.
    pub capabilities: Vec<String>,
}

impl TokenRequest {
    /// Reads the form of `POST /{segment}/oauth2/v2.0/token`, or of the v1 endpoint, which has `resource` in place of
    /// `scope`.
    ///
    /// # Errors
    /// [`OAuthError`], ready to send.
    pub fn read(
        authority: &Authority,
        segment: &str,
        form: &[(String, String)],
    ) -> Result<TokenRequest, OAuthError> {
        if !authority.is_tenant(segment) {
            return Err(OAuthError::tenant_not_found(segment));
        }
        for (i, (name, value)) in form.iter().enumerate() {
            // RFC 6749 §3.2: parameters must not be included more than once.
            if value.len() > MAX_VALUE || form[..i].iter().any(|(n, _)| n == name) {
                return Err(OAuthError::malformed(name));
            }
        }
        let get = |name: &str| {
            form.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
        };
        let grant = get("grant_type").ok_or_else(|| OAuthError::missing("grant_type"))?;
        if grant != "client_credentials" {
            return Err(OAuthError::unsupported_grant(grant));
        }
        let client_id = get("client_id").ok_or_else(|| OAuthError::missing("client_id"))?.to_owned();
        let proof = match (get("client_secret"), get("client_assertion"), get("client_assertion_type")) {
            (Some(secret), None, _) => ClientProof::Secret(Secret::new(secret)),
            (None, Some(jwt), Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")) => {
                ClientProof::Assertion(Secret::new(jwt))
            }
            (None, None, _) => return Err(OAuthError::missing_secret()),
            _ => return Err(OAuthError::malformed("client_assertion")),
        };
        let audience = match (get("scope"), get("resource")) {
            (Some(scope), _) => {
                authority.audience_of(scope).ok_or_else(|| OAuthError::invalid_scope(scope))?
            }
            (None, Some(resource)) => authority
                .audiences()
                .into_iter()
                .find(|a| a == resource)
                .ok_or_else(|| OAuthError::invalid_scope(resource))?,
            (None, None) => return Err(OAuthError::missing("scope")),
        };
        Ok(TokenRequest {
            client_id,
            proof,
            audience,
            capabilities: get("claims").map(capabilities).unwrap_or_default(),
        })
    }
}

/// `xms_cc` of the claims parameter; anything else in it is the server's business elsewhere or nobody's.
fn capabilities(claims: &str) -> Vec<String> {
    let read: Value = serde_json::from_str(claims).unwrap_or_default();
    let values = read["access_token"]["xms_cc"]["values"].as_array().cloned().unwrap_or_default();
    values.iter().filter_map(Value::as_str).filter(|v| v.len() <= 16).take(8).map(str::to_owned).collect()
}

/// The answer to a token request of a program.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TokenAnswer {
    token_type: &'static str,
    expires_in: i64,
    ext_expires_in: i64,
    access_token: Exposed,
}

impl TokenAnswer {
    /// The answer that carries `token`.
    pub fn new(token: Secret) -> TokenAnswer {
        // One second less than the truth, as Entra does, so that a client never uses a token at its very end.
        let seconds = LIFETIME.whole_seconds() - 1;
        TokenAnswer {
            token_type: "Bearer",
            expires_in: seconds,
            ext_expires_in: seconds,
            access_token: Exposed(token),
        }
    }
}

/// The form of a token request. It is read field by field, because every mistake has an answer of its own.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
pub struct TokenForm {
    grant_type: String,
    client_id: String,
    client_secret: String,
    /// `{resource}/.default`; v1 clients name the `resource` instead.
    scope: Option<String>,
    resource: Option<String>,
    claims: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn authority() -> Authority {
        Authority::new("https://localhost:8443", Uuid::from_u128(7), "contoso.test", "Sekisho")
    }

    fn read(form: &[(&str, &str)]) -> Result<TokenRequest, OAuthError> {
        let form: Vec<_> = form.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        TokenRequest::read(&authority(), "contoso.test", &form)
    }

    /// What `az login --service-principal` sends (az 2.91).
    const AZ: [(&str, &str); 6] = [
        ("client_id", "a1"),
        ("client_secret", "sks_x"),
        ("grant_type", "client_credentials"),
        ("scope", "https://localhost:8443//.default"),
        ("claims", r#"{"access_token": {"xms_cc": {"values": ["CP1"]}}}"#),
        ("client_info", "1"),
    ];

    #[test]
    fn what_az_sends_is_read() {
        let request = read(&AZ).unwrap();
        assert_eq!(request.client_id, "a1");
        assert_eq!(request.audience, "https://localhost:8443/");
        assert_eq!(request.capabilities, ["CP1"]);
        assert!(matches!(&request.proof, ClientProof::Secret(s) if s.expose() == "sks_x"));
        assert!(!format!("{request:?}").contains("sks_x"));
    }

    #[test]
    fn each_fault_has_entras_code() {
        let change = |name: &str, value: Option<&str>| {
            let kept = AZ.iter().filter(|(n, _)| *n != name).copied();
            let form: Vec<_> = kept.chain(value.map(|v| (name, v))).collect();
            read(&form).err().map(|e| (e.status, e.error, e.number))
        };
        assert_eq!(change("client_info", None), None);
        assert_eq!(change("grant_type", None), Some((400, "invalid_request", 900_144)));
        assert_eq!(change("grant_type", Some("password")), Some((400, "unsupported_grant_type", 70003)));
        assert_eq!(change("client_id", Some("")), Some((400, "invalid_request", 900_144)));
        assert_eq!(change("client_secret", None), Some((401, "invalid_client", 7_000_218)));
        assert_eq!(change("client_assertion", Some("x")), Some((400, "invalid_request", 90100)));
        assert_eq!(change("scope", Some("https://other/.default")), Some((400, "invalid_scope", 1_002_012)));
        assert_eq!(change("scope", None), Some((400, "invalid_request", 900_144)));
        let twice: Vec<_> = AZ.iter().copied().chain([("scope", "x")]).collect();
        assert_eq!(read(&twice).unwrap_err().number, 90100);
        let tenant = TokenRequest::read(&authority(), "other.test", &[]).unwrap_err();
        assert_eq!((tenant.status, tenant.error, tenant.number), (400, "invalid_tenant", 90002));
    }

    #[test]
    fn the_v1_endpoint_names_a_resource() {
        let form = [AZ[0], AZ[1], AZ[2], ("resource", "https://management.azure.com/")];
        assert_eq!(read(&form).unwrap().audience, "https://management.azure.com/");
        assert!(read(&[AZ[0], AZ[1], AZ[2], ("resource", "https://vault.azure.net")]).is_err());
    }

    #[test]
    fn the_answer_is_shorter_lived_than_the_token() {
        let answer = serde_json::json!(TokenAnswer::new(Secret::new("t")));
        assert_eq!((&answer["expires_in"], &answer["access_token"]), (&3599.into(), &"t".into()));
    }

    proptest! {
        #[test]
        fn reading_a_form_never_panics(form in prop::collection::vec(("[a-z_]{0,20}", "\\PC{0,60}"), 0..8), claims in "\\PC{0,80}") {
            let _ = TokenRequest::read(&authority(), "common", &form);
            let _ = capabilities(&claims);
        }
    }
}
