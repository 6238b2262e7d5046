//! `Sekisho.Network/serviceTags`: tags that users define. A tag is known in its whole subscription.

use async_trait::async_trait;
use ipnet::IpNet;
use schemars::SchemaGenerator;
use sekisho_arm::{
    ArmError, Call, Listing, Read, Resource, ResourceType, Scope, Storage, TypeName, TypeSpec, Write,
};
use serde_json::Value;

use super::standing::Kept;
use super::{invariants, lookup, spec};
use crate::resolve::Tags;
use crate::resources::{ServiceTag, from_body};

/// The tags that need no definition.
const BUILT_IN: [&str; 3] = ["VirtualNetwork", "Internet", "AzureLoadBalancer"];

pub(super) struct ServiceTags;

static SPEC: TypeSpec = TypeSpec {
    namespace: "Sekisho.Network",
    versions: &["2026-11-01"],
    schema: |g: &mut SchemaGenerator| g.subschema_for::<ServiceTag>(),
    ..spec("serviceTags", Storage::Row)
};

/// The type's name.
pub(super) fn type_name() -> TypeName {
    SPEC.name()
}

async fn defined(read: &mut dyn Read, scope: &Scope) -> Result<Vec<Resource>, ArmError> {
    let around = scope.subscription_scope().unwrap_or(Scope::Tenant);
    Ok(read.list(&Listing::of(&around, &type_name())).await?)
}

/// Whether a tag is known in the subscription of `scope`.
pub(super) async fn exists(read: &mut dyn Read, scope: &Scope, tag: &str) -> Result<bool, ArmError> {
    if BUILT_IN.iter().any(|b| b.eq_ignore_ascii_case(tag)) {
        return Ok(true);
    }
    Ok(defined(read, scope).await?.iter().any(|t| t.id.name().eq_ignore_ascii_case(tag)))
}

/// All tags of a subscription.
pub(super) async fn all(read: &mut dyn Read, scope: &Scope) -> Result<Tags, ArmError> {
    let mut tags = Tags::default();
    for tag in defined(read, scope).await? {
        tags.insert(tag.id.name(), prefixes(&tag)?);
    }
    Ok(tags)
}

fn prefixes(tag: &Resource) -> Result<Vec<IpNet>, ArmError> {
    from_body::<ServiceTag>(&Value::Object(tag.rest.clone()))?.validate(tag.id.name())
}

#[async_trait]
impl ResourceType for ServiceTags {
    fn spec(&self) -> &TypeSpec {
        &SPEC
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        _: Option<&Resource>,
    ) -> Result<(), ArmError> {
        prefixes(draft)?;
        draft.properties_mut().entry("addressPrefixes").or_insert_with(|| Value::Array(Vec::new()));
        let twin = defined(tx.as_read(), &draft.id).await?;
        let twin =
            twin.iter().find(|t| t.id.name().eq_ignore_ascii_case(draft.id.name()) && t.id != draft.id);
        match twin {
            None => Ok(()),
            Some(twin) => Err(ArmError::new(
                409,
                "ServiceTagExists",
                format!("The service tag {} is defined already, by {}.", draft.id.name(), twin.id),
            )),
        }
    }

    async fn removing(&self, tx: &mut dyn Write, _: &Call, old: &Resource) -> Result<(), ArmError> {
        for group in lookup::in_subscription(tx.as_read(), &old.id, "networkSecurityGroups").await? {
            for rule in lookup::rules(&group)? {
                let names = rule
                    .validate()
                    .is_ok_and(|r| r.tags().any(|(_, t)| t.eq_ignore_ascii_case(old.id.name())));
                if names {
                    return Err(ArmError::bad(
                        "InUseServiceTagCannotBeDeleted",
                        format!(
                            "Service tag {} cannot be deleted because the rule {} of {} names it.",
                            old.id.name(),
                            rule.name.unwrap_or_default(),
                            group.id
                        ),
                    ));
                }
            }
        }
        let speaks = |kept: &Kept| kept.spec.tags().any(|(_, t)| t.eq_ignore_ascii_case(old.id.name()));
        let naming = invariants::naming(tx.as_read(), &old.id, speaks).await?;
        match naming.first() {
            None => Ok(()),
            Some(invariant) => Err(ArmError::bad(
                "InUseServiceTagCannotBeDeleted",
                format!(
                    "Service tag {} cannot be deleted because the invariant {invariant} names it.",
                    old.id.name()
                ),
            )),
        }
    }
}
