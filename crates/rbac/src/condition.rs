//! Conditions on permission blocks, role assignments and deny assignments: Azure's attribute-based access language.
//!
//! A condition is parsed once and asked many times, with the operation and the [`Attributes`] the caller knows.
//! The answer has three values: `Some(true)`, `Some(false)`, and `None` when an attribute is missing or ill-typed.
//! `None` stays `None` through `!`, so that "not (something unknown)" never grants. Whoever grants takes only
//! `Some(true)`; whoever denies spares only on `Some(false)`.
//!
//! The parser reads all 31 conditions of Azure's 928 built-in roles, with their liberties: `AND`, `&&` and `and`,
//! operators in any case, GUIDs with and without dashes, sets with or without a blank before the brace.
//!
//! Of the [`Environment`](Source::Environment) two attributes exist: `UtcNow`, the instant of the request, for
//! `DateTime…` and `TimeOfDay…`; and `ClientAddress`, where it came from, for `IpMatch`. Azure has the first; the second is
//! ours. A time of day may carry an offset (`'09:00+09:00'`); without one it is UTC. What depends on the clock changes by
//! time alone: [`Condition::next_change`] says when.

mod parse;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime, Time, UtcOffset};
use uuid::Uuid;

use crate::RoleId;
use crate::universe::Pattern;

/// Longest condition accepted, in bytes (Azure: 8 KB).
pub const MAX_CONDITION_BYTES: usize = 8192;

/// Why a text is not a condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// Longer than [`MAX_CONDITION_BYTES`].
    #[error("the condition is longer than {MAX_CONDITION_BYTES} bytes")]
    TooLong,
    /// Parentheses and negations nested too deeply.
    #[error("the condition is nested too deeply")]
    TooDeep,
    /// Something else was expected at a byte offset.
    #[error("expected {wanted} at character {at}")]
    Expected {
        /// What would have fitted.
        wanted: &'static str,
        /// Byte offset in the text.
        at: usize,
    },
    /// An operator that does not exist or is not supported.
    #[error("the operator '{0}' is not supported")]
    Operator(String),
    /// A value that the operator cannot compare with.
    #[error("'{value}' is not {wanted}")]
    Value {
        /// The value, cut.
        value: String,
        /// What would have fitted.
        wanted: &'static str,
    },
}

/// Where an attribute comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The body of the request: a role assignment about to be written.
    Request,
    /// What is stored: a role assignment about to be deleted.
    Resource,
    /// The caller.
    Principal,
    /// The circumstances.
    Environment,
}

/// What the caller of a decision knows about the request, for conditions to look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    values: HashMap<(Source, String), Vec<String>>,
}

impl Attributes {
    /// None at all: every condition that looks at one is unmet.
    pub fn none() -> Attributes {
        Attributes::default()
    }

    /// Adds a value, such as (`Request`, `Microsoft.Authorization/roleAssignments:PrincipalType`, `User`). An
    /// attribute added twice has two values. Names compare without case.
    #[must_use]
    pub fn with(mut self, source: Source, name: &str, value: impl Into<String>) -> Attributes {
        self.values.entry((source, name.trim().to_ascii_lowercase())).or_default().push(value.into());
        self
    }

    /// Adds what conditions see of a role assignment. What is not known is left out, so that a condition that looks
    /// at it is unmet.
    #[must_use]
    pub fn of_assignment(
        self,
        source: Source,
        role: Option<RoleId>,
        principal: Option<&str>,
        kind: Option<&str>,
    ) -> Attributes {
        let role = role.map(|r| r.to_string());
        [("RoleDefinitionId", role.as_deref()), ("PrincipalId", principal), ("PrincipalType", kind)]
            .into_iter()
            .filter_map(|(field, value)| Some((field, value?)))
            .fold(self, |all, (field, value)| {
                all.with(source, &format!("Microsoft.Authorization/roleAssignments:{field}"), value)
            })
    }

    fn get(&self, attribute: &(Source, String)) -> Option<&[String]> {
        self.values.get(attribute).map(Vec::as_slice)
    }
}

/// The circumstances of a request, which conditions see as the environment. What is not known is `None`, and a condition
/// that looks at it cannot be told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// When it is made.
    pub now: Option<OffsetDateTime>,
    /// Where it comes from.
    pub address: Option<IpAddr>,
}

/// Everything a condition may look at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) attributes: &'a Attributes,
    pub(crate) circumstances: Circumstances,
}

