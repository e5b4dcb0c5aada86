"""Deletions that can be undone: one message with Undo for all that were deleted together, and Ctrl+Z for the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from desktop.client import bin
from desktop.client.api import ApiError
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.dialogs import OneField
from desktop.ui.kit.page import Desk, Place
from desktop.ui.kit.states import State
from desktop.ui.kit.words import counted, listed, sentence, shortened, tr


@dataclass(frozen=True, slots=True)
class Gone:
    """One thing that was deleted into the bin. `ref`: by what the bin knows it (an entry's id, a container's id, a
    volume's name)."""

    ref: str
    name: str


class Deletion:
    """Several deletions that were asked for together. `over()` is called for each that has ended."""

    def __init__(self, undo: Undo, count: int) -> None:
        self._undo, self._left = undo, count
        self._gone: list[Gone] = []

    def over(self, gone: Gone | None) -> None:
        """One has ended; None: it failed, as was said already."""
        self._left -= 1
        if gone is not None:
            self._gone.append(gone)
        if not self._left and self._gone:
            self._undo.tell(self._gone)


class Undo:
    """Tells of deletions, and takes them back."""

    def __init__(self, desk: Desk, session: EngineSession) -> None:
        self._desk, self._session = desk, session
        self._last: Sequence[Gone] = ()

    @property
    def can(self) -> bool:
        """Whether what is deleted now can be brought back."""
        return self._session.bin.is_there

    @property
    def fact(self) -> str:
        """What a question before a deletion says of it."""
        if self.can:
            return tr("It can be brought back from the bin for 24 hours, and takes its space until then.")
        return tr("This cannot be undone.")

    def begin(self, count: int) -> Deletion:
        """So many deletions have been asked for."""
        return Deletion(self, count)

    def tell(self, gone: Sequence[Gone]) -> None:
        """These were deleted."""
        title = tr("{name} was deleted", name=shortened(gone[0].name))
        if len(gone) > 1:
            title = counted(len(gone), "{n} was deleted", "{n} were deleted")
        if not self.can:
            self._desk.toasts.tell(title)
            return
        self._last = gone
        fact = tr("In the bin for 24 hours.")
        self._desk.toasts.tell(title, fact, actions=[(tr("Undo"), lambda: self._take_back(gone))])

    def last(self) -> None:
        """Ctrl+Z: take back what was deleted last in this window."""
        if self._last:
            self._take_back(self._last)

    def _take_back(self, gone: Sequence[Gone]) -> None:
        if self._last is gone:
            self._last = ()
        self.restore(gone)

    def restore(self, gone: Sequence[Gone], name: str | None = None) -> None:
        """Bring these back; `name`: the only one gets that name."""
        client, toasts = self._session.client, self._desk.toasts
        back: list[str] = []

        def work() -> list[tuple[Gone, ApiError]]:
            failures: list[tuple[Gone, ApiError]] = []
            for each in gone:
                try:
                    _, _, restored = bin.restore(client, each.ref, name)
                except ApiError as error:  # told below; the others are brought back in spite of it
                    failures.append((each, error))
                else:
                    back.append(restored)
            return failures

        def told(failures: list[tuple[Gone, ApiError]]) -> None:
            if back:
                toasts.tell(tr("{names}: back again", names=listed([shortened(each) for each in sorted(back)])))
            for each, error in failures:
                self._explain(each, error)

        def failed(error: Exception) -> None:
            self._explain(gone[0], error)

        self._session.workers.run(work, told, failed)

    def _explain(self, gone: Gone, error: Exception) -> None:
        actions = [(tr("Show the bin"), lambda: self._desk.go(Place("bin")))]
        if isinstance(error, ApiError) and "there is a " in str(error):
            actions.insert(0, (tr("Another name…"), lambda: self.ask_name(gone)))
        title = tr("{name} was not brought back", name=shortened(gone.name))
        self._desk.toasts.tell(title, sentence(str(error).partition(": ")[2] or str(error)), State.PROBLEM, actions)

    def ask_name(self, gone: Gone) -> None:
        """Bring it back under a name that is asked for."""
        desk = self._desk
        OneField(
            desk.theme, desk.icons, desk.window,
            title=tr("Bring {name} back under another name", name=gone.name),
            fact=tr("What it has stays the same; what names it elsewhere does not."),
            hint=tr("Name"),
            verb=tr("Bring it back"),
            icon="arrow-counter-clockwise",
            sure=lambda name: self.restore([gone], name),
            text=f"{gone.name}-2",
        ).open()  # fmt: skip
