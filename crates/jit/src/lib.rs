//! Just-in-time access: a port of a machine is closed until somebody asks for it, and closes again by itself.
//!
//! Data flows one way. A user writes a policy in Azure's JSON ([`resources`]): which ports of which machines are guarded,
//! who may ask from where and for how long. Somebody asks; the request ([`request`]) waits for approvals where the policy
//! says so, and in the end opens ports: each opened port is a grant. So is what else the policy offers, `sudo` and an account
//! for a time ([`elevation`]), and logins through a bastion, which the server admits ([`provider::logins`]) and machines are
//! told nothing of. A grant may be given more time ([`extension`]). [`provider`] turns policies and grants into
//! the part `jit` of the machine's desired document ([`part`]). On the machine, [`agent`] says how long each grant has left,
//! and the kernel's timers end what is open, with or without agent and server; [`usage`] adds up what it carried.
//!
//! What this crate must never do:
//! - open anything for what the request's state does not call open ([`State::is_open`](request::State::is_open));
//! - let a grant live longer than it was given, whichever clock is set, machine restarted or copy of the state restored;
//! - know another system, the store or the server: who may decide, and what a person proved, is judged where people are
//!   known.

pub mod agent;
pub mod elevation;
pub mod extension;
pub mod part;
pub mod provider;
pub mod request;
pub mod resources;
pub mod settings;
pub mod sources;
pub mod usage;
