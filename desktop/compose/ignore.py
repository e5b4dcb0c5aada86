"""Patterns of files in the syntax of a .dockerignore file: `ignore` and `include` of develop.watch."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

# What editors and version control write by the way, in any folder.
EPHEMERAL = (
    "**/.git", "**/*~", "**/#*#", "**/.#*", "**/.*.swp", "**/.*.swx", "**/.*.swpx", "**/4913", "**/*___jb_tmp___",
    "**/*___jb_old___", "**/.goutputstream*", "**/.DS_Store",
)  # fmt: skip


class Patterns:
    """Patterns, of which the last one that matches decides; one that begins with `!` takes back."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._rules = [_parsed(text) for text in map(str.strip, patterns) if text and not text.startswith("#")]
        self.has_exceptions = any(is_exception for is_exception, _ in self._rules)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def match(self, path: str) -> bool:
        """Whether a relative path with `/`, or a folder above it, matches."""
        matched = False
        for is_exception, pattern in self._rules:
            if matched is is_exception and pattern.fullmatch(path):
                matched = not is_exception
        return matched


def _parsed(text: str) -> tuple[bool, re.Pattern[str]]:
    is_exception = text.startswith("!")
    return is_exception, _pattern(text.removeprefix("!").strip())


@functools.cache
def _pattern(text: str) -> re.Pattern[str]:
    """The pattern of a path; what is below a path that matches, matches too."""
    parts = [part for part in text.replace("\\", "/").split("/") if part not in ("", ".")]
    found = "/".join(parts)
    made, at = "", 0
    while at < len(found):
        if found.startswith("**/", at):
            made, at = made + "(?:.*/)?", at + 3
        elif found.startswith("**", at):
            made, at = made + ".*", at + 2
        elif found[at] == "*":
            made, at = made + "[^/]*", at + 1
        elif found[at] == "?":
            made, at = made + "[^/]", at + 1
        elif found[at] == "[" and (end := found.find("]", at + 2)) > 0:
            body = found[at + 1 : end]
            made, at = made + "[" + body.replace("\\", "") + "]", end + 1
        else:
            made, at = made + re.escape(found[at]), at + 1
    return re.compile(f"{made}(?:/.*)?", re.DOTALL)
