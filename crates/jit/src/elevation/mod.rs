//! What a request may give beside ports: to be another user by `sudo`, and an account that is there for a time.
//!
//! [`offer`] is what a policy lets people ask for. A grant says who gets what ([`Raised`]); the machine is told the rest
//! ([`Elevation`]). There [`plan`] says what is to be done, and [`sudoers`] what is written for `sudo`. Names and commands
//! are values that can mean nothing else in a file of configuration, and are read again on the machine.

pub mod offer;
pub mod plan;
pub mod sudoers;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use sekisho_link::account::Account;
use serde::{Deserialize, Serialize};

use crate::agent::Term;
use crate::settings::Existing;

/// The kind of the event that tells that a machine has given it: `mark` and `end` of the grant.
pub const GIVEN: &str = "access.given";
/// The kind of the event that tells that a machine does not give it: `mark` of the grant, and `why`.
pub const REFUSED: &str = "access.refused";
/// The kind of the event that tells that it is over there: `mark` of the grant, and how many `processes` were ended.
pub const ENDED: &str = "access.ended";

/// The longest path of a command, in bytes.
const LONGEST_PATH: usize = 200;

/// The name of an account that means nothing else to `sudo`: in lower case, so that it is no alias and not `ALL`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct UnixName(String);

/// It is not such a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of a user is 1 to 32 of a-z, 0-9, '_', '-' and '.', and begins with a letter or '_'")]
pub struct BadName;

impl UnixName {
    /// The administrator.
    pub fn root() -> UnixName {
        UnixName("root".to_owned())
    }

    /// Whether it is the administrator's, to whom nothing is given.
    pub fn is_root(&self) -> bool {
        self.0 == "root"
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&Account> for UnixName {
    type Error = BadName;

    fn try_from(account: &Account) -> Result<UnixName, BadName> {
        let name = account.as_str();
        let lower = !name.bytes().any(|b| b.is_ascii_uppercase());
        lower.then(|| UnixName(name.to_owned())).ok_or(BadName)
    }
}

impl FromStr for UnixName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<UnixName, BadName> {
        UnixName::try_from(&text.parse::<Account>().map_err(|_| BadName)?)
    }
}

impl TryFrom<String> for UnixName {
    type Error = BadName;

    fn try_from(text: String) -> Result<UnixName, BadName> {
        text.parse()
    }
}

impl From<UnixName> for String {
    fn from(name: UnixName) -> String {
        name.0
    }
}

impl fmt::Display for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The absolute path of a program. Whoever may run it may run it with any arguments.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct CommandPath(String);

/// It is not such a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a command is an absolute path of at most {LONGEST_PATH} of a-z, A-Z, 0-9 and '/._-+@,:=', without '//', '.', '..' and a '/' at its end"
)]
pub struct BadCommand;

impl CommandPath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CommandPath {
    type Err = BadCommand;

    fn from_str(text: &str) -> Result<CommandPath, BadCommand> {
        let known = |c: char| c.is_ascii_alphanumeric() || "/._-+@,:=".contains(c);
        let names = text.strip_prefix('/').ok_or(BadCommand)?;
        let good = text.len() <= LONGEST_PATH
            && text.chars().all(known)
            && names.split('/').all(|name| !["", ".", ".."].contains(&name));
        good.then(|| CommandPath(text.to_owned())).ok_or(BadCommand)
    }
}

impl TryFrom<String> for CommandPath {
    type Error = BadCommand;

    fn try_from(text: String) -> Result<CommandPath, BadCommand> {
        text.parse()
    }
}

impl From<CommandPath> for String {
    fn from(path: CommandPath) -> String {
        path.0
    }
}

/// What may be done by `sudo`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sudo {
    /// As whom, at least one.
    pub run_as: Vec<UnixName>,
    /// Which commands, at least one; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commands: Option<Vec<CommandPath>>,
}

impl Sudo {
    /// Whether it lets nobody do what `other` does not.
    pub fn is_within(&self, other: &Sudo) -> bool {
        let commands = match (&self.commands, &other.commands) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(all)) => own.iter().all(|command| all.contains(command)),
        };
        commands && self.run_as.iter().all(|user| other.run_as.contains(user))
    }
}

