//! The machine's end of byte streams: each [`Ticket`] that was checked becomes a connection to something on this
//! machine's loopback, or to a host near it to which the list on this machine leads, and another one back to the server,
//! and what comes from one goes to the other.
//!
//! It must never connect anywhere else, and never keep a stream longer than its ticket says. When a login is ended, and not
//! left, nothing goes on that runs in it.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use http::{Method, Request, StatusCode, header};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use sekisho_agent::confirm;
use sekisho_link::message::ToServer;
use sekisho_link::reach::leads_to;
use sekisho_link::ticket::{PROTOCOL, Target, Ticket, principal};
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use uuid::Uuid;

use crate::reach::ReachFile;
use crate::ssh::{self, Entry, Principals};

/// Most streams at once.
const MOST: usize = 256;
/// How long it may take to connect to the target, and back to the server.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a login may take.
const LOGIN: Duration = Duration::from_secs(60);
/// Bytes that are read at once.
const BUFFER: usize = 32 << 10;

/// The streams of this machine.
pub(crate) struct Streams {
    open: HashMap<Uuid, Open>,
    /// The tickets that were used on the present link.
    used: HashSet<Uuid>,
    tell: mpsc::UnboundedSender<ToServer>,
    told: mpsc::UnboundedReceiver<ToServer>,
    principals: Principals,
    reach: ReachFile,
}

/// A stream that may be open.
struct Open {
    task: AbortHandle,
    /// Where it leads to the SSH server, once it does.
    login: Arc<OnceLock<ssh::Connection>>,
}

/// A stream that was opened.
struct Begun {
    target: TcpStream,
    server: Upgraded,
    /// Who may log in on it.
    admitted: Option<Entry>,
    /// What it is to the SSH server.
    login: Option<ssh::Connection>,
}

impl Streams {
    pub(crate) fn new(reach: ReachFile) -> Streams {
        let (tell, told) = mpsc::unbounded_channel();
        let principals = Principals::default();
        Streams { open: HashMap::new(), used: HashSet::new(), tell, told, principals, reach }
    }

    /// Another link begins: no ticket of an earlier one is good on it.
    pub(crate) fn linked(&mut self) {
        self.used.clear();
        while self.told.try_recv().is_ok() {}
    }

    /// What the server is to be told next. Waits for ever while there is nothing.
    pub(crate) async fn next(&mut self) -> ToServer {
        match self.told.recv().await {
            Some(message) => message,
            None => std::future::pending().await,
        }
    }

    /// Begins the stream of a ticket that was checked.
    /// `ssh` is where the SSH server listens, or why nobody can log in.
    pub(crate) fn open(
        &mut self,
        ticket: Ticket,
        (address, tls): (&str, Arc<ClientConfig>),
        ssh: Result<u16, String>,
    ) {
        let id = ticket.id;
        self.open.retain(|_, stream| !stream.task.is_finished());
        if !self.used.insert(id) {
            tracing::error!(stream = %id, "a ticket came a second time");
            return;
        }
        if self.open.len() >= MOST {
            let reason = "there are too many streams on this machine".to_owned();
            let _ = self.tell.send(ToServer::NotOpened { id, reason });
            return;
        }
        let (address, tell, principals) = (address.to_owned(), self.tell.clone(), self.principals.clone());
        let (reach, login) = (self.reach.clone(), Arc::new(OnceLock::new()));
        let leads = login.clone();
        let stream = tokio::spawn(async move {
            match begin(&ticket, (&address, tls), ssh, (&principals, &reach)).await {
                Ok(begun) => {
                    if let Some(login) = begun.login {
                        let _ = leads.set(login);
                    }
                    carry(&ticket, begun).await;
                }
                Err(error) => {
                    let reason = format!("{error:#}");
                    tracing::info!(stream = %id, reason, "a stream was not opened");
                    let _ = tell.send(ToServer::NotOpened { id, reason });
                }
            }
        });
        self.open.insert(id, Open { task: stream.abort_handle(), login });
    }

    /// Ends a stream, with everything that runs in its login, and says so.
    pub(crate) fn cut(&mut self, id: Uuid) {
        let (stream, tell) = (self.open.remove(&id), self.tell.clone());
        tokio::spawn(async move {
            let mut processes = 0;
            if let Some(Open { task, login }) = stream {
                // The connection is what they are found by: it ends after them.
                if let Some(login) = login.get() {
                    processes = end_login(id, *login).await;
                }
                task.abort();
            }
            let _ = tell.send(ToServer::Cut { id, processes });
        });
    }
}

