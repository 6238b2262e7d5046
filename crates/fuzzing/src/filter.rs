//! `$filter` expressions.

use sekisho_arm::filter::{Comparison, Filter, lookup};
use serde_json::json;

/// A filter that parses prints to a text that parses to the same filter, and its evaluation keeps the laws of logic.
pub fn filter(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let filter = match Filter::parse(text) {
        Ok(filter) => filter,
        Err(error) => {
            assert_eq!((error.status, error.code.as_str()), (400, "InvalidFilterInQueryString"));
            return;
        }
    };
    let printed = print(&filter);
    // Quotes and parentheses are written out, so a text near the limit may come out too long.
    if printed.len() <= sekisho_arm::filter::MAX_FILTER_BYTES {
        assert_eq!(Filter::parse(&printed).expect("a printed filter does not parse"), filter);
    }
    let value = json!({
        "name": "Web", "count": 5, "on": true, "none": null, "tags": {"stage": "test"}, "names": ["a", "b"],
    });
    let holds = |f: &Filter| f.matches(&|path| lookup(&value, path));
    let this = holds(&filter);
    assert_eq!(holds(&Filter::Not(Box::new(filter.clone()))), !this);
    let both = |a: Filter, b: Filter| Filter::And(Box::new(a), Box::new(b));
    assert_eq!(holds(&both(filter.clone(), filter.clone())), this);
    // What must hold for the whole to hold does hold when the whole does.
    if this && let Some(name) = filter.required("name") {
        assert!(name.eq_ignore_ascii_case("web"), "{name}");
    }
}

fn print(filter: &Filter) -> String {
    match filter {
        // A chain is read from the left, so only a right side that is a chain itself needs parentheses.
        Filter::Or(a, b) => format!("{} or {}", print(a), side(b, |f| matches!(f, Filter::Or(..)))),
        Filter::And(a, b) => {
            let left = side(a, |f| matches!(f, Filter::Or(..)));
            format!("{left} and {}", side(b, |f| matches!(f, Filter::Or(..) | Filter::And(..))))
        }
        Filter::Not(a) => format!("not {}", side(a, |f| matches!(f, Filter::Or(..) | Filter::And(..)))),
        Filter::Compare(path, op, literal) => {
            let op = match op {
                Comparison::Eq => "eq",
                Comparison::Ne => "ne",
                Comparison::Gt => "gt",
                Comparison::Ge => "ge",
                Comparison::Lt => "lt",
                Comparison::Le => "le",
            };
            format!("{path} {op} {}", quoted(literal))
        }
        Filter::Function(name, arguments) => {
            format!("{name}({})", arguments.iter().map(|a| quoted(a)).collect::<Vec<_>>().join(","))
        }
        Filter::Any(path, literal) => format!("{path}/any(c:c eq {})", quoted(literal)),
    }
}

fn side(filter: &Filter, needs_parentheses: impl Fn(&Filter) -> bool) -> String {
    if needs_parentheses(filter) { format!("({})", print(filter)) } else { print(filter) }
}

fn quoted(literal: &str) -> String {
    format!("'{}'", literal.replace('\'', "''"))
}
