//! Role assignments and deny assignments: the facts that tie principals, permissions and scopes together.
//!
//! The `…Properties` types are the wire shapes (api-version 2022-04-01); [`Assignment`] and [`DenyAssignment`] are the
//! same facts after checking, which is what a [`crate::Snapshot`] takes. Assignments are immutable in Azure except for
//! their condition and description: changing one means deleting it and making another.

use std::fmt;

use schemars::JsonSchema;
use sekisho_arm::{ArmError, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Permission, RoleId, builtin};

/// The object id of a person, group or service principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PrincipalId(#[schemars(with = "String")] pub Uuid);

impl fmt::Display for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What kind of principal an assignment names; Azure's words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PrincipalType {
    /// A person.
    #[default]
    User,
    /// A group.
    Group,
    /// An application's identity, or a managed identity.
    ServicePrincipal,
    /// A group of another tenant.
    ForeignGroup,
    /// A device.
    Device,
}

impl PrincipalType {
    /// Azure's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::ServicePrincipal => "ServicePrincipal",
            Self::ForeignGroup => "ForeignGroup",
            Self::Device => "Device",
        }
    }
}

/// The `properties` of `Microsoft.Authorization/roleAssignments`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssignmentProperties {
    /// The id of the role definition, at any scope, or its bare GUID.
    pub role_definition_id: String,
    /// The principal's GUID.
    pub principal_id: String,
    /// The principal's kind; `User` when left out, as in Azure.
    #[serde(default)]
    pub principal_type: PrincipalType,
    /// Where the assignment is; the server fills it in from the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The assignment grants only while this holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Version of the condition's language, such as `2.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition_version: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Fields that mean nothing here (`createdOn` and the like), kept for the round trip.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A principal has a role at a scope and below.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The GUID that names it.
    pub name: Uuid,
    /// Where it is.
    pub scope: Scope,
    /// Who has the role.
    pub principal: PrincipalId,
    /// What kind of principal that is.
    pub principal_type: PrincipalType,
    /// The role.
    pub role: RoleId,
    /// The text of the condition, if any.
    pub condition: Option<String>,
}

impl Assignment {
    /// Checks a wire body.
    ///
    /// # Errors
    /// 400 `InvalidRoleDefinitionId` or `InvalidPrincipalId` when a GUID is not one.
    pub fn from_properties(
        name: Uuid,
        scope: Scope,
        body: &AssignmentProperties,
    ) -> Result<Assignment, ArmError> {
        let role = RoleId::parse(&body.role_definition_id).ok_or_else(|| {
            ArmError::bad(
                "InvalidRoleDefinitionId",
                format!("The role definition id '{}' does not end with a GUID.", body.role_definition_id),
            )
            .target("properties.roleDefinitionId")
        })?;
        let principal = principal(&body.principal_id, "properties.principalId")?;
        Ok(Assignment {
            name,
            scope,
            principal,
            principal_type: body.principal_type,
            role,
            condition: body.condition.clone().filter(|c| !c.trim().is_empty()),
        })
    }

    /// The full ARM id.
    pub fn id(&self) -> String {
        extension_id(&self.scope, "roleAssignments", self.name)
    }
}

/// A principal of a deny assignment. [`builtin::EVERYONE`] with type `SystemDefined` means everyone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DenyPrincipal {
    /// The GUID.
    pub id: String,
    /// `User`, `Group`, `ServicePrincipal` or `SystemDefined`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What to show for it.
    #[serde(rename = "displayName", skip_serializing_if = "String::is_empty")]
    pub display_name: String,
}

