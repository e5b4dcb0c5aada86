"""Subordinate ids: which ids of the host a user namespace may map (subuid(5), subgid(5)).

`--userns-remap` takes `default` (the user dockremap), USER[:GROUP] or UID[:GID]. As in dockerd, the ranges in
/etc/subuid and /etc/subgid are those of the user's name or number; a group is only checked for existence. Unlike
dockerd, this engine does not create the user: it does not write to the host's user database.
"""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from typing import NamedTuple

from vmagent.linux.idmaps import outside

DEFAULT_USER = "dockremap"
SUBUID, SUBGID = Path("/etc/subuid"), Path("/etc/subgid")
_LAST_ID = (1 << 32) - 2
_MAX_RANGES = 340  # user_namespaces(7)
_HINT = (
    f"make it by: useradd --system --user-group --shell /bin/false {DEFAULT_USER}; "
    f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {DEFAULT_USER}"
)

Entries = list[list[int]]


class IdMaps(NamedTuple):
    """The mappings of a user namespace: [inside, outside, count] each, as in /proc/PID/uid_map."""

    uids: Entries
    gids: Entries

    @property
    def root(self) -> tuple[int, int]:
        """The host's uid and gid of root inside the namespace; the overflow ids if root is not mapped."""
        return outside(0, self.uids), outside(0, self.gids)

    @classmethod
    def of_process(cls, process_fd: int) -> IdMaps:
        """The maps of a process's user namespace, as seen from ours; `process_fd`: its /proc/PID. Raises OSError."""
        return cls(*(_read_map(process_fd, name) for name in ("uid_map", "gid_map")))


def look_up(text: str) -> IdMaps:
    """The maps for the value `text` of --userns-remap. Raises ValueError with one line for the user."""
    user, colon, group = text.partition(":")
    if not user or ":" in group or (colon and not group):
        raise ValueError(f'Invalid user/group specification in --userns-remap: "{text}"')
    is_default = user == "default" and not colon
    entry = _user(DEFAULT_USER if is_default else user, is_default=is_default)
    if colon:
        _require_group(group)
    if entry.pw_uid == 0:
        raise ValueError("--userns-remap: root cannot be remapped with itself")
    hint = f"; {_HINT}" if is_default else ""
    maps = []
    for path in (SUBUID, SUBGID):
        ranges = _ranges(path, entry)
        if not ranges:
            kind = path.name
            raise ValueError(f'Can\'t create ID mappings: no {kind} ranges found for user "{entry.pw_name}"{hint}')
        maps.append(ranges)
    return IdMaps(*maps)


def _user(text: str, *, is_default: bool) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(text)) if text.isdigit() else pwd.getpwnam(text)
    except (KeyError, OverflowError):
        if is_default:
            raise ValueError(f"--userns-remap=default: there is no user {DEFAULT_USER}; {_HINT}") from None
        if text.isdigit():
            raise ValueError(f"--userns-remap: Uid {text} has no entry in /etc/passwd") from None
        raise ValueError(f'--userns-remap: Error during uid lookup for "{text}": there is no such user') from None


def _require_group(text: str) -> None:
    try:
        if text.isdigit():
            grp.getgrgid(int(text))
        else:
            grp.getgrnam(text)
    except (KeyError, OverflowError):
        if text.isdigit():
            raise ValueError(f"--userns-remap: Gid {text} has no entry in /etc/group") from None
        raise ValueError(
            f'--userns-remap: Error during groupname lookup for "{text}": there is no such group'
        ) from None


def _ranges(path: Path, user: pwd.struct_passwd) -> Entries:
    """The user's ranges in `path`, mapped to consecutive ids from 0. Raises ValueError for ranges not allowed."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as e:
        raise ValueError(f"Can't create ID mappings: {path}: {e.strerror}") from e
    found: Entries = []
    first = 0
    for line in lines:
        owner, *numbers = line.strip().split(":")
        if owner not in (user.pw_name, str(user.pw_uid)):
            continue
        if len(numbers) != 2 or not all(number.isdigit() for number in numbers):
            raise ValueError(f"Can't create ID mappings: {path}: cannot parse {line!r}")
        start, count = map(int, numbers)
        if start == 0 or count == 0 or start + count - 1 > _LAST_ID:
            raise ValueError(f"Can't create ID mappings: {path}: {line!r} is no range of unprivileged ids")
        if any(start < there + size and there < start + count for _, there, size in found):
            raise ValueError(f"Can't create ID mappings: {path}: {line!r} overlaps another range of {owner}")
        found.append([first, start, count])
        first += count
    if len(found) > _MAX_RANGES:
        raise ValueError(f"Can't create ID mappings: {path}: more than {_MAX_RANGES} ranges for {user.pw_name}")
    return found


def _read_map(process_fd: int, name: str) -> Entries:
    with open(os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=process_fd), encoding="ascii") as file:
        return [[int(number) for number in line.split()] for line in file]
