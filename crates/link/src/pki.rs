//! The installation's own certificate authority: the server's certificate for browsers, `az` and agents, and the
//! agents' short-lived client certificates.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use ring::digest::{SHA256, digest};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};
use zeroize::Zeroizing;

/// How long an agent's certificate is good.
pub const AGENT_CERTIFICATE: Duration = Duration::hours(24);
/// From the beginning of the server's certificate to its end; browsers refuse more than 398 days.
pub const SERVER_CERTIFICATE: Duration = Duration::days(397);
/// The name every server certificate carries beside the public ones: agents check it, so that the address they dial
/// may be anything.
pub const LINK_NAME: &str = "link.sekisho.internal";
/// How long after its end, by the server's clock, an agent's certificate still gets the agent a new one, and nothing else.
/// A machine that was off or cut off for longer joins again.
pub const RENEWABLE: Duration = Duration::days(30);
/// An agent's certificate begins this long before it is made: the clocks of several servers may differ by as much.
const SKEW: Duration = Duration::minutes(10);
/// The server's and the authority's certificate begin this long before they are made, so that machines whose clock is
/// behind take them, too.
const BACKDATED: Duration = RENEWABLE;

/// Something about a certificate is wrong.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PkiError {
    /// It could not be made.
    #[error("the certificate could not be made: {0}")]
    Make(String),
    /// It cannot be read.
    #[error("the certificate cannot be read: {0}")]
    Read(String),
}

fn make(error: rcgen::Error) -> PkiError {
    PkiError::Make(error.to_string())
}

/// A key and the certificate for it, both PEM.
pub struct Identity {
    /// The certificate chain.
    pub certificate: String,
    /// The private key.
    pub key: Zeroizing<String>,
}

/// The authority, able to sign.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// The authorities of an installation while one takes the place of another: one signs, all are trusted.
///
/// A new authority's key is certified by those before, too. So whoever knows only an earlier authority takes what a later
/// one signed, as long as the earlier one lives.
pub struct Authorities {
    signing: Authority,
    /// The certificates of each, its own first and then those by others, PEM; the oldest authority first.
    all: Vec<String>,
}

impl Authorities {
    /// Of the one that signs, and the certificates of all that live, itself included, the oldest first.
    pub fn new(signing: Authority, all: Vec<String>) -> Authorities {
        Authorities { signing, all }
    }

    /// The one that signs.
    pub fn signing(&self) -> &Authority {
        &self.signing
    }

    /// The authorities' own certificates, PEM: what is trusted.
    pub fn bundle(&self) -> String {
        together(self.all.iter().map(|own| leaf(own)))
    }

    /// What follows the server's certificate: first the ways from each authority to those before, because some clients
    /// take the first issuer that fits, then the authorities themselves for whoever knows no more than the pin of one.
    pub fn chain(&self) -> String {
        together(self.all.iter().rev().flat_map(|own| pems(own).skip(1))) + &self.bundle()
    }
}

/// The certificates of a PEM text, each as text without the newline at its end.
fn pems(text: &str) -> impl Iterator<Item = &str> {
    let all = text.split_inclusive("-----END CERTIFICATE-----").map(str::trim_start);
    all.filter(|pem| pem.starts_with("-----BEGIN CERTIFICATE-----"))
}

fn together<'p>(all: impl Iterator<Item = &'p str>) -> String {
    all.flat_map(|pem| [pem, "\n"]).collect()
}

/// The first certificate of a PEM text, as text.
pub fn leaf(text: &str) -> &str {
    pems(text).next().unwrap_or_default()
}

/// The last certificate of a PEM text, as text: the newest of a bundle of authorities.
pub fn newest(text: &str) -> &str {
    pems(text).last().unwrap_or_default()
}

impl Authority {
    /// Makes a new authority; `name` is what trust stores show.
    ///
    /// # Errors
    /// [`PkiError::Make`].
    pub fn generate(name: &str, now: OffsetDateTime) -> Result<Identity, PkiError> {
        Authority::following(&[], name, now)
    }

