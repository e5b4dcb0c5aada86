"""Check an OCI runtime-spec document and compile it to a `Plan`, which the supervisor executes unchanged.

The engine does this work, so that the supervisor, which forks, stays small and makes no decisions. A part of the
specification that this runtime does not implement is refused here, never ignored.
"""

from __future__ import annotations

import base64
import functools
import os
import stat
from collections.abc import Mapping, Sequence

from vmagent.linux import capabilities
from vmagent.linux.process import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    SECCOMP_FILTER_FLAG_NEW_LISTENER,
)
from vmagent.runtime.extraplan import check_supported, late_read_only, plan_extra, process_extra
from vmagent.runtime.failure import SPEC, LaunchError
from vmagent.runtime.mountspec import compile_mount, propagation_flags
from vmagent.runtime.plantypes import (
    RLIM_INFINITY,
    BindMount,
    Capabilities,
    Device,
    Filter,
    Join,
    Plan,
    Process,
    Rlimit,
    Rootfs,
    Sysctl,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vmagent.runtime.plantypes import Mount, Overlay

_NAMESPACES = {
    "mount": CLONE_NEWNS,
    "pid": CLONE_NEWPID,
    "network": CLONE_NEWNET,
    "ipc": CLONE_NEWIPC,
    "uts": CLONE_NEWUTS,
    "cgroup": CLONE_NEWCGROUP,
    "user": CLONE_NEWUSER,
    "time": CLONE_NEWTIME,
}
# asm-generic/resource.h
_RLIMITS = {
    name: number
    for number, name in enumerate(
        [
            "CPU",
            "FSIZE",
            "DATA",
            "STACK",
            "CORE",
            "RSS",
            "NPROC",
            "NOFILE",
            "MEMLOCK",
            "AS",
            "LOCKS",
            "SIGPENDING",
            "MSGQUEUE",
            "NICE",
            "RTPRIO",
            "RTTIME",
        ]
    )
}
_MAX_ID = (1 << 32) - 2  # -1 means "no change" to setresuid(2): root would stay root
# Nodes of every container whose /dev is not a bind mount: config-linux.md, "Default Devices".
_DEFAULT_DEVICES = (
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
)
_DEFAULT_NODES = {
    path: Device("/dev", path.removeprefix("/dev/"), stat.S_IFCHR | 0o666, os.makedev(major, minor), 0, 0)
    for path, major, minor in _DEFAULT_DEVICES
}
_DEVICE_TYPES = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
# Devices that are allowed in every container: the nodes above, and its terminals.
_ALLOWED_DEVICES = (
    {"allow": True, "type": "c", "access": "m"},  # mknod is harmless: opening the node is what needs a rule
    {"allow": True, "type": "b", "access": "m"},
    *(
        {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"}
        for _, major, minor in _DEFAULT_DEVICES
    ),
    {"allow": True, "type": "c", "major": 136, "access": "rwm"},  # /dev/pts/*
    {"allow": True, "type": "c", "major": 5, "minor": 1, "access": "rwm"},  # /dev/console
    {"allow": True, "type": "c", "major": 5, "minor": 2, "access": "rwm"},  # /dev/pts/ptmx
)
# Kernel parameters that belong to a namespace, and the namespace. Any other parameter would change the host.
_SYSCTL_NAMESPACES = {"net": "network", "kernel.domainname": "uts", "kernel.hostname": "uts"}
_SWAPPED = str.maketrans("./", "/.")
_IPC_SYSCTLS = frozenset(
    f"kernel.{name}"
    for name in [
        "msgmax",
        "msgmnb",
        "msgmni",
        "sem",
        "shmall",
        "shmmax",
        "shmmni",
        "shm_rmid_forced",
        "msg_next_id",
        "sem_next_id",
        "shm_next_id",
    ]
)
_INIT_PATH = "/sbin/docker-init"  # docker's path of the --init program; scripts in images look for it there


def compile_plan(
    spec: Mapping[str, Any],
    *,
    container_id: str,
    cgroup_path: str,
    overlay: Overlay | None = None,
    user: str | None = None,
    group_add: Sequence[str] = (),
    netns_fd: bool = False,
    tell_outside: bool = False,
    init: str | None = None,
    bundle: str = "/",
    with_hooks: bool = False,
    with_listener: bool = False,
    exact_groups: bool = False,
    joined_maps: tuple[list[list[int]], list[list[int]]] | None = None,
) -> Plan:
    """Compile an OCI runtime-spec document (1.2, Linux part).

    `overlay` is mounted at `root.path` by the container's first process in its own mount namespace. `user` ("name",
    "uid:gid", …, as docker's --user) and the names of `group_add` are looked up in the container's files at the start.
    `netns_fd`: the caller passes a network namespace to `launch` as a descriptor. `init` is a static program on the
    host that becomes process 1 and starts the command. Relative paths in the document are below `bundle`. `with_hooks`,
    `with_listener`: the launcher runs hooks and hands a seccomp listener over (see `vmagent.runtime.lifecycle`);
    otherwise both are refused. `joined_maps`: the uid and gid maps ([inside, outside, count]) of a
    user namespace that is joined; an overlay needs them. Raises LaunchError (spec).
    """
    linux = spec.get("linux") or {}
    check_supported(spec, linux, with_hooks=with_hooks)
    clone_flags, joins, private = _namespaces(linux.get("namespaces") or [], with_netns_fd=netns_fd)
    process = spec.get("process")
    if process is None:
        raise LaunchError(SPEC, "the specification has no process")
    mounts = [compile_mount(mount, bundle=bundle, has_user="user" in private) for mount in spec.get("mounts") or ()]
    if init is not None:
        options = ["bind", "ro"]
        mounts.append(compile_mount({"destination": _INIT_PATH, "type": "bind", "source": init, "options": options}))
        process = {**process, "args": [_INIT_PATH, "--", *process["args"]]}
    resources = dict(linux.get("resources") or {})
    if rules := resources.get("devices"):
        resources["devices"] = [*rules, *_ALLOWED_DEVICES]
    return Plan(
        id=container_id,
        cgroup=cgroup_path,
        resources=resources,
        clone_flags=clone_flags,
        joins=joins,
        tell_outside=tell_outside,
        rootfs=_rootfs(spec, linux, mounts, private, bundle, overlay),
        process=compile_exec(
            process,
            seccomp=linux.get("seccomp"),
            user=user,
            group_add=group_add,
            personality=linux.get("personality"),
            with_listener=with_listener,
            exact_groups=exact_groups,
        ),
        extra=plan_extra(spec, linux, private, joined_maps),
    )


def _rootfs(
    spec: Mapping[str, Any],
    linux: Mapping[str, Any],
    mounts: list[Mount],
    private: set[str],
    bundle: str,
    overlay: Overlay | None,
) -> Rootfs:
    root = spec.get("root") or {}
    has_own_dev = not any(m.destination == "/dev" and isinstance(m, BindMount) for m in mounts) and any(
        m.destination == "/dev" for m in mounts
    )
    hostname, domainname = spec.get("hostname") or "", spec.get("domainname") or ""
    if (hostname or domainname) and "uts" not in private:
        raise LaunchError(SPEC, "unable to set hostname without a private UTS namespace")
    mounts, late = late_read_only(mounts)
    return Rootfs(
        path=os.path.join(bundle, root.get("path") or "rootfs"),
        overlay=overlay,
        readonly=bool(root.get("readonly")),
        propagation=propagation_flags(linux.get("rootfsPropagation")),
        mounts=tuple(mounts),
        late_read_only=late,
        devices=_devices(linux.get("devices") or (), with_defaults=has_own_dev),
        default_links=has_own_dev,
        masked=tuple(linux.get("maskedPaths") or ()),
        readonly_paths=tuple(linux.get("readonlyPaths") or ()),
        hostname=hostname,
        domainname=domainname,
        sysctls=_sysctls(linux.get("sysctl") or {}, private),
    )


def compile_exec(
    process: Mapping[str, Any],
    *,
    seccomp: Mapping[str, Any] | None = None,
    user: str | None = None,
    group_add: Sequence[str] = (),
    personality: Mapping[str, Any] | None = None,
    namespaces: int = 0,
    with_listener: bool = False,
    exact_groups: bool = False,
) -> Process:
    """Compile an OCI `process` object (config.md, "Process") for `launch_exec`, or as the process of a plan.

    `namespaces`: CLONE_NEWUSER and CLONE_NEWTIME where the container has them, to be entered by an exec.
    `exact_groups`: the primary group becomes a supplementary one only if additionalGids has it, as with runc; an engine
    adds it there itself. Raises LaunchError (spec).
    """
    _check_process(process)
    ids = process.get("user") or {}
    size = process.get("consoleSize") or {}
    warnings: list[str] = []
    environment = _environment(process.get("env") or ())
    name, _, group = (user or "").partition(":")
    compiled_filter = _seccomp(seccomp, with_listener=with_listener)
    has_listener = compiled_filter is not None and bool(compiled_filter.flags & SECCOMP_FILTER_FLAG_NEW_LISTENER)
    return Process(
        args=tuple(process["args"]),
        environment=tuple(f"{key}={value}" for key, value in environment.items()),
        has_home="HOME" in environment,
        path=environment.get("PATH", ""),
        cwd=process.get("cwd") or "/",
        terminal=bool(process.get("terminal")),
        rows=size.get("height", 0),
        columns=size.get("width", 0),
        user=name if user else None,
        group=group,
        uid=ids.get("uid", 0),
        gid=ids.get("gid", 0),
        groups=tuple(ids.get("additionalGids") or ()),
        group_add=tuple(group_add),
        exact_groups=exact_groups,
        umask=ids.get("umask", 0o022),
        capabilities=_capabilities(process.get("capabilities"), warnings),
        no_new_privileges=bool(process.get("noNewPrivileges")),
        rlimits=_rlimits(process.get("rlimits") or ()),
        oom_score_adj=process.get("oomScoreAdj"),
        seccomp=compiled_filter,
        extra=process_extra(process, personality=personality, namespaces=namespaces, has_listener=has_listener),
        warnings=tuple(warnings),
    )


def _check_process(process: Mapping[str, Any]) -> None:
    for key in ("apparmorProfile", "selinuxLabel"):
        if process.get(key) not in (None, "", "unconfined"):
            raise LaunchError(SPEC, f"{key}: this project has neither AppArmor nor SELinux")
    if not process.get("args"):
        raise LaunchError(SPEC, "args must not be empty")
    cwd = process.get("cwd") or "/"
    if not cwd.startswith("/"):
        raise LaunchError(SPEC, f"cwd must be an absolute path: {cwd!r}")
    for text in (*process["args"], *(process.get("env") or ()), cwd):
        if "\0" in text:
            raise LaunchError(SPEC, "a null byte in args, env or cwd")
    ids = process.get("user") or {}
    for value in (ids.get("uid", 0), ids.get("gid", 0), *(ids.get("additionalGids") or ())):
        if not (isinstance(value, int) and 0 <= value <= _MAX_ID):
            raise LaunchError(SPEC, f"user: {value!r} is not in range 0-{_MAX_ID}")


def _environment(entries: Sequence[str]) -> dict[str, str]:
    """The variables by name, the last of each name; an empty HOME is left out."""
    result = {}
    for entry in entries:
        key, equals, value = entry.partition("=")
        if equals and key:
            result[key] = value
    if not result.get("HOME"):
        result.pop("HOME", None)
    return result


def _namespaces(entries: Sequence[Mapping[str, Any]], *, with_netns_fd: bool) -> tuple[int, tuple[Join, ...], set[str]]:
    """(flags for clone3, namespaces to join by path, names of those that are not the host's)."""
    clone_flags, private = 0, set()
    joins: list[Join] = []
    for entry in entries:
        name, path = entry["type"], entry.get("path")
        if name not in _NAMESPACES:
            raise LaunchError(SPEC, f"namespace {name!r} is not supported")
        if name in private:
            raise LaunchError(SPEC, f"namespace {name} is given twice")
        private.add(name)
        if path:
            if name == "mount":
                raise LaunchError(SPEC, "joining a mount namespace by path is not supported")
            if not path.startswith("/"):
                raise LaunchError(SPEC, f"namespace {name}: path {path!r} is not absolute")
            if name != "user":  # `vmagent.runtime.usernamespace` enters that one
                joins.append(Join(name, _NAMESPACES[name], path))
        elif name in ("user", "time"):
            continue
        elif not (name == "network" and with_netns_fd):
            clone_flags |= _NAMESPACES[name]
    if with_netns_fd:
        private.add("network")
    if "mount" not in private:
        raise LaunchError(SPEC, "a container without a mount namespace is not supported")
    return clone_flags, tuple(joins), private


def _devices(entries: Sequence[Mapping[str, Any]], *, with_defaults: bool) -> tuple[Device, ...]:
    nodes = dict(_DEFAULT_NODES) if with_defaults else {}
    for entry in entries:
        kind, path = entry["type"], os.path.normpath(entry["path"])
        if kind not in _DEVICE_TYPES:
            raise LaunchError(SPEC, f"device {path}: type {kind!r} is not known")
        if with_defaults and path == "/dev/ptmx":
            continue  # in a list of all the host's devices; the container has its own
        major, minor = (0, 0) if kind == "p" else (entry["major"], entry["minor"])
        if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):  # the kernel would truncate the numbers
            raise LaunchError(SPEC, f"device {path}: there is no {major}:{minor}")
        given = entry.get("fileMode")
        mode = _DEVICE_TYPES[kind] | (0o666 if given is None else given & 0o7777)
        folder, _, name = path.rpartition("/")
        number = os.makedev(major, minor)
        nodes[path] = Device(folder, name, mode, number, entry.get("uid") or 0, entry.get("gid") or 0)
    return tuple(nodes.values())


def _sysctls(values: Mapping[str, str], private: set[str]) -> tuple[Sysctl, ...]:
    """Compile sysctls. Raises LaunchError for one that does not belong to a namespace of the container's own."""
    result: list[Sysctl] = []
    for given, value in values.items():
        # sysctl(8): the first "." or "/" is the separator; the other character is then part of a name (eth0.1).
        slash, dot = given.find("/"), given.find(".")
        has_dots = slash < 0 or 0 <= dot < slash
        path = given.translate(_SWAPPED) if has_dots else given
        key = path.translate(_SWAPPED)
        first, second, *_ = [*key.split("."), ""]
        namespace = _SYSCTL_NAMESPACES.get(key) or _SYSCTL_NAMESPACES.get(first)
        if key in _IPC_SYSCTLS or (first, second) == ("fs", "mqueue"):
            namespace = "ipc"
        if namespace is None:
            raise LaunchError(SPEC, f'sysctl "{key}" is not in a separate kernel namespace')
        if namespace not in private:
            raise LaunchError(SPEC, f'sysctl "{key}" is not allowed in the hosts {namespace} namespace')
        if key == "kernel.hostname":
            raise LaunchError(SPEC, 'sysctl "kernel.hostname" is not allowed as it conflicts with the "hostname" field')
        if any(part in ("", ".", "..") for part in path.split("/")):
            raise LaunchError(SPEC, f"sysctl {key!r} is not a name")
        result.append(Sysctl(path, str(value)))
    return tuple(result)


def _capabilities(sets: Mapping[str, Any] | None, warnings: list[str]) -> Capabilities | None:
    if sets is None:
        return None
    masks = []
    for kind in Capabilities._fields:
        mask, unknown = _capability_mask(tuple(sets.get(kind) or ()))
        warnings += [f"unknown capability {name!r} in {kind} is left out" for name in unknown]
        masks.append(mask)
    return Capabilities(*masks)


@functools.lru_cache(maxsize=32)
def _capability_mask(names: tuple[str, ...]) -> tuple[int, list[str]]:
    """(the bit mask, names that are not known)"""
    unknown = [name for name in names if name not in capabilities.NUMBERS]
    return capabilities.mask([name for name in names if name not in unknown]), unknown


def _rlimits(entries: Sequence[Mapping[str, Any]]) -> tuple[Rlimit, ...]:
    result: list[Rlimit] = []
    for entry in entries:
        name = str(entry["type"]).removeprefix("RLIMIT_")
        if name not in _RLIMITS:
            raise LaunchError(SPEC, f"rlimit {entry['type']!r} is not known")
        if any(_RLIMITS[name] == limit.number for limit in result):
            raise LaunchError(SPEC, f"rlimit {entry['type']!r} is given twice")
        pair = [limit if 0 <= limit < RLIM_INFINITY else RLIM_INFINITY for limit in (entry["soft"], entry["hard"])]
        result.append(Rlimit(_RLIMITS[name], *pair))
    return tuple(result)


def _seccomp(profile: Mapping[str, Any] | None, *, with_listener: bool) -> Filter | None:
    if not profile:
        return None
    from vmagent.runtime import seccomp as seccomp_compiler  # imported late: it has a large table

    program = seccomp_compiler.compile_profile(profile)
    if program.flags & SECCOMP_FILTER_FLAG_NEW_LISTENER and not with_listener:
        raise LaunchError(SPEC, "seccomp notify listeners are not supported here")
    return _filter(program.instructions, program.flags)


@functools.lru_cache(maxsize=64)
def _filter(instructions: bytes, flags: int) -> Filter:
    return Filter(base64.b64encode(instructions).decode("ascii"), flags)
