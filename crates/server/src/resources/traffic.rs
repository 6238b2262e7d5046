//! `Sekisho.Network/traffic`: what the flow logs of a machine, or of all machines in a scope, have to tell.

use async_trait::async_trait;
use sekisho_arm::registry::{Action, ActionStyle, ScopeAction};
use sekisho_arm::resource::{self, shown, typed};
use sekisho_arm::{ArmError, Call, Read, Scope};
use sekisho_lake::{Lake, Query};
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
/// How long after a flow it may have been noted by its machine.
const NOTED: Duration = Duration::minutes(15);
/// Events that are in memory at once.
const PAGE: usize = 100;
/// Events that are looked through for one answer.
const MOST: usize = 5_000;

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
        let machine = match scope {
            Scope::Resource(_) if scope.type_name().is("Microsoft.Compute/virtualMachines") => {
                Some(read.get(scope).await?.ok_or_else(|| ArmError::not_found(scope))?.id.key())
            }
            Scope::Resource(_) => {
                let text = format!("Only virtual machines have traffic; '{scope}' is none.");
                return Err(ArmError::bad("UnsupportedResourceType", text));
            }
            _ => None,
        };
        let below = format!("{}/", scope.key().trim_end_matches('/'));
        let mut query = Query {
            machine,
            from: Some(from_ms(asked.from)),
            to: Some(from_ms(asked.to) + NOTED),
            kinds: vec![KIND.to_owned()],
            limit: PAGE,
            ..Query::default()
        };
        let mut summary = Summary::new(asked, |at| resource::instant(from_ms(at)));
        let mut looked = 0;
        loop {
            let page = self.lake.query(&query).await?;
            for row in &page.rows {
                let within = query.machine.is_some() || row.event.machine.starts_with(&below);
                // One that makes no sense says nothing; it is shown among the machine's events.
                if let (true, Ok(batch)) = (within, Batch::read(&row.event.data)) {
                    summary.add(&row.event.machine, &batch);
                }
            }
            looked += page.rows.len();
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
            if looked >= MOST {
                summary.cut();
                break;
            }
        }
        shown(&summary.finish())
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
        address: address.transpose()?,
        port: question.port,
        rule: question.rule,
        process: question.process,
        access: question.access,
        top: question.top,
    })
}
