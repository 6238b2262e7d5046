//! The device authorization grant (RFC 8628): a client without a browser shows a short code, the person types it in the
//! portal, sees who asks, and says yes or no.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::request::Wish;
use crate::grant::Approval;
use crate::secret::random;
use crate::{Digest, NoEntropy, Secret};

/// How long the person has.
pub const LIFETIME: Duration = Duration::minutes(10);
/// How often the client may ask at first. The device code cannot be guessed, so this only spares the server.
pub const INTERVAL: Duration = Duration::seconds(2);
/// By how much that grows for a client that asks more often (RFC 8628 §3.5).
const SLOWER: Duration = Duration::seconds(5);
/// Most codes that wait at once for one address.
pub const MAX_OF_ADDRESS: usize = 20;
/// Most that wait at once.
pub const MAX: usize = 1000;
/// No vowels, so that no words come out (RFC 8628 §6.1): 8 of 20 letters are 34 bits.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// The short code, in two groups of four letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserCode(String);

impl UserCode {
    fn make() -> Result<UserCode, NoEntropy> {
        let mut letters = String::with_capacity(8);
        while letters.len() < 8 {
            // The 240 lowest values are a whole multiple of 20: no letter is likelier than another.
            for byte in random::<16>()?.into_iter().filter(|b| *b < 240).take(8 - letters.len()) {
                letters.push(char::from(LETTERS[usize::from(byte) % LETTERS.len()]));
            }
        }
        Ok(UserCode(letters))
    }

    /// What a person typed, in any case and with any spaces or dashes; `None` when it cannot be a code.
    pub fn parse(typed: &str) -> Option<UserCode> {
        if typed.len() > 64 {
            return None;
        }
        let letters: String = typed
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '-')
            .map(|c| c.to_ascii_uppercase())
            .collect();
        let right = letters.len() == 8 && letters.bytes().all(|b| LETTERS.contains(&b));
        right.then_some(UserCode(letters))
    }

    /// What may be stored of it.
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

impl std::fmt::Display for UserCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (one, two) = self.0.split_at(4);
        write!(f, "{one}-{two}")
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum State {
    Waiting,
    Approved(Approval),
    Declined,
    Spent(Uuid),
}

/// Why the client gets nothing, yet or for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PollError {
    /// The person has not answered.
    #[error("the person has not answered yet")]
    Pending,
    /// It asks too often.
    #[error("the client asks too often")]
    SlowDown,
    /// The person's time is over.
    #[error("the code has expired")]
    Expired,
    /// The person said no.
    #[error("the person declined")]
    Declined,
    /// Another client was given the code.
    #[error("the code was issued to another client")]
    Foreign,
    /// It was taken already, and gave this grant, which ends now.
    #[error("the code was redeemed already")]
    Spent(Uuid),
}

/// A request as stored under the digest of its device code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceCode {
    code: Digest,
    user_code: Digest,
    /// The client it was given to.
    pub client: Uuid,
    /// What it asks for.
    pub wish: Wish,
    /// Where it asks from.
    pub ip: IpAddr,
    /// What it says it is.
    pub user_agent: String,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    polled: Option<OffsetDateTime>,
    interval: i64,
    state: State,
}

