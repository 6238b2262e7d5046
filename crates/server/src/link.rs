//! The server's end of the link: machines join over HTTPS, agents hold one WebSocket over mutual TLS.
//!
//! One task per connection reads from the agent and is woken when the machine's desired document changes or its agent
//! is revoked. Whatever it says is read from the database at that moment, so that a missed wake-up costs time and
//! never correctness.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::Response;
use futures_util::{SinkExt, StreamExt};
use http::{StatusCode, header};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{ArmError, Outcome, Scope, StoreError};
use sekisho_link::ingest::{self, IngestError, Receipt};
use sekisho_link::join::Hex;
use sekisho_link::machine::{self, Desired, Machine, kind};
use sekisho_link::message::{
    JoinAnswer, JoinRequest, MAX_FRAME_BYTES, MAX_HELLO_BYTES, Report, StreamState, ToAgent, ToServer,
};
use sekisho_link::stream::{Batch, Stream};
use sekisho_store::News;
use serde_json::json;
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, sleep, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};
use uuid::Uuid;

use crate::app::App;
use crate::http::{self as web, Peer};
use crate::signin::{self, throttle};

/// How long a new connection may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(15);
/// The server says something at least this often, so that an agent can tell a silent server from a dead path.
const PING: Duration = Duration::from_secs(45);
/// Silence after which a connection is given up; agents speak every 30 seconds.
const SILENCE: Duration = Duration::from_secs(120);
/// After this pause it is looked whether a stream that was held back may go on.
const RELEASE: Duration = Duration::from_secs(1);

/// `POST /link/join`.
pub async fn join(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: axum::extract::Request,
) -> Response {
    match joined(app, peer, request).await {
        Ok(answer) => answer,
        Err(error) => web::arm_error(&error),
    }
}

async fn joined(app: Arc<App>, peer: Peer, request: axum::extract::Request) -> Result<Response, ArmError> {
    let body = web::read_body(request.into_body(), MAX_HELLO_BYTES).await?;
    let value = web::parse_json(&body)?;
    let request: JoinRequest = sekisho_arm::resource::typed(&value, "")?;
    let address = peer.0.ip();
    let owner = app.clone();
    let result = app
        .store
        .write::<_, ArmError, _>(move |tx| {
            Box::pin(async move { machine::join(tx, &request, &owner.authority, &address.to_string()).await })
        })
        .await;
    let joined = match result {
        Ok(joined) => joined,
        Err(error) => return Err(refuse_join(&app, address, error).await?),
    };
    let answer = JoinAnswer {
        agent_id: joined.agent.to_string(),
        machine: joined.machine.to_string(),
        certificate: joined.certificate,
        ca: app.authority.certificate().to_owned(),
        command_key: app.command_key.public().to_text(),
    };
    Ok(web::json(StatusCode::CREATED, &answer))
}

/// Counts and records a refused join. From where too many came, further ones are no longer recorded, so that nobody can
/// fill the log; a join string that is good lets in from there too, because it cannot be guessed.
async fn refuse_join(app: &App, address: IpAddr, error: ArmError) -> Result<ArmError, ArmError> {
    let (places, now) = (app.identity.keyed.origins("join", address), OffsetDateTime::now_utc());
    if let Err(locked) = throttle::check(&mut app.store.read().await?, &places, now).await? {
        let mut error = ArmError::new(429, "TooManyAttempts", "Too many machines were refused from here.");
        error.retry_after = Some(locked.seconds(now));
        return Ok(error);
    }
    tracing::warn!(code = error.code, client = %address, "a machine was not let in");
    let who = signin::nobody("a machine that is not known");
    let mut record = signin::entry("", who, Outcome::Denied, &error.code, &address.to_string());
    record.operation = "Sekisho.Fleet/machines/join/action".to_owned();
    app.store
        .write::<_, StoreError, _>(move |tx| {
            Box::pin(async move {
                throttle::failed(tx, &places, None, now).await?;
                tx.audit(record).await
            })
        })
        .await?;
    Ok(error)
}

