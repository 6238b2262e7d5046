//! What a write of the directory would do (`?whatIf=true`): everything that is shown of it, before and after.

use std::collections::BTreeMap;
use std::sync::Arc;

use sekisho_arm::resource::instant;
use sekisho_arm::traits::read_documents;
use sekisho_arm::{Read, StoreError};
use sekisho_identity::Person;
use sekisho_identity::access_pass::AccessPass;
use sekisho_identity::key_credential::KeyCredential;
use sekisho_identity::link::Link;
use sekisho_identity::passkey::StoredPasskey;
use sekisho_identity::service_principal::{Application, ServicePrincipal};
use sekisho_rbac::Universe;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::access::{GROUP, GroupRecord, living_facts};
use crate::desired::{ResourceChange, WhatIf};
use crate::signin::{kind, people};

/// Everything by its address.
pub(super) type Directory = BTreeMap<String, Value>;

/// Reads what is shown: people with how they can sign in, groups with their members, programs with their secrets, and
/// the role assignments that count.
///
/// # Errors
/// Those of the database.
pub(super) async fn directory(
    read: &mut (dyn Read + '_),
    universe: Arc<Universe>,
) -> Result<Directory, StoreError> {
    let people: Vec<(String, Person)> = read_documents(read, kind::PERSON).await?;
    let principals: Vec<(String, ServicePrincipal)> = read_documents(read, kind::SERVICE_PRINCIPAL).await?;
    let groups: Vec<(String, GroupRecord)> = read_documents(read, GROUP).await?;
    let mut names: BTreeMap<Uuid, String> =
        people.iter().map(|(_, p)| (p.id, p.display_name.clone())).collect();
    names.extend(principals.iter().map(|(_, p)| (p.id, p.display_name.clone())));
    names.extend(groups.iter().map(|(_, g)| (g.id, g.display_name.clone())));
    let called = |id: &Uuid| names.get(id).cloned().unwrap_or_else(|| id.to_string());

    let mut out = Directory::new();
    let passkeys: Vec<(String, StoredPasskey)> = read_documents(read, kind::PASSKEY).await?;
    let links: Vec<(String, Link)> = read_documents(read, kind::LINK).await?;
    let passes: Vec<(String, AccessPass)> = read_documents(read, kind::ACCESS_PASS).await?;
    let now = read.now();
    for (_, person) in &people {
        let sessions = people::sessions(read, person).await?.len();
        let grants = people::grants(read, person).await?.len();
        let open =
            |l: &&(String, Link)| l.1.person == Some(person.id) && l.1.used.is_none() && l.1.expires > now;
        let shown = json!({
            "displayName": person.display_name, "userPrincipalName": person.user_principal_name,
            "accountEnabled": person.enabled, "sessions": sessions, "grants": grants,
            "passkeys": passkeys.iter().filter(|(_, p)| p.person == person.id).count(),
            "accessPasses": passes.iter().filter(|(_, p)| p.person == person.id && p.expires() > now).count(),
            "signInLinks": links.iter().filter(open).count(),
        });
        out.insert(format!("/v1.0/users/{}", person.id), shown);
    }
    for (_, group) in &groups {
        let mut members: Vec<String> = group.members.iter().map(called).collect();
        members.sort_unstable();
        let shown = json!({"displayName": group.display_name, "members": members});
        out.insert(format!("/v1.0/groups/{}", group.id), shown);
    }
    for (_, principal) in &principals {
        let shown = json!({"displayName": principal.display_name, "accountEnabled": principal.enabled});
        out.insert(format!("/v1.0/servicePrincipals/{}", principal.id), shown);
    }
    let applications: Vec<(String, Application)> = read_documents(read, kind::APPLICATION).await?;
    for (_, application) in &applications {
        let keys: Vec<String> = application.keys.iter().map(KeyCredential::thumbprint).collect();
        let federated = application.federated.iter().map(
            |f| json!({"name": f.name, "issuer": f.issuer, "subject": f.subject, "audiences": f.audiences}),
        );
        let shown = json!({
            "displayName": application.display_name, "passwordCredentials": secrets(application),
            "keyCredentials": keys, "federatedIdentityCredentials": federated.collect::<Vec<_>>(),
        });
        out.insert(format!("/v1.0/applications/{}", application.id), shown);
    }
    for assignment in living_facts(read, universe).await?.assignments {
        let scope = assignment.scope.to_string();
        let address = format!(
            "{}/providers/Microsoft.Authorization/roleAssignments/{}",
            scope.trim_end_matches('/'),
            assignment.name
        );
        let shown = json!({
            "displayName": called(&assignment.principal.0), "roleDefinitionId": assignment.role.resource_id(),
            "scope": scope,
        });
        out.insert(address, shown);
    }
    Ok(out)
}

/// By name and end: whatever else a secret has is made anew when it is really made.
fn secrets(application: &Application) -> Vec<Value> {
    let secrets = application.secrets.iter();
    secrets.map(|s| json!({"displayName": s.display_name, "endDateTime": instant(s.end)})).collect()
}

/// What differs.
pub(super) fn between(mut before: Directory, mut after: Directory) -> WhatIf {
    let mut addresses: Vec<String> = before.keys().chain(after.keys()).cloned().collect();
    addresses.sort_unstable();
    addresses.dedup();
    let changes = addresses.into_iter().filter_map(|address| {
        let (old, new) = (before.remove(&address), after.remove(&address));
        let differs = old != new;
        let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
        differs.then(|| ResourceChange::between(address, old, new))
    });
    WhatIf::of(changes.collect())
}
