//! Sessions while they last. One ends when either side closes, when its time is over, when somebody ends it, and within a
//! second of the moment at which whoever has it would not get it any more.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderMap;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use sekisho_arm::traits::read_document;
use sekisho_arm::{ArmError, Outcome, StoreError};
use sekisho_bastion::host::{LONGEST_MINUTES, Recording};
use sekisho_bastion::provider::host_type;
use sekisho_bastion::session::{self, BEAT, KIND, Session};
use sekisho_jit::provider::{policy_type, requests};
use sekisho_link::machine::{interface_type, vm_type};
use sekisho_store::News;
use time::OffsetDateTime;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};
use uuid::Uuid;

use super::limits::Limits;
use super::{Allowed, Lent, What, links, may, recorder, tunnels};
use crate::admitted::Admitted;
use crate::app::App;

/// The longest session: a working day.
const LONGEST: Duration = Duration::from_secs(LONGEST_MINUTES as u64 * 60);
/// Bytes that are read of a stream at once, and sent in a frame.
const BUFFER: usize = 16 << 10;
/// Largest message of a client.
const MAX_MESSAGE: usize = 1 << 20;
/// How long a client has to finish its upgrade, and to read what it is sent.
const PATIENCE: Duration = Duration::from_secs(60);

/// The sessions that this process carries.
#[derive(Default)]
pub(super) struct Live(Mutex<HashMap<Uuid, Arc<Notify>>>);

impl Live {
    fn enter(&self, id: Uuid) -> Arc<Notify> {
        let end = Arc::new(Notify::new());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, end.clone());
        end
    }

    fn leave(&self, id: Uuid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    pub(super) fn get(&self, id: Uuid) -> Option<Arc<Notify>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

/// A session that is kept.
pub(super) struct Begun {
    session: Session,
    since: Instant,
    end: Arc<Notify>,
    lent: Option<Lent>,
}

/// Bytes to the machine and from it, and when there were some to it last.
pub(super) struct Bytes {
    pub(super) to: AtomicU64,
    pub(super) from: AtomicU64,
    typed: watch::Sender<Instant>,
}

impl Default for Bytes {
    fn default() -> Bytes {
        let typed = watch::Sender::new(Instant::now());
        Bytes { to: AtomicU64::new(0), from: AtomicU64::new(0), typed }
    }
}

impl Bytes {
    /// Something was typed.
    pub(super) fn typed(&self) {
        self.typed.send_replace(Instant::now());
    }

    /// When something was typed last; at first, when it began.
    pub(super) fn typed_last(&self) -> Instant {
        *self.typed.borrow()
    }

    /// Hears whenever something is typed.
    pub(super) fn typing(&self) -> watch::Receiver<Instant> {
        self.typed.subscribe()
    }

    pub(super) fn both(&self) -> (u64, u64) {
        (self.to.load(Relaxed), self.from.load(Relaxed))
    }
}

impl Begun {
    /// Keeps it before the machine is asked.
    ///
    /// # Errors
    /// 429 when whoever wants it has as many as they may, and those of the database.
    pub(super) async fn keep(
        app: &App,
        allowed: &Allowed,
        recording: Recording,
        most: Option<u32>,
    ) -> Result<Begun, ArmError> {
        let (now, since) = (OffsetDateTime::now_utc(), Instant::now());
        let (protocol, port) = match &allowed.what {
            What::Port(port) => (super::PROTOCOL, *port),
            What::Near(to) => (super::PROTOCOL, to.port()),
            What::Login(_) => ("ssh", 22),
            What::Desktop(sight) => (sight.protocol.word(), sight.port),
        };
        let session = Session {
            id: Uuid::new_v4(),
            host: allowed.host.to_string(),
            machine: allowed.machine.to_string(),
            protocol: protocol.to_owned(),
            port,
            account: allowed.what.account().map(ToString::to_string),
            recording,
            caller: allowed.caller.reference(),
            address: allowed.caller.address.to_string(),
            since: now,
            seen: now,
            // A browser shows nothing else; a native client says later whether it has one.
            terminal: !allowed.native && matches!(allowed.what, What::Login(_)),
            ended_by: None,
        };
        let end = app.bastion.live.enter(session.id);
        let (kept, lent) = (session.clone(), allowed.lent.clone());
        let written = app
            .store
            .write::<_, ArmError, _>(move |tx| {
                Box::pin(async move {
                    let begins = session::begin(tx, &kept, most).await?;
                    // A link is not used up by what does not begin; one that is makes nothing begin.
                    if let Some(lent) = lent.filter(|_| begins) {
                        links::take(tx, &lent).await?;
                    }
                    Ok(begins)
                })
            })
            .await;
        if !matches!(written, Ok(true)) {
            app.bastion.live.leave(session.id);
            let text = "You have as many sessions as this bastion host lets one person have. End one first.";
            return Err(written.err().unwrap_or_else(|| ArmError::new(429, "TooManySessions", text)));
        }
        Ok(Begun { session, since, end, lent: allowed.lent.clone() })
    }

    /// What it is called.
    pub(super) fn id(&self) -> Uuid {
        self.session.id
    }

    /// When it began. Its machine counts from a little later, and does not end it before this server says why.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// What is kept of it.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Takes note that nothing came of it.
    ///
    /// # Errors
    /// Those of the database.
    pub(super) async fn give_up(self, app: &App, why: &str) -> Result<(), StoreError> {
        if let Some(lent) = self.lent.clone() {
            app.store
                .write::<_, StoreError, _>(move |tx| {
                    Box::pin(async move { links::give_back(tx, &lent).await })
                })
                .await?;
        }
        self.over(app, why, (0, 0), None).await
    }

    /// Takes note of its end, and of that of its recording.
    ///
    /// # Errors
    /// Those of the database.
    pub(super) async fn over(
        self,
        app: &App,
        why: &str,
        bytes: (u64, u64),
        recorded: Option<recorder::Closed>,
    ) -> Result<(), StoreError> {
        app.bastion.live.leave(self.session.id);
        tracing::info!(session = %self.session.id, why, to = bytes.0, from = bytes.1, "a session ended");
        let outcome = if why == "Closed" { Outcome::Succeeded } else { Outcome::Failed };
        let (session, why) = (self.session, why.to_owned());
        app.store
            .write::<_, StoreError, _>(move |tx| {
                Box::pin(async move {
                    if let Some(closed) = recorded {
                        recorder::ended(tx, session.id, Some(closed)).await?;
                    }
                    session::over(tx, &session, outcome, &why, bytes).await
                })
            })
            .await
    }
}

/// Carries a tunnel to its end.
pub(super) async fn carry(
    app: Arc<App>,
    allowed: Allowed,
    headers: HeaderMap,
    (begun, stream): (Begun, tunnels::Stream),
    upgrade: OnUpgrade,
) {
    let bytes = Arc::new(Bytes::default());
    let work = async {
        match accept(upgrade, MAX_MESSAGE).await {
            Some(socket) => exchange(socket, stream, &bytes).await,
            None => "NotUpgraded",
        }
    };
    let limits = Limits::new(begun.since, LONGEST, None, bytes.clone());
    let why = hold(&app, &allowed, headers, &begun, &limits, work).await;
    if let Err(error) = begun.over(&app, why, bytes.both(), None).await {
        tracing::error!(%error, "the end of a session could not be kept");
    }
}

/// Has something done for as long as a session may last. Returns why it ended.
pub(super) async fn hold(
    app: &Arc<App>,
    allowed: &Allowed,
    headers: HeaderMap,
    begun: &Begun,
    limits: &Limits,
    work: impl Future<Output = &'static str>,
) -> &'static str {
    tokio::select! {
        why = work => why,
        why = until_not_allowed(app, allowed, &headers) => why,
        why = until_ended(app, begun.session.id, &begun.end) => why,
        limit = limits.reached() => limit.word(),
    }
}

