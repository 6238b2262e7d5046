//! Whose socket a connection is: the process that holds it, its user, its unit and its package, as far as they are known
//! while it is there. Looking costs: how often it is done depends on how long it takes, so that it takes a twentieth of
//! one processor at most.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::record::Process;
use super::sockets::Socket;
use crate::policy::Direction;

/// Between two looks there are so many times the duration of the last one, and at least this pause.
const RARELY: u32 = 20;
const PAUSE: Duration = Duration::from_millis(200);
/// Programs whose packages are remembered.
const PROGRAMS: usize = 512;
/// Where dpkg keeps the lists of its packages' files.
const LISTS: &str = "/var/lib/dpkg/info";

/// An end of a connection: address and port.
pub type End = (IpAddr, u16);

/// The machine's sockets and who holds them, as they were when last looked at.
#[derive(Debug, Default)]
pub struct Owners {
    connected: HashMap<(u8, End, End), Found>,
    bound: HashMap<(u8, End), Found>,
    holders: HashMap<u32, u32>,
    described: HashMap<u32, Option<Arc<Process>>>,
    users: HashMap<u32, Arc<Process>>,
    packages: HashMap<String, Option<String>>,
    sockets: Pace,
    processes: Pace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    uid: u32,
    inode: u32,
}

/// When something that costs was done, and how much it cost.
#[derive(Debug, Default)]
struct Pace(Option<(Instant, Duration)>);

impl Pace {
    fn is_due(&self) -> bool {
        self.0.is_none_or(|(at, cost)| at.elapsed() >= PAUSE.max(cost * RARELY))
    }

    fn done(&mut self, began: Instant) {
        self.0 = Some((Instant::now(), began.elapsed()));
    }
}

impl Owners {
    /// Whether it may be looked again.
    pub fn is_due(&self) -> bool {
        self.sockets.is_due()
    }

    /// Takes the sockets that there are now. `began` is when looking for them began.
    pub fn take(&mut self, began: Instant, sockets: impl IntoIterator<Item = (u8, Socket)>) {
        self.connected.clear();
        self.bound.clear();
        for (protocol, socket) in sockets {
            let found = Found { uid: socket.uid, inode: socket.inode };
            if socket.remote.1 == 0 {
                self.bound.insert((protocol, socket.local), found);
            } else {
                self.connected.insert((protocol, socket.local, socket.remote), found);
            }
        }
        self.sockets.done(began);
    }

    fn find(&self, protocol: u8, direction: Direction, own: End, other: End) -> Option<Found> {
        let connected = self.connected.get(&(protocol, own, other));
        let bound = || {
            let everywhere: [IpAddr; 2] = [
                if own.0.is_ipv4() {
                    std::net::Ipv4Addr::UNSPECIFIED.into()
                } else {
                    std::net::Ipv6Addr::UNSPECIFIED.into()
                },
                // A socket of IPv6 takes IPv4, too.
                std::net::Ipv6Addr::UNSPECIFIED.into(),
            ];
            let at = std::iter::once(own.0).chain(everywhere);
            at.into_iter().find_map(|address| self.bound.get(&(protocol, (address, own.1))))
        };
        // Whoever connects by TCP has a socket that is connected; one that listens at the same port is another.
        let listens = protocol != 6 || direction == Direction::Inbound;
        connected.or_else(|| if listens { bound() } else { None }).copied()
    }

    /// Whether the socket of a connection is known.
    pub fn knows(&self, protocol: u8, direction: Direction, own: End, other: End) -> bool {
        self.find(protocol, direction, own, other).is_some_and(|f| self.holders.contains_key(&f.inode))
    }

    /// Who holds the machine's end of a connection; only the user where the process is not known, and nothing where
    /// there is no such socket.
    pub fn of(&mut self, protocol: u8, direction: Direction, own: End, other: End) -> Option<Arc<Process>> {
        let found = self.find(protocol, direction, own, other)?;
        if !self.holders.contains_key(&found.inode) && found.inode != 0 && self.processes.is_due() {
            let began = Instant::now();
            self.holders = holders();
            self.described.clear();
            self.processes.done(began);
        }
        let pid = self.holders.get(&found.inode).copied();
        if let Some(process) = pid.and_then(|pid| self.describe(pid)) {
            return Some(process);
        }
        // A socket without a number belongs to nobody any more.
        if found.inode == 0 {
            return None;
        }
        let only = || Arc::new(Process { uid: found.uid, user: user_name(found.uid), ..Process::default() });
        Some(self.users.entry(found.uid).or_insert_with(only).clone())
    }

    fn describe(&mut self, pid: u32) -> Option<Arc<Process>> {
        if let Some(known) = self.described.get(&pid) {
            return known.clone();
        }
        let process = describe(pid).map(|mut process| {
            process.package = self.package(&process.exe);
            Arc::new(process)
        });
        self.described.insert(pid, process.clone());
        process
    }

