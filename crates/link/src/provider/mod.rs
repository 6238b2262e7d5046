//! Machines, enrolment tokens and the slim machine list as ARM types.

mod rows;
mod tokens;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, SchemaGenerator};
use sekisho_arm::registry::{Action, ActionStyle, PutStyle, any_schema};
use sekisho_arm::resource::{add, instant, object_entry, shown};
use sekisho_arm::{
    ArmError, Call, Read, Registry, Resource, ResourceType, Scope, ScopeKind, Storage, TypeSpec, Write,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::current::Current;
use crate::duplicate::Duplicate;
use crate::enrolment;
use crate::facts::Facts;
use crate::join::JoinString;
use crate::machine::{self, Convergence, FactsObserver, Machine, Presence, kind};
use crate::outline::Outline;
use crate::served::Served;

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
    /// SHA-256 of the public key of the authority that signs.
    pub pin: Arc<Current<[u8; 32]>>,
    /// What a machine without our agent sees when it fetches the installer.
    pub served: Arc<Served>,
}

impl JoinPoint {
    /// The command that installs the agent and joins, for a person to paste. The shell gives the join string to the
    /// installer's standard input; it never stands in an argument. `curl` takes the installer from the server whose
    /// key is named here and from no other.
    fn install_command(&self, join: &str) -> Zeroizing<String> {
        Zeroizing::new(format!(
            "sudo sh -c \"$(curl -fsSk --pinnedpubkey 'sha256//{}' https://{}/link/install)\" <<< '{join}'",
            STANDARD.encode(self.served.pin()),
            self.address
        ))
    }

    /// The join string that carries a secret.
    fn text(&self, secret: Zeroizing<Vec<u8>>) -> Zeroizing<String> {
        JoinString { address: self.address.clone(), pin: *self.pin.get(), secret }.to_text()
    }
}

/// Adds the types of this crate.
pub fn register(registry: &mut Registry, point: JoinPoint, observers: Vec<Arc<dyn FactsObserver>>) {
    registry
        .add(VirtualMachines { observers, point: point.clone() })
        .add(InstanceViews)
        .add(tokens::EnrolmentTokens { point })
        .add(rows::Machines);
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
    point: JoinPoint,
}

/// A virtual machine as it is answered, as far as Sekisho sets it; every other field of Azure's body survives unread.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used; its parts are what the answer is made of")]
#[schemars(rename = "VirtualMachine")]
struct ShownMachine {
    tags: BTreeMap<String, String>,
    properties: ShownMachineProperties,
}

