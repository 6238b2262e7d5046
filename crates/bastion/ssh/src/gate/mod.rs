//! The gate: where SSH clients as everybody has them come in, with `ProxyJump` and nothing of ours installed.
//!
//! Whoever connects shows a key that the [`Keeper`] knows, or is invited to sign in elsewhere ([`entrance`]). From there a
//! client asks for a connection to a machine, by its name. None is made: the gate answers on it itself, as that machine's
//! SSH server, with a host key that the installation's authority certifies ([`inside`]), and what the client then asks for
//! goes to the machine through a login of its own ([`Relay`]). Where it copies files, a [`Guard`] reads their protocol:
//! [`Sftp`], [`Scp`]; of rsync, what the machine's own tells of them. So everything passes here in plain, can be recorded,
//! and ends when it has to, without the client doing anything but what it does with every jump host.
//!
//! Who may go where, and what is kept of it, is the keeper's business.

mod command;
mod entrance;
mod guard;
mod inside;
mod notice;
mod relay;
mod rsync;
mod scp;
mod sftp;

use std::borrow::Cow;
use std::future::Future;
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use russh::keys::{Algorithm, Certificate, EcdsaCurve, HashAlg, PrivateKey};
use russh::server::{self, ChannelOpenHandle, Msg};
use russh::{Channel, ChannelId, ChannelOpenFailure, MethodKind, MethodSet, Preferred, SshId, cipher, mac};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use self::entrance::Entrance;
use crate::authority::Authority;
use crate::certificate::{self, CertificateError};
use crate::machine;

pub use self::command::Way;
pub use self::guard::{Deed, FileEvent, Guard, NotUnderstood, Side, Step, Verdict};
pub use self::relay::{Beside, Relay, RelayError, Warden};
pub use self::scp::Scp;
pub use self::sftp::Sftp;

/// How long a client has to show who it is (as `LoginGraceTime` of sshd_config(5), whose two minutes are of another time).
const GRACE: Duration = Duration::from_secs(30);
/// How long somebody who is invited may take, beside that.
const INVITED: Duration = Duration::from_secs(180);
/// Keys that a client may show: whoever has an agent full of them shows them all.
const TRIES: usize = 20;
/// How often it is asked whether a client that says nothing is still there.
const ALIVE: Duration = Duration::from_secs(30);
/// How long the certificate of a host key that the gate shows is good. It is made anew for every connection.
const LASTS: Duration = Duration::from_secs(24 * 3600);
/// The status by which `ssh` itself says that something failed.
const FAILED: u32 = 255;

/// Who knows people, machines, and who may go where.
pub trait Keeper: Send + Sync + Sized + 'static {
    /// Somebody who was let in.
    type Person: Send + Sync + 'static;
    /// A machine.
    type Place: Clone + Send + Sync + 'static;

    /// Whose a key is, by its SHA-256 fingerprint as OpenSSH writes it.
    fn person(&self, key: &str) -> impl Future<Output = Option<Self::Person>> + Send;

    /// What somebody is given who shows no key that is known.
    type Invitation: Send + Sync + 'static;

    /// Invites a client of this name, as it calls itself, to have somebody sign in: what to tell it. `None` when too many
    /// are invited.
    fn invite(&self, client: &str) -> impl Future<Output = Option<(String, Self::Invitation)>> + Send;

    /// Waits until somebody has signed in.
    fn invited(&self, invitation: Self::Invitation) -> impl Future<Output = Option<Self::Person>> + Send;

    /// What the gate says to whoever wants to stay there.
    fn greeting(&self) -> String;

    /// The host key that the gate itself shows.
    fn own_key(&self) -> Result<HostKey, CertificateError>;

    /// The machine of a name, for somebody who may know of it.
    ///
    /// # Errors
    /// Why there is none, for the person.
    fn place(
        &self,
        person: &Self::Person,
        name: &str,
    ) -> impl Future<Output = Result<Self::Place, String>> + Send;

    /// The host key that stands for a machine.
    fn key_of(&self, place: &Self::Place, name: &str) -> Result<HostKey, CertificateError>;

    /// Takes over what somebody does on a machine, as an account.
    fn session(
        self: Arc<Self>,
        person: Arc<Self::Person>,
        place: Self::Place,
        account: String,
        client: Client,
    ) -> impl Future<Output = ()> + Send;

    /// Takes over a connection to a port of a machine.
    fn tunnel(
        self: Arc<Self>,
        person: Arc<Self::Person>,
        place: Self::Place,
        port: u16,
        door: Door,
    ) -> impl Future<Output = ()> + Send;
}

/// A host key and what vouches for it.
pub struct HostKey {
    key: PrivateKey,
    certificate: Certificate,
}

impl HostKey {
    /// The one that the authority has for a label, the same for as long as the authority is, certified for names. Clients
    /// that know no certificates can remember it.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn of(authority: &Authority, label: &str, names: &[String]) -> Result<HostKey, CertificateError> {
        let key = authority.derive(label);
        let certificate =
            certificate::of_host_key(authority, key.public_key(), names, SystemTime::now(), LASTS)?;
        Ok(HostKey { key, certificate })
    }
}

/// What a client wants to do on a machine: a channel of which nothing was done yet.
pub struct Client {
    channel: Channel<Msg>,
    end: ClientEnd,
}

/// The end of a client's channel.
#[derive(Clone)]
pub struct ClientEnd {
    handle: server::Handle,
    id: ChannelId,
}

impl Client {
    fn new(channel: Channel<Msg>, handle: server::Handle) -> Client {
        let id = channel.id();
        Client { channel, end: ClientEnd { handle, id } }
    }

