"""Servers around a real registry, over TLS: a front that may cut replies or send clients elsewhere, and a token server.

Each of them keeps what clients showed it, so that a test can say which server saw which credentials.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import http.server
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.support.certificates import Pair
from tests.support.limits import HANG_S

_HOP = frozenset(("connection", "transfer-encoding", "content-length", "host", "keep-alive"))
_BLOCK = 16 << 10


class Server(http.server.ThreadingHTTPServer):
    """An HTTPS server on a free port that notes each request."""

    daemon_threads = True

    def __init__(self, host: str, pair: Pair, handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        self.seen: list[tuple[str, str, str]] = []  # method, path, Authorization
        super().__init__((host, 0), handler)
        self.socket = pair.server_context().wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.address = f"{host}:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: clients that trust no certificate of ours leave in the handshake."""

    @property
    def shown(self) -> set[str]:
        """The Authorization headers that clients sent."""
        return {authorization for _, _, authorization in self.seen if authorization}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # as in tests/images/kit.py

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(HANG_S)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def note(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.seen.append((self.command, self.path, self.headers.get("Authorization", "")))

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


class _FrontHandler(_Handler):
    server: Front  # type: ignore[mutable-override]  # never assigned again

    def do_GET(self) -> None:
        self.note()
        front = self.server
        if front.blobs_at and "/blobs/" in self.path and self.command == "GET":
            self.reply(307, b"", Location=f"https://{front.blobs_at}{self.path}")
            return
        size = int(self.headers.get("Content-Length") or 0)
        chunked = self.headers.get("Transfer-Encoding") == "chunked"
        body = b"".join(self._chunks()) if chunked else self.rfile.read(size)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        if front.authorization:
            headers["Authorization"] = front.authorization
        with contextlib.closing(http.client.HTTPConnection(front.behind, timeout=HANG_S)) as connection:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in ("connection", "transfer-encoding"):
                self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        is_blob = "/blobs/" in self.path and answer.status in (200, 206)
        if is_blob and front.cut_after and len(data) > front.cut_after:
            data = data[: front.cut_after]
            self.close_connection = True
        for start in range(0, len(data), _BLOCK):
            self.wfile.write(data[start : start + _BLOCK])
            if is_blob:
                front.sent += len(data[start : start + _BLOCK])
                time.sleep(front.pause_s)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_GET

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()


class Front(Server):
    """TLS in front of a plain registry at `behind`.

    `cut_after`: each reply with a blob ends after so many bytes, 0: none does; `pause_s`: between blocks of a blob;
    `blobs_at`: where blobs are to be fetched instead; `authorization`: shown to the registry behind in place of the
    client's.
    """

    def __init__(self, host: str, pair: Pair, behind: str) -> None:
        self.behind = behind
        self.cut_after, self.pause_s, self.blobs_at, self.authorization = 0, 0.0, "", ""
        self.sent = 0  # bytes of blobs
        super().__init__(host, pair, _FrontHandler)


class _TokenHandler(_Handler):
    server: TokenServer  # type: ignore[mutable-override]  # never assigned again

    def do_GET(self) -> None:
        self.note()
        scheme, _, text = self.headers.get("Authorization", "").partition(" ")
        user, _, password = base64.b64decode(text).decode().partition(":") if scheme == "Basic" else ("", "", "")
        if self.server.users.get(user) != password:
            self.reply(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"wrong"}]}')
            return
        query = parse_qs(urlsplit(self.path).query)
        token = self.server.token(user, query["service"][0], query.get("scope", []))
        self.reply(200, json.dumps({"token": token}).encode(), Content_Type="application/json")


class TokenServer(Server):
    """A token server for docker-registry: https://distribution.github.io/distribution/spec/auth/jwt/. `users` may do
    all that they ask for."""

    ISSUER = "cove tests"

    def __init__(self, host: str, pair: Pair, signing: Pair, **users: str) -> None:
        self.users = users
        key = serialization.load_pem_private_key(signing.key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        certificate = x509.load_pem_x509_certificate(signing.certificate.read_bytes())
        self._der = certificate.public_bytes(serialization.Encoding.DER)
        self._signing = signing
        super().__init__(host, pair, _TokenHandler)

    def auth(self, authority: Path) -> dict[str, Any]:
        """The registry's `auth`, for tokens signed by a certificate of `authority`."""
        return {
            "token": {
                "realm": f"https://{self.address}/token",
                "service": "registry",
                "issuer": self.ISSUER,
                "rootcertbundle": str(authority),
            }
        }

    def token(self, user: str, service: str, scopes: list[str]) -> str:
        """A JSON Web Token, ES256: RFC 7519, RFC 7518 section 3.4."""
        now = int(time.time())
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(self._der).decode()]}
        claims = {
            "iss": self.ISSUER, "sub": user, "aud": service, "exp": now + 300, "nbf": now - 10, "iat": now, "jti": "1",
            "access": access,
        }  # fmt: skip
        signed = b".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        r, s = decode_dss_signature(self._key.sign(signed, ec.ECDSA(hashes.SHA256())))
        return (signed + b"." + _base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
