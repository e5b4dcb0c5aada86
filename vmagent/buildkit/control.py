"""`moby.buildkit.v1.Control`: what clients call to build, to follow builds and to look after the cache."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from grpclib.const import Handler
from grpclib.const import Status as Code
from grpclib.exceptions import GRPCError

from vmagent.builder.result import BuildResult
from vmagent.buildkit import messages as pb
from vmagent.buildkit.builds import CANCELED
from vmagent.buildkit.caches import check_exports
from vmagent.buildkit.history import History
from vmagent.buildkit.jobs import Job, Jobs
from vmagent.buildkit.protobuf import timestamp
from vmagent.buildkit.recording import fill
from vmagent.buildkit.rpc import Call, bidirectional, call_error, error_status, streaming, unary
from vmagent.buildkit.sessions import Sessions
from vmagent.buildkit.solving import Solver
from vmagent.buildkit.streamtransport import StreamTransport

_SERVICE = "/moby.buildkit.v1.Control/"
_HEALTH = "/grpc.health.v1.Health/Check"
_SERVING = 1  # grpc.health.v1.HealthCheckResponse.SERVING
# The version of BuildKit whose API this is. Clients compare it with the versions that brought features.
VERSION = pb.BuildkitVersion(package="github.com/moby/buildkit", version="v0.13.2", revision="cove")


class Exports(Protocol):
    """Takes what was built where the client wants it."""

    async def export(self, job: Job, result: BuildResult) -> Mapping[str, str]:
        """By the exporters of the job's request; what the client is told of them. Raises EngineError."""


class Cache(Protocol):
    """The builder's cache."""

    async def usage(self, filters: list[str]) -> list[pb.UsageRecord]:
        """Raises EngineError."""

    async def prune(self, request: pb.PruneRequest) -> list[pb.UsageRecord]:
        """What was removed. Raises EngineError."""


