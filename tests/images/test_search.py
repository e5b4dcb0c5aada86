"""`docker search` and `cove search`, at a registry with docker's v1 search API."""

from __future__ import annotations

import http.server
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.engine import NativeEngine
from tests.support.serving import serving

RESULTS = [
    {"name": "own/box", "description": "A box\nof tools " + "x" * 60, "star_count": 3, "is_official": False},
    {"name": "box", "description": "The box", "star_count": 20, "is_official": True},
]


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        is_search = parts.path == "/v1/search" and query["q"] == ["box"]
        body = json.dumps({"results": RESULTS[: int(query["n"][0])]} if is_search else {}).encode()
        self.send_response(200 if is_search else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def index() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    with serving(server):
        yield f"127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--no-trunc",),
        ("--limit", "1"),
        ("--filter", "stars=5"),
        ("--filter", "is-official=false"),
        ("--format", "{{.Name}} {{.StarCount}} {{.IsOfficial}}"),
        ("--format", "table {{.Name}}\t{{.IsOfficial}}"),
        ("--format", "json"),
        ("--limit", "101"),
        ("--filter", "stars=many"),
        ("--filter", "colour=red"),
    ],
)
def test_both_command_lines_show_the_same(engine: NativeEngine, index: str, flags: tuple[str, ...]) -> None:
    docker = engine.docker("search", *flags, f"{index}/box", check=False)
    cove = engine.cove("search", *flags, f"{index}/box", check=False)
    if flags == ("--format", "json"):
        assert list(map(json.loads, cove.stdout.splitlines())) == list(map(json.loads, docker.stdout.splitlines()))
    else:
        assert (cove.returncode, cove.stdout, cove.stderr) == (docker.returncode, docker.stdout, docker.stderr)
    assert bool(docker.stdout) == (docker.returncode == 0)


def test_a_registry_without_a_search_says_so(engine: NativeEngine, registry: str) -> None:
    failed = engine.docker("search", f"{registry}/box", check=False)
    assert failed.returncode == 1
    assert "search not found" in failed.stderr
