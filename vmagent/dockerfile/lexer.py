"""Words as BuildKit's frontend reads them: quotes, escapes, `$name` and `${name…}`.

The rules are those of POSIX sh as far as a Dockerfile has them; the patterns of `#`, `%` and `/` know only `*` and `?`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from vmagent.dockerfile.errors import DockerfileError
from vmagent.dockerfile.text import go_quote, is_space

_DEPTH = 64  # substitutions inside substitutions
_SPECIAL = frozenset("@*#?-$!0")


@dataclass(frozen=True, slots=True)
class Expanded:
    """One expanded text, its words, and the variables it named, split by whether they were set."""

    text: str
    words: tuple[str, ...]
    matched: frozenset[str]
    unmatched: frozenset[str]


@dataclass(frozen=True, slots=True)
class Lexer:
    """How to read words. The defaults are those of expansion; the others keep what they read recognizable.

    `raw_quotes` and `raw_escapes` keep quotes and escape characters in the result; `skip_quotes` takes quotes for
    ordinary characters (the bodies of heredocs); `skip_unset` leaves variables that are not set as they are.
    """

    escape: str = "\\"
    raw_quotes: bool = False
    raw_escapes: bool = False
    skip_quotes: bool = False
    skip_unset: bool = False

    def expand(self, text: str, env: Mapping[str, str]) -> Expanded:
        """`text` with variables replaced and quotes removed. Raises DockerfileError."""
        reader = _Reader(self, text, env, self.raw_escapes)
        try:
            result, words = reader.read_until("", self.raw_escapes)
        except DockerfileError as error:
            raise DockerfileError(f"failed to process {go_quote(text)}: {error}") from error
        return Expanded(result, tuple(words), frozenset(reader.matched), frozenset(reader.unmatched))


class _Words:
    """Splits at spaces that are neither quoted nor escaped; words that end up empty are dropped."""

    def __init__(self) -> None:
        self._word: list[str] = []
        self._words: list[str] = []

    def add(self, text: str) -> None:
        for character in text:
            if is_space(character):
                self.end()
            else:
                self._word.append(character)

    def add_quoted(self, text: str) -> None:
        if text:
            self._word.append(text)

    def end(self) -> list[str]:
        if self._word:
            self._words.append("".join(self._word))
            self._word.clear()
        return self._words


@dataclass(slots=True)
class _Reader:
    lexer: Lexer
    text: str
    env: Mapping[str, str]
    raw_escapes: bool
    position: int = 0
    depth: int = 0
    matched: set[str] = field(default_factory=set)
    unmatched: set[str] = field(default_factory=set)

    def peek(self) -> str:
        """The next character, "" at the end."""
        return self.text[self.position : self.position + 1]

    def next(self) -> str:
        character = self.peek()
        self.position += len(character)
        return character

    def read_until(self, stop: str, raw_escapes: bool) -> tuple[str, list[str]]:
        """Text and words up to `stop`, which is consumed ("": to the end of the text)."""
        outer, self.raw_escapes = self.raw_escapes, raw_escapes
        self.depth += 1
        try:
            if self.depth > _DEPTH:
                raise DockerfileError("syntax error: substitutions are nested too deeply")
            return self._read_until(stop)
        finally:
            self.depth -= 1
            self.raw_escapes = outer

    def _read_until(self, stop: str) -> tuple[str, list[str]]:
        special: dict[str, Callable[[], str]] = {"$": self.dollar}
        if not self.lexer.skip_quotes:
            special |= {"'": self.single_quoted, '"': self.double_quoted}
        result: list[str] = []
        words = _Words()
        while character := self.peek():
            if character == stop:
                self.next()
                return "".join(result), words.end()
            if read := special.get(character):
                piece = read()
                result.append(piece)
                (words.add if character == "$" else words.add_quoted)(piece)
                continue
            self.next()
            if character == self.lexer.escape:
                if self.raw_escapes:
                    result.append(character)
                    words.add_quoted(character)
                character = self.next()
                words.add_quoted(character)
            else:
                words.add(character)
            result.append(character)
        if stop:
            raise DockerfileError(f"unexpected end of statement while looking for matching {stop}")
        return "".join(result), words.end()

    def single_quoted(self) -> str:
        end = self.text.find("'", self.position + 1)
        if end < 0:
            self.position = len(self.text)
            raise DockerfileError("unexpected end of statement while looking for matching single-quote")
        inner = self.text[self.position + 1 : end]
        self.position = end + 1
        return f"'{inner}'" if self.lexer.raw_quotes else inner

    def double_quoted(self) -> str:
        quote = '"' if self.lexer.raw_quotes else ""
        self.next()
        result = [quote]
        while character := self.peek():
            if character == "$":
                result.append(self.dollar())
                continue
            self.next()
            if character == '"':
                return "".join([*result, quote])
            if character == self.lexer.escape:
                if self.raw_escapes:
                    result.append(character)
                if not self.peek():
                    break
                if self.peek() in ('"', "$", self.lexer.escape):
                    character = self.next()
            result.append(character)
        raise DockerfileError("unexpected end of statement while looking for matching double-quote")

    def dollar(self) -> str:
        self.next()
        if self.peek() != "{":
            name = self.name()
            if not name:
                return "$"
            value = self.get(name)
            return value if value is not None else f"${name}" if self.lexer.skip_unset else ""
        self.next()
        if not self.peek():
            raise DockerfileError("syntax error: missing '}'")
        if self.peek() in "{}:":
            raise DockerfileError("syntax error: bad substitution")
        name = self.name()
        modifier = self.next()
        if not modifier:
            raise DockerfileError("syntax error: missing '}'")
        if modifier == "}":
            value = self.get(name)
            return value if value is not None else f"${{{name}}}" if self.lexer.skip_unset else ""
        if modifier == "/":
            return self.replacement(name)
        return self.modified(name, modifier)

    def modified(self, name: str, modifier: str) -> str:
        """`${name:-word}` and so on, read up to `modifier`, which is a colon or what follows it."""
        operator = self.next() if modifier == ":" else modifier
        written = modifier + operator if modifier == ":" else modifier
        pattern = operator in ("#", "%")
        # Of an operator that is not known, the word after a colon is read first, as BuildKit does.
        if (pattern and modifier == ":") or (modifier != ":" and operator not in ("+", "-", "?", "#", "%")):
            raise DockerfileError(f"unsupported modifier ({written}) in substitution")
        word = self.part("}", pattern, "syntax error: missing '}'")
        value = self.get(name)
        if value is None and self.lexer.skip_unset:
            return f"${{{name}{written}{word}}}"
        unset = value is None or (modifier == ":" and not value)
        if operator == "-":
            return word if unset else value or ""
        if operator == "+":
            return "" if unset else word
        if operator == "?":
            if unset:
                state = "unset" if value is None else "empty"
                raise DockerfileError(f"{name}: {word or f'is not allowed to be {state}'}")
            return value or ""
        if not pattern:
            raise DockerfileError(f"unsupported modifier ({written}) in substitution")
        longest = word.startswith(operator)
        remove = remove_prefix if operator == "#" else remove_suffix
        return remove(value or "", word[1:] if longest else word, longest)

    def replacement(self, name: str) -> str:
        """`${name/pattern/text}` and `${name//pattern/text}`, read up to the first slash."""
        everywhere = self.peek() == "/"
        if everywhere:
            self.next()
        pattern = self.part("/", True, "syntax error: missing '/' in ${}")
        text = self.part("}", True, "syntax error: missing '}'")
        value = self.get(name)
        if value is None and self.lexer.skip_unset:
            return f"${{{name}/{pattern}/{text}}}"
        return replace(value or "", pattern, text, everywhere)

    def part(self, stop: str, raw_escapes: bool, at_end: str) -> str:
        try:
            return self.read_until(stop, raw_escapes)[0]
        except DockerfileError as error:
            if not self.peek() and self.depth < _DEPTH:
                raise DockerfileError(at_end) from error
            raise

    def name(self) -> str:
        """A name, a row of digits, or one of the shell's special parameters; "" where there is none."""
        start = self.position
        first = self.peek()
        if first.isdecimal():
            while self.peek().isdecimal():
                self.next()
        elif first and first in _SPECIAL:
            self.next()
        else:
            while (character := self.peek()) and (character == "_" or character.isalpha() or character.isdecimal()):
                self.next()
        return self.text[start : self.position]

    def get(self, name: str) -> str | None:
        value = self.env.get(name)
        (self.unmatched if value is None else self.matched).add(name)
        return value


