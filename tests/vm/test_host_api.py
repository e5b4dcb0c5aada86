"""The host agent's own API on the wire: what HTTP/1.1 allows a client, and what is refused."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from desktop.hostagent.api import HostApi
from desktop.hostagent.http import BODY_LIMIT, HEAD_LIMIT
from desktop.platform import platform_for
from tests.support.limits import HANG_S


class _Stopped:
    """A VM that stays stopped."""

    def state(self) -> dict[str, Any]:
        return {"state": "stopped"}

    async def probed(self) -> dict[str, Any]:
        raise AssertionError("not called")

    async def changed(self, seen: int) -> int:
        if seen:
            await asyncio.Event().wait()
        return 1

    async def start(self) -> None:
        raise AssertionError("not called")

    async def stop(self) -> None:
        raise AssertionError("not called")

    async def shutdown(self) -> None:
        raise AssertionError("not called")

    async def reset(self) -> None:
        raise AssertionError("not called")

    def held(self) -> AbstractAsyncContextManager[None]:
        raise AssertionError("not called")

    def quit(self) -> None:
        raise AssertionError("not called")


def answered(folder: Path, sent: bytes, *, until: bytes | None = None) -> bytes:
    """What comes back until the connection is closed, or ends with `until`."""

    async def scenario() -> bytes:
        api = HostApi(_Stopped(), folder / "console.log")
        server = await platform_for("linux").serve(folder / "s", api.handle)
        reader, writer = await asyncio.open_unix_connection(str(folder / "s"))
        async with asyncio.timeout(HANG_S):
            writer.write(sent)
            heard = b""
            while part := await reader.read(65536):
                heard += part
                if until is not None and heard.endswith(until):
                    break
        writer.close()
        server.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait_for(asyncio.gather(*rest, return_exceptions=True), HANG_S)
        return heard

    return asyncio.run(scenario())


def test_a_connection_takes_several_requests_with_any_body(tmp_path: Path) -> None:
    get = b"GET /v1/state HTTP/1.1\r\nHost: cove\r\n"
    chunked = get + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    last = get + b"Content-Length: 2\r\nConnection: close\r\n\r\nxx"
    heard = answered(tmp_path, get + b"\r\n" + chunked + last)
    assert heard.count(b'{"state": "stopped"}\n') == 3


def test_a_stream_is_sent_in_chunks(tmp_path: Path) -> None:
    body = json.dumps({"state": "stopped"}).encode() + b"\n"
    heard = answered(tmp_path, b"GET /v1/events HTTP/1.1\r\nHost: cove\r\n\r\n", until=body + b"\r\n")
    head, _, rest = heard.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head.lower()
    assert rest == b"%x\r\n%b\r\n" % (len(body), body)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /v1/state HTTP/1.1\r\n\r\n", 400),  # RFC 9112, section 3.2: Host is required
        (b"GET /v1/state HTTP/1.1\r\nHost: c\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET /v1/state HTTP/1.1\r\nHost: c\r\nX: " + b"x" * 16 * HEAD_LIMIT + b"\r\n\r\n", 431),
        (b"POST /v1/vm/stop HTTP/1.1\r\nHost: c\r\nContent-Length: %d\r\n\r\n" % (2 * BODY_LIMIT) + bytes(70_000), 413),
        (b"GET /v2 HTTP/1.1\r\nHost: c\r\nConnection: close\r\n\r\n", 404),
        (b"PUT /v1/state HTTP/1.1\r\nHost: c\r\nConnection: close\r\n\r\n", 405),
        (b"GET //[ HTTP/1.1\r\nHost: c\r\nConnection: close\r\n\r\n", 400),
    ],
)
def test_bad_requests_get_their_status_and_one_line(tmp_path: Path, sent: bytes, status: int) -> None:
    heard = answered(tmp_path, sent, until=b"\n")
    head, _, body = heard.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert set(json.loads(body)) == {"message", "hint"}


def test_a_reply_to_head_has_no_body(tmp_path: Path) -> None:
    heard = answered(tmp_path, b"HEAD /v1/state HTTP/1.1\r\nHost: c\r\nConnection: close\r\n\r\n")
    head, _, body = heard.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 405 ")
    assert body == b""
