"""The interface of control groups, whatever their version, and functions on their small files.

A cgroup is named by its path from the root of the hierarchies ("/cove/ID"). Resources are the `linux.resources`
object of the OCI runtime spec (config-linux.md, "Control groups"), as parsed from JSON.
"""

from __future__ import annotations

import errno
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from vmagent.runtime.plantypes import ShownCgroup

KILL_LIMIT_S = 5.0
FREEZE_LIMIT_S = 2.0
_SIGKILL = 9
_READ_BYTES = 65536
_SHORT_BYTES = 2048  # a read of less has met the end: the kernel fills a page with lines (seq_file), which are short
_PAUSE_S = 0.001  # cgroup v1 has no event for the end of a freeze or of the last process


class Usage:
    """What a cgroup uses: the few counters that are cheap to read. The values of a missing controller are 0."""

    __slots__ = ("cpu_ns", "memory_bytes", "memory_limit_bytes", "pids", "read_bytes", "written_bytes")

    def __init__(
        self,
        *,
        cpu_ns: int = 0,
        memory_bytes: int = 0,
        memory_limit_bytes: int = 0,
        pids: int = 0,
        read_bytes: int = 0,
        written_bytes: int = 0,
    ) -> None:
        self.cpu_ns = cpu_ns  # since the cgroup was made
        self.memory_bytes = memory_bytes  # without the inactive file cache, as docker's clients calculate it
        self.memory_limit_bytes = memory_limit_bytes  # 0: none of its own
        self.pids = pids  # processes and threads
        self.read_bytes = read_bytes  # from block devices, since the cgroup was made
        self.written_bytes = written_bytes  # to them


class Cgroup:
    """One container's control group. Subclasses know the files; methods are idempotent only where they say so."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def clone_fd(self) -> int:
        """A descriptor of the v2 folder for CLONE_INTO_CGROUP, the caller's; -1 where no v2 tree is mounted."""
        return -1

    def entrances(self) -> list[str]:
        """The files of v1 that a child writes 0 to in order to enter; with both versions, beside `clone_fd`."""
        return []

    def enter(self) -> None:
        """Put the calling process (one thread) into the v1 hierarchies. Raises OSError."""
        for path in self.entrances():
            write(path, 0)

    def redirected(self, paths: Mapping[str, str]) -> Cgroup:
        """This cgroup, but a child enters the cgroup at `paths[controller]` instead; "" stands for all controllers.

        Raises ValueError for a controller without a hierarchy of its own, FileNotFoundError for a missing cgroup.
        """
        raise NotImplementedError

    def update(self, resources: Mapping[str, Any]) -> None:
        """Apply the limits that `resources` names, leave the others. Raises OSError."""
        raise NotImplementedError

    def give_to(self, uid: int) -> None:
        """Let the user `uid` make cgroups below this one. On v1 it does nothing: that would not be safe. OSError."""

    def open_oom_events(self) -> int:
        """A descriptor that becomes readable at each out-of-memory kill, the caller's. Raises OSError.

        Read from it before waiting again: 8 bytes (v1, an eventfd) or any number (v2, an inotify of memory.events).
        """
        raise NotImplementedError

    def freeze(self) -> None:
        """Stop all processes; returns when all have stopped. Raises OSError ETIMEDOUT after 2 s."""
        raise NotImplementedError

    def thaw(self) -> None:
        raise NotImplementedError

    def is_frozen(self) -> bool:
        """Whether its processes are stopped, or about to be: by its own freezer or by that of a cgroup above."""
        raise NotImplementedError

    def stats(self) -> dict[str, Any]:
        """Current counters of cpu (ns), memory (bytes), pids and blkio, in the shape of `empty_stats`.

        The values of a missing controller stay 0.
        """
        raise NotImplementedError

    def usage(self) -> Usage:
        """The counters that a periodic reader wants, at a fraction of the cost of `stats`.

        Raises FileNotFoundError if the cgroup does not exist, OSError.
        """
        raise NotImplementedError

    def pressure(self) -> dict[str, str]:
        """The text of the pressure files of cpu, memory and io, as far as the kernel has them: accounting/psi.rst."""
        return {}

    def oom_kills(self) -> int:
        """How many processes in here the kernel's OOM killer has killed."""
        raise NotImplementedError

    def pids(self) -> list[int]:
        """The processes in here and below, as pids of the caller's namespace; empty if the cgroup does not exist."""
        raise NotImplementedError

    def signal_all(self, signum: int) -> None:
        """Send `signum` to each process in here. Processes born meanwhile may be missed."""
        for pid in self.pids():
            try:
                os.kill(pid, signum)
            except ProcessLookupError:
                continue

    def kill_all(self) -> None:
        """Send SIGKILL to all in here until only zombies are left. Raises OSError ETIMEDOUT after 5 s."""
        deadline = time.monotonic() + KILL_LIMIT_S
        while pids := self.pids():
            living = False
            for pid in pids:
                if not is_zombie(pid):
                    living = True
                    try:
                        os.kill(pid, _SIGKILL)
                    except ProcessLookupError:
                        continue
            if not living:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(errno.ETIMEDOUT, "processes outlive SIGKILL", self.path)
            time.sleep(_PAUSE_S)

    def remove(self) -> None:
        """Remove the cgroup and those below it. Idempotent. Raises OSError EBUSY while processes are inside."""
        raise NotImplementedError

    def remove_unless_in_use(self) -> bool:
        """`remove` and return True; False if live processes are inside, which belong to another container.

        Processes that have been killed may take a moment to leave. Raises OSError EBUSY if none is alive and the cgroup
        cannot be removed for 5 s.
        """
        deadline = time.monotonic() + KILL_LIMIT_S
        while all(is_zombie(pid) for pid in self.pids()):
            try:
                self.remove()
                return True
            except OSError as e:
                if e.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise
            pause()
        return False

    def exists(self) -> bool:
        raise NotImplementedError


