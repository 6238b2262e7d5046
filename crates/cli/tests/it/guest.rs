//! Just-in-time access on a machine with a kernel of its own, under QEMU: what a reboot, a pause and clocks that are set do
//! to it. In a namespace none of that can be tried.
//!
//! `cargo xtask test --guest` runs it: it takes some minutes where the processor has to be emulated. By hand: `SEKISHO_GUEST`
//! names a directory into which a package with a kernel was unpacked, such as Debian's `linux-image-cloud-amd64` (`dpkg -x`), and
//! `qemu-system-x86_64`, `busybox` and `cpio` are installed.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use sekisho_lab::site::GROUP;
use sekisho_lab::{Api, Site, SiteError};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{programs, skipped, unable};

/// Without hardware virtualisation a kernel takes its time.
const BOOT: Duration = Duration::from_secs(240);
const SOON: Duration = Duration::from_secs(60);
/// How long after one try the next is. The guest remembers some 4,000 connections, each for two minutes, and takes no more.
const PACE: Duration = Duration::from_millis(50);
/// The port on the guest that is guarded.
const PORT: u16 = 2222;

/// The modules that the guest needs beside those of the packet filter, which it takes all.
const MODULES: &[&str] = &["virtio_pci", "virtio_net", "virtio_blk"];
/// What the guest does: it brings itself up, keeps an agent running once it has joined, and then does what it is told on its
/// console, each command ended by a line that says how.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in virtio_pci virtio_net virtio_blk; do modprobe $module; done
ip link set lo up; ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2
mount -t ext4 /dev/vda /state
hostname guest
mkdir -p /www; echo open >/www/index.html; httpd -p 2222 -h /www
start() { sekisho-agent --state-dir /state/agent run --confirm-seconds 10 --reconnect-seconds 1 2>>/state/log & }
[ -e /state/agent/identity.json ] && start
stty -echo <&1 2>/dev/null
echo "== up"
while read -r line; do eval "$line"; echo "== $?"; done
"#;

/// A running guest.
struct Guest {
    qemu: Child,
    console: ChildStdin,
    lines: Receiver<String>,
    monitor: PathBuf,
    /// Where its port is on this machine's loopback.
    port: u16,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

impl Guest {
    fn start(kernel: &Path, dir: &Path) -> Guest {
        let image = initramfs(kernel, dir);
        let disk = dir.join("disk");
        run(Command::new("truncate").args(["--size", "64M"]).arg(&disk));
        run(Command::new("mkfs.ext4").arg("-q").arg(&disk));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let monitor = dir.join("monitor");
        let mut qemu = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "KILL",
                "qemu-system-x86_64",
                "-m",
                "512",
                "-smp",
                "1",
                "-nographic",
                "-nodefaults",
            ])
            .arg("-kernel")
            .arg(one(&kernel.join("boot"), "vmlinuz-"))
            .arg("-initrd")
            .arg(image)
            .args(["-append", "console=ttyS0 quiet panic=-1 rdinit=/init", "-serial", "stdio"])
            .arg("-monitor")
            .arg(format!("unix:{},server,nowait", monitor.display()))
            .arg("-drive")
            .arg(format!("file={},if=virtio,format=raw", disk.display()))
            .args(["-device", "virtio-net-pci,netdev=n,romfile="])
            .arg("-netdev")
            .arg(format!("user,id=n,hostfwd=tcp:127.0.0.1:{port}-:{PORT}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(dir.join("qemu.log")).unwrap())
            .spawn()
            .unwrap();
        let (say, lines) = channel();
        let output = BufReader::new(qemu.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if say.send(line).is_err() {
                    return;
                }
            }
        });
        let console = qemu.stdin.take().unwrap();
        let guest = Guest { qemu, console, lines, monitor, port };
        guest.until("== up", BOOT);
        guest
    }

    /// What the guest prints until a line has this in it.
    fn until(&self, sign: &str, limit: Duration) -> String {
        let (start, mut said) = (Instant::now(), String::new());
        loop {
            let left = limit.saturating_sub(start.elapsed());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("no '{sign}': {said}"));
            if line.contains(sign) {
                return said;
            }
            said.push_str(&line);
            said.push('\n');
        }
    }

    /// Has it do something; what that prints.
    fn tell(&mut self, command: &str) -> String {
        writeln!(self.console, "{command}").unwrap();
        self.until("== ", SOON)
    }

    /// Tells the virtual machine something.
    fn monitor(&self, command: &str) {
        let mut socket = std::os::unix::net::UnixStream::connect(&self.monitor).unwrap();
        writeln!(socket, "{command}").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        // The prompt comes twice: at the beginning, and when it is done.
        let (mut said, mut byte) = (String::new(), [0]);
        while said.matches("(qemu)").count() < 2 && socket.read_exact(&mut byte).is_ok() {
            said.push(char::from(byte[0]));
        }
    }

    /// Whether the guarded port answers. The emulated network takes the connection in any case.
    fn answers(&self) -> bool {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let asked = TcpStream::connect_timeout(&address, Duration::from_secs(1)).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            let mut text = [0; 4];
            stream.read_exact(&mut text).map(|()| text)
        });
        asked.is_ok_and(|text| text == *b"HTTP")
    }

    fn becomes(&self, open: bool, limit: Duration) -> Duration {
        let start = Instant::now();
        while self.answers() != open {
            assert!(start.elapsed() < limit, "open: {} after {limit:?}", !open);
            std::thread::sleep(PACE);
        }
        start.elapsed()
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The one entry of a directory whose name begins so.
fn one(dir: &Path, prefix: &str) -> PathBuf {
    let all = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let found = |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix));
    all.into_iter().find(found).unwrap_or_else(|| panic!("no {prefix}* in {}", dir.display()))
}

