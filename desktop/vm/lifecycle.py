"""The VM's lifecycle: start, adoption, stop, reset, and the detection of an end that nobody asked for.

Everything runs on one event loop. A lock serialises the verbs, and a stop cancels a start or an adoption that is under
way. `tunnel` leads to the engine; it is set while the VM runs, and connects again by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping

from desktop.paths import HostPaths
from desktop.platform.base import Platform
from desktop.tunnel.keys import KeyFiles
from desktop.tunnel.multiplexer import MultiplexerCarrier
from desktop.tunnel.ssh import SshCarrier
from desktop.tunnel.transport import OnService, TunnelError
from desktop.tunnel.tunnel import Tunnel
from desktop.vm.errors import VmError
from desktop.vm.machine import Machine, Record
from desktop.vm.marks import LOGS_HINT
from desktop.vm.opening import engine_is_idle, open_engine
from desktop.vm.start.choose import Ends, start
from desktop.vm.start.plan import make_plan
from desktop.vm.start.saved import SavedState
from desktop.vm.start.session import save_session
from desktop.vm.start.ways import PROGRESS_LIMIT_S, or_gone
from desktop.vm.state import Status, VmState

# The engine gives containers 10 s to end; then comes the flush of the disk.
STOP_LIMIT_S = 40.0
IDLE_LIMIT_S = 10.0  # a guest that can't tell whether it is idle is stopped in the usual way
TUNNEL_LIMIT_S = 90.0  # by then SSH has been tried too
CLOCK_EVERY_S = 240.0
SPACE_RETRY_S = 2.0
SPACE_PROOF_S = 0.5
_START_HINT = "Start it again: cove vm start"


class VirtualMachine:
    """The VM of one home."""

    def __init__(
        self,
        paths: HostPaths,
        platform: Platform,
        environ: Mapping[str, str],
        on_change: Callable[[], None],
        on_service: OnService,
    ) -> None:
        """`on_service` is called with each stream that a program in the guest opens to the host."""
        self._on_service = on_service
        self._paths = paths
        self._platform = platform
        self._environ = environ
        self.state = VmState(on_change)
        self.tunnel: Tunnel | None = None
        self._machine: Machine | None = None
        self._verb = asyncio.Lock()
        self._start: asyncio.Task[None] | None = None  # a start or an adoption
        self._start_wanted = False  # a start was asked for during the adoption
        self._watch: asyncio.Task[None] | None = None
        self._keys = KeyFiles(paths.client_key, paths.host_key)

    # Verbs ------------------------------------------------------------------------------------------------------

    def adopt(self) -> None:
        """Begin to take over the QEMU that an earlier host agent left behind, if there is a record of one. The state is
        ADOPTING meanwhile; it ends as RUNNING, or as STOPPED where there is no QEMU or it cannot be used."""
        record = Record.load(self._paths.vm_record)
        if record is not None:
            self.state.move(Status.ADOPTING)
            self._start = asyncio.create_task(self._adopt_now(record), name="vm adopt")

    def start(self) -> None:
        """Begin a start, unless the VM runs or starts already. The state becomes its outcome. During an adoption: begin
        it if the adoption fails."""
        if self.state.status is Status.ADOPTING:
            self._start_wanted = True
            return
        if self.state.status in (Status.STARTING, Status.RUNNING):
            return
        if self.state.status is Status.STOPPING:
            raise VmError("the VM is stopping", "Start it when it has stopped")
        self.state.move(Status.STARTING)
        self._start = asyncio.create_task(self._start_now(), name="vm start")

    async def stop(self, *, save: bool = True) -> None:
        """Stop the VM. If no container runs, and `save`: save the session, which the next start resumes. Otherwise end
        the guest cleanly: containers get their stop signal, the disk is flushed. Returns when QEMU has ended."""
        start, self._start_wanted = self._start, False
        if start is not None and not start.done():
            start.cancel()
            await asyncio.gather(start, return_exceptions=True)
        async with self._verb:
            await self._stop_watch()
            machine = self._machine
            if machine is None:
                if self.state.status is not Status.STOPPED:
                    self._settle()
                return
            self.state.move(Status.STOPPING)
            if save and await self._save(machine):
                await self._drop()
                self.state.move(Status.STOPPED)
                return
            try:
                with contextlib.suppress(VmError):
                    await machine.resume()  # the VM may be paused because the disk is full; otherwise this does nothing
                with contextlib.suppress(VmError):
                    await machine.guest.stop()
                async with asyncio.timeout(STOP_LIMIT_S):
                    await machine.gone.wait()
            except TimeoutError:
                await machine.quit()  # the guest hangs; its file system has a journal
            await self._drop()
            self.state.move(Status.STOPPED)

    async def reset(self) -> None:
        """Stop the VM and throw its disk away, with all images, containers and volumes."""
        await self.stop(save=False)
        async with self._verb:
            self._paths.data_disk.unlink(missing_ok=True)
            await asyncio.to_thread(SavedState(self._paths.session).drop)

    async def _save(self, machine: Machine) -> bool:
        """Save the session if that is possible; whether it was. After False the guest runs as before."""
        if not self._platform.saves_states or not machine.fits or machine.qmp.no_space.is_set():
            return False
        try:
            if not await engine_is_idle(machine.guest, IDLE_LIMIT_S):
                return False
            if self.tunnel is not None:
                await self.tunnel.close()  # its connection could not be resumed
            await save_session(self._paths, machine, self.state.memory_mb)
        except (VmError, OSError):
            with contextlib.suppress(VmError):  # QEMU has ended
                await machine.resume()
            return False
        return True

    async def leave(self) -> None:
        """Close the connections to a running VM without stopping it. Another agent may adopt it."""
        await self._stop_watch()
        async with self._verb:
            if self.tunnel is not None:
                await self.tunnel.close()
            if self._machine is not None:
                await self._machine.close()

    # Adoption ---------------------------------------------------------------------------------------------------

    async def _adopt_now(self, record: Record) -> None:
        async with self._verb:
            try:
                adopted = await self._adopt(record)
            except asyncio.CancelledError:
                raise  # `stop` cancels an adoption, and then stops the QEMU that is connected by now
            except BaseException as e:
                await self._abort(VmError(f"the VM could not be taken over: {e!r}", f"See {self._paths.agent_log}"))
                raise
            if adopted:
                return
            await self._drop()
        if self._start_wanted:
            self.state.move(Status.STARTING)
            await self._start_now()
        else:
            self.state.move(Status.STOPPED)

    async def _adopt(self, record: Record) -> bool:
        """Try to adopt the QEMU of `record`; returns whether that succeeded. After a failure that QEMU has ended."""
        state = self.state
        state.accelerator, state.memory_mb, state.cpus = record.accelerator, record.memory_mb, record.cpus
        with state.step("adopt"):
            connecting = asyncio.create_task(Machine.adopt(self._platform, record), name="adopt QEMU")
            try:
                machine = await asyncio.shield(connecting)
            except asyncio.CancelledError:
                self._machine = await connecting  # `stop` needs it to stop the guest; connecting has a time limit
                raise
        if machine is None:
            return False
        self._launched(machine)
        try:
            await self._connect(machine)
        except (TunnelError, VmError):
            # The VM hangs, or it was still starting when its agent died. It is of no use in either case.
            await machine.quit()
            return False
        self._run(machine)
        return True

    # Start ------------------------------------------------------------------------------------------------------

    async def _start_now(self) -> None:
        async with self._verb:
            try:
                await self._boot()
            except asyncio.CancelledError:
                await asyncio.shield(self._abort(None))
                raise
            except (VmError, TunnelError, OSError) as e:
                error = e if isinstance(e, VmError) else VmError(str(e), LOGS_HINT)
                await self._abort(error)
            except BaseException as e:
                await self._abort(VmError(f"the VM's start broke: {e!r}", f"See {self._paths.agent_log}"))
                raise

    async def _boot(self) -> None:
        self.state.way, self.state.dropped = "", ()
        plan = await make_plan(
            self._paths, self._platform, self._environ, self._keys, self.state, launched=self._launched
        )
        started = await start(plan, Ends(self._connect, self._end_machine))
        self.state.way, self.state.dropped = started.way, started.dropped
        self._run(started.machine)

    def _launched(self, machine: Machine) -> None:
        self._machine = machine
        self.state.qemu_pid = machine.pid

    async def _connect(self, machine: Machine) -> None:
        """Connect the tunnel, and have the engine open its data meanwhile. Raises VmError, TunnelError."""
        opening = asyncio.create_task(open_engine(machine.guest, PROGRESS_LIMIT_S), name="open engine")
        try:
            with self.state.step("tunnel") as step:
                self.tunnel = tunnel = Tunnel(
                    (MultiplexerCarrier(machine.tunnel, self._on_service), SshCarrier(machine.ssh_port, self._keys))
                )
                tunnel.start()
                await or_gone(machine, tunnel.connected(TUNNEL_LIMIT_S))
                step.detail = tunnel.carrier or ""
            with self.state.step("engine"):
                await or_gone(machine, opening)
        finally:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)

    def _run(self, machine: Machine) -> None:
        machine.guest.marks.clear()
        self.state.ssh_port = machine.ssh_port
        self.state.move(Status.RUNNING)
        self._watch = asyncio.create_task(self._watch_running(machine), name="vm watch")

    # While it runs ----------------------------------------------------------------------------------------------

    async def _watch_running(self, machine: Machine) -> None:
        """Supervise the running VM: report QEMU's end, keep the guest's clock right, and handle a full disk. Returns
        when the VM has failed."""
        while True:
            waits = {
                asyncio.create_task(machine.gone.wait(), name="qemu gone"),
                asyncio.create_task(self._keep_clock(machine), name="clock"),
                asyncio.create_task(machine.qmp.no_space.wait(), name="disk full"),
            }
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
                await asyncio.gather(*waits, return_exceptions=True)
            if machine.gone.is_set():
                powered_off = "off" in machine.guest.marks or "SHUTDOWN" in machine.qmp.last_events
                await self._drop()
                why = "the VM powered itself off" if powered_off else "the VM's QEMU process ended unexpectedly"
                self.state.move(Status.FAILED, VmError(why, _START_HINT))
                return
            if machine.qmp.no_space.is_set():
                await self._wait_for_space(machine)

    async def _wait_for_space(self, machine: Machine) -> None:
        """The host's disk is full, and QEMU has paused the guest instead of failing its writes. Report it, and
        resume the guest until a write succeeds. Returns then, or when QEMU has ended."""
        try:
            while machine.qmp.no_space.is_set():
                if self.state.error is None:
                    hint = f"Free some space where {self._paths.data_disk} lies; the VM then goes on by itself"
                    self.state.trouble(VmError("this machine's disk is full, so the VM is paused", hint))
                machine.qmp.no_space.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(machine.gone.wait(), SPACE_RETRY_S)
                    return
                with contextlib.suppress(VmError):  # QEMU has ended meanwhile, which `_watch_running` notices
                    await machine.resume()
                # A resumed guest repeats the failed write at once.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(machine.qmp.no_space.wait(), SPACE_PROOF_S)
        finally:
            self.state.trouble(None)

    async def _keep_clock(self, machine: Machine) -> None:
        """Set the guest's clock at once, at intervals, and after each sleep of the host, which the guest cannot notice.
        Never returns."""
        asleep_since = time.time() - time.monotonic()
        while True:
            # A guest that does not reply is paused, or QEMU has ended, which `_watch_running` notices.
            with contextlib.suppress(VmError):
                await machine.guest.set_clock()
            for _ in range(int(CLOCK_EVERY_S / 10)):
                await asyncio.sleep(10)
                # While the host sleeps, the monotonic clock stops and the wall clock goes on.
                if abs((now := time.time() - time.monotonic()) - asleep_since) > 1:
                    asleep_since = now
                    break

    # Parts ------------------------------------------------------------------------------------------------------

    async def _end_machine(self) -> None:
        tunnel, self.tunnel = self.tunnel, None
        if tunnel is not None:
            await tunnel.close()
        machine, self._machine = self._machine, None
        if machine is not None:
            await machine.kill()
        self._paths.vm_record.unlink(missing_ok=True)

    async def _abort(self, error: VmError | None) -> None:
        await self._end_machine()
        if error is None:
            self._settle()
        else:
            self.state.move(Status.FAILED, error)

    def _settle(self) -> None:
        """Move to STOPPED after an end of QEMU that we caused."""
        if self.state.status is not Status.FAILED:
            self.state.move(Status.STOPPING)
        self.state.move(Status.STOPPED)

    async def _drop(self) -> None:
        machine, self._machine = self._machine, None
        tunnel, self.tunnel = self.tunnel, None
        if tunnel is not None:
            await tunnel.close()
        if machine is not None:
            await machine.wait_exit()
            await machine.close()
        self._paths.vm_record.unlink(missing_ok=True)

    async def _stop_watch(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
