"""Projects that were loaded before: one whose files, variables and options are the same is not read again.

Only what a process was given by `add` is remembered. That is the warm server of the command line, whose children load
projects and leave them there (`docs/decisions/0093-a-loaded-project-is-kept-with-what-it-was-read-from.md`). The engine
has no part in a loaded project, so it may be another one each time.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace

from desktop.compose import project
from desktop.compose.project import Options, Project
from desktop.compose.reading import Files

_MOST = 16  # projects
_LARGEST_BYTES = 512 * 1024  # of all files of one


@dataclass(frozen=True, slots=True)
class _Kept:
    """A project with everything that it was made from, and what was said meanwhile."""

    options: Options
    files: Files
    warnings: tuple[str, ...]
    project: Project


_kept: list[_Kept] = []  # what was added last is last
_loaded: list[_Kept] = []  # by this process


def load(options: Options) -> Project:
    """As `project.load`. Raises ComposeError."""
    asked = _bare(options)
    for kept in reversed(_kept):
        if kept.options == asked and kept.files.are_unchanged():
            for sentence in kept.warnings:
                options.warn(sentence)
            return kept.project
    files, warnings = Files(), list[str]()
    found = project.load(replace(options, warn=_both(options.warn, warnings.append)), files)
    is_small = sum(map(len, files.contents.values())) <= _LARGEST_BYTES
    if "-" not in found.files and files.can_be_read_again and is_small:
        _loaded.append(_Kept(asked, files, tuple(warnings), found))
    return found


def _both(one: Callable[[str], None], other: Callable[[str], None]) -> Callable[[str], None]:
    def call(sentence: str) -> None:
        one(sentence)
        other(sentence)

    return call


def _nothing(_: str) -> None:
    pass


def _bare(options: Options) -> Options:
    """Without what is no part of the question: where warnings go, and the standard input, of which nothing is kept."""
    return replace(options, warn=_nothing, stdin=None, environ=dict(options.environ), texts=dict(options.texts))


def loaded() -> bytes:
    """For `add` in another process: what this one has loaded itself. Empty if that is nothing, or nested too deeply."""
    try:
        return pickle.dumps(_loaded, pickle.HIGHEST_PROTOCOL) if _loaded else b""
    except RecursionError:
        return b""


def add(data: bytes) -> None:
    """Remember what another process, of the same program and user, got from `loaded`."""
    for new in pickle.loads(data):
        _kept[:] = [kept for kept in _kept if kept.options != new.options] + [new]
    del _kept[:-_MOST]
