//! The token request (RFC 6749 §4.1.3, §4.4 and §6, RFC 8628 §3.4), checked: of a program with a credential of its own,
//! or of a public client for a person.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Authority, OAuthError};
use crate::Secret;
use crate::secret::Exposed;
use crate::token::LIFETIME;

/// Longest parameter taken, in bytes. A client assertion with a certificate chain is the longest that is sent.
const MAX_VALUE: usize = 16 * 1024;
/// Longest scope taken, in bytes.
const MAX_SCOPE: usize = 1024;
/// The scopes that say what else is wanted beside a resource.
const OPENID: [&str; 4] = ["openid", "profile", "offline_access", "email"];

/// The parameters of a request, each at most once.
pub(super) struct Fields<'a>(&'a [(String, String)]);

impl<'a> Fields<'a> {
    pub(super) fn read(form: &'a [(String, String)]) -> Result<Fields<'a>, OAuthError> {
        for (i, (name, value)) in form.iter().enumerate() {
            // RFC 6749 §3.2: parameters must not be included more than once.
            if value.len() > MAX_VALUE || form[..i].iter().any(|(n, _)| n == name) {
                return Err(OAuthError::malformed(name));
            }
        }
        Ok(Fields(form))
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
    }

    pub(super) fn must(&self, name: &str) -> Result<&'a str, OAuthError> {
        self.get(name).ok_or_else(|| OAuthError::missing(name))
    }

    /// A public client's id.
    pub(super) fn client(&self) -> Result<Uuid, OAuthError> {
        let given = self.must("client_id")?;
        Uuid::try_parse(given).map_err(|_| OAuthError::malformed("client_id"))
    }

    /// The audience of `scope`, or of the `resource` that v1 clients name.
    fn audience(&self, authority: &Authority) -> Result<String, OAuthError> {
        match (self.get("scope"), self.get("resource")) {
            (Some(scope), _) => authority.audience_of(scope).ok_or_else(|| OAuthError::invalid_scope(scope)),
            (None, Some(resource)) => {
                let known = authority.audiences().into_iter().find(|a| a == resource);
                known.ok_or_else(|| OAuthError::invalid_scope(resource))
            }
            (None, None) => Err(OAuthError::missing("scope")),
        }
    }

    /// What is asked for.
    pub(super) fn wish(&self, authority: &Authority) -> Result<Wish, OAuthError> {
        let scope = self.get("scope").unwrap_or_default();
        if scope.len() > MAX_SCOPE {
            return Err(OAuthError::malformed("scope"));
        }
        let claims: Value = self.get("claims").and_then(|c| serde_json::from_str(c).ok()).unwrap_or_default();
        Ok(Wish {
            audience: self.audience(authority)?,
            offline: scope.split_whitespace().any(|s| s == "offline_access"),
            scope: scope.to_owned(),
            capabilities: words(&claims["access_token"]["xms_cc"]),
            contexts: words(&claims["access_token"]["acrs"]),
        })
    }
}

/// The `value` or `values` of one claim of the `claims` parameter (OpenID Connect Core §5.5.1).
fn words(claim: &Value) -> Vec<String> {
    let many = claim["values"].as_array().cloned().unwrap_or_default();
    let all = many.iter().chain(claim.get("value"));
    all.filter_map(Value::as_str).filter(|v| v.len() <= 16).take(8).map(str::to_owned).collect()
}

/// What a client asks a person for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wish {
    /// The scope as it was given, which the answer repeats.
    pub scope: String,
    /// The audience that the access token is to have.
    pub audience: String,
    /// Whether it wants to go on without asking the person again.
    pub offline: bool,
    /// What the client says it can do (`CP1`), from the `claims` parameter.
    pub capabilities: Vec<String>,
    /// The authentication contexts that it must satisfy, from the same.
    pub contexts: Vec<String>,
}

