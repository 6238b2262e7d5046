//! The registry of resource types. A type is a [`TypeSpec`] (what it is called, where it lives, how it is kept) and a
//! [`ResourceType`] (what it checks and shows); everything else about serving it is generic.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::filter::Filter;
use crate::resource::object_entry;
use crate::shape::{OrderBy, Select};
use crate::{ApiVersion, ArmError, CallerRef, Read, Resource, Scope, TypeName, Write};

/// The kinds of scopes a type may live in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeKind {
    /// The tenant root.
    Tenant,
    /// A management group.
    ManagementGroup,
    /// A subscription.
    Subscription,
    /// A resource group.
    ResourceGroup,
    /// Any resource: an extension type.
    Resource,
}

impl ScopeKind {
    /// All kinds, from the outermost.
    pub const ALL: [ScopeKind; 5] =
        [Self::Tenant, Self::ManagementGroup, Self::Subscription, Self::ResourceGroup, Self::Resource];

    /// The kind of a scope.
    pub fn of(scope: &Scope) -> Self {
        match scope {
            Scope::Tenant => Self::Tenant,
            Scope::ManagementGroup(_) => Self::ManagementGroup,
            Scope::Subscription(_) => Self::Subscription,
            Scope::ResourceGroup { .. } => Self::ResourceGroup,
            Scope::Resource(_) => Self::Resource,
        }
    }
}

/// How the resources of a type are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Each is a row of its own.
    Row,
    /// They are elements of an array in the parent's `properties`, so that parent and children change together.
    Embedded {
        /// The array's name.
        property: &'static str,
        /// Whether a PUT of the parent that does not mention the array leaves the children alone.
        keep_when_absent: bool,
    },
    /// They are made on the fly from other things; [`ResourceType::computed`] answers, and nothing is written.
    Computed,
}

/// Whether clients may PUT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutStyle {
    /// 201 when new, 200 when it was there.
    Normal,
    /// Always 201, as role definitions answer.
    AlwaysCreated,
    /// 200 when new and when it was there.
    AlwaysOk,
    /// Only the server makes such resources; clients may change what exists.
    UpdateOnly,
    /// Never.
    Refused,
}

/// How an action answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionStyle {
    /// 200 with the result.
    Sync,
    /// 202 with the result: something has begun that Azure lets nobody poll.
    Accepted,
    /// 202 with `Location` and `Azure-AsyncOperation`, as Azure does for work that takes time.
    LongRunning,
}

/// A POST action of a type or of a scope.
#[derive(Debug, Clone, Copy)]
pub struct Action {
    /// The last segment of the path.
    pub verb: &'static str,
    /// How it answers.
    pub style: ActionStyle,
    /// Whether it only reads; then it needs no transaction and no audit entry.
    pub reads: bool,
    /// What it does, in a few English words, for `providerOperations`.
    pub title: &'static str,
    /// The JSON schema of the request's body.
    pub takes: fn(&mut SchemaGenerator) -> Schema,
    /// The JSON schema of the answer.
    pub answers: fn(&mut SchemaGenerator) -> Schema,
}

/// What a type is called and how it is served.
pub struct TypeSpec {
    /// The provider namespace.
    pub namespace: &'static str,
    /// The type path, child types joined by `/`.
    pub path: &'static str,
    /// The api-versions listed for it, newest first.
    pub versions: &'static [&'static str],
    /// Where it may live (for child types: where the outermost parent may).
    pub scopes: &'static [ScopeKind],
    /// How it is kept.
    pub storage: Storage,
    /// How PUT answers.
    pub put: PutStyle,
    /// Whether it has a location, which a PUT must then name.
    pub location: bool,
    /// Whether the body shows an etag.
    pub shows_etag: bool,
    /// Whether `properties.provisioningState` is shown.
    pub shows_state: bool,
    /// Its actions.
    pub actions: &'static [Action],
    /// The JSON schema of the whole body, without the envelope's fields for types that clients write.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

impl TypeSpec {
    /// The type's name.
    pub fn name(&self) -> TypeName {
        TypeName::new(self.namespace, self.path)
    }

