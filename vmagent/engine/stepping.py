"""Runs the commands of a build's RUN steps: a start like a container's, but without a container's record.

The supervisor owns the process and its output as it does a container's. The output goes to log files in the step's
folder, which is in `ingest`; so an engine that is killed leaves nothing but a folder that the next one removes, and a
process that the next one ends (`is_step`).
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from signal import SIGKILL
from typing import Any

from vmagent.builder.running import BindMount, Command, MemoryMount, Output
from vmagent.containers import configure
from vmagent.containers.live import Bell
from vmagent.containers.model import Container, ContainerId, MountKind, MountPoint, now_ns
from vmagent.containers.session import CachedLogReader
from vmagent.engine.background import Background
from vmagent.engine.launching import Launcher, Place, start_error
from vmagent.errors import EngineError
from vmagent.paths import ExecRoot
from vmagent.runtime.failure import LaunchError
from vmagent.supervisor.client import SupervisorClient
from vmagent.supervisor.logfile import LogReader
from vmagent.supervisor.messages import Exited, NotHeld

_SUFFIX = "-step"
_HOST_NAME = "buildkitsandbox"  # what a RUN step has under BuildKit: the result must not depend on a random name
_READ_BYTES = 256 << 10
_API = (1, 44)
_LOG_LIMITS = (32 << 20, 4)  # bytes of a log file, and how many are kept: a step can't fill the disk by its output


def is_step(process_id: str) -> bool:
    """Whether the supervisor's `process_id` is that of a build's step."""
    return process_id.endswith(_SUFFIX)


class _Step:
    """A step that is running."""

    def __init__(self) -> None:
        self.bell = Bell()  # rings at new output and at the exit
        self.exit: Exited | None = None


class StepRunner:
    """`vmagent.builder.running.Runner`."""

    def __init__(
        self, background: Background, supervisor: SupervisorClient, launcher: Launcher, exec_root: ExecRoot
    ) -> None:
        self._background, self._supervisor = background, supervisor
        self._launcher, self._exec_root = launcher, exec_root
        self._steps: dict[str, _Step] = {}

    def __contains__(self, process_id: str) -> bool:
        return process_id in self._steps

    @asynccontextmanager
    async def run(self, command: Command, output: Output) -> AsyncIterator[int]:
        """See Runner."""
        record = _record(command)
        step = self._steps[record.id] = _Step()
        place = Place(folder=command.folder, host_files=command.folder / "etc", log_limits=_LOG_LIMITS, is_step=True)
        try:
            try:
                await self._launcher.launch_step(record, place, command.lowers)
            except (EngineError, LaunchError, OSError) as e:
                await self._forget_files(record)
                raise start_error(e)[0] from e
            except asyncio.CancelledError:
                await asyncio.shield(self._kill(record, step, is_started=False))
                await asyncio.shield(self._forget_files(record))
                raise
            try:
                code = await self._follow(record, step, command, output)
            except BaseException:
                await asyncio.shield(self._kill(record, step, is_started=True))
                await asyncio.shield(self._end(record, step))
                raise
            ending = asyncio.create_task(self._end(record, step), name="end of a step")
            try:
                yield code
            finally:
                await asyncio.shield(ending)
        finally:
            del self._steps[record.id]

    async def _follow(self, record: Container, step: _Step, command: Command, output: Output) -> int:
        """Report the output until the process has ended."""
        opened = await self._background.on_disk(LogReader, command.folder, raw=True, rotates=True)
        reader = CachedLogReader(opened, self._background.on_disk)
        try:
            while True:
                news = step.bell.next()
                is_over = step.exit is not None  # checked before the read, or later output would be missed
                while entries := await reader.read(_READ_BYTES):
                    for entry in entries:
                        output(entry.stream, entry.data, entry.time_ns)
                if is_over:
                    break
                await news
        finally:
            reader.close()
        assert step.exit is not None
        return step.exit.exit_code

    async def _kill(self, record: Container, step: _Step, *, is_started: bool) -> None:
        """Kill the process, and wait for its end. A start that was cancelled may have come too late to the process."""
        with suppress(NotHeld):
            await self._supervisor.signal(record.id, SIGKILL)
            is_started = True
        while is_started and step.exit is None:
            news = step.bell.next()
            if step.exit is None:
                await news
        if not is_started:
            return
        await self._supervisor.acknowledge(record.id, record.state.run)

    async def _end(self, record: Container, step: _Step) -> None:
        if step.exit is not None:
            await self._supervisor.acknowledge(record.id, record.state.run)
        await self._launcher.end_step(record)
        await self._forget_files(record)

    async def _forget_files(self, record: Container) -> None:
        await self._background.on_disk(shutil.rmtree, self._exec_root.container(record.id), ignore_errors=True)

    def on_grew(self, process_id: str) -> None:
        """Handle the supervisor's report of more output."""
        if (step := self._steps.get(process_id)) is not None:
            step.bell.ring()

    def on_exited(self, event: Exited) -> None:
        """Handle the supervisor's report of an exit; it is repeated until it is acknowledged."""
        step = self._steps.get(event.id)
        if step is None:
            self._background.spawn(self._forget(event), f"forget step {event.id[:12]}")
            return
        step.exit = event
        step.bell.ring()

    async def _forget(self, event: Exited) -> None:
        await self._supervisor.acknowledge(event.id, event.run)


def _record(command: Command) -> Container:
    """The record of a container that would run the command. Raises BadRequest for invalid limits."""
    step_id = ContainerId(secrets.token_hex(29) + _SUFFIX)
    limits = command.limits
    body: dict[str, Any] = {
        "Cmd": [*command.argv],
        # A name without a value removes docker's own variable, which BuildKit does not set.
        "Env": [*command.env, *([] if any(one.startswith("HOSTNAME=") for one in command.env) else ["HOSTNAME"])],
        "User": command.user,
        "WorkingDir": command.cwd,
        "Hostname": "" if command.network == "host" else _HOST_NAME,
        "HostConfig": {
            "NetworkMode": command.network,
            "Privileged": command.insecure,
            "ExtraHosts": [*command.extra_hosts] or None,
            "ShmSize": command.shm_size or None,
            "Ulimits": [{"Name": one.name, "Soft": one.soft, "Hard": one.hard} for one in command.ulimits],
            "CgroupParent": command.cgroup_parent,
            "Memory": limits.memory,
            "MemorySwap": limits.memory_swap,
            "CpuShares": limits.cpu_shares,
            "CpuPeriod": limits.cpu_period,
            "CpuQuota": limits.cpu_quota,
            "CpusetCpus": limits.cpuset_cpus,
            "CpusetMems": limits.cpuset_mems,
        },
    }
    asked = configure.complete(body, {}, step_id, api_version=_API)
    record = Container(
        id=step_id,
        name=step_id,
        created_ns=now_ns(),
        image_id="",
        image_ref="",
        platform="linux",
        argv=asked.argv,
        config=asked.config,
        host_config=asked.host_config,
        endpoints=asked.endpoints,
        mounts=[_mount(mount) for mount in command.mounts],
    )
    record.state.run = 1
    return record


def _mount(mount: BindMount | MemoryMount) -> MountPoint:
    if isinstance(mount, MemoryMount):
        options = (f"size={mount.size}",) if mount.size else ()
        return MountPoint(kind=MountKind.TMPFS, destination=mount.destination, options=options)
    return MountPoint(
        kind=MountKind.BIND, destination=mount.destination, source=mount.source, writable=not mount.readonly
    )
