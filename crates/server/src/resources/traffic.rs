//! `Sekisho.Network/traffic`: what the flow logs of a machine, or of all machines in a scope, have to tell.

use std::ops::ControlFlow;

use async_trait::async_trait;
use sekisho_arm::registry::{Action, ActionStyle, ScopeAction};
use sekisho_arm::resource::{self, shown, typed};
use sekisho_arm::{ArmError, Call, Read, Scope};
use sekisho_lake::{FlowQuery, Lake, Machines, Query};
use sekisho_nsg::flow::filter::Filter;
use sekisho_nsg::flow::record::{Batch, KIND};
use sekisho_nsg::flow::traffic::{Asked, Summary, TrafficQuestion, TrafficView};
use sekisho_store::{from_ms, to_ms};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use super::activity::instant;

/// The time that is looked at when nothing is said.
const HOUR: Duration = Duration::hours(1);
/// The longest time that is looked at.
const LONGEST: Duration = Duration::days(31);
/// How long after a flow its machine may say that others were lost.
const NOTED: Duration = Duration::minutes(15);
/// Events with gaps that are in memory at once, and that are looked through for one answer.
const PAGE: usize = 100;
const MOST_GAPS: usize = 5_000;
/// Flows that are counted for one answer: some seconds of work.
pub(super) const MOST: u64 = 2_000_000;

/// The operation.
pub(crate) struct Traffic {
    /// Where flows are kept.
    pub(crate) lake: Lake,
}

#[async_trait]
impl ScopeAction for Traffic {
    fn namespace(&self) -> &'static str {
        "Sekisho.Network"
    }

    fn action(&self) -> Action {
        Action {
            verb: "traffic",
            style: ActionStyle::Sync,
            reads: true,
            title: "Shows who talks with whom, by which rule and process, over time",
            takes: |g| g.subschema_for::<TrafficQuestion>(),
            answers: |g| g.subschema_for::<TrafficView>(),
        }
    }

    async fn act(
        &self,
        read: &mut dyn Read,
        _: &Call,
        scope: &Scope,
        body: Value,
    ) -> Result<Value, ArmError> {
        let asked = asked(typed(&body, "")?, read.now())?;
        let machines = machines(read, scope).await?;
        let query = FlowQuery {
            machines: machines.clone(),
            from: from_ms(asked.from),
            to: from_ms(asked.to),
            filter: asked.filter.clone(),
        };
        let start = || (Summary::new(asked.clone(), |at| resource::instant(from_ms(at))), 0);
        let (mut summary, _) = self
            .lake
            .flows(&query, start, |(summary, counted), row| {
                if *counted == MOST {
                    summary.cut();
                    return ControlFlow::Break(());
                }
                *counted += 1;
                summary.add(&row.machine, &row.record);
                ControlFlow::Continue(())
            })
            .await?;
        self.gaps(machines, (query.from, query.to), &mut summary).await?;
        shown(&summary.finish())
    }
}

impl Traffic {
    /// What machines could not tell of.
    async fn gaps(
        &self,
        machines: Machines,
        (from, to): (OffsetDateTime, OffsetDateTime),
        summary: &mut Summary,
    ) -> Result<(), ArmError> {
        let mut query = Query {
            machine: match &machines {
                Machines::One(machine) => Some(machine.clone()),
                _ => None,
            },
            from: Some(from),
            to: Some(to + NOTED),
            kinds: vec![KIND.to_owned()],
            limit: PAGE,
            ..Query::default()
        };
        let mut looked = 0;
        loop {
            let page = self.lake.query(&query).await?;
            for row in page.rows.iter().filter(|row| machines.contains(&row.event.machine)) {
                // One that makes no sense says nothing; it is shown among the machine's events.
                let Ok(batch) = Batch::read(&row.event.data) else { continue };
                batch.gaps.iter().for_each(|gap| summary.add_gap(&row.event.machine, gap));
            }
            looked += page.rows.len();
            query.after = page.next;
            if query.after.is_none() {
                return Ok(());
            }
            if looked >= MOST_GAPS {
                summary.cut();
                return Ok(());
            }
        }
    }
}

/// The machines of a scope.
async fn machines(read: &mut dyn Read, scope: &Scope) -> Result<Machines, ArmError> {
    match scope {
        Scope::Resource(_) if scope.type_name().is("Microsoft.Compute/virtualMachines") => {
            let machine = read.get(scope).await?.ok_or_else(|| ArmError::not_found(scope))?;
            Ok(Machines::One(machine.id.key()))
        }
        Scope::Resource(_) => {
            let text = format!("Only virtual machines have traffic; '{scope}' is none.");
            Err(ArmError::bad("UnsupportedResourceType", text))
        }
        _ => Ok(Machines::Below(format!("{}/", scope.key().trim_end_matches('/')))),
    }
}

fn asked(question: TrafficQuestion, now: OffsetDateTime) -> Result<Asked, ArmError> {
    let invalid = |field: &str, what: &str| {
        ArmError::bad("InvalidParameter", format!("'{field}' must be {what}.")).target(field.to_owned())
    };
    let to = question.to.as_deref().map(instant).transpose()?.unwrap_or(now);
    let from = question.from.as_deref().map(instant).transpose()?.unwrap_or(to - HOUR);
    if from >= to || to - from > LONGEST {
        return Err(invalid("from", "before 'to', and by 31 days at most"));
    }
    let address = question.address.map(|a| a.parse().map_err(|_| invalid("address", "an IP address")));
    Ok(Asked {
        from: to_ms(from),
        to: to_ms(to),
        filter: Filter {
            address: address.transpose()?,
            port: question.port,
            rule: question.rule,
            process: question.process,
            access: question.access,
        },
        top: question.top,
    })
}