/// A file system in memory with the agent, `nft`, and what they need.
fn initramfs(kernel: &Path, dir: &Path) -> PathBuf {
    let root = dir.join("root");
    for made in ["bin", "proc", "sys", "dev", "state", "tmp", "run", "etc", "sbin", "usr"] {
        fs::create_dir_all(root.join(made)).unwrap();
    }
    fs::write(root.join("init"), INIT).unwrap();
    run(Command::new("chmod").arg("0755").arg(root.join("init")));
    let busybox = which("busybox");
    fs::copy(&busybox, root.join("bin/busybox")).unwrap();
    // The kernel asks for what it lacks by this name.
    std::os::unix::fs::symlink("/bin/busybox", root.join("sbin/modprobe")).unwrap();
    let agent = root.join("bin/sekisho-agent");
    run(Command::new("strip").arg("-o").arg(&agent).arg(programs().join("sekisho-agent")));
    let nft = which("nft");
    fs::copy(&nft, root.join("bin/nft")).unwrap();
    for program in [&busybox, &agent, &nft] {
        let output = Command::new("ldd").arg(program).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        for library in text.split_whitespace().filter(|word| word.starts_with('/')) {
            let to = root.join(&library[1..]);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(library, to).unwrap();
        }
    }
    let modules = one(&kernel.join("lib/modules"), "");
    let release = modules.file_name().unwrap();
    let there = root.join("lib/modules").join(release);
    fs::create_dir_all(&there).unwrap();
    for part in
        ["net/netfilter", "net/ipv4/netfilter", "net/ipv6/netfilter", "drivers/virtio", "net/core", "lib"]
    {
        let (from, to) = (modules.join("kernel").join(part), there.join("kernel").join(part));
        if from.exists() {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            run(Command::new("cp").arg("-a").arg(from).arg(to));
        }
    }
    for part in ["drivers/net/virtio_net.ko", "drivers/net/net_failover.ko", "drivers/block/virtio_blk.ko"] {
        let to = there.join("kernel").join(part);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(modules.join("kernel").join(part), to).unwrap();
    }
    for list in ["modules.builtin", "modules.order"] {
        fs::copy(modules.join(list), there.join(list)).unwrap();
    }
    run(Command::new(&busybox).args(["depmod", "-b"]).arg(&root).arg(release));
    let image = dir.join("initramfs");
    let pack = "find . | cpio --quiet -o -H newc | gzip -1 >\"$0\"";
    run(Command::new("sh").args(["-ec", pack]).arg(&image).current_dir(&root));
    image
}

