//! Who may do what, at this moment: the compiled [`Snapshot`] of all role facts, replaced whenever one of them changes.
//!
//! A write of a role fact is answered only after the new snapshot is in place, so a revoked right is gone with the
//! answer that says so.

use std::collections::HashSet;
use std::sync::{Arc, RwLock};

use sekisho_arm::traits::read_documents;
use sekisho_arm::{ArmError, Listing, Read, Resource, Scope, StoreError, TypeName};
use sekisho_rbac::{
    Assignment, DenyAssignment, Facts, Group, PrincipalId, RoleDefinition, Snapshot, Universe,
};
use sekisho_store::{Change, Store};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use uuid::Uuid;

use crate::resources::management;
use crate::signin::kind;

/// The document kind of groups.
pub const GROUP: &str = "group";

/// A group of people and programs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupRecord {
    /// Its object id.
    pub id: Uuid,
    /// What people call it.
    pub display_name: String,
    /// Its direct members: people, service principals, groups.
    pub members: Vec<Uuid>,
    /// When it was made, RFC 3339.
    pub created_at: String,
}

/// The types whose resources are role facts.
pub const ROLE_TYPES: [&str; 3] = [
    "microsoft.authorization/roleassignments",
    "microsoft.authorization/roledefinitions",
    "microsoft.authorization/denyassignments",
];

/// The current snapshot.
pub struct Access {
    universe: Arc<Universe>,
    current: RwLock<Arc<Snapshot>>,
    /// Whoever began to read later replaces later.
    reading: tokio::sync::Mutex<()>,
    /// Tells live streams to ask again.
    replaced: watch::Sender<()>,
}

impl Access {
    /// Compiles the first snapshot.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn load(universe: Arc<Universe>, store: &Store) -> Result<Access, StoreError> {
        let facts = facts(&mut store.read().await?, universe.clone()).await?;
        let current = RwLock::new(Arc::new(Snapshot::compile(facts)));
        Ok(Access {
            universe,
            current,
            reading: tokio::sync::Mutex::default(),
            replaced: watch::Sender::new(()),
        })
    }

    /// The snapshot in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        match self.current.read() {
            Ok(guard) => guard.clone(),
            Err(poisoned) => poisoned.into_inner().clone(),
        }
    }

    /// All operations.
    pub fn universe(&self) -> Arc<Universe> {
        self.universe.clone()
    }

    /// Compiles the snapshot anew.
    ///
    /// # Errors
    /// Those of the database; the old snapshot stays.
    pub async fn refresh(&self, store: &Store) -> Result<(), StoreError> {
        let _turn = self.reading.lock().await;
        let facts = facts(&mut store.read().await?, self.universe.clone()).await?;
        let fresh = Arc::new(Snapshot::compile(facts));
        match self.current.write() {
            Ok(mut guard) => *guard = fresh,
            Err(poisoned) => *poisoned.into_inner() = fresh,
        }
        self.replaced.send_replace(());
        Ok(())
    }

    /// Is told whenever the snapshot was replaced.
    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.replaced.subscribe()
    }

    /// Whether a change can change a decision.
    pub fn concerns(change: &Change) -> bool {
        let kind = change.kind.as_str();
        ROLE_TYPES.contains(&kind) || management::TYPES.contains(&kind) || kind == GROUP
    }
}

fn type_name(path: &str) -> TypeName {
    TypeName::new("Microsoft.Authorization", path)
}

/// Reads all role facts.
///
/// # Errors
/// Those of the database.
pub async fn facts(read: &mut (dyn Read + '_), universe: Arc<Universe>) -> Result<Facts, StoreError> {
    let list = async |read: &mut (dyn Read + '_), path: &str| {
        read.list(&Listing::of(&Scope::Tenant, &type_name(path))).await
    };
    let roles = list(read, "roleDefinitions").await?;
    let assignments = list(read, "roleAssignments").await?;
    let denials = list(read, "denyAssignments").await?;
    let groups: Vec<(String, GroupRecord)> = read_documents(read, GROUP).await?;
    let parents = management::parents(read).await?;
    // What was checked when it was written is read back here; a row that no longer fits must not take the others with
    // it, and grants nothing.
    let kept = |what: Result<_, ArmError>| {
        what.inspect_err(|e| tracing::error!(error = %e, "a role fact is unreadable")).ok()
    };
    Ok(Facts {
        universe,
        custom_roles: roles
            .iter()
            .filter_map(|r| {
                let name = sekisho_rbac::RoleId::parse(r.id.name())?;
                Some(RoleDefinition { name, properties: r.typed().ok()? })
            })
            .collect(),
        assignments: assignments
            .iter()
            .filter_map(|r| assignment_of(r).map_err(|e| kept(Err::<(), _>(e))).ok())
            .collect(),
        deny_assignments: denials
            .iter()
            .filter_map(|r| denial_of(r).map_err(|e| kept(Err::<(), _>(e))).ok())
            .collect(),
        groups: groups
            .into_iter()
            .map(|(_, g)| Group {
                id: PrincipalId(g.id),
                members: g.members.into_iter().map(PrincipalId).collect(),
            })
            .collect(),
        parents,
    })
}

/// The role facts of those who exist and may sign in: without the assignments and memberships of removed and disabled
/// principals, which decisions need not look at because such principals never get as far as asking.
///
/// # Errors
/// Those of the database.
pub async fn living_facts(read: &mut (dyn Read + '_), universe: Arc<Universe>) -> Result<Facts, StoreError> {
    #[derive(Deserialize)]
    struct Account {
        id: Uuid,
        enabled: bool,
    }
    let mut living: HashSet<PrincipalId> = HashSet::new();
    for what in [kind::PERSON, kind::SERVICE_PRINCIPAL] {
        let all: Vec<(String, Account)> = read_documents(read, what).await?;
        living.extend(all.into_iter().filter(|(_, a)| a.enabled).map(|(_, a)| PrincipalId(a.id)));
    }
    let mut facts = facts(read, universe).await?;
    living.extend(facts.groups.iter().map(|g| g.id));
    facts.assignments.retain(|a| living.contains(&a.principal));
    for group in &mut facts.groups {
        group.members.retain(|m| living.contains(m));
    }
    Ok(facts)
}

/// The scope an extension resource is at.
pub fn scope_of(resource: &Resource) -> Scope {
    resource.id.resource().map_or(Scope::Tenant, |r| r.base_scope().clone())
}

/// A role assignment as the evaluator takes it.
///
/// # Errors
/// 400 when a GUID is not one.
pub fn assignment_of(resource: &Resource) -> Result<Assignment, ArmError> {
    let name = guid_name(resource)?;
    Assignment::from_properties(name, scope_of(resource), &resource.typed()?)
}

/// A deny assignment as the evaluator takes it.
///
/// # Errors
/// 400 when a GUID is not one.
pub fn denial_of(resource: &Resource) -> Result<DenyAssignment, ArmError> {
    let name = guid_name(resource)?;
    DenyAssignment::from_properties(name, scope_of(resource), &resource.typed()?)
}

/// The name of a resource that must be a GUID.
///
/// # Errors
/// 400 `InvalidRequestContent`.
pub fn guid_name(resource: &Resource) -> Result<Uuid, ArmError> {
    Uuid::try_parse(resource.id.name()).map_err(|_| {
        ArmError::invalid_content(format!("The name '{}' is not a GUID.", resource.id.name())).target("name")
    })
}
