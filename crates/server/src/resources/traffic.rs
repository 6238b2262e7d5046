//! `Sekisho.Network/traffic`: what the flow logs of a machine, or of all machines in a scope, have to tell.

use std::collections::HashMap;
use std::ops::ControlFlow;

use async_trait::async_trait;
use sekisho_arm::registry::{Action, ActionStyle, ScopeAction};
use sekisho_arm::resource::{self, shown, typed};
use sekisho_arm::{ArmError, Call, Read, Scope};
use sekisho_lake::{FlowQuery, Lake, Machines, NOTED, Query};
use sekisho_nsg::flow::filter::Filter;
use sekisho_nsg::flow::record::{Batch, KIND};
use sekisho_nsg::flow::traffic::{Asked, Summary, TrafficQuestion, TrafficView};
use sekisho_rbac::{Reach, Snapshot, Tree};
use sekisho_store::{from_ms, to_ms};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use super::activity::instant;
use super::authorization::{LateUniverse, acting, snapshot};

/// The time that is looked at when nothing is said.
const HOUR: Duration = Duration::hours(1);
/// The longest time that is looked at.
const LONGEST: Duration = Duration::days(31);
/// Events with gaps that are in memory at once, and that are looked through for one answer.
const PAGE: usize = 100;
const MOST_GAPS: usize = 5_000;
/// Flows that are counted for one answer: some seconds of work.
pub(super) const MOST: u64 = 2_000_000;

/// The right to see what a machine tells of its flows.
pub(super) const RIGHT: &str = "Sekisho.Network/traffic/action";

/// The operation.
pub(crate) struct Traffic {
    /// Where flows are kept.
    pub(crate) lake: Lake,
    /// All operations.
    pub(crate) universe: LateUniverse,
}

/// The machines in a scope whose flows somebody may see.
pub(super) struct Readable {
    scope: Scope,
    reach: Reach,
    tree: Tree,
    known: HashMap<String, bool>,
}

impl Readable {
    /// What holds now.
    pub(super) fn new(rights: &Snapshot, call: &Call, scope: &Scope) -> Readable {
        Readable {
            scope: scope.clone(),
            reach: rights.may_list(&acting(call), RIGHT),
            tree: rights.tree().clone(),
            known: HashMap::new(),
        }
    }

    /// Those that can be among them.
    pub(super) fn machines(&self) -> Machines {
        match &self.scope {
            Scope::Resource(_) => Machines::One(self.scope.key()),
            // The ids of machines do not say of which management groups they are.
            Scope::Tenant | Scope::ManagementGroup(_) => Machines::All,
            scope => Machines::Below(format!("{}/", scope.key())),
        }
    }

    /// Whether a machine is among them, by its lower-cased id.
    pub(super) fn contains(&mut self, machine: &str) -> bool {
        if let Some(known) = self.known.get(machine) {
            return *known;
        }
        let within = Scope::parse(machine).is_ok_and(|id| self.tree.contains(&self.scope, &id));
        let may = within && self.reach.contains_key(machine);
        self.known.insert(machine.to_owned(), may);
        may
    }
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
        call: &Call,
        scope: &Scope,
        body: Value,
    ) -> Result<Value, ArmError> {
        let asked = asked(typed(&body, "")?, read.now())?;
        is_asked_of_machines(read, scope).await?;
        let mut readable = Readable::new(&snapshot(read, &self.universe).await?, call, scope);
        let query = FlowQuery {
            machines: readable.machines(),
            from: from_ms(asked.from),
            to: from_ms(asked.to),
            filter: asked.filter.clone(),
        };
        let start = || (Summary::new(asked.clone(), |at| resource::instant(from_ms(at))), 0);
        let (mut summary, _) = self
            .lake
            .flows(&query, start, |(summary, counted), row| {
                if !readable.contains(&row.machine) {
                    return ControlFlow::Continue(());
                }
                if *counted == MOST {
                    summary.cut();
                    return ControlFlow::Break(());
                }
                *counted += 1;
                summary.add(&row.machine, &row.record);
                ControlFlow::Continue(())
            })
            .await?;
        self.gaps(readable, (query.from, query.to), &mut summary).await?;
        shown(&summary.finish())
    }
}

impl Traffic {
    /// What machines could not tell of.
    async fn gaps(
        &self,
        mut readable: Readable,
        (from, to): (OffsetDateTime, OffsetDateTime),
        summary: &mut Summary,
    ) -> Result<(), ArmError> {
        let mut query = Query {
            machine: match readable.machines() {
                Machines::One(machine) => Some(machine),
                _ => None,
            },
            from: Some(from),
            to: Some(to.saturating_add(NOTED)),
            kinds: vec![KIND.to_owned()],
            limit: PAGE,
            ..Query::default()
        };
        let mut looked = 0;
        loop {
            let page = self.lake.query(&query).await?;
            for row in &page.rows {
                if !readable.contains(&row.event.machine) {
                    continue;
                }
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

/// Refuses resources that are no machines.
async fn is_asked_of_machines(read: &mut dyn Read, scope: &Scope) -> Result<(), ArmError> {
    let Scope::Resource(_) = scope else { return Ok(()) };
    if !scope.type_name().is("Microsoft.Compute/virtualMachines") {
        let text = format!("Only virtual machines have traffic; '{scope}' is none.");
        return Err(ArmError::bad("UnsupportedResourceType", text));
    }
    read.get(scope).await?.map(drop).ok_or_else(|| ArmError::not_found(scope))
}

/// The time that is asked about.
pub(super) fn span(
    from: Option<&str>,
    to: Option<&str>,
    now: OffsetDateTime,
) -> Result<(OffsetDateTime, OffsetDateTime), ArmError> {
    let to = to.map(instant).transpose()?.unwrap_or(now);
    let from = from.map(instant).transpose()?.unwrap_or(to.saturating_sub(HOUR));
    if from >= to || to - from > LONGEST {
        let text = "'from' must be before 'to', and by 31 days at most.";
        return Err(ArmError::bad("InvalidParameter", text).target("from"));
    }
    Ok((from, to))
}

fn asked(question: TrafficQuestion, now: OffsetDateTime) -> Result<Asked, ArmError> {
    let (from, to) = span(question.from.as_deref(), question.to.as_deref(), now)?;
    let invalid = |_| ArmError::bad("InvalidParameter", "'address' must be an IP address.").target("address");
    let address = question.address.map(|a| a.parse().map_err(invalid));
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
