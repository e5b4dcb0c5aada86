"""The records of a container's start and of an exec: `plan` compiles them, `launch` executes them.

The annotations are the one field table (see `vmagent.runtime.fields`). The spawner's C sources read `StartRequest` and
`ExecRequest` through a header that `vmagent.native.header` generates from here, so neither side knows positions. Flags
are the kernel's, ids are those of the container's user namespace, paths are the container's unless stated.
"""

from __future__ import annotations

import binascii

from vmagent.runtime.fields import Record, describe, union

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Resources = Mapping[str, Any]  # linux.resources of the specification, for `vmagent.runtime.cgroups`
    from vmagent.runtime.hooks import Hook

    Hooks = Mapping[str, list[Hook]]  # by kind
    Note = str
    U16 = int
    U32 = int
    U64 = int
    I64 = int
    Fd = int
    Base64 = str

# Flags of a mount's `place`, its position in the tree. The generated header has these names too.
ON_PROC, ON_SYS, ORDINARY, MAY_COVER_PROC, MUST_BE_PROC = 1, 2, 4, 8, 16
START, EXEC = 1, 2
RLIM_INFINITY = (1 << 64) - 1
CONSTANTS = {
    "ON_PROC": ON_PROC,  # it is mounted at /proc
    "ON_SYS": ON_SYS,  # … at /sys
    "ORDINARY": ORDINARY,  # a proc or sysfs, whose destination has to be a folder and no link
    "MAY_COVER_PROC": MAY_COVER_PROC,  # a file of /proc that may be mounted over
    "MUST_BE_PROC": MUST_BE_PROC,  # at /proc, so nothing but a proc is accepted
    "START": START,
    "EXEC": EXEC,
}
# Increase it when the meaning of a field changes while its name and type stay the same.
_REVISION = 1


# File system


class IdRange(Record):
    """A line of /proc/PID/uid_map."""

    inside: U32
    outside: U32
    size: U32


class Propagation(Record):
    flag: U64  # MS_SLAVE and so on
    recursive: bool


class Option(Record):
    key: str
    value: str | None  # None: a flag


class IdMapping(Record):
    """Of an id-mapped mount. Empty maps: those of the container's user namespace."""

    uids: tuple[IdRange, ...]
    gids: tuple[IdRange, ...]
    recursive: bool


class NewMount(Record):
    """A new file system."""

    label: str  # names the source in errors
    destination: str
    place: U32
    fstype: str
    source: str
    options: tuple[Option, ...]
    attributes: U64  # MOUNT_ATTR_* to set, as for mount_setattr(2)
    all_set: U64
    all_cleared: U64
    propagation: tuple[Propagation, ...]
    copies_up: bool  # what the image has at the destination is copied into it


class BindMount(Record):
    """A copy of a folder or file of the host."""

    label: str  # the source, a path of the host
    destination: str
    place: U32
    recursive: bool
    attributes: U64
    cleared: U64
    all_set: U64  # with all that is mounted below
    all_cleared: U64
    propagation: tuple[Propagation, ...]
    idmap: IdMapping | None


class CgroupMount(Record):
    """What `Cgroup*` records of the request show of the host's cgroups."""

    label: str
    destination: str
    place: U32
    attributes: U64
    mount_flags: U64  # the attributes as mount(2) takes them
    propagation: tuple[Propagation, ...]


class Remount(Record):
    """A change of what is mounted at the destination already."""

    label: str
    destination: str
    place: U32
    attributes: U64
    cleared: U64
    all_set: U64
    all_cleared: U64
    propagation: tuple[Propagation, ...]


if TYPE_CHECKING:
    Mount = NewMount | BindMount | CgroupMount | Remount
union("Mount", NewMount, BindMount, CgroupMount, Remount)


class CgroupRoot(Record):
    """A new mount of the whole tree (cgroup v2)."""

    fstype: str
    options: tuple[Option, ...]


class CgroupWhole(Record):
    """A bind of one folder as the whole (cgroup v2)."""

    source: str