impl<'a> Known<'a> {
    fn get(&self, attribute: &(Source, String)) -> Option<Cow<'a, [String]>> {
        let one = |value: String| Some(Cow::Owned(vec![value]));
        match (attribute.0, attribute.1.as_str()) {
            (Source::Environment, "utcnow") => one(self.circumstances.now?.format(&Rfc3339).ok()?),
            (Source::Environment, "clientaddress") => one(self.circumstances.address?.to_string()),
            _ => self.attributes.get(attribute).map(Cow::Borrowed),
        }
    }
}

/// A parsed condition.
#[derive(Debug, Clone)]
pub struct Condition(Expr);

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// [`ConditionError`] when the text is not one, or uses an operator that is not supported.
    pub fn parse(text: &str) -> Result<Condition, ConditionError> {
        parse::condition(text).map(Condition)
    }

    /// Whether the condition holds for an operation under unknown circumstances. `None`: it cannot be told.
    pub fn holds(&self, operation: &str, attributes: &Attributes) -> Option<bool> {
        let known = Known { attributes, circumstances: Circumstances::default() };
        self.0.holds(&operation.trim().to_ascii_lowercase(), known)
    }

    pub(crate) fn holds_lower(&self, lower: &str, known: Known<'_>) -> Option<bool> {
        self.0.holds(lower, known)
    }

    /// The first instant after another at which time alone may change what it says.
    pub fn next_change(&self, after: OffsetDateTime) -> Option<OffsetDateTime> {
        self.0.next_change(after)
    }
}

#[derive(Debug, Clone)]
enum Expr {
    All(Vec<Expr>),
    Any(Vec<Expr>),
    Not(Box<Expr>),
    ActionMatches(Pattern),
    /// Sub-operations (blob types and the like) do not exist here, so the test can never be told.
    SubOperation,
    Exists((Source, String)),
    Test(Test),
}

#[derive(Debug, Clone)]
struct Test {
    attribute: (Source, String),
    each: Quantifier,
    any_operand: bool,
    compare: Compare,
    negated: bool,
    operands: Vec<String>,
}

/// How many of the attribute's values must pass.
#[derive(Debug, Clone, Copy)]
enum Quantifier {
    Any,
    All,
}

#[derive(Debug, Clone, Copy)]
enum Compare {
    Guid,
    Bool,
    Number(Order),
    Instant(Order),
    TimeOfDay(Order),
    Address,
    Text { how: How, fold: bool },
}

/// Which of the three ways in which two things can stand to each other passes.
type Order = fn(Ordering) -> bool;

#[derive(Debug, Clone, Copy)]
enum How {
    Equals,
    StartsWith,
    Like,
}

impl Expr {
    fn holds(&self, op: &str, known: Known<'_>) -> Option<bool> {
        match self {
            Expr::All(parts) => every(parts.iter().map(|p| p.holds(op, known))),
            Expr::Any(parts) => some(parts.iter().map(|p| p.holds(op, known))),
            Expr::Not(inner) => inner.holds(op, known).map(|b| !b),
            Expr::ActionMatches(pattern) => Some(pattern.matches(op)),
            Expr::SubOperation => None,
            // An attribute that does not exist and one the caller did not tell look the same from here.
            Expr::Exists(attribute) => known.get(attribute).map(|_| true),
            Expr::Test(test) => test.holds(known),
        }
    }

    fn next_change(&self, after: OffsetDateTime) -> Option<OffsetDateTime> {
        match self {
            Expr::All(parts) | Expr::Any(parts) => parts.iter().filter_map(|p| p.next_change(after)).min(),
            Expr::Not(inner) => inner.next_change(after),
            Expr::Test(test) => test.operands.iter().filter_map(|o| test.compare.next_change(o, after)).min(),
            Expr::ActionMatches(_) | Expr::SubOperation | Expr::Exists(_) => None,
        }
    }
}

impl Test {
    fn holds(&self, known: Known<'_>) -> Option<bool> {
        let values = known.get(&self.attribute)?;
        let against = |value: &String| {
            let results = self.operands.iter().map(|o| self.compare.one(value, o).map(|b| b != self.negated));
            if self.any_operand { some(results) } else { every(results) }
        };
        match self.each {
            Quantifier::Any => some(values.iter().map(against)),
            Quantifier::All => every(values.iter().map(against)),
        }
    }
}

