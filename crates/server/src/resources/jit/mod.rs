//! Just-in-time access over ARM: policies about guarded ports, requests for them, and who says yes. The meaning is
//! `sekisho_jit`'s; here it meets people, their rights and proofs, and the log.
//!
//! A policy ([`policies`]) is a row. Its requests are kept beside it: `initiate` makes one ([`initiate`]), the other
//! actions decide on it or end it ([`decisions`]), and [`clock`] ends what is over; [`notices`] tells approvers what waits; [`usage`] is what machines tell of it.
//! [`writer`] keeps whoever guards a port from locking themselves out. What makes a user more than before is for those who
//! may log in to the machine ([`users`]).

pub mod clock;
mod decisions;
mod initiate;
pub mod notices;
mod policies;
pub(crate) mod usage;
mod users;
mod writer;

use sekisho_arm::{ArmError, Call, CallerRef, Read, Registry, Resource, Scope, Write};
use sekisho_jit::provider::{policy_type, requests};
use sekisho_jit::request::{Actor, Event, Impossible, Request};
use sekisho_jit::resources::Policy;
use sekisho_rbac::pim::settings::{Demands, FRESH, ticket_pattern};
use sekisho_rbac::pim::{Brought, Window, admit};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::authorization::LateUniverse;
use super::logged;

/// Adds the type.
pub fn register(registry: &mut Registry, universe: &LateUniverse) {
    registry.add(policies::Policies { universe: universe.clone() });
}

fn policy_of(resource: &Resource) -> Result<Policy, ArmError> {
    Policy::parse(&Value::Object(resource.properties()))
}

/// An id in a request; it was one when it was kept.
fn kept_id(id: &str) -> Result<Scope, ArmError> {
    Scope::parse(id).map_err(|_| ArmError::internal())
}

fn actor(call: &Call) -> Actor {
    Actor { id: call.caller.object_id.clone(), name: call.caller.name.clone() }
}

fn impossible(why: Impossible) -> ArmError {
    ArmError::new(409, "JitRequestStateConflict", format!("{why}."))
}

/// Adds to the log what became of a request, with its reason.
async fn note(
    tx: &mut (dyn Write + '_),
    (caller, correlation): (CallerRef, String),
    verb: &str,
    request: &Request,
) -> Result<(), ArmError> {
    let shown = request.shown();
    let properties = json!({
        "requestId": shown.sekisho.id, "requestor": shown.requestor, "requestorId": shown.sekisho.requestor_id,
        "justification": shown.justification, "ticketNumber": shown.sekisho.ticket_number,
        "virtualMachines": sekisho_arm::resource::shown(&shown.virtual_machines)?,
    });
    let operation = format!("{}/{verb}", policy_type());
    logged(tx, (caller, correlation), (&operation, &request.policy), properties).await
}

async fn note_call(
    tx: &mut (dyn Write + '_),
    call: &Call,
    verb: &str,
    request: &Request,
) -> Result<(), ArmError> {
    note(tx, (call.caller.clone(), call.correlation_id.clone()), verb, request).await
}

/// Whether a request brings what the policy demands for something that is there until an instant, and at most `longest`.
fn check(
    call: &Call,
    policy: &Policy,
    longest: Duration,
    (justification, ticket): (Option<&str>, Option<&str>),
    (from, until): (OffsetDateTime, OffsetDateTime),
    now: OffsetDateTime,
) -> Result<(), ArmError> {
    let pattern = policy.settings.ticket_pattern.as_deref();
    let demands = Demands {
        // It always has one, and may be as short as somebody likes.
        must_end: false,
        longest,
        multi_factor: policy.settings.mfa_max_age.is_some(),
        phishing_resistant: false,
        fresh: policy.settings.mfa_max_age.unwrap_or(FRESH),
        justification: policy.settings.justification,
        ticket: pattern.is_some(),
        ticket_pattern: ticket_pattern(pattern).map_err(|_| ArmError::internal())?,
    };
    let window = Window { from, until: Some(until) };
    let sign_in = &call.proved(now);
    admit(&Brought { justification, ticket, window, sign_in }, &demands, now)
        .map_err(|refusal| refusal.told("JitAccessPolicyValidationFailed"))
}

/// Ends what the same person has open for the same port from the same addresses, in favour of what was just approved.
async fn supersede(tx: &mut (dyn Write + '_), call: &Call, newer: &Request) -> Result<(), ArmError> {
    let now = tx.now();
    let policy = kept_id(&newer.policy)?;
    for mut older in requests::live(tx.as_read(), &policy).await? {
        if older.id == newer.id || older.requestor.id != newer.requestor.id {
            continue;
        }
        let replaced = |g: &sekisho_jit::request::Grant| {
            g.state.is_open() && newer.grants.iter().any(|n| n.state.is_open() && n.is_like(g))
        };
        if older.grants.iter().any(replaced) {
            older.happen(Event::Supersede, now, Some(actor(call)), replaced).map_err(impossible)?;
            requests::keep(tx, &older).await?;
        }
    }
    Ok(())
}

/// A live request of a policy by the name in the body of an action.
async fn named(read: &mut (dyn Read + '_), policy: &Scope, id: &str) -> Result<Request, ArmError> {
    let missing = || {
        let text = format!("There is no request '{id}' of this policy to which something can still happen.");
        ArmError::new(404, "JitRequestNotFound", text)
    };
    let name = uuid::Uuid::try_parse(id).map_err(|_| missing())?;
    requests::named(read, policy, &name).await?.ok_or_else(missing)
}
