"""BuildKit's wire as one object: its services on any number of connections, and the clients' sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from vmagent.buildkit import messages as pb
from vmagent.buildkit.contexts import KeptFolders
from vmagent.buildkit.control import VERSION, Cache, Control, Exports
from vmagent.buildkit.filesync import OnDisk
from vmagent.buildkit.gateway import Gateway
from vmagent.buildkit.history import History
from vmagent.buildkit.jobs import Jobs
from vmagent.buildkit.rpc import Services
from vmagent.buildkit.sessions import Sessions
from vmagent.buildkit.solving import Builds, Solver
from vmagent.images.platforms import Platform

Protocols = Callable[[], asyncio.Protocol]
_LABELS = "org.mobyproject.buildkit.worker."


class BuildKit:
    """Made at the first connection that needs it."""

    def __init__(
        self, folder: Path, worker: pb.WorkerRecord, builder: Builds, exports: Exports, cache: Cache, on_disk: OnDisk
    ) -> None:
        """`folder`: of the data root, for what clients have sent and for the history of builds."""
        self._on_disk = on_disk
        self._sessions = Sessions()
        self._kept = KeptFolders(folder / "contexts")
        self._history = History(folder / "history", on_disk)
        jobs = Jobs()
        solver = Solver(builder, self._kept, on_disk)
        control = Control(jobs, self._sessions, solver, exports, cache, self._history, worker)
        gateway = Gateway(jobs, solver, [worker])
        self._services = Services({**control.methods(), **gateway.methods()})

    async def open(self) -> None:
        """Raises OSError."""
        await self._on_disk(self._kept.open)
        await self._on_disk(self._history.open)

    def protocol(self) -> asyncio.Protocol:
        """Of a connection on which the client calls."""
        return self._services.protocol()

    async def session(self, headers: Mapping[str, str], hand_over: Callable[[Protocols], object]) -> None:
        """Serve the request `POST /session` until its connection ends. Raises BadRequest before `hand_over`."""
        session = self._sessions.make(headers)
        hand_over(session.caller.protocol)
        await self._sessions.serve(session)


def worker_record(engine_id: str, hostname: str, host_gateway: str) -> pb.WorkerRecord:
    """The one worker. Its label `snapshotter` lets buildx offer OCI output, cache export and several platforms.

    `host_gateway`: the address that `--add-host NAME:host-gateway` means.
    """
    host = Platform.host()
    return pb.WorkerRecord(
        ID=engine_id,
        Labels={
            f"{_LABELS}executor": "cove",
            f"{_LABELS}hostname": hostname,
            f"{_LABELS}network": "host",
            f"{_LABELS}snapshotter": "overlayfs",
            f"{_LABELS}moby.host-gateway-ip": host_gateway,
        },
        platforms=[pb.Platform(OS=host.os, Architecture=host.architecture, Variant=host.variant)],
        BuildkitVersion=VERSION,
    )
