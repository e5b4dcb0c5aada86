"""What a test run holds of the machine: descriptors, processes, mounts, cgroups, and its working directory.

A namespace lives only by a process in it, a descriptor of it or a mount of it, so these three cover namespaces too.
Only what this run made counts: other runs may go on beside it. Its processes have a word in their environment, its
mounts lie below folders that it made, its cgroups carry its process id.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

_MARK = f"COVE_TEST_RUN={uuid.uuid4().hex}"
# The folder being listed; and what the threads of Qt and of asyncio's pools wait on, since they outlive a test.
_NO_LEAK = (f"/proc/{os.getpid()}/fd", "anon_inode:[eventpoll]", "anon_inode:[eventfd]")
_CGROUPS = Path("/sys/fs/cgroup")
_ENDING_S = float(os.environ.get("COVE_TEST_ENDING_S", "30"))  # spent in full only by a test that fails


class Held(NamedTuple):
    """One thing that the run holds. Equal in two snapshots if it is the same thing, not another one of its number."""

    kind: str  # "descriptor", "process", "mount", "cgroup" or "working directory"
    what: str


class Holdings:
    """What this run holds now, and what its wider fixtures may go on to hold."""

    def __init__(self) -> None:
        self._folders: list[str] = []
        self.of_session: set[Held] = set()  # made by fixtures of the session
        self.of_module: set[Held] = set()  # made by those of the module

    def install(self, folder: Path) -> None:
        """Mark this process's children to come, and remember the folders that it makes. `folder`: pytest's own."""
        name, _, value = _MARK.partition("=")
        os.environ[name] = value
        self._folders = [str(folder), f"/tmp/cove-podman-{os.getpid()}"]
        tempfile.mkdtemp = self._remembering(tempfile.mkdtemp)

    def _remembering(self, mkdtemp: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(mkdtemp)
        def made(*args: Any, **options: Any) -> Any:
            folder = mkdtemp(*args, **options)
            if not Path(folder).name.startswith("cvt-"):  # an engine's, which looks after its mounts when it stops
                self._folders.append(str(folder))
            return folder

        return made

    def quick(self) -> set[Held]:
        """All but processes: 2 ms."""
        here = Held("working directory", os.readlink("/proc/self/cwd"))
        return {here, *_descriptors(), *self._mounts(), *_own_cgroups()}

    def all(self) -> set[Held]:
        """17 ms on a machine with 300 processes."""
        return self.quick() | self._processes()

    @staticmethod
    def left(now: Callable[[], set[Held]], allowed: set[Held]) -> set[Held]:
        """What `now` finds beyond `allowed`; waits for what is just ending."""
        deadline = time.monotonic() + _ENDING_S
        while (found := now() - allowed) and time.monotonic() < deadline:
            gc.collect()
            time.sleep(0.05)  # there is no event for the end of all of these
        return found

    def _processes(self) -> set[Held]:
        """This run's processes but for those that one of the session's fixtures has started."""
        kept = {int(held.what.split()[0]) for held in self.of_session if held.kind == "process"}
        parents: dict[int, int] = {}
        found: dict[int, Held] = {}
        zombies: dict[int, Held] = {}
        mark = _MARK.encode()
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            with contextlib.suppress(OSError):
                with open(f"/proc/{entry}/stat", "rb") as file:
                    head, _, tail = file.read().rpartition(b")")
                fields = tail.split()
                pid, parent = int(entry), int(fields[1])
                parents[pid] = parent
                name = head.partition(b"(")[2].decode(errors="replace")
                held = Held("process", f"{pid} {fields[19].decode()} {name}")
                if fields[0] == b"Z":
                    zombies[pid] = held
                    continue
                if parent != os.getpid():
                    with open(f"/proc/{entry}/environ", "rb") as file:
                        if mark not in file.read():
                            continue
                found[pid] = held
        # A zombie has no environment left: it belongs to this run if its parent does.
        ours = {os.getpid(), *found}
        found.update({pid: held for pid, held in zombies.items() if parents[pid] in ours})
        return {held for pid, held in found.items() if not _descends(pid, kept, parents)}

    def _mounts(self) -> set[Held]:
        points = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
        return {Held("mount", point) for point in points if any(point.startswith(own) for own in self._folders)}


def _descends(pid: int, ancestors: set[int], parents: dict[int, int]) -> bool:
    while pid := parents.get(pid, 0):
        if pid in ancestors:
            return True
    return False


def _descriptors() -> set[Held]:
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the descriptor that listed the folder
            target = os.readlink(f"/proc/self/fd/{number}")
            if not target.startswith(_NO_LEAK):
                found.add(Held("descriptor", f"{number} {target}"))
    return found


def _own_cgroups() -> set[Held]:
    """Those below the run's own parents, as tests/runtime and tests/support/podman.py name them.

    Of podman's only those of containers: it leaves conmon's, and with crun and runc those of pods.
    """
    roots = [_CGROUPS, *(path for path in _CGROUPS.iterdir() if path.is_dir())]
    names = (f"cove-test-{os.getpid()}*/*", f"cove-podman-{os.getpid()}*/**/libpod-*")
    return {Held("cgroup", str(path)) for root in roots for name in names for path in root.glob(name) if path.is_dir()}


HOLDINGS = Holdings()
