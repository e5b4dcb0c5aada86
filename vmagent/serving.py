"""The engine's process: arguments, listeners, the engine and its API put together.

    python -m vmagent.main --data-root D --exec-root E [--bip CIDR] --listen-fd N=unix:///path … --keeper-fd N

SIGTERM ends it in order, containers included. EOF on the keeper's descriptor ends it at once and leaves containers
alone.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import structlog

from vmagent.api.server import TcpClients, serve
from vmagent.blocking import watch_if_asked
from vmagent.containers import logconfig
from vmagent.engine import hostcertificates
from vmagent.engine.engine import Engine
from vmagent.errors import EngineError
from vmagent.images.hosts import CERTIFICATES, RegistryHosts
from vmagent.linux.subids import look_up
from vmagent.linux.syscall import libc
from vmagent.linux.title import set_title
from vmagent.paths import DEFAULT_DATA_ROOT, DEFAULT_EXEC_ROOT, DataRoot, ExecRoot

REQUEST_GRACE_S = 5.0  # what running requests have to end in
# How long a thread that has come back from the kernel may wait for the interpreter's lock. Python's own 5 ms add up
# over the calls that one start makes in the network thread while the loop is busy with other clients.
SWITCH_INTERVAL_S = 0.0005
GC_THRESHOLDS = (2_000, 20, 20)  # some hundred requests between collections of the young, which take 0.1 ms
_M_ARENA_MAX = -8  # malloc.h

log = structlog.get_logger(__name__)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Exits with 2 and a message on bad arguments."""
    parser = argparse.ArgumentParser(prog="cove-engine", description="Cove's engine; started by cove-agent")
    parser.add_argument("--data-root", type=Path, default=DEFAULT_DATA_ROOT)
    parser.add_argument("--exec-root", type=Path, default=DEFAULT_EXEC_ROOT)
    parser.add_argument("--bip", type=IPv4Interface, help="address and prefix of the default bridge")
    parser.add_argument("--host-ports", type=Path, metavar="SOCKET", help="in a VM: who publishes ports on the host")
    parser.add_argument("--host-folders", type=Path, metavar="MOUNT", help="in a VM: where the host's folders are")
    parser.add_argument("--host-gateway-ip", type=IPv4Address, help="in a VM: by which containers reach the host")
    parser.add_argument("--insecure-registry", action="append", default=[], metavar="HOST")
    parser.add_argument("--registry-mirror", action="append", default=[], metavar="URL")
    parser.add_argument("--log-driver", default=logconfig.DEFAULT["Type"], metavar="NAME")
    parser.add_argument("--log-opt", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--userns-remap", metavar="USER", help="whose subordinate ids containers have")
    parser.add_argument("--tls", type=Path, nargs=3, metavar=("CA", "CERT", "KEY"), help="of clients by TCP")
    parser.add_argument("--listen-fd", action="append", default=[], metavar="N=ADDRESS")
    parser.add_argument("--keeper-fd", type=int, default=-1)
    parser.add_argument("--defer-open", action="store_true", help="open the data root at POST /cove/v1/open")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    return parser.parse_args(argv)


def set_up_logging(level: str) -> None:
    """Events as lines on stderr; the keeper's stderr is the agent's log."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


async def run(options: argparse.Namespace) -> int:
    """Serve until told to end; the process's exit status."""
    try:
        remap = None if options.userns_remap is None else look_up(options.userns_remap)
    except ValueError as e:  # it was right when the keeper started
        sys.stderr.write(f"cove-engine: {e}\n")
        return 1
    listeners = [socket.socket(fileno=int(text.partition("=")[0])) for text in options.listen_fd]
    keeper = socket.socket(fileno=options.keeper_fd) if options.keeper_fd >= 0 else None
    try:
        log_default = logconfig.engine_default(options.log_driver, options.log_opt)
        tcp = _tls_clients(options.tls) if options.tls else None
    except (EngineError, ValueError) as e:
        sys.stderr.write(f"cove-engine: {e}\n")  # the one line that the keeper shows
        return 1
    exec_root = ExecRoot(options.exec_root.resolve())
    engine = Engine(
        DataRoot(options.data_root.resolve()),
        exec_root,
        bip=options.bip,
        host_ports=options.host_ports,
        host_gateway=options.host_gateway_ip,
        host_folders=options.host_folders,
        registry_hosts=RegistryHosts(
            tuple(options.insecure_registry),
            tuple(options.registry_mirror),
            (*CERTIFICATES, hostcertificates.folder_in(exec_root.surroundings)),
        ),
        remap=remap,
        log_default=log_default,
    )
    watch_if_asked()
    ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    watch_ends(ended, keeper)
    # An engine that is started again must not wait for a host that has long said its word: an earlier one had opened
    # (it makes that folder then, and the exec root is empty after a boot).
    if not options.defer_open or (options.exec_root / "init-layer").is_dir():
        try:
            await engine.open()
        except (EngineError, OSError, ValueError) as e:
            sys.stderr.write(f"cove-engine: {e}\n")  # the one line that the keeper shows
            return 1
    else:
        await engine.prepare()
    server = await serve(engine, listeners, tcp=tcp)
    if keeper is not None:
        with suppress(OSError):  # gone already: noticed below
            keeper.send(b"ready")
    log.info("engine.ready", pid=os.getpid())
    gc.collect()
    gc.freeze()  # modules and records that are here now stay: no later collection walks them
    in_order = await ended
    log.info("engine.ending", in_order=in_order)
    if not in_order:
        await engine.close(stop_containers=False)
        return 0
    # Listeners close first, so that nothing new begins; streams of containers end with their containers.
    closing = asyncio.create_task(engine.close(stop_containers=True), name="close the engine")
    await server.stop(grace_s=REQUEST_GRACE_S)
    await closing
    return 0


def _tls_clients(files: Sequence[Path]) -> TcpClients:
    """Raises ValueError: a file can't be used."""
    from vmagent.api.tls import TlsClient, TlsFiles  # 4 MB, which other engines do not need

    return partial(TlsClient, TlsFiles(*files).context())


def watch_ends(ended: asyncio.Future[bool], keeper: socket.socket | None) -> None:
    """Resolve `ended` by SIGTERM or SIGINT (True: in order) or when the keeper is gone (False)."""
    loop = asyncio.get_running_loop()

    def end(in_order: bool) -> None:
        if not ended.done():
            ended.set_result(in_order)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, True)
    if keeper is None:
        return
    keeper.setblocking(False)
    fd = keeper.fileno()

    def on_readable() -> None:
        try:
            data = keeper.recv(64)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            loop.remove_reader(fd)
            end(False)

    loop.add_reader(fd, on_readable)


def main(argv: Sequence[str]) -> int:
    """Exit status: 0 after an end in order, 1 where the engine can't start, 2 for bad arguments."""
    set_title("cove-engine")
    options = parse(argv)
    set_up_logging(options.log_level)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(*GC_THRESHOLDS)
    libc.mallopt(_M_ARENA_MAX, 1)  # threads that take turns (the interpreter's lock) need no memory of their own each
    return asyncio.run(run(options))