fn which(program: &str) -> PathBuf {
    let output = Command::new("sh").args(["-c", "command -v \"$0\"", program]).output().unwrap();
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// The guest as a machine of a site, its port guarded.
struct World {
    site: Site,
    api: Api,
    guest: Guest,
    _dir: TempDir,
}

impl World {
    fn new() -> Option<World> {
        let Some(kernel) = std::env::var_os("SEKISHO_GUEST").map(PathBuf::from) else {
            skipped("SEKISHO_GUEST names no unpacked kernel");
            return None;
        };
        if unable().is_some() {
            return None;
        }
        assert!(MODULES.iter().all(|module| INIT.contains(module)));
        let dir = TempDir::new().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let prefix = format!("fgu{}", std::process::id() % 10_000);
        let mut site = Site::start(&prefix, port, &programs(), dir.path()).unwrap();
        let api = site.api().unwrap();
        site.make_network(&api, "nsg", json!([])).unwrap();
        let token =
            site.sekisho(&["agent-token", "create", "--resource-group", GROUP, "--uses", "1"]).unwrap();
        let token = token.trim().replace("10.77.0.1:", "10.0.2.2:");
        let mut guest = Guest::start(&kernel, dir.path());
        guest.tell(&format!("echo {token} | sekisho-agent --state-dir /state/agent join && start"));
        site.wait("the guest tells its facts", SOON, |site| {
            let rows = site.fleet(&api)?;
            let there = rows.iter().any(|r| r["name"] == "guest" && r["nics"].as_u64() > Some(0));
            if there { Ok(()) } else { Err(SiteError::Answer(format!("{rows:?}"))) }
        })
        .unwrap();
        let world = World { site, api, guest, _dir: dir };
        assert!(world.guest.answers(), "before it is guarded the port is open");
        let ports = json!([{"number": PORT, "protocol": "TCP", "allowedSourceAddressPrefix": "*",
            "maxRequestAccessDuration": "PT1H"}]);
        let body = json!({"properties": {"virtualMachines": [{"id": world.machine(), "ports": ports}],
            "sekisho": {"onlyWay": "close"}}});
        world.api.put(&world.path(""), &body).unwrap();
        world.guest.becomes(false, SOON);
        Some(world)
    }

    fn machine(&self) -> String {
        format!("{}/providers/Microsoft.Compute/virtualMachines/guest", self.site.group())
    }

    fn path(&self, rest: &str) -> String {
        let group = self.site.group();
        let place = "providers/Microsoft.Security/locations/home/jitNetworkAccessPolicies/default";
        format!("{group}/{place}{rest}?api-version=2020-01-01")
    }

    /// Asks for the port and waits until it is open; when that was.
    fn open(&self, seconds: u64) -> Instant {
        let port =
            json!({"number": PORT, "duration": format!("PT{seconds}S"), "allowedSourceAddressPrefix": "*"});
        let body = json!({"virtualMachines": [{"id": self.machine(), "ports": [port]}]});
        let asked = Instant::now();
        let made: Value = self.api.post(&self.path("/initiate"), &body).unwrap();
        assert!(made["sekisho"]["id"].is_string(), "{made}");
        self.guest.becomes(true, SOON);
        asked
    }
}

#[test]
fn a_reboot_a_pause_and_clocks_that_are_set_keep_no_port_of_a_guest_open() {
    let Some(mut world) = World::new() else { return };
    let late = Duration::from_secs(4);
    // Its clock is set a day back, then two forward, in the middle.
    for by in ["-86400", "+172800"] {
        let asked = world.open(25);
        world.guest.tell(&format!("date -s @$(($(date +%s) {by}))"));
        assert!(world.guest.answers(), "it is still to be open");
        world.guest.becomes(false, SOON);
        let lived = asked.elapsed();
        println!("the clock set by {by} s: asked for 25 s, closed after {lived:?}");
        assert!(lived > Duration::from_secs(22) && lived < Duration::from_secs(25) + late, "{lived:?}");
    }
    // The whole machine stands still beyond the end: what is over by then is closed when it goes on, also when there is nobody to
    // tell it what time it is.
    for alone in [false, true] {
        let asked = world.open(25);
        if alone {
            world.site.kill_server();
        }
        world.guest.monitor("stop");
        std::thread::sleep((Duration::from_secs(30)).saturating_sub(asked.elapsed()));
        world.guest.monitor("cont");
        let closed = world.guest.becomes(false, SOON);
        println!("paused beyond its end, alone: {alone}: closed {closed:?} after it went on");
        assert!(closed < Duration::from_secs(10), "{closed:?}");
    }
    world.site.start_server().unwrap();

    // It boots again, with and without a server: what was open is closed until the server says what time it is.
    world.open(1800);
    world.site.kill_server();
    world.guest.monitor("system_reset");
    world.guest.until("== up", BOOT);
    let guarded = Instant::now();
    while !world.guest.tell("nft list ruleset").contains("guard_tcp_2222") {
        assert!(
            guarded.elapsed() < SOON,
            "it is not guarded again: {}",
            world.guest.tell("tail -5 /state/log")
        );
    }
    assert!(!world.guest.answers(), "it was opened by a clock that nobody vouches for");
    world.site.start_server().unwrap();
    world.guest.becomes(true, SOON);
}
