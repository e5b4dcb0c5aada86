"""Deletions that can be undone: one message with Undo for all that were deleted together, and Ctrl+Z for the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from desktop.client import bin
from desktop.client.api import ApiError
from desktop.client.engine import EngineClient
from desktop.client.http import ConnectionFailed
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.dialogs import OneField
from desktop.ui.kit.page import Desk, Place
from desktop.ui.kit.states import State
from desktop.ui.kit.toasts import Message
from desktop.ui.kit.words import MOST_NAMED, counted, listed, sentence, shortened, tr

MOST_REASONS = 3  # in one message
_REFUSED = " was not brought back: "  # the engine's words before the reason


@dataclass(frozen=True, slots=True)
class Gone:
    """One thing that was deleted into the bin. `ref`: by what the bin knows it (an entry's id, a container's or image's
    id, a volume's or image's name)."""

    ref: str
    name: str


@dataclass(slots=True)
class Restored:
    """What became of several things that were to be brought back: the names that they have, what the engine refused,
    and what it did not answer for, with the reason."""

    names: list[str] = field(default_factory=list)
    refused: list[tuple[Gone, ApiError]] = field(default_factory=list)
    unanswered: list[Gone] = field(default_factory=list)
    why: str = ""


def restore_all(client: EngineClient, gone: Sequence[Gone], name: str | None) -> Restored:
    """Bring these back, each one in spite of the others. What needs another of them is tried again after that one."""
    result, left, has_changed = Restored(), list(gone), True
    while left and has_changed:
        result.refused, has_changed = [], False
        for number, each in enumerate(left):
            try:
                _, _, restored = bin.restore(client, each.ref, name)
            except ApiError as error:
                result.refused.append((each, error))
            except ConnectionFailed as error:
                result.unanswered, result.why = left[number:], str(error)
                return result
            else:
                result.names.append(restored)
                has_changed = True
        left = [each for each, _ in result.refused]
    return result


class Deletion:
    """Several deletions that were asked for together. `over()` is called for each that has ended. `can_undo`: they go
    into the bin, as was told when they were asked for."""

    def __init__(self, undo: Undo, count: int) -> None:
        self._undo, self._left = undo, count
        self.can_undo = undo.can
        self._gone: list[Gone] = []

    def over(self, gone: Gone | None) -> None:
        """One has ended; None: it failed, as was said already."""
        self._left -= 1
        if gone is not None:
            self._gone.append(gone)
        if not self._left and self._gone:
            self._undo.tell(self._gone, can_undo=self.can_undo)


class Undo:
    """Tells of deletions, and takes them back."""

    def __init__(self, desk: Desk, session: EngineSession) -> None:
        self._desk, self._session = desk, session
        self._last: Sequence[Gone] = ()
        self._told: Message | None = None  # of it

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

    def tell(self, gone: Sequence[Gone], *, can_undo: bool) -> None:
        """These were deleted; `can_undo`: into the bin."""
        title = tr("{name} was deleted", name=shortened(gone[0].name))
        if len(gone) > 1:
            title = counted(len(gone), "{n} was deleted", "{n} were deleted")
        if not can_undo:
            self._desk.toasts.tell(title)
            return
        undo = (tr("Undo"), lambda: self._take_back(gone))
        self._last, self._told = gone, Message(title, tr("In the bin for 24 hours."), actions=(undo,))
        self._desk.toasts.show(self._told)

    def last(self) -> None:
        """Ctrl+Z: take back what was deleted last in this window."""
        if self._last:
            self._take_back(self._last)

    def _take_back(self, gone: Sequence[Gone]) -> None:
        if self._last is gone:
            self._last = ()
            if self._told is not None:
                self._desk.toasts.withdraw(self._told)  # else it would offer once more what is done
        self.restore(gone)

    def restore(self, gone: Sequence[Gone], name: str | None = None) -> None:
        """Bring these back; `name`: the only one gets that name."""
        client = self._session.client
        self._session.workers.run(lambda: restore_all(client, gone, name), self._explain)

    def _explain(self, result: Restored) -> None:
        toasts, names = self._desk.toasts, [shortened(name) for name in sorted(result.names)]
        if len(names) > MOST_NAMED:
            toasts.tell(counted(len(names), "{n} is back again", "{n} are back again"))
        elif names:
            toasts.tell(tr("{names}: back again", names=listed(names)))
        if result.refused:
            self._explain_refused(result.refused)
        if unanswered := result.unanswered:
            if not self._last:
                self._last = unanswered
            again = (tr("Try again"), lambda: self._take_back(unanswered))
            toasts.tell(_not_back(unanswered), sentence(result.why), State.PROBLEM, [again])

    def _explain_refused(self, refused: Sequence[tuple[Gone, ApiError]]) -> None:
        gone, error = refused[0]
        actions = [(tr("Show the bin"), lambda: self._desk.go(Place("bin")))]
        fact = _reason(error)
        if len(refused) > 1:
            fact = " ".join(f"{shortened(each.name)}: {_reason(error)}" for each, error in refused[:MOST_REASONS])
            fact += " …" if len(refused) > MOST_REASONS else ""
        elif error.reason == bin.NAME_TAKEN:
            actions.insert(0, (tr("Another name…"), lambda: self.ask_name(gone)))
        self._desk.toasts.tell(_not_back([each for each, _ in refused]), fact, State.PROBLEM, actions)

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


def _not_back(gone: Sequence[Gone]) -> str:
    if len(gone) == 1:
        return tr("{name} was not brought back", name=shortened(gone[0].name))
    return counted(len(gone), "{n} was not brought back", "{n} were not brought back")


def _reason(error: ApiError) -> str:
    """The engine's message, without the name that stands in the title."""
    if error.status == 404:
        return tr("It is no longer in the bin: it was brought back already, or deleted for good.")
    text = str(error)
    return sentence(text.partition(_REFUSED)[2] or text)
