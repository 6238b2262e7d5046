//! Resource ids and request paths.

use std::collections::HashSet;

use sekisho_arm::id::{MAX_ID_BYTES, ResourceId};
use sekisho_arm::route::Route;
use sekisho_arm::{Scope, TypeName};

/// An id that parses prints to one canonical text, names the same thing in any case, and lies in each of its parents;
/// a request path only ever names things whose ids parse.
pub fn id(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(scope) = Scope::parse(text) {
        canonical(&scope);
        assert!(scope.to_string().len() <= text.len().max(1), "an id grows when it is printed");
        let upper = Scope::parse(&text.to_ascii_uppercase()).expect("case decides whether an id is one");
        assert_eq!(upper, scope);
        assert_eq!(HashSet::from([upper, scope.clone()]).len(), 1, "equal ids with different hashes");
    }
    match Route::parse(text) {
        Ok(Route::Item(scope)) => canonical(&scope),
        Ok(Route::Collection { scope, type_name }) => {
            canonical(&scope);
            assert!(type_name.is(&type_name.to_string()) || type_name.namespace.contains('/'), "{type_name}");
        }
        Ok(Route::Provider { scope, namespace }) => {
            canonical(&scope);
            assert!(!namespace.is_empty() && !namespace.contains('/'));
        }
        Ok(Route::Bare { scope, words }) => {
            canonical(&scope);
            assert!(!words.is_empty() && words.iter().all(|w| !w.contains(['/', '\0'])));
        }
        Err(error) => assert!(matches!(error.status, 400 | 404), "{error:?}"),
    }
}

fn canonical(scope: &Scope) {
    let text = scope.to_string();
    assert!(text.len() <= MAX_ID_BYTES && text.starts_with('/'));
    assert!(!text.contains(['\\', '?', '#', '%', '\0', '\n']) && !text.contains("/../"), "{text:?}");
    assert_same(scope, &Scope::parse(&text).expect("a printed id does not parse"));
    let key = scope.key();
    assert_eq!(Scope::parse(&key).expect("a key does not parse").key(), key);
    let json = serde_json::to_string(scope).unwrap();
    assert_same(scope, &serde_json::from_str(&json).unwrap());
    if let Some(guid) = scope.subscription() {
        assert_eq!(guid.len(), 36, "two spellings of one subscription");
    }
    if let Scope::Resource(id) = scope {
        let chain: Vec<(&str, &str)> = id.chain().iter().map(|(t, n)| (t.as_str(), n.as_str())).collect();
        let again = ResourceId::new(id.base_scope().clone(), id.namespace(), &chain).unwrap();
        assert_same(scope, &again.into());
        let name = id.type_name();
        assert_eq!(name, TypeName::new(name.namespace.to_ascii_uppercase(), name.path.to_ascii_lowercase()));
    }
    // Every parent is what its own text says, and the way up ends.
    let (mut at, mut steps) = (scope.clone(), 0);
    while let Some(parent) = at.parent() {
        assert!(parent.contains(scope) && parent != at, "{parent} is no parent of {at}");
        assert_same(&parent, &Scope::parse(&parent.to_string()).expect("a parent's id does not parse"));
        steps += 1;
        assert!(steps <= MAX_ID_BYTES);
        at = parent;
    }
    assert_eq!(at, Scope::Tenant);
}

/// Equal down to the kind of thing, which equality of scopes does not look at.
fn assert_same(a: &Scope, b: &Scope) {
    assert_eq!(format!("{a:?}"), format!("{b:?}"));
}
