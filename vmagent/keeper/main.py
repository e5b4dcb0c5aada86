"""`cove-agent`: check the arguments; open locks, sockets and the interpreter; become the keeper.

All errors of a start are detected here and printed in one line. Then this process executes the interpreter again with
`vmagent.keeper.keeper` alone, so that argument parsing and its imports leave no memory behind. The pid stays.
"""

from __future__ import annotations

import argparse
import fcntl
import ipaddress
import json
import os
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import vmagent
from vmagent.durable import publish, sweep
from vmagent.keeper.keeper import descriptors
from vmagent.linux.interpreter import open_protected
from vmagent.linux.mounts import (
    MNT_DETACH,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOSUID,
    TMPFS_MAGIC,
    filesystem_type,
    move_mount,
    new_mount,
    umount,
)
from vmagent.linux.openfiles import raise_limit
from vmagent.linux.process import PR_SET_CHILD_SUBREAPER, prctl
from vmagent.paths import DEFAULT_DATA_ROOT, DEFAULT_EXEC_ROOT, DEFAULT_SOCKET, DataRoot, ExecRoot

_KEEPER_CODE = (
    "import sys; sys.path.append(sys.argv[1]); from vmagent.keeper.keeper import run; sys.exit(run(sys.argv[2]))"
)
# Like `python -m vmagent.main`, but the process title is set before the long imports, and `rich` is hidden: structlog
# would import it, where it is installed, only for colours. That takes 0.14 s of a start's 0.35 s of CPU time.
_ENGINE_CODE = (
    "import sys; from vmagent.linux.title import set_title; set_title('cove-engine'); sys.modules['rich'] = None; "
    "from vmagent.main import main; sys.exit(main())"
)
_BACKLOG = 512
_EXEC_ROOT_SOURCE = "cove-exec-root"  # as /proc/mounts shows it
_SOCKET_PATH_BYTES = 107  # struct sockaddr_un
_OLD_ENGINE_LIMIT_S = 10.0  # how long an engine whose keeper was killed may take to end
_PAUSE_S = 0.02


class CannotStart(Exception):
    """The engine cannot start; `str(self)` is the line that the user reads."""


def entry() -> int:
    """The console script. Returns only if the engine cannot start: exit status 1."""
    try:
        execute(open_all(parse(sys.argv[1:])))
    except (CannotStart, OSError) as e:
        sys.stderr.write(f"cove-agent: {e}\n")
        return 1


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="cove-agent", description="Cove's container engine.", epilog="Exit status: 0 stopped, 1 could not start."
    )
    parser.add_argument(
        "-H",
        "--host",
        action="append",
        metavar="URL",
        help=f"unix:///PATH or tcp://ADDRESS:PORT to listen on; may repeat (unix://{DEFAULT_SOCKET})",
    )
    parser.add_argument("--tls", action="store_true", help="implied by --tlsverify, and refused without it")
    parser.add_argument("--tlsverify", action="store_true", help="serve TCP to clients with a certificate, by TLS")
    for name, what in (("tlscacert", "ca"), ("tlscert", "cert"), ("tlskey", "key")):
        file = Path.home() / ".docker" / f"{what}.pem"
        parser.add_argument(f"--{name}", type=Path, default=file, metavar="FILE", help="%(default)s")
    parser.add_argument("--data-root", type=Path, default=DEFAULT_DATA_ROOT, metavar="DIR", help="%(default)s")
    parser.add_argument("--exec-root", type=Path, default=DEFAULT_EXEC_ROOT, metavar="DIR", help="%(default)s")
    parser.add_argument("-p", "--pidfile", type=Path, metavar="FILE", help="write the keeper's pid there")
    parser.add_argument("--bip", metavar="CIDR", help="address and subnet of the default bridge")
    parser.add_argument("--host-folders", metavar="MOUNT", help="in a VM: where the host's folders are")
    parser.add_argument("--host-ports", metavar="SOCKET", help="in a VM: the socket that publishes ports on the host")
    parser.add_argument(
        "--host-gateway-ip", metavar="ADDRESS", help="what host-gateway and host.docker.internal mean (the bridge's)"
    )
    parser.add_argument(
        "--insecure-registry",
        action="append",
        default=[],
        metavar="HOST",
        help="HOST, HOST:PORT or CIDR of registries that may be asked over HTTP; may repeat",
    )
    parser.add_argument(
        "--registry-mirror",
        action="append",
        default=[],
        metavar="URL",
        help="a mirror of Docker Hub that is asked before it, without credentials; may repeat",
    )
    parser.add_argument(
        "--log-driver", metavar="NAME", help="json-file, local or none, where a container asks for none"
    )
    parser.add_argument(
        "--log-opt",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of containers with that log driver, such as max-size=10m or max-file=3; may repeat",
    )
    parser.add_argument(
        "--userns-remap",
        metavar="USER",
        help="default, USER[:GROUP] or UID[:GID]: containers' users are those of its ranges in /etc/subuid and subgid",
    )
    parser.add_argument(
        "--defer-open", action="store_true", help="leave the data root alone until POST /cove/v1/open (the VM's start)"
    )
    return parser.parse_args(argv)


