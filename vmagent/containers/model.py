"""A container's record (kept on disk), its state, and the transitions between states.

`config` and `host_config` are the Engine API's objects with every default filled in: docker echoes them unchanged in
inspect, so they are kept and read by `spec`, `mounts` and `shapes`. Everything the engine itself decides on has a typed
field.
"""

from __future__ import annotations

import posixpath
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from sys import intern
from typing import Any, NewType

from vmagent.containers.defaults import FilledConfig, FilledHostConfig
from vmagent.containers.jsonobject import JsonObject
from vmagent.errors import Conflict

ContainerId = NewType("ContainerId", str)  # 64 hex digits: never the short form, never a name

ZERO_TIME = "0001-01-01T00:00:00Z"  # Go's zero time: what clients expect for "never"


def new_container_id() -> ContainerId:
    """64 random hex digits. The first 12 are never all decimal, because a host name of digits looks like an address."""
    while True:
        value = secrets.token_hex(32)
        if not value[:12].isdigit():
            return ContainerId(value)


def rfc3339(time_ns: int) -> str:
    """`time_ns` (CLOCK_REALTIME) as RFC 3339 with nine fraction digits; Go's zero time for 0."""
    if not time_ns:
        return ZERO_TIME
    seconds, nanos = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"


class Status(StrEnum):
    """The values of `State.Status` in inspect and of the filter `status`."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


class Event(StrEnum):
    """What moves a container from one status to the next."""

    START = "start"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    DIE = "die"
    AWAIT_RESTART = "restart"  # died, and the restart policy will start it again
    GIVE_UP = "stop waiting to restart"
    REMOVE = "remove"
    KEEP = "keep"  # a removal that failed


MOVES: Mapping[tuple[Status, Event], Status] = {
    (Status.CREATED, Event.START): Status.RUNNING,
    (Status.EXITED, Event.START): Status.RUNNING,
    (Status.DEAD, Event.START): Status.RUNNING,
    (Status.RESTARTING, Event.START): Status.RUNNING,
    (Status.RUNNING, Event.PAUSE): Status.PAUSED,
    (Status.PAUSED, Event.UNPAUSE): Status.RUNNING,
    (Status.RUNNING, Event.DIE): Status.EXITED,
    (Status.PAUSED, Event.DIE): Status.EXITED,  # on cgroup v2, SIGKILL reaches a frozen process
    (Status.RUNNING, Event.AWAIT_RESTART): Status.RESTARTING,
    (Status.PAUSED, Event.AWAIT_RESTART): Status.RESTARTING,
    (Status.RESTARTING, Event.AWAIT_RESTART): Status.RESTARTING,  # the start failed; the policy tries again
    (Status.RESTARTING, Event.GIVE_UP): Status.EXITED,
    (Status.CREATED, Event.REMOVE): Status.REMOVING,
    (Status.EXITED, Event.REMOVE): Status.REMOVING,
    (Status.DEAD, Event.REMOVE): Status.REMOVING,
    (Status.REMOVING, Event.KEEP): Status.DEAD,
}


def after(status: Status, event: Event) -> Status:
    """The status after `event` in `status`. Raises Conflict (409) if docker refuses the verb in that status."""
    try:
        return MOVES[status, event]
    except KeyError:
        raise Conflict(f"cannot {event} a container that is {status}") from None


@dataclass(slots=True, kw_only=True)
class State:
    """The container's current state and the results of its last run. Times are CLOCK_REALTIME ns; 0: never."""

    status: Status = Status.CREATED
    run: int = 0  # number of the last run; the supervisor knows a process by container and run
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_ns: int = 0
    finished_ns: int = 0
    restart_count: int = 0
    stopped_by_hand: bool = False  # through the API: restart policies do not apply until the next start
    stopped_with_engine: bool = False  # by the engine's own orderly end, or with its machine; until the next start
    health: str = ""  # the health status that the current run's checks have come to; "" before that

    @property
    def running(self) -> bool:
        """A process exists (paused counts)."""
        return self.status in (Status.RUNNING, Status.PAUSED)

    @property
    def ended_by(self) -> str:
        """Who ended the last run: "user", "engine", or "" if it ended by itself, runs, or never ran."""
        if self.status is not Status.EXITED:
            return ""
        return "engine" if self.stopped_with_engine else "user" if self.stopped_by_hand else ""

    def move(self, event: Event) -> None:
        """Change the status by `event`. Raises Conflict if `event` is not allowed in this status."""
        self.status = after(self.status, event)


class MountKind(StrEnum):
    BIND = "bind"
    VOLUME = "volume"
    TMPFS = "tmpfs"


@dataclass(slots=True, kw_only=True)
class MountPoint:
    """One mount of the container, as in inspect's `Mounts`."""

    kind: MountKind
    destination: str
    source: str = ""  # host path; for a volume, filled in when the volume is claimed
    volume: str = ""  # the volume's name
    subpath: str = ""  # the folder or file of the volume that is mounted; "": the whole
    driver: str = ""
    mode: str = ""  # the third part of a Binds entry
    writable: bool = True
    propagation: str = ""
    anonymous: bool = False
    copy: bool = True  # fill an empty volume with the image's content at `destination`
    options: tuple[str, ...] = ()  # mount options of a tmpfs
    create_source: bool = False
    chosen_propagation: bool = False  # by the user
    recursive: bool = True
    writable_below: bool = False  # read-only: but not the mounts below it
    volume_options: dict[str, str] = field(default_factory=dict)  # for a volume that does not exist yet
    volume_labels: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Container:
    """One container's record. Only the engine's loop touches it."""

    id: ContainerId
    name: str  # without docker's leading slash
    created_ns: int
    image_id: str  # sha256:…
    image_ref: str  # as the user wrote it
    platform: str
    argv: list[str]  # entrypoint and command, resolved
    config: Mapping[str, Any]  # stored as a FilledConfig; to change it, assign a new object
    host_config: Mapping[str, Any]
    endpoints: dict[str, JsonObject]  # network name → EndpointSettings as asked for
    mounts: list[MountPoint]
    layers: int = 0
    links: dict[str, ContainerId] = field(default_factory=dict)  # on the default bridge: alias → container
    state: State = field(default_factory=State)

    def __post_init__(self) -> None:
        self.config = FilledConfig(self.config)
        self.host_config = FilledHostConfig(self.host_config)
        self.image_id, self.image_ref = intern(self.image_id), intern(self.image_ref)

    @property
    def tty(self) -> bool:
        return bool(self.config["Tty"])

    @property
    def open_stdin(self) -> bool:
        return bool(self.config["OpenStdin"])

    @property
    def auto_remove(self) -> bool:
        return bool(self.host_config["AutoRemove"])

    @property
    def labels(self) -> dict[str, str]:
        labels: dict[str, str] = self.config["Labels"] or {}
        return labels

    @property
    def cgroup_path(self) -> str:
        """The container's cgroup, as a path from the root of the hierarchies."""
        parent = posixpath.normpath(f"/{self.host_config['CgroupParent']}").strip("/") or "cove"  # no `..` is left
        return f"/{parent}/{self.id}"

    @property
    def network_mode(self) -> str:
        return str(self.host_config["NetworkMode"])


def now_ns() -> int:
    return time.time_ns()
