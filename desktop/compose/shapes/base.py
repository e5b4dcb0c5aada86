"""What all shapes have in common."""

from __future__ import annotations

import dataclasses
import os.path
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from desktop.compose import values
from desktop.compose.errors import ComposeError
from desktop.compose.yamltree import OVERRIDE, RESET, Node


@dataclass(frozen=True, slots=True)
class Base:
    """The folder that relative paths of a file are based on; None leaves them as they are. `real_path` frees a path
    of symbolic links."""

    folder: str | None
    home: str = ""
    real_path: Callable[[str], str] = os.path.realpath

    def path(self, text: str) -> str:
        if self.folder is None:
            return text
        if text == "~" or text.startswith(("~/", "~\\")):
            text = os.path.join(self.home, text[2:])
        return text if not text or os.path.isabs(text) else os.path.normpath(os.path.join(self.folder, text))

    def unix_path(self, text: str) -> str:
        """The same for a path that may be a Linux or a Windows one, whichever system this is; empty is the folder."""
        if self.folder is None or text.startswith(("/", "\\\\")) or (text[1:3] in (":\\", ":/") and text[0].isalpha()):
            return text
        return self.path(text) or self.folder


def kind_of(node: Node) -> str:
    """The type of a value, in the words of a message."""
    if node.is_mapping:
        return "a mapping"
    if node.is_list:
        return "a list"
    if node.value is None:
        return "empty"
    if isinstance(node.value, bool):
        return f"{values.go_text(node.value)}, a boolean"
    return (
        f"{values.go_text(node.value)}, a number"
        if isinstance(node.value, int | float)
        else f"the string {node.value!r}"
    )


def wrong(node: Node, what: str, wanted: str) -> ComposeError:
    return ComposeError(f"{what} must be {wanted}; it is {kind_of(node)}", node.where)


class Shape:
    """The base of all: a value that is taken as it is."""

    always = False  # it is written even if it is empty

    def canonical(self, node: Node, base: Base, what: str) -> Node:
        """Raises ComposeError; `what` is the value's path in messages."""
        return node

    def merge(self, under: Node, over: Node) -> Node:
        return over

    def value(self, node: Node) -> Any:
        return node.value

    def plain(self, value: Any, *, yaml: bool) -> Any:
        return value

    def is_empty(self, value: Any, *, yaml: bool) -> bool:
        """It is left out when written."""
        return value is None or value == "" or value == 0 or value == () or value == {}


def overlay(shape: Shape, under: Node, over: Node) -> Node:
    """`over` laid over `under`, with `!override` and `!reset` obeyed."""
    if over.tag == OVERRIDE:
        return dataclasses.replace(over, tag="")
    if over.tag == RESET:
        return over
    if over.value is None and under.value is not None:
        return under
    if under.value is None or under.tag == RESET:
        return over
    return shape.merge(under, over)
