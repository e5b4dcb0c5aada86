"""A container's configuration as an OCI runtime-spec document (runtime-spec 1.2, config.md and config-linux.md).

This module has docker's defaults: the mounts of every container, its namespaces, the masked paths.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vmagent.containers import resources, security
from vmagent.containers.configure import environment
from vmagent.containers.jsonobject import JsonObject
from vmagent.containers.limits import check_user
from vmagent.containers.model import Container, MountKind, MountPoint
from vmagent.containers.seccomp_profile import default_profile, resolve_profile
from vmagent.containers.userns import UserNamespace
from vmagent.linux.openfiles import container_limit

_HOST_FILES = ("resolv.conf", "hostname", "hosts")
_TMPFS_FLAGS = {"exec": "noexec", "suid": "nosuid", "dev": "nodev"}


# As in docker since 20.10: any user of a container may bind port 80 and send pings, in the container's own network.
_PORT_START, _PING_GROUPS = "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartInputs:
    """The inputs of a start that are not in the record."""

    rootfs: Path
    host_files: Path  # folder with hosts, hostname and resolv.conf
    is_step: bool = False  # of a build: /etc/hostname is the image's, so a command may write it
    cgroup_path: str
    own_network: bool  # the start passes a network namespace as a descriptor
    pid_of: Mapping[str, int]  # namespace ("pid", "ipc") → pid whose namespace is shared
    shm: Path | None = None  # a mounted tmpfs to be bound on /dev/shm (IpcMode shareable and container:)
    user: UserNamespace | None = None  # the user namespace to join
    sources: Mapping[str, str] = field(default_factory=dict)  # destination → what is bound in its stead
    devices: Sequence[JsonObject] | None = None  # as `resources.devices` gives them; None: it is called
    linked_env: Sequence[str] = ()  # variables of --link
    idmapped: frozenset[str] = frozenset()  # destinations of mounts to be id-mapped: volumes in the data root


def build_spec(container: Container, inputs: StartInputs) -> JsonObject:
    """The OCI document. Raises BadRequest for unsupported security options or limits, OSError for a missing device."""
    host, config = container.host_config, container.config
    check_user(config["User"])
    options = security.parse_security(host["SecurityOpt"])
    capabilities = security.effective_capabilities(host)
    nodes = resources.devices(host) if inputs.devices is None else list(inputs.devices)
    limits = resources.resources(host)
    limits["devices"] = resources.device_rules(host, nodes)
    linux: JsonObject = {
        "namespaces": _namespaces(host, inputs),
        "resources": limits,
        "devices": [{key: value for key, value in node.items() if key != "access"} for node in nodes],
        "cgroupsPath": inputs.cgroup_path,
        "maskedPaths": host["MaskedPaths"] or [],
        "readonlyPaths": host["ReadonlyPaths"] or [],
        "sysctl": {**_network_sysctls(inputs), **(host.get("Sysctls") or {})},
    }
    if profile := _seccomp(options, capabilities, privileged=host["Privileged"]):
        linux["seccomp"] = profile
    if any(mount.propagation in ("shared", "rshared") for mount in container.mounts):
        linux["rootfsPropagation"] = "rshared"
    elif any(mount.propagation in ("slave", "rslave") for mount in container.mounts):
        linux["rootfsPropagation"] = "rslave"
    spec: JsonObject = {
        "ociVersion": "1.2.0",
        "root": {"path": str(inputs.rootfs), "readonly": host["ReadonlyRootfs"]},
        "mounts": _mounts(container, inputs),
        "linux": linux,
    }
    if host["UTSMode"] != "host" and config["Hostname"]:
        spec["hostname"] = config["Hostname"]
        if config["Domainname"]:
            spec["domainname"] = config["Domainname"]
    process: JsonObject = {
        "terminal": container.tty,
        "args": container.argv,
        "env": environment(config, linked=inputs.linked_env),
        "cwd": config["WorkingDir"] or "/",
        "user": {"uid": 0, "gid": 0},
        "capabilities": capability_sets(capabilities),
        "rlimits": _rlimits(host),
        "noNewPrivileges": options.no_new_privileges,
    }
    if host["OomScoreAdj"]:
        process["oomScoreAdj"] = host["OomScoreAdj"]
    if container.tty and all(host["ConsoleSize"]):
        process["consoleSize"] = {"height": host["ConsoleSize"][0], "width": host["ConsoleSize"][1]}
    spec["process"] = process
    return spec


def build_exec_process(
    container: Container, request: Mapping[str, Any], linked_env: Sequence[str] = ()
) -> tuple[JsonObject, JsonObject | None]:
    """(OCI process, seccomp object or None) for an exec.

    `request`: the Engine API's ExecConfig; `linked_env`: variables of --link.
    """
    host = container.host_config
    check_user(request.get("User") or "")
    options = security.parse_security(host["SecurityOpt"])
    privileged = bool(request.get("Privileged") or host["Privileged"])
    capabilities = security.effective_capabilities({**host, "Privileged": privileged})
    tty = bool(request.get("Tty"))
    process: JsonObject = {
        "terminal": tty,
        "args": list(request["Cmd"]),
        "env": environment(container.config, tty=tty, linked=linked_env, extra=request.get("Env") or ()),
        "cwd": request.get("WorkingDir") or container.config["WorkingDir"] or "/",
        "user": {"uid": 0, "gid": 0},
        "capabilities": capability_sets(capabilities),
        "noNewPrivileges": options.no_new_privileges,
        "rlimits": _rlimits(host),
    }
    size = request.get("ConsoleSize")
    if tty and size and all(size):
        process["consoleSize"] = {"height": size[0], "width": size[1]}
    return process, _seccomp(options, capabilities, privileged=privileged)


def _rlimits(host: Mapping[str, Any]) -> list[JsonObject]:
    """The OCI rlimits for HostConfig.Ulimits, and the default limit of open files."""
    limits = {str(limit["Name"]).upper(): (limit["Soft"], limit["Hard"]) for limit in host["Ulimits"] or ()}
    limits.setdefault("NOFILE", container_limit())
    return [{"type": f"RLIMIT_{name}", "soft": soft, "hard": hard} for name, (soft, hard) in limits.items()]


def capability_sets(names: list[str]) -> JsonObject:
    """`names` as bounding, effective and permitted sets; inheritable (CVE-2022-24769) and ambient stay empty."""
    return {"bounding": names, "effective": names, "permitted": names, "inheritable": [], "ambient": []}


def _seccomp(options: security.SecurityOptions, capabilities: list[str], *, privileged: bool) -> JsonObject | None:
    if options.seccomp is None:
        return None if privileged else _default_profile(tuple(capabilities))
    if not options.seccomp:
        return None
    return resolve_profile(options.seccomp, capabilities, platform.machine())


@functools.lru_cache(maxsize=32)
def _default_profile(capabilities: tuple[str, ...]) -> JsonObject:
    """The default seccomp profile for a set of capabilities. The result is shared: callers must not change it."""
    return default_profile(capabilities, platform.machine())


def _network_sysctls(inputs: StartInputs) -> JsonObject:
    if not inputs.own_network:
        return {}
    return {_PORT_START: "0", _PING_GROUPS: inputs.user.ping_group_range if inputs.user else "0 2147483647"}


def _namespaces(host: Mapping[str, Any], inputs: StartInputs) -> list[JsonObject]:
    result: list[JsonObject] = [{"type": "mount"}]
    if inputs.user is not None:
        result.append({"type": "user", "path": inputs.user.path})
    if inputs.own_network:
        result.append({"type": "network"})
    if host["UTSMode"] != "host":
        result.append({"type": "uts"})
    if host["CgroupnsMode"] != "host":
        result.append({"type": "cgroup"})
    for name, mode in (("pid", host["PidMode"]), ("ipc", host["IpcMode"])):
        if mode == "host":
            continue
        if name in inputs.pid_of:
            result.append({"type": name, "path": f"/proc/{inputs.pid_of[name]}/ns/{name}"})
        else:
            result.append({"type": name})
    return result


def _mounts(container: Container, inputs: StartInputs) -> list[JsonObject]:
    host = container.host_config
    mounts = _system_mounts(host, inputs)
    options = ["rbind", "rprivate", *(["ro"] if host["ReadonlyRootfs"] else []), *_idmap(inputs)]
    mounts += [
        _mount(f"/etc/{name}", "bind", f"{inputs.host_files}/{name}", *options)
        for name in _HOST_FILES
        if name != "hostname" or not inputs.is_step
    ]
    tmpfs = [
        _mount(path, "tmpfs", "tmpfs", *_tmpfs_options(text.split(",") if text else []))
        for path, text in (host.get("Tmpfs") or {}).items()
    ]
    own = [_own_mount(mount, inputs) for mount in container.mounts]
    users = sorted([*own, *tmpfs], key=lambda mount: (mount["destination"].count("/"), mount["destination"]))
    taken = {mount["destination"] for mount in users}
    return [mount for mount in mounts if mount["destination"] not in taken] + users


def _mount(destination: str, kind: str, source: str, *options: str) -> JsonObject:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def _system_mounts(host: Mapping[str, Any], inputs: StartInputs) -> list[JsonObject]:
    sys_mode = "rw" if host["Privileged"] else "ro"
    mounts = [
        _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"
        ),
        _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", sys_mode),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", sys_mode),
    ]
    # It shows the queues of its IPC namespace. The host's are not bound instead: the host may have none mounted.
    mounts.append(_mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"))
    if host["IpcMode"] == "host":
        mounts.append(_mount("/dev/shm", "bind", "/dev/shm", "rbind", "nosuid", "noexec", "nodev"))
        return mounts
    if host["IpcMode"] == "none":
        return mounts
    if inputs.shm is not None:
        mounts.append(_mount("/dev/shm", "bind", str(inputs.shm), "rbind", "nosuid", "noexec", "nodev"))
    else:
        size = f"size={host['ShmSize']}"
        mounts.append(_mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", size))
    return mounts


def _idmap(inputs: StartInputs) -> list[str]:
    """The mount option for the engine's own files: the container's root owns them, while on disk the owner stays 0.

    So a volume's files have the same owners in a container with another mapping, or without one.
    """
    return [] if inputs.user is None else ["idmap"]


def _own_mount(mount: MountPoint, inputs: StartInputs) -> JsonObject:
    if mount.kind is MountKind.TMPFS:
        words = list(mount.options) if mount.writable else [*mount.options, "ro"]
        return _mount(mount.destination, "tmpfs", "tmpfs", *_tmpfs_options(words))
    options = ["rbind" if mount.recursive else "bind", mount.propagation or "rprivate"]
    if not mount.writable:
        options += ["ro", "rro"] if mount.recursive and not mount.writable_below else ["ro"]
    if mount.destination in inputs.idmapped:
        options += _idmap(inputs)
    return _mount(mount.destination, "bind", inputs.sources.get(mount.destination, mount.source), *options)


def _tmpfs_options(words: list[str]) -> list[str]:
    """The user's options, plus those of docker's default flags that the user has not negated."""
    return [flag for word, flag in _TMPFS_FLAGS.items() if word not in words] + words
