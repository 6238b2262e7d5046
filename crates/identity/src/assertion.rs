//! JWTs that others signed: what a program shows to prove itself (RFC 7523), made with the key of a certificate that its
//! application has, or by an identity provider that its application trusts.
//!
//! Which algorithm is taken follows from the key, never from the token: RS256 and PS256 for RSA of 2048 bits and more,
//! ES256 for P-256. Keys come from us or from the provider, never out of the token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey as CertificateKey;

use crate::Digest;

/// The longest time that a client's own assertion may be good for: MSAL and azure-identity give theirs ten minutes,
/// Terraform an hour.
pub const LONGEST: Duration = Duration::HOUR;
/// How far the clock of whoever signed may differ.
const SKEW: Duration = Duration::minutes(5);
/// Longest JWT looked at, in bytes.
const MAX: usize = 16 * 1024;
/// Most keys read of a provider.
const MAX_KEYS: usize = 100;

/// Why an assertion is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// No JWT that has what is needed, or of an algorithm that is not taken.
    #[error("the assertion is no JWT with the needed claims, signed with RS256, PS256 or ES256")]
    Malformed,
    /// Another key signed it, or something was changed.
    #[error("the assertion's signature does not match the key")]
    Signature,
    /// Over, not begun, or good for too long.
    #[error("the assertion is not within its valid time range")]
    Time,
}

/// A public key that assertions are verified with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifyingKey {
    /// RSA: modulus and exponent, base64url.
    Rsa {
        /// The modulus.
        n: String,
        /// The exponent.
        e: String,
    },
    /// P-256: the point, base64url.
    P256 {
        /// Its first coordinate.
        x: String,
        /// Its second.
        y: String,
    },
}

impl VerifyingKey {
    /// The key of a certificate. `None` when it is neither RSA of 2048 bits or more nor P-256.
    pub fn of_certificate(der: &[u8]) -> Option<VerifyingKey> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        match certificate.public_key().parsed().ok()? {
            CertificateKey::RSA(key) => {
                let strip = |bytes: &[u8]| {
                    let start = bytes.iter().position(|b| *b != 0).unwrap_or(bytes.len());
                    URL_SAFE_NO_PAD.encode(&bytes[start..])
                };
                (key.key_size() >= 2048)
                    .then(|| VerifyingKey::Rsa { n: strip(key.modulus), e: strip(key.exponent) })
            }
            CertificateKey::EC(point) => {
                // An uncompressed point, which is 4, x, y.
                let coordinates = point.data().strip_prefix(&[4])?;
                (coordinates.len() == 64).then(|| VerifyingKey::P256 {
                    x: URL_SAFE_NO_PAD.encode(&coordinates[..32]),
                    y: URL_SAFE_NO_PAD.encode(&coordinates[32..]),
                })
            }
            _ => None,
        }
    }

    fn algorithms(&self) -> &'static [Algorithm] {
        match self {
            VerifyingKey::Rsa { .. } => &[Algorithm::RS256, Algorithm::PS256],
            VerifyingKey::P256 { .. } => &[Algorithm::ES256],
        }
    }
}

/// The keys of a provider by their ids (RFC 7517). Those of other kinds are left out.
///
/// # Errors
/// [`AssertionError::Malformed`] when it is no key set.
pub fn key_set(bytes: &[u8]) -> Result<Vec<(Option<String>, VerifyingKey)>, AssertionError> {
    let read: Value = serde_json::from_slice(bytes).map_err(|_| AssertionError::Malformed)?;
    let keys = read["keys"].as_array().ok_or(AssertionError::Malformed)?;
    let key = |jwk: &Value| {
        let text = |name: &str| jwk[name].as_str().map(str::to_owned);
        // A key for encryption is no key for signatures.
        if text("use").is_some_and(|u| u != "sig") {
            return None;
        }
        let key = match (text("kty")?.as_str(), text("crv").as_deref()) {
            ("RSA", _) => VerifyingKey::Rsa { n: text("n")?, e: text("e")? },
            ("EC", Some("P-256")) => VerifyingKey::P256 { x: text("x")?, y: text("y")? },
            _ => return None,
        };
        Some((text("kid"), key))
    };
    Ok(keys.iter().take(MAX_KEYS).filter_map(key).collect())
}

/// One text or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Clone, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: OneOrMany,
    // MSAL for Python writes fractions of seconds.
    exp: f64,
    nbf: Option<f64>,
    iat: Option<f64>,
    jti: Option<String>,
}

/// An assertion that was read and not verified: what it says finds the key, and nothing else may follow from it.
#[derive(Debug)]
pub struct Assertion<'a> {
    jwt: &'a str,
    header: Header,
    claims: Claims,
}

