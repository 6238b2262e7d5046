//! One live connection of an agent: a task that reads from it and is woken when its machine's desired document or its
//! agent's record changes. Whatever it says is read from the database at that moment, so that a missed wake-up costs
//! time and never correctness; whatever it is told is kept in a transaction that admits the agent first.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use sekisho_arm::traits::read_document;
use sekisho_arm::{ArmError, Scope, StoreError, Write};
use sekisho_audit::note::Verifier;
use sekisho_link::command::Command;
use sekisho_link::duplicate::Sighting;
use sekisho_link::ingest::{self, IngestError, Receipt};
use sekisho_link::machine::{self, Desired, kind};
use sekisho_link::message::{MAX_FRAME_BYTES, Report, StreamState, ToAgent, ToServer, frames};
use sekisho_link::stream::{Batch, Stream};
use sekisho_link::ticket::Ticket;
use sekisho_link::{enrolment, hits, witnesses};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::time::{Instant, interval_at, sleep, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Bytes};
use uuid::Uuid;

use super::Certified;
use super::admission::spread;
use crate::app::App;
use crate::bastion::Wish;
use crate::flow_logs;
use crate::resources::jit::usage;

/// How long a new connection may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(15);
/// The server says something at least this often, so that an agent can tell a silent server from a dead path.
const PING: Duration = Duration::from_secs(45);
/// Silence after which a connection is given up; agents speak every 30 seconds.
const SILENCE: Duration = Duration::from_secs(120);
/// After this pause it is looked whether a stream that was held back may go on.
const RELEASE: Duration = Duration::from_secs(1);
/// How long the agent of a connection that was replaced has to answer, which shows that there are two of them.
const CHALLENGE: Duration = Duration::from_secs(10);
/// How soon a machine in quarantine may ask again, in seconds; as much again is added at random.
const QUARANTINE: u32 = 60;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Why a connection ends.
enum End {
    /// The socket broke, or the agent spoke nonsense.
    Broken(String),
    /// The agent is told to go.
    Bye { reason: String, retry_after: Option<u32> },
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "an agent's message could not be kept");
        End::Bye { reason: "the server cannot keep anything at the moment".to_owned(), retry_after: Some(5) }
    }
}
impl From<IngestError> for End {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Store(error) => error.into(),
            IngestError::Batch(error) => End::Broken(error.to_string()),
        }
    }
}
impl From<ArmError> for End {
    fn from(error: ArmError) -> Self {
        match error.code.as_str() {
            "AgentRevoked" => End::Bye { reason: error.message, retry_after: None },
            "DuplicateMachine" => {
                End::Bye { reason: error.message, retry_after: Some(QUARANTINE + spread(QUARANTINE)) }
            }
            _ => End::Bye { reason: error.message, retry_after: Some(5) },
        }
    }
}

/// One live connection.
pub(super) struct Connection {
    app: Arc<App>,
    id: Uuid,
    agent: Uuid,
    key: [u8; 32],
    address: IpAddr,
    machine: Scope,
    sent_generation: u64,
    /// How much of the log the agent has seen once it has read what was sent.
    shown: u64,
    /// How many successions of keys the agent was told of.
    told: usize,
    /// Whether a stream got no credit.
    held_back: bool,
    /// What was kept of its hello.
    greeted: Option<Sighting>,
}

impl Connection {
    pub(super) fn new(app: Arc<App>, certified: Certified, address: IpAddr, machine: Scope) -> Self {
        let Certified { agent, key, .. } = certified;
        let (id, sent_generation, shown) = (Uuid::new_v4(), 0, 0);
        let (told, held_back, greeted) = (0, false, None);
        Self { app, id, agent, key, address, machine, sent_generation, shown, told, held_back, greeted }
    }

    pub(super) async fn run(mut self, upgraded: Upgraded) {
        let config = WebSocketConfig::default()
            .read_buffer_size(1024)
            .write_buffer_size(0)
            .max_message_size(Some(MAX_FRAME_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES));
        let mut socket =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        let machine_key = self.machine.key();
        let wake = Arc::new(Notify::new());
        self.app.agents.enter(&machine_key, self.id, wake.clone());
        let end = self.talk(&mut socket, &wake).await;
        self.app.agents.leave(&machine_key, self.id);
        Box::pin(self.ended(&end)).await;
        match end {
            End::Broken(why) => tracing::info!(machine = machine_key, why, "an agent's connection ended"),
            End::Bye { reason, retry_after } => {
                tracing::info!(machine = machine_key, reason, "an agent was sent away");
                // It may be gone already.
                let _ = send(&mut socket, &ToAgent::Bye { reason, retry_after }).await;
                let _ = socket.close(None).await;
            }
        }
    }

