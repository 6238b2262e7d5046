//! The key ring: every key of the installation but one, each sealed with that one, the root key.
//!
//! A key is bound to its row: sealed with the row's id, purpose, algorithm and public part and the root key's id as
//! associated data, it opens nowhere else. Where it is in its life follows from instants in the row alone, so that
//! several servers with one database change over at the same moment without asking each other: a new key is *pending*
//! at first, published so that whoever verifies learns of it, but not yet used. Then it is *active*, and the one before
//! is *retiring*: used no more, but trusted until nothing lives that it made. Then it is *destroyed*: the row stays,
//! without the key.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use crate::seal::SealingKey;
use crate::{Digest, NoEntropy};

/// The age at which a key that signs tokens is replaced by itself.
pub const LONGEST: Duration = Duration::days(90);

/// The keys of a purpose that live at the same time. Each of them signs, and is trusted: more are in nobody's interest.
pub const MOST: usize = 8;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Signs the certificates of agents and of the server.
    AgentCa,
    /// Proves to whoever connects that this is the server.
    ServerTls,
    /// Signs what machines are told.
    CommandSigning,
    /// Signs checkpoints of the activity log.
    LogSigning,
    /// Signs access tokens and id tokens.
    TokenSigning,
    /// Seals what else is secret in the database.
    Sealing,
    /// Keys the counters of failed sign-ins.
    Throttle,
    /// Certifies people to the SSH servers of machines.
    SshUserCa,
    /// Certifies machines' SSH servers to people.
    SshHostCa,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Purpose; 9] = [
        Purpose::AgentCa,
        Purpose::ServerTls,
        Purpose::CommandSigning,
        Purpose::LogSigning,
        Purpose::TokenSigning,
        Purpose::Sealing,
        Purpose::Throttle,
        Purpose::SshUserCa,
        Purpose::SshHostCa,
    ];

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Purpose::AgentCa => "agent-ca",
            Purpose::ServerTls => "server-tls",
            Purpose::CommandSigning => "command-signing",
            Purpose::LogSigning => "log-signing",
            Purpose::TokenSigning => "token-signing",
            Purpose::Sealing => "sealing",
            Purpose::Throttle => "throttle",
            Purpose::SshUserCa => "ssh-user-ca",
            Purpose::SshHostCa => "ssh-host-ca",
        }
    }

    /// How long a new key is published before it is used.
    pub fn pending(self) -> Duration {
        match self {
            // Browsers and programs that trust the file of the authority must have got the new one by then.
            Purpose::AgentCa | Purpose::SshHostCa => Duration::DAY,
            _ => Duration::HOUR,
        }
    }

    /// How long a key is trusted after it was last used: longer than anything lives that it made, clocks that differ
    /// included.
    pub fn retiring(self) -> Duration {
        match self {
            // Access tokens live for an hour. What is sealed is sealed again before its key goes, and a certificate of
            // the server goes when it ends.
            Purpose::TokenSigning | Purpose::Sealing | Purpose::ServerTls | Purpose::SshUserCa => {
                Duration::hours(2)
            }
            // The longest lock lasts a day.
            Purpose::Throttle => Duration::hours(25),
            // A machine whose certificate is over for longer joins again, and is given the newest keys.
            // Certificates of host keys live as long.
            Purpose::AgentCa | Purpose::CommandSigning | Purpose::LogSigning | Purpose::SshHostCa => {
                Duration::days(32)
            }
        }
    }

    /// Whether machines know its key, so that they are cut off when it is destroyed before they know the next one.
    pub fn is_pinned(self) -> bool {
        matches!(self, Purpose::AgentCa | Purpose::CommandSigning | Purpose::LogSigning)
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// There is no such purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are no keys for that")]
pub struct NoPurpose;

impl FromStr for Purpose {
    type Err = NoPurpose;

    fn from_str(text: &str) -> Result<Purpose, NoPurpose> {
        Purpose::ALL.into_iter().find(|p| p.word() == text).ok_or(NoPurpose)
    }
}

/// What a key is used with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    Ed25519,
    /// XChaCha20-Poly1305.
    #[serde(rename = "XChaCha20-Poly1305")]
    XChaCha20Poly1305,
    /// HMAC with SHA-256.
    #[serde(rename = "HMAC-SHA256")]
    HmacSha256,
}

impl Algorithm {
    fn word(self) -> &'static str {
        match self {
            Algorithm::Es256 => "ES256",
            Algorithm::Ed25519 => "Ed25519",
            Algorithm::XChaCha20Poly1305 => "XChaCha20-Poly1305",
            Algorithm::HmacSha256 => "HMAC-SHA256",
        }
    }
}

