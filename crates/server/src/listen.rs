//! The listeners. One port serves everybody: what begins like SSH goes to the gate, and TLS tells agents from all others by
//! ALPN, so that only agents are asked for a certificate.

use std::net::SocketAddr;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use sekisho_link::{Current, tls};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tower::ServiceExt as _;

use crate::ahead::ReadAhead;
use crate::app::App;
use crate::bastion;
use crate::http::Peer;
use crate::link::{self, Certified};
use crate::metrics::Handshake;

/// How long the beginning of a TLS handshake may take, and how long its rest.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a request's head may take: slow clients do not hold a connection for ever.
const HEAD: Duration = Duration::from_secs(20);
/// Connections at once that have not said who they are; more wait in the listen queue.
const HANDSHAKES: usize = 256;

/// The TLS configurations.
#[derive(Clone)]
pub(crate) struct Tls {
    /// For browsers and `az`.
    pub(crate) clients: Arc<ServerConfig>,
    /// For machines that join.
    pub(crate) joining: Arc<ServerConfig>,
    /// For agents.
    pub(crate) agents: Arc<Current<ServerConfig>>,
}

/// Listeners passed by the service manager (`sd_listen_fds(3)`), if any.
///
/// # Errors
/// When a passed descriptor is not a TCP listener.
#[expect(unsafe_code, reason = "descriptors come as plain numbers")]
pub(crate) fn inherited() -> std::io::Result<Vec<TcpListener>> {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u32>().ok());
    let count = match (number("LISTEN_PID"), number("LISTEN_FDS")) {
        (Some(pid), Some(count)) if pid == std::process::id() => count,
        _ => return Ok(Vec::new()),
    };
    (0..count)
        .map(|i| {
            let fd = i32::try_from(3 + i).unwrap_or(i32::MAX);
            // SAFETY: the service manager opened descriptors 3 to 3+count for this process alone (LISTEN_PID is ours),
            // nothing else in it owns them, and this function runs once, before any other descriptor is opened by us.
            let owned = unsafe { OwnedFd::from_raw_fd(fd) };
            let listener = std::net::TcpListener::from(owned);
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        })
        .collect()
}

/// Handshakes that failed. Whoever scans the port fails all day long: one line a second tells of all.
#[derive(Default)]
struct Faults(Mutex<(Option<Instant>, u64)>);

impl Faults {
    /// Whether this one is to be told of, and how many were not since the last that was.
    fn tell(&self) -> Option<u64> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0.is_some_and(|told| told.elapsed() < Duration::from_secs(1)) {
            kept.1 += 1;
            return None;
        }
        kept.0 = Some(Instant::now());
        Some(std::mem::take(&mut kept.1))
    }
}

/// Accepts connections for ever.
pub(crate) async fn serve(app: Arc<App>, listener: TcpListener, tls: Tls, router: Router) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let faults = Arc::new(Faults::default());
    loop {
        let Ok(permit) = handshakes.clone().acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: wait for some to be closed.
                tracing::error!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (app, tls, router, faults) = (app.clone(), tls.clone(), router.clone(), faults.clone());
        tokio::spawn(async move {
            if is_ssh(&stream).await {
                drop(permit);
                return bastion::serve_gate(app, stream, peer).await;
            }
            let shaken = handshake(&app, stream, &tls, permit).await;
            app.metrics.shaken(match &shaken {
                Ok(_) => Handshake::Done,
                Err(error) if error.kind() == std::io::ErrorKind::TimedOut => Handshake::TimedOut,
                Err(_) => Handshake::Failed,
            });
            match shaken {
                Ok(stream) => connection(app, stream, peer, router).await,
                Err(error) => {
                    if let Some(others) = faults.tell() {
                        tracing::warn!(%error, client = %peer, others, "a TLS handshake failed");
                    }
                }
            }
        });
    }
}

/// Whether a client speaks SSH: it begins with its version (RFC 4253 §4.2), and TLS with a byte that is no letter. Who says
/// nothing is left to the handshake, which has its own patience.
async fn is_ssh(stream: &TcpStream) -> bool {
    let mut first = [0];
    matches!(timeout(HANDSHAKE, stream.peek(&mut first)).await, Ok(Ok(1)) if first == *b"S")
}

type Stream = tokio_rustls::server::TlsStream<ReadAhead<TcpStream>>;

/// The handshake. Agents wait for their turn with it, and not in the place of those who have not said who they are.
async fn handshake(
    app: &App,
    stream: TcpStream,
    tls: &Tls,
    permit: OwnedSemaphorePermit,
) -> std::io::Result<Stream> {
    stream.set_nodelay(true)?;
    let begin = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), ReadAhead::new(stream));
    let start = timeout(HANDSHAKE, begin).await??;
    let asks = |name: &[u8]| start.client_hello().alpn().is_some_and(|mut all| all.any(|p| p == name));
    let (agent, joining) = (asks(tls::ALPN), asks(tls::ALPN_JOIN));
    if !agent {
        let config = if joining { &tls.joining } else { &tls.clients };
        let shaken = timeout(HANDSHAKE, start.into_stream(config.clone())).await?;
        drop(permit);
        return shaken;
    }
    drop(permit);
    if !app.admission.handshake().await {
        return Err(std::io::Error::other("too many agents come in at the same time"));
    }
    timeout(HANDSHAKE, start.into_stream(tls.agents.get())).await?
}

async fn connection(app: Arc<App>, stream: Stream, peer: SocketAddr, router: Router) {
    let (_, session) = stream.get_ref();
    let is_link = session.alpn_protocol() == Some(tls::ALPN);
    let agent = session.peer_certificates().and_then(|c| c.first()).and_then(|c| Certified::read(c));
    let io = TokioIo::new(stream);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(60))
        .max_concurrent_streams(100);
    let served = if is_link {
        let Some(certified) = agent else {
            tracing::warn!(client = %peer, "a link connection without an agent's certificate");
            return;
        };
        let service = service_fn(move |request: http::Request<Incoming>| {
            let (app, certified) = (app.clone(), certified.clone());
            async move {
                Ok::<_, std::convert::Infallible>(
                    link::agent_request(app, certified, Peer(peer), request).await,
                )
            }
        });
        builder.http1_only().serve_connection_with_upgrades(io, service).await
    } else {
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            router.clone().oneshot(request.map(axum::body::Body::new) as Request)
        });
        builder.serve_connection_with_upgrades(io, service).await
    };
    if let Err(error) = served {
        tracing::debug!(%error, client = %peer, "a connection broke");
    }
}
