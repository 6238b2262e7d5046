//! Login protection: guessing gets slow, and the person it is aimed at stays able to sign in.
//!
//! Every attempt is counted in three places: the name together with whether the browser has signed in as that person
//! before (a device cookie), the address, and the network around it (/24 or /64). So a stranger who guesses locks
//! strangers out of the account and not the person at their own machine. The last three wrong passwords of a name are
//! remembered as keyed digests, and repeating one does not count: an old mail client with an old password locks nobody
//! out (as Entra smart lockout). Names that do not exist are counted just the same.
//!
//! Passkey sign-in is not counted and never locked: there is nothing to guess.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use ring::hmac;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::{Digest, Secret};

/// What is being counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// A name, from a browser that has signed in with it before.
    FamiliarDevice,
    /// A name, from any other browser.
    StrangeDevice,
    /// One address.
    Address,
    /// The /24 or /64 around it.
    Network,
}

/// How many failures are free, and what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Failures within the window before the first lock.
    pub free: u32,
    /// Failures older than this are forgotten.
    pub window: Duration,
    /// The first lock; each further failure doubles it.
    pub first: Duration,
    /// The longest lock.
    pub longest: Duration,
}

impl Place {
    /// Every one.
    pub const ALL: [Place; 4] = [Place::FamiliarDevice, Place::StrangeDevice, Place::Address, Place::Network];

    /// The limit in force.
    pub fn limit(self) -> Limit {
        let limit = |free, window, first, longest| Limit { free, window, first, longest };
        let (minute, hour) = (Duration::MINUTE, Duration::HOUR);
        match self {
            Place::FamiliarDevice | Place::StrangeDevice => limit(10, hour, minute, hour),
            Place::Address => limit(30, minute * 15, minute * 15, hour * 24),
            Place::Network => limit(150, minute * 15, minute * 15, hour * 24),
        }
    }

    fn forgives_repeats(self) -> bool {
        matches!(self, Place::FamiliarDevice | Place::StrangeDevice)
    }

    /// Whether a right password clears the count. Not for addresses: an attacker with an account would use it so.
    fn forgives_success(self) -> bool {
        self.forgives_repeats()
    }
}

/// Sign-in is closed for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many failed sign-ins; try again later or use a passkey")]
pub struct Locked {
    /// When it opens again.
    pub until: OffsetDateTime,
}

impl Locked {
    /// Whole seconds until it opens again, for `Retry-After`; at least one.
    pub fn seconds(&self, now: OffsetDateTime) -> u32 {
        u32::try_from((self.until - now).whole_seconds().max(1)).unwrap_or(u32::MAX)
    }
}

/// Failures counted in one place, as stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    failures: u32,
    #[serde(with = "time::serde::rfc3339::option", default)]
    last: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option", default)]
    locked_until: Option<OffsetDateTime>,
    #[serde(default)]
    wrong: Vec<Digest>,
}

/// How many wrong passwords are remembered per name.
const REMEMBERED: usize = 3;

impl Counter {
    /// Whether an attempt is let through.
    ///
    /// # Errors
    /// [`Locked`].
    pub fn check(&self, now: OffsetDateTime) -> Result<(), Locked> {
        match self.locked_until {
            Some(until) if now < until => Err(Locked { until }),
            _ => Ok(()),
        }
    }

    /// Counts a failure. `wrong` is [`Keyed::password`] of what was typed, or `None` when it was another kind of proof.
    pub fn fail(&mut self, place: Place, wrong: Option<Digest>, now: OffsetDateTime) {
        let limit = place.limit();
        if self.last.is_some_and(|last| now - last > limit.window.max(self.lock(limit))) {
            *self = Counter::default();
        }
        if let (Some(wrong), true) = (wrong, place.forgives_repeats()) {
            let repeated = self.wrong.contains(&wrong);
            self.wrong.retain(|w| *w != wrong);
            self.wrong.push(wrong);
            if self.wrong.len() > REMEMBERED {
                self.wrong.remove(0);
            }
            if repeated {
                return;
            }
        }
        self.failures = self.failures.saturating_add(1);
        self.last = Some(now);
        let lock = self.lock(limit);
        if lock > Duration::ZERO {
            self.locked_until = Some(now + lock);
        }
    }