/// The key that seals all others. It is never in the database.
pub struct RootKey {
    id: String,
    sealing: SealingKey,
}

impl RootKey {
    /// With 256 random bits.
    pub fn new(key: &[u8; 32]) -> Option<RootKey> {
        let text = Zeroizing::new([b"sekisho root key ".as_slice(), key].concat());
        let id: String = Digest::of(&text).key().chars().take(16).collect();
        SealingKey::new(key).map(|sealing| RootKey { id, sealing })
    }

    /// What it is called; says nothing of the key.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyState {
    /// Published, not used.
    Pending,
    /// Used.
    Active,
    /// Trusted, not used.
    Retiring,
    /// Gone; only the row is left.
    Destroyed,
}

/// What is known of a key beside the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// What it is called.
    pub id: String,
    /// What it is for.
    pub purpose: Purpose,
    /// What it is used with.
    pub algorithm: Algorithm,
    /// The public part as text; empty when there is none.
    pub public: String,
    /// From when it is used.
    pub active: OffsetDateTime,
}

/// Why a key does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Its root key is not among those at hand.
    #[error("it is sealed with the root key {0}")]
    OtherRoot(String),
    /// It is destroyed.
    #[error("it is destroyed")]
    Destroyed,
    /// It was changed, or put in place of another.
    #[error("it was changed, or put in place of another")]
    Changed,
}

/// A row of the ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// What it is called.
    pub id: String,
    /// What it is for.
    pub purpose: Purpose,
    /// What it is used with.
    pub algorithm: Algorithm,
    /// The public part as text; empty when there is none.
    pub public: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// From when it is used.
    #[serde(with = "time::serde::rfc3339")]
    pub active: OffsetDateTime,
    /// When it was destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub destroyed: Option<OffsetDateTime>,
    /// The id of the root key that it is sealed with.
    pub root: String,
    /// The key, sealed; gone once it is destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrapped: Option<String>,
}

impl Key {
    /// Seals a key that was made now.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn seal(root: &RootKey, label: Label, secret: &[u8], now: OffsetDateTime) -> Result<Key, NoEntropy> {
        let Label { id, purpose, algorithm, public, active } = label;
        let root_id = root.id.clone();
        let mut key = Key {
            id,
            purpose,
            algorithm,
            public,
            created: now,
            active,
            destroyed: None,
            root: root_id,
            wrapped: None,
        };
        key.wrapped = Some(root.sealing.seal(&key.place(), secret)?);
        Ok(key)
    }

    /// The associated data: everything of the row that never changes, and whose key it is sealed with.
    fn place(&self) -> String {
        let public = Digest::of(self.public.as_bytes()).key();
        format!("keyring|{}|{}|{}|{public}|{}", self.id, self.purpose, self.algorithm.word(), self.root)
    }

    /// The key itself.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, roots: &[RootKey]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let wrapped = self.wrapped.as_ref().ok_or(OpenError::Destroyed)?;
        let root = roots.iter().find(|r| r.id == self.root);
        let root = root.ok_or_else(|| OpenError::OtherRoot(self.root.clone()))?;
        root.sealing.open(&self.place(), wrapped).map_err(|_| OpenError::Changed)
    }

    /// The same key, sealed with another root key.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn sealed_again(&self, root: &RootKey, secret: &[u8]) -> Result<Key, NoEntropy> {
        let mut key = Key { root: root.id.clone(), ..self.clone() };
        key.wrapped = Some(root.sealing.seal(&key.place(), secret)?);
        Ok(key)
    }

    /// Whether there is a key in the row.
    pub fn lives(&self) -> bool {
        self.wrapped.is_some()
    }

    /// Throws the key away.
    pub fn destroy(&mut self, now: OffsetDateTime) {
        if self.wrapped.take().is_some() {
            self.destroyed = Some(now);
        }
    }
}

/// The keys of one purpose that follow each other, in the order of their use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRing(Vec<Key>);

impl KeyRing {
    /// Of the keys of one purpose.
    pub fn new(mut keys: Vec<Key>) -> KeyRing {
        keys.sort_by(|a, b| (a.active, &a.id).cmp(&(b.active, &b.id)));
        KeyRing(keys)
    }

    /// All rows, those whose key is destroyed among them.
    pub fn rows(&self) -> &[Key] {
        &self.0
    }

    /// The keys that are not destroyed, the oldest first.
    pub fn living(&self) -> impl Iterator<Item = &Key> {
        self.0.iter().filter(|k| k.lives())
    }

