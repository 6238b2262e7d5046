//! `Sekisho.Bastion/downloadRecording`: the file of a recording as it is kept, piece by piece, to be checked and kept elsewhere.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use sekisho_arm::registry::{Action, ActionStyle, ScopeAction};
use sekisho_arm::resource::{shown, typed};
use sekisho_arm::{ArmError, Call, Read, Scope};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Files, NAMESPACE, one};

/// Bytes of a file in one answer.
const PIECE: u64 = 2 << 20;

/// A piece of a recording's file.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DownloadRequest {
    /// The recording.
    id: String,
    /// Where in the file the piece begins, in bytes; not behind its end.
    #[serde(default)]
    offset: u64,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DownloadAnswer {
    /// Bytes of the whole file; of a session that is still recorded, until now.
    size: u64,
    /// The piece, at most 2 MiB, in base64; empty at the end of the file.
    content: String,
}

/// Hands recordings out.
pub(crate) struct Download {
    pub(crate) files: Files,
}

#[async_trait]
impl ScopeAction for Download {
    fn namespace(&self) -> &'static str {
        NAMESPACE
    }

    fn action(&self) -> Action {
        Action {
            verb: "downloadRecording",
            style: ActionStyle::Sync,
            reads: true,
            title: "Hands out the file of a recording",
            takes: |g| g.subschema_for::<DownloadRequest>(),
            answers: |g| g.subschema_for::<DownloadAnswer>(),
        }
    }

    async fn act(&self, db: &mut dyn Read, _: &Call, scope: &Scope, body: Value) -> Result<Value, ArmError> {
        let asked: DownloadRequest = typed(&body, "")?;
        let kept = one(db, scope, &asked.id).await?;
        let piece = self.files.0.piece(kept.session.id, asked.offset, PIECE).await;
        let (size, piece) = piece.map_err(|why| self.files.unread(&kept, why))?;
        if asked.offset > size {
            let text = format!("The file has {size} bytes; there is nothing behind them.");
            return Err(ArmError::bad("InvalidOffset", text).target("offset"));
        }
        shown(&DownloadAnswer { size, content: STANDARD.encode(piece) })
    }
}
