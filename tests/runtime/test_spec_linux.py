"""config-linux.md of the OCI runtime specification, but for cgroups and seccomp. One statement, one test."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runtime.conftest import DEFAULT_CAPABILITIES, Bundle
from tests.runtime.test_uncommon import map_users
from vmagent.runtime.plan import compile_plan

FILES = {"pid": "pid", "network": "net", "mount": "mnt", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup", "time": "time"}


@pytest.mark.parametrize(
    ("path", "kind"), [("/proc", "proc"), ("/sys", "sysfs"), ("/dev/pts", "devpts"), ("/dev/shm", "tmpfs")]
)
@pytest.mark.spec("config-linux.md, Default Filesystems")
def test_the_file_systems_that_programs_expect_are_there(bundle: Bundle, path: str, kind: str) -> None:
    assert bundle.shell(f"grep ' {path} ' /proc/mounts").split()[2] == kind


@pytest.mark.parametrize("name", FILES)
@pytest.mark.spec("config-linux.md, Namespaces: type")
def test_a_namespace_that_is_listed_is_new(bundle: Bundle, name: str) -> None:
    bundle.drop_namespace(name)
    bundle.linux["namespaces"].append({"type": name})
    assert bundle.shell(f"readlink /proc/self/ns/{FILES[name]}").strip() != os.readlink(f"/proc/self/ns/{FILES[name]}")


@pytest.mark.spec("config-linux.md, Namespaces: type")
def test_a_user_namespace_that_is_listed_is_new(bundle: Bundle) -> None:
    map_users(bundle)
    assert bundle.shell("readlink /proc/self/ns/user").strip() != os.readlink("/proc/self/ns/user")


@pytest.mark.parametrize("name", ["pid", "network", "ipc", "uts", "cgroup", "user", "time"])
@pytest.mark.spec("config-linux.md, Namespaces")
def test_a_namespace_that_is_not_listed_is_the_runtimes(bundle: Bundle, name: str) -> None:
    bundle.drop_namespace(name)
    if name == "uts":
        del bundle.spec["hostname"]
    file = FILES.get(name, name)
    assert bundle.shell(f"readlink /proc/self/ns/{file}").strip() == os.readlink(f"/proc/self/ns/{file}")


@pytest.mark.parametrize("name", ["pid", "network", "ipc", "uts", "cgroup", "time"])
@pytest.mark.spec("config-linux.md, Namespaces: path")
def test_a_namespace_with_a_path_is_joined(bundle: Bundle, joined: int, name: str) -> None:
    path = f"/proc/{joined}/ns/{FILES[name]}"
    bundle.drop_namespace(name, path)
    if name == "uts":
        del bundle.spec["hostname"]
    assert bundle.shell(f"readlink /proc/self/ns/{FILES[name]}").strip() == os.readlink(path)


@pytest.fixture(scope="module")
def joined(module_bundle: Callable[[], Bundle]) -> int:
    """The pid of a container that has its own namespace of each kind except user."""
    bundle = module_bundle()
    bundle.linux["namespaces"].append({"type": "time"})
    return bundle.start("sleep", "600")


@pytest.mark.spec("config-linux.md, Namespaces: path")
def test_a_namespaces_path_is_absolute(bundle: Bundle) -> None:
    bundle.drop_namespace("network", "proc/1/ns/net")
    bundle.refused("is not absolute")


@pytest.mark.parametrize("path", ["/proc/self/ns/ipc", "/dev/null", "/nothing"])
@pytest.mark.spec("config-linux.md, Namespaces: path")
def test_a_path_of_another_kind_is_an_error(bundle: Bundle, path: str) -> None:
    bundle.drop_namespace("network", path)
    said = bundle.refused("")
    assert re.search("invalid argument|no such file", said), said


@pytest.mark.spec("config-linux.md, Namespaces")
def test_a_namespace_listed_twice_is_an_error(bundle: Bundle) -> None:
    bundle.linux["namespaces"].append({"type": "pid"})
    bundle.refused("namespace pid is given twice")


@pytest.mark.spec("config-linux.md, Namespaces: type")
def test_an_unknown_namespace_is_an_error(bundle: Bundle) -> None:
    bundle.linux["namespaces"].append({"type": "dream"})
    bundle.refused("namespace 'dream' is not supported")


@pytest.mark.spec("config-linux.md, User namespace mappings: uidMappings")
def test_users_are_mapped_as_given(bundle: Bundle) -> None:
    map_users(bundle)
    bundle.linux["uidMappings"] = [
        {"containerID": 0, "hostID": 200_000, "size": 10},
        {"containerID": 10, "hostID": 300_000, "size": 5},
    ]
    said = [line.split() for line in bundle.shell("cat /proc/self/uid_map").splitlines()]
    assert said == [["0", "200000", "10"], ["10", "300000", "5"]]


@pytest.mark.spec("config-linux.md, User namespace mappings: gidMappings")
def test_groups_are_mapped_as_given(bundle: Bundle) -> None:
    map_users(bundle)
    bundle.linux["gidMappings"] = [{"containerID": 0, "hostID": 200_000, "size": 99}]
    assert bundle.shell("cat /proc/self/gid_map").split() == ["0", "200000", "99"]


@pytest.mark.spec("config-linux.md, User namespace mappings")
def test_the_owners_of_the_root_are_not_changed(bundle: Bundle) -> None:
    map_users(bundle)
    before = {path: os.lstat(path).st_uid for path in map(str, bundle.rootfs.rglob("*"))}
    bundle.shell("true")
    assert {path: os.lstat(path).st_uid for path in before} == before


@pytest.mark.parametrize("missing", ["containerID", "hostID", "size"])
@pytest.mark.spec("config-linux.md, User namespace mappings")
def test_a_mapping_without_one_of_its_numbers_is_an_error(bundle: Bundle, missing: str) -> None:
    map_users(bundle)
    mapping = {"containerID": 0, "hostID": 200_000, "size": 1}
    del mapping[missing]
    bundle.linux["uidMappings"] = [mapping]
    bundle.refused(f"an id mapping without {missing}")


@pytest.mark.spec("config-linux.md, Offset for Time Namespace")
def test_a_clock_that_has_no_offset_is_an_error(bundle: Bundle) -> None:
    bundle.linux["namespaces"].append({"type": "time"})
    bundle.linux["timeOffsets"] = {"realtime": {"secs": 1}}
    bundle.refused("the clock 'realtime' has no offset")


@pytest.mark.spec("config-linux.md, Devices")
def test_listed_devices_are_there_anywhere_in_the_file_system(bundle: Bundle) -> None:
    bundle.linux["devices"] = [
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229},
        {"path": "/somewhere/pipe", "type": "p", "fileMode": 0o600},
        {"path": "/dev/disk", "type": "b", "major": 8, "minor": 0},
        {"path": "/dev/unbuffered", "type": "u", "major": 1, "minor": 3},
    ]
    said = bundle.shell("stat -c '%F %t %T' /dev/fuse /somewhere/pipe /dev/disk /dev/unbuffered")
    assert said.splitlines() == [
        "character special file a e5",
        "fifo 0 0",
        "block special file 8 0",
        "character special file 1 3",
    ]


@pytest.mark.spec("config-linux.md, Devices: path")
def test_another_file_at_a_devices_path_is_an_error(bundle: Bundle) -> None:
    (bundle.rootfs / "taken").write_text("x")
    bundle.linux["devices"] = [{"path": "/taken", "type": "c", "major": 1, "minor": 3}]
    assert "file exists" in bundle.refused("error creating device /taken")


@pytest.mark.spec("config-linux.md, Devices: type")
def test_a_device_of_an_unknown_type_is_an_error(bundle: Bundle) -> None:
    bundle.linux["devices"] = [{"path": "/x", "type": "q", "major": 1, "minor": 3}]
    bundle.refused("type 'q' is not known")


@pytest.mark.spec("config-linux.md, Devices: fileMode")
def test_a_device_has_the_mode_that_is_given(bundle: Bundle) -> None:
    bundle.linux["devices"] = [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 0o624}]
    assert bundle.shell("stat -c %a /dev/x") == "624\n"


@pytest.mark.parametrize(("key", "letter"), [("uid", "u"), ("gid", "g")])
@pytest.mark.spec("config-linux.md, Devices: uid, gid")
def test_a_device_has_the_owner_that_is_given(bundle: Bundle, key: str, letter: str) -> None:
    bundle.linux["devices"] = [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, key: 12}]
    assert bundle.shell(f"stat -c %{letter} /dev/x") == "12\n"


@pytest.mark.spec("config-linux.md, Devices")
def test_a_device_that_is_not_listed_cannot_be_used(bundle: Bundle) -> None:
    for names in bundle.process["capabilities"].values():
        names[:] = [*DEFAULT_CAPABILITIES]
    assert "not permitted" in bundle.shell("mknod /dev/disk0 b 8 0 && cat /dev/disk0 2>&1 || :")


@pytest.mark.parametrize("name", ["null", "zero", "full", "random", "urandom", "tty"])
@pytest.mark.spec("config-linux.md, Default Devices")
def test_a_default_device_is_there_and_works(bundle: Bundle, name: str) -> None:
    tries = {
        "null": "echo x >/dev/null",
        "zero": "head -c 2 /dev/zero | wc -c",
        "full": "! echo x >/dev/full",
        "random": "head -c 1 /dev/random | wc -c",
        "urandom": "head -c 1 /dev/urandom | wc -c",
        "tty": "echo x >/dev/tty",
    }
    bundle.process["terminal"] = name == "tty"
    bundle.shell(f"test -c /dev/{name} && {tries[name]}")


@pytest.mark.spec("config-linux.md, Default Devices")
def test_the_console_is_the_terminal_where_there_is_one(bundle: Bundle) -> None:
    bundle.process["terminal"] = True
    said = bundle.shell("stat -c '%t:%T' /dev/console /dev/pts/0; grep -c ' /dev/console ' /proc/mounts").split()
    assert said == ["88:0", "88:0", "1"]


@pytest.mark.spec("config-linux.md, Default Devices")
def test_ptmx_is_the_containers_own(bundle: Bundle) -> None:
    assert bundle.shell("readlink /dev/ptmx; echo >/dev/ptmx; ls /dev/pts") == "pts/ptmx\nptmx\n"


@pytest.mark.spec("runtime-linux.md, Dev symbolic links")
def test_the_links_of_dev_are_there(bundle: Bundle) -> None:
    said = bundle.shell("for n in fd stdin stdout stderr; do readlink /dev/$n; done").split()
    assert said == ["/proc/self/fd", *(f"/proc/self/fd/{n}" for n in (0, 1, 2))]


@pytest.mark.spec("config-linux.md, IntelRdt")
def test_intel_rdt_is_refused(bundle: Bundle) -> None:
    bundle.linux["intelRdt"] = {"closID": "guaranteed"}
    bundle.refused("Intel RDT is not supported")


@pytest.mark.spec("config-linux.md, Sysctl")
def test_kernel_parameters_of_the_containers_namespaces_are_set(bundle: Bundle) -> None:
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.shmmni": "77", "fs.mqueue.msg_max": "9"}
    said = bundle.shell("cd /proc/sys; cat net/ipv4/ip_forward kernel/shmmni fs/mqueue/msg_max")
    assert said.split() == ["1", "77", "9"]


@pytest.mark.parametrize("name", ["vm.swappiness", "kernel.core_pattern", "fs.file-max", "net/../kernel.panic"])
@pytest.mark.spec("config-linux.md, Sysctl")
def test_a_kernel_parameter_of_the_host_is_an_error(bundle: Bundle, name: str) -> None:
    bundle.linux["sysctl"] = {name: "1"}
    said = bundle.refused("sysctl")
    assert re.search("not in a separate kernel namespace|is not a name", said)


@pytest.mark.spec("config-linux.md, Sysctl")
def test_the_host_name_is_no_kernel_parameter_of_the_list(bundle: Bundle) -> None:
    """It would conflict with the field `hostname`: refused as with runc and crun."""
    bundle.linux["sysctl"] = {"kernel.hostname": "x"}
    bundle.refused('sysctl "kernel.hostname" is not allowed as it conflicts with the "hostname" field')
    bundle.linux["sysctl"] = {"kernel.domainname": "x"}
    assert bundle.shell("cat /proc/sys/kernel/domainname") == "x\n"


@pytest.mark.parametrize(
    ("word", "field"),
    [("shared", "shared:"), ("slave", ""), ("private", ""), ("unbindable", "unbindable")],
)
@pytest.mark.spec("config-linux.md, Rootfs Mount Propagation")
def test_the_root_has_the_propagation_that_is_given(bundle: Bundle, word: str, field: str) -> None:
    bundle.linux["rootfsPropagation"] = word
    line = bundle.shell("grep ' / / ' /proc/self/mountinfo || grep -E ' /[^ ]* / ' /proc/self/mountinfo").splitlines()[
        0
    ]
    optional = " ".join(line.partition(" - ")[0].split()[6:])
    assert optional.startswith(field) if field else "shared:" not in optional


@pytest.mark.spec("config-linux.md, Masked Paths")
def test_masked_paths_cannot_be_read(bundle: Bundle) -> None:
    (bundle.rootfs / "secret").write_text("word")
    (bundle.rootfs / "folder").mkdir()
    (bundle.rootfs / "folder" / "secret").write_text("word")
    bundle.linux["maskedPaths"] = ["/secret", "/folder", "/absent"]
    assert bundle.shell("cat /secret; ls -A /folder") == ""


@pytest.mark.spec("config-linux.md, Masked Paths")
def test_a_masked_path_is_absolute(bundle: Bundle) -> None:
    bundle.linux["maskedPaths"] = ["proc/kcore"]
    bundle.refused("linux.maskedPaths: 'proc/kcore' is not absolute")


@pytest.mark.spec("config-linux.md, Readonly Paths")
def test_read_only_paths_cannot_be_written(bundle: Bundle) -> None:
    (bundle.rootfs / "folder").mkdir()
    bundle.linux["readonlyPaths"] = ["/folder", "/absent"]
    assert "Read-only file system" in bundle.shell("touch /folder/x 2>&1 || :")


@pytest.mark.spec("config-linux.md, Readonly Paths")
def test_a_read_only_path_is_absolute(bundle: Bundle) -> None:
    bundle.linux["readonlyPaths"] = ["proc/sys"]
    bundle.refused("linux.readonlyPaths: 'proc/sys' is not absolute")


@pytest.mark.spec("config-linux.md, Mount Label")
def test_a_mount_label_is_refused(bundle: Bundle) -> None:
    bundle.linux["mountLabel"] = "system_u:object_r:svirt_sandbox_file_t:s0"
    bundle.refused("SELinux is not supported")


@pytest.mark.parametrize(("domain", "machines"), [("LINUX32", ("i686", "armv8l")), ("LINUX", (os.uname().machine,))])
@pytest.mark.spec("config-linux.md, Personality: domain")
def test_the_execution_domain_is_what_is_given(bundle: Bundle, domain: str, machines: tuple[str, ...]) -> None:
    bundle.linux["personality"] = {"domain": domain}
    assert bundle.shell("uname -m").strip() in machines


@pytest.mark.spec("config-linux.md, Personality: flags")
def test_flags_of_a_personality_are_an_error(bundle: Bundle) -> None:
    bundle.linux["personality"] = {"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}
    bundle.refused("personality.flags are not supported")


def test_no_uncommon_word_is_in_the_plan_of_an_ordinary_container(bundle: Bundle) -> None:
    """The plan of an ordinary container has None for all of these, so that its start costs nothing more."""

    plan = compile_plan(
        {**bundle.spec, "process": {**bundle.process, "args": ["x"]}}, container_id="x", cgroup_path="/x"
    )
    assert plan.extra is None
    assert plan.process.extra is None
    assert Path(plan.rootfs.path).is_absolute()
