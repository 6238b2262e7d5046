//! Time-based one-time codes (RFC 6238): SHA-1, 6 digits, 30 seconds, which is what every authenticator app speaks.
//!
//! A code is good once. The step it belongs to is remembered, and no step at or before it is taken again, so a code
//! read over a shoulder is worth nothing. Three wrong codes close the rest of the step, so that guessing a million
//! codes takes months.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use totp_rs::{Builder, Totp};
use uuid::Uuid;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::seal::{SealingKeys, Unopened};
use crate::secret::random;
use crate::{NoEntropy, Secret};

/// Seconds one code lives.
pub const STEP: u64 = 30;
/// Wrong codes taken in one step.
pub const TRIES: u8 = 3;

/// Why a code was not taken. The person sees one text for all; the difference is for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not the code of this or a neighbouring step.
    #[error("the code is wrong")]
    Wrong,
    /// It was used before.
    #[error("the code was used already; wait for the next one")]
    Replayed,
    /// Too many wrong codes in this step.
    #[error("too many wrong codes; wait half a minute")]
    TooMany,
}

/// A person's authenticator: the shared secret (160 bits) and what was used of it.
#[derive(Clone)]
pub struct Authenticator {
    secret: Key,
    /// The newest step whose code was taken.
    last_step: Option<u64>,
    /// The step in which wrong codes are being counted, and how many there were.
    failing: (u64, u8),
}

#[derive(Clone, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
struct Key(Vec<u8>);

/// An authenticator as it is kept: its secret is sealed for its person.
#[derive(Clone, Serialize, Deserialize)]
pub struct SealedAuthenticator {
    secret: Sealed,
    last_step: Option<u64>,
    failing: (u64, u8),
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Sealed {
    /// As [`SealingKeys::seal`] gives it.
    Text(String),
    /// As versions before kept it.
    Bare(Key),
}

fn place(person: Uuid) -> String {
    format!("totp|{person}")
}

impl SealedAuthenticator {
    /// The authenticator of this person.
    ///
    /// # Errors
    /// [`Unopened`], also when it is somebody else's.
    pub fn open(self, person: Uuid, keys: &SealingKeys) -> Result<Authenticator, Unopened> {
        let secret = match self.secret {
            Sealed::Text(text) => Key(keys.open(&place(person), &text)?.to_vec()),
            Sealed::Bare(key) => key,
        };
        Ok(Authenticator { secret, last_step: self.last_step, failing: self.failing })
    }

    /// Whether it is sealed with the key that seals at this moment.
    pub fn is_current(&self, person: Uuid, keys: &SealingKeys) -> bool {
        matches!(&self.secret, Sealed::Text(text) if keys.is_current(&place(person), text))
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("last_step", &self.last_step).finish_non_exhaustive()
    }
}

impl Authenticator {
    /// A new one, to be shown once by [`Authenticator::enrolment`] and kept after the first code was right.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn generate() -> Result<Authenticator, NoEntropy> {
        let mut bytes = random::<20>()?;
        let secret = Key(bytes.to_vec());
        bytes.zeroize();
        Ok(Authenticator { secret, last_step: None, failing: (0, 0) })
    }

