//! Real servers of RDP and VNC, looked at by viewers that take in frames as browsers do.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may panic")]

mod hostile;
mod kit;
mod rdp;
mod vnc;
