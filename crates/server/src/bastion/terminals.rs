//! Terminals that are open in this process. One of a browser goes on while nobody looks at it, for a while, so that whoever
//! lost the network finds it as it was; one of a native client ([`native`](super::native)) ends with its client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use sekisho_arm::ArmError;
use sekisho_bastion::host::{BastionHost, Recording};
use sekisho_bastion_ssh::files::{Files, FilesError};
use sekisho_bastion_ssh::terminal::wire::{Mode, Watcher};
use sekisho_bastion_ssh::terminal::{self, Broken, Pump, Size, Terminal};
use tokio::sync::{broadcast, watch};
use uuid::Uuid;

use super::files::{self, Uploads};
use super::limits::Limits;
use super::login::Login;
use super::recorder::Recorder;
use super::tokens::Tokens;
use super::{Allowed, What};
use crate::app::App;
use crate::authn::Caller;

/// How long a terminal goes on that nobody looks at.
const ALONE: Duration = Duration::from_secs(300);
/// Messages that wait for a viewer who is slow.
const MESSAGES: usize = 16;

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
    /// How long it may last.
    pub(super) limits: Arc<Limits>,
    /// How many of its owner's views there are.
    pub(super) views: watch::Sender<usize>,
    /// Who else looks.
    pub(super) watchers: watch::Sender<Vec<Watcher>>,
    /// What is said to everybody who looks.
    pub(super) said: broadcast::Sender<(String, String)>,
    /// The files of its account; a native client has its own ways to them.
    files: Option<Files>,
    /// What is being sent to the machine.
    pub(super) uploads: Uploads,
    /// What is recorded.
    pub(super) recorder: Recorder,
    /// Why it has ended, once it has.
    pub(super) ended: watch::Sender<Option<&'static str>>,
}

impl Open {
    /// One of a login that nobody looks at yet.
    pub(super) fn new(
        login: &Login,
        allowed: Allowed,
        terminal: Terminal,
        files: Option<Files>,
    ) -> Arc<Open> {
        Arc::new(Open {
            id: login.id(),
            allowed,
            host: login.host.clone(),
            terminal,
            limits: login.limits.clone(),
            views: watch::Sender::new(0),
            watchers: watch::Sender::new(Vec::new()),
            said: broadcast::Sender::new(MESSAGES),
            files,
            uploads: Uploads::default(),
            recorder: login.recorder.clone(),
            ended: watch::Sender::new(None),
        })
    }

    /// Its account on the machine.
    pub(super) fn account(&self) -> &str {
        match &self.allowed.what {
            What::Login(login) => login.account.as_str(),
            What::Port(_) | What::Near(_) => "",
        }
    }

    /// What is kept of it.
    pub(super) fn recorded(&self) -> Recording {
        let administrator = matches!(&self.allowed.what, What::Login(login) if login.administrator);
        self.host.recording(administrator)
    }

    /// The files of its account.
    ///
    /// # Errors
    /// Of a native client's there are none.
    pub(super) fn files(&self) -> Result<&Files, FilesError> {
        self.files.as_ref().ok_or(FilesError::Over)
    }
}

impl Terminals {
    /// One that is open.
    pub(super) fn get(&self, id: Uuid) -> Option<Arc<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// One that is open in somebody's browser.
    pub(super) fn of(&self, id: Uuid, owner: Uuid) -> Option<Arc<Open>> {
        self.get(id).filter(|open| open.allowed.caller.principal == owner && !open.allowed.native)
    }

    /// It is open from now on.
    pub(super) fn enter(&self, open: Arc<Open>) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(open.id, open);
    }

    /// Nobody finds it any more.
    pub(super) fn leave(&self, id: Uuid) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
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
    let begun = Login::begin(app, &allowed, size, |machine| terminal::start(machine, size));
    let (login, (terminal, pump, files)) = begun.await?;
    let open = Open::new(&login, allowed, terminal, Some(files));
    app.bastion.terminals.enter(open.clone());
    tokio::spawn(carry(app.clone(), open.clone(), headers, login, pump));
    Ok(open)
}

/// Carries a terminal to its end.
async fn carry(app: Arc<App>, open: Arc<Open>, headers: HeaderMap, login: Login, pump: Pump) {
    let shell = async {
        tokio::select! {
            ended = pump.run(open.recorder.clone()) => ended,
            () = until_alone(&open) => Err(Broken::Lost),
        }
    };
    let ended = login.hold(&open.allowed, headers, shell).await;
    app.bastion.terminals.leave(open.id);
    files::end(&app, &open).await;
    let why = login.end(ended).await;
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
