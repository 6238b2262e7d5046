//! A login on a machine from its beginning to its end, whether it is shown in a browser ([`terminals`](super::terminals),
//! [`desktops`](super::desktops)) or to a native client ([`gate`](super::gate)): nothing begins that cannot be recorded, and
//! what has begun is held to what it was allowed by, and its end is kept.

use std::sync::Arc;

use http::HeaderMap;
use sekisho_arm::{ArmError, Scope};
use sekisho_bastion::host::BastionHost;
use sekisho_bastion::machine as servers;
use sekisho_bastion_desktop as desktop;
use sekisho_bastion_ssh::certificate::{Pass, Permits, Person};
use sekisho_bastion_ssh::machine::{LoginError, Machine};
use sekisho_bastion_ssh::russh;
use sekisho_bastion_ssh::terminal::{Broken, Exit, NotRecorded, Size};
use sekisho_link::ticket::{self, principal};
use uuid::Uuid;

use super::limits::Limits;
use super::live::{self, Bytes};
use super::recorder::Recorder;
use super::{Allowed, Started, What, tunnels};
use crate::app::App;

/// A login that lasts.
pub(super) struct Login {
    app: Arc<App>,
    begun: live::Begun,
    bytes: Arc<Bytes>,
    pub(super) host: BastionHost,
    pub(super) limits: Arc<Limits>,
    pub(super) recorder: Recorder,
}

/// Why a program ended that did not end by itself.
pub(super) enum Stopped {
    /// It could not go on.
    Broken(Broken),
    /// It did what it may not, in one word.
    Did(&'static str),
}

impl From<Broken> for Stopped {
    fn from(broken: Broken) -> Stopped {
        Stopped::Broken(broken)
    }
}

/// Whether a session ended because it was left, or lost. What somebody left running goes on then, as after every login.
fn is_left(why: &str) -> bool {
    matches!(why, "Closed" | "Lost")
}

/// How one ended.
pub(super) struct Ended {
    /// In one word.
    pub(super) why: &'static str,
    /// How its program did.
    exit: Option<Exit>,
}

impl From<desktop::Broken> for Stopped {
    fn from(broken: desktop::Broken) -> Stopped {
        Stopped::Broken(match broken {
            desktop::Broken::Record(error) => Broken::Record(NotRecorded(error.0)),
            desktop::Broken::Protocol(_) | desktop::Broken::Io(_) => Broken::Lost,
        })
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
async fn log_in(
    app: &App,
    id: Uuid,
    allowed: &Allowed,
    stream: tunnels::Stream,
) -> Result<Machine, ArmError> {
    let What::Login(ticket::Login { account, .. }) = &allowed.what else { return Err(ArmError::internal()) };
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
fn does_not_begin(id: Uuid, error: &NotRecorded) -> ArmError {
    tracing::error!(%error, session = %id, "a session cannot be recorded and does not begin");
    let text = "The session cannot be recorded, as it must be; it did not begin. See the server's log.";
    ArmError::new(503, "RecordingFailed", text)
}

impl Login {
    /// Begins a session, has something started through its stream, and begins to record. `size` is that of what is shown:
    /// columns and rows, or pixels.
    ///
    /// # Errors
    /// Those of who may, of the machine, and of what cannot be recorded. The machine is left again then.
    pub(super) async fn begin<T, W>(
        app: &Arc<App>,
        allowed: &Allowed,
        size: (u32, u32),
        start: impl FnOnce(Uuid, tunnels::Stream) -> W + Send,
    ) -> Result<(Login, T), ArmError>
    where
        T: Send,
        W: Future<Output = Result<T, ArmError>> + Send,
    {
        let Started { begun, stream, host, key } = super::begin(app, allowed).await?;
        let id = begun.id();
        let bytes = Arc::new(Bytes::default());
        let started = async {
            let started = start(id, stream).await?;
            let recorder = Recorder::begin(app, begun.session(), size, key, bytes.clone()).await;
            Ok::<_, ArmError>((started, recorder.map_err(|error| does_not_begin(id, &error))?))
        };
        match started.await {
            Ok((started, recorder)) => {
                let limits = Arc::new(Limits::of(begun.since(), (&host, allowed), bytes.clone()));
                Ok((Login { app: app.clone(), begun, bytes, host, limits, recorder }, started))
            }
            Err(error) => {
                begun.give_up(app, &error.code).await?;
                Err(error)
            }
        }
    }

    /// Logs in at the machine's SSH server, and has something started there.
    ///
    /// # Errors
    /// As [`begin`](Login::begin).
    pub(super) async fn over_ssh<T, W>(
        app: &Arc<App>,
        allowed: &Allowed,
        size: Size,
        start: impl FnOnce(Machine) -> W + Send,
    ) -> Result<(Login, T), ArmError>
    where
        T: Send,
        W: Future<Output = Result<T, russh::Error>> + Send,
    {
        let begun = Login::begin(app, allowed, (size.columns, size.rows), async |id, stream| {
            let machine = log_in(app, id, allowed, stream).await?;
            start(machine).await.map_err(|error| refused(&LoginError::Protocol(error)))
        });
        begun.await
    }

    /// What it is called.
    pub(super) fn id(&self) -> Uuid {
        self.begun.id()
    }

    /// Why it ends when what was done in it cannot be kept.
    pub(super) fn not_recorded(&self, error: &NotRecorded) -> &'static str {
        tracing::error!(%error, session = %self.id(), "a session ends that cannot be recorded");
        "RecordingFailed"
    }

    /// Has its program run for as long as it may, and then put away what is to be put away on the machine.
    pub(super) async fn hold<E: Into<Stopped>>(
        &self,
        allowed: &Allowed,
        headers: HeaderMap,
        program: impl Future<Output = Result<Exit, E>>,
        put_away: impl Future<Output = ()>,
    ) -> Ended {
        let mut exit = None;
        let work = async {
            tokio::select! {
                ended = program => match ended {
                    Ok(how) => {
                        exit = Some(how).filter(|how| *how != Exit::Unknown);
                        "Closed"
                    }
                    Err(why) => match why.into() {
                        Stopped::Broken(Broken::Record(error)) => self.not_recorded(&error),
                        Stopped::Broken(Broken::Lost) => "Lost",
                        Stopped::Did(what) => what,
                    },
                },
                error = self.recorder.flush() => self.not_recorded(&error),
            }
        };
        let why = {
            tokio::pin!(work);
            let why = live::hold(&self.app, allowed, headers, &self.begun, &self.limits, work.as_mut()).await;
            put_away.await;
            // Its connection lasts until then: it is what the machine finds by what runs in it.
            if !is_left(why) && matches!(allowed.what, What::Login(_)) {
                self.cut(&allowed.machine).await;
            }
            why
        };
        Ended { why, exit }
    }

    /// Has everything end on the machine that runs in it.
    async fn cut(&self, machine: &Scope) {
        let session = self.id();
        match self.app.bastion.tunnels.cut(&self.app.agents, machine, session).await {
            Some(processes) => {
                tracing::info!(%session, processes, "the machine has ended what ran in a session")
            }
            None => {
                let machine = machine.to_string();
                tracing::warn!(%session, machine, "the machine does not say that what ran in a session has ended");
            }
        }
    }

    /// Takes note of its end. Returns why that was.
    pub(super) async fn end(self, Ended { why, exit }: Ended) -> &'static str {
        let id = self.id();
        let recorded = self.recorder.close(exit).await;
        if let Err(error) = self.begun.over(&self.app, why, self.bytes.both(), recorded).await {
            tracing::error!(%error, session = %id, "the end of a session could not be kept");
        }
        why
    }
}
