"""Changes of the host, seen in the guest: content, names, and inotify events of its processes."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest

from desktop.folders.inotify import Inotify, Mask
from tests.support.folders import SharedFolder
from tests.support.limits import HANG_S
from tests.support.waiting import wait_until


class Watching:
    """A watcher of one folder of the guest, with all that it has seen: names with their masks."""

    def __init__(self, folder: Path) -> None:
        self._inotify = Inotify()
        fd = os.open(folder, os.O_RDONLY)
        self._inotify.add(fd)
        os.close(fd)
        self.seen: dict[str, Mask] = {}

    def until(self, name: str, mask: Mask) -> None:
        """Wait for these events of a name; what came before is forgotten."""
        limit = time.monotonic() + HANG_S
        while self.seen.get(name, Mask(0)) & mask != mask:
            assert time.monotonic() < limit
            for (_, word), kinds in self._inotify.wait().names.items():
                key = word.decode()
                self.seen[key] = self.seen.get(key, Mask(0)) | Mask(kinds)
        del self.seen[name]

    def so_far(self) -> set[str]:
        """The names that had events, without waiting."""
        self._inotify.wake()
        return {name.decode() for _, name in self._inotify.wait().names}

    def close(self) -> None:
        self._inotify.close()


def reread(file: TextIO) -> str:
    file.seek(0)
    return file.read()


@contextmanager
def watching(folder: Path) -> Iterator[Watching]:
    made = Watching(folder)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def place(shared: SharedFolder, request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """One folder as host and guest see it."""
    (shared.host / request.node.name).mkdir()
    return shared.host / request.node.name, shared.mounted / request.node.name


def test_what_the_host_does_raises_events_in_the_guest(place: tuple[Path, Path]) -> None:
    host, guest = place
    with watching(guest) as events:
        (host / "file").write_text("one")
        events.until("file", Mask.CREATE | Mask.CLOSE_WRITE)
        wait_until(lambda: (guest / "file").read_text() == "one")
        (host / "file").write_text("two!")
        events.until("file", Mask.MODIFY | Mask.CLOSE_WRITE)
        wait_until(lambda: (guest / "file").read_text() == "two!")
        (host / "file").chmod(0o600)
        events.until("file", Mask.ATTRIB)
        wait_until(lambda: (guest / "file").stat().st_mode & 0o777 == 0o600)
        (host / "file").rename(host / "moved")
        events.until("file", Mask.DELETE)
        events.until("moved", Mask.CREATE)
        (host / "new").write_text("replaces")
        (host / "new").rename(host / "moved")
        events.until("moved", Mask.DELETE | Mask.CREATE)
        assert (guest / "moved").read_text() == "replaces"
        (host / "moved").unlink()
        events.until("moved", Mask.DELETE)
        (host / "folder").mkdir()
        events.until("folder", Mask.CREATE | Mask.ISDIR)
        (host / "link").symlink_to("nowhere")
        events.until("link", Mask.CREATE)
        assert os.readlink(guest / "link") == "nowhere"
        (host / "folder").rmdir()
        events.until("folder", Mask.DELETE | Mask.ISDIR)
        os.mkfifo(host / "fifo")
        events.until("fifo", Mask.CREATE)
    assert sorted(os.listdir(guest)) == sorted(os.listdir(host))


def test_what_the_guest_knows_is_replaced_by_what_the_host_made(place: tuple[Path, Path]) -> None:
    """Every kind of entry that the guest has just seen or missed is right again after the host's change."""
    host, guest = place
    with watching(guest) as events:
        assert not (guest / "later").exists()
        (host / "later").write_text("x")
        events.until("later", Mask.CREATE)
        wait_until(lambda: (guest / "later").read_text() == "x")
        with (guest / "later").open() as file:
            assert file.read() == "x"
            (host / "later").write_text("longer than before")
            events.until("later", Mask.MODIFY)
            wait_until(lambda: reread(file) == "longer than before")
            (host / "later").write_text("of the same siz!!!")
            wait_until(lambda: reread(file) == "of the same siz!!!")
        os.mkdir(guest / "tree")
        (guest / "tree" / "leaf").write_text("x")
        shutil.rmtree(host / "tree")
        events.until("tree", Mask.DELETE | Mask.ISDIR)
        assert os.listdir(guest) == ["later"]
        assert not (guest / "tree" / "leaf").exists()


