//! Certificate authorities: Ed25519 keys that OpenSSH knows from a line of a file.

use std::fmt;

use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{PrivateKey, PublicKey};
use zeroize::Zeroizing;

/// The length of a seed, in bytes.
pub const SEED: usize = 32;

/// The system gives no randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no randomness")]
pub struct NoEntropy;

/// An authority that signs.
pub struct Authority {
    key: PrivateKey,
    /// Of the seed, for keys that are made of it.
    derives: hmac::Key,
}

/// Prefixed to what keys are derived by, so that what is made of a seed here means nothing elsewhere.
const DERIVED: &[u8] = b"sekisho-ssh-host-key-1\0";

/// 256 random bits, of which a key can be made.
///
/// # Errors
/// [`NoEntropy`].
pub fn seed() -> Result<Zeroizing<[u8; SEED]>, NoEntropy> {
    let mut seed = Zeroizing::new([0; SEED]);
    SystemRandom::new().fill(&mut *seed).map_err(|_| NoEntropy)?;
    Ok(seed)
}

/// The key of a seed.
pub(crate) fn key(seed: &[u8; SEED]) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(seed))
}

impl Authority {
    /// The authority of a seed.
    pub fn new(seed: &[u8; SEED]) -> Authority {
        Authority { key: key(seed), derives: hmac::Key::new(hmac::HMAC_SHA256, seed) }
    }

    /// A key of its own for a label, always the same one. It says nothing of the authority's.
    pub(crate) fn derive(&self, label: &str) -> PrivateKey {
        let tag = hmac::sign(&self.derives, &[DERIVED, label.as_bytes()].concat());
        let mut seed = Zeroizing::new([0; SEED]);
        seed.copy_from_slice(tag.as_ref());
        key(&seed)
    }

    /// What whoever trusts it keeps: an OpenSSH public key, without comment.
    pub fn line(&self) -> String {
        line(self.key.public_key())
    }

    pub(crate) fn signing(&self) -> &PrivateKey {
        &self.key
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("line", &self.line()).finish_non_exhaustive()
    }
}

/// A key as OpenSSH writes it, without comment. Such a key can always be written.
pub(crate) fn line(key: &PublicKey) -> String {
    let mut bare = key.clone();
    bare.set_comment("");
    bare.to_openssh().unwrap_or_default()
}
