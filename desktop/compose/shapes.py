"""What a value of a compose file may look like: checks, the long form of short syntax, merging, and the typed value.

A shape has four verbs. `canonical` checks a node and brings it to its long form. `merge` lays one canonical node over
another (the specification, chapter "Merge and override"). `value` makes the frozen value that the rest of Cove sees.
`plain` writes a value back as data, in one of two dialects: what `docker compose config` prints as YAML, and what Go's
`encoding/json` makes of the same value, which is also what a service's hash is computed from.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import os.path
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from desktop.compose import values
from desktop.compose.errors import ComposeError
from desktop.compose.yamltree import OVERRIDE, RESET, Node


@dataclass(frozen=True, slots=True)
class Base:
    """The folder that relative paths of a file are based on; None leaves them as they are."""

    folder: str | None
    home: str = ""

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
        return node.of(os.path.realpath(path) if self.real and base.folder is not None else path)


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
    """Bytes."""

    wanted = "a size like 64m"

    def parse(self, text: str) -> int:
        return values.parse_size(text)

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
