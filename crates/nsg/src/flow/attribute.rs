//! Which rule decided a flow: the machine's own policy is asked about its first packet. Answers are remembered, because most
//! flows are like others; what is remembered leaves out the source's port unless a rule asks for it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::counters::Untold;
use super::part::FlowPart;
use super::record::{DecidingRule, Nic};
use crate::compile::counter_name;
use crate::evaluate::{Packet, evaluate};
use crate::policy::{Direction, InterfaceName, MacAddress, NicPolicy, NsgPart, Ports, Rule, Stage};

/// The first priority of the rules that every group has.
const DEFAULTS: u16 = 65_000;
/// Answers that are remembered.
const REMEMBERED: usize = 32_768;

/// What decided a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributed {
    /// The generation that was asked.
    pub generation: u64,
    /// The interface.
    pub nic: Arc<Nic>,
    /// The rule; `None` where none was asked.
    pub rule: Option<Arc<DecidingRule>>,
    /// Whether the flow may begin.
    pub allow: bool,
}

type Asked = (usize, Direction, IpAddr, IpAddr, u8, u16, u16, Option<u8>);

fn deciding(stage: &Stage, rule: &Rule) -> DecidingRule {
    DecidingRule {
        nsg: stage.nsg.clone(),
        name: rule.name.clone(),
        is_default: rule.priority >= DEFAULTS,
        access: rule.access.access(),
    }
}

/// A policy that is asked.
#[derive(Debug)]
pub struct Attribution {
    generation: u64,
    nics: Vec<(Arc<Nic>, Option<NicPolicy>)>,
    by_source_port: bool,
    known: HashMap<Asked, (Option<Arc<DecidingRule>>, bool)>,
}

impl Attribution {
    /// The policy of a generation, and which of its interfaces are logged. `present` are the machine's interfaces with
    /// their hardware addresses.
    pub fn new(
        generation: u64,
        policy: &NsgPart,
        flows: &FlowPart,
        present: &[(InterfaceName, Option<MacAddress>)],
    ) -> Self {
        let mut nics = Vec::new();
        for logged in &flows.nics {
            let named = present.iter().find(|(name, _)| *name == logged.interface);
            let same = present.iter().find(|(_, mac)| mac.is_some() && *mac == logged.mac);
            let Some((interface, mac)) = same.or(named) else { continue };
            let own = policy.nics.iter().find(|p| p.interface == *interface).cloned();
            let nic = Nic { interface: interface.clone(), mac: logged.mac.or(*mac) };
            nics.push((Arc::new(nic), own));
        }
        let rules =
            policy.nics.iter().flat_map(|n| n.inbound.iter().chain(&n.outbound)).flat_map(|s| &s.rules);
        let by_source_port = rules.into_iter().any(|r| r.source_ports != Ports::Any);
        Self { generation, nics, by_source_port, known: HashMap::new() }
    }

    /// The index of a logged interface.
    pub fn nic(&self, interface: &str) -> Option<usize> {
        self.nics.iter().position(|(nic, _)| nic.interface.as_str() == interface)
    }

    /// The rules that deny at logged interfaces, by their counters.
    pub fn untold(&self) -> Untold {
        let mut untold = Untold::default();
        for policy in self.nics.iter().filter_map(|(_, policy)| policy.as_ref()) {
            for direction in [Direction::Inbound, Direction::Outbound] {
                for stage in policy.stages(direction) {
                    for rule in &stage.rules {
                        let counter = counter_name(policy, direction, stage, rule).to_string();
                        untold.watch(policy.interface.as_str(), direction, deciding(stage, rule), counter);
                    }
                }
            }
        }
        untold
    }

    /// What decides a packet at a logged interface.
    pub fn ask(&mut self, nic: usize, direction: Direction, packet: &Packet) -> Option<Attributed> {
        let (shown, policy) = self.nics.get(nic)?;
        let answer =
            |rule, allow| Attributed { generation: self.generation, nic: shown.clone(), rule, allow };
        let Some(policy) = policy else { return Some(answer(None, true)) };
        let (from, to) = packet.ports.unwrap_or_default();
        // The ports that keep an interface alive are below 1024.
        let from = if self.by_source_port || from < 1024 { from } else { u16::MAX };
        let key =
            (nic, direction, packet.source, packet.destination, packet.protocol, from, to, packet.icmp_type);
        if let Some((rule, allow)) = self.known.get(&key) {
            return Some(answer(rule.clone(), *allow));
        }
        let verdict = evaluate(policy, direction, packet);
        let stage = verdict.stage.and_then(|s| policy.stages(direction).get(s));
        let rule = stage.zip(verdict.rule).map(|(stage, rule)| Arc::new(deciding(stage, rule)));
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        let answer = answer(rule.clone(), verdict.allow);
        self.known.insert(key, (rule, verdict.allow));
        Some(answer)
    }
}
