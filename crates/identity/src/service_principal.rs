//! Applications and service principals in Microsoft Graph's shape: programs that sign in with a secret, a certificate or
//! the token of a provider that they trust.
//!
//! An application is the definition, a service principal its presence in the tenant, which RBAC assigns roles to. A
//! secret is 256 random bits made here and shown once (Graph `addPassword`); stored is its SHA-256, which is safe only
//! because nobody may choose a secret.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::assertion::Assertion;
use crate::federation::FederatedCredential;
use crate::key_credential::{KeyCredential, KeyCredentialError, MAX_KEYS, ShownKey};
use crate::oauth::timestamp;
use crate::secret::Exposed;
use crate::{Digest, NoEntropy, Secret};

/// How long a secret lives unless told otherwise (Graph: two years); also the longest allowed.
pub const SECRET_LIFETIME: Duration = Duration::days(730);
/// Most secrets of one application.
pub const MAX_SECRETS: usize = 20;
/// Every secret begins so, that scanners find leaked ones.
const PREFIX: &str = "sks_";

/// Why a secret was not made or not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It is none of the application's secrets.
    #[error("the client secret is wrong")]
    Wrong,
    /// It was one until it expired.
    #[error("the client secret has expired")]
    Expired {
        /// Which one.
        key_id: Uuid,
    },
    /// The secret's time is not in the future, or ends before it starts.
    #[error("a secret must end after it starts, and in the future")]
    Dates,
    /// The application has [`MAX_SECRETS`].
    #[error("an application has at most {MAX_SECRETS} secrets; remove one first")]
    TooMany,
    /// No random bytes.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}

/// A stored secret of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PasswordCredential {
    /// Names the secret.
    pub key_id: Uuid,
    /// What people call it.
    pub display_name: Option<String>,
    /// Its first characters, to tell secrets apart.
    pub hint: String,
    /// From when it works.
    #[serde(with = "time::serde::rfc3339")]
    pub start: OffsetDateTime,
    /// Until when it works.
    #[serde(with = "time::serde::rfc3339")]
    pub end: OffsetDateTime,
    /// Whether it was made to work only later. One that works at once must not stop when a clock is set back.
    #[serde(default)]
    waits: bool,
    hash: Digest,
}

impl PasswordCredential {
    /// The credential as Graph shows it; with the secret only in the answer to `addPassword`.
    pub fn to_graph(&self, secret: Option<&Secret>) -> ShownCredential {
        ShownCredential {
            custom_key_identifier: (),
            display_name: self.display_name.clone(),
            end_date_time: timestamp(self.end),
            hint: self.hint.clone(),
            key_id: self.key_id.to_string(),
            secret_text: secret.cloned().map(Exposed),
            start_date_time: timestamp(self.start),
        }
    }
}

/// A secret as Graph shows it (`passwordCredential`).
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PasswordCredential")]
pub struct ShownCredential {
    custom_key_identifier: (),
    /// What people call it.
    pub display_name: Option<String>,
    /// Until when it works.
    pub end_date_time: String,
    /// Its first characters.
    pub hint: String,
    /// Names the secret.
    pub key_id: String,
    /// The secret itself, only in the answer to `addPassword`.
    secret_text: Option<Exposed>,
    /// From when it works.
    pub start_date_time: String,
}

/// An application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Application {
    /// Its object id.
    pub id: Uuid,
    /// What it signs in as: the client id.
    pub app_id: Uuid,
    /// What people call it.
    pub display_name: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// Its secrets.
    pub secrets: Vec<PasswordCredential>,
    /// Its certificates.
    #[serde(default)]
    pub keys: Vec<KeyCredential>,
    /// The providers that it trusts.
    #[serde(default)]
    pub federated: Vec<FederatedCredential>,
}

/// A service principal: an application's identity in the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePrincipal {
    /// Its object id: what role assignments name.
    pub id: Uuid,
    /// The application's client id.
    pub app_id: Uuid,
    /// What people call it.
    pub display_name: String,
    /// Whether it may sign in.
    pub enabled: bool,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// Tokens of another generation are refused.
    #[serde(default)]
    pub generation: u64,
}

fn named(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(256).collect()
}

impl Application {
    /// A new application without secrets.
    pub fn new(display_name: &str, now: OffsetDateTime) -> Application {
        Application {
            id: Uuid::new_v4(),
            app_id: Uuid::new_v4(),
            display_name: named(display_name),
            created: now,
            secrets: Vec::new(),
            keys: Vec::new(),
            federated: Vec::new(),
        }
    }

    /// Replaces its certificates; true when one is gone, so that what it obtained must end.
    ///
    /// # Errors
    /// [`KeyCredentialError::TooMany`].
    pub fn replace_keys(&mut self, keys: Vec<KeyCredential>) -> Result<bool, KeyCredentialError> {
        if keys.len() > MAX_KEYS {
            return Err(KeyCredentialError::TooMany);
        }
        let gone = self.keys.iter().any(|old| keys.iter().all(|new| new.key_id != old.key_id));
        self.keys = keys;
        Ok(gone)
    }

