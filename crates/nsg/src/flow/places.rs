//! Where the ends of a flow are, in groups: what an interface or an address belongs to. Pure; who may know of what is decided by
//! whoever fills [`Places`].
//!
//! The same address may stand for different machines in different networks, so it is looked for in the network of the
//! interface that saw the flow first, and beyond it only where there is no doubt.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use sekisho_arm::Scope;
use serde::{Deserialize, Serialize};

use super::record::Record;
use crate::policy::{Direction, InterfaceName, MacAddress};

/// By what machines are put together. Those that are in no such group are shown by the next that they are in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Grouping {
    /// By application security group (the first by name), subnet, security group, resource group.
    #[default]
    ApplicationSecurityGroup,
    /// By subnet, security group, resource group.
    Subnet,
    /// By security group, subnet, resource group.
    NetworkSecurityGroup,
}

/// What a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
pub enum PlaceKind {
    /// An application security group.
    ApplicationSecurityGroup,
    /// A subnet.
    Subnet,
    /// A security group.
    NetworkSecurityGroup,
    /// Machines of a resource group that are in none of these.
    ResourceGroup,
    /// One machine.
    VirtualMachine,
    /// The addresses of a service tag.
    ServiceTag,
    /// Addresses that the Internet does not carry, of nobody who is known.
    PrivateAddresses,
    /// All other addresses.
    Internet,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// What it is.
    pub kind: PlaceKind,
    /// The id of a resource, or the name of a service tag; nothing else has one.
    pub name: String,
}

impl Place {
    /// What it is called in questions and answers: the id of a resource, or `ServiceTag/Name`, `PrivateAddresses`, `Internet`.
    pub fn id(&self) -> String {
        match self.kind {
            PlaceKind::ServiceTag => format!("ServiceTag/{}", self.name),
            PlaceKind::PrivateAddresses => "PrivateAddresses".to_owned(),
            PlaceKind::Internet => "Internet".to_owned(),
            _ => self.name.clone(),
        }
    }

    fn of(kind: PlaceKind, id: &Scope) -> Self {
        Self { kind, name: id.to_string() }
    }
}

/// An interface whose place may be known.
#[derive(Debug, Clone)]
pub struct PlacedNic {
    /// Its machine.
    pub machine: Scope,
    /// Its name on the machine.
    pub interface: Option<InterfaceName>,
    /// Its hardware address.
    pub mac: Option<MacAddress>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its application security groups.
    pub groups: Vec<Scope>,
    /// Its subnet.
    pub subnet: Option<Scope>,
    /// The security group at it, or at its subnet.
    pub nsg: Option<Scope>,
}

impl PlacedNic {
    fn place(&self, by: Grouping) -> Place {
        let asg =
            || self.groups.iter().min_by_key(|g| g.key()).map(|g| (PlaceKind::ApplicationSecurityGroup, g));
        let subnet = || self.subnet.as_ref().map(|s| (PlaceKind::Subnet, s));
        let nsg = || self.nsg.as_ref().map(|n| (PlaceKind::NetworkSecurityGroup, n));
        let found = match by {
            Grouping::ApplicationSecurityGroup => asg().or_else(subnet).or_else(nsg),
            Grouping::Subnet => subnet().or_else(nsg),
            Grouping::NetworkSecurityGroup => nsg().or_else(subnet),
        };
        found.map_or_else(|| of_resource_group(&self.machine), |(kind, id)| Place::of(kind, id))
    }

    fn network(&self) -> Option<Scope> {
        self.subnet.as_ref().and_then(Scope::parent)
    }
}

fn of_resource_group(machine: &Scope) -> Place {
    let group = machine.group_scope().unwrap_or(Scope::Tenant);
    Place::of(PlaceKind::ResourceGroup, &group)
}

/// One end of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Its place.
    pub place: Place,
    /// The machine there, by its lower-cased id, where it is known.
    pub machine: Option<String>,
}

