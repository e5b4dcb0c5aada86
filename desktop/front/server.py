"""The warm server: an interpreter with the command line loaded, which forks a process for each `cove` of its user.

`vmagent/native/front.c` is its client, and starts it. It has one thread, so it may fork. It ends when it has been idle
for IDLE_S, or when a file that it has loaded has changed. It leaves to a new interpreter what is used rarely, and
environments that change the interpreter itself.

Protocol, on a connection of the server's abstract socket. The front sends a length (32 bits, the machine's byte order)
with descriptors (SCM_RIGHTS: those to inherit, then the working directory), and so many bytes of text, each item ended
by a NUL: how many descriptors there are and their numbers, umask, the masks of ignored and of blocked signals, how many
arguments there are and the arguments, then the environment. The server sends `S` with a pidfd and, at the end, the wait
status (32 bits); or `P`: start plainly. When the connection ends before the command, the command is killed.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import gc
import mmap
import os
import select
import signal
import socket
import struct
import sys
import time
from importlib import import_module
from typing import NamedTuple, NoReturn

from desktop.cli.compose.main import VERBS
from desktop.cli.main import COMMANDS, entry
from desktop.compose import memory

assert sys.platform == "linux"  # the front is a program for Linux

IDLE_S = 300.0
_LIMIT_S = 2.0  # to send a request
_MAX_FDS, _MAX_REQUEST = 251, 4 << 20
_MOST_DESCRIPTORS = 1 << 20
_MOST_LEFT = 4 << 20  # bytes that a command may leave; only what it writes takes memory
_LENGTH = struct.Struct("=I")
# Commands that are used often and need no terminal of their own (getpass opens /dev/tty).
WARM = (
    "compose", "cp", "create", "diff", "events", "exec", "history", "images", "info", "inspect", "kill", "logs",
    "network", "pause", "port", "ps", "pull", "push", "rename", "restart", "rm", "rmi", "run", "start", "stats", "stop",
    "system", "tag", "top", "unpause", "update", "version", "volume", "wait", "attach", "container", "image",
)  # fmt: skip
_ALSO = (
    "desktop.cli.template", "desktop.client.logins", "desktop.cli.streams", "desktop.cli.terminal",
    "desktop.compose.attached", "desktop.compose.converge", "desktop.compose.stopping",
)  # fmt: skip
_RARE_VERBS = ("kube", "watch")  # of compose: loaded by those who use them
# Variables that the interpreter reads when it starts.
_OF_INTERPRETER = ("LANG", "LC_ALL", "LC_CTYPE")
_PREFIX = "PYTHON"


class Request(NamedTuple):
    """One command, as the front's process would run it."""

    numbers: list[int]  # of the descriptors
    umask: int
    ignored: int  # masks of signals, bit 0 for signal 1
    blocked: int
    argv: list[bytes]
    environ: dict[bytes, bytes]


class _Running(NamedTuple):
    """A command that runs: the front's connection, its process id, and the memory in which it may leave what it has
    loaded: a length (32 bits), and so many bytes for `desktop.compose.memory`."""

    connection: socket.socket
    pid: int
    left: mmap.mmap | None


def parse(text: bytes) -> Request:
    """Raises ValueError, IndexError for what no front sends."""
    items = text.split(b"\0")[:-1]
    count = int(items[0])
    numbers = [int(item) for item in items[1 : count + 1]]
    umask, ignored, blocked, words = (int(item) for item in items[count + 1 : count + 5])
    rest = items[count + 5 :]
    pairs = (item.partition(b"=") for item in rest[words:])
    return Request(numbers, umask, ignored, blocked, rest[:words], {name: value for name, _, value in pairs})


