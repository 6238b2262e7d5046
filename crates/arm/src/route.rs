//! The route grammar: what a request path names (research 09 §2.1).
//!
//! Which of the two a path with an odd number of segments is, a collection or an action, depends on the method, so
//! the decision is left to the dispatcher; [`Route::Collection`] covers both.

use percent_encoding::percent_decode_str;

use crate::id::split_path;
use crate::{ArmError, Scope, TypeName};

/// What a path names.
#[derive(Debug, Clone, PartialEq)]
pub enum Route {
    /// One thing: a subscription, a group, a resource.
    Item(Scope),
    /// The things of one type in a scope (for a child type the scope is the parent resource), or a verb on it.
    Collection {
        /// Where.
        scope: Scope,
        /// Of what type; the last word may be an action's verb.
        type_name: TypeName,
    },
    /// A provider's description.
    Provider {
        /// The subscription or the tenant.
        scope: Scope,
        /// Which provider.
        namespace: String,
    },
    /// Words after a scope that belong to no provider: `locations`, `resources`, `providers`, `tenants`, ...
    Bare {
        /// Where.
        scope: Scope,
        /// The words as they were written, at least one.
        words: Vec<String>,
    },
}

impl Route {
    /// Parses a request path (still percent-encoded).
    ///
    /// # Errors
    /// 400 `InvalidRequestUri` when a segment is malformed; 404 when the path has no meaning.
    pub fn parse(path: &str) -> Result<Route, ArmError> {
        let bad =
            |why: String| ArmError::bad("InvalidRequestUri", format!("The request URI is not valid: {why}."));
        let mut decoded = String::with_capacity(path.len());
        for part in path.split('/').filter(|p| !p.is_empty()) {
            let text = percent_decode_str(part)
                .decode_utf8()
                .map_err(|_| bad("a segment is not UTF-8".to_owned()))?;
            if text.contains('/') {
                return Err(bad("a segment holds an encoded slash".to_owned()));
            }
            decoded.push('/');
            decoded.push_str(&text);
        }
        if decoded.is_empty() {
            decoded.push('/');
        }
        let segments = split_path(&decoded).map_err(|e| bad(e.to_string()))?;
        let lower: Vec<String> = segments.iter().map(|s| s.to_ascii_lowercase()).collect();
        let join = |parts: &[String]| parts.iter().fold(String::new(), |acc, s| acc + "/" + s);
        let not_found = || ArmError::new(404, "NotFound", format!("Nothing is served at '{decoded}'."));
        let parse = |parts: &[String]| {
            if parts.is_empty() { Ok(Scope::Tenant) } else { Scope::parse(&join(parts)) }
                .map_err(|e| bad(e.to_string()))
        };

        let Some(last) = lower.iter().rposition(|s| s == "providers") else {
            let base = match lower.first().map(String::as_str) {
                Some("subscriptions") if lower.len() == 1 => return bare(Scope::Tenant, &segments),
                Some("subscriptions") if lower.get(2).is_some_and(|s| s == "resourcegroups") => {
                    if lower.len() == 3 {
                        let type_name = TypeName::new("Microsoft.Resources", "resourceGroups");
                        return Ok(Route::Collection { scope: parse(&segments[..2])?, type_name });
                    }
                    4
                }
                Some("subscriptions") => 2,
                Some(_) => 0,
                None => return Err(not_found()),
            };
            let scope = parse(&segments[..base])?;
            return if segments.len() == base {
                Ok(Route::Item(scope))
            } else {
                bare(scope, &segments[base..])
            };
        };
        let scope_parts = &segments[..last];
        let tail = &segments[last + 1..];
        match tail.len() {
            0 => bare(parse(scope_parts)?, &segments[last..]),
            1 => Ok(Route::Provider { scope: parse(scope_parts)?, namespace: tail[0].clone() }),
            n if n % 2 == 1 => Ok(Route::Item(parse(&segments)?)),
            2 => Ok(Route::Collection {
                scope: parse(scope_parts)?,
                type_name: TypeName::new(tail[0].clone(), tail[1].clone()),
            }),
            n => {
                let parent = parse(&segments[..last + n])?;
                let mut type_name = parent.type_name();
                type_name.path = format!("{}/{}", type_name.path, tail[n - 1]);
                Ok(Route::Collection { scope: parent, type_name })
            }
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "keeps the call sites one line")]
fn bare(scope: Scope, words: &[String]) -> Result<Route, ArmError> {
    Ok(Route::Bare { scope, words: words.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: &str = "/subscriptions/33333333-3333-3333-3333-333333333333";

    #[test]
    fn paths_name_what_azure_says_they_name() {
        let route = |p: &str| Route::parse(p).unwrap();
        assert!(matches!(
            route(&format!("{S}/resourcegroups/rg1")),
            Route::Item(Scope::ResourceGroup { .. })
        ));
        assert!(matches!(route(&format!("{S}/resourceGroups/")), Route::Collection { .. }));
        assert!(matches!(route("/subscriptions"), Route::Bare { .. }));
        assert!(matches!(route(&format!("{S}/providers/Microsoft.Network")), Route::Provider { .. }));
        let Route::Collection { scope, type_name } = route(&format!(
            "{S}/resourceGroups/r/providers/Microsoft.Network/networkSecurityGroups/n/securityRules"
        )) else {
            panic!()
        };
        assert_eq!(scope.name(), "n");
        assert!(type_name.is("microsoft.network/networksecuritygroups/securityrules"));
        let Route::Bare { words, .. } = route(&format!("{S}//providers/")) else { panic!() };
        assert_eq!(words, ["providers"]);
        let Route::Item(id) = route(&format!("{S}/resourceGroups/r/providers/Microsoft.X/a/%E6%9D%B1%3Bb"))
        else {
            panic!()
        };
        assert_eq!(id.name(), "東;b");
    }

    #[test]
    fn encoded_tricks_are_refused() {
        for bad in ["%2e%2e", "a%2fb", "%00", "%ff", "a%5cb", "a%25b"] {
            assert!(Route::parse(&format!("{S}/resourceGroups/{bad}")).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(path in "(/[a-zA-Z0-9.%;~-]{0,9}){0,12}") {
            let _ = Route::parse(&path);
        }
    }
}
