//! What the server keeps about machines, and the transitions a machine goes through: connects, sends facts, reports, is
//! retired. Each is a function over one transaction.

use std::collections::HashMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use sekisho_arm::resource::merge_patch;
use sekisho_arm::traits::{read_document, read_documents_between, write_document};
use sekisho_arm::{
    ArmError, AuditEntry, Listing, Outcome, Phase, Read, Resource, Scope, StoreError, TypeName, Write,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::command;
use crate::desired::content_hash;
use crate::duplicate::Duplicate;
use crate::enrolment;
use crate::events;
use crate::facts::{Facts, facts_hash};
use crate::hits;
use crate::message::{Report, ReportOutcome};
use crate::outline::Outline;
use crate::summary::summarize;
use crate::{DesiredDocument, witnesses};

/// Document kinds.
pub mod kind {
    /// Agents by id.
    pub const AGENT: &str = "agent";
    /// Machine states by the lower-case id of the machine.
    pub const MACHINE: &str = "machine";
    /// Facts by the lower-case id of the machine.
    pub const FACTS: &str = "facts";
    /// Desired documents by the lower-case id of the machine.
    pub const DESIRED: &str = "desired";
    /// Enrolment tokens' ids by the hash of their secret.
    pub const JOIN_SECRET: &str = "join-secret";
    /// Ids of agents whose machine is to join again, by the hash of the secret for that.
    pub const REKEY_SECRET: &str = "rekey-secret";
}

/// A report at most this old means that the machine is online.
pub const ONLINE: Duration = Duration::seconds(90);
/// A report at most this old means that it is late; beyond, it is offline.
pub const STALE: Duration = Duration::minutes(10);

/// The state of a machine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Machine {
    /// Its agent.
    pub agent: String,
    /// The agent's version.
    pub version: String,
    /// The kernel's boot id.
    pub boot_id: String,
    /// When it last reported anything.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_report_at: Option<OffsetDateTime>,
    /// The hash of the facts kept.
    pub facts_hash: Option<String>,
    /// The facts kept, in short. Absent in what a version before it wrote; [`Machine::complete`] adds it.
    pub outline: Option<Outline>,
    /// The generation of the desired document kept; 0 when there is none. As old as the outline.
    pub wanted: u64,
    /// What is attached to it. Absent in what a version wrote that did not name the interfaces; completed likewise.
    #[serde(rename = "attachments")]
    pub attached: Option<Attached>,
    /// How the newest generation it knows ended.
    pub report: Option<Report>,
    /// The generation whose end nobody has heard of yet.
    pub pending: Option<Pending>,
    /// Set while two machines use its key.
    pub duplicate: Option<Duplicate>,
}

/// A generation that was decided and has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// Which.
    pub generation: u64,
    /// What its entries in the log have in common.
    pub correlation_id: String,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
}

impl Pending {
    /// The entry about its end.
    fn ended(self, machine: &Scope, outcome: Outcome, detail: &str) -> AuditEntry {
        let about = command::intent(machine, self.generation, "");
        AuditEntry {
            outcome,
            detail: detail.to_owned(),
            correlation_id: self.correlation_id,
            phase: Some(Phase::Result),
            properties: Some(json!({"generation": self.generation})),
            ..about
        }
    }
}

/// What is attached to a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Attached {
    /// The ids of its network interfaces, in their order.
    pub interfaces: Vec<String>,
    /// The ids of the security groups of its interfaces.
    pub nsgs: Vec<String>,
}

impl Attached {
    async fn to(read: &mut (dyn Read + '_), machine: &Scope) -> Result<Attached, StoreError> {
        let group = |nic: &Resource| {
            let group = nic.rest.get("properties")?.get("networkSecurityGroup")?;
            Some(group.get("id")?.as_str()?.to_owned())
        };
        let own = interfaces(read, machine).await?;
        let interfaces = own.iter().map(|nic| nic.id.to_string()).collect();
        Ok(Attached { interfaces, nsgs: own.iter().filter_map(group).collect() })
    }
}

/// How long ago a machine last reported, as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It reported within [`ONLINE`].
    Online,
    /// It reported within [`STALE`].
    Stale,
    /// It has been silent for longer, or never reported.
    Offline,
    /// Two machines use its key; nothing is taken from them or given to them.
    Duplicate,
}

