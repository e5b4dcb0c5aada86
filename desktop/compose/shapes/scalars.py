"""Shapes of single values: texts, paths, numbers, sizes, durations."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from desktop.compose import values
from desktop.compose.errors import ComposeError
from desktop.compose.shapes.base import Base, Shape, kind_of, wrong
from desktop.compose.yamltree import Node


@dataclass(frozen=True)
class Text(Shape):
    """A string. `numbers`: numbers and booleans are taken as their text."""

    numbers: bool = False
    optional: bool = False  # an empty value is None, not ""

    def canonical(self, node: Node, base: Base, what: str) -> Node:
        value = node.value
        if value is None or isinstance(value, str):
            return node
        if self.numbers and isinstance(value, int | float):
            return node.of(values.go_text(value))
        raise wrong(node, what, "a string or a number" if self.numbers else "a string")

    def value(self, node: Node) -> Any:
        return node.value if self.optional else node.value or ""


@dataclass(frozen=True)
class Choice(Text):
    """One of some words."""

    words: tuple[str, ...] = ()

    def canonical(self, node: Node, base: Base, what: str) -> Node:
        if node.value is not None and node.value not in self.words:
            near = difflib.get_close_matches(str(node.value), self.words, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ComposeError(
                f"{what} must be one of {', '.join(self.words)}; it is {kind_of(node)}{hint}", node.where
            )
        return node


@dataclass(frozen=True)
class PathText(Text):
    """A path on this machine. `remote`: it may be an address, a service or an image instead. `real`: without symbolic
    links. `unix`: a Linux path stays one on Windows."""

    remote: bool = False
    real: bool = False
    unix: bool = False

    def canonical(self, node: Node, base: Base, what: str) -> Node:
        node = super().canonical(node, base, what)
        text = node.value
        if text is None or (self.remote and is_remote(text)):
            return node
        path = base.unix_path(text) if self.unix else base.path(text)
        return node.of(base.real_path(path) if self.real and base.folder is not None else path)


def is_remote(text: str) -> bool:
    """A build context that is no folder of this machine."""
    return "://" in text or text.startswith(("service:", "git@", "github.com/"))


@dataclass(frozen=True)
class Bool(Shape):
    """`optional`: absent (None) and false differ."""

    optional: bool = False

    def canonical(self, node: Node, base: Base, what: str) -> Node:
        if node.value is None or isinstance(node.value, bool):
            return node
        if isinstance(node.value, str):
            try:
                return node.of(values.parse_bool(node.value))
            except ValueError:
                pass  # reported below, with its place
        raise wrong(node, what, "true or false")

    def value(self, node: Node) -> Any:
        return node.value if self.optional else bool(node.value)

    def is_empty(self, value: Any, *, yaml: bool) -> bool:
        return value is None or (value is False and not self.optional)


@dataclass(frozen=True)
class Int(Shape):
    """A whole number, in text too. `optional`: absent (None) and 0 differ."""

    optional: bool = False
    least: int | None = None

    def canonical(self, node: Node, base: Base, what: str) -> Node:
        value = node.value
        if isinstance(value, str):
            try:
                value = int(value, 8 if value.startswith("0") and value.isdecimal() and what.endswith("mode") else 10)
            except ValueError:
                value = None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if node.value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise wrong(node, what, "a whole number")
        if value is not None and self.least is not None and value < self.least:
            raise ComposeError(f"{what} must be {self.least} or more; it is {value}", node.where)
        return node.of(value)

    def value(self, node: Node) -> Any:
        return node.value if self.optional else node.value or 0

    def is_empty(self, value: Any, *, yaml: bool) -> bool:
        return value is None or (value == 0 and not self.optional)


@dataclass(frozen=True)
class Float(Shape):
    """A number."""

    def canonical(self, node: Node, base: Base, what: str) -> Node:
        value = node.value
        if isinstance(value, str):
            try:
                return node.of(float(value))
            except ValueError:
                raise wrong(node, what, "a number") from None
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise wrong(node, what, "a number")
        return node

    def value(self, node: Node) -> Any:
        return float(node.value or 0)

    def plain(self, value: Any, *, yaml: bool) -> Any:
        return values.shortest_float32(value)


class _Parsed(Shape):
    """A string, or a number, that a function of `values` reads."""

    wanted = ""

    def parse(self, text: str) -> int:
        raise NotImplementedError

    def canonical(self, node: Node, base: Base, what: str) -> Node:
        value = node.value
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return node
        if not isinstance(value, str):
            raise wrong(node, what, self.wanted)
        try:
            return node.of(self.parse(value))
        except ValueError as e:
            raise ComposeError(f"{what}: {e}", node.where) from e


@dataclass(frozen=True)
class Size(_Parsed):
    """Bytes, `least` or more."""

    least: int | None = None

    wanted = "a size like 64m"

    def parse(self, text: str) -> int:
        return values.parse_size(text)

    def canonical(self, node: Node, base: Base, what: str) -> Node:
        found = super().canonical(node, base, what)
        if self.least is not None and found.value is not None and found.value < self.least:
            raise ComposeError(f"{what} must be greater than or equal to {self.least}", node.where)
        return found

    def value(self, node: Node) -> Any:
        return node.value or 0

    def plain(self, value: Any, *, yaml: bool) -> Any:
        return str(value)


@dataclass(frozen=True)
class Duration(_Parsed):
    """Nanoseconds; None where it is absent."""

    required = False
    wanted = "a duration like 1m30s"

    def parse(self, text: str) -> int:
        return values.parse_duration(text)

    def canonical(self, node: Node, base: Base, what: str) -> Node:
        if isinstance(node.value, int) and not isinstance(node.value, bool):
            node = node.of(str(node.value))  # only "0" is a duration without its unit
        return super().canonical(node, base, what)

    def plain(self, value: Any, *, yaml: bool) -> Any:
        return values.duration_text(value)

    def is_empty(self, value: Any, *, yaml: bool) -> bool:
        return value is None


@dataclass(frozen=True)
class ZeroDuration(Duration):
    """A duration that is left out if it is 0."""

    def is_empty(self, value: Any, *, yaml: bool) -> bool:
        return not value


@dataclass(frozen=True)
class Count(Shape):
    """How many devices: a number, or `all` (-1)."""

    def canonical(self, node: Node, base: Base, what: str) -> Node:
        if isinstance(node.value, str) and node.value.lower() == "all":
            return node.of(-1)
        return Int().canonical(node, base, what)

    def value(self, node: Node) -> Any:
        return node.value or 0
