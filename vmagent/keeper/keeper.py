"""The keeper: parent of engine and supervisor, child subreaper, store of descriptors. It restarts each when it dies.

It is small on purpose (no asyncio, ctypes, re), needs no other program once it runs, and is never replaced while
containers run. `vmagent.keeper.main` checks and opens everything and then becomes this process by execve, so that its
imports leave no memory behind. The only argument is the configuration as JSON.

Why a third process: when the supervisor dies, the containers that it launched become children of the nearest subreaper
above it. If that were the engine, a kill of both processes would pass the exit statuses to init, which drops them.
"""

from __future__ import annotations

import os
import select
import signal
import time
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_SEQPACKET, socketpair

from vmagent.keeper.store import Store
from vmagent.linux.compact_json import loads
from vmagent.linux.packets import Link, PeerLost, open_socket
from vmagent.linux.title import set_title
from vmagent.supervisor.stderr import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_SUPERVISOR_CODE = (
    "import sys; sys.path.append(sys.argv[1]); from vmagent.supervisor.main import run; run(int(sys.argv[2]))"
)
_STEADY_S = 1.0  # a child that ran for this long did not fail at its start
_FIRST_PAUSE_S = 0.02
_PAUSE_LIMIT_S = 5.0
_PAUSE_LIMIT_KILLED_S = 0.1  # after SIGKILL restart soon: another process sent it, the child itself is not at fault
_ENGINE_STOP_LIMIT_S = 180.0  # far above the limits that the engine sets itself
_SUPERVISOR_STOP_LIMIT_S = 20.0
_HANDED_SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGQUIT]


class Child:
    """Engine or supervisor: its current process, and when to start it next."""

    __slots__ = ("began", "link", "name", "next_start", "pause_s", "pid", "pidfd")

    def __init__(self, name: str) -> None:
        self.name = name
        self.pid = 0  # 0: not running
        self.pidfd = -1  # only of a supervisor that is not our child
        self.link: Link | None = None
        self.began = 0.0
        self.pause_s = 0.0
        self.next_start: float | None = 0.0  # None: not to be started

    def plan_restart(self, *, was_killed: bool) -> None:
        """Restart at once, or after a growing pause if it keeps dying soon after its start."""
        now = time.monotonic()
        if now - self.began >= _STEADY_S:
            self.pause_s = 0.0
        self.next_start = now + self.pause_s
        limit = _PAUSE_LIMIT_KILLED_S if was_killed else _PAUSE_LIMIT_S
        self.pause_s = min(limit, max(_FIRST_PAUSE_S, self.pause_s * 2))


