//! The envelope every resource travels in: `id name type location tags etag` and the rest, in which unknown fields
//! survive a round trip.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::{ArmError, Scope, TypeName};

/// Deepest nesting a body may have; serde_json itself stops at 128.
pub const MAX_BODY_DEPTH: usize = 40;
/// Most tags a resource carries (ARM: 50).
pub const MAX_TAGS: usize = 50;

/// A resource as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// Its id, in the case the creator used.
    pub id: Scope,
    /// Its type, spelled as registered.
    pub type_name: TypeName,
    /// The site it is at, for types that have one.
    pub location: Option<String>,
    /// Tags; `None` when never given.
    pub tags: Option<Map<String, Value>>,
    /// Opaque version, changed by every write.
    pub etag: String,
    /// The place of the last write in the change feed.
    pub sequence: i64,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it was last written.
    pub changed_at: OffsetDateTime,
    /// Everything else of the body: `properties`, `sku`, `identity`, `kind`, and fields we do not know.
    pub rest: Map<String, Value>,
}

impl Resource {
    /// The `properties` object (empty when there is none).
    pub fn properties(&self) -> Map<String, Value> {
        self.rest.get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// The `properties` object, made when absent.
    pub fn properties_mut(&mut self) -> &mut Map<String, Value> {
        object_entry(&mut self.rest, "properties")
    }

    /// Reads `properties` as a typed struct.
    ///
    /// # Errors
    /// `InvalidRequestContent` with the offending path as target.
    pub fn typed<T: DeserializeOwned>(&self) -> Result<T, ArmError> {
        typed(&Value::Object(self.properties()), "properties")
    }

    /// The resource as ARM shows it.
    pub fn to_json(&self) -> Value {
        let mut out = Map::new();
        out.insert("id".into(), self.id.to_string().into());
        out.insert("name".into(), self.id.name().into());
        out.insert("type".into(), self.type_name.to_string().into());
        if let Some(location) = &self.location {
            out.insert("location".into(), location.clone().into());
        }
        if let Some(tags) = &self.tags {
            out.insert("tags".into(), Value::Object(tags.clone()));
        }
        if !self.etag.is_empty() {
            out.insert("etag".into(), self.etag.clone().into());
        }
        for (key, value) in &self.rest {
            out.insert(key.clone(), value.clone());
        }
        Value::Object(out)
    }
}

/// The object under `key`, made when it is absent or not an object.
pub fn object_entry<'a>(map: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let slot = map.entry(key.to_owned()).or_insert_with(|| Value::Object(Map::new()));
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    match slot {
        Value::Object(inner) => inner,
        _ => unreachable!("made an object above"),
    }
}

