//! Sessions that are open now, as documents, so that every server on the database sees all of them and whoever may end
//! one can do so wherever it is.

use schemars::JsonSchema;
use sekisho_arm::traits::{read_document, read_documents, write_document};
use sekisho_arm::{AuditEntry, CallerRef, Outcome, Phase, PrincipalKind, Read, Scope, StoreError, Write};
use sekisho_link::ticket;
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::desktop::Protocol;
use crate::host::Recording;

/// The kind of the documents.
pub const KIND: &str = "bastionSession";
/// Whoever carries a session says so this often.
pub const BEAT: Duration = Duration::seconds(30);
/// After this silence nobody carries it any more.
const LOST: Duration = Duration::seconds(120);

/// A session that is open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// The stream's id, which is the correlation id of its entries in the log, too.
    pub id: Uuid,
    /// The bastion host that it goes through.
    pub host: String,
    /// The machine.
    pub machine: String,
    /// What is spoken: `tcptunnel`, `ssh`, `rdp` or `vnc`.
    pub protocol: String,
    /// The account on the machine, of a session that logs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What is kept of it.
    #[serde(default)]
    pub recording: Recording,
    /// The port on the machine.
    pub port: u16,
    /// Whose it is.
    pub caller: CallerRef,
    /// The client's address.
    pub address: String,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// When whoever carries it was last heard of.
    #[serde(with = "time::serde::rfc3339")]
    pub seen: OffsetDateTime,
    /// Whether it has a terminal, which others can look at.
    #[serde(default)]
    pub terminal: bool,
    /// Who wants it to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
}

/// A session in Azure's words (`BastionActiveSession`).
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BastionActiveSession {
    /// Its id.
    pub session_id: String,
    /// When it began, RFC 3339.
    pub start_time: String,
    /// The subscription of the machine.
    pub target_subscription_id: String,
    /// `VM`.
    pub resource_type: String,
    /// The machine's name.
    pub target_host_name: String,
    /// The machine's resource group.
    pub target_resource_group: String,
    /// Whose it is.
    pub user_name: String,
    /// The client's address.
    pub target_ip_address: String,
    /// What is spoken.
    pub protocol: String,
    /// The machine's id.
    pub target_resource_id: String,
    /// How long it has lasted, in minutes.
    pub session_duration_in_mins: f64,
}

impl Session {
    /// Whether it shows a desktop, which others can look at.
    pub fn shows_desktop(&self) -> bool {
        Protocol::ALL.iter().any(|desktop| desktop.word() == self.protocol)
    }

    /// Whether somebody is on the machine by it, and not only at one of its ports.
    fn logs_in(&self) -> bool {
        self.account.is_some() || self.shows_desktop()
    }

    /// As Azure shows it.
    pub fn shown(&self, now: OffsetDateTime) -> BastionActiveSession {
        let machine = Scope::parse(&self.machine).ok();
        let part = |of: Option<String>| of.unwrap_or_default();
        BastionActiveSession {
            session_id: self.id.to_string(),
            start_time: sekisho_arm::resource::instant(self.since),
            target_subscription_id: part(
                machine.as_ref().and_then(|m| m.subscription().map(ToString::to_string)),
            ),
            resource_type: "VM".to_owned(),
            target_host_name: part(machine.as_ref().map(|m| m.name().to_owned())),
            target_resource_group: part(
                machine.as_ref().and_then(|m| m.group_scope().map(|g| g.name().to_owned())),
            ),
            user_name: self.caller.name.clone(),
            target_ip_address: self.address.clone(),
            protocol: self.protocol.clone(),
            target_resource_id: self.machine.clone(),
            session_duration_in_mins: ((now - self.since).as_seconds_f64() / 60.0).max(0.0),
        }
    }

    /// The entry about its end.
    pub fn ended(&self, outcome: Outcome, why: &str, (sent, received): (u64, u64)) -> AuditEntry {
        AuditEntry {
            operation: ticket::OPERATION.to_owned(),
            resource_id: self.machine.clone(),
            caller: CallerRef {
                object_id: Uuid::nil().to_string(),
                kind: PrincipalKind::System,
                name: "Sekisho".to_owned(),
            },
            outcome,
            detail: why.to_owned(),
            correlation_id: self.id.to_string(),
            authorization: None,
            http: None,
            phase: Some(Phase::Result),
            properties: Some(json!({ "bytesToMachine": sent, "bytesFromMachine": received })),
        }
    }
}

