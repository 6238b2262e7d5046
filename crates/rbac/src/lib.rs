//! Azure role-based access control: who may do what, where.
//!
//! Facts go in ([`Facts`]: role definitions, assignments, deny assignments, groups and management-group parents), a
//! [`Snapshot`] comes out, and every question is asked of that snapshot: [`Snapshot::decide`] for one request,
//! [`Snapshot::may_list`] to filter a list of thousands, [`Snapshot::who_can`], [`Snapshot::effective`] and
//! [`preview`] for people. A snapshot never changes; a change of any fact means a new one, published with an `Arc`.
//!
//! The meaning is Azure's, to the letter (research 01 §A): grants add up; `NotActions` subtracts only inside its own
//! permission block; `*` crosses `/`; strings compare without case; control plane and data plane are separate worlds,
//! so Owner's `*` opens no shell; deny assignments win; rights inherit from root over management groups,
//! subscriptions and resource groups down to resources.
//!
//! Speed comes from one step: the server knows every concrete operation ([`Universe`]), so a block of patterns
//! becomes a bit set once, and a decision is a walk over a handful of ancestor scopes.
//!
//! This crate must never do I/O, read a clock, or guess: an operation nobody registered is refused, a condition it
//! cannot read never grants, and a deny assignment whose condition it cannot read always denies.

pub mod assignment;
pub mod builtin;
pub mod condition;
pub mod guard;
pub mod pim;
pub mod query;
pub mod role;
mod scopes;
pub mod snapshot;
pub mod universe;
pub mod validate;

pub use assignment::{
    Assignment, AssignmentProperties, DenyAssignment, DenyAssignmentProperties, DenyPrincipal, PrincipalId,
    PrincipalType,
};
pub use condition::{Attributes, Circumstances, Condition, ConditionError};
pub use query::{Change, ChangeReach, Grantee, Reach, preview};
pub use role::{Permission, RoleDefinition, RoleDefinitionProperties, RoleId, RoleType};
pub use scopes::Tree;
pub use snapshot::{Asker, Decision, Facts, Group, Identity, Problem, Snapshot, Who};
pub use universe::{OpId, Plane, Universe, UniverseError};
