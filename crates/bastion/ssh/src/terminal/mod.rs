//! A terminal on a machine that people look at from browsers: one program behind a PTY, whose output is kept for a while
//! so that whoever lost the network goes on where they were, and whose screen is known so that whoever comes later sees
//! what there is.
//!
//! [`Pump::run`] carries bytes between the machine and the [`Terminal`] of whoever is in a browser, too; that of a native
//! client is carried by the [gate](crate::gate::relay). Every viewer has a [`View`] of it. The owner's view holds the machine
//! back: what is not acknowledged is not read, so that a program that never stops talking fills nobody's memory. Other
//! views never do: who is too slow loses output and is shown the screen instead.

mod backlog;
mod screen;
mod view;
pub mod wire;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Pty};
use tokio::sync::{mpsc, watch};

use self::backlog::Backlog;
use self::screen::Screen;
pub use self::view::{Next, View};
use crate::files::Files;
use crate::gate::FileEvent;
use crate::machine::Machine;

/// What a terminal calls itself to programs.
const TERM: &str = "xterm-256color";
/// Largest size taken, in columns and in rows.
const LARGEST: u32 = 1000;
/// Bytes that the owner may have left unacknowledged before the machine is held back.
pub const UNACKNOWLEDGED: u64 = 512 << 10;
/// Keystrokes and pastes that wait to be sent to the machine; more wait at their senders.
const INPUT: usize = 64;

/// A size in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Characters in a row.
    pub columns: u32,
    /// Rows.
    pub rows: u32,
}

impl Size {
    /// A size as a client wants it, within reason.
    pub fn new(columns: u32, rows: u32) -> Size {
        Size { columns: columns.clamp(2, LARGEST), rows: rows.clamp(1, LARGEST) }
    }
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// By itself.
    Status(u32),
    /// By a signal.
    Signal(String),
    /// The machine did not say.
    Unknown,
}

