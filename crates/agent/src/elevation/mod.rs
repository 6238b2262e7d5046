//! What users of this machine are given for a time: rules of `sudo`, and accounts ([`sekisho_jit::elevation`], which decides
//! what is to be done). Here it is done, and told of.
//!
//! A task of its own looks every second whether anything has changed by the clock or in our files, and every minute at
//! everything: programs may take their time, and nothing waits for them.

mod accounts;
mod processes;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sekisho_jit::agent::{Ledger, Now, openings};
use sekisho_jit::elevation::plan::{Action, Clocks, Kept, Life, Made, Wanted, plan};
use sekisho_jit::elevation::{ENDED, Elevation, GIVEN, REFUSED, UnixName};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::clock::ServerClock;
use crate::facts;
use crate::facts::program::Limits;
use crate::fault;
use crate::since_boot::{self, since_boot};
use crate::state::State;

/// What changes by the clock is looked at this often.
const TICK: Duration = Duration::from_secs(1);
/// Everything is looked at this often, beside every change of what is wanted.
const CHECK: Duration = Duration::from_secs(60);
/// What failed is tried again after this time.
const AGAIN: Duration = Duration::from_secs(5);
/// How far the wall clock may go, in milliseconds, before everything is looked at.
const ASTRAY: i64 = 1000;
/// What the machine's programs may cost.
const LIMITS: Limits = Limits { time: Duration::from_secs(30), bytes: 1 << 20 };

/// What is kept on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Memory {
    /// Until when what was begun lasts.
    ledger: Ledger,
    /// What was begun.
    kept: Kept,
}

/// What is wanted.
#[derive(Debug, Clone, Default)]
struct Want {
    elevations: Vec<Elevation>,
    clock: ServerClock,
}

/// Something to tell the server: the kind of the event and its data.
pub(crate) type Told = (&'static str, Value);

/// What users are given. The task ends with it, and what is given stays until another agent looks, or it ends by itself.
pub(crate) struct Elevations {
    wanted: watch::Sender<Want>,
    told: mpsc::UnboundedReceiver<Told>,
    task: JoinHandle<()>,
}

impl Elevations {
    /// Gives what is wanted for as long as this lives.
    pub(crate) fn start(state: State, elevations: Vec<Elevation>) -> Elevations {
        let (wanted, heard) = watch::channel(Want { elevations, clock: ServerClock::default() });
        let (tell, told) = mpsc::unbounded_channel();
        let keeper = Keeper::new(state, Some(tell));
        Elevations { wanted, told, task: tokio::spawn(keep(keeper, heard)) }
    }

    /// Has exactly this given from now on. `clock` is the server's.
    pub(crate) fn want(&self, elevations: &[Elevation], clock: ServerClock) {
        self.wanted.send_replace(Want { elevations: elevations.to_vec(), clock });
    }

    /// What there is to tell of since the last time.
    pub(crate) fn told(&mut self) -> Vec<Told> {
        std::iter::from_fn(|| self.told.try_recv().ok()).collect()
    }
}

impl Drop for Elevations {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Ends everything that was given, and removes every account that was made, whatever was to become of it.
///
/// # Errors
/// When that cannot be done; what is left is logged.
pub(crate) async fn end_all(state: &State) -> anyhow::Result<()> {
    let mut keeper = Keeper::new(state.clone(), None);
    for made in keeper.memory.kept.accounts.values_mut() {
        made.keeping.remove_after = 0;
    }
    anyhow::ensure!(
        keeper.look(&Want::default()).await,
        "not everything could be ended that users were given"
    );
    Ok(())
}

async fn keep(mut keeper: Keeper, mut wanted: watch::Receiver<Want>) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                keeper.next = None;
            }
            _ = tick.tick() => {}
        }
        let want = wanted.borrow_and_update().clone();
        if keeper.is_due(&want) {
            let done = keeper.look(&want).await;
            keeper.next = Some(Instant::now() + if done { CHECK } else { AGAIN });
        }
    }
}

struct Keeper {
    state: State,
    memory: Memory,
    tell: Option<mpsc::UnboundedSender<Told>>,
    /// The grants that are not given, with the end that they were to have.
    refused: BTreeSet<(u32, i64)>,
    /// The grants that the server was told of.
    given: BTreeSet<(u32, i64)>,
    /// When everything is looked at again.
    next: Option<Instant>,
    /// What was found when everything was looked at.
    seen: Option<Found>,
}