impl DeviceCode {
    /// Begins: what to store, the client's code and the person's.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn issue(
        client: Uuid,
        wish: Wish,
        ip: IpAddr,
        user_agent: &str,
        now: OffsetDateTime,
    ) -> Result<(DeviceCode, Secret, UserCode), NoEntropy> {
        let (code, user_code) = (Secret::random("")?, UserCode::make()?);
        let stored = DeviceCode {
            code: code.digest(),
            user_code: user_code.digest(),
            client,
            wish,
            ip,
            user_agent: user_agent.chars().filter(|c| !c.is_control()).take(200).collect(),
            created: now,
            polled: None,
            interval: INTERVAL.whole_seconds(),
            state: State::Waiting,
        };
        Ok((stored, code, user_code))
    }

    /// The database key.
    pub fn key(&self) -> String {
        self.code.key()
    }

    /// Whether its time is over.
    pub fn stale(&self, now: OffsetDateTime) -> bool {
        now >= self.created + LIFETIME
    }

    /// Whether a person may still answer it who typed this code.
    pub fn waits_for(&self, typed: &UserCode, now: OffsetDateTime) -> bool {
        self.user_code == typed.digest() && self.state == State::Waiting && !self.stale(now)
    }

    /// Whether nobody has answered yet.
    pub fn waits(&self) -> bool {
        self.state == State::Waiting
    }

    /// Notes the person's answer; `None` is no.
    pub fn answer(&mut self, approval: Option<Approval>) {
        self.state = approval.map_or(State::Declined, State::Approved);
    }

    /// Answers the client. The caller stores the request also after a refusal.
    ///
    /// # Errors
    /// [`PollError`].
    pub fn poll(&mut self, client: Uuid, now: OffsetDateTime) -> Result<Approval, PollError> {
        if self.client != client {
            return Err(PollError::Foreign);
        }
        if let State::Spent(grant) = self.state {
            return Err(PollError::Spent(grant));
        }
        if self.stale(now) {
            return Err(PollError::Expired);
        }
        match &self.state {
            State::Approved(approval) => Ok(approval.clone()),
            State::Declined => Err(PollError::Declined),
            State::Spent(grant) => Err(PollError::Spent(*grant)),
            State::Waiting => {
                // Half a second of grace: clients count from when they were answered.
                let early = Duration::seconds(self.interval) - Duration::milliseconds(500);
                let hasty = self.polled.is_some_and(|last| now - last < early);
                self.polled = Some(now);
                if hasty {
                    self.interval += SLOWER.whole_seconds();
                    return Err(PollError::SlowDown);
                }
                Err(PollError::Pending)
            }
        }
    }

    /// Notes the grant that it gave.
    pub fn spend(&mut self, grant: Uuid) {
        self.state = State::Spent(grant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::client::AZURE_CLI;
    use crate::session::{Method, Session};
    use proptest::prelude::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);

    fn request() -> (DeviceCode, Secret, UserCode) {
        DeviceCode::issue(AZURE_CLI, Wish::default(), "192.0.2.1".parse().unwrap(), "az\n", NOW).unwrap()
    }

    fn yes() -> Approval {
        let person = crate::Person::new("jo@contoso.test", "Jo", NOW).unwrap();
        let (session, _) =
            Session::new(&person, &[Method::Passkey], "192.0.2.1".parse().unwrap(), "", NOW).unwrap();
        Approval::by(&session, &[], NOW).unwrap()
    }

    #[test]
    fn the_client_waits_for_the_persons_yes_and_gets_it_once() {
        let (mut d, _, typed) = request();
        assert_eq!(d.poll(AZURE_CLI, NOW), Err(PollError::Pending));
        assert_eq!(d.poll(AZURE_CLI, NOW + INTERVAL), Err(PollError::Pending));
        assert!(d.waits_for(&UserCode::parse(&typed.to_string().to_lowercase()).unwrap(), NOW));
        assert!(!d.waits_for(&UserCode("BBBBBBBB".to_owned()), NOW));
        d.answer(Some(yes()));
        assert!(!d.waits_for(&typed, NOW), "answered");
        let mut d: DeviceCode = serde_json::from_value(serde_json::to_value(&d).unwrap()).unwrap();
        assert_eq!(d.poll(Uuid::nil(), NOW), Err(PollError::Foreign));
        assert!(d.poll(AZURE_CLI, NOW + INTERVAL).is_ok());
        d.spend(Uuid::from_u128(3));
        assert_eq!(d.poll(AZURE_CLI, NOW + LIFETIME), Err(PollError::Spent(Uuid::from_u128(3))));
    }

    #[test]
    fn a_hasty_client_is_slowed_down() {
        let (mut d, _, _) = request();
        assert_eq!(d.poll(AZURE_CLI, NOW), Err(PollError::Pending));
        assert_eq!(d.poll(AZURE_CLI, NOW + Duration::SECOND), Err(PollError::SlowDown));
        let next = NOW + Duration::SECOND + INTERVAL;
        assert_eq!(d.poll(AZURE_CLI, next), Err(PollError::SlowDown), "the interval has grown");
        assert_eq!(d.poll(AZURE_CLI, next + INTERVAL + SLOWER * 2), Err(PollError::Pending));
    }

    #[test]
    fn no_and_too_late_are_final() {
        let (mut d, _, typed) = request();
        assert!(LIFETIME <= Duration::minutes(10), "ASVS 6.5.5");
        assert!(!d.waits_for(&typed, NOW + LIFETIME));
        assert_eq!(d.poll(AZURE_CLI, NOW + LIFETIME), Err(PollError::Expired));
        d.answer(None);
        assert_eq!(d.poll(AZURE_CLI, NOW), Err(PollError::Declined));
        d.answer(Some(yes()));
        assert_eq!(d.poll(AZURE_CLI, NOW + LIFETIME), Err(PollError::Expired), "a yes does not last longer");
    }

    #[test]
    fn codes_are_easy_to_type_and_stored_as_digests() {
        let (d, code, typed) = request();
        let text = typed.to_string();
        assert_eq!((text.len(), text.find('-')), (9, Some(4)));
        assert_eq!(UserCode::parse(&format!(" {} ", text.replace('-', " "))), Some(typed));
        for bad in ["", "BCDF-GHJ", "BCDF-GHJA", "BCDFGHJKL", "ＢCDFGHJK"] {
            assert_eq!(UserCode::parse(bad), None, "{bad}");
        }
        let stored = serde_json::to_string(&d).unwrap();
        assert!(!stored.contains(code.expose()) && !stored.contains(&text.replace('-', "")));
        assert_eq!((d.user_agent.as_str(), d.key()), ("az", code.digest().key()));
    }

    proptest! {
        #[test]
        fn what_is_read_of_a_typed_code_reads_as_itself(typed in "\\PC{0,20}") {
            if let Some(code) = UserCode::parse(&typed) {
                prop_assert_eq!(UserCode::parse(&code.to_string()), Some(code));
            }
        }
    }
}