def interpreter_settings(environ: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """The variables that must be the same in the server as in a request."""
    names = tuple(name.encode() for name in _OF_INTERPRETER)
    return {name: value for name, value in environ.items() if name in names or name.startswith(_PREFIX.encode())}


def is_warm(argv: list[bytes]) -> bool:
    """Whether the command is one of WARM; flags before it are left to a new interpreter."""
    return len(argv) > 1 and argv[1].decode(errors="replace") in WARM


class Server:
    """Serves on `listener` until it is idle for too long or out of date."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._poll = select.poll()
        self._poll.register(listener, select.POLLIN)
        self._running: dict[int, _Running] = {}  # by pidfd
        self._fronts: dict[int, int] = {}  # pidfds by connection
        self._settings = interpreter_settings(dict(os.environb))
        self._files = {
            file: os.stat(file).st_mtime_ns
            for module in list(sys.modules.values())
            if (file := getattr(module, "__file__", None)) and (module.__name__.partition(".")[0] == "desktop")
        }

    def run(self) -> None:
        idle_since = time.monotonic()
        while True:
            left_s = IDLE_S - (time.monotonic() - idle_since)
            if not self._running and left_s <= 0:
                return
            ready = [fd for fd, _ in self._poll.poll(None if self._running else max(1, int(left_s * 1000)))]
            # New connections last: theirs may be the number of a descriptor that is closed here.
            for fd in sorted(ready, key=lambda fd: fd == self._listener.fileno()):
                idle_since = time.monotonic()
                if fd == self._listener.fileno():
                    connection, _ = self._listener.accept()
                    if not self._serve(connection):
                        return
                elif fd in self._running:
                    self._end(fd)
                elif fd in self._fronts:  # the front is gone, or sends what it must not send
                    pidfd = self._fronts[fd]
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                    self._poll.unregister(fd)

    def _is_current(self) -> bool:
        try:
            return all(os.stat(file).st_mtime_ns == known for file, known in self._files.items())
        except OSError:
            return False

    def _serve(self, connection: socket.socket) -> bool:
        """Fork for one request. False: this server is out of date, and ends."""
        fds: list[int] = []
        try:
            connection.settimeout(_LIMIT_S)
            (peer_uid,) = struct.unpack("=4xI4x", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            request = self._receive(connection, fds) if peer_uid == os.geteuid() else None
            is_current = self._is_current()
            if (
                request is None
                or len(fds) != len(request.numbers) + 1
                or not is_current
                or not is_warm(request.argv)
                or interpreter_settings(request.environ) != self._settings
            ):
                connection.sendall(b"P")
                connection.close()
                return is_current or bool(self._running)
            left = mmap.mmap(-1, _MOST_LEFT) if request.argv[1] == b"compose" else None
            pid = os.fork()
            if pid == 0:
                self._become(request, fds, left)
            pidfd = os.pidfd_open(pid)
            self._running[pidfd] = _Running(connection, pid, left)
            self._fronts[connection.fileno()] = pidfd
            self._poll.register(pidfd, select.POLLIN)
            self._poll.register(connection, select.POLLIN)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("=i", pidfd))]
            with contextlib.suppress(OSError):  # its end is noticed by poll
                connection.sendmsg([b"S"], rights)
        except (OSError, ValueError, IndexError):
            connection.close()  # the front starts plainly
        finally:
            for fd in fds:
                os.close(fd)
        return True

    @staticmethod
    def _receive(connection: socket.socket, fds: list[int]) -> Request:
        """A whole request; its descriptors are added to `fds`. Raises OSError, ValueError, IndexError."""
        size = array.array("i").itemsize
        data, control, _, _ = connection.recvmsg(_LENGTH.size, socket.CMSG_SPACE(_MAX_FDS * size))
        for level, kind, content in control:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                received = array.array("i")
                received.frombytes(content[: len(content) - len(content) % size])
                fds += received
        if len(data) != _LENGTH.size:
            raise ValueError("a request without a length")
        (length,) = _LENGTH.unpack(data)
        if length > _MAX_REQUEST:
            raise ValueError(length)
        text = bytearray()
        while len(text) < length:
            if not (piece := connection.recv(length - len(text))):
                raise ValueError("a request that was cut")
            text += piece
        return parse(bytes(text))

    def _end(self, pidfd: int) -> None:
        """A command has ended: reap it, and send its status."""
        connection, pid, left = self._running.pop(pidfd)
        self._poll.unregister(pidfd)
        _, status = os.waitpid(pid, 0)
        os.close(pidfd)
        del self._fronts[connection.fileno()]
        with contextlib.suppress(KeyError, OSError):
            self._poll.unregister(connection)
        with contextlib.suppress(OSError):  # the front is gone
            connection.sendall(_LENGTH.pack(status))
        connection.close()
        if left is not None:
            _remember(left)

    def _become(self, request: Request, fds: list[int], left: mmap.mmap | None) -> NoReturn:
        """In the child: be the process that the front would have been, run the command, exit. What it has loaded is
        left in `left`."""
        status = 1
        try:
            _take_descriptors(request.numbers, fds)
            _take_state(request)
            status = entry()
        except SystemExit as e:
            status = e.code if isinstance(e.code, int) else 1
        except BaseException:  # noqa: BLE001  # the end of a process: as the interpreter shows it
            import traceback

            traceback.print_exc()
        finally:
            _finish(status, left)


def _remember(left: mmap.mmap) -> None:
    """Keep the projects that a command has left."""
    with left:
        (length,) = _LENGTH.unpack(left.read(_LENGTH.size))
        if length:
            memory.add(left.read(length))
            gc.freeze()  # the collector of each child would copy their pages


def _leave(left: mmap.mmap) -> None:
    """The length comes last: a process that is killed meanwhile has left nothing."""
    data = memory.loaded()
    if data and len(data) <= len(left) - _LENGTH.size:
        left[_LENGTH.size : _LENGTH.size + len(data)] = data
        left[: _LENGTH.size] = _LENGTH.pack(len(data))


def _take_descriptors(numbers: list[int], fds: list[int]) -> None:
    """Only the request's descriptors are open afterwards, under their numbers; the last one becomes the working
    directory."""
    os.fchdir(fds[-1])
    least = max([2, *numbers]) + 1
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, least) for fd in fds[:-1]]
    for fd in set(range(least)) - set(numbers):
        with contextlib.suppress(OSError):  # it is closed
            os.close(fd)
    for fd, number in zip(moved, numbers, strict=True):
        os.dup2(fd, number)
    os.closerange(least, _MOST_DESCRIPTORS)  # close_range(2)


def _take_state(request: Request) -> None:
    os.umask(request.umask)
    os.environb.clear()
    os.environb.update(request.environ)
    time.tzset()
    sys.argv = ["cove", *(os.fsdecode(word) for word in request.argv[1:])]
    _open_streams(request.numbers)
    for number in range(1, signal.NSIG):
        if request.ignored >> (number - 1) & 1:
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(
        signal.SIG_SETMASK, [number for number in range(1, signal.NSIG) if request.blocked >> (number - 1) & 1]
    )


def _open_streams(numbers: list[int]) -> None:
    """sys.stdin, stdout and stderr as the interpreter makes them."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        ours, stream = getattr(sys, f"__{name}__"), None  # made by the interpreter with the same settings
        if number in numbers:
            stream = open(  # noqa: SIM115  # open until the process ends
                number,
                mode,
                encoding=ours.encoding,
                errors=ours.errors,
                closefd=False,
                buffering=1 if number == 2 or (number == 1 and os.isatty(1)) else -1,
            )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _finish(status: int, left: mmap.mmap | None) -> NoReturn:
    """End without taking the interpreter apart, but for what others would notice: output, threads that are not
    daemons."""
    import threading

    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()
    if left is not None:
        _leave(left)
    os._exit(status)


def load() -> None:
    """Load what the commands need."""
    for command in WARM:
        import_module(COMMANDS[command][0])
    for verb, (module, _, _) in VERBS.items():
        if verb not in _RARE_VERBS:
            import_module(f"desktop.cli.compose.{module}")
    for module in _ALSO:
        import_module(module)


def main(name: str) -> int:
    """Serve at the abstract socket `name`. Exit status 0; also where another server was faster."""
    load()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            listener.bind(f"\0{name}")
        except OSError:
            return 0
        listener.listen(64)
        gc.collect()
        gc.freeze()
        Server(listener).run()
    return 0
