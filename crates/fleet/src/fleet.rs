//! The fleet: brings its machines up and measures how long that takes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sekisho_agent::enrol::{Identity, enrol};
use sekisho_link::JoinString;
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::agent::{Agent, Event};
use crate::machine::Machine;
use crate::{FleetError, state};

/// A fleet that is up. Its machines go with it.
pub struct Fleet {
    count: usize,
    round: watch::Sender<u64>,
    gate: Arc<Semaphore>,
    events: mpsc::UnboundedReceiver<Event>,
    _agents: JoinSet<()>,
}

/// How long joining took.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Joined {
    /// Machines that joined; none when they had joined in an earlier run.
    pub machines: usize,
    /// For all of them.
    pub seconds: f64,
}

/// How long connecting took.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Connected {
    /// Machines that connected.
    pub machines: usize,
    /// Until the last was welcomed.
    pub seconds: f64,
    /// Handshakes a second: TCP, mutual TLS, WebSocket, hello and welcome.
    pub handshakes_per_second: f64,
    /// The median of one, in milliseconds.
    pub handshake_p50_ms: f64,
    /// 99 of 100 took no longer, in milliseconds.
    pub handshake_p99_ms: f64,
    /// Attempts that failed and were made again.
    pub broken: usize,
}

/// Joins machines, spread evenly over the join strings, or takes those of an earlier run from the state directory.
///
/// # Errors
/// [`FleetError`] at the first machine that is not let in; nothing is kept then.
pub async fn join(
    joins: &[JoinString],
    count: u32,
    concurrency: usize,
    dir: &Path,
) -> Result<(Vec<Identity>, Joined), FleetError> {
    let server = joins.first().map(|j| j.address.clone()).unwrap_or_default();
    if let Some(known) = state::load(dir)? {
        let kept = known.first().map(|i| i.address.clone()).unwrap_or_default();
        if known.len() != count as usize || kept != server {
            let (found, wanted) = (known.len(), count as usize);
            return Err(FleetError::OtherFleet { found, server: kept, wanted, asked: server });
        }
        return Ok((known, Joined { machines: 0, seconds: 0.0 }));
    }
    let began = Instant::now();
    let identities: Vec<Identity> = stream::iter((1..=count).zip(joins.iter().cycle()))
        .map(|(number, join)| async move {
            let name = Machine::new(number).name();
            enrol(join, name.clone(), None).await.map_err(|e| FleetError::Enrol(name, e))
        })
        .buffered(concurrency)
        .try_collect()
        .await?;
    let joined = Joined { machines: identities.len(), seconds: began.elapsed().as_secs_f64() };
    state::keep(dir, &identities)?;
    Ok((identities, joined))
}

impl Fleet {
    /// Connects all machines, at most `concurrency` at the same time, and waits until each has been welcomed, has told
    /// its facts and has reported its first desired document.
    ///
    /// # Errors
    /// [`FleetError`] when an identity is damaged or the server dismisses a machine.
    pub async fn start(
        identities: Vec<Identity>,
        concurrency: usize,
    ) -> Result<(Fleet, Connected), FleetError> {
        let (tell, events) = mpsc::unbounded_channel();
        let (round, rounds) = watch::channel(0);
        let gate = Arc::new(Semaphore::new(concurrency));
        let mut agents = JoinSet::new();
        let count = identities.len();
        let began = Instant::now();
        for (identity, number) in identities.into_iter().zip(1..) {
            let agent = Agent::new(Machine::new(number), identity, tell.clone())?;
            agents.spawn(agent.live(gate.clone(), rounds.clone()));
        }
        let mut fleet = Fleet { count, round, gate, events, _agents: agents };
        let connected = fleet.wait(0, began, true).await?;
        Ok((fleet, connected))
    }

    /// Has all machines drop their connections and connect again, all at the same time.
    ///
    /// # Errors
    /// [`FleetError::Dismissed`].
    pub async fn reconnect(&mut self) -> Result<Connected, FleetError> {
        self.gate.add_permits(self.count);
        let began = Instant::now();
        self.round.send_modify(|round| *round += 1);
        let round = *self.round.borrow();
        self.wait(round, began, false).await
    }

    /// Follows what the machines tell for as long as the fleet lives.
    ///
    /// # Errors
    /// [`FleetError::Dismissed`], always: nothing else ends it.
    pub async fn watch(&mut self) -> FleetError {
        loop {
            match self.events.recv().await {
                Some(Event::Dismissed(why)) => return why,
                Some(Event::Broke(why)) => tracing::warn!(why, "a connection broke"),
                Some(Event::Up { .. } | Event::Converged) => {}
                // The agents hold the other ends and live as long as the fleet.
                None => std::future::pending().await,
            }
        }
    }

    async fn wait(&mut self, round: u64, began: Instant, all: bool) -> Result<Connected, FleetError> {
        let mut took: Vec<Duration> = Vec::with_capacity(self.count);
        let (mut converged, mut broken, mut seconds) = (0, 0, 0.0);
        while took.len() < self.count || (all && converged < self.count) {
            match self.events.recv().await {
                Some(Event::Up { round: of, took: one }) if of == round && took.len() < self.count => {
                    took.push(one);
                    seconds = began.elapsed().as_secs_f64();
                }
                Some(Event::Up { .. }) => {}
                Some(Event::Converged) => converged += 1,
                Some(Event::Broke(why)) => {
                    tracing::debug!(why, "a connection was not made");
                    broken += 1;
                }
                Some(Event::Dismissed(why)) => return Err(why),
                None => break,
            }
        }
        took.sort_unstable();
        let share = |hundredths: usize| {
            took.get((took.len() * hundredths / 100).min(took.len().saturating_sub(1)))
                .map_or(0.0, |d| d.as_secs_f64() * 1000.0)
        };
        Ok(Connected {
            machines: took.len(),
            seconds,
            handshakes_per_second: took.len() as f64 / seconds,
            handshake_p50_ms: share(50),
            handshake_p99_ms: share(99),
            broken,
        })
    }
}
