"""The checks of `cove diagnose`. Each looks at one thing, changes nothing, starts nothing, and takes a few seconds.

A check is a function that yields findings. What it raises becomes a finding as well: one broken thing hides no other.
"""

from __future__ import annotations

import os
import platform as machine_info
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from desktop.client import starting
from desktop.client.engine import ApiError, ConnectionFailed, EngineClient, ProtocolError
from desktop.client.host import HostClient
from desktop.client.http import Endpoint, NoReply
from desktop.diagnose.report import Finding, bad, note, ok
from desktop.paths import HostPaths
from desktop.platform.base import Platform
from desktop.vm.accelerator import recall
from desktop.vm.disk import check_disk
from desktop.vm.errors import VmError
from desktop.vm.image import host_architecture, image_folder, load_image
from desktop.vm.qemu import find_qemu, machine_version
from desktop.vm.settings import load_settings

REPLY_LIMIT_S = 5.0
NAME_LIMIT_S = 5.0
CLOCK_LIMIT_S = 1.0
SMALL_SPACE = 5 << 30
PROBED_NAME = "registry-1.docker.io"
REFUSALS = (ConnectionFailed, ApiError, ProtocolError, OSError)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at: an installation, and the engine of one context. `is_vm`: that engine is the VM's."""

    paths: HostPaths
    platform: Platform
    environ: Mapping[str, str]
    endpoint: Endpoint
    is_vm: bool
    version: str  # of this client


Check = Callable[[Subject], Iterator[Finding]]


def run_all(subject: Subject) -> list[Finding]:
    """The findings of all checks that fit the context, in order."""
    checks: tuple[Check, ...] = (versions, home, settings)
    if subject.is_vm:
        checks += (qemu, image, data_disk, agent)
    checks += (engine, names)
    findings: list[Finding] = []
    for check in checks:
        try:
            findings += check(subject)
        except Exception as e:  # noqa: BLE001  # a check that fails is a finding, and the others go on
            findings.append(bad(check.__name__, f"the check itself failed: {e!r}", "Report it, with a bundle"))
    return findings


def versions(subject: Subject) -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    system = f"{machine_info.system()} {machine_info.release()} {machine_info.machine()}"
    yield ok("versions", f"Cove {subject.version}, Python {python}, {system}")


def home(subject: Subject) -> Iterator[Finding]:
    """The home folder: its kind, owner, and the space on its disk."""
    folder = subject.paths.home
    if not folder.exists():
        yield note("home", f"{folder} does not exist yet: nothing was ever started")
        return
    if not folder.is_dir():
        yield bad("home", f"{folder} is no folder", "Move that file away, or set COVE_HOME to a folder")
        return
    owner = folder.stat().st_uid
    if hasattr(os, "getuid") and owner != os.getuid():
        yield bad(
            "home", f"{folder} belongs to user {owner}", f"sudo chown -R {os.getuid()} {folder}, or set COVE_HOME"
        )
    elif not os.access(folder, os.W_OK):
        yield bad("home", f"{folder} can't be written", f"chmod u+rwx {folder}")
    else:
        yield ok("home", str(folder))
    free = shutil.disk_usage(folder).free
    if free < SMALL_SPACE:
        yield bad("space", f"{free / 1e9:.1f} GB are free where {folder} lies", "Free some: cove system prune")
    else:
        yield ok("space", f"{free / 1e9:.0f} GB free")


def settings(subject: Subject) -> Iterator[Finding]:
    """config.json, and whether its VM fits this machine."""
    file = subject.paths.config_file
    total_mb, free_mb = subject.platform.memory_mb()
    try:
        chosen = load_settings(file, total_mb)
    except VmError as e:
        yield bad("settings", str(e), e.hint or f"Correct {file}")
        return
    if subject.is_vm and chosen.memory_mb > total_mb:
        yield bad(
            "settings", f"the VM has {chosen.memory_mb} MB, this machine {total_mb}", f"Lower vm.memory_mb in {file}"
        )
        return
    yield ok("settings", f"VM of {chosen.memory_mb} MB, {chosen.cpus} CPUs; {free_mb} of {total_mb} MB are free here")


def qemu(subject: Subject) -> Iterator[Finding]:
    """QEMU's programs and what accelerates it."""
    try:
        found = find_qemu(subject.platform, subject.environ, host_architecture())
        with tempfile.TemporaryDirectory() as folder:
            version = machine_version(found, Path(folder) / "version")
    except VmError as e:
        yield bad("QEMU", str(e), e.hint)
        return
    yield ok("QEMU", f"{version} ({found.system})")
    for name in subject.platform.accelerators:
        if obstacle := subject.platform.accelerator_obstacle(name):
            yield note("accelerator", f"{name}: {obstacle}", "Without it the VM is emulated, and slow")
    if chosen := recall(subject.paths.accelerator_file):
        yield ok("accelerator", f"{chosen.name} was chosen: {chosen.why}")


