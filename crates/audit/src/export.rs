//! The log as lines of JSON, to be kept elsewhere and checked by whoever has nothing but the file: entries in their
//! order, then the newest checkpoint and what witnesses have cosigned.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::note::{NoteError, Use, Verifier};
use crate::succession::{Succession, walk};
use crate::tree::{leaf_hash, proves_consistency};
use crate::{Frontier, Hash, Leaf};

/// A line of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Line {
    /// The first: where the export begins.
    Log {
        /// The log's key.
        key: Verifier,
        /// How many entries come before it.
        after: u64,
        /// What is needed of those to go on, from the largest complete subtree.
        frontier: Vec<Hash>,
    },
    /// The second, when the log's key was ever replaced: what led from the first one to this one.
    Successions {
        /// In their order.
        of: Vec<Succession<Verifier>>,
    },
    /// An entry.
    Entry {
        /// Its number.
        sequence: i64,
        /// Its hash.
        hash: Hash,
        /// Its exact bytes; nothing when their time is up.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        leaf: Option<String>,
    },
    /// After the entries: the newest checkpoint.
    Checkpoint {
        /// As the log signed it.
        note: String,
        /// That it begins with the exported entries, when there are more.
        consistency: Vec<Hash>,
    },
    /// What a witness has cosigned last.
    Cosignature {
        /// The witness's key.
        key: Verifier,
        /// The machine that it is on.
        machine: String,
        /// The size of the log that it saw.
        size: u64,
        /// Its signature.
        line: String,
    },
}

/// Why an export is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// A number is missing or out of order.
    #[error("entry {expected} is missing: entry {found} follows")]
    Gap {
        /// The number that should come.
        expected: u64,
        /// The number that came.
        found: i64,
    },
    /// The content does not have the hash.
    #[error("entry {0} was changed after it was written")]
    Changed(i64),
    /// A line is not one of an export, or not where it is.
    #[error("line {0} cannot be read")]
    Unreadable(usize),
    /// It was cut short.
    #[error("the checkpoint at the end is missing")]
    NoCheckpoint,
}

/// What an export says of itself, when its entries hold together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The key that was trusted, or the last one that follows from it: one of these has signed the checkpoint.
    pub key: Verifier,
    /// The first entry and the last one.
    pub entries: (u64, u64),
    /// How many of them have only their hash left.
    pub pruned: u64,
    /// The root of the log up to the last one.
    pub root: Hash,
    /// The checkpoint's size, when it is signed by the log and begins with these entries.
    pub checkpoint: Result<u64, String>,
    /// What each cosignature is worth.
    pub cosignatures: Vec<Cosigned>,
}

/// What a cosignature is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    /// The machine.
    pub machine: String,
    /// The size it saw.
    pub size: u64,
    /// When, in seconds since 1970, if it is of these entries.
    pub at: Result<u64, String>,
}

impl Report {
    /// Whether everything in it holds. A cosignature of entries that are not in it is no contradiction.
    pub fn holds(&self) -> bool {
        let inside = |c: &&Cosigned| (self.entries.0.saturating_sub(1)..=self.entries.1).contains(&c.size);
        self.checkpoint.is_ok() && self.cosignatures.iter().filter(inside).all(|c| c.at.is_ok())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.entries;
        writeln!(f, "entries       {first} to {last}; of {} only the hash is left", self.pruned)?;
        writeln!(f, "root          {}", self.root)?;
        writeln!(f, "log key       {}", self.key)?;
        match &self.checkpoint {
            Ok(size) => writeln!(f, "checkpoint    of {size} entries, signed by the log")?,
            Err(why) => writeln!(f, "checkpoint    BAD: {why}")?,
        }
        for Cosigned { machine, size, at } in &self.cosignatures {
            match at {
                Ok(at) => writeln!(f, "cosignature   of {size} entries at {at} by {machine}")?,
                Err(why) => writeln!(f, "cosignature   of {size} entries by {machine}: {why}")?,
            }
        }
        Ok(())
    }
}

