//! From resources to desired documents: a task that follows the change feed and compiles what machines should be, and
//! the same compilation run over a write that is then undone, to show its effect beforehand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use sekisho_arm::engine::{self, Answer};
use sekisho_arm::traits::read_documents;
use sekisho_arm::{ArmError, Call, Listing, Read, Registry, Scope, Write};
use sekisho_link::desired::content_hash;
use sekisho_link::machine::{self, Desired, Machine, PartCompiler, kind, vm_type};
use sekisho_store::{Change, News};
use serde::Serialize;
use serde_json::Value;

use crate::app::App;
use crate::rights::{self, RightsChange};

/// The parts of every machine, by the machine's lower-case id.
type Parts = BTreeMap<String, BTreeMap<String, Value>>;

async fn compile(read: &mut (dyn Read + '_), compilers: &[Arc<dyn PartCompiler>]) -> Result<Parts, ArmError> {
    let mut out: Parts = BTreeMap::new();
    for vm in read.list(&Listing::of(&Scope::Tenant, &vm_type())).await? {
        out.insert(vm.id.key(), BTreeMap::new());
    }
    for compiler in compilers {
        for (machine, part) in compiler.compile(read).await? {
            if let Some(parts) = out.get_mut(&machine) {
                parts.insert(compiler.part().to_owned(), part);
            }
        }
    }
    Ok(out)
}

/// Compiles all machines and keeps what changed; tells connected agents through the feed.
///
/// It compiles what a reader sees and not in the writer, for which everybody would wait as long as the fleet is large.
/// What is written meanwhile is in the feed and makes another round, here and on every server of the same database, so
/// that the last round always sees the last change.
///
/// # Errors
/// Those of the compilers and the database.
async fn converge(app: &Arc<App>) -> Result<(), ArmError> {
    let mut read = app.store.read().await?;
    let mut parts = compile(&mut read, &app.compilers).await?;
    for (machine, kept) in read_documents::<Desired>(&mut read, kind::DESIRED).await? {
        if parts.get(&machine).is_some_and(|parts| kept.stands(&content_hash(parts), 0)) {
            parts.remove(&machine);
        }
    }
    drop(read);
    if parts.is_empty() {
        return Ok(());
    }
    app.store
        .write::<_, ArmError, _>(move |tx| {
            Box::pin(async move {
                for (machine, parts) in parts {
                    let id = Scope::parse(&machine).map_err(|_| ArmError::internal())?;
                    // One that was retired meanwhile must not get a document again.
                    if let Some(vm) = tx.get(&id).await? {
                        machine::keep_desired(tx, &vm.id, parts).await?;
                    }
                }
                Ok(())
            })
        })
        .await
}

/// Follows the feed for as long as the server runs. It only ever converges: whatever was missed is made up for by the
/// next round.
pub async fn follow(app: Arc<App>) {
    let mut feed = app.store.changes();
    let mut due = true;
    loop {
        if due && let Err(error) = converge(&app).await {
            tracing::error!(%error, "desired documents could not be compiled");
        }
        let concerned = |news: &News| match news {
            News::Changes(changes) => changes.iter().any(|c| concerns(&app, c)),
            News::Missed => true,
        };
        let Some(news) = feed.next().await else { return };
        due = concerned(&news);
        // One round answers everything that came during the one before.
        while let Some(more) = feed.ready() {
            due |= concerned(&more);
        }
    }
}

fn concerns(app: &App, change: &Change) -> bool {
    change.kind == vm_type().key() || app.compilers.iter().any(|c| c.watches(&change.kind))
}

/// What a write would do: the answer of `?whatIf=true`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WhatIf {
    /// The resource before and after.
    pub changes: Vec<ResourceChange>,
    /// The machines it changes something on, as far as the caller may know of them.
    pub machines: Vec<MachineEffect>,
    /// How many more it changes something on.
    pub other_machines: usize,
    /// What people gain and lose by it, as far as the caller may know of it.
    pub rights: Vec<RightsChange>,
    /// How many more such rows there are.
    pub other_rights: usize,
}

impl WhatIf {
    /// Of a write that concerns no machine and nobody's rights.
    pub fn of(changes: Vec<ResourceChange>) -> WhatIf {
        WhatIf { changes, machines: Vec::new(), other_machines: 0, rights: Vec::new(), other_rights: 0 }
    }
}

