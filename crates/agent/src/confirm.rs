//! Requests to the server over brand-new connections: joining, and the proof that the machine is not cut off.
//!
//! An established connection proves nothing, because its packets pass as part of a known flow; only a new one, from a
//! fresh port, meets the rules.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::TcpUserTimeout;
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::ClientConfig;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Milliseconds after which unacknowledged data breaks a connection (`tcp(7)`, TCP_USER_TIMEOUT).
const UNACKNOWLEDGED: u32 = 30_000;
/// Largest answer read.
const MAX_ANSWER: usize = 64 << 10;

/// Opens a new connection to the server, at `host:port`.
///
/// # Errors
/// When it is not there within ten seconds, or is another server.
pub async fn connect(address: &str, tls: Arc<ClientConfig>) -> anyhow::Result<TlsStream<TcpStream>> {
    let attempt = async {
        let tcp = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        tcp.set_nodelay(true)?;
        // What was sent and not acknowledged for this long will not be.
        setsockopt(&tcp, TcpUserTimeout, &UNACKNOWLEDGED)?;
        let name = sekisho_link::tls::link_name();
        TlsConnector::from(tls).connect(name, tcp).await.with_context(|| format!("TLS with {address}"))
    };
    tokio::time::timeout(ATTEMPT, attempt).await.with_context(|| format!("{address} does not answer"))?
}

/// One request over a connection of its own; the status and the JSON of the answer.
///
/// # Errors
/// When no answer comes within ten seconds, or one of more than 64 KiB.
pub async fn request(
    address: &str,
    tls: Arc<ClientConfig>,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> anyhow::Result<(StatusCode, Value)> {
    let stream = connect(address, tls).await?;
    let exchange = async {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, address)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close")
            .body(Full::new(Bytes::from(body)))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let bytes = match Limited::new(response.into_body(), MAX_ANSWER).collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(error) => bail!("reading the answer: {error}"),
        };
        driver.abort();
        Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    };
    tokio::time::timeout(ATTEMPT, exchange).await.context("the server does not answer")?
}

/// Whether a new connection to the server still works: a nonce goes there and comes back.
///
/// # Errors
/// When it does not.
pub async fn probe(address: &str, tls: Arc<ClientConfig>) -> anyhow::Result<()> {
    let mut random = [0u8; 16];
    if SystemRandom::new().fill(&mut random).is_err() {
        bail!("the system gives no randomness");
    }
    let nonce = URL_SAFE_NO_PAD.encode(random);
    let (status, answer) =
        request(address, tls, Method::GET, &format!("/link/confirm?{nonce}"), Vec::new()).await?;
    if status == StatusCode::OK && answer["nonce"] == nonce.as_str() {
        Ok(())
    } else {
        bail!("the server answered {status}")
    }
}
