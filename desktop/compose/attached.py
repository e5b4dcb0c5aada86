"""The output of several containers in one view: aligned prefixes, a colour for each, whole lines only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from desktop.client.engine import ApiError, ConnectionFailed, EngineClient, ProtocolError
from desktop.client.wire import Frame
from desktop.compose import labels
from desktop.compose.state import Container

# docker compose's colours in its order: cyan, yellow, green, magenta, blue, and their bright forms.
_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
_LONGEST_LINE = 1024 * 1024  # what a program writes without a line end is shown in pieces

Write = Callable[[int, bytes], None]  # the stream (1 or 2), and what to write


@dataclass
class Printer:
    """Writes lines of containers, each after its container's name. Thread-safe."""

    write: Write
    project: str
    colours: bool = False
    prefixes: bool = True
    _width: int = 0
    _assigned: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, containers: Iterable[Container]) -> None:
        """Align for these names too."""
        with self._lock:
            for one in containers:
                self._name(one)

    def _name(self, one: Container) -> str:
        name = self._assigned.setdefault(one.id, self.short(one))
        self._width = max(self._width, len(name))
        return name

    def short(self, one: Container) -> str:
        """The container's name without the project's."""
        rest = one.name.removeprefix(self.project)
        return rest[1:] if rest != one.name and rest[:1] in ("-", "_") else one.name

    def line(self, one: Container, stream: int, line: bytes) -> None:
        """Write one line, without its line end."""
        with self._lock:
            name = self._name(one)
            if not self.prefixes:
                self.write(stream, line + b"\n")
                return
            prefix = f"{name:<{self._width}}  | "
            if self.colours:
                colour = _COLOURS[list(self._assigned).index(one.id) % len(_COLOURS)]
                prefix = f"\x1b[{colour}m{prefix}\x1b[0m"
            self.write(stream, prefix.encode() + line + b"\n")

    def note(self, text: str) -> None:
        """Write a line of our own."""
        with self._lock:
            self.write(1, text.encode() + b"\n")


class Lines:
    """Cuts the frames of one container into lines, for each stream by itself."""

    def __init__(self, take: Callable[[int, bytes], None]) -> None:
        self._take = take
        self._rest = {1: b"", 2: b""}

    def feed(self, frame: Frame) -> None:
        stream = 2 if frame.stream == 2 else 1
        *lines, rest = (self._rest[stream] + frame.data).split(b"\n")
        for line in lines:
            self._take(stream, line.removesuffix(b"\r"))
        if len(rest) > _LONGEST_LINE:
            self._take(stream, rest)
            rest = b""
        self._rest[stream] = rest

    def end(self) -> None:
        for stream, rest in self._rest.items():
            if rest:
                self._take(stream, rest)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """`logs`' flags, as the API takes them."""

    follow: bool = False
    tail: str | None = None
    timestamps: bool = False
    since: str | None = None
    until: str | None = None


def show(client: EngineClient, one: Container, printer: Printer, options: LogOptions) -> None:
    """Print a container's log to its end. Raises ApiError, ConnectionFailed."""
    lines = Lines(lambda stream, line: printer.line(one, stream, line))
    frames = client.logs(
        one.id, options.follow, options.tail, options.timestamps, since=options.since, until=options.until
    )
    with frames:
        for frame in frames:
            lines.feed(frame)
    lines.end()


def logs(client: EngineClient, containers: list[Container], printer: Printer, options: LogOptions) -> None:
    """Print the logs of several containers: one after the other, or all at once while they are followed."""
    printer.add(containers)
    if not options.follow:
        for one in containers:
            show(client, one, printer, options)
        return
    failures: list[Exception] = []

    def follow(one: Container) -> None:
        try:
            show(client, one, printer, options)
        except (ApiError, ConnectionFailed, ProtocolError) as e:
            failures.append(e)

    threads = [threading.Thread(target=follow, args=(one,), name=f"logs {one.name}", daemon=True) for one in containers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


class Attached:
    """Shows what a project's containers write from their start on, until all have ended.

    Create it before the start, call `watch` after it. `until` says after each end whether to stop watching.
    """

    def __init__(
        self, client: EngineClient, project: str, shown: Callable[[Container], bool], printer: Printer
    ) -> None:
        self._client = client
        self._shown = shown
        self._printer = printer
        self._threads: dict[str, threading.Thread] = {}
        self._known: dict[str, Container] = {}
        self._statuses: dict[str, int] = {}
        filters = {"label": [f"{labels.PROJECT}={project}"], "type": ["container"], "event": ["start", "die"]}
        self._events = client.events(filters=filters)
        self._stream = iter(self._events)

    def close(self) -> None:
        """End `watch` from another thread."""
        self._events.close()

    def follow(self, one: Container, options: LogOptions) -> None:
        """Print what the container writes. Returns at once."""
        self._known[one.id] = one
        if not self._shown(one):
            return
        before = self._threads.get(one.id)

        def run() -> None:
            if before is not None:
                before.join()
            try:
                show(self._client, one, self._printer, options)
            except (ApiError, ConnectionFailed, ProtocolError) as e:
                self._printer.note(f"{one.name}: its output cannot be read: {e}")

        self._threads[one.id] = threading.Thread(target=run, name=f"logs {one.name}", daemon=True)
        self._threads[one.id].start()

    def watch(
        self,
        containers: Iterable[Container],
        until: Callable[[Container, int], bool],
        goes_on: Callable[[], bool] = lambda: False,
    ) -> None:
        """Return when none of `containers` runs any more, or `until(container, status)` is true for one that ended.

        While `goes_on()` is true it goes on also then, and follows the containers that take the place of others.
        """
        every = {one.id: one for one in containers}
        self._known.update(every)
        running = {id for id in every if self._runs(id)}
        # What ended before this moment has its event in the stream, or its end is seen here.
        for id in every.keys() - running:
            if self._report_end(every[id], self._client.inspect(id)["State"]["ExitCode"], until):
                return
        while running or goes_on():
            event = next(self._stream, None)
            if event is None:
                return
            id = event["Actor"]["ID"]
            if id not in every:
                if not goes_on() or event["Action"] != "start":
                    continue
                every[id] = _of_event(event)
            if event["Action"] == "start":
                if id not in running:
                    running.add(id)
                    self._statuses.pop(id, None)
                    finished = self._client.inspect(id)["State"].get("FinishedAt") or None
                    self.follow(every[id], LogOptions(follow=True, since=finished))
            elif id in running and not self._runs(id):
                running.discard(id)
                if self._report_end(every[id], int(event["Actor"]["Attributes"].get("exitCode") or 0), until):
                    return

    def _runs(self, id: str) -> bool:
        try:
            state = self._client.inspect(id)["State"]
        except ApiError:
            return False  # it was removed
        return bool(state["Running"] or state.get("Restarting"))

    def _report_end(self, one: Container, status: int, until: Callable[[Container, int], bool]) -> bool:
        if one.id in self._statuses:
            return False
        self._statuses[one.id] = status
        if (thread := self._threads.get(one.id)) is not None:
            thread.join()
        if self._shown(one):
            self._printer.note(f"{self._printer.short(one)} exited with code {status}")
        return until(one, status)


def _of_event(event: dict[str, Any]) -> Container:
    marks = event["Actor"]["Attributes"]
    number = str(marks.get(labels.NUMBER, ""))
    return Container(
        event["Actor"]["ID"], marks["name"], marks.get(labels.SERVICE, ""), int(number) if number.isdecimal() else 0,
        "running", marks, {},
    )  # fmt: skip
