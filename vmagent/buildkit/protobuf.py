"""Messages of protocol buffers as Python classes: a declaration is the message's one description, no generator runs.

    @message("fsutil.types.Stat")
    class Stat(Message):
        path: Annotated[str, 1]
        xattrs: Annotated[dict[str, bytes], 10]

The decorator returns the class that protobuf's C library makes of the declaration, so `Stat(path="a").path` is that
library's code; for mypy it stays the class as declared. Types: str, bytes, bool, int, float, a declared message, lists
of these, and dict for maps. An int is `int64` on the wire, which encodes like int32, uint32, uint64 and enums where the
value fits; a float is `double`. Fields that a declaration lacks are skipped when read.

As in protobuf's own classes, a field that is a message, list or map cannot be assigned: give it to the constructor, or
use `CopyFrom`, `extend`, `append` and `update`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any, Self, TypeVar, get_args, get_origin, get_type_hints

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

__all__ = ["DecodeError", "Message", "Timestamp", "message", "nanoseconds", "timestamp"]

_SCALARS = {
    str: FieldDescriptorProto.TYPE_STRING,
    bytes: FieldDescriptorProto.TYPE_BYTES,
    bool: FieldDescriptorProto.TYPE_BOOL,
    int: FieldDescriptorProto.TYPE_INT64,
    float: FieldDescriptorProto.TYPE_DOUBLE,
}
_pool = DescriptorPool()  # one of our own: names here meet no other library's


class Message:
    """What every declared message can do (google.protobuf.message.Message)."""

    def __init__(self, **fields: Any) -> None: ...
    def SerializeToString(self) -> bytes: ...  # type: ignore[empty-body]  # the library's class has the body
    def ByteSize(self) -> int: ...  # type: ignore[empty-body]
    @classmethod
    def FromString(cls, data: bytes) -> Self: ...  # type: ignore[empty-body]
    def HasField(self, name: str) -> bool: ...  # type: ignore[empty-body]
    def CopyFrom(self, other: Self) -> None: ...


M = TypeVar("M", bound=Message)


def message(name: str) -> Callable[[type[M]], type[M]]:
    """Make the declared class the message `name`. Raises TypeError for a field of another type."""

    def make(declared: type[M]) -> type[M]:
        file = FileDescriptorProto(name=f"{name}.proto", syntax="proto3")
        file.package, _, simple = name.rpartition(".")
        described = file.message_type.add(name=simple)
        used: set[str] = set()
        hints = get_type_hints(declared, vars(sys.modules[declared.__module__]), include_extras=True)
        for field_name, hint in hints.items():
            kind, number = get_args(hint)
            _add_field(described, name, field_name, kind, number, used)
        file.dependency.extend(sorted(used))
        _pool.Add(file)
        made: type[M] = GetMessageClass(_pool.FindMessageTypeByName(name))
        return made

    return make


def _add_field(described: DescriptorProto, owner: str, name: str, kind: Any, number: int, used: set[str]) -> None:
    field = described.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
    if get_origin(kind) is list:
        field.label = FieldDescriptorProto.LABEL_REPEATED
        (kind,) = get_args(kind)
    elif get_origin(kind) is dict:
        # A map is a list of entries (protobuf's language guide, "Maps, Backwards compatibility").
        entry = described.nested_type.add(name=f"{name}Entry")
        entry.options.map_entry = True
        for part, (part_name, part_kind) in enumerate(zip(("key", "value"), get_args(kind), strict=True), start=1):
            _add_field(entry, f"{owner}.{entry.name}", part_name, part_kind, part, used)
        field.label = FieldDescriptorProto.LABEL_REPEATED
        field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{owner}.{entry.name}"
        return
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
        return
    descriptor = getattr(kind, "DESCRIPTOR", None)
    if descriptor is None:
        raise TypeError(f"{owner}.{name}: no type of a message's field: {kind!r}")
    field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{descriptor.full_name}"
    used.add(descriptor.file.name)


@message("google.protobuf.Timestamp")
class Timestamp(Message):
    seconds: Annotated[int, 1]
    nanos: Annotated[int, 2]


def timestamp(time_ns: int) -> Timestamp:
    """From nanoseconds since 1970."""
    seconds, nanos = divmod(time_ns, 1_000_000_000)
    return Timestamp(seconds=seconds, nanos=nanos)


def nanoseconds(time: Timestamp) -> int:
    """Since 1970."""
    return time.seconds * 1_000_000_000 + time.nanos
