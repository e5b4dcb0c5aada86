"""The three files that docker mounts over the image's own: /etc/hosts, /etc/hostname, /etc/resolv.conf.

They lie in a folder of the container's on the data root and are written anew at each start, not flushed; they are
rewritten in place later (same inode, as the running container has it mounted).
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from vmagent.errors import BadRequest

NAMES = ("hosts", "hostname", "resolv.conf")
FALLBACK_NAMESERVERS = ("8.8.8.8", "8.8.4.4")  # docker's, where the host has only loopback resolvers
_OWN_LINES = (
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::\tip6-localnet",
    "ff00::\tip6-mcastprefix",
    "ff02::1\tip6-allnodes",
    "ff02::2\tip6-allrouters",
)


class HostEntry(NamedTuple):
    """One line of /etc/hosts."""

    address: str
    names: tuple[str, ...]


def hosts_text(own: Iterable[HostEntry], others: Iterable[HostEntry]) -> str:
    """`own`: the container's addresses; `others`: --add-host, links and neighbours."""
    lines = [*_OWN_LINES]
    lines += [f"{entry.address}\t{' '.join(entry.names)}" for entry in (*others, *own)]
    return "\n".join(lines) + "\n"


def extra_hosts(entries: Sequence[str] | None, gateway: str) -> list[HostEntry]:
    """--add-host NAME:ADDRESS, where `host-gateway` stands for `gateway`. Raises BadRequest."""
    result = []
    for text in entries or ():
        name, separator, address = text.partition(":" if "=" not in text else "=")
        address = address.strip("[]")
        if address == "host-gateway" and gateway:
            address = gateway
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise BadRequest(f'invalid IP address in add-host: "{address}"') from None
        if not separator or not name:
            raise BadRequest(f'bad format for add-host: "{text}"')
        result.append(HostEntry(address, (name,)))
    return result


class ResolvSettings(NamedTuple):
    """What the user gave for resolv.conf; empty parts are the host's. `keep_loopback`: see `resolv_text`."""

    servers: Sequence[str]
    search: Sequence[str]
    options: Sequence[str]
    keep_loopback: bool


def write_all(folder: Path, hosts: str, hostname: str, resolv: ResolvSettings) -> None:
    """Write the three files in `folder`, which is made if it is missing. Raises OSError."""
    folder.mkdir(mode=0o711, exist_ok=True)  # containers of earlier versions have none
    write_in_place(folder / "hosts", hosts)
    write_in_place(folder / "hostname", hostname)
    write_resolv(folder, resolv)


def write_resolv(folder: Path, resolv: ResolvSettings) -> None:
    """Write resolv.conf in `folder`, from the host's and the settings. Raises OSError."""
    write_in_place(folder / "resolv.conf", resolv_text(host_resolv(), **resolv._asdict()))


def link_all(other: Path, folder: Path) -> None:
    """Let the three files in `folder` be those of the folder `other`. Raises OSError."""
    folder.mkdir(mode=0o711, exist_ok=True)
    for name in NAMES:
        (folder / name).unlink(missing_ok=True)
        os.link(other / name, folder / name)


def resolv_text(
    host: str, *, servers: Sequence[str], search: Sequence[str], options: Sequence[str], keep_loopback: bool
) -> str:
    """The container's resolv.conf from the `host`'s text, each part replaced by what the user gave.

    A loopback resolver of the host can't be reached from another network namespace: such lines go unless
    `keep_loopback` (network mode host), and docker's public ones stand in where none is left.
    """
    found: dict[str, list[str]] = {"nameserver": [], "search": [], "options": []}
    for line in host.splitlines():
        word, *rest = line.split() or [""]
        if word == "nameserver" and rest:
            found["nameserver"].append(rest[0])
        elif word in ("search", "domain"):
            found["search"] = rest
        elif word == "options":
            found["options"] += rest
    nameservers = [s for s in found["nameserver"] if keep_loopback or not _is_loopback(s)] or list(FALLBACK_NAMESERVERS)
    chosen_search = list(search) if search else found["search"]
    lines = [f"nameserver {server}" for server in (servers or nameservers)]
    if chosen_search and chosen_search != ["."]:
        lines.append(f"search {' '.join(chosen_search)}")
    if chosen := (list(options) if options else found["options"]):
        lines.append(f"options {' '.join(chosen)}")
    return "\n".join(lines) + "\n"


def _is_loopback(server: str) -> bool:
    try:
        return ipaddress.ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return False


def host_resolv() -> str:
    """The host's resolv.conf; where systemd-resolved's stub is all it names, the file with the real servers."""
    text = _read("/etc/resolv.conf")
    servers = [line.split()[1] for line in text.splitlines() if line.startswith("nameserver ")]
    if servers and all(server == "127.0.0.53" for server in servers):
        return _read("/run/systemd/resolve/resolv.conf") or text
    return text


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def write_in_place(path: Path, text: str) -> None:
    """Write `text` keeping the inode: a running container has this very file mounted. Raises OSError.

    Cut off at its end alone: ext4 sends a file that was truncated to nothing to the disk when it is closed.
    """
    data = text.encode()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        at = 0
        while at < len(data):  # a disk takes a part only, and then says that it is full
            at += os.write(fd, data[at:])
        os.ftruncate(fd, len(data))
    finally:
        os.close(fd)
