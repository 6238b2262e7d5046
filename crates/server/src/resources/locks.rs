//! `Microsoft.Authorization/locks`: what keeps a subscription, a group or a resource from being removed or changed, by
//! whoever asks and with whatever right. A lock holds for everything inside its scope.
//!
//! Locks bind the callers of the ARM surface only: what machines report and what agents enforce does not pass here.

use async_trait::async_trait;
use schemars::{JsonSchema, SchemaGenerator};
use sekisho_arm::engine;
use sekisho_arm::registry::{PutStyle, Registry, Storage};
use sekisho_arm::{ArmError, Call, Listing, Read, Resource, ResourceType, Scope, ScopeKind, TypeSpec, Write};
use serde::{Deserialize, Serialize};

use crate::access;

/// No lock stands in the way of a lock, or none could ever be taken off.
const TYPE: &str = "Microsoft.Authorization/locks";

/// What a lock forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LockLevel {
    /// Removing.
    CanNotDelete,
    /// Removing, changing, and every action that does more than read.
    ReadOnly,
}

/// Azure's properties of a lock.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct LockProperties {
    level: LockLevel,
    /// At most 512 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notes: Option<String>,
    /// The application that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owners: Option<Vec<LockOwner>>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct LockOwner {
    application_id: String,
}

/// The type.
pub struct Locks;

static SPEC: TypeSpec = TypeSpec {
    namespace: "Microsoft.Authorization",
    path: "locks",
    versions: &["2020-05-01", "2017-04-01", "2016-09-01", "2015-06-01", "2015-01-01"],
    scopes: &[ScopeKind::Subscription, ScopeKind::ResourceGroup, ScopeKind::Resource],
    storage: Storage::Row,
    put: PutStyle::Normal,
    location: false,
    shows_etag: false,
    shows_state: false,
    actions: &[],
    schema: |g: &mut SchemaGenerator| g.subschema_for::<LockProperties>(),
};

#[async_trait]
impl ResourceType for Locks {
    fn spec(&self) -> &TypeSpec {
        &SPEC
    }

    async fn prepare(
        &self,
        _: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        _: Option<&Resource>,
    ) -> Result<(), ArmError> {
        let name = draft.id.name();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.()".contains(c);
        if name.len() > 90 || name.ends_with('.') || !name.chars().all(allowed) {
            return Err(ArmError::bad(
                "InvalidLockName",
                "A lock name has 1 to 90 letters, digits, '-', '_', '.', '(' or ')' and does not end with '.'.",
            )
            .target("name"));
        }
        // Clients spell the level in any case.
        if let Some(level) = draft.properties_mut().get_mut("level")
            && let Some(known) = ["CanNotDelete", "ReadOnly"]
                .into_iter()
                .find(|l| level.as_str().is_some_and(|given| given.eq_ignore_ascii_case(l)))
        {
            *level = known.into();
        }
        let lock: LockProperties = draft.typed()?;
        if lock.notes.is_some_and(|n| n.chars().count() > 512) {
            return Err(ArmError::invalid_content("The notes of a lock have at most 512 characters.")
                .target("properties.notes"));
        }
        Ok(())
    }

    /// Those that hold at the scope and those inside it; with `atScope()` only those that hold at it.
    async fn collection(
        &self,
        read: &mut dyn Read,
        call: &Call,
        scope: &Scope,
    ) -> Result<Option<Vec<Resource>>, ArmError> {
        let only_above = call.filter()?.is_some_and(|f| f.function("atScope").is_some());
        let mut all = read.list(&Listing::of(&Scope::Tenant, &SPEC.name())).await?;
        all.retain(|r| {
            let at = access::scope_of(r);
            at.contains(scope) || (!only_above && scope.contains(&at))
        });
        Ok(Some(all))
    }
}

/// What a write does to its target, as far as locks care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// PUT, PATCH, or an action that changes something.
    Write,
    /// DELETE.
    Delete,
    /// An action that only reads, though it is sent as POST.
    Look,
}

/// A lock in force.
struct Held {
    scope: Scope,
    level: LockLevel,
    /// What it is on, as it is before the write.
    etag: Option<String>,
}

/// The locks that a write meets. Asked before the write, and once more after it, in the same transaction: a write may
/// remove or change more than what it names.
pub struct Guard {
    held: Vec<Held>,
    target: Scope,
    deed: Deed,
}

impl Guard {
    /// Refuses a write that a lock on its target, above it or, for a removal, inside it forbids.
    ///
    /// # Errors
    /// 409 `ScopeLocked`; those of the database.
    pub async fn enter(
        registry: &Registry,
        read: &mut (dyn Read + '_),
        target: &Scope,
        deed: Deed,
    ) -> Result<Guard, ArmError> {
        let mut guard = Guard { held: Vec::new(), target: target.clone(), deed };
        if target.type_name().is(TYPE) || deed == Deed::Look {
            return Ok(guard);
        }
        for lock in read.list(&Listing::of(&Scope::Tenant, &SPEC.name())).await? {
            let scope = access::scope_of(&lock);
            // What cannot be read locks as much as a lock can.
            let level = lock.typed::<LockProperties>().map_or(LockLevel::ReadOnly, |p| p.level);
            let etag = engine::load(registry, read, &scope).await?.map(|r| r.etag);
            guard.held.push(Held { scope, level, etag });
        }
        let forbids = |lock: &&Held| match deed {
            Deed::Delete => lock.scope.contains(target) || target.contains(&lock.scope),
            _ => lock.level == LockLevel::ReadOnly && lock.scope.contains(target),
        };
        let met: Vec<&Held> = guard.held.iter().filter(forbids).collect();
        if met.is_empty() { Ok(guard) } else { Err(guard.refusal(&met)) }
    }

    /// Refuses a write that removed something locked, or changed something read-only, on its way: a network that was
    /// written without a subnet of it.
    ///
    /// # Errors
    /// 409 `ScopeLocked`; those of the database.
    pub async fn leave(self, registry: &Registry, read: &mut (dyn Read + '_)) -> Result<(), ArmError> {
        let mut met = Vec::new();
        for lock in &self.held {
            let now = engine::load(registry, read, &lock.scope).await?.map(|r| r.etag);
            let gone = lock.etag.is_some() && now.is_none();
            if gone || (lock.level == LockLevel::ReadOnly && now != lock.etag) {
                met.push(lock);
            }
        }
        if met.is_empty() { Ok(()) } else { Err(self.refusal(&met)) }
    }

    fn refusal(&self, met: &[&Held]) -> ArmError {
        let mut scopes: Vec<String> = met.iter().map(|l| l.scope.to_string()).collect();
        scopes.sort();
        scopes.dedup();
        let deed = if self.deed == Deed::Delete { "delete" } else { "write" };
        ArmError::new(
            409,
            "ScopeLocked",
            format!(
                "The scope '{}' cannot perform {deed} operation because following scope(s) are locked: '{}'. Please remove \
                 the lock and try again.",
                self.target,
                scopes.join(",")
            ),
        )
    }
}
