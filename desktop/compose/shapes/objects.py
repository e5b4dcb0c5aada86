"""Shapes of mappings with known keys, which become frozen dataclasses."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from desktop.compose.errors import ComposeError
from desktop.compose.shapes.base import Base, Shape, overlay, wrong
from desktop.compose.yamltree import RESET, Node


def of(shape: Shape, default: Any = "") -> Any:
    """A field of a dataclass that has a shape."""
    if isinstance(default, dict):
        return dataclasses.field(default_factory=dict, metadata={"shape": shape})
    return dataclasses.field(default=default, metadata={"shape": shape})


def extensions() -> Any:
    """The field for the keys that begin with `x-`."""
    return dataclasses.field(default_factory=dict, metadata={"extensions": True})


@dataclass(frozen=True)
class Object(Shape):
    """A mapping with known keys, whose value is the dataclass `kind`.

    `short` makes a mapping of other nodes; `keep` writes the value even if nothing in it is set (a struct in Go);
    `write` replaces how a value is written.
    """

    kind: type
    short: Callable[[Node, str], Node] | None = None
    keep: bool = False
    write: Callable[[Any, Any, bool], Any] | None = None
    check: Callable[[Node, str], None] | None = None
    required: tuple[str, ...] = ()
    complete: Callable[[Node, Base], Node] | None = None
    combine: Callable[[Node, Node], Node | None] | None = None

    def canonical(self, node: Node, base: Base, what: str) -> Node:
        if node.value is None:
            return node
        if self.short is not None and not node.is_mapping:
            node = self.short(node, what)
        if not node.is_mapping:
            raise wrong(node, what or "the file", "a mapping")
        shapes = shapes_of(self.kind)
        prefix = f"{what}." if what else ""
        found: dict[str, Node] = {}
        for name, item in node.value.items():
            if name.startswith("x-"):
                found[name] = item
            elif name not in shapes:
                raise _unknown(name, item, what, shapes)
            else:
                found[name] = item if item.tag == RESET else shapes[name].canonical(item, base, prefix + name)
        for name in self.required:
            if name not in found or found[name].value is None:
                raise ComposeError(f"{what} lacks its {name!r}", node.where)
        node = node.of(found)
        if self.check is not None:
            self.check(node, what)
        return self.complete(node, base) if self.complete is not None else node

    def merge(self, under: Node, over: Node) -> Node:
        if self.combine is not None and (combined := self.combine(under, over)) is not None:
            return combined
        shapes = shapes_of(self.kind)
        found = dict(under.value)
        for name, item in over.value.items():
            if name in found and name in shapes:
                found[name] = overlay(shapes[name], found[name], item)
            else:
                found[name] = item
        return over.of(found)

    def value(self, node: Node) -> Any:
        items = {name: item for name, item in (node.value or {}).items() if item.tag != RESET}
        given = {name: shape.value(items[name]) for name, shape in shapes_of(self.kind).items() if name in items}
        if _has_extensions(self.kind):
            given["extensions"] = {name: data_of(item) for name, item in items.items() if name.startswith("x-")}
        return self.kind(**given)

    def plain(self, value: Any, *, yaml: bool) -> Any:
        if self.write is not None:
            return self.write(self, value, yaml)
        return self.fields(value, yaml=yaml)

    def fields(self, value: Any, *, yaml: bool) -> dict[str, Any]:
        """The fields that are set, in the order of the dataclass."""
        found = {}
        for name, shape in shapes_of(self.kind).items():
            item = getattr(value, name)
            if (shape.always and not (yaml and item is None)) or not shape.is_empty(item, yaml=yaml):
                found[name] = shape.plain(item, yaml=yaml)
        if yaml and _has_extensions(self.kind):
            found.update(value.extensions)
        return found

    def is_empty(self, value: Any, *, yaml: bool) -> bool:
        if value is None:
            return True
        return self.keep and yaml and value == self.kind()


@functools.cache
def shapes_of(kind: type) -> Mapping[str, Shape]:
    """The shapes of a dataclass's fields, in their order."""
    return {field.name: field.metadata["shape"] for field in dataclasses.fields(kind) if "shape" in field.metadata}


@functools.cache
def _has_extensions(kind: type) -> bool:
    return any("extensions" in field.metadata for field in dataclasses.fields(kind))


def _unknown(name: str, item: Node, what: str, known: Mapping[str, Shape]) -> ComposeError:
    near = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return ComposeError(f"{f'{what} has' if what else 'there is'} an unknown key {name!r}{hint}", item.where)


def data_of(node: Node) -> Any:
    """A tree as plain data, for the user's own keys."""
    if node.is_mapping:
        return {name: data_of(item) for name, item in node.value.items() if item.tag != RESET}
    return [data_of(item) for item in node.value] if node.is_list else node.value
