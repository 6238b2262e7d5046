//! The ARM types that belong to no system: subscriptions, groups, providers, tags, roles, the activity log, events of
//! machines.

pub mod activity;
pub mod authorization;
pub mod core;
pub mod events;
pub mod groups;
mod hierarchy_settings;
pub mod locks;
pub mod log;
pub mod management;
pub mod pim;
mod provider_operations;
mod questions;
pub mod tag_names;
pub mod tags;