# Patterns. A pattern is cut at its stars. For the shortest match each piece is taken at its first place, for the
# longest one the last piece at its last place; atomic groups keep the regular expression from trying others, so that
# the time is linear in the value's length. As in BuildKit, wildcards do not match a newline.


@dataclass(frozen=True, slots=True)
class _Pattern:
    head: re.Pattern[str]  # up to the first star
    rest: re.Pattern[str]

    def match(self, value: str, start: int = 0) -> int | None:
        """The end of the match that begins at `start`."""
        head = self.head.match(value, start)
        rest = self.rest.match(value, head.end()) if head else None
        return rest.end() if rest else None

    def search(self, value: str, start: int) -> tuple[int, int] | None:
        """The first match that begins at `start` or later."""
        while head := self.head.search(value, start):
            if rest := self.rest.match(value, head.end()):
                return head.start(), rest.end()
            # What follows in this line is not enough for the rest, so no later place in this line is.
            end_of_line = value.find("\n", head.end())
            if end_of_line < 0:
                return None
            start = end_of_line
        return None


def _compile(pattern: str, longest: bool) -> _Pattern:
    pieces: list[list[str]] = [[]]
    characters = iter(pattern)
    for character in characters:
        if character == "*":
            pieces.append([])
        elif character == "?":
            pieces[-1].append(".")
        elif character == "\\":
            escaped = next(characters, "")
            # A brace or slash is escaped for the sake of ${}, a star or question mark for the pattern's.
            if not escaped or escaped not in "}/*?\\":
                raise DockerfileError(f"invalid pattern ({pattern}) in substitution: invalid escape '\\{escaped}'")
            pieces[-1].append(re.escape(escaped))
        else:
            pieces[-1].append(re.escape(character))
    head, *rest = ("".join(piece) for piece in pieces)
    stars = [".*?"] * len(rest)
    if longest and stars:
        stars[-1] = ".*"
    groups = (f"(?>{star}{piece})" for star, piece in zip(stars, rest, strict=True))
    return _Pattern(re.compile(head), re.compile("".join(groups)))


def remove_prefix(value: str, pattern: str, longest: bool) -> str:
    """`${value#pattern}`, with `longest` `##`."""
    end = _compile(pattern, longest).match(value)
    return value if end is None else value[end:]


def remove_suffix(value: str, pattern: str, longest: bool) -> str:
    """`${value%pattern}`, with `longest` `%%`: the prefix of the mirrored value, so that the shortest one is found."""
    return remove_prefix(value[::-1], _mirrored(pattern), longest)[::-1]


def _mirrored(pattern: str) -> str:
    return "".join(reversed(re.findall(r"\\.|.", pattern, re.DOTALL)))


def replace(value: str, pattern: str, text: str, everywhere: bool) -> str:
    """`${value/pattern/text}`, with `everywhere` `//`: the longest matches, from the left."""
    compiled = _compile(pattern, longest=True)
    result: list[str] = []
    copied = position = 0
    while position <= len(value) and (found := compiled.search(value, position)):
        start, end = found
        if not (start == end == copied and copied > 0 and result):  # an empty match right behind another one
            result += [value[copied:start], text]
            copied = end
        position = end if end > start else end + 1
        if not everywhere:
            break
    return "".join([*result, value[copied:]])
