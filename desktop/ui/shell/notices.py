"""What the desktop is told while nobody looks at the window: finished work, and containers that ended by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from PySide6.QtCore import QObject, Signal

from desktop.ui.feed.container import Container
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.states import State
from desktop.ui.kit.toasts import Message, Toasts
from desktop.ui.kit.words import tr


class Notices(QObject):
    """Signals: told(Message) for the desktop's notifications."""

    told = Signal(object)

    def __init__(
        self, session: EngineSession, toasts: Toasts, is_looked_at: Callable[[], bool], parent: QObject
    ) -> None:
        super().__init__(parent)
        self._is_looked_at = is_looked_at
        self._running: set[str] = set()
        session.loaded.connect(self._on_loaded)
        session.changed.connect(self._on_changed)
        toasts.kept.connect(self._tell)

    def _tell(self, message: Message) -> None:
        if not self._is_looked_at():
            self.told.emit(message)

    def _on_loaded(self, containers: Iterable[Container]) -> None:
        self._running = {container.id for container in containers if container.is_running}

    def _on_changed(self, containers: Iterable[Container]) -> None:
        for container in containers:
            if container.is_running:
                self._running.add(container.id)
            elif container.id in self._running:
                self._running.discard(container.id)
                if container.status == "exited" and container.state is State.PROBLEM:
                    self._tell(_ended(container))


def _ended(container: Container) -> Message:
    if container.oom_killed:
        fact = tr("It ran out of memory.")
    else:
        fact = tr("Its exit status is {code}.", code=container.exit_code)
    return Message(tr("{name} ended", name=container.name), fact, State.PROBLEM)
