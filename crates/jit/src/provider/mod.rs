//! The server side without people: where requests are kept, and the compiler of the machines' parts. The ARM type itself
//! lives where people, approvals and the log are known, in the server.

mod compiler;
mod doubt;
pub mod logins;
pub mod requests;

pub use compiler::{AccessEffect, Compiler};
pub use doubt::unreadable;

use sekisho_arm::{Listing, Read, Resource, Scope, StoreError, TypeName};

use crate::resources::{NAMESPACE, TYPE};

/// The type's name.
pub fn policy_type() -> TypeName {
    TypeName::new(NAMESPACE, TYPE)
}

/// All policies in a scope.
///
/// # Errors
/// Those of the database.
pub async fn policies(read: &mut (dyn Read + '_), scope: &Scope) -> Result<Vec<Resource>, StoreError> {
    read.list(&Listing::of(scope, &policy_type())).await
}
