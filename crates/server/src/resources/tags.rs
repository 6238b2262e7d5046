//! Tags at any scope: `{scope}/providers/Microsoft.Resources/tags/default`.

use std::collections::BTreeMap;

use http::Method;
use schemars::JsonSchema;
use sekisho_arm::registry::Registry;
use sekisho_arm::resource::check_tags;
use sekisho_arm::{ArmError, Read, Resource, Scope, Write};
use serde::Serialize;
use serde_json::{Map, Value};

/// What the tags in `.../Microsoft.Resources/tags/default` belong to.
pub fn target(scope: &Scope) -> Option<Scope> {
    let id = scope.resource()?;
    (id.type_name().is("Microsoft.Resources/tags") && id.name().eq_ignore_ascii_case("default"))
        .then(|| id.base_scope().clone())
}

/// The tags of a scope.
#[derive(Serialize, JsonSchema)]
pub struct ScopeTags {
    id: String,
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    properties: ScopeTagsProperties,
}

#[derive(Serialize, JsonSchema)]
struct ScopeTagsProperties {
    #[schemars(with = "BTreeMap<String, String>")]
    tags: Map<String, Value>,
}

/// How tags are changed.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used: every mistake has an answer of its own")]
pub struct TagsChange {
    /// Only of a PATCH: `Merge`, `Replace` (the default) or `Delete`.
    operation: Option<String>,
    properties: ScopeTagsProperties,
}

fn body(target: &Scope, tags: Map<String, Value>) -> ScopeTags {
    let prefix = if *target == Scope::Tenant { String::new() } else { target.to_string() };
    ScopeTags {
        id: format!("{prefix}/providers/Microsoft.Resources/tags/default"),
        name: "default",
        kind: "Microsoft.Resources/tags",
        properties: ScopeTagsProperties { tags },
    }
}

async fn load(registry: &Registry, read: &mut (dyn Read + '_), target: &Scope) -> Result<Resource, ArmError> {
    // What is tracked has a location; of what is not, only subscriptions have tags.
    let tracked = registry.get(&target.type_name()).is_some_and(|kind| kind.spec().location);
    if !tracked && !matches!(target, Scope::Subscription(_)) {
        let text = format!("Resources of type '{}' have no tags.", target.type_name());
        return Err(ArmError::bad("TagsNotSupported", text));
    }
    read.get(target).await?.ok_or_else(|| ArmError::not_found(target))
}

/// GET.
///
/// # Errors
/// 404 when the target does not exist.
pub async fn get(
    registry: &Registry,
    read: &mut (dyn Read + '_),
    target: &Scope,
) -> Result<ScopeTags, ArmError> {
    Ok(body(target, load(registry, read, target).await?.tags.unwrap_or_default()))
}

/// PUT replaces all, PATCH merges, replaces or deletes by `operation`, DELETE removes all.
///
/// # Errors
/// 400 for tags or an operation that are not valid; 404 when the target does not exist.
pub async fn change(
    registry: &Registry,
    tx: &mut (dyn Write + '_),
    target: &Scope,
    method: &Method,
    request: Value,
) -> Result<ScopeTags, ArmError> {
    let mut resource = load(registry, tx.as_read(), target).await?;
    let old = resource.tags.take().unwrap_or_default();
    let given = match request.pointer("/properties/tags") {
        Some(Value::Object(tags)) => check_tags(tags.clone()).map_err(|e| e.under("properties"))?,
        None | Some(Value::Null) if *method == Method::DELETE => Map::new(),
        _ => return Err(ArmError::invalid_content("The tags are missing.").target("properties.tags")),
    };
    let operation = request["operation"].as_str().unwrap_or("Replace").to_ascii_lowercase();
    // Names are the same in any case, values are not.
    let same = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
    let new = match (*method == Method::PATCH, operation.as_str()) {
        (true, "merge") => {
            let others = old.into_iter().filter(|(k, _)| !given.keys().any(|g| same(g, k)));
            others.chain(given.clone()).collect()
        }
        (true, "delete") => {
            let named = |k: &str, v: &Value| given.iter().any(|(g, w)| same(g, k) && w == v);
            old.into_iter().filter(|(k, v)| !named(k, v)).collect()
        }
        (true, "replace") | (false, _) => given,
        (true, other) => {
            let text = format!("The operation '{other}' is not Merge, Replace or Delete.");
            return Err(ArmError::bad("InvalidTagsPatchOperation", text).target("operation"));
        }
    };
    resource.tags = Some(check_tags(new)?);
    resource.etag = String::new();
    let kept = tx.put(resource).await?;
    Ok(body(target, kept.tags.unwrap_or_default()))
}
