//! The activity log as a hash chain: every entry names the hash of the one before it, from the first entry on, so
//! that nothing can be changed, dropped or put in between without breaking everything after it.
//!
//! An [`AuditEntry`](sekisho_arm::AuditEntry) becomes a [`Leaf`] with a sequence number and an instant; its canonical
//! bytes and the previous hash give its [`Hash`]. `store` keeps leaf bytes and hashes in the same transaction as the
//! write they record; [`activity::event`] shows a leaf in the shape of Azure's activity log.
//!
//! This crate must never do I/O, and a leaf must never carry a secret: whoever reads the log may not be allowed to
//! use what was written.

pub mod activity;
pub mod chain;

pub use chain::{ChainError, Hash, Leaf, verify};
