"""Attacks on files of the host's: through devices and masks, mounts, links and archives."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.security.conftest import Attacker
from tests.security.probing import program
from tests.support.limits import HANG_S
from tests.support.tools import ROOT


def test_the_host_s_null_device_is_out_of_reach(attacker: Attacker) -> None:
    """Masks and missing streams are null devices. If one were the host's own, its mode could be changed from inside."""
    before = os.stat("/dev/null")
    script = (
        "for f in /proc/keys /proc/interrupts /proc/timer_list /proc/self/fd/0 /dev/null; do"
        " test -e $f && chmod 666 $f; chown 0:0 $f; touch $f; done; stat -Lc 'node %D:%i' /proc/self/fd/0"
    )
    shell = attacker.shell(script)
    name = attacker.start("sh", "-c", f"{script}; exec sleep 60")
    attacker.engine.docker("exec", "-d", name, "sh", "-c", script)
    attacker.engine.docker("exec", name, "sh", "-c", script)
    after = os.stat("/dev/null")
    assert after.st_ctime_ns == before.st_ctime_ns
    assert f"node {before.st_dev:x}:{before.st_ino}" not in shell
    assert "node" in shell


def test_a_read_only_container_has_no_file_to_write(attacker: Attacker) -> None:
    said = attacker.shell(
        "for f in /etc/hosts /etc/hostname /etc/resolv.conf /made; do echo evil >>$f; done", "--read-only"
    )
    assert said.count("Read-only file system") == 4


@pytest.mark.spec("CVE-2022-0492 and kin: what the kernel lets its owner write")
def test_no_knob_of_the_kernel_takes_a_value(attacker: Attacker) -> None:
    """Each gets the value that it already has, so that a write that succeeds does no harm."""
    knobs = [
        "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/sysrq", "/proc/sys/vm/overcommit_memory", "/proc/sys/vm/drop_caches",
        "/proc/sys/net/ipv4/ip_forward", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity", "/proc/kcore",
        "/proc/acpi/wakeup", "/sys/kernel/uevent_helper", "/sys/kernel/mm/transparent_hugepage/enabled",
        "/sys/power/state", "/sys/fs/cgroup/memory/notify_on_release", "/sys/fs/cgroup/memory/cgroup.procs",
        "/sys/fs/cgroup/devices/devices.allow", "/sys/fs/cgroup/memory/release_agent", "/sys/fs/cgroup/cgroup.procs",
    ]  # fmt: skip
    script = 'for f in "$@"; do v=$(cat $f 2>/dev/null); (echo "$v" >$f) 2>/dev/null && echo "took it: $f"; done; true'
    assert attacker.run("sh", "-c", script, "sh", *knobs).stdout == ""
    folders = "/proc/sys /proc/sys/kernel /sys /sys/kernel /sys/fs/cgroup /sys/fs/cgroup/memory /sys/fs/cgroup/devices"
    assert attacker.shell(f"for d in {folders}; do mkdir $d/made 2>/dev/null && echo took it: $d; done") == ""


@pytest.mark.spec("CVE-2022-0492: release_agent of cgroup v1, also for a container that may mount")
def test_the_release_agent_stays_the_host_s(attacker: Attacker) -> None:
    agents = list(Path("/sys/fs/cgroup").glob("*/release_agent"))
    before = [agent.read_text() for agent in agents]
    attack = (
        "mount -t cgroup -o memory none /m && find /m -name release_agent | grep . && echo /attack >/m/release_agent"
    )
    for options in ((), ("--cap-add", "SYS_ADMIN")):
        said = attacker.shell(f"mkdir /m; {attack} && echo took it", *options)
        assert "took it" not in said
        assert "release_agent" not in said
    assert [agent.read_text() for agent in agents] == before


def test_the_host_s_disks_do_not_open(attacker: Attacker) -> None:
    """Neither by a device node made inside nor by one unpacked from an archive."""
    disk = os.stat("/").st_dev
    major, minor = os.major(disk), os.minor(disk)
    name = attacker.start("sleep", "60")
    member = tarfile.TarInfo("brought")
    member.type, member.devmajor, member.devminor, member.mode = tarfile.BLKTYPE, major, minor, 0o666
    attacker.put_archive(name, "/", [(member, b"")])
    attack = "for d in made brought mem; do head -c 1 /$d; dd of=/$d count=0; done"
    script = f"mknod /made b {major} {minor}; mknod /mem c 1 1; exec 2>&1; {attack}"
    said = attacker.engine.docker("exec", name, "sh", "-c", script, check=False).stdout
    assert said.count("Operation not permitted") == 6, said
    kinds = attacker.engine.docker("exec", name, "stat", "-c", "%F", "/made", "/brought").stdout
    assert kinds.count("block special") == 2


def _file(name: str) -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), b"evil"


