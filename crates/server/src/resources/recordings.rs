//! `Sekisho.Bastion/recordings`: what was recorded of sessions on a machine, or on all machines in a scope, and what is to
//! be seen of one.

use std::path::PathBuf;

use async_trait::async_trait;
use schemars::{JsonSchema, SchemaGenerator};
use sekisho_arm::registry::{Action, ActionStyle, PutStyle, ScopeAction, Storage};
use sekisho_arm::resource::{instant, shown, typed};
use sekisho_arm::traits::{read_document, read_documents};
use sekisho_arm::{ArmError, Call, Read, ResourceType, Scope, ScopeKind, TypeSpec};
use sekisho_bastion_recording::container::{Lane, Line};
use sekisho_bastion_recording::export::{asciicast, text};
use sekisho_bastion_recording::verify::{Recording, read};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bastion::{Kept, RECORDING, RecordingState, recording_path};

/// The provider namespace.
pub(super) const NAMESPACE: &str = "Sekisho.Bastion";
/// Largest recording that is shown, in bytes.
const LARGEST: u64 = 256 << 20;
/// Most places that a search shows of one recording.
const MATCHES: usize = 20;
/// Most recordings that a search shows.
const SEARCHED: usize = 200;
/// Characters around what was found.
const AROUND: usize = 80;

static SPEC: TypeSpec = TypeSpec {
    namespace: NAMESPACE,
    path: "recordings",
    versions: &["2026-11-01", "2026-09-01"],
    scopes: &[ScopeKind::Subscription, ScopeKind::ResourceGroup, ScopeKind::Resource],
    storage: Storage::Computed,
    put: PutStyle::Refused,
    location: false,
    shows_etag: false,
    shows_state: false,
    actions: &[],
    schema: |g: &mut SchemaGenerator| g.subschema_for::<RecordingShown>(),
};

/// Where recordings are: the server's data directory.
#[derive(Clone)]
pub(crate) struct Files(pub(crate) PathBuf);

/// The recordings.
pub(crate) struct Recordings {
    pub(crate) files: Files,
}

/// A recording.
#[derive(Serialize, JsonSchema)]
struct RecordingShown {
    /// Its id.
    id: String,
    /// The session's id.
    name: String,
    #[serde(rename = "type")]
    kind: String,
    properties: RecordingProperties,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RecordingProperties {
    /// The machine.
    machine: String,
    /// The bastion host.
    host: String,
    /// The account on the machine.
    account: String,
    /// Whose session it was.
    user_name: String,
    /// The client's address.
    address: String,
    /// When it began, RFC 3339.
    since: String,
    /// When it ended; absent while it lasts.
    until: Option<String>,
    /// Bytes of the recording.
    bytes: u64,
    /// How it is.
    state: RecordingState,
    /// Columns at the beginning.
    columns: u32,
    /// Rows at the beginning.
    rows: u32,
    /// The key that seals it; it stands in the activity log, too.
    key: String,
    /// The hash over all of it, once it has ended.
    head: Option<String>,
    /// Where it says what was searched for.
    matches: Vec<Found>,
}

/// Where something was found.
#[derive(Serialize, JsonSchema)]
struct Found {
    /// Milliseconds since the beginning.
    at: u64,
    /// The words around it.
    text: String,
}

fn of(kept: &Kept, matches: Vec<Found>) -> Result<Value, ArmError> {
    let s = &kept.session;
    let id = s.id.to_string();
    shown(&RecordingShown {
        id: format!("{}/providers/{NAMESPACE}/recordings/{id}", s.machine),
        name: id,
        kind: format!("{NAMESPACE}/recordings"),
        properties: RecordingProperties {
            machine: s.machine.clone(),
            host: s.host.clone(),
            account: s.account.clone().unwrap_or_default(),
            user_name: s.caller.name.clone(),
            address: s.address.clone(),
            since: instant(s.since),
            until: kept.until.map(instant),
            bytes: kept.bytes,
            state: kept.state,
            columns: kept.columns,
            rows: kept.rows,
            key: kept.key.clone(),
            head: kept.head.clone(),
            matches,
        },
    })
}

/// Whether a machine is a scope or in it.
pub(super) fn within(machine: &str, scope: &Scope) -> bool {
    let (machine, scope) = (machine.to_lowercase(), scope.key());
    machine == scope || machine.starts_with(&format!("{}/", scope.trim_end_matches('/')))
}

impl Files {
    async fn read(&self, kept: &Kept) -> Result<Recording, ArmError> {
        let path = recording_path(&self.0, kept.session.id);
        let gone = || ArmError::new(404, "RecordingNotFound", "The recording is not on this server's disk.");
        let size = tokio::fs::metadata(&path).await.map_err(|_| gone())?.len();
        if size > LARGEST {
            let text = format!("The recording has {size} bytes; more than {LARGEST} are not shown.");
            return Err(ArmError::new(413, "RecordingTooLarge", text));
        }
        let bytes = tokio::fs::read(&path).await.map_err(|_| gone())?;
        let key = kept.key.clone();
        let read = tokio::task::spawn_blocking(move || read(&bytes, Some(&key))).await;
        read.map_err(|_| ArmError::internal())?.map_err(|why| {
            ArmError::new(409, "RecordingBroken", format!("The recording is not what was recorded: {why}."))
        })
    }
}

fn find(recording: &Recording, words: &str) -> Vec<Found> {
    let wanted = words.to_lowercase();
    let mut out = Vec::new();
    // What a program writes may come in parts.
    let mut text = String::new();
    let mut starts: Vec<(usize, u64)> = Vec::new();
    for Line(at, lane, said) in &recording.lines {
        if *lane == Lane::Output {
            starts.push((text.len(), *at));
            text.push_str(&sekisho_bastion_recording::export::plain(said).to_lowercase());
        }
    }
    let mut from = 0;
    while let Some(found) = text[from..].find(&wanted).map(|n| n + from) {
        let index = starts.partition_point(|(start, _)| *start <= found).saturating_sub(1);
        let begin = text[..found].char_indices().rev().take(AROUND).last().map_or(found, |(n, _)| n);
        let around = text[begin..].chars().take(2 * AROUND + wanted.chars().count()).collect::<String>();
        let at = starts.get(index).map_or(0, |(_, at)| *at);
        out.push(Found { at, text: around.split_whitespace().collect::<Vec<_>>().join(" ") });
        from = found + wanted.len();
        if out.len() >= MATCHES {
            break;
        }
    }
    out
}

#[async_trait]
impl ResourceType for Recordings {
    fn spec(&self) -> &TypeSpec {
        &SPEC
    }

