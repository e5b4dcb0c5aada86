"""Isolation of a container, checked from inside and outside, and its limits."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import MountedEngine, NativeEngine, running

IMAGE = "busybox:latest"
NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup")


@pytest.fixture
def name(request: pytest.FixtureRequest, engine: NativeEngine) -> Iterator[str]:
    """A name for the test's container, which is removed at the end."""
    made = f"cvt-{abs(hash(request.node.nodeid)):x}"
    yield made
    engine.docker("rm", "-fv", made, check=False)


def inspect(engine: NativeEngine, name: str) -> dict[str, dict[str, object]]:
    told: dict[str, dict[str, object]] = json.loads(engine.docker("inspect", name).stdout)[0]
    return told


def test_every_namespace_is_its_own(engine: NativeEngine) -> None:
    script = "for n in " + " ".join(NAMESPACES) + "; do readlink /proc/self/ns/$n; done"
    inside = engine.docker("run", "--rm", IMAGE, "sh", "-c", script).stdout.split()
    outside = [os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACES]
    assert [one.partition(":")[0] for one in inside] == list(NAMESPACES)
    assert not set(inside) & set(outside)


def test_the_limits_asked_for_are_the_cgroup_s(engine: NativeEngine, name: str) -> None:
    flags = ("-m", "64m", "--cpus", "0.5", "--pids-limit", "20")
    engine.docker("run", "-d", "--name", name, *flags, IMAGE, "sleep", "60")
    pid = inspect(engine, name)["State"]["Pid"]
    paths = dict(
        (controller, path)
        for _, controllers, path in (line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().split())
        for controller in controllers.split(",")
    )
    container_id = str(inspect(engine, name)["Id"])
    if "memory" in paths:  # version 1
        root = Path("/sys/fs/cgroup")
        assert container_id in paths["memory"]
        assert int((root / f"memory{paths['memory']}/memory.limit_in_bytes").read_text()) == 64 << 20
        assert int((root / f"cpu{paths['cpu']}/cpu.cfs_quota_us").read_text()) == 50_000
        assert int((root / f"pids{paths['pids']}/pids.max").read_text()) == 20
    else:
        folder = Path(f"/sys/fs/cgroup{paths['']}")
        assert int((folder / "memory.max").read_text()) == 64 << 20
        assert (folder / "cpu.max").read_text().split()[0] == "50000"
        assert int((folder / "pids.max").read_text()) == 20


def test_memory_past_the_limit_is_killed_and_told(engine: NativeEngine, name: str) -> None:
    flags = ("-m", "32m", "--memory-swap", "32m")
    done = engine.docker("run", "--name", name, *flags, IMAGE, "tail", "/dev/zero", check=False)
    assert done.returncode == 137
    assert inspect(engine, name)["State"]["OOMKilled"] is True


def test_a_fork_bomb_stops_at_the_pids_limit(engine: NativeEngine) -> None:
    script = "i=0; while [ $i -lt 20 ]; do sleep 5 & i=$((i+1)); done; wait"
    done = engine.docker("run", "--rm", "--pids-limit", "10", IMAGE, "sh", "-c", script, check=False)
    assert "can't fork" in done.stderr or "Resource temporarily unavailable" in done.stderr


def test_a_container_has_docker_s_capabilities_and_seccomp(engine: NativeEngine) -> None:
    status = engine.docker("run", "--rm", IMAGE, "cat", "/proc/self/status").stdout
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert facts["CapEff"] == facts["CapBnd"] == "00000000a80425fb"
    assert facts["Seccomp"] == "2"


def test_a_host_s_device_and_kernel_knobs_are_out_of_reach(engine: NativeEngine) -> None:
    script = (
        "mknod /disk b 254 0 && cat /disk; echo 1 >/proc/sysrq-trigger; echo x >/proc/sys/kernel/core_pattern;"
        " mount -t tmpfs none /tmp; cat /proc/kcore | head -c 1; ls /sys/firmware; dmesg"
    )
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    done = engine.docker("run", "--rm", IMAGE, "sh", "-c", script, check=False)
    assert done.stdout == ""
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


def test_no_container_fills_the_engine_s_run_time_files(busybox_tar: Path) -> None:
    """A container's root can make /etc/hosts grow. On a small /run, no other container could start then."""
    with running(MountedEngine("exec", "-t", "tmpfs", "-o", "size=2m", "tmpfs")) as engine:
        engine.docker("import", "-c", "ENV PATH=/bin", str(busybox_tar), IMAGE)
        files = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
        script = "; ".join(f"head -c 4000000 /dev/zero >>{file}" for file in files)
        engine.docker("run", "--name", "greedy", IMAGE, "sh", "-c", script)
        assert engine.docker("run", "--rm", IMAGE, "echo", "ran").stdout == "ran\n"
        engine.docker("start", "-a", "greedy")
        engine.docker("commit", "greedy", "bound")
        assert int(engine.docker("inspect", "-s", "-f", "{{.SizeRw}}", "greedy").stdout) < 1000
        reader = engine.docker("run", "--rm", "--network", "container:greedy", IMAGE, "true", check=False)
        assert "non running container" in reader.stderr
        engine.docker("rm", "greedy")
        assert not engine.container_folders()
