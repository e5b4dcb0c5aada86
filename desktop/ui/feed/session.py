"""The window's connection to one engine: containers, images, events, usage, and actions on containers.

Its threads make blocking calls: the watcher reads the stream of events, a few readers inspect the objects that events
name, the meter reads the usage of the visible rows. Results are queued and applied on the GUI thread in their order;
all results within `BATCH_S` change the models once. When the stream of events ends, contact is lost: the watcher
publishes that and connects again until `give_up` or `close`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot

from desktop.client import bin
from desktop.client.api import JsonStream
from desktop.client.engine import ApiError, ConnectionFailed, Endpoint, EngineClient, ProtocolError
from desktop.ui.feed.bin import BinFeed
from desktop.ui.feed.collection import Collection
from desktop.ui.feed.container import Container
from desktop.ui.feed.engine import EngineFacts, EnginePhase
from desktop.ui.feed.happening import Happening
from desktop.ui.feed.image import Image
from desktop.ui.feed.inventory import Inventory
from desktop.ui.feed.pulse import Pulse
from desktop.ui.feed.refresher import Refresher
from desktop.ui.feed.usage import Meter
from desktop.ui.feed.workers import Workers
from desktop.ui.kit.words import clock, tr

T = TypeVar("T")
BATCH_S = 0.012
RETRY_S = (0.2, 0.4, 0.8, 1.5)
CALL_LIMIT_S = 20.0
READERS = 4  # equal to the number of connections that the client keeps
LOST = (ConnectionFailed, ProtocolError, OSError)
# Events of a container that do not change its row.
QUIET_ACTIONS = (
    "exec_",
    "attach",
    "detach",
    "resize",
    "top",
    "archive-path",
    "extract-to-dir",
    "export",
    "copy",
    "kill",
)
IMAGES = "images"  # keys of collections stand among ids of containers


@dataclass(frozen=True, slots=True)
class _Loaded:
    containers: list[Container]


@dataclass(frozen=True, slots=True)
class _Found:
    container: Container


@dataclass(frozen=True, slots=True)
class _Gone:
    container_id: str
    at_s: float  # monotonic


@dataclass(frozen=True, slots=True)
class _Unread:
    key: str
    error: Exception


@dataclass(frozen=True, slots=True)
class Past:
    """What happened before, oldest first, and the health checks' commands of containers in it, by id."""

    happenings: list[Happening]
    probes: Mapping[str, str]


@dataclass(slots=True)
class _Batch:
    """Changes that are emitted together."""

    happened: list[Happening] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    changed: dict[str, Container] = field(default_factory=dict)
    unread: list[_Unread] = field(default_factory=list)

    def clear(self) -> None:
        self.happened, self.dropped, self.changed, self.unread = [], [], {}, []


@dataclass(frozen=True, slots=True)
class _Listed:
    collection: Collection[Any]
    items: list[Any]


_News = _Loaded | _Found | _Gone | _Unread | _Listed | Happening | EngineFacts


def _changes_images(happening: Happening) -> bool:
    return happening.kind == "image" or (happening.kind == "container" and happening.action == "commit")


