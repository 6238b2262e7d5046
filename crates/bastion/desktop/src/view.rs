//! Somebody looks: a picture at the pace at which they take it in, and what they do with keyboard and pointer.
//!
//! A viewer has two frames on the way at most; what happens meanwhile is in the next, once. So a slow one skips, and holds
//! up neither the machine nor anybody else, and nothing queues.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::screen::{News, Screen, Seen};
use crate::tile::Encoder;
use crate::{Exit, Input, Pointer, Size};

/// Between two frames of a view: 30 a second.
const APART: Duration = Duration::from_millis(33);
/// Frames that may be on the way.
const AHEAD: u32 = 2;

/// What is done to the machine.
#[derive(Debug)]
pub(crate) enum Command {
    Input(Input),
    Resize(Size),
    End,
}

/// A desktop, for as long as its [`Pump`](crate::Pump) runs.
#[derive(Debug, Clone)]
pub struct Desktop {
    pub(crate) screen: Screen,
    pub(crate) commands: mpsc::Sender<Command>,
}

impl Desktop {
    /// A view of it. The owner's decides about the size and has the clipboard; what others copy and what size they have
    /// does not reach the machine. Whether they may type is for the caller to decide.
    pub fn view(&self, is_owner: bool) -> View {
        let (size, seen) = self.screen.arrive();
        let hands = Hands {
            is_owner,
            commands: self.commands.clone(),
            acknowledged: std::sync::Arc::new(watch::Sender::new(0)),
        };
        View {
            screen: self.screen.clone(),
            changed: self.screen.watch(),
            taken: hands.acknowledged.subscribe(),
            hands,
            seen,
            size,
            encoder: Some(Encoder::new(size, 0)),
            frames: 0,
            job: None,
            next_at: Instant::now(),
            told: false,
        }
    }

    /// Its size.
    pub fn size(&self) -> Size {
        self.screen.size()
    }

    /// Whether the machine takes another size; it may say so a little after the beginning.
    pub fn resizes(&self) -> bool {
        self.screen.resizes()
    }

    /// Ends it.
    pub async fn end(&self) {
        // If nobody listens it has ended.
        let _ = self.commands.send(Command::End).await;
    }
}

/// What comes next for a viewer.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// A frame of the picture, as a browser gets it.
    Frame(Vec<u8>),
    /// The picture has another size; the next frame is whole.
    Size(Size),
    /// This was copied on the machine.
    Clipboard(String),
    /// The pointer looks otherwise.
    Pointer(Pointer),
    /// It is over; nothing comes after.
    Over(Exit),
}

/// What a viewer does; separate from what they see, so that neither waits for the other.
#[derive(Debug, Clone)]
pub struct Hands {
    is_owner: bool,
    commands: mpsc::Sender<Command>,
    acknowledged: std::sync::Arc<watch::Sender<u32>>,
}

impl Hands {
    /// The viewer has shown this frame.
    pub fn acknowledge(&self, frame: u32) {
        self.acknowledged.send_if_modified(|shown| {
            let further = frame > *shown;
            *shown = frame.max(*shown);
            further
        });
    }

    /// Does something to the machine; waits while there is much to do already. Nothing when it is over.
    pub async fn input(&self, input: Input) {
        if self.is_owner || !matches!(input, Input::Clipboard(_)) {
            let _ = self.commands.send(Command::Input(input)).await;
        }
    }

    /// The owner would like another size.
    pub async fn resize(&self, size: Size) {
        if self.is_owner {
            let _ = self.commands.send(Command::Resize(size)).await;
        }
    }
}

/// A view of a desktop. Its first frame is whole.
#[derive(Debug)]
pub struct View {
    screen: Screen,
    changed: watch::Receiver<u64>,
    taken: watch::Receiver<u32>,
    hands: Hands,
    seen: Seen,
    size: Size,
    /// None while it is at work.
    encoder: Option<Encoder>,
    frames: u32,
    job: Option<JoinHandle<(Encoder, Option<Vec<u8>>)>>,
    next_at: Instant,
    told: bool,
}

impl View {
    /// The size that the first frame has, unless [`Next::Size`] comes before.
    pub fn size(&self) -> Size {
        self.size
    }

    /// What the viewer does; may be used while [`View::next`] waits.
    pub fn hands(&self) -> Hands {
        self.hands.clone()
    }

    /// See [`Hands::acknowledge`].
    pub fn acknowledge(&self, frame: u32) {
        self.hands.acknowledge(frame);
    }

    /// See [`Hands::input`].
    pub async fn input(&self, input: Input) {
        self.hands.input(input).await;
    }

    /// See [`Hands::resize`].
    pub async fn resize(&self, size: Size) {
        self.hands.resize(size).await;
    }

    /// What comes next; none after the end. May be dropped while it waits: nothing is lost.
    pub async fn next(&mut self) -> Option<Next> {
        loop {
            if let Some(job) = &mut self.job {
                let done = job.await;
                self.job = None;
                // An encoder that is gone is begun anew.
                let (encoder, frame) = done.unwrap_or_else(|_| (self.fresh(), None));
                self.frames = encoder.number();
                self.encoder = Some(encoder);
                if let Some(frame) = frame {
                    return Some(Next::Frame(frame));
                }
            }
            self.changed.borrow_and_update();
            self.taken.borrow_and_update();
            if let Some(exit) = self.screen.is_over() {
                return (!std::mem::replace(&mut self.told, true)).then_some(Next::Over(exit));
            }
            match self.screen.news(&mut self.seen) {
                Some(News::Sized(size)) => {
                    self.size = size;
                    self.encoder = Some(Encoder::new(size, self.frames));
                    return Some(Next::Size(size));
                }
                Some(News::Pointer(pointer)) => return Some(Next::Pointer(pointer)),
                Some(News::Copied(text)) if self.hands.is_owner => {
                    return Some(Next::Clipboard(text.as_ref().to_owned()));
                }
                Some(News::Copied(_)) => continue,
                None => {}
            }
            self.wait_or_begin().await;
        }
    }

    fn fresh(&mut self) -> Encoder {
        self.seen.picture = 0;
        Encoder::new(self.size, self.frames)
    }

    /// Begins a frame when one may be sent and there is something to say; otherwise waits until that may have changed.
    async fn wait_or_begin(&mut self) {
        // What was never sent cannot have been shown.
        let shown = (*self.taken.borrow()).min(self.frames);
        let due = self.encoder.as_ref().and_then(Encoder::refines_at);
        if self.frames - shown >= AHEAD {
            tokio::select! {
                _ = self.taken.changed() => {}
                _ = self.changed.changed() => {}
            }
            return;
        }
        let now = Instant::now();
        let has_news = *self.changed.borrow() > self.seen.picture;
        if !has_news && due.is_none_or(|due| due > now) {
            tokio::select! {
                _ = self.changed.changed() => {}
                () = sleep_until(due.unwrap_or(now)), if due.is_some() => {}
            }
            return;
        }
        if now < self.next_at {
            sleep_until(self.next_at).await;
        }
        let Some(tiles) = self.screen.tiles(&mut self.seen) else { return };
        let mut encoder = self.encoder.take().unwrap_or_else(|| self.fresh());
        self.next_at = Instant::now() + APART;
        self.job = Some(tokio::task::spawn_blocking(move || {
            let frame = encoder.encode(tiles, Instant::now());
            (encoder, frame)
        }));
    }
}
