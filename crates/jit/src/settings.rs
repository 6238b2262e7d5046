//! `properties.sekisho` of a policy: what a request must bring, who decides on it, and what happens to connections when
//! its time is over.

use schemars::{JsonSchema, Schema};
use sekisho_arm::{ArmError, duration};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{Duration, OffsetDateTime, Time, UtcOffset, Weekday};
use uuid::Uuid;

use crate::elevation::offer::{
    AccountOffer, AccountProperties, LoginOffer, LoginProperties, SudoOffer, SudoProperties,
};
use crate::resources::invalid;

/// How long a request waits for approvers where the policy does not say.
const WAIT: Duration = Duration::days(1);
/// The shortest and longest that it may wait.
const WAITS: std::ops::RangeInclusive<Duration> = Duration::minutes(5)..=Duration::days(30);
/// Most yeses that a policy may demand.
const MOST_APPROVALS: usize = 100;
/// Most windows in which a policy says yes by itself.
const MOST_WINDOWS: usize = 50;
/// How old a proof of two factors may be allowed to be, and how long what is open may be unused.
const UP_TO_A_DAY: std::ops::RangeInclusive<Duration> = Duration::minutes(1)..=Duration::days(1);

/// What happens to connections that are there when nothing is open for them any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Existing {
    /// They are cut.
    #[default]
    Cut,
    /// They go on, as in Azure.
    Drain,
}

/// `properties.sekisho`, as clients write it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "JitPolicySettings", transform = lacks_what_was_left_out)]
pub struct SettingsProperties {
    /// Who must say yes; nobody when absent.
    pub approval: Option<ApprovalProperties>,
    /// Whether a request must say why.
    pub justification_required: bool,
    /// A regular expression that the number of a ticket must match; with it, a ticket is required.
    pub ticket_pattern: Option<String>,
    /// How many requests of the policy may be open or waiting at once.
    pub max_concurrent: Option<usize>,
    /// How old the proof of two factors may be, ISO 8601, of 1 minute to a day; not asked for when absent.
    pub mfa_max_age: Option<String>,
    /// After how long without a packet what is open is closed, ISO 8601, of 1 minute to a day; never when absent.
    pub idle_close: Option<String>,
    /// What happens to existing connections when their time is over.
    pub existing_connections: Existing,
    /// What is done when the policy would close the port that its writer comes in by and has no other way.
    pub only_way: OnlyWay,
    /// What may be asked for of `sudo` on the machines; nothing when absent.
    pub sudo: Option<SudoProperties>,
    /// Accounts that may be asked for on the machines; none when absent.
    pub account: Option<AccountProperties>,
    /// Logins to the machines through a bastion, which must be asked for then; they need nothing of this when absent.
    pub login: Option<LoginProperties>,
}

/// What is done about a port without another way in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitOnlyWay")]
pub enum OnlyWay {
    /// The port is opened for whoever wrote the policy, from where they wrote it, for ten minutes first.
    #[default]
    OpenForWriter,
    /// The policy is refused when nothing else listens on the machine, as far as that has told.
    Refuse,
    /// It closes at once.
    Close,
}

/// Who must say yes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitApproval", transform = lacks_what_was_left_out)]
pub struct ApprovalProperties {
    /// How many different people, never the one who asked.
    #[serde(default = "one")]
    pub required: usize,
    /// The object id of the group that they are in; whoever has the right to approve when absent.
    #[serde(default)]
    pub group: Option<String>,
    /// How long a request waits, ISO 8601, of 5 minutes to 30 days; a day when absent.
    #[serde(default)]
    pub within: Option<String>,
    /// When nobody needs to say yes.
    #[serde(default)]
    pub automatic: Vec<AutomaticProperties>,
}

fn one() -> usize {
    1
}

/// A policy is shown as it was written: what the writer left to its default is not there.
pub(crate) fn lacks_what_was_left_out(schema: &mut Schema) {
    let has_default = |name: &Value| {
        let field = schema.get("properties").and_then(|all| all.get(name.as_str()?));
        field.is_some_and(|field| field.get("default").is_some())
    };
    let always = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    let always: Vec<Value> = always.filter(|name| !has_default(name)).cloned().collect();
    schema.insert("required".to_owned(), always.into());
}

/// Hours of the week. A window that ends before it begins ends the next day.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JitAutomaticApproval", transform = lacks_what_was_left_out)]
pub struct AutomaticProperties {
    /// `Monday` to `Sunday`; every day when absent.
    #[serde(default)]
    pub days: Vec<String>,
    /// From, `HH:MM`.
    pub from: String,
    /// Until, `HH:MM`; this minute is not part of it.
    pub until: String,
    /// The offset from UTC that the hours are meant in, `+09:00`; UTC when absent.
    #[serde(default)]
    pub utc_offset: Option<String>,
}

