//! The container: five bytes that say what it is, then blocks, each one byte that says its kind, its length in 4 bytes, big
//! endian, and its content. A header (JSON) comes first, then chunks (zstd of lines of JSON), with seals (JSON) after some
//! of them, of which one that closes is the last.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA256};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};

/// What a container begins with.
pub const MAGIC: &[u8; 5] = b"SKR1\n";
/// Largest block, in bytes.
pub const MAX_BLOCK: usize = 4 << 20;
const LEVEL: i32 = 3;
/// Prefixed to what is hashed first and what is signed, so that neither means anything elsewhere.
const CONTEXT: &[u8] = b"sekisho-recording-1\0";

/// The kind of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What is recorded.
    Header,
    /// What happened.
    Chunk,
    /// A proof of all before it.
    Seal,
}

impl Kind {
    pub(crate) fn byte(self) -> u8 {
        match self {
            Kind::Header => 1,
            Kind::Chunk => 2,
            Kind::Seal => 3,
        }
    }

    pub(crate) fn of(byte: u8) -> Option<Kind> {
        [Kind::Header, Kind::Chunk, Kind::Seal].into_iter().find(|kind| kind.byte() == byte)
    }
}

/// What is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// The session.
    pub session: String,
    /// The machine.
    pub machine: String,
    /// The account on it.
    pub account: String,
    /// Whose session it is.
    pub person: String,
    /// When it began, RFC 3339.
    pub since: String,
    /// What is to be seen.
    #[serde(default, skip_serializing_if = "Shows::is_terminal")]
    pub shows: Shows,
    /// Columns at the beginning; of a desktop, pixels.
    pub columns: u32,
    /// Rows at the beginning; of a desktop, pixels.
    pub rows: u32,
    /// The key that seals it, base64 of 32 bytes.
    pub key: String,
}

/// What is to be seen in a recording.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Shows {
    /// Text.
    #[default]
    Terminal,
    /// Pixels.
    Desktop,
}

impl Shows {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    fn is_terminal(&self) -> bool {
        *self == Shows::Terminal
    }
}

/// What happened: milliseconds since the beginning, the lane, and text.
///
/// Lanes: `k` makes an empty screen what it was, `o` is output, `r` another size (`80x24`), `c` what the machine was told to
/// run, `f` what happened to a file (JSON), `x` the exit.
///
/// Of a desktop: `g` another size (`1280x800` pixels), `t` a frame of what has changed, `T` one of all there is, both the
/// base64 of the frame that viewers are sent, and `b` how much was copied or pasted (JSON, without what it was). A frame
/// that is too large for a chunk begins with lines `p`, whose texts go before its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line(pub u64, pub Lane, pub String);

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lane {
    /// The whole screen.
    #[serde(rename = "k")]
    Screen,
    /// Output.
    #[serde(rename = "o")]
    Output,
    /// Another size.
    #[serde(rename = "r")]
    Size,
    /// What the machine was told to run.
    #[serde(rename = "c")]
    Command,
    /// What happened to a file, as JSON.
    #[serde(rename = "f")]
    File,
    /// The exit.
    #[serde(rename = "x")]
    Exit,
    /// Another size, in pixels.
    #[serde(rename = "g")]
    Pixels,
    /// What has changed of a desktop.
    #[serde(rename = "t")]
    Frame,
    /// All of a desktop.
    #[serde(rename = "T")]
    Keyframe,
    /// That something was copied or pasted, as JSON.
    #[serde(rename = "b")]
    Clipboard,
    /// The beginning of the text of the line that follows.
    #[serde(rename = "p")]
    Part,
}

/// Most of a text that a line holds of one that comes in parts, in bytes: so many leave room in a chunk.
pub const PART: usize = 2 << 20;

/// A text, in ASCII and of whatever length, as lines: all but the last are [`Lane::Part`].
pub fn in_parts(at: u64, lane: Lane, text: &str) -> impl Iterator<Item = Line> {
    let mut rest = text;
    let mut is_over = false;
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        match rest.split_at_checked(PART).filter(|(_, after)| !after.is_empty()) {
            Some((part, after)) => {
                rest = after;
                Some(Line(at, Lane::Part, part.to_owned()))
            }
            None => {
                is_over = true;
                Some(Line(at, lane, rest.to_owned()))
            }
        }
    })
}

