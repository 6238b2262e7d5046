//! Passkey ceremonies with a software authenticator in place of the browser.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should panic")]

mod passkeys;
