//! What our programs log: lines on standard error, for people or as JSON, chosen by `SEKISHO_LOG`.
//!
//! A library's lines stop at INFO, whatever is asked for: below that, libraries print headers and frames, with whatever
//! secrets are in them. This crate must never let one through. Nor does the memory of a program leave it in a core dump
//! ([`keep_memory`]).

use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
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
    // What the panic says may quote what was being worked on.
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(at, "a mistake of this program ended what it was doing");
    }));
}

/// Sees to it that nothing of this process's memory is written anywhere: no core dump, and nobody but root looks into it
/// (`PR_SET_DUMPABLE`, `prctl(2)`). A program that is started from here begins anew.
///
/// # Errors
/// When the kernel refuses.
pub fn keep_memory() -> std::io::Result<()> {
    set_dumpable(false)?;
    // A service manager that has done so already may not let us do it.
    if getrlimit(Resource::RLIMIT_CORE)? != (0, 0) {
        setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_memory_is_dumped() {
        keep_memory().unwrap();
        assert!(!nix::sys::prctl::get_dumpable().unwrap());
        assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0));
        keep_memory().unwrap();
    }
}
