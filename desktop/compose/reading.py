"""Reading what a project is made of, so that it is known afterwards what was read, and what was not there."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from desktop.compose.errors import ComposeError


@dataclass
class Files:
    """Reads the files of one project. `contents` has what was read by path, `types` what was looked for: the type of
    each file (stat's S_IFMT), 0 if there was none; `real` the paths that were freed of symbolic links."""

    contents: dict[str, bytes] = field(default_factory=dict)
    types: dict[str, int] = field(default_factory=dict)
    real: dict[str, str] = field(default_factory=dict)

    def text(self, path: Path, what: str) -> str:
        """The text of a file. Raises ComposeError that says `what` it was to be."""
        try:
            data = path.read_bytes()
            self.contents[str(path)] = data
            self._type_of(path)
            return data.decode().replace("\r\n", "\n").replace("\r", "\n")
        except FileNotFoundError as e:
            raise ComposeError(f"{what} {path} not found") from e
        except UnicodeDecodeError as e:
            raise ComposeError(f"{what} {path} is not UTF-8 text") from e
        except OSError as e:
            raise ComposeError(f"{what} {path} cannot be read: {e.strerror}") from e

    def is_file(self, path: Path) -> bool:
        return stat.S_ISREG(self._type_of(path))

    def exists(self, path: Path) -> bool:
        return self._type_of(path) != 0

    def real_path(self, path: str) -> str:
        """The path without symbolic links; what is not there is taken as it is."""
        found = self.real[path] = os.path.realpath(path)
        return found

    def _type_of(self, path: Path) -> int:
        found = self.types[str(path)] = _type_of(str(path))
        return found

    @property
    def can_be_read_again(self) -> bool:
        """Everything that was read is a regular file: a pipe gives its content once."""
        return all(stat.S_ISREG(self.types[path]) for path in self.contents)

    def are_unchanged(self) -> bool:
        """Whether reading now would find the same. Only for files that can be read again."""
        for path, kind in self.types.items():
            if _type_of(path) != kind:
                return False
        if any(os.path.realpath(path) != found for path, found in self.real.items()):
            return False
        try:
            return all(_content_of(path, len(data)) == data for path, data in self.contents.items())
        except OSError:
            return False


def _type_of(path: str) -> int:
    try:
        return stat.S_IFMT(os.stat(path).st_mode)
    except (OSError, ValueError):  # as pathlib's is_file
        return 0


def _content_of(path: str, length: int) -> bytes:
    """At most a byte more than `length`."""
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        return os.read(fd, length + 1)
    finally:
        os.close(fd)
