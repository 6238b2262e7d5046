//! What happens to requests by itself: their time is over, nobody decided on them, their machine or policy is gone, whoever
//! asked may not sign in any more, or the machine says that it has opened what was approved.
//!
//! The kernels of the machines do not wait for it: what is over is closed there already.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sekisho_arm::traits::read_document;
use sekisho_arm::{ArmError, CallerRef, PrincipalKind, Read, Write};
use sekisho_jit::part::{JitPart, PART};
use sekisho_jit::provider::{policy_type, requests};
use sekisho_jit::request::{Event, Grant, Request, State, What};
use sekisho_link::DesiredDocument;
use sekisho_link::machine::{self, ConvergenceState, Desired, kind, vm_type};
use sekisho_store::News;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{kept_id, note};
use crate::access::{ACCOUNTS, is_living};
use crate::app::App;

/// The longest between two looks at the clock on the wall, which may be set at any time.
const LOOK: Duration = Duration::from_secs(1);
/// How long requests that are over are kept to be shown. The log keeps them for ever.
const KEPT: time::Duration = time::Duration::days(90);
/// How often it is looked for those that were kept long enough.
const FORGET: Duration = Duration::from_secs(3600);

/// Follows requests for as long as the server runs.
pub async fn keep(app: Arc<App>) {
    let mut feed = app.store.changes();
    let mut forgotten = tokio::time::Instant::now();
    loop {
        let waits = sweep(&app).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "requests for access that are over stay until the next round");
            Waits { next: Some(OffsetDateTime::now_utc() + LOOK), ..Waits::default() }
        });
        if forgotten.elapsed() >= FORGET {
            forgotten = tokio::time::Instant::now();
            if let Err(error) = forget(&app).await {
                tracing::warn!(%error, "old requests for access were not removed");
            }
        }
        loop {
            let pause = match waits.next {
                None => FORGET,
                Some(next) => {
                    let left = (next - OffsetDateTime::now_utc()).max(time::Duration::ZERO);
                    LOOK.min(left.unsigned_abs())
                }
            };
            match tokio::time::timeout(pause, feed.next()).await {
                Ok(None) => return,
                Ok(Some(News::Missed)) => break,
                Ok(Some(News::Changes(all))) => {
                    if all.iter().any(|c| waits.concerns(&c.kind, &c.key)) {
                        break;
                    }
                }
                Err(_) if waits.next.is_none_or(|next| next <= OffsetDateTime::now_utc()) => break,
                Err(_) => {}
            }
        }
    }
}

/// What the next change may come from.
#[derive(Default)]
struct Waits {
    /// The clock.
    next: Option<OffsetDateTime>,
    /// What these machines report.
    machines: BTreeSet<String>,
    /// What becomes of those who asked.
    requestors: BTreeSet<String>,
}

impl Waits {
    fn concerns(&self, changed: &str, key: &str) -> bool {
        changed == requests::LIVE
            || changed == vm_type().key()
            || changed == policy_type().key()
            || (changed == kind::MACHINE && self.machines.contains(key))
            || (ACCOUNTS.contains(&changed) && self.requestors.contains(key))
    }
}

/// What became of a request.
enum Change {
    /// Its policy is gone.
    Forget,
    /// Something happened to it.
    Keep,
}

/// Looks at every live request, and changes those to which something has happened.
async fn sweep(app: &App) -> Result<Waits, ArmError> {
    let mut read = app.store.read().await?;
    let mut changed = Vec::new();
    let mut waits = Waits::default();
    for mut request in requests::all_live(&mut read).await? {
        let id = (request.policy.clone(), request.id);
        if look(&mut read, &mut request).await?.is_some() {
            changed.push(id);
        }
        waits.next = waits.next.into_iter().chain(request.next()).min();
        let opening = request.grants.iter().filter(|g| g.state == State::Approved);
        waits.machines.extend(opening.map(|g| g.machine.to_ascii_lowercase()));
        waits.requestors.insert(request.requestor.id);
    }
    drop(read);
    if changed.is_empty() {
        return Ok(waits);
    }
    app.store
        .write::<_, ArmError, _>(move |tx| {
            Box::pin(async move {
                for (policy, id) in changed {
                    let policy = kept_id(&policy)?;
                    // It may have been changed since it was looked at.
                    let Some(mut request) = requests::named(tx.as_read(), &policy, &id).await? else {
                        continue;
                    };
                    let before = request.clone();
                    match look(tx.as_read(), &mut request).await? {
                        None => continue,
                        Some(Change::Forget) => requests::forget(tx, &request).await?,
                        Some(Change::Keep) => requests::keep(tx, &request).await?,
                    }
                    if request.history != before.history {
                        tell(tx, &request).await?;
                    }
                }
                Ok(())
            })
        })
        .await?;
    Ok(waits)
}