/// What is open through a host.
///
/// # Errors
/// Those of the database.
pub async fn through(read: &mut (dyn Read + '_), host: &Scope) -> Result<Vec<Session>, StoreError> {
    let all: Vec<(String, Session)> = read_documents(read, KIND).await?;
    let same = |session: &Session| session.host.eq_ignore_ascii_case(&host.to_string());
    Ok(all.into_iter().map(|(_, session)| session).filter(same).collect())
}

/// Keeps a session that begins, unless whoever has it has `most` that log in through its host already.
///
/// # Errors
/// Those of the database.
pub async fn begin(
    tx: &mut (dyn Write + '_),
    session: &Session,
    most: Option<u32>,
) -> Result<bool, StoreError> {
    if let (Some(most), Ok(host)) = (most, Scope::parse(&session.host)) {
        let own = |s: &&Session| s.logs_in() && s.caller.object_id == session.caller.object_id;
        let open = through(tx.as_read(), &host).await?.iter().filter(own).count();
        if open >= most as usize {
            return Ok(false);
        }
    }
    keep(tx, session).await?;
    Ok(true)
}

/// Keeps a session.
///
/// # Errors
/// Those of the database.
async fn keep(tx: &mut (dyn Write + '_), session: &Session) -> Result<(), StoreError> {
    write_document(tx, KIND, &session.id.to_string(), session).await
}

/// Says that a session lives. Whether it is still to.
///
/// # Errors
/// Those of the database.
pub async fn beat(tx: &mut (dyn Write + '_), id: Uuid) -> Result<bool, StoreError> {
    let Some(mut session) = read_document::<Session>(tx.as_read(), KIND, &id.to_string()).await? else {
        return Ok(false);
    };
    session.seen = tx.now();
    keep(tx, &session).await?;
    Ok(session.ended_by.is_none())
}

/// Says that a session has a terminal by now. Nothing, if it is over.
///
/// # Errors
/// Those of the database.
pub async fn shows_terminal(tx: &mut (dyn Write + '_), id: Uuid) -> Result<(), StoreError> {
    let Some(mut session) = read_document::<Session>(tx.as_read(), KIND, &id.to_string()).await? else {
        return Ok(());
    };
    session.terminal = true;
    keep(tx, &session).await
}

/// Has a session end, wherever it is carried. Returns whether there is one of this id through the host.
///
/// # Errors
/// Those of the database.
pub async fn end(tx: &mut (dyn Write + '_), host: &Scope, id: &str, by: &str) -> Result<bool, StoreError> {
    let Some(mut session) = read_document::<Session>(tx.as_read(), KIND, id).await? else { return Ok(false) };
    if !session.host.eq_ignore_ascii_case(&host.to_string()) {
        return Ok(false);
    }
    session.ended_by = Some(by.to_owned());
    keep(tx, &session).await?;
    Ok(true)
}

/// Takes note of a session's end.
///
/// # Errors
/// Those of the database.
pub async fn over(
    tx: &mut (dyn Write + '_),
    session: &Session,
    outcome: Outcome,
    why: &str,
    bytes: (u64, u64),
) -> Result<(), StoreError> {
    if tx.remove_document(KIND, &session.id.to_string()).await? {
        tx.audit(session.ended(outcome, why, bytes)).await?;
    }
    Ok(())
}

/// Ends what nobody carries any more, because its server died, and says what that was.
///
/// # Errors
/// Those of the database.
pub async fn sweep(tx: &mut (dyn Write + '_)) -> Result<Vec<Session>, StoreError> {
    let all: Vec<(String, Session)> = read_documents(tx.as_read(), KIND).await?;
    let now = tx.now();
    let lost = all.into_iter().map(|(_, session)| session).filter(|session| now - session.seen > LOST);
    let lost: Vec<Session> = lost.collect();
    for session in &lost {
        over(tx, session, Outcome::Failed, "Lost", (0, 0)).await?;
    }
    Ok(lost)
}
