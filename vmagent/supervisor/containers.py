"""One run of a container, from a start to the exit: its process, pipes, log files, cgroup and exit record."""

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
_DRAIN_TURNS = 16  # a limit, since another process that has the pipe open may go on writing after the exit
_REMOVE_TRIES = 100


class Run(Child, LogOwner):
    """One run of a container."""

    __slots__ = (
        "_cgroup_name",
        "_cgroup_parent",
        "_exec_containers",
        "_is_cgroup_gone",
        "_is_window",
        "_notify",
        "_rotation",
        "_splicers",
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
        notify: Callable[[Run, str], None],
    ) -> None:
        """`data`: id, run, tty, cgroup, window, rotation; `exec_containers`: the exec root's folder of containers.

        `notify(self, what)` is called when something has happened: "running", "failed", "grew" (the log), "exited" or
        "cgroup-busy" (see `remove_cgroup`).
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
        self._notify = notify
        self._splicers: tuple[LogSplicer, ...] = ()
        rotation = data.get("rotation")  # absent if the log has no limits
        self._rotation = Rotation(rotation, self.key, keeping) if rotation else None
        self.stdin_fd = -1
        self.last_ns = 0  # time of the latest log record of either stream
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
            fds.pop(f"src{STDOUT}", None)  # the terminal's master, which Child stores as "master"
        if self.stdin_fd >= 0:
            fds["stdin"] = self.stdin_fd
        return fds

    # Start

    def start(self, plan: Plan, log_dir: str, netns_fd: int, spawner: Spawner | None, *, open_stdin: bool) -> None:
        """Make pipes and log files, store them with the keeper, launch.

        Raises LaunchError, OSError, after undoing everything.
        """
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
            # Stdout's files last: a reader that finds them without stderr's knows that there is no stderr stream.
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
        """Clean up a run that had ended or not yet started when its supervisor died; the output is saved.

        `fds`: of the keeper's entry; all are closed.
        """
        self._rebuild_splicers(fds)
        self._drain()
        for fd in fds.values():
            os.close(fd)
        with contextlib.suppress(OSError):
            # There may be a child that the keeper does not know of: its supervisor was killed right after clone3.
            # `kill_all` blocks for some milliseconds until it is dead: the engine may repeat the start at once, in the
            # same cgroup.
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
            self._notify(self, "grew")
        if state == ENDED:
            self.loop.remove(
                splicer.source_fd
            )  # a pipe without writers and a hung-up terminal stay readable: epoll would report them for ever

    def _drain(self) -> None:
        for splicer in self._splicers:
            for _ in range(_DRAIN_TURNS):
                state, self.last_ns = splicer.run(self.last_ns)
                if state in (IDLE, ENDED):
                    break

    def close_stdin(self) -> None:
        """Close the write end of stdin, and the keeper's copy. Idempotent."""
        if self.stdin_fd >= 0:
            os.close(self.stdin_fd)
            self.stdin_fd = -1
            self.keeping.take(self.key, "stdin")

    # Life

    def on_running(self) -> None:
        self.forget_retry()
        self._notify(self, "running")

    def on_failed(self) -> None:
        self._drain()
        self._close_all()
        self._notify(self, "failed")

    def on_exited(self, code: int) -> None:
        self._drain()
        self.exit_code = code
        self.at_ns = time.time_ns()
        with contextlib.suppress(OSError):  # a user may have removed the cgroup
            self.oom_killed = self.cgroup.oom_kills() > 0
        self.state = EXITED
        # Send the event first: the engine handles the exit while this process records it and cleans up. If this process
        # is killed before it reaps, the next supervisor finds the same status and sends the event again. A request for
        # a new start of the container stays in the socket's buffer until the cleanup is done.
        self._notify(self, "exited")
        try:
            records.write(self._folder, records.EXIT, self.record())
        except OSError as e:
            say(f"cove-supervisor: exit record of {self.id}: {e}")
        self.reap()
        self._close_all()

    def _close_all(self) -> None:
        """Close all descriptors, remove the cgroup and the keeper's entry."""
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
        self.close()
        records.remove(self._folder, records.RUNNING)
        self.keeping.forget_later(self.key)
        self.remove_cgroup()

    def remove_cgroup(self) -> None:
        """Kill the processes left in the cgroup, and remove it.

        Without a pid namespace of their own, a container's processes outlive its first process. While the cgroup is
        still busy, `notify` is called with "cgroup-busy": the caller tries again a little later, unless a new run of
        the container uses the cgroup by then.
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
                self._notify(self, "cgroup-busy")
            else:
                say(f"cove-supervisor: cgroup of {self.id}: {e}")

    # The exit record

    def record(self) -> dict[str, Any]:
        """The content of `Held` (`vmagent.supervisor.messages`), and of the exit record on disk."""
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
        """Restore an ended run from its exit record."""
        self.pid = record["pid"]
        self.started_at_ns = record["started_at_ns"]
        self.exit_code = record["exit_code"]
        self.oom_killed = record["oom_killed"]
        self.at_ns = record["exited_at_ns"]
        self.state = EXITED

    def lose(self) -> None:
        """End a run whose keeper and supervisor were killed together: its pipes and its exit status are lost."""
        self.exit_code = UNKNOWN
        with contextlib.suppress(OSError):
            if self.cgroup.pids():
                self.exit_code = 128 + signal.SIGKILL  # `remove_cgroup` kills them
                self.cgroup.thaw()
        self.at_ns = self.started_at_ns = time.time_ns()
        self.state = EXITED
        records.write(self._folder, records.EXIT, self.record())
        records.remove(self._folder, records.RUNNING)
        self.remove_cgroup()

    def forget(self) -> None:
        """Remove the run's remaining files and cgroup, once the engine has the exit status. Idempotent."""
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
        """The descriptor that the container's input is written to; it stays this object's. Raises Refused if none."""
        fd = self.master_fd if self.tty else self.stdin_fd
        if fd < 0:
            raise Refused(f"{self.key} has no open standard input")
        return fd


def remove_empty_cgroup(path: str) -> None:
    """Remove the cgroup `path` in each hierarchy where it has no children; another engine may still use the others."""
    for root in cgroup_tree().mount_points if path else ():
        with contextlib.suppress(OSError):
            os.rmdir(root + path)
