"""Work that takes a while: its name, progress and end, for the status bar and for messages."""

from __future__ import annotations

import time

from PySide6.QtCore import QObject, Signal

from desktop.ui.kit.toasts import Message, Toasts


class Task(QObject):
    """One running piece of work, such as a pull, a run, or a clean-up.

    `fraction` is its progress from 0 to 1, None while the total is unknown. Signals: changed() at each progress,
    ended() once; `problem` then holds the reason of a failure.
    """

    changed = Signal()
    ended = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.began = time.monotonic()
        self.took_s = 0.0
        self.is_over = self.is_cancelled = False
        self.problem = ""

    @property
    def title(self) -> str:
        """What it does, for the status bar: "Pulling debian:trixie"."""
        raise NotImplementedError

    @property
    def fraction(self) -> float | None:
        return None

    @property
    def passed_s(self) -> float:
        """Seconds since it began, or those that it took."""
        return self.took_s if self.is_over else time.monotonic() - self.began

    def show(self) -> None:
        """The user clicked it in the status bar."""

    def cancel(self) -> None:
        """Stop it, where that is possible."""

    def report(self) -> Message | None:
        """The message about its end; None: its own page tells."""
        return None

    def end(self, problem: str = "") -> None:
        """It has ended; `problem` is empty for success."""
        self.is_over = True
        self.took_s = time.monotonic() - self.began
        self.problem = "" if self.is_cancelled else problem
        self.changed.emit()
        self.ended.emit()


class Tasks(QObject):
    """All tasks of the window. Signals: changed()."""

    changed = Signal()

    def __init__(self, toasts: Toasts, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._toasts = toasts
        self._running: list[Task] = []

    def add(self, task: Task) -> None:
        """Show `task` until it ends, then its report."""
        self._running.append(task)
        task.changed.connect(self.changed)
        task.ended.connect(lambda: self._on_ended(task))
        self.changed.emit()

    @property
    def current(self) -> Task | None:
        """The newest running task."""
        return self._running[-1] if self._running else None

    def close(self) -> None:
        """Cancel all that run: the window ends."""
        for task in self._running:
            task.cancel()

    def _on_ended(self, task: Task) -> None:
        self._running.remove(task)
        if (message := task.report()) is not None:
            self._toasts.show(message)
        self.changed.emit()
