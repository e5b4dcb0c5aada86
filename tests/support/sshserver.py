"""A real ssh server on loopback: Debian's dropbear, unpacked beside the system, with one client key, as root."""

from __future__ import annotations

import contextlib
import functools
import os
import socketserver
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.support.ending import ENDS_WITH_US
from tests.support.limits import HANG_S
from tests.support.serving import serving
from tests.support.tools import CACHE, ROOT
from tests.support.waiting import wait_until

# dropbear and the libraries that it is linked with, loaded by trixie's own loader.
_PACKAGES = ("dropbear-bin", "libc6", "libcrypt1", "libtomcrypt1", "libtommath1", "libgmp10", "zlib1g")


@dataclass(frozen=True)
class SshServer:
    """`address`: HOST:PORT. `agent`: the socket of an ssh agent that has the key."""

    address: str
    agent: Path


@functools.cache
def _programs() -> Path:
    """The folder with dropbear's tree. Raises CalledProcessError."""
    folder = CACHE / "dropbear"
    subprocess.run([ROOT / "packaging" / "trixie.sh", folder, *_PACKAGES], check=True, timeout=300)
    return folder / "usr"


def _loaded(program: str) -> list[str | Path]:
    """The beginning of a command that executes a program of dropbear's packages."""
    usr = _programs()
    [loader] = (usr / "lib").glob("*-linux-gnu/ld-linux-*")
    return [loader, "--library-path", loader.parent, usr / program]


class _Connection(socketserver.BaseRequestHandler):
    """One connection, served by a dropbear of its own as by inetd: as a daemon it would execute itself, and the
    system's loader may be too old for it."""

    def handle(self) -> None:
        assert isinstance(self.server, _Server)
        fd = self.request.fileno()
        process = subprocess.Popen([*ENDS_WITH_US, *self.server.serve], stdin=fd, stdout=fd, stderr=self.server.said)
        process.wait()


class _Server(socketserver.ThreadingTCPServer):
    def __init__(self, serve: Sequence[str | Path], said: IO[bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.serve, self.said = serve, said


def _done(*command: str | Path, **environment: str) -> None:
    subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, check=True, timeout=HANG_S)


@contextlib.contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """A server and an agent, with their files in `folder`; both have ended at the exit."""
    host_key, key, agent = folder / "host_key", folder / "key", folder / "agent"
    _done(*_loaded("bin/dropbearkey"), "-t", "ed25519", "-f", host_key)
    _done("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    # dropbear takes keys from folders only that nobody else can write to, nor to those above.
    with tempfile.TemporaryDirectory(prefix="cvt-ssh-", dir="/run") as keys, (folder / "sshd.log").open("wb") as said:
        authorized = Path(keys) / "authorized_keys"
        authorized.write_bytes(key.with_suffix(".pub").read_bytes())
        authorized.chmod(0o600)
        serve = [*_loaded("sbin/dropbear"), "-i", "-E", "-s", "-r", host_key, "-D", keys]
        server = _Server(serve, said)
        with serving(server):
            process = subprocess.Popen([*ENDS_WITH_US, "ssh-agent", "-D", "-a", agent], stdout=said, stderr=said)
            try:
                wait_until(agent.exists)
                _done("ssh-add", "-q", key, SSH_AUTH_SOCK=str(agent))
                yield SshServer(f"127.0.0.1:{server.server_address[1]}", agent)
            finally:
                process.terminate()
                process.wait(HANG_S)
