//! Network security groups: Azure's stateful allow and deny rules, enforced by the kernel of the machine they protect.
//!
//! Data flows one way. A user writes [`resources`] in Azure's JSON; [`resolve`] turns everything that concerns one
//! machine (its NICs, their NSGs, application security groups, tags) into a [`policy::NsgPart`], a plain document in
//! which every name has become addresses; the agent receives that part, [`compile`] turns it into one nftables script,
//! and [`agent`] loads it in one kernel transaction and watches that nobody else changes it. [`guard`] closes single ports to
//! everybody but those for whom something is open right now. [`evaluate`] says in a few
//! lines of obvious code what a part means, and is what the kernel is tested against.
//!
//! What this crate must never do:
//! - turn "matches nothing" into "matches everything": a group without members or an empty tag stays empty all the
//!   way into the kernel, and an unknown name is an error instead of a guess;
//! - let a value from the network reach the nftables script as text: only types that cannot hold nftables syntax do
//!   ([`policy::InterfaceName`], numbers, addresses);
//! - touch any nftables object outside its own table, `inet sekisho`.

pub mod agent;
pub mod compile;
pub mod effective;
pub mod evaluate;
pub mod guard;
pub mod policy;
pub mod provider;
pub mod resolve;
pub mod resources;
pub mod watch;
