//! `Microsoft.Authorization`: role definitions, role assignments and deny assignments. The meaning is `rbac`'s; here it
//! meets the database.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use sekisho_arm::filter::Filter;
use sekisho_arm::registry::{PutStyle, Registry, Storage, any_schema, properties_schema};
use sekisho_arm::resource::instant;
use sekisho_arm::traits::read_documents;
use sekisho_arm::{
    ArmError, Call, Listing, Read, Resource, ResourceType, Scope, ScopeKind, TypeName, TypeSpec, Write,
};
use sekisho_rbac::condition::Source;
use sekisho_rbac::{
    Asker, AssignmentProperties, Attributes, Circumstances, DenyAssignmentProperties, Facts, PrincipalId,
    RoleDefinition, RoleDefinitionProperties, RoleId, Snapshot, Universe, builtin, guard, validate,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::OnceLock;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::access::{self, GROUP, GroupRecord};
use crate::resources::management;
use crate::resources::provider_operations::ProviderOperations;
use crate::resources::questions;

const VERSIONS: &[&str] =
    &["2024-07-01-preview", "2022-05-01-preview", "2022-04-01", "2020-10-01", "2018-07-01", "2015-07-01"];
const SCOPES: &[ScopeKind] = &[
    ScopeKind::Tenant,
    ScopeKind::ManagementGroup,
    ScopeKind::Subscription,
    ScopeKind::ResourceGroup,
    ScopeKind::Resource,
];

pub(super) const fn spec(path: &'static str, put: PutStyle) -> TypeSpec {
    TypeSpec {
        namespace: "Microsoft.Authorization",
        path,
        versions: VERSIONS,
        scopes: SCOPES,
        storage: Storage::Row,
        put,
        location: false,
        shows_etag: false,
        shows_state: false,
        actions: &[],
        schema: any_schema,
    }
}

/// The universe is known once the registry is complete, and the registry holds these types: filled in afterwards.
pub type LateUniverse = Arc<OnceLock<Arc<Universe>>>;

/// Adds the types and actions.
pub fn register(registry: &mut Registry, universe: &LateUniverse) {
    registry
        .add(RoleDefinitions { universe: universe.clone() })
        .add(RoleAssignments { universe: universe.clone() })
        .add(DenyAssignments)
        .add(ProviderOperations { universe: universe.clone() });
    questions::register(registry, universe);
}

/// All role facts as they are in this transaction.
///
/// # Errors
/// Those of the database.
pub async fn snapshot(read: &mut (dyn Read + '_), universe: &LateUniverse) -> Result<Snapshot, ArmError> {
    let universe = universe.get().cloned().ok_or_else(ArmError::internal)?;
    Ok(Snapshot::compile(access::facts(read, universe).await?))
}

/// What conditions look at: the assignment asked for and the one kept.
pub fn attributes(request: &Value, kept: &Value) -> Attributes {
    [(Source::Request, request), (Source::Resource, kept)].into_iter().fold(
        Attributes::none(),
        |all, (source, body)| {
            let text = |field: &str| body[field].as_str();
            let role = text("roleDefinitionId").and_then(RoleId::parse);
            all.of_assignment(source, role, text("principalId"), text("principalType"))
        },
    )
}

/// Who asks, as role facts name them.
pub fn asker(call: &Call) -> PrincipalId {
    PrincipalId(Uuid::try_parse(&call.caller.object_id).unwrap_or_default())
}

/// As whom they act: as themselves, and as the sign-ins that something may be bound to.
pub fn acting(call: &Call) -> Asker {
    let sign_ins = call.sign_in.ids.iter().copied().map(PrincipalId);
    Asker {
        principals: std::iter::once(asker(call)).chain(sign_ins).collect(),
        circumstances: Circumstances { now: Some(call.at), address: call.address },
    }
}

struct RoleDefinitions {
    universe: LateUniverse,
}

static ROLE_SPEC: TypeSpec = TypeSpec {
    schema: properties_schema::<RoleDefinitionProperties>,
    ..spec("roleDefinitions", PutStyle::AlwaysCreated)
};

/// Role definitions are kept at the root, wherever they were written: their assignable scopes say where they apply.
fn role_id(name: &str) -> Scope {
    Scope::Tenant.resource_in("Microsoft.Authorization", "roleDefinitions", name).unwrap_or(Scope::Tenant)
}

/// A role's id as it looks from a scope. Role assignments name roles by the subscription, and clients compare the two as
/// texts; subscription ids are kept in lower case.
pub(crate) fn role_seen_from(asked: &Scope, name: &str) -> Scope {
    let at = match asked.subscription_scope() {
        Some(Scope::Subscription(id)) => Scope::Subscription(id.to_ascii_lowercase()),
        _ => Scope::Tenant,
    };
    at.resource_in("Microsoft.Authorization", "roleDefinitions", name).unwrap_or(Scope::Tenant)
}

fn built_in(role: &RoleDefinition) -> Resource {
    let mut rest = serde_json::Map::new();
    let mut properties = serde_json::to_value(&role.properties).unwrap_or_default();
    for field in ["createdOn", "updatedOn"] {
        properties[field] = "2015-02-02T21:55:09.8806423Z".into();
    }
    rest.insert("properties".into(), properties);
    Resource {
        id: role_id(&role.name.to_string()),
        type_name: ROLE_SPEC.name(),
        location: None,
        tags: None,
        etag: String::new(),
        sequence: 0,
        created_at: OffsetDateTime::UNIX_EPOCH,
        changed_at: OffsetDateTime::UNIX_EPOCH,
        rest,
    }
}

fn role_of(resource: &Resource) -> Result<RoleDefinition, ArmError> {
    let name = access::guid_name(resource)?;
    Ok(RoleDefinition { name: RoleId(name), properties: resource.typed()? })
}

#[async_trait]
impl ResourceType for RoleDefinitions {
    fn spec(&self) -> &TypeSpec {
        &ROLE_SPEC
    }

    fn stored_id(&self, id: &Scope) -> Scope {
        role_id(id.name())
    }

    fn seen_from(&self, resource: Resource, asked: &Scope) -> Resource {
        Resource { id: role_seen_from(asked, resource.id.name()), ..resource }
    }

    fn shows_removed(&self) -> bool {
        true
    }

    async fn built_in(&self, _: &mut dyn Read, id: &Scope) -> Result<Option<Resource>, ArmError> {
        Ok(RoleId::parse(id.name()).and_then(builtin::role).map(built_in))
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        call: &Call,
        draft: &mut Resource,
        old: Option<&Resource>,
    ) -> Result<(), ArmError> {
        let now = instant(tx.now());
        let created = old.map(Resource::properties).and_then(|p| p.get("createdOn").cloned());
        let by = old.map(Resource::properties).and_then(|p| p.get("createdBy").cloned());
        let properties = draft.properties_mut();
        properties.insert("type".into(), "CustomRole".into());
        properties.insert("createdOn".into(), created.unwrap_or_else(|| now.clone().into()));
        properties.insert("createdBy".into(), by.unwrap_or_else(|| call.caller.object_id.clone().into()));
        properties.insert("updatedOn".into(), now.into());
        properties.insert("updatedBy".into(), call.caller.object_id.clone().into());
        properties.entry("permissions").or_insert_with(|| json!([]));
        let role = role_of(draft)?;
        let all = snapshot(tx.as_read(), &self.universe).await?;
        let others: Vec<&RoleDefinition> = all.roles().filter(|r| r.name != role.name).collect();
        validate::custom_role(&role, others, all.universe())?;
        let who = acting(call);
        // Whoever writes a role changes what it grants wherever it is assigned: also where it applied until now.
        let before = old.map(role_of).transpose()?;
        if before.iter().chain([&role]).any(|r| !guard::may_define(&all, &who, r).is_allowed()) {
            return Err(ArmError::new(
                403,
                "LinkedAuthorizationFailed",
                "You may write role definitions here, but not at every assignable scope of this role.",
            )
            .target("properties.assignableScopes"));
        }
        // The normal form is kept: what clients read back has every list.
        let typed = serde_json::to_value(&role.properties).map_err(|_| ArmError::internal())?;
        draft.rest.insert("properties".into(), typed);
        Ok(())
    }

    async fn removing(&self, tx: &mut dyn Write, call: &Call, old: &Resource) -> Result<(), ArmError> {
        let all = snapshot(tx.as_read(), &self.universe).await?;
        let role = role_of(old)?;
        let who = acting(call);
        let may = |scope: &String| {
            let scope = Scope::parse(scope).ok();
            scope.is_some_and(|s| all.decide(&who, &ROLE_SPEC.action("delete"), &s).is_allowed())
        };
        if builtin::role(role.name).is_none() && !role.properties.assignable_scopes.iter().all(may) {
            let text =
                "You may remove role definitions here, but not at every assignable scope of this role.";
            return Err(ArmError::new(403, "LinkedAuthorizationFailed", text));
        }
        guard::check_role_removal(&all, &role)
    }

    async fn collection(
        &self,
        read: &mut dyn Read,
        call: &Call,
        scope: &Scope,
    ) -> Result<Option<Vec<Resource>>, ArmError> {
        let filter = call.filter()?;
        let custom = read.list(&Listing::of(&Scope::Tenant, &ROLE_SPEC.name())).await?;
        let tree = management::tree(read).await?;
        let here = |r: &Resource| {
            let scopes = r.properties().get("assignableScopes").cloned().unwrap_or_default();
            scopes
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|s| Scope::parse(s.as_str()?).ok())
                .any(|s| tree.contains(&s, scope) || tree.contains(scope, &s))
        };
        let only = filter.as_ref().and_then(|f| f.required("type")).map(str::to_owned);
        let mut all: Vec<Resource> = builtin::roles().iter().map(built_in).collect();
        all.extend(custom.into_iter().filter(here));
        if let Some(only) = only {
            all.retain(|r| {
                r.properties()
                    .get("type")
                    .and_then(Value::as_str)
                    .is_some_and(|t| t.eq_ignore_ascii_case(&only))
            });
        }
        Ok(Some(all))
    }

    async fn present(&self, _: &mut dyn Read, _: &Call, resource: &Resource) -> Result<Value, ArmError> {
        Ok(self.render(resource))
    }
}

/// The facts of a type that hold at a scope, and those inside it unless the filter says `atScope()`.
pub(crate) async fn around(
    read: &mut (dyn Read + '_),
    spec: &TypeSpec,
    scope: &Scope,
    filter: Option<&Filter>,
) -> Result<Vec<Resource>, ArmError> {
    let only_above = filter.is_some_and(|f| f.function("atScope").is_some());
    let mut all = read.list(&Listing::of(&Scope::Tenant, &spec.name())).await?;
    let tree = management::tree(read).await?;
    all.retain(|r| {
        let at = access::scope_of(r);
        tree.contains(&at, scope) || (!only_above && tree.contains(scope, &at))
    });
    Ok(all)
}

struct RoleAssignments {
    universe: LateUniverse,
}

static ASSIGNMENT_SPEC: TypeSpec = TypeSpec {
    schema: properties_schema::<AssignmentProperties>,
    ..spec("roleAssignments", PutStyle::AlwaysCreated)
};

/// Role assignments as a type.
pub(crate) fn assignments() -> &'static TypeSpec {
    &ASSIGNMENT_SPEC
}

impl RoleAssignments {
    /// Refuses an edit of the facts that takes the last Owner of everything away.
    async fn keeps_an_owner(
        &self,
        tx: &mut dyn Write,
        edit: impl FnOnce(&mut Facts) + Send,
    ) -> Result<(), ArmError> {
        let universe = self.universe.get().cloned().ok_or_else(ArmError::internal)?;
        let mut facts = access::living_facts(tx.as_read(), universe).await?;
        let before = Snapshot::compile(facts.clone());
        edit(&mut facts);
        guard::keeps_an_owner(&before, &Snapshot::compile(facts))
    }
}

#[async_trait]
impl ResourceType for RoleAssignments {
    fn spec(&self) -> &TypeSpec {
        &ASSIGNMENT_SPEC
    }

    fn seen_from(&self, mut resource: Resource, asked: &Scope) -> Resource {
        if let Ok(assignment) = access::assignment_of(&resource) {
            let role = role_seen_from(asked, &assignment.role.to_string()).to_string();
            resource.properties_mut().insert("roleDefinitionId".into(), role.into());
        }
        resource
    }

    fn shows_removed(&self) -> bool {
        true
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        call: &Call,
        draft: &mut Resource,
        old: Option<&Resource>,
    ) -> Result<(), ArmError> {
        let now = instant(tx.now());
        let kept = old.map(Resource::properties).unwrap_or_default();
        let scope = access::scope_of(draft);
        let properties = draft.properties_mut();
        properties.insert("scope".into(), scope.to_string().into());
        properties
            .insert("createdOn".into(), kept.get("createdOn").cloned().unwrap_or_else(|| now.clone().into()));
        properties.insert(
            "createdBy".into(),
            kept.get("createdBy").cloned().unwrap_or_else(|| call.caller.object_id.clone().into()),
        );
        properties.insert("updatedOn".into(), now.into());
        properties.insert("updatedBy".into(), call.caller.object_id.clone().into());
        if !properties.contains_key("principalType") || properties["principalType"].is_null() {
            properties.insert("principalType".into(), "User".into());
        }
        let assignment = access::assignment_of(draft)?;
        let role = role_id(&assignment.role.to_string()).to_string();
        draft.properties_mut().insert("roleDefinitionId".into(), role.into());
        let all = snapshot(tx.as_read(), &self.universe).await?;
        guard::check_assignment(&all, &assignment)?;
        if let Some(old) = old {
            let before = access::assignment_of(old)?;
            if (before.principal, before.role) != (assignment.principal, assignment.role) {
                return Err(ArmError::bad(
                    "RoleAssignmentUpdateNotPermitted",
                    "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
                ));
            }
            if scope != Scope::Tenant {
                return Ok(());
            }
            let name = assignment.name;
            self.keeps_an_owner(tx, |facts| {
                facts.assignments.retain(|a| a.name != name);
                facts.assignments.push(assignment);
            })
            .await?;
        }
        Ok(())
    }

    async fn removing(&self, tx: &mut dyn Write, _: &Call, old: &Resource) -> Result<(), ArmError> {
        if access::scope_of(old) != Scope::Tenant {
            return Ok(());
        }
        let name = access::guid_name(old)?;
        self.keeps_an_owner(tx, |facts| facts.assignments.retain(|a| a.name != name)).await
    }

    async fn collection(
        &self,
        read: &mut dyn Read,
        call: &Call,
        scope: &Scope,
    ) -> Result<Option<Vec<Resource>>, ArmError> {
        let filter = call.filter()?;
        let mut found = around(read, &ASSIGNMENT_SPEC, scope, filter.as_ref()).await?;
        if let Some(who) = filter.as_ref().and_then(|f| f.function("assignedTo")).and_then(|a| a.first()) {
            let who = Uuid::try_parse(who).map_err(|_| {
                ArmError::bad("InvalidFilterInQueryString", "assignedTo() takes an object id.")
                    .target("$filter")
            })?;
            let groups: Vec<Uuid> = snapshot(read, &self.universe)
                .await?
                .groups_of(PrincipalId(who))
                .iter()
                .map(|g| g.0)
                .collect();
            found.retain(|r| {
                access::assignment_of(r)
                    .is_ok_and(|a| a.principal.0 == who || groups.contains(&a.principal.0))
            });
        }
        Ok(Some(found))
    }
}

struct DenyAssignments;

static DENY_SPEC: TypeSpec = TypeSpec {
    schema: properties_schema::<DenyAssignmentProperties>,
    ..spec("denyAssignments", PutStyle::Normal)
};

#[async_trait]
impl ResourceType for DenyAssignments {
    fn spec(&self) -> &TypeSpec {
        &DENY_SPEC
    }

    fn shows_removed(&self) -> bool {
        true
    }

    async fn prepare(
        &self,
        _: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        _: Option<&Resource>,
    ) -> Result<(), ArmError> {
        let scope = access::scope_of(draft).to_string();
        draft.properties_mut().insert("scope".into(), scope.into());
        draft.properties_mut().insert("isSystemProtected".into(), false.into());
        access::denial_of(draft).map(|_| ())
    }

    async fn collection(
        &self,
        read: &mut dyn Read,
        call: &Call,
        scope: &Scope,
    ) -> Result<Option<Vec<Resource>>, ArmError> {
        Ok(Some(around(read, &DENY_SPEC, scope, call.filter()?.as_ref()).await?))
    }
}

/// What a principal is, as far as the directory knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub(crate) enum KnownPrincipal {
    User,
    Group,
    ServicePrincipal,
    Unknown,
}

