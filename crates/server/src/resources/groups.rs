//! `Microsoft.Resources/resourceGroups`. Deleting a group deletes what is in it, each thing by its own rules.

use std::sync::OnceLock;

use async_trait::async_trait;
use sekisho_arm::registry::{PutStyle, Registry, Storage, any_schema};
use sekisho_arm::{ArmError, Call, Listing, Read, Resource, ResourceType, ScopeKind, TypeSpec, Write};
use serde_json::Value;

use super::core::VERSIONS;

/// The type. It needs the registry it is in, to let every type have its say when a group goes.
pub struct ResourceGroups {
    /// Filled in once the registry is complete.
    pub registry: std::sync::Arc<OnceLock<Registry>>,
}

static SPEC: TypeSpec = TypeSpec {
    namespace: "Microsoft.Resources",
    path: "resourceGroups",
    versions: VERSIONS,
    scopes: &[ScopeKind::Subscription],
    storage: Storage::Row,
    put: PutStyle::Normal,
    location: true,
    shows_etag: false,
    shows_state: true,
    actions: &[],
    schema: any_schema,
};

#[async_trait]
impl ResourceType for ResourceGroups {
    fn spec(&self) -> &TypeSpec {
        &SPEC
    }

    fn removal_is_long_running(&self) -> bool {
        true
    }

    async fn prepare(
        &self,
        _: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        old: Option<&Resource>,
    ) -> Result<(), ArmError> {
        let name = draft.id.name();
        let allowed = |c: char| c.is_alphanumeric() || "-_.()".contains(c);
        if name.chars().count() > 90 || name.ends_with('.') || !name.chars().all(allowed) {
            return Err(ArmError::bad(
                "InvalidResourceGroup",
                "A resource group name has 1 to 90 letters, digits, '-', '_', '.', '(' or ')' and does not end with '.'.",
            ));
        }
        if let Some(old) = old
            && old.location != draft.location
        {
            return Err(ArmError::new(
                409,
                "InvalidResourceGroupLocation",
                format!(
                    "Invalid resource group location '{}'. The Resource group already exists in location '{}'.",
                    draft.location.as_deref().unwrap_or_default(),
                    old.location.as_deref().unwrap_or_default()
                ),
            ));
        }
        Ok(())
    }

    async fn removing(&self, tx: &mut dyn Write, call: &Call, old: &Resource) -> Result<(), ArmError> {
        let Some(registry) = self.registry.get() else { return Err(ArmError::internal()) };
        let listing = Listing::all(&old.id);
        let mut inside = tx.list(&listing).await?;
        // Machines go first: their interfaces hold on to groups and subnets, which then are free.
        inside.sort_by_key(|r| {
            (!r.type_name.is("Microsoft.Compute/virtualMachines"), std::cmp::Reverse(r.id.key().len()))
        });
        let mut blocked = Vec::new();
        let mut waiting = inside;
        // Things that hold on to each other free each other: go round until nothing moves.
        loop {
            let before = waiting.len();
            blocked.clear();
            let mut next = Vec::new();
            for resource in waiting {
                if tx.get(&resource.id).await?.is_none() {
                    continue;
                }
                let Some(kind) = registry.get(&resource.type_name).cloned() else { continue };
                match kind.removing(tx, call, &resource).await {
                    Ok(()) => {
                        tx.remove(&resource.id).await?;
                    }
                    Err(error) => {
                        blocked.push(error);
                        next.push(resource);
                    }
                }
            }
            if next.is_empty() {
                return Ok(());
            }
            if next.len() == before {
                break;
            }
            waiting = next;
        }
        let mut error = ArmError::new(
            409,
            "ResourceGroupDeletionBlocked",
            format!(
                "Deletion of resource group '{}' was stopped because things in it are in use.",
                old.id.name()
            ),
        );
        error.details = blocked;
        Err(error)
    }

    async fn present(&self, _: &mut dyn Read, _: &Call, resource: &Resource) -> Result<Value, ArmError> {
        Ok(self.render(resource))
    }
}
