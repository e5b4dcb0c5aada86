"""The one exception of this package that a user's input causes, and the place in a file that it names."""

from __future__ import annotations

from typing import NamedTuple


class Mark(NamedTuple):
    """A place in a file: line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class ComposeError(Exception):
    """The project cannot be loaded or run. str(self) is one sentence, after FILE:LINE:COLUMN where it is known."""

    def __init__(self, message: str, mark: Mark | None = None) -> None:
        super().__init__(f"{mark}: {message}" if mark else message)
        self.message = message
        self.mark = mark


class NoFile(ComposeError):
    """There is no compose file where one is looked for."""
