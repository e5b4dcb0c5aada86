"""What the server replies to without a thread: only what this machine has in memory."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from desktop.folders.handles import Handles
from desktop.folders.operations import Operations
from desktop.folders.shares import Sharing
from desktop.folders.wire import ATTRIBUTES_SIZE, OPEN, READ, U64, OpenFlag, Operation, Request, string
from tests.support.waiting import wait_until


class Served:
    """The requests of one session. Jobs for threads are done at once."""

    def __init__(self, folder: Path) -> None:
        self.shared = [str(folder)]
        self.sharing = Sharing(lambda: self.shared)
        self.handles = Handles()
        self._operations = Operations(self.sharing, self.handles, lambda notice: None, lambda job: job())

    def at_once(self, operation: Operation, body: bytes, *, is_repeated: bool = False) -> bytes | None:
        self.sharing.now()  # as requests in threads do
        return self._operations.at_once(Request(1, operation, is_repeated, body))

    def without_a_thread(self, operation: Operation, body: bytes) -> bytes:
        """The reply of `at_once`, which is to have one. The kernel may refuse to look only into its memory at any
        moment, as while anybody mounts something: openat2(2), EAGAIN. A thread does it then, as in a real session."""
        replies: list[bytes] = []

        def is_replied() -> bool:
            if (reply := self.at_once(operation, body)) is not None:
                replies.append(reply)
            elif operation is Operation.LOOKUP:
                self.carry_out(operation, body)
            return bool(replies)

        wait_until(is_replied)
        return replies[0]

    def carry_out(self, operation: Operation, body: bytes) -> bytes:
        return self._operations.carry_out(Request(1, operation, is_repeated=False, body=body))

    def close_at_once(self, handle: int) -> bool:
        return self._operations.close_at_once(U64.pack(handle))

    def close(self) -> None:
        self._operations.end()
        self.handles.close_all()


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An ext4 on a loop device: the tests' own folders may lie on a tmpfs, which has nothing but memory, or on an
    overlay, which is none of the file systems that are known as local."""
    folder = tmp_path_factory.mktemp("at-once")
    image, place = folder / "disk", folder / "mounted"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(32 << 20)
    # With blocks as large as pages, as on any real disk, a page of a small file that was written is whole.
    subprocess.run(["mkfs.ext4", "-q", "-F", "-b", str(mmap.PAGESIZE), image], check=True, stdin=subprocess.DEVNULL)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.fixture
def tmp_path(disk: Path) -> Path:
    """An empty folder on that disk."""
    return Path(tempfile.mkdtemp(dir=disk))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    # Nothing is known of the folder's file system at first, and the folder is watched from then on.
    for path in (tmp_path, tmp_path / "first"):
        path.mkdir(exist_ok=True)
        made.at_once(Operation.LOOKUP, place(path))
        made.carry_out(Operation.LOOKUP, place(path))
    yield made
    made.close()


def place(path: Path) -> bytes:
    return string(os.fsencode(path)[1:])


def opening(path: Path, handle: int, flags: OpenFlag = OpenFlag.CONTENT) -> bytes:
    seen = path.stat()
    return U64.pack(handle) + place(path) + OPEN.pack(flags, seen.st_dev, seen.st_ino)


def drop_pages(path: Path) -> None:
    """Take the file's pages out of the memory."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)  # only what is written can be dropped

        def is_dropped() -> bool:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            return not pages_in_memory(fd)

        wait_until(is_dropped)  # the kernel skips pages that somebody else is just looking at
    finally:
        os.close(fd)


def pages_in_memory(fd: int) -> int:
    """How many pages of a file, which is not empty, are in the page cache: mincore(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    size = os.fstat(fd).st_size
    pages = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
    length = ctypes.c_size_t(size)
    start = ctypes.c_void_p(libc.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, fd, ctypes.c_long(0)))
    assert libc.mincore(start, length, pages) == 0, os.strerror(ctypes.get_errno())
    libc.munmap(start, length)
    return sum(page & 1 for page in pages)


