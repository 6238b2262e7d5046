//! Signed notes (c2sp.org/signed-note): text with lines of signatures under it, the keys that made them, and
//! cosignatures (c2sp.org/tlog-cosignature), which say when a witness saw the text.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::succession::Pinned;

/// The longest note that is read, in bytes: one with the signatures of a few dozen keys.
pub const MAX_NOTE_BYTES: usize = 16 << 10;
/// Between the text and its signatures, after the text's last newline.
const BLANK: &str = "\n\n";
const DASH: &str = "\u{2014} ";

/// What a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Notes, as their author.
    Note = 0x01,
    /// Checkpoints of others, with the time.
    Cosignature = 0x04,
}

/// Why a note or a key is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It does not have the form of a note.
    #[error("the note cannot be read")]
    Malformed,
    /// No signature is of this key.
    #[error("the key did not sign the note")]
    NotSigned,
    /// The signature is not of this text.
    #[error("the signature does not fit the note")]
    BadSignature,
    /// The key cannot be read.
    #[error("the key cannot be read")]
    Key,
}

/// The first four bytes of the hash of a key's name, use and bytes.
fn key_id(name: &str, of: Use, key: &[u8]) -> [u8; 4] {
    let hash = digest(&SHA256, &[name.as_bytes(), b"\n", &[of as u8], key].concat());
    let mut id = [0; 4];
    id.copy_from_slice(&hash.as_ref()[..4]);
    id
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

/// The public half of a key, with its name. As text it is a C2SP `vkey`.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    of: Use,
    key: [u8; 32],
}

impl Verifier {
    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    pub fn signs(&self) -> Use {
        self.of
    }

    fn id(&self) -> [u8; 4] {
        key_id(&self.name, self.of, &self.key)
    }

    /// Checks that this key signed the note; returns the note's text, and the time in seconds since 1970 when the
    /// signature tells one. Signatures of other keys are nothing to it.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn open<'n>(&self, note: &'n str) -> Result<(&'n str, Option<u64>), NoteError> {
        let (text, lines) = parse(note)?;
        let at = lines
            .iter()
            .find(|line| line.name == self.name && line.id == self.id())
            .ok_or(NoteError::NotSigned)
            .and_then(|line| self.check(text, &line.signature))?;
        Ok((text, at))
    }

    /// Checks one line of a signature under a text.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn open_line(&self, text: &str, line: &str) -> Result<Option<u64>, NoteError> {
        let line = Line::parse(line.strip_suffix('\n').unwrap_or(line))?;
        if line.name != self.name || line.id != self.id() {
            return Err(NoteError::NotSigned);
        }
        self.check(text, &line.signature)
    }

    fn check(&self, text: &str, signature: &[u8]) -> Result<Option<u64>, NoteError> {
        let key = UnparsedPublicKey::new(&ED25519, &self.key);
        let fits = |message: &[u8], signature: &[u8]| {
            key.verify(message, signature).map_err(|_| NoteError::BadSignature)
        };
        match self.of {
            Use::Note => fits(text.as_bytes(), signature).map(|()| None),
            Use::Cosignature => {
                let (at, signature) = signature.split_first_chunk().ok_or(NoteError::BadSignature)?;
                let at = u64::from_be_bytes(*at);
                fits(witnessed(text, at).as_bytes(), signature).map(|()| Some(at))
            }
        }
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+", self.name)?;
        self.id().iter().try_for_each(|b| write!(f, "{b:02x}"))?;
        write!(f, "+{}", STANDARD.encode([&[self.of as u8][..], &self.key].concat()))
    }
}
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Verifier {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Verifier, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(_), Some(material)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let material = STANDARD.decode(material).map_err(|_| NoteError::Key)?;
        let (of, key) = material.split_first().ok_or(NoteError::Key)?;
        let of = [Use::Note, Use::Cosignature].into_iter().find(|u| *u as u8 == *of).ok_or(NoteError::Key)?;
        let key = <[u8; 32]>::try_from(key).map_err(|_| NoteError::Key)?;
        let verifier = Verifier { name: name.to_owned(), of, key };
        // The id is part of the text so that a slip of the pen is noticed.
        (is_name(name) && verifier.to_string() == text).then_some(verifier).ok_or(NoteError::Key)
    }
}

impl Pinned for Verifier {
    const PURPOSE: &'static str = "log-signing";

