"""How the engine reaches registries: which may be asked without TLS, which have mirrors, where their certificates are.

A value of the engine's options; it travels to the workers with each job.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vmagent.images.reference import DEFAULT_DOMAIN

_HUB_HOST = "registry-1.docker.io"
CERTIFICATES = (Path("/etc/docker/certs.d"), Path("/etc/cove/certs.d"))


def is_loopback(name: str) -> bool:
    """Whether a host name or address, without a port, is this machine's own."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server to ask for a repository: a scheme and host without a path."""

    url: str
    is_mirror: bool = False

    @property
    def host(self) -> str:
        """HOST or HOST:PORT."""
        return urlsplit(self.url).netloc


@dataclass(frozen=True, slots=True)
class RegistryHosts:
    """The options. `insecure`: HOST, HOST:PORT or CIDR; `mirrors`: URLs of mirrors of Docker Hub, asked in this order;
    `certificates`: folders with one folder per HOST[:PORT], as docker's /etc/docker/certs.d; later ones add to it."""

    insecure: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    certificates: tuple[Path, ...] = CERTIFICATES

    def to_json(self) -> dict[str, Any]:
        return {
            "insecure": list(self.insecure),
            "mirrors": list(self.mirrors),
            "certificates": [str(folder) for folder in self.certificates],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RegistryHosts:
        return cls(tuple(data["insecure"]), tuple(data["mirrors"]), tuple(map(Path, data["certificates"])))

    def is_insecure(self, host: str) -> bool:
        """Whether plain HTTP and unknown certificates are let pass at HOST[:PORT]: loopback always, and what was listed
        by name or net."""
        name = urlsplit(f"//{host}").hostname or ""
        if host in self.insecure or name in self.insecure or is_loopback(name):
            return True
        with contextlib.suppress(ValueError):
            address = ipaddress.ip_address(name)
            for entry in self.insecure:
                with contextlib.suppress(ValueError):
                    if address in ipaddress.ip_network(entry, strict=False):
                        return True
        return False

    def endpoints(self, domain: str) -> list[Endpoint]:
        """Where to pull what `domain` holds, in order: the mirrors first."""
        mirrors = self.mirrors if domain == DEFAULT_DOMAIN else ()
        return [*(Endpoint(url.rstrip("/"), is_mirror=True) for url in mirrors), self.origin(domain)]

    def certified(self) -> list[dict[str, Any]]:
        """The registries that have a folder of certificates, each with the files in it. Blocks. A folder that cannot be
        read is told by the pull that needs it."""
        found: dict[str, list[str]] = {}
        for folder in self.certificates:
            with contextlib.suppress(OSError):
                for host in sorted(one for one in folder.iterdir() if one.is_dir()):
                    found.setdefault(host.name, []).extend(sorted(str(file) for file in host.iterdir()))
        return [{"host": host, "files": files} for host, files in found.items()]

    def in_info(self) -> dict[str, Any]:
        """RegistryConfig of the Engine API's SystemInfo."""
        nets = [entry for entry in self.insecure if _is_net(entry)]
        mirrors = [f"{url.rstrip('/')}/" for url in self.mirrors]
        hub = {"Name": DEFAULT_DOMAIN, "Mirrors": mirrors, "Secure": True, "Official": True}
        named = {
            entry: {"Name": entry, "Mirrors": [], "Secure": False, "Official": False}
            for entry in self.insecure
            if entry not in nets
        }
        return {
            "AllowNondistributableArtifactsCIDRs": None,
            "AllowNondistributableArtifactsHostnames": None,
            "InsecureRegistryCIDRs": [*nets, "127.0.0.0/8"],
            "IndexConfigs": {DEFAULT_DOMAIN: hub, **named},
            "Mirrors": mirrors,
        }

    @staticmethod
    def origin(domain: str) -> Endpoint:
        """The registry itself."""
        return Endpoint(f"https://{_HUB_HOST if domain == DEFAULT_DOMAIN else domain}")


def _is_net(entry: str) -> bool:
    try:
        ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
    return "/" in entry
