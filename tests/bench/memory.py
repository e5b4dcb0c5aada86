"""What an idle engine takes, and what each idle container adds to keeper, engine, supervisor and spawner.

    sudo .venv/bin/python tests/bench/memory.py [CONTAINERS [NETWORK]]

PSS and private dirty of /proc/PID/smaps_rollup (proc(5)). Counted twice: from a cold engine, which has imported an
image and nothing else, so that all is in it that the first starts load; and from a warm one, which has started and
removed 60. What the kernel keeps for a container (namespaces, mounts, cgroups: 0.4 to 0.8 MB) is the same under every
engine and is not counted. A program, not a test, as it starts 3 x 200 containers; tests/engine/test_budgets.py holds
what an idle engine may take.
"""

from __future__ import annotations

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.engine import NativeEngine, measured_engine
from tests.support.tools import busybox_tar

IMAGE = "busybox:latest"
SETTLE_S = 3.0  # commits of states and removals of trees are over by then


def processes(engine: NativeEngine) -> dict[str, int]:
    assert engine.process is not None
    names = ("cove-engine", "cove-supervisor", "cove-spawner")
    return {"cove-keeper": engine.process.pid, **{name: engine.pid_of(name) for name in names}}


def rollup(pid: int) -> dict[str, int]:
    """kB by the names of smaps_rollup."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}


def total(engine: NativeEngine, name: str) -> int:
    return sum(rollup(pid)[name] for pid in processes(engine).values())


def dirty(engine: NativeEngine) -> dict[str, int]:
    """Private dirty kB of each process."""
    return {name: rollup(pid)["Private_Dirty"] for name, pid in processes(engine).items()}


def show(engine: NativeEngine, title: str) -> None:
    print(f"{title}: PSS {total(engine, 'Pss') / 1024:.1f} MB")
    for name, pid in processes(engine).items():
        held = rollup(pid)
        print(f"  {name:16} RSS {held['Rss']:6} kB  PSS {held['Pss']:6} kB  private dirty {held['Private_Dirty']:6} kB")


def start(engine: NativeEngine, count: int, threads: int = 8, network: str = "none") -> None:
    """`count` sleeping containers, from so many threads."""

    def one(_: int) -> None:
        with closing(engine.client()) as client:
            config = {"Image": IMAGE, "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": network}}
            client.start(client.create(config)["Id"])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(count)))


def remove_all(engine: NativeEngine) -> None:
    with closing(engine.client()) as client:
        for container in client.containers(all=True):
            client.remove(container["Id"], force=True)


def measure(engine: NativeEngine, count: int, network: str, title: str, threads: int) -> None:
    """What `count` containers add to the engine as it is now. They are removed again."""
    time.sleep(SETTLE_S)
    show(engine, title)
    before = dirty(engine)
    start(engine, count, threads, network)
    time.sleep(SETTLE_S)
    show(engine, f"{count} idle containers")
    after = dirty(engine)
    each = {name: (after[name] - before[name]) / count for name in after}
    parts = ", ".join(f"{name.removeprefix('cove-')} {kb:.2f}" for name, kb in each.items())
    print(f"added per idle container, {title}: {sum(each.values()):.2f} kB private dirty ({parts})\n")
    remove_all(engine)


def prepared(folder: Path, engine: NativeEngine) -> None:
    tar = busybox_tar(folder / "busybox.tar")
    engine.docker("import", "-c", "ENV PATH=/bin", str(tar), IMAGE)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    network = sys.argv[2] if len(sys.argv) > 2 else "none"
    with tempfile.TemporaryDirectory() as folder:
        with measured_engine() as engine:
            prepared(Path(folder), engine)
            measure(engine, count, network, "cold, one start after the other", 1)
        with measured_engine() as engine:
            prepared(Path(folder), engine)
            measure(engine, count, network, "cold, from 8 threads", 8)
        with measured_engine() as engine:  # another one: what 200 have left behind would be used again
            prepared(Path(folder), engine)
            start(engine, 60, network=network)
            remove_all(engine)
            measure(engine, count, network, "warm, from 8 threads", 8)


if __name__ == "__main__":
    main()