    /// Notes a right password.
    pub fn succeed(&mut self, place: Place) {
        if place.forgives_success() {
            *self = Counter::default();
        }
    }

    /// This counter and another of the same place, kept under another key: whichever is worse, in each respect.
    #[must_use]
    pub fn worst(mut self, other: Counter) -> Counter {
        self.failures = self.failures.max(other.failures);
        self.last = self.last.max(other.last);
        self.locked_until = self.locked_until.max(other.locked_until);
        let known = other.wrong.into_iter().filter(|w| !self.wrong.contains(w)).collect::<Vec<_>>();
        self.wrong.splice(0..0, known);
        let surplus = self.wrong.len().saturating_sub(REMEMBERED);
        self.wrong.drain(..surplus);
        self
    }

    /// Whether the counter holds nothing that matters any more and may be deleted.
    pub fn stale(&self, place: Place, now: OffsetDateTime) -> bool {
        let limit = place.limit();
        self.check(now).is_ok()
            && self.last.is_none_or(|last| now - last > limit.window.max(self.lock(limit)))
    }

    fn lock(&self, limit: Limit) -> Duration {
        if self.failures < limit.free {
            return Duration::ZERO;
        }
        let doublings = (self.failures - limit.free).min(20);
        (limit.first * 2i32.pow(doublings)).min(limit.longest)
    }
}

/// A browser in which a person has signed in before, known by a cookie of its own that outlives the session. Stored
/// under [`KnownDevice::key`]. It proves nothing; it only chooses which counter an attempt goes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownDevice {
    token: Digest,
    /// Who signed in there.
    pub person: uuid::Uuid,
    /// When first.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
}

impl KnownDevice {
    /// How long a browser stays known.
    pub const LIFETIME: Duration = Duration::days(365);

    /// Makes a browser known after a complete sign-in: what to store, and the cookie's value.
    ///
    /// # Errors
    /// [`crate::NoEntropy`].
    pub fn issue(person: uuid::Uuid, now: OffsetDateTime) -> Result<(KnownDevice, Secret), crate::NoEntropy> {
        let token = Secret::random("")?;
        Ok((KnownDevice { token: token.digest(), person, created: now }, token))
    }

    /// The database key.
    pub fn key(&self) -> String {
        self.token.key()
    }

    /// Whether it makes nobody familiar any more.
    pub fn is_over(&self, now: OffsetDateTime) -> bool {
        now - self.created >= KnownDevice::LIFETIME
    }

    /// Whether this cookie makes the browser familiar for this person.
    pub fn is_familiar(&self, cookie: &Secret, person: uuid::Uuid, now: OffsetDateTime) -> bool {
        self.token == cookie.digest() && self.person == person && !self.is_over(now)
    }
}

/// Makes database keys and password digests with secrets of the server, so that the table of counters reveals neither
/// names (people type passwords into the name field) nor passwords. While one key takes the place of another, what was
/// counted under either counts.
pub struct Keyed {
    active: hmac::Key,
    others: Vec<hmac::Key>,
}

impl std::fmt::Debug for Keyed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyed(..)")
    }
}

/// Where an attempt counts, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// What is counted there.
    pub place: Place,
    /// The database key of its counter.
    pub key: String,
    /// Where it was counted under other keys of the server.
    pub others: Vec<String>,
}

impl Keyed {
    /// With a 256-bit key that the server keeps, and others that live beside it.
    pub fn new(active: &[u8; 32], others: &[&[u8; 32]]) -> Keyed {
        let key = |bytes: &[u8; 32]| hmac::Key::new(hmac::HMAC_SHA256, bytes);
        Keyed { active: key(active), others: others.iter().map(|bytes| key(bytes)).collect() }
    }

    /// Where an attempt to sign in counts. All are checked before, and all are told after.
    pub fn places(&self, name: &str, familiar: bool, ip: IpAddr) -> [Spot; 3] {
        let device = if familiar { Place::FamiliarDevice } else { Place::StrangeDevice };
        let word = if familiar { "familiar" } else { "strange" };
        let name = crate::Person::name_key(name);
        let [address, network] = self.origins("signIn", ip);
        [self.spot(device, &[word, &name]), address, network]
    }

