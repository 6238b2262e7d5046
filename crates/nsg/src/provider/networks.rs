//! `virtualNetworks` with their subnets.

use async_trait::async_trait;
use schemars::SchemaGenerator;
use sekisho_arm::registry::PutStyle;
use sekisho_arm::resource::object_entry;
use sekisho_arm::{ArmError, Call, Read, Resource, ResourceType, Scope, Storage, TypeSpec, Write};
use serde_json::{Value, json};

use super::{JOIN_GROUP, interfaces, lookup, spec};
use crate::resources::{Subnet, VirtualNetwork, from_body, validate_name};

pub(super) struct VirtualNetworks;

static NETWORK_SPEC: TypeSpec = TypeSpec {
    schema: |g: &mut SchemaGenerator| g.subschema_for::<VirtualNetwork>(),
    ..spec("virtualNetworks", Storage::Row)
};

#[async_trait]
impl ResourceType for VirtualNetworks {
    fn spec(&self) -> &TypeSpec {
        &NETWORK_SPEC
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        old: Option<&Resource>,
    ) -> Result<(), ArmError> {
        validate_name(draft.id.name())?;
        draft.properties_mut().remove("resourceGuid");
        draft.properties_mut().entry("subnets").or_insert_with(|| json!([]));
        let typed = lookup::network(draft)?;
        typed.validate(draft.id.name())?;
        if let Some(old) = old {
            let kept = |name: &str| {
                typed
                    .properties
                    .subnets
                    .iter()
                    .flatten()
                    .any(|s| s.name.as_deref().is_some_and(|n| n.eq_ignore_ascii_case(name)))
            };
            for subnet in lookup::network(old)?.properties.subnets.iter().flatten() {
                let name = subnet.name.as_deref().unwrap_or_default();
                if !kept(name) {
                    refuse_used(tx.as_read(), &old.id, name).await?;
                }
            }
        }
        Ok(())
    }

    fn links(&self, body: &Value) -> Vec<(Scope, &'static str)> {
        let subnets = body["properties"]["subnets"].as_array().into_iter().flatten();
        subnets.filter_map(|s| lookup::link(&s["properties"], "networkSecurityGroup", JOIN_GROUP)).collect()
    }

    async fn written(&self, tx: &mut dyn Write, _: &Call, new: &Resource) -> Result<(), ArmError> {
        interfaces::place_in_subnets(tx, new).await
    }

    async fn removing(&self, tx: &mut dyn Write, _: &Call, old: &Resource) -> Result<(), ArmError> {
        for subnet in lookup::network(old)?.properties.subnets.iter().flatten() {
            refuse_used(tx.as_read(), &old.id, subnet.name.as_deref().unwrap_or_default()).await?;
        }
        Ok(())
    }

    async fn present(&self, _: &mut dyn Read, _: &Call, resource: &Resource) -> Result<Value, ArmError> {
        let mut body = self.render(resource);
        if let Value::Object(map) = &mut body {
            let properties = object_entry(map, "properties");
            properties.entry("virtualNetworkPeerings").or_insert_with(|| json!([]));
            properties.entry("enableDdosProtection").or_insert_with(|| json!(false));
        }
        Ok(body)
    }
}

/// The ids of the IP configurations in a subnet.
async fn configurations_in(read: &mut dyn Read, subnet: &Scope) -> Result<Vec<String>, ArmError> {
    let mut out = Vec::new();
    for nic in lookup::in_subscription(read, subnet, "networkInterfaces").await? {
        for configuration in lookup::nic(&nic)?.properties.ip_configurations.iter().flatten() {
            let at =
                configuration.properties.subnet.as_ref().and_then(|s| Scope::parse(s.id.as_deref()?).ok());
            if at.as_ref() == Some(subnet) {
                out.push(format!(
                    "{}/ipConfigurations/{}",
                    nic.id,
                    configuration.name.as_deref().unwrap_or_default()
                ));
            }
        }
    }
    Ok(out)
}

