//! Interval decision diagrams: what a list of rules decides about every packet, as a graph of tests of one header field
//! each.
//!
//! A node tests one [`Field`] and has an edge for every interval of its values; a path from the root to a [`Terminal`]
//! is a box of packets that are all treated alike. In a [`Manager`] the fields are tested in one order, neighbouring
//! intervals with the same child are one, a node whose edges all lead to the same child does not exist, and equal nodes
//! are the same node. So two diagrams of one manager treat every packet alike exactly when they are the same
//! [`NodeId`]. That makes three things cheap: the kernel asks at most one question for each field whatever the number
//! of rules ([`crate::compile`]), what the kernel holds is compared with what was meant ([`crate::readback`]), and
//! statements about all packets are decided instead of sampled ([`crate::analyse`]).
//!
//! Terminals are numbers whose meaning is the caller's. Two meanings are in use: the index of the rule that decides, and
//! [`DENY`], [`ALLOW`] or [`ALWAYS`]. Sets of packets have the first two only.
//!
//! Ports are tested only where there are ports: every order tests the protocol first, and [`Product`] says of a
//! protocol without ports that its ports are anything, so that no node about ports is reached by it.

mod build;
mod field;
mod manager;
mod paths;
mod product;

pub use build::{Budget, ORDERS, TooLarge, build, smallest};
pub(crate) use field::number;
pub use field::{Family, Field, Interval, IntervalSet};
pub use manager::{Manager, NodeId, Order, Terminal};
pub use paths::{PacketBox, Point};
pub use product::{Product, product, products, unasked};

/// The terminal of packets that are denied, or are not in a set.
pub const DENY: Terminal = Terminal::new(0);
/// The terminal of packets that are allowed, or are in a set.
pub const ALLOW: Terminal = Terminal::new(1);
/// The terminal of packets that are allowed whatever the next list says.
pub const ALWAYS: Terminal = Terminal::new(2);
/// The terminal of packets that no rule of a list matches.
pub const NO_RULE: Terminal = Terminal::MAX;