class Keeper:
    """The event loop and its state. `config`: see `vmagent.keeper.main.open_all`."""

    def __init__(self, config: dict[str, Any]) -> None:
        for fd in descriptors(config):
            os.set_inheritable(fd, False)  # inheritable only for the execve that made this process
        self._config = config
        self._store = Store()
        self._engine = Child("engine")
        self._supervisor = Child("supervisor")
        self._listener_fd: int = config["supervisor_listener_fd"]
        self._restoring: Iterator[None] | None = None
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._stage = "running"  # then "engine-stops", "supervisor-stops", "done"
        self._deadline = 0.0
        self._status = 0
        self._is_ready = False
        self._is_adopting = False  # True until the supervisor of an earlier keeper has handed over
        self._wake_r, wake_w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        for signum in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(signum, _noted)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a closed terminal is no reason to stop containers
        self._add(self._wake_r, self._on_signal)

    def run(self) -> int:
        """Run until everything has stopped; returns the exit status."""
        if self._config["adopt_fd"] >= 0:
            self._adopt_supervisor(self._config["adopt_fd"])
        while self._stage != "done":
            self._start_what_is_due()
            for fd, _ in self._epoll.poll(self._timeout()):
                handler = self._handlers.get(fd)
                if handler is not None:
                    handler()
            if self._deadline and time.monotonic() >= self._deadline:
                self._on_deadline()
        return self._status

    # Descriptors

    def _add(self, fd: int, handler: Callable[[], None], events: int = select.EPOLLIN) -> None:
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def _remove(self, fd: int) -> None:
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def _timeout(self) -> float:
        times = [child.next_start for child in (self._engine, self._supervisor) if child.next_start is not None]
        if self._deadline:
            times.append(self._deadline)
        return max(0.0, min(times) - time.monotonic()) if times else -1.0

    # Starting

    def _start_what_is_due(self) -> None:
        now = time.monotonic()
        # The supervisor first: the engine asks it at its start which containers run.
        for child, start in ((self._supervisor, self._start_supervisor), (self._engine, self._start_engine)):
            if child.next_start is not None and child.next_start <= now:
                child.next_start = None
                child.began = now
                start()

    def _start_supervisor(self) -> None:
        ours, theirs = _pair()
        config = self._config
        python: str = config["base_python"]
        argv = [python, "-I", "-S", "-c", _SUPERVISOR_CODE, config["code_root"], str(theirs)]
        # From a read-only mount of the interpreter, so that no container can write to it (CVE-2019-5736).
        self._supervisor.pid = _spawn(f"/proc/self/fd/{config['interpreter_fd']}", argv, [theirs])
        os.close(theirs)
        self._supervisor.link = Link(open_socket(ours))
        self._add(ours, self._on_supervisor, select.EPOLLIN)
        self._restoring = self._restore()
        self._flush_supervisor()

    def _restore(self) -> Iterator[None]:
        """Send the new supervisor all entries, one message per step, as fast as it reads."""
        link = self._supervisor.link
        assert link is not None
        link.send({"k": "config", "containers": self._config["containers"]}, [self._listener_fd])
        yield
        for key, entry in self._store.entries():
            message = {"k": "entry", "key": key, "data": entry.data, "names": [*entry.fds]}
            link.send(message, [*entry.fds.values()])
            yield
        link.send({"k": "start"})
        if self._stage == "supervisor-stops":
            link.send({"k": "stop"})

    def _start_engine(self) -> None:
        ours, theirs = _pair()
        config = self._config
        listeners: list[list[Any]] = config["listeners"]
        listen_args = [word for fd, url in listeners for word in ("--listen-fd", f"{fd}={url}")]
        argv: list[str] = [*config["engine_argv"], *listen_args, "--keeper-fd", str(theirs)]
        # The engine holds the lock of the data root too: no other engine gets the lock while this one still runs.
        lock_fds = [config["lock_fd"]] if config["lock_fd"] >= 0 else []
        fds = [theirs, *lock_fds, *(fd for fd, _ in listeners)]
        self._engine.pid = _spawn(argv[0], argv, fds)
        os.close(theirs)
        self._engine.link = Link(open_socket(ours))
        self._add(ours, self._on_engine)

    def _adopt_supervisor(self, fd: int) -> None:
        """Become the keeper of a supervisor whose own keeper was killed.

        Its pid comes in its last message: SO_PEERCRED would name the dead keeper, which had called listen.
        """
        self._supervisor.link = Link(open_socket(fd))
        self._supervisor.next_start = None
        self._supervisor.began = time.monotonic()
        self._add(fd, self._on_supervisor)
        self._is_adopting = True
        try:
            self._supervisor.link.send({"op": "keeper", "q": 0})
        except PeerLost:
            self._on_adoption_failed()

    def _on_adoption_failed(self) -> None:
        """The supervisor died, or its version does not know the request: stop. What it held is lost."""
        self._is_adopting = False
        say("cove-keeper: the supervisor that was found ended before it had handed over; start again")
        link = self._supervisor.link
        if link is not None:
            self._remove(link.fd)
            link.close()
            self._supervisor.link = None
        self._status = 1
        self._stop()

    def _watch_adopted(self, pid: int) -> None:
        self._is_adopting = False
        self._supervisor.pid = pid
        try:
            self._supervisor.pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._on_adopted_died()
            return
        self._add(self._supervisor.pidfd, self._on_adopted_died)

    def _on_adopted_died(self) -> None:
        pidfd, self._supervisor.pidfd = self._supervisor.pidfd, -1
        if pidfd >= 0:
            self._remove(pidfd)
            os.close(pidfd)
        self._on_died(self._supervisor, 128 + signal.SIGKILL)

    # Messages

    def _on_engine(self) -> None:
        """Read b"ready", which the engine sends once. Otherwise the socket only lets the engine notice our death."""
        link = self._engine.link
        if link is None:
            return
        try:
            if link.sock.recv(64):
                self._is_ready = True
                return
        except BlockingIOError:
            return
        except OSError:
            pass  # treated as closed
        self._remove(link.fd)  # SIGCHLD follows

    def _on_supervisor(self) -> None:
        self._drain_supervisor()
        self._flush_supervisor()

    def _drain_supervisor(self) -> None:
        """Handle all messages that have arrived, also from a supervisor that has died meanwhile."""
        link = self._supervisor.link
        if link is None:
            return
        while True:
            try:
                received = link.receive()
            except PeerLost:
                self._remove(link.fd)
                if self._is_adopting:
                    self._on_adoption_failed()
                return
            if received is None:
                return
            message, fds = received
            for earlier in message.get("before", ()):
                self._on_message(earlier, [])
            self._on_message(message, fds)

    def _on_message(self, message: dict[str, Any], fds: list[int]) -> None:
        match message.get("k"):
            case "put":
                self._store.put(message["key"], message["data"], message["names"], fds)
                return
            case "take":
                self._store.take(message["key"], message["names"])
            case "forget":
                self._store.forget(message["key"])
            case "handed-over":
                self._listener_fd = fds.pop(0)
                self._watch_adopted(message["pid"])
        for fd in fds:
            os.close(fd)

    def _flush_supervisor(self) -> None:
        link = self._supervisor.link
        if link is None or link.fd not in self._handlers:
            return
        try:
            link.flush()
            while self._restoring is not None and not link.is_behind:
                try:
                    next(self._restoring)
                except StopIteration:
                    self._restoring = None
        except PeerLost:
            return  # SIGCHLD follows
        is_waiting = link.is_behind
        self._epoll.modify(link.fd, select.EPOLLIN | (select.EPOLLOUT if is_waiting else 0))

    # Deaths

    def _on_signal(self) -> None:
        numbers = os.read(self._wake_r, 512)
        if any(number != signal.SIGCHLD for number in numbers):
            self._stop()
        while True:
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)
            except ChildProcessError:
                return
            if info is None:
                return
            status = info.si_status if info.si_code == os.CLD_EXITED else 128 + info.si_status
            if info.si_pid == self._supervisor.pid:
                self._on_died(self._supervisor, status)
            elif info.si_pid == self._engine.pid:
                self._on_died(self._engine, status)
            else:
                self._on_adopted(info.si_pid, status)

    def _on_adopted(self, pid: int, status: int) -> None:
        """Note the exit of a container's process whose supervisor has died; its pid may be in an unread message."""
        self._drain_supervisor()
        if not self._store.note_status(pid, status):
            return  # an orphan of a container's process, not a process that the supervisor launched
        link = self._supervisor.link
        if link is not None and link.fd in self._handlers and self._restoring is None:
            try:
                link.send({"k": "reaped", "pid": pid, "status": status})
            except PeerLost:
                return  # the next supervisor gets the status with the entry
            self._flush_supervisor()

    def _on_died(self, child: Child, status: int) -> None:
        child.pid = 0
        if child is self._supervisor:
            self._drain_supervisor()
            self._restoring = None
        if child.link is not None:
            self._remove(child.link.fd)
            child.link.close()
            child.link = None
        was_killed = status == 128 + signal.SIGKILL
        if self._stage == "running":
            if child is self._engine and not self._is_ready and not was_killed and not len(self._store):
                self._status = status or 1  # it could not start and has printed the reason; no container needs it
                self._stop()
                return
            say(f"cove-keeper: {child.name} {_how(status)}; starting it again")
            child.plan_restart(was_killed=was_killed)
        elif self._stage == "engine-stops":
            if child is self._engine:
                self._stop_supervisor()
            else:
                child.plan_restart(was_killed=was_killed)  # the engine needs it to stop the containers
        elif self._stage == "supervisor-stops" and child is self._supervisor:
            if status and len(self._store):
                child.plan_restart(was_killed=was_killed)
            else:
                self._finish()

    # Stopping

    def _stop(self) -> None:
        """First request: stop everything in order. Second request: kill an engine that still stops."""
        if self._stage == "running":
            self._stage = "engine-stops"
            self._deadline = time.monotonic() + _ENGINE_STOP_LIMIT_S
            self._engine.next_start = None
            if self._engine.pid:
                os.kill(self._engine.pid, signal.SIGTERM)
            else:
                self._stop_supervisor()
        elif self._stage == "engine-stops" and self._engine.pid:
            os.kill(self._engine.pid, signal.SIGKILL)

    def _stop_supervisor(self) -> None:
        self._stage = "supervisor-stops"
        self._deadline = time.monotonic() + _SUPERVISOR_STOP_LIMIT_S
        link = self._supervisor.link
        if link is None:
            if self._supervisor.next_start is None:
                self._finish()
        elif self._restoring is None:
            try:
                link.send({"k": "stop"})
                self._flush_supervisor()
            except PeerLost:
                return  # SIGCHLD follows

    def _on_deadline(self) -> None:
        if self._stage == "engine-stops" and self._engine.pid:
            say("cove-keeper: the engine does not stop; killing it")
            self._deadline = 0.0
            os.kill(self._engine.pid, signal.SIGKILL)
        else:
            say("cove-keeper: the supervisor does not stop; killing it")
            if self._supervisor.pid:
                os.kill(self._supervisor.pid, signal.SIGKILL)
            self._finish()

    def _finish(self) -> None:
        """Kill what still runs, and remove sockets, the pid file and the mount."""
        for pidfd in self._store.pidfds():
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for path in self._config["unlink"]:
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue
        if self._config["unmount"]:
            from vmagent.linux.mounts import MNT_DETACH, umount  # not needed before, and large

            try:
                umount(self._config["unmount"], MNT_DETACH)
            except OSError as e:  # another process has unmounted it
                say(f"cove-keeper: {e.filename}: {e.strerror}")
        self._stage = "done"


def descriptors(config: dict[str, Any]) -> list[int]:
    """All descriptors that a configuration names."""
    named = [value for name, value in config.items() if name.endswith("_fd") and value >= 0]
    return [*named, *(fd for fd, _ in config["listeners"])]


def _pair() -> tuple[int, int]:
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK)
    return ours.detach(), theirs.detach()


def _spawn(path: str, argv: list[str], fds: list[int]) -> int:
    """Start a child with `fds` open under the same numbers, in a process group of its own (^C is for the keeper)."""
    return os.posix_spawn(
        path,
        argv,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, fd, fd) for fd in fds],  # onto itself: clears CLOEXEC
        setpgroup=0,
        setsigdef=_HANDED_SIGNALS,
    )


def _noted(_signum: int, _frame: object) -> None:
    """Do nothing: Python has written the signal's number to the wakeup descriptor."""


def _how(status: int) -> str:
    return f"was killed by signal {status - 128}" if status > 128 else f"ended with status {status}"


def run(config_json: str) -> int:
    """Run the keeper with its configuration as JSON; returns the exit status."""
    set_title("cove-keeper")
    return Keeper(loads(config_json)).run()
