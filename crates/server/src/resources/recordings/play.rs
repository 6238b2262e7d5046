//! `Sekisho.Bastion/playRecording`: what is to be seen of a recording.

use async_trait::async_trait;
use schemars::JsonSchema;
use sekisho_arm::registry::{Action, ActionStyle, ScopeAction};
use sekisho_arm::resource::{shown, typed};
use sekisho_arm::{ArmError, Call, Read, Scope};
use sekisho_bastion_recording::container::{Lane, Line, Shows};
use sekisho_bastion_recording::export::{IsDesktop, asciicast, text};
use sekisho_bastion_recording::verify::{End, Recording};
use sekisho_bastion_recording::window::{NoWindow, Proved};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Files, LARGEST_UNPACKED, NAMESPACE, one};

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
    /// Lines, the first of which makes the screen what it was; of a desktop, the first two: its size and all of it.
    #[default]
    Frames,
    /// The lines that are no output, of the whole recording: commands (lane `c`), what happened to files (lane `f`, JSON),
    /// and of a desktop what was copied and pasted (lane `b`, JSON).
    Events,
    /// asciicast v3, of a terminal.
    Asciicast,
    /// What was written, of a terminal.
    Text,
}

/// It.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PlayAnswer {
    /// What is to be seen.
    #[schemars(with = "RecordingShows")]
    shows: Shows,
    /// Columns at the beginning; of a desktop, pixels.
    columns: u32,
    /// Rows at the beginning; of a desktop, pixels.
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

/// What is to be seen in a recording.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "the schema of another crate's type")]
enum RecordingShows {
    /// Text.
    Terminal,
    /// Pixels.
    Desktop,
}

/// Plays a recording.
pub(crate) struct Play {
    pub(crate) files: Files,
}

/// What was done, without how it looked.
fn events(recording: &Recording) -> Vec<Line> {
    let is_done = |line: &&Line| matches!(line.1, Lane::Command | Lane::File | Lane::Clipboard);
    recording.lines.iter().filter(is_done).cloned().collect()
}

/// The lane that says everything that is on the screen.
fn whole(shows: Shows) -> Lane {
    match shows {
        Shows::Terminal => Lane::Screen,
        Shows::Desktop => Lane::Keyframe,
    }
}

/// Of some lines those of a time, after what makes the screen what it was at its beginning.
fn frames(lines: &[Line], shows: Shows, from: u64, to: Option<u64>) -> Vec<Line> {
    let whole = whole(shows);
    let begin = lines.iter().rposition(|line| line.1 == whole && line.0 <= from).unwrap_or(0);
    let to = to.unwrap_or(u64::MAX);
    let (before, shown) = lines.split_at(begin);
    // A keyframe does not say its size.
    let size = before.iter().rfind(|line| line.1 == Lane::Pixels);
    let shown = shown.iter().enumerate();
    let shown =
        shown.filter(|(n, line)| *n == 0 || (line.1 != Lane::Screen && line.0 <= to)).map(|(_, line)| line);
    size.into_iter().chain(shown).cloned().collect()
}

/// What is to be seen in a time.
fn played(proved: &Proved<'_>, from: u64, to: Option<u64>) -> Result<PlayAnswer, NoWindow> {
    let header = proved.header();
    let lines = proved.window(from, to, whole(header.shows), LARGEST_UNPACKED)?;
    Ok(PlayAnswer {
        shows: header.shows,
        columns: header.columns,
        rows: header.rows,
        duration: proved.duration()?,
        closed: proved.end() == End::Closed,
        frames: Some(frames(&lines, header.shows, from, to)),
        content: None,
    })
}

fn is_desktop(why: IsDesktop) -> ArmError {
    ArmError::bad("RecordingIsDesktop", format!("There is no such export of the recording: {why}."))
        .target("format")
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
        let kept = one(db, scope, &asked.id).await?;
        let PlayRequest { from, to, format, .. } = asked;
        let all = async || self.files.read(&kept).await;
        let answer = match format {
            PlayFormat::Frames => self.files.part(&kept, move |proved| played(proved, from, to)).await?,
            PlayFormat::Events => {
                let recording = all().await?;
                PlayAnswer { frames: Some(events(&recording)), ..PlayAnswer::of(&recording) }
            }
            PlayFormat::Asciicast => {
                let recording = all().await?;
                let content = asciicast(&recording).map_err(is_desktop)?;
                PlayAnswer { content: Some(content), ..PlayAnswer::of(&recording) }
            }
            PlayFormat::Text => {
                let recording = all().await?;
                let content = text(&recording).map_err(is_desktop)?;
                PlayAnswer { content: Some(content), ..PlayAnswer::of(&recording) }
            }
        };
        shown(&answer)
    }
}

impl PlayAnswer {
    /// What is said of a recording beside what it shows.
    fn of(recording: &Recording) -> PlayAnswer {
        PlayAnswer {
            shows: recording.header.shows,
            columns: recording.header.columns,
            rows: recording.header.rows,
            duration: recording.lines.last().map_or(0, |line| line.0),
            closed: recording.end == End::Closed,
            frames: None,
            content: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use sekisho_bastion_recording::container::Header;

    use super::*;

    #[test]
    fn a_desktop_is_played_from_the_last_frame_that_has_all_of_it_at_the_size_it_had_then() {
        let header = Header {
            session: String::new(),
            machine: String::new(),
            account: String::new(),
            person: String::new(),
            since: String::new(),
            shows: Shows::Desktop,
            columns: 64,
            rows: 64,
            key: String::new(),
        };
        let line = |at, lane, text: &str| Line(at, lane, text.to_owned());
        let lines = vec![
            line(0, Lane::Pixels, "64x64"),
            line(0, Lane::Keyframe, "a"),
            line(10, Lane::Frame, "b"),
            line(20, Lane::Pixels, "128x64"),
            line(20, Lane::Keyframe, "c"),
            line(30, Lane::Frame, "d"),
            line(40, Lane::Keyframe, "e"),
            line(50, Lane::Frame, "f"),
        ];
        let recording = Recording { header, lines, end: End::Closed };
        let texts = |from, to| {
            let lines = frames(&recording.lines, Shows::Desktop, from, to);
            lines.into_iter().map(|line| line.2).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(texts(0, Some(15)), "64x64 a b");
        assert_eq!(texts(35, Some(45)), "128x64 c d e");
        assert_eq!(texts(45, None), "128x64 e f");
        assert!(asciicast(&recording).is_err() && text(&recording).is_err());
    }
}