    fn package(&mut self, exe: &str) -> Option<String> {
        if let Some(known) = self.packages.get(exe) {
            return known.clone();
        }
        if self.packages.len() >= PROGRAMS {
            self.packages.clear();
        }
        let package = package(Path::new(LISTS), exe);
        self.packages.insert(exe.to_owned(), package.clone());
        package
    }
}

/// Sockets' numbers to the processes that hold them.
fn holders() -> HashMap<u32, u32> {
    let mut out = HashMap::new();
    let Ok(entries) = fs::read_dir("/proc") else { return out };
    for pid in entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok()) {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for target in files.filter_map(|f| fs::read_link(f.ok()?.path()).ok()) {
            let inode =
                target.to_str().and_then(|t| t.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            if let Some(inode) = inode {
                out.entry(inode).or_insert(pid);
            }
        }
    }
    out
}

fn describe(pid: u32) -> Option<Process> {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
    let uid = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    let exe = fs::read_link(format!("/proc/{pid}/exe")).map(|p| p.display().to_string()).unwrap_or_default();
    Some(Process {
        pid,
        name: read("comm")?.trim().chars().take(64).collect(),
        exe: exe.chars().take(256).collect(),
        uid,
        user: user_name(uid),
        unit: read("cgroup").as_deref().and_then(unit),
        package: None,
    })
}

/// The unit in `/proc/{pid}/cgroup`: the last part of the group that is a service or a scope.
fn unit(groups: &str) -> Option<String> {
    let own = groups.lines().find_map(|l| l.strip_prefix("0::"))?;
    let is_unit = |part: &&str| part.ends_with(".service") || part.ends_with(".scope");
    own.rsplit('/').find(is_unit).map(|part| part.chars().take(128).collect())
}

/// The user's name in the machine's own list; directories elsewhere are not asked, because they may take their time.
fn user_name(uid: u32) -> Option<String> {
    let text = fs::read_to_string("/etc/passwd").ok()?;
    let wanted = uid.to_string();
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == wanted).then(|| name.chars().take(64).collect())
    })
}

/// The package of Debian that a file is from.
fn package(lists: &Path, exe: &str) -> Option<String> {
    // Where /bin is /usr/bin, packages may say either.
    let short =
        exe.strip_prefix("/usr").filter(|rest| rest.starts_with("/bin/") || rest.starts_with("/sbin/"));
    let is_own = |line: &str| line == exe || short.is_some_and(|s| line == s);
    if !exe.starts_with('/') {
        return None;
    }
    fs::read_dir(lists).ok()?.filter_map(|e| e.ok().map(|e| e.path())).find_map(|path| {
        let name = path.file_name()?.to_str()?.strip_suffix(".list")?.to_owned();
        let text = fs::read_to_string(&path).ok()?;
        let name = name.split(':').next().unwrap_or_default().to_owned();
        text.lines().any(is_own).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_the_innermost_service_or_scope() {
        assert_eq!(unit("0::/system.slice/ssh.service\n").as_deref(), Some("ssh.service"));
        assert_eq!(
            unit("1:cpu:/old\n0::/user.slice/user-0.slice/session-3.scope/x\n").as_deref(),
            Some("session-3.scope")
        );
        assert_eq!(unit("0::/\n"), None);
    }

    #[test]
    fn a_file_is_found_in_its_package_also_by_its_name_from_before_the_merge() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("netcat:amd64.list"), "/.\n/bin\n/bin/nc\n").unwrap();
        std::fs::write(dir.path().join("other.list"), "/usr/bin/ncat\n").unwrap();
        assert_eq!(package(dir.path(), "/usr/bin/nc").as_deref(), Some("netcat"));
        assert_eq!(package(dir.path(), "/usr/bin/n"), None);
        assert_eq!(package(dir.path(), ""), None);
    }

    #[test]
    fn who_listens_is_found_by_the_address_or_by_all_of_them_and_who_connects_only_by_both_ends() {
        let end = |text: &str| -> End {
            let at: std::net::SocketAddr = text.parse().unwrap();
            (at.ip(), at.port())
        };
        let socket =
            |local, remote, inode| (6, Socket { local: end(local), remote: end(remote), uid: 0, inode });
        let mut owners = Owners::default();
        owners.take(
            Instant::now(),
            [
                socket("0.0.0.0:80", "0.0.0.0:0", 1),
                socket("[::]:81", "[::]:0", 2),
                socket("10.0.0.4:80", "10.0.0.5:1000", 3),
            ],
        );
        let find = |direction, own, other| owners.find(6, direction, end(own), end(other)).map(|f| f.inode);
        assert_eq!(find(Direction::Inbound, "10.0.0.4:80", "10.0.0.9:7"), Some(1));
        assert_eq!(find(Direction::Inbound, "10.0.0.4:81", "10.0.0.9:7"), Some(2));
        assert_eq!(find(Direction::Outbound, "10.0.0.4:80", "10.0.0.5:1000"), Some(3));
        assert_eq!(find(Direction::Outbound, "10.0.0.4:80", "10.0.0.9:7"), None);
    }
}