/// An instant as ARM writes it (RFC 3339).
pub fn instant(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

/// Reads a JSON value as a typed struct; `root` begins the error's target.
///
/// # Errors
/// `InvalidRequestContent` whose target is the path of the field that does not fit.
pub fn typed<T: DeserializeOwned>(value: &Value, root: &str) -> Result<T, ArmError> {
    serde_path_to_error::deserialize(value).map_err(|e| {
        let path = e.path().to_string();
        let target = if path == "." { root.to_owned() } else { format!("{root}.{path}") };
        ArmError::invalid_content(format!("The request content is not valid: {}.", e.inner())).target(target)
    })
}

/// A typed answer as the JSON that is sent.
///
/// # Errors
/// 500 when it cannot be written as JSON, which its type decides and no input.
pub fn shown<T: Serialize>(answer: &T) -> Result<Value, ArmError> {
    serde_json::to_value(answer).map_err(|_| ArmError::internal())
}

/// Puts the fields of a typed answer into an object.
///
/// # Errors
/// 500 when it is no object, which its type decides and no input.
pub fn add<T: Serialize>(map: &mut Map<String, Value>, fields: &T) -> Result<(), ArmError> {
    match shown(fields)? {
        Value::Object(fields) => map.extend(fields),
        _ => return Err(ArmError::internal()),
    }
    Ok(())
}

/// What a client may set of a resource.
#[derive(Debug, Clone, Default)]
pub struct Body {
    /// The `location` given.
    pub location: Option<String>,
    /// The `tags` given.
    pub tags: Option<Map<String, Value>>,
    /// Everything else but the fields that only the server sets.
    pub rest: Map<String, Value>,
}

impl Body {
    /// Takes a request body apart; server-owned fields (`id name type etag systemData`) are dropped, as clients send
    /// back what they read.
    ///
    /// # Errors
    /// When the body is not an object, is nested too deeply, or `location`/`tags` have the wrong shape.
    pub fn parse(value: Value) -> Result<Self, ArmError> {
        let Value::Object(mut map) = value else {
            return Err(ArmError::invalid_content(
                "The request content was invalid and could not be deserialized: a JSON object is expected.",
            ));
        };
        if depth(&map) > MAX_BODY_DEPTH {
            return Err(ArmError::invalid_content(format!(
                "The request content is nested more than {MAX_BODY_DEPTH} levels deep."
            )));
        }
        for owned in ["id", "name", "type", "etag", "systemData", crate::registry::SHOWN_ONCE] {
            map.remove(owned);
        }
        let location = match map.remove("location") {
            None | Some(Value::Null) => None,
            Some(Value::String(s)) if s.len() <= 90 && !s.chars().any(char::is_control) => Some(s),
            Some(_) => {
                return Err(ArmError::invalid_content("The location is not a text.").target("location"));
            }
        };
        let tags = match map.remove("tags") {
            None | Some(Value::Null) => None,
            Some(Value::Object(tags)) => Some(check_tags(tags)?),
            Some(_) => return Err(ArmError::invalid_content("The tags are not an object.").target("tags")),
        };
        if map.get("properties").is_some_and(|p| !p.is_object() && !p.is_null()) {
            return Err(ArmError::invalid_content("The properties are not an object.").target("properties"));
        }
        if map.get("properties").is_some_and(Value::is_null) {
            map.remove("properties");
        }
        if let Some(Value::Object(properties)) = map.get_mut("properties") {
            properties.remove("provisioningState");
        }
        Ok(Self { location, tags, rest: map })
    }
}

/// Checks tags by ARM's limits: at most 50, names ≤ 512 without `<>%&\?/`, values ≤ 256 characters.
///
/// # Errors
/// `InvalidTagName`, `InvalidTagValue` or `TooManyTags`.
pub fn check_tags(tags: Map<String, Value>) -> Result<Map<String, Value>, ArmError> {
    if tags.len() > MAX_TAGS {
        return Err(
            ArmError::bad("TooManyTags", format!("A resource has at most {MAX_TAGS} tags.")).target("tags")
        );
    }
    for (name, value) in &tags {
        let target = format!("tags.{name}");
        let forbidden = |c: char| c.is_control() || "<>%&\\?/".contains(c);
        if name.is_empty() || name.chars().count() > 512 || name.chars().any(forbidden) {
            let text = "A tag name has 1 to 512 characters and none of <>%&\\?/.";
            return Err(ArmError::bad("InvalidTagName", text).target(target));
        }
        match value {
            Value::String(v) if v.chars().count() <= 256 => {}
            Value::String(_) => {
                let text = "A tag value has at most 256 characters.";
                return Err(ArmError::bad("InvalidTagValue", text).target(target));
            }
            _ => return Err(ArmError::invalid_content("A tag value is a text.").target(target)),
        }
    }
    Ok(tags)
}

fn depth(map: &Map<String, Value>) -> usize {
    fn of(value: &Value) -> usize {
        match value {
            Value::Object(m) => 1 + m.values().map(of).max().unwrap_or(0),
            Value::Array(a) => 1 + a.iter().map(of).max().unwrap_or(0),
            _ => 0,
        }
    }
    1 + map.values().map(of).max().unwrap_or(0)
}

/// Applies a JSON merge patch (RFC 7396).
pub fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(map) = target {
        for (key, change) in changes {
            if change.is_null() {
                map.remove(key);
            } else {
                merge_patch(map.entry(key.clone()).or_insert(Value::Null), change);
            }
        }
    }
}

/// The smallest merge patch that turns `from` into `to`, or `None` when they are equal.
pub fn diff_patch(from: &Value, to: &Value) -> Option<Value> {
    match (from, to) {
        (Value::Object(a), Value::Object(b)) => {
            let mut patch = Map::new();
            for key in a.keys().filter(|k| !b.contains_key(*k)) {
                patch.insert(key.clone(), Value::Null);
            }
            for (key, new) in b {
                let change = match a.get(key) {
                    Some(old) => diff_patch(old, new),
                    None => Some(new.clone()),
                };
                if let Some(change) = change {
                    patch.insert(key.clone(), change);
                }
            }
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        _ if from == to => None,
        _ => Some(to.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn unknown_fields_survive_and_server_owned_ones_are_dropped() {
        let body = Body::parse(json!({
            "id": "/x", "name": "n", "type": "t", "etag": "e", "location": "home", "tags": {"a": "b"},
            "futureField": {"x": [1]}, "properties": {"provisioningState": "Failed", "later": true}
        }))
        .unwrap();
        assert_eq!(
            Value::Object(body.rest),
            json!({"futureField": {"x": [1]}, "properties": {"later": true}})
        );
    }

    #[test]
    fn bodies_that_are_not_objects_or_too_deep_are_refused() {
        let mut deep = json!({});
        for _ in 0..60 {
            deep = json!({ "a": deep });
        }
        for bad in [
            json!([]),
            json!("x"),
            json!({"tags": 1}),
            json!({"tags": {"a": 1}}),
            json!({"location": {}}),
            deep,
        ] {
            assert!(Body::parse(bad.clone()).is_err(), "{bad}");
        }
    }

    fn objects() -> impl Strategy<Value = Value> {
        // Null has no place in a document that merge patches travel between: RFC 7396 reads it as removal.
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-c]{0,3}".prop_map(Value::from)
        ];
        let tree = leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-d]", inner, 0..4)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[a-d]", tree, 0..4).prop_map(|m| Value::Object(m.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn a_difference_applied_as_a_merge_patch_gives_the_new_document(a in objects(), b in objects()) {
            let mut patched = a.clone();
            if let Some(patch) = diff_patch(&a, &b) { merge_patch(&mut patched, &patch); }
            prop_assert_eq!(patched, b);
        }
    }
}
