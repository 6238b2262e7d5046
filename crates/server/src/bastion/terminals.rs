//! Terminals in browsers, from their beginning to their end, and what their viewers see of them.

use std::sync::Arc;

use http::HeaderMap;
use sekisho_arm::ArmError;
use sekisho_arm::resource::instant;
use sekisho_bastion_ssh::terminal::wire::{self, FromClient, Mode, ToClient};
use sekisho_bastion_ssh::terminal::{self, Broken, Exit, Next, Pump, Size, Terminal, View};

use super::login::Login;
use super::shown::{Open, Screen};
use super::socket::{self, Told};
use super::{Allowed, files};
use crate::app::App;

/// Begins a session that goes on from now on, whether anybody looks at it or not.
///
/// # Errors
/// Those of who may, and of the machine.
pub(super) async fn begin(
    app: &Arc<App>,
    allowed: Allowed,
    headers: HeaderMap,
    size: Size,
) -> Result<Arc<Open>, ArmError> {
    let begun = Login::over_ssh(app, &allowed, size, |machine| terminal::start(machine, size));
    let (login, (terminal, pump, files)) = begun.await?;
    let open = Open::new(&login, allowed, Screen::Terminal(terminal), Some(files));
    app.bastion.shown.enter(open.clone());
    tokio::spawn(carry(app.clone(), open.clone(), headers, login, pump));
    Ok(open)
}

/// Carries a terminal to its end.
async fn carry(app: Arc<App>, open: Arc<Open>, headers: HeaderMap, login: Login, pump: Pump) {
    let shell = async {
        tokio::select! {
            ended = pump.run(open.recorder.clone()) => ended,
            () = open.until_alone() => Err(Broken::Lost),
        }
    };
    let put_away = async {
        app.bastion.shown.leave(open.id);
        files::end(&app, &open).await;
    };
    let ended = login.hold(&open.allowed, headers, shell, put_away).await;
    if let Ok(files) = open.files() {
        files.leave().await;
    }
    let why = login.end(ended).await;
    open.ended.send_replace(Some(why));
}

/// One viewer's look at a terminal.
pub(super) struct Look {
    view: View,
    /// Output before this number was there before it.
    up_to: u64,
}

impl Look {
    /// `have` is up to where the viewer has the output.
    pub(super) fn new(terminal: &Terminal, have: u64, is_owner: bool) -> Look {
        let up_to = terminal.end();
        Look { view: terminal.view(have, is_owner), up_to }
    }
}

impl socket::Look for Look {
    fn ready(&self, open: &Open, mode: Mode) -> Vec<u8> {
        // Files are nobody else's.
        let (upload, download) = if mode == Mode::Own { open.host.files() } else { (false, false) };
        wire::control(&ToClient::Ready {
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
            up_to: self.up_to,
        })
    }

    async fn next(&mut self) -> Option<Told> {
        let next = self.view.next().await?;
        let is_last = matches!(next, Next::Exit(_));
        let frames = match next {
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
        };
        Some(Told { frames, is_last })
    }

    async fn hear(&mut self, mode: Mode, frame: &[u8]) -> Option<()> {
        match wire::read(frame).ok()? {
            FromClient::Input(bytes) if mode != Mode::ReadOnly => self.view.type_in(bytes.to_vec()).await,
            // The window is its owner's.
            FromClient::Size(size) if mode == Mode::Own => self.view.resize(size).await,
            FromClient::Input(_) | FromClient::Size(_) => {}
            FromClient::Acknowledged(upto) => self.view.acknowledge(upto),
            FromClient::Unknown => {}
        }
        Some(())
    }
}