/// A proof of everything before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seal {
    /// How many chunks there are before it.
    pub chunks: u64,
    /// The hash over all of them, base64.
    pub head: String,
    /// Whether it is the last block.
    pub closes: bool,
    /// The signature, base64.
    pub signature: String,
}

pub(crate) type Hash = [u8; 32];

pub(crate) fn first(header: &[u8]) -> Hash {
    hash(&[CONTEXT, header])
}

pub(crate) fn next(head: &Hash, chunk: &[u8]) -> Hash {
    hash(&[head, &[Kind::Chunk.byte()], chunk])
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = Hash::default();
    out.copy_from_slice(context.finish().as_ref());
    out
}

pub(crate) fn sealed(chunks: u64, head: &Hash, closes: bool) -> Vec<u8> {
    [CONTEXT, b"seal", &chunks.to_be_bytes(), head, &[u8::from(closes)]].concat()
}

fn block(kind: Kind, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(5 + content.len());
    out.push(kind.byte());
    // Content is never larger than MAX_BLOCK.
    out.extend_from_slice(&u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(content);
    out
}

/// A recording could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    NoEntropy,
    /// More happened at once than a chunk holds.
    #[error("a chunk is too large")]
    TooLarge,
    /// It cannot be put into the container.
    #[error("a chunk cannot be written")]
    Encoding,
}

/// The key of one recording.
pub struct Key(Ed25519KeyPair);

impl Key {
    /// Makes one.
    ///
    /// # Errors
    /// [`WriteError::NoEntropy`].
    pub fn generate() -> Result<Key, WriteError> {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| WriteError::NoEntropy)?;
        Ed25519KeyPair::from_pkcs8(made.as_ref()).map(Key).map_err(|_| WriteError::NoEntropy)
    }

    /// Its public half, base64.
    pub fn public(&self) -> String {
        STANDARD.encode(self.0.public_key().as_ref())
    }
}

/// Makes the blocks of a recording, one after the other.
pub struct Writer {
    key: Key,
    head: Hash,
    chunks: u64,
}

impl Writer {
    /// Begins one. Returns what the container begins with. The header's key is `key`'s.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn begin(key: Key, header: &Header) -> Result<(Writer, Vec<u8>), WriteError> {
        let header = serde_json::to_vec(header).map_err(|_| WriteError::Encoding)?;
        let head = first(&header);
        let bytes = [MAGIC.as_slice(), &block(Kind::Header, &header)].concat();
        Ok((Writer { key, head, chunks: 0 }, bytes))
    }

    /// The block of what happened next, sealed.
    ///
    /// # Errors
    /// [`WriteError`]; the recording is as it was before.
    pub fn chunk(&mut self, lines: &[Line]) -> Result<Vec<u8>, WriteError> {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line).map_err(|_| WriteError::Encoding)?;
            text.push(b'\n');
        }
        if text.len() > MAX_BLOCK {
            return Err(WriteError::TooLarge);
        }
        let content = zstd::bulk::compress(&text, LEVEL).map_err(|_| WriteError::Encoding)?;
        self.head = next(&self.head, &content);
        self.chunks += 1;
        let mut out = block(Kind::Chunk, &content);
        out.extend(self.seal(false)?);
        Ok(out)
    }

    /// The last block; nothing must come after it.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn end(&self) -> Result<Vec<u8>, WriteError> {
        self.seal(true)
    }

    /// The hash over everything so far, base64.
    pub fn head(&self) -> String {
        STANDARD.encode(self.head)
    }

    fn seal(&self, closes: bool) -> Result<Vec<u8>, WriteError> {
        let signature = self.key.0.sign(&sealed(self.chunks, &self.head, closes));
        let seal = Seal {
            chunks: self.chunks,
            head: self.head(),
            closes,
            signature: STANDARD.encode(signature.as_ref()),
        };
        Ok(block(Kind::Seal, &serde_json::to_vec(&seal).map_err(|_| WriteError::Encoding)?))
    }
}