/// Something that happens in a terminal, for the record.
#[derive(Debug)]
pub enum Event<'e> {
    /// The program's output, as text.
    Output(&'e str),
    /// So many bytes of output that are not recorded.
    Passed(usize),
    /// What the machine was told to run.
    Command(&'e str),
    /// Something happened to a file.
    File(&'e FileEvent),
    /// So many bytes were typed. What they were is nobody's business: it may be a password.
    Input(usize),
    /// Another size.
    Size(Size),
}

/// The record could not be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the session could not be recorded: {0}")]
pub struct NotRecorded(pub String);

/// Keeps a record of what happens.
pub trait Record: Send + 'static {
    /// Whether output is kept, and not only that there was some. Not otherwise later.
    fn wants_output(&self) -> bool {
        true
    }

    /// Notes what happens, before anybody sees it. `screen` says what is on the screen after it, as text that restores it.
    fn note(
        &mut self,
        event: Event<'_>,
        screen: &(dyn Fn() -> String + Sync),
    ) -> impl Future<Output = Result<(), NotRecorded>> + Send;
}

/// What is asked of the program.
#[derive(Debug)]
pub(crate) enum Asked {
    /// To take what was typed.
    Input(Vec<u8>),
    /// To take another size.
    Size(Size),
}

struct State {
    backlog: Backlog,
    screen: Screen,
    size: Size,
    /// How many views the owner has had. The newest is theirs.
    owner: u64,
    /// Up to where the owner has seen the output; none while they do not look, when nothing is held back.
    seen: Option<u64>,
    exit: Option<Exit>,
}

struct Shared {
    state: Mutex<State>,
    /// Something is new to be seen.
    news: watch::Sender<()>,
    /// The owner has seen more.
    caught_up: watch::Sender<()>,
    asked: mpsc::Sender<Asked>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A terminal. It lives as long as somebody has it.
#[derive(Clone)]
pub struct Terminal(Arc<Shared>);

/// A terminal's end on the machine, to be [run](Pump::run).
pub struct Pump {
    terminal: Terminal,
    asked: mpsc::Receiver<Asked>,
    read: ChannelReadHalf,
    write: ChannelWriteHalf<Msg>,
}

/// Why a terminal ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Recording is required and not possible.
    #[error(transparent)]
    Record(#[from] NotRecorded),
    /// The connection to the machine broke.
    #[error("the connection to the machine broke")]
    Lost,
}

/// Begins a login shell in a terminal, with the files of its account beside it.
///
/// # Errors
/// When the machine does not give one.
pub async fn start(machine: Machine, size: Size) -> Result<(Terminal, Pump, Files), russh::Error> {
    let channel: Channel<Msg> = machine.channel().await?;
    // What is typed and shown here is UTF-8, which a shell without a locale would not take. The language stays the
    // machine's; one whose server does not accept this (AcceptEnv) does without. The mode (RFC 8160) has a line be edited
    // by characters also where no shell does that.
    channel.set_env(false, "LC_CTYPE", "C.UTF-8").await?;
    channel.request_pty(true, TERM, size.columns, size.rows, 0, 0, &[(Pty::IUTF8, 1)]).await?;
    channel.request_shell(true).await?;
    let (read, write) = channel.split();
    let (terminal, asked) = Terminal::new(size);
    Ok((terminal.clone(), Pump { terminal, asked, read, write }, Files::new(machine)))
}

impl Terminal {
    /// One on which nothing was shown yet, and what its viewers will ask of its program.
    pub(crate) fn new(size: Size) -> (Terminal, mpsc::Receiver<Asked>) {
        let (asked_of, asked) = mpsc::channel(INPUT);
        let state = State {
            backlog: Backlog::default(),
            screen: Screen::new(size),
            size,
            owner: 0,
            seen: None,
            exit: None,
        };
        let (news, caught_up) = (watch::Sender::new(()), watch::Sender::new(()));
        let shared = Shared { state: Mutex::new(state), news, caught_up, asked: asked_of };
        (Terminal(Arc::new(shared)), asked)
    }

    /// A look at it. `have` is up to where the viewer has the output. Only the owner's holds the machine back, and takes
    /// the terminal over from the one that they had before.
    pub fn view(&self, have: u64, is_owner: bool) -> View {
        View::new(self.0.clone(), have, is_owner)
    }

    /// The number of the next byte of output.
    pub fn end(&self) -> u64 {
        self.0.lock().backlog.end()
    }

    /// Shows output, when it is recorded.
    pub(crate) async fn show(&self, record: &mut impl Record, output: &[u8]) -> Result<(), NotRecorded> {
        let text = self.0.lock().screen.feed(output);
        self.note(record, Event::Output(&text)).await?;
        self.0.lock().backlog.push(output);
        self.0.news.send_replace(());
        Ok(())
    }

    /// Takes output of a program that has no terminal, for the record alone.
    pub(crate) async fn take_lines(
        &self,
        record: &mut impl Record,
        output: &[u8],
    ) -> Result<(), NotRecorded> {
        let text = self.0.lock().screen.feed_lines(output);
        self.note(record, Event::Output(&text)).await
    }

    /// Has another size.
    pub(crate) async fn resize(&self, record: &mut impl Record, size: Size) -> Result<(), NotRecorded> {
        {
            let mut state = self.0.lock();
            state.size = size;
            state.screen.resize(size);
        }
        self.0.news.send_replace(());
        self.note(record, Event::Size(size)).await
    }

    /// Records what happens.
    pub(crate) async fn note(&self, record: &mut impl Record, event: Event<'_>) -> Result<(), NotRecorded> {
        record.note(event, &|| self.0.lock().screen.dump()).await
    }

    /// Its program has ended; without saying how, it is gone.
    pub(crate) fn over(&self, exit: Option<Exit>) {
        self.0.lock().exit = exit;
        self.0.news.send_replace(());
    }
}

impl Pump {
    /// Carries bytes both ways until the program ends. What is recorded is recorded before anybody sees it.
    ///
    /// # Errors
    /// [`Broken`].
    pub async fn run(self, record: impl Record) -> Result<Exit, Broken> {
        let Pump { terminal, mut asked, mut read, write } = self;
        let record = tokio::sync::Mutex::new(record);
        // Apart, as each may have to wait for the other end without keeping the other direction from going on.
        let into = async {
            while let Some(what) = asked.recv().await {
                match what {
                    Asked::Input(bytes) => {
                        terminal.note(&mut *record.lock().await, Event::Input(bytes.len())).await?;
                        write.data_bytes(bytes).await.map_err(|_| Broken::Lost)?;
                    }
                    Asked::Size(size) => {
                        terminal.resize(&mut *record.lock().await, size).await?;
                        write.window_change(size.columns, size.rows, 0, 0).await.map_err(|_| Broken::Lost)?;
                    }
                }
            }
            std::future::pending().await
        };
        let out = async {
            let mut exit = Exit::Unknown;
            while let Some(message) = read.wait().await {
                match message {
                    ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. } => {
                        terminal.show(&mut *record.lock().await, &data).await?;
                        until_seen(&terminal.0).await;
                    }
                    ChannelMsg::ExitStatus { exit_status } => exit = Exit::Status(exit_status),
                    ChannelMsg::ExitSignal { signal_name, .. } => {
                        exit = Exit::Signal(format!("{signal_name:?}"));
                    }
                    ChannelMsg::Close => break,
                    _ => {}
                }
            }
            Ok(exit)
        };
        let ended = tokio::select! {
            broken = into => broken,
            exit = out => exit,
        };
        terminal.over(ended.as_ref().ok().cloned());
        ended
    }
}

/// Waits until the owner, if one looks, has seen enough of what there is.
async fn until_seen(shared: &Shared) {
    let mut caught_up = shared.caught_up.subscribe();
    loop {
        {
            let state = shared.lock();
            if state.seen.is_none_or(|seen| state.backlog.end().saturating_sub(seen) < UNACKNOWLEDGED) {
                return;
            }
        }
        if caught_up.changed().await.is_err() {
            return;
        }
    }
}