    /// Makes the authority that is to take the place of these. Its own certificate is followed by one for the same key by
    /// each of them.
    ///
    /// # Errors
    /// [`PkiError::Make`].
    pub fn following(before: &[Authority], name: &str, now: OffsetDateTime) -> Result<Identity, PkiError> {
        let key = KeyPair::generate().map_err(make)?;
        let params = authority(name, now);
        let mut certificate = params.self_signed(&key).map_err(make)?.pem();
        for Authority { issuer, .. } in before {
            certificate += &params.signed_by(&key, issuer).map_err(make)?.pem();
        }
        Ok(Identity { certificate, key: Zeroizing::new(key.serialize_pem()) })
    }

    /// Reads an authority.
    ///
    /// # Errors
    /// [`PkiError::Read`].
    pub fn load(identity: &Identity) -> Result<Self, PkiError> {
        let read = |e: rcgen::Error| PkiError::Read(e.to_string());
        let key = KeyPair::from_pem(&identity.key).map_err(read)?;
        let own = leaf(&identity.certificate);
        let issuer = Issuer::from_ca_cert_pem(own, key).map_err(read)?;
        Ok(Self { certificate: own.to_owned(), issuer })
    }

    /// The authority's certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// SHA-256 of the authority's public key: what join strings pin.
    ///
    /// # Errors
    /// [`PkiError::Read`].
    pub fn pin(&self) -> Result<[u8; 32], PkiError> {
        spki_pin(&first_der(&self.certificate)?)
    }

    /// Makes the server's certificate for host names and addresses.
    ///
    /// # Errors
    /// [`PkiError::Make`].
    pub fn server(&self, names: &[String], now: OffsetDateTime) -> Result<Identity, PkiError> {
        let key = KeyPair::generate().map_err(make)?;
        let mut params = base(
            names.first().map_or("sekisho", String::as_str),
            now - BACKDATED,
            now - BACKDATED + SERVER_CERTIFICATE,
        );
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
        all.push(LINK_NAME);
        for name in all {
            params.subject_alt_names.push(match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.try_into().map_err(make)?),
            });
        }
        let certificate = params.signed_by(&key, &self.issuer).map_err(make)?;
        // The authority travels with the leaf, so that a joining machine can check it against its pin.
        let chain = format!("{}{}\n", certificate.pem(), self.certificate);
        Ok(Identity { certificate: chain, key: Zeroizing::new(key.serialize_pem()) })
    }

    /// Signs an agent's request. Only the public key is taken from it: names are the server's to give.
    ///
    /// # Errors
    /// [`PkiError::Read`] when the request is malformed or not signed by its own key.
    pub fn agent(&self, csr: &str, agent: Uuid, now: OffsetDateTime) -> Result<SignedAgent, PkiError> {
        let request =
            CertificateSigningRequestParams::from_pem(csr).map_err(|e| PkiError::Read(e.to_string()))?;
        let mut params = base(&format!("agent {agent}"), now - SKEW, now + AGENT_CERTIFICATE);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let uri = format!("spiffe://sekisho/agent/{agent}");
        params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into().map_err(make)?)];
        let serial = *Uuid::new_v4().as_bytes();
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let certificate = params.signed_by(&request.public_key, &self.issuer).map_err(make)?;
        let spki = spki_pin(certificate.der())?;
        Ok(SignedAgent { certificate: certificate.pem(), spki })
    }
}

/// A freshly signed agent certificate.
pub struct SignedAgent {
    /// The certificate, PEM.
    pub certificate: String,
    /// SHA-256 of the agent's public key.
    pub spki: [u8; 32],
}

/// What an authority's certificate says. Nothing limits how many authorities are under it: those that follow are.
fn authority(name: &str, now: OffsetDateTime) -> CertificateParams {
    let mut params = base(name, now - BACKDATED, now + Duration::days(3650));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn base(name: &str, from: OffsetDateTime, until: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, "Sekisho");
    params.not_before = from;
    params.not_after = until;
    params
}