    /// The one that is used, or is to be used first; `None` when none lives.
    pub fn active(&self, now: OffsetDateTime) -> Option<&Key> {
        self.living().filter(|k| k.active <= now).last().or_else(|| self.living().next())
    }

    /// The one that is or will be used last; `None` when none lives.
    pub fn newest(&self) -> Option<&Key> {
        self.living().last()
    }

    /// Whether as many live as may.
    pub fn is_full(&self) -> bool {
        self.living().count() >= MOST
    }

    /// When the next key comes into use, if one waits.
    pub fn next(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        self.living().map(|k| k.active).find(|active| *active > now)
    }

    /// All keys with where they are in their lives.
    pub fn states(&self, now: OffsetDateTime) -> Vec<(&Key, KeyState)> {
        let active = self.0.iter().rposition(|k| k.lives() && k.active <= now);
        let state = |at: usize, key: &Key| match active {
            _ if !key.lives() => KeyState::Destroyed,
            Some(active) if at < active => KeyState::Retiring,
            Some(active) if at == active => KeyState::Active,
            _ => KeyState::Pending,
        };
        self.0.iter().enumerate().map(|(at, key)| (key, state(at, key))).collect()
    }

    /// Whether the newest key is old enough to be replaced, or there is none.
    pub fn due(&self, now: OffsetDateTime) -> bool {
        self.newest().is_none_or(|k| now >= k.active + LONGEST)
    }

    /// Adds a key. Those that were to follow the active one and are not used before the new one are destroyed.
    pub fn add(&mut self, key: Key, now: OffsetDateTime) {
        self.0.iter_mut().filter(|k| k.active >= key.active).for_each(|k| k.destroy(now));
        let keys = std::mem::take(&mut self.0);
        *self = KeyRing::new(keys.into_iter().chain([key]).collect());
    }

    /// Destroys the keys that nothing alive was made with; true when there was one.
    pub fn prune(&mut self, now: OffsetDateTime) -> bool {
        let followed: Vec<OffsetDateTime> = self.living().skip(1).map(|next| next.active).collect();
        let over = self.0.iter_mut().filter(|k| k.lives()).zip(followed);
        let over = over.filter(|(key, next)| now >= *next + key.purpose.retiring());
        over.map(|(key, _)| key.destroy(now)).count() > 0
    }

