//! A terminal on a machine that people look at from browsers: one program behind a PTY, whose output is kept for a while
//! so that whoever lost the network goes on where they were, and whose screen is known so that whoever comes later sees
//! what there is.
//!
//! [`Pump::run`] carries bytes between the machine and the [`Terminal`]; every viewer has a [`View`] of it. The owner's view holds
//! the machine back: what is not acknowledged is not read, so that a program that never stops talking fills nobody's
//! memory. Other views never do: who is too slow loses output and is shown the screen instead.

mod backlog;
mod screen;
mod view;
pub mod wire;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Pty};
use tokio::sync::{mpsc, watch};

use self::backlog::Backlog;
pub(crate) use self::screen::Screen;
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
    /// Notes what happens, before anybody sees it. `screen` says what is on the screen after it, as text that restores it.
    fn note(
        &mut self,
        event: Event<'_>,
        screen: &(dyn Fn() -> String + Sync),
    ) -> impl Future<Output = Result<(), NotRecorded>> + Send;
}

/// What is asked of the program.
#[derive(Debug)]
enum Asked {
    Input(Vec<u8>),
    Size(Size),
}

struct State {
    backlog: Backlog,
    screen: Screen,
    size: Size,
    /// Up to where the owner has seen the output; none while nobody looks, when nothing is held back.
    seen: Option<u64>,
    exit: Option<Exit>,
    typed: Instant,
}

struct Shared {
    state: Mutex<State>,
    /// Something is new to be seen.
    news: watch::Sender<()>,
    /// The owner has seen more.
    caught_up: watch::Sender<()>,
    asked: mpsc::Sender<Asked>,
    files: Files,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A terminal. It lives as long as somebody has it, and takes [leave](Files::leave) of its machine when it is told to.
#[derive(Clone)]
pub struct Terminal(Arc<Shared>);

/// A terminal's end on the machine, to be [run](Pump::run).
pub struct Pump {
    shared: Arc<Shared>,
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

/// Begins a login shell in a terminal.
///
/// # Errors
/// When the machine does not give one.
pub async fn start(machine: Machine, size: Size) -> Result<(Terminal, Pump), russh::Error> {
    let channel: Channel<Msg> = machine.channel().await?;
    // What is typed and shown here is UTF-8, which a shell without a locale would not take. The language stays the
    // machine's; one whose server does not accept this (AcceptEnv) does without. The mode (RFC 8160) has a line be edited
    // by characters also where no shell does that.
    channel.set_env(false, "LC_CTYPE", "C.UTF-8").await?;
    channel.request_pty(true, TERM, size.columns, size.rows, 0, 0, &[(Pty::IUTF8, 1)]).await?;
    channel.request_shell(true).await?;
    let (read, write) = channel.split();
    let (asked_of, asked) = mpsc::channel(INPUT);
    let state = State {
        backlog: Backlog::default(),
        screen: Screen::new(size),
        size,
        seen: None,
        exit: None,
        typed: Instant::now(),
    };
    let (news, caught_up) = (watch::Sender::new(()), watch::Sender::new(()));
    let files = Files::new(machine);
    let shared = Arc::new(Shared { state: Mutex::new(state), news, caught_up, asked: asked_of, files });
    Ok((Terminal(shared.clone()), Pump { shared, asked, read, write }))
}

impl Terminal {
    /// A look at it. `have` is up to where the viewer has the output. Only the owner's holds the machine back.
    pub fn view(&self, have: u64, is_owner: bool) -> View {
        View::new(self.0.clone(), have, is_owner)
    }

    /// The number of the next byte of output.
    pub fn end(&self) -> u64 {
        self.0.lock().backlog.end()
    }

    /// When somebody typed last.
    pub fn typed(&self) -> Instant {
        self.0.lock().typed
    }

    /// The files of its account.
    pub fn files(&self) -> &Files {
        &self.0.files
    }

    /// How the program ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        self.0.lock().exit.clone()
    }
}

impl Pump {
    /// Carries bytes both ways until the program ends. What is recorded is recorded before anybody sees it.
    ///
    /// # Errors
    /// [`Broken`].
    pub async fn run(self, record: impl Record) -> Result<Exit, Broken> {
        let Pump { shared, mut asked, mut read, write } = self;
        let record = tokio::sync::Mutex::new(record);
        // Apart, as each may have to wait for the other end without keeping the other direction from going on.
        let into = async {
            while let Some(what) = asked.recv().await {
                match what {
                    Asked::Input(bytes) => {
                        note(&record, &shared, Event::Input(bytes.len())).await?;
                        write.data_bytes(bytes).await.map_err(|_| Broken::Lost)?;
                    }
                    Asked::Size(size) => {
                        {
                            let mut state = shared.lock();
                            state.size = size;
                            state.screen.resize(size);
                        }
                        shared.news.send_replace(());
                        note(&record, &shared, Event::Size(size)).await?;
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
                        let text = shared.lock().screen.feed(&data);
                        note(&record, &shared, Event::Output(&text)).await?;
                        shared.lock().backlog.push(&data);
                        shared.news.send_replace(());
                        until_seen(&shared).await;
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
        if let Ok(exit) = &ended {
            shared.lock().exit = Some(exit.clone());
        }
        shared.news.send_replace(());
        ended
    }
}

async fn note(
    record: &tokio::sync::Mutex<impl Record>,
    shared: &Shared,
    event: Event<'_>,
) -> Result<(), NotRecorded> {
    let screen = || shared.lock().screen.dump();
    record.lock().await.note(event, &screen).await
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
