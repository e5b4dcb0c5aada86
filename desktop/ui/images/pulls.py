"""Pulls without a run."""

from __future__ import annotations

from PySide6.QtCore import QObject

from desktop.client.engine import EngineClient, PullStream
from desktop.ui.feed.image import wrong_reference
from desktop.ui.feed.session import EngineSession
from desktop.ui.images.exchange import Exchange, ExchangeDialog
from desktop.ui.kit.dialogs import OneField
from desktop.ui.kit.page import Desk
from desktop.ui.kit.words import tr


class PullTask(Exchange):
    """One running pull."""

    def ask(self, client: EngineClient) -> PullStream:
        return client.pull(self.reference)

    @property
    def title(self) -> str:
        return tr("Pulling {image}", image=self.reference)

    @property
    def verb(self) -> str:
        return tr("Pull {image}", image=self.reference)

    @property
    def done(self) -> str:
        return tr("{image} was pulled", image=self.reference)

    @property
    def failed(self) -> str:
        return tr("{image} was not pulled", image=self.reference)


class Pulls(QObject):
    """Pulls of this window, each a task with its dialog."""

    def __init__(self, desk: Desk, session: EngineSession, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._desk, self._session = desk, session

    def ask(self) -> None:
        """Ask for an image's name, then pull it."""
        desk = self._desk
        OneField(
            desk.theme,
            desk.icons,
            desk.window,
            title=tr("Pull an image"),
            fact=tr("Its layers are fetched from its registry, and every digest is checked."),
            hint="debian:trixie",
            verb=tr("Pull"),
            icon="download-simple",
            sure=self.start,
            wrong=wrong_reference,
        ).open()

    def start(self, reference: str) -> None:
        task = PullTask(self._session, reference, self._open, self.start, self)
        self._desk.tasks.add(task)
        task.start()
        self._open(task)

    def _open(self, task: Exchange) -> None:
        ExchangeDialog(self._desk, task).open()
