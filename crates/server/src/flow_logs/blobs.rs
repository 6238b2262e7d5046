//! The blobs of one machine's hour, from the lake to the storage accounts.

use std::collections::HashMap;

use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _, PutPayload};
use sekisho_arm::{Read, Resource, Scope};
use sekisho_lake::{Order, Query};
use sekisho_nsg::flow::azure::{
    About, FlowTuple, Logged, NSG_CONTAINER, VNET_CONTAINER, blob_folder, blob_path, nsg_blob, vnet_blob,
};
use sekisho_nsg::flow::record::{Batch, DecidingRule, Flow, KIND, Nic, State};
use sekisho_nsg::policy::MacAddress;
use sekisho_nsg::provider::{KeptFlowLog, flow_logs, guid, logged};
use sekisho_store::from_ms;
use time::{Duration, OffsetDateTime};

use super::{FlowLogError, HOUR, storage};
use crate::app::App;

/// How long after a flow it may have been noted by its machine.
const NOTED: Duration = Duration::minutes(15);
/// Events of the lake that are in memory at once.
const PAGE: usize = 100;
/// Flows of a machine's hour that are written; what exceeds them is in the lake only, and the server's log says so.
const MOST: usize = 1_000_000;

/// A flow with what it names.
struct Named {
    flow: Flow,
    nic: Nic,
    rule: Option<DecidingRule>,
}

/// An interface with the flow logs that are about it.
pub(super) type LoggedInterface = (Resource, Vec<KeptFlowLog>);

/// What is logged now, by machine.
pub(super) async fn by_machine(
    read: &mut dyn Read,
) -> Result<HashMap<Scope, Vec<LoggedInterface>>, FlowLogError> {
    let logs = flow_logs(read).await?;
    let mut all: HashMap<Scope, Vec<LoggedInterface>> = HashMap::new();
    for (nic, logs) in logged(read, &logs).await? {
        let machine = nic.rest.get("properties").and_then(|p| p["virtualMachine"]["id"].as_str());
        if let Some(machine) = machine.and_then(|id| Scope::parse(id).ok()) {
            all.entry(machine).or_default().push((nic, logs));
        }
    }
    Ok(all)
}

/// Writes the blobs of a machine's hour.
pub(super) async fn write(
    app: &App,
    machine: &Scope,
    own: &[LoggedInterface],
    hour: i64,
) -> Result<(), FlowLogError> {
    if own.is_empty() {
        return Ok(());
    }
    let flows = flows(app, machine, hour).await?;
    for (nic, logs) in own {
        for log in logs {
            write_one(app, nic, log, hour, &flows).await?;
        }
    }
    Ok(())
}

/// The flows of a machine's hour in the order of their time.
async fn flows(app: &App, machine: &Scope, hour: i64) -> Result<Vec<Named>, FlowLogError> {
    let mut query = Query {
        machine: Some(machine.key()),
        from: Some(from_ms(hour * HOUR)),
        to: Some(from_ms((hour + 1) * HOUR) + NOTED),
        kinds: vec![KIND.to_owned()],
        order: Order::OldestFirst,
        limit: PAGE,
        ..Query::default()
    };
    let mut out = Vec::new();
    loop {
        let page = app.lake.query(&query).await?;
        for row in &page.rows {
            // One that makes no sense says nothing; it is shown among the machine's events.
            let Ok(batch) = Batch::read(&row.event.data) else { continue };
            for flow in batch.flows.into_iter().filter(|f| f.at.div_euclid(HOUR) == hour) {
                let Some(nic) = batch.nics.get(usize::from(flow.nic)).cloned() else { continue };
                let rule = flow.rule.and_then(|r| batch.rules.get(usize::from(r))).cloned();
                out.push(Named { flow, nic, rule });
            }
        }
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
        if out.len() > MOST {
            tracing::error!(machine = %machine, hour = %from_ms(hour * HOUR), "an hour has more flows than a flow log takes");
            break;
        }
    }
    out.sort_by_key(|n| n.flow.at);
    Ok(out)
}

