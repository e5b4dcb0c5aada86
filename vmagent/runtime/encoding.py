"""A plan as the spawner's request: the fields in the order in which its C code reads and carries them out.

Numbers are 8 bytes, little endian; strings end with NUL; a descriptor is the position among those sent along. The
spawner does what most containers ask for; what it does not know makes `encode_start` and `encode_exec` give None, and
then the process is made by the Python child of `vmagent.runtime.launch`, which knows everything.
"""

from __future__ import annotations

import binascii
import os
import struct

from vmagent.linux import mounts as m
from vmagent.linux import process as linux
from vmagent.runtime.rootfs import PROC_OVERLAYS, overlay_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vmagent.runtime.process import Kernel

_START, _EXEC = 1, 2
# Of a mount: its kind, then what its place means.
_NEW, _BIND, _CGROUPS = 0, 1, 2
_ON_PROC, _ON_SYS, _ORDINARY, _MAY_COVER_PROC, _MUST_BE_PROC = 1, 2, 4, 8, 16
# Of what a mount of cgroups shows.
_LINK, _HIERARCHY, _SHOWN, _WHOLE = 0, 1, 2, 3
_MAX_FDS, _MAX_SOURCES, _MAX_OPTIONS, _MAX_BYTES = 16, 256, 64, 128 << 10
_PAGE = 4096
_MASK = (1 << 64) - 1

_number = struct.Struct("<Q").pack
_three = struct.Struct("<3Q").pack
_five = struct.Struct("<5Q").pack


class _NotKnown(Exception):
    """The spawner can't do this."""


# The last three: what is no number or has no bytes. It is the interpreter's to say what is wrong with that.
_UNFIT = (_NotKnown, struct.error, TypeError, UnicodeEncodeError)


class Request:
    """The bytes so far, and the descriptors that go with them."""

    __slots__ = ("fds", "parts")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.fds: list[int] = []

    def number(self, value: int) -> None:
        self.parts.append(_number(value & _MASK))

    def word(self, value: int, bits: int = 32) -> None:
        """A number that C has in `bits`: nothing of a greater one is to be lost there."""
        if not 0 <= value < 1 << bits:
            raise _NotKnown
        self.number(value)

    def string(self, text: str) -> None:
        raw = os.fsencode(text)
        if b"\0" in raw:
            raise _NotKnown
        self.parts.append(raw + b"\0")

    def strings(self, texts: list[str]) -> None:
        """How many, then each."""
        joined = "\0".join(texts)
        if joined.count("\0") != max(len(texts) - 1, 0):
            raise _NotKnown
        self.parts.append(_number(len(texts)) + (os.fsencode(joined) + b"\0" if texts else b""))

    def blob(self, raw: bytes) -> None:
        self.parts.append(_number(len(raw)) + raw)

    def descriptor(self, fd: int) -> None:
        if fd < 0:
            self.parts.append(_number(_MASK))
            return
        self.parts.append(_number(len(self.fds)))
        self.fds.append(fd)

    def done(self) -> tuple[bytes, list[int]]:
        message = b"".join(self.parts)
        if len(message) > _MAX_BYTES or len(self.fds) > _MAX_FDS:
            raise _NotKnown
        return message, self.fds


def encode_start(
    plan: dict[str, Any],
    kernel: Kernel,
    *,
    clone_flags: int,
    pipes: tuple[int, int, int],
    cgroup_fd: int,
    tasks: list[str],
    unshares_cgroup: bool,
    pid_ns_fd: int,
    joins: list[tuple[int, int]],
    shown_cgroups: list[dict[str, Any]],
    streams: tuple[int, int, int],
    starting: tuple[int, int],
) -> tuple[bytes, list[int]] | None:
    """The request that starts a container's first process, and its descriptors; None where the spawner can't.

    `pipes`: the report's write end, go's read end, the console's socket or -1. `tasks`: the files that a process enters
    its v1 cgroups by. `joins`: (descriptor, CLONE_* flag) of each namespace to enter. `streams`, and `starting`
    (start_fd, started_fd), as for `launch`.
    """
    process = plan["process"]
    if process["extra"] is not None or plan["tell_outside"] or not _is_known(plan["extra"]):
        return None
    request = Request()
    try:
        _head(request, _START, clone_flags, (pipes[0], pipes[1], *starting, cgroup_fd, pid_ns_fd))
        _enter(request, process, tasks, plan["id"])
        request.number(unshares_cgroup)
        request.number(len(joins))
        for fd, flag in joins:
            request.descriptor(fd)
            request.number(flag)
        request.number(bool(clone_flags & linux.CLONE_NEWNET))
        _file_system(request, plan, shown_cgroups)
        _streams(request, process, pipes[2], streams)
        has_names = "uts" in plan["private"]
        request.string(plan["hostname"] or "" if has_names else "")
        request.string(plan["domainname"] or "" if has_names else "")
        request.number(len(plan["sysctl"]))
        for path, value in plan["sysctl"]:
            request.string("sys/" + path)
            request.string(value)
        request.string(process["cwd"])
        request.strings(plan["masked"])
        request.strings(plan["readonly_paths"])
        request.number(plan["extra"] is not None and plan["extra"]["asks_for_hooks"])
        request.number(plan["readonly"])
        request.number(plan["propagation"])
        _become(request, process, kernel)
        return request.done()
    except _UNFIT:
        return None


