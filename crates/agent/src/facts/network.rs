//! Interfaces, addresses and routes of the agent's own network namespace.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;
use sekisho_link::facts::{Nic, Route};

use super::read;

pub(super) fn nics() -> Vec<Nic> {
    let Ok(addresses) = getifaddrs() else { return Vec::new() };
    let mut out: BTreeMap<String, Nic> = BTreeMap::new();
    for entry in addresses {
        if entry.flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            continue;
        }
        let name = entry.interface_name.clone();
        let nic = out.entry(name.clone()).or_insert_with(|| Nic {
            name,
            up: entry.flags.contains(InterfaceFlags::IFF_UP),
            ..Nic::default()
        });
        if let Some(link) =
            entry.address.as_ref().and_then(SockaddrStorage::as_link_addr).and_then(|l| l.addr())
        {
            nic.mac = link.map(|b| format!("{b:02x}")).join(":");
        }
        if let Some(address) = with_prefix(entry.address.as_ref(), entry.netmask.as_ref()) {
            nic.addresses.push(address);
        }
    }
    for nic in out.values_mut() {
        nic.addresses.sort();
        nic.mtu = mtu(&nic.name);
    }
    out.into_values().filter(|n| !n.mac.is_empty() && n.mac != "00:00:00:00:00:00").collect()
}

/// `/sys/class/net` shows the namespace that sysfs was mounted in, which need not be ours; then the MTU is unknown.
fn mtu(name: &str) -> u32 {
    fs::read_to_string(format!("/sys/class/net/{name}/mtu"))
        .ok()
        .and_then(|t| t.trim().parse().ok())
        .unwrap_or(0)
}

fn with_prefix(address: Option<&SockaddrStorage>, mask: Option<&SockaddrStorage>) -> Option<String> {
    let (address, mask) = (address?, mask?);
    if let (Some(a), Some(m)) = (address.as_sockaddr_in(), mask.as_sockaddr_in()) {
        return Some(format!("{}/{}", a.ip(), u32::from(m.ip()).count_ones()));
    }
    let (a, m) = (address.as_sockaddr_in6()?, mask.as_sockaddr_in6()?);
    Some(format!("{}/{}", a.ip(), u128::from(m.ip()).count_ones()))
}

pub(super) fn routes() -> Vec<Route> {
    let mut out = parse_v4(&read("/proc/self/net/route"));
    out.extend(parse_v6(&read("/proc/self/net/ipv6_route")));
    out
}

/// `/proc/net/route`: addresses are hexadecimal words in the machine's own byte order.
fn parse_v4(text: &str) -> Vec<Route> {
    let address = |word: &str| u32::from_str_radix(word, 16).ok().map(|n| Ipv4Addr::from(n.to_ne_bytes()));
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let f: Vec<&str> = line.split_whitespace().collect();
            let [interface, destination, gateway, _, _, _, metric, mask, ..] = f.as_slice() else {
                return None;
            };
            let (destination, gateway, mask) = (address(destination)?, address(gateway)?, address(mask)?);
            Some(Route {
                destination: format!("{destination}/{}", u32::from(mask).count_ones()),
                gateway: if gateway.is_unspecified() { String::new() } else { gateway.to_string() },
                interface: (*interface).to_owned(),
                metric: metric.parse().unwrap_or(0),
            })
        })
        .collect()
}

/// `/proc/net/ipv6_route`: loopback, local and multicast routes are the kernel's own business.
fn parse_v6(text: &str) -> Vec<Route> {
    let address = |word: &str| u128::from_str_radix(word, 16).ok().map(Ipv6Addr::from);
    text.lines()
        .filter_map(|line| {
            let f: Vec<&str> = line.split_whitespace().collect();
            let [destination, prefix, _, _, gateway, metric, _, _, flags, interface] = f.as_slice() else {
                return None;
            };
            let (destination, gateway) = (address(destination)?, address(gateway)?);
            let flags = u32::from_str_radix(flags, 16).ok()?;
            const RTF_UP: u32 = 0x1;
            const RTF_LOCAL: u32 = 0x8000_0000;
            if flags & RTF_UP == 0
                || flags & RTF_LOCAL != 0
                || *interface == "lo"
                || destination.is_multicast()
            {
                return None;
            }
            Some(Route {
                destination: format!("{destination}/{}", u8::from_str_radix(prefix, 16).ok()?),
                gateway: if gateway.is_unspecified() { String::new() } else { gateway.to_string() },
                interface: (*interface).to_owned(),
                metric: u32::from_str_radix(metric, 16).unwrap_or(0),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_read_as_people_write_them() {
        let v4 = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                  eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
                  eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let r = parse_v4(v4);
        assert_eq!(
            (r[0].destination.as_str(), r[0].gateway.as_str(), r[0].metric),
            ("0.0.0.0/0", "10.0.0.1", 100)
        );
        assert_eq!((r[1].destination.as_str(), r[1].gateway.as_str()), ("10.0.0.0/24", ""));
        let v6 = "fd000000000000000000000000000000 40 00000000000000000000000000000000 00 \
                  00000000000000000000000000000000 00000100 00000001 00000000 00000001 eth0\n\
                  00000000000000000000000000000001 80 00000000000000000000000000000000 00 \
                  00000000000000000000000000000000 00000000 00000002 00000000 80200001 lo\n";
        let r = parse_v6(v6);
        assert_eq!(r.len(), 1);
        assert_eq!((r[0].destination.as_str(), r[0].metric), ("fd00::/64", 256));
    }
}
