"""Builds that run now. A job is made by `Control.Solve`; the client's other calls name it by its reference."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from grpclib.const import Status as Code
from grpclib.exceptions import GRPCError

from vmagent.builder.result import BuildResult, Fetched
from vmagent.buildkit import messages as pb
from vmagent.buildkit.builds import CANCELED
from vmagent.buildkit.sessions import Session
from vmagent.buildkit.status import StatusLog

T = TypeVar("T")
ARRIVAL_LIMIT_S = 3.0  # how long calls that name a job wait for it: the client makes them at the same time as `Solve`
# How long an ended job's reports stay in memory: `Control.Status` may come after the job has ended, when its record is
# not on the disk yet, or is not saved at all, because the disk is full.
REPORTS_KEPT_S = 10.0


class Job:
    """One `Control.Solve`."""

    def __init__(self, request: pb.SolveRequest, session: Session) -> None:
        self.ref = request.Ref
        self.request = request
        self.session = session
        self.started_ns = time.time_ns()
        self.status = StatusLog()
        self.frontend, self.options = "", dict[str, str]()  # of the last solve; for the history
        self.contexts: Mapping[str, Fetched] = {}  # of the last solve: what the engine has fetched of them
        # What the client's frontend, which runs in the client and calls LLBBridge, returns.
        self.returned: asyncio.Future[BuildResult | None] = asyncio.get_running_loop().create_future()
        self._results: dict[str, BuildResult] = {}
        self._is_closed = False
        self._task = asyncio.current_task()
        self._works: set[asyncio.Task[Any]] = set()

    def keep(self, result: BuildResult) -> str:
        """An id by which the client can name `result` until the job ends. Raises GRPCError if it has ended."""
        if self._is_closed:
            result.release()
            raise GRPCError(Code.CANCELLED, f"the job {self.ref} has ended")
        result_id = secrets.token_hex(12)
        self._results[result_id] = result
        return result_id

    def result(self, result_id: str) -> BuildResult:
        """Raises GRPCError."""
        try:
            return self._results[result_id]
        except KeyError:
            raise GRPCError(Code.NOT_FOUND, f"no such ref: {result_id}") from None

    def cancel(self) -> None:
        """Cancel the task that made the job."""
        if self._task is not None:
            self._task.cancel()

    async def work(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """A part of the job, which `stop` ends: the client is told then. Raises GRPCError."""
        task = asyncio.create_task(coroutine, name="build")
        self._works.add(task)
        try:
            return await task  # which is cancelled with this one
        except asyncio.CancelledError as e:
            if (current := asyncio.current_task()) is not None and current.cancelling():
                raise  # the client has gone
            raise GRPCError(Code.CANCELLED, CANCELED) from e
        finally:
            self._works.discard(task)

    def stop(self) -> None:
        """End all its parts."""
        for task in self._works:
            task.cancel()

    def close(self) -> None:
        """Release what the job holds; its followers end."""
        self._is_closed = True
        for result in self._results.values():
            result.release()
        self._results.clear()
        self.status.complete()
        if not self.returned.done():
            self.returned.cancel()
        elif not self.returned.cancelled():
            self.returned.exception()  # retrieved: nobody else may have waited for it


class Jobs:
    """The jobs by reference."""

    def __init__(self) -> None:
        self._running: dict[str, Job] = {}
        self._ended: dict[str, StatusLog] = {}  # of those that have lately ended
        self._news = asyncio.Condition()

    async def add(self, job: Job) -> None:
        """Raises GRPCError for a reference that is in use."""
        if job.ref in self._running:
            raise GRPCError(Code.ALREADY_EXISTS, f"job ID {job.ref} exists")
        self._running[job.ref] = job
        self._ended.pop(job.ref, None)
        async with self._news:
            self._news.notify_all()

    def remove(self, job: Job) -> None:
        del self._running[job.ref]
        self._ended[job.ref] = job.status
        asyncio.get_running_loop().call_later(REPORTS_KEPT_S, self._forget, job)

    def find(self, ref: str) -> Job | None:
        return self._running.get(ref)

    def known_status(self, ref: str) -> StatusLog | None:
        """The reports of a job that runs or has lately ended."""
        job = self._running.get(ref)
        return self._ended.get(ref) if job is None else job.status

    async def status(self, ref: str) -> StatusLog:
        """As `known_status`, but the job may be about to arrive. Raises GRPCError if it does not."""
        try:
            async with asyncio.timeout(ARRIVAL_LIMIT_S), self._news:
                await self._news.wait_for(lambda: self.known_status(ref) is not None)
        except TimeoutError:
            raise _no_such_job(ref) from None
        status = self.known_status(ref)
        assert status is not None
        return status

    async def arrival(self, ref: str) -> Job:
        """The job, however long it takes to arrive."""
        async with self._news:
            await self._news.wait_for(lambda: ref in self._running)
        return self._running[ref]

    async def get(self, ref: str) -> Job:
        """The job, which may be about to arrive. Raises GRPCError if it does not."""
        try:
            async with asyncio.timeout(ARRIVAL_LIMIT_S):
                return await self.arrival(ref)
        except TimeoutError:
            raise _no_such_job(ref) from None

    def _forget(self, job: Job) -> None:
        if self._ended.get(job.ref) is job.status:
            del self._ended[job.ref]


def _no_such_job(ref: str) -> GRPCError:
    return GRPCError(Code.NOT_FOUND, f"no such job {ref}")
