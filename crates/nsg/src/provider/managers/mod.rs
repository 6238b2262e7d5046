//! Network managers, as far as security-admin rules need them: [`manager`] brings configurations into force, [`groups`] are of
//! networks, [`configurations`] are of rules, [`reach`] is how far a manager's word goes. This is what they govern: the rules
//! that were committed, and the networks that they hold in.
//!
//! Rules come into force by a commit, which keeps them as they are at that moment, for each location; who the members of a
//! network group are is looked up when policies are made, so that a network is governed as soon as it is a member.

mod configurations;
mod groups;
mod manager;
mod reach;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sekisho_arm::registry::Registry;
use sekisho_arm::resource::shown;
use sekisho_arm::traits::{read_document, read_documents};
use sekisho_arm::{ArmError, Call, Listing, Read, Resource, Scope, Storage, TypeSpec, Write};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{spec, type_name};
use crate::resolve::AdminRules;
use crate::resources::{
    AdminRule, AdminRuleCollection, AdminRuleSpec, StaticMember, from_body, validate_name,
};

/// The kind of the documents: a manager's [`Deployments`] by its id in lower case.
pub(super) const KIND: &str = "networkManagerCommit";
pub(super) const MANAGERS: &str = "networkManagers";
pub(super) const GROUPS: &str = "networkManagers/networkGroups";
pub(super) const MEMBERS: &str = "networkManagers/networkGroups/staticMembers";
pub(super) const CONFIGURATIONS: &str = "networkManagers/securityAdminConfigurations";
pub(super) const COLLECTIONS: &str = "networkManagers/securityAdminConfigurations/ruleCollections";
pub(super) const RULES: &str = "networkManagers/securityAdminConfigurations/ruleCollections/rules";

/// Adds the types.
pub(super) fn register(registry: &mut Registry) {
    registry
        .add(manager::NetworkManagers)
        .add(groups::NetworkGroups)
        .add(groups::StaticMembers)
        .add(configurations::AdminConfigurations)
        .add(configurations::AdminRuleCollections)
        .add(configurations::AdminRules);
}

/// Whether a change of something can change what is governed.
pub(super) fn watches(kind: &str) -> bool {
    kind == KIND
        || kind.starts_with("microsoft.network/networkmanagers")
        || kind.starts_with("microsoft.management/managementgroups")
}

/// What a manager has in force, by location in lower case.
pub(super) type Deployments = BTreeMap<String, Deployment>;

/// What was committed to a location.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Deployment {
    /// When, RFC 3339.
    pub(super) committed_at: String,
    /// The ids of the configurations.
    pub(super) configurations: Vec<String>,
    /// Their rule collections, as they were.
    pub(super) collections: Vec<Committed>,
}

/// A rule collection as it was committed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Committed {
    /// Its id.
    pub(super) id: String,
    /// The network groups that it applies to.
    pub(super) groups: Vec<String>,
    /// Its rules, as they were shown.
    pub(super) rules: Vec<Value>,
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

/// Checks the name of something that is written, and takes out what only the server says.
fn named(draft: &mut Resource) -> Result<(), ArmError> {
    draft.properties_mut().remove("resourceGuid");
    validate_name(draft.id.name())
}

/// A kept resource as its type.
pub(super) fn typed<T: serde::de::DeserializeOwned>(resource: &Resource) -> Result<T, ArmError> {
    from_body(&Value::Object(resource.rest.clone()))
}

/// What the managers of the installation govern.
#[derive(Debug, Default)]
pub(super) struct Governed {
    managers: Vec<Manager>,
    /// The locations of networks, in lower case.
    locations: HashMap<Scope, String>,
}

#[derive(Debug)]
struct Manager {
    id: Scope,
    subscriptions: HashSet<Scope>,
    /// The groups of networks and subnets.
    members: HashMap<Scope, HashSet<Scope>>,
    /// By location.
    collections: BTreeMap<String, Vec<Collection>>,
}

/// A rule collection that is in force.
#[derive(Debug)]
struct Collection {
    /// The network groups that it applies to.
    groups: HashSet<Scope>,
    rules: Vec<AdminRuleSpec>,
}

/// Reads the rules of a committed collection. They were checked when they were made.
fn specs(committed: &Committed) -> Result<Vec<AdminRuleSpec>, ArmError> {
    let rule = |shown: &Value| {
        let rule: AdminRule = from_body(shown)?;
        rule.parse(rule.name.as_deref().unwrap_or_default())
    };
    committed.rules.iter().map(rule).collect()
}

