//! The server side: the type itself, and which machines a host reaches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use schemars::{JsonSchema, SchemaGenerator};
use sekisho_arm::registry::{Action, ActionStyle, PutStyle, Registry};
use sekisho_arm::resource::{object_entry, shown, typed};
use sekisho_arm::{
    ArmError, Call, Listing, NETWORK_VERSIONS, Read, Resource, ResourceType, Scope, ScopeKind, Storage,
    StoreError, TypeName, TypeSpec, Write,
};
use sekisho_link::machine;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::host::{BastionHost, NAMESPACE, Sku, TYPE, place};
use crate::session::{self, BastionActiveSession};
use crate::shareable_link::{
    BastionShareableLink, BastionShareableLinkListRequest, BastionShareableLinkListResult,
    BastionShareableLinkTokenListRequest,
};

/// What sessions on machines need: Azure's data actions of logging in.
pub const LOGIN_RIGHTS: [&str; 2] = [
    "Microsoft.Compute/virtualMachines/login/action",
    "Microsoft.Compute/virtualMachines/loginAsAdmin/action",
];
/// The right to be served by a host.
pub const READ: &str = "Microsoft.Network/bastionHosts/read";
const JOIN_SUBNET: &str = "Microsoft.Network/virtualNetworks/subnets/join/action";

