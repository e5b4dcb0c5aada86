"""An OCI mount (config.md, "Mounts") as flags that the container's first process carries out as they stand."""

from __future__ import annotations

from typing import Any

from vmagent.linux import mounts as m
from vmagent.runtime.failure import SPEC, LaunchError

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
_REFUSED = frozenset(("remount", "move", "idmap", "ridmap", "tmpcopyup"))


def compile_mount(mount: dict[str, Any]) -> dict[str, Any]:
    """One entry of `mounts`. Raises LaunchError (spec) for what makes no sense or is not done here."""
    destination, source = mount["destination"], mount.get("source")
    options: list[str] = mount.get("options") or []
    if not destination.startswith("/"):
        destination = "/" + destination
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
        elif option in _REFUSED:
            raise LaunchError(SPEC, f"mount {destination}: option {option} is not supported")
        elif option in _UNNAMED:
            continue
        elif option in _SUPERBLOCK or not is_bind:
            key, equals, value = option.partition("=")
            data.append([key, value if equals else None])
    return {
        "destination": destination,
        "kind": "bind" if is_bind else "cgroup" if fstype in ("cgroup", "cgroup2") else "new",
        "fstype": fstype,
        "source": source,
        "recursive": "rbind" in options or not options,
        "set": set_,
        "clear": clear,
        "recursive_set": rec_set,
        "recursive_clear": rec_clear,
        "propagation": propagation,
        "data": [] if is_bind else data,
    }


def propagation_flags(word: str | None) -> int:
    """`linux.rootfsPropagation` as mount(2) flags; 0 for none. Raises LaunchError (spec)."""
    if not word:
        return 0
    if word not in _PROPAGATION:
        raise LaunchError(SPEC, f"rootfsPropagation {word!r} is not known")
    flag, recursive = _PROPAGATION[word]
    return flag | (m.MS_REC if recursive else 0)
