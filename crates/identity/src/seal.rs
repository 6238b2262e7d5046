//! Sealing: authenticated encryption of a secret that has to be stored (ChaCha20-Poly1305, RFC 8439).
//!
//! What is sealed is bound to a name, so that it opens only in the place that it was sealed for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::secret::random;
use crate::{Digest, NoEntropy, Secret};

/// It was sealed with another key or for another place, or something was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what is sealed does not open with this key")]
pub struct Unopened;

/// A key that seals. It seals a few thousand times at most, so that its random nonces never meet (NIST SP 800-38D
/// allows 2^32).
pub struct SealingKey(LessSafeKey);

impl SealingKey {
    /// With 256 random bits.
    pub fn new(key: &[u8; 32]) -> Option<SealingKey> {
        UnboundKey::new(&CHACHA20_POLY1305, key).ok().map(|k| SealingKey(LessSafeKey::new(k)))
    }

    /// Under a secret that only its holder has: what is sealed opens for whoever shows the secret.
    pub fn under(secret: &Secret) -> Option<SealingKey> {
        let text = Zeroizing::new([b"sekisho sealing ".as_slice(), secret.expose().as_bytes()].concat());
        let mut key = Zeroizing::new([0; 32]);
        Digest::of(&text).copy_to(&mut key);
        SealingKey::new(&key)
    }

    /// Seals for the place that `name` names.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn seal(&self, name: &str, secret: &[u8]) -> Result<String, NoEntropy> {
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut bytes = secret.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(name.as_bytes()),
                &mut bytes,
            )
            .map_err(|_| NoEntropy)?;
        Ok(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &bytes].concat()))
    }

    /// Opens what was sealed for the place that `name` names.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn open(&self, name: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, Unopened> {
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| Unopened)?;
        if bytes.len() < NONCE_LEN {
            return Err(Unopened);
        }
        let mut content = Zeroizing::new(bytes.split_off(NONCE_LEN));
        let nonce = Nonce::try_assume_unique_for_key(&bytes).map_err(|_| Unopened)?;
        let opened =
            self.0.open_in_place(nonce, Aad::from(name.as_bytes()), &mut content).map_err(|_| Unopened)?;
        Ok(Zeroizing::new(opened.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_in_its_place_and_unchanged() {
        let key = SealingKey::new(&[7; 32]).unwrap();
        let sealed = key.seal("a", b"secret").unwrap();
        assert_eq!(key.open("a", &sealed).unwrap().as_slice(), b"secret");
        assert_ne!(key.seal("a", b"secret").unwrap(), sealed);
        assert_eq!(key.open("b", &sealed), Err(Unopened));
        assert_eq!(SealingKey::new(&[8; 32]).unwrap().open("a", &sealed), Err(Unopened));
        for at in 0..sealed.len() - 1 {
            let mut changed: Vec<char> = sealed.chars().collect();
            changed[at] = if changed[at] == 'A' { 'B' } else { 'A' };
            assert_eq!(key.open("a", &changed.into_iter().collect::<String>()), Err(Unopened));
        }
        assert!(key.open("a", "").is_err() && key.open("a", "AAAA").is_err());
    }

    #[test]
    fn what_is_sealed_under_a_secret_opens_for_its_holder() {
        let (one, other) = (Secret::random("").unwrap(), Secret::random("").unwrap());
        let sealed = SealingKey::under(&one).unwrap().seal("x", b"next").unwrap();
        assert_eq!(SealingKey::under(&one).unwrap().open("x", &sealed).unwrap().as_slice(), b"next");
        assert!(SealingKey::under(&other).unwrap().open("x", &sealed).is_err());
    }
}
