"""The three files that docker mounts over the image's own: /etc/hosts, /etc/hostname, /etc/resolv.conf.

They are in a folder of the container's in the data root, and are written at each start without a flush. Later changes
are written in place, because the running container has the inode mounted.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from vmagent.errors import BadRequest

NAMES = ("hosts", "hostname", "resolv.conf")
WRITTEN = "resolv.conf.written"
FALLBACK_NAMESERVERS = ("8.8.8.8", "8.8.4.4")  # docker's, where the host has only loopback resolvers
_RESOLV_BYTES = 65_536  # of a host's resolv.conf; the C library itself reads only its first lines
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
    """The text of /etc/hosts. `own`: the container's addresses; `others`: --add-host, links, other containers."""
    lines = [*_OWN_LINES]
    lines += [f"{entry.address}\t{' '.join(entry.names)}" for entry in (*others, *own)]
    return "\n".join(lines) + "\n"


def extra_hosts(entries: Sequence[str] | None, gateway: str) -> list[HostEntry]:
    """The entries of --add-host NAME:ADDRESS; the address `host-gateway` means `gateway`. Raises BadRequest."""
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
    """The user's settings for resolv.conf; the host's apply for empty ones. `keep_loopback`: see `resolv_text`."""

    servers: Sequence[str]
    search: Sequence[str]
    options: Sequence[str]
    keep_loopback: bool


def write_all(folder: Path, hosts: str, hostname: str, resolv: ResolvSettings) -> None:
    """Write the three files in `folder`, which is made if it is missing. Raises OSError."""
    try:
        write_in_place(folder / "hosts", hosts)
    except FileNotFoundError:  # a container of an earlier version has no such folder
        folder.mkdir(mode=0o711)
        write_in_place(folder / "hosts", hosts)
    write_in_place(folder / "hostname", hostname)
    write_resolv(folder, resolv)


def write_resolv(folder: Path, resolv: ResolvSettings) -> None:
    """Write resolv.conf in `folder`, from the host's and the settings; one that a user has edited stays as it is.

    What was written last is kept beside it, and is empty while the file is being written. Raises OSError.
    """
    file, text = f"{folder}/resolv.conf", resolv_text(host_resolv(), **resolv._asdict())
    written_fd = os.open(f"{folder}/{WRITTEN}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if before := os.read(written_fd, _RESOLV_BYTES).decode(errors="replace"):
            now = _read(file)
            if now == text or now != before:
                return
            os.ftruncate(written_fd, 0)
        write_in_place(file, text)
        _write_at_start(written_fd, text.encode())
    finally:
        os.close(written_fd)


def replace_entry(folder: Path, entry: HostEntry) -> None:
    """In the /etc/hosts of `folder`, replace the line that begins with the first two names of `entry`.

    Those of a link are its alias and the other's host name, which stay; the other's name may have changed. Raises
    OSError.
    """
    path = folder / "hosts"
    lines = path.read_text().splitlines()
    lasting = list(entry.names[:2])
    at = next((at for at, line in enumerate(lines) if line.split()[1:3] == lasting), len(lines))
    lines[at : at + 1] = [f"{entry.address}\t{' '.join(entry.names)}"]
    write_in_place(path, "\n".join(lines) + "\n")


def link_all(other: Path, folder: Path) -> None:
    """Make the three files in `folder` hard links to those in `other`. Raises OSError."""
    folder.mkdir(mode=0o711, exist_ok=True)
    for name in NAMES:
        (folder / name).unlink(missing_ok=True)
        os.link(other / name, folder / name)


def resolv_text(
    host: str, *, servers: Sequence[str], search: Sequence[str], options: Sequence[str], keep_loopback: bool
) -> str:
    """The container's resolv.conf: the text `host` of the host's file, with the user's settings in place of its parts.

    Another network namespace can't reach a loopback resolver of the host. So such lines are removed unless
    `keep_loopback` (network mode host); if no resolver remains, docker's public ones are used.
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
    """The text of the host's resolv.conf. If it names only systemd-resolved's stub: the file with the real servers."""
    text = _read("/etc/resolv.conf")
    servers = [line.split()[1] for line in text.splitlines() if line.startswith("nameserver ")]
    if servers and all(server == "127.0.0.53" for server in servers):
        return _read("/run/systemd/resolve/resolv.conf") or text
    return text


def _read(path: str) -> str:
    """The file's text, "" if it cannot be read. By three system calls: each start of a container reads the file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(fd, _RESOLV_BYTES).decode(errors="replace")
        finally:
            os.close(fd)
    except OSError:
        return ""


def write_in_place(path: Path | str, text: str) -> None:
    """Replace the file's content but not its inode, which a running container has mounted. Raises OSError.

    The file is truncated to the new length after the write: ext4 flushes a file at close if it was truncated to zero.
    """
    data = text.encode()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _write_at_start(fd, data)
        os.ftruncate(fd, len(data))
    finally:
        os.close(fd)


def _write_at_start(fd: int, data: bytes) -> None:
    at = 0
    while at < len(data):  # on a full disk, write(2) first writes a part, then fails with ENOSPC
        at += os.pwrite(fd, data[at:], at)
