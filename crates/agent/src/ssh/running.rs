//! What runs on this machine in a login, and its end: also what was left in the background, and what nobody waits for.
//!
//! A login is found by its connection to the SSH server. A process is of it that holds the connection, descends from one that
//! does, or has the mark of such a one: the audit session that `pam_loginuid` gave the login (`/proc/PID/sessionid`), or
//! systemd's scope for it (`session-N.scope`). Marks outlive parents. What was handed to another service (cron, `at`,
//! `systemd-run`) is that service's, and not found here.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::task::spawn_blocking;

/// How often it is looked whether there is more of a login: each time, all that was found before is stopped already.
const LOOKS: usize = 50;
/// The audit session of what nobody logged in for (`AUDIT_SID_UNSET`).
const UNSET: u32 = u32::MAX;

/// A login's connection to the SSH server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Connection {
    /// The SSH server's end.
    pub(crate) server: SocketAddr,
    /// This agent's end.
    pub(crate) own: SocketAddr,
}

/// A process, and which one: a number is used again, but not with the same beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Id {
    pid: i32,
    /// In clock ticks since boot.
    begun: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    id: Id,
    parent: i32,
    audit_session: Option<u32>,
    scope: Option<String>,
    /// Whether it holds the login's connection.
    holds: bool,
}

/// What a login's processes are known by.
#[derive(Debug, Default, PartialEq, Eq)]
struct Marks {
    audit_sessions: HashSet<u32>,
    scopes: HashSet<String>,
}

impl Marks {
    /// Those of the processes that hold the connection, as far as the SSH server that started them does not have them, too.
    fn of(all: &[Process]) -> Marks {
        let by_pid: HashMap<i32, &Process> = all.iter().map(|process| (process.id.pid, process)).collect();
        let mut marks = Marks::default();
        for holder in all.iter().filter(|process| process.holds) {
            let Some(server) = by_pid.get(&holder.parent).filter(|parent| !parent.holds) else { continue };
            marks
                .audit_sessions
                .extend(holder.audit_session.filter(|_| holder.audit_session != server.audit_session));
            marks.scopes.extend(holder.scope.clone().filter(|_| holder.scope != server.scope));
        }
        marks
    }

    fn are_on(&self, process: &Process) -> bool {
        process.audit_session.is_some_and(|session| self.audit_sessions.contains(&session))
            || process.scope.as_ref().is_some_and(|scope| self.scopes.contains(scope))
    }
}

/// The processes of a login: those known before, those with its marks, and all that descend from any.
fn of_login(all: &[Process], marks: &Marks, known: &HashSet<Id>) -> HashSet<Id> {
    let mut found: HashSet<Id> =
        all.iter().filter(|p| p.holds || known.contains(&p.id) || marks.are_on(p)).map(|p| p.id).collect();
    let mut pids: HashSet<i32> = found.iter().map(|id| id.pid).collect();
    loop {
        let children: Vec<Id> = all
            .iter()
            .filter(|p| pids.contains(&p.parent) && !pids.contains(&p.id.pid))
            .map(|p| p.id)
            .collect();
        if children.is_empty() {
            return found;
        }
        pids.extend(children.iter().map(|id| id.pid));
        found.extend(children);
    }
}

/// Ends everything that runs in a login. Returns how many processes that were.
///
/// # Errors
/// When this machine's processes cannot be looked at, or become more faster than they are stopped.
pub(crate) async fn end(connection: Connection) -> io::Result<u32> {
    spawn_blocking(move || end_now(connection)).await?
}

fn end_now(connection: Connection) -> io::Result<u32> {
    let Some(socket) = socket_of(connection)? else { return Ok(0) };
    let (mut marks, mut known) = (None, HashSet::new());
    // All are stopped before any is ended, so that none has a child that nobody sees.
    for _ in 0..LOOKS {
        let all = processes(socket)?;
        let marks = marks.get_or_insert_with(|| Marks::of(&all));
        let found = of_login(&all, marks, &known);
        let fresh: Vec<Id> = found.difference(&known).copied().collect();
        if fresh.is_empty() {
            for id in &known {
                signal(*id, Signal::SIGKILL)?;
            }
            return Ok(u32::try_from(known.len()).unwrap_or(u32::MAX));
        }
        for id in &fresh {
            signal(*id, Signal::SIGSTOP)?;
        }
        known.extend(fresh);
    }
    for id in &known {
        signal(*id, Signal::SIGKILL)?;
    }
    Err(io::Error::other("the processes of a login become more and more"))
}