/// Checks the lines of an export. `trusted` is the log's key, or one that it had before, when it is known from elsewhere;
/// otherwise the export's own word is taken for it.
///
/// # Errors
/// [`ExportError`] at the first entry that does not fit. Signatures that do not fit are in the report.
pub fn verify<'l>(
    lines: impl IntoIterator<Item = &'l str>,
    trusted: Option<&Verifier>,
) -> Result<Report, ExportError> {
    let mut lines = (1..).zip(lines);
    let read = |(number, text): (usize, &str)| {
        serde_json::from_str(text)
            .map(|line: Line| (number, line))
            .map_err(|_| ExportError::Unreadable(number))
    };
    let Some((_, Line::Log { key, after, frontier })) = lines.next().map(read).transpose()? else {
        return Err(ExportError::Unreadable(1));
    };
    let begin = Frontier::of(after, frontier).ok_or(ExportError::Unreadable(1))?;
    let mut keys = vec![trusted.cloned().unwrap_or(key)];
    let (mut tree, mut hashes, mut pruned) = (begin.clone(), Vec::new(), 0);
    let (mut checkpoint, mut cosigned) = (None, Vec::new());
    for line in lines {
        match read(line)? {
            (2, Line::Successions { of }) => keys = walk(&keys[0], &of),
            (_, Line::Entry { sequence, hash, leaf }) if checkpoint.is_none() => {
                let expected = tree.size() + 1;
                if u64::try_from(sequence) != Ok(expected) {
                    return Err(ExportError::Gap { expected, found: sequence });
                }
                match leaf {
                    Some(leaf) if !fits(sequence, &leaf, &hash) => {
                        return Err(ExportError::Changed(sequence));
                    }
                    Some(_) => {}
                    None => pruned += 1,
                }
                tree.append(hash);
                hashes.push(hash);
            }
            (_, Line::Checkpoint { note, consistency }) if checkpoint.is_none() => {
                checkpoint = Some(checked(&keys, &tree, &note, &consistency));
            }
            (_, Line::Cosignature { key, machine, size, line }) if checkpoint.is_some() => {
                cosigned.push((key, machine, size, line));
            }
            (number, _) => return Err(ExportError::Unreadable(number)),
        }
    }
    let key = keys.pop().ok_or(ExportError::Unreadable(1))?;
    let roots = roots(begin, &hashes, cosigned.iter().map(|(_, _, size, _)| *size));
    let cosignatures = cosigned
        .into_iter()
        .map(|(witness, machine, size, line)| {
            let at = match roots.get(&size) {
                None => Err("not among these entries".to_owned()),
                Some(root) => {
                    cosigned_at(&key, &witness, size, *root, &line).map_err(|e| format!("BAD: {e}"))
                }
            };
            Cosigned { machine, size, at }
        })
        .collect();
    Ok(Report {
        key,
        entries: (after + 1, tree.size()),
        pruned,
        root: tree.root(),
        checkpoint: checkpoint.ok_or(ExportError::NoCheckpoint)?,
        cosignatures,
    })
}

fn fits(sequence: i64, leaf: &str, hash: &Hash) -> bool {
    leaf_hash(leaf.as_bytes()) == *hash
        && serde_json::from_str::<Leaf>(leaf).is_ok_and(|leaf| leaf.sequence == sequence)
}

/// Any of the keys may have signed it: one that is being replaced signs along with the next one until it is destroyed.
fn checked(keys: &[Verifier], tree: &Frontier, note: &str, consistency: &[Hash]) -> Result<u64, String> {
    let mut opened = Err(NoteError::NotSigned);
    for key in keys.iter().rev() {
        opened = opened.or_else(|_| Checkpoint::open(note, key));
    }
    let signed = opened.map_err(|e| e.to_string())?;
    let (own, root) = (tree.size(), tree.root());
    // Of a log without entries there is nothing to be proved, and no other begins with it here.
    let fits = match own {
        0 => signed.size == 0 && signed.root == root,
        _ => proves_consistency((own, &root), (signed.size, &signed.root), consistency),
    };
    if fits { Ok(signed.size) } else { Err("these entries are not what the log signed".to_owned()) }
}

fn cosigned_at(
    log: &Verifier,
    witness: &Verifier,
    size: u64,
    root: Hash,
    line: &str,
) -> Result<u64, NoteError> {
    let text = Checkpoint { origin: log.name().to_owned(), size, root }.text();
    match witness.signs() {
        Use::Cosignature => witness.open_line(&text, line)?.ok_or(NoteError::BadSignature),
        Use::Note => Err(NoteError::Key),
    }
}

/// The roots at these sizes, as far as they can be known.
fn roots(mut tree: Frontier, hashes: &[Hash], sizes: impl Iterator<Item = u64>) -> BTreeMap<u64, Hash> {
    let mut roots: BTreeMap<u64, Hash> = BTreeMap::new();
    let wanted: std::collections::BTreeSet<u64> = sizes.collect();
    let mut rest = hashes.iter();
    loop {
        if wanted.contains(&tree.size()) {
            roots.insert(tree.size(), tree.root());
        }
        let Some(hash) = rest.next() else { return roots };
        tree.append(*hash);
    }
}
