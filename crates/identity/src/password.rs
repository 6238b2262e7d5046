//! Passwords: which are good enough, and how they are stored.
//!
//! A password is never the only proof here; a second factor is always asked. So eight characters are enough (ASVS 5.0
//! 6.2.1, NIST SP 800-63B), there are no rules about kinds of characters, and nothing expires. What counts is how many
//! guesses an attacker who knows the person would need, which zxcvbn estimates.
//!
//! Hashing costs about 25 ms and 19 MiB on purpose. The caller bounds how many run at once and keeps them off the
//! async threads.

use std::fmt;

use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use serde::{Deserialize, Serialize};

use crate::Secret;

/// Fewest characters.
pub const MIN_LENGTH: usize = 8;
/// Most characters; longer ones only cost work.
pub const MAX_LENGTH: usize = 256;

/// Memory in KiB, passes and lanes of Argon2id (OWASP password storage cheat sheet; also ASVS 5.0 appendix).
const COST: (u32, u32, u32) = (19_456, 2, 1);

/// A hash nobody has the password of, with the current cost.
const DUMMY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2VraXNobyBkdW1teSBzYWx0$\
                     b25seSBoZXJlIHRvIGNvc3QgdGhlIHNhbWUgd29yayE";

/// Why a password is not good enough. The texts are for the person choosing it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// Fewer than [`MIN_LENGTH`] characters.
    #[error("a password has at least {MIN_LENGTH} characters")]
    TooShort,
    /// More than [`MAX_LENGTH`] characters.
    #[error("a password has at most {MAX_LENGTH} characters")]
    TooLong,
    /// Little remains without the person's or the product's name.
    #[error("the password leans on your name or the name of this service")]
    Personal,
    /// A guesser gets there quickly.
    #[error("the password is easy to guess{}", .0.as_ref().map(|hint| format!(": {hint}")).unwrap_or_default())]
    Guessable(Option<String>),
}

/// Hashing did not work; never because of a wrong password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the password could not be hashed")]
pub struct HashError;

/// An Argon2id hash in PHC string form, with salt and cost inside. Prints nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// Checks a new password. `context` are words it must not lean on: the person's names, the host name.
///
/// # Errors
/// [`WeakPassword`].
pub fn check_new(password: &Secret, context: &[&str]) -> Result<(), WeakPassword> {
    let text = password.expose();
    let length = text.chars().count();
    if length < MIN_LENGTH {
        return Err(WeakPassword::TooShort);
    }
    if length > MAX_LENGTH {
        return Err(WeakPassword::TooLong);
    }
    let mut rest = zeroize::Zeroizing::new(text.to_lowercase());
    let words = context.iter().copied().chain(["sekisho"]);
    for word in words.clone().map(str::to_lowercase).filter(|w| w.chars().count() >= 4) {
        *rest = rest.replace(&word, "");
    }
    if rest.chars().count() < MIN_LENGTH / 2 {
        return Err(WeakPassword::Personal);
    }
    // The estimate takes quadratic time, and nothing guessable hides behind 100 characters that are not.
    let head: zeroize::Zeroizing<String> = text.chars().take(100).collect::<String>().into();
    let words: Vec<&str> = words.collect();
    let estimate = zxcvbn::zxcvbn(&head, &words);
    if estimate.score() < zxcvbn::Score::Three {
        let hint = estimate.feedback().and_then(|f| f.warning()).map(|w| w.to_string());
        return Err(WeakPassword::Guessable(hint.map(|h| h.trim_end_matches('.').to_owned())));
    }
    Ok(())
}

/// Hashes a password with a new salt.
///
/// # Errors
/// [`HashError`] when memory or random bytes are missing.
pub fn hash(password: &Secret) -> Result<PasswordHash, HashError> {
    let hash = hasher()?.hash_password(password.expose().as_bytes()).map_err(|_| HashError)?;
    Ok(PasswordHash(hash.to_string()))
}

/// Whether a password is the one that was hashed. Takes the same time either way; an overlong one is refused unhashed.
pub fn verify(stored: &PasswordHash, password: &Secret) -> bool {
    if password.expose().len() > MAX_LENGTH * 4 {
        return false;
    }
    let (Ok(hasher), Ok(hash)) = (hasher(), Phc::new(&stored.0)) else { return false };
    hasher.verify_password(password.expose().as_bytes(), &hash).is_ok()
}

/// Does the work of [`verify`] for a user who does not exist, so that time does not tell who does.
pub fn verify_dummy(password: &Secret) {
    let known = verify(&PasswordHash(DUMMY.to_owned()), password);
    debug_assert!(!known, "nobody has this password");
}

/// Whether a hash was made at an older cost and should be replaced now that the password is at hand.
pub fn needs_rehash(stored: &PasswordHash) -> bool {
    let cost = format!("$argon2id$v=19$m={},t={},p={}$", COST.0, COST.1, COST.2);
    !stored.0.starts_with(&cost)
}

fn hasher() -> Result<Argon2<'static>, HashError> {
    let params = Params::new(COST.0, COST.1, COST.2, None).map_err(|_| HashError)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weak(text: &str) -> WeakPassword {
        check_new(&Secret::new(text), &["margaret", "contoso"]).unwrap_err()
    }

    #[test]
    fn good_passwords_need_no_special_characters() {
        for good in ["correct horse battery staple", "vkqzmwtpbn", "鯨が三頭泳いでいる海"] {
            assert_eq!(check_new(&Secret::new(good), &["margaret"]), Ok(()), "{good}");
        }
        assert_eq!(check_new(&Secret::new("kf8-qjd ".repeat(32)), &[]), Ok(()));
    }

    #[test]
    fn short_known_and_personal_passwords_are_refused() {
        assert_eq!(weak("a7!kQ2z"), WeakPassword::TooShort);
        assert_eq!(weak(&"x7".repeat(129)), WeakPassword::TooLong);
        assert_eq!(weak("Margaret1!"), WeakPassword::Personal);
        assert_eq!(weak("ContosoSekisho9"), WeakPassword::Personal);
        for known in ["password", "P@ssw0rd1", "qwertyuiop", "aaaaaaaaaaaa", "20261124"] {
            assert!(matches!(weak(known), WeakPassword::Guessable(_)), "{known}");
        }
    }

    #[test]
    fn only_the_password_that_was_hashed_verifies_and_nothing_is_printed() {
        let hash = hash(&Secret::new("correct horse battery staple")).unwrap();
        assert!(verify(&hash, &Secret::new("correct horse battery staple")));
        assert!(!verify(&hash, &Secret::new("correct horse battery stapl")));
        assert!(!verify(&hash, &Secret::new("x".repeat(2000))));
        assert!(!verify(&PasswordHash("nonsense".to_owned()), &Secret::new("x")));
        assert_eq!(format!("{hash:?}"), "PasswordHash(..)");
        assert!(hash.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(!needs_rehash(&hash));
        assert!(needs_rehash(&PasswordHash(hash.0.replace("t=2", "t=1"))));
    }

    #[test]
    fn an_unknown_user_costs_as_much_as_a_known_one() {
        assert!(Phc::new(DUMMY).is_ok(), "a hash that does not parse would cost nothing");
        assert!(!needs_rehash(&PasswordHash(DUMMY.to_owned())));
        verify_dummy(&Secret::new("anything"));
    }
}
