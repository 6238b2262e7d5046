//! `$orderby` and `$select`: in which order the rows of a list come, and which of their fields
//! (OData 4.01 §5.1.5 and §5.1.4, without nested options).
//!
//! A path names a field of a row, or of its `properties`; names ignore case, as ARM's do.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use crate::ArmError;
use crate::filter::lookup;

/// Most fields that one option names.
const MAX_PATHS: usize = 32;
/// Longest path, in bytes.
const MAX_PATH_BYTES: usize = 128;

/// A parsed `$orderby`.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderBy(Vec<(String, bool)>);

/// What a row is sorted by. What is missing comes first, as OData says of null.
#[derive(Debug, PartialEq, PartialOrd)]
enum SortKey {
    Missing,
    Truth(bool),
    Number(f64),
    Text(String),
}

impl OrderBy {
    /// Parses `name desc, properties/priority`.
    ///
    /// # Errors
    /// 400 `InvalidOrderByInQueryString`.
    pub fn parse(text: &str) -> Result<OrderBy, ArmError> {
        let invalid = |why: String| {
            ArmError::bad("InvalidOrderByInQueryString", format!("Invalid $orderby: {why}."))
                .target("$orderby")
        };
        let one = |part: &str| {
            let mut words = part.split_ascii_whitespace();
            let path = words.next().ok_or("a field is missing")?;
            let descending = match words.next().map(str::to_ascii_lowercase).as_deref() {
                None | Some("asc") => false,
                Some("desc") => true,
                Some(_) => return Err(format!("'{part}' is a field with asc or desc")),
            };
            match words.next() {
                None => Ok((field(path)?, descending)),
                Some(_) => Err(format!("'{part}' is a field with asc or desc")),
            }
        };
        parts(text, one).map(OrderBy).map_err(invalid)
    }

    /// Sorts rows; equal ones stay in their order.
    pub fn sort(&self, rows: Vec<Value>) -> Vec<Value> {
        let mut keyed: Vec<(Vec<SortKey>, Value)> = rows
            .into_iter()
            .map(|row| (self.0.iter().map(|(path, _)| key(&row, path)).collect(), row))
            .collect();
        keyed.sort_by(|(a, _), (b, _)| {
            let mut fields = a.iter().zip(b).zip(&self.0);
            fields
                .find_map(|((a, b), (_, descending))| {
                    let order = a.partial_cmp(b).unwrap_or(Ordering::Equal);
                    order.is_ne().then(|| if *descending { order.reverse() } else { order })
                })
                .unwrap_or(Ordering::Equal)
        });
        keyed.into_iter().map(|(_, row)| row).collect()
    }
}

fn key(row: &Value, path: &str) -> SortKey {
    match lookup(row, path).or_else(|| lookup(row.get("properties")?, path)) {
        Some(Value::Bool(truth)) => SortKey::Truth(truth),
        Some(Value::Number(number)) => number.as_f64().map_or(SortKey::Missing, SortKey::Number),
        Some(Value::String(text)) => SortKey::Text(text.to_lowercase()),
        _ => SortKey::Missing,
    }
}

/// A parsed `$select`.
#[derive(Debug, Clone, PartialEq)]
pub struct Select(Vec<String>);

impl Select {
    /// Parses `id,name,properties/displayName`.
    ///
    /// # Errors
    /// 400 `InvalidSelectInQueryString`.
    pub fn parse(text: &str) -> Result<Select, ArmError> {
        let invalid = |why: String| {
            ArmError::bad("InvalidSelectInQueryString", format!("Invalid $select: {why}.")).target("$select")
        };
        parts(text, |part| field(part.trim())).map(Select).map_err(invalid)
    }

    /// The row with the chosen fields only. A field that it does not have is not made up.
    pub fn of(&self, row: &Value) -> Value {
        if self.0.iter().any(|path| path == "*") {
            return row.clone();
        }
        let mut kept = Value::Object(Map::new());
        for path in &self.0 {
            copy(row, &mut kept, path);
        }
        kept
    }
}

