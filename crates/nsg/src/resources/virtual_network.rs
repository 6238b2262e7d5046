//! `Microsoft.Network/virtualNetworks` and their subnets: here a network is a plan of addresses, from which the tag
//! `VirtualNetwork` takes its meaning, and a place that an NSG can be attached to.

use ipnet::IpNet;
use schemars::JsonSchema;
use sekisho_arm::ArmError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{SubResource, refuse_duplicates, validate_name};

/// A virtual network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualNetwork {
    /// Address space and subnets.
    pub properties: VirtualNetworkProperties,
    /// Envelope fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The properties of a virtual network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualNetworkProperties {
    /// The prefixes that belong to the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_space: Option<AddressSpace>,
    /// The subnets, which are also child resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnets: Option<Vec<Subnet>>,
    /// Fields not named here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A list of prefixes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AddressSpace {
    /// Prefixes of both families.
    pub address_prefixes: Vec<String>,
    /// Fields not named here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A subnet, alone or inside its network's body.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Subnet {
    /// The subnet's name in its network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The subnet's id; made by the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Prefixes and attachments.
    pub properties: SubnetProperties,
    /// Fields not named here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The properties of a subnet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SubnetProperties {
    /// The one prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_prefix: Option<String>,
    /// Several prefixes, at most one of each family in Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_prefixes: Option<Vec<String>>,
    /// The NSG that filters every NIC of the subnet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_security_group: Option<SubResource>,
    /// Fields not named here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl VirtualNetwork {
    /// The address space as prefixes.
    ///
    /// # Errors
    /// `InvalidCIDRNotation`, or `InvalidRequestFormat` when there is none.
    pub fn prefixes(&self) -> Result<Vec<IpNet>, ArmError> {
        let field = "properties.addressSpace.addressPrefixes";
        let texts = self.properties.address_space.as_ref().map_or(&[][..], |space| &space.address_prefixes);
        if texts.is_empty() {
            return Err(ArmError::bad(
                "InvalidRequestFormat",
                "A virtual network must have at least one address prefix.",
            )
            .target(field));
        }
        texts.iter().enumerate().map(|(i, t)| parse_cidr(t, &format!("{field}[{i}]"))).collect()
    }

    /// Checks the address space and every subnet in the body.
    ///
    /// # Errors
    /// The first thing Azure would refuse, with `target`.
    pub fn validate(&self, name: &str) -> Result<(), ArmError> {
        let space = self.prefixes()?;
        for (i, net) in space.iter().enumerate() {
            if space[..i].iter().any(|other| overlap(net, other)) {
                return Err(ArmError::bad(
                    "VnetAddressSpacesOverlap",
                    format!(
                        "The address prefix {net} of virtual network {name} overlaps another of its prefixes."
                    ),
                )
                .target(format!("properties.addressSpace.addressPrefixes[{i}]")));
            }
        }
        let subnets = self.properties.subnets.as_deref().unwrap_or_default();
        let names = subnets.iter().map(|s| s.name.as_deref().unwrap_or_default());
        refuse_duplicates(names, name, "properties.subnets")?;
        for (i, subnet) in subnets.iter().enumerate() {
            subnet
                .validate(name, &space, &subnets[..i])
                .map_err(|e| e.under(&format!("properties.subnets[{i}]")))?;
        }
        Ok(())
    }
}

impl Subnet {
    /// The subnet's prefixes.
    ///
    /// # Errors
    /// `InvalidCIDRNotation`, or `InvalidRequestFormat` when there is none or both forms are given.
    pub fn prefixes(&self) -> Result<Vec<IpNet>, ArmError> {
        let single = self.properties.address_prefix.as_deref().filter(|p| !p.is_empty());
        let several = self.properties.address_prefixes.as_deref().filter(|p| !p.is_empty());
        match (single, several) {
            (Some(text), None) => Ok(vec![parse_cidr(text, "properties.addressPrefix")?]),
            (None, Some(texts)) => texts
                .iter()
                .enumerate()
                .map(|(i, t)| parse_cidr(t, &format!("properties.addressPrefixes[{i}]")))
                .collect(),
            // Clients that read a subnet and write it back send both forms of one value.
            (Some(one), Some([same])) if one == same => {
                Ok(vec![parse_cidr(one, "properties.addressPrefix")?])
            }
            (None, None) => {
                Err(ArmError::bad("InvalidRequestFormat", "A subnet must have an address prefix.")
                    .target("properties.addressPrefix"))
            }
            (Some(_), Some(_)) => Err(ArmError::bad(
                "InvalidRequestFormat",
                "A subnet cannot have both addressPrefix and addressPrefixes.",
            )
            .target("properties.addressPrefixes")),
        }
    }