    /// What ends it.
    pub fn end(&self) -> ClientEnd {
        self.end.clone()
    }
}

impl ClientEnd {
    /// Tells the person why it is over, where `ssh` shows errors, and ends it.
    pub async fn fail(self, why: &str) {
        // Nobody may be there to hear it.
        let said = async {
            let _ = self.handle.extended_data(self.id, 1, notice::error(why)).await;
            let _ = self.handle.exit_status_request(self.id, FAILED).await;
            let _ = self.handle.eof(self.id).await;
            let _ = self.handle.close(self.id).await;
        };
        let _ = timeout(ALIVE, said).await;
    }
}

/// A connection that a client wants, and that is not made yet.
pub struct Door {
    channel: Channel<Msg>,
    reply: ChannelOpenHandle,
}

impl Door {
    /// Makes it.
    pub async fn open(self) -> impl AsyncRead + AsyncWrite + Unpin + Send {
        self.reply.accept().await;
        self.channel.into_stream()
    }

    /// Does not.
    pub async fn refuse(self, why: &str) {
        self.reply.reject(refused(why)).await;
    }
}

/// Why a channel is not opened. Clients show the text.
fn refused(why: &str) -> ChannelOpenFailure {
    const PROHIBITED: u32 = 1;
    ChannelOpenFailure::Other { code: PROHIBITED, reason: why.to_owned() }
}

/// Which ciphers a client is offered. It takes the first of its own that is among them (RFC 4253 §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ciphers {
    /// Those that processors are made for: OpenSSH knows them and would rather take slower ones.
    Fast,
    /// Those of counter mode, too: other clients may know no others.
    All,
}

impl Ciphers {
    /// For a client by what it calls itself, or by the beginning of that.
    fn of(client: &[u8]) -> Ciphers {
        if client.starts_with(b"SSH-2.0-OpenSSH") { Ciphers::Fast } else { Ciphers::All }
    }
}

/// What clients are offered: what is not broken, and keys of all kinds that people have, but for signatures with SHA-1.
fn preferred(ciphers: Ciphers) -> Preferred {
    const ALL: &[cipher::Name] =
        &[cipher::AES_128_GCM, cipher::AES_256_GCM, cipher::AES_256_CTR, cipher::AES_128_CTR];
    // Some know nothing of codes over what is encrypted. All that were known to be broken were of other ciphers.
    const CODES: &[mac::Name] =
        &[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM, mac::HMAC_SHA256, mac::HMAC_SHA512];
    const KEYS: &[Algorithm] = &[
        Algorithm::Ed25519,
        Algorithm::SkEd25519,
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        Algorithm::SkEcdsaSha2NistP256,
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
        Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
        Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
    ];
    let mut preferred = Preferred { key: Cow::Borrowed(KEYS), ..machine::preferred() };
    if ciphers == Ciphers::All {
        (preferred.cipher, preferred.mac) = (Cow::Borrowed(ALL), Cow::Borrowed(CODES));
    }
    preferred
}

fn config(
    HostKey { key, certificate }: HostKey,
    methods: &[MethodKind],
    ciphers: Ciphers,
) -> Arc<server::Config> {
    Arc::new(server::Config {
        server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-Sekisho")),
        methods: MethodSet::from(methods),
        // Keys cannot be guessed; whoever shows some that are not known is not to wait for each.
        auth_rejection_time: Duration::ZERO,
        keys: vec![key],
        certificates: vec![certificate],
        preferred: preferred(ciphers),
        max_auth_attempts: TRIES,
        inactivity_timeout: None,
        keepalive_interval: Some(ALIVE),
        nodelay: true,
        ..server::Config::default()
    })
}

/// Serves a client from its first byte to its last, or until this is dropped. `let_in` hears when it has shown who it is.
pub async fn serve<K: Keeper>(keeper: Arc<K>, stream: TcpStream, let_in: impl FnOnce()) {
    let Ok(key) = keeper.own_key() else {
        tracing::error!("the gate has no host key");
        return;
    };
    let Ok(_cut) = stream.as_fd().try_clone_to_owned().map(|own| Cut(own.into())) else { return };
    let (entered, known) = oneshot::channel();
    let (patience, lasts) = watch::channel(Instant::now() + GRACE);
    let begun = async {
        let mut client = [0; 64];
        let said = stream.peek(&mut client).await?;
        let client = client[..said].split(|b| b.is_ascii_control()).next().unwrap_or_default();
        let program = String::from_utf8_lossy(client).into_owned();
        let entrance = Entrance::new(keeper, program, entered, patience);
        let methods = [MethodKind::PublicKey, MethodKind::KeyboardInteractive];
        let config = config(key, &methods, Ciphers::of(client));
        let session = server::run_stream(config, stream, entrance).await?;
        Ok::<_, russh::Error>((session, known.await.is_ok()))
    };
    let begun = tokio::select! {
        begun = begun => begun,
        () = until_over(lasts) => return,
    };
    if let Ok((session, true)) = begun {
        let_in();
        if let Err(error) = session.await {
            tracing::debug!(%error, "a client of the gate went");
        }
    }
}

/// Until an instant that may be put off.
async fn until_over(mut lasts: watch::Receiver<Instant>) {
    loop {
        let end = *lasts.borrow_and_update();
        tokio::select! {
            () = sleep_until(end) => return,
            // Whoever could put it off may be gone; the instant stays.
            Ok(()) = lasts.changed() => {}
        }
    }
}

/// Ends a connection with this. The library's own task has the stream, and does not hear of anything while a handshake
/// goes on.
struct Cut(std::net::TcpStream);

impl Drop for Cut {
    fn drop(&mut self) {
        // It may be over already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}
