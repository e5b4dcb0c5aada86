"""The flags of `cove-runtime update`: defined for its command line, applied by `vmagent.runtime.updating`."""

from __future__ import annotations

# flag → (controller, key of config-linux.md, whether a size with a unit); 0 and "" leave a value as it is
FLAGS: dict[str, tuple[str, str, bool]] = {
    "blkio_weight": ("blockIO", "weight", False),
    "cpu_period": ("cpu", "period", False),
    "cpu_quota": ("cpu", "quota", False),
    "cpu_burst": ("cpu", "burst", False),
    "cpu_share": ("cpu", "shares", False),
    "cpu_rt_period": ("cpu", "realtimePeriod", False),
    "cpu_rt_runtime": ("cpu", "realtimeRuntime", False),
    "cpu_idle": ("cpu", "idle", False),
    "cpuset_cpus": ("cpu", "cpus", False),
    "cpuset_mems": ("cpu", "mems", False),
    "memory": ("memory", "limit", True),
    "memory_reservation": ("memory", "reservation", True),
    "memory_swap": ("memory", "swap", True),
    "pids_limit": ("pids", "limit", False),
}
WORDS = frozenset(("cpuset_cpus", "cpuset_mems"))
