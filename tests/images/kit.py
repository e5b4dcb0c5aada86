"""What the image tests are made with: tars, images, a registry that misbehaves on request, a store driven by a test."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import hashlib
import http.client
import http.server
import io
import json
import re
import socket
import tarfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.limits import HANG_S
from vmagent.images.imagestore import ImageStore
from vmagent.images.layer import Kind
from vmagent.images.removal import ImageUser
from vmagent.images.store import Image, Store
from vmagent.paths import DataRoot, ExecRoot

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_PIECE = 64 << 10
INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass
class Entry:
    """One member of a tar to be made."""

    name: str
    data: bytes = b""
    type: bytes = tarfile.REGTYPE
    link: str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: float = 1_700_000_000
    device: tuple[int, int] = (0, 0)
    xattrs: dict[str, str] = field(default_factory=dict)


def folder(name: str, mode: int = 0o755, **more: Any) -> Entry:
    return Entry(name, type=tarfile.DIRTYPE, mode=mode, **more)


def symlink(name: str, to: str) -> Entry:
    return Entry(name, type=tarfile.SYMTYPE, link=to, mode=0o777)


def hard_link(name: str, to: str) -> Entry:
    return Entry(name, type=tarfile.LNKTYPE, link=to)


def tar_of(*entries: Entry) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            info = tarfile.TarInfo(entry.name)
            info.type, info.linkname, info.mode = entry.type, entry.link, entry.mode
            info.uid, info.gid, info.mtime = entry.uid, entry.gid, entry.mtime
            info.devmajor, info.devminor = entry.device
            info.size = len(entry.data)
            info.pax_headers = {f"SCHILY.xattr.{name}": value for name, value in entry.xattrs.items()}
            tar.addfile(info, io.BytesIO(entry.data))
    return out.getvalue()


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class MadeImage:
    """An image with its blobs, ready for a registry or a layout."""

    def __init__(
        self,
        *layers: bytes,
        pack: Callable[[bytes], bytes] = gzip.compress,
        diff_ids: list[str] | None = None,
        platform: tuple[str, str] = ("linux", "amd64"),
    ) -> None:
        self.packed = [pack(layer) for layer in layers]
        self.config = json.dumps(
            {
                "os": platform[0],
                "architecture": platform[1],
                "created": "2026-01-02T03:04:05Z",
                "config": {"Cmd": ["/bin/sh"], "Labels": {"made": "here"}},
                "rootfs": {"type": "layers", "diff_ids": diff_ids or [digest(layer) for layer in layers]},
            }
        ).encode()
        self.blobs = {digest(data): data for data in (*self.packed, self.config)}
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {
                    "mediaType": "application/vnd.oci.image.config.v1+json",
                    "digest": digest(self.config),
                    "size": len(self.config),
                },
                "layers": [
                    {
                        "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                        "digest": digest(data),
                        "size": len(data),
                    }
                    for data in self.packed
                ],
            }
        ).encode()
        self.id = digest(self.config)
        self.platform = platform

    def put(self, address: str, repository: str, tag: str, auth: str = "") -> None:
        """Upload to the registry at HOST:PORT."""
        for name, data in self.blobs.items():
            location = upload(address, "POST", f"/v2/{repository}/blobs/uploads/", b"", auth)
            parts = urlsplit(location)
            upload(address, "PUT", f"{parts.path}?{parts.query}&digest={name}", data, auth)
        upload(address, "PUT", f"/v2/{repository}/manifests/{tag}", self.manifest, auth, MANIFEST)


def index_of(*images: MadeImage) -> bytes:
    manifests = [
        {
            "mediaType": MANIFEST,
            "digest": digest(image.manifest),
            "size": len(image.manifest),
            "platform": {"os": image.platform[0], "architecture": image.platform[1]},
        }
        for image in images
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).encode()


def upload(address: str, method: str, path: str, body: bytes, auth: str = "", kind: str = "") -> str:
    """One call; the Location it answers with."""
    with contextlib.closing(http.client.HTTPConnection(address, timeout=HANG_S)) as connection:
        headers = {"Content-Type": kind or "application/octet-stream"}
        if auth:
            headers["Authorization"] = "Basic " + base64.b64encode(auth.encode()).decode()
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        answer = response.read()
        assert response.status < 300, (response.status, answer)
        return response.headers.get("Location", "")


class BadRegistry(http.server.ThreadingHTTPServer):
    """A registry that sends wrong lengths, stalls or cuts connections where a test wants it."""

    daemon_threads = False  # `server_close` waits for them

    def __init__(self) -> None:
        self._connections: set[socket.socket] = set()
        self.manifests: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.cut_at: dict[str, int] = {}  # the first reply with this blob ends after so many bytes
        self.cut_later: dict[str, int] = {}  # each reply after that one, too
        self.authorizations: set[str] = set()  # what clients have shown
        self.tags: list[object] = []  # a page of the list of tags
        self.media_type = ""  # of all manifests, instead of what they say
        self.more_tags = False  # each page of them names another one
        self.announce: dict[str, int] = {}  # Content-Length of this blob, instead of its size
        self.stalled: dict[str, threading.Event] = {}  # half of this blob is sent, the rest when the event is set
        self.reached = threading.Event()  # set when a stalled blob has begun
        self.ranges: list[str] = []
        self.pause_s = 0.0  # between the pieces of a blob; then `sent` counts each piece that was written
        self.sent: dict[str, int] = {}  # bytes of each blob, at most what was written to the connection
        self.token = ""
        self.refresh_token = "r3fresh"
        self.users: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []  # path and Authorization of token requests
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"127.0.0.1:{self.server_port}"

    def add(self, image: MadeImage, tag: str = "latest") -> None:
        self.blobs.update(image.blobs)
        self.manifests[tag] = self.manifests[digest(image.manifest)] = image.manifest

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: some tests cut a connection on purpose."""

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().close_request(request)

    def end_connections(self) -> None:
        """End the connections that clients keep open, so that the threads serving them return."""
        for connection in list(self._connections):
            with contextlib.suppress(OSError):  # the client or the thread has closed it
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits 40 ms for the acknowledgement of its head
    server: BadRegistry  # type: ignore[mutable-override]  # never assigned again

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _trickle(self, name: str, status: int, body: bytes) -> None:
        """Send a blob in pieces, with little on the way at any moment."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _PIECE)
        self._answer(status, b"", Content_Length=str(len(body)))
        try:
            for start in range(0, len(body), _PIECE):
                self.wfile.write(body[start : start + _PIECE])
                self.server.sent[name] = self.server.sent.get(name, 0) + len(body[start : start + _PIECE])
                time.sleep(self.server.pause_s)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client was killed

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        headers.setdefault("Content_Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        server = self.server
        if authorization := self.headers.get("Authorization", ""):
            server.authorizations.add(authorization)
        if self.path.startswith("/token"):
            server.asked.append((self.path, authorization))
            name, _, password = base64.b64decode(authorization.partition(" ")[2]).decode().partition(":")
            if server.users and server.users.get(name) != password:
                self._answer(401, b"{}")
            else:
                answer = {"token": server.token}
                if "offline_token=true" in self.path:
                    answer["refresh_token"] = server.refresh_token
                self._answer(200, json.dumps(answer).encode())
            return
        if server.token and authorization != f"Bearer {server.token}":
            realm = f'Bearer realm="http://{server.address}/token",service="s",scope="repository:x:pull"'
            self._answer(401, b'{"errors":[{"code":"UNAUTHORIZED"}]}', WWW_Authenticate=realm)
            return
        if self.path == "/v2/":
            self._answer(200, b"{}")
            return
        if "/tags/list" in self.path:
            more = {"Link": f'<{self.path.partition("?")[0]}?last=x>; rel="next"'} if server.more_tags else {}
            self._answer(200, json.dumps({"tags": server.tags}).encode(), **more)
            return
        match = re.fullmatch(r"/v2/.+/(manifests|blobs)/([^/]+)", self.path)
        if match is None:
            self._answer(404, b"{}")
        elif match[1] == "manifests":
            body = server.manifests.get(match[2])
            if body is None:
                self._answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')
            else:
                self._answer(200, body, Content_Type=server.media_type or json.loads(body)["mediaType"])
        else:
            self._blob(match[2])

    def do_POST(self) -> None:
        """The token server's other way: a token for a refresh token."""
        asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if asked["grant_type"] == ["refresh_token"] and asked["refresh_token"] == [self.server.refresh_token]:
            self._answer(200, json.dumps({"access_token": self.server.token}).encode())
        else:
            self._answer(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"no such token"}]}')

    def _blob(self, name: str) -> None:
        server = self.server
        body = server.blobs[name]
        length = server.announce.get(name, len(body))
        status = 200
        if asked := self.headers.get("Range"):
            server.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            body, length, status = body[start:], length - start, 206
        if (event := server.stalled.get(name)) is not None and not event.is_set():
            self._answer(status, body[: len(body) // 2], Content_Length=str(length))
            self.wfile.flush()
            server.sent[name] = server.sent.get(name, 0) + len(body) // 2
            server.reached.set()
            event.wait(HANG_S)
            self.wfile.write(body[len(body) // 2 :])
            return
        if server.pause_s:
            self._trickle(name, status, body)
            return
        server.sent[name] = server.sent.get(name, 0) + len(body)
        if (cut := server.cut_at.pop(name, server.cut_later.get(name))) is not None:
            self._answer(status, body[:cut], Content_Length=str(length))
            self.close_connection = True
        else:
            self._answer(status, body, Content_Length=str(length))
            self.close_connection = length != len(body)


@contextlib.contextmanager
def bad_registry() -> Iterator[BadRegistry]:
    with BadRegistry() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            for event in server.stalled.values():
                event.set()
            server.shutdown()
            thread.join()
            server.end_connections()


def snapshot(folder: Path, **files: bytes) -> dict[str, str]:
    """What `Images.commit` takes: a container's upper folder with these files (`__` in a name is a slash)."""
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    return {"module": "vmagent.engine.snapshotting", "upper": str(folder)}


def _read_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(1 << 20), b""))


async def chunks(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


class Driver:
    """An open store with a loop of its own, driven call by call."""

    def __init__(self, root: Path, kind: Kind | None, **options: Any) -> None:
        self.root = DataRoot(root / "data")
        self.events: list[tuple[str, str, dict[str, str]]] = []
        self.runner = asyncio.Runner(debug=False)
        self.users: list[ImageUser] = []
        self.store = Store(
            self.root,
            ExecRoot(root / "exec"),
            kind=kind,
            on_event=lambda action, actor, attributes: self.events.append((action, actor, attributes)),
            **options,
        )
        self.images = ImageStore(self.store, lambda: self.users)
        self.run(self.images.open())

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(coroutine)

    def lowers(self, image: Image) -> list[str]:
        """The image's layers as overlay folders, mounted."""
        return list(self.run(self.store.stack_lowers(image.layers)))

    def all(self, items: Any) -> list[Any]:
        """All items of an asynchronous generator."""

        async def collect() -> list[Any]:
            async with contextlib.aclosing(items) as opened:
                return [item async for item in opened]

        listed: list[Any] = self.run(collect())
        return listed

    def pull(self, ref: str, **options: Any) -> list[dict[str, Any]]:
        name, _, tag = ref.rpartition(":")
        if "@" in ref:
            name, _, tag = ref.partition("@")
        return self.all(self.images.pull(name, tag=tag, **options))

    def import_(self, tar: bytes, repo: str = "x", **options: Any) -> str:
        last = self.all(self.images.import_(chunks(tar), repo=repo, **options))[-1]
        return str(last["status"])

    def load(self, archive: bytes, *, quiet: bool = True, **options: Any) -> list[dict[str, Any]]:
        return self.all(self.images.load(chunks(archive), quiet=quiet, **options))

    def save(self, *refs: str, **options: Any) -> bytes:
        """The archive, from a socket as a client's."""

        async def save() -> bytes:
            ours, theirs = socket.socketpair()
            theirs.setblocking(False)
            with ours, theirs:
                reading = asyncio.create_task(asyncio.to_thread(_read_all, ours))
                try:
                    async with self.images.archive(refs, **options) as archive:
                        assert await archive.write(theirs.fileno(), chunked=False)
                finally:
                    theirs.close()
                    data = await reading
            return data

        saved: bytes = self.run(save())
        return saved

    def left(self) -> dict[str, list[str]]:
        """The content of the folders that a failure must leave unchanged, after all removals in the background."""

        async def settle() -> None:
            while tasks := list(self.store._tasks):
                await asyncio.gather(*tasks)

        self.run(settle())
        return {
            name: sorted(path.name for path in getattr(self.root, name).iterdir())
            for name in ("ingest", "layers", "blobs", "images", "trash")
        }

    def tags(self) -> list[str]:
        """The names of all images, without the one that each new store has."""
        return sorted(
            tag for shape in self.run(self.images.list()) for tag in shape["RepoTags"] if tag != "cove/hello:latest"
        )

    def close(self) -> None:
        self.run(self.images.close())
        self.runner.close()
