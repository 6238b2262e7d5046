//! Access tokens, and the tokens that continue a list.

use std::sync::OnceLock;

use sekisho_identity::token::{Claims, SigningKey, TokenKind, Tokens};
use sekisho_lake::Cursor;
use time::OffsetDateTime;
use uuid::Uuid;

const AUDIENCE: &str = "https://localhost:8443";

/// Nobody but the holder of the key makes a token that is taken: neither from nothing, nor by changing one; and one
/// that was made is taken by its audience, within its time, only.
pub fn token(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(tokens().verify(text, &[AUDIENCE], now()).is_err(), "a token from nothing");
        if let Ok(cursor) = text.parse::<Cursor>() {
            assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        }
    }
    let [place @ .., change] = data else { return };
    let (token, claims) = made();
    let mut changed = token.clone().into_bytes();
    let place = place.iter().fold(0_usize, |sum, byte| (sum << 8 | usize::from(*byte)) % changed.len());
    changed[place] = change % 0x80;
    let Ok(changed) = String::from_utf8(changed) else { return };
    match tokens().verify(&changed, &[AUDIENCE], now()) {
        Ok(read) => assert!(changed == *token && read == *claims, "a changed token"),
        Err(_) => assert_ne!(changed, *token),
    }
    let cut = &token[..place];
    assert!(tokens().verify(cut, &[AUDIENCE], now()).is_err(), "a part of a token");
    assert!(tokens().verify(token, &[cut], now()).is_err(), "a token for somebody else");
    let early = now() - time::Duration::minutes(6);
    let late = now() + time::Duration::seconds(3600);
    assert!([early, late].iter().all(|at| tokens().verify(token, &[AUDIENCE], *at).is_err()));
}

fn now() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000)
}

fn tokens() -> &'static Tokens {
    static TOKENS: OnceLock<Tokens> = OnceLock::new();
    TOKENS.get_or_init(|| {
        let key = SigningKey::generate(now()).expect("a key");
        Tokens::new(vec![key], "https://localhost:8443/t/v2.0", Uuid::nil()).expect("a key")
    })
}

fn made() -> &'static (String, Claims) {
    static MADE: OnceLock<(String, Claims)> = OnceLock::new();
    MADE.get_or_init(|| {
        let claims = Claims::new(TokenKind::User, Uuid::nil(), "app", AUDIENCE, 7, now());
        let token = tokens().mint(claims).expect("a token").expose().to_owned();
        let read = tokens().verify(&token, &[AUDIENCE], now()).expect("our own token is refused");
        (token, read)
    })
}
