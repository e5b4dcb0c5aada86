"""What all operations of images in a helper process share: events to the engine, and what a job's message names."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vmagent.images.ingest import Job
from vmagent.images.layer import Kind
from vmagent.paths import DataRoot

Message = dict[str, Any]
Emit = Callable[[Message], None]
EVENT_INTERVAL_S = 0.1


class Operations:
    """Operations are methods `op_NAME`: from the job's message and descriptors to the result's message."""

    def __init__(self, emit: Emit) -> None:
        self.emit = emit  # sends an event to the engine; raises PeerLost
        self._last_event = 0.0

    def progress(self, event: Message, *, is_last: bool) -> None:
        """Send a progress event, at most one per EVENT_INTERVAL_S; the last one is always sent."""
        now = time.monotonic()
        if is_last or now - self._last_event >= EVENT_INTERVAL_S:
            self._last_event = now
            self.emit(event)


def root_of(job: Message) -> DataRoot:
    return DataRoot(Path(job["data_root"]))


@contextlib.contextmanager
def ingest_of(job: Message) -> Iterator[Job]:
    """The job's ingest folder; closed at the end."""
    with contextlib.closing(Job(Path(job["ingest"]), Kind(job["kind"]))) as work:
        yield work
