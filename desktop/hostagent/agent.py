"""The host agent: one process per home that owns the VM, serves its state, and passes the Engine API through."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from desktop.hostagent.api import HostApi
from desktop.hostagent.proxy import EngineProxy
from desktop.paths import HostPaths
from desktop.platform.base import Handler, LocalServer, Platform
from desktop.tunnel.transport import Stream
from desktop.vm.errors import VmError
from desktop.vm.lifecycle import VirtualMachine
from desktop.vm.opening import ENGINE
from desktop.vm.state import Status

# How long a client of the engine waits for the next step of a VM that is starting or being taken over. The VM's own
# limits end a start that stands still.
START_WAIT_S = 180.0


class HostAgent:
    """Runs until `quit`."""

    def __init__(self, paths: HostPaths, platform: Platform, environ: Mapping[str, str]) -> None:
        self._paths = paths
        self._platform = platform
        self._number = 1  # version of the state, incremented at each change
        self._change = asyncio.Event()
        self._quit = asyncio.Event()
        self._vm = VirtualMachine(paths, platform, environ, self._on_change)
        self._connections: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until told to quit; the VM is stopped cleanly then. Raises OSError where a socket can't be served."""
        self._listen_for_signals()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._stop_vm)
            api = HostApi(self, self._paths.console_log)
            proxy = EngineProxy(self._platform, self._open_engine)
            stack.push_async_callback(self._end_connections)
            for path, handler in ((self._paths.engine_socket, proxy.handle), (self._paths.host_socket, api.handle)):
                server: LocalServer = await self._platform.serve(path, self._tracked(handler))
                stack.callback(_remove_socket, path)
                stack.callback(server.close)
            # After the sockets are served: an adoption may take 90 s, and clients get replies meanwhile.
            self._vm.adopt()
            await self._quit.wait()

    # Interface for HostApi ---------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        return {**self._vm.state.to_json(), "engine_socket": str(self._paths.engine_socket)}

    async def changed(self, seen: int) -> int:
        while self._number == seen:
            await self._change.wait()
        return self._number

    async def start(self) -> None:
        self._vm.start()

    async def stop(self) -> None:
        await self._vm.stop()

    async def shutdown(self) -> None:
        await self._vm.stop(save=False)

    async def reset(self) -> None:
        await self._vm.reset()

    def quit(self) -> None:
        self._quit.set()

    # Parts -------------------------------------------------------------------------------------------------------

    async def _open_engine(self) -> Stream:
        """Raises VmError, TunnelError."""
        with contextlib.suppress(TimeoutError):
            while self._vm.state.status in (Status.STARTING, Status.ADOPTING):
                async with asyncio.timeout(START_WAIT_S):
                    await self._change.wait()
        state = self._vm.state
        if state.status is not Status.RUNNING or self._vm.tunnel is None:
            hint = "Start it: cove vm start"
            raise VmError(
                f"the VM is {state.status}: {state.error}" if state.error else f"the VM is {state.status}", hint
            )
        return await self._vm.tunnel.open_stream(ENGINE)

    def _on_change(self) -> None:
        self._number += 1
        change, self._change = self._change, asyncio.Event()
        change.set()

    def _tracked(self, handler: Handler) -> Handler:
        """`handler`, with its task recorded so that the agent can cancel it when it ends."""

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._connections.add(task)
            try:
                await handler(reader, writer)
            except asyncio.CancelledError:
                # asyncio's streams would log the cancellation as an error. Here it is the normal end of a connection.
                writer.close()
            finally:
                self._connections.discard(task)

        return handle

    async def _end_connections(self) -> None:
        connections = list(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _stop_vm(self) -> None:
        await self._vm.stop()

    def _listen_for_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                loop.add_signal_handler(number, self._quit.set)
            except NotImplementedError:  # Windows: the loop has no signal handlers; Ctrl-C ends `asyncio.run`
                print(f"signal {number} ends the agent without stopping the VM", file=sys.stderr)  # noqa: T201


def _remove_socket(path: Path) -> None:
    """Remove the socket's file, which outlives its server. On Windows the name is a pipe's and vanishes with it."""
    if path.is_socket():
        path.unlink(missing_ok=True)
