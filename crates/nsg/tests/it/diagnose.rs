//! A diagnosis of one packet says what judging the packet says.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use proptest::prelude::*;
use sekisho_nsg::diagnose::{Divided, Traffic, diagnose};
use sekisho_nsg::evaluate::{Packet, evaluate, keeps_alive, matches};
use sekisho_nsg::platform::{HOST, PlatformService};
use sekisho_nsg::policy::{
    Addresses, Association, Direction, InterfaceName, NicPolicy, PortRange, Ports, Protocol, Rule,
    RuleAction, Stage,
};

use crate::random::{packets, platform, stage};

const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// The traffic that is this one packet; `None` for protocols that rules have no word for.
fn traffic(packet: &Packet) -> Option<Traffic> {
    let protocol = match packet.protocol {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        50 => Protocol::Esp,
        51 => Protocol::Ah,
        _ => return None,
    };
    let one = |address| Addresses::Only(vec![IpNet::from(address)]);
    let port = |port: Option<u16>| {
        port.map_or(Ports::Any, |p| Ports::Only(PortRange::new(p, p).into_iter().collect()))
    };
    Some(Traffic {
        protocol,
        source: one(packet.source),
        source_ports: port(packet.ports.map(|(source, _)| source)),
        destination: one(packet.destination),
        destination_ports: port(packet.ports.map(|(_, destination)| destination)),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_diagnosis_of_one_packet_agrees_with_the_verdict(
        stages in prop::collection::vec(stage(), 0..3),
        packets in packets(),
        platform in platform(),
        to in prop::sample::select(vec![None, Some(HOST), Some(METADATA)]),
        direction in prop::sample::select(vec![Direction::Inbound, Direction::Outbound]),
    ) {
        let policy = NicPolicy {
            guarded: Vec::new(),
            platform,
            existing_flows: Default::default(),
            logged: false,
            mac: None,
            interface: InterfaceName::new("eth0").unwrap(),
            inbound: stages.clone(),
            outbound: stages,
        };
        let aimed = packets.into_iter().map(|p| Packet {
            destination: to.filter(|_| p.source.is_ipv4()).map_or(p.destination, IpAddr::V4),
            ..p
        });
        for packet in aimed.filter(|p| !keeps_alive(direction, p)) {
            let packet = &packet;
            let Some(traffic) = traffic(packet) else { continue };
            // A packet without ports is asked about as if it had every one, of which not all go to the same service.
            if packet.ports.is_none() && matches!(packet.protocol, 6 | 17) && to == Some(HOST) {
                continue;
            }
            let asked = diagnose(&policy, direction, &traffic).unwrap();
            let verdict = evaluate(&policy, direction, packet);
            let passes = asked.iter().all(|a| a.stage.action(a.decides) != RuleAction::Deny);
            prop_assert_eq!(passes, verdict.allow, "{:?}", packet);
            prop_assert_eq!(asked.last().and_then(|a| a.decides), verdict.rule);
            for row in asked.iter().flat_map(|a| &a.rules) {
                let all = [row.protocol, row.source, row.source_port, row.destination, row.destination_port];
                prop_assert_eq!(all.iter().all(|m| *m), matches(row.rule, packet), "{:?} {:?}", row.rule, packet);
            }
        }
    }
}

#[test]
fn traffic_of_which_a_part_goes_to_azures_platform_has_an_answer_only_where_all_of_it_fares_alike() {
    let stage = |access| Stage {
        nsg: "nsg".to_owned(),
        association: Association::Nic("nic".to_owned()),
        audit: false,
        rules: vec![Rule {
            name: "everything".to_owned(),
            priority: 100,
            access,
            protocol: Protocol::Any,
            source: Addresses::Any,
            destination: Addresses::Any,
            source_ports: Ports::Any,
            destination_ports: Ports::Any,
        }],
    };
    let everywhere = Traffic {
        protocol: Protocol::Any,
        source: Addresses::Any,
        source_ports: Ports::Any,
        destination: Addresses::Any,
        destination_ports: Ports::Any,
    };
    let host =
        Traffic { destination: Addresses::Only(vec![IpNet::from(IpAddr::V4(HOST))]), ..everywhere.clone() };
    let policy = |access, platform: &[PlatformService]| NicPolicy {
        guarded: Vec::new(),
        platform: platform.iter().copied().collect(),
        existing_flows: Default::default(),
        logged: false,
        mac: None,
        interface: InterfaceName::new("eth0").unwrap(),
        inbound: Vec::new(),
        outbound: vec![stage(access)],
    };
    let all = PlatformService::ALL;
    let denied = policy(RuleAction::Deny, &all);
    assert_eq!(diagnose(&denied, Direction::Outbound, &host), Ok(Vec::new()));
    assert_eq!(diagnose(&denied, Direction::Outbound, &everywhere), Err(Divided::ByPlatform));
    assert_eq!(
        diagnose(&policy(RuleAction::Allow, &all), Direction::Outbound, &everywhere).unwrap().len(),
        1
    );
    let without_names = policy(RuleAction::Deny, &[PlatformService::Host]);
    assert_eq!(diagnose(&without_names, Direction::Outbound, &host), Err(Divided::ByPlatform));
}
