//! Tags at any scope: `{scope}/providers/Microsoft.Resources/tags/default`.

use std::collections::BTreeMap;

use http::Method;
use schemars::JsonSchema;
use sekisho_arm::registry::{Registry, Storage};
use sekisho_arm::resource::check_tags;
use sekisho_arm::{ArmError, Listing, Read, Resource, Scope, Write};
use serde::Serialize;
use serde_json::{Map, Value};

use super::core::Total;
use crate::routes::List;

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
    if let Some(kind) = registry.get(&target.type_name())
        && kind.spec().storage != Storage::Row
    {
        return Err(ArmError::bad("TagsNotSupported", "This type has no tags."));
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
    let new = match (method == Method::PATCH, operation.as_str()) {
        (true, "merge") => old.into_iter().chain(given).collect(),
        (true, "delete") => old.into_iter().filter(|(k, v)| given.get(k) != Some(v)).collect(),
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

/// `GET S/tagNames`.
///
/// # Errors
/// Those of the database.
pub async fn names(read: &mut (dyn Read + '_), scope: &Scope) -> Result<List<TagName>, ArmError> {
    let all =
        read.list(&Listing { scope: scope.clone(), type_name: None, after: None, limit: usize::MAX }).await?;
    let mut names: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for (name, value) in all.into_iter().filter_map(|r| r.tags).flatten() {
        *names.entry(name).or_default().entry(value.as_str().unwrap_or_default().to_owned()).or_default() +=
            1;
    }
    let value = names.into_iter().map(|(tag_name, values)| {
        let id = format!("{scope}/tagNames/{tag_name}");
        TagName {
            count: Total::of(values.values().sum()),
            values: values
                .into_iter()
                .map(|(tag_value, n)| TagValue {
                    id: format!("{id}/tagValues/{tag_value}"),
                    tag_value,
                    count: Total::of(n),
                })
                .collect(),
            id,
            tag_name,
        }
    });
    Ok(List { value: value.collect() })
}

/// A tag that resources carry, with its values.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TagName {
    id: String,
    tag_name: String,
    count: Total,
    values: Vec<TagValue>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct TagValue {
    id: String,
    tag_value: String,
    count: Total,
}
