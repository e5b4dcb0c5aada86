"""What the engine tells of builds, read in threads: the list with its changes, and the reports of one build."""

from __future__ import annotations

import threading
from collections.abc import Callable

from PySide6.QtCore import QObject, Signal

from desktop.client import builds
from desktop.client.api import JsonStream
from desktop.client.builds import Build, Report
from desktop.client.engine import ApiError
from desktop.ui.feed.session import EngineSession
from desktop.ui.feed.workers import FAILURES

RETRY_S = 2.0


class _Follower:
    """A stream that is opened again after a lost contact, closable from the GUI thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stream: JsonStream | None = None
        self.closed = threading.Event()

    def hold(self, stream: JsonStream) -> None:
        with self._lock:
            self._stream = stream
        if self.closed.is_set():
            stream.close()

    def run(self, read: Callable[[], bool]) -> None:
        """Call `read` until it says that it has read all, or the engine that it knows no such thing."""
        while not self.closed.is_set():
            try:
                if read():
                    return
            except ApiError as e:
                if e.status == 404:
                    return
            except FAILURES:
                pass  # a lost contact is told by the session; this tries again
            self.closed.wait(RETRY_S)

    def close(self) -> None:
        self.closed.set()
        with self._lock:
            if self._stream is not None:
                self._stream.close()


class BuildsFeed(QObject):
    """All builds, from `open` until `close`. Signals: changed()."""

    changed = Signal()

    def __init__(self, session: EngineSession, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._follower: _Follower | None = None
        self.builds: dict[str, Build] = {}

    def open(self) -> None:
        if self._follower is None:
            follower = self._follower = _Follower()
            self._session.workers.lasting("builds", lambda: self._follow(follower))

    def close(self) -> None:
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    def _follow(self, follower: _Follower) -> None:
        here, client = self._session.workers.here, self._session.client

        def read() -> bool:
            with builds.follow(client) as stream:
                follower.hold(stream)
                known = builds.listed(client)
                here(lambda: self._begin(follower, known))
                for change in builds.changes(stream):
                    here(lambda change=change: self._take(follower, change))  # type: ignore[misc]
            return False

        follower.run(read)  # ends with 404 where it is not Cove's engine, which alone tells of builds

    def _begin(self, follower: _Follower, known: list[Build]) -> None:
        """What there is now; the stream tells of every change since before that was asked for."""
        if follower is self._follower:
            self.builds = {build.id: build for build in known}
            self.changed.emit()

    def _take(self, follower: _Follower, change: builds.Change) -> None:
        if follower is not self._follower:
            return
        if change.build is not None:
            self.builds[change.build.id] = change.build
        else:
            self.builds.pop(change.deleted, None)
        self.changed.emit()


class BuildReports:
    """The reports of the build that is shown: `show` begins, `close` ends. On the GUI thread are called `begun()`: all
    reports come from the first one on, also after a lost contact; `told(report)`; `ended()`: no more will come."""

    def __init__(
        self,
        session: EngineSession,
        begun: Callable[[], None],
        told: Callable[[Report], None],
        ended: Callable[[], None],
    ) -> None:
        self._session, self._begun, self._told, self._ended = session, begun, told, ended
        self._follower: _Follower | None = None

    def show(self, build_id: str) -> None:
        self.close()
        follower = self._follower = _Follower()
        self._session.workers.lasting("build", lambda: self._follow(follower, build_id))

    def close(self) -> None:
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    def _follow(self, follower: _Follower, build_id: str) -> None:
        def here(call: Callable[[], None]) -> None:
            self._session.workers.here(lambda: call() if follower is self._follower else None)

        def read() -> bool:
            with builds.log(self._session.client, build_id) as stream:
                follower.hold(stream)
                here(self._begun)
                for report in builds.reports(stream):
                    here(lambda report=report: self._told(report))  # type: ignore[misc]
            return True

        follower.run(read)
        here(self._ended)
