//! `Sekisho.Audit/logs`: what the activity log is as a whole, how far it is witnessed, and the proof that an entry is in
//! it.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::{JsonSchema, SchemaGenerator};
use sekisho_arm::registry::{PutStyle, Storage};
use sekisho_arm::resource::{instant, shown};
use sekisho_arm::{ArmError, Call, Read, ResourceType, Scope, ScopeKind, TypeSpec};
use sekisho_audit::Leaf;
use sekisho_audit::tree::Plan;
use sekisho_link::witnesses::{Witness, quorum};
use sekisho_store::Store;
use serde::Serialize;
use serde_json::Value;

use crate::log::{self, Log, Signed};
use crate::routes::List;

const VERSIONS: &[&str] = &["2026-11-01"];
/// The one log.
const NAME: &str = "activity";
/// Witnesses that are listed at most.
const LISTED: usize = 100;

/// The log as a whole.
pub struct Logs {
    /// Where it is kept.
    pub store: Store,
    /// What signs it.
    pub log: Arc<Log>,
}

/// What the activity log is as a whole.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ActivityLog {
    id: String,
    name: &'static str,
    #[serde(rename = "type")]
    type_name: &'static str,
    properties: LogProperties,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct LogProperties {
    /// How many entries it has.
    size: u64,
    /// The first entry whose content is kept; of those before it only the hash is.
    begins: i64,
    /// The key that signs it, a C2SP `vkey`.
    key: String,
    /// The newest checkpoint, a signed note (c2sp.org/tlog-checkpoint).
    checkpoint: String,
    /// How many machines could be witnesses.
    machines: usize,
    /// How many of them must have seen an entry for it to be final.
    quorum: usize,
    /// Up to which entry so many have; 0 when none.
    final_size: u64,
    /// How many have seen it up to there.
    witnessed_by: usize,
    /// How many machines do not believe the log any more.
    distrusted_by: usize,
    /// The witnesses in this scope that have seen most, and those that do not believe it; at most 100.
    witnesses: Vec<LogWitness>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct LogWitness {
    machine_id: String,
    /// How many entries it has seen.
    size: u64,
    /// When, by its clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    /// Why it does not believe the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    distrusts: Option<String>,
}

impl From<Witness> for LogWitness {
    fn from(Witness { machine, seen, distrusts }: Witness) -> Self {
        LogWitness {
            machine_id: machine.to_string(),
            size: seen.as_ref().map_or(0, |seen| seen.size),
            at: seen.map(|seen| instant(seen.at)),
            distrusts,
        }
    }
}

static SPEC: TypeSpec = TypeSpec {
    namespace: "Sekisho.Audit",
    path: "logs",
    versions: VERSIONS,
    scopes: &[ScopeKind::Subscription, ScopeKind::Tenant],
    storage: Storage::Computed,
    put: PutStyle::Refused,
    location: false,
    shows_etag: false,
    shows_state: false,
    actions: &[],
    schema: |g: &mut SchemaGenerator| g.subschema_for::<ActivityLog>(),
};

fn id_in(scope: &Scope) -> String {
    format!("{}/providers/Sekisho.Audit/logs/{NAME}", scope.to_string().trim_end_matches('/'))
}

fn of_scope(scope: &Scope, id: &Scope) -> bool {
    *scope == Scope::Tenant || scope.contains(id)
}

#[async_trait]
impl ResourceType for Logs {
    fn spec(&self) -> &TypeSpec {
        &SPEC
    }

    async fn computed(
        &self,
        _: &mut dyn Read,
        _: &Call,
        scope: &Scope,
        name: Option<&str>,
    ) -> Result<Value, ArmError> {
        let mut read = self.store.read().await?;
        let standing = log::standing(&mut read).await?;
        let Signed { note, .. } = self.log.checkpoint(&mut read, 0).await?;
        let distrusted_by = standing.witnesses.iter().filter(|w| w.distrusts.is_some()).count();
        let mut witnesses: Vec<LogWitness> = standing
            .witnesses
            .into_iter()
            .filter(|w| of_scope(scope, &w.machine))
            .map(LogWitness::from)
            .collect();
        witnesses.sort_by_key(|w| (w.distrusts.is_none(), std::cmp::Reverse(w.size)));
        witnesses.truncate(LISTED);
        let own = ActivityLog {
            id: id_in(scope),
            name: NAME,
            type_name: "Sekisho.Audit/logs",
            properties: LogProperties {
                size: standing.size,
                begins: read.log_begins().await?,
                key: self.log.key().to_string(),
                checkpoint: note,
                machines: standing.machines,
                quorum: quorum(standing.machines),
                final_size: standing.witnessed,
                witnessed_by: standing.by,
                distrusted_by,
                witnesses,
            },
        };
        match name {
            None => shown(&List::of(vec![own])),
            Some(name) if name.eq_ignore_ascii_case(NAME) => shown(&own),
            Some(name) => Err(missing("log", name)),
        }
    }
}

fn missing(what: &str, name: &str) -> ArmError {
    ArmError::new(404, "ResourceNotFound", format!("The {what} '{name}' was not found."))
}

/// Proofs that entries are in the log.
pub struct Proofs {
    /// Where it is kept.
    pub store: Store,
    /// What signs it.
    pub log: Arc<Log>,
}

/// The proof that an entry is in the log (RFC 6962): hash the leaf with a zero byte before it, then with each hash of
/// the path, and it is the checkpoint's root.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EntryProof {
    id: String,
    name: String,
    #[serde(rename = "type")]
    type_name: &'static str,
    properties: ProofProperties,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ProofProperties {
    /// The entry's number, from 1.
    sequence: i64,
    /// Its exact bytes; absent when only the hash is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    leaf: Option<String>,
    /// Its hash, hexadecimal.
    leaf_hash: String,
    /// The number of entries that the proof is about.
    size: u64,
    /// The hashes from the leaf to the root, hexadecimal.
    path: Vec<String>,
    /// The checkpoint of this size, a signed note (c2sp.org/tlog-checkpoint).
    checkpoint: String,
}

static PROOF_SPEC: TypeSpec = TypeSpec {
    namespace: "Sekisho.Audit",
    path: "logs/proofs",
    schema: |g: &mut SchemaGenerator| g.subschema_for::<EntryProof>(),
    versions: VERSIONS,
    scopes: &[ScopeKind::Subscription, ScopeKind::Tenant],
    storage: Storage::Computed,
    put: PutStyle::Refused,
    location: false,
    shows_etag: false,
    shows_state: false,
    actions: &[],
};

#[async_trait]
impl ResourceType for Proofs {
    fn spec(&self) -> &TypeSpec {
        &PROOF_SPEC
    }

    async fn computed(
        &self,
        _: &mut dyn Read,
        _: &Call,
        scope: &Scope,
        name: Option<&str>,
    ) -> Result<Value, ArmError> {
        let log = scope.resource().ok_or_else(ArmError::internal)?;
        if !log.name().eq_ignore_ascii_case(NAME) {
            return Err(missing("log", log.name()));
        }
        let Some(name) = name else {
            // There are as many as entries, and each is asked for by its number.
            return shown(&List::<EntryProof>::of(Vec::new()));
        };
        let unknown = || missing("entry", name);
        let sequence = name.parse::<i64>().ok().filter(|n| *n > 0).ok_or_else(unknown)?;
        let scope = log.base_scope();
        let mut read = self.store.read().await?;
        let entry = read.log_entries(sequence - 1, 1).await?.into_iter().next();
        let entry = entry.filter(|entry| entry.sequence == sequence).ok_or_else(unknown)?;
        if *scope != Scope::Tenant {
            // What happened outside every subscription is shown in each of them, as in the activity log.
            let leaf = entry.leaf.as_deref().and_then(|leaf| serde_json::from_str::<Leaf>(leaf).ok());
            let about = leaf.ok_or_else(unknown)?.entry.resource_id;
            let about = Scope::parse(&about).ok();
            if !about.is_none_or(|id| id.subscription().is_none() || scope.contains(&id)) {
                return Err(unknown());
            }
        }
        let sequence_size = sequence.unsigned_abs();
        let Signed { size, note } = self.log.checkpoint(&mut read, sequence_size).await?;
        let plan = Plan::inclusion(sequence_size - 1, size).ok_or_else(ArmError::internal)?;
        let path = read.log_proof(&plan).await?;
        shown(&EntryProof {
            id: format!("{}/proofs/{sequence}", id_in(scope)),
            name: sequence.to_string(),
            type_name: "Sekisho.Audit/logs/proofs",
            properties: ProofProperties {
                sequence,
                leaf: entry.leaf,
                leaf_hash: entry.hash.to_string(),
                size,
                path: path.iter().map(ToString::to_string).collect(),
                checkpoint: note,
            },
        })
    }
}
