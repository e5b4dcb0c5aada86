"""An image on its way from or to its registry: shown in a dialog that can be hidden; a message reports the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QObject, QTimer

from desktop.client.engine import EngineClient, PullStream
from desktop.client.reference import InvalidReference
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.buttons import Button
from desktop.ui.kit.dialogs import Dialog
from desktop.ui.kit.fields import CodeWell
from desktop.ui.kit.labels import Label
from desktop.ui.kit.page import Desk
from desktop.ui.kit.states import State
from desktop.ui.kit.tasks import Task
from desktop.ui.kit.toasts import Message
from desktop.ui.kit.words import disk, duration, part_of, tr
from desktop.ui.run.layers import LayerLines, LayerModel
from desktop.ui.run.pipeline import LayerList


class Exchange(Task):
    """One running pull or push. A subclass says what it asks of the engine and how that is called."""

    def __init__(
        self,
        session: EngineSession,
        reference: str,
        shown: Callable[[Exchange], None],
        again: Callable[[str], None],
        parent: QObject | None = None,
        *,
        is_push: bool = False,
    ) -> None:
        super().__init__(parent)
        self._session, self.reference, self._shown, self._again = session, reference, shown, again
        self.layers = LayerModel(self, is_push=is_push)
        self.message = ""
        self.is_invalid = False  # the name is no image's name: trying again cannot help
        self._lines = LayerLines(session.workers, self._flush)
        self._client = EngineClient(session.endpoint)  # its own: a cancel ends all that it waits for

    def ask(self, client: EngineClient) -> PullStream:
        """Ask the engine for it; in a worker. Raises the client's errors."""
        raise NotImplementedError

    @property
    def verb(self) -> str:
        """The title of its dialog: "Pull debian:trixie"."""
        raise NotImplementedError

    @property
    def done(self) -> str:
        """The title of the message about its end: "debian:trixie was pulled"."""
        raise NotImplementedError

    @property
    def failed(self) -> str:
        """The title of the message about a failure or a cancel."""
        raise NotImplementedError

    @property
    def after_cancel(self) -> str:
        """What a cancel leaves."""
        return tr("Cancelled; nothing half-made is left.")

    def remedies(self) -> Sequence[tuple[str, Callable[[], None]]]:
        """What helps against `problem`."""
        return () if self.is_invalid else ((tr("Try again"), lambda: self._again(self.reference)),)

    def start(self) -> None:
        def job() -> None:
            with self._client, self.ask(self._client) as stream:
                for line in stream:
                    self._lines.put(line)

        self._session.workers.run_long(job, lambda _none: self.end(), self._on_failed)

    def _on_failed(self, error: Exception) -> None:
        self.is_invalid = isinstance(error, InvalidReference)
        self.end(str(error))

    def _flush(self) -> None:
        lines = self._lines.take()
        for line in lines:
            if line.status.startswith("Status: "):
                self.message = line.status.removeprefix("Status: ")
        self.layers.take(lines)
        self.changed.emit()

    # Task ------------------------------------------------------------------------------------------------------------

    @property
    def fraction(self) -> float | None:
        done, total = self.layers.fraction
        return done / total if total else None

    def show(self) -> None:
        self._shown(self)

    def cancel(self) -> None:
        self.is_cancelled = True
        self._client.abort()

    def end(self, problem: str = "") -> None:
        self._flush()
        super().end(problem)

    def report(self) -> Message:
        if self.is_cancelled:
            return Message(self.failed, self.after_cancel, State.STOPPED)
        if self.problem:
            return Message(self.failed, self.problem, State.PROBLEM, tuple(self.remedies()))
        _moved, total = self.layers.fraction
        took = duration(self.took_s)
        fact = tr("{size} in {time}", size=disk(total), time=took) if total else self.message or took
        return Message(self.done, fact)


class ExchangeDialog(Dialog):
    """The layers of one pull or push. It closes by itself at success; a failure stays with its reason."""

    def __init__(self, desk: Desk, task: Exchange) -> None:
        super().__init__(desk.theme, desk.icons, task.verb, desk.window, width=760)
        self._task = task
        title = Label(desk.theme, task.verb, "heading")
        title.setWordWrap(True)
        self.body.addWidget(title)
        self.fact = Label(desk.theme, "", "body", "text2")
        self.fact.setWordWrap(True)
        self.body.addWidget(self.fact)
        self.reason = CodeWell(desk.theme, desk.icons, name=tr("The reason"))
        self.reason.hide()
        self.body.addWidget(self.reason)
        self.body.addSpacing(6)
        self.layers = LayerList(desk.theme, desk.icons, task.layers)
        self.body.addWidget(self.layers)
        self.foot.addStretch(1)
        self.cancel = Button(desk.theme, desk.icons, tr("Cancel"), "x")
        self.hide_button = Button(desk.theme, desk.icons, tr("Hide"), "arrow-line-down")
        self.foot.addWidget(self.hide_button)
        self.foot.addWidget(self.cancel)
        self.hide_button.clicked.connect(self.accept)
        self.cancel.clicked.connect(task.cancel)
        self._clock = QTimer(self)
        self._clock.setInterval(200)
        self._clock.timeout.connect(self._show)
        self._clock.start()
        task.changed.connect(self._show)
        task.ended.connect(self._on_ended)
        task.layers.modelReset.connect(self.fit)
        self._show()

    def first_focus(self) -> Button:
        return self.hide_button

    def _show(self) -> None:
        task = self._task
        done, total = task.layers.fraction
        amount = part_of(done, total) if total else disk(task.layers.loaded_bytes) if task.layers.loaded_bytes else ""
        passed = duration(task.passed_s)
        parts = [task.layers.summary, amount, passed if task.is_over else tr("{time} so far", time=passed)]
        self.fact.setText(", ".join(part for part in parts if part))

    def _on_ended(self) -> None:
        self._clock.stop()
        if not self._task.problem:
            self.accept()
            return
        self.fact.setText(tr("{what}, after {time}.", what=self._task.failed, time=duration(self._task.took_s)))
        self.fact.set_tone("bad")
        self.reason.set_text(self._task.problem)
        self.reason.show()
        self.layers.setVisible(self._task.layers.rowCount() > 0)
        self.cancel.hide()
        self.hide_button.set_label(tr("Close"))
        self.hide_button.set_icon("")
        self.fit()
