//! Sessions of people in the portal: kept on the server, known to the browser only as a random token.
//!
//! A session ends 30 minutes after the last request and 12 hours after sign-in, whichever comes first (ASVS 5.0 V7;
//! administrators may be given less). It remembers what was proved and when, so that a sensitive operation can ask for
//! something stronger or fresher. Proving something anew changes the token, so that a stolen one dies.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::conditional_access::RiskLevel;
use crate::{Digest, NoEntropy, Secret};

/// Time without requests after which a session ends.
pub const IDLE: Duration = Duration::minutes(30);
/// Time after sign-in at which it ends in any case.
pub const ABSOLUTE: Duration = Duration::hours(12);
/// How precisely the last request is remembered, so that reading does not mean writing.
pub const TOUCH: Duration = Duration::minutes(1);

/// What was proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Method {
    /// Knows the password.
    Password,
    /// Has the authenticator app.
    Totp,
    /// Had a recovery code.
    RecoveryCode,
    /// Holds a passkey and unlocked it.
    Passkey,
    /// Opened a one-time link.
    Link,
}

/// How much a proof is worth (research 01 §E3), weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Strength {
    /// Nothing, or a link that only admits to registering something.
    None,
    /// One factor.
    Single,
    /// Two factors, one of which can be phished.
    Multi,
    /// Two factors that cannot be phished.
    PhishingResistant,
}

/// A proof and when it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// What.
    pub method: Method,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// Why a session admits nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The token is another session's.
    #[error("there is no such session")]
    Unknown,
    /// Nothing happened for too long.
    #[error("the session ended because nothing happened for a while")]
    Idle,
    /// It was simply long enough.
    #[error("the session ended; sign in again")]
    Over,
}

/// A session as stored under [`Session::key`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Names the session in lists and logs; of no use for signing in.
    pub id: Uuid,
    token: Digest,
    /// Whose it is.
    pub person: Uuid,
    /// What was proved, oldest first.
    pub proofs: Vec<Proof>,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// When it was last used, to the minute.
    #[serde(with = "time::serde::rfc3339")]
    pub seen: OffsetDateTime,
    /// Seconds without requests after which it ends.
    pub idle: i64,
    /// Seconds after its beginning at which it ends.
    pub absolute: i64,
    /// How strange the sign-in looked.
    #[serde(default)]
    pub risk: RiskLevel,
    /// Address that it began at; unknown of sessions from before this was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<IpAddr>,
    /// Address of the last request that was noted.
    pub ip: IpAddr,
    /// The browser, as it says.
    pub user_agent: String,
    /// The person's token generation when it began; a session of an older generation is over.
    pub generation: u64,
}

impl Session {
    /// Begins a session: what to store, and the token for the browser's cookie.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn new(
        person: &crate::Person,
        methods: &[Method],
        ip: IpAddr,
        user_agent: &str,
        now: OffsetDateTime,
    ) -> Result<(Session, Secret), NoEntropy> {
        let token = Secret::random("")?;
        let session = Session {
            id: Uuid::new_v4(),
            token: token.digest(),
            person: person.id,
            proofs: methods.iter().map(|m| Proof { method: *m, at: now }).collect(),
            created: now,
            seen: now,
            idle: IDLE.whole_seconds(),
            absolute: ABSOLUTE.whole_seconds(),
            risk: RiskLevel::None,
            origin: Some(ip),
            ip,
            user_agent: user_agent.chars().filter(|c| !c.is_control()).take(200).collect(),
            generation: person.generation,
        };
        Ok((session, token))
    }

    /// The database key for a token.
    pub fn key_of(token: &Secret) -> String {
        token.digest().key()
    }

    /// The database key of this session; it changes with [`Session::prove`].
    pub fn key(&self) -> String {
        self.token.key()
    }

    /// Whether the token opens the session now. The caller also checks that the person exists, is enabled and still
    /// has this [`Session::generation`].
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn check(&self, token: &Secret, now: OffsetDateTime) -> Result<(), SessionError> {
        if self.token != token.digest() {
            return Err(SessionError::Unknown);
        }
        self.alive(now)
    }

    /// Whether the session has not ended by itself.
    ///
    /// # Errors
    /// [`SessionError::Idle`], [`SessionError::Over`].
    pub fn alive(&self, now: OffsetDateTime) -> Result<(), SessionError> {
        if now >= self.ends() {
            return Err(SessionError::Over);
        }
        if now >= self.lapses() {
            return Err(SessionError::Idle);
        }
        Ok(())
    }

    /// When it ends even if it is used all the time.
    pub fn ends(&self) -> OffsetDateTime {
        self.created + Duration::seconds(self.absolute)
    }

    /// When it ends if it is not used again.
    pub fn lapses(&self) -> OffsetDateTime {
        self.ends().min(self.seen + Duration::seconds(self.idle))
    }

    /// Notes a request. True when something changed and the session should be stored.
    pub fn touch(&mut self, ip: IpAddr, now: OffsetDateTime) -> bool {
        let worth = now >= self.seen + TOUCH || ip != self.ip;
        if worth {
            self.seen = self.seen.max(now);
            self.ip = ip;
        }
        worth
    }

    /// Adds a proof, and changes the token: the caller stores the session under its new key, deletes the old one, and
    /// sets the new cookie.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn prove(&mut self, method: Method, now: OffsetDateTime) -> Result<Secret, NoEntropy> {
        let token = Secret::random("")?;
        self.token = token.digest();
        self.proofs.retain(|p| p.method != method);
        self.proofs.push(Proof { method, at: now });
        self.seen = self.seen.max(now);
        Ok(token)
    }

    /// The strength of what was proved within the last `max_age`.
    pub fn strength(&self, max_age: Duration, now: OffsetDateTime) -> Strength {
        strength(&self.proofs, max_age, now)
    }
}

