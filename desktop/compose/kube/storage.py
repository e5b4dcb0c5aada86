"""Volumes of a service: claims, memory, shares of a server; what is a folder of the host has no equivalent."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import NamedTuple

from desktop.compose.kube import files
from desktop.compose.kube.context import Conversion, Json, object_name, without_empty
from desktop.compose.kube.files import Mounted
from desktop.compose.model.mounts import Mount
from desktop.compose.model.resources import Volume
from desktop.compose.model.service import Service
from desktop.compose.values import parse_size

_EMPTY = "it is empty at first: what the image has there is not copied into it"
_IMAGE_VOLUMES = "an image as a volume needs Kubernetes 1.33 or newer"


class Storage(NamedTuple):
    """What a service's mounts come to. `config_maps`: of single files; `claims`: the named volumes that it uses."""

    mounted: list[Mounted]
    config_maps: list[Json]
    claims: list[str]


def claims(conversion: Conversion) -> list[Json]:
    """A PersistentVolumeClaim for each named volume that a service uses and that is not external or on a server."""
    found = []
    filled = set()
    users: dict[str, dict[str, int]] = {}  # by volume: how many pods use it, by the service whose pods they are
    for service in conversion.project.services.values():
        host = conversion.host_of(service)
        is_everywhere = host.deploy is not None and host.deploy.mode == "global"
        for mount in service.volumes:
            if mount.type == "volume" and mount.source:
                users.setdefault(mount.source, {})[host.name] = 2 if is_everywhere else host.replicas
                filled |= {mount.source} if _is_filled(mount) else set()
    for key, volume in conversion.project.volumes.items():
        if key not in users or volume.external or _server(volume) is not None:
            continue
        if volume.driver not in ("", "local") or volume.driver_opts.keys() - {"size"}:
            sentence = "its driver and options are left out: the cluster's storage class decides where it is"
            conversion.note(None, f"volumes.{key}", sentence)
        if key in filled:
            conversion.note(None, f"volumes.{key}", _EMPTY)
        modes = ["ReadWriteOnce"]
        if sum(users[key].values()) > 1:
            modes = ["ReadWriteMany"]
            conversion.note(None, f"volumes.{key}", "several pods use it: the cluster must have storage for that")
        size = _quantity(conversion, None, f"volumes.{key}", volume.driver_opts.get("size", ""))
        spec = {
            "accessModes": modes,
            "storageClassName": conversion.options.storage_class,
            "resources": {"requests": {"storage": size or conversion.options.storage}},
        }
        name = conversion.name("PersistentVolumeClaim", key)
        found.append(conversion.object("v1", "PersistentVolumeClaim", name, {"spec": without_empty(spec)}))
    return found


def _is_filled(mount: Mount) -> bool:
    """A new volume of docker's gets what the image has at its place."""
    return not (mount.volume is not None and mount.volume.nocopy)


def _quantity(conversion: Conversion, service: Service | None, subject: str, size: str) -> str:
    """docker's `64m` or `1.5gb` as a Kubernetes quantity; empty, with a note, if it is no size."""
    if not size:
        return ""
    try:
        count = parse_size(size)
    except ValueError as e:
        conversion.note(service, subject, f"{e}; left out")
        return ""
    unit = max(power for power in range(5) if count % 1024**power == 0) if count > 0 else 0
    return f"{count >> 10 * unit}{('', 'Ki', 'Mi', 'Gi', 'Ti')[unit]}"


