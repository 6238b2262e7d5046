//! What programs and browsers bring to sign in with: assertions, the key sets of providers, redirect addresses, codes that
//! people typed.

use sekisho_identity::assertion::{Assertion, VerifyingKey, key_set};
use sekisho_identity::oauth::Loopback;
use sekisho_identity::oauth::device::UserCode;
use time::OffsetDateTime;

/// No bytes are signed by a key that nobody has; an address that is taken leads to the person's own machine; a code reads
/// as itself.
pub fn assertion(data: &[u8]) {
    // The base point of P-256: its private key is 1, which no bytes were made with.
    let nobody = VerifyingKey::P256 {
        x: "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY".to_owned(),
        y: "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU".to_owned(),
    };
    if let Ok(keys) = key_set(data) {
        assert!(keys.len() <= 100);
    }
    let _ = VerifyingKey::of_certificate(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(read) = Assertion::read(text) {
        assert!(read.verify(&nobody).is_err(), "signed by nobody");
        let _ = read.check_time(None, OffsetDateTime::UNIX_EPOCH);
    }
    if let Some(read) = Loopback::parse(text) {
        let answer = read.with(&[("code", text)]);
        let (own, _) = answer.split_once('?').expect("parameters");
        let host = own.strip_prefix("http://").expect("the scheme").split('/').next().unwrap_or_default();
        let name = host.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches(':');
        let bare = if host.starts_with("127.0.0.1") { "127.0.0.1" } else { name };
        assert!(["localhost", "127.0.0.1", "[::1]"].contains(&bare), "{answer}");
        assert!(answer.chars().filter(|c| "?#".contains(*c)).count() == 1, "{answer}");
    }
    if let Some(code) = UserCode::parse(text) {
        assert_eq!(UserCode::parse(&code.to_string()), Some(code));
    }
}
