"""One running QEMU with our guest: process, monitor, guest. When to start and stop it is decided in `lifecycle`.

QEMU outlives the host agent: it runs in a session of its own, and `vm.json` records how to find it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
from asyncio.subprocess import Process
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from desktop.platform.base import LocalAddress, Platform
from desktop.vm.accelerator import Accelerator
from desktop.vm.command import Disk
from desktop.vm.errors import DiskInUse, NotAnswering, VmError
from desktop.vm.guest import Guest
from desktop.vm.qmp import QmpSession

_FORWARD_TRIES = 20
_SSH_PORT = 22
_STATE_FD = "state"
_EXIT_LIMIT_S, _EXIT_POLL_S = 10.0, 0.05
_MIGRATION_POLL_S = 0.01  # QEMU has events for it, but only behind a capability of its own


class Record(NamedTuple):
    """The data with which a later host agent can adopt a running QEMU."""

    pid: int
    qmp: LocalAddress
    control: LocalAddress
    tunnel: LocalAddress
    ssh_port: int
    accelerator: Accelerator
    memory_mb: int
    cpus: int
    fits: Mapping[str, str] = MappingProxyType({})  # what a saved state of it depends on: `desktop.vm.start.saved`
    ran: bool = False  # its start was complete

    def save(self, file: Path) -> None:
        value = {
            "schema": 2,
            "pid": self.pid,
            "qmp": _address_json(self.qmp),
            "control": _address_json(self.control),
            "tunnel": _address_json(self.tunnel),
            "ssh_port": self.ssh_port,
            "accelerator": self.accelerator._asdict(),
            "memory_mb": self.memory_mb,
            "cpus": self.cpus,
            "fits": dict(self.fits),
            "ran": self.ran,
        }
        half = file.with_suffix(".new")
        half.write_text(json.dumps(value) + "\n")
        half.replace(file)

    @classmethod
    def load(cls, file: Path) -> Record | None:
        """The record in `file`; None if there is none or another version wrote it."""
        try:
            value = json.loads(file.read_text())
            if value["schema"] != 2:
                return None
            return cls(
                pid=int(value["pid"]),
                qmp=_address(value["qmp"]),
                control=_address(value["control"]),
                tunnel=_address(value["tunnel"]),
                ssh_port=int(value["ssh_port"]),
                accelerator=Accelerator(**value["accelerator"]),
                memory_mb=int(value["memory_mb"]),
                cpus=int(value["cpus"]),
                fits={str(name): str(one) for name, one in value.get("fits", {}).items()},
                ran=bool(value.get("ran")),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None


class Machine:
    """A running QEMU, either started by us (`launch`) or taken over (`adopt`). `gone` is set when it ends."""

    def __init__(self, platform: Platform, pid: int, tunnel: LocalAddress) -> None:
        self._platform = platform
        self.pid = pid
        self.tunnel = tunnel  # where QEMU serves the multiplexer's port
        self.ssh_port = 0  # of the host's loopback, once `forward` was called
        self.fits: Mapping[str, str] = {}
        self.qmp = QmpSession()
        self.guest = Guest()
        self.ended = asyncio.Event()  # set when the process has ended, if it is our child
        self._wait: asyncio.Task[None] | None = None
        self._process: Process | None = None
        self._log: Path | None = None  # QEMU's own output, if we launched it

    @property
    def gone(self) -> asyncio.Event:
        """Set when the monitor's connection has ended: QEMU exited, crashed or was killed."""
        return self.qmp.gone

    @property
    def exit_status(self) -> int | None:
        """How the process has ended, as `subprocess` says it; None: it has not, or is not our child."""
        return None if self._process is None else self._process.returncode

    @classmethod
    async def launch(
        cls,
        platform: Platform,
        command: list[str],
        log: Path,
        qmp: LocalAddress,
        control: LocalAddress,
        tunnel: LocalAddress,
    ) -> Machine:
        """Start QEMU with its processor stopped, and connect to it. QEMU's own output goes to `log`. Raises VmError,
        after which no QEMU is left."""
        process = await _spawn(platform, command, log)
        machine = cls(platform, process.pid, tunnel)
        machine._log = log
        machine._process = process
        machine._wait = asyncio.create_task(machine._wait_for_exit(process), name="qemu wait")
        try:
            await machine.qmp.connect(qmp, machine.ended)
            await machine.guest.connect(control)
        except (VmError, OSError) as e:
            await machine.kill()
            said = _last_line(log)
            raise _error(f"QEMU did not start: {said}" if said else str(e), said) from e
        except BaseException:
            await machine.kill()
            raise
        return machine

    @classmethod
    async def adopt(cls, platform: Platform, record: Record) -> Machine | None:
        """The QEMU of `record`; None if it does not run. Raises NotAnswering if it runs, and does not reply."""
        if not platform.is_alive(record.pid):
            return None
        machine = cls(platform, record.pid, record.tunnel)
        machine.ssh_port, machine.fits = record.ssh_port, record.fits
        machine.ended.set()  # not our child: a socket that refuses connections shows that it has ended
        try:
            await machine.qmp.connect(record.qmp, machine.ended)
            await machine.guest.connect(record.control)
        except NotAnswering:
            await machine.close()
            raise
        except (VmError, OSError):
            await machine.close()
            return None
        return machine

    async def resume(self) -> None:
        """Let the guest's processor run. Raises VmError."""
        await self.qmp.execute("cont")

    async def save(self, file: Path) -> None:
        """Stop the guest and write its state with its memory to `file`. The guest stays stopped, after a failure too:
        `resume` it or end QEMU. Raises VmError, OSError."""
        # The default of 128 MiB/s is meant for networks.
        await self.qmp.execute("migrate-set-parameters", {"max-bandwidth": 8 << 30})
        await self.qmp.execute("stop")
        with await asyncio.to_thread(open, file, "wb") as state:
            await self.qmp.pass_file(_STATE_FD, state.fileno())
            await self.qmp.execute("migrate", {"uri": f"fd:{_STATE_FD}"})
            while (report := await self.qmp.execute("query-migrate")).get("status") != "completed":
                if report.get("status") in ("failed", "cancelled"):
                    raise VmError(
                        f"the VM's state can't be saved: {report.get('error-desc') or 'QEMU does not say why'}"
                    )
                await asyncio.sleep(_MIGRATION_POLL_S)

    async def restore(self, file: Path) -> None:
        """Read a state that `save` wrote into a QEMU that waits for it (`-incoming defer`). The guest is stopped then:
        `resume` it. Raises VmError, OSError; QEMU has ended then."""
        try:
            with await asyncio.to_thread(open, file, "rb") as state:
                await self.qmp.pass_file(_STATE_FD, state.fileno())
                await self.qmp.execute("migrate-incoming", {"uri": f"fd:{_STATE_FD}"})
                while True:
                    if (await self.qmp.execute("query-status"))["status"] != "inmigrate":
                        break
                    await asyncio.sleep(_MIGRATION_POLL_S)
        except VmError as e:
            said = await asyncio.to_thread(_last_line, self._log) if self._log else ""
            raise VmError(f"QEMU can't restore it: {said or e}") from e

    async def add_disk(self, file: Path) -> None:
        """Plug the data disk in. The guest may run already. Raises VmError."""
        disk = Disk(file)
        try:
            await self.qmp.execute("blockdev-add", disk.backend())
            await self.qmp.execute("device_add", disk.device())
        except VmError as e:
            raise _error(f"QEMU can't use the VM's disk: {e}", str(e)) from e

    async def forward(self) -> None:
        """Forward a free port of the host's loopback to the guest's sshd: `ssh_port`. Raises VmError."""
        said = ""
        for _ in range(_FORWARD_TRIES):
            port = _free_port()
            said = await self.qmp.monitor(f"hostfwd_add net tcp:127.0.0.1:{port}-:{_SSH_PORT}")
            if not said:  # else another process may have taken the port meanwhile
                self.ssh_port = port
                return
        raise VmError(f"QEMU forwards no port: {said}")

    async def kill(self) -> None:
        """End QEMU at once and wait for its end."""
        if self._wait is None or not self.ended.is_set():  # a child that has ended has given its pid back
            with contextlib.suppress(ProcessLookupError):
                self._platform.kill(self.pid)
        if self._wait is not None:
            await asyncio.wait({self._wait}, timeout=10)
        await self.close()

    async def quit(self) -> None:
        """End QEMU in order, but not the guest: data that the guest has not written to its disk yet is lost."""
        try:
            await self.qmp.execute("quit")
            async with asyncio.timeout(10):
                await self.gone.wait()
            await self.wait_exit()
        except (VmError, TimeoutError):
            await self.kill()
        await self.close()

    async def wait_exit(self) -> None:
        """Wait until the process has ended: QEMU closes its monitor before it writes the last to its disk."""
        if self._wait is not None:
            await asyncio.wait({self._wait}, timeout=_EXIT_LIMIT_S)
            return
        for _ in range(int(_EXIT_LIMIT_S / _EXIT_POLL_S)):
            if not self._platform.is_alive(self.pid):
                return
            await asyncio.sleep(_EXIT_POLL_S)  # no event tells of the end of a process that is not our child

    async def close(self) -> None:
        """Close the connections; a QEMU that still runs goes on. May be called twice."""
        await self.guest.close()
        await self.qmp.close()
        if self._wait is not None and self.ended.is_set():
            await asyncio.gather(self._wait, return_exceptions=True)
        elif self._wait is not None:
            self._wait.cancel()
            await asyncio.gather(self._wait, return_exceptions=True)
        self._wait = None
        self._process = None

    async def _wait_for_exit(self, process: Process) -> None:
        await process.wait()
        self.ended.set()


async def _spawn(platform: Platform, command: list[str], log: Path) -> Process:
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            return await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, **platform.detached()
            )
        finally:
            os.close(output)
    except OSError as e:
        raise VmError(f"QEMU did not start: {command[0]}: {e.strerror}") from e


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    # "qemu-system-x86_64: -device foo: message": the program's name does not help the user.
    return re.sub(r"^\S*qemu-system-\S+: ", "", lines[-1]) if lines else ""


def _error(message: str, said: str) -> VmError:
    """The error for what QEMU said."""
    if "write" in said and "lock" in said:
        return DiskInUse(message, "Another QEMU uses this VM's disk: end it, or choose another COVE_HOME")
    return VmError(message, "Set vm.memory_mb lower in the settings" if "memory" in said.lower() else "")


def _address_json(address: LocalAddress) -> str | int | None:
    return address.port if address.path is None else str(address.path)


def _address(value: str | int) -> LocalAddress:
    return LocalAddress(None, value) if isinstance(value, int) else LocalAddress(Path(value))
