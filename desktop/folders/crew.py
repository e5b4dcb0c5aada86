"""Threads that carry out jobs. A pool of the standard library makes futures, whose locks and calls back to a loop cost
more than a small job."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import TypeAlias

Job: TypeAlias = Callable[[], object]


class Crew:
    """`count` threads, which start with the first job."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._is_stopped = False

    def do(self, job: Job) -> None:
        """Have `job` carried out by a thread. One that raises is reported as a thread's end would be. Called in one
        thread only. After `stop` jobs are dropped."""
        if self._is_stopped:
            return
        if not self._threads:
            self._threads = [
                threading.Thread(target=self._run, name=f"folders {number}", daemon=True)
                for number in range(self._count)
            ]
            for thread in self._threads:
                thread.start()
        self._jobs.put(job)

    def stop(self) -> None:
        """Blocking: end the threads, after the jobs that are carried out now. Jobs that wait are dropped."""
        self._is_stopped = True
        with contextlib.suppress(queue.Empty):
            while True:
                self._jobs.get_nowait()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as e:  # noqa: BLE001  # a defect in one job ends no thread
                threading.excepthook(
                    threading.ExceptHookArgs((type(e), e, e.__traceback__, threading.current_thread()))
                )
