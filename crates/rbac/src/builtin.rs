//! Azure's built-in roles, those that mean something to a machine platform, as data.
//!
//! Ids, names and permissions are Azure's, so an assignment copied from Azure works unchanged; the descriptions are
//! ours. Source of the facts: iann0036/iam-dataset commit 2073fa52a (2026-08-22), MIT, Copyright (c) 2021 Ian Mckay.

use std::sync::OnceLock;

use uuid::{Uuid, uuid};

use crate::{RoleDefinition, RoleId};

/// Owner: full control, access included.
pub const OWNER: RoleId = RoleId(uuid!("8e3af657-a8ff-443c-a75c-2fe8c4bcb635"));
/// Contributor: full control without granting access.
pub const CONTRIBUTOR: RoleId = RoleId(uuid!("b24988ac-6180-42a0-ab88-20f7382dd24c"));
/// Reader: sees everything.
pub const READER: RoleId = RoleId(uuid!("acdd72a7-3385-48ef-bd42-f606fba81ae7"));
/// User Access Administrator: grants access.
pub const USER_ACCESS_ADMINISTRATOR: RoleId = RoleId(uuid!("18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"));
/// Virtual Machine Administrator Login: a root shell.
pub const VM_ADMINISTRATOR_LOGIN: RoleId = RoleId(uuid!("1c0163c0-47e6-4577-8991-ea5c82e286e4"));
/// Virtual Machine User Login: an ordinary shell.
pub const VM_USER_LOGIN: RoleId = RoleId(uuid!("fb879df8-f326-4884-b1cf-06f3ad86be52"));

/// The principal Azure writes for "everyone" in deny assignments.
pub const EVERYONE: Uuid = Uuid::nil();

/// All built-in roles, in the order in which people look for them.
pub fn roles() -> &'static [RoleDefinition] {
    static ROLES: OnceLock<Vec<RoleDefinition>> = OnceLock::new();
    // The file is part of the crate and a test reads it, so the fallback is never seen; an empty list grants nothing.
    ROLES
        .get_or_init(|| serde_json::from_str(include_str!("../data/built-in-roles.json")).unwrap_or_default())
}

/// A built-in role by id.
pub fn role(id: RoleId) -> Option<&'static RoleDefinition> {
    roles().iter().find(|r| r.name == id)
}
