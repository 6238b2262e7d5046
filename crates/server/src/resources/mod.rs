//! The ARM types that belong to no system: subscriptions, groups, providers, tags, roles, the activity log, events of
//! machines.

pub mod activity;
pub mod authorization;
pub(crate) mod bastion_sessions;
pub mod core;
pub(crate) mod desktops;
pub mod events;
pub(crate) mod flow_map;
pub mod groups;
mod hierarchy_settings;
pub mod jit;
pub mod locks;
pub mod log;
pub mod management;
pub mod pim;
mod provider_operations;
mod questions;
pub(crate) mod recordings;
pub mod tag_names;
pub mod tags;
pub(crate) mod traffic;

use sekisho_arm::{ArmError, AuditEntry, CallerRef, Outcome, Write};
use serde_json::Value;

/// Adds to the log what a request did beyond what its own entry says.
pub(crate) async fn logged(
    tx: &mut (dyn Write + '_),
    (caller, correlation_id): (CallerRef, String),
    (operation, resource_id): (&str, &str),
    properties: Value,
) -> Result<(), ArmError> {
    tx.audit(AuditEntry {
        operation: operation.to_owned(),
        resource_id: resource_id.to_owned(),
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