def image(subject: Subject) -> Iterator[Finding]:
    """The guest image: all of its files are read, and their digests compared."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = load_image(image_folder(subject.environ), Path(folder) / "verified")
        except VmError as e:
            yield bad("guest image", str(e), e.hint)
            return
    yield ok("guest image", f"whole: {found.folder}, Linux {found.kernel}")


def data_disk(subject: Subject) -> Iterator[Finding]:
    """The VM's disk."""
    try:
        found = find_qemu(subject.platform, subject.environ, host_architecture())
        yield ok("data disk", check_disk(found, subject.paths.data_disk, subject.paths.disk_mark))
    except VmError as e:
        yield bad("data disk", str(e), e.hint)


def agent(subject: Subject) -> Iterator[Finding]:
    """The host agent and what it says of the VM."""
    try:
        with HostClient(Endpoint.local(subject.paths.host_socket), timeout_s=REPLY_LIMIT_S) as client:
            state = client.json_object("GET", "/v1/state", query={"probe": 1})
    except NoReply:
        yield bad("agent", *starting.agent_silence(subject.paths))
        return
    except REFUSALS as e:
        if (pid := starting.left_qemu(subject.paths)) is not None:
            yield bad("agent", f"none runs, but its QEMU (process {pid}) does", "Take it over: cove vm start")
        else:
            yield note("agent", f"none runs ({e})", "It starts with the first command that needs the VM")
        return
    yield ok("agent", f"replies on {subject.paths.host_socket}")
    yield from _vm(state)


def _vm(state: Mapping[str, Any]) -> Iterator[Finding]:
    name, error = str(state.get("state")), state.get("error") or {}
    if state.get("silence"):
        yield bad("VM", f"{name}, but does not answer: {state['silence']}", "If it stays so: cove vm restart")
    elif error:
        yield bad("VM", f"{name}: {error.get('message')}", error.get("hint") or "See: cove vm logs")
    else:
        yield ok("VM", name)
    if name != "running":
        return
    if state.get("engine_calls"):
        yield ok("tunnel", "the engine reaches this machine")
    else:
        yield bad("tunnel", "the engine has no connection to this machine: ports can't be published", "cove vm restart")


def engine(subject: Subject) -> Iterator[Finding]:
    """The engine's socket, its reply, and its clock. A VM that is saved or stopped is left so."""
    path = Path(subject.endpoint.address)
    if subject.endpoint.scheme == "unix" and not path.exists():
        yield note("engine", f"nothing serves {path}", "It is started by the first command that needs it")
        return
    try:
        with EngineClient(subject.endpoint, timeout_s=REPLY_LIMIT_S) as client:
            client.ping()
            if subject.is_vm and not _is_running(subject):
                yield ok("engine", "the VM does not run, so it was not asked")
                return
            before = time.time()
            info, told = client.info(), client.version()
            after = time.time()
    except REFUSALS as e:
        yield bad("engine", f"{subject.endpoint}: {e}", _engine_remedy(subject))
        return
    yield ok("engine", f"{told.get('Version')} on Linux {told.get('KernelVersion')}, replies on {subject.endpoint}")
    theirs = _unix_time(str(info["SystemTime"]))
    off_s = max(before - theirs, theirs - after, 0.0)
    if off_s > CLOCK_LIMIT_S:
        remedy = "cove vm restart" if subject.is_vm else "Set the clock of that machine"
        yield bad("clock", f"the engine's clock is off by {off_s:.1f} s", remedy)
    else:
        yield ok("clock", "the engine's is right")


def _unix_time(text: str) -> float:
    """Of an RFC 3339 time in UTC; fractions beyond microseconds are dropped."""
    return datetime.fromisoformat(text.rstrip("Z")[:26]).replace(tzinfo=UTC).timestamp()


def _is_running(subject: Subject) -> bool:
    with HostClient(Endpoint.local(subject.paths.host_socket), timeout_s=REPLY_LIMIT_S) as client:
        return client.state().state == "running"


def _engine_remedy(subject: Subject) -> str:
    return "Start it: cove vm start" if subject.is_vm else "Start it, as root: cove-agent"


def names(subject: Subject) -> Iterator[Finding]:
    """Whether this machine resolves a registry's name. The call has no time limit of its own, so a thread makes it."""
    said: list[str] = []

    def resolve() -> None:
        try:
            socket.getaddrinfo(PROBED_NAME, 443)
            said.append("")
        except OSError as e:
            said.append(str(e))

    thread = threading.Thread(target=resolve, daemon=True)
    thread.start()
    thread.join(NAME_LIMIT_S)
    if said == [""]:
        yield ok("DNS", f"{PROBED_NAME} is found")
    else:
        why = said[0] if said else f"no reply within {NAME_LIMIT_S:.0f} s"
        yield note("DNS", f"{PROBED_NAME} is not found: {why}", "Without a network only local images work")
