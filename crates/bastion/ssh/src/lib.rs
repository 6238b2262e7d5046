//! The bastion's SSH: what needs an SSH library, apart so that nothing else is built with one.
//!
//! The installation has two certificate authorities ([`authority`]): machines' SSH servers let in whoever has a fresh
//! certificate of the one, and people know machines by certificates of the other. For every session the server makes a key
//! that lives as long as the session, has it certified for seconds and for one name that only the machine's agent makes
//! worth something ([`certificate`]), and logs in with it through the stream that the agent opened ([`machine`]).
//! In a browser a session is a [`terminal`], which goes on while nobody looks at it, and the [`files`] beside it. Stock
//! clients come in through the [`gate`], which answers them in the machine's place.
//!
//! What this crate must never do:
//! - take a machine's word for who it is: its host key is one that its agent has reported, or it is not the machine;
//! - let a private key leave the process, or live longer than what it is for;
//! - know the store or the server.

pub mod authority;
pub mod certificate;
pub mod files;
pub mod gate;
pub mod machine;
pub mod terminal;

pub use russh;