/// Signals a process, if it is still there.
fn signal(id: Id, signal: Signal) -> io::Result<()> {
    if stat(id.pid).is_none_or(|(_, begun)| begun != id.begun) {
        return Ok(());
    }
    match kill(Pid::from_raw(id.pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The number of the SSH server's socket (`proc_net_tcp`).
fn socket_of(Connection { server, own }: Connection) -> io::Result<Option<u64>> {
    for table in ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"] {
        let text = match fs::read_to_string(table) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if let Some(number) = in_table(&text, server, own) {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// The number of the socket between two ends in such a table. One of IPv6 has connections of IPv4, too.
fn in_table(table: &str, local: SocketAddr, remote: SocketAddr) -> Option<u64> {
    let words = |bytes: &[u8]| -> String {
        let word = |four: &[u8]| four.try_into().map(u32::from_ne_bytes).unwrap_or_default();
        bytes.chunks(4).map(|four| format!("{:08X}", word(four))).collect()
    };
    let spelled = |end: SocketAddr| -> [String; 2] {
        let of = |address: String| format!("{address}:{:04X}", end.port());
        match end.ip() {
            IpAddr::V4(ip) => [of(words(&ip.octets())), of(words(&ip.to_ipv6_mapped().octets()))],
            IpAddr::V6(ip) => [of(words(&ip.octets())), of(words(&ip.octets()))],
        }
    };
    let (local, remote) = (spelled(local), spelled(remote));
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let is =
            |at: usize, spelled: &[String; 2]| spelled.iter().any(|s| fields.get(at) == Some(&s.as_str()));
        (is(1, &local) && is(2, &remote)).then(|| fields.get(9)?.parse().ok()).flatten()
    })
}

/// All processes that are not over, and which of them hold a socket.
fn processes(socket: u64) -> io::Result<Vec<Process>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that is gone meanwhile is no loss.
        let Some((parent, begun)) = stat(pid) else { continue };
        let at = Path::new("/proc").join(pid.to_string());
        let read = |name: &str| fs::read_to_string(at.join(name)).unwrap_or_default();
        all.push(Process {
            id: Id { pid, begun },
            parent,
            audit_session: read("sessionid").trim().parse().ok().filter(|session| *session != UNSET),
            scope: scope_in(&read("cgroup")),
            holds: holds(&at, socket),
        });
    }
    Ok(all)
}

/// The parent of a process that is not over, and when it began (`proc_pid_stat`).
fn stat(pid: i32) -> Option<(i32, u64)> {
    read_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn read_stat(text: &str) -> Option<(i32, u64)> {
    // The name is in parentheses and may have any in it.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let is_over = matches!(*fields.first()?, "Z" | "X");
    Some((fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?)).filter(|_| !is_over)
}

/// systemd's scope of a login, in `/proc/PID/cgroup`.
fn scope_in(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let path = line.splitn(3, ':').nth(2)?;
        let ends = path.match_indices(".scope").map(|(at, found)| at + found.len());
        let scopes = ends.filter_map(|end| path.get(..end));
        scopes
            .into_iter()
            .find(|s| s.rsplit('/').next().is_some_and(|n| n.starts_with("session-")))
            .map(str::to_owned)
    })
}

fn holds(at: &Path, socket: u64) -> bool {
    let named = format!("socket:[{socket}]");
    let all = fs::read_dir(at.join("fd")).into_iter().flatten().flatten();
    all.into_iter().any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == named.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, audit_session: Option<u32>, scope: Option<&str>) -> Process {
        let id = Id { pid, begun: 100 + u64::from(pid.unsigned_abs()) };
        Process { id, parent, audit_session, scope: scope.map(str::to_owned), holds: false }
    }

    fn found(all: &[Process]) -> Vec<i32> {
        let mut pids: Vec<i32> =
            of_login(all, &Marks::of(all), &HashSet::new()).into_iter().map(|id| id.pid).collect();
        pids.sort_unstable();
        pids
    }

    #[test]
    fn what_was_left_in_the_background_is_of_the_login_and_what_others_run_is_not() {
        let scope = Some("/user.slice/user-1000.slice/session-7.scope");
        for (audit, scope) in [(Some(7), None), (None, scope), (Some(7), scope)] {
            let holding = |pid, parent| Process { holds: true, ..process(pid, parent, audit, scope) };
            let all = [
                process(1, 0, None, None),
                process(10, 1, None, Some("/system.slice/ssh.service")),
                holding(20, 10),
                holding(21, 20),
                process(22, 21, audit, scope),
                process(23, 1, audit, scope),
                // Another login, and what it runs.
                process(30, 10, Some(8), Some("/user.slice/user-1000.slice/session-8.scope")),
                process(31, 30, Some(8), Some("/user.slice/user-1000.slice/session-8.scope")),
            ];
            assert_eq!(found(&all), [20, 21, 22, 23]);
        }
    }

    #[test]
    fn a_mark_that_the_server_has_itself_is_not_the_logins() {
        // An SSH server that was started by hand, in the login of an administrator.
        let mut all =
            [process(1, 0, None, None), process(9, 1, Some(5), None), process(10, 9, Some(5), None)].to_vec();
        all.push(Process { holds: true, ..process(20, 10, Some(5), None) });
        all.push(process(21, 20, Some(5), None));
        assert_eq!(found(&all), [20, 21]);
        // Nothing is known of who started it: nothing but what descends is of the login.
        all.retain(|p| p.id.pid != 10);
        assert_eq!(found(&all), [20, 21]);
    }

    #[test]
    fn what_the_kernel_tells_of_processes_and_sockets_is_read() {
        let stat = "42 (a) (b) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        assert_eq!(read_stat(stat), Some((7, 4711)));
        assert_eq!(read_stat(&stat.replace(" S ", " Z ")), None);
        assert_eq!(read_stat("42 (a"), None);
        let of = |path: &str| scope_in(&format!("1:name=systemd:/x\n0::{path}\n"));
        let scope = "/user.slice/user-0.slice/session-c12.scope";
        assert_eq!(of(&format!("{scope}/inner.scope")), Some(scope.to_owned()));
        assert_eq!(of("/system.slice/ssh.service"), None);
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:0016 0100007F:B3A2 01 00000000:00000000 00:00000000 00000000     0        0 4711 1\n";
        let (server, own) = ("127.0.0.1:22".parse().unwrap(), "127.0.0.1:45986".parse().unwrap());
        assert_eq!(in_table(table, server, own), Some(4711));
        assert_eq!(in_table(table, own, server), None);
        let mapped = table.replace("0100007F", "0000000000000000FFFF00000100007F");
        assert_eq!(in_table(&mapped, server, own), Some(4711));
    }
}
