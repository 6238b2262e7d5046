//! `networkInterfaces`: one for each interface that a machine reports. The server keeps what the machine says
//! (addresses, hardware address, machine); the user attaches groups.

use std::collections::BTreeSet;
use std::net::IpAddr;

use async_trait::async_trait;
use ipnet::IpNet;
use schemars::{JsonSchema, SchemaGenerator};
use sekisho_arm::registry::{Action, ActionStyle, any_schema, two_sided};
use sekisho_arm::resource::{object_entry, shown};
use sekisho_arm::{ArmError, Call, Listing, Read, Resource, ResourceType, Scope, Storage, TypeSpec, Write};
use sekisho_link::facts::{Facts, Nic};
use sekisho_link::machine::{self, FactsObserver};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::watchers::hop_type;
use super::{JOIN_ASG_NIC, JOIN_GROUP, JOIN_SUBNET, compiler, lookup, simulate, spec, type_name};
use crate::effective::EffectiveGroup;
use crate::platform::PlatformService;
use crate::resources::{NetworkInterface, NetworkInterfaceProperties, SubResource, validate_name};

pub(super) struct NetworkInterfaces;

static SPEC: TypeSpec = TypeSpec {
    actions: &[
        Action {
            verb: "effectiveNetworkSecurityGroups",
            style: ActionStyle::LongRunning,
            reads: true,
            title: "Shows the rules that are in force at an interface",
            takes: any_schema,
            answers: |g: &mut SchemaGenerator| g.subschema_for::<EffectiveGroups>(),
        },
        Action {
            verb: "effectiveRouteTable",
            style: ActionStyle::LongRunning,
            reads: true,
            title: "Shows the routes that are in force at an interface",
            takes: any_schema,
            answers: |g: &mut SchemaGenerator| g.subschema_for::<Effective<EffectiveRoute>>(),
        },
        Action {
            verb: "sekisho.simulate",
            style: ActionStyle::Sync,
            reads: true,
            title: "Says whether a packet would pass an interface, and which rules decide",
            takes: |g: &mut SchemaGenerator| g.subschema_for::<simulate::Asked>(),
            answers: |g: &mut SchemaGenerator| g.subschema_for::<simulate::Simulation>(),
        },
    ],
    schema: two_sided::<NetworkInterface, ShownInterface>,
    ..spec("networkInterfaces", Storage::Row)
};

/// The fields that a machine's agent decides; clients send them back or leave them out, and neither means anything.
const OWNED: &[&str] = &["virtualMachine", "macAddress", "primary", "sekisho"];

#[async_trait]
impl ResourceType for NetworkInterfaces {
    fn spec(&self) -> &TypeSpec {
        &SPEC
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        old: Option<&Resource>,
    ) -> Result<(), ArmError> {
        validate_name(draft.id.name())?;
        let kept = old.map(Resource::properties).unwrap_or_default();
        let properties = draft.properties_mut();
        for owned in OWNED {
            match kept.get(*owned) {
                Some(value) => properties.insert((*owned).to_owned(), value.clone()),
                None => properties.remove(*owned),
            };
        }
        for shown in ["resourceGuid", "hostedWorkloads", "tapConfigurations"] {
            properties.remove(shown);
        }
        if let Some(old) = old.filter(|_| kept.contains_key("virtualMachine")) {
            keep_addresses(draft, old);
        }
        let nic = lookup::nic(draft)?;
        nic.validate(draft.id.name())?;
        let mut named: Vec<(Scope, String)> = Vec::new();
        if let Some(group) = lookup::reference(draft, "networkSecurityGroup") {
            named.push((group, "properties.networkSecurityGroup.id".to_owned()));
        }
        named.extend(
            lookup::groups_of(&nic).into_iter().map(|g| (g, "properties.ipConfigurations".to_owned())),
        );
        named.extend(
            lookup::subnets_of(&nic).into_iter().map(|s| (s, "properties.ipConfigurations".to_owned())),
        );
        for (id, target) in named {
            if !exists(tx.as_read(), &id).await? {
                return Err(lookup::invalid_reference(&id, &draft.id, &target));
            }
        }
        Ok(())
    }

    fn links(&self, body: &Value) -> Vec<(Scope, &'static str)> {
        let properties = &body["properties"];
        let mut out: Vec<_> =
            lookup::link(properties, "networkSecurityGroup", JOIN_GROUP).into_iter().collect();
        for configuration in properties["ipConfigurations"].as_array().into_iter().flatten() {
            let inner = &configuration["properties"];
            out.extend(lookup::link(inner, "subnet", JOIN_SUBNET));
            out.extend(lookup::links(inner, "applicationSecurityGroups", JOIN_ASG_NIC));
        }
        out
    }