/// What is known of places.
#[derive(Debug, Clone, Default)]
pub struct Places {
    by: Grouping,
    /// The place whose machines are shown one by one.
    expanded: Option<String>,
    nics: Vec<PlacedNic>,
    of_machine: HashMap<String, Vec<usize>>,
    of_address: HashMap<IpAddr, Vec<usize>>,
    /// Subnets, each in its network.
    subnets: Vec<(Scope, Vec<IpNet>)>,
    tags: Prefixes,
}

impl Places {
    /// Knows nothing yet. `expanded` is the [`Place::id`] of the group whose machines are shown.
    pub fn new(by: Grouping, expanded: Option<String>) -> Self {
        Self { by, expanded, ..Self::default() }
    }

    /// Learns of an interface.
    pub fn add_nic(&mut self, nic: PlacedNic) {
        let at = self.nics.len();
        self.of_machine.entry(nic.machine.key()).or_default().push(at);
        for address in &nic.addresses {
            self.of_address.entry(*address).or_default().push(at);
        }
        self.nics.push(nic);
    }

    /// Learns of a subnet.
    pub fn add_subnet(&mut self, id: Scope, prefixes: Vec<IpNet>) {
        self.subnets.push((id, prefixes));
    }

    /// Learns of a service tag. Of several that hold an address, the one with the longest prefix counts, then the one that was
    /// learnt first.
    pub fn add_tag(&mut self, name: &str, prefixes: &[IpNet]) {
        prefixes.iter().for_each(|prefix| self.tags.insert(*prefix, name));
    }

    /// The ends of a flow that a machine told of, the one that began it first.
    pub fn ends(&self, machine: &str, record: &Record) -> (End, End) {
        let flow = &record.flow;
        let own = self.own(machine, record);
        let place = own.map_or_else(
            || {
                Scope::parse(machine)
                    .map_or_else(|_| self.of_nobody(flow.source), |id| of_resource_group(&id))
            },
            |nic| nic.place(self.by),
        );
        let local = self.shown(End { place, machine: Some(machine.to_owned()) });
        let remote = if flow.direction == Direction::Inbound { flow.source } else { flow.destination };
        let remote = self.shown(self.remote(own.and_then(PlacedNic::network).as_ref(), remote));
        if flow.direction == Direction::Inbound { (remote, local) } else { (local, remote) }
    }

    fn own(&self, machine: &str, record: &Record) -> Option<&PlacedNic> {
        let own = || self.of_machine.get(machine).into_iter().flatten().filter_map(|at| self.nics.get(*at));
        let mac = record.nic.mac;
        own()
            .find(|nic| mac.is_some() && nic.mac == mac)
            .or_else(|| own().find(|nic| nic.interface.as_ref() == Some(&record.nic.interface)))
    }

    fn remote(&self, network: Option<&Scope>, address: IpAddr) -> End {
        let nics: Vec<&PlacedNic> =
            self.of_address.get(&address).into_iter().flatten().filter_map(|at| self.nics.get(*at)).collect();
        let here = || nics.iter().find(|nic| nic.network().as_ref() == network);
        let only = || if let [one] = nics.as_slice() { Some(one) } else { None };
        match here().or_else(only) {
            Some(nic) => End { place: nic.place(self.by), machine: Some(nic.machine.key()) },
            None => End { place: self.of_subnet(network, address), machine: None },
        }
    }

    fn of_subnet(&self, network: Option<&Scope>, address: IpAddr) -> Place {
        let holds = |prefixes: &[IpNet]| prefixes.iter().any(|prefix| prefix.contains(&address));
        let all: Vec<&Scope> =
            self.subnets.iter().filter(|(_, prefixes)| holds(prefixes)).map(|(id, _)| id).collect();
        let here = || all.iter().find(|id| id.parent().as_ref() == network);
        let only = || if let [one] = all.as_slice() { Some(one) } else { None };
        here().or_else(only).map_or_else(|| self.of_nobody(address), |id| Place::of(PlaceKind::Subnet, id))
    }

