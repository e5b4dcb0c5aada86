"""`--userns-remap`: which containers get a user namespace, and with which id maps.

The user namespace is made before the start and passed to the runtime, whose child joins it. The network namespace has
to be made inside it: else the container's root would have no capabilities over its own network (user_namespaces(7)). A
container that shares namespaces with another container shares its user namespace too, as under dockerd, because that
user namespace owns the shared ones.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmagent.containers.model import Container
from vmagent.containers.process import open_process
from vmagent.containers.userns import UserNamespace
from vmagent.engine.background import Background
from vmagent.engine.registry import Registry
from vmagent.errors import BadRequest, Conflict, EngineError
from vmagent.linux import packets
from vmagent.linux.packets import PeerLost
from vmagent.linux.subids import IdMaps
from vmagent.paths import DataRoot, ExecRoot
from vmagent.runtime.usernamespace import open_idmapped

ANSWER_LIMIT_S = 10.0


@dataclass(slots=True, eq=False)
class Prepared:
    """The namespaces of a container that is about to start; `close` it after the start.

    `network_fd`: None if the container joins another container's network.
    """

    user: UserNamespace
    user_fd: int
    network_fd: int | None

    def close(self) -> None:
        os.close(self.user_fd)
        if self.network_fd is not None:
            os.close(self.network_fd)


class UserNamespaces:
    """Makes and finds user namespaces. Used on the loop only.

    `maps`: the id maps of containers; None: they are in the host's user namespace.
    """

    def __init__(
        self,
        registry: Registry,
        background: Background,
        data_root: DataRoot,
        exec_root: ExecRoot,
        maps: IdMaps | None,
    ) -> None:
        self._registry, self._background, self.maps = registry, background, maps
        self._roots = (data_root.path, exec_root.path)
        self._maker = _Maker()

    async def open(self) -> None:
        """Check that the roots' file systems support id-mapped mounts, without which no container starts.

        Raises EngineError.
        """
        if self.maps is None:
            return
        for path in self._roots:
            await self._background.on_disk(self._try_idmapping, path)

    def _try_idmapping(self, path: Path) -> None:
        assert self.maps is not None
        user_fd, _ = self._maker.make(self.maps, None, with_network=False)
        try:
            os.close(open_idmapped(str(path), user_fd))
        except OSError as e:
            raise EngineError(f"--userns-remap: the file system of {e}") from e
        finally:
            os.close(user_fd)

    def close(self) -> None:
        self._maker.close()

    # --- create and start

    def is_private(self, host: Mapping[str, Any]) -> bool:
        """Whether a container of this HostConfig gets a user namespace."""
        return self.maps is not None and host["UsernsMode"] != "host"

    def check(self, host: Mapping[str, Any]) -> None:
        """Raise BadRequest for settings that exclude a user namespace, with docker's messages, in docker's order."""
        if not self.is_private(host):
            return
        if host["Privileged"]:
            raise BadRequest(
                "privileged mode is incompatible with user namespaces.  You must run the container in the host "
                "namespace when running privileged mode"
            )
        if host["NetworkMode"] == "host":
            raise BadRequest("cannot share the host's network namespace when user namespaces are enabled")
        if host["PidMode"] == "host":
            raise BadRequest("cannot share the host PID namespace when user namespaces are enabled")

    async def prepare(self, record: Container) -> Prepared | None:
        """The namespaces for a start of `record`; None if it is in the host's user namespace.

        Raises BadRequest (see `check`), Conflict if it can't share another container's namespaces, EngineError.
        """
        if not self.is_private(record.host_config):
            return None
        self.check(record.host_config)
        shared_fd, maps = self._shared(record)
        assert maps is not None
        with_network = not record.network_mode.startswith("container:")
        try:
            user_fd, network_fd = await self._background.on_disk(
                self._maker.make, maps, shared_fd, with_network=with_network
            )
        finally:
            if shared_fd is not None:
                os.close(shared_fd)
        # The runtime finds the namespace by this path, through a descriptor that stays open until the container runs.
        return Prepared(UserNamespace(f"/proc/{os.getpid()}/fd/{user_fd}", maps), user_fd, network_fd)

    def _shared(self, record: Container) -> tuple[int | None, IdMaps | None]:
        """(user namespace, its maps) of the containers that `record` joins; (None, own maps) if it joins none.

        Raises Conflict. The caller closes the descriptor.
        """
        host = record.host_config
        found: dict[int, tuple[int, IdMaps]] = {}  # by inode
        try:
            for name, mode in (("network", host["NetworkMode"]), ("IPC", host["IpcMode"]), ("PID", host["PidMode"])):
                kind, _, ref = mode.partition(":")
                if kind != "container":
                    continue
                other = self._registry.find(ref).record
                if not other.state.running:
                    raise Conflict(
                        f"cannot join {name} namespace of a non running container: container {other.name} is "
                        f"{other.state.status}"
                    )
                maps = self.of_running(other)
                if maps is None:
                    raise Conflict(
                        f"cannot join {name} namespace of container {other.name}: it is in the host's user namespace; "
                        "use --userns=host to share it"
                    )
                fd = _open_user_namespace(other)
                inode = os.fstat(fd).st_ino
                if inode in found:
                    os.close(fd)
                found.setdefault(inode, (fd, maps))
            if len(found) > 1:
                raise Conflict("cannot join namespaces of containers that are in different user namespaces")
        except BaseException:
            for fd, _ in found.values():
                os.close(fd)
            raise
        return next(iter(found.values()), (None, self.maps))

    # --- while it runs

    @staticmethod
    def of_running(record: Container) -> IdMaps | None:
        """The maps of a running container's user namespace; None: it is in the host's.

        Read from the kernel, because the engine may have been restarted with other settings. Raises Conflict if the
        container has ended, and OSError for every other failure, which must not look like "the host's".
        """
        try:
            process_fd = open_process(record.state.pid, record.id)
            try:
                if os.stat("ns/user", dir_fd=process_fd).st_ino == os.stat("/proc/self/ns/user").st_ino:
                    return None
                return IdMaps.of_process(process_fd)
            finally:
                os.close(process_fd)
        except (ProcessLookupError, FileNotFoundError) as e:
            raise Conflict(f"container {record.id} is not running") from e

    def of(self, record: Container) -> IdMaps | None:
        """The maps for the files of a container, running or not; None: the host's ids. Raises as `of_running`."""
        if record.state.running:
            return self.of_running(record)
        return self.maps if self.is_private(record.host_config) else None