    /// Checks the subnet against its network's address space and its sisters. A sister of the same name is the
    /// subnet's own earlier version and does not count.
    ///
    /// # Errors
    /// `InvalidResourceName`, `InvalidCIDRNotation`, `NetcfgSubnetRangeOutsideVnet`, `NetcfgSubnetRangesOverlap`, or a
    /// bad reference.
    pub fn validate(&self, network: &str, space: &[IpNet], sisters: &[Subnet]) -> Result<(), ArmError> {
        let name = self.name.as_deref().unwrap_or_default();
        validate_name(name)?;
        let target = if self.properties.address_prefixes.as_ref().is_some_and(|p| !p.is_empty()) {
            "properties.addressPrefixes"
        } else {
            "properties.addressPrefix"
        };
        let mut seen: Vec<IpNet> = Vec::new();
        for sister in sisters {
            if !sister.name.as_deref().unwrap_or_default().eq_ignore_ascii_case(name) {
                seen.extend(sister.prefixes()?);
            }
        }
        for net in self.prefixes()? {
            if !space.iter().any(|s| s.contains(&net)) {
                return Err(ArmError::bad(
                    "NetcfgSubnetRangeOutsideVnet",
                    format!(
                        "Subnet '{name}' is not valid because its IP address range is outside the IP address range \
                         of virtual network '{network}'."
                    ),
                )
                .target(target));
            }
            if seen.iter().any(|other| overlap(&net, other)) {
                return Err(ArmError::bad(
                    "NetcfgSubnetRangesOverlap",
                    format!(
                        "Subnet '{name}' is not valid because its IP address range overlaps with that of an existing \
                         subnet in virtual network '{network}'."
                    ),
                )
                .target(target));
            }
            seen.push(net);
        }
        if let Some(nsg) = &self.properties.network_security_group {
            nsg.scope("Microsoft.Network/networkSecurityGroups", "properties.networkSecurityGroup")?;
        }
        Ok(())
    }
}

/// Reads a prefix that must be in canonical form.
///
/// # Errors
/// `InvalidCIDRNotation` in Azure's words, with the given target.
pub fn parse_cidr(text: &str, target: &str) -> Result<IpNet, ArmError> {
    let error = |hint: String| {
        ArmError::bad(
            "InvalidCIDRNotation",
            format!("The address prefix {text} has an invalid CIDR notation.{hint}"),
        )
        .target(target)
    };
    let net: IpNet = text.parse().map_err(|_| error(String::new()))?;
    if net.addr() == net.network() {
        return Ok(net);
    }
    Err(error(format!(" For the given prefix length, the address prefix should be {}.", net.trunc())))
}

fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(body: Value) -> Result<(), ArmError> {
        super::super::from_body::<VirtualNetwork>(&body)?.validate("vnet")
    }

    fn refused(body: Value) -> (String, String) {
        let error = check(body).unwrap_err();
        (error.code, error.target.unwrap_or_default())
    }

    #[test]
    fn subnets_lie_inside_the_network_and_apart_from_each_other() {
        let body = |subnets: Value| {
            json!({"location": "home", "properties": {"addressSpace": {"addressPrefixes":
            ["10.0.0.0/16", "fd00::/48"]}, "subnets": subnets}})
        };
        let subnet =
            |name: &str, prefix: &str| json!({"name": name, "properties": {"addressPrefix": prefix}});
        check(body(json!([
            subnet("a", "10.0.0.0/24"),
            subnet("b", "10.0.1.0/24"),
            subnet("c", "fd00::/64")
        ])))
        .unwrap();
        check(body(
            json!([{"name": "dual", "properties": {"addressPrefixes": ["10.0.0.0/24", "fd00::/64"]}}]),
        ))
        .unwrap();
        let at = |i: usize| format!("properties.subnets[{i}].properties.addressPrefix");
        assert_eq!(
            refused(body(json!([subnet("a", "10.1.0.0/24")]))),
            ("NetcfgSubnetRangeOutsideVnet".into(), at(0))
        );
        assert_eq!(
            refused(body(json!([subnet("a", "10.0.0.0/28"), subnet("b", "10.0.0.0/27")]))),
            ("NetcfgSubnetRangesOverlap".into(), at(1))
        );
        assert_eq!(refused(body(json!([subnet("a", "10.0.0.1/24")]))), ("InvalidCIDRNotation".into(), at(0)));
        assert_eq!(refused(body(json!([subnet("a b", "10.0.0.0/24")]))).0, "InvalidResourceName");
        assert_eq!(
            refused(body(json!([subnet("a", "10.0.0.0/24"), subnet("A", "10.0.1.0/24")]))).0,
            "DuplicateResourceName"
        );
        assert_eq!(refused(body(json!([{"name": "a"}]))).1, at(0));
    }

    #[test]
    fn a_network_needs_prefixes_that_do_not_overlap() {
        let body = |prefixes: Value| json!({"properties": {"addressSpace": {"addressPrefixes": prefixes}}});
        assert_eq!(refused(body(json!([]))).1, "properties.addressSpace.addressPrefixes");
        assert_eq!(refused(json!({"properties": {}})).0, "InvalidRequestFormat");
        assert_eq!(refused(body(json!(["10.0.0.0/8", "10.1.0.0/16"]))).0, "VnetAddressSpacesOverlap");
        assert_eq!(refused(body(json!(["10.0.0.0"]))).0, "InvalidCIDRNotation");
    }

    #[test]
    fn a_subnet_may_replace_its_own_earlier_version() {
        let subnet: Subnet =
            serde_json::from_value(json!({"name": "A", "properties": {"addressPrefix": "10.0.0.0/24"}}))
                .unwrap();
        let old: Subnet =
            serde_json::from_value(json!({"name": "a", "properties": {"addressPrefix": "10.0.0.0/25"}}))
                .unwrap();
        subnet.validate("vnet", &["10.0.0.0/16".parse().unwrap()], &[old]).unwrap();
    }
}
