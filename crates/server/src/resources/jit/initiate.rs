//! `initiate`: somebody asks for ports of machines to be opened, and to be more than a user there for a time.

use sekisho_arm::resource::typed;
use sekisho_arm::{ArmError, Call, Resource, Scope, Write, duration};
use sekisho_jit::elevation::{Gives, Raised};
use sekisho_jit::provider::requests;
use sekisho_jit::request::{Deciding, Event, Grant, Login, OpenPort, Request, State, What};
use sekisho_jit::resources::{
    InitiateElevations, InitiatePort, InitiateRequest, MAX_PORTS, Policy, PortRule, machine_id, sources,
};
use sekisho_jit::settings::Approval;
use sekisho_jit::sources::Sources;
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{actor, check, impossible, policy_of, supersede, users};
use crate::resources::authorization::LateUniverse;

/// How much longer than allowed an instant may be away: clients count by clocks of their own.
const SLACK: Duration = Duration::minutes(1);

fn refused(code: &str, why: String) -> ArmError {
    ArmError::bad(code, why)
}

/// Makes a request. It is open at once where nobody needs to say yes.
pub(super) async fn initiate(
    tx: &mut (dyn Write + '_),
    call: &Call,
    (universe, target): (&LateUniverse, &Resource),
    body: &Value,
) -> Result<Request, ArmError> {
    let asked: InitiateRequest = typed(body, "$")?;
    let policy = policy_of(target)?;
    let now = tx.now();
    let grants = grants(tx, call, universe, &policy, &asked).await?;
    if let Some(most) = policy.settings.max_concurrent {
        let live = requests::live(tx.as_read(), &target.id).await?.len();
        if live >= most {
            let text = format!("{live} requests of this policy are open or wait, and {most} may at once.");
            return Err(ArmError::new(409, "JitAccessPolicyBusy", text));
        }
    }
    let mut request = Request {
        id: Uuid::now_v7(),
        policy: target.id.to_string(),
        requestor: actor(call),
        justification: asked.justification,
        ticket: asked.sekisho.ticket_number,
        start: now,
        deciding: policy.settings.approval.as_ref().and_then(|a| deciding(a, now)),
        reviews: Vec::new(),
        extension: None,
        grants,
        history: Vec::new(),
    };
    let event = if request.deciding.is_some() { Event::Wait } else { Event::Approve };
    request.happen(event, now, Some(actor(call)), |_| true).map_err(impossible)?;
    if event == Event::Approve {
        supersede(tx, call, &request).await?;
    }
    Ok(request)
}

/// How what is asked for now is decided on; `None` in hours in which nobody needs to.
pub(super) fn deciding(approval: &Approval, now: OffsetDateTime) -> Option<Deciding> {
    let automatic = approval.automatic.iter().any(|window| window.holds(now));
    let deciding =
        Deciding { required: approval.required, group: approval.group, before: now + approval.within };
    (!automatic).then_some(deciding)
}

async fn grants(
    tx: &mut (dyn Write + '_),
    call: &Call,
    universe: &LateUniverse,
    policy: &Policy,
    asked: &InitiateRequest,
) -> Result<Vec<Grant>, ArmError> {
    let (now, brought) = (tx.now(), (asked.justification.as_deref(), asked.sekisho.ticket_number.as_deref()));
    let mut grants: Vec<Grant> = Vec::new();
    for (index, machine) in asked.virtual_machines.iter().enumerate() {
        let at = format!("virtualMachines[{index}]");
        let id = machine_id(&machine.id, &at)?;
        let mut wanted = Vec::new();
        for (index, port) in machine.ports.iter().enumerate() {
            wanted.extend(ports(call, policy, (&id, port), now, &format!("{at}.ports[{index}]"))?);
        }
        if let Some(asked) = &machine.sekisho {
            wanted.extend(elevations(tx, call, universe, policy, (&id, asked, &at)).await?);
        }
        let kept = tx.get(&id).await?.ok_or_else(|| ArmError::not_found(&id))?;
        for Wanted { what, longest, end, seconds, at } in wanted {
            check(call, policy, longest, brought, (now, end), now)?;
            let grant = Grant {
                mark: requests::next_mark(tx).await?,
                machine: kept.id.to_string(),
                what,
                begin: None,
                end,
                seconds,
                state: State::Requested,
                problem: None,
            };
            if grants.iter().any(|g| g.is_like(&grant)) {
                let text = "A request names each port of a machine, and each user, once.";
                return Err(ArmError::invalid_content(text).target(at));
            }
            grants.push(grant);
        }
    }
    if grants.is_empty() || grants.len() > MAX_PORTS {
        let text = format!("A request is about 1 to {MAX_PORTS} ports and users.");
        return Err(ArmError::invalid_content(text).target("virtualMachines"));
    }
    Ok(grants)
}

/// Something that is asked for.
struct Wanted {
    what: What,
    /// The longest that it may be asked for.
    longest: Duration,
    end: OffsetDateTime,
    /// For how long it was asked when that counts from the approval.
    seconds: Option<i64>,
    /// Where the request says so.
    at: String,
}

/// What a request says of a port: one for each rule about it.
fn ports(
    call: &Call,
    policy: &Policy,
    (id, port): (&Scope, &InitiatePort),
    now: OffsetDateTime,
    at: &str,
) -> Result<Vec<Wanted>, ArmError> {
    let rules: Vec<&PortRule> = policy.rules(id, port.number).collect();
    if rules.is_empty() {
        let text = format!("Port {} of {id} is not guarded by this policy.", port.number);
        return Err(refused("JitPortNotInPolicy", text).target(format!("{at}.number")));
    }
    let (instant, length) = (port.end_time_utc.as_deref(), port.duration.as_deref());
    let wanted = |rule: &PortRule| {
        let sources = asked_sources(call, port, rule, at)?;
        let (end, seconds) = asked_end((instant, length), rule.longest, now, at)?;
        let what = What::Port(OpenPort { number: rule.number, protocol: rule.protocol, sources });
        Ok(Wanted { what, longest: rule.longest, end, seconds, at: at.to_owned() })
    };
    rules.into_iter().map(wanted).collect()
}

/// What a request says of a user of a machine. The account comes before what it may do.
async fn elevations(
    tx: &mut (dyn Write + '_),
    call: &Call,
    universe: &LateUniverse,
    policy: &Policy,
    (id, asked, at): (&Scope, &InitiateElevations, &str),
) -> Result<Vec<Wanted>, ArmError> {
    if !policy.machines.iter().any(|m| m.id == *id) {
        let text = format!("{id} is not in this policy.");
        return Err(refused("JitMachineNotInPolicy", text).target(format!("{at}.id")));
    }
    let offered = |what: &str| {
        let text = format!("The policy lets nobody ask for {what}.");
        refused("JitElevationNotInPolicy", text).target(format!("{at}.sekisho"))
    };
    let raises = asked.account.is_some() || asked.sudo.is_some();
    let user = users::of(tx, call, universe, (id, asked.user.as_deref(), at)).await?;
    if raises && user.is_root() {
        let text = "Nothing is given to root, who has everything.";
        return Err(ArmError::invalid_content(text).target(format!("{at}.sekisho.user")));
    }
    let now = tx.now();
    let mut wanted = Vec::new();
    if let Some(account) = &asked.account {
        let offer = policy.settings.account.as_ref().ok_or_else(|| offered("an account"))?;
        let at = format!("{at}.sekisho.account");
        let given = (account.end_time_utc.as_deref(), account.duration.as_deref());
        let (end, seconds) = asked_end(given, offer.longest, now, &at)?;
        let what = What::Raised(Raised { user: user.clone(), gives: Gives::Account });
        wanted.push(Wanted { what, longest: offer.longest, end, seconds, at });
    }
    if let Some(login) = &asked.login {
        let offer = policy.settings.login.as_ref().ok_or_else(|| offered("logins"))?;
        let at = format!("{at}.sekisho.login");
        let given = (login.end_time_utc.as_deref(), login.duration.as_deref());
        let (end, seconds) = asked_end(given, offer.longest, now, &at)?;
        let what = What::Login(Login { login: user.clone() });
        wanted.push(Wanted { what, longest: offer.longest, end, seconds, at });
    }
    if let Some(sudo) = &asked.sudo {
        let offer = policy.settings.sudo.as_ref().ok_or_else(|| offered("sudo"))?;
        let at = format!("{at}.sekisho.sudo");
        let given = (sudo.end_time_utc.as_deref(), sudo.duration.as_deref());
        let (end, seconds) = asked_end(given, offer.longest, now, &at)?;
        let what = What::Raised(Raised { user, gives: Gives::Sudo(sudo.of(offer, &at)?) });
        wanted.push(Wanted { what, longest: offer.longest, end, seconds, at });
    }
    Ok(wanted)
}

/// Where a port is to be reached from: what was asked for, or the address that the request came from.
fn asked_sources(call: &Call, port: &InitiatePort, rule: &PortRule, at: &str) -> Result<Sources, ArmError> {
    let (one, several) =
        (port.allowed_source_address_prefix.as_deref(), port.allowed_source_address_prefixes.as_deref());
    let asked = match (sources(one, several, at)?, call.address) {
        (Some(asked), _) => asked,
        (None, Some(address)) => Sources::address(address),
        (None, None) => {
            let text = "A request that comes from no address names a source.";
            return Err(ArmError::invalid_content(text).target(format!("{at}.allowedSourceAddressPrefix")));
        }
    };
    if !asked.is_within(&rule.allowed) {
        let text = format!(
            "Port {} may be asked for from {}, and {} is not part of that.",
            rule.number,
            rule.allowed.words().join(", "),
            asked.words().join(", ")
        );
        return Err(refused("JitSourceNotAllowed", text).target(format!("{at}.allowedSourceAddressPrefix")));
    }
    Ok(asked)
}

/// When it ends, and for how long it was asked when that counts from the approval.
fn asked_end(
    (instant, length): (Option<&str>, Option<&str>),
    longest: Duration,
    now: OffsetDateTime,
    at: &str,
) -> Result<(OffsetDateTime, Option<i64>), ArmError> {
    let (end, seconds) = end_of(instant, length, now, at)?;
    let latest = now + longest;
    // Only an instant comes from the client's clock.
    let slightly = seconds.is_none() && end > latest && end <= latest + SLACK;
    Ok((if slightly { latest } else { end }, seconds))
}

/// An end that is given as an instant or as a duration.
pub(super) fn end_of(
    instant: Option<&str>,
    length: Option<&str>,
    now: OffsetDateTime,
    at: &str,
) -> Result<(OffsetDateTime, Option<i64>), ArmError> {
    let wrong = |field: &str, text: &str| {
        let at = if at.is_empty() { field.to_owned() } else { format!("{at}.{field}") };
        ArmError::invalid_content(text).target(at)
    };
    match (instant, length) {
        (Some(text), None) => {
            let end = OffsetDateTime::parse(text, &Rfc3339).ok().filter(|end| *end > now);
            let end = end.ok_or_else(|| wrong("endTimeUtc", "The end is an instant to come, RFC 3339."))?;
            Ok((end, None))
        }
        (None, Some(text)) => {
            let length = duration::parse(text).filter(|length| length.is_positive());
            let length =
                length.ok_or_else(|| wrong("duration", "The duration is an ISO 8601 one, such as PT1H."))?;
            Ok((now + length, Some(length.whole_seconds())))
        }
        _ => Err(wrong("endTimeUtc", "Exactly one of endTimeUtc and duration is required.")),
    }
}
