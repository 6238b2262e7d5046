//! Carries a desktop for as long as it lasts, and has it recorded.

use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::screen::{News, Screen, Seen};
use crate::tile::Encoder;
use crate::view::{Command, Desktop};
use crate::{Exit, Size};

/// Between two frames of a recording.
const APART: Duration = Duration::from_millis(100);
/// After so long, a change is recorded as a whole picture, from which somebody who replays can begin.
const KEYFRAMES_APART: Duration = Duration::from_secs(10);
/// Longer than this no recorder takes.
const RECORDER_TIME: Duration = Duration::from_secs(5);

/// Things that wait to be done to the machine; more wait at whoever does them.
const COMMANDS: usize = 64;

/// What happens, as a recording wants it.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'e> {
    /// The picture has this size; the next frame is a [`Event::Keyframe`].
    Size(Size),
    /// A frame, as [`tile`](crate::tile) has it, of the recording's own sequence.
    Frame(&'e [u8]),
    /// A frame that does not need those before it.
    Keyframe(&'e [u8]),
    /// So many things were done with keyboard and pointer.
    Input(usize),
    /// Text went through the clipboard.
    Clipboard {
        /// Into the machine; otherwise out of it.
        into_machine: bool,
        /// So many characters.
        chars: usize,
    },
}

/// It could not be recorded; why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what happened could not be recorded: {0}")]
pub struct NotRecorded(pub String);

/// Records.
pub trait Record: Send + 'static {
    /// Whether the picture is recorded. Not asked again later.
    fn wants_frames(&self) -> bool {
        true
    }

    /// Takes in what happened. It has 5 s.
    fn note(&mut self, event: Event<'_>) -> impl Future<Output = Result<(), NotRecorded>> + Send;
}

/// Why a desktop ended that should not have.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// It could not be recorded.
    #[error(transparent)]
    Record(#[from] NotRecorded),
    /// What the machine says is not the protocol.
    #[error("the machine does not speak the protocol: {0}")]
    Protocol(String),
    /// The stream broke.
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
}

/// What a recording is told beside the picture.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Note {
    Input,
    Clipboard { into_machine: bool, chars: usize },
}

/// Speaks with the machine until it is over.
pub(crate) type Driver = Pin<Box<dyn Future<Output = Result<Exit, Broken>> + Send>>;

/// Carries a desktop; nothing happens unless it runs, and when it is dropped the desktop is over.
pub struct Pump {
    pub(crate) driver: Driver,
    pub(crate) notes: mpsc::Receiver<Note>,
    pub(crate) over: OverOnDrop,
}

impl std::fmt::Debug for Pump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pump").finish_non_exhaustive()
    }
}

/// However it goes, nobody looks at a picture that does not change any more and thinks that it lives.
#[derive(Debug)]
pub(crate) struct OverOnDrop(pub(crate) Screen);

impl Drop for OverOnDrop {
    fn drop(&mut self) {
        self.0.over(Exit::Here);
    }
}

impl Pump {
    /// Until the end.
    ///
    /// # Errors
    /// [`Broken`].
    pub async fn run(self, record: impl Record) -> Result<Exit, Broken> {
        let screen = self.over.0.clone();
        let (ended, end) = oneshot::channel();
        let mut recording = pin!(Recording::new(screen.clone(), self.notes, record).run(end));
        let exit = tokio::select! {
            exit = self.driver => exit,
            recorded = &mut recording => return Err(recorded.err().unwrap_or_else(|| not("it ended")).into()),
        };
        drop(ended);
        recording.await?;
        let exit = exit?;
        screen.over(exit.clone());
        Ok(exit)
    }
}

fn not(why: &str) -> NotRecorded {
    NotRecorded(why.to_owned())
}

struct Recording<R> {
    screen: Screen,
    notes: mpsc::Receiver<Note>,
    record: R,
    picture: bool,
    seen: Seen,
    size: Size,
    size_told: bool,
    /// None while it is at work.
    encoder: Option<Encoder>,
    whole_at: Option<Instant>,
    next_at: Instant,
    inputs: usize,
}

impl<R: Record> Recording<R> {
    fn new(screen: Screen, notes: mpsc::Receiver<Note>, record: R) -> Recording<R> {
        let (size, seen) = screen.arrive();
        Recording {
            notes,
            picture: record.wants_frames(),
            record,
            seen,
            size,
            size_told: false,
            encoder: Some(Encoder::new(size, 0)),
            whole_at: None,
            next_at: Instant::now(),
            inputs: 0,
            screen,
        }
    }

