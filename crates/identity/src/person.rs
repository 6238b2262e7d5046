//! A person who can sign in, in the words of Microsoft Graph's `user`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::conditional_access::RiskLevel;

/// Longest part of a sign-in name before the `@`, in characters (Entra: 64).
pub const MAX_LOCAL: usize = 64;
/// Longest domain of a sign-in name, in characters (Entra: 48).
pub const MAX_DOMAIN: usize = 48;
/// Longest display name, in characters (Graph: 256).
pub const MAX_DISPLAY_NAME: usize = 256;

/// Why a person cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PersonError {
    /// The sign-in name is not `name@domain` within Entra's limits and characters.
    #[error(
        "a sign-in name looks like an e-mail address, with letters, digits and . - _ ' ! # ^ ~ before the @ (at most \
         {MAX_LOCAL} characters) and a domain of at most {MAX_DOMAIN} characters after it"
    )]
    SignInName,
    /// The display name is empty, too long or holds control characters.
    #[error("a display name has 1 to {MAX_DISPLAY_NAME} characters and no control characters")]
    DisplayName,
}

/// A person. What they prove themselves with is stored apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Person {
    /// The object id; also the WebAuthn user handle, so it never changes.
    pub id: Uuid,
    /// The sign-in name, unique without case.
    pub user_principal_name: String,
    /// What people call them.
    pub display_name: String,
    /// Whether they may sign in.
    pub enabled: bool,
    /// When they were added.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// Tokens of an older generation are refused; raising it signs the person out of everything.
    #[serde(default)]
    pub generation: u64,
    /// What makes one think that somebody else has the account, until an administrator says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<UserRisk>,
}

/// What makes one think that somebody else has an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserRisk {
    /// What was seen.
    pub because: Suspicion,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// What was seen of an account in somebody else's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Suspicion {
    /// What a client may use once was used twice.
    TokenReused,
    /// A copy of a passkey seems to exist.
    PasskeyCopied,
    /// An administrator says so.
    ConfirmedCompromised,
}

impl Suspicion {
    /// How grave it is. A client that was restored from a backup uses a token twice, too.
    pub fn level(self) -> RiskLevel {
        match self {
            Suspicion::TokenReused => RiskLevel::Medium,
            Suspicion::PasskeyCopied | Suspicion::ConfirmedCompromised => RiskLevel::High,
        }
    }
}

/// A person as Graph shows them (v1.0 `user`).
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    #[serde(rename = "@odata.type")]
    kind: &'static str,
    /// The object id.
    pub id: String,
    /// What people call them.
    pub display_name: String,
    /// The sign-in name.
    pub user_principal_name: String,
    /// The sign-in name again, where clients look for an address.
    pub mail: String,
    /// Whether they may sign in.
    pub account_enabled: bool,
    user_type: &'static str,
    /// When they were added.
    pub created_date_time: String,
    /// When a passkey of theirs was last used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_sign_in_date_time: Option<String>,
    /// What they sign in with; only where all people are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Vec<CredentialKind>>,
}

/// A kind of credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CredentialKind {
    /// A passkey.
    Passkey,
    /// A password.
    Password,
    /// An authenticator app.
    Totp,
    /// Recovery codes.
    Recovery,
}

impl Person {
    /// A new, enabled person with a random id.
    ///
    /// # Errors
    /// [`PersonError`].
    pub fn new(name: &str, display_name: &str, now: OffsetDateTime) -> Result<Person, PersonError> {
        let person = Person {
            id: Uuid::new_v4(),
            user_principal_name: name.trim().to_owned(),
            display_name: display_name.trim().to_owned(),
            enabled: true,
            created: now,
            generation: 0,
            risk: None,
        };
        person.check()?;
        Ok(person)
    }

    /// How likely it is that somebody else has the account.
    pub fn risk_level(&self) -> RiskLevel {
        self.risk.map_or(RiskLevel::None, |risk| risk.because.level())
    }