def _open_user_namespace(record: Container) -> int:
    """A descriptor of the container's user namespace. Raises Conflict if the container has ended."""
    try:
        process_fd = open_process(record.state.pid, record.id)
        try:
            return os.open("ns/user", os.O_RDONLY | os.O_CLOEXEC, dir_fd=process_fd)
        finally:
            os.close(process_fd)
    except (ProcessLookupError, FileNotFoundError) as e:
        raise Conflict(f"container {record.id} is not running") from e


class _Maker:
    """Client of the process that makes the namespaces (`vmagent.runtime.nsmaker`).

    The process is started at the first request, and again if it was killed. Any thread may use this object; requests
    are carried out one at a time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None

    def make(self, maps: IdMaps, user_fd: int | None, *, with_network: bool) -> tuple[int, int | None]:
        """Descriptors of (user namespace, network namespace), which the caller closes.

        The user namespace is a new one with `maps`, or that of `user_fd`. Raises EngineError.
        """
        request = {"uid_map": maps.uids, "gid_map": maps.gids, "network": with_network}
        with self._lock:
            try:
                answer, fds = self._ask(request, user_fd)
            except (PeerLost, OSError):  # the process was killed after the last request
                self._end()
                try:
                    answer, fds = self._ask(request, user_fd)
                except (PeerLost, OSError) as e:
                    self._end()
                    raise EngineError(f"error making a user namespace: {e}") from e
        if answer["errno"]:
            raise EngineError(f"{answer['doing']}: {os.strerror(answer['errno']).lower()}")
        return fds[0], fds[1] if with_network else None

    def _ask(self, request: dict[str, Any], user_fd: int | None) -> tuple[dict[str, Any], list[int]]:
        if self._sock is None:
            self._start()
        assert self._sock is not None
        packets.send(self._sock, request, [] if user_fd is None else [user_fd])
        return packets.receive(self._sock)

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "vmagent.runtime.nsmaker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        ours.settimeout(ANSWER_LIMIT_S)
        self._sock = ours

    def _end(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        if self._process is not None:
            self._process.kill()  # its children end when their pipes are closed
            self._process.wait()
            self._process = None

    def close(self) -> None:
        with self._lock:
            self._end()
