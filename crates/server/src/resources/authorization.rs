//! `Microsoft.Authorization`: role definitions, role assignments, deny assignments, and the questions people ask about
//! them. The meaning is `rbac`'s; here it meets the database.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use schemars::{JsonSchema, SchemaGenerator};
use sekisho_arm::filter::Filter;
use sekisho_arm::registry::{
    Action, ActionStyle, PutStyle, Registry, ScopeAction, Storage, any_schema, properties_schema,
};
use sekisho_arm::resource::{instant, shown};
use sekisho_arm::traits::read_documents;
use sekisho_arm::{
    ArmError, Call, CallerRef, Listing, Read, Resource, ResourceType, Scope, ScopeKind, TypeName, TypeSpec,
    Write,
};
use sekisho_rbac::condition::Source;
use sekisho_rbac::{
    AssignmentProperties, Attributes, Decision, DenyAssignmentProperties, Facts, PrincipalId, RoleDefinition,
    RoleDefinitionProperties, RoleId, Snapshot, Universe, builtin, guard, validate,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::OnceLock;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::access::{self, GROUP, GroupRecord};
use crate::arm::{Explanation, explain};
use crate::resources::management;
use crate::routes::{List, SchemaOf};

const VERSIONS: &[&str] =
    &["2024-07-01-preview", "2022-05-01-preview", "2022-04-01", "2020-10-01", "2018-07-01", "2015-07-01"];
const SCOPES: &[ScopeKind] = &[
    ScopeKind::Tenant,
    ScopeKind::ManagementGroup,
    ScopeKind::Subscription,
    ScopeKind::ResourceGroup,
    ScopeKind::Resource,
];

const fn spec(path: &'static str, put: PutStyle) -> TypeSpec {
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
        .add(ProviderOperations { universe: universe.clone() })
        .add_scope_action(Question { kind: Asked::Explain, universe: universe.clone() })
        .add_scope_action(Question { kind: Asked::WhoCan, universe: universe.clone() })
        .add_scope_action(Question { kind: Asked::Effective, universe: universe.clone() });
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
pub fn acting(call: &Call) -> Vec<PrincipalId> {
    std::iter::once(asker(call)).chain(call.sign_in.ids.iter().copied().map(PrincipalId)).collect()
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

/// `GET /providers/Microsoft.Authorization/providerOperations`: every operation the server knows.
struct ProviderOperations {
    universe: LateUniverse,
}

static OPERATIONS_SPEC: TypeSpec = TypeSpec {
    scopes: &[ScopeKind::Tenant],
    storage: Storage::Computed,
    schema: |g: &mut SchemaGenerator| g.subschema_for::<KnownOperations>(),
    ..spec("providerOperations", PutStyle::Refused)
};

#[async_trait]
impl ResourceType for ProviderOperations {
    fn spec(&self) -> &TypeSpec {
        &OPERATIONS_SPEC
    }

    async fn computed(
        &self,
        _: &mut dyn Read,
        _: &Call,
        _: &Scope,
        name: Option<&str>,
    ) -> Result<Value, ArmError> {
        let universe = self.universe.get().ok_or_else(ArmError::internal)?;
        let mut tree: BTreeMap<String, BTreeMap<String, Vec<KnownOperation>>> = BTreeMap::new();
        for op in universe
            .matching("*", sekisho_rbac::Plane::Control)
            .into_iter()
            .chain(universe.matching("*", sekisho_rbac::Plane::Data))
        {
            let full = universe.name(op);
            let (namespace, rest) = full.split_once('/').unwrap_or((full, ""));
            let words: Vec<&str> = rest.split('/').collect();
            let cut = if words.last() == Some(&"action") { 2 } else { 1 };
            let kind = words[..words.len().saturating_sub(cut)].join("/");
            let row = KnownOperation {
                name: full.to_owned(),
                display_name: rest.to_owned(),
                description: "",
                origin: "user,system",
                is_data_action: universe.plane(op) == sekisho_rbac::Plane::Data,
            };
            tree.entry(namespace.to_owned()).or_default().entry(kind).or_default().push(row);
        }
        let wanted =
            tree.into_iter().filter(|(namespace, _)| name.is_none_or(|n| n.eq_ignore_ascii_case(namespace)));
        let value: Vec<KnownOperations> = wanted
            .map(|(namespace, mut kinds)| KnownOperations {
                id: format!("/providers/Microsoft.Authorization/providerOperations/{namespace}"),
                kind: "Microsoft.Authorization/providerOperations",
                display_name: namespace.clone(),
                name: namespace,
                operations: kinds.remove("").unwrap_or_default(),
                resource_types: kinds
                    .into_iter()
                    .map(|(kind, operations)| KnownType {
                        display_name: kind.clone(),
                        name: kind,
                        operations,
                    })
                    .collect(),
            })
            .collect();
        match name {
            None => shown(&List::of(value)),
            Some(name) => shown(&value.first().ok_or_else(|| {
                ArmError::new(404, "ProviderNotFound", format!("Provider '{name}' not found."))
            })?),
        }
    }
}

/// The operations of a provider.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ProviderOperations")]
struct KnownOperations {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    display_name: String,
    resource_types: Vec<KnownType>,
    operations: Vec<KnownOperation>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ProviderResourceType")]
struct KnownType {
    name: String,
    display_name: String,
    operations: Vec<KnownOperation>,
}

/// An operation that a role may grant.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ProviderOperation")]
struct KnownOperation {
    name: String,
    display_name: String,
    description: &'static str,
    origin: &'static str,
    is_data_action: bool,
}

#[derive(Clone, Copy)]
enum Asked {
    Explain,
    WhoCan,
    Effective,
}

/// `explain`, `whoCan` and `effective`: the questions of the access pages.
struct Question {
    kind: Asked,
    universe: LateUniverse,
}

/// What is asked.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AccessQuestion")]
struct Asking {
    /// About whom; the caller when absent.
    #[schemars(with = "Option<String>")]
    principal_id: Option<Uuid>,
    /// About which operation; `effective` asks about all.
    action: Option<String>,
}

/// What somebody may do at a scope.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EffectiveActions {
    principal_id: String,
    actions: Vec<String>,
}

/// Somebody who may do what was asked.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "WhoCan")]
struct Grantee {
    principal_id: String,
    principal_type: KnownPrincipal,
    display_name: String,
    assignment_id: String,
    role_name: String,
    scope: String,
    /// The group through which the assignment holds.
    via: Option<String>,
    /// Whether it holds only in the sign-in in which it was activated.
    in_one_sign_in: bool,
}

/// What a principal is, as far as the directory knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub(crate) enum KnownPrincipal {
    User,
    Group,
    ServicePrincipal,
    Unknown,
}

#[async_trait]
impl ScopeAction for Question {
    fn namespace(&self) -> &'static str {
        "Sekisho.Authorization"
    }

    fn action(&self) -> Action {
        let (verb, title, answers): (_, _, SchemaOf) = match self.kind {
            Asked::Explain => ("explain", "Explains whether somebody may do something and why", |g| {
                g.subschema_for::<Explanation>()
            }),
            Asked::WhoCan => ("whoCan", "Lists who may do something", |g| g.subschema_for::<List<Grantee>>()),
            Asked::Effective => {
                ("effective", "Lists what somebody may do", |g| g.subschema_for::<EffectiveActions>())
            }
        };
        let takes: SchemaOf = |g| g.subschema_for::<Asking>();
        Action { verb, style: ActionStyle::Sync, reads: true, title, takes, answers }
    }

    fn is_about(&self, caller: &CallerRef, body: &Value) -> bool {
        let who = &body["principalId"];
        let own = who.is_null() || who.as_str().is_some_and(|w| w.eq_ignore_ascii_case(&caller.object_id));
        own && !matches!(self.kind, Asked::WhoCan)
    }

    async fn act(
        &self,
        read: &mut dyn Read,
        call: &Call,
        scope: &Scope,
        body: Value,
    ) -> Result<Value, ArmError> {
        let asking: Asking = sekisho_arm::resource::typed(&body, "")?;
        let all = snapshot(read, &self.universe).await?;
        let who = asking.principal_id.map_or_else(|| asker(call), PrincipalId);
        let active = access::schedules(read, access::ASSIGNMENTS).await?;
        let bound: HashMap<PrincipalId, PrincipalId> =
            active.iter().filter_map(|s| Some((PrincipalId(s.sign_in?), s.principal))).collect();
        // What somebody may do in any of their sign-ins.
        let sign_ins = bound.iter().filter(|(_, person)| **person == who).map(|(sign_in, _)| *sign_in);
        let acting: Vec<PrincipalId> = std::iter::once(who).chain(sign_ins).collect();
        let action = || {
            let name = asking.action.clone().unwrap_or_default();
            match all.universe().find(&name) {
                Some(_) => Ok(name),
                None => Err(ArmError::bad(
                    "InvalidAction",
                    format!("The action '{name}' is not known to this server."),
                )
                .target("action")),
            }
        };
        match self.kind {
            Asked::Explain => {
                let action = action()?;
                let decision = all.decide(&acting, &action, scope);
                let mut out = explain(&decision, &action, scope);
                if let (Decision::Allowed { role, .. }, Some(grant)) = (&decision, &mut out.assignment) {
                    grant.role_name = Some(role_name(&all, *role));
                    grant.principal_id = Some(who.to_string());
                }
                out.message = Some(match decision.into_result(&who.to_string(), who, &action, scope) {
                    Ok(()) => "Allowed.".to_owned(),
                    Err(error) => error.message,
                });
                shown(&out)
            }
            Asked::WhoCan => {
                let action = action()?;
                let names = names(read).await?;
                let value: Vec<Grantee> = all
                    .who_can(&action, scope)
                    .into_iter()
                    .filter_map(|grantee| {
                        let Decision::Allowed { assignment, at, role, via_group } = grantee.decision else {
                            return None;
                        };
                        let person = bound.get(&grantee.principal);
                        let principal = *person.unwrap_or(&grantee.principal);
                        let unknown = (KnownPrincipal::Unknown, principal.to_string());
                        let (principal_type, display_name) =
                            names.get(&principal.0).cloned().unwrap_or(unknown);
                        Some(Grantee {
                            principal_id: principal.to_string(),
                            in_one_sign_in: person.is_some(),
                            principal_type,
                            display_name,
                            assignment_id: assignment.to_string(),
                            role_name: role_name(&all, role),
                            scope: at.to_string(),
                            via: via_group.map(|g| g.to_string()),
                        })
                    })
                    .collect();
                shown(&List::of(value))
            }
            Asked::Effective => shown(&EffectiveActions {
                principal_id: who.to_string(),
                actions: all.effective(&acting, scope).into_iter().map(str::to_owned).collect(),
            }),
        }
    }
}

fn role_name(all: &Snapshot, role: RoleId) -> String {
    all.role(role).map(|r| r.properties.role_name.clone()).unwrap_or_default()
}

/// Kind and name of every principal.
pub(crate) type Names = HashMap<Uuid, (KnownPrincipal, String)>;

/// Reads them.
pub(crate) async fn names(read: &mut (dyn Read + '_)) -> Result<Names, ArmError> {
    let mut out = Names::new();
    for (_, group) in read_documents::<GroupRecord>(read, GROUP).await? {
        out.insert(group.id, (KnownPrincipal::Group, group.display_name));
    }
    for (kind, label) in
        [("person", KnownPrincipal::User), ("servicePrincipal", KnownPrincipal::ServicePrincipal)]
    {
        for document in read.documents(kind).await? {
            if let Ok(id) = Uuid::try_parse(&document.key) {
                out.insert(id, (label, document.body["displayName"].as_str().unwrap_or_default().to_owned()));
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
