//! Commands: a desired document with the proof that the log tells of it. Whoever has the command key can sign anything;
//! an agent obeys only what stands in the log that it has witnessed.

use ring::digest::{SHA256, digest};
use sekisho_arm::{AuditEntry, CallerRef, Outcome, Phase, PrincipalKind, Scope};
use sekisho_audit::witness::{Advance, Included, Memory, WitnessError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::desired::{CommandKey, DesiredDocument, DesiredError, SignedDesired};
use crate::join::Hex;

/// The operation of the entry that a command stands in.
pub const OPERATION: &str = "Sekisho.Fleet/machines/desired/write";

/// A desired document with its proof, as it travels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// The document.
    #[serde(flatten)]
    pub signed: SignedDesired,
    /// The proof. Without one it is not obeyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// That a command stands in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The entry, with the proof that it is in the log of the checkpoint.
    pub entry: Included,
    /// The checkpoint, with the proof that it continues what the agent has seen.
    pub advance: Advance,
}

/// Why a command is not obeyed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// It came without a proof.
    #[error("it came without a proof that it stands in the log")]
    NoProof,
    /// The proof is worth nothing.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// The document is not good.
    #[error(transparent)]
    Desired(#[from] DesiredError),
    /// The entry is about something else.
    #[error("the log's entry is not about this document")]
    OtherEntry,
}

impl Command {
    /// Checks a command and reads its document. `memory` is what the agent has seen of the log, the command's checkpoint
    /// included; `known` the newest generation seen so far.
    ///
    /// # Errors
    /// [`CommandError`] saying why it must not be obeyed.
    pub fn open(
        &self,
        memory: &Memory,
        key: &CommandKey,
        machine: &str,
        known: u64,
    ) -> Result<DesiredDocument, CommandError> {
        let document = key.open(&self.signed, machine, known)?;
        let proof = self.proof.as_ref().ok_or(CommandError::NoProof)?;
        let AuditEntry { operation, resource_id, properties, .. } = memory.read(&proof.entry)?.entry;
        let about = operation == OPERATION
            && resource_id.eq_ignore_ascii_case(machine)
            && properties == Some(particulars(document.generation, &self.signed.document));
        if about { Ok(document) } else { Err(CommandError::OtherEntry) }
    }
}

/// What an entry says of a document.
fn particulars(generation: u64, document: &str) -> Value {
    let sha256 = Hex(digest(&SHA256, document.as_bytes()).as_ref()).to_string();
    json!({ "generation": generation, "sha256": sha256 })
}

/// The entry about a document for a machine; how it ends has the same correlation id.
pub fn intent(machine: &Scope, generation: u64, document: &str) -> AuditEntry {
    AuditEntry {
        operation: OPERATION.to_owned(),
        resource_id: machine.to_string(),
        caller: CallerRef {
            object_id: Uuid::nil().to_string(),
            kind: PrincipalKind::System,
            name: "Sekisho".to_owned(),
        },
        outcome: Outcome::Succeeded,
        detail: "Decided".to_owned(),
        correlation_id: Uuid::new_v4().to_string(),
        authorization: None,
        http: None,
        phase: Some(Phase::Intent),
        properties: Some(particulars(generation, document)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sekisho_audit::note::{Signer, Use};
    use sekisho_audit::tree::{Plan, leaf_hash};
    use sekisho_audit::{Checkpoint, Frontier, Leaf};
    use time::OffsetDateTime;

    use super::*;
    use crate::SigningKey;

    const MACHINE: &str = "/subscriptions/33333333-3333-3333-3333-333333333333/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/m";

    fn document(key: &SigningKey, generation: u64) -> SignedDesired {
        let parts = BTreeMap::from([("nsg".to_owned(), json!({ "n": generation }))]);
        let document = DesiredDocument { machine: MACHINE.to_lowercase(), generation, parts };
        key.sign(serde_json::to_string(&document).unwrap())
    }

    /// A log of one entry, and what an agent has seen of it.
    fn logged(entry: AuditEntry) -> (Memory, Proof) {
        let log = Signer::new("sekisho/t", Use::Note, &Signer::generate().unwrap()).unwrap();
        let leaf = Leaf { sequence: 1, at: OffsetDateTime::UNIX_EPOCH, entry };
        let leaf = String::from_utf8(leaf.bytes().unwrap()).unwrap();
        let mut tree = Frontier::default();
        tree.append(leaf_hash(leaf.as_bytes()));
        assert_eq!(Plan::inclusion(0, 1).unwrap().nodes().count(), 0);
        let note = Checkpoint { origin: "sekisho/t".to_owned(), size: 1, root: tree.root() }.sign(&log);
        let proof = Proof {
            entry: Included { leaf, inclusion: Vec::new() },
            advance: Advance { note, from: 0, consistency: Vec::new() },
        };
        (Memory::of(log.verifier()).advance(&proof.advance).unwrap(), proof)
    }

    #[test]
    fn a_command_is_obeyed_only_with_the_log_s_entry_about_exactly_this_document_for_this_machine() {
        let key = SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap();
        let machine = Scope::parse(MACHINE).unwrap();
        let signed = document(&key, 7);
        let good = intent(&machine, 7, &signed.document);
        let open = |entry: AuditEntry, signed: &SignedDesired| {
            let (memory, proof) = logged(entry);
            let command = Command { signed: signed.clone(), proof: Some(proof) };
            command.open(&memory, &key.public(), MACHINE, 6).map(|d| d.generation)
        };
        assert_eq!(open(good.clone(), &signed), Ok(7));
        // The command key signs another one, for which there is no entry.
        assert_eq!(open(good.clone(), &document(&key, 8)), Err(CommandError::OtherEntry));
        for other in [
            AuditEntry {
                operation: "Microsoft.Network/networkSecurityGroups/write".to_owned(),
                ..good.clone()
            },
            AuditEntry { resource_id: MACHINE.replace("/m", "/n"), ..good.clone() },
            AuditEntry { properties: None, ..good.clone() },
            intent(&machine, 8, &signed.document),
        ] {
            assert_eq!(open(other, &signed), Err(CommandError::OtherEntry));
        }
        let (memory, proof) = logged(good);
        let bare = Command { signed: signed.clone(), proof: None };
        assert_eq!(bare.open(&memory, &key.public(), MACHINE, 6), Err(CommandError::NoProof));
        // A proof for another log, or for one that was never seen.
        let command = Command { signed, proof: Some(proof) };
        let unseen = Memory::of(memory.key.clone());
        let refused = command.open(&unseen, &key.public(), MACHINE, 6);
        assert_eq!(refused, Err(CommandError::Witness(WitnessError::NotIncluded)));
        let text = serde_json::to_string(&command).unwrap();
        assert_eq!(serde_json::from_str::<Command>(&text).unwrap(), command);
    }
}
