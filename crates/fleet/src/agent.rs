//! One simulated agent: holds its connection until the fleet ends, and opens it again whenever it breaks or the fleet
//! is told to reconnect.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustls::ClientConfig;
use sekisho_agent::backoff::Backoff;
use sekisho_agent::connection::{Connection, Heard};
use sekisho_agent::enrol::Identity;
use sekisho_agent::witness::Witness;
use sekisho_audit::note::Signer;
use sekisho_audit::succession::walk;
use sekisho_audit::witness::{Advance, Memory};
use sekisho_link::CommandKey;
use sekisho_link::duplicate::Lineage;
use sekisho_link::facts::facts_hash;
use sekisho_link::message::{Remembered, Report, ReportOutcome, Successions, ToAgent, ToServer};
use time::OffsetDateTime;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, interval_at, sleep};

use crate::FleetError;
use crate::machine::Machine;

/// A sign of life is sent this often, as by a real agent.
const BEAT: Duration = Duration::from_secs(30);
/// The longest it waits before it tries again.
const PAUSE: Duration = Duration::from_secs(30);

/// What an agent tells the fleet.
pub enum Event {
    /// It is connected and has been welcomed, in this round, after this time.
    Up {
        /// The round of connecting.
        round: u64,
        /// From the first packet to the welcome.
        took: Duration,
    },
    /// It has got its first desired document and reported it.
    Converged,
    /// A connection broke or was not made; it tries again.
    Broke(String),
    /// The server does not want it any more; it is gone.
    Dismissed(FleetError),
}

/// One agent.
pub struct Agent {
    machine: Machine,
    identity: Identity,
    tls: Arc<ClientConfig>,
    command_key: CommandKey,
    witness: Witness,
    /// How the newest generation ended.
    report: Option<Report>,
    /// The hash of the machine's facts, once they were made.
    facts_hash: Option<String>,
    events: mpsc::UnboundedSender<Event>,
}

/// Why a connection ended.
enum Ended {
    /// It is to connect again, not before this pause if one is given.
    Again(Option<Duration>),
    /// A new round began.
    NewRound,
    /// The server said so.
    Dismissed(String),
}

impl Ended {
    fn bye(reason: String, retry_after: Option<u32>) -> Ended {
        match retry_after {
            None => Ended::Dismissed(reason),
            Some(seconds) => Ended::Again(Some(Duration::from_secs(seconds.into()))),
        }
    }
}

