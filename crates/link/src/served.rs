//! The certificate that a listener shows. It can be exchanged while the listener goes on: connections that are open keep
//! the old one, new ones see the new one.

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

use crate::current::Current;
use crate::pki::{self, Identity, PkiError};
use crate::tls::crypto;

/// A certificate chain with its key, shown to whoever connects.
#[derive(Debug)]
pub struct Served(Current<CertifiedKey>);

impl Served {
    /// Shows `identity` from the start.
    ///
    /// # Errors
    /// [`PkiError::Read`] when the chain is empty, or the key is not that of its first certificate.
    pub fn new(identity: &Identity) -> Result<Served, PkiError> {
        Ok(Served(Current::new(certified(identity)?)))
    }

    /// Shows `identity` from now on; false when it is what was shown already.
    ///
    /// # Errors
    /// [`PkiError::Read`] as with [`Served::new`]; the old one stays then.
    pub fn exchange(&self, identity: &Identity) -> Result<bool, PkiError> {
        let new = certified(identity)?;
        let chain = new.cert.clone();
        Ok(self.0.put(new).cert != chain)
    }

    /// SHA-256 of the public key that clients see (`SubjectPublicKeyInfo`), as `curl --pinnedpubkey` takes it.
    pub fn pin(&self) -> [u8; 32] {
        // Every chain has passed `certified`, which reads its first certificate.
        self.shown().end_entity_cert().ok().and_then(|leaf| pki::spki_pin(leaf).ok()).unwrap_or_default()
    }

    /// When what clients see ends.
    ///
    /// # Errors
    /// [`PkiError::Read`].
    pub fn not_after(&self) -> Result<OffsetDateTime, PkiError> {
        let shown = self.shown();
        let leaf = shown.end_entity_cert().map_err(|e| PkiError::Read(e.to_string()))?;
        Ok(pki::validity(leaf)?.1)
    }

    fn shown(&self) -> Arc<CertifiedKey> {
        self.0.get()
    }
}

fn certified(identity: &Identity) -> Result<CertifiedKey, PkiError> {
    let chain = pki::certificates(&identity.certificate)?;
    pki::spki_pin(chain.first().ok_or_else(|| PkiError::Read("it is empty".to_owned()))?)?;
    CertifiedKey::from_der(chain, pki::private_key(&identity.key)?, &crypto())
        .map_err(|e| PkiError::Read(e.to_string()))
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Authority;

    #[test]
    fn a_key_of_another_certificate_is_refused_and_the_old_one_stays() {
        let now = OffsetDateTime::now_utc();
        let authority = Authority::load(&Authority::generate("Test CA", now).unwrap()).unwrap();
        let made = || authority.server(&["localhost".to_owned()], now).unwrap();
        let (first, second) = (made(), made());
        let served = Served::new(&first).unwrap();
        let pin = served.pin();
        let mixed = Identity { certificate: second.certificate.clone(), key: first.key.clone() };
        assert!(served.exchange(&mixed).is_err());
        assert_eq!(served.pin(), pin);
        assert!(!served.exchange(&first).unwrap());
        assert!(served.exchange(&second).unwrap());
        assert_ne!(served.pin(), pin);
    }
}
