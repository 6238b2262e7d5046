//! Machines, enrolment tokens and the slim machine list as ARM types.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use ring::rand::{SecureRandom, SystemRandom};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use sekisho_arm::registry::{PutStyle, SHOWN_ONCE, any_schema};
use sekisho_arm::resource::instant;
use sekisho_arm::resource::object_entry;
use sekisho_arm::traits::{read_document, read_documents};
use sekisho_arm::{
    ArmError, Call, Listing, Read, Registry, Resource, ResourceType, Scope, ScopeKind, Storage, TypeName,
    TypeSpec, Write,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::Duration;
use zeroize::Zeroizing;

use crate::facts::Facts;
use crate::join::{JoinString, SECRET_BYTES, secret_hash};
use crate::machine::{self, Desired, FactsObserver, Machine, kind};

/// The api-versions of virtual machines that stock clients send.
const VM_VERSIONS: &[&str] =
    &["2026-04-01", "2025-11-01", "2024-11-01", "2024-07-01", "2022-11-01", "2017-12-01", "2015-06-15"];
/// The api-version of what is our own.
pub const FLEET_VERSIONS: &[&str] = &["2026-11-01"];
/// Longest life of an enrolment token, in seconds.
pub const MAX_TOKEN_SECONDS: i64 = 86_400;
/// Most machines one token lets in.
pub const MAX_TOKEN_USES: i64 = 10_000;

/// Where machines join: printed into join strings.
#[derive(Clone)]
pub struct JoinPoint {
    /// `host:port` as machines reach the server.
    pub address: String,
    /// SHA-256 of the authority's public key.
    pub pin: [u8; 32],
}

/// Adds the types of this crate.
pub fn register(registry: &mut Registry, point: JoinPoint, observers: Vec<Arc<dyn FactsObserver>>) {
    registry
        .add(VirtualMachines { observers })
        .add(InstanceViews)
        .add(EnrolmentTokens { point })
        .add(Machines);
}

const fn spec(namespace: &'static str, path: &'static str, storage: Storage, put: PutStyle) -> TypeSpec {
    TypeSpec {
        namespace,
        path,
        versions: FLEET_VERSIONS,
        scopes: &[ScopeKind::ResourceGroup],
        storage,
        put,
        location: true,
        shows_etag: false,
        shows_state: true,
        actions: &[],
        schema: any_schema,
    }
}

/// `Microsoft.Compute/virtualMachines`: made by machines that join.
struct VirtualMachines {
    observers: Vec<Arc<dyn FactsObserver>>,
}

/// A virtual machine as far as Sekisho sets it; every other field of Azure's body survives unread.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
#[schemars(rename = "VirtualMachine")]
struct VirtualMachineSchema {
    id: String,
    name: String,
    r#type: String,
    location: String,
    tags: BTreeMap<String, String>,
    properties: VirtualMachineProperties,
}

#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
#[serde(rename_all = "camelCase")]
struct VirtualMachineProperties {
    vm_id: String,
    provisioning_state: String,
    sekisho: SekishoMachine,
}

#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
#[serde(rename_all = "camelCase")]
struct SekishoMachine {
    status: String,
    last_report_at: Option<String>,
    network: Network,
    facts: Option<Facts>,
}

#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Network {
    generation: u64,
    applied: Option<u64>,
    state: String,
    message: String,
}

static VM_SPEC: TypeSpec = TypeSpec {
    versions: VM_VERSIONS,
    schema: |g: &mut SchemaGenerator| -> Schema { g.subschema_for::<VirtualMachineSchema>() },
    ..spec("Microsoft.Compute", "virtualMachines", Storage::Row, PutStyle::UpdateOnly)
};

/// The fields of a machine that only the server sets.
const VM_OWNED: &[&str] = &[
    "vmId",
    "timeCreated",
    "instanceView",
    "networkProfile",
    "sekisho",
    "storageProfile",
    "hardwareProfile",
];

#[async_trait]
impl ResourceType for VirtualMachines {
    fn spec(&self) -> &TypeSpec {
        &VM_SPEC
    }

    async fn prepare(
        &self,
        _: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        old: Option<&Resource>,
    ) -> Result<(), ArmError> {
        let before = old.map(Resource::properties).unwrap_or_default();
        let properties = draft.properties_mut();
        for owned in VM_OWNED {
            match before.get(*owned) {
                Some(value) => properties.insert((*owned).to_owned(), value.clone()),
                None => properties.remove(*owned),
            };
        }
        properties.insert("osProfile".into(), before.get("osProfile").cloned().unwrap_or(Value::Null));
        draft.rest.remove("resources");
        draft.tags.get_or_insert_default();
        Ok(())
    }

