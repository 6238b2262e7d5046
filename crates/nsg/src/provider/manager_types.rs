//! `networkManagers` and what is below them, as far as security-admin rules need it: network groups with static members,
//! security admin configurations with rule collections and rules, and the commit that brings them into force.

use std::collections::BTreeSet;

use async_trait::async_trait;
use schemars::{JsonSchema, SchemaGenerator};
use sekisho_arm::registry::{Action, ActionStyle};
use sekisho_arm::resource::{instant, shown, typed as sent};
use sekisho_arm::traits::read_document;
use sekisho_arm::{ArmError, Call, Listing, Read, Resource, ResourceType, Scope, Storage, TypeSpec, Write};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::managers::{
    COLLECTIONS, CONFIGURATIONS, Committed, Deployment, Deployments, GROUPS, KIND, MANAGERS, MEMBERS, RULES,
    collections_of, typed,
};
use super::{lookup, spec, tag_sets, type_name};
use crate::resources::{
    AdminRule, AdminRuleCollection, NetworkGroup, NetworkManager, RESERVED_TAGS, StaticMember, SubResource,
    validate_name,
};

/// The right that whoever makes a manager needs in each subscription that it governs.
const GOVERN: &str = "Microsoft.Network/networkManagers/write";

macro_rules! action {
    ($verb:literal, $reads:literal, $title:literal, $takes:ty, $answers:ty) => {
        Action {
            verb: $verb,
            style: ActionStyle::Sync,
            reads: $reads,
            title: $title,
            takes: |g: &mut SchemaGenerator| g.subschema_for::<$takes>(),
            answers: |g: &mut SchemaGenerator| g.subschema_for::<$answers>(),
        }
    };
}

/// What is to be in force.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct NetworkManagerCommit {
    /// Made by the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commit_id: Option<String>,
    /// Where.
    target_locations: Vec<String>,
    /// All configurations that are in force there afterwards; with none, none is.
    #[serde(default)]
    configuration_ids: Vec<String>,
    /// `SecurityAdmin`.
    commit_type: String,
}

/// Which deployments are asked for.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
struct NetworkManagerDeploymentStatusParameter {
    /// Only of these locations; of all when there is none.
    regions: Vec<String>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct NetworkManagerDeploymentStatusListResult {
    value: Vec<NetworkManagerDeploymentStatus>,
}

/// What is in force in a location.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct NetworkManagerDeploymentStatus {
    commit_time: String,
    region: String,
    deployment_status: &'static str,
    configuration_ids: Vec<String>,
    deployment_type: &'static str,
    error_message: &'static str,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct ActiveSecurityAdminRulesListResult {
    value: Vec<Value>,
}

pub(super) struct NetworkManagers;

static MANAGER_SPEC: TypeSpec = TypeSpec {
    actions: &[
        action!(
            "commit",
            false,
            "Brings security admin configurations into force",
            NetworkManagerCommit,
            NetworkManagerCommit
        ),
        action!(
            "listDeploymentStatus",
            true,
            "Says which configurations are in force where",
            NetworkManagerDeploymentStatusParameter,
            NetworkManagerDeploymentStatusListResult
        ),
        action!(
            "listActiveSecurityAdminRules",
            true,
            "Shows the security admin rules that are in force",
            NetworkManagerDeploymentStatusParameter,
            ActiveSecurityAdminRulesListResult
        ),
    ],
    schema: |g: &mut SchemaGenerator| g.subschema_for::<NetworkManager>(),
    ..spec(MANAGERS, Storage::Row)
};

fn location(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase()
}

/// What a manager has in force.
async fn deployments(read: &mut dyn Read, manager: &Scope) -> Result<Deployments, ArmError> {
    Ok(read_document(read, KIND, &manager.key()).await?.unwrap_or_default())
}

async fn keep(tx: &mut dyn Write, manager: &Scope, deployments: &Deployments) -> Result<(), ArmError> {
    if deployments.is_empty() {
        tx.remove_document(KIND, &manager.key()).await?;
    } else {
        tx.put_document(KIND, &manager.key(), shown(deployments)?).await?;
    }
    Ok(())
}

/// Whether a removal takes what is in force along, as `az` says with `--force`.
fn is_forced(call: &Call) -> bool {
    call.query("force").is_some_and(|v| v.eq_ignore_ascii_case("true"))
}

fn in_force(id: &Scope) -> ArmError {
    ArmError::bad(
        "InUseConfigurationCannotBeDeleted",
        format!(
            "{id} is in force. Commit without it, or remove it with force=true, which takes it out of force."
        ),
    )
}

