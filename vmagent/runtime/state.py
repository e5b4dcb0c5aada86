"""The state of a container that `cove-runtime` stores between two commands: one folder per container below --root.

ROOT/ID/state.json   written at create; runtime.md, "State"
ROOT/ID/config.json  the specification as it was at create
ROOT/ID/start        a FIFO from which the created container waits for a byte; `start` removes it
ROOT/ID/started      a FIFO to which it then reports an error; end of file without one: the command runs
ROOT/ID/notify/      with NOTIFY_SOCKET: bound into the container at /run/notify
"""

from __future__ import annotations

import json
import os
import pwd
import string
import time
from pathlib import Path

from vmagent.linux.process import pidfd_open
from vmagent.runtime.cgroups import Cgroup, tree
from vmagent.runtime.failure import OTHER, LaunchError
from vmagent.runtime.version import SPEC_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ID_LETTERS = frozenset(string.ascii_letters + string.digits + "_+.-")


class Container:
    """One container of the command line. Its status is not stored but derived from the state of its first process."""

    def __init__(self, root: Path, container_id: str) -> None:
        if not container_id or not _ID_LETTERS.issuperset(container_id) or container_id in (".", ".."):
            raise LaunchError(OTHER, f"invalid container ID format: {container_id}")
        self.id = container_id
        self.folder = root / container_id
        self.fifo = self.folder / "start"
        self.started_fifo = self.folder / "started"
        self.notify_folder = self.folder / "notify"
        self._created_ns = time.time_ns()
        self._record: dict[str, Any] = {}

    @classmethod
    def load(cls, root: Path, container_id: str) -> Container:
        """Raises LaunchError if there is no such container."""
        container = cls(root, container_id)
        try:
            container._record = json.loads((container.folder / "state.json").read_bytes())
        except FileNotFoundError as e:
            raise LaunchError(OTHER, "container does not exist") from e
        return container

    def claim(self) -> None:
        """Make the folder and the FIFOs. Raises LaunchError if the ID is taken."""
        try:
            self.folder.mkdir(parents=True, mode=0o711)
        except FileExistsError as e:
            raise LaunchError(OTHER, "container with given ID already exists") from e
        os.mkfifo(self.fifo, 0o600)
        os.mkfifo(self.started_fifo, 0o600)

    def save(
        self,
        *,
        pid: int,
        bundle: Path,
        cgroup_path: str,
        spec: dict[str, Any],
        notify_socket: str = "",
        shares_cgroup: bool = False,
        is_creating: bool = False,
    ) -> None:
        """Write the record. `is_creating`: hooks are being run, `create` has not ended.

        `shares_cgroup`: processes of another container were in the cgroup before this one's.
        """
        namespaces = (spec.get("linux") or {}).get("namespaces") or ()
        self._record = {
            "schema": 1,
            "creating": is_creating,
            "notify_socket": notify_socket,
            "id": self.id,
            "pid": pid,
            "pid_started": started_at(pid),
            "bundle": str(bundle),
            "rootfs": str(bundle / ((spec.get("root") or {}).get("path") or "rootfs")),
            "cgroup": cgroup_path,
            "shares_cgroup": shares_cgroup,
            "pid_namespace": any(entry["type"] == "pid" and not entry.get("path") for entry in namespaces),
            "created": _timestamp(self._created_ns),
            "annotations": spec.get("annotations") or {},
        }
        _replace(self.folder / "config.json", json.dumps(spec))
        _replace(self.folder / "state.json", json.dumps(self._record))

    @property
    def pid(self) -> int:
        return int(self._record["pid"])

    @property
    def cgroup(self) -> Cgroup:
        return tree().at(self._record["cgroup"])

    @property
    def cgroup_path(self) -> str:
        return str(self._record["cgroup"])

    @property
    def shares_cgroup(self) -> bool:
        return bool(self._record.get("shares_cgroup"))

    @property
    def has_pid_namespace(self) -> bool:
        """Whether the PID namespace was made for this container."""
        return bool(self._record.get("pid_namespace"))

    @property
    def bundle(self) -> Path:
        return Path(self._record["bundle"])

    @property
    def notify_socket(self) -> str:
        """The path of the socket of the host's service manager, "" without one."""
        return str(self._record.get("notify_socket") or "")

    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = json.loads((self.folder / "config.json").read_bytes())
        return spec

    def status(self) -> str:
        """creating, created, running, paused or stopped."""
        if not self._record or started_at(self.pid) != self._record["pid_started"]:
            return "stopped"
        if self._record.get("creating"):
            return "creating"
        if self.cgroup.is_frozen():
            return "paused"
        return "created" if self.fifo.exists() else "running"

    def state(self) -> dict[str, Any]:
        """The OCI state object, with the fields that runc adds."""
        status = self.status()
        return {
            "ociVersion": SPEC_VERSION,
            "id": self.id,
            "pid": 0 if status == "stopped" else self.pid,
            "status": status,
            "bundle": self._record["bundle"],
            "rootfs": self._record["rootfs"],
            "created": self._record["created"],
            "annotations": self._record["annotations"],
            "owner": self._owner(),
        }

    def _owner(self) -> str:
        """The name of the user whose container this is, "#" and the uid where there is no name, as with runc.

        Raises LaunchError if the container has been deleted meanwhile.
        """
        try:
            uid = self.folder.stat().st_uid
        except FileNotFoundError as e:
            raise LaunchError(OTHER, "container does not exist") from e
        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            return f"#{uid}"

    def state_of(self, status: str) -> dict[str, Any]:
        """The state that a hook reads, with the `status` at its point of the lifecycle."""
        pid = 0 if status == "stopped" else self.pid
        state = {"ociVersion": SPEC_VERSION, "id": self.id, "status": status, "pid": pid}
        return {**state, "bundle": self._record["bundle"], "annotations": self._record["annotations"]}

    def open_pidfd(self) -> int:
        """A pidfd of the first process, the caller's. Raises LaunchError if the process has ended."""
        try:
            pidfd = pidfd_open(self.pid)
        except ProcessLookupError as e:
            raise LaunchError(OTHER, "container not running") from e
        # The pid may belong to a later process. Checked after the open: the pidfd keeps referring to the same process.
        if started_at(self.pid) != self._record["pid_started"]:
            os.close(pidfd)
            raise LaunchError(OTHER, "container not running")
        return pidfd

    def forget(self) -> None:
        _remove_tree(self.folder)


def _timestamp(time_ns: int) -> str:
    """RFC 3339 in UTC, with as many digits of the second as are needed: Go's RFC3339Nano."""
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    digits = f".{fraction:09d}".rstrip("0").rstrip(".")
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + digits + "Z"


def _replace(path: Path, text: str) -> None:
    """Replace a file atomically for readers. No fsync: after a power failure no container is running."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _remove_tree(folder: Path) -> None:
    """Remove `folder` and all in it."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            _remove_tree(entry)
        else:
            entry.unlink()
    folder.rmdir()


def started_at(pid: int) -> int:
    """When `pid` was started, in clock ticks after boot; 0 if it has ended. proc(5), stat.

    It distinguishes the process from a later one with the same pid.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    fields = text[text.rindex(")") + 2 :].split()
    return 0 if fields[0] in "ZX" else int(fields[19])
