//! `roleManagementPolicies`: the settings of a role at a scope, and `roleManagementPolicyAssignments`, which say what holds
//! there. A policy is named by its role's GUID, and exists for every role at every scope: what nobody changed there is
//! what holds above.

use async_trait::async_trait;
use schemars::JsonSchema;
use sekisho_arm::registry::{PutStyle, Storage, any_schema, properties_schema};
use sekisho_arm::resource::{instant, shown, typed};
use sekisho_arm::{ArmError, Call, Listing, Read, Resource, ResourceType, Scope, TypeSpec, Write};
use sekisho_rbac::pim::settings::changed;
use sekisho_rbac::pim::{Rule, Settings, effective};
use sekisho_rbac::{RoleId, Snapshot, Tree};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use time::OffsetDateTime;

use super::{Kind, rights, schedules, spec, words};
use crate::access;
use crate::resources::authorization::{self, LateUniverse};
use crate::resources::management;
use crate::routes::List;

static POLICY: TypeSpec = TypeSpec {
    schema: properties_schema::<PolicyProperties>,
    ..spec("roleManagementPolicies", PutStyle::UpdateOnly, Storage::Row)
};
static POLICY_ASSIGNMENT: TypeSpec = TypeSpec {
    schema: any_schema,
    ..spec("roleManagementPolicyAssignments", PutStyle::Refused, Storage::Computed)
};

