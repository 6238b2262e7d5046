//! Conditions on permission blocks, role assignments and deny assignments: Azure's attribute-based access language.
//!
//! A condition is parsed once and asked many times, with the operation and the [`Attributes`] the caller knows.
//! The answer has three values: `Some(true)`, `Some(false)`, and `None` when an attribute is missing or ill-typed.
//! `None` stays `None` through `!`, so that "not (something unknown)" never grants. Whoever grants takes only
//! `Some(true)`; whoever denies spares only on `Some(false)`.
//!
//! The parser reads all 31 conditions of Azure's 928 built-in roles, with their liberties: `AND`, `&&` and `and`,
//! operators in any case, GUIDs with and without dashes, sets with or without a blank before the brace. It does not
//! read `DateTime…`, `Time…` and `IpMatch`; such a condition is an error when it is written, and grants nothing if it
//! is met anyway.

mod parse;

use std::collections::HashMap;

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

    /// Whether the condition holds for an operation. `None`: it cannot be told.
    pub fn holds(&self, operation: &str, attributes: &Attributes) -> Option<bool> {
        self.0.holds(&operation.trim().to_ascii_lowercase(), attributes)
    }

    pub(crate) fn holds_lower(&self, lower: &str, attributes: &Attributes) -> Option<bool> {
        self.0.holds(lower, attributes)
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
    Number(fn(f64, f64) -> bool),
    Text { how: How, fold: bool },
}

#[derive(Debug, Clone, Copy)]
enum How {
    Equals,
    StartsWith,
    Like,
}

impl Expr {
    fn holds(&self, op: &str, known: &Attributes) -> Option<bool> {
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
}

impl Test {
    fn holds(&self, known: &Attributes) -> Option<bool> {
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
            Compare::Number(test) => Some(test(value.trim().parse().ok()?, operand.trim().parse().ok()?)),
            Compare::Text { how, fold } => Some(if fold {
                how.one(&value.to_lowercase(), &operand.to_lowercase())
            } else {
                how.one(value, operand)
            }),
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

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for bad in [
            "",
            "(",
            "@Request[x]",
            "@Request[x] StringEquals",
            "@Nobody[x] StringEquals 'a'",
            "@Request[x] IpMatch '10.0.0.0/8'",
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