impl Machine {
    /// Adds what a version before outlines did not write, from the documents it was taken from.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn complete(&mut self, read: &mut (dyn Read + '_), machine: &Scope) -> Result<(), StoreError> {
        let key = &machine.key();
        if self.attached.is_none() {
            self.attached = Some(Attached::to(read, machine).await?);
        }
        if self.outline.is_none() && self.facts_hash.is_some() {
            let facts: Option<Facts> = read_document(read, kind::FACTS, key).await?;
            self.outline = facts.as_ref().map(Outline::from);
        }
        if self.wanted == 0 {
            let desired: Option<Desired> = read_document(read, kind::DESIRED, key).await?;
            self.wanted = desired.map_or(0, |d| d.generation);
        }
        Ok(())
    }

    /// The machine's presence. It is the age of the last durable report, never the state of a socket.
    pub fn presence(&self, now: OffsetDateTime) -> Presence {
        if self.duplicate.is_some() {
            return Presence::Duplicate;
        }
        match self.last_report_at.map(|at| now - at) {
            Some(age) if age <= ONLINE => Presence::Online,
            Some(age) if age <= STALE => Presence::Stale,
            _ => Presence::Offline,
        }
    }

    /// The newest generation that the machine knows.
    fn known(&self) -> u64 {
        self.report.as_ref().map_or(0, |report| report.generation)
    }

    /// Compares what is wanted with what was reported.
    pub fn convergence(&self) -> Convergence {
        let message = self.report.as_ref().map(|r| r.message.clone()).unwrap_or_default();
        let (state, applied) = match (self.wanted, &self.report) {
            (0, _) => (ConvergenceState::None, None),
            (_, None) => (ConvergenceState::Pending, None),
            (wanted, Some(r)) if r.generation < wanted => (ConvergenceState::Pending, None),
            (_, Some(r)) => match r.outcome {
                ReportOutcome::Applied | ReportOutcome::Repaired => {
                    (ConvergenceState::Applied, Some(r.generation))
                }
                ReportOutcome::Failed => (ConvergenceState::Failed, None),
                ReportOutcome::Reverted => (ConvergenceState::Reverted, None),
            },
        };
        Convergence { generation: self.wanted, applied, state, message }
    }
}

/// The desired document kept for a machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Desired {
    /// Its generation.
    pub generation: u64,
    /// The hash of its parts.
    pub hash: String,
    /// The text.
    #[serde(rename = "signed")]
    pub text: Text,
    /// The exact bytes of the log's entry about it. Absent in what a version before it wrote; such a document is
    /// decided anew.
    #[serde(default)]
    pub leaf: Option<String>,
}

/// The text of a desired document. It is signed when it is sent, with the keys of that moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Text {
    /// The exact text.
    pub document: String,
}

impl Desired {
    /// Whether it is still what is wanted of a machine that knows this generation.
    pub fn stands(&self, hash: &str, known: u64) -> bool {
        self.hash == hash && self.leaf.is_some() && self.generation >= known
    }
}

/// How far a machine is with its desired document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Convergence {
    /// The generation wanted.
    pub generation: u64,
    /// The newest generation it reported in force.
    pub applied: Option<u64>,
    /// How it went.
    pub state: ConvergenceState,
    /// The machine's own words when something went wrong.
    pub message: String,
}

/// Where a machine is with what is wanted of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConvergenceState {
    /// It is in force.
    Applied,
    /// It has not been reported yet.
    Pending,
    /// It could not be put in force.
    Failed,
    /// It was put in force and taken back.
    Reverted,
    /// Nothing is wanted yet.
    None,
}

impl ConvergenceState {
    /// The word that clients read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Pending => "pending",
            Self::Failed => "failed",
            Self::Reverted => "reverted",
            Self::None => "none",
        }
    }
}

/// Something that makes resources out of a machine's facts, such as its network interfaces.
#[async_trait]
pub trait FactsObserver: Send + Sync {
    /// Runs in the transaction that keeps the facts.
    async fn observe(&self, tx: &mut dyn Write, machine: &Resource, facts: &Facts) -> Result<(), ArmError>;
    /// Runs in the transaction that retires the machine.
    async fn retire(&self, tx: &mut dyn Write, machine: &Resource) -> Result<(), ArmError>;
}