impl Governed {
    /// Reads it.
    ///
    /// # Errors
    /// Those of the database, and when something that is in force cannot be read: who does not know all rules makes no policy.
    pub(super) async fn load(read: &mut dyn Read) -> Result<Governed, ArmError> {
        let committed: Vec<(String, Deployments)> = read_documents(read, KIND).await?;
        let mut managers = Vec::new();
        for (key, deployments) in committed {
            let id = Scope::parse(&key).map_err(|_| ArmError::internal())?;
            // What a manager had in force goes with it.
            let Some(kept) = read.get(&id).await? else { continue };
            let subscriptions = reach::governed(read, &kept).await?;
            let mut members: HashMap<Scope, HashSet<Scope>> = HashMap::new();
            for member in read.list(&Listing::of(&id, &type_name(MEMBERS))).await? {
                let typed: StaticMember = typed(&member)?;
                if let (Some(group), Ok(network)) =
                    (member.id.parent(), Scope::parse(&typed.properties.resource_id))
                {
                    members.entry(network).or_default().insert(group);
                }
            }
            let mut collections = BTreeMap::new();
            for (location, deployment) in deployments {
                let mut all = Vec::new();
                for committed in &deployment.collections {
                    let groups = committed.groups.iter().filter_map(|id| Scope::parse(id).ok()).collect();
                    all.push(Collection { groups, rules: specs(committed)? });
                }
                collections.insert(location, all);
            }
            managers.push(Manager { id: kept.id, subscriptions, members, collections });
        }
        let mut locations = HashMap::new();
        if !managers.is_empty() {
            for network in read.list(&Listing::of(&Scope::Tenant, &type_name("virtualNetworks"))).await? {
                locations.insert(network.id, network.location.unwrap_or_default().to_lowercase());
            }
        }
        Ok(Governed { managers, locations })
    }

    /// The tags that rules in force name, in lower case.
    pub(super) fn named_tags(&self) -> BTreeSet<String> {
        let rules =
            self.managers.iter().flat_map(|m| m.collections.values().flatten()).flat_map(|c| &c.rules);
        let tag = |address: &crate::resources::AdminAddress| match address {
            crate::resources::AdminAddress::Tag(tag) => Some(tag.to_ascii_lowercase()),
            _ => None,
        };
        rules.flat_map(|rule| rule.sources.iter().chain(&rule.destinations)).filter_map(tag).collect()
    }

    /// The rules that stand above the groups of an interface in a network. Of several managers, all rules of the first one
    /// come first; a name that is there twice is told apart by a number.
    pub(super) fn above(&self, network: Option<&Scope>, subnet: Option<&Scope>) -> Option<AdminRules> {
        let network = network?;
        let (subscription, location) = (network.subscription_scope()?, self.locations.get(network)?);
        let mut rules: Vec<AdminRuleSpec> = Vec::new();
        let mut first = None;
        for manager in self.managers.iter().filter(|m| m.subscriptions.contains(&subscription)) {
            let ids = [Some(network), subnet].into_iter().flatten();
            let groups: HashSet<&Scope> = ids.filter_map(|id| manager.members.get(id)).flatten().collect();
            let collections = manager.collections.get(location).into_iter().flatten();
            let concerned = collections.filter(|c| c.groups.iter().any(|group| groups.contains(group)));
            let mut own: Vec<AdminRuleSpec> = concerned.flat_map(|c| c.rules.clone()).collect();
            own.sort_by_key(|rule| (rule.direction, rule.priority));
            if !own.is_empty() {
                first.get_or_insert_with(|| manager.id.clone());
            }
            rules.append(&mut own);
        }
        let mut seen: HashMap<(String, crate::policy::Direction), usize> = HashMap::new();
        for rule in &mut rules {
            let times = seen.entry((rule.name.to_ascii_lowercase(), rule.direction)).or_default();
            *times += 1;
            if *times > 1 {
                rule.name = format!("{}-{times}", rule.name);
            }
        }
        Some(AdminRules { manager: first?, network: network.clone(), rules })
    }
}

/// What a configuration says now, to be committed.
///
/// # Errors
/// 400 when it is none of the manager's; those of the database.
pub(super) async fn collections_of(
    read: &mut dyn Read,
    manager: &Scope,
    configuration: &Scope,
) -> Result<Vec<Committed>, ArmError> {
    if configuration.parent().as_ref() != Some(manager) || read.get(configuration).await?.is_none() {
        return Err(ArmError::bad(
            "InvalidConfiguration",
            format!("{configuration} is no security admin configuration of {manager}."),
        )
        .target("configurationIds"));
    }
    let mut all = Vec::new();
    for collection in read.list(&Listing::of(configuration, &type_name(COLLECTIONS))).await? {
        let typed: AdminRuleCollection = typed(&collection)?;
        let mut rules = Vec::new();
        for rule in read.list(&Listing::of(&collection.id, &type_name(RULES))).await? {
            rules.push(rule.to_json());
        }
        let groups = typed.groups()?.iter().map(ToString::to_string).collect();
        all.push(Committed { id: collection.id.to_string(), groups, rules });
    }
    Ok(all)
}