/// The settings, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Who must say yes; `None` when nobody.
    pub approval: Option<Approval>,
    /// Whether a request must say why.
    pub justification: bool,
    /// The pattern of tickets, as it was written.
    pub ticket_pattern: Option<String>,
    /// How many requests may be open or waiting at once.
    pub max_concurrent: Option<usize>,
    /// How old the proof of two factors may be.
    pub mfa_max_age: Option<Duration>,
    /// After how long without a packet what is open is closed.
    pub idle_close: Option<Duration>,
    /// What happens to existing connections.
    pub existing: Existing,
    /// What is done about a port without another way in.
    pub only_way: OnlyWay,
    /// What may be asked for of `sudo`.
    pub sudo: Option<SudoOffer>,
    /// Accounts that may be asked for.
    pub account: Option<AccountOffer>,
    /// Logins that must be asked for.
    pub login: Option<LoginOffer>,
}

/// Who must say yes, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Approval {
    /// How many.
    pub required: usize,
    /// Of which group.
    pub group: Option<Uuid>,
    /// How long a request waits.
    pub within: Duration,
    /// When nobody needs to.
    pub automatic: Vec<Automatic>,
}

/// Hours of the week, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Automatic {
    days: Vec<Weekday>,
    from: Time,
    until: Time,
    offset: UtcOffset,
}

impl Settings {
    /// Reads the settings. The pattern of tickets is read by whoever matches it.
    ///
    /// # Errors
    /// 400 with the path of what is wrong.
    pub fn parse(given: &SettingsProperties) -> Result<Settings, ArmError> {
        let at = |field: &str| format!("properties.sekisho.{field}");
        if given.max_concurrent == Some(0) {
            return Err(invalid(&at("maxConcurrent"), "at least one request may be open"));
        }
        let up_to_a_day = |field: &str, given: &Option<String>| {
            let read = |text: &String| {
                let length = duration::parse(text).filter(|d| UP_TO_A_DAY.contains(d));
                length.ok_or_else(|| invalid(&at(field), "it is an ISO 8601 duration of PT1M to P1D"))
            };
            given.as_ref().map(read).transpose()
        };
        Ok(Settings {
            approval: given.approval.as_ref().map(Approval::parse).transpose()?,
            justification: given.justification_required,
            ticket_pattern: given.ticket_pattern.clone().filter(|p| !p.is_empty()),
            max_concurrent: given.max_concurrent,
            mfa_max_age: up_to_a_day("mfaMaxAge", &given.mfa_max_age)?,
            idle_close: up_to_a_day("idleClose", &given.idle_close)?,
            existing: given.existing_connections,
            only_way: given.only_way,
            sudo: given.sudo.as_ref().map(SudoOffer::parse).transpose()?,
            account: given.account.as_ref().map(AccountOffer::parse).transpose()?,
            login: given.login.as_ref().map(LoginOffer::parse).transpose()?,
        })
    }
}

impl Approval {
    fn parse(given: &ApprovalProperties) -> Result<Approval, ArmError> {
        let at = |field: &str| format!("properties.sekisho.approval.{field}");
        if !(1..=MOST_APPROVALS).contains(&given.required) {
            return Err(invalid(&at("required"), format!("1 to {MOST_APPROVALS} people must say yes")));
        }
        let group = match given.group.as_deref() {
            None => None,
            Some(id) => {
                Some(Uuid::try_parse(id).map_err(|_| invalid(&at("group"), "it is not an object id"))?)
            }
        };
        let within = match given.within.as_deref() {
            None => WAIT,
            Some(text) => duration::parse(text)
                .filter(|d| WAITS.contains(d))
                .ok_or_else(|| invalid(&at("within"), "a request waits for PT5M to P30D"))?,
        };
        if given.automatic.len() > MOST_WINDOWS {
            return Err(invalid(&at("automatic"), format!("at most {MOST_WINDOWS} windows")));
        }
        let automatic = given
            .automatic
            .iter()
            .enumerate()
            .map(|(n, window)| window.parse(&at(&format!("automatic[{n}]"))))
            .collect::<Result<_, _>>()?;
        Ok(Approval { required: given.required, group, within, automatic })
    }
}

impl AutomaticProperties {
    fn parse(&self, at: &str) -> Result<Automatic, ArmError> {
        let clock = |text: &str, field: &str| {
            time_of(text).ok_or_else(|| invalid(&format!("{at}.{field}"), "it is a time such as 09:00"))
        };
        let day = |text: &String| {
            text.parse::<Weekday>()
                .map_err(|_| invalid(&format!("{at}.days"), "the days are Monday to Sunday"))
        };
        let offset = match self.utc_offset.as_deref() {
            None => UtcOffset::UTC,
            Some(text) => offset_of(text)
                .ok_or_else(|| invalid(&format!("{at}.utcOffset"), "it is an offset such as +09:00"))?,
        };
        Ok(Automatic {
            days: self.days.iter().map(day).collect::<Result<_, _>>()?,
            from: clock(&self.from, "from")?,
            until: clock(&self.until, "until")?,
            offset,
        })
    }
}

