"""Both versions of control groups on the running kernel, if they are mounted."""

from __future__ import annotations

import os
import struct
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.conftest import Bundle
from vmagent.linux import bpf
from vmagent.linux.process import clone3
from vmagent.runtime.cgroups import Cgroup, Tree, tree
from vmagent.runtime.cgroups.base import check_path
from vmagent.runtime.cgroups.v1 import TreeV1, device_line
from vmagent.runtime.cgroups.v2 import TreeV2, weight_of_shares

_MIB = 1 << 20
_RULES: list[dict[str, Any]] = [
    {"allow": False, "access": "rwm"},
    {"allow": True, "type": "c", "access": "m"},
    {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
    {"allow": True, "type": "c", "major": 1, "minor": 5, "access": "r"},
]


def _unified() -> str | None:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.startswith("cgroup2 "):
            return left.split(" ")[4]
    return None


def _trees() -> list[Any]:
    trees: list[Any] = [pytest.param(tree, id="the machine's")]
    mount_point = _unified()
    if tree().version == 1 and mount_point:
        trees.append(pytest.param(lambda: TreeV2(mount_point), id="v2, hybrid"))
    return trees


@pytest.fixture(params=_trees())
def any_tree(request: pytest.FixtureRequest) -> Tree:
    made: Tree = request.param()
    return made


@pytest.fixture
def cgroup(any_tree: Tree) -> Iterator[Cgroup]:
    made = any_tree.create(f"/cove-test-cg/{uuid.uuid4().hex[:8]}", {})
    yield made
    made.kill_all()
    made.remove()
    any_tree.at("/cove-test-cg").remove()


def _spawn(cgroup: Cgroup, *argv: str, stdout_fd: int = 1) -> int:
    """A process `argv` that is born in the cgroup (v2) or enters it itself (v1)."""
    fd = cgroup.clone_fd()
    pid, pidfd = clone3(0, fd)
    if pid == 0:
        try:
            cgroup.enter()
            os.dup2(stdout_fd, 1)
            os.execvp(argv[0], argv)
        finally:
            os._exit(127)
    os.close(pidfd)
    if fd >= 0:
        os.close(fd)
    return pid


def _spawn_inside(cgroup: Cgroup) -> int:
    """A sleeping process that has entered the cgroup."""
    reader, writer = os.pipe()
    pid = _spawn(cgroup, "sh", "-c", "echo; exec sleep 60", stdout_fd=writer)
    os.close(writer)
    os.read(reader, 1)
    os.close(reader)
    return pid


def test_a_process_is_inside_frozen_killed_and_gone(cgroup: Cgroup, any_tree: Tree) -> None:
    ready_read, ready_write = os.pipe()
    pid = _spawn(cgroup, "sh", "-c", "echo; while :; do :; done", stdout_fd=ready_write)
    os.close(ready_write)
    os.read(ready_read, 1)
    os.close(ready_read)
    assert cgroup.pids() == [pid]
    cgroup.freeze()
    assert cgroup.is_frozen()
    state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    before = (state[11], state[12])
    assert tuple(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]) == before
    cgroup.thaw()
    assert not cgroup.is_frozen()
    cgroup.freeze()
    cgroup.kill_all()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9
    assert cgroup.stats()["cpu"]["usage_ns"] > 0
    cgroup.remove()
    cgroup.remove()
    assert not cgroup.exists()
    assert cgroup.pids() == []


def test_usage_has_the_counters_of_stats(cgroup: Cgroup, any_tree: Tree) -> None:
    pid = _spawn_inside(cgroup)
    cgroup.freeze()
    used, stats = cgroup.usage(), cgroup.stats()
    assert used.cpu_ns == stats["cpu"]["usage_ns"] > 0
    assert used.pids == stats["pids"]["current"]
    assert used.memory_limit_bytes == stats["memory"]["limit"]
    assert used.memory_bytes <= stats["memory"]["usage"]
    is_counted = isinstance(any_tree, TreeV1) or tree().version == 2  # hybrid: the controllers are v1's
    assert (used.pids == 1, used.memory_bytes > 0) == (is_counted, is_counted)
    cgroup.thaw()
    cgroup.kill_all()
    os.waitpid(pid, 0)
    cgroup.remove()
    with pytest.raises(FileNotFoundError):
        cgroup.usage()


def test_cgroups_made_below_go_with_it(any_tree: Tree) -> None:
    outer = any_tree.create("/cove-test-cg/outer", {})
    any_tree.create("/cove-test-cg/outer/a/b", {})
    outer.remove()
    assert not outer.exists()
    any_tree.at("/cove-test-cg").remove()


def test_a_frozen_cgroup_is_not_made_again_nor_one_below_it(cgroup: Cgroup, any_tree: Tree) -> None:
    cgroup.freeze()
    for path in (cgroup.path, f"{cgroup.path}/inner"):
        with pytest.raises(OSError, match="container's cgroup unexpectedly frozen"):
            any_tree.create(path, {})
    assert cgroup.is_frozen()
    assert not any_tree.at(f"{cgroup.path}/inner").exists()
    cgroup.thaw()
    assert any_tree.create(cgroup.path, {}).path == cgroup.path


