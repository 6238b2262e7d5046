//! Long-running operations: what a client polls (research 09 §2.6). They are kept as documents, so a restart of the
//! server forgets none.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use crate::resource::instant;
use crate::traits::{read_document, write_document};
use crate::{ArmError, Read, Scope, StoreError, Write};

/// The document kind that operations are kept under.
pub const KIND: &str = "operation";

/// The state of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OperationState")]
pub enum Status {
    /// Not ended yet.
    InProgress,
    /// Ended well.
    Succeeded,
    /// Ended with an error.
    Failed,
}

/// A long-running operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Operation {
    /// The last segment of its URLs.
    pub id: String,
    /// What it works on; whoever may read that may poll.
    pub resource: Scope,
    /// The RBAC action that started it.
    pub action: String,
    /// The principal that started it.
    pub caller: String,
    /// Its state.
    pub status: Status,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// The result, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// The error's code and message, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<(String, String)>,
}

/// What a poll answers.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationStatus {
    /// The address polled.
    pub id: String,
    /// The operation's id.
    pub name: String,
    /// Its state.
    pub status: Status,
    /// When it began, RFC 3339.
    pub start_time: String,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<OperationError>,
    /// The result, when it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<Value>,
}

/// Why an operation failed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct OperationError {
    /// Azure's code.
    pub code: String,
    /// A full sentence for the person.
    pub message: String,
}

impl Operation {
    /// Keeps an operation that has already ended well.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn completed(
        tx: &mut (dyn Write + '_),
        resource: &Scope,
        action: &str,
        caller: &str,
        result: Option<Value>,
    ) -> Result<Operation, StoreError> {
        let operation = Operation {
            id: uuid::Uuid::new_v4().to_string(),
            resource: resource.clone(),
            action: action.to_owned(),
            caller: caller.to_owned(),
            status: Status::Succeeded,
            started_at: tx.now(),
            result,
            error: None,
        };
        write_document(tx, KIND, &operation.id, &operation).await?;
        Ok(operation)
    }

    /// Reads an operation.
    ///
    /// # Errors
    /// 404 when there is none; those of the database.
    pub async fn read(read: &mut (dyn Read + '_), id: &str) -> Result<Operation, ArmError> {
        read_document(read, KIND, id).await?.ok_or_else(|| {
            ArmError::new(404, "OperationNotFound", format!("The operation '{id}' could not be found."))
        })
    }

    /// The body of an `Azure-AsyncOperation` poll.
    pub fn body(&self, url: &str) -> OperationStatus {
        let error = self
            .error
            .as_ref()
            .map(|(code, message)| OperationError { code: code.clone(), message: message.clone() });
        OperationStatus {
            id: url.to_owned(),
            name: self.id.clone(),
            status: self.status,
            start_time: instant(self.started_at),
            error,
            properties: self.result.clone(),
        }
    }

    /// The two URLs a client polls: (`Azure-AsyncOperation`, `Location`).
    pub fn urls(&self, base_url: &str, api_version: &str) -> (String, String) {
        let subscription = self.resource.subscription_scope().map(|s| s.to_string()).unwrap_or_default();
        let namespace = self.resource.type_name().namespace;
        let at = format!("{base_url}{subscription}/providers/{namespace}/locations/home");
        (
            format!("{at}/operations/{}?api-version={api_version}", self.id),
            format!("{at}/operationResults/{}?api-version={api_version}", self.id),
        )
    }
}
