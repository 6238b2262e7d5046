//! One channel of a client and one of a machine, and what passes between them: a shell, a command, or SFTP. What there is
//! to see of it is recorded before it goes on. What is shown in a terminal, others may look at, and type in.

use std::collections::VecDeque;

use bytes::Bytes;
use russh::ChannelMsg;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::sftp::Follow;
use super::{Client, notice};
use crate::machine::Machine;
use crate::terminal::{self, Broken, Event, Exit, NotRecorded, Record, Size, Terminal};

/// Bytes of a command's output that are recorded. It may be a terabyte, and nobody reads that.
const SHOWN: usize = 1 << 20;
/// What a command's output is shown on, which has no screen.
const PAGE: Size = Size { columns: 80, rows: 24 };
const SFTP: &str = "sftp";

/// The size of a client's terminal. One that does not know it says zero (RFC 4254, 6.2).
fn size(columns: u32, rows: u32) -> Size {
    let known = |said: u32, otherwise: u32| if said == 0 { otherwise } else { said };
    Size::new(known(columns, PAGE.columns), known(rows, PAGE.rows))
}

/// What was asked of the machine and not answered yet.
enum Asked {
    Terminal,
    Program,
}

/// Who has to do with a session beside its client.
pub struct Beside {
    /// Hears of its terminal when a program begins in it. Without one, nothing can be looked at.
    pub terminal: oneshot::Sender<Terminal>,
    /// What the client is to be told, a line each. Only a terminal shows it.
    pub notices: mpsc::Receiver<String>,
}

/// What is seen of a session.
struct Seen<R> {
    record: R,
    /// What its output is shown on; what the client has may be none.
    terminal: Terminal,
    has_terminal: bool,
    /// How much of a command's output is still recorded.
    room: usize,
    files: Option<Follow>,
}

impl<R: Record> Seen<R> {
    async fn note(&mut self, event: Event<'_>) -> Result<(), NotRecorded> {
        self.terminal.note(&mut self.record, event).await
    }

    async fn size(&mut self, size: Size) -> Result<(), NotRecorded> {
        self.has_terminal = true;
        self.terminal.resize(&mut self.record, size).await
    }

    async fn sent(&mut self, data: &[u8]) -> Result<(), NotRecorded> {
        self.note(Event::Input(data.len())).await?;
        let events = self.files.as_mut().map(|files| files.sent(data)).unwrap_or_default();
        self.files(events).await
    }

    async fn answered(&mut self, data: &[u8]) -> Result<(), NotRecorded> {
        if let Some(files) = &mut self.files {
            let events = files.answered(data);
            self.note(Event::Passed(data.len())).await?;
            return self.files(events).await;
        }
        self.shown(data).await
    }

    async fn shown(&mut self, data: &[u8]) -> Result<(), NotRecorded> {
        if self.has_terminal {
            return self.terminal.show(&mut self.record, data).await;
        }
        let (shown, rest) = data.split_at(data.len().min(self.room));
        if !shown.is_empty() {
            self.room -= shown.len();
            // No terminal has made new lines of its line feeds.
            self.terminal.take_lines(&mut self.record, shown).await?;
            if self.room == 0 {
                self.note(Event::Output("\r\n[what follows is not recorded]\r\n")).await?;
            }
        }
        if rest.is_empty() { Ok(()) } else { self.note(Event::Passed(rest.len())).await }
    }

    async fn files(&mut self, events: Vec<super::FileEvent>) -> Result<(), NotRecorded> {
        for event in events {
            self.note(Event::File(&event)).await?;
        }
        Ok(())
    }
}

