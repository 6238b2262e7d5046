//! Sessions that are shown in this process, a [`terminal`](super::terminals) or a [`desktop`](super::desktops) each, and who
//! looks at them. One of a browser goes on while nobody looks at it, for a while, so that whoever lost the network finds it
//! as it was; one of a native client ([`native`](super::native)) ends with its client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use sekisho_bastion::host::{BastionHost, Recording};
use sekisho_bastion_desktop::{self as desktop, Desktop};
use sekisho_bastion_ssh::files::{Files, FilesError};
use sekisho_bastion_ssh::terminal::wire::{Mode, Watcher};
use sekisho_bastion_ssh::terminal::{self, Terminal};
use tokio::sync::{broadcast, watch};
use uuid::Uuid;

use super::Allowed;
use super::files::Uploads;
use super::limits::Limits;
use super::login::Login;
use super::recorder::Recorder;
use super::tokens::Tokens;
use crate::authn::Caller;

/// How long a session goes on that nobody looks at.
const ALONE: Duration = Duration::from_secs(300);
/// Messages that wait for a viewer who is slow.
const MESSAGES: usize = 16;

/// The sessions that this process shows, and the secrets by which browsers look at them.
#[derive(Default)]
pub(super) struct Shown {
    open: Mutex<HashMap<Uuid, Arc<Open>>>,
    pub(super) secrets: Tokens<Entry>,
}

/// What a secret lets somebody do.
pub(super) struct Entry {
    /// Look at this.
    pub(super) open: Arc<Open>,
    /// As whom.
    pub(super) viewer: Viewer,
}

/// Who looks at a session.
pub(super) enum Viewer {
    /// Whose it is.
    Owner,
    /// Somebody else, who may for as long as they would be let in again.
    Other { caller: Box<Caller>, headers: HeaderMap, mode: Mode },
}

/// What is to be seen.
pub(super) enum Screen {
    Terminal(Terminal),
    Desktop(Desktop),
}

impl Screen {
    /// The subprotocol by which a browser sees it.
    pub(super) fn protocol(&self) -> &'static str {
        match self {
            Screen::Terminal(_) => terminal::wire::PROTOCOL,
            Screen::Desktop(_) => desktop::wire::PROTOCOL,
        }
    }
}

/// A session that is shown.
pub(super) struct Open {
    pub(super) id: Uuid,
    pub(super) allowed: Allowed,
    pub(super) host: BastionHost,
    pub(super) screen: Screen,
    /// How long it may last.
    pub(super) limits: Arc<Limits>,
    /// How many of its owner's views there are.
    pub(super) views: watch::Sender<usize>,
    /// Who else looks.
    pub(super) watchers: watch::Sender<Vec<Watcher>>,
    /// What is said to everybody who looks.
    pub(super) said: broadcast::Sender<(String, String)>,
    /// The files of its account; a native client has its own ways to them, and a desktop has none.
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
    pub(super) fn new(login: &Login, allowed: Allowed, screen: Screen, files: Option<Files>) -> Arc<Open> {
        Arc::new(Open {
            id: login.id(),
            allowed,
            host: login.host.clone(),
            screen,
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

    /// Its account on the machine; empty when it has none.
    pub(super) fn account(&self) -> &str {
        self.allowed.what.account().map_or("", |account| account.as_str())
    }

    /// What is kept of it.
    pub(super) fn recorded(&self) -> Recording {
        self.host.recording(self.allowed.what.is_administrators())
    }

    /// The files of its account.
    ///
    /// # Errors
    /// Of a native client's and of a desktop's there are none.
    pub(super) fn files(&self) -> Result<&Files, FilesError> {
        self.files.as_ref().ok_or(FilesError::Over)
    }

    /// Until nobody has looked at it for too long.
    pub(super) async fn until_alone(&self) {
        let mut views = self.views.subscribe();
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
}

impl Shown {
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
