//! Secrets in memory and what of them may be stored.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The operating system gave no random bytes. Nothing that needs a secret can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoEntropy;

/// A text that must not be logged, stored or shown twice. Wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret that came from outside.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(Zeroizing::new(text.into()))
    }

    /// 256 random bits as 43 characters that are safe in URLs, headers and shells, after a prefix.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn random(prefix: &str) -> Result<Secret, NoEntropy> {
        let bytes = Zeroizing::new(random::<32>()?);
        let mut text = Zeroizing::new(String::with_capacity(prefix.len() + 43));
        text.push_str(prefix);
        URL_SAFE_NO_PAD.encode_string(*bytes, &mut text);
        Ok(Secret(text))
    }

    /// The text itself. The name is long to be found in reviews.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What may be stored of a secret with 256 random bits. For anything a person chose use [`crate::password`].
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

/// A secret in the one answer that shows it.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(inline)]
pub struct Exposed(#[schemars(with = "String")] pub Secret);

impl Serialize for Exposed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}

/// A SHA-256 digest. It compares in constant time, is written as unpadded base64url and prints nothing.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hashes bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest::copy(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
    }

    pub(crate) fn copy(bytes: &[u8]) -> Digest {
        let mut out = [0; 32];
        out.iter_mut().zip(bytes).for_each(|(o, b)| *o = *b);
        Digest(out)
    }

    pub(crate) fn copy_to(&self, bytes: &mut [u8; 32]) {
        bytes.copy_from_slice(&self.0);
    }

    /// The text form, usable as a database key: finding a row by it reveals nothing through timing, since the row is
    /// keyed by the digest and not by the secret.
    pub fn key(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}
impl Eq for Digest {}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.key())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(de::Error::custom)?;
        <[u8; 32]>::try_from(bytes).map(Digest).map_err(|_| de::Error::custom("a digest has 32 bytes"))
    }
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], NoEntropy> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoEntropy)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_print_nothing_and_are_never_the_same() {
        let (a, b) = (Secret::random("sks_").unwrap(), Secret::random("sks_").unwrap());
        assert_eq!(a.expose().len(), 47);
        assert_ne!(a.expose(), b.expose());
        assert!(!format!("{a:?} {:?}", a.digest()).contains(&a.expose()[4..10]));
    }

    #[test]
    fn digests_survive_the_database_and_tell_secrets_apart() {
        let secret = Secret::random("").unwrap();
        let text = serde_json::to_string(&secret.digest()).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&text).unwrap(), secret.digest());
        assert_ne!(Digest::of(b"a"), Digest::of(b"b"));
        assert!(serde_json::from_str::<Digest>("\"c2hvcnQ\"").is_err());
    }
}
