//! One viewer's look at a terminal.

use std::sync::Arc;

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
    /// Which of its owner's views it is, of one that is.
    own: Option<u64>,
}

impl View {
    pub(super) fn new(shared: Arc<Shared>, have: u64, is_owner: bool) -> View {
        let news = shared.news.subscribe();
        let (at, own) = {
            let mut state = shared.lock();
            let at = have.min(state.backlog.end());
            if is_owner {
                state.owner += 1;
                state.seen = Some(at);
            }
            (at, is_owner.then_some(state.owner))
        };
        if is_owner {
            shared.news.send_replace(());
        }
        View { shared, news, at, acknowledged: at, size: None, own }
    }

    /// Waits for what is to be told next; nothing, once its owner looks elsewhere. Nothing more is told while too much of
    /// it is not acknowledged. Nothing is lost when this is dropped before it is ready.
    pub async fn next(&mut self) -> Option<Next> {
        loop {
            self.news.borrow_and_update();
            if self.is_taken_over() {
                return None;
            }
            if let Some(next) = self.ready() {
                return Some(next);
            }
            if self.news.changed().await.is_err() {
                return Some(Next::Exit(Exit::Unknown));
            }
        }
    }

    fn is_taken_over(&self) -> bool {
        self.own.is_some_and(|own| own != self.shared.lock().owner)
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
        self.seen(Some(self.acknowledged));
    }

    /// Says up to where the owner has seen the output, if this is still where they look.
    fn seen(&self, upto: Option<u64>) {
        let mut state = self.shared.lock();
        if self.own == Some(state.owner) {
            state.seen = upto;
            drop(state);
            self.shared.caught_up.send_replace(());
        }
    }

    /// What the viewer types. Waits while the machine is slower.
    pub async fn type_in(&self, bytes: Vec<u8>) {
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
        self.seen(None);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Event, NotRecorded, Record, Terminal};
    use super::*;

    struct Nowhere;

    impl Record for Nowhere {
        async fn note(&mut self, _: Event<'_>, _: &(dyn Fn() -> String + Sync)) -> Result<(), NotRecorded> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn an_owner_who_looks_elsewhere_takes_the_terminal_with_them_and_the_machine_stays_held_back() {
        let (terminal, _asked) = Terminal::new(Size::new(80, 24));
        let (mut first, mut other) = (terminal.view(0, true), terminal.view(0, false));
        terminal.show(&mut Nowhere, b"there").await.unwrap();
        let mut second = terminal.view(0, true);
        assert_eq!(first.next().await, None);
        // What the first has to say does not count any more, and neither does its end.
        first.acknowledge(5);
        drop(first);
        assert_eq!(terminal.0.lock().seen, Some(0));
        for view in [&mut second, &mut other] {
            assert_eq!(view.next().await, Some(Next::Size(Size::new(80, 24))));
            assert_eq!(view.next().await, Some(Next::Output(0, b"there".to_vec())));
        }
        drop(other);
        second.acknowledge(5);
        assert_eq!(terminal.0.lock().seen, Some(5));
        drop(second);
        assert_eq!(terminal.0.lock().seen, None);
    }
}
