//! `{machine}/providers/Sekisho.Fleet/events`: what happened to a machine, newest first.

use async_trait::async_trait;
use schemars::{JsonSchema, SchemaGenerator};
use sekisho_arm::filter::{Comparison, Filter};
use sekisho_arm::registry::{PutStyle, Storage};
use sekisho_arm::resource;
use sekisho_arm::{ArmError, Call, Read, ResourceType, Scope, ScopeKind, TypeSpec};
use sekisho_lake::{Cursor, Lake, Query, Row};
use sekisho_link::provider::FLEET_VERSIONS;
use sekisho_nsg::flow::record::KIND;
use serde::Serialize;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::activity::instant;
use crate::http as web;

/// Events of one answer, when the client does not say.
const PAGE: usize = 100;
/// Most events of one answer.
const MOST: usize = 1000;
/// Pages that are looked through for one answer; when hardly anything matches, the client goes on from there.
const LOOKS: usize = 20;

/// The events.
pub struct Events {
    /// Where they are kept.
    pub lake: Lake,
}

static SPEC: TypeSpec = TypeSpec {
    namespace: "Sekisho.Fleet",
    path: "events",
    versions: FLEET_VERSIONS,
    scopes: &[ScopeKind::Resource],
    storage: Storage::Computed,
    put: PutStyle::Refused,
    location: false,
    shows_etag: false,
    shows_state: false,
    actions: &[],
    schema: |g: &mut SchemaGenerator| g.subschema_for::<MachineEvent>(),
};

/// A filter that was understood.
enum Condition {
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
    Happened(Comparison, OffsetDateTime),
    Received(Comparison, OffsetDateTime),
    Kind(String),
    Stream(String),
}

impl Condition {
    fn parse(filter: &Filter) -> Result<Condition, ArmError> {
        let both = |a, b| Ok::<_, ArmError>((Box::new(Self::parse(a)?), Box::new(Self::parse(b)?)));
        let refused = |why: String| Err(ArmError::bad("InvalidFilterInQueryString", why).target("$filter"));
        Ok(match filter {
            Filter::And(a, b) => both(a, b).map(|(a, b)| Condition::And(a, b))?,
            Filter::Or(a, b) => both(a, b).map(|(a, b)| Condition::Or(a, b))?,
            Filter::Not(inner) => Condition::Not(Box::new(Self::parse(inner)?)),
            Filter::Compare(path, op, literal) => {
                let text = |of: fn(String) -> Condition| match op {
                    Comparison::Eq => Ok(of(literal.clone())),
                    Comparison::Ne => Ok(Condition::Not(Box::new(of(literal.clone())))),
                    _ => refused(format!("'{path}' can only be compared with eq and ne.")),
                };
                match path.to_ascii_lowercase().as_str() {
                    "eventtimestamp" => Condition::Happened(*op, instant(literal)?),
                    "receivedtimestamp" => Condition::Received(*op, instant(literal)?),
                    "kind" => text(Condition::Kind)?,
                    "stream" => text(Condition::Stream)?,
                    _ => return refused(format!("Events cannot be filtered by '{path}'.")),
                }
            }
            Filter::Function(name, _) => return refused(format!("Events cannot be filtered with '{name}'.")),
            Filter::Any(path, _) => return refused(format!("Events cannot be filtered by '{path}'.")),
        })
    }

    fn holds(&self, row: &Row) -> bool {
        match self {
            Condition::And(a, b) => a.holds(row) && b.holds(row),
            Condition::Or(a, b) => a.holds(row) || b.holds(row),
            Condition::Not(inner) => !inner.holds(row),
            Condition::Happened(op, at) => compared(row.event.at, *op, *at),
            Condition::Received(op, at) => compared(row.received, *op, *at),
            Condition::Kind(kind) => row.event.kind == *kind,
            Condition::Stream(stream) => row.event.stream == *stream,
        }
    }

    /// Tells the lake what must hold for the whole filter to hold, so that it reads no more than that.
    fn narrow(&self, query: &mut Query) {
        match self {
            Condition::And(a, b) => {
                a.narrow(query);
                b.narrow(query);
            }
            Condition::Happened(op, at) => {
                if matches!(op, Comparison::Ge | Comparison::Gt | Comparison::Eq) {
                    query.from = Some(query.from.map_or(*at, |from| from.max(*at)));
                }
                if matches!(op, Comparison::Le | Comparison::Lt | Comparison::Eq) {
                    query.to = Some(query.to.map_or(*at, |to| to.min(*at)));
                }
            }
            Condition::Kind(kind) if query.kinds.is_empty() => query.kinds = vec![kind.clone()],
            Condition::Stream(stream) if query.streams.is_empty() => query.streams = vec![stream.clone()],
            _ => {}
        }
    }
}

fn compared(left: OffsetDateTime, op: Comparison, right: OffsetDateTime) -> bool {
    match op {
        Comparison::Eq => left == right,
        Comparison::Ne => left != right,
        Comparison::Gt => left > right,
        Comparison::Ge => left >= right,
        Comparison::Lt => left < right,
        Comparison::Le => left <= right,
    }
}