    fn of_nobody(&self, address: IpAddr) -> Place {
        if let Some(tag) = self.tags.find(address) {
            return Place { kind: PlaceKind::ServiceTag, name: tag.to_owned() };
        }
        let kind = if is_private(address) { PlaceKind::PrivateAddresses } else { PlaceKind::Internet };
        Place { kind, name: String::new() }
    }

    fn shown(&self, end: End) -> End {
        let is_expanded = self.expanded.as_ref().is_some_and(|e| e.eq_ignore_ascii_case(&end.place.id()));
        match &end.machine {
            Some(machine) if is_expanded => {
                let known = self.of_machine.get(machine).and_then(|nics| self.nics.get(*nics.first()?));
                let name = known.map_or_else(|| machine.clone(), |nic| nic.machine.to_string());
                End { place: Place { kind: PlaceKind::VirtualMachine, name }, ..end }
            }
            _ => end,
        }
    }
}

/// Whether the Internet does not carry an address (RFC 6890).
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || a == 0
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
        }
    }
}

/// Names by prefix, of which there may be a hundred thousand with a few dozen lengths.
#[derive(Debug, Clone, Default)]
struct Prefixes {
    names: HashMap<IpNet, String>,
    /// By family, the longest first.
    lengths: [Vec<u8>; 2],
}

impl Prefixes {
    fn insert(&mut self, prefix: IpNet, name: &str) {
        let [four, six] = &mut self.lengths;
        let lengths = if prefix.addr().is_ipv4() { four } else { six };
        if let Err(at) = lengths.binary_search_by(|l| prefix.prefix_len().cmp(l)) {
            lengths.insert(at, prefix.prefix_len());
        }
        self.names.entry(prefix.trunc()).or_insert_with(|| name.to_owned());
    }

