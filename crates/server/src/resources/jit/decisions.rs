//! What is done with a request that is there: yes, no, more time, an end.

use schemars::JsonSchema;
use sekisho_arm::resource::{instant, typed};
use sekisho_arm::{ArmError, Call, PrincipalKind, Resource, Write};
use sekisho_jit::extension;
use sekisho_jit::request::{Event, Request, Review};
use sekisho_rbac::PrincipalId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::initiate::{deciding, end_of};
use super::{actor, check, impossible, kept_id, named, policy_of, supersede};
use crate::resources::authorization::{self, LateUniverse};

/// Most characters of a reason.
const LONGEST_REASON: usize = 1000;

/// Body of `approve`, `deny`, `revoke` and `cancel`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitRequestDecision")]
pub(super) struct Decision {
    /// The request's `sekisho.id`.
    request_id: String,
    /// Why.
    #[serde(default)]
    justification: Option<String>,
}

/// Body of `extend`. It has exactly one of `endTimeUtc` and `duration`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitRequestExtension")]
pub(super) struct Extension {
    /// The request's `sekisho.id`.
    request_id: String,
    /// Why.
    #[serde(default)]
    justification: Option<String>,
    /// The ticket that it is about.
    #[serde(default)]
    ticket_number: Option<String>,
    /// When it closes, RFC 3339.
    #[serde(default)]
    end_time_utc: Option<String>,
    /// How long it is open from now on, ISO 8601.
    #[serde(default)]
    duration: Option<String>,
}

fn denied(code: &str, text: &str) -> ArmError {
    ArmError::new(403, code, text)
}

/// Does one of the actions that name a request and nothing else.
pub(super) async fn decide(
    tx: &mut (dyn Write + '_),
    call: &Call,
    (universe, target): (&LateUniverse, &Resource),
    verb: &str,
    body: &Value,
) -> Result<Request, ArmError> {
    let decision: Decision = typed(body, "$")?;
    let mut request = named(tx.as_read(), &target.id, &decision.request_id).await?;
    let now = tx.now();
    request.tick(now);
    let me = actor(call);
    match verb {
        "revoke" => request.happen(Event::Revoke, now, Some(me), |_| true).map_err(impossible)?,
        "cancel" if request.extension.as_ref().is_some_and(|e| e.by.id == me.id) => {
            request.drop_more(Event::DropExtension, now, Some(me)).map_err(impossible)?;
        }
        "cancel" if me.id == request.requestor.id => {
            request.happen(Event::Cancel, now, Some(me), |_| true).map_err(impossible)?;
        }
        "cancel" => return Err(denied("RequesterRequired", "Whoever made a request takes it back.")),
        _ => {
            may_decide(tx, call, universe, &request).await?;
            let reason = decision.justification.filter(|r| !r.trim().is_empty());
            if reason.as_ref().is_some_and(|r| r.chars().count() > LONGEST_REASON) {
                let text = format!("A justification has at most {LONGEST_REASON} characters.");
                return Err(ArmError::invalid_content(text).target("justification"));
            }
            let (approved, waited) = (verb == "approve", request.is_pending());
            let review = Review { by: me, approved, justification: reason, at: instant(now) };
            request.review(review, now).map_err(impossible)?;
            if waited && request.grants.iter().any(|g| g.state.is_open()) {
                supersede(tx, call, &request).await?;
            }
        }
    }
    Ok(request)
}

/// Refuses whoever may not decide on what waits: whoever asked for it, whatever their rights; whoever is not in the group;
/// and programs, of which one person can have several.
async fn may_decide(
    tx: &mut (dyn Write + '_),
    call: &Call,
    universe: &LateUniverse,
    request: &Request,
) -> Result<(), ArmError> {
    let refused =
        || denied("ApproverRequired", "Approvers decide on a request: people, and never whoever made it.");
    let more = request.extension.as_ref().filter(|_| !request.is_pending());
    let asked = [Some(&request.requestor), more.map(|e| &e.by)];
    let is_theirs = asked.into_iter().flatten().any(|who| who.id == call.caller.object_id);
    if call.caller.kind != PrincipalKind::User || is_theirs {
        return Err(refused());
    }
    let deciding = more.map(|e| &e.deciding).or(request.deciding.as_ref());
    let Some(group) = deciding.and_then(|d| d.group) else { return Ok(()) };
    let all = authorization::snapshot(tx.as_read(), universe).await?;
    let mine = all.groups_of(authorization::asker(call));
    if mine.contains(&PrincipalId(group)) { Ok(()) } else { Err(refused()) }
}

/// Gives what is open another end, or has it wait for those who must say yes. It counts as if all of it had been asked for
/// at the beginning. What ends sooner by it needs nobody.
pub(super) async fn extend(
    tx: &mut (dyn Write + '_),
    call: &Call,
    target: &Resource,
    body: &Value,
) -> Result<Request, ArmError> {
    let asked: Extension = typed(body, "$")?;
    let policy = policy_of(target)?;
    let mut request = named(tx.as_read(), &target.id, &asked.request_id).await?;
    let now = tx.now();
    request.tick(now);
    let (end, _) = end_of(asked.end_time_utc.as_deref(), asked.duration.as_deref(), now, "")?;
    let brought = (asked.justification.as_deref(), asked.ticket_number.as_deref());
    for grant in request.grants.iter().filter(|g| g.state.is_open()) {
        let machine = kept_id(&grant.machine)?;
        // What it does not allow any more was ended when it was written.
        let longest = policy.longest(&machine, &grant.what).ok_or_else(ArmError::internal)?;
        check(call, &policy, longest, brought, (grant.begin.unwrap_or(request.start), end), now)?;
    }
    let longer = request.grants.iter().any(|g| g.state.is_open() && g.end < end);
    let deciding = policy.settings.approval.as_ref().and_then(|approval| deciding(approval, now));
    match deciding.filter(|_| longer) {
        None => request.extend(end, now, actor(call)),
        Some(deciding) => {
            let more = extension::Extension {
                by: actor(call),
                justification: asked.justification,
                ticket: asked.ticket_number,
                end,
                deciding,
                reviews: Vec::new(),
            };
            request.ask_more(more, now)
        }
    }
    .map_err(impossible)?;
    Ok(request)
}
