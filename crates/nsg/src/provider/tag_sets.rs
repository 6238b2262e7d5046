//! `Sekisho.Network/serviceTagSets/azure`: Azure's list of service tags, imported by an administrator from the file that
//! Microsoft publishes. One for the whole installation, as the tags of Azure mean the same to everybody. With `?whatIf=true`
//! the import says what the version changes: tag by tag, for which rules, and on which machines.
//!
//! The tags themselves are documents, one each, so that whoever needs some reads no others; the resource says which version
//! they are of and what it changed.

use std::collections::{BTreeMap, HashMap, HashSet};

use async_trait::async_trait;
use schemars::JsonSchema;
use sekisho_arm::registry::two_sided;
use sekisho_arm::resource::{shown, typed};
use sekisho_arm::traits::{read_document, read_documents};
use sekisho_arm::{
    ArmError, Call, Read, Resource, ResourceType, Scope, ScopeKind, Storage, TypeName, TypeSpec, Write,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::compiler::{Whose, World};
use super::tags::{self, Use};
use super::{lookup, spec};
use crate::resources::{ChangeNumber, FileTag, ServiceTagChange, ServiceTagFile, TagChange, tag_changes};

pub(super) struct ServiceTagSets;

/// The only name that one can have.
const NAME: &str = "azure";
/// The kind of the documents: a [`FileTag`] by its name in lower case.
const KIND: &str = "serviceTag";
/// Tags that an answer lists, of those that change.
const TAGS: usize = 300;
/// Prefixes that it lists of each.
const PREFIXES: usize = 20;
/// Rules that it lists.
const RULES: usize = 500;

static SPEC: TypeSpec = TypeSpec {
    namespace: "Sekisho.Network",
    versions: &["2026-11-01"],
    scopes: &[ScopeKind::Tenant],
    location: false,
    schema: two_sided::<Sent, ServiceTagSet>,
    ..spec("serviceTagSets", Storage::Row)
};

/// The type's name.
pub(super) fn type_name() -> TypeName {
    SPEC.name()
}

/// What is sent: the file, as it is or as the properties.
#[derive(JsonSchema)]
#[schemars(rename = "ServiceTagSetImport")]
struct Sent {
    #[expect(dead_code, reason = "describes what is read")]
    properties: ServiceTagFile,
}

/// The version that is in force.
#[derive(Serialize, JsonSchema)]
struct ServiceTagSet {
    properties: ServiceTagSetProperties,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceTagSetProperties {
    /// Whose it is.
    pub(super) cloud: String,
    /// Which it is.
    pub(super) change_number: ChangeNumber,
    /// How many tags it has.
    tags: usize,
    /// How many prefixes they have together.
    prefixes: usize,
    /// Names in the file that have a meaning of their own, which it does not change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reserved: Vec<String>,
    /// What it changed.
    change: SetChange,
}

/// What a version changes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ServiceTagSetChange")]
struct SetChange {
    /// The version before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from_change_number: Option<ChangeNumber>,
    /// Tags that are new.
    added: usize,
    /// Tags that are gone.
    removed: usize,
    /// Tags that have other prefixes.
    modified: usize,
    /// The tags: those that rules name first.
    tags: Vec<ServiceTagChange>,
    /// Whether these are all.
    is_all: bool,
    /// The rules and invariants that name a tag which changes.
    rules: Vec<ConcernedRule>,
    /// Whether these are all.
    is_all_rules: bool,
}

/// A rule that comes to mean something else.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ServiceTagRule")]
struct ConcernedRule {
    /// The rule or the invariant.
    id: String,
    /// The tag.
    tag: String,
    /// On how many machines the rule is in force.
    machines: usize,
}

/// A tag of the list.
pub(super) async fn imported(read: &mut dyn Read, name: &str) -> Result<Option<FileTag>, ArmError> {
    Ok(read_document(read, KIND, &name.to_ascii_lowercase()).await?)
}

/// All of them, by their names in lower case.
pub(super) async fn all(read: &mut dyn Read) -> Result<BTreeMap<String, FileTag>, ArmError> {
    Ok(read_documents(read, KIND).await?.into_iter().collect())
}

/// The version that is in force.
pub(super) async fn version(read: &mut dyn Read) -> Result<Option<ServiceTagSetProperties>, ArmError> {
    let id = Scope::Tenant.resource_in(SPEC.namespace, SPEC.path, NAME).map_err(|_| ArmError::internal())?;
    let Some(kept) = read.get(&id).await? else { return Ok(None) };
    serde_json::from_value(Value::Object(kept.properties())).map(Some).map_err(|_| ArmError::internal())
}

/// The file in a body: as it is published, or as the properties of a resource.
fn file(body: &mut Map<String, Value>) -> Result<ServiceTagFile, ArmError> {
    let mut properties = match body.remove("properties") {
        Some(Value::Object(properties)) => properties,
        _ => Map::new(),
    };
    for field in ["changeNumber", "cloud", "values"] {
        if let Some(value) = body.remove(field) {
            properties.insert(field.to_owned(), value);
        }
    }
    typed(&Value::Object(properties), "properties")
}

/// On how many machines the rules of each group are in force.
async fn machines_behind(read: &mut dyn Read, uses: &[Use]) -> Result<HashMap<Scope, usize>, ArmError> {
    let mut machines: HashMap<Scope, HashSet<Scope>> =
        uses.iter().filter_map(|u| Some((u.group.clone()?, HashSet::new()))).collect();
    if machines.is_empty() {
        return Ok(HashMap::new());
    }
    let world = World::load(read, &Scope::Tenant, Whose::Everybodys).await?;
    for nic in &world.nics {
        let (Ok(input), Some(machine)) = (world.input(nic), lookup::reference(nic, "virtualMachine")) else {
            continue;
        };
        for (group, behind) in &mut machines {
            if input.is_behind(group) {
                behind.insert(machine.clone());
            }
        }
    }
    Ok(machines.into_iter().map(|(group, behind)| (group, behind.len())).collect())
}

fn in_use(used: &Use) -> ArmError {
    ArmError::bad(
        "InUseServiceTagCannotBeDeleted",
        format!("Service tag {} cannot be deleted because {} names it.", used.tag, used.place),
    )
}

#[async_trait]
impl ResourceType for ServiceTagSets {
    fn spec(&self) -> &TypeSpec {
        &SPEC
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        old: Option<&Resource>,
    ) -> Result<(), ArmError> {
        if draft.id.name() != NAME {
            let text = format!("There is one set of service tags, and its name is {NAME}.");
            return Err(ArmError::bad("InvalidResourceName", text).target("name"));
        }
        let file = file(&mut draft.rest)?;
        let (cloud, change_number) = (file.cloud.clone(), file.change_number);
        let (new, reserved) = file.validate()?;
        let before = all(tx.as_read()).await?;
        let changes = tag_changes(&before, &new, PREFIXES);
        let by_name: HashMap<String, TagChange> =
            changes.iter().map(|c| (c.name.to_ascii_lowercase(), c.change)).collect();
        let mut uses = tags::uses(tx.as_read()).await?;
        uses.retain(|used| by_name.contains_key(&used.tag));
        if let Some(used) = uses.iter().find(|used| by_name.get(&used.tag) == Some(&TagChange::Removed)) {
            return Err(in_use(used));
        }
        let machines = machines_behind(tx.as_read(), &uses).await?;
        for (key, tag) in new.iter().filter(|(key, tag)| before.get(*key) != Some(tag)) {
            tx.put_document(KIND, key, shown(tag)?).await?;
        }
        for key in before.keys().filter(|key| !new.contains_key(*key)) {
            tx.remove_document(KIND, key).await?;
        }
        let count = |kind| changes.iter().filter(|c| c.change == kind).count();
        let change = SetChange {
            from_change_number: old
                .and_then(|old| serde_json::from_value(old.properties().remove("changeNumber")?).ok()),
            added: count(TagChange::Added),
            removed: count(TagChange::Removed),
            modified: count(TagChange::Modified),
            is_all: changes.len() <= TAGS,
            tags: first(changes, &uses),
            is_all_rules: uses.len() <= RULES,
            rules: uses
                .into_iter()
                .take(RULES)
                .map(|used| ConcernedRule {
                    machines: used.group.and_then(|group| machines.get(&group).copied()).unwrap_or_default(),
                    id: used.place,
                    tag: used.tag,
                })
                .collect(),
        };
        let properties = ServiceTagSetProperties {
            cloud,
            change_number,
            tags: new.len(),
            prefixes: new.values().map(|tag| tag.properties.address_prefixes.len()).sum(),
            reserved,
            change,
        };
        draft.rest = Map::from_iter([("properties".to_owned(), shown(&properties)?)]);
        Ok(())
    }

    async fn removing(&self, tx: &mut dyn Write, _: &Call, _: &Resource) -> Result<(), ArmError> {
        let all = all(tx.as_read()).await?;
        if let Some(used) = tags::uses(tx.as_read()).await?.iter().find(|used| all.contains_key(&used.tag)) {
            return Err(in_use(used));
        }
        for key in all.keys() {
            tx.remove_document(KIND, key).await?;
        }
        Ok(())
    }
}

/// The first of the changes: of what is named, then what goes, what is modified, what comes.
fn first(mut changes: Vec<ServiceTagChange>, uses: &[Use]) -> Vec<ServiceTagChange> {
    let named = |change: &ServiceTagChange| uses.iter().any(|u| u.tag.eq_ignore_ascii_case(&change.name));
    changes.sort_by_cached_key(|change| (!named(change), change.change, change.name.clone()));
    changes.truncate(TAGS);
    changes
}
