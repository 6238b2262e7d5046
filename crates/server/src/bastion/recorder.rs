//! Recordings of sessions while they are made: what happens is on the disk, sealed, within a second, and a session that
//! cannot be recorded ends.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sekisho_arm::resource::instant;
use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{StoreError, Write};
use sekisho_bastion::host::Recording;
use sekisho_bastion::session::Session;
use sekisho_bastion_desktop as desktop;
use sekisho_bastion_recording::container::{Header, Key, Lane, Line, Shows, Writer, in_parts};
use sekisho_bastion_ssh::terminal::{Event, Exit, NotRecorded, Record};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use tokio::fs::{File, OpenOptions, create_dir_all};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::live::Bytes;
use super::retention::Hold;
use crate::app::App;

/// The kind of the documents, by session.
pub(crate) const KIND: &str = "recording";
/// How long what happened may be in memory only.
const LATEST: Duration = Duration::from_secs(1);
/// Bytes of text in a chunk; with more it is written at once.
const CHUNK: usize = 256 << 10;

/// What is known of a recording without reading it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Kept {
    pub(crate) session: Session,
    /// Of a desktop, pixels.
    pub(crate) columns: u32,
    pub(crate) rows: u32,
    /// The key that seals it.
    pub(crate) key: String,
    pub(crate) state: State,
    /// The hash over all of it, once it is closed.
    pub(crate) head: Option<String>,
    pub(crate) bytes: u64,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) until: Option<OffsetDateTime>,
    /// The server on whose disk it is made.
    #[serde(default)]
    pub(crate) server: String,
    /// Whether its file went where recordings go.
    #[serde(default)]
    pub(crate) is_stored: bool,
    /// Why nobody may remove it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hold: Option<Hold>,
}

impl Kept {
    /// Its id.
    pub(crate) fn resource_id(&self) -> String {
        format!("{}/providers/Sekisho.Bastion/recordings/{}", self.session.machine, self.session.id)
    }
}

/// How a recording is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum State {
    /// It is being made.
    Open,
    /// It is whole.
    Closed,
    /// Its server died.
    Interrupted,
}

struct Inner {
    file: File,
    writer: Writer,
    lines: Vec<Line>,
    /// Bytes of text in them.
    waiting: usize,
    written: u64,
    failed: Option<NotRecorded>,
    /// The size of a desktop, as its lane has it.
    pixels: String,
}

/// A recording that is being made; without one, what goes through is counted only.
#[derive(Clone)]
pub(super) struct Recorder {
    began: Instant,
    bytes: Arc<Bytes>,
    /// Whether what is on the screen is kept, and not only that something happens.
    is_full: bool,
    inner: Option<Arc<Mutex<Inner>>>,
}

fn failed(error: &dyn std::fmt::Display) -> NotRecorded {
    NotRecorded(error.to_string())
}

