"""Which cgroups a process is in, and how a container treats a cgroup that it did not make or does not have alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.runtime.conftest import Bundle
from tests.support.makers import MAKERS, Maker
from vmagent.runtime.cgroups import tree
from vmagent.runtime.cgroups.v1 import TreeV1

BY_EACH_MAKER = pytest.mark.parametrize("maker", MAKERS)


def _paths(text: str) -> dict[str, str]:
    """The text of /proc/PID/cgroup as controllers → path; the v2 tree under the key ""."""
    lines = (line.split(":", 2) for line in text.splitlines())
    return {controllers: path for _, controllers, path in lines}


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.fixture
def pair(new_bundle: Callable[[], Bundle]) -> tuple[Bundle, Bundle, int]:
    """Two bundles with one cgroup; the first container runs, the second is not made yet; the first one's pid."""
    first, second = new_bundle(), new_bundle()
    second.linux["cgroupsPath"] = second.cgroup_path = first.cgroup_path
    return first, second, first.start("sleep", "60")


@pytest.fixture
def frozen_parent(bundle: Bundle) -> Iterator[Bundle]:
    """A bundle whose cgroup would be below a frozen one."""
    parent = tree().create(bundle.cgroup_path, {})
    parent.freeze()
    bundle.linux["cgroupsPath"] = f"{bundle.cgroup_path}/inner"
    yield bundle
    parent.thaw()
    parent.kill_all()
    parent.remove()


@BY_EACH_MAKER
def test_a_container_in_a_frozen_cgroup_is_refused(bundle: Bundle, maker: Maker) -> None:
    """Its first process would stop before it could report, and not even SIGKILL would end it on v1."""
    bundle.maker = maker
    cgroup = tree().create(bundle.cgroup_path, {})
    try:
        cgroup.freeze()
        done = bundle.run("true")
        assert done.returncode == 1
        assert "container's cgroup unexpectedly frozen" in done.stderr
        assert cgroup.is_frozen(), "the runtime must neither thaw nor remove it"
        assert not bundle.root.exists() or os.listdir(bundle.root) == []
    finally:
        cgroup.thaw()
        cgroup.kill_all()
        cgroup.remove()


def test_a_container_below_a_frozen_cgroup_is_refused(frozen_parent: Bundle) -> None:
    done = frozen_parent.run("true")
    assert done.returncode == 1
    assert "container's cgroup unexpectedly frozen" in done.stderr
    assert not tree().at(frozen_parent.linux["cgroupsPath"]).exists()


@pytest.mark.skipif(not isinstance(tree(), TreeV1), reason="the machine has cgroup v2 alone")
@BY_EACH_MAKER
def test_beside_v1_a_container_has_its_own_cgroup_of_the_v2_tree_too(bundle: Bundle, maker: Maker) -> None:
    mounted = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if " - cgroup2 " in line]
    if not mounted:
        pytest.skip("no cgroup2 is mounted")
    folder = Path(mounted[0].split(" ")[4] + bundle.cgroup_path)
    bundle.drop_namespace("cgroup")
    bundle.maker = maker
    pid = bundle.start("sleep", "60")
    paths = _paths(Path(f"/proc/{pid}/cgroup").read_text())
    assert set(paths.values()) == {bundle.cgroup_path}
    assert paths[""] == bundle.cgroup_path
    said = bundle.command("exec", bundle.id, "cat", "/proc/self/cgroup").stdout
    assert _paths(said) == paths
    assert bundle.command("delete", "--force", bundle.id).returncode == 0
    assert not folder.exists()


def test_a_second_container_in_a_cgroup_is_warned_of_and_spares_the_first(pair: tuple[Bundle, Bundle, int]) -> None:
    first, second, pid = pair
    done = second.run("sh", "-c", "exit 7")
    assert done.returncode == 7
    assert 'level=warning msg="container\'s cgroup is not empty: 1 process(es) found"' in done.stderr
    assert (_is_alive(pid), first.state()["status"]) == (True, "running")
    assert tree().at(first.cgroup_path).pids() == [pid]


def test_a_second_container_that_cannot_be_made_spares_the_first(pair: tuple[Bundle, Bundle, int]) -> None:
    first, second, pid = pair
    assert second.run("nosuch").returncode == 1
    second.mount("/x", "/nowhere", "bind")
    assert second.create().returncode == 1
    second.spec["mounts"].pop()
    second.linux["resources"]["cpu"] = {"cpus": "999"}
    second.process["args"] = ["true"]
    assert second.create().returncode == 1
    assert (_is_alive(pid), first.state()["status"]) == (True, "running")
    assert tree().at(first.cgroup_path).pids() == [pid]


@pytest.mark.parametrize("has_pid_namespace", [True, False], ids=["own pids", "the host's pids"])
def test_kill_and_delete_of_a_second_container_spare_the_first(
    pair: tuple[Bundle, Bundle, int], has_pid_namespace: bool
) -> None:
    first, second, pid = pair
    if not has_pid_namespace:
        second.drop_namespace("pid")
    other = second.start("sleep", "61")
    assert second.command("kill", "--all", second.id, "KILL").returncode == 0
    assert second.command("delete", "--force", second.id).returncode == 0
    assert (_is_alive(pid), _is_alive(other)) == (True, False)
    assert first.command("kill", "--all", first.id, "0").returncode == 0


