"""Env files (`.env`, `--env-file`, `env_file`), read by Compose's rules.

One `NAME=VALUE` or `NAME: VALUE` a line, with `export` before it or not. A line with a name alone takes the variable
from the surroundings. Single quotes keep their content; in double quotes escapes and variables are replaced, in values
without quotes only variables, and ` #` begins a comment there. Quoted values may span lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from desktop.compose.errors import ComposeError, Mark
from desktop.compose.interpolate import BadTemplate, Lookup, substitute
from desktop.compose.reading import Files

_KEY = re.compile(r"(?:export[ \t]+)?([\w.\-\[\]][\w.\-\[\] \t]*?)[ \t]*([=:]|(?=\n|\Z))", re.ASCII)
_ESCAPE = re.compile(r"\\([abcfnrtv$\"\\]|0\d{0,3})")
_ESCAPED = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    '"': '"',
    "$": "$$",
}


def parse(text: str, name: str, lookup: Lookup, unset: Callable[[str], None]) -> dict[str, str]:
    """The variables of one file. `lookup` serves references to other variables, before those of the file itself.

    Raises ComposeError.
    """
    return _File(text.removeprefix("\ufeff"), name, lookup, unset).parse()


def parse_raw(text: str) -> dict[str, str]:
    """A file of `format: raw`: what follows the `=` is the value as it stands."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, sign, value = line.partition("=")
        if sign and not line.lstrip().startswith("#"):
            found[key.strip()] = value
    return found


def read(
    paths: Iterable[Path], files: Files, environment: Mapping[str, str], unset: Callable[[str], None]
) -> dict[str, str]:
    """The variables of several files; a later file's count more. Raises ComposeError."""
    found: dict[str, str] = {}
    for file in paths:
        text = files.text(file, "env file")

        def lookup(key: str) -> str | None:
            return environment.get(key, found.get(key))

        for key, value in parse(text, str(file), lookup, unset).items():
            if not key[:1].isdigit():
                found[key] = value
    return found


class _File:
    def __init__(self, text: str, name: str, lookup: Lookup, unset: Callable[[str], None]) -> None:
        self._text = text.replace("\r\n", "\n")
        self._name = name
        self._outside = lookup
        self._unset = unset
        self._at = 0
        self._found: dict[str, str] = {}

    def parse(self) -> dict[str, str]:
        text = self._text
        while True:
            while self._at < len(text) and text[self._at].isspace():
                self._at += 1
            if self._at >= len(text):
                return self._found
            if text[self._at] == "#":
                self._skip_line()
                continue
            self._statement()

    def _statement(self) -> None:
        key = _KEY.match(self._text, self._at)
        if key is None or (key[1] and " " in key[1].strip()):
            line = self._text[self._at :].split("\n", 1)[0]
            raise self._error(f"{line!r} is no variable: NAME=VALUE is expected")
        self._at = key.end()
        name = key[1].rstrip()
        if not key[2]:
            if (value := self._outside(name)) is not None:
                self._found[name] = value
            return
        while self._at < len(self._text) and self._text[self._at] in " \t":
            self._at += 1
        quote = self._text[self._at : self._at + 1]
        self._found[name] = self._quoted(quote) if quote in ("'", '"') and quote else self._bare()

    def _bare(self) -> str:
        start = self._at
        self._skip_line()
        value = self._text[start : self._at].rstrip("\n")
        return self._expand(value.partition(" #")[0].rstrip() if not value.startswith("#") else "")

    def _quoted(self, quote: str) -> str:
        start = self._at
        at = start + 1
        parts: list[str] = []
        while at < len(self._text) and self._text[at] != quote:
            if self._text[at] == "\\" and self._text[at + 1 : at + 2] == quote:
                at += 1
                parts.append(quote)
            elif self._text[at] == "\\" and at + 1 < len(self._text):
                parts.append(self._text[at : at + 2])
                at += 1
            else:
                parts.append(self._text[at])
            at += 1
        if at >= len(self._text):
            raise self._error("the quote is not closed", start)
        self._at = at + 1
        value = "".join(parts)
        return self._expand(_ESCAPE.sub(_unescape, value)) if quote == '"' else value

    def _expand(self, text: str) -> str:
        def lookup(name: str) -> str | None:
            value = self._outside(name)
            return self._found.get(name) if value is None else value

        try:
            return substitute(text, lookup, self._unset)
        except BadTemplate as e:
            raise self._error(str(e)) from e

    def _skip_line(self) -> None:
        end = self._text.find("\n", self._at)
        self._at = len(self._text) if end < 0 else end + 1

    def _error(self, message: str, at: int | None = None) -> ComposeError:
        before = self._text[: self._at if at is None else at]
        line = before.count("\n") + 1
        return ComposeError(message, Mark(self._name, line, len(before) - before.rfind("\n")))


def _unescape(found: re.Match[str]) -> str:
    code = found[1]
    if code[0] == "0" and len(code) > 1:
        return chr(int(code[1:], 8) & 0xFF)
    return _ESCAPED.get(code, found[0])
