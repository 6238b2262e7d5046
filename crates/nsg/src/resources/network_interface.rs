//! `Microsoft.Network/networkInterfaces`: the NIC of a machine, its addresses, and what it belongs to.

use std::net::IpAddr;

use schemars::JsonSchema;
use sekisho_arm::{ArmError, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{SubResource, refuse_duplicates, validate_name};
use crate::policy::{InterfaceName, MacAddress};

/// Application security groups that one IP configuration can join (Azure's limit).
pub const MAX_ASGS_PER_IP_CONFIGURATION: usize = 20;

/// A network interface.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkInterface {
    /// Addresses and attachments.
    pub properties: NetworkInterfaceProperties,
    /// Envelope fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The properties of a network interface.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkInterfaceProperties {
    /// The NIC's addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_configurations: Option<Vec<NetworkInterfaceIpConfiguration>>,
    /// The NSG that filters this NIC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_security_group: Option<SubResource>,
    /// The machine that the NIC is in; set by the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_machine: Option<SubResource>,
    /// The hardware address, `00-0D-3A-1B-C7-21`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<String>,
    /// Whether the machine's first NIC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<bool>,
    /// What Azure has no word for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sekisho: Option<NicSekisho>,
    /// Fields not named here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The NIC's fields that Azure does not have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NicSekisho {
    /// The name of the interface on the machine, such as `eth0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// What the machine runs in, where that is known: `Azure`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Fields not named here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// One address of a NIC.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkInterfaceIpConfiguration {
    /// The configuration's name in its NIC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The configuration's id; made by the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Address and memberships.
    pub properties: NetworkInterfaceIpConfigurationProperties,
    /// Fields not named here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The properties of an IP configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkInterfaceIpConfigurationProperties {
    /// The address, or a prefix when `privateIPAddressPrefixLength` is given.
    #[serde(rename = "privateIPAddress", skip_serializing_if = "Option::is_none")]
    pub private_ip_address: Option<String>,
    /// `Dynamic` (the default) or `Static`.
    #[serde(rename = "privateIPAllocationMethod", skip_serializing_if = "Option::is_none")]
    pub private_ip_allocation_method: Option<String>,
    /// `IPv4` (the default) or `IPv6`.
    #[serde(rename = "privateIPAddressVersion", skip_serializing_if = "Option::is_none")]
    pub private_ip_address_version: Option<String>,
    /// The subnet. Optional, unlike in Azure: a machine at home is in no virtual network until somebody makes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet: Option<SubResource>,
    /// The groups this address is a member of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_security_groups: Option<Vec<SubResource>>,
    /// Whether the NIC's first address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<bool>,
    /// Fields not named here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl NetworkInterface {
    /// Checks the NIC.
    ///
    /// # Errors
    /// The first thing Azure would refuse, with `target`.
    pub fn validate(&self, name: &str) -> Result<(), ArmError> {
        let properties = &self.properties;
        let field = "properties.ipConfigurations";
        let configurations = properties.ip_configurations.as_deref().unwrap_or_default();
        if configurations.is_empty() {
            return Err(ArmError::bad(
                "InvalidRequestFormat",
                format!("Network interface {name} must have at least one IP configuration."),
            )
            .target(field));
        }
        refuse_duplicates(configurations.iter().map(|c| c.name.as_deref().unwrap_or_default()), name, field)?;
        let mut network: Option<Scope> = None;
        for (i, configuration) in configurations.iter().enumerate() {
            let at = format!("{field}[{i}]");
            let subnet = configuration.validate().map_err(|e| e.under(&at))?;
            let Some(parent) = subnet.and_then(|s| s.parent()) else { continue };
            if network.get_or_insert_with(|| parent.clone()) != &parent {
                return Err(ArmError::bad(
                    "NetworkInterfaceIpConfigurationsInDifferentVnets",
                    format!(
                        "All IP configurations of network interface {name} must be in one virtual network."
                    ),
                )
                .target(format!("{at}.properties.subnet.id")));
            }
        }
        if let Some(nsg) = &properties.network_security_group {
            nsg.scope("Microsoft.Network/networkSecurityGroups", "properties.networkSecurityGroup")?;
        }
        if let Some(mac) = properties.mac_address.as_deref().filter(|m| !m.is_empty()) {
            MacAddress::parse(mac)
                .map_err(|e| invalid(format!("The MAC address is invalid: {e}."), "properties.macAddress"))?;
        }
        if let Some(interface) = properties.sekisho.as_ref().and_then(|s| s.interface.clone()) {
            InterfaceName::new(interface).map_err(|e| {
                invalid(format!("The interface name is invalid: {e}."), "properties.sekisho.interface")
            })?;
        }
        Ok(())
    }
}

