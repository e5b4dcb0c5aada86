"""What the three steps of the welcome have in common: headline, sentence, content, and buttons below."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLayout, QScrollArea, QVBoxLayout, QWidget

from desktop.ui.kit.buttons import Button, Kind, Link
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.labels import Label
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import tr

MOST_WIDTH = 752


class Panel(QScrollArea):
    """One step at the right of the welcome. Signals: skipped(): to the window at once."""

    skipped = Signal()

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.theme, self.icons = theme, icons
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        inner = QWidget()
        inner.setObjectName("page")
        across = QHBoxLayout(inner)
        self._across = across
        middle = QWidget()
        middle.setMaximumWidth(MOST_WIDTH)
        across.addWidget(middle, 1)
        across.addStretch(0)
        column = QVBoxLayout(middle)
        self._column = column
        column.setSpacing(0)
        self.title = Label(theme, "", "display")
        self.title.setWordWrap(True)
        column.addWidget(self.title)
        column.addSpacing(10)
        self.lead = Label(theme, "", "lead", "text2")
        self.lead.setWordWrap(True)
        column.addWidget(self.lead)
        column.addSpacing(26)
        self.content = QVBoxLayout()
        self.content.setSpacing(16)
        column.addLayout(self.content)
        column.addSpacing(24)
        self.next = Label(theme, "", "body", "text2")
        self.next.setWordWrap(True)
        column.addWidget(self.next)
        column.addSpacing(20)
        self._buttons = QHBoxLayout()
        self._buttons.setSpacing(10)
        self._added: list[Button] = []
        self._buttons.addStretch(1)
        self.skip = Link(theme, tr("Skip to the window"), underlined=True)
        self.skip.clicked.connect(self.skipped)
        self._buttons.addWidget(self.skip)
        column.addLayout(self._buttons)
        column.addStretch(1)
        self.setWidget(inner)
        self.set_narrow(False)

    def set_narrow(self, narrow: bool) -> None:
        self._across.setContentsMargins(*((16, 0, 16, 0) if narrow else (64, 0, 64, 0)))
        self._column.setContentsMargins(0, 32 if narrow else 76, 0, 24)

    def add_button(self, text: str, icon: str = "", kind: Kind = "plain") -> Button:
        """A button below the content, after those before it."""
        button = Button(self.theme, self.icons, text, icon, kind=kind, height=36)
        if kind == "primary":
            button.setMinimumWidth(128)
        self._buttons.insertWidget(len(self._added), button)
        self._added.append(button)
        return button

    def tab_stops(self) -> list[QWidget]:
        """The parts that Tab goes through, as they are read."""
        layouts: list[QLayout] = [self.content]
        found: list[QWidget] = []
        while layouts:
            layout = layouts.pop(0)
            for number in range(layout.count()):
                item = layout.itemAt(number)
                if (widget := item.widget() if item else None) is not None:
                    found.append(widget)
                elif item is not None and (inner := item.layout()) is not None:
                    layouts.append(inner)
        return [*found, *self._added, self.skip]

    def first_focus(self) -> QWidget:
        """The button that goes on."""
        return next(button for button in (*self._added, self.skip) if not button.isHidden())
