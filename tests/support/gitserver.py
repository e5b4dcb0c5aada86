"""Git repositories over HTTP on loopback: as plain files, and by `git http-backend`. Everything else is files too."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.limits import HANG_S
from tests.support.serving import serving

IDENTITY = {
    "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t",
    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip


def git(folder: Path, *arguments: str | Path) -> str:
    """Run git in a folder; its output."""
    return subprocess.run(
        ["git", "-C", folder, *arguments],
        env={**os.environ, **IDENTITY}, capture_output=True, text=True, check=True, timeout=HANG_S,
    ).stdout.strip()  # fmt: skip


class _Handler(SimpleHTTPRequestHandler):
    """`/smart/NAME.git/…` goes to git; `/private/…` too, with the token's header only; the rest are files."""

    seen: list[str]  # the Authorization headers

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if not self._served():
            super().do_GET()

    def do_POST(self) -> None:
        if not self._served():
            self.send_error(404)

    def _served(self) -> bool:
        _, kind, *rest = self.path.split("/")
        if kind not in ("smart", "private"):
            return False
        self.seen.append(self.headers.get("Authorization", ""))
        if kind == "private" and not self.headers.get("Authorization"):
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic realm=x")
            self.end_headers()
            return True
        path, _, query = "/".join(["", *rest]).partition("?")
        done = subprocess.run(
            ["git", "http-backend"],
            input=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
            env={
                **os.environ, **IDENTITY,
                "GIT_PROJECT_ROOT": str(self.directory), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
                "QUERY_STRING": query, "REQUEST_METHOD": self.command, "REMOTE_ADDR": "127.0.0.1",
                "CONTENT_TYPE": self.headers.get("Content-Type") or "",
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding") or "",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol") or "",
            },
            capture_output=True, check=False, timeout=HANG_S,
        )  # fmt: skip
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        lines = [line.partition(": ")[::2] for line in head.decode().split("\r\n") if line]
        self.send_response(int(dict(lines).get("Status", "200 OK").split()[0]))
        for key, value in lines:
            if key != "Status":
                self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)
        return True


@contextlib.contextmanager
def git_server(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve the bare repositories and files in `folder`; HOST:PORT, and the Authorization headers as they come."""
    seen: list[str] = []
    handler = type("Handler", (_Handler,), {"seen": seen})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    with serving(server):
        yield f"127.0.0.1:{server.server_port}", seen
