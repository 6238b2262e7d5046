//! The chain: leaves, their hashes, and the check that nothing was touched.

use std::fmt;

use ring::digest::{Context, SHA256};
use sekisho_arm::AuditEntry;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// A SHA-256 hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What the first entry names as its predecessor.
    pub const GENESIS: Hash = Hash([0; 32]);

    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Hash> {
        let mut bytes = [0u8; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (slot, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *slot = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Hash(bytes))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}
impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One entry at its place in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leaf {
    /// Its place, from 1.
    pub sequence: i64,
    /// When it happened.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// What happened.
    #[serde(flatten)]
    pub entry: AuditEntry,
}

impl Leaf {
    /// The bytes that are hashed and kept.
    ///
    /// # Errors
    /// When the entry has no JSON form.
    pub fn bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

/// The hash of a leaf that follows `previous`. The prefix keeps leaf hashes apart from any other use of SHA-256
/// (RFC 6962 §2.1 uses 0x00 for leaves).
pub fn link(previous: &Hash, leaf: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[0x00]);
    context.update(&previous.0);
    context.update(leaf);
    let mut out = [0u8; 32];
    out.copy_from_slice(context.finish().as_ref());
    Hash(out)
}

/// Where a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A number is missing or out of order.
    #[error("entry {expected} is missing: entry {found} follows")]
    Gap {
        /// The number that should come.
        expected: i64,
        /// The number that came.
        found: i64,
    },
    /// The content or the hash was changed.
    #[error("entry {0} was changed after it was written")]
    Changed(i64),
    /// The leaf cannot be read.
    #[error("entry {0} cannot be read")]
    Unreadable(i64),
}

/// Checks entries in order, beginning after `(sequence, hash)`; returns where the chain stands.
///
/// # Errors
/// [`ChainError`] at the first entry that does not fit.
pub fn verify<'a>(
    start: (i64, Hash),
    entries: impl IntoIterator<Item = (i64, &'a [u8], Hash)>,
) -> Result<(i64, Hash), ChainError> {
    let (mut sequence, mut hash) = start;
    for (number, bytes, recorded) in entries {
        if number != sequence + 1 {
            return Err(ChainError::Gap { expected: sequence + 1, found: number });
        }
        let leaf: Leaf = serde_json::from_slice(bytes).map_err(|_| ChainError::Unreadable(number))?;
        hash = link(&hash, bytes);
        if hash != recorded || leaf.sequence != number {
            return Err(ChainError::Changed(number));
        }
        sequence = number;
    }
    Ok((sequence, hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sekisho_arm::{CallerRef, Outcome, PrincipalKind};

    fn log(n: i64) -> Vec<(i64, Vec<u8>, Hash)> {
        let mut hash = Hash::GENESIS;
        (1..=n)
            .map(|sequence| {
                let entry = AuditEntry {
                    operation: format!("Microsoft.Test/x{sequence}/write"),
                    resource_id: "/".into(),
                    caller: CallerRef {
                        object_id: "o".into(),
                        kind: PrincipalKind::System,
                        name: "n".into(),
                    },
                    outcome: Outcome::Succeeded,
                    detail: "OK".into(),
                    correlation_id: "c".into(),
                    authorization: None,
                    http: None,
                };
                let bytes = Leaf { sequence, at: OffsetDateTime::UNIX_EPOCH, entry }.bytes().unwrap();
                hash = link(&hash, &bytes);
                (sequence, bytes, hash)
            })
            .collect()
    }

    fn check(log: &[(i64, Vec<u8>, Hash)]) -> Result<(i64, Hash), ChainError> {
        verify((0, Hash::GENESIS), log.iter().map(|(s, b, h)| (*s, b.as_slice(), *h)))
    }

    #[test]
    fn hashes_print_and_parse() {
        let h = link(&Hash::GENESIS, b"x");
        assert_eq!(Hash::parse(&h.to_string()), Some(h));
        assert_eq!(Hash::parse("zz"), None);
    }

    proptest! {
        #[test]
        fn an_untouched_log_verifies_and_any_touch_is_found(n in 2i64..12, at in 0usize..11, kind in 0..3, byte in any::<u8>()) {
            let good = log(n);
            prop_assert_eq!(check(&good).unwrap().0, n);
            let at = at % (good.len() - 1);
            let mut bad = good.clone();
            match kind {
                0 => { let i = usize::from(byte) % bad[at].1.len(); bad[at].1[i] ^= 1; }
                1 => { bad.remove(at); }
                _ => bad.swap(at, at + 1),
            }
            prop_assert!(check(&bad).is_err());
        }
    }
}