def open_all(options: argparse.Namespace) -> dict[str, Any]:
    """Check the options, open all that the keeper needs; returns its configuration. Raises CannotStart, OSError."""
    if os.geteuid() != 0:
        raise CannotStart("the engine needs root (namespaces, cgroups, mounts): start it with sudo")
    if options.bip is not None:
        check_bip(options.bip)
    if options.host_gateway_ip is not None:
        check_host_gateway(options.host_gateway_ip)
    for registry in options.insecure_registry:
        check_registry(registry)
    for mirror in options.registry_mirror:
        check_mirror(mirror)
    if options.userns_remap is not None:
        check_remap(options.userns_remap)
    if options.tls and not options.tlsverify:
        raise CannotStart("--tls: whoever reaches the API is root here, so clients need certificates: use --tlsverify")
    urls = [check_url(url, is_verified=options.tlsverify) for url in options.host or [f"unix://{DEFAULT_SOCKET}"]]
    data_root = DataRoot(options.data_root.absolute())
    exec_root = ExecRoot(options.exec_root.absolute())
    pidfile = options.pidfile.absolute() if options.pidfile is not None else None
    check_socket_path(exec_root.supervisor_socket)
    exec_root.path.mkdir(mode=0o711, parents=True, exist_ok=True)
    if options.defer_open:
        lock_fd = -1  # the data disk is mounted over the data root later; in the VM there is only one engine
    else:
        data_root.path.mkdir(mode=0o710, parents=True, exist_ok=True)
        lock_fd = take_lock(data_root.lock, f"the data root {data_root.path}")
    with ExitStack() as undo:  # a start that fails leaves no mount, no socket and no pid file
        has_own_mount = mount_exec_root(exec_root, data_root, undo)
        # Lock the exec root itself too: an engine with another data root may use it by mistake.
        exec_lock_fd = lock(os.open(exec_root.path, os.O_RDONLY | os.O_CLOEXEC))
        if exec_lock_fd is None:
            raise CannotStart(f"another engine runs on the exec root {exec_root.path}")
        exec_root.containers.mkdir(
            mode=0o700, exist_ok=True
        )  # other users cannot enter: the world-writable /dev/shm of some containers lies below
        listeners = []
        for url in urls:
            listeners.append((listen(url), url))
            if url.startswith("unix://"):
                undo.callback(os.unlink, url.removeprefix("unix://"))
        adopt_fd, supervisor_listener_fd = open_supervisor_socket(exec_root.supervisor_socket)
        if supervisor_listener_fd >= 0:
            undo.callback(os.unlink, exec_root.supervisor_socket)
        raise_limit()
        if pidfile is not None:
            sweep(pidfile.parent, pidfile.name)
            publish(pidfile, f"{os.getpid()}\n".encode(), durable=False, mode=0o644)
            undo.callback(os.unlink, pidfile)
        interpreter_fd = open_protected()
        prctl(PR_SET_CHILD_SUBREAPER, 1)  # kept across execve
        undo.pop_all()
    return {
        "engine_argv": [sys.executable, "-P", "-c", _ENGINE_CODE, *engine_args(options, data_root, exec_root)],
        "base_python": os.path.realpath(sys.executable),  # argv[0]: from it the protected copy finds its library
        "code_root": str(Path(vmagent.__path__[0]).parent),
        "containers": str(exec_root.containers),
        "listeners": listeners,
        "unlink": [
            *(url.removeprefix("unix://") for url in urls if url.startswith("unix://")),
            str(exec_root.supervisor_socket),
            *([str(pidfile)] if pidfile is not None else []),
        ],
        "unmount": str(exec_root.path) if has_own_mount else "",
        # Descriptors, -1 where there is none. The keeper does nothing with the locks but hold them.
        "interpreter_fd": interpreter_fd,
        "lock_fd": lock_fd,
        "exec_lock_fd": exec_lock_fd,
        "adopt_fd": adopt_fd,
        "supervisor_listener_fd": supervisor_listener_fd,
    }