/// Answers a request on a mutually authenticated connection: the WebSocket, or a probe by which an agent makes sure
/// that new connections still work.
pub async fn agent_request(
    app: Arc<App>,
    identity: (Uuid, [u8; 32]),
    peer: Peer,
    mut request: http::Request<Incoming>,
) -> Response {
    let admitted = async {
        let mut read = app.store.read().await?;
        machine::admit(&mut read, identity.0, &identity.1).await
    };
    let agent = match admitted.await {
        Ok(agent) => agent,
        Err(error) => {
            app.metrics.refused.inc();
            tracing::warn!(agent = %identity.0, client = %peer.0, code = error.code, "an agent was not admitted");
            return web::arm_error(&error);
        }
    };
    match request.uri().path() {
        "/link/confirm" => {
            let nonce = request.uri().query().unwrap_or_default().to_owned();
            web::json(StatusCode::OK, &json!({ "nonce": nonce.chars().take(128).collect::<String>() }))
        }
        "/link/agent" => {
            let Some(key) =
                request.headers().get("sec-websocket-key").map(|k| derive_accept_key(k.as_bytes()))
            else {
                return web::arm_error(&ArmError::bad("UpgradeRequired", "A WebSocket is expected here."));
            };
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                match upgrade.await {
                    Ok(upgraded) => Connection::new(app, identity, agent.machine).run(upgraded).await,
                    Err(error) => tracing::debug!(%error, "an agent's connection did not become a WebSocket"),
                }
            });
            Response::builder()
                .status(StatusCode::SWITCHING_PROTOCOLS)
                .header(header::CONNECTION, "upgrade")
                .header(header::UPGRADE, "websocket")
                .header("sec-websocket-accept", key)
                .body(Body::empty())
                .unwrap_or_default()
        }
        _ => web::arm_error(&ArmError::new(404, "NotFound", "Nothing is served at this path.")),
    }
}

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
impl From<ArmError> for End {
    fn from(error: ArmError) -> Self {
        match error.code.as_str() {
            "AgentRevoked" => End::Bye { reason: error.message, retry_after: None },
            _ => End::Bye { reason: error.message, retry_after: Some(5) },
        }
    }
}

/// One live connection.
struct Connection {
    app: Arc<App>,
    id: Uuid,
    agent: Uuid,
    key: [u8; 32],
    machine: Scope,
    sent_generation: u64,
    /// Whether a stream got no credit.
    held_back: bool,
    greeted: bool,
}

impl Connection {
    fn new(app: Arc<App>, identity: (Uuid, [u8; 32]), machine: Scope) -> Self {
        let (agent, key) = identity;
        let id = Uuid::new_v4();
        Self { app, id, agent, key, machine, sent_generation: 0, held_back: false, greeted: false }
    }