    fn find(&self, address: IpAddr) -> Option<&str> {
        let [four, six] = &self.lengths;
        let mut lengths = if address.is_ipv4() { four } else { six }.iter();
        lengths.find_map(|l| self.names.get(&IpNet::new(address, *l).ok()?.trunc())).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::flow;
    use super::super::record::{Flow, Nic};
    use super::*;

    const GROUP: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers";

    fn id(rest: &str) -> Scope {
        Scope::parse(&format!("{GROUP}/{rest}")).unwrap()
    }

    fn machine(name: &str) -> Scope {
        id(&format!("Microsoft.Compute/virtualMachines/{name}"))
    }

    fn nic(name: &str, address: &str, network: Option<&str>, asg: Option<&str>) -> PlacedNic {
        PlacedNic {
            machine: machine(name),
            interface: InterfaceName::new("eth0").ok(),
            mac: None,
            addresses: vec![address.parse().unwrap()],
            groups: asg
                .map(|g| id(&format!("Microsoft.Network/applicationSecurityGroups/{g}")))
                .into_iter()
                .collect(),
            subnet: network.map(|n| id(&format!("Microsoft.Network/virtualNetworks/{n}/subnets/s"))),
            nsg: None,
        }
    }

    fn places(expanded: Option<&str>) -> Places {
        let mut places = Places::new(Grouping::default(), expanded.map(str::to_owned));
        places.add_nic(nic("web", "10.0.0.4", Some("one"), Some("web")));
        places.add_nic(nic("db", "10.0.0.5", Some("one"), Some("db")));
        places.add_nic(nic("twin", "10.0.0.5", Some("two"), Some("twin")));
        places.add_nic(nic("alone", "192.168.7.9", None, None));
        places.add_subnet(
            id("Microsoft.Network/virtualNetworks/one/subnets/s"),
            vec!["10.0.0.0/24".parse().unwrap()],
        );
        places.add_subnet(
            id("Microsoft.Network/virtualNetworks/two/subnets/s"),
            vec!["10.0.0.0/24".parse().unwrap()],
        );
        places.add_tag("Office", &["198.51.100.0/24".parse().unwrap()]);
        places.add_tag("Desk", &["198.51.100.7/32".parse().unwrap()]);
        places.add_tag("Late", &["198.51.100.7/32".parse().unwrap()]);
        places
    }

    fn ends(places: &Places, of: &str, other: &str) -> (String, Option<String>) {
        let direction = Direction::Outbound;
        let destination: IpAddr = other.parse().unwrap();
        let flow = Flow { direction, destination, ..flow() };
        let nic = Nic { interface: InterfaceName::new("eth0").unwrap(), mac: None };
        let record = Record { generation: 1, nic: nic.into(), rule: None, process: None, flow };
        let (from, to) = places.ends(&machine(of).key(), &record);
        assert_eq!(from.machine, Some(machine(of).key()));
        let back = Record {
            flow: Flow { direction: Direction::Inbound, source: destination, ..record.flow.clone() },
            ..record
        };
        assert_eq!(places.ends(&machine(of).key(), &back), (to.clone(), from));
        let short = |text: String| {
            text.rsplit("providers/").next().unwrap().rsplit("Microsoft.").next().unwrap().to_owned()
        };
        (short(to.place.id()), to.machine.map(short))
    }

    #[test]
    fn an_address_is_looked_for_in_its_own_network_first_and_elsewhere_only_without_doubt() {
        let places = places(None);
        let of = |machine: &str, other: &str| ends(&places, machine, other).0;
        assert_eq!(of("web", "10.0.0.5"), "Network/applicationSecurityGroups/db");
        assert_eq!(of("twin", "10.0.0.5"), "Network/applicationSecurityGroups/twin");
        assert_eq!(of("alone", "10.0.0.4"), "Network/applicationSecurityGroups/web");
        assert_eq!(of("alone", "10.0.0.5"), "PrivateAddresses", "it could be either");
        assert_eq!(of("web", "10.0.0.77"), "Network/virtualNetworks/one/subnets/s");
        assert_eq!(of("alone", "10.0.0.77"), "PrivateAddresses");
        assert_eq!(
            of("web", "192.168.7.9"),
            "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg"
        );
    }

    #[test]
    fn addresses_of_nobody_are_those_of_the_narrowest_tag_or_private_or_the_internets() {
        let places = places(None);
        let of = |other: &str| ends(&places, "web", other).0;
        assert_eq!(of("198.51.100.7"), "ServiceTag/Desk");
        assert_eq!(of("198.51.100.8"), "ServiceTag/Office");
        assert_eq!(of("203.0.113.1"), "Internet");
        assert_eq!(of("172.16.3.4"), "PrivateAddresses");
        assert_eq!(of("100.64.0.1"), "PrivateAddresses");
        assert_eq!(of("224.0.0.251"), "PrivateAddresses");
        let places = &places;
        assert_eq!(places.of_nobody("fd00::1".parse().unwrap()).kind, PlaceKind::PrivateAddresses);
        assert_eq!(places.of_nobody("2606:4700::1111".parse().unwrap()).kind, PlaceKind::Internet);
        assert_eq!(places.of_nobody("::ffff:10.0.0.1".parse().unwrap()).kind, PlaceKind::PrivateAddresses);
    }

    #[test]
    fn machines_are_shown_one_by_one_only_in_the_group_that_is_expanded() {
        let group = format!("{GROUP}/Microsoft.Network/applicationsecuritygroups/DB");
        let places = places(Some(&group));
        assert_eq!(ends(&places, "web", "10.0.0.5").0, "Compute/virtualMachines/db");
        assert_eq!(ends(&places, "db", "10.0.0.4").0, "Network/applicationSecurityGroups/web");
        assert_eq!(ends(&places, "web", "10.0.0.4").0, "Network/applicationSecurityGroups/web");
    }
}
