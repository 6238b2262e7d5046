//! `networkWatchers/flowLogs`, and the part of machines' desired documents that switches their flow logs on.

use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::SchemaGenerator;
use sekisho_arm::resource::object_entry;
use sekisho_arm::{ArmError, Call, Listing, Read, Resource, ResourceType, Scope, Storage, TypeSpec, Write};
use sekisho_link::machine::PartCompiler;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{lookup, spec, type_name};
use crate::flow::part::{FlowPart, LoggedNic, PART};
use crate::policy::{InterfaceName, MacAddress};
use crate::resources::flow_log::{FlowLog, FlowLogSpec};
use crate::resources::{from_body, validate_name};

const PATH: &str = "networkWatchers/flowLogs";

/// Those who may have others' flows logged may change whose flows they are: agents load other rules for it.
const TARGET_WRITES: [&str; 4] = [
    "Microsoft.Network/networkSecurityGroups/write",
    "Microsoft.Network/virtualNetworks/write",
    "Microsoft.Network/virtualNetworks/subnets/write",
    "Microsoft.Network/networkInterfaces/write",
];

pub(super) struct FlowLogs;

static SPEC: TypeSpec =
    TypeSpec { schema: |g: &mut SchemaGenerator| g.subschema_for::<FlowLog>(), ..spec(PATH, Storage::Row) };

/// A flow log that is kept, with what it says.
#[derive(Debug, Clone)]
pub struct KeptFlowLog {
    /// Its id.
    pub id: Scope,
    /// What it says.
    pub spec: FlowLogSpec,
}

impl KeptFlowLog {
    /// What Azure calls its `resourceGuid`.
    pub fn guid(&self) -> Uuid {
        guid(&self.id)
    }
}

/// The `resourceGuid` of a resource: made of its id, so that it is the same for ever.
pub fn guid(id: &Scope) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, id.key().as_bytes())
}

/// All flow logs. One that cannot be read says nothing.
///
/// # Errors
/// Those of the database.
pub async fn flow_logs(read: &mut dyn Read) -> Result<Vec<KeptFlowLog>, ArmError> {
    let all = read.list(&Listing::of(&Scope::Tenant, &type_name(PATH))).await?;
    let kept = |resource: Resource| {
        let log: FlowLog = from_body(&Value::Object(resource.rest.clone())).ok()?;
        Some(KeptFlowLog { spec: log.validate().ok()?, id: resource.id })
    };
    Ok(all.into_iter().filter_map(kept).collect())
}

/// The network interfaces with what flow logs ask of them.
///
/// # Errors
/// Those of the database.
pub async fn logged(
    read: &mut dyn Read,
    logs: &[KeptFlowLog],
) -> Result<Vec<(Resource, Vec<KeptFlowLog>)>, ArmError> {
    if logs.is_empty() {
        return Ok(Vec::new());
    }
    let networks = read.list(&Listing::of(&Scope::Tenant, &type_name("virtualNetworks"))).await?;
    let mut group_of = BTreeMap::new();
    for network in &networks {
        let Some(own) = network.id.resource() else { continue };
        for subnet in lookup::network(network)?.properties.subnets.iter().flatten() {
            let group = subnet.properties.network_security_group.as_ref().and_then(|g| g.id.as_deref());
            let id = own.child("subnets", subnet.name.as_deref().unwrap_or_default()).ok().map(Scope::from);
            if let (Some(id), Some(Ok(group))) = (id, group.map(Scope::parse)) {
                group_of.insert(id.key(), group);
            }
        }
    }
    let mut out = Vec::new();
    for nic in read.list(&Listing::of(&Scope::Tenant, &type_name("networkInterfaces"))).await? {
        let subnets = lookup::subnets_of(&lookup::nic(&nic)?);
        let mut around = vec![nic.id.clone()];
        around.extend(lookup::reference(&nic, "networkSecurityGroup"));
        for subnet in subnets {
            around.extend(group_of.get(&subnet.key()).cloned());
            around.extend(subnet.parent());
            around.push(subnet);
        }
        let own: Vec<KeptFlowLog> = logs
            .iter()
            .filter(|log| log.spec.enabled && around.contains(&log.spec.target))
            .cloned()
            .collect();
        if !own.is_empty() {
            out.push((nic, own));
        }
    }
    Ok(out)
}

