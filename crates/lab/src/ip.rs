//! The `ip` program, and what it shows of network namespaces.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use nix::mount::{MntFlags, umount2};
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

/// Ends every process of a namespace and removes its name; the kernel then removes the namespace and the interfaces in
/// it. Without the `ip` program, so that cleaning up works also when the machine cannot start programs any more.
pub(crate) fn remove(namespace: &str) -> io::Result<()> {
    let path = Path::new(NETNS).join(namespace);
    kill_processes(&path)?;
    // A name that was bound more than once needs as many steps; the last says that nothing is mounted there.
    while umount2(&path, MntFlags::MNT_DETACH).is_ok() {}
    std::fs::remove_file(&path)
}

/// Kills the processes whose first thread is in the namespace, except this one.
fn kill_processes(namespace: &Path) -> io::Result<()> {
    let identity = |path: &Path| std::fs::metadata(path).map(|m| (m.dev(), m.ino()));
    let wanted = identity(namespace)?;
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path();
        let pid = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse().ok()).map(Pid::from_raw);
        // A process may end at any moment, and then neither is readable nor can be killed.
        if let Some(pid) = pid
            && pid != Pid::this()
            && identity(&path.join("ns/net")).is_ok_and(|found| found == wanted)
        {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
    Ok(())
}
