//! TLS 1.3 on both ends of the link. The ALPN name tells the server that an agent calls, so that only agents are
//! asked for a client certificate and browsers never see such a prompt.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme, version::TLS13,
};
use time::OffsetDateTime;

use crate::pki::{self, Identity, LINK_NAME, PkiError};
use crate::served::Served;

/// The ALPN protocol of the link.
pub const ALPN: &[u8] = b"sekisho-link/1";
/// The ALPN protocol of a machine that joins and has no certificate yet.
pub const ALPN_JOIN: &[u8] = b"sekisho-join/1";

pub(crate) fn crypto() -> Arc<CryptoProvider> {
    Arc::new(provider::default_provider())
}

fn wrong(error: impl std::fmt::Display) -> PkiError {
    PkiError::Read(error.to_string())
}

/// The name agents check, whatever address they dial.
pub fn link_name() -> ServerName<'static> {
    ServerName::DnsName(
        rustls::pki_types::DnsName::try_from(LINK_NAME).unwrap_or_else(|_| unreachable!("a constant name")),
    )
}

/// The server's side for agents: TLS 1.3, client certificate of our authority required. One that is out of its time is
/// let through for a while, see [`is_current`].
///
/// # Errors
/// [`PkiError`] when the authority's certificate cannot be read.
pub fn server_for_agents(ca: &str, own: Arc<Served>) -> Result<ServerConfig, PkiError> {
    let inner =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), crypto()).build().map_err(wrong)?;
    let verifier = Arc::new(Renewable { inner });
    let mut config = ServerConfig::builder_with_provider(crypto())
        .with_protocol_versions(&[&TLS13])
        .map_err(wrong)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(own);
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// The server's side for machines that join: TLS 1.3, the certificate of our own authority, which they pin.
///
/// # Errors
/// [`PkiError`] when the provider offers no TLS 1.3.
pub fn server_for_joining(own: Arc<Served>) -> Result<ServerConfig, PkiError> {
    let mut config = ServerConfig::builder_with_provider(crypto())
        .with_protocol_versions(&[&TLS13])
        .map_err(wrong)?
        .with_no_client_auth()
        .with_cert_resolver(own);
    config.alpn_protocols = vec![ALPN_JOIN.to_vec()];
    Ok(config)
}

/// The server's side for everybody else.
///
/// # Errors
/// [`PkiError`] when the provider offers no usable version of TLS.
pub fn server_for_clients(shown: Arc<Served>) -> Result<ServerConfig, PkiError> {
    let mut config = ServerConfig::builder_with_provider(crypto())
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .with_no_client_auth()
        .with_cert_resolver(shown);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The agent's side once it has a certificate. What it believes of its own clock is bounded by that certificate, which
/// the server dated: a clock that is years off does not lock the machine out, and one that is right is not overruled.
///
/// # Errors
/// [`PkiError`] when a certificate or key cannot be read.
pub fn agent(ca: &str, identity: &Identity) -> Result<ClientConfig, PkiError> {
    let own = pki::certificates(&identity.certificate)?;
    let (from, until) = pki::validity(own.first().ok_or_else(|| wrong("it is empty"))?)?;
    let inner =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots(ca)?), crypto()).build().map_err(wrong)?;
    let verifier = BoundedClock { inner, from: unix(from), until: unix(until + pki::RENEWABLE) };
    let mut config = ClientConfig::builder_with_provider(crypto())
        .with_protocol_versions(&[&TLS13])
        .map_err(wrong)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(own, pki::private_key(&identity.key)?)
        .map_err(wrong)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// The joining machine's side: it knows nothing but the pin of the authority's key.
///
/// # Errors
/// [`PkiError`] when the provider offers no TLS 1.3.
pub fn joining(pin: [u8; 32]) -> Result<ClientConfig, PkiError> {
    let mut config = pinned(Pin::Authority(pin))?;
    config.alpn_protocols = vec![ALPN_JOIN.to_vec()];
    Ok(config)
}

/// The side of whoever looks whether a server shows the certificate with this key.
///
/// # Errors
/// [`PkiError`] when the provider offers no TLS 1.3.
pub fn looking(pin: [u8; 32]) -> Result<ClientConfig, PkiError> {
    pinned(Pin::Server(pin))
}

fn pinned(pin: Pin) -> Result<ClientConfig, PkiError> {
    Ok(ClientConfig::builder_with_provider(crypto())
        .with_protocol_versions(&[&TLS13])
        .map_err(wrong)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned { pin, provider: crypto() }))
        .with_no_client_auth())
}

fn roots(ca: &str) -> Result<RootCertStore, PkiError> {
    let mut store = RootCertStore::empty();
    for certificate in pki::certificates(ca)? {
        store.add(certificate).map_err(wrong)?;
    }
    Ok(store)
}

fn unix(at: OffsetDateTime) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at.unix_timestamp()).unwrap_or(0)))
}

/// Whether a certificate is good at this moment by the server's clock, so that its agent may do more than renew it.
pub fn is_current(certificate: &[u8], now: OffsetDateTime) -> bool {
    pki::validity(certificate).is_ok_and(|(from, until)| (from..=until).contains(&now))
}

