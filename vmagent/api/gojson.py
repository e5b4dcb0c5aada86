"""What is wrong with a JSON text, in the words of Go's encoding/json, which clients of docker match on."""

from __future__ import annotations

import re

# The kinds of JSON values as Go names them, by the types that Python's json makes.
KINDS = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
_SPACE = " \t\r\n"
_LITERALS = {"t": "true", "f": "false", "n": "null"}
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_ESCAPES = '"\\/bfnrt'
_HEX_DIGITS = 4
_END = "unexpected EOF"


class _SyntaxError(Exception):
    """Go's words for the first fault."""


def fault(text: str) -> str:
    """The words for the first fault of `text`; Go's "unexpected EOF" if it ends too early. "" if there is none."""
    try:
        _value(text, _skip(text, 0))
    except _SyntaxError as e:
        return str(e)
    except RecursionError:
        return "exceeded max depth"
    return ""


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _wrong(text: str, at: int, context: str) -> _SyntaxError:
    if at >= len(text):
        return _SyntaxError(_END)
    shown = {"'": r"'\''", '"': "'\"'"}.get(text[at], repr(text[at]))
    return _SyntaxError(f"invalid character {shown} {context}")


def _value(text: str, at: int) -> int:
    """Where the value that begins at `at` ends. Raises _SyntaxError."""
    if at >= len(text):
        raise _SyntaxError(_END)
    first = text[at]
    if first == "{":
        return _members(text, at)
    if first == "[":
        return _elements(text, at)
    if first == '"':
        return _string(text, at)
    if first in _LITERALS:
        return _literal(text, at, _LITERALS[first])
    if match := _NUMBER.match(text, at):
        return match.end()
    if first == "-":
        raise _wrong(text, at + 1, "in numeric literal")
    raise _wrong(text, at, "looking for beginning of value")


def _literal(text: str, at: int, word: str) -> int:
    for offset, wanted in enumerate(word):
        if at + offset >= len(text) or text[at + offset] != wanted:
            raise _wrong(text, at + offset, f"in literal {word} (expecting '{wanted}')")
    return at + len(word)


def _string(text: str, at: int) -> int:
    at += 1
    while at < len(text):
        character = text[at]
        if character == '"':
            return at + 1
        if character < " ":
            raise _wrong(text, at, "in string literal")
        if character == "\\":
            at += 1
            if at < len(text) and text[at] == "u":
                for _ in range(_HEX_DIGITS):
                    at += 1
                    if at >= len(text) or text[at] not in "0123456789abcdefABCDEF":
                        raise _wrong(text, at, "in \\u hexadecimal character escape")
            elif at >= len(text) or text[at] not in _ESCAPES:
                raise _wrong(text, at, "in string escape code")
        at += 1
    raise _SyntaxError(_END)


def _members(text: str, at: int) -> int:
    at = _skip(text, at + 1)
    if text[at : at + 1] == "}":
        return at + 1
    while True:
        if text[at : at + 1] != '"':
            raise _wrong(text, at, "looking for beginning of object key string")
        at = _skip(text, _string(text, at))
        if text[at : at + 1] != ":":
            raise _wrong(text, at, "after object key")
        at = _skip(text, _value(text, _skip(text, at + 1)))
        if text[at : at + 1] == "}":
            return at + 1
        if text[at : at + 1] != ",":
            raise _wrong(text, at, "after object key:value pair")
        at = _skip(text, at + 1)


def _elements(text: str, at: int) -> int:
    at = _skip(text, at + 1)
    if text[at : at + 1] == "]":
        return at + 1
    while True:
        at = _skip(text, _value(text, at))
        if text[at : at + 1] == "]":
            return at + 1
        if text[at : at + 1] != ",":
            raise _wrong(text, at, "after array element")
        at = _skip(text, at + 1)
