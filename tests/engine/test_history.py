"""What containers have used: recorded while they run, kept over stop, start and the engine's death, gone with them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from desktop.client.engine import ApiError
from tests.support.description import conforms
from tests.support.engine import NativeEngine
from tests.support.waiting import wait_until
from vmagent.engine.history import FILE_BYTES, MINUTES, SECONDS, Rings, load
from vmagent.engine.usage import Sample

SECOND_NS = 1_000_000_000


def sample(at_ns: int, memory_bytes: int = 0, run: int = 1) -> Sample:
    return Sample("0" * 64, "one", run, at_ns, at_ns // 10, memory_bytes, 1 << 30, 1, 2, 3, 4, 5, ())


def test_the_rings_keep_the_last_ten_minutes_and_the_last_day(tmp_path: Path) -> None:
    file = tmp_path / "usage"
    rings = Rings(str(file))
    begin = 3_000_000 * 60 * SECOND_NS
    for second in range(700):
        rings.append(
            str(file), sample(begin + second * SECOND_NS, memory_bytes=second if second % 60 != 59 else 10_000)
        )
    seconds, minutes = load(str(file))
    assert [(point.at_ns - begin) // SECOND_NS for point in seconds] == list(range(100, 700))
    assert [(point.at_ns - begin) // SECOND_NS for point in minutes] == list(range(0, 700, 60))
    assert [point.memory_bytes for point in minutes] == [0, *(10_000 for _ in minutes[1:])]  # the peak of each minute
    for minute in range(1500):
        rings.append(str(file), sample(begin + (700 + minute * 60) * SECOND_NS))
    seconds, minutes = load(str(file))
    assert (len(seconds), len(minutes)) == (SECONDS, MINUTES)
    assert file.stat().st_size <= FILE_BYTES < 1 << 20


def test_another_writer_goes_on_where_the_first_was_killed(tmp_path: Path) -> None:
    file = tmp_path / "usage"
    begin = 3_000_000 * 60 * SECOND_NS
    for second in range(130):
        if second % 50 == 0:
            rings = Rings(str(file))
        rings.append(str(file), sample(begin + second * SECOND_NS, run=1 + second // 50))
    seconds, minutes = load(str(file))
    assert [point.number for point in seconds] == list(range(1, 131))
    assert [point.number for point in minutes] == [1, 2, 3]
    assert [point.run for point in seconds[49:51]] == [1, 2]


def test_the_history_outlives_runs_and_the_engine_and_ends_with_the_container(own_engine: NativeEngine) -> None:
    def points() -> dict[str, Any]:
        with own_engine.client() as client:
            told = client.usage_history("one")
        conforms(told, "GET", "/cove/v1/containers/{id}/usage", 200)
        seconds: dict[str, Any] = told["seconds"]
        assert len({len(values) for values in seconds.values()}) == 1, "lists of one length"
        assert told["minutes"]["at_ms"] or not seconds["at_ms"]
        return seconds

    own_engine.docker("create", "--name", "one", "busybox:latest", "sh", "-c", "while :; do :; done")
    assert not points()["at_ms"]
    own_engine.docker("start", "one")
    wait_until(lambda: len(points()["at_ms"]) >= 3)
    first = points()
    assert first["cpu_ns"] == sorted(set(first["cpu_ns"])), "it grows"
    assert first["at_ms"] == sorted(set(first["at_ms"]))

    own_engine.docker("stop", "-t", "0", "one")
    stopped = points()
    own_engine.docker("start", "one")
    wait_until(lambda: 2 in points()["run"])
    assert _begins_with(points(), stopped)

    os.kill(own_engine.pid_of("cove-engine"), signal.SIGKILL)
    own_engine.wait_until_answering()
    before = points()
    assert _begins_with(before, stopped)
    wait_until(lambda: len(points()["at_ms"]) > len(before["at_ms"]))
    after = points()
    assert _begins_with(after, before)
    assert after["at_ms"] == sorted(set(after["at_ms"]))

    [folder] = (own_engine.root / "exec" / "containers").iterdir()
    own_engine.docker("rm", "-f", "one")
    with own_engine.client() as client, pytest.raises(ApiError) as refused:
        client.usage_history("one")
    assert (refused.value.status, str(refused.value)) == (404, "No such container: one")
    wait_until(lambda: not folder.exists())


def _begins_with(longer: dict[str, Any], shorter: dict[str, Any]) -> bool:
    return all(longer[key][: len(values)] == values for key, values in shorter.items())
