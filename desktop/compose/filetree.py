"""What is in a folder, remembered: a burst of events becomes the files that changed and those that are gone."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

_Signature = tuple[int, ...]  # of a file's state: two different ones, and it has changed


@dataclass(frozen=True, slots=True)
class Changes:
    """Relative paths with `/`; "" is the root itself. Of a folder that is gone only its own path is in `removed`."""

    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed)


class FileTree:
    """The files and folders at and below `root`, which may be a file, or missing.

    `is_wanted(path)` tells which relative paths count, `is_closed(path)` that nothing below a folder does.
    """

    def __init__(self, root: str, is_wanted: Callable[[str], bool], is_closed: Callable[[str], bool]) -> None:
        self.root = root
        self._is_wanted = is_wanted
        self._is_closed = is_closed
        self._known = dict(self._scan(""))

    def all(self) -> Changes:
        """All that is there, as if it had just come."""
        return Changes(changed=tuple(self._known))

    def update(self, paths: Iterable[str] | None) -> Changes:
        """What differs from the last time, at these absolute paths and below them; None looks at everything.

        An event of a folder may be all that is told of the files in it: a folder that has come is read through.
        """
        wanted = {""} if paths is None else {one for path in paths if (one := self._relative(path)) is not None}
        present: dict[str, _Signature] = {}
        gone: set[str] = set()
        for path in wanted:
            is_folder = os.path.isdir(self.absolute(path)) and not os.path.islink(self.absolute(path))
            found = dict(self._scan(path, deep=paths is None or path not in self._known))
            present |= found
            if paths is None or not is_folder:
                gone |= self._below(path) - found.keys()
        changed = [path for path, signature in present.items() if self._known.get(path) != signature]
        for path in gone:
            del self._known[path]
        self._known |= present
        top = sorted(path for path in gone if not any(parent in gone for parent in _parents(path)))
        return Changes(tuple(sorted(changed)), tuple(top))

    def absolute(self, path: str) -> str:
        return os.path.join(self.root, *path.split("/")) if path else self.root

    def _relative(self, path: str) -> str | None:
        if path == self.root:
            return ""
        if not path.startswith(self.root.rstrip(os.sep) + os.sep):
            return None
        found = os.path.relpath(path, self.root).replace(os.sep, "/")
        return None if any(self._is_closed(parent) for parent in _parents(found)) else found

    def _below(self, path: str) -> set[str]:
        if path in self._known and not stat.S_ISDIR(self._known[path][0]):
            return {path}
        return {one for one in self._known if not path or one == path or one.startswith(f"{path}/")}

    def _scan(self, path: str, *, deep: bool = True) -> Iterator[tuple[str, _Signature]]:
        stack = [path]
        while stack:
            path = stack.pop()
            try:
                found = os.lstat(self.absolute(path))
            except OSError:
                continue  # it was removed meanwhile, which another event tells
            is_folder = stat.S_ISDIR(found.st_mode)
            if is_folder or stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
                if self._is_wanted(path) and (path or not is_folder):
                    yield path, _signature(found)
                if is_folder and deep and not self._is_closed(path):
                    try:
                        names = os.listdir(self.absolute(path))
                    except OSError:
                        continue
                    stack += [f"{path}/{name}" if path else name for name in names]


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _signature(found: os.stat_result) -> _Signature:
    if stat.S_ISDIR(found.st_mode):
        return (found.st_mode,)
    return (found.st_mode, found.st_size, found.st_mtime_ns, found.st_ino)
