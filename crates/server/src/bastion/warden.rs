//! What SSH clients do with files: whether the bastion host, as it is kept at that moment, allows it, and the activity log
//! of it. The log knows of each file before anything is done with it, as it does of files in a browser; how it ended, it is
//! told without anybody waiting. A session that does more than so much is told of by counts, so that nobody fills the log.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sekisho_arm::{AuditEntry, Outcome, Phase, StoreError};
use sekisho_bastion::host::BastionHost;
use sekisho_bastion_ssh::gate::{Deed, FileEvent, Verdict, Warden, Way};
use sekisho_bastion_ssh::terminal::NotRecorded;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::files::{Want, allows, log, small_enough};
use super::{Allowed, may};
use crate::app::App;

/// Deeds of a session that are told one by one.
const TOLD: usize = 1000;
/// Ends of deeds that wait to be written, and that are written at once.
const WAITING: usize = 256;
/// Characters of a command that are told.
const COMMAND: usize = 1000;
/// What is done beyond those that are told one by one.
const MORE: &str = "moreFiles";

/// What is allowed and told in one session.
pub(super) struct Ledger {
    app: Arc<App>,
    allowed: Allowed,
    session: Uuid,
    command: String,
    /// How many deeds were told one by one.
    told: usize,
    /// Those of them that are not over.
    open: HashMap<(Deed, String), usize>,
    /// Whether it was told that others are counted.
    counts: bool,
    /// The others, as they ended.
    others: BTreeMap<&'static str, Count>,
    ends: mpsc::Sender<AuditEntry>,
    keeping: JoinHandle<Result<(), StoreError>>,
}

/// How many of a kind there were.
#[derive(Default, serde::Serialize)]
struct Count {
    files: u64,
    failed: u64,
    bytes: u64,
}

fn word(deed: Deed) -> &'static str {
    match deed {
        Deed::Upload => "upload",
        Deed::Download => "download",
        Deed::Mkdir => "makeFolder",
        Deed::Remove | Deed::Rmdir => "remove",
        Deed::Rename => "rename",
        Deed::Link => "link",
        Deed::Attributes => "setAttributes",
    }
}

fn not_told(error: &StoreError) -> NotRecorded {
    NotRecorded(format!("the activity log: {error}"))
}

/// Writes what waits, as much of it at once as there is.
async fn keep(app: Arc<App>, mut waiting: mpsc::Receiver<AuditEntry>) -> Result<(), StoreError> {
    let mut entries = Vec::new();
    while waiting.recv_many(&mut entries, WAITING).await > 0 {
        log::keep(&app, std::mem::take(&mut entries)).await?;
    }
    Ok(())
}

impl Ledger {
    /// That of a session which begins.
    pub(super) fn new(app: &Arc<App>, allowed: &Allowed, session: Uuid) -> Ledger {
        let (ends, waiting) = mpsc::channel(WAITING);
        Ledger {
            app: app.clone(),
            allowed: allowed.clone(),
            session,
            command: String::new(),
            told: 0,
            open: HashMap::new(),
            counts: false,
            others: BTreeMap::new(),
            ends,
            keeping: tokio::spawn(keep(app.clone(), waiting)),
        }
    }

    /// Ends it when all is told.
    ///
    /// # Errors
    /// When not all is.
    pub(super) async fn close(self) -> Result<(), NotRecorded> {
        if self.counts {
            let counted = self.entry(MORE, (Phase::Result, Outcome::Succeeded, ""), json!(self.others));
            self.end(counted).await?;
        }
        drop(self.ends);
        let kept = self.keeping.await.map_err(|error| NotRecorded(error.to_string()))?;
        kept.map_err(|error| not_told(&error))
    }

    async fn host(&self) -> Result<BastionHost, String> {
        let host = async {
            let mut read = self.app.store.read().await?;
            may(&self.app, &mut read, &self.allowed.caller, &self.allowed).await
        };
        host.await.map_err(|error| error.message)
    }

