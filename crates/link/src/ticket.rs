//! Tickets: the permission to open one byte stream on one machine, such as to its SSH server.
//!
//! A machine has no open port. Whoever may reach something on it gets a ticket, which the server signs, writes into the
//! log and sends over the link; the agent checks it, connects to the target itself and dials back to the server with the
//! ticket's id, so that every stream is a connection of its own and a large one delays nothing else. A ticket is good
//! once, on the link that it was sent over, and the agent ends its stream when its seconds are over, whatever the server
//! says or does not say by then.

use std::net::SocketAddr;

use ring::digest::{SHA256, digest};
use sekisho_arm::{AuditEntry, CallerRef, Outcome, Phase, Scope};
use sekisho_audit::witness::{Memory, WitnessError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::account::Account;
use crate::command::Proof;
use crate::desired::{CommandKey, SigningKeys};
use crate::join::Hex;

/// The operation of the entry that a ticket stands in.
pub const OPERATION: &str = "Sekisho.Bastion/sessions/write";
/// What a connection is upgraded to that carries a stream.
pub const PROTOCOL: &str = "sekisho-stream";
/// The longest that a stream can last: a day.
pub const LONGEST: u32 = 24 * 60 * 60;
/// Largest ticket read, in bytes.
const MAX_BYTES: usize = 4096;
/// Prefixed to what is signed, so that a signature made here means nothing elsewhere.
const CONTEXT: &[u8] = b"sekisho-ticket-1\0";

/// What may be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ticket {
    /// Names the stream.
    pub id: Uuid,
    /// The ARM id of the machine, in lower case.
    pub machine: String,
    /// The link that it is sent over, as the agent's hello named it.
    pub link: String,
    /// Where the stream leads.
    pub target: Target,
    /// How long it may last, in seconds from its beginning.
    pub seconds: u32,
}

/// Where a stream leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Target {
    /// To a TCP port of the machine itself, on its loopback.
    Port(u16),
    /// To a host near the machine, where the list on it ([`crate::reach`]) leads there.
    Near(SocketAddr),
    /// To the machine's SSH server, which lets somebody in by the [name](principal) of this ticket and by no other.
    Ssh(Login),
}

/// As whom somebody logs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Login {
    /// The account.
    pub account: Account,
    /// Whether it may be one that can do everything on the machine, or become one that can.
    pub administrator: bool,
}

/// A ticket as it travels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Opening {
    /// The exact text that was signed.
    pub ticket: String,
    /// The signatures of the command keys that live, base64.
    pub signatures: Vec<String>,
    /// That it stands in the log.
    pub proof: Proof,
}

/// Why a ticket is worth nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// The signature is not the server's.
    #[error("the server's command key did not sign this ticket")]
    Signature,
    /// It cannot be read.
    #[error("the ticket cannot be read")]
    Unreadable,
    /// It is for another machine or another link.
    #[error("the ticket is for another machine or another link")]
    Elsewhere,
    /// The log does not tell of it.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// The entry is about something else.
    #[error("the log's entry is not about this ticket")]
    OtherEntry,
}

impl Ticket {
    /// The text that is signed.
    pub fn text(&self) -> String {
        json!(self).to_string()
    }

    /// The entry about it; how the stream ends has the same correlation id.
    pub fn intent(&self, machine: &Scope, caller: CallerRef, about: Value) -> AuditEntry {
        let mut properties = particulars(&self.text());
        properties["session"] = about;
        AuditEntry {
            operation: OPERATION.to_owned(),
            resource_id: machine.to_string(),
            caller,
            outcome: Outcome::Succeeded,
            detail: "Opened".to_owned(),
            correlation_id: self.id.to_string(),
            authorization: None,
            http: None,
            phase: Some(Phase::Intent),
            properties: Some(properties),
        }
    }
}

/// The name that a certificate for the session of a ticket must have, and that the agent lets in for as long as a login
/// takes.
pub fn principal(ticket: Uuid) -> String {
    format!("sekisho-{ticket}")
}

fn particulars(text: &str) -> Value {
    json!({ "ticketSha256": Hex(digest(&SHA256, text.as_bytes()).as_ref()).to_string() })
}

impl SigningKeys {
    /// Signs a ticket.
    pub fn open(&self, ticket: String, proof: Proof) -> Opening {
        Opening { signatures: self.signatures(CONTEXT, &ticket), ticket, proof }
    }
}

impl Opening {
    /// Checks a ticket and reads it. `memory` is what the agent has seen of the log, the ticket's checkpoint included.
    /// Whether it was used before is for the caller to know.
    ///
    /// # Errors
    /// [`TicketError`] saying why nothing must be opened.
    pub fn check(
        &self,
        memory: &Memory,
        key: &CommandKey,
        machine: &str,
        link: &str,
    ) -> Result<Ticket, TicketError> {
        if self.ticket.len() > MAX_BYTES {
            return Err(TicketError::Unreadable);
        }
        if !key.is_among(CONTEXT, &self.ticket, &self.signatures) {
            return Err(TicketError::Signature);
        }
        let ticket: Ticket = serde_json::from_str(&self.ticket).map_err(|_| TicketError::Unreadable)?;
        if !ticket.machine.eq_ignore_ascii_case(machine) || ticket.link != link {
            return Err(TicketError::Elsewhere);
        }
        let AuditEntry { operation, resource_id, properties, .. } = memory.read(&self.proof.entry)?.entry;
        let told = properties.as_ref().map(|p| &p["ticketSha256"]);
        let about = operation == OPERATION
            && resource_id.eq_ignore_ascii_case(machine)
            && told == Some(&particulars(&self.ticket)["ticketSha256"]);
        if !about || ticket.seconds > LONGEST {
            return Err(TicketError::OtherEntry);
        }
        Ok(ticket)
    }
}

