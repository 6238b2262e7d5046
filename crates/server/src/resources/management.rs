//! `Microsoft.Management`: management groups, the subscriptions in them, and the questions about the whole hierarchy.
//!
//! The root group has the tenant's id as its name and is made at the first start; everything else is in exactly one
//! group. Rights at a group hold for everything in it, so whoever moves a thing needs the right to assign roles on it,
//! and to change both the group it leaves and the one it enters.

use std::collections::HashMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use sekisho_arm::registry::{Action, ActionStyle, PutStyle, Registry, ScopeAction, Storage, any_schema};
use sekisho_arm::resource::instant;
use sekisho_arm::{
    ArmError, Call, CallerRef, Listing, PrincipalKind, Read, Resource, ResourceType, Scope, ScopeKind,
    StoreError, TypeName, TypeSpec, Write,
};
use sekisho_rbac::{Tree, builtin, guard};
use sekisho_store::Store;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::http as web;
use crate::routes::{Anything, List};

use super::authorization::{self, LateUniverse};
use super::core;
use super::hierarchy_settings::{HierarchySettings, Settings};

const VERSIONS: &[&str] = &["2023-04-01", "2021-04-01", "2020-05-01", "2020-02-01", "2018-03-01-preview"];
/// Most levels of groups below the root (Azure's limit).
const MAX_DEPTH: usize = 6;
/// Longest display name, in characters.
const MAX_DISPLAY_NAME: usize = 256;
const GROUP_WRITE: &str = "Microsoft.Management/managementGroups/write";

/// The types whose resources say what is in what.
pub const TYPES: [&str; 2] =
    ["microsoft.management/managementgroups", "microsoft.management/managementgroups/subscriptions"];

pub(super) const fn spec(path: &'static str) -> TypeSpec {
    TypeSpec {
        namespace: "Microsoft.Management",
        path,
        versions: VERSIONS,
        scopes: &[ScopeKind::Tenant],
        storage: Storage::Row,
        put: PutStyle::AlwaysOk,
        location: false,
        shows_etag: false,
        shows_state: false,
        actions: &[],
        schema: any_schema,
    }
}

static GROUP_SPEC: TypeSpec = spec("managementGroups");
static MEMBER_SPEC: TypeSpec = spec("managementGroups/subscriptions");
static DESCENDANT_SPEC: TypeSpec =
    TypeSpec { storage: Storage::Computed, put: PutStyle::Refused, ..spec("managementGroups/descendants") };

/// Adds the types and actions.
pub fn register(registry: &mut Registry, tenant: Uuid, universe: &LateUniverse) {
    registry
        .add(Groups { tenant, universe: universe.clone() })
        .add(Members { tenant, universe: universe.clone() })
        .add(Descendants)
        .add(HierarchySettings { tenant })
        .add_scope_action(Entities { tenant, universe: universe.clone() })
        .add_scope_action(NameAvailability);
}

fn group(name: &str) -> Scope {
    Scope::ManagementGroup(name.to_owned())
}

pub(super) fn root(tenant: Uuid) -> Scope {
    group(&tenant.to_string())
}

/// The place of a subscription in a group.
fn member(group: &Scope, subscription: &str) -> Result<Scope, ArmError> {
    Scope::parse(&format!("{group}/subscriptions/{subscription}")).map_err(|_| ArmError::internal())
}

/// The group that a place names.
fn group_of(member: &Scope) -> Option<Scope> {
    let (_, name) = member.resource()?.chain().first()?;
    Some(group(name))
}

fn parent_of(resource: &Resource) -> Option<Scope> {
    let id = resource.rest.get("properties")?.get("details")?.get("parent")?.get("id")?;
    Scope::parse(id.as_str()?).ok()
}

fn display_name(resource: &Resource) -> String {
    let named = resource.rest.get("properties").and_then(|p| p.get("displayName")).and_then(Value::as_str);
    named.unwrap_or_else(|| resource.id.name()).to_owned()
}

