"""Features that few containers use: user and time namespaces, id-mapped mounts, copy-up."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runtime.conftest import Bundle

BASE, COUNT = 200_000, 65_536


def map_users(bundle: Bundle) -> None:
    """A user namespace mapped to the host's ids from BASE on; its root owns the root file system."""
    mapping = [{"containerID": 0, "hostID": BASE, "size": COUNT}]
    bundle.linux["namespaces"].append({"type": "user"})
    bundle.linux.update(uidMappings=mapping, gidMappings=mapping)
    for folder, _, files in os.walk(bundle.rootfs):
        for path in (folder, *(f"{folder}/{name}" for name in files)):
            info = os.lstat(path)
            os.chown(path, BASE + info.st_uid, BASE + info.st_gid, follow_symlinks=False)
            if not os.path.islink(path):
                os.chmod(path, info.st_mode & 0o7777)


@pytest.mark.spec("config-linux.md, User namespace mappings")
def test_root_inside_is_nobody_of_importance_outside(bundle: Bundle, tmp_path: Path) -> None:
    map_users(bundle)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    bundle.mount("/shared", shared, "rbind")
    bundle.linux["devices"] = [
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 5, "gid": 6}
    ]
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    if not Path("/dev/fuse").exists():
        pytest.skip("the host has no /dev/fuse")
    said = bundle.shell(
        "id -u; id -G; cat /proc/self/uid_map; touch /shared/made /root-made; stat -c '%u %g %t' /dev/fuse;"
        "echo x >/dev/null && head -c 3 /dev/zero | wc -c; cat /proc/sys/net/ipv4/ip_forward; hostname;"
        "mount -t tmpfs x /tmp 2>&1; mknod /disk b 8 0 2>&1; ls -d /sys/fs/cgroup/*"
    )
    lines = said.splitlines()
    assert lines[:2] == ["0", "0"]
    assert lines[2].split() == ["0", str(BASE), str(COUNT)]
    assert lines[3] in ("5 6 a", "65534 65534 a"), "before kernel 6.15 it is the host's own node"
    assert lines[4:7] == ["3", "1", "cove"]
    assert said.count("ermitted") + said.count("denied") >= 1
    assert (shared / "made").stat().st_uid == BASE
    assert (bundle.rootfs / "root-made").stat().st_uid == BASE


@pytest.mark.spec("config-linux.md, Namespaces: path")
def test_exec_and_another_container_join_a_user_namespace(new_bundle: Callable[[], Bundle]) -> None:
    first, second = new_bundle(), new_bundle()
    map_users(first)
    pid = first.start("sleep", "60")
    own = os.readlink(f"/proc/{pid}/ns/user")
    assert own != os.readlink("/proc/self/ns/user")
    said = first.command("exec", first.id, "sh", "-c", "readlink /proc/self/ns/user; id -u; ps | grep -c sleep")
    assert said.stdout.split()[:2] == [own, "0"], said.stderr
    map_users(second)
    del second.linux["uidMappings"], second.linux["gidMappings"]
    second.drop_namespace("user", f"/proc/{pid}/ns/user")
    second.drop_namespace("network", f"/proc/{pid}/ns/net")
    said_second = second.shell("readlink /proc/self/ns/user; readlink /proc/self/ns/net; id -u; echo $$; touch /x")
    assert said_second.split() == [own, os.readlink(f"/proc/{pid}/ns/net"), "0", "1"]


@pytest.mark.spec("config-linux.md, Namespaces: path")
def test_who_joins_user_and_pid_namespaces_is_known_by_its_own_number(new_bundle: Callable[[], Bundle]) -> None:
    """Not by its id inside the namespace, which on the host is another user's."""
    first, second = new_bundle(), new_bundle()
    map_users(first)
    pid = first.start("sleep", "60")
    map_users(second)
    del second.linux["uidMappings"], second.linux["gidMappings"]
    for name, file in (("user", "user"), ("network", "net"), ("pid", "pid")):
        second.drop_namespace(name, f"/proc/{pid}/ns/{file}")
    started = second.start("sleep", "61")
    assert Path(f"/proc/{started}/cmdline").read_bytes().split(b"\0")[:2] == [b"sleep", b"61"]
    assert os.readlink(f"/proc/{started}/ns/pid") == os.readlink(f"/proc/{pid}/ns/pid")


def test_a_terminal_works_in_a_user_namespace(bundle: Bundle) -> None:
    map_users(bundle)
    bundle.process["terminal"] = True
    assert bundle.shell("tty; stat -c %u /dev/console").split() == ["/dev/pts/0", "0"]