def storage(conversion: Conversion, service: Service) -> Storage:
    """Raises ComposeError."""
    found = Storage([], [], [])
    for at, mount in enumerate(service.volumes):
        name = f"volume-{at}"
        if mount.type == "bind":
            _bind(conversion, service, mount, found)
        elif mount.type == "tmpfs":
            limit = mount.tmpfs.size if mount.tmpfs is not None else 0
            if mount.tmpfs is not None and mount.tmpfs.mode:
                _without_options(conversion, service, mount.target, [f"mode={mount.tmpfs.mode:o}"])
            found.mounted.append(_memory(name, mount.target, str(limit) if limit else ""))
        elif mount.type == "image":
            conversion.note(service, "volumes", f"{mount.target}: {_IMAGE_VOLUMES}")
            image = {"reference": mount.source, "pullPolicy": "IfNotPresent"}
            found.mounted.append(Mounted({"name": name, "image": image}, _mount(name, mount, read_only=True)))
        elif mount.type == "volume" and not mount.source:
            if _is_filled(mount):
                conversion.note(service, "volumes", f"{mount.target}: {_EMPTY}")
            found.mounted.append(Mounted({"name": name, "emptyDir": {}}, _mount(name, mount)))
        elif mount.type == "volume":
            _named(conversion, mount, found)
        else:
            conversion.note(service, "volumes", f"{mount.target}: mounts of the type {mount.type} have no equivalent")
    for at, text in enumerate(service.tmpfs):
        target, _, options = text.partition(":")
        size = next((one.partition("=")[2] for one in options.split(",") if one.startswith("size=")), "")
        others = [one for one in options.split(",") if one not in ("", "rw") and not one.startswith("size=")]
        _without_options(conversion, service, target, others)
        found.mounted.append(_memory(f"tmpfs-{at}", target, _quantity(conversion, service, "tmpfs", size)))
    if service.shm_size:
        found.mounted.append(_memory("shm", "/dev/shm", str(service.shm_size)))
    return found


def _bind(conversion: Conversion, service: Service, mount: Mount, found: Storage) -> None:
    as_file = files.bound_file(conversion, service, mount)
    if as_file is None:
        conversion.note(
            service,
            "volumes",
            f"{mount.target} is the host's {mount.source}, which no node of a cluster has: it is left out; put the "
            "files into the image, or use a volume",
        )
        return
    config_map, mounted = as_file
    found.config_maps.append(config_map)
    found.mounted.append(mounted)


def _named(conversion: Conversion, mount: Mount, found: Storage) -> None:
    volume = conversion.project.volumes.get(mount.source, Volume())
    name = object_name(mount.source)
    if (server := _server(volume)) is not None:
        source: Json = {"nfs": server}
    else:
        claim = object_name(volume.name) if volume.external else name
        source = {"persistentVolumeClaim": {"claimName": claim}}
        found.claims.append(mount.source)
        if volume.external:
            conversion.note(
                None, f"volumes.{mount.source}", f"it is external: the cluster must have the claim {claim!r}"
            )
    found.mounted.append(Mounted({"name": name, **source}, _mount(name, mount)))


def _server(volume: Volume) -> Json | None:
    """The share of an NFS volume of the local driver."""
    if volume.driver_opts.get("type") not in ("nfs", "nfs4"):
        return None
    options = dict(one.partition("=")[::2] for one in volume.driver_opts.get("o", "").split(","))
    path = volume.driver_opts.get("device", "").lstrip(":")
    if "addr" not in options or not path.startswith("/"):
        return None
    return without_empty({"server": options["addr"], "path": path, "readOnly": "ro" in options or None})


def _memory(name: str, target: str, size: str) -> Mounted:
    folder = without_empty({"medium": "Memory", "sizeLimit": size})
    return Mounted({"name": name, "emptyDir": folder}, {"name": name, "mountPath": target})


def _without_options(conversion: Conversion, service: Service, target: str, options: Sequence[str]) -> None:
    if options:
        sentence = f"{target}: memory that is mounted has no options but its size; {', '.join(options)}: left out"
        conversion.note(service, "tmpfs", sentence)


def _mount(name: str, mount: Mount, *, read_only: bool = False) -> Json:
    subpath = mount.volume.subpath if mount.volume is not None else ""
    parts = {
        "name": name,
        "mountPath": mount.target,
        "subPath": posixpath.normpath(subpath) if subpath else "",
        "readOnly": mount.read_only or read_only or None,
    }
    return without_empty(parts)
