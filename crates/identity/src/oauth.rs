//! The dialect of Microsoft Entra ID: what `az`, MSAL, the Azure SDKs and Terraform read before and while signing in.
//!
//! All documents are functions of one [`Authority`]: the server's public address `B`, its tenant and its name. What
//! was found out by driving the real clients is in research 09 §1; the tests here pin it down.

pub mod authorize;
pub mod client;
pub mod device;
mod error;
mod redirect;
mod request;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

pub use error::{OAuthError, OAuthRefusal};
pub use redirect::Loopback;
pub use request::{
    ClientProof, DeviceAnswer, DeviceForm, TokenAnswer, TokenForm, TokenRequest, Wish, device_request,
};

/// Which authority layout a metadata document points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `B/{tenant}/…`: needs `core.instance_discovery=false` in `az`.
    Entra,
    /// `B/adfs`: MSAL asks nobody else about such an authority, so nothing needs to be set (research 09 §1.2).
    Adfs,
}

/// Where the server is and which tenant it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    base: String,
    /// The tenant's GUID.
    pub tenant: Uuid,
    /// The tenant's domain name, such as `contoso.test`.
    pub domain: String,
    /// The cloud's name in `az cloud list`.
    pub name: String,
}

impl Authority {
    /// `base` is the public address, such as `https://localhost:8443`; trailing slashes do not count.
    pub fn new(base: &str, tenant: Uuid, domain: &str, name: &str) -> Authority {
        Authority {
            base: base.trim_end_matches('/').to_owned(),
            tenant,
            domain: domain.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The public address, without a trailing slash.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The `iss` of our tokens.
    pub fn issuer(&self) -> String {
        format!("{}/{}/v2.0", self.base, self.tenant)
    }

    /// Whether a tenant segment of a path means our tenant.
    pub fn is_tenant(&self, segment: &str) -> bool {
        ["organizations", "common", "adfs"].iter().any(|s| s.eq_ignore_ascii_case(segment))
            || segment.eq_ignore_ascii_case(&self.domain)
            || Uuid::try_parse(segment).is_ok_and(|t| t == self.tenant)
    }

    /// The audiences our APIs accept: our address with and without a slash (`az` sends one for ARM and the other for
    /// Graph), and Azure's own names for them, because SDKs have those built in.
    pub fn audiences(&self) -> Vec<String> {
        let names = [
            self.base.as_str(),
            "https://management.azure.com",
            "https://management.core.windows.net",
            "https://graph.microsoft.com",
        ];
        names.iter().flat_map(|n| [(*n).to_owned(), format!("{n}/")]).collect()
    }

    /// The audience that a scope asks for: `B//.default` is `B/`, `B/.default` is `B`. The OpenID scopes beside it do
    /// not matter. `None` when there is no resource, more than one, or one that is not ours.
    pub fn audience_of(&self, scope: &str) -> Option<String> {
        const OPENID: [&str; 4] = ["openid", "profile", "offline_access", "email"];
        let mut resources = scope.split_whitespace().filter(|s| !OPENID.contains(s));
        let only = resources.next().filter(|_| resources.next().is_none())?;
        let resource = only.strip_suffix("/.default").or_else(|| only.strip_suffix("/user_impersonation"))?;
        self.audiences().into_iter().find(|a| a == resource)
    }

    /// `/{segment}/v2.0/.well-known/openid-configuration`. The segment that was asked for stays in the addresses,
    /// because MSAL compares them; the issuer always names the tenant.
    pub fn openid_configuration(&self, segment: &str) -> OpenIdConfiguration {
        let b = &self.base;
        let at = if segment.eq_ignore_ascii_case("adfs") {
            format!("{b}/adfs/oauth2")
        } else {
            format!("{b}/{segment}/oauth2/v2.0")
        };
        OpenIdConfiguration {
            issuer: self.issuer(),
            authorization_endpoint: format!("{at}/authorize"),
            token_endpoint: format!("{at}/token"),
            device_authorization_endpoint: format!("{at}/devicecode"),
            jwks_uri: format!("{b}/{segment}/discovery/v2.0/keys"),
            response_types_supported: &["code"],
            response_modes_supported: &["query", "form_post"],
            // Only what the token endpoint really takes.
            grant_types_supported: &[
                "authorization_code",
                "client_credentials",
                "refresh_token",
                "urn:ietf:params:oauth:grant-type:device_code",
            ],
            subject_types_supported: &["public"],
            id_token_signing_alg_values_supported: &["ES256"],
            code_challenge_methods_supported: &["S256"],
            token_endpoint_auth_methods_supported: &["client_secret_post", "private_key_jwt", "none"],
            token_endpoint_auth_signing_alg_values_supported: &["RS256", "PS256", "ES256"],
            scopes_supported: &["openid", "profile", "email", "offline_access"],
            claims_supported: &[
                "sub",
                "iss",
                "aud",
                "exp",
                "iat",
                "nonce",
                "preferred_username",
                "name",
                "tid",
                "oid",
            ],
            tenant_region_scope: (),
        }
    }

    /// Where programs of this segment say that their assertions are for: the token endpoint as the discovery document of
    /// the segment or of the tenant names it, in either version, and the issuer.
    pub fn assertion_audiences(&self, segment: &str) -> Vec<String> {
        let mut all = vec![self.issuer()];
        for segment in [segment, &self.tenant.to_string()] {
            for version in ["", "/v2.0"] {
                all.push(format!("{}/{segment}/oauth2{version}/token", self.base));
            }
        }
        all
    }

    /// `/metadata/endpoints`. Since api-version 2022-09-01 it is one object; older versions get a list of one, from
    /// which Terraform picks by name. `tenant` must be `common` and the provider `AAD`, or Terraform takes us for Azure
    /// Stack and refuses (research 09 §1.7).
    pub fn metadata(&self, layout: Layout, api_version: &str) -> Metadata {
        let b = &self.base;
        let host = b.split("://").last().unwrap_or(b).split([':', '/']).next().unwrap_or("localhost");
        let login = match layout {
            Layout::Entra => b.clone(),
            Layout::Adfs => format!("{b}/adfs"),
        };
        let suffix = |service: &str| format!("{service}.{host}");
        let document = CloudEndpoints {
            name: self.name.clone(),
            portal: b.clone(),
            authentication: CloudAuthentication {
                login_endpoint: login,
                // The first one is the resource `az` asks tokens for.
                audiences: [format!("{b}/"), b.clone()],
                tenant: "common",
                identity_provider: "AAD",
            },
            resource_manager: b.clone(),
            graph: b.clone(),
            graph_audience: b.clone(),
            microsoft_graph_resource_id: b.clone(),
            sql_management: b.clone(),
            gallery: b.clone(),
            batch: b.clone(),
            media: b.clone(),
            vm_image_alias_doc: format!("{b}/aliases.json"),
            log_analytics_resource_id: b.clone(),
            active_directory_data_lake: b.clone(),
            attestation_resource_id: b.clone(),
            synapse_analytics_resource_id: b.clone(),
            ossr_dbms_resource_id: b.clone(),
            suffixes: CloudSuffixes {
                acr_login_server: suffix("acr"),
                attestation_endpoint: suffix("attest"),
                azure_front_door_endpoint_suffix: suffix("frontdoor"),
                key_vault_dns: suffix("vault"),
                mariadb_server_endpoint: suffix("mariadb"),
                mhsm_dns: suffix("mhsm"),
                mysql_server_endpoint: suffix("mysql"),
                postgresql_server_endpoint: suffix("postgres"),
                sql_server_hostname: suffix("sql"),
                storage: suffix("storage"),
                storage_sync_endpoint_suffix: suffix("afs"),
                synapse_analytics: suffix("synapse"),
            },
        };
        // Versions are dates, so they compare as texts.
        if api_version < "2022-09-01" { Metadata::List([document]) } else { Metadata::One(document) }
    }

    /// `WWW-Authenticate` of a 401 for a request without a usable token.
    pub fn challenge(&self, description: &str) -> String {
        let words: String = description.chars().filter(|c| *c != '"' && !c.is_control()).collect();
        format!(
            "Bearer authorization_uri=\"{}/{}\", error=\"invalid_token\", error_description=\"{words}\"",
            self.base, self.tenant
        )
    }

    /// `WWW-Authenticate` of a 401 that asks for a stronger or fresher sign-in: a claims challenge for an
    /// authentication context such as `c1`. `az network` and `az rest` do not act on it, so the body's message must say
    /// what to run (research 09 §1.6).
    pub fn step_up_challenge(&self, context: &str) -> String {
        format!(
            "Bearer realm=\"\", authorization_uri=\"{}/common/oauth2/authorize\", error=\"insufficient_claims\", \
             claims=\"{}\"",
            self.base,
            self.step_up_claims(context)
        )
    }

    /// The claims of that challenge, as `az login --claims-challenge` takes them.
    pub fn step_up_claims(&self, context: &str) -> String {
        let claims = json!({"access_token": {"acrs": {"essential": true, "value": context}}});
        STANDARD.encode(claims.to_string())
    }
}

/// `/.well-known/openid-configuration`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OpenIdConfiguration {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    device_authorization_endpoint: String,
    jwks_uri: String,
    response_types_supported: &'static [&'static str],
    response_modes_supported: &'static [&'static str],
    grant_types_supported: &'static [&'static str],
    subject_types_supported: &'static [&'static str],
    id_token_signing_alg_values_supported: &'static [&'static str],
    code_challenge_methods_supported: &'static [&'static str],
    token_endpoint_auth_methods_supported: &'static [&'static str],
    token_endpoint_auth_signing_alg_values_supported: &'static [&'static str],
    scopes_supported: &'static [&'static str],
    claims_supported: &'static [&'static str],
    tenant_region_scope: (),
}

