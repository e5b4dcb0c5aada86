"""What leaves this machine while images are pulled and pushed: every byte to every server, captured.

python -m tests.images.traffic FILE writes what was found, as JSON. As root. In a network namespace of its own the
servers have an address each, the engine speaks to them without TLS, and a packet socket (packet(7)) sees all that
passes. Each secret is a text of its own, looked for in any form in which it could be sent.
"""

from __future__ import annotations

import base64
import http.server
import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from email.message import Message
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from tests.images.kit import Entry, MadeImage, tar_of
from tests.security.peers import own_namespaces
from tests.support.engine import NativeEngine, native_engine
from tests.support.limits import HANG_S
from tests.support.serving import serving
from tests.support.tools import docker_cli

PORT = 5000
# One address for each part that a server plays.
REGISTRY, TOKENS, STORAGE, MIRROR, STRANGER = (f"10.99.0.{number}" for number in range(1, 6))
PASSWORD, IDENTITY, TOKEN, OTHER_PASSWORD = "pass-w0rd-one", "ident1ty-t0ken", "bearer-t0ken-1", "another-pass-w0rd"
HUB_PASSWORD = "hub-pass-w0rd"
# Who may see what.
MAY_SEE: Mapping[str, set[str]] = {
    PASSWORD: {REGISTRY, TOKENS},
    IDENTITY: {TOKENS},
    TOKEN: {REGISTRY},
    OTHER_PASSWORD: {STRANGER},
    HUB_PASSWORD: set(),
}
IMAGE = MadeImage(tar_of(Entry("x", os.urandom(2000))), tar_of(Entry("y", os.urandom(2000))))
Reply = tuple[int, dict[str, str], bytes]
_PACKET_OUTGOING = 4
_PACKET_STATISTICS, _SOL_PACKET = 6, 263


class Asked(Protocol):
    """A request."""

    command: str
    path: str
    headers: Message
    body: bytes


Guard = Callable[[Asked], Reply | None]