impl Recorder {
    /// Begins one, if there is a key for it. `size` is in columns and rows; of a desktop, in pixels.
    ///
    /// # Errors
    /// When nothing can be written; nothing must begin then.
    pub(super) async fn begin(
        app: &App,
        session: &Session,
        (columns, rows): (u32, u32),
        key: Option<Key>,
        bytes: Arc<Bytes>,
    ) -> Result<Recorder, NotRecorded> {
        let is_full = session.recording == Recording::Full;
        let Some(key) = key else {
            return Ok(Recorder { began: Instant::now(), bytes, is_full, inner: None });
        };
        let header = Header {
            session: session.id.to_string(),
            machine: session.machine.clone(),
            account: session.account.clone().unwrap_or_default(),
            person: session.caller.name.clone(),
            since: instant(session.since),
            shows: if session.shows_desktop() { Shows::Desktop } else { Shows::Terminal },
            columns,
            rows,
            key: key.public(),
        };
        let kept = Kept {
            session: session.clone(),
            columns,
            rows,
            key: key.public(),
            state: State::Open,
            head: None,
            bytes: 0,
            until: None,
            server: app.recordings.server().to_owned(),
            is_stored: false,
            hold: None,
        };
        let path = app.recordings.path(session.id);
        let (writer, start) = Writer::begin(key, &header).map_err(|e| failed(&e))?;
        let open = async {
            if let Some(dir) = path.parent() {
                create_dir_all(dir).await?;
            }
            let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path).await?;
            file.write_all(&start).await?;
            file.sync_all().await?;
            std::io::Result::Ok(file)
        };
        let file = open.await.map_err(|e| failed(&e))?;
        keep(app, kept).await.map_err(|e| failed(&e))?;
        let written = start.len() as u64;
        let pixels = format!("{columns}x{rows}");
        let inner = Inner { file, writer, lines: Vec::new(), waiting: 0, written, failed: None, pixels };
        let inner = Some(Arc::new(Mutex::new(inner)));
        Ok(Recorder { began: Instant::now(), bytes, is_full, inner })
    }

    /// Whether what is on the screen is kept.
    fn keeps_screen(&self) -> bool {
        self.is_full && self.inner.is_some()
    }

    fn at(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes what was done with a file.
    ///
    /// # Errors
    /// When it cannot be written; the session ends then.
    pub(super) async fn file(&self, done: &serde_json::Value) -> Result<(), NotRecorded> {
        let Some(inner) = &self.inner else { return Ok(()) };
        inner.lock().await.push(Line(self.at(), Lane::File, done.to_string()))
    }

    /// Has what happened on the disk soon, for as long as that is possible.
    pub(super) async fn flush(&self) -> NotRecorded {
        let Some(inner) = &self.inner else { return std::future::pending().await };
        let mut tick = interval(LATEST);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Err(error) = inner.lock().await.flush().await {
                return error;
            }
        }
    }

    /// Closes it; none when there was none.
    pub(super) async fn close(self, exit: Option<Exit>) -> Option<Closed> {
        let mut inner = self.inner.as_ref()?.lock().await;
        if let Some(exit) = exit {
            let said = match exit {
                Exit::Status(status) => status.to_string(),
                Exit::Signal(signal) => signal,
                Exit::Unknown => String::new(),
            };
            inner.lines.push(Line(self.at(), Lane::Exit, said));
        }
        let closed = inner.close().await;
        if let Err(error) = &closed {
            tracing::error!(%error, "a recording could not be closed");
        }
        Some(Closed { is_whole: closed.is_ok(), bytes: inner.written, head: inner.writer.head() })
    }
}

/// How the file of a recording was left.
pub(super) struct Closed {
    is_whole: bool,
    bytes: u64,
    head: String,
}

async fn keep(app: &App, kept: Kept) -> Result<(), StoreError> {
    app.store
        .write::<_, StoreError, _>(move |tx| {
            Box::pin(async move { write_document(tx, KIND, &kept.session.id.to_string(), &kept).await })
        })
        .await
}

/// Takes note of the end of a session's recording, if it has one. Without knowing how its file was left: its server died.
///
/// # Errors
/// Those of the database.
pub(super) async fn ended(
    tx: &mut (dyn Write + '_),
    session: Uuid,
    closed: Option<Closed>,
) -> Result<(), StoreError> {
    let key = session.to_string();
    let Some(mut kept) = read_document::<Kept>(tx.as_read(), KIND, &key).await? else { return Ok(()) };
    kept.state = State::Interrupted;
    if let Some(Closed { is_whole, bytes, head }) = closed {
        kept.state = if is_whole { State::Closed } else { State::Interrupted };
        (kept.head, kept.bytes) = (Some(head), bytes);
    }
    kept.until = Some(tx.now());
    write_document(tx, KIND, &key, &kept).await
}

impl Inner {
    fn push(&mut self, line: Line) -> Result<(), NotRecorded> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        self.waiting += line.2.len();
        self.lines.push(line);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), NotRecorded> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        if self.lines.is_empty() {
            return Ok(());
        }
        let done = async {
            let block = self.writer.chunk(&self.lines).map_err(|e| failed(&e))?;
            self.append(&block).await
        };
        let done = done.await;
        (self.lines, self.waiting) = (Vec::new(), 0);
        // What is half written is no recording that could go on.
        self.failed = done.as_ref().err().cloned();
        done
    }

    async fn append(&mut self, block: &[u8]) -> Result<(), NotRecorded> {
        self.file.write_all(block).await.map_err(|e| failed(&e))?;
        self.file.sync_data().await.map_err(|e| failed(&e))?;
        self.written += block.len() as u64;
        Ok(())
    }

    async fn close(&mut self) -> Result<(), NotRecorded> {
        self.flush().await?;
        let block = self.writer.end().map_err(|e| failed(&e))?;
        self.append(&block).await
    }
}

impl Record for Recorder {
    fn wants_output(&self) -> bool {
        self.keeps_screen()
    }

