"""What programs do with files, in a shared folder."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import random
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.folders import SharedFolder, failing
from tests.support.limits import HANG_S


def test_content_goes_both_ways_in_all_sizes(shared: SharedFolder) -> None:
    for size in (0, 1, 4095, 4097, 1 << 20, (5 << 20) + 3):
        data = random.Random(size).randbytes(size)
        (shared.mounted / "written here").write_bytes(data)
        assert (shared.host / "written here").read_bytes() == data
        (shared.host / f"written there {size}").write_bytes(data)
        assert (shared.mounted / f"written there {size}").read_bytes() == data


def test_a_folder_of_many_entries_is_listed_whole(shared: SharedFolder) -> None:
    folder = shared.host / "many"
    folder.mkdir()
    names = {f"{number} {'x' * (number % 200)}" for number in range(5000)}
    for name in names:
        (folder / name).touch()
    mounted = shared.mounted / "many"
    assert sorted(os.listdir(mounted)) == sorted(names)
    with os.scandir(mounted) as entries:  # a reader that goes on while the folder is emptied
        seen = set()
        for entry in entries:
            seen.add(entry.name)
            os.unlink(entry.path)
    assert seen == names
    assert os.listdir(mounted) == os.listdir(folder) == []
    dots = subprocess.run(["ls", "-a", mounted], capture_output=True, text=True, check=True).stdout.split()
    assert dots == [".", ".."]


def test_mappings_are_written_and_read(shared: SharedFolder) -> None:
    path = shared.mounted / "mapped"
    path.write_bytes(bytes(20_000))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        mapping[5000:5004] = b"here"
        mapping.flush()
        assert (shared.host / "mapped").read_bytes()[5000:5004] == b"here"
    with path.open("rb") as reader, mmap.mmap(reader.fileno(), 0, prot=mmap.PROT_READ) as mapping:
        assert mapping[4999:5005] == b"\0here\0"


def test_appended_lines_of_several_writers_are_all_there(shared: SharedFolder) -> None:
    path = shared.mounted / "log"
    program = "import os,sys; fd=os.open(sys.argv[1],os.O_WRONLY|os.O_APPEND|os.O_CREAT)\n"
    program += "for n in range(100): os.write(fd, f'{sys.argv[2]} {n}\\n'.encode())"
    writers = [subprocess.Popen([sys.executable, "-c", program, place, name]) for place, name in
               ((path, "a"), (path, "b"))]  # fmt: skip
    assert [writer.wait(HANG_S) for writer in writers] == [0, 0]
    with (shared.host / "log").open("a") as file:
        file.write("the host\n")
    with path.open("a") as file:
        file.write("the end\n")
    lines = (shared.host / "log").read_text().splitlines()
    assert lines[-2:] == ["the host", "the end"]
    assert sorted(lines[:-2]) == sorted(f"{name} {number}" for name in "ab" for number in range(100))


def test_an_open_file_lives_on_without_its_name(shared: SharedFolder) -> None:
    path = shared.mounted / "nameless"
    with path.open("w+b") as file:
        path.unlink()
        file.write(b"still here")
        file.flush()
        os.fchmod(file.fileno(), 0o600)
        info = os.fstat(file.fileno())
        assert (info.st_nlink, info.st_size, stat.S_IMODE(info.st_mode)) == (0, 10, 0o600)
        path.write_bytes(b"another")  # the host may give it the same inode number as soon as that is free
        file.seek(0)
        assert file.read() == b"still here"
    assert path.read_bytes() == b"another"


def test_replaced_files_are_seen_as_replaced(shared: SharedFolder) -> None:
    path, other = shared.mounted / "target", shared.mounted / "new"
    for number in range(20):
        other.write_text(f"version {number}" * 100)
        other.replace(path)
        assert path.read_text() == f"version {number}" * 100
        assert (shared.host / "target").read_text() == f"version {number}" * 100


def test_locks_keep_other_processes_of_the_guest_out(shared: SharedFolder) -> None:
    path = shared.mounted / "locked"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        fcntl.lockf(file, fcntl.LOCK_EX)
        for call in ("flock", "lockf"):
            code = f"import fcntl,sys; fcntl.{call}(open(sys.argv[1],'w'), fcntl.LOCK_EX|fcntl.LOCK_NB)"
            done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
            assert "BlockingIOError" in done.stderr
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 0


def test_holes_and_the_space_of_the_file_system(shared: SharedFolder) -> None:
    path = shared.mounted / "sparse"
    with path.open("wb") as file:
        file.truncate(10 << 20)
        os.pwrite(file.fileno(), b"data", 5 << 20)
        os.fsync(file.fileno())
        with (shared.host / "sparse").open("rb") as host:
            begin = os.lseek(host.fileno(), 0, os.SEEK_DATA)
        assert 0 < os.lseek(file.fileno(), 0, os.SEEK_DATA) == begin
    assert path.stat().st_blocks == (shared.host / "sparse").stat().st_blocks < 1000
    ours, theirs = os.statvfs(shared.mounted), os.statvfs(shared.host)
    assert (ours.f_blocks * ours.f_frsize, ours.f_namemax) == (theirs.f_blocks * theirs.f_frsize, theirs.f_namemax)


def test_the_owner_is_who_looks_until_another_was_set(shared: SharedFolder) -> None:
    path = shared.mounted / "owned"
    shared.mounted.chmod(0o777)
    path.write_text("x")
    command = ["setpriv", "--reuid", "1234", "--regid", "2345", "--clear-groups", "stat", "-c", "%u %g", "owned"]

    def owner_for(prefix: int) -> str:
        done = subprocess.run(
            command[prefix:], cwd=shared.mounted, capture_output=True, text=True, check=True, timeout=HANG_S
        )
        return done.stdout.strip()

    assert owner_for(0) == "1234 2345"
    assert owner_for(6) == "0 0"
    assert owner_for(0) == "1234 2345"
    os.chown(path, 70, -1)
    assert owner_for(0) == "70 2345"
    os.chown(path, -1, 71)
    assert owner_for(6) == "70 71"
    assert os.listxattr(path) == []
    assert (shared.host / "owned").stat().st_uid == os.getuid(), "the host's own owner is left alone"
    with failing(errno.EOPNOTSUPP):
        os.setxattr(path, "user.cove.owner", b"0:0")


def test_set_user_id_bits_stay_in_the_guest(shared: SharedFolder) -> None:
    path = shared.mounted / "program"
    path.write_text("x")
    path.chmod(0o6755)
    assert stat.S_IMODE((shared.host / "program").stat().st_mode) == 0o755
    (shared.mounted / "group").mkdir()
    (shared.mounted / "group").chmod(0o2775)
    assert stat.S_IMODE((shared.host / "group").stat().st_mode) == 0o2775


def test_links_lead_where_the_guest_says_and_never_out_of_the_host_s_folder(
    shared: SharedFolder, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    (shared.host / "out").symlink_to(secret)
    (shared.host / "up").symlink_to(tmp_path)
    assert os.readlink(shared.mounted / "out") == str(secret)
    # What a client that does not look where it goes would ask for: a path through a link.
    (shared.host / "in").mkdir()
    (shared.host / "in" / "file").write_text("inside")
    fd = os.open(shared.mounted / "in", os.O_RDONLY)
    try:
        os.stat("file", dir_fd=fd)
        (shared.host / "in").rename(shared.host / "elsewhere")
        (shared.host / "in").symlink_to(tmp_path)
        (tmp_path / "file").write_text("outside")
        with failing(errno.ESTALE, errno.ENOENT):
            os.close(os.open("file", os.O_RDONLY, dir_fd=fd))
    finally:
        os.close(fd)


def test_what_is_not_shared_is_not_there(shared: SharedFolder) -> None:
    assert os.listdir(shared.root) == [shared.host.parts[1]]
    with pytest.raises(PermissionError):
        os.stat(shared.root / "etc")
    with pytest.raises(PermissionError):
        (shared.root / "new").mkdir()
    for remove in (os.rmdir, os.unlink):
        with failing(errno.EBUSY, errno.ENOTDIR, errno.EISDIR):
            remove(shared.mounted)
    assert shared.host.is_dir()
    with pytest.raises(PermissionError):
        os.mknod(shared.mounted / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))


def test_sockets_and_fifos_join_processes_of_the_guest(shared: SharedFolder) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(shared.mounted / "socket"))
        server.listen()
        client.connect(str(shared.mounted / "socket"))
    os.mkfifo(shared.mounted / "fifo")
    got = []
    reader = threading.Thread(target=lambda: got.append((shared.mounted / "fifo").read_bytes()))
    reader.start()
    (shared.mounted / "fifo").write_bytes(b"through")
    reader.join(HANG_S)
    assert got == [b"through"]


def test_names_that_other_systems_would_refuse(shared: SharedFolder) -> None:
    names = [b"a\nb", b"\xff\xfe", b"x" * 255, "Straße".encode(), b"-rf", b"*?"]
    for name in names:
        with open(os.path.join(os.fsencode(shared.mounted), name), "wb") as file:
            file.write(name)
    for name in names:
        with open(os.path.join(os.fsencode(shared.host), name), "rb") as file:
            assert file.read() == name
    with failing(errno.ENAMETOOLONG):
        (shared.mounted / ("x" * 256)).touch()
