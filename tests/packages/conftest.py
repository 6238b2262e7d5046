"""An installation made of packages: a server, a machine, and somebody's desk."""

import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

import machines

ADDRESSES = {"sekisho": "10.78.0.2", "web": "10.78.0.3", "desk": "10.78.0.4"}


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    if why := machines.missing():
        pytest.skip(f"machines of packages: {why}")
    cache = Path(os.environ["SEKISHO_CACHE"])
    work = tmp_path_factory.mktemp("packages")
    dist = Path(os.environ["SEKISHO_DIST"])
    tree = machines.base(cache)
    network = machines.Network(f"skp{os.getpid()}")
    started = []
    try:
        home = work / "desk"
        home.mkdir()
        desk = machines.Desk(network, ADDRESSES["desk"], os.environ["SEKISHO_AZ"], home)
        for name in ("sekisho", "web"):
            started.append(machines.Machine(network, name, ADDRESSES[name], tree, dist, work))
        server, machine = started
        machines.hosts([desk, server, machine], ADDRESSES)
        allow(desk, server, home)
        server.shell("ln -s /packages/old/*.deb .")
        yield SimpleNamespace(server=server, machine=machine, desk=desk, work=work)
    finally:
        for one in started:
            one.stop()
        network.sweep()


def allow(desk, server, home):
    """The desk may copy files from the server, as its administrator's."""
    folder = home / ".ssh"
    folder.mkdir(mode=0o700)
    machines.call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "id_ed25519"))
    public = (folder / "id_ed25519.pub").read_text()
    server.shell(f"mkdir -m 0700 -p /root/.ssh; cat > /root/.ssh/authorized_keys; systemctl start ssh", stdin=public)
    # OpenSSH takes the home of /etc/passwd, not of the environment.
    config = home / "ssh.config"
    config.write_text(
        f"Host *\n IdentityFile {folder}/id_ed25519\n UserKnownHostsFile {folder}/known_hosts\n"
        " StrictHostKeyChecking accept-new\n"
    )
    bin_ = home / "bin"
    bin_.mkdir()
    (bin_ / "scp").write_text(f'#!/bin/sh\nexec {shutil.which("scp")} -q -F {config} "$@"\n')
    (bin_ / "scp").chmod(0o755)
    desk.programs = f"{bin_}:{desk.programs}"
