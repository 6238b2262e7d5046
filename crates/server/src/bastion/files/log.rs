//! What is done with files, as the activity log and the session's recording tell it: that it begins before it does, because
//! whoever takes a file and cuts the connection must be seen, too, and how it ended.

use std::sync::Arc;

use sekisho_arm::{ArmError, AuditEntry, Outcome, Phase, StoreError};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::App;
use crate::bastion::Allowed;
use crate::bastion::shown::Open;

/// What is done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Upload,
    Download,
    MakeFolder,
    Rename,
    Remove,
}

impl Deed {
    fn word(self) -> &'static str {
        match self {
            Deed::Upload => "upload",
            Deed::Download => "download",
            Deed::MakeFolder => "makeFolder",
            Deed::Rename => "rename",
            Deed::Remove => "remove",
        }
    }
}

/// What the log has of something that is done with files in a session, or its end and why it came to nothing.
pub(in crate::bastion) fn entry(
    allowed: &Allowed,
    session: Uuid,
    deed: &str,
    (phase, outcome, why): (Phase, Outcome, &str),
    about: Value,
) -> AuditEntry {
    AuditEntry {
        operation: format!("Sekisho.Bastion/sessions/{deed}/action"),
        resource_id: allowed.machine.to_string(),
        caller: allowed.caller.reference(),
        outcome,
        detail: why.to_owned(),
        correlation_id: session.to_string(),
        authorization: None,
        http: None,
        phase: Some(phase),
        properties: Some(about),
    }
}

/// Has the log have it.
///
/// # Errors
/// Those of the database.
pub(in crate::bastion) async fn keep(app: &App, entries: Vec<AuditEntry>) -> Result<(), StoreError> {
    app.store
        .write::<_, StoreError, _>(move |tx| {
            Box::pin(async move {
                for entry in entries {
                    tx.audit(entry).await?;
                }
                Ok(())
            })
        })
        .await
}

/// Tells of one deed.
pub(super) struct Log {
    app: Arc<App>,
    pub(super) open: Arc<Open>,
    deed: Deed,
}

impl Log {
    pub(super) fn new(app: &Arc<App>, open: &Arc<Open>, deed: Deed) -> Log {
        Log { app: app.clone(), open: open.clone(), deed }
    }

    /// It is about to be done.
    ///
    /// # Errors
    /// Those of the database; nothing must be done then.
    pub(super) async fn intent(&self, about: Value) -> Result<(), ArmError> {
        self.write(Phase::Intent, Outcome::Succeeded, "", about).await
    }

    /// It is done.
    ///
    /// # Errors
    /// Those of the database, and 503 when it cannot be recorded.
    pub(super) async fn done(&self, about: Value) -> Result<(), ArmError> {
        let mut line = about.clone();
        line["op"] = json!(self.deed.word());
        self.write(Phase::Result, Outcome::Succeeded, "", about).await?;
        self.open.recorder.file(&line).await.map_err(|error| {
            ArmError::new(503, "RecordingFailed", format!("It is done, and not recorded: {error}."))
        })
    }

    /// Nothing, or not all, came of it.
    ///
    /// # Errors
    /// Those of the database.
    pub(super) async fn failed(&self, why: &str, about: Value) -> Result<(), ArmError> {
        self.write(Phase::Result, Outcome::Failed, why, about).await
    }

    async fn write(&self, phase: Phase, outcome: Outcome, why: &str, about: Value) -> Result<(), ArmError> {
        let how = (phase, outcome, why);
        let entry = entry(&self.open.allowed, self.open.id, self.deed.word(), how, about);
        Ok(keep(&self.app, vec![entry]).await?)
    }
}