def mount_exec_root(exec_root: ExecRoot, data_root: DataRoot, undo: ExitStack) -> bool:
    """Mount a tmpfs at the exec root if that is on a disk: its files change at each start and must not outlive a boot.

    It is not mounted if it would hide a data root below it, or the socket of a supervisor that is still there. `undo`
    gets the unmount. Returns whether Cove's tmpfs is mounted now, by this call or by an earlier keeper. Raises OSError.
    """
    path = exec_root.path
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if filesystem_type(fd) == TMPFS_MAGIC:
            return os.path.ismount(path.resolve()) and _source_of(os.fstat(fd).st_dev) == _EXEC_ROOT_SOURCE
        if data_root.path.resolve().is_relative_to(path.resolve()) or exec_root.supervisor_socket.exists():
            return False
        mount_fd = new_mount("tmpfs", _EXEC_ROOT_SOURCE, [("mode", "711")], MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
        move_mount(mount_fd, fd)
        os.close(mount_fd)
        undo.callback(umount, str(path), MNT_DETACH)
    finally:
        os.close(fd)
    return True


def _source_of(device: int) -> str:
    """The source of the mount whose files have this st_dev, "" if there is none. proc(5), mountinfo.

    Looked up by device number, because a path may contain links or spaces.
    """
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if line.split()[2] == number:
            return line.partition(" - ")[2].split()[1]
    return ""


def execute(config: dict[str, Any]) -> NoReturn:
    """Become the keeper by execve. Raises OSError."""
    for fd in descriptors(config):
        os.set_inheritable(fd, True)
    os.chdir("/")
    path = f"/proc/self/fd/{config['interpreter_fd']}"
    argv = [config["base_python"], "-I", "-S", "-c", _KEEPER_CODE, config["code_root"], json.dumps(config)]
    os.execv(path, argv)


def engine_args(options: argparse.Namespace, data_root: DataRoot, exec_root: ExecRoot) -> list[str]:
    args = ["--data-root", str(data_root.path), "--exec-root", str(exec_root.path)]
    if options.bip is not None:
        args += ["--bip", options.bip]
    if options.host_ports is not None:
        args += ["--host-ports", options.host_ports]
    if options.host_folders is not None:
        args += ["--host-folders", options.host_folders]
    if options.host_gateway_ip is not None:
        args += ["--host-gateway-ip", options.host_gateway_ip]
    for registry in options.insecure_registry:
        args += ["--insecure-registry", registry]
    for mirror in options.registry_mirror:
        args += ["--registry-mirror", mirror]
    if options.tlsverify:
        args += ["--tls", *(str(file.absolute()) for file in (options.tlscacert, options.tlscert, options.tlskey))]
    if options.log_driver is not None:
        args.append(f"--log-driver={options.log_driver}")
    args += [f"--log-opt={option}" for option in options.log_opt]
    if options.userns_remap is not None:
        args += ["--userns-remap", options.userns_remap]
    if options.defer_open:
        args.append("--defer-open")
    return args


# Checks


def check_bip(text: str) -> None:
    """The bridge's own address and the subnet, as 172.30.0.1/16. Raises CannotStart."""
    try:
        interface = ipaddress.IPv4Interface(text)
    except ValueError as e:
        raise CannotStart(f"--bip {text}: {e}") from e
    network = interface.network
    if "/" not in text or network.prefixlen > 30:
        raise CannotStart(f"--bip {text}: an address with a subnet of at least four is needed, such as 172.30.0.1/16")
    if interface.ip in (network.network_address, network.broadcast_address):
        raise CannotStart(f"--bip {text}: {interface.ip} is no host's address in {network}")


def check_host_gateway(text: str) -> None:
    """Raises CannotStart."""
    try:
        ipaddress.IPv4Address(text)
    except ValueError as e:
        raise CannotStart(f"--host-gateway-ip {text}: {e}") from e


def check_registry(text: str) -> None:
    """HOST, HOST:PORT or CIDR. Raises CannotStart."""
    if "://" in text or (not text) or " " in text:
        raise CannotStart(f"--insecure-registry {text!r}: HOST, HOST:PORT or CIDR is meant, without a scheme")
    if "/" in text:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError as e:
            raise CannotStart(f"--insecure-registry {text}: {e}") from e


def check_mirror(text: str) -> None:
    """http://HOST[:PORT] or https://HOST[:PORT]. Raises CannotStart in docker's words."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CannotStart(f"--registry-mirror: invalid mirror: unsupported scheme {parts.scheme!r} in {text!r}")
    if parts.username is not None:
        raise CannotStart("--registry-mirror: invalid mirror: username/password not allowed in URI")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise CannotStart(f"--registry-mirror: invalid mirror: path, query, or fragment at end of the URI {text!r}")


def check_remap(text: str) -> None:
    """Check the value of --userns-remap and its ranges. Raises CannotStart."""
    from vmagent.linux.subids import look_up  # only imported where it is needed

    try:
        look_up(text)
    except ValueError as e:
        raise CannotStart(str(e)) from e


def check_url(text: str, *, is_verified: bool) -> str:
    """Check a URL of --host; returns its canonical form. `is_verified`: clients by TCP show a certificate.

    Raises CannotStart.
    """
    if text.startswith("unix://"):
        path = Path(text.removeprefix("unix://"))
        if not path.is_absolute():
            raise CannotStart(f"-H {text}: an absolute path is needed, as unix:///run/cove/cove.sock")
        check_socket_path(path)
        return f"unix://{path}"
    if text.startswith("tcp://"):
        parts = urlsplit(text)
        try:
            port = parts.port
        except ValueError as e:
            raise CannotStart(f"-H {text}: {e}") from e
        if port is None or not parts.hostname or parts.path not in ("", "/"):
            raise CannotStart(f"-H {text}: tcp://127.0.0.1:PORT is meant")
        host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
        try:
            is_loopback = ipaddress.ip_address(host).is_loopback
        except ValueError as e:
            raise CannotStart(f"-H {text}: {e}") from e
        if not is_loopback and not is_verified:
            raise CannotStart(
                f"-H {text}: only loopback is served without --tlsverify, whoever reaches the API is root here"
            )
        return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
    raise CannotStart(f"-H {text}: unix:///PATH or tcp://127.0.0.1:PORT is meant")


def check_socket_path(path: Path) -> None:
    if len(os.fsencode(path)) > _SOCKET_PATH_BYTES:
        raise CannotStart(f"{path}: longer than the {_SOCKET_PATH_BYTES} bytes that a socket's path may have")


# Opening


def lock(fd: int) -> int | None:
    """Lock `fd` by flock(2) and return it. If another process has the lock, close `fd` and return None."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def take_lock(path: Path, what: str) -> int:
    """Open and lock the lock file, and write our pid and start time into it; returns the descriptor.

    The lock is free when keeper and engine have both ended. If only the keeper was killed, its engine notices and ends
    soon: wait for that. Raises CannotStart if another keeper lives.
    """
    deadline = time.monotonic() + _OLD_ENGINE_LIMIT_S
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        owner, _, start = os.pread(fd, 64, 0).decode(errors="replace").strip().partition(" ")
        if lock(fd) is not None:
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()} {start_of(os.getpid())}\n".encode(), 0)
            return fd
        if owner.isdigit() and start and start_of(int(owner)) == start:
            raise CannotStart(f"another engine (pid {owner}) runs on {what}")
        if time.monotonic() > deadline:
            raise CannotStart(f"another engine runs on {what}")
        time.sleep(_PAUSE_S)


