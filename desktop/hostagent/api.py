"""The host agent's own API, on the host socket: the VM's state and verbs. Only `desktop.client.host` speaks it.

GET /v1/state?probe=1 (probe: the VM is asked now whether it answers) · GET /v1/events (a JSON line for each change, the
present state first) · GET /v1/logs?follow=1 (the VM's console) · GET /v1/hold (wakes the VM; then a JSON line with its
state; the VM is not saved while the reply is open) · POST /v1/vm/start (202, the start goes on) ·
POST /v1/vm/{stop,shutdown,reset} (200 when done; shutdown saves no session) · POST /v1/vm/restart (202 when stopped) ·
POST /v1/quit.
Errors are {"message", "hint"}.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

from desktop.hostagent.http import Exchange, HttpError, Request
from desktop.vm.errors import VmError

_LOG_CHUNK = 64 * 1024
# There is no portable event for a file that grows. Polled only while a client follows it.
_LOG_POLL_S = 0.2


class Vm(Protocol):
    """The operations that the API calls."""

    def state(self) -> dict[str, Any]:
        """The state as it is sent."""
        ...

    async def probed(self) -> dict[str, Any]:
        """The same, and whether the VM answers is asked now."""
        ...

    async def changed(self, seen: int) -> int:
        """Wait until the state's version differs from `seen`; returns it. Versions begin at 1, so 0 returns at once."""
        ...

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def shutdown(self) -> None: ...
    async def reset(self) -> None: ...
    def held(self) -> AbstractAsyncContextManager[None]:
        """Keeps the VM awake, and wakes it first. Raises VmError."""
        ...

    def quit(self) -> None: ...


class HostApi:
    """Serves connections: call `handle` for each."""

    def __init__(self, vm: Vm, console_log: Path) -> None:
        self._vm = vm
        self._console_log = console_log
        self._verbs: dict[str, Callable[[], Awaitable[int]]] = {
            "/v1/vm/start": self._start,
            "/v1/vm/stop": self._stop,
            "/v1/vm/shutdown": self._shutdown,
            "/v1/vm/restart": self._restart,
            "/v1/vm/reset": self._reset,
            "/v1/quit": self._quit,
        }

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        exchange = Exchange(reader, writer)
        try:
            while await self._answer_one(exchange):
                pass
        except OSError:
            return  # the client went away
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer_one(self, exchange: Exchange) -> bool:
        """Whether the connection takes another request."""
        try:
            request = await exchange.request()
            if request is None:
                return False
            if request.method == "GET" and request.path == "/v1/hold":
                async with self._vm.held():
                    await self._stream(request, exchange, self._hold(exchange))
                return False
            if request.method == "GET" and request.path == "/v1/events":
                await self._stream(request, exchange, self._events(exchange))
                return False
            if request.method == "GET" and request.path == "/v1/logs":
                await self._stream(request, exchange, self._logs(request, exchange))
                return False
            status, value = await self._reply(request)
        except HttpError as e:
            status, value = e.status, {"message": str(e), "hint": ""}
        except VmError as e:
            status, value = 409, {"message": str(e), "hint": e.hint}
        await exchange.reply(status, value)
        return True

    async def _reply(self, request: Request) -> tuple[int, Any]:
        if request.path == "/v1/state":
            if request.method != "GET":
                raise HttpError(405, f"{request.path} takes GET")
            return 200, await self._vm.probed() if request.query.get("probe") else self._vm.state()
        if (verb := self._verbs.get(request.path)) is None:
            raise HttpError(404, f"no such call: {request.path}")
        if request.method != "POST":
            raise HttpError(405, f"{request.path} takes POST")
        return await verb(), self._vm.state()

    async def _start(self) -> int:
        await self._vm.start()
        return 202

    async def _stop(self) -> int:
        await self._vm.stop()
        return 200

    async def _shutdown(self) -> int:
        await self._vm.shutdown()
        return 200

    async def _restart(self) -> int:
        await self._vm.shutdown()
        await self._vm.start()
        return 202

    async def _reset(self) -> int:
        await self._vm.reset()
        return 200

    async def _quit(self) -> int:
        await self._vm.stop()
        self._vm.quit()
        return 200

    async def _stream(self, request: Request, exchange: Exchange, work: Coroutine[None, None, None]) -> None:
        """Send until the client closes the connection."""
        await exchange.begin_stream("text/plain; charset=utf-8" if request.path == "/v1/logs" else "application/json")
        sending = asyncio.create_task(work, name=request.path)
        leaving = asyncio.create_task(exchange.client_left(), name="client leaves")
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            results = await asyncio.gather(sending, leaving, return_exceptions=True)
        if isinstance(results[0], Exception):
            raise results[0]

    async def _hold(self, exchange: Exchange) -> None:
        await exchange.send_chunk(json.dumps(self._vm.state()).encode() + b"\n")
        await asyncio.Event().wait()

    async def _events(self, exchange: Exchange) -> None:
        seen = 0
        while True:
            seen = await self._vm.changed(seen)
            await exchange.send_chunk(json.dumps(self._vm.state()).encode() + b"\n")

    async def _logs(self, request: Request, exchange: Exchange) -> None:
        follow = request.query.get("follow", "") not in ("", "0", "false")
        offset = 0
        while True:
            data, offset = await asyncio.to_thread(_read_from, self._console_log, offset)
            if data:
                await exchange.send_chunk(data)
            elif follow:
                await asyncio.sleep(_LOG_POLL_S)
            else:
                break
        await exchange.end_stream()


def _read_from(path: Path, offset: int) -> tuple[bytes, int]:
    """Bytes of `path` from `offset` on, and the offset of their end. A file shorter than `offset` was truncated: read
    it from its begin."""
    try:
        with open(path, "rb") as file:
            if offset > file.seek(0, 2):
                offset = 0
            file.seek(offset)
            data = file.read(_LOG_CHUNK)
    except FileNotFoundError:
        return b"", 0
    return data, offset + len(data)