/// What is looked at every second, as it costs next to nothing.
#[derive(Debug, PartialEq)]
struct Found {
    lives: BTreeMap<u32, Life>,
    offset: i64,
    files: BTreeMap<u32, String>,
}

impl Keeper {
    fn new(state: State, tell: Option<mpsc::UnboundedSender<Told>>) -> Keeper {
        // What was begun cannot be told from what others made then: it is left alone, and the rules of ours are known by
        // their names.
        let memory = state.elevations().unwrap_or_else(|error| {
            tracing::error!(%error, "what users were given is not known any more; accounts that were made stay");
            Memory::default()
        });
        let (refused, given) = (BTreeSet::new(), BTreeSet::new());
        Keeper { state, memory, tell, refused, given, next: None, seen: None }
    }

    /// Whether anything may be to be done.
    fn is_due(&self, want: &Want) -> bool {
        if self.next.is_none_or(|next| next <= Instant::now()) {
            return true;
        }
        let Ok(clocks) = clocks(&self.state, want) else { return true };
        let (lives, _) = self.lives(want, &clocks);
        let removes = self.memory.kept.accounts.values().any(|made| {
            let gone_for = made.over.zip(clocks.server).map(|(over, server)| server - over);
            gone_for.is_some_and(|ms| ms >= made.keeping.remove_after.saturating_mul(1000))
        });
        let is_idle = want.elevations.is_empty() && self.memory.kept == Kept::default();
        let is_changed = |found: &Found| {
            found.lives != lives
                || (clocks.offset - found.offset).abs() > ASTRAY
                || (!is_idle && rules::files().is_ok_and(|files| files != found.files))
        };
        removes || self.seen.as_ref().is_none_or(is_changed)
    }

    /// How long each grant still is given, and what is to be remembered of it. What is over is not there.
    fn lives(&self, want: &Want, clocks: &Clocks) -> (BTreeMap<u32, Life>, Ledger) {
        let now = Now { boot: clocks.boot.clone(), since_boot: clocks.since_boot, server: clocks.server };
        let (open, kept) = openings(&want.elevations, &self.memory.ledger, &now);
        let mut lives: BTreeMap<u32, Life> =
            open.iter().map(|o| (o.grant.mark, Life::Until(o.ends))).collect();
        let unknown = want.elevations.iter().filter(|e| !kept.ends.contains_key(&(e.mark, e.end)));
        lives.extend(unknown.map(|e| (e.mark, Life::Unknown)));
        (lives, kept)
    }

