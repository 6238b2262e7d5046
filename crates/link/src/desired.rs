//! What a machine should be: one document per machine, a pure function of the database, signed by the server.
//!
//! The generation only grows; an agent refuses a document that is older than the one it has, or that the server's
//! command key did not sign, or that names another machine. The signature covers the exact bytes sent.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::join::Hex;

/// Largest desired document accepted, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 4 << 20;
/// Prefixed to what is signed, so that a signature made here means nothing elsewhere.
const CONTEXT: &[u8] = b"sekisho-desired-1\0";

/// The document before it is signed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DesiredDocument {
    /// The ARM id of the machine it is for, in lower case.
    pub machine: String,
    /// Grows with every change.
    pub generation: u64,
    /// What each system wants, by the system's name.
    pub parts: BTreeMap<String, Value>,
}

/// A document as it travels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SignedDesired {
    /// The exact text that was signed.
    pub document: String,
    /// The signature over it, base64.
    pub signature: String,
}

/// Why a document is not obeyed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DesiredError {
    /// The signature is not the server's.
    #[error("the server's command key did not sign this document")]
    Signature,
    /// It cannot be read.
    #[error("the document cannot be read")]
    Unreadable,
    /// It is for another machine.
    #[error("the document is for another machine")]
    WrongMachine,
    /// It is older than what is already here.
    #[error("generation {offered} is not newer than {known}")]
    Stale {
        /// The generation sent.
        offered: u64,
        /// The generation already known.
        known: u64,
    },
}

/// The hash of what is wanted of a machine, its parts: equal hashes need no new generation.
pub fn content_hash(parts: &BTreeMap<String, Value>) -> String {
    let parts = serde_json::to_vec(parts).unwrap_or_default();
    Hex(digest(&SHA256, &parts).as_ref()).to_string()
}

/// The server's half of the command key.
pub struct SigningKey(Ed25519KeyPair);

/// The command key is not a key.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the command key cannot be read")]
pub struct BadKey;

impl SigningKey {
    /// Makes a new key as PKCS#8 bytes.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate() -> Result<Vec<u8>, BadKey> {
        let random = ring::rand::SystemRandom::new();
        Ed25519KeyPair::generate_pkcs8(&random).map(|d| d.as_ref().to_vec()).map_err(|_| BadKey)
    }

    /// Reads PKCS#8 bytes.
    ///
    /// # Errors
    /// [`BadKey`].
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, BadKey> {
        Ed25519KeyPair::from_pkcs8(bytes).map(Self).map_err(|_| BadKey)
    }

    /// The public half, for agents.
    pub fn public(&self) -> CommandKey {
        CommandKey(self.0.public_key().as_ref().to_vec())
    }

    /// Signs a document.
    pub fn sign(&self, document: String) -> SignedDesired {
        let message = [CONTEXT, document.as_bytes()].concat();
        SignedDesired { signature: STANDARD.encode(self.0.sign(&message).as_ref()), document }
    }
}

/// The agent's half of the command key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandKey(Vec<u8>);

impl CommandKey {
    /// Reads base64.
    ///
    /// # Errors
    /// [`BadKey`].
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        STANDARD.decode(text).ok().filter(|b| b.len() == 32).map(Self).ok_or(BadKey)
    }

    /// As base64.
    pub fn to_text(&self) -> String {
        STANDARD.encode(&self.0)
    }

    /// Checks a document that the server sent and reads it. `known` is the newest generation seen so far.
    ///
    /// # Errors
    /// [`DesiredError`] saying why it must not be obeyed.
    pub fn open(
        &self,
        signed: &SignedDesired,
        machine: &str,
        known: u64,
    ) -> Result<DesiredDocument, DesiredError> {
        if signed.document.len() > MAX_DOCUMENT_BYTES {
            return Err(DesiredError::Unreadable);
        }
        let signature = STANDARD.decode(&signed.signature).map_err(|_| DesiredError::Signature)?;
        let message = [CONTEXT, signed.document.as_bytes()].concat();
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(&message, &signature)
            .map_err(|_| DesiredError::Signature)?;
        let document: DesiredDocument =
            serde_json::from_str(&signed.document).map_err(|_| DesiredError::Unreadable)?;
        if !document.machine.eq_ignore_ascii_case(machine) {
            return Err(DesiredError::WrongMachine);
        }
        if document.generation <= known {
            return Err(DesiredError::Stale { offered: document.generation, known });
        }
        Ok(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(generation: u64) -> String {
        let parts = BTreeMap::from([("nsg".to_owned(), Value::Null)]);
        serde_json::to_string(&DesiredDocument { machine: "/m".into(), generation, parts }).unwrap()
    }

    #[test]
    fn only_newer_documents_for_this_machine_signed_by_this_key_are_opened() {
        let key = SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap();
        let other = SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap();
        let signed = key.sign(document(7));
        let open = |key: &SigningKey, signed, machine, known| key.public().open(signed, machine, known);
        assert_eq!(open(&key, &signed, "/M", 6).unwrap().generation, 7);
        assert_eq!(open(&key, &signed, "/m", 7), Err(DesiredError::Stale { offered: 7, known: 7 }));
        assert_eq!(open(&key, &signed, "/other", 0), Err(DesiredError::WrongMachine));
        assert_eq!(open(&other, &signed, "/m", 0), Err(DesiredError::Signature));
        let forged = SignedDesired { document: document(8), ..signed.clone() };
        assert_eq!(open(&key, &forged, "/m", 0), Err(DesiredError::Signature));
    }
}
