//! The agent's life: recover, then hold a connection for ever, sending facts and applying what arrives; repair what
//! others break, with or without a server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustls::ClientConfig;
use sekisho_agent::backoff::Backoff;
use sekisho_agent::connection::{CertificateOver, Connection, Heard};
use sekisho_agent::enrol::Identity;
use sekisho_arm::resource::diff_patch;
use sekisho_audit::witness::Advance;
use sekisho_jit::usage;
use sekisho_link::duplicate::Lineage;
use sekisho_link::facts::{Clock, facts_hash};
use sekisho_link::hits::RuleHits;
use sekisho_link::message::{Report, ReportOutcome, Successions, ToAgent, ToServer};
use sekisho_link::pki;
use sekisho_link::stream::Stream;
use sekisho_link::ticket::Opening;
use sekisho_link::{Command, CommandKey, DesiredDocument};
use sekisho_nsg::agent::Watcher;
use sekisho_nsg::flow::collector::Collector;
use sekisho_nsg::flow::record;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, interval, sleep, timeout_at};
use zeroize::Zeroizing;

use crate::access::Found;
use crate::clock::ServerClock;
use crate::elevation::Elevations;
use crate::facts;
use crate::followed::Followed;
use crate::journal::{Journal, fresh_epoch};
use crate::limits;
use crate::log::{Log, Refused};
use crate::reach::ReachFile;
use crate::reconcile::Reconciler;
use crate::since_boot;
use crate::ssh::{Principals, Ssh};
use crate::state::State;
use crate::streams::Streams;

/// Facts are collected and a sign of life is sent this often.
const BEAT: Duration = Duration::from_secs(30);
/// The server says something every 45 seconds; after this silence the path to it is dead.
const WATCHDOG: Duration = Duration::from_secs(120);
/// The rules are compared with what they should be this often, beside every change that the kernel tells of.
const CHECK: Duration = Duration::from_secs(60);
/// Without a connection it is looked this often whether the machine has joined again.
const LOOK: Duration = Duration::from_secs(1);
/// What can wait is made durable, and sent, this often.
const FLUSH: Duration = Duration::from_secs(1);

/// What the command line sets.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    confirm_seconds: u64,
    reach: ReachFile,
    reconnect: Duration,
}

impl Settings {
    pub(crate) fn new(confirm_seconds: u64, reconnect_seconds: u64, reach: PathBuf) -> Self {
        let reconnect = Duration::from_secs(reconnect_seconds);
        Self { confirm_seconds, reconnect, reach: ReachFile::new(reach) }
    }
}

/// Runs until SIGTERM or SIGINT. The rules stay in force afterwards.
pub(crate) async fn run(state: State, settings: Settings) -> anyhow::Result<()> {
    let Some(identity) = state.identity()? else {
        bail!("this machine has not joined yet; run 'sekisho-agent join' first");
    };
    let Some(_one) = state.lock()? else { bail!("another agent runs on this state already") };
    if let Err(why) = limits::confine() {
        tracing::warn!(why, "nothing limits what the agent may use of this machine");
    }
    let reconciler = Reconciler::recover(state.clone(), settings.confirm_seconds).await?;
    let mut agent = Agent::new(state, identity, reconciler, settings.reach)?;
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        result = agent.live(settings.reconnect) => result,
        _ = term.recv() => Ok(()),
        _ = int.recv() => Ok(()),
    }
}

struct Agent {
    state: State,
    identity: Identity,
    command_key: CommandKey,
    log: Log,
    tls: Arc<ClientConfig>,
    reconciler: Reconciler,
    watcher: Watcher,
    flows: Collector,
    /// The key of a certificate that was asked for and has not come yet.
    renewing: Option<Zeroizing<String>>,
    /// The facts the server has, with their hash.
    told: Option<(Value, String)>,
    /// How often rules have matched, as the server was told.
    hits: Vec<RuleHits>,
    journal: Journal,
    /// Names this process, so that two machines with one key can be told apart.
    process: String,
    /// Connections opened, by this process and those before it.
    connections: u64,
    clock: ServerClock,
    streams: Streams,
    reach: ReachFile,
    ssh: Ssh,
    elevations: Elevations,
}

