"""The VM's lifecycle: start, adoption, stop, reset, and the detection of an end that nobody asked for.

Everything runs on one event loop. A lock serialises the verbs, and a stop cancels a start or an adoption that is under
way. `tunnel` leads to the engine; it is set while the VM runs, and connects again by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping

from desktop.paths import HostPaths
from desktop.platform.base import Platform
from desktop.tunnel.keys import KeyFiles
from desktop.tunnel.multiplexer import MultiplexerCarrier
from desktop.tunnel.sshcarrier import SshCarrier
from desktop.tunnel.transport import OnService, TunnelError
from desktop.tunnel.tunnel import Tunnel
from desktop.vm.ending import why_it_ended
from desktop.vm.errors import DiskInUse, NotAnswering, VmError
from desktop.vm.machine import Machine, Record
from desktop.vm.marks import LOGS_HINT
from desktop.vm.opening import engine_activity, engine_is_idle, engine_pong, open_engine
from desktop.vm.start.choose import Ends, start
from desktop.vm.start.plan import make_plan
from desktop.vm.start.saved import SavedState
from desktop.vm.start.session import save_session
from desktop.vm.start.ways import PROGRESS_LIMIT_S, give_keys, or_gone
from desktop.vm.state import LastEnd, Status, VmState
from desktop.vm.watch import Watch

# The engine gives containers 10 s to end; then comes the flush of the disk.
STOP_LIMIT_S = 40.0
IDLE_LIMIT_S = 10.0  # a guest that can't tell whether it is idle is stopped in the usual way
TUNNEL_LIMIT_S = 90.0  # by then SSH has been tried too
# Before each start of a VM that has failed: the pauses grow. One that fails after all of them stays failed.
RESTART_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
STEADY_S = 300.0  # after this the first pause is the next one again
_START_HINT = "Start it again: cove vm start"


async def _nothing(_: Tunnel) -> None: ...


class VirtualMachine:
    """The VM of one home."""

    def __init__(
        self,
        paths: HostPaths,
        platform: Platform,
        environ: Mapping[str, str],
        on_change: Callable[[], None],
        on_service: OnService,
        on_connect: Callable[[Tunnel], Awaitable[None]] = _nothing,
    ) -> None:
        """`on_service` is called with each stream that a program in the guest opens to the host.

        `on_connect` is awaited before the VM counts as running: while the engine opens its data, and again after that.
        """
        self._on_connect = on_connect
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
        self._watcher: Watch | None = None
        self._restarts = 0  # of a VM that has failed, since it ran steadily
        self._ran_since = 0.0
        self._keys = KeyFiles(paths.client_key, paths.host_key)
        self.ping: bytes | None = None  # the engine's response to GET /_ping before the VM was saved

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
        it if the adoption fails. While the VM is being saved: begin it afterwards."""
        if self.state.status in (Status.ADOPTING, Status.SAVING):
            self._start_wanted = True
            return
        if self.state.status in (Status.STARTING, Status.RUNNING):
            return
        if self.state.status is Status.STOPPING:
            raise VmError("the VM is stopping", "Start it when it has stopped")
        if self._start is not None:
            self._start.cancel()  # a restart that waits for its time
        self._restarts = 0
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
                if not save:
                    await asyncio.to_thread(SavedState(self._paths.session).drop)
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

    async def rest(self, idle_s: float) -> bool:
        """Save the session of a running VM if its engine has been idle for `idle_s`; whether that was done. The status
        is SAVED then, or STARTING if a start was asked for meanwhile."""
        async with self._verb:
            machine = self._machine
            if machine is None or self.state.status is not Status.RUNNING or not self._can_save(machine):
                return False
            if not await self._is_idle(machine, idle_s):
                return False
            self._start_wanted = False
            self.state.move(Status.SAVING)  # the proxy lets no request through from now on
            await self._stop_watch()
            saved = await self._is_idle(machine, 0) and await self._save(machine)
            if saved:
                await self._drop()
                self.state.move(Status.SAVED)
            else:
                await self._go_on(machine)
        if self._start_wanted and saved:
            self.start()
        self._start_wanted = False
        return saved

    async def _is_idle(self, machine: Machine, idle_s: float) -> bool:
        """Whether nothing has been under way in the engine for `idle_s`. Remembers its reply to a ping."""
        try:
            now = await engine_activity(machine.guest, IDLE_LIMIT_S)
            self.ping = await engine_pong(machine.guest, IDLE_LIMIT_S)
        except VmError:
            return False
        return not now.containers and not now.requests and now.idle_s >= idle_s

    async def _go_on(self, machine: Machine) -> None:
        """Let a VM go on that could not be saved."""
        if machine.gone.is_set():
            await self._drop()
            self.state.move(Status.FAILED, VmError("the VM's QEMU process ended while it was saved", _START_HINT))
            return
        if self.tunnel is None or self.tunnel.gone.is_set():
            self._open_tunnel(machine)
        self._run(machine)

    async def reset(self) -> None:
        """Stop the VM and throw its disk away, with all images, containers and volumes."""
        await self.stop(save=False)
        async with self._verb:
            self._paths.data_disk.unlink(missing_ok=True)
            self._paths.disk_mark.unlink(missing_ok=True)
            await asyncio.to_thread(SavedState(self._paths.session).drop)

    def _can_save(self, machine: Machine) -> bool:
        return self._platform.saves_states and bool(machine.fits) and not machine.qmp.no_space.is_set()

    async def _save(self, machine: Machine) -> bool:
        """Save the session if that is possible; whether it was. After False the guest runs as before."""
        if not self._can_save(machine):
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

    async def silence(self, limit_s: float) -> str:
        """Why a running VM does not answer now; "" if it does within `limit_s`, or does not run."""
        if self.state.status is not Status.RUNNING or self._watcher is None:
            return self.state.silence
        return await self._watcher.health.probe(limit_s) or ""

    async def serve_ssh(self) -> None:
        """Have the running VM's sshd serve; one that was killed is started again. Raises VmError, OSError."""
        if self._machine is not None:
            await give_keys(self._keys, self._machine)

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
            machine = await self._reach(record)
        if machine is None:
            return False
        self._launched(machine)
        try:
            await self._connect(machine)
        except (TunnelError, VmError):
            if machine.gone.is_set() or not record.ran:
                await machine.quit()  # it was still starting when its agent died
                return False
            # A VM that ran goes on as soon as it can: the tunnel goes on trying, and the watch reports its silence.
        self._run(machine)
        return True

    async def _reach(self, record: Record) -> Machine | None:
        """Connect to the QEMU of `record`, however long it does not reply; None: it has ended."""
        while True:
            connecting = asyncio.create_task(Machine.adopt(self._platform, record), name="adopt QEMU")
            try:
                return await asyncio.shield(connecting)
            except NotAnswering as e:
                self.state.fall_silent(f"QEMU (process {record.pid}) does not reply: {e}")
            except asyncio.CancelledError:
                try:
                    self._machine = await connecting  # `stop` needs it to stop the guest; connecting has a time limit
                except NotAnswering:
                    self._platform.kill(record.pid)  # it cannot be asked
                raise

    # Start ------------------------------------------------------------------------------------------------------

    async def _start_now(self) -> None:
        async with self._verb:
            try:
                await self._boot()
            except asyncio.CancelledError:
                await asyncio.shield(self._abort(None))
                raise
            except DiskInUse as e:
                await self._abort(await asyncio.to_thread(self._holder, e))
            except (VmError, TunnelError, OSError) as e:
                error = e if isinstance(e, VmError) else VmError(str(e), LOGS_HINT)
                why = await self._why_ended()
                error = why if why is not None and why.lines else error  # the guest itself has said more
                await self._abort(error)
            except BaseException as e:
                await self._abort(VmError(f"the VM's start broke: {e!r}", f"See {self._paths.agent_log}"))
                raise

    async def _why_ended(self) -> VmError | None:
        """Why the machine of a start has ended; None: it has not."""
        if self._machine is None or not self._machine.gone.is_set():
            return None
        return await asyncio.to_thread(why_it_ended, self._machine.qmp, False, self._paths.console_log)

    def _holder(self, error: DiskInUse) -> VmError:
        """The error with the process that uses the disk, where the system tells."""
        disk = self._paths.data_disk
        if (pid := self._platform.user_of(disk)) is None:
            return error
        hint = f"End it: kill {pid}; or choose another COVE_HOME"
        return VmError(f"another QEMU (process {pid}) uses the VM's disk {disk}", hint)

    async def _boot(self) -> None:
        self.state.way, self.state.dropped = "", ()
        plan = await make_plan(
            self._paths, self._platform, self._environ, self._keys, self.state, launched=self._launched
        )
        started = await start(plan, Ends(self._connect, self._why_ended, self._end_machine))
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
                tunnel = self._open_tunnel(machine)
                await or_gone(machine, tunnel.connected(TUNNEL_LIMIT_S))
                step.detail = tunnel.carrier or ""
            with self.state.step("engine"):
                await or_gone(machine, self._on_connect(tunnel))  # while the engine opens its data
                await or_gone(machine, opening)
                await or_gone(machine, self._on_connect(tunnel))  # had the engine not listened yet
        finally:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)

    def _open_tunnel(self, machine: Machine) -> Tunnel:
        self.tunnel = tunnel = Tunnel(
            (MultiplexerCarrier(machine.tunnel, self._on_service), SshCarrier(machine.ssh_port, self._keys))
        )
        tunnel.start()
        return tunnel

    def _run(self, machine: Machine) -> None:
        machine.guest.marks.clear()
        self.state.ssh_port = machine.ssh_port
        if (record := Record.load(self._paths.vm_record)) is not None and not record.ran:
            record._replace(ran=True).save(self._paths.vm_record)
        self._ran_since = time.monotonic()
        self.state.move(Status.RUNNING)
        self._watcher = watch = Watch(machine, self.state, self._paths.data_disk)
        self._watch = asyncio.create_task(self._watch_running(machine, watch), name="vm watch")

    # While it runs ----------------------------------------------------------------------------------------------

    async def _watch_running(self, machine: Machine, watch: Watch) -> None:
        """Supervise the running VM until it has failed, and start it again then, unless it has powered itself off."""
        await watch.until_ended()
        powered_off = "off" in machine.guest.marks or machine.qmp.shutdown_reason == "guest-shutdown"
        await machine.wait_exit()
        console, status = self._paths.console_log, machine.exit_status
        why = await asyncio.to_thread(why_it_ended, machine.qmp, powered_off, console, status)
        self.state.last_end = LastEnd(time.time(), str(why))
        await self._drop()
        if time.monotonic() - self._ran_since > STEADY_S:
            self._restarts = 0
        self._fail(why, restarts=not powered_off)

    def _fail(self, why: VmError, *, restarts: bool) -> None:
        """Report the end of a VM, and begin to start it again after a pause, if it `restarts` and has not failed too
        often."""
        if not restarts or self._restarts >= len(RESTART_PAUSES_S):
            self.state.move(Status.FAILED, why)
            return
        pause_s = RESTART_PAUSES_S[self._restarts]
        self._restarts += 1
        self.state.move(Status.FAILED, why, restart_at=time.time() + pause_s)
        self._start = asyncio.create_task(self._restart(pause_s), name="vm restart")

    async def _restart(self, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        self.state.move(Status.STARTING)
        await self._start_now()

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
            self._fail(error, restarts=self._restarts > 0)

    def _settle(self) -> None:
        """Move to STOPPED after an end of QEMU that we caused."""
        if self.state.status not in (Status.FAILED, Status.SAVED):
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
