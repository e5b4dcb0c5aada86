"""This machine's proxies, added certificate authorities and certificates of registries, for the engine in the VM.

The engine is told before the VM counts as running, so that the first pull has them, and again within seconds of each
change of the system's settings, the settings file, or the folder of certificates. It keeps them while the VM runs.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import h11

from desktop.hostagent import registrycertificates
from desktop.hostagent.settings import certificates_folder, chosen_proxies
from desktop.paths import HostPaths
from desktop.platform.base import Platform, Proxies
from desktop.tunnel.transport import Opener, TunnelError
from desktop.vm.opening import ENGINE

PATH = "/cove/v1/surroundings"
LOOK_S = 5.0  # from a change until the next look; the systems have no event in common for it
TELL_LIMIT_S = 30.0
HOST_NAME = "host.docker.internal"  # this machine's loopback, seen from the VM and its containers
_SUFFIXES = (".crt", ".pem", ".cer")
_BEGIN = "-----BEGIN CERTIFICATE-----"


class Found(NamedTuple):
    """What the engine is told, in its words, and what could not be used."""

    told: dict[str, Any]
    faults: tuple[str, ...]


class Surroundings:
    """A service of the agent. `opener` returns the tunnel of a VM that runs; None without one."""

    def __init__(
        self, platform: Platform, environ: Mapping[str, str], paths: HostPaths, opener: Callable[[], Opener | None]
    ) -> None:
        self._platform, self._environ, self._paths, self._opener = platform, environ, paths, opener
        self._told: tuple[Opener, dict[str, Any]] | None = None
        self._found = Found({}, ())
        self._fault = ""  # why the engine could not be told
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._follow(), name="surroundings")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def to_json(self) -> dict[str, Any]:
        """For the agent's state. Credentials are hidden."""
        told = self._found.told
        return {
            "http_proxy": _masked(told.get("http_proxy", "")),
            "https_proxy": _masked(told.get("https_proxy", "")),
            "no_proxy": told.get("no_proxy", ""),
            "faults": [*self._found.faults, *([self._fault] if self._fault else [])],
        }

    async def tell(self, opener: Opener) -> None:
        """Have the engine behind `opener` know them, unless it does. A failure is tried again; `to_json` has it."""
        async with self._turn:
            self._found = await asyncio.to_thread(find, self._platform, self._environ, self._paths)
            if self._told == (opener, self._found.told):
                return
            try:
                async with asyncio.timeout(TELL_LIMIT_S):
                    await _put(opener, self._found.told)
            except TimeoutError:
                self._fault = f"the engine does not take the proxies within {TELL_LIMIT_S:g} s"
            except (TunnelError, h11.ProtocolError) as e:
                self._fault = f"the engine was not told of the proxies: {e}"
            else:
                self._fault, self._told = "", (opener, self._found.told)

    async def _follow(self) -> None:
        while True:
            if (opener := self._opener()) is not None:
                await self.tell(opener)
            await asyncio.sleep(LOOK_S)


def find(platform: Platform, environ: Mapping[str, str], paths: HostPaths) -> Found:
    """The present values. Blocks."""
    faults: list[str] = []
    proxies, pem = Proxies(), ""
    try:
        chosen = chosen_proxies(paths.config_file)
        proxies = platform.proxies(environ) if chosen is None else chosen
    except (ValueError, OSError) as e:
        faults.append(str(e))
    usable = {
        name: _usable(url, faults) for name, url in (("http_proxy", proxies.http), ("https_proxy", proxies.https))
    }
    try:
        folder = certificates_folder(paths.config_file, paths.certificates)
        pem = _authorities([*platform.authorities(), folder], faults)
    except ValueError as e:
        faults.append(str(e))
    certificates = registrycertificates.read(registrycertificates.folders(platform, environ, paths), faults)
    told: dict[str, Any] = {
        **usable,
        "no_proxy": proxies.no if any(usable.values()) else "",
        "authorities": pem,
        "certificates": certificates,
    }
    return Found(told, tuple(faults))


def _usable(url: str, faults: list[str]) -> str:
    """`url` as the VM can use it: a proxy on this machine's loopback has another name there."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as e:
        faults.append(f"the proxy {_masked(url)} can't be used: {e}")
        return ""
    if parts.scheme not in ("http", "https") or not host:
        faults.append(f"the proxy {_masked(url)} can't be used: its URL must begin with http:// or https://")
        return ""
    if not _is_loopback(host):
        return url
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}{HOST_NAME}" + (f":{port}" if port else "")))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _authorities(folders: Sequence[Path], faults: list[str]) -> str:
    """The certificates in `folders`, one after the other."""
    texts: list[str] = []
    for path in (path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix in _SUFFIXES):
        try:
            text = path.read_text(encoding="ascii", errors="replace")
        except OSError as e:
            faults.append(f"the certificates in {path} can't be read: {e.strerror}")
            continue
        if _BEGIN not in text:
            faults.append(f"{path} holds no certificate in PEM")
            continue
        texts.append(text.rstrip() + "\n")
    return "".join(texts)


def _masked(url: str) -> str:
    """Without user and password."""
    head, at, rest = url.rpartition("@")
    return f"{head.partition('//')[0]}//xxxxx:xxxxx@{rest}" if at else url


async def _put(opener: Opener, told: Mapping[str, Any]) -> None:
    """Raises TunnelError, h11.ProtocolError."""
    http = h11.Connection(h11.CLIENT)
    body = json.dumps(told).encode()
    headers = [("Host", "cove"), ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    stream = await opener.open_stream(ENGINE)
    try:
        head = http.send(h11.Request(method="PUT", target=PATH, headers=[*headers, ("Connection", "close")]))
        await stream.write((head or b"") + (http.send(h11.Data(data=body)) or b""))
        http.send(h11.EndOfMessage())
        while not isinstance(event := http.next_event(), h11.Response):
            if event is h11.NEED_DATA:
                http.receive_data(await stream.read())
        if event.status_code >= 300:
            raise TunnelError(f"it replied {event.status_code}")
    finally:
        stream.close()
