"""The threads of the file server."""

from __future__ import annotations

import threading

import pytest

from desktop.folders.crew import Crew
from tests.support.limits import HANG_S


def test_a_job_that_raises_is_reported_and_ends_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_type))
    crew, done = Crew(1), threading.Event()
    crew.do(lambda: [][1])
    crew.do(done.set)
    assert done.wait(HANG_S)
    crew.stop()
    assert reported == [IndexError]


def test_a_job_after_the_end_is_dropped() -> None:
    crew, done = Crew(2), threading.Event()
    crew.do(lambda: None)
    crew.stop()
    crew.do(done.set)
    assert not done.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("folders")]
