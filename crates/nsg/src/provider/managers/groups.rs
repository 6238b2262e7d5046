//! `networkGroups` and their `staticMembers`: networks and subnets that are governed alike.

use async_trait::async_trait;
use schemars::SchemaGenerator;
use sekisho_arm::{ArmError, Call, Listing, Resource, ResourceType, Scope, TypeSpec, Write};

use super::super::{lookup, type_name};
use super::{COLLECTIONS, GROUPS, MEMBERS, below, deployments, is_forced, manager_of, named, reach, typed};
use crate::resources::{AdminRuleCollection, NetworkGroup, StaticMember, SubResource, validate_name};

pub(super) struct NetworkGroups;

static GROUP_SPEC: TypeSpec =
    TypeSpec { schema: |g: &mut SchemaGenerator| g.subschema_for::<NetworkGroup>(), ..below(GROUPS) };

#[async_trait]
impl ResourceType for NetworkGroups {
    fn spec(&self) -> &TypeSpec {
        &GROUP_SPEC
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        old: Option<&Resource>,
    ) -> Result<(), ArmError> {
        named(draft)?;
        let members = typed::<NetworkGroup>(draft)?.member_type()?;
        let other = old.is_some_and(|old| {
            typed::<NetworkGroup>(old).and_then(|g| g.member_type()).is_ok_and(|before| before != members)
        });
        if other && !tx.list(&Listing::of(&draft.id, &type_name(MEMBERS))).await?.is_empty() {
            let text = "A network group that has members keeps the type of its members.";
            return Err(ArmError::bad("InvalidMemberType", text).target("properties.memberType"));
        }
        Ok(())
    }

    async fn removing(&self, tx: &mut dyn Write, call: &Call, old: &Resource) -> Result<(), ArmError> {
        let manager = manager_of(&old.id).ok_or_else(ArmError::internal)?;
        let names = |id: &String| Scope::parse(id).is_ok_and(|id| id == old.id);
        let in_force = deployments(tx.as_read(), &manager).await?;
        let mut users: Vec<String> = in_force
            .values()
            .flat_map(|d| &d.collections)
            .filter(|c| c.groups.iter().any(names))
            .map(|c| c.id.clone())
            .collect();
        for collection in tx.list(&Listing::of(&manager, &type_name(COLLECTIONS))).await? {
            if typed::<AdminRuleCollection>(&collection)?.groups().is_ok_and(|g| g.contains(&old.id)) {
                users.push(collection.id.to_string());
            }
        }
        match users.first() {
            Some(user) if !is_forced(call) => Err(ArmError::bad(
                "InUseNetworkGroupCannotBeDeleted",
                format!("The network group {} cannot be deleted because {user} applies to it.", old.id),
            )),
            _ => Ok(()),
        }
    }
}

pub(super) struct StaticMembers;

static MEMBER_SPEC: TypeSpec =
    TypeSpec { schema: |g: &mut SchemaGenerator| g.subschema_for::<StaticMember>(), ..below(MEMBERS) };

#[async_trait]
impl ResourceType for StaticMembers {
    fn spec(&self) -> &TypeSpec {
        &MEMBER_SPEC
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        _: Option<&Resource>,
    ) -> Result<(), ArmError> {
        validate_name(draft.id.name())?;
        let group = draft.id.parent().ok_or_else(ArmError::internal)?;
        let kept = tx.get(&group).await?.ok_or_else(|| ArmError::not_found(&group))?;
        let kind = typed::<NetworkGroup>(&kept)?.member_type()?;
        let member: StaticMember = typed(draft)?;
        let network = SubResource::new(member.properties.resource_id).scope(kind, "properties.resourceId")?;
        let missing = || lookup::invalid_reference(&network, &draft.id, "properties.resourceId");
        let of = match kind {
            "Microsoft.Network/virtualNetworks" => network.clone(),
            _ => network.parent().ok_or_else(missing)?,
        };
        let kept = tx.get(&of).await?.ok_or_else(missing)?;
        let subnets = lookup::network(&kept)?.properties.subnets.unwrap_or_default();
        let is_subnet = |s: &crate::resources::Subnet| {
            s.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(network.name()))
        };
        if of != network && !subnets.iter().any(is_subnet) {
            return Err(missing());
        }
        let manager = manager_of(&draft.id).ok_or_else(ArmError::internal)?;
        let manager = tx.get(&manager).await?.ok_or_else(|| ArmError::not_found(&manager))?;
        let governed = reach::governed(tx.as_read(), &manager).await?;
        if !network.subscription_scope().is_some_and(|s| governed.contains(&s)) {
            return Err(ArmError::bad(
                "InvalidStaticMember",
                format!("{network} is in no subscription that {} governs.", manager.id),
            )
            .target("properties.resourceId"));
        }
        if let Some(region) = kept.location {
            draft.properties_mut().insert("region".into(), region.into());
        }
        Ok(())
    }
}
