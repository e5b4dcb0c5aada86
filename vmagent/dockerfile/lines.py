"""From the bytes of a Dockerfile to its logical lines: directives, comments, continuations, heredocs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from vmagent.dockerfile.errors import DockerfileError, Lines
from vmagent.dockerfile.lexer import Lexer
from vmagent.dockerfile.text import SPACES
from vmagent.dockerfile.tree import Directive, EmptyContinuation, Escape, Heredoc
from vmagent.dockerfile.words import Words, split_instruction

LINE_BYTES = 65535  # a longer line is an error
_DIRECTIVE = re.compile(r"([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*\Z", re.ASCII)
_DIRECTIVES = frozenset({"syntax", "escape", "check"})
_HEREDOC = re.compile(r"([0-9]*)<<(-?)([^<]*)", re.DOTALL)
_WITH_HEREDOC = frozenset({"add", "copy", "run"})
_CONTINUED: dict[Escape, re.Pattern[str]] = {
    "\\": re.compile(r"(?:(?<=[^\\])|\A)\\[ \t]*\Z"),
    "`": re.compile(r"(?:(?<=[^`])|\A)`[ \t]*\Z"),
}


@dataclass(frozen=True, slots=True)
class LogicalLine:
    """One instruction as text: continuations joined, comments removed, its heredocs beside it."""

    words: Words
    text: str
    lines: Lines
    comments: tuple[str, ...]
    heredocs: tuple[Heredoc, ...]


@dataclass(frozen=True, slots=True)
class LogicalLines:
    source: str
    escape: Escape
    syntax: Directive | None
    check: Directive | None
    lines: tuple[LogicalLine, ...]
    empty_continuations: tuple[EmptyContinuation, ...]


def decode(data: bytes | str) -> str:
    """The text of a file; a byte-order mark is dropped, bytes that are not UTF-8 become surrogate escapes."""
    text = data.decode("utf-8", "surrogateescape") if isinstance(data, bytes) else data
    return text.removeprefix("\ufeff")


def split(data: bytes | str) -> LogicalLines:
    """The logical lines of a file. Raises DockerfileError."""
    source = decode(data)
    reader = _Reader(source)
    lines = tuple(reader.read())
    return LogicalLines(
        source, reader.escape, find_syntax(source), find_check(source), lines, tuple(reader.empty_continuations)
    )


class _Reader:
    """Reads physical lines. `number` is that of the line read last."""

    def __init__(self, source: str) -> None:
        self.escape: Escape = "\\"
        self.number = 0
        self.empty_continuations: list[EmptyContinuation] = []
        self._physical = _physical(source)
        self._directives = _Directives("#")
        self._comments: list[str] = []

    def _next(self) -> str | None:
        """The next physical line with its end, None at the end of the file."""
        line = next(self._physical, None)
        if line is None:
            return None
        self.number += 1
        if len(line) > LINE_BYTES and len(line.encode("utf-8", "surrogateescape")) > LINE_BYTES + 1:
            raise DockerfileError(
                f"dockerfile line greater than max allowed size of {LINE_BYTES}", Lines(self.number, self.number)
            )
        return line

    def read(self) -> Iterator[LogicalLine]:
        found = False
        while (line := self._next()) is not None:
            first = self.number
            text = line.rstrip("\r\n").lstrip(SPACES)
            directive = self._directive(text)
            if text.startswith("#"):
                if not directive:
                    self._comment(line)
                continue
            text, complete = self._trimmed(text)
            if complete and not text:
                continue
            found = True
            yield self._instruction(first, text, complete)
            self._comments.clear()
        if not found:
            raise DockerfileError("file with no instructions", Lines(self.number, self.number))

    def _directive(self, text: str) -> bool:
        directive = self._directives.read(text, self.number)
        if directive is None:
            return False
        if directive.name == "escape":
            if directive.value not in ("\\", "`"):
                raise DockerfileError(
                    f"invalid escape token '{directive.value}' does not match ` or \\", directive.lines
                )
            self.escape = "`" if directive.value == "`" else "\\"
        return True

    def _comment(self, line: str) -> None:
        # BuildKit drops the first character, whatever it is: a comment after spaces keeps its sign.
        comment = line[1:].strip(SPACES)
        if comment:
            self._comments.append(comment)
        else:
            self._comments.clear()

    def _trimmed(self, text: str) -> tuple[str, bool]:
        """The line without its continuation character, and whether it ends the instruction."""
        found = _CONTINUED[self.escape].search(text)
        return (text[: found.start()], False) if found else (text, True)

    def _instruction(self, first: int, text: str, complete: bool) -> LogicalLine:
        parts = [text]
        empty = False
        while not complete and (line := self._next()) is not None:
            stripped = line.strip(SPACES)
            if stripped.startswith("#"):
                continue
            if not stripped:
                empty = True
                continue
            text, complete = self._trimmed(line.rstrip("\r\n"))
            parts.append(text)
        text = "".join(parts)
        if empty:
            self.empty_continuations.append(EmptyContinuation(text, self.number))
        try:
            words = split_instruction(text, self.escape)
            heredocs = tuple(self._heredocs(words, text, first))
        except DockerfileError as error:
            raise error.at(Lines(first, self.number)) from error
        return LogicalLine(words, text, Lines(first, self.number), tuple(self._comments), heredocs)

    def _heredocs(self, words: Words, text: str, first: int) -> Iterator[Heredoc]:
        if "<<" not in text or not may_have_heredocs(words, self.escape):
            return
        for head in heredocs_of(text):
            body: list[str] = []
            while (line := self._next()) is not None:
                end = line.rstrip("\r\n")
                if (end.lstrip("\t") if head.chomp else end) == head.name:
                    break
                body.append(line)
            else:
                raise DockerfileError("unterminated heredoc", Lines(first, self.number))
            yield Heredoc(head.name, "".join(body), head.expand, head.chomp, head.descriptor)


def _physical(source: str) -> Iterator[str]:
    """Lines with their ends. Only a newline ends a line (str.splitlines knows more ends)."""
    start = 0
    while start < len(source):
        end = source.find("\n", start) + 1 or len(source)
        yield source[start:end]
        start = end


class _Directives:
    """Parser directives stand before everything else; the first other line ends them."""

    def __init__(self, sign: str) -> None:
        self._sign = sign
        self._seen: set[str] = set()
        self._done = False

    def read(self, line: str, number: int) -> Directive | None:
        if self._done:
            return None
        match = _DIRECTIVE.match(line.removeprefix(self._sign).lstrip(SPACES)) if line.startswith(self._sign) else None
        name = match[1].lower() if match else ""
        if match is None or name not in _DIRECTIVES:
            self._done = True
            return None
        if name in self._seen:
            raise DockerfileError(f"only one {name} parser directive can be used", Lines(number, number))
        self._seen.add(name)
        return Directive(name, match[2], Lines(number, number))


def find_syntax(source: str) -> Directive | None:
    """The frontend that a file asks for: `# syntax=`, or `// syntax=`, or a JSON object's `syntax`.

    The other forms are those of other frontends' files. A first line that begins with `#!` is passed over.
    """
    if found := _find("syntax", source, "#") or _find("syntax", source, "//"):
        return found
    body, first = _without_shebang(source)
    if not body.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    name = value.get("syntax") if isinstance(value, dict) else None
    return Directive("syntax", name, Lines(first, first)) if isinstance(name, str) else None


def find_check(source: str) -> Directive | None:
    return _find("check", source, "#")


def _without_shebang(source: str) -> tuple[str, int]:
    """The file without its `#!` line, and the number of the first line left."""
    return (source.partition("\n")[2], 2) if source.startswith("#!") else (source, 1)


def _find(name: str, source: str, sign: str) -> Directive | None:
    body, first = _without_shebang(source)
    directives = _Directives(sign)
    try:
        for number, line in enumerate(_physical(body), first):
            directive = directives.read(line.rstrip("\r\n"), number)
            if directive is None:
                return None
            if directive.name == name:
                return directive
    except DockerfileError:  # a second one of a name; `split` reports it
        return None
    return None


def may_have_heredocs(words: Words, escape: Escape) -> bool:
    """Whether the instruction's words may name heredocs: ADD, COPY and RUN, also behind ONBUILD, without JSON."""
    if words.name == "onbuild":
        words = split_instruction(words.rest, escape)
    return words.name in _WITH_HEREDOC and not words.json


def heredocs_of(text: str) -> list[Heredoc]:
    """The heredocs that a line announces, still without content."""
    lexer = Lexer(raw_quotes=True, raw_escapes=True, skip_unset=True)
    try:
        words = lexer.expand(text, {}).words
    except DockerfileError:  # shell text that this lexer cannot read has no heredocs for BuildKit
        return []
    return [found for word in words if (found := heredoc_of(word))]


def heredoc_of(word: str) -> Heredoc | None:
    """`<<NAME`, `<<-"NAME"`, `3<<NAME`: the heredoc of that word, if it is one. Raises DockerfileError."""
    match = _HEREDOC.fullmatch(word)
    if match is None or not match[3]:
        return None
    name = Lexer(skip_unset=True).expand(match[3], {}).words
    if len(name) != 1:
        return None
    raw = Lexer(skip_unset=True, raw_quotes=True).expand(match[3], {}).words
    quotes = [sum(text.count(quote) for quote in "'\"") for text in (name[0], *raw)]
    return Heredoc(name[0], "", quotes[0] == sum(quotes[1:]), match[2] == "-", int(match[1][:9] or 0))
