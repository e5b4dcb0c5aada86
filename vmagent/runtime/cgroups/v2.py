"""cgroup v2 (Documentation/admin-guide/cgroup-v2.rst): one folder; the child is born inside by CLONE_INTO_CGROUP."""

from __future__ import annotations

import errno
import os
import select
import time

from vmagent.linux import bpf, files
from vmagent.runtime.cgroups.base import (
    FREEZE_LIMIT_S,
    Cgroup,
    Tree,
    Usage,
    check_path,
    empty_stats,
    keyed,
    number,
    pids_below,
    pressure_below,
    rdma_line,
    read,
    read_or,
    refuse_frozen,
    remove_tree,
    value_of,
    without_cache,
    write,
)
from vmagent.runtime.plantypes import CgroupRoot, CgroupWhole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from vmagent.runtime.plantypes import ShownCgroup

_WANTED = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc")
_OWN_LEAF = "cove.host"  # a cgroup for our own processes: a cgroup with processes cannot enable controllers below


class TreeV2(Tree):
    version = 2
    __slots__ = ("_prepared", "mount_point")

    def __init__(self, mount_point: str) -> None:
        self.mount_point = mount_point
        self._prepared: set[str] = set()

    @property
    def mount_points(self) -> list[str]:
        return [self.mount_point]

    def at(self, path: str) -> Cgroup:
        return CgroupV2(self.mount_point, check_path(path))

    def create(self, path: str, resources: Mapping[str, Any]) -> Cgroup:
        cgroup = CgroupV2(self.mount_point, check_path(path))
        parent = path.rpartition("/")[0]
        is_ours = False
        try:
            if parent not in self._prepared:
                self._prepare(parent)
            try:
                is_ours = self._make(path)
            except FileNotFoundError:  # somebody removed our parent
                self._prepare(parent)
                is_ours = self._make(path)
            refuse_frozen(cgroup)
            cgroup.update(resources)
        except BaseException:
            if is_ours:
                cgroup.remove()
            raise
        return cgroup

    def _make(self, path: str) -> bool:
        """Make the folder; whether it was missing. Raises OSError."""
        try:
            os.mkdir(self.mount_point + path, 0o755)
        except FileExistsError:
            return False
        return True

    def _prepare(self, parent: str) -> None:
        """Make `parent`, and enable the controllers below each cgroup from the root to it."""
        at = self.mount_point
        self._hand_down(at)
        for part in parent.split("/")[1:]:
            at = f"{at}/{part}"
            os.makedirs(at, 0o755, exist_ok=True)
            self._hand_down(at)
        self._prepared.add(parent)

    def _hand_down(self, directory: str) -> None:
        control = directory + "/cgroup.subtree_control"
        enabled = read(control).split()
        missing = [name for name in read(directory + "/cgroup.controllers").split() if name not in enabled]
        for name in missing:
            if name not in _WANTED:
                continue
            try:
                write(control, "+" + name)
            except OSError as e:
                # EBUSY: only the real root may have both processes and controllers below. Where this one is a
                # namespace's root (in a container), its processes move to a leaf.
                if e.errno != errno.EBUSY or directory != self.mount_point:
                    raise
                self._move_away(directory)
                write(control, "+" + name)

    @staticmethod
    def _move_away(directory: str) -> None:
        leaf = f"{directory}/{_OWN_LEAF}"
        os.makedirs(leaf, exist_ok=True)
        for pid in read(directory + "/cgroup.procs").split():
            try:
                write(leaf + "/cgroup.procs", pid)
            except ProcessLookupError:
                continue

    def mount_plan(self, path: str, *, private: bool) -> list[ShownCgroup]:
        return [CgroupRoot("cgroup2", ()) if private else CgroupWhole(self.mount_point + path)]


