"""Compile the rarely used parts of an OCI document for `vmagent.runtime.extras`; refuse unsupported ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vmagent.linux import scheduling
from vmagent.linux.mounts import MOUNT_ATTR_RDONLY
from vmagent.runtime.failure import SPEC, LaunchError
from vmagent.runtime.hooks import compile_hooks
from vmagent.runtime.mountspec import id_map
from vmagent.runtime.plantypes import (
    IdRange,
    IoPriority,
    NewMount,
    PlanExtra,
    ProcessExtra,
    Scheduler,
    UserNamespace,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vmagent.runtime.plantypes import Mount

# Not supported here. Refused and not ignored, because a user may rely on the protection.
_ABSENT = {
    "intelRdt": "Intel RDT is not supported",
    "mountLabel": "SELinux is not supported",
    "memoryPolicy": "NUMA memory policies are not supported",
    "netDevices": "moving network devices is not supported",
}
_NO_PLAN_EXTRA, _NO_PROCESS_EXTRA = PlanExtra(), ProcessExtra()
_CLOCKS = ("monotonic", "boottime")
_MAX_NICE, _MIN_NICE = 19, -20


def check_supported(spec: Mapping[str, Any], linux: Mapping[str, Any], *, with_hooks: bool) -> None:
    """Raises LaunchError (spec) for unsupported features, and for a document of another major version."""
    version = str(spec.get("ociVersion", ""))
    numbers = version.partition("-")[0].partition("+")[0].split(".")
    if len(numbers) != 3 or not all(number.isdigit() for number in numbers):
        raise LaunchError(SPEC, f"ociVersion {version!r} is no semantic version")
    if numbers[0] != "1":
        raise LaunchError(SPEC, f"ociVersion {version!r} is not supported: this is a runtime for 1.x")
    if not (spec.get("root") or {}).get("path"):
        raise LaunchError(SPEC, "the specification has no root.path")
    for key, text in _ABSENT.items():
        if linux.get(key):
            raise LaunchError(SPEC, f"linux.{key}: {text}")
    if any((spec.get("hooks") or {}).values()) and not with_hooks:
        raise LaunchError(SPEC, "hooks are not supported here")
    if spec.get("vm"):
        raise LaunchError(SPEC, "vm: this runtime makes no virtual machines")
    for paths in ("maskedPaths", "readonlyPaths"):
        for path in linux.get(paths) or ():
            if not path.startswith("/"):
                raise LaunchError(SPEC, f"linux.{paths}: {path!r} is not absolute")
    for key, value in (spec.get("annotations") or {}).items():
        if not key or not isinstance(value, str):
            raise LaunchError(SPEC, f"annotation {key!r}: keys are not empty, values are strings")


def plan_extra(
    spec: Mapping[str, Any],
    linux: Mapping[str, Any],
    private: set[str],
    joined_maps: tuple[list[list[int]], list[list[int]]] | None = None,
) -> PlanExtra | None:
    """None for a container without rarely used features. `joined_maps`: see `compile_plan`.

    Raises LaunchError (spec).
    """
    hooks = compile_hooks(spec.get("hooks") or {})
    user = _user(linux, private)
    if user is not None and joined_maps is not None:
        uids, gids = (tuple(IdRange(*entry) for entry in entries) for entries in joined_maps)
        user = user._replace(uids=uids, gids=gids)
    in_child: dict[str, Any] = {kind: hooks[kind] for kind in ("createContainer", "startContainer") if kind in hooks}
    extra = PlanExtra(
        user=user,
        time_offsets=_time_offsets(linux, private),
        cgroup_owner=_cgroup_owner(spec, linux, user),
        asks_for_hooks=bool(in_child) or bool(hooks.keys() & {"prestart", "createRuntime"}),
        hooks=in_child or None,
    )
    return None if extra == _NO_PLAN_EXTRA else extra


def late_read_only(mounts: Sequence[Mount]) -> tuple[list[Mount], tuple[str, ...]]:
    """(`mounts` with each read-only tmpfs made writable that devices or mount points are made in, their paths)."""
    result: list[Mount] = []
    late = []
    for mount in mounts:
        inner = mount.destination.rstrip("/") + "/"
        if (
            isinstance(mount, NewMount)
            and mount.fstype == "tmpfs"
            and mount.attributes & MOUNT_ATTR_RDONLY
            and (inner == "/dev/" or any(other.destination.startswith(inner) for other in mounts))
        ):
            result.append(mount._replace(attributes=mount.attributes & ~MOUNT_ATTR_RDONLY))
            late.append(mount.destination)
        else:
            result.append(mount)
    return result, tuple(late)


def _entry(linux: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next((entry for entry in linux.get("namespaces") or () if entry["type"] == name), {})


def _user(linux: Mapping[str, Any], private: set[str]) -> UserNamespace | None:
    uids, gids = id_map(linux.get("uidMappings")), id_map(linux.get("gidMappings"))
    if "user" not in private:
        if uids or gids:
            raise LaunchError(SPEC, "id mappings without a user namespace")
        return None
    if path := _entry(linux, "user").get("path"):
        if uids or gids:
            raise LaunchError(SPEC, "id mappings for a user namespace that is joined")
        return UserNamespace(path, (), ())
    if not uids or not gids:
        raise LaunchError(SPEC, "a new user namespace needs uidMappings and gidMappings")
    return UserNamespace(None, uids, gids)


def _time_offsets(linux: Mapping[str, Any], private: set[str]) -> str | None:
    """The text for timens_offsets; None without a new time namespace."""
    offsets = linux.get("timeOffsets") or {}
    is_new = "time" in private and not _entry(linux, "time").get("path")
    if offsets and not is_new:
        raise LaunchError(SPEC, "timeOffsets need a new time namespace")
    lines = []
    for clock, offset in offsets.items():
        if clock not in _CLOCKS:
            raise LaunchError(SPEC, f"timeOffsets: the clock {clock!r} has no offset, only {' and '.join(_CLOCKS)}")
        lines.append(f"{clock} {offset.get('secs', 0)} {offset.get('nanosecs', 0)}\n")
    return "".join(lines) if is_new else None


def _cgroup_owner(spec: Mapping[str, Any], linux: Mapping[str, Any], user: UserNamespace | None) -> int | None:
    """The host's uid that gets the cgroup on v2: with a cgroup namespace of its own and a writable cgroup mount."""
    if not _entry(linux, "cgroup") or _entry(linux, "cgroup").get("path"):
        return None
    writable = any(
        mount["destination"] == "/sys/fs/cgroup"
        and mount.get("source") == "cgroup"
        and "ro" not in (mount.get("options") or ())
        for mount in spec.get("mounts") or ()
    )
    uid = int(((spec.get("process") or {}).get("user") or {}).get("uid", 0))
    for inside, outside, count in () if user is None else user.uids:
        if inside <= uid < inside + count:
            uid = outside + uid - inside
            break
    return uid if writable and uid else None


