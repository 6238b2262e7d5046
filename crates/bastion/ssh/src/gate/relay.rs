//! One channel of a client and one of a machine, and what passes between them: a shell, a command, or files. What there is
//! to see of it is recorded before it goes on, and what is done with files is asked and told one by one, where the protocol
//! says it. What is shown in a terminal, others may look at, and type in.

use std::collections::VecDeque;

use bytes::Bytes;
use ring::rand::{SecureRandom as _, SystemRandom};
use russh::ChannelMsg;
use tokio::sync::{Mutex, Notify, mpsc, oneshot};

use super::command::{Program, Way};
use super::guard::{Deed, FileEvent, Guard, NotUnderstood, SESSION_OVER, Side, Step, Verdict};
use super::rsync::Log;
use super::scp::Scp;
use super::sftp::Sftp;
use super::{Client, notice};
use crate::machine::Machine;
use crate::terminal::{self, Broken, Event, Exit, NotRecorded, Record, Size, Terminal};

/// Bytes of a command's output that are recorded. It may be a terabyte, and nobody reads that.
const SHOWN: usize = 1 << 20;
/// What a command's output is shown on, which has no screen.
const PAGE: Size = Size { columns: 80, rows: 24 };
/// Answers of the gate that wait for their turn.
const ANSWERS: usize = 16;
const SFTP: &str = "sftp";
/// The stream of errors (RFC 4254, 5.2).
const STDERR: u32 = 1;

/// Who says what may be done with files, and tells of it.
pub trait Warden: Send + 'static {
    /// The machine is told to run this.
    fn runs(&mut self, command: &str);

    /// Whether files may go these ways at this moment; none: whether they may go any.
    fn may(&mut self, ways: &[Way]) -> impl Future<Output = Verdict> + Send;

    /// Whether something may be done at this moment. When it may, it is known of.
    ///
    /// # Errors
    /// When it cannot be told; nothing more must be done then.
    fn admit(&mut self, wanted: &FileEvent) -> impl Future<Output = Result<Verdict, NotRecorded>> + Send;

    /// What came of it.
    ///
    /// # Errors
    /// When it cannot be told; nothing more must be done then.
    fn ended(&mut self, event: FileEvent) -> impl Future<Output = Result<(), NotRecorded>> + Send;
}

/// Why a session ended that did not end by itself.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// It could not go on.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// It wanted what it may not.
    #[error("{0}")]
    Refused(String),
    /// It copied files in a way that cannot be read.
    #[error(transparent)]
    NotUnderstood(#[from] NotUnderstood),
}

impl From<NotRecorded> for RelayError {
    fn from(error: NotRecorded) -> RelayError {
        RelayError::Broken(error.into())
    }
}

fn lost(_: russh::Error) -> RelayError {
    Broken::Lost.into()
}

/// The size of a client's terminal. One that does not know it says zero (RFC 4254, 6.2).
fn size(columns: u32, rows: u32) -> Size {
    let known = |said: u32, otherwise: u32| if said == 0 { otherwise } else { said };
    Size::new(known(columns, PAGE.columns), known(rows, PAGE.rows))
}

/// Who has to do with a session beside its client.
pub struct Beside {
    /// Hears of its terminal when a program begins in it. Without one, nothing can be looked at.
    pub terminal: oneshot::Sender<Terminal>,
    /// What the client is to be told, a line each. Only a terminal shows it.
    pub notices: mpsc::Receiver<String>,
}

/// What was asked of the machine and not answered yet.
enum Asked {
    Terminal,
    Program,
}

/// A run of rsync.
struct Rsync {
    log: Log,
    run: FileEvent,
    status: Option<u32>,
}

impl Rsync {
    fn over(self) -> FileEvent {
        match self.status {
            None => self.run.failed(SESSION_OVER),
            Some(_) if !self.log.has_said() => self.run.failed("NotTold"),
            Some(0) => self.run,
            Some(_) => self.run.failed("Failed"),
        }
    }
}

