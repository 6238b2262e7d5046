//! TLS 1.3 on both ends of the link. The ALPN name tells the server that an agent calls, so that only agents are
//! asked for a client certificate and browsers never see such a prompt.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WantsClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    ServerConfig, SignatureScheme, version::TLS13,
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

/// The server's side for agents: TLS 1.3, client certificate of one of our authorities required. One that is out of its time is
/// let through for a while, see [`is_current`].
///
/// # Errors
/// [`PkiError`] when an authority's certificate cannot be read.
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
    let trust = ServerVerifier::bounded(ca, own.first().ok_or_else(|| wrong("it is empty"))?)?;
    let mut config =
        trusting(trust)?.with_client_auth_cert(own, pki::private_key(&identity.key)?).map_err(wrong)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// The joining machine's side: it knows nothing but the pin of the authority's key.
///
/// # Errors
/// [`PkiError`] when the provider offers no TLS 1.3.
pub fn joining(pin: [u8; 32]) -> Result<ClientConfig, PkiError> {
    let mut config = trusting(ServerVerifier::knowing(Trust::Authority(pin)))?.with_no_client_auth();
    config.alpn_protocols = vec![ALPN_JOIN.to_vec()];
    Ok(config)
}

/// The side of whoever looks whether a server shows the certificate with this key.
///
/// # Errors
/// [`PkiError`] when the provider offers no TLS 1.3.
pub fn looking(pin: [u8; 32]) -> Result<ClientConfig, PkiError> {
    Ok(trusting(ServerVerifier::knowing(Trust::Server(pin)))?.with_no_client_auth())
}

fn trusting(verifier: ServerVerifier) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, PkiError> {
    Ok(ClientConfig::builder_with_provider(verifier.provider.clone())
        .with_protocol_versions(&[&TLS13])
        .map_err(wrong)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
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

/// What a client knows of the server. Keys are known by the SHA-256 of their `SubjectPublicKeyInfo`.
#[derive(Debug)]
enum Trust {
    /// Its authority's certificate: the chain is checked as usual, at a time between two bounds.
    Roots { inner: Arc<WebPkiServerVerifier>, from: UnixTime, until: UnixTime },
    /// Its authority's key: the chain is checked as usual under the authority that comes with it.
    Authority([u8; 32]),
    /// Its own key: nothing else is checked.
    Server([u8; 32]),
}

/// Accepts the server that is known.
#[derive(Debug)]
struct ServerVerifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ServerVerifier {
    fn knowing(trust: Trust) -> ServerVerifier {
        ServerVerifier { trust, provider: crypto() }
    }

    /// Knows the authority, and of the time what the certificate says that it dated.
    fn bounded(ca: &str, dated: &CertificateDer<'_>) -> Result<ServerVerifier, PkiError> {
        let (from, until) = pki::validity(dated)?;
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(ca)?), crypto());
        let inner = inner.build().map_err(wrong)?;
        Ok(Self::knowing(Trust::Roots { inner, from: unix(from), until: unix(until + pki::RENEWABLE) }))
    }

    /// The usual check under the authority of this key, which must be in the chain.
    fn under(
        &self,
        pin: &[u8; 32],
        chain: &[CertificateDer<'_>],
    ) -> Result<Arc<WebPkiServerVerifier>, Error> {
        let authority =
            chain.iter().find(|c| pki::spki_pin(c).is_ok_and(|p| p == *pin)).ok_or_else(|| {
                Error::General(
                    "the server's authority does not have the key that the join string names".to_owned(),
                )
            })?;
        let mut store = RootCertStore::empty();
        store.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(store), self.provider.clone())
            .build()
            .map_err(|e| Error::General(e.to_string()))
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.trust {
            Trust::Roots { inner, from, until } => {
                let at = now.as_secs().clamp(from.as_secs(), until.as_secs().max(from.as_secs()));
                let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
                inner.verify_server_cert(end_entity, intermediates, server_name, ocsp, at)
            }
            Trust::Authority(pin) => self.under(pin, intermediates)?.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp,
                now,
            ),
            Trust::Server(pin) if pki::spki_pin(end_entity).is_ok_and(|p| p == *pin) => {
                Ok(ServerCertVerified::assertion())
            }
            Trust::Server(_) => Err(Error::General("the server shows another certificate".to_owned())),
        }
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
    use crate::pki::{Authorities, Authority, request};

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
        let verifier = ServerVerifier::bounded(ca, &chain(agent).0).unwrap();
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

    /// An authority as versions before made them: nothing but leaves may be under it.
    fn limited(now: OffsetDateTime) -> Identity {
        use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Contoso Sekisho CA 1");
        params.not_before = now - time::Duration::DAY;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).unwrap().pem();
        Identity { certificate, key: key.serialize_pem().into() }
    }

    /// A whole handshake in memory, to the end of it on both sides.
    fn shaken(client: ClientConfig, server: &Arc<ServerConfig>) -> Result<(), Error> {
        let mut client = rustls::ClientConnection::new(Arc::new(client), link_name()).unwrap();
        let mut server = rustls::ServerConnection::new(server.clone()).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets()?;
            wire.clear();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn while_authorities_follow_each_other_whoever_knows_one_that_lives_gets_in_and_nobody_else() {
        let now = OffsetDateTime::now_utc();
        let load = |identity: &Identity| Authority::load(identity).unwrap();
        let first = limited(now);
        let second = Authority::following(&[load(&first)], "Contoso Sekisho CA 2", now).unwrap();
        let third =
            Authority::following(&[load(&first), load(&second)], "Contoso Sekisho CA 3", now).unwrap();
        let all = [&first, &second, &third];
        // In turn, each of them is the oldest that lives.
        for oldest in 0..3 {
            let living = all[oldest..].iter().map(|ca| ca.certificate.clone()).collect();
            let authorities = Authorities::new(load(&third), living);
            let server = authorities.signing().server(&["localhost".to_owned()], now).unwrap();
            let chain = format!("{}\n{}", pki::leaf(&server.certificate), authorities.chain());
            let served = Arc::new(Served::new(&Identity { certificate: chain, key: server.key }).unwrap());
            let config = Arc::new(server_for_agents(&authorities.bundle(), served.clone()).unwrap());
            let joins = Arc::new(server_for_joining(served).unwrap());
            for (n, known) in all.iter().enumerate() {
                let (key, csr) = request().unwrap();
                let signed = load(known).agent(&csr, uuid::Uuid::new_v4(), now).unwrap();
                let identity = Identity { certificate: signed.certificate, key };
                let client = agent(pki::leaf(&known.certificate), &identity).unwrap();
                assert_eq!(shaken(client, &config).is_ok(), n >= oldest, "{n} of {oldest}");
                let pin = load(known).pin().unwrap();
                assert_eq!(shaken(joining(pin).unwrap(), &joins).is_ok(), n >= oldest, "{n} of {oldest}");
                // What one authority signed is trusted by that, whatever the agent knows.
                let other = agent(pki::leaf(&third.certificate), &identity).unwrap();
                assert_eq!(shaken(other, &config).is_ok(), n >= oldest, "{n} of {oldest}");
            }
            let foreign = Authority::generate("Contoso Sekisho CA 3", now).unwrap();
            assert!(shaken(joining(load(&foreign).pin().unwrap()).unwrap(), &joins).is_err());
        }
    }
}
