//! Whoever guards a port may come in by it, and nobody can tell from a policy whether there is another way. So what was
//! not guarded before is opened for its writer first, from where they are, for ten minutes: an ordinary request, which is
//! seen and can be revoked. Whoever may not ask for it is given nothing: what is open stands above the security groups.

use sekisho_arm::{ArmError, Call, Resource, Scope, Write};
use sekisho_jit::provider::{policies, policy_type, requests};
use sekisho_jit::request::{Event, Grant, Request, State};
use sekisho_jit::resources::{Guarded, Policy, PortRule};
use sekisho_jit::settings::OnlyWay;
use sekisho_jit::sources::Sources;
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
                number: rule.number,
                protocol: rule.protocol,
                sources: here.clone(),
                begin: None,
                end: now + OPEN.min(rule.longest),
                seconds: None,
                state: State::Requested,
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

/// Whether a policy guards the port, or a part of it.
fn guards(policy: &Policy, machine: &Guarded, rule: &PortRule) -> bool {
    policy.rules(&machine.id, rule.number).any(|other| other.protocol.overlaps(rule.protocol))
}
