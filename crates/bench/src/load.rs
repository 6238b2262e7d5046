//! A client that keeps its connections: to one server after the other in short rounds, so that whatever else happens on
//! the machine meets all of them.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::statistics::{percentile, sorted};

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to do.
#[derive(Deserialize)]
struct Plan {
    /// Connections to each server.
    connections: usize,
    /// Requests to each server that are not counted.
    warm: usize,
    rounds: usize,
    /// Requests to each server in a round.
    requests: usize,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    /// With `{n}` where every request has another number.
    url: String,
    ca: PathBuf,
    method: String,
    #[serde(default)]
    token: String,
    #[serde(default)]
    body: String,
}

pub(crate) async fn run() -> anyhow::Result<Value> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let plan: Plan = serde_json::from_str(&text).context("what to do")?;
    let mut clients = Vec::new();
    for target in &plan.targets {
        clients.push(Client::open(target, plan.connections).await.context(target.url.clone())?);
    }
    let mut measured: Vec<(Vec<f64>, Vec<f64>)> = vec![(Vec::new(), Vec::new()); clients.len()];
    for client in &mut clients {
        client.round(plan.warm).await?;
    }
    for _ in 0..plan.rounds {
        for (client, (took, rates)) in clients.iter_mut().zip(&mut measured) {
            let began = Instant::now();
            took.extend(client.round(plan.requests).await?);
            rates.push(plan.requests as f64 / began.elapsed().as_secs_f64());
        }
    }
    let answers = clients.iter().zip(measured).map(|(client, (took, rates))| {
        let (took, rates) = (sorted(took), sorted(rates));
        json!({
            "requests": took.len(), "bytes": client.bytes, "p50Ms": percentile(&took, 0.5),
            "p99Ms": percentile(&took, 0.99), "perSecond": percentile(&rates, 0.5),
        })
    });
    Ok(answers.collect())
}

struct Client<'t> {
    target: &'t Target,
    connections: Vec<Connection>,
    number: AtomicUsize,
    /// Of the last answer.
    bytes: usize,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
}

impl<'t> Client<'t> {
    async fn open(target: &'t Target, count: usize) -> anyhow::Result<Client<'t>> {
        let uri: Uri = target.url.replace("{n}", "0").parse()?;
        let authority = uri.authority().context("a URL without a host")?.to_string();
        let tls = trusting(&target.ca)?;
        let mut connections = Vec::new();
        for _ in 0..count {
            let sender = connect(&authority, tls.clone()).await?;
            connections.push(Connection { sender, authority: authority.clone() });
        }
        Ok(Client { target, connections, number: AtomicUsize::new(0), bytes: 0 })
    }

    /// Sends so many requests, one after the other on each connection; how long each took, in milliseconds.
    async fn round(&mut self, requests: usize) -> anyhow::Result<Vec<f64>> {
        let (left, number, target) = (AtomicUsize::new(requests), &self.number, self.target);
        let one = |connection| async {
            let connection: &mut Connection = connection;
            let (mut took, mut bytes) = (Vec::new(), 0);
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                let number = number.fetch_add(1, Ordering::Relaxed);
                let began = Instant::now();
                let sent = connection.send(target, number);
                bytes = tokio::time::timeout(PATIENCE, sent).await.context("no answer")??;
                took.push(began.elapsed().as_secs_f64() * 1000.0);
            }
            Ok::<_, anyhow::Error>((took, bytes))
        };
        let all = futures_util::future::try_join_all(self.connections.iter_mut().map(one)).await?;
        self.bytes = all.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
        Ok(all.into_iter().flat_map(|(took, _)| took).collect())
    }
}

impl Connection {
    async fn send(&mut self, target: &Target, number: usize) -> anyhow::Result<usize> {
        let uri: Uri = target.url.replace("{n}", &number.to_string()).parse()?;
        let path = uri.path_and_query().map_or("/", |p| p.as_str());
        let mut request =
            Request::builder().method(target.method.as_str()).uri(path).header(header::HOST, &self.authority);
        if !target.token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", target.token));
        }
        if !target.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(target.body.as_bytes())))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            bail!("{path} was answered with {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(body.len())
    }
}

async fn connect(authority: &str, tls: Arc<ClientConfig>) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host).to_owned();
    let tcp = TcpStream::connect(authority).await?;
    tcp.set_nodelay(true)?;
    let stream = TlsConnector::from(tls).connect(ServerName::try_from(host)?, tcp).await?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn trusting(ca: &Path) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).with_context(|| ca.display().to_string())? {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(Arc::new(config))
}

/// One request over a connection of its own.
pub(crate) async fn once(url: &str, ca: &Path) -> anyhow::Result<usize> {
    let target = Target {
        url: url.to_owned(),
        ca: ca.to_owned(),
        method: "GET".to_owned(),
        token: String::new(),
        body: String::new(),
    };
    let mut client = Client::open(&target, 1).await?;
    client.round(1).await?;
    Ok(client.bytes)
}
