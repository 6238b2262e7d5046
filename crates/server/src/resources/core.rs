//! Tenants, subscriptions, locations, providers and the generic resource list.

use std::collections::BTreeMap;

use schemars::{JsonSchema, SchemaGenerator};
use sekisho_arm::filter::{Filter, lookup};
use sekisho_arm::registry::{PutStyle, Registry, Storage};
use sekisho_arm::resource::{instant, shown};
use sekisho_arm::{ArmError, Call, Listing, Read, ResourceType, Scope, ScopeKind, TypeName, TypeSpec};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::http as web;
use crate::routes::List;

/// The api-versions of the core types (groups, subscriptions, tags, providers), newest first.
pub const VERSIONS: &[&str] = &[
    "2025-04-01",
    "2024-11-01",
    "2024-07-01",
    "2022-12-01",
    "2022-09-01",
    "2021-04-01",
    "2020-06-01",
    "2019-10-01",
    "2018-05-01",
    "2016-06-01",
    "2015-01-01",
];
/// The right by which a scope is seen.
pub const GROUP_READ: &str = "Microsoft.Resources/subscriptions/resourceGroups/read";

/// `Microsoft.Resources/subscriptions` as an item; the list is at `/subscriptions`.
pub struct Subscriptions {
    /// The tenant.
    pub tenant: String,
}

static SUBSCRIPTION_SPEC: TypeSpec = TypeSpec {
    namespace: "Microsoft.Resources",
    path: "subscriptions",
    versions: VERSIONS,
    scopes: &[ScopeKind::Tenant],
    storage: Storage::Row,
    put: PutStyle::Refused,
    location: false,
    shows_etag: false,
    shows_state: false,
    actions: &[],
    schema: |g: &mut SchemaGenerator| g.subschema_for::<Subscription>(),
};

#[async_trait::async_trait]
impl ResourceType for Subscriptions {
    fn spec(&self) -> &TypeSpec {
        &SUBSCRIPTION_SPEC
    }

    async fn removing(
        &self,
        _: &mut dyn sekisho_arm::Write,
        _: &Call,
        _: &sekisho_arm::Resource,
    ) -> Result<(), ArmError> {
        Err(ArmError::method_not_allowed("DELETE", "Microsoft.Resources/subscriptions"))
    }

    async fn present(
        &self,
        _: &mut dyn Read,
        _: &Call,
        resource: &sekisho_arm::Resource,
    ) -> Result<Value, ArmError> {
        shown(&subscription(&self.tenant, resource))
    }
}

/// A subscription.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    id: String,
    subscription_id: String,
    tenant_id: String,
    display_name: String,
    state: &'static str,
    subscription_policies: SubscriptionPolicies,
    authorization_source: &'static str,
    managed_by_tenants: [String; 0],
    #[schemars(with = "BTreeMap<String, String>")]
    tags: Map<String, Value>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SubscriptionPolicies {
    location_placement_id: &'static str,
    quota_id: &'static str,
    spending_limit: &'static str,
}

fn subscription(tenant: &str, resource: &sekisho_arm::Resource) -> Subscription {
    let name = resource.id.name();
    Subscription {
        id: resource.id.to_string(),
        subscription_id: name.to_owned(),
        tenant_id: tenant.to_owned(),
        display_name: resource.rest.get("displayName").and_then(Value::as_str).unwrap_or(name).to_owned(),
        state: "Enabled",
        subscription_policies: SubscriptionPolicies {
            location_placement_id: "Public_2014-09-01",
            quota_id: "Sekisho",
            spending_limit: "Off",
        },
        authorization_source: "RoleBased",
        managed_by_tenants: [],
        tags: resource.tags.clone().unwrap_or_default(),
    }
}

/// A tenant: there is one.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    id: String,
    tenant_id: String,
    country_code: &'static str,
    display_name: String,
    domains: [String; 1],
    default_domain: String,
    tenant_category: &'static str,
    tenant_type: &'static str,
}