/// What goes on of what was said.
#[derive(Default)]
struct Moved {
    on: Vec<Bytes>,
    /// What the gate answers itself.
    back: Vec<Bytes>,
    /// Whether the rest has to wait for the other side.
    holds: bool,
}

impl Moved {
    fn all(data: Bytes) -> Moved {
        Moved { on: vec![data], ..Moved::default() }
    }
}

/// What is seen of a session.
struct Seen<R, W> {
    record: R,
    warden: W,
    /// What its output is shown on; what the client has may be none.
    terminal: Terminal,
    has_terminal: bool,
    has_program: bool,
    /// How much of a command's output is still recorded.
    room: usize,
    guard: Option<Box<dyn Guard>>,
    rsync: Option<Rsync>,
}

impl<R: Record, W: Warden> Seen<R, W> {
    async fn note(&mut self, event: Event<'_>) -> Result<(), NotRecorded> {
        self.terminal.note(&mut self.record, event).await
    }

    async fn size(&mut self, size: Size) -> Result<(), NotRecorded> {
        self.has_terminal = true;
        self.terminal.resize(&mut self.record, size).await
    }

    /// A program is begun, of which a channel has one.
    async fn begins(&mut self, what: Option<&str>) -> Result<(), RelayError> {
        if std::mem::replace(&mut self.has_program, true) {
            return Err(RelayError::Refused("one channel runs one program".to_owned()));
        }
        if let Some(what) = what {
            self.note(Event::Command(what)).await?;
            self.warden.runs(what);
        }
        Ok(())
    }

    async fn may(&mut self, ways: &[Way]) -> Result<Option<u64>, RelayError> {
        self.warden.may(ways).await.map_err(RelayError::Refused)
    }

    async fn subsystem(&mut self, name: &str) -> Result<(), RelayError> {
        self.begins(Some(&format!("subsystem {name}"))).await?;
        if name == SFTP {
            self.may(&[]).await?;
            self.guard = Some(Box::new(Sftp::default()));
        }
        Ok(())
    }

    /// Returns what the machine is to run.
    async fn command(&mut self, command: Vec<u8>) -> Result<Vec<u8>, RelayError> {
        self.begins(Some(&String::from_utf8_lossy(&command))).await?;
        match Program::of(&command) {
            Program::Other => {}
            Program::Sftp => {
                self.may(&[]).await?;
                self.guard = Some(Box::new(Sftp::default()));
            }
            Program::Scp(way) => {
                self.may(&[way]).await?;
                let source = if way == Way::Up { Side::Client } else { Side::Machine };
                self.guard = Some(Box::new(Scp::new(source)));
            }
            Program::Rsync(rsync) => {
                let ways = [rsync.way, if rsync.removes { Way::Up } else { rsync.way }];
                let most = self.may(&ways).await?;
                let mut options = Vec::new();
                let op = match (rsync.way, most) {
                    (Way::Up, most) => {
                        options.extend(most.map(|most| format!("--max-size={most}")));
                        Deed::Upload
                    }
                    (Way::Down, None) => Deed::Download,
                    // The client's rsync decides what it takes.
                    (Way::Down, Some(_)) => {
                        let text = "rsync cannot be held to a largest file (maximumFileBytes) from a machine: use scp or sftp";
                        return Err(RelayError::Refused(text.to_owned()));
                    }
                };
                let run = FileEvent::new(op, rsync.paths.as_bytes());
                self.warden.admit(&run).await?.map_err(RelayError::Refused)?;
                let log = Log::new(mark()?);
                options.extend(log.options());
                self.rsync = Some(Rsync { log, run, status: None });
                return Ok(rsync.with(&options).into_bytes());
            }
            Program::Unclear => {
                if self.may(&[Way::Up, Way::Down]).await?.is_some() {
                    let text = "this command copies files in a way that cannot be held to a largest one (maximumFileBytes)";
                    return Err(RelayError::Refused(text.to_owned()));
                }
            }
        }
        Ok(command)
    }

