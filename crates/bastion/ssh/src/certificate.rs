//! Certificates: for seconds and from the machine's own loopback, of a person's session; for months, of a machine's host
//! key (source: OpenSSH's PROTOCOL.certkeys).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom as _, SystemRandom};
use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::{Certificate, PrivateKey, PublicKey};

use crate::authority::{self, Authority, NoEntropy};

/// How long a session's certificate is good: it is needed only while the session begins.
pub const SECONDS: Duration = Duration::from_secs(60);
/// How far the machine's clock may be behind or ahead.
const SKEW: Duration = Duration::from_secs(60);
/// Where a certificate can be used: the agent connects to the machine's SSH server from here.
const LOOPBACK: &str = "127.0.0.1/32,::1/128";

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// No randomness.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// What is to be certified cannot be.
    #[error("it cannot be certified: {0}")]
    Key(#[from] russh::keys::ssh_key::Error),
}

/// What a session may do on the machine beside running programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permits {
    /// A terminal.
    pub terminal: bool,
    /// Connections to and from elsewhere.
    pub forwarding: bool,
    /// The person's keys.
    pub agent: bool,
    /// Graphical programs.
    pub x11: bool,
}

/// Who begins a session.
#[derive(Debug, Clone)]
pub struct Person<'p> {
    /// What the machine's SSH server writes into its log.
    pub named: &'p str,
    /// The name by which the machine's agent has let this session in.
    pub principal: &'p str,
    /// What it may do.
    pub permits: Permits,
}

/// A session's key and its certificate.
pub struct Pass {
    pub(crate) key: PrivateKey,
    pub(crate) certificate: Certificate,
}

fn builder(
    key: &PublicKey,
    from: SystemTime,
    until: SystemTime,
    kind: CertType,
) -> Result<Builder, CertificateError> {
    let mut nonce = vec![0; Builder::RECOMMENDED_NONCE_SIZE];
    SystemRandom::new().fill(&mut nonce).map_err(|_| NoEntropy)?;
    let mut serial = [0; 8];
    SystemRandom::new().fill(&mut serial).map_err(|_| NoEntropy)?;
    let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let mut builder = Builder::new(nonce, key.key_data().clone(), seconds(from), seconds(until))?;
    builder.serial(u64::from_be_bytes(serial))?;
    builder.cert_type(kind)?;
    Ok(builder)
}

impl Pass {
    /// Makes a key and has it certified.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn issue(authority: &Authority, person: &Person<'_>) -> Result<Pass, CertificateError> {
        let key = authority::key(&*authority::seed()?);
        let certificate = certify(authority, key.public_key(), person, SystemTime::now())?;
        Ok(Pass { key, certificate })
    }
}

/// Certifies a key for one session.
///
/// # Errors
/// [`CertificateError`].
fn certify(
    authority: &Authority,
    key: &PublicKey,
    person: &Person<'_>,
    now: SystemTime,
) -> Result<Certificate, CertificateError> {
    let mut builder = builder(key, now - SKEW, now + SECONDS + SKEW, CertType::User)?;
    builder.key_id(person.named)?;
    builder.valid_principal(person.principal)?;
    builder.critical_option("source-address", LOOPBACK)?;
    let Permits { terminal, forwarding, agent, x11 } = person.permits;
    // In the order of their names, as the format demands.
    for (permitted, name) in [
        (x11, "permit-X11-forwarding"),
        (agent, "permit-agent-forwarding"),
        (forwarding, "permit-port-forwarding"),
        (terminal, "permit-pty"),
    ] {
        if permitted {
            builder.extension(name, "")?;
        }
    }
    Ok(builder.sign(authority.signing())?)
}

/// Certifies a machine's host key (an OpenSSH line) for the names under which it is known. Returns an OpenSSH line.
///
/// # Errors
/// [`CertificateError`].
pub fn of_host(
    authority: &Authority,
    line: &str,
    names: &[String],
    from: SystemTime,
    lasts: Duration,
) -> Result<String, CertificateError> {
    let key = PublicKey::from_openssh(line)?;
    Ok(of_host_key(authority, &key, names, from, lasts)?.to_openssh()?)
}

/// Certifies a host key.
///
/// # Errors
/// [`CertificateError`].
pub(crate) fn of_host_key(
    authority: &Authority,
    key: &PublicKey,
    names: &[String],
    from: SystemTime,
    lasts: Duration,
) -> Result<Certificate, CertificateError> {
    let mut builder = builder(key, from - SKEW, from + lasts, CertType::Host)?;
    builder.key_id(names.first().map_or("", String::as_str))?;
    for name in names {
        builder.valid_principal(name)?;
    }
    Ok(builder.sign(authority.signing())?)
}
