//! Azure RBAC.
