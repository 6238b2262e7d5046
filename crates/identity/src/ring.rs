//! Key rings: the keys of one purpose, replaced in such a way that nobody notices.
//!
//! A new key is *pending* at first: published, so that whoever verifies learns of it, but not yet used. Then it is
//! *active*, and the one before is *retiring*: used no more, but trusted until nothing lives that it made. Then it is
//! destroyed. All of this follows from the instants in the ring alone, so that several servers with one database change
//! over at the same moment without asking each other. The keys themselves are sealed ([`crate::seal`]).

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

/// How long a key is published before it is used.
pub const PENDING: Duration = Duration::HOUR;
/// How long a key is trusted after it was last used: longer than any access token lives, clocks that differ included.
pub const RETIRING: Duration = Duration::hours(2);
/// The age at which the active key is replaced by itself.
pub const LONGEST: Duration = Duration::days(90);

/// Where a key is in its life. A destroyed one is not in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyState {
    /// Published, not used.
    Pending,
    /// Used.
    Active,
    /// Trusted, not used.
    Retiring,
}

/// A key in a ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SealedKey {
    /// What it is called.
    pub id: String,
    /// From when it is used.
    #[serde(with = "time::serde::rfc3339")]
    pub active: OffsetDateTime,
    /// The key, sealed for the place that its id names.
    pub sealed: String,
}

/// The keys of one purpose, in the order of their use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRing {
    keys: Vec<SealedKey>,
}

impl KeyRing {
    /// All keys, the oldest first.
    pub fn keys(&self) -> &[SealedKey] {
        &self.keys
    }

    /// All keys with where they are in their lives.
    pub fn states(&self, now: OffsetDateTime) -> Vec<(&SealedKey, KeyState)> {
        let active = self.keys.iter().rposition(|k| k.active <= now);
        let state = |at| match active {
            Some(active) if at < active => KeyState::Retiring,
            Some(active) if at == active => KeyState::Active,
            _ => KeyState::Pending,
        };
        self.keys.iter().enumerate().map(|(at, key)| (key, state(at))).collect()
    }

    /// Whether the newest key is old enough to be replaced, or there is none.
    pub fn due(&self, now: OffsetDateTime) -> bool {
        self.keys.last().is_none_or(|k| now >= k.active + LONGEST)
    }

    /// Adds a key. Those that were to follow the active one and are not used before the new one are dropped.
    pub fn add(&mut self, key: SealedKey) {
        self.keys.retain(|k| k.active < key.active);
        self.keys.push(key);
    }

    /// Destroys the keys that nothing alive was made with; true when there was one.
    pub fn prune(&mut self, now: OffsetDateTime) -> bool {
        let over: Vec<bool> = (0..self.keys.len())
            .map(|at| self.keys.get(at + 1).is_some_and(|next| now >= next.active + RETIRING))
            .collect();
        let mut over = over.into_iter();
        let before = self.keys.len();
        self.keys.retain(|_| !over.next().unwrap_or_default());
        self.keys.len() < before
    }

    /// Destroys all keys but the newest: somebody else may have them.
    pub fn destroy_old(&mut self) {
        let all = self.keys.len();
        self.keys.drain(..all.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);

    fn key(id: &str, active: OffsetDateTime) -> SealedKey {
        SealedKey { id: id.to_owned(), active, sealed: String::new() }
    }

    fn seen(ring: &KeyRing, now: OffsetDateTime) -> String {
        let words = ring.states(now).into_iter().map(|(k, state)| format!("{} {state:?}", k.id));
        words.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_key_is_published_then_used_then_trusted_then_gone() {
        let mut ring = KeyRing::default();
        assert!(ring.due(NOW));
        ring.add(key("a", NOW));
        let rotated = NOW + LONGEST;
        assert!(!ring.due(rotated - Duration::SECOND) && ring.due(rotated));
        ring.add(key("b", rotated + PENDING));
        assert_eq!(seen(&ring, rotated), "a Active, b Pending");
        assert!(!ring.due(rotated + PENDING));
        let used = rotated + PENDING;
        assert_eq!(seen(&ring, used), "a Retiring, b Active");
        assert!(!ring.prune(used + RETIRING - Duration::SECOND));
        assert!(ring.prune(used + RETIRING));
        assert_eq!(seen(&ring, used + RETIRING), "b Active");
    }

    #[test]
    fn a_key_in_somebody_elses_hands_is_replaced_at_once_and_destroyed() {
        let mut ring = KeyRing::default();
        ring.add(key("a", NOW));
        ring.add(key("b", NOW + PENDING));
        ring.add(key("c", NOW + Duration::SECOND));
        assert_eq!(seen(&ring, NOW + Duration::SECOND), "a Retiring, c Active", "b never came to be");
        ring.destroy_old();
        assert_eq!(seen(&ring, NOW), "c Pending");
    }

    proptest! {
        #[test]
        fn there_is_never_more_than_one_active_key_and_what_it_made_outlives_nothing(steps in prop::collection::vec((0..200i64, any::<bool>()), 1..40)) {
            let mut ring = KeyRing::default();
            ring.add(key("0", NOW));
            let mut now = NOW;
            let mut used: Vec<(String, OffsetDateTime)> = Vec::new();
            for (n, (hours, rotate)) in steps.into_iter().enumerate() {
                now += Duration::hours(hours);
                if rotate || ring.due(now) {
                    ring.add(key(&(n + 1).to_string(), now + PENDING));
                }
                ring.prune(now);
                let active: Vec<_> = ring.states(now).into_iter().filter(|(_, s)| *s == KeyState::Active).collect();
                prop_assert_eq!(active.len(), 1);
                used.push((active[0].0.id.clone(), now));
                for (id, at) in &used {
                    if now < *at + Duration::minutes(65) {
                        prop_assert!(ring.keys().iter().any(|k| k.id == *id), "{} is gone", id);
                    }
                }
            }
        }
    }
}