/// The name of an event: its instant in milliseconds, by which it is found again, and its place in its stream.
fn name_of(row: &Row) -> String {
    let e = &row.event;
    format!("{}.{}.{}.{}", sekisho_store::to_ms(e.at), e.stream, e.epoch, e.sequence)
}

/// Something that happened to a machine.
#[derive(Serialize, JsonSchema)]
struct MachineEvent {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    properties: MachineEventProperties,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MachineEventProperties {
    /// When it happened, by the machine's clock.
    event_timestamp: String,
    /// When the server heard of it.
    received_timestamp: String,
    /// What happened, such as `agent.started`.
    kind: String,
    stream: String,
    sequence: i64,
    /// The particulars, by the kind.
    #[schemars(with = "Map<String, Value>")]
    data: Value,
}

fn shown(machine: &Scope, row: &Row) -> Result<Value, ArmError> {
    let name = name_of(row);
    resource::shown(&MachineEvent {
        id: format!("{machine}/providers/{}/{}/{name}", SPEC.namespace, SPEC.path),
        name,
        kind: SPEC.name().to_string(),
        properties: MachineEventProperties {
            event_timestamp: resource::instant(row.event.at),
            received_timestamp: resource::instant(row.received),
            kind: row.event.kind.clone(),
            stream: row.event.stream.clone(),
            sequence: row.event.sequence,
            data: row.event.data.clone(),
        },
    })
}

impl Events {
    async fn one(&self, machine: &Scope, name: &str) -> Result<Value, ArmError> {
        let missing = || ArmError::new(404, "EventNotFound", format!("'{machine}' has no event '{name}'."));
        let at: i64 = name.split('.').next().and_then(|ms| ms.parse().ok()).ok_or_else(missing)?;
        let at = sekisho_store::from_ms(at);
        let mut query = Query {
            machine: Some(machine.key()),
            from: Some(at),
            to: Some(at),
            limit: MOST,
            ..Query::default()
        };
        loop {
            let page = self.lake.query(&query).await?;
            if let Some(row) = page.rows.iter().find(|row| name_of(row) == name) {
                return shown(machine, row);
            }
            query.after = Some(page.next.ok_or_else(missing)?);
        }
    }

    async fn many(&self, call: &Call, machine: &Scope) -> Result<Value, ArmError> {
        let top = match call.query("$top") {
            None => PAGE,
            Some(text) => {
                text.parse::<usize>().ok().filter(|n| *n > 0).map(|n| n.min(MOST)).ok_or_else(|| {
                    ArmError::bad("InvalidParameter", "The value of $top is a positive number.")
                        .target("$top")
                })?
            }
        };
        let condition = call.filter()?.as_ref().map(Condition::parse).transpose()?;
        let after = call.query("$skiptoken").map(web::decode_token).transpose()?;
        let after = after.map(|token| token.parse::<Cursor>()).transpose()?;
        let mut query = Query { machine: Some(machine.key()), limit: top, after, ..Query::default() };
        if let Some(condition) = &condition {
            condition.narrow(&mut query);
        }
        // There is one every second while flows are logged; who wants them asks for them.
        if !query.kinds.iter().any(|kind| kind == KIND) {
            query.without = vec![KIND.to_owned()];
        }
        let mut value = Vec::new();
        for _ in 0..LOOKS {
            query.limit = top - value.len();
            let page = self.lake.query(&query).await?;
            let holds = |row: &&Row| condition.as_ref().is_none_or(|c| c.holds(row));
            for row in page.rows.iter().filter(holds) {
                value.push(shown(machine, row)?);
            }
            query.after = page.next;
            if query.after.is_none() || value.len() >= top {
                break;
            }
        }
        let mut body = json!({ "value": value });
        if let Some(after) = query.after {
            let path = format!("{machine}/providers/{}/{}", SPEC.namespace, SPEC.path);
            body["nextLink"] = web::next_link(call, path, &after.to_string()).into();
        }
        Ok(body)
    }
}

#[async_trait]
impl ResourceType for Events {
    fn spec(&self) -> &TypeSpec {
        &SPEC
    }

    async fn computed(
        &self,
        read: &mut dyn Read,
        call: &Call,
        scope: &Scope,
        name: Option<&str>,
    ) -> Result<Value, ArmError> {
        if !scope.type_name().is("Microsoft.Compute/virtualMachines") {
            if let Some(name) = name {
                let id = scope.resource_in("Sekisho.Fleet", "events", name).unwrap_or_else(|_| scope.clone());
                return Err(ArmError::not_found(&id));
            }
            let text = format!("Only virtual machines have events; '{scope}' is none.");
            return Err(ArmError::bad("UnsupportedResourceType", text));
        }
        let machine = read.get(scope).await?.ok_or_else(|| ArmError::not_found(scope))?.id;
        match name {
            Some(name) => self.one(&machine, name).await,
            None => self.many(call, &machine).await,
        }
    }
}
