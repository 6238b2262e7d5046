//! `securityAdminConfigurations` with their rule collections and rules, which a commit brings into force.

use async_trait::async_trait;
use schemars::SchemaGenerator;
use sekisho_arm::{ArmError, Call, Listing, Resource, ResourceType, Scope, TypeSpec, Write};

use super::super::{lookup, tags, type_name};
use super::{
    COLLECTIONS, CONFIGURATIONS, RULES, below, deployments, in_force, is_forced, keep, manager_of, named,
    typed,
};
use crate::resources::{AdminRule, AdminRuleCollection};

pub(super) struct AdminConfigurations;

static CONFIGURATION_SPEC: TypeSpec = below(CONFIGURATIONS);

#[async_trait]
impl ResourceType for AdminConfigurations {
    fn spec(&self) -> &TypeSpec {
        &CONFIGURATION_SPEC
    }

    async fn prepare(
        &self,
        _: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        _: Option<&Resource>,
    ) -> Result<(), ArmError> {
        named(draft)
    }

    async fn removing(&self, tx: &mut dyn Write, call: &Call, old: &Resource) -> Result<(), ArmError> {
        let manager = manager_of(&old.id).ok_or_else(ArmError::internal)?;
        let mut kept = deployments(tx.as_read(), &manager).await?;
        let is_own = |id: &String| Scope::parse(id).is_ok_and(|id| id == old.id);
        if !kept.values().any(|d| d.configurations.iter().any(is_own)) {
            return Ok(());
        }
        if !is_forced(call) {
            return Err(in_force(&old.id));
        }
        for deployment in kept.values_mut() {
            deployment.configurations.retain(|id| !is_own(id));
            deployment.collections.retain(|c| !Scope::parse(&c.id).is_ok_and(|id| old.id.contains(&id)));
        }
        kept.retain(|_, deployment| !deployment.configurations.is_empty());
        keep(tx, &manager, &kept).await
    }
}

pub(super) struct AdminRuleCollections;

static COLLECTION_SPEC: TypeSpec = TypeSpec {
    schema: |g: &mut SchemaGenerator| g.subschema_for::<AdminRuleCollection>(),
    ..below(COLLECTIONS)
};

#[async_trait]
impl ResourceType for AdminRuleCollections {
    fn spec(&self) -> &TypeSpec {
        &COLLECTION_SPEC
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        _: Option<&Resource>,
    ) -> Result<(), ArmError> {
        named(draft)?;
        let manager = manager_of(&draft.id);
        for group in typed::<AdminRuleCollection>(draft)?.groups()? {
            if manager_of(&group) != manager || tx.get(&group).await?.is_none() {
                return Err(lookup::invalid_reference(&group, &draft.id, "properties.appliesToGroups"));
            }
        }
        Ok(())
    }
}

pub(super) struct AdminRules;

static RULE_SPEC: TypeSpec =
    TypeSpec { schema: |g: &mut SchemaGenerator| g.subschema_for::<AdminRule>(), ..below(RULES) };

#[async_trait]
impl ResourceType for AdminRules {
    fn spec(&self) -> &TypeSpec {
        &RULE_SPEC
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        _: Option<&Resource>,
    ) -> Result<(), ArmError> {
        named(draft)?;
        let rule: AdminRule = typed(draft)?;
        let spec = rule.parse(draft.id.name())?;
        // A subscription's own tags mean nothing in another one that the manager governs.
        for tag in rule.named_tags() {
            if !tags::is_common(tx.as_read(), tag).await? {
                return Err(ArmError::bad(
                    "UnknownServiceTag",
                    format!("The security admin rule {} names the unknown service tag '{tag}'.", spec.name),
                ));
            }
        }
        let collection = draft.id.parent().ok_or_else(ArmError::internal)?;
        for other in tx.list(&Listing::of(&collection, &type_name(RULES))).await? {
            let typed: AdminRule = typed(&other)?;
            let theirs = typed.parse(other.id.name());
            let same = |theirs: crate::resources::AdminRuleSpec| {
                (theirs.direction, theirs.priority) == (spec.direction, spec.priority)
            };
            if other.id != draft.id && theirs.is_ok_and(same) {
                return Err(ArmError::bad(
                    "SecurityAdminRuleConflict",
                    format!(
                        "The security admin rules {} and {} have the same priority and direction.",
                        draft.id.name(),
                        other.id.name()
                    ),
                )
                .target("properties.priority"));
            }
        }
        draft.rest.insert("kind".into(), "Custom".into());
        let properties = draft.properties_mut();
        properties.insert("access".into(), spec.access.as_str().into());
        properties.insert("direction".into(), spec.direction.as_str().into());
        let protocol =
            if spec.protocol == crate::policy::Protocol::Any { "Any" } else { spec.protocol.as_str() };
        properties.insert("protocol".into(), protocol.into());
        Ok(())
    }
}
