"""Building the images of a project's services, as one task."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from desktop.client.engine import EngineClient
from desktop.ui.compose.applying import Asked, load
from desktop.ui.compose.failures import FailedBuild
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.page import Desk, Place
from desktop.ui.kit.states import State
from desktop.ui.kit.tasks import Task
from desktop.ui.kit.toasts import Message
from desktop.ui.kit.words import listed, sentence, tr

if TYPE_CHECKING:  # compose is loaded when a file is read: the window starts without it
    from desktop.compose.model.service import Service

_STEP = re.compile(r"\[(.+?)\] Step (\d+)/(\d+) : ")


class BuildImages(Task):
    """Builds every service of a project that has a `build`, all at once. `built` are their names at the end."""

    def __init__(self, desk: Desk, session: EngineSession, asked: Asked, bring_up: Callable[[], None]) -> None:
        """`asked` has the project's name. `bring_up` asks to bring it up: for the message at the end."""
        super().__init__(session)
        self._desk, self._session, self._asked, self._bring_up = desk, session, asked, bring_up
        self._client = EngineClient(session.client.endpoint, session.client.timeout_s)  # its own: cancel ends its calls
        self._lock = threading.Lock()
        self._steps: dict[str, tuple[int, int]] = {}  # by service: the step that runs, and how many there are
        self._count = 0
        self._failed = ""  # the id of the build that has failed, if the engine tells of builds
        self.built: list[str] = []

    @property
    def title(self) -> str:
        with self._lock:
            steps = [tr("{service} {at}/{of}", service=one, at=at, of=of) for one, (at, of) in self._steps.items()]
        if not steps:
            return tr("Building {name}", name=self._asked.name)
        return tr("Building {name}: {steps}", name=self._asked.name, steps=listed(steps))

    @property
    def fraction(self) -> float | None:
        """Of the steps, once every build has said how many it has."""
        with self._lock:
            if not self._steps or len(self._steps) < self._count:
                return None
            return sum(at - 1 for at, _ in self._steps.values()) / sum(of for _, of in self._steps.values())

    def start(self) -> None:
        self._session.workers.run_long(self._work, self.end, lambda e: self.end(str(e)))

    def _work(self) -> str:
        """Returns the problem; empty for success. Raises ApiError, ConnectionFailed."""
        from desktop.compose import order
        from desktop.compose.errors import ComposeError
        from desktop.compose.images import EngineImages

        with self._client:
            failed = FailedBuild(self._client)
            try:
                project = load(self._asked, {}, lambda _told_by_a_check: None)
                services = {name: one for name, one in project.services.items() if one.build is not None}
                self._count = len(services)
                images = EngineImages(self._client, project, lambda _what, _status: None, self._on_line)

                def build(service: Service) -> None:
                    images.build(service, project.image_of(service))
                    with self._lock:
                        self.built.append(service.name)

                order.together(services.values(), build)
            except ComposeError as e:
                place = "" if self.is_cancelled else failed.place()
                self._failed = failed.id
                return f"{e}{place}"
        return ""

    def _on_line(self, line: str) -> None:
        """A line of one of the builds, in its thread."""
        if found := _STEP.match(line):
            with self._lock:
                self._steps[found[1]] = (int(found[2]), int(found[3]))
            self._session.workers.here(self.changed.emit)

    def show(self) -> None:
        self._desk.go(Place("builds", self._failed))

    def cancel(self) -> None:
        self.is_cancelled = True
        self._client.abort()

    def report(self) -> Message:
        name = self._asked.name
        if self.problem:
            title, shown = tr("{name} was not built", name=name), (tr("Show the build"), self.show)
            return Message(title, sentence(self.problem), State.PROBLEM, (shown,) if self._failed else ())
        if self.is_cancelled:
            return Message(tr("{name} was not built", name=name), tr("Cancelled."), State.STOPPED)
        if not self.built:
            title = tr("Nothing of {name} is built", name=name)
            return Message(title, tr("No service in its file has a build."), State.UNKNOWN)
        fact = tr(
            "New images: {names}. Containers get them when the project is brought up.", names=listed(sorted(self.built))
        )
        return Message(tr("{name} is built", name=name), fact, actions=((tr("Bring up…"), self._bring_up),))
