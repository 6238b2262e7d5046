//! Azure's "effective security rules": what is really enforced at a NIC, in the JSON of
//! `networkInterfaces/{name}/effectiveNetworkSecurityGroups`.

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use crate::policy::{Addresses, Association, PortRange, Ports, Protocol};
use crate::resolve::{Inputs, NicInput, NicResolver, ResolveError, listed};
use crate::resources::{AddressSpec, Side};

/// The `value` array for one of the machine's NICs: one element for each NSG, subnet first, as inbound traffic meets
/// them.
///
/// # Errors
/// As [`crate::resolve::resolve`].
pub fn effective(inputs: &Inputs, nic: &NicInput) -> Result<Value, ResolveError> {
    let resolver = NicResolver { inputs, nic };
    let mut value = Vec::new();
    for (association, nsg) in resolver.attached() {
        let mut rules = Vec::new();
        for rule in listed(nsg)? {
            let spec = &rule.spec;
            let (source, destination) = resolver.sides(nsg, spec)?;
            let kind = if rule.default { "defaultSecurityRules" } else { "securityRules" };
            let mut shown = Map::new();
            shown.insert("name".into(), format!("{kind}/{}", spec.name).into());
            let protocol = if spec.protocol == Protocol::Any { "All" } else { spec.protocol.as_str() };
            shown.insert("protocol".into(), protocol.into());
            show_side(&mut shown, "source", &spec.source, &source);
            show_side(&mut shown, "destination", &spec.destination, &destination);
            shown.insert("access".into(), spec.access.as_str().into());
            shown.insert("priority".into(), spec.priority.into());
            shown.insert("direction".into(), spec.direction.as_str().into());
            rules.push(Value::Object(shown));
        }
        let association = match association {
            Association::Subnet(id) => json!({"subnet": {"id": id}}),
            Association::Nic(id) => json!({"networkInterface": {"id": id}}),
        };
        value.push(json!({
            "networkSecurityGroup": {"id": nsg.id},
            "association": association,
            "effectiveSecurityRules": rules,
        }));
    }
    Ok(Value::Array(value))
}

fn show_side(shown: &mut Map<String, Value>, side: &str, spec: &Side, addresses: &Addresses) {
    let upper = if side == "source" { "Source" } else { "Destination" };
    let ranges: Vec<String> = match &spec.ports {
        Ports::Any => vec!["0-65535".to_owned()],
        Ports::Only(ranges) => {
            ranges.iter().map(|r: &PortRange| format!("{}-{}", r.first(), r.last())).collect()
        }
    };
    if let [range] = ranges.as_slice() {
        shown.insert(format!("{side}PortRange"), range.clone().into());
    }
    shown.insert(format!("{side}PortRanges"), ranges.into());
    let nets = match addresses {
        Addresses::Any => vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()],
        Addresses::Only(nets) => nets.iter().map(IpNet::to_string).collect(),
    };
    match &spec.addresses {
        AddressSpec::Any => {
            shown.insert(format!("{side}AddressPrefix"), "0.0.0.0/0".into());
            shown.insert(format!("{side}AddressPrefixes"), nets.into());
        }
        AddressSpec::Tag(tag) => {
            shown.insert(format!("{side}AddressPrefix"), tag.clone().into());
            shown.insert(format!("{side}AddressPrefixes"), json!([tag]));
            shown.insert(format!("expanded{upper}AddressPrefix"), nets.into());
        }
        AddressSpec::Prefixes(_) => {
            if let [net] = nets.as_slice() {
                shown.insert(format!("{side}AddressPrefix"), net.clone().into());
            }
            shown.insert(format!("{side}AddressPrefixes"), nets.into());
        }
        AddressSpec::Groups(groups) => {
            let ids: Vec<Value> = groups.iter().map(|id| json!({"id": id})).collect();
            shown.insert(format!("{side}ApplicationSecurityGroups"), ids.into());
            shown.insert(format!("{side}AddressPrefixes"), nets.clone().into());
            shown.insert(format!("expanded{upper}AddressPrefix"), nets.into());
        }
    }
}
