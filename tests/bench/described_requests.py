"""Requests made from our OpenAPI description, valid and invalid ones, against a running engine: what it says to each.

    PYTHON described_requests.py --socket PATH --description openapi.yaml --scratch FOLDER [--requests N] [--seed N]

PYTHON is an interpreter with schemathesis (`tests.support.tools.schemathesis`), which has nothing else of this project.
The names in most requests are those of objects that exist, which are made again when a request has removed them. Each
reply is held against the description: its status, type and body; 5xx fails but for those that are described. The engine
should run in namespaces of its own: containers get the strangest options. Prints a JSON report.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import copy
import io
import json
import random
import sys
import tarfile
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from requests.adapters import HTTPAdapter
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import ReadTimeoutError

BASE = "http://engine"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
# Replies that may have no end: their head must come at once, and the first moments of their body are read.
ENDLESS = {
    "GET /events", "GET /containers/{id}/stats", "GET /containers/{id}/logs", "POST /containers/{id}/attach",
    "GET /containers/{id}/attach/ws", "POST /exec/{id}/start", "POST /containers/{id}/wait", "GET /cove/v1/stats",
    "GET /cove/v1/builds/events", "GET /cove/v1/builds/{id}/log", "POST /session", "POST /grpc",
}  # fmt: skip
# What takes a process of its own for each request, and so many of all requests to each other operation.
COSTLY = {
    "POST /cove/v1/check", "GET /containers/{id}/export", "POST /commit", "HEAD /containers/{id}/archive",
    "GET /containers/{id}/archive", "PUT /containers/{id}/archive", "GET /cove/v1/containers/{id}/files", "POST /build",
    "GET /images/get", "GET /images/{name}/get", "POST /images/load", "POST /images/create", "POST /containers/prune",
    "GET /cove/v1/volumes/{name}/files", "HEAD /cove/v1/volumes/{name}/archive", "GET /cove/v1/volumes/{name}/archive",
    "PUT /cove/v1/volumes/{name}/archive", "POST /cove/v1/volumes/{name}/clone", "POST /images/prune",
    "POST /networks/prune", "POST /volumes/prune", "GET /images/search", "GET /distribution/{name}/json",
    "POST /images/{name}/push",
}  # fmt: skip
SHARE = 8
ONCE = {"POST /cove/v1/check"}  # looks through the whole store
FURTHER = 1000  # from one round's seed to the next's
# What dockerd has no better status for: a registry that can't be reached, and these states.
DOCKERS_500 = (b"dial tcp", b"is not paused", b"is not connected to network")
HEAD_S, BODY_S = 120.0, 0.05
CONTAINERS: dict[str, dict[str, Any]] = {
    "running": {"HostConfig": {"NetworkMode": "net", "Binds": ["volume:/data"]}},
    "terminal": {"Tty": True, "OpenStdin": True, "HostConfig": {"PortBindings": {"80/tcp": [{}]}}},
    "limited": {"HostConfig": {"Memory": 64 << 20, "RestartPolicy": {"Name": "always"}, "NetworkMode": "none"}},
    "paused": {}, "created": {}, "ended": {"Cmd": ["sh", "-c", "echo out; echo err >&2; exit 3"]},
}  # fmt: skip
IMAGE = "busybox:latest"
TAR = "application/x-tar"


@schemathesis.serializer(TAR)  # type: ignore[untyped-decorator]
def _as_it_is(_: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


class _Connection(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("engine")
        self._path = path

    def _new_conn(self) -> Any:
        import socket

        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(HEAD_S)
        sock.connect(self._path)
        return sock


class _Adapter(HTTPAdapter):
    """Sends requests to a Unix socket; each on a connection of its own, so that one that breaks disturbs no other."""

    def __init__(self, path: str) -> None:
        self._path = path
        super().__init__()

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> Any:
        pool = HTTPConnectionPool("engine")
        pool.ConnectionCls = lambda *_, **__: _Connection(self._path)  # type: ignore[assignment]
        return pool


class Pool:
    """Objects of the engine that requests name."""

    def __init__(self, session: requests.Session, saved: Path) -> None:
        """`saved`: a file for the image, which another run may have removed."""
        self._session, self._saved = session, saved
        self.execs: list[str] = []

    def _call(self, method: str, path: str, body: object = None, data: bytes | None = None) -> requests.Response:
        headers = {"Content-Type": "application/x-tar"} if data is not None else {}
        return self._session.request(method, BASE + path, json=body, data=data, headers=headers, timeout=HEAD_S)

    def restore(self) -> None:
        """Make what is missing."""
        if not self._saved.exists():
            archive = self._call("GET", f"/images/{IMAGE}/get")
            assert archive.status_code == 200, archive.text
            self._saved.write_bytes(archive.content)
        if self._call("GET", f"/images/{IMAGE}/json").status_code == 404:
            self._call("POST", "/images/load", data=self._saved.read_bytes())
        self._call("POST", "/networks/create", {"Name": "net"})
        self._call("POST", "/volumes/create", {"Name": "volume"})
        self._call("POST", f"/images/{IMAGE}/tag?repo=tagged&tag=1")
        for name, more in CONTAINERS.items():
            shown = self._call("GET", f"/containers/{name}/json")
            if shown.status_code == 404:
                body = {"Image": IMAGE, "Cmd": ["sleep", "9999"], "StopSignal": "KILL", **more}
                self._call("POST", f"/containers/create?name={name}", body)
            if name != "created":
                self._call("POST", f"/containers/{name}/start")
        self._call("POST", "/containers/paused/pause")
        shown = self._call("GET", "/containers/running/json")
        assert shown.status_code == 200, f"requests would name nothing: {shown.text}"
        self.execs = []
        for cmd in (["true"], ["sleep", "1"], ["cat"], ["no-such-command"]):
            made = self._call(
                "POST", "/containers/running/exec", {"Cmd": cmd, "AttachStdout": True, "AttachStdin": True}
            )
            if made.status_code == 201:
                self.execs.append(made.json()["Id"])

    def clear(self) -> None:
        """Remove everything."""
        for container in self._call("GET", "/containers/json?all=1").json():
            if container["State"] == "paused":
                self._call("POST", f"/containers/{container['Id']}/unpause")
            removed = self._call("DELETE", f"/containers/{container['Id']}?force=1&v=1")
            assert removed.status_code in (204, 404, 409), removed.text
        for network in self._call("GET", '/networks?filters={"type":["custom"]}').json():
            self._call("DELETE", f"/networks/{network['Id']}")
        for volume in self._call("GET", "/volumes").json()["Volumes"]:
            removed = self._call("DELETE", "/volumes/" + urllib.parse.quote(volume["Name"], safe=""))
            assert removed.status_code == 204, removed.text
        self._call("POST", "/build/prune")
        for image in self._call("GET", "/images/json").json():
            self._call("DELETE", f"/images/{image['Id']}?force=1")


class Shaping:
    """Puts names of the pool into requests, and keeps what could reach beyond the engine out of them."""

    def __init__(self, pool: Pool, scratch: Path, chance: random.Random) -> None:
        self._pool, self._scratch, self._chance = pool, scratch, chance

    def shape(self, case: Any) -> None:
        path, chance = case.operation.path, self._chance
        values = case.path_parameters
        if isinstance(values, dict):
            for key in values:
                if chance.random() < 0.85:
                    values[key] = self._name(path)
        if isinstance(case.query, dict):
            for key in list(case.query):
                if (key == "t" or chance.random() < 0.6) and (known := self._value(path, key)) is not None:
                    case.query[key] = known
        if isinstance(case.body, dict):
            case.body = self._body(path, case.body)
        elif case.media_type == TAR and chance.random() < 0.7:
            case.body = _some_tar(chance)

    def _name(self, path: str) -> str:
        if path.startswith("/exec/"):
            return self._chance.choice(self._pool.execs or ["none"])
        if path.startswith("/networks/"):
            return self._chance.choice(["net", "bridge", "host", "none", "new"])
        if path.startswith("/volumes/"):
            return self._chance.choice(["volume", "new"])
        if path.startswith(("/images/", "/distribution/")):
            return self._chance.choice([IMAGE, "tagged:1", "127.0.0.1:1/x", "cove/hello", "new"])
        return self._chance.choice([*CONTAINERS, "new"])

    def _value(self, path: str, key: str) -> Any:
        """A value that has a meaning; None keeps what was made."""
        choices: dict[str, list[Any]] = {
            "path": ["/", "/etc", "/etc/passwd", "/data", "/data/x", "/proc/1/environ", "/dev/null", "no/such", "/tmp"],
            "container": list(CONTAINERS),
            "fromImage": ["127.0.0.1:1/x", "127.0.0.1:1/x@sha256:" + "0" * 64, "scratch"],
            "fromSrc": ["-", "http://127.0.0.1:1/x"],
            "remote": ["http://127.0.0.1:1/x.tar", "git://127.0.0.1:1/x.git", ""],
            "repo": ["new", "tagged", "127.0.0.1:1/new"],
            "t": ["0", "1"] if path.startswith("/containers/") else [["new:1"]],
            "names": [[IMAGE], [IMAGE, "tagged:1"]],
            "signal": ["TERM", "KILL", "9", "0", "SIGRTMIN+1", "STOP", "CONT"],
            "platform": ["linux/amd64", "linux", '{"os":"linux","architecture":"amd64"}', "windows/amd64"],
            "name": ["new", "running", "a/b"],
            "term": ["127.0.0.1:1/x", "busybox"],
            "condition": ["not-running", "next-exit", "removed"],
            "until": ["1", "0.5", "2020-01-01T00:00:00Z"], "since": ["0", "1.5", "2020-01-01T00:00:00Z"],
            "tail": ["0", "1", "all"], "h": [24, 0], "w": [80, 0], "containers": [["running"], ["running", "ended"]],
            "filters": [
                "{}",
                '{"label":["a=b"]}', '{"name":{"running":true}}', '{"status":["running"]}', '{"dangling":["true"]}',
                '{"until":["1h"]}', '{"all":["1"]}', '{"id":["a"]}', '{"ancestor":["busybox"]}', '{"before":["ended"]}',
                '{"since":["busybox"]}', '{"health":["none"]}', '{"type":["container"]}', '{"event":["start"]}',
            ],
            "changes": [["CMD true"], ["ENV a=b", "LABEL c d"], ["FROM x"]],
            "ps_args": ["-ef", "aux", "-o pid", ""],
        }  # fmt: skip
        return self._chance.choice(choices[key]) if key in choices else None

    def _body(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        chance = self._chance
        made = self._thinned(body)
        if path == "/containers/create" and chance.random() < 0.85:
            made["Image"] = chance.choice([IMAGE, "tagged:1"])
            made["Cmd"] = chance.choice([["true"], ["sleep", "5"], ["sh", "-c", "echo x"]])
            made.pop("Entrypoint", None)
        if path == "/containers/{id}/exec" and chance.random() < 0.7:
            made["Cmd"] = chance.choice([["true"], ["cat"], ["sh", "-c", "echo $HOME"]])
        if "Container" in made and chance.random() < 0.8:
            made["Container"] = chance.choice([*CONTAINERS])
        if "serveraddress" in made:
            made["serveraddress"] = chance.choice(["127.0.0.1:1", "http://127.0.0.1:1", ""])
        harmless: dict[str, Any] = self._harmless(made)
        return harmless

    def _thinned(self, value: Any) -> Any:
        """With few of its fields: with all of them hardly any request would be valid."""
        if isinstance(value, dict):
            kept = [key for key in value if len(value) <= 3 or self._chance.random() < 3 / len(value)]
            return {key: self._thinned(value[key]) for key in kept}
        return value

    def _harmless(self, value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: self._harmless(each, name) for name, each in value.items()}
        if isinstance(value, list):
            return [self._harmless(each, key) for each in value]
        if isinstance(value, str) and key in ("Binds", "Source", "device", "PathOnHost", "CgroupParent", "Path"):
            choices = {
                "Binds": [f"{self._scratch}/bound:/bound", "volume:/v:ro", "/anonymous", f"{self._scratch}:/x:bad"],
                "Source": [f"{self._scratch}", "volume", f"{self._scratch}/missing"],
                "PathOnHost": ["/dev/null", "/dev/zero", "/dev/no-such"],
                "device": [f"{self._scratch}", "tmpfs"], "CgroupParent": ["", "/cove"], "Path": ["/dev/no-such"],
            }  # fmt: skip
            return self._chance.choice(choices[key])
        return value


def _some_tar(chance: random.Random) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, text in (("Dockerfile", f"FROM {IMAGE}\nRUN true\nLABEL a={chance.randrange(3)}\n"), ("d/f", "x")):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    data = made.getvalue()
    return data[: chance.choice([len(data), len(data), len(data), 700, 10])]


class Run:
    """Sends requests, and collects what is wrong with the replies."""

    def __init__(self, socket_path: str, scratch: Path, chance: random.Random) -> None:
        self._session = requests.Session()
        self._session.mount("http://", _Adapter(socket_path))
        self._session.trust_env = False
        self.pool = Pool(self._session, scratch / "image.tar")
        self._shaping = Shaping(self.pool, scratch, chance)
        self.statuses: collections.Counter[str] = collections.Counter()
        self.replies: dict[str, set[int]] = {}
        self.failures: dict[str, dict[str, Any]] = {}
        self.sent = 0

    def send(self, case: Any) -> None:
        """Send one request and hold the reply against the description."""
        label = f"{case.operation.method.upper()} {case.operation.path}"
        self._shaping.shape(case)
        if self.sent % 100 == 0 or "prune" in label:
            self.pool.restore()
        self.sent += 1
        if self.sent % 500 == 0:
            print(f"{self.sent} requests, {len(self.failures)} failures", file=sys.stderr, flush=True)
        try:
            wanted = case.as_transport_kwargs(base_url=BASE)
            wanted.pop("timeout", None)
            with contextlib.closing(self._session.request(**wanted, stream=True, timeout=HEAD_S)) as reply:
                reply._content = _body_of(reply, is_endless=label in ENDLESS)
                reply._content_consumed = True  # type: ignore[attr-defined]
        except (requests.RequestException, OSError) as e:
            self._fail(label, case, f"{type(e).__name__}: {e}", None)
            return
        self.statuses[str(reply.status_code)] += 1
        self.replies.setdefault(label, set()).add(reply.status_code)
        for part in _parts(reply, is_endless=label in ENDLESS):
            try:
                checked = [check for check in CHECKS if check is not not_a_server_error or not _is_dockers(case, part)]
                case.validate_response(Response.from_requests(part, verify=False), checks=checked)
            except FailureGroup as group:
                for failure in group.exceptions:
                    self._fail(label, case, f"{failure.title}: {getattr(failure, 'message', failure)}"[:600], part)

    def _fail(self, label: str, case: Any, why: str, reply: requests.Response | None) -> None:
        status = reply.status_code if reply is not None else 0
        key = f"{label} {status} {why.splitlines()[0][:60]}"
        found = self.failures.setdefault(key, {"count": 0, "why": why})
        found["count"] += 1
        found["example"] = case.as_curl_command()[:1500]
        found["reply"] = reply.content[:500].decode(errors="replace") if reply is not None else ""


def _is_dockers(case: Any, reply: requests.Response) -> bool:
    """Whether dockerd replies with this 5xx too."""
    if reply.status_code == 500:
        return any(words in reply.content for words in DOCKERS_500)
    return str(reply.status_code) in case.operation.definition.raw["responses"]


def _body_of(reply: requests.Response, *, is_endless: bool) -> bytes:
    """The body, of one without an end its first part."""
    if not is_endless or reply.status_code >= 300:
        return reply.raw.read(decode_content=True)
    fp: Any = reply.raw._fp
    fp.fp.raw._sock.settimeout(BODY_S)
    data, end = b"", time.monotonic() + BODY_S
    with contextlib.suppress(TimeoutError, ReadTimeoutError):  # its time is over
        while time.monotonic() < end and (more := reply.raw.read1(1 << 16)):
            data += more
    return data


def _parts(reply: requests.Response, *, is_endless: bool) -> Iterator[requests.Response]:
    """The reply, of a stream of JSON lines one for each line."""
    lines = reply.content.split(b"\n")[:-1] if "json" in reply.headers.get("content-type", "") else []
    if reply.status_code != 200 or (len(lines) < 2 and not is_endless):
        yield reply
        return
    for line in lines[:50] if lines else []:
        part = copy.copy(reply)
        part.raw = reply.raw
        part._content = line
        yield part


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", required=True)
    parser.add_argument("--description", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--light", action="store_true", help="without operations that take a process for each request")
    parser.add_argument("--only", default="", help="a part of the operations' labels")
    wanted = parser.parse_args()
    schema = schemathesis.openapi.from_dict(yaml.safe_load(wanted.description.read_text()))
    operations = [found.ok() for found in schema.get_all_operations()]
    # Swarm's endpoints all do one thing.
    operations = [
        one for one in operations
        if wanted.only in f"{one.method.upper()} {one.path}" and set(one.definition.raw["responses"]) != {"503"}
    ]  # fmt: skip
    if wanted.light:
        operations = [one for one in operations if f"{one.method.upper()} {one.path}" not in COSTLY]
    run = Run(wanted.socket, wanted.scratch, random.Random(wanted.seed))
    left = [(one, mode) for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE) for one in operations]
    random.Random(wanted.seed).shuffle(left)
    number = wanted.seed
    while left and run.sent < wanted.requests:
        left = _send_shares(run, left, wanted.requests, number)
        number += FURTHER
    run.pool.restore()
    run.pool.clear()
    report = {
        "sent": run.sent, "operations": len(operations), "statuses": dict(sorted(run.statuses.items())),
        "replies": {label: sorted(statuses) for label, statuses in sorted(run.replies.items())},
        "failures": run.failures,
    }  # fmt: skip
    print(json.dumps(report, indent=1))


def _send_shares(run: Run, operations: list[Any], wanted: int, number: int) -> list[Any]:
    """Send what is missing of `wanted` requests, each operation its share; those that may have further requests."""
    labels = [f"{one.method.upper()} {one.path}" for one, _ in operations]
    weights = [1 if label in COSTLY else SHARE for label in labels]
    missing, further = wanted - run.sent, []
    for (operation, mode), label, weight in zip(operations, labels, weights, strict=True):
        count = min(-(-missing * weight // sum(weights)), wanted - run.sent)
        if label in ONCE:
            count = min(count, 1)
        sent = run.sent
        if count:
            _send_all(run, operation, mode, count, number)
        if run.sent - sent == count and label not in ONCE:
            further.append((operation, mode))
    return further


def _send_all(run: Run, operation: Any, mode: GenerationMode, count: int, number: int) -> None:
    try:
        strategy = operation.as_strategy(generation_mode=mode)

        @seed(number)
        @settings(
            max_examples=count,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy)
        def send(case: Any) -> None:
            run.send(case)

        send()
    except BaseException as e:  # nothing to negate in an operation without parameters
        if not any(word in type(e).__name__ for word in ("Unsatisfiable", "Skip")):
            raise


if __name__ == "__main__":
    main()