/// The `properties` of `Microsoft.Authorization/denyAssignments`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DenyAssignmentProperties {
    /// What people call it.
    pub deny_assignment_name: String,
    /// For people.
    pub description: String,
    /// What is denied; the blocks add up.
    pub permissions: Vec<Permission>,
    /// Where; the server fills it in from the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Deny at the scope itself only.
    pub do_not_apply_to_child_scopes: bool,
    /// Who is denied.
    pub principals: Vec<DenyPrincipal>,
    /// Who is not, even when denied through a group or everyone.
    pub exclude_principals: Vec<DenyPrincipal>,
    /// Made by the system: people cannot change it.
    pub is_system_protected: bool,
    /// The denial holds only while this does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Fields that mean nothing here, kept for the round trip.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Principals may not do something at a scope, whatever their roles say.
#[derive(Debug, Clone, PartialEq)]
pub struct DenyAssignment {
    /// The GUID that names it.
    pub name: Uuid,
    /// What people call it.
    pub display_name: String,
    /// Where it is.
    pub scope: Scope,
    /// What is denied.
    pub permissions: Vec<Permission>,
    /// Who is denied.
    pub principals: Vec<PrincipalId>,
    /// Whether everyone is denied.
    pub everyone: bool,
    /// Who is spared.
    pub excluded: Vec<PrincipalId>,
    /// Whether it applies at the scope itself only.
    pub only_here: bool,
    /// The text of the condition, if any.
    pub condition: Option<String>,
}

impl DenyAssignment {
    /// Checks a wire body.
    ///
    /// # Errors
    /// 400 when a principal is not a GUID, or nobody is named.
    pub fn from_properties(
        name: Uuid,
        scope: Scope,
        body: &DenyAssignmentProperties,
    ) -> Result<DenyAssignment, ArmError> {
        let read = |list: &[DenyPrincipal], field: &str| -> Result<Vec<PrincipalId>, ArmError> {
            let numbered = list.iter().enumerate();
            numbered.map(|(i, p)| principal(&p.id, &format!("properties.{field}[{i}].id"))).collect()
        };
        let mut principals = read(&body.principals, "principals")?;
        let everyone = principals.iter().any(|p| p.0 == builtin::EVERYONE);
        principals.retain(|p| p.0 != builtin::EVERYONE);
        if principals.is_empty() && !everyone {
            let text = "A deny assignment must name at least one principal.";
            return Err(ArmError::invalid_content(text).target("properties.principals"));
        }
        Ok(DenyAssignment {
            name,
            display_name: body.deny_assignment_name.clone(),
            scope,
            permissions: body.permissions.clone(),
            principals,
            everyone,
            excluded: read(&body.exclude_principals, "excludePrincipals")?,
            only_here: body.do_not_apply_to_child_scopes,
            condition: body.condition.clone().filter(|c| !c.trim().is_empty()),
        })
    }

    /// What stands in for one that cannot be read, so that what it denied is not allowed: everybody is denied
    /// everything there but to see and to remove deny assignments.
    pub fn unreadable(name: Uuid, scope: Scope) -> DenyAssignment {
        let all = || vec!["*".to_owned()];
        let way_out =
            ["read", "delete"].map(|deed| format!("Microsoft.Authorization/denyAssignments/{deed}"));
        DenyAssignment {
            name,
            display_name: "A deny assignment that cannot be read".to_owned(),
            scope,
            permissions: vec![Permission {
                actions: all(),
                not_actions: way_out.into(),
                data_actions: all(),
                ..Permission::default()
            }],
            principals: Vec::new(),
            everyone: true,
            excluded: Vec::new(),
            only_here: false,
            condition: None,
        }
    }

    /// The full ARM id.
    pub fn id(&self) -> String {
        extension_id(&self.scope, "denyAssignments", self.name)
    }
}

fn extension_id(scope: &Scope, kind: &str, name: Uuid) -> String {
    let prefix = if *scope == Scope::Tenant { String::new() } else { scope.to_string() };
    format!("{prefix}/providers/Microsoft.Authorization/{kind}/{name}")
}

fn principal(text: &str, target: &str) -> Result<PrincipalId, ArmError> {
    Uuid::try_parse(text).map(PrincipalId).map_err(|_| {
        ArmError::bad("InvalidPrincipalId", format!("The principal id '{text}' is not a GUID."))
            .target(target)
    })
}