#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
#[schemars(rename = "VirtualMachineProperties")]
struct ShownMachineProperties {
    #[serde(flatten)]
    seen: MachineAround,
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// What a virtual machine's answer says besides what was written.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MachineAround {
    hardware_profile: HardwareProfile,
    storage_profile: StorageProfile,
    network_profile: NetworkProfile,
    time_created: String,
    /// Only with `$expand=instanceView`.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_view: Option<InstanceView>,
    sekisho: SekishoMachine,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct HardwareProfile {
    vm_size: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct StorageProfile {
    image_reference: ImageReference,
    os_disk: OsDisk,
    data_disks: [OsDisk; 0],
}

#[derive(Serialize, JsonSchema)]
struct ImageReference {
    publisher: String,
    offer: String,
    sku: String,
    version: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct OsDisk {
    os_type: &'static str,
    create_option: &'static str,
    name: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct NetworkProfile {
    network_interfaces: Vec<InterfaceReference>,
}

#[derive(Serialize, JsonSchema)]
struct InterfaceReference {
    id: String,
    properties: InterfaceReferenceProperties,
}

#[derive(Serialize, JsonSchema)]
struct InterfaceReferenceProperties {
    primary: bool,
}

/// What Azure has no word for.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SekishoMachine {
    status: Presence,
    last_report_at: Option<String>,
    network: Convergence,
    /// Only while two machines use its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate: Option<Duplicate>,
    /// Only with `$expand=instanceView`, and once the agent has sent them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Facts>")]
    facts: Option<Value>,
}

/// `instanceView` of a virtual machine.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct InstanceView {
    computer_name: String,
    os_name: String,
    os_version: String,
    #[serde(rename = "hyperVGeneration")]
    hyper_v_generation: &'static str,
    vm_agent: VmAgent,
    disks: Vec<DiskView>,
    statuses: Vec<InstanceStatus>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct VmAgent {
    vm_agent_version: String,
    statuses: Vec<InstanceStatus>,
    extension_handlers: [InstanceStatus; 0],
}

#[derive(Serialize, JsonSchema)]
struct DiskView {
    name: String,
    statuses: [InstanceStatus; 0],
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct InstanceStatus {
    code: &'static str,
    level: &'static str,
    display_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
}

impl InstanceStatus {
    fn of(code: &'static str, display_status: &'static str) -> InstanceStatus {
        InstanceStatus { code, level: "Info", display_status, message: None, time: None }
    }
}

/// What `rekey` answers. It is not shown again.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RekeyedMachine {
    /// For `sekisho-agent join` on the machine that is to go on under this name.
    join_string: String,
    /// Until when it can be used.
    expires_at: String,
}

const REKEY: Action = Action {
    verb: "rekey",
    style: ActionStyle::Sync,
    reads: false,
    title: "Take a machine's key away and let it join again",
    takes: any_schema,
    answers: |g| g.subschema_for::<RekeyedMachine>(),
};

static VM_SPEC: TypeSpec = TypeSpec {
    versions: VM_VERSIONS,
    actions: &[REKEY],
    schema: |g: &mut SchemaGenerator| match g.contract().is_serialize() {
        true => g.subschema_for::<ShownMachine>(),
        // Clients send Azure's body; nothing of it is ours.
        false => any_schema(g),
    },
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

    async fn act(
        &self,
        tx: &mut dyn Write,
        _: &Call,
        target: &Resource,
        _: &str,
        _: Value,
    ) -> Result<Value, ArmError> {
        let (secret, expires_at) = enrolment::rekey(tx, &target.id).await?;
        let join_string = self.point.text(secret).as_str().to_owned();
        shown(&RekeyedMachine { join_string, expires_at: instant(expires_at) })
    }

    async fn present(
        &self,
        read: &mut dyn Read,
        call: &Call,
        resource: &Resource,
    ) -> Result<Value, ArmError> {
        let seen = Seen::load(read, resource).await?;
        self.show(read, call, resource, seen).await
    }

    async fn present_all(
        &self,
        read: &mut dyn Read,
        call: &Call,
        resources: &[Resource],
    ) -> Result<Vec<Value>, ArmError> {
        let mut states = machine::states(read, resources).await?;
        let mut all = Vec::with_capacity(resources.len());
        for vm in resources {
            let key = vm.id.key();
            let mut state = states.remove(&key).unwrap_or_default();
            state.complete(read, &vm.id).await?;
            all.push(self.show(read, call, vm, Seen::from(state)).await?);
        }
        Ok(all)
    }
}

impl VirtualMachines {
    async fn show(
        &self,
        read: &mut dyn Read,
        call: &Call,
        resource: &Resource,
        seen: Seen,
    ) -> Result<Value, ArmError> {
        let mut body = self.render(resource);
        let Value::Object(map) = &mut body else { return Ok(body) };
        map.entry("tags").or_insert_with(|| json!({}));
        let expanded = call.expands("instanceView");
        let facts = match expanded {
            true => read.document(kind::FACTS, &resource.id.key()).await?.map(|d| d.body()).transpose()?,
            false => None,
        };
        let now = read.now();
        let properties = object_entry(map, "properties");
        let outline = &seen.outline;
        let os = object_entry(properties, "osProfile");
        os.insert(
            "computerName".into(),
            if outline.hostname.is_empty() { resource.id.name() } else { &outline.hostname }.into(),
        );
        os.entry("linuxConfiguration").or_insert_with(|| json!({"disablePasswordAuthentication": true}));
        let around = MachineAround {
            hardware_profile: HardwareProfile { vm_size: size_name(outline) },
            storage_profile: StorageProfile {
                image_reference: ImageReference {
                    publisher: outline.os.id.clone(),
                    offer: outline.os.name.clone(),
                    sku: outline.os.version_id.clone(),
                    version: outline.os.version.clone(),
                },
                os_disk: OsDisk {
                    os_type: "Linux",
                    create_option: "Attach",
                    name: outline.disks.first().cloned().unwrap_or_default(),
                },
                data_disks: [],
            },
            network_profile: NetworkProfile { network_interfaces: seen.interfaces() },
            time_created: instant(resource.created_at),
            instance_view: expanded.then(|| seen.instance_view(now, resource)),
            sekisho: seen.summary(now, facts),
        };
        add(properties, &around)?;
        Ok(body)
    }
}

/// Azure has size names; a machine of one's own has what it has.
fn size_name(outline: &Outline) -> String {
    format!("Sekisho_{}cpu_{}gib", outline.cpus, outline.memory_bytes.div_ceil(1 << 30))
}

/// What is known of a machine besides its resource.
struct Seen {
    state: Machine,
    outline: Outline,
}

impl From<Machine> for Seen {
    fn from(mut state: Machine) -> Self {
        let outline = state.outline.take().unwrap_or_default();
        Seen { state, outline }
    }
}

impl Seen {
    async fn load(read: &mut dyn Read, vm: &Resource) -> Result<Seen, ArmError> {
        Ok(machine::state(read, &vm.id).await?.into())
    }

    /// The network interfaces, as `networkProfile` shows them.
    fn interfaces(&self) -> Vec<InterfaceReference> {
        let reference = |(i, id): (usize, &String)| InterfaceReference {
            id: id.clone(),
            properties: InterfaceReferenceProperties { primary: i == 0 },
        };
        self.state.attached.iter().flat_map(|a| &a.interfaces).enumerate().map(reference).collect()
    }

    fn summary(&self, now: OffsetDateTime, facts: Option<Value>) -> SekishoMachine {
        SekishoMachine {
            status: self.state.presence(now),
            last_report_at: self.state.last_report_at.map(instant),
            network: self.state.convergence(),
            duplicate: self.state.duplicate.clone(),
            facts,
        }
    }

    fn instance_view(&self, now: OffsetDateTime, vm: &Resource) -> InstanceView {
        let (power, display) = match self.state.presence(now) {
            Presence::Online => ("PowerState/running", "VM running"),
            Presence::Stale | Presence::Offline => ("PowerState/unknown", "No report from the agent"),
            Presence::Duplicate => ("PowerState/unknown", "Two machines use this machine's key"),
        };
        let convergence = self.state.convergence();
        let (generation, state) = (convergence.generation, convergence.state.word());
        let done = "ProvisioningState/succeeded";
        InstanceView {
            computer_name: self.outline.hostname.clone(),
            os_name: self.outline.os.name.clone(),
            os_version: self.outline.os.version.clone(),
            hyper_v_generation: "V2",
            vm_agent: VmAgent {
                vm_agent_version: self.state.version.clone(),
                statuses: vec![InstanceStatus {
                    message: Some(format!("Network rules: generation {generation} is {state}.")),
                    time: self.state.last_report_at.map(instant),
                    ..InstanceStatus::of(done, "Ready")
                }],
                extension_handlers: [],
            },
            disks: self.outline.disks.iter().map(|d| DiskView { name: d.clone(), statuses: [] }).collect(),
            statuses: vec![
                InstanceStatus {
                    time: Some(instant(vm.created_at)),
                    ..InstanceStatus::of(done, "Provisioning succeeded")
                },
                InstanceStatus::of(power, display),
            ],
        }
    }
}

/// `virtualMachines/{name}/instanceView`: what `az vm get-instance-view` of older versions asks.
struct InstanceViews;

static INSTANCE_VIEW_SPEC: TypeSpec = TypeSpec {
    versions: VM_VERSIONS,
    schema: |g: &mut SchemaGenerator| g.subschema_for::<InstanceView>(),
    ..spec("Microsoft.Compute", "virtualMachines/instanceView", Storage::Computed, PutStyle::Refused)
};

#[async_trait]
impl ResourceType for InstanceViews {
    fn spec(&self) -> &TypeSpec {
        &INSTANCE_VIEW_SPEC
    }

    fn is_singleton(&self) -> bool {
        true
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
        shown(&seen.instance_view(read.now(), &vm))
    }
}
