"""A container's two records, in its folder in the data root.

config.json  its configuration; durable before create replies; rewritten by rename, update and a stop through the API
state.json   its state; written shortly after starts and exits, flushed within a second
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from vmagent.containers import hostfiles
from vmagent.containers.defaults import plain
from vmagent.containers.model import Container, ContainerId, MountKind, MountPoint, State, Status
from vmagent.durable import fsync_dir, publish
from vmagent.linux.packets import write_all
from vmagent.supervisor.logwriter import LOG_MODE, STDERR, STDOUT, index_name, payload_name

SCHEMA = 1
CONFIG, STATE, ETC = "config.json", "state.json", "etc"

_FOLDERS = {"upper": 0o755, "work": 0o755, ETC: 0o711}
_FILES = {
    **{f"{ETC}/{name}": 0o644 for name in (*hostfiles.NAMES, hostfiles.WRITTEN)},
    **{name(stream): LOG_MODE for stream in (STDERR, STDOUT) for name in (payload_name, index_name)},
    CONFIG: 0o600,
}
_STATE_FIELDS = tuple(field.name for field in fields(State))


class UnreadableRecord(Exception):
    """A record that this engine can't read: damaged, or written by a newer engine. It is left unchanged on disk."""


def make_folder(folder: Path) -> None:
    """Make a container's folder, with the subfolders and empty files that every container has. Raises OSError."""
    path = str(folder)
    os.mkdir(path, 0o710)
    for name, mode in _FOLDERS.items():
        os.mkdir(f"{path}/{name}", mode)
    for name, mode in _FILES.items():
        os.mknod(f"{path}/{name}", stat.S_IFREG | mode)  # an empty file by one system call


def save_new(folder: Path, container: Container, *, is_made: bool = False, is_durable: bool = False) -> None:
    """Make `folder`, and write a durable config.json in it. Blocks for one flush (about 1 ms).

    `is_made`: `make_folder` has made it; `is_durable`: and its name and those in it are on the disk already.
    The file is written under its final name: a rename after the flush would cost the file system a second transaction.
    `is_whole` recognizes a file that a crash left incomplete. Raises OSError; then the caller removes the folder.
    """
    if not (is_made and folder.exists()):  # somebody may have removed an empty folder that was made long ago
        make_folder(folder)
        is_durable = False
    if container.tty:  # a terminal has one stream; readers of the log recognize this by the missing files
        for name in (payload_name(STDERR), index_name(STDERR)):
            os.unlink(folder / name)
    fd = os.open(folder / CONFIG, os.O_WRONLY | os.O_CLOEXEC)
    try:
        write_all(fd, encode(container))
        os.fsync(fd)
    finally:
        os.close(fd)
    if not is_durable:
        fsync_dir(folder)
        fsync_dir(folder.parent)


def is_whole(folder: Path) -> bool:
    """Whether the create of the container in `folder` was completed, not cut short by a crash before its reply.

    A complete record ends with its only newline. Records of earlier versions have no newline, but are valid JSON. A
    container with a state was created, even if its record is damaged.
    """
    try:
        data = (folder / CONFIG).read_bytes()
    except FileNotFoundError:
        return False
    if not data or data.endswith(b"\n") or (folder / STATE).exists():
        return bool(data)
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def save_config(folder: Path, container: Container) -> None:
    """Durably replace config.json. Raises OSError."""
    publish(folder / CONFIG, encode(container))


def save_state(folder: Path, state: State, *, durable: bool) -> None:
    """Replace state.json. Raises OSError."""
    publish(folder / STATE, encode_state(state), durable=durable)


def encode(container: Container) -> bytes:
    record = {field.name: getattr(container, field.name) for field in fields(container) if field.name != "state"}
    record["config"], record["host_config"] = plain(container.config), plain(container.host_config)
    record["mounts"] = [asdict(mount) for mount in container.mounts]
    return json.dumps({"schema": SCHEMA, **record}, separators=(",", ":")).encode() + b"\n"


def encode_state(state: State) -> bytes:
    record = {name: getattr(state, name) for name in _STATE_FIELDS}  # all of them are plain values
    return json.dumps({"schema": SCHEMA, **record}, separators=(",", ":")).encode()


def load(folder: Path) -> Container:
    """Read both files of one container. Raises UnreadableRecord."""
    try:
        record = _checked(json.loads((folder / CONFIG).read_bytes()))
        mounts = [
            MountPoint(**{**mount, "kind": MountKind(mount["kind"]), "options": tuple(mount["options"])})
            for mount in record.pop("mounts")
        ]
        container = Container(**{**record, "id": ContainerId(record["id"]), "mounts": mounts})
        if (folder / STATE).exists():
            container.state = _read_state(folder / STATE)
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise UnreadableRecord(f"{folder}: {e}") from e
    return container


def _read_state(path: Path) -> State:
    """The state in the file `path`. A file that is empty or all zeros counts as "running": a power cut soon after the
    first start may leave a renamed file without its content.
    """
    data = path.read_bytes()
    if not data.strip(b"\0"):
        return State(status=Status.RUNNING, run=1, started_ns=path.stat().st_mtime_ns)
    state = _checked(json.loads(data))
    return State(**{**state, "status": Status(state["status"])})


def _checked(record: Any) -> dict[str, Any]:
    if not isinstance(record, dict) or record.pop("schema", None) != SCHEMA:
        raise ValueError(f"not a record of schema {SCHEMA}")
    return record
