"""Users and groups of a container, from its own /etc/passwd and /etc/group.

The files are parsed here and not by NSS, which would load libraries, after pivot_root those of the container
(CVE-2019-14271). The image's author is not trusted: the files are opened below the root, must be regular, and have a
limited size.
"""

from __future__ import annotations

import os
import stat

from vmagent.linux import mounts
from vmagent.runtime.failure import USER, LaunchError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmagent.runtime.plantypes import Process

_MAX_BYTES = 16 << 20
_MAX_ID = 2**31 - 1  # largest number accepted as uid or gid when no such name exists (docker's limit)
_MAX_KERNEL_ID = 2**32 - 2  # -1 means "no change" to setresuid(2): root would stay root


class Identity:
    """The ids of a process. `groups` includes the primary group (CVE-2022-2995), unless exact groups were given."""

    __slots__ = ("gid", "groups", "home", "uid")

    def __init__(self, uid: int, gid: int, groups: list[int], home: str) -> None:
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.home = home


def look_up(root_fd: int, process: Process) -> Identity:
    """Resolve docker's user string ("name", "uid", "name:group", "uid:gid") of a compiled process below `root_fd`.

    Without such a string the process's numbers are used. Raises LaunchError (user) with docker's wording.
    """
    name, group, uid, gid = process.user, process.group, process.uid, process.gid
    passwd = _records(root_fd, "/etc/passwd")
    extra = list(process.groups)
    home = ""
    if name is not None:
        uid, gid, home, known_as = _find_user(passwd, name)
        if group:
            gid = _find_group(_records(root_fd, "/etc/group"), group)
        elif known_as:
            extra += [
                _to_number(record[2])
                for record in _records(root_fd, "/etc/group")
                if len(record) > 3 and known_as in record[3].split(",") and _is_id(record[2])
            ]
    else:
        for record in passwd:
            if len(record) > 5 and record[2] == str(uid):
                home = record[5]
                break
    if process.group_add:
        records = _records(root_fd, "/etc/group")
        extra += [_find_group(records, added) for added in process.group_add]
    first = [] if process.exact_groups and name is None else [gid]
    return Identity(uid, gid, list(dict.fromkeys([*first, *extra])), home or "/")


def _find_user(records: list[list[str]], name: str) -> tuple[int, int, str, str]:
    """(uid, gid, home, name in the file or "") of a user name or number; root for "". Raises LaunchError."""
    for record in records:
        if len(record) > 3 and name in (record[0], record[2]) and _is_id(record[2]) and _is_id(record[3]):
            return _to_number(record[2]), _to_number(record[3]), record[5] if len(record) > 5 else "", record[0]
    if not name:
        return 0, 0, "", ""
    return _typed_id("user", "passwd", name), 0, "", ""


def _find_group(records: list[list[str]], name: str) -> int:
    for record in records:
        if len(record) > 2 and name in (record[0], record[2]) and _is_id(record[2]):
            return _to_number(record[2])
    return _typed_id("group", "group", name)


def _to_number(text: str) -> int:
    """A decimal number of at most ten digits without leading zeros; -1 for other text."""
    if not (text.isascii() and text.isdigit()):
        return -1
    digits = text.lstrip("0")
    return int(digits or "0") if len(digits) <= 10 else -1


def _is_id(field: str) -> bool:
    return 0 <= _to_number(field) <= _MAX_KERNEL_ID


def _typed_id(what: str, file: str, name: str) -> int:
    """The number that was given for a user or group that the file does not list. Raises LaunchError."""
    if not (name.isascii() and name.isdigit()):
        raise LaunchError(USER, f"unable to find {what} {name}: no matching entries in {file} file")
    if not 0 <= _to_number(name) <= _MAX_ID:
        raise LaunchError(USER, f"uids and gids must be in range 0-{_MAX_ID}")
    return _to_number(name)


def _records(root_fd: int, path: str) -> list[list[str]]:
    """The fields of each colon-separated line of a file below the root; empty if it is missing or not usable."""
    try:
        fd = mounts.open_in_root(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return []
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_size > _MAX_BYTES:
            return []
        parts = []
        left = info.st_size
        while left > 0 and (part := os.read(fd, min(left, 1 << 18))):
            parts.append(part)
            left -= len(part)
    finally:
        os.close(fd)
    text = b"".join(parts).decode("utf-8", "surrogateescape")
    return [line.split(":") for line in text.split("\n") if line and line[0] != "#" and "\0" not in line]


def look_up_owner(root_fd: int, text: str) -> tuple[int, int]:
    """(uid, gid) of `COPY --chown`'s user string. A number without a group is the group's number too.

    Raises LaunchError (user).
    """
    name, _, group = text.partition(":")
    if name.isascii() and name.isdigit():
        uid = gid = _typed_id("user", "passwd", name)
    else:
        uid, gid, _, _ = _find_user(_records(root_fd, "/etc/passwd"), name)
    if group:
        gid = _find_group(_records(root_fd, "/etc/group"), group)
    return uid, gid