impl Wish {
    /// The scopes that name a resource.
    pub fn resources(&self) -> Vec<&str> {
        self.scope.split_whitespace().filter(|s| !OPENID.contains(s)).collect()
    }
}

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
pub enum TokenRequest {
    /// Of a program for itself (`client_credentials`).
    Program {
        /// The application's client id.
        client_id: String,
        /// Its proof.
        proof: ClientProof,
        /// The audience the token is to have.
        audience: String,
        /// What the client says it can do (`CP1`), from the `claims` parameter.
        capabilities: Vec<String>,
    },
    /// With the code that a browser brought (`authorization_code`).
    Code {
        /// The public client.
        client: Uuid,
        /// The code.
        code: Secret,
        /// Where it was brought to.
        redirect: String,
        /// What the challenge was made from.
        verifier: Secret,
    },
    /// With what an earlier answer gave (`refresh_token`).
    Refresh {
        /// The public client.
        client: Uuid,
        /// The refresh token.
        token: Secret,
        /// What is asked for.
        wish: Wish,
    },
    /// With a code that a person was shown (`device_code`).
    Device {
        /// The public client.
        client: Uuid,
        /// The device code.
        code: Secret,
    },
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
        let fields = Fields::read(form)?;
        let secret = |name| fields.must(name).map(Secret::new);
        match fields.must("grant_type")? {
            "client_credentials" => program(authority, &fields),
            "authorization_code" => Ok(TokenRequest::Code {
                client: fields.client()?,
                code: secret("code")?,
                redirect: fields.must("redirect_uri")?.to_owned(),
                verifier: fields
                    .get("code_verifier")
                    .map(Secret::new)
                    .ok_or_else(OAuthError::pkce_missing)?,
            }),
            "refresh_token" => Ok(TokenRequest::Refresh {
                client: fields.client()?,
                token: secret("refresh_token")?,
                wish: fields.wish(authority)?,
            }),
            "device_code" | "urn:ietf:params:oauth:grant-type:device_code" => {
                Ok(TokenRequest::Device { client: fields.client()?, code: secret("device_code")? })
            }
            other => Err(OAuthError::unsupported_grant(other)),
        }
    }
}

fn program(authority: &Authority, fields: &Fields<'_>) -> Result<TokenRequest, OAuthError> {
    let client_id = fields.must("client_id")?.to_owned();
    let proofs =
        (fields.get("client_secret"), fields.get("client_assertion"), fields.get("client_assertion_type"));
    let proof = match proofs {
        (Some(secret), None, _) => ClientProof::Secret(Secret::new(secret)),
        (None, Some(jwt), Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")) => {
            ClientProof::Assertion(Secret::new(jwt))
        }
        (None, None, _) => return Err(OAuthError::missing_secret()),
        _ => return Err(OAuthError::malformed("client_assertion")),
    };
    let wish = fields.wish(authority)?;
    Ok(TokenRequest::Program { client_id, proof, audience: wish.audience, capabilities: wish.capabilities })
}

/// Reads the form of `POST /{segment}/oauth2/v2.0/devicecode`: the public client and what it asks for.
///
/// # Errors
/// [`OAuthError`], ready to send.
pub fn device_request(
    authority: &Authority,
    segment: &str,
    form: &[(String, String)],
) -> Result<(Uuid, Wish), OAuthError> {
    if !authority.is_tenant(segment) {
        return Err(OAuthError::tenant_not_found(segment));
    }
    let fields = Fields::read(form)?;
    Ok((fields.client()?, fields.wish(authority)?))
}

/// The answer to a token request.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TokenAnswer {
    token_type: &'static str,
    expires_in: i64,
    ext_expires_in: i64,
    access_token: Exposed,
    /// Gives the next access token; only for a person's client that asked for `offline_access`.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<Exposed>,
    /// What was asked for; only for a person's client, as all that follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// Who the person is.
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<Exposed>,
    /// What MSAL names the account by.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_info: Option<String>,
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
            refresh_token: None,
            scope: None,
            id_token: None,
            client_info: None,
        }
    }

    /// The same for a person's client.
    #[must_use]
    pub fn for_person(
        self,
        id_token: Secret,
        refresh: Option<Secret>,
        scope: String,
        (person, tenant): (Uuid, Uuid),
    ) -> TokenAnswer {
        let account = json!({"uid": person, "utid": tenant}).to_string();
        TokenAnswer {
            refresh_token: refresh.map(Exposed),
            // An empty one would cost MSAL another round.
            scope: Some(scope).filter(|s| !s.is_empty()),
            id_token: Some(Exposed(id_token)),
            client_info: Some(URL_SAFE_NO_PAD.encode(account)),
            ..self
        }
    }
}

/// The answer to a device authorization request (RFC 8628 §3.2).
#[derive(Debug, Serialize, JsonSchema)]
pub struct DeviceAnswer {
    /// What the person types.
    pub user_code: String,
    /// What the client asks with.
    pub device_code: Exposed,
    /// Where the person types it.
    pub verification_uri: String,
    /// Seconds until it is too late.
    pub expires_in: i64,
    /// Seconds between two questions.
    pub interval: i64,
    /// The sentence that `az` prints.
    pub message: String,
}