/// `GET /tenants`.
pub fn tenants(app: &App) -> List<Tenant> {
    let host = app.config.host.clone();
    List::of(vec![Tenant {
        id: format!("/tenants/{}", app.tenant),
        tenant_id: app.tenant.to_string(),
        country_code: "JP",
        display_name: app.config.organization.clone(),
        domains: [host.clone()],
        default_domain: host,
        tenant_category: "Home",
        tenant_type: "AAD",
    }])
}

/// A list with its length.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Counted<T> {
    value: Vec<T>,
    count: Total,
}

/// A number in the shape ARM gives it.
#[derive(Serialize, JsonSchema)]
pub struct Total {
    #[serde(rename = "type")]
    kind: &'static str,
    value: usize,
}

impl Total {
    /// A number.
    pub fn of(value: usize) -> Total {
        Total { kind: "Total", value }
    }
}

/// `GET /subscriptions`: those the caller has any right in.
///
/// # Errors
/// Those of the database.
pub async fn subscriptions(
    app: &App,
    read: &mut (dyn Read + '_),
    sees: &(dyn Fn(&Scope) -> bool + Sync),
) -> Result<Counted<Subscription>, ArmError> {
    let listing = Listing::of(&Scope::Tenant, &TypeName::new("Microsoft.Resources", "subscriptions"));
    let all = read.list(&listing).await?;
    let value: Vec<Subscription> =
        all.iter().filter(|s| sees(&s.id)).map(|s| subscription(&app.tenant.to_string(), s)).collect();
    Ok(Counted { count: Total::of(value.len()), value })
}

/// `GET S/locations`: the configured location and every other that something is in.
///
/// # Errors
/// Those of the database.
pub async fn locations(
    app: &App,
    read: &mut (dyn Read + '_),
    scope: &Scope,
) -> Result<List<Location>, ArmError> {
    let all = read.list(&Listing::all(scope)).await?;
    let mut names: Vec<String> = all.into_iter().filter_map(|r| r.location).collect();
    names.insert(0, app.config.location.clone());
    let mut seen = std::collections::HashSet::new();
    names.retain(|n| seen.insert(n.clone()));
    let value = names.into_iter().map(|name| Location {
        id: format!("{scope}/locations/{name}"),
        kind: "Region",
        display_name: name.clone(),
        regional_display_name: name.clone(),
        metadata: LocationMetadata {
            region_type: "Physical",
            region_category: "Recommended",
            geography_group: "Sekisho",
            geography: "Sekisho",
            latitude: "35.68",
            longitude: "139.77",
            physical_location: name.clone(),
            paired_region: [],
        },
        name,
    });
    Ok(List::of(value.collect()))
}

/// A location: the word by which resources say where they are.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Location {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    display_name: String,
    regional_display_name: String,
    metadata: LocationMetadata,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct LocationMetadata {
    region_type: &'static str,
    region_category: &'static str,
    geography_group: &'static str,
    geography: &'static str,
    latitude: &'static str,
    longitude: &'static str,
    physical_location: String,
    paired_region: [String; 0],
}

/// A resource provider.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Provider {
    id: String,
    namespace: &'static str,
    registration_state: &'static str,
    registration_policy: &'static str,
    resource_types: Vec<ProviderType>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ProviderType")]
struct ProviderType {
    resource_type: &'static str,
    locations: &'static [&'static str],
    api_versions: &'static [&'static str],
    default_api_version: Option<&'static str>,
    capabilities: &'static str,
}

