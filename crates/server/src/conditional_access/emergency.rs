//! Emergency accounts: at most two people whom no policy holds up, for the day on which a policy keeps everybody out.
//! Only root on the server says who they are, and every sign-in of one is an entry of its own in the log.

use std::sync::Arc;

use sekisho_arm::traits::write_document;
use sekisho_arm::{ArmError, AuditEntry, CallerRef, Outcome};
use sekisho_identity::Person;
use sekisho_identity::oauth::timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::records::{MAX_EMERGENCY, kind};
use crate::app::App;
use crate::signin::{self, people};

/// Names the emergency accounts.
///
/// # Errors
/// Those of the database.
pub(crate) async fn list(app: &App) -> Result<Value, ArmError> {
    let mut read = app.store.read().await?;
    let mut value = Vec::new();
    for document in sekisho_arm::Read::documents(&mut read, kind::EMERGENCY).await? {
        let id = Uuid::try_parse(&document.key).unwrap_or_default();
        let person = people::by_id(&mut read, id).await?;
        value.push(json!({
            "id": document.key, "since": timestamp(document.changed_at),
            "userPrincipalName": person.map(|p| p.user_principal_name),
        }));
    }
    Ok(json!({ "value": value }))
}

/// Makes somebody's account one of them, or an ordinary one again.
///
/// # Errors
/// 404 when there is no such person; 409 `TooManyEmergencyAccounts`.
pub(crate) async fn change(app: &Arc<App>, name: &str, add: bool, who: CallerRef) -> Result<Value, ArmError> {
    let name = name.to_owned();
    app.store
        .write::<_, ArmError, _>(move |tx| {
            Box::pin(async move {
                let person = people::by_name(tx.as_read(), &name).await?;
                let person = person.ok_or_else(|| super::graph::not_found("person", &name))?;
                let key = person.id.to_string();
                if add {
                    let others = tx.as_read().documents(kind::EMERGENCY).await?;
                    if others.iter().filter(|d| d.key != key).count() >= MAX_EMERGENCY {
                        let text = format!("There are {MAX_EMERGENCY} emergency accounts already.");
                        return Err(ArmError::new(409, "TooManyEmergencyAccounts", text));
                    }
                    write_document(tx, kind::EMERGENCY, &key, &json!({})).await?;
                } else {
                    tx.remove_document(kind::EMERGENCY, &key).await?;
                }
                let verb = if add { "write" } else { "delete" };
                tx.audit(entry(verb, &person, who)).await?;
                Ok(())
            })
        })
        .await?;
    app.conditional_access.refresh(&app.store).await?;
    list(app).await
}

fn entry(verb: &str, person: &Person, caller: CallerRef) -> AuditEntry {
    AuditEntry {
        operation: format!("Sekisho.Identity/emergencyAccounts/{verb}"),
        resource_id: format!("/providers/Sekisho.Identity/emergencyAccounts/{}", person.id),
        caller,
        outcome: Outcome::Succeeded,
        detail: person.user_principal_name.clone(),
        correlation_id: Uuid::new_v4().to_string(),
        authorization: None,
        http: None,
        phase: None,
        properties: None,
    }
}

/// The entry that says that one of them was used; nothing when it is none.
pub(crate) fn used(app: &App, person: &Person) -> Option<AuditEntry> {
    let book = app.conditional_access.rulebook(time::OffsetDateTime::now_utc());
    book.emergency.contains(&person.id).then(|| {
        tracing::warn!(name = person.user_principal_name, "an emergency account signs in");
        entry("use/action", person, signin::person_ref(person))
    })
}
