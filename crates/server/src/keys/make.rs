//! Making keys: what each purpose takes, and what of it is public.

use ring::rand::{SecureRandom as _, SystemRandom};
use sekisho_audit::note::{Signer, Use};
use sekisho_bastion_ssh::authority;
use sekisho_identity::ring::{Algorithm, Key, Label, Purpose};
use sekisho_identity::token;
use sekisho_link::SigningKey;
use sekisho_link::pki::{Authority, Identity};
use serde::Deserialize;
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::KeyError;

/// A key before it is sealed.
pub(super) struct Made {
    pub(super) label: Label,
    pub(super) secret: Zeroizing<Vec<u8>>,
}

/// Makes the keys of an installation.
pub(super) struct Maker<'m> {
    pub(super) organization: &'m str,
    pub(super) tenant: Uuid,
    pub(super) now: OffsetDateTime,
}

impl Maker<'_> {
    /// The first key of a purpose, in use at once.
    ///
    /// # Errors
    /// [`KeyError::Make`].
    pub(super) fn first(&self, purpose: Purpose) -> Result<Made, KeyError> {
        self.next(purpose, &[], self.now)
    }

    /// The key that follows others of its purpose, whose rows and secrets these are, and is in use from then on.
    ///
    /// # Errors
    /// [`KeyError::Make`].
    pub(super) fn next(
        &self,
        purpose: Purpose,
        before: &[(Key, Zeroizing<Vec<u8>>)],
        active: OffsetDateTime,
    ) -> Result<Made, KeyError> {
        let failed = |e: &dyn std::fmt::Display| KeyError::Make(purpose, e.to_string());
        let (public, secret) = match purpose {
            Purpose::AgentCa => {
                let id = Uuid::new_v4().simple().to_string();
                let name = format!("{} Sekisho CA {}", self.organization, &id[..8]);
                let before = before.iter().map(|(row, secret)| authority(row, secret));
                let before = before.collect::<Result<Vec<_>, _>>()?;
                let made = Authority::following(&before, &name, self.now).map_err(|e| failed(&e))?;
                (made.certificate, Zeroizing::new(made.key.as_bytes().to_vec()))
            }
            Purpose::CommandSigning => {
                (String::new(), Zeroizing::new(SigningKey::generate().map_err(|e| failed(&e))?))
            }
            Purpose::LogSigning => {
                (String::new(), Zeroizing::new(Signer::generate().map_err(|e| failed(&e))?))
            }
            Purpose::TokenSigning => {
                return token(&token::SigningKey::generate(active).map_err(|e| failed(&e))?);
            }
            // It is for the names of a server, which are nothing to the ring.
            Purpose::ServerTls => return Err(failed(&"it comes with a certificate")),
            Purpose::SshUserCa | Purpose::SshHostCa => {
                let seed = authority::seed().map_err(|e| failed(&e))?;
                (String::new(), Zeroizing::new(seed.to_vec()))
            }
            Purpose::Sealing | Purpose::Throttle => {
                let mut bytes = Zeroizing::new(vec![0; 32]);
                let filled = SystemRandom::new().fill(&mut bytes);
                filled.map_err(|_| failed(&"the system gives no randomness"))?;
                (String::new(), bytes)
            }
        };
        let made = self.given(purpose, public, &secret)?;
        Ok(Made { label: Label { active, ..made.label }, ..made })
    }

    /// A key that was made elsewhere, in use at once. `public` is its certificate, if it has one.
    ///
    /// # Errors
    /// [`KeyError::Unusable`].
    pub(super) fn given(&self, purpose: Purpose, public: String, secret: &[u8]) -> Result<Made, KeyError> {
        let (algorithm, public) = match purpose {
            Purpose::AgentCa | Purpose::ServerTls | Purpose::TokenSigning => (Algorithm::Es256, public),
            Purpose::CommandSigning => (Algorithm::Ed25519, command(secret)?.public().to_string()),
            Purpose::LogSigning => {
                (Algorithm::Ed25519, log_signer(self.tenant, secret)?.verifier().to_string())
            }
            Purpose::SshUserCa | Purpose::SshHostCa => {
                (Algorithm::Ed25519, ssh_authority(purpose, secret)?.line())
            }
            Purpose::Throttle => (Algorithm::HmacSha256, public),
            Purpose::Sealing => (Algorithm::XChaCha20Poly1305, public),
        };
        let label = Label { id: Uuid::new_v4().to_string(), purpose, algorithm, public, active: self.now };
        Ok(Made { label, secret: Zeroizing::new(secret.to_vec()) })
    }
}

/// The public part of a key that signs tokens.
#[derive(Deserialize)]
struct Point {
    x: String,
    y: String,
}

/// A key that signs tokens.
///
/// # Errors
/// [`KeyError::Unusable`].
pub(super) fn token(key: &token::SigningKey) -> Result<Made, KeyError> {
    let unusable = |_| KeyError::Unusable(Purpose::TokenSigning);
    let secret = Zeroizing::new(serde_json::to_vec(key).map_err(unusable)?);
    let Point { x, y } = serde_json::from_slice(&secret).map_err(unusable)?;
    let label = Label {
        id: key.kid().to_owned(),
        purpose: Purpose::TokenSigning,
        algorithm: Algorithm::Es256,
        public: format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#),
        active: key.active,
    };
    Ok(Made { label, secret })
}

/// The key of an authority.
///
/// # Errors
/// [`KeyError::Unusable`].
pub(super) fn authority(row: &Key, secret: &[u8]) -> Result<Authority, KeyError> {
    let unusable = || KeyError::Unusable(Purpose::AgentCa);
    let pem = std::str::from_utf8(secret).map_err(|_| unusable())?;
    let identity = Identity { certificate: row.public.clone(), key: Zeroizing::new(pem.to_owned()) };
    Authority::load(&identity).map_err(|_| unusable())
}

/// An authority of SSH.
///
/// # Errors
/// [`KeyError::Unusable`].
pub(super) fn ssh_authority(purpose: Purpose, secret: &[u8]) -> Result<authority::Authority, KeyError> {
    let seed = secret.try_into().map_err(|_| KeyError::Unusable(purpose))?;
    Ok(authority::Authority::new(seed))
}

/// A key that signs commands.
///
/// # Errors
/// [`KeyError::Unusable`].
pub(super) fn command(secret: &[u8]) -> Result<SigningKey, KeyError> {
    SigningKey::from_pkcs8(secret).map_err(|_| KeyError::Unusable(Purpose::CommandSigning))
}

/// A key that signs the log. The log's name never changes, unlike the host's.
///
/// # Errors
/// [`KeyError::Unusable`].
pub(super) fn log_signer(tenant: Uuid, secret: &[u8]) -> Result<Signer, KeyError> {
    Signer::new(&crate::log::name(tenant), Use::Note, secret)
        .map_err(|_| KeyError::Unusable(Purpose::LogSigning))
}
