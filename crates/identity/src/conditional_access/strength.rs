//! Strengths of authentication: which combinations of proofs are good enough (Graph's `authenticationStrengthPolicy`).

use std::collections::HashMap;
use std::fmt;

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::session::{Method, Proof};

/// Graph's `authenticationMethodModes`, and one of ours. A policy may name modes that nobody can prove here: a
/// combination with one of them is never met.
const MODES: [&str; 18] = [
    "password",
    "softwareOath",
    "fido2",
    "temporaryAccessPassOneTime",
    "recoveryCode",
    "federatedMultiFactor",
    "windowsHelloForBusiness",
    "voice",
    "sms",
    "hardwareOath",
    "microsoftAuthenticatorPush",
    "deviceBasedPush",
    "temporaryAccessPassMultiUse",
    "email",
    "x509CertificateSingleFactor",
    "x509CertificateMultiFactor",
    "federatedSingleFactor",
    "qrCodePin",
];

/// Proofs that are given together, as a set of modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Combination(u32);

impl Combination {
    /// A passkey.
    pub const PASSKEY: Combination = Combination(1 << 2);
    /// A password with the code of an authenticator app.
    pub const PASSWORD_AND_CODE: Combination = Combination(1 | 1 << 1);
    /// A password with a recovery code.
    pub const PASSWORD_AND_RECOVERY: Combination = Combination(1 | 1 << 4);
    /// A temporary access pass that opens once.
    pub const PASS: Combination = Combination(1 << 3);

    /// Reads `password,softwareOath`.
    pub fn parse(text: &str) -> Option<Combination> {
        let mut modes = 0;
        for word in text.split(',').map(str::trim) {
            let at = MODES.iter().position(|m| m.eq_ignore_ascii_case(word))?;
            modes |= 1 << at;
        }
        Some(Combination(modes))
    }

    /// Everything that was proved at or after `since`.
    pub fn proved(proofs: &[Proof], since: Option<OffsetDateTime>) -> Combination {
        let fresh = proofs.iter().filter(|p| since.is_none_or(|since| p.at >= since));
        fresh.fold(Combination::default(), |all, proof| all.with(Combination::of(proof.method)))
    }

    /// What one proof is.
    pub fn of(method: Method) -> Combination {
        match method {
            Method::Password => Combination(1),
            Method::Totp => Combination(1 << 1),
            Method::RecoveryCode => Combination(1 << 4),
            Method::Passkey => Combination::PASSKEY,
            // A link admits to registering something and proves nothing.
            Method::Link => Combination(0),
        }
    }

    /// Both together.
    #[must_use]
    pub fn with(self, other: Combination) -> Combination {
        Combination(self.0 | other.0)
    }

    /// Whether everything in `other` is in here.
    pub fn contains(self, other: Combination) -> bool {
        other.0 != 0 && self.0 & other.0 == other.0
    }

    /// Whether nothing is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Combination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words =
            MODES.iter().enumerate().filter(|(at, _)| self.0 & 1 << at != 0).map(|(_, word)| *word);
        f.write_str(words.next().unwrap_or_default())?;
        words.try_for_each(|word| write!(f, ",{word}"))
    }
}

/// `Multifactor authentication`.
pub const MULTIFACTOR: Uuid = Uuid::from_u128(2);
/// `Passwordless MFA`.
pub const PASSWORDLESS: Uuid = Uuid::from_u128(3);
/// `Phishing-resistant MFA`.
pub const PHISHING_RESISTANT: Uuid = Uuid::from_u128(4);

/// The strengths that are always there: id, name, what is good enough.
pub const BUILT_IN: [(Uuid, &str, &[&str]); 3] = [
    (
        MULTIFACTOR,
        "Multifactor authentication",
        &[
            "windowsHelloForBusiness",
            "fido2",
            "x509CertificateMultiFactor",
            "deviceBasedPush",
            "temporaryAccessPassOneTime",
            "temporaryAccessPassMultiUse",
            "password,microsoftAuthenticatorPush",
            "password,softwareOath",
            "password,hardwareOath",
            "password,recoveryCode",
            "federatedMultiFactor",
        ],
    ),
    (
        PASSWORDLESS,
        "Passwordless MFA",
        &["windowsHelloForBusiness", "fido2", "x509CertificateMultiFactor", "deviceBasedPush"],
    ),
    (
        PHISHING_RESISTANT,
        "Phishing-resistant MFA",
        &["windowsHelloForBusiness", "fido2", "x509CertificateMultiFactor"],
    ),
];

/// All strengths by their ids.
#[derive(Debug, Clone)]
pub struct Strengths(HashMap<Uuid, Vec<Combination>>);

impl Default for Strengths {
    fn default() -> Self {
        let built_in = BUILT_IN.iter().map(|(id, _, modes)| {
            (*id, modes.iter().filter_map(|text| Combination::parse(text)).collect::<Vec<_>>())
        });
        Self(built_in.collect())
    }
}

impl Strengths {
    /// Adds one that was made by people; the built-in ones stay what they are.
    pub fn add(&mut self, id: Uuid, combinations: Vec<Combination>) {
        self.0.entry(id).or_insert(combinations);
    }

    /// What is good enough; nothing when there is no such strength.
    pub fn combinations(&self, id: Uuid) -> &[Combination] {
        self.0.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Whether there is such a strength.
    pub fn contains(&self, id: Uuid) -> bool {
        self.0.contains_key(&id)
    }
}

/// The instant before which a proof is too old.
pub(super) fn since(max_age: Option<Duration>, now: OffsetDateTime) -> Option<OffsetDateTime> {
    max_age.map(|age| now - age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_are_written_as_they_are_read() {
        for (_, _, modes) in BUILT_IN {
            for text in modes {
                assert_eq!(Combination::parse(text).unwrap().to_string(), *text);
            }
        }
        assert_eq!(Combination::parse("Password, SOFTWAREOATH"), Some(Combination::PASSWORD_AND_CODE));
        assert_eq!(Combination::parse("password,carrier pigeon"), None);
        assert_eq!(Combination::parse(""), None);
    }

    #[test]
    fn nothing_is_good_enough_for_a_strength_that_does_not_exist() {
        let all = Strengths::default();
        assert!(all.combinations(Uuid::from_u128(99)).is_empty());
        let passkey = Combination::of(Method::Passkey);
        assert!(all.combinations(PHISHING_RESISTANT).iter().any(|c| passkey.contains(*c)));
        let phished = Combination::of(Method::Password).with(Combination::of(Method::Totp));
        assert!(!all.combinations(PHISHING_RESISTANT).iter().any(|c| phished.contains(*c)));
        assert!(all.combinations(MULTIFACTOR).iter().any(|c| phished.contains(*c)));
        let half = Combination::of(Method::Password);
        assert!(!all.combinations(MULTIFACTOR).iter().any(|c| half.contains(*c)));
        assert!(!Combination::of(Method::Link).contains(Combination::default()));
    }
}