def test_a_guests_own_changes_are_no_news(place: tuple[Path, Path]) -> None:
    """Each event comes once: what the host's folder reports of them is not repeated."""
    host, guest = place
    program = "import os,sys\nfor n in range(200):\n p=f'{sys.argv[1]}/{n}'\n"
    program += " open(p,'w').write('x'); os.chmod(p,0o600); os.rename(p,p+'b'); os.unlink(p+'b')\n"
    code = "from tests.folders.test_events import count; count(__import__('sys').argv[1])"
    counter = subprocess.Popen([sys.executable, "-c", code, guest], stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    assert counter.stdout is not None
    assert counter.stdout.readline() == b"ready\n"
    subprocess.run([sys.executable, "-c", program, guest], check=True)
    (host / "end").mkdir()  # of the host, so it comes after all repeats
    out, _ = counter.communicate(timeout=HANG_S)
    assert out.split() == [b"200"] * 3, "creates, deletes and moves"


def count(folder: str) -> None:
    """Count events until `end` is created; print creates, deletes and moves."""
    libc = __import__("ctypes").CDLL(None)
    fd = libc.inotify_init1(0)
    assert libc.inotify_add_watch(fd, os.fsencode(folder), int(Mask.CREATE | Mask.DELETE | Mask.MOVED_FROM)) > 0
    print("ready", flush=True)
    counts = {Mask.CREATE: 0, Mask.DELETE: 0, Mask.MOVED_FROM: 0}
    while True:
        data, at = os.read(fd, 1 << 16), 0
        while at < len(data):
            mask, length = (
                int.from_bytes(data[at + 4 : at + 8], "little"),
                int.from_bytes(data[at + 12 : at + 16], "little"),
            )
            if data[at + 16 : at + 16 + length].rstrip(b"\0") == b"end":
                print(*counts.values())
                return
            counts[Mask(mask & ~Mask.ISDIR)] += 1
            at += 16 + length


def test_bursts_of_events_lose_nothing(place: tuple[Path, Path]) -> None:
    """More changes at once than the host's kernel keeps events for."""
    host, guest = place
    for number in range(20):
        (host / f"old {number}").write_text("x")
    assert len(os.listdir(guest)) == 20
    with watching(guest) as events:
        program = "import os,sys\nfor n in range(8000):\n"
        program += " f=open(f'{sys.argv[1]}/t{n%2000}','w'); f.write('x'); f.close(); os.unlink(f.name)\n"
        program += "for n in range(20): os.unlink(f'{sys.argv[1]}/old {n}')\n"
        program += "for n in range(100): open(f'{sys.argv[1]}/new {n}','w').write('new')\n"
        subprocess.run([sys.executable, "-c", program, host], check=True)
        for number in range(20):
            events.until(f"old {number}", Mask.DELETE)
        for number in range(100):
            events.until(f"new {number}", Mask.CREATE)
    assert sorted(os.listdir(guest)) == sorted(f"new {number}" for number in range(100))


def test_both_sides_at_work_in_one_folder_agree_in_the_end(place: tuple[Path, Path]) -> None:
    host, guest = place
    program = "import os,random,sys\nr=random.Random(sys.argv[2])\nfor n in range(400):\n"
    program += " p,q=(f'{sys.argv[1]}/{r.randrange(12)}' for _ in '12')\n try:\n"
    program += (
        "  [lambda: open(p,'w').write(str(n)), lambda: os.unlink(p), lambda: os.rename(p,q), lambda: os.mkdir(p),"
    )
    program += " lambda: os.rmdir(p), lambda: open(p).read(), lambda: os.link(p,q)][r.randrange(7)]()\n"
    program += " except OSError: pass\n"
    workers = [subprocess.Popen([sys.executable, "-c", program, path, seed]) for path, seed in
               ((host, "1"), (guest, "2"), (guest, "3"))]  # fmt: skip
    assert [worker.wait(HANG_S) for worker in workers] == [0, 0, 0]
    with watching(guest) as events:
        (host / "end").mkdir()
        events.until("end", Mask.CREATE)

    def tree(root: Path) -> dict[str, object]:
        return {path.name: path.read_text() if path.is_file() else None for path in root.iterdir()}

    assert tree(guest) == tree(host)


def test_a_new_server_watches_what_the_guest_watches() -> None:
    shared = SharedFolder()
    try:
        (shared.host / "folder").mkdir()
        with watching(shared.mounted / "folder") as events:
            (shared.host / "folder" / "before").touch()
            events.until("before", Mask.CREATE)
            shared.kill_server()
            shared.start_server()
            numbers = itertools.count()

            def is_heard() -> bool:  # what happens before the client is back raises no event
                (shared.host / "folder" / f"after {next(numbers)}").touch()
                return any(name.startswith("after") for name in events.so_far())

            wait_until(is_heard)
    finally:
        shared.close()


def test_what_the_host_has_just_written_is_read_whole(place: tuple[Path, Path]) -> None:
    """A change may be told of while a file is half written, and its event come when the guest has read all of it."""
    host, guest = place
    part, parts, files, writers = os.urandom(128 * 1024), 16, 40, 6

    def work(writer: int) -> list[int]:
        sizes = []
        for number in range(files):
            name = f"{writer}-{number}"
            with (host / name).open("wb", buffering=0) as file:
                for _ in range(parts):
                    file.write(part)
            sizes.append(len((guest / name).read_bytes()))
            (host / name).unlink()
        return sizes

    with ThreadPoolExecutor(writers) as threads:
        sizes = list(itertools.chain.from_iterable(threads.map(work, range(writers))))
    assert sizes == [len(part) * parts] * files * writers