impl<'a> Assertion<'a> {
    /// Reads a JWT.
    ///
    /// # Errors
    /// [`AssertionError::Malformed`].
    pub fn read(jwt: &'a str) -> Result<Assertion<'a>, AssertionError> {
        let malformed = AssertionError::Malformed;
        if jwt.len() > MAX {
            return Err(malformed);
        }
        let header = jsonwebtoken::decode_header(jwt).map_err(|_| malformed)?;
        let mut parts = jwt.split('.').skip(1);
        let (Some(body), Some(_), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed);
        };
        let body = URL_SAFE_NO_PAD.decode(body).map_err(|_| malformed)?;
        // A list would be read as the struct.
        let read: Map<String, Value> = serde_json::from_slice(&body).map_err(|_| malformed)?;
        let claims = serde_json::from_value(Value::Object(read)).map_err(|_| malformed)?;
        Ok(Assertion { jwt, header, claims })
    }

    /// Who says to have signed it.
    pub fn issuer(&self) -> &str {
        &self.claims.iss
    }

    /// Whom it is about.
    pub fn subject(&self) -> &str {
        &self.claims.sub
    }

    /// Its own id.
    pub fn id(&self) -> Option<&str> {
        self.claims.jti.as_deref()
    }

    /// The key that it says it was signed with.
    pub fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// Whether it is meant for one of these.
    pub fn is_for<S: AsRef<str>>(&self, audiences: &[S]) -> bool {
        let is = |a: &String| audiences.iter().any(|b| b.as_ref() == a);
        match &self.claims.aud {
            OneOrMany::One(one) => is(one),
            OneOrMany::Many(many) => many.iter().any(is),
        }
    }

