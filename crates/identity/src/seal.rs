//! Sealing: authenticated encryption of a secret that has to be stored (XChaCha20-Poly1305,
//! draft-irtf-cfrg-xchacha-03).
//!
//! What is sealed is bound to a name, so that it opens only in the place that it was sealed for. A nonce has 192 bits,
//! so that random ones never meet, however often a key seals.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::secret::random;
use crate::{Digest, NoEntropy, Secret};

/// The length of a nonce in bytes.
const XNONCE: usize = 24;

/// It was sealed with another key or for another place, or something was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what is sealed does not open with this key")]
pub struct Unopened;

/// A key that seals. Wiped when dropped.
pub struct SealingKey(XChaCha20Poly1305);

impl SealingKey {
    /// With 256 random bits.
    pub fn new(key: &[u8; 32]) -> Option<SealingKey> {
        XChaCha20Poly1305::new_from_slice(key).ok().map(SealingKey)
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
        let nonce: [u8; XNONCE] = random()?;
        let payload = Payload { msg: secret, aad: name.as_bytes() };
        let bytes = self.0.encrypt(&XNonce::from(nonce), payload).map_err(|_| NoEntropy)?;
        Ok(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &bytes].concat()))
    }

    /// Opens what was sealed for the place that `name` names.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn open(&self, name: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, Unopened> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| Unopened)?;
        let (nonce, content) = bytes.split_first_chunk::<XNONCE>().ok_or(Unopened)?;
        let payload = Payload { msg: content, aad: name.as_bytes() };
        self.0.decrypt(&XNonce::from(*nonce), payload).map(Zeroizing::new).map_err(|_| Unopened)
    }
}

/// The keys of a ring that seal: one of them does, and what any of them has sealed opens.
pub struct SealingKeys {
    /// What the one that seals is called.
    pub id: String,
    /// Seals.
    pub active: SealingKey,
    /// Only open.
    pub others: Vec<SealingKey>,
}

impl SealingKeys {
    /// Seals for the place that `name` names.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn seal(&self, name: &str, secret: &[u8]) -> Result<String, NoEntropy> {
        self.active.seal(name, secret)
    }

    /// Opens what was sealed for the place that `name` names.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn open(&self, name: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, Unopened> {
        let mut opened = self.active.open(name, sealed);
        for key in &self.others {
            opened = opened.or_else(|_| key.open(name, sealed));
        }
        opened
    }

    /// Whether it opens with the key that seals at this moment.
    pub fn is_current(&self, name: &str, sealed: &str) -> bool {
        self.active.open(name, sealed).is_ok()
    }
}

/// Opens what versions before the key ring sealed, with ChaCha20-Poly1305 (RFC 8439).
///
/// # Errors
/// [`Unopened`].
pub fn open_old(key: &[u8; 32], name: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, Unopened> {
    let bytes = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| Unopened)?;
    let (nonce, content) = bytes.split_first_chunk::<NONCE_LEN>().ok_or(Unopened)?;
    let mut content = Zeroizing::new(content.to_vec());
    let key = UnboundKey::new(&CHACHA20_POLY1305, key).map(LessSafeKey::new).map_err(|_| Unopened)?;
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let opened = key.open_in_place(nonce, Aad::from(name.as_bytes()), &mut content).map_err(|_| Unopened)?;
    Ok(Zeroizing::new(opened.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    #[test]
    fn what_any_key_of_a_ring_has_sealed_opens_and_only_one_seals() {
        let key = |byte| SealingKey::new(&[byte; 32]).unwrap();
        let before = key(1).seal("x", b"kept").unwrap();
        let keys = SealingKeys { id: "2".to_owned(), active: key(2), others: vec![key(3), key(1)] };
        assert_eq!(keys.open("x", &before).unwrap().as_slice(), b"kept");
        assert!(!keys.is_current("x", &before) && keys.open("y", &before).is_err());
        let again = keys.seal("x", b"kept").unwrap();
        assert!(keys.is_current("x", &again) && key(2).open("x", &again).is_ok());
        let later = SealingKeys { others: Vec::new(), ..keys };
        assert_eq!(later.open("x", &before), Err(Unopened));
    }

    #[test]
    fn it_is_the_xchacha20_poly1305_of_the_draft() {
        // draft-irtf-cfrg-xchacha-03, A.3.1: the first bytes of the ciphertext, and the tag.
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let key: [u8; 32] = std::array::from_fn(|at| 0x80 + at as u8);
        let nonce: [u8; XNONCE] = std::array::from_fn(|at| 0x40 + at as u8);
        let aad = hex("50515253c0c1c2c3c4c5c6c7");
        let text =
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                     sunscreen would be it.";
        let payload = Payload { msg: text.as_slice(), aad: &aad };
        let sealed = SealingKey::new(&key).unwrap().0.encrypt(&XNonce::from(nonce), payload).unwrap();
        assert_eq!(sealed[..16], hex("bd6d179d3e83d43b9576579493c0e939"));
        assert_eq!(sealed[text.len()..], hex("c0875924c1c7987947deafd8780acf49"));
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_only_as_it_is(
            key in any::<[u8; 32]>(),
            other in any::<[u8; 32]>(),
            name in "[a-z|/-]{0,40}",
            elsewhere in "[a-z|/-]{0,40}",
            secret in prop::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
            flip in 1..=255u8,
        ) {
            let sealing = SealingKey::new(&key).unwrap();
            let sealed = sealing.seal(&name, &secret).unwrap();
            prop_assert_eq!(&*sealing.open(&name, &sealed).unwrap(), &secret);
            let mut bytes = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert_eq!(sealing.open(&name, &URL_SAFE_NO_PAD.encode(&bytes)), Err(Unopened));
            bytes[at] ^= flip;
            bytes.truncate(at);
            prop_assert_eq!(sealing.open(&name, &URL_SAFE_NO_PAD.encode(&bytes)), Err(Unopened));
            if elsewhere != name {
                prop_assert_eq!(sealing.open(&elsewhere, &sealed), Err(Unopened));
            }
            if other != key {
                prop_assert_eq!(SealingKey::new(&other).unwrap().open(&name, &sealed), Err(Unopened));
            }
        }
    }
}