/// The form of a token request. It is read field by field, because every mistake has an answer of its own.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
pub struct TokenForm {
    grant_type: String,
    client_id: String,
    client_secret: Option<String>,
    client_assertion: Option<String>,
    client_assertion_type: Option<String>,
    code: Option<String>,
    code_verifier: Option<String>,
    redirect_uri: Option<String>,
    refresh_token: Option<String>,
    device_code: Option<String>,
    /// `{resource}/.default`; v1 clients name the `resource` instead.
    scope: Option<String>,
    resource: Option<String>,
    claims: Option<String>,
}

/// The form of a device authorization request.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
pub struct DeviceForm {
    client_id: String,
    scope: Option<String>,
    resource: Option<String>,
    claims: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        assert!(!format!("{request:?}").contains("sks_x"));
        let TokenRequest::Program { client_id, proof, audience, capabilities } = request else { panic!() };
        assert_eq!((client_id.as_str(), audience.as_str()), ("a1", "https://localhost:8443/"));
        assert_eq!(capabilities, ["CP1"]);
        assert!(matches!(&proof, ClientProof::Secret(s) if s.expose() == "sks_x"));
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
        let TokenRequest::Program { audience, .. } = read(&form).unwrap() else { panic!() };
        assert_eq!(audience, "https://management.azure.com/");
        assert!(read(&[AZ[0], AZ[1], AZ[2], ("resource", "https://vault.azure.net")]).is_err());
    }

    /// The grants of people as MSAL asks for them, with one field replaced or left out.
    fn person(grant: &str, name: &str, value: Option<&str>) -> Result<TokenRequest, OAuthError> {
        let usual = [
            ("grant_type", grant),
            ("client_id", "04b07795-8ddb-461a-bbee-02f9e1bf7b46"),
            ("client_info", "1"),
            ("code", "c0de"),
            ("device_code", "c0de"),
            ("refresh_token", "skr_x"),
            ("redirect_uri", "http://localhost:8400"),
            ("code_verifier", "verifier"),
            ("scope", "https://localhost:8443//.default offline_access openid profile"),
            ("claims", r#"{"access_token": {"acrs": {"essential": true, "value": "c1"}}}"#),
        ];
        let kept = usual.into_iter().filter(|(n, _)| *n != name);
        read(&kept.chain(value.map(|v| (name, v))).collect::<Vec<_>>())
    }

    #[test]
    fn the_grants_of_people_are_read_and_a_public_client_must_prove_its_code() {
        const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
        let code = person("authorization_code", "x", None).unwrap();
        assert!(matches!(&code, TokenRequest::Code { verifier, .. } if verifier.expose() == "verifier"));
        assert!(!format!("{code:?}").contains("c0de"));
        let TokenRequest::Refresh { wish, .. } = person("refresh_token", "x", None).unwrap() else {
            panic!()
        };
        assert_eq!((wish.contexts.as_slice(), wish.offline), (["c1".to_owned()].as_slice(), true));
        assert_eq!(wish.resources(), ["https://localhost:8443//.default"]);
        assert!(matches!(person(DEVICE, "scope", None), Ok(TokenRequest::Device { .. })));
        for (grant, name) in [
            ("authorization_code", "code_verifier"),
            ("authorization_code", "code"),
            ("authorization_code", "redirect_uri"),
            ("refresh_token", "refresh_token"),
            ("refresh_token", "scope"),
            ("refresh_token", "client_id"),
            (DEVICE, "device_code"),
        ] {
            assert_eq!(person(grant, name, None).unwrap_err().status, 400, "{grant} without {name}");
        }
    }

    #[test]
    fn the_answer_to_a_person_has_what_msal_reads() {
        let (id, tenant) = (Uuid::from_u128(1), Uuid::from_u128(7));
        let answer = TokenAnswer::new(Secret::new("t"));
        let answer = answer.for_person(Secret::new("i"), Some(Secret::new("r")), String::new(), (id, tenant));
        let answer = json!(answer);
        let account = URL_SAFE_NO_PAD.decode(answer["client_info"].as_str().unwrap()).unwrap();
        let account: Value = serde_json::from_slice(&account).unwrap();
        assert_eq!(account, json!({"uid": id, "utid": tenant}));
        assert_eq!((&answer["id_token"], &answer["refresh_token"]), (&"i".into(), &"r".into()));
        assert!(answer.get("scope").is_none());
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
            let _ = words(&serde_json::from_str(&claims).unwrap_or_default());
        }
    }
}
