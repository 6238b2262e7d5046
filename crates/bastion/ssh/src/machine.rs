//! The SSH server of a machine, through the stream that its agent opened.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{self, Handle, Msg};
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, EcdsaCurve, PublicKey, PublicKeyOrCertificate};
use russh::{Channel, Disconnect, Preferred, cipher, kex, mac};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::certificate::Pass;

/// How long a machine's SSH server may take to let a session in.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether a machine that says nothing is still there.
const ALIVE: Duration = Duration::from_secs(30);

/// Bytes of a channel that come from a machine in one packet: as they go on to a client within another channel, whose own packets
/// have 32 KiB as a rule, they are with what a packet adds to them one packet there, and not one and the rest of another.
const PIECE: u32 = 32 * 1024 - 256;

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// It is another machine, or one whose agent has not told of its host key yet.
    #[error("the machine's SSH server shows a host key that its agent has not reported")]
    HostKey,
    /// The SSH server refused the certificate.
    #[error(
        "the machine's SSH server does not let this account in (see its log; PermitRootLogin, AllowUsers and the like \
         hold for sessions through a bastion, too)"
    )]
    Refused,
    /// It said nothing in time.
    #[error("the machine's SSH server is too slow")]
    Slow,
    /// Something of the protocol.
    #[error("the machine's SSH server: {0}")]
    Protocol(#[from] russh::Error),
}

/// What is offered to machines: nothing that is broken, and of the ciphers those that processors are
/// made for.
pub(crate) fn preferred() -> Preferred {
    const KEX: &[kex::Name] = &[
        kex::MLKEM768X25519_SHA256,
        kex::CURVE25519,
        kex::CURVE25519_PRE_RFC_8731,
        kex::ECDH_SHA2_NISTP256,
        kex::EXTENSION_SUPPORT_AS_CLIENT,
        kex::EXTENSION_SUPPORT_AS_SERVER,
        kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
        kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
    ];
    const KEYS: &[Algorithm] = &[
        Algorithm::Ed25519,
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    ];
    Preferred {
        kex: Cow::Borrowed(KEX),
        key: Cow::Borrowed(KEYS),
        cipher: Cow::Borrowed(&[cipher::AES_128_GCM, cipher::AES_256_GCM]),
        mac: Cow::Borrowed(&[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM]),
        ..Preferred::default()
    }
}

/// Knows the machine.
struct Known {
    host_keys: Vec<KeyData>,
}

impl client::Handler for Known {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(self.host_keys.contains(shown.public_key().key_data()))
    }
}

/// A session on a machine. It ends when this is dropped.
pub struct Machine {
    handle: Handle<Known>,
}

impl Machine {
    /// Logs in. `host_keys` are OpenSSH lines as the machine's agent has reported them.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn log_in<S>(
        stream: S,
        account: &str,
        pass: Pass,
        host_keys: &[String],
    ) -> Result<Machine, LoginError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let host_keys = host_keys.iter().filter_map(|line| PublicKey::from_openssh(line).ok());
        let known = Known { host_keys: host_keys.map(|key| key.key_data().clone()).collect() };
        let config = client::Config {
            preferred: preferred(),
            keepalive_interval: Some(ALIVE),
            maximum_packet_size: PIECE,
            nodelay: true,
            ..client::Config::default()
        };
        let login = async {
            let connected = client::connect_stream(Arc::new(config), stream, known).await;
            let mut handle = connected.map_err(|error| match error {
                russh::Error::UnknownKey => LoginError::HostKey,
                other => LoginError::Protocol(other),
            })?;
            let Pass { key, certificate } = pass;
            let answer = handle.authenticate_openssh_cert(account, Arc::new(key), certificate).await?;
            if answer.success() { Ok(Machine { handle }) } else { Err(LoginError::Refused) }
        };
        timeout(PATIENCE, login).await.map_err(|_| LoginError::Slow)?
    }

    /// A channel, on which something can be run.
    ///
    /// # Errors
    /// When the machine does not want another one.
    pub async fn channel(&self) -> Result<Channel<Msg>, russh::Error> {
        self.handle.channel_open_session().await
    }

    /// Takes leave. Whether the machine hears of it does not matter: the stream ends, too.
    pub async fn leave(&self) {
        let _ = self.handle.disconnect(Disconnect::ByApplication, "", "en").await;
    }
}
