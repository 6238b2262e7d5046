//! The generic verbs over any registered type, inside a transaction that the caller opened and authorised.
//!
//! Nothing here knows HTTP framing or rights: input is a target and a JSON value, output an [`Answer`].

use serde_json::{Map, Value};

use crate::operation::Operation;
use crate::registry::{ActionStyle, Call, PutStyle, Registry, ResourceType, SHOWN_ONCE, ScopeKind, Storage};
use crate::resource::{merge_patch, object_entry};
use crate::{ArmError, Body, Listing, Read, Resource, Scope, TypeName, Write};

/// What to answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, if any.
    pub body: Option<Value>,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
}

impl Answer {
    /// An answer with a body.
    pub fn json(status: u16, body: Value) -> Self {
        Self { status, body: Some(body), headers: Vec::new() }
    }

    /// An answer without a body.
    pub fn empty(status: u16) -> Self {
        Self { status, body: None, headers: Vec::new() }
    }
}

/// The conditions of a write (RFC 9110 §13, research 09 §2.3).
#[derive(Debug, Clone, Default)]
pub struct Preconditions {
    /// `If-Match`.
    pub if_match: Option<String>,
    /// `If-None-Match`.
    pub if_none_match: Option<String>,
}

impl Preconditions {
    fn check(&self, current: Option<&str>) -> Result<(), ArmError> {
        let bare = |tag: &str| tag.trim().trim_start_matches("W/").trim_matches('"').to_owned();
        let holds = |list: &str, current: &str| {
            list.trim() == "*" || list.split(',').any(|tag| bare(tag) == bare(current))
        };
        let failed = match (&self.if_match, &self.if_none_match, current) {
            (Some(list), _, Some(etag)) => !holds(list, etag),
            (Some(_), _, None) => true,
            (None, Some(list), Some(etag)) => holds(list, etag),
            (None, _, _) => false,
        };
        if failed { Err(ArmError::precondition()) } else { Ok(()) }
    }
}

fn new_etag() -> String {
    format!("W/\"{}\"", uuid::Uuid::new_v4())
}

