//! `networkWatchers/flowLogs` in Azure's JSON shape (source: the network specification, api-version 2024-01-01). What is not
//! known here, such as `flowAnalyticsConfiguration` and `identity`, is kept as it was sent.

use schemars::JsonSchema;
use sekisho_arm::{ArmError, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Seconds after which a flow that goes on is told of again, as in Azure.
pub const CONTINUE_SECONDS: u32 = 300;
/// What `properties.sekisho.continueSeconds` may be.
const CONTINUE_RANGE: std::ops::RangeInclusive<u32> = 1..=3600;
/// The longest retention in days that Azure takes.
const MAX_RETENTION_DAYS: u32 = 365;

/// A flow log.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct FlowLog {
    /// What is set.
    #[serde(default)]
    pub properties: FlowLogProperties,
    /// What else was sent.
    #[serde(flatten)]
    #[schemars(skip)]
    pub other: Map<String, Value>,
}

/// What is set of a flow log.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FlowLogProperties {
    /// The security group, subnet, virtual network or network interface whose flows are logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_resource_id: Option<String>,
    /// The id of the storage account that the log goes to. Where that is, the server's settings say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_id: Option<String>,
    /// Whether flows are logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How long the log is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_policy: Option<RetentionPolicy>,
    /// How it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<FlowLogFormat>,
    /// What Azure has no word for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sekisho: Option<FlowLogSekisho>,
    /// What else was sent.
    #[serde(flatten)]
    #[schemars(skip)]
    pub other: Map<String, Value>,
}

/// How long a log is kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RetentionPolicy {
    /// Days; 0 is for ever.
    pub days: u32,
    /// Whether it ends at all.
    pub enabled: bool,
}

/// How a log is written.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FlowLogFormat {
    /// `JSON`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// 1, 2, or 0 for the newest.
    pub version: u32,
}

/// What Azure has no word for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FlowLogSekisho {
    /// Seconds after which a flow that goes on is told of again, 1 to 3600; 300 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continue_seconds: Option<u32>,
}

/// A flow log that was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowLogSpec {
    /// Whose flows.
    pub target: Scope,
    /// The storage account.
    pub storage: Scope,
    /// Whether flows are logged.
    pub enabled: bool,
    /// Days that the log is kept; `None` is for ever.
    pub retention_days: Option<u32>,
    /// 1 or 2: the version of the records of a security group.
    pub version: u32,
    /// Seconds after which a flow that goes on is told of again.
    pub continue_seconds: u32,
}

/// The types that can be a target.
pub const TARGETS: [&str; 4] = [
    "Microsoft.Network/networkSecurityGroups",
    "Microsoft.Network/virtualNetworks",
    "Microsoft.Network/virtualNetworks/subnets",
    "Microsoft.Network/networkInterfaces",
];

impl FlowLog {
    /// Checks it.
    ///
    /// # Errors
    /// 400 that names the field.
    pub fn validate(&self) -> Result<FlowLogSpec, ArmError> {
        let p = &self.properties;
        let target = scope("targetResourceId", p.target_resource_id.as_deref())?;
        if !TARGETS.iter().any(|kind| target.type_name().is(kind)) {
            return Err(invalid(
                "targetResourceId",
                "the id of a network security group, virtual network, subnet or network interface",
            ));
        }
        let storage = scope("storageId", p.storage_id.as_deref())?;
        let account = storage.name();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if !storage.type_name().is("Microsoft.Storage/storageAccounts")
            || !(3..=24).contains(&account.len())
            || !account.bytes().all(plain)
        {
            return Err(invalid(
                "storageId",
                "the id of a storage account, whose name is 3 to 24 lower-case letters and digits",
            ));
        }
        let format = p.format.clone().unwrap_or_default();
        if format.kind.as_deref().is_some_and(|kind| !kind.eq_ignore_ascii_case("JSON")) {
            return Err(invalid("format.type", "JSON"));
        }
        let version = match format.version {
            0 => 2,
            known @ 1..=2 => known,
            _ => return Err(invalid("format.version", "1 or 2")),
        };
        let retention = p.retention_policy.clone().unwrap_or_default();
        if retention.days > MAX_RETENTION_DAYS {
            return Err(invalid("retentionPolicy.days", "0 to 365"));
        }
        let every = p.sekisho.as_ref().and_then(|s| s.continue_seconds).unwrap_or(CONTINUE_SECONDS);
        if !CONTINUE_RANGE.contains(&every) {
            return Err(invalid("sekisho.continueSeconds", "1 to 3600"));
        }
        Ok(FlowLogSpec {
            target,
            storage,
            enabled: p.enabled.unwrap_or_default(),
            retention_days: Some(retention.days).filter(|days| retention.enabled && *days > 0),
            version,
            continue_seconds: every,
        })
    }
}

fn invalid(field: &str, what: &str) -> ArmError {
    let target = format!("properties.{field}");
    ArmError::bad("InvalidRequestFormat", format!("Property '{target}' must be {what}.")).target(target)
}

fn scope(field: &str, id: Option<&str>) -> Result<Scope, ArmError> {
    let id = id.ok_or_else(|| invalid(field, "given"))?;
    Scope::parse(id).map_err(|_| invalid(field, "a resource id"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NSG: &str = "/subscriptions/33333333-3333-3333-3333-333333333333/resourceGroups/rg1/providers/Microsoft.Network/networkSecurityGroups/nsg1";
    const STORAGE: &str = "/subscriptions/33333333-3333-3333-3333-333333333333/resourceGroups/rg1/providers/Microsoft.Storage/storageAccounts/st1";

    fn read(properties: Value) -> Result<FlowLogSpec, ArmError> {
        let log: FlowLog = serde_json::from_value(json!({ "properties": properties })).unwrap();
        log.validate()
    }

    #[test]
    fn what_az_sends_is_taken_and_version_0_is_the_newest() {
        let sent =
            json!({"enabled": true, "format": {"version": 0}, "storageId": STORAGE, "targetResourceId": NSG});
        let spec = read(sent).unwrap();
        assert_eq!((spec.version, spec.enabled, spec.continue_seconds), (2, true, 300));
        assert_eq!(spec.retention_days, None);
    }

    #[test]
    fn what_cannot_be_meant_names_its_field() {
        for (change, field) in [
            (json!({"targetResourceId": STORAGE}), "targetResourceId"),
            (json!({"targetResourceId": null}), "targetResourceId"),
            (json!({"storageId": NSG}), "storageId"),
            (json!({"storageId": format!("{STORAGE}_")}), "storageId"),
            (json!({"format": {"type": "CSV"}}), "format.type"),
            (json!({"format": {"version": 3}}), "format.version"),
            (json!({"retentionPolicy": {"days": 366, "enabled": true}}), "retentionPolicy.days"),
            (json!({"sekisho": {"continueSeconds": 0}}), "sekisho.continueSeconds"),
        ] {
            let mut body = json!({"storageId": STORAGE, "targetResourceId": NSG});
            for (key, value) in change.as_object().unwrap() {
                body[key] = value.clone();
            }
            assert_eq!(read(body).unwrap_err().target, Some(format!("properties.{field}")), "{change}");
        }
    }
}
