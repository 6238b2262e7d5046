//! Who may do what, at this moment: the compiled [`Snapshot`] of all role facts, replaced whenever one of them changes.
//!
//! A write of a role fact is answered only after the new snapshot is in place, so a revoked right is gone with the
//! answer that says so.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use sekisho_arm::traits::read_documents;
use sekisho_arm::{ArmError, Listing, Read, Resource, Scope, SignIn, StoreError, TypeName};
use sekisho_identity::session::Method;
use sekisho_rbac::pim::Schedule;
use sekisho_rbac::{
    Asker, Assignment, Circumstances, DenyAssignment, Facts, Group, PrincipalId, RoleDefinition, Snapshot,
    Universe,
};
use sekisho_store::{Change, Store};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::watch;
use uuid::Uuid;

use crate::authn::Caller;
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
pub const ROLE_TYPES: [&str; 5] = [
    "microsoft.authorization/roleassignments",
    "microsoft.authorization/roledefinitions",
    "microsoft.authorization/denyassignments",
    "microsoft.authorization/roleeligibilityschedules",
    "microsoft.authorization/roleassignmentschedules",
];

/// What rights follow from, together with the time. Kept, so that what is over ends also when no database answers.
struct Known {
    /// What time does not end.
    standing: Facts,
    eligible: Vec<Schedule>,
    active: Vec<Schedule>,
}

impl Known {
    async fn read(read: &mut (dyn Read + '_), universe: Arc<Universe>) -> Result<Known, StoreError> {
        Ok(Known {
            eligible: schedules(read, ELIGIBILITIES).await?,
            active: schedules(read, ASSIGNMENTS).await?,
            standing: standing_facts(read, universe).await?,
        })
    }
}

/// What holds at one moment.
struct Rights {
    known: Arc<Known>,
    /// What people have.
    held: Arc<Snapshot>,
    /// What they could take: as if every eligibility were an assignment, and there were no others. `None` where nobody
    /// is eligible for anything.
    eligible: Option<Arc<Snapshot>>,
    /// The sign-ins to which an activation is bound, and whose they are.
    bound: Arc<HashMap<Uuid, PrincipalId>>,
    /// When time alone changes it.
    next: Option<OffsetDateTime>,
}

impl Rights {
    fn at(known: Arc<Known>, now: OffsetDateTime) -> Rights {
        let Known { standing, eligible, active } = known.as_ref();
        let facts = with(standing.clone(), active, now);
        let could: Vec<Assignment> =
            eligible.iter().filter(|s| s.window.holds(now)).map(Schedule::assignment).collect();
        let edges = eligible.iter().chain(active).flat_map(|s| [Some(s.window.from), s.window.until]);
        let eligible = (!could.is_empty())
            .then(|| Arc::new(Snapshot::compile(Facts { assignments: could, ..facts.clone() })));
        let held = Arc::new(Snapshot::compile(facts));
        let edges = edges.flatten().filter(|at| *at > now).chain(held.next_change(now));
        Rights {
            next: edges.min(),
            bound: Arc::new(active.iter().filter_map(|s| Some((s.sign_in?, s.principal))).collect()),
            eligible,
            held,
            known,
        }
    }
}

/// The rights in force.
pub struct Access {
    universe: Arc<Universe>,
    current: RwLock<Rights>,
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
        let mut read = store.read().await?;
        let known = Known::read(&mut read, universe.clone()).await?;
        Ok(Access {
            universe,
            current: RwLock::new(Rights::at(Arc::new(known), read.now())),
            reading: tokio::sync::Mutex::default(),
            replaced: watch::Sender::new(()),
        })
    }

