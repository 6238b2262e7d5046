//! Network security groups: Azure's stateful allow and deny rules, enforced by the kernel of the machine they protect.
//!
//! Data flows one way. A user writes [`resources`] in Azure's JSON; [`resolve`] turns everything that concerns one
//! machine (its NICs, their NSGs, application security groups, tags) into a [`policy::NsgPart`], a plain document in
//! which every name has become addresses; the agent receives that part, [`compile`] turns its rules into decision
//! [`diagram`]s and these into chains, [`swap`] changes over to them in one kernel transaction, and [`readback`] proves
//! that the kernel holds them, right after that and ever after. [`guard`] closes single ports to everybody but those for
//! whom something is open right now. [`existing`] ends flows that began under rules that are no more, where a group wants
//! that. [`evaluate`] says in a few lines of obvious code what a part means, and is what the kernel is tested against.
//!
//! The same diagrams answer questions about policies: [`analyse`] finds rules that are void or contradict each other,
//! [`difference`] tells what a change opens and closes, [`invariant`] whether something can never happen.
//!
//! [`flow`] tells which flows there were, which rule decided each, and whose they are. What is not loaded by `nft` is said
//! to the kernel in [`netlink`].
//!
//! What this crate must never do:
//! - turn "matches nothing" into "matches everything": a group without members or an empty tag stays empty all the
//!   way into the kernel, and an unknown name is an error instead of a guess;
//! - let a value from the network reach the nftables script as text: only types that cannot hold nftables syntax do
//!   ([`policy::InterfaceName`], numbers, addresses);
//! - touch any nftables object outside its own table, `inet sekisho`.

pub mod agent;
pub mod allowed;
pub mod analyse;
pub mod compile;
pub mod diagnose;
pub mod diagram;
pub mod difference;
pub mod effective;
pub mod evaluate;
pub mod existing;
pub mod flow;
mod frame;
pub mod guard;
pub mod invariant;
pub mod listing;
pub mod netlink;
mod node;
pub mod platform;
pub mod policy;
pub mod provider;
pub mod readback;
pub mod resolve;
pub mod resources;
pub mod ruleset;
pub mod shown;
pub mod swap;
pub mod watch;
