"""Variables in the values of a compose file: `$NAME`, `${NAME}`, and the forms with default, alternative, error.

The rules are those of the Compose specification, chapter "Interpolation". A form with a `:` treats an empty variable as
one that is not set.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from desktop.compose.errors import ComposeError
from desktop.compose.yamltree import Node

Lookup = Callable[[str], str | None]
_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_OPERATOR = re.compile(r":?[-+?]")


class BadTemplate(ValueError):
    """The text is no valid template, or a required variable is missing; str(self) says which."""


def substitute(text: str, lookup: Lookup, unset: Callable[[str], None]) -> str:
    """`text` with its variables replaced. `unset` gets the name of each variable that has neither value nor default.

    Raises BadTemplate.
    """
    if "$" not in text:
        return text
    parts: list[str] = []
    at = 0
    while (found := text.find("$", at)) >= 0:
        parts.append(text[at:found])
        follows = text[found + 1 : found + 2]
        if follows == "$":
            parts.append("$")
            at = found + 2
        elif follows == "{":
            end = _closing(text, found + 1)
            parts.append(_braced(text[found + 2 : end], lookup, unset))
            at = end + 1
        elif name := _NAME.match(text, found + 1):
            parts.append(_plain(name[0], lookup, unset))
            at = name.end()
        else:
            raise BadTemplate(f"{text!r} has a `$` without a variable's name; a `$` itself is written `$$`")
    parts.append(text[at:])
    return "".join(parts)


def _plain(name: str, lookup: Lookup, unset: Callable[[str], None]) -> str:
    value = lookup(name)
    if value is None:
        unset(name)
    return value or ""


def _closing(text: str, start: int) -> int:
    """The index of the brace that closes the one at `start`."""
    depth = 0
    for at in range(start, len(text)):
        if text[at] == "{":
            depth += 1
        elif text[at] == "}":
            depth -= 1
            if not depth:
                return at
    raise BadTemplate(f"{text!r} has a `${{` without its `}}`")


def _braced(inside: str, lookup: Lookup, unset: Callable[[str], None]) -> str:
    name = _NAME.match(inside)
    if not name:
        raise BadTemplate(f"`${{{inside}}}` has no variable's name")
    rest = inside[name.end() :]
    if not rest:
        return _plain(name[0], lookup, unset)
    operator = _OPERATOR.match(rest)
    if not operator:
        raise BadTemplate(f"`${{{inside}}}`: after the name comes `-`, `+` or `?`, with a `:` before it or not")
    word = rest[operator.end() :]
    value = lookup(name[0])
    counts = value is not None and (value != "" or operator[0][0] != ":")
    if operator[0][-1] == "+":
        return substitute(word, lookup, unset) if counts else (value or "")
    if counts:
        return value or ""
    told = substitute(word, lookup, unset)
    if operator[0][-1] == "-":
        return told
    raise BadTemplate(f"required variable {name[0]} is missing a value{f': {told}' if told else ''}")


def interpolate(node: Node, lookup: Lookup, unset: Callable[[str], None]) -> Node:
    """The tree with the variables of all its strings replaced; keys stay. Raises ComposeError."""
    value = node.value
    if isinstance(value, str):
        if "$" not in value:
            return node
        try:
            return node.of(substitute(value, lookup, unset))
        except BadTemplate as e:
            raise ComposeError(str(e), node.mark) from e
    if isinstance(value, dict):
        return node.of({key: interpolate(item, lookup, unset) for key, item in value.items()})
    if isinstance(value, tuple):
        return node.of(tuple(interpolate(item, lookup, unset) for item in value))
    return node