    /// Keeps that a connection that had begun has ended.
    async fn ended(&self, end: &End) {
        if self.greeted.is_none() {
            return;
        }
        let (End::Broken(reason) | End::Bye { reason, .. }) = end;
        let (machine, reason) = (self.machine.clone(), reason.clone());
        let kept = self
            .app
            .store
            .write::<_, StoreError, _>(move |tx| {
                Box::pin(async move { machine::disconnected(tx, &machine, &reason).await })
            })
            .await;
        if let Err(error) = kept {
            tracing::error!(machine = self.machine.key(), %error, "the end of a connection could not be kept");
        }
    }

    async fn talk(&mut self, socket: &mut Socket, wake: &Notify) -> End {
        // What happens now and then is in boxes of its own, so that a connection that waits is small.
        match Box::pin(self.greet(socket)).await {
            Ok(()) => {}
            Err(end) => return end,
        }
        let mut heard = Instant::now();
        let mut ping = interval_at(Instant::now() + PING, PING);
        loop {
            let step = tokio::select! {
                message = timeout_at(heard + SILENCE, socket.next()) => match message {
                    Err(_) => Err(End::Broken(format!("silent since {} s", heard.elapsed().as_secs()))),
                    Ok(None) => Err(End::Broken("closed".to_owned())),
                    Ok(Some(Err(error))) => Err(End::Broken(error.to_string())),
                    Ok(Some(Ok(message))) => {
                        heard = Instant::now();
                        Box::pin(self.take(socket, message)).await
                    }
                },
                () = wake.notified() => Box::pin(self.push(socket)).await,
                () = sleep(RELEASE), if self.held_back => self.release(socket).await,
                _ = ping.tick() => deliver(socket, Message::Ping(Vec::new().into())).await,
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn greet(&mut self, socket: &mut Socket) -> Result<(), End> {
        let first =
            timeout(HELLO_TIMEOUT, socket.next()).await.map_err(|_| End::Broken("no hello".to_owned()))?;
        let Some(Ok(Message::Binary(bytes))) = first else { return Err(End::Broken("no hello".to_owned())) };
        let Ok(ToServer::Hello { version, boot_id, generation, report, lineage, log, .. }) =
            serde_json::from_slice(&bytes)
        else {
            return Err(End::Broken("the first message is no hello".to_owned()));
        };
        (self.sent_generation, self.shown) = (generation, log.size);
        let app = self.app.clone();
        let _turn = app.admission.hello().await.map_err(|retry_after| End::Bye {
            reason: "many machines come back at the same time".to_owned(),
            retry_after: Some(retry_after),
        })?;
        let (agent, key, now) = (self.agent, self.key, OffsetDateTime::now_utc());
        let sighting = Sighting::new(self.id, self.address.to_string(), &boot_id, &lineage, now);
        let (kept, machine) = (sighting.clone(), self.machine.clone());
        let state = self
            .app
            .store
            .write::<_, ArmError, _>(move |tx| {
                Box::pin(async move {
                    let state =
                        enrolment::hello(tx, agent, &key, kept, &version, report.map(bounded)).await?;
                    if let Some(state) = &state {
                        machine::overtake(tx, &machine, state).await?;
                        if let Some(reason) = &log.distrusts {
                            witnesses::distrusts(tx, &machine, reason).await?;
                        }
                    }
                    Ok(state)
                })
            })
            .await?
            .ok_or_else(|| End::from(enrolment::quarantined()))?;
        let mut streams = BTreeMap::new();
        let mut read = self.app.store.read().await?;
        for stream in Stream::ALL {
            let last = ingest::cursors(&mut read, &self.machine, stream).await?.by_epoch();
            streams.insert(stream, StreamState { last, credit: self.credit(stream) });
        }
        drop(read);
        self.greeted = Some(sighting);
        let now = i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).ok();
        let log_key = Some(app.log.key());
        let successions = app.keys.get().successions.clone();
        self.told = successions.count();
        let facts_hash = state.facts_hash;
        send(socket, &ToAgent::Welcome { facts_hash, streams, now, log_key, successions }).await?;
        self.show(socket).await?;
        self.push(socket).await
    }

    /// Tells the agent of keys that were replaced since it was told of them last, before anything that only the new ones
    /// have signed.
    async fn succeed(&mut self, socket: &mut Socket) -> Result<(), End> {
        let keys = self.app.keys.get();
        let count = keys.successions.count();
        if count == self.told {
            return Ok(());
        }
        self.told = count;
        send(socket, &ToAgent::Successions(keys.successions.clone())).await
    }

    /// Shows the agent the newest checkpoint when it has not seen so much of the log, and also when it has seen more
    /// than there is: then it is for the agent to judge.
    async fn show(&mut self, socket: &mut Socket) -> Result<(), End> {
        self.succeed(socket).await?;
        let signed = self.app.log.signed();
        if signed == self.shown && signed > 0 {
            return Ok(());
        }
        let mut read = self.app.store.read().await?;
        let (size, advance) = self.app.log.advance(&mut read, self.shown, 0).await?;
        drop(read);
        if size == self.shown {
            return Ok(());
        }
        self.shown = size;
        send(socket, &ToAgent::Checkpoint(advance)).await
    }

    /// Keeps a cosignature, when it is one of what the log was.
    async fn witnessed(&self, key: Verifier, size: u64, line: String) -> Result<(), End> {
        let mut read = self.app.store.read().await?;
        if size > read.log_size().await? {
            return Ok(());
        }
        let checkpoint = self.app.log.checkpoint_at(&mut read, size).await?;
        drop(read);
        let Some(seen) = witnesses::cosigned(&self.agent.to_string(), key, &checkpoint, &line) else {
            return Err(End::Broken("a cosignature that is none".to_owned()));
        };
        let machine = self.machine.clone();
        self.write(move |tx| Box::pin(async move { Ok(witnesses::believes(tx, &machine, seen).await?) }))
            .await
    }

    /// How many bytes of a stream may be on their way: less while writes queue up, nothing of what can wait when half
    /// the queue is full, and never nothing of what cannot.
    fn credit(&mut self, stream: Stream) -> usize {
        const WHOLE: usize = 256 << 10;
        const LEAST: usize = 64 << 10;
        let busy = self.app.store.pressure() > 0.5;
        match stream {
            Stream::Security => {
                if busy {
                    LEAST
                } else {
                    WHOLE
                }
            }
            Stream::Telemetry => {
                self.held_back |= busy;
                if busy { 0 } else { WHOLE }
            }
        }
    }

    /// Keeps a batch, and says so when it is durable.
    async fn keep(&mut self, socket: &mut Socket, batch: Batch) -> Result<(), End> {
        let (machine, stream) = (self.machine.clone(), batch.stream);
        let (news, hours) = (usage::News::of(&batch), flow_logs::hours(&batch));
        let kept = self
            .write(move |tx| {
                Box::pin(async move {
                    machine::heard(tx, &machine, |_| {}).await?;
                    flow_logs::mark(tx, &machine, hours).await?;
                    let kept = ingest::ingest(tx, &machine, batch).await?;
                    if matches!(kept, Receipt::Kept(..)) {
                        usage::keep(tx, &machine, news).await?;
                    }
                    Ok(kept)
                })
            })
            .await?;
        let credit = self.credit(stream);
        let answer = match kept {
            Receipt::Kept(epoch, upto) => ToAgent::Acknowledged { stream, epoch, upto, credit },
            Receipt::Missing(epoch, last) => ToAgent::Missing { stream, epoch, last },
        };
        send(socket, &answer).await
    }

    /// Gives what was held back its credit again, once there is room.
    async fn release(&mut self, socket: &mut Socket) -> Result<(), End> {
        self.held_back = false;
        let stream = Stream::Telemetry;
        match self.credit(stream) {
            0 => Ok(()),
            credit => send(socket, &ToAgent::Credit { stream, credit }).await,
        }
    }

    /// Tells the agent what is new for it, and ends the connection when it may not stay.
    async fn push(&mut self, socket: &mut Socket) -> Result<(), End> {
        let mut read = self.app.store.read().await?;
        let agent = enrolment::trusted(&mut read, self.agent, &self.key).await?;
        if agent.has_replaced(self.id) {
            drop(read);
            return Err(self.challenge(socket).await);
        }
        self.succeed(socket).await?;
        let tunnels = &self.app.bastion.tunnels;
        let (wishes, cuts) = (tunnels.take(&self.machine.key()), tunnels.take_cuts(&self.machine.key()));
        if !wishes.is_empty() || !cuts.is_empty() {
            drop(read);
            for id in cuts {
                send(socket, &ToAgent::Cut { id }).await?;
            }
            for wish in wishes {
                self.open(socket, wish).await?;
            }
            read = self.app.store.read().await?;
        }
        let desired: Option<Desired> = read_document(&mut read, kind::DESIRED, &self.machine.key()).await?;
        // What a version before there were proofs has decided is about to be decided anew.
        let Some(Desired { generation, text, leaf: Some(leaf), .. }) =
            desired.filter(|d| d.generation > self.sent_generation)
        else {
            return Ok(());
        };
        let (size, proof) = self.app.log.prove(&mut read, leaf, self.shown).await?;
        drop(read);
        (self.sent_generation, self.shown) = (generation, size);
        let signed = self.app.keys.get().command.sign(text.document);
        send(socket, &ToAgent::Desired(Command { signed, proof: Some(proof) })).await
    }

    /// Sends a ticket, after the log tells of it.
    async fn open(&mut self, socket: &mut Socket, wish: Wish) -> Result<(), End> {
        let Some(link) = self.greeted.as_ref().and_then(|g| g.lineage.link()) else {
            self.app.bastion.tunnels.refused(&self.machine, wish.id, "the machine's agent is too old for it");
            return Ok(());
        };
        let Wish { id, machine, target, seconds, caller, about } = wish;
        let ticket = Ticket { id, machine: machine.key(), link, target, seconds };
        let (intent, text) = (ticket.intent(&machine, caller, about), ticket.text());
        let leaf = self.write(move |tx| Box::pin(async move { Ok(tx.audit(intent).await?.leaf) })).await?;
        let mut read = self.app.store.read().await?;
        let (size, proof) = self.app.log.prove(&mut read, leaf, self.shown).await?;
        drop(read);
        self.shown = size;
        let opening = self.app.keys.get().command.open(text, proof);
        send(socket, &ToAgent::Open(opening)).await
    }

    /// Another connection of this machine has said hello. An agent ends its connection before it opens another: if this
    /// one still answers, there are two agents with one key.
    async fn challenge(&self, socket: &mut Socket) -> End {
        let replaced = || End::Broken("another connection of this machine took over".to_owned());
        let Some(own) = self.greeted.clone() else { return replaced() };
        let nonce = Uuid::new_v4().into_bytes();
        if let Err(end) = deliver(socket, Message::Ping(nonce.to_vec().into())).await {
            return end;
        }
        let answered = timeout(CHALLENGE, async {
            loop {
                match socket.next().await {
                    Some(Ok(Message::Pong(answer))) if *answer == nonce => return true,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return false,
                    Some(Ok(_)) => {}
                }
            }
        });
        if !answered.await.unwrap_or(false) {
            return replaced();
        }
        let (agent, key) = (self.agent, self.key);
        let kept = self
            .write(move |tx| Box::pin(async move { Ok(enrolment::answered(tx, agent, &key, &own).await?) }));
        match kept.await {
            Ok(()) => End::from(enrolment::quarantined()),
            Err(end) => end,
        }
    }

    async fn take(&mut self, socket: &mut Socket, message: Message) -> Result<(), End> {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Close(_) => return Err(End::Broken("closed by the agent".to_owned())),
            _ => return Err(End::Broken("a message that is not binary".to_owned())),
        };
        let message: ToServer =
            serde_json::from_slice(&bytes).map_err(|e| End::Broken(format!("nonsense: {e}")))?;
        self.app.metrics.messages.inc();
        let (machine, app) = (self.machine.clone(), self.app.clone());
        match message {
            ToServer::Alive | ToServer::Unknown | ToServer::Hello { .. } => {
                self.write(move |tx| {
                    Box::pin(async move { Ok(machine::heard(tx, &machine, |_| {}).await.map(|_| ())?) })
                })
                .await?;
                self.show(socket).await
            }
            ToServer::NotOpened { id, reason } => {
                self.app.bastion.tunnels.refused(&machine, id, &reason);
                Ok(())
            }
            ToServer::Cut { id, processes } => {
                self.app.bastion.tunnels.was_cut(&machine, id, processes);
                Ok(())
            }
            ToServer::Witnessed { key, size, line } => self.witnessed(key, size, line).await,
            ToServer::Distrusts { reason } => {
                tracing::error!(machine = machine.key(), reason, "a machine does not believe the audit log");
                self.write(move |tx| {
                    Box::pin(async move { Ok(witnesses::distrusts(tx, &machine, &reason).await?) })
                })
                .await
            }
            ToServer::Hits { rules } => {
                self.write(move |tx| Box::pin(async move { Ok(hits::keep(tx, &machine, rules).await?) }))
                    .await
            }
            ToServer::Report(report) => {
                let report = bounded(report);
                self.write(move |tx| {
                    Box::pin(async move { Ok(machine::reported(tx, &machine, report).await.map(|_| ())?) })
                })
                .await
            }
            ToServer::Facts { facts: value } | ToServer::FactsPatch { patch: value, .. }
                if !value.is_object() =>
            {
                Err(End::Broken("facts that are no object".to_owned()))
            }
            ToServer::Facts { facts } => {
                self.write(move |tx| {
                    Box::pin(async move {
                        machine::keep_facts(tx, &machine, None, facts, &app.observers).await?;
                        Ok(())
                    })
                })
                .await
            }
            ToServer::FactsPatch { base, patch, .. } => {
                let fits = self
                    .write(move |tx| {
                        Box::pin(async move {
                            Ok(machine::keep_facts(tx, &machine, Some(&base), patch, &app.observers).await?)
                        })
                    })
                    .await?;
                if !fits {
                    send(socket, &ToAgent::NeedFacts).await?;
                }
                self.show(socket).await
            }
            ToServer::Events(batch) => self.keep(socket, batch).await,
            ToServer::Renew { csr } => {
                let (agent, key) = (self.agent, self.key);
                let keys = self.app.keys.get();
                let ca = keys.authorities.bundle();
                let certificate = self
                    .write(move |tx| {
                        Box::pin(async move {
                            let authority = keys.authorities.signing();
                            Ok(enrolment::renew(tx, agent, &key, &csr, authority).await?)
                        })
                    })
                    .await?;
                send(socket, &ToAgent::Certificate { certificate, ca }).await
            }
        }
    }

    /// Keeps something in a transaction in which the agent is trusted.
    async fn write<T, F>(&self, work: F) -> Result<T, End>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut dyn Write) -> futures_util::future::BoxFuture<'t, Result<T, End>>
            + Send
            + 'static,
    {
        let (agent, key) = (self.agent, self.key);
        self.app
            .store
            .write::<_, End, _>(move |tx| {
                Box::pin(async move {
                    enrolment::trusted(tx.as_read(), agent, &key).await?;
                    work(tx).await
                })
            })
            .await
    }
}

/// A report whose message is of a length that can be kept.
fn bounded(report: Report) -> Report {
    let message = report.message.chars().take(2000).collect();
    Report { message, ..report }
}

async fn send(socket: &mut Socket, message: &ToAgent) -> Result<(), End> {
    let message = serde_json::to_vec(message).map_err(|e| End::Broken(e.to_string()))?;
    let sent = async {
        for (part, is_first, is_last) in frames(&message) {
            let code = OpCode::Data(if is_first { Data::Binary } else { Data::Continue });
            let frame = Frame::message(Bytes::copy_from_slice(part), code, is_last);
            socket.feed(Message::Frame(frame)).await?;
        }
        socket.flush().await
    };
    taken(sent).await
}

async fn deliver(socket: &mut Socket, message: Message) -> Result<(), End> {
    taken(socket.send(message)).await
}

/// Until the agent has taken what it is sent, in time.
async fn taken(sent: impl Future<Output = tungstenite::Result<()>>) -> Result<(), End> {
    match timeout(Duration::from_secs(30), sent).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(End::Broken(error.to_string())),
        Err(_) => Err(End::Broken("the agent does not read".to_owned())),
    }
}
