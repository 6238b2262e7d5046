//! The name of an account of a machine, as `useradd` takes it (source: Debian's `NAME_REGEX`, useradd(8)).

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest name, in bytes.
const LONGEST: usize = 32;

/// The name of an account: letters, digits, `_` and `-`, of which none can mean anything in a path, an option or a file
/// of configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Account(String);

/// It is not the name of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name of an account is 1 to {LONGEST} of a-z, A-Z, 0-9, '_', '-' and '.', and begins with a letter or '_'"
)]
pub struct BadAccount;

impl FromStr for Account {
    type Err = BadAccount;

    fn from_str(text: &str) -> Result<Account, BadAccount> {
        let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let good = text.len() <= LONGEST
            && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && text.chars().all(rest);
        good.then(|| Account(text.to_owned())).ok_or(BadAccount)
    }
}

impl Account {
    /// The account that somebody has of their own, from the name they sign in with: what is before the `@`, in lower
    /// case, without what no name of an account has.
    ///
    /// # Errors
    /// [`BadAccount`] when nothing is left.
    pub fn of_person(name: &str) -> Result<Account, BadAccount> {
        let local = name.split('@').next().unwrap_or_default().to_lowercase();
        let kept: String =
            local.chars().filter(|c| c.is_ascii_alphanumeric() || "_-.".contains(*c)).collect();
        let start = kept.trim_start_matches(|c: char| !c.is_ascii_alphabetic() && c != '_');
        start.chars().take(LONGEST).collect::<String>().parse()
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Account {
    type Error = BadAccount;

    fn try_from(text: String) -> Result<Account, BadAccount> {
        text.parse()
    }
}

impl From<Account> for String {
    fn from(account: Account) -> String {
        account.0
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_mean_something_else_is_no_account() {
        for good in ["root", "alice", "_apt", "www-data", "a.b", "Alice"] {
            assert_eq!(good.parse::<Account>().map(|a| a.to_string()).as_deref(), Ok(good));
        }
        let long = "a".repeat(LONGEST + 1);
        for bad in ["", "-f", "a/b", "../root", ".ssh", "a b", "a\n", "1a", "a:b", "アリス", &long] {
            assert_eq!(bad.parse::<Account>(), Err(BadAccount), "{bad}");
        }
    }

    #[test]
    fn somebodys_own_account_is_what_is_before_the_at() {
        for (name, own) in [("Alice.B@example.com", "alice.b"), ("42bob", "bob"), ("山田taro@x", "taro")] {
            assert_eq!(Account::of_person(name).unwrap().as_str(), own);
        }
        for none in ["", "@x", "山田", "42"] {
            assert_eq!(Account::of_person(none), Err(BadAccount), "{none}");
        }
    }
}
