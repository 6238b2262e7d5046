//! Flow logs: what begins, goes on and ends at a machine's interfaces, and what is denied there.
//!
//! On the machine, [`collector`] hears of connections from the kernel's connection tracking ([`conntrack`](crate::netlink::conntrack)) and of denied
//! packets from the packet filter ([`nflog`]). [`track`] turns the first into records with deltas, [`denied`] the second
//! into counts, [`attribute`] says which rule decided, [`owner`] whose socket it is; the result is a [`record::Batch`],
//! an event of the machine. On the server, [`azure`] writes records as Azure does.
//!
//! What is lost is told: a [`record::Gap`] says how much, or that it is unknown. What is not known, such as the process of
//! a connection that had ended before it was looked for, is absent and never guessed.

pub mod attribute;
pub mod azure;
pub mod collector;
pub mod counters;
pub mod denied;
pub mod filter;
mod listening;
pub mod map;
pub mod nflog;
pub mod owner;
pub mod part;
pub mod places;
pub mod record;
pub mod sockets;
pub mod track;
pub mod traffic;

pub use listening::listening;
