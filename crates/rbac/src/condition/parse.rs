//! The parser of conditions: recursive descent over the text, no tokens kept.
//!
//! `or := and (OR and)*`, `and := not (AND not)*`, `not := (! | NOT) not | primary`, and a primary is parenthesised,
//! `ActionMatches{'…'}`, `SubOperationMatches{'…'}`, `Exists @Source[…]` or `@Source[…] operator operand`.

use std::cmp::Ordering;

use super::{Compare, ConditionError, Expr, How, MAX_CONDITION_BYTES, Order, Quantifier, Source, Test};
use crate::universe::Pattern;

/// Deepest nesting read; Azure's own conditions nest four deep.
const MAX_DEPTH: usize = 32;

pub(super) fn condition(text: &str) -> Result<Expr, ConditionError> {
    if text.len() > MAX_CONDITION_BYTES {
        return Err(ConditionError::TooLong);
    }
    let mut parser = Parser { text, at: 0 };
    let expr = parser.any(0)?;
    parser.blanks();
    if parser.at < text.len() {
        return Err(parser.expected("AND, OR or the end"));
    }
    Ok(expr)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn any(&mut self, depth: usize) -> Result<Expr, ConditionError> {
        let mut parts = vec![self.all(depth)?];
        while self.symbol("||") || self.keyword("OR") {
            parts.push(self.all(depth)?);
        }
        Ok(one_or(parts, Expr::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Expr, ConditionError> {
        let mut parts = vec![self.not(depth)?];
        while self.symbol("&&") || self.keyword("AND") {
            parts.push(self.not(depth)?);
        }
        Ok(one_or(parts, Expr::All))
    }

    fn not(&mut self, depth: usize) -> Result<Expr, ConditionError> {
        if depth > MAX_DEPTH {
            return Err(ConditionError::TooDeep);
        }
        if self.symbol("!") || self.keyword("NOT") {
            return Ok(Expr::Not(Box::new(self.not(depth + 1)?)));
        }
        if self.symbol("(") {
            let inner = self.any(depth + 1)?;
            self.need(")", "a closing parenthesis")?;
            return Ok(inner);
        }
        if self.keyword("ActionMatches") {
            return self.braced_text().map(|t| Expr::ActionMatches(Pattern::new(t)));
        }
        if self.keyword("SubOperationMatches") {
            return self.braced_text().map(|_| Expr::SubOperation);
        }
        if self.keyword("Exists") {
            return Ok(Expr::Exists(self.attribute()?));
        }
        self.test()
    }

    fn test(&mut self) -> Result<Expr, ConditionError> {
        let attribute = self.attribute()?;
        let word = self.word().ok_or_else(|| self.expected("an operator"))?;
        let (quantifier, name) = match word.split_once(':') {
            Some((q, n)) => (Some(q), n),
            None => (None, word),
        };
        let unsupported = || ConditionError::Operator(word.chars().take(80).collect());
        let (each, any_operand) = match quantifier.map(str::to_ascii_lowercase).as_deref() {
            None | Some("foranyofanyvalues") => (Quantifier::Any, true),
            Some("forallofanyvalues") => (Quantifier::All, true),
            Some("foranyofallvalues") => (Quantifier::Any, false),
            Some("forallofallvalues") => (Quantifier::All, false),
            Some(_) => return Err(unsupported()),
        };
        if name.eq_ignore_ascii_case("TimeOfDayInRange") && quantifier.is_none() {
            return self.range_of_day(attribute);
        }
        let (compare, negated) = operator(name).ok_or_else(unsupported)?;
        let operands = self.operands()?;
        check(compare, &operands)?;
        if quantifier.is_none() && operands.len() != 1 {
            return Err(self.expected("one value, or a ForAnyOf/ForAllOf operator for several"));
        }
        Ok(Expr::Test(Test { attribute, each, any_operand, compare, negated, operands }))
    }

    /// From one time of day up to another, over midnight when the first is the later one.
    fn range_of_day(&mut self, attribute: (Source, String)) -> Result<Expr, ConditionError> {
        let operands = self.operands()?;
        let [from, until] = operands.as_slice() else {
            return Err(self.expected("two times of day in braces"));
        };
        let test = |order: Order, operand: &String| {
            Expr::Test(Test {
                attribute: attribute.clone(),
                each: Quantifier::Any,
                any_operand: true,
                compare: Compare::TimeOfDay(order),
                negated: false,
                operands: vec![operand.clone()],
            })
        };
        check(Compare::TimeOfDay(Ordering::is_ge), &operands)?;
        let over_midnight = match (super::time_of_day(from), super::time_of_day(until)) {
            (Some((from, at)), Some((until, also))) if at == also => from > until,
            _ => return Err(self.expected("two times of day with one offset")),
        };
        let both = vec![test(Ordering::is_ge, from), test(Ordering::is_lt, until)];
        Ok(if over_midnight { Expr::Any(both) } else { Expr::All(both) })
    }

    fn operands(&mut self) -> Result<Vec<String>, ConditionError> {
        if !self.symbol("{") {
            return Ok(vec![self.value()?]);
        }
        let mut values = vec![self.value()?];
        while self.symbol(",") {
            values.push(self.value()?);
        }
        self.need("}", "a closing brace")?;
        Ok(values)
    }

    fn value(&mut self) -> Result<String, ConditionError> {
        self.blanks();
        if self.text[self.at..].starts_with('\'') {
            return self.quoted().map(str::to_owned);
        }
        self.word().map(str::to_owned).ok_or_else(|| self.expected("a value"))
    }

    fn braced_text(&mut self) -> Result<&'a str, ConditionError> {
        self.need("{", "an opening brace")?;
        self.blanks();
        let text = self.quoted()?;
        self.need("}", "a closing brace")?;
        Ok(text)
    }

    fn quoted(&mut self) -> Result<&'a str, ConditionError> {
        self.need("'", "a quoted text")?;
        let rest = &self.text[self.at..];
        let end = rest.find('\'').ok_or_else(|| self.expected("a closing quote"))?;
        self.at += end + 1;
        Ok(&rest[..end])
    }

    fn attribute(&mut self) -> Result<(Source, String), ConditionError> {
        const WANTED: &str = "@Request, @Resource, @Principal or @Environment";
        self.need("@", WANTED)?;
        let source = match self.word().map(str::to_ascii_lowercase).as_deref() {
            Some("request") => Source::Request,
            Some("resource") => Source::Resource,
            Some("principal") => Source::Principal,
            Some("environment") => Source::Environment,
            _ => return Err(self.expected(WANTED)),
        };
        self.need("[", "an opening bracket")?;
        let rest = &self.text[self.at..];
        let end = rest.find(']').ok_or_else(|| self.expected("a closing bracket"))?;
        self.at += end + 1;
        Ok((source, rest[..end].trim().to_ascii_lowercase()))
    }

    fn blanks(&mut self) {
        self.at = self.text.len() - self.text[self.at..].trim_start().len();
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        self.blanks();
        let found = self.text[self.at..].starts_with(symbol);
        self.at += if found { symbol.len() } else { 0 };
        found
    }

    fn need(&mut self, symbol: &str, wanted: &'static str) -> Result<(), ConditionError> {
        if self.symbol(symbol) { Ok(()) } else { Err(self.expected(wanted)) }
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let start = self.at;
        let found = self.word().is_some_and(|w| w.eq_ignore_ascii_case(keyword));
        if !found {
            self.at = start;
        }
        found
    }

    /// A run of the characters that names, GUIDs and numbers are made of.
    fn word(&mut self) -> Option<&'a str> {
        self.blanks();
        let rest = &self.text[self.at..];
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/')))
            .unwrap_or(rest.len());
        self.at += end;
        (end > 0).then(|| &rest[..end])
    }

    fn expected(&self, wanted: &'static str) -> ConditionError {
        ConditionError::Expected { wanted, at: self.at }
    }
}