/// A client's WebSocket; none when it does not come in time. `largest` is the most that it may say at once, in bytes.
pub(super) async fn accept(upgrade: OnUpgrade, largest: usize) -> Option<Socket> {
    let upgraded = timeout(PATIENCE, upgrade).await.ok()?.ok()?;
    let config = WebSocketConfig::default().max_message_size(Some(largest)).max_frame_size(Some(largest));
    Some(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await)
}

/// A client's end.
pub(super) type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// Until one side closes.
async fn exchange(socket: Socket, stream: tunnels::Stream, bytes: &Bytes) -> &'static str {
    let (mut client, mut from_client) = socket.split();
    let (mut from_machine, mut machine) = split(stream);
    let into = async {
        while let Some(Ok(message)) = from_client.next().await {
            match message {
                Message::Binary(data) => {
                    if machine.write_all(&data).await.is_err() {
                        break;
                    }
                    bytes.to.fetch_add(data.len() as u64, Relaxed);
                }
                Message::Close(_) => break,
                _ => {}
            }
        }
        let _ = machine.shutdown().await;
    };
    let out = async {
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = match from_machine.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(read) => read,
            };
            let sent = client.send(Message::Binary(buffer[..read].to_vec().into()));
            if !matches!(timeout(PATIENCE, sent).await, Ok(Ok(()))) {
                break;
            }
            bytes.from.fetch_add(read as u64, Relaxed);
        }
        let _ = client.send(Message::Close(None)).await;
    };
    tokio::select! {
        () = into => {}
        () = out => {}
    }
    "Closed"
}

