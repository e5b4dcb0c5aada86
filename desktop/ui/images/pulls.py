"""Pulls without a run: shown in a dialog that can be hidden; a toast reports the end."""

from __future__ import annotations

import threading
import time

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtWidgets import QWidget

from desktop.client.engine import PullProgress, PullStream
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.buttons import Button
from desktop.ui.kit.cards import Label
from desktop.ui.kit.dialogs import Dialog
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.states import State
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.toasts import Toasts
from desktop.ui.kit.words import disk, duration, part_of, tr
from desktop.ui.run.pipeline import LayerList
from desktop.ui.run.run import LayerModel


class PullTask(QObject):
    """One running pull. Signals: changed(); ended(problem or "")."""

    changed = Signal()
    ended = Signal(str)

    def __init__(self, session: EngineSession, reference: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session, self.reference = session, reference
        self.layers = LayerModel(self)
        self.began = time.monotonic()
        self.took_s = 0.0
        self.message = ""
        self.is_over = self.is_cancelled = False
        self._lock = threading.Lock()
        self._lines: list[PullProgress] = []
        self._told = False
        self._stream: PullStream | None = None

    def start(self) -> None:
        client = self._session.client

        def job() -> None:
            with client.pull(self.reference) as stream:
                with self._lock:
                    self._stream = stream
                for line in stream:
                    self._take(line)

        self._session.workers.run(job, lambda _none: self._end(""), lambda error: self._end(str(error)))

    def _take(self, line: PullProgress) -> None:
        with self._lock:
            self._lines.append(line)
            told, self._told = self._told, True
        if not told:
            self._session.workers.here(lambda: QTimer.singleShot(33, self._flush))

    def _flush(self) -> None:
        with self._lock:
            lines, self._lines, self._told = self._lines, [], False
        for line in lines:
            if line.status.startswith("Status: "):
                self.message = line.status.removeprefix("Status: ")
        self.layers.take(lines)
        self.changed.emit()

    @property
    def fraction(self) -> float | None:
        done, total = self.layers.fraction
        return done / total if total else None

    def cancel(self) -> None:
        self.is_cancelled = True
        with self._lock:
            stream = self._stream
        if stream is not None:
            self._session.workers.run(stream.close)

    def _end(self, problem: str) -> None:
        self._flush()
        self.is_over = True
        self.took_s = time.monotonic() - self.began
        self.ended.emit("" if self.is_cancelled else problem)
        self.changed.emit()


class PullDialog(Dialog):
    """The layers of one pull."""

    def __init__(self, theme: Theme, icons: Icons, task: PullTask, window: QWidget) -> None:
        super().__init__(theme, icons, tr("Pull {image}", image=task.reference), window, width=760)
        self._task = task
        self.body.addWidget(Label(theme, tr("Pull {image}", image=task.reference), "heading"))
        self.fact = Label(theme, "", "body", "text2")
        self.fact.setWordWrap(True)
        self.body.addWidget(self.fact)
        self.body.addSpacing(6)
        self.layers = LayerList(theme, icons, task.layers)
        self.body.addWidget(self.layers)
        self.foot.addStretch(1)
        self.cancel = Button(theme, icons, tr("Cancel"), "x")
        self.hide_button = Button(theme, icons, tr("Hide"), "arrow-line-down")
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
        self._show()

    def first_focus(self) -> QWidget:
        return self.hide_button

    def _show(self) -> None:
        task = self._task
        done, total = task.layers.fraction
        passed = task.took_s or time.monotonic() - task.began
        parts = [task.layers.summary, part_of(done, total) if total else ""]
        parts.append(tr("{time} so far", time=duration(passed)) if not task.is_over else duration(passed))
        self.fact.setText(", ".join(part for part in parts if part))

    def _on_ended(self, problem: str) -> None:
        self._clock.stop()
        if problem:
            self.fact.setText(problem)
            self.fact.set_tone("bad")
            self.cancel.hide()
            self.hide_button.set_label(tr("Close"))
        else:
            self.accept()


class Pulls(QObject):
    """All pulls of this window. Signals: changed()."""

    changed = Signal()

    def __init__(self, theme: Theme, icons: Icons, session: EngineSession, toasts: Toasts, window: QWidget) -> None:
        super().__init__(window)
        self._theme, self._icons, self._session = theme, icons, session
        self._toasts, self._window = toasts, window
        self._tasks: list[PullTask] = []
        self._dialog: PullDialog | None = None

    @property
    def current(self) -> PullTask | None:
        return next((task for task in reversed(self._tasks) if not task.is_over), None)

    def start(self, reference: str) -> None:
        task = PullTask(self._session, reference, self)
        self._tasks.append(task)
        task.changed.connect(self.changed)
        task.ended.connect(lambda problem: self._on_ended(task, problem))
        task.start()
        self._open(task)
        self.changed.emit()

    def show(self) -> None:
        if (task := self.current) is not None:
            self._open(task)

    def _open(self, task: PullTask) -> None:
        dialog = PullDialog(self._theme, self._icons, task, self._window)
        self._dialog = dialog
        dialog.finished.connect(lambda _result: self._on_closed(dialog))
        dialog.open()

    def _on_closed(self, dialog: PullDialog) -> None:
        if self._dialog is dialog:
            self._dialog = None

    def _on_ended(self, task: PullTask, problem: str) -> None:
        toasts = self._toasts
        if task.is_cancelled:
            toasts.tell(
                tr("{image} was not pulled", image=task.reference),
                tr("Cancelled; nothing half-made is left."),
                State.STOPPED,
            )
        elif problem:
            again = (tr("Try again"), lambda: self.start(task.reference))
            toasts.tell(tr("{image} was not pulled", image=task.reference), problem, State.PROBLEM, [again])
        else:
            _done, total = task.layers.fraction
            took = duration(task.took_s)
            fact = tr("{size} in {time}", size=disk(total), time=took) if total else task.message or took
            toasts.tell(tr("{image} was pulled", image=task.reference), fact)
        self.changed.emit()
