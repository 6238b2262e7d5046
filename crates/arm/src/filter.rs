//! `$filter`: the small part of OData's expression language that the clients of our types send (research 09 §2.7).
//!
//! A filter is parsed once and evaluated over a lookup from property paths to values; comparisons of text ignore
//! case, as ARM's do, and a property that is absent equals nothing.

use serde_json::Value;

use crate::ArmError;

/// Longest filter accepted, in bytes.
pub const MAX_FILTER_BYTES: usize = 4096;
/// Deepest nesting of parentheses and `not`.
const MAX_DEPTH: usize = 32;

/// A parsed filter.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Both hold.
    And(Box<Filter>, Box<Filter>),
    /// Either holds.
    Or(Box<Filter>, Box<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// `path op literal`.
    Compare(String, Comparison, String),
    /// `name(argument, ...)`, such as `startswith(displayName,'x')` or `atScope()`.
    Function(String, Vec<String>),
    /// `path/any(c:c eq 'x')`.
    Any(String, String),
}

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `eq`
    Eq,
    /// `ne`
    Ne,
    /// `gt`
    Gt,
    /// `ge`
    Ge,
    /// `lt`
    Lt,
    /// `le`
    Le,
}

impl Filter {
    /// Parses a filter.
    ///
    /// # Errors
    /// 400 `InvalidFilterInQueryString` naming where it stops making sense.
    pub fn parse(text: &str) -> Result<Filter, ArmError> {
        let invalid = |why: &str| {
            ArmError::bad("InvalidFilterInQueryString", format!("Invalid $filter: {why}.")).target("$filter")
        };
        if text.len() > MAX_FILTER_BYTES {
            return Err(invalid("it is too long"));
        }
        let tokens = tokenize(text).map_err(|w| invalid(&w))?;
        let mut parser = Parser { tokens, at: 0, depth: 0 };
        let filter = parser.or().map_err(|w| invalid(&w))?;
        if parser.at != parser.tokens.len() {
            return Err(invalid("there is something after its end"));
        }
        Ok(filter)
    }

    /// Whether the filter holds; `lookup` gives the value of a property path. Functions other than `startswith`,
    /// `endswith`, `contains` and `substringof` hold: they choose a scope, which the caller reads with
    /// [`Filter::function`].
    pub fn matches(&self, lookup: &dyn Fn(&str) -> Option<Value>) -> bool {
        match self {
            Filter::And(a, b) => a.matches(lookup) && b.matches(lookup),
            Filter::Or(a, b) => a.matches(lookup) || b.matches(lookup),
            Filter::Not(a) => !a.matches(lookup),
            Filter::Compare(path, op, literal) => compare(lookup(path).as_ref(), *op, literal),
            Filter::Function(name, args) => text_function(name, args, lookup).unwrap_or(true),
            Filter::Any(path, literal) => match lookup(path) {
                Some(Value::Array(items)) => items.iter().any(|v| compare(Some(v), Comparison::Eq, literal)),
                _ => false,
            },
        }
    }

    /// The arguments of a function that must hold for the whole filter to hold.
    pub fn function(&self, name: &str) -> Option<&[String]> {
        match self {
            Filter::And(a, b) => a.function(name).or_else(|| b.function(name)),
            Filter::Function(n, args) if n.eq_ignore_ascii_case(name) => Some(args),
            _ => None,
        }
    }

    /// The literal a path must equal for the whole filter to hold.
    pub fn required(&self, path: &str) -> Option<&str> {
        self.bound(path, Comparison::Eq)
    }

    /// The literal of a comparison that must hold for the whole filter to hold.
    pub fn bound(&self, path: &str, op: Comparison) -> Option<&str> {
        match self {
            Filter::And(a, b) => a.bound(path, op).or_else(|| b.bound(path, op)),
            Filter::Compare(p, o, literal) if *o == op && p.eq_ignore_ascii_case(path) => Some(literal),
            _ => None,
        }
    }
}