class CgroupHierarchy(Record):
    """A new mount of a v1 hierarchy in a folder of its own; `options` as mount(2) takes them."""

    folder: str
    options: str


class CgroupBind(Record):
    """A bind of a v1 hierarchy's folder."""

    folder: str
    source: str


class CgroupLink(Record):
    """A link beside the v1 hierarchies' folders."""

    name: str
    target: str


if TYPE_CHECKING:
    ShownCgroup = CgroupRoot | CgroupWhole | CgroupHierarchy | CgroupBind | CgroupLink
union("ShownCgroup", CgroupRoot, CgroupWhole, CgroupHierarchy, CgroupBind, CgroupLink)


class Device(Record):
    folder: str
    name: str
    mode: U32  # with its type
    device: U64
    uid: U32
    gid: U32

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.name}"


class Sysctl(Record):
    path: str  # below /proc/sys
    value: str


class Overlay(Record):
    """Paths of the host."""

    lowers: tuple[str, ...]  # topmost first
    upper: str  # "": read-only
    work: str
    # Nothing is flushed to the disk, neither by fsync(2) in it nor at its unmounting, which else waits for all that the
    # upper folder's file system has to write. A second mount of the same work folder is refused.
    is_volatile: bool = False


class Rootfs(Record):
    path: str  # of the host: the root itself, or where the overlay is mounted
    overlay: Overlay | None
    readonly: bool
    propagation: U64  # of the root, as mount(2) takes it; 0: none
    mounts: tuple[Mount, ...]
    late_read_only: tuple[str, ...]  # tmpfs mounts that become read-only when all is made in them
    devices: tuple[Device, ...]
    default_links: bool  # /dev/fd and so on
    masked: tuple[str, ...]
    readonly_paths: tuple[str, ...]
    hostname: str
    domainname: str
    sysctls: tuple[Sysctl, ...]


# Process


class Rlimit(Record):
    number: U32
    soft: U64  # RLIM_INFINITY: no limit
    hard: U64


class Capabilities(Record):
    """Bit masks."""

    bounding: U64
    effective: U64
    permitted: U64
    inheritable: U64
    ambient: U64


class Filter(Record):
    """A seccomp program."""

    instructions: Base64
    flags: U64


class Scheduler(Record):
    """The arguments of `vmagent.linux.scheduling.sched_setattr`."""

    policy: U32
    flags: U64
    nice: I64
    priority: U32
    runtime: U64
    deadline: U64
    period: U64


class IoPriority(Record):
    class_: U32
    priority: U32


class ProcessExtra(Record):
    """What few processes ask for."""

    scheduler: Scheduler | None = None
    io_priority: IoPriority | None = None
    personality: U64 | None = None
    cpus_initial: tuple[U32, ...] = ()
    cpus_final: tuple[U32, ...] = ()
    namespaces: U64 = 0  # CLONE_* that an exec enters beyond the usual ones
    has_listener: bool = False
    keeps_keyring: bool = False
    preserved_fds: U32 = 0  # descriptors after the standard streams that stay open
    listen_fds: U32 = 0
    listen_fdnames: str | None = None


class Process(Record):
    args: tuple[str, ...]
    environment: tuple[str, ...]  # without HOME if it is not set
    has_home: bool  # else HOME comes from the container's passwd
    path: str  # PATH
    cwd: str
    terminal: bool
    rows: U16  # of the terminal; 0 and 0: the kernel's default
    columns: U16
    user: str | None  # a name or number to look up in the container's passwd; None: uid and gid
    group: str  # the same for its group; "": the user's
    uid: U32
    gid: U32
    groups: tuple[U32, ...]
    group_add: tuple[str, ...]  # to look up in the container's group file
    exact_groups: bool  # do not add the primary group to the supplementary ones
    umask: U32
    capabilities: Capabilities | None
    no_new_privileges: bool
    rlimits: tuple[Rlimit, ...]
    oom_score_adj: I64 | None
    seccomp: Filter | None
    extra: ProcessExtra | None
    warnings: tuple[Note, ...]  # about values that were left out


