//! The agent's side of the wire: how a machine is let in, the connections it holds afterwards, and the [`spool`] of what
//! it has to tell with the [`outbox`] that sends it. Everything that touches the machine itself is in the program; the
//! fleet of simulated machines uses this part of it.
//!
//! It must never listen, and never trust a server that the join string or the identity does not name.

pub mod backoff;
pub mod confirm;
pub mod connection;
pub mod enrol;
pub mod outbox;
pub mod spool;
pub mod witness;