def encode_exec(
    process: dict[str, Any],
    kernel: Kernel,
    *,
    namespaces: int,
    pipes: tuple[int, int, int],
    cgroup_fd: int,
    tasks: list[str],
    container_pidfd: int,
    streams: tuple[int, int, int],
) -> tuple[bytes, list[int]] | None:
    """The request for another process in the container of `container_pidfd`; see `encode_start`."""
    if process["extra"] is not None:
        return None
    request = Request()
    try:
        _head(request, _EXEC, 0, (pipes[0], pipes[1], -1, -1, cgroup_fd, -1))
        _enter(request, process, tasks, "exec")
        request.descriptor(container_pidfd)
        request.number(namespaces)
        _streams(request, process, pipes[2], streams)
        _become(request, process, kernel)
        return request.done()
    except _UNFIT:
        return None


def _is_known(extra: dict[str, Any] | None) -> bool:
    """Of what few containers ask for the spawner knows only the hooks that the runtime itself runs."""
    return extra is None or all(value is None for key, value in extra.items() if key != "asks_for_hooks")


def _head(request: Request, kind: int, flags: int, fds: tuple[int, ...]) -> None:
    request.number(kind)
    request.number(flags)
    for fd in fds:
        request.descriptor(fd)


def _enter(request: Request, process: dict[str, Any], tasks: list[str], name: str) -> None:
    request.strings(tasks)
    score = process["oom_score_adj"]
    request.number(score is not None)
    request.number(score or 0)
    request.string("_ses." + name)


def _file_system(request: Request, plan: dict[str, Any], shown_cgroups: list[dict[str, Any]]) -> None:
    mount_list = plan["mounts"]
    binds = [mount for mount in mount_list if mount["kind"] == "bind"]
    if len(binds) > _MAX_SOURCES:
        raise _NotKnown
    request.number(len(binds))
    for mount in binds:
        request.string(mount["source"])
        request.string(mount["destination"])
        request.number(mount["recursive"])
    request.string(plan["rootfs"])
    request.string("" if plan["overlay"] is None else _overlay(plan["overlay"]))
    request.number(len(mount_list))
    position = 0
    for mount in mount_list:
        _mount(request, mount, position, shown_cgroups)
        position += mount["kind"] == "bind"
    request.number(len(plan["devices"]))
    request.number(plan["default_links"])
    for device in plan["devices"]:
        folder, slash, name = device["path"].rpartition("/")
        if not slash:
            raise _NotKnown
        request.string(folder)
        request.string(name)
        request.word(device["mode"])
        request.word(device["device"], 64)
        request.word(device["uid"])
        request.word(device["gid"])


def _overlay(overlay: dict[str, Any]) -> str:
    folders = list(overlay["lowers"])
    writable = [overlay["upper"], overlay["work"]] if overlay.get("upper") else []
    options = overlay_options(folders, writable)
    if len(os.fsencode(options)) >= _PAGE or any(c in path for path in folders + writable for c in ":,\\"):
        raise _NotKnown
    return options