/// Ends what runs in a login. Returns how many processes that were.
async fn end_login(id: Uuid, login: ssh::Connection) -> u32 {
    let ended = ssh::end(login).await;
    ended.unwrap_or_else(|error| {
        tracing::error!(stream = %id, %error, "what runs in a login could not be ended wholly");
        0
    })
}

async fn begin(
    ticket: &Ticket,
    (address, tls): (&str, Arc<ClientConfig>),
    ssh: Result<u16, String>,
    (principals, reach): (&Principals, &ReachFile),
) -> anyhow::Result<Begun> {
    let (port, admitted) = match &ticket.target {
        Target::Port(port) => (*port, None),
        Target::Near(to) => {
            ensure!(leads_to(&reach.list(), *to), "the list on the machine does not lead to {to}");
            // What is on the machine itself is asked for as that, and recorded where it has to be.
            ensure!(!is_own(to.ip()), "{to} is the machine itself");
            let target = timeout(CONNECT, TcpStream::connect(to)).await.context("nothing answers there")?;
            let target = target.with_context(|| format!("nothing listens at {to}"))?;
            target.set_nodelay(true)?;
            return called_back(ticket, (address, tls), target, None).await;
        }
        Target::Ssh(login) => {
            let port = ssh.map_err(anyhow::Error::msg)?;
            ssh::permit(login).await?;
            let admitted = principals.admit(&login.account, principal(ticket.id));
            (port, Some(admitted.context("nobody can be let in")?))
        }
    };
    let target = timeout(CONNECT, connect(port)).await.context("nothing answers there")??;
    called_back(ticket, (address, tls), target, admitted).await
}

/// Whether an address is this machine's, as the kernel lets nobody bind to another's.
fn is_own(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

async fn called_back(
    ticket: &Ticket,
    (address, tls): (&str, Arc<ClientConfig>),
    target: TcpStream,
    admitted: Option<Entry>,
) -> anyhow::Result<Begun> {
    let server =
        timeout(CONNECT, dial_back(ticket.id, address, tls)).await.context("the server is slow")??;
    let login = match &ticket.target {
        Target::Ssh(_) => Some(ssh::Connection { server: target.peer_addr()?, own: target.local_addr()? }),
        Target::Port(_) | Target::Near(_) => None,
    };
    Ok(Begun { target, server, admitted, login })
}

async fn connect(port: u16) -> anyhow::Result<TcpStream> {
    let found = match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
        Ok(found) => found,
        Err(error) => TcpStream::connect((Ipv6Addr::LOCALHOST, port))
            .await
            .map_err(|_| error)
            .with_context(|| format!("nothing listens on port {port} of the machine"))?,
    };
    found.set_nodelay(true)?;
    Ok(found)
}

async fn dial_back(id: Uuid, address: &str, tls: Arc<ClientConfig>) -> anyhow::Result<Upgraded> {
    let stream = confirm::connect(address, tls).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    let request = Request::builder()
        .method(Method::GET)
        .uri(format!("/link/streams/{id}"))
        .header(header::HOST, address)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, PROTOCOL)
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        bail!("the server does not expect this stream ({})", answer.status());
    }
    Ok(hyper::upgrade::on(answer).await?)
}

/// Until one side ends, or the ticket's time is over.
async fn carry(ticket: &Ticket, Begun { mut target, server, admitted, login }: Begun) {
    let lasts = Duration::from_secs(ticket.seconds.into());
    let mut server = TokioIo::new(server);
    let copied = timeout(lasts, copy_bidirectional_with_sizes(&mut target, &mut server, BUFFER, BUFFER));
    tokio::pin!(copied);
    // Whoever has logged in needs the name no more.
    let copied = match timeout(LOGIN, &mut copied).await {
        Ok(copied) => copied,
        Err(_) => {
            drop(admitted);
            copied.await
        }
    };
    match copied {
        Ok(Ok((out, into))) => tracing::debug!(stream = %ticket.id, out, into, "a stream ended"),
        Ok(Err(error)) => tracing::debug!(stream = %ticket.id, %error, "a stream broke"),
        Err(_) => {
            tracing::info!(stream = %ticket.id, "a stream's time is over");
            if let Some(login) = login {
                end_login(ticket.id, login).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_machine_is_told_from_those_of_others() {
        assert!(is_own(Ipv4Addr::LOCALHOST.into()));
        assert!(!is_own(Ipv4Addr::new(192, 0, 2, 1).into()));
    }
}
