"""What running containers use, read from the kernel: the source of `GET /cove/v1/stats` and of the history.

The engine reads the few files of each cgroup itself, in a disk thread: a request to the supervisor for each container
costs several times that.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from vmagent.containers.jsonobject import JsonObject
from vmagent.containers.live import Live
from vmagent.containers.model import now_ns, rfc3339
from vmagent.engine.background import Background
from vmagent.engine.registry import Registry
from vmagent.engine.stats import total_memory
from vmagent.errors import BadRequest, NotFound
from vmagent.linux.netlink import NetlinkSocket
from vmagent.networks.controller import NetworkController
from vmagent.runtime.cgroups import Cgroup, Usage
from vmagent.runtime.cgroups import tree as cgroup_tree


class NetworkUsage(NamedTuple):
    """The bytes of a container's interface on one network since the container's start."""

    network_id: str
    received_bytes: int
    sent_bytes: int

    def to_json(self) -> JsonObject:
        """`NetworkUsage` of openapi.yaml."""
        return {"network": self.network_id, "received_bytes": self.received_bytes, "sent_bytes": self.sent_bytes}


class Sample(NamedTuple):
    """What a container has used until `at_ns`. Counters begin anew with each start, and so with each `run`."""

    container_id: str
    name: str
    run: int  # number of the start
    at_ns: int  # CLOCK_REALTIME
    cpu_ns: int
    memory_bytes: int  # without the file cache that the kernel can drop
    memory_limit_bytes: int  # of the cgroup, or the machine's memory if that is less
    pids: int  # processes and threads
    read_bytes: int  # from block devices
    written_bytes: int
    received_bytes: int  # by its own interfaces that have an end on the host
    sent_bytes: int
    networks: tuple[NetworkUsage, ...]  # the same by network

    def to_json(self) -> JsonObject:
        """`ContainerUsage` of openapi.yaml."""
        return {
            "id": self.container_id,
            "name": self.name,
            "run": self.run,
            "read": rfc3339(self.at_ns),
            "cpu_ns": self.cpu_ns,
            "memory_bytes": self.memory_bytes,
            "memory_limit_bytes": self.memory_limit_bytes,
            "pids": self.pids,
            "read_bytes": self.read_bytes,
            "written_bytes": self.written_bytes,
            "received_bytes": self.received_bytes,
            "sent_bytes": self.sent_bytes,
            "networks": [network.to_json() for network in self.networks],
        }


class Wanted(NamedTuple):
    """A container to be read: all that a thread needs to know of it."""

    container_id: str
    name: str
    run: int
    cgroup_path: str
    ends: tuple[tuple[int, str], ...]  # the host's ends of its interfaces: index, and the network's id


class UsageReader:
    """Reads samples. Its methods are called on the event loop."""

    def __init__(self, registry: Registry, controller: NetworkController, background: Background) -> None:
        self._registry, self._controller, self._background = registry, controller, background

    def wanted(self, containers: Iterable[Live]) -> list[Wanted]:
        """Those of `containers` that run or are paused."""
        return [
            Wanted(live.id, live.record.name, live.record.state.run, live.record.cgroup_path, self._ends(live.id))
            for live in containers
            if live.record.state.running
        ]

    def _ends(self, container_id: str) -> tuple[tuple[int, str], ...]:
        sandbox = self._controller.sandbox(container_id)
        if sandbox is None:
            return ()
        return tuple((end.host_index, end.network_id) for end in sandbox.endpoints if end.host_index)

    def follow(self, refs: Sequence[str], interval_s: float) -> AsyncIterator[list[Sample]]:
        """Samples of the running ones of the containers `refs` (ID, unique prefix or name), or of all running ones
        without `refs`: now, then every `interval_s` seconds, without end.

        Who comes and goes is followed: a name means the container that has it at that moment. A caller that takes
        longer than the interval gets the next sample when it asks for it; samples are not queued.
        Raises NotFound, BadRequest if one of `refs` names no container now.
        """
        for ref in refs:
            self._registry.find(ref)
        return self._samples((lambda: self._named(refs)) if refs else (lambda: self._registry), interval_s)

    def _named(self, refs: Sequence[str]) -> Iterable[Live]:
        found: dict[str, Live] = {}
        for ref in refs:
            try:
                live = self._registry.find(ref)
            except (NotFound, BadRequest):  # it was removed, or the prefix is not unique any more
                continue
            found[live.id] = live
        return found.values()

    async def _samples(
        self, containers: Callable[[], Iterable[Live]], interval_s: float
    ) -> AsyncIterator[list[Sample]]:
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            yield await self._background.on_disk(_read_all, self.wanted(containers()))
            due = max(due + interval_s, clock())
            await asyncio.sleep(due - clock())


def _read_all(wanted: Sequence[Wanted]) -> list[Sample]:
    return list(read(wanted))


def read(wanted: Sequence[Wanted]) -> Iterator[Sample]:
    """A sample of each of `wanted`, without those that have ended meanwhile. Blocks. Raises OSError.

    One after the other, so that a caller who keeps none needs memory for one.
    """
    if not wanted:
        return
    traffic: dict[int, tuple[int, int]] = {}
    if any(one.ends for one in wanted):
        with NetlinkSocket() as netlink:
            traffic = netlink.traffic()
    tree, memory = cgroup_tree(), total_memory()
    for one in wanted:
        used = used_by(tree.at(one.cgroup_path))
        if used is None:
            continue
        # What the host's end has sent is what the container has received.
        networks = tuple(
            NetworkUsage(network_id, received_bytes=traffic[index][1], sent_bytes=traffic[index][0])
            for index, network_id in one.ends
            if index in traffic
        )
        yield Sample(
            container_id=one.container_id,
            name=one.name,
            run=one.run,
            at_ns=now_ns(),
            cpu_ns=used.cpu_ns,
            memory_bytes=used.memory_bytes,
            memory_limit_bytes=min(used.memory_limit_bytes or memory, memory),
            pids=used.pids,
            read_bytes=used.read_bytes,
            written_bytes=used.written_bytes,
            received_bytes=sum(network.received_bytes for network in networks),
            sent_bytes=sum(network.sent_bytes for network in networks),
            networks=networks,
        )


def used_by(cgroup: Cgroup) -> Usage | None:
    """None: the cgroup is gone. Blocks. Raises OSError."""
    try:
        return cgroup.usage()
    except (FileNotFoundError, ProcessLookupError):
        return None
    except OSError as e:
        if e.errno != errno.ENODEV:  # removed between open and read
            raise
        return None
