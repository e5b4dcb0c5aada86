"""In a VM: what containers with the VM's own network listen on is reported to the host, which listens there too.

No event tells of a new listener, so while such a container runs the listeners are looked up again and again. The host's
agent has the other part (`desktop/hostagent/forwarder.py`); the message on its socket is

    {"listeners": [{"protocol", "address", "port"}]} -> {"refused": [{"index", "error"}]}

with all of them, in place of those before.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from vmagent.engine.background import Background
from vmagent.engine.events import EventBus, EventsLost
from vmagent.engine.registry import Registry
from vmagent.linux import sockdiag
from vmagent.linux.netlink import NetlinkSocket
from vmagent.networks.forwards import REPLY_LIMIT_S, exchange, has_ended
from vmagent.runtime.cgroups import tree as cgroup_tree

SHORT_PAUSE_S, LONG_PAUSE_S = 0.25, 1.0
SHORT_PAUSES = 20  # after each change: a program often opens several ports one after the other
_CHANGES = {"type": ("container",), "event": ("start", "die")}
_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")

log = structlog.get_logger(__name__)
Key = tuple[str, str, int]  # protocol, address, port


class HostListeners:
    """Runs as a task of the engine until its tasks end."""

    def __init__(self, registry: Registry, bus: EventBus, background: Background, path: Path) -> None:
        """`path`: the socket of the host's agent."""
        self._registry, self._bus, self._background, self._path = registry, bus, background, path
        self._reported: frozenset[Key] | None = None  # None: the host does not know of this engine's
        self._refused: frozenset[Key] = frozenset()
        self._connection: socket.socket | None = None
        self._netlink: NetlinkSocket | None = None

    def open(self) -> None:
        self._background.spawn(self._watch(), "listeners of host networks")

    async def _watch(self) -> None:
        quick = 0
        try:
            while True:
                changes = self._bus.subscribe(filters=_CHANGES)
                pids = self._pids()
                try:
                    has_changed = await self._background.on_disk(self._look, pids)
                except OSError as e:
                    log.debug("listeners.host_away", error=str(e))
                    self._disconnect()
                    await asyncio.sleep(LONG_PAUSE_S)
                    continue
                if not pids:
                    with contextlib.suppress(EventsLost):
                        await anext(changes)
                    quick = SHORT_PAUSES
                    continue
                quick = SHORT_PAUSES if has_changed else max(0, quick - 1)
                await asyncio.sleep(SHORT_PAUSE_S if quick else LONG_PAUSE_S)
        finally:
            self._disconnect()
            if self._netlink is not None:
                self._netlink.close()

    def _pids(self) -> Mapping[str, int]:
        """The first process of each running container that is in the VM's own network, by the container's id."""
        return {
            live.record.id: live.record.state.pid
            for live in self._registry
            if live.record.state.running
            and live.record.state.pid
            and self._registry.network_owner(live).record.network_mode == "host"
        }

    def _look(self, pids: Mapping[str, int]) -> bool:
        """Report the present listeners unless the host knows them; whether that was done. Raises OSError."""
        found = self._listeners(pids) if pids else frozenset()
        if self._connection is not None and has_ended(self._connection, 0):
            self._disconnect()  # the next host does not know of them
        if found == self._reported:
            return False
        if self._connection is None:
            self._connection = made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            made.settimeout(REPLY_LIMIT_S)
            made.connect(str(self._path))
        entries = sorted(found)
        message = [{"protocol": protocol, "address": address, "port": port} for protocol, address, port in entries]
        try:
            reply = exchange(self._connection, {"listeners": message})
        except ValueError as e:
            raise OSError(f"the host's reply: {e}") from e
        self._reported = found
        self._log_refused({entries[int(one["index"])]: str(one["error"]) for one in reply["refused"]})
        return True

    def _listeners(self, pids: Mapping[str, int]) -> frozenset[Key]:
        """Raises OSError."""
        if self._netlink is None:
            self._netlink = sockdiag.open_socket()
        cgroups = {one for container_id, pid in pids.items() for one in _cgroups_of(container_id, pid)}
        lowest = _first_ephemeral_port()
        return frozenset(
            (one.protocol, str(one.address), one.port)
            for one in sockdiag.listening(self._netlink)
            # A client's UDP socket looks as one that waits for datagrams; but its port is one that the kernel chose.
            if one.cgroup in cgroups and (one.protocol == "tcp" or one.port < lowest)
        )

    def _log_refused(self, refused: Mapping[Key, Any]) -> None:
        for key, error in refused.items():
            if key not in self._refused:
                protocol, address, port = key
                log.info("listener.not_on_host", protocol=protocol, address=address, port=port, error=error)
        self._refused = frozenset(refused)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._reported = None
        if connection is not None:
            connection.close()


def _cgroups_of(container_id: str, pid: int) -> list[int]:
    """The ids of the container's cgroup and of those below it; none if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return []
    path = next((line[3:] for line in lines if line.startswith("0::/")), "")
    head, found, _ = path.partition(container_id)
    if not found:
        return []
    top = f"{cgroup_tree().mount_points[-1]}{head}{container_id}"  # the v2 tree, which a socket's cgroup is of
    ids = []
    for folder, _, _ in os.walk(top):
        with contextlib.suppress(FileNotFoundError):  # it has ended since, which says nothing about the host
            ids.append(os.stat(folder).st_ino)
    return ids


def _first_ephemeral_port() -> int:
    return int(_PORT_RANGE.read_text().split()[0])