class EngineSession(QObject):
    """The connection to one engine.

    Signals: loaded(list[Container]) everything at once; changed(list[Container]), dropped(list[str]); images(list
    [Image]); happened(list[Happening]); facts(EngineFacts) at each change of contact; measured(dict[str, Usage]);
    carried(Traffics), while it is wanted; unread(what, why): a read failed and will be repeated.
    """

    loaded = Signal(object)
    changed = Signal(object)
    dropped = Signal(object)
    images = Signal(object)
    happened = Signal(object)
    facts = Signal(object)
    measured = Signal(object)
    carried = Signal(object)
    unread = Signal(str, str)
    _has_news = Signal()

    def __init__(self, endpoint: Endpoint, kind: str, workers: Workers, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.endpoint, self.kind, self.workers = endpoint, kind, workers
        self.client = EngineClient(endpoint, timeout_s=CALL_LIMIT_S)
        self.now = EngineFacts(phase=EnginePhase.CONNECTING, kind=kind, address=str(endpoint))
        self._closed = threading.Event()
        self._wanted = threading.Event()
        self._poke = threading.Event()
        self._stream_lock = threading.Lock()
        self._stream: JsonStream | None = None
        self._has_timeline = True
        self._contact = 0  # counts the contacts; changed by the watcher only
        self._refresher = Refresher(self._read, self._on_unread)
        self._meter = Meter(self.client, self.measured.emit, self.carried.emit)
        self._pulse = Pulse(endpoint, self._on_silence)
        self._silent_since_s: float | None = None
        self._is_watched = False
        self._inventory = Inventory()  # on the GUI thread
        self._collections: dict[str, Collection[Any]] = {}
        self.bin = BinFeed()
        self.add(self.bin)
        self._images = self.add(
            Collection(
                IMAGES,
                tr("The list of images"),
                lambda client: [Image.from_list(entry) for entry in client.images()],
                _changes_images,
                self,
            )
        )
        self._images.changed.connect(lambda: self._inventory.set_images(self._images.items or []))
        self._applied_contact, self._in_contact = 0, False
        self._news: deque[tuple[int, _News]] = deque()
        self._batch = QTimer(self)
        self._batch.setSingleShot(True)
        self._batch.setInterval(int(BATCH_S * 1000))
        self._batch.timeout.connect(self._apply)
        self._has_news.connect(self._on_news, Qt.ConnectionType.QueuedConnection)

    # life ------------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Connect to the engine and follow it."""
        self._wanted.set()
        self.workers.lasting("watcher", self._watch)
        for number in range(READERS):
            self.workers.lasting(f"reader-{number}", self._refresher.run)
        self.workers.lasting("meter", self._meter.run)
        self.workers.lasting("pulse", self._pulse.run)

    def add(self, collection: Collection[T]) -> Collection[T]:
        """Read `collection` at each contact and after its events. Call it before `open`."""
        self._collections[collection.key] = collection
        return collection

    def retry(self) -> None:
        """Connect to the engine now, and repeat until it succeeds."""
        self._wanted.set()
        self._poke.set()

    def give_up(self) -> None:
        """Stop trying to reach the engine, until `retry`."""
        self._wanted.clear()
        self._poke.set()

    def close(self) -> None:
        """End the threads by closing their streams. The caller waits for them, then closes `client`."""
        self._closed.set()
        self._wanted.set()
        self._poke.set()
        self._refresher.close()
        self._meter.close()
        self._pulse.close()
        with self._stream_lock:
            if self._stream is not None:
                self._stream.close()

    def watch(self, on: bool) -> None:
        """Whether somebody looks at the engine: then its silence is noticed within a few seconds."""
        self._is_watched = on
        self._pulse.watch(on and self.now.phase is EnginePhase.RUNNING)

    def _on_silence(self, since_s: float) -> None:
        """In the pulse's thread: the engine does not answer any more. End the contact; the watcher seeks a new one."""
        self._silent_since_s = since_s
        with self._stream_lock:
            if self._stream is not None:
                self._stream.close()

    def measure(self, ids: Iterable[str]) -> None:
        """Measure the usage of these containers from now on; none stops the meter."""
        self._meter.want(ids)

    def measure_traffic(self, on: bool) -> None:
        """Whether to measure the traffic of the running containers in their networks from now on."""
        self._meter.want_traffic(on)

    @property
    def measures_traffic(self) -> bool:
        return self._meter.wants_traffic

    def past(self, hours: float) -> Past:
        """What happened in the last `hours`, as far as the engine remembers. Blocks; raises the client's errors."""
        now = time.time()
        with self.client.events(since=now - hours * 3600, until=now) as stream:
            happenings = [Happening.from_event(event) for event in stream]
        probes: dict[str, str] = {}
        for container_id in {h.object_id for h in happenings if h.action.startswith("exec_create")}:
            try:
                probes[container_id] = Container.from_inspect(self.client.inspect(container_id)).probe
            except ApiError as e:
                if e.status != 404:
                    raise
        return Past(happenings, probes)

    # the watcher -----------------------------------------------------------------------------------------------------

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
            if self._silent_since_s is not None:
                problem = tr("no answer since {time}", time=clock(self._silent_since_s))
            if not told_lost:
                phase = EnginePhase.LOST if seen_once else EnginePhase.STOPPED
                self._set_facts(replace(self.now, phase=phase, problem=problem, since_s=time.time()))
                told_lost = True
            self._poke.wait(RETRY_S[min(failures, len(RETRY_S) - 1)])
            self._poke.clear()
            failures += 1

    def _follow(self) -> None:
        """Follow one contact from the first reply to its end. Raises the client's errors."""
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
            self._contact += 1
            self._meter.expect_stream()
            self._has_timeline = True
            self._set_facts(
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
            self._publish(_Loaded(containers))
            self._silent_since_s = None
            self._pulse.watch(self._is_watched)
            for key in self._collections:
                self._refresher.want(key)
            # The list lacks times and reasons of an end. Inspect each container later, after those that events name.
            self._refresher.want_later([container.id for container in containers])
            for event in stream:
                self._take(Happening.from_event(event))
                if self._closed.is_set():
                    return
        finally:
            self._refresher.clear()
            with self._stream_lock:
                self._stream = None
            stream.close()

    def _take(self, happening: Happening) -> None:
        self._publish(happening)
        if happening.kind == "container":
            if happening.action == "destroy":
                self._refresher.forget(happening.object_id)
                self._publish(_Gone(happening.object_id, time.monotonic()))
            elif happening.action != "commit" and not happening.action.startswith(QUIET_ACTIONS):
                self._refresher.want(happening.object_id)
        elif happening.kind == "network" and (container_id := happening.attributes.get("container")):
            self._refresher.want(container_id)  # its addresses have changed
        for key, collection in self._collections.items():
            if collection.is_changed_by(happening):
                self._refresher.want(key)

    # the readers -----------------------------------------------------------------------------------------------------

    def _read(self, key: str) -> None:
        """Read the object named by `key` and publish it. Raises the client's errors."""
        contact, asked_s = self._contact, time.monotonic()
        try:
            if (collection := self._collections.get(key)) is not None:
                self._publish(_Listed(collection, collection.read(self.client)), contact)
            else:
                self._publish(_Found(self.inspect(key)), contact)
        except ApiError as e:
            if e.status != 404 or key in self._collections:
                raise
            self._publish(_Gone(key, asked_s), contact)
        except (KeyError, ValueError, TypeError, AttributeError) as e:
            raise ProtocolError(f"the engine's answer has another shape than it should: {e!r}") from e

    def inspect(self, container_id: str) -> Container:
        """The container, and who ended it, if it looks as if it had failed. Blocks; raises the client's errors."""
        asked_s = time.monotonic()
        container = replace(Container.from_inspect(self.client.inspect(container_id)), asked_s=asked_s)
        if container.status != "exited" or not container.exit_code or not self._has_timeline:
            return container
        try:
            told = self.client.timeline(container_id)
        except ApiError as e:
            if e.status != 404:
                raise
            self.client.inspect(container_id)  # raises if only the container is gone
            self._has_timeline = False  # not Cove's engine
            return container
        return replace(container, ended_by=str(told.get("ended_by", "")))

    def _on_unread(self, key: str, error: Exception, attempts: int) -> None:
        # A failed connection is published only at its second attempt: if contact is lost, the watcher publishes that
        # and no read is repeated.
        if attempts == (1 if isinstance(error, ApiError) else 2):
            self._publish(_Unread(key, error))

    # news, to the GUI thread -----------------------------------------------------------------------------------------

    def _set_facts(self, facts: EngineFacts) -> None:
        self.now = facts
        self._publish(facts)

    def _publish(self, news: _News, contact: int | None = None) -> None:
        """Queue `news` from the contact of number `contact` (None: the present one)."""
        self._news.append((self._contact if contact is None else contact, news))
        self._has_news.emit()

    @Slot()
    def _on_news(self) -> None:
        if self._news and not self._batch.isActive():
            self._batch.start()

    def _apply(self) -> None:
        """Apply the queued results, and emit each kind of change once."""
        if self._closed.is_set():
            return
        batch = _Batch()
        while self._news:
            contact, news = self._news.popleft()
            if isinstance(news, Happening):
                batch.happened.append(news)
            elif isinstance(news, EngineFacts):
                self._emit(batch)
                self._in_contact = news.phase is EnginePhase.RUNNING
                self.facts.emit(news)
            elif isinstance(news, _Loaded):
                self._emit(batch)
                self._applied_contact = contact
                self._inventory.load(news.containers)
                self.loaded.emit(news.containers)
            elif self._in_contact and contact == self._applied_contact:
                self._apply_one(news, batch)
        self._emit(batch)

    def _apply_one(self, news: _Found | _Gone | _Unread | _Listed, batch: _Batch) -> None:
        if isinstance(news, _Found):
            if self._inventory.put(news.container):
                batch.changed[news.container.id] = self._inventory.known(
                    news.container
                )  # it may be back: `dropped` is told before `changed`
        elif isinstance(news, _Gone):
            if self._inventory.drop(news.container_id, news.at_s):
                batch.changed.pop(news.container_id, None)
                batch.dropped.append(news.container_id)
        elif isinstance(news, _Unread):
            batch.unread.append(news)
        else:
            news.collection.set_items(news.items)

    def _emit(self, batch: _Batch) -> None:
        """Emit the changes in `batch` and empty it."""
        if batch.happened:
            self.happened.emit(batch.happened)
        if batch.dropped:
            self.dropped.emit(batch.dropped)
        if batch.changed:
            self.changed.emit(list(batch.changed.values()))
        if (images := self._inventory.changed_images()) is not None:
            self.images.emit(images)
        for each in batch.unread:
            name = self._inventory.name_of(each.key)
            listed = self._collections.get(each.key)
            what = listed.title if listed is not None else tr("Container {name}", name=name)
            self.unread.emit(what, str(each.error))
        batch.clear()

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
        restorable: bool = False,
    ) -> None:
        """`start`, `stop`, `restart`, `pause`, `resume`, `kill` or `delete`, then update its row, then call `done`.
        `restorable`: it is deleted into the bin."""
        client, container_id = self.client, container.id
        calls: Mapping[str, Callable[[], None]] = {
            "start": lambda: client.start(container_id),
            "stop": lambda: client.stop(container_id),
            "restart": lambda: client.restart(container_id),
            "pause": lambda: client.pause(container_id),
            "resume": lambda: client.unpause(container_id),
            "kill": lambda: client.kill(container_id),
            "delete": lambda: self._remove(container_id, force=force, volumes=volumes, restorable=restorable),
        }

        def job() -> Container | None:
            calls[verb]()
            if verb == "delete":
                return None
            try:
                return self.inspect(container_id)
            except ApiError as e:
                if e.status == 404:  # `--rm` deleted it at its end
                    return None
                raise

        def answered(fresh: Container | None) -> None:
            done()
            if fresh is not None:
                self.put(fresh)

        self.workers.run(job, answered, failed)

    def _remove(self, container_id: str, *, force: bool, volumes: bool, restorable: bool) -> None:
        """In a worker."""
        if restorable:
            bin.remove_container(self.client, container_id, force=force, volumes=volumes)
        else:
            self.client.remove(container_id, force=force, volumes=volumes)

    def put(self, fresh: Container) -> None:
        """Take what a verb has made of a container, by `inspect`, before the engine's event tells it."""
        if self._in_contact and self._inventory.put(fresh):
            self.changed.emit([self._inventory.known(fresh)])
