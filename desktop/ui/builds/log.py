"""The output of a build's steps: all of it, or that of one step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from desktop.client.builds import Output
from desktop.ui.containers.log_lines import ESCAPES, LogLine, note
from desktop.ui.containers.log_view import LogView
from desktop.ui.kit.buttons import Link
from desktop.ui.kit.labels import ElidedLabel
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import tr

NAMED = 52  # characters of a step above its output
MOST_PIECES = 50_000  # of output that are kept; the oldest go first


class BuildLog(QWidget):
    """`add` takes output as it comes, until `finish`; `choose` shows one step's. `name_of` gives the name of a step."""

    def __init__(self, theme: Theme, name_of: Callable[[str], str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name_of = name_of
        self._pieces: deque[Output] = deque(maxlen=MOST_PIECES)
        self._is_whole = False  # no more output will come
        self._chosen = ""
        self._last = ""  # the step of the newest line
        self._rest: dict[tuple[str, int], Output] = {}  # begun lines, by step and stream
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self.bar = QWidget()
        row = QHBoxLayout(self.bar)
        row.setContentsMargins(17, 6, 16, 6)
        self.chosen = ElidedLabel(theme, "", "mono", "text2")
        row.addWidget(self.chosen, 1)
        self.all = Link(theme, tr("All steps"))
        self.all.clicked.connect(lambda: self.choose(""))
        row.addWidget(self.all)
        self.bar.hide()
        column.addWidget(self.bar)
        self.view = LogView(theme)
        self.view.empty_text = tr("Nothing was printed")
        column.addWidget(self.view, 1)

    def clear(self) -> None:
        self._chosen = ""
        self.again()

    def again(self) -> None:
        """All output comes once more; what is chosen stays."""
        self._pieces.clear()
        self._is_whole = False
        self.choose(self._chosen)

    def choose(self, step: str) -> None:
        """Show the output of this step; "": of all."""
        self._chosen = step
        self.chosen.set_text(self._name_of(step) if step else "")
        self.bar.setVisible(bool(step))
        self._last, self._rest = "", {}
        self.view.clear()
        self._show(self._pieces)
        if self._is_whole:
            self.finish()

    def add(self, pieces: Sequence[Output]) -> None:
        self._pieces.extend(pieces)
        self._show(pieces)

    def finish(self) -> None:
        """No more will come: lines without an end are shown, too, and again at each `choose`."""
        self._is_whole = True
        begun, self._rest = self._rest, {}
        self._show([piece._replace(text=piece.text + "\n") for piece in begun.values() if piece.text])

    def _show(self, pieces: Iterable[Output]) -> None:
        lines: list[LogLine] = []
        for piece in pieces:
            if self._chosen and piece.step != self._chosen:
                continue
            if piece.step != self._last and not self._chosen:
                lines.append(note(_shortened(self._name_of(piece.step))))
                self._last = piece.step
            key = (piece.step, piece.stream)
            before = self._rest[key].text if key in self._rest else ""
            *whole, rest = (before + piece.text).split("\n")
            self._rest[key] = piece._replace(text=rest)
            for text in whole:
                shown = text.rstrip("\r").rpartition("\r")[2]  # what a terminal would show of a progress bar
                lines.append(LogLine(piece.at_s, piece.stream, ESCAPES.sub("", shown.replace("\t", "    "))))
        if lines:
            self.view.append(lines)


def _shortened(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= NAMED else name[: NAMED - 1] + "…"