/// What happens to a request now.
async fn look(read: &mut (dyn Read + '_), request: &mut Request) -> Result<Option<Change>, ArmError> {
    let policy = kept_id(&request.policy)?;
    let now = read.now();
    let before = request.clone();
    if read.get(&policy).await?.is_none() {
        return Ok(Some(Change::Forget));
    }
    request.tick(now);
    let mut machines: BTreeMap<String, Option<Vec<(u32, i64)>>> = BTreeMap::new();
    for grant in request.grants.iter().filter(|g| !g.state.is_over()) {
        if !machines.contains_key(&grant.machine) {
            machines.insert(grant.machine.clone(), in_force(read, &grant.machine).await?);
        }
    }
    let is_nobodys = !is_living(read, &request.requestor.id).await?;
    let gone = |g: &Grant| is_nobodys || machines.get(&g.machine).is_some_and(Option::is_none);
    for event in [Event::Revoke, Event::Deny] {
        let concerned = |g: &Grant| gone(g) && g.state.after(event).is_ok();
        // Only what can happen is asked for.
        let _ = request.happen(event, now, None, concerned);
    }
    let opened = |g: &Grant| {
        let known = machines.get(&g.machine).and_then(Option::as_ref);
        let is_login = matches!(g.what, What::Login(_));
        g.state == State::Approved && (is_login || known.is_some_and(|k| k.contains(&(g.mark, g.end_ms()))))
    };
    let _ = request.happen(Event::Apply, now, None, opened);
    Ok((*request != before).then_some(Change::Keep))
}

/// The grants that a machine says are in force there, by number and end; `None` when there is no such machine.
async fn in_force(read: &mut (dyn Read + '_), id: &str) -> Result<Option<Vec<(u32, i64)>>, ArmError> {
    let id = kept_id(id)?;
    if read.get(&id).await?.is_none() {
        return Ok(None);
    }
    let how = machine::state(read, &id).await?.convergence();
    let desired: Option<Desired> = read_document(read, kind::DESIRED, &id.key()).await?;
    let Some(desired) = desired.filter(|d| {
        how.state == ConvergenceState::Applied && how.applied.is_some_and(|applied| applied >= d.generation)
    }) else {
        return Ok(Some(Vec::new()));
    };
    let document: Option<DesiredDocument> = serde_json::from_str(&desired.text.document).ok();
    let part = document.and_then(|d| serde_json::from_value::<JitPart>(d.parts.get(PART)?.clone()).ok());
    Ok(Some(part.unwrap_or_default().grants.iter().map(|g| (g.mark, g.end)).collect()))
}

/// Adds to the log what became of a request by itself.
pub(super) async fn tell(tx: &mut (dyn Write + '_), request: &Request) -> Result<(), ArmError> {
    let system = CallerRef {
        object_id: Uuid::nil().to_string(),
        kind: PrincipalKind::System,
        name: "sekisho".to_owned(),
    };
    note(tx, (system, Uuid::new_v4().to_string()), "revoke/action", request).await
}

/// Forgets what has been over for long.
async fn forget(app: &App) -> Result<(), ArmError> {
    let mut read = app.store.read().await?;
    let before = read.now() - KEPT;
    let mut old = requests::all_past(&mut read).await?;
    drop(read);
    old.retain(|r| r.grants.iter().all(|g| g.end < before));
    if old.is_empty() {
        return Ok(());
    }
    app.store
        .write::<_, ArmError, _>(move |tx| {
            Box::pin(async move {
                for request in old {
                    requests::forget(tx, &request).await?;
                }
                Ok(())
            })
        })
        .await
}
