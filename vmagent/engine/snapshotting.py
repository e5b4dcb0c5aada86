"""In a helper process: stores the content of a container's upper folder as the top layer of a new image.

One thread writes the tar and another one stores it, in the same process; the engine's loop gets only the result. `run`
takes the same job as `op_import` of `vmagent.images.worker`, plus the folder as "upper".
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
        # If the writer fails, the tar has no end and is refused; the writer's exception, raised below, has the reason.
        return worker.run({**job, "op": "import"}, [reader], emit)
    finally:
        os.close(reader)
        thread.join()
        if failures:
            raise failures[0]


failure = worker.failure
