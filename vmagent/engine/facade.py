"""The engine as one object: its parts put together, opened and closed. The api package serves it."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from ipaddress import IPv4Interface
from pathlib import Path

import structlog

from vmagent.containers import logconfig, records
from vmagent.containers.live import Live
from vmagent.containers.model import ContainerId, JsonObject, Status
from vmagent.containers.names import Names
from vmagent.containers.restart import should_restart, starts_with_the_engine
from vmagent.durable import publish, sweep
from vmagent.engine.containers import Containers
from vmagent.engine.core import Core
from vmagent.engine.creating import Creator
from vmagent.engine.events import EventBus
from vmagent.engine.execs import Execs
from vmagent.engine.files import Files
from vmagent.engine.health import HealthMonitors
from vmagent.engine.images import Images
from vmagent.engine.launching import Launcher, make_init_layer
from vmagent.engine.lifecycle import Lifecycle
from vmagent.engine.networking import Networking
from vmagent.engine.networks import Networks
from vmagent.engine.system import System
from vmagent.engine.userns import UserNamespaces
from vmagent.engine.volumes import Volumes
from vmagent.engine.warming import warm
from vmagent.errors import EngineError
from vmagent.images.imagestore import ImageStore
from vmagent.linux import mounts
from vmagent.linux.subids import IdMaps
from vmagent.paths import DataRoot, ExecRoot
from vmagent.supervisor.client import ExecExited, Exited, Held, LogGrew, NotHeld, SupervisorError, SupervisorEvent

log = structlog.get_logger(__name__)

SHUTDOWN_LIMIT_S = 10.0
SIGKILL = 9


class Engine:
    """All of the engine. `open` once; then the parts below serve the verbs of the Engine API."""

    def __init__(
        self,
        data_root: DataRoot,
        exec_root: ExecRoot,
        *,
        bip: IPv4Interface | None,
        insecure_registries: Sequence[str],
        log_default: JsonObject = logconfig.DEFAULT,
        remap: IdMaps | None = None,
    ) -> None:
        """Touches no disk: see `open`.

        `log_default`: the HostConfig.LogConfig of containers that give none. `remap`: the ids that containers have in a
        user namespace of their own; None: they are in the host's.
        """
        self.events = EventBus()
        self.is_open = False
        self._data_root, self._exec_root = data_root, exec_root
        self._core = core = Core(data_root, exec_root, self.events)
        core.log_default = log_default
        core.users = UserNamespaces(core, remap)
        self._store = ImageStore(
            data_root, exec_root, insecure_registries=insecure_registries, on_event=self._on_image_event
        )
        self._networking = Networking(core, data_root, exec_root, bip)
        self.volumes = Volumes(core)
        self._launcher = Launcher(core, self._store, self._networking, self.volumes)
        self._files = Files(core, self._launcher, self._store)
        self.execs = Execs(core)
        self._lifecycle = Lifecycle(
            core, self._launcher, self._networking, self.volumes, HealthMonitors(core, self.execs)
        )
        creator = Creator(core, self._store, self._networking, self.volumes, self._files, self._lifecycle)
        self.containers = Containers(core, self._store, self._networking, creator, self._lifecycle, self._files)
        self.images = Images(core, self._store)
        self.networks = Networks(core, self._networking, self._launcher)
        self.system = System(core, self.images, self._store, self._files, self.volumes, "")
        self._opening: asyncio.Task[None] | None = None
        self._held: dict[str, Held] = {}
        self._early: list[SupervisorEvent] | None = []  # what came before the records were loaded; None: they are
        self._interrupted: set[str] = set()  # containers whose restart, or life, ended with the last engine

    def _on_image_event(self, action: str, actor: str, attributes: dict[str, str]) -> None:
        self.events.publish("image", action, actor, attributes)

    # --- opening

    async def open(self) -> None:
        """Open the data root: records, images, networks; take over what runs; start what policies say.

        Idempotent, and after a failure it may be tried again. It goes on where the caller is cancelled (its client
        left). Raises OSError, EngineError, ValueError where the data root can't be used.
        """
        if self.is_open:
            return
        if self._opening is None or self._opening.done():
            self._opening = self._core.spawn_task(self._open(), "open")
        await asyncio.shield(self._opening)

    async def _open(self) -> None:
        async with AsyncExitStack() as undo:
            await self._core.on_disk(self._make_roots)
            await self._core.users.open()
            undo.push_async_callback(self._store.close)
            await self._store.open()
            await self.volumes.open()
            await self._core.supervisor.connect(self._exec_root.supervisor_socket, self._on_supervisor_event)
            self._held = {held.id: held for held in await self._core.supervisor.list()}
            undo.callback(self._forget_containers)
            await self._load_containers()
            alive: dict[str, int] = {
                live.record.id: live.record.state.pid for live in self._core.live.values() if live.record.state.running
            }
            undo.push_async_callback(self._networking.abandon)
            await self._networking.open(alive)
            await self.networks.open()
            self.system = System(
                self._core,
                self.images,
                self._store,
                self._files,
                self.volumes,
                await self._core.on_disk(self._engine_id),
            )
            # Last, as it is also the mark that an engine started again need not wait for its host's word (`serving`).
            await self._core.on_disk(make_init_layer, self._exec_root.path / "init-layer")
            undo.pop_all()
        self.is_open = True
        log.info("engine.opened", containers=len(self._core.live), running=len(alive))
        self._core.spawn_task(self._after_open(), "after open")

    def _forget_containers(self) -> None:
        """Back to before `_load_containers`; what was interrupted stays known, as its record says so no more."""
        self._core.live.clear()
        self._core.names = Names()
        self._lifecycle.image_holds.clear()

    def _make_roots(self) -> None:
        for path, mode in (
            (self._data_root.path, 0o711),
            (self._data_root.containers, 0o710),
            (self._data_root.trash, 0o700),
            (self._exec_root.path, 0o711),
            (self._exec_root.containers, 0o711),
            (self._exec_root.rootfs, 0o711),
        ):
            path.mkdir(mode=mode, parents=True, exist_ok=True)
        sweep(self._data_root.path)

    def _engine_id(self) -> str:
        try:
            return self._data_root.engine_id.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            made = secrets.token_hex(16)
            publish(self._data_root.engine_id, made.encode())
            return made

    async def _load_containers(self) -> None:
        for folder in await self._core.on_disk(self._container_folders):
            if not records.is_whole(folder):
                self._core.discard_tree(folder)  # a create that a crash cut short
                continue
            try:
                record = records.load(folder)
                self._core.names.reserve(record.name, record.id)
            except (records.UnreadableRecord, EngineError) as e:
                log.error("container.unreadable", folder=str(folder), error=str(e))
                continue
            self._core.names.add_id(record.id)
            live = Live(record)
            self._core.live[record.id] = live
            with suppress(EngineError):  # the image's record is damaged: the store has said so
                self._lifecycle.image_holds[record.id] = self._store.hold(record.image_id)
            self._take_over(live)

    def _container_folders(self) -> list[Path]:
        folders = [Path(entry.path) for entry in os.scandir(self._data_root.containers) if entry.is_dir()]
        for folder in folders:
            sweep(folder)
        return folders

    def _take_over(self, live: Live) -> None:
        """Bring a record's state in line with what the supervisor holds."""
        state = live.record.state
        held = self._held.get(live.record.id)
        if held is not None and held.run >= state.run:
            # The supervisor knows best: the engine may have been killed between a start and its note of it.
            state.run, state.pid, state.started_ns = held.run, held.pid, held.started_at_ns
            state.status = Status.PAUSED if held.paused else Status.RUNNING
        elif state.running:
            self._lifecycle.lost(live)
            self._interrupted.add(live.record.id)
        elif state.status is Status.RESTARTING:
            state.status = Status.EXITED  # `_resume` goes on with it
            self._interrupted.add(live.record.id)
        elif state.status is Status.REMOVING:
            state.status = Status.DEAD

    async def _after_open(self) -> None:
        """What may take its time: late exits, lost restarts, policies, leftovers."""
        self._core.in_background(self._core.spares.open)
        self._core.in_background(warm, self._data_root, self._exec_root)
        early, self._early = self._early, None
        for event in early or ():
            self._on_supervisor_event(event)
        for held in self._held.values():
            if ContainerId(held.id) not in self._core.live:
                await self._forget_stranger(held)
            elif held.state == "exited" and held.exit_code is not None:
                self._lifecycle.on_exited(
                    Exited(
                        id=held.id,
                        run=held.run,
                        exit_code=held.exit_code,
                        oom_killed=held.oom_killed,
                        at_ns=held.exited_at_ns or held.started_at_ns,
                    )
                )
        for live in list(self._core.live.values()):
            try:
                await self._resume(live)
            except Exception:  # one container that can't be gone on with must not keep the others from it
                log.exception("container.not_resumed", container=live.id)
        await self._store.collect()
        await self._core.sweep_trash()
        self._sweep_exec_root()

    def _sweep_exec_root(self) -> None:
        """Run-time files of containers whose removal was cut short."""
        for entry in os.scandir(self._exec_root.containers):
            if ContainerId(entry.name) not in self._core.live:
                with suppress(OSError):
                    mounts.umount(f"{entry.path}/shm", mounts.MNT_DETACH)
                self._core.remove_later(Path(entry.path))

    async def _forget_stranger(self, held: Held) -> None:
        """A process whose container was removed meanwhile: its removal was cut short, so it ends now."""
        log.warning("container.stranger", container=held.id, run=held.run)
        try:
            if held.state == "exited":
                await self._core.supervisor.acknowledge(held.id, held.run)
            else:
                await self._core.supervisor.signal(held.id, SIGKILL)  # its exit is acknowledged as it comes
        except NotHeld:
            pass  # it ended meanwhile, and its exit comes
        except SupervisorError as e:
            log.error("container.stranger_stays", container=held.id, error=str(e))

    async def _resume(self, live: Live) -> None:
        """Go on with what the last engine was about to do for a container."""
        record, state = live.record, live.record.state
        policy = record.host_config["RestartPolicy"]
        if state.running:
            self._lifecycle.watch_health(live)
            return
        if state.status is Status.DEAD or (record.auto_remove and state.started_ns):
            with suppress(EngineError):
                await self._lifecycle.remove(live, force=True, volumes=record.auto_remove)
            return
        if record.id in self._interrupted and should_restart(policy, state):
            await self._lifecycle.start_by_policy(live, counts=True)
        elif starts_with_the_engine(policy, state):
            await self._lifecycle.start_by_policy(live, counts=False)

    # --- closing

    async def close(self, *, stop_containers: bool) -> None:
        """Stop serving. With `stop_containers` as dockerd ends; without, containers go on with the supervisor."""
        if self.is_open:
            self.is_open = False
            if stop_containers:
                await self._lifecycle.stop_all(SHUTDOWN_LIMIT_S)
                await self._networking.close()
                await self._store.close()
            else:
                await self._networking.leave()
        await self._core.close()
        self._core.users.close()

    # --- the supervisor's word

    def _on_supervisor_event(self, event: SupervisorEvent) -> None:
        if self._early is not None:
            # Before the records are loaded every container looks unknown, and what is unknown is forgotten.
            if not isinstance(event, LogGrew):  # nobody reads a log yet, and it may be long until then
                self._early.append(event)
            return
        match event:
            case LogGrew():
                if (live := self._core.live.get(ContainerId(event.id))) is not None:
                    live.bell.ring()
            case Exited():
                self._lifecycle.on_exited(event)
            case ExecExited():
                self.execs.on_exited(event)
