"""`RUN --mount` and `RUN --device`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any, cast

from vmagent.dockerfile.errors import DockerfileError
from vmagent.dockerfile.text import go_quote, suggested
from vmagent.dockerfile.tree import Device, Mount, MountType, Sharing
from vmagent.dockerfile.values import boolean, csv_fields, size_bytes, unsigned

_TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
_SHARINGS = ("shared", "private", "locked")
_KEYS = (
    *("type", "from", "source", "target", "readonly", "id", "sharing", "required", "size", "mode", "uid", "gid"),
    *("src", "dst", "destination", "ro", "rw", "readwrite", "env"),
)
_VARIABLE = re.compile(r"\$.", re.DOTALL)


def mount_source(text: str) -> str:
    """What a --mount's `from` names ("" without one), without reading the rest. Raises DockerfileError."""
    found = ""
    for field in _fields(text, "mounts"):
        key, sign, value = field.partition("=")
        if key.lower() == "from" and sign:
            if _VARIABLE.search(value):
                raise DockerfileError(f"'{key.lower()}' doesn't support variable expansion, define alias stage instead")
            found = value
    return found


def parse_mount(text: str, expand: Callable[[str], str]) -> Mount:
    """The value of --mount; `expand` replaces the variables of each option. Raises DockerfileError."""
    mount = Mount("bind")
    said_readonly = False
    for field in _fields(text, "mounts"):
        name, sign, value = field.partition("=")
        key = name.lower()
        if not sign and key not in ("readonly", "ro", "readwrite", "rw", "required"):
            raise DockerfileError(f"invalid field '{field}' must be a key=value pair")
        said_readonly |= key in ("readonly", "ro", "readwrite", "rw")
        changes = _option(mount.type, key, expand(value) if sign else "true", field)
        mount = dataclasses.replace(mount, **changes)
    _validate(mount)
    if not said_readonly:
        mount = dataclasses.replace(mount, readonly=mount.type not in ("cache", "tmpfs"))
    return mount


def _fields(text: str, what: str) -> list[str]:
    try:
        return csv_fields(text)
    except DockerfileError as error:
        raise DockerfileError(f"failed to parse csv {what}: {error}") from error


def _option(kind: MountType, key: str, value: str, field: str) -> dict[str, Any]:
    """The fields of Mount that one option sets."""
    if key in ("required", "size") and kind not in (("secret", "ssh") if key == "required" else ("tmpfs",)):
        raise DockerfileError(f"unexpected key '{key}' for mount type '{kind}'")
    if key in ("readonly", "ro", "readwrite", "rw", "required"):
        flag = boolean(value)
        if flag is None:
            raise DockerfileError(f"invalid value for {key}: {value}")
        return {"required": flag} if key == "required" else {"readonly": flag is (key in ("readonly", "ro"))}
    if key == "type":
        if value.lower() not in _TYPES:
            raise DockerfileError(suggested(f"unsupported mount type {go_quote(value)}", value, _TYPES))
        return {"type": cast(MountType, value.lower())}
    if key == "sharing":
        if value.lower() not in _SHARINGS:
            raise DockerfileError(suggested(f"unsupported sharing value {go_quote(value)}", value, _SHARINGS))
        return {"sharing": cast(Sharing, value.lower())}
    if key == "size":
        size = size_bytes(value)
        if size is None:
            raise DockerfileError(f"invalid value for {key}: {value}")
        return {"size_bytes": size}
    if key in ("mode", "uid", "gid"):
        number = unsigned(value, 8 if key == "mode" else 10)
        if number is None:
            raise DockerfileError(f"invalid value {value} for {key}")
        return {key: number}
    texts = {"from": "from_", "source": "source", "src": "source", "id": "id", "env": "env"}
    texts |= dict.fromkeys(("target", "dst", "destination"), "target")
    if key not in texts:
        raise DockerfileError(suggested(f"unexpected key '{key}' in '{field}'", key, _KEYS))
    return {texts[key]: value}


def _validate(mount: Mount) -> None:
    if mount.type not in ("secret", "ssh", "cache"):
        for name in ("mode", "uid", "gid"):
            if getattr(mount, name) is not None:
                raise DockerfileError(f"{name} not allowed for {go_quote(mount.type)} type mounts")
    if mount.type == "secret":
        if mount.from_:
            raise DockerfileError("secret mount should not have a from")
        if mount.sharing:
            raise DockerfileError("secret mount should not define sharing")
        if not (mount.source or mount.target or mount.id):
            raise DockerfileError("invalid secret mount. one of source, target required")
        if mount.source and mount.id:
            raise DockerfileError("both source and id can't be set")
    if mount.sharing and mount.type != "cache":
        raise DockerfileError(f"invalid cache sharing set for {mount.type} mount")


def parse_device(text: str) -> Device:
    """The value of --device. Raises DockerfileError."""
    name, required = "", False
    for field in _fields(text, "devices"):
        key, sign, value = field.partition("=")
        key = key.lower()
        if key == "required":
            flag = boolean(value if sign else "true")
            if flag is None:
                raise DockerfileError(f"invalid value for {key}: {value}")
            required = flag
        elif key == "name" and sign:
            if name:
                raise DockerfileError(f"device name already set to {name}")
            name = value
        elif not name:
            name = field
        elif not sign:
            raise DockerfileError(f"invalid field '{field}' must be a key=value pair")
        else:
            raise DockerfileError(suggested(f"unexpected key '{key}' in '{field}'", key, ("name", "required")))
    return Device(name, required)
