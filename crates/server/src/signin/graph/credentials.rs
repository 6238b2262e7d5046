//! What an application signs in with beside its secrets: certificates (`keyCredentials`) and the providers that it trusts
//! (`federatedIdentityCredentials`).

use schemars::JsonSchema;
use sekisho_arm::engine::Answer;
use sekisho_arm::resource::shown;
use sekisho_arm::traits::{read_document, read_documents, write_document};
use sekisho_arm::{ArmError, Write};
use sekisho_identity::federation::FederatedCredential;
use sekisho_identity::key_credential::KeyCredential;
use sekisho_identity::service_principal::{Application, ServicePrincipal};
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::{Graph, WRITE, bad, given, not_found};
use crate::signin::kind;

/// A certificate to add, or with the id of one that is there, one to keep.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct GivenKey {
    /// The certificate, base64 of DER; nothing for one that is there.
    key: Option<String>,
    key_id: Option<String>,
    display_name: Option<String>,
    start_date_time: Option<String>,
    end_date_time: Option<String>,
}

/// A provider to trust, or what changes about it.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct GivenFederation {
    name: Option<String>,
    issuer: Option<String>,
    subject: Option<String>,
    audiences: Option<Vec<String>>,
    description: Option<String>,
}

impl GivenFederation {
    /// What was given, over what was there.
    fn over(self, old: FederatedCredential) -> FederatedCredential {
        FederatedCredential {
            id: old.id,
            name: self.name.unwrap_or(old.name),
            issuer: self.issuer.unwrap_or(old.issuer),
            subject: self.subject.unwrap_or(old.subject),
            audiences: self.audiences.unwrap_or(old.audiences),
            description: self.description.or(old.description).map(|d| d.chars().take(600).collect()),
        }
    }
}

/// An instant of a request.
pub(super) fn at(field: &str, text: Option<&str>) -> Result<Option<OffsetDateTime>, ArmError> {
    let read = |text: &str| {
        OffsetDateTime::parse(text, &Rfc3339)
            .map_err(|_| bad(format!("'{text}' is no instant.")).target(field))
    };
    text.map(read).transpose()
}

/// The certificates that a request wants an application to have: those that it has are named by their ids.
pub(super) fn keys(
    given: &[GivenKey],
    had: &[KeyCredential],
    now: OffsetDateTime,
) -> Result<Vec<KeyCredential>, ArmError> {
    let key = |given: &GivenKey| {
        let id = given.key_id.as_deref().and_then(|id| Uuid::try_parse(id).ok());
        if let Some(kept) = had.iter().find(|k| Some(k.key_id) == id) {
            return Ok(kept.clone());
        }
        let refuse = |text: String| bad(text).target("keyCredentials");
        let text = given.key.as_deref().ok_or_else(|| refuse("'key' is missing.".to_owned()))?;
        let dates = (
            at("startDateTime", given.start_date_time.as_deref())?,
            at("endDateTime", given.end_date_time.as_deref())?,
        );
        let read = KeyCredential::read(text, given.display_name.as_deref(), dates, now);
        let mut read = read.map_err(|e| refuse(format!("{e}.")))?;
        read.key_id = id.unwrap_or(read.key_id);
        Ok(read)
    };
    given.iter().map(key).collect()
}

/// Ends the tokens of an application, because something that it obtained them with is gone.
pub(super) async fn end_tokens(tx: &mut (dyn Write + '_), application: &Application) -> Result<(), ArmError> {
    let all: Vec<(String, ServicePrincipal)> = read_documents(tx.as_read(), kind::SERVICE_PRINCIPAL).await?;
    for (key, mut principal) in all.into_iter().filter(|(_, p)| p.app_id == application.app_id) {
        principal.generation += 1;
        write_document(tx, kind::SERVICE_PRINCIPAL, &key, &principal).await?;
    }
    Ok(())
}

fn find(application: &Application, id: &str) -> Result<usize, ArmError> {
    let is = |f: &FederatedCredential| {
        f.id.to_string().eq_ignore_ascii_case(id) || f.name.eq_ignore_ascii_case(id)
    };
    application.federated.iter().position(is).ok_or_else(|| not_found(id))
}

impl Graph<'_> {
    /// Changes an application in a transaction.
    async fn edit<T, F>(&self, id: &str, edit: F) -> Result<T, ArmError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Application) -> Result<(T, bool), ArmError> + Send + 'static,
    {
        let key = self.application(id).await?.id.to_string();
        self.change(WRITE, move |tx| {
            Box::pin(async move {
                let found: Option<Application> = read_document(tx.as_read(), kind::APPLICATION, &key).await?;
                let mut application = found.ok_or_else(|| not_found(&key))?;
                let (out, less) = edit(&mut application)?;
                write_document(tx, kind::APPLICATION, &key, &application).await?;
                if less {
                    end_tokens(tx, &application).await?;
                }
                Ok(out)
            })
        })
        .await
    }

    pub(super) async fn federations(&self, id: &str) -> Result<Vec<Value>, ArmError> {
        self.application(id).await?.federated.iter().map(shown).collect()
    }

    pub(super) async fn federation(&self, id: &str, which: &str) -> Result<Answer, ArmError> {
        let application = self.application(id).await?;
        let found = &application.federated[find(&application, which)?];
        Ok(Answer::json(200, shown(found)?))
    }

    pub(super) async fn add_federation(&self, id: &str, body: Value) -> Result<Answer, ArmError> {
        let wanted: GivenFederation = given(&body)?;
        let made = self
            .edit(id, move |application| {
                let empty = FederatedCredential {
                    id: Uuid::new_v4(),
                    name: String::new(),
                    issuer: String::new(),
                    subject: String::new(),
                    audiences: Vec::new(),
                    description: None,
                };
                let made = wanted.over(empty);
                made.check(&application.federated).map_err(|e| bad(format!("{e}.")))?;
                application.federated.push(made.clone());
                Ok((made, false))
            })
            .await?;
        Ok(Answer::json(201, shown(&made)?))
    }

    pub(super) async fn change_federation(
        &self,
        id: &str,
        which: &str,
        body: Value,
    ) -> Result<Answer, ArmError> {
        let (wanted, which) = (given::<GivenFederation>(&body)?, which.to_owned());
        self.edit(id, move |application| {
            let place = find(application, &which)?;
            let changed = wanted.over(application.federated[place].clone());
            changed.check(&application.federated).map_err(|e| bad(format!("{e}.")))?;
            application.federated[place] = changed;
            Ok(((), true))
        })
        .await?;
        Ok(Answer::empty(204))
    }

    pub(super) async fn remove_federation(&self, id: &str, which: &str) -> Result<Answer, ArmError> {
        let which = which.to_owned();
        self.edit(id, move |application| {
            let place = find(application, &which)?;
            application.federated.remove(place);
            Ok(((), true))
        })
        .await?;
        Ok(Answer::empty(204))
    }

    pub(super) async fn replace_application(
        &self,
        id: &str,
        name: Option<String>,
        wanted: Option<Vec<GivenKey>>,
    ) -> Result<Answer, ArmError> {
        self.edit(id, move |application| {
            if let Some(name) = name {
                application.rename(&name);
            }
            let less = match wanted {
                Some(wanted) => {
                    let keys = keys(&wanted, &application.keys, OffsetDateTime::now_utc())?;
                    application
                        .replace_keys(keys)
                        .map_err(|e| bad(format!("{e}.")).target("keyCredentials"))?
                }
                None => false,
            };
            Ok(((), less))
        })
        .await?;
        Ok(Answer::empty(204))
    }
}