impl Automatic {
    /// Whether an instant is in the window. One from 22:00 until 06:00 on Friday ends on Saturday; one whose ends are
    /// equal is a whole day.
    pub fn holds(&self, at: OffsetDateTime) -> bool {
        let local = at.to_offset(self.offset);
        let (day, clock) = (local.weekday(), local.time());
        let on = |day: Weekday| self.days.is_empty() || self.days.contains(&day);
        if self.from < self.until {
            return on(day) && (self.from..self.until).contains(&clock);
        }
        (on(day) && clock >= self.from) || (on(day.previous()) && clock < self.until)
    }
}

fn time_of(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    Time::from_hms(digits(hour)?, digits(minute)?, 0).ok()
}

fn offset_of(text: &str) -> Option<UtcOffset> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    let seconds = i32::from(hours) * 3600 + i32::from(minutes) * 60;
    (hours <= 14 && minutes < 60).then(|| UtcOffset::from_whole_seconds(sign * seconds).ok())?
}

/// Exactly two digits.
fn digits(text: &str) -> Option<u8> {
    (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use time::macros::datetime;

    fn parse(settings: Value) -> Result<Settings, ArmError> {
        Settings::parse(&serde_json::from_value(settings).unwrap())
    }

    fn window(days: &[&str], from: &str, until: &str, offset: &str) -> Automatic {
        let given = json!({"approval": {"automatic": [
            {"days": days, "from": from, "until": until, "utcOffset": offset}]}});
        parse(given).unwrap().approval.unwrap().automatic.remove(0)
    }

    #[test]
    fn nothing_is_demanded_where_nothing_is_set_and_connections_are_cut() {
        let settings = parse(json!({})).unwrap();
        assert_eq!((settings.approval, settings.mfa_max_age, settings.justification), (None, None, false));
        assert_eq!(settings.existing, Existing::Cut);
        let approval = parse(json!({"approval": {}})).unwrap().approval.unwrap();
        assert_eq!((approval.required, approval.within), (1, WAIT));
        for wrong in [
            json!({"maxConcurrent": 0}),
            json!({"mfaMaxAge": "PT59S"}),
            json!({"mfaMaxAge": "P2D"}),
            json!({"idleClose": "PT59S"}),
            json!({"idleClose": "15"}),
            json!({"approval": {"required": 0}}),
            json!({"approval": {"group": "operators"}}),
            json!({"approval": {"within": "PT1M"}}),
            json!({"approval": {"automatic": [{"from": "9:00", "until": "17:00"}]}}),
            json!({"approval": {"automatic": [{"from": "09:00", "until": "24:00"}]}}),
            json!({"approval": {"automatic": [{"from": "09:00", "until": "17:00", "days": ["Someday"]}]}}),
            json!({"approval": {"automatic": [{"from": "09:00", "until": "17:00", "utcOffset": "JST"}]}}),
            json!({"approval": {"automatic": [{"from": "09:00", "until": "17:00", "utcOffset": "+15:00"}]}}),
        ] {
            assert!(parse(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_window_is_meant_in_its_own_hours_and_may_go_over_midnight() {
        let office = window(&["Monday"], "09:00", "17:00", "+09:00");
        // 2026-11-30 is a Monday.
        assert!(office.holds(datetime!(2026-11-30 00:00 UTC)));
        assert!(office.holds(datetime!(2026-11-30 07:59:59 UTC)));
        assert!(!office.holds(datetime!(2026-11-30 08:00 UTC)));
        assert!(!office.holds(datetime!(2026-11-29 23:59:59 UTC)));
        let night = window(&["Friday"], "22:00", "06:00", "+00:00");
        assert!(night.holds(datetime!(2026-11-27 22:00 UTC)));
        assert!(night.holds(datetime!(2026-11-28 05:59 UTC)));
        assert!(!night.holds(datetime!(2026-11-28 06:00 UTC)));
        assert!(!night.holds(datetime!(2026-11-27 05:00 UTC)));
        assert!(!night.holds(datetime!(2026-11-28 22:00 UTC)));
    }

    proptest! {
        /// The oracle walks through the minutes of the window from its start.
        #[test]
        fn a_minute_is_in_a_window_exactly_when_it_is_reached_from_its_start(
            day in 0_u8..7, from in 0_u32..1440, length in 1_u32..=1440, minute in 0_i64..10_080,
        ) {
            let clock = |m: u32| format!("{:02}:{:02}", m / 60 % 24, m % 60);
            let name = Weekday::Monday.nth_next(day).to_string();
            let window = window(&[&name], &clock(from), &clock(from + length), "+00:00");
            let at = datetime!(2026-11-30 00:00 UTC) + Duration::minutes(minute);
            let start = i64::from(day) * 1440 + i64::from(from);
            let expected = (minute - start).rem_euclid(10_080) < i64::from(length);
            prop_assert_eq!(window.holds(at), expected);
        }
    }
}
