"""A logical line's first cut: keyword, flags, and arguments by the instruction's own form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from vmagent.dockerfile.errors import DockerfileError
from vmagent.dockerfile.text import SPACES, go_quote, is_space
from vmagent.dockerfile.tree import Escape

_BLANKS = re.compile(r"[\t\v\f\r ]+")


@dataclass(frozen=True, slots=True)
class Words:
    """`rest` is the text behind the flags; `arguments` is it cut by the instruction's form; `json` for the JSON form.

    ENV and LABEL have their arguments in threes: key, value, and "=" or "" for the legacy form.
    """

    keyword: str
    flags: tuple[str, ...]
    rest: str
    arguments: tuple[str, ...]
    json: bool

    @property
    def name(self) -> str:
        return self.keyword.lower()


def split_instruction(text: str, escape: Escape) -> Words:
    """Cut a logical line. Raises DockerfileError. An unknown keyword has no arguments."""
    keyword, *behind = _BLANKS.split(text.strip(SPACES), maxsplit=1)
    flags: list[str] = []
    rest = ""
    if behind:
        flags, rest = _flags(behind[0], escape)
        rest = rest.strip(SPACES)
    arguments, is_json = _FORMS.get(keyword.lower(), _ignored)(rest, escape)
    return Words(keyword, tuple(flags), rest, tuple(arguments), is_json)


def _flags(text: str, escape: Escape) -> tuple[list[str], str]:
    """The leading words that begin with `--`, quotes removed, and what follows. A lone `--` ends them."""
    flags: list[str] = []
    position = 0
    while True:
        while position < len(text) and is_space(text[position]):
            position += 1
        if not text.startswith("--", position):
            return flags, text[position:]
        word, position, quoted = _flag(text, position, escape)
        if word == "--":
            return flags, text[position:]
        if word or quoted:
            flags.append(word)


def _flag(text: str, position: int, escape: Escape) -> tuple[str, int, bool]:
    """One word from `position`: the word, where it ends, whether a part of it was quoted."""
    word: list[str] = []
    quote = ""
    quoted = False
    while position < len(text):
        character = text[position]
        if not quote and is_space(character):
            break
        if character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote, quoted = character, True
        elif character == escape:
            if position + 1 == len(text):
                quote = ""
            else:
                position += 1
                word.append(text[position])
        else:
            word.append(character)
        position += 1
    return "".join(word), position, quoted


_Cut = tuple[list[str], bool]


def _ignored(rest: str, escape: Escape) -> _Cut:
    return [], False


def _whole(rest: str, escape: Escape) -> _Cut:
    return ([rest] if rest else []), False


def _by_blanks(rest: str, escape: Escape) -> _Cut:
    return (_BLANKS.split(rest) if rest else []), False


def _quoted_words(rest: str, escape: Escape) -> _Cut:
    return _words(rest, escape), False


def _json_or_whole(rest: str, escape: Escape) -> _Cut:
    found = _json_array(rest)
    return (found, True) if found is not None else _whole(rest, escape)


def _json_or_blanks(rest: str, escape: Escape) -> _Cut:
    found = _json_array(rest)
    return (found, True) if found is not None else _by_blanks(rest, escape)


def _health(rest: str, escape: Escape) -> _Cut:
    kind, command = _first_word(rest)
    if not kind:
        return [], False
    arguments, is_json = _json_or_whole(command, escape)
    return [kind, *arguments], is_json


def _first_word(text: str) -> tuple[str, str]:
    end = next((index for index, character in enumerate(text) if is_space(character)), len(text))
    return text[:end], text[end:].lstrip(SPACES)


def _trigger(rest: str, escape: Escape) -> _Cut:
    """ONBUILD: the words of the instruction behind it."""
    if not rest:
        return [], False
    keyword = _BLANKS.split(rest, maxsplit=1)[0]
    if keyword.lower() == "onbuild":  # refused later; cutting it again would go as deep as the line repeats it
        return [keyword], False
    inner = split_instruction(rest, escape)
    return [inner.keyword, *inner.arguments], inner.json


def _json_array(text: str) -> list[str] | None:
    """The strings of a JSON array; None where the text is not one. Raises DockerfileError for other elements."""
    if not text.startswith("["):
        return None
    try:
        values = json.loads(text, parse_int=float)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(value, str) for value in values):
        raise DockerfileError("when using JSON array syntax, arrays must be comprised of strings only")
    return list(values)


def _pairs(name: str) -> Callable[[str, Escape], _Cut]:
    def cut(rest: str, escape: Escape) -> _Cut:
        words = _words(rest, escape)
        if not words:
            return [], False
        if "=" not in words[0]:
            parts = _BLANKS.split(rest, maxsplit=1)
            if len(parts) < 2:
                raise DockerfileError(f"{name} must have two arguments")
            return [*parts, ""], False
        arguments: list[str] = []
        for word in words:
            key, sign, value = word.partition("=")
            if not sign:
                raise DockerfileError(
                    f"Syntax error - can't find = in {go_quote(word)}. Must be of the form: name=value"
                )
            arguments += [key, value, "="]
        return arguments, False

    return cut


def _words(text: str, escape: Escape) -> list[str]:
    """Words at spaces outside of quotes. Quotes and escapes stay: expansion removes them."""
    words: list[str] = []
    word: list[str] = []
    quote = ""
    position = 0
    while position < len(text):
        character = text[position]
        if not quote and is_space(character):
            if word:
                words.append("".join(word))
                word = []
        elif character == escape and quote != "'":
            if position + 1 == len(text):
                break
            word += (character, text[position + 1])
            position += 1
        else:
            if character == quote:
                quote = ""
            elif not quote and character in "'\"":
                quote = character
            word.append(character)
        position += 1
    if word:
        words.append("".join(word))
    return words


_FORMS: dict[str, Callable[[str, Escape], _Cut]] = {
    "add": _json_or_blanks,
    "arg": _quoted_words,
    "cmd": _json_or_whole,
    "copy": _json_or_blanks,
    "entrypoint": _json_or_whole,
    "env": _pairs("ENV"),
    "expose": _by_blanks,
    "from": _by_blanks,
    "healthcheck": _health,
    "label": _pairs("LABEL"),
    "maintainer": _whole,
    "onbuild": _trigger,
    "run": _json_or_whole,
    "shell": _json_or_whole,
    "stopsignal": _whole,
    "user": _whole,
    "volume": _json_or_blanks,
    "workdir": _whole,
}
KEYWORDS = tuple(name.upper() for name in _FORMS)
