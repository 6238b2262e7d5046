//! The link between a machine's agent and the server: how a machine joins, how both prove who they are, and what
//! they tell each other.
//!
//! A machine reads a [`JoinString`] and makes a key; the server signs a short-lived certificate ([`pki`]). From then
//! on the agent holds one outbound WebSocket over mutually authenticated TLS 1.3 and the two exchange [`message`]s:
//! the server sends a [`Command`], a signed document that stands in the log, the agent sends [`Facts`] (once whole, then as differences) and
//! reports what it applied. What happens to the machine goes up in event [`stream`]s, which [`ingest`] keeps exactly once.
//! A [`ticket`] lets a single byte stream reach something on the machine, or a host near it to which the machine's own list
//! leads ([`reach`]).
//! The server half ([`machine`], [`provider`]) keeps machines as ARM resources.
//!
//! This crate must never open a socket or read a clock: `server` and `agent` do. What arrives from the other side is
//! hostile until it is parsed; a private key never leaves the machine that made it.

pub mod account;
pub mod command;
pub mod current;
pub mod desired;
pub mod duplicate;
pub mod enrolment;
pub mod events;
pub mod facts;
pub mod hits;
pub mod ingest;
pub mod join;
pub mod machine;
pub mod message;
pub mod outline;
pub mod pki;
pub mod provider;
pub mod reach;
pub mod served;
pub mod stream;
pub mod summary;
pub mod ticket;
pub mod tls;
pub mod witnesses;

pub use command::Command;
pub use current::Current;
pub use desired::{CommandKey, DesiredDocument, SignedDesired, SigningKey, SigningKeys};
pub use facts::Facts;
pub use join::JoinString;
