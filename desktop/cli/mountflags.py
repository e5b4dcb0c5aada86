"""`-v`, `--mount` and `--tmpfs`: from docker's notations to Binds, Volumes, Mounts and Tmpfs of the Engine API."""

from __future__ import annotations

import csv
import os
import sys
from typing import Any

from desktop.cli.flags import Parsed, parse_bool, parse_bytes

Json = dict[str, Any]


def apply(flags: Parsed, body: Json, host: Json) -> None:
    """Fill in `Volumes` of the body and `Binds`, `Mounts`, `Tmpfs` of its HostConfig. Raises ValueError."""
    binds = []
    for text in flags.many("volume"):
        if ":" in _without_drive(text):
            binds.append(_bind(text))
        else:
            body["Volumes"][text] = {}
    host["Binds"] = binds or None
    host["Mounts"] = [parse_mount(text) for text in flags.many("mount")]
    tmpfs = {}
    for text in flags.many("tmpfs"):
        path, _, options = text.partition(":")
        tmpfs[path] = options
    host["Tmpfs"] = tmpfs or None


def _without_drive(text: str) -> str:
    return text[2:] if sys.platform == "win32" and text[1:2] == ":" else text


def _bind(text: str) -> str:
    """Relative sources (`./x`, `.`, `..`, `~` comes expanded from the shell) become absolute; names stay names."""
    drive = text[: len(text) - len(_without_drive(text))]
    source, _, rest = _without_drive(text).partition(":")
    source = drive + source
    if source.startswith(".") or os.path.isabs(source):
        source = os.path.abspath(source)
    return f"{source}:{rest}"


def parse_mount(text: str) -> Json:
    """`type=bind,src=/a,dst=/b,readonly`: a line of CSV with docker's keys. Raises ValueError in docker's words."""
    try:
        return _Mount().parse(next(csv.reader([text])))
    except ValueError as e:
        raise ValueError(f'invalid argument "{text}" for "--mount" flag: {e}') from None


class _Mount:
    def __init__(self) -> None:
        self.mount: Json = {"Type": "volume"}
        self.of_kind: dict[str, Json] = {"BindOptions": {}, "VolumeOptions": {}, "TmpfsOptions": {}}

    def parse(self, fields: list[str]) -> Json:
        for field in fields:
            key, equals, value = field.partition("=")
            self._take(key.lower(), value if equals else None, field)
        if not self.mount.get("Target"):
            raise ValueError("target is required")
        kind = self.mount["Type"]
        wanted = {"bind": "BindOptions", "volume": "VolumeOptions", "tmpfs": "TmpfsOptions"}.get(kind)
        for name, options in self.of_kind.items():
            if options and name != wanted:
                raise ValueError(f"cannot mix '{name[:-7].lower()}-*' options with mount type '{kind}'")
            if options:
                self.mount[name] = options
        self._check_recursion()
        return self.mount

    def _check_recursion(self) -> None:
        bind = self.of_kind["BindOptions"]
        words = {"ReadOnlyNonRecursive": "writable", "ReadOnlyForceRecursive": "readonly"}
        mode = next((word for field, word in words.items() if bind.get(field)), "")
        if mode and not self.mount.get("ReadOnly"):
            raise ValueError(f"option 'bind-recursive={mode}' requires 'readonly' to be specified in conjunction")
        if mode == "readonly" and bind.get("Propagation") != "rprivate":
            raise ValueError(
                "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction"
            )

    @staticmethod
    def _take_recursion(mode: str, bind: dict[str, Any]) -> None:
        field = {"disabled": "NonRecursive", "writable": "ReadOnlyNonRecursive", "readonly": "ReadOnlyForceRecursive"}
        if mode in field:
            bind[field[mode]] = True
        elif mode != "enabled":
            raise ValueError(
                f'invalid value for bind-recursive: {mode} (must be "enabled", "disabled", "writable", or "readonly")'
            )

    def _take(self, key: str, value: str | None, field: str) -> None:
        if key in ("readonly", "ro"):
            self.mount["ReadOnly"] = True if value is None else _bool(key, value)
            return
        if key in ("bind-nonrecursive", "volume-nocopy", "bind-create-src") and value is None:
            value = "true"
        if value is None:
            raise ValueError(f"invalid field '{field}' must be a key=value pair")
        bind, volume, tmpfs = self.of_kind.values()
        if key == "type":
            self.mount["Type"] = value.lower()
        elif key in ("source", "src"):
            relative = value == "." or value.startswith(("./", "../"))
            self.mount["Source"] = os.path.abspath(value) if relative else value
        elif key in ("target", "dst", "destination"):
            self.mount["Target"] = value
        elif key == "consistency":
            self.mount["Consistency"] = value.lower()
        elif key == "bind-propagation":
            bind["Propagation"] = value.lower()
        elif key == "bind-nonrecursive":
            bind["NonRecursive"] = _bool(key, value)
        elif key == "bind-recursive":
            self._take_recursion(value.lower(), bind)
        elif key == "bind-create-src":
            bind["CreateMountpoint"] = _bool(key, value)
        elif key == "volume-nocopy":
            volume["NoCopy"] = _bool(key, value)
        elif key == "volume-subpath":
            volume["Subpath"] = value
        elif key == "volume-label":
            name, _, text = value.partition("=")
            volume.setdefault("Labels", {})[name] = text
        elif key == "volume-driver":
            volume.setdefault("DriverConfig", {})["Name"] = value
        elif key == "volume-opt":
            name, _, text = value.partition("=")
            volume.setdefault("DriverConfig", {}).setdefault("Options", {})[name] = text
        elif key == "tmpfs-size":
            tmpfs["SizeBytes"] = parse_bytes(value)
        elif key == "tmpfs-mode":
            try:
                tmpfs["Mode"] = int(value, 8)
            except ValueError:
                raise ValueError(f"invalid value for {key}: {value}") from None
        else:
            raise ValueError(f"unexpected key '{key}' in '{field}'")


def _bool(key: str, value: str) -> bool:
    try:
        return parse_bool(value)
    except ValueError:
        raise ValueError(f"invalid value for {key}: {value}") from None