/// One provider's description; `az resource` picks the api-version it uses from here.
///
/// # Errors
/// 404 `InvalidResourceNamespace`.
pub fn provider(registry: &Registry, namespace: &str) -> Result<Provider, ArmError> {
    let canonical = registry.namespaces().into_iter().find(|n| n.eq_ignore_ascii_case(namespace));
    let Some(namespace) = canonical else {
        let text = format!("The resource namespace '{namespace}' is invalid.");
        return Err(ArmError::new(404, "InvalidResourceNamespace", text));
    };
    let own = registry.types().map(|k| k.spec()).filter(|s| s.namespace == namespace);
    let resource_types = own.map(|spec| ProviderType {
        resource_type: spec.path,
        locations: if spec.location { &["home"] } else { &[] },
        api_versions: spec.versions,
        default_api_version: spec.versions.first().copied(),
        capabilities: if spec.location { "SupportsTags, SupportsLocation" } else { "None" },
    });
    Ok(Provider {
        id: format!("/providers/{namespace}"),
        namespace,
        registration_state: "Registered",
        registration_policy: "RegistrationFree",
        resource_types: resource_types.collect(),
    })
}

/// All providers.
pub fn providers(registry: &Registry) -> List<Provider> {
    List::of(registry.namespaces().iter().filter_map(|n| provider(registry, n).ok()).collect())
}

/// An operation of a provider.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    name: String,
    is_data_action: bool,
    origin: &'static str,
    display: OperationDisplay,
}

#[derive(Serialize, JsonSchema)]
struct OperationDisplay {
    provider: &'static str,
    resource: String,
    operation: String,
    description: String,
}

/// `GET /providers/{ns}/operations`: what a provider lets callers do.
pub fn operations(registry: &Registry, type_name: &TypeName) -> Option<List<Operation>> {
    let namespace =
        registry.namespaces().into_iter().find(|n| n.eq_ignore_ascii_case(&type_name.namespace))?;
    if !type_name.path.eq_ignore_ascii_case("operations") {
        return None;
    }
    let prefix = format!("{namespace}/");
    let value = registry.operations().into_iter().filter(|o| o.starts_with(&prefix)).map(|name| {
        let (resource, verb) = name[prefix.len()..].rsplit_once('/').unwrap_or(("", &name));
        Operation {
            display: OperationDisplay {
                provider: namespace,
                resource: resource.to_owned(),
                operation: verb.to_owned(),
                description: name.clone(),
            },
            is_data_action: false,
            origin: "user,system",
            name,
        }
    });
    Some(List::of(value.collect()))
}

/// The namespace of `POST S/providers/{ns}/register`: everything is registered already.
pub fn registers(type_name: &TypeName) -> Option<&str> {
    matches!(type_name.path.to_ascii_lowercase().as_str(), "register" | "unregister")
        .then_some(&*type_name.namespace)
}

