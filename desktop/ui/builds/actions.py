"""Cancelling and forgetting builds, and cleaning up the build cache. What is deleted was named in a dialog before."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QFontMetrics

from desktop.client import builds
from desktop.client.builds import Build, CacheItem
from desktop.ui.builds.model import title
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.cleanup import Choice, CleanUp
from desktop.ui.kit.dialogs import Question
from desktop.ui.kit.page import Desk
from desktop.ui.kit.states import State
from desktop.ui.kit.words import counted, disk, sentence, tr

SHOWN_WIDTH = 350  # pixels of a record's description


class BuildActions:
    def __init__(self, desk: Desk, session: EngineSession) -> None:
        self._desk, self._session = desk, session

    def cancel(self, build: Build) -> None:
        """End a build that runs; nothing is lost that the cache does not have."""
        client = self._session.client
        self._run(lambda: builds.cancel(client, build.id), tr("The build could not be cancelled"))

    def ask_delete(self, chosen: Sequence[Build]) -> None:
        ended = [build for build in chosen if build.state != "running"]
        if not ended:
            return
        one = tr("Delete the build of {name} from the history?", name=title(ended[0]))
        many = tr("Delete {n} builds from the history?", n=len(ended))
        facts = [tr("Images and the build cache stay."), tr("This cannot be undone.")]
        Question(
            self._desk.theme,
            self._desk.icons,
            self._desk.window,
            title=one if len(ended) == 1 else many,
            facts=facts,
            verb=tr("Delete") if len(ended) == 1 else tr("Delete {n}", n=len(ended)),
            names=[title(build) for build in ended] if len(ended) > 1 else (),
            sure=lambda _checked: self._delete(ended),
        ).open()

    def _delete(self, chosen: Sequence[Build]) -> None:
        client = self._session.client
        for build in chosen:  # each by itself: one that another client has deleted meanwhile keeps no other one
            problem = tr("The build of {name} could not be deleted", name=title(build))
            self._run(lambda build=build: builds.delete(client, build.id), problem)  # type: ignore[misc]

    def ask_clean_up(self) -> None:
        """Read what the build cache holds, then ask what of it may go."""
        client = self._session.client
        self._session.workers.run(lambda: builds.cache(client), self._offer, self._failed(tr("The build cache")))

    def _offer(self, items: Sequence[CacheItem]) -> None:
        free = sorted((item for item in items if not item.in_use), key=lambda item: -item.size)
        if not free:
            self._desk.toasts.tell(
                tr("Nothing to clean up"), tr("The build cache is empty, or a build uses all of it.")
            )
            return

        def verb(chosen: Sequence[Choice]) -> str:
            text = counted(len(chosen), "Delete {n} record", "Delete {n} records")
            return tr("{text}, {size}", text=text, size=disk(sum(c.size or 0 for c in chosen))) if chosen else text

        CleanUp(
            self._desk,
            title=tr("Clean up the build cache"),
            sentence=tr("Builds repeat the steps whose records are gone. Images stay as they are."),
            choices=[
                Choice(
                    key=item.id,
                    text=self._shortened(item.description or item.id),
                    note="" if item.kind == "regular" else item.kind,
                    size=item.size,
                )
                for item in free
            ],
            verb=verb,
            sure=self._prune,
        ).open()

    def _prune(self, ids: Sequence[str]) -> None:
        client, toasts = self._session.client, self._desk.toasts

        def told(freed: int) -> None:
            fact = tr("{size} are free again.", size=disk(freed))
            toasts.tell(tr("The build cache was cleaned up"), fact, State.DONE)

        failed = self._failed(tr("The build cache could not be cleaned up"))
        self._session.workers.run(lambda: builds.prune(client, ids), told, failed)

    def _run(self, job: Callable[[], None], problem: str) -> None:
        self._session.workers.run(job, None, self._failed(problem))

    def _failed(self, problem: str) -> Callable[[Exception], None]:
        toasts = self._desk.toasts
        return lambda error: toasts.tell(problem, sentence(str(error)), State.PROBLEM)

    def _shortened(self, text: str) -> str:
        metrics = QFontMetrics(self._desk.theme.font("body"))
        return metrics.elidedText(" ".join(text.split()), Qt.TextElideMode.ElideRight, SHOWN_WIDTH)
