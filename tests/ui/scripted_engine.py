"""An Engine API controlled by a test: it records each request, and fails or delays the requests that the test selects.

It imitates states that a real engine cannot be put into on demand.
"""

from __future__ import annotations

import json
import queue
import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.limits import HANG_S

Json = dict[str, Any]
IMAGE = "sha256:" + "1" * 64
LIMIT_S = HANG_S


class ScriptedEngine:
    """Containers named c0, c1, …; all run. `requests`: the paths asked for, without version and query."""

    def __init__(self, containers: int) -> None:
        self.names = {f"{number:064x}": f"c{number}" for number in range(containers)}
        self.image_tags = ["busybox:latest"]
        self.requests: list[str] = []
        self.failures: dict[str, list[int]] = {}  # path -> statuses of its next replies
        self.has_usage_stream = True
        self.usage_rounds = threading.Semaphore(0)  # released once per sample that the stream sends
        self.status = "running"  # of all containers
        self.ended_by: str | None = None  # of all containers' timelines; None: the engine has none
        self.gate = threading.Event()  # the answer of an inspect waits for that of its beginning, and is as of then
        self.gate.set()
        self.inspecting = 0
        self.most_inspecting = 0
        self._events: list[queue.SimpleQueue[Json | None]] = []
        self._lock = threading.Lock()
        self._cpu_ns = 0

    def publish(self, kind: str, action: str, object_id: str, **attributes: str) -> None:
        """Publish an event to all open event streams."""
        event = {"Type": kind, "Action": action, "Actor": {"ID": object_id, "Attributes": attributes}, "time": 1}
        for each in self._events:
            each.put(event)

    def end(self) -> None:
        """End every stream, so that the server can close."""
        self.gate.set()
        for each in self._events:
            each.put(None)
        self.usage_rounds.release(1000)

    def listen(self) -> queue.SimpleQueue[Json | None]:
        self._events.append(queue.SimpleQueue())
        return self._events[-1]

    def note(self, path: str) -> int:
        """Record a request; returns the status of its reply."""
        with self._lock:
            self.requests.append(path)
            planned = self.failures.get(path)
            return planned.pop(0) if planned else 200

    def answer(self, path: str) -> Any:
        """The body of the reply for `path`; None: 404."""
        if path == "/containers/json":
            return [self._listed(i) for i in self.names]
        if path == "/images/json":
            return [{"Id": IMAGE, "RepoTags": self.image_tags, "Size": 5, "Created": 1}]
        if path in ("/version", "/info"):
            return {"Version": "1", "NCPU": 2, "MemTotal": 1 << 30}
        if found := re.fullmatch(r"/containers/(\w+)/(json|stats)", path):
            if found[1] not in self.names:
                return None
            return self._inspected(found[1]) if found[2] == "json" else self._stats()
        if path.endswith("/timeline") and self.ended_by is not None:
            return {"ended_by": self.ended_by}
        return None

    def usage_sample(self) -> Json:
        self._cpu_ns += 1_000_000
        entry = {"read": self._read(), "cpu_ns": self._cpu_ns, "memory_bytes": 7, "memory_limit_bytes": 9, "pids": 1}
        return {"containers": [{"id": i, "name": name, **entry} for i, name in self.names.items()]}

    def _listed(self, container_id: str) -> Json:
        name = self.names[container_id]
        return {"Id": container_id, "Names": [f"/{name}"], "Image": "busybox", "ImageID": IMAGE, "State": "running"}

    def _inspected(self, container_id: str) -> Json:
        with self._lock:
            self.inspecting += 1
            self.most_inspecting = max(self.most_inspecting, self.inspecting)
            gate, status = self.gate, self.status
        assert gate.wait(LIMIT_S)
        with self._lock:
            self.inspecting -= 1
        state = {"Status": status, "StartedAt": "2026-01-01T00:00:00Z", "Pid": 7, "ExitCode": 137}
        return {"Id": container_id, "Name": f"/{self.names[container_id]}", "Image": IMAGE, "State": state}

    def _stats(self) -> Json:
        with self._lock:
            self._cpu_ns += 1_000_000
            cpu = {"cpu_usage": {"total_usage": self._cpu_ns}}
            return {"read": self._read(), "cpu_stats": cpu, "memory_stats": {"usage": 7, "limit": 9}}

    def _read(self) -> str:
        return f"2026-01-01T00:{self._cpu_ns // 60_000_000 % 60:02}:{self._cpu_ns // 1_000_000 % 60:02}Z"


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64
    engine: ScriptedEngine


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server  # type: ignore[mutable-override]  # never assigned again

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: the engine records the requests."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Api-Version", "1.50")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.server.engine.note(re.sub(r"^/v[0-9.]+", "", urlsplit(self.path).path))
        self.send_response(204)
        self.end_headers()

    def do_GET(self) -> None:
        engine = self.server.engine
        path = re.sub(r"^/v[0-9.]+", "", urlsplit(self.path).path)
        status = engine.note(path)
        if status == 200 and path == "/events":
            self._stream(iter(engine.listen().get, None))
        elif status == 200 and path == "/cove/v1/stats" and engine.has_usage_stream:
            self._stream(self._samples())
        else:
            value = engine.answer(path) if status == 200 else {"message": f"scripted {status}"}
            body = json.dumps({"message": "page not found"} if value is None else value).encode()
            self.send_response(404 if value is None else status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def _samples(self) -> Iterator[Json]:
        while self.server.engine.usage_rounds.acquire(timeout=LIMIT_S):
            yield self.server.engine.usage_sample()

    def _stream(self, values: Iterator[Json]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        try:
            for value in values:
                line = json.dumps(value).encode() + b"\n"
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        except OSError:
            return  # the client has left


@contextmanager
def scripted_engine(socket: Path, containers: int) -> Iterator[ScriptedEngine]:
    """Serve a ScriptedEngine on `socket`."""
    server = _Server(str(socket), _Handler)
    server.engine = ScriptedEngine(containers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.engine
    finally:
        server.engine.end()
        server.shutdown()
        server.server_close()
        thread.join()
