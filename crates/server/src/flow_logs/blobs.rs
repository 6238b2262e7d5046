//! The blobs of one machine's hour, from the lake to the storage accounts.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _, PutPayload};
use sekisho_arm::{Read, Resource, Scope};
use sekisho_lake::{FlowQuery, FlowRow, Machines};
use sekisho_nsg::flow::azure::{
    About, FlowTuple, Logged, NSG_CONTAINER, VNET_CONTAINER, blob_folder, blob_path, nsg_blob, vnet_blob,
};
use sekisho_nsg::flow::filter::Filter;
use sekisho_nsg::flow::record::{DecidingRule, Flow, State};
use sekisho_nsg::policy::MacAddress;
use sekisho_nsg::provider::{KeptFlowLog, flow_logs, guid, logged};
use sekisho_store::from_ms;
use time::{Duration, OffsetDateTime};

use super::{FlowLogError, HOUR, storage};
use crate::app::App;

/// Flows of a machine's hour that are written; what exceeds them is in the lake only, and the server's log says so.
const MOST: usize = 1_000_000;

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

/// Writes the blobs of a machine's hour, as many as can be. Storage accounts that do not answer are noted in `down`, and not
/// asked again.
pub(super) async fn write(
    app: &App,
    machine: &Scope,
    own: &[LoggedInterface],
    hour: i64,
    down: &mut BTreeSet<String>,
) -> Result<(), FlowLogError> {
    if own.is_empty() {
        return Ok(());
    }
    let flows = flows(app, machine, hour).await?;
    let mut failed = None;
    for (nic, logs) in own {
        for log in logs {
            let account = log.spec.storage.name();
            let written = if down.contains(account) {
                Err(FlowLogError::Down(account.to_owned()))
            } else {
                write_one(app, nic, log, hour, &flows).await
            };
            if let Err(FlowLogError::Objects(account, _)) = &written {
                down.insert(account.clone());
            }
            failed = failed.or(written.err());
        }
    }
    failed.map_or(Ok(()), Err)
}

/// The flows of a machine's hour in the order of their time.
async fn flows(app: &App, machine: &Scope, hour: i64) -> Result<Vec<FlowRow>, FlowLogError> {
    let query = FlowQuery {
        machines: Machines::One(machine.key()),
        from: from_ms(hour * HOUR),
        to: from_ms((hour + 1) * HOUR - 1),
        filter: Filter::default(),
    };
    let take = |out: &mut Vec<FlowRow>, row| {
        out.push(row);
        if out.len() > MOST { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let mut out = app.lake.flows(&query, Vec::new, take).await?;
    if out.len() > MOST {
        tracing::error!(machine = %machine, hour = %from_ms(hour * HOUR), "an hour has more flows than a flow log takes");
    }
    // The same whether they are hot, flushed or compacted.
    out.sort_by(|a, b| (a.record.flow.at, &a.origin).cmp(&(b.record.flow.at, &b.origin)));
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
    flows: &[FlowRow],
) -> Result<(), FlowLogError> {
    let Some(about) = about(nic, log) else { return Ok(()) };
    let mut guids = HashMap::<String, String>::new();
    let own = flows.iter().map(|row| &row.record).filter(|record| record.nic.mac == Some(about.mac));
    let own = own.filter(|record| {
        let decided = |rule: &DecidingRule| rule.nsg.eq_ignore_ascii_case(&about.target);
        !is_of_group(log) || record.rule.as_deref().is_some_and(decided)
    });
    let lines: Vec<Logged> = own
        .map(|record| {
            let rule = record.rule.as_ref().map(|rule| {
                let id = || Scope::parse(&rule.nsg).map(|id| guid(&id).to_string()).unwrap_or_default();
                (guids.entry(rule.nsg.clone()).or_insert_with(id).clone(), rule.logged_name())
            });
            Logged { tuple: tuple(&record.flow), rule }
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
    let mut failed = None;
    for log in logs {
        let Some(days) = log.spec.retention_days else { continue };
        let old = now - Duration::days(days.into());
        failed = failed.or(retain_one(app, &log, old).await.err());
    }
    failed.map_or(Ok(()), Err)
}

async fn retain_one(app: &App, log: &KeptFlowLog, old: OffsetDateTime) -> Result<(), FlowLogError> {
    let account = log.spec.storage.name();
    let refused = |e| FlowLogError::Objects(account.to_owned(), e);
    let objects = storage::open(&app.config, account, container(log))?;
    let of = if is_of_group(log) { &log.spec.target } else { &log.id };
    let folder =
        Path::parse(blob_folder(&of.to_string(), is_of_group(log))).map_err(|e| refused(e.into()))?;
    let blobs: Vec<_> = objects.list(Some(&folder)).try_collect().await.map_err(refused)?;
    for blob in blobs.into_iter().filter(|b| b.last_modified.timestamp() < old.unix_timestamp()) {
        objects.delete(&blob.location).await.map_err(refused)?;
    }
    Ok(())
}
