"""The certificates that this machine's user keeps for registries, as docker and Docker Desktop look for them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from desktop.paths import HostPaths
from desktop.platform.base import Platform

_SUFFIXES = (".crt", ".cert", ".key")
MOST_BYTES = 256 * 1024  # of one file


def folders(platform: Platform, environ: Mapping[str, str], paths: HostPaths) -> list[Path]:
    """Where they are, later ones before earlier ones: docker's, Docker Desktop's, ours."""
    found = [Path("/etc/docker/certs.d")] if platform.name == "linux" else []
    if home := environ.get("USERPROFILE" if sys.platform == "win32" else "HOME"):
        found.append(Path(home) / ".docker" / "certs.d")
    return [*found, paths.home / "certs.d"]


def read(places: Sequence[Path], faults: list[str]) -> list[dict[str, str]]:
    """Files with host (HOST[:PORT]), name and text. What can't be read is told in `faults`. Blocks."""
    found: dict[str, dict[str, str]] = {}
    for place in places:
        try:
            hosts = sorted(one for one in place.iterdir() if one.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as e:
            faults.append(f"the certificates in {place} can't be read: {e.strerror}")
            continue
        for host in hosts:
            _read_host(host, found.setdefault(host.name, {}), faults)
    return [
        {"host": host, "name": name, "text": text}
        for host, files in sorted(found.items())
        for name, text in sorted(files.items())
    ]


def _read_host(folder: Path, found: dict[str, str], faults: list[str]) -> None:
    try:
        for path in sorted(folder.iterdir()):
            if path.suffix in _SUFFIXES and path.is_file():
                if path.stat().st_size > MOST_BYTES:
                    faults.append(f"{path} is too large for a certificate")
                else:
                    found[path.name] = path.read_text(encoding="ascii", errors="replace")
    except OSError as e:
        faults.append(f"the certificates in {folder} can't be read: {e.strerror}")
