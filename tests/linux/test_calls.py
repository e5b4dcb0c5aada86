"""The thin functions on system calls: what goes in and out, and what their errors say."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vmagent.linux import capabilities, mounts, process, terminal
from vmagent.linux.netlink import NetlinkSocket


def test_an_error_names_the_call_and_the_path(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="openat2: No such file") as caught:
        mounts.open_in_root(mounts.AT_FDCWD, "nothing/here")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, "nothing/here")
    with pytest.raises(OSError, match="mount: ") as caught:
        mounts.mount("none", str(tmp_path), "nosuchfs")
    assert caught.value.errno == errno.ENODEV


def test_open_in_root_never_leaves_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "etc").mkdir()
    (root / "etc" / "passwd").write_text("inside")
    (root / "absolute").symlink_to("/etc/passwd")
    (root / "climbing").symlink_to("../../../../etc/passwd")
    (root / "magic").symlink_to("/proc/self/root")
    root_fd = os.open(root, os.O_PATH)
    try:
        for name in ("absolute", "climbing", "../../etc/passwd"):
            with open(mounts.open_in_root(root_fd, name, os.O_RDONLY)) as file:
                assert file.read() == "inside"
        with pytest.raises(FileNotFoundError):
            mounts.open_in_root(root_fd, "magic")
        with pytest.raises(OSError, match="openat2") as caught:
            mounts.openat2(root_fd, "absolute", os.O_PATH, mounts.RESOLVE_NO_SYMLINKS | mounts.RESOLVE_IN_ROOT)
        assert caught.value.errno == errno.ELOOP
    finally:
        os.close(root_fd)


def test_descriptors_are_close_on_exec(tmp_path: Path) -> None:
    fds = [mounts.open_tree(mounts.AT_FDCWD, str(tmp_path)), mounts.fsopen("tmpfs"), process.pidfd_open(os.getpid())]
    fds += [mounts.open_in_root(mounts.AT_FDCWD, ".")]
    for fd in fds:
        assert not os.get_inheritable(fd)
        os.close(fd)


def test_a_detached_tmpfs_has_its_options_and_is_attached_by_descriptor(tmp_path: Path) -> None:
    fd = mounts.new_mount("tmpfs", "t", [("size", "64k"), ("mode", "711")], mounts.MOUNT_ATTR_NOEXEC)
    try:
        assert mounts.filesystem_type(fd) == mounts.TMPFS_MAGIC
        assert os.fstat(fd).st_mode & 0o777 == 0o711
        assert os.fstatvfs(fd).f_blocks * os.fstatvfs(fd).f_frsize == 65536
        target = os.open(tmp_path, os.O_PATH)
        mounts.move_mount(fd, target)
        os.close(target)
        (tmp_path / "f").write_text("x")
        mounts.mount_setattr(fd, set_=mounts.MOUNT_ATTR_RDONLY)
        with pytest.raises(OSError, match="Read-only"):
            (tmp_path / "g").touch()
        mounts.umount(str(tmp_path), mounts.MNT_DETACH)
        assert list(tmp_path.iterdir()) == []
    finally:
        os.close(fd)
    with pytest.raises(OSError, match="fsconfig"):
        mounts.new_mount("tmpfs", "t", [("nosuchoption", "1")])


def test_clone3_gives_a_child_in_new_namespaces_and_its_pidfd() -> None:
    read, write = os.pipe()
    pid, pidfd = process.clone3(process.CLONE_NEWPID | process.CLONE_NEWUTS)
    if pid == 0:
        try:
            process.sethostname("inside")
            os.write(write, f"{os.getpid()} {os.uname().nodename}".encode())
            signal.pause()
        finally:
            os._exit(1)
    os.close(write)
    assert os.read(read, 100) == b"1 inside"
    os.close(read)
    assert os.uname().nodename != "inside"
    process.pidfd_send_signal(pidfd, signal.SIGKILL)
    result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    assert result is not None
    assert (result.si_pid, result.si_status) == (pid, signal.SIGKILL)
    with pytest.raises(ProcessLookupError):
        process.pidfd_send_signal(pidfd, 0)
    os.close(pidfd)


def test_capability_sets_are_what_the_kernel_says() -> None:
    status = dict(
        line.split(":\t") for line in Path("/proc/thread-self/status").read_text().splitlines() if ":\t" in line
    )
    wanted = tuple(int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh"))
    assert capabilities.capget() == wanted
    assert capabilities.last_capability() == int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    assert capabilities.mask(["CAP_CHOWN", "CAP_SYS_ADMIN"]) == 1 | capabilities.SYS_ADMIN
    with pytest.raises(KeyError, match="CAP_FLY"):
        capabilities.mask(["CAP_FLY"])


def test_a_terminals_other_end_is_opened_without_a_path() -> None:
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
    slave = terminal.unlock_and_open_peer(master)
    try:
        terminal.set_size(master, 33, 77)
        assert tuple(os.get_terminal_size(slave)) == (77, 33)
        os.write(slave, b"x")
        assert os.read(master, 10) == b"x"
    finally:
        os.close(slave)
        os.close(master)


def test_what_the_supervisor_loads_is_small() -> None:
    """Each megabyte of it makes every clone3 18 µs slower; these modules are the usual ways in."""
    banned = "re typing dataclasses logging asyncio json enum socket contextlib subprocess"
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import vmagent.runtime.launch;"
        "print(sorted(set(sys.argv[2].split()) & set(sys.modules)), len(sys.modules))"
    )
    root = str(Path(__file__).resolve().parents[2])
    argv = [sys.executable, "-I", "-S", "-c", script, root, banned]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    loaded, count = said.rsplit(" ", 1)
    assert loaded == "[]"
    assert int(count) < 90


def test_the_traffic_of_all_interfaces_is_that_of_each() -> None:
    with NetlinkSocket() as netlink:
        links = netlink.links()
        before = {link.number: netlink.counters(link.name) for link in links}
        traffic = netlink.traffic()
        after = {link.number: netlink.counters(link.name) for link in links}
    for number, (received, sent) in traffic.items():
        first, last = before.get(number), after.get(number)
        if first is not None and last is not None:  # not one that came or went meanwhile
            assert first["rx_bytes"] <= received <= last["rx_bytes"]
            assert first["tx_bytes"] <= sent <= last["tx_bytes"]
    assert 1 in traffic, "the loopback"