class CgroupV2(Cgroup):
    __slots__ = ("_directory", "_mount_point")

    def __init__(self, mount_point: str, path: str) -> None:
        super().__init__(path)
        self._mount_point = mount_point
        self._directory = mount_point + path

    def _file(self, name: str) -> str:
        return f"{self._directory}/{name}"

    def clone_fd(self) -> int:
        return os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def redirected(self, paths: Mapping[str, str]) -> Cgroup:
        result: Cgroup = self
        for controller, path in paths.items():
            if controller:
                raise ValueError(f"unknown controller {controller}")  # one tree for all of them
            result = CgroupV2(self._mount_point, check_path(path))
            if not result.exists():
                raise FileNotFoundError(errno.ENOENT, f"the cgroup {path} does not exist", path)
        return result

    def exists(self) -> bool:
        return os.path.isdir(self._directory)

    def _write(self, name: str, value: str | int) -> None:
        try:
            write(self._file(name), value)
        except FileNotFoundError as e:
            raise OSError(errno.ENODEV, f"this kernel offers no {name}", self.path) from e

    def give_to(self, uid: int) -> None:
        try:
            names = read("/sys/kernel/cgroup/delegate").split()
        except FileNotFoundError:
            names = ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"]
        os.chown(self._directory, uid, -1)
        for name in names:
            try:
                os.chown(self._file(name), uid, -1)
            except FileNotFoundError:
                continue  # the file's controller is not enabled here

    def open_oom_events(self) -> int:
        return files.watch(self._file("memory.events"))

    def update(self, resources: Mapping[str, Any]) -> None:
        self._refuse(resources)
        self._update_memory(resources.get("memory") or {})
        self._update_cpu(resources.get("cpu") or {})
        if (limit := (resources.get("pids") or {}).get("limit")) is not None:
            self._write("pids.max", limit if limit > 0 else "max")
        self._update_io(resources.get("blockIO") or {})
        for page in resources.get("hugepageLimits") or ():
            self._write(f"hugetlb.{page['pageSize']}.max", page["limit"])
            reserved = f"hugetlb.{page['pageSize']}.rsvd.max"
            if os.path.exists(self._file(reserved)):  # enforced when pages are reserved: no SIGBUS comes later
                self._write(reserved, page["limit"])
        for device, limits in (resources.get("rdma") or {}).items():
            self._write("rdma.max", rdma_line(device, limits))
        for name, value in (resources.get("unified") or {}).items():
            if "/" in name:
                raise OSError(errno.EINVAL, f"not a control file: {name}", self.path)
            for line in str(value).splitlines():
                self._write(name, line)
        if rules := resources.get("devices"):
            directory_fd = self.clone_fd()
            try:
                bpf.attach_device_rules(directory_fd, rules)
            finally:
                os.close(directory_fd)

    def _refuse(self, resources: Mapping[str, Any]) -> None:
        """Raise OSError EOPNOTSUPP for a limit of v1 that v2 does not have (config-linux.md, "Unified")."""
        memory, cpu, io = (resources.get(key) or {} for key in ("memory", "cpu", "blockIO"))
        wanted = {
            "memory.kernel": memory.get("kernel"),
            "memory.kernelTCP": memory.get("kernelTCP"),
            "memory.swappiness": memory.get("swappiness") is not None,
            "memory.disableOOMKiller": memory.get("disableOOMKiller"),
            "cpu.realtimePeriod": cpu.get("realtimePeriod"),
            "cpu.realtimeRuntime": cpu.get("realtimeRuntime"),
            "blockIO.leafWeight": io.get("leafWeight")
            or any(e.get("leafWeight") for e in io.get("weightDevice") or ()),
            "network": any((resources.get("network") or {}).values()),
        }
        for name, value in wanted.items():
            if value:
                raise OSError(errno.EOPNOTSUPP, f"cgroup v2 has no {name}", self.path)

    def _update_memory(self, memory: Mapping[str, Any]) -> None:
        limit, swap = memory.get("limit"), memory.get("swap")
        if limit and limit < 0 and not swap:
            swap = -1  # as on v1, where memory alone cannot be unlimited
        if memory.get("checkBeforeUpdate") and limit and 0 < limit < number(read(self._file("memory.current"))):
            raise OSError(errno.EBUSY, f"more than {limit} bytes are in use", self.path)
        if swap:
            if swap < 0:
                self._write_swap("max")
            else:
                limit = limit or number(read_or(self._file("memory.max"), "0"))
                if limit <= 0:
                    raise OSError(errno.EINVAL, "a limit of memory+swap needs one of memory", self.path)
                if swap < limit:
                    raise OSError(errno.EINVAL, "memory+swap is below memory", self.path)
                self._write_swap(swap - limit)
        if limit:
            self._write("memory.max", limit if limit > 0 else "max")
        if reservation := memory.get("reservation"):
            self._write("memory.low", reservation if reservation > 0 else "max")

    def _write_swap(self, value: str | int) -> None:
        try:
            write(self._file("memory.swap.max"), value)
        except FileNotFoundError:
            if value not in ("max", 0):  # without swap accounting these two need nothing to be written
                raise OSError(errno.EOPNOTSUPP, "this kernel counts no swap per cgroup", self.path) from None

    def _update_cpu(self, cpu: Mapping[str, Any]) -> None:
        if cpu.get("idle") is not None:
            self._write("cpu.idle", cpu["idle"])
        if (shares := cpu.get("shares")) and not cpu.get("idle"):
            self._write("cpu.weight", weight_of_shares(shares))
        quota, period = cpu.get("quota"), cpu.get("period")
        if quota or period:
            old_quota, old_period = read(self._file("cpu.max")).split()
            value = old_quota if not quota else "max" if quota < 0 else str(quota)
            self._write("cpu.max", f"{value} {period or old_period}")
        if cpu.get("burst") is not None:
            self._write("cpu.max.burst", cpu["burst"])
        for key in ("cpus", "mems"):
            if cpu.get(key):
                self._write(f"cpuset.{key}", cpu[key])

    def _update_io(self, io: Mapping[str, Any]) -> None:
        if weight := io.get("weight"):
            bfq = self._file("io.bfq.weight")
            if os.path.exists(bfq):
                write(bfq, weight)
            else:
                self._write("io.weight", f"default {1 + (weight - 10) * 9999 // 990}")
        for entry in io.get("weightDevice") or ():
            self._write("io.bfq.weight", f"{entry['major']}:{entry['minor']} {entry['weight']}")
        for key, name in (
            ("throttleReadBpsDevice", "rbps"),
            ("throttleWriteBpsDevice", "wbps"),
            ("throttleReadIOPSDevice", "riops"),
            ("throttleWriteIOPSDevice", "wiops"),
        ):
            for entry in io.get(key) or ():
                self._write("io.max", f"{entry['major']}:{entry['minor']} {name}={entry['rate']}")

    def freeze(self) -> None:
        fd = os.open(self._file("cgroup.events"), os.O_RDONLY | os.O_CLOEXEC)
        try:
            poll = select.poll()
            poll.register(fd, select.POLLPRI)  # the kernel signals a change of cgroup.events this way
            write(self._file("cgroup.freeze"), 1)
            deadline = time.monotonic() + FREEZE_LIMIT_S
            while keyed(os.pread(fd, 4096, 0).decode()).get("frozen") != 1:
                left = deadline - time.monotonic()
                if left <= 0:
                    write(self._file("cgroup.freeze"), 0)
                    raise TimeoutError(errno.ETIMEDOUT, "processes do not freeze", self.path)
                poll.poll(min(left, 0.05) * 1000)
        finally:
            os.close(fd)

    def thaw(self) -> None:
        write(self._file("cgroup.freeze"), 0)

    def is_frozen(self) -> bool:
        if number(read_or(self._file("cgroup.freeze"), "0")) == 1:
            return True
        return keyed(read_or(self._file("cgroup.events"), "")).get("frozen") == 1

    def oom_kills(self) -> int:
        return keyed(read_or(self._file("memory.events"), "")).get("oom_kill", 0)

    def pids(self) -> list[int]:
        return pids_below(self._directory)

    def kill_all(self) -> None:
        # Since 5.14 cgroup.kill also kills children that are being forked, and frozen processes. The loop of the base
        # class does it on older kernels, and waits for the end.
        if os.path.exists(self._file("cgroup.kill")):
            write(self._file("cgroup.kill"), 1)
        super().kill_all()

    def remove(self) -> None:
        remove_tree(self._directory)

    def usage(self) -> Usage:
        cache = value_of(read_or(self._file("memory.stat"), ""), "inactive_file")
        blocks = _io_lines(read_or(self._file("io.stat"), ""))["bytes"]
        return Usage(
            cpu_ns=value_of(read(self._file("cpu.stat")), "usage_usec") * 1000,
            memory_bytes=without_cache(number(read_or(self._file("memory.current"), "0")), cache),
            memory_limit_bytes=number(read_or(self._file("memory.max"), "max")),
            pids=number(read_or(self._file("pids.current"), "0")),
            read_bytes=sum(entry["value"] for entry in blocks if entry["op"] == "Read"),
            written_bytes=sum(entry["value"] for entry in blocks if entry["op"] == "Write"),
        )

    def pressure(self) -> dict[str, str]:
        return pressure_below(self._directory)

    def stats(self) -> dict[str, Any]:
        stats = empty_stats()
        cpu = keyed(read_or(self._file("cpu.stat"), ""))
        stats["cpu"] = {
            "usage_ns": cpu.get("usage_usec", 0) * 1000,
            "user_ns": cpu.get("user_usec", 0) * 1000,
            "system_ns": cpu.get("system_usec", 0) * 1000,
            "percpu_ns": [],
            "periods": cpu.get("nr_periods", 0),
            "throttled_periods": cpu.get("nr_throttled", 0),
            "throttled_ns": cpu.get("throttled_usec", 0) * 1000,
        }
        events = keyed(read_or(self._file("memory.events"), ""))
        stats["memory"] = {
            "usage": number(read_or(self._file("memory.current"), "0")),
            "max_usage": number(read_or(self._file("memory.peak"), "0")),
            "limit": number(read_or(self._file("memory.max"), "max")),
            "failcnt": events.get("max", 0),
            "stats": keyed(read_or(self._file("memory.stat"), "")),
        }
        stats["pids"] = {
            "current": number(read_or(self._file("pids.current"), "0")),
            "limit": number(read_or(self._file("pids.max"), "max")) or None,
        }
        stats["blkio"] = _io_lines(read_or(self._file("io.stat"), ""))
        stats["oom_kills"] = events.get("oom_kill", 0)
        return stats


def _io_lines(text: str) -> dict[str, list[dict[str, Any]]]:
    """io.stat: "8:0 rbytes=… wbytes=… rios=… wios=… dbytes=… dios=…" per device."""
    result: dict[str, list[dict[str, Any]]] = {"bytes": [], "operations": []}
    kinds = {"rbytes": ("bytes", "Read"), "wbytes": ("bytes", "Write"), "dbytes": ("bytes", "Discard")}
    kinds |= {"rios": ("operations", "Read"), "wios": ("operations", "Write"), "dios": ("operations", "Discard")}
    for line in text.splitlines():
        device, *pairs = line.split(" ")
        major, _, minor = device.partition(":")
        if not minor.isdigit():
            continue
        for pair in pairs:
            key, _, value = pair.partition("=")
            if key in kinds:
                group, op = kinds[key]
                result[group].append({"major": int(major), "minor": int(minor), "op": op, "value": int(value)})
    return result


def weight_of_shares(shares: int) -> int:
    """v1's shares [2, 262144] as v2's weight [1, 10000], linearly as the OCI runtimes do it."""
    return 1 + (min(max(shares, 2), 262144) - 2) * 9999 // 262142
