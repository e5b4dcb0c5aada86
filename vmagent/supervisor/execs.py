"""An exec, another process in a running container: its streams, its start, its exit status, its record afterwards.

Output goes to a window (`vmagent.supervisor.window`), a pair of files in memory that outlives engine and supervisor.
The supervisor and the keeper both hold the input and output pipes. After the exit the streams are kept until the engine
sends `close_exec`, and the record (request, pid, exit code) for `KEEP_S`: an engine that starts meanwhile can still
deliver the output and report the exit status.
"""

from __future__ import annotations

import os
import time

from vmagent.runtime.launch import launch_exec
from vmagent.supervisor.child import EXITED, Child, Refused
from vmagent.supervisor.logwriter import STDERR, STDOUT
from vmagent.supervisor.loop import READ
from vmagent.supervisor.splicing import ENDED, FULL, IDLE, WindowOwner, WindowSplicer, output_pipe
from vmagent.supervisor.window import Window, new_window

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from vmagent.runtime.plantypes import Process
    from vmagent.runtime.spawner import Spawner
    from vmagent.supervisor.containers import Run
    from vmagent.supervisor.keeping import Keeping
    from vmagent.supervisor.loop import Loop

KIND = "exec"
KEEP_S = 300.0  # an ended exec can be inspected for this long
_DRAIN_TURNS = 16
_KEPT = ("pid", "report", "console", "master", "stdin", "src1", "src2", "relay_r", "relay_w", "window", "index")
# How long to wait for output after the exit of a process with a terminal: the kernel passes a pty's bytes on by a work
# queue, so they can arrive after the exit.
_TERMINAL_DRAIN_S = 0.5