    /// The certificate whose key signed an assertion, if it is good now.
    pub fn signer(&self, assertion: &Assertion<'_>, now: OffsetDateTime) -> Option<&KeyCredential> {
        self.keys.iter().find(|k| (k.start..k.end).contains(&now) && k.signed(assertion))
    }

    /// The provider that it trusts to say what an assertion says, if that is so.
    pub fn federation(&self, assertion: &Assertion<'_>) -> Option<&FederatedCredential> {
        self.federated.iter().find(|f| {
            f.issuer == assertion.issuer()
                && f.subject == assertion.subject()
                && assertion.is_for(&f.audiences)
        })
    }

    /// Gives it another name.
    pub fn rename(&mut self, display_name: &str) {
        self.display_name = named(display_name);
    }

    /// Makes a secret. Without `end` it lives [`SECRET_LIFETIME`]; a longer time is cut to that.
    ///
    /// # Errors
    /// [`SecretError::Dates`], `TooMany`, `NoEntropy`.
    pub fn add_password(
        &mut self,
        display_name: Option<&str>,
        start: Option<OffsetDateTime>,
        end: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Result<(PasswordCredential, Secret), SecretError> {
        if self.secrets.len() >= MAX_SECRETS {
            return Err(SecretError::TooMany);
        }
        let start = start.unwrap_or(now);
        let longest = now + SECRET_LIFETIME;
        let end = end.unwrap_or(longest).min(longest);
        if end <= start || end <= now {
            return Err(SecretError::Dates);
        }
        let secret = Secret::random(PREFIX)?;
        let credential = PasswordCredential {
            key_id: Uuid::new_v4(),
            display_name: display_name.map(|n| n.chars().take(120).collect()),
            hint: secret.expose().chars().skip(PREFIX.len()).take(3).collect(),
            start,
            end,
            waits: start > now,
            hash: secret.digest(),
        };
        self.secrets.push(credential.clone());
        Ok((credential, secret))
    }

    /// Removes a secret; false when there is none of that id.
    pub fn remove_password(&mut self, key_id: Uuid) -> bool {
        let before = self.secrets.len();
        self.secrets.retain(|s| s.key_id != key_id);
        self.secrets.len() < before
    }

    /// Whether a text is one of the application's secrets and good now; answers which one. All are compared, so that
    /// time tells nothing.
    ///
    /// # Errors
    /// [`SecretError::Wrong`], [`SecretError::Expired`].
    pub fn verify(&self, secret: &Secret, now: OffsetDateTime) -> Result<Uuid, SecretError> {
        let hash = secret.digest();
        let mut answer = Err(SecretError::Wrong);
        for stored in &self.secrets {
            if stored.hash == hash && (!stored.waits || now >= stored.start) {
                answer = match now < stored.end {
                    true => Ok(stored.key_id),
                    false => Err(SecretError::Expired { key_id: stored.key_id }),
                };
            }
        }
        answer
    }

    /// The application as Graph shows it (v1.0 `application`).
    pub fn to_graph(&self) -> ShownApplication {
        ShownApplication {
            kind: "#microsoft.graph.application",
            id: self.id.to_string(),
            app_id: self.app_id.to_string(),
            display_name: self.display_name.clone(),
            created_date_time: timestamp(self.created),
            identifier_uris: [],
            key_credentials: self.keys.iter().map(KeyCredential::to_graph).collect(),
            password_credentials: self.secrets.iter().map(|s| s.to_graph(None)).collect(),
            sign_in_audience: "AzureADMyOrg",
        }
    }
}

/// An application as Graph shows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Application")]
pub struct ShownApplication {
    #[serde(rename = "@odata.type")]
    kind: &'static str,
    /// The object id.
    pub id: String,
    /// The client id.
    pub app_id: String,
    /// What people call it.
    pub display_name: String,
    /// When it was made.
    pub created_date_time: String,
    identifier_uris: [String; 0],
    /// Its certificates.
    pub key_credentials: Vec<ShownKey>,
    /// Its secrets, without the secrets themselves.
    pub password_credentials: Vec<ShownCredential>,
    sign_in_audience: &'static str,
}

impl ServicePrincipal {
    /// The presence of an application in the tenant.
    pub fn of(application: &Application, now: OffsetDateTime) -> ServicePrincipal {
        ServicePrincipal {
            id: Uuid::new_v4(),
            app_id: application.app_id,
            display_name: application.display_name.clone(),
            enabled: true,
            created: now,
            generation: 0,
        }
    }