    async fn sent(&mut self, data: Bytes) -> Result<Moved, RelayError> {
        self.note(Event::Input(data.len())).await?;
        match &mut self.guard {
            Some(guard) => {
                guard.feed(Side::Client, &data);
                self.guarded(Side::Client).await
            }
            None => Ok(Moved::all(data)),
        }
    }

    async fn answered(&mut self, data: Bytes) -> Result<Moved, RelayError> {
        match &mut self.guard {
            Some(guard) => {
                guard.feed(Side::Machine, &data);
                self.note(Event::Passed(data.len())).await?;
                self.guarded(Side::Machine).await
            }
            // What rsync says is nothing to be seen.
            None if self.rsync.is_some() => {
                self.note(Event::Passed(data.len())).await?;
                Ok(Moved::all(data))
            }
            None => {
                self.shown(&data).await?;
                Ok(Moved::all(data))
            }
        }
    }

    /// What is in the stream of errors. Returns what of it goes on.
    async fn complained(&mut self, data: Bytes) -> Result<Bytes, RelayError> {
        let data = match &mut self.rsync {
            Some(rsync) => {
                let (rest, events) = rsync.log.read(&data);
                for event in events {
                    self.ended(event).await?;
                }
                rest.into()
            }
            None => data,
        };
        self.shown(&data).await?;
        Ok(data)
    }

    /// What is left of the stream of errors at its end.
    async fn last_words(&mut self) -> Result<Bytes, RelayError> {
        let rest = self.rsync.as_mut().map(|rsync| rsync.log.end()).unwrap_or_default();
        self.shown(&rest).await?;
        Ok(rest.into())
    }

    async fn guarded(&mut self, from: Side) -> Result<Moved, RelayError> {
        let mut moved = Moved::default();
        while let Some(guard) = &mut self.guard
            && let Some(step) = guard.next(from)?
        {
            match step {
                Step::Pass(bytes) => moved.on.push(bytes),
                Step::Answer(bytes) => moved.back.push(bytes),
                Step::Ask(event) => {
                    let verdict = self.warden.admit(&event).await?;
                    guard.decide(verdict);
                }
                Step::Ended(event) => self.ended(event).await?,
                Step::Hold => {
                    moved.holds = true;
                    break;
                }
            }
        }
        Ok(moved)
    }

