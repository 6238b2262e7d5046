//! The Azure Resource Manager protocol as types: ids, envelopes, errors, paging, api-versions and the registry of
//! resource types.
//!
//! A request flows through here as values: [`id`] and [`route`] say what the path names, [`registry`] finds the type,
//! the type turns the body into a [`Resource`], and [`store`](traits) keeps it through the [`Read`] and [`Write`]
//! traits.
//!
//! This crate must never do I/O: no socket, no file, no SQL, no clock of its own. Everything outside is reached
//! through the traits in [`traits`], which `store` implements.

pub mod error;
pub mod id;

pub use error::ArmError;
pub use id::{IdError, ResourceId, Scope, TypeName};
