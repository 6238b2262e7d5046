//! How an agent comes in and is put out: machines join, agents are admitted with a key and given another one, a machine
//! of which there are two is put in quarantine and let in again by a person. Each is a function over one transaction.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{
    ArmError, AuditEntry, CallerRef, Outcome, PrincipalKind, Read, Resource, Scope, StoreError, Write,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::duplicate::{Duplicate, Sighting, Verdict, judge};
use crate::events;
use crate::join::{Hex, SECRET_BYTES, secret_hash};
use crate::machine::{self, Machine, kind, vm_type};
use crate::message::{JoinRequest, Report};
use crate::pki::Authority;

/// How many former keys of an agent are remembered: a few days of renewals.
const FORMER: usize = 16;
/// A former key that is shown again within this time is no news.
const SHOWN: Duration = Duration::hours(1);
/// How long a machine may take to join again after it was given the string for that.
pub const REKEY: Duration = Duration::hours(1);

/// An agent that may connect.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    /// The machine it runs on.
    pub machine: Scope,
    /// SHA-256 of the keys it may use: the current one, and a renewed one until it is first used. None while its machine
    /// is to join again.
    pub keys: Vec<String>,
    /// Set when it must not connect any more.
    pub revoked: bool,
    /// Set while two machines use its key: both are heard and given nothing.
    #[serde(default)]
    pub quarantined: bool,
    /// The last hello of each of its processes, the newest at the end.
    #[serde(default)]
    pub sightings: Vec<Sighting>,
    /// What lets its machine join again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rekey: Option<Rekey>,
    /// SHA-256 of keys that it used before, the newest at the end.
    #[serde(default)]
    pub former: Vec<String>,
    /// When one of those was last shown.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub former_shown_at: Option<OffsetDateTime>,
}

/// What lets a machine join again under its own name, once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rekey {
    /// The hash of its secret.
    pub secret: String,
    /// Until when.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}

impl Agent {
    /// Has only these keys from now on.
    fn change_keys(&mut self, keys: Vec<String>) {
        let gone = std::mem::replace(&mut self.keys, keys).into_iter().filter(|k| !self.keys.contains(k));
        self.former.extend(gone);
        let surplus = self.former.len().saturating_sub(FORMER);
        self.former.drain(..surplus);
    }

    /// Whether it is news, told at most once in [`SHOWN`], that this key was shown: one that it used before.
    fn is_news(&self, spki: &[u8; 32], now: OffsetDateTime) -> bool {
        let told = self.former_shown_at.is_some_and(|at| now - at <= SHOWN);
        !self.revoked && !told && self.former.contains(&Hex(spki).to_string())
    }

    /// Whether another connection has said hello after this one.
    pub fn has_replaced(&self, connection: Uuid) -> bool {
        self.sightings.last().is_some_and(|s| s.connection != connection)
    }
}

fn refused() -> ArmError {
    ArmError::new(
        401,
        "InvalidJoinToken",
        "The join string is unknown, expired, revoked or used up. Make a new enrolment token and try again.",
    )
}

/// A machine that was let in.
pub struct Joined {
    /// The new agent's id.
    pub agent: Uuid,
    /// The machine.
    pub machine: Scope,
    /// Its certificate, PEM.
    pub certificate: String,
}

