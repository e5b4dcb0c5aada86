"""Opening the engine's data root: the engine starts before its disk is mounted and waits for this request."""

from __future__ import annotations

import asyncio
import json
import re

from desktop.tunnel.transport import Stream, Transport, TunnelError
from desktop.vm.errors import VmError

ENGINE_SOCKET = "/run/cove/cove.sock"  # in the guest; guest/files/init names it to the engine
_RETRY_S = 0.05
_ANSWER_LIMIT = 1 << 20
_REQUEST = b"POST /cove/v1/open HTTP/1.1\r\nHost: cove\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def open_engine(transport: Transport, limit_s: float) -> None:
    """Have the engine open its data root, as soon as it listens. An engine that has it open already replies the same.

    `limit_s` limits the wait until the engine listens, and from then on the wait for its reply. Raises VmError,
    TunnelError.
    """
    refused, listens = "", False
    try:
        async with asyncio.timeout(limit_s) as limit:
            while True:
                try:
                    stream = await transport.open_stream(ENGINE_SOCKET)
                except TunnelError as e:
                    if transport.gone.is_set():
                        raise
                    refused = str(e)
                    await asyncio.sleep(_RETRY_S)  # no event announces the socket
                    continue
                if not listens:  # only the first time: an engine that ends at each request must be given up
                    listens = True
                    limit.reschedule(asyncio.get_running_loop().time() + limit_s)
                answer = await _exchange(stream)
                if answer:
                    break
                await asyncio.sleep(_RETRY_S)  # the engine died during our request; the keeper starts it again
    except TimeoutError:
        raise VmError(
            f"the engine in the VM does not answer within {limit_s:.0f} s{': ' + refused if refused else ''}",
            "See what it said: cove vm logs",
        ) from None
    status = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    if status is None or not status[1].startswith(b"2"):
        raise VmError(f"the engine in the VM does not open its data: {_reason(answer)}", "See: cove vm logs")


async def _exchange(stream: Stream) -> bytes:
    """The whole reply; b"" if the engine ended."""
    answer = bytearray()
    try:
        await stream.write(_REQUEST)
        while chunk := await stream.read():
            answer += chunk
            if len(answer) > _ANSWER_LIMIT:
                raise VmError("the engine in the VM answers nonsense")
    except TunnelError:
        return b""
    finally:
        stream.close()
    return bytes(answer)


def _reason(answer: bytes) -> str:
    """The engine's error message, or the status line if there is none."""
    head, _, body = answer.partition(b"\r\n\r\n")
    found = re.search(rb"\{.*\}", body, re.DOTALL)
    if found:
        try:
            return str(json.loads(found[0])["message"])
        except (ValueError, KeyError, TypeError):
            return head.decode(errors="replace").splitlines()[0]
    return head.decode(errors="replace").splitlines()[0]
