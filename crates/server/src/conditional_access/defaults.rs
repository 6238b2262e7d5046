//! The policies that a new installation begins with: a second factor for everybody, and a passkey for those whose
//! account is worth the whole fleet.

use sekisho_arm::traits::write_document;
use sekisho_arm::{StoreError, Write};
use sekisho_identity::conditional_access::body::PolicyBody;
use sekisho_identity::conditional_access::strength::PHISHING_RESISTANT;
use serde_json::{Value, json};
use uuid::Uuid;

use super::records::{PolicyRecord, kind};

/// Says in the database that the first policies were made, so that what people remove stays removed.
const MADE: &str = "conditionalAccessDefaults";

fn about(name: &str, state: &str, users: Value, grant: Value) -> Value {
    json!({
        "displayName": name, "state": state,
        "conditions": {
            "users": users, "applications": {"includeApplications": ["All"]}, "clientAppTypes": ["all"],
        },
        "grantControls": grant,
    })
}

/// Makes the first policies, once. Where there can be no passkeys, the second one only reports.
///
/// # Errors
/// Those of the database.
pub(crate) async fn first_policies(tx: &mut (dyn Write + '_), passkeys: bool) -> Result<(), StoreError> {
    if tx.as_read().document(MADE, "1").await?.is_some() {
        return Ok(());
    }
    let state = if passkeys { "enabled" } else { "enabledForReportingButNotEnforced" };
    let second = json!({"operator": "OR", "builtInControls": ["mfa"]});
    let strong = json!({"operator": "OR", "builtInControls": [], "authenticationStrength": {"id": PHISHING_RESISTANT}});
    let all = [
        about("Second factor for everyone", "enabled", json!({"includeUsers": ["All"]}), second),
        about("Passkey for privileged roles", state, json!({"includeRoles": ["Privileged"]}), strong),
    ];
    for policy in all {
        let body = PolicyBody::read(policy).map_err(StoreError::Corrupt)?;
        let (id, now) = (Uuid::new_v4(), tx.now());
        let record = PolicyRecord { id, body, created: now, modified: now, pending: None };
        write_document(tx, kind::POLICY, &id.to_string(), &record).await?;
    }
    write_document(tx, MADE, "1", &json!({ "made": true })).await
}
