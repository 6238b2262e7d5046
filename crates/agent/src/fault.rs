//! Places where a test can have the agent die as by `kill -9`, to prove that every order of writing survives it. Only
//! in debug builds: a release has none of this.

/// The environment variable that names the place.
#[cfg(debug_assertions)]
const VARIABLE: &str = "SEKISHO_AGENT_DIES_AT";

/// Dies here when a test says so.
#[cfg(debug_assertions)]
pub(crate) fn point(name: &str) {
    if std::env::var(VARIABLE).is_ok_and(|v| v == name) {
        // SIGKILL to oneself cannot be handled and does not fail.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
    }
}

/// Nothing, in a release.
#[cfg(not(debug_assertions))]
pub(crate) fn point(_: &str) {}
