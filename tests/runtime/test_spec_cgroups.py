"""config-linux.md of the OCI runtime specification, "Control groups". One statement, one test.

Each test runs on the version that the machine has; tests that need one version say so.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.conftest import Bundle
from tests.support.limits import HANG_S
from vmagent.runtime.cgroups import Tree, tree
from vmagent.runtime.cgroups.v1 import TreeV1
from vmagent.runtime.cgroups.v2 import TreeV2

IS_V1 = tree().version == 1
MEBIBYTE = 1 << 20


def folder(bundle: Bundle, controller: str) -> Path:
    found: Tree = tree()
    root = found.controllers[controller] if isinstance(found, TreeV1) else "/sys/fs/cgroup"
    return Path(root + bundle.cgroup_path)


def has(controller: str) -> bool:
    found: Tree = tree()
    if isinstance(found, TreeV1):
        return controller in found.controllers
    return controller in Path("/sys/fs/cgroup/cgroup.controllers").read_text().split()


def apply(bundle: Bundle, resources: dict[str, Any]) -> None:
    """Create a container with these resources."""
    bundle.linux["resources"].update(resources)
    bundle.process["args"] = ["true"]
    done = bundle.create()
    assert done.returncode == 0, done.stderr


def value(bundle: Bundle, controller: str, v1: str, v2: str) -> str:
    return (folder(bundle, controller) / (v1 if IS_V1 else v2)).read_text().strip()


@pytest.fixture
def disk() -> tuple[int, int]:
    """A block device for which the I/O controller accepts limits."""
    for entry in sorted(Path("/sys/block").iterdir()):
        if not entry.name.startswith(("ram", "zram")):
            major, minor = (entry / "dev").read_text().strip().split(":")
            return int(major), int(minor)
    pytest.skip("no block device here")


@pytest.mark.spec("config-linux.md, Cgroups Path")
def test_an_absolute_cgroups_path_begins_at_the_mount_point(bundle: Bundle) -> None:
    apply(bundle, {})
    assert folder(bundle, "memory").is_dir()
    assert str(bundle.state()["pid"]) in (folder(bundle, "memory") / "cgroup.procs").read_text().split()


@pytest.mark.spec("config-linux.md, Cgroups Path")
def test_a_relative_cgroups_path_is_always_at_the_same_place(bundle: Bundle) -> None:
    bundle.linux["cgroupsPath"] = f"relative/{bundle.id}"
    bundle.cgroup_path = f"/cove-runtime/relative/{bundle.id}"
    for _ in range(2):
        apply(bundle, {})
        assert folder(bundle, "memory").is_dir()
        assert bundle.command("delete", bundle.id).returncode == 0
        assert not folder(bundle, "memory").exists()
    tree().at("/cove-runtime/relative").remove()
    tree().at("/cove-runtime").remove()


@pytest.mark.spec("config-linux.md, Cgroups Path")
def test_without_a_cgroups_path_there_is_a_place_by_the_id(bundle: Bundle) -> None:
    del bundle.linux["cgroupsPath"]
    bundle.cgroup_path = f"/cove-runtime-{bundle.id}"
    apply(bundle, {})
    assert folder(bundle, "memory").is_dir()


@pytest.mark.spec("config-linux.md, Cgroups Path")
def test_a_cgroups_path_of_systemd_is_an_error(bundle: Bundle) -> None:
    bundle.linux["cgroupsPath"] = "system.slice:runc:x"
    bundle.refused("systemd's own cgroups are not supported")


@pytest.mark.spec("config-linux.md, Cgroups Path")
def test_cgroups_that_do_not_exist_are_made(bundle: Bundle) -> None:
    assert not folder(bundle, "memory").exists()
    apply(bundle, {})
    assert folder(bundle, "memory").exists()


@pytest.mark.spec("config-linux.md, Control groups")
def test_the_process_is_in_every_controllers_cgroup(bundle: Bundle) -> None:
    lines = bundle.shell("true; cat /proc/1/cgroup").splitlines()
    assert lines
    bundle.drop_namespace("cgroup")
    seen = bundle.shell("cat /proc/self/cgroup").splitlines()
    assert sum(line.endswith(bundle.cgroup_path) for line in seen) >= (7 if IS_V1 else 1)


@pytest.mark.skipif(not IS_V1, reason="cgroup v2 gives its cgroups to the container's user")
@pytest.mark.spec("config-linux.md, Cgroup ownership")
def test_the_owner_of_a_v1_cgroup_stays_root(bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    for mount in bundle.spec["mounts"]:
        if mount["destination"] == "/sys/fs/cgroup":
            mount["options"].remove("ro")
    apply(bundle, {})
    assert folder(bundle, "memory").stat().st_uid == 0


@pytest.fixture
def unified(tmp_path: Path) -> TreeV2:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if " - cgroup2 " in line:
            return TreeV2(line.split()[4])
    pytest.skip("no cgroup v2 is mounted here")


@pytest.mark.spec("config-linux.md, Cgroup ownership")
def test_a_v2_cgroup_given_to_a_user_has_only_the_files_of_delegation_changed(unified: TreeV2) -> None:
    path = f"/cove-test-own-{os.getpid()}"
    made = unified.create(path, {})
    try:
        made.give_to(4321)
        owned = {file.name for file in Path(unified.mount_point + path).iterdir() if file.stat().st_uid == 4321}
        allowed = set(Path("/sys/kernel/cgroup/delegate").read_text().split())
        assert owned == {name for name in allowed if Path(unified.mount_point + path, name).exists()}
        assert Path(unified.mount_point + path).stat().st_uid == 4321
    finally:
        made.remove()


@pytest.mark.spec("config-linux.md, Allowed Device list")
def test_device_rules_are_applied_in_their_order(bundle: Bundle) -> None:
    deny, allow = (
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 10, "minor": 200, "access": "rw"},
    )
    script = "mknod /dev/d c 10 200; cat /dev/d 2>&1 | head -1"
    bundle.linux["resources"]["devices"] = [allow, deny]
    assert "not permitted" in bundle.shell(script)

    bundle.linux["resources"]["devices"] = [deny, allow]
    assert "not permitted" not in bundle.shell(script)


@pytest.mark.parametrize(("access", "reads", "writes"), [("r", True, False), ("w", False, True), ("rw", True, True)])
@pytest.mark.spec("config-linux.md, Allowed Device list: access")
def test_access_to_a_device_is_as_its_letters_say(bundle: Bundle, access: str, *, reads: bool, writes: bool) -> None:
    bundle.linux["resources"]["devices"] = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 10, "minor": 200, "access": access},
    ]
    said = bundle.shell("mknod /dev/d c 10 200; echo $( (: </dev/d) 2>&1); echo $( (: >/dev/d) 2>&1)").splitlines()
    assert ["not permitted" not in line for line in said] == [reads, writes]


@pytest.mark.spec("config-linux.md, Allowed Device list: type, major, minor")
def test_numbers_that_are_not_given_mean_all(bundle: Bundle) -> None:
    bundle.linux["resources"]["devices"] = [
        {"allow": False},
        {"allow": True, "type": "c", "major": 10, "access": "rw"},
    ]
    said = bundle.shell(
        "for n in '10 200' '10 201' '11 0'; do mknod /dev/d c $n; echo $( (: </dev/d) 2>&1); rm /dev/d; done"
    )
    assert ["not permitted" in line for line in said.splitlines()] == [False, False, True]


@pytest.mark.spec("config-linux.md, Memory: limit")
def test_the_memory_limit_is_what_is_given(bundle: Bundle) -> None:
    apply(bundle, {"memory": {"limit": 64 * MEBIBYTE}})
    assert value(bundle, "memory", "memory.limit_in_bytes", "memory.max") == str(64 * MEBIBYTE)


@pytest.mark.spec("config-linux.md, Memory: -1")
def test_minus_one_is_no_limit(bundle: Bundle) -> None:
    apply(bundle, {"memory": {"limit": -1, "swap": -1}})
    assert value(bundle, "memory", "memory.limit_in_bytes", "memory.max") in ("max", str(0x7FFFFFFFFFFFF000))


@pytest.mark.spec("config-linux.md, Memory: reservation")
def test_the_memory_reservation_is_what_is_given(bundle: Bundle) -> None:
    apply(bundle, {"memory": {"reservation": 32 * MEBIBYTE}})
    assert value(bundle, "memory", "memory.soft_limit_in_bytes", "memory.low") == str(32 * MEBIBYTE)


@pytest.mark.spec("config-linux.md, Memory: swap")
def test_the_limit_of_memory_and_swap_is_what_is_given_or_an_error(bundle: Bundle) -> None:
    file = "memory.memsw.limit_in_bytes" if IS_V1 else "memory.swap.max"
    root = hierarchy.controllers["memory"] if isinstance(hierarchy := tree(), TreeV1) else "/sys/fs/cgroup/init.scope"
    bundle.linux["resources"]["memory"] = {"limit": 32 * MEBIBYTE, "swap": 48 * MEBIBYTE}
    if IS_V1 and not Path(root, file).exists():
        bundle.refused("this kernel counts no swap per cgroup")
        return
    apply(bundle, {})
    expected = 48 if IS_V1 else 16
    assert value(bundle, "memory", "memory.memsw.limit_in_bytes", "memory.swap.max") == str(expected * MEBIBYTE)


@pytest.mark.parametrize("key", ["kernel", "kernelTCP"])
@pytest.mark.spec("config-linux.md, Memory: kernel, kernelTCP")
def test_a_limit_of_kernel_memory_is_set_or_an_error(bundle: Bundle, key: str) -> None:
    file = {"kernel": "memory.kmem.limit_in_bytes", "kernelTCP": "memory.kmem.tcp.limit_in_bytes"}[key]
    bundle.linux["resources"]["memory"] = {key: 32 * MEBIBYTE}
    if not IS_V1 or not Path("/sys/fs/cgroup/memory", file).exists():
        bundle.refused(file if IS_V1 else f"cgroup v2 has no memory.{key}")
        return
    bundle.process["args"] = ["true"]
    done = bundle.create()
    if done.returncode:
        assert (
            "operation not supported" in done.stderr
        )  # since kernel 5.16 the file exists, but a write to it is refused
        return
    assert value(bundle, "memory", file, "") == str(32 * MEBIBYTE)


@pytest.mark.spec("config-linux.md, Memory: swappiness")
def test_the_swappiness_is_what_is_given(bundle: Bundle) -> None:
    if not IS_V1:
        bundle.linux["resources"]["memory"] = {"swappiness": 10}
        bundle.refused("cgroup v2 has no memory.swappiness")
        return
    apply(bundle, {"memory": {"swappiness": 10}})
    assert value(bundle, "memory", "memory.swappiness", "") == "10"


@pytest.mark.spec("config-linux.md, Memory: disableOOMKiller")
def test_the_oom_killer_is_disabled_when_asked(bundle: Bundle) -> None:
    if not IS_V1:
        bundle.linux["resources"]["memory"] = {"disableOOMKiller": True}
        bundle.refused("cgroup v2 has no memory.disableOOMKiller")
        return
    apply(bundle, {"memory": {"disableOOMKiller": True}})
    assert "oom_kill_disable 1" in value(bundle, "memory", "memory.oom_control", "")


@pytest.mark.spec("config-linux.md, Memory: disableOOMKiller")
def test_what_is_over_its_memory_is_killed_by_default(bundle: Bundle) -> None:
    bundle.linux["resources"]["memory"] = {"limit": 16 * MEBIBYTE}
    assert bundle.run("sh", "-c", "dd if=/dev/zero of=/dev/null bs=64M count=1").returncode in (137, 1)
    assert bundle.run("sh", "-c", "exec dd if=/dev/zero of=/dev/null bs=64M count=1").returncode == 137


@pytest.mark.spec("config-linux.md, Memory: checkBeforeUpdate")
def test_a_limit_below_what_is_used_is_refused_where_it_is_to_be_checked(bundle: Bundle) -> None:
    bundle.start("sh", "-c", "dd if=/dev/zero of=/dev/shm/f bs=1M count=8 2>/dev/null; touch /up; sleep 60")
    assert bundle.command("exec", bundle.id, "sh", "-c", "until test -e /up; do :; done").returncode == 0
    resources = {"memory": {"limit": 65536, "checkBeforeUpdate": True}}
    done = bundle.command("update", "--resources", "-", bundle.id, stdin=None, input=json.dumps(resources))
    assert done.returncode == 1
    assert "resource busy" in done.stderr or "bytes are in use" in done.stderr
    assert bundle.state()["status"] == "running"


@pytest.mark.spec("config-linux.md, CPU: shares")
def test_the_cpu_shares_are_what_is_given(bundle: Bundle) -> None:
    apply(bundle, {"cpu": {"shares": 512}})
    assert value(bundle, "cpu", "cpu.shares", "cpu.weight") == ("512" if IS_V1 else "20")


@pytest.mark.spec("config-linux.md, CPU: quota, period")
def test_the_cpu_quota_and_period_are_what_is_given(bundle: Bundle) -> None:
    apply(bundle, {"cpu": {"quota": 25_000, "period": 50_000}})
    if IS_V1:
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        assert [value(bundle, "cpu", name, "") for name in names] == ["25000", "50000"]
    else:
        assert value(bundle, "cpu", "", "cpu.max") == "25000 50000"


@pytest.mark.spec("config-linux.md, CPU: burst")
def test_the_cpu_burst_is_what_is_given_and_no_larger_than_the_quota(bundle: Bundle) -> None:
    if IS_V1 and not Path("/sys/fs/cgroup/cpu/cpu.cfs_burst_us").exists() and not _has_burst(bundle):
        pytest.skip("this kernel has no burst")
    apply(bundle, {"cpu": {"quota": 20_000, "period": 50_000, "burst": 10_000}})
    assert value(bundle, "cpu", "cpu.cfs_burst_us", "cpu.max.burst") == "10000"
    bundle.command("delete", bundle.id)
    bundle.linux["resources"]["cpu"] = {"quota": 20_000, "period": 50_000, "burst": 30_000}
    bundle.refused("invalid argument")


def _has_burst(bundle: Bundle) -> bool:
    made = tree().create(bundle.cgroup_path, {})
    try:
        return (folder(bundle, "cpu") / "cpu.cfs_burst_us").exists()
    finally:
        made.remove()


@pytest.mark.spec("config-linux.md, CPU: realtimeRuntime, realtimePeriod")
def test_realtime_limits_are_set_or_an_error(bundle: Bundle) -> None:
    bundle.linux["resources"]["cpu"] = {"realtimePeriod": 1_000_000, "realtimeRuntime": 1000}
    bundle.process["args"] = ["true"]
    done = bundle.create()
    if done.returncode == 0:
        assert value(bundle, "cpu", "cpu.rt_runtime_us", "") == "1000"
    else:
        assert "rt_" in done.stderr or "realtime" in done.stderr


@pytest.mark.parametrize("key", ["cpus", "mems"])
@pytest.mark.spec("config-linux.md, CPU: cpus, mems")
def test_the_container_runs_on_the_cpus_and_memory_nodes_that_are_given(bundle: Bundle, key: str) -> None:
    apply(bundle, {"cpu": {key: "0"}})
    assert value(bundle, "cpuset", f"cpuset.{key}", f"cpuset.{key}") == "0"


@pytest.mark.spec("config-linux.md, CPU: idle")
def test_a_container_is_idle_when_asked(bundle: Bundle) -> None:
    apply(bundle, {"cpu": {"idle": 1}})
    assert value(bundle, "cpu", "cpu.idle", "cpu.idle") == "1"


THROTTLES = {
    "throttleReadBpsDevice": ("read_bps_device", "rbps"),
    "throttleWriteBpsDevice": ("write_bps_device", "wbps"),
    "throttleReadIOPSDevice": ("read_iops_device", "riops"),
    "throttleWriteIOPSDevice": ("write_iops_device", "wiops"),
}


@pytest.mark.parametrize("key", THROTTLES)
@pytest.mark.spec("config-linux.md, Block IO: throttles")
def test_a_throttle_is_what_is_given(bundle: Bundle, disk: tuple[int, int], key: str) -> None:
    v1, v2 = THROTTLES[key]
    apply(bundle, {"blockIO": {key: [{"major": disk[0], "minor": disk[1], "rate": 123_000}]}})
    said = value(bundle, "blkio" if IS_V1 else "io", f"blkio.throttle.{v1}", "io.max")
    assert f"{disk[0]}:{disk[1]}" in said
    assert ("123000" if IS_V1 else f"{v2}=123000") in said


@pytest.mark.parametrize("key", ["weight", "leafWeight"])
@pytest.mark.spec("config-linux.md, Block IO: weight, leafWeight")
def test_a_weight_of_block_io_is_set_or_an_error(bundle: Bundle, key: str) -> None:
    bundle.linux["resources"]["blockIO"] = {key: 500}
    bundle.process["args"] = ["true"]
    done = bundle.create()
    if done.returncode == 0:
        files = ("blkio.bfq.weight", "blkio.weight", "io.bfq.weight", "io.weight")
        said = [(folder(bundle, "blkio" if IS_V1 else "io") / name) for name in files]
        assert any(path.exists() and path.read_text().split()[-1] in ("500", "4950") for path in said)
    else:
        assert "operation not supported" in done.stderr or "offers no io" in done.stderr


@pytest.mark.spec("config-linux.md, Block IO: weightDevice")
def test_a_weight_for_one_device_is_set_or_an_error(bundle: Bundle, disk: tuple[int, int]) -> None:
    bundle.linux["resources"]["blockIO"] = {"weightDevice": [{"major": disk[0], "minor": disk[1], "weight": 300}]}
    bundle.process["args"] = ["true"]
    done = bundle.create()
    assert done.returncode == 0 or "operation not supported" in done.stderr or "io.bfq.weight" in done.stderr


@pytest.mark.spec("config-linux.md, Huge page limits")
def test_a_limit_of_huge_pages_is_set_or_an_error(bundle: Bundle) -> None:
    bundle.linux["resources"]["hugepageLimits"] = [{"pageSize": "2MB", "limit": 4 * MEBIBYTE}]
    if not has("hugetlb"):
        bundle.refused("hugetlb")
        return
    apply(bundle, {})
    for v1, v2 in (("limit_in_bytes", "max"), ("rsvd.limit_in_bytes", "rsvd.max")):
        assert value(bundle, "hugetlb", f"hugetlb.2MB.{v1}", f"hugetlb.2MB.{v2}") == str(4 * MEBIBYTE)


@pytest.mark.spec("config-linux.md, Huge page limits")
def test_the_unified_tree_takes_limits_of_huge_pages_and_of_their_reservation(unified: TreeV2) -> None:
    path = f"/cove-test-huge-{os.getpid()}"
    if "hugetlb" not in Path(unified.mount_point, "cgroup.controllers").read_text().split():
        pytest.skip("the hugetlb controller is not here")
    made = unified.create(path, {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MEBIBYTE}]})
    try:
        for name in ("hugetlb.2MB.max", "hugetlb.2MB.rsvd.max"):
            assert Path(unified.mount_point + path, name).read_text() == f"{4 * MEBIBYTE}\n"
    finally:
        made.remove()


@pytest.mark.parametrize("network", [{"classID": 1_048_577}, {"priorities": [{"name": "lo", "priority": 5}]}])
@pytest.mark.spec("config-linux.md, Network")
def test_network_classes_and_priorities_are_set_or_an_error(bundle: Bundle, network: dict[str, Any]) -> None:
    bundle.linux["resources"]["network"] = network
    if IS_V1 and has("net_cls") and has("net_prio"):
        apply(bundle, {})
        return
    bundle.refused("cgroup")


@pytest.mark.spec("config-linux.md, PIDs: limit")
def test_the_limit_of_tasks_is_what_is_given(bundle: Bundle) -> None:
    apply(bundle, {"pids": {"limit": 77}})
    assert value(bundle, "pids", "pids.max", "pids.max") == "77"


@pytest.mark.spec("config-linux.md, RDMA")
def test_rdma_limits_are_set_or_an_error(bundle: Bundle) -> None:
    bundle.linux["resources"]["rdma"] = {"mlx5_1": {"hcaHandles": 3}}
    bundle.refused("rdma")


@pytest.mark.spec("config-linux.md, Unified")
def test_unified_on_a_machine_without_it_is_an_error(bundle: Bundle) -> None:
    bundle.linux["resources"]["unified"] = {"nothing.max": "1"}
    bundle.refused("cgroup v2" if IS_V1 else "nothing.max")


@pytest.mark.spec("config-linux.md, Unified")
def test_each_key_of_unified_is_a_file_that_is_written(unified: TreeV2) -> None:
    path = f"/cove-test-unified-{os.getpid()}"
    made = unified.create(path, {"unified": {"cgroup.max.depth": "3", "cgroup.max.descendants": "7"}})
    try:
        assert Path(unified.mount_point + path, "cgroup.max.depth").read_text() == "3\n"
    finally:
        made.remove()


@pytest.mark.parametrize("name", ["nosuch.max", "../cgroup.procs"])
@pytest.mark.spec("config-linux.md, Unified")
def test_a_key_of_unified_without_its_controller_is_an_error(unified: TreeV2, name: str) -> None:
    with pytest.raises(OSError, match=r"offers no nosuch|not a control file"):
        unified.create(f"/cove-test-bad-{os.getpid()}", {"unified": {name: "1"}})


V1_ONLY: list[dict[str, Any]] = [
    {"memory": {"kernel": 1}},
    {"memory": {"swappiness": 1}},
    {"memory": {"disableOOMKiller": True}},
    {"cpu": {"realtimeRuntime": 1}},
    {"blockIO": {"leafWeight": 10}},
    {"network": {"classID": 1}},
]


@pytest.mark.parametrize("resources", V1_ONLY)
@pytest.mark.spec("config-linux.md, Unified: no conversion")
def test_what_v2_has_no_word_for_is_an_error_there(unified: TreeV2, resources: dict[str, Any]) -> None:
    with pytest.raises(OSError, match="cgroup v2 has no"):
        unified.create(f"/cove-test-none-{os.getpid()}", resources)
    assert not unified.at(f"/cove-test-none-{os.getpid()}").exists()


def test_update_changes_limits_while_it_runs(bundle: Bundle) -> None:
    bundle.start("sleep", "60")
    flags = [
        "--memory",
        "64m",
        "--cpu-share",
        "256",
        "--pids-limit",
        "33",
        "--cpuset-cpus",
        "0",
        "--cpu-quota",
        "20000",
    ]
    done = bundle.command("update", *flags, bundle.id)
    assert done.returncode == 0, done.stderr
    assert value(bundle, "memory", "memory.limit_in_bytes", "memory.max") == str(64 * MEBIBYTE)
    assert value(bundle, "pids", "pids.max", "pids.max") == "33"
    assert value(bundle, "cpuset", "cpuset.cpus", "cpuset.cpus") == "0"
    assert bundle.command("update", "--memory", "much", bundle.id).returncode == 1
    assert "Intel RDT" in bundle.command("update", "--l3-cache-schema", "L3:0=f", bundle.id).stderr


def test_events_tell_statistics_and_kills_for_want_of_memory(bundle: Bundle) -> None:
    bundle.linux["resources"]["memory"] = {"limit": 16 * MEBIBYTE}
    bundle.start("sh", "-c", "while :; do sleep 0.1; done")
    stats = json.loads(bundle.command("events", "--stats", bundle.id).stdout)
    assert (stats["type"], stats["id"]) == ("stats", bundle.id)
    assert stats["data"]["memory"]["usage"]["limit"] == 16 * MEBIBYTE
    assert stats["data"]["pids"]["current"] >= 1
    argv = bundle.argv("events", "--interval", "100ms", bundle.id)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as events:
        assert events.stdout is not None
        assert json.loads(events.stdout.readline())["type"] == "stats"
        bundle.command("exec", bundle.id, "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")
        kinds = set()
        while "oom" not in kinds:
            kinds.add(json.loads(events.stdout.readline())["type"])
        bundle.command("delete", "--force", bundle.id)
        events.stdout.read()
        assert events.wait(HANG_S) == 0
