"""Who has a port of this machine, from Linux's /proc (proc(5))."""

from __future__ import annotations

import os
from pathlib import Path

_LISTENING = "0A"  # TCP_LISTEN, as /proc/net/tcp has it
_PROC = Path("/proc")


def port_holder(protocol: str, number: int) -> str | None:
    """“NAME (pid N)” of a process that has bound the `protocol`'s ("tcp", "udp") port `number`; None: the system does
    not say, as with another user's process."""
    sockets = {f"socket:[{inode}]" for inode in _sockets(protocol, number)}
    if not sockets:
        return None
    for process in _PROC.iterdir():
        if not process.name.isdigit():
            continue
        try:
            for descriptor in (process / "fd").iterdir():
                if os.readlink(descriptor) in sockets:
                    return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue  # it has ended, or it is another user's
    return None


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
