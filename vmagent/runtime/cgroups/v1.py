"""cgroup v1 and hybrid: one folder per hierarchy (Documentation/admin-guide/cgroup-v1/).

The child enters by writing 0 to each `tasks`: for its own only thread the kernel takes no lock that waits for RCU,
as a write to cgroup.procs by the parent does (5 to 20 ms after a quiet moment). Where a v2 tree is mounted beside the
hierarchies (hybrid), the container has a cgroup of the same path there, as with runc, and is born in it.
"""

from __future__ import annotations

import errno
import os
import time

from vmagent.runtime.cgroups.base import (
    FREEZE_LIMIT_S,
    Cgroup,
    Tree,
    Usage,
    check_path,
    empty_stats,
    keyed,
    number,
    pause,
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
from vmagent.runtime.plantypes import CgroupBind, CgroupHierarchy, CgroupLink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from vmagent.runtime.plantypes import ShownCgroup

# A container joins the hierarchies of these controllers, as far as they are mounted, and the name=… hierarchies.
_CONTROLLERS = frozenset(
    [
        "cpu",
        "cpuacct",
        "cpuset",
        "memory",
        "devices",
        "freezer",
        "blkio",
        "pids",
        "hugetlb",
        "net_cls",
        "net_prio",
        "perf_event",
        "rdma",
        "misc",
    ]
)
_BLOCK_BYTES = "blkio.throttle.io_service_bytes_recursive"
_UNLIMITED = 0x7FFFFFFFFFFFF000  # memory.limit_in_bytes without a limit, with pages of 4 KiB


class TreeV1(Tree):
    """The hierarchies mounted, found in /proc/self/mountinfo."""

    version = 1
    __slots__ = ("_prepared", "controllers", "hierarchies", "unified")

    def __init__(self) -> None:
        self.hierarchies: list[tuple[str, list[str]]] = []  # (mount point, its controllers or name=…)
        self.controllers: dict[str, str] = {}  # controller → mount point
        self.unified = ""  # mount point of the v2 tree, "" if there is none that can be written to
        self._prepared: set[str] = set()
        for line in read("/proc/self/mountinfo").splitlines():
            left, _, right = line.partition(" - ")
            fields = right.split(" ")
            mount_point = left.split(" ")[4]
            if fields[0] == "cgroup2" and not self.unified and os.access(mount_point, os.W_OK):
                self.unified = mount_point
            if fields[0] != "cgroup":
                continue
            names = [word for word in fields[2].split(",") if word in _CONTROLLERS or word.startswith("name=")]
            if names and not any(name in self.controllers for name in names):
                self.hierarchies.append((mount_point, names))
                for name in names:
                    self.controllers[name] = mount_point
        if not self.hierarchies:
            raise OSError(errno.ENOENT, "no cgroup hierarchy is mounted", "/sys/fs/cgroup")

    @property
    def mount_points(self) -> list[str]:
        found = [mount_point for mount_point, _ in self.hierarchies]
        return [*found, self.unified] if self.unified else found

    def at(self, path: str) -> Cgroup:
        return CgroupV1(self, check_path(path))

    def create(self, path: str, resources: Mapping[str, Any]) -> Cgroup:
        cgroup = CgroupV1(self, check_path(path))
        parent = path.rpartition("/")[0]
        made: list[str] = []
        try:
            if parent and parent not in self._prepared:
                self._prepare(parent)
            try:
                self._make(path, made)
            except FileNotFoundError:  # somebody removed our parent
                self._prepare(parent)
                self._make(path, made)
            refuse_frozen(cgroup)
            cgroup.update(resources)
        except BaseException:
            for directory in made:
                remove_tree(directory)
            raise
        return cgroup

    def _prepare(self, parent: str) -> None:
        """Make `parent` and all cgroups above it."""
        for mount_point in self.mount_points:
            os.makedirs(mount_point + parent, 0o755, exist_ok=True)
        at = ""
        for part in parent.split("/")[1:]:
            above, at = at, f"{at}/{part}"
            self._init_cpuset(above, at)
        if (root := self.controllers.get("cpuset")) is not None:
            write(f"{root}{parent}/cgroup.clone_children", 1)
        self._prepared.add(parent)

    def _make(self, path: str, made: list[str]) -> None:
        """Make the folders that are missing; their names are added to `made`. Raises OSError."""
        for mount_point in self.mount_points:
            try:
                os.mkdir(mount_point + path, 0o755)
            except FileExistsError:
                continue
            made.append(mount_point + path)
        self._init_cpuset(path.rpartition("/")[0], path)

    def _init_cpuset(self, parent: str, path: str) -> None:
        """Copy cpus and mems from the parent: a cpuset accepts no process before both are set.

        The kernel does so itself if the parent has cgroup.clone_children, which `_prepare` sets.
        """
        root = self.controllers.get("cpuset")
        if root is None or read(f"{root}{path}/cpuset.mems").strip():
            return
        for name in ("cpuset.cpus", "cpuset.mems"):
            if not read(f"{root}{path}/{name}").strip():
                write(f"{root}{path}/{name}", read(f"{root}{parent}/{name}").strip())

    def mount_plan(self, path: str, *, private: bool) -> list[ShownCgroup]:
        plan: list[ShownCgroup] = []
        for mount_point, names in self.hierarchies:
            folder = mount_point.rpartition("/")[2]
            if private:
                words = ["none," + name if name.startswith("name=") else name for name in names]
                plan.append(CgroupHierarchy(folder, ",".join(words)))
            else:
                plan.append(CgroupBind(folder, mount_point + path))
            plan.extend(CgroupLink(name, folder) for name in names if name != folder and not name.startswith("name="))
        return plan


class CgroupV1(Cgroup):
    """One path in every hierarchy."""

    __slots__ = ("_elsewhere", "_tree")

    def __init__(self, tree: TreeV1, path: str) -> None:
        super().__init__(path)
        self._tree = tree
        self._elsewhere: dict[str, str] = {}  # mount point → path, where a child is to enter another cgroup

    def _file(self, controller: str, name: str) -> str:
        """Raises OSError ENODEV where the controller is not mounted."""
        root = self._tree.controllers.get(controller)
        if root is None:
            raise OSError(errno.ENODEV, f"cgroup controller {controller} is not available", self.path)
        return f"{root}{self.path}/{name}"

    def _has(self, controller: str) -> bool:
        return controller in self._tree.controllers

    def clone_fd(self) -> int:
        if not self._tree.unified:
            return -1
        try:
            path = self._elsewhere.get(self._tree.unified, self.path)
            return os.open(self._tree.unified + path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:  # a container made by a version of this program that did not join the v2 tree
            return -1

    def entrances(self) -> list[str]:
        return [
            f"{mount_point}{self._elsewhere.get(mount_point, self.path)}/tasks"
            for mount_point, _ in self._tree.hierarchies
        ]

    def redirected(self, paths: Mapping[str, str]) -> Cgroup:
        result = CgroupV1(self._tree, self.path)
        for controller, path in paths.items():
            if controller and controller not in self._tree.controllers:
                raise ValueError(f"unknown controller {controller}")
            mount_points = [self._tree.controllers[controller]] if controller else self._tree.mount_points
            for mount_point in mount_points:
                if not os.path.isdir(mount_point + check_path(path)):
                    raise FileNotFoundError(errno.ENOENT, f"the cgroup {path} does not exist", mount_point + path)
                result._elsewhere[mount_point] = path
        return result

    def exists(self) -> bool:
        return any(os.path.isdir(mount_point + self.path) for mount_point in self._tree.mount_points)

    def update(self, resources: Mapping[str, Any]) -> None:
        self._update_memory(resources.get("memory") or {})
        self._update_cpu(resources.get("cpu") or {})
        if (limit := (resources.get("pids") or {}).get("limit")) is not None:
            write(self._file("pids", "pids.max"), limit if limit > 0 else "max")
        self._update_block_io(resources.get("blockIO") or {})
        for page in resources.get("hugepageLimits") or ():
            write(self._file("hugetlb", f"hugetlb.{page['pageSize']}.limit_in_bytes"), page["limit"])
            reserved = self._file("hugetlb", f"hugetlb.{page['pageSize']}.rsvd.limit_in_bytes")
            if os.path.exists(reserved):  # 5.7: enforced when pages are reserved, so that no SIGBUS comes later
                write(reserved, page["limit"])
        for device, limits in (resources.get("rdma") or {}).items():
            write(self._file("rdma", "rdma.max"), rdma_line(device, limits))
        self._update_network(resources.get("network") or {})
        if resources.get("unified"):
            raise OSError(errno.EOPNOTSUPP, "`unified` resources need cgroup v2", self.path)
        if rules := resources.get("devices"):
            self._update_devices(rules)

    def _update_devices(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Write one rule per write(2), as the kernel requires; each of the two files is opened once."""
        fds: dict[str, int] = {}
        done: set[str] = set()  # lines written since the last change between allow and deny
        name = ""
        try:
            for rule in rules:
                kind = "devices.allow" if rule.get("allow") else "devices.deny"
                if kind != name:
                    name = kind
                    done.clear()
                line = device_line(rule)
                if line in done:
                    continue
                done.add(line)
                path = self._file("devices", name)
                if name not in fds:
                    fds[name] = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
                try:
                    os.write(fds[name], line.encode())
                except OSError as e:
                    raise OSError(e.errno, f"write {line}: {os.strerror(e.errno or 0)}", path) from e
        finally:
            for fd in fds.values():
                os.close(fd)

    def _update_network(self, network: Mapping[str, Any]) -> None:
        if network.get("classID"):
            write(self._file("net_cls", "net_cls.classid"), network["classID"])
        for entry in network.get("priorities") or ():
            write(self._file("net_prio", "net_prio.ifpriomap"), f"{entry['name']} {entry['priority']}")

    def _update_memory(self, memory: Mapping[str, Any]) -> None:
        limit, swap = memory.get("limit"), memory.get("swap")
        pairs = []
        if limit:
            pairs.append((self._file("memory", "memory.limit_in_bytes"), limit))
            both = self._file("memory", "memory.memsw.limit_in_bytes")
            if limit < 0 and not swap and os.path.exists(both):
                swap = -1  # memory alone cannot be unlimited: the kernel keeps memory ≤ memory+swap
        if swap:
            pairs.append((self._file("memory", "memory.memsw.limit_in_bytes"), swap))
        # memory ≤ memory+swap holds at every moment: going up, the second has to be written first.
        if limit and swap and (limit < 0 or swap < 0 or limit > number(read_or(pairs[1][0], "0"))):
            pairs.reverse()
        for path, value in pairs:
            try:
                write(path, value)
            except FileNotFoundError as e:
                raise OSError(errno.EOPNOTSUPP, "this kernel counts no swap per cgroup", path) from e
        if reservation := memory.get("reservation"):
            write(self._file("memory", "memory.soft_limit_in_bytes"), reservation)
        if memory.get("swappiness") is not None:
            write(self._file("memory", "memory.swappiness"), memory["swappiness"])
        if memory.get("disableOOMKiller") is not None:
            write(self._file("memory", "memory.oom_control"), int(memory["disableOOMKiller"]))
        if memory.get("useHierarchy"):
            write(self._file("memory", "memory.use_hierarchy"), 1)
        for key, name in (("kernel", "memory.kmem.limit_in_bytes"), ("kernelTCP", "memory.kmem.tcp.limit_in_bytes")):
            if memory.get(key):
                path = self._file("memory", name)
                if not os.path.exists(path):
                    raise OSError(errno.EOPNOTSUPP, f"this kernel has no {name}", self.path)
                write(path, memory[key])
                # Kernels that no longer support these limits accept the number and ignore it.
                if memory[key] > 0 and number(read(path)) > memory[key]:
                    raise OSError(errno.EOPNOTSUPP, f"this kernel obeys no {name}", self.path)

    def _update_cpu(self, cpu: Mapping[str, Any]) -> None:
        if shares := cpu.get("shares"):
            write(self._file("cpu", "cpu.shares"), shares)
        quota, period = cpu.get("quota"), cpu.get("period")
        if period:
            try:
                write(self._file("cpu", "cpu.cfs_period_us"), period)
            except OSError as e:
                if e.errno != errno.EINVAL or not quota:
                    raise
                # The new period with the old quota exceeds the parent's bandwidth: write the new quota first.
                write(self._file("cpu", "cpu.cfs_quota_us"), quota)
                write(self._file("cpu", "cpu.cfs_period_us"), period)
        if quota:
            write(self._file("cpu", "cpu.cfs_quota_us"), quota)
        if cpu.get("burst") is not None:
            write(self._file("cpu", "cpu.cfs_burst_us"), cpu["burst"])
        if cpu.get("idle") is not None:
            write(self._file("cpu", "cpu.idle"), cpu["idle"])
        for key, name in (("realtimePeriod", "cpu.rt_period_us"), ("realtimeRuntime", "cpu.rt_runtime_us")):
            if cpu.get(key):
                write(self._file("cpu", name), cpu[key])
        for key in ("cpus", "mems"):
            if cpu.get(key):
                write(self._file("cpuset", f"cpuset.{key}"), cpu[key])

    def _update_block_io(self, io: Mapping[str, Any]) -> None:
        if weight := io.get("weight"):
            self._write_block_io(("blkio.bfq.weight", "blkio.weight"), str(weight))
        if leaf_weight := io.get("leafWeight"):
            self._write_block_io(("blkio.leaf_weight",), str(leaf_weight))
        for entry in io.get("weightDevice") or ():
            device = f"{entry['major']}:{entry['minor']}"
            if entry.get("weight"):
                names = ("blkio.bfq.weight_device", "blkio.weight_device")
                self._write_block_io(names, f"{device} {entry['weight']}")
            if entry.get("leafWeight"):
                self._write_block_io(("blkio.leaf_weight_device",), f"{device} {entry['leafWeight']}")
        for key, name in (
            ("throttleReadBpsDevice", "read_bps_device"),
            ("throttleWriteBpsDevice", "write_bps_device"),
            ("throttleReadIOPSDevice", "read_iops_device"),
            ("throttleWriteIOPSDevice", "write_iops_device"),
        ):
            for entry in io.get(key) or ():
                write(
                    self._file("blkio", f"blkio.throttle.{name}"), f"{entry['major']}:{entry['minor']} {entry['rate']}"
                )

    def _write_block_io(self, names: tuple[str, ...], value: str) -> None:
        """Write to the first of these files that exists: that depends on the I/O scheduler. OSError EOPNOTSUPP."""
        for name in names:
            path = self._file("blkio", name)
            if os.path.exists(path):
                write(path, value)
                return
        raise OSError(errno.EOPNOTSUPP, f"this kernel has no {names[0]}", self.path)

    def open_oom_events(self) -> int:
        event_fd = os.eventfd(0, os.EFD_CLOEXEC)
        try:
            control_fd = os.open(self._file("memory", "memory.oom_control"), os.O_RDONLY | os.O_CLOEXEC)
            try:
                write(self._file("memory", "cgroup.event_control"), f"{event_fd} {control_fd}")
            finally:
                os.close(control_fd)
        except BaseException:
            os.close(event_fd)
            raise
        return event_fd

    def freeze(self) -> None:
        path = self._file("freezer", "freezer.state")
        deadline = time.monotonic() + FREEZE_LIMIT_S
        write(path, "FROZEN")
        while (state := read(path).strip()) != "FROZEN":
            if time.monotonic() > deadline:
                write(path, "THAWED")
                raise TimeoutError(errno.ETIMEDOUT, f"processes do not freeze: {state}", path)
            pause()
            write(path, "FROZEN")  # again, for a child that was forked during the first write

    def thaw(self) -> None:
        write(self._file("freezer", "freezer.state"), "THAWED")

    def is_frozen(self) -> bool:
        if not self._has("freezer"):
            return False
        return read_or(self._file("freezer", "freezer.state"), "").strip() in ("FREEZING", "FROZEN")

    def oom_kills(self) -> int:
        if not self._has("memory"):
            return 0
        return keyed(read_or(self._file("memory", "memory.oom_control"), "")).get("oom_kill", 0)

    def pids(self) -> list[int]:
        mount_point = self._tree.controllers.get("devices") or self._tree.hierarchies[0][0]
        return pids_below(mount_point + self.path)

    def kill_all(self) -> None:
        if self._has("freezer") and self.is_frozen() and self.exists():
            self.signal_all(9)  # frozen processes cannot fork
            self.thaw()
        super().kill_all()

    def remove(self) -> None:
        for mount_point in self._tree.mount_points:
            remove_tree(mount_point + self.path)

    def usage(self) -> Usage:
        used = Usage()
        if self._has("cpuacct"):
            used.cpu_ns = number(read(self._file("cpuacct", "cpuacct.usage")))
        if self._has("memory"):
            cache = value_of(read(self._file("memory", "memory.stat")), "total_inactive_file")
            used.memory_bytes = without_cache(number(read(self._file("memory", "memory.usage_in_bytes"))), cache)
            limit = number(read(self._file("memory", "memory.limit_in_bytes")))
            used.memory_limit_bytes = 0 if limit >= _UNLIMITED else limit
        if self._has("pids"):
            used.pids = number(read(self._file("pids", "pids.current")))
        if self._has("blkio"):
            blocks = _block_lines(read_or(self._file("blkio", _BLOCK_BYTES), ""))
            used.read_bytes, used.written_bytes = (
                sum(entry["value"] for entry in blocks if entry["op"] == op) for op in ("Read", "Write")
            )
        return used

    def pressure(self) -> dict[str, str]:
        return pressure_below(self._tree.unified + self.path) if self._tree.unified else {}

    def stats(self) -> dict[str, Any]:
        stats = empty_stats()
        if self._has("cpuacct"):
            cpu = stats["cpu"]
            cpu["usage_ns"] = number(read_or(self._file("cpuacct", "cpuacct.usage"), "0"))
            cpu["percpu_ns"] = [int(n) for n in read_or(self._file("cpuacct", "cpuacct.usage_percpu"), "").split()]
            ticks = keyed(read_or(self._file("cpuacct", "cpuacct.stat"), ""))
            tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
            cpu["user_ns"], cpu["system_ns"] = ticks.get("user", 0) * tick_ns, ticks.get("system", 0) * tick_ns
        if self._has("cpu"):
            throttle = keyed(read_or(self._file("cpu", "cpu.stat"), ""))
            stats["cpu"]["periods"] = throttle.get("nr_periods", 0)
            stats["cpu"]["throttled_periods"] = throttle.get("nr_throttled", 0)
            stats["cpu"]["throttled_ns"] = throttle.get("throttled_time", 0)
        if self._has("memory"):
            limit = number(read_or(self._file("memory", "memory.limit_in_bytes"), "0"))
            stats["memory"] = {
                "usage": number(read_or(self._file("memory", "memory.usage_in_bytes"), "0")),
                "max_usage": number(read_or(self._file("memory", "memory.max_usage_in_bytes"), "0")),
                "failcnt": number(read_or(self._file("memory", "memory.failcnt"), "0")),
                "limit": 0 if limit >= _UNLIMITED else limit,
                "stats": keyed(read_or(self._file("memory", "memory.stat"), "")),
            }
        if self._has("pids"):
            stats["pids"]["current"] = number(read_or(self._file("pids", "pids.current"), "0"))
            stats["pids"]["limit"] = number(read_or(self._file("pids", "pids.max"), "max")) or None
        if self._has("blkio"):
            for key, name in (("bytes", "io_service_bytes"), ("operations", "io_serviced")):
                text = read_or(self._file("blkio", f"blkio.throttle.{name}_recursive"), "")
                stats["blkio"][key] = _block_lines(text)
        stats["oom_kills"] = self.oom_kills()
        return stats


def _block_lines(text: str) -> list[dict[str, Any]]:
    """Parse lines like "8:0 Read 4096"; the line with the total has two fields and is ignored."""
    entries = []
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) == 3:
            major, _, minor = fields[0].partition(":")
            entries.append({"major": int(major), "minor": int(minor), "op": fields[1], "value": int(fields[2])})
    return entries


def device_line(rule: Mapping[str, Any]) -> str:
    """A rule as devices.allow and devices.deny take it: "c 1:3 rwm", or "a" for everything at once."""
    kind = rule.get("type") or "a"
    major, minor = rule.get("major"), rule.get("minor")
    if kind == "a" and (major is None or major < 0) and (minor is None or minor < 0):
        return "a"
    first = "*" if major is None or major < 0 else str(major)
    second = "*" if minor is None or minor < 0 else str(minor)
    return f"{kind} {first}:{second} {rule.get('access') or 'rwm'}"