    /// Until the end, at which everything has been recorded.
    async fn run(mut self, mut end: oneshot::Receiver<()>) -> Result<(), NotRecorded> {
        let mut changed = self.screen.watch();
        loop {
            let new = *changed.borrow_and_update() > self.seen.picture;
            let frame_at = match (self.picture, new) {
                (false, _) => None,
                (true, true) => Some(self.next_at),
                (true, false) => self.encoder.as_ref().and_then(Encoder::refines_at),
            };
            // Hardly ever are things done to a machine without the picture changing; but then they count, too.
            let count_at = (self.inputs > 0).then_some(self.next_at);
            let due = [frame_at, count_at].into_iter().flatten().min();
            tokio::select! {
                _ = &mut end => {
                    while let Ok(note) = self.notes.try_recv() {
                        self.note(note).await?;
                    }
                    return self.look().await;
                }
                Some(note) = self.notes.recv() => self.note(note).await?,
                () = sleep_until(due.unwrap_or(self.next_at)), if due.is_some() => self.look().await?,
                _ = changed.changed(), if self.picture && !new => {}
            }
        }
    }

    async fn note(&mut self, note: Note) -> Result<(), NotRecorded> {
        match note {
            Note::Input => {
                self.inputs += 1;
                Ok(())
            }
            Note::Clipboard { into_machine, chars } => {
                self.tell(Event::Clipboard { into_machine, chars }).await
            }
        }
    }

    async fn tell(&mut self, event: Event<'_>) -> Result<(), NotRecorded> {
        tokio::time::timeout(RECORDER_TIME, self.record.note(event))
            .await
            .map_err(|_| not("it takes too long"))?
    }

    async fn look(&mut self) -> Result<(), NotRecorded> {
        self.next_at = Instant::now() + APART;
        if self.inputs > 0 {
            let inputs = std::mem::take(&mut self.inputs);
            self.tell(Event::Input(inputs)).await?;
        }
        if !self.picture {
            return Ok(());
        }
        while let Some(news) = self.screen.news(&mut self.seen) {
            if let News::Sized(size) = news {
                let number = self.encoder.as_ref().map_or(0, Encoder::number);
                self.encoder = Some(Encoder::new(size, number));
                (self.size, self.size_told, self.whole_at) = (size, false, None);
            }
        }
        if !self.size_told {
            self.size_told = true;
            self.tell(Event::Size(self.size)).await?;
        }
        let whole = self.whole_at.is_none_or(|at| at.elapsed() >= KEYFRAMES_APART);
        if whole {
            self.seen.picture = 0;
        }
        let Some(tiles) = self.screen.tiles(&mut self.seen) else { return Ok(()) };
        let mut encoder = self.encoder.take().ok_or_else(|| not("the encoder is gone"))?;
        let done = tokio::task::spawn_blocking(move || {
            if whole {
                encoder.forget();
            }
            let frame = encoder.encode(tiles, Instant::now());
            (encoder, frame)
        });
        let (encoder, frame) = done.await.map_err(|_| not("the encoder is gone"))?;
        self.encoder = Some(encoder);
        let Some(frame) = frame else { return Ok(()) };
        if whole {
            self.whole_at = Some(Instant::now());
            self.tell(Event::Keyframe(&frame)).await
        } else {
            self.tell(Event::Frame(&frame)).await
        }
    }
}

/// What a driver has in hand: the screen, what is done to the machine, and the ear of the recording.
pub(crate) struct Ends {
    pub(crate) screen: Screen,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) notes: mpsc::Sender<Note>,
}

/// A desktop and its pump around a driver.
pub(crate) fn pair<D>(size: Size, drive: impl FnOnce(Ends) -> D) -> (Desktop, Pump)
where
    D: Future<Output = Result<Exit, Broken>> + Send + 'static,
{
    let screen = Screen::new(size);
    let (commands, received) = mpsc::channel(COMMANDS);
    let (notes, noted) = mpsc::channel(COMMANDS);
    let driver = drive(Ends { screen: screen.clone(), commands: received, notes });
    let pump = Pump { driver: Box::pin(driver), notes: noted, over: OverOnDrop(screen.clone()) };
    (Desktop { screen, commands }, pump)
}