    async fn note(
        &mut self,
        event: Event<'_>,
        screen: &(dyn Fn() -> String + Sync),
    ) -> Result<(), NotRecorded> {
        match event {
            Event::Output(text) => drop(self.bytes.from.fetch_add(text.len() as u64, Relaxed)),
            Event::Passed(bytes) => drop(self.bytes.from.fetch_add(bytes as u64, Relaxed)),
            Event::Input(bytes) => {
                self.bytes.to.fetch_add(bytes as u64, Relaxed);
                self.bytes.typed();
            }
            Event::Size(_) | Event::Command(_) | Event::File(_) => {}
        }
        let Some(inner) = &self.inner else { return Ok(()) };
        let (lane, text) = match event {
            Event::Output(text) if self.is_full => (Lane::Output, text.to_owned()),
            Event::Size(size) => (Lane::Size, format!("{}x{}", size.columns, size.rows)),
            Event::Command(text) => (Lane::Command, text.to_owned()),
            Event::File(event) => (Lane::File, serde_json::to_string(event).map_err(|e| failed(&e))?),
            // What is typed may be a password. What of it the program shows is in its output.
            Event::Output(_) | Event::Input(_) | Event::Passed(_) => return Ok(()),
        };
        let at = self.at();
        let mut inner = inner.lock().await;
        let is_first = inner.lines.is_empty();
        inner.push(Line(at, lane, text))?;
        if is_first && self.is_full {
            inner.lines.push(Line(at, Lane::Screen, screen()));
        }
        if inner.waiting >= CHUNK { inner.flush().await } else { Ok(()) }
    }
}

impl Inner {
    /// Adds a frame of whatever size.
    async fn push_frame(&mut self, at: u64, lane: Lane, frame: &[u8]) -> Result<(), NotRecorded> {
        if lane == Lane::Keyframe {
            // Whoever plays it begins there, and has to know how large it is.
            self.flush().await?;
            self.push(Line(at, Lane::Pixels, self.pixels.clone()))?;
        }
        for line in in_parts(at, lane, &STANDARD.encode(frame)) {
            self.push(line)?;
            if self.waiting >= CHUNK {
                self.flush().await?;
            }
        }
        Ok(())
    }
}

impl desktop::Record for Recorder {
    fn wants_frames(&self) -> bool {
        self.keeps_screen()
    }

    async fn note(&mut self, event: desktop::Event<'_>) -> Result<(), desktop::NotRecorded> {
        self.note_of_desktop(event).await.map_err(|error| desktop::NotRecorded(error.0))
    }
}

impl Recorder {
    async fn note_of_desktop(&self, event: desktop::Event<'_>) -> Result<(), NotRecorded> {
        match event {
            desktop::Event::Frame(frame) | desktop::Event::Keyframe(frame) => {
                self.bytes.from.fetch_add(frame.len() as u64, Relaxed);
            }
            desktop::Event::Input(bytes) => {
                self.bytes.to.fetch_add(bytes as u64, Relaxed);
                self.bytes.typed();
            }
            desktop::Event::Size(_) | desktop::Event::Clipboard { .. } => {}
        }
        let Some(inner) = &self.inner else { return Ok(()) };
        let at = self.at();
        let mut inner = inner.lock().await;
        match event {
            desktop::Event::Frame(frame) if self.is_full => inner.push_frame(at, Lane::Frame, frame).await,
            desktop::Event::Keyframe(frame) if self.is_full => {
                inner.push_frame(at, Lane::Keyframe, frame).await
            }
            desktop::Event::Size(size) => {
                inner.pixels = format!("{}x{}", size.width(), size.height());
                Ok(())
            }
            desktop::Event::Clipboard { into_machine, chars } => {
                let told = json!({ "intoMachine": into_machine, "chars": chars });
                inner.push(Line(at, Lane::Clipboard, told.to_string()))
            }
            desktop::Event::Frame(_) | desktop::Event::Keyframe(_) | desktop::Event::Input(_) => Ok(()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use sekisho_arm::CallerRef;

    use super::*;

    /// A recording that was closed at this moment.
    pub(crate) fn kept() -> Kept {
        let now = OffsetDateTime::now_utc();
        let caller = CallerRef { name: "jun@example.com".to_owned(), ..crate::keys::itself() };
        let session = Session {
            id: Uuid::new_v4(),
            host: String::new(),
            machine: "/subscriptions/3e2c7a1e-0000-4000-8000-000000000001/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/db"
                .to_owned(),
            protocol: "ssh".to_owned(),
            account: Some("root".to_owned()),
            recording: Recording::Full,
            port: 22,
            caller,
            address: "192.0.2.1".to_owned(),
            since: now,
            seen: now,
            terminal: true,
            ended_by: None,
        };
        Kept {
            session,
            columns: 80,
            rows: 24,
            key: "key".to_owned(),
            state: State::Closed,
            head: None,
            bytes: 0,
            until: Some(now),
            server: "here".to_owned(),
            is_stored: false,
            hold: None,
        }
    }
}