class Tree:
    """The cgroup hierarchies of the machine, in one version; makes the `Cgroup` objects."""

    version: int
    __slots__ = ()

    @property
    def mount_points(self) -> list[str]:
        """Where the hierarchies are mounted in which a container has a cgroup; without a slash at the end."""
        raise NotImplementedError

    def at(self, path: str) -> Cgroup:
        """The cgroup at `path`, whether it exists or not. Raises ValueError for a bad path."""
        raise NotImplementedError

    def create(self, path: str, resources: Mapping[str, Any]) -> Cgroup:
        """Make the cgroup and set its limits before the container's process is in it; one that exists is used.

        Raises OSError, then what was made is removed again; EBUSY for a frozen cgroup: a process born there would stop
        before it could report anything.
        """
        raise NotImplementedError

    def mount_plan(self, path: str, *, private: bool) -> list[ShownCgroup]:
        """How a mount of type `cgroup` shows this tree: see `vmagent.runtime.rootfs`."""
        raise NotImplementedError


def refuse_frozen(cgroup: Cgroup) -> None:
    """Raises OSError EBUSY, in runc's words."""
    if cgroup.is_frozen():
        raise OSError(errno.EBUSY, "container's cgroup unexpectedly frozen", cgroup.path)


def check_path(path: str) -> str:
    """Return `path` if it is absolute, normal and below the root. Raises ValueError."""
    parts = path.split("/")
    if parts[0] or len(parts) < 2 or any(part in ("", ".", "..") for part in parts[1:]):
        raise ValueError(f"not a cgroup path: {path!r}")
    return path


def empty_stats() -> dict[str, Any]:
    return {
        "cpu": {
            "usage_ns": 0,
            "user_ns": 0,
            "system_ns": 0,
            "percpu_ns": [],
            "periods": 0,
            "throttled_periods": 0,
            "throttled_ns": 0,
        },
        "memory": {"usage": 0, "max_usage": 0, "limit": 0, "failcnt": 0, "stats": {}},
        "pids": {"current": 0, "limit": None},
        "blkio": {"bytes": [], "operations": []},
        "oom_kills": 0,
    }


