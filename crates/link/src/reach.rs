//! Hosts near a machine to which it leads (Azure's IP-based connection): a list that is held on the machine, where only its
//! administrators can change it, and that agents tell of among their facts.
//!
//! One line for each network: `10.0.5.0/24 22 3389 5900-5910`. What stands behind `#` means nothing. Whatever a list says,
//! nothing leads to the machine's own loopback, or to link-local addresses, where clouds keep what machines are trusted with.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Largest list that is read, in bytes, and most of its lines that name a network.
pub const MAX_BYTES: usize = 64 << 10;
const MAX_LINES: usize = 200;
/// Most ports, and ranges of ports, of a network.
const MAX_PORTS: usize = 50;

/// Ports from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Ports {
    first: u16,
    last: u16,
}

/// A network to whose hosts a machine leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "MachineReach")]
pub struct Reach {
    /// The network, an address with the length of its prefix.
    #[schemars(with = "String")]
    pub network: IpNet,
    /// The ports, each `22` or `5900-5910`.
    pub ports: Vec<Ports>,
}

/// Why a list cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReachError {
    /// A line is no network with ports.
    #[error("line {0} is no network with 1 to {MAX_PORTS} ports, such as '10.0.5.0/24 22 5900-5910'")]
    Line(usize),
    /// There are too many lines.
    #[error("there are more than {MAX_LINES} networks")]
    TooMany,
}

impl Ports {
    /// Whether a port is one of them.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl FromStr for Ports {
    type Err = ();

    fn from_str(text: &str) -> Result<Ports, ()> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0).ok_or(());
        let (first, last) = (port(first)?, port(last)?);
        if first <= last { Ok(Ports { first, last }) } else { Err(()) }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl TryFrom<String> for Ports {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Ports, &'static str> {
        text.parse().map_err(|()| "ports are such as '22' or '5900-5910'")
    }
}

impl From<Ports> for String {
    fn from(ports: Ports) -> String {
        ports.to_string()
    }
}

impl FromStr for Reach {
    type Err = ();

    fn from_str(line: &str) -> Result<Reach, ()> {
        let mut words = line.split_ascii_whitespace();
        let network = words.next().ok_or(())?;
        let network = network.parse::<IpNet>().or_else(|_| network.parse::<IpAddr>().map(IpNet::from));
        let ports = words.map(str::parse).collect::<Result<Vec<Ports>, ()>>()?;
        if ports.is_empty() || ports.len() > MAX_PORTS {
            return Err(());
        }
        Ok(Reach { network: network.map_err(|_| ())?.trunc(), ports })
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.network)?;
        self.ports.iter().try_for_each(|ports| write!(f, " {ports}"))
    }
}

/// Reads a list. One wrong line makes all of it none.
///
/// # Errors
/// [`ReachError`].
pub fn parse(text: &str) -> Result<Vec<Reach>, ReachError> {
    let mut all = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        all.push(line.parse().map_err(|()| ReachError::Line(index + 1))?);
        if all.len() > MAX_LINES {
            return Err(ReachError::TooMany);
        }
    }
    Ok(all)
}

/// Whether a list leads to an address and port.
pub fn leads_to(list: &[Reach], to: SocketAddr) -> bool {
    let (address, port) = (to.ip().to_canonical(), to.port());
    let listed = |reach: &Reach| {
        reach.network.contains(&address) && reach.ports.iter().any(|ports| ports.contains(port))
    };
    !is_never(address) && list.iter().any(listed)
}

fn is_never(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    link_local || address.is_loopback() || address.is_unspecified() || address.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leads(list: &str, to: &str) -> bool {
        leads_to(&parse(list).unwrap(), to.parse().unwrap())
    }

    #[test]
    fn a_list_leads_to_the_ports_of_its_networks_and_nowhere_else() {
        let list = "# databases\n10.0.5.0/24 5432 6000-6002 # and more\n\nfd00:5::7 22\n";
        for to in ["10.0.5.9:5432", "10.0.5.255:6001", "[fd00:5::7]:22", "[::ffff:10.0.5.9]:5432"] {
            assert!(leads(list, to), "{to}");
        }
        for to in ["10.0.6.9:5432", "10.0.5.9:5433", "10.0.5.9:6003", "[fd00:5::8]:22", "[fd00:5::7]:23"] {
            assert!(!leads(list, to), "{to}");
        }
    }

    #[test]
    fn no_list_leads_to_the_machine_itself_or_to_what_a_cloud_trusts_it_with() {
        let list = "0.0.0.0/0 1-65535\n::/0 1-65535";
        assert!(leads(list, "192.0.2.1:80") && leads(list, "[2001:db8::1]:80"));
        for to in [
            "127.0.0.1:22",
            "[::1]:22",
            "[::ffff:127.0.0.1]:22",
            "169.254.169.254:80",
            "[fe80::1]:22",
            "0.0.0.0:22",
            "[::]:22",
            "224.0.0.1:22",
            "[ff02::1]:22",
            "255.255.255.255:22",
        ] {
            assert!(!leads(list, to), "{to}");
        }
    }

    #[test]
    fn one_wrong_line_makes_the_list_none() {
        for (text, line) in [
            ("10.0.5.0/24", 1),
            ("10.0.5.0/33 22", 1),
            ("10.0.5.0/24 22\nhome 22", 2),
            ("10.0.5.0/24 0", 1),
            ("10.0.5.0/24 30-22", 1),
            ("10.0.5.0/24 22,23", 1),
        ] {
            assert_eq!(parse(text), Err(ReachError::Line(line)), "{text}");
        }
        assert_eq!(parse(&"10.0.5.0/24 22\n".repeat(MAX_LINES + 1)), Err(ReachError::TooMany));
    }

    proptest! {
        #[test]
        fn what_is_read_means_the_same_after_it_was_told(text in "[0-9a-f:./# \\n-]{0,80}") {
            if let Ok(list) = parse(&text) {
                let told = serde_json::to_string(&list).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Vec<Reach>>(&told).unwrap(), &list);
                let written: String = list.iter().map(|reach| format!("{reach}\n")).collect();
                prop_assert_eq!(parse(&written), Ok(list));
            }
        }
    }
}
