"""A library's client through the gate: one command, whose status is this program's, and a file there and back.

Arguments: the library, the gate's address and port, the folder with `key`, `known_hosts` (the authority of host keys) and
`keys` (host keys as such), the command, a file, its name on the machine, and where it comes back to.
"""

import asyncio
import sys

library, address, port, folder, command, here, there, back = sys.argv[1:]
port, key = int(port), f"{folder}/key"


def with_paramiko():
    import paramiko

    def client():
        made = paramiko.SSHClient()
        made.load_host_keys(f"{folder}/keys")
        made.set_missing_host_key_policy(paramiko.RejectPolicy())
        return made

    shown = {"key_filename": key, "allow_agent": False, "look_for_keys": False}
    gate, machine = client(), client()
    gate.connect(address, port, "me", **shown)
    channel = gate.get_transport().open_channel("direct-tcpip", ("db.sekisho", 22), ("127.0.0.1", 0))
    machine.connect("db.sekisho", username="root", sock=channel, **shown)
    _, output, _ = machine.exec_command(command)
    print(output.read().decode(), end="")
    status = output.channel.recv_exit_status()
    with machine.open_sftp() as files:
        files.put(here, there)
        files.get(there, back)
    return status


async def with_asyncssh():
    import asyncssh

    shown = {"client_keys": [key], "known_hosts": f"{folder}/known_hosts", "config": None}
    named = {**shown, "host_key_alias": "gate.sekisho"}
    async with (
        asyncssh.connect(address, port, username="me", **named) as gate,
        asyncssh.connect("db.sekisho", tunnel=gate, username="root", **shown) as machine,
    ):
        done = await machine.run(command)
        print(done.stdout, end="")
        async with machine.start_sftp_client() as files:
            await files.put(here, there)
            await files.get(there, back)
        return done.exit_status


sys.exit(with_paramiko() if library == "paramiko" else asyncio.run(with_asyncssh()))
