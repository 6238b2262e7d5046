//! A diagnosis of one packet says what judging the packet says.

use ipnet::IpNet;
use proptest::prelude::*;
use sekisho_nsg::diagnose::{Traffic, diagnose};
use sekisho_nsg::evaluate::{Packet, evaluate, keeps_alive, matches};
use sekisho_nsg::policy::{
    Addresses, Direction, InterfaceName, NicPolicy, PortRange, Ports, Protocol, RuleAction,
};

use crate::random::{packets, stage};

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
    ) {
        let policy = NicPolicy {
            guarded: Vec::new(),
            platform: Default::default(),
            existing_flows: Default::default(),
            logged: false,
            mac: None,
            interface: InterfaceName::new("eth0").unwrap(),
            inbound: stages,
            outbound: Vec::new(),
        };
        for packet in packets.iter().filter(|p| !keeps_alive(Direction::Inbound, p)) {
            let Some(traffic) = traffic(packet) else { continue };
            // A packet without ports is asked about as if it had every one.
            let asked = diagnose(&policy, Direction::Inbound, &traffic).unwrap();
            let verdict = evaluate(&policy, Direction::Inbound, packet);
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