    async fn removing(&self, tx: &mut dyn Write, _: &Call, old: &Resource) -> Result<(), ArmError> {
        machine::retire(tx, old, &self.observers).await
    }

    async fn present(
        &self,
        read: &mut dyn Read,
        call: &Call,
        resource: &Resource,
    ) -> Result<Value, ArmError> {
        let seen = Seen::load(read, resource).await?;
        let mut body = self.render(resource);
        let Value::Object(map) = &mut body else { return Ok(body) };
        map.entry("tags").or_insert_with(|| json!({}));
        let interfaces = interfaces_of(read, resource).await?;
        let properties = object_entry(map, "properties");
        let facts = &seen.facts;
        properties.insert("hardwareProfile".into(), json!({"vmSize": size_name(facts)}));
        properties.insert(
            "storageProfile".into(),
            json!({
                "imageReference": {"publisher": facts.os.id, "offer": facts.os.name, "sku": facts.os.version_id, "version": facts.os.version},
                "osDisk": {"osType": "Linux", "createOption": "Attach", "name": facts.disks.first().map(|d| d.name.clone()).unwrap_or_default()},
                "dataDisks": [],
            }),
        );
        let os = object_entry(properties, "osProfile");
        os.insert(
            "computerName".into(),
            if facts.hostname.is_empty() { resource.id.name().into() } else { facts.hostname.clone().into() },
        );
        os.entry("linuxConfiguration").or_insert_with(|| json!({"disablePasswordAuthentication": true}));
        properties.insert("networkProfile".into(), json!({"networkInterfaces": interfaces}));
        properties.insert("timeCreated".into(), instant(resource.created_at).into());
        if call.expands("instanceView") {
            properties.insert("instanceView".into(), seen.instance_view(read, resource));
        }
        let facts = if call.expands("instanceView") { seen.facts_json.clone() } else { None };
        properties.insert("sekisho".into(), seen.summary(read, facts));
        Ok(body)
    }
}

/// The NICs of a machine, as its `networkProfile` shows them.
async fn interfaces_of(read: &mut dyn Read, vm: &Resource) -> Result<Vec<Value>, ArmError> {
    Ok(nics_of(read, vm)
        .await?
        .iter()
        .enumerate()
        .map(|(i, nic)| json!({"id": nic.id.to_string(), "properties": {"primary": i == 0}}))
        .collect())
}

async fn nics_of(read: &mut dyn Read, vm: &Resource) -> Result<Vec<Resource>, ArmError> {
    let Some(group) = vm.id.group_scope() else { return Ok(Vec::new()) };
    let type_name = TypeName::new("Microsoft.Network", "networkInterfaces");
    let all = read.list(&Listing::of(&group, &type_name)).await?;
    Ok(all.into_iter().filter(|n| machine_of_nic(n).is_some_and(|m| m == vm.id)).collect())
}

fn machine_of_nic(nic: &Resource) -> Option<Scope> {
    Scope::parse(nic.rest.get("properties")?.get("virtualMachine")?.get("id")?.as_str()?).ok()
}

/// Azure has size names; a machine of one's own has what it has.
fn size_name(facts: &Facts) -> String {
    format!("Sekisho_{}cpu_{}gib", facts.cpu.count, facts.memory.total_bytes.div_ceil(1 << 30))
}

/// What is known of a machine besides its resource.
struct Seen {
    state: Machine,
    desired: Option<Desired>,
    facts: Facts,
    facts_json: Option<Value>,
}

impl Seen {
    async fn load(read: &mut dyn Read, vm: &Resource) -> Result<Seen, ArmError> {
        let key = vm.id.key();
        let facts_json = read.document(kind::FACTS, &key).await?.map(|d| d.body);
        Ok(Seen {
            state: read_document(read, kind::MACHINE, &key).await?.unwrap_or_default(),
            desired: read_document(read, kind::DESIRED, &key).await?,
            facts: facts_json.clone().and_then(|f| serde_json::from_value(f).ok()).unwrap_or_default(),
            facts_json,
        })
    }

    fn summary(&self, read: &mut dyn Read, facts: Option<Value>) -> Value {
        let mut out = json!({
            "status": self.state.presence(read.now()),
            "lastReportAt": self.state.last_report_at.map(instant),
            "network": machine::convergence(self.desired.as_ref(), self.state.report.as_ref()),
        });
        if let Some(facts) = facts {
            out["facts"] = facts;
        }
        out
    }

