//! Time-based one-time codes (RFC 6238): SHA-1, 6 digits, 30 seconds, which is what every authenticator app speaks.
//!
//! A code is good once. The step it belongs to is remembered, and no step at or before it is taken again, so a code
//! read over a shoulder is worth nothing. Three wrong codes close the rest of the step, so that guessing a million
//! codes takes months.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use totp_rs::{Builder, Totp};
use zeroize::{Zeroize, ZeroizeOnDrop};

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
#[derive(Clone, Serialize, Deserialize)]
pub struct Authenticator {
    secret: Key,
    /// The newest step whose code was taken.
    last_step: Option<u64>,
    /// The step in which wrong codes are being counted, and how many there were.
    failing: (u64, u8),
}

#[derive(Clone, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
struct Key(Vec<u8>);

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
        let stored: Authenticator = serde_json::from_str(&serde_json::to_string(&a).unwrap()).unwrap();
        assert_eq!(stored.clone().check("050471", at(1_111_111_112)), Err(Refused::TooMany));
        assert_eq!(a.check("050471", at(1_111_111_111 + 30)), Ok(()), "the next step is open again");
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
