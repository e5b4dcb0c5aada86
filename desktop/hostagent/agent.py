"""The host agent: one process per home that owns the VM, serves its state, and passes the Engine API through."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from desktop.folders.server import FolderServer
from desktop.hostagent.api import HostApi
from desktop.hostagent.forwarder import PortForwarder
from desktop.hostagent.proxy import EngineProxy
from desktop.hostagent.saver import ResourceSaver
from desktop.hostagent.service import Service, SocketService
from desktop.hostagent.settings import SharedFolders, has_host_network, publish_addresses
from desktop.hostagent.surroundings import Surroundings
from desktop.paths import HostPaths
from desktop.platform.base import Platform
from desktop.tunnel.transport import Stream
from desktop.tunnel.tunnel import Tunnel
from desktop.vm.errors import VmError
from desktop.vm.lifecycle import VirtualMachine
from desktop.vm.opening import ENGINE
from desktop.vm.settings import load_settings
from desktop.vm.state import Status

# How long a client of the engine waits for the next step of a VM that is starting or being taken over. The VM's own
# limits end a start that stands still.
START_WAIT_S = 180.0
PROBE_LIMIT_S = 1.0


class HostAgent:
    """Runs until `quit`."""

    def __init__(self, paths: HostPaths, platform: Platform, environ: Mapping[str, str]) -> None:
        self._paths = paths
        self._platform = platform
        self._number = 1  # version of the state, incremented at each change
        self._change = asyncio.Event()
        self._quit = asyncio.Event()
        self._ports = PortForwarder(
            platform,
            lambda: self._vm.tunnel,
            lambda: publish_addresses(paths.config_file),
            lambda: has_host_network(paths.config_file),
        )
        self._surroundings = Surroundings(platform, environ, paths, self._running_tunnel)
        shared = SharedFolders(paths.config_file)
        self._folders = FolderServer(shared.read)
        # What programs in the guest may connect to, by name.
        self._guest_services: dict[str, Callable[[Stream], Awaitable[None]]] = {
            "ports": self._ports.serve,
            "folders": self._folders.serve,
        }
        self._vm = VirtualMachine(paths, platform, environ, self._on_change, self._serve_guest, self._surroundings.tell)
        self._saver = ResourceSaver(
            self._vm, lambda: load_settings(paths.config_file, platform.memory_mb()[0]).save_after_s
        )
        self._asleep_since_ns = 0
        proxy, api = EngineProxy(platform, self), HostApi(self, paths.console_log)
        self._services: tuple[Service, ...] = (
            self._ports,
            SocketService(platform, paths.engine_socket, proxy.handle),
            SocketService(platform, paths.host_socket, api.handle),
            self._saver,
            self._surroundings,
        )

    async def run(self) -> None:
        """Serve until told to quit; the VM is stopped cleanly then. Raises OSError where a socket can't be served."""
        self._listen_for_signals()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._folders.stop)  # after the VM: its containers use them to their end
            stack.push_async_callback(self._stop_vm)
            for service in self._services:
                await service.start()
                stack.push_async_callback(service.stop)
            # After the sockets are served: an adoption may take 90 s, and clients get replies meanwhile.
            self._vm.adopt()
            await self._quit.wait()

    # Interface for HostApi ---------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        return {
            **self._vm.state.to_json(),
            "engine_socket": str(self._paths.engine_socket),
            "engine_calls": self._ports.engines > 0,
            "surroundings": self._surroundings.to_json(),
        }

    async def probed(self) -> dict[str, Any]:
        silence = await self._vm.silence(PROBE_LIMIT_S)
        return {**self.state(), "silence": silence}

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

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        with self._saver.held():
            await self._until_running()
            await self._vm.serve_ssh()
            yield

    # Interface for EngineProxy -----------------------------------------------------------------------------------

    @property
    def is_asleep(self) -> bool:
        return self._vm.state.status in (Status.SAVING, Status.SAVED)

    @property
    def asleep_since_ns(self) -> int:
        return self._asleep_since_ns

    @property
    def ping(self) -> bytes | None:
        return self._vm.ping

    async def awake(self) -> None:
        while self.is_asleep or self._is_coming():
            await self._change.wait()

    async def open(self) -> Stream:
        await self._until_running()
        assert self._vm.tunnel is not None
        return await self._vm.tunnel.open_stream(ENGINE)

    def used(self) -> None:
        self._saver.used()

    # Parts -------------------------------------------------------------------------------------------------------

    async def _until_running(self) -> None:
        """Wake a VM that is saved, and wait for one that starts. Raises VmError."""
        with contextlib.suppress(TimeoutError):
            while self.is_asleep or self._is_coming():
                if self.is_asleep:
                    self._vm.start()
                    self._saver.used()
                async with asyncio.timeout(START_WAIT_S):
                    await self._change.wait()
        state = self._vm.state
        if state.status is not Status.RUNNING or self._vm.tunnel is None:
            hint = "Start it: cove vm start"
            raise VmError(
                f"the VM is {state.status}: {state.error}" if state.error else f"the VM is {state.status}", hint
            )

    def _running_tunnel(self) -> Tunnel | None:
        return self._vm.tunnel if self._vm.state.status is Status.RUNNING else None

    def _is_coming(self) -> bool:
        """Whether the VM will run, as far as is known."""
        state = self._vm.state
        if state.status is Status.RUNNING:  # without a tunnel it has ended, and what comes of it is told in a moment
            return self._vm.tunnel is None
        return state.status in (Status.STARTING, Status.ADOPTING) or state.restart_at is not None

    def _on_change(self) -> None:
        status = self._vm.state.status
        if status is Status.SAVING:
            self._asleep_since_ns = time.time_ns()
        if status is Status.RUNNING:
            self._saver.used()
        if status in (Status.STOPPED, Status.SAVED, Status.FAILED):
            self._ports.end_soon()
        self._number += 1
        change, self._change = self._change, asyncio.Event()
        change.set()

    async def _serve_guest(self, name: str, stream: Stream) -> None:
        """A program in the guest has connected to the service `name`. Raises TunnelError."""
        if (serve := self._guest_services.get(name)) is not None:
            await serve(stream)

    async def _stop_vm(self) -> None:
        await self._vm.stop()

    def _listen_for_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                loop.add_signal_handler(number, self._quit.set)
            except NotImplementedError:  # Windows: the loop has no signal handlers; Ctrl-C ends `asyncio.run`
                print(f"signal {number} ends the agent without stopping the VM", file=sys.stderr)  # noqa: T201
