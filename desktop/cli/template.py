"""`--format`: the part of Go's text/template that people use with docker, over JSON values.

Text, fields (`.State.Status`), pipes, `if`/`else`/`range`/`with`/`end`, variables in `range`, and the functions below.
Values print as Go prints them: `[a b]`, `map[k:v]`, `true`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from desktop.cli.app import Failure

_ACTION = re.compile(r"(?s)\{\{(- )?\s*(.*?)\s*( -)?\}\}")
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\])*"|`[^`]*`)|(?P<number>-?\d+(?:\.\d+)?)"""
    r"""|(?P<punct>:=|[()|,])|(?P<name>\$?[\w]*(?:\.[\w]+)+|\.|\$[\w]*|[A-Za-z_]\w*))"""
)
_UNKNOWN = object()  # stands for a field that does not exist


class TemplateError(Failure):
    """The template does not parse, or names a field or function that does not exist."""


@dataclass
class _Node:
    """A piece of the template. `kind`: text, put, if, with, range; `text` is the text, or the expression."""

    kind: str
    text: str
    body: list[_Node] = field(default_factory=list)
    otherwise: list[_Node] = field(default_factory=list)


def render(template: str, value: object) -> str:
    """Raises TemplateError."""
    if template == "json":
        return to_json(value)
    return Template(template).render(value)


class Template:
    """A parsed template. Raises TemplateError."""

    def __init__(self, text: str) -> None:
        self._nodes = _parse(text.replace("\\t", "\t").replace("\\n", "\n"))

    def render(self, value: object) -> str:
        return "".join(_run(self._nodes, value, {"$": value}))


# --- parsing


def _parse(text: str) -> list[_Node]:
    top: list[_Node] = []
    stack: list[tuple[_Node, list[_Node]]] = []
    into = top
    at = 0
    trim = False
    for found in _ACTION.finditer(text):
        before = text[at : found.start()]
        before = before.lstrip() if trim else before
        before = before.rstrip() if found[1] else before
        if before:
            into.append(_Node("text", before))
        at, trim = found.end(), bool(found[3])
        word, _, rest = found[2].partition(" ")
        if word in ("if", "range", "with"):
            node = _Node(word, rest)
            into.append(node)
            stack.append((node, into))
            into = node.body
        elif word == "else":
            if not stack:
                raise TemplateError("template parsing error: unexpected {{else}}")
            into = stack[-1][0].otherwise
            if rest.startswith("if "):
                node = _Node("if", rest[3:])
                into.append(node)
                stack[-1] = (node, stack[-1][1])
                into = node.body
        elif word == "end":
            if not stack:
                raise TemplateError("template parsing error: unexpected {{end}}")
            into = stack.pop()[1]
        elif found[2].startswith("/*"):
            continue
        elif not found[2]:
            raise TemplateError("template parsing error: missing value for command")
        else:
            into.append(_Node("put", found[2]))
    if stack:
        raise TemplateError("template parsing error: unexpected EOF")
    rest = text[at:]
    if "{{" in rest:
        raise TemplateError("template parsing error: unclosed action")
    into.append(_Node("text", rest.lstrip() if trim else rest))
    return top


def _tokens(expression: str) -> list[str]:
    tokens, at = [], 0
    while expression[at:].strip():
        found = _TOKEN.match(expression, at)
        if found is None:
            raise TemplateError(f"template parsing error: unexpected {expression[at:].strip()[:10]!r}")
        tokens.append(found[0].strip())
        at = found.end()
    return tokens


# --- running

Names = Mapping[str, object]


def _run(nodes: Sequence[_Node], dot: object, names: Names) -> Iterator[str]:
    for node in nodes:
        if node.kind == "text":
            yield node.text
        elif node.kind == "put":
            yield go_text(_evaluate(node.text, dot, names))
        elif node.kind == "if":
            yield from _run(node.body if _truth(_evaluate(node.text, dot, names)) else node.otherwise, dot, names)
        elif node.kind == "with":
            value = _evaluate(node.text, dot, names)
            yield from _run(node.body, value, names) if _truth(value) else _run(node.otherwise, dot, names)
        else:
            yield from _range(node, dot, names)


def _range(node: _Node, dot: object, names: Names) -> Iterator[str]:
    """`range .X`, `range $i, $x := .X`."""
    variables: list[str] = []
    expression = node.text
    if ":=" in expression:
        left, _, expression = expression.partition(":=")
        variables = [name.strip() for name in left.split(",")]
    value = _evaluate(expression, dot, names)
    pairs: list[tuple[object, object]]
    if isinstance(value, Mapping):
        pairs = sorted(value.items())
    elif isinstance(value, list | tuple):
        pairs = list(enumerate(value))
    else:
        pairs = []
    if not pairs:
        yield from _run(node.otherwise, dot, names)
    for key, item in pairs:
        inner = dict(names)
        if len(variables) == 2:
            inner[variables[0]], inner[variables[1]] = key, item
        elif variables:
            inner[variables[0]] = item
        yield from _run(node.body, item, inner)


def _evaluate(expression: str, dot: object, names: Names) -> object:
    return _Evaluator(_tokens(expression), dot, names).pipeline()


