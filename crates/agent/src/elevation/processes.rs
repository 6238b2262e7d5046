//! Ending what a user still runs: everything of an account, or what hangs below `sudo`.
//!
//! What was started by `sudo` and has left its tree is not found: a daemon, what `systemd-run`, `at` and `cron` start later.
//! Whoever is root for a moment can stay; that is for the log to tell.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::Context as _;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, sysconf};
use sekisho_jit::agent::SinceBoot;

/// A tree that grows faster than it is stopped is given up on for this look, with what was stopped.
const ROUNDS: usize = 50;

/// A process, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Process {
    parent: i32,
    /// In the kernel's ticks since boot: with its id it names the process for ever.
    started: u64,
    /// Real, effective, saved.
    uids: [u32; 3],
    is_sudo: bool,
    /// For whom `sudo` says that it was started.
    sudo_uid: Option<u32>,
}

type All = BTreeMap<i32, Process>;

/// What an account runs, and what it runs by `sudo`.
fn of_account(all: &All, uid: u32) -> BTreeSet<i32> {
    let own = all.iter().filter(|(_, p)| p.uids.contains(&uid)).map(|(pid, _)| *pid);
    let mut out: BTreeSet<i32> = own.collect();
    out.extend(of_sudo(all, uid, 0));
    out
}

/// What hangs below a `sudo` that an account has started since then. A `sudo` is known by who started it, or when that is
/// gone, by what it says to what it started.
fn of_sudo(all: &All, uid: u32, since: u64) -> BTreeSet<i32> {
    let is_theirs = |pid: i32, process: &Process| {
        let by = all.get(&process.parent).is_some_and(|parent| parent.uids[0] == uid);
        let says = all.values().any(|child| child.parent == pid && child.sudo_uid == Some(uid));
        process.is_sudo && process.started >= since && (by || says)
    };
    let roots = all.iter().filter(|(pid, process)| is_theirs(**pid, process)).map(|(pid, _)| *pid);
    let mut out: BTreeSet<i32> = roots.collect();
    loop {
        let more = all.iter().filter(|(pid, p)| !out.contains(pid) && out.contains(&p.parent));
        let more: Vec<i32> = more.map(|(pid, _)| *pid).collect();
        if more.is_empty() {
            return out;
        }
        out.extend(more);
    }
}

/// Ends every process of an account; how many there were.
pub(super) fn end_all(uid: u32) -> anyhow::Result<usize> {
    end(|all| of_account(all, uid))
}

/// Ends what an account runs by `sudo` since then, by the kernel's clock; how many there were.
pub(super) fn end_sudo(uid: u32, since: SinceBoot) -> anyhow::Result<usize> {
    let hertz =
        sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|n| u64::try_from(n).ok()).unwrap_or(100);
    end(|all| of_sudo(all, uid, since.saturating_mul(hertz) / 1000))
}

/// Stops all of them before it ends any: what ends would leave the tree that its children are known by.
fn end(which: impl Fn(&All) -> BTreeSet<i32>) -> anyhow::Result<usize> {
    let mut stopped: BTreeMap<i32, u64> = BTreeMap::new();
    for _ in 0..ROUNDS {
        let all = all()?;
        let found = which(&all);
        let fresh: Vec<(i32, u64)> = found
            .iter()
            .filter_map(|pid| Some((*pid, all.get(pid)?.started)))
            .filter(|(pid, started)| stopped.get(pid) != Some(started))
            .collect();
        if fresh.is_empty() {
            break;
        }
        for (pid, started) in fresh {
            signal(pid, started, Signal::SIGSTOP)?;
            stopped.insert(pid, started);
        }
    }
    for (pid, started) in &stopped {
        signal(*pid, *started, Signal::SIGKILL)?;
    }
    Ok(stopped.len())
}

fn signal(pid: i32, started: u64, what: Signal) -> anyhow::Result<()> {
    // Its number may be another one's by now.
    if pid <= 1 || process(pid).is_none_or(|now| now.started != started) {
        return Ok(());
    }
    match kill(Pid::from_raw(pid), what) {
        Err(Errno::ESRCH) | Ok(()) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("{what} to the process {pid}")),
    }
}