def _link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


@pytest.mark.spec("CVE-2018-15664: docker cp through the container's links")
@pytest.mark.parametrize("running", [True, False])
def test_archives_end_in_the_container(
    attacker: Attacker, tmp_path: Path, forbidden: Callable[[], None], running: bool
) -> None:
    outside = str(tmp_path / "outside")
    up = "../../../../../../../.."
    links = f"ln -s {outside} /link; ln -s {up}{outside} /climbing; ln -s /proc/1/root /root/up; mkdir -p /x"
    name = attacker.start_until("ready", "sh", "-c", f"{links}; echo ready; exec sleep 60")
    if not running:
        attacker.engine.docker("kill", name)
    for place in (f"{outside}/secret", "/link/secret", "/climbing/secret", f"/root/up{outside}/secret"):
        assert b"host's secret" not in attacker.get_archive(name, place)[1], place
    planted = [_file("planted"), _file("link/planted"), _file(f"{outside}/secret")]
    for place in ("/link", "/climbing", f"/root/up{outside}", "/link/.", "/"):
        attacker.put_archive(name, place, planted)
        attacker.put_archive(name, place, [_file("../planted")])
    secret = f"../../..{outside}/secret"
    through = [_link("s", outside), _file("s/planted"), _link("h", secret, tarfile.LNKTYPE), _file("h")]
    attacker.put_archive(name, "/x", through)
    attacker.put_archive(name, "/x", through[:2])
    attacker.put_archive(name, "/x", [_link("up", "/"), _link("g", f"up{outside}/secret", tarfile.LNKTYPE), _file("g")])
    forbidden()
    with tarfile.open(fileobj=io.BytesIO(attacker.get_archive(name, "/x/s")[1])) as tar:
        assert [member.issym() for member in tar] == [True], "the archive has the link itself"


@pytest.mark.spec("CVE-2018-15664, CVE-2021-30465: a name that is now a folder, now a link to the host's")
def test_swapped_links_lead_nowhere(attacker: Attacker, tmp_path: Path, forbidden: Callable[[], None]) -> None:
    outside = tmp_path / "outside"
    shared, source = tmp_path / "shared", tmp_path / "source"
    shared.mkdir()
    source.mkdir()
    (shared / "here").mkdir()
    (shared / "here" / "secret").write_text("inside")
    (shared / "there").symlink_to(f"../../../../../../../..{outside}")
    name = attacker.start("/attack", "swap", "/shared/here", "/shared/there", options=("-v", f"{shared}:/shared"))
    for turn in range(8):
        assert b"host's secret" not in attacker.get_archive(name, "/shared/here/secret")[1]
        attacker.put_archive(name, "/shared/here", [_file(f"planted{turn}")])
        if turn % 2:
            attacker.run("true", options=("-v", f"{shared}:/v", "-v", f"{source}:/v/here/made{turn}"))
    forbidden()
    assert os.listdir(source) == []


@pytest.mark.spec("CVE-2019-14271: nothing of the container's is loaded by who looks into it")
def test_no_library_of_the_container_is_opened(attacker: Attacker) -> None:
    """Each library is a FIFO without a writer: a program that opened one would block for ever."""
    names = [f"lib/x86_64-linux-gnu/libnss_{what}.so.2" for what in ("files", "dns", "compat", "systemd")]
    names += ["etc/nsswitch.conf", "etc/ld.so.cache", "etc/ld.so.preload", "lib64/libc.so.6", "usr/lib/python3/x.pth"]
    pipes = f"for f in {' '.join(names)}; do mkdir -p $(dirname $f); mkfifo $f; done"
    script = f"cd /; rm -f /etc/passwd /etc/group; mkfifo /etc/passwd /etc/group; {pipes}; echo ready; exec sleep 60"
    name = attacker.start_until("ready", "sh", "-c", script)
    assert attacker.get_archive(name, "/bin/busybox")[0] == 200
    assert attacker.put_archive(name, "/tmp", [_file("x")])[0] == 200
    assert attacker.engine.docker("exec", "-u", "0", name, "cat", "/tmp/x", timeout=HANG_S).stdout == "evil"