class Exec(Child, WindowOwner):
    """One exec. It calls `notify(self, what)` with what has happened: "running", "failed", "grew" or "exited"."""

    __slots__ = (
        "_code",
        "_notify",
        "_splicers",
        "container_id",
        "ended_at",
        "exec_id",
        "facts",
        "is_closed",
        "is_read_up",
        "stdin_fd",
        "tty",
        "window",
    )

    def __init__(
        self, data: Mapping[str, Any], loop: Loop, keeping: Keeping, notify: Callable[[Exec, str], None]
    ) -> None:
        """`data`: exec_id, id (the container's), tty, facts (data of the engine, for the engine that starts next)."""
        super().__init__(loop, keeping)
        self.exec_id: str = data["exec_id"]
        self.container_id: str = data["id"]
        self.tty: bool = data["tty"]
        self.facts: dict[str, Any] = data["facts"]
        self.window: Window | None = None
        self.stdin_fd = -1
        self.ended_at = 0.0  # seconds since 1970
        self.is_closed = False  # the engine needs neither the streams nor the exit event any more
        self.is_read_up = False  # the reader had read everything before the last bytes came: it waits for "grew"
        self._splicers: tuple[WindowSplicer, ...] = ()
        self._code: int | None = None  # the exit code; set before `exit_code` while a terminal's last output may come
        self._notify = notify

    @property
    def key(self) -> str:
        return "exec " + self.exec_id

    def entry(self) -> dict[str, Any]:
        entry = {
            "kind": KIND,
            "exec_id": self.exec_id,
            "id": self.container_id,
            "tty": self.tty,
            "facts": self.facts,
        }
        return entry if self.exit_code is None else {**entry, "exit_code": self.exit_code, "ended_at": self.ended_at}

    def record(self) -> dict[str, Any]:
        """The content of `HeldExec` (`vmagent.supervisor.messages`)."""
        return {
            "exec_id": self.exec_id,
            "container_id": self.container_id,
            "pid": self.pid,
            "tty": self.tty,
            "facts": self.facts,
            "exit_code": self.exit_code,
            "ended_at": self.ended_at,
            "has_output": self.window is not None,
            "is_attended": self.window is not None and self.window.is_attended,
            "is_closed": self.is_closed,
        }

    def kept_fds(self) -> dict[str, int]:
        fds = {"stdin": self.stdin_fd}
        if self.window is not None:
            fds["window"], fds["index"] = self.window.payload_fd, self.window.index_fd
        for splicer in self._splicers:
            if not self.tty:
                fds[f"src{splicer.stream}"] = splicer.source_fd
            fds["relay_r"], fds["relay_w"] = splicer.relay_r, splicer.relay_w
        return {name: fd for name, fd in fds.items() if fd >= 0}

    # Start

    def start(
        self,
        container: Run,
        process: Process,
        streams: Sequence[str],
        owner: tuple[int, int] | None,
        spawner: Spawner | None,
    ) -> None:
        """Make the pipes and launch. Raises LaunchError, OSError, after undoing everything.

        `streams`: which of stdin, stdout and stderr are attached; the others are the null device. A terminal's output
        is always read. `owner`: uid and gid of the pipes, for a container with a user namespace.
        """
        theirs: dict[str, int] = {}
        try:
            self._open_streams(streams, theirs)
            if owner is not None:  # so that the command can open /dev/stdout
                for fd in theirs.values():
                    os.fchown(fd, *owner)
            launched = launch_exec(
                process,
                container_pidfd=container.pidfd,
                cgroup=container.cgroup,
                stdin_fd=theirs.get("stdin", -1),
                stdout_fd=theirs.get("stdout", -1),
                stderr_fd=theirs.get("stderr", -1),
                spawner=spawner,
            )
            # Entry and process in one message: before the child continues, a new supervisor need not know about it.
            self.launched(launched, self.entry(), self.kept_fds())
        except BaseException:
            self.close()
            self.keeping.forget(self.key)
            raise
        finally:
            for fd in theirs.values():
                os.close(fd)
        self._watch_output()

    def _open_streams(self, streams: Sequence[str], theirs: dict[str, int]) -> None:
        if self.tty:
            self.window = new_window()
            self._splicers = (WindowSplicer(STDOUT, -1, self.window, self, relay=output_pipe()),)
            return
        if "stdin" in streams:
            theirs["stdin"], self.stdin_fd = os.pipe2(os.O_CLOEXEC)
        for name, stream in (("stdout", STDOUT), ("stderr", STDERR)):
            if name in streams:
                if self.window is None:
                    self.window = new_window()
                reader, theirs[name] = output_pipe()
                self._splicers += (WindowSplicer(stream, reader, self.window, self),)

    def restore(self, data: Mapping[str, Any], fds: dict[str, int]) -> None:
        """Take over a running process."""
        self._restore_streams(fds)
        super().restore(data, fds)
        self._set_master()
        self._watch_output()

    def restore_ended(self, data: Mapping[str, Any], fds: dict[str, int]) -> None:
        """Take over the record of an ended exec."""
        self._restore_streams(fds)
        self.pid = data["pid"]
        self.exit_code = data["exit_code"]
        self.ended_at = data["ended_at"]
        self.state = EXITED
        self._close_sources()

    def _restore_streams(self, fds: dict[str, int]) -> None:
        self.stdin_fd = fds.pop("stdin", -1)
        if "window" not in fds or "index" not in fds:
            return
        self.window = Window(fds.pop("window"), fds.pop("index"))
        self.window.resume_writing()
        relay = (fds.pop("relay_r", -1), fds.pop("relay_w", -1))
        for stream in (STDOUT, STDERR):
            source_fd = fds.pop(f"src{stream}", -1)
            if source_fd >= 0:
                os.set_blocking(source_fd, False)
                self._splicers += (WindowSplicer(stream, source_fd, self.window, self),)
        if relay[0] >= 0:
            self._splicers = (WindowSplicer(STDOUT, -1, self.window, self, relay=relay),)

    # Streams

    def _set_master(self) -> None:
        if self.tty:
            for splicer in self._splicers:
                splicer.source_fd = self.master_fd

    def on_master(self) -> None:
        self._set_master()
        self._watch_output()

    def _watch_output(self) -> None:
        for splicer in self._splicers:
            if splicer.source_fd >= 0 and not self.loop.has(splicer.source_fd):
                self.loop.add(splicer.source_fd, READ, splicer)

    def on_output(self, splicer: WindowSplicer) -> None:
        """The source of one of the streams is readable."""
        assert self.window is not None
        before = self.window.end
        state = splicer.move()
        if state == FULL and self.window.wait_for_reader():
            self.loop.remove(splicer.source_fd)  # until `read_on`
        elif state == ENDED:
            self.loop.remove(splicer.source_fd)
            if not self.tty:  # the master is still needed for the terminal's size
                os.close(splicer.source_fd)
                splicer.source_fd = -1
        if self.window.end != before:
            self._notify(self, "grew")
        if self._code is not None and state == ENDED:
            self._finish()

    def on_read_up(self) -> None:
        self.is_read_up = True

    def read_on(self) -> None:
        """Move output into the window again, after the reader has made room or has left."""
        if self.window is not None and self.exit_code is None:
            self.window.resume()
            self._watch_output()

    def set_attended(self, is_attended: bool) -> None:
        """Set whether a client reads the output. Without one, a full window does not block the command."""
        if self.window is not None:
            self.window.set_attended(is_attended)
            self.read_on()

    def input_fd(self) -> int:
        """The descriptor that the command's input is written to; it stays this object's. -1 if there is none."""
        return self.master_fd if self.tty else self.stdin_fd

    def stream_fds(self) -> tuple[int, ...]:
        """The descriptors to send to the engine (copies): the window's two files and the input, if present."""
        fds = () if self.window is None else (self.window.payload_fd, self.window.index_fd)
        return (*fds, self.input_fd()) if self.input_fd() >= 0 else fds

    def close_stdin(self) -> None:
        """Close our copy of the input and the keeper's. Idempotent.

        The command reads end of file once the engine has closed its copy too.
        """
        if self.stdin_fd >= 0:
            os.close(self.stdin_fd)
            self.stdin_fd = -1
            self.keeping.take(self.key, "stdin")

    # Life

    def on_running(self) -> None:
        self.forget_retry()
        self._notify(self, "running")

    def on_failed(self) -> None:
        self.close()
        self.keeping.forget(self.key)
        self._notify(self, "failed")

    def on_exited(self, code: int) -> None:
        self._code = code
        state = ENDED
        for splicer in self._splicers:
            for _ in range(_DRAIN_TURNS if splicer.source_fd >= 0 else 0):
                state = splicer.move(is_end=True)
                if state in (IDLE, ENDED):
                    break
        if self.tty and state == IDLE and self.master_fd >= 0:
            self._watch_output()
            self.loop.later(_TERMINAL_DRAIN_S, self._finish)
        else:
            self._finish()

    def _finish(self) -> None:
        """All output is in the window: send the exit event, record the exit, reap. Idempotent."""
        if self._code is None or self.exit_code is not None:
            return
        self.exit_code = self._code
        self.ended_at = time.time()
        self.state = EXITED
        self._notify(self, "exited")  # first, since a client waits; until it is reaped, a new supervisor finds the same
        self.keeping.put(self.key, {"exit_code": self.exit_code, "ended_at": self.ended_at})
        self.reap()
        self._close_sources()
        super().close()
        if self.window is None:
            self.keeping.take_later(self.key, *_KEPT)  # else `close_streams` does it, saving the keeper a message

    def _close_sources(self) -> None:
        for splicer in self._splicers:
            if splicer.source_fd >= 0:
                self.loop.remove(splicer.source_fd)
            if self.tty:
                splicer.source_fd = -1  # Child closes the master
            splicer.close()
        self._splicers = ()
        if self.stdin_fd >= 0:
            os.close(self.stdin_fd)
            self.stdin_fd = -1

    def close_streams(self) -> None:
        """Close the window, once its output is delivered or not needed. Raises Refused before the exit."""
        if self.state != EXITED:
            raise Refused(f"{self.key} has not ended")
        self.is_closed = True
        if self.window is not None:
            self.window.close()
            self.window = None
            self.keeping.take_later(self.key, *_KEPT)

    def close(self) -> None:
        self._close_sources()
        if self.window is not None:
            self.window.close()
            self.window = None
        super().close()