/// The whole hierarchy, read at one moment.
struct Hierarchy {
    /// Groups by key.
    groups: HashMap<String, Resource>,
    /// Subscriptions by key: the resource, and the group it is in.
    subscriptions: HashMap<String, (Resource, Scope)>,
}

impl Hierarchy {
    async fn read(read: &mut (dyn Read + '_)) -> Result<Hierarchy, StoreError> {
        let groups = read.list(&Listing::of(&Scope::Tenant, &GROUP_SPEC.name())).await?;
        let members = read.list(&Listing::of(&Scope::Tenant, &MEMBER_SPEC.name())).await?;
        let of_type = TypeName::new("Microsoft.Resources", "subscriptions");
        let subscriptions = read.list(&Listing::of(&Scope::Tenant, &of_type)).await?;
        let mut at: HashMap<String, Scope> = members
            .iter()
            .filter_map(|m| Some((Scope::Subscription(m.id.name().to_owned()).key(), group_of(&m.id)?)))
            .collect();
        Ok(Hierarchy {
            groups: groups.into_iter().map(|g| (g.id.key(), g)).collect(),
            subscriptions: subscriptions
                .into_iter()
                .filter_map(|s| at.remove(&s.id.key()).map(|group| (s.id.key(), (s, group))))
                .collect(),
        })
    }

    fn parent(&self, id: &Scope) -> Option<Scope> {
        match id {
            Scope::ManagementGroup(_) => self.groups.get(&id.key()).and_then(parent_of),
            _ => self.subscriptions.get(&id.key()).map(|(_, group)| group.clone()),
        }
    }

    /// The groups above something, nearest first. What was written keeps cycles out; what was not is cut off.
    fn above(&self, id: &Scope) -> Vec<Scope> {
        let mut out: Vec<Scope> = Vec::new();
        let mut at = self.parent(id);
        while let Some(next) = at.filter(|n| n != id && !out.contains(n)) {
            at = self.parent(&next);
            out.push(next);
        }
        out
    }

    /// What is directly in a group: groups first, each in the order of the ids.
    fn children(&self, id: &Scope) -> Vec<&Resource> {
        let groups = self.groups.values().filter(|g| parent_of(g).as_ref() == Some(id));
        let subscriptions = self.subscriptions.values().filter(|(_, at)| at == id).map(|(s, _)| s);
        let mut out: Vec<&Resource> = groups.chain(subscriptions).collect();
        out.sort_by_key(|r| (!matches!(r.id, Scope::ManagementGroup(_)), r.id.key()));
        out
    }

    /// Everything in a group, from the top down.
    fn descendants(&self, id: &Scope) -> Vec<&Resource> {
        let mut out = self.children(id);
        let mut at = 0;
        while let Some(next) = out.get(at) {
            let more = self.children(&next.id);
            out.extend(more.into_iter().filter(|m| m.id != *id));
            at += 1;
            if at > self.groups.len() + self.subscriptions.len() {
                break;
            }
        }
        out
    }

    /// How many levels of groups a group is high: 1 when no group is in it.
    fn height(&self, id: &Scope) -> usize {
        let below = self.descendants(id).into_iter().filter(|r| matches!(r.id, Scope::ManagementGroup(_)));
        let own = self.above(id).len();
        1 + below.map(|g| self.above(&g.id).len().saturating_sub(own)).max().unwrap_or(0)
    }

    fn name(&self, id: &Scope) -> String {
        match id {
            Scope::ManagementGroup(name) => {
                self.groups.get(&id.key()).map_or_else(|| name.clone(), display_name)
            }
            _ => self.subscriptions.get(&id.key()).map_or_else(String::new, |(s, _)| subscription_name(s)),
        }
    }

    fn child_infos(&self, id: &Scope, recurse: bool) -> Value {
        let children = self.children(id).into_iter().map(|child| {
            let mut info = json!({
                "id": child.id.to_string(), "type": kind_of(&child.id), "name": child.id.name(),
                "displayName": self.name(&child.id),
            });
            if recurse && matches!(child.id, Scope::ManagementGroup(_)) {
                info["children"] = self.child_infos(&child.id, true);
            }
            info
        });
        let children: Vec<Value> = children.collect();
        if children.is_empty() { Value::Null } else { children.into() }
    }
}

fn subscription_name(subscription: &Resource) -> String {
    let named = subscription.rest.get("displayName").and_then(Value::as_str);
    named.unwrap_or_else(|| subscription.id.name()).to_owned()
}

/// The type as this provider's answers call it.
fn kind_of(id: &Scope) -> &'static str {
    match id {
        Scope::ManagementGroup(_) => "Microsoft.Management/managementGroups",
        _ => "/subscriptions",
    }
}