    async fn written(&self, tx: &mut dyn Write, _: &Call, new: &Resource) -> Result<(), ArmError> {
        match lookup::reference(new, "virtualMachine") {
            None => Ok(()),
            Some(vm) => Ok(machine::note_attached(tx, &vm).await?),
        }
    }

    async fn removing(&self, _: &mut dyn Write, _: &Call, old: &Resource) -> Result<(), ArmError> {
        match lookup::reference(old, "virtualMachine") {
            None => Ok(()),
            Some(machine) => Err(ArmError::bad(
                "NicInUse",
                format!(
                    "Network Interface {} is used by existing resource {machine}. In order to delete the network \
                     interface, it must be dissociated from the resource. To learn more, see aka.ms/deletenic.",
                    old.id
                ),
            )),
        }
    }

    async fn present(&self, _: &mut dyn Read, _: &Call, resource: &Resource) -> Result<Value, ArmError> {
        let mut body = self.render(resource);
        let Value::Object(map) = &mut body else { return Ok(body) };
        let properties = object_entry(map, "properties");
        // `az vm open-port` reads the key whether a group is attached or not.
        properties.entry("networkSecurityGroup").or_insert(Value::Null);
        properties.entry("enableAcceleratedNetworking").or_insert_with(|| json!(false));
        properties.entry("enableIPForwarding").or_insert_with(|| json!(false));
        properties.entry("dnsSettings").or_insert_with(|| json!({"dnsServers": [], "appliedDnsServers": []}));
        properties.entry("nicType").or_insert_with(|| json!("Standard"));
        for configuration in
            properties.get_mut("ipConfigurations").and_then(Value::as_array_mut).into_iter().flatten()
        {
            let name = configuration["name"].as_str().unwrap_or_default().to_owned();
            configuration["id"] = format!("{}/ipConfigurations/{name}", resource.id).into();
            configuration["type"] = "Microsoft.Network/networkInterfaces/ipConfigurations".into();
            configuration["etag"] = resource.etag.clone().into();
            configuration["properties"]["provisioningState"] = "Succeeded".into();
        }
        Ok(body)
    }

    async fn act(
        &self,
        tx: &mut dyn Write,
        _: &Call,
        target: &Resource,
        verb: &str,
        body: Value,
    ) -> Result<Value, ArmError> {
        match verb {
            "effectiveRouteTable" => routes(tx.as_read(), target).await,
            "sekisho.simulate" => simulate::simulate(tx.as_read(), target, &body).await,
            _ => {
                let (value, platform_exceptions) = compiler::effective_at(tx.as_read(), target).await?;
                shown(&EffectiveGroups { value, platform_exceptions })
            }
        }
    }
}

async fn exists(read: &mut dyn Read, id: &Scope) -> Result<bool, ArmError> {
    if !id.type_name().is("Microsoft.Network/virtualNetworks/subnets") {
        return Ok(read.get(id).await?.is_some());
    }
    let Some(network) = id.parent() else { return Ok(false) };
    let Some(network) = read.get(&network).await? else { return Ok(false) };
    let subnets = network.properties().remove("subnets").unwrap_or_default();
    let named = |s: &Value| s["name"].as_str().is_some_and(|n| n.eq_ignore_ascii_case(id.name()));
    Ok(subnets.as_array().is_some_and(|all| all.iter().any(named)))
}

/// Addresses are the machine's: a PUT keeps those of each configuration, and adds or drops no configuration.
fn keep_addresses(draft: &mut Resource, old: &Resource) {
    let before = old.properties().remove("ipConfigurations").unwrap_or_default();
    let before = before.as_array().cloned().unwrap_or_default();
    let given = draft.properties().remove("ipConfigurations").unwrap_or_default();
    let given = given.as_array().cloned().unwrap_or_default();
    let merged: Vec<Value> = before
        .into_iter()
        .map(|old| {
            let same = given.iter().find(|g| {
                g["name"]
                    .as_str()
                    .unwrap_or_default()
                    .eq_ignore_ascii_case(old["name"].as_str().unwrap_or_default())
            });
            let Some(Value::Object(mut fresh)) = same.cloned() else { return old };
            for shown in ["id", "etag", "type"] {
                fresh.remove(shown);
            }
            let properties = object_entry(&mut fresh, "properties");
            properties.remove("provisioningState");
            for owned in [
                "privateIPAddress",
                "privateIPAllocationMethod",
                "privateIPAddressVersion",
                "primary",
                "prefixLength",
            ] {
                match old["properties"].get(owned) {
                    Some(value) => properties.insert(owned.to_owned(), value.clone()),
                    None => properties.remove(owned),
                };
            }
            Value::Object(fresh)
        })
        .collect();
    draft.properties_mut().insert("ipConfigurations".into(), merged.into());
}

