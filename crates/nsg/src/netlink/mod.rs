//! Netlink, as everything here that talks to the kernel's netfilter uses it.
//!
//! - [`message`]: messages built and walked. Pure; what is read may be anything.
//! - [`conntrack`]: connections as connection tracking tells of them. Pure.
//! - [`socket`]: asks, and waits for the answer.
//!
//! Written by hand: `netlink-packet-netfilter` 0.4 makes a tree of vectors of every message, of which there are tens of
//! thousands a second, and drops the counters of the elements that it reads.

pub mod conntrack;
pub(crate) mod message;
pub(crate) mod socket;

pub use message::Answer;
pub use socket::NetlinkError;
