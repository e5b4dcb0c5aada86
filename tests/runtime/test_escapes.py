"""Known ways out of a container from other runtimes: each is tried, and then the host is inspected."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime.conftest import Bundle
from tests.support.limits import HANG_S
from tests.support.makers import MAKERS
from vmagent.linux.interpreter import open_protected


@pytest.fixture(params=MAKERS, autouse=True)
def _maker(request: pytest.FixtureRequest, bundle: Bundle) -> None:
    """Each test runs with both makers of processes."""
    bundle.maker = request.param


@pytest.mark.spec("CVE-2021-30465: a mount's destination is resolved inside the root")
def test_links_in_destinations_stay_inside(bundle: Bundle, tmp_path: Path) -> None:
    outside, source = tmp_path / "outside", tmp_path / "source"
    outside.mkdir()
    source.mkdir()
    (source / "f").write_text("bound")
    inside = bundle.rootfs / str(outside).lstrip("/")
    (bundle.rootfs / "absolute").symlink_to(outside)
    (bundle.rootfs / "climbing").symlink_to("../../../../../../../../" + str(outside))
    (bundle.rootfs / "etc" / "resolv.conf").symlink_to("../run/systemd/resolve/stub.conf")
    (bundle.rootfs / "loop").symlink_to("loop")
    bundle.mount("/absolute/made", source, "rbind")
    bundle.mount("/climbing/file", source / "f", "bind")
    bundle.mount("/etc/resolv.conf", source / "f", "bind")
    assert (
        bundle.shell("cat /absolute/made/f /climbing/file /etc/resolv.conf /run/systemd/resolve/stub.conf")
        == "bound" * 4
    )
    assert list(outside.iterdir()) == []
    assert inside.is_dir(), "made below the root instead"
    bundle.mount("/loop/x", source, "rbind")
    assert "symbolic link" in bundle.run("true").stderr


@pytest.mark.parametrize("name", ["proc", "sys"])
@pytest.mark.spec("CVE-2019-19921: /proc or /sys as a link")
def test_proc_and_sys_are_no_links(bundle: Bundle, tmp_path: Path, name: str) -> None:
    (bundle.rootfs / name).symlink_to("tmp")
    done = bundle.run("true")
    assert done.returncode == 1
    assert f'to rootfs at "/{name}"' in done.stderr


@pytest.mark.spec("CVE-2025-52881: nothing is put over what the runtime itself writes to")
def test_nothing_is_mounted_inside_proc(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("8 cpus")
    bundle.mount("/proc/cpuinfo", tmp_path / "f", "bind")
    assert bundle.shell("cat /proc/cpuinfo") == "8 cpus"
    bundle.mount("/proc/self/attr/exec", tmp_path / "f", "bind")
    assert "cannot be mounted because it is inside /proc" in bundle.run("true").stderr


@pytest.mark.spec("CVE-2025-31133: masks come from the host's null device, whatever the image has")
def test_masks_do_not_depend_on_the_containers_null_device(bundle: Bundle) -> None:
    bundle.spec["mounts"] = [m for m in bundle.spec["mounts"] if not m["destination"].startswith("/dev")]
    (bundle.rootfs / "dev").mkdir()
    (bundle.rootfs / "dev" / "null").symlink_to("/proc/sysrq-trigger")
    said = bundle.shell("ls -l /proc/keys; cat /proc/keys")
    assert "1,   3" in said
    assert said.count("\n") == 1


@pytest.mark.spec("CVE-2024-21626: a working directory through a leaked descriptor")
def test_no_descriptor_of_ours_is_a_way_out(bundle: Bundle) -> None:
    for number in range(3, 12):
        bundle.process["cwd"] = f"/proc/self/fd/{number}"
        done = bundle.run("pwd")
        assert done.returncode == 1, done.stdout
    bundle.process["cwd"] = "/"
    assert bundle.shell("ls /proc/self/fd | wc -l").strip() == "4"  # three streams, and the descriptor of ls


@pytest.mark.spec("CVE-2019-5736: the runtime's executable is out of reach for writing")
def test_the_interpreter_cannot_be_overwritten(tmp_path: Path) -> None:
    """Tried on a copy of cat: other processes run the interpreter at this moment, and ETXTBSY would hide the result."""
    program = tmp_path / "program"
    shutil.copy("/bin/cat", program)
    for path, error in ((open_protected(str(program)), errno.EROFS), (os.open(program, os.O_PATH), None)):
        with subprocess.Popen(
            ["cat"], executable=f"/proc/self/fd/{path}", stdin=subprocess.PIPE, pass_fds=[path]
        ) as child:
            handle = os.open(f"/proc/{child.pid}/exe", os.O_PATH)
            child.communicate()
        try:
            os.close(os.open(f"/proc/self/fd/{handle}", os.O_WRONLY))
            happened = None
        except OSError as e:
            happened = e.errno
        os.close(handle)
        os.close(path)
        assert happened == error, "the second, unprotected one shows that the attack is real"


def test_the_protected_interpreter_starts_and_knows_it() -> None:
    script = "from vmagent.linux import interpreter; print(interpreter.is_protected())"
    fd = open_protected()
    try:
        argv = [sys.executable, "-P", "-c", script]
        done = subprocess.run(argv, executable=f"/proc/self/fd/{fd}", pass_fds=[fd], capture_output=True, check=True)
    finally:
        os.close(fd)
    assert done.stdout == b"True\n"


def test_an_exec_is_out_of_sight_until_it_is_the_command(bundle: Bundle) -> None:
    """While a process enters, the container's root sees neither its memory nor its descriptors (PR_SET_DUMPABLE)."""
    look = "case $p in /proc/1) ;; *) readlink $p/exe $p/fd/*; esac"
    bundle.start("sh", "-c", f"while :; do for p in /proc/[0-9]*; do {look}; done; done 2>/dev/null >>/seen")
    for _ in range(5):
        assert bundle.command("exec", bundle.id, "true").returncode == 0
    seen = (bundle.rootfs / "seen").read_text() if (bundle.rootfs / "seen").exists() else ""
    assert "python" not in seen
    assert str(Path(sys.prefix)) not in seen
    assert "/" not in seen.splitlines(), "/ is a program on a mount of its own: the spawner, the interpreter"


