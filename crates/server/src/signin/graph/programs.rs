//! `applications` with their secrets and certificates, and `servicePrincipals`.

use schemars::JsonSchema;
use sekisho_arm::ArmError;
use sekisho_arm::engine::Answer;
use sekisho_arm::resource::shown;
use sekisho_arm::traits::{read_document, read_documents, write_document};
use sekisho_identity::service_principal::{Application, SecretError, ServicePrincipal};
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::credentials::{GivenKey, at, end_tokens, keys};
use super::{DELETE, Graph, WRITE, bad, given, not_found};
use crate::signin::kind;

/// An application to add.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NewApplication {
    display_name: Option<String>,
    key_credentials: Option<Vec<GivenKey>>,
}

/// What changes about an application.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ApplicationChange {
    display_name: Option<String>,
    /// All that it is to have.
    key_credentials: Option<Vec<GivenKey>>,
    /// Only empty: secrets are made with `addPassword`.
    password_credentials: Option<Vec<Value>>,
}

/// A service principal to add.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NewServicePrincipal {
    app_id: Option<String>,
}

/// What changes about a service principal.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServicePrincipalChange {
    account_enabled: Option<bool>,
}

/// A secret to make.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NewSecret {
    password_credential: Option<NewSecretTerms>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
struct NewSecretTerms {
    display_name: Option<String>,
    start_date_time: Option<String>,
    end_date_time: Option<String>,
}

/// A secret to remove.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct OldSecret {
    key_id: Option<String>,
}