@pytest.mark.spec("CVE-2021-30465: destinations of volumes through links of the image")
def test_a_volume_behind_a_link_is_made_and_filled_inside(
    attacker: Attacker, tmp_path: Path, forbidden: Callable[[], None]
) -> None:
    outside = tmp_path / "outside"
    script = f"ln -s {outside} /leak; ln -s /../../..{outside} /climb; echo ready; exec sleep 60"
    name = attacker.start_until("ready", "sh", "-c", script)
    attacker.engine.docker("commit", name, "cvs-linked")
    try:
        volumes = ("-v", f"{name}:/leak", "-v", f"{name}-2:/climb/deep", "--tmpfs", "/climb/t")
        script = "find /leak/ /climb/; echo x >/leak/planted"
        done = attacker.engine.docker("run", "--rm", *volumes, "cvs-linked", "sh", "-c", script)
        assert "secret" not in done.stdout
        forbidden()
        folder = attacker.engine.docker("volume", "inspect", "-f", "{{.Mountpoint}}", name).stdout.strip()
        assert sorted(os.listdir(folder)) == ["deep", "planted", "t"], "in-root, /leak and /climb are one folder"
    finally:
        attacker.engine.docker("rmi", "-f", "cvs-linked")
        attacker.engine.docker("volume", "rm", "-f", name, f"{name}-2")


@pytest.mark.spec("CVE-2019-19921, CVE-2025-31133: /proc that is no procfs, masks that hang on the image's files")
def test_a_volume_is_no_proc(attacker: Attacker, tmp_path: Path, forbidden: Callable[[], None]) -> None:
    (tmp_path / "kcore").symlink_to(tmp_path / "outside" / "secret")
    (tmp_path / "null").symlink_to(tmp_path / "outside" / "secret")
    for place in ("/proc", "/proc/sys", "/proc/self"):
        done = attacker.run("cat", "/proc/kcore", "/proc/sysrq-trigger", options=("-v", f"{tmp_path}:{place}"))
        assert done.returncode == 125 or done.returncode == 127, place
        assert "secret" not in done.stdout
    seen = attacker.shell("ls -l /proc/keys; cat /proc/keys; cat /dev/null", "-v", f"{tmp_path}:/dev")
    assert "1,   3" in seen
    assert "host's secret" not in seen
    forbidden()


@pytest.mark.spec("CVE-2025-52565: /dev/console")
def test_the_console_is_the_terminal_and_nothing_else(attacker: Attacker, tmp_path: Path) -> None:
    (tmp_path / "console").symlink_to("/proc/sysrq-trigger")
    (tmp_path / "pts").mkdir()
    said = attacker.run("sh", "-c", "stat -Lc %F /dev/console; (echo h >/proc/sysrq-trigger) && echo took",
                        options=("-t", "-v", f"{tmp_path}:/dev")).stdout  # fmt: skip
    assert "took" not in said
    assert not stat.S_ISCHR(os.lstat(tmp_path / "console").st_mode)


@pytest.mark.spec("CVE-2025-31133, CVE-2025-52881: what is masked is the kernel's file, however its folder is called")
def test_masks_are_on_the_mounted_proc_even_if_it_moves(tmp_path: Path, runtime: Callable[..., list[str]]) -> None:
    """A process with the same root file system keeps swapping /proc with another folder while the container starts."""
    look = "test -c keys || echo unmasked; (: >>sysrq-trigger) 2>/dev/null && echo open; mkdir sys/x 2>/dev/null"
    script = f"for d in /proc /other; do (cd $d && test -e self/status && {{ {look}; echo ran; }}); done; true"
    words = runtime("sh", "-c", script)
    for name in ("proc", "other"):
        (tmp_path / "rootfs" / name).mkdir()
    seen = set()
    with subprocess.Popen([program("attack"), "swap", "proc", "other"], cwd=tmp_path / "rootfs") as swapper:
        for _ in range(6):
            done = subprocess.run(words, capture_output=True, text=True, timeout=HANG_S, cwd=ROOT)
            seen |= set(done.stdout.splitlines())
        swapper.kill()
    assert seen == {"ran"}


@pytest.mark.spec("CVE-2021-41091: a program that a container made setuid, run by a user of the host's")
def test_a_user_of_the_host_s_reaches_no_file_of_a_container_s(attacker: Attacker) -> None:
    """Nor its /dev/shm, if other containers share it: every user inside may write there."""
    script = "cp /bin/busybox /suid; chmod 4755 /suid; echo x >/dev/shm/x; echo ready; exec sleep 60"
    name = attacker.start_until("ready", "sh", "-c", script, options=("--ipc", "shareable"))
    container_id = attacker.engine.docker("inspect", "-f", "{{.Id}}", name).stdout.strip()
    root = attacker.engine.root
    files = [
        *(root / "data" / "containers" / container_id / file for file in ("upper/suid", "etc/hosts")),
        root / "exec" / "containers" / container_id / "shm" / "x",
    ]
    assert files[0].stat().st_mode & stat.S_ISUID
    os.chmod(root, 0o755)  # the test's own folder, which other users cannot enter
    try:
        for path in files:
            assert path.exists()
            words: list[str | Path] = ["busybox", "stat", path]
            done = subprocess.run(words, user=65534, group=65534, extra_groups=[], capture_output=True, text=True)
            assert "Permission denied" in done.stderr, path
    finally:
        os.chmod(root, 0o700)
