//! Terminals that are open in this process: each goes on while nobody looks at it, for a while, so that whoever lost the
//! network finds it as it was.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use sekisho_arm::ArmError;
use sekisho_bastion::host::BastionHost;
use sekisho_bastion::machine as servers;
use sekisho_bastion_ssh::certificate::{Pass, Permits, Person};
use sekisho_bastion_ssh::machine::{LoginError, Machine};
use sekisho_bastion_ssh::terminal::wire::{Mode, Watcher};
use sekisho_bastion_ssh::terminal::{self, Broken, NotRecorded, Pump, Size, Terminal};
use sekisho_link::ticket::{Login, principal};
use time::OffsetDateTime;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::files::{self, Uploads};
use super::live::{self, Bytes};
use super::recorder::Recorder;
use super::tokens::Tokens;
use super::{Allowed, Started, What, tunnels};
use crate::app::App;
use crate::authn::Caller;

/// How long a terminal goes on that nobody looks at.
const ALONE: Duration = Duration::from_secs(300);
/// Messages that wait for a viewer who is slow.
const MESSAGES: usize = 16;
/// How long before its end people are warned.
pub(super) const WARNING: Duration = Duration::from_secs(60);

/// The terminals of this process, and the secrets by which browsers look at them.
#[derive(Default)]
pub(super) struct Terminals {
    open: Mutex<HashMap<Uuid, Arc<Open>>>,
    pub(super) secrets: Tokens<Entry>,
}

/// What a secret lets somebody do.
pub(super) struct Entry {
    /// Look at this.
    pub(super) terminal: Arc<Open>,
    /// As whom.
    pub(super) viewer: Viewer,
}

/// Who looks at a terminal.
pub(super) enum Viewer {
    /// Whose it is.
    Owner,
    /// Somebody else, who may for as long as they would be let in again.
    Other { caller: Box<Caller>, headers: HeaderMap, mode: Mode },
}

/// A terminal that is open.
pub(super) struct Open {
    pub(super) id: Uuid,
    pub(super) allowed: Allowed,
    pub(super) host: BastionHost,
    pub(super) terminal: Terminal,
    /// Until when it may last.
    pub(super) until: OffsetDateTime,
    /// How many of its owner's views there are.
    pub(super) views: watch::Sender<usize>,
    /// Who else looks.
    pub(super) watchers: watch::Sender<Vec<Watcher>>,
    /// What is said to everybody who looks.
    pub(super) said: broadcast::Sender<(String, String)>,
    /// What is being sent to the machine.
    pub(super) uploads: Uploads,
    /// What is recorded.
    pub(super) recorder: Recorder,
    /// Why it has ended, once it has.
    pub(super) ended: watch::Sender<Option<&'static str>>,
}

impl Open {
    /// Its account on the machine.
    pub(super) fn account(&self) -> &str {
        match &self.allowed.what {
            What::Login(login) => login.account.as_str(),
            What::Port(_) | What::Near(_) => "",
        }
    }

    /// After how long without typing it ends.
    pub(super) fn idle(&self) -> Option<Duration> {
        self.host.idle()
    }

    /// When it ends unless somebody types, if it does.
    pub(super) fn idle_end(&self) -> Option<Instant> {
        self.idle().map(|idle| Instant::from_std(self.terminal.typed()) + idle)
    }
}

impl Terminals {
    /// One that is open.
    pub(super) fn get(&self, id: Uuid) -> Option<Arc<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// One that is open and somebody's.
    pub(super) fn of(&self, id: Uuid, owner: Uuid) -> Option<Arc<Open>> {
        self.get(id).filter(|open| open.allowed.caller.principal == owner)
    }

    fn enter(&self, open: Arc<Open>) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(open.id, open);
    }

    fn leave(&self, id: Uuid) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

fn refused(error: &LoginError) -> ArmError {
    let code = match error {
        LoginError::HostKey => "HostKeyUnknown",
        LoginError::Refused => "LoginRefused",
        LoginError::Slow | LoginError::Protocol(_) => "TargetNotReachable",
    };
    ArmError::new(502, code, format!("Not logged in: {error}."))
}