class Server(http.server.ThreadingHTTPServer):
    """A registry at an address of its own. `guard` replies instead of it where it returns something."""

    daemon_threads = False

    def __init__(self, address: str) -> None:
        self.address = address
        self.guard: Guard = lambda _: None
        self.asked: list[str] = []  # methods and paths
        self.blobs: dict[str, bytes] = dict(IMAGE.blobs)
        self.manifest = IMAGE.manifest
        super().__init__((address, PORT), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a client that needs no body does not read it."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"  # a connection for each request: the threads end
    server: Server  # type: ignore[mutable-override]  # never assigned again
    body = b""

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _reply(self, status: int, headers: Mapping[str, str] = {}, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _serve(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append(f"{self.command} {self.path}")
        if (instead := self.server.guard(self)) is not None:
            self._reply(*instead)
            return
        path, server = urlsplit(self.path).path, self.server
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/]*)", path)
        if path == "/v2/":
            self._reply(200, {}, b"{}")
        elif self.command in ("PUT", "POST"):
            place = f"{path.rstrip('/')}/1"
            self._reply(202 if self.command == "POST" else 201, {"Location": place})
        elif match and match[2] == "manifests":
            kind = json.loads(server.manifest)["mediaType"]
            self._reply(200, {"Content-Type": kind}, server.manifest)
        elif match and match[3] in server.blobs:
            self._reply(200, {}, server.blobs[match[3]])
        else:
            self._reply(404, {}, b"{}")

    do_GET = do_HEAD = do_POST = do_PUT = _serve


class Capture:
    """All TCP payload of the namespace, by the address that it went to."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))  # ETH_P_ALL
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        self._flows: dict[tuple[bytes, bytes], bytearray] = {}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="capture")
        self._thread.start()

    def _run(self) -> None:
        self._socket.settimeout(0.2)
        while True:
            try:
                data, (_, _, kind, *_) = self._socket.recvfrom(1 << 17)
            except TimeoutError:
                if self._is_over.is_set():
                    return
                continue
            if kind == _PACKET_OUTGOING and data[0] >> 4 == 4 and data[9] == socket.IPPROTO_TCP:
                at = (data[0] & 15) * 4
                end = int.from_bytes(data[2:4], "big") or len(data)  # 0 where the kernel segments later
                payload = data[at + (data[at + 12] >> 4) * 4 : end]
                key = (data[12:16] + data[at : at + 2], data[16:20] + data[at + 2 : at + 4])
                self._flows.setdefault(key, bytearray()).extend(payload)

    def end(self) -> tuple[dict[str, bytes], int]:
        """What went to each server, and how many packets were lost."""
        self._is_over.set()
        self._thread.join()
        _, lost = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        self._socket.close()
        found: dict[str, bytes] = {}
        for (_, to), payload in self._flows.items():
            if int.from_bytes(to[4:], "big") == PORT:  # else it is a reply: both ends have the server's address
                address = socket.inet_ntoa(to[:4])
                found[address] = found.get(address, b"") + bytes(payload) + b"\n"
        return found, lost


def forms(secret: str) -> Iterator[bytes]:
    """What a secret could look like on the wire: as it is, quoted, and in base64 at each of its three offsets."""
    yield secret.encode()
    yield quote(secret, safe="").encode()
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + secret.encode())
        inner = whole[4 if before else 0 : -4]  # without the characters that depend on what stands beside it
        yield inner
        yield inner.replace(b"+", b"-").replace(b"/", b"_")


class Scenes:
    """What is done, by docker's command line with logins of its own; each scene leaves the servers as they were."""

    def __init__(self, engine: NativeEngine, servers: Mapping[str, Server], folder: Path) -> None:
        self._engine, self._servers, self._folder = engine, servers, folder
        self.outcomes: dict[str, str] = {}  # what docker said in each

    def play(self) -> None:
        for scene in (
            self.blobs_at_another_host, self.a_host_that_asks_for_a_password, self.tokens_of_another_host,
            self.a_token_server_that_redirects, self.uploads_to_another_host, self.a_layer_of_another_repository,
            self.mirrors, self.a_build_from_another_registry,
        ):  # fmt: skip
            scene()
            for server in self._servers.values():
                server.guard = lambda _: None
            self._docker("image", "prune", "-af")

    def _docker(self, *words: str, identity: bool = False, **environment: str) -> None:
        config = self._folder / ("identity" if identity else "passwords")
        if not config.exists():
            config.mkdir()
            own = {"identitytoken": IDENTITY} if identity else {}
            auths = {
                f"{REGISTRY}:{PORT}": {"auth": _encoded("ann", "" if identity else PASSWORD), **own},
                f"{STRANGER}:{PORT}": {"auth": _encoded("bob", OTHER_PASSWORD)},
                "https://index.docker.io/v1/": {"auth": _encoded("ann", HUB_PASSWORD)},
            }
            (config / "config.json").write_text(json.dumps({"auths": auths}))
        done = subprocess.run(
            [docker_cli(), "--config", str(config), *words],
            env={**os.environ, "DOCKER_HOST": self._engine.host, "DOCKER_CLI_HINTS": "false", **environment},
            capture_output=True, text=True, check=False, timeout=HANG_S,
        )  # fmt: skip
        self.outcomes[" ".join((sys._getframe(1).f_code.co_name, *words))] = done.stdout + done.stderr

    def blobs_at_another_host(self) -> None:
        self._servers[REGISTRY].guard = _guarded(_basic("ann", PASSWORD), "", _blobs_to(STORAGE))
        self._docker("pull", f"{REGISTRY}:{PORT}/x:1")

    def a_host_that_asks_for_a_password(self) -> None:
        """A host that the registry redirects to names a token server of its own, for blobs and for manifests."""
        self._servers[STORAGE].guard = lambda _: _challenge(STRANGER)
        for instead in (_blobs_to(STORAGE), _all_to(STORAGE)):
            self._servers[REGISTRY].guard = _guarded(_basic("ann", PASSWORD), "", instead)
            self._docker("pull", f"{REGISTRY}:{PORT}/x:2")
            self._docker("pull", f"{REGISTRY}:{PORT}/x:2", identity=True)

    def tokens_of_another_host(self) -> None:
        self._servers[REGISTRY].guard = _guarded(f"Bearer {TOKEN}", TOKENS, _blobs_to(STORAGE))
        self._servers[TOKENS].guard = _tokens
        self._docker("pull", f"{REGISTRY}:{PORT}/x:3")
        self._docker("rmi", f"{REGISTRY}:{PORT}/x:3")
        self._docker("pull", f"{REGISTRY}:{PORT}/x:3", identity=True)

    def a_token_server_that_redirects(self) -> None:
        """Also with a status that takes the body, in which an identity token is, to the other host."""
        self._servers[REGISTRY].guard = _guarded(f"Bearer {TOKEN}", TOKENS)
        for status in (302, 307, 308):
            self._servers[TOKENS].guard = _all_to(STRANGER, status)
            self._docker("pull", f"{REGISTRY}:{PORT}/x:4")
            self._docker("pull", f"{REGISTRY}:{PORT}/x:4", identity=True)

    def uploads_to_another_host(self) -> None:
        """Where that host asks for a password, too."""
        self._docker("pull", f"{STRANGER}:{PORT}/x:5")
        self._docker("tag", f"{STRANGER}:{PORT}/x:5", f"{REGISTRY}:{PORT}/y:5")
        self._servers[REGISTRY].guard = _guarded(f"Bearer {TOKEN}", TOKENS, _uploads_to(STORAGE))
        self._servers[TOKENS].guard = _tokens
        self._docker("push", f"{REGISTRY}:{PORT}/y:5")
        self._servers[STORAGE].guard = lambda _: _challenge(STRANGER)
        self._docker("push", f"{REGISTRY}:{PORT}/y:5")

    def a_layer_of_another_repository(self) -> None:
        """Of the same registry it is mounted, of another one it is not spoken of."""
        self._docker("pull", f"{STRANGER}:{PORT}/z:6")
        self._servers[REGISTRY].guard = _guarded(_basic("ann", PASSWORD), "")
        self._docker("pull", f"{REGISTRY}:{PORT}/x:6")
        self._docker("tag", f"{REGISTRY}:{PORT}/x:6", f"{REGISTRY}:{PORT}/w:6")
        self._servers[REGISTRY].guard = _guarded(_basic("ann", PASSWORD), "", _mounts)
        self._docker("push", f"{REGISTRY}:{PORT}/w:6")

    def mirrors(self) -> None:
        """Of Docker Hub: such as want a password, and one that does not."""
        for guard in (_guarded(_basic("ann", "x"), ""), _guarded("Bearer x", STRANGER), lambda _: None):
            self._servers[MIRROR].guard = guard
            self._docker("pull", "own/x:7")

    def a_build_from_another_registry(self) -> None:
        """The classic client sends all the logins that it has."""
        (self._folder / "Dockerfile").write_text(
            f"FROM {REGISTRY}:{PORT}/x:8 AS a\nFROM {STRANGER}:{PORT}/x:8\nCOPY --from=a x z\n"
        )
        self._servers[STRANGER].guard = _guarded(_basic("bob", OTHER_PASSWORD), "")
        self._servers[REGISTRY].guard = _guarded(_basic("ann", PASSWORD), "")
        self._docker("build", "--no-cache", str(self._folder), DOCKER_BUILDKIT="0")


def _encoded(name: str, password: str) -> str:
    return base64.b64encode(f"{name}:{password}".encode()).decode()


def _basic(name: str, password: str) -> str:
    return f"Basic {_encoded(name, password)}"


def _challenge(realm: str) -> Reply:
    """For credentials in the Basic scheme, or for a token of the server `realm`."""
    told = f'Bearer realm="http://{realm}:{PORT}/token",service="s",scope="repository:x:pull"'
    return 401, {"WWW-Authenticate": told if realm else 'Basic realm="r"'}, b"{}"


def _guarded(authorization: str, realm: str, instead: Guard = lambda _: None) -> Guard:
    """A server that wants this header, and then replies as `instead` says."""
    return lambda asked: instead(asked) if asked.headers.get("Authorization") == authorization else _challenge(realm)


def _all_to(address: str, status: int = 307) -> Guard:
    return lambda asked: (status, {"Location": f"http://{address}:{PORT}{asked.path}"}, b"")


def _blobs_to(address: str) -> Guard:
    return lambda asked: _all_to(address)(asked) if "/blobs/" in asked.path else None


def _uploads_to(address: str) -> Guard:
    def reply(asked: Asked) -> Reply | None:
        if asked.command == "HEAD":
            return 404, {}, b""
        if asked.command != "POST":
            return None
        return 202, {"Location": f"http://{address}:{PORT}{asked.path}1"}, b""

    return reply


def _mounts(asked: Asked) -> Reply | None:
    if asked.command == "HEAD":
        return 404, {}, b""
    return (201, {}, b"") if asked.command == "POST" and "mount=" in asked.path else None


def _tokens(asked: Asked) -> Reply | None:
    """A token for the password, or for the identity token."""
    is_known = IDENTITY.encode() in asked.body or asked.headers.get("Authorization") == _basic("ann", PASSWORD)
    return (200, {}, json.dumps({"token": TOKEN}).encode()) if is_known else (401, {}, b"{}")


def main(out: Path) -> None:
    docker_cli()  # what is downloaded is not reached from the namespace
    own_namespaces()
    addresses = (REGISTRY, TOKENS, STORAGE, MIRROR, STRANGER)
    for address in addresses:
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    flags = [word for address in addresses for word in ("--insecure-registry", f"{address}:{PORT}")]
    with ExitStack() as stack:
        servers = {address: Server(address) for address in addresses}
        for server in servers.values():
            stack.enter_context(serving(server))
        engine = stack.enter_context(native_engine(*flags, "--registry-mirror", f"http://{MIRROR}:{PORT}"))
        folder = engine.root / "logins"
        folder.mkdir()
        scenes, capture = Scenes(engine, servers, folder), Capture()
        try:
            scenes.play()
        finally:
            sent, lost = capture.end()
    seen = {
        secret: sorted(address for address, data in sent.items() if any(form in data for form in forms(secret)))
        for secret in MAY_SEE
    }
    asked = {address: servers[address].asked for address in addresses}
    out.write_text(json.dumps({"seen": seen, "lost": lost, "asked": asked, "outcomes": scenes.outcomes}, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