@pytest.mark.spec("config-linux.md, Namespaces: user; mount_namespaces(7), less privileged mount namespaces")
def test_a_bind_shared_in_a_user_namespace_mounts_nothing_outside(bundle: Bundle, tmp_path: Path) -> None:
    map_users(bundle)
    for sets in bundle.process["capabilities"].values():
        sets.append("CAP_SYS_ADMIN")
    shared = tmp_path / "shared"
    shared.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "shared", shared], check=True)
    try:
        subprocess.run(["mount", "--make-shared", shared], check=True)
        (shared / "place").mkdir()
        bundle.mount("/m", shared, "rbind", "rshared")
        said = bundle.shell(
            "mount -t tmpfs t /m/place && touch /m/place/x && grep -o ' /m .* shared:' /proc/self/mountinfo"
        )
        assert said.endswith("shared:\n")
        assert not list((shared / "place").iterdir())
    finally:
        subprocess.run(["umount", "-R", shared], check=True)


@pytest.mark.parametrize("option", ["idmap", "ridmap"])
@pytest.mark.spec("config.md, Linux mount options: idmap, ridmap")
def test_an_idmapped_mount_shows_other_owners_and_changes_none(bundle: Bundle, tmp_path: Path, option: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").touch()
    os.chown(source / "file", 1000, 1000)
    bundle.mount("/m", source, "rbind", option)
    mapping = [{"containerID": 1000, "hostID": 3000, "size": 10}, {"containerID": 0, "hostID": 500, "size": 1}]
    bundle.spec["mounts"][-1].update(uidMappings=mapping, gidMappings=mapping)
    assert bundle.shell("stat -c '%u %g' /m/file").split() == ["3000", "3000"]
    assert (source / "file").stat().st_uid == 1000


@pytest.mark.spec("config.md, Linux mount options: idmap")
def test_idmap_alone_means_the_containers_own_mapping(bundle: Bundle, tmp_path: Path) -> None:
    map_users(bundle)
    source = tmp_path / "source"
    source.mkdir()
    bundle.mount("/m", source, "bind", "idmap")
    assert bundle.shell("touch /m/x; stat -c %u /m /m/x").split() == ["0", "0"]
    assert (source / "x").stat().st_uid == 0, "the host's own id: nothing was shifted on disk"


@pytest.mark.spec("config-linux.md, Offset for Time Namespace")
def test_a_time_namespace_has_its_offsets(bundle: Bundle) -> None:
    bundle.linux["namespaces"].append({"type": "time"})
    bundle.linux["timeOffsets"] = {"monotonic": {"secs": 5}, "boottime": {"secs": 864_000, "nanosecs": 5}}
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    inside, own = bundle.shell("cut -d' ' -f1 /proc/uptime; readlink /proc/self/ns/time").split()
    assert float(inside) >= uptime + 864_000
    assert own != os.readlink("/proc/self/ns/time")


@pytest.mark.spec("config.md, Linux mount options: tmpcopyup")
def test_copy_up_fills_a_tmpfs_with_what_lay_below(bundle: Bundle) -> None:
    folder = bundle.rootfs / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_text("kept")
    (folder / "sub" / "file").chmod(0o640)
    os.chown(folder / "sub" / "file", 5, 6)
    (folder / "link").symlink_to("sub/file")
    bundle.mount("/data", "tmpfs", "tmpcopyup", "nosuid", "ro", kind="tmpfs")
    said = bundle.shell(
        "cat /data/link; stat -c ' %u %g %a' /data/sub/file; grep ' /data ' /proc/mounts; touch /data/x 2>&1 || :"
    )
    assert said.startswith("kept 5 6 640\ntmpfs /data tmpfs ro,nosuid")
    assert "Read-only" in said
    shutil.rmtree(folder)


def test_a_read_only_tmpfs_holds_what_is_mounted_and_made_in_it(bundle: Bundle) -> None:
    """podman --read-only-tmpfs=false asks for such a /dev, and podman 5 sends empty options."""
    dev = next(mount for mount in bundle.spec["mounts"] if mount["destination"] == "/dev")
    dev["options"] = [*dev["options"], "ro", ""]
    bundle.mount("/t", "tmpfs", "ro", "size=1m", kind="tmpfs")
    bundle.mount("/t/inner", "tmpfs", "size=1m", kind="tmpfs")
    said = bundle.shell("echo >/dev/null; ls -d /dev/pts /dev/fd; touch /t/inner/x; touch /dev/x /t/x 2>&1 || true")
    assert said == ("/dev/fd\n/dev/pts\ntouch: /dev/x: Read-only file system\ntouch: /t/x: Read-only file system\n")