/// Logs in through a stream.
pub(super) async fn log_in(
    app: &App,
    id: Uuid,
    allowed: &Allowed,
    stream: tunnels::Stream,
) -> Result<Machine, ArmError> {
    let What::Login(Login { account, .. }) = &allowed.what else { return Err(ArmError::internal()) };
    let known = servers::of(&mut app.store.read().await?, &allowed.machine).await?.unwrap_or_default();
    let named = format!("sekisho:{id}:{}", allowed.caller.name);
    let principal = principal(id);
    let permits = Permits { terminal: true, ..Permits::default() };
    let person = Person { named: &named, principal: &principal, permits };
    let pass = Pass::issue(&app.keys.get().ssh_users, &person).map_err(|error| {
        tracing::error!(%error, "a session's certificate could not be made");
        ArmError::internal()
    })?;
    let machine = Machine::log_in(stream, account.as_str(), pass, &known.host_keys).await;
    machine.map_err(|error| refused(&error))
}

/// What is said of a session that would have to be recorded and cannot be.
pub(super) fn not_recorded(id: Uuid, error: &NotRecorded) -> ArmError {
    tracing::error!(%error, session = %id, "a session cannot be recorded and does not begin");
    let text = "The session cannot be recorded, as it must be; it did not begin. See the server's log.";
    ArmError::new(503, "RecordingFailed", text)
}

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
    let Started { begun, stream, host, key } = super::begin(app, &allowed).await?;
    let id = begun.id();
    let bytes = Arc::new(Bytes::default());
    let started = async {
        let machine = log_in(app, id, &allowed, stream).await?;
        let shell = terminal::start(machine, size).await;
        let (terminal, pump) = shell.map_err(|error| refused(&LoginError::Protocol(error)))?;
        let recorder = Recorder::begin(app, begun.session(), size, key, bytes.clone()).await;
        Ok((terminal, pump, recorder.map_err(|error| not_recorded(id, &error))?))
    };
    let (terminal, pump, recorder) = match started.await {
        Ok(started) => started,
        Err(error) => {
            let error: ArmError = error;
            begun.give_up(app, &error.code).await?;
            return Err(error);
        }
    };
    let lasts = allowed.lasts(Duration::from_secs(u64::from(host.longest()) * 60));
    let until = OffsetDateTime::now_utc() + lasts;
    let (views, ended) = (watch::Sender::new(0), watch::Sender::new(None));
    let (watchers, said) = (watch::Sender::new(Vec::new()), broadcast::Sender::new(MESSAGES));
    let uploads = Uploads::default();
    let open = Open { id, allowed, host, terminal, until, views, watchers, said, uploads, recorder, ended };
    let open = Arc::new(open);
    app.bastion.terminals.enter(open.clone());
    tokio::spawn(carry(app.clone(), open.clone(), (headers, lasts), begun, pump, bytes));
    Ok(open)
}

/// Carries a terminal to its end.
async fn carry(
    app: Arc<App>,
    open: Arc<Open>,
    (headers, lasts): (HeaderMap, Duration),
    begun: live::Begun,
    pump: Pump,
    bytes: Arc<Bytes>,
) {
    let recorder = open.recorder.clone();
    let not_recorded = |error: NotRecorded| {
        tracing::error!(%error, session = %open.id, "a session ends that cannot be recorded");
        "RecordingFailed"
    };
    let work = async {
        tokio::select! {
            ended = pump.run(recorder.clone()) => match ended {
                Ok(_) => "Closed",
                Err(Broken::Record(error)) => not_recorded(error),
                Err(Broken::Lost) => "Lost",
            },
            error = recorder.flush() => not_recorded(error),
            () = until_alone(&open) => "Lost",
            () = until_idle(&open) => "Idle",
        }
    };
    let why = live::hold(&app, &open.allowed, headers, &begun, lasts, work).await;
    app.bastion.terminals.leave(open.id);
    files::end(&app, &open).await;
    let recorded = recorder.close(open.terminal.exit()).await;
    if let Err(error) = begun.over(&app, why, bytes.both(), recorded).await {
        tracing::error!(%error, session = %open.id, "the end of a session could not be kept");
    }
    open.ended.send_replace(Some(why));
}

/// Until nobody has looked at it for too long.
async fn until_alone(open: &Open) {
    let mut views = open.views.subscribe();
    loop {
        let alone = *views.borrow_and_update() == 0;
        let changed = views.changed();
        if !alone {
            if changed.await.is_err() {
                return;
            }
        } else if tokio::time::timeout(ALONE, changed).await.is_err() {
            return;
        }
    }
}

/// Until nobody has typed for too long.
async fn until_idle(open: &Open) {
    loop {
        let Some(end) = open.idle_end() else { return std::future::pending().await };
        if end <= Instant::now() {
            return;
        }
        sleep_until(end).await;
    }
}