# Plan


class Join(Record):
    """A namespace to enter."""

    name: str
    flag: U64  # CLONE_*
    path: str  # of the host


class UserNamespace(Record):
    """`path` of one to join, None for a new one; the maps of either, empty if unknown."""

    path: str | None
    uids: tuple[IdRange, ...]
    gids: tuple[IdRange, ...]


class PlanExtra(Record):
    """What few containers ask for."""

    user: UserNamespace | None = None
    time_offsets: str | None = None  # None: no new time namespace
    cgroup_owner: U32 | None = None  # the host's uid that gets the cgroup
    asks_for_hooks: bool = False  # the launcher runs hooks before pivot_root
    hooks: Hooks | None = None  # createContainer's and startContainer's


class Plan(Record):
    """A container's start, as the engine sends it to the supervisor."""

    id: str
    cgroup: str
    resources: Resources
    clone_flags: U64
    joins: tuple[Join, ...]
    tell_outside: bool  # the command learns its pid and namespaces as the host sees them
    rootfs: Rootfs
    process: Process
    extra: PlanExtra | None


def has_extras(plan: Plan) -> bool:
    """Whether `vmagent.runtime.extras` is needed for it."""
    return plan.extra is not None or has_idmaps(plan.rootfs)


def has_idmaps(rootfs: Rootfs) -> bool:
    return any(isinstance(mount, BindMount) and mount.idmap is not None for mount in rootfs.mounts)


# Requests to the spawner


class Head(Record):
    """The part that the spawner reads itself, before it forks; -1: no descriptor."""

    kind: U32
    clone_flags: U64
    report: Fd  # write end of the child's report
    go: Fd  # read end: the byte that lets the child execute its command
    start: Fd  # FIFO for the second byte, from `start` of the command line
    started: Fd  # FIFO for reports after that
    cgroup: Fd  # v2 cgroup for CLONE_INTO_CGROUP
    pid_namespace: Fd


class Entry(Record):
    """What a child needs for the steps by the host's paths, before it leaves a namespace."""

    tasks: tuple[str, ...]  # files by which a process enters its v1 cgroups
    keyring: str


class JoinFd(Record):
    fd: Fd
    flag: U64


class Streams(Record):
    """-1: the null device. With a terminal only `console`, the socket for its master, is used."""

    console: Fd
    stdin_: Fd  # without the underscore they are macros in C
    stdout_: Fd
    stderr_: Fd


class KernelFacts(Record):
    permitted: U64  # capabilities that the child has
    last_capability: U64


class StartRequest(Record):
    """A container's first process."""

    entry: Entry
    unshares_cgroup: bool
    joins: tuple[JoinFd, ...]
    has_new_network: bool
    asks_for_hooks: bool
    streams: Streams
    kernel: KernelFacts
    rootfs: Rootfs
    shown_cgroups: tuple[ShownCgroup, ...]
    process: Process
    outside: str | None  # goes into COVE_OUTSIDE, after the pid as the host has it


class ExecRequest(Record):
    """Another process in a container."""

    entry: Entry
    container: Fd  # pidfd of its first process
    namespaces: U64
    streams: Streams
    kernel: KernelFacts
    process: Process


# In the order of the generated header: a record comes after the records that it contains.
TABLE = (
    *(IdRange, Propagation, Option, IdMapping, NewMount, BindMount, CgroupMount, Remount),
    *(CgroupRoot, CgroupWhole, CgroupHierarchy, CgroupBind, CgroupLink),
    *(Device, Sysctl, Overlay, Rootfs),
    *(Rlimit, Capabilities, Filter, Scheduler, IoPriority, ProcessExtra, Process),
    *(Head, Entry, JoinFd, Streams, KernelFacts, StartRequest, ExecRequest),
)
VERSION = binascii.crc32(f"{_REVISION}\n{CONSTANTS}\n{describe(TABLE)}".encode())