    /// The snapshot in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).held.clone()
    }

    /// What everybody could take, if anybody is eligible for anything: a decision of it names the eligibility.
    pub fn eligible(&self) -> Option<Arc<Snapshot>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).eligible.clone()
    }

    /// Ends what is over, and begins what begins, by `now`. Asks no database, so that nothing stays in force because
    /// none answers. Whether there was anything.
    pub async fn advance(&self, now: OffsetDateTime) -> bool {
        let due = || {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            current.next.is_some_and(|at| at <= now).then(|| current.known.clone())
        };
        if due().is_none() {
            return false;
        }
        let _turn = self.reading.lock().await;
        // Meanwhile it may have been read anew.
        if let Some(known) = due() {
            self.replace(Rights::at(known, now));
        }
        true
    }

    fn replace(&self, fresh: Rights) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        self.replaced.send_replace(());
    }

    /// As whom a caller acts, now and from where they are: as themselves, and as the sign-ins to which something is
    /// bound that they activated.
    pub fn acting(&self, caller: &Caller) -> Asker {
        let bound = self.current.read().unwrap_or_else(PoisonError::into_inner).bound.clone();
        let mine = |id: &Uuid| bound.get(id).is_some_and(|p| p.0 == caller.principal);
        let sign_ins = sign_in_ids(caller).into_iter().filter(mine).map(PrincipalId);
        let circumstances =
            Circumstances { now: Some(OffsetDateTime::now_utc()), address: Some(caller.address) };
        Asker {
            principals: std::iter::once(PrincipalId(caller.principal)).chain(sign_ins).collect(),
            circumstances,
        }
    }

    /// All operations.
    pub fn universe(&self) -> Arc<Universe> {
        self.universe.clone()
    }

    /// Reads the facts and compiles the snapshot anew.
    ///
    /// # Errors
    /// Those of the database; the old snapshot stays.
    pub async fn refresh(&self, store: &Store) -> Result<(), StoreError> {
        let _turn = self.reading.lock().await;
        let mut read = store.read().await?;
        let known = Known::read(&mut read, self.universe.clone()).await?;
        self.replace(Rights::at(Arc::new(known), read.now()));
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

/// The type of what people may activate.
pub const ELIGIBILITIES: &str = "roleEligibilitySchedules";
/// The type of what people have for a time.
pub const ASSIGNMENTS: &str = "roleAssignmentSchedules";

fn type_name(path: &str) -> TypeName {
    TypeName::new("Microsoft.Authorization", path)
}

fn sign_in_ids(caller: &Caller) -> Vec<Uuid> {
    let granted = caller.grant.iter().flat_map(|g| [g.id, g.session]);
    caller.session.iter().map(|s| s.id).chain(granted).collect()
}

/// The sign-in that a caller asks through, as types look at it.
pub fn sign_in(caller: &Caller) -> SignIn {
    let last =
        |methods: &[Method]| caller.proofs.iter().filter(|p| methods.contains(&p.method)).map(|p| p.at).max();
    let passkey = last(&[Method::Passkey]);
    let password = last(&[Method::Password]);
    let both = password.zip(last(&[Method::Totp, Method::RecoveryCode])).map(|(knows, has)| knows.min(has));
    SignIn { ids: sign_in_ids(caller), multi_factor: passkey.max(both), phishing_resistant: passkey }
}

/// All schedules of a type.
///
/// # Errors
/// Those of the database.
pub async fn schedules(read: &mut (dyn Read + '_), path: &str) -> Result<Vec<Schedule>, StoreError> {
    let all = read.list(&Listing::of(&Scope::Tenant, &type_name(path))).await?;
    Ok(all.iter().filter_map(schedule_of).collect())
}

/// A schedule as decisions take it.
pub fn schedule_of(resource: &Resource) -> Option<Schedule> {
    Schedule::of(guid_name(resource).ok()?, scope_of(resource), resource.typed().ok()?)
}

/// Reads all role facts that hold now.
///
/// # Errors
/// Those of the database.
pub async fn facts(read: &mut (dyn Read + '_), universe: Arc<Universe>) -> Result<Facts, StoreError> {
    let now = read.now();
    let active = schedules(read, ASSIGNMENTS).await?;
    Ok(with(standing_facts(read, universe).await?, &active, now))
}

/// The facts with what holds for a time.
fn with(mut facts: Facts, active: &[Schedule], now: OffsetDateTime) -> Facts {
    facts.assignments.extend(active.iter().filter(|s| s.window.holds(now)).map(Schedule::assignment));
    facts
}

/// Those of them that time does not end.
async fn standing_facts(read: &mut (dyn Read + '_), universe: Arc<Universe>) -> Result<Facts, StoreError> {
    let list = async |read: &mut (dyn Read + '_), path: &str| {
        read.list(&Listing::of(&Scope::Tenant, &type_name(path))).await
    };
    let roles = list(read, "roleDefinitions").await?;
    let assignments = list(read, "roleAssignments").await?;
    let denials = list(read, "denyAssignments").await?;
    let (groups, unreadable_groups) = groups(read).await?;
    let parents = management::parents(read).await?;
    // What was checked when it was written is read back here; a row that no longer fits must not take the others with
    // it, and grants nothing.
    let told = |resource: &Resource, error: &ArmError| {
        tracing::error!(id = %resource.id, %error, "a role fact is unreadable");
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
            .filter_map(|r| assignment_of(r).inspect_err(|e| told(r, e)).ok())
            .collect(),
        deny_assignments: denials
            .iter()
            .map(|r| {
                denial_of(r).inspect_err(|e| told(r, e)).unwrap_or_else(|_| {
                    DenyAssignment::unreadable(guid_name(r).unwrap_or_default(), scope_of(r))
                })
            })
            .collect(),
        groups: groups
            .into_iter()
            .map(|g| Group {
                id: PrincipalId(g.id),
                members: g.members.into_iter().map(PrincipalId).collect(),
            })
            .collect(),
        unreadable_groups,
        parents,
    })
}

/// All groups, and the ids of those that cannot be read.
///
/// # Errors
/// Those of the database.
pub(crate) async fn groups(
    read: &mut (dyn Read + '_),
) -> Result<(Vec<GroupRecord>, Vec<PrincipalId>), StoreError> {
    let (mut whole, mut unreadable) = (Vec::new(), Vec::new());
    for document in read.documents(GROUP).await? {
        match document.typed() {
            Ok(group) => whole.push(group),
            Err(error) => {
                tracing::error!(group = document.key, %error, "a group is unreadable");
                unreadable.extend(Uuid::try_parse(&document.key).map(PrincipalId));
            }
        }
    }
    Ok((whole, unreadable))
}

/// The standing role facts of those who exist and may sign in: without what ends by itself, and without the assignments and memberships of removed and disabled
/// principals, which decisions need not look at because such principals never get as far as asking.
///
/// # Errors
/// Those of the database.
pub async fn living_facts(read: &mut (dyn Read + '_), universe: Arc<Universe>) -> Result<Facts, StoreError> {
    let mut facts = standing_facts(read, universe).await?;
    only_living(read, &mut facts, []).await?;
    Ok(facts)
}

/// The kinds of documents that are principals who can sign in.
pub(crate) const ACCOUNTS: [&str; 2] = [kind::PERSON, kind::SERVICE_PRINCIPAL];

/// Of somebody who can sign in, whether they may.
#[derive(Deserialize)]
struct Account {
    id: Uuid,
    enabled: bool,
}

/// Whether a person or a program of this object id is there and not disabled. One that cannot be read is not.
///
/// # Errors
/// Those of the database.
pub(crate) async fn is_living(read: &mut (dyn Read + '_), id: &str) -> Result<bool, StoreError> {
    for what in ACCOUNTS {
        let found = read.document(what, id).await?;
        if found.and_then(|kept| kept.typed::<Account>().ok()).is_some_and(|a| a.enabled) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes the assignments and memberships of removed and disabled principals out. `sign_ins` count as living.
///
/// # Errors
/// Those of the database.
pub async fn only_living(
    read: &mut (dyn Read + '_),
    facts: &mut Facts,
    sign_ins: impl IntoIterator<Item = PrincipalId>,
) -> Result<(), StoreError> {
    let mut living: HashSet<PrincipalId> = sign_ins.into_iter().collect();
    for what in ACCOUNTS {
        let all: Vec<(String, Account)> = read_documents(read, what).await?;
        living.extend(all.into_iter().filter(|(_, a)| a.enabled).map(|(_, a)| PrincipalId(a.id)));
    }
    living.extend(facts.groups.iter().map(|g| g.id));
    facts.assignments.retain(|a| living.contains(&a.principal));
    for group in &mut facts.groups {
        group.members.retain(|m| living.contains(m));
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use sekisho_rbac::pim::Window;
    use sekisho_rbac::{Decision, PrincipalType, RoleId};
    use time::Duration;
    use time::macros::datetime;

    use super::*;

    const READ: &str = "Microsoft.Compute/virtualMachines/read";

    #[tokio::test]
    async fn a_role_ends_at_its_instant_without_a_database() {
        let from = datetime!(2026-11-26 09:00 UTC);
        let until = from + Duration::hours(1);
        let person = PrincipalId(Uuid::from_u128(1));
        let active = Schedule {
            name: Uuid::from_u128(2),
            scope: Scope::Tenant,
            principal: person,
            principal_type: PrincipalType::User,
            role: RoleId::parse("acdd72a7-3385-48ef-bd42-f606fba81ae7").unwrap(),
            condition: None,
            window: Window { from, until: Some(until) },
            linked: None,
            sign_in: None,
        };
        let universe = Arc::new(Universe::new([(READ, false)]).unwrap());
        let standing = Facts { universe: universe.clone(), ..Facts::default() };
        let known = Known { standing, eligible: Vec::new(), active: vec![active] };
        let access = Access {
            universe,
            current: RwLock::new(Rights::at(Arc::new(known), from)),
            reading: tokio::sync::Mutex::default(),
            replaced: watch::Sender::new(()),
        };
        let may =
            || matches!(access.snapshot().decide(&[person], READ, &Scope::Tenant), Decision::Allowed { .. });
        assert!(may() && !access.advance(until - Duration::nanoseconds(1)).await && may());
        assert!(access.advance(until).await && !may());
        assert!(!access.advance(until + Duration::days(1)).await, "nothing is left to end");
    }
}
