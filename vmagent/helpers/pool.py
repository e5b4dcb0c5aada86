"""The engine's side of helper processes (`vmagent.helpers.process`): workers for jobs that would block its event loop.

A worker does one job at a time. If a job is cancelled, its worker is killed; the caller must be able to clean up what
the job has left unfinished.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from vmagent.errors import EngineError
from vmagent.linux import packets
from vmagent.linux.packets import PeerLost

Message = dict[str, Any]
Failure = Callable[[str, str], EngineError]  # from a failure's message and kind
IDLE_S = 10.0  # a warm worker adds 25 MB to an idle engine; a new one is there in 0.1 s
_END_LIMIT_S = 5.0


class Worker:
    """One worker process."""

    def __init__(self, module: str, failure: Failure, *, nice: int = 0) -> None:
        """Start the process, without waiting until it is ready. Raises OSError.

        `module`: name of the module with its operations; `failure`: makes the exception for a failed job.
        """
        self.failure = failure
        self._environment = dict(os.environ)  # the process keeps that of its start
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "vmagent.helpers.process"),
                    *(str(theirs.fileno()), str(nice), str(os.getpid()), module),
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        ours.setblocking(False)
        self._sock = ours

    @property
    def is_usable(self) -> bool:
        return self._sock.fileno() >= 0

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    @property
    def is_current(self) -> bool:
        """Whether its environment is still the engine's."""
        return self._environment == os.environ

    async def run(
        self, job: Message, fds: Sequence[int] = (), on_event: Callable[[Message], None] | None = None
    ) -> Message:
        """Do `job` and return its result. `on_event` is called with each progress message. The caller keeps `fds`.

        Raises the EngineError for the worker's failure. If the call is cancelled, the worker is killed.
        """
        try:
            try:
                packets.send(self._sock, job, fds)
                while True:
                    message = await self._receive()
                    if "done" in message:
                        result: Message = message["done"]
                        return result
                    if "failed" in message:
                        raise self.failure(message["failed"], message["kind"])
                    if on_event is not None:
                        on_event(message)
            except PeerLost:
                pass  # the error is raised below, with the process's exit status
        except EngineError:
            raise
        except BaseException:
            await self.kill()
            raise
        await self.close()
        raise EngineError(f"the helper process ended unexpectedly ({self._process.returncode}) in {job['op']}")

    async def _receive(self) -> Message:
        """The worker's next message; it sends no descriptors. Raises PeerLost."""
        while True:
            try:
                message, fds = packets.receive(self._sock)
            except BlockingIOError:
                await _readable(self._sock)
                continue
            for fd in fds:
                os.close(fd)
            return message

    async def kill(self) -> None:
        """Kill the process and reap it."""
        self._process.kill()
        await self.close()

    async def close(self) -> None:
        """End the process and reap it."""
        self._sock.close()  # the process reads end of file and ends by itself
        try:
            await asyncio.shield(asyncio.to_thread(self._process.wait, _END_LIMIT_S))
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.shield(asyncio.to_thread(self._process.wait))


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sock, _done, ready)
    try:
        await ready
    finally:
        loop.remove_reader(sock)


