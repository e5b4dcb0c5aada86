"""All runs of this window: started from the dialog, the palette, the tray or a page; each is a task."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from PySide6.QtCore import QObject, QSettings, Signal

from desktop.ui.containers.model import ContainerModel
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.page import Desk, Place
from desktop.ui.kit.states import State
from desktop.ui.kit.toasts import Message
from desktop.ui.kit.words import tr
from desktop.ui.run.dialog import RunDialog
from desktop.ui.run.options import BadOption, RunWish
from desktop.ui.run.recent import RecentRuns
from desktop.ui.run.run import Run, UsualTimes


class Runs(QObject):
    """Starts runs and keeps them. Signals: changed(Run)."""

    changed = Signal(object)

    def __init__(
        self,
        desk: Desk,
        session: EngineSession,
        model: ContainerModel,
        images: Callable[[], Iterable[str]],
        settings: QSettings,
        is_shown: Callable[[Place], bool],
        parent: QObject | None = None,
    ) -> None:
        """`images()` are the names that the dialog completes; `is_shown(place)`: the user looks at it."""
        super().__init__(parent)
        self._desk, self._session, self._model, self._images = desk, session, model, images
        self._is_shown = is_shown
        self._usual, self._recent = UsualTimes(settings), RecentRuns(settings)
        self._runs: dict[str, Run] = {}

    def all(self) -> list[Run]:
        return list(self._runs.values())

    def of(self, key: str) -> Run | None:
        return self._runs.get(key)

    def recent(self) -> list[RunWish]:
        """The last runs. A name that a container has now is removed, because a second container cannot have it."""
        taken = {container.name for container in self._model.containers()}
        return [replace(wish, name="") if wish.name in taken else wish for wish in self._recent.all()]

    def ask(self, wish: RunWish, focus: str = "") -> None:
        """Open the run dialog, filled in with `wish`."""
        desk = self._desk
        known = wish.image and self._recent.of(wish.image)
        is_last = known and wish.ports == known.ports and known != RunWish(image=wish.image)
        note = tr("filled in from your last run") if is_last else ""
        RunDialog(
            desk.theme,
            desk.icons,
            desk.window,
            wish=wish,
            images=list(self._images()),
            run=self._start,
            focus=focus,
            note=note,
        ).open()

    def ask_image(self, image: str) -> None:
        """Open the run dialog for `image`, as it was run last."""
        self.ask(self._recent.of(image) or RunWish(image=image))

    def start(self, wish: RunWish, at: Place | None = None) -> Run | None:
        """Run an image and show its five steps, `at` a place that shows them itself, or on the page of runs. None: an
        option is wrong, and the dialog is open again."""

        def show(run: Run) -> None:
            self._desk.go(at or Place("run", run.key))

        def report(run: Run) -> Message | None:
            return self._report(run, at or Place("run", run.key), show)

        run = Run(self._session, wish, self._usual, show, report, self)
        try:
            run.start()
        except BadOption:
            self.ask(wish)
            return None
        self._runs[run.key] = run
        run.changed.connect(lambda: self.changed.emit(run))
        self._desk.tasks.add(run)
        if at is None:
            show(run)
        return run

    def _start(self, wish: RunWish) -> None:
        self.start(wish)

    def _report(self, run: Run, place: Place, show: Callable[[Run], None]) -> Message | None:
        if run.error is None and not run.is_cancelled:
            self._recent.add(run.wish)
        if self._is_shown(place) or run.is_cancelled:
            return None
        image = run.wish.image
        if run.error is not None:
            action = (tr("Show"), lambda: show(run))
            return Message(tr("{image} did not run", image=image), str(run.error), State.PROBLEM, (action,))
        opened = (tr("Open"), lambda: self._desk.go(Place("container", run.container_id, "logs")))
        return Message(tr("{image} runs", image=image), actions=(opened,))