    /// Whether it says to be signed with the certificate of these thumbprints: `x5t#S256`, `x5t`, or `kid` as Terraform
    /// writes it. Some clients pad them. One that names none may be of any.
    pub fn is_of(&self, sha1: &[u8], sha256: &Digest) -> bool {
        let same = |text: &str, bytes: &[u8]| {
            URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).is_ok_and(|decoded| decoded == bytes)
        };
        match (&self.header.x5t_s256, &self.header.x5t, &self.header.kid) {
            (Some(text), _, _) => text.trim_end_matches('=') == sha256.key(),
            (None, Some(text), _) | (None, None, Some(text)) => same(text, sha1),
            (None, None, None) => true,
        }
    }

    /// Whether this key signed it.
    ///
    /// # Errors
    /// [`AssertionError::Signature`]; `Malformed` for an algorithm that is none of the key's.
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), AssertionError> {
        if !key.algorithms().contains(&self.header.alg) {
            return Err(AssertionError::Malformed);
        }
        let decoding = match key {
            VerifyingKey::Rsa { n, e } => DecodingKey::from_rsa_components(n, e),
            VerifyingKey::P256 { x, y } => DecodingKey::from_ec_components(x, y),
        };
        let decoding = decoding.map_err(|_| AssertionError::Signature)?;
        // Only the signature: the library would read the clock.
        let mut validation = Validation::new(self.header.alg);
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_aud) = (false, false);
        jsonwebtoken::decode::<Map<String, Value>>(self.jwt, &decoding, &validation)
            .map(|_| ())
            .map_err(|_| AssertionError::Signature)
    }

    /// Whether it is good now; answers until when. `longest` bounds what may be left of its time.
    ///
    /// # Errors
    /// [`AssertionError::Time`].
    pub fn check_time(
        &self,
        longest: Option<Duration>,
        now: OffsetDateTime,
    ) -> Result<OffsetDateTime, AssertionError> {
        let instant = |seconds: f64| {
            // What does not fit is at an end of time.
            let whole = seconds as i64;
            OffsetDateTime::from_unix_timestamp(whole).map_err(|_| AssertionError::Time)
        };
        let end = instant(self.claims.exp)?;
        for begin in [self.claims.nbf, self.claims.iat].into_iter().flatten() {
            if instant(begin)? > now + SKEW {
                return Err(AssertionError::Time);
            }
        }
        let too_long = longest.is_some_and(|longest| end > now + longest + SKEW);
        if now >= end || too_long { Err(AssertionError::Time) } else { Ok(end) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::EncodingKey;
    use proptest::prelude::*;
    use serde_json::json;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);

    fn claims() -> Value {
        let now = NOW.unix_timestamp() as f64 + 0.64;
        json!({"iss": "app", "sub": "app", "aud": "https://b/token", "jti": "1", "iat": now, "exp": now + 600.0})
    }

    /// A P-256 key for signing with, and the same for verifying.
    fn pair() -> (EncodingKey, VerifyingKey) {
        use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, ring::rand::SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[..32]), URL_SAFE_NO_PAD.encode(&point[32..]));
        (EncodingKey::from_ec_der(document.as_ref()), VerifyingKey::P256 { x, y })
    }

    fn signed(claims: &Value, key: &EncodingKey) -> String {
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), claims, key).unwrap()
    }

    #[test]
    fn what_a_key_signed_is_taken_in_its_time_with_fractions_of_seconds() {
        let (key, public) = pair();
        let jwt = signed(&claims(), &key);
        let read = Assertion::read(&jwt).unwrap();
        assert_eq!(read.verify(&public), Ok(()));
        assert_eq!((read.issuer(), read.subject(), read.id()), ("app", "app", Some("1")));
        assert!(read.is_for(&["x", "https://b/token"]) && !read.is_for(&["https://b"]));
        let at = |now| read.check_time(Some(LONGEST), now);
        assert_eq!(at(NOW), Ok(NOW + Duration::minutes(10)));
        assert!(at(NOW - Duration::minutes(4)).is_ok(), "clocks differ");
        assert_eq!(at(NOW - Duration::minutes(6)), Err(AssertionError::Time));
        assert_eq!(at(NOW + Duration::minutes(10)), Err(AssertionError::Time));
        let mut long = claims();
        long["exp"] = json!(NOW.unix_timestamp() + 3600 + 301);
        let jwt = signed(&long, &key);
        assert_eq!(Assertion::read(&jwt).unwrap().check_time(Some(LONGEST), NOW), Err(AssertionError::Time));
        assert!(Assertion::read(&jwt).unwrap().check_time(None, NOW).is_ok());
    }

    #[test]
    fn the_key_says_which_algorithm_and_the_token_cannot() {
        let ((key, public), (_, other)) = (pair(), pair());
        let jwt = signed(&claims(), &key);
        assert_eq!(Assertion::read(&jwt).unwrap().verify(&other), Err(AssertionError::Signature));
        let (_, rest) = jwt.split_once('.').unwrap();
        let none = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#));
        assert!(Assertion::read(&none).is_err());
        // The public key as the secret of an HMAC.
        let VerifyingKey::P256 { x, .. } = &public else { panic!() };
        let hmac = EncodingKey::from_secret(x.as_bytes());
        let hs = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims(), &hmac).unwrap();
        assert_eq!(Assertion::read(&hs).unwrap().verify(&public), Err(AssertionError::Malformed));
        let rsa = VerifyingKey::Rsa { n: "AQAB".to_owned(), e: "AQAB".to_owned() };
        assert_eq!(Assertion::read(&jwt).unwrap().verify(&rsa), Err(AssertionError::Malformed));
    }

    #[test]
    fn a_certificate_is_named_by_either_thumbprint_padded_or_not() {
        let named = |field: &str, value: &str| {
            let head = json!({"alg": "RS256", field: value}).to_string();
            let jwt = format!(
                "{}.{}.AAAA",
                URL_SAFE_NO_PAD.encode(head),
                URL_SAFE_NO_PAD.encode(claims().to_string())
            );
            Assertion::read(&jwt).unwrap().is_of(&[7; 20], &Digest::of(b"certificate"))
        };
        let (sha1, sha256) = (URL_SAFE_NO_PAD.encode([7; 20]), Digest::of(b"certificate").key());
        for good in [
            ("x5t", sha1.clone()),
            ("x5t", format!("{sha1}=")),
            ("kid", format!("{sha1}=")),
            ("x5t#S256", sha256.clone()),
            ("typ", "JWT".to_owned()),
        ] {
            assert!(named(good.0, &good.1), "{good:?}");
        }
        for bad in [("x5t", sha256), ("x5t#S256", sha1), ("kid", "other".to_owned())] {
            assert!(!named(bad.0, &bad.1), "{bad:?}");
        }
    }

    #[test]
    fn a_providers_keys_are_read_and_those_of_other_uses_left_out() {
        let set = json!({"keys": [
            {"kty": "RSA", "kid": "1", "use": "sig", "n": "AQAB", "e": "AQAB"},
            {"kty": "RSA", "kid": "2", "use": "enc", "n": "AQAB", "e": "AQAB"},
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
            {"kty": "EC", "crv": "P-521", "kid": "4", "x": "AA", "y": "AA"},
            {"kty": "oct", "kid": "5", "k": "AA"},
            7,
        ]});
        let ids: Vec<_> =
            key_set(set.to_string().as_bytes()).unwrap().into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, [Some("1".to_owned()), None]);
        assert!(key_set(b"[]").is_err() && key_set(b"{").is_err());
    }

    proptest! {
        #[test]
        fn reading_never_panics(jwt in "[A-Za-z0-9_.-]{0,80}", set in "\\PC{0,80}") {
            let _ = Assertion::read(&jwt);
            let _ = key_set(set.as_bytes());
        }
    }
}