#[async_trait]
impl ResourceType for FlowLogs {
    fn spec(&self) -> &TypeSpec {
        &SPEC
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        _: Option<&Resource>,
    ) -> Result<(), ArmError> {
        validate_name(draft.id.name())?;
        draft.properties_mut().remove("targetResourceGuid");
        let log: FlowLog = from_body(&Value::Object(draft.rest.clone()))?;
        let spec = log.validate()?;
        let kept = match &spec.target.type_name() {
            subnet if subnet.is("Microsoft.Network/virtualNetworks/subnets") => match spec.target.parent() {
                Some(network) => tx.get(&network).await?.is_some_and(|n| has_subnet(&n, spec.target.name())),
                None => false,
            },
            _ => tx.get(&spec.target).await?.is_some(),
        };
        if kept {
            return Ok(());
        }
        Err(lookup::invalid_reference(&spec.target, &draft.id, "properties.targetResourceId"))
    }

    fn links(&self, body: &Value) -> Vec<(Scope, &'static str)> {
        let target = body["properties"]["targetResourceId"].as_str().and_then(|id| Scope::parse(id).ok());
        let action = |id: Scope| {
            let wanted = format!("{}/write", id.type_name());
            let action = TARGET_WRITES.iter().find(|a| a.eq_ignore_ascii_case(&wanted))?;
            Some((id, *action))
        };
        target.and_then(action).into_iter().collect()
    }

    async fn present(&self, _: &mut dyn Read, _: &Call, resource: &Resource) -> Result<Value, ArmError> {
        let mut body = self.render(resource);
        if let Value::Object(map) = &mut body {
            let properties = object_entry(map, "properties");
            let target = properties.get("targetResourceId").and_then(Value::as_str);
            if let Some(Ok(target)) = target.map(Scope::parse) {
                properties.insert("targetResourceGuid".into(), guid(&target).to_string().into());
            }
            properties.entry("enabled").or_insert_with(|| json!(false));
            properties.entry("flowAnalyticsConfiguration").or_insert_with(|| json!({}));
            properties.entry("retentionPolicy").or_insert_with(|| json!({"days": 0, "enabled": false}));
            properties.entry("format").or_insert_with(|| json!({"type": "JSON", "version": 2}));
        }
        Ok(body)
    }
}

fn has_subnet(network: &Resource, name: &str) -> bool {
    lookup::network(network).is_ok_and(|network| {
        let names = network.properties.subnets.iter().flatten().filter_map(|s| s.name.as_deref());
        names.into_iter().any(|n| n.eq_ignore_ascii_case(name))
    })
}

/// Makes the part [`PART`] of desired documents.
pub struct FlowCompiler;

#[async_trait]
impl PartCompiler for FlowCompiler {
    fn part(&self) -> &'static str {
        PART
    }

    fn watches(&self, kind: &str) -> bool {
        matches!(
            kind,
            "microsoft.network/networkwatchers/flowlogs"
                | "microsoft.network/networksecuritygroups"
                | "microsoft.network/networkinterfaces"
                | "microsoft.network/virtualnetworks"
        )
    }

    async fn compile(&self, read: &mut dyn Read) -> Result<BTreeMap<String, Value>, ArmError> {
        let logs = flow_logs(read).await?;
        let mut parts: BTreeMap<String, FlowPart> = BTreeMap::new();
        for (nic, own) in logged(read, &logs).await? {
            let Some(machine) = lookup::reference(&nic, "virtualMachine") else { continue };
            let typed = lookup::nic(&nic)?;
            let interface = typed.properties.sekisho.as_ref().and_then(|s| s.interface.clone());
            let Ok(interface) = InterfaceName::new(interface.unwrap_or_default()) else { continue };
            let mac = typed.properties.mac_address.as_deref().and_then(|m| MacAddress::parse(m).ok());
            let every = own.iter().map(|log| log.spec.continue_seconds).min();
            let part = parts.entry(machine.key()).or_default();
            part.continue_seconds = part.continue_seconds.min(every.unwrap_or(u32::MAX));
            part.nics.push(LoggedNic { interface, mac });
        }
        parts
            .into_iter()
            .map(|(machine, part)| {
                Ok((machine, serde_json::to_value(part).map_err(|_| ArmError::internal())?))
            })
            .collect()
    }

    fn changes(&self, _: Option<&Value>, _: Option<&Value>) -> Vec<Value> {
        Vec::new()
    }
}
