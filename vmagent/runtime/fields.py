"""Immutable records whose annotations are the one table of their fields.

Three things follow from the annotations of a `Record`: its constructor, its form on the JSON wire (a list in the order
of the fields), and its form in a request to the spawner, whose C reader `vmagent.native.header` generates from the same
table. The type checker sees typing.NamedTuple. At run time this module makes the same kind of class, because `typing`
costs the supervisor more memory than all the rest of its code.

Annotations: the scalar names of `SCALARS`, `str`, `Base64` (text here, bytes in a request), another record, a union
named by `union`, `tuple[X, ...]`, and `X | None`. Every other annotation is local: its value crosses the JSON wire as
it stands and is left out of requests.
"""

from __future__ import annotations

import binascii
import struct
import sys
from _collections import _tuplegetter  # type: ignore[import-not-found]  # what collections.namedtuple has for each field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any
    from typing import NamedTuple as Record

    Writer = Callable[["Request", Any], None]
    Converter = Callable[[Any], Any]

__all__ = ["SCALARS", "Kind", "Record", "Request", "Unfit", "describe", "fields_of", "from_wire"]
__all__ += ["kind_of", "members_of", "to_wire", "union"]

# The form of a number in a request: code of `struct`, type in C. A descriptor is sent as its position in the message.
SCALARS = {
    "bool": ("?", "uint8_t"),
    "U16": ("H", "uint16_t"),
    "U32": ("I", "uint32_t"),
    "U64": ("Q", "uint64_t"),
    "I64": ("q", "int64_t"),
}
_RECORDS: dict[str, Any] = {}
_UNIONS: dict[str, tuple[Any, ...]] = {}
_ENCODING = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()  # os.fsencode's
_count = struct.Struct("<Q").pack
_position = struct.Struct("<i").pack


class Kind:
    """What an annotation means. `word`: scalar, fd, str, base64, record, union, tuple, optional or local."""

    __slots__ = ("inner", "name", "word")

    def __init__(self, word: str, name: str = "", inner: Kind | None = None) -> None:
        self.word = word
        self.name = name  # of the scalar, the record or the union
        self.inner = inner

    @property
    def is_local(self) -> bool:
        return self.word == "local" or (self.inner is not None and self.inner.is_local)


def kind_of(annotation: str) -> Kind:
    text = annotation.strip()
    if text.endswith("| None"):
        return Kind("optional", inner=kind_of(text.removesuffix("| None")))
    if text.startswith("tuple[") and text.endswith(", ...]"):
        return Kind("tuple", inner=kind_of(text[6:-6]))
    if text in SCALARS:
        return Kind("scalar", text)
    if text in ("Fd", "str", "Base64"):
        return Kind(text.lower())
    if text in _RECORDS:
        return Kind("record", text)
    return Kind("union", text) if text in _UNIONS else Kind("local", text)


def fields_of(record: Any) -> list[tuple[str, Kind]]:
    """The fields of a record class, in their order."""
    return [(name, kind_of(record.__annotations__[name])) for name in record._fields]


def union(name: str, *members: Any) -> None:
    """Define `name` for annotations as any of these records; in a request a number before the record says which."""
    _UNIONS[name] = members


def members_of(name: str) -> tuple[Any, ...]:
    return _UNIONS[name]


def _constructor(fields: tuple[str, ...], defaults: dict[str, Any]) -> Callable[..., Any]:
    count, names = len(fields), {*fields}
    make = tuple.__new__

    def new(cls: Any, *args: Any, **named: Any) -> Any:
        if not named and len(args) == count:
            return make(cls, args)
        if not args and len(named) == count and named.keys() == names:
            return make(cls, [named[field] for field in fields])
        values = [*args]
        for field in fields[len(args) :]:
            if field in named:
                values.append(named.pop(field))
            elif field in defaults:
                values.append(defaults[field])
            else:
                raise TypeError(f"{cls.__name__} has no {field}")
        if named or len(values) != count:
            raise TypeError(f"{cls.__name__} has no field {[*named] or args[count:]}")
        return make(cls, values)

    return new


