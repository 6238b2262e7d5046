//! What can go wrong.

use sekisho_arm::{ArmError, StoreError};

/// The lake could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The database could not.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The manifest names a segment whose file is not there.
    #[error("the segment {0} of the lake is missing; restore its file, or wait until its retention ends")]
    Missing(String),
    /// A segment's file is not what was written.
    #[error("the segment {segment} of the lake cannot be read: {why}")]
    Unreadable {
        /// The path of its file within the lake.
        segment: String,
        /// What is wrong with it.
        why: String,
    },
    /// A segment could not be made.
    #[error("a segment cannot be made: {0}")]
    Encoding(#[from] parquet::errors::ParquetError),
    /// The directory or the object storage does not do its part.
    #[error("the lake's storage does not answer: {0}")]
    Objects(#[from] object_store::Error),
    /// It cannot be told where the lake is.
    #[error("'{0}' is no place for a lake: {1}")]
    Place(String, String),
    /// A cursor that this program did not give.
    #[error("the continuation token is not valid")]
    Cursor,
}

impl From<LakeError> for ArmError {
    fn from(error: LakeError) -> Self {
        match error {
            LakeError::Store(error) => error.into(),
            LakeError::Cursor => ArmError::bad("InvalidSkipToken", "The continuation token is not valid."),
            LakeError::Objects(_) => {
                let text = "The event storage does not answer at the moment. Nothing was changed; try again.";
                let mut e = ArmError::new(503, "ServerUnavailable", text);
                e.retry_after = Some(2);
                e
            }
            LakeError::Missing(segment) | LakeError::Unreadable { segment, .. } => {
                let text = format!(
                    "Some of these events are in the segment {segment}, which is missing or damaged. Ask for another \
                     time, or have the segment restored."
                );
                ArmError::new(500, "EventSegmentUnreadable", text)
            }
            LakeError::Encoding(_) | LakeError::Place(..) => ArmError::internal(),
        }
    }
}
