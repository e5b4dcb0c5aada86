"""`.dockerignore`: which files of a build context count.

The rules are those of moby's patternmatcher: Go's path patterns with `**` added, the last pattern that matches decides,
and a pattern also matches what lies below a folder that it names.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from vmagent.dockerfile.errors import DockerfileError
from vmagent.dockerfile.text import SPACES

_BAD = "syntax error in pattern"
_LINE_BYTES = 65535
_REGULAR_STARS = 2  # with more of them, Python's regular expressions may try too many ways


@dataclass(frozen=True, slots=True)
class _Pattern:
    """`text` is cleaned and without the exclamation mark; `negated` for one that brings files back."""

    text: str
    negated: bool
    matches: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Ignore:
    """The compiled patterns of an ignore file. Paths are relative to the context, with slashes, cleaned."""

    patterns: tuple[_Pattern, ...]
    _folders: dict[str, tuple[bool, ...]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def negates(self) -> bool:
        """Whether a pattern begins with `!`: then what is below an ignored folder may still count."""
        return any(pattern.negated for pattern in self.patterns)

    def ignores(self, path: str) -> bool:
        """Whether the file or folder at `path` does not belong to the context. The root, ".", always does."""
        above = self._above(path.rpartition("/")[0])
        ignored = False
        for pattern, inherited in zip(self.patterns, above, strict=True):
            if pattern.negated is ignored and (inherited or pattern.matches(path)):
                ignored = not pattern.negated
        return ignored and path != "."

    def _above(self, folder: str) -> tuple[bool, ...]:
        """Which patterns match `folder` or one above it; kept, because a context has many files in a folder."""
        found = self._folders.get(folder)
        if found is not None:
            return found
        found = (False,) * len(self.patterns)
        for one in (*_parents(folder), folder) if folder else ():
            known = self._folders.get(one)
            if known is None:
                known = tuple(
                    inherited or pattern.matches(one) for inherited, pattern in zip(found, self.patterns, strict=True)
                )
                self._folders[one] = known
            found = known
        return found

    def below(self, parent: Sequence[bool], path: str) -> tuple[bool, tuple[bool, ...]]:
        """`ignores` for a walk from the root, as docker's clients walk.

        `parent` is the second result for the folder that `path` is in, empty in the root. What a folder matched holds
        for all below it. A pattern that could not change the folder's own verdict was not tried on it, so that below
        the folder it counts only by itself: there this differs from `ignores`, as it does in docker.
        """
        ignored = False
        matched: list[bool] = []
        for index, pattern in enumerate(self.patterns):
            found = bool(parent) and parent[index]
            if not found and pattern.negated is ignored:
                found = pattern.matches(path) or (not parent and any(map(pattern.matches, _parents(path))))
            matched.append(found)
            if found:
                ignored = not pattern.negated
        return ignored, tuple(matched)

    def may_count_below(self, folder: str) -> bool:
        """False where an ignored folder need not be walked: no negated pattern can match anything in it."""
        inside = folder + "/"
        for pattern in self.patterns:
            fixed = re.split(r"[*?\[\\]", pattern.text, maxsplit=1)[0]
            if pattern.negated and (fixed.startswith(inside) or inside.startswith(fixed)):
                return True
        return False


def ignore_lines(data: bytes | str) -> tuple[str, ...]:
    """The patterns of an ignore file, cleaned: comments and empty lines dropped, leading slashes removed."""
    text = data.decode("utf-8", "surrogateescape") if isinstance(data, bytes) else data
    patterns: list[str] = []
    for line in text.removeprefix("\ufeff").split("\n"):
        if len(line) > _LINE_BYTES:
            raise DockerfileError("error reading .dockerignore: bufio.Scanner: token too long")
        pattern = line.strip(SPACES)
        if line.startswith("#") or not pattern:
            continue
        negation = "!" if pattern.startswith("!") else ""
        pattern = pattern.removeprefix("!").strip(SPACES) if negation else pattern
        if pattern:
            pattern = _clean(pattern)
            pattern = pattern[1:] if len(pattern) > 1 and pattern.startswith("/") else pattern
        patterns.append(negation + pattern)
    return tuple(patterns)


def compile_ignore(patterns: Iterable[str]) -> Ignore:
    """Compile patterns, as `ignore_lines` gives them or a client sent them. Raises DockerfileError for a bad one."""
    return Ignore(tuple(_compile(text) for pattern in patterns if (text := pattern.strip(SPACES))))


def ignore_file_names(dockerfile: str) -> tuple[str, ...]:
    """The ignore files that hold for a Dockerfile at that path, best first: its own one, then the context's."""
    return f"{dockerfile}.dockerignore", ".dockerignore"


def select_ignore_file(dockerfile: str, existing: Collection[str]) -> str | None:
    """Which of the `existing` files is the Dockerfile's ignore file; None where it has none."""
    return next((name for name in ignore_file_names(dockerfile) if name in existing), None)