def test_the_first_container_of_a_cgroup_spares_the_second(pair: tuple[Bundle, Bundle, int]) -> None:
    first, second, pid = pair
    other = second.start("sleep", "61")
    assert first.command("delete", "--force", first.id).returncode == 0
    assert (_is_alive(pid), _is_alive(other)) == (False, True)
    assert second.command("delete", "--force", second.id).returncode == 0
    assert not tree().at(first.cgroup_path).exists(), "the last one removes it"


def test_processes_without_a_pid_namespace_end_with_their_container(bundle: Bundle) -> None:
    """Without one the kernel does not end the others when the first process ends."""
    bundle.drop_namespace("pid")
    bundle.process["args"] = ["sh", "-c", "sleep 60 & sleep 61 & touch /up; wait"]
    assert bundle.create().returncode == 0
    assert bundle.command("start", bundle.id).returncode == 0
    bundle.command("exec", bundle.id, "sh", "-c", "until test -e /up; do :; done")
    pids = tree().at(bundle.cgroup_path).pids()
    assert len(pids) == 3
    assert bundle.command("delete", "--force", bundle.id).returncode == 0
    assert not any(_is_alive(pid) for pid in pids)


@pytest.fixture
def nested(bundle: Bundle) -> Bundle:
    """A running container that sees its cgroups' paths from the root, with a cgroup `sub` below its own."""
    bundle.drop_namespace("cgroup")
    bundle.start("sleep", "60")
    for mount_point in tree().mount_points:  # no controllers: on v2 the cgroup above has processes
        os.mkdir(f"{mount_point}{bundle.cgroup_path}/sub")
    return bundle


@BY_EACH_MAKER
def test_exec_takes_a_sub_cgroup(nested: Bundle, maker: Maker) -> None:
    nested.maker = maker
    done = nested.command("exec", "--cgroup", "sub", nested.id, "cat", "/proc/self/cgroup")
    paths = _paths(done.stdout)
    entered = set(paths.values()) if isinstance(tree(), TreeV1) else {paths[""]}
    assert entered == {f"{nested.cgroup_path}/sub"}, done.stderr


@pytest.mark.skipif(not isinstance(tree(), TreeV1), reason="v2 has one tree for all controllers")
@BY_EACH_MAKER
def test_exec_takes_a_sub_cgroup_for_some_controllers(nested: Bundle, maker: Maker) -> None:
    nested.maker = maker
    words = ["exec", "--cgroup", "pids:sub", "--cgroup", "cpu,name=systemd:/sub", nested.id]
    paths = _paths(nested.command(*words, "cat", "/proc/self/cgroup").stdout)
    inside = {name for controllers, path in paths.items() if path.endswith("/sub") for name in controllers.split(",")}
    assert {"pids", "cpu", "name=systemd"} <= inside
    assert {"memory", "freezer", "devices"}.isdisjoint(inside)
    assert set(paths.values()) == {nested.cgroup_path, f"{nested.cgroup_path}/sub"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["../{id}x"], "not a sub cgroup path"),
        (["pids:../{id}x"], "not a sub cgroup path"),
        (["../.."], "not a sub cgroup path"),
        (["nosuch"], "does not exist"),
        (["pids:nosuch"], "does not exist"),
        (["nothing:sub"], "unknown controller nothing"),
        (["a:b:c"], "invalid --cgroup argument: a:b:c"),
        (["sub", "pids:sub"], "invalid --cgroup argument: sub (missing <controller>: prefix)"),
    ],
)
def test_a_sub_cgroup_that_is_none_is_refused(nested: Bundle, given: list[str], said: str) -> None:
    if not isinstance(tree(), TreeV1) and said in ("does not exist", "not a sub cgroup path") and ":" in given[0]:
        pytest.skip("v2 has one tree for all controllers")
    beside = tree().create(f"{nested.cgroup_path}x", {})
    try:
        words = [word for one in given for word in ("--cgroup", one.format(id=nested.id))]
        done = nested.command("exec", *words, nested.id, "true")
        assert done.returncode == 255
        assert said in done.stderr
    finally:
        beside.remove()


def test_lifting_the_memory_limit_lifts_that_of_memory_and_swap(bundle: Bundle) -> None:
    """The kernel refuses memory above memory+swap, so the memory limit alone could never be lifted on v1."""
    bundle.linux["resources"]["memory"] = {"limit": 64 << 20, "swap": 64 << 20}
    bundle.start("sleep", "60")
    done = bundle.command("update", "--memory", "-1", bundle.id)
    assert done.returncode == 0, done.stderr
    names = (
        ("memory/{}/memory.limit_in_bytes", "memory/{}/memory.memsw.limit_in_bytes")
        if isinstance(tree(), TreeV1)
        else ("{}/memory.max", "{}/memory.swap.max")
    )
    values = {Path("/sys/fs/cgroup", name.format(bundle.cgroup_path.lstrip("/"))).read_text().strip() for name in names}
    assert values <= {"max", str(0x7FFFFFFFFFFFF000)}


def test_update_by_a_document_lifts_both_limits_too(bundle: Bundle) -> None:
    bundle.linux["resources"]["memory"] = {"limit": 64 << 20, "swap": 80 << 20}
    bundle.start("sleep", "60")
    text = json.dumps({"memory": {"limit": -1}})
    done = bundle.command("update", "--resources", "-", bundle.id, stdin=None, input=text)
    assert done.returncode == 0, done.stderr
