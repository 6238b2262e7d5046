//! `Sekisho.Bastion/playRecording`: what is to be seen of a recording.

use async_trait::async_trait;
use schemars::JsonSchema;
use sekisho_arm::registry::{Action, ActionStyle, ScopeAction};
use sekisho_arm::resource::{shown, typed};
use sekisho_arm::{ArmError, Call, Read, Scope};
use sekisho_bastion_recording::container::{Lane, Line};
use sekisho_bastion_recording::export::{asciicast, text};
use sekisho_bastion_recording::verify::{End, Recording};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Files, NAMESPACE, one};

/// What is to be seen of a recording.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PlayRequest {
    /// The recording.
    id: String,
    /// From where, in milliseconds since the beginning.
    #[serde(default)]
    from: u64,
    /// Up to where; without it, to the end.
    #[serde(default)]
    to: Option<u64>,
    /// `frames`, `events`, `asciicast` or `text`.
    #[serde(default)]
    format: PlayFormat,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum PlayFormat {
    /// Lines, the first of which makes the screen what it was.
    #[default]
    Frames,
    /// The lines that are no output: commands (lane `c`) and what happened to files (lane `f`, JSON), of the whole recording.
    Events,
    /// asciicast v3.
    Asciicast,
    /// What was written.
    Text,
}

/// It.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PlayAnswer {
    /// Columns at the beginning.
    columns: u32,
    /// Rows at the beginning.
    rows: u32,
    /// How long it is, in milliseconds.
    duration: u64,
    /// Whether it is whole.
    closed: bool,
    /// `[milliseconds, lane, text]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<(u64, String, String)>>")]
    frames: Option<Vec<Line>>,
    /// The file.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
}

/// Plays a recording.
pub(crate) struct Play {
    pub(crate) files: Files,
}

/// What was done, without how it looked.
fn events(recording: &Recording) -> Vec<Line> {
    let is_done = |line: &&Line| matches!(line.1, Lane::Command | Lane::File);
    recording.lines.iter().filter(is_done).cloned().collect()
}

/// The lines of a time, after what makes an empty screen what it was at its beginning.
fn frames(recording: &Recording, from: u64, to: Option<u64>) -> Vec<Line> {
    let lines = &recording.lines;
    let begin = lines.iter().rposition(|line| line.1 == Lane::Screen && line.0 <= from).unwrap_or(0);
    let to = to.unwrap_or(u64::MAX);
    let shown = lines[begin..].iter().enumerate();
    shown
        .filter(|(n, line)| *n == 0 || (line.1 != Lane::Screen && line.0 <= to))
        .map(|(_, line)| line.clone())
        .collect()
}

#[async_trait]
impl ScopeAction for Play {
    fn namespace(&self) -> &'static str {
        NAMESPACE
    }

    fn action(&self) -> Action {
        Action {
            verb: "playRecording",
            style: ActionStyle::Sync,
            reads: true,
            title: "Shows what was recorded of a session",
            takes: |g| g.subschema_for::<PlayRequest>(),
            answers: |g| g.subschema_for::<PlayAnswer>(),
        }
    }

    async fn act(&self, db: &mut dyn Read, _: &Call, scope: &Scope, body: Value) -> Result<Value, ArmError> {
        let asked: PlayRequest = typed(&body, "")?;
        let recording = self.files.read(&one(db, scope, &asked.id).await?).await?;
        let (frames, content) = match asked.format {
            PlayFormat::Frames => (Some(frames(&recording, asked.from, asked.to)), None),
            PlayFormat::Events => (Some(events(&recording)), None),
            PlayFormat::Asciicast => (None, Some(asciicast(&recording))),
            PlayFormat::Text => (None, Some(text(&recording))),
        };
        shown(&PlayAnswer {
            columns: recording.header.columns,
            rows: recording.header.rows,
            duration: recording.lines.last().map_or(0, |line| line.0),
            closed: recording.end == End::Closed,
            frames,
            content,
        })
    }
}
