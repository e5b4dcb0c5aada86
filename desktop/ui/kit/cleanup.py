"""A dialog that lists what a clean-up would delete; only what is ticked goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from desktop.ui.kit.buttons import CheckBox
from desktop.ui.kit.dialogs import Dialog
from desktop.ui.kit.labels import Label
from desktop.ui.kit.page import Desk
from desktop.ui.kit.words import disk, tr

ROW = 30
MOST_ROWS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One thing that could go. `size` in bytes, None if unknown; `ticked` at first."""

    key: str
    text: str
    note: str = ""
    size: int | None = None
    ticked: bool = True


class CleanUp(Dialog):
    """Lists `choices`. `verb(chosen)` is the text of its button, `sure(keys)` deletes exactly those."""

    def __init__(
        self,
        desk: Desk,
        *,
        title: str,
        sentence: str,
        choices: Sequence[Choice],
        verb: Callable[[Sequence[Choice]], str],
        sure: Callable[[list[str]], None],
        fact: str = "",
    ) -> None:
        """`fact`: whether it can be undone, and how; it cannot without one."""
        super().__init__(desk.theme, desk.icons, title, desk.window, width=560)
        self._verb, self._sure = verb, sure
        heading = Label(desk.theme, title, "heading")
        heading.setWordWrap(True)
        self.body.addWidget(heading)
        about = Label(desk.theme, sentence, "body", "text2")
        about.setWordWrap(True)
        self.body.addWidget(about)
        self.body.addSpacing(6)
        inner = QWidget()
        inner.setObjectName("scrolled")
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, 8, 0)
        column.setSpacing(0)
        self._boxes: list[tuple[Choice, CheckBox]] = []
        for choice in choices:
            row = QWidget()
            row.setFixedHeight(ROW)
            line = QHBoxLayout(row)
            line.setContentsMargins(0, 0, 0, 0)
            line.setSpacing(10)
            box = CheckBox(desk.theme, choice.text)
            box.setChecked(choice.ticked)
            box.toggled.connect(self._show)
            box.shorten()
            line.addWidget(box)
            line.addWidget(Label(desk.theme, choice.note, "small", "text2"))
            line.addStretch(1)
            line.addWidget(Label(desk.theme, "" if choice.size is None else disk(choice.size), "smallname", "text2"))
            column.addWidget(row)
            self._boxes.append((choice, box))
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inner)
        scroll.setFixedHeight(min(MOST_ROWS, len(choices)) * ROW + 4)
        self.body.addWidget(scroll)
        warning = Label(desk.theme, fact or tr("This cannot be undone."), "body", "text2")
        warning.setWordWrap(True)
        self.body.addWidget(warning)
        self.foot.addStretch(1)
        self.keep, self.act = self.add_buttons(tr("Cancel"), "", "dangerfill")
        self.act.clicked.connect(self._on_sure)
        self._show()

    def first_focus(self) -> QWidget:
        return self.keep

    def _chosen(self) -> list[Choice]:
        return [choice for choice, box in self._boxes if box.isChecked()]

    def _show(self) -> None:
        chosen = self._chosen()
        self.act.set_label(self._verb(chosen))
        self.act.setEnabled(bool(chosen))

    def _on_sure(self) -> None:
        keys = [choice.key for choice in self._chosen()]
        self.accept()
        self._sure(keys)