    /// The service principal as Graph shows it (v1.0 `servicePrincipal`). `az` finds it by `servicePrincipalNames`.
    pub fn to_graph(&self, tenant: Uuid) -> ShownServicePrincipal {
        ShownServicePrincipal {
            kind: "#microsoft.graph.servicePrincipal",
            id: self.id.to_string(),
            app_id: self.app_id.to_string(),
            app_display_name: self.display_name.clone(),
            display_name: self.display_name.clone(),
            account_enabled: self.enabled,
            app_owner_organization_id: tenant.to_string(),
            created_date_time: timestamp(self.created),
            key_credentials: Vec::new(),
            password_credentials: Vec::new(),
            service_principal_names: vec![self.app_id.to_string()],
            service_principal_type: "Application",
        }
    }
}

/// A service principal as Graph shows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ServicePrincipal")]
pub struct ShownServicePrincipal {
    #[serde(rename = "@odata.type")]
    kind: &'static str,
    /// The object id, which role assignments name.
    pub id: String,
    /// The client id.
    pub app_id: String,
    app_display_name: String,
    /// What people call it.
    pub display_name: String,
    /// Whether it may sign in.
    pub account_enabled: bool,
    app_owner_organization_id: String,
    /// When it was made.
    pub created_date_time: String,
    /// The certificates of its application.
    pub key_credentials: Vec<ShownKey>,
    /// The secrets of its application.
    pub password_credentials: Vec<ShownCredential>,
    service_principal_names: Vec<String>,
    service_principal_type: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);

    #[test]
    fn a_secret_is_shown_once_and_verifies_until_it_expires() {
        let mut app = Application::new("ci", NOW);
        let end = NOW + Duration::days(30);
        let (credential, secret) = app.add_password(Some("first"), None, Some(end), NOW).unwrap();
        let shown = serde_json::to_value(credential.to_graph(Some(&secret))).unwrap();
        assert_eq!(shown["secretText"], secret.expose());
        assert_eq!(shown["hint"], secret.expose()[4..7]);
        assert_eq!(shown["endDateTime"], "2026-12-24T12:00:00Z");
        assert_eq!(app.verify(&secret, NOW), Ok(credential.key_id));
        assert_eq!(app.verify(&secret, end), Err(SecretError::Expired { key_id: credential.key_id }));
        assert_eq!(app.verify(&Secret::new("sks_guess"), NOW), Err(SecretError::Wrong));

        let stored = serde_json::to_string(&app).unwrap();
        assert!(
            !stored.contains(&secret.expose()[8..])
                && !serde_json::to_string(&app.to_graph()).unwrap().contains(&secret.expose()[8..])
        );
        let read: Application = serde_json::from_str(&stored).unwrap();
        assert_eq!(read.verify(&secret, NOW), Ok(credential.key_id));
        assert!(
            serde_json::to_value(read.to_graph()).unwrap()["passwordCredentials"][0]["secretText"].is_null()
        );
    }

    #[test]
    fn secrets_roll_over_without_a_gap() {
        let mut app = Application::new("ci", NOW);
        let (old, old_secret) = app.add_password(None, None, None, NOW).unwrap();
        let (new, new_secret) = app.add_password(None, None, None, NOW).unwrap();
        assert_eq!(app.verify(&old_secret, NOW), Ok(old.key_id));
        assert_eq!(app.verify(&new_secret, NOW), Ok(new.key_id));
        assert!(app.remove_password(old.key_id) && !app.remove_password(old.key_id));
        assert_eq!(app.verify(&old_secret, NOW), Err(SecretError::Wrong));
    }

    #[test]
    fn dates_are_sane_and_two_years_at_most() {
        let mut app = Application::new("ci", NOW);
        assert_eq!(app.add_password(None, None, Some(NOW), NOW).unwrap_err(), SecretError::Dates);
        let later = NOW + Duration::days(2);
        assert_eq!(
            app.add_password(None, Some(later), Some(NOW + Duration::DAY), NOW).unwrap_err(),
            SecretError::Dates
        );
        let (long, _) = app.add_password(None, None, Some(NOW + Duration::days(36_500)), NOW).unwrap();
        assert_eq!(long.end, NOW + SECRET_LIFETIME);
        let (future, secret) = app.add_password(None, Some(later), None, NOW).unwrap();
        assert_eq!(app.verify(&secret, NOW), Err(SecretError::Wrong), "not yet");
        assert_eq!(app.verify(&secret, later), Ok(future.key_id));
        for _ in 2..MAX_SECRETS {
            app.add_password(None, None, None, NOW).unwrap();
        }
        assert_eq!(app.add_password(None, None, None, NOW).unwrap_err(), SecretError::TooMany);
    }

    #[test]
    fn graph_shows_what_az_looks_for() {
        let app = Application::new("ci\n", NOW);
        let principal = ServicePrincipal::of(&app, NOW).to_graph(Uuid::nil());
        let principal = serde_json::to_value(principal).unwrap();
        assert_eq!(principal["servicePrincipalNames"][0], app.app_id.to_string());
        assert_eq!(principal["@odata.type"], "#microsoft.graph.servicePrincipal");
        assert_eq!(app.to_graph().display_name, "ci");
    }
}
