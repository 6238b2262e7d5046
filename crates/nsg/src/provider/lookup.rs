//! Small readings of stored resources that several types need.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;
use sekisho_arm::{ArmError, Listing, Read, Resource, Scope};
use serde_json::Value;

use super::type_name;
use crate::resources::{NetworkInterface, NetworkSecurityGroup, SecurityRule, VirtualNetwork, from_body};

/// All resources of a type in the scope's subscription.
pub(super) async fn in_subscription(
    read: &mut dyn Read,
    scope: &Scope,
    path: &str,
) -> Result<Vec<Resource>, ArmError> {
    let around = scope.subscription_scope().unwrap_or(Scope::Tenant);
    Ok(read.list(&Listing::of(&around, &type_name(path))).await?)
}

/// A stored network interface as its type.
pub(super) fn nic(resource: &Resource) -> Result<NetworkInterface, ArmError> {
    from_body(&Value::Object(resource.rest.clone()))
}

/// A stored virtual network as its type.
pub(super) fn network(resource: &Resource) -> Result<VirtualNetwork, ArmError> {
    from_body(&Value::Object(resource.rest.clone()))
}

/// A stored security group as its type.
pub(super) fn group(resource: &Resource) -> Result<NetworkSecurityGroup, ArmError> {
    from_body(&Value::Object(resource.rest.clone()))
}

/// The user's rules of a stored security group.
pub(super) fn rules(resource: &Resource) -> Result<Vec<SecurityRule>, ArmError> {
    let rules = resource.properties().remove("securityRules").unwrap_or(Value::Array(Vec::new()));
    from_body(&rules)
}

/// The id in `properties.{field}.id`.
pub(super) fn reference(resource: &Resource, field: &str) -> Option<Scope> {
    Scope::parse(resource.rest.get("properties")?.get(field)?.get("id")?.as_str()?).ok()
}

/// The subnets that a NIC's configurations name.
pub(super) fn subnets_of(nic: &NetworkInterface) -> Vec<Scope> {
    let configurations = nic.properties.ip_configurations.iter().flatten();
    configurations.filter_map(|c| Scope::parse(c.properties.subnet.as_ref()?.id.as_deref()?).ok()).collect()
}

/// The application security groups that a NIC is a member of.
pub(super) fn groups_of(nic: &NetworkInterface) -> HashSet<Scope> {
    let configurations = nic.properties.ip_configurations.iter().flatten();
    configurations
        .flat_map(|c| c.properties.application_security_groups.iter().flatten())
        .filter_map(|g| Scope::parse(g.id.as_deref()?).ok())
        .collect()
}

/// A NIC's addresses.
pub(super) fn addresses_of(nic: &NetworkInterface) -> Vec<IpAddr> {
    let configurations = nic.properties.ip_configurations.iter().flatten();
    configurations.filter_map(|c| c.properties.private_ip_address.as_deref()?.parse().ok()).collect()
}

/// The subnet of a network that holds an address.
pub(super) fn subnet_for(network: &Resource, address: IpAddr) -> Option<Scope> {
    let typed = self::network(network).ok()?;
    let id = network.id.resource()?;
    typed.properties.subnets.iter().flatten().find_map(|subnet| {
        let holds = subnet.prefixes().ok()?.iter().any(|p: &IpNet| p.contains(&address));
        if !holds {
            return None;
        }
        id.child("subnets", subnet.name.as_deref()?).ok().map(Scope::from)
    })
}

/// The id in `{value}.{field}.id` with the action its use needs.
pub(super) fn link(value: &Value, field: &str, action: &'static str) -> Option<(Scope, &'static str)> {
    Scope::parse(value.get(field)?.get("id")?.as_str()?).ok().map(|id| (id, action))
}

/// The ids in the array `{value}.{field}[].id` with the action their use needs.
pub(super) fn links(value: &Value, field: &str, action: &'static str) -> Vec<(Scope, &'static str)> {
    let items = value.get(field).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|i| Scope::parse(i.get("id")?.as_str()?).ok()).map(|id| (id, action)).collect()
}

/// 400 for a reference to something that does not exist, in Azure's words.
pub(super) fn invalid_reference(id: &Scope, from: &Scope, target: &str) -> ArmError {
    ArmError::bad(
        "InvalidResourceReference",
        format!(
            "Resource {id} referenced by resource {from} was not found. Please make sure that the referenced resource \
             exists, and that both resources are in the same region."
        ),
    )
    .target(target.to_owned())
}
