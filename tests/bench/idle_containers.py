"""What recording the usage of idle containers costs the engine: CPU time per second, and memory of the history.

    .venv/bin/python tests/bench/idle_containers.py [CONTAINERS [SECONDS]]

As root. Starts an engine of its own. The figures are CPU time of its processes (/proc/PID/stat).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from tests.support.engine import measured_engine
from tests.support.processes import cpu_s
from tests.support.tools import busybox_tar
from vmagent.engine.history import FILE_BYTES


def main() -> None:
    count, limit_s = (int(word) for word in (*sys.argv[1:], *("20", "30")[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as folder, measured_engine() as engine, closing(engine.client()) as client:
        engine.docker("import", "-c", "ENV PATH=/bin", str(busybox_tar(Path(folder) / "b.tar")), "busybox:latest")
        pid, supervisor = engine.pid_of("cove-engine"), engine.pid_of("cove-supervisor")
        made: list[str] = []
        for wanted in (0, 1, count):
            while len(made) < wanted:
                made.append(client.create({"Image": "busybox:latest", "Cmd": ["sleep", "100000"]})["Id"])
                client.start(made[-1])
            time.sleep(3)  # what follows a start: spare folders, states
            before, also, began = cpu_s(pid), cpu_s(supervisor), time.monotonic()
            time.sleep(limit_s)
            took = time.monotonic() - began
            share, others = (cpu_s(pid) - before) / took, (cpu_s(supervisor) - also) / took
            print(f"{wanted:4} containers: engine {share:.2%} of a CPU, supervisor {others:.2%}")
        files = [engine.root / "exec" / "containers" / one / "usage.1" for one in made]
        used = sum(os.stat(file).st_blocks * 512 for file in files) / len(files)
        print(f"history: {used / 1024:.0f} kB a container now, at most {FILE_BYTES / 1024:.0f} kB")
        points = client.usage_history(made[0])["seconds"]["at_ms"]
        print(f"points: {len(points)}, {(points[-1] - points[0]) / 1000 / max(1, len(points) - 1):.2f} s apart")
        for one in made:
            client.remove(one, force=True)


if __name__ == "__main__":
    main()
