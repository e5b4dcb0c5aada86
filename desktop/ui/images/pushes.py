"""Pushes: an image goes to the registry that its name begins with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QObject

from desktop.client import reference
from desktop.client.engine import EngineClient, PullStream
from desktop.ui.feed.image import wrong_reference
from desktop.ui.feed.session import EngineSession
from desktop.ui.images.exchange import Exchange, ExchangeDialog
from desktop.ui.images.model import NamedImage
from desktop.ui.kit.dialogs import OneField
from desktop.ui.kit.page import Desk, Place
from desktop.ui.kit.words import tr

# What registries say to a client that has no login, or one that may not write there.
NOT_LET_IN = ("denied", "unauthorized", "authentication required", "no basic auth", "401", "403")


class PushTask(Exchange):
    """One running push of `image` under the name `target`, which the image gets first if it lacks it."""

    def __init__(
        self,
        session: EngineSession,
        image: str,
        target: str,
        shown: Callable[[Exchange], None],
        again: Callable[[str], None],
        log_in: Callable[[], None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(session, target, shown, again, parent, is_push=True)
        self._image, self._log_in = image, log_in

    def ask(self, client: EngineClient) -> PullStream:
        wanted = reference.parse(self.reference)
        if str(wanted) != self._image:
            client.tag(self._image, wanted.repository, wanted.version)
        return client.push(wanted)

    @property
    def title(self) -> str:
        return tr("Pushing {image}", image=self.reference)

    @property
    def verb(self) -> str:
        return tr("Push {image}", image=self.reference)

    @property
    def done(self) -> str:
        return tr("{image} was pushed", image=self.reference)

    @property
    def failed(self) -> str:
        return tr("{image} was not pushed", image=self.reference)

    @property
    def after_cancel(self) -> str:
        return tr("Cancelled; layers that the registry already got may stay there.")

    def remedies(self) -> Sequence[tuple[str, Callable[[], None]]]:
        found = super().remedies()
        if any(word in self.problem.lower() for word in NOT_LET_IN):
            return (*found, (tr("Show registries"), self._log_in))
        return found


class Pushes:
    """Asks where to, then pushes, each push a task with its dialog."""

    def __init__(self, desk: Desk, session: EngineSession) -> None:
        self._desk, self._session = desk, session

    def ask(self, row: NamedImage) -> None:
        """Ask for the name at the registry, then push."""
        desk = self._desk
        OneField(
            desk.theme,
            desk.icons,
            desk.window,
            title=tr("Push {name}", name="".join(row.title)),
            fact=tr(
                "The name says where to: registry.example/app:1 is sent to registry.example, a name without a registry "
                "to Docker Hub. Whoever may read there can then pull it."
            ),
            hint=tr("Name at the registry"),
            verb=tr("Push"),
            icon="upload-simple",
            sure=lambda target: self.start(row.key, target),
            wrong=wrong_target,
            text=row.tag,
        ).open()

    def start(self, image: str, target: str) -> None:
        """Push `image` under the name `target`."""
        desk = self._desk

        def again(_target: str) -> None:
            self.start(image, target)

        task = PushTask(
            self._session, image, target, self._open, again, lambda: desk.go(Place("registries")), desk.window
        )
        desk.tasks.add(task)
        task.start()
        self._open(task)

    def _open(self, task: Exchange) -> None:
        ExchangeDialog(self._desk, task).open()


def wrong_target(text: str) -> str:
    """Why nothing can be pushed under the name `text`; empty if it can."""
    if wrong := wrong_reference(text):
        return wrong
    return tr("A digest cannot be pushed; name a tag.") if reference.parse(text).digest else ""