/// The rules in force.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
struct EffectiveGroups {
    value: Vec<EffectiveGroup>,
    /// Services of Azure's platform that are reached whatever these say.
    platform_exceptions: BTreeSet<PlatformService>,
}

/// The routes in force.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Effective<T> {
    value: Vec<T>,
}

/// A route in force.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EffectiveRoute {
    name: &'static str,
    source: &'static str,
    state: &'static str,
    address_prefix: Vec<String>,
    next_hop_type: &'static str,
    next_hop_ip_address: Vec<String>,
    disable_bgp_route_propagation: bool,
}

/// An interface as it is answered: `az vm open-port` reads the group whether one is attached or not.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
#[schemars(rename = "ShownNetworkInterface")]
struct ShownInterface {
    properties: ShownInterfaceProperties,
}

#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ShownNetworkInterfaceProperties")]
struct ShownInterfaceProperties {
    #[serde(flatten)]
    kept: NetworkInterfaceProperties,
    network_security_group: Option<SubResource>,
}

async fn routes(read: &mut dyn Read, nic: &Resource) -> Result<Value, ArmError> {
    let vm = lookup::reference(nic, "virtualMachine");
    let interface = nic.properties().get("sekisho").and_then(|s| s["interface"].as_str().map(str::to_owned));
    let facts: Option<Facts> = match &vm {
        Some(vm) => sekisho_arm::traits::read_document(read, machine::kind::FACTS, &vm.key()).await?,
        None => None,
    };
    let value: Vec<EffectiveRoute> = facts
        .unwrap_or_default()
        .routes
        .iter()
        .filter(|r| Some(&r.interface) == interface.as_ref())
        .map(|r| EffectiveRoute {
            name: "",
            source: "Default",
            state: "Active",
            address_prefix: vec![r.destination.clone()],
            next_hop_type: hop_type(r),
            next_hop_ip_address: Some(r.gateway.clone()).filter(|g| !g.is_empty()).into_iter().collect(),
            disable_bgp_route_propagation: false,
        })
        .collect();
    shown(&Effective { value })
}

/// Interfaces of container engines and hypervisors: they come and go with what runs on the machine and are not its own.
const TRANSIENT: &[&str] = &[
    "docker", "br-", "veth", "virbr", "vnet", "cni", "flannel", "cali", "lxc", "lxd", "podman", "tap", "tun",
];

/// Keeps the network interface resources of machines.
pub struct Interfaces;

#[async_trait]
impl FactsObserver for Interfaces {
    async fn observe(&self, tx: &mut dyn Write, vm: &Resource, facts: &Facts) -> Result<(), ArmError> {
        let group = vm.id.group_scope().ok_or_else(ArmError::internal)?;
        let own = machine::interfaces(tx.as_read(), &vm.id).await?;
        let networks = tx.list(&Listing::of(&group, &type_name("virtualNetworks"))).await?;
        let seen: Vec<&Nic> = facts
            .nics
            .iter()
            .filter(|n| !TRANSIENT.iter().any(|t| n.name.starts_with(t)) && !n.addresses.is_empty())
            .collect();
        let mut kept = Vec::new();
        for (index, nic) in seen.iter().enumerate() {
            let mac = azure_mac(&nic.mac);
            let old = own.iter().find(|o| {
                let properties = o.properties();
                properties.get("macAddress").and_then(Value::as_str) == Some(mac.as_str())
                    || properties.get("sekisho").is_some_and(|s| s["interface"] == nic.name.as_str())
            });
            let fresh = made((vm, &facts.platform), nic, &mac, index == 0, old, &networks)?;
            kept.push(fresh.id.clone());
            if old.is_none_or(|o| o.rest != fresh.rest) {
                tx.put(fresh).await?;
            }
        }
        // An interface that is gone takes its resource along, unless the user has attached something to it: then the
        // attachment waits for the interface to come back.
        for old in own.iter().filter(|o| !kept.contains(&o.id)) {
            let attached = lookup::reference(old, "networkSecurityGroup").is_some()
                || !lookup::groups_of(&lookup::nic(old)?).is_empty();
            if !attached {
                tx.remove(&old.id).await?;
            }
        }
        Ok(machine::note_attached(tx, &vm.id).await?)
    }

    async fn retire(&self, tx: &mut dyn Write, vm: &Resource) -> Result<(), ArmError> {
        for nic in machine::interfaces(tx.as_read(), &vm.id).await? {
            tx.remove(&nic.id).await?;
        }
        Ok(())
    }
}

/// Azure writes hardware addresses in upper case with dashes.
fn azure_mac(mac: &str) -> String {
    mac.to_ascii_uppercase().replace(':', "-")
}