def test_what_is_in_memory_needs_no_thread(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("content")
    looked_up = served.without_a_thread(Operation.LOOKUP, place(file))
    assert looked_up == served.carry_out(Operation.LOOKUP, place(file))
    opened = served.without_a_thread(Operation.OPEN, opening(file, 1))
    assert opened[ATTRIBUTES_SIZE:] == b"content"
    assert served.without_a_thread(Operation.READ, READ.pack(1, 3, 100)) == b"tent"
    assert served.close_at_once(1)
    assert not served.handles.has(1)


def test_what_is_on_the_disk_is_for_a_thread(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(1 << 20))
    with file.open("rb") as opened:
        assert pages_in_memory(opened.fileno()) == (1 << 20) // mmap.PAGESIZE
    served.without_a_thread(Operation.OPEN, opening(file, 1))
    drop_pages(file)
    assert served.at_once(Operation.READ, READ.pack(1, 0, 4096)) is None
    assert served.carry_out(Operation.READ, READ.pack(1, 0, 4096)) == bytes(4096)
    assert served.without_a_thread(Operation.READ, READ.pack(1, 0, 4096)) == bytes(4096), "it is in memory again"
    small = tmp_path / "small"
    small.write_text("small")
    drop_pages(small)
    assert served.at_once(Operation.OPEN, opening(small, 2)) is None
    assert not served.handles.has(2)
    assert served.carry_out(Operation.OPEN, opening(small, 2))[ATTRIBUTES_SIZE:] == b"small"


def test_what_changes_or_fails_is_for_a_thread(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("content")
    assert served.at_once(Operation.LOOKUP, place(tmp_path / "missing")) is None
    assert served.at_once(Operation.LOOKUP, place(Path("/not/shared"))) is None
    assert served.at_once(Operation.LOOKUP, place(file), is_repeated=True) is None
    assert served.at_once(Operation.OPEN, opening(file, 1, OpenFlag.WRITE)) is None
    assert served.at_once(Operation.OPEN, opening(file, 1, OpenFlag.TRUNCATE)) is None
    other = opening(tmp_path / "first", 1)[: -OPEN.size] + OPEN.pack(0, 1, 1)
    assert served.at_once(Operation.OPEN, other) is None
    assert served.at_once(Operation.OPEN, b"short") is None
    (tmp_path / "link").symlink_to(tmp_path / "first")
    assert served.at_once(Operation.LOOKUP, place(tmp_path / "link" / "file")) is None
    assert served.at_once(Operation.READ, READ.pack(7, 0, 100)) is None
    served.without_a_thread(Operation.OPEN, opening(file, 1))
    assert served.at_once(Operation.READ, READ.pack(1, 1 << 63, 100)) is None
    assert served.close_at_once(1)
    assert not served.close_at_once(7)
    assert file.read_text() == "content"


def test_what_is_not_shared_any_more_is_for_a_thread(served: Served, tmp_path: Path) -> None:
    served.without_a_thread(Operation.LOOKUP, place(tmp_path / "first"))
    served.shared = []
    assert served.at_once(Operation.LOOKUP, place(tmp_path / "first")) is None


def test_what_is_on_another_file_system_by_now_is_for_a_thread(served: Served, tmp_path: Path) -> None:
    """A network file system may be mounted over a shared folder; ramfs is none of those that are known as local."""
    first = place(tmp_path / "first")
    served.without_a_thread(Operation.LOOKUP, first)
    subprocess.run(["mount", "-t", "ramfs", "none", tmp_path], check=True)
    try:
        (tmp_path / "first").write_text("content")
        for _ in range(3):
            assert served.at_once(Operation.LOOKUP, first) is None
            assert served.at_once(Operation.OPEN, opening(tmp_path / "first", 1)) is None
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    assert served.at_once(Operation.LOOKUP, first) is None
    served.without_a_thread(Operation.LOOKUP, first)  # it is the old one again


def test_a_file_without_a_name_is_closed_by_a_thread(served: Served, tmp_path: Path) -> None:
    """Its content is given back to the disk then."""
    file = tmp_path / "file"
    file.write_text("content")
    served.without_a_thread(Operation.OPEN, opening(file, 1))
    file.unlink()
    assert not served.close_at_once(1)
    assert served.handles.has(1)


def test_the_attributes_of_what_a_link_names_are_the_links_own(served: Served, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    found = served.without_a_thread(Operation.LOOKUP, place(tmp_path / "link"))
    assert found == served.carry_out(Operation.LOOKUP, place(tmp_path / "link"))
    (size,) = struct.unpack_from("<Q", found, 24)
    assert size == len("nowhere")