    /// Where an attempt counts that is aimed at nobody in particular. Each purpose counts for itself: a program with an
    /// expired secret must not keep the people of its office out.
    pub fn origins(&self, purpose: &str, ip: IpAddr) -> [Spot; 2] {
        let ip = ip.to_canonical();
        [
            self.spot(Place::Address, &["address", purpose, &ip.to_string()]),
            self.spot(Place::Network, &["network", purpose, &network(ip).to_string()]),
        ]
    }

    /// The digest of a wrong password of a name. One that was typed under the key before counts once more.
    pub fn password(&self, name: &str, password: &Secret) -> Digest {
        digest(&self.active, &["password", &crate::Person::name_key(name), password.expose()])
    }

    fn spot(&self, place: Place, parts: &[&str]) -> Spot {
        let key = |key: &hmac::Key| digest(key, parts).key();
        Spot { place, key: key(&self.active), others: self.others.iter().map(key).collect() }
    }
}

fn digest(key: &hmac::Key, parts: &[&str]) -> Digest {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    Digest::copy(context.sign().as_ref())
}

fn network(ip: IpAddr) -> IpNet {
    match ip {
        IpAddr::V4(v4) => IpNet::V4(Ipv4Net::new_assert(v4, 24)).trunc(),
        IpAddr::V6(v6) => IpNet::V6(Ipv6Net::new_assert(v6, 64)).trunc(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);

    fn wrong(n: u32) -> Option<Digest> {
        Some(Digest::of(&n.to_be_bytes()))
    }

    #[test]
    fn the_tenth_different_wrong_password_locks_for_a_minute_and_each_more_doubles_it() {
        let mut c = Counter::default();
        for n in 0..9 {
            c.fail(Place::StrangeDevice, wrong(n), NOW);
            assert_eq!(c.check(NOW), Ok(()));
        }
        let mut now = NOW;
        for (n, minutes) in (9u32..).zip([1, 2, 4, 8, 16, 32, 60, 60]) {
            c.fail(Place::StrangeDevice, wrong(n), now);
            let until = now + Duration::minutes(minutes);
            assert_eq!(c.check(until - Duration::SECOND), Err(Locked { until }));
            assert_eq!(c.check(until), Ok(()));
            now = until;
        }
    }

    #[test]
    fn repeating_a_wrong_password_does_not_count_for_the_name_but_does_for_the_address() {
        let mut c = Counter::default();
        for n in 0..600 {
            c.fail(Place::FamiliarDevice, wrong(n % 3), NOW);
        }
        assert_eq!(c.check(NOW), Ok(()));
        let mut a = Counter::default();
        for _ in 0..30 {
            a.fail(Place::Address, wrong(1), NOW);
        }
        assert!(a.check(NOW).is_err());
        assert!(!serde_json::to_string(&c).unwrap().contains("null,null"));
    }

    #[test]
    fn a_success_clears_the_name_and_not_the_address() {
        let mut c = Counter::default();
        (0..9).for_each(|n| c.fail(Place::StrangeDevice, wrong(n), NOW));
        c.succeed(Place::StrangeDevice);
        c.fail(Place::StrangeDevice, wrong(100), NOW);
        assert_eq!(c.check(NOW), Ok(()));
        let mut a = Counter::default();
        (0..29).for_each(|n| a.fail(Place::Address, wrong(n), NOW));
        a.succeed(Place::Address);
        a.fail(Place::Address, wrong(100), NOW);
        assert!(a.check(NOW).is_err());
    }

    #[test]
    fn failures_are_forgotten_after_the_window_but_not_while_locked() {
        let mut c = Counter::default();
        (0..9).for_each(|n| c.fail(Place::StrangeDevice, wrong(n), NOW));
        assert!(!c.stale(Place::StrangeDevice, NOW + Duration::HOUR));
        assert!(c.stale(Place::StrangeDevice, NOW + Duration::HOUR + Duration::SECOND));
        c.fail(Place::StrangeDevice, wrong(50), NOW + Duration::hours(2));
        assert_eq!(c.check(NOW + Duration::hours(2)), Ok(()));

        let mut a = Counter::default();
        (0..60).for_each(|n| a.fail(Place::Address, wrong(n), NOW));
        let locked = NOW + Duration::hours(23);
        assert!(a.check(locked).is_err() && !a.stale(Place::Address, locked));
    }

    #[test]
    fn a_stranger_cannot_lock_out_the_person_at_their_own_machine() {
        let keyed = Keyed::new(&[7; 32], &[]);
        let ip = "192.0.2.7".parse().unwrap();
        let (own, other) = (keyed.places("Jo@x", true, ip), keyed.places("jo@X ", false, ip));
        assert_ne!(own[0].key, other[0].key);
        assert_eq!(own[1..], other[1..]);
        assert_eq!(own, keyed.places("JO@X", true, "::ffff:192.0.2.7".parse().unwrap()));
    }

    #[test]
    fn a_browser_is_familiar_for_its_person_for_a_year() {
        let (jo, other) = (uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2));
        let (device, cookie) = KnownDevice::issue(jo, NOW).unwrap();
        assert!(device.is_familiar(&cookie, jo, NOW + Duration::days(364)));
        assert!(!device.is_familiar(&cookie, jo, NOW + Duration::days(365)));
        assert!(!device.is_familiar(&cookie, other, NOW));
        assert!(!device.is_familiar(&Secret::new("guess"), jo, NOW));
        assert_eq!(device.key(), cookie.digest().key());
    }

    #[test]
    fn neighbours_share_a_network_and_names_do_not_show() {
        let keyed = Keyed::new(&[7; 32], &[]);
        let at = |ip: &str| keyed.places("jo@x", false, ip.parse().unwrap())[2].key.clone();
        assert_eq!(at("192.0.2.1"), at("192.0.2.200"));
        assert_ne!(at("192.0.2.1"), at("192.0.3.1"));
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:1"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_ne!(keyed.password("a", &Secret::new("bc")), keyed.password("ab", &Secret::new("c")));
        assert_ne!(
            keyed.password("a", &Secret::new("b")),
            Keyed::new(&[8; 32], &[]).password("a", &Secret::new("b"))
        );
    }

    #[test]
    fn what_was_counted_under_another_key_is_found_and_the_worse_counts() {
        let ip = "192.0.2.7".parse().unwrap();
        let before = Keyed::new(&[7; 32], &[]).places("jo@x", false, ip);
        let after = Keyed::new(&[8; 32], &[&[7; 32]]).places("jo@x", false, ip);
        for (before, after) in before.iter().zip(&after) {
            assert!(after.others == [before.key.clone()] && after.key != before.key);
        }
        let mut old = Counter::default();
        (0..10).for_each(|n| old.fail(Place::StrangeDevice, wrong(n), NOW));
        let mut new = Counter::default();
        new.fail(Place::StrangeDevice, wrong(9), NOW + Duration::SECOND);
        let mut worst = new.clone().worst(old.clone());
        assert_eq!(worst.check(NOW), old.check(NOW));
        assert_eq!(worst, old.worst(new));
        let until = NOW + Duration::MINUTE;
        worst.fail(Place::StrangeDevice, wrong(20), until);
        assert_eq!(worst.check(until), Err(Locked { until: until + Duration::minutes(2) }), "it goes on");
    }

    proptest! {
        #[test]
        fn locks_never_shrink_while_failures_continue_and_never_exceed_the_longest(
            gaps in prop::collection::vec(0..600i64, 1..80),
            place in prop::sample::select(vec![Place::FamiliarDevice, Place::StrangeDevice, Place::Address, Place::Network]),
        ) {
            let mut c = Counter::default();
            let mut now = NOW;
            for (n, gap) in (0u32..).zip(gaps) {
                now += Duration::seconds(gap);
                let before = c.locked_until;
                c.fail(place, wrong(n), now);
                if let Some(until) = c.locked_until {
                    prop_assert!(until - now <= place.limit().longest);
                    prop_assert!(before.is_none_or(|b| b <= until || now > b));
                }
                let stored: Counter = serde_json::from_str(&serde_json::to_string(&c).unwrap()).unwrap();
                prop_assert_eq!(&stored, &c);
            }
        }
    }
}