class _Evaluator:
    def __init__(self, tokens: list[str], dot: object, names: Names) -> None:
        self._tokens = tokens
        self._dot = dot
        self._names = names

    def pipeline(self) -> object:
        value: object = _UNKNOWN
        while True:
            value = self._command(value)
            if not self._tokens or self._tokens[0] != "|":
                return None if value is _UNKNOWN else value
            self._tokens.pop(0)

    def _command(self, piped: object) -> object:
        word = self._tokens[0] if self._tokens else ""
        if word in FUNCTIONS:
            self._tokens.pop(0)
            arguments = self._arguments()
            if piped is not _UNKNOWN:
                arguments.append(piped)
            return _call(word, arguments)
        if re.fullmatch(r"[A-Za-z_]\w*", word) and word not in ("true", "false", "nil"):
            raise TemplateError(f'template parsing error: template: :1: function "{word}" not defined')
        value = self._operand()
        if callable(value):
            return value(*self._arguments())
        return value

    def _arguments(self) -> list[object]:
        found = []
        while self._tokens and self._tokens[0] not in ("|", ")"):
            found.append(self._operand())
        return found

    def _operand(self) -> object:
        if not self._tokens:
            raise TemplateError("template parsing error: missing value for command")
        token = self._tokens.pop(0)
        if token == "(":
            value = self.pipeline()
            if not self._tokens or self._tokens.pop(0) != ")":
                raise TemplateError("template parsing error: unclosed left paren")
            if self._tokens and re.fullmatch(r"(?:\.\w+)+", self._tokens[0]):
                value = _fields(value, self._tokens.pop(0)[1:].split("."))
            return value
        if token[0] == '"':
            return json.loads(token)
        if token[0] == "`":
            return token[1:-1]
        if re.fullmatch(r"-?\d+", token):
            return int(token)
        if re.fullmatch(r"-?\d+\.\d+", token):
            return float(token)
        if token in ("true", "false", "nil"):
            return {"true": True, "false": False, "nil": None}[token]
        if token in FUNCTIONS:
            return _call(token, [])
        start, *path = token.split(".")
        if start:
            if start not in self._names:
                raise TemplateError(f"template parsing error: undefined variable {start!r}")
            return _fields(self._names[start], path)
        return self._dot if token == "." else _fields(self._dot, path)


def _fields(value: object, path: Sequence[str]) -> object:
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            raise TemplateError(f'template: executing at <.{".".join(path)}>: map has no entry for key "{name}"')
        value = value[name]
    return value


def _call(name: str, arguments: list[object]) -> object:
    try:
        return FUNCTIONS[name](*arguments)
    except TemplateError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError) as e:
        raise TemplateError(f"template: executing: error calling {name}: {e}") from e


def _truth(value: object) -> bool:
    return bool(value)


def _index(value: Any, *keys: Any) -> object:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key, "")
        elif value is None:
            raise TemplateError("template: executing: error calling index: index of nil")
        else:
            try:
                value = value[key]
            except IndexError:
                raise TemplateError(
                    f"template: executing: error calling index: reflect: slice index out of range: {key}"
                ) from None
    return value


def _slice(value: Any, *bounds: int) -> Any:
    return value[slice(*bounds)] if len(bounds) == 2 else value[bounds[0] :]


def _printf(pattern: str, *values: object) -> str:
    return re.sub(r"%q", '"%s"', pattern.replace("%v", "%s")) % tuple(
        value if isinstance(value, int | float) and not isinstance(value, bool) else go_text(value) for value in values
    )


def to_json(value: object) -> str:
    if isinstance(value, Mapping):  # a list's line has a function among its fields (`.Label "x"`)
        value = {key: item for key, item in value.items() if not callable(item)}
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "json": to_json,
    "index": _index,
    "len": len,
    "slice": _slice,
    "join": lambda items, separator: separator.join(map(go_text, items or ())),
    "split": lambda text, separator: text.split(separator),
    "upper": lambda text: text.upper(),
    "lower": lambda text: text.lower(),
    "title": lambda text: text.title(),
    "pad": lambda text, before, after: " " * before + text + " " * after if text else text,
    "truncate": lambda text, length: text[:length],
    "print": lambda *values: "".join(map(_go_printed, values)),
    "println": lambda *values: " ".join(map(_go_printed, values)) + "\n",
    "printf": _printf,
    "not": lambda value: not value,
    "and": lambda *values: next((value for value in values if not value), values[-1]),
    "or": lambda *values: next((value for value in values if value), values[-1]),
    "eq": lambda first, *others: any(first == other for other in others),
    "ne": lambda first, other: first != other,
    "lt": lambda first, other: first < other,
    "le": lambda first, other: first <= other,
    "gt": lambda first, other: first > other,
    "ge": lambda first, other: first >= other,
}


def _go_printed(value: object) -> str:
    return go_text(value)


def go_text(value: object) -> str:
    """A value as Go's `%v` prints it."""
    if value is None or value is _UNKNOWN:
        return "[]"  # null in the API's JSON is nearly always an empty list, which Go prints like this
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{go_text(item)}' for key, item in sorted(value.items()))}]"
    if isinstance(value, list | tuple):
        return f"[{' '.join(map(go_text, value))}]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
