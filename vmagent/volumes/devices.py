"""Volumes that are a file system of their own: the local driver's options type, device and o, as for mount(8).

A tmpfs, a share of an NFS or SMB server, a block device. It is mounted at the volume's folder while containers that
run use it, and taken away after the last one, as under docker: a tmpfs loses its content then.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vmagent.errors import BadRequest, EngineError
from vmagent.linux import mounts

# mount(8)'s words for mount(2)'s flags: (flags to set, flags to clear). All other words are the file system's.
_FLAGS: Mapping[str, tuple[int, int]] = {
    "defaults": (0, 0),
    "ro": (mounts.MS_RDONLY, 0),
    "rw": (0, mounts.MS_RDONLY),
    "nosuid": (mounts.MS_NOSUID, 0),
    "suid": (0, mounts.MS_NOSUID),
    "nodev": (mounts.MS_NODEV, 0),
    "dev": (0, mounts.MS_NODEV),
    "noexec": (mounts.MS_NOEXEC, 0),
    "exec": (0, mounts.MS_NOEXEC),
    "sync": (mounts.MS_SYNCHRONOUS, 0),
    "async": (0, mounts.MS_SYNCHRONOUS),
    "dirsync": (mounts.MS_DIRSYNC, 0),
    "noatime": (mounts.MS_NOATIME, 0),
    "atime": (0, mounts.MS_NOATIME),
    "nodiratime": (mounts.MS_NODIRATIME, 0),
    "diratime": (0, mounts.MS_NODIRATIME),
    "relatime": (mounts.MS_RELATIME, 0),
    "norelatime": (0, mounts.MS_RELATIME),
    "strictatime": (mounts.MS_STRICTATIME, 0),
    "nostrictatime": (0, mounts.MS_STRICTATIME),
}
_BINDS = ("bind", "rbind")
_NETWORK_TYPES = ("nfs", "cifs", "smb3")  # also nfs4: the kernel wants the server's address, not its name


@dataclass(frozen=True, slots=True)
class Device:
    """A file system to mount: mount(2)'s arguments."""

    kind: str
    source: str
    flags: int
    data: str

    @property
    def is_lost_at_the_end(self) -> bool:
        """Whether its content ends with the mount."""
        return self.kind in ("tmpfs", "ramfs")


def device_of(options: Mapping[str, str]) -> Device | None:
    """The file system that a volume's options name; None for those that name none, or a folder to bind."""
    words = [word for word in options.get("o", "").split(",") if word]
    kind = options.get("type", "")
    if not options.get("device") or kind in ("", "none", "bind") or any(word in _BINDS for word in words):
        return None
    flags, data = 0, []
    for word in words:
        if word in _FLAGS:
            added, removed = _FLAGS[word]
            flags = (flags | added) & ~removed
        else:
            data.append(word)
    return Device(kind, options["device"], flags, ",".join(data))


def check_options(name: str, options: Mapping[str, str]) -> None:
    """Raises BadRequest where the local driver's options are unknown or incomplete."""
    if not options:
        return
    if unknown := set(options) - {"type", "o", "device"}:
        raise BadRequest(f'create {name}: invalid option: "{min(unknown)}"')
    is_bind = any(word in _BINDS for word in options.get("o", "").split(","))
    needed = ("device",) if is_bind else ("device", "type")
    for key in needed:
        if not options.get(key):
            raise BadRequest(f'create {name}: missing required option: "{key}"')
    if is_bind and not options["device"].startswith("/"):
        raise BadRequest(f"create {name}: missing required option: an absolute path as device")
    if not is_bind and options["type"] in ("none", "bind"):
        raise BadRequest(f'create {name}: invalid option: type={options["type"]} needs "bind" in the option "o"')


def mount(device: Device, folder: Path) -> None:
    """Mount at `folder`, unless something is mounted there already. Raises EngineError."""
    if os.path.ismount(folder):
        return
    try:
        data = _with_address(device)
        mounts.mount(device.source, str(folder), device.kind, device.flags, data)
    except OSError as e:
        reason = (str(e.strerror) if isinstance(e, socket.gaierror) else os.strerror(e.errno or 0)).lower()
        raise EngineError(
            f"error while mounting volume '{folder}': failed to mount local volume: "
            f"mount {device.source}:{folder}, data: {device.data}: {reason}"
        ) from e


def unmount(folder: Path) -> None:
    """Containers that still have a mount of it keep that. Raises OSError."""
    if os.path.ismount(folder):
        mounts.umount(str(folder), mounts.MNT_DETACH)


def _with_address(device: Device) -> str:
    """The options with the name in `addr=` replaced by an address. Raises OSError."""
    if not device.kind.startswith(_NETWORK_TYPES):
        return device.data
    words = device.data.split(",")
    for at, word in enumerate(words):
        if word.startswith("addr="):
            name = word.removeprefix("addr=")
            words[at] = f"addr={socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)[0][4][0]}"
    return ",".join(words)