    /// How the collection is called where no location is named, for what lives in the locations of a scope: Azure lists
    /// `locations/{location}/x` as `x`, too.
    pub fn unlocated(&self) -> Option<&'static str> {
        self.path.strip_prefix("locations/").filter(|path| !path.contains('/'))
    }

    /// The RBAC action of a verb: `read`, `write`, `delete`, or `{verb}/action`.
    pub fn action(&self, verb: &str) -> String {
        // Groups, subscriptions and tenants carry their parents' names in their actions, unlike in their types.
        match (self.namespace, self.path) {
            ("Microsoft.Resources", "resourceGroups") => {
                format!("Microsoft.Resources/subscriptions/resourceGroups/{verb}")
            }
            _ => format!("{}/{}/{verb}", self.namespace, self.path),
        }
    }
}

/// What is known about the request that a type's code runs for.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who asks.
    pub caller: CallerRef,
    /// The api-version asked for.
    pub api_version: ApiVersion,
    /// `https://host:port` as the client reached us; absolute URLs are built from it.
    pub base_url: String,
    /// The query, names in lower case.
    pub query: HashMap<String, String>,
    /// One id for everything this request causes.
    pub correlation_id: String,
    /// The sign-in that the request stands on.
    pub sign_in: SignIn,
    /// Where it came from; `None` when it was made on the server itself.
    pub address: Option<IpAddr>,
    /// When it came.
    pub at: OffsetDateTime,
}

/// A sign-in of a person, as far as types look at it. Programs have none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignIn {
    /// What it is known by, innermost first: what a client was let in with, and the portal's session. What is bound to
    /// a sign-in is bound to one of these.
    pub ids: Vec<Uuid>,
    /// When two factors were last proved in it.
    pub multi_factor: Option<OffsetDateTime>,
    /// When something was last proved in it that cannot be phished.
    pub phishing_resistant: Option<OffsetDateTime>,
}

impl Call {
    /// A query value.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// Whether it is only tried: run, measured and undone.
    pub fn is_tried(&self) -> bool {
        self.query("whatif").is_some_and(|v| v.eq_ignore_ascii_case("true"))
    }

    /// The sign-in with what was proved in it. What is only tried is proved when it is sent.
    pub fn proved(&self, now: OffsetDateTime) -> SignIn {
        if self.is_tried() {
            return SignIn { ids: Vec::new(), multi_factor: Some(now), phishing_resistant: Some(now) };
        }
        self.sign_in.clone()
    }

    /// `$filter`, when there is one.
    ///
    /// # Errors
    /// 400 when it cannot be read.
    pub fn filter(&self) -> Result<Option<Filter>, ArmError> {
        self.query("$filter").filter(|f| !f.trim().is_empty()).map(Filter::parse).transpose()
    }

    /// `$orderby`, when there is one.
    ///
    /// # Errors
    /// 400 when it cannot be read.
    pub fn order(&self) -> Result<Option<OrderBy>, ArmError> {
        self.query("$orderby").map(OrderBy::parse).transpose()
    }

    /// `$select`, when there is one.
    ///
    /// # Errors
    /// 400 when it cannot be read.
    pub fn select(&self) -> Result<Option<Select>, ArmError> {
        self.query("$select").map(Select::parse).transpose()
    }

    /// Whether `$expand` names `what`.
    pub fn expands(&self, what: &str) -> bool {
        self.query("$expand").is_some_and(|e| e.split(',').any(|p| p.trim().eq_ignore_ascii_case(what)))
    }
}

/// The behaviour of a type. Every method has the generic meaning as its default.
#[async_trait]
pub trait ResourceType: Send + Sync {
    /// What it is called and how it is served.
    fn spec(&self) -> &TypeSpec;

    /// Checks and normalises what is about to be kept. `draft` carries the client's body; fields that only the server
    /// sets are copied from `old` here.
    async fn prepare(
        &self,
        tx: &mut dyn Write,
        call: &Call,
        draft: &mut Resource,
        old: Option<&Resource>,
    ) -> Result<(), ArmError> {
        let _ = (tx, call, draft, old);
        Ok(())
    }

    /// Whether its list can be asked for some of the fields only, by `$select`. Elsewhere that is not looked at.
    fn selects(&self) -> bool {
        false
    }

    /// Whether a PUT has a body. Without, it is the same as an empty object.
    fn needs_body(&self) -> bool {
        true
    }

