"""What `cove-runtime` passes between its caller and a container: descriptors, readiness, a seccomp listener.

Service managers: sd_listen_fds(3), sd_notify(3). Seccomp agents: config-linux.md, "The Container Process State".
"""

from __future__ import annotations

import array
import json
import os
import select
from pathlib import Path

from vmagent.linux.process import pidfd_getfd
from vmagent.runtime.failure import OTHER, SPEC, LaunchError, failed
from vmagent.runtime.plantypes import ProcessExtra
from vmagent.runtime.state import Container
from vmagent.runtime.version import SPEC_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any

    from vmagent.runtime.plantypes import Process

_INSIDE = "/run/notify"
_MAX_DATAGRAM = 4096


def keep_descriptors(process: Process, preserved: int) -> Process:
    """The process with the sockets of LISTEN_FDS and `preserved` descriptors more, which are made inheritable.

    Raises LaunchError if one of them is not open.
    """
    listening = 0
    if os.environ.get("LISTEN_FDS", "").isdigit() and os.environ.get("LISTEN_PID", str(os.getpid())) == str(
        os.getpid()
    ):
        listening = int(os.environ["LISTEN_FDS"])
    total = listening + preserved
    if not total:
        return process
    for fd in range(3, 3 + total):
        try:
            os.set_inheritable(fd, True)
        except OSError as e:
            raise failed(f"please check that the preserved-fd {fd} (of {total}) is present", e) from e
    names = os.environ.get("LISTEN_FDNAMES")
    extra = (process.extra or ProcessExtra())._replace(preserved_fds=total, listen_fds=listening, listen_fdnames=names)
    return process._replace(extra=extra)


def offer_notify_socket(spec: dict[str, Any], container: Container) -> str:
    """Add a notify socket to `spec`. Returns the path of the host's socket, "" without NOTIFY_SOCKET."""
    outside = os.environ.get("NOTIFY_SOCKET", "")
    if not outside:
        return ""
    container.notify_folder.mkdir(mode=0o755)
    mount = {"destination": _INSIDE, "source": str(container.notify_folder), "type": "bind", "options": ["bind"]}
    spec["mounts"] = [*(spec.get("mounts") or ()), mount]
    process = spec["process"]
    process["env"] = [*(process.get("env") or ()), f"NOTIFY_SOCKET={_INSIDE}/notify.sock"]
    return outside


class Readiness:
    """A container's notify socket while `start` waits; a context. Without a service manager it does nothing."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._socket: socket.socket | None = None

    def __enter__(self) -> Readiness:
        if self._container.notify_socket:
            import socket  # loaded only where it is used: few containers need it

            folder = os.open(self._container.notify_folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                self._socket.bind(
                    f"/proc/self/fd/{folder}/notify.sock"
                )  # sun_path has 107 bytes, the path may be longer
                os.chmod("notify.sock", 0o777, dir_fd=folder)  # the container may run as any user
            except OSError as e:
                raise failed("error making the socket of NOTIFY_SOCKET", e) from e
            finally:
                os.close(folder)
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()

    def pass_on(self, pidfd: int) -> None:
        """Wait for READY=1 or the container's end; pass READY=1 on to the service manager, with the host's pid."""
        if self._socket is None:
            return
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(pidfd, select.POLLIN)
        while True:
            if self._socket.fileno() not in dict(poll.poll()):
                return
            lines = self._socket.recv(_MAX_DATAGRAM).split(b"\n")
            if b"READY=1" in lines:
                break
        address = self._container.notify_socket
        if address.startswith("@"):
            address = "\0" + address[1:]
        import socket

        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            try:
                manager.sendto(f"MAINPID={self._container.pid}\nREADY=1\n".encode(), address)
            except OSError as e:
                raise failed(f"error telling {self._container.notify_socket}", e) from e


def give_listener(seccomp: dict[str, Any], pid: int, pidfd: int, listener_fd: int, state: dict[str, Any]) -> None:
    """Send the listener that the process `pid` has as `listener_fd` to the agent at `listenerPath`.

    Raises LaunchError.
    """
    import socket

    message: dict[str, Any] = {"ociVersion": SPEC_VERSION, "fds": ["seccompFd"], "pid": pid, "state": state}
    if seccomp.get("listenerMetadata"):
        message["metadata"] = seccomp["listenerMetadata"]
    path = seccomp["listenerPath"]
    try:
        fd = pidfd_getfd(pidfd, listener_fd)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
                agent.connect(path)
                text = json.dumps(message).encode()
                sent = agent.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
                agent.sendall(text[sent:])
        finally:
            os.close(fd)
    except OSError as e:
        raise failed(f"error sending the seccomp listener to {path}", e) from e


def send_terminal(socket_path: str, master_fd: int) -> None:
    """Send a terminal to the process that listens at `socket_path` (--console-socket). Raises LaunchError."""
    import socket

    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as console:
            console.connect(socket_path)
            console.sendmsg([b"/dev/ptmx"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [master_fd]))])
    except OSError as e:
        raise failed(f"error sending the terminal to {socket_path}", e) from e


def check_console(options: Any, *, is_terminal: bool, in_front: bool) -> None:
    """Raises LaunchError where a terminal and --console-socket do not fit together."""
    if is_terminal and not in_front and not options.console_socket:
        raise LaunchError(SPEC, "cannot allocate tty if runc will detach without setting console socket")
    if options.console_socket and (in_front or not is_terminal):
        raise LaunchError(SPEC, "cannot use console socket if runc will not detach or allocate tty")


def write_pid(path: str, pid: int) -> None:
    """Whole or not at all: engines wait for the file to appear. Raises OSError."""
    temporary = Path(path).with_name(f".{Path(path).name}.tmp")
    temporary.write_text(str(pid), encoding="ascii")
    temporary.rename(path)


def read_json(path: Path) -> dict[str, Any]:
    """Raises LaunchError."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError as e:
        raise LaunchError(SPEC, f"JSON specification file {path} not found") from e
    except ValueError as e:
        raise LaunchError(SPEC, f"{path}: {e}") from e
    if not isinstance(value, dict):
        raise LaunchError(OTHER, f"{path} holds no JSON object")
    return value