/// What is known of a principal.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) kind: KnownPrincipal,
    pub(crate) name: String,
    /// What a person signs in with.
    pub(crate) email: Option<String>,
}

/// Every principal.
pub(crate) type Names = HashMap<Uuid, Known>;

/// Reads them.
pub(crate) async fn names(read: &mut (dyn Read + '_)) -> Result<Names, ArmError> {
    let mut out = Names::new();
    for (_, group) in read_documents::<GroupRecord>(read, GROUP).await? {
        let known = Known { kind: KnownPrincipal::Group, name: group.display_name, email: None };
        out.insert(group.id, known);
    }
    for (what, kind) in
        [("person", KnownPrincipal::User), ("servicePrincipal", KnownPrincipal::ServicePrincipal)]
    {
        for document in read.documents(what).await? {
            if let Ok(id) = Uuid::try_parse(&document.key) {
                let body = document.body()?;
                let text = |field: &str| body[field].as_str().map(str::to_owned);
                let name = text("displayName").unwrap_or_default();
                out.insert(id, Known { kind, name, email: text("userPrincipalName") });
            }
        }
    }
    Ok(out)
}

/// The role assignment that gives a principal a built-in role at a scope.
pub fn assignment(
    role: RoleId,
    scope: &Scope,
    principal: Uuid,
    kind: &str,
    now: OffsetDateTime,
) -> Result<Resource, ArmError> {
    let id = scope
        .resource_in("Microsoft.Authorization", "roleAssignments", &Uuid::new_v4().to_string())
        .map_err(|_| ArmError::internal())?;
    let at = instant(now);
    let properties = json!({
        "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{role}"),
        "principalId": principal, "principalType": kind, "scope": scope.to_string(),
        "createdOn": at, "updatedOn": at, "createdBy": principal, "updatedBy": principal,
    });
    Ok(Resource {
        id,
        type_name: TypeName::new("Microsoft.Authorization", "roleAssignments"),
        location: None,
        tags: None,
        etag: String::new(),
        sequence: 0,
        created_at: now,
        changed_at: now,
        rest: serde_json::Map::from_iter([("properties".to_owned(), properties)]),
    })
}
