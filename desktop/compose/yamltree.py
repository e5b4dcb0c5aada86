"""YAML text as a tree of values that know their place in the file.

Scalars have the types of YAML 1.2's core schema, as Compose files are read: `yes` and `22:22` are strings, `0777` and
`0o777` are octal. Anchors, aliases, merge keys (`<<`) and the Compose specification's tags `!reset` and `!override` are
known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from desktop.compose.errors import ComposeError, Mark

RESET = "!reset"
OVERRIDE = "!override"
_PLAIN = "plain"  # the tag of a scalar without quotes and without a tag
_NODE_LIMIT = 3_000_000  # aliases of aliases can describe more values than any memory holds
_INT = re.compile(r"[-+]?(0b[01]+|0o?[0-7]+|0x[0-9a-fA-F]+|[1-9][0-9]*|0)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_CONSTANTS: Mapping[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its place. `value`: None, str, bool, int, float, a tuple of nodes, or a mapping of names to nodes.

    `key` is the place of the key whose value this is; `tag` is RESET, OVERRIDE or empty.
    """

    value: Any
    mark: Mark
    key: Mark | None = None
    tag: str = ""

    def of(self, value: Any) -> Node:
        """Another value at the same place."""
        return Node(value, self.mark, self.key, self.tag)

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        return isinstance(self.value, tuple)

    @property
    def where(self) -> Mark:
        """The place to name in an error: the key's, if it is the value of one."""
        return self.key or self.mark

    def get(self, *path: str) -> Node | None:
        """The node below, None if a key is missing."""
        node: Node | None = self
        for name in path:
            node = node.value.get(name) if node is not None and isinstance(node.value, dict) else None
        return node


def resolve_plain(text: str) -> object:
    """The value of a scalar that is written without quotes."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in "-+.0123456789":
        return text
    bare = text.replace("_", "")
    if _INT.fullmatch(bare):
        sign, digits = (-1 if bare[0] == "-" else 1), bare.lstrip("+-").lower()
        if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
            digits = "0o" + digits[1:]
        return sign * int(digits, 0)
    return float(bare) if _FLOAT.fullmatch(bare) else text


def parse(text: str, name: str) -> Iterator[Node]:
    """The documents of a YAML stream. Raises ComposeError for malformed YAML, `name` is the file's in messages."""
    loader = _Loader(text)
    try:
        while loader.check_node():
            found = loader.get_node()
            if found is not None:
                yield _Builder(name).build(found)
    except yaml.MarkedYAMLError as e:
        place = e.problem_mark or e.context_mark
        mark = Mark(name, place.line + 1, place.column + 1) if place else None
        context = f" ({e.context})" if e.context else ""
        raise ComposeError(f"this is not valid YAML: {e.problem}{context}", mark) from e
    except yaml.YAMLError as e:
        raise ComposeError(f"this is not valid YAML: {e}", Mark(name, 1, 1)) from e
    except RecursionError as e:
        raise ComposeError("the values are nested too deeply", Mark(name, 1, 1)) from e
    finally:
        loader.dispose()


_Parent: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # PyYAML has its C parser where libyaml was there


class _Loader(_Parent):  # type: ignore[misc]  # which class it is depends on how PyYAML was built
    """Gives scalars without quotes a tag of their own, and leaves the choice of a type to `resolve_plain`."""

    def resolve(self, kind: type, value: str, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else "tag:yaml.org,2002:str"
        return "tag:yaml.org,2002:seq" if kind is yaml.SequenceNode else "tag:yaml.org,2002:map"


class _Builder:
    """Turns PyYAML's nodes into ours."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._open: set[int] = set()
        self._built: dict[
            int, tuple[Node, int]
        ] = {}  # by the identity of PyYAML's node: ours, and how many it stands for
        self._count = 0  # of the values built so far, aliases spelled out

    def build(self, node: yaml.Node, key: Mark | None = None) -> Node:
        mark = self._mark(node)
        if isinstance(node, yaml.ScalarNode):
            self._count += 1
            return self._scalar(node, mark, key)
        if id(node) in self._open:
            raise ComposeError("this alias stands within the value that it names", key or mark)
        if id(node) not in self._built:
            before = self._count
            self._built[id(node)] = (self._collection(node, mark), self._count - before)
        else:
            self._count += self._built[id(node)][1]
        if self._count > _NODE_LIMIT:
            raise ComposeError("the aliases of this file describe too many values", mark)
        built = self._built[id(node)][0]
        return Node(built.value, built.mark, key, built.tag)

    def _collection(self, node: yaml.Node, mark: Mark) -> Node:
        self._count += 1
        self._open.add(id(node))
        tag = node.tag if node.tag in (RESET, OVERRIDE) else ""
        value: Any
        if isinstance(node, yaml.SequenceNode):
            value = tuple(self.build(item) for item in node.value)
        else:
            assert isinstance(node, yaml.MappingNode)
            value = self._mapping(node)
        self._open.discard(id(node))
        return Node(value, mark, None, tag)

    def _mark(self, node: yaml.Node) -> Mark:
        return Mark(self._name, node.start_mark.line + 1, node.start_mark.column + 1)

    def _scalar(self, node: yaml.ScalarNode, mark: Mark, key: Mark | None) -> Node:
        tag = node.tag
        if tag in (RESET, OVERRIDE):
            return Node(resolve_plain(node.value) if node.style is None else node.value, mark, key, tag)
        if tag == _PLAIN:
            return Node(resolve_plain(node.value), mark, key)
        kind = tag.removeprefix("tag:yaml.org,2002:")
        if kind in ("int", "float", "bool", "null"):
            value = resolve_plain(node.value)
            return Node(float(value) if kind == "float" and isinstance(value, int) else value, mark, key)
        return Node(node.value, mark, key)

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Node]:
        items: dict[str, Node] = {}
        merged: list[yaml.Node] = []
        for name, value in node.value:
            mark = self._mark(name)
            if not isinstance(name, yaml.ScalarNode):
                raise ComposeError("a key must be a string", mark)
            if name.value == "<<" and name.tag == _PLAIN:
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
                continue
            if name.value in items:
                before = items[name.value].where
                raise ComposeError(f"the key {name.value!r} is there already, in line {before.line}", mark)
            items[name.value] = self.build(value, mark)
        for value in merged:
            base = self.build(value)
            if not isinstance(base.value, dict):
                raise ComposeError("the value of `<<` must be a mapping, or a list of mappings", base.mark)
            for key, item in base.value.items():
                items.setdefault(key, item)
        return items