/// `properties` of a policy, as it is kept: what its scope says itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "RoleManagementPolicyProperties")]
struct PolicyProperties {
    /// The rules; in answers all that hold, in requests those that change.
    rules: Vec<Rule>,
    /// Where; filled in from the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// Whether nothing was changed here; filled in by the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_organization_default: Option<bool>,
    /// When it was changed; filled in by the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified_date_time: Option<String>,
    /// By whom; filled in by the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified_by: Option<ModifiedBy>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
struct ModifiedBy {
    id: Option<String>,
    display_name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    email: Option<String>,
}

fn policy_id(scope: &Scope, role: RoleId) -> Result<Scope, ArmError> {
    scope
        .resource_in("Microsoft.Authorization", "roleManagementPolicies", &role.to_string())
        .map_err(|_| ArmError::internal())
}

fn kept_rules(resource: &Resource) -> Result<Vec<Rule>, ArmError> {
    let kept: PolicyProperties = typed(&Value::Object(resource.properties()), "properties")?;
    Ok(kept.rules)
}

/// What scopes say of roles themselves, read once for the settings of many.
pub(super) struct Said {
    tree: Tree,
    policies: Vec<Resource>,
}

impl Said {
    pub(super) async fn read(read: &mut (dyn Read + '_)) -> Result<Said, ArmError> {
        let tree = management::tree(read).await?;
        let policies = read.list(&Listing::of(&Scope::Tenant, &POLICY.name())).await?;
        Ok(Said { tree, policies })
    }

    /// The rules that hold for a role at a scope.
    fn rules(&self, role: RoleId, scope: &Scope) -> Result<Vec<Rule>, ArmError> {
        let above = self.tree.path(scope);
        let mut said: Vec<(usize, Vec<Rule>)> = Vec::new();
        for policy in self.policies.iter().filter(|p| RoleId::parse(p.id.name()) == Some(role)) {
            let key = access::scope_of(policy).key();
            if let Some(distance) = above.iter().position(|at| *at == key) {
                said.push((distance, kept_rules(policy)?));
            }
        }
        said.sort_by_key(|(distance, _)| *distance);
        Ok(effective(said.iter().map(|(_, rules)| rules.as_slice())))
    }

    /// The settings that hold for a role at a scope.
    pub(super) fn settings(&self, role: RoleId, scope: &Scope) -> Result<Settings, ArmError> {
        Ok(Settings::of(&self.rules(role, scope)?)?)
    }
}

/// The settings that hold for a role at a scope.
pub(super) async fn settings(
    read: &mut (dyn Read + '_),
    role: RoleId,
    scope: &Scope,
) -> Result<Settings, ArmError> {
    Said::read(read).await?.settings(role, scope)
}

/// The roles whose settings are listed at a scope: the one that a filter names, or those that somebody is eligible for or
/// has for a time around it, or whose settings were changed there.
async fn listed(
    read: &mut (dyn Read + '_),
    call: &Call,
    all: &Snapshot,
    scope: &Scope,
) -> Result<BTreeSet<RoleId>, ArmError> {
    let filter = call.filter()?;
    if let Some(named) = filter.as_ref().and_then(|f| f.required("roleDefinitionId")) {
        let role = RoleId::parse(named).filter(|r| all.role(*r).is_some());
        return Ok(role.into_iter().collect());
    }
    let tree = management::tree(read).await?;
    let around = |r: &Resource| {
        let at = access::scope_of(r);
        tree.contains(&at, scope) || tree.contains(scope, &at)
    };
    let mut roles = BTreeSet::new();
    for kind in [Kind::Eligibility, Kind::Assignment] {
        let kept = schedules::kept(read, kind).await?;
        roles.extend(kept.iter().filter(|r| around(r)).filter_map(access::schedule_of).map(|s| s.role));
    }
    let changed = read.list(&Listing::of(&Scope::Tenant, &POLICY.name())).await?;
    roles.extend(changed.iter().filter(|r| around(r)).filter_map(|r| RoleId::parse(r.id.name())));
    roles.retain(|r| all.role(*r).is_some());
    Ok(roles)
}

/// The policies.
pub(super) struct Policies {
    pub(super) universe: LateUniverse,
}

fn unchanged(id: Scope) -> Resource {
    Resource {
        id,
        type_name: POLICY.name(),
        location: None,
        tags: None,
        etag: String::new(),
        sequence: 0,
        created_at: OffsetDateTime::UNIX_EPOCH,
        changed_at: OffsetDateTime::UNIX_EPOCH,
        rest: Map::from_iter([(
            "properties".to_owned(),
            json!({"rules": [], "isOrganizationDefault": true}),
        )]),
    }
}

#[async_trait]
impl ResourceType for Policies {
    fn spec(&self) -> &TypeSpec {
        &POLICY
    }

    async fn built_in(&self, read: &mut dyn Read, id: &Scope) -> Result<Option<Resource>, ArmError> {
        let Some(role) = RoleId::parse(id.name()) else { return Ok(None) };
        let known = rights(read, &self.universe).await?.role(role).is_some();
        Ok(known.then(|| unchanged(id.clone())))
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        call: &Call,
        draft: &mut Resource,
        old: Option<&Resource>,
    ) -> Result<(), ArmError> {
        let given: PolicyProperties = typed(&Value::Object(draft.properties()), "properties")?;
        let before = old.map(kept_rules).transpose()?.unwrap_or_default();
        let kept = PolicyProperties {
            rules: changed(&before, given.rules)?,
            scope: Some(access::scope_of(draft).to_string()),
            is_organization_default: Some(false),
            last_modified_date_time: Some(instant(tx.now())),
            last_modified_by: Some(ModifiedBy {
                id: Some(call.caller.object_id.clone()),
                display_name: Some(call.caller.name.clone()),
                ..ModifiedBy::default()
            }),
        };
        draft.rest.insert("properties".into(), shown(&kept)?);
        Ok(())
    }

    async fn collection(
        &self,
        read: &mut dyn Read,
        call: &Call,
        scope: &Scope,
    ) -> Result<Option<Vec<Resource>>, ArmError> {
        let all = rights(read, &self.universe).await?;
        let mut found = Vec::new();
        for role in listed(read, call, &all, scope).await? {
            let id = policy_id(scope, role)?;
            found.push(read.get(&id).await?.unwrap_or_else(|| unchanged(id)));
        }
        Ok(Some(found))
    }

    async fn present(&self, read: &mut dyn Read, _: &Call, resource: &Resource) -> Result<Value, ArmError> {
        let mut body = self.render(resource);
        let scope = access::scope_of(resource);
        if let Some(role) = RoleId::parse(resource.id.name()) {
            let all = shown(&Said::read(read).await?.rules(role, &scope)?)?;
            body["properties"]["rules"] = all.clone();
            body["properties"]["effectiveRules"] = all;
        }
        body["properties"]["displayName"] = Value::Null;
        body["properties"]["description"] = Value::Null;
        body["properties"]["policyProperties"] = json!({"scope": words::scope(read, &scope).await?});
        body["properties"]["scope"] = scope.to_string().into();
        Ok(body)
    }
}

/// What holds at a scope.
pub(super) struct PolicyAssignments {
    pub(super) universe: LateUniverse,
}

/// A row of the list.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Holds {
    scope: String,
    role_definition_id: String,
    policy_id: String,
    effective_rules: Vec<Rule>,
    policy_assignment_properties: Value,
}

#[async_trait]
impl ResourceType for PolicyAssignments {
    fn spec(&self) -> &TypeSpec {
        &POLICY_ASSIGNMENT
    }

    async fn computed(
        &self,
        read: &mut dyn Read,
        call: &Call,
        scope: &Scope,
        name: Option<&str>,
    ) -> Result<Value, ArmError> {
        let kept = read.get(scope).await?.map(|r| r.id);
        let kept = kept.or_else(|| (*scope == Scope::Tenant).then_some(Scope::Tenant));
        let scope = &kept.ok_or_else(|| ArmError::not_found(scope))?;
        let all = rights(read, &self.universe).await?;
        let named = name.map(|n| {
            let (policy, role) = n.split_once('_')?;
            RoleId::parse(role)
                .filter(|r| policy.eq_ignore_ascii_case(&r.to_string()) && all.role(*r).is_some())
        });
        let roles = match named {
            Some(role) => role.into_iter().collect(),
            None => listed(read, call, &all, scope).await?,
        };
        let said = Said::read(read).await?;
        let mut rows = Vec::new();
        for role in roles {
            let title = format!("{role}_{role}");
            let id = scope
                .resource_in("Microsoft.Authorization", "roleManagementPolicyAssignments", &title)
                .map_err(|_| ArmError::internal())?;
            let policy = policy_id(scope, role)?;
            let kept = read.get(&policy).await?.map(|r| r.properties()).unwrap_or_default();
            let role_definition_id = authorization::role_seen_from(scope, &role.to_string()).to_string();
            let holds = Holds {
                scope: scope.to_string(),
                policy_id: policy.to_string(),
                effective_rules: said.rules(role, scope)?,
                policy_assignment_properties: json!({
                    "scope": words::scope(read, scope).await?,
                    "roleDefinition": words::role(&all, role, &role_definition_id),
                    "policy": {
                        "id": policy.to_string(),
                        "lastModifiedBy": kept.get("lastModifiedBy"),
                        "lastModifiedDateTime": kept.get("lastModifiedDateTime"),
                    },
                }),
                role_definition_id,
            };
            rows.push(json!({
                "id": id.to_string(), "name": title, "type": self.spec().name().to_string(),
                "properties": shown(&holds)?,
            }));
        }
        match name {
            None => shown(&List::of(rows)),
            Some(_) => rows.into_iter().next().ok_or_else(|| ArmError::not_found(scope)),
        }
    }
}