/// Why a connection ended.
enum Ended {
    /// Try again, not before this pause if one is given.
    Retry(Option<Duration>),
    /// It has another certificate, or trusts the log again; try again at once.
    Renewed,
    /// The server does not want this agent any more.
    Dismissed(String),
}

impl Agent {
    fn new(
        state: State,
        identity: Identity,
        reconciler: Reconciler,
        reach: ReachFile,
    ) -> anyhow::Result<Self> {
        let command_key = CommandKey::parse(&identity.command_key)?;
        let log = Log::open(&state, &identity)?;
        let tls = Arc::new(identity.tls()?);
        let watcher = Watcher::new().context("watching the kernel's network rules")?;
        let mut journal =
            Journal::open(state.dir(), &facts::boot_id()).context("opening the spool of events")?;
        journal.note(Stream::Security, "agent.started", json!({"version": env!("CARGO_PKG_VERSION")}));
        let connections = state.connections()?;
        let trusted = reconciler.confirmed().and_then(|confirmed| confirmed.ssh.clone());
        let ssh = Ssh::start(state.clone(), trusted);
        let given = reconciler.confirmed().map(|confirmed| confirmed.access.elevations.clone());
        let elevations = Elevations::start(state.clone(), given.unwrap_or_default());
        Ok(Self {
            state,
            identity,
            command_key,
            log,
            tls,
            reconciler,
            watcher,
            flows: Collector::default(),
            renewing: None,
            told: None,
            hits: Vec::new(),
            journal,
            process: fresh_epoch()?.to_string(),
            connections,
            clock: ServerClock::default(),
            streams: Streams::new(reach.clone()),
            reach,
            ssh,
            elevations,
        })
    }

    /// The newest generation seen, whether it is in force or not.
    fn known(&self) -> anyhow::Result<u64> {
        Ok(self.reconciler.last_report()?.map_or(0, |r| r.generation))
    }

    async fn live(&mut self, cap: Duration) -> anyhow::Result<()> {
        self.log_flows();
        Principals::clear();
        self.resume().await?;
        let mut backoff = Backoff::new(cap);
        loop {
            let began = Instant::now();
            self.journal.disconnected();
            let ended = self.hold().await.unwrap_or_else(|error| {
                tracing::warn!(error = format!("{error:#}"), "there is no link to the server");
                Ended::Retry(None)
            });
            let least = match ended {
                Ended::Renewed => continue,
                Ended::Dismissed(why) => {
                    tracing::error!(why, "the server has dismissed this machine; its rules stay as they are");
                    Some(cap)
                }
                Ended::Retry(least) => least,
            };
            if began.elapsed() > Duration::from_secs(60) {
                backoff.reset();
            }
            let pause = backoff.next_pause();
            self.idle(least.unwrap_or(pause).min(cap)).await?;
        }
    }

    /// Opens a connection, and notes meanwhile what flows there were: a server that does not answer may take its time.
    async fn connect(&mut self) -> anyhow::Result<Connection> {
        let address = self.identity.address.clone();
        let opening = Connection::open(&address, self.tls.clone());
        let mut flush = interval(FLUSH);
        tokio::pin!(opening);
        loop {
            tokio::select! {
                opened = &mut opening => return opened,
                _ = flush.tick() => self.note_flows(),
            }
        }
    }

    /// Holds one connection for as long as it lasts.
    async fn hold(&mut self) -> anyhow::Result<Ended> {
        match self.connect().await {
            Ok(connection) => self.talk(connection).await,
            Err(error) if error.is::<CertificateOver>() => {
                tracing::info!("the certificate is over; the server is asked for another one");
                let (identity, tls) = self.identity.renew().await?;
                self.take_up(identity, tls)?;
                Ok(Ended::Renewed)
            }
            Err(error) => Err(error),
        }
    }

