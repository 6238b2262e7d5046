//! What must hold for any bytes that arrive from outside: one body for each thing that is parsed.
//!
//! `fuzz/` runs the bodies under libFuzzer, guided by coverage; the test of this crate runs them with mutations of the
//! seeds in `fuzz/seeds`. A body panics when what it promises does not hold.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a promise that is not kept is a panic here")]

mod assertion;
mod configuration;
mod copies;
mod filter;
mod flow;
mod frame;
mod id;
mod join;
mod listing;
mod rules;
mod segment;
mod spool;
mod tags;
mod token;

pub use assertion::assertion;
pub use configuration::configuration;
pub use copies::{scp, sftp};
pub use filter::filter;
pub use flow::flow;
pub use frame::frame;
pub use id::id;
pub use join::join;
pub use listing::{listing, listing_passes};
pub use rules::rules;
pub use segment::segment;
pub use spool::spool;
pub use tags::tags;
pub use token::token;

/// A body.
pub type Body = fn(&[u8]);

/// All of them, by the names of their targets and of their folders of seeds.
pub const ALL: [(&str, Body); 15] = [
    ("assertion", assertion),
    ("configuration", configuration),
    ("filter", filter),
    ("flow", flow),
    ("frame", frame),
    ("id", id),
    ("join", join),
    ("listing", listing),
    ("rules", rules),
    ("scp", scp),
    ("segment", segment),
    ("sftp", sftp),
    ("spool", spool),
    ("tags", tags),
    ("token", token),
];

/// A directory in memory where there is one: bodies that need files run thousands of times a second.
fn directory() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a directory for files")
}
