//! Grants: what a person's command line or program holds after the person let it in.
//!
//! A grant is a refresh-token family (RFC 9700 §4.14). Its client gets access tokens for it, each good for
//! [`crate::token::LIFETIME`], and a new refresh token with each of them; the one before is spent. Whoever shows a spent
//! one, the thief or the robbed, ends the whole family. Every access token names its grant, and every request looks
//! the grant up: with the grant its tokens are gone.
//!
//! A grant ends when nothing was asked of it for [`IDLE`], and in any case after [`ABSOLUTE`]. Entra ID gives 90 days and
//! no end; here a person says yes again every quarter.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::conditional_access::{Flow, RiskLevel};
use crate::seal::SealingKey;
use crate::session::{Method, Proof, Session, TOUCH};
use crate::token::{Claims, IdClaims, LIFETIME, TokenKind};
use crate::{Digest, NoEntropy, Person, Secret};

/// Time without a request after which a grant ends.
pub const IDLE: Duration = Duration::days(14);
/// Time after its beginning at which it ends in any case.
pub const ABSOLUTE: Duration = Duration::days(90);
/// For so long the same address may ask again with the refresh token it has just spent, as long as the next one is
/// unused, and is given the same next one: two commands that start together both read the old one, and an answer can
/// get lost.
pub const OVERLAP: Duration = Duration::seconds(10);
/// How many spent refresh tokens are remembered to tell reuse from nonsense.
const REMEMBERED: usize = 100;
/// Every refresh token begins so, that scanners find leaked ones.
const PREFIX: &str = "skr_";
/// How fresh a proof must be for an authentication context to be satisfied by it.
const CONTEXT_AGE: Duration = Duration::minutes(10);

/// Why a grant gives nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// It is no refresh token of this grant.
    #[error("there is no such grant")]
    Unknown,
    /// It is one that was spent: the caller removes the grant.
    #[error("the refresh token was used already")]
    Reused,
    /// Nothing was asked of it for too long.
    #[error("the grant ended because it was not used for a while")]
    Idle,
    /// It was simply long enough.
    #[error("the grant ended; sign in again")]
    Over,
    /// No random bytes.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}

/// A person's yes, given in the portal: who, and what they had proved there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Who said yes.
    pub person: Uuid,
    /// In which session of the portal.
    pub session: Uuid,
    /// What they had proved.
    pub proofs: Vec<Proof>,
    /// The authentication contexts that were asked for and satisfied, such as `c1`.
    pub contexts: Vec<String>,
    /// How strange their sign-in looked.
    #[serde(default)]
    pub risk: RiskLevel,
    /// Their generation.
    pub generation: u64,
}

impl Approval {
    /// The yes of whoever has the session. `None` when contexts are asked for and nothing was proved within the last
    /// ten minutes: the person must sign in again.
    pub fn by(session: &Session, contexts: &[String], now: OffsetDateTime) -> Option<Approval> {
        let fresh = session.proofs.iter().any(|p| now - p.at <= CONTEXT_AGE);
        (contexts.is_empty() || fresh).then(|| Approval {
            person: session.person,
            session: session.id,
            proofs: session.proofs.clone(),
            risk: session.risk,
            contexts: contexts.to_vec(),
            generation: session.generation,
        })
    }
}

/// The next refresh token, readable with the spent one only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Successor {
    sealed: String,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    ip: IpAddr,
}

/// A grant as stored under its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Names it: the `sid` of its tokens.
    pub id: Uuid,
    /// Whose it is.
    pub person: Uuid,
    /// The client id, which a public client only claims.
    pub client: Uuid,
    /// The portal session it was given in.
    pub session: Uuid,
    /// What the person had proved.
    pub proofs: Vec<Proof>,
    /// How the person let the client in.
    pub flow: Flow,
    /// How strange the person's sign-in looked.
    #[serde(default)]
    pub risk: RiskLevel,
    /// The authentication contexts that it satisfies.
    pub contexts: Vec<String>,
    /// When it was given.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// When it was last used, to the minute.
    #[serde(with = "time::serde::rfc3339")]
    pub used: OffsetDateTime,
    /// Address of the last request that was noted.
    pub ip: IpAddr,
    /// The client, as it says.
    pub user_agent: String,
    /// The person's generation when it was given; a grant of an older generation is over.
    pub generation: u64,
    refresh: Digest,
    spent: Vec<Digest>,
    successor: Option<Successor>,
}