def process_extra(
    process: Mapping[str, Any], *, personality: Mapping[str, Any] | None, namespaces: int, has_listener: bool
) -> ProcessExtra | None:
    """None for a process without rarely used features. Raises LaunchError (spec)."""
    scheduler, io_priority = process.get("scheduler"), process.get("ioPriority")
    affinity = process.get("execCPUAffinity") or {}
    extra = ProcessExtra(
        scheduler=_scheduler(scheduler) if scheduler else None,
        io_priority=_io_priority(io_priority) if io_priority else None,
        personality=_personality(personality) if personality else None,
        cpus_initial=_cpus(affinity.get("initial") or ""),
        cpus_final=_cpus(affinity.get("final") or ""),
        namespaces=namespaces,
        has_listener=has_listener,
    )
    return None if extra == _NO_PROCESS_EXTRA else extra


def _scheduler(given: Mapping[str, Any]) -> Scheduler:
    policy = given["policy"]
    if policy not in scheduling.POLICIES:
        raise LaunchError(SPEC, f"scheduler.policy {policy!r} is not known")
    flags = 0
    for flag in given.get("flags") or ():
        if flag not in scheduling.FLAGS:
            raise LaunchError(SPEC, f"scheduler.flags: {flag!r} is not known")
        flags |= scheduling.FLAGS[flag]
    nice, priority = given.get("nice") or 0, given.get("priority") or 0
    if not _MIN_NICE <= nice <= _MAX_NICE:
        raise LaunchError(SPEC, f"scheduler.nice {nice} is not between {_MIN_NICE} and {_MAX_NICE}")
    if priority and policy not in ("SCHED_FIFO", "SCHED_RR"):
        raise LaunchError(SPEC, f"scheduler.priority is for SCHED_FIFO and SCHED_RR, not {policy}")
    times = [given.get(key) or 0 for key in ("runtime", "deadline", "period")]
    if any(times) and policy != "SCHED_DEADLINE":
        raise LaunchError(SPEC, "scheduler.runtime, deadline and period are for SCHED_DEADLINE")
    return Scheduler(scheduling.POLICIES[policy], flags, nice, priority, *times)


def _io_priority(given: Mapping[str, Any]) -> IoPriority:
    word, priority = given["class"], given.get("priority", 0)
    if word not in scheduling.IO_CLASSES:
        raise LaunchError(SPEC, f"ioPriority.class {word!r} is not known")
    if not 0 <= priority <= 7:
        raise LaunchError(SPEC, f"ioPriority.priority {priority} is not between 0 and 7")
    return IoPriority(scheduling.IO_CLASSES[word], priority)


def _personality(given: Mapping[str, Any]) -> int:
    if given.get("domain") not in scheduling.PERSONALITIES:
        raise LaunchError(SPEC, f"personality.domain {given.get('domain')!r} is not known")
    if given.get("flags"):
        raise LaunchError(SPEC, "personality.flags are not supported: the specification knows none yet")
    return scheduling.PERSONALITIES[given["domain"]]


def _cpus(text: str) -> tuple[int, ...]:
    """ "0-2, 5" as numbers; none for no text."""
    if not text:
        return ()
    found: set[int] = set()
    try:
        for part in text.replace(" ", "").split(","):
            first, _, last = part.partition("-")
            found.update(range(int(first), int(last or first) + 1))
    except ValueError as e:
        raise LaunchError(SPEC, f"execCPUAffinity: {text!r} is no list of CPUs") from e
    return tuple(sorted(found))
