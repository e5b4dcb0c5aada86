"""Parts of BuildKit's wire that several tasks use at the same time, without a client."""

from __future__ import annotations

import asyncio

from vmagent.builder.progress import VertexLog
from vmagent.buildkit.status import StatusLog


def log(data: bytes) -> VertexLog:
    return VertexLog(vertex="sha256:1", stream=1, data=data, at_ns=1)


def test_a_report_that_comes_while_a_follower_sends_is_not_lost() -> None:
    async def follow() -> list[bytes]:
        status = StatusLog()
        status.log(log(b"one"))
        seen = []
        async for report in status.follow():
            if not seen:  # the follower waits here for its client
                status.log(log(b"two"))
                status.complete()
            seen += [one.msg for one in report.logs]
        return seen

    assert asyncio.run(follow()) == [b"one", b"two"]