fn one_or(mut parts: Vec<Expr>, many: fn(Vec<Expr>) -> Expr) -> Expr {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            many(parts)
        }
        None => many(parts),
    }
}

fn check(compare: Compare, operands: &[String]) -> Result<(), ConditionError> {
    match operands.iter().find_map(|o| Some((o, compare.lacks(o)?))) {
        Some((value, wanted)) => {
            Err(ConditionError::Value { value: value.chars().take(80).collect(), wanted })
        }
        None => Ok(()),
    }
}

type ByOrder = fn(Order) -> Compare;

/// What is compared by order, by the beginning of its operators.
const ORDERED: [(&str, ByOrder); 3] =
    [("numeric", Compare::Number), ("datetime", Compare::Instant), ("timeofday", Compare::TimeOfDay)];

fn operator(name: &str) -> Option<(Compare, bool)> {
    let name = name.to_ascii_lowercase();
    let (name, fold) = match name.strip_suffix("ignorecase") {
        Some(short) if short.starts_with("string") => (short, true),
        Some(_) => return None,
        None => (name.as_str(), false),
    };
    for (kind, compare) in ORDERED {
        if let Some(how) = name.strip_prefix(kind) {
            return Some((compare(order(how)?), false));
        }
    }
    let text = |how, negated| Some((Compare::Text { how, fold }, negated));
    match name {
        "stringequals" => text(How::Equals, false),
        "stringnotequals" => text(How::Equals, true),
        "stringstartswith" => text(How::StartsWith, false),
        "stringnotstartswith" => text(How::StartsWith, true),
        "stringlike" => text(How::Like, false),
        "stringnotlike" => text(How::Like, true),
        "guidequals" => Some((Compare::Guid, false)),
        "guidnotequals" => Some((Compare::Guid, true)),
        "boolequals" => Some((Compare::Bool, false)),
        "boolnotequals" => Some((Compare::Bool, true)),
        "ipmatch" => Some((Compare::Address, false)),
        "ipnotmatch" => Some((Compare::Address, true)),
        _ => None,
    }
}

fn order(how: &str) -> Option<Order> {
    Some(match how {
        "equals" => Ordering::is_eq,
        "notequals" => Ordering::is_ne,
        "lessthan" => Ordering::is_lt,
        "lessthanequals" => Ordering::is_le,
        "greaterthan" => Ordering::is_gt,
        "greaterthanequals" => Ordering::is_ge,
        _ => return None,
    })
}
