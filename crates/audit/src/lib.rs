//! The activity log as a Merkle tree (RFC 6962): every entry is a leaf, every state of the log has a root, and that one
//! state begins with another is proved by a few hashes, so that nothing can be changed, dropped or put in between
//! without being found out by whoever remembers one root.
//!
//! An [`AuditEntry`](sekisho_arm::AuditEntry) becomes a [`Leaf`] with a sequence number and an instant. `store` keeps
//! leaf bytes, their hashes and the [`tree`]'s nodes in the transaction of the write they record. The server signs
//! [`checkpoint`]s as C2SP [`note`]s; agents are [`witness`]es; [`export`] is what anybody can check offline.
//! [`activity::event`] shows a leaf in the shape of Azure's activity log.
//!
//! This crate must never do I/O, and a leaf must never carry a secret: whoever reads the log may not be allowed to
//! use what was written.

pub mod activity;
pub mod checkpoint;
pub mod export;
mod hash;
mod leaf;
pub mod legacy;
pub mod note;
pub mod succession;
pub mod tree;
pub mod witness;

pub use checkpoint::Checkpoint;
pub use hash::Hash;
pub use leaf::Leaf;
pub use succession::Succession;
pub use tree::Frontier;