    async fn computed(
        &self,
        db: &mut dyn Read,
        call: &Call,
        scope: &Scope,
        name: Option<&str>,
    ) -> Result<Value, ArmError> {
        if let Some(name) = name {
            return of(&one(db, scope, name).await?, Vec::new());
        }
        let all: Vec<(String, Kept)> = read_documents(db, RECORDING).await?;
        let mut own: Vec<Kept> =
            all.into_iter().map(|(_, kept)| kept).filter(|k| within(&k.session.machine, scope)).collect();
        own.sort_by_key(|kept| std::cmp::Reverse(kept.session.since));
        let words = call.query("search").map(str::trim).filter(|words| !words.is_empty());
        let mut value = Vec::new();
        for kept in own {
            let matches = match words {
                None => Vec::new(),
                Some(_) if value.len() >= SEARCHED => break,
                Some(words) => match self.files.read(&kept).await {
                    Ok(recording) => find(&recording, words),
                    Err(_) => Vec::new(),
                },
            };
            if words.is_none() || !matches.is_empty() {
                value.push(of(&kept, matches)?);
            }
        }
        Ok(json!({ "value": value }))
    }
}

async fn one(db: &mut dyn Read, scope: &Scope, name: &str) -> Result<Kept, ArmError> {
    let missing = || ArmError::new(404, "ResourceNotFound", format!("There is no recording '{name}' here."));
    let id = Uuid::try_parse(name).map_err(|_| missing())?;
    let kept: Option<Kept> = read_document(db, RECORDING, &id.to_string()).await?;
    kept.filter(|kept| within(&kept.session.machine, scope)).ok_or_else(missing)
}

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
    /// `frames`, `asciicast` or `text`.
    #[serde(default)]
    format: PlayFormat,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum PlayFormat {
    /// Lines, the first of which makes the screen what it was.
    #[default]
    Frames,
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
            PlayFormat::Asciicast => (None, Some(asciicast(&recording))),
            PlayFormat::Text => (None, Some(text(&recording))),
        };
        shown(&PlayAnswer {
            columns: recording.header.columns,
            rows: recording.header.rows,
            duration: recording.lines.last().map_or(0, |line| line.0),
            closed: recording.end == sekisho_bastion_recording::verify::End::Closed,
            frames,
            content,
        })
    }
}
