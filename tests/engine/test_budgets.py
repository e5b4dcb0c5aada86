"""Limits on the engine's costs, as counts: system calls that wait for RCU, flushes, memory. Times are in tests/bench.

An RCU grace period takes 5 to 36 ms, longer than the rest of a start. These operations wait for one: deleting an
interface, writing another process's pid to cgroup.procs after a quiet period, and the end of a network namespace that
has interfaces (under a lock that starts need). strace shows which thread makes these calls, and when.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tests.support.engine import NativeEngine
from tests.support.waiting import wait_until
from vmagent.linux.nft import Nft

MAX_PSS_KB = 42 << 10  # keeper, engine, supervisor and spawner together
# libnftables keeps as much for each table of the machine; those of other engines are not the tested one's.
MAX_TABLE_KB = 520
MAX_SUPERVISOR_KB = 14 << 10
MAX_IDLE_KB = 10  # private dirty of all four for each idle container
IMAGE = "busybox:latest"


@contextlib.contextmanager
def traced(engine: NativeEngine, folder: Path) -> Iterator[dict[str, str]]:
    """Trace the agent's processes with all their threads and children; afterwards their calls by thread."""
    pids = processes(engine)
    calls = "trace=sendto,sendmsg,?open,openat,write,fsync,fdatasync,rmdir,clone3"
    command = ["strace", "-f", "-ff", "-y", "-ttt", "-s", "160", "-x", "-e", calls, "-o", str(folder / "trace")]
    with subprocess.Popen(
        [*command, *(word for pid in pids for word in ("-p", str(pid)))], stderr=subprocess.PIPE, text=True
    ) as strace:
        assert strace.stderr is not None
        attached = 0
        while attached < len(pids):
            attached += "attached" in strace.stderr.readline()
        found: dict[str, str] = {}
        try:
            yield found
        finally:
            strace.terminate()
            strace.stderr.read()
    for file in folder.glob("trace.*"):
        found[file.suffix[1:]] = file.read_text(errors="replace")


def test_no_wait_for_rcu_and_one_group_of_flushes(own_engine: NativeEngine, tmp_path: Path) -> None:
    engine_pid = str(own_engine.pid_of("cove-engine"))
    with closing(own_engine.client()) as client:
        made = client.create({"Image": IMAGE, "Cmd": ["true"]})["Id"]  # loads everything that is loaded at first use
        client.start(made)
        client.wait(made)
        client.remove(made)
        time.sleep(1)  # quiet: the state in which a write to cgroup.procs waits
        with traced(own_engine, tmp_path) as calls:
            begun = time.time()
            made = client.create({"Image": IMAGE, "Cmd": ["sleep", "100"]})["Id"]
            created = time.time()
            client.start(made)
            execution = client.exec_create(made, {"Cmd": ["true"]})
            client.exec_start_detached(execution)
            while client.exec_inspect(execution)["Running"]:
                continue
            started = time.time()
            client.remove(made, force=True)
            wait_until(lambda: any(rtm_dellinks(file.read_text(errors="replace")) for file in tmp_path.glob("trace.*")))
    everything = "\n".join(calls.values())
    assert "clone3(" in everything  # the trace did see a start
    assert not re.search(r'open(?:at)?\([^\n]*cgroup\.procs"[^\n]*O_(WRONLY|RDWR)', everything)
    assert len(re.findall(r'open(?:at)?\([^\n]*/tasks"', everything)) == 2 * len(
        hierarchies()
    )  # by the children themselves

    # A separate thread deletes interfaces and closes namespaces.
    [disposer] = [thread for thread, text in calls.items() if rtm_dellinks(text)]
    assert disposer != engine_pid
    others = {thread: len(rtm_dellinks(text)) for thread, text in calls.items() if thread != disposer}
    assert not any(others.values()), others

    # The create waits for one flush, that of its record. Folders for the next containers are made and flushed in a
    # quiet moment, for no request, by another thread; on a busy machine that moment may be now.
    record, spare = f"/data/containers/{made}/config.json>", re.compile(r"/data/containers(/[0-9a-f]{64})?>")
    flushed = {thread: flushes(text, begun, started) for thread, text in calls.items()}
    [creating] = [thread for thread, found in flushed.items() if any(record in line for _, line in found)]
    of_create = [line for at, line in flushed[creating] if at <= created]
    assert len(of_create) == 1, of_create
    assert record in of_create[0]
    others_flushed = [line for found in flushed.values() for _, line in found if line not in of_create]
    assert [line for line in others_flushed if not spare.search(line)] == [], "a start or an exec waited for the disk"


def flushes(trace: str, begun: float, ended: float) -> list[tuple[float, str]]:
    """A thread's flushes in a span of time (seconds since 1970): (when, the line)."""
    found = [(float(line.split()[0]), line) for line in trace.splitlines() if re.search(r"\bf(data)?sync\(", line)]
    return [(at, line) for at, line in found if begun <= at <= ended]


def hierarchies() -> list[str]:
    """The cgroup v1 hierarchies in which a container has a cgroup; empty on v2."""
    mounts = Path("/proc/mounts").read_text().splitlines()
    return [line.split()[1] for line in mounts if line.split()[2] == "cgroup"]


def rtm_dellinks(trace: str) -> list[str]:
    """Requests to delete interfaces: rtnetlink(7), RTM_DELLINK is 17 (0x11) in the second word of the header."""
    return [
        line
        for line in trace.splitlines()
        if re.search(r"send(to|msg)\(", line)
        and ("RTM_DELLINK" in line or re.search(r'"\\x..\\x..\\x00\\x00\\x11\\x00', line))
    ]


def test_an_idle_engine_is_small(own_engine: NativeEngine) -> None:
    supervisor = own_engine.pid_of("cove-supervisor")
    with closing(Nft()) as nft:
        tables = len(nft.run("list tables").splitlines())
    pss = {pid: rollup(pid, "Pss") for pid in processes(own_engine)}
    assert sum(pss.values()) <= MAX_PSS_KB + MAX_TABLE_KB * (tables - 1), (pss, tables)
    own_engine.docker("run", "--rm", IMAGE, "true")
    assert rollup(supervisor, "Rss") <= MAX_SUPERVISOR_KB


def test_an_idle_container_adds_kilobytes(own_engine: NativeEngine) -> None:
    """One more list or bound method per container would break the limit (figures: tests/bench/memory.py)."""

    made = []

    def start(count: int) -> None:
        for _ in range(count):
            made.append(client.create({"Image": IMAGE, "Cmd": ["sleep", "1000"]})["Id"])
            client.start(made[-1])

    def dirty() -> int:
        return sum(rollup(pid, "Private_Dirty") for pid in processes(own_engine))

    with closing(own_engine.client()) as client:
        start(5)  # the first starts load modules
        before = dirty()
        start(40)
        added = dirty() - before
        for container in made:
            client.remove(container, force=True)
    assert added <= 40 * MAX_IDLE_KB


def processes(engine: NativeEngine) -> list[int]:
    """Keeper, engine, supervisor, spawner."""
    assert engine.process is not None
    names = ("cove-engine", "cove-supervisor", "cove-spawner")
    return [engine.process.pid, *(engine.pid_of(name) for name in names)]


def rollup(pid: int, name: str) -> int:
    """kB: /proc/PID/smaps_rollup."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.partition(f"\n{name}:")[2].split()[0])
