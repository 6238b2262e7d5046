//! Tags at any scope: `{scope}/providers/Microsoft.Resources/tags/default`.

use http::Method;
use sekisho_arm::registry::{Registry, Storage};
use sekisho_arm::resource::check_tags;
use sekisho_arm::{ArmError, Listing, Read, Resource, Scope, Write};
use serde_json::{Map, Value, json};

/// What the tags in `.../Microsoft.Resources/tags/default` belong to.
pub fn target(scope: &Scope) -> Option<Scope> {
    let id = scope.resource()?;
    (id.type_name().is("Microsoft.Resources/tags") && id.name().eq_ignore_ascii_case("default"))
        .then(|| id.base_scope().clone())
}

fn body(target: &Scope, tags: Map<String, Value>) -> Value {
    let prefix = if *target == Scope::Tenant { String::new() } else { target.to_string() };
    json!({
        "id": format!("{prefix}/providers/Microsoft.Resources/tags/default"), "name": "default",
        "type": "Microsoft.Resources/tags", "properties": {"tags": tags},
    })
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
pub async fn get(registry: &Registry, read: &mut (dyn Read + '_), target: &Scope) -> Result<Value, ArmError> {
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
) -> Result<Value, ArmError> {
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
pub async fn names(read: &mut (dyn Read + '_), scope: &Scope) -> Result<Value, ArmError> {
    let all =
        read.list(&Listing { scope: scope.clone(), type_name: None, after: None, limit: usize::MAX }).await?;
    let mut names: std::collections::BTreeMap<String, std::collections::BTreeMap<String, usize>> =
        Default::default();
    for (name, value) in all.into_iter().filter_map(|r| r.tags).flatten() {
        *names.entry(name).or_default().entry(value.as_str().unwrap_or_default().to_owned()).or_default() +=
            1;
    }
    let value: Vec<Value> = names
        .into_iter()
        .map(|(name, values)| {
            let id = format!("{scope}/tagNames/{name}");
            let total: usize = values.values().sum();
            let list: Vec<Value> = values
                .into_iter()
                .map(|(v, n)| json!({"id": format!("{id}/tagValues/{v}"), "tagValue": v, "count": {"type": "Total", "value": n}}))
                .collect();
            json!({"id": id, "tagName": name, "count": {"type": "Total", "value": total}, "values": list})
        })
        .collect();
    Ok(json!({ "value": value }))
}