@dataclass(frozen=True, slots=True)
class Control:
    """The service's methods."""

    jobs: Jobs
    sessions: Sessions
    solver: Solver
    exports: Exports
    cache: Cache
    history: History
    worker: pb.WorkerRecord

    def methods(self) -> Mapping[str, Handler]:
        return {
            _HEALTH: unary(self._health, pb.HealthCheckRequest, pb.HealthCheckResponse),
            f"{_SERVICE}Info": unary(self._info, pb.InfoRequest, pb.InfoResponse),
            f"{_SERVICE}ListWorkers": unary(self._list_workers, pb.ListWorkersRequest, pb.ListWorkersResponse),
            f"{_SERVICE}DiskUsage": unary(self._disk_usage, pb.DiskUsageRequest, pb.DiskUsageResponse),
            f"{_SERVICE}Prune": streaming(self._prune, pb.PruneRequest, pb.UsageRecord),
            f"{_SERVICE}Solve": unary(self._solve, pb.SolveRequest, pb.SolveResponse),
            f"{_SERVICE}Session": bidirectional(self._session, pb.BytesMessage),
            f"{_SERVICE}Status": streaming(self._status, pb.StatusRequest, pb.StatusResponse),
            f"{_SERVICE}ListenBuildHistory": streaming(
                self._listen_build_history, pb.BuildHistoryRequest, pb.BuildHistoryEvent
            ),
            f"{_SERVICE}UpdateBuildHistory": unary(
                self._update_build_history, pb.UpdateBuildHistoryRequest, pb.UpdateBuildHistoryResponse
            ),
        }

    async def _health(self, _: pb.HealthCheckRequest, call: Call) -> pb.HealthCheckResponse:
        return pb.HealthCheckResponse(status=_SERVING)

    async def _info(self, _: pb.InfoRequest, call: Call) -> pb.InfoResponse:
        return pb.InfoResponse(buildkitVersion=VERSION)

    async def _list_workers(self, _: pb.ListWorkersRequest, call: Call) -> pb.ListWorkersResponse:
        return pb.ListWorkersResponse(record=[self.worker])

    async def _disk_usage(self, request: pb.DiskUsageRequest, call: Call) -> pb.DiskUsageResponse:
        return pb.DiskUsageResponse(record=await self.cache.usage(list(request.filter)))

    async def _prune(self, request: pb.PruneRequest, call: Call) -> AsyncIterator[pb.UsageRecord]:
        for record in await self.cache.prune(request):
            yield record

    async def _solve(self, request: pb.SolveRequest, call: Call) -> pb.SolveResponse:
        return await self.solve(request)

    async def solve(self, request: pb.SolveRequest) -> pb.SolveResponse:
        """Build and export. Raises GRPCError, EngineError."""
        if request.HasField("Definition") and not request.Frontend and request.Definition.operations:
            raise GRPCError(Code.UNIMPLEMENTED, "definitions of LLB are not supported: this engine builds Dockerfiles")
        check_exports(request.Cache.Exports)
        session = await self.sessions.get(request.Session)
        job = Job(request, session)
        await self.jobs.add(job)
        record = pb.BuildHistoryRecord(
            Ref=job.ref,
            Frontend=request.Frontend,
            FrontendAttrs=request.FrontendAttrs,
            Exporters=request.Exporters,
            CreatedAt=timestamp(time.time_ns()),
        )
        if not request.Internal:
            self.history.started(record, job.status, job.stop)
        try:
            answer = pb.SolveResponse(ExporterResponse=await job.work(self._build(job)))
            record.ExporterResponse.update(answer.ExporterResponse)
            return answer
        except Exception as e:
            error = call_error(e)
            record.error.CopyFrom(error_status(error))
            raise error from e
        except asyncio.CancelledError:  # the client has gone
            record.error.CopyFrom(pb.Status(code=Code.CANCELLED.value, message=CANCELED))
            raise
        finally:
            job.close()
            try:
                if not request.Internal:
                    self._keep(job, record)
            finally:
                self.jobs.remove(job)

    async def _build(self, job: Job) -> Mapping[str, str]:
        result: BuildResult | None
        if job.request.Frontend:
            result = await self.solver.solve(job, job.request.Frontend, job.request.FrontendAttrs)
            job.keep(result)
        else:
            result = await job.returned
        return {} if result is None else await self.exports.export(job, result)

    def _keep(self, job: Job, record: pb.BuildHistoryRecord) -> None:
        record.Frontend = record.Frontend or job.frontend
        record.FrontendAttrs.update(job.options)
        fill(record, job.status)
        self.history.ended(record, job.status.whole())

    async def _session(self, stream: Any, call: Call) -> None:
        """A session inside a call, by clients that reach the engine by gRPC only."""
        session = self.sessions.make(call.metadata)
        serving = asyncio.create_task(self.sessions.serve(session), name="session")
        try:
            await StreamTransport(stream, session.caller.protocol()).run()
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    async def _status(self, request: pb.StatusRequest, call: Call) -> AsyncIterator[pb.StatusResponse]:
        status = self.jobs.known_status(request.Ref)
        if status is None:
            ended = await self.history.reports(request.Ref)
            if ended is not None:
                yield ended
                return
            status = await self.jobs.status(request.Ref)
        async for report in status.follow():
            yield report

    async def _listen_build_history(
        self, request: pb.BuildHistoryRequest, call: Call
    ) -> AsyncIterator[pb.BuildHistoryEvent]:
        async for event in self.history.listen(request):
            yield event

    async def _update_build_history(
        self, request: pb.UpdateBuildHistoryRequest, call: Call
    ) -> pb.UpdateBuildHistoryResponse:
        if not request.Finalize:  # records are complete when they are kept
            await self.history.update(request.Ref, pinned=request.Pinned, delete=request.Delete)
        return pb.UpdateBuildHistoryResponse()
