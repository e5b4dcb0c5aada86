"""The commands of `cove-runtime` that print something: state, list, ps, events, features, spec."""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from vmagent.linux import capabilities
from vmagent.runtime import hooks, mountspec, seccomp
from vmagent.runtime.example import example_spec
from vmagent.runtime.failure import OTHER, LaunchError
from vmagent.runtime.log import Log
from vmagent.runtime.state import Container
from vmagent.runtime.version import SPEC_VERSION

_NAMESPACES = ("cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _line(value: object) -> str:
    """JSON in one line without spaces, as Go's encoder writes it: some clients compare the text."""
    return json.dumps(value, separators=(",", ":"))


def state(options: argparse.Namespace, log: Log) -> int:
    _say(json.dumps(Container.load(options.root, options.id).state(), indent=2))
    return 0


def list_all(options: argparse.Namespace, log: Log) -> int:
    states = []
    for folder in sorted(options.root.iterdir()) if options.root.is_dir() else ():
        try:
            states.append(Container.load(options.root, folder.name).state())
        except LaunchError:
            continue  # it is being created or deleted at this moment
    if options.quiet:
        sys.stdout.write("".join(f"{found['id']}\n" for found in states))
    elif options.format == "json":
        _say(_line(states))
    else:
        row = "{:<24} {:<8} {:<9} {:<32} {:<30} {}"
        _say(row.format("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"))
        for found in states:
            _say(row.format(*(found[key] for key in ("id", "pid", "status", "bundle", "created", "owner"))))
    return 0


def ps(options: argparse.Namespace, log: Log) -> int:
    """Print the lines of the host's ps(1) for the container's processes, or their pids as JSON."""
    pids = Container.load(options.root, options.id).cgroup.pids()
    if options.format == "json":
        _say(_line(pids))
        return 0
    listed = subprocess.run(["ps", *(options.args or ["-ef"])], capture_output=True, text=True, check=False)
    if listed.returncode:
        raise LaunchError(OTHER, f"ps: {listed.stderr.strip()}")
    header, *lines = listed.stdout.splitlines()
    try:
        column = header.split().index("PID")
    except ValueError as e:
        raise LaunchError(OTHER, "couldn't find PID field in ps output") from e
    _say(header)
    for line in lines:
        fields = line.split()
        if len(fields) > column and fields[column].isdigit() and int(fields[column]) in pids:
            _say(line)
    return 0


def spec(options: argparse.Namespace, log: Log) -> int:
    path = Path(options.bundle) / "config.json"
    example = example_spec()
    if options.rootless:
        _make_rootless(example)
    with path.open("x", encoding="utf-8") as file:
        json.dump(example, file, indent="\t")
        file.write("\n")
    return 0


def _make_rootless(example: dict[str, Any]) -> None:
    """Add a user namespace in which the caller is root, and remove settings that need root on the host."""
    linux = example["linux"]
    linux["namespaces"] = [entry for entry in linux["namespaces"] if entry["type"] != "network"] + [{"type": "user"}]
    linux["uidMappings"] = [{"containerID": 0, "hostID": os.geteuid(), "size": 1}]
    linux["gidMappings"] = [{"containerID": 0, "hostID": os.getegid(), "size": 1}]
    del linux["resources"]
    for mount in example["mounts"]:
        mount["options"] = [option for option in mount["options"] if not option.startswith(("gid=", "uid="))]
        if mount["destination"] == "/sys":
            mount.update(type="none", source="/sys", options=["rbind", "nosuid", "noexec", "nodev", "ro"])


def events(options: argparse.Namespace, log: Log) -> int:
    """Print statistics at each interval, and every out-of-memory kill, as JSON lines until the container ends."""
    container = Container.load(options.root, options.id)
    if options.interval <= 0:
        raise LaunchError(OTHER, "duration interval must be greater than 0")
    if container.status() == "stopped":
        raise LaunchError(OTHER, f"container with id {container.id} is not running")
    if options.stats:
        _event(container, "stats", statistics(container.cgroup.stats()))
        return 0
    cgroup = container.cgroup
    pidfd, oom_fd = container.open_pidfd(), cgroup.open_oom_events()
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(oom_fd, select.POLLIN)
    kills, due = cgroup.oom_kills(), time.monotonic() + options.interval
    try:
        while True:
            ready = dict(poll.poll(max(0.0, due - time.monotonic()) * 1000))
            if oom_fd in ready:
                os.read(oom_fd, 4096)
            if (now := cgroup.oom_kills()) > kills:
                kills = now
                _event(container, "oom", None)
            if pidfd in ready:
                return 0
            if time.monotonic() >= due:
                due += options.interval
                _event(container, "stats", statistics(cgroup.stats()))
    finally:
        os.close(pidfd)
        os.close(oom_fd)


def _event(container: Container, kind: str, data: dict[str, Any] | None) -> None:
    event = {"type": kind, "id": container.id}
    _say(_line(event if data is None else {**event, "data": data}))
    sys.stdout.flush()


def statistics(stats: dict[str, Any]) -> dict[str, Any]:
    """A cgroup's counters (`Cgroup.stats`) in the format of runc's `events`."""
    cpu, memory, pids, blkio = (stats[key] for key in ("cpu", "memory", "pids", "blkio"))
    return {
        "cpu": {
            "usage": {
                "total": cpu["usage_ns"],
                "percpu": cpu["percpu_ns"],
                "kernel": cpu["system_ns"],
                "user": cpu["user_ns"],
            },
            "throttling": {
                "periods": cpu["periods"],
                "throttledPeriods": cpu["throttled_periods"],
                "throttledTime": cpu["throttled_ns"],
            },
        },
        "memory": {
            "cache": memory["stats"].get("cache", memory["stats"].get("file", 0)),
            "usage": {
                "limit": memory["limit"] or (1 << 64) - 1,
                "usage": memory["usage"],
                "max": memory["max_usage"],
                "failcnt": memory["failcnt"],
            },
            "raw": memory["stats"],
        },
        "pids": {"current": pids["current"], "limit": pids["limit"] or 0},
        "blkio": {"ioServiceBytesRecursive": blkio["bytes"], "ioServicedRecursive": blkio["operations"]},
        "hugetlb": {},
        "intel_rdt": {},
        "network_interfaces": None,
    }


def features(options: argparse.Namespace, log: Log) -> int:
    """Print what this runtime supports, independent of the machine: features.md and features-linux.md."""
    answer = {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPEC_VERSION,
        "hooks": list(hooks.KINDS),
        "mountOptions": mountspec.OPTIONS,
        "linux": {
            "namespaces": list(_NAMESPACES),
            "capabilities": list(capabilities.NAMES),
            "cgroup": {"v1": True, "v2": True, "systemd": False, "systemdUser": False, "rdma": True},
            "seccomp": {
                "enabled": True,
                "actions": sorted(seccomp.ACTIONS),
                "operators": sorted(seccomp.OPERATORS),
                "archs": sorted(seccomp.ARCHITECTURES),
                "knownFlags": sorted(seccomp.FLAGS),
                "supportedFlags": sorted(seccomp.FLAGS),
            },
            "apparmor": {"enabled": False},
            "selinux": {"enabled": False},
            "intelRdt": {"enabled": False},
            "mountExtensions": {"idmap": {"enabled": True}},
            "netDevices": {"enabled": False},
        },
    }
    _say(json.dumps(answer, indent=2))
    return 0
