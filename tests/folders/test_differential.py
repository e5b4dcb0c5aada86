"""The same random operations in a shared folder and in a plain one: the same results, errors and trees."""

from __future__ import annotations

import ctypes
import errno
import os
import random
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.folders import SharedFolder

NAMES = ("a", "b", "c", "dä", "e f")
FLAGS = (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR | os.O_APPEND, os.O_WRONLY | os.O_TRUNC)
OPERATIONS = 500
_libc = ctypes.CDLL(None, use_errno=True)


class Player:
    """Carries out operations below one folder. What it returns says nothing of where that is."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.open: dict[int, int] = {}

    def path(self, words: str) -> str:
        return f"{self.root}/{words}"

    def open_file(self, number: int, words: str, flags: int) -> None:
        fd = os.open(self.path(words), flags | os.O_NONBLOCK, 0o644)  # it may be a FIFO
        if number in self.open:
            os.close(self.open[number])
        self.open[number] = fd

    def with_fd(self, number: int, work: Callable[[int], Any]) -> Any:
        return work(self.open[number]) if number in self.open else None

    def rename2(self, one: str, other: str, flags: int) -> None:
        if _libc.renameat2(-100, os.fsencode(self.path(one)), -100, os.fsencode(self.path(other)), flags) < 0:
            raise OSError(ctypes.get_errno(), "renameat2")

    def set_time(self, words: str, ns: int) -> int:
        os.utime(self.path(words), ns=(ns, ns))
        return os.stat(self.path(words)).st_mtime_ns

    def seen(self, words: str) -> tuple[Any, ...]:
        return _shown(os.lstat(self.path(words)))

    def tree(self) -> dict[str, tuple[Any, ...]]:
        found: dict[str, tuple[Any, ...]] = {}
        for folder, folders, files in os.walk(self.root):
            for name in (*folders, *files):
                path = Path(folder) / name
                info = path.lstat()
                content: object = None
                if stat.S_ISREG(info.st_mode):
                    content = path.read_bytes()
                elif stat.S_ISLNK(info.st_mode):
                    content = str(path.readlink())
                names = [] if stat.S_ISLNK(info.st_mode) else sorted(os.listxattr(path))
                found[str(path.relative_to(self.root))] = (*_shown(info), content, names)
        return found

    def close(self) -> None:
        for fd in self.open.values():
            os.close(fd)
        self.open.clear()


def _shown(info: os.stat_result) -> tuple[Any, ...]:
    is_folder = stat.S_ISDIR(info.st_mode)
    return info.st_mode, None if is_folder else info.st_size, info.st_nlink, info.st_uid, info.st_gid


def operation(chance: random.Random) -> tuple[str, Callable[[Player], Any]]:
    """One operation on random names, and its name."""

    def words() -> str:
        return "/".join(chance.choice(NAMES) for _ in range(chance.choice((1, 1, 2, 3))))

    one, other, number = words(), words(), chance.randrange(4)
    data, at, size = (
        chance.randbytes(chance.choice((0, 1, 4096, 70_000))),
        chance.randrange(9000),
        chance.randrange(9000),
    )
    mode, flags = chance.choice((0o644, 0o600, 0o755, 0o444, 0o000)), chance.choice(FLAGS)
    creates = chance.choice((0, os.O_CREAT, os.O_CREAT | os.O_EXCL))
    ns = chance.randrange(10**18)
    table: dict[str, Callable[[Player], Any]] = {
        "open": lambda p: p.open_file(number, one, flags | creates),
        "read": lambda p: p.with_fd(number, lambda fd: os.pread(fd, size, at)),
        "write": lambda p: p.with_fd(number, lambda fd: os.pwrite(fd, data, at)),
        "go on writing": lambda p: p.with_fd(number, lambda fd: (os.write(fd, data), os.lseek(fd, 0, os.SEEK_CUR))),
        "ftruncate": lambda p: p.with_fd(number, lambda fd: os.ftruncate(fd, size)),
        "fstat": lambda p: p.with_fd(number, lambda fd: _shown(os.fstat(fd))),
        "fchmod": lambda p: p.with_fd(number, lambda fd: os.fchmod(fd, mode)),
        "fsync": lambda p: p.with_fd(number, os.fsync),
        "allocate": lambda p: p.with_fd(number, lambda fd: os.posix_fallocate(fd, at, size + 1)),
        "truncate": lambda p: os.truncate(p.path(one), size),
        "unlink": lambda p: os.unlink(p.path(one)),
        "mkdir": lambda p: os.mkdir(p.path(one), mode | 0o700),
        "rmdir": lambda p: os.rmdir(p.path(one)),
        "rename": lambda p: os.rename(p.path(one), p.path(other)),
        "rename to nothing": lambda p: p.rename2(one, other, 1),
        "exchange": lambda p: p.rename2(one, other, 2),
        "link": lambda p: os.link(p.path(one), p.path(other)),
        "symlink": lambda p: os.symlink(other, p.path(one)),
        "readlink": lambda p: os.readlink(p.path(one)),
        "fifo": lambda p: os.mkfifo(p.path(one), mode),
        "chmod": lambda p: os.chmod(p.path(one), mode | 0o700),
        "utime": lambda p: p.set_time(one, ns),
        "list": lambda p: sorted(os.listdir(p.path(one))),
        "list all": lambda p: sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in os.scandir(p.root)),
        "stat": lambda p: p.seen(one),
        "set attribute": lambda p: os.setxattr(p.path(one), "user.test", data[:100]),
        "get attribute": lambda p: os.getxattr(p.path(one), "user.test"),
        "remove attribute": lambda p: os.removexattr(p.path(one), "user.test"),
    }
    name = chance.choice(("open", "write", "mkdir", "list", *table))
    return f"{name} {one} {other} {number} {flags | creates:#x} {at} {size} {len(data)}", table[name]


def result(player: Player, work: Callable[[Player], Any]) -> Any:
    try:
        return work(player)
    except OSError as e:
        return errno.errorcode[e.errno or 0]


@pytest.mark.parametrize("seed", range(6))
def test_results_and_trees_are_those_of_a_plain_folder(
    shared: SharedFolder, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    folder = f"seed {seed}"
    (shared.host / folder).mkdir()
    players = Player(tmp_path_factory.mktemp("plain")), Player(shared.mounted / folder)
    chance = random.Random(seed)
    done: list[str] = []
    try:
        for _ in range(OPERATIONS):
            name, work = operation(chance)
            plain, ours = (result(player, work) for player in players)
            done.append(f"{name} -> {plain!r:.60}")
            assert ours == plain, "\n".join(done[-30:])
        trees = [player.tree() for player in (*players, Player(shared.host / folder))]
    finally:
        for player in players:
            player.close()
    assert trees[1] == trees[0]
    assert trees[2] == trees[0]
    assert len(trees[0]) > 3
