//! What becomes of a recording: it is held, so that nobody removes it, released, or removed. Each is a right of its own,
//! and takes a reason, which stands in the activity log.

use async_trait::async_trait;
use schemars::JsonSchema;
use sekisho_arm::registry::{Action, ActionStyle, ScopeAction};
use sekisho_arm::resource::typed;
use sekisho_arm::{ArmError, Call, Registry, Scope, Write};
use serde::Deserialize;
use serde_json::Value;

use super::{NAMESPACE, RecordingShown, of, one};
use crate::bastion::{Order, retention};

/// The longest reason, in characters.
const LONGEST: usize = 500;

/// Adds the actions.
pub(crate) fn register(registry: &mut Registry) {
    for deed in [Deed::Hold, Deed::Release, Deed::Delete] {
        registry.add_scope_action(Keeping(deed));
    }
}

/// What is done to a recording.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Hold,
    Release,
    Delete,
}

/// Does it.
struct Keeping(Deed);

/// What is to be done to which recording, and why.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeepingRequest {
    /// The recording.
    id: String,
    /// Why, in 1 to 500 characters.
    reason: String,
}

/// One line for people, which may be shown anywhere.
fn reason(said: &str) -> Result<String, ArmError> {
    let said = said.trim();
    if said.is_empty() || said.chars().count() > LONGEST || said.chars().any(char::is_control) {
        let text = format!("A reason of 1 to {LONGEST} characters in one line is required.");
        return Err(ArmError::invalid_content(text).target("reason"));
    }
    Ok(said.to_owned())
}

#[async_trait]
impl ScopeAction for Keeping {
    fn namespace(&self) -> &'static str {
        NAMESPACE
    }

    fn action(&self) -> Action {
        let (verb, title) = match self.0 {
            Deed::Hold => ("holdRecording", "Holds a recording, so that nobody removes it"),
            Deed::Release => ("releaseRecording", "Releases a recording that is held"),
            Deed::Delete => ("deleteRecording", "Removes a recording that nobody holds"),
        };
        Action {
            verb,
            style: ActionStyle::Sync,
            reads: false,
            title,
            takes: |g| g.subschema_for::<KeepingRequest>(),
            answers: |g| g.subschema_for::<RecordingShown>(),
        }
    }

    async fn change(
        &self,
        tx: &mut dyn Write,
        call: &Call,
        scope: &Scope,
        body: Value,
    ) -> Result<Value, ArmError> {
        let asked: KeepingRequest = typed(&body, "")?;
        let order = Order {
            by: call.caller.clone(),
            correlation_id: call.correlation_id.clone(),
            reason: reason(&asked.reason)?,
        };
        let kept = one(tx.as_read(), scope, &asked.id).await?;
        let kept = match self.0 {
            Deed::Hold => retention::hold(tx, kept, &order).await?,
            Deed::Release => retention::release(tx, kept, &order).await?,
            Deed::Delete => retention::delete(tx, kept, &order).await?,
        };
        of(&kept, Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_that_says_something() {
        assert_eq!(reason(" case 7 ").unwrap(), "case 7");
        for wrong in ["", "  ", "two\nlines", "\x1b[2J", "x".repeat(501).as_str()] {
            assert_eq!(reason(wrong).unwrap_err().status, 400, "{wrong:?}");
        }
    }
}