async fn refuse_used(read: &mut dyn Read, network: &Scope, subnet: &str) -> Result<(), ArmError> {
    let id = network
        .resource()
        .and_then(|n| n.child("subnets", subnet).ok())
        .map(Scope::from)
        .ok_or_else(ArmError::internal)?;
    let Some(first) = configurations_in(read, &id).await?.into_iter().next() else { return Ok(()) };
    Err(ArmError::bad(
        "InUseSubnetCannotBeDeleted",
        format!(
            "Subnet {subnet} is in use by {first} and cannot be deleted. In order to delete the subnet, delete all the \
             resources within the subnet. See aka.ms/deletesubnet."
        ),
    ))
}

pub(super) struct Subnets;

static SUBNET_SPEC: TypeSpec = TypeSpec {
    location: false,
    schema: |g: &mut SchemaGenerator| g.subschema_for::<Subnet>(),
    ..spec("virtualNetworks/subnets", Storage::Embedded { property: "subnets", keep_when_absent: true })
};

#[async_trait]
impl ResourceType for Subnets {
    fn spec(&self) -> &TypeSpec {
        &SUBNET_SPEC
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        _: Option<&Resource>,
    ) -> Result<(), ArmError> {
        draft.properties_mut().remove("ipConfigurations");
        draft.properties_mut().remove("purpose");
        let mut body = draft.rest.clone();
        body.insert("name".into(), draft.id.name().into());
        let subnet: Subnet = from_body(&Value::Object(body))?;
        subnet.prefixes()?;
        if let Some(group) = &subnet.properties.network_security_group {
            let field = "properties.networkSecurityGroup";
            let group = group.scope("Microsoft.Network/networkSecurityGroups", field)?;
            if tx.get(&group).await?.is_none() {
                return Err(lookup::invalid_reference(&group, &draft.id, &format!("{field}.id")));
            }
        }
        Ok(())
    }

    fn links(&self, body: &Value) -> Vec<(Scope, &'static str)> {
        lookup::link(&body["properties"], "networkSecurityGroup", JOIN_GROUP).into_iter().collect()
    }

    async fn written(&self, tx: &mut dyn Write, _: &Call, new: &Resource) -> Result<(), ArmError> {
        let Some(parent) = new.id.parent() else { return Ok(()) };
        match tx.get(&parent).await? {
            Some(network) => interfaces::place_in_subnets(tx, &network).await,
            None => Ok(()),
        }
    }

    async fn removing(&self, tx: &mut dyn Write, _: &Call, old: &Resource) -> Result<(), ArmError> {
        let parent = old.id.parent().ok_or_else(ArmError::internal)?;
        refuse_used(tx.as_read(), &parent, old.id.name()).await
    }

    async fn present(&self, read: &mut dyn Read, _: &Call, resource: &Resource) -> Result<Value, ArmError> {
        let mut body = self.render(resource);
        let inside = configurations_in(read, &resource.id).await?;
        if let Value::Object(map) = &mut body {
            let properties = object_entry(map, "properties");
            if !inside.is_empty() {
                let ids: Vec<Value> = inside.iter().map(|id| json!({ "id": id })).collect();
                properties.insert("ipConfigurations".into(), ids.into());
            }
            properties.entry("privateEndpointNetworkPolicies").or_insert_with(|| json!("Disabled"));
            properties.entry("privateLinkServiceNetworkPolicies").or_insert_with(|| json!("Enabled"));
        }
        Ok(body)
    }
}

/// `publicIPAddresses`: machines have the addresses they have; none is made here, and the list says so.
pub(super) struct PublicAddresses;

static PUBLIC_SPEC: TypeSpec = TypeSpec { put: PutStyle::Refused, ..spec("publicIPAddresses", Storage::Row) };

impl ResourceType for PublicAddresses {
    fn spec(&self) -> &TypeSpec {
        &PUBLIC_SPEC
    }
}
