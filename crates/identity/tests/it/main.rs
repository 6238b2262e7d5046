//! Passkey ceremonies with a software authenticator in place of the browser; conditional access as a whole.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should panic")]

mod conditional_access;
mod passkeys;
