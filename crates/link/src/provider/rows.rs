//! One slim row per machine, for grids of thousands.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use schemars::{JsonSchema, SchemaGenerator};
use sekisho_arm::registry::PutStyle;
use sekisho_arm::resource::{instant, shown};
use sekisho_arm::traits::read_documents;
use sekisho_arm::{
    ArmError, Call, Listing, Read, Resource, ResourceType, Scope, ScopeKind, Storage, TypeSpec,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::spec;
use crate::machine::{self, Convergence, Machine, Presence, kind};

/// `Sekisho.Fleet/machines`.
pub(super) struct Machines;

/// A machine in a grid. What its agent has not told yet is null.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MachineRow {
    id: String,
    name: String,
    resource_group: String,
    location: String,
    #[schemars(with = "BTreeMap<String, String>")]
    tags: Map<String, Value>,
    os: MachineOs,
    kernel: Option<String>,
    addresses: Vec<String>,
    status: Presence,
    last_report_at: Option<String>,
    agent_version: String,
    cpus: Option<u64>,
    memory_bytes: Option<u64>,
    nics: usize,
    nsgs: Vec<String>,
    network: Convergence,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MachineOs {
    name: Option<String>,
    version: Option<String>,
    pretty_name: Option<String>,
}

impl MachineRow {
    fn new(vm: &Resource, state: Machine, now: OffsetDateTime) -> MachineRow {
        let (status, network) = (state.presence(now), state.convergence());
        let (outline, attached) = (state.outline.unwrap_or_default(), state.attached.unwrap_or_default());
        let told = |text: String| Some(text).filter(|t| !t.is_empty());
        MachineRow {
            id: vm.id.to_string(),
            name: vm.id.name().to_owned(),
            resource_group: vm.id.resource_group().unwrap_or_default().to_owned(),
            location: vm.location.clone().unwrap_or_default(),
            tags: vm.tags.clone().unwrap_or_default(),
            os: MachineOs {
                name: told(outline.os.id),
                version: told(outline.os.version_id),
                pretty_name: told(outline.os.pretty_name),
            },
            kernel: told(outline.kernel),
            addresses: outline.addresses,
            status,
            last_report_at: state.last_report_at.map(instant),
            agent_version: state.version,
            cpus: Some(outline.cpus).filter(|n| *n > 0).map(u64::from),
            memory_bytes: Some(outline.memory_bytes).filter(|n| *n > 0),
            nics: attached.interfaces.len(),
            nsgs: attached.nsgs,
            network,
        }
    }
}

static MACHINES_SPEC: TypeSpec = TypeSpec {
    scopes: &[ScopeKind::Subscription, ScopeKind::ResourceGroup],
    schema: |g: &mut SchemaGenerator| g.subschema_for::<MachineRow>(),
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
        let mut states: HashMap<String, Machine> =
            read_documents(read, kind::MACHINE).await?.into_iter().collect();
        let now = read.now();
        let mut rows = Vec::new();
        for vm in vms.iter().filter(|vm| name.is_none_or(|n| vm.id.name().eq_ignore_ascii_case(n))) {
            let mut state = states.remove(&vm.id.key()).unwrap_or_default();
            state.complete(read, &vm.id).await?;
            rows.push(MachineRow::new(vm, state, now));
        }
        match name {
            None => Ok(json!({ "value": shown(&rows)? })),
            Some(name) => shown(&rows.first().ok_or_else(|| {
                ArmError::new(404, "ResourceNotFound", format!("The machine '{name}' was not found."))
            })?),
        }
    }
}
