//! The join string: everything a machine needs to trust the server and to be let in once.
//!
//! `skj1.<host:port>.<base64url SHA-256 of the CA's public key>.<base64url secret>`: the dots of the address make the
//! outer fields be split from both ends.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use zeroize::Zeroizing;

/// Bytes of randomness in a join secret.
pub const SECRET_BYTES: usize = 32;

/// A join string is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not a join string; it begins with 'skj1.' and is shown once when an enrolment token is made"
)]
pub struct MalformedJoinString;

/// A parsed join string. It has no `Debug`: it carries a secret.
pub struct JoinString {
    /// `host:port` of the server as the machine reaches it.
    pub address: String,
    /// SHA-256 of the CA's SubjectPublicKeyInfo.
    pub pin: [u8; 32],
    /// The one-time secret.
    pub secret: Zeroizing<Vec<u8>>,
}

impl JoinString {
    /// Parses the text a person pasted; blanks around it are ignored.
    ///
    /// # Errors
    /// [`MalformedJoinString`], which does not repeat the text.
    pub fn parse(text: &str) -> Result<JoinString, MalformedJoinString> {
        let rest = text.trim().strip_prefix("skj1.").ok_or(MalformedJoinString)?;
        let (rest, secret) = rest.rsplit_once('.').ok_or(MalformedJoinString)?;
        let (address, pin) = rest.rsplit_once('.').ok_or(MalformedJoinString)?;
        let pin = URL_SAFE_NO_PAD.decode(pin).map_err(|_| MalformedJoinString)?;
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.decode(secret).map_err(|_| MalformedJoinString)?);
        if !is_address(address) || secret.len() != SECRET_BYTES {
            return Err(MalformedJoinString);
        }
        Ok(JoinString {
            address: address.to_owned(),
            pin: pin.try_into().map_err(|_| MalformedJoinString)?,
            secret,
        })
    }

    /// The text to hand to a person. It is a secret.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!(
            "skj1.{}.{}.{}",
            self.address,
            URL_SAFE_NO_PAD.encode(self.pin),
            URL_SAFE_NO_PAD.encode(&*self.secret)
        ))
    }
}

/// Whether `text` is `host:port`, the host being a name or an address.
pub fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    // Without a sign or leading zeros, which other readers of addresses take for something else.
    let number = port.parse::<u16>().is_ok_and(|number| number != 0 && number.to_string() == port);
    !host.is_empty() && host.len() <= 255 && host.chars().all(plain) && number
}

/// What the server keeps of a join secret. SHA-256 suffices: the secret has 256 random bits.
pub fn secret_hash(secret: &[u8]) -> String {
    Hex(digest(&SHA256, secret).as_ref()).to_string()
}

/// Bytes as lower-case hexadecimal digits.
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_port_is_a_plain_number() {
        let made = |port: &str| format!("skj1.h:{port}.{}.{}", "A".repeat(43), "A".repeat(43));
        assert!(JoinString::parse(&made("8443")).is_ok());
        for port in ["0", "+8443", "08443", "65536", ""] {
            assert!(JoinString::parse(&made(port)).is_err(), "{port}");
        }
    }

    proptest! {
        #[test]
        fn a_join_string_reads_back_as_it_was_written(
            host in "([a-z]{1,8}\\.){0,2}[a-z]{1,8}|10\\.0\\.0\\.[1-9]|\\[fd00::1\\]", port in 1u16..,
            pin in any::<[u8; 32]>(), secret in any::<[u8; 32]>(),
        ) {
            let made = JoinString { address: format!("{host}:{port}"), pin, secret: Zeroizing::new(secret.to_vec()) };
            let read = JoinString::parse(&format!(" {}\n", *made.to_text())).unwrap();
            prop_assert_eq!(read.address, made.address);
            prop_assert_eq!(read.pin, pin);
            prop_assert_eq!(&*read.secret, &secret[..]);
        }

        #[test]
        fn nonsense_is_refused_without_panic(text in "(skj1\\.)?[a-zA-Z0-9.:_-]{0,90}") {
            let _ = JoinString::parse(&text);
        }
    }
}
