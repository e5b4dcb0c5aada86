"""`moby.buildkit.v1.frontend.LLBBridge`: the side of the wire where a frontend runs in the client, as buildx's does.

buildx starts a job with `Control.Solve` and no frontend, asks here for the result of `dockerfile.v0`, and returns it;
then the job exports it. Its calls name the job in their metadata (frontend/gateway/forwarder).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grpclib.const import Handler
from grpclib.const import Status as Code
from grpclib.exceptions import GRPCError

from vmagent.builder.result import BuildResult
from vmagent.buildkit import messages as pb
from vmagent.buildkit.jobs import Job, Jobs
from vmagent.buildkit.rpc import Call, call_error, from_status, unary
from vmagent.buildkit.solving import Solver

JOB_KEY = "buildkit-controlapi-buildid"
_SERVICE = "/moby.buildkit.v1.frontend.LLBBridge/"
# frontend/gateway/pb/caps.go; what is missing here, clients do not ask for.
_CAPABILITIES = (
    "solve.base", "return", "returnmap", "importcaches", "proto.refarray", "frontend.inputs", "gateway.solve.metadata",
    "frontend.caps", "gateway.solve.evaluate", "gateway.evaluate",
)  # fmt: skip
# solver/pb/caps.go: the features of Dockerfiles that clients offer only to a builder that has them.
_LLB_CAPABILITIES = (
    "source.image", "source.local", "source.local.unique", "source.local.sessionid", "source.local.includepatterns",
    "source.local.followpaths", "source.local.excludepatterns", "source.local.sharedkeyhint", "exec.meta.base",
    "exec.mount.bind", "exec.mount.cache", "exec.mount.cache.sharing", "exec.mount.selector", "exec.mount.tmpfs",
    "exec.mount.secret", "exec.mount.ssh", "exec.meta.network", "exec.meta.ulimit", "exec.meta.setsdefaultpath",
    "file.base", "constraints", "platform", "meta.ignorecache", "meta.description", "meta.exportcache",
    "exporter.image.attestations",
)  # fmt: skip


class Gateway:
    """The service's methods."""

    def __init__(self, jobs: Jobs, solver: Solver, workers: Sequence[pb.WorkerRecord]) -> None:
        self._jobs, self._solver, self._workers = jobs, solver, workers

    def methods(self) -> Mapping[str, Handler]:
        return {
            f"{_SERVICE}Ping": unary(self._ping, pb.PingRequest, pb.PongResponse),
            f"{_SERVICE}Solve": unary(self._solve, pb.FrontendSolveRequest, pb.FrontendSolveResponse),
            f"{_SERVICE}Evaluate": unary(self._evaluate, pb.EvaluateRequest, pb.EvaluateResponse),
            f"{_SERVICE}Inputs": unary(self._inputs, pb.InputsRequest, pb.InputsResponse),
            f"{_SERVICE}Return": unary(self._return, pb.ReturnRequest, pb.ReturnResponse),
        }

    async def _ping(self, _: pb.PingRequest, call: Call) -> pb.PongResponse:
        await self._job(call)
        return pb.PongResponse(
            FrontendAPICaps=[pb.APICap(ID=name, Enabled=True) for name in _CAPABILITIES],
            LLBCaps=[pb.APICap(ID=name, Enabled=True) for name in _LLB_CAPABILITIES],
            Workers=self._workers,
        )

    async def _solve(self, request: pb.FrontendSolveRequest, call: Call) -> pb.FrontendSolveResponse:
        job = await self._job(call)
        if request.FrontendInputs or request.HasField("Definition"):
            raise GRPCError(Code.UNIMPLEMENTED, "definitions of LLB are not supported: this engine builds Dockerfiles")
        if request.FrontendOpt.get("requestid", ""):
            metadata = await self._solver.answer(job, request.Frontend, request.FrontendOpt)
            return pb.FrontendSolveResponse(result=pb.Result(metadata=metadata))
        built = await self._solver.solve(job, request.Frontend, request.FrontendOpt, request.CacheImports)
        return pb.FrontendSolveResponse(result=pb.Result(ref=pb.Ref(id=job.keep(built))))

    async def _evaluate(self, request: pb.EvaluateRequest, call: Call) -> pb.EvaluateResponse:
        """A result is never lazy here."""
        (await self._job(call)).result(request.Ref)
        return pb.EvaluateResponse()

    async def _inputs(self, _: pb.InputsRequest, call: Call) -> pb.InputsResponse:
        await self._job(call)
        return pb.InputsResponse()

    async def _return(self, request: pb.ReturnRequest, call: Call) -> pb.ReturnResponse:
        job = await self._job(call)
        if job.returned.done():
            raise GRPCError(Code.FAILED_PRECONDITION, "the result was returned before")
        if request.HasField("error"):
            job.returned.set_exception(from_status(request.error))
        else:
            try:
                job.returned.set_result(_named(job, request.result))
            except GRPCError as e:
                job.returned.set_exception(call_error(e))
                raise
        return pb.ReturnResponse()

    async def _job(self, call: Call) -> Job:
        return await self._jobs.get(call.metadata.get(JOB_KEY, ""))


def _named(job: Job, result: pb.Result) -> BuildResult | None:
    """What a returned result names: one of the job's own results, or nothing. Raises GRPCError."""
    names = {result.ref.id, *(ref.id for ref in result.refs.refs.values())} - {""}
    if len(names) > 1:
        raise GRPCError(Code.UNIMPLEMENTED, "a result of several solves is not supported")
    return job.result(names.pop()) if names else None
