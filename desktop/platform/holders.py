"""Who has a port or a file of this machine, from Linux's /proc (proc(5))."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_LISTENING = "0A"  # TCP_LISTEN, as /proc/net/tcp has it
_PROC = Path("/proc")


def port_holder(protocol: str, number: int) -> str | None:
    """“NAME (pid N)” of a process that has bound the `protocol`'s ("tcp", "udp") port `number`; None: the system does
    not say, as with another user's process."""
    sockets = {f"socket:[{inode}]" for inode in _sockets(protocol, number)}
    if not sockets:
        return None
    for process in _processes_with(sockets):
        try:
            return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue  # it has ended
    return None


def file_user(path: Path) -> int | None:
    """Another process that has the file `path` open; None: the system does not say."""
    users = (int(process.name) for process in _processes_with({str(path.resolve())}))
    return next((pid for pid in users if pid != os.getpid()), None)


def _processes_with(wanted: set[str]) -> Iterator[Path]:
    """The folders of the processes that have one of these open, by the targets of their descriptors' links."""
    for process in _PROC.iterdir():
        if not process.name.isdigit():
            continue
        try:
            has_one = any(os.readlink(descriptor) in wanted for descriptor in (process / "fd").iterdir())
        except OSError:
            continue  # it has ended, or it is another user's
        if has_one:
            yield process


def _sockets(protocol: str, number: int) -> set[str]:
    """The inodes of the sockets."""
    found = set()
    for family in ("", "6"):
        try:
            lines = (_PROC / f"net/{protocol}{family}").read_text().splitlines()[1:]
        except FileNotFoundError:
            continue  # a kernel without IPv6
        for line in lines:
            words = line.split()
            if int(words[1].rpartition(":")[2], 16) == number and (protocol == "udp" or words[3] == _LISTENING):
                found.add(words[9])
    return found - {"0"}
