//! `users/{id}/authentication/temporaryAccessPassMethods`: passes for people who can sign in with nothing, and who may
//! make a way into somebody's account at all.

use std::collections::HashSet;

use schemars::JsonSchema;
use sekisho_arm::engine::Answer;
use sekisho_arm::resource::shown;
use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{ArmError, Outcome, StoreError};
use sekisho_identity::access_pass::{AccessPass, PassError, USUAL, Usability};
use sekisho_identity::oauth::timestamp;
use sekisho_identity::secret::Exposed;
use sekisho_identity::{Person, Secret};
use sekisho_rbac::{PrincipalId, Snapshot, Who};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{Graph, READ, WRITE, bad, given, not_found};
use crate::signin::notices::{self, What};
use crate::signin::{entry, kind};

/// A pass to make.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NewPass {
    /// 10 to 1440; an hour when absent.
    lifetime_in_minutes: Option<i64>,
    /// Every pass is.
    is_usable_once: Option<bool>,
    /// It begins at once.
    start_date_time: Option<String>,
}

/// A temporary access pass, as Graph shows it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TemporaryAccessPassAuthenticationMethod")]
pub(super) struct ShownPass {
    id: String,
    /// The pass itself, in the answer that makes it and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    temporary_access_pass: Option<Exposed>,
    created_date_time: String,
    start_date_time: String,
    lifetime_in_minutes: i64,
    is_usable_once: bool,
    is_usable: bool,
    /// `EnabledByPolicy`, `Expired` or `OneTimeUsed`.
    method_usability_reason: &'static str,
}

impl ShownPass {
    fn of(pass: &AccessPass, secret: Option<Secret>, now: OffsetDateTime) -> ShownPass {
        let usability = pass.usability(now);
        ShownPass {
            id: pass.id.to_string(),
            temporary_access_pass: secret.map(Exposed),
            created_date_time: timestamp(pass.created),
            start_date_time: timestamp(pass.created),
            lifetime_in_minutes: pass.minutes,
            is_usable_once: true,
            is_usable: usability == Usability::Usable,
            method_usability_reason: usability.word(),
        }
    }
}

/// Whether everything that somebody may do by these rights is something that a caller may do as well, wherever it is. A
/// role under a condition counts for nothing here, unless it grants roles.
fn reaches(held: &Snapshot, caller: Who<'_>, rights: &Snapshot, somebody: PrincipalId) -> bool {
    let somebody = [somebody];
    if rights.is_privileged(&somebody) && !held.is_privileged(caller) {
        return false;
    }
    rights.readable_scopes(&somebody).iter().all(|scope| {
        let own: HashSet<&str> = held.effective(caller, scope).into_iter().collect();
        rights.effective(&somebody, scope).iter().all(|op| own.contains(op))
    })
}

impl Graph<'_> {
    /// Refuses to make a way into the account of somebody who may do more: it could be used to climb. The refusal is in
    /// the log.
    pub(super) async fn may_reset(&self, person: &Person) -> Result<(), ArmError> {
        let access = &self.app.access;
        let (held, caller, target) = (access.snapshot(), access.acting(self.caller), PrincipalId(person.id));
        // Whoever has the account could also take what the person is eligible for.
        let all = [Some(held.clone()), access.eligible()];
        if all.iter().flatten().all(|rights| reaches(&held, (&caller).into(), rights, target)) {
            return Ok(());
        }
        let address = self.caller.address.to_string();
        let refused = "MoreRightsThanTheCaller";
        let entry =
            entry("people/credentials/write", self.caller.reference(), Outcome::Denied, refused, &address);
        self.app
            .store
            .write::<_, StoreError, _>(move |tx| Box::pin(async move { tx.audit(entry).await }))
            .await?;
        let text =
            "This person may do things that you may not. Somebody with at least their rights must do this.";
        Err(ArmError::new(403, "Authorization_RequestDenied", text))
    }

    pub(super) async fn passes(&self, id: &str) -> Result<Answer, ArmError> {
        self.require(READ).await?;
        let person = self.person(id).await?;
        let mut read = self.app.store.read().await?;
        let pass: Option<AccessPass> =
            read_document(&mut read, kind::ACCESS_PASS, &person.id.to_string()).await?;
        let now = OffsetDateTime::now_utc();
        let rows: Vec<ShownPass> = pass.iter().map(|p| ShownPass::of(p, None, now)).collect();
        Ok(Answer::json(200, json!({ "value": shown(&rows)? })))
    }

    pub(super) async fn add_pass(&self, id: &str, body: Value) -> Result<Answer, ArmError> {
        self.require(WRITE).await?;
        let wanted: NewPass = given(&body)?;
        let person = self.person(id).await?;
        if wanted.is_usable_once == Some(false) {
            return Err(bad("A temporary access pass is usable once.").target("isUsableOnce"));
        }
        if wanted.start_date_time.is_some() {
            return Err(bad("A temporary access pass begins at once.").target("startDateTime"));
        }
        if !person.enabled {
            return Err(bad("This person is disabled."));
        }
        if person.id == self.caller.principal {
            return Err(bad("You cannot make a pass for yourself."));
        }
        self.may_reset(&person).await?;
        let minutes = wanted.lifetime_in_minutes.unwrap_or(USUAL);
        let permit = self.app.identity.hashing.acquire().await.map_err(|_| ArmError::internal())?;
        let (whose, now) = (person.id, OffsetDateTime::now_utc());
        let made = tokio::task::spawn_blocking(move || AccessPass::issue(whose, minutes, now));
        let made = made.await.map_err(|_| ArmError::internal())?;
        drop(permit);
        let (pass, secret) = made.map_err(|error| match error {
            PassError::Lifetime => bad(format!("{error}.")).target("lifetimeInMinutes"),
            PassError::NoEntropy(_) | PassError::Hash(_) => ArmError::internal(),
        })?;
        let shown = shown(&ShownPass::of(&pass, Some(secret), now))?;
        let (caller, address) = (self.caller.reference(), self.caller.address.to_string());
        self.change(WRITE, move |tx| {
            Box::pin(async move {
                write_document(tx, kind::ACCESS_PASS, &person.id.to_string(), &pass).await?;
                notices::tell(tx, What::AccessPassIssued, &person, &caller.name).await?;
                let name = person.user_principal_name;
                tx.audit(entry("people/accessPass/write", caller, Outcome::Succeeded, &name, &address))
                    .await?;
                Ok(())
            })
        })
        .await?;
        Ok(Answer::json(201, shown))
    }

    pub(super) async fn remove_pass(&self, id: &str, pass: &str) -> Result<Answer, ArmError> {
        self.require(WRITE).await?;
        let person = self.person(id).await?;
        let (key, wanted) = (person.id.to_string(), pass.to_owned());
        self.change(WRITE, move |tx| {
            Box::pin(async move {
                let kept: Option<AccessPass> = read_document(tx.as_read(), kind::ACCESS_PASS, &key).await?;
                kept.filter(|k| k.id.to_string() == wanted).ok_or_else(|| not_found(&wanted))?;
                tx.remove_document(kind::ACCESS_PASS, &key).await?;
                Ok(())
            })
        })
        .await?;
        Ok(Answer::empty(204))
    }
}
