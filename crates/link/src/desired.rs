//! What a machine should be: one document per machine, a pure function of the database, signed by the server.
//!
//! The generation only grows; an agent refuses a document that is older than the one it has, or that the server's
//! command key did not sign, or that names another machine. The signature covers the exact bytes sent.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sekisho_audit::succession::{Pinned, Succession};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use crate::join::Hex;

/// Largest desired document accepted, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 4 << 20;
/// The signatures that are looked at.
const MAX_SIGNATURES: usize = 16;
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
    /// While one key takes the place of another: the signatures of the others, so that it does not matter which one an
    /// agent knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
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
        let mut key = [0; 32];
        key.copy_from_slice(self.0.public_key().as_ref());
        CommandKey(key)
    }

    /// Signs a document.
    pub fn sign(&self, document: String) -> SignedDesired {
        SignedDesired { signature: self.signature(CONTEXT, &document), document, others: Vec::new() }
    }

    /// Names the key that takes the place of this one, which is used from then on, in seconds since 1970.
    pub fn succeed(&self, next: CommandKey, at: i64) -> Succession<CommandKey> {
        Succession::new(self.public(), next, at, |text| self.signature(b"", text))
    }

    fn signature(&self, context: &[u8], text: &str) -> String {
        STANDARD.encode(self.0.sign(&[context, text.as_bytes()].concat()).as_ref())
    }
}

/// The command keys that live, of which every one signs.
pub struct SigningKeys {
    active: SigningKey,
    before: Vec<SigningKey>,
    after: Vec<SigningKey>,
}

impl SigningKeys {
    /// The one that new agents are given, those that it has replaced and those that are to replace it, each in the order of
    /// their use.
    pub fn new(active: SigningKey, before: Vec<SigningKey>, after: Vec<SigningKey>) -> SigningKeys {
        SigningKeys { active, before, after }
    }

    /// The public half of the one that new agents are given.
    pub fn public(&self) -> CommandKey {
        self.active.public()
    }

    /// Signs a document with each. The oldest key's signature comes first, where agents look that know of no others.
    pub fn sign(&self, document: String) -> SignedDesired {
        let mut others = self.signatures(CONTEXT, &document);
        SignedDesired { signature: others.remove(0), document, others }
    }

    /// The signatures of each, the oldest key's first. What is signed for one `context` means nothing in another.
    pub(crate) fn signatures(&self, context: &[u8], text: &str) -> Vec<String> {
        let all = self.before.iter().chain([&self.active]).chain(&self.after);
        all.map(|key| key.signature(context, text)).collect()
    }
}

/// The agent's half of the command key.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandKey([u8; 32]);

impl fmt::Display for CommandKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}
impl fmt::Debug for CommandKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for CommandKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for CommandKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        CommandKey::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl Pinned for CommandKey {
    const PURPOSE: &'static str = "command-signing";

    fn has_signed(&self, text: &str, signature: &str) -> bool {
        self.verifies(b"", text, signature)
    }
}

impl CommandKey {
    /// Reads base64.
    ///
    /// # Errors
    /// [`BadKey`].
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        let bytes = STANDARD.decode(text).map_err(|_| BadKey)?;
        bytes.try_into().map(Self).map_err(|_| BadKey)
    }

    /// Whether one of the signatures is this key's.
    pub(crate) fn is_among<'s>(
        &self,
        context: &[u8],
        text: &str,
        signatures: impl IntoIterator<Item = &'s String>,
    ) -> bool {
        let mut few = signatures.into_iter().take(MAX_SIGNATURES);
        few.any(|signature| self.verifies(context, text, signature))
    }

    fn verifies(&self, context: &[u8], text: &str, signature: &str) -> bool {
        let Ok(signature) = STANDARD.decode(signature) else { return false };
        let message = [context, text.as_bytes()].concat();
        UnparsedPublicKey::new(&ED25519, &self.0).verify(&message, &signature).is_ok()
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
        let signatures = [&signed.signature].into_iter().chain(&signed.others);
        if !self.is_among(CONTEXT, &signed.document, signatures) {
            return Err(DesiredError::Signature);
        }
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
    use sekisho_audit::succession::walk;

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

    #[test]
    fn while_a_key_is_replaced_whoever_knows_either_opens_and_walks_from_one_to_the_other() {
        let key = || SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap();
        let (old, new, thief) = (key(), key(), key());
        let known = [old.public(), new.public()];
        let step = old.succeed(new.public(), 7);
        let mut forged = thief.succeed(thief.public(), 7);
        forged.old = old.public();
        assert_eq!(walk(&old.public(), &[forged]), [old.public()]);
        assert_eq!(walk(&old.public(), &[step]), known);
        // What is signed as a document names no key, and the other way round.
        let text = format!("sekisho-succession/1\ncommand-signing\n{}\n{}\n7\n", known[0], known[1]);
        let replayed =
            Succession { old: old.public(), new: new.public(), at: 7, signature: old.sign(text).signature };
        assert_eq!(walk(&old.public(), &[replayed]), [old.public()]);
        let signed = SigningKeys::new(new, vec![old], Vec::new()).sign(document(7));
        for key in &known {
            assert_eq!(key.open(&signed, "/m", 0).unwrap().generation, 7);
        }
        assert_eq!(thief.public().open(&signed, "/m", 0), Err(DesiredError::Signature));
        // One signature is enough, and as many as anybody likes are not all looked at.
        let many = SignedDesired {
            signature: String::new(),
            others: [vec![String::new(); MAX_SIGNATURES], signed.others.clone()].concat(),
            ..signed
        };
        assert_eq!(known[0].open(&many, "/m", 0), Err(DesiredError::Signature));
    }
}