    /// As it is kept for this person.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn seal(&self, person: Uuid, keys: &SealingKeys) -> Result<SealedAuthenticator, NoEntropy> {
        let secret = Sealed::Text(keys.seal(&place(person), &self.secret.0)?);
        Ok(SealedAuthenticator { secret, last_step: self.last_step, failing: self.failing })
    }

    /// What the authenticator app needs: the `otpauth:` address for a QR code, and the secret in base32 for typing.
    pub fn enrolment(&self, issuer: &str, account: &str) -> (Secret, Secret) {
        // A colon separates issuer and account in the label and may be in neither.
        let clean = |text: &str| text.replace(':', " ").trim().to_owned();
        let totp = self
            .builder()
            .with_issuer(Some(clean(issuer)))
            .with_account_name(clean(account))
            .build_noncompliant();
        let address = totp.to_url().unwrap_or_default();
        (Secret::new(address), Secret::new(totp.secret().to_base32()))
    }

    /// Checks a code and marks its step used. The caller stores the authenticator whatever the answer is.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check(&mut self, code: &str, now: OffsetDateTime) -> Result<(), Refused> {
        let seconds = u64::try_from(now.unix_timestamp()).unwrap_or(0);
        let step = seconds / STEP;
        if self.failing.0 != step {
            self.failing = (step, 0);
        }
        if self.failing.1 >= TRIES {
            return Err(Refused::TooMany);
        }
        let code: String = code.chars().filter(|c| !c.is_whitespace()).take(12).collect();
        match self.totp().check(&code, seconds) {
            Some(matched) if self.last_step.is_none_or(|last| matched > last) => {
                self.last_step = Some(matched);
                Ok(())
            }
            Some(_) => Err(Refused::Replayed),
            None => {
                self.failing.1 += 1;
                Err(Refused::Wrong)
            }
        }
    }

    fn builder(&self) -> Builder {
        Builder::new().with_secret(self.secret.0.clone())
    }

    fn totp(&self) -> Totp {
        self.builder().build_noncompliant()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(seconds).unwrap()
    }

    fn rfc() -> Authenticator {
        Authenticator { secret: Key(b"12345678901234567890".to_vec()), last_step: None, failing: (0, 0) }
    }

    #[test]
    fn the_vectors_of_rfc_6238_are_taken() {
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(rfc().check(code, at(seconds)), Ok(()), "{seconds}");
        }
    }

    #[test]
    fn a_code_is_good_once_and_older_ones_not_after_it() {
        let mut a = rfc();
        let (older, newer) = ("081804", "050471");
        assert_eq!(a.check(newer, at(1_111_111_111)), Ok(()));
        assert_eq!(a.check(newer, at(1_111_111_112)), Err(Refused::Replayed));
        assert_eq!(a.check(older, at(1_111_111_113)), Err(Refused::Replayed), "the step before");
        assert_eq!(rfc().check(older, at(1_111_111_113)), Ok(()), "clocks may differ by a step");
        assert_eq!(rfc().check(older, at(1_111_111_109 + 60)), Err(Refused::Wrong));
    }

    #[test]
    fn the_fourth_guess_of_a_step_is_not_even_looked_at() {
        let mut a = rfc();
        for _ in 0..3 {
            assert_eq!(a.check("000000", at(1_111_111_111)), Err(Refused::Wrong));
        }
        assert_eq!(a.check("050471", at(1_111_111_112)), Err(Refused::TooMany));
        let (keys, person) = (keys(1), Uuid::from_u128(1));
        let text = serde_json::to_string(&a.seal(person, &keys).unwrap()).unwrap();
        let stored: SealedAuthenticator = serde_json::from_str(&text).unwrap();
        let mut stored = stored.open(person, &keys).unwrap();
        assert_eq!(stored.check("050471", at(1_111_111_112)), Err(Refused::TooMany));
        assert_eq!(a.check("050471", at(1_111_111_111 + 30)), Ok(()), "the next step is open again");
    }

    fn keys(byte: u8) -> SealingKeys {
        let active = crate::seal::SealingKey::new(&[byte; 32]).unwrap();
        SealingKeys { id: String::new(), active, others: Vec::new() }
    }

    #[test]
    fn the_secret_is_kept_sealed_for_its_person_and_what_was_kept_bare_opens_too() {
        let (jo, eve) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let kept = rfc().seal(jo, &keys(1)).unwrap();
        let text = serde_json::to_string(&kept).unwrap();
        assert!(!text.contains("49,50,51") && kept.is_current(jo, &keys(1)), "{text}");
        assert!(kept.clone().open(eve, &keys(1)).is_err() && kept.clone().open(jo, &keys(2)).is_err());
        let bare = serde_json::json!({"secret": rfc().secret.0, "last_step": null, "failing": [0, 0]});
        let bare: SealedAuthenticator = serde_json::from_value(bare).unwrap();
        assert!(!bare.is_current(jo, &keys(1)) && !kept.is_current(jo, &keys(2)));
        for kept in [kept, bare] {
            assert_eq!(kept.open(jo, &keys(1)).unwrap().check("287082", at(59)), Ok(()));
        }
    }

    #[test]
    fn the_enrolment_is_what_apps_read_and_nothing_prints_the_secret() {
        let a = rfc();
        let (address, typed) = a.enrolment("Sekisho: home", "jo@contoso.test");
        assert_eq!(typed.expose(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert!(address.expose().starts_with("otpauth://totp/Sekisho"), "{}", address.expose());
        assert!(address.expose().contains("secret=GEZDGNBVGY3TQOJQ"));
        assert!(!format!("{a:?}").contains("49"), "{a:?}");
        assert_ne!(Authenticator::generate().unwrap().secret.0, Authenticator::generate().unwrap().secret.0);
    }

    proptest! {
        #[test]
        fn no_step_is_ever_taken_twice(mut times in prop::collection::vec(1_000_000..1_000_600i64, 1..20)) {
            times.sort_unstable();
            let mut a = rfc();
            let mut taken = std::collections::HashSet::new();
            for t in times {
                let code = a.totp().generate(u64::try_from(t).unwrap()).to_string();
                if a.check(&code, at(t)).is_ok() {
                    prop_assert!(taken.insert(code));
                }
            }
        }

        #[test]
        fn odd_codes_are_wrong_and_never_a_panic(code in "\\PC{0,40}") {
            let result = rfc().check(&code, at(59));
            prop_assert!(result.is_err() || code.trim() == "287082");
        }
    }
}
