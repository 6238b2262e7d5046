//! The Azure Resource Manager protocol as types: ids, envelopes, errors, paging, api-versions and the registry of
//! resource types.
//!
//! A request flows through here as values: [`route`] says what the path names, [`registry`] finds the type, the type
//! turns the body into a [`Resource`], [`engine`] runs the verb, and the resource is kept through the [`Read`] and
//! [`Write`] traits that `store` implements.
//!
//! This crate must never do I/O: no socket, no file, no SQL, no clock of its own.

pub mod api_version;
pub mod duration;
pub mod engine;
pub mod error;
pub mod filter;
pub mod id;
pub mod operation;
pub mod registry;
pub mod resource;
pub mod route;
pub mod shape;
pub mod traits;

pub use api_version::{ApiVersion, NETWORK_VERSIONS};
pub use error::{ArmError, ErrorDetail, ErrorInfo, ErrorResponse};
pub use id::{IdError, ResourceId, Scope, TypeName};
pub use registry::{Action, ActionStyle, Call, Registry, ResourceType, ScopeKind, SignIn, Storage, TypeSpec};
pub use resource::{Body, Resource};
pub use traits::{
    AuditEntry, CallerRef, Document, Event, Listing, Logged, Outcome, Phase, PrincipalKind, Read, StoreError,
    Write,
};
