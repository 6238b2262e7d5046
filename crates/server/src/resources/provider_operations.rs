//! `Microsoft.Authorization/providerOperations`: every operation that a role may grant.

use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::{JsonSchema, SchemaGenerator};
use sekisho_arm::registry::{PutStyle, Storage};
use sekisho_arm::resource::shown;
use sekisho_arm::{ArmError, Call, Read, ResourceType, Scope, ScopeKind, TypeSpec};
use serde::Serialize;
use serde_json::Value;

use super::authorization::{LateUniverse, spec};
use crate::routes::List;

/// `GET /providers/Microsoft.Authorization/providerOperations`: every operation the server knows.
pub(super) struct ProviderOperations {
    pub(super) universe: LateUniverse,
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