fn copy(from: &Value, to: &mut Value, path: &str) {
    let (first, rest) = path.split_once(['/', '.']).map_or((path, None), |(first, rest)| (first, Some(rest)));
    let found = from.as_object().and_then(|o| o.iter().find(|(name, _)| name.eq_ignore_ascii_case(first)));
    let (Some((name, value)), Value::Object(to)) = (found, to) else { return };
    match rest {
        None => {
            to.insert(name.clone(), value.clone());
        }
        Some(rest) if value.is_object() => {
            copy(value, to.entry(name.clone()).or_insert_with(|| Value::Object(Map::new())), rest);
        }
        Some(_) => {}
    }
}

fn parts<T>(text: &str, one: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    let all: Vec<T> = text.split(',').take(MAX_PATHS + 1).map(one).collect::<Result<_, _>>()?;
    if all.len() > MAX_PATHS { Err(format!("more than {MAX_PATHS} fields")) } else { Ok(all) }
}

fn field(path: &str) -> Result<String, String> {
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '.' | '@' | '*');
    match path {
        "" => Err("a field is missing".to_owned()),
        long if long.len() > MAX_PATH_BYTES => Err("a field is too long".to_owned()),
        path if path.chars().all(sound) => Ok(path.to_owned()),
        path => Err(format!("'{path}' is not a field")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn names(order: &str, rows: Value) -> Vec<String> {
        let sorted = OrderBy::parse(order).unwrap().sort(rows.as_array().unwrap().clone());
        sorted.iter().map(|r| r["name"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn rows_come_in_the_order_of_their_fields_and_then_of_the_next() {
        let rows = json!([
            {"name": "b", "properties": {"priority": 100}},
            {"name": "A", "properties": {"priority": 20}},
            {"name": "c", "properties": {"priority": 100}},
            {"name": "d"},
        ]);
        assert_eq!(names("name", rows.clone()), ["A", "b", "c", "d"]);
        assert_eq!(names("priority desc,NAME desc", rows.clone()), ["c", "b", "A", "d"]);
        assert_eq!(names("properties/priority asc", rows), ["d", "A", "b", "c"]);
    }

    #[test]
    fn only_chosen_fields_are_shown_under_the_names_that_they_have() {
        let row = json!({"id": "/x", "name": "x", "properties": {"displayName": "X", "state": "on", "deep": {"a": 1, "b": 2}}});
        let of = |select: &str| Select::parse(select).unwrap().of(&row);
        assert_eq!(of("NAME,nothing"), json!({"name": "x"}));
        assert_eq!(
            of("id, properties/displayname,properties/deep/b"),
            json!({"id": "/x", "properties": {"displayName": "X", "deep": {"b": 2}}})
        );
        assert_eq!(of("name/first"), json!({}));
        assert_eq!(of("*"), row);
    }

    #[test]
    fn what_names_no_field_is_refused() {
        for bad in ["", "a,,b", "a b", "a desc asc", "a desc desc", "a;b", "a'"] {
            assert_eq!(OrderBy::parse(bad).unwrap_err().code, "InvalidOrderByInQueryString", "{bad}");
        }
        for bad in ["", "a,", "a b", "$x"] {
            assert_eq!(Select::parse(bad).unwrap_err().code, "InvalidSelectInQueryString", "{bad}");
        }
        assert!(Select::parse(&vec!["a"; 33].join(",")).is_err());
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_options(text in ".{0,80}") {
            let _ = OrderBy::parse(&text);
            let _ = Select::parse(&text).map(|s| s.of(&json!({"a": {"b": 1}})));
        }

        #[test]
        fn sorting_keeps_every_row(numbers in prop::collection::vec(prop::option::of(-5i64..5), 0..20)) {
            let rows: Vec<Value> = numbers.iter().map(|n| json!({"n": n})).collect();
            let sorted = OrderBy::parse("n").unwrap().sort(rows);
            let mut expected = numbers.clone();
            expected.sort();
            prop_assert_eq!(sorted, expected.iter().map(|n| json!({"n": n})).collect::<Vec<_>>());
        }
    }
}
