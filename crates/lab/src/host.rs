//! One host: programs run in it, sockets opened in it.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use ipnet::IpNet;
use nix::sched::{CloneFlags, setns};

use crate::ip::NETNS;
use crate::same_family;

/// A host of a lab. It is a name: the host itself lives as long as its [`Lab`](crate::Lab).
#[derive(Debug, Clone)]
pub struct Host {
    name: String,
    namespace: String,
    addresses: Vec<IpNet>,
    own: Option<PathBuf>,
}

/// Why a probe got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Nothing came back in time: what a packet filter that drops looks like.
    #[error("no answer in time")]
    Silent,
    /// The other side said no: the packet arrived and nobody listens.
    #[error("refused")]
    Refused,
    /// Something else, such as no route.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for ProbeError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::Silent,
            io::ErrorKind::ConnectionRefused => Self::Refused,
            _ => Self::Io(error),
        }
    }
}

/// Arguments: the host's name, the owner's process id, the directory of its own files or nothing, the program and its
/// arguments.
const START: &str = r#"[ "$PPID" = "$1" ] || exit 1
printf %s "$0" >/proc/sys/kernel/hostname || exit 1
if [ -n "$2" ]; then
    for own in etc run home; do mount --bind "$2/$own" "/$own" || exit 1; done
fi
shift 2
exec "$@""#;

fn done(command: &mut Command) -> io::Result<()> {
    let status = command.stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{command:?}: {status}"))) }
}

/// Processes are seen from everywhere, and an agent that ends those of a user must not find anybody's of this machine.
fn without_people(passwd: &str) -> String {
    let is_system = |line: &&str| {
        let uid = line.split(':').nth(2).and_then(|uid| uid.parse::<u32>().ok());
        uid.is_none_or(|uid| uid < 1000 || uid == 65534)
    };
    passwd.lines().filter(is_system).map(|line| format!("{line}\n")).collect()
}

/// Users that are made have numbers that nobody has here, nor on another host of any lab.
fn with_own_numbers(login_defs: &str) -> String {
    static HOSTS: AtomicU32 = AtomicU32::new(0);
    let first = 1_000_000_000 + std::process::id() % 1_000_000 * 1000 + HOSTS.fetch_add(10, Relaxed) % 1000;
    let other = |line: &&str| !["UID_M", "GID_M"].iter().any(|word| line.starts_with(word));
    let mut text: String = login_defs.lines().filter(other).map(|line| format!("{line}\n")).collect();
    for (word, number) in [("MIN", first), ("MAX", first + 9)] {
        text.push_str(&format!("UID_{word} {number}\nGID_{word} {number}\n"));
    }
    text
}

impl Host {
    pub(crate) fn new(name: &str, namespace: &str, addresses: Vec<IpNet>) -> Self {
        Self { name: name.to_owned(), namespace: namespace.to_owned(), addresses, own: None }
    }

    /// The same host with `/etc`, `/run` and `/home` of its own, in an existing empty directory: `/etc` is a copy of this
    /// machine's as it is now, with other SSH host keys, a home of its own for root, and none of its people. Programs started
    /// before are not in it.
    ///
    /// # Errors
    /// When the copy cannot be made.
    pub fn with_own_files(self, dir: &Path) -> io::Result<Self> {
        for own in ["run/sshd", "home/root"] {
            std::fs::create_dir_all(dir.join(own))?;
        }
        done(Command::new("cp").args(["-a", "/etc"]).arg(dir))?;
        // Shells of root read nothing of this machine's.
        let passwd = dir.join("etc/passwd");
        let accounts = std::fs::read_to_string(&passwd)?.replace(":/root:", ":/home/root:");
        std::fs::write(passwd, without_people(&accounts))?;
        let numbers = dir.join("etc/login.defs");
        let kept = std::fs::read_to_string(&numbers).unwrap_or_default();
        std::fs::write(numbers, with_own_numbers(&kept))?;
        let mut has_ssh = false;
        for entry in std::fs::read_dir(dir.join("etc/ssh")).into_iter().flatten() {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ssh_host_")) {
                std::fs::remove_file(path)?;
                has_ssh = true;
            }
        }
        if has_ssh {
            done(Command::new("ssh-keygen").args(["-q", "-A", "-f"]).arg(dir))?;
        }
        Ok(Self { own: Some(dir.to_owned()), ..self })
    }

    /// The directory of its own files, if it has any.
    pub fn own_files(&self) -> Option<&Path> {
        self.own.as_deref()
    }

    /// The host's name, which programs in it see as host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of its network namespace, as `ip netns` knows it.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The host's addresses with their prefix lengths.
    pub fn addresses(&self) -> &[IpNet] {
        &self.addresses
    }

    /// A command that runs `program` in the host, under the host's name. The child is that program itself, with the
    /// child's process id; it is killed when the thread that spawned it ends, or the lab.
    pub fn command(&self, program: &str) -> Command {
        // Each of these replaces itself by the next. The signal is asked for first; the shell then looks whether the
        // owner has died before that, in which case nobody would end the child.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "ip", "netns", "exec", &self.namespace, "unshare", "--uts"]);
        let own = self.own.as_ref().map(|dir| dir.display().to_string()).unwrap_or_default();
        if self.own.is_some() {
            command.args(["--mount", "--propagation", "private"]);
        }
        command.args(["sh", "-c", START, &self.name, &std::process::id().to_string(), &own, program]);
        command
    }

    /// Runs a closure on a thread that is in the host's network. Sockets that it opens stay in the host, also when
    /// they are used outside; children that it spawns run in the host.
    ///
    /// # Errors
    /// When the namespace is gone. A panic of the closure goes on in the caller.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let namespace = File::open(format!("{NETNS}/{}", self.namespace))?;
        std::thread::scope(|scope| {
            let enter = || {
                setns(&namespace, CloneFlags::CLONE_NEWNET)?;
                Ok(work())
            };
            scope.spawn(enter).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Listens in the host; connections are accepted by whoever holds the listener.
    ///
    /// # Errors
    /// When the address is not the host's or in use.
    pub fn listen_tcp(&self, address: SocketAddr) -> io::Result<TcpListener> {
        self.inside(|| TcpListener::bind(address))?
    }

    /// A datagram socket in the host.
    ///
    /// # Errors
    /// When the address is not the host's or in use.
    pub fn bind_udp(&self, address: SocketAddr) -> io::Result<UdpSocket> {
        self.inside(|| UdpSocket::bind(address))?
    }

    /// Connects from the host.
    ///
    /// # Errors
    /// [`ProbeError::Silent`] after `timeout`, [`ProbeError::Refused`] when nobody listens.
    pub fn connect_tcp(&self, address: SocketAddr, timeout: Duration) -> Result<TcpStream, ProbeError> {
        Ok(self.inside(|| TcpStream::connect_timeout(&address, timeout))??)
    }

    /// Sends a datagram from the host and returns the answer.
    ///
    /// # Errors
    /// [`ProbeError::Silent`] after `timeout`, [`ProbeError::Refused`] when nobody listens.
    pub fn probe_udp(
        &self,
        address: SocketAddr,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Vec<u8>, ProbeError> {
        let own: IpAddr = self
            .addresses
            .iter()
            .map(IpNet::addr)
            .find(|a| same_family(*a, address.ip()))
            .ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
        let socket = self.bind_udp(SocketAddr::new(own, 0))?;
        socket.connect(address)?;
        socket.set_read_timeout(Some(timeout))?;
        socket.send(payload)?;
        let mut answer = vec![0; 65536];
        let length = socket.recv(&mut answer)?;
        answer.truncate(length);
        Ok(answer)
    }
}