/// The resource for an interface: the old one's attachments with the new addresses.
fn made(
    (machine, platform): (&Resource, &str),
    nic: &Nic,
    mac: &str,
    primary: bool,
    old: Option<&Resource>,
    networks: &[Resource],
) -> Result<Resource, ArmError> {
    let group = machine.id.group_scope().ok_or_else(ArmError::internal)?;
    let clean: String = nic.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let id = group
        .resource_in("Microsoft.Network", "networkInterfaces", &format!("{}-{clean}", machine.id.name()))
        .map_err(|_| ArmError::internal())?;
    let mut fresh = old.cloned().unwrap_or_else(|| Resource {
        id,
        type_name: SPEC.name(),
        location: machine.location.clone(),
        tags: None,
        etag: String::new(),
        sequence: 0,
        created_at: machine.changed_at,
        changed_at: machine.changed_at,
        rest: Map::new(),
    });
    let before = fresh.properties().remove("ipConfigurations").unwrap_or_default();
    let before = before.as_array().cloned().unwrap_or_default();
    let configurations: Vec<Value> = addresses(nic)
        .into_iter()
        .enumerate()
        .map(|(i, net)| {
            let name = format!("ipconfig{}", i + 1);
            let mut properties = Map::new();
            properties.insert("privateIPAddress".into(), net.addr().to_string().into());
            properties.insert("prefixLength".into(), net.prefix_len().into());
            properties.insert("privateIPAllocationMethod".into(), "Static".into());
            properties.insert(
                "privateIPAddressVersion".into(),
                if net.addr().is_ipv4() { "IPv4" } else { "IPv6" }.into(),
            );
            properties.insert("primary".into(), (i == 0).into());
            let same = before.iter().find(|b| b["name"] == name.as_str()).map(|b| &b["properties"]);
            let subnet =
                same.and_then(|p| p.get("subnet").cloned()).or_else(|| subnet_in(networks, net.addr()));
            let groups = same.and_then(|p| p.get("applicationSecurityGroups").cloned());
            for (field, value) in [("subnet", subnet), ("applicationSecurityGroups", groups)] {
                if let Some(value) = value {
                    properties.insert(field.to_owned(), value);
                }
            }
            json!({"name": name, "properties": properties})
        })
        .collect();
    let properties = fresh.properties_mut();
    properties.insert("ipConfigurations".into(), configurations.into());
    properties.insert("macAddress".into(), mac.into());
    properties.insert("primary".into(), primary.into());
    properties.insert("virtualMachine".into(), json!({"id": machine.id}));
    let mut own = json!({"interface": nic.name});
    if !platform.is_empty() {
        own["platform"] = platform.into();
    }
    properties.insert("sekisho".into(), own);
    if old.is_none_or(|o| o.rest != fresh.rest) {
        fresh.etag = String::new();
    }
    Ok(fresh)
}

/// The addresses that count: link-local ones are every interface's own, and temporary IPv6 ones would come and go.
fn addresses(nic: &Nic) -> Vec<IpNet> {
    let mut all: Vec<IpNet> = nic.addresses.iter().filter_map(|a| a.parse().ok()).collect();
    all.retain(|net: &IpNet| match net.addr() {
        IpAddr::V4(v4) => !v4.is_link_local(),
        IpAddr::V6(v6) => (v6.segments()[0] & 0xffc0) != 0xfe80,
    });
    all.sort_by_key(|net| (net.addr().is_ipv6(), net.addr()));
    all
}

fn subnet_in(networks: &[Resource], address: IpAddr) -> Option<Value> {
    let mut found = networks.iter().filter_map(|n| lookup::subnet_for(n, address));
    let first = found.next()?;
    // Two networks with the same addresses: only the user knows which one is meant.
    found.next().is_none().then(|| json!({ "id": first }))
}

/// Puts interfaces of the network's group that are in no subnet yet into the one that holds their address.
pub(super) async fn place_in_subnets(tx: &mut dyn Write, network: &Resource) -> Result<(), ArmError> {
    let group = network.id.group_scope().ok_or_else(ArmError::internal)?;
    let networks = tx.list(&Listing::of(&group, &type_name("virtualNetworks"))).await?;
    for mut nic in tx.list(&Listing::of(&group, &type_name("networkInterfaces"))).await? {
        let mut changed = false;
        for configuration in nic
            .properties_mut()
            .get_mut("ipConfigurations")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            let properties = &mut configuration["properties"];
            let address = properties["privateIPAddress"].as_str().and_then(|a| a.parse().ok());
            if properties.get("subnet").is_none()
                && let Some(subnet) = address.and_then(|a| subnet_in(&networks, a))
            {
                properties["subnet"] = subnet;
                changed = true;
            }
        }
        if changed {
            nic.etag = String::new();
            tx.put(nic).await?;
        }
    }
    Ok(())
}
