//! ARM errors: an HTTP status, a code that machines read, a sentence that people read, and the field it is about.
//!
//! Codes and texts follow Azure's (research 09 §2.8), because `az` prints them verbatim and scripts match on them.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// An error as ARM shows it. Build one with the named constructors, so that a code has one text.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("({code}) {message}")]
pub struct ArmError {
    /// The HTTP status.
    pub status: u16,
    /// Azure's code, such as `ResourceNotFound`.
    pub code: String,
    /// A full sentence for the person.
    pub message: String,
    /// The field the error is about, as a JSON path from the body's root.
    pub target: Option<String>,
    /// Further errors that caused this one.
    pub details: Vec<ArmError>,
    /// Typed extra facts: (type, info).
    pub additional_info: Vec<(String, Value)>,
    /// Seconds after which a retry makes sense.
    pub retry_after: Option<u32>,
}

/// An error on the wire.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ErrorResponse {
    /// The error.
    pub error: ErrorDetail,
}

/// What an error says.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorDetail {
    /// Azure's code.
    pub code: String,
    /// A full sentence for the person.
    pub message: String,
    /// The field it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Further errors that caused this one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<ErrorDetail>,
    /// Typed extra facts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional_info: Vec<ErrorInfo>,
}

/// A typed extra fact of an error, such as the decision that refused a request.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ErrorInfo {
    /// What kind of fact.
    #[serde(rename = "type")]
    pub kind: String,
    /// The fact.
    pub info: Value,
}

impl ArmError {
    /// An error with any status, code and text.
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            target: None,
            details: Vec::new(),
            additional_info: Vec::new(),
            retry_after: None,
        }
    }

    /// 400 with the given code.
    pub fn bad(code: &str, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    /// 400 `InvalidRequestContent`: the body is not what the type takes.
    pub fn invalid_content(message: impl Into<String>) -> Self {
        Self::bad("InvalidRequestContent", message)
    }

    /// 404 `ResourceNotFound` in Azure's words.
    pub fn not_found(id: &crate::Scope) -> Self {
        match id {
            crate::Scope::Subscription(s) => {
                Self::new(404, "SubscriptionNotFound", format!("The subscription '{s}' could not be found."))
            }
            crate::Scope::ResourceGroup { name, .. } => Self::group_not_found(name),
            _ => Self::new(
                404,
                "ResourceNotFound",
                format!(
                    "The Resource '{}' under resource group '{}' was not found. For more details please go to \
                     https://aka.ms/ARMResourceNotFoundFix",
                    id.resource().map_or_else(
                        || id.to_string(),
                        |r| {
                            let names: Vec<&str> = r.chain().iter().map(|(_, n)| n.as_str()).collect();
                            format!("{}/{}", r.type_name(), names.join("/"))
                        }
                    ),
                    id.resource_group().unwrap_or("<null>")
                ),
            ),
        }
    }

    /// 404 `ResourceGroupNotFound`.
    pub fn group_not_found(name: &str) -> Self {
        Self::new(404, "ResourceGroupNotFound", format!("Resource group '{name}' could not be found."))
    }

    /// 412 `PreconditionFailed`.
    pub fn precondition() -> Self {
        Self::new(
            412,
            "PreconditionFailed",
            "The resource has changed since it was read: the etag in If-Match or If-None-Match does not hold. \
             Read it again and repeat the change.",
        )
    }

    /// 405 `MethodNotAllowed`.
    pub fn method_not_allowed(method: &str, what: &str) -> Self {
        Self::new(405, "MethodNotAllowed", format!("The method '{method}' is not supported by '{what}'."))
    }

    /// 500 `InternalServerError`: the cause goes to the log, never to the caller.
    pub fn internal() -> Self {
        Self::new(
            500,
            "InternalServerError",
            "The server met an unexpected error. Its log has the cause under this request id.",
        )
    }

    /// Names the field the error is about.
    #[must_use]
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// Prefixes the target, when a nested validator reports relative paths.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        self.target = Some(match self.target {
            Some(t) => format!("{prefix}.{t}"),
            None => prefix.to_owned(),
        });
        self
    }

    /// The body ARM sends: `{"error": {...}}`.
    pub fn body(&self) -> ErrorResponse {
        ErrorResponse { error: self.shown() }
    }

    fn shown(&self) -> ErrorDetail {
        let info = |(kind, info): &(String, Value)| ErrorInfo { kind: kind.clone(), info: info.clone() };
        ErrorDetail {
            code: self.code.clone(),
            message: self.message.clone(),
            target: self.target.clone(),
            details: self.details.iter().map(ArmError::shown).collect(),
            additional_info: self.additional_info.iter().map(info).collect(),
        }
    }
}
