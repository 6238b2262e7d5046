//! An entry at its place in the log.

use sekisho_arm::AuditEntry;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// One entry at its place in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leaf {
    /// Its place, from 1.
    pub sequence: i64,
    /// When it happened.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// What happened.
    #[serde(flatten)]
    pub entry: AuditEntry,
}

impl Leaf {
    /// The bytes that are hashed and kept.
    ///
    /// # Errors
    /// When the entry has no JSON form.
    pub fn bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}
