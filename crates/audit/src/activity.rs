//! A leaf in the shape of Azure's activity log (`Microsoft.Insights/eventtypes/management/values`, 2015-04-01).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use sekisho_arm::resource::instant;
use sekisho_arm::{Outcome, Phase, PrincipalKind, Scope};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Hash, Leaf};

/// An event of the activity log.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActivityEvent {
    /// What was done, where, and by which right.
    pub authorization: EventAuthorization,
    /// The name of whoever did it.
    pub caller: String,
    channels: &'static str,
    /// Who did it, by the claims of Azure's tokens.
    pub claims: BTreeMap<&'static str, String>,
    category: Named,
    /// The id of everything that one request caused.
    pub correlation_id: String,
    description: &'static str,
    /// The event's id.
    pub event_data_id: String,
    event_name: Named,
    /// Where the request came from.
    pub http_request: EventHttp,
    id: String,
    level: &'static str,
    operation_id: String,
    /// The RBAC operation.
    pub operation_name: Named,
    /// The event's place in the log.
    pub properties: EventProperties,
    /// The resource group, or nothing.
    pub resource_group_name: String,
    /// What it was done to.
    pub resource_id: String,
    resource_provider_name: Named,
    resource_type: Named,
    /// `Started`, `Succeeded` or `Failed`.
    pub status: Named,
    /// Why it failed.
    pub sub_status: Named,
    /// When it was recorded.
    pub event_timestamp: String,
    submission_timestamp: String,
    subscription_id: String,
    tenant_id: &'static str,
}

/// A word with the word that people read.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Named {
    /// The word.
    pub value: String,
    /// The same: the portal has its own translations.
    pub localized_value: String,
}

impl Named {
    /// A word.
    pub fn new(value: &str) -> Named {
        Named { value: value.to_owned(), localized_value: value.to_owned() }
    }
}

/// What was done, where, and by which right.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct EventAuthorization {
    /// The RBAC operation.
    pub action: String,
    /// Where.
    pub scope: String,
    /// The role and its assignment, when one granted it.
    #[serde(flatten)]
    #[schemars(with = "EventGrant")]
    pub grant: Map<String, Value>,
}

/// What granted an operation.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used: what was recorded is shown as it was recorded")]
#[serde(rename_all = "camelCase")]
struct EventGrant {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role_assignment_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role_assignment_scope: Option<String>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// Where a request came from.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct EventHttp {
    /// As it was recorded.
    #[serde(flatten)]
    #[schemars(with = "EventHttpFields")]
    pub fields: Map<String, Value>,
}

#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used: what was recorded is shown as it was recorded")]
#[serde(rename_all = "camelCase")]
struct EventHttpFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ip_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
}

/// An event's place in the log.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventProperties {
    /// A code such as `OK`, or the error's.
    pub status_code: String,
    /// The outcome, which tells refusals from failures.
    #[schemars(with = "String")]
    pub outcome: Outcome,
    /// What it says beside that.
    #[serde(flatten)]
    #[schemars(skip)]
    pub particulars: Map<String, Value>,
    /// Its number in the log.
    pub sequence: String,
    /// Its hash.
    pub hash: String,
}

fn kind_word(kind: PrincipalKind) -> String {
    let word = serde_json::to_value(kind).unwrap_or_default();
    word.as_str().unwrap_or_default().to_owned()
}

/// Azure's clients take the properties of an event for texts, and end with an error where one is not.
fn texts(fields: Map<String, Value>) -> Map<String, Value> {
    let text = |value: Value| if value.is_string() { value } else { value.to_string().into() };
    fields.into_iter().map(|(name, value)| (name, text(value))).collect()
}

/// Shows a leaf; `hash` is its own, by which a reader finds it in the tree.
pub fn event(leaf: &Leaf, hash: &Hash) -> ActivityEvent {
    let entry = &leaf.entry;
    let scope = Scope::parse(&entry.resource_id).ok();
    let at = instant(leaf.at);
    let namespace = entry.operation.split('/').next().unwrap_or_default();
    // Azure has no "Denied": a refusal is a failure there whose sub-status says why. What is only decided has started.
    let begins = entry.phase == Some(Phase::Intent);
    let status = match entry.outcome {
        Outcome::Succeeded if begins => "Started",
        Outcome::Succeeded => "Succeeded",
        Outcome::Failed | Outcome::Denied => "Failed",
    };
    let recorded = |value: &Option<Value>| match value {
        Some(Value::Object(fields)) => fields.clone(),
        _ => Map::new(),
    };
    let group = scope.as_ref().and_then(Scope::resource_group).unwrap_or_default();
    let subscription = scope.as_ref().and_then(Scope::subscription).unwrap_or_default();
    ActivityEvent {
        authorization: EventAuthorization {
            action: entry.operation.clone(),
            scope: entry.resource_id.clone(),
            grant: recorded(&entry.authorization),
        },
        caller: entry.caller.name.clone(),
        channels: "Operation",
        claims: BTreeMap::from([
            ("http://schemas.microsoft.com/identity/claims/objectidentifier", entry.caller.object_id.clone()),
            ("name", entry.caller.name.clone()),
            ("idtyp", kind_word(entry.caller.kind)),
        ]),
        category: Named::new(if entry.outcome == Outcome::Denied { "Security" } else { "Administrative" }),
        correlation_id: entry.correlation_id.clone(),
        description: "",
        event_data_id: format!("{:08x}-0000-4000-8000-{}", leaf.sequence, &hash.to_string()[..12]),
        event_name: Named::new(if begins { "BeginRequest" } else { "EndRequest" }),
        http_request: EventHttp { fields: recorded(&entry.http) },
        id: format!(
            "{}/events/{}/ticks/{}",
            entry.resource_id.trim_end_matches('/'),
            leaf.sequence,
            leaf.at.unix_timestamp_nanos() / 100
        ),
        level: if entry.outcome == Outcome::Succeeded { "Informational" } else { "Warning" },
        operation_id: entry.correlation_id.clone(),
        operation_name: Named::new(&entry.operation),
        properties: EventProperties {
            status_code: entry.detail.clone(),
            outcome: entry.outcome,
            particulars: texts(recorded(&entry.properties)),
            sequence: leaf.sequence.to_string(),
            hash: hash.to_string(),
        },
        resource_group_name: group.to_owned(),
        resource_id: entry.resource_id.clone(),
        resource_provider_name: Named::new(namespace),
        resource_type: Named::new(&scope.as_ref().map(|s| s.type_name().to_string()).unwrap_or_default()),
        status: Named::new(status),
        sub_status: Named::new(&entry.detail),
        event_timestamp: at.clone(),
        submission_timestamp: at,
        subscription_id: subscription.to_owned(),
        tenant_id: "",
    }
}
