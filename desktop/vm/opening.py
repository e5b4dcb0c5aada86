"""Opening the engine's data root: the engine starts before its disk is mounted and waits for this request."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass

from desktop.tunnel.transport import UnixTarget
from desktop.vm.errors import VmError
from desktop.vm.guest import Guest

ENGINE = UnixTarget("/run/cove/cove.sock")  # in the guest; guest/files/init names it to the engine
_LOGS = "See what it said: cove vm logs"


async def open_engine(guest: Guest, limit_s: float) -> None:
    """Have the engine open its data root, as soon as it listens. An engine that has it open already replies the same.
    Raises VmError."""
    await _request(guest, "POST", "/cove/v1/open", limit_s, "open its data")


async def engine_is_idle(guest: Guest, limit_s: float) -> bool:
    """Whether no container runs. `limit_s` is for all of the request: containers that use the processors make marks of
    progress for as long as the engine hangs. Raises VmError."""
    guest.marks.clear()  # an engine that ended since the VM's start, and was started again, is no obstacle
    try:
        async with asyncio.timeout(limit_s):
            body = await _request(guest, "GET", "/containers/json", limit_s, "list its containers")
    except TimeoutError:
        raise VmError(f"the engine in the VM does not list its containers within {limit_s:.0f} s", _LOGS) from None
    return body.strip() == b"[]"


@dataclass(frozen=True, slots=True)
class Activity:
    """What the engine does: containers that run, are paused or wait for their restart; requests under way; for how long
    there was neither."""

    containers: int
    requests: int
    idle_s: float


async def engine_activity(guest: Guest, limit_s: float) -> Activity:
    """For the limit see `engine_is_idle`. Raises VmError."""
    guest.marks.clear()
    try:
        async with asyncio.timeout(limit_s):
            body = await _request(guest, "GET", "/cove/v1/activity", limit_s, "tell what it does")
        told = json.loads(body)
        return Activity(int(told["containers"]), int(told["requests"]), float(told["idle_s"]))
    except TimeoutError:
        raise VmError(f"the engine in the VM does not tell what it does within {limit_s:.0f} s", _LOGS) from None
    except (ValueError, KeyError, TypeError) as e:
        raise VmError(f"the engine in the VM does not tell what it does: {e!r}", _LOGS) from e


async def engine_pong(guest: Guest, limit_s: float) -> bytes:
    """The engine's response to GET /_ping. Raises VmError."""
    return await guest.engine("GET", "/_ping", limit_s)


async def engine_is_loaded(guest: Guest, limit_s: float) -> None:
    """Wait until the engine listens and has replied to a request. Raises VmError."""
    await guest.engine("GET", "/_ping", limit_s)


async def _request(guest: Guest, method: str, path: str, limit_s: float, what: str) -> bytes:
    """The reply's body. Raises VmError."""
    answer = await guest.engine(method, path, limit_s)
    status = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    head, _, body = answer.partition(b"\r\n\r\n")
    if status is None or not status[1].startswith(b"2"):
        raise VmError(f"the engine in the VM does not {what}: {_reason(head, body)}", _LOGS)
    return body


def _reason(head: bytes, body: bytes) -> str:
    """The engine's error message, or the status line if there is none."""
    if found := re.search(rb"\{.*\}", body, re.DOTALL):
        try:
            return str(json.loads(found[0])["message"])
        except (ValueError, KeyError, TypeError):
            return head.decode(errors="replace").partition("\r\n")[0]
    return head.decode(errors="replace").partition("\r\n")[0] or "it says nothing"
