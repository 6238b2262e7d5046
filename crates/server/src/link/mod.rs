//! The server's end of the link: machines join over HTTPS ([`join`]), agents hold one WebSocket over mutual TLS
//! ([`connection`]), and no more of them come in at a time than leaves room for everybody else ([`admission`]).

mod admission;
mod connection;
mod join;

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{Method, StatusCode, header};
use hyper::body::Incoming;
use sekisho_arm::traits::read_document;
use sekisho_arm::{ArmError, Scope, StoreError};
use sekisho_link::enrolment::{self, Agent};
use sekisho_link::machine::kind;
use sekisho_link::message::{MAX_HELLO_BYTES, RenewAnswer, RenewRequest};
use sekisho_link::ticket::PROTOCOL;
use sekisho_link::tls;
use sekisho_store::News;
use serde_json::json;
use time::OffsetDateTime;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use uuid::Uuid;

pub use admission::Admission;
pub use join::join;

use crate::app::App;
use crate::http::{self as web, Peer};
use connection::Connection;

/// Who an agent's connection belongs to, as its certificate says.
#[derive(Debug, Clone)]
pub(crate) struct Certified {
    agent: Uuid,
    key: [u8; 32],
    /// Whether the certificate was good when the connection was made. Otherwise it is only good for another one.
    current: bool,
}

impl Certified {
    /// Reads a certificate that TLS has checked; `None` when it is none of an agent.
    pub(crate) fn read(certificate: &[u8]) -> Option<Certified> {
        let (agent, key) = sekisho_link::pki::agent_of(certificate).ok()?;
        Some(Certified { agent, key, current: tls::is_current(certificate, OffsetDateTime::now_utc()) })
    }
}

/// Answers a request on a mutually authenticated connection: the WebSocket, a probe by which an agent makes sure that new
/// connections still work, or a fresh certificate for one whose own is over.
pub(crate) async fn agent_request(
    app: Arc<App>,
    certified: Certified,
    peer: Peer,
    request: http::Request<Incoming>,
) -> Response {
    let agent = certified.agent;
    let answered = async {
        answer(app.clone(), certified, &peer, request).await.unwrap_or_else(|error| {
            app.metrics.refused.inc();
            tracing::warn!(%agent, client = %peer.0, code = error.code, "an agent was not admitted");
            web::arm_error(&error)
        })
    };
    web::survived(&Uuid::new_v4().to_string(), answered).await
}

async fn answer(
    app: Arc<App>,
    certified: Certified,
    peer: &Peer,
    mut request: http::Request<Incoming>,
) -> Result<Response, ArmError> {
    let admitted = enrolment::admit(&mut app.store.read().await?, certified.agent, &certified.key).await;
    let agent = match admitted {
        Ok(agent) => agent,
        Err(error) => {
            shown(&app, &certified, peer).await?;
            return Err(error);
        }
    };
    let path = request.uri().path();
    if !certified.current && !matches!(path, "/link/renew" | "/link/confirm") {
        let text = "The certificate's time is over. Ask for another one at /link/renew.";
        return Err(ArmError::new(401, "CertificateExpired", text));
    }
    match (request.method(), path) {
        (&Method::POST, "/link/renew") => renew(&app, &certified, request.into_body()).await,
        (_, "/link/confirm") => {
            let nonce = request.uri().query().unwrap_or_default().to_owned();
            let nonce = nonce.chars().take(128).collect::<String>();
            Ok(web::json(StatusCode::OK, &json!({ "nonce": nonce })))
        }
        (&Method::GET, path) if path.starts_with("/link/streams/") => stream(&app, &agent, request),
        (_, "/link/agent") => {
            let key = request.headers().get("sec-websocket-key").map(|k| derive_accept_key(k.as_bytes()));
            let key = key.ok_or_else(|| ArmError::bad("UpgradeRequired", "A WebSocket is expected here."))?;
            let upgrade = hyper::upgrade::on(&mut request);
            let address = peer.0.ip();
            tokio::spawn(async move {
                match upgrade.await {
                    Ok(upgraded) => {
                        Connection::new(app, certified, address, agent.machine).run(upgraded).await;
                    }
                    Err(error) => tracing::debug!(%error, "an agent's connection did not become a WebSocket"),
                }
            });
            Ok(Response::builder()
                .status(StatusCode::SWITCHING_PROTOCOLS)
                .header(header::CONNECTION, "upgrade")
                .header(header::UPGRADE, "websocket")
                .header("sec-websocket-accept", key)
                .body(Body::empty())
                .unwrap_or_default())
        }
        _ => Err(ArmError::new(404, "NotFound", "Nothing is served at this path.")),
    }
}

/// `GET /link/streams/{id}`: a machine dials back with a stream that was asked of it.
fn stream(app: &Arc<App>, agent: &Agent, mut request: http::Request<Incoming>) -> Result<Response, ArmError> {
    let id = request.uri().path().rsplit('/').next().and_then(|id| Uuid::try_parse(id).ok());
    let machine = agent.machine.clone();
    let Some(id) = id.filter(|id| app.bastion.tunnels.expects(&machine, *id)) else {
        return Err(ArmError::new(404, "NotFound", "Nobody waits for this stream."));
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let app = app.clone();
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => app.bastion.tunnels.come(&machine, id, upgraded),
            Err(error) => tracing::debug!(%error, "a stream did not come"),
        }
    });
    Ok(Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, PROTOCOL)
        .body(Body::empty())
        .unwrap_or_default())
}

/// Takes note of a key that is not good any more.
async fn shown(app: &App, certified: &Certified, peer: &Peer) -> Result<(), ArmError> {
    let (agent, key, client) = (certified.agent, certified.key, peer.0.ip().to_string());
    if !enrolment::is_news(&mut app.store.read().await?, agent, &key).await? {
        return Ok(());
    }
    let note = app.store.write::<_, StoreError, _>(move |tx| {
        Box::pin(async move { enrolment::shown(tx, agent, &key, &client).await })
    });
    Ok(note.await?)
}

/// `POST /link/renew`: the way back of a machine that was off, or cut off, until its certificate was over.
async fn renew(app: &Arc<App>, certified: &Certified, body: Incoming) -> Result<Response, ArmError> {
    let body = web::read_body(Body::new(body), MAX_HELLO_BYTES).await?;
    let RenewRequest { csr } = sekisho_arm::resource::typed(&web::parse_json(&body)?, "")?;
    let (keys, agent, key) = (app.keys.get(), certified.agent, certified.key);
    let ca = keys.authorities.bundle();
    let certificate = app
        .store
        .write::<_, ArmError, _>(move |tx| {
            Box::pin(async move { enrolment::renew(tx, agent, &key, &csr, keys.authorities.signing()).await })
        })
        .await?;
    Ok(web::json(StatusCode::OK, &RenewAnswer { certificate, ca }))
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
    let agent: Agent = read_document(&mut read, kind::AGENT, id).await.ok()??;
    Some(agent.machine)
}
