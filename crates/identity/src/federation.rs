//! Federated credentials: a provider such as GitHub Actions or Kubernetes whose tokens an application signs in with, so
//! that it keeps no secret (Graph `federatedIdentityCredential`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Most of one application (Entra ID: 20).
pub const MAX: usize = 20;
/// Longest issuer, subject and audience, in characters (Graph: 600).
const MAX_TEXT: usize = 600;

/// Why a federated credential cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FederationError {
    /// The name has other characters than letters, digits, `-` and `_`, or not 3 to 120 of them.
    #[error("a name has 3 to 120 letters, digits, dashes and underscores")]
    Name,
    /// The application has another one of the name, or of the same issuer and subject.
    #[error("the application has one of this name, or of this issuer and subject")]
    Taken,
    /// The issuer is no `https` URL without query and fragment.
    #[error("an issuer is an https URL of at most {MAX_TEXT} characters, without query and fragment")]
    Issuer,
    /// The subject is empty or too long.
    #[error("a subject has 1 to {MAX_TEXT} characters")]
    Subject,
    /// There is not exactly one audience.
    #[error("there is exactly one audience, of 1 to {MAX_TEXT} characters")]
    Audience,
    /// The application has [`MAX`].
    #[error("an application has at most {MAX} federated credentials")]
    TooMany,
}

/// One of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "FederatedIdentityCredential")]
pub struct FederatedCredential {
    /// Its id.
    #[schemars(with = "String")]
    pub id: Uuid,
    /// Its name within the application.
    pub name: String,
    /// Who signs the tokens: where its OpenID discovery document is found.
    pub issuer: String,
    /// Whom the tokens are about.
    pub subject: String,
    /// Whom the tokens are for.
    pub audiences: Vec<String>,
    /// What people say of it.
    pub description: Option<String>,
}

impl FederatedCredential {
    /// Checks what was given, beside the application's others.
    ///
    /// # Errors
    /// [`FederationError`].
    pub fn check(&self, others: &[FederatedCredential]) -> Result<(), FederationError> {
        let sized = |text: &str| (1..=MAX_TEXT).contains(&text.chars().count());
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !(3..=120).contains(&self.name.len()) || !self.name.chars().all(plain) {
            return Err(FederationError::Name);
        }
        let host =
            self.issuer.strip_prefix("https://").filter(|rest| !rest.is_empty() && !rest.starts_with('/'));
        let strange = |c: char| c.is_whitespace() || c.is_control() || "?#@\\".contains(c);
        if host.is_none() || !sized(&self.issuer) || self.issuer.contains(strange) {
            return Err(FederationError::Issuer);
        }
        if !sized(&self.subject) {
            return Err(FederationError::Subject);
        }
        if self.audiences.len() != 1 || !self.audiences.iter().all(|a| sized(a)) {
            return Err(FederationError::Audience);
        }
        let mut others = others.iter().filter(|o| o.id != self.id);
        if others.clone().count() >= MAX {
            return Err(FederationError::TooMany);
        }
        let same = |o: &FederatedCredential| {
            o.name.eq_ignore_ascii_case(&self.name) || (o.issuer == self.issuer && o.subject == self.subject)
        };
        if others.any(same) { Err(FederationError::Taken) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential() -> FederatedCredential {
        FederatedCredential {
            id: Uuid::new_v4(),
            name: "ci".to_owned() + "-main",
            issuer: "https://token.actions.githubusercontent.com".to_owned(),
            subject: "repo:contoso/web:ref:refs/heads/main".to_owned(),
            audiences: vec!["api://AzureADTokenExchange".to_owned()],
            description: None,
        }
    }

    #[test]
    fn what_cannot_be_looked_up_safely_is_not_kept() {
        let changed = |change: fn(&mut FederatedCredential)| {
            let mut made = credential();
            change(&mut made);
            made.check(&[]).err()
        };
        assert_eq!(changed(|_| ()), None);
        for change in [
            (|c| c.issuer = "http://idp.test".to_owned()) as fn(&mut FederatedCredential),
            |c| c.issuer = "https://".to_owned(),
            |c| c.issuer = "https://user@idp.test".to_owned(),
            |c| c.issuer = "https://idp.test/?x".to_owned(),
            |c| c.issuer = "file:///etc/passwd".to_owned(),
        ] {
            assert_eq!(changed(change), Some(FederationError::Issuer));
        }
        assert_eq!(changed(|c| c.name = "a b c".to_owned()), Some(FederationError::Name));
        assert_eq!(changed(|c| c.subject.clear()), Some(FederationError::Subject));
        assert_eq!(changed(|c| c.audiences.clear()), Some(FederationError::Audience));
    }

    #[test]
    fn two_of_an_application_differ() {
        let (one, mut other) = (credential(), credential());
        assert_eq!(other.check(std::slice::from_ref(&one)), Err(FederationError::Taken));
        other.name = "other".to_owned();
        assert_eq!(other.check(std::slice::from_ref(&one)), Err(FederationError::Taken));
        other.subject = "repo:contoso/web:pull_request".to_owned();
        assert_eq!(other.check(std::slice::from_ref(&one)), Ok(()));
        assert_eq!(one.check(&[one.clone(), other.clone()]), Ok(()), "itself");
        let mut many = vec![other; MAX];
        many.iter_mut().for_each(|c| c.id = Uuid::new_v4());
        assert_eq!(one.check(&many), Err(FederationError::TooMany));
    }
}
