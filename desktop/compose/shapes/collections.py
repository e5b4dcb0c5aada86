"""Shapes of lists, and of mappings whose keys are the user's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from desktop.compose import values
from desktop.compose.errors import ComposeError
from desktop.compose.shapes.base import Base, Shape, overlay, wrong
from desktop.compose.shapes.scalars import PathText, Text
from desktop.compose.yamltree import RESET, Node


@dataclass(frozen=True)
class Listing(Shape):
    """A list of values of one shape. `single`: one value may stand without its list.

    `key` gives the identity of an item: of several equal ones the last counts, at the first one's place. `expand` makes
    several items of one.
    """

    item: Shape
    single: bool = False
    key: Callable[[Node], object] | None = None
    expand: Callable[[Node, str], tuple[Node, ...]] | None = None
    distinct: bool = False

    def canonical(self, node: Node, base: Base, what: str) -> Node:
        if node.value is None:
            return node
        if not node.is_list:
            if not self.single or node.is_mapping:
                raise wrong(node, what, "a list")
            node = node.of((Node(node.value, node.mark),))
        items = node.value
        if self.expand is not None:
            items = tuple(one for at, item in enumerate(items) for one in self.expand(item, f"{what}[{at}]"))
        found = tuple(self.item.canonical(item, base, f"{what}[{at}]") for at, item in enumerate(items))
        if self.distinct:
            seen: dict[object, Node] = {}
            for item in found:
                if not item.is_mapping and seen.setdefault(item.value, item) is not item:
                    raise ComposeError(f"{what} has {item.value!r} twice", item.mark)
        return node.of(self._once(found))

    def merge(self, under: Node, over: Node) -> Node:
        return over.of(self._once((*under.value, *over.value)))

    def _once(self, items: tuple[Node, ...]) -> tuple[Node, ...]:
        if self.key is None:
            return items
        found: dict[object, Node] = {}
        for item in items:
            found[self.key(item)] = item
        return tuple(found.values())

    def value(self, node: Node) -> Any:
        return tuple(self.item.value(item) for item in node.value or ())

    def plain(self, value: Any, *, yaml: bool) -> Any:
        return [self.item.plain(item, yaml=yaml) for item in value]


def text_key(node: Node) -> object:
    """The identity of `NAME=VALUE`: its name."""
    return str(node.value).partition("=")[0]


def field_key(*names: str) -> Callable[[Node], object]:
    """The identity of a mapping: some of its values."""

    def key(node: Node) -> object:
        found = (node.get(name) for name in names)
        return tuple(values.go_text(item.value) if item is not None else "" for item in found)

    return key


@dataclass(frozen=True)
class Pairs(Shape):
    """Names with text: a mapping, or a list of `NAME=VALUE`. `nulls`: a name may lack its value, which is None then."""

    nulls: bool = False
    only_mapping: bool = False
    path: PathText | None = None
    need_value: bool = False

    def canonical(self, node: Node, base: Base, what: str) -> Node:
        if node.value is None:
            return node
        found: dict[str, Node] = {}
        if node.is_mapping:
            for name, item in node.value.items():
                if item.is_mapping or item.is_list:
                    raise wrong(item, f"{what}.{name}", "a string, a number or a boolean")
                found[name] = item.of(values.go_text(item.value)) if item.value is not None else item
        elif node.is_list and not self.only_mapping:
            for at, item in enumerate(node.value):
                if item.is_mapping or item.is_list or item.value is None:
                    raise wrong(item, f"{what}[{at}]", "a string NAME=VALUE")
                name, sign, text = values.go_text(item.value).partition("=")
                if self.need_value and not sign:
                    raise ComposeError(f"{what}[{at}] must be a string NAME=VALUE; it is {item.value!r}", item.mark)
                found[name] = item.of(text if sign else None)
        else:
            raise wrong(node, what, "a mapping" if self.only_mapping else "a mapping, or a list of NAME=VALUE")
        if self.path is not None:
            found = {name: self.path.canonical(item, base, f"{what}.{name}") for name, item in found.items()}
        return node.of(found)

    def merge(self, under: Node, over: Node) -> Node:
        return over.of({**under.value, **over.value})

    def value(self, node: Node) -> Any:
        items = (node.value or {}).items()
        return {k: v.value if v.value is not None or self.nulls else "" for k, v in items if v.tag != RESET}

    def plain(self, value: Any, *, yaml: bool) -> Any:
        return dict(sorted(value.items()))


@dataclass(frozen=True)
class Hosts(Shape):
    """`extra_hosts`: names with one or several addresses."""

    def canonical(self, node: Node, base: Base, what: str) -> Node:
        if node.value is None:
            return node
        found: dict[str, Node] = {}
        if node.is_mapping:
            for name, item in node.value.items():
                addresses = item.value if item.is_list else (Node(item.value or "", item.mark),)
                found[name] = item.of(
                    tuple(Text(numbers=True).canonical(one, base, f"{what}.{name}") for one in addresses)
                )
        elif node.is_list:
            for at, item in enumerate(node.value):
                text = values.go_text(item.value)
                sign = "=" if "=" in text else ":"
                name, sign, rest = text.partition(sign)
                if not sign:
                    raise ComposeError(f"{what}[{at}]: {text!r} has no address; HOST=IP is expected", item.mark)
                before = found[name].value if name in found else ()
                found[name] = item.of((*before, *(Node(one, item.mark) for one in rest.split(","))))
        else:
            raise wrong(node, what, "a mapping, or a list of HOST=IP")
        for name, item in found.items():
            if not name or ":" in name:
                raise ComposeError(f"{what}: {name!r} is no host name", item.where)
        return node.of(found)

    def merge(self, under: Node, over: Node) -> Node:
        found = dict(under.value)
        for name, item in over.value.items():
            before = found[name].value if name in found else ()
            known = {one.value for one in before}
            found[name] = item.of((*before, *(one for one in item.value if one.value not in known)))
        return over.of(found)

    def value(self, node: Node) -> Any:
        return {
            name: tuple(_bare_address(str(one.value)) for one in item.value)
            for name, item in (node.value or {}).items()
            if item.tag != RESET
        }

    def plain(self, value: Any, *, yaml: bool) -> Any:
        return sorted(f"{name}={address}" for name, addresses in value.items() for address in addresses)


def _bare_address(text: str) -> str:
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text


@dataclass(frozen=True)
class Named(Shape):
    """Names of the user's with values of one shape. `from_list` makes the value of a name that stands in a list."""

    item: Shape
    from_list: Callable[[Node], Node] | None = None
    nulls: bool = False  # a name's value may be empty, which is None then
    extensions: bool = False  # names that begin with `x-` are the user's notes
    name: str = ""

    def canonical(self, node: Node, base: Base, what: str) -> Node:
        if node.value is None:
            return node
        if node.is_list and self.from_list is not None:
            items = {}
            for at, one in enumerate(node.value):
                if not isinstance(one.value, str):
                    raise wrong(one, f"{what}[{at}]", "a string")
                items[one.value] = dataclasses.replace(self.from_list(one), key=one.mark)
            node = node.of(items)
        if not node.is_mapping:
            raise wrong(node, what, "a mapping" if self.from_list is None else "a mapping or a list")
        return node.of(
            {
                name: item if item.tag == RESET else self.item.canonical(item, base, f"{what}.{name}")
                for name, item in node.value.items()
            }
        )

    def merge(self, under: Node, over: Node) -> Node:
        found = dict(under.value)
        for name, item in over.value.items():
            found[name] = overlay(self.item, found[name], item) if name in found else item
        return over.of(found)

    def value(self, node: Node) -> Any:
        return {
            name: None if self.nulls and item.value is None else self.item.value(item)
            for name, item in (node.value or {}).items()
            if item.tag != RESET
        }

    def plain(self, value: Any, *, yaml: bool) -> Any:
        return {
            name: None if item is None else self.item.plain(item, yaml=yaml) for name, item in sorted(value.items())
        }


@dataclass(frozen=True)
class Command(Shape):
    """A command: a list of words, or a line to split. `shell`: a line stays whole, as CMD-SHELL (health checks)."""

    always: bool = False
    shell: bool = False

    def canonical(self, node: Node, base: Base, what: str) -> Node:
        if node.value is None:
            return node
        if isinstance(node.value, str):
            try:
                words = ("CMD-SHELL", node.value) if self.shell else values.split_command(node.value)
            except ValueError as e:
                raise ComposeError(f"{what}: {e}", node.where) from e
            return node.of(tuple(Node(word, node.mark) for word in words))
        if not node.is_list:
            raise wrong(node, what, "a string or a list of strings")
        return node.of(tuple(Text().canonical(one, base, f"{what}[{at}]") for at, one in enumerate(node.value)))

    def value(self, node: Node) -> Any:
        return None if node.value is None else tuple(str(one.value or "") for one in node.value)

    def plain(self, value: Any, *, yaml: bool) -> Any:
        return None if value is None else list(value)

    def is_empty(self, value: Any, *, yaml: bool) -> bool:
        return value is None if self.always else not value
