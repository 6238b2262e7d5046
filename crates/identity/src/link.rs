//! One-time links: the first administrator's set-up, an invitation, a way back in.
//!
//! The link carries 256 random bits; only their digest is stored, under which the link is also found. A link admits to
//! registering credentials and to nothing else.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{Digest, NoEntropy, Secret};

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LinkKind {
    /// Makes the first person, Owner of everything.
    Setup,
    /// Lets an invited person register their first credential.
    Invite,
    /// Lets a person who lost all credentials register a new one.
    Recovery,
}

impl LinkKind {
    /// How long such a link lives unless somebody says otherwise; also the longest allowed.
    pub fn lifetime(self) -> Duration {
        match self {
            LinkKind::Setup => Duration::hours(24),
            LinkKind::Invite => Duration::days(7),
            LinkKind::Recovery => Duration::minutes(15),
        }
    }
}

/// Why a link does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It is another link, or one for another purpose.
    #[error("the link is not valid")]
    Unknown,
    /// It was used.
    #[error("the link was used already; ask for a new one")]
    Used,
    /// Its time is over.
    #[error("the link has expired; ask for a new one")]
    Expired,
}

/// A link as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// Digest of the token; [`Digest::key`] is the database key.
    pub token: Digest,
    /// What it is for.
    pub kind: LinkKind,
    /// Who it is for; nobody yet for [`LinkKind::Setup`].
    pub person: Option<Uuid>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// When it stops working.
    #[serde(with = "time::serde::rfc3339")]
    pub expires: OffsetDateTime,
    /// When it was used.
    #[serde(with = "time::serde::rfc3339::option")]
    pub used: Option<OffsetDateTime>,
}

impl Link {
    /// Makes a link. A lifetime longer than the kind's is cut to it.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn issue(
        kind: LinkKind,
        person: Option<Uuid>,
        lifetime: Duration,
        now: OffsetDateTime,
    ) -> Result<(Link, Secret), NoEntropy> {
        let token = Secret::random("")?;
        let expires = now + lifetime.min(kind.lifetime());
        Ok((Link { token: token.digest(), kind, person, created: now, expires, used: None }, token))
    }

    /// Whether the token opens the link, without using it up: for showing the page.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn check(&self, token: &Secret, kind: LinkKind, now: OffsetDateTime) -> Result<(), LinkError> {
        if self.token != token.digest() || self.kind != kind {
            return Err(LinkError::Unknown);
        }
        if self.used.is_some() {
            return Err(LinkError::Used);
        }
        if now >= self.expires {
            return Err(LinkError::Expired);
        }
        Ok(())
    }

    /// Uses the link up. The caller stores it in the transaction that acts on it.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn redeem(&mut self, token: &Secret, kind: LinkKind, now: OffsetDateTime) -> Result<(), LinkError> {
        self.check(token, kind, now)?;
        self.used = Some(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);

    #[test]
    fn a_link_opens_once_in_time_and_for_its_purpose() {
        let (mut link, token) = Link::issue(LinkKind::Invite, None, Duration::hours(1), NOW).unwrap();
        let later = NOW + Duration::minutes(59);
        assert_eq!(link.redeem(&token, LinkKind::Setup, later), Err(LinkError::Unknown));
        assert_eq!(link.redeem(&Secret::new("guess"), LinkKind::Invite, later), Err(LinkError::Unknown));
        assert_eq!(link.check(&token, LinkKind::Invite, NOW + Duration::hours(1)), Err(LinkError::Expired));
        assert_eq!(link.check(&token, LinkKind::Invite, later), Ok(()));
        assert_eq!(link.redeem(&token, LinkKind::Invite, later), Ok(()));
        let mut stored: Link = serde_json::from_value(serde_json::to_value(&link).unwrap()).unwrap();
        assert_eq!(stored.redeem(&token, LinkKind::Invite, later), Err(LinkError::Used));
    }

    #[test]
    fn a_recovery_link_never_outlives_a_quarter_of_an_hour() {
        let (link, _) = Link::issue(LinkKind::Recovery, None, Duration::days(30), NOW).unwrap();
        assert_eq!(link.expires, NOW + Duration::minutes(15));
    }
}