/// What a grant gives to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Raised {
    /// The account.
    pub user: UnixName,
    /// What.
    pub gives: Gives,
}

/// What a grant gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Gives {
    /// To be others.
    Sudo(Sudo),
    /// The account itself.
    Account,
}

/// What becomes of the home of an account that is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitAccountHome")]
pub enum Home {
    /// It is removed with the account.
    #[default]
    Remove,
    /// It is kept beside its place, for root only.
    Keep,
}

/// What a machine is to give to an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Elevation {
    /// The number of the grant, never 0.
    pub mark: u32,
    /// The account.
    pub user: UnixName,
    /// What.
    pub gives: Given,
    /// When it ends by the server's clock, in milliseconds since 1970.
    pub end: i64,
    /// The longest that it may be there from when the machine first hears of it, in seconds: whatever the clocks say.
    pub longest: i64,
}

/// What a machine is to give, and what it does at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Given {
    /// A rule of `sudo`.
    Sudo {
        /// What it allows.
        sudo: Sudo,
        /// What happens to what still runs by it.
        existing: Existing,
    },
    /// An account that is not there yet.
    Account(Keeping),
}

/// What becomes of an account that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Keeping {
    /// What becomes of its home.
    pub home: Home,
    /// For how many seconds it is still there, locked.
    pub remove_after: i64,
}

impl Term for Elevation {
    fn mark(&self) -> u32 {
        self.mark
    }
    fn end(&self) -> i64 {
        self.end
    }
    fn longest(&self) -> i64 {
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_else_to_sudo_is_no_name_and_no_command() {
        for good in ["root", "alice", "_apt", "www-data", "a.b", "a9"] {
            assert_eq!(good.parse::<UnixName>().map(String::from).as_deref(), Ok(good));
        }
        for bad in
            ["ALL", "Alice", "ADMINS", "#0", "%sudo", "+net", "a,b", "a b", "a\nb", "", "!a", "\"a\"", "a=b"]
        {
            assert_eq!(bad.parse::<UnixName>(), Err(BadName), "{bad}");
        }
        for good in ["/bin/ls", "/usr/lib/x86_64-linux-gnu/a.so", "/opt/a,b:c=d@e+f"] {
            assert_eq!(good.parse::<CommandPath>().map(String::from).as_deref(), Ok(good));
        }
        let long = format!("/{}", "a".repeat(LONGEST_PATH));
        let bad = [
            "ALL",
            "ls",
            "",
            "/",
            "/bin/",
            "//bin/ls",
            "/bin/../sh",
            "/bin/./sh",
            "/bin/*",
            "/bin/[a-z]",
            "/bin/l?",
            "!/bin/ls",
            "/bin/a b",
            "/bin/a\tb",
            "/bin/a\nb ALL",
            "/bin/a\\",
            "/bin/a#b",
            "/bin/a\"b",
            "^/bin/ls$",
            "sudoedit",
            "/bin/a(b)",
            &long,
        ];
        for bad in bad {
            assert_eq!(bad.parse::<CommandPath>(), Err(BadCommand), "{bad}");
        }
    }

    #[test]
    fn a_part_of_what_is_allowed_is_allowed_and_nothing_else() {
        let sudo = |run_as: &[&str], commands: Option<&[&str]>| Sudo {
            run_as: run_as.iter().map(|n| n.parse().unwrap()).collect(),
            commands: commands.map(|all| all.iter().map(|c| c.parse().unwrap()).collect()),
        };
        let policy = sudo(&["root", "www-data"], Some(&["/bin/ls", "/bin/cat"]));
        assert!(sudo(&["root"], Some(&["/bin/ls"])).is_within(&policy));
        assert!(policy.is_within(&policy));
        assert!(!sudo(&["root"], None).is_within(&policy));
        assert!(!sudo(&["root"], Some(&["/bin/sh"])).is_within(&policy));
        assert!(!sudo(&["postgres"], Some(&["/bin/ls"])).is_within(&policy));
        assert!(sudo(&["root"], Some(&["/bin/sh"])).is_within(&sudo(&["root"], None)));
    }
}
