//! `applications` with their secrets, and `servicePrincipals`.

use sekisho_arm::ArmError;
use sekisho_arm::engine::Answer;
use sekisho_arm::traits::{read_document, read_documents, write_document};
use sekisho_identity::service_principal::{Application, SecretError, ServicePrincipal};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::{DELETE, Graph, WRITE, bad, not_found};
use crate::signin::kind;

impl Graph<'_> {
    pub(super) async fn service_principals(&self) -> Result<Vec<Value>, ArmError> {
        let mut read = self.app.store.read().await?;
        let all: Vec<(String, ServicePrincipal)> = read_documents(&mut read, kind::SERVICE_PRINCIPAL).await?;
        let applications: Vec<(String, Application)> = read_documents(&mut read, kind::APPLICATION).await?;
        let shown = all.iter().map(|(_, principal)| {
            let mut shown = principal.to_graph(self.app.tenant);
            let own = applications.iter().find(|(_, a)| a.app_id == principal.app_id);
            if let Some((_, application)) = own {
                shown["passwordCredentials"] = application.to_graph()["passwordCredentials"].take();
            }
            shown
        });
        Ok(shown.collect())
    }

    pub(super) async fn applications(&self) -> Result<Vec<Value>, ArmError> {
        let all: Vec<(String, Application)> =
            read_documents(&mut self.app.store.read().await?, kind::APPLICATION).await?;
        Ok(all.iter().map(|(_, a)| a.to_graph()).collect())
    }

    pub(super) async fn add_application(&self, body: Value) -> Result<Answer, ArmError> {
        let name = body["displayName"].as_str().unwrap_or_default().trim();
        if name.is_empty() {
            return Err(bad("Property displayName is required.").target("displayName"));
        }
        let application = Application::new(name, OffsetDateTime::now_utc());
        let shown = application.to_graph();
        self.change(WRITE, move |tx| {
            Box::pin(async move {
                Ok(write_document(tx, kind::APPLICATION, &application.id.to_string(), &application).await?)
            })
        })
        .await?;
        Ok(Answer::json(201, shown))
    }

    pub(super) async fn add_service_principal(&self, body: Value) -> Result<Answer, ArmError> {
        let wanted = body["appId"].as_str().unwrap_or_default().to_owned();
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
        Ok(Answer::json(201, made.to_graph(self.app.tenant)))
    }

    pub(super) async fn change_service_principal(&self, id: &str, body: Value) -> Result<Answer, ArmError> {
        let (key, enabled) = (id.to_ascii_lowercase(), body["accountEnabled"].as_bool());
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
        let application = self.application(id).await?;
        let given = |field: &str| body[field].as_array().is_some_and(|a| !a.is_empty());
        if given("keyCredentials") {
            let text = "Certificates as credentials are not supported: use a secret.";
            return Err(bad(text).target("keyCredentials"));
        }
        if given("passwordCredentials") {
            return Err(bad("Secrets are made with addPassword.").target("passwordCredentials"));
        }
        let name = body["displayName"].as_str().map(str::to_owned);
        self.change(WRITE, move |tx| {
            Box::pin(async move {
                let key = application.id.to_string();
                let mut fresh: Application = read_document(tx.as_read(), kind::APPLICATION, &key)
                    .await?
                    .ok_or_else(|| not_found(&key))?;
                if let Some(name) = name {
                    fresh.rename(&name);
                }
                Ok(write_document(tx, kind::APPLICATION, &key, &fresh).await?)
            })
        })
        .await?;
        Ok(Answer::empty(204))
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
        let wanted = &body["passwordCredential"];
        let at = |field: &str| match wanted[field].as_str() {
            None => Ok(None),
            Some(text) => OffsetDateTime::parse(text, &Rfc3339)
                .map(Some)
                .map_err(|_| bad(format!("'{text}' is no instant.")).target(field)),
        };
        let (start, end) = (at("startDateTime")?, at("endDateTime")?);
        let name = wanted["displayName"].as_str().map(str::to_owned);
        let shown = self
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
        Ok(Answer::json(200, shown))
    }

    pub(super) async fn remove_password(&self, id: &str, body: Value) -> Result<Answer, ArmError> {
        let application = self.application(id).await?;
        let key_id = body["keyId"].as_str().and_then(|k| Uuid::try_parse(k).ok());
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
                // Tokens that the removed secret obtained end with it.
                let all: Vec<(String, ServicePrincipal)> =
                    read_documents(tx.as_read(), kind::SERVICE_PRINCIPAL).await?;
                for (key, mut principal) in all.into_iter().filter(|(_, p)| p.app_id == fresh.app_id) {
                    principal.generation += 1;
                    write_document(tx, kind::SERVICE_PRINCIPAL, &key, &principal).await?;
                }
                Ok(())
            })
        })
        .await?;
        Ok(Answer::empty(204))
    }
}