    /// Notes what was seen, unless something as grave was before.
    pub fn suspect(&mut self, because: Suspicion, at: OffsetDateTime) {
        if because.level() > self.risk_level() {
            self.risk = Some(UserRisk { because, at });
        }
    }

    /// Checks the names.
    ///
    /// # Errors
    /// [`PersonError`].
    pub fn check(&self) -> Result<(), PersonError> {
        if !is_sign_in_name(&self.user_principal_name) {
            return Err(PersonError::SignInName);
        }
        let length = self.display_name.chars().count();
        if length == 0 || length > MAX_DISPLAY_NAME || self.display_name.chars().any(char::is_control) {
            return Err(PersonError::DisplayName);
        }
        Ok(())
    }

    /// The form in which sign-in names are compared and stored as a key.
    pub fn name_key(name: &str) -> String {
        name.trim().to_lowercase()
    }

    /// Words about the person that a password must not lean on.
    pub fn context_words(&self) -> Vec<&str> {
        let split = |text: &'static str| move |c: char| text.contains(c);
        let name = self.user_principal_name.split(split("@.-_"));
        name.chain(self.display_name.split_whitespace()).filter(|w| w.chars().count() >= 3).collect()
    }

    /// The person as Microsoft Graph shows one (v1.0 `user`).
    pub fn to_graph(&self) -> User {
        User {
            kind: "#microsoft.graph.user",
            id: self.id.to_string(),
            display_name: self.display_name.clone(),
            user_principal_name: self.user_principal_name.clone(),
            mail: self.user_principal_name.clone(),
            account_enabled: self.enabled,
            user_type: "Member",
            created_date_time: crate::oauth::timestamp(self.created),
            last_sign_in_date_time: None,
            credentials: None,
        }
    }
}

fn is_sign_in_name(name: &str) -> bool {
    let Some((local, domain)) = name.split_once('@') else { return false };
    let local_ok = (1..=MAX_LOCAL).contains(&local.len())
        && local.chars().all(|c| c.is_ascii_alphanumeric() || ".-_'!#^~".contains(c))
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..");
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    local_ok && domain.len() <= MAX_DOMAIN && domain.split('.').all(label_ok)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);

    #[test]
    fn sign_in_names_follow_entras_rules() {
        for good in ["a@localhost", "jo.do@contoso.test", "o'neil_x~1@a-b.example"] {
            assert!(Person::new(good, "Jo", NOW).is_ok(), "{good}");
        }
        let long = format!("{}@x", "a".repeat(65));
        for bad in ["", "@x", "a@", "a b@x", "a@b@c", ".a@x", "a..b@x", "a@-x", "a@x..y", "é@x", &long] {
            assert_eq!(Person::new(bad, "Jo", NOW), Err(PersonError::SignInName), "{bad}");
        }
        assert_eq!(Person::new("a@x", " ", NOW), Err(PersonError::DisplayName));
        assert_eq!(Person::new("a@x", "a\u{7}", NOW), Err(PersonError::DisplayName));
    }

    #[test]
    fn graph_shows_what_az_reads() {
        let person = Person::new("jo@contoso.test", "Jo Do", NOW).unwrap();
        let graph = serde_json::to_value(person.to_graph()).unwrap();
        assert_eq!(graph["@odata.type"], "#microsoft.graph.user");
        assert_eq!(graph["userPrincipalName"], "jo@contoso.test");
        assert_eq!(graph["createdDateTime"], "2026-11-24T12:00:00Z");
        assert_eq!(person.context_words(), ["contoso", "test"], "short words are in every password");
    }

    proptest! {
        #[test]
        fn checking_a_name_never_panics_and_a_person_survives_the_database(name in "\\PC{0,90}", display in "\\PC{0,40}") {
            if let Ok(person) = Person::new(&name, &display, NOW) {
                let text = serde_json::to_string(&person).unwrap();
                prop_assert_eq!(serde_json::from_str::<Person>(&text).unwrap(), person);
            }
        }
    }
}
