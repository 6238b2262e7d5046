//! A browser's WebSocket on a terminal.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::OnUpgrade;
use sekisho_arm::Scope;
use sekisho_arm::resource::instant;
use sekisho_bastion_ssh::terminal::wire::{self, FromClient, Mode, ToClient, Watcher};
use sekisho_bastion_ssh::terminal::{Exit, Next, Size, View};
use tokio::time::{interval, timeout};
use tokio_tungstenite::tungstenite::protocol::Message;

use super::limits::Warning;
use super::live::{Socket, accept};
use super::sessions::{JOIN, WATCH};
use super::terminals::{Entry, Open, Viewer};
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

/// Shows a terminal until either side has enough.
pub(super) async fn show(
    app: Arc<App>,
    Entry { terminal: open, viewer }: Entry,
    have: u64,
    upgrade: OnUpgrade,
) {
    let Some(mut socket) = accept(upgrade, wire::MAX_FRAME + 1).await else { return };
    let viewed = Viewed::new(&open, &viewer);
    let ended = tokio::select! {
        ended = exchange(&open, &viewer, have, &mut socket) => ended,
        ended = until_not_allowed(&app, &open, &viewer) => ended,
    };
    drop(viewed);
    if let Some(reason) = ended {
        let ended = wire::control(&ToClient::Ended { reason: reason.to_owned() });
        let _ = send(&mut socket, ended).await;
    }
    let _ = timeout(PATIENCE, socket.close(None)).await;
}

async fn send(socket: &mut Socket, frame: Vec<u8>) -> Result<(), ()> {
    match timeout(PATIENCE, socket.send(Message::Binary(frame.into()))).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(()),
    }
}

fn ready(open: &Open, mode: Mode) -> ToClient {
    // Files are nobody else's.
    let (upload, download) = if mode == Mode::Own { open.host.files() } else { (false, false) };
    ToClient::Ready {
        session_id: open.id.to_string(),
        account: open.account().to_owned(),
        machine: open.allowed.machine.to_string(),
        mode,
        copy: open.host.copies(),
        paste: open.host.copies(),
        upload,
        download,
        max_file_bytes: open.host.limits().maximum_file_bytes,
        recorded: open.recorded().word(),
        until: instant(open.limits.until()),
        idle_seconds: open.limits.idle().map(|idle| idle.as_secs()),
        up_to: open.terminal.end(),
    }
}

/// What a viewer is told of what happens.
fn told(next: Next) -> Vec<Vec<u8>> {
    match next {
        Next::Output(from, bytes) => vec![wire::output(from, &bytes)],
        Next::Screen(from, screen) => {
            // The numbers go on behind the screen, whose own bytes are none of the terminal's.
            vec![wire::control(&ToClient::Gap { from }), wire::output(from, screen.as_bytes())]
        }
        Next::Size(Size { columns, rows }) => vec![wire::control(&ToClient::Size { columns, rows })],
        Next::Exit(exit) => {
            let (status, signal) = match exit {
                Exit::Status(status) => (Some(status), None),
                Exit::Signal(signal) => (None, Some(signal)),
                Exit::Unknown => (None, None),
            };
            vec![wire::control(&ToClient::Exit { status, signal })]
        }
    }
}

/// Until the session ends, whose reason is returned, or the client goes.
async fn exchange(open: &Open, viewer: &Viewer, have: u64, socket: &mut Socket) -> Option<&'static str> {
    let mode = match viewer {
        Viewer::Owner => Mode::Own,
        Viewer::Other { mode, .. } => *mode,
    };
    send(socket, wire::control(&ready(open, mode))).await.ok()?;
    let mut view = open.terminal.view(have, mode == Mode::Own);
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
            next = view.next(), if !over => {
                let Some(next) = next else { return Some("TakenOver") };
                over = matches!(next, Next::Exit(_));
                for frame in told(next) {
                    send(socket, frame).await.ok()?;
                }
            }
            message = socket.next() => match message {
                Some(Ok(Message::Binary(frame))) => hear(&mut view, mode, &frame).await?,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            },
            changed = ended.changed() => changed.ok()?,
            changed = watchers.changed() => {
                changed.ok()?;
                let people = watchers.borrow_and_update().clone();
                send(socket, wire::control(&ToClient::Watchers { people })).await.ok()?;
            }
            message = said.recv() => if let Ok((from, text)) = message {
                send(socket, wire::control(&ToClient::Message { from, text })).await.ok()?;
            },
            Warning { limit, seconds } = open.limits.near(&mut warned) => {
                send(socket, wire::control(&ToClient::Warning { reason: limit.word(), seconds })).await.ok()?;
            }
            _ = ping.tick() => {
                // Pages cannot see a ping.
                timeout(PATIENCE, socket.send(Message::Ping(Default::default()))).await.ok()?.ok()?;
                send(socket, wire::control(&ToClient::Alive)).await.ok()?;
            }
        }
    }
}

/// Does what a client says, as far as it may. `None`: it says what nobody says.
async fn hear(view: &mut View, mode: Mode, frame: &[u8]) -> Option<()> {
    match wire::read(frame).ok()? {
        FromClient::Input(bytes) if mode != Mode::ReadOnly => view.type_in(bytes.to_vec()).await,
        // The window is its owner's.
        FromClient::Size(size) if mode == Mode::Own => view.resize(size).await,
        FromClient::Input(_) | FromClient::Size(_) => {}
        FromClient::Acknowledged(upto) => view.acknowledge(upto),
        FromClient::Unknown => {}
    }
    Some(())
}
