"""Finds calls that block an event loop: the loop's thread makes a call that may wait for a disk, a lock or a sleep.

For tests: the engine's process is started with COVE_BLOCKING_REPORT=FILE and appends one JSON object a line to it, with
`call`, `path` and `stack`. The call itself goes on as always. What counts is which call is made on what, never how long
it takes, so that a busy machine gives no other result than a quiet one.

Python's audit events (sys.audit, "Audit events table") tell of most calls; those without an event are wrapped. A call
on a file system in memory never waits and does not count; nor does a read with RWF_NOWAIT, which the kernel refuses
where it would wait; nor do imports and reads of the package's own files, which happen once. A relative path belongs
to a descriptor that the events do not show, and does not count either: the engine has such ones in /proc alone.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import stat
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any

from vmagent.linux.mounts import filesystem_type

ENVIRONMENT = "COVE_BLOCKING_REPORT"

# Audit events whose arguments begin with a path (or the descriptor of a folder).
_PATH_EVENTS = frozenset(
    (
        "open", "os.chmod", "os.chown", "os.getxattr", "os.link", "os.listdir", "os.listxattr", "os.mkdir", "os.remove",
        "os.rename", "os.rmdir", "os.scandir", "os.setxattr", "os.symlink", "os.truncate", "os.utime", "shutil.rmtree",
    )
)  # fmt: skip
_WAITING_EVENTS = frozenset(("cove.mount", "cove.umount"))
_PATH_CALLS = ("stat", "lstat", "readlink", "access", "statvfs")
_FD_CALLS = ("read", "readv", "pread", "write", "writev", "pwrite", "fsync", "fdatasync", "sendfile", "copy_file_range")
# linux/magic.h: file systems whose data are the kernel's own or lie in memory.
_IN_MEMORY = frozenset(
    (
        0x01021994,  # tmpfs, devtmpfs
        0x858458F6,  # ramfs
        0x9FA0,  # proc
        0x62656572,  # sysfs
        0x27E0EB,  # cgroup
        0x63677270,  # cgroup2
        0x6E736673,  # nsfs
        0x1CD1,  # devpts
        0x50494446,  # pidfs
        0x09041934,  # anonymous inodes
    )
)
_PACKAGE = f"{os.path.dirname(os.path.abspath(__file__))}/"
_IMPORTING = ("importlib", "linecache.py", "tokenize.py")


class Detector:
    """Watches one thread from `watch` on; it cannot be taken away again, as audit hooks can't."""

    def __init__(self, report: str) -> None:
        """`report`: the file that findings are appended to."""
        self._report_fd = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._thread = 0
        self._is_looking = False  # what the detector itself calls is no finding
        self._seen: set[str] = set()

    def watch(self) -> None:
        """Watch the calling thread."""
        self._thread = threading.get_ident()
        for name in _PATH_CALLS:
            self._wrap(os, name, self._on_path)
        for name in _FD_CALLS:
            self._wrap(os, name, self._on_fd)
        self._wrap(os, "preadv", self._on_preadv)
        self._wrap(time, "sleep", self._found)  # has an audit event from Python 3.13 on
        sys.addaudithook(self._on_audit)

    def _wrap(self, module: ModuleType, name: str, look: Callable[..., None]) -> None:
        original = getattr(module, name)

        @functools.wraps(original)
        def watched(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() == self._thread and not self._is_looking:
                look(f"{module.__name__}.{name}", *args)
            return original(*args, **kwargs)

        setattr(module, name, watched)

    def _on_audit(self, event: str, args: tuple[Any, ...]) -> None:
        if threading.get_ident() != self._thread or self._is_looking:
            return
        if event in _PATH_EVENTS:
            self._on_path(event, args[0])
        elif event in _WAITING_EVENTS or (event == "fcntl.flock" and not args[1] & (fcntl.LOCK_NB | fcntl.LOCK_UN)):
            self._found(event, args[0])

    def _on_path(self, call: str, path: Any = ".", *_: Any) -> None:
        if isinstance(path, int) or path is None:
            return  # open(fd) and friends: the file was opened before
        text = os.fsdecode(path)
        if text.startswith("/") and not text.startswith(_PACKAGE) and not self._in_memory(text):
            self._found(call, text)

    def _on_fd(self, call: str, fd: int, *_: Any) -> None:
        if self._is_file(fd):
            self._found(call, fd)

    def _on_preadv(self, call: str, fd: int, _buffers: object, _offset: int, flags: int = 0) -> None:
        if not flags & os.RWF_NOWAIT and self._is_file(fd):
            self._found(call, fd)

    def _is_file(self, fd: int) -> bool:
        """Whether `fd` is of a regular file or folder that is not in memory."""
        self._is_looking = True
        try:
            mode = os.fstat(fd).st_mode
            return (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and filesystem_type(fd) not in _IN_MEMORY
        except OSError:
            return False
        finally:
            self._is_looking = False

    def _in_memory(self, path: str) -> bool:
        """Whether the file system of `path`, or of the first folder above it that is there, lies in memory."""
        self._is_looking = True
        try:
            while True:
                try:
                    fd = os.open(path or ".", os.O_PATH | os.O_CLOEXEC)
                except OSError:
                    if path in ("", "/"):
                        return False
                    path = os.path.dirname(path)
                    continue
                try:
                    return filesystem_type(fd) in _IN_MEMORY
                finally:
                    os.close(fd)
        finally:
            self._is_looking = False

    def _found(self, call: str, what: object) -> None:
        self._is_looking = True
        try:
            frames = traceback.extract_stack()[:-2]
            stack = [
                f"{f.filename}:{f.lineno} {f.name}" for f in frames if not f.filename.endswith("vmagent/blocking.py")
            ]
            if any(part in frame for part in _IMPORTING for frame in stack):
                return
            if isinstance(what, int) and not call.startswith("time."):
                what = os.readlink(f"/proc/self/fd/{what}")
            key = f"{call} {stack[-6:]}"
            if key not in self._seen:
                self._seen.add(key)
                line = json.dumps({"call": call, "path": str(what), "stack": stack[-12:]})
                os.write(self._report_fd, line.encode() + b"\n")
        finally:
            self._is_looking = False


def watch_if_asked() -> None:
    """In the loop's thread: report its blocking calls if the environment names a file for it. Raises OSError."""
    if report := os.environ.get(ENVIRONMENT):
        Detector(report).watch()
