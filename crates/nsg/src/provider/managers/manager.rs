//! `networkManagers`: what each governs, and the commit that brings its configurations into force.

use std::collections::BTreeSet;

use async_trait::async_trait;
use schemars::{JsonSchema, SchemaGenerator};
use sekisho_arm::registry::{Action, ActionStyle};
use sekisho_arm::resource::{instant, shown, typed as sent};
use sekisho_arm::{ArmError, Call, Read, Resource, ResourceType, Scope, Storage, TypeSpec, Write};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::{lookup, spec};
use super::{
    Committed, Deployment, Deployments, MANAGERS, collections_of, deployments, in_force, is_forced, keep,
    named, typed,
};
use crate::resources::{NetworkManager, SubResource};

/// The right that whoever makes a manager needs in each subscription and management group that it governs.
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
        named(draft)?;
        for scope in typed::<NetworkManager>(draft)?.scopes()? {
            if tx.get(&scope).await?.is_none() {
                let target = "properties.networkManagerScopes";
                return Err(lookup::invalid_reference(&scope, &draft.id, target));
            }
        }
        Ok(())
    }

    fn links(&self, body: &Value) -> Vec<(Scope, &'static str)> {
        let scopes = &body["properties"]["networkManagerScopes"];
        let all = ["subscriptions", "managementGroups"].map(|of| scopes[of].as_array().into_iter().flatten());
        all.into_iter().flatten().filter_map(|id| Some((Scope::parse(id.as_str()?).ok()?, GOVERN))).collect()
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