@pytest.mark.spec("the user database is parsed by us and may not block us")
def test_a_hostile_passwd_does_not_hold_the_start_up(bundle: Bundle) -> None:
    passwd = bundle.rootfs / "etc" / "passwd"
    passwd.unlink()
    os.mkfifo(passwd)
    assert bundle.run("true").returncode == 0
    passwd.unlink()
    os.mknod(passwd, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    assert bundle.run("true").returncode == 0
    passwd.unlink()
    passwd.symlink_to("/proc/self/environ")
    assert bundle.run("true").returncode == 0


def test_a_long_line_does_not_hold_the_start_up(bundle: Bundle) -> None:
    """A list of millions of members is read once, and not once per member."""
    (bundle.rootfs / "etc" / "passwd").write_text("guest:x:5:6::/:\n")
    (bundle.rootfs / "etc" / "group").write_text("many:x:7:" + "m," * 4_000_000 + "guest\n")
    bundle.start("sleep", "100")
    done = bundle.command("exec", "--user", "guest", bundle.id, "id", "-G", timeout=HANG_S)
    assert done.stdout == "6 7\n"


@pytest.mark.spec("CVE-2022-0492: release_agent of cgroup v1")
def test_the_release_agent_is_out_of_reach(bundle: Bundle) -> None:
    said = bundle.shell(
        "find /sys/fs/cgroup -name release_agent; (echo 1 >/sys/fs/cgroup/memory/notify_on_release) 2>&1 || true"
    )
    assert "release_agent" not in said.replace("notify_on_release", "")
    assert "Read-only" in said or "nonexistent" in said
