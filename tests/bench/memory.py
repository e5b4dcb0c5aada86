"""What an idle engine takes, and what each idle container adds to keeper, engine and supervisor.

    sudo .venv/bin/python tests/bench/memory.py [CONTAINERS]

PSS and private dirty of /proc/PID/smaps_rollup (proc(5)). What the kernel keeps for a container (namespaces, mounts,
cgroups: 0.4 to 0.8 MB) is the same under every engine and is not counted. A program, not a test: it starts 200
containers; tests/engine/test_budgets.py holds what an idle engine may take.
"""

from __future__ import annotations

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.engine import NativeEngine, native_engine
from tests.support.tools import busybox_tar

IMAGE = "busybox:latest"
SETTLE_S = 3.0  # commits of states and removals of trees are over by then


def processes(engine: NativeEngine) -> dict[str, int]:
    assert engine.process is not None
    names = ("cove-engine", "cove-supervisor")
    return {"cove-keeper": engine.process.pid, **{name: engine.pid_of(name) for name in names}}


def rollup(pid: int) -> dict[str, int]:
    """kB by the names of smaps_rollup."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}


def total(engine: NativeEngine, name: str) -> int:
    return sum(rollup(pid)[name] for pid in processes(engine).values())


def show(engine: NativeEngine, title: str) -> None:
    print(f"{title}: PSS {total(engine, 'Pss') / 1024:.1f} MB")
    for name, pid in processes(engine).items():
        held = rollup(pid)
        print(f"  {name:16} RSS {held['Rss']:6} kB  PSS {held['Pss']:6} kB  private dirty {held['Private_Dirty']:6} kB")


def start(engine: NativeEngine, count: int) -> None:
    """`count` sleeping containers, from 8 threads."""

    def one(_: int) -> None:
        with closing(engine.client()) as client:
            config = {"Image": IMAGE, "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "none"}}
            client.start(client.create(config)["Id"])

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(count)))


def remove_all(engine: NativeEngine) -> None:
    with closing(engine.client()) as client:
        for container in client.containers(all=True):
            client.remove(container["Id"], force=True)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as folder, native_engine() as engine:
        tar = busybox_tar(Path(folder, "busybox.tar"))
        engine.docker("import", "-c", "ENV PATH=/bin", str(tar), IMAGE)
        show(engine, "idle, nothing was started yet")
        start(engine, 60)  # what the first starts load stays, and the ring of the last 256 events is full
        remove_all(engine)
        time.sleep(SETTLE_S)
        before = total(engine, "Private_Dirty")
        show(engine, "after 60 containers")
        start(engine, count)
        time.sleep(SETTLE_S)
        after = total(engine, "Private_Dirty")
        show(engine, f"{count} idle containers")
        print(f"added per idle container: {(after - before) / count:.1f} kB private dirty")
        remove_all(engine)


if __name__ == "__main__":
    main()
