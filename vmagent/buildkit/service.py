"""BuildKit's wire as one object: its services on any number of connections, and the clients' sessions."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from grpclib.exceptions import GRPCError

from vmagent.buildkit import messages as pb
from vmagent.buildkit.builds import BuildBook
from vmagent.buildkit.caches import SessionCaches
from vmagent.buildkit.contexts import KeptFolders
from vmagent.buildkit.control import VERSION, Cache, Control, Exports
from vmagent.buildkit.filesync import OnDisk
from vmagent.buildkit.frontend import DOCKERFILE
from vmagent.buildkit.gateway import Gateway
from vmagent.buildkit.history import History
from vmagent.buildkit.jobs import Jobs
from vmagent.buildkit.recording import Recording
from vmagent.buildkit.rpc import Services, client_error
from vmagent.buildkit.sessions import Sessions
from vmagent.buildkit.solving import Builds, Solver
from vmagent.images.platforms import Platform

Protocols = Callable[[], asyncio.Protocol]
_TRACE, _IMAGE = "moby.buildkit.trace", "moby.image.id"  # what the CLI knows the lines by
_LABELS = "org.mobyproject.buildkit.worker."


class BuildKit:
    """Made at the first connection that needs it."""

    def __init__(
        self,
        history: Path,
        kept: KeptFolders,
        worker: pb.WorkerRecord,
        builder: Builds,
        exports: Exports,
        cache: Cache,
        caches: SessionCaches,
        on_disk: OnDisk,
    ) -> None:
        """`history`: the folder of the history of builds."""
        self._on_disk = on_disk
        self._sessions = Sessions()
        self._history = History(history, on_disk)
        self.builds = BuildBook(self._history)
        self._jobs = jobs = Jobs()
        solver = Solver(builder, caches, kept, on_disk)
        self._control = control = Control(jobs, self._sessions, solver, exports, cache, self._history, worker)
        gateway = Gateway(jobs, solver, [worker])
        self._services = Services({**control.methods(), **gateway.methods()})

    async def open(self) -> None:
        """Raises OSError."""
        await self._on_disk(self._history.open)

    async def close(self) -> None:
        """Wait until the history is on the disk. No build may be running."""
        await self._history.settle()

    def protocol(self) -> asyncio.Protocol:
        """Of a connection on which the client calls."""
        return self._services.protocol()

    async def session(self, headers: Mapping[str, str], hand_over: Callable[[Protocols], object]) -> None:
        """Serve the request `POST /session` until its connection ends. Raises BadRequest before `hand_over`."""
        session = self._sessions.make(headers)
        hand_over(session.caller.protocol)
        await self._sessions.serve(session)

    async def build(
        self, reference: str, session: str, options: Mapping[str, str], exporter: Mapping[str, str]
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The lines of `POST /build?version=2`, by which docker's CLI 18.09 to 22 builds without buildx.

        `reference`: of the build, for its cancellation. `options`: of the Dockerfile frontend. `exporter`: attributes
        of the exporter `moby`. Raises EngineError.
        """
        request = pb.SolveRequest(
            Ref=reference,
            Session=session,
            Frontend=DOCKERFILE,
            FrontendAttrs=options,
            Exporters=[pb.Exporter(Type="moby", Attrs=exporter)],
        )
        solving = asyncio.create_task(self._control.solve(request), name="build")
        try:
            finding = asyncio.create_task(self._jobs.arrival(reference), name="find the build")
            try:
                await asyncio.wait([solving, finding], return_when=asyncio.FIRST_COMPLETED)
            finally:
                finding.cancel()
            if (status := self._jobs.known_status(reference)) is not None:
                async for report in status.follow():
                    yield {"id": _TRACE, "aux": base64.b64encode(report.SerializeToString()).decode()}
            try:
                reply = await solving
            except GRPCError as e:
                raise client_error(e) from e
            yield {"id": _IMAGE, "aux": {"ID": reply.ExporterResponse["containerimage.config.digest"]}}
        finally:
            solving.cancel()
            await asyncio.gather(solving, return_exceptions=True)

    def record(self, options: Mapping[str, str], names: Sequence[str], dockerfile: bytes) -> Recording:
        """A build of the classic wire in the history."""
        return Recording(self._history, options, names, dockerfile)

    def cancel(self, reference: str) -> None:
        """End a build that `build` runs; nothing happens if it has ended."""
        if (job := self._jobs.find(reference)) is not None:
            job.cancel()


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