impl Graph<'_> {
    pub(super) async fn service_principals(&self) -> Result<Vec<Value>, ArmError> {
        let mut read = self.app.store.read().await?;
        let all: Vec<(String, ServicePrincipal)> = read_documents(&mut read, kind::SERVICE_PRINCIPAL).await?;
        let applications: Vec<(String, Application)> = read_documents(&mut read, kind::APPLICATION).await?;
        let seen = all.iter().map(|(_, principal)| {
            let mut seen = principal.to_graph(self.app.tenant);
            let own = applications.iter().find(|(_, a)| a.app_id == principal.app_id);
            if let Some((_, application)) = own {
                let application = application.to_graph();
                seen.password_credentials = application.password_credentials;
                seen.key_credentials = application.key_credentials;
            }
            shown(&seen)
        });
        seen.collect()
    }

    pub(super) async fn applications(&self) -> Result<Vec<Value>, ArmError> {
        let all: Vec<(String, Application)> =
            read_documents(&mut self.app.store.read().await?, kind::APPLICATION).await?;
        all.iter().map(|(_, a)| shown(&a.to_graph())).collect()
    }

    pub(super) async fn add_application(&self, body: Value) -> Result<Answer, ArmError> {
        let wanted: NewApplication = given(&body)?;
        let name = wanted.display_name.as_deref().unwrap_or_default().trim();
        if name.is_empty() {
            return Err(bad("Property displayName is required.").target("displayName"));
        }
        let now = OffsetDateTime::now_utc();
        let mut application = Application::new(name, now);
        let keys = keys(&wanted.key_credentials.unwrap_or_default(), &[], now)?;
        application.replace_keys(keys).map_err(|e| bad(format!("{e}.")).target("keyCredentials"))?;
        let shown = shown(&application.to_graph())?;
        self.change(WRITE, move |tx| {
            Box::pin(async move {
                Ok(write_document(tx, kind::APPLICATION, &application.id.to_string(), &application).await?)
            })
        })
        .await?;
        Ok(Answer::json(201, shown))
    }

    pub(super) async fn add_service_principal(&self, body: Value) -> Result<Answer, ArmError> {
        let wanted = given::<NewServicePrincipal>(&body)?.app_id.unwrap_or_default();
        let made = self
            .change(WRITE, move |tx| {
                Box::pin(async move {
                    let all: Vec<(String, Application)> = read_documents(tx.as_read(), kind::APPLICATION).await?;
                    let application = all.into_iter().map(|(_, a)| a).find(|a| a.app_id.to_string().eq_ignore_ascii_case(&wanted));
                    let application = application.ok_or_else(|| not_found(&wanted))?;
                    let known: Vec<(String, ServicePrincipal)> = read_documents(tx.as_read(), kind::SERVICE_PRINCIPAL).await?;
                    if known.iter().any(|(_, p)| p.app_id == application.app_id) {
                        return Err(ArmError::new(409, "Request_MultipleObjectsWithSameKeyValue", "The service principal cannot be created because the service principal name is already in use."));
                    }
                    let principal = ServicePrincipal::of(&application, tx.now());
                    write_document(tx, kind::SERVICE_PRINCIPAL, &principal.id.to_string(), &principal).await?;
                    Ok(principal)
                })
            })
            .await?;
        Ok(Answer::json(201, shown(&made.to_graph(self.app.tenant))?))
    }

    pub(super) async fn change_service_principal(&self, id: &str, body: Value) -> Result<Answer, ArmError> {
        let (key, enabled) =
            (id.to_ascii_lowercase(), given::<ServicePrincipalChange>(&body)?.account_enabled);
        self.change_principals(WRITE, move |tx| {
            Box::pin(async move {
                let found: Option<ServicePrincipal> =
                    read_document(tx.as_read(), kind::SERVICE_PRINCIPAL, &key).await?;
                let mut principal = found.ok_or_else(|| not_found(&key))?;
                if let Some(enabled) = enabled {
                    principal.enabled = enabled;
                    principal.generation += 1;
                }
                Ok(write_document(tx, kind::SERVICE_PRINCIPAL, &key, &principal).await?)
            })
        })
        .await?;
        Ok(Answer::empty(204))
    }

    pub(super) async fn remove_service_principal(&self, id: &str) -> Result<Answer, ArmError> {
        let key = id.to_ascii_lowercase();
        let known = self
            .change_principals(DELETE, move |tx| {
                Box::pin(async move { Ok(tx.remove_document(kind::SERVICE_PRINCIPAL, &key).await?) })
            })
            .await?;
        if known { Ok(Answer::empty(204)) } else { Err(not_found(id)) }
    }

    pub(super) async fn application(&self, id: &str) -> Result<Application, ArmError> {
        let wanted = id.strip_prefix("(appId=").map(|i| i.trim_matches(['\'', ')']));
        let all: Vec<(String, Application)> =
            read_documents(&mut self.app.store.read().await?, kind::APPLICATION).await?;
        let found = all.into_iter().map(|(_, a)| a).find(|a| match wanted {
            Some(app) => a.app_id.to_string().eq_ignore_ascii_case(app),
            None => a.id.to_string().eq_ignore_ascii_case(id),
        });
        found.ok_or_else(|| not_found(id))
    }

    /// The object id of a service principal's application.
    pub(super) async fn application_of(&self, id: &str) -> Result<String, ArmError> {
        let found: Option<ServicePrincipal> = read_document(
            &mut self.app.store.read().await?,
            kind::SERVICE_PRINCIPAL,
            &id.to_ascii_lowercase(),
        )
        .await?;
        let principal = found.ok_or_else(|| not_found(id))?;
        let application = self.application(&format!("(appId={})", principal.app_id)).await?;
        Ok(application.id.to_string())
    }

    pub(super) async fn change_application(&self, id: &str, body: Value) -> Result<Answer, ArmError> {
        let change: ApplicationChange = given(&body)?;
        if change.password_credentials.is_some_and(|l| !l.is_empty()) {
            return Err(bad("Secrets are made with addPassword.").target("passwordCredentials"));
        }
        self.replace_application(id, change.display_name, change.key_credentials).await
    }

    pub(super) async fn remove_application(&self, id: &str) -> Result<Answer, ArmError> {
        let application = self.application(id).await?;
        self.change_principals(DELETE, move |tx| {
            Box::pin(async move {
                let all: Vec<(String, ServicePrincipal)> =
                    read_documents(tx.as_read(), kind::SERVICE_PRINCIPAL).await?;
                for (key, _) in all.iter().filter(|(_, p)| p.app_id == application.app_id) {
                    tx.remove_document(kind::SERVICE_PRINCIPAL, key).await?;
                }
                tx.remove_document(kind::APPLICATION, &application.id.to_string()).await?;
                Ok(())
            })
        })
        .await?;
        Ok(Answer::empty(204))
    }

    pub(super) async fn add_password(&self, id: &str, body: Value) -> Result<Answer, ArmError> {
        let application = self.application(id).await?;
        let wanted = given::<NewSecret>(&body)?.password_credential.unwrap_or_default();
        let (start, end) = (
            at("startDateTime", wanted.start_date_time.as_deref())?,
            at("endDateTime", wanted.end_date_time.as_deref())?,
        );
        let name = wanted.display_name;
        let made = self
            .change(WRITE, move |tx| {
                Box::pin(async move {
                    let key = application.id.to_string();
                    let mut fresh: Application = read_document(tx.as_read(), kind::APPLICATION, &key)
                        .await?
                        .ok_or_else(|| not_found(&key))?;
                    let made = fresh.add_password(name.as_deref(), start, end, tx.now());
                    let (credential, secret) = made.map_err(|e| match e {
                        SecretError::NoEntropy(_) => ArmError::internal(),
                        other => bad(format!("{other}.")),
                    })?;
                    write_document(tx, kind::APPLICATION, &key, &fresh).await?;
                    Ok(credential.to_graph(Some(&secret)))
                })
            })
            .await?;
        Ok(Answer::json(200, shown(&made)?))
    }

    pub(super) async fn remove_password(&self, id: &str, body: Value) -> Result<Answer, ArmError> {
        let application = self.application(id).await?;
        let key_id = given::<OldSecret>(&body)?.key_id.and_then(|k| Uuid::try_parse(&k).ok());
        let key_id = key_id.ok_or_else(|| bad("'keyId' is missing.").target("keyId"))?;
        self.change(WRITE, move |tx| {
            Box::pin(async move {
                let key = application.id.to_string();
                let mut fresh: Application = read_document(tx.as_read(), kind::APPLICATION, &key)
                    .await?
                    .ok_or_else(|| not_found(&key))?;
                if !fresh.remove_password(key_id) {
                    return Err(bad("No password credential found with keyId."));
                }
                write_document(tx, kind::APPLICATION, &key, &fresh).await?;
                end_tokens(tx, &fresh).await
            })
        })
        .await?;
        Ok(Answer::empty(204))
    }
}