/// What is done with links through a host: by the server, which knows who has which right, and makes secrets.
#[async_trait]
pub trait Lend: Send + Sync {
    /// Makes links.
    ///
    /// # Errors
    /// 400 for what cannot be, 403 for what whoever makes them may not do themselves.
    async fn create(
        &self,
        tx: &mut (dyn Write + '_),
        call: &Call,
        host: &Resource,
        asked: Vec<BastionShareableLink>,
    ) -> Result<Vec<BastionShareableLink>, ArmError>;

    /// The links through a host.
    ///
    /// # Errors
    /// Those of the database.
    async fn all(
        &self,
        read: &mut (dyn Read + '_),
        host: &Scope,
    ) -> Result<Vec<BastionShareableLink>, ArmError>;

    /// Takes links through a host back, which ends what was begun with them.
    ///
    /// # Errors
    /// Those of the database.
    async fn take_back(&self, tx: &mut (dyn Write + '_), host: &Scope, which: &Which)
    -> Result<(), ArmError>;
}

/// Some links of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// To these machines, by their keys.
    Machines(BTreeSet<String>),
    /// By their secrets, or their ids.
    Tokens(Vec<String>),
}

impl Which {
    fn machines(asked: &[BastionShareableLink]) -> Which {
        Which::Machines(asked.iter().map(|link| link.vm.id.to_ascii_lowercase()).collect())
    }
}

/// Adds the types of this crate.
pub fn register(registry: &mut Registry, links: Arc<dyn Lend>) {
    registry.add(BastionHosts { links });
}

/// The type's name.
pub fn host_type() -> TypeName {
    TypeName::new(NAMESPACE, TYPE)
}

/// Sessions.
#[derive(Serialize, JsonSchema)]
struct BastionActiveSessionListResult {
    /// The sessions.
    value: Vec<BastionActiveSession>,
}

/// The sessions to end.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
struct SessionIds {
    /// Their ids.
    session_ids: Vec<String>,
    /// What is not known here.
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// What became of a session that was to end.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct BastionSessionState {
    /// Its id.
    session_id: String,
    /// For people.
    message: String,
    /// `Disconnected` or `NotFound`.
    state: String,
}

/// What became of them.
#[derive(Serialize, JsonSchema)]
struct BastionSessionDeleteResult {
    /// The sessions.
    value: Vec<BastionSessionState>,
}

struct BastionHosts {
    links: Arc<dyn Lend>,
}

static SPEC: TypeSpec = TypeSpec {
    namespace: NAMESPACE,
    path: TYPE,
    versions: NETWORK_VERSIONS,
    scopes: &[ScopeKind::ResourceGroup],
    storage: Storage::Row,
    put: PutStyle::Normal,
    location: true,
    shows_etag: true,
    shows_state: true,
    actions: &[
        Action {
            verb: "getActiveSessions",
            // Azure's clients would poll; they also take an answer that is there at once.
            style: ActionStyle::Sync,
            reads: true,
            title: "Shows the sessions that are open",
            takes: |g: &mut SchemaGenerator| g.subschema_for::<Map<String, Value>>(),
            answers: |g: &mut SchemaGenerator| g.subschema_for::<BastionActiveSessionListResult>(),
        },
        Action {
            verb: "disconnectActiveSessions",
            style: ActionStyle::Sync,
            reads: false,
            title: "Ends sessions",
            takes: |g: &mut SchemaGenerator| g.subschema_for::<SessionIds>(),
            answers: |g: &mut SchemaGenerator| g.subschema_for::<BastionSessionDeleteResult>(),
        },
        Action {
            verb: "createShareableLinks",
            style: ActionStyle::Sync,
            reads: false,
            title: "Makes links that lend a login to a machine",
            takes: |g: &mut SchemaGenerator| g.subschema_for::<BastionShareableLinkListRequest>(),
            answers: |g: &mut SchemaGenerator| g.subschema_for::<BastionShareableLinkListResult>(),
        },
        Action {
            verb: "getShareableLinks",
            style: ActionStyle::Sync,
            reads: true,
            title: "Shows links, without what makes them good",
            takes: |g: &mut SchemaGenerator| g.subschema_for::<BastionShareableLinkListRequest>(),
            answers: |g: &mut SchemaGenerator| g.subschema_for::<BastionShareableLinkListResult>(),
        },
        Action {
            verb: "deleteShareableLinks",
            style: ActionStyle::Sync,
            reads: false,
            title: "Takes all links to machines back",
            takes: |g: &mut SchemaGenerator| g.subschema_for::<BastionShareableLinkListRequest>(),
            answers: |g: &mut SchemaGenerator| g.subschema_for::<Map<String, Value>>(),
        },
        Action {
            verb: "deleteShareableLinksByToken",
            // The only answer that Azure's clients take.
            style: ActionStyle::Accepted,
            reads: false,
            title: "Takes links back",
            takes: |g: &mut SchemaGenerator| g.subschema_for::<BastionShareableLinkTokenListRequest>(),
            answers: |g: &mut SchemaGenerator| g.subschema_for::<Map<String, Value>>(),
        },
    ],
    schema: |g: &mut SchemaGenerator| g.subschema_for::<BastionHost>(),
};

#[async_trait]
impl ResourceType for BastionHosts {
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
        draft.properties_mut().remove("dnsName");
        let host = BastionHost::of(draft)?;
        host.validate()?;
        for network in host.networks() {
            if tx.get(&network).await?.is_none() {
                let text = format!("Resource {network} referenced by resource {} was not found.", draft.id);
                return Err(
                    ArmError::bad("InvalidResourceReference", text).target("properties.ipConfigurations")
                );
            }
        }
        Ok(())
    }

    fn links(&self, body: &Value) -> Vec<(Scope, &'static str)> {
        let configurations = body["properties"]["ipConfigurations"].as_array().into_iter().flatten();
        let subnet = |c: &Value| Scope::parse(c["properties"]["subnet"]["id"].as_str()?).ok();
        configurations.filter_map(subnet).map(|subnet| (subnet, JOIN_SUBNET)).collect()
    }

    async fn present(&self, _: &mut dyn Read, call: &Call, resource: &Resource) -> Result<Value, ArmError> {
        let mut body = self.render(resource);
        let Value::Object(map) = &mut body else { return Ok(body) };
        map.entry("sku").or_insert_with(|| json!({ "name": format!("{:?}", Sku::default()) }));
        let properties = object_entry(map, "properties");
        properties.insert("dnsName".into(), address(&call.base_url, place(&resource.id)).into());
        properties.entry("scaleUnits").or_insert_with(|| json!(2));
        for off in [
            "disableCopyPaste",
            "enableTunneling",
            "enableIpConnect",
            "enableShareableLink",
            "enableKerberos",
            "enableSessionRecording",
        ] {
            properties.entry(off).or_insert_with(|| json!(false));
        }
        if let Some(Value::Array(all)) = properties.get_mut("ipConfigurations") {
            for one in all.iter_mut().filter_map(Value::as_object_mut) {
                let name = one.get("name").and_then(Value::as_str).unwrap_or_default();
                let id = format!("{}/bastionHostIpConfigurations/{name}", resource.id);
                one.insert("id".into(), id.into());
                one.insert(
                    "type".into(),
                    "Microsoft.Network/bastionHosts/bastionHostIpConfigurations".into(),
                );
                let own = object_entry(one, "properties");
                own.insert("provisioningState".into(), "Succeeded".into());
                own.entry("privateIPAllocationMethod").or_insert_with(|| json!("Dynamic"));
            }
        }
        Ok(body)
    }

    async fn removing(&self, tx: &mut dyn Write, call: &Call, old: &Resource) -> Result<(), ArmError> {
        for open in session::through(tx.as_read(), &old.id).await? {
            session::end(tx, &old.id, &open.id.to_string(), &call.caller.name).await?;
        }
        self.links.take_back(tx, &old.id, &Which::All).await
    }

    fn removal_is_long_running(&self) -> bool {
        true
    }

    async fn act(
        &self,
        tx: &mut dyn Write,
        call: &Call,
        target: &Resource,
        verb: &str,
        body: Value,
    ) -> Result<Value, ArmError> {
        match verb {
            "getActiveSessions" => {
                let open = session::through(tx.as_read(), &target.id).await?;
                let value = open.iter().map(|session| session.shown(call.at)).collect();
                shown(&BastionActiveSessionListResult { value })
            }
            "createShareableLinks" => {
                let BastionShareableLinkListRequest { vms, .. } = typed(&body, "")?;
                let value = self.links.create(tx, call, target, vms).await?;
                shown(&BastionShareableLinkListResult { value })
            }
            "getShareableLinks" => {
                let BastionShareableLinkListRequest { vms, .. } = typed(&body, "")?;
                let mut value = self.links.all(tx.as_read(), &target.id).await?;
                let asked = |link: &BastionShareableLink| {
                    vms.iter().any(|vm| vm.vm.id.eq_ignore_ascii_case(&link.vm.id))
                };
                value.retain(|link| vms.is_empty() || asked(link));
                shown(&BastionShareableLinkListResult { value })
            }
            "deleteShareableLinks" => {
                let BastionShareableLinkListRequest { vms, .. } = typed(&body, "")?;
                self.links.take_back(tx, &target.id, &Which::machines(&vms)).await?;
                Ok(json!({}))
            }
            "deleteShareableLinksByToken" => {
                let BastionShareableLinkTokenListRequest { tokens, .. } = typed(&body, "")?;
                self.links.take_back(tx, &target.id, &Which::Tokens(tokens)).await?;
                Ok(json!({}))
            }
            _ => end_sessions(tx, call, target, &body).await,
        }
    }
}

async fn end_sessions(
    tx: &mut dyn Write,
    call: &Call,
    target: &Resource,
    body: &Value,
) -> Result<Value, ArmError> {
    let SessionIds { session_ids, .. } = typed(body, "")?;
    let mut value = Vec::new();
    for session_id in session_ids.into_iter().take(1000) {
        let found = session::end(tx, &target.id, &session_id, &call.caller.name).await?;
        let (message, state) = if found {
            ("The session ends.", "Disconnected")
        } else {
            ("There is no such session.", "NotFound")
        };
        value.push(BastionSessionState { session_id, message: message.to_owned(), state: state.to_owned() });
    }
    shown(&BastionSessionDeleteResult { value })
}

/// What stock clients take for a host's name: they put it between `https://` and the path of what they ask. With a path
/// of its own every host has an address of its own, under the one name that the server's certificate is for.
fn address(base_url: &str, place: Uuid) -> String {
    format!("{}/bastions/{place}", base_url.trim_start_matches("https://"))
}

/// The host of an address.
///
/// # Errors
/// Those of the database.
pub async fn at(read: &mut (dyn Read + '_), asked: Uuid) -> Result<Option<Resource>, StoreError> {
    let all = read.list(&Listing::of(&Scope::Tenant, &host_type())).await?;
    Ok(all.into_iter().find(|host| place(&host.id) == asked))
}

/// The keys of all machines that some host reaches.
///
/// # Errors
/// Those of the database; one host that cannot be read reaches nothing.
pub async fn reached(read: &mut (dyn Read + '_)) -> Result<BTreeSet<String>, StoreError> {
    let hosts = read.list(&Listing::of(&Scope::Tenant, &host_type())).await?;
    let hosts: Vec<(Scope, Vec<Scope>)> = hosts
        .into_iter()
        .filter_map(|kept| BastionHost::of(&kept).ok().map(|host| (kept.id, host.networks())))
        .collect();
    if hosts.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mut networks: BTreeMap<String, Vec<Scope>> = BTreeMap::new();
    for nic in read.list(&Listing::of(&Scope::Tenant, &machine::interface_type())).await? {
        let own = nic.properties().get("virtualMachine").and_then(|vm| Scope::parse(vm["id"].as_str()?).ok());
        if let Some(own) = own {
            networks.entry(own.key()).or_default().extend(networks_of(&nic));
        }
    }
    let machines = read.list(&Listing::of(&Scope::Tenant, &machine::vm_type())).await?;
    let reaches = |vm: &Resource| {
        let own = networks.get(&vm.id.key()).map_or(&[][..], Vec::as_slice);
        hosts.iter().any(|(id, theirs)| id.subscription() == vm.id.subscription() && meet(theirs, own))
    };
    Ok(machines.iter().filter(|vm| reaches(vm)).map(|vm| vm.id.key()).collect())
}

/// Whether a host in these networks reaches a machine in those.
fn meet(host: &[Scope], machine: &[Scope]) -> bool {
    host.is_empty() || machine.is_empty() || machine.iter().any(|network| host.contains(network))
}

/// The virtual networks that an interface is in.
fn networks_of(nic: &Resource) -> Vec<Scope> {
    let properties = nic.rest.get("properties").cloned().unwrap_or_default();
    let configurations = properties["ipConfigurations"].as_array().into_iter().flatten();
    let subnets = configurations.filter_map(|c| c["properties"]["subnet"]["id"].as_str());
    subnets.filter_map(|id| Scope::parse(id).ok()?.parent()).collect()
}

/// Whether a host reaches a machine: one of its own subscription that is in its virtual network, or in none.
///
/// # Errors
/// Those of the database.
pub async fn reaches(
    read: &mut (dyn Read + '_),
    host: (&Scope, &BastionHost),
    machine: &Scope,
) -> Result<bool, StoreError> {
    let (id, host) = host;
    if id.subscription() != machine.subscription() {
        return Ok(false);
    }
    let mut networks = Vec::new();
    for nic in machine::interfaces(read, machine).await? {
        networks.extend(networks_of(&nic));
    }
    Ok(meet(&host.networks(), &networks))
}
