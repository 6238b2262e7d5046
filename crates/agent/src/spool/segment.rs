//! A file of the spool: a head that says what it numbers, then records, each with its length, checksum and number.
//!
//! ```text
//! head    "SKSPOOL1"  epoch u64  first u64  crc32c u32 of what is before it
//! record  length u32  crc32c u32  to u64  payload (JSON of an entry)      numbers little-endian
//! ```
//! The checksum covers `to` and the payload. Whatever follows the last readable record is damage: a record that was
//! being written when the machine died cannot be told from one that was durable.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sekisho_link::stream::{Entry, Epoch, GapReason, Numbered};

const MAGIC: &[u8; 8] = b"SKSPOOL1";
/// Bytes before the first record.
pub(super) const HEAD: usize = 28;
const RECORD_HEAD: usize = 16;
/// No stream gets so far. A file that says so is not ours, and the server would take nothing of what follows.
const NEVER: u64 = 1 << 62;

/// What is known of a file without its records.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) epoch: Epoch,
    /// The number of its first entry.
    pub(super) first: u64,
    /// The last number in it; `first - 1` when it is empty.
    pub(super) last: u64,
    /// Its length in bytes.
    pub(super) bytes: u64,
    /// Whether something in it could not be read.
    pub(super) damaged: bool,
    /// Whether it holds nothing but one gap.
    pub(super) only_gap: bool,
}

/// The records of a file, as far as they can be read.
pub(super) struct Content {
    pub(super) epoch: Epoch,
    pub(super) first: u64,
    pub(super) entries: Vec<Numbered>,
    /// Where the readable records end.
    pub(super) end: usize,
    /// Whether something follows them.
    pub(super) damaged: bool,
}

pub(super) fn head(epoch: Epoch, first: u64) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(epoch.0.to_le_bytes());
    out.extend(first.to_le_bytes());
    out.extend(crc32c::crc32c(&out).to_le_bytes());
    out
}

/// One record.
pub(super) fn record(to: u64, entry: &Entry) -> io::Result<Vec<u8>> {
    // What the server refuses must not be kept: it would be sent, and refused, for ever.
    entry.check().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let payload = serde_json::to_vec(entry)?;
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    let mut out = Vec::with_capacity(RECORD_HEAD + payload.len());
    out.extend(length.to_le_bytes());
    out.extend(checksum(to, &payload).to_le_bytes());
    out.extend(to.to_le_bytes());
    out.extend(payload);
    Ok(out)
}

fn checksum(to: u64, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&to.to_le_bytes()), payload)
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// Reads a file's content; `None` when its head cannot be read.
pub(super) fn parse(bytes: &[u8]) -> Option<Content> {
    if bytes.get(..8)? != MAGIC {
        return None;
    }
    let epoch = Epoch(u64::from_le_bytes(number(bytes, 8)?));
    let first = u64::from_le_bytes(number(bytes, 16)?);
    let sum = u32::from_le_bytes(number(bytes, HEAD - 4)?);
    if first == 0 || first > NEVER || crc32c::crc32c(&bytes[..HEAD - 4]) != sum {
        return None;
    }
    let mut content = Content { epoch, first, entries: Vec::new(), end: HEAD, damaged: false };
    let mut from = first;
    while let Some((entry, to, length)) = next(&bytes[content.end..], from) {
        content.entries.push(Numbered { from, to, entry });
        content.end += length;
        from = to + 1;
    }
    content.damaged = content.end < bytes.len();
    Some(content)
}

/// The entry that begins with number `from`, its last number, and the length of its record.
fn next(bytes: &[u8], from: u64) -> Option<(Entry, u64, usize)> {
    let length = u32::from_le_bytes(number(bytes, 0)?) as usize;
    let sum = u32::from_le_bytes(number(bytes, 4)?);
    let to = u64::from_le_bytes(number(bytes, 8)?);
    let payload = bytes.get(RECORD_HEAD..RECORD_HEAD.checked_add(length)?)?;
    if checksum(to, payload) != sum || to > NEVER {
        return None;
    }
    let entry: Entry = serde_json::from_slice(payload).ok()?;
    entry.check().ok()?;
    let fits = match &entry {
        Entry::Event { .. } => to == from,
        Entry::Gap { to: named, .. } => *named == to && to >= from,
    };
    fits.then_some((entry, to, RECORD_HEAD + length))
}

impl Segment {
    /// What a file holds.
    pub(super) fn of(path: PathBuf, content: &Content) -> Segment {
        let last = content.entries.last().map_or(content.first - 1, |e| e.to);
        let only_gap = matches!(content.entries.as_slice(), [Numbered { entry: Entry::Gap { .. }, .. }]);
        Segment {
            path,
            epoch: content.epoch,
            first: content.first,
            last,
            bytes: content.end as u64,
            damaged: content.damaged,
            only_gap,
        }
    }

    /// Makes the file hold nothing but one gap, whole or not at all.
    pub(super) fn become_gap(&mut self, to: u64, reason: GapReason) -> io::Result<()> {
        let mut bytes = head(self.epoch, self.first);
        bytes.extend(record(to, &Entry::Gap { to, reason })?);
        let fresh = self.path.with_extension("new");
        let mut file = File::create(&fresh)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &self.path)?;
        sync_dir(&self.path)?;
        (self.last, self.bytes, self.only_gap, self.damaged) = (to, bytes.len() as u64, true, false);
        Ok(())
    }
}

/// Makes a file's name durable.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}
