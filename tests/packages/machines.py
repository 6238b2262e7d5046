"""Debian machines with a real systemd: containers of systemd-nspawn, each in a network namespace of its own, on one
bridge in a namespace of its own. The host's network, packages and services stay untouched."""

import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

RELEASE = "bookworm"
# What the packages ask for, and what the pages of the book use beside them.
PACKAGES = (
    "systemd systemd-sysv dbus nftables iproute2 curl ca-certificates sudo python3 openssh-server postgresql jq"
)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def call(*command, **options):
    """Runs a command of the host, which must succeed."""
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def missing():
    """Why this host cannot run the tests here; None when it can."""
    if os.geteuid() != 0:
        return "not root"
    for program in ("systemd-nspawn", "mmdebstrap", "ip", "nsenter"):
        if not shutil.which(program):
            return f"the program {program} is not installed"
    return None


def base(cache: Path) -> Path:
    """The file system that every machine begins with, made once."""
    packages = " ".join(sorted(PACKAGES.split()))
    tree, stamp = cache / "debian", cache / "debian.packages"
    if stamp.exists() and stamp.read_text() == packages:
        return tree
    shutil.rmtree(tree, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    sources = [str(p) for p in sorted(Path("/etc/apt/sources.list.d").glob("*.sources"))]
    if not sources:
        sources = ["/etc/apt/sources.list"]
    wanted = ",".join(packages.split())
    call("mmdebstrap", "--variant=apt", f"--include={wanted}", RELEASE, str(tree), *sources)
    # Each machine has the name that it is started with.
    (tree / "etc/hostname").unlink(missing_ok=True)
    stamp.write_text(packages)
    return tree


class Network:
    """A bridge in a namespace of its own."""

    def __init__(self, prefix):
        self.prefix, self.names = prefix, []
        self.sweep()
        self.namespace("switch")
        self.ip("switch", "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        self.ip("switch", "link", "set", "br0", "up")

    def full(self, name):
        return f"{self.prefix}-{name}"

    def ip(self, name, *arguments):
        call("ip", "-n", self.full(name), *arguments)

    def namespace(self, name):
        call("ip", "netns", "add", self.full(name))
        self.names.append(name)
        self.ip(name, "link", "set", "lo", "up")

    def host(self, name, address):
        self.namespace(name)
        port = f"port{len(self.names)}"
        self.ip("switch", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", self.full(name))
        self.ip("switch", "link", "set", port, "master", "br0", "up")
        self.ip(name, "address", "add", f"{address}/24", "dev", "eth0")
        self.ip(name, "link", "set", "eth0", "up")

    def sweep(self):
        for line in call("ip", "netns", "list").splitlines():
            name = line.split()[0]
            if name.startswith(f"{self.prefix}-"):
                call("ip", "netns", "delete", name)
                shutil.rmtree(f"/etc/netns/{name}", ignore_errors=True)


class Place:
    """Where commands are run. Each block of commands is a shell of its own, which finds the variables and the directory
    that the one before it left."""

    def __init__(self, name, state: Path):
        self.name, self.state = name, state

    def shell(self, script, stdin="", seconds=180):
        """Runs a script; its standard output. It must succeed."""
        done = self.attempt(script, stdin, seconds)
        assert done.returncode == 0, (
            f"on {self.name}, with status {done.returncode}:\n{script}\n--- printed\n{done.stdout}\n--- said\n{done.stderr}"
        )
        return done.stdout

    def attempt(self, script, stdin="", seconds=180):
        before = f"cd; [ ! -e {self.state} ] || . {self.state}\nset -eo pipefail\n"
        after = f'\n{{ declare -px; printf "cd %q\\n" "$PWD"; }} | grep -v "^declare -[a-z]*r" > {self.state}\n'
        return subprocess.run(
            [*self.prefix(), "/bin/bash", "-c", before + script + after],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            env={"PATH": self.path(), "HOME": self.home(), "LANG": "C.UTF-8", "TERM": "dumb"},
        )


class Desk(Place):
    """Somebody's desk: the host's programs in a network namespace, with a home of its own."""

    def __init__(self, network, address, programs, home: Path):
        super().__init__("desk", home / ".state")
        network.host("desk", address)
        self.namespace, self.programs, self.dir = network.full("desk"), programs, home

    def prefix(self):
        return ["ip", "netns", "exec", self.namespace]

    def path(self):
        return f"{self.programs}:{PATH}"

    def home(self):
        return str(self.dir)


class Machine(Place):
    """A container with systemd as its first process. What it writes lies over the base and goes with it."""

    def __init__(self, network, name, address, tree: Path, packages: Path, work: Path):
        super().__init__(name, Path("/run/shell-state"))
        network.host(name, address)
        self.log = (work / f"{name}.log").open("w")
        self.groups, self.leader, self.said = cgroups(network.full(name)), None, ""
        self.process = subprocess.Popen(
            [
                # Told to end when the tests are killed.
                "setpriv",
                "--pdeathsig=TERM",
                "systemd-nspawn",
                f"--directory={tree}",
                "--volatile=overlay",
                "--boot",
                "--quiet",
                "--register=no",
                "--keep-unit",
                "--console=pipe",
                "--resolv-conf=off",
                f"--machine={network.full(name)}",
                f"--hostname={name}",
                f"--network-namespace-path=/run/netns/{network.full(name)}",
                f"--bind-ro={packages}:/packages",
                "--capability=CAP_NET_ADMIN,CAP_SYS_ADMIN",
            ],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            preexec_fn=self.enter,
        )
        try:
            self.leader = self.until(self.first_process, "has no first process")
            self.until(self.is_up, "did not come up")
        except BaseException:
            self.stop()
            raise

    def enter(self):
        for group in self.groups:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    def until(self, check, what):
        deadline = time.monotonic() + 60
        while True:
            assert self.process.poll() is None, f"{self.name} ended: {Path(self.log.name).read_text()[-2000:]}"
            if found := check():
                return found
            log = Path(self.log.name).read_text()[-2000:]
            assert time.monotonic() < deadline, f"{self.name} {what}: {self.said} {log}"
            time.sleep(0.05)

    def first_process(self):
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        inits = [c for c in children if Path(f"/proc/{c}/comm").read_text().strip() == "systemd"]
        return inits[0] if inits else None

    def is_up(self):
        done = subprocess.run(
            [*self.prefix(), "systemctl", "is-system-running"], capture_output=True, text=True, env={"PATH": PATH}
        )
        self.said = f"{done.stdout} {done.stderr}"
        return done.stdout.strip() in ("running", "degraded")

    def prefix(self):
        return ["nsenter", "--target", self.leader, "--all", "--root", "--wd"]

    def path(self):
        return PATH

    def home(self):
        return "/root"

    def stop(self):
        # With its first process all others of a container end, and then the container.
        if self.leader and self.process.poll() is None:
            os.kill(int(self.leader), signal.SIGKILL)
        elif self.process.poll() is None:
            self.process.terminate()
        self.process.wait()
        self.log.close()
        for group in self.groups:
            for folder in sorted(group.rglob("*/"), key=lambda f: len(f.parts), reverse=True):
                folder.rmdir()
            group.rmdir()


def cgroups(name):
    """Control groups of its own for a container, or two of them would share theirs."""
    made = []
    for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"):
        if Path(root, "cgroup.procs").exists():
            made.append(Path(root, name))
            made[-1].mkdir(exist_ok=True)
    return made


def hosts(places, addresses):
    """Everybody knows everybody's name."""
    lines = ["127.0.0.1 localhost"] + [f"{address} {name}.example {name}" for name, address in addresses.items()]
    text = "\n".join(lines) + "\n"
    for place in places:
        if isinstance(place, Desk):
            # What `ip netns exec` puts in the place of /etc/hosts.
            folder = Path("/etc/netns") / place.namespace
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "hosts").write_text(text)
        else:
            place.shell(f"printf %s {shlex.quote(text)} > /etc/hosts")