fn compare(value: Option<&Value>, op: Comparison, literal: &str) -> bool {
    let order = match value {
        None | Some(Value::Null) => {
            return match op {
                Comparison::Eq => literal.eq_ignore_ascii_case("null"),
                Comparison::Ne => !literal.eq_ignore_ascii_case("null"),
                _ => false,
            };
        }
        Some(Value::Number(n)) => {
            let Ok(other) = literal.parse::<f64>() else { return op == Comparison::Ne };
            n.as_f64().and_then(|n| n.partial_cmp(&other))
        }
        Some(Value::Bool(b)) => b.to_string().as_str().partial_cmp(literal.to_ascii_lowercase().as_str()),
        Some(Value::String(s)) => s.to_lowercase().partial_cmp(&literal.to_lowercase()),
        Some(_) => None,
    };
    let Some(order) = order else { return op == Comparison::Ne };
    match op {
        Comparison::Eq => order.is_eq(),
        Comparison::Ne => order.is_ne(),
        Comparison::Gt => order.is_gt(),
        Comparison::Ge => order.is_ge(),
        Comparison::Lt => order.is_lt(),
        Comparison::Le => order.is_le(),
    }
}

fn text_function(name: &str, args: &[String], lookup: &dyn Fn(&str) -> Option<Value>) -> Option<bool> {
    let name = name.to_ascii_lowercase();
    let (path, needle) = match (name.as_str(), args) {
        ("substringof", [needle, path]) => (path, needle),
        (_, [path, needle]) => (path, needle),
        _ => return None,
    };
    let Some(Value::String(text)) = lookup(path) else { return Some(false) };
    let (text, needle) = (text.to_lowercase(), needle.to_lowercase());
    match name.as_str() {
        "startswith" => Some(text.starts_with(&needle)),
        "endswith" => Some(text.ends_with(&needle)),
        "contains" | "substringof" => Some(text.contains(&needle)),
        _ => None,
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Open,
    Close,
    Comma,
}

fn tokenize(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(&c) = chars.peek() {
        match c {
            // A client that puts a URL together by hand writes a blank as '+'.
            blank if blank.is_whitespace() || blank == '+' => {
                chars.next();
            }
            '(' | ')' | ',' => {
                chars.next();
                tokens.push(match c {
                    '(' => Token::Open,
                    ')' => Token::Close,
                    _ => Token::Comma,
                });
            }
            '\'' => {
                chars.next();
                let mut literal = String::new();
                loop {
                    match chars.next() {
                        None => return Err("a text does not end".to_owned()),
                        Some('\'') if chars.peek() == Some(&'\'') => {
                            chars.next();
                            literal.push('\'');
                        }
                        Some('\'') => break,
                        Some(other) => literal.push(other),
                    }
                }
                tokens.push(Token::Text(literal));
            }
            _ => {
                let mut word = String::new();
                while let Some(&w) = chars.peek() {
                    if w.is_whitespace() || matches!(w, '(' | ')' | ',' | '\'') {
                        break;
                    }
                    word.push(w);
                    chars.next();
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    Ok(tokens)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn word_is(&self, word: &str) -> bool {
        matches!(self.tokens.get(self.at), Some(Token::Word(w)) if w.eq_ignore_ascii_case(word))
    }

    fn or(&mut self) -> Result<Filter, String> {
        let mut left = self.and()?;
        while self.word_is("or") {
            self.at += 1;
            left = Filter::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Filter, String> {
        let mut left = self.unary()?;
        while self.word_is("and") {
            self.at += 1;
            left = Filter::And(Box::new(left), Box::new(self.unary()?));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Filter, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("it is nested too deeply".to_owned());
        }
        let result = if self.word_is("not") {
            self.at += 1;
            Ok(Filter::Not(Box::new(self.unary()?)))
        } else if self.tokens.get(self.at) == Some(&Token::Open) {
            self.at += 1;
            let inner = self.or()?;
            self.expect(&Token::Close)?;
            Ok(inner)
        } else {
            self.term()
        };
        self.depth -= 1;
        result
    }

    fn term(&mut self) -> Result<Filter, String> {
        let Some(Token::Word(word)) = self.next() else { return Err("a property is missing".to_owned()) };
        if self.tokens.get(self.at) == Some(&Token::Open) {
            self.at += 1;
            return self.call(word);
        }
        let op = match self.next() {
            Some(Token::Word(op)) => match op.to_ascii_lowercase().as_str() {
                "eq" => Comparison::Eq,
                "ne" => Comparison::Ne,
                "gt" => Comparison::Gt,
                "ge" => Comparison::Ge,
                "lt" => Comparison::Lt,
                "le" => Comparison::Le,
                _ => return Err(format!("'{op}' is no operator")),
            },
            _ => return Err(format!("an operator is missing after '{word}'")),
        };
        Ok(Filter::Compare(word, op, self.literal()?))
    }

    fn call(&mut self, name: String) -> Result<Filter, String> {
        if let Some(path) = name.strip_suffix("/any") {
            // any(c:c eq 'x') — the tokenizer keeps `c:c` together.
            let (Some(Token::Word(_)), Some(Token::Word(eq))) = (self.next(), self.next()) else {
                return Err("any() is not understood".to_owned());
            };
            if !eq.eq_ignore_ascii_case("eq") {
                return Err("any() takes eq".to_owned());
            }
            let literal = self.literal()?;
            self.expect(&Token::Close)?;
            return Ok(Filter::Any(path.to_owned(), literal));
        }
        let mut args = Vec::new();
        if self.tokens.get(self.at) != Some(&Token::Close) {
            loop {
                args.push(self.literal()?);
                if self.tokens.get(self.at) != Some(&Token::Comma) {
                    break;
                }
                self.at += 1;
            }
        }
        self.expect(&Token::Close)?;
        Ok(Filter::Function(name, args))
    }

    fn literal(&mut self) -> Result<String, String> {
        match self.next() {
            Some(Token::Text(t) | Token::Word(t)) => Ok(t),
            _ => Err("a value is missing".to_owned()),
        }
    }

    fn expect(&mut self, token: &Token) -> Result<(), String> {
        if self.next().as_ref() == Some(token) { Ok(()) } else { Err("a parenthesis is missing".to_owned()) }
    }
}

/// Looks a dotted or slashed path up in a JSON value, ignoring the case of names.
pub fn lookup(value: &Value, path: &str) -> Option<Value> {
    let mut at = value;
    for part in path.split(['/', '.']) {
        at = at.as_object()?.iter().find(|(k, _)| k.eq_ignore_ascii_case(part)).map(|(_, v)| v)?;
    }
    Some(at.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn holds(filter: &str, value: &Value) -> bool {
        Filter::parse(filter).unwrap().matches(&|p| lookup(value, p))
    }

    #[test]
    fn filters_that_stock_clients_send_select_what_they_mean() {
        let v = json!({"roleName": "Reader", "names": ["a", "ID"], "n": 5, "displayName": "Robot's", "x": {"y": "Z"}});
        assert!(holds("roleName eq 'reader'", &v));
        assert!(!holds("roleName eq 'reader' and n gt 5", &v));
        assert!(holds("names/any(c:c eq 'id')", &v));
        assert!(holds("startswith(displayName,'robot''s')", &v));
        assert!(holds("not (n lt 5) and (x/y eq 'z' or n eq 1)", &v));
        assert!(!holds("absent eq 'x'", &v));
        let f = Filter::parse("eventTimestamp ge 2026-11-23T14:46:52.254928 and resourceGroupName eq 'rg1'")
            .unwrap();
        assert_eq!(f.bound("eventTimestamp", Comparison::Ge), Some("2026-11-23T14:46:52.254928"));
        assert_eq!(f.required("resourceGroupName"), Some("rg1"));
        assert!(Filter::parse("atScope()").unwrap().function("atscope").is_some());
        assert_eq!(
            Filter::parse("assignedTo('x')").unwrap().function("assignedTo"),
            Some(&["x".to_owned()][..])
        );
    }

    #[test]
    fn nonsense_is_a_clear_error() {
        for bad in
            ["", "a", "a eq", "a is 'b'", "(a eq 1", "a eq 'b", "a eq 1 b eq 2", "x/any(c:c ne 'a')", ")"]
        {
            assert_eq!(Filter::parse(bad).unwrap_err().code, "InvalidFilterInQueryString", "{bad}");
        }
        assert!(Filter::parse(&"(".repeat(100)).is_err());
    }

    #[test]
    fn every_kind_of_blank_is_one() {
        for blank in ["\u{a0}", "\u{b}", "\u{c}", "\u{2003}", "+"] {
            let parsed = Filter::parse(&["a", "eq", "'b'"].join(&format!(" {blank}"))).unwrap();
            assert_eq!(parsed, Filter::parse("a eq 'b'").unwrap(), "{blank:?}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "[a-z'(),/: ]{0,60}") { let _ = Filter::parse(&text); }
    }
}
