"""An OCI mount (config.md, "Mounts") compiled to the mount operation that the container's first process carries out."""

from __future__ import annotations

import functools
import os

from vmagent.linux import mounts as m
from vmagent.runtime.failure import SPEC, LaunchError
from vmagent.runtime.plantypes import (
    MAY_COVER_PROC,
    MUST_BE_PROC,
    ON_PROC,
    ON_SYS,
    ORDINARY,
    BindMount,
    CgroupMount,
    IdMapping,
    IdRange,
    NewMount,
    Option,
    Propagation,
    Remount,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from vmagent.runtime.plantypes import Mount

# option → (attributes to set, attributes to clear): mount_setattr(2)
_ATTRIBUTES: dict[str, tuple[int, int]] = {
    "ro": (m.MOUNT_ATTR_RDONLY, 0),
    "rw": (0, m.MOUNT_ATTR_RDONLY),
    "nosuid": (m.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, m.MOUNT_ATTR_NOSUID),
    "nodev": (m.MOUNT_ATTR_NODEV, 0),
    "dev": (0, m.MOUNT_ATTR_NODEV),
    "noexec": (m.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, m.MOUNT_ATTR_NOEXEC),
    "noatime": (m.MOUNT_ATTR_NOATIME, m.MOUNT_ATTR__ATIME),
    "strictatime": (m.MOUNT_ATTR_STRICTATIME, m.MOUNT_ATTR__ATIME),
    "relatime": (m.MOUNT_ATTR_RELATIME, m.MOUNT_ATTR__ATIME),
    "atime": (m.MOUNT_ATTR_RELATIME, m.MOUNT_ATTR__ATIME),
    "norelatime": (m.MOUNT_ATTR_RELATIME, m.MOUNT_ATTR__ATIME),
    "nostrictatime": (m.MOUNT_ATTR_RELATIME, m.MOUNT_ATTR__ATIME),
    "nodiratime": (m.MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, m.MOUNT_ATTR_NODIRATIME),
    "nosymfollow": (m.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, m.MOUNT_ATTR_NOSYMFOLLOW),
}
_PROPAGATION = {
    "private": (m.MS_PRIVATE, False),
    "rprivate": (m.MS_PRIVATE, True),
    "slave": (m.MS_SLAVE, False),
    "rslave": (m.MS_SLAVE, True),
    "shared": (m.MS_SHARED, False),
    "rshared": (m.MS_SHARED, True),
    "unbindable": (m.MS_UNBINDABLE, False),
    "runbindable": (m.MS_UNBINDABLE, True),
}
# Flags of the superblock: fsconfig takes them by name.
_SUPERBLOCK = frozenset(("sync", "dirsync", "lazytime", "mand", "async", "nolazytime", "nomand"))
_UNNAMED = frozenset(("defaults", "newinstance", "loud", "silent", "iversion", "noiversion", "bind", "rbind", "nofail"))
_OWN = frozenset(("remount", "idmap", "ridmap", "tmpcopyup"))  # implemented here; the kernel has no such options
# Files of /proc that may be mounted over, as lxcfs does; any other mount there could deceive tools and this runtime.
_PROC_OVERLAYS = frozenset(
    [
        "cpuinfo",
        "diskstats",
        "meminfo",
        "stat",
        "swaps",
        "uptime",
        "loadavg",
        "slabinfo",
        "net/dev",
        "sys/kernel/ns_last_pid",
        "sys/crypto/fips_enabled",
    ]
)
OPTIONS = sorted({*_ATTRIBUTES, *("r" + name for name in _ATTRIBUTES), *_PROPAGATION, *_SUPERBLOCK, *_UNNAMED, *_OWN})


def compile_mount(mount: Mapping[str, Any], *, bundle: str = "/", has_user: bool = False) -> Mount:
    """One entry of `mounts`; `has_user`: the container has a user namespace, whose maps a plain `idmap` uses.

    A relative source is below `bundle`. Raises LaunchError (spec) for a mount that is not valid or not supported.
    """
    options = tuple([option for option in mount.get("options") or () if option])  # podman 5 has empty ones
    maps = id_map(mount.get("uidMappings")), id_map(mount.get("gidMappings"))
    given = mount["destination"], mount.get("type"), mount.get("source"), options
    return _compile_mount(*given, *maps, bundle=bundle, has_user=has_user)


@functools.lru_cache(maxsize=128)  # most mounts are the same in every container
def _compile_mount(
    destination: str,
    fstype: str | None,
    source: str | None,
    options: tuple[str, ...],
    uids: tuple[IdRange, ...],
    gids: tuple[IdRange, ...],
    *,
    bundle: str,
    has_user: bool,
) -> Mount:
    is_bind = "bind" in options or "rbind" in options or fstype == "bind"
    idmap = _id_mapping(destination, uids, gids, options, is_bind=is_bind, has_user=has_user)
    destination = "/" + destination.lstrip("/")  # normpath keeps "//proc" as it is
    fstype = fstype or ("bind" if is_bind else "")
    if not fstype:
        raise LaunchError(SPEC, f"mount {destination} has no type")
    given = _Options(destination, options, is_bind=is_bind)
    copies_up = "tmpcopyup" in options
    if copies_up and fstype != "tmpfs":
        raise LaunchError(SPEC, f"mount {destination}: tmpcopyup is for tmpfs alone")
    label, place = source or fstype, _place(destination, fstype)
    attributes, recursive = (given.set, given.cleared), (given.all_set, given.all_cleared)
    if "remount" in options:
        if given.data and not is_bind:
            key = given.data[0].key
            raise LaunchError(SPEC, f"mount {destination}: a remount changes flags of the mount, not {key!r}")
        return Remount(label, destination, place, *attributes, *recursive, tuple(given.propagation))
    if is_bind:
        if not source:
            raise LaunchError(SPEC, f"bind mount {destination} has no source")
        path = os.path.join(bundle, source)
        is_recursive = "rbind" in options or not options
        # Default: later mounts of the host below the source appear inside; mounts made inside do not appear outside.
        propagation = tuple(given.propagation) or (Propagation(m.MS_SLAVE, recursive=True),)
        return BindMount(path, destination, place, is_recursive, *attributes, *recursive, propagation, idmap)
    if fstype in ("cgroup", "cgroup2"):
        everything = given.set | given.all_set  # nothing is mounted below any of them
        propagation = tuple(given.propagation)
        return CgroupMount(label, destination, place, everything, m.to_mount_flags(everything), propagation)
    name = source if source not in (None, "none") else fstype
    propagation = tuple(given.propagation)
    return NewMount(
        *(label, destination, place, fstype, name, tuple(given.data), given.set, *recursive, propagation, copies_up)
    )


class _Options:
    """The options of one mount, sorted by what carries them out."""

    def __init__(self, destination: str, options: tuple[str, ...], *, is_bind: bool) -> None:
        self.set = self.cleared = self.all_set = self.all_cleared = 0
        self.propagation: list[Propagation] = []
        self.data: list[Option] = []
        for option in options:
            if option in _ATTRIBUTES:
                more, less = _ATTRIBUTES[option]
                self.set, self.cleared = (self.set & ~less) | more, (self.cleared & ~more) | less
            elif option.startswith("r") and option[1:] in _ATTRIBUTES:
                more, less = _ATTRIBUTES[option[1:]]
                self.all_set, self.all_cleared = (self.all_set & ~less) | more, (self.all_cleared & ~more) | less
            elif option in _PROPAGATION:
                self.propagation.append(Propagation(*_PROPAGATION[option]))
            elif option == "move":
                raise LaunchError(SPEC, f"mount {destination}: option {option} is not supported")
            elif option in _UNNAMED or option in _OWN:
                continue
            elif option in _SUPERBLOCK or not is_bind:
                key, equals, value = option.partition("=")
                self.data.append(Option(key, value if equals else None))


def _place(destination: str, fstype: str) -> int:
    place = os.path.normpath(destination)
    flags = {"/proc": ON_PROC, "/sys": ON_SYS}.get(place, 0)
    if fstype in ("cgroup", "cgroup2"):
        flags = 0
    if fstype in ("proc", "sysfs"):
        flags |= ORDINARY
    elif place == "/proc":
        flags |= MUST_BE_PROC
    if place.removeprefix("/proc/") in _PROC_OVERLAYS:
        flags |= MAY_COVER_PROC
    return flags


def _id_mapping(
    destination: str,
    uids: tuple[IdRange, ...],
    gids: tuple[IdRange, ...],
    options: tuple[str, ...],
    *,
    is_bind: bool,
    has_user: bool,
) -> IdMapping | None:
    wanted = "idmap" in options or "ridmap" in options
    if not (wanted or uids or gids):
        return None
    if bool(uids) != bool(gids):
        raise LaunchError(SPEC, f"mount {destination}: uidMappings and gidMappings go together")
    if not is_bind:
        raise LaunchError(SPEC, f"mount {destination}: id-mapped mounts are for bind mounts alone")
    if not uids and not has_user:
        raise LaunchError(SPEC, f"mount {destination}: idmap needs mappings, or a container with a user namespace")
    return IdMapping(uids, gids, "ridmap" in options)


def id_map(entries: Sequence[Mapping[str, int]] | None) -> tuple[IdRange, ...]:
    """uidMappings or gidMappings of a specification. Raises LaunchError (spec)."""
    try:
        return tuple(
            IdRange(int(entry["containerID"]), int(entry["hostID"]), int(entry["size"])) for entry in entries or ()
        )
    except KeyError as e:
        raise LaunchError(SPEC, f"an id mapping without {e.args[0]}") from e


def propagation_flags(word: str | None) -> int:
    """`linux.rootfsPropagation` as mount(2) flags; 0 for none. Raises LaunchError (spec)."""
    if not word:
        return 0
    if word not in _PROPAGATION:
        raise LaunchError(SPEC, f"rootfsPropagation {word!r} is not known")
    flag, recursive = _PROPAGATION[word]
    return flag | (m.MS_REC if recursive else 0)
