"""Configs, secrets and single files of the host: ConfigMaps, Secrets, and how a container has them mounted."""

from __future__ import annotations

import base64
import json
import os
import posixpath
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from desktop.compose.body import file_mounts
from desktop.compose.errors import ComposeError
from desktop.compose.kube.context import Conversion, Json, object_name
from desktop.compose.model.common import FileMount
from desktop.compose.model.mounts import Mount
from desktop.compose.model.resources import FileObject
from desktop.compose.model.service import Service

_MOST = 1 << 20  # of a ConfigMap or Secret: the API server takes no larger ones
# kubectl apply writes the whole object into an annotation, and all annotations together may have so many bytes.
_MOST_APPLIED = 256 << 10


class Mounted(NamedTuple):
    """A volume of a pod, and where one container has it."""

    volume: Json
    mount: Json


def objects(conversion: Conversion) -> list[Json]:
    """A ConfigMap for each config, a Secret for each secret; none for those that are external. Raises ComposeError."""
    project, found = conversion.project, []
    for key, item in project.configs.items():
        if not item.external:
            name = conversion.name("ConfigMap", key)
            found.append(_config_map(conversion, name, {_file_name(key): _content(conversion, "configs", key, item)}))
    for key, item in project.secrets.items():
        if not item.external:
            name = conversion.name("Secret", key)
            data = {_file_name(key): _base64(_content(conversion, "secrets", key, item))}
            _check_applied(conversion, f"secrets.{key}", data)
            found.append(conversion.object("v1", "Secret", name, {"type": "Opaque", "data": data}))
    return found


def mounts(conversion: Conversion, service: Service) -> list[Mounted]:
    """The configs and secrets of a service, each mounted as one file. Raises ComposeError."""
    found = []
    for kind, reference, target in file_mounts(service):
        name = _object(conversion, service, kind, reference)
        source: Json = {"configMap": {"name": name}} if kind == "configs" else {"secret": {"secretName": name}}
        found.append(_mounted(conversion, service, kind, reference, source, target))
    return found


def bound_file(conversion: Conversion, service: Service, mount: Mount) -> tuple[Json, Mounted] | None:
    """A bind of one small file of the host as a ConfigMap. None if it is no such file."""
    content = _small_file(Path(mount.source))
    if content is None:
        return None
    base = posixpath.basename(mount.target) or "file"
    name = conversion.new_name("ConfigMap", f"{service.name}-{base}", f"{mount.target} of {service.name}")
    config_map = _config_map(conversion, name, {_file_name(base): content}, service)
    source: Json = {"name": name}
    if os.access(mount.source, os.X_OK):
        source["defaultMode"] = 0o755
    if not mount.read_only:
        conversion.note(service, "volumes", f"{mount.target} is a copy of the file {mount.source}, and read only")
    return config_map, Mounted({"name": name, "configMap": source}, _one_file(name, mount.target, _file_name(base)))


def _small_file(path: Path) -> bytes | None:
    try:
        info = path.stat()
        return path.read_bytes() if stat.S_ISREG(info.st_mode) and info.st_size <= _MOST else None
    except OSError:
        return None  # the caller says that the file stays out


def _object(conversion: Conversion, service: Service, kind: str, reference: FileMount) -> str:
    item = conversion.project.file_object(kind, reference.source)
    if not item.external:
        return object_name(reference.source)
    conversion.note(
        service,
        f"{kind}.{reference.source}",
        f"it is external: the cluster must have it by the name {object_name(item.name)!r}, with the key "
        f"{_file_name(reference.source)!r}",
    )
    return object_name(item.name)


def _mounted(
    conversion: Conversion, service: Service, kind: str, reference: FileMount, source: Json, target: str
) -> Mounted:
    key = _file_name(reference.source)
    name = object_name(f"{kind[:-1]}-{reference.source}")
    if reference.uid not in ("", "0") or reference.gid not in ("", "0"):
        conversion.note(
            service, f"{kind}.{reference.source}", "its owner is root: Kubernetes gives such files no other"
        )
    [body] = source.values()
    item: Json = {"key": key, "path": key}
    if reference.mode is not None:
        name = object_name(f"{name}-{reference.mode:o}")
        item["mode"] = reference.mode
    body["items"] = [item]
    return Mounted({"name": name, **source}, _one_file(name, target, key))


def _one_file(volume: str, target: str, key: str) -> Json:
    return {"name": volume, "mountPath": target, "subPath": key, "readOnly": True}


def _file_name(text: str) -> str:
    """A key of a ConfigMap: letters, digits, `-`, `_` and `.`."""
    name = "".join(char if char.isascii() and (char.isalnum() or char in "-_.") else "-" for char in text)
    return f"file{name}" if name in (".", "..") or name.startswith("..") else name


def _config_map(conversion: Conversion, name: str, files: Mapping[str, bytes], service: Service | None = None) -> Json:
    texts, binary = {}, {}
    for key, content in files.items():
        try:
            texts[key] = content.decode()
        except UnicodeDecodeError:
            binary[key] = _base64(content)
    parts: Json = {"data": texts} if texts else {}
    if binary:
        parts["binaryData"] = binary
    _check_applied(conversion, f"ConfigMap {name}", {**texts, **binary})
    return conversion.object("v1", "ConfigMap", name, parts, service)


def _check_applied(conversion: Conversion, subject: str, contents: Mapping[str, str]) -> None:
    """Note what kubectl can't apply in its usual way. The annotation is the object as JSON."""
    if len(json.dumps(contents, ensure_ascii=False).encode()) > _MOST_APPLIED:
        conversion.note(None, subject, "it has over 256 KiB, which needs kubectl apply --server-side")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _content(conversion: Conversion, kind: str, key: str, item: FileObject) -> bytes:
    if item.driver or item.template_driver:
        conversion.note(None, f"{kind}.{key}", "its driver is left out: the content is that of the file")
    content = conversion.project.content(kind, key)
    if len(content) > _MOST:
        raise ComposeError(
            f"{kind[:-1]} {key!r} has {len(content)} bytes; Kubernetes takes at most {_MOST} in one object"
        )
    return content
