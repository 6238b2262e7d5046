//! One viewer's look at a terminal.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::backlog::Since;
use super::{Asked, Exit, Shared, Size, UNACKNOWLEDGED};

/// Bytes of output at once.
const PART: usize = 16 << 10;

/// What a viewer is to be told next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Output from this number on.
    Output(u64, Vec<u8>),
    /// What came before this number is not kept any more; this makes an empty screen what it is now.
    Screen(u64, String),
    /// Another size.
    Size(Size),
    /// The program has ended, and everything has been said.
    Exit(Exit),
}

/// A look at a terminal.
pub struct View {
    shared: Arc<Shared>,
    news: watch::Receiver<()>,
    /// The number of the next byte to send.
    at: u64,
    acknowledged: u64,
    size: Option<Size>,
    is_owner: bool,
}

impl View {
    pub(super) fn new(shared: Arc<Shared>, have: u64, is_owner: bool) -> View {
        let news = shared.news.subscribe();
        let at = {
            let mut state = shared.lock();
            let at = have.min(state.backlog.end());
            if is_owner {
                state.seen = Some(at);
            }
            at
        };
        View { shared, news, at, acknowledged: at, size: None, is_owner }
    }

    /// Waits for what is to be told next. Nothing more is told while too much of it is not acknowledged. Nothing is lost
    /// when this is dropped before it is ready.
    pub async fn next(&mut self) -> Next {
        loop {
            self.news.borrow_and_update();
            if let Some(next) = self.ready() {
                return next;
            }
            if self.news.changed().await.is_err() {
                return Next::Exit(Exit::Unknown);
            }
        }
    }

    fn ready(&mut self) -> Option<Next> {
        let state = self.shared.lock();
        if self.size != Some(state.size) {
            self.size = Some(state.size);
            return Some(Next::Size(state.size));
        }
        if self.at.saturating_sub(self.acknowledged) >= UNACKNOWLEDGED {
            return None;
        }
        match state.backlog.since(self.at, PART) {
            Since::Gone => {
                self.at = state.backlog.end();
                self.acknowledged = self.at;
                Some(Next::Screen(self.at, state.screen.dump()))
            }
            Since::Bytes(bytes) if bytes.is_empty() => state.exit.clone().map(Next::Exit),
            Since::Bytes(bytes) => {
                let from = self.at;
                self.at += bytes.len() as u64;
                Some(Next::Output(from, bytes))
            }
        }
    }

    /// The viewer has seen the output up to a number. One that was not sent yet does not count.
    pub fn acknowledge(&mut self, upto: u64) {
        self.acknowledged = self.acknowledged.max(upto.min(self.at));
        if self.is_owner {
            self.shared.lock().seen = Some(self.acknowledged);
            self.shared.caught_up.send_replace(());
        }
    }

    /// What the viewer types. Waits while the machine is slower.
    pub async fn type_in(&self, bytes: Vec<u8>) {
        self.shared.lock().typed = Instant::now();
        // The program may have ended.
        let _ = self.shared.asked.send(Asked::Input(bytes)).await;
    }

    /// The viewer's window has another size.
    pub async fn resize(&self, size: Size) {
        let _ = self.shared.asked.send(Asked::Size(size)).await;
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if self.is_owner {
            self.shared.lock().seen = None;
            self.shared.caught_up.send_replace(());
        }
    }
}
