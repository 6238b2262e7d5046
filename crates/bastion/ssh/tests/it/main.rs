//! Logging in to a real OpenSSH server by certificates of ours.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod login;