    fn has_signed(&self, text: &str, signature: &str) -> bool {
        self.of == Use::Note && self.open_line(text, signature).is_ok()
    }

    fn admits(&self, next: &Verifier) -> bool {
        (&self.name, self.of) == (&next.name, next.of)
    }
}

impl Serialize for Verifier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Verifier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The private half of a key. It has no `Debug`.
pub struct Signer {
    name: String,
    of: Use,
    pair: Ed25519KeyPair,
}

impl Signer {
    /// Makes a key as PKCS#8 bytes.
    ///
    /// # Errors
    /// [`NoteError::Key`] when the system gives no randomness.
    pub fn generate() -> Result<Vec<u8>, NoteError> {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        made.map(|document| document.as_ref().to_vec()).map_err(|_| NoteError::Key)
    }

    /// A key by its PKCS#8 bytes.
    ///
    /// # Errors
    /// [`NoteError::Key`] when they are none, or the name cannot be one.
    pub fn new(name: &str, of: Use, pkcs8: &[u8]) -> Result<Signer, NoteError> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| NoteError::Key)?;
        is_name(name).then(|| Signer { name: name.to_owned(), of, pair }).ok_or(NoteError::Key)
    }

    /// The public half.
    pub fn verifier(&self) -> Verifier {
        let mut key = [0; 32];
        key.copy_from_slice(self.pair.public_key().as_ref());
        Verifier { name: self.name.clone(), of: self.of, key }
    }

    /// The line of a signature under `text`, made at `at`, in seconds since 1970.
    pub fn line(&self, text: &str, at: u64) -> String {
        let id = self.verifier().id();
        let signature = match self.of {
            Use::Note => [&id, self.pair.sign(text.as_bytes()).as_ref()].concat(),
            Use::Cosignature => {
                [&id, &at.to_be_bytes()[..], self.pair.sign(witnessed(text, at).as_bytes()).as_ref()].concat()
            }
        };
        format!("{DASH}{} {}\n", self.name, STANDARD.encode(signature))
    }

    /// A text, which ends with a newline, as a note.
    pub fn sign(&self, text: &str, at: u64) -> String {
        format!("{text}\n{}", self.line(text, at))
    }
}

/// A text, which ends with a newline, as a note with the signatures of several keys: whoever knows one of them reads it.
pub fn sign_together<'s>(text: &str, signers: impl IntoIterator<Item = &'s Signer>) -> String {
    let lines: String = signers.into_iter().map(|signer| signer.line(text, 0)).collect();
    format!("{text}\n{lines}")
}

/// A note with the signature of one more key, which then says of the text what the others say.
///
/// # Errors
/// [`NoteError::Malformed`].
pub fn sign_along(note: &str, signer: &Signer) -> Result<String, NoteError> {
    let (text, _) = parse(note)?;
    Ok(format!("{note}{}", signer.line(text, 0)))
}

/// What a witness signs.
fn witnessed(text: &str, at: u64) -> String {
    format!("cosignature/v1\ntime {at}\n{text}")
}

struct Line<'n> {
    name: &'n str,
    id: [u8; 4],
    signature: Vec<u8>,
}

impl<'n> Line<'n> {
    fn parse(line: &'n str) -> Result<Line<'n>, NoteError> {
        let (name, signature) =
            line.strip_prefix(DASH).and_then(|l| l.split_once(' ')).ok_or(NoteError::Malformed)?;
        let bytes = STANDARD.decode(signature).map_err(|_| NoteError::Malformed)?;
        let (id, signature) = bytes.split_first_chunk().ok_or(NoteError::Malformed)?;
        if !is_name(name) || signature.is_empty() {
            return Err(NoteError::Malformed);
        }
        Ok(Line { name, id: *id, signature: signature.to_vec() })
    }
}

fn parse(note: &str) -> Result<(&str, Vec<Line<'_>>), NoteError> {
    if note.len() > MAX_NOTE_BYTES || note.contains(|c: char| c < ' ' && c != '\n') {
        return Err(NoteError::Malformed);
    }
    let at = note.rfind(BLANK).ok_or(NoteError::Malformed)?;
    let (text, signatures) = (&note[..=at], &note[at + BLANK.len()..]);
    let lines = signatures.strip_suffix('\n').ok_or(NoteError::Malformed)?;
    Ok((text, lines.split('\n').map(Line::parse).collect::<Result<_, _>>()?))
}