/// Something that contributes a part to desired documents.
#[async_trait]
pub trait PartCompiler: Send + Sync {
    /// The part's name.
    fn part(&self) -> &'static str;
    /// Whether a change of this kind (lower-case type or document kind) can change the part.
    fn watches(&self, kind: &str) -> bool;
    /// The part of every machine, by the lower-case id of the machine: a pure function of the database.
    async fn compile(
        &self,
        read: &mut dyn Read,
    ) -> Result<std::collections::BTreeMap<String, Value>, ArmError>;
    /// What a change of the part means on the machine, as rows for a person to review.
    fn changes(&self, before: Option<&Value>, after: Option<&Value>) -> Vec<Value>;
    /// What machines do otherwise by it, for each pair of parts before and after, as rows for a person to review.
    fn effects(&self, pairs: &[(Option<&Value>, Option<&Value>)]) -> Vec<Vec<Value>> {
        pairs.iter().map(|_| Vec::new()).collect()
    }
}

/// The type of machines.
pub fn vm_type() -> TypeName {
    TypeName::new("Microsoft.Compute", "virtualMachines")
}

/// The network interfaces of a machine: those whose `virtualMachine` it is. Their ids begin with its name, so that a
/// group of thousands is not read for each of its machines.
///
/// # Errors
/// Those of the database.
pub async fn interfaces(read: &mut (dyn Read + '_), machine: &Scope) -> Result<Vec<Resource>, StoreError> {
    const PAGE: usize = 16;
    let Some(group) = machine.group_scope() else { return Ok(Vec::new()) };
    let name = format!("{}-", machine.name());
    let Ok(stem) = group.resource_in("Microsoft.Network", "networkInterfaces", &name) else {
        return Ok(Vec::new());
    };
    let stem = stem.key();
    let mut listing =
        Listing { after: Some(stem.clone()), limit: PAGE, ..Listing::of(&group, &interface_type()) };
    let mut own = Vec::new();
    loop {
        let page = read.list(&listing).await?;
        let full = page.len() == PAGE;
        listing.after = page.last().map(|n| n.id.key());
        for nic in page {
            if !nic.id.key().starts_with(&stem) {
                return Ok(own);
            }
            // A machine "a" has no part in the interfaces of a machine "a-b".
            if machine_of(&nic).as_ref() == Some(machine) {
                own.push(nic);
            }
        }
        if !full {
            return Ok(own);
        }
    }
}

/// The type of network interfaces.
pub fn interface_type() -> TypeName {
    TypeName::new("Microsoft.Network", "networkInterfaces")
}

fn machine_of(nic: &Resource) -> Option<Scope> {
    Scope::parse(nic.rest.get("properties")?.get("virtualMachine")?.get("id")?.as_str()?).ok()
}

/// The state of a machine, complete.
///
/// # Errors
/// Those of the database.
pub async fn state(read: &mut (dyn Read + '_), machine: &Scope) -> Result<Machine, StoreError> {
    let mut state: Machine = read_document(read, kind::MACHINE, &machine.key()).await?.unwrap_or_default();
    state.complete(read, machine).await?;
    Ok(state)
}

/// What is kept of many machines, which come in the order of their ids, by their keys.
///
/// # Errors
/// Those of the database.
pub async fn states(
    read: &mut (dyn Read + '_),
    machines: &[Resource],
) -> Result<HashMap<String, Machine>, StoreError> {
    let (Some(first), Some(last)) = (machines.first(), machines.last()) else { return Ok(HashMap::new()) };
    let (first, last) = (first.id.key(), last.id.key());
    let all = read_documents_between(read, kind::MACHINE, (&first, &last)).await?;
    Ok(all.into_iter().collect())
}

/// Takes note of what is attached to a machine now. Whoever writes its network interfaces calls this in the same
/// transaction.
///
/// # Errors
/// Those of the database.
pub async fn note_attached(tx: &mut (dyn Write + '_), machine: &Scope) -> Result<(), StoreError> {
    let mut state = state(tx.as_read(), machine).await?;
    let attached = Some(Attached::to(tx.as_read(), machine).await?);
    if state.attached != attached {
        state.attached = attached;
        write_document(tx, kind::MACHINE, &machine.key(), &state).await?;
    }
    Ok(())
}

/// Changes the state of a machine and marks it as heard of now.
///
/// # Errors
/// Those of the database.
pub async fn heard(
    tx: &mut (dyn Write + '_),
    machine: &Scope,
    change: impl FnOnce(&mut Machine) + Send,
) -> Result<Machine, StoreError> {
    let key = machine.key();
    let mut state = state(tx.as_read(), machine).await?;
    change(&mut state);
    state.last_report_at = Some(tx.now());
    write_document(tx, kind::MACHINE, &key, &state).await?;
    Ok(state)
}

/// An agent's connection begins: `report` is how the newest generation that it knows ended, when it says so.
///
/// # Errors
/// Those of the database.
pub async fn connected(
    tx: &mut (dyn Write + '_),
    machine: &Scope,
    version: &str,
    boot_id: &str,
    report: Option<Report>,
) -> Result<Machine, StoreError> {
    let short = |text: &str| -> String { text.chars().take(64).collect() };
    let (version, boot_id) = (short(version), short(boot_id));
    let told = json!({"version": version, "bootId": boot_id});
    events::happened(tx, machine, events::kind::CONNECTED, told).await?;
    let state = heard(tx, machine, |m| {
        m.version = version;
        m.boot_id = boot_id;
    })
    .await?;
    match report {
        Some(report) => reported(tx, machine, report).await,
        None => Ok(state),
    }
}

/// An agent's connection ended.
///
/// # Errors
/// Those of the database.
pub async fn disconnected(
    tx: &mut (dyn Write + '_),
    machine: &Scope,
    reason: &str,
) -> Result<(), StoreError> {
    let told = json!({"reason": events::bounded(reason)});
    events::happened(tx, machine, events::kind::DISCONNECTED, told).await
}

/// A machine says how a generation ended. What it says again is no news, but another repair is.
///
/// # Errors
/// Those of the database.
pub async fn reported(
    tx: &mut (dyn Write + '_),
    machine: &Scope,
    report: Report,
) -> Result<Machine, StoreError> {
    let (mut known, mut ended) = (None, None);
    let kept = report.clone();
    let state = heard(tx, machine, |m| {
        ended = m.pending.take_if(|pending| pending.generation <= kept.generation);
        known = m.report.replace(kept);
    })
    .await?;
    if let Some(pending) = ended {
        let (outcome, detail) = match report.outcome {
            ReportOutcome::Applied | ReportOutcome::Repaired => (Outcome::Succeeded, "Applied"),
            ReportOutcome::Failed => (Outcome::Failed, "Failed"),
            ReportOutcome::Reverted => (Outcome::Failed, "Reverted"),
        };
        tx.audit(pending.ended(machine, outcome, detail)).await?;
    }
    let again = known.as_ref() == Some(&report);
    let kind = match report.outcome {
        ReportOutcome::Applied => Some(events::kind::APPLIED),
        ReportOutcome::Failed => Some(events::kind::FAILED),
        ReportOutcome::Reverted => Some(events::kind::REVERTED),
        // The machine tells of each repair itself: only the last one is reported.
        ReportOutcome::Repaired => None,
    };
    if let Some(kind) = kind.filter(|_| !again) {
        let told = json!({"generation": report.generation, "message": events::bounded(&report.message)});
        events::happened(tx, machine, kind, told).await?;
    }
    Ok(state)
}

/// Keeps facts: whole (`base` is `None`) or as a patch to the facts with hash `base`. False when the patch does not
/// fit and all facts are needed.
///
/// # Errors
/// 400 when the facts do not have the shape of facts; those of the observers and the database.
pub async fn keep_facts(
    tx: &mut (dyn Write + '_),
    machine: &Scope,
    base: Option<&str>,
    value: Value,
    observers: &[std::sync::Arc<dyn FactsObserver>],
) -> Result<bool, ArmError> {
    let key = machine.key();
    let before = tx.document(kind::FACTS, &key).await?.map(|kept| kept.body()).transpose()?;
    let facts = match base {
        None => value,
        Some(base) => {
            let state: Machine = read_document(tx.as_read(), kind::MACHINE, &key).await?.unwrap_or_default();
            let Some(mut whole) = before.clone().filter(|_| state.facts_hash.as_deref() == Some(base)) else {
                return Ok(false);
            };
            merge_patch(&mut whole, &value);
            whole
        }
    };
    let typed: Facts = sekisho_arm::resource::typed(&facts, "facts")?;
    let hash = facts_hash(&facts);
    if let Some(told) = before.and_then(|before| summarize(&before, &facts)) {
        events::happened(tx, machine, events::kind::FACTS, told).await?;
    }
    tx.put_document(kind::FACTS, &key, facts).await?;
    heard(tx, machine, |m| {
        m.facts_hash = Some(hash);
        m.outline = Some(Outline::from(&typed));
    })
    .await?;
    if let Some(vm) = tx.get(machine).await? {
        for observer in observers {
            observer.observe(tx, &vm, &typed).await?;
        }
    }
    Ok(true)
}

/// Gives a machine the parts it should have; a new generation is made only when they differ from what it has. The log's
/// entry about it is written in the same transaction.
///
/// # Errors
/// Those of the database.
pub async fn keep_desired(
    tx: &mut (dyn Write + '_),
    machine: &Scope,
    parts: std::collections::BTreeMap<String, Value>,
) -> Result<Option<Desired>, StoreError> {
    let machine_key = &machine.key();
    let kept: Option<Desired> = read_document(tx.as_read(), kind::DESIRED, machine_key).await?;
    let mut state = state(tx.as_read(), machine).await?;
    let known = state.known();
    let hash = content_hash(&parts);
    if kept.as_ref().is_some_and(|kept| kept.stands(&hash, known)) {
        return Ok(None);
    }
    let generation = kept.map_or(0, |k| k.generation).max(known).saturating_add(1);
    let document = DesiredDocument { machine: machine_key.to_owned(), generation, parts };
    let text = serde_json::to_string(&document).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    let intent = command::intent(machine, generation, &text);
    let pending = Pending { generation, correlation_id: intent.correlation_id.clone(), since: tx.now() };
    if let Some(before) = state.pending.replace(pending) {
        tx.audit(before.ended(machine, Outcome::Failed, "Superseded")).await?;
    }
    let leaf = Some(tx.audit(intent).await?.leaf);
    let desired = Desired { generation, hash, text: Text { document: text }, leaf };
    write_document(tx, kind::DESIRED, machine_key, &desired).await?;
    state.wanted = generation;
    write_document(tx, kind::MACHINE, machine_key, &state).await?;
    Ok(Some(desired))
}

/// Decides anew what is wanted of a machine that knows a later generation than the database: one that was put back to an
/// earlier state, as by a backup that was restored.
///
/// # Errors
/// Those of the database.
pub async fn overtake(tx: &mut (dyn Write + '_), machine: &Scope, state: &Machine) -> Result<(), StoreError> {
    if state.wanted == 0 || state.wanted >= state.known() {
        return Ok(());
    }
    let kept: Option<Desired> = read_document(tx.as_read(), kind::DESIRED, &machine.key()).await?;
    let Some(kept) = kept else { return Ok(()) };
    let document: DesiredDocument = serde_json::from_str(&kept.text.document)
        .map_err(|e| StoreError::Corrupt(format!("the desired document of {machine}: {e}")))?;
    keep_desired(tx, machine, document.parts).await.map(drop)
}

/// Ends what was decided before an instant and of whose end nobody has heard. Returns whether there was something.
///
/// # Errors
/// Those of the database.
pub async fn give_up(
    tx: &mut (dyn Write + '_),
    machine: &Scope,
    before: OffsetDateTime,
) -> Result<bool, StoreError> {
    let mut state = state(tx.as_read(), machine).await?;
    let Some(pending) = state.pending.take_if(|pending| pending.since < before) else { return Ok(false) };
    tx.audit(pending.ended(machine, Outcome::Failed, "Timeout")).await?;
    write_document(tx, kind::MACHINE, &machine.key(), &state).await?;
    Ok(true)
}

/// Retires a machine: its agent may not come back, and what was kept about it goes.
///
/// # Errors
/// Those of the observers and the database.
pub async fn retire(
    tx: &mut (dyn Write + '_),
    vm: &Resource,
    observers: &[std::sync::Arc<dyn FactsObserver>],
) -> Result<(), ArmError> {
    let key = vm.id.key();
    for observer in observers {
        observer.retire(tx, vm).await?;
    }
    let state: Machine = read_document(tx.as_read(), kind::MACHINE, &key).await?.unwrap_or_default();
    enrolment::revoke(tx, &state.agent).await?;
    for kind in [kind::MACHINE, kind::FACTS, kind::DESIRED, witnesses::KIND, hits::KIND] {
        tx.remove_document(kind, &key).await?;
    }
    events::happened(tx, &vm.id, events::kind::RETIRED, json!({"agentId": state.agent})).await?;
    Ok(())
}
