"""The mounts of a create request: Binds, Mounts, Volumes, VolumesFrom and Tmpfs.

This module only names volumes; the engine makes them, and fills in the empty names of anonymous volumes.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from vmagent.containers.model import Container, MountKind, MountPoint
from vmagent.containers.subpaths import is_local
from vmagent.errors import BadRequest

VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_MODE_WORDS = ("ro", "rw", "z", "Z", "nocopy", "delegated", "cached", "consistent", *_PROPAGATIONS)


def requested_mounts(
    config: Mapping[str, Any], host_config: Mapping[str, Any], find: Callable[[str], Container]
) -> list[MountPoint]:
    """All mounts except --tmpfs, sorted so that a parent is mounted before the mounts inside it.

    `find`: looks up a container of VolumesFrom; raises NotFound. Raises BadRequest.
    """
    found: dict[str, MountPoint] = {}
    for inherited in _volumes_from(host_config["VolumesFrom"] or (), find):
        found[inherited.destination] = inherited
    explicit: dict[str, MountPoint] = {}
    for mount in (*map(_bind, host_config["Binds"] or ()), *map(_mount, host_config.get("Mounts") or ())):
        if mount.destination in explicit:
            raise BadRequest(f"Duplicate mount point: {mount.destination}")
        explicit[mount.destination] = mount
    for path in host_config.get("Tmpfs") or {}:
        if _clean(path) in explicit:
            raise BadRequest(f"Duplicate mount point: {path}")
    found |= explicit
    for path in config.get("Volumes") or ():
        destination = _clean(path)
        if destination not in found and destination not in map(_clean, host_config.get("Tmpfs") or ()):
            found[destination] = MountPoint(
                kind=MountKind.VOLUME, destination=destination, driver="local", anonymous=True
            )
    return sorted(found.values(), key=lambda mount: (mount.destination.count("/"), mount.destination))


def _clean(path: str) -> str:
    if not path.startswith("/"):
        raise BadRequest(
            f"invalid volume specification: '{path}': invalid mount path: '{path}' mount path must be absolute"
        )
    cleaned = os.path.normpath("/" + path.lstrip("/"))
    if cleaned == "/":
        raise BadRequest("invalid volume specification: destination can't be '/'")
    return cleaned


def _bind(text: str) -> MountPoint:
    """The mount for one entry of Binds, "src:dst[:mode]". Raises BadRequest."""
    parts = text.split(":")
    if not 2 <= len(parts) <= 3 or not parts[0] or not parts[1]:
        raise BadRequest(f"invalid volume specification: '{text}'")
    source, destination, mode = parts[0], _clean(parts[1]), parts[2] if len(parts) == 3 else ""
    words = [word for word in mode.split(",") if word]
    if unknown := [word for word in words if word not in _MODE_WORDS]:
        raise BadRequest(f"invalid mode: {unknown[0]}")
    common: dict[str, Any] = {
        "destination": destination,
        "mode": mode,
        "writable": "ro" not in words,
        "copy": "nocopy" not in words,
    }
    propagation = next((word for word in words if word in _PROPAGATIONS), "")
    if source.startswith("/"):
        return MountPoint(
            kind=MountKind.BIND,
            source=os.path.normpath(source),
            propagation=propagation or "rprivate",
            chosen_propagation=bool(propagation),
            create_source=True,
            **common,
        )
    if not VOLUME_NAME.fullmatch(source):
        raise BadRequest(
            f'create {source}: "{source}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )
    return MountPoint(kind=MountKind.VOLUME, volume=source, driver="local", **{**common, "mode": mode or "z"})


def _mount(given: Mapping[str, Any]) -> MountPoint:
    """The mount for one object of Mounts. Raises BadRequest."""
    kind, target, source = given.get("Type") or "", given.get("Target") or "", given.get("Source") or ""
    if not target:
        raise BadRequest(f'invalid mount config for type "{kind}": field Target must not be empty')
    destination, writable = _clean(target), not given.get("ReadOnly")
    match kind:
        case "bind":
            options = given.get("BindOptions") or {}
            _check_recursion(options, is_read_only=not writable)
            if not source.startswith("/"):
                raise BadRequest(
                    'invalid mount config for type "bind": invalid mount path: '
                    f"'{source}' mount path must be absolute"
                )
            return MountPoint(
                kind=MountKind.BIND,
                source=os.path.normpath(source),
                destination=destination,
                writable=writable,
                propagation=options.get("Propagation") or "rprivate",
                chosen_propagation=bool(options.get("Propagation")),
                create_source=bool(options.get("CreateMountpoint")),
                recursive=not options.get("NonRecursive"),
                writable_below=bool(options.get("ReadOnlyNonRecursive")),
            )
        case "volume":
            options = given.get("VolumeOptions") or {}
            driver = (options.get("DriverConfig") or {}).get("Name") or "local"
            subpath = options.get("Subpath") or ""
            if not is_local(subpath):
                raise BadRequest(
                    'invalid mount config for type "volume": subpath must be a relative path within the volume'
                )
            if source and not VOLUME_NAME.fullmatch(source):
                raise BadRequest(f'invalid mount config for type "volume": volume name {source!r} is invalid')
            return MountPoint(
                kind=MountKind.VOLUME,
                volume=source,
                destination=destination,
                driver=driver,
                mode="z",
                writable=writable,
                anonymous=not source,
                copy=not options.get("NoCopy") and not subpath,
                subpath=subpath,
                volume_options=dict((options.get("DriverConfig") or {}).get("Options") or {}),
                volume_labels=dict(options.get("Labels") or {}),
            )
        case "tmpfs":
            options = given.get("TmpfsOptions") or {}
            words = [f"size={options['SizeBytes']}"] if options.get("SizeBytes") else []
            if options.get("Mode"):
                words.append(f"mode={options['Mode']:o}")
            return MountPoint(kind=MountKind.TMPFS, destination=destination, writable=writable, options=tuple(words))
    raise BadRequest(f'invalid mount config for type "{kind}": mount type unknown')


def inherited_destinations(entries: Iterable[str], find: Callable[[str], Container]) -> frozenset[str]:
    """The destinations of the mounts that VolumesFrom brings. Raises BadRequest, NotFound."""
    return frozenset(mount.destination for mount in _volumes_from(entries, find))


def _check_recursion(options: Mapping[str, Any], *, is_read_only: bool) -> None:
    """Raise BadRequest for options that exclude each other."""
    words = ""
    for name in ("ReadOnlyNonRecursive", "ReadOnlyForceRecursive"):
        if options.get(name) and not is_read_only:
            words = f"!ReadOnly && BindOptions.{name}"
    if options.get("ReadOnlyForceRecursive"):
        for name in ("ReadOnlyNonRecursive", "NonRecursive"):
            if options.get(name):
                words = f"{name} && BindOptions.ReadOnlyForceRecursive"
    if words:
        raise BadRequest(f'invalid mount config for type "bind": mount options conflict: {words}')


def follow_data_root(mounts: Iterable[MountPoint], data_root: str) -> list[MountPoint]:
    """`mounts`, of which binds of the data root, or of what it lies in or has in it, get the propagation `rslave`.

    A container with a private copy would keep each mount of the engine alive that exists at its start. Raises
    BadRequest if another propagation was asked for.
    """
    found = []
    for mount in mounts:
        if mount.kind is MountKind.BIND and _overlap(os.path.realpath(mount.source), os.path.realpath(data_root)):
            if not mount.chosen_propagation:
                mount = replace(mount, propagation="rslave")
            elif mount.propagation not in ("rslave", "rshared", "slave", "shared"):
                raise BadRequest(
                    'invalid mount config: must use either propagation mode "rslave" or "rshared" when mount source is '
                    f'within the daemon root, daemon root: "{data_root}", bind mount source: "{mount.source}", '
                    f'propagation: "{mount.propagation}"'
                )
        found.append(mount)
    return found


def _overlap(one: str, other: str) -> bool:
    return os.path.commonpath((one, other)) in (one, other)


def _volumes_from(entries: Iterable[str], find: Callable[[str], Container]) -> Iterable[MountPoint]:
    for entry in entries:
        ref, _, mode = entry.partition(":")
        if mode not in ("", "ro", "rw", "z", "Z"):
            raise BadRequest(f"invalid volumes-from mode: {mode}")
        for mount in find(ref).mounts:
            if mount.kind is not MountKind.TMPFS:
                # It is not filled. An anonymous volume goes with the last container that has it (`rm -v`).
                yield replace(mount, writable=mount.writable and mode != "ro", copy=False)
