//! A browser's WebSocket on what a session shows, a terminal or a desktop: who looks, for how long they may, and what they
//! are told beside it, which is the same of both. What is to be seen of each is a [`Look`].

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::OnUpgrade;
use sekisho_arm::Scope;
use sekisho_bastion_ssh::terminal::wire::{self, Mode, ToClient, Watcher};
use tokio::time::{interval, timeout};
use tokio_tungstenite::tungstenite::protocol::Message;

use super::limits::Warning;
use super::live::{Socket, accept};
use super::sessions::{JOIN, WATCH};
use super::shown::{Entry, Open, Screen, Viewer};
use super::{desktops, terminals};
use crate::admitted::Admitted;
use crate::app::App;
use crate::authn::Caller;

/// How long a client has to take what it is sent.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a client is asked whether it is there. A network that is gone is noticed by then.
const PING: Duration = Duration::from_secs(15);

/// Counts a view while it is there, and names who else looks.
struct Viewed<'o> {
    open: &'o Open,
    other: Option<Watcher>,
}

impl<'o> Viewed<'o> {
    fn new(open: &'o Open, viewer: &Viewer) -> Viewed<'o> {
        let other = match viewer {
            Viewer::Owner => {
                open.views.send_modify(|views| *views += 1);
                None
            }
            Viewer::Other { caller, mode, .. } => {
                let watcher = Watcher { name: caller.name.clone(), mode: *mode };
                open.watchers.send_modify(|all| all.push(watcher.clone()));
                Some(watcher)
            }
        };
        Viewed { open, other }
    }
}

impl Drop for Viewed<'_> {
    fn drop(&mut self) {
        match &self.other {
            None => self.open.views.send_modify(|views| *views -= 1),
            Some(watcher) => self.open.watchers.send_modify(|all| {
                if let Some(at) = all.iter().position(|w| w == watcher) {
                    all.remove(at);
                }
            }),
        }
    }
}

/// Until somebody who looks at what is not theirs may not any more.
async fn until_not_allowed(app: &Arc<App>, open: &Open, viewer: &Viewer) -> Option<&'static str> {
    let Viewer::Other { caller, headers, mode } = viewer else { return std::future::pending().await };
    let mut admitted = Admitted::new(app.clone(), (**caller).clone(), headers.clone());
    loop {
        if !admitted.holds() {
            return Some("ConditionalAccess");
        }
        if !may_look(app, admitted.caller(), *mode, &open.allowed.machine) {
            return Some("NotAllowedAnyMore");
        }
        if admitted.next().await.is_none() {
            return Some("SignInEnded");
        }
    }
}

/// Whether somebody may look at sessions on a machine.
pub(super) fn may_look(app: &App, caller: &Caller, mode: Mode, machine: &Scope) -> bool {
    let right = match mode {
        Mode::Interactive => JOIN,
        Mode::ReadOnly | Mode::Own => WATCH,
    };
    app.access.snapshot().decide(&app.access.acting(caller), right, machine).is_allowed()
}

/// A look at what a session shows. The frames are those of its subprotocol.
pub(super) trait Look {
    /// What its viewer is told first.
    fn ready(&self, open: &Open, mode: Mode) -> Vec<u8>;

    /// Waits for what its viewer is told next; nothing, once its owner looks elsewhere. Nothing is lost when this is dropped
    /// before it is ready.
    async fn next(&mut self) -> Option<Told>;

    /// Does what its viewer says, as far as it may. `None`: it says what nobody says.
    async fn hear(&mut self, mode: Mode, frame: &[u8]) -> Option<()>;
}

/// What a viewer is told of what is shown.
pub(super) struct Told {
    pub(super) frames: Vec<Vec<u8>>,
    /// Whether nothing will follow.
    pub(super) is_last: bool,
}

/// Shows what a session shows until either side has enough. `have` is up to where the viewer has a terminal's output.
pub(super) async fn show(app: Arc<App>, Entry { open, viewer }: Entry, have: u64, upgrade: OnUpgrade) {
    // Both kinds of viewers may say as much.
    let Some(mut socket) = accept(upgrade, wire::MAX_FRAME + 1).await else { return };
    let viewed = Viewed::new(&open, &viewer);
    let shown = async {
        let is_owner = matches!(viewer, Viewer::Owner);
        match &open.screen {
            Screen::Terminal(terminal) => {
                let look = terminals::Look::new(terminal, have, is_owner);
                exchange(&open, &viewer, look, &mut socket).await
            }
            Screen::Desktop(desktop) => {
                let look = desktops::Look::new(desktop, is_owner);
                exchange(&open, &viewer, look, &mut socket).await
            }
        }
    };
    let ended = tokio::select! {
        ended = shown => ended,
        ended = until_not_allowed(&app, &open, &viewer) => ended,
    };
    drop(viewed);
    if let Some(reason) = ended {
        let _ = tell(&mut socket, &ToClient::Ended { reason: reason.to_owned() }).await;
    }
    let _ = timeout(PATIENCE, socket.close(None)).await;
}

async fn send(socket: &mut Socket, frame: Vec<u8>) -> Option<()> {
    timeout(PATIENCE, socket.send(Message::Binary(frame.into()))).await.ok()?.ok()
}

/// Tells a viewer something that is the same of a terminal and of a desktop.
async fn tell(socket: &mut Socket, told: &ToClient) -> Option<()> {
    send(socket, wire::control(told)).await
}

/// Until the session ends, whose reason is returned, or the client goes.
async fn exchange(
    open: &Open,
    viewer: &Viewer,
    mut look: impl Look,
    socket: &mut Socket,
) -> Option<&'static str> {
    let mode = match viewer {
        Viewer::Owner => Mode::Own,
        Viewer::Other { mode, .. } => *mode,
    };
    send(socket, look.ready(open, mode)).await?;
    let mut ended = open.ended.subscribe();
    let (mut watchers, mut said) = (open.watchers.subscribe(), open.said.subscribe());
    if !watchers.borrow().is_empty() {
        watchers.mark_changed();
    }
    let (mut ping, mut warned) = (interval(PING), None);
    let mut over = false;
    loop {
        if let Some(reason) = *ended.borrow_and_update()
            && (over || reason != "Closed")
        {
            return Some(reason);
        }
        tokio::select! {
            next = look.next(), if !over => {
                let Some(Told { frames, is_last }) = next else { return Some("TakenOver") };
                over = is_last;
                for frame in frames {
                    send(socket, frame).await?;
                }
            }
            message = socket.next() => match message {
                Some(Ok(Message::Binary(frame))) => look.hear(mode, &frame).await?,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            },
            changed = ended.changed() => changed.ok()?,
            changed = watchers.changed() => {
                changed.ok()?;
                let people = watchers.borrow_and_update().clone();
                tell(socket, &ToClient::Watchers { people }).await?;
            }
            message = said.recv() => if let Ok((from, text)) = message {
                tell(socket, &ToClient::Message { from, text }).await?;
            },
            Warning { limit, seconds } = open.limits.near(&mut warned) => {
                tell(socket, &ToClient::Warning { reason: limit.word(), seconds }).await?;
            }
            _ = ping.tick() => {
                // Pages cannot see a ping.
                timeout(PATIENCE, socket.send(Message::Ping(Default::default()))).await.ok()?.ok()?;
                tell(socket, &ToClient::Alive).await?;
            }
        }
    }
}