def _done(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _unexpected(message: str, kind: str) -> EngineError:
    return EngineError(f"{message} ({kind})")


class Workers(Protocol):
    """A source of workers: `SingleUse` or `WorkerPool`."""

    def worker(self) -> AbstractAsyncContextManager[Worker]:
        """A context manager that provides a worker."""


class SingleUse:
    """A new worker for each job, killed after it: for jobs that change their process, e.g. enter a namespace. `spare`:
    one that was started before, if it has one."""

    def __init__(self, module: str, failure: Failure, spare: Spare | None = None) -> None:
        self._module, self._failure, self._spare = module, failure, spare

    @contextlib.asynccontextmanager
    async def worker(self) -> AsyncIterator[Worker]:
        """A context manager with a worker for one job. At its exit the process has been killed and reaped."""
        worker = self._spare.take(self._failure) if self._spare is not None else None
        if worker is None:
            worker = Worker(self._module, self._failure)
        try:
            yield worker
        finally:
            if worker.is_usable:
                await worker.kill()

    async def run(self, job: Message) -> Message:
        """Do a job without descriptors in a new worker; as Worker.run."""
        async with self.worker() as worker:
            return await worker.run(job)


class Spare:
    """A worker that is started before its job comes, for clients that have said that there will be one. At most one;
    after `keep_s` without a job it is ended."""

    def __init__(self, module: str, keep_s: float) -> None:
        self._module, self._keep_s = module, keep_s
        self._worker: Worker | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def prepare(self) -> None:
        """Have one, and keep it from now. Raises OSError."""
        if self._is_closed:
            return
        if self._worker is None or not self._worker.is_current or self._worker.has_ended:
            self._end()
            self._worker = Worker(self._module, _unexpected)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._keep_s, self._end)

    def take(self, failure: Failure) -> Worker | None:
        """It, for one job; None if there is none."""
        worker, self._worker = self._worker, None
        if worker is None:
            return None
        if not worker.is_current or worker.has_ended:
            self._retire(worker)
            return None
        worker.failure = failure
        return worker

    def _end(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            self._retire(worker)

    def _retire(self, worker: Worker) -> None:
        task = asyncio.create_task(worker.close(), name="end a spare helper")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """End it; there will be none from now on."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._end()
        await asyncio.gather(*self._ending)


class WorkerPool:
    """At most `size` workers, started when needed, kept for `idle_s` after their last job."""

    def __init__(
        self, module: str, failure: Failure, size: int | None = None, *, nice: int = 0, idle_s: float = IDLE_S
    ) -> None:
        """`module`, `failure`: as for Worker; `size` None: one worker per available processor, at most 4."""
        self._module, self._failure = module, failure
        self.size = size or max(1, min(4, len(os.sched_getaffinity(0))))
        self._nice, self._idle_s = nice, idle_s
        self._free = asyncio.Semaphore(self.size)
        self._idle: list[tuple[Worker, asyncio.TimerHandle]] = []
        self._closing: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def worker(self) -> AsyncIterator[Worker]:
        """A context manager with a worker; entering it waits until one is free."""
        async with self._free:
            worker = self._take()
            try:
                yield worker
            finally:
                if worker.is_usable:
                    self._give_back(worker)

    async def run(
        self, job: Message, fds: Sequence[int] = (), on_event: Callable[[Message], None] | None = None
    ) -> Message:
        """Do a job in any worker; as Worker.run."""
        async with self.worker() as worker:
            return await worker.run(job, fds, on_event)

    def _take(self) -> Worker:
        while self._idle:
            worker, timer = self._idle.pop()
            timer.cancel()
            if worker.is_usable and worker.is_current:
                return worker
            self._retire(worker)
        return Worker(self._module, self._failure, nice=self._nice)

    def _give_back(self, worker: Worker) -> None:
        timer = asyncio.get_running_loop().call_later(self._idle_s, self._retire, worker)
        self._idle.append((worker, timer))

    def _retire(self, worker: Worker) -> None:
        self._idle = [(other, timer) for other, timer in self._idle if other is not worker]
        task = asyncio.create_task(worker.close(), name="end an idle helper")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """End all idle workers. No job may be running."""
        idle, self._idle = self._idle, []
        for _, timer in idle:
            timer.cancel()
        await asyncio.gather(*(worker.close() for worker, _ in idle), *self._closing)


class Pipe:
    """A byte stream between the event loop and a worker. `theirs` is the worker's end; send it with the job."""

    def __init__(self) -> None:
        self._ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._ours.setblocking(False)

    async def feed(self, chunks: AsyncIterator[bytes]) -> None:
        """Send all chunks, then end of file. Return early if the worker closes its end: its reply says why.

        An exception of `chunks` is passed on, without sending end of file.
        """
        loop = asyncio.get_running_loop()
        async for chunk in chunks:
            try:
                await loop.sock_sendall(self._ours, chunk)
            except (BrokenPipeError, ConnectionResetError):
                return
        with contextlib.suppress(OSError):
            self._ours.shutdown(socket.SHUT_WR)

    async def chunks(self, size: int = 256 << 10) -> AsyncIterator[bytes]:
        """Yield what the worker writes, until it closes its end."""
        loop = asyncio.get_running_loop()
        while chunk := await loop.sock_recv(self._ours, size):
            yield chunk

    def close(self) -> None:
        self._ours.close()
        self.theirs.close()


async def run_with_input(
    workers: Workers,
    job: Message,
    chunks: AsyncIterator[bytes],
    on_event: Callable[[Message], None] | None = None,
) -> Message:
    """Do a job that reads `chunks` from its first descriptor; as Worker.run.

    If `chunks` raises, the worker is killed and the exception passed on. At an end of file instead, the job could take
    an incomplete upload for a complete one.
    """
    with contextlib.closing(Pipe()) as pipe:
        async with workers.worker() as worker:
            feeding = asyncio.create_task(pipe.feed(chunks), name=f"feed {job['op']}")
            working = asyncio.create_task(worker.run(job, [pipe.theirs.fileno()], on_event), name=f"job {job['op']}")
            try:
                await asyncio.wait([feeding, working], return_when=asyncio.FIRST_COMPLETED)
                if feeding.done():
                    feeding.result()
                return await working
            finally:
                for task in (feeding, working):
                    task.cancel()
                await asyncio.wait([feeding, working])


async def run_with_output(
    workers: Workers, job: Message, on_event: Callable[[Message], None] | None = None
) -> AsyncGenerator[bytes, None]:
    """Do a job and yield what it writes to its first descriptor. If it fails, raise its EngineError after that data."""
    with contextlib.closing(Pipe()) as pipe:
        async with workers.worker() as worker:
            working = asyncio.create_task(worker.run(job, [pipe.theirs.fileno()], on_event), name=f"job {job['op']}")
            # The worker has a copy of its own by the time it replies. Close ours, or the reader never sees the end.
            working.add_done_callback(lambda _: pipe.theirs.close())
            try:
                async for chunk in pipe.chunks():
                    yield chunk
                await working
            finally:
                working.cancel()
                await asyncio.wait([working])
