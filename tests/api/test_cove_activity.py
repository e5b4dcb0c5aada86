"""`GET /cove/v1/activity`: what keeps an engine from being idle, and what does not."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

from tests.support.description import conforms
from tests.support.engine import NativeEngine
from tests.support.waiting import wait_until


def test_containers_and_requests_count_and_passive_ones_do_not(own_engine: NativeEngine) -> None:
    def asked() -> dict[str, Any]:
        connection = http.client.HTTPConnection("cove")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(own_engine.socket))
        connection.request("GET", "/cove/v1/activity")
        told: dict[str, Any] = json.loads(connection.getresponse().read())
        connection.close()
        conforms(told, "GET", "/cove/v1/activity", 200)
        return told

    def counts() -> tuple[int, int]:
        told = asked()
        return told["containers"], told["requests"]

    own_engine.docker("create", "--name", "one", "busybox:latest", "sleep", "1000")
    before = asked()
    assert (before["containers"], before["requests"]) == (0, 0)
    with own_engine.client() as client, client.events() as stream:
        client.ping()
        after = asked()
        assert (after["containers"], after["requests"]) == (0, 0), "an open stream of events is no request under way"
        assert after["idle_s"] > before["idle_s"], "nor does it end the idleness; a ping does not either"
        stream.close()
    own_engine.docker("inspect", "one")
    assert asked()["idle_s"] < 1000

    own_engine.docker("start", "one")
    wait_until(lambda: counts() == (1, 0))  # the container counts
    assert asked()["idle_s"] == 0
    own_engine.docker("pause", "one")
    wait_until(lambda: counts() == (1, 0))  # a paused one counts too
    own_engine.docker("unpause", "one")
    with own_engine.client() as client, client.logs("one", follow=True) as follow:
        wait_until(lambda: counts() == (1, 1))  # a stream that is no stream of events counts
        follow.close()
    wait_until(lambda: counts() == (1, 0))  # it has ended with its client
    own_engine.docker("rm", "-f", "one")
    wait_until(lambda: counts() == (0, 0))  # nothing is under way