    async fn shown(&mut self, data: &[u8]) -> Result<(), NotRecorded> {
        if self.has_terminal {
            return self.terminal.show(&mut self.record, data).await;
        }
        // Nobody looks at what has no terminal, so that it is made into text for the record alone.
        let room = if self.record.wants_output() { self.room } else { 0 };
        let (shown, rest) = data.split_at(data.len().min(room));
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

    async fn ended(&mut self, event: FileEvent) -> Result<(), NotRecorded> {
        if event.is_done() {
            self.note(Event::File(&event)).await?;
        }
        self.warden.ended(event).await
    }
}

/// Something that nobody can guess.
fn mark() -> Result<String, RelayError> {
    let mut bytes = [0; 16];
    let made = SystemRandom::new().fill(&mut bytes);
    made.map_err(|_| NotRecorded("there is no randomness".to_owned()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What stands between a client's channel and a machine's.
pub struct Relay<R, W> {
    seen: Mutex<Seen<R, W>>,
    terminal: Terminal,
    /// What those who look ask for.
    joined: Mutex<mpsc::Receiver<terminal::Asked>>,
}

impl<R: Record, W: Warden> Relay<R, W> {
    /// One through which nothing has passed.
    pub fn new(record: R, warden: W) -> Relay<R, W> {
        let (terminal, joined) = Terminal::new(PAGE);
        let seen = Seen {
            record,
            warden,
            terminal: terminal.clone(),
            has_terminal: false,
            has_program: false,
            room: SHOWN,
            guard: None,
            rsync: None,
        };
        Relay { seen: Mutex::new(seen), terminal, joined: Mutex::new(joined) }
    }

    /// Carries everything both ways until either side has enough.
    ///
    /// # Errors
    /// [`RelayError`].
    pub async fn run(&self, client: Client, machine: Machine, beside: Beside) -> Result<Exit, RelayError> {
        let ended = self.carry(client, &machine, beside).await;
        self.terminal.over(ended.as_ref().ok().cloned());
        machine.leave().await;
        ended
    }

    /// Tells what was not over when the session was, however it ended. Returns who told.
    ///
    /// # Errors
    /// When it cannot be told.
    pub async fn end(self) -> Result<W, NotRecorded> {
        let mut seen = self.seen.into_inner();
        let left = seen.guard.take().map(|mut guard| guard.end()).unwrap_or_default();
        for event in left {
            seen.ended(event).await?;
        }
        // The files of it are in the recording, each by itself.
        if let Some(rsync) = seen.rsync.take() {
            seen.warden.ended(rsync.over()).await?;
        }
        Ok(seen.warden)
    }

    async fn carry(&self, client: Client, machine: &Machine, beside: Beside) -> Result<Exit, RelayError> {
        let Client { channel, end } = client;
        let Beside { terminal: begins, mut notices } = beside;
        let mut begins = Some(begins);
        let mut joined = self.joined.lock().await;
        let (mut from_client, to_client) = channel.split();
        let (mut from_machine, to_machine) = machine.channel().await.map_err(lost)?.split();
        let (seen, asked) = (&self.seen, Mutex::new(VecDeque::new()));
        // Each direction is one task's, so that what the gate says itself stands between what others say.
        let (say_to_client, mut for_client) = mpsc::channel::<Bytes>(ANSWERS);
        let (say_to_machine, mut for_machine) = mpsc::channel::<Bytes>(ANSWERS);
        let machine_said = Notify::new();
        // Apart, as each may have to wait for its other end without keeping the other direction from going on.
        let into = async {
            let begun = async |begins: &mut Option<oneshot::Sender<Terminal>>| {
                if seen.lock().await.has_terminal
                    && let Some(begins) = begins.take()
                {
                    // Nobody may want to know.
                    let _ = begins.send(self.terminal.clone());
                }
            };
            loop {
                let message = tokio::select! {
                    message = from_client.wait() => message,
                    Some(bytes) = for_machine.recv() => {
                        to_machine.data_bytes(bytes).await.map_err(lost)?;
                        continue;
                    }
                    // The size is the client's, whoever else looks.
                    Some(asked) = joined.recv() => match asked {
                        terminal::Asked::Input(data) => Some(ChannelMsg::Data { data: data.into() }),
                        _ => continue,
                    },
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
                        seen.lock().await.begins(None).await?;
                        asked.lock().await.push_back(Asked::Program);
                        to_machine.request_shell(true).await.map_err(lost)?;
                        begun(&mut begins).await;
                    }
                    ChannelMsg::Exec { command, .. } => {
                        let command = seen.lock().await.command(command).await?;
                        asked.lock().await.push_back(Asked::Program);
                        to_machine.exec(true, command).await.map_err(lost)?;
                        begun(&mut begins).await;
                    }
                    ChannelMsg::RequestSubsystem { name, .. } => {
                        seen.lock().await.subsystem(&name).await?;
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
                        let mut moved = seen.lock().await.sent(data).await?;
                        loop {
                            for bytes in moved.on {
                                to_machine.data_bytes(bytes).await.map_err(lost)?;
                            }
                            for bytes in moved.back {
                                say_to_client.send(bytes).await.map_err(|_| Broken::Lost)?;
                            }
                            if !moved.holds {
                                break;
                            }
                            machine_said.notified().await;
                            moved = seen.lock().await.guarded(Side::Client).await?;
                        }
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
                    Some(bytes) = for_client.recv() => {
                        to_client.data_bytes(bytes).await.map_err(lost)?;
                        continue;
                    }
                };
                let Some(message) = message else { break };
                match message {
                    ChannelMsg::Data { data } => {
                        let moved = seen.lock().await.answered(data).await?;
                        for bytes in moved.on {
                            to_client.data_bytes(bytes).await.map_err(lost)?;
                        }
                        for bytes in moved.back {
                            say_to_machine.send(bytes).await.map_err(|_| Broken::Lost)?;
                        }
                        machine_said.notify_one();
                    }
                    ChannelMsg::ExtendedData { data, ext } => {
                        let data = seen.lock().await.complained(data).await?;
                        if !data.is_empty() {
                            to_client.extended_data_bytes(ext, data).await.map_err(lost)?;
                        }
                    }
                    ChannelMsg::Success => drop(asked.lock().await.pop_front()),
                    ChannelMsg::Failure => {
                        let what: &[u8] = match asked.lock().await.pop_front() {
                            Some(Asked::Terminal) => {
                                b"sekisho: the machine's SSH server gives no terminal\r\n"
                            }
                            Some(Asked::Program) | None => {
                                b"sekisho: the machine's SSH server does not do this\r\n"
                            }
                        };
                        let what = Bytes::from_static(what);
                        to_client.extended_data_bytes(STDERR, what).await.map_err(lost)?;
                    }
                    ChannelMsg::ExitStatus { exit_status } => {
                        exit = Exit::Status(exit_status);
                        if let Some(rsync) = &mut seen.lock().await.rsync {
                            rsync.status = Some(exit_status);
                        }
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
                    ChannelMsg::Eof => {
                        let rest = seen.lock().await.last_words().await?;
                        if !rest.is_empty() {
                            to_client.extended_data_bytes(STDERR, rest).await.map_err(lost)?;
                        }
                        to_client.eof().await.map_err(lost)?;
                    }
                    ChannelMsg::Close => break,
                    _ => {}
                }
            }
            if exit == Exit::Unknown {
                return Err(Broken::Lost.into());
            }
            to_client.close().await.map_err(lost)?;
            Ok(exit)
        };
        tokio::select! {
            ended = into => ended,
            ended = out => ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps what it hears of, or of output only that there was some.
    struct Kept {
        is_full: bool,
        heard: String,
    }

    impl Record for Kept {
        fn wants_output(&self) -> bool {
            self.is_full
        }

        async fn note(
            &mut self,
            event: Event<'_>,
            _: &(dyn Fn() -> String + Sync),
        ) -> Result<(), NotRecorded> {
            self.heard.push_str(&format!("{event:?} "));
            Ok(())
        }
    }

    struct Nobody;

    impl Warden for Nobody {
        fn runs(&mut self, _: &str) {}

        async fn may(&mut self, _: &[Way]) -> Verdict {
            Ok(None)
        }

        async fn admit(&mut self, _: &FileEvent) -> Result<Verdict, NotRecorded> {
            Ok(Ok(None))
        }

        async fn ended(&mut self, _: FileEvent) -> Result<(), NotRecorded> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn output_without_a_terminal_is_text_for_a_record_that_keeps_it_and_counted_for_one_that_does_not()
    {
        for (is_full, heard) in [(true, "Output(\"a\\r\\nb\") "), (false, "Passed(3) ")] {
            let relay = Relay::new(Kept { is_full, heard: String::new() }, Nobody);
            let mut seen = relay.seen.lock().await;
            seen.shown(b"a\nb").await.unwrap();
            assert_eq!(seen.record.heard, heard);
            // A terminal is looked at by others, recorded or not.
            seen.has_terminal = true;
            seen.shown(b"$ ").await.unwrap();
            assert!(seen.record.heard.ends_with("Output(\"$ \") "), "{}", seen.record.heard);
        }
    }
}
