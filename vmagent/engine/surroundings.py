"""What the machine around the engine's VM lets the engine know: proxies, certificate authorities beside its own, and
the certificates of registries.

The host's agent sends it with `PUT /cove/v1/surroundings` before the VM counts as running, and again at each change. It
becomes variables of the engine's environment, which the helper processes inherit: that is where Python, requests, git
and OpenSSL look. An engine without such a host keeps the environment it was started with.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vmagent.durable import publish
from vmagent.engine import hostcertificates
from vmagent.engine.hostcertificates import Certificate
from vmagent.errors import BadRequest
from vmagent.urls import without_credentials

_PROXIES = {"http_proxy": "HTTP_PROXY", "https_proxy": "HTTPS_PROXY", "no_proxy": "NO_PROXY"}
# OpenSSL's, requests', git's.
_AUTHORITIES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO")
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_PEM = re.compile(rf"{_BEGIN}\s+([A-Za-z0-9+/=\s]+?)\s+{_END}")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+")


@dataclass(frozen=True, slots=True)
class Told:
    """What the host has said. `authorities`: certificates in PEM, one after the other. `certificates`: of registries,
    for each its own."""

    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""
    authorities: str = ""
    certificates: tuple[Certificate, ...] = ()

    @classmethod
    def from_json(cls, value: Any) -> Told:
        """Raises BadRequest."""
        names = {*_PROXIES, "authorities"}
        if (
            not isinstance(value, dict)
            or value.keys() != {*names, "certificates"}
            or not all(isinstance(value[name], str) for name in names)
        ):
            raise BadRequest(
                f"the surroundings must be an object with the strings {', '.join(sorted(names))}, and certificates"
            )
        told = cls(**{**value, "certificates": hostcertificates.parse(value["certificates"])})
        for url in (told.http_proxy, told.https_proxy):
            if url and not urlsplit(url).hostname:
                raise BadRequest(f"invalid proxy: {url}")
        if told.authorities.strip() and not _PEM.search(told.authorities):
            raise BadRequest("the authorities hold no certificate in PEM")
        return told


class Surroundings:
    """The present state, kept in `folder` for an engine that is started again. `replace` and `load` block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._told = Told()
        self._is_told = False
        self._lock = threading.Lock()  # the host may tell it while the data root is being opened
        names = [*_PROXIES, *_PROXIES.values(), *_AUTHORITIES]
        self._own = {name: os.environ.get(name) for name in names}

    @property
    def _record(self) -> Path:
        return self._folder / "surroundings.json"

    def load(self) -> None:
        """Apply what an earlier engine of this boot was told, unless this one was already. Raises OSError."""
        with self._lock, suppress(FileNotFoundError):
            if not self._is_told:
                self._apply(Told.from_json(json.loads(self._record.read_text())))

    def replace(self, told: Told) -> None:
        """From now on `told` counts. Raises OSError."""
        with self._lock:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            publish(self._record, json.dumps(asdict(told)).encode())
            self._apply(told)
            self._is_told = True

    @property
    def build_proxies(self) -> Mapping[str, str]:
        """The predefined proxy arguments of builds whose client gives none: those of the host, not of the engine's own
        environment."""
        given = {upper: getattr(self._told, lower) for lower, upper in _PROXIES.items()}
        return {name: value for name, value in given.items() if value}

    def in_info(self) -> dict[str, str]:
        """HttpProxy, HttpsProxy and NoProxy of `docker info`: without the credentials."""
        found = {lower: os.environ.get(upper) or os.environ.get(lower) or "" for lower, upper in _PROXIES.items()}
        return {
            "HttpProxy": without_credentials(found["http_proxy"]),
            "HttpsProxy": without_credentials(found["https_proxy"]),
            "NoProxy": found["no_proxy"],
        }

    def _own_authorities(self) -> str:
        """Those that count without the host's."""
        import ssl  # here: it takes a megabyte, and most engines need it in their workers only

        path = Path(self._own["SSL_CERT_FILE"] or ssl.get_default_verify_paths().openssl_cafile)
        return path.read_text() if path.exists() else ""

    def _apply(self, told: Told) -> None:
        self._told = told
        for lower, upper in _PROXIES.items():
            for name in (lower, upper):
                _set(name, getattr(told, lower) or self._own[name])
        hostcertificates.write(self._folder, told.certificates)
        bundle = self._bundle(told.authorities)
        for name in _AUTHORITIES:
            _set(name, str(bundle) if bundle else self._own[name])

    def _bundle(self, authorities: str) -> Path | None:
        """A file of our own authorities and those of `authorities` that are not among them; None: there is none. Its
        name changes with its content, so that nothing read from another one counts for it."""
        if not authorities:
            return None
        own = self._own_authorities()
        added = _added(authorities, own)
        if not added:
            return None
        text = "\n".join((own.rstrip(), *(f"{_BEGIN}\n{body}\n{_END}" for body in added), ""))
        path = self._folder / f"authorities-{hashlib.sha256(text.encode()).hexdigest()[:16]}.pem"
        if not path.exists():
            publish(path, text.encode())
        for older in self._folder.glob("authorities-*.pem"):
            if older != path:
                older.unlink()
        return path


def _added(authorities: str, own: str) -> list[str]:
    """The texts of the certificates in `authorities` that are not in `own`, each once.

    Nearly all are in both, and written in the same lines: those are found as they stand. A hundred certificates line
    by line take a second in an emulated VM.
    """
    added: dict[str, None] = {}
    for part in authorities.split(_BEGIN)[1:]:
        text, end, _ = part.partition(_END)
        text = text.strip()
        if not end or text in own or not _BASE64.fullmatch(text):
            continue
        body = _body(text)
        if body not in own:
            added[body] = None
    return list(added)


def _body(text: str) -> str:
    """A certificate's text in lines of 64 characters, as all tools write it (RFC 7468, section 2)."""
    text = "".join(text.split())
    return "\n".join(text[start : start + 64] for start in range(0, len(text), 64))


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