/// The strength of the proofs that were given within the last `max_age`.
pub fn strength(proofs: &[Proof], max_age: Duration, now: OffsetDateTime) -> Strength {
    let fresh = |method| proofs.iter().any(|p| p.method == method && now - p.at <= max_age);
    let knows = fresh(Method::Password);
    let has = fresh(Method::Totp) || fresh(Method::RecoveryCode);
    match (fresh(Method::Passkey), knows, has) {
        (true, _, _) => Strength::PhishingResistant,
        (_, true, true) => Strength::Multi,
        (_, true, _) | (_, _, true) => Strength::Single,
        _ => Strength::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);
    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn session(methods: &[Method]) -> (Session, Secret) {
        let person = crate::Person::new("jo@contoso.test", "Jo", NOW).unwrap();
        Session::new(&person, methods, IP, "Firefox\n", NOW).unwrap()
    }

    #[test]
    fn a_session_ends_when_idle_and_in_any_case_after_half_a_day() {
        let (mut s, token) = session(&[Method::Passkey]);
        assert_eq!(s.check(&token, NOW + Duration::minutes(29)), Ok(()));
        assert_eq!(s.check(&token, NOW + Duration::minutes(30)), Err(SessionError::Idle));
        assert_eq!(s.check(&Secret::random("").unwrap(), NOW), Err(SessionError::Unknown));
        let mut now = NOW;
        while now < NOW + ABSOLUTE {
            assert_eq!(s.check(&token, now), Ok(()), "{now}");
            s.touch(IP, now);
            now += Duration::minutes(20);
        }
        assert_eq!(s.check(&token, now), Err(SessionError::Over));
    }

    #[test]
    fn reading_writes_at_most_once_a_minute() {
        let (mut s, _) = session(&[]);
        assert!(!s.touch(IP, NOW + Duration::seconds(59)));
        assert!(s.touch(IP, NOW + Duration::seconds(60)));
        assert!(!s.touch(IP, NOW + Duration::seconds(61)));
        assert!(
            s.touch("192.0.2.2".parse().unwrap(), NOW + Duration::seconds(61)),
            "a new address is worth a write"
        );
        assert!(s.touch(IP, NOW), "a clock that went back does not end the session");
        assert_eq!(s.seen, NOW + Duration::seconds(61));
    }

    #[test]
    fn a_new_proof_changes_the_token_and_strengthens_the_session() {
        let (mut s, old) = session(&[Method::Password]);
        let hour = Duration::hours(1);
        assert_eq!(s.strength(hour, NOW), Strength::Single);
        let key = s.key();
        let new = s.prove(Method::Totp, NOW).unwrap();
        assert_eq!(s.check(&old, NOW), Err(SessionError::Unknown));
        assert_eq!(s.check(&new, NOW), Ok(()));
        assert_ne!(s.key(), key);
        assert_eq!(s.key(), Session::key_of(&new));
        assert_eq!(s.strength(hour, NOW), Strength::Multi);
        s.prove(Method::Passkey, NOW + hour).unwrap();
        let later = NOW + hour + Duration::minutes(5);
        assert_eq!(s.strength(Duration::minutes(5), later), Strength::PhishingResistant);
        assert_eq!(s.strength(Duration::minutes(4), later), Strength::None);
    }

    #[test]
    fn a_link_alone_proves_nothing() {
        let (s, _) = session(&[Method::Link]);
        assert_eq!(s.strength(Duration::hours(1), NOW), Strength::None);
        assert_eq!(s.user_agent, "Firefox");
    }

    proptest! {
        #[test]
        fn no_order_of_requests_keeps_a_session_beyond_its_end(steps in prop::collection::vec(0..3600i64, 0..60)) {
            let (mut s, token) = session(&[Method::Passkey]);
            let mut now = NOW;
            for step in steps {
                now += Duration::seconds(step);
                let idle = now - s.seen >= IDLE;
                let over = now - NOW >= ABSOLUTE;
                prop_assert_eq!(s.check(&token, now).is_ok(), !idle && !over);
                if s.check(&token, now).is_err() { break; }
                s.touch(IP, now);
            }
            let text = serde_json::to_string(&s).unwrap();
            prop_assert_eq!(serde_json::from_str::<Session>(&text).unwrap(), s);
        }
    }
}