/// Reads one resource, wherever it is kept.
///
/// # Errors
/// Those of the database.
pub async fn load(
    registry: &Registry,
    read: &mut (dyn Read + '_),
    id: &Scope,
) -> Result<Option<Resource>, ArmError> {
    let Some(kind) = registry.get(&id.type_name()) else { return Ok(None) };
    match kind.spec().storage {
        Storage::Row => match read.get(&kind.stored_id(id)).await? {
            Some(kept) => Ok(Some(kept)),
            None => kind.built_in(as_dyn(read), id).await,
        },
        Storage::Embedded { property, .. } => {
            let Some(parent_id) = id.parent() else { return Ok(None) };
            let Some(parent) = read.get(&parent_id).await? else { return Ok(None) };
            Ok(child_of(&parent, kind.as_ref(), property, id.name()))
        }
        Storage::Computed => Ok(None),
    }
}

/// GET of an item.
///
/// # Errors
/// 404 in Azure's words when it or what contains it does not exist.
pub async fn get(
    registry: &Registry,
    read: &mut (dyn Read + '_),
    call: &Call,
    id: &Scope,
) -> Result<Answer, ArmError> {
    let kind = registry.find(&id.type_name(), &call.api_version)?;
    if kind.spec().storage == Storage::Computed {
        let scope = id.parent().unwrap_or(Scope::Tenant);
        return Ok(Answer::json(200, kind.computed(as_dyn(read), call, &scope, Some(id.name())).await?));
    }
    match load(registry, read, id).await? {
        Some(resource) => {
            let resource = kind.seen_from(resource, id);
            let etag = resource.etag.clone();
            let mut answer = Answer::json(200, show(registry, read, call, &resource).await?);
            if kind.spec().shows_etag {
                answer.headers.push(("etag", etag));
            }
            Ok(answer)
        }
        None => Err(missing(read, id).await?),
    }
}

/// The error for a thing that is not there: the outermost container that is missing names itself.
async fn missing(read: &mut (dyn Read + '_), id: &Scope) -> Result<ArmError, ArmError> {
    if let Some(subscription) = id.subscription_scope()
        && read.get(&subscription).await?.is_none()
    {
        return Ok(ArmError::not_found(&subscription));
    }
    if let Some(group) = id.group_scope()
        && read.get(&group).await?.is_none()
    {
        return Ok(ArmError::not_found(&group));
    }
    Ok(ArmError::not_found(id))
}

/// The page of a collection: ids and shown bodies, and the key to continue after.
#[derive(Debug)]
pub struct Page {
    /// The items, in id order.
    pub items: Vec<(Scope, Value)>,
    /// Continue after this key.
    pub next: Option<String>,
}

/// Lists the resources of a type in a scope. `keep` says which ids the caller may see.
///
/// # Errors
/// 404 when the parent resource of a child type does not exist.
pub async fn list(
    registry: &Registry,
    read: &mut (dyn Read + '_),
    call: &Call,
    scope: &Scope,
    type_name: &TypeName,
    page: (Option<String>, usize),
    keep: &(dyn Fn(&Scope) -> bool + Sync),
) -> Result<Page, ArmError> {
    let kind = registry.find(type_name, &call.api_version)?;
    if let Storage::Embedded { property, .. } = kind.spec().storage {
        let Some(parent) = load(registry, read, scope).await? else {
            return Err(missing(read, scope).await?);
        };
        let mut items = Vec::new();
        for name in child_names(&parent, property) {
            if let Some(child) = child_of(&parent, kind.as_ref(), property, &name)
                && keep(&child.id)
            {
                items.push((child.id.clone(), show(registry, read, call, &child).await?));
            }
        }
        return Ok(Page { items, next: None });
    }
    if !exists(registry, read, scope).await? {
        return Err(missing(read, scope).await?);
    }
    if let Some(all) = kind.collection(as_dyn(read), call, scope).await? {
        let seen = all.into_iter().map(|resource| kind.seen_from(resource, scope));
        let kept: Vec<Resource> = seen.filter(|resource| keep(&resource.id)).collect();
        let bodies = kind.present_all(as_dyn(read), call, &kept).await?;
        let mut items = Vec::with_capacity(kept.len());
        for (resource, body) in kept.into_iter().zip(bodies) {
            let shown = with_children(registry, read, call, &resource, body).await?;
            items.push((resource.id, shown));
        }
        return Ok(Page { items, next: None });
    }
    let (mut after, limit) = page;
    let mut kept: Vec<Resource> = Vec::new();
    let next = 'pages: loop {
        let batch = limit.saturating_sub(kept.len()).saturating_add(1);
        let listing = Listing { after, limit: batch, ..Listing::of(scope, type_name) };
        let rows = read.list(&listing).await?;
        let ended = rows.len() < batch;
        after = rows.last().map(|r| r.id.key());
        for row in rows {
            // Invisible rows are passed over rather than counted, so that a page's end tells nothing about them.
            let belongs = !matches!(scope, Scope::Resource(_)) || row.id.parent().as_ref() == Some(scope);
            if !belongs || !keep(&row.id) {
                continue;
            }
            if kept.len() == limit {
                break 'pages kept.last().map(|r| r.id.key());
            }
            kept.push(row);
        }
        if ended {
            break None;
        }
    };
    let bodies = kind.present_all(as_dyn(read), call, &kept).await?;
    let mut items = Vec::with_capacity(kept.len());
    for (resource, body) in kept.into_iter().zip(bodies) {
        let shown = with_children(registry, read, call, &resource, body).await?;
        items.push((resource.id, shown));
    }
    Ok(Page { items, next })
}

/// PUT of an item.
///
/// # Errors
/// Whatever the type refuses; 404 when the parent or group is missing; 412 when a precondition does not hold.
pub async fn put(
    registry: &Registry,
    tx: &mut (dyn Write + '_),
    call: &Call,
    id: &Scope,
    body: Value,
    pre: &Preconditions,
) -> Result<Answer, ArmError> {
    let kind = registry.find(&id.type_name(), &call.api_version)?.clone();
    let spec = kind.spec();
    let asked = id;
    let id = spelled(&kind.stored_id(id), &spec.name());
    check_place(registry, tx.as_read(), asked, kind.as_ref()).await?;
    let body = Body::parse(body)?;
    let old = load(registry, tx.as_read(), &id).await?;
    pre.check(old.as_ref().map(|o| o.etag.as_str()))?;
    match (spec.put, spec.storage) {
        (PutStyle::Refused, _) | (_, Storage::Computed) => {
            return Err(ArmError::method_not_allowed("PUT", &spec.name().to_string()));
        }
        (PutStyle::UpdateOnly, _) if old.is_none() => {
            return Err(ArmError::bad(
                "OperationNotAllowed",
                format!(
                    "'{}' resources are made by machines that join, not by clients. Create an enrolment token and run \
                     'sekisho-agent join' on the machine.",
                    spec.name()
                ),
            ));
        }
        _ => {}
    }
    let location = match (body.location, spec.location, &old) {
        (Some(l), true, _) => Some(normal_location(&l)),
        (None, true, Some(o)) => o.location.clone(),
        (None, true, None) => {
            let text = "The location property is required for this definition.";
            return Err(ArmError::bad("LocationRequired", text).target("location"));
        }
        (_, false, _) => None,
    };
    let now = tx.now();
    let mut draft = Resource {
        id: old.as_ref().map_or(id, |o| o.id.clone()),
        type_name: spec.name(),
        location,
        tags: body.tags,
        etag: new_etag(),
        sequence: 0,
        created_at: old.as_ref().map_or(now, |o| o.created_at),
        changed_at: now,
        rest: body.rest,
    };
    prepare_children(registry, tx, call, &mut draft, old.as_ref()).await?;
    kind.prepare(as_dyn_write(tx), call, &mut draft, old.as_ref()).await?;
    let once = draft.rest.remove(SHOWN_ONCE);
    let kept = keep(registry, tx, call, kind.as_ref(), draft).await?;
    kind.written(as_dyn_write(tx), call, &kept).await?;
    let status = match (spec.put, &old) {
        (PutStyle::AlwaysCreated, _) | (PutStyle::Normal, None) => 201,
        _ => 200,
    };
    let seen = kind.seen_from(kept.clone(), asked);
    let mut shown = show(registry, tx.as_read(), call, &seen).await?;
    if let (Some(Value::Object(once)), Value::Object(body)) = (once, &mut shown) {
        object_entry(body, "properties").extend(once);
    }
    let mut answer = Answer::json(status, shown);
    if spec.shows_etag {
        answer.headers.push(("etag", kept.etag));
    }
    Ok(answer)
}

/// PATCH of an item: a JSON merge patch over what is kept, then the same as PUT.
///
/// # Errors
/// 404 when it does not exist; otherwise as [`put`].
pub async fn patch(
    registry: &Registry,
    tx: &mut (dyn Write + '_),
    call: &Call,
    id: &Scope,
    body: Value,
    pre: &Preconditions,
) -> Result<Answer, ArmError> {
    registry.find(&id.type_name(), &call.api_version)?;
    let Some(old) = load(registry, tx.as_read(), id).await? else {
        return Err(missing(tx.as_read(), id).await?);
    };
    if !body.is_object() {
        return Err(ArmError::invalid_content("The request content is not a JSON object."));
    }
    let mut merged = old.to_json();
    merge_patch(&mut merged, &body);
    // Tags are replaced as a whole, as every type of Azure's does on PATCH.
    if let (Some(tags), Some(merged)) = (body.get("tags"), merged.as_object_mut()) {
        merged.insert("tags".to_owned(), tags.clone());
    }
    let mut answer = put(registry, tx, call, id, merged, pre).await?;
    answer.status = 200;
    Ok(answer)
}

/// DELETE of an item.
///
/// # Errors
/// Whatever the type refuses; 412 when a precondition does not hold.
pub async fn delete(
    registry: &Registry,
    tx: &mut (dyn Write + '_),
    call: &Call,
    id: &Scope,
    pre: &Preconditions,
) -> Result<Answer, ArmError> {
    let kind = registry.find(&id.type_name(), &call.api_version)?.clone();
    let spec = kind.spec();
    if spec.storage == Storage::Computed {
        return Err(ArmError::method_not_allowed("DELETE", &spec.name().to_string()));
    }
    let Some(old) = load(registry, tx.as_read(), id).await? else {
        if let Some(group) = id.group_scope()
            && tx.get(&group).await?.is_none()
            && *id != group
        {
            return Err(ArmError::not_found(&group));
        }
        return Ok(Answer::empty(204));
    };
    pre.check(Some(&old.etag))?;
    kind.removing(as_dyn_write(tx), call, &old).await?;
    let removed = match kind.shows_removed() {
        true => {
            let seen = kind.seen_from(old.clone(), id);
            Some(show(registry, tx.as_read(), call, &seen).await?)
        }
        false => None,
    };
    match spec.storage {
        Storage::Embedded { property, .. } => {
            let Some(parent_id) = old.id.parent() else { return Err(ArmError::internal()) };
            let Some(mut parent) = tx.get(&parent_id).await? else { return Ok(Answer::empty(204)) };
            if let Some(Value::Array(items)) = parent.properties_mut().get_mut(property) {
                items.retain(|i| !named(i, old.id.name()));
            }
            parent.etag = new_etag();
            tx.put(parent).await?;
            tx.remove(&old.id).await?;
        }
        _ => {
            tx.remove(&old.id).await?;
        }
    }
    if kind.removal_is_long_running() {
        let who = &call.caller.object_id;
        let operation = Operation::completed(tx, &old.id, &spec.action("delete"), who, None).await?;
        return Ok(accepted(&operation, call));
    }
    Ok(removed.map_or_else(|| Answer::empty(200), |body| Answer::json(200, body)))
}

/// POST of an action on a resource.
///
/// # Errors
/// Whatever the type answers; 404 when the resource does not exist.
pub async fn act(
    registry: &Registry,
    tx: &mut (dyn Write + '_),
    call: &Call,
    id: &Scope,
    verb: &str,
    body: Value,
) -> Result<Answer, ArmError> {
    let kind = registry.find(&id.type_name(), &call.api_version)?.clone();
    let spec = kind.spec();
    let Some(action) = spec.actions.iter().find(|a| a.verb.eq_ignore_ascii_case(verb)) else {
        return Err(ArmError::method_not_allowed("POST", &format!("{}/{verb}", spec.name())));
    };
    let Some(target) = load(registry, tx.as_read(), id).await? else {
        return Err(missing(tx.as_read(), id).await?);
    };
    let result = kind.act(as_dyn_write(tx), call, &target, action.verb, body).await?;
    match action.style {
        ActionStyle::Sync => Ok(Answer::json(200, result)),
        ActionStyle::Accepted => Ok(Answer::json(202, result)),
        ActionStyle::LongRunning => {
            let name = spec.action(&format!("{}/action", action.verb));
            let operation =
                Operation::completed(tx, &target.id, &name, &call.caller.object_id, Some(result)).await?;
            Ok(accepted(&operation, call))
        }
    }
}

/// 202 with the headers that tell a client where to poll.
pub fn accepted(operation: &Operation, call: &Call) -> Answer {
    let (poll, location) = operation.urls(&call.base_url, &call.api_version.to_string());
    let mut answer = Answer::empty(202);
    answer.headers =
        vec![("azure-asyncoperation", poll), ("location", location), ("retry-after", "1".to_owned())];
    answer
}

/// The body of a resource as ARM shows it, children included.
///
/// # Errors
/// Those of the database.
pub async fn show(
    registry: &Registry,
    read: &mut (dyn Read + '_),
    call: &Call,
    resource: &Resource,
) -> Result<Value, ArmError> {
    let Some(kind) = registry.get(&resource.type_name) else { return Ok(resource.to_json()) };
    let body = kind.present(as_dyn(read), call, resource).await?;
    with_children(registry, read, call, resource, body).await
}

/// Adds the children that are kept inside of a resource to what is shown of it.
async fn with_children(
    registry: &Registry,
    read: &mut (dyn Read + '_),
    call: &Call,
    resource: &Resource,
    mut body: Value,
) -> Result<Value, ArmError> {
    for (child_kind, property, _) in registry.embedded(&resource.type_name) {
        let mut shown = Vec::new();
        for name in child_names(resource, property) {
            if let Some(child) = child_of(resource, child_kind.as_ref(), property, &name) {
                shown.push(child_kind.present(as_dyn(read), call, &child).await?);
            }
        }
        if let Value::Object(map) = &mut body {
            object_entry(map, "properties").insert(property.to_owned(), Value::Array(shown));
        }
    }
    Ok(body)
}

/// Whether what contains something is there. A location is a place and no resource: it is wherever its scope is.
async fn exists(registry: &Registry, read: &mut (dyn Read + '_), id: &Scope) -> Result<bool, ArmError> {
    let id = id.located().unwrap_or(id);
    Ok(*id == Scope::Tenant || load(registry, read, id).await?.is_some())
}

/// Checks that the type may live where the id says and that what contains it exists.
async fn check_place(
    registry: &Registry,
    read: &mut (dyn Read + '_),
    id: &Scope,
    kind: &(dyn ResourceType + '_),
) -> Result<(), ArmError> {
    let spec = kind.spec();
    let base = match id {
        Scope::Resource(r) => r.base_scope().clone(),
        other => other.parent().unwrap_or(Scope::Tenant),
    };
    if !spec.scopes.contains(&ScopeKind::of(&base)) {
        return Err(ArmError::bad(
            "InvalidResourceLocation",
            format!("Resources of type '{}' cannot live in the scope '{base}'.", spec.name()),
        ));
    }
    if let Some(parent) = id.parent()
        && !exists(registry, read, &parent).await?
    {
        let is_child = id.resource().is_some_and(|r| r.parent_resource().is_some());
        let error = missing(read, &parent).await?;
        return Err(if is_child && error.code == "ResourceNotFound" {
            ArmError::new(
                404,
                "ParentResourceNotFound",
                format!(
                    "Can not perform requested operation on nested resource. Parent resource '{}' not found.",
                    parent.name()
                ),
            )
        } else {
            error
        });
    }
    Ok(())
}

/// Puts the prepared draft where its type keeps it.
async fn keep(
    registry: &Registry,
    tx: &mut (dyn Write + '_),
    call: &Call,
    kind: &(dyn ResourceType + '_),
    draft: Resource,
) -> Result<Resource, ArmError> {
    let Storage::Embedded { property, .. } = kind.spec().storage else { return Ok(tx.put(draft).await?) };
    let parent_id = draft.id.parent().ok_or_else(ArmError::internal)?;
    let old_parent = tx.get(&parent_id).await?.ok_or_else(|| ArmError::not_found(&parent_id))?;
    let mut parent = old_parent.clone();
    let element = element_of(&draft);
    let slot = parent.properties_mut().entry(property.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(items) = slot {
        match items.iter_mut().find(|i| named(i, draft.id.name())) {
            Some(item) => *item = element,
            None => items.push(element),
        }
    }
    parent.etag = new_etag();
    let parent_kind = registry.find(&parent.type_name, &call.api_version)?.clone();
    parent_kind.prepare(as_dyn_write(tx), call, &mut parent, Some(&old_parent)).await?;
    let kept = tx.put(parent).await?;
    child_of(&kept, kind, property, draft.id.name()).ok_or_else(ArmError::internal)
}

/// Checks and normalises the children that a parent's PUT carries.
async fn prepare_children(
    registry: &Registry,
    tx: &mut (dyn Write + '_),
    call: &Call,
    draft: &mut Resource,
    old: Option<&Resource>,
) -> Result<(), ArmError> {
    for (kind, property, keep_when_absent) in registry.embedded(&draft.type_name) {
        let kind = kind.clone();
        let given = match draft.properties_mut().remove(property) {
            Some(Value::Array(items)) => items,
            None | Some(Value::Null) if keep_when_absent => {
                if let Some(items) = old.and_then(|o| o.properties().remove(property)) {
                    draft.properties_mut().insert(property.to_owned(), items);
                    continue;
                }
                Vec::new()
            }
            None | Some(Value::Null) => Vec::new(),
            Some(_) => {
                let text = format!("The property '{property}' is not an array.");
                return Err(ArmError::invalid_content(text).target(format!("properties.{property}")));
            }
        };
        let mut elements: Vec<Value> = Vec::with_capacity(given.len());
        for (index, item) in given.into_iter().enumerate() {
            let at = format!("properties.{property}[{index}]");
            let name = item.get("name").and_then(Value::as_str).unwrap_or("").to_owned();
            let id = child_id(&draft.id, kind.as_ref(), &name).map_err(|_| {
                ArmError::invalid_content("The name is missing or not valid.").target(format!("{at}.name"))
            })?;
            if elements.iter().any(|e| named(e, &name)) {
                let text = format!("The name '{name}' is used more than once.");
                return Err(ArmError::invalid_content(text).target(format!("{at}.name")));
            }
            let before = old.and_then(|o| child_of(o, kind.as_ref(), property, &name));
            let body = Body::parse(item).map_err(|e| e.under(&at))?;
            let mut child = Resource { id, rest: body.rest, etag: new_etag(), ..blank(draft, kind.as_ref()) };
            kind.prepare(as_dyn_write(tx), call, &mut child, before.as_ref())
                .await
                .map_err(|e| e.under(&at))?;
            if let Some(before) = before.filter(|b| b.rest == child.rest) {
                child.etag = before.etag;
            }
            elements.push(element_of(&child));
        }
        // What hangs on a child that is gone, such as rights and locks, must not meet a later one of the same name.
        for gone in old.map(|o| child_names(o, property)).unwrap_or_default() {
            if !elements.iter().any(|e| named(e, &gone)) {
                tx.remove(&child_id(&draft.id, kind.as_ref(), &gone)?).await?;
            }
        }
        draft.properties_mut().insert(property.to_owned(), Value::Array(elements));
    }
    Ok(())
}

fn blank(parent: &Resource, kind: &(dyn ResourceType + '_)) -> Resource {
    Resource {
        id: parent.id.clone(),
        type_name: kind.spec().name(),
        location: None,
        tags: None,
        etag: String::new(),
        sequence: parent.sequence,
        created_at: parent.created_at,
        changed_at: parent.changed_at,
        rest: Map::new(),
    }
}

fn child_id(parent: &Scope, kind: &(dyn ResourceType + '_), name: &str) -> Result<Scope, ArmError> {
    let last = kind.spec().path.rsplit('/').next().unwrap_or_default();
    let id = parent.resource().ok_or_else(ArmError::internal)?;
    id.child(last, name).map(Scope::from).map_err(|e| ArmError::invalid_content(format!("{e}.")))
}

fn child_names(parent: &Resource, property: &str) -> Vec<String> {
    let items = parent.rest.get("properties").and_then(|p| p.get(property)).and_then(Value::as_array);
    items
        .map(|items| items.iter().filter_map(|i| i.get("name")?.as_str().map(str::to_owned)).collect())
        .unwrap_or_default()
}

/// A child as a resource, made from its element in the parent.
pub fn child_of(
    parent: &Resource,
    kind: &(dyn ResourceType + '_),
    property: &str,
    name: &str,
) -> Option<Resource> {
    let items = parent.rest.get("properties")?.get(property)?.as_array()?;
    let Value::Object(mut element) = items.iter().find(|i| named(i, name))?.clone() else { return None };
    let name = element.remove("name")?.as_str()?.to_owned();
    let etag = element.remove("etag").and_then(|e| e.as_str().map(str::to_owned)).unwrap_or_default();
    let id = child_id(&parent.id, kind, &name).ok()?;
    Some(Resource { id, etag, rest: element, ..blank(parent, kind) })
}

fn element_of(child: &Resource) -> Value {
    let mut map = Map::new();
    map.insert("name".into(), child.id.name().into());
    map.insert("etag".into(), child.etag.clone().into());
    map.extend(child.rest.clone());
    Value::Object(map)
}

fn named(item: &Value, name: &str) -> bool {
    item.get("name").and_then(Value::as_str).is_some_and(|n| n.eq_ignore_ascii_case(name))
}

fn spelled(id: &Scope, canonical: &TypeName) -> Scope {
    match id {
        Scope::Resource(r) => Scope::from(r.with_spelling(canonical)),
        other => other.clone(),
    }
}

/// ARM compares locations without blanks and case: `West US` is `westus`.
fn normal_location(text: &str) -> String {
    text.chars().filter(|c| *c != ' ').collect::<String>().to_ascii_lowercase()
}

fn as_dyn<'a>(read: &'a mut (dyn Read + '_)) -> &'a mut (dyn Read + 'a) {
    read
}

fn as_dyn_write<'a>(tx: &'a mut (dyn Write + '_)) -> &'a mut (dyn Write + 'a) {
    tx
}
