//! The services of Azure's platform that a machine in Azure reaches whatever its groups say: "basic infrastructure services like
//! DHCP, DNS, IMDS, and health monitoring are provided through virtualized host IP addresses 168.63.129.16 and
//! 169.254.169.254 [...] these services aren't subject to the configured network security groups unless targeted by service
//! tags specific to each service" (network security groups overview). Only outbound: what comes back belongs to the flow, and
//! outside Azure anybody on the link could put these addresses into the source field. Health probes from 168.63.129.16 have a
//! default rule of their own.
//!
//! Elsewhere than in Azure these are addresses like others, and rules decide. A group may say otherwise in both directions.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diagram::{Family, Field, Interval, IntervalSet, Product};
use crate::evaluate::Packet;

/// DNS, DHCP, the machine's agent, and where health probes come from.
pub const HOST: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
/// The instance metadata service.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The key management service: `azkms.core.windows.net` and `kms.core.windows.net`.
const LICENSING: [Ipv4Addr; 3] =
    [Ipv4Addr::new(20, 118, 99, 224), Ipv4Addr::new(40, 83, 235, 53), Ipv4Addr::new(23, 102, 135, 246)];

/// One of the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PlatformService {
    /// Name resolution: port 53 of the host.
    Dns,
    /// Instance metadata.
    Metadata,
    /// Licences of Windows: port 1688 of three addresses.
    Licensing,
    /// All other ports of the host, which no tag names.
    Host,
}

impl PlatformService {
    /// All of them.
    pub const ALL: [PlatformService; 4] = [Self::Dns, Self::Metadata, Self::Licensing, Self::Host];

    /// The tag by which a rule takes charge of it.
    pub fn tag(self) -> Option<&'static str> {
        match self {
            Self::Dns => Some("AzurePlatformDNS"),
            Self::Metadata => Some("AzurePlatformIMDS"),
            Self::Licensing => Some("AzurePlatformLKM"),
            Self::Host => None,
        }
    }

    /// The service of a tag; tags compare without case.
    pub fn of_tag(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.tag().is_some_and(|own| own.eq_ignore_ascii_case(tag)))
    }

    /// Where it is.
    pub fn addresses(self) -> Vec<IpNet> {
        self.at().iter().map(|a| IpNet::from(IpAddr::V4(*a))).collect()
    }

    fn at(self) -> &'static [Ipv4Addr] {
        match self {
            Self::Dns | Self::Host => &[HOST],
            Self::Metadata => &[METADATA],
            Self::Licensing => &LICENSING,
        }
    }

    /// The packets to it, as what each field must be; fields that are not named may be anything.
    pub(crate) fn packets(self) -> Vec<Vec<(Field, IntervalSet)>> {
        let at = (Field::Destination, IntervalSet::of(self.at().iter().map(|a| a.to_bits().into())));
        let ports = |protocols: &[u128], ports: IntervalSet| {
            vec![
                (Field::Protocol, IntervalSet::of(protocols.iter().copied())),
                at.clone(),
                (Field::DestinationPort, ports),
            ]
        };
        let dns = IntervalSet::of([53]);
        match self {
            Self::Dns => vec![ports(&[6, 17], dns)],
            Self::Metadata => vec![vec![at]],
            Self::Licensing => vec![ports(&[6], IntervalSet::of([1688]))],
            Self::Host => {
                let range = |first, last| Interval { first, last };
                let others = IntervalSet::new([range(0, 5), range(7, 16), range(18, 255)]);
                let not_dns = IntervalSet::new([range(0, 52), range(54, 65535)]);
                vec![ports(&[6, 17], not_dns), vec![(Field::Protocol, others), at.clone()]]
            }
        }
    }

    /// The same as products.
    pub(crate) fn products(self) -> impl Iterator<Item = Product> {
        let product = |fields: Vec<(Field, IntervalSet)>| {
            fields
                .into_iter()
                .fold(Product::everything(Family::V4), |p, (field, values)| p.with(field, values))
        };
        self.packets().into_iter().map(product)
    }

    /// Whether a packet goes to it.
    pub fn is_reached_by(self, packet: &Packet) -> bool {
        let IpAddr::V4(to) = packet.destination else { return false };
        let port = packet.ports.map(|(_, port)| port);
        let udp_or_tcp = matches!(packet.protocol, 6 | 17);
        self.at().contains(&to)
            && match self {
                Self::Dns => udp_or_tcp && port == Some(53),
                Self::Metadata => true,
                Self::Licensing => packet.protocol == 6 && port == Some(1688),
                Self::Host => !udp_or_tcp || port.is_some_and(|port| port != 53),
            }
    }
}

/// What a group says of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlatformExceptions {
    /// They are reached in Azure, and rules decide elsewhere.
    #[default]
    Auto,
    /// They are reached, wherever the machine runs.
    Azure,
    /// Rules decide, wherever the machine runs. Of several groups at an interface this one counts.
    None,
}

impl PlatformExceptions {
    /// Reads the value in any case.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [("auto", Self::Auto), ("azure", Self::Azure), ("none", Self::None)];
        all.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, value)| value)
    }

    /// The services that are reached, of a machine that runs in Azure or not, whose rules name some of the tags.
    pub fn reached<'a>(
        self,
        in_azure: bool,
        named: impl Iterator<Item = &'a str>,
    ) -> BTreeSet<PlatformService> {
        if self == Self::None || (self == Self::Auto && !in_azure) {
            return BTreeSet::new();
        }
        let named: BTreeSet<PlatformService> = named.filter_map(PlatformService::of_tag).collect();
        PlatformService::ALL.into_iter().filter(|service| !named.contains(service)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagram::Point;

    #[test]
    fn a_service_is_the_same_packets_as_fields_and_as_code() {
        for service in PlatformService::ALL {
            for to in ["168.63.129.16", "169.254.169.254", "20.118.99.224", "10.0.0.1"] {
                for (protocol, port) in
                    [(6, 53), (6, 80), (17, 53), (17, 67), (6, 1688), (17, 1688), (132, 53), (1, 0)]
                {
                    let packet = Packet {
                        source: "10.0.0.4".parse().unwrap(),
                        destination: to.parse().unwrap(),
                        protocol,
                        ports: (protocol != 1).then_some((5000, port)),
                        icmp_type: None,
                    };
                    let point = Point::of(&packet).unwrap();
                    let inside = service.products().any(|p| p.contains(|field| point.value(field)));
                    assert_eq!(service.is_reached_by(&packet), inside, "{service:?} {packet}");
                }
            }
        }
    }

    #[test]
    fn a_tag_takes_charge_of_its_service_and_none_means_none() {
        let reached =
            |said: PlatformExceptions, azure, named: &[&str]| said.reached(azure, named.iter().copied());
        assert_eq!(reached(PlatformExceptions::Auto, true, &[]).len(), 4);
        assert!(reached(PlatformExceptions::Auto, false, &[]).is_empty());
        assert!(reached(PlatformExceptions::None, true, &[]).is_empty());
        let left = reached(PlatformExceptions::Azure, false, &["azureplatformdns", "Storage"]);
        assert!(!left.contains(&PlatformService::Dns) && left.contains(&PlatformService::Host));
    }
}