impl Grant {
    /// Gives a grant: what to store, and its first refresh token.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn begin(
        approval: Approval,
        (client, flow): (Uuid, Flow),
        ip: IpAddr,
        user_agent: &str,
        now: OffsetDateTime,
    ) -> Result<(Grant, Secret), NoEntropy> {
        let id = Uuid::new_v4();
        let token = refresh_token(id)?;
        let grant = Grant {
            id,
            person: approval.person,
            client,
            session: approval.session,
            proofs: approval.proofs,
            flow,
            risk: approval.risk,
            contexts: approval.contexts,
            created: now,
            used: now,
            ip,
            user_agent: user_agent.chars().filter(|c| !c.is_control()).take(200).collect(),
            generation: approval.generation,
            refresh: token.digest(),
            spent: Vec::new(),
            successor: None,
        };
        Ok((grant, token))
    }

    /// The grant that a refresh token says it is of.
    pub fn named_by(token: &Secret) -> Option<Uuid> {
        let (id, _) = token.expose().strip_prefix(PREFIX)?.split_once('_')?;
        Uuid::try_parse(id).ok()
    }

    /// Whether it has not ended by itself. The caller also checks that the person exists, is enabled and still has
    /// this [`Grant::generation`].
    ///
    /// # Errors
    /// [`GrantError::Idle`], [`GrantError::Over`].
    pub fn alive(&self, now: OffsetDateTime) -> Result<(), GrantError> {
        if now >= self.created + ABSOLUTE {
            return Err(GrantError::Over);
        }
        if now >= self.used + IDLE {
            return Err(GrantError::Idle);
        }
        Ok(())
    }

    /// Whether it satisfies an authentication context now: the person was asked for it, within this time if any.
    pub fn satisfies(&self, context: &str, within: Option<Duration>, now: OffsetDateTime) -> bool {
        let fresh = within.is_none_or(|age| self.proofs.iter().any(|p| now - p.at <= age));
        fresh && self.contexts.iter().any(|c| c == context)
    }

    /// When it ends if it is not used again.
    pub fn lapses(&self) -> OffsetDateTime {
        (self.created + ABSOLUTE).min(self.used + IDLE)
    }

    /// Spends a refresh token for the next one. The caller stores the grant, or removes it on
    /// [`GrantError::Reused`].
    ///
    /// # Errors
    /// [`GrantError`].
    pub fn refresh(&mut self, token: &Secret, ip: IpAddr, now: OffsetDateTime) -> Result<Secret, GrantError> {
        let shown = token.digest();
        if shown == self.refresh {
            self.alive(now)?;
            let next = refresh_token(self.id)?;
            let sealed =
                SealingKey::under(token).ok_or(NoEntropy)?.seal(&self.place(), next.expose().as_bytes())?;
            self.successor = Some(Successor { sealed, at: now, ip });
            self.spent.push(shown);
            if self.spent.len() > REMEMBERED {
                self.spent.remove(0);
            }
            self.refresh = next.digest();
            self.touch(ip, now);
            return Ok(next);
        }
        if !self.spent.contains(&shown) {
            return Err(GrantError::Unknown);
        }
        self.alive(now)?;
        self.repeated(token, ip, now).ok_or(GrantError::Reused)
    }

    /// The next refresh token once more, for whoever has just been given it.
    fn repeated(&self, token: &Secret, ip: IpAddr, now: OffsetDateTime) -> Option<Secret> {
        let last = self.spent.last().is_some_and(|spent| *spent == token.digest());
        let successor = self.successor.as_ref().filter(|s| last && s.ip == ip)?;
        if !(Duration::ZERO..=OVERLAP).contains(&(now - successor.at)) {
            return None;
        }
        let opened = SealingKey::under(token)?.open(&self.place(), &successor.sealed).ok()?;
        let next = Secret::new(std::str::from_utf8(&opened).ok()?);
        (next.digest() == self.refresh).then_some(next)
    }

    fn place(&self) -> String {
        format!("grant/{}", self.id)
    }

    /// Notes a request. True when something changed and the grant should be stored.
    pub fn touch(&mut self, ip: IpAddr, now: OffsetDateTime) -> bool {
        let worth = now >= self.used + TOUCH || ip != self.ip;
        if worth {
            self.used = self.used.max(now);
            self.ip = ip;
        }
        worth
    }

    /// What an access token says that this grant gives.
    pub fn claims(&self, person: &Person, audience: &str, now: OffsetDateTime) -> Claims {
        let client = self.client.to_string();
        let mut claims = Claims::new(TokenKind::User, person.id, &client, audience, self.generation, now);
        claims.upn = Some(person.user_principal_name.clone());
        claims.name = Some(person.display_name.clone());
        claims.amr = self.amr();
        claims.auth_time = self.authenticated().map(OffsetDateTime::unix_timestamp);
        claims.acrs.clone_from(&self.contexts);
        claims.sid = Some(self.id);
        claims
    }

    /// What the id token beside it says; the issuer and tenant are filled in by [`crate::token::Tokens::mint_id`].
    pub fn id_claims(&self, person: &Person, nonce: Option<String>, now: OffsetDateTime) -> IdClaims {
        let iat = now.unix_timestamp();
        IdClaims {
            aud: self.client,
            iss: String::new(),
            tid: Uuid::nil(),
            oid: person.id,
            sub: person.id,
            preferred_username: person.user_principal_name.clone(),
            name: person.display_name.clone(),
            iat,
            nbf: iat,
            exp: iat + LIFETIME.whole_seconds(),
            nonce,
            auth_time: self.authenticated().map(OffsetDateTime::unix_timestamp),
            amr: self.amr(),
            sid: self.id,
            ver: "2.0",
        }
    }

    /// How the person signed in (RFC 8176; `fido` is Entra ID's).
    pub fn amr(&self) -> Vec<String> {
        let proved = |method| self.proofs.iter().any(|p| p.method == method);
        let (knows, has) = (proved(Method::Password), proved(Method::Totp) || proved(Method::RecoveryCode));
        let words = [
            ("pwd", knows),
            ("otp", has),
            ("fido", proved(Method::Passkey)),
            ("mfa", proved(Method::Passkey) || (knows && has)),
        ];
        words.into_iter().filter(|(_, so)| *so).map(|(word, _)| word.to_owned()).collect()
    }

    /// When the person last proved something.
    pub fn authenticated(&self) -> Option<OffsetDateTime> {
        self.proofs.iter().map(|p| p.at).max()
    }
}

