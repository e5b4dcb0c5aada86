"""Logs: a container's output so far and, with `follow`, as it is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from vmagent.api import stdcopy
from vmagent.api.messages import Query, Request, Version
from vmagent.api.parameters import time_ns
from vmagent.api.pump import MULTIPLEXED_STREAM, RAW_STREAM
from vmagent.api.router import Router
from vmagent.engine.engine import Engine
from vmagent.engine.options import LogOptions
from vmagent.errors import BadRequest
from vmagent.supervisor.logfile import split_lines

Entry = tuple[int, int, bytes]  # stream, time in ns, lines that arrived together; a million of them must be cheap


def add(router: Router, engine: Engine) -> None:
    """Add the endpoint of logs."""
    router.add("GET", "/containers/{id}/logs", _Logs(engine).logs, streams=True)


class _Logs:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def logs(self, request: Request) -> None:
        query = request.query
        options = _options(query)
        log = await self._engine.streams.logs(request.params["id"], options)
        multiplexed = not log.tty
        says_frames = multiplexed and request.version >= Version(1, 42)
        stream = request.exchange.stream(content_type=MULTIPLEXED_STREAM if says_frames else RAW_STREAM)
        details = log.details + b" " if query.flag("details") else b""
        encode = _encoder(multiplexed, timestamps=query.flag("timestamps"), details=details)
        async for batch in log.batches():
            await stream.write(encode(batch))
        stream.finish()


def _options(query: Query) -> LogOptions:
    stdout, stderr = query.flag("stdout"), query.flag("stderr")
    if not (stdout or stderr):
        raise BadRequest("Bad parameters: you must choose at least one stream")
    tail = query.get("tail")
    return LogOptions(
        stdout=stdout,
        stderr=stderr,
        follow=query.flag("follow"),
        since_ns=time_ns(query, "since") or None,
        until_ns=time_ns(query, "until") or None,
        tail=int(tail) if tail.isascii() and tail.isdigit() else None,
    )


def _encoder(multiplexed: bool, *, timestamps: bool, details: bytes) -> Callable[[Sequence[Entry]], bytes]:
    """Bytes of a batch: a frame per line, or with a terminal the bare lines. `details`: stands before each line."""
    stamp = _Stamp()

    def encode(entry: Entry) -> bytes:
        stream, time_ns, data = entry
        prefix = stamp(time_ns) + details if timestamps else details
        if not (prefix or multiplexed):
            return data
        lines = split_lines(data)
        if prefix:
            lines = [prefix + line for line in lines]
        return stdcopy.frames(stream, lines) if multiplexed else b"".join(lines)

    return lambda batch: b"".join(map(encode, batch))


class _Stamp:
    """RFC 3339 with always nine digits of fraction; the second's part is formatted once per second."""

    def __init__(self) -> None:
        self._second = -1
        self._prefix = b""

    def __call__(self, at_ns: int) -> bytes:
        second, nanos = divmod(at_ns, 1_000_000_000)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second)).encode()
        return b"%b%09dZ " % (self._prefix, nanos)