impl Compare {
    fn one(self, value: &str, operand: &str) -> Option<bool> {
        match self {
            Compare::Guid => Some(guid(value)? == guid(operand)?),
            Compare::Bool => Some(boolean(value)? == boolean(operand)?),
            Compare::Number(order) => number(value)?.partial_cmp(&number(operand)?).map(order),
            Compare::Instant(order) => Some(order(instant(value)?.cmp(&instant(operand)?))),
            Compare::TimeOfDay(order) => {
                let (time, offset) = time_of_day(operand)?;
                Some(order(instant(value)?.to_offset(offset).time().cmp(&time)))
            }
            Compare::Address => {
                let address: IpAddr = value.trim().parse().ok()?;
                Some(network(operand)?.contains(&address.to_canonical()))
            }
            Compare::Text { how, fold } => Some(if fold {
                how.one(&value.to_lowercase(), &operand.to_lowercase())
            } else {
                how.one(value, operand)
            }),
        }
    }

    /// What an operand must be, if this one is not.
    fn lacks(self, operand: &str) -> Option<&'static str> {
        let (readable, wanted) = match self {
            Compare::Instant(_) => (instant(operand).is_some(), "an instant such as 2026-04-01T09:00:00Z"),
            Compare::TimeOfDay(_) => (time_of_day(operand).is_some(), "a time of day such as 09:00+09:00"),
            Compare::Address => (network(operand).is_some(), "an address or a network such as 192.0.2.0/24"),
            Compare::Guid | Compare::Bool | Compare::Number(_) | Compare::Text { .. } => (true, ""),
        };
        (!readable).then_some(wanted)
    }

    /// When the comparison of the clock with an operand next comes out differently.
    fn next_change(self, operand: &str, after: OffsetDateTime) -> Option<OffsetDateTime> {
        match self {
            Compare::Instant(_) => {
                let at = instant(operand)?;
                // "Later than" begins to hold one tick after the instant itself.
                [at, at + Duration::NANOSECOND].into_iter().find(|edge| *edge > after)
            }
            Compare::TimeOfDay(_) => {
                let (time, offset) = time_of_day(operand)?;
                let today = after.to_offset(offset).replace_time(time);
                // At midnight every time of day is later again.
                let midnight = today.replace_time(Time::MIDNIGHT) + Duration::DAY;
                let edges = [today, today + Duration::NANOSECOND, midnight];
                edges.into_iter().find(|edge| *edge > after)
            }
            _ => None,
        }
    }
}

impl How {
    fn one(self, value: &str, operand: &str) -> bool {
        match self {
            How::Equals => value == operand,
            How::StartsWith => value.starts_with(operand),
            How::Like => like(value, operand),
        }
    }
}

/// `*` stands for any run of characters, `?` for one; without backtracking beyond the last star.
fn like(value: &str, pattern: &str) -> bool {
    let (v, p): (Vec<char>, Vec<char>) = (value.chars().collect(), pattern.chars().collect());
    let (mut i, mut j, mut star) = (0, 0, None);
    while i < v.len() {
        if p.get(j) == Some(&'*') {
            star = Some((i, j));
            j += 1;
        } else if p.get(j).is_some_and(|c| *c == '?' || *c == v[i]) {
            (i, j) = (i + 1, j + 1);
        } else if let Some((from, at)) = star {
            star = Some((from + 1, at));
            (i, j) = (from + 1, at + 1);
        } else {
            return false;
        }
    }
    p[j..].iter().all(|c| *c == '*')
}

/// A role definition may come as its GUID or as a full id that ends in it.
fn guid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text.trim().rsplit('/').next()?).ok()
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

/// RFC 3339, or a day, which begins at midnight UTC.
fn instant(text: &str) -> Option<OffsetDateTime> {
    let text = text.trim();
    let day =
        || Some(Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?.midnight().assume_utc());
    OffsetDateTime::parse(text, &Rfc3339).ok().or_else(day)
}

/// `HH:MM` or `HH:MM:SS`, then `Z`, an offset of hours and minutes, or nothing for UTC.
fn time_of_day(text: &str) -> Option<(Time, UtcOffset)> {
    let text = text.trim();
    let (time, offset) = match text.find(['+', '-', 'Z', 'z']) {
        Some(at) => text.split_at(at),
        None => (text, "Z"),
    };
    let offset = match offset {
        "Z" | "z" => UtcOffset::UTC,
        text => UtcOffset::parse(text, format_description!("[offset_hour sign:mandatory]:[offset_minute]"))
            .ok()?,
    };
    let time = Time::parse(time, format_description!("[hour]:[minute]:[second]"))
        .or_else(|_| Time::parse(time, format_description!("[hour]:[minute]")))
        .ok()?;
    Some((time, offset))
}

fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn every(results: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut known = true;
    for result in results {
        match result {
            Some(false) => return Some(false),
            Some(true) => {}
            None => known = false,
        }
    }
    known.then_some(true)
}

