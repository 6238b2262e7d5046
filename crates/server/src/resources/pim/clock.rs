//! What ends by itself: eligibilities and activations whose time is over, activations whose sign-in has ended, requests
//! that nobody decided on. Rights end at the instant, when the snapshot is compiled anew; the rows follow.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sekisho_arm::resource::typed;
use sekisho_arm::traits::read_documents;
use sekisho_arm::{ArmError, CallerRef, Listing, PrincipalKind, Read, Scope, TypeName, Write};
use sekisho_identity::grant::Grant;
use sekisho_identity::session::Session;
use sekisho_rbac::pim::{RequestProperties, Status};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::{Kind, approvals, noted, requests, schedules};
use crate::access;
use crate::app::App;
use crate::signin::kind;

/// How often the clock on the wall is looked at; a clock that is set does not wake anybody.
const TICK: Duration = Duration::from_millis(250);
/// How often it is looked for what has ended without an instant of its own.
const SWEEP: u32 = 240;

/// Ends what is over for as long as the server runs.
pub async fn keep(app: Arc<App>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut since = 0_u32;
    loop {
        ticks.tick().await;
        since += 1;
        if !app.access.advance(OffsetDateTime::now_utc()).await && since < SWEEP {
            continue;
        }
        since = 0;
        if let Err(error) = sweep(&app).await {
            tracing::warn!(%error, "what is over stays until the next round");
        }
    }
}

/// What is over.
#[derive(Default)]
struct Over {
    schedules: Vec<(Kind, Scope, &'static str)>,
    begun: Vec<Scope>,
    approvals: Vec<Scope>,
}

impl Over {
    fn is_empty(&self) -> bool {
        self.schedules.is_empty() && self.approvals.is_empty() && self.begun.is_empty()
    }
}

async fn sign_ins(read: &mut (dyn Read + '_)) -> Result<HashSet<Uuid>, ArmError> {
    let now = read.now();
    let sessions: Vec<(String, Session)> = read_documents(read, kind::SESSION).await?;
    let grants: Vec<(String, Grant)> = read_documents(read, kind::GRANT).await?;
    let sessions = sessions.into_iter().filter(|(_, s)| s.alive(now).is_ok()).map(|(_, s)| s.id);
    Ok(sessions.chain(grants.into_iter().filter(|(_, g)| g.alive(now).is_ok()).map(|(_, g)| g.id)).collect())
}

async fn over(read: &mut (dyn Read + '_)) -> Result<Over, ArmError> {
    let now = read.now();
    let mut out = Over::default();
    let alive = sign_ins(read).await?;
    for kind in [Kind::Eligibility, Kind::Assignment] {
        for kept in schedules::kept(read, kind).await? {
            let Some(schedule) = access::schedule_of(&kept) else { continue };
            if schedule.window.until.is_some_and(|until| until <= now) {
                out.schedules.push((kind, kept.id, "Expired"));
            } else if schedule.sign_in.is_some_and(|id| !alive.contains(&id)) {
                out.schedules.push((kind, kept.id, "SignInEnded"));
            } else if schedule.window.from > kept.created_at && schedule.window.holds(now) {
                // Its request still says that it begins later. Requests are kept for ever; schedules are few.
                let request = requests::named(kind, &schedule.scope, schedule.name)?;
                if let Some(found) = read.get(&request).await?
                    && requests::status(&found) == Some(Status::ScheduleCreated)
                {
                    out.begun.push(request);
                }
            }
        }
    }
    let list = |path: &str| Listing::of(&Scope::Tenant, &TypeName::new("Microsoft.Authorization", path));
    for kept in read.list(&list("roleAssignmentApprovals")).await? {
        if approvals::is_over(&kept, now) {
            out.approvals.push(kept.id);
        }
    }
    Ok(out)
}

async fn sweep(app: &App) -> Result<(), ArmError> {
    let over = over(&mut app.store.read().await?).await?;
    if over.is_empty() {
        return Ok(());
    }
    app.store
        .write::<_, ArmError, _>(move |tx| {
            Box::pin(async move {
                for (kind, id, why) in over.schedules {
                    end(tx, kind, &id, why).await?;
                }
                for id in over.begun {
                    set(tx, &id, Status::ScheduleCreated, Status::Provisioned).await?;
                }
                for id in over.approvals {
                    let Some(kept) = tx.get(&id).await? else { continue };
                    if let Some(request) = approvals::request_of(&kept) {
                        set(tx, &request, Status::PendingApproval, Status::TimedOut).await?;
                    }
                    tx.remove(&id).await?;
                }
                Ok(())
            })
        })
        .await
}

async fn end(tx: &mut (dyn Write + '_), kind: Kind, id: &Scope, why: &str) -> Result<(), ArmError> {
    // It may have been ended or extended since it was looked at.
    let Some(kept) = tx.get(id).await? else { return Ok(()) };
    let Some(schedule) = access::schedule_of(&kept) else { return Ok(()) };
    let now = tx.now();
    if why == "Expired" && schedule.window.until.is_none_or(|until| until > now) {
        return Ok(());
    }
    schedules::end(tx, id).await?;
    let system = CallerRef {
        object_id: Uuid::nil().to_string(),
        kind: PrincipalKind::System,
        name: "sekisho".to_owned(),
    };
    let told = json!({"reason": why, "principalId": schedule.principal.to_string(),
        "roleDefinitionId": schedule.role.resource_id()});
    let operation = format!("{}/delete", schedules::path(kind));
    noted(tx, system, Uuid::new_v4().to_string(), (&operation, &schedule.scope), told).await
}

async fn set(tx: &mut (dyn Write + '_), id: &Scope, from: Status, to: Status) -> Result<(), ArmError> {
    let Some(kept) = tx.get(id).await? else { return Ok(()) };
    let mut request: RequestProperties = typed(&Value::Object(kept.properties()), "properties")?;
    if request.status == Some(from) {
        request.status = Some(to);
        requests::keep(tx, &kept, &request).await?;
    }
    Ok(())
}