    /// Looks at everything and does what is to be done. False when something failed.
    async fn look(&mut self, want: &Want) -> bool {
        match self.try_look(want).await {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "what users are given cannot be looked after");
                false
            }
        }
    }

    async fn try_look(&mut self, want: &Want) -> anyhow::Result<bool> {
        let clocks = clocks(&self.state, want)?;
        let (lives, ledger) = self.lives(want, &clocks);
        if ledger != self.memory.ledger {
            self.memory.ledger = ledger;
            self.keep()?;
        }
        let is_wanted = |grant: &(u32, i64)| want.elevations.iter().any(|e| (e.mark, e.end) == *grant);
        self.refused.retain(is_wanted);
        self.given.retain(is_wanted);
        let wanted: Vec<Wanted<'_>> = want
            .elevations
            .iter()
            .filter_map(|elevation| Some(Wanted { elevation, life: *lives.get(&elevation.mark)? }))
            .collect();
        let names: BTreeSet<&UnixName> =
            wanted.iter().map(|w| &w.elevation.user).chain(self.memory.kept.accounts.keys()).collect();
        let mut observed = accounts::observe(&names).await?;
        observed.files = rules::files()?;
        let refused = self.refused.iter().map(|(mark, _)| *mark).collect();
        let mut done = true;
        for chain in plan(&wanted, &self.memory.kept, &observed, &clocks, &refused) {
            for action in chain {
                let mark = begins(&action);
                let Err(error) = self.does(action, want).await else { continue };
                let error = format!("{error:#}");
                match mark {
                    Some(mark) => self.refuse(mark, &error, want),
                    None => tracing::error!(error, "what a user was given could not be ended"),
                }
                // What was begun of it is undone when everything is looked at again.
                done = false;
                break;
            }
        }
        self.seen = Some(Found { lives, offset: clocks.offset, files: rules::files()? });
        Ok(done)
    }

    async fn does(&mut self, action: Action, want: &Want) -> anyhow::Result<()> {
        match action {
            Action::RemoveFile(mark) => rules::remove(mark)?,
            Action::EndSudo { mark, user, since } => {
                let uid = accounts::uid(&user).await?;
                let ended = uid.map_or(Ok(0), |uid| processes::end_sudo(uid, since))?;
                tracing::info!(mark, %user, ended, "sudo is over");
                self.tell(ENDED, json!({"mark": mark, "user": user, "processes": ended}));
            }
            Action::ForgetRule(mark) => {
                self.memory.kept.rules.remove(&mark);
                self.keep()?;
            }
            Action::Lock(user) => {
                accounts::lock(&user).await?;
                fault::point("locked");
            }
            Action::EndProcesses(user, uid) => {
                let ended = processes::end_all(uid)?;
                let mark = self.memory.kept.accounts.get(&user).map_or(0, |made| made.mark);
                tracing::info!(mark, %user, ended, "an account is over");
                self.tell(ENDED, json!({"mark": mark, "user": user, "processes": ended}));
            }
            Action::KeepAccount(user, made) => {
                self.memory.kept.accounts.insert(user, made);
                self.keep()?;
                fault::point("account-kept");
            }
            Action::RemoveAccount(user, home, mark) => {
                if let Some(uid) = self.memory.kept.accounts.get(&user).and_then(|made| made.uid) {
                    processes::end_all(uid)?;
                }
                accounts::remove(&user, home, mark).await?;
                fault::point("account-removed");
            }
            Action::ForgetAccount(user) => {
                self.memory.kept.accounts.remove(&user);
                self.keep()?;
            }
            Action::Make(user, made, day) => {
                accounts::make(&user, &made.tag, day).await?;
                fault::point("account-made");
                // Its number is known from now on: the comment is the account's own to change.
                let made = Made { uid: accounts::uid(&user).await?, ..made };
                tracing::info!(mark = made.mark, %user, "an account was made");
                self.memory.kept.accounts.insert(user, made);
                self.keep()?;
            }
            Action::Unlock(user, day) => accounts::unlock(&user, day).await?,
            Action::KeepRule(mark, rule) => {
                self.memory.kept.rules.insert(mark, rule);
                self.keep()?;
                fault::point("rule-kept");
            }
            Action::Write(mark, user, text) => {
                rules::write(mark, &text).await?;
                fault::point("rule-written");
                tracing::info!(mark, %user, "sudo was given");
            }
            Action::Refuse(mark, why) => self.refuse(mark, &why.to_string(), want),
            Action::Tell(mark, end) => {
                if self.given.insert((mark, end)) {
                    self.tell(GIVEN, json!({"mark": mark, "end": end}));
                }
            }
        }
        Ok(())
    }

    fn refuse(&mut self, mark: u32, why: &str, want: &Want) {
        tracing::warn!(mark, why, "something is not given to a user");
        let why: String = why.chars().take(300).collect();
        self.refused.extend(want.elevations.iter().filter(|e| e.mark == mark).map(|e| (e.mark, e.end)));
        self.tell(REFUSED, json!({"mark": mark, "why": why}));
    }

    fn tell(&self, kind: &'static str, data: Value) {
        // Nobody listens any more when the agent ends.
        let _ = self.tell.as_ref().map(|tell| tell.send((kind, data)));
    }

    fn keep(&self) -> anyhow::Result<()> {
        Ok(self.state.keep_elevations(&self.memory)?)
    }
}

/// The grant that a step begins: it is refused when the step fails.
fn begins(action: &Action) -> Option<u32> {
    match action {
        Action::Make(_, made, _) => Some(made.mark),
        Action::Write(mark, ..) => Some(*mark),
        _ => None,
    }
}

/// What time it is. Where nothing is given, nobody asks whether the machine stood still.
fn clocks(state: &State, want: &Want) -> anyhow::Result<Clocks> {
    if !want.elevations.is_empty() {
        since_boot::look(state);
    }
    let since_boot = since_boot()?;
    let wall =
        i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX);
    let offset = wall.saturating_sub(i64::try_from(since_boot).unwrap_or(i64::MAX));
    Ok(Clocks { boot: facts::boot_id(), since_boot, offset, server: want.clock.said() })
}