impl Agent {
    /// An agent with the identity it was given.
    ///
    /// # Errors
    /// [`FleetError::Identity`] when the identity is damaged.
    pub fn new(
        machine: Machine,
        identity: Identity,
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<Self, FleetError> {
        let failed = |e: anyhow::Error| FleetError::Identity(machine.name(), e);
        let tls = Arc::new(identity.tls().map_err(failed)?);
        let command_key = CommandKey::parse(&identity.command_key).map_err(|e| failed(e.into()))?;
        let memory = identity.log_key.as_deref().and_then(|key| key.parse().ok()).map(Memory::of);
        // A simulated machine forgets what it has seen, and its key, with its process.
        let key = Signer::generate().map_err(|e| failed(e.into()))?;
        let witness = Witness::new(&identity.agent_id, &key, memory).map_err(failed)?;
        Ok(Self { machine, identity, tls, command_key, witness, report: None, facts_hash: None, events })
    }

    /// Lives for ever, or until the server dismisses it. `gate` limits how many connect at the same time; a new number
    /// in `round` makes it drop its connection and connect again at once.
    pub async fn live(mut self, gate: Arc<Semaphore>, mut round: watch::Receiver<u64>) {
        let mut backoff = Backoff::new(PAUSE);
        loop {
            let now = *round.borrow_and_update();
            let ended = match self.connect(&gate, now).await {
                Ok(Ok(connection)) => {
                    backoff.reset();
                    self.talk(connection, &mut round).await
                }
                Ok(Err(ended)) => Ok(ended),
                Err(error) => Err(error),
            };
            match ended {
                Ok(Ended::NewRound) => {}
                Ok(Ended::Again(pause)) => sleep(pause.unwrap_or_else(|| backoff.next_pause())).await,
                Ok(Ended::Dismissed(reason)) => {
                    self.tell(Event::Dismissed(FleetError::Dismissed(self.machine.name(), reason)));
                    return;
                }
                Err(error) => {
                    self.tell(Event::Broke(format!("{}: {error:#}", self.machine.name())));
                    sleep(backoff.next_pause()).await;
                }
            }
        }
    }

    fn tell(&self, event: Event) {
        // The fleet is gone, and this agent goes with it.
        let _ = self.events.send(event);
    }

    fn generation(&self) -> u64 {
        self.report.as_ref().map_or(0, |r| r.generation)
    }

    /// Connects, says hello and tells the facts when the server does not have them.
    async fn connect(&mut self, gate: &Semaphore, round: u64) -> anyhow::Result<Result<Connection, Ended>> {
        let _turn = gate.acquire().await?;
        let began = Instant::now();
        let mut connection = Connection::open(&self.identity.address, self.tls.clone()).await?;
        let hello = ToServer::Hello {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: self.machine.boot_id(),
            generation: self.generation(),
            report: self.report.clone(),
            facts_hash: self.facts_hash.clone(),
            lineage: self.lineage(),
            log: Remembered { size: self.witness.memory().map_or(0, |memory| memory.size), distrusts: None },
        };
        connection.send(&hello).await?;
        let known = loop {
            match connection.next().await? {
                Some(Heard::Ping) => {}
                Some(Heard::Message(message)) => match *message {
                    ToAgent::Welcome { facts_hash, log_key, successions, .. } => {
                        if let Some(key) = log_key {
                            self.witness.told(key);
                        }
                        self.succeed(&successions);
                        break facts_hash;
                    }
                    ToAgent::Bye { reason, retry_after } => return Ok(Err(Ended::bye(reason, retry_after))),
                    other => anyhow::bail!("instead of a welcome: {other:?}"),
                },
                None => anyhow::bail!("closed before the welcome"),
            }
        };
        self.tell(Event::Up { round, took: began.elapsed() });
        if known.is_none() || known != self.facts_hash {
            self.tell_facts(&mut connection).await?;
        }
        Ok(Ok(connection))
    }

    /// Follows keys that were replaced; like all else that it learns, that is forgotten with the process.
    fn succeed(&mut self, all: &Successions) {
        self.command_key = walk(&self.command_key, &all.command).pop().unwrap_or(self.command_key.clone());
        if let Some(memory) = self.witness.succeeded(&all.log) {
            self.witness.succeed(memory);
        }
    }

    /// Goes on with the log, and says so.
    async fn follow(&mut self, connection: &mut Connection, offered: &Advance) -> anyhow::Result<()> {
        let next = self.witness.consider(offered)?;
        let at = u64::try_from(OffsetDateTime::now_utc().unix_timestamp()).unwrap_or(0);
        match self.witness.follow(next, at) {
            Some(said) => connection.send(&said).await,
            None => Ok(()),
        }
    }

    /// The connections of one simulated agent never overlap: it may leave its process unnamed.
    fn lineage(&self) -> Lineage {
        Lineage { hostname: self.machine.name(), ..Lineage::default() }
    }

    async fn tell_facts(&mut self, connection: &mut Connection) -> anyhow::Result<()> {
        let facts = serde_json::to_value(self.machine.facts())?;
        self.facts_hash = Some(facts_hash(&facts));
        connection.send(&ToServer::Facts { facts }).await
    }

    async fn talk(
        &mut self,
        mut connection: Connection,
        round: &mut watch::Receiver<u64>,
    ) -> anyhow::Result<Ended> {
        let mut beat = interval_at(Instant::now() + BEAT, BEAT);
        loop {
            tokio::select! {
                heard = connection.next() => match heard? {
                    None => return Ok(Ended::Again(None)),
                    Some(Heard::Ping) => {}
                    Some(Heard::Message(message)) => match *message {
                        ToAgent::Bye { reason, retry_after } => return Ok(Ended::bye(reason, retry_after)),
                        ToAgent::Checkpoint(offered) => self.follow(&mut connection, &offered).await?,
                        ToAgent::Desired(command) => {
                            let first = self.report.is_none();
                            let known = self.generation();
                            if let Some(proof) = &command.proof {
                                self.follow(&mut connection, &proof.advance).await?;
                            }
                            let memory = self.witness.memory().context("the log has no key")?;
                            let (key, machine) = (&self.command_key, &self.identity.machine);
                            let document = command.open(memory, key, machine, known)?;
                            let report = Report {
                                generation: document.generation,
                                outcome: ReportOutcome::Applied,
                                message: String::new(),
                            };
                            connection.send(&ToServer::Report(report.clone())).await?;
                            self.report = Some(report);
                            if first {
                                self.tell(Event::Converged);
                            }
                        }
                        ToAgent::Successions(successions) => self.succeed(&successions),
                        ToAgent::NeedFacts => self.tell_facts(&mut connection).await?,
                        // Simulated machines tell no events.
                        ToAgent::Welcome { .. }
                        | ToAgent::Certificate { .. }
                        | ToAgent::Acknowledged { .. }
                        | ToAgent::Missing { .. }
                        | ToAgent::Credit { .. }
                        | ToAgent::Open(_)
                        | ToAgent::Cut { .. }
                        | ToAgent::Unknown => {}
                    },
                },
                _ = beat.tick() => connection.send(&ToServer::Alive).await?,
                changed = round.changed() => {
                    changed?;
                    return Ok(Ended::NewRound);
                }
            }
        }
    }
}