def _replace(self: Any, **changes: Any) -> Any:
    values = [changes.pop(name, value) for name, value in zip(self._fields, self, strict=True)]
    if changes:
        raise TypeError(f"{type(self).__name__} has no field {[*changes]}")
    return tuple.__new__(type(self), values)


def _asdict(self: Any) -> dict[str, Any]:
    return dict(zip(self._fields, self, strict=True))


def _repr(self: Any) -> str:
    return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in _asdict(self).items())})"


if not TYPE_CHECKING:

    class _Maker(type):
        """Make a subclass of tuple of a class body, as typing.NamedTuple does."""

        def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:
            if not bases:
                return super().__new__(cls, name, bases, body)
            fields = tuple(body.get("__annotations__", ()))
            defaults = {field: body[field] for field in fields if field in body}
            body.update({field: _tuplegetter(position, "") for position, field in enumerate(fields)})
            methods = {"_replace": _replace, "_asdict": _asdict, "__repr__": _repr}
            body.update(methods, __slots__=(), _fields=fields, __new__=_constructor(fields, defaults))
            made = type(name, (tuple,), body)
            _RECORDS[name] = made
            return made

    class Record(metaclass=_Maker):
        pass


# JSON


def to_wire(record: Any) -> list[Any]:
    """The record as a list for `vmagent.linux.compact_json`, which writes records inside of it as lists by itself."""
    values = [*record]
    for position, convert in _converters(type(record), _outgoing, _sender):
        if values[position] is not None:
            values[position] = convert(values[position])
    return values


def from_wire(record: Any, values: list[Any]) -> Any:
    """The record that was sent as `values`, which are not changed. Raises ValueError if their number differs."""
    values = [*values]
    if len(values) != len(record._fields):
        raise ValueError(f"{record.__name__}: {len(values)} fields, not {len(record._fields)}")
    for position, convert in _converters(record, _incoming, _receiver):
        if values[position] is not None:
            values[position] = convert(values[position])
    return tuple.__new__(record, values)


# For each record: (position, function) of the fields that differ from their JSON value.
_outgoing: dict[Any, list[tuple[int, Converter]]] = {}
_incoming: dict[Any, list[tuple[int, Converter]]] = {}


def _converters(
    record: Any, known: dict[Any, list[tuple[int, Converter]]], make: Callable[[Kind], Converter | None]
) -> list[tuple[int, Converter]]:
    found = known.get(record)
    if found is None:
        made = [(position, make(kind)) for position, (_, kind) in enumerate(fields_of(record))]
        found = known[record] = [(position, convert) for position, convert in made if convert is not None]
    return found


def _sender(kind: Kind) -> Converter | None:
    """Only a union needs one: the name of the record goes first."""
    if kind.word == "union":
        return lambda value: [type(value).__name__, *to_wire(value)]
    if kind.word == "record":
        record = _RECORDS[kind.name]
        return to_wire if _converters(record, _outgoing, _sender) else None
    inner = None if kind.inner is None else _sender(kind.inner)
    if inner is None or kind.word == "optional":
        return inner
    return lambda values: list(map(inner, values))


def _receiver(kind: Kind) -> Converter | None:
    if kind.word == "record":
        record = _RECORDS[kind.name]
        return lambda values: from_wire(record, values)
    if kind.word == "union":
        names = {member.__name__: member for member in _UNIONS[kind.name]}
        return lambda values: from_wire(names[values[0]], values[1:])
    if kind.inner is None:
        return None
    inner = _receiver(kind.inner)
    if kind.word == "optional":
        return inner
    return tuple if inner is None else lambda values: tuple(map(inner, values))


# Requests to the spawner


class Unfit(Exception):
    """A value that a request to the spawner cannot express."""


class Request:
    """The bytes so far, and the descriptors that go with them."""

    __slots__ = ("fds", "parts")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.fds: list[int] = []

    def add(self, record: Any) -> None:
        """Append a record. Raises Unfit, struct.error, TypeError, UnicodeEncodeError."""
        _write_record(self, record)


def _write_record(request: Request, record: Any) -> None:
    writers = _writers.get(type(record))
    if writers is None:
        writers = _writers[type(record)] = _writers_of(type(record))
    for fields, write in writers:
        write(request, record[fields])


