"""What /proc tells of a container's processes: namespaces, capabilities, what they are, where they listen. Blocks."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from vmagent.engine.xray.document import Listener, Namespace, Process

KINDS = ("mnt", "pid", "net", "ipc", "uts", "user", "cgroup", "time")
MAX_PROCESSES = 1000
_STATES = {
    "R": "running",
    "S": "sleeping",
    "D": "waiting for a device",
    "Z": "ended, not reaped",
    "T": "stopped",
    "t": "traced",
    "I": "idle",
    "X": "ended",
}
_TICK_MS = 1000 // os.sysconf("SC_CLK_TCK")
_LISTENING = {"tcp": "0A", "udp": "07"}  # TCP_LISTEN; TCP_CLOSE, the state of a datagram socket that is not connected
_SOCKET = re.compile(r"socket:\[(\d+)\]")
_GONE = (FileNotFoundError, ProcessLookupError)


@dataclass(frozen=True, slots=True)
class Privileges:
    """Of the first process: proc_pid_status(5)."""

    effective: int
    bounding: int
    no_new_privileges: bool


def namespaces(pid: int, others: Mapping[str, int]) -> list[Namespace]:
    """Those of process `pid`; `others`: the first processes of other containers by their names. Raises OSError."""
    found = []
    for kind in KINDS:
        number = _namespace(pid, kind)
        if number is None:  # a kernel without it
            continue
        is_host = _namespace(os.getpid(), kind) == number
        sharing = () if is_host else (name for name, other in others.items() if _namespace(other, kind) == number)
        found.append(Namespace(kind, number, is_host, sorted(sharing)))
    return found


def _namespace(pid: int, kind: str) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/ns/{kind}").st_ino
    except _GONE:
        return None


def privileges(pid: int) -> Privileges | None:
    """None: the process has ended."""
    try:
        status = _status(f"/proc/{pid}/status")
    except _GONE:
        return None
    return Privileges(int(status["CapEff"], 16), int(status["CapBnd"], 16), status.get("NoNewPrivs") == "1")


def processes(pids: Sequence[int]) -> list[Process]:
    """Those of `pids` that are there, at most MAX_PROCESSES, by their pid."""
    found = []
    for pid in sorted(pids)[:MAX_PROCESSES]:
        with suppress(*_GONE):
            found.append(_process(pid))
    return found


def _process(pid: int) -> Process:
    status = _status(f"/proc/{pid}/status")
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return Process(
        pid=pid,
        inner_pid=int(status.get("NSpid", str(pid)).split()[-1]),
        parent=int(status["PPid"]),
        uid=int(status["Uid"].split()[0]),
        state=_STATES.get(fields[0], fields[0]),
        threads=int(status["Threads"]),
        memory_bytes=int(status.get("VmRSS", "0 kB").split()[0]) * 1024,
        cpu_ms=(int(fields[11]) + int(fields[12])) * _TICK_MS,
        command=_command(pid) or f"[{status['Name']}]",
    )


def _command(pid: int) -> str:
    return _read(f"/proc/{pid}/cmdline").rstrip("\0").replace("\0", " ")


def listeners(
    pid: int, pids: Iterable[int], wanted: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], list[Listener]]:
    """Who listens on the ports `wanted` (protocol, port) in the network namespace of process `pid`, among `pids`."""
    addresses: dict[int, tuple[tuple[str, int], str]] = {}  # by the socket's inode number
    ports = set(wanted)
    for protocol, state in _LISTENING.items():
        for family in ("", "6"):
            with suppress(*_GONE):
                for line in _read(f"/proc/{pid}/net/{protocol}{family}").splitlines()[1:]:
                    fields = line.split()
                    address, port = _address(fields[1])
                    if fields[3] == state and (protocol, port) in ports:
                        addresses[int(fields[9])] = ((protocol, port), address)
    found: dict[tuple[str, int], list[Listener]] = {}
    if not addresses:
        return found
    for each in sorted(pids):
        with suppress(*_GONE):
            for inode in _sockets(each) & addresses.keys():
                key, address = addresses[inode]
                found.setdefault(key, []).append(Listener(each, address, _command(each)))
    return found


def _sockets(pid: int) -> set[int]:
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(*_GONE):
            if match := _SOCKET.fullmatch(os.readlink(f"/proc/{pid}/fd/{name}")):
                found.add(int(match[1]))
    return found


def _address(text: str) -> tuple[str, int]:
    """From "0100007F:0016", the words of 32 bits in the machine's order: proc_pid_net(5)."""
    packed, _, port = text.partition(":")
    words = [int(packed[at : at + 8], 16) for at in range(0, len(packed), 8)]
    raw = struct.pack(f"={len(words)}I", *words)
    address = IPv4Address(raw) if len(raw) == 4 else IPv6Address(raw)
    return str(address), int(port, 16)


def _status(path: str) -> dict[str, str]:
    return {key: value.strip() for key, _, value in (line.partition(":") for line in _read(path).splitlines()) if value}


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
