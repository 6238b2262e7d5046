//! Temporary access passes: what an administrator gives to somebody who can sign in with nothing, by phone or in person.
//!
//! A pass opens once, within a day, and only the way to registering a credential of one's own; whoever made it never
//! learns that credential. It is `xxxx-xxxx-xxxx`, 60 random bits: short enough to be read out, too long to be guessed
//! where guessing is slowed down, and stored with Argon2id.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::password::{self, HashError, PasswordHash};
use crate::{NoEntropy, Secret, slip};

/// The shortest life, in minutes (Entra ID's).
pub const SHORTEST: i64 = 10;
/// The longest life, in minutes.
pub const LONGEST: i64 = 24 * 60;
/// The life of a pass of which nobody says how long (Entra ID's).
pub const USUAL: i64 = 60;
/// Letters of a pass.
const LETTERS: usize = 12;

/// A pass could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    /// Shorter than [`SHORTEST`] or longer than [`LONGEST`].
    #[error("a temporary access pass lives {SHORTEST} to {LONGEST} minutes")]
    Lifetime,
    /// No random bytes.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// No hash.
    #[error(transparent)]
    Hash(#[from] HashError),
}

/// How a pass is (Graph's `methodUsabilityReason`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usability {
    /// It opens.
    Usable,
    /// Its time is over.
    Expired,
    /// It has opened.
    Used,
}

impl Usability {
    /// Graph's word.
    pub fn word(self) -> &'static str {
        match self {
            Usability::Usable => "EnabledByPolicy",
            Usability::Expired => "Expired",
            Usability::Used => "OneTimeUsed",
        }
    }
}

/// A pass as stored under its person: nobody has two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessPass {
    /// Names it; of no use for opening anything.
    pub id: Uuid,
    /// Whose it is.
    pub person: Uuid,
    hash: PasswordHash,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// How many minutes it lives.
    pub minutes: i64,
    #[serde(with = "time::serde::rfc3339::option")]
    used: Option<OffsetDateTime>,
}

impl AccessPass {
    /// Makes one: what to store, and the text to show once. Costs a password hash.
    ///
    /// # Errors
    /// [`PassError`].
    pub fn issue(person: Uuid, minutes: i64, now: OffsetDateTime) -> Result<(AccessPass, Secret), PassError> {
        if !(SHORTEST..=LONGEST).contains(&minutes) {
            return Err(PassError::Lifetime);
        }
        let letters = slip::letters::<LETTERS>()?;
        let hash = password::hash(&Secret::new(letters.as_str()))?;
        let pass = AccessPass { id: Uuid::new_v4(), person, hash, created: now, minutes, used: None };
        Ok((pass, slip::grouped(&letters)))
    }

    /// When it opens nothing any more.
    pub fn expires(&self) -> OffsetDateTime {
        self.created + Duration::minutes(self.minutes)
    }

    /// How it is now.
    pub fn usability(&self, now: OffsetDateTime) -> Usability {
        match self.used {
            Some(_) => Usability::Used,
            None if now >= self.expires() => Usability::Expired,
            None => Usability::Usable,
        }
    }

    /// Whether this is what was typed. Costs a password hash, also of nobody's pass.
    pub fn verify(pass: Option<&AccessPass>, typed: &str) -> bool {
        let typed = Secret::new(slip::read(typed, LETTERS).as_str());
        match pass {
            Some(pass) => password::verify(&pass.hash, &typed),
            None => {
                password::verify_dummy(&typed);
                false
            }
        }
    }

    /// Uses it up; false when it opens nothing. The caller has verified what was typed against the same pass, and
    /// stores it in the transaction that acts on it.
    pub fn spend(&mut self, now: OffsetDateTime) -> bool {
        let usable = self.usability(now) == Usability::Usable;
        if usable {
            self.used = Some(now);
        }
        usable
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-26 12:00 UTC);

    #[test]
    fn a_pass_opens_once_in_its_time_however_it_is_typed() {
        let (pass, shown) = AccessPass::issue(Uuid::new_v4(), 60, NOW).unwrap();
        assert_eq!(shown.expose().len(), 14);
        let typed = shown.expose().to_uppercase().replace('-', " ").replace('0', "o").replace('1', "L");
        assert!(AccessPass::verify(Some(&pass), &typed));
        for wrong in ["", "0000-0000-0000", &shown.expose()[..13], &format!("{}x", shown.expose())] {
            assert!(!AccessPass::verify(Some(&pass), wrong), "{wrong}");
        }
        assert!(!AccessPass::verify(None, shown.expose()));

        let text = serde_json::to_string(&pass).unwrap();
        assert!(
            !text.contains(&shown.expose()[..4].to_owned())
                || !text.contains(&shown.expose()[5..9].to_owned())
        );
        let mut kept: AccessPass = serde_json::from_str(&text).unwrap();
        assert!(!kept.clone().spend(NOW + Duration::minutes(60)), "too late");
        assert!(kept.spend(NOW + Duration::minutes(59)));
        assert_eq!(kept.usability(NOW), Usability::Used);
        assert!(!kept.spend(NOW));
    }

    #[test]
    fn a_pass_lives_ten_minutes_to_a_day() {
        for minutes in [i64::MIN, 0, 9, 1441, i64::MAX] {
            assert_eq!(AccessPass::issue(Uuid::nil(), minutes, NOW).unwrap_err(), PassError::Lifetime);
        }
        for minutes in [SHORTEST, USUAL, LONGEST] {
            AccessPass::issue(Uuid::nil(), minutes, NOW).unwrap();
        }
    }
}
