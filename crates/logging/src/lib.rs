//! What our programs log: lines on standard error, for people or as JSON, chosen by `SEKISHO_LOG`.
//!
//! A library's lines stop at INFO, whatever is asked for: below that, libraries print headers and frames, with whatever
//! secrets are in them. This crate must never let one through.

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::prelude::*;

/// Begins to log, `usual` where `SEKISHO_LOG` says nothing that can be read. To be called once.
pub fn start(usual: &str, json: bool) {
    let asked = EnvFilter::try_from_env("SEKISHO_LOG").unwrap_or_else(|_| usual.into());
    let careful = filter_fn(|line| line.target().starts_with("sekisho") || *line.level() <= Level::INFO);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if json { lines.json().boxed() } else { lines.boxed() };
    tracing_subscriber::registry().with(lines.with_filter(FilterExt::and(asked, careful))).init();
}
