//! Tenants, subscriptions, locations, providers and the generic resource list.

use sekisho_arm::filter::{Filter, lookup};
use sekisho_arm::registry::PutStyle;
use sekisho_arm::registry::{Registry, Storage, any_schema};
use sekisho_arm::resource::instant;
use sekisho_arm::{ArmError, Call, Listing, Read, ResourceType, Scope, ScopeKind, TypeName, TypeSpec};
use serde_json::{Value, json};

use crate::app::App;
use crate::http as web;

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
    schema: any_schema,
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
        Ok(subscription(&self.tenant, resource))
    }
}

fn subscription(tenant: &str, resource: &sekisho_arm::Resource) -> Value {
    json!({
        "id": resource.id.to_string(),
        "subscriptionId": resource.id.name(),
        "tenantId": tenant,
        "displayName": resource.rest.get("displayName").cloned().unwrap_or_else(|| resource.id.name().into()),
        "state": "Enabled",
        "subscriptionPolicies": {"locationPlacementId": "Public_2014-09-01", "quotaId": "Sekisho", "spendingLimit": "Off"},
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "tags": resource.tags.clone().unwrap_or_default(),
    })
}

/// `GET /tenants`.
pub fn tenants(app: &App) -> Value {
    json!({"value": [{
        "id": format!("/tenants/{}", app.tenant), "tenantId": app.tenant, "countryCode": "JP",
        "displayName": app.config.organization, "domains": [app.config.host], "defaultDomain": app.config.host,
        "tenantCategory": "Home", "tenantType": "AAD",
    }]})
}

/// `GET /subscriptions`: those the caller has any right in.
///
/// # Errors
/// Those of the database.
pub async fn subscriptions(
    app: &App,
    read: &mut (dyn Read + '_),
    sees: &(dyn Fn(&Scope) -> bool + Sync),
) -> Result<Value, ArmError> {
    let listing = Listing::of(&Scope::Tenant, &TypeName::new("Microsoft.Resources", "subscriptions"));
    let all = read.list(&listing).await?;
    let value: Vec<Value> =
        all.iter().filter(|s| sees(&s.id)).map(|s| subscription(&app.tenant.to_string(), s)).collect();
    Ok(json!({"value": value, "count": {"type": "Total", "value": value.len()}}))
}

/// `GET S/locations`: the configured location and every other that something is in.
///
/// # Errors
/// Those of the database.
pub async fn locations(app: &App, read: &mut (dyn Read + '_), scope: &Scope) -> Result<Value, ArmError> {
    let all =
        read.list(&Listing { scope: scope.clone(), type_name: None, after: None, limit: usize::MAX }).await?;
    let mut names: Vec<String> = all.into_iter().filter_map(|r| r.location).collect();
    names.insert(0, app.config.location.clone());
    let mut seen = std::collections::HashSet::new();
    names.retain(|n| seen.insert(n.clone()));
    let value: Vec<Value> = names
        .iter()
        .map(|name| {
            json!({
                "id": format!("{scope}/locations/{name}"), "name": name, "type": "Region", "displayName": name,
                "regionalDisplayName": name,
                "metadata": {
                    "regionType": "Physical", "regionCategory": "Recommended", "geographyGroup": "Sekisho", "geography": "Sekisho",
                    "latitude": "35.68", "longitude": "139.77", "physicalLocation": name, "pairedRegion": [],
                },
            })
        })
        .collect();
    Ok(json!({ "value": value }))
}

/// One provider's description; `az resource` picks the api-version it uses from here.
///
/// # Errors
/// 404 `InvalidResourceNamespace`.
pub fn provider(registry: &Registry, namespace: &str) -> Result<Value, ArmError> {
    let types: Vec<Value> = registry
        .types()
        .map(|k| k.spec())
        .filter(|s| s.namespace.eq_ignore_ascii_case(namespace))
        .map(|spec| {
            json!({
                "resourceType": spec.path, "locations": if spec.location { vec!["home"] } else { Vec::new() },
                "apiVersions": spec.versions, "defaultApiVersion": spec.versions.first(),
                "capabilities": if spec.location { "SupportsTags, SupportsLocation" } else { "None" },
            })
        })
        .collect();
    let canonical = registry.namespaces().into_iter().find(|n| n.eq_ignore_ascii_case(namespace));
    let Some(canonical) = canonical else {
        let text = format!("The resource namespace '{namespace}' is invalid.");
        return Err(ArmError::new(404, "InvalidResourceNamespace", text));
    };
    Ok(json!({
        "id": format!("/providers/{canonical}"), "namespace": canonical, "registrationState": "Registered",
        "registrationPolicy": "RegistrationFree", "resourceTypes": types,
    }))
}

/// All providers.
pub fn providers(registry: &Registry) -> Value {
    let value: Vec<Value> = registry.namespaces().iter().filter_map(|n| provider(registry, n).ok()).collect();
    json!({ "value": value })
}

/// `GET /providers/{ns}/operations`: what a provider lets callers do.
pub fn operations(registry: &Registry, type_name: &TypeName) -> Option<Value> {
    let namespace =
        registry.namespaces().into_iter().find(|n| n.eq_ignore_ascii_case(&type_name.namespace))?;
    if !type_name.path.eq_ignore_ascii_case("operations") {
        return None;
    }
    let prefix = format!("{namespace}/");
    let value: Vec<Value> = registry
        .operations()
        .into_iter()
        .filter(|o| o.starts_with(&prefix))
        .map(|name| {
            let (resource, verb) = name[prefix.len()..].rsplit_once('/').unwrap_or(("", &name));
            let display =
                json!({"provider": namespace, "resource": resource, "operation": verb, "description": name});
            json!({"name": name, "isDataAction": false, "origin": "user,system", "display": display})
        })
        .collect();
    Some(json!({ "value": value }))
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
    let after = call.query("$skiptoken").map(web::decode_token).transpose()?;
    let listing = Listing { scope: scope.clone(), type_name: None, after, limit: usize::MAX };
    let all = read.list(&listing).await?;
    let mut value = Vec::new();
    for resource in all {
        let tracked = app.registry.get(&resource.type_name).is_some_and(|k| k.spec().location)
            && resource.id.resource().is_some_and(|r| r.chain().len() == 1);
        if !tracked || !reads(&resource.type_name, &resource.id) {
            continue;
        }
        let group = resource.id.resource_group().unwrap_or_default().to_owned();
        let tags = resource.tags.clone().unwrap_or_default();
        let mut row = json!({
            "id": resource.id.to_string(), "name": resource.id.name(), "type": resource.type_name.to_string(),
            "location": resource.location,
        });
        if !tags.is_empty() {
            row["tags"] = Value::Object(tags.clone());
        }
        for (field, at) in [("createdTime", resource.created_at), ("changedTime", resource.changed_at)] {
            if call.expands(field) {
                row[field] = instant(at).into();
            }
        }
        if call.expands("provisioningState") {
            row["provisioningState"] = "Succeeded".into();
        }
        let own = |path: &str| match path.to_ascii_lowercase().as_str() {
            "resourcegroup" => Some(group.as_str().into()),
            "resourcetype" => row.get("type").cloned(),
            _ => None,
        };
        if filter.as_ref().is_some_and(|f| !holds(f, &row, &own)) {
            continue;
        }
        if value.len() == top {
            let last = value.last().and_then(|row: &Value| row["id"].as_str()).unwrap_or_default();
            let next = web::next_link(call, format!("{scope}/resources"), &last.to_ascii_lowercase());
            return Ok(json!({"value": value, "nextLink": next}));
        }
        value.push(row);
    }
    Ok(json!({ "value": value }))
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