    /// Goes on with another certificate.
    fn take_up(&mut self, identity: Identity, tls: ClientConfig) -> anyhow::Result<()> {
        self.state.keep_identity(&identity)?;
        (self.identity, self.tls, self.renewing) = (identity, Arc::new(tls), None);
        tracing::info!("the certificate was renewed");
        Ok(())
    }

    /// Goes on as what this machine has become when a person had it join again.
    fn rejoined(&mut self) -> anyhow::Result<bool> {
        let Some(now) = self.state.identity()?.filter(|i| i.certificate != self.identity.certificate) else {
            return Ok(false);
        };
        (self.command_key, self.tls) = (CommandKey::parse(&now.command_key)?, Arc::new(now.tls()?));
        self.log = Log::open(&self.state, &now)?;
        (self.identity, self.renewing, self.told) = (now, None, None);
        self.journal =
            Journal::open(self.state.dir(), &facts::boot_id()).context("opening the spool of events")?;
        tracing::info!("this machine has joined again");
        Ok(true)
    }

    /// A document that was received but neither confirmed nor given up is applied now.
    async fn resume(&mut self) -> anyhow::Result<()> {
        let Some(signed) = self.state.desired()? else { return Ok(()) };
        if let Ok(document) = self.command_key.open(&signed, &self.identity.machine, self.known()?) {
            self.apply(document).await?;
        }
        Ok(())
    }

    async fn apply(&mut self, document: DesiredDocument) -> anyhow::Result<Report> {
        let generation = document.generation;
        since_boot::look(&self.state);
        let report = match self
            .reconciler
            .apply(&document, &self.identity.address, &self.tls, self.clock.said())
            .await
        {
            Ok(report) => report,
            Err(error) => {
                let message = format!("The agent could not apply the change: {error:#}.");
                Report { generation, outcome: ReportOutcome::Failed, message }
            }
        };
        tracing::info!(generation, outcome = ?report.outcome, message = report.message, "a generation ended");
        self.state.keep_report(&report)?;
        self.log_flows();
        self.ssh.want(self.reconciler.confirmed().and_then(|confirmed| confirmed.ssh.as_ref()));
        self.elevate();
        Ok(report)
    }

    /// Has users given what is to be given by the policy in force.
    fn elevate(&self) {
        if let Some(confirmed) = self.reconciler.confirmed() {
            self.elevations.want(&confirmed.access.elevations, self.clock);
        }
    }

    /// Has logged what is to be logged by the policy in force. That it cannot be is no reason not to enforce.
    fn log_flows(&mut self) {
        let Some(confirmed) = self.reconciler.confirmed() else { return };
        if let Err(error) = self.flows.set(confirmed.generation, &confirmed.part, &confirmed.flows) {
            tracing::error!(%error, "flows cannot be logged");
        }
    }

    /// Notes what flows there were.
    fn note_flows(&mut self) {
        for batch in self.flows.take() {
            self.journal.note(Stream::Telemetry, record::KIND, Value::Object(batch.data()));
        }
    }