/// Carries everything both ways until either side has enough.
///
/// # Errors
/// [`Broken`].
pub async fn run(
    client: Client,
    machine: Machine,
    record: impl Record,
    beside: Beside,
) -> Result<Exit, Broken> {
    let Client { channel, end } = client;
    let Beside { terminal: begins, mut notices } = beside;
    let mut begins = Some(begins);
    let (terminal, mut joined) = Terminal::new(PAGE);
    let lost = |_: russh::Error| Broken::Lost;
    let (mut from_client, to_client) = channel.split();
    let (mut from_machine, to_machine) = machine.channel().await.map_err(lost)?.split();
    let seen = Seen { record, terminal: terminal.clone(), has_terminal: false, room: SHOWN, files: None };
    let seen = Mutex::new(seen);
    let asked = Mutex::new(VecDeque::new());
    // Apart, as each may have to wait for its other end without keeping the other direction from going on.
    let into = async {
        let begun = async |begins: &mut Option<oneshot::Sender<Terminal>>| {
            if seen.lock().await.has_terminal
                && let Some(begins) = begins.take()
            {
                // Nobody may want to know.
                let _ = begins.send(terminal.clone());
            }
        };
        loop {
            let message = tokio::select! {
                message = from_client.wait() => message,
                Some(asked) = joined.recv() => {
                    // The size is the client's, whoever else looks.
                    if let terminal::Asked::Input(data) = asked {
                        seen.lock().await.sent(&data).await?;
                        to_machine.data_bytes(data).await.map_err(lost)?;
                    }
                    continue;
                }
            };
            let Some(message) = message else { break };
            match message {
                ChannelMsg::RequestPty { term, col_width, row_height, terminal_modes, .. } => {
                    let size = size(col_width, row_height);
                    seen.lock().await.size(size).await?;
                    asked.lock().await.push_back(Asked::Terminal);
                    let Size { columns, rows } = size;
                    let pty = to_machine.request_pty(true, &term, columns, rows, 0, 0, &terminal_modes);
                    pty.await.map_err(lost)?;
                }
                ChannelMsg::SetEnv { variable_name, variable_value, .. } => {
                    to_machine.set_env(false, variable_name, variable_value).await.map_err(lost)?;
                }
                ChannelMsg::RequestShell { .. } => {
                    asked.lock().await.push_back(Asked::Program);
                    to_machine.request_shell(true).await.map_err(lost)?;
                    begun(&mut begins).await;
                }
                ChannelMsg::Exec { command, .. } => {
                    let text = String::from_utf8_lossy(&command).into_owned();
                    seen.lock().await.note(Event::Command(&text)).await?;
                    asked.lock().await.push_back(Asked::Program);
                    to_machine.exec(true, command).await.map_err(lost)?;
                    begun(&mut begins).await;
                }
                ChannelMsg::RequestSubsystem { name, .. } => {
                    {
                        let mut seen = seen.lock().await;
                        seen.note(Event::Command(&format!("subsystem {name}"))).await?;
                        seen.files = (name == SFTP).then(Follow::default);
                    }
                    asked.lock().await.push_back(Asked::Program);
                    to_machine.request_subsystem(true, name).await.map_err(lost)?;
                }
                ChannelMsg::WindowChange { col_width, row_height, .. } => {
                    let size = size(col_width, row_height);
                    seen.lock().await.size(size).await?;
                    to_machine.window_change(size.columns, size.rows, 0, 0).await.map_err(lost)?;
                }
                ChannelMsg::Signal { signal } => to_machine.signal(signal).await.map_err(lost)?,
                ChannelMsg::Data { data } => {
                    seen.lock().await.sent(&data).await?;
                    to_machine.data_bytes(data).await.map_err(lost)?;
                }
                ChannelMsg::Eof => to_machine.eof().await.map_err(lost)?,
                ChannelMsg::Close => break,
                _ => {}
            }
        }
        Ok(Exit::Unknown)
    };
    let out = async {
        let mut exit = Exit::Unknown;
        loop {
            // One after the other, so that nothing of ours stands in the middle of what the machine said at once.
            let message = tokio::select! {
                message = from_machine.wait() => message,
                Some(text) = notices.recv() => {
                    to_client.data_bytes(notice::line(&text)).await.map_err(lost)?;
                    continue;
                }
            };
            let Some(message) = message else { break };
            match message {
                ChannelMsg::Data { data } => {
                    seen.lock().await.answered(&data).await?;
                    to_client.data_bytes(data).await.map_err(lost)?;
                }
                ChannelMsg::ExtendedData { data, ext } => {
                    seen.lock().await.shown(&data).await?;
                    to_client.extended_data_bytes(ext, data).await.map_err(lost)?;
                }
                ChannelMsg::Success => drop(asked.lock().await.pop_front()),
                ChannelMsg::Failure => {
                    let what: &[u8] = match asked.lock().await.pop_front() {
                        Some(Asked::Terminal) => b"sekisho: the machine's SSH server gives no terminal\r\n",
                        Some(Asked::Program) | None => {
                            b"sekisho: the machine's SSH server does not do this\r\n"
                        }
                    };
                    to_client.extended_data_bytes(1, Bytes::from_static(what)).await.map_err(lost)?;
                }
                ChannelMsg::ExitStatus { exit_status } => {
                    exit = Exit::Status(exit_status);
                    to_client.exit_status(exit_status).await.map_err(lost)?;
                }
                ChannelMsg::ExitSignal { signal_name, core_dumped, error_message, lang_tag } => {
                    exit = Exit::Signal(format!("{signal_name:?}"));
                    let told = end.handle.exit_signal_request(
                        end.id,
                        signal_name,
                        core_dumped,
                        error_message,
                        lang_tag,
                    );
                    told.await.map_err(|()| Broken::Lost)?;
                }
                ChannelMsg::Eof => to_client.eof().await.map_err(lost)?,
                ChannelMsg::Close => break,
                _ => {}
            }
        }
        if exit == Exit::Unknown {
            return Err(Broken::Lost);
        }
        to_client.close().await.map_err(lost)?;
        Ok(exit)
    };
    let ended = tokio::select! {
        ended = into => ended,
        ended = out => ended,
    };
    let mut seen = seen.into_inner();
    let left = seen.files.take().map(Follow::end).unwrap_or_default();
    let noted = seen.files(left).await;
    terminal.over(ended.as_ref().ok().cloned());
    machine.leave().await;
    noted?;
    ended
}