/// `/metadata/endpoints`: one cloud, or the list of one that older api-versions answer.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Metadata {
    /// Since api-version 2022-09-01.
    One(CloudEndpoints),
    /// Before.
    List([CloudEndpoints; 1]),
}

/// Where the services of a cloud are, as far as clients insist on an address.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloudEndpoints {
    name: String,
    portal: String,
    authentication: CloudAuthentication,
    resource_manager: String,
    graph: String,
    graph_audience: String,
    microsoft_graph_resource_id: String,
    sql_management: String,
    gallery: String,
    batch: String,
    media: String,
    vm_image_alias_doc: String,
    log_analytics_resource_id: String,
    active_directory_data_lake: String,
    attestation_resource_id: String,
    synapse_analytics_resource_id: String,
    ossr_dbms_resource_id: String,
    suffixes: CloudSuffixes,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CloudAuthentication {
    login_endpoint: String,
    audiences: [String; 2],
    tenant: &'static str,
    identity_provider: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CloudSuffixes {
    acr_login_server: String,
    attestation_endpoint: String,
    azure_front_door_endpoint_suffix: String,
    key_vault_dns: String,
    mariadb_server_endpoint: String,
    mhsm_dns: String,
    mysql_server_endpoint: String,
    postgresql_server_endpoint: String,
    sql_server_hostname: String,
    storage: String,
    storage_sync_endpoint_suffix: String,
    synapse_analytics: String,
}

/// A time as Graph writes it: whole seconds, `Z`.
pub fn timestamp(at: OffsetDateTime) -> String {
    let whole = at.replace_nanosecond(0).unwrap_or(at).to_offset(time::UtcOffset::UTC);
    whole.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const B: &str = "https://localhost:8443";

    fn authority() -> Authority {
        Authority::new("https://localhost:8443/", Uuid::from_u128(7), "contoso.test", "Sekisho")
    }

    #[test]
    fn scopes_map_to_the_audiences_az_and_the_sdks_ask_for() {
        let a = authority();
        let cases = [
            ("https://localhost:8443//.default", Some("https://localhost:8443/")),
            ("https://localhost:8443/.default", Some("https://localhost:8443")),
            (
                "https://localhost:8443//.default offline_access openid profile",
                Some("https://localhost:8443/"),
            ),
            ("https://management.azure.com/.default", Some("https://management.azure.com")),
            ("https://management.core.windows.net//.default", Some("https://management.core.windows.net/")),
            ("https://management.azure.com/user_impersonation", Some("https://management.azure.com")),
            ("https://vault.azure.net/.default", None),
            ("https://localhost:8443///.default", None),
            ("https://localhost:8443", None),
            ("openid", None),
            ("", None),
            ("https://localhost:8443/.default https://management.azure.com/.default", None),
        ];
        for (scope, audience) in cases {
            assert_eq!(a.audience_of(scope).as_deref(), audience, "{scope}");
        }
    }

    #[test]
    fn the_discovery_document_keeps_the_segment_that_was_asked_for() {
        let d = json!(authority().openid_configuration("organizations"));
        assert_eq!(d["token_endpoint"], format!("{B}/organizations/oauth2/v2.0/token"));
        assert_eq!(d["issuer"], format!("{B}/{}/v2.0", Uuid::from_u128(7)));
        assert_eq!(
            json!(authority().openid_configuration("adfs"))["token_endpoint"],
            format!("{B}/adfs/oauth2/token")
        );
        for yes in ["common", "Organizations", "CONTOSO.test", "00000000-0000-0000-0000-000000000007"] {
            assert!(authority().is_tenant(yes), "{yes}");
        }
        assert!(!authority().is_tenant("00000000-0000-0000-0000-000000000008"));
        assert!(!authority().is_tenant("other.test"));
    }

    #[test]
    fn the_metadata_document_has_what_az_and_terraform_need() {
        let d = json!(authority().metadata(Layout::Entra, "2022-09-01"));
        assert_eq!(d["authentication"]["audiences"][0], format!("{B}/"));
        assert_eq!(d["authentication"]["tenant"], "common");
        assert_eq!(d["authentication"]["identityProvider"], "AAD");
        assert_eq!(d["suffixes"]["keyVaultDns"], "vault.localhost");
        assert_eq!(d["microsoftGraphResourceId"], B);
        let list = json!(authority().metadata(Layout::Adfs, "2019-05-01"));
        assert_eq!(list[0]["authentication"]["loginEndpoint"], format!("{B}/adfs"));
        assert_eq!(list[0]["name"], "Sekisho");
        assert!(json!(authority().metadata(Layout::Entra, "2020-06-01")).is_array());
    }

    #[test]
    fn challenges_are_readable_by_azure_core() {
        let text = authority().step_up_challenge("c1");
        let claims = text.split("claims=\"").nth(1).unwrap().trim_end_matches('"');
        let claims: serde_json::Value = serde_json::from_slice(&STANDARD.decode(claims).unwrap()).unwrap();
        assert_eq!(claims["access_token"]["acrs"]["value"], "c1");
        assert!(text.contains("error=\"insufficient_claims\""));
        assert_eq!(authority().challenge("a \"b\"\n").matches('"').count(), 6);
    }
}
