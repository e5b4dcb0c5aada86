"""The session with QEMU's monitor: commands, events, and the detection of QEMU's end, whatever its cause."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from qemu.qmp import EventListener, QMPClient
from qemu.qmp.error import QMPError
from qemu.qmp.protocol import Runstate

from desktop.platform.base import LocalAddress
from desktop.vm.errors import NotAnswering, VmError

CONNECT_LIMIT_S = 10.0
COMMAND_LIMIT_S = 30.0


class QmpSession:
    """A connection to one QEMU. `gone` is set when it has ended; `last_events` holds the names of the last events.
    `no_space` is set when QEMU has paused the guest because the host's disk is full; clear it before resuming the
    guest."""

    def __init__(self) -> None:
        self._client = QMPClient("cove")
        self._listener = EventListener()
        self._tasks: list[asyncio.Task[None]] = []
        self.gone = asyncio.Event()
        self.last_events: list[str] = []
        self.no_space = asyncio.Event()
        self.shutdown_reason = ""  # of QEMU's event SHUTDOWN, such as guest-reset

    async def connect(self, address: LocalAddress, process_ended: asyncio.Event) -> None:
        """Connect as soon as QEMU listens. Raises VmError if it ends first, NotAnswering if it does not greet."""
        target: str | tuple[str, int] = str(address.path) if address.path else ("127.0.0.1", address.port or 0)
        self._client.register_listener(self._listener)
        refused = "it does not greet"  # a QEMU that hangs, or was stopped by a signal, accepts and stays silent
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                while True:
                    try:
                        await self._client.connect(target)
                        break
                    except QMPError as e:
                        if process_ended.is_set():
                            raise VmError("QEMU ended as soon as it was started") from e
                        refused = str(e)
                    # There is no event for a socket that does not exist yet; QEMU takes 0.1 s to make it.
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(process_ended.wait(), 0.02)
        except TimeoutError:
            raise NotAnswering(f"QEMU does not answer within {CONNECT_LIMIT_S:g} s: {refused}") from None
        self._tasks = [
            asyncio.create_task(self._watch(), name="qmp watch"),
            asyncio.create_task(self._collect_events(), name="qmp events"),
        ]

    async def execute(
        self, command: str, arguments: Mapping[str, object] | None = None, limit_s: float = COMMAND_LIMIT_S
    ) -> Any:
        """One command's result. Raises VmError if QEMU refuses it, has ended, or does not reply."""
        try:
            async with asyncio.timeout(limit_s):
                return await self._client.execute(command, dict(arguments) if arguments else None)
        except (QMPError, EOFError, TimeoutError) as e:
            raise VmError(f"QEMU does not do {command}: {str(e) or 'no answer'}") from e

    async def pass_file(self, name: str, descriptor: int) -> None:
        """Give QEMU a duplicate of an open file, under `name`. Unix sockets only. Raises VmError."""
        try:
            self._client.send_fd_scm(descriptor)
        except (QMPError, OSError) as e:
            raise VmError(f"QEMU takes no file: {e}") from e
        await self.execute("getfd", {"fdname": name})

    async def monitor(self, line: str) -> str:
        """A human monitor command's output, for what QMP has no command: "" is success for most of them."""
        return str(await self.execute("human-monitor-command", {"command-line": line})).strip()

    async def close(self) -> None:
        """Leave QEMU alone and end the session. May be called twice."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(QMPError, EOFError, OSError):  # QEMU's end is an error to the library
            await self._client.disconnect()

    async def _watch(self) -> None:
        # The library moves from RUNNING to DISCONNECTING when QEMU closes the connection.
        while self._client.runstate == Runstate.RUNNING:
            await self._client.runstate_changed()
        self.gone.set()

    async def _collect_events(self) -> None:
        async for event in self._listener:
            self.last_events = [*self.last_events[-15:], str(event["event"])]
            data: Any = event.get("data", {})
            if event["event"] == "SHUTDOWN":
                self.shutdown_reason = str(data.get("reason", ""))
            if event["event"] == "BLOCK_IO_ERROR" and data.get("nospace") and data.get("action") == "stop":
                self.no_space.set()
