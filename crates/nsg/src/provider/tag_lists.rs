//! `locations/serviceTags` and `locations/serviceTagDetails`: which service tags there are, as `az network
//! list-service-tags` asks. Azure's list, and the subscription's own tags.

use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::{JsonSchema, SchemaGenerator};
use sekisho_arm::registry::PutStyle;
use sekisho_arm::resource::shown;
use sekisho_arm::{ArmError, Call, Read, ResourceType, Scope, ScopeKind, Storage, TypeSpec};
use serde::Serialize;
use serde_json::Value;

use super::{spec, tag_sets, tags};
use crate::resources::{ChangeNumber, FileTag, FileTagProperties};

pub(super) struct ServiceTagLists;

const fn told(path: &'static str) -> TypeSpec {
    TypeSpec {
        scopes: &[ScopeKind::Subscription],
        put: PutStyle::Refused,
        location: false,
        shows_etag: false,
        shows_state: false,
        ..spec(path, Storage::Computed)
    }
}

static LIST_SPEC: TypeSpec = TypeSpec {
    schema: |g: &mut SchemaGenerator| g.subschema_for::<ServiceTagsListResult>(),
    ..told("locations/serviceTags")
};

/// All service tags, as Azure answers.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ServiceTagsListResult {
    name: String,
    id: String,
    r#type: &'static str,
    change_number: ChangeNumber,
    cloud: String,
    values: Vec<FileTag>,
}

/// The tags that the rules of a subscription can name, by their names in lower case. Its own ones keep their meaning.
async fn known(read: &mut dyn Read, subscription: &Scope) -> Result<BTreeMap<String, FileTag>, ArmError> {
    if read.get(subscription).await?.is_none() {
        return Err(ArmError::not_found(subscription));
    }
    let mut known = tag_sets::all(read).await?;
    for (name, prefixes) in tags::of(read, subscription).await? {
        let address_prefixes = prefixes.iter().map(ToString::to_string).collect();
        let properties = FileTagProperties { address_prefixes, ..FileTagProperties::default() };
        known.insert(name.to_ascii_lowercase(), FileTag { id: name.clone(), name, properties });
    }
    Ok(known)
}

fn subscription(scope: &Scope) -> Result<Scope, ArmError> {
    scope.subscription_scope().ok_or_else(|| ArmError::not_found(scope))
}

#[async_trait]
impl ResourceType for ServiceTagLists {
    fn spec(&self) -> &TypeSpec {
        &LIST_SPEC
    }

    fn is_singleton(&self) -> bool {
        true
    }

    async fn computed(
        &self,
        read: &mut dyn Read,
        _: &Call,
        scope: &Scope,
        name: Option<&str>,
    ) -> Result<Value, ArmError> {
        let subscription = subscription(scope)?;
        if let Some(name) = name {
            return Err(ArmError::new(404, "NotFound", format!("Resource {name} not found.")));
        }
        let version = tag_sets::version(read).await?;
        let cloud = version.as_ref().map_or_else(String::new, |v| v.cloud.clone());
        let name = if cloud.is_empty() { "none".to_owned() } else { cloud.to_lowercase() };
        shown(&ServiceTagsListResult {
            id: format!("{subscription}/providers/Microsoft.Network/serviceTags/{name}"),
            name,
            r#type: "Microsoft.Network/serviceTags",
            change_number: version.map(|v| v.change_number).unwrap_or_default(),
            cloud,
            values: known(read, &subscription).await?.into_values().collect(),
        })
    }
}

pub(super) struct ServiceTagDetails;

static DETAILS_SPEC: TypeSpec = TypeSpec {
    schema: |g: &mut SchemaGenerator| g.subschema_for::<ServiceTagDetail>(),
    ..told("locations/serviceTagDetails")
};

/// One of them, and which version says so.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ServiceTagDetail {
    #[serde(flatten)]
    tag: FileTag,
    service_tag_change_number: ChangeNumber,
}

#[derive(Serialize)]
struct Details {
    value: Vec<ServiceTagDetail>,
}

#[async_trait]
impl ResourceType for ServiceTagDetails {
    fn spec(&self) -> &TypeSpec {
        &DETAILS_SPEC
    }

    async fn computed(
        &self,
        read: &mut dyn Read,
        call: &Call,
        scope: &Scope,
        name: Option<&str>,
    ) -> Result<Value, ArmError> {
        let subscription = subscription(scope)?;
        let service_tag_change_number =
            tag_sets::version(read).await?.map(|v| v.change_number).unwrap_or_default();
        let mut known = known(read, &subscription).await?;
        if let Some(name) = name {
            let found = known.remove(&name.to_ascii_lowercase());
            let tag =
                found.ok_or_else(|| ArmError::new(404, "NotFound", format!("Resource {name} not found.")))?;
            return shown(&ServiceTagDetail { tag, service_tag_change_number });
        }
        if let Some(asked) = call.query("tagname") {
            known.retain(|key, _| key.eq_ignore_ascii_case(asked));
        }
        let bare = call.query("noaddressprefixes").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let value = known.into_values().map(|mut tag| {
            if bare {
                tag.properties.address_prefixes.clear();
            }
            ServiceTagDetail { tag, service_tag_change_number }
        });
        shown(&Details { value: value.collect() })
    }
}