/// Carries a tunnel of bytes to its end.
pub(super) async fn carry_bytes(
    app: &Arc<App>,
    allowed: &Allowed,
    (begun, stream): (Begun, tunnels::Stream),
    client: impl AsyncRead + AsyncWrite,
) {
    let bytes = Arc::new(Bytes::default());
    let (from_client, to_client) = split(client);
    let (from_machine, to_machine) = split(stream);
    let work = async {
        // What one side has said wholly is answered by the other.
        let into = pass(from_client, to_machine, &bytes.to);
        let out = pass(from_machine, to_client, &bytes.from);
        tokio::join!(into, out);
        "Closed"
    };
    let limits = Limits::new(begun.since, LONGEST, None, bytes.clone());
    let why = hold(app, allowed, HeaderMap::new(), &begun, &limits, work).await;
    if let Err(error) = begun.over(app, why, bytes.both(), None).await {
        tracing::error!(%error, "the end of a session could not be kept");
    }
}

/// Passes bytes on until there are no more, and says so then.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, count: &AtomicU64) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
        count.fetch_add(read as u64, Relaxed);
    }
    let _ = to.shutdown().await;
}

/// Until whoever has it would not get it any more.
async fn until_not_allowed(app: &Arc<App>, allowed: &Allowed, headers: &HeaderMap) -> &'static str {
    let mut caller = allowed.caller.clone();
    // An access token's hour is not what a session stands on: the sign-in behind it is.
    let longest = OffsetDateTime::now_utc() + LONGEST;
    caller.expires = caller.grant.as_ref().map_or(longest, |grant| grant.lapses().min(longest));
    let mut admitted = Admitted::new(app.clone(), caller, headers.clone());
    let kinds = [host_type(), vm_type(), interface_type(), policy_type()].map(|kind| kind.key());
    // What was allowed a moment ago is looked at once more: it may have changed before anything was heard.
    loop {
        if !admitted.holds() {
            return "ConditionalAccess";
        }
        let still = async {
            let mut read = app.store.read().await?;
            may(app, &mut read, admitted.caller(), allowed).await
        };
        if still.await.is_err() {
            return "NotAllowedAnyMore";
        }
        loop {
            match admitted.next().await {
                None => return "SignInEnded",
                Some(None | Some(News::Missed)) => break,
                Some(Some(News::Changes(changes))) => {
                    let is_theirs =
                        |key: &str| allowed.lent.as_ref().is_some_and(|l| l.link.to_string() == key);
                    let concerns = |kind: &String, key: &str| {
                        kinds.contains(kind)
                            || kind == requests::LIVE
                            || (kind == links::KIND && is_theirs(key))
                    };
                    if changes.iter().any(|c| concerns(&c.kind, &c.key)) {
                        break;
                    }
                }
            }
        }
    }
}

/// Until somebody ends it. Meanwhile it is said that it lives.
async fn until_ended(app: &Arc<App>, id: Uuid, end: &Notify) -> &'static str {
    let mut beat = interval(BEAT.unsigned_abs());
    beat.tick().await;
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            () = end.notified() => return "Disconnected",
            _ = beat.tick() => {}
        }
        let lives = app
            .store
            .write::<_, StoreError, _>(move |tx| Box::pin(async move { session::beat(tx, id).await }));
        match lives.await {
            Ok(true) => heard = Instant::now(),
            Ok(false) => return "Disconnected",
            // Whoever cannot say that it lives is taken for dead by the others.
            Err(_) if heard.elapsed() > 3 * BEAT.unsigned_abs() => return "NotKept",
            Err(_) => {}
        }
    }
}

/// Follows who wants sessions to end, and ends those that nobody carries any more.
pub(crate) async fn keep(app: Arc<App>) {
    let mut feed = app.store.changes();
    let mut look = interval(BEAT.unsigned_abs());
    loop {
        tokio::select! {
            news = feed.next() => match news {
                Some(News::Changes(changes)) => {
                    for change in changes.iter().filter(|c| c.kind == KIND) {
                        ended(&app, &change.key).await;
                    }
                }
                // What was missed is seen with the next beat.
                Some(News::Missed) => {}
                None => return,
            },
            _ = look.tick() => {
                let swept = app
                    .store
                    .write::<_, StoreError, _>(|tx| Box::pin(async move {
                        for lost in session::sweep(tx).await? {
                            recorder::ended(tx, lost.id, None).await?;
                        }
                        Ok(())
                    }));
                if let Err(error) = swept.await {
                    tracing::warn!(%error, "sessions that nobody carries could not be looked for");
                }
            }
        }
    }
}

async fn ended(app: &App, key: &str) {
    let Some(end) = Uuid::try_parse(key).ok().and_then(|id| app.bastion.live.get(id)) else { return };
    let read = async { read_document::<Session>(&mut app.store.read().await?, KIND, key).await };
    let gone = match read.await {
        Ok(Some(session)) => session.ended_by.is_some(),
        Ok(None) => true,
        Err(_) => false,
    };
    if gone {
        end.notify_one();
    }
}
