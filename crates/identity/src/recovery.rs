//! Recovery codes: ten slips of paper for the day the phone is gone, each good once.
//!
//! A code is `xxxx-xxxx-xxxx-xxxx-xxxx`: the first four characters find it, the other sixteen are 80 random bits. That
//! is more than anyone can guess online but less than the 112 bits for which ASVS 5.0 (6.5.2) allows a plain hash, so
//! codes are stored with Argon2id.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::password::{self, HashError, PasswordHash};
use crate::{NoEntropy, Secret, slip};

/// How many codes a person gets.
pub const COUNT: usize = 10;
/// Letters of a code.
const LETTERS: usize = 20;

/// Codes could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// No random bytes.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// No hash.
    #[error(transparent)]
    Hash(#[from] HashError),
}

/// One stored code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Code {
    lookup: String,
    hash: PasswordHash,
    #[serde(with = "time::serde::rfc3339::option")]
    used: Option<OffsetDateTime>,
}

/// A person's codes as stored. A new set replaces an old one whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecoveryCodes(Vec<Code>);

impl RecoveryCodes {
    /// Makes ten codes: the texts to show once, and what to store. Costs ten password hashes.
    ///
    /// # Errors
    /// [`RecoveryError`].
    pub fn generate() -> Result<(Vec<Secret>, RecoveryCodes), RecoveryError> {
        let mut shown = Vec::with_capacity(COUNT);
        let mut stored: Vec<Code> = Vec::with_capacity(COUNT);
        while stored.len() < COUNT {
            let text = slip::letters::<LETTERS>()?;
            let (lookup, rest) = text.split_at(4);
            if stored.iter().any(|c| c.lookup == lookup) {
                continue;
            }
            stored.push(Code {
                lookup: lookup.to_owned(),
                hash: password::hash(&Secret::new(rest))?,
                used: None,
            });
            shown.push(slip::grouped(&text));
        }
        Ok((shown, RecoveryCodes(stored)))
    }

    /// Takes a code and marks it used. Case, blanks and dashes do not matter, and neither do `o`, `i` and `l` for the
    /// digits they look like. Costs one password hash whether or not the code exists.
    pub fn redeem(&mut self, code: &str, now: OffsetDateTime) -> bool {
        let text = slip::read(code, LETTERS);
        let (lookup, rest) = if text.len() == LETTERS { text.split_at(4) } else { ("", text.as_str()) };
        let rest = Secret::new(rest);
        match self.0.iter_mut().find(|c| c.lookup == lookup && c.used.is_none()) {
            Some(found) if password::verify(&found.hash, &rest) => {
                found.used = Some(now);
                true
            }
            Some(_) => false,
            None => {
                password::verify_dummy(&rest);
                false
            }
        }
    }

    /// How many codes are left.
    pub fn left(&self) -> usize {
        self.0.iter().filter(|c| c.used.is_none()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);

    #[test]
    fn each_code_works_once_however_it_is_typed_and_survives_the_database() {
        let (shown, mut codes) = RecoveryCodes::generate().unwrap();
        assert_eq!(shown.len(), COUNT);
        let typed = shown[0].expose().to_uppercase().replace('-', " ").replace('0', "O").replace('1', "l");
        assert!(codes.redeem(&typed, NOW));
        assert!(!codes.redeem(shown[0].expose(), NOW), "used");
        assert_eq!(codes.left(), 9);

        let text = serde_json::to_string(&codes).unwrap();
        assert!(!text.contains(&shown[1].expose()[5..9]));
        let mut read: RecoveryCodes = serde_json::from_str(&text).unwrap();
        assert!(!read.redeem(shown[0].expose(), NOW));
        assert!(read.redeem(shown[9].expose(), NOW));
    }

    #[test]
    fn wrong_codes_are_refused() {
        let (shown, mut codes) = RecoveryCodes::generate().unwrap();
        let right = shown[0].expose();
        let flipped = if right.ends_with('z') { 'y' } else { 'z' };
        let wrong = format!("{}{flipped}", &right[..right.len() - 1]);
        for text in [wrong.as_str(), "", "0000", &right[..20], &format!("{right}0")] {
            assert!(!codes.redeem(text, NOW), "{text}");
        }
        assert_eq!(codes.left(), COUNT);
    }
}