fn all() -> anyhow::Result<All> {
    let mut out = All::new();
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    for entry in fs::read_dir("/proc").context("/proc")? {
        let pid = entry.context("/proc")?.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        out.extend(pid.filter(|pid| *pid != me).and_then(|pid| Some((pid, process(pid)?))));
    }
    Ok(out)
}

/// None when it has ended meanwhile, or is dead and waits for its parent.
fn process(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (parent, started) = parse_stat(&stat)?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let uids = parse_uids(&status)?;
    // A thread of the kernel has neither.
    let exe = fs::read_link(format!("/proc/{pid}/exe")).ok();
    let name = exe.as_ref().and_then(|exe| exe.file_name()).map(|name| name.to_string_lossy().into_owned());
    let is_sudo = name.is_some_and(|name| name == "sudo" || name.starts_with("sudo "));
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    Some(Process { parent, started, uids, is_sudo, sudo_uid: parse_sudo_uid(&environment) })
}

fn parse_stat(stat: &str) -> Option<(i32, u64)> {
    // The name may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let is_dead = ["Z", "X"].contains(fields.first()?);
    (!is_dead).then(|| Some((fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?)))?
}

fn parse_uids(status: &str) -> Option<[u32; 3]> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let mut uids = line.split_whitespace().map(str::parse);
    Some([uids.next()?.ok()?, uids.next()?.ok()?, uids.next()?.ok()?])
}

fn parse_sudo_uid(environment: &[u8]) -> Option<u32> {
    let value = environment.split(|b| *b == 0).find_map(|entry| entry.strip_prefix(b"SUDO_UID="))?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(parent: i32, started: u64, uid: u32) -> Process {
        Process { parent, started, uids: [uid; 3], ..Process::default() }
    }

    #[test]
    fn what_hangs_below_somebodys_sudo_is_found_and_nothing_of_others() {
        let sudo = |parent, started| Process { is_sudo: true, ..one(parent, started, 0) };
        let says = |parent, uid| Process { sudo_uid: Some(uid), ..one(parent, 50, 0) };
        let all = All::from([
            (10, one(1, 1, 1000)),
            // Alice's, with its monitor, a shell and what that runs.
            (11, sudo(10, 40)),
            (12, sudo(11, 40)),
            (13, says(12, 1000)),
            (14, one(13, 60, 33)),
            // Older than the grant.
            (15, sudo(10, 5)),
            (16, says(15, 1000)),
            // Her shell is gone.
            (17, sudo(1, 41)),
            (18, says(17, 1000)),
            // Bob's.
            (20, one(1, 1, 1001)),
            (21, sudo(20, 40)),
            (22, says(21, 1001)),
            // A daemon that was started by it, and a program that only says so.
            (30, says(1, 1000)),
        ]);
        assert_eq!(of_sudo(&all, 1000, 30), BTreeSet::from([11, 12, 13, 14, 17, 18]));
        assert_eq!(of_account(&all, 1001), BTreeSet::from([20, 21, 22]));
        assert!(of_sudo(&all, 1002, 0).is_empty());
    }

    #[test]
    fn what_the_kernel_tells_is_read_whatever_a_process_calls_itself() {
        let stat = "17 (a) R 1 ) S) S 4 17 17 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 1 1";
        assert_eq!(parse_stat(stat), Some((4, 12345)));
        assert_eq!(parse_stat(&stat.replace(" S 4", " Z 4")), None);
        assert_eq!(parse_uids("Name:\tx\nUid:\t1000\t0\t0\t0\n"), Some([1000, 0, 0]));
        assert_eq!(parse_sudo_uid(b"A=1\0SUDO_UID=1000\0B=2\0"), Some(1000));
        assert_eq!(parse_sudo_uid(b"XSUDO_UID=1000\0SUDO_UID=x\0"), None);
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(process(me).is_some_and(|p| p.started > 0 && !p.is_sudo));
        assert!(!all().unwrap().contains_key(&me));
    }
}
