"""Texts as Go's standard library treats them, because a Dockerfile's rules are defined by it."""

from __future__ import annotations

from collections.abc import Iterable

# unicode.IsSpace: Python's own str.isspace counts the separators U+001C to U+001F too.
SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_ESCAPES = {
    '"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f",
    "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip

_WORD_LENGTH = 64  # no keyword, name of a stage or argument that is worth a proposal is longer


def is_space(character: str) -> bool:
    return character in SPACES


def go_quote(text: str) -> str:
    """The text as Go's %q writes it."""
    return '"' + "".join(map(_quoted, text)) + '"'


def go_quote_rune(code: int) -> str:
    """A number as Go's %q writes it: the character of that code point, U+FFFD where there is none."""
    character = chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
    return "'\\''" if character == "'" else "'\"'" if character == '"' else f"'{_quoted(character)}'"


def _quoted(character: str) -> str:
    code = ord(character)
    if escape := _ESCAPES.get(character):
        return escape
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if character.isprintable():
        return character
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def distance(left: str, right: str) -> int:
    """The Levenshtein distance of two words."""
    row = list(range(len(right) + 1))
    for index, a in enumerate(left, 1):
        previous, row[0] = row[0], index
        for column, b in enumerate(right, 1):
            previous, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, previous + (a != b))
    return row[-1]


def nearest(word: str, options: Iterable[str], *, case_sensitive: bool = True) -> str:
    """The first of the `options` with the least distance from `word`, if that is at most two letters; else "".

    "" too where the word is one of them: then something else is wrong with it.
    """
    best, found = 3, ""
    wanted = word if case_sensitive else word.lower()
    if len(wanted) > _WORD_LENGTH:
        return ""
    for option in options:
        candidate = option if case_sensitive else option.lower()
        if candidate == wanted:
            return ""
        if abs(len(candidate) - len(wanted)) < best and (near := distance(wanted, candidate)) < best:
            best, found = near, candidate
    if case_sensitive:
        return found
    return found.lower() if word == word.lower() else found.upper() if word == word.upper() else found


def suggested(message: str, word: str, options: Iterable[str], *, case_sensitive: bool = True) -> str:
    """`message`, with a proposal where one of the `options` is near `word`."""
    found = nearest(word, options, case_sensitive=case_sensitive)
    return f"{message} (did you mean {found}?)" if found else message