    /// Where the caller needs the right to write: for what is not there yet and whose place among the scopes is not
    /// written in its id, the scope that it will be in.
    async fn judged_at(&self, read: &mut dyn Read, id: &Scope, body: &Value) -> Result<Scope, ArmError> {
        let _ = (read, body);
        Ok(id.clone())
    }

    /// Whether the caller may write this, whatever their rights.
    async fn is_open(
        &self,
        read: &mut dyn Read,
        call: &Call,
        id: &Scope,
        body: &Value,
    ) -> Result<bool, ArmError> {
        let _ = (read, call, id, body);
        Ok(false)
    }

    /// Whether this is the caller's own, so that they may read it and act on it whatever their rights.
    async fn is_own(&self, read: &mut dyn Read, call: &Call, id: &Scope) -> Result<bool, ArmError> {
        let _ = (read, call, id);
        Ok(false)
    }

    /// Whether a list is asked for that holds nothing but the caller's own, which needs no right.
    fn lists_own(&self, call: &Call) -> Result<bool, ArmError> {
        let _ = call;
        Ok(false)
    }

    /// What a body attaches itself to, with the RBAC action that the caller needs there: a right over one resource must
    /// not be a way to use another.
    fn links(&self, body: &Value) -> Vec<(Scope, &'static str)> {
        let _ = body;
        Vec::new()
    }

    /// As [`ResourceType::links`], for what a body names in words of the place it is sent to.
    fn links_within(&self, id: &Scope, body: &Value) -> Vec<(Scope, &'static str)> {
        let _ = (id, body);
        Vec::new()
    }

    /// Runs in the same transaction after the resource was kept.
    async fn written(&self, tx: &mut dyn Write, call: &Call, new: &Resource) -> Result<(), ArmError> {
        let _ = (tx, call, new);
        Ok(())
    }

    /// Runs before the resource is removed; an error keeps it.
    async fn removing(&self, tx: &mut dyn Write, call: &Call, old: &Resource) -> Result<(), ArmError> {
        let _ = (tx, call, old);
        Ok(())
    }

    /// The body that ARM shows. Children kept inside are rendered by the engine afterwards.
    async fn present(
        &self,
        read: &mut dyn Read,
        call: &Call,
        resource: &Resource,
    ) -> Result<Value, ArmError> {
        let _ = (read, call);
        Ok(self.render(resource))
    }

    /// Resources of a list, in the order of their ids, each as [`ResourceType::present`] shows it. A type that reads
    /// something about each of them reads it here for all at once.
    async fn present_all(
        &self,
        read: &mut dyn Read,
        call: &Call,
        resources: &[Resource],
    ) -> Result<Vec<Value>, ArmError> {
        let mut all = Vec::with_capacity(resources.len());
        for resource in resources {
            all.push(self.present(read, call, resource).await?);
        }
        Ok(all)
    }

    /// Runs an action. Only verbs of the spec arrive.
    async fn act(
        &self,
        tx: &mut dyn Write,
        call: &Call,
        target: &Resource,
        verb: &str,
        body: Value,
    ) -> Result<Value, ArmError> {
        let _ = (tx, call, target, body);
        Err(ArmError::method_not_allowed("POST", verb))
    }

    /// Answers for a [`Storage::Computed`] type: the whole body of the collection, or of the item called `name`.
    async fn computed(
        &self,
        read: &mut dyn Read,
        call: &Call,
        scope: &Scope,
        name: Option<&str>,
    ) -> Result<Value, ArmError> {
        let _ = (read, call, scope, name);
        Err(ArmError::method_not_allowed("GET", self.spec().path))
    }

    /// The id a resource is kept under, when one thing can be reached at several scopes.
    fn stored_id(&self, id: &Scope) -> Scope {
        id.clone()
    }

    /// The resource as it looks from where it was asked for: an item's id, or a collection's scope.
    fn seen_from(&self, resource: Resource, asked: &Scope) -> Resource {
        let _ = asked;
        resource
    }

    /// Whether the collection's answer is one thing and no list. Only for [`Storage::Computed`].
    fn is_singleton(&self) -> bool {
        false
    }

    /// Whether clients may DELETE one. What they may not goes with what contains it.
    fn is_removable(&self) -> bool {
        true
    }