    /// Waits for the next attempt, or until this machine has joined again, and keeps the rules meanwhile.
    async fn idle(&mut self, pause: Duration) -> anyhow::Result<()> {
        let end = sleep(pause);
        let mut look = interval(LOOK);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return Ok(()),
                _ = look.tick() => {
                    self.look();
                    self.note_flows();
                    if self.rejoined()? {
                        return Ok(());
                    }
                }
                changed = self.watcher.changed() => {
                    changed?;
                    if let Some(report) = self.reconciler.repair(self.clock.said()).await? {
                        self.state.keep_report(&report)?;
                        self.journal.repaired(&report);
                    }
                }
            }
        }
    }

    async fn talk(&mut self, mut connection: Connection) -> anyhow::Result<Ended> {
        let hello = ToServer::Hello {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: facts::boot_id(),
            generation: self.known()?,
            report: self.reconciler.last_report()?,
            facts_hash: self.told.as_ref().map(|(_, hash)| hash.clone()),
            lineage: self.lineage(),
            log: self.log.remembered(),
        };
        self.streams.linked();
        connection.send(&hello).await?;
        tracing::info!(server = self.identity.address, "connected");
        let (mut beat, mut check, mut flush) = (interval(BEAT), interval(CHECK), interval(FLUSH));
        beat.reset();
        let mut heard = Instant::now();
        loop {
            self.journal.send(&mut connection).await?;
            tokio::select! {
                next = timeout_at(heard + WATCHDOG, connection.next()) => {
                    let next = next.context("the server has been silent for too long")??;
                    heard = Instant::now();
                    match next {
                        None => return Ok(Ended::Retry(None)),
                        Some(Heard::Ping) => {}
                        Some(Heard::Message(message)) => match *message {
                            ToAgent::Bye { reason, retry_after: None } => return Ok(Ended::Dismissed(reason)),
                            ToAgent::Bye { reason, retry_after: Some(seconds) } => {
                                tracing::info!(reason, "the server asked to come back later");
                                return Ok(Ended::Retry(Some(Duration::from_secs(seconds.into()))));
                            }
                            other => self.take(&mut connection, other).await?,
                        },
                    }
                }
                message = self.streams.next() => connection.send(&message).await?,
                _ = beat.tick() => self.beat(&mut connection).await?,
                _ = check.tick() => {
                    self.mend(&mut connection).await?;
                    self.tell_hits(&mut connection).await?;
                }
                // Nobody can log in before the server knows of it. Before it has said what time it is, nothing is told: a
                // certificate would be taken for one that is over.
                () = self.ssh.changed(), if self.clock.said().is_some() => self.beat(&mut connection).await?,
                _ = flush.tick() => {
                    self.look();
                    self.note_flows();
                    self.journal.sync();
                    if self.trusted_again()? {
                        return Ok(Ended::Renewed);
                    }
                }
                changed = self.watcher.changed() => {
                    changed?;
                    self.mend(&mut connection).await?;
                }
            }
        }
    }

    /// What is said of this connection. A disk that does not take the count must not keep the agent from connecting.
    fn lineage(&mut self) -> Lineage {
        self.connections += 1;
        if let Err(error) = self.state.keep_connections(self.connections) {
            tracing::error!(%error, "the count of connections was not kept");
        }
        self.said()
    }

    fn said(&self) -> Lineage {
        Lineage { hostname: facts::hostname(), process: self.process.clone(), connections: self.connections }
    }

    /// Looks at what open ports are used for, and notes what is to be told of it and of what users are given.
    fn look(&mut self) {
        let found = self.reconciler.look(self.clock.said()).unwrap_or_else(|error| {
            tracing::error!(error = format!("{error:#}"), "ports that nobody uses are not closed");
            Found::default()
        });
        for told in found.used {
            self.journal.note(Stream::Telemetry, usage::USED, json!(told));
        }
        for mark in found.idle {
            tracing::info!(mark, "a port was closed that nobody used");
            self.journal.note(Stream::Security, usage::IDLE, json!({ "mark": mark }));
        }
        for (kind, data) in self.elevations.told() {
            self.journal.note(Stream::Security, kind, data);
        }
    }

    async fn mend(&mut self, connection: &mut Connection) -> anyhow::Result<()> {
        if let Some(report) = self.reconciler.repair(self.clock.said()).await? {
            self.state.keep_report(&report)?;
            self.journal.repaired(&report);
            connection.send(&ToServer::Report(report)).await?;
        }
        Ok(())
    }

    /// Tells how often rules have matched, when that has changed since it was last told.
    async fn tell_hits(&mut self, connection: &mut Connection) -> anyhow::Result<()> {
        let rules = self.reconciler.hits().await;
        if rules != self.hits {
            connection.send(&ToServer::Hits { rules: rules.clone() }).await?;
            self.hits = rules;
        }
        Ok(())
    }

    async fn beat(&mut self, connection: &mut Connection) -> anyhow::Result<()> {
        let now = self.facts().await;
        match (&self.told, now) {
            (_, None) => connection.send(&ToServer::Alive).await?,
            (Some((before, base)), Some(now)) => match diff_patch(before, &now) {
                None => connection.send(&ToServer::Alive).await?,
                Some(patch) => {
                    let hash = facts_hash(&now);
                    connection
                        .send(&ToServer::FactsPatch { base: base.clone(), patch, hash: hash.clone() })
                        .await?;
                    self.told = Some((now, hash));
                }
            },
            (None, Some(now)) => self.tell(connection, now).await?,
        }
        let left = pki::not_after(&self.identity.certificate)? - self.clock.now();
        if left < pki::AGENT_CERTIFICATE / 2 && self.renewing.is_none() {
            let (key, csr) = pki::request()?;
            connection.send(&ToServer::Renew { csr }).await?;
            self.renewing = Some(key);
        }
        Ok(())
    }

    /// What the server was told of this machine's clock.
    fn told_clock(&self) -> Option<Clock> {
        let (facts, _) = self.told.as_ref()?;
        serde_json::from_value(facts.get("clock")?.clone()).ok()
    }

    /// The facts of this machine; none until all are known, so that what is not known yet is not told as not being there.
    async fn facts(&self) -> Option<Value> {
        Some(facts::collect(self.clock.beside(), self.ssh.facts()?, self.reach.list()).await)
    }

    /// Tells all facts, now or as soon as they are known.
    async fn tell_all(&mut self, connection: &mut Connection) -> anyhow::Result<()> {
        match self.facts().await {
            Some(facts) => self.tell(connection, facts).await,
            None => Ok(()),
        }
    }

    async fn tell(&mut self, connection: &mut Connection, facts: Value) -> anyhow::Result<()> {
        let hash = facts_hash(&facts);
        connection.send(&ToServer::Facts { facts: facts.clone() }).await?;
        self.told = Some((facts, hash));
        Ok(())
    }

    async fn take(&mut self, connection: &mut Connection, message: ToAgent) -> anyhow::Result<()> {
        match message {
            ToAgent::Welcome { facts_hash: known, streams, now, log_key, successions } => {
                since_boot::look(&self.state);
                self.clock.heard(now);
                self.log.told(log_key);
                self.succeed(&successions)?;
                self.journal.connected(&streams);
                if known.is_none() || known.as_ref() != self.told.as_ref().map(|(_, hash)| hash) {
                    self.tell_all(connection).await?;
                } else if self.told_clock() != self.clock.beside() {
                    self.beat(connection).await?;
                }
                // What is open until an instant of the server's waited for its clock.
                self.elevate();
                self.mend(connection).await?;
            }
            ToAgent::NeedFacts => self.tell_all(connection).await?,
            ToAgent::Successions(successions) => self.succeed(&successions)?,
            ToAgent::Checkpoint(offered) => drop(self.follow(connection, &offered).await?),
            ToAgent::Desired(command) => self.obey(connection, command).await?,
            ToAgent::Open(opening) => self.open(connection, &opening).await?,
            ToAgent::Cut { id } => self.streams.cut(id),
            ToAgent::Certificate { certificate, ca } => self.renewed(certificate, ca)?,
            ToAgent::Acknowledged { stream, epoch, upto, credit } => {
                self.journal.acknowledged(stream, epoch, upto, credit);
            }
            ToAgent::Missing { stream, epoch, last } => self.journal.missing(stream, epoch, last),
            ToAgent::Credit { stream, credit } => self.journal.credit(stream, credit),
            ToAgent::Bye { .. } | ToAgent::Unknown => {}
        }
        Ok(())
    }

    /// Follows keys that were replaced, and keeps where that led before it uses them.
    fn succeed(&mut self, all: &Successions) -> anyhow::Result<()> {
        let followed = Followed::from(&self.command_key, &self.log, all);
        // What this machine has become meanwhile, when a person had it join again, is not to be overwritten.
        let joined_again = self.state.identity()?.is_none_or(|i| i.certificate != self.identity.certificate);
        if followed.is_nothing() || joined_again {
            return Ok(());
        }
        let identity = followed.kept(&self.identity);
        self.state.keep_identity(&identity)?;
        self.identity = identity;
        for (purpose, key) in followed.told() {
            tracing::info!(purpose, key, "the server has another key from now on");
            let told = json!({"purpose": purpose, "key": key});
            self.journal.note(Stream::Security, "key.succeeded", told);
        }
        let Followed { command, log } = followed;
        self.command_key = command.unwrap_or(self.command_key.clone());
        log.map_or(Ok(()), |memory| self.log.succeed(memory))
    }

    /// Takes note of a person who trusts the log again.
    fn trusted_again(&mut self) -> anyhow::Result<bool> {
        let trusted = self.log.is_trusted_again(&self.identity)?;
        if trusted {
            tracing::warn!(
                "a person with root on this machine trusts the log again, whatever was seen of it before"
            );
            self.journal.note(Stream::Security, "audit.trusted", json!({}));
        }
        Ok(trusted)
    }

    /// Goes on with the log when it has only grown, and tells the server so. False when it is not to be believed.
    async fn follow(&mut self, connection: &mut Connection, offered: &Advance) -> anyhow::Result<bool> {
        match self.log.advance(offered)? {
            Ok(said) => {
                if let Some(said) = said {
                    connection.send(&said).await?;
                }
                Ok(true)
            }
            Err(Refused::Rewritten(reason)) => {
                tracing::error!(reason, "the log was rewritten; the rules stay, and nothing new is obeyed");
                let told = json!({"reason": reason, "checkpoint": offered.note});
                self.journal.note(Stream::Security, "audit.inconsistent", told);
                connection.send(&ToServer::Distrusts { reason }).await?;
                Ok(false)
            }
            Err(Refused::Distrusted) => Ok(false),
            Err(Refused::Worthless(error)) => {
                tracing::error!(%error, "a checkpoint of the log was refused");
                Ok(false)
            }
        }
    }

    async fn obey(&mut self, connection: &mut Connection, command: Command) -> anyhow::Result<()> {
        if let Some(proof) = &command.proof {
            self.follow(connection, &proof.advance).await?;
        }
        let Some(memory) = self.log.memory() else {
            tracing::error!("a desired document was refused: the log is not trusted");
            return Ok(());
        };
        match command.open(memory, &self.command_key, &self.identity.machine, self.known()?) {
            Ok(document) => {
                self.state.keep_desired(&command.signed)?;
                let report = self.apply(document).await?;
                connection.send(&ToServer::Report(report)).await
            }
            Err(error) => {
                tracing::error!(%error, "a desired document was refused");
                Ok(())
            }
        }
    }

    /// Opens a stream, when the server's log tells of its ticket.
    async fn open(&mut self, connection: &mut Connection, opening: &Opening) -> anyhow::Result<()> {
        self.follow(connection, &opening.proof.advance).await?;
        let (Some(memory), Some(link)) = (self.log.memory(), self.said().link()) else {
            tracing::error!("a ticket was refused: the log is not trusted");
            return Ok(());
        };
        match opening.check(memory, &self.command_key, &self.identity.machine, &link) {
            Ok(ticket) => {
                let server = (self.identity.address.as_str(), self.tls.clone());
                self.streams.open(ticket, server, self.ssh.port());
            }
            Err(error) => tracing::error!(%error, "a ticket was refused"),
        }
        Ok(())
    }

    fn renewed(&mut self, certificate: String, ca: String) -> anyhow::Result<()> {
        let Some(key) = self.renewing.take() else { return Ok(()) };
        let (identity, tls) = self.identity.renewed(certificate, &key, ca)?;
        self.take_up(identity, tls)
    }
}