# For each record: (a field, or a run of numbers or of texts; what writes it)
_writers: dict[Any, list[tuple[int | slice, Writer]]] = {}


def _writers_of(record: Any) -> list[tuple[int | slice, Writer]]:
    """One call of a writer for each run of numbers or of texts, one for each other field."""
    result: list[tuple[int | slice, Writer]] = []
    kinds = [kind for _, kind in fields_of(record)]
    position = 0
    while position < len(kinds):
        kind, end = kinds[position], position + 1
        while kind.word in ("scalar", "str") and end < len(kinds) and kinds[end].word == kind.word:
            end += 1
        if kind.word == "scalar":
            codes = "".join(SCALARS[each.name][0] for each in kinds[position:end])
            result.append((slice(position, end), _numbers_writer(codes)))
        elif end > position + 1:
            result.append((slice(position, end), _write_texts))
        elif not kind.is_local:
            result.append((position, _writer(kind)))
        position = end
    return result


def _numbers_writer(codes: str) -> Writer:
    pack = struct.Struct("<" + codes).pack
    return lambda request, values: request.parts.append(pack(*values))


def _writer(kind: Kind) -> Writer:
    if kind.word == "scalar":
        pack = struct.Struct("<" + SCALARS[kind.name][0]).pack
        return lambda request, value: request.parts.append(pack(value))
    if kind.word == "optional":
        return _optional_writer(kind.inner)
    if kind.word == "tuple":
        return _tuple_writer(kind.inner)
    simple: dict[str, Writer] = {"fd": _write_fd, "str": _write_str, "base64": _write_base64, "record": _write_record}
    return _union_writer(kind.name) if kind.word == "union" else simple[kind.word]


def _write_fd(request: Request, fd: int) -> None:
    if fd < 0:
        request.parts.append(_position(-1))
        return
    request.parts.append(_position(len(request.fds)))
    request.fds.append(fd)


def _write_str(request: Request, text: str) -> None:
    if "\0" in text:
        raise Unfit(text)
    request.parts.append(text.encode(*_ENCODING) + b"\0")


def _write_texts(request: Request, texts: tuple[str, ...]) -> None:
    joined = "\0".join(texts)
    if joined.count("\0") != len(texts) - 1:
        raise Unfit(joined)
    request.parts.append(joined.encode(*_ENCODING) + b"\0")


def _write_base64(request: Request, text: str) -> None:
    raw = binascii.a2b_base64(text)
    request.parts.append(_count(len(raw)) + raw)


def _write_strs(request: Request, texts: tuple[str, ...]) -> None:
    request.parts.append(_count(len(texts)))
    if texts:
        _write_texts(request, texts)


def _optional_writer(inner: Kind | None) -> Writer:
    assert inner is not None
    write = _writer(inner)

    def write_optional(request: Request, value: Any) -> None:
        request.parts.append(b"\0" if value is None else b"\1")
        if value is not None:
            write(request, value)

    return write_optional


def _tuple_writer(inner: Kind | None) -> Writer:
    assert inner is not None
    if inner.word == "str":
        return _write_strs
    if inner.word == "scalar":
        code = SCALARS[inner.name][0]
        return lambda request, values: request.parts.append(
            _count(len(values)) + struct.pack(f"<{len(values)}{code}", *values)
        )
    write = _writer(inner)

    def write_tuple(request: Request, values: tuple[Any, ...]) -> None:
        request.parts.append(_count(len(values)))
        for value in values:
            write(request, value)

    return write_tuple


def _union_writer(name: str) -> Writer:
    numbers = {member: bytes([number]) for number, member in enumerate(_UNIONS[name])}

    def write_union(request: Request, value: Any) -> None:
        request.parts.append(numbers[type(value)])
        _write_record(request, value)

    return write_union


def describe(records: Iterable[Any]) -> str:
    """The table of these records as text, a line for each field; the version word is its checksum."""
    lines = [f"{record.__name__}.{name}: {kind}" for record in records for name, kind in record.__annotations__.items()]
    return "\n".join(lines)
