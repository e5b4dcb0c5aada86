"""The API by TCP: only for clients with a certificate, and as good as by the local socket. docker and cove are the
clients."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.addresses import address_on_lo
from tests.support.certificates import Authority, Pair
from tests.support.engine import NativeEngine, native_engine
from tests.support.limits import HANG_S
from tests.support.sockets import free_port
from tests.support.tools import docker_cli


class Remote(NamedTuple):
    """An engine that also listens by TLS, and how its clients reach it."""

    engine: NativeEngine
    host: str
    port: int
    authority: Authority
    config: Path  # with ca.pem, cert.pem and key.pem, as DOCKER_CERT_PATH names it

    def run(self, program: Path, *args: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        variables = {"DOCKER_HOST": f"tcp://{self.host}:{self.port}", "DOCKER_CERT_PATH": str(self.config)}
        environment = {name: value for name, value in os.environ.items() if name != "COVE_HOST"}
        return subprocess.run(
            [program, *args],
            env={**environment, **variables, "DOCKER_TLS_VERIFY": "1"},
            input=input,
            capture_output=True,
            timeout=HANG_S,
            check=False,
        )


def put(folder: Path, authority: Authority, pair: Pair) -> Path:
    folder.mkdir()
    for name, source in (("ca.pem", authority.certificate), ("cert.pem", pair.certificate), ("key.pem", pair.key)):
        (folder / name).write_bytes(source.read_bytes())
    return folder


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory, busybox_tar: Path) -> Iterator[Remote]:
    folder = tmp_path_factory.mktemp("tls")
    with address_on_lo() as address:
        authority, port = Authority(folder), free_port()
        server = put(folder / "server", authority, authority.sign("server", address))
        client = put(folder / "client", authority, authority.sign("client"))
        flags = ("-H", f"tcp://{address}:{port}", "--tlsverify", "--tlscacert", str(server / "ca.pem"))
        files = ("--tlscert", str(server / "cert.pem"), "--tlskey", str(server / "key.pem"))
        with native_engine(*flags, *files) as engine:
            engine.docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", str(busybox_tar), "busybox")
            yield Remote(engine, address, port, authority, client)


PROGRAMS = [docker_cli(), Path(sys.executable).with_name("cove")]


@pytest.mark.parametrize("program", PROGRAMS, ids=["docker", "cove"])
def test_clients_with_a_certificate_run_containers(remote: Remote, program: Path) -> None:
    assert remote.run(program, "version", "--format", "{{.Server.Os}}").stdout == b"linux\n"
    done = remote.run(program, "run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    # The end of stdin reaches the container, and what it says afterwards reaches us.
    data = os.urandom(20 << 20)
    count = remote.run(program, "run", "--rm", "-i", "busybox", "wc", "-c", input=data)
    assert count.stdout.strip() == str(len(data)).encode()
    echoed = remote.run(program, "run", "--rm", "-i", "busybox", "cat", input=data)
    assert echoed.stdout == data


def test_a_client_without_a_certificate_or_with_anothers_is_refused(remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    stranger = Authority(tmp_path / "others", "stranger")
    known = {**remote._asdict(), "config": put(tmp_path / "wrong", remote.authority, stranger.sign("eve"))}
    refused = Remote(**known).run(docker_cli(), "ps")
    assert refused.returncode == 1
    assert b"tls: " in refused.stderr
    context = ssl.create_default_context(cafile=remote.authority.certificate)
    with (
        socket.create_connection((remote.host, remote.port), HANG_S) as sock,
        context.wrap_socket(sock, server_hostname=remote.host) as bare,
        pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"),
    ):
        bare.recv(100)  # TLS 1.3: the server looks at the certificate after the client's handshake
    with socket.create_connection((remote.host, remote.port), HANG_S) as plain:
        plain.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert not plain.recv(100).startswith(b"HTTP")
    assert remote.run(docker_cli(), "ps").returncode == 0


def test_a_client_that_leaves_in_the_middle_leaves_nothing(remote: Remote) -> None:
    context = ssl.create_default_context(cafile=remote.authority.certificate)
    context.load_cert_chain(remote.config / "cert.pem", remote.config / "key.pem")
    fds = Path(f"/proc/{remote.engine.pid_of('cove-engine')}/fd")
    before = len(list(fds.iterdir()))
    held = []
    for _ in range(20):
        sock = socket.create_connection((remote.host, remote.port), HANG_S)
        client = context.wrap_socket(sock, server_hostname=remote.host)
        client.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        held.append(client)
    assert len(list(fds.iterdir())) > before
    for client in held:
        client.close()
    _settle(fds, before)


def _settle(fds: Path, wanted: int) -> None:
    import time

    deadline = time.monotonic() + HANG_S
    while len(list(fds.iterdir())) > wanted:
        assert time.monotonic() < deadline
        time.sleep(0.02)  # no event tells that a server has closed