    fn entry(&self, deed: &str, how: (Phase, Outcome, &str), about: Value) -> AuditEntry {
        log::entry(&self.allowed, self.session, deed, how, about)
    }

    fn about(&self, event: &FileEvent) -> Value {
        let FileEvent { path, to, bytes, sha256, pieces, .. } = event;
        let mut about = json!({"path": path, "command": self.command});
        let more = [
            ("to", to.as_ref().map(|to| json!(to))),
            ("bytes", bytes.map(|bytes| json!(bytes))),
            ("sha256", sha256.as_ref().map(|hash| json!(hash))),
            ("pieces", pieces.then(|| json!(true))),
        ];
        for (name, value) in more {
            if let Some(value) = value {
                about[name] = value;
            }
        }
        about
    }

    /// Tells what is about to be done.
    async fn intent(&self, deed: &str, about: Value) -> Result<(), NotRecorded> {
        let entry = self.entry(deed, (Phase::Intent, Outcome::Succeeded, ""), about);
        log::keep(&self.app, vec![entry]).await.map_err(|error| not_told(&error))
    }

    async fn end(&self, entry: AuditEntry) -> Result<(), NotRecorded> {
        let sent = self.ends.send(entry).await;
        sent.map_err(|_| NotRecorded("the activity log could not be written".to_owned()))
    }

    /// Whether there is room for one more that is told by itself. If not, it is told that others are counted.
    async fn is_told(&mut self) -> Result<bool, NotRecorded> {
        if self.told < TOLD {
            self.told += 1;
            return Ok(true);
        }
        if !self.counts {
            self.intent(MORE, json!({"after": TOLD, "command": self.command})).await?;
            self.counts = true;
        }
        Ok(false)
    }
}

fn want(way: Way) -> Want {
    match way {
        Way::Up => Want::Upload,
        Way::Down => Want::Download,
    }
}

impl Warden for Ledger {
    fn runs(&mut self, command: &str) {
        self.command = command.chars().take(COMMAND).collect();
    }

    async fn may(&mut self, ways: &[Way]) -> Verdict {
        let host = self.host().await?;
        let wants = std::iter::once(Want::Look).chain(ways.iter().copied().map(want));
        for want in wants {
            allows(&host, want).map_err(|error| error.message)?;
        }
        Ok(host.limits().maximum_file_bytes)
    }

    async fn admit(&mut self, wanted: &FileEvent) -> Result<Verdict, NotRecorded> {
        let way = if wanted.op == Deed::Download { Way::Down } else { Way::Up };
        let most = match self.may(&[way]).await {
            Ok(most) => most,
            refused => return Ok(refused),
        };
        if let Err(error) = small_enough(wanted.bytes.unwrap_or_default(), most) {
            return Ok(Err(error.message));
        }
        if self.is_told().await? {
            self.intent(word(wanted.op), self.about(wanted)).await?;
            *self.open.entry((wanted.op, wanted.path.clone())).or_default() += 1;
        }
        Ok(Ok(most))
    }

    async fn ended(&mut self, event: FileEvent) -> Result<(), NotRecorded> {
        let key = (event.op, event.path.clone());
        let is_open = match self.open.get_mut(&key) {
            Some(times) => {
                *times -= 1;
                if *times == 0 {
                    self.open.remove(&key);
                }
                true
            }
            None => false,
        };
        // Of some, nobody knew before: rsync tells them when they are done.
        if is_open || self.told < TOLD {
            self.told += usize::from(!is_open);
            let how = match &event.failed {
                Some(why) => (Phase::Result, Outcome::Failed, why.as_str()),
                None => (Phase::Result, Outcome::Succeeded, ""),
            };
            let entry = self.entry(word(event.op), how, self.about(&event));
            return self.end(entry).await;
        }
        self.is_told().await?;
        let count = self.others.entry(word(event.op)).or_default();
        count.files += 1;
        count.failed += u64::from(event.failed.is_some());
        count.bytes = count.bytes.saturating_add(event.bytes.unwrap_or_default());
        Ok(())
    }
}