    /// Whether DELETE answers with the body of what it removed.
    fn shows_removed(&self) -> bool {
        false
    }

    /// Whether DELETE answers 202 with an operation to poll, as Azure does for what takes time there.
    fn removal_is_long_running(&self) -> bool {
        false
    }

    /// A resource that exists without being kept, such as a built-in role.
    async fn built_in(&self, read: &mut dyn Read, id: &Scope) -> Result<Option<Resource>, ArmError> {
        let _ = (read, id);
        Ok(None)
    }

    /// All resources of a collection, for types whose lists are not "the rows inside the scope". `None` asks for the
    /// generic list.
    async fn collection(
        &self,
        read: &mut dyn Read,
        call: &Call,
        scope: &Scope,
    ) -> Result<Option<Vec<Resource>>, ArmError> {
        let _ = (read, call, scope);
        Ok(None)
    }

    /// The envelope with what the spec asks for.
    fn render(&self, resource: &Resource) -> Value {
        let spec = self.spec();
        let mut body = resource.to_json();
        if let Value::Object(map) = &mut body {
            if !spec.shows_etag {
                map.remove("etag");
            }
            if spec.shows_state {
                object_entry(map, "properties").insert("provisioningState".into(), "Succeeded".into());
            }
        }
        body
    }
}

/// An action that belongs to a scope rather than to a resource, such as `{scope}/providers/X/explain`.
#[async_trait]
pub trait ScopeAction: Send + Sync {
    /// The namespace.
    fn namespace(&self) -> &'static str;
    /// The verb and how it answers.
    fn action(&self) -> Action;
    /// The right that is needed.
    fn right(&self) -> String {
        format!("{}/{}/action", self.namespace(), self.action().verb)
    }
    /// Whether one that reads shows whoever has the right only further below what is there, as lists do.
    fn shows_part(&self) -> bool {
        false
    }
    /// What may stand in the query beside the api-version.
    fn queries(&self) -> &'static [&'static str] {
        &[]
    }
    /// Whether the caller asks about nobody but themselves, which whoever may know of the scope may do.
    fn is_about(&self, caller: &CallerRef, body: &Value) -> bool {
        let _ = (caller, body);
        false
    }
    /// Runs one that reads.
    async fn act(
        &self,
        read: &mut dyn Read,
        call: &Call,
        scope: &Scope,
        body: Value,
    ) -> Result<Value, ArmError> {
        let _ = (read, call, scope, body);
        Err(ArmError::method_not_allowed("POST", self.action().verb))
    }
    /// Runs one that changes something, in the transaction of its audit entry.
    async fn change(
        &self,
        tx: &mut dyn Write,
        call: &Call,
        scope: &Scope,
        body: Value,
    ) -> Result<Value, ArmError> {
        let _ = (tx, call, scope, body);
        Err(ArmError::method_not_allowed("POST", self.action().verb))
    }
}

/// All types and scope actions the server has.
#[derive(Default, Clone)]
pub struct Registry {
    types: HashMap<String, Arc<dyn ResourceType>>,
    order: Vec<String>,
    scope_actions: HashMap<String, Arc<dyn ScopeAction>>,
}

impl Registry {
    /// Adds a type.
    pub fn add(&mut self, kind: impl ResourceType + 'static) -> &mut Self {
        let key = kind.spec().name().key();
        self.order.push(key.clone());
        self.types.insert(key, Arc::new(kind));
        self
    }

    /// Adds a scope action.
    pub fn add_scope_action(&mut self, action: impl ScopeAction + 'static) -> &mut Self {
        let key = format!("{}/{}", action.namespace(), action.action().verb).to_ascii_lowercase();
        self.scope_actions.insert(key, Arc::new(action));
        self
    }

    /// The type called `name`.
    ///
    /// # Errors
    /// 404 `InvalidResourceNamespace` or `InvalidResourceType` in Azure's words.
    pub fn find(&self, name: &TypeName, version: &ApiVersion) -> Result<&Arc<dyn ResourceType>, ArmError> {
        self.types.get(&name.key()).ok_or_else(|| self.unknown(name, version))
    }