def test_a_cgroup_with_processes_is_used_and_left_when_limits_cannot_be_set(cgroup: Cgroup, any_tree: Tree) -> None:
    pid = _spawn_inside(cgroup)
    with pytest.raises(OSError, match="hugetlb"):
        any_tree.create(cgroup.path, {"hugepageLimits": [{"pageSize": "9MB", "limit": 1}]})
    assert any_tree.create(cgroup.path, {}).pids() == [pid]
    assert not cgroup.remove_unless_in_use()
    assert cgroup.exists()
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    assert cgroup.remove_unless_in_use()
    assert not cgroup.exists()


def test_a_child_enters_another_cgroup_where_it_is_redirected(cgroup: Cgroup, any_tree: Tree) -> None:
    below = any_tree.create(f"{cgroup.path}/below", {})
    pid = _spawn_inside(cgroup.redirected({"": below.path}))
    assert below.pids() == [pid]
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    with pytest.raises(ValueError, match="unknown controller nothing"):
        cgroup.redirected({"nothing": below.path})
    with pytest.raises(FileNotFoundError, match=r"missing does not exist"):
        cgroup.redirected({"": f"{cgroup.path}/missing"})


@pytest.mark.skipif(tree().version != 1, reason="the machine has cgroup v2 only: the next tests say the same of it")
def test_v1_limits_go_up_and_down_while_it_runs() -> None:
    made = tree().create(
        "/cove-test-cg/limits",
        {
            "memory": {"limit": 64 * _MIB, "swap": 64 * _MIB, "reservation": 32 * _MIB},
            "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0"},
            "pids": {"limit": 10},
        },
    )
    try:
        root = Path("/sys/fs/cgroup")

        def value(controller: str, name: str) -> str:
            return (root / controller / "cove-test-cg/limits" / name).read_text().strip()

        assert value("memory", "memory.limit_in_bytes") == str(64 * _MIB)
        assert value("memory", "memory.memsw.limit_in_bytes") == str(64 * _MIB)
        assert value("memory", "memory.soft_limit_in_bytes") == str(32 * _MIB)
        assert (value("cpu", "cpu.shares"), value("cpu", "cpu.cfs_quota_us")) == ("512", "50000")
        assert value("cpuset", "cpuset.cpus") == "0"
        assert value("pids", "pids.max") == "10"
        made.update({"memory": {"limit": 256 * _MIB, "swap": 512 * _MIB}})
        made.update({"memory": {"limit": 16 * _MIB, "swap": 16 * _MIB}})
        made.update({"memory": {"limit": 32 * _MIB, "swap": -1}, "pids": {"limit": -1}})
        assert value("memory", "memory.limit_in_bytes") == str(32 * _MIB)
        assert value("pids", "pids.max") == "max"
        made.update({"cpu": {"quota": 200000, "period": 50000}})
        assert value("cpu", "cpu.cfs_quota_us") == "200000"
        assert made.stats()["memory"]["limit"] == 32 * _MIB
        assert made.stats()["pids"] == {"current": 0, "limit": None}
    finally:
        made.remove()
        tree().at("/cove-test-cg").remove()


@pytest.mark.skipif(tree().version != 2, reason="the machine has cgroup v1: the test above says the same of it")
def test_v2_limits_go_up_and_down_while_it_runs() -> None:
    made = tree().create(
        "/cove-test-cg/limits",
        {
            "memory": {"limit": 64 * _MIB, "swap": 64 * _MIB, "reservation": 32 * _MIB},
            "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0"},
            "pids": {"limit": 10},
            "unified": {"memory.high": str(48 * _MIB)},
        },
    )
    try:

        def values(*names: str) -> list[str]:
            return [(Path("/sys/fs/cgroup/cove-test-cg/limits") / name).read_text().strip() for name in names]

        assert values("memory.max", "memory.low", "memory.high") == [str(n * _MIB) for n in (64, 32, 48)]
        assert values("memory.swap.max", "cpu.max", "cpu.weight", "pids.max") == ["0", "50000 100000", "20", "10"]
        made.update({"memory": {"limit": 128 * _MIB, "swap": -1}, "pids": {"limit": -1}, "cpu": {"quota": 200000}})
        assert values("memory.max", "memory.swap.max", "pids.max") == [str(128 * _MIB), "max", "max"]
        assert values("cpu.max", "cpuset.cpus") == ["200000 100000", "0"]
        assert made.stats()["memory"]["limit"] == 128 * _MIB
    finally:
        made.remove()
        tree().at("/cove-test-cg").remove()


