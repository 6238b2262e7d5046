//! A leaf in the shape of Azure's activity log (`Microsoft.Insights/eventtypes/management/values`, 2015-04-01).

use sekisho_arm::resource::instant;
use sekisho_arm::{Outcome, Scope};
use serde_json::{Value, json};

use crate::chain::{Hash, Leaf};

/// Shows a leaf; `hash` is its own, so that a reader can follow the chain.
pub fn event(leaf: &Leaf, hash: &Hash) -> Value {
    let entry = &leaf.entry;
    let scope = Scope::parse(&entry.resource_id).ok();
    let at = instant(leaf.at);
    let namespace = entry.operation.split('/').next().unwrap_or_default();
    let named = |value: &str| json!({"value": value, "localizedValue": value});
    // Azure has no "Denied": a refusal is a failure there whose sub-status says why.
    let status = match entry.outcome {
        Outcome::Succeeded => "Succeeded",
        Outcome::Failed | Outcome::Denied => "Failed",
    };
    let mut authorization = json!({"action": entry.operation, "scope": entry.resource_id});
    if let Some(Value::Object(grant)) = &entry.authorization {
        for (key, value) in grant {
            authorization[key] = value.clone();
        }
    }
    let group = scope.as_ref().and_then(Scope::resource_group).unwrap_or_default();
    let subscription = scope.as_ref().and_then(Scope::subscription).unwrap_or_default();
    json!({
        "authorization": authorization,
        "caller": entry.caller.name,
        "channels": "Operation",
        "claims": {
            "http://schemas.microsoft.com/identity/claims/objectidentifier": entry.caller.object_id,
            "name": entry.caller.name,
            "idtyp": entry.caller.kind,
        },
        "category": named(if entry.outcome == Outcome::Denied { "Security" } else { "Administrative" }),
        "correlationId": entry.correlation_id,
        "description": "",
        "eventDataId": format!("{:08x}-0000-4000-8000-{}", leaf.sequence, &hash.to_string()[..12]),
        "eventName": named("EndRequest"),
        "httpRequest": entry.http.clone().unwrap_or_else(|| json!({})),
        "id": format!("{}/events/{}/ticks/{}", entry.resource_id.trim_end_matches('/'), leaf.sequence, leaf.at.unix_timestamp_nanos() / 100),
        "level": if entry.outcome == Outcome::Succeeded { "Informational" } else { "Warning" },
        "operationId": entry.correlation_id,
        "operationName": named(&entry.operation),
        "properties": {"statusCode": entry.detail, "outcome": entry.outcome, "sequence": leaf.sequence.to_string(), "hash": hash.to_string()},
        "resourceGroupName": group,
        "resourceId": entry.resource_id,
        "resourceProviderName": named(namespace),
        "resourceType": named(&scope.as_ref().map(|s| s.type_name().to_string()).unwrap_or_default()),
        "status": named(status),
        "subStatus": named(&entry.detail),
        "eventTimestamp": at,
        "submissionTimestamp": at,
        "subscriptionId": subscription,
        "tenantId": "",
    })
}
