//! Step-up: a person confirms one operation, and what they confirmed opens that operation and nothing else.
//!
//! The [`Operation`] is a digest of method, path with its query, and body. An [`Approval`] is made for one session and
//! one operation, opens once, and lives for [`LIFETIME`]. A stolen session cookie is therefore no use for what is
//! dangerous, and neither is a stolen approval.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::session::Proof;
use crate::{Digest, NoEntropy, Secret};

/// How long an approval may wait for the request it is for.
pub const LIFETIME: Duration = Duration::minutes(2);
/// Every approval begins so, that scanners find leaked ones.
const PREFIX: &str = "ska_";

/// Exactly what is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Operation(Digest);

impl Operation {
    /// Of a request; `target` is its path with its query, as it was sent.
    pub fn of(method: &str, target: &str, body: &[u8]) -> Operation {
        // Neither a method nor a request target holds a line feed, so that no two operations have the same text.
        let mut text = format!("{method}\n{target}\n").into_bytes();
        text.extend_from_slice(Digest::of(body).key().as_bytes());
        Operation(Digest::of(&text))
    }

    /// As text.
    pub fn key(&self) -> String {
        self.0.key()
    }
}

/// Why an approval opens nothing. One answer for every reason: whoever has a right one asks for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the confirmation was for something else, was used already, or took too long")]
pub struct NotApproved;

/// A confirmation as stored under its [`Approval::key`]; whoever reads it removes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    token: Digest,
    session: Uuid,
    operation: Operation,
    /// What was proved for it.
    pub proofs: Vec<Proof>,
    /// When it opens nothing any more.
    #[serde(with = "time::serde::rfc3339")]
    pub expires: OffsetDateTime,
}

impl Approval {
    /// Makes one: what to store, and the token that goes with the request.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn issue(
        session: Uuid,
        operation: Operation,
        proofs: Vec<Proof>,
        now: OffsetDateTime,
    ) -> Result<(Approval, Secret), NoEntropy> {
        let token = Secret::random(PREFIX)?;
        let approval =
            Approval { token: token.digest(), session, operation, proofs, expires: now + LIFETIME };
        Ok((approval, token))
    }

    /// The database key for a token.
    pub fn key_of(token: &Secret) -> String {
        token.digest().key()
    }

    /// The database key.
    pub fn key(&self) -> String {
        self.token.key()
    }

    /// Whether it opens this operation of this session now.
    ///
    /// # Errors
    /// [`NotApproved`].
    pub fn check(&self, session: Uuid, operation: Operation, now: OffsetDateTime) -> Result<(), NotApproved> {
        let fits = self.session == session && self.operation == operation && now < self.expires;
        if fits { Ok(()) } else { Err(NotApproved) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-26 12:00 UTC);

    #[test]
    fn an_approval_opens_one_operation_of_one_session_for_two_minutes() {
        let (session, other) = (Uuid::new_v4(), Uuid::new_v4());
        let operation = Operation::of("PUT", "/a?b=c", b"{}");
        let (approval, token) = Approval::issue(session, operation, Vec::new(), NOW).unwrap();
        assert_eq!(Approval::key_of(&token), approval.key());
        let kept: Approval = serde_json::from_value(serde_json::to_value(&approval).unwrap()).unwrap();
        let last = NOW + LIFETIME - Duration::SECOND;
        assert_eq!(kept.check(session, operation, last), Ok(()));
        assert_eq!(kept.check(session, operation, NOW + LIFETIME), Err(NotApproved));
        assert_eq!(kept.check(other, operation, NOW), Err(NotApproved));
        for (method, target, body) in [
            ("POST", "/a?b=c", "{}"),
            ("PUT", "/a?b=d", "{}"),
            ("PUT", "/a", "{}"),
            ("PUT", "/a?b=c", "{ }"),
            ("PUT", "/a?b=c", ""),
        ] {
            let another = Operation::of(method, target, body.as_bytes());
            assert_eq!(kept.check(session, another, NOW), Err(NotApproved), "{method} {target} {body}");
        }
        let shown = format!("{approval:?}");
        assert!(!shown.contains(&token.expose()[4..20]), "{shown}");
    }

    proptest! {
        #[test]
        fn two_different_requests_are_never_the_same_operation(
            a in ("[A-Z]{1,6}", "[!-~]{0,30}", prop::collection::vec(any::<u8>(), 0..40)),
            b in ("[A-Z]{1,6}", "[!-~]{0,30}", prop::collection::vec(any::<u8>(), 0..40)),
        ) {
            let of = |(method, target, body): &(String, String, Vec<u8>)| Operation::of(method, target, body);
            prop_assert_eq!(of(&a) == of(&b), a == b);
        }
    }
}
