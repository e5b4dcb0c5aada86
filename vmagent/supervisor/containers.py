"""One run of a container: its process, its pipes and logs, its cgroup, its exit record."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from sys import intern

from vmagent.runtime.cgroups import tree as cgroup_tree
from vmagent.runtime.launch import launch
from vmagent.supervisor import records
from vmagent.supervisor.child import EXITED, RUNNING, UNKNOWN, Child, NotHeld, Refused
from vmagent.supervisor.logwriter import STDERR, STDOUT, StreamWriter, index_name, open_writer, payload_name
from vmagent.supervisor.loop import READ
from vmagent.supervisor.rotation import Rotation
from vmagent.supervisor.splicing import ENDED, IDLE, LogOwner, LogSplicer, output_pipe
from vmagent.supervisor.stderr import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from vmagent.runtime.cgroups import Cgroup
    from vmagent.runtime.plantypes import Plan
    from vmagent.runtime.spawner import Spawner
    from vmagent.supervisor.keeping import Keeping
    from vmagent.supervisor.loop import Loop

KIND = "run"
_DRAIN_TURNS = 16  # after the end only what the pipe still holds is there, unless a stranger has it open
_REMOVE_TRIES = 100


class Run(Child, LogOwner):
    """A container's run. `events` is called with what the engine is to be told."""

    __slots__ = (
        "_cgroup_name",
        "_cgroup_parent",
        "_exec_containers",
        "_is_cgroup_gone",
        "_is_window",
        "_rotation",
        "_splicers",
        "_tell",
        "at_ns",
        "id",
        "last_ns",
        "oom_killed",
        "paused",
        "run",
        "stdin_fd",
        "tries_left",
        "tty",
    )

    def __init__(
        self,
        data: Mapping[str, Any],
        exec_containers: str,
        loop: Loop,
        keeping: Keeping,
        tell: Callable[[Run, str], None],
    ) -> None:
        """`data`: id, run, tty, cgroup, window, rotation; `exec_containers`: where its folder in the exec root is.

        `tell(self, what)` is called with "running", "failed", "grew", "exited" or "cgroup-busy".
        """
        super().__init__(loop, keeping)
        self.id: str = data["id"]
        self.run: int = data["run"]
        self.tty: bool = data["tty"]
        parent, _, name = data["cgroup"].rpartition("/")
        self._cgroup_parent = intern(parent)
        self._cgroup_name = self.id if name == self.id else name
        self._is_window: bool = data["window"]
        self._exec_containers = exec_containers
        self._tell = tell
        self._splicers: tuple[LogSplicer, ...] = ()
        rotation = data.get("rotation")  # not there without limits
        self._rotation = Rotation(rotation, self.key, keeping) if rotation else None
        self.stdin_fd = -1
        self.last_ns = 0  # the time of the latest record of both streams
        self.oom_killed = False
        self.paused = False
        self.at_ns: int | None = None
        self.tries_left = _REMOVE_TRIES
        self._is_cgroup_gone = False

    @property
    def key(self) -> str:
        return "container " + self.id

    @property
    def _folder(self) -> str:
        return f"{self._exec_containers}/{self.id}"

    @property
    def cgroup(self) -> Cgroup:
        return cgroup_tree().at(f"{self._cgroup_parent}/{self._cgroup_name}")

    def entry(self) -> dict[str, Any]:
        entry = {
            "kind": KIND,
            "id": self.id,
            "run": self.run,
            "tty": self.tty,
            "cgroup": self.cgroup.path,
            "window": self._is_window,
        }
        if self._rotation is not None:
            entry["rotation"] = self._rotation.entry()
        return entry

    def kept_fds(self) -> dict[str, int]:
        fds = {name: fd for splicer in self._splicers for name, fd in splicer.fds().items()}
        if self.tty:
            fds.pop(f"src{STDOUT}", None)  # the terminal's master, which has its own name
        if self.stdin_fd >= 0:
            fds["stdin"] = self.stdin_fd
        return fds

    # Start

    def start(self, plan: Plan, log_dir: str, netns_fd: int, spawner: Spawner | None, *, open_stdin: bool) -> None:
        """Make pipes and logs, store them, launch. Raises LaunchError, OSError; nothing stays behind then."""
        theirs: dict[str, int] = {}
        try:
            if self._is_window:
                os.makedirs(log_dir, mode=0o711, exist_ok=True)
            self._open_streams(log_dir, theirs, open_stdin=open_stdin)
            self.keeping.put(self.key, self.entry(), self.kept_fds())
            records.write(self._folder, records.RUNNING, self.entry())
            self.launched(
                launch(
                    plan,
                    stdin_fd=theirs.get("stdin", -1),
                    stdout_fd=theirs.get("stdout", -1),
                    stderr_fd=theirs.get("stderr", -1),
                    netns_fd=netns_fd,
                    spawner=spawner,
                )
            )
        except BaseException:
            self._close_all()
            raise
        finally:
            for fd in theirs.values():
                os.close(fd)
        for splicer in self._splicers:
            self._watch_splicer(splicer)

    def _open_streams(self, log_dir: str, theirs: dict[str, int], *, open_stdin: bool) -> None:
        if self._rotation is not None:
            self._rotation.begin()
        if self.tty:
            relay = output_pipe()
            self._add_splicer(
                LogSplicer(STDOUT, -1, self._writer(log_dir, STDOUT), relay=relay, is_window=self._is_window)
            )
        else:
            # Stdout's files last: a reader that finds those alone knows that there will be no others.
            for stream, name in ((STDERR, "stderr"), (STDOUT, "stdout")):
                reader, theirs[name] = output_pipe()
                self._add_splicer(LogSplicer(stream, reader, self._writer(log_dir, stream), is_window=self._is_window))
            self._splicers = self._splicers[::-1]
            if open_stdin:
                theirs["stdin"], self.stdin_fd = os.pipe2(os.O_CLOEXEC)
        if self._rotation is not None:
            self._rotation.watch(self._splicers)

    def _writer(self, log_dir: str, stream: int) -> StreamWriter:
        return open_writer(log_dir, stream) if self._rotation is None else self._rotation.open_writer(stream)

    def _add_splicer(self, splicer: LogSplicer) -> None:
        self._splicers += (splicer,)
        self.last_ns = max(self.last_ns, splicer.writer.last_ns)

    def restore(self, data: Mapping[str, Any], fds: dict[str, int]) -> None:
        self._rebuild_splicers(fds)
        super().restore(data, fds)
        with contextlib.suppress(OSError):
            self.paused = self.cgroup.is_frozen()
        for splicer in self._splicers:
            if self.tty:
                splicer.source_fd = self.master_fd
            self._watch_splicer(splicer)

    def _rebuild_splicers(self, fds: dict[str, int]) -> None:
        self.stdin_fd = fds.pop("stdin", -1)
        for stream in (STDOUT, STDERR):
            if f"log{stream}" not in fds or f"idx{stream}" not in fds:
                continue
            writer = StreamWriter(fds.pop(f"log{stream}"), fds.pop(f"idx{stream}"))
            relay = (fds.pop("relay_r", -1), fds.pop("relay_w", -1))
            splicer = LogSplicer(stream, fds.pop(f"src{stream}", -1), writer, relay=relay, is_window=self._is_window)
            for fd in (splicer.source_fd, *relay):
                if fd >= 0:
                    os.set_blocking(fd, False)
            self._add_splicer(splicer)
        if self._rotation is not None:
            self._rotation.watch(self._splicers)
            self._rotation.resume()

    def finish_restored(self, fds: dict[str, int]) -> None:
        """The run was over already, or never began, when its supervisor died: save the output, drop the rest."""
        self._rebuild_splicers(fds)
        self._drain()
        for fd in fds.values():
            os.close(fd)
        with contextlib.suppress(OSError):
            # A child that was killed between clone3 and the keeper's knowing. It may be wanted again at once, in the
            # same cgroup; so this waits, for once, the milliseconds until it is gone.
            self.cgroup.kill_all()
        self._close_all()

    # Output

    def _watch_splicer(self, splicer: LogSplicer) -> None:
        if splicer.source_fd >= 0:
            splicer.owner = self
            self.loop.add(splicer.source_fd, READ, splicer)

    def on_master(self) -> None:
        for splicer in self._splicers:
            splicer.source_fd = self.master_fd
            self._watch_splicer(splicer)

    def on_output(self, splicer: LogSplicer) -> None:
        """The source of one of the streams is readable."""
        state, last_ns = splicer.run(self.last_ns)
        if last_ns != self.last_ns:
            self.last_ns = last_ns
            self._tell(self, "grew")
        if state == ENDED:
            self.loop.remove(
                splicer.source_fd
            )  # a pipe without writers, a terminal hung up: both would be ready for ever

    def _drain(self) -> None:
        for splicer in self._splicers:
            for _ in range(_DRAIN_TURNS):
                state, self.last_ns = splicer.run(self.last_ns)
                if state in (IDLE, ENDED):
                    break

    def close_stdin(self) -> None:
        """Drop the write end here and at the keeper. Idempotent."""
        if self.stdin_fd >= 0:
            os.close(self.stdin_fd)
            self.stdin_fd = -1
            self.keeping.take(self.key, "stdin")

    # Life

    def on_running(self) -> None:
        self.forget_retry()
        self._tell(self, "running")

    def on_failed(self) -> None:
        self._drain()
        self._close_all()
        self._tell(self, "failed")

    def on_exited(self, code: int) -> None:
        self._drain()
        self.exit_code = code
        self.at_ns = time.time_ns()
        with contextlib.suppress(OSError):  # the cgroup may be gone already, by hand
            self.oom_killed = self.cgroup.oom_kills() > 0
        self.state = EXITED
        # Told first: the engine settles the exit while this records it and tidies up. Should this process be killed
        # before it reaps, an heir finds out the same and tells it again. A new start of the same container waits in
        # the socket until all of it is gone.
        self._tell(self, "exited")
        try:
            records.write(self._folder, records.EXIT, self.record())
        except OSError as e:
            say(f"cove-supervisor: exit record of {self.id}: {e}")
        self.reap()
        self._close_all()

    def _close_all(self) -> None:
        """Give back descriptors, cgroup and the keeper's entry."""
        for splicer in self._splicers:
            if splicer.source_fd >= 0:
                self.loop.remove(splicer.source_fd)
            if self.tty:
                splicer.source_fd = -1  # the master is Child's
            splicer.close()
        self._splicers = ()
        if self.stdin_fd >= 0:
            os.close(self.stdin_fd)
            self.stdin_fd = -1
        self.close()
        records.remove(self._folder, records.RUNNING)
        self.keeping.forget_later(self.key)
        self.remove_cgroup()

    def remove_cgroup(self) -> None:
        """Remove the cgroup, and kill what is left in it: without a pid namespace, processes outlive the first one.

        While it is busy yet, "cgroup-busy" is told: call again a moment later, unless a new run uses it.
        """
        try:
            try:
                self.cgroup.remove()
            except OSError as e:
                if e.errno != errno.EBUSY:
                    raise
                self.cgroup.signal_all(signal.SIGKILL)
                self.cgroup.remove()
            self._is_cgroup_gone = True
        except OSError as e:
            self.tries_left -= 1
            if self.tries_left:
                self._tell(self, "cgroup-busy")
            else:
                say(f"cove-supervisor: cgroup of {self.id}: {e}")

    # The exit record

    def record(self) -> dict[str, Any]:
        """What `Held` is made of; on disk after the exit."""
        return {
            "id": self.id,
            "run": self.run,
            "pid": self.pid,
            "state": self.state if self.exit_code is None else EXITED,
            "started_at_ns": self.started_at_ns,
            "exit_code": self.exit_code,
            "oom_killed": self.oom_killed,
            "exited_at_ns": self.at_ns,
            "tty": self.tty,
            "stdin_open": self.stdin_fd >= 0 or (self.tty and self.master_fd >= 0),
            "paused": self.paused,
            "cgroup": self.cgroup.path,
            "window": self._is_window,
        }

    def take_record(self, record: Mapping[str, Any]) -> None:
        """Become the run that has left this record."""
        self.pid = record["pid"]
        self.started_at_ns = record["started_at_ns"]
        self.exit_code = record["exit_code"]
        self.oom_killed = record["oom_killed"]
        self.at_ns = record["exited_at_ns"]
        self.state = EXITED

    def lose(self) -> None:
        """Keeper and supervisor were killed together: pipes and status are gone. End what is left of it."""
        self.exit_code = UNKNOWN
        with contextlib.suppress(OSError):
            if self.cgroup.pids():
                self.exit_code = 128 + signal.SIGKILL  # by `remove_cgroup`
                self.cgroup.thaw()
        self.at_ns = self.started_at_ns = time.time_ns()
        self.state = EXITED
        records.write(self._folder, records.EXIT, self.record())
        records.remove(self._folder, records.RUNNING)
        self.remove_cgroup()

    def forget(self) -> None:
        """The engine has the status: nothing of the run stays. Idempotent."""
        if self._is_window:
            for stream in (STDOUT, STDERR):
                records.remove(self._folder, payload_name(stream))
                records.remove(self._folder, index_name(stream))
        records.remove(self._folder, records.EXIT)
        if not self._is_cgroup_gone and self.cgroup.exists():
            self.remove_cgroup()

    # Verbs

    def require_running(self) -> None:
        if self.state != RUNNING:
            raise NotHeld(f"{self.key} is not running")

    def signal(self, signum: int) -> None:
        super().signal(signum)
        if signum == signal.SIGKILL and self.paused:
            self.cgroup.thaw()  # cgroup v1: a frozen process dies only once it is thawed
            self.paused = False

    def pause(self) -> None:
        self.require_running()
        self.cgroup.freeze()
        self.paused = True

    def resume(self) -> None:
        self.require_running()
        self.cgroup.thaw()
        self.paused = False

    def input_fd(self) -> int:
        """Where the container's input is written to, still ours. Raises Refused if it has none."""
        fd = self.master_fd if self.tty else self.stdin_fd
        if fd < 0:
            raise Refused(f"{self.key} has no open standard input")
        return fd


def remove_empty_cgroup(path: str) -> None:
    """Remove the cgroup `path` of all hierarchies where nothing is below it. Another engine's stay as they are."""
    for root in cgroup_tree().mount_points if path else ():
        with contextlib.suppress(OSError):
            os.rmdir(root + path)