fn refresh_token(grant: Uuid) -> Result<Secret, NoEntropy> {
    Secret::random(&format!("{PREFIX}{}_", grant.simple()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);
    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn person() -> Person {
        Person::new("jo@contoso.test", "Jo", NOW).unwrap()
    }

    fn grant(methods: &[Method]) -> (Grant, Secret) {
        let (session, _) = Session::new(&person(), methods, IP, "Firefox", NOW).unwrap();
        let approval = Approval::by(&session, &[], NOW).unwrap();
        Grant::begin(approval, (Uuid::from_u128(4), Flow::Direct), IP, "az\n", NOW).unwrap()
    }

    #[test]
    fn each_refresh_token_is_spent_by_its_use_and_a_spent_one_ends_the_family() {
        let (mut g, first) = grant(&[Method::Passkey]);
        assert_eq!(Grant::named_by(&first), Some(g.id));
        let second = g.refresh(&first, IP, NOW).unwrap();
        let third = g.refresh(&second, IP, NOW).unwrap();
        assert_ne!(second.expose(), third.expose());
        let mut stored: Grant = serde_json::from_value(serde_json::to_value(&g).unwrap()).unwrap();
        assert_eq!(stored.refresh(&first, IP, NOW).unwrap_err(), GrantError::Reused);
        assert_eq!(stored.refresh(&second, IP, NOW + OVERLAP * 2).unwrap_err(), GrantError::Reused);
        let made_up = Secret::random(&format!("skr_{}_", g.id.simple())).unwrap();
        assert_eq!(stored.refresh(&made_up, IP, NOW).unwrap_err(), GrantError::Unknown);
        assert!(stored.refresh(&third, IP, NOW).is_ok());
    }

    #[test]
    fn two_commands_that_start_together_get_the_same_next_token_and_nobody_else_does() {
        let (mut g, first) = grant(&[Method::Passkey]);
        let next = g.refresh(&first, IP, NOW).unwrap();
        let again = g.clone().refresh(&first, IP, NOW + OVERLAP).unwrap();
        assert_eq!(again.expose(), next.expose());
        assert_eq!(g.clone().refresh(&first, OTHER, NOW).unwrap_err(), GrantError::Reused);
        let late = NOW + OVERLAP + Duration::MILLISECOND;
        assert_eq!(g.clone().refresh(&first, IP, late).unwrap_err(), GrantError::Reused);
        g.refresh(&next, IP, NOW).unwrap();
        assert_eq!(g.refresh(&first, IP, NOW).unwrap_err(), GrantError::Reused, "the next one was used");
    }

    #[test]
    fn what_is_stored_tells_no_refresh_token() {
        let (mut g, first) = grant(&[Method::Passkey]);
        let next = g.refresh(&first, IP, NOW).unwrap();
        let stored = format!("{} {g:?}", serde_json::to_string(&g).unwrap());
        for token in [first, next] {
            assert!(!stored.contains(token.expose().rsplit_once('_').unwrap().1));
        }
    }

    #[test]
    fn a_grant_ends_when_it_is_not_used_and_in_any_case_after_a_quarter() {
        let (mut g, first) = grant(&[Method::Passkey]);
        let idle = NOW + IDLE;
        assert_eq!(g.clone().refresh(&first, IP, idle).unwrap_err(), GrantError::Idle);
        let (mut now, mut token) = (NOW, first);
        while now < NOW + ABSOLUTE {
            assert_eq!(g.alive(now), Ok(()), "{now}");
            assert!(g.lapses() > now);
            token = g.refresh(&token, IP, now).unwrap();
            now += Duration::days(13);
        }
        assert_eq!(g.refresh(&token, IP, now).unwrap_err(), GrantError::Over);
    }

    #[test]
    fn tokens_say_how_and_when_the_person_signed_in() {
        let (g, _) = grant(&[Method::Password, Method::Totp]);
        let claims = g.claims(&person(), "aud", NOW);
        assert_eq!(claims.amr, ["pwd", "otp", "mfa"]);
        assert_eq!(claims.auth_time, Some(NOW.unix_timestamp()));
        assert_eq!((claims.sid, claims.upn.as_deref()), (Some(g.id), Some("jo@contoso.test")));
        assert_eq!(grant(&[Method::Passkey]).0.amr(), ["fido", "mfa"]);
        assert_eq!(grant(&[Method::Link]).0.amr(), [""; 0]);
        assert_eq!(g.user_agent, "az");
    }

    #[test]
    fn an_authentication_context_takes_a_fresh_proof() {
        let (session, _) = Session::new(&person(), &[Method::Passkey], IP, "", NOW).unwrap();
        let wanted = ["c1".to_owned()];
        let late = NOW + CONTEXT_AGE + Duration::SECOND;
        assert_eq!(Approval::by(&session, &wanted, NOW + CONTEXT_AGE).unwrap().contexts, wanted);
        assert_eq!(Approval::by(&session, &wanted, late), None);
        assert!(Approval::by(&session, &[], late).is_some());
    }

    proptest! {
        #[test]
        fn no_order_of_uses_lets_a_spent_token_in_after_the_one_that_followed(uses in prop::collection::vec(0..12usize, 1..40)) {
            let (mut g, first) = grant(&[Method::Passkey]);
            let mut all = vec![first];
            for at in uses {
                let token = all[at % all.len()].clone();
                let newest = at % all.len() + 1 == all.len();
                let before = at % all.len() + 2 == all.len();
                match g.refresh(&token, IP, NOW) {
                    Ok(next) if newest => all.push(next),
                    Ok(next) => prop_assert!(before && next.expose() == all[all.len() - 1].expose()),
                    Err(error) => {
                        prop_assert!(!newest && !before);
                        prop_assert_eq!(error, GrantError::Reused);
                        break;
                    }
                }
            }
        }
    }
}