/// A new key and a signing request for it: the agent's side.
///
/// # Errors
/// [`PkiError::Make`].
pub fn request() -> Result<(Zeroizing<String>, String), PkiError> {
    let key = KeyPair::generate().map_err(make)?;
    let params = CertificateParams::default();
    let csr = params.serialize_request(&key).map_err(make)?.pem().map_err(make)?;
    Ok((Zeroizing::new(key.serialize_pem()), csr))
}

/// The certificates of a PEM text.
///
/// # Errors
/// [`PkiError::Read`].
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| PkiError::Read(e.to_string()))
}

/// The private key of a PEM text.
///
/// # Errors
/// [`PkiError::Read`].
pub fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, PkiError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|e| PkiError::Read(e.to_string()))
}

fn first_der(pem: &str) -> Result<CertificateDer<'static>, PkiError> {
    certificates(pem)?.into_iter().next().ok_or_else(|| PkiError::Read("it is empty".to_owned()))
}

/// SHA-256 of a certificate's SubjectPublicKeyInfo.
///
/// # Errors
/// [`PkiError::Read`].
pub fn spki_pin(der: &[u8]) -> Result<[u8; 32], PkiError> {
    let (_, parsed) = X509Certificate::from_der(der).map_err(|e| PkiError::Read(e.to_string()))?;
    let mut out = [0u8; 32];
    out.copy_from_slice(digest(&SHA256, parsed.public_key().raw).as_ref());
    Ok(out)
}

/// Who an agent's certificate says it is, and until when. The chain was checked by TLS before.
///
/// # Errors
/// [`PkiError::Read`] when it is not an agent's certificate.
pub fn agent_of(der: &[u8]) -> Result<(Uuid, [u8; 32]), PkiError> {
    let (_, parsed) = X509Certificate::from_der(der).map_err(|e| PkiError::Read(e.to_string()))?;
    let uri = parsed.extensions().iter().find_map(|e| match e.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(san) => san.general_names.iter().find_map(|n| match n {
            GeneralName::URI(uri) => uri.strip_prefix("spiffe://sekisho/agent/"),
            _ => None,
        }),
        _ => None,
    });
    let agent = uri.and_then(|u| Uuid::try_parse(u).ok());
    Ok((agent.ok_or_else(|| PkiError::Read("it names no agent".to_owned()))?, spki_pin(der)?))
}

/// When a certificate begins and ends.
///
/// # Errors
/// [`PkiError::Read`].
pub fn validity(der: &[u8]) -> Result<(OffsetDateTime, OffsetDateTime), PkiError> {
    let (_, parsed) = X509Certificate::from_der(der).map_err(|e| PkiError::Read(e.to_string()))?;
    let validity = parsed.validity();
    Ok((validity.not_before.to_datetime(), validity.not_after.to_datetime()))
}

/// When the first certificate of a PEM text ends.
///
/// # Errors
/// [`PkiError::Read`].
pub fn not_after(pem: &str) -> Result<OffsetDateTime, PkiError> {
    Ok(validity(&first_der(pem)?)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_certificate_names_the_agent_and_takes_nothing_but_the_key_from_the_request() {
        let now = OffsetDateTime::now_utc();
        let authority = Authority::load(&Authority::generate("Test CA", now).unwrap()).unwrap();
        let (_, csr) = request().unwrap();
        let agent = Uuid::new_v4();
        let signed = authority.agent(&csr, agent, now).unwrap();
        let der = first_der(&signed.certificate).unwrap();
        assert_eq!(agent_of(&der).unwrap(), (agent, signed.spki));
        let end = not_after(&signed.certificate).unwrap();
        assert!((end - now - AGENT_CERTIFICATE).abs() < Duration::seconds(2));
        assert!(authority.agent("nonsense", agent, now).is_err());
        let server = authority.server(&["localhost".into(), "127.0.0.1".into()], now).unwrap();
        assert!(agent_of(&first_der(&server.certificate).unwrap()).is_err());
    }
}