#[cfg(test)]
mod tests {
    use sekisho_arm::PrincipalKind;
    use sekisho_audit::note::{Signer, Use};
    use sekisho_audit::tree::leaf_hash;
    use sekisho_audit::witness::{Advance, Included};
    use sekisho_audit::{Checkpoint, Frontier, Leaf};
    use time::OffsetDateTime;

    use super::*;
    use crate::desired::SigningKey;

    const MACHINE: &str = "/subscriptions/33333333-3333-3333-3333-333333333333/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/m";

    fn keys() -> SigningKeys {
        let key = SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap();
        SigningKeys::new(key, Vec::new(), Vec::new())
    }

    fn ticket(seconds: u32) -> Ticket {
        let (id, machine, link) = (Uuid::new_v4(), MACHINE.to_lowercase(), "p/7".to_owned());
        Ticket { id, machine, link, target: Target::Port(22), seconds }
    }

    fn intent(ticket: &Ticket) -> AuditEntry {
        let object_id = Uuid::nil().to_string();
        let caller = CallerRef { object_id, kind: PrincipalKind::User, name: "a".to_owned() };
        ticket.intent(&Scope::parse(MACHINE).unwrap(), caller, json!({}))
    }

    /// A log of one entry, and what an agent has seen of it.
    fn logged(entry: AuditEntry) -> (Memory, Proof) {
        let log = Signer::new("sekisho/t", Use::Note, &Signer::generate().unwrap()).unwrap();
        let leaf = Leaf { sequence: 1, at: OffsetDateTime::UNIX_EPOCH, entry };
        let leaf = String::from_utf8(leaf.bytes().unwrap()).unwrap();
        let mut tree = Frontier::default();
        tree.append(leaf_hash(leaf.as_bytes()));
        let note = Checkpoint { origin: "sekisho/t".to_owned(), size: 1, root: tree.root() }.sign(&log);
        let advance = Advance { note, from: 0, consistency: Vec::new() };
        let memory = Memory::of(log.verifier()).advance(&advance).unwrap();
        (memory, Proof { entry: Included { leaf, inclusion: Vec::new() }, advance })
    }

    #[test]
    fn a_ticket_is_good_only_for_its_machine_on_its_link_as_the_log_tells_of_it() {
        let (keys, good) = (keys(), ticket(60));
        let (memory, proof) = logged(intent(&good));
        let opening = keys.open(good.text(), proof.clone());
        let key = keys.public();
        assert_eq!(opening.check(&memory, &key, MACHINE, "p/7"), Ok(good.clone()));
        // Sent again over the next link, or to another machine.
        assert_eq!(opening.check(&memory, &key, MACHINE, "p/8"), Err(TicketError::Elsewhere));
        let other = MACHINE.replace("/m", "/n");
        assert_eq!(opening.check(&memory, &key, &other, "p/7"), Err(TicketError::Elsewhere));
        // Signed by somebody else, changed afterwards, or signed for another purpose.
        let stranger = self::keys().public();
        assert_eq!(opening.check(&memory, &stranger, MACHINE, "p/7"), Err(TicketError::Signature));
        let text = opening.ticket.replace("22", "23");
        let changed = Opening { ticket: text, ..opening.clone() };
        assert_eq!(changed.check(&memory, &key, MACHINE, "p/7"), Err(TicketError::Signature));
        let command = keys.sign(good.text());
        let borrowed = Opening { signatures: vec![command.signature], ..opening };
        assert_eq!(borrowed.check(&memory, &key, MACHINE, "p/7"), Err(TicketError::Signature));
        // Signed, and the log tells of another one.
        let unlogged = keys.open(ticket(60).text(), proof);
        assert_eq!(unlogged.check(&memory, &key, MACHINE, "p/7"), Err(TicketError::OtherEntry));
    }

    #[test]
    fn a_ticket_for_longer_than_a_day_or_that_the_log_was_never_seen_with_opens_nothing() {
        let (keys, long) = (keys(), ticket(LONGEST + 1));
        let (memory, proof) = logged(intent(&long));
        let opening = keys.open(long.text(), proof);
        let refused = opening.check(&memory, &keys.public(), MACHINE, "p/7");
        assert_eq!(refused, Err(TicketError::OtherEntry));
        let short = ticket(60);
        let (memory, proof) = logged(intent(&short));
        let unseen = Memory::of(memory.key.clone());
        let refused = keys.open(short.text(), proof).check(&unseen, &keys.public(), MACHINE, "p/7");
        assert_eq!(refused, Err(TicketError::Witness(WitnessError::NotIncluded)));
    }
}