    /// Destroys all keys but the newest: somebody else may have them.
    pub fn destroy_old(&mut self, now: OffsetDateTime) {
        let old = self.living().count().saturating_sub(1);
        self.0.iter_mut().filter(|k| k.lives()).take(old).for_each(|k| k.destroy(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);
    const PENDING: Duration = Duration::HOUR;
    const RETIRING: Duration = Duration::hours(2);

    fn root(byte: u8) -> RootKey {
        RootKey::new(&[byte; 32]).unwrap()
    }

    fn label(id: &str, active: OffsetDateTime) -> Label {
        let (algorithm, public) = (Algorithm::Es256, format!("public {id}"));
        Label { id: id.to_owned(), purpose: Purpose::TokenSigning, algorithm, public, active }
    }

    fn key(id: &str, active: OffsetDateTime) -> Key {
        Key::seal(&root(1), label(id, active), id.as_bytes(), NOW).unwrap()
    }

    fn seen(ring: &KeyRing, now: OffsetDateTime) -> String {
        let words = ring.states(now).into_iter().map(|(k, state)| format!("{} {state:?}", k.id));
        words.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_key_is_published_then_used_then_trusted_then_gone() {
        let mut ring = KeyRing::default();
        assert!(ring.due(NOW));
        ring.add(key("a", NOW), NOW);
        let rotated = NOW + LONGEST;
        assert!(!ring.due(rotated - Duration::SECOND) && ring.due(rotated));
        ring.add(key("b", rotated + PENDING), rotated);
        assert_eq!(seen(&ring, rotated), "a Active, b Pending");
        assert_eq!(
            (ring.active(rotated).unwrap().id.as_str(), ring.newest().unwrap().id.as_str()),
            ("a", "b")
        );
        assert_eq!(ring.next(rotated), Some(rotated + PENDING));
        assert!(!ring.due(rotated + PENDING));
        let used = rotated + PENDING;
        assert_eq!(seen(&ring, used), "a Retiring, b Active");
        assert_eq!((ring.active(used).unwrap().id.as_str(), ring.next(used)), ("b", None));
        assert_eq!(ring.active(NOW - PENDING).unwrap().id, "a", "a clock that is behind has a key, too");
        assert!(!ring.prune(used + RETIRING - Duration::SECOND));
        assert!(ring.prune(used + RETIRING));
        assert_eq!(seen(&ring, used + RETIRING), "a Destroyed, b Active");
        assert!(
            ring.rows()[0].wrapped.is_none() && ring.rows()[0].open(&[root(1)]) == Err(OpenError::Destroyed)
        );
    }

    #[test]
    fn a_key_in_somebody_elses_hands_is_replaced_at_once_and_destroyed() {
        let mut ring = KeyRing::default();
        ring.add(key("a", NOW), NOW);
        ring.add(key("b", NOW + PENDING), NOW);
        let now = NOW + Duration::SECOND;
        ring.add(key("c", now), now);
        assert_eq!(seen(&ring, now), "a Retiring, c Active, b Destroyed", "b never came to be");
        ring.destroy_old(now);
        assert_eq!(seen(&ring, now), "a Destroyed, c Active, b Destroyed");
    }

    #[test]
    fn every_purpose_is_written_in_one_way() {
        for purpose in Purpose::ALL {
            assert_eq!(purpose.word().parse(), Ok(purpose));
            assert_eq!(serde_json::to_value(purpose).unwrap(), purpose.word());
        }
        assert_eq!("root".parse::<Purpose>(), Err(NoPurpose));
    }

    #[test]
    fn both_root_keys_open_while_one_takes_the_place_of_the_other() {
        let old = key("a", NOW);
        let secret = old.open(&[root(1)]).unwrap();
        let new = old.sealed_again(&root(2), &secret).unwrap();
        let both = [root(1), root(2)];
        assert_eq!(old.open(&both), new.open(&both));
        assert_eq!(new.open(&[root(1)]), Err(OpenError::OtherRoot(root(2).id().to_owned())));
        assert!(!format!("{:?}", root(1)).contains("sealing: S"));
    }

    proptest! {
        #[test]
        fn a_key_opens_in_its_own_row_and_nowhere_else(
            secret in prop::collection::vec(any::<u8>(), 0..300),
            at in any::<prop::sample::Index>(),
            flip in 1..=255u8,
            purpose in prop::sample::select(Purpose::ALL.to_vec()),
            text in "[A-Za-z0-9 |]{0,20}",
        ) {
            use base64::Engine as _;
            use base64::engine::general_purpose::URL_SAFE_NO_PAD;
            let roots = [root(1), root(2)];
            let own = Key::seal(&roots[0], label("own", NOW), &secret, NOW).unwrap();
            let read: Key = serde_json::from_str(&serde_json::to_string(&own).unwrap()).unwrap();
            prop_assert_eq!(&*read.open(&roots).unwrap(), &secret);
            let mut bytes = URL_SAFE_NO_PAD.decode(own.wrapped.as_ref().unwrap()).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let flipped = Key { wrapped: Some(URL_SAFE_NO_PAD.encode(bytes)), ..own.clone() };
            let mut moved = vec![
                flipped,
                Key { id: format!("own{text}x"), ..own.clone() },
                Key { public: format!("{}{text}x", own.public), ..own.clone() },
                Key { algorithm: Algorithm::Ed25519, ..own.clone() },
                Key { root: roots[1].id().to_owned(), ..own.clone() },
                Key { wrapped: key("other", NOW).wrapped, ..own.clone() },
            ];
            if purpose != own.purpose {
                moved.push(Key { purpose, ..own.clone() });
            }
            for key in moved {
                prop_assert_eq!(key.open(&roots), Err(OpenError::Changed));
            }
            // What says where it is in its life may change.
            let later = Key { active: NOW + PENDING, destroyed: Some(NOW), ..own };
            prop_assert!(later.open(&roots).is_ok());
        }

        #[test]
        fn there_is_never_more_than_one_active_key_and_what_it_made_outlives_nothing(steps in prop::collection::vec((0..200i64, any::<bool>()), 1..40)) {
            let mut ring = KeyRing::default();
            ring.add(key("0", NOW), NOW);
            let mut now = NOW;
            let mut used: Vec<(String, OffsetDateTime)> = Vec::new();
            for (n, (hours, rotate)) in steps.into_iter().enumerate() {
                now += Duration::hours(hours);
                if rotate || ring.due(now) {
                    ring.add(key(&(n + 1).to_string(), now + PENDING), now);
                }
                ring.prune(now);
                let active: Vec<_> = ring.states(now).into_iter().filter(|(_, s)| *s == KeyState::Active).collect();
                prop_assert_eq!(active.len(), 1);
                used.push((active[0].0.id.clone(), now));
                for (id, at) in &used {
                    if now < *at + Duration::minutes(65) {
                        prop_assert!(ring.living().any(|k| k.id == *id), "{} is gone", id);
                    }
                }
            }
        }
    }
}
