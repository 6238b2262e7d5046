//! Whoever guards a port may come in by it, and nobody can tell from a policy whether there is another way. So what was
//! not guarded before is opened for its writer first, from where they are, for ten minutes: an ordinary request, which is
//! seen and can be revoked; or the policy is refused when nothing else listens there. Whoever may not ask for it is given nothing: what is open stands above the security groups.

use std::net::IpAddr;

use sekisho_arm::traits::read_document;
use sekisho_arm::{ArmError, Call, Read, Resource, Scope, Write};
use sekisho_jit::provider::{policies, policy_type, requests};
use sekisho_jit::request::{Event, Grant, OpenPort, Request, State, What};
use sekisho_jit::resources::{Guarded, Policy, PortRule, Protocol};
use sekisho_jit::settings::OnlyWay;
use sekisho_jit::sources::Sources;
use sekisho_link::facts::{Facts, Socket};
use sekisho_link::machine::kind;
use time::Duration;
use uuid::Uuid;

use super::{actor, impossible, note_call, policy_of};
use crate::resources::authorization::{self, LateUniverse};

/// How long.
const OPEN: Duration = Duration::minutes(10);

/// Opens what a policy guards that nothing guarded before. `draft` is about to be kept.
pub(super) async fn open(
    tx: &mut (dyn Write + '_),
    call: &Call,
    universe: &LateUniverse,
    (draft, policy): (&Resource, &Policy),
) -> Result<(), ArmError> {
    let (OnlyWay::OpenForWriter, Some(address)) = (policy.settings.only_way, call.address) else {
        return Ok(());
    };
    let (now, here) = (tx.now(), Sources::address(address));
    let before = policies(tx.as_read(), &Scope::Tenant).await?;
    // Nobody knows what one that cannot be read guards: it may be all of this.
    let Ok(before) = before.iter().map(policy_of).collect::<Result<Vec<Policy>, _>>() else { return Ok(()) };
    let mut grants = Vec::new();
    for machine in &policy.machines {
        let fresh = machine
            .ports
            .iter()
            .filter(|rule| here.is_within(&rule.allowed) && !before.iter().any(|p| guards(p, machine, rule)));
        let fresh: Vec<&PortRule> = fresh.collect();
        // A machine that is not there is not cut off.
        let Some(kept) = (if fresh.is_empty() { None } else { tx.get(&machine.id).await? }) else { continue };
        for rule in fresh {
            grants.push(Grant {
                mark: requests::next_mark(tx).await?,
                machine: kept.id.to_string(),
                what: What::Port(OpenPort {
                    number: rule.number,
                    protocol: rule.protocol,
                    sources: here.clone(),
                }),
                begin: None,
                end: now + OPEN.min(rule.longest),
                seconds: None,
                state: State::Requested,
                problem: None,
            });
        }
    }
    if grants.is_empty() {
        return Ok(());
    }
    let all = authorization::snapshot(tx.as_read(), universe).await?;
    let ask = format!("{}/initiate/action", policy_type());
    if !all.decide(&authorization::acting(call), &ask, &draft.id).is_allowed() {
        return Ok(());
    }
    let mut request = Request {
        id: Uuid::now_v7(),
        policy: draft.id.to_string(),
        requestor: actor(call),
        justification: Some("The port was guarded from here.".to_owned()),
        ticket: None,
        start: now,
        deciding: None,
        reviews: Vec::new(),
        extension: None,
        grants,
        history: Vec::new(),
    };
    request.happen(Event::Approve, now, Some(actor(call)), |_| true).map_err(impossible)?;
    requests::keep(tx, &request).await?;
    note_call(tx, call, "initiate/action", &request).await
}

/// Refuses a policy that says so and would close the only port on which anything listens. What a machine has not told is
/// not there. `draft` is about to be kept.
pub(super) async fn refuse(
    read: &mut (dyn Read + '_),
    (draft, policy): (&Resource, &Policy),
) -> Result<(), ArmError> {
    if policy.settings.only_way != OnlyWay::Refuse {
        return Ok(());
    }
    let mut others = policies(read, &Scope::Tenant).await?;
    let before: Vec<Policy> = others.iter().filter_map(|p| policy_of(p).ok()).collect();
    others.retain(|p| p.id != draft.id);
    // One that cannot be read may guard whatever else there is.
    let Ok(others) = others.iter().map(policy_of).collect::<Result<Vec<Policy>, _>>() else {
        let text =
            "Another policy cannot be read, so that nobody knows what else is open; see 'sekisho doctor'.";
        return Err(ArmError::new(409, "JitOnlyWay", text));
    };
    for (index, machine) in policy.machines.iter().enumerate() {
        let known = |rule: &PortRule| before.iter().any(|p| guards(p, machine, rule));
        // A machine that is not there is not cut off.
        if machine.ports.iter().all(known) || read.get(&machine.id).await?.is_none() {
            continue;
        }
        let facts: Option<Facts> = read_document(read, kind::FACTS, &machine.id.key()).await?;
        let closed =
            |p: &Policy, port| p.rules(&machine.id, port).any(|r| r.protocol.overlaps(Protocol::Tcp));
        let is_open = |socket: &Socket| {
            let elsewhere = socket.address.parse::<IpAddr>().is_ok_and(|a| !a.to_canonical().is_loopback());
            let port = socket.port;
            socket.protocol == "tcp"
                && elsewhere
                && !closed(policy, port)
                && !others.iter().any(|p| closed(p, port))
        };
        if !facts.is_some_and(|facts| facts.sockets.iter().any(is_open)) {
            let name = machine.id.name();
            let text =
                format!("Nothing else listens on '{name}' that would still be open: there were no way in.");
            let at = format!("properties.virtualMachines[{index}]");
            return Err(ArmError::new(409, "JitOnlyWay", text).target(at));
        }
    }
    Ok(())
}

/// Whether a policy guards the port, or a part of it.
fn guards(policy: &Policy, machine: &Guarded, rule: &PortRule) -> bool {
    policy.rules(&machine.id, rule.number).any(|other| other.protocol.overlaps(rule.protocol))
}
