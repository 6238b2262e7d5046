//! From the database to each machine's part: the union of what all policies guard on it, and of what is open.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use schemars::JsonSchema;
use sekisho_arm::{ArmError, Read, Scope};
use sekisho_link::machine::{PartCompiler, interfaces};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use super::{doubt, policies, policy_type, requests};
use crate::elevation::{Elevation, Given, Gives};
use crate::part::{GuardedNic, GuardedPort, JitPart, OpenGrant, PART, Transport};
use crate::request::{Grant, OpenPort, What};
use crate::resources::{Policy, Protocol};
use crate::settings::{Existing, Settings};

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
        let mut raised: BTreeMap<String, Vec<Elevation>> = BTreeMap::new();
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
                    match &grant.what {
                        What::Port(port) => {
                            let idle = policy.settings.idle_close.map(|d| d.whole_seconds());
                            open.entry(id.key()).or_default().extend(opened(
                                grant,
                                port,
                                request.start,
                                idle,
                            ));
                        }
                        What::Login(_) => {}
                        What::Raised(_) => {
                            let given = given(grant, request.start, &policy.settings);
                            raised.entry(id.key()).or_default().extend(given);
                        }
                    }
                }
            }
        }
        let mut out = BTreeMap::new();
        for (key, (machine, ports)) in machines {
            let mut nics = Vec::new();
            // Without a port there is nothing to guard.
            let all = if ports.is_empty() { Vec::new() } else { interfaces(read, &machine).await? };
            for nic in all {
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
            let mut elevations = raised.remove(&key).unwrap_or_default();
            elevations.sort_by_key(|e| e.mark);
            let part = JitPart { nics, grants, elevations };
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

/// The longest that a grant may be there, in seconds, whatever a machine's clocks say.
fn longest(grant: &Grant, start: OffsetDateTime) -> i64 {
    (grant.end - start).whole_seconds().max(0) + 1
}

fn opened(
    grant: &Grant,
    port: &OpenPort,
    start: OffsetDateTime,
    idle: Option<i64>,
) -> impl Iterator<Item = OpenGrant> {
    transports(port.protocol).iter().map(move |protocol| OpenGrant {
        mark: grant.mark,
        protocol: *protocol,
        port: port.number,
        sources: port.sources.prefixes().to_vec(),
        end: grant.end_ms(),
        longest: longest(grant, start),
        idle,
    })
}

/// What a user is given. What the policy offers no more was ended when that was written.
fn given(grant: &Grant, start: OffsetDateTime, settings: &Settings) -> Option<Elevation> {
    let raised = grant.what.raised()?;
    let gives = match &raised.gives {
        Gives::Sudo(sudo) => Given::Sudo { sudo: sudo.clone(), existing: settings.sudo.as_ref()?.existing },
        Gives::Account => Given::Account(settings.account.as_ref()?.keeping),
    };
    let (user, end) = (raised.user.clone(), grant.end_ms());
    Some(Elevation { mark: grant.mark, user, gives, end, longest: longest(grant, start) })
}

/// A port that a machine begins or ceases to guard, or to open, or what it begins or ceases to give a user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitAccessEffect")]
pub struct AccessEffect {
    /// `guarded`, `unguarded`, `opened` or `closed`; `given` or `taken` for a user.
    pub kind: &'static str,
    /// The interface on the machine; absent for what is opened and closed, which concerns all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// `tcp` or `udp`; absent for what a user is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<&'static str>,
    /// The port; absent for what a user is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The user, for what one is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// `sudo`, or `account`: the account itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gives: Option<&'static str>,
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
            protocol: Some(word(*protocol)),
            port: Some(*port),
            user: None,
            gives: None,
            sources: Vec::new(),
        }
    };
    let grant = |kind| {
        move |g: &OpenGrant| AccessEffect {
            kind,
            interface: None,
            protocol: Some(word(g.protocol)),
            port: Some(g.port),
            user: None,
            gives: None,
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
    let raised = |kind| {
        move |e: &Elevation| AccessEffect {
            kind,
            interface: None,
            protocol: None,
            port: None,
            user: Some(e.user.to_string()),
            gives: Some(match e.gives {
                Given::Sudo { .. } => "sudo",
                Given::Account(_) => "account",
            }),
            sources: Vec::new(),
        }
    };
    let without = |part: &JitPart, e: &Elevation| !part.elevations.iter().any(|o| o.mark == e.mark);
    all.extend(before.elevations.iter().filter(|e| without(after, e)).map(raised("taken")));
    all.extend(after.elevations.iter().filter(|e| without(before, e)).map(raised("given")));
    all
}
