//! Bastion: ways to machines that have no public address and no open port.
//!
//! A user makes a bastion host in Azure's JSON ([`host`]): what may be done through it, from which addresses. Whoever may
//! log in to a machine asks for a session ([`session`]) through one that reaches it. The stream itself is no business of
//! this crate: the server asks the machine for it by a [ticket](sekisho_link::ticket), and the machine dials out.
//!
//! Over RDP or VNC it is a [desktop] that somebody sees.
//!
//! Whoever may log in can lend that by a [link](shareable_link). A machine may lead to hosts [near](near) it, too.
//!
//! For logins, agents have the machine's SSH server trust the installation ([`part`], [`sshd`]), tell of its host keys, which
//! are certified ([`machine`]), and look whether an account is one for administrators ([`privileged`]).
//!
//! What this crate must never do:
//! - let a session begin that its bastion host, as it is kept at that moment, does not allow;
//! - know another system, the store or the server.

pub mod desktop;
pub mod host;
pub mod machine;
pub mod near;
pub mod part;
pub mod privileged;
pub mod provider;
pub mod session;
pub mod shareable_link;
pub mod sshd;
