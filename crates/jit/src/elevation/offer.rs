//! `properties.sekisho.sudo`, `.account` and `.login` of a policy: what people may ask for beside ports, for how long, and
//! what becomes of it in the end.

use std::str::FromStr;

use schemars::JsonSchema;
use sekisho_arm::{ArmError, duration};
use serde::{Deserialize, Serialize};
use time::Duration;

use super::{CommandPath, Home, Keeping, Sudo, UnixName};
use crate::resources::{LONGEST, SHORTEST, invalid};
use crate::settings::{Existing, lacks_what_was_left_out};

/// Most users, and most commands, that a policy or a request may list.
const MOST: usize = 50;
/// The longest that an account may still be there after its end.
const LONGEST_KEPT: Duration = Duration::days(30);

/// What may be asked for of `sudo`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "JitSudoOffer", transform = lacks_what_was_left_out)]
pub struct SudoProperties {
    /// As whom commands may be run; `root` when absent.
    pub run_as: Option<Vec<String>>,
    /// The absolute paths of the commands; all commands when absent.
    pub commands: Option<Vec<String>>,
    /// The longest that a request may ask for: an ISO 8601 duration of 5 minutes to a day.
    pub max_request_access_duration: String,
    /// What happens at the end to what still runs by it.
    pub existing_sessions: Existing,
}

/// Accounts that may be asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "JitAccountOffer", transform = lacks_what_was_left_out)]
pub struct AccountProperties {
    /// The longest that a request may ask for: an ISO 8601 duration of 5 minutes to a day.
    pub max_request_access_duration: String,
    /// How long an account that is over is still there, locked: an ISO 8601 duration of up to 30 days; it goes at once
    /// when absent.
    pub remove_after: Option<String>,
    /// What becomes of its home then.
    pub home: Home,
}

/// Logins through a bastion: with this, nobody logs in to the machines without having asked.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "JitLoginOffer")]
pub struct LoginProperties {
    /// The longest that a request may ask for: an ISO 8601 duration of 5 minutes to a day.
    pub max_request_access_duration: String,
}

/// What may be asked for of `sudo`, read.
#[derive(Debug, Clone, PartialEq)]
pub struct SudoOffer {
    /// The most that it may allow.
    pub most: Sudo,
    /// The longest.
    pub longest: Duration,
    /// What happens to what still runs.
    pub existing: Existing,
}

/// Accounts that may be asked for, read.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountOffer {
    /// The longest.
    pub longest: Duration,
    /// What becomes of one.
    pub keeping: Keeping,
}

/// Logins, read.
#[derive(Debug, Clone, PartialEq)]
pub struct LoginOffer {
    /// The longest.
    pub longest: Duration,
}

impl LoginOffer {
    /// Reads it.
    ///
    /// # Errors
    /// 400 with the path of what is wrong.
    pub fn parse(given: &LoginProperties) -> Result<LoginOffer, ArmError> {
        let longest = longest(&given.max_request_access_duration, "properties.sekisho.login")?;
        Ok(LoginOffer { longest })
    }
}

/// Reads a list, which is never an empty one.
///
/// # Errors
/// 400 about the field.
pub fn list<T: FromStr<Err: std::fmt::Display>>(given: &[String], at: &str) -> Result<Vec<T>, ArmError> {
    if given.is_empty() || given.len() > MOST {
        return Err(invalid(at, format!("1 to {MOST} are listed")));
    }
    given.iter().map(|text| text.parse().map_err(|why| invalid(at, why))).collect()
}

fn longest(text: &str, at: &str) -> Result<Duration, ArmError> {
    let length = duration::parse(text).filter(|d| (SHORTEST..=LONGEST).contains(d));
    length.ok_or_else(|| {
        let why = "the maximum is an ISO 8601 duration of PT5M to P1D";
        invalid(&format!("{at}.maxRequestAccessDuration"), why)
    })
}

impl SudoOffer {
    /// Reads it.
    ///
    /// # Errors
    /// 400 with the path of what is wrong.
    pub fn parse(given: &SudoProperties) -> Result<SudoOffer, ArmError> {
        let at = "properties.sekisho.sudo";
        let run_as = given.run_as.as_deref().map(|all| list(all, &format!("{at}.runAs"))).transpose()?;
        let commands = given
            .commands
            .as_deref()
            .map(|all| list::<CommandPath>(all, &format!("{at}.commands")))
            .transpose()?;
        let most = Sudo { run_as: run_as.unwrap_or_else(|| vec![UnixName::root()]), commands };
        let longest = longest(&given.max_request_access_duration, at)?;
        Ok(SudoOffer { most, longest, existing: given.existing_sessions })
    }
}

impl AccountOffer {
    /// Reads it.
    ///
    /// # Errors
    /// 400 with the path of what is wrong.
    pub fn parse(given: &AccountProperties) -> Result<AccountOffer, ArmError> {
        let at = "properties.sekisho.account";
        let remove_after = match given.remove_after.as_deref() {
            None => Duration::ZERO,
            Some(text) => {
                let kept = duration::parse(text).filter(|d| (Duration::ZERO..=LONGEST_KEPT).contains(d));
                kept.ok_or_else(|| {
                    invalid(&format!("{at}.removeAfter"), "it is an ISO 8601 duration of up to P30D")
                })?
            }
        };
        let keeping = Keeping { home: given.home, remove_after: remove_after.whole_seconds() };
        Ok(AccountOffer { longest: longest(&given.max_request_access_duration, at)?, keeping })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn sudo(given: Value) -> Result<SudoOffer, ArmError> {
        SudoOffer::parse(&serde_json::from_value(given).unwrap())
    }

    fn account(given: Value) -> Result<AccountOffer, ArmError> {
        AccountOffer::parse(&serde_json::from_value(given).unwrap())
    }

    #[test]
    fn without_lists_it_is_everything_as_root_and_what_still_runs_is_ended() {
        let read = sudo(json!({"maxRequestAccessDuration": "PT1H"})).unwrap();
        assert_eq!(read.most, Sudo { run_as: vec![UnixName::root()], commands: None });
        assert_eq!((read.longest, read.existing), (Duration::hours(1), Existing::Cut));
        let read = account(json!({"maxRequestAccessDuration": "P1D"})).unwrap();
        assert_eq!(read.keeping, Keeping { home: Home::Remove, remove_after: 0 });
    }

    #[test]
    fn what_is_wrong_is_named_and_an_empty_list_is_not_everything() {
        for (wrong, field) in [
            (json!({}), "sudo.maxRequestAccessDuration"),
            (json!({"maxRequestAccessDuration": "PT4M"}), "sudo.maxRequestAccessDuration"),
            (json!({"maxRequestAccessDuration": "PT1H", "commands": []}), "sudo.commands"),
            (json!({"maxRequestAccessDuration": "PT1H", "commands": ["ALL"]}), "sudo.commands"),
            (json!({"maxRequestAccessDuration": "PT1H", "runAs": []}), "sudo.runAs"),
            (json!({"maxRequestAccessDuration": "PT1H", "runAs": ["ALL"]}), "sudo.runAs"),
        ] {
            let refused = sudo(wrong.clone()).unwrap_err();
            assert!(refused.target.unwrap_or_default().ends_with(field), "{wrong}");
        }
        for wrong in
            [json!({"removeAfter": "P31D"}), json!({"removeAfter": "-PT1H"}), json!({"removeAfter": "1"})]
        {
            let mut given = wrong.clone();
            given["maxRequestAccessDuration"] = "PT1H".into();
            assert!(account(given).is_err(), "{wrong}");
        }
    }
}
