"""The window's connection to the host agent: state changes of the VM, and its start and stop."""

from __future__ import annotations

import threading
from collections.abc import Callable

from PySide6.QtCore import QObject, Signal

from desktop.client.engine import ApiError, ConnectionFailed, ProtocolError
from desktop.client.host import HostClient, HostState, StateStream
from desktop.client.starting import CannotStart, ensure_host_agent, ensure_native, host_client
from desktop.paths import HostPaths
from desktop.ui.feed.engine import EngineFacts, EnginePhase
from desktop.ui.feed.workers import Workers
from desktop.ui.kit.steps import BootStep
from desktop.ui.kit.words import tr

RETRY_S = 1.0
MB = 1024 * 1024


class HostSession(QObject):
    """Reads the host agent's states in a thread; starts the agent if none runs.

    Signals: state(HostState); failed(message, hint): there is no agent and none could be started.
    """

    state = Signal(object)
    failed = Signal(str, str)

    def __init__(self, paths: HostPaths, workers: Workers, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._paths, self._workers = paths, workers
        self._closed = threading.Event()
        self._poke = threading.Event()
        self._lock = threading.Lock()
        self._stream: StateStream | None = None

    def open(self, *, start_vm: bool) -> None:
        """Read the agent's states from now on; if `start_vm`, start a VM that is stopped."""
        self._workers.lasting("host", lambda: self._follow(start_vm=start_vm))

    def close(self) -> None:
        self._closed.set()
        self._poke.set()
        with self._lock:
            if self._stream is not None:
                self._stream.close()

    def _follow(self, *, start_vm: bool) -> None:
        told = ""
        while not self._closed.is_set():
            try:
                client = ensure_host_agent(self._paths)
                with client, client.events() as stream:
                    with self._lock:
                        self._stream = stream
                    if self._closed.is_set():
                        return
                    told = ""
                    for state in stream.states():
                        self.state.emit(state)
                        if start_vm and state.state in ("stopped", "adopting", "saving", "saved"):
                            self.ask("start", lambda _message: None)
                        start_vm = False
                        if self._closed.is_set():
                            return
            except CannotStart as e:
                if told != str(e):
                    told = str(e)
                    self.failed.emit(str(e), e.hint)
            except (ApiError, ConnectionFailed, ProtocolError, OSError) as e:
                if told != str(e):
                    told = str(e)
                    self.failed.emit(tr("The host agent does not answer: {why}", why=str(e)), "")
            finally:
                with self._lock:
                    self._stream = None
            self._poke.wait(RETRY_S)
            self._poke.clear()

    def ask(self, verb: str, failed: Callable[[str], None]) -> None:
        """`start`, `stop` or `restart` the VM; its progress comes as `state` signals."""
        paths = self._paths

        def job() -> HostState:
            with _client(paths) as client:
                calls = {"start": client.start, "stop": client.stop, "restart": client.restart}
                return calls[verb]()

        self._workers.run(job, None, lambda error: failed(str(error)))


def _client(paths: HostPaths) -> HostClient:
    return host_client(paths)


def start_native(
    paths: HostPaths, workers: Workers, done: Callable[[], None], failed: Callable[[str, str], None]
) -> None:
    """Start the native engine; without permission, call `failed(reason, command that starts it)`."""

    def job() -> tuple[str, str] | None:
        try:
            ensure_native(paths)
        except CannotStart as e:
            return str(e), e.hint
        return None

    def answered(problem: tuple[str, str] | None) -> None:
        if problem is None:
            done()
        else:
            failed(*problem)

    workers.run(job, answered, lambda error: failed(str(error), ""))


def facts_of_host(state: HostState, engine: EngineFacts) -> EngineFacts:
    """The facts shown for a VM: from the agent's state, and from the engine's while the VM runs."""
    phase = {
        "stopped": EnginePhase.STOPPED,
        "adopting": EnginePhase.STARTING,
        "starting": EnginePhase.STARTING,
        "stopping": EnginePhase.STOPPING,
        "failed": EnginePhase.FAILED,
        "saving": EnginePhase.SAVED,
        "saved": EnginePhase.SAVED,
    }.get(state.state, engine.phase if engine.phase is not EnginePhase.STOPPED else EnginePhase.CONNECTING)
    took = sum(step.ms for step in state.steps) / 1000 if state.state == "running" and state.steps else None
    return EngineFacts(
        phase=phase,
        kind="vm",
        address=engine.address,
        version=engine.version,
        kernel=engine.kernel,
        cpus=state.cpus or engine.cpus,
        memory_bytes=state.memory_mb * MB or engine.memory_bytes,
        accelerator=state.accelerator,
        why_accelerator=state.accelerator_why,
        started_in_s=took,
        since_s=engine.since_s if state.state == "running" else state.since,
        steps=tuple(
            BootStep(name=s.name, took_ms=s.ms if s.done or s.ms else None, detail=s.detail, done=s.done)
            for s in state.steps
        ),
        problem=state.error.message if state.error else engine.problem if state.state == "running" else "",
        hint=state.error.hint if state.error else "",
    )