    fn instance_view(&self, read: &mut dyn Read, vm: &Resource) -> Value {
        let at = instant(vm.created_at);
        let (power, display) = match self.state.presence(read.now()) {
            machine::Presence::Online => ("PowerState/running", "VM running"),
            machine::Presence::Stale | machine::Presence::Offline => {
                ("PowerState/unknown", "No report from the agent")
            }
        };
        let convergence = machine::convergence(self.desired.as_ref(), self.state.report.as_ref());
        json!({
            "computerName": self.facts.hostname,
            "osName": self.facts.os.name,
            "osVersion": self.facts.os.version,
            "hyperVGeneration": "V2",
            "vmAgent": {
                "vmAgentVersion": self.state.version,
                "statuses": [{
                    "code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Ready",
                    "message": format!("Network rules: generation {} is {}.", convergence.generation, convergence.state),
                    "time": self.state.last_report_at.map(instant),
                }],
                "extensionHandlers": [],
            },
            "disks": self.facts.disks.iter().map(|d| json!({"name": d.name, "statuses": []})).collect::<Vec<_>>(),
            "statuses": [
                {"code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Provisioning succeeded", "time": at},
                {"code": power, "level": "Info", "displayStatus": display},
            ],
        })
    }
}

/// `virtualMachines/{name}/instanceView`: what `az vm get-instance-view` of older versions asks.
struct InstanceViews;

static INSTANCE_VIEW_SPEC: TypeSpec = TypeSpec {
    versions: VM_VERSIONS,
    ..spec("Microsoft.Compute", "virtualMachines/instanceView", Storage::Computed, PutStyle::Refused)
};

#[async_trait]
impl ResourceType for InstanceViews {
    fn spec(&self) -> &TypeSpec {
        &INSTANCE_VIEW_SPEC
    }

    async fn computed(
        &self,
        read: &mut dyn Read,
        _: &Call,
        scope: &Scope,
        _: Option<&str>,
    ) -> Result<Value, ArmError> {
        let vm = read.get(scope).await?.ok_or_else(|| ArmError::not_found(scope))?;
        let seen = Seen::load(read, &vm).await?;
        Ok(seen.instance_view(read, &vm))
    }
}

/// `Sekisho.Fleet/machines`: one slim row per machine, for grids of thousands.
struct Machines;

static MACHINES_SPEC: TypeSpec = TypeSpec {
    scopes: &[ScopeKind::Subscription, ScopeKind::ResourceGroup],
    ..spec("Sekisho.Fleet", "machines", Storage::Computed, PutStyle::Refused)
};

#[async_trait]
impl ResourceType for Machines {
    fn spec(&self) -> &TypeSpec {
        &MACHINES_SPEC
    }

    async fn computed(
        &self,
        read: &mut dyn Read,
        _: &Call,
        scope: &Scope,
        name: Option<&str>,
    ) -> Result<Value, ArmError> {
        let vms = read.list(&Listing::of(scope, &machine::vm_type())).await?;
        let states: BTreeMap<String, Machine> =
            read_documents(read, kind::MACHINE).await?.into_iter().collect();
        let desired: BTreeMap<String, Desired> =
            read_documents(read, kind::DESIRED).await?.into_iter().collect();
        let facts: BTreeMap<String, Value> =
            read.documents(kind::FACTS).await?.into_iter().map(|d| (d.key, d.body)).collect();
        let nic_type = TypeName::new("Microsoft.Network", "networkInterfaces");
        let mut groups: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let mut nics: BTreeMap<String, usize> = BTreeMap::new();
        for nic in read.list(&Listing::of(scope, &nic_type)).await? {
            let Some(vm) = machine_of_nic(&nic) else { continue };
            *nics.entry(vm.key()).or_default() += 1;
            if let Some(id) =
                nic.rest.get("properties").and_then(|p| p.get("networkSecurityGroup")?.get("id"))
            {
                groups.entry(vm.key()).or_default().push(id.clone());
            }
        }
        let now = read.now();
        let rows = vms.iter().filter(|vm| name.is_none_or(|n| vm.id.name().eq_ignore_ascii_case(n))).map(|vm| {
            let key = vm.id.key();
            let state = states.get(&key).cloned().unwrap_or_default();
            let seen = facts.get(&key).cloned().unwrap_or(Value::Null);
            let at = |path: &str| seen.pointer(path).cloned().unwrap_or(Value::Null);
            let addresses: Vec<Value> = seen["nics"]
                .as_array()
                .into_iter()
                .flatten()
                .flat_map(|n| n["addresses"].as_array().cloned().unwrap_or_default())
                .filter_map(|a| a.as_str().and_then(|a| a.split('/').next()).filter(|a| !a.starts_with("fe80:")).map(Value::from))
                .collect();
            json!({
                "id": vm.id.to_string(),
                "name": vm.id.name(),
                "resourceGroup": vm.id.resource_group(),
                "location": vm.location,
                "tags": vm.tags.clone().unwrap_or_default(),
                "os": {"name": at("/os/id"), "version": at("/os/versionId"), "prettyName": at("/os/prettyName")},
                "kernel": at("/kernel/release"),
                "addresses": addresses,
                "status": state.presence(now),
                "lastReportAt": state.last_report_at.map(instant),
                "agentVersion": state.version,
                "cpus": at("/cpu/count"),
                "memoryBytes": at("/memory/totalBytes"),
                "nics": nics.get(&key).copied().unwrap_or(0),
                "nsgs": groups.get(&key).cloned().unwrap_or_default(),
                "network": machine::convergence(desired.get(&key), state.report.as_ref()),
            })
        });
        let rows: Vec<Value> = rows.collect();
        match name {
            None => Ok(json!({ "value": rows })),
            Some(name) => rows.into_iter().next().ok_or_else(|| {
                ArmError::new(404, "ResourceNotFound", format!("The machine '{name}' was not found."))
            }),
        }
    }
}

