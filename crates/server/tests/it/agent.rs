//! A machine that is not there: it joins, holds the link and says what it is told to say.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use sekisho_audit::note::Verifier;
use sekisho_audit::succession::walk;
use sekisho_audit::witness::Memory;
use sekisho_link::duplicate::Lineage;
use sekisho_link::join::JoinString;
use sekisho_link::message::{JoinAnswer, Remembered, RenewAnswer, Report, ReportOutcome, ToAgent, ToServer};
use sekisho_link::pki::Identity;
use sekisho_link::{CommandKey, pki, tls};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Message;
use zeroize::Zeroizing;

use crate::kit::{dial, soon};

/// A machine that was let in.
pub(crate) struct Agent {
    pub(crate) port: u16,
    pub(crate) ca: String,
    pub(crate) identity: Identity,
    csr: String,
    pub(crate) id: String,
    /// The machine's ARM id.
    pub(crate) machine: String,
    pub(crate) command_key: CommandKey,
    /// The log's key.
    pub(crate) log_key: Verifier,
}

/// Joins with a join string; on refusal the status and body.
pub(crate) async fn join(join_string: &str, hostname: &str) -> Result<Agent, (u16, Value)> {
    join_as(join_string, hostname, None).await
}

/// The same, of a machine that is one already.
pub(crate) async fn join_as(
    join_string: &str,
    hostname: &str,
    machine: Option<&str>,
) -> Result<Agent, (u16, Value)> {
    let point = JoinString::parse(join_string).unwrap();
    let port: u16 = point.address.rsplit_once(':').unwrap().1.parse().unwrap();
    let config = Arc::new(tls::joining(point.pin).unwrap());
    let stream = dial(port, config, tls::link_name()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (key, csr) = pki::request().unwrap();
    let secret = join_string.rsplit_once('.').unwrap().1;
    let mut body = json!({"secret": secret, "csr": csr, "hostname": hostname});
    if let Some(machine) = machine {
        body["machine"] = machine.into();
    }
    let request = Request::post("/link/join").header("host", "link.sekisho.internal");
    let request = request.body(Full::new(Bytes::from(body.to_string()))).unwrap();
    let response = soon("the answer to a join", sender.send_request(request)).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    if status != 201 {
        return Err((status, serde_json::from_slice(&bytes).unwrap()));
    }
    let answer: JoinAnswer = serde_json::from_slice(&bytes).unwrap();
    Ok(Agent {
        port,
        identity: Identity { certificate: answer.certificate, key },
        csr,
        id: answer.agent_id,
        machine: answer.machine,
        command_key: CommandKey::parse(&answer.command_key).unwrap(),
        log_key: answer.log_key.unwrap().parse().unwrap(),
        ca: answer.ca,
    })
}

impl Agent {
    /// The agent with another certificate for another key.
    pub(crate) fn renewed(&self, certificate: String, key: Zeroizing<String>) -> Agent {
        Agent {
            port: self.port,
            ca: self.ca.clone(),
            identity: Identity { certificate, key },
            csr: self.csr.clone(),
            id: self.id.clone(),
            machine: self.machine.clone(),
            command_key: self.command_key.clone(),
            log_key: self.log_key.clone(),
        }
    }

    /// The agent with its own key under the certificate of another authority.
    pub(crate) fn signed_by(&self, authority: &pki::Authority) -> Agent {
        self.signed_at(authority, time::OffsetDateTime::now_utc())
    }

    /// The agent with its own key under a certificate of another time.
    pub(crate) fn signed_at(&self, authority: &pki::Authority, at: time::OffsetDateTime) -> Agent {
        let id = uuid::Uuid::parse_str(&self.id).unwrap();
        let signed = authority.agent(&self.csr, id, at).unwrap();
        self.renewed(signed.certificate, self.identity.key.clone())
    }

    fn tls(&self) -> Arc<ClientConfig> {
        Arc::new(tls::agent(&self.ca, &self.identity).unwrap())
    }

    /// A TLS connection with the agent's certificate, on which nothing was said yet.
    pub(crate) async fn dial(&self) -> std::io::Result<TlsStream<TcpStream>> {
        dial(self.port, self.tls(), tls::link_name()).await
    }

    /// Opens the link; on refusal the HTTP status.
    pub(crate) async fn open(&self) -> Result<Link, u16> {
        let stream = self.dial().await.map_err(|_| 0u16)?;
        let url = format!("wss://{}/link/agent", pki::LINK_NAME);
        match soon("the upgrade", tokio_tungstenite::client_async(url, stream)).await {
            Ok((socket, _)) => {
                Ok(Link { socket, log: Memory::of(self.log_key.clone()), command: self.command_key.clone() })
            }
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            // TLS 1.3 tells the client of a refused certificate only with the first read.
            Err(_) => Err(0),
        }
    }

    /// Asks for another certificate on a connection of its own; on refusal the HTTP status, 0 for none.
    pub(crate) async fn renew(&self) -> Result<Agent, u16> {
        let (key, csr) = pki::request().unwrap();
        let stream = self.dial().await.map_err(|_| 0u16)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let body = Full::new(Bytes::from(json!({ "csr": csr }).to_string()));
        let request =
            Request::post("/link/renew").header("host", "link.sekisho.internal").body(body).unwrap();
        let Ok(response) = soon("the answer to a renewal", sender.send_request(request)).await else {
            return Err(0);
        };
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        match serde_json::from_slice::<RenewAnswer>(&bytes) {
            Ok(answer) if status == 200 => {
                Ok(Agent { ca: answer.ca, ..self.renewed(answer.certificate, key) })
            }
            _ => Err(status),
        }
    }

    /// Opens the link and says a hello of a process with a count of connections; what the server answers first.
    pub(crate) async fn greet(
        &self,
        hostname: &str,
        process: &str,
        connections: u64,
    ) -> (Link, Option<ToAgent>) {
        let mut link = self.open().await.unwrap();
        let ToServer::Hello { version, boot_id, generation, report, facts_hash, log, .. } = hello(0) else {
            unreachable!()
        };
        let lineage = Lineage { hostname: hostname.into(), process: process.into(), connections };
        link.say(&ToServer::Hello { version, boot_id, generation, report, facts_hash, lineage, log }).await;
        let first = link.hear().await;
        (link, first)
    }

    /// Opens the link and says hello; what the server answers first is consumed.
    pub(crate) async fn connect(&self, generation: u64) -> Link {
        let mut link = self.open().await.unwrap();
        link.say(&hello(generation)).await;
        let welcome = link.hear().await;
        assert!(matches!(welcome, Some(ToAgent::Welcome { .. })), "{welcome:?}");
        link
    }
}

pub(crate) fn hello(generation: u64) -> ToServer {
    ToServer::Hello {
        version: "1.2.3".into(),
        boot_id: "boot".into(),
        generation,
        report: None,
        facts_hash: None,
        lineage: Lineage::default(),
        log: Remembered::default(),
    }
}

pub(crate) fn applied(generation: u64) -> ToServer {
    ToServer::Report(Report { generation, outcome: ReportOutcome::Applied, message: String::new() })
}

/// The open link, what was seen of the log on it, and the command key that is known.
pub(crate) struct Link {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    pub(crate) log: Memory,
    pub(crate) command: CommandKey,
}

impl Link {
    pub(crate) async fn say(&mut self, message: &ToServer) {
        let bytes = serde_json::to_vec(message).unwrap();
        self.socket.send(Message::Binary(bytes.into())).await.unwrap();
    }

    /// The next message; `None` when the server hung up. Of the log only good news is taken, and nothing said.
    pub(crate) async fn hear(&mut self) -> Option<ToAgent> {
        loop {
            match self.hear_all().await {
                Some(ToAgent::Checkpoint(offered)) => self.log = self.log.advance(&offered).unwrap(),
                Some(ToAgent::Successions(_)) => {}
                other => return other,
            }
        }
    }

    /// The next message, checkpoints and successions among them; keys that were replaced are followed.
    pub(crate) async fn hear_all(&mut self) -> Option<ToAgent> {
        loop {
            match soon("a message of the server", self.socket.next()).await {
                None | Some(Ok(Message::Close(_)) | Err(_)) => return None,
                Some(Ok(Message::Binary(bytes))) => {
                    let message = serde_json::from_slice(&bytes).unwrap();
                    if let ToAgent::Successions(all) | ToAgent::Welcome { successions: all, .. } = &message {
                        self.command = walk(&self.command, &all.command).pop().unwrap();
                        self.log.key = walk(&self.log.key, &all.log).pop().unwrap();
                    }
                    return Some(message);
                }
                Some(Ok(_)) => {}
            }
        }
    }

    /// Everything up to the end of the connection: the goodbye, if there was one.
    pub(crate) async fn goodbye(&mut self) -> Option<(String, Option<u32>)> {
        let mut last = None;
        while let Some(message) = self.hear().await {
            match message {
                ToAgent::Bye { reason, retry_after } => last = Some((reason, retry_after)),
                // What comes after it stands on what it shows of the log.
                ToAgent::Desired(command) => {
                    self.log = self.log.advance(&command.proof.unwrap().advance).unwrap();
                }
                _ => {}
            }
        }
        last
    }

    /// The desired documents up to one that satisfies, opened with the agent's key; that one.
    pub(crate) async fn desired(
        &mut self,
        agent: &Agent,
        mut known: u64,
        good: impl Fn(&Value) -> bool,
    ) -> (u64, Value) {
        loop {
            match self.hear().await {
                Some(ToAgent::Desired(command)) => {
                    self.log = self.log.advance(&command.proof.as_ref().unwrap().advance).unwrap();
                    let opened = command.open(&self.log, &self.command, &agent.machine, known).unwrap();
                    known = opened.generation;
                    let parts = serde_json::to_value(&opened.parts).unwrap();
                    if good(&parts) {
                        return (known, parts);
                    }
                }
                other => panic!("a desired document was expected, not {other:?}"),
            }
        }
    }
}

/// The facts of a small machine with one interface.
pub(crate) fn facts(hostname: &str, address: &str) -> Value {
    json!({
        "os": {"id": "debian", "name": "Debian", "versionId": "13", "version": "13", "prettyName": "Debian 13"},
        "kernel": {"release": "6.12.0", "version": "#1", "arch": "x86_64"},
        "cpu": {"model": "Test", "count": 2},
        "memory": {"totalBytes": 4_294_967_296_u64, "availableBytes": 1_073_741_824, "swapTotalBytes": 0},
        "hostname": hostname,
        "bootId": "boot",
        "nics": [{"name": "eth0", "mac": "52:54:00:00:00:01", "mtu": 1500, "up": true, "addresses": [address]}],
        "routes": [{"destination": "0.0.0.0/0", "gateway": "10.0.1.1", "interface": "eth0"}],
    })
}
