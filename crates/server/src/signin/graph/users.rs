//! `users` and `me`.

use std::collections::HashSet;

use schemars::JsonSchema;
use sekisho_arm::engine::Answer;
use sekisho_arm::resource::{instant, shown};
use sekisho_arm::traits::{read_documents, write_document};
use sekisho_arm::{ArmError, Read as _};
use sekisho_identity::link::{Link, LinkKind};
use sekisho_identity::oauth::timestamp;
use sekisho_identity::passkey::StoredPasskey;
use sekisho_identity::person::CredentialKind;
use sekisho_identity::secret::Exposed;
use sekisho_identity::{Person, Secret};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{DELETE, Graph, WRITE, bad, given, not_found};
use crate::signin::{kind, people, public_base};

/// A person to add.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NewUser {
    user_principal_name: Option<String>,
    display_name: Option<String>,
}

/// What changes about a person.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct UserChange {
    display_name: Option<String>,
    account_enabled: Option<bool>,
}

/// A one-time link to hand over. It is a secret and shown once.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Invitation {
    link: Exposed,
    expires_at: String,
}

impl Graph<'_> {
    pub(super) async fn me(&self) -> Result<Answer, ArmError> {
        let person = people::by_id(&mut self.app.store.read().await?, self.caller.principal).await?;
        let person =
            person.ok_or_else(|| bad("/me request is only valid with delegated authentication flow."))?;
        Ok(Answer::json(200, shown(&person.to_graph())?))
    }

    pub(super) async fn users(&self) -> Result<Vec<Value>, ArmError> {
        let mut read = self.app.store.read().await?;
        let everybody: Vec<(String, Person)> = read_documents(&mut read, kind::PERSON).await?;
        let passkeys: Vec<(String, StoredPasskey)> = read_documents(&mut read, kind::PASSKEY).await?;
        let passwords: HashSet<String> =
            read.documents(kind::PASSWORD).await?.into_iter().map(|d| d.key).collect();
        let mut out = Vec::with_capacity(everybody.len());
        for (key, person) in everybody {
            let mut seen = person.to_graph();
            let own: Vec<_> = passkeys.iter().filter(|(_, p)| p.person == person.id).collect();
            let mut credentials = Vec::new();
            if !own.is_empty() {
                credentials.push(CredentialKind::Passkey);
            }
            if passwords.contains(&key) {
                credentials.extend([CredentialKind::Password, CredentialKind::Totp]);
            }
            seen.last_sign_in_date_time = own.iter().filter_map(|(_, p)| p.last_used).max().map(timestamp);
            seen.credentials = Some(credentials);
            out.push(shown(&seen)?);
        }
        out.sort_by_key(|p| p["userPrincipalName"].as_str().unwrap_or_default().to_owned());
        Ok(out)
    }

    pub(super) async fn add_user(&self, body: Value) -> Result<Answer, ArmError> {
        let wanted: NewUser = given(&body)?;
        let text = |field: Option<String>| field.unwrap_or_default();
        let (name, display_name) = (text(wanted.user_principal_name), text(wanted.display_name));
        let person =
            Person::new(&name, &display_name, OffsetDateTime::now_utc()).map_err(|e| bad(format!("{e}.")))?;
        let shown = shown(&person.to_graph())?;
        self.change(WRITE, move |tx| Box::pin(async move { people::add(tx, &person).await })).await?;
        Ok(Answer::json(201, shown))
    }

    pub(super) async fn person(&self, id: &str) -> Result<Person, ArmError> {
        let mut read = self.app.store.read().await?;
        let found = match Uuid::try_parse(id) {
            Ok(id) => people::by_id(&mut read, id).await?,
            Err(_) => people::by_name(&mut read, id).await?,
        };
        found.ok_or_else(|| not_found(id))
    }

    pub(super) async fn change_user(&self, id: &str, body: Value) -> Result<Answer, ArmError> {
        let mut person = self.person(id).await?;
        let change: UserChange = given(&body)?;
        if let Some(name) = change.display_name {
            person.display_name = name.trim().to_owned();
            person.check().map_err(|e| bad(format!("{e}.")))?;
        }
        if let Some(enabled) = change.account_enabled {
            if !enabled && person.id == self.caller.principal {
                return Err(bad("You cannot disable yourself."));
            }
            person.enabled = enabled;
            // Everything that was issued before is refused from now on.
            person.generation += 1;
        }
        self.change_principals(WRITE, move |tx| {
            Box::pin(async move {
                if !person.enabled {
                    people::end_sessions(tx, person.id).await?;
                }
                Ok(people::keep(tx, &person).await?)
            })
        })
        .await?;
        Ok(Answer::empty(204))
    }

    pub(super) async fn remove_user(&self, id: &str) -> Result<Answer, ArmError> {
        let person = self.person(id).await?;
        if person.id == self.caller.principal {
            return Err(bad("You cannot remove yourself."));
        }
        self.change_principals(DELETE, move |tx| {
            Box::pin(async move { Ok(people::remove(tx, &person).await?) })
        })
        .await?;
        Ok(Answer::empty(204))
    }

    pub(super) async fn invite(&self, id: &str) -> Result<Answer, ArmError> {
        let person = self.person(id).await?;
        if !person.enabled {
            return Err(bad("This person is disabled."));
        }
        self.may_reset(&person).await?;
        let base = public_base(&self.app.config);
        let out = self
            .change(WRITE, move |tx| {
                Box::pin(async move {
                    let has_any = !people::passkeys(tx.as_read(), person.id).await?.is_empty()
                        || tx.document(kind::PASSWORD, &person.id.to_string()).await?.is_some();
                    let what = if has_any { LinkKind::Recovery } else { LinkKind::Invite };
                    let (link, token) = Link::issue(what, Some(person.id), what.lifetime(), tx.now())
                        .map_err(|_| ArmError::internal())?;
                    write_document(tx, kind::LINK, &link.token.key(), &link).await?;
                    let address = Secret::new(format!("{base}/setup#token={}", token.expose()));
                    Ok(Invitation { link: Exposed(address), expires_at: instant(link.expires) })
                })
            })
            .await?;
        Ok(Answer::json(200, shown(&out)?))
    }
}