/// Lets agents through whose certificate is out of its time by at most [`pki::RENEWABLE`], to renew it and for nothing
/// else: whoever serves the connection asks [`is_current`]. Everything else is checked as always.
#[derive(Debug)]
struct Renewable {
    inner: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for Renewable {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let at = match pki::validity(end_entity) {
            Ok((from, until)) => {
                let earliest =
                    unix(from).as_secs().saturating_sub(pki::RENEWABLE.whole_seconds().unsigned_abs());
                let latest = unix(until + pki::RENEWABLE).as_secs();
                let nearest = now.as_secs().clamp(unix(from).as_secs(), unix(until).as_secs());
                if (earliest..=latest).contains(&now.as_secs()) { nearest } else { now.as_secs() }
            }
            Err(_) => now.as_secs(),
        };
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
        self.inner.verify_client_cert(end_entity, intermediates, at)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Checks the server's chain as usual, at a time between two bounds.
#[derive(Debug)]
struct BoundedClock {
    inner: Arc<WebPkiServerVerifier>,
    from: UnixTime,
    until: UnixTime,
}

impl ServerCertVerifier for BoundedClock {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let at = now.as_secs().clamp(self.from.as_secs(), self.until.as_secs().max(self.from.as_secs()));
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp, at)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// SHA-256 of the public key that a client knows.
#[derive(Debug, Clone, Copy)]
enum Pin {
    /// That of the authority: the chain is checked as usual under it.
    Authority([u8; 32]),
    /// That of the server itself: nothing else is checked.
    Server([u8; 32]),
}

/// Accepts whoever has the pinned key.
#[derive(Debug)]
struct Pinned {
    pin: Pin,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pin = match self.pin {
            Pin::Authority(pin) => pin,
            Pin::Server(pin) if pki::spki_pin(end_entity).is_ok_and(|p| p == pin) => {
                return Ok(ServerCertVerified::assertion());
            }
            Pin::Server(_) => return Err(Error::General("the server shows another certificate".to_owned())),
        };
        let authority =
            intermediates.iter().find(|c| pki::spki_pin(c).is_ok_and(|p| p == pin)).ok_or_else(|| {
                Error::General(
                    "the server's authority does not have the key that the join string names".to_owned(),
                )
            })?;
        let mut store = RootCertStore::empty();
        store.add(authority.clone().into_owned())?;
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(store), self.provider.clone())
            .build()
            .map_err(|e| Error::General(e.to_string()))?;
        inner.verify_server_cert(end_entity, intermediates, server_name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{Authority, RENEWABLE, request};

    /// A server and an agent of an installation, made at some time.
    fn made(now: OffsetDateTime) -> (String, Identity, Identity) {
        let ca = Authority::generate("Test CA", now).unwrap();
        let authority = Authority::load(&ca).unwrap();
        let server = authority.server(&["localhost".to_owned()], now).unwrap();
        let (key, csr) = request().unwrap();
        let agent = authority.agent(&csr, uuid::Uuid::new_v4(), now).unwrap();
        (ca.certificate, server, Identity { certificate: agent.certificate, key })
    }

    fn chain(identity: &Identity) -> (CertificateDer<'static>, Vec<CertificateDer<'static>>) {
        let mut all = pki::certificates(&identity.certificate).unwrap();
        let leaf = all.remove(0);
        (leaf, all)
    }

    /// Whether an agent with this clock takes the server.
    fn taken(ca: &str, server: &Identity, agent: &Identity, clock: OffsetDateTime) -> bool {
        let (from, until) = pki::validity(&chain(agent).0).unwrap();
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(ca).unwrap()), crypto());
        let inner = inner.build().unwrap();
        let verifier = BoundedClock { inner, from: unix(from), until: unix(until + RENEWABLE) };
        let (leaf, rest) = chain(server);
        verifier.verify_server_cert(&leaf, &rest, &link_name(), &[], unix(clock)).is_ok()
    }

    #[test]
    fn a_clock_that_is_wrong_by_a_day_or_by_decades_does_not_keep_an_agent_from_its_server() {
        let now = OffsetDateTime::now_utc();
        let (ca, server, agent) = made(now);
        for off in [Duration::ZERO, Duration::from_secs(86_400), Duration::from_secs(20 * 365 * 86_400)] {
            assert!(taken(&ca, &server, &agent, now + off), "{off:?} ahead");
            assert!(taken(&ca, &server, &agent, now - off), "{off:?} behind");
        }
        // Its own clock counts between the bounds: a server's certificate that has been over for long is refused.
        let (_, old, _) = made(now - Duration::from_secs(400 * 86_400));
        assert!(!taken(&ca, &old, &agent, now));
        let ca_of_old = Authority::generate("Test CA", now).unwrap();
        let authority = Authority::load(&ca_of_old).unwrap();
        let over =
            authority.server(&["localhost".to_owned()], now - Duration::from_secs(400 * 86_400)).unwrap();
        assert!(!taken(&ca_of_old.certificate, &over, &agent, now));
    }
}
