"""In a helper process: the changes of a container's upper folder become the top layer of a new image.

The tar goes from the thread that writes it to the one that stores it, in one process; the engine's loop sees the
result only. `run` takes a job as `op_import` of `vmagent.images.worker` does, with the folder as "upper".
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

from vmagent.containers import tarring
from vmagent.images import worker

TITLE = "cove-snapshot"


def run(job: dict[str, Any], _fds: Sequence[int], emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The result of `op_import`. Raises ImageFault, OSError."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    failures: list[Exception] = []

    def write() -> None:
        try:
            with open(writer, "wb") as out:
                tarring.write_diff(job["upper"], out)
        except BrokenPipeError:
            pass  # the storing thread has failed, and its exception is raised
        except Exception as e:  # noqa: BLE001 - carried to the other thread, raised there
            failures.append(e)

    thread = threading.Thread(target=write, name="write the diff")
    thread.start()
    try:
        # A tar that broke off lacks its end, and is refused; the reason is the writer's.
        return worker.run({**job, "op": "import"}, [reader], emit)
    finally:
        os.close(reader)
        thread.join()
        if failures:
            raise failures[0]


failure = worker.failure