fn some(results: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    every(results.map(|r| r.map(|b| !b))).map(|b| !b)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: &str = "Microsoft.Authorization/roleAssignments/write";

    fn ask(text: &str, attributes: &Attributes) -> Option<bool> {
        Condition::parse(text).unwrap().holds(WRITE, attributes)
    }

    #[test]
    fn unknown_attributes_stay_unknown_through_negation() {
        let none = Attributes::none();
        assert_eq!(ask("@Request[x] StringEquals 'a'", &none), None);
        assert_eq!(ask("!(@Request[x] StringEquals 'a')", &none), None);
        assert_eq!(ask("NOT (@Request[x] StringNotEquals 'a') OR @Request[y] BoolEquals true", &none), None);
        assert_eq!(ask("Exists @Request[x]", &none), None);
        assert_eq!(ask("NOT Exists @Request[x]", &none), None);
        assert_eq!(ask("ActionMatches{'*/write'} OR @Request[x] StringEquals 'a'", &none), Some(true));
    }

    #[test]
    fn and_binds_tighter_than_or() {
        let none = Attributes::none();
        assert_eq!(
            ask("ActionMatches{'*'} OR ActionMatches{'no'} AND ActionMatches{'no'}", &none),
            Some(true)
        );
        assert_eq!(
            ask("(ActionMatches{'*'} || ActionMatches{'no'}) && ActionMatches{'no'}", &none),
            Some(false)
        );
    }

    #[test]
    fn quantifiers_say_how_many_values_and_operands_must_agree() {
        let two = Attributes::none().with(Source::Resource, "t", "a").with(Source::Resource, "T", "b");
        let cases = [
            ("@Resource[t] ForAnyOfAnyValues:StringEquals {'b', 'z'}", true),
            ("@Resource[t] ForAllOfAnyValues:StringEquals {'b', 'z'}", false),
            ("@Resource[t] ForAllOfAnyValues:StringEquals {'b', 'a'}", true),
            ("@Resource[t] ForAnyOfAllValues:StringNotEquals {'a', 'z'}", true),
            ("@Resource[t] ForAllOfAllValues:StringNotEquals {'a', 'z'}", false),
            ("@Resource[t] ForAllOfAllValues:StringNotEquals {'y', 'z'}", true),
        ];
        for (text, wanted) in cases {
            assert_eq!(ask(text, &two), Some(wanted), "{text}");
        }
    }

    #[test]
    fn guids_compare_without_dashes_and_case_and_take_full_role_ids() {
        let id = "/subscriptions/x/providers/Microsoft.Authorization/roleDefinitions/08D4C71A-CC63-4CE4-A9C8-5DD251B4D619";
        let a = Attributes::none().with(Source::Request, "r", id);
        assert_eq!(ask("@Request[r] GuidEquals 08d4c71acc634ce4a9c85dd251b4d619", &a), Some(true));
        assert_eq!(
            ask("@Request[r] ForAnyOfAnyValues:GuidNotEquals {08d4c71acc634ce4a9c85dd251b4d619}", &a),
            Some(false)
        );
        let bad = Attributes::none().with(Source::Request, "r", "not a guid");
        assert_eq!(ask("!(@Request[r] GuidEquals 08d4c71acc634ce4a9c85dd251b4d619)", &bad), None);
    }

    #[test]
    fn texts_numbers_and_patterns_compare_as_named() {
        let a =
            Attributes::none().with(Source::Environment, "s", "Prod-7").with(Source::Environment, "n", "42");
        let cases = [
            ("@Environment[s] StringEquals 'prod-7'", false),
            ("@Environment[s] StringEqualsIgnoreCase 'prod-7'", true),
            ("@Environment[s] StringStartsWith 'Prod'", true),
            ("@Environment[s] StringNotLike 'Prod-?'", false),
            ("@Environment[s] StringLikeIgnoreCase 'p*7'", true),
            ("@Environment[n] NumericGreaterThanEquals 42", true),
            ("@Environment[n] NumericLessThan 42", false),
        ];
        for (text, wanted) in cases {
            assert_eq!(ask(text, &a), Some(wanted), "{text}");
        }
    }

    fn at(text: &str, address: &str) -> Circumstances {
        Circumstances { now: instant(text), address: address.parse().ok() }
    }

    fn ask_at(text: &str, circumstances: Circumstances) -> Option<bool> {
        let attributes = &Attributes::none();
        Condition::parse(text).unwrap().holds_lower(WRITE, Known { attributes, circumstances })
    }

    #[test]
    fn the_clock_and_the_address_decide_where_they_are_asked_about() {
        let there = at("2026-11-26T00:30:00Z", "::ffff:192.0.2.7");
        let cases = [
            ("@Environment[UtcNow] DateTimeGreaterThan '2026-11-26'", true),
            ("@Environment[UtcNow] DateTimeEquals '2026-11-26T09:30:00+09:00'", true),
            ("@Environment[utcnow] DateTimeLessThan '2026-11-26T00:30:00Z'", false),
            ("@Environment[UtcNow] DateTimeLessThanEquals '2026-11-26T00:30:00Z'", true),
            ("@Environment[UtcNow] TimeOfDayGreaterThanEquals '09:00+09:00'", true),
            ("@Environment[UtcNow] TimeOfDayGreaterThanEquals '09:00'", false),
            ("@Environment[UtcNow] TimeOfDayInRange {'09:00+09:00', '17:30+09:00'}", true),
            ("@Environment[UtcNow] TimeOfDayInRange {'22:00', '00:30'}", false),
            ("@Environment[UtcNow] TimeOfDayInRange {'22:00', '00:31'}", true),
            ("@Environment[ClientAddress] IpMatch '192.0.2.0/24'", true),
            ("@Environment[ClientAddress] IpNotMatch '192.0.2.7'", false),
            ("@Environment[ClientAddress] ForAnyOfAnyValues:IpMatch {'10.0.0.0/8', '192.0.2.7'}", true),
            ("@Environment[ClientAddress] IpMatch '2001:db8::/32'", false),
            ("Exists @Environment[UtcNow]", true),
        ];
        for (text, wanted) in cases {
            assert_eq!(ask_at(text, there), Some(wanted), "{text}");
            assert_eq!(ask_at(text, Circumstances::default()), None, "{text}");
            assert_eq!(ask_at(&format!("!({text})"), Circumstances::default()), None, "{text}");
        }
    }

    #[test]
    fn between_two_changes_that_are_told_of_the_clock_changes_nothing() {
        for text in [
            "@Environment[UtcNow] TimeOfDayInRange {'09:00+09:00', '17:30+09:00'}",
            "@Environment[UtcNow] TimeOfDayInRange {'22:00', '00:31'}",
            "@Environment[UtcNow] TimeOfDayNotEquals '12:00'",
            "NOT (@Environment[UtcNow] DateTimeGreaterThan '2026-11-26T12:00:00Z')",
            "@Environment[UtcNow] DateTimeEquals '2026-11-27' OR @Environment[UtcNow] TimeOfDayLessThan '03:00'",
        ] {
            let condition = Condition::parse(text).unwrap();
            let (mut now, end) = (instant("2026-11-26T00:00:00Z").unwrap(), instant("2026-11-29").unwrap());
            let says = |now| ask_at(text, Circumstances { now: Some(now), address: None });
            while now < end {
                let next = condition.next_change(now).unwrap_or(end).min(end);
                assert!(next > now, "{text}");
                for step in 1..40 {
                    let between = now + (next - now) * (f64::from(step) / 40.0);
                    assert!(between == next || says(between) == says(now), "{text} at {between}");
                }
                assert_eq!(says(next - Duration::NANOSECOND), says(now), "{text} before {next}");
                now = next;
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for bad in [
            "",
            "(",
            "@Request[x]",
            "@Request[x] StringEquals",
            "@Nobody[x] StringEquals 'a'",
            "@Environment[ClientAddress] IpMatch '10.0.0.0/33'",
            "@Environment[UtcNow] DateTimeLessThan 'tomorrow'",
            "@Environment[UtcNow] TimeOfDayEquals '25:00'",
            "@Environment[UtcNow] TimeOfDayInRange '09:00'",
            "@Environment[UtcNow] ForAllOfAnyValues:TimeOfDayInRange {'09:00', '17:00'}",
            "ActionMatches{}",
            "ActionMatches{'a'} trailing",
            "@Request[x] StringEquals {'a', 'b'}",
            "@Request[x] StringEquals 'a",
            "@Request[x] ForSome:StringEquals {'a'}",
        ] {
            assert!(Condition::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Condition::parse(&"(".repeat(5000)).unwrap_err(), ConditionError::TooDeep);
        assert_eq!(Condition::parse(&"!".repeat(8000)).unwrap_err(), ConditionError::TooDeep);
        assert_eq!(Condition::parse(&" ".repeat(9000)).unwrap_err(), ConditionError::TooLong);
    }
}