/// A resource before and after a write; null where it does not exist.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceChange {
    resource_id: String,
    change_type: ChangeType,
    before: Value,
    after: Value,
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
enum ChangeType {
    Create,
    Modify,
    Delete,
    NoChange,
}

impl ResourceChange {
    /// Compares what was shown; etags differ without anybody's having changed anything.
    pub fn between(resource_id: String, before: Value, after: Value) -> ResourceChange {
        let strip = |v: &Value| {
            let mut v = v.clone();
            if let Some(map) = v.as_object_mut() {
                map.remove("etag");
            }
            v
        };
        let change_type = match (&before, &after) {
            (Value::Null, Value::Null) => ChangeType::NoChange,
            (Value::Null, _) => ChangeType::Create,
            (_, Value::Null) => ChangeType::Delete,
            (a, b) if strip(a) == strip(b) => ChangeType::NoChange,
            _ => ChangeType::Modify,
        };
        ResourceChange { resource_id, change_type, before, after }
    }
}

/// What a write changes on a machine.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MachineEffect {
    /// The machine.
    pub id: String,
    name: String,
    online: bool,
    /// The generation wanted of it before the write, which leads to a later one.
    generation: u64,
    /// Rows of the compilers; today that is the one of network rules.
    #[schemars(with = "Vec<sekisho_nsg::provider::RuleEffect>")]
    changes: Vec<Value>,
    /// What that does to packets.
    #[schemars(with = "Vec<sekisho_nsg::provider::TrafficEffect>")]
    traffic: Vec<Value>,
}

/// Runs a write, compiles before and after, and says what would change. The caller undoes the transaction.
///
/// # Errors
/// Those of the write and the compilers.
pub async fn preview<F>(
    app: &Arc<App>,
    tx: &mut dyn Write,
    call: &Call,
    target: &Scope,
    work: F,
) -> Result<WhatIf, ArmError>
where
    F: for<'t> FnOnce(
            &'t Registry,
            &'t mut dyn Write,
            &'t Call,
            &'t Scope,
        ) -> futures_util::future::BoxFuture<'t, Result<Answer, ArmError>>
        + Send
        + 'static,
{
    let shown = async |tx: &mut dyn Write| match engine::load(&app.registry, tx.as_read(), target).await? {
        Some(r) => engine::show(&app.registry, tx.as_read(), call, &r).await,
        None => Ok(Value::Null),
    };
    let before = shown(tx).await?;
    let old = compile(tx.as_read(), &app.compilers).await?;
    let concerned = rights::are_concerned(target);
    let universe = app.access.universe();
    let had = match concerned {
        true => Some(rights::state(tx.as_read(), universe.clone()).await?),
        false => None,
    };
    work(&app.registry, tx, call, target).await?;
    let after = shown(tx).await?;
    let new = compile(tx.as_read(), &app.compilers).await?;
    let empty = BTreeMap::new();
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut machines = Vec::new();
    let mut concerned_parts = Vec::new();
    for key in keys {
        let (a, b) = (old.get(key).unwrap_or(&empty), new.get(key).unwrap_or(&empty));
        let changes: Vec<Value> =
            app.compilers.iter().flat_map(|c| c.changes(a.get(c.part()), b.get(c.part()))).collect();
        if changes.is_empty() {
            continue;
        }
        let state: Machine =
            sekisho_arm::traits::read_document(tx.as_read(), kind::MACHINE, key).await?.unwrap_or_default();
        let id = Scope::parse(key).map_err(|_| ArmError::internal())?;
        let id = tx.get(&id).await?.map_or(id, |r| r.id);
        let online = state.presence(tx.now()) == machine::Presence::Online;
        let name = id.name().to_owned();
        let generation = state.convergence().generation;
        let traffic = Vec::new();
        machines.push(MachineEffect { id: id.to_string(), name, online, generation, changes, traffic });
        concerned_parts.push((a, b));
    }
    for compiler in &app.compilers {
        let part = compiler.part();
        let pairs: Vec<_> = concerned_parts.iter().map(|(a, b)| (a.get(part), b.get(part))).collect();
        for (machine, rows) in machines.iter_mut().zip(compiler.effects(&pairs)) {
            machine.traffic.extend(rows);
        }
    }
    let change = ResourceChange::between(target.to_string(), before, after);
    let rights = match had {
        Some(had) => rights::between(had, rights::state(tx.as_read(), universe).await?),
        None => Vec::new(),
    };
    Ok(WhatIf { machines, rights, ..WhatIf::of(vec![change]) })
}
