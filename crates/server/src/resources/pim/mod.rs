//! Privileged identity management over ARM: who is eligible for which role where, who has taken it, and what that needs.
//! The meaning is `rbac::pim`'s; here it meets the database.
//!
//! A client PUTs a request ([`requests`]); in the same transaction that makes, changes or ends a schedule
//! ([`schedules`]), or begins an approval ([`approvals`]). Settings are policies per role and scope ([`policies`]).
//! [`clock`] ends what is over.

mod approvals;
mod children;
pub mod clock;
mod policies;
mod requests;
mod schedules;
mod words;

use sekisho_arm::registry::{PutStyle, Registry, Storage, any_schema};
use sekisho_arm::{ArmError, AuditEntry, Call, CallerRef, Outcome, Read, Scope, ScopeKind, TypeSpec, Write};
use sekisho_rbac::{PrincipalId, Snapshot};
use serde_json::Value;

use super::authorization::{self, LateUniverse};

const VERSIONS: &[&str] =
    &["2024-09-01-preview", "2022-04-01", "2021-01-01-preview", "2020-10-01", "2020-10-01-preview"];

const SCOPES: &[ScopeKind] = &[
    ScopeKind::Tenant,
    ScopeKind::ManagementGroup,
    ScopeKind::Subscription,
    ScopeKind::ResourceGroup,
    ScopeKind::Resource,
];

const fn spec(path: &'static str, put: PutStyle, storage: Storage) -> TypeSpec {
    TypeSpec {
        namespace: "Microsoft.Authorization",
        path,
        versions: VERSIONS,
        scopes: SCOPES,
        storage,
        put,
        location: false,
        shows_etag: false,
        shows_state: false,
        actions: &[],
        schema: any_schema,
    }
}

/// What people are eligible for, and what they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Eligibility,
    Assignment,
}

/// Adds the types.
pub fn register(registry: &mut Registry, universe: &LateUniverse) {
    for kind in [Kind::Eligibility, Kind::Assignment] {
        registry
            .add(requests::Requests { kind, universe: universe.clone() })
            .add(schedules::Schedules { kind, universe: universe.clone() })
            .add(schedules::Instances { kind, universe: universe.clone() });
    }
    registry
        .add(policies::Policies { universe: universe.clone() })
        .add(policies::PolicyAssignments { universe: universe.clone() })
        .add(approvals::Approvals { universe: universe.clone() })
        .add(approvals::Stages { universe: universe.clone() })
        .add(children::EligibleChildren { universe: universe.clone() });
}

/// Who is asking, with their groups.
struct Asker {
    person: PrincipalId,
    acting: sekisho_rbac::Asker,
    /// The person and every group they are in.
    names: Vec<PrincipalId>,
}

impl Asker {
    fn of(call: &Call, all: &Snapshot) -> Asker {
        let person = authorization::asker(call);
        let names = std::iter::once(person).chain(all.groups_of(person)).collect();
        Asker { person, acting: authorization::acting(call), names }
    }

    /// Whether something that a principal has is theirs.
    fn is(&self, principal: PrincipalId) -> bool {
        self.names.contains(&principal)
    }
}

/// Adds to the log what a request did to a schedule, with its reason.
async fn note(
    tx: &mut (dyn Write + '_),
    call: &Call,
    (operation, scope): (&str, &Scope),
    properties: Value,
) -> Result<(), ArmError> {
    noted(tx, call.caller.clone(), call.correlation_id.clone(), (operation, scope), properties).await
}

async fn noted(
    tx: &mut (dyn Write + '_),
    caller: CallerRef,
    correlation_id: String,
    (operation, scope): (&str, &Scope),
    properties: Value,
) -> Result<(), ArmError> {
    tx.audit(AuditEntry {
        operation: format!("Microsoft.Authorization/{operation}"),
        resource_id: scope.to_string(),
        caller,
        outcome: Outcome::Succeeded,
        detail: "OK".to_owned(),
        correlation_id,
        authorization: None,
        http: None,
        phase: None,
        properties: Some(properties),
    })
    .await?;
    Ok(())
}

/// The rights as they are in this transaction.
async fn rights(read: &mut (dyn Read + '_), universe: &LateUniverse) -> Result<Snapshot, ArmError> {
    authorization::snapshot(read, universe).await
}