/// `Sekisho.Fleet/enrolmentTokens`: what lets machines in.
struct EnrolmentTokens {
    point: JoinPoint,
}

/// What a person sets of an enrolment token.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EnrolmentTokenProperties {
    /// How long it is good for, 60 to 86,400 seconds; an hour when absent.
    ttl_seconds: Option<i64>,
    /// How many machines it lets in, 1 to 10,000; one when absent.
    max_uses: Option<i64>,
    /// Tags that the machines get.
    machine_tags: Option<BTreeMap<String, String>>,
}

static TOKEN_SPEC: TypeSpec = TypeSpec {
    schema: |g: &mut SchemaGenerator| -> Schema { g.subschema_for::<EnrolmentTokenProperties>() },
    ..spec("Sekisho.Fleet", "enrolmentTokens", Storage::Row, PutStyle::Normal)
};

#[async_trait]
impl ResourceType for EnrolmentTokens {
    fn spec(&self) -> &TypeSpec {
        &TOKEN_SPEC
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        old: Option<&Resource>,
    ) -> Result<(), ArmError> {
        if let Some(old) = old {
            // A token is spent or revoked, never changed: a longer life would be a new right under an old name.
            draft.rest.insert("properties".into(), Value::Object(old.properties()));
            return Ok(());
        }
        let wanted: EnrolmentTokenProperties = draft.typed()?;
        let ttl = wanted.ttl_seconds.unwrap_or(3600);
        if !(60..=MAX_TOKEN_SECONDS).contains(&ttl) {
            let text = format!("ttlSeconds is between 60 and {MAX_TOKEN_SECONDS}.");
            return Err(ArmError::bad("InvalidParameter", text).target("properties.ttlSeconds"));
        }
        let uses = wanted.max_uses.unwrap_or(1);
        if !(1..=MAX_TOKEN_USES).contains(&uses) {
            let text = format!("maxUses is between 1 and {MAX_TOKEN_USES}.");
            return Err(ArmError::bad("InvalidParameter", text).target("properties.maxUses"));
        }
        let tags: Map<String, Value> =
            wanted.machine_tags.unwrap_or_default().into_iter().map(|(k, v)| (k, v.into())).collect();
        let tags = sekisho_arm::resource::check_tags(tags).map_err(|e| e.under("properties.machineTags"))?;
        let mut secret = Zeroizing::new(vec![0u8; SECRET_BYTES]);
        SystemRandom::new().fill(&mut secret).map_err(|_| ArmError::internal())?;
        let expires = instant(tx.now() + Duration::seconds(ttl));
        let hash = secret_hash(&secret);
        let properties = json!({"expiresAt": expires, "maxUses": uses, "uses": 0, "machineTags": tags, "secretHash": hash});
        draft.rest.insert("properties".into(), properties);
        let join = JoinString { address: self.point.address.clone(), pin: self.point.pin, secret };
        draft.rest.insert(SHOWN_ONCE.into(), json!({"joinString": join.to_text().as_str()}));
        tx.put_document(kind::JOIN_SECRET, &hash, draft.id.to_string().into()).await?;
        Ok(())
    }

    async fn removing(&self, tx: &mut dyn Write, _: &Call, old: &Resource) -> Result<(), ArmError> {
        if let Some(Value::String(hash)) = old.properties().get("secretHash") {
            tx.remove_document(kind::JOIN_SECRET, hash).await?;
        }
        Ok(())
    }

    async fn present(&self, _: &mut dyn Read, _: &Call, resource: &Resource) -> Result<Value, ArmError> {
        let mut body = self.render(resource);
        if let Some(properties) = body.get_mut("properties").and_then(Value::as_object_mut) {
            properties.remove("secretHash");
        }
        Ok(body)
    }
}
