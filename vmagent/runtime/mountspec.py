"""An OCI mount (config.md, "Mounts") as flags that the container's first process carries out as they stand."""

from __future__ import annotations

from vmagent.linux import mounts as m
from vmagent.runtime.failure import SPEC, LaunchError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
_OWN = frozenset(("remount", "idmap", "ridmap", "tmpcopyup"))  # carried out here, unknown to the kernel as words
OPTIONS = sorted({*_ATTRIBUTES, *("r" + name for name in _ATTRIBUTES), *_PROPAGATION, *_SUPERBLOCK, *_UNNAMED, *_OWN})


def compile_mount(mount: dict[str, Any], *, has_user: bool = False) -> dict[str, Any]:
    """One entry of `mounts`; `has_user`: the container has a user namespace, whose mapping `idmap` alone means.

    Raises LaunchError (spec) for what makes no sense or is not done here.
    """
    destination, source = mount["destination"], mount.get("source")
    options: list[str] = [option for option in mount.get("options") or () if option]  # podman 5 has empty ones
    destination = "/" + destination.lstrip("/")  # normpath keeps "//proc" as it is
    is_bind = "bind" in options or "rbind" in options or mount.get("type") == "bind"
    fstype = mount.get("type") or ("bind" if is_bind else "")
    if not fstype:
        raise LaunchError(SPEC, f"mount {destination} has no type")
    set_, clear, rec_set, rec_clear = 0, 0, 0, 0
    propagation: list[list[Any]] = []
    data: list[list[str | None]] = []
    for option in options:
        if option in _ATTRIBUTES:
            more, less = _ATTRIBUTES[option]
            set_, clear = (set_ & ~less) | more, (clear & ~more) | less
        elif option.startswith("r") and option[1:] in _ATTRIBUTES:
            more, less = _ATTRIBUTES[option[1:]]
            rec_set, rec_clear = (rec_set & ~less) | more, (rec_clear & ~more) | less
        elif option in _PROPAGATION:
            propagation.append(list(_PROPAGATION[option]))
        elif option == "move":
            raise LaunchError(SPEC, f"mount {destination}: option {option} is not supported")
        elif option in _UNNAMED or option in _OWN:
            continue
        elif option in _SUPERBLOCK or not is_bind:
            key, equals, value = option.partition("=")
            data.append([key, value if equals else None])
    copies_up = "tmpcopyup" in options
    if copies_up and fstype != "tmpfs":
        raise LaunchError(SPEC, f"mount {destination}: tmpcopyup is for tmpfs alone")
    is_remount = "remount" in options
    if is_remount and data and not is_bind:
        raise LaunchError(SPEC, f"mount {destination}: a remount changes flags of the mount, not {data[0][0]!r}")
    return {
        "destination": destination,
        "kind": "remount"
        if is_remount
        else "bind"
        if is_bind
        else "cgroup"
        if fstype in ("cgroup", "cgroup2")
        else "new",
        "fstype": fstype,
        "source": source,
        "recursive": "rbind" in options or not options,
        "set": set_,
        "clear": clear,
        "recursive_set": rec_set,
        "recursive_clear": rec_clear,
        "propagation": propagation,
        "data": [] if is_bind else data,
        "copies_up": copies_up,
        "idmap": _id_mapping(mount, options, is_bind=is_bind, has_user=has_user),
    }


def _id_mapping(mount: dict[str, Any], options: list[str], *, is_bind: bool, has_user: bool) -> dict[str, Any] | None:
    """{"uid_map", "gid_map", "recursive"} of an idmapped mount; empty maps: those of the container."""
    uids, gids = id_map(mount.get("uidMappings")), id_map(mount.get("gidMappings"))
    destination = mount["destination"]
    wanted = "idmap" in options or "ridmap" in options
    if not (wanted or uids or gids):
        return None
    if bool(uids) != bool(gids):
        raise LaunchError(SPEC, f"mount {destination}: uidMappings and gidMappings go together")
    if not is_bind:
        raise LaunchError(SPEC, f"mount {destination}: id-mapped mounts are for bind mounts alone")
    if not uids and not has_user:
        raise LaunchError(SPEC, f"mount {destination}: idmap needs mappings, or a container with a user namespace")
    return {"uid_map": uids, "gid_map": gids, "recursive": "ridmap" in options}


def id_map(entries: list[dict[str, int]] | None) -> list[list[int]]:
    """uidMappings or gidMappings as [inside, outside, count]. Raises LaunchError (spec)."""
    result = []
    for entry in entries or ():
        try:
            result.append([int(entry["containerID"]), int(entry["hostID"]), int(entry["size"])])
        except KeyError as e:
            raise LaunchError(SPEC, f"an id mapping without {e.args[0]}") from e
    return result


def propagation_flags(word: str | None) -> int:
    """`linux.rootfsPropagation` as mount(2) flags; 0 for none. Raises LaunchError (spec)."""
    if not word:
        return 0
    if word not in _PROPAGATION:
        raise LaunchError(SPEC, f"rootfsPropagation {word!r} is not known")
    flag, recursive = _PROPAGATION[word]
    return flag | (m.MS_REC if recursive else 0)
