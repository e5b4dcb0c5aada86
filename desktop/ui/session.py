"""The window's contact to one engine: what is there, what changes, what things use; and the verbs.

Three threads, each blocking in its own call: the watcher reads the event stream, the looker inspects what the events
named, the meter reads figures of the rows in sight. All they find is emitted here and arrives on the GUI thread in
batches. When the stream ends the engine is lost: the watcher says so, and tries again until it is told to stop.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from PySide6.QtCore import QObject, Qt, Signal

from desktop.client.engine import ApiError, ConnectionFailed, Endpoint, EngineClient, ProtocolError
from desktop.ui.facts import Container, EngineFacts, EnginePhase, Happening, Image
from desktop.ui.usage import Meter
from desktop.ui.workers import Workers

BATCH_S = 0.012  # events that come within this are told together, so that a burst is one change of the model
RETRY_S = (0.2, 0.4, 0.8, 1.5)
CALL_LIMIT_S = 20.0
LOST = (ConnectionFailed, ProtocolError, OSError)
# Events of a container after which there is nothing new to see in its row.
QUIET_ACTIONS = ("exec_", "attach", "resize", "top", "archive-path", "export", "copy")


class EngineSession(QObject):
    """One engine, as the window follows it.

    Signals: loaded(list[Container]) everything at once; changed(list[Container]), dropped(list[str]); images(list
    [Image]); happened(list[Happening]); facts(EngineFacts) at each change of contact; measured(dict[str, Usage]).
    """

    loaded = Signal(object)
    changed = Signal(object)
    dropped = Signal(object)
    images = Signal(object)
    happened = Signal(object)
    facts = Signal(object)
    measured = Signal(object)

    def __init__(self, endpoint: Endpoint, kind: str, workers: Workers, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.endpoint, self.kind, self.workers = endpoint, kind, workers
        self.client = EngineClient(endpoint, timeout_s=CALL_LIMIT_S)
        self.now = EngineFacts(phase=EnginePhase.CONNECTING, kind=kind, address=str(endpoint))
        self._closed = threading.Event()
        self._wanted = threading.Event()
        self._poke = threading.Event()
        self._stream_lock = threading.Lock()
        self._stream: Any = None
        self._looks: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._meter = Meter(self.client, self._closed, self.measured.emit)
        self._last_id = ""
        self.facts.connect(self._on_facts, Qt.ConnectionType.DirectConnection)

    def _on_facts(self, facts: EngineFacts) -> None:
        self.now = facts

    # life ------------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Start to follow the engine."""
        self._wanted.set()
        self.workers.lasting("watcher", self._watch)
        self.workers.lasting("looker", self._look)
        self.workers.lasting("meter", self._meter.run)

    def retry(self) -> None:
        """Try to reach the engine now, and go on trying."""
        self._wanted.set()
        self._poke.set()

    def give_up(self) -> None:
        """Stop trying to reach the engine, until `retry`."""
        self._wanted.clear()
        self._poke.set()

    def close(self) -> None:
        """Have the threads end: their streams are cut. `client` is closed by who has waited for them."""
        self._closed.set()
        self._wanted.set()
        self._poke.set()
        self._looks.put(None)
        self._meter.wake()
        with self._stream_lock:
            if self._stream is not None:
                self._stream.close()

    def measure(self, ids: Iterable[str]) -> None:
        """Which containers' figures are wanted from now on; none stops the meter."""
        self._meter.want(ids)

    # threads ---------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        failures, told_lost, seen_once = 0, False, False
        while not self._closed.is_set():
            self._wanted.wait()
            if self._closed.is_set():
                return
            problem = ""
            try:
                self._follow()
                seen_once, problem = True, "the engine ended the stream of events"
            except LOST as e:
                seen_once, problem = seen_once or self.now.phase is EnginePhase.RUNNING, str(e)
            except ApiError as e:
                problem = str(e)
            if self._closed.is_set():
                return
            if self.now.phase is EnginePhase.RUNNING:
                failures, told_lost = 0, False
            if not told_lost:
                phase = EnginePhase.LOST if seen_once else EnginePhase.STOPPED
                self.facts.emit(replace(self.now, phase=phase, problem=problem, since_s=time.time()))
                told_lost = True
            self._poke.wait(RETRY_S[min(failures, len(RETRY_S) - 1)])
            self._poke.clear()
            failures += 1

    def _follow(self) -> None:
        """One contact from its first answer to its end. Raises what the client raises."""
        version = self.client.version()
        since = time.time()
        stream = self.client.events()
        with self._stream_lock:
            self._stream = stream
        try:
            if self._closed.is_set():
                return
            containers = [Container.from_list(entry) for entry in self.client.containers(all=True)]
            info = self.client.info()
            engine_id = str(info.get("ID", ""))
            self._last_id = engine_id
            self.facts.emit(
                EngineFacts(
                    phase=EnginePhase.RUNNING,
                    kind=self.kind,
                    address=str(self.endpoint),
                    version=str(version.get("Version", "")),
                    kernel=str(version.get("KernelVersion", "")),
                    cpus=int(info.get("NCPU") or 0),
                    memory_bytes=int(info.get("MemTotal") or 0),
                    since_s=since,
                )
            )
            self.loaded.emit(containers)
            self._looks.put("images:")
            for container in containers:
                self._looks.put(container.id)
            for event in stream:
                self._take(Happening.from_event(event))
                if self._closed.is_set():
                    return
        finally:
            with self._stream_lock:
                self._stream = None
            stream.close()

    def _take(self, happening: Happening) -> None:
        self.happened.emit([happening])
        if happening.kind == "container":
            if happening.action == "destroy":
                self.dropped.emit([happening.object_id])
                self._looks.put("images:")
            elif not happening.action.startswith(QUIET_ACTIONS):
                self._looks.put(happening.object_id)
                if happening.action in ("create", "die"):
                    self._looks.put("images:")
        elif happening.kind == "image":
            self._looks.put("images:")

    def _look(self) -> None:
        while (first := self._looks.get()) is not None:
            asked = {first}
            limit = time.monotonic() + BATCH_S
            while len(asked) < 50 and (left := limit - time.monotonic()) > 0:
                try:
                    more = self._looks.get(timeout=left)
                except queue.Empty:
                    break
                if more is None:
                    return
                asked.add(more)
            wants_images = "images:" in asked
            asked.discard("images:")
            found: list[Container] = []
            gone: list[str] = []
            try:
                for container_id in asked:
                    try:
                        found.append(Container.from_inspect(self.client.inspect(container_id)))
                    except ApiError as e:
                        if e.status != 404:
                            raise
                        gone.append(container_id)
                if wants_images:
                    self.images.emit(self._read_images())
            except (*LOST, ApiError):
                continue  # the watcher sees the same loss, tells it, and asks for everything anew afterwards
            finally:
                if found:
                    self.changed.emit(found)
                if gone:
                    self.dropped.emit(gone)

    def _read_images(self) -> list[Image]:
        users: dict[str, list[str]] = {}
        for entry in self.client.containers(all=True):
            users.setdefault(str(entry.get("ImageID", "")), []).append(str((entry.get("Names") or [""])[0]).lstrip("/"))
        return [
            replace(image, used_by=tuple(users.get(image.id, ())))
            for image in (Image.from_list(entry) for entry in self.client.images())
        ]

    # verbs -----------------------------------------------------------------------------------------------------------

    def act(
        self,
        verb: str,
        container: Container,
        done: Callable[[], None],
        failed: Callable[[Exception], None],
        *,
        force: bool = False,
        volumes: bool = False,
    ) -> None:
        """`start`, `stop`, `restart`, `pause`, `resume` or `delete`, then its row's new facts, then `done`."""
        client, container_id = self.client, container.id
        calls: Mapping[str, Callable[[], None]] = {
            "start": lambda: client.start(container_id),
            "stop": lambda: client.stop(container_id),
            "restart": lambda: client.restart(container_id),
            "pause": lambda: client.pause(container_id),
            "resume": lambda: client.unpause(container_id),
            "delete": lambda: client.remove(container_id, force=force, volumes=volumes),
        }

        def job() -> Container | None:
            calls[verb]()
            if verb == "delete":
                return None
            try:
                return Container.from_inspect(client.inspect(container_id))
            except ApiError as e:
                if e.status == 404:  # it deleted itself at its end
                    return None
                raise

        def answered(fresh: Container | None) -> None:
            done()
            if fresh is not None:
                self.changed.emit([fresh])

        self.workers.run(job, answered, failed)