def _clean(pattern: str) -> str:
    """Go's filepath.Clean. Python's normpath keeps two leading slashes."""
    cleaned = posixpath.normpath(pattern)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _parents(path: str) -> tuple[str, ...]:
    """The folders above a path, the outermost first."""
    return tuple(path[:index] for index, character in enumerate(path) if character == "/" and index)


def _compile(pattern: str) -> _Pattern:
    text = _clean(pattern)
    negated = text.startswith("!")
    if text == "!":
        raise DockerfileError('illegal exclusion pattern: "!"')
    text = text[1:] if negated else text
    return _Pattern(text, negated, _matcher(text, _tokens(text)))


def _matcher(text: str, tokens: Sequence[_Token]) -> Callable[[str], bool]:
    """How a pattern matches a whole path. `**name` matches by the end of the path alone, even inside of a name."""
    plain = not any(character in "*?[]\\" for character in text.removeprefix("**").removesuffix("**"))
    if plain and text.startswith("**") and not text.endswith("**"):
        end = text[2:]
        return lambda path: path.endswith(end) or (end.startswith("/") and path == end[1:])
    if plain and text.endswith("**") and (text == "**" or not text.startswith("**")):
        start = text[:-2]
        return lambda path: path.startswith(start)
    if plain and "**" not in text:
        return lambda path: path == text
    if sum(token.repeated for token in tokens) <= _REGULAR_STARS:
        expression = re.compile("".join(token.expression for token in tokens))
        return lambda path: expression.fullmatch(path) is not None
    return _Automaton(tokens).matches


@dataclass(frozen=True, slots=True)
class _Token:
    """One character of a path or, if `repeated`, any number of them. `optional`: this and the next may be left out."""

    one: str  # a regular expression for one character
    repeated: bool = False
    optional: bool = False

    @property
    def expression(self) -> str:
        return f"(?:{self.one}*/)?" if self.optional else f"{self.one}*" if self.repeated else self.one


_IN_NAME, _ANYWHERE = "[^/]", "."


def _tokens(pattern: str) -> list[_Token]:
    """Raises DockerfileError where Go's filepath.Match calls the pattern malformed, or a range is empty."""
    tokens: list[_Token] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if pattern.startswith("**", position):
            position += 3 if pattern.startswith("/", position + 2) else 2
            tokens.append(_Token(_ANYWHERE, repeated=True, optional=position < len(pattern)))
            continue
        if character == "[":
            expression, position = _class(pattern, position + 1)
            tokens.append(_Token(expression))
            continue
        if character == "\\":
            position += 1
            if position == len(pattern):
                raise DockerfileError(_BAD)
            character = pattern[position]
            tokens.append(_Token(re.escape(character)))
        elif character in "*?":
            tokens.append(_Token(_IN_NAME, repeated=character == "*"))
        else:
            tokens.append(_Token(re.escape(character)))
        position += 1
    return tokens


def _class(pattern: str, position: int) -> tuple[str, int]:
    """The character class behind the bracket at `position`, and where it ends."""
    negated = pattern.startswith("^", position)
    position += negated
    members: list[str] = []
    while not members or not pattern.startswith("]", position):
        low, position = _member(pattern, position)
        high = low
        if pattern.startswith("-", position):
            high, position = _member(pattern, position + 1)
        if high < low:
            raise DockerfileError(_BAD)
        members.append(f"{re.escape(low)}-{re.escape(high)}")
    return f"[{'^' if negated else ''}{''.join(members)}]", position + 1


def _member(pattern: str, position: int) -> tuple[str, int]:
    """One character of a class, unescaped, and where it ends. Go takes neither `-` nor `]` unescaped."""
    if pattern.startswith(("-", "]"), position):
        raise DockerfileError(_BAD)
    position += pattern.startswith("\\", position)
    if position >= len(pattern):
        raise DockerfileError(_BAD)
    return pattern[position], position + 1


class _Automaton:
    """Matches in time linear in the path: all states at once, one bit each (the n-th: n tokens are behind)."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        # An optional `**/` is two states here: what repeats, and the slash.
        flat: list[_Token] = []
        self._optional = 0
        for token in tokens:
            if token.optional:
                self._optional |= 1 << len(flat)
            flat += (token, _Token("/")) if token.optional else (token,)
        self._ones = [re.compile(token.one) for token in flat]
        self._repeated = sum(1 << index for index, token in enumerate(flat) if token.repeated)
        self._masks: dict[str, int] = {}
        self._final = 1 << len(flat)

    def matches(self, path: str) -> bool:
        states = self._closed(1)
        for character in path:
            possible = states & self._mask(character)
            states = self._closed((possible & self._repeated) | ((possible & ~self._repeated) << 1))
        return bool(states & self._final)

    def _mask(self, character: str) -> int:
        """The tokens that take this character."""
        mask = self._masks.get(character)
        if mask is None:
            mask = sum(1 << index for index, one in enumerate(self._ones) if one.fullmatch(character))
            self._masks[character] = mask
        return mask

    def _closed(self, states: int) -> int:
        """All states that are reached without a character: behind what repeats, and behind what is optional."""
        while (more := states | ((states & self._repeated) << 1) | ((states & self._optional) << 2)) != states:
            states = more
        return states