def start_of(pid: int) -> str:
    """When `pid` was started, in clock ticks after boot; "" if it has ended. proc(5), stat: fields 3 and 22.

    Pid and start time together identify a process uniquely; execve changes neither.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def listen(url: str) -> int:
    """A listening socket for `url`. Raises CannotStart if another process listens there."""
    if url.startswith("tcp://"):
        parts = urlsplit(url)
        assert parts.hostname is not None
        family = socket.AF_INET6 if ":" in parts.hostname else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((parts.hostname, parts.port))
            sock.listen(_BACKLOG)
        except OSError as e:
            sock.close()
            raise CannotStart(f"-H {url}: {e.strerror}") from e
        sock.setblocking(False)
        return sock.detach()
    path = Path(url.removeprefix("unix://"))
    if probe(path, socket.SOCK_STREAM) is not None:
        raise CannotStart(f"-H {url}: the socket is in use by another process")
    return bind_unix(path, socket.SOCK_STREAM, mode=0o660)


def probe(path: Path, kind: socket.SocketKind) -> socket.socket | None:
    """A connection to the process that listens at `path`. If none listens, remove a socket file and return None.

    Raises CannotStart if `path` is something else.
    """
    sock = socket.socket(socket.AF_UNIX, kind)
    try:
        sock.connect(str(path))
    except (ConnectionRefusedError, FileNotFoundError):
        sock.close()
        with suppress(FileNotFoundError):
            if not path.is_socket():
                if path.exists():
                    raise CannotStart(f"{path} is there and is no socket") from None
            else:
                path.unlink()
        return None
    except OSError as e:
        sock.close()
        raise CannotStart(f"{path}: {e.strerror}") from e
    return sock


def bind_unix(path: Path, kind: socket.SocketKind, *, mode: int) -> int:
    """Listen at `path`, whose folder is made if needed; returns the descriptor. Raises OSError, CannotStart."""
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    sock = socket.socket(socket.AF_UNIX, kind)
    before = os.umask(0o777 & ~mode)
    try:
        sock.bind(str(path))
    except OSError as e:
        sock.close()
        raise CannotStart(f"{path}: {e.strerror}") from e
    finally:
        os.umask(before)
    try:
        sock.listen(_BACKLOG)
    except OSError as e:
        sock.close()
        path.unlink()
        raise CannotStart(f"{path}: {e.strerror}") from e
    sock.setblocking(False)
    return sock.detach()


def open_supervisor_socket(path: Path) -> tuple[int, int]:
    """(a connection to a supervisor that outlived its keeper, -1) or (-1, a new listening socket)."""
    living = probe(path, socket.SOCK_SEQPACKET)
    if living is not None:
        return living.detach(), -1
    return -1, bind_unix(path, socket.SOCK_SEQPACKET, mode=0o600)