def test_a_container_over_its_memory_is_killed_and_counted(bundle: Bundle) -> None:
    bundle.linux["resources"]["memory"] = {"limit": 32 * _MIB, "swap": 32 * _MIB}
    bundle.process["args"] = ["sh", "-c", "tail /dev/zero"]
    bundle.write()
    done = bundle.command("run", "--keep", "--bundle", str(bundle.folder), bundle.id)
    assert done.returncode != 0
    assert tree().at(bundle.cgroup_path).oom_kills() == 1


def test_a_fork_bomb_ends_at_the_limit(bundle: Bundle) -> None:
    bundle.linux["resources"]["pids"] = {"limit": 10}
    done = bundle.run("sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; echo all")
    assert "all" not in done.stdout
    assert "can't fork" in done.stderr


def test_the_container_sees_its_own_limits(bundle: Bundle) -> None:
    bundle.linux["resources"]["memory"] = {"limit": 64 * _MIB, "swap": 64 * _MIB}
    script = "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
    assert bundle.shell(script).strip() == str(64 * _MIB)
    bundle.drop_namespace("cgroup")
    assert bundle.shell(script).strip() == str(64 * _MIB), "without a namespace the container's cgroup is bound"


@pytest.mark.parametrize("path", ["cove", "/", "/a/../b", "/a//b", "", "/a/."])
def test_paths_that_climb_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not a cgroup path"):
        check_path(path)


def test_device_rules_in_v1s_words() -> None:
    assert [device_line(rule) for rule in _RULES] == ["a", "c *:* m", "c 1:3 rwm", "c 1:5 r"]


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (1024, 39), (262144, 10000)])
def test_shares_become_a_weight(shares: int, weight: int) -> None:
    assert weight_of_shares(shares) == weight


def _asked(program: bytes, kind: int, access: int, major: int, minor: int) -> bool:
    """Interpret a device program as the kernel does: True if access is allowed."""
    context = struct.pack("=III", access << 16 | kind, major, minor)
    registers = [0] * 11
    at = 0
    while True:
        opcode, nibbles, offset, immediate = struct.unpack_from("=BBhi", program, at * 8)
        to, source = nibbles & 15, nibbles >> 4
        at += 1
        match opcode:
            case 0x61:
                registers[to] = struct.unpack_from("=I", context, offset)[0]
            case 0x54:
                registers[to] &= immediate
            case 0x74:
                registers[to] >>= immediate
            case 0xBC:
                registers[to] = registers[source]
            case 0xB7:
                registers[to] = immediate
            case 0x5D:
                at += offset if registers[to] != registers[source] else 0
            case 0x55:
                at += offset if registers[to] != immediate else 0
            case 0x15:
                at += offset if registers[to] == immediate else 0
            case 0x95:
                return bool(registers[0])
            case _:
                raise AssertionError(f"opcode {opcode:#x}")


def test_a_device_program_decides_as_the_rules_say() -> None:
    program = bpf.device_program(_RULES)
    block, char, mknod, read, write = 1, 2, 1, 2, 4
    assert _asked(program, char, read | write, 1, 3)
    assert _asked(program, char, mknod, 9, 9)
    assert _asked(program, char, read, 1, 5)
    assert not _asked(program, char, read | write, 1, 5)
    assert not _asked(program, char, read, 9, 9)
    assert not _asked(program, block, mknod, 8, 0)
    taken_back = bpf.device_program([{"allow": True}, {"allow": False, "type": "b", "major": 8, "access": "w"}])
    assert _asked(taken_back, block, read, 8, 0)
    assert not _asked(taken_back, block, read | write, 8, 0)
    assert _asked(bpf.device_program([]), block, write, 8, 0)


@pytest.mark.skipif(_unified() is None, reason="no cgroup2 is mounted")
def test_the_kernel_takes_the_device_program_and_obeys_it(tmp_path: Path) -> None:
    made = TreeV2(_unified() or "").create("/cove-test-cg/devices", {"devices": _RULES})
    try:
        made.update({"devices": _RULES})  # a second program replaces the first
        for path, ok in (("/dev/null", True), ("/dev/zero", True), ("/dev/random", False)):
            status = os.waitstatus_to_exitcode(os.waitpid(_spawn(made, "head", "-c1", path), 0)[1])
            assert (status == 0) == ok, path
        made.update({"devices": [{"allow": True}]})
        assert os.waitpid(_spawn(made, "head", "-c1", "/dev/random"), 0)[1] == 0
    finally:
        made.remove()
        TreeV2(_unified() or "").at("/cove-test-cg").remove()


def test_nobody_is_left_when_the_tree_cannot_be_made() -> None:
    with pytest.raises(OSError, match=r"cpuset|invalid"):
        tree().create("/cove-test-cg/bad", {"cpu": {"cpus": "999"}})
    assert not tree().at("/cove-test-cg/bad").exists()
    tree().at("/cove-test-cg").remove()
    assert (
        subprocess.run(["find", "/sys/fs/cgroup", "-name", "cove-test-cg"], capture_output=True, check=True).stdout
        == b""
    )
