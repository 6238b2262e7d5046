//! `eligibleChildResources`: the parts of a scope for which the caller could narrow an activation to.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sekisho_arm::registry::{PutStyle, Storage, any_schema};
use sekisho_arm::resource::shown;
use sekisho_arm::{ArmError, Call, Listing, Read, ResourceType, Scope, TypeSpec};
use serde_json::{Value, json};

use super::{Asker, rights, spec, words};
use crate::access;
use crate::resources::authorization::LateUniverse;
use crate::resources::{core, management};
use crate::routes::List;

static SPEC: TypeSpec =
    TypeSpec { schema: any_schema, ..spec("eligibleChildResources", PutStyle::Refused, Storage::Computed) };

/// The type.
pub(super) struct EligibleChildren {
    pub(super) universe: LateUniverse,
}

#[async_trait]
impl ResourceType for EligibleChildren {
    fn spec(&self) -> &TypeSpec {
        &SPEC
    }

    /// It tells nobody anything but what they are eligible for.
    fn lists_own(&self, _: &Call) -> Result<bool, ArmError> {
        Ok(true)
    }

    async fn computed(
        &self,
        read: &mut dyn Read,
        call: &Call,
        scope: &Scope,
        name: Option<&str>,
    ) -> Result<Value, ArmError> {
        if name.is_some() {
            return Err(ArmError::not_found(scope));
        }
        let all = rights(read, &self.universe).await?;
        let asker = Asker::of(call, &all);
        let now = read.now();
        let tree = management::tree(read).await?;
        let mut mine: Vec<Scope> = access::schedules(read, access::ELIGIBILITIES)
            .await?
            .into_iter()
            .filter(|s| asker.is(s.principal) && s.window.holds(now))
            .map(|s| s.scope)
            .collect();
        mine.retain(|at| tree.contains(at, scope) || tree.contains(scope, at));
        let seen = all.readable_scopes(&asker.acting);
        if mine.is_empty() && !seen.iter().any(|at| tree.contains(at, scope) || tree.contains(scope, at)) {
            return Err(ArmError::not_found(scope));
        }
        let mut found = BTreeMap::new();
        if !mine.is_empty() {
            let inside = Listing::all(scope);
            for row in read.list(&inside).await? {
                let above = tree.path(&row.id);
                let direct = above.get(1) == Some(&scope.key()) && !is_of_rights(&row.id);
                if direct && mine.iter().any(|at| tree.contains(at, &row.id) || tree.contains(&row.id, at)) {
                    found.insert(row.id.key(), row.id);
                }
            }
        }
        let filter = call.filter()?;
        let rows: Vec<Value> = found
            .into_values()
            .map(|id| json!({"id": id.to_string(), "name": id.name(), "type": words::word(&id)}))
            .filter(|row| {
                let kind =
                    |path: &str| path.eq_ignore_ascii_case("resourceType").then(|| row["type"].clone());
                filter.as_ref().is_none_or(|f| core::holds(f, row, &kind))
            })
            .collect();
        shown(&List::of(rows))
    }
}

/// Roles are taken at things, and not at what is written about them.
fn is_of_rights(id: &Scope) -> bool {
    id.resource().is_some_and(|r| r.type_name().namespace.eq_ignore_ascii_case("Microsoft.Authorization"))
}
