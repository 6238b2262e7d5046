//! The `ip` program, and what it shows of network namespaces.

use std::io;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::LabError;

/// Where `ip netns` keeps its names.
pub(crate) const NETNS: &str = "/run/netns";

/// Runs `ip` and returns what it printed.
pub(crate) fn ip(arguments: &[&str]) -> Result<String, LabError> {
    let command = format!("ip {}", arguments.join(" "));
    let output = Command::new("ip").args(arguments).output().map_err(LabError::io(command.clone()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(LabError::Command { command, message: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}

/// The names of all network namespaces.
pub(crate) fn namespaces() -> io::Result<Vec<String>> {
    match std::fs::read_dir(NETNS) {
        Ok(entries) => entries.map(|e| Ok(e?.file_name().to_string_lossy().into_owned())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Kills the processes whose first thread is in a namespace, except this one.
pub(crate) fn kill_processes(namespace: &str) {
    let Ok(pids) = ip(&["netns", "pids", namespace]) else { return };
    for pid in pids.lines().filter_map(|l| l.trim().parse::<i32>().ok()).map(Pid::from_raw) {
        if pid != Pid::this() {
            // It may have ended by itself meanwhile.
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}