fn about(nic: &Resource, log: &KeptFlowLog) -> Option<About> {
    let mac = nic.rest.get("properties")?.get("macAddress")?.as_str()?;
    Some(About {
        log: log.id.to_string(),
        log_guid: log.guid().to_string(),
        target: log.spec.target.to_string(),
        target_guid: guid(&log.spec.target).to_string(),
        mac: MacAddress::parse(mac).ok()?,
    })
}

fn is_of_group(log: &KeptFlowLog) -> bool {
    log.spec.target.type_name().is("Microsoft.Network/networkSecurityGroups")
}

fn container(log: &KeptFlowLog) -> &'static str {
    if is_of_group(log) { NSG_CONTAINER } else { VNET_CONTAINER }
}

async fn write_one(
    app: &App,
    nic: &Resource,
    log: &KeptFlowLog,
    hour: i64,
    flows: &[Named],
) -> Result<(), FlowLogError> {
    let Some(about) = about(nic, log) else { return Ok(()) };
    let mut guids = HashMap::<String, String>::new();
    let own = flows.iter().filter(|named| named.nic.mac == Some(about.mac));
    let own = own.filter(|named| {
        let decided = |rule: &DecidingRule| rule.nsg.eq_ignore_ascii_case(&about.target);
        !is_of_group(log) || named.rule.as_ref().is_some_and(decided)
    });
    let lines: Vec<Logged> = own
        .map(|named| {
            let rule = named.rule.as_ref().map(|rule| {
                let id = || Scope::parse(&rule.nsg).map(|id| guid(&id).to_string()).unwrap_or_default();
                (guids.entry(rule.nsg.clone()).or_insert_with(id).clone(), rule.logged_name())
            });
            Logged { tuple: tuple(&named.flow), rule }
        })
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    let text = if is_of_group(log) {
        serde_json::to_vec(&nsg_blob(&about, log.spec.version, &lines))?
    } else {
        serde_json::to_vec(&vnet_blob(&about, &lines))?
    };
    let account = log.spec.storage.name();
    let refused = |e| FlowLogError::Objects(account.to_owned(), e);
    let objects = storage::open(&app.config, account, container(log))?;
    let path = blob_path(&about, is_of_group(log), from_ms(hour * HOUR));
    let path = Path::parse(path).map_err(|e| refused(e.into()))?;
    objects.put(&path, PutPayload::from(text)).await.map_err(refused)?;
    Ok(())
}

fn tuple(flow: &Flow) -> FlowTuple {
    // Azure counts nothing where a flow begins or is denied; what stands for several says for how many.
    let counted = match flow.state {
        State::Begin => false,
        State::Continue | State::End => true,
        State::Denied => flow.delta.packets_sent > 1,
    };
    FlowTuple {
        at: flow.at,
        source: flow.source,
        destination: flow.destination,
        source_port: flow.source_port,
        destination_port: flow.destination_port,
        protocol: flow.protocol,
        direction: flow.direction,
        state: flow.state,
        delta: counted.then_some(flow.delta),
    }
}

/// Removes the blobs that were kept for as long as their flow log says.
pub(super) async fn retain(app: &App, now: OffsetDateTime) -> Result<(), FlowLogError> {
    let mut read = app.store.read().await?;
    let logs = flow_logs(&mut read).await?;
    drop(read);
    for log in logs {
        let Some(days) = log.spec.retention_days else { continue };
        let account = log.spec.storage.name();
        let refused = |e| FlowLogError::Objects(account.to_owned(), e);
        let objects = storage::open(&app.config, account, container(&log))?;
        let of = if is_of_group(&log) { &log.spec.target } else { &log.id };
        let folder =
            Path::parse(blob_folder(&of.to_string(), is_of_group(&log))).map_err(|e| refused(e.into()))?;
        let old = (now - Duration::days(days.into())).unix_timestamp();
        let blobs: Vec<_> = objects.list(Some(&folder)).try_collect().await.map_err(refused)?;
        for blob in blobs.into_iter().filter(|b| b.last_modified.timestamp() < old) {
            objects.delete(&blob.location).await.map_err(refused)?;
        }
    }
    Ok(())
}
