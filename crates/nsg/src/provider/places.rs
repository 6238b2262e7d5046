//! What is known of the places of interfaces and addresses, from the resources that whoever asks may read.

use std::collections::HashMap;

use sekisho_arm::{ArmError, Listing, Read, Scope};

use super::{lookup, tag_sets, tags, type_name};
use crate::flow::places::{Grouping, PlacedNic, Places};
use crate::policy::{InterfaceName, MacAddress};

const NIC_READ: &str = "Microsoft.Network/networkInterfaces/read";
const NETWORK_READ: &str = "Microsoft.Network/virtualNetworks/read";
const TAG_READ: &str = "Sekisho.Network/serviceTags/read";
const TAGS_READ: &str = "Microsoft.Network/locations/serviceTags/read";

/// Reads it. `around` is where is asked: a service tag means something in its own subscription only. Of what `may` does not
/// allow nothing becomes known, not even that it exists.
///
/// # Errors
/// Those of the database.
pub async fn places(
    read: &mut dyn Read,
    around: &Scope,
    (by, expanded): (Grouping, Option<String>),
    may: &(dyn Fn(&str, &Scope) -> bool + Sync),
) -> Result<Places, ArmError> {
    let mut places = Places::new(by, expanded);
    let mut behind = HashMap::new();
    for network in read.list(&Listing::of(&Scope::Tenant, &type_name("virtualNetworks"))).await? {
        let Some(own) = network.id.resource() else { continue };
        let readable = may(NETWORK_READ, &network.id);
        for subnet in lookup::network(&network)?.properties.subnets.iter().flatten() {
            let Ok(id) = own.child("subnets", subnet.name.as_deref().unwrap_or_default()) else { continue };
            let id = Scope::from(id);
            let group = subnet.properties.network_security_group.as_ref().and_then(|g| g.id.as_deref());
            if let (true, Some(Ok(group))) = (readable, group.map(Scope::parse)) {
                behind.insert(id.clone(), group);
            }
            if let (true, Ok(prefixes)) = (readable, subnet.prefixes()) {
                places.add_subnet(id, prefixes);
            }
        }
    }
    for resource in read.list(&Listing::of(&Scope::Tenant, &type_name("networkInterfaces"))).await? {
        let Some(machine) = lookup::reference(&resource, "virtualMachine") else { continue };
        if !may(NIC_READ, &resource.id) {
            continue;
        }
        let nic = lookup::nic(&resource)?;
        let interface = nic.properties.sekisho.as_ref().and_then(|s| s.interface.clone());
        let subnet = lookup::subnets_of(&nic).into_iter().next();
        let nsg = lookup::reference(&resource, "networkSecurityGroup");
        places.add_nic(PlacedNic {
            machine,
            interface: interface.and_then(|name| InterfaceName::new(name).ok()),
            mac: nic.properties.mac_address.as_deref().and_then(|mac| MacAddress::parse(mac).ok()),
            addresses: lookup::addresses_of(&nic),
            groups: lookup::groups_of(&nic).into_iter().collect(),
            nsg: nsg.or_else(|| subnet.as_ref().and_then(|s| behind.get(s)).cloned()),
            subnet,
        });
    }
    let here = around.subscription_scope().unwrap_or(Scope::Tenant);
    for (tag, prefixes) in tags::readable(read, &here, &|tag| may(TAG_READ, tag)).await? {
        places.add_tag(&tag, &prefixes);
    }
    if may(TAGS_READ, &here) {
        for tag in tag_sets::all(read).await?.into_values() {
            places.add_tag(&tag.name, &tag.prefixes());
        }
    }
    Ok(places)
}