/// What is in what, as the evaluator of rights takes it.
///
/// # Errors
/// Those of the database.
pub async fn parents(read: &mut (dyn Read + '_)) -> Result<Vec<(Scope, Scope)>, StoreError> {
    let all = Hierarchy::read(read).await?;
    let groups = all.groups.values().filter_map(|g| Some((g.id.clone(), parent_of(g)?)));
    let members = all.subscriptions.values().map(|(s, group)| (s.id.clone(), group.clone()));
    Ok(groups.chain(members).collect())
}

/// The tree of scopes with the hierarchy in it.
///
/// # Errors
/// Those of the database.
pub async fn tree(read: &mut (dyn Read + '_)) -> Result<Tree, StoreError> {
    Ok(Tree::new(&parents(read).await?))
}

fn bare(id: Scope, type_name: TypeName, now: OffsetDateTime, properties: Value) -> Resource {
    Resource {
        id,
        type_name,
        location: None,
        tags: None,
        etag: String::new(),
        sequence: 0,
        created_at: now,
        changed_at: now,
        rest: Map::from_iter([("properties".to_owned(), properties)]),
    }
}

/// Whether there is a root group and every subscription is in a group.
async fn is_whole(read: &mut (dyn Read + '_), tenant: Uuid) -> Result<bool, StoreError> {
    let all = Hierarchy::read(read).await?;
    let of_type = TypeName::new("Microsoft.Resources", "subscriptions");
    let subscriptions = read.list(&Listing::of(&Scope::Tenant, &of_type)).await?;
    Ok(all.groups.contains_key(&root(tenant).key()) && subscriptions.len() == all.subscriptions.len())
}

/// Makes the root group, and puts the subscriptions that are in no group into it.
///
/// # Errors
/// Those of the database.
pub async fn first_groups(store: &Store, tenant: Uuid) -> Result<(), ArmError> {
    if is_whole(&mut store.read().await?, tenant).await? {
        return Ok(());
    }
    store
        .write::<_, ArmError, _>(move |tx| {
            Box::pin(async move {
                let (root, now) = (root(tenant), tx.now());
                if tx.get(&root).await?.is_none() {
                    let details = json!({"version": 1, "updatedTime": instant(now), "updatedBy": tenant});
                    let properties = json!({"displayName": "Tenant Root Group", "details": details});
                    tx.put(bare(root.clone(), GROUP_SPEC.name(), now, properties)).await?;
                }
                let all = Hierarchy::read(tx.as_read()).await?;
                let of_type = TypeName::new("Microsoft.Resources", "subscriptions");
                let settings = Settings::read(tx.as_read(), tenant).await?;
                let chosen = settings.default_management_group.and_then(|id| Scope::parse(&id).ok());
                let entered = chosen.filter(|g| all.groups.contains_key(&g.key())).unwrap_or(root);
                for subscription in tx.list(&Listing::of(&Scope::Tenant, &of_type)).await? {
                    if !all.subscriptions.contains_key(&subscription.id.key()) {
                        let id = member(&entered, subscription.id.name())?;
                        tx.put(bare(id, MEMBER_SPEC.name(), now, json!({}))).await?;
                    }
                }
                Ok(())
            })
        })
        .await
}

/// Refuses a move that the caller may not make: whoever moves a thing changes who has rights on it.
async fn may_move(
    tx: &mut (dyn Write + '_),
    universe: &LateUniverse,
    call: &Call,
    what: &Scope,
    steps: &[(&str, &Scope)],
) -> Result<(), ArmError> {
    let all = authorization::snapshot(tx.as_read(), universe).await?;
    let (asker, who) = (authorization::asker(call), authorization::acting(call));
    let needed = [(guard::ASSIGNMENT_WRITE, what)].into_iter().chain(steps.iter().copied());
    for (action, scope) in needed {
        all.decide(&who, action, scope).into_result(&call.caller.name, asker, action, scope)?;
    }
    Ok(())
}

struct Groups {
    tenant: Uuid,
    universe: LateUniverse,
}

/// The parent that a body names: in `details` on PUT, as `parentGroupId` on PATCH.
fn named_parent(body: &Value) -> Option<&str> {
    let parent = body.get("parentGroupId").or_else(|| body.pointer("/properties/parentGroupId"));
    parent.or_else(|| body.pointer("/properties/details/parent/id")).and_then(Value::as_str)
}

#[async_trait]
impl ResourceType for Groups {
    fn spec(&self) -> &TypeSpec {
        &GROUP_SPEC
    }

    fn removal_is_long_running(&self) -> bool {
        true
    }

    /// A new group is made by whoever may change the group it comes into.
    async fn judged_at(&self, read: &mut dyn Read, id: &Scope, body: &Value) -> Result<Scope, ArmError> {
        if read.get(id).await?.is_some() {
            return Ok(id.clone());
        }
        let parent = named_parent(body).and_then(|p| Scope::parse(p).ok());
        Ok(parent.unwrap_or_else(|| root(self.tenant)))
    }

    /// Where no right is needed to make a group, everybody may make one in the root group.
    async fn is_open(
        &self,
        read: &mut dyn Read,
        _: &Call,
        id: &Scope,
        body: &Value,
    ) -> Result<bool, ArmError> {
        let in_root =
            named_parent(body).is_none_or(|p| Scope::parse(p).is_ok_and(|p| p == root(self.tenant)));
        if !in_root || read.get(id).await?.is_some() {
            return Ok(false);
        }
        let settings = Settings::read(read, self.tenant).await?;
        Ok(settings.require_authorization_for_group_creation == Some(false))
    }

    /// Who made a group without a right to it owns it.
    async fn written(&self, tx: &mut dyn Write, call: &Call, new: &Resource) -> Result<(), ArmError> {
        let first = new.properties().get("details").is_some_and(|d| d["version"] == 1);
        let (who, all) =
            (authorization::asker(call), authorization::snapshot(tx.as_read(), &self.universe).await?);
        if !first || all.decide(&authorization::acting(call), GROUP_WRITE, &new.id).is_allowed() {
            return Ok(());
        }
        let kind = match call.caller.kind {
            PrincipalKind::ServicePrincipal => "ServicePrincipal",
            _ => "User",
        };
        let owner = authorization::assignment(builtin::OWNER, &new.id, who.0, kind, tx.now())?;
        tx.put(owner).await?;
        Ok(())
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        call: &Call,
        draft: &mut Resource,
        old: Option<&Resource>,
    ) -> Result<(), ArmError> {
        let name = draft.id.name();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.()".contains(c);
        if name.len() > 90 || name.ends_with('.') || !name.chars().all(allowed) {
            return Err(ArmError::bad(
                "InvalidGroupId",
                "A management group id has 1 to 90 letters, digits, '-', '_', '.', '(' or ')' and does not end with '.'.",
            ));
        }
        let body = Value::Object(std::mem::take(&mut draft.rest));
        let (is_root, before) = (draft.id == root(self.tenant), old.and_then(parent_of));
        let parent = match named_parent(&body) {
            Some(text) => match Scope::parse(text) {
                Ok(parent @ Scope::ManagementGroup(_)) => Some(parent),
                _ => {
                    let text = format!("'{text}' is not the id of a management group.");
                    return Err(
                        ArmError::bad("InvalidParentGroupId", text).target("properties.details.parent.id")
                    );
                }
            },
            None if is_root => None,
            None => before.clone().or_else(|| Some(root(self.tenant))),
        };
        if is_root && parent.is_some() {
            let text = "The root management group cannot be in another group.";
            return Err(ArmError::bad("RootGroupCannotBeMoved", text).target("properties.details.parent.id"));
        }
        let all = Hierarchy::read(tx.as_read()).await?;
        let parent = match parent {
            Some(parent) => {
                let Some(known) = all.groups.get(&parent.key()) else {
                    return Err(ArmError::not_found(&parent));
                };
                self.check_place(&all, &draft.id, &known.id)?;
                Some(known.id.clone())
            }
            None => None,
        };
        if let (Some(before), Some(after)) = (&before, &parent)
            && before != after
        {
            may_move(tx, &self.universe, call, &draft.id, &[(GROUP_WRITE, before), (GROUP_WRITE, after)])
                .await?;
        }
        // PATCH carries the new name at the top, over what is kept.
        let given = body.get("displayName").or_else(|| body.pointer("/properties/displayName"));
        let display = match given.filter(|v| !v.is_null()) {
            None => old.map_or_else(|| draft.id.name().to_owned(), display_name),
            Some(Value::String(text))
                if !text.trim().is_empty()
                    && text.chars().count() <= MAX_DISPLAY_NAME
                    && !text.chars().any(char::is_control) =>
            {
                text.clone()
            }
            Some(_) => {
                let text = format!("A display name has 1 to {MAX_DISPLAY_NAME} characters.");
                return Err(ArmError::invalid_content(text).target("properties.displayName"));
            }
        };
        let version = old.and_then(|o| o.properties().get("details")?["version"].as_u64()).unwrap_or(0) + 1;
        let mut details = json!({
            "version": version, "updatedTime": instant(tx.now()), "updatedBy": call.caller.object_id,
        });
        if let Some(parent) = parent {
            details["parent"] = json!({"id": parent.to_string()});
        }
        let properties = json!({"displayName": display, "details": details});
        draft.rest = Map::from_iter([("properties".to_owned(), properties)]);
        Ok(())
    }

    async fn removing(&self, tx: &mut dyn Write, _: &Call, old: &Resource) -> Result<(), ArmError> {
        if old.id == root(self.tenant) {
            let text = "The root management group cannot be deleted.";
            return Err(ArmError::bad("RootGroupCannotBeDeleted", text));
        }
        let all = Hierarchy::read(tx.as_read()).await?;
        let inside = all.children(&old.id);
        if inside.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = inside.iter().map(|r| r.id.to_string()).collect();
        Err(ArmError::bad(
            "GroupHasChildren",
            format!(
                "The management group '{}' cannot be deleted because something is in it: {}. Move it to another group first.",
                old.id.name(),
                names.join(", ")
            ),
        ))
    }

    async fn present(
        &self,
        read: &mut dyn Read,
        call: &Call,
        resource: &Resource,
    ) -> Result<Value, ArmError> {
        let all = Hierarchy::read(read).await?;
        let mut body = self.render(resource);
        let info = |id: &Scope| json!({"id": id.to_string(), "name": id.name(), "displayName": all.name(id)});
        let element = |id: &Scope| json!({"name": id.name(), "displayName": all.name(id)});
        body["properties"]["tenantId"] = self.tenant.to_string().into();
        let details = &mut body["properties"]["details"];
        let above = all.above(&resource.id);
        if let Some(parent) = above.first() {
            details["parent"] = info(parent);
        }
        if call.expands("path") {
            details["path"] = above.iter().rev().map(element).chain([element(&resource.id)]).collect();
        }
        if call.expands("ancestors") {
            details["managementGroupAncestors"] = above.iter().map(Scope::name).collect();
            details["managementGroupAncestorsChain"] = above.iter().map(element).collect();
        }
        if call.expands("children") {
            let recurse = call.query("$recurse").is_some_and(|r| r.eq_ignore_ascii_case("true"));
            body["properties"]["children"] = all.child_infos(&resource.id, recurse);
        }
        Ok(body)
    }
}

impl Groups {
    /// Whether a group may be in another: no cycle, and not too deep.
    fn check_place(&self, all: &Hierarchy, id: &Scope, parent: &Scope) -> Result<(), ArmError> {
        let above = all.above(parent);
        if parent == id || above.contains(id) {
            let text = format!(
                "The management group '{}' cannot be in '{}', which is it itself or in it.",
                id.name(),
                parent.name()
            );
            return Err(ArmError::bad("CircularHierarchy", text).target("properties.details.parent.id"));
        }
        // The parent's own level is the number of groups above it, the root's being 0.
        if above.len() + all.height(id) > MAX_DEPTH {
            let text = format!("Management groups are at most {MAX_DEPTH} levels deep below the root.");
            return Err(ArmError::bad("HierarchyTooDeep", text).target("properties.details.parent.id"));
        }
        Ok(())
    }
}

/// A subscription in a group: `.../managementGroups/{group}/subscriptions/{id}`.
struct Members {
    tenant: Uuid,
    universe: LateUniverse,
}

#[async_trait]
impl ResourceType for Members {
    fn spec(&self) -> &TypeSpec {
        &MEMBER_SPEC
    }

    /// The path says it all: clients send nothing.
    fn needs_body(&self) -> bool {
        false
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        call: &Call,
        draft: &mut Resource,
        old: Option<&Resource>,
    ) -> Result<(), ArmError> {
        draft.rest = Map::from_iter([("properties".to_owned(), json!({}))]);
        if old.is_some() {
            return Ok(());
        }
        let (all, subscription) =
            (Hierarchy::read(tx.as_read()).await?, Scope::Subscription(draft.id.name().to_owned()));
        let (Some((_, before)), Some(after)) =
            (all.subscriptions.get(&subscription.key()), group_of(&draft.id))
        else {
            return Err(ArmError::not_found(&subscription));
        };
        let leaving = MEMBER_SPEC.action("delete");
        let entering = MEMBER_SPEC.action("write");
        may_move(tx, &self.universe, call, &subscription, &[(&leaving, before), (&entering, &after)]).await?;
        let place = member(before, subscription.name())?;
        tx.remove(&place).await?;
        Ok(())
    }

    /// What leaves its group is in the root group again.
    async fn removing(&self, tx: &mut dyn Write, call: &Call, old: &Resource) -> Result<(), ArmError> {
        let (root, subscription) = (root(self.tenant), Scope::Subscription(old.id.name().to_owned()));
        if group_of(&old.id).as_ref() == Some(&root) {
            let text = "Every subscription is in a management group. Put it into another to take it out of the root group.";
            return Err(ArmError::bad("SubscriptionInRootGroup", text));
        }
        may_move(tx, &self.universe, call, &subscription, &[]).await?;
        let place = member(&root, subscription.name())?;
        let now = tx.now();
        tx.put(bare(place, MEMBER_SPEC.name(), now, json!({}))).await?;
        Ok(())
    }

    async fn present(&self, read: &mut dyn Read, _: &Call, resource: &Resource) -> Result<Value, ArmError> {
        let subscription = read.get(&Scope::Subscription(resource.id.name().to_owned())).await?;
        let group = group_of(&resource.id).unwrap_or(Scope::Tenant);
        let mut body = self.render(resource);
        body["properties"] = json!({
            "tenant": self.tenant.to_string(), "state": "Active", "parent": {"id": group.to_string()},
            "displayName": subscription.map(|s| subscription_name(&s)),
        });
        Ok(body)
    }
}

/// `GET .../managementGroups/{group}/descendants`: everything in a group, at any depth.
struct Descendants;

#[async_trait]
impl ResourceType for Descendants {
    fn spec(&self) -> &TypeSpec {
        &DESCENDANT_SPEC
    }

    async fn computed(
        &self,
        read: &mut dyn Read,
        _: &Call,
        scope: &Scope,
        name: Option<&str>,
    ) -> Result<Value, ArmError> {
        let all = Hierarchy::read(read).await?;
        if name.is_some() || !all.groups.contains_key(&scope.key()) {
            return Err(ArmError::not_found(scope));
        }
        let value: Vec<Value> = all
            .descendants(scope)
            .into_iter()
            .map(|r| {
                json!({
                    "id": r.id.to_string(), "type": kind_of(&r.id), "name": r.id.name(),
                    "properties": {
                        "displayName": all.name(&r.id), "parent": {"id": all.parent(&r.id).map(|p| p.to_string())},
                    },
                })
            })
            .collect();
        Ok(json!({ "value": value }))
    }
}

fn only_at_the_root(scope: &Scope, verb: &str) -> Result<(), ArmError> {
    match scope {
        Scope::Tenant => Ok(()),
        other => Err(ArmError::method_not_allowed("POST", &format!("{other}/providers/{verb}"))),
    }
}

/// `POST /providers/Microsoft.Management/getEntities`: the groups and subscriptions that the caller may see.
struct Entities {
    tenant: Uuid,
    universe: LateUniverse,
}

#[async_trait]
impl ScopeAction for Entities {
    fn namespace(&self) -> &'static str {
        "Microsoft.Management"
    }

    fn action(&self) -> Action {
        let title = "Lists the management groups and subscriptions that the caller may see";
        Action {
            verb: "getEntities",
            style: ActionStyle::Sync,
            reads: true,
            title,
            takes: any_schema,
            answers: |g| g.subschema_for::<List<Anything>>(),
        }
    }

    fn queries(&self) -> &'static [&'static str] {
        &["groupName", "$filter", "$view", "$orderby", "$select", "$skip", "$top", "$skiptoken"]
    }

    /// Everybody may ask: what they may not see is not in the answer.
    fn is_about(&self, _: &CallerRef, _: &Value) -> bool {
        true
    }

    async fn act(
        &self,
        read: &mut dyn Read,
        call: &Call,
        scope: &Scope,
        _: Value,
    ) -> Result<Value, ArmError> {
        only_at_the_root(scope, "Microsoft.Management/getEntities")?;
        let rights = authorization::snapshot(read, &self.universe).await?;
        let all = Hierarchy::read(read).await?;
        let who = authorization::acting(call);
        let may = |action: &str, id: &Scope| rights.decide(&who, action, id).is_allowed();
        let sees = |id: &Scope| match id {
            Scope::ManagementGroup(_) => may("Microsoft.Management/managementGroups/read", id),
            _ => may("Microsoft.Resources/subscriptions/read", id),
        };
        let edits = |id: &Scope| match id {
            Scope::ManagementGroup(_) => may(GROUP_WRITE, id),
            _ => may(guard::ASSIGNMENT_WRITE, id),
        };
        let root = root(self.tenant);
        let everything = all.groups.get(&root.key()).into_iter().chain(all.descendants(&root));
        let value: Vec<Value> = everything
            .filter(|r| sees(&r.id))
            .map(|r| {
                // Names of what is above and may not be seen are left out.
                let above: Vec<Scope> = all.above(&r.id).into_iter().rev().filter(&sees).collect();
                let below = all.descendants(&r.id);
                let children = all.children(&r.id);
                let groups = children.iter().filter(|c| matches!(c.id, Scope::ManagementGroup(_))).count();
                let permissions = if edits(&r.id) { "edit" } else { "view" };
                let names: Vec<&str> = above.iter().map(Scope::name).collect();
                let shown: Vec<String> = above.iter().map(|a| all.name(a)).collect();
                json!({
                    "id": r.id.to_string(), "type": kind_of(&r.id), "name": r.id.name(),
                    "properties": {
                        "tenantId": self.tenant.to_string(), "displayName": all.name(&r.id),
                        "parent": {"id": above.last().map(ToString::to_string)},
                        "permissions": permissions, "inheritedPermissions": permissions,
                        "numberOfDescendants": below.len(), "numberOfChildren": children.len(),
                        "numberOfChildGroups": groups,
                        "parentNameChain": names, "parentDisplayNameChain": shown,
                    },
                })
            })
            .collect();
        entities_page(call, value)
    }
}

/// What is asked of the list of entities: `groupName`, `$filter`, `$view`, `$orderby`, `$select`, and a page by `$skip`, `$top` and
/// `$skiptoken`. `count` is of all of them.
fn entities_page(call: &Call, mut value: Vec<Value>) -> Result<Value, ArmError> {
    let kind = match call.query("$view").map(str::to_ascii_lowercase).as_deref() {
        None | Some("fullhierarchy") => None,
        Some("groupsonly") => Some("Microsoft.Management/managementGroups"),
        Some("subscriptionsonly") => Some("/subscriptions"),
        Some(_) => {
            let text = "The value of $view is FullHierarchy, GroupsOnly or SubscriptionsOnly.";
            return Err(ArmError::bad("InvalidParameter", text).target("$view"));
        }
    };
    if call.query("$search").is_some() {
        let text = "$search is not served; ask with $filter, $view and groupName.";
        return Err(ArmError::bad("InvalidParameter", text).target("$search"));
    }
    value.retain(|row| kind.is_none_or(|kind| row["type"] == kind));
    if let Some(group) = call.query("groupname") {
        let is = |name: &Value| name.as_str().is_some_and(|n| n.eq_ignore_ascii_case(group));
        let chain =
            |row: &Value| row["properties"]["parentNameChain"].as_array().is_some_and(|c| c.iter().any(is));
        value.retain(|row| is(&row["name"]) || chain(row));
    }
    if let Some(filter) = call.filter()? {
        value.retain(|row| core::holds(&filter, row, &|_| None));
    }
    if let Some(order) = call.order()? {
        value = order.sort(value);
    }
    let skip = call.query("$skip").map(|text| text.parse::<usize>()).transpose();
    let skip = skip.map_err(|_| {
        ArmError::bad("InvalidParameter", "The value of $skip is a number of entities.").target("$skip")
    })?;
    let count = value.len();
    // A link carries `$skip` on, so its token counts from there.
    value.drain(..skip.unwrap_or(0).min(count));
    let after = call.query("$skiptoken").map(web::decode_token).transpose()?;
    let top = core::top(call)?.unwrap_or(usize::MAX);
    let (mut value, next) = core::page_of(value, after.as_deref(), top)?;
    if let Some(select) = call.select()? {
        value.iter_mut().for_each(|row| *row = select.of(row));
    }
    let mut body = json!({"count": count, "value": value});
    if let Some(next) = next {
        let path = "/providers/Microsoft.Management/getEntities".to_owned();
        body["nextLink"] = web::next_link(call, path, &next).into();
    }
    Ok(body)
}

/// `POST /providers/Microsoft.Management/checkNameAvailability`.
struct NameAvailability;

/// What `checkNameAvailability` takes.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "WantedName")]
struct Wanted {
    name: String,
}

#[async_trait]
impl ScopeAction for NameAvailability {
    fn namespace(&self) -> &'static str {
        "Microsoft.Management"
    }

    fn action(&self) -> Action {
        let title = "Says whether a management group could have a name";
        Action {
            verb: "checkNameAvailability",
            style: ActionStyle::Sync,
            reads: true,
            title,
            takes: |g| g.subschema_for::<Wanted>(),
            answers: |g| g.subschema_for::<Anything>(),
        }
    }

    async fn act(
        &self,
        read: &mut dyn Read,
        _: &Call,
        scope: &Scope,
        body: Value,
    ) -> Result<Value, ArmError> {
        only_at_the_root(scope, "Microsoft.Management/checkNameAvailability")?;
        let wanted: Wanted = sekisho_arm::resource::typed(&body, "")?;
        Ok(match read.get(&group(&wanted.name)).await? {
            None => json!({"nameAvailable": true}),
            Some(_) => json!({
                "nameAvailable": false, "reason": "AlreadyExists",
                "message": format!("The management group '{}' exists already.", wanted.name),
            }),
        })
    }
}
