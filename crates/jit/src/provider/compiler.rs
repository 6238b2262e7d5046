//! From the database to each machine's part: the union of what all policies guard on it, and of what is open.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use schemars::JsonSchema;
use sekisho_arm::{ArmError, Read, Scope};
use sekisho_link::machine::{PartCompiler, interfaces};
use serde::Serialize;
use serde_json::Value;

use super::{doubt, policies, policy_type, requests};
use crate::part::{GuardedNic, GuardedPort, JitPart, OpenGrant, PART, Transport};
use crate::request::Grant;
use crate::resources::{Policy, Protocol};
use crate::settings::Existing;

/// Makes the `jit` part of desired documents.
pub struct Compiler;

/// The ports of a machine and what happens to connections on them.
pub(super) type Ports = BTreeMap<(Transport, u16), Existing>;

pub(super) fn transports(protocol: Protocol) -> &'static [Transport] {
    match protocol {
        Protocol::Tcp => &[Transport::Tcp],
        Protocol::Udp => &[Transport::Udp],
        Protocol::Any => &[Transport::Tcp, Transport::Udp],
    }
}

#[async_trait]
impl PartCompiler for Compiler {
    fn part(&self) -> &'static str {
        PART
    }

    fn watches(&self, kind: &str) -> bool {
        kind == policy_type().key() || kind == requests::LIVE || kind == "microsoft.network/networkinterfaces"
    }

    async fn compile(&self, read: &mut dyn Read) -> Result<BTreeMap<String, Value>, ArmError> {
        let mut machines: BTreeMap<String, (Scope, Ports)> = BTreeMap::new();
        let mut open: BTreeMap<String, Vec<OpenGrant>> = BTreeMap::new();
        for kept in policies(read, &Scope::Tenant).await? {
            // It was checked when it was written.
            let policy = match Policy::parse(&Value::Object(kept.properties())) {
                Ok(policy) => policy,
                Err(why) => {
                    let (policy, why) = (kept.id.to_string(), why.message);
                    tracing::error!(policy, why, "a just-in-time policy cannot be read; nothing of it opens");
                    for (key, (id, ports)) in doubt::guarded(read, &kept).await? {
                        guard(&mut machines.entry(key).or_insert_with(|| (id, Ports::new())).1, ports);
                    }
                    continue;
                }
            };
            for machine in &policy.machines {
                let entry = machines.entry(machine.id.key());
                let (_, ports) = entry.or_insert_with(|| (machine.id.clone(), Ports::new()));
                let own = machine.ports.iter().flat_map(|port| {
                    transports(port.protocol).iter().map(|transport| (*transport, port.number))
                });
                guard(ports, own.map(|port| (port, policy.settings.existing)));
            }
            for request in requests::live(read, &kept.id).await? {
                for grant in request.grants.iter().filter(|g| g.state.is_open()) {
                    let Ok(id) = Scope::parse(&grant.machine) else { continue };
                    let idle = policy.settings.idle_close.map(|d| d.whole_seconds());
                    open.entry(id.key()).or_default().extend(opened(grant, request.start, idle));
                }
            }
        }
        let mut out = BTreeMap::new();
        for (key, (machine, ports)) in machines {
            let mut nics = Vec::new();
            for nic in interfaces(read, &machine).await? {
                let properties = nic.properties();
                let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
                let interface = text(properties.get("sekisho").and_then(|s| s.get("interface")));
                let Some(interface) = interface else { continue };
                let ports = ports
                    .iter()
                    .map(|((protocol, port), existing)| GuardedPort {
                        protocol: *protocol,
                        port: *port,
                        existing: *existing,
                    })
                    .collect();
                nics.push(GuardedNic { mac: text(properties.get("macAddress")), interface, ports });
            }
            nics.sort_by(|a, b| a.interface.cmp(&b.interface));
            let mut grants = open.remove(&key).unwrap_or_default();
            grants.retain(|g| ports.contains_key(&(g.protocol, g.port)));
            grants.sort_by_key(|g| (g.protocol, g.port, g.mark));
            let part = JitPart { nics, grants };
            out.insert(key, serde_json::to_value(part).map_err(|_| ArmError::internal())?);
        }
        Ok(out)
    }

    fn changes(&self, before: Option<&Value>, after: Option<&Value>) -> Vec<Value> {
        let part = |v: Option<&Value>| {
            v.and_then(|v| serde_json::from_value::<JitPart>(v.clone()).ok()).unwrap_or_default()
        };
        let all = changes(&part(before), &part(after));
        all.iter().filter_map(|effect| serde_json::to_value(effect).ok()).collect()
    }
}

/// Adds guarded ports. Where two policies differ, the stricter one holds.
fn guard(ports: &mut Ports, more: impl IntoIterator<Item = ((Transport, u16), Existing)>) {
    for (port, wanted) in more {
        let existing = ports.entry(port).or_insert(wanted);
        *existing = (*existing).min(wanted);
    }
}

fn opened(grant: &Grant, start: time::OffsetDateTime, idle: Option<i64>) -> impl Iterator<Item = OpenGrant> {
    let longest = (grant.end - start).whole_seconds().max(0) + 1;
    transports(grant.protocol).iter().map(move |protocol| OpenGrant {
        mark: grant.mark,
        protocol: *protocol,
        port: grant.number,
        sources: grant.sources.prefixes().to_vec(),
        end: grant.end_ms(),
        longest,
        idle,
    })
}

/// A port that a machine begins or ceases to guard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitAccessEffect")]
pub struct AccessEffect {
    /// `guarded`, `unguarded`, `opened` or `closed`.
    pub kind: &'static str,
    /// The interface on the machine; absent for what is opened and closed, which concerns all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// The port.
    pub port: u16,
    /// From where, for what is opened and closed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
}

fn word(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}

fn changes(before: &JitPart, after: &JitPart) -> Vec<AccessEffect> {
    let guarded = |part: &JitPart| -> BTreeSet<(String, Transport, u16)> {
        let of = |nic: &GuardedNic| {
            let name = nic.interface.clone();
            nic.ports.iter().map(move |p| (name.clone(), p.protocol, p.port)).collect::<Vec<_>>()
        };
        part.nics.iter().flat_map(of).collect()
    };
    let (old, new) = (guarded(before), guarded(after));
    let guard = |kind| {
        move |(interface, protocol, port): &(String, Transport, u16)| AccessEffect {
            kind,
            interface: Some(interface.clone()),
            protocol: word(*protocol),
            port: *port,
            sources: Vec::new(),
        }
    };
    let grant = |kind| {
        move |g: &OpenGrant| AccessEffect {
            kind,
            interface: None,
            protocol: word(g.protocol),
            port: g.port,
            sources: g.sources.iter().map(ToString::to_string).collect(),
        }
    };
    let lacks = |part: &JitPart, g: &OpenGrant| {
        !part.grants.iter().any(|o| (o.mark, o.protocol, o.port) == (g.mark, g.protocol, g.port))
    };
    let mut all: Vec<AccessEffect> = old.difference(&new).map(guard("unguarded")).collect();
    all.extend(new.difference(&old).map(guard("guarded")));
    all.extend(before.grants.iter().filter(|g| lacks(after, g)).map(grant("closed")));
    all.extend(after.grants.iter().filter(|g| lacks(before, g)).map(grant("opened")));
    all
}