/// Lets a machine in: spends one use of the enrolment token, makes the machine and its agent.
///
/// # Errors
/// 401 `InvalidJoinToken` when the secret is unknown, expired or used up (one text for all, so that guessing teaches
/// nothing); 400 when the request is malformed.
pub async fn join(
    tx: &mut (dyn Write + '_),
    request: &JoinRequest,
    authority: &Authority,
    client: &str,
) -> Result<Joined, ArmError> {
    let secret = URL_SAFE_NO_PAD.decode(&request.secret).map_err(|_| refused())?;
    let hash = secret_hash(&secret);
    if let Some(agent) = read_document::<Uuid>(tx.as_read(), kind::REKEY_SECRET, &hash).await? {
        return rejoin(tx, agent, request, authority, client).await;
    }
    let token_id: Scope = read_document(tx.as_read(), kind::JOIN_SECRET, &hash).await?.ok_or_else(refused)?;
    let mut token = tx.get(&token_id).await?.ok_or_else(refused)?;
    let properties = token.properties();
    let number = |key: &str| properties.get(key).and_then(Value::as_i64).unwrap_or(0);
    let expires = properties.get("expiresAt").and_then(Value::as_str).unwrap_or_default();
    let expires = OffsetDateTime::parse(expires, &time::format_description::well_known::Rfc3339)
        .map_err(|_| refused())?;
    if tx.now() >= expires || number("uses") >= number("maxUses") {
        return Err(refused());
    }
    if let Some(known) = &request.machine {
        let text = format!(
            "This machine has joined already as '{known}'. Give that machine a new key and use the join string of that, \
             or run 'sekisho-agent leave' to make it another machine."
        );
        return Err(ArmError::new(409, "AlreadyJoined", text));
    }
    let agent = Uuid::now_v7();
    let (certificate, key) = certified(authority, &request.csr, agent, tx.now())?;
    let group = token.id.group_scope().ok_or_else(ArmError::internal)?;
    let name = free_name(tx, &group, &request.hostname).await?;
    let machine = group.resource_in("Microsoft.Compute", "virtualMachines", &name).map_err(|e| {
        ArmError::bad("InvalidHostName", format!("The host name cannot name a machine: {e}."))
            .target("hostname")
    })?;
    let uses = number("uses") + 1;
    token.properties_mut().insert("uses".into(), uses.into());
    let location = token.location.clone().unwrap_or_else(|| "home".to_owned());
    let tags = properties.get("machineTags").and_then(Value::as_object).cloned().unwrap_or_default();
    tx.put(token).await?;
    let now = tx.now();
    let vm = Resource {
        id: machine.clone(),
        type_name: vm_type(),
        location: Some(location),
        tags: Some(tags),
        etag: String::new(),
        sequence: 0,
        created_at: now,
        changed_at: now,
        rest: Map::from_iter([(
            "properties".to_owned(),
            json!({"vmId": agent.to_string(), "osProfile": {"computerName": request.hostname}}),
        )]),
    };
    tx.put(vm).await?;
    let record = Agent {
        machine: machine.clone(),
        keys: vec![key],
        revoked: false,
        quarantined: false,
        sightings: Vec::new(),
        rekey: None,
        former: Vec::new(),
        former_shown_at: None,
    };
    write_document(tx, kind::AGENT, &agent.to_string(), &record).await?;
    let state = Machine { agent: agent.to_string(), last_report_at: Some(now), ..Machine::default() };
    write_document(tx, kind::MACHINE, &machine.key(), &state).await?;
    let told = json!({"hostname": request.hostname, "agentId": agent.to_string(), "clientIpAddress": client});
    events::happened(tx, &machine, events::kind::JOINED, told).await?;
    tx.audit(joining(&machine, agent, "Created", json!({"enrolmentToken": token_id.to_string()}), client))
        .await?;
    Ok(Joined { agent, machine, certificate })
}

/// A certificate for the key of a request, and the key's hash.
fn certified(
    authority: &Authority,
    csr: &str,
    agent: Uuid,
    now: OffsetDateTime,
) -> Result<(String, String), ArmError> {
    let signed = authority
        .agent(csr, agent, now)
        .map_err(|e| ArmError::bad("InvalidCertificateRequest", format!("{e}.")).target("csr"))?;
    Ok((signed.certificate, Hex(&signed.spki).to_string()))
}

fn joining(machine: &Scope, agent: Uuid, detail: &str, evidence: Value, client: &str) -> AuditEntry {
    let name = machine.name().to_owned();
    AuditEntry {
        operation: "Sekisho.Fleet/machines/join/action".to_owned(),
        resource_id: machine.to_string(),
        caller: CallerRef { object_id: agent.to_string(), kind: PrincipalKind::Agent, name },
        outcome: Outcome::Succeeded,
        detail: detail.to_owned(),
        correlation_id: Uuid::new_v4().to_string(),
        authorization: Some(json!({"evidence": evidence})),
        http: Some(json!({"clientIpAddress": client, "method": "POST"})),
        phase: None,
        properties: None,
    }
}

/// Lets a machine in again that was to get a new key: everything that was known of it stays.
async fn rejoin(
    tx: &mut (dyn Write + '_),
    agent: Uuid,
    request: &JoinRequest,
    authority: &Authority,
    client: &str,
) -> Result<Joined, ArmError> {
    let mut record: Agent =
        read_document(tx.as_read(), kind::AGENT, &agent.to_string()).await?.ok_or_else(refused)?;
    let rekey = record.rekey.take().ok_or_else(refused)?;
    if record.revoked || tx.now() >= rekey.expires_at {
        return Err(refused());
    }
    let machine = record.machine.clone();
    if let Some(known) =
        request.machine.as_ref().filter(|known| !known.eq_ignore_ascii_case(&machine.to_string()))
    {
        let text = format!("The join string is for '{machine}', and this machine is '{known}'.");
        return Err(ArmError::new(409, "OtherMachine", text));
    }
    let (certificate, key) = certified(authority, &request.csr, agent, tx.now())?;
    tx.remove_document(kind::REKEY_SECRET, &rekey.secret).await?;
    record.change_keys(vec![key]);
    (record.quarantined, record.sightings) = (false, Vec::new());
    write_document(tx, kind::AGENT, &agent.to_string(), &record).await?;
    machine::heard(tx, &machine, |m| m.duplicate = None).await?;
    let told = json!({"hostname": events::bounded(&request.hostname), "clientIpAddress": client});
    events::happened(tx, &machine, events::kind::REJOINED, told).await?;
    tx.audit(joining(&machine, agent, "OK", json!({"rekey": true}), client)).await?;
    Ok(Joined { agent, machine, certificate })
}

/// Takes a machine's keys away and makes the secret with which it, or whichever machine is to be it, joins again. An
/// earlier such secret is worth nothing any more.
///
/// # Errors
/// 409 when no agent belongs to the machine; those of the database.
pub async fn rekey(
    tx: &mut (dyn Write + '_),
    machine: &Scope,
) -> Result<(Zeroizing<Vec<u8>>, OffsetDateTime), ArmError> {
    let state: Machine =
        read_document(tx.as_read(), kind::MACHINE, &machine.key()).await?.unwrap_or_default();
    let record: Option<Agent> = read_document(tx.as_read(), kind::AGENT, &state.agent).await?;
    let (Some(mut record), Ok(agent)) = (record, Uuid::parse_str(&state.agent)) else {
        return Err(ArmError::new(409, "NoAgent", "No agent belongs to this machine."));
    };
    let mut secret = Zeroizing::new(vec![0u8; SECRET_BYTES]);
    SystemRandom::new().fill(&mut secret).map_err(|_| ArmError::internal())?;
    let rekey = Rekey { secret: secret_hash(&secret), expires_at: tx.now() + REKEY };
    let expires_at = rekey.expires_at;
    write_document(tx, kind::REKEY_SECRET, &rekey.secret, &agent).await?;
    if let Some(earlier) = record.rekey.replace(rekey) {
        tx.remove_document(kind::REKEY_SECRET, &earlier.secret).await?;
    }
    record.change_keys(Vec::new());
    write_document(tx, kind::AGENT, &state.agent, &record).await?;
    events::happened(tx, machine, events::kind::REKEYED, json!({"agentId": state.agent})).await?;
    Ok((secret, expires_at))
}

/// Puts an agent out for good.
///
/// # Errors
/// Those of the database.
pub async fn revoke(tx: &mut (dyn Write + '_), agent: &str) -> Result<(), StoreError> {
    let Some(mut record) = read_document::<Agent>(tx.as_read(), kind::AGENT, agent).await? else {
        return Ok(());
    };
    if let Some(rekey) = record.rekey.take() {
        tx.remove_document(kind::REKEY_SECRET, &rekey.secret).await?;
    }
    record.revoked = true;
    write_document(tx, kind::AGENT, agent, &record).await
}

/// The host name, or the host name with a number when the group has a machine of that name.
async fn free_name(tx: &mut (dyn Write + '_), group: &Scope, hostname: &str) -> Result<String, ArmError> {
    let clean: String = hostname
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
        .take(60)
        .collect();
    let base = if clean.is_empty() { "machine".to_owned() } else { clean };
    for n in 1..10_000 {
        let name = if n == 1 { base.clone() } else { format!("{base}-{n}") };
        let id = group
            .resource_in("Microsoft.Compute", "virtualMachines", &name)
            .map_err(|_| ArmError::internal())?;
        if tx.get(&id).await?.is_none() {
            return Ok(name);
        }
    }
    Err(ArmError::bad("TooManyMachines", "The group has too many machines of this name."))
}

/// The agent behind a certificate, when it may connect.
///
/// # Errors
/// 403 when the agent is unknown, revoked, or uses a key it was not given.
pub async fn admit(read: &mut (dyn Read + '_), agent: Uuid, spki: &[u8; 32]) -> Result<Agent, ArmError> {
    let refused = || {
        ArmError::new(403, "AgentRevoked", "This machine was retired or its key is not known. Join it again.")
    };
    let known: Agent = read_document(read, kind::AGENT, &agent.to_string()).await?.ok_or_else(refused)?;
    if known.revoked || !known.keys.contains(&Hex(spki).to_string()) {
        return Err(refused());
    }
    Ok(known)
}

/// Signs a fresh certificate for an agent and remembers its key beside the one in use.
///
/// # Errors
/// As [`trusted`]; 400 when the request is malformed.
pub async fn renew(
    tx: &mut (dyn Write + '_),
    agent: Uuid,
    current: &[u8; 32],
    csr: &str,
    authority: &Authority,
) -> Result<String, ArmError> {
    let mut record = trusted(tx.as_read(), agent, current).await?;
    let (certificate, key) = certified(authority, csr, agent, tx.now())?;
    let told = json!({ "key": key });
    record.change_keys(vec![Hex(current).to_string(), key]);
    write_document(tx, kind::AGENT, &agent.to_string(), &record).await?;
    events::happened(tx, &record.machine, events::kind::RENEWED, told).await?;
    Ok(certificate)
}

/// The agent behind a certificate, when it may connect and its key is one machine's.
///
/// # Errors
/// As [`admit`]; 403 `DuplicateMachine` in quarantine.
pub async fn trusted(read: &mut (dyn Read + '_), agent: Uuid, spki: &[u8; 32]) -> Result<Agent, ArmError> {
    let known = admit(read, agent, spki).await?;
    if known.quarantined { Err(quarantined()) } else { Ok(known) }
}

/// Whether [`shown`] has anything to tell: whoever was refused can come again and again, and must not keep the writer
/// busy.
///
/// # Errors
/// Those of the database.
pub async fn is_news(read: &mut (dyn Read + '_), agent: Uuid, spki: &[u8; 32]) -> Result<bool, StoreError> {
    let known: Option<Agent> = read_document(read, kind::AGENT, &agent.to_string()).await?;
    Ok(known.is_some_and(|known| known.is_news(spki, read.now())))
}

/// Somebody who was not admitted showed this key. A key that the machine used before is one of a copy of it, or of a
/// state that it was put back to, which is told in its history; a key that was never the machine's is not.
///
/// # Errors
/// Those of the database.
pub async fn shown(
    tx: &mut (dyn Write + '_),
    agent: Uuid,
    spki: &[u8; 32],
    client: &str,
) -> Result<(), StoreError> {
    let known: Option<Agent> = read_document(tx.as_read(), kind::AGENT, &agent.to_string()).await?;
    let Some(mut record) = known.filter(|known| known.is_news(spki, tx.now())) else { return Ok(()) };
    record.former_shown_at = Some(tx.now());
    write_document(tx, kind::AGENT, &agent.to_string(), &record).await?;
    events::happened(tx, &record.machine, events::kind::FORMER_KEY, json!({"clientIpAddress": client})).await
}

/// What is said to the agents of a machine in quarantine.
pub fn quarantined() -> ArmError {
    ArmError::new(
        403,
        "DuplicateMachine",
        "Two machines use this machine's key. Nothing is taken from them or given to them until a person gives the right \
         one a new key; the rules in force stay.",
    )
}

/// An agent says hello: `report` is how the newest generation that it knows ended, when it says so. `None` when its
/// machine is in quarantine, or is from now on.
///
/// # Errors
/// As [`admit`].
pub async fn hello(
    tx: &mut (dyn Write + '_),
    agent: Uuid,
    spki: &[u8; 32],
    sighting: Sighting,
    version: &str,
    report: Option<Report>,
) -> Result<Option<Machine>, ArmError> {
    let mut record = admit(tx.as_read(), agent, spki).await?;
    if record.quarantined {
        let mut state = machine::state(tx.as_read(), &record.machine).await?;
        state.duplicate.get_or_insert_with(|| Duplicate::new(sighting.at, [&sighting; 2])).note(&sighting);
        write_document(tx, kind::MACHINE, &record.machine.key(), &state).await?;
        return Ok(None);
    }
    let key = Hex(spki).to_string();
    if record.keys.len() > 1 && record.keys.last() == Some(&key) {
        // A renewed key that is in use ends the one before it, of which there may be copies.
        record.change_keys(vec![key]);
    }
    let before = record.sightings.last().cloned();
    let (boot_id, connections) = (sighting.boot_id.clone(), sighting.lineage.connections);
    match (judge(&mut record.sightings, sighting.clone()), &before) {
        (Verdict::TakesTurns, Some(before)) => {
            quarantine(tx, agent, record, [before, &sighting]).await?;
            return Ok(None);
        }
        (Verdict::RolledBack, Some(before)) => {
            let told = json!({"connections": connections, "known": before.lineage.connections});
            events::happened(tx, &record.machine, events::kind::ROLLED_BACK, told).await?;
        }
        _ => {}
    }
    write_document(tx, kind::AGENT, &agent.to_string(), &record).await?;
    Ok(Some(machine::connected(tx, &record.machine, version, &boot_id, report).await?))
}

/// An agent answered on a connection after another one with its key had said hello: there are two of them.
///
/// # Errors
/// As [`admit`].
pub async fn answered(
    tx: &mut (dyn Write + '_),
    agent: Uuid,
    spki: &[u8; 32],
    own: &Sighting,
) -> Result<(), ArmError> {
    let record = admit(tx.as_read(), agent, spki).await?;
    match record.sightings.last().cloned() {
        Some(other) if other.connection != own.connection && !record.quarantined => {
            Ok(quarantine(tx, agent, record, [own, &other]).await?)
        }
        _ => Ok(()),
    }
}

async fn quarantine(
    tx: &mut (dyn Write + '_),
    agent: Uuid,
    mut record: Agent,
    sightings: [&Sighting; 2],
) -> Result<(), StoreError> {
    record.quarantined = true;
    write_document(tx, kind::AGENT, &agent.to_string(), &record).await?;
    let (machine, now) = (&record.machine, tx.now());
    let duplicate = Duplicate::new(now, sightings);
    let told = json!({ "sightings": duplicate.sightings });
    let mut state = machine::state(tx.as_read(), machine).await?;
    state.duplicate = Some(duplicate);
    write_document(tx, kind::MACHINE, &machine.key(), &state).await?;
    events::happened(tx, machine, events::kind::DUPLICATE, told.clone()).await?;
    tx.audit(AuditEntry {
        operation: "Sekisho.Fleet/machines/quarantine/action".to_owned(),
        resource_id: machine.to_string(),
        caller: CallerRef {
            object_id: Uuid::nil().to_string(),
            kind: PrincipalKind::System,
            name: "Sekisho".to_owned(),
        },
        outcome: Outcome::Succeeded,
        detail: "DuplicateMachine".to_owned(),
        correlation_id: Uuid::new_v4().to_string(),
        authorization: Some(json!({ "evidence": told })),
        http: None,
        phase: None,
        properties: None,
    })
    .await?;
    Ok(())
}