impl NetworkInterfaceIpConfiguration {
    /// The subnet's id when there is one.
    fn validate(&self) -> Result<Option<Scope>, ArmError> {
        validate_name(self.name.as_deref().unwrap_or_default())?;
        let p = &self.properties;
        let one_of = |value: &Option<String>, field: &str, choices: [&'static str; 2]| {
            let Some(value) = value else { return Ok(choices[0]) };
            choices.into_iter().find(|c| c.eq_ignore_ascii_case(value)).ok_or_else(|| {
                invalid(
                    format!("Value '{value}' of {field} is not one of {}.", choices.join(", ")),
                    &format!("properties.{field}"),
                )
            })
        };
        let method =
            one_of(&p.private_ip_allocation_method, "privateIPAllocationMethod", ["Dynamic", "Static"])?;
        let version = one_of(&p.private_ip_address_version, "privateIPAddressVersion", ["IPv4", "IPv6"])?;
        let text = p.private_ip_address.as_deref().filter(|a| !a.is_empty());
        if method == "Static" && text.is_none() {
            return Err(ArmError::bad(
                "StaticIpAddressRequired",
                "An IP configuration with static allocation must give privateIPAddress.",
            )
            .target("properties.privateIPAddress"));
        }
        if let Some(text) = text {
            let address = text.split('/').next().and_then(|a| a.parse::<IpAddr>().ok());
            if address.is_none_or(|a| a.is_ipv6() != (version == "IPv6")) {
                return Err(ArmError::bad(
                    "InvalidIPAddress",
                    format!("The IP address '{text}' is not a valid {version} address."),
                )
                .target("properties.privateIPAddress"));
            }
        }
        let groups = p.application_security_groups.as_deref().unwrap_or_default();
        if groups.len() > MAX_ASGS_PER_IP_CONFIGURATION {
            return Err(ArmError::bad(
                "ApplicationSecurityGroupsPerIpConfigurationLimitReached",
                format!(
                    "An IP configuration can be in {MAX_ASGS_PER_IP_CONFIGURATION} application security groups."
                ),
            )
            .target("properties.applicationSecurityGroups"));
        }
        for (i, group) in groups.iter().enumerate() {
            group.scope(
                "Microsoft.Network/applicationSecurityGroups",
                &format!("properties.applicationSecurityGroups[{i}]"),
            )?;
        }
        p.subnet
            .as_ref()
            .map(|s| s.scope("Microsoft.Network/virtualNetworks/subnets", "properties.subnet"))
            .transpose()
    }
}

fn invalid(message: String, target: &str) -> ArmError {
    ArmError::bad("InvalidRequestFormat", message).target(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NET: &str =
        "/subscriptions/33333333-3333-3333-3333-333333333333/resourceGroups/rg/providers/Microsoft.Network";

    fn refused(properties: Value) -> (String, String) {
        let nic: NetworkInterface = serde_json::from_value(json!({"properties": properties})).unwrap();
        let error = nic.validate("nic").unwrap_err();
        (error.code, error.target.unwrap_or_default())
    }

    fn configuration(properties: Value) -> Value {
        json!({"ipConfigurations": [{"name": "ipconfig1", "properties": properties}]})
    }

    #[test]
    fn a_nic_of_azures_shape_is_taken_and_survives() {
        let body = json!({"location": "home", "properties": {
            "enableAcceleratedNetworking": true,
            "networkSecurityGroup": {"id": format!("{NET}/networkSecurityGroups/n")},
            "macAddress": "00-0D-3A-1B-C7-21",
            "sekisho": {"interface": "eth0"},
            "ipConfigurations": [
                {"name": "ipconfig1", "properties": {"privateIPAddress": "10.0.0.4", "subnet": {"id": format!("{NET}/virtualNetworks/v/subnets/s")},
                    "applicationSecurityGroups": [{"id": format!("{NET}/applicationSecurityGroups/web")}]}},
                {"name": "ipconfig2", "properties": {"privateIPAddressPrefixLength": 28}},
                {"name": "six", "properties": {"privateIPAddress": "fd00::4", "privateIPAddressVersion": "IPv6"}}]}});
        let nic: NetworkInterface = serde_json::from_value(body.clone()).unwrap();
        nic.validate("nic").unwrap();
        assert_eq!(serde_json::to_value(&nic).unwrap(), body);
    }

    #[test]
    fn a_wrong_nic_is_refused_at_the_field() {
        let at = |field: &str| format!("properties.ipConfigurations[0].properties.{field}");
        assert_eq!(refused(json!({})).1, "properties.ipConfigurations");
        assert_eq!(
            refused(configuration(json!({"privateIPAllocationMethod": "Static"}))),
            ("StaticIpAddressRequired".into(), at("privateIPAddress"))
        );
        assert_eq!(refused(configuration(json!({"privateIPAddress": "fd00::4"}))).0, "InvalidIPAddress");
        assert_eq!(
            refused(configuration(json!({"subnet": {"id": format!("{NET}/virtualNetworks/v")}}))).1,
            at("subnet.id")
        );
        assert_eq!(
            refused(configuration(json!({"applicationSecurityGroups": vec![json!({"id": "x"}); 21]}))).1,
            at("applicationSecurityGroups")
        );
        let mut nic = configuration(json!({}));
        nic["sekisho"] = json!({"interface": "eth0\" drop"});
        assert_eq!(refused(nic).1, "properties.sekisho.interface");
        let mut nic = configuration(json!({}));
        nic["macAddress"] = json!("no");
        assert_eq!(refused(nic).1, "properties.macAddress");
        let two = json!({"ipConfigurations": [
            {"name": "a", "properties": {"subnet": {"id": format!("{NET}/virtualNetworks/v/subnets/s")}}},
            {"name": "b", "properties": {"subnet": {"id": format!("{NET}/virtualNetworks/w/subnets/s")}}}]});
        assert_eq!(refused(two).0, "NetworkInterfaceIpConfigurationsInDifferentVnets");
    }
}
