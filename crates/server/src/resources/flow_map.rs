//! `Sekisho.Network/flowMap` and `flowMapEdge`: who talks with whom in groups, and what there is behind one of the connections.
//!
//! The right is that of a machine's traffic, at each machine; nobody sees what a machine told whose traffic they may not see.
//! What stands at the other end is named by what they may read, and is an address of nobody otherwise.

use std::ops::ControlFlow;

use async_trait::async_trait;
use sekisho_arm::registry::{Action, ActionStyle, Registry, ScopeAction};
use sekisho_arm::resource::{self, shown, typed};
use sekisho_arm::{ArmError, Call, Read, Scope};
use sekisho_lake::{FlowQuery, FlowRow, Lake};
use sekisho_nsg::flow::filter::Filter;
use sekisho_nsg::flow::map::{
    EdgeSummary, FlowEdgeQuestion, FlowEdgeView, FlowMap, FlowMapQuestion, MapSummary,
};
use sekisho_nsg::flow::places::Places;
use sekisho_nsg::provider::places;
use sekisho_rbac::Snapshot;
use sekisho_store::from_ms;
use serde_json::Value;

use super::authorization::{LateUniverse, acting, snapshot};
use super::traffic::{MOST, RIGHT, Readable, span};

/// Adds them.
pub(crate) fn register(registry: &mut Registry, lake: &Lake, universe: &LateUniverse) {
    for kind in [Asked::Map, Asked::Edge] {
        registry.add_scope_action(Question { kind, lake: lake.clone(), universe: universe.clone() });
    }
}

#[derive(Clone, Copy)]
enum Asked {
    Map,
    Edge,
}

struct Question {
    kind: Asked,
    lake: Lake,
    universe: LateUniverse,
}

#[async_trait]
impl ScopeAction for Question {
    fn namespace(&self) -> &'static str {
        "Sekisho.Network"
    }

    fn action(&self) -> Action {
        let (verb, title, takes, answers): (_, _, crate::routes::SchemaOf, crate::routes::SchemaOf) =
            match self.kind {
                Asked::Map => (
                    "flowMap",
                    "Shows which groups of machines talk with which",
                    |g| g.subschema_for::<FlowMapQuestion>(),
                    |g| g.subschema_for::<FlowMap>(),
                ),
                Asked::Edge => (
                    "flowMapEdge",
                    "Shows the rules and flows between two groups of machines",
                    |g| g.subschema_for::<FlowEdgeQuestion>(),
                    |g| g.subschema_for::<FlowEdgeView>(),
                ),
            };
        Action { verb, style: ActionStyle::Sync, reads: true, title, takes, answers }
    }

    fn right(&self) -> String {
        RIGHT.to_owned()
    }

    fn shows_part(&self) -> bool {
        true
    }

    async fn act(
        &self,
        read: &mut dyn Read,
        call: &Call,
        scope: &Scope,
        body: Value,
    ) -> Result<Value, ArmError> {
        if let Scope::Resource(_) = scope {
            let text = format!("Flow maps are of resource groups and what contains them; '{scope}' is none.");
            return Err(ArmError::bad("UnsupportedResourceType", text));
        }
        let rights = snapshot(read, &self.universe).await?;
        match self.kind {
            Asked::Map => {
                let question: FlowMapQuestion = typed(&body, "")?;
                let around = self.around(read, call, (scope, &rights), &question).await?;
                let times = around.times();
                let map =
                    around.count(&self.lake, MapSummary::default, MapSummary::cut, MapSummary::add).await?;
                shown(&map.finish(times.0, times.1))
            }
            Asked::Edge => {
                let question: FlowEdgeQuestion = typed(&body, "")?;
                let around = self.around(read, call, (scope, &rights), &question.map).await?;
                let times = around.times();
                let start = || EdgeSummary::new(&question, |at| resource::instant(from_ms(at)));
                let edge = around.count(&self.lake, start, EdgeSummary::cut, EdgeSummary::add).await?;
                shown(&edge.finish(times.0, times.1))
            }
        }
    }
}

/// What is looked through for an answer.
struct Around {
    query: FlowQuery,
    readable: Readable,
    places: Places,
}

impl Question {
    async fn around(
        &self,
        read: &mut dyn Read,
        call: &Call,
        (scope, rights): (&Scope, &Snapshot),
        question: &FlowMapQuestion,
    ) -> Result<Around, ArmError> {
        let (from, to) = span(question.from.as_deref(), question.to.as_deref(), read.now())?;
        let who = acting(call);
        let may = |action: &str, id: &Scope| rights.decide(&who, action, id).is_allowed();
        let places = places(read, scope, (question.group_by, question.expand.clone()), &may).await?;
        let readable = Readable::new(rights, call, scope);
        let filter = Filter { access: question.access, port: question.port, ..Filter::default() };
        let query = FlowQuery { machines: readable.machines(), from, to, filter };
        Ok(Around { query, readable, places })
    }
}

impl Around {
    fn times(&self) -> (String, String) {
        (resource::instant(self.query.from), resource::instant(self.query.to))
    }

    async fn count<S: Send>(
        mut self,
        lake: &Lake,
        start: impl Fn() -> S + Send + Sync,
        cut: fn(&mut S),
        add: fn(&mut S, &Places, &str, &sekisho_nsg::flow::record::Record),
    ) -> Result<S, ArmError> {
        let Around { query, readable, places } = &mut self;
        let take = |(sum, counted): &mut (S, u64), row: FlowRow| {
            if !readable.contains(&row.machine) {
                return ControlFlow::Continue(());
            }
            if *counted == MOST {
                cut(sum);
                return ControlFlow::Break(());
            }
            *counted += 1;
            add(sum, places, &row.machine, &row.record);
            ControlFlow::Continue(())
        };
        Ok(lake.flows(query, || (start(), 0), take).await?.0)
    }
}