async fn commit(tx: &mut dyn Write, manager: &Scope, body: &Value) -> Result<Value, ArmError> {
    let mut asked: NetworkManagerCommit = sent(body, "")?;
    if !asked.commit_type.eq_ignore_ascii_case("SecurityAdmin") {
        let text =
            format!("'{}' is not 'SecurityAdmin', which is all that is committed here.", asked.commit_type);
        return Err(ArmError::bad("InvalidCommitType", text).target("commitType"));
    }
    if asked.target_locations.is_empty() {
        return Err(
            ArmError::bad("InvalidRequestFormat", "A commit needs a location.").target("targetLocations")
        );
    }
    let mut collections: Vec<Committed> = Vec::new();
    for id in &asked.configuration_ids {
        let reference = SubResource::new(id.clone());
        let id = reference
            .scope("Microsoft.Network/networkManagers/securityAdminConfigurations", "configurationIds")?;
        collections.extend(collections_of(tx.as_read(), manager, &id).await?);
    }
    let committed_at = instant(tx.now());
    let mut kept = deployments(tx.as_read(), manager).await?;
    for place in &asked.target_locations {
        if asked.configuration_ids.is_empty() {
            kept.remove(&location(place));
        } else {
            let configurations = asked.configuration_ids.clone();
            let collections = collections.clone();
            let deployment = Deployment { committed_at: committed_at.clone(), configurations, collections };
            kept.insert(location(place), deployment);
        }
    }
    keep(tx, manager, &kept).await?;
    asked.commit_id = Some(Uuid::new_v4().to_string());
    shown(&asked)
}

async fn status(read: &mut dyn Read, manager: &Scope, verb: &str, body: &Value) -> Result<Value, ArmError> {
    let asked: NetworkManagerDeploymentStatusParameter =
        if body.is_null() { Default::default() } else { sent(body, "")? };
    let regions: BTreeSet<String> = asked.regions.iter().map(|r| location(r)).collect();
    let mut kept = deployments(read, manager).await?;
    kept.retain(|place, _| regions.is_empty() || regions.contains(place));
    if verb == "listDeploymentStatus" {
        let value = kept.into_iter().map(|(region, deployment)| NetworkManagerDeploymentStatus {
            commit_time: deployment.committed_at,
            region,
            deployment_status: "Deployed",
            configuration_ids: deployment.configurations,
            deployment_type: "SecurityAdmin",
            error_message: "",
        });
        return shown(&NetworkManagerDeploymentStatusListResult { value: value.collect() });
    }
    let mut value = Vec::new();
    for (region, deployment) in kept {
        for collection in deployment.collections {
            let groups: Vec<Value> =
                collection.groups.iter().map(|id| json!({"networkGroupId": id})).collect();
            for mut rule in collection.rules {
                rule["commitTime"] = deployment.committed_at.clone().into();
                rule["region"] = region.clone().into();
                rule["ruleCollectionAppliesToGroups"] = groups.clone().into();
                value.push(rule);
            }
        }
    }
    shown(&ActiveSecurityAdminRulesListResult { value })
}

#[async_trait]
impl ResourceType for NetworkManagers {
    fn spec(&self) -> &TypeSpec {
        &MANAGER_SPEC
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        _: Option<&Resource>,
    ) -> Result<(), ArmError> {
        validate_name(draft.id.name())?;
        draft.properties_mut().remove("resourceGuid");
        for subscription in typed::<NetworkManager>(draft)?.subscriptions()? {
            if tx.get(&subscription).await?.is_none() {
                let target = "properties.networkManagerScopes.subscriptions";
                return Err(lookup::invalid_reference(&subscription, &draft.id, target));
            }
        }
        Ok(())
    }

    fn links(&self, body: &Value) -> Vec<(Scope, &'static str)> {
        let all =
            body["properties"]["networkManagerScopes"]["subscriptions"].as_array().into_iter().flatten();
        all.filter_map(|id| Some((Scope::parse(id.as_str()?).ok()?, GOVERN))).collect()
    }

    async fn act(
        &self,
        tx: &mut dyn Write,
        _: &Call,
        target: &Resource,
        verb: &str,
        body: Value,
    ) -> Result<Value, ArmError> {
        match verb {
            "commit" => commit(tx, &target.id, &body).await,
            _ => status(tx.as_read(), &target.id, verb, &body).await,
        }
    }

    async fn removing(&self, tx: &mut dyn Write, call: &Call, old: &Resource) -> Result<(), ArmError> {
        if deployments(tx.as_read(), &old.id).await?.is_empty() {
            return Ok(());
        }
        if !is_forced(call) {
            return Err(in_force(&old.id));
        }
        keep(tx, &old.id, &Deployments::new()).await
    }
}

/// The outermost parent.
fn manager_of(id: &Scope) -> Option<Scope> {
    let mut at = id.clone();
    while at.type_name() != type_name(MANAGERS) {
        at = at.parent()?;
    }
    Some(at)
}

const fn below(path: &'static str) -> TypeSpec {
    TypeSpec { location: false, ..spec(path, Storage::Row) }
}

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
        validate_name(draft.id.name())?;
        draft.properties_mut().remove("resourceGuid");
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
        let governed = typed::<NetworkManager>(&manager)?.subscriptions()?;
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
        draft.properties_mut().remove("resourceGuid");
        validate_name(draft.id.name())
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
        validate_name(draft.id.name())?;
        draft.properties_mut().remove("resourceGuid");
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
        validate_name(draft.id.name())?;
        draft.properties_mut().remove("resourceGuid");
        let rule: AdminRule = typed(draft)?;
        let spec = rule.parse(draft.id.name())?;
        // A subscription's own tags mean nothing in another one that the manager governs.
        for tag in rule.named_tags() {
            let built_in = RESERVED_TAGS.iter().any(|known| known.eq_ignore_ascii_case(tag));
            if !built_in && tag_sets::imported(tx.as_read(), tag).await?.is_none() {
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