    fn unknown(&self, name: &TypeName, version: &ApiVersion) -> ArmError {
        if self.namespaces().iter().any(|n| n.eq_ignore_ascii_case(&name.namespace)) {
            ArmError::new(
                404,
                "InvalidResourceType",
                format!(
                    "The resource type '{}' could not be found in the namespace '{}' for api version '{version}'.",
                    name.path, name.namespace
                ),
            )
        } else {
            let text = format!("The resource namespace '{}' is invalid.", name.namespace);
            ArmError::new(404, "InvalidResourceNamespace", text)
        }
    }

    /// The type called `name`, if there is one.
    pub fn get(&self, name: &TypeName) -> Option<&Arc<dyn ResourceType>> {
        self.types.get(&name.key())
    }

    /// The type that is listed as `name`: the one of that name, or what lives in locations and is listed in all of them.
    pub fn listed(&self, name: TypeName) -> TypeName {
        let located = TypeName::new(name.namespace.clone(), format!("locations/{}", name.path));
        let is_located = || self.get(&located).is_some_and(|kind| kind.spec().unlocated().is_some());
        if self.get(&name).is_none() && is_located() { located } else { name }
    }

    /// A scope action.
    pub fn scope_action(&self, name: &TypeName) -> Option<&Arc<dyn ScopeAction>> {
        self.scope_actions.get(&name.key())
    }

    /// All types in the order they were added.
    pub fn types(&self) -> impl Iterator<Item = &Arc<dyn ResourceType>> {
        self.order.iter().filter_map(|k| self.types.get(k))
    }

    /// All scope actions, by name.
    pub fn scope_actions(&self) -> impl Iterator<Item = &Arc<dyn ScopeAction>> {
        let mut keys: Vec<_> = self.scope_actions.keys().collect();
        keys.sort();
        keys.into_iter().filter_map(|k| self.scope_actions.get(k))
    }

    /// The namespaces, each once, in the order they were added.
    pub fn namespaces(&self) -> Vec<&'static str> {
        let mut out: Vec<&'static str> = Vec::new();
        for kind in self.types() {
            if !out.contains(&kind.spec().namespace) {
                out.push(kind.spec().namespace);
            }
        }
        for action in self.scope_actions() {
            if !out.contains(&action.namespace()) {
                out.push(action.namespace());
            }
        }
        out
    }

    /// The child types kept inside the resources of `name`, with the array they are in.
    pub fn embedded(&self, name: &TypeName) -> Vec<(&Arc<dyn ResourceType>, &'static str, bool)> {
        self.types()
            .filter_map(|kind| match kind.spec().storage {
                Storage::Embedded { property, keep_when_absent }
                    if kind.spec().name().parent().as_ref() == Some(name) =>
                {
                    Some((kind, property, keep_when_absent))
                }
                _ => None,
            })
            .collect()
    }

    /// Every RBAC operation the server knows.
    pub fn operations(&self) -> Vec<String> {
        let mut out = Vec::new();
        for kind in self.types() {
            let spec = kind.spec();
            out.push(spec.action("read"));
            if spec.storage != Storage::Computed {
                out.push(spec.action("write"));
                out.push(spec.action("delete"));
            }
            out.extend(spec.actions.iter().map(|a| spec.action(&format!("{}/action", a.verb))));
        }
        for action in self.scope_actions() {
            let right = action.right();
            if !out.contains(&right) {
                out.push(right);
            }
        }
        out
    }
}

/// Values that [`ResourceType::prepare`] leaves under this key of the draft's `rest` are shown once, in the answer of
/// that PUT, inside `properties`, and are never kept: secrets that the server makes.
pub const SHOWN_ONCE: &str = "$once";

/// The schema of a body of which only the `properties` are described.
pub fn properties_schema<T: schemars::JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({
        "type": "object",
        "required": ["properties"],
        "properties": {"properties": generator.subschema_for::<T>()},
    })
}

/// The schema of a body whose answers show more than what clients send.
pub fn two_sided<Sent: schemars::JsonSchema, Shown: schemars::JsonSchema>(
    generator: &mut SchemaGenerator,
) -> Schema {
    if generator.contract().is_serialize() {
        generator.subschema_for::<Shown>()
    } else {
        generator.subschema_for::<Sent>()
    }
}

/// A schema for types whose body is not described further.
pub fn any_schema(_: &mut SchemaGenerator) -> Schema {
    Schema::from(Map::from_iter([("type".to_owned(), Value::from("object"))]))
}