/// `GET S/resources` and `RG/resources`: top-level tracked resources without their properties.
///
/// # Errors
/// 404 when the group does not exist; 400 for a filter or a number of items that makes no sense.
pub async fn resources(
    app: &App,
    read: &mut (dyn Read + '_),
    call: &Call,
    scope: &Scope,
    reads: &(dyn Fn(&TypeName, &Scope) -> bool + Sync),
) -> Result<Value, ArmError> {
    if read.get(scope).await?.is_none() {
        return Err(ArmError::not_found(scope));
    }
    let (filter, top) = (call.filter()?, top(call)?.unwrap_or(usize::MAX));
    let (order, after) = (call.order()?, call.query("$skiptoken").map(web::decode_token).transpose()?);
    // What is sorted is read whole, and a page of it begins at a number.
    let from = if order.is_some() { None } else { after.clone() };
    let all = read.list(&Listing { after: from, ..Listing::all(scope) }).await?;
    let answer = |value: Vec<Value>, next: Option<String>| {
        let mut body = json!({ "value": value });
        if let Some(next) = next {
            body["nextLink"] = web::next_link(call, format!("{scope}/resources"), &next).into();
        }
        body
    };
    let mut value: Vec<Value> = Vec::new();
    for resource in all {
        let tracked = app.registry.get(&resource.type_name).is_some_and(|k| k.spec().location)
            && resource.id.resource().is_some_and(|r| r.chain().len() == 1);
        if !tracked || !reads(&resource.type_name, &resource.id) {
            continue;
        }
        let group = resource.id.resource_group().unwrap_or_default().to_owned();
        let expanded = |field: &str, at| call.expands(field).then(|| instant(at));
        let row = ResourceRow {
            id: resource.id.to_string(),
            name: resource.id.name().to_owned(),
            kind: resource.type_name.to_string(),
            created_time: expanded("createdTime", resource.created_at),
            changed_time: expanded("changedTime", resource.changed_at),
            provisioning_state: call.expands("provisioningState").then_some("Succeeded"),
            location: resource.location,
            tags: resource.tags.unwrap_or_default(),
        };
        let body = shown(&row)?;
        let own = |path: &str| match path.to_ascii_lowercase().as_str() {
            "resourcegroup" => Some(group.as_str().into()),
            "resourcetype" => body.get("type").cloned(),
            _ => None,
        };
        if filter.as_ref().is_some_and(|f| !holds(f, &body, &own)) {
            continue;
        }
        if value.len() == top && order.is_none() {
            let last = value.last().and_then(|row| row["id"].as_str()).unwrap_or_default();
            let next = last.to_ascii_lowercase();
            return Ok(answer(value, Some(next)));
        }
        value.push(body);
    }
    let Some(order) = order else { return Ok(answer(value, None)) };
    let (value, next) = page_of(order.sort(value), after.as_deref(), top)?;
    Ok(answer(value, next))
}

/// A page of rows that are all there, and the token of the next one: where it begins.
///
/// # Errors
/// 400 `InvalidSkipToken` when `after` is not one of those tokens.
pub fn page_of(
    rows: Vec<Value>,
    after: Option<&str>,
    top: usize,
) -> Result<(Vec<Value>, Option<String>), ArmError> {
    let begin = after.map_or(Ok(0), str::parse::<usize>).map_err(|_| web::foreign_token())?;
    let end = begin.saturating_add(top);
    let next = (end < rows.len()).then(|| end.to_string());
    Ok((rows.into_iter().skip(begin).take(top).collect(), next))
}

/// A resource in the generic list.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "GenericResource")]
pub struct ResourceRow {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    location: Option<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    tags: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provisioning_state: Option<&'static str>,
}

/// A resource in the generic list, or with `$select` the fields that it names.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
#[serde(untagged)]
#[schemars(rename = "SelectedResource")]
pub enum SelectedRow {
    /// All of it.
    Whole(Box<ResourceRow>),
    /// What was named.
    Part(BTreeMap<String, Value>),
}

/// The most items that the client wants in one page.
///
/// # Errors
/// 400 `InvalidParameter`.
pub fn top(call: &Call) -> Result<Option<usize>, ArmError> {
    let number = |text: &str| text.parse::<usize>().ok().filter(|n| *n > 0);
    let wrong =
        || ArmError::bad("InvalidParameter", "The value of $top is a positive number.").target("$top");
    call.query("$top").map(|text| number(text).ok_or_else(wrong)).transpose()
}

/// Whether a filter holds for a resource: `tagName` and `tagValue` are the two halves of one tag, whichever; everything
/// else is what `own` says, or a field of the body or of its properties.
pub fn holds(filter: &Filter, body: &Value, own: &dyn Fn(&str) -> Option<Value>) -> bool {
    let tags = body.get("tags").and_then(Value::as_object).into_iter().flatten().map(Some);
    tags.chain([None]).any(|tag| {
        filter.matches(&|path| match path.to_ascii_lowercase().as_str() {
            "tagname" => tag.map(|(name, _)| name.clone().into()),
            "tagvalue" => tag.map(|(_, value)| value.clone()),
            _ => own(path).or_else(|| lookup(body, path)).or_else(|| lookup(body.get("properties")?, path)),
        })
    })
}