    async fn run(mut self, upgraded: Upgraded) {
        let config = WebSocketConfig::default()
            .read_buffer_size(2048)
            .write_buffer_size(0)
            .max_message_size(Some(MAX_FRAME_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES));
        let mut socket =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        let machine_key = self.machine.key();
        let (wake, woken) = mpsc::channel(1);
        self.app.agents.enter(&machine_key, self.id, wake);
        let end = self.talk(&mut socket, woken).await;
        self.app.agents.leave(&machine_key, self.id);
        self.ended(&end).await;
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
        if !self.greeted {
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

    async fn talk(&mut self, socket: &mut Socket, mut woken: mpsc::Receiver<()>) -> End {
        match self.greet(socket).await {
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
                        self.take(socket, message).await
                    }
                },
                Some(()) = woken.recv() => self.push(socket).await,
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
        let Ok(ToServer::Hello { version, boot_id, generation, report, .. }) = serde_json::from_slice(&bytes)
        else {
            return Err(End::Broken("the first message is no hello".to_owned()));
        };
        self.sent_generation = generation;
        let machine = self.machine.clone();
        let (agent, key) = (self.agent.to_string(), Hex(&self.key).to_string());
        let state: Machine = self
            .app
            .store
            .write::<_, StoreError, _>(move |tx| {
                Box::pin(async move {
                    // A renewed key that is in use ends the one before it, of which there may be copies.
                    let known: Option<machine::Agent> =
                        read_document(tx.as_read(), kind::AGENT, &agent).await?;
                    if let Some(mut known) = known.filter(|k| k.keys.len() > 1 && k.keys.last() == Some(&key))
                    {
                        known.keys = vec![key];
                        write_document(tx, kind::AGENT, &agent, &known).await?;
                    }
                    machine::connected(tx, &machine, &version, &boot_id, report.map(bounded)).await
                })
            })
            .await?;
        let mut streams = BTreeMap::new();
        let mut read = self.app.store.read().await?;
        for stream in Stream::ALL {
            let last = ingest::cursors(&mut read, &self.machine, stream).await?.by_epoch();
            streams.insert(stream, StreamState { last, credit: self.credit(stream) });
        }
        drop(read);
        self.greeted = true;
        send(socket, &ToAgent::Welcome { facts_hash: state.facts_hash, streams }).await?;
        self.push(socket).await
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
        let kept = self
            .app
            .store
            .write::<_, IngestError, _>(move |tx| {
                Box::pin(async move {
                    machine::heard(tx, &machine, |_| {}).await?;
                    ingest::ingest(tx, &machine, batch).await
                })
            })
            .await;
        let credit = self.credit(stream);
        let answer = match kept {
            Ok(Receipt::Kept(epoch, upto)) => ToAgent::Acknowledged { stream, epoch, upto, credit },
            Ok(Receipt::Missing(epoch, last)) => ToAgent::Missing { stream, epoch, last },
            Err(IngestError::Store(error)) => return Err(error.into()),
            Err(IngestError::Batch(error)) => return Err(End::Broken(error.to_string())),
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
        if !self.app.agents.is_current(&self.machine.key(), self.id) {
            return Err(End::Bye {
                reason: "another connection of this machine took over".to_owned(),
                retry_after: Some(30),
            });
        }
        let mut read = self.app.store.read().await?;
        machine::admit(&mut read, self.agent, &self.key).await?;
        let desired: Option<Desired> = read_document(&mut read, kind::DESIRED, &self.machine.key()).await?;
        drop(read);
        if let Some(desired) = desired.filter(|d| d.generation > self.sent_generation) {
            self.sent_generation = desired.generation;
            send(socket, &ToAgent::Desired(desired.signed)).await?;
        }
        Ok(())
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
                        machine::keep_facts(tx, &machine, None, facts, &app.observers).await.map(|_| ())
                    })
                })
                .await
            }
            ToServer::FactsPatch { base, patch, .. } => {
                let fits = self
                    .app
                    .store
                    .write::<_, ArmError, _>(move |tx| {
                        Box::pin(async move {
                            machine::keep_facts(tx, &machine, Some(&base), patch, &app.observers).await
                        })
                    })
                    .await?;
                if fits { Ok(()) } else { send(socket, &ToAgent::NeedFacts).await }
            }
            ToServer::Events(batch) => self.keep(socket, batch).await,
            ToServer::Renew { csr } => {
                let (agent, key) = (self.agent, self.key);
                let ca = self.app.authority.certificate().to_owned();
                let certificate = self
                    .app
                    .store
                    .write::<_, ArmError, _>(move |tx| {
                        Box::pin(async move { machine::renew(tx, agent, &key, &csr, &app.authority).await })
                    })
                    .await?;
                send(socket, &ToAgent::Certificate { certificate, ca }).await
            }
        }
    }

    async fn write<F>(&self, work: F) -> Result<(), End>
    where
        F: for<'t> FnOnce(
                &'t mut dyn sekisho_arm::Write,
            ) -> futures_util::future::BoxFuture<'t, Result<(), ArmError>>
            + Send
            + 'static,
    {
        Ok(self.app.store.write::<_, ArmError, _>(work).await?)
    }
}

/// A report whose message is of a length that can be kept.
fn bounded(report: Report) -> Report {
    let message = report.message.chars().take(2000).collect();
    Report { message, ..report }
}

async fn send(socket: &mut Socket, message: &ToAgent) -> Result<(), End> {
    let bytes = serde_json::to_vec(message).map_err(|e| End::Broken(e.to_string()))?;
    deliver(socket, Message::Binary(bytes.into())).await
}

async fn deliver(socket: &mut Socket, message: Message) -> Result<(), End> {
    match timeout(Duration::from_secs(30), socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(End::Broken(error.to_string())),
        Err(_) => Err(End::Broken("the agent does not read".to_owned())),
    }
}

/// Wakes connections whose machine has something new.
pub async fn follow(app: Arc<App>) {
    let mut feed = app.store.changes();
    loop {
        match feed.next().await {
            Some(News::Changes(changes)) => {
                for change in changes.iter() {
                    match change.kind.as_str() {
                        kind::DESIRED => app.agents.wake(&change.key),
                        kind::AGENT => {
                            let agent = read_agent(&app, &change.key).await;
                            agent.into_iter().for_each(|machine| app.agents.wake(&machine.key()));
                        }
                        _ => {}
                    }
                }
            }
            Some(News::Missed) => app.agents.wake_all(),
            None => return,
        }
    }
}

async fn read_agent(app: &App, id: &str) -> Option<Scope> {
    let mut read = app.store.read().await.ok()?;
    let agent: machine::Agent = read_document(&mut read, kind::AGENT, id).await.ok()??;
    Some(agent.machine)
}