def write(path: str, value: str | int) -> None:
    """Write one control file, in one write(2). Raises OSError naming the file."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, str(value).encode())
    except OSError as e:
        raise OSError(e.errno, f"write {value}: {os.strerror(e.errno or 0)}", path) from e
    finally:
        os.close(fd)


def read(path: str) -> str:
    """A control file's text. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(fd, _READ_BYTES)
        if len(text) >= _SHORT_BYTES:
            while part := os.read(fd, _READ_BYTES):
                text += part
    finally:
        os.close(fd)
    return text.decode()


def read_or(path: str, default: str) -> str:
    """As `read`, but returns `default` if the file or its controller is missing."""
    try:
        return read(path)
    except (FileNotFoundError, NotADirectoryError):
        return default
    except OSError as e:
        if e.errno in (errno.ENODEV, errno.EOPNOTSUPP):
            return default
        raise


def keyed(text: str) -> dict[str, int]:
    """The numbers of a flat keyed file ("key value" lines); other lines are ignored."""
    result = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if value.strip().lstrip("-").isdigit():
            result[key] = int(value)
    return result


def value_of(text: str, key: str) -> int:
    """The number of `key` in a flat keyed file; 0 where there is none. Other lines are not parsed."""
    at = 0 if text.startswith(f"{key} ") else text.find(f"\n{key} ") + 1
    if not at and not text.startswith(f"{key} "):
        return 0
    return number(text[at + len(key) : text.find("\n", at)])


def without_cache(usage: int, cache: int) -> int:
    """A cgroup's memory without its file cache: two counters that are not read in one instant."""
    return usage - cache if cache < usage else usage


def number(text: str, default: int = 0) -> int:
    """The number in a file of one value; `default` for other text, such as "max"."""
    text = text.strip()
    return int(text) if text.lstrip("-").isdigit() else default


def rdma_line(device: str, limits: Mapping[str, Any]) -> str:
    """A line of rdma.max: "mlx5_0 hca_handle=3 hca_object=10"."""
    words = [device]
    for key, name in (("hcaHandles", "hca_handle"), ("hcaObjects", "hca_object")):
        if limits.get(key) is not None:
            words.append(f"{name}={limits[key]}")
    return " ".join(words)


def remove_tree(directory: str) -> None:
    """Remove the cgroup `directory` and all below it. Idempotent. Raises OSError EBUSY while processes are inside."""
    try:
        os.rmdir(directory)
        return
    except FileNotFoundError:
        return
    except OSError as e:
        if e.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            raise
    try:
        with os.scandir(directory) as entries:
            below = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return
    if not below:
        os.rmdir(directory)  # nothing is below: raises EBUSY if processes are inside
        return
    for path in below:
        remove_tree(path)
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return


def pids_below(directory: str) -> list[int]:
    """The pids in the cgroup.procs of `directory` and below. A cgroup that is removed meanwhile counts as empty."""
    found: list[int] = []
    stack = [directory]
    while stack:
        here = stack.pop()
        try:
            found.extend(int(line) for line in read(here + "/cgroup.procs").split())
            with os.scandir(here) as entries:
                stack.extend(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as e:
            if e.errno != errno.ENODEV:  # removed between open and read
                raise
    return found


def is_zombie(pid: int) -> bool:
    """Whether `pid` has ended, reaped or not: proc(5), third field of stat."""
    try:
        text = read(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        return True
    return text[text.rindex(")") + 2] in "ZX"


def pressure_below(directory: str) -> dict[str, str]:
    """`Cgroup.pressure` of a folder of the v2 tree. OSError EOPNOTSUPP counts as a missing file: it is turned off."""
    texts = {name: read_or(f"{directory}/{name}.pressure", "") for name in ("cpu", "memory", "io")}
    return {name: text for name, text in texts.items() if text}


def pause() -> None:
    """Sleep for a millisecond: polling, where cgroup v1 has no event."""
    time.sleep(_PAUSE_S)