def _mount(request: Request, mount: dict[str, Any], position: int, shown_cgroups: list[dict[str, Any]]) -> None:
    kind = {"new": _NEW, "bind": _BIND, "cgroup": _CGROUPS}.get(mount["kind"])
    if kind is None or mount["copies_up"] or mount["idmap"]:
        raise _NotKnown
    destination = mount["destination"]
    place = os.path.normpath(destination)
    flags = {"/proc": _ON_PROC, "/sys": _ON_SYS}.get(place, 0) if kind != _CGROUPS else 0
    if mount["fstype"] in ("proc", "sysfs"):
        flags |= _ORDINARY
    elif place == "/proc":
        flags |= _MUST_BE_PROC
    if place.removeprefix("/proc/") in PROC_OVERLAYS:
        flags |= _MAY_COVER_PROC
    request.number(kind)
    request.string(mount["source"] or mount["fstype"])
    request.string(destination)
    request.parts.append(_five(flags, mount["set"], mount["clear"], mount["recursive_set"], mount["recursive_clear"]))
    propagation = mount["propagation"]
    if kind == _CGROUPS:
        if propagation or mount["recursive_set"] or mount["recursive_clear"]:
            raise _NotKnown
        _cgroups(request, mount, shown_cgroups)
        return
    if kind == _NEW:
        request.string(mount["fstype"])
        request.string(mount["source"] if mount["source"] not in (None, "none") else mount["fstype"])
        _options(request, mount["data"])
    else:
        request.number(position)
        propagation = propagation or [(m.MS_SLAVE, True)]
    request.number(len(propagation))
    for flag, recursive in propagation:
        request.number(flag)
        request.number(recursive)


def _options(request: Request, options: list[Any]) -> None:
    if len(options) > _MAX_OPTIONS:
        raise _NotKnown
    request.number(len(options))
    for key, value in options:
        request.string(key)
        request.number(value is not None)
        if value is not None:
            request.string(value)


def _cgroups(request: Request, mount: dict[str, Any], shown: list[dict[str, Any]]) -> None:
    request.number(m.to_mount_flags(mount["set"]))
    request.number(len(shown))
    for entry in shown:
        if "link" in entry:
            request.number(_LINK)
            request.string(entry["link"])
            request.string(entry["to"])
        elif not entry["folder"]:
            request.number(_WHOLE)
            request.number("bind" in entry)
            if "bind" in entry:
                request.string(entry["bind"])
            else:
                request.string(entry["fstype"])
                request.string("cgroup")
                _options(request, entry["options"])
        elif "bind" in entry:
            request.number(_SHOWN)
            request.string(entry["folder"])
            request.string(entry["bind"])
        else:
            request.number(_HIERARCHY)
            request.string(entry["folder"])
            request.string(",".join(key if value is None else f"{key}={value}" for key, value in entry["options"]))


def _streams(request: Request, process: dict[str, Any], console_fd: int, streams: tuple[int, int, int]) -> None:
    request.number(process["terminal"])
    if process["terminal"]:
        request.descriptor(console_fd)
        rows, columns = process["console_size"] or (0, 0)
        request.word(rows, 16)
        request.word(columns, 16)
        return
    for fd in streams:
        request.descriptor(fd)


def _become(request: Request, process: dict[str, Any], kernel: Kernel) -> None:
    user = process["user"]
    name, _, group = (user or "").partition(":")
    request.number(bool(user))
    request.string(name)
    request.string(group)
    request.word(process["uid"])
    request.word(process["gid"])
    request.number(process["exact_groups"])
    groups = process["groups"]
    if any(not 0 <= gid <= 0xFFFFFFFF for gid in groups):
        raise _NotKnown
    request.number(len(groups))
    request.blob(struct.pack(f"<{len(groups)}I", *groups))
    request.strings(process["group_add"])
    request.number(len(process["rlimits"]))
    for number, soft, hard in process["rlimits"]:
        request.parts.append(_three(number, soft & _MASK, hard & _MASK))
    wanted = process["capabilities"]
    request.number(kernel.permitted)
    request.number(kernel.last_capability)
    request.number(wanted is not None)
    for kind in ("bounding", "effective", "permitted", "inheritable", "ambient"):
        request.number(0 if wanted is None else wanted[kind])
    request.word(process["umask"])
    request.string(process["cwd"])
    request.strings(process["args"])
    environment = {}
    for entry in process["env"]:
        key, equals, value = entry.partition("=")
        if equals and key:
            environment[key] = value
    has_home = bool(environment.get("HOME"))
    if not has_home:
        environment.pop("HOME", None)
    request.strings([f"{key}={value}" for key, value in environment.items()])
    request.number(not has_home)
    request.string(environment.get("PATH", ""))
    request.number(process["no_new_privileges"])
    seccomp = process["seccomp"]
    request.number(0 if seccomp is None else seccomp["flags"])
    request.blob(b"" if seccomp is None else binascii.a2b_base64(seccomp["filter"]))
